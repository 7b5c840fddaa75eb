package cache

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"headworks/internal/tenant"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func scopeOf(t *testing.T, name string, reach tenant.Reach) tenant.Scope {
	t.Helper()
	s, ok := (&tenant.Caller{KeyID: name, Tenant: name, Project: name}).Scope(reach)
	if !ok {
		t.Fatalf("%s has no %v", name, reach)
	}
	return s
}

func made(t *testing.T, memory int64) *Cache {
	t.Helper()
	c, err := New(t.Context(), Options{Memory: memory, Secret: tenant.NewSecret("secret")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func keyOf(t *testing.T, c *Cache, s tenant.Scope, frames ...string) Key {
	t.Helper()
	var f [][]byte
	for _, s := range frames {
		f = append(f, []byte(s))
	}
	k, err := c.Key(Answers, s, f...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeep(t *testing.T) {
	c := made(t, 32<<20)
	s := scopeOf(t, "acme", tenant.Project)
	k := keyOf(t, c, s, "a")
	if _, ok := c.Get(Answers, s, k, noon); ok {
		t.Error("found before it was put")
	}
	e := Entry{Value: []byte("hi"), Stored: noon, Expires: noon.Add(time.Hour), Until: noon.Add(2 * time.Hour), Tokens: 7, Cost: 11, Took: time.Second}
	c.Put(Answers, s, k, e, noon)
	for after, fresh := range map[time.Duration]bool{0: true, time.Hour - 1: true, time.Hour: false, 2*time.Hour - 1: false} {
		got, ok := c.Get(Answers, s, k, noon.Add(after))
		if !ok || string(got.Value) != "hi" || got.Fresh(noon.Add(after)) != fresh {
			t.Errorf("after %v: %+v, %v", after, got, ok)
		}
	}
	if _, ok := c.Get(Answers, s, k, noon.Add(2*time.Hour)); ok {
		t.Error("found after its time")
	}
	want := LayerReport{Hits: 4, Misses: 2, Puts: 1, Expired: 1, Tokens: 28, Cost: 44, Saved: 4 * time.Second}
	if got := c.Report(); got.Layers[Answers] != want || got.Memory != 32<<20 {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestNothingForNobody(t *testing.T) {
	c := made(t, 1<<20)
	if _, err := c.Key(Answers, tenant.Scope{}); !errors.Is(err, ErrNoScope) {
		t.Errorf("a key for nobody: %v", err)
	}
	s := scopeOf(t, "acme", tenant.Project)
	k := keyOf(t, c, s)
	c.Put(Answers, tenant.Scope{}, k, Entry{}, noon)
	if n := c.Report().Layers[Answers].Puts; n != 0 {
		t.Error("kept for nobody")
	}
	c.Put(Answers, s, k, Entry{}, noon)
	if _, ok := c.Get(Answers, tenant.Scope{}, k, noon); ok {
		t.Error("found by nobody")
	}
	if _, ok := c.Get(Tools, s, k, noon); ok {
		t.Error("found in another layer")
	}
	if _, ok := c.Get(Answers, scopeOf(t, "acme", tenant.KeyOnly), k, noon); ok {
		t.Error("found in another scope")
	}
}

// TestKeysApart: a key tells scopes, layers, frames and their borders apart, and
// nothing is known of it without the secret.
func TestKeysApart(t *testing.T) {
	c := made(t, 1<<20)
	other, err := New(t.Context(), Options{Memory: 1 << 20, Secret: tenant.NewSecret("another")})
	if err != nil {
		t.Fatal(err)
	}
	long := string(make([]byte, 200))
	seen := map[Key]string{}
	for _, frames := range [][]string{{}, {""}, {"", ""}, {"ab"}, {"a", "b"}, {"a", "", "b"}, {"b", "a"}, {long}, {long, "a"}, {"a", long}, {long + "a"}} {
		for _, of := range []*Cache{c, other} {
			for _, s := range []tenant.Scope{scopeOf(t, "a", tenant.Project), scopeOf(t, "b", tenant.Project), scopeOf(t, "a", tenant.KeyOnly)} {
				name := fmt.Sprintf("%q of %v in %p", frames, s, of)
				k := keyOf(t, of, s, frames...)
				if was := seen[k]; was != "" {
					t.Errorf("%s and %s have one key", was, name)
				}
				if k != keyOf(t, of, s, frames...) {
					t.Errorf("%s has two keys", name)
				}
				seen[k] = name
			}
		}
	}
}

// TestEpochs: what depends on a thing is gone the moment that the thing changed, also
// if the work on it was under way, and its bytes are free after a sweep.
func TestEpochs(t *testing.T) {
	by := &tenant.Caller{KeyID: "k1", Tenant: "acme", Project: "web"}
	for name, purge := range map[string]func(c *Cache) error{
		"model":  func(c *Cache) error { return c.PurgeModel("assistant") },
		"scope":  func(c *Cache) error { return c.PurgeScope("project:acme/web") },
		"key":    func(c *Cache) error { return c.PurgeKey("k1") },
		"all":    func(c *Cache) error { return c.PurgeAll() },
		"policy": func(c *Cache) error { return c.Bump(Policy, "guard") },
		"other":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			c := made(t, 32<<20)
			s, _ := by.Scope(tenant.Project)
			marks := c.Begin(by, s, EpochName{Model, "assistant"}, EpochName{Policy, "guard"})
			for _, f := range []string{"found", "swept"} {
				c.Put(Answers, s, keyOf(t, c, s, f), Entry{Marks: marks}, noon)
			}
			if purge == nil {
				for _, err := range []error{c.PurgeModel("another"), c.PurgeScope("project:acme/"), c.PurgeKey("k"), c.Bump(Knowledge, "guard")} {
					if err != nil {
						t.Error(err)
					}
				}
			} else if err := purge(c); err != nil {
				t.Error(err)
			}
			c.Put(Answers, s, keyOf(t, c, s, "under way"), Entry{Marks: marks}, noon)
			for _, f := range []string{"found", "under way"} {
				if _, ok := c.Get(Answers, s, keyOf(t, c, s, f), noon); ok != (purge == nil) {
					t.Errorf("%s: %v", f, ok)
				}
			}
			c.Sweep(noon)
			want := LayerReport{Misses: 2, Puts: 2, Dead: 3}
			if purge == nil {
				want = LayerReport{Hits: 2, Puts: 3, Entries: 3, Bytes: 3 * (overhead + 4*perMark)}
			}
			if got := c.Report().Layers[Answers]; got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			now := c.Begin(by, s, EpochName{Model, "assistant"}, EpochName{Policy, "guard"})
			c.Put(Answers, s, keyOf(t, c, s, "after"), Entry{Marks: now}, noon)
			if _, ok := c.Get(Answers, s, keyOf(t, c, s, "after"), noon); !ok {
				t.Error("not kept after it")
			}
		})
	}
}
