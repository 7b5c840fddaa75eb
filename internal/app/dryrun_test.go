package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headworks/internal/route"
)

// choosing is a configuration with a cheap and a good target of the model m.
func choosing(cheap, good string) string {
	return fmt.Sprintf(`
drain_delay: 0s
upstreams:
  cheap: {kind: openai, urls: [%s], key: provider-secret-of-tests}
  good: {kind: openai, urls: [%s], key: provider-secret-of-tests}
models:
  m:
    policy: best
    choice: {latency: 0}
    targets:
      - {upstream: cheap, model: any, quality: 0.6, capabilities: [tools], price: {input: 0.05, output: 0.1}}
      - {upstream: good, model: any, quality: 0.9, capabilities: [tools, vision], price: {input: 0.3, output: 0.7}}
tiers:
  free: {prefer: price, may_prefer: [price]}
keys:
  - {name: tests, secret: %s}
  - {name: poor, secret: another-secret-of-tests, tier: free}
`, cheap, good, pinned)
}

const (
	easy = "What is the capital of France?"
	hard = "Suppose each of n players, if not ruled out, picks a number; compare the mean with the median, unless they are equal. Explain why, prove it for every n > 2, and list all cases:\n- even\n- odd\n```go\nfunc f(a []int) int\n```"
)

// TestDryRunIsWhatServes: what a dry run says is what a running instance does, and its
// record tells the same.
func TestDryRunIsWhatServes(t *testing.T) {
	cheap, good := newLab(t, false), newLab(t, false)
	i := serve(t, choosing(cheap.URL, good.URL))
	chat := func(text, more string) string {
		said, _ := json.Marshal(text)
		return `{"model":"m","messages":[{"role":"user","content":` + string(said) + `}]` + more + `}`
	}
	hardly, _ := json.Marshal(hard)
	for _, tt := range []struct {
		name, path, body string
		key, secret      string
		header           []string
		want             string
	}{
		{name: "easy", body: chat(easy, ""), want: "cheap"},
		{name: "hard", body: chat(hard, ""), want: "good"},
		{name: "hard, by Messages", path: "/messages", body: chat(hard, `,"max_tokens":100,"system":"Be brief."`), want: "good"},
		{name: "hard, by Responses", path: "/responses", body: `{"model":"m","input":` + string(hardly) + `,"store":false}`, want: "good"},
		{name: "quality is asked for", body: chat(easy, ""), header: []string{"x-headworks-prefer", "quality"}, want: "good"},
		{name: "his tier does not allow that", body: chat(easy, ""), header: []string{"x-headworks-prefer", "quality"}, key: "poor", secret: "another-secret-of-tests", want: "cheap"},
		{name: "a low price is asked for", body: chat(hard, `,"service_tier":"flex"`), want: "cheap"},
		{name: "a picture", body: `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"what?"},{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}]}`, want: "good"},
	} {
		path := tt.path
		if path == "" {
			path = "/chat/completions"
		}
		secret := tt.secret
		if secret == "" {
			secret = pinned
		}
		r := i.send(t, "POST", i.BaseURL()+path, secret, tt.body, tt.header...)
		if r.status != 200 || r.upstream() != tt.want {
			t.Errorf("%s: %d from %q, want %q: %s", tt.name, r.status, r.upstream(), tt.want, r.body)
			continue
		}
		run := DryRun{Config: i.file, Body: []byte(tt.body), Circumstances: Circumstances{Key: tt.key}}
		for h := 0; h < len(tt.header); h += 2 {
			run.Headers = append(run.Headers, tt.header[h]+": "+tt.header[h+1])
		}
		d, err := TryDecision(run)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if d.Chosen == nil || d.Chosen.Upstream != tt.want || d.Reason != r.header.Get("X-Headworks-Route") {
			t.Errorf("%s: the dry run says %+v since %q; the instance, since %q", tt.name, d.Chosen, d.Reason, r.header.Get("X-Headworks-Route"))
		}
		x := i.explained(t, r)
		if x.RouteReason != d.Reason || x.Judged == nil || d.Judged == nil || fmt.Sprint(*x.Judged) != fmt.Sprint(*d.Judged) {
			t.Errorf("%s: the record says %q, %+v, the dry run %q, %+v", tt.name, x.RouteReason, x.Judged, d.Reason, d.Judged)
		}
	}
	r := i.send(t, "POST", i.BaseURL()+"/chat/completions", pinned, chat(easy, ""), "x-headworks-objective", "soon")
	if r.status != 400 || !strings.Contains(r.body, "x-headworks-objective") {
		t.Errorf("a header that means nothing: %d %s", r.status, r.body)
	}
}

