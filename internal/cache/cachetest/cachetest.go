// Package cachetest is what every cache promises, whatever stands behind its memory, as
// tests: alone, with a store that gateways share, and with one that is gone, slow or
// written to by others.
package cachetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headworks/internal/cache"
	"headworks/internal/tenant"
)

// Caller returns a caller for tests: of one key, tenant and project.
func Caller(key, tenantName, project string) *tenant.Caller {
	return &tenant.Caller{KeyID: key, Tenant: tenantName, Project: project}
}

// scope returns the scope of a caller.
func scope(t interface{ Fatalf(string, ...any) }, c *tenant.Caller, r tenant.Reach) tenant.Scope {
	s, ok := c.Scope(r)
	if !ok {
		t.Fatalf("%+v has no %v", c, r)
	}
	return s
}

func key(t interface{ Fatalf(string, ...any) }, c *cache.Cache, l cache.Layer, s tenant.Scope, frames ...string) cache.Key {
	var all [][]byte
	for _, f := range frames {
		all = append(all, []byte(f))
	}
	k, err := c.Key(l, s, all...)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return k
}

// Run tests what one cache promises. make returns an empty one of 32 MiB, which may
// have a shared store that fails in any way.
func Run(t *testing.T, make func(t *testing.T) *cache.Cache) {
	alice := Caller("k1", "acme", "web")
	t.Run("keeps", func(t *testing.T) {
		c, s, now := make(t), scope(t, alice, tenant.Project), time.Now()
		for l := range cache.Layers {
			k := key(t, c, l, s, "a")
			if _, ok := c.Fetch(t.Context(), l, s, k, now); ok {
				t.Errorf("%v: found before it was put", l)
			}
			c.Put(l, s, k, cache.Entry{Value: []byte(l.String()), Stored: now, Expires: now.Add(time.Hour), Until: now.Add(2 * time.Hour), Tokens: 7, Cost: 3, Took: time.Second}, now)
			e, ok := c.Get(l, s, k, now)
			f, found := c.Fetch(t.Context(), l, s, k, now.Add(90*time.Minute))
			if !ok || !found || string(e.Value) != l.String() || string(f.Value) != l.String() || f.Tokens != 7 || f.Cost != 3 || f.Took != time.Second {
				t.Errorf("%v: %+v %v, %+v %v", l, e, ok, f, found)
			}
			if !e.Fresh(now) || f.Fresh(now.Add(90*time.Minute)) {
				t.Errorf("%v: fresh at first %v, after its time %v", l, e.Fresh(now), f.Fresh(now.Add(90*time.Minute)))
			}
			if _, ok := c.Fetch(t.Context(), l, s, k, now.Add(2*time.Hour)); ok {
				t.Errorf("%v: found after its end", l)
			}
		}
	})
	t.Run("for one scope", func(t *testing.T) {
		c, now := make(t), time.Now()
		project := scope(t, alice, tenant.Project)
		k := key(t, c, cache.Answers, project, "a")
		c.Put(cache.Answers, project, k, cache.Entry{Value: []byte("x")}, now)
		for name, s := range map[string]tenant.Scope{
			"nobody":            {},
			"her key":           scope(t, alice, tenant.KeyOnly),
			"her organisation":  scope(t, alice, tenant.Organisation),
			"another project":   scope(t, Caller("k1", "acme", "app"), tenant.Project),
			"another tenant":    scope(t, Caller("k1", "bad", "web"), tenant.Project),
			"another tenant, 2": scope(t, Caller("k1", "acme/web", ""), tenant.Project),
		} {
			if _, ok := c.Get(cache.Answers, s, k, now); ok {
				t.Errorf("%s finds it", name)
			}
			if _, ok := c.Fetch(t.Context(), cache.Answers, s, k, now); ok {
				t.Errorf("%s fetches it", name)
			}
		}
		if _, ok := c.Get(cache.Tools, project, k, now); ok {
			t.Error("another layer has it")
		}
		if _, err := c.Key(cache.Answers, tenant.Scope{}); !errors.Is(err, cache.ErrNoScope) {
			t.Errorf("a key for nobody: %v", err)
		}
	})
	t.Run("until something moves", func(t *testing.T) {
		s := scope(t, alice, tenant.Project)
		for name, move := range map[string]func(c *cache.Cache) error{
			"authorisation": func(c *cache.Cache) error { return c.Bump(cache.Authorisation, "x") },
			"knowledge":     func(c *cache.Cache) error { return c.Bump(cache.Knowledge, "x") },
			"model":         func(c *cache.Cache) error { return c.PurgeModel("x") },
			"policy":        func(c *cache.Cache) error { return c.Bump(cache.Policy, "x") },
			"scope":         func(c *cache.Cache) error { return c.PurgeScope(s.String()) },
			"key":           func(c *cache.Cache) error { return c.PurgeKey("k1") },
			"all":           func(c *cache.Cache) error { return c.PurgeAll() },
		} {
			c, now := make(t), time.Now()
			var names []cache.EpochName
			for kind := range cache.EpochKinds {
				names = append(names, cache.EpochName{Kind: kind, Name: "x"})
			}
			marks := c.Begin(alice, s, names...)
			before, under := key(t, c, cache.Answers, s, "before"), key(t, c, cache.Answers, s, "under way")
			c.Put(cache.Answers, s, before, cache.Entry{Marks: marks}, now)
			if _, ok := c.Get(cache.Answers, s, before, now); !ok {
				t.Errorf("%s: not kept", name)
			}
			if err := move(c); err != nil && !errors.Is(err, cache.ErrUntold) {
				t.Errorf("%s: %v", name, err)
			}
			c.Put(cache.Answers, s, under, cache.Entry{Marks: marks}, now)
			for _, k := range []cache.Key{before, under} {
				if _, ok := c.Fetch(t.Context(), cache.Answers, s, k, now); ok {
					t.Errorf("%s moved, and it is found", name)
				}
			}
			c.Sweep(now)
			if r := c.Report().Layers[cache.Answers]; r.Entries != 0 || r.Bytes != 0 {
				t.Errorf("%s moved, and %d entries of %d bytes are left", name, r.Entries, r.Bytes)
			}
		}
	})
	t.Run("nothing crosses", func(t *testing.T) { Crossings(t, make(t)) })
	works(t, make)
	t.Run("within its budget", func(t *testing.T) {
		c, s, now := make(t), scope(t, alice, tenant.Project), time.Now()
		value := filled(100 << 10)
		for i := range 1000 {
			c.Put(cache.Answers, s, key(t, c, cache.Answers, s, fmt.Sprint(i)), cache.Entry{Value: value}, now)
		}
		r := c.Report()
		if n := r.Layers[cache.Answers]; n.Bytes > r.Memory || n.Bytes < r.Memory/2 || n.Entries != int64(n.Puts)-int64(n.Evictions) {
			t.Errorf("%d of %d bytes, %+v", n.Bytes, r.Memory, n)
		}
		huge := key(t, c, cache.Answers, s, "huge")
		c.Put(cache.Answers, s, huge, cache.Entry{Value: filled(4 << 20)}, now)
		if _, ok := c.Get(cache.Answers, s, huge, now); ok {
			t.Error("what would push out all that is new is kept")
		}
	})
}

