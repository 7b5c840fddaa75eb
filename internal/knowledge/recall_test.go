package knowledge_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"headworks/internal/cache"
	"headworks/internal/knowledge"
	"headworks/internal/passage"
	"headworks/internal/tenant"
)

// memory keeps what searches found by epochs, as the cache of an instance does.
type memory struct {
	c     *cache.Cache
	found int
}

func (m *memory) Recall(c *tenant.Caller, collections []string, key []byte) ([]byte, func([]byte, time.Duration)) {
	scope, ok := c.Scope(tenant.Project)
	if !ok {
		return nil, nil
	}
	var names []cache.EpochName
	for _, id := range collections {
		names = append(names, cache.EpochName{Kind: cache.Knowledge, Name: id})
	}
	marks := m.c.Begin(c, scope, names...)
	k, err := m.c.Key(cache.Passages, scope, key)
	if err != nil {
		return nil, nil
	}
	if e, ok := m.c.Get(cache.Passages, scope, k, time.Now()); ok {
		m.found++
		return e.Value, nil
	}
	return nil, func(b []byte, took time.Duration) {
		m.c.Put(cache.Passages, scope, k, cache.Entry{Value: b, Took: took, Marks: marks}, time.Now())
	}
}

// ranks puts texts in order of their length, and counts.
type ranks struct {
	count int
	fail  error
}

func (r *ranks) Rerank(_ context.Context, _ string, _ *tenant.Caller, _ string, texts []string) ([]float64, error) {
	if r.count++; r.fail != nil {
		return nil, r.fail
	}
	scores := make([]float64, len(texts))
	for i, text := range texts {
		scores[i] = float64(len(text))
	}
	return scores, nil
}

// TestFoundAgain: what a search found is found again without work, by those who may read
// the same, until anything changes that it depends on.
func TestFoundAgain(t *testing.T) {
	r := enter(t)
	c, err := cache.New(t.Context(), cache.Options{Memory: 32 << 20})
	if err != nil {
		t.Fatal(err)
	}
	m, ranker := &memory{c: c}, &ranks{}
	r.k, err = knowledge.Open(t.Context(), knowledge.Options{
		Store: r.store, Register: r.store, Embedders: r.marks, Reader: texts{}, Sources: r.place, Files: r.files, Reranker: ranker,
		Log: slog.New(slog.DiscardHandler), Bump: func(name string) error { return c.Bump(cache.Knowledge, name) },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.k.Keep(m)
	alice := caller("k1", "acme", "web")
	r.create(operator, knowledge.New{Name: "c", Embedder: "m", Readers: []string{"tenant:acme", "tenant:other"}})
	r.create(operator, knowledge.New{Name: "d", Embedder: "m", Readers: []string{"tenant:acme", "tenant:other"}})
	r.add("c", map[string]string{"a": "about apples", "b": "about apples and pears"})
	r.add("d", map[string]string{"e": "apples again"})

	usual := knowledge.Query{Text: "apples"}
	ask := func(by knowledge.Who, q knowledge.Query, collections ...string) string {
		t.Helper()
		a, err := r.k.SearchAs(t.Context(), by, by.Audience(), collections, q)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, h := range a.Hits {
			all = append(all, fmt.Sprintf("%s %s %q %v %v %s", h.Collection, h.Document, h.Text, h.Score, h.Legs, a.Degraded))
		}
		return strings.Join(all, "\n")
	}
	again := func(what string, by knowledge.Who, q knowledge.Query, want bool, collections ...string) {
		t.Helper()
		before, embedded := m.found, r.marks.count["m"]
		ask(by, q, collections...)
		if got := m.found > before; got != want {
			t.Errorf("%s: found again %v, want %v", what, got, want)
		}
		if want && r.marks.count["m"] != embedded {
			t.Errorf("%s: the question was embedded again", what)
		}
	}
	first := ask(alice, usual, "c", "d")
	if second := ask(alice, usual, "c", "d"); second != first || m.found != 1 || !strings.Contains(first, "apples again") {
		t.Errorf("found %d times:\n%s\nthen\n%s", m.found, first, second)
	}
	again("the same", alice, usual, true, "c", "d")
	again("another key of the project", caller("k2", "acme", "web"), usual, false, "c", "d") // its key may be given documents of its own
	again("another tenant", caller("k1", "other", "web"), usual, false, "c", "d")
	again("the operator", operator, usual, false, "c", "d")
	again("one collection", alice, usual, false, "c")
	again("another question", alice, knowledge.Query{Text: "pears"}, false, "c", "d")
	again("fewer", alice, knowledge.Query{Text: "apples", K: 1}, false, "c", "d")
	again("by words", alice, knowledge.Query{Text: "apples", Ranker: knowledge.BM25}, false, "c", "d")
	again("filtered", alice, knowledge.Query{Text: "apples", Filter: &passage.Filter{Op: passage.Eq, Name: "x", Values: []passage.Value{passage.Text("1")}}}, false, "c", "d")
	again("filtered otherwise", alice, knowledge.Query{Text: "apples", Filter: &passage.Filter{Op: passage.Eq, Name: "x", Values: []passage.Value{passage.Num(1)}}}, false, "c", "d")
	half := 0.5
	again("weighed otherwise", alice, knowledge.Query{Text: "apples", Alpha: &half}, false, "c", "d")

	reranked := knowledge.Query{Text: "apples", Rerank: "r"}
	first = ask(alice, reranked, "c", "d")
	if second := ask(alice, reranked, "c", "d"); second != first || ranker.count != 1 || !strings.HasPrefix(first, "c b") {
		t.Errorf("reranked %d times:\n%s\nthen\n%s", ranker.count, first, second)
	}
	ranker.fail = context.DeadlineExceeded
	failing := knowledge.Query{Text: "apples", Rerank: "another"}
	ask(alice, failing, "c", "d")
	again("what lacks something", alice, failing, false, "c", "d")

	for what, change := range map[string]func(){
		"added":   func() { r.add("c", map[string]string{"f": "apples once more"}) },
		"deleted": func() { _, err = r.k.Remove(t.Context(), operator, "c", []string{"a"}) },
		"purged":  func() { err = c.PurgeScope("project:acme/web") },
	} {
		ask(alice, usual, "c", "d")
		again("before", alice, usual, true, "c", "d")
		if change(); err != nil {
			t.Fatal(err)
		}
		again(what, alice, usual, false, "c", "d")
		again("after", alice, usual, true, "c", "d")
	}
	if got := ask(alice, usual, "c", "d"); strings.Contains(got, "c a ") || !strings.Contains(got, "once more") {
		t.Errorf("after all:\n%s", got)
	}
}
