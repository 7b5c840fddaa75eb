package source

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"headworks/internal/fault"
)

func TestNamed(t *testing.T) {
	dir := tree(t, map[string]string{
		"a.md": "a", "sitemap-de.xml": urlset("https://docs.example.com", "/one"), "near-sitemap.xml": urlset("http://10.0.0.7", "/one"),
		"local-sitemap.xml": urlset("http://intranet", "/one"), "empty-sitemap.xml": "<urlset></urlset>",
	})
	for name, want := range map[string]Source{
		dir: Folder{}, filepath.Join(dir, "a.md"): File{}, filepath.Join(dir, "sitemap-de.xml"): Sitemap{},
		"https://example.com/sitemap_index.xml": Sitemap{}, "https://example.com/de/sitemap.xml.gz": Sitemap{},
		"https://example.com/a/b": Pages{}, "HTTP://example.com:8080": Pages{}, "s3://documents/a/b/": &S3{},
	} {
		s, end, err := Named(name, Options{})
		if err != nil || reflect.TypeOf(s) != reflect.TypeOf(want) {
			t.Errorf("%s: %T, %v", name, s, err)
			continue
		}
		end()
	}
	for name, kind := range map[string]fault.Kind{
		filepath.Join(dir, "none"):              fault.NotFound,
		filepath.Join(dir, "near-sitemap.xml"):  fault.Forbidden,
		filepath.Join(dir, "local-sitemap.xml"): fault.Forbidden,
		filepath.Join(dir, "empty-sitemap.xml"): fault.InvalidRequest,
		"ftp://example.com":                     fault.Unsupported,
		"https://user:pass@example.com/":        fault.InvalidRequest,
		"https:///page":                         fault.InvalidRequest,
		"s3://":                                 fault.InvalidRequest,
	} {
		_, _, err := Named(name, Options{})
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != kind {
			t.Errorf("%s: %v, want %s", name, err, kind)
		}
	}
	if s, end, err := Named(filepath.Join(dir, "near-sitemap.xml"), Options{Hosts: []string{"10.0.0.7"}}); err != nil {
		t.Errorf("a host that is listed: %T, %v", s, err)
	} else {
		end()
	}
}

func TestFile(t *testing.T) {
	dir := tree(t, map[string]string{"a.md": "a"})
	f := File{Path: filepath.Join(dir, "a.md")}
	if what, errs := told(t, f, nil); what["a.md"] != Changed || len(what) != 1 || len(errs) > 0 {
		t.Errorf("%v, %v", what, errs)
	}
	text, v, err := take(t, f, Item{ID: "a.md"}, "")
	if text != "a" || v == "" || err != nil {
		t.Errorf("%q, %q, %v", text, v, err)
	}
	if what, _ := told(t, f, map[string]string{"a.md": v}); what["a.md"] != Same {
		t.Errorf("%v", what)
	}
	if err := os.Symlink("a.md", filepath.Join(dir, "link.md")); err == nil {
		if text, _, err := take(t, File{Path: filepath.Join(dir, "link.md")}, Item{}, ""); text != "a" || err != nil {
			t.Errorf("a link: %q, %v", text, err)
		}
	}
	if _, errs := told(t, File{Path: filepath.Join(dir, "none")}, map[string]string{"none": "1"}); errs[""] != fault.NotFound {
		t.Errorf("%v", errs)
	}
}