func filled(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 33)
	}
	return b
}

// reaches are those that callers of every kind have.
var reaches = []tenant.Reach{tenant.User, tenant.KeyOnly, tenant.Project, tenant.Organisation, tenant.Public}

// Crossings lets principals ask a cache for what others keep there, in random order,
// and fails if anybody is given what is not kept for him.
func Crossings(t *testing.T, c *cache.Cache) {
	type place struct {
		scope   tenant.Scope
		layer   cache.Layer
		request string
	}
	n := 0
	owner := func(p place) string { return fmt.Sprintf("%#v: ", p) }
	name := rapid.SampledFrom([]string{"", "a", "b", "a/b", "/", "ab"})
	key := func(t *rapid.T, p place) cache.Key { return key(t, c, p.layer, p.scope, p.request) }
	now := time.Now()
	rapid.Check(t, func(t *rapid.T) {
		principal := rapid.Custom(func(t *rapid.T) tenant.Scope {
			for {
				by := Caller(name.Draw(t, "key"), name.Draw(t, "tenant"), name.Draw(t, "project"))
				by.Cell, by.Share = name.Draw(t, "cell"), rapid.SampledFrom([]tenant.Reach{0, tenant.Public}).Draw(t, "share")
				if s, ok := by.Scope(rapid.SampledFrom(reaches).Draw(t, "reach")); ok {
					return s
				}
			}
		})
		at := func(t *rapid.T) place {
			return place{principal.Draw(t, "scope"), cache.Layer(rapid.IntRange(0, int(cache.Layers)-1).Draw(t, "layer")), name.Draw(t, "request")}
		}
		look := func(t *rapid.T, p place, k cache.Key, what string) {
			for _, get := range []func() (cache.Entry, bool){
				func() (cache.Entry, bool) { return c.Get(p.layer, p.scope, k, now) },
				func() (cache.Entry, bool) { return c.Fetch(noContext(), p.layer, p.scope, k, now) },
			} {
				// What was put last may be on its way to where gateways share.
				if e, ok := get(); ok && !strings.HasPrefix(string(e.Value), owner(p)) {
					t.Fatalf("%s: %+v is given %q", what, p, e.Value)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				p := at(t)
				n++
				c.Put(p.layer, p.scope, key(t, p), cache.Entry{Value: fmt.Append([]byte(owner(p)), n)}, now)
			},
			"get": func(t *rapid.T) {
				p := at(t)
				look(t, p, key(t, p), "its own key")
			},
			"get another's": func(t *rapid.T) {
				p, other := at(t), at(t)
				if k := key(t, other); p.scope != other.scope || p.layer != other.layer {
					for _, get := range []func() (cache.Entry, bool){
						func() (cache.Entry, bool) { return c.Get(p.layer, p.scope, k, now) },
						func() (cache.Entry, bool) { return c.Fetch(noContext(), p.layer, p.scope, k, now) },
					} {
						if e, ok := get(); ok {
							t.Fatalf("%+v is given %q by the key of %+v", p, e.Value, other)
						}
					}
				}
			},
			"remove": func(t *rapid.T) {
				p := at(t)
				c.Remove(p.layer, p.scope, key(t, p))
			},
			"purge": func(t *rapid.T) { _ = c.PurgeScope(principal.Draw(t, "scope").String()) },
		})
	})
}

