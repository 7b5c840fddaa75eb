package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"headworks/internal/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 23, 12, 0, 0, 123000, time.UTC)

func open(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func key(n int) Key {
	return Key{
		ID: fmt.Sprint("id", n), Name: fmt.Sprint("name", n), Digest: []byte{byte(n), 0, 255}, Pepper: "p1",
		Tenant: "acme", Project: "x", Tier: "pro", Models: []string{"assistant", "demo-*"},
		Budget:  tenant.Budget{Amount: 10_000_000, Per: 24 * time.Hour},
		Created: noon.Add(time.Duration(n) * time.Minute), Expires: noon.Add(time.Hour),
	}
}

func TestKeysComeBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder ?#%", "headworks.db")
	s := open(t, path)
	plain := Key{ID: "plain", Name: "plain", Digest: []byte{9}, Created: noon}
	want := []Key{plain, key(1), key(2)}
	for _, k := range []Key{want[2], want[0], want[1]} {
		if err := s.CreateKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		got, err := s.ListKeys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("other keys came back (-want +got):\n%s", d)
		}
		s.Close()
		s = open(t, path)
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "headworks.db*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if info, _ := os.Stat(f); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", filepath.Base(f), info.Mode().Perm())
		}
	}
}

func TestTaken(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	if err := s.CreateKey(t.Context(), key(1)); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(k *Key){
		"id":     func(k *Key) { k.ID = "id1" },
		"name":   func(k *Key) { k.Name = "name1" },
		"secret": func(k *Key) { k.Digest = []byte{1, 0, 255} },
	} {
		k := key(2)
		change(&k)
		if err := s.CreateKey(t.Context(), k); !errors.Is(err, ErrTaken) {
			t.Errorf("the same %s: %v, want ErrTaken", field, err)
		}
	}
	// The name is free again once its key is revoked.
	if err := s.RevokeKey(t.Context(), "id1", noon); err != nil {
		t.Fatal(err)
	}
	again := key(2)
	again.Name = "name1"
	if err := s.CreateKey(t.Context(), again); err != nil {
		t.Error(err)
	}
}

func TestRevoke(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	if err := s.CreateKey(t.Context(), key(1)); err != nil {
		t.Fatal(err)
	}
	if err := s.RevokeKey(t.Context(), "id1", noon); err != nil {
		t.Fatal(err)
	}
	keys, err := s.ListKeys(t.Context())
	if err != nil || len(keys) != 1 || !keys[0].Revoked.Equal(noon) {
		t.Errorf("keys are %+v (%v), want one, revoked", keys, err)
	}
	for _, id := range []string{"id1", "nobody", ""} {
		if err := s.RevokeKey(t.Context(), id, noon); !errors.Is(err, ErrNoKey) {
			t.Errorf("%q: %v, want ErrNoKey", id, err)
		}
	}
}

// A change made through one opening of the file shows in another one's Version,
// and only a change does.
func TestVersionTellsOfChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	a, b := open(t, path), open(t, path)
	version := func() int64 {
		t.Helper()
		n, err := b.Version(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	last := version()
	step := func(what string, changes bool, err error) {
		t.Helper()
		if n := version(); (n > last) != changes {
			t.Errorf("%s (%v): version went from %d to %d", what, err, last, n)
		} else {
			last = n
		}
	}
	step("create", true, a.CreateKey(t.Context(), key(1)))
	step("create again", false, a.CreateKey(t.Context(), key(1)))
	_, err := a.ListKeys(t.Context())
	step("list", false, err)
	step("revoke", true, a.RevokeKey(t.Context(), "id1", noon))
	step("revoke again", false, a.RevokeKey(t.Context(), "id1", noon))
}

// Several processes may open the file at once, and write at once.
func TestTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	var wg sync.WaitGroup
	const stores, each = 4, 10
	for i := range stores {
		wg.Go(func() {
			s, err := Open(context.Background(), path)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			for j := range each {
				if err := s.CreateKey(context.Background(), key(1+i*each+j)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if keys, err := open(t, path).ListKeys(t.Context()); err != nil || len(keys) != stores*each {
		t.Errorf("%d keys (%v), want %d", len(keys), err, stores*each)
	}
}

func TestRefusesANewerFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	if _, err := s.db.ExecContext(t.Context(), "PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("got %v, want an error about a newer Headworks", err)
	}
}

func TestRefusesAForeignFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	os.WriteFile(path, []byte(strings.Repeat("no database ", 100)), 0o600)
	if _, err := Open(t.Context(), path); err == nil {
		t.Error("a file that is no database is opened")
	}
}
