package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An epoch never goes back, whatever order it is told in, and survives.
func TestEpochs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	for _, e := range []struct {
		kind, name string
		n          uint64
	}{{"model", "a", 1}, {"model", "a", 3}, {"model", "a", 2}, {"policy", "a", 7}, {"model", "", 1 << 62}} {
		if err := s.SaveEpoch(t.Context(), e.kind, e.name, e.n); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	s = open(t, path)
	got := map[string]uint64{}
	if err := s.LoadEpochs(t.Context(), func(kind, name string, n uint64) { got[kind+" "+name] = n }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]uint64{"model a": 3, "policy a": 7, "model ": 1 << 62}, got); diff != "" {
		t.Error(diff)
	}
}
