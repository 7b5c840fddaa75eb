package arch

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestHouse(t *testing.T) {
	pkgs := map[string]*pkg{}
	for _, p := range list(t) {
		if len(p.GoFiles) > 0 { // else it holds tests alone
			p.read(t)
			pkgs[p.ImportPath] = p
		}
	}
	known := map[string][]string{}
	for importPath, p := range pkgs {
		for _, problem := range check(p) {
			t.Error(problem)
		}
		if c := chain(pkgs, importPath, known); len(c)-1 > longest {
			t.Errorf("a chain of %d imports, where %d are the most: %s", len(c)-1, longest, strings.Join(c, " > "))
		}
	}
}

// TestTables finds a package that is listed twice, which would stand on the lower
// of its floors, and rules about packages that have no floor.
func TestTables(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range floors {
		for _, name := range row {
			if seen[name] {
				t.Errorf("%s is listed twice", name)
			}
			seen[name] = true
		}
	}
	named := slices.Concat(noHTTP, dialers, []string{"config", "flow"})
	for _, name := range named {
		if floor(name) < 0 {
			t.Errorf("a rule is about %s, which has no floor", name)
		}
	}
}

// list returns all packages of the module.
func list(t *testing.T) (pkgs []*pkg) {
	// The test cache sees what this process opens, not what go list does: without
	// a look around here it would not notice a new package.
	for _, dir := range []string{"..", "../../cmd"} {
		_ = filepath.WalkDir(dir, func(string, fs.DirEntry, error) error { return nil })
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Name,Dir,Doc,GoFiles,Imports", module+"/...").Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("go list: %v\n%s", err, failed.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		p := new(pkg)
		switch err := dec.Decode(p); {
		case errors.Is(err, io.EOF):
			return pkgs
		case err != nil:
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// read parses the package's files.
func (p *pkg) read(t *testing.T) {
	t.Helper()
	p.fset = token.NewFileSet()
	for _, file := range p.GoFiles {
		p.parse(t, filepath.Join(p.Dir, file), nil)
	}
	p.resolve()
}

func (p *pkg) parse(t *testing.T, file string, src any) {
	t.Helper()
	f, err := parser.ParseFile(p.fset, file, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	p.files = append(p.files, f)
}

// resolve finds what each name of the package stands for. What it imports is not
// read, so that whatever needs another package's types stays unknown: the
// compiler checks that, and no rule asks for it.
func (p *pkg) resolve() {
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: strangers{}, Error: func(error) {}}
	checked, _ := conf.Check(p.ImportPath, p.fset, p.files, &info)
	p.scope, p.uses = checked.Scope(), info.Uses
}

// strangers imports every package as an empty one of the usual name.
type strangers struct{}

func (strangers) Import(imp string) (*types.Package, error) {
	name := path.Base(imp)
	if dir, last := path.Split(imp); dir != "" && strings.Trim(last, "0123456789") == "v" {
		name = path.Base(dir)
	}
	p := types.NewPackage(imp, name)
	p.MarkComplete()
	return p, nil
}
