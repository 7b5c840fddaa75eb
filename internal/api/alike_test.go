package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"headworks/internal/cache"
	"headworks/internal/fleet"
	"headworks/internal/gateway"
	"headworks/internal/similar"
	"headworks/internal/tenant"
)

// passed is a trial that may serve.
func passed(mode fleet.Semantic) []gateway.Resembled {
	return []gateway.Resembled{{
		Scope: "project:acme/p", Model: "ours", Mode: mode,
		Trial: similar.Trial{Version: similar.Version, Compared: similar.Trials, Hits: 1e6, Serving: true},
	}}
}

// painted is a front before an engine that says one thing, and another one once it is
// changed.
type painted struct {
	*kept
	changed atomic.Bool
}

// alike returns a front whose model gives answers to other questions.
func alike(t *testing.T, mode fleet.Semantic, known []gateway.Resembled, change func(*fleet.Model)) (*painted, *gateway.Resemblances, *alarms) {
	t.Helper()
	k := &painted{kept: &kept{}}
	var err error
	k.cache, err = cache.New(t.Context(), cache.Options{Memory: 32 << 20, Secret: tenant.NewSecret("a secret of the test")})
	if err != nil {
		t.Fatal(err)
	}
	e := behind(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.HasSuffix(r.URL.Path, "/embeddings") {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"object":"list","model":"v","data":[{"object":"embedding","index":0,"embedding":[3,4]}],"usage":{"prompt_tokens":3,"total_tokens":3}}`)
			return
		}
		n := k.calls.Add(1)
		w.Header().Set("Content-Type", "application/json")
		said := "It is blue, and it has been blue for as long as anybody knows."
		if k.changed.Load() {
			said = "It is red, with 14 spots on its left side."
		}
		fmt.Fprintf(w, `{"id":"x-%d","object":"chat.completion","created":1700000000,"model":"theirs","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}`, n, said)
	})
	k.serve(t, e)
	w := *k.g.World()
	s := *w.Fleet
	m := s.Models[0]
	r := *m.Reuse
	r.Semantic = mode
	m.Reuse = &r
	if change != nil {
		change(&m)
	}
	s.Models = []fleet.Model{m}
	w.Fleet = &s
	k.g.Publish(&w)
	a := &alarms{}
	rs := gateway.NewResemblances(1<<20, known, a.add)
	k.g.Resemble(rs)
	return k, rs, a
}

type alarms struct {
	mu  sync.Mutex
	all []gateway.Resembled
}

func (a *alarms) add(r gateway.Resembled) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, r)
}

func asking(text string) string {
	q, _ := json.Marshal(text)
	return `{"model":"ours","messages":[{"role":"user","content":` + string(q) + `}]}`
}

// An answer to a question is given to whoever asks the same in other words, and says so;
// to nobody who asks anything else, in whatever way.
func TestAlike(t *testing.T) {
	k, rs, _ := alike(t, fleet.SemanticOn, passed(fleet.SemanticOn), nil)
	const first = "How do I paint the door of my garage?"
	k.say(t, "acme", asking(first))
	h, body := k.say(t, "acme", asking("What is the best way to paint my garage's door?"))
	if got := h.Get("x-headworks-cache"); !strings.HasPrefix(got, "hit; tier=semantic; similarity=") || !strings.Contains(got, "; age=") {
		t.Errorf("x-headworks-cache: %q", got)
	}
	if got := h.Get("Cache-Status"); !strings.HasPrefix(got, "Headworks; hit; ttl=") || !strings.Contains(got, `detail="semantic `) {
		t.Errorf("Cache-Status: %q", got)
	}
	if got := h.Get("x-headworks-route"); got != gateway.SimilarCache {
		t.Errorf("x-headworks-route: %q", got)
	}
	if !strings.Contains(body, "It is blue") || k.calls.Load() != 1 {
		t.Errorf("after %d calls: %s", k.calls.Load(), body)
	}
	if r := k.record(2); r.Cache != "hit" || r.CacheTier != "semantic" || r.CacheSimilarity < 600 || r.SavedTokens != 16 || r.Cost > 0 {
		t.Errorf("recorded %q, %q, similarity %d, saved %d, cost %d", r.Cache, r.CacheTier, r.CacheSimilarity, r.SavedTokens, r.Cost)
	}
	miss := func(name, who, body string, header ...string) {
		t.Helper()
		if h, _ := k.say(t, who, body, header...); strings.HasPrefix(h.Get("x-headworks-cache"), "hit") {
			t.Errorf("%s: %s", name, h.Get("x-headworks-cache"))
		}
	}
	const same = "What's the best way to paint the door of my garage?"
	in := func(body, from, to string) string { return strings.Replace(body, from, to, 1) }
	miss("another thing", "acme", asking("How do I paint the roof of my garage?"))
	miss("not", "acme", asking("How do I not paint the door of my garage?"))
	miss("another project", "other", asking(same))
	miss("another tier", "acme+pro", asking(same))
	miss("another system text", "acme", in(asking(same), `[`, `[{"role":"system","content":"Be brief."},`))
	miss("another turn before", "acme", in(asking(same), `[`, `[{"role":"user","content":"Hello"},{"role":"assistant","content":"Hi"},`))
	miss("another temperature", "acme", in(asking(same), `"messages"`, `"temperature":0.5,"messages"`))
	miss("with a tool", "acme", in(asking(same), `"messages"`, `"tools":[{"type":"function","function":{"name":"f"}}],"messages"`))
	miss("no-cache", "acme", asking(same), "Cache-Control", "no-cache")
	miss("no-store", "acme", asking(same), "Cache-Control", "no-store")
	miss("of today", "acme", asking("How do I paint the door of my garage today?"))
	miss("about somebody", "acme", asking("How do I paint the door of my garage? Mail me at a@example.org"))
	miss("too old", "acme", asking("How to paint the door of my garage?"), "Cache-Control", "max-age=0")
	if got := rs.Report(); len(got) != 2 || got[0].Scope != "project:acme/p" || got[1].Scope != "project:other/p" {
		t.Errorf("got %+v", got)
	}
	for range 2 { // what was given is not kept as an answer to what was asked
		if h, _ := k.say(t, "acme", asking("What is the right way to paint the door of my garage?")); !strings.HasPrefix(h.Get("x-headworks-cache"), "hit; tier=semantic") {
			t.Errorf("once more: %q", h.Get("x-headworks-cache"))
		}
	}
	if h, _ := k.say(t, "acme", in(asking("How can I paint the door of my garage?"), `"messages"`, `"stream":true,"messages"`)); !strings.HasPrefix(h.Get("x-headworks-cache"), "hit; tier=semantic") {
		t.Errorf("as a stream: %q", h.Get("x-headworks-cache"))
	}
}

