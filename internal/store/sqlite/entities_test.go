package sqlite

import (
	"path/filepath"
	"testing"
)

// TestEntities: what is kept is there after the file was opened again, in the place of
// what had its id, and gone once it is forgotten.
func TestEntities(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	for _, e := range [][3]string{{"letter", "a", "1"}, {"letter", "b", "2"}, {"incident", "a", "3"}, {"letter", "a", "4"}} {
		if err := s.Keep(t.Context(), e[0], e[1], []byte(e[2])); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Forget(t.Context(), "letter", "nobody"); err != nil {
		t.Error(err)
	}
	s.Close()
	s = open(t, path)
	list := func(kind string) (found string) {
		all, err := s.Kept(t.Context(), kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if e.Changed.IsZero() {
				t.Errorf("%s changed never", e.ID)
			}
			found += e.ID + string(e.Body)
		}
		return found
	}
	if got := list("letter"); got != "b2a4" {
		t.Errorf("letters are %s", got)
	}
	if err := s.Forget(t.Context(), "letter", "b"); err != nil {
		t.Fatal(err)
	}
	if a, b, c := list("letter"), list("incident"), list("none"); a != "a4" || b != "a3" || c != "" {
		t.Errorf("%q %q %q", a, b, c)
	}
}
