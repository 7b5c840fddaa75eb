package app

import (
	"fmt"
	"io/fs"
	"strings"

	"headworks/docs"
	"headworks/internal/config"
)

// Pages lists the documentation inside the binary.
func Pages() []string {
	var pages []string
	// The files are part of the program: walking them cannot fail.
	_ = fs.WalkDir(docs.Files, ".", func(path string, d fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(path, ".md"); ok && err == nil && !d.IsDir() {
			pages = append(pages, name)
		}
		return err
	})
	return pages
}

// Page returns a page of the documentation, or what a code such as HW-1003 means.
func Page(name string) (string, error) {
	if title, mend, ok := config.Page(name); ok {
		return fmt.Sprintf("%s: %s\n\n%s\n", strings.ToUpper(name), title, mend), nil
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "docs/"), ".md")
	b, err := fs.ReadFile(docs.Files, name+".md")
	if err == nil {
		return string(b), nil
	}
	if near := config.Nearest(name, Pages()); near != "" {
		return "", fmt.Errorf("no page %q; did you mean %q", name, near)
	}
	return "", fmt.Errorf("no page %q; headworks docs lists them", name)
}
