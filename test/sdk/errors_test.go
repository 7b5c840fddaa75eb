package sdk

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicopt "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaiopt "github.com/openai/openai-go/v3/option"
)

// told is what a client makes of an error.
type told struct {
	Status   int
	Type     string // as both dialects have it
	Code     string // OpenAI's
	Param    string // OpenAI's
	Message  string
	Attempts int // of the client, at the gateway
	Header   http.Header
}

func (got told) check(t *testing.T, want told) {
	t.Helper()
	if got.Message == "" {
		t.Error("the error has no message")
	}
	if got.Header.Get("x-request-id") == "" {
		t.Error("the error has no x-request-id")
	}
	got.Message, got.Header = "", nil
	if want.Attempts == 0 {
		want.Attempts = 1
	}
	if got.Status != want.Status || got.Type != want.Type || got.Code != want.Code || got.Param != want.Param || got.Attempts != want.Attempts {
		t.Errorf("the client sees %+v, want %+v", got, want)
	}
}

// fails asks for a whole answer with the client's own tries on, and returns the
// error.
func (g *gateway) fails(t *testing.T, params openai.ChatCompletionNewParams, options ...openaiopt.RequestOption) told {
	t.Helper()
	seen := &tap{}
	client := g.openai(append([]openaiopt.RequestOption{openaiopt.WithMaxRetries(2), openaiopt.WithHTTPClient(seen.client())}, options...)...)
	answer, err := client.Chat.Completions.New(within(t), params)
	e, ok := errors.AsType[*openai.Error](err)
	if !ok {
		t.Fatalf("the client got %v, error %v", answer, err)
	}
	return told{e.StatusCode, e.Type, e.Code, e.Param, e.Message, len(seen.all()), seen.last(t).Header}
}

// failsMessages is fails for the other dialect.
func (g *gateway) failsMessages(t *testing.T, params anthropic.MessageNewParams, options ...anthropicopt.RequestOption) told {
	t.Helper()
	seen := &tap{}
	client := g.anthropic(append([]anthropicopt.RequestOption{anthropicopt.WithMaxRetries(2), anthropicopt.WithHTTPClient(seen.client())}, options...)...)
	answer, err := client.Messages.New(within(t), params)
	e, ok := errors.AsType[*anthropic.Error](err)
	if !ok {
		t.Fatalf("the client got %v, error %v", answer, err)
	}
	body := fields(t, e.RawJSON())
	inner, _ := body["error"].(map[string]any)
	message, _ := inner["message"].(string)
	header := seen.last(t).Header
	if id := header.Get("request-id"); e.RequestID != id || body["request_id"] != id {
		t.Errorf("request ids %q, %q in the body, %q in the header", e.RequestID, body["request_id"], id)
	}
	return told{Status: e.StatusCode, Type: string(e.Type()), Message: message, Attempts: len(seen.all()), Header: header}
}

// What is the caller's fault is told in its dialect, is tried once, and reaches
// no upstream.
func TestRefused(t *testing.T) {
	t.Parallel()
	up := play(t, says(chatAnswer))
	g := serve(t, `
upstreams:
  lab: {kind: openai, key: `+lent+`, urls: ["`+up.url+`"]}
models:
  assistant: {targets: [{upstream: lab, model: engine-1}]}
limits: {body: 4KiB}`)

	duplicate := []byte(`{"model":"assistant","messages":[{"role":"user","content":"hi"}],"max_tokens":5,"\u006dodel":"other"}`)
	long := strings.Repeat("word ", 2000)
	body := func(b []byte) openaiopt.RequestOption { return openaiopt.WithRequestBody("application/json", b) }

	bad := g.fails(t, hello("assistant"), openaiopt.WithAPIKey("sk-wrong-0123456789abcdef"))
	bad.check(t, told{Status: 401, Type: "invalid_request_error", Code: "invalid_api_key"})
	none := g.fails(t, hello("assistant"), openaiopt.WithHeaderDel("authorization"))
	none.check(t, told{Status: 401, Type: "invalid_request_error", Code: "invalid_api_key"})
	g.fails(t, hello("assistent")).check(t, told{Status: 404, Type: "invalid_request_error", Code: "model_not_found", Param: "model"})
	twice := g.fails(t, hello("assistant"), body(duplicate))
	twice.check(t, told{Status: 400, Type: "invalid_request_error", Code: "invalid_json"})
	if at := strconv.Itoa(strings.Index(string(duplicate), `"\u006d`)); !strings.Contains(twice.Message, at) {
		t.Errorf("the message does not name the offset %s: %s", at, twice.Message)
	}
	g.fails(t, hello("assistant"), body([]byte(`{"model":"assistant","messages":[]`))).
		check(t, told{Status: 400, Type: "invalid_request_error", Code: "invalid_json"})
	g.fails(t, hello(""), body([]byte(`{"messages":[{"role":"user","content":"hi"}]}`))).
		check(t, told{Status: 400, Type: "invalid_request_error", Code: "invalid_request", Param: "model"})
	large := hello("assistant")
	large.Messages = append(large.Messages, openai.UserMessage(long))
	g.fails(t, large).check(t, told{Status: 413, Type: "invalid_request_error", Code: "request_too_large"})

	abody := func(b []byte) anthropicopt.RequestOption { return anthropicopt.WithRequestBody("application/json", b) }
	g.failsMessages(t, hi("assistant"), anthropicopt.WithAPIKey("sk-wrong-0123456789abcdef")).check(t, told{Status: 401, Type: "authentication_error"})
	g.failsMessages(t, hi("assistent")).check(t, told{Status: 404, Type: "not_found_error"})
	g.failsMessages(t, hi("assistant"), abody(duplicate)).check(t, told{Status: 400, Type: "invalid_request_error"})
	wide := hi("assistant")
	wide.System = []anthropic.TextBlockParam{{Text: long}}
	g.failsMessages(t, wide).check(t, told{Status: 413, Type: "request_too_large"})

	if n := len(up.all()); n != 0 {
		t.Errorf("the upstream got %d requests", n)
	}
}