// Pair tests what two gateways promise that share a store. make returns the caches of
// two that run.
func Pair(t *testing.T, make func(t *testing.T) (a, b *cache.Cache)) {
	alice := Caller("k1", "acme", "web")
	s := scope(t, alice, tenant.Project)
	put := func(t *testing.T, c *cache.Cache, frame string, e cache.Entry) cache.Key {
		k := key(t, c, cache.Answers, s, frame)
		c.Put(cache.Answers, s, k, e, time.Now())
		return k
	}
	fetches := func(c *cache.Cache, k cache.Key) func() bool {
		return func() bool {
			_, ok := c.Fetch(noContext(), cache.Answers, s, k, time.Now())
			return ok
		}
	}
	// shows puts an entry until the other cache has it: on a machine that is slow the store
	// may be late, and a write is dropped then.
	shows := func(t *testing.T, what string, from, to *cache.Cache, frame string, e cache.Entry) cache.Key {
		t.Helper()
		k := key(t, from, cache.Answers, s, frame)
		Eventually(t, what, func() bool { put(t, from, frame, e); return fetches(to, k)() })
		return k
	}
	t.Run("one finds what the other keeps", func(t *testing.T) {
		a, b := make(t)
		now := time.Now()
		e := cache.Entry{
			Value: []byte("hello"), Stored: now, Expires: now.Add(time.Hour), Until: now.Add(2 * time.Hour), Took: time.Second, Cost: 5, Tokens: 9,
			Marks: a.Begin(alice, s, cache.EpochName{Kind: cache.Model, Name: "m"}),
		}
		k := shows(t, "found", a, b, "a", e)
		if k != key(t, b, cache.Answers, s, "a") {
			t.Fatal("one entry has two keys")
		}
		got, ok := b.Get(cache.Answers, s, k, time.Now())
		if !ok || string(got.Value) != "hello" || !got.Stored.Equal(now) || !got.Expires.Equal(e.Expires) || !got.Until.Equal(e.Until) ||
			got.Took != e.Took || got.Cost != e.Cost || got.Tokens != e.Tokens || len(got.Marks) < len(e.Marks) {
			t.Errorf("%+v, want %+v (%v)", got, e, ok)
		}
		if r := b.Report().Layers[cache.Answers]; r.Shared == 0 {
			t.Errorf("%+v", r)
		}
		for _, other := range []tenant.Scope{scope(t, Caller("k1", "bad", "web"), tenant.Project), scope(t, alice, tenant.KeyOnly)} {
			if _, ok := b.Fetch(t.Context(), cache.Answers, other, k, time.Now()); ok {
				t.Errorf("%v finds it too", other)
			}
		}
	})
	t.Run("a purge reaches the other", func(t *testing.T) {
		a, b := make(t)
		marks := func(c *cache.Cache) []cache.Mark {
			return c.Begin(alice, s, cache.EpochName{Kind: cache.Model, Name: "m"})
		}
		ka := shows(t, "both find the first", a, b, "a", cache.Entry{Marks: marks(a)})
		kb := shows(t, "both find the second", b, a, "b", cache.Entry{Marks: marks(b)})
		if err := a.PurgeModel("m"); err != nil && !errors.Is(err, cache.ErrUntold) {
			t.Error(err)
		}
		for _, k := range []cache.Key{ka, kb} {
			if fetches(a, k)() {
				t.Error("who purged still finds it")
			}
			Eventually(t, "the other does not find it", func() bool { return !fetches(b, k)() })
			if fetches(a, k)() {
				t.Error("it is back")
			}
		}
		shows(t, "what is made afterwards is found", a, b, "c", cache.Entry{Marks: marks(a)})
	})
}

// Eventually waits until something is so, for as long as a slow machine may need.
func Eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for range 1000 {
		if so() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func noContext() context.Context { return context.Background() }