// In shadow nothing is given: the caller gets the new answer, and both are compared.
func TestAlikeInShadow(t *testing.T) {
	k, rs, _ := alike(t, fleet.SemanticShadow, nil, nil)
	for i, text := range []string{"How do I paint the door of my garage?", "What is the best way to paint my garage's door?", "How to paint the door of my garage?"} {
		if h, _ := k.say(t, "acme", asking(text)); strings.HasPrefix(h.Get("x-headworks-cache"), "hit") {
			t.Errorf("%d: %q", i, h.Get("x-headworks-cache"))
		}
	}
	got := rs.Report()
	if len(got) != 1 || got[0].Scope != "project:acme/p" || got[0].Questions != 3 {
		t.Fatalf("got %+v", got)
	}
	if tr := got[0].Trial; tr.Candidates != 2 || tr.Compared != 2 || tr.False != 0 || tr.Hits != 0 {
		t.Errorf("got %+v", tr)
	}
	if k.calls.Load() != 3 {
		t.Errorf("%d calls, want 3", k.calls.Load())
	}
}

// Before enough answers were compared nothing is given, after that it is, and once too
// many of those that are checked were wrong it is not any more, which somebody is told.
func TestAlikeOnTrial(t *testing.T) {
	known := passed(fleet.SemanticOn)
	known[0].Trial.Serving, known[0].Trial.Compared, known[0].Trial.Hits = false, similar.Trials-1, 0
	k, rs, a := alike(t, fleet.SemanticOn, known, nil)
	hit := func(text string) bool {
		h, _ := k.say(t, "acme", asking(text))
		return strings.HasPrefix(h.Get("x-headworks-cache"), "hit; tier=semantic")
	}
	hit("How do I paint the door of my garage?")
	if got := rs.Report(); len(got) != 1 || got[0].Trial.Serving {
		t.Fatalf("got %+v", got)
	}
	if hit("How can I paint the door of my garage?") {
		t.Error("given before the trial is over")
	}
	if !hit("How to paint the door of my garage?") {
		t.Error("not given after the trial")
	}
	if n := len(a.all); n != 0 {
		t.Errorf("%d alarms", n)
	}
}

type unwatched struct{}

func (unwatched) Unsent(string, string, string) {}
func (unwatched) Compare(*gateway.Compared)     {}

// Some answers that were given are made anew. Once too many of these say something else,
// none is given any more, and somebody is told.
func TestAlikeStops(t *testing.T) {
	known := passed(fleet.SemanticOn)
	known[0].Trial.Hits = 0
	k, rs, a := alike(t, fleet.SemanticOn, known, nil)
	s := k.g.Shadow(unwatched{})
	defer s.End()
	k.say(t, "acme", asking("How do I paint the door of my garage?"))
	k.changed.Store(true)
	told := func() []gateway.Resembled {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.all
	}
	for i := 0; i < 1000 && len(told()) == 0; i++ { // of the first hits every fifth is checked
		if h, body := k.say(t, "acme", asking("How can I paint the door of my garage?")); !strings.HasPrefix(h.Get("x-headworks-cache"), "hit") && len(told()) == 0 {
			break // it may stop just now
		} else if len(told()) == 0 && !strings.Contains(body, "It is blue") {
			t.Fatalf("given: %s", body)
		}
		time.Sleep(time.Millisecond)
	}
	for deadline := time.Now().Add(10 * time.Second); len(told()) == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	got := told()
	if len(got) != 1 || got[0].Scope != "project:acme/p" || got[0].Model != "ours" || !got[0].Trial.Stopped || got[0].Trial.False == 0 {
		t.Fatalf("told %+v", got)
	}
	if h, body := k.say(t, "acme", asking("How to paint the door of my garage?")); h.Get("x-headworks-cache") != "miss" || !strings.Contains(body, "red") {
		t.Errorf("after it stopped: %q, %s", h.Get("x-headworks-cache"), body)
	}
	if r := rs.Report(); len(r) != 1 || r[0].Trial.Serving {
		t.Errorf("got %+v", r)
	}
}

// The vectors of an upstream are asked for where the model names one.
func TestAlikeByVector(t *testing.T) {
	k, _, _ := alike(t, fleet.SemanticOn, passed(fleet.SemanticOn), func(m *fleet.Model) {
		m.Reuse.Embedder = &fleet.Embedder{Upstream: 0, Model: "v", Timeout: 10 * time.Second}
	})
	k.say(t, "acme", asking("How do I paint the door of my garage?"))
	h, _ := k.say(t, "acme", asking("How can I paint the door of my garage?"))
	if got := h.Get("x-headworks-cache"); !strings.HasPrefix(got, "hit; tier=semantic; similarity=1.00") {
		t.Errorf("x-headworks-cache: %q", got)
	}
}
