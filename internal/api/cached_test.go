package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/api"
	"headworks/internal/api/anthropic"
	"headworks/internal/api/gemini"
	"headworks/internal/api/ollama"
	"headworks/internal/api/openai"
	"headworks/internal/cache"
	"headworks/internal/engine"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/gateway"
	"headworks/internal/record"
	"headworks/internal/tenant"
)

// named gives each credential a caller of a tenant of that name.
type named struct{}

func (named) Resolve(credential []byte, _ time.Time) (*tenant.Caller, error) {
	who := string(credential)
	tier := tenant.Tier{Name: "standard"}
	project, special, _ := strings.Cut(who, "+")
	if special != "" {
		tier.Name = special
	}
	of, project, ok := strings.Cut(project, "/")
	if !ok {
		project = "p"
	}
	return &tenant.Caller{Key: who, KeyID: who, Tenant: of, Project: project, Tier: tier}, nil
}

// kept is a front whose model keeps its answers, and what it knows of its requests.
type kept struct {
	url   string
	calls atomic.Int64 // that its engine had
	gate  chan struct{}
	cache *cache.Cache
	g     *gateway.Gateway

	mu      sync.Mutex
	records []record.Record
}

// keeping returns a front before an engine of OpenAI's dialect that answers each request
// with reply, of which n is the number.
func keeping(t *testing.T, reply func(w http.ResponseWriter, stream bool, n int64)) *kept {
	t.Helper()
	k := &kept{}
	var err error
	k.cache, err = cache.New(t.Context(), cache.Options{Memory: 32 << 20, Secret: tenant.NewSecret("a secret of the test")})
	if err != nil {
		t.Fatal(err)
	}
	e := behind(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n := k.calls.Add(1)
		if k.gate != nil {
			select {
			case <-k.gate:
			case <-r.Context().Done():
				return
			}
		}
		reply(w, strings.Contains(string(body), `"stream":true`), n)
	})
	k.serve(t, e)
	return k
}

func (k *kept) serve(t *testing.T, e engine.Engine) {
	t.Helper()
	k.g = gateway.New(flow.NewPolicy(admit.Limits{}), unpaid{}, func(r *record.Record) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.records = append(k.records, *r)
	}, nil)
	k.g.Reuse(k.cache)
	k.g.Publish(&gateway.World{
		Fleet: &fleet.Snapshot{
			Upstreams: []fleet.Upstream{{Name: "lab", Replicas: []fleet.Replica{{ID: 0, Name: "r0"}}}},
			Models: []fleet.Model{{
				Name: "ours", Targets: []fleet.Target{{Model: "theirs"}},
				Reuse: &fleet.Reuse{Exact: fleet.ExactAuto, TTL: time.Hour, Revalidate: time.Minute, IfError: time.Hour, Reach: tenant.Project, Mark: "1"},
			}},
			Replicas: 1,
		},
		Engines: []engine.Engine{e},
	})
	k.url = served(t, k.g, named{}, openai.Routes(), anthropic.Routes(), gemini.Routes(), ollama.Routes())
}

// record returns the n-th record, once it is there.
func (k *kept) record(n int) record.Record {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		k.mu.Lock()
		if len(k.records) >= n {
			defer k.mu.Unlock()
			return k.records[n-1]
		}
		k.mu.Unlock()
	}
	return record.Record{}
}

// chatty answers as OpenAI does; each answer has a name of its own.
func chatty(w http.ResponseWriter, stream bool, n int64) {
	id := fmt.Sprintf("chatcmpl-of-theirs-%d", n)
	if !stream {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":%q,"object":"chat.completion","created":1700000000,"model":"theirs","choices":[{"index":0,"message":{"role":"assistant","content":"The word is \"%s\", and %d."},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16},"system_fingerprint":"fp"}`, id, id, n)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	event := func(rest string) {
		fmt.Fprintf(w, "data: {\"id\":%q,\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"theirs\",%s}\n\n", id, rest)
	}
	event(`"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]`)
	for _, word := range []string{"The", " word", " is", " ", strconv.FormatInt(n, 10), "."} {
		event(fmt.Sprintf(`"choices":[{"index":0,"delta":{"content":%q},"finish_reason":null}]`, word))
		w.(http.Flusher).Flush()
	}
	event(`"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]`)
	event(`"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}`)
	io.WriteString(w, "data: [DONE]\n\n")
}

const cold = `{"model":"ours","temperature":0,"messages":[{"role":"user","content":"Which word?"}]`

// say asks, and returns the answer's header and body.
func (k *kept) say(t *testing.T, who, body string, header ...string) (http.Header, string) {
	t.Helper()
	res, got := k.try(t, t.Context(), who, "/v1/chat/completions", body, header...)
	if res == nil || res.StatusCode != 200 {
		t.Fatalf("got %v: %s", res, got)
	}
	return res.Header, got
}

