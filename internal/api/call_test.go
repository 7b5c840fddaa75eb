package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/api"
	"headworks/internal/api/anthropic"
	"headworks/internal/api/gemini"
	"headworks/internal/api/ollama"
	"headworks/internal/api/openai"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/gateway"
	"headworks/internal/inference"
	"headworks/internal/record"
	"headworks/internal/tenant"
	"headworks/internal/wire"
)

// foreign is an engine of a dialect that no caller speaks. It says "hello", whole
// or in steps, and keeps the headers that it was told to pass on.
type foreign struct {
	mu     sync.Mutex
	header []string
}

func (f *foreign) Open(_ context.Context, c *engine.Call) (engine.Stream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.header = slices.Clone(c.Header)
	return &answer{stream: c.Request.Stream}, nil
}

type answer struct{ stream bool }

func (a *answer) Next(time.Time) (engine.Chunk, error) {
	told := inference.Event{Content: true, Text: 5, Finishes: 1, Finish: inference.Stop}
	if a.stream {
		return engine.Chunk{Event: told, Last: true, Deltas: []inference.Delta{
			{Kind: inference.Begin, ID: "foreign-1", Model: "theirs"},
			{Kind: inference.TextDelta, Text: "hello"},
			{Kind: inference.End, Finish: inference.Stop},
		}}, nil
	}
	return engine.Chunk{Event: told, Last: true, Answer: &inference.Answer{
		ID: "foreign-1", Model: "theirs", Parts: []inference.Part{{Kind: inference.Text, Text: "hello"}}, Finish: inference.Stop,
	}}, nil
}

func (*answer) Dropped() []string { return nil }
func (*answer) Close() error      { return nil }

type anyone struct{}

func (anyone) Resolve(credential []byte, _ time.Time) (*tenant.Caller, error) {
	if len(credential) == 0 {
		return nil, fault.New(fault.Unauthenticated, "no key")
	}
	return &tenant.Caller{Key: "test"}, nil
}

type unpaid struct{}

func (unpaid) Charge(*record.Record) error { return nil }

// between is a route below a path as long as another one's.
var between = []api.Route{{Method: "PUT", Path: "/v1/modelz/", Dialect: anthropic.Dialect(), Serve: api.Model}}

// front serves the model "ours" of one engine on loopback, and returns where.
func front(t *testing.T, e engine.Engine) (url string) {
	t.Helper()
	url, _ = entrance(t, e)
	return url
}

func entrance(t *testing.T, e engine.Engine) (url string, f *api.Front) {
	t.Helper()
	return enter(t, before(e))
}

// before returns the gateway before an engine.
func before(e engine.Engine) *gateway.Gateway {
	g := gateway.New(flow.NewPolicy(admit.Limits{}), unpaid{}, func(*record.Record) {}, nil)
	g.Publish(&gateway.World{
		Fleet: &fleet.Snapshot{
			Upstreams: []fleet.Upstream{{Name: "lab", Replicas: []fleet.Replica{{ID: 0, Name: "r0"}}}},
			Models:    []fleet.Model{{Name: "ours", Targets: []fleet.Target{{Model: "theirs"}}}},
			Replicas:  1,
		},
		Engines: []engine.Engine{e},
	})
	return g
}

// enter serves what a gateway has.
func enter(t *testing.T, g *gateway.Gateway) (url string, f *api.Front) {
	t.Helper()
	f = api.NewFront(g, anyone{}, &api.Health{}, func() api.Limits {
		return api.Limits{Body: 8 << 20, Compress: 64, Origins: []string{"https://app.example.com"}}
	}, openai.Routes(), between, anthropic.Routes(), gemini.Routes(), ollama.Routes())
	return listen(t, f), f
}

// served serves what a gateway has to callers of some keys.
func served(t *testing.T, g *gateway.Gateway, keys api.Keys, routes ...[]api.Route) (url string) {
	t.Helper()
	return listen(t, api.NewFront(g, keys, &api.Health{}, func() api.Limits { return api.Limits{Body: 8 << 20} }, routes...))
}

func listen(t *testing.T, f *api.Front) (url string) {
	t.Helper()
	s := wire.NewServer(f.Serve, wire.Limits{})
	s.Refuse = f.Misread
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(ln); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { s.Close(); serving.Wait() })
	return "http://" + ln.Addr().String()
}

func ask(t *testing.T, url, body string, header ...string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer any")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("status %d, %v: %s", res.StatusCode, err, got)
	}
	return string(got)
}

// An answer from another dialect has an id and a model in the caller's, whole and
// as a stream.
func TestAnswerNames(t *testing.T) {
	url := front(t, &foreign{})
	for _, c := range []struct{ path, id string }{{"/v1/chat/completions", "chatcmpl-req_"}, {"/v1/messages", "msg_req_"}} {
		const question = `{"model":"ours","max_tokens":9,"messages":[{"role":"user","content":"hi"}]`
		var whole struct {
			ID, Model string
			Created   int64
		}
		got := ask(t, url+c.path, question+`}`)
		if err := json.Unmarshal([]byte(got), &whole); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(whole.ID, c.id) || whole.Model != "ours" {
			t.Errorf("%s: id %q, model %q", c.path, whole.ID, whole.Model)
		}
		if c.path == "/v1/chat/completions" && whole.Created == 0 {
			t.Errorf("%s: created at no time: %s", c.path, got)
		}
		stream := ask(t, url+c.path, question+`,"stream":true}`)
		if !strings.Contains(stream, `"id":"`+c.id) || !strings.Contains(stream, `"model":"ours"`) || strings.Contains(stream, "foreign-1") {
			t.Errorf("%s: %s", c.path, stream)
		}
	}
}

// What passes through passes whole, also where it comes in several fields.
func TestForwardedHeaders(t *testing.T) {
	e := &foreign{}
	url := front(t, e)
	ask(t, url+"/v1/messages", `{"model":"ours","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`,
		"Anthropic-Beta", "one", "Anthropic-Beta", "two,three", "Anthropic-Version", "2023-06-01", "X-Other", "no")
	got := slices.Collect(slices.Chunk(e.header, 2))
	want := [][]string{{"anthropic-version", "2023-06-01"}, {"anthropic-beta", "one"}, {"anthropic-beta", "two,three"}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("passed on: %q, want %q", got, want)
	}
}