// What an upstream says is told as what it means to the caller: never in the
// upstream's words, and with tries of the client's own only where they help.
func TestUpstreamRefuses(t *testing.T) {
	t.Parallel()
	const words = "leak: sk-inner at 10.1.2.3"
	said := func(status int, code string, fields ...string) answer {
		return refuses(status, `{"error":{"message":"`+words+`","type":"server_error","param":null,"code":"`+code+`"},"type":"error"}`, fields...)
	}
	cases := []struct {
		name  string
		does  answer
		chat  told
		other told // as Anthropic's client sees it
	}{
		{"500", said(500, "boom"), told{Status: 502, Type: "server_error", Code: "upstream_error"}, told{Status: 502, Type: "api_error"}},
		{"401", said(401, "invalid_api_key"), told{Status: 502, Type: "server_error", Code: "upstream_auth"}, told{Status: 502, Type: "api_error"}},
		{"400", said(400, "boom"), told{Status: 400, Type: "invalid_request_error", Code: "invalid_request"}, told{Status: 400, Type: "invalid_request_error"}},
		{"window", said(400, "context_length_exceeded"), told{Status: 400, Type: "invalid_request_error", Code: "context_length_exceeded", Param: "messages"}, told{Status: 400, Type: "invalid_request_error"}},
		{"404", said(404, "model_not_found"), told{Status: 404, Type: "invalid_request_error", Code: "model_not_found"}, told{Status: 404, Type: "not_found_error"}},
		{"429 long", said(429, "slow_down", "Retry-After", "30"), told{Status: 429, Type: "rate_limit_error", Code: "upstream_rate_limited"}, told{Status: 429, Type: "rate_limit_error"}},
		{"redirect", refuses(307, "", "Location", "/elsewhere"), told{Status: 502, Type: "server_error", Code: "upstream_redirect"}, told{Status: 502, Type: "api_error"}},
		{"HTML", refuses(200, "<html>"+words, "Content-Type", "text/html"), told{Status: 502, Type: "server_error", Code: "upstream_malformed"}, told{Status: 502, Type: "api_error"}},
		{"half a body", refuses(200, chatAnswer[:200]), told{Status: 502, Type: "server_error", Code: "upstream_malformed"}, told{Status: 502, Type: "api_error"}},
		{"cut body", refuses(200, chatAnswer[:200], "Content-Length", "1000"), told{Status: 502, Type: "server_error", Code: "upstream_error"}, told{Status: 502, Type: "api_error"}},
		{"reset", resets, told{Status: 502, Type: "server_error", Code: "upstream_error"}, told{Status: 502, Type: "api_error"}},
	}
	lab := newLab(t)
	config := "upstreams:\n"
	for i, c := range cases {
		lab.plays(strconv.Itoa(2*i), c.does)
		lab.plays(strconv.Itoa(2*i+1), c.does)
		for j := 2 * i; j < 2*i+2; j++ {
			config += "  u" + strconv.Itoa(j) + ": {kind: openai, key: " + lent + ", urls: [\"" + lab.server.URL + "/" + strconv.Itoa(j) + "\"]}\n"
		}
	}
	config += "  nobody: {kind: openai, key: " + lent + ", urls: [\"" + nobody(t) + "\"]}\n"
	config += "  nobody2: {kind: openai, key: " + lent + ", urls: [\"" + nobody(t) + "\"]}\n"
	g := serve(t, config)

	check := func(t *testing.T, got, want told) {
		t.Helper()
		got.check(t, want)
		if strings.Contains(got.Message, "leak") {
			t.Errorf("the upstream's words reached the caller: %s", got.Message)
		}
		if again := got.Header.Get("x-should-retry"); again != "false" {
			t.Errorf("x-should-retry: %q", again)
		}
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			check(t, g.fails(t, hello("u"+strconv.Itoa(2*i)+"/engine-1")), c.chat)
			check(t, g.failsMessages(t, hi(anthropic.Model("u"+strconv.Itoa(2*i+1)+"/engine-1"))), c.other)
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		check(t, g.fails(t, hello("nobody/engine-1")), told{Status: 503, Type: "server_error", Code: "no_healthy_upstream"})
		check(t, g.failsMessages(t, hi("nobody2/engine-1")), told{Status: 529, Type: "overloaded_error"})
	})
}