// TestWhatCannotBeTried: each says what is wrong.
func TestWhatCannotBeTried(t *testing.T) {
	i := serve(t, choosing("http://127.0.0.1:9", "http://127.0.0.1:9"))
	ok := `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	for _, tt := range []struct {
		body string
		c    Circumstances
		want string
	}{
		{`{`, Circumstances{}, "not JSON"},
		{`[]`, Circumstances{}, "none of the dialect openai"},
		{`{"messages":[{"role":"user","content":"hi"}]}`, Circumstances{}, "model"},
		{ok, Circumstances{Dialect: "latin"}, "no dialect is called"},
		{ok, Circumstances{Key: "nobody"}, `no key "nobody"`},
		{ok, Circumstances{Tier: "gold"}, `no tier "gold"`},
		{ok, Circumstances{Place: "a/b/c"}, "REGION/ZONE"},
		{ok, Circumstances{Place: "mars"}, `no place "mars"; it has local`},
		{ok, Circumstances{Headers: []string{"x-headworks-place: mars"}}, `no place "mars"`},
		{ok, Circumstances{Left: "much"}, "10%"},
		{ok, Circumstances{Left: "NaN%"}, "10%"},
		{ok, Circumstances{Left: "101%"}, "100%"},
		{ok, Circumstances{Headers: []string{"x-headworks-prefer"}}, "name: value"},
		{ok, Circumstances{Headers: []string{"accept: text/html"}}, "changes no decision"},
		{ok, Circumstances{Headers: []string{"x-headworks-prefer: speed"}}, "quality, price or latency"},
		{ok, Circumstances{Down: []string{"nobody"}}, `no upstream "nobody"`},
		{ok, Circumstances{Waiting: []string{"cheap=much"}}, "UPSTREAM=TOKENS"},
		{ok, Circumstances{Waiting: []string{"cheap=9223372036854775807"}}, "1000000000 tokens"},
		{ok, Circumstances{Waiting: []string{"nobody=1"}}, `no upstream "nobody"`},
		{ok, Circumstances{Seen: []string{"cheap/any=fast"}}, "ttft=800ms"},
		{ok, Circumstances{Seen: []string{"cheap/other=ttft=1s,tpot=1ms"}}, `"cheap/other"`},
		{`{"request":` + ok + `,"headers":{"a":1}}`, Circumstances{}, "envelope"},
	} {
		_, err := TryDecision(DryRun{Config: i.file, Body: []byte(tt.body), Circumstances: tt.c})
		if !errors.Is(err, ErrDryRun) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %+v: %v, want %q", tt.body, tt.c, err, tt.want)
		}
	}
	// What a flag says counts before the envelope.
	d, err := TryDecision(DryRun{Config: i.file, Body: []byte(`{"request":` + ok + `,"tier":"free","place":"eu"}`), Circumstances: Circumstances{Place: "local"}})
	if err != nil || d.Request.From != "local" || d.Request.Tier != "free" {
		t.Errorf("%+v, %v", d.Request, err)
	}
}

// TestWhatWaitsCountsWhateverIsKnown: nothing says how fast the engine of the page about
// choosing is, and what waits there and the objective count all the same. Nothing is
// assumed of a provider.
func TestWhatWaitsCountsWhateverIsKnown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "headworks.yaml")
	err := os.WriteFile(file, []byte(`
upstreams:
  gpu: {kind: vllm, urls: ["http://10.0.0.11:8000"], hardware: h100}
  openai: {kind: openai, key: provider-secret-of-tests}
models:
  assistant:
    policy: best
    objectives: {ttft: 2s}
    targets:
      - {upstream: gpu, model: qwen3-8b, precision: fp8, quality: 0.62, window: 32768, capabilities: [tools], price: {input: 0.05, output: 0.10}}
      - {upstream: openai, model: gpt-5.1, quality: 0.90}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ waiting, objective, want, why string }{
		{"gpu=0", "", "gpu", "complexity: "},
		{"gpu=20000", "", "gpu", "complexity: "},
		{"gpu=100000", "", "openai", "load: "},
		{"gpu=1000000000", "", "openai", "load: "},
		{"gpu=20000", "x-headworks-objective: ttft=300ms", "openai", "load: "},
		{"openai=100000", "", "gpu", "complexity: "},
	} {
		c := Circumstances{Waiting: []string{tt.waiting}}
		if tt.objective != "" {
			c.Headers = []string{tt.objective}
		}
		d, err := TryDecision(DryRun{Config: file, Body: []byte(`{"model":"assistant","messages":[{"role":"user","content":"` + easy + `"}]}`), Circumstances: c})
		if err != nil || d.Chosen == nil || d.Chosen.Upstream != tt.want || !strings.HasPrefix(d.Reason, tt.why) {
			t.Errorf("%+v: %+v, %q, %v", tt, d.Chosen, d.Reason, err)
		}
	}
}

// TestAllAreDown: the target that is asked all the same is said to be out.
func TestAllAreDown(t *testing.T) {
	i := serve(t, choosing("http://127.0.0.1:9", "http://127.0.0.1:9"))
	ok := []byte(`{"model":"m","messages":[{"role":"user","content":"hi"}]}`)
	d, err := TryDecision(DryRun{Config: i.file, Body: ok, Circumstances: Circumstances{Down: []string{"cheap", "good"}}})
	if err != nil || d.Chosen == nil || d.Chosen.Out == "" || d.Reason != route.Last || len(d.Rejected) != 1 {
		t.Errorf("%+v, %+v, %v", d, d.Chosen, err)
	}
	d, err = TryDecision(DryRun{Config: i.file, Body: ok, Circumstances: Circumstances{Down: []string{"good"}}})
	if err != nil || d.Chosen == nil || d.Chosen.Out != "" || d.Reason == route.Last {
		t.Errorf("%+v, %+v, %v", d, d.Chosen, err)
	}
}