func (k *kept) try(t *testing.T, ctx context.Context, who, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, "POST", k.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+who)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err.Error()
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err.Error()
	}
	return res, string(got)
}

func (k *kept) wantCalls(t *testing.T, want int64) {
	t.Helper()
	if n := k.calls.Load(); n != want {
		t.Errorf("the engine had %d calls, want %d", n, want)
	}
}

func state(h http.Header) string {
	s, _, _ := strings.Cut(h.Get("x-headworks-cache"), ";")
	return s
}

// TestHitWhole: the same request costs nothing the second time, and has an answer with a
// name of its own.
func TestHitWhole(t *testing.T) {
	k := keeping(t, chatty)
	h, first := k.say(t, "acme", cold+`}`)
	if state(h) != "miss" || h.Get("Cache-Status") != "Headworks; fwd=miss; stored" || h.Get("Cache-Control") != "private, no-store" {
		t.Errorf("the first: %v", h)
	}
	h, second := k.say(t, "acme", cold+`}`)
	k.wantCalls(t, 1)
	if state(h) != "hit" || !strings.HasPrefix(h.Get("Cache-Status"), "Headworks; hit; ttl=3") || h.Get("Age") != "0" || h.Get("Cache-Control") != "private, no-store" ||
		h.Get("x-headworks-cost") != "0.000000" || h.Get("x-headworks-upstream") != "lab" || h.Get("x-headworks-route") != "exact cache" || h.Get("x-headworks-attempts") != "" {
		t.Errorf("the second: %v", h)
	}
	var a, b map[string]any
	if json.Unmarshal([]byte(first), &a) != nil || json.Unmarshal([]byte(second), &b) != nil {
		t.Fatalf("%s\n%s", first, second)
	}
	if id, _ := b["id"].(string); id == a["id"] || !strings.HasPrefix(id, "chatcmpl-req_") || b["created"].(float64) < 1.7e9+1 {
		t.Errorf("named %v of %v", b["id"], b["created"])
	}
	if !strings.Contains(second, `\"chatcmpl-of-theirs-1\"`) {
		t.Errorf("a name within the text was changed: %s", second)
	}
	a["id"], a["created"] = b["id"], b["created"]
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("got  %v\nwant %v", b, a)
	}
	r := k.record(2)
	if r.Cache != "hit" || r.CacheTier != "exact" || r.CacheAge < 0 || r.SavedTokens != 16 || r.Input != 0 || r.Output != 0 || r.Tried != 0 || r.End != record.OK || r.Finish.String() != "stop" {
		t.Errorf("the record says %+v", r)
	}
}

// TestHitInEitherForm: what came as a stream is given whole, and the other way round;
// usage is told in a stream to those who ask.
func TestHitInEitherForm(t *testing.T) {
	for _, streamed := range []bool{true, false} {
		k := keeping(t, chatty)
		first := cold + `}`
		if streamed {
			first = cold + `,"stream":true}`
		}
		k.say(t, "acme", first)
		want := "The word is 1."
		if !streamed {
			want = `The word is "chatcmpl-of-theirs-1", and 1.`
		}
		h, stream := k.say(t, "acme", cold+`,"stream":true}`)
		if state(h) != "hit" || strings.Count(stream, "data: [DONE]") != 1 || !strings.HasSuffix(stream, "data: [DONE]\n\n") || strings.Contains(stream, `"usage":{`) || said(stream) != want {
			t.Errorf("streamed %v: %v %s", streamed, h, stream)
		}
		if n := strings.Count(stream, "\n\n"); n < 4 {
			t.Errorf("streamed %v: all in %d events: %s", streamed, n, stream)
		}
		if strings.Contains(stream, `"id":"chatcmpl-of-theirs`) || strings.Contains(stream, "1700000000") {
			t.Errorf("streamed %v: another answer's names: %s", streamed, stream)
		}
		_, usage := k.say(t, "acme", cold+`,"stream":true,"stream_options":{"include_usage":true}}`)
		if strings.Count(usage, `"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16`) != 1 || said(usage) != want {
			t.Errorf("streamed %v, with usage: %s", streamed, usage)
		}
		if ids, models := names(usage); len(ids) != 1 || len(models) != 1 {
			t.Errorf("streamed %v: one answer has the names %v of %v", streamed, ids, models)
		}
		_, whole := k.say(t, "acme", cold+`}`)
		var got struct {
			Choices []struct{ Message struct{ Content string } }
			Usage   struct {
				Total int `json:"total_tokens"`
			}
		}
		if err := json.Unmarshal([]byte(whole), &got); err != nil || got.Choices[0].Message.Content != want || got.Usage.Total != 16 {
			t.Errorf("streamed %v, whole: %v %s", streamed, err, whole)
		}
		k.wantCalls(t, 1)
	}
}

