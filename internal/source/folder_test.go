package source

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"headworks/internal/fault"
)

// tree writes files that were written an hour ago, by path.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		put(t, dir, name, text, time.Now().Add(-time.Hour))
	}
	return dir
}

func put(t *testing.T, dir, name, text string, at time.Time) {
	t.Helper()
	full := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(full, at, at); err != nil {
		t.Fatal(err)
	}
}

// told collects what became of the items of a source.
func told(t *testing.T, s Source, known map[string]string) (what map[string]What, errs map[string]fault.Kind) {
	t.Helper()
	what, errs = map[string]What{}, map[string]fault.Kind{}
	for c, err := range Changes(t.Context(), s, known) {
		if err != nil {
			f, ok := errors.AsType[*fault.Error](err)
			if !ok {
				t.Fatalf("%q: %v", c.Item.ID, err)
			}
			errs[c.Item.ID] = f.Kind
			continue
		}
		if _, twice := what[c.Item.ID]; twice {
			t.Errorf("%s is listed twice", c.Item.ID)
		}
		what[c.Item.ID] = c.What
	}
	return what, errs
}

// take opens and reads an item.
func take(t *testing.T, s Source, item Item, have string) (text, version string, err error) {
	t.Helper()
	c, err := s.Open(t.Context(), item, have)
	if err != nil {
		return "", "", err
	}
	b, err := io.ReadAll(c.Body)
	if closed := c.Body.Close(); err == nil {
		err = closed
	}
	return string(b), c.Version, err
}

func TestFolder(t *testing.T) {
	dir := tree(t, map[string]string{
		"a.md": "a", "deep/er/b.txt": "b", ".git/config": "x", "deep/.hidden": "x",
		"build/out.txt": "x", "c.tmp": "x", "big.txt": strings.Repeat("x", 100),
	})
	f := Folder{Path: dir, Ignore: []string{"*.tmp", "build"}, Most: 50}
	what, errs := told(t, f, map[string]string{"gone.md": "1"})
	if want := map[string]What{"a.md": Changed, "deep/er/b.txt": Changed, "gone.md": Gone}; !reflect.DeepEqual(what, want) {
		t.Errorf("%v, want %v", what, want)
	}
	if want := map[string]fault.Kind{"big.txt": fault.TooLarge}; !reflect.DeepEqual(errs, want) {
		t.Errorf("%v, want %v", errs, want)
	}

	text, v, err := take(t, f, Item{ID: "a.md"}, "")
	if text != "a" || v == "" || err != nil {
		t.Fatalf("%q %q %v", text, v, err)
	}
	if what, _ := told(t, f, map[string]string{"a.md": v}); what["a.md"] != Same {
		t.Errorf("unchanged, and yet %v", what["a.md"])
	}
	if _, _, err := take(t, f, Item{ID: "a.md"}, v); !errors.Is(err, ErrUnchanged) {
		t.Errorf("opened again: %v", err)
	}
	put(t, dir, "a.md", "c", time.Now().Add(-time.Minute))
	if what, _ := told(t, f, map[string]string{"a.md": v}); what["a.md"] != Changed {
		t.Errorf("changed, and yet %v", what["a.md"])
	}
	if _, _, err := take(t, f, Item{ID: "none"}, ""); !errors.Is(err, ErrGone) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, _, err := take(t, f, Item{ID: "../" + filepath.Base(dir) + "/a.md"}, ""); err == nil {
		t.Error("a path that leaves the folder is opened")
	}
}

// TestJustWritten: two writes within a tick of the clock may leave the same size and
// time, so a file that was written just now has no version yet.
func TestJustWritten(t *testing.T) {
	dir := tree(t, nil)
	put(t, dir, "a.txt", "x", time.Now())
	_, v, err := take(t, Folder{Path: dir}, Item{ID: "a.txt"}, "")
	if v != "" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}

func TestLinks(t *testing.T) {
	outside := tree(t, map[string]string{"secret.txt": "s"})
	dir := tree(t, map[string]string{"a/real.txt": "r"})
	for name, to := range map[string]string{
		"in.txt": filepath.Join("a", "real.txt"), "out.txt": filepath.Join(outside, "secret.txt"),
		"folder": "a", "nothing.txt": "none", "loop": "loop", "away": outside,
	} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Skip("no links here:", err)
		}
	}
	what, errs := told(t, Folder{Path: dir}, nil)
	if want := map[string]What{"a/real.txt": Changed, "in.txt": Changed}; !reflect.DeepEqual(what, want) {
		t.Errorf("%v, want %v", what, want)
	}
	if errs["out.txt"] != fault.Forbidden || errs["away"] != fault.Forbidden {
		t.Errorf("%v: links that lead out", errs)
	}
	if text, _, err := take(t, Folder{Path: dir}, Item{ID: "out.txt"}, ""); err == nil {
		t.Errorf("read %q from outside", text)
	}
}

// TestNothingIsGone: what a list that failed or is empty does not have is kept.
func TestNothingIsGone(t *testing.T) {
	known := map[string]string{"a": "1", "b": "1"}
	whole := listed{items: []Item{{ID: "a"}}}
	if what, errs := told(t, whole, known); what["b"] != Gone || len(errs) != 0 {
		t.Errorf("a whole list: %v, %v", what, errs)
	}
	for name, s := range map[string]Source{
		"failed":       listed{items: []Item{{ID: "a"}}, err: fault.New(fault.Connect, "no")},
		"empty":        listed{},
		"no folder":    Folder{Path: filepath.Join(t.TempDir(), "none")},
		"empty folder": Folder{Path: t.TempDir()},
	} {
		what, errs := told(t, s, known)
		for id, w := range what {
			if w == Gone {
				t.Errorf("%s: %s is gone", name, id)
			}
		}
		if errs[""] == fault.None {
			t.Errorf("%s: no error", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	for c, err := range Changes(ctx, listed{items: []Item{{ID: "a"}}, each: cancel}, known) {
		if c.What == Gone && err == nil {
			t.Errorf("%s is gone from a list that was given up", c.Item.ID)
		}
	}
}

func TestFolderThatHides(t *testing.T) {
	if os.Getuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("rights do not bind this user")
	}
	dir := tree(t, map[string]string{"a/x.txt": "x", "b/y.txt": "y"})
	if err := os.Chmod(filepath.Join(dir, "a"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "a"), 0o755) })
	what, errs := told(t, Folder{Path: dir}, map[string]string{"a/x.txt": "1"})
	if want := map[string]What{"b/y.txt": Changed}; !reflect.DeepEqual(what, want) || errs[""] == fault.None {
		t.Errorf("%v, %v", what, errs)
	}
}

// listed is a source that lists what it is told to.
type listed struct {
	items []Item
	err   error
	each  func()
}

func (l listed) List(context.Context) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for _, item := range l.items {
			if l.each != nil {
				l.each()
			}
			if !yield(item, nil) {
				return
			}
		}
		if l.err != nil {
			yield(Item{}, l.err)
		}
	}
}

func (listed) Open(context.Context, Item, string) (*Content, error) { return nil, ErrGone }