// A short wait that an upstream asks for is the client's to keep: it comes back
// by itself and gets its answer.
func TestShortWait(t *testing.T) {
	t.Parallel()
	busy := refuses(429, `{"error":{"message":"busy","type":"rate_limit_error","code":"busy"}}`, "retry-after-ms", "40")
	lab := newLab(t)
	chat, claude := lab.plays("chat", busy, says(chatAnswer)), lab.plays("claude", busy, says(messagesAnswer))
	g := serve(t, `
upstreams:
  chat: {kind: openai, key: `+lent+`, urls: ["`+chat.url+`"]}
  claude: {kind: anthropic, key: `+lent+`, urls: ["`+claude.url+`"]}`)

	seen := &tap{}
	c := g.openai(openaiopt.WithMaxRetries(2), openaiopt.WithHTTPClient(seen.client()))
	if _, err := c.Chat.Completions.New(within(t), hello("chat/engine-1")); err != nil {
		t.Errorf("openai: %v", err)
	}
	waited(t, seen, 40, 60)
	seen = &tap{}
	a := g.anthropic(anthropicopt.WithMaxRetries(2), anthropicopt.WithHTTPClient(seen.client()))
	if _, err := a.Messages.New(within(t), hi("claude/engine-1")); err != nil {
		t.Errorf("anthropic: %v", err)
	}
	waited(t, seen, 40, 60)
}

// waited checks that a client was sent away once, told to come back within
// bounds in milliseconds, and did.
func waited(t *testing.T, seen *tap, low, high int) {
	t.Helper()
	all := seen.all()
	if len(all) != 2 || all[0].Status != 429 || all[1].Status != 200 {
		t.Fatalf("attempts %+v", all)
	}
	h := all[0].Header
	ms, err := strconv.Atoi(h.Get("retry-after-ms"))
	if err != nil || ms > high || ms <= 0 {
		t.Errorf("retry-after-ms: %q, want %d to %d", h.Get("retry-after-ms"), low, high)
	}
	if h.Get("x-should-retry") != "true" || h.Get("retry-after") == "" {
		t.Errorf("x-should-retry: %q, retry-after: %q", h.Get("x-should-retry"), h.Get("retry-after"))
	}
}

// A key that has as many requests running as it may is told to wait; the client
// does, and gets in once there is room.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	free := make(chan struct{})
	up := play(t, streams(chatStream[:2], holds(free), more(chatStream[2:]...)), says(chatAnswer))
	g := serve(t, `
upstreams:
  lab: {kind: openai, key: `+lent+`, urls: ["`+up.url+`"]}
tiers:
  single: {concurrency: 1}
keys: [{name: caller, secret: `+secret+`, tier: single}]`)

	first := g.openai()
	stream := first.Chat.Completions.NewStreaming(within(t), hello("lab/engine-1"))
	if !stream.Next() {
		t.Fatal(stream.Err())
	}
	now := g.fails(t, hello("lab/engine-1"), openaiopt.WithMaxRetries(0))
	now.check(t, told{Status: 429, Type: "rate_limit_error", Code: "concurrency_limit"})

	seen := &tap{}
	patient := g.openai(openaiopt.WithMaxRetries(2), openaiopt.WithHTTPClient(seen.client()))
	answered := make(chan error, 1)
	go func() {
		_, err := patient.Chat.Completions.New(within(t), hello("lab/engine-1"))
		answered <- err
	}()
	await(t, "the second client's first attempt", func() bool { return len(seen.all()) > 0 })
	close(free)
	for stream.Next() {
	}
	if err := stream.Err(); err != nil {
		t.Error(err)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
	waited(t, seen, 1000, 1500)
}

// A process that is full says so, and that it may pass.
func TestOverloaded(t *testing.T) {
	t.Parallel()
	up := play(t, streams(chatStream[:2], stalls))
	g := serve(t, `
upstreams:
  lab: {kind: openai, key: `+lent+`, urls: ["`+up.url+`"]}
limits: {in_flight: 1, queue: 0}`)
	ctx, leave := context.WithCancel(within(t))
	client := g.openai()
	stream := client.Chat.Completions.NewStreaming(ctx, hello("lab/engine-1"))
	if !stream.Next() {
		t.Fatal(stream.Err())
	}
	chat := g.fails(t, hello("lab/engine-1"), openaiopt.WithMaxRetries(0))
	chat.check(t, told{Status: 503, Type: "server_error", Code: "overloaded"})
	messages := g.failsMessages(t, hi("lab/engine-1"), anthropicopt.WithMaxRetries(0))
	messages.check(t, told{Status: 529, Type: "overloaded_error"})
	for _, h := range []http.Header{chat.Header, messages.Header} {
		if h.Get("x-should-retry") != "true" || h.Get("retry-after-ms") == "" {
			t.Errorf("x-should-retry: %q, retry-after-ms: %q", h.Get("x-should-retry"), h.Get("retry-after-ms"))
		}
	}
	leave()
	up.first(t).left(t)
}