// names returns what the events of a stream call the answer and its model.
func names(stream string) (ids, models map[string]bool) {
	ids, models = map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(stream) {
		var e struct{ ID, Model string }
		if data, ok := strings.CutPrefix(line, "data: "); ok && json.Unmarshal([]byte(data), &e) == nil {
			ids[e.ID], models[e.Model] = true, true
		}
	}
	return ids, models
}

// said joins the text of a stream.
func said(stream string) string {
	var b strings.Builder
	for line := range strings.Lines(stream) {
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var e struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if json.Unmarshal([]byte(data), &e) == nil && len(e.Choices) > 0 {
			b.WriteString(e.Choices[0].Delta.Content)
		}
	}
	return b.String()
}

// TestUsageAskedFirst: an answer that was made for somebody who asked for usage tells
// it to nobody else.
func TestUsageAskedFirst(t *testing.T) {
	k := keeping(t, chatty)
	k.say(t, "acme", cold+`,"stream":true,"stream_options":{"include_usage":true}}`)
	_, plain := k.say(t, "acme", cold+`,"stream":true}`)
	_, asked := k.say(t, "acme", cold+`,"stream":true,"stream_options":{"include_usage":true}}`)
	k.wantCalls(t, 1)
	if strings.Contains(plain, `"total_tokens"`) || strings.Count(asked, `"total_tokens":16`) != 1 || strings.Contains(asked, "of-theirs") {
		t.Errorf("without: %s\nwith: %s", plain, asked)
	}
}

// TestWhoIsGivenWhat: what cannot change an answer does not tell requests apart, and all
// else does.
func TestWhoIsGivenWhat(t *testing.T) {
	for name, tt := range map[string]struct {
		who, body string
		header    []string
		hit       bool
	}{
		"the same":          {"acme", cold + `}`, nil, true},
		"written otherwise": {"acme", `{ "messages":[{"content":"Which \u0077ord?","role":"user"}], "temperature":0.0, "model":"ours", "user":"u-1", "metadata":null, "service_tier":"auto", "top_p":null }`, nil, true},
		"another tenant":    {"other", cold + `}`, nil, false},
		"another tier":      {"acme+free", cold + `}`, nil, false},
		"another question":  {"acme", strings.Replace(cold, "Which", "what", 1) + `}`, nil, false},
		"one more field":    {"acme", cold + `,"x_unknown":1}`, nil, false},
		"a seed":            {"acme", cold + `,"seed":9007199254740993}`, nil, false},
		"a wish":            {"acme", cold + `}`, []string{"x-headworks-prefer", "quality"}, false},
		"a beta header":     {"acme", cold + `}`, []string{"openai-beta", "x=1"}, false},
		"warm":              {"acme", strings.Replace(cold, `"temperature":0`, `"temperature":0.1`, 1) + `}`, nil, false},
		"no temperature":    {"acme", strings.Replace(cold, `"temperature":0,`, ``, 1) + `}`, nil, false},
		"several answers":   {"acme", cold + `,"n":1}`, nil, false}, // in the key, though it asks for nothing else
		"to be stored":      {"acme", cold + `,"store":true}`, nil, false},
		"no-store":          {"acme", cold + `}`, []string{"Cache-Control", "no-store"}, false},
		"no-cache":          {"acme", cold + `}`, []string{"X-Cache-Control", "no-cache"}, false},
		"too old":           {"acme", cold + `}`, []string{"Cache-Control", "min-fresh=360000"}, false},
	} {
		k := keeping(t, chatty)
		k.say(t, "acme", cold+`}`)
		h, _ := k.say(t, tt.who, tt.body, tt.header...)
		if got := state(h) == "hit"; got != tt.hit || (k.calls.Load() == 1) != tt.hit {
			t.Errorf("%s: %v, %d calls", name, h, k.calls.Load())
		}
	}
}

