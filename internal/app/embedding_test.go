package app

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"net/http/httptest"

	"headworks/internal/fault"
	"headworks/internal/knowledge"
)

// vectors is an upstream that makes vectors and puts documents in order.
type vectors struct {
	mu    sync.Mutex
	texts []string // that it made into vectors
	down  bool
	slow  time.Duration // of a rerank
}

func (v *vectors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Input     []string
		Query     string
		Documents []string
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		http.Error(w, err.Error(), 400)
		return
	}
	v.mu.Lock()
	down, slow := v.down, v.slow
	v.texts = append(v.texts, asked.Input...)
	v.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if down {
		w.WriteHeader(500)
		_, _ = w.Write([]byte(`{"error":{"message":"down"}}`))
		return
	}
	type object = map[string]any
	if strings.HasSuffix(r.URL.Path, "/rerank") {
		time.Sleep(slow)
		var results []object
		for i, d := range asked.Documents { // the longest first
			results = append(results, object{"index": i, "relevance_score": float64(len(d))})
		}
		_ = json.NewEncoder(w).Encode(object{"results": results})
		return
	}
	var data []object
	for i, text := range asked.Input {
		x := []float64{0.01, 0.01, 0.01}
		for j, word := range []string{"fruit", "car", "house"} {
			if strings.Contains(text, word) || word == "fruit" && (strings.Contains(text, "apple") || strings.Contains(text, "pear")) {
				x[j] = 3
			}
		}
		data = append(data, object{"object": "embedding", "index": i, "embedding": x})
	}
	slices.Reverse(data) // its order is told by index
	_ = json.NewEncoder(w).Encode(object{"object": "list", "data": data, "usage": object{"prompt_tokens": 1, "total_tokens": 1}})
}

// TestUpstreamVectors: vectors by an upstream, that finds what no word tells of. What
// did not change is not embedded again, an upstream that is down leaves the words, and a
// rerank counts where it comes in time.
func TestUpstreamVectors(t *testing.T) {
	v := &vectors{}
	server := httptest.NewServer(v)
	defer server.Close()
	i := serve(t, `
upstreams: {emb: {kind: openai, key: none, urls: ["`+server.URL+`"]}, rr: {kind: vllm, urls: ["`+server.URL+`"]}}
models: {ranker: {targets: [{upstream: rr, model: r}]}}
`)
	k := i.library.knowledge
	by := knowledge.ByOperator()
	c, err := k.Create(t.Context(), by, knowledge.New{Name: "c", Embedder: "emb/m", Prefix: "passage: ", Asking: "query: "})
	if err != nil {
		t.Fatal(err)
	}
	if c.Embedder.Provider != "emb" || c.Embedder.Model != "m" || c.Embedder.Dim != 3 || !c.Embedder.Normalise {
		t.Errorf("%+v", c.Embedder)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.md", "# One\n\nAn apple a day.\n\n"+strings.Repeat("Filler about nothing at all. ", 100)+"\n\n# Two\n\nA car on the road.\n")
	write("b.md", "My house is my castle, which is a longer text than the others are.\n")
	add := func() *knowledge.Added {
		t.Helper()
		found, _, end, err := places{}.Items(t.Context(), knowledge.Place{From: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer end()
		added, err := k.Add(t.Context(), by, "c", found, knowledge.Adding{})
		if err != nil {
			t.Fatal(err)
		}
		return added
	}
	first := add()
	if first.Added != 2 || first.Embedded != first.Passages || first.Passages < 3 {
		t.Errorf("%+v", first)
	}
	for _, text := range v.texts[1:] {
		if !strings.HasPrefix(text, "passage: ") {
			t.Errorf("embedded without its prefix: %q", text)
		}
	}
	search := func(q knowledge.Query) knowledge.Answer {
		t.Helper()
		a, err := k.SearchAs(t.Context(), by, by.Audience(), []string{"c"}, q)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := search(knowledge.Query{Text: "fruit", K: 1}); len(a.Hits) != 1 || a.Hits[0].Document != "a.md" || a.Hits[0].Legs.Dense < 0.9 || a.Degraded != "" {
		t.Errorf("%+v", a)
	}
	if last := v.texts[len(v.texts)-1]; last != "query: fruit" {
		t.Errorf("the question is embedded as %q", last)
	}
	n := len(v.texts)
	if again := add(); again.Unchanged != 2 || len(v.texts) != n {
		t.Errorf("%+v, and %d texts are embedded again", again, len(v.texts)-n)
	}
	write("a.md", "# One\n\nA pear a day.\n\n"+strings.Repeat("Filler about nothing at all. ", 100)+"\n\n# Two\n\nA car on the road.\n")
	if changed := add(); changed.Added != 1 || changed.Embedded == 0 || changed.Embedded >= changed.Passages {
		t.Errorf("of a document that changed in a part: %+v", changed)
	}
	var a knowledge.Answer
	eventually(t, "a rerank comes in time", func() bool {
		a = search(knowledge.Query{Text: "house car", K: 3, Rerank: "ranker"})
		return a.Degraded == ""
	})
	if len(a.Hits) < 2 || a.Hits[0].Score < a.Hits[1].Score || a.Hits[0].Score < 10 {
		t.Errorf("reranked: %+v", a)
	}
	v.mu.Lock()
	v.slow = 2 * time.Second
	v.mu.Unlock()
	if a := search(knowledge.Query{Text: "house car", K: 3, Rerank: "ranker"}); !strings.Contains(a.Degraded, "not reranked") || len(a.Hits) != 3 {
		t.Errorf("a late rerank: %+v", a)
	}
	v.mu.Lock()
	v.down = true
	v.mu.Unlock()
	if a := search(knowledge.Query{Text: "castle", K: 1}); !strings.Contains(a.Degraded, "by words alone") || len(a.Hits) != 1 || a.Hits[0].Document != "b.md" {
		t.Errorf("without its embedder: %+v", a)
	}
	if _, err := k.SearchAs(t.Context(), by, by.Audience(), []string{"c"}, knowledge.Query{Text: "castle", Ranker: knowledge.Dense}); err == nil || fault.Of(err).Kind.Info().Owner == fault.Caller {
		t.Errorf("vectors alone, without an embedder: %v", err)
	}
}
