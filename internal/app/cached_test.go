package app

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"headworks/internal/api/admin"
	"headworks/internal/cache"
	"headworks/internal/store/redis/redistest"
	"headworks/internal/tenant"
)

// writer is a caller of the key that tests pin.
var writer = &tenant.Caller{KeyID: "file:tests", Tenant: "default"}

// remember keeps something for a caller's project as an answer of a model, and returns
// how to look for it.
func (i *instance) remember(t *testing.T, model, text string) (there func() bool) {
	t.Helper()
	s, ok := writer.Scope(tenant.Project)
	k, err := i.cache.Key(cache.Answers, s, []byte(text))
	if !ok || err != nil {
		t.Fatal(err)
	}
	i.cache.Put(cache.Answers, s, k, cache.Entry{
		Value: []byte(text), Tokens: 100, Cost: 2_000, Took: 3 * time.Second,
		Marks: i.cache.Begin(writer, s, cache.EpochName{Kind: cache.Model, Name: model}),
	}, time.Now())
	return func() bool { return i.finds(t, text) }
}

// finds reports whether the instance has a text, in memory or where gateways share.
func (i *instance) finds(t *testing.T, text string) bool {
	t.Helper()
	s, ok := writer.Scope(tenant.Project)
	k, err := i.cache.Key(cache.Answers, s, []byte(text))
	if !ok || err != nil {
		t.Fatal(err)
	}
	e, ok := i.cache.Fetch(t.Context(), cache.Answers, s, k, time.Now())
	if ok && string(e.Value) != text {
		t.Errorf("%q for %q", e.Value, text)
	}
	return ok
}

func (i *instance) report(t *testing.T) (r admin.CacheReport) {
	t.Helper()
	got := i.ask(t, "GET", "/api/cache", "")
	if err := json.Unmarshal([]byte(got.body), &r); err != nil || got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	return r
}

func TestCacheOfOperators(t *testing.T) {
	i := serve(t, file("", newLab(t, false).URL))
	there := i.remember(t, "m", "hello")
	for range 2 {
		if !there() {
			t.Fatal("not kept")
		}
	}
	if i.finds(t, "something else") {
		t.Error("found what nobody kept")
	}
	r := i.report(t)
	got := r.Layers[0]
	if r.Memory != 256<<20 || len(r.Layers) != int(cache.Layers) || r.Shared != nil || got.Layer != "answers" || got.Entries != 1 || got.Hits != 2 ||
		got.Misses != 1 || got.Ratio != 2./3 || got.Tokens != 200 || got.CostUSD != 0.004 || got.Seconds != 6 {
		t.Errorf("%+v", r)
	}

	for _, body := range []string{`{"model":"m"}`, `{"scope":"project:default/"}`, `{"key":"tests"}`, `{"key":"file:tests"}`, `{"all":true}`} {
		there := i.remember(t, "m", body)
		if !there() {
			t.Errorf("%s: not kept before", body)
		}
		if r := i.ask(t, "POST", "/api/cache/purge", body); r.status != 200 || !strings.Contains(r.body, `"what"`) {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
		if there() {
			t.Errorf("%s: still found", body)
		}
	}
	for _, body := range []string{`{"model":"other"}`, `{"scope":"project:default/web"}`, `{"scope":"key:default//file:tests"}`} {
		there := i.remember(t, "m", body)
		if r := i.ask(t, "POST", "/api/cache/purge", body); r.status != 200 || !there() {
			t.Errorf("%s: %d %s, still found: %v", body, r.status, r.body, there())
		}
	}
	for body, status := range map[string]int{
		``: 400, `{}`: 400, `{"all":false}`: 400, `{"model":"m","all":true}`: 400, `{"models":"m"}`: 400, `{"scope":"team:acme"}`: 400,
		`{"scope":"acme"}`: 400, `{"key":"nobody"}`: 404,
	} {
		if r := i.ask(t, "POST", "/api/cache/purge", body); r.status != status {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	if r := i.send(t, "POST", i.AdminURL()+"/api/cache/purge", pinned, `{"all":true}`); r.status != 401 {
		t.Errorf("a caller purges: %d", r.status)
	}
}

// TestServedOtherwise: a model that is served otherwise than before, after a reload or a
// restart, has no answers of before; the others have.
func TestServedOtherwise(t *testing.T) {
	lab := newLab(t, false).URL
	two := file("", lab) // models m and others
	i := serve(t, two)
	m, other := i.remember(t, "m", "of m"), i.remember(t, "lab", "of lab")
	if _, err := i.Reload(t.Context()); err != nil || !m() || !other() {
		t.Fatalf("nothing changed, and found are %v, %v (%v)", m(), other(), err)
	}
	before := i.cache.Epoch(cache.Model, "m")
	i.write(t, strings.Replace(two, "{targets: [{upstream: lab", "{tries: 3, targets: [{upstream: lab", 1))
	if _, err := i.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m() || !other() {
		t.Errorf("m is served otherwise: found %v; lab is not: found %v", m(), other())
	}
	if n := i.cache.Epoch(cache.Model, "m"); n != before+1 {
		t.Errorf("epoch %d, before %d", n, before)
	}
}

// TestRedisGateways: what one gateway keeps another finds; a purge at one reaches the
// other; and when the server is killed, both serve on.
func TestRedisGateways(t *testing.T) {
	server := redistest.Start(t, redistest.Need(t))
	source := file("", newLab(t, false).URL) + fmt.Sprintf("\nshared: redis://%s/2\ncache: {secret: a-secret-of-both-of-them}\n", server.Addr)
	a, b := serve(t, source), serve(t, source)
	// Both have to be at the same epochs before they find each other's entries.
	eventually(t, "they agree", func() bool {
		x, y := a.cache.Epoch(cache.Model, "m"), b.cache.Epoch(cache.Model, "m")
		return x > 1 && x == y
	})
	eventually(t, "the other finds it", func() bool { a.remember(t, "m", "hello"); return b.finds(t, "hello") })
	if r := b.report(t); r.Shared == nil || r.Layers[0].Shared < 1 || r.Shared.Tampered != 0 {
		t.Errorf("%+v", r)
	}
	if r := a.ask(t, "POST", "/api/cache/purge", `{"key":"tests"}`); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if a.finds(t, "hello") {
		t.Error("who purged finds it")
	}
	eventually(t, "the other does not", func() bool { return !b.finds(t, "hello") })

	server.Kill()
	there := a.remember(t, "m", "later")
	if r := a.chat(t, pinned, "m", false); r.status != 200 || !there() {
		t.Errorf("the server is gone: %d, %v", r.status, there())
	}
	if r := a.ask(t, "POST", "/api/cache/purge", `{"all":true}`); r.status != 200 || !strings.Contains(r.body, `"untold":true`) || there() {
		t.Errorf("the server is gone: %d %s", r.status, r.body)
	}
	before := b.cache.Mark(cache.Model, "m")
	server.Again()
	eventually(t, "the other hears of it", func() bool { return !before.Current() })
}

// TestSharedGone: a server that is not there keeps nobody from starting.
func TestSharedGone(t *testing.T) {
	i := serve(t, file("", newLab(t, false).URL)+"\nshared: redis://127.0.0.1:1\ncache: {secret: a-secret-of-both-of-them}\n")
	if r := i.chat(t, pinned, "m", false); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
	there := i.remember(t, "m", "hello")
	if !there() || i.finds(t, "something else") {
		t.Error("memory serves")
	}
}