// TestNotKept: an answer that its model did not end itself, or that was cut, is given to
// nobody else.
func TestNotKept(t *testing.T) {
	whole := func(finish, message string) func(w http.ResponseWriter, stream bool, n int64) {
		return func(w http.ResponseWriter, _ bool, _ int64) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"id":"a","object":"chat.completion","created":1700000000,"model":"theirs","choices":[{"index":0,"message":{"role":"assistant",%s},"finish_reason":%q}],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}`, message, finish)
		}
	}
	cut := func(w http.ResponseWriter, _ bool, _ int64) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, `data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"The"},"finish_reason":null}]}`+"\n\n")
	}
	for name, tt := range map[string]struct {
		reply func(w http.ResponseWriter, stream bool, n int64)
		body  string
		kept  bool
	}{
		"stop":       {whole("stop", `"content":"yes"`), cold + `}`, true},
		"tools":      {whole("tool_calls", `"content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]`), cold + `}`, true},
		"length":     {whole("length", `"content":"yes"`), cold + `}`, false},
		"filter":     {whole("content_filter", `"content":"yes"`), cold + `}`, false},
		"refusal":    {whole("stop", `"content":null,"refusal":"no"`), cold + `}`, false},
		"no refusal": {whole("stop", `"content":"yes","refusal":null`), cold + `}`, true},
		"too long":   {whole("stop", `"content":"`+strings.Repeat("long words ", 30_000)+`"`), cold + `}`, false},
		"cut":        {cut, cold + `,"stream":true}`, false},
	} {
		k := keeping(t, tt.reply)
		for range 2 {
			k.try(t, t.Context(), "acme", "/v1/chat/completions", tt.body)
		}
		if got := k.calls.Load() == 1; got != tt.kept {
			t.Errorf("%s: %d calls", name, k.calls.Load())
		}
	}
}

// TestOnlyIfCached: whoever wants a kept answer or none is told that there is none, and
// not to come back.
func TestOnlyIfCached(t *testing.T) {
	k := keeping(t, chatty)
	res, got := k.try(t, t.Context(), "acme", "/v1/chat/completions", cold+`}`, "Cache-Control", "only-if-cached")
	if res == nil || res.StatusCode != 504 || res.Header.Get("x-should-retry") != "false" || !strings.Contains(got, `"not_cached"`) {
		t.Errorf("got %v %s", res, got)
	}
	k.wantCalls(t, 0)
	k.say(t, "acme", cold+`}`)
	if h, _ := k.say(t, "acme", cold+`}`, "Cache-Control", "only-if-cached"); state(h) != "hit" {
		t.Errorf("got %v", h)
	}
	warm := `{"model":"ours","messages":[{"role":"user","content":"Which word?"}]`
	if h, _ := k.say(t, "acme", warm+`}`, "Cache-Control", "max-age=60"); state(h) != "miss" {
		t.Errorf("max-age opens the door: %v", h)
	}
	if h, _ := k.say(t, "acme", warm+`}`, "Cache-Control", "max-age=60"); state(h) != "hit" {
		t.Errorf("max-age opens the door: %v", h)
	}
	k.wantCalls(t, 2)
}

// TestPurged: what a purge lets go of is made anew.
func TestPurged(t *testing.T) {
	k := keeping(t, chatty)
	for i, purge := range []func() error{
		func() error { return k.cache.PurgeModel("ours") },
		func() error { return k.cache.PurgeScope("project:acme/p") },
		func() error { return k.cache.PurgeKey("acme") },
		k.cache.PurgeAll,
	} {
		k.say(t, "acme", cold+`}`)
		k.say(t, "acme", cold+`}`)
		k.wantCalls(t, int64(i+1))
		if err := purge(); err != nil {
			t.Fatal(err)
		}
	}
	k.say(t, "acme", cold+`}`)
	k.wantCalls(t, 5)
}

// TestSharedOnce: all who ask for the same at the time share what is made once, streamed
// or not; what the first of them does harms nobody.
func TestSharedOnce(t *testing.T) {
	const callers = 60
	k := keeping(t, chatty)
	k.gate = make(chan struct{})
	ctx, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { k.try(t, ctx, "acme", "/v1/chat/completions", cold+`,"stream":true}`) })
	for k.calls.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	var wrong, joined atomic.Int64
	for i := range callers {
		all.Go(func() {
			body, want := cold+`}`, `The word is 1.`
			if i%2 == 0 {
				body = cold + `,"stream":true}`
			}
			res, got := k.try(t, t.Context(), "acme", "/v1/chat/completions", body)
			if res != nil && state(res.Header) == "joined" {
				joined.Add(1)
			}
			if i%2 == 0 {
				got = said(got)
			}
			if res == nil || res.StatusCode != 200 || !strings.Contains(got, want) {
				wrong.Add(1)
				t.Errorf("got %v %s", res, got)
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	leave()
	time.Sleep(50 * time.Millisecond)
	close(k.gate)
	all.Wait()
	k.wantCalls(t, 1)
	if joined.Load() < callers*9/10 {
		t.Errorf("%d joined", joined.Load())
	}
	// One of those who stayed pays for all.
	deadline := time.Now().Add(10 * time.Second)
	paid := int64(0)
	for n := 0; n < callers+1 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		k.mu.Lock()
		n, paid = len(k.records), 0
		for i := range k.records {
			paid += max(k.records[i].Output, 0)
		}
		k.mu.Unlock()
	}
	if paid != 7 {
		t.Errorf("%d tokens are paid", paid)
	}
}

var _ api.Keys = named{}
