package api_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"headworks/internal/cache"
	"headworks/internal/fleet"
	"headworks/internal/tenant"
)

// embedder is a front before an engine that makes a vector of each text, and remembers
// what it was asked for.
type embedder struct {
	*kept
	asked [][]string // texts of each call
	dim   int
	multi bool // many vectors for each text
	extra string
	calls sync.Mutex
}

// vector is what the engine makes of a text: three numbers of single precision, or more.
func (e *embedder) vector(text string) (v []float32) {
	h := fnv.New64a()
	io.WriteString(h, text)
	for i := range e.dim {
		v = append(v, float32(h.Sum64()>>(8*i)&0xffff)/12345)
	}
	return v
}

func embedding(t *testing.T, change func(*fleet.Reuse)) *embedder {
	t.Helper()
	e := &embedder{kept: &kept{}, dim: 3}
	var err error
	e.cache, err = cache.New(t.Context(), cache.Options{Memory: 32 << 20, Secret: tenant.NewSecret("a secret of the test")})
	if err != nil {
		t.Fatal(err)
	}
	e.serve(t, behind(t, func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Input  json.RawMessage
			Format string `json:"encoding_format"`
		}
		body, _ := io.ReadAll(r.Body)
		var texts []string
		if json.Unmarshal(body, &in) != nil || json.Unmarshal(in.Input, &texts) != nil {
			var one string
			if json.Unmarshal(in.Input, &one) != nil { // tokens
				one = string(in.Input)
			}
			texts = []string{one}
		}
		e.calls.Lock()
		e.asked = append(e.asked, texts)
		e.calls.Unlock()
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"object":"list","id":"embd-1","data":[`)
		tokens := 0
		for n := range texts {
			i := len(texts) - 1 - n // an engine may answer in any order
			if n > 0 {
				io.WriteString(w, ",")
			}
			v := e.vector(texts[i])
			tokens += len(texts[i])
			var shown any = wide(v)
			if in.Format == "base64" {
				shown = packed(v)
			}
			if e.multi {
				shown = [][]float64{wide(v), wide(v)}
			}
			b, _ := json.Marshal(shown)
			fmt.Fprintf(w, `{"object":"embedding","embedding":%s,"index":%d%s}`, b, i, e.extra)
		}
		fmt.Fprintf(w, `],"model":"theirs-v1","usage":{"prompt_tokens":%d,"total_tokens":%d}}`, tokens, tokens)
	}))
	w := *e.g.World()
	s := *w.Fleet
	m := s.Models[0]
	r := *m.Reuse
	r.Vectors = tenant.Organisation
	if change != nil {
		change(&r)
	}
	m.Reuse = &r
	s.Models = []fleet.Model{m}
	w.Fleet = &s
	e.g.Publish(&w)
	return e
}

func wide(v []float32) (all []float64) {
	for _, x := range v {
		all = append(all, float64(x))
	}
	return all
}

func packed(v []float32) string {
	var raw []byte
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// embed asks, checks that each text has its own vector in its own place, and returns what
// is said of the cache and the tokens of the usage.
func (e *embedder) embed(t *testing.T, who, more string, header []string, texts ...string) (http.Header, int) {
	t.Helper()
	input, _ := json.Marshal(texts)
	res, got := e.try(t, t.Context(), who, "/v1/embeddings", `{"model":"ours","input":`+string(input)+more+`}`, header...)
	if res == nil || res.StatusCode != 200 {
		t.Fatalf("%v %s", res, got)
	}
	var a struct {
		Model string
		Data  []struct {
			Index     int
			Embedding json.RawMessage
		}
		Usage struct {
			Prompt int `json:"prompt_tokens"`
		}
	}
	if err := json.Unmarshal([]byte(got), &a); err != nil || len(a.Data) != len(texts) || a.Model != "theirs-v1" {
		t.Fatalf("%v: %s", err, got)
	}
	for _, item := range a.Data {
		want := e.vector(texts[item.Index])
		if strings.Contains(more, "base64") {
			if string(item.Embedding) != `"`+packed(want)+`"` {
				t.Errorf("%s of %q, want %s", item.Embedding, texts[item.Index], packed(want))
			}
			continue
		}
		var v []float64
		if json.Unmarshal(item.Embedding, &v) != nil || !slices.Equal(v, wide(want)) {
			t.Errorf("%s of %q, want %v", item.Embedding, texts[item.Index], want)
		}
	}
	return res.Header, a.Usage.Prompt
}

func (e *embedder) wantAsked(t *testing.T, want ...[]string) {
	t.Helper()
	e.calls.Lock()
	defer e.calls.Unlock()
	if !slices.EqualFunc(e.asked, want, slices.Equal) {
		t.Errorf("the engine was asked for %q, want %q", e.asked, want)
	}
	e.asked = nil
}

// Of many texts those are asked for whose vectors are not kept, and all come back in their
// order, bit by bit, in either form.
func TestVectorsByText(t *testing.T) {
	e := embedding(t, nil)
	h, tokens := e.embed(t, "acme", "", nil, "one", "two")
	e.wantAsked(t, []string{"one", "two"})
	if got := h.Get("x-headworks-cache"); got != "miss; tier=embedding" || tokens != 6 || h.Get("Cache-Status") != `Headworks; fwd=miss; stored; detail="embedding 0/2"` {
		t.Errorf("first: %q %q, %d tokens", got, h.Get("Cache-Status"), tokens)
	}
	h, tokens = e.embed(t, "acme", "", nil, "one", "two")
	e.wantAsked(t)
	if got := h.Get("x-headworks-cache"); got != "hit; tier=embedding; texts=2/2; tokens=6" || tokens != 0 || h.Get("Cache-Status") != `Headworks; hit; detail="embedding 2/2"` {
		t.Errorf("second: %q %q, %d tokens", got, h.Get("Cache-Status"), tokens)
	}
	h, tokens = e.embed(t, "acme", `,"encoding_format":"base64"`, nil, "three", "two", "fourth", "three", "one")
	e.wantAsked(t, []string{"three", "fourth"})
	if got := h.Get("x-headworks-cache"); got != "partial; tier=embedding; texts=2/5; tokens=6" || tokens != 11 || !strings.HasPrefix(h.Get("Cache-Status"), "Headworks; fwd=partial; stored") {
		t.Errorf("some: %q %q, %d tokens", got, h.Get("Cache-Status"), tokens)
	}
	if h, _ := e.embed(t, "acme", "", nil, "fourth"); !strings.HasPrefix(h.Get("x-headworks-cache"), "hit; ") {
		t.Errorf("kept from base64, asked for as numbers: %v", h)
	}
	e.wantAsked(t)
	r := e.record(3)
	if r.Cache != "partial" || r.CacheTier != "embedding" || r.SavedTokens != 6 || r.Input != 11 {
		t.Errorf("recorded %q %q, saved %d, input %d", r.Cache, r.CacheTier, r.SavedTokens, r.Input)
	}
	r = e.record(2)
	if r.Cache != "hit" || r.CacheTier != "embedding" || r.SavedTokens != 6 || r.Input != 0 || r.Cost > 0 {
		t.Errorf("recorded %q %q, saved %d, input %d, cost %d", r.Cache, r.CacheTier, r.SavedTokens, r.Input, r.Cost)
	}
	n := e.cache.Report().Layers[cache.Embeddings]
	if n.Hits != 5 || n.Tokens != 18 || n.Puts != 4 {
		t.Errorf("%+v", n)
	}
}

// What changes a vector makes it another one, and what does not, does not.
func TestVectorsOfWhat(t *testing.T) {
	for name, tt := range map[string]struct {
		who, more string
		header    []string
		hit       bool
	}{
		"the same":        {"acme", "", nil, true},
		"another user":    {"acme", `,"user":"u"`, nil, true},
		"another project": {"acme/app", "", nil, true},
		"another tier":    {"acme+free", "", nil, true},
		"another tenant":  {"other", "", nil, false},
		"fewer numbers":   {"acme", `,"dimensions":2`, nil, false},
		"of a question":   {"acme", `,"input_type":"query"`, nil, false},
		"not known":       {"acme", `,"late_chunking":true`, nil, false},
		"no-store":        {"acme", "", []string{"Cache-Control", "no-store"}, false},
		"no-cache":        {"acme", "", []string{"Cache-Control", "no-cache"}, false},
		"a beta header":   {"acme", "", []string{"openai-beta", "x=1"}, false},
	} {
		e := embedding(t, nil)
		e.embed(t, "acme", "", nil, "a text")
		h, _ := e.embed(t, tt.who, tt.more, tt.header, "a text")
		if got := state(h) == "hit"; got != tt.hit || (len(e.asked) == 1) != tt.hit {
			t.Errorf("%s: %q, %d calls", name, h.Get("x-headworks-cache"), len(e.asked))
		}
	}
}

// A single text is a list of one; tokens are no text; what is purged is made anew.
func TestVectorsInEveryForm(t *testing.T) {
	e := embedding(t, nil)
	ask := func(body string, header ...string) string {
		t.Helper()
		res, got := e.try(t, t.Context(), "acme", "/v1/embeddings", body, header...)
		if res == nil {
			t.Fatal(got)
		}
		return fmt.Sprint(res.StatusCode) + " " + state(res.Header)
	}
	const one = `{"model":"ours","input":"a\u0062"}`
	for i, want := range []string{"200 miss", "200 hit"} {
		if got := ask(one); got != want {
			t.Errorf("%d: %s", i, got)
		}
	}
	if got := ask(`{"model":"ours","input":["ab"]}`); got != "200 hit" {
		t.Errorf("in a list: %s", got)
	}
	for range 2 {
		if got := ask(`{"model":"ours","input":[1,2,3]}`); got != "200 bypass" {
			t.Errorf("tokens: %s", got)
		}
	}
	if got := ask(one, "Cache-Control", "only-if-cached"); got != "200 hit" {
		t.Errorf("only if kept, and it is: %s", got)
	}
	if got := ask(`{"model":"ours","input":["ab","new"]}`, "Cache-Control", "only-if-cached"); !strings.HasPrefix(got, "504") {
		t.Errorf("only if kept, and it is not: %s", got)
	}
	e.asked = nil
	for _, purge := range []func() error{
		func() error { return e.cache.PurgeModel("ours") },
		func() error { return e.cache.PurgeScope("organisation:acme") },
		func() error { return e.cache.PurgeKey("acme") },
		e.cache.PurgeAll,
	} {
		if err := purge(); err != nil {
			t.Fatal(err)
		}
		if got := ask(one); got != "200 miss" {
			t.Errorf("purged: %s", got)
		}
		if got := ask(one); got != "200 hit" {
			t.Errorf("made anew: %s", got)
		}
	}
	if len(e.asked) != 4 {
		t.Errorf("%d calls", len(e.asked))
	}
}

// What says more than a vector, or is many, goes through as it came, and is not kept.
func TestVectorsThatAreMore(t *testing.T) {
	for name, change := range map[string]func(*embedder){
		"many":  func(e *embedder) { e.multi = true },
		"extra": func(e *embedder) { e.extra = `,"cluster":7` },
	} {
		e := embedding(t, nil)
		change(e)
		for range 2 {
			res, got := e.try(t, t.Context(), "acme", "/v1/embeddings", `{"model":"ours","input":["a","b"]}`)
			if res == nil || res.StatusCode != 200 || state(res.Header) != "miss" || !strings.Contains(got, `"id":"embd-1"`) {
				t.Errorf("%s: %v %s", name, res, got)
			}
			if strings.Contains(res.Header.Get("Cache-Status"), "stored") {
				t.Errorf("%s: %s", name, res.Header.Get("Cache-Status"))
			}
		}
		e.wantAsked(t, []string{"a", "b"}, []string{"a", "b"})
	}
}

// An engine that has become another one under its old name has vectors of another length:
// none that is kept is put beside them.
func TestVectorsOfAnotherEngine(t *testing.T) {
	e := embedding(t, nil)
	e.embed(t, "acme", "", nil, "a", "b")
	e.dim = 4
	h, _ := e.embed(t, "acme", "", nil, "a", "c")
	e.wantAsked(t, []string{"a", "b"}, []string{"c"}, []string{"a", "c"})
	if state(h) == "partial" {
		t.Errorf("%q", h.Get("x-headworks-cache"))
	}
	e.embed(t, "acme", "", nil, "a", "c")
	e.embed(t, "acme", "", nil, "c")
}

// Nobody keeps vectors where that is off.
func TestVectorsOff(t *testing.T) {
	e := embedding(t, func(r *fleet.Reuse) { r.Vectors = 0 })
	for range 2 {
		if h, _ := e.embed(t, "acme", "", nil, "a"); h.Get("x-headworks-cache") != "bypass" {
			t.Errorf("%q", h.Get("x-headworks-cache"))
		}
	}
	e.wantAsked(t, []string{"a"}, []string{"a"})
}
