package sdk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
)

// line is a line of Ollama's; rest follows the model and the moment.
func line(rest string) string {
	return `{"model":"engine-1","created_at":"2026-01-01T00:00:00.000000001Z",` + rest + "}\n"
}

var ollamaStream = []string{
	line(`"message":{"role":"assistant","content":""},"done":false`),
	line(`"message":{"role":"assistant","content":"Hello"},"done":false`),
	line(`"message":{"role":"assistant","content":" world"},"done":false`),
	line(`"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":9,"prompt_eval_count":5,"eval_count":2`),
}

var ollamaAnswer = strings.TrimSpace(line(`"message":{"role":"assistant","content":"Hello world"},"done":true,"done_reason":"stop","prompt_eval_count":5,"eval_count":2`))

// byOllama is how an Ollama streams. OpenAI's clients are not asked of it: it has a
// path of their dialect.
var byOllama = spoken{
	name: "ollama", kind: "ollama", events: ollamaStream, content: 2, finish: 3,
	malformed: `{"model":"engine-1","message":` + "\n",
	failure:   `{"error":"leak"}` + "\n",
}

// lines is an answer in lines, each flushed, and what follows them.
func lines(events []string, then ...answer) answer {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.WriteHeader(http.StatusOK)
		for _, next := range append([]answer{more(events...)}, then...) {
			next(w, r)
		}
	}
}

// seenLines is what stands in a stream of lines.
type seenLines struct {
	status     int
	text       string
	done       bool
	failed     string
	after      bool // something follows the end
	media      string
	unreadable error
}

// askOllama asks as Ollama's clients do, and reads lines as strictly as they read: one
// that is no JSON ends it.
func askOllama(ctx context.Context, g *gateway, path, body string) (s seenLines, err error) {
	r, err := http.NewRequestWithContext(ctx, "POST", g.url+path, strings.NewReader(body))
	if err != nil {
		return s, err
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return s, err
	}
	defer res.Body.Close()
	s.status, s.media = res.StatusCode, res.Header.Get("Content-Type")
	in := bufio.NewReader(res.Body)
	for {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(text) == 0 {
			return s, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return s, err
		}
		var l struct {
			Error    string
			Message  struct{ Content string }
			Response string
			Done     bool
		}
		if err := json.Unmarshal(text, &l); err != nil {
			s.unreadable = fmt.Errorf("%q: %w", text, err)
			return s, nil
		}
		s.after = s.after || s.done || s.failed != ""
		s.text += l.Message.Content + l.Response
		s.done = s.done || l.Done
		if l.Error != "" {
			s.failed = l.Error
		}
	}
}

// ollamaTrial is a model whose upstream cuts its streams in one way.
type ollamaTrial struct {
	name    string
	model   string
	cut     cut
	content bool // came before the cut
}

// cutForOllama starts a gateway with a model whole-KIND and many that are cut, for
// upstreams of each dialect.
func cutForOllama(t *testing.T) (*gateway, []ollamaTrial) {
	lab := newLab(t)
	var trials []ollamaTrial
	var upstreams, models strings.Builder
	upstreams.WriteString("upstreams:\n")
	models.WriteString("models:\n")
	for _, d := range append(slices.Clone(dialects), byOllama) {
		flow, whole := streams, answer(nil)
		switch d.kind {
		case "ollama":
			flow, whole = lines, says(ollamaAnswer)
		case "openai":
			whole = says(chatAnswer)
		case "anthropic":
			whole = says(messagesAnswer)
		default:
			whole = says(geminiAnswer)
		}
		add := func(id, limits string, how answer) {
			fmt.Fprintf(&upstreams, "  %s: {kind: %s, key: %s, urls: [%q]}\n", id, d.kind, lent, lab.plays(id, how).url)
			fmt.Fprintf(&models, "  %s: {targets: [{upstream: %s, model: engine-1}]%s}\n", id, id, limits)
		}
		stream := flow(d.events)
		add("whole-"+d.kind, "", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept") == "application/json" {
				whole(w, r)
				return
			}
			stream(w, r)
		})
		for _, c := range cuts {
			if c.name == "hollow terminal" && d.hollow == "" {
				continue
			}
			for n := range d.finish {
				limits := ""
				if c.name == "stall" {
					limits = ", timeouts: {first_token: 700ms, idle: 700ms}"
				}
				id := fmt.Sprintf("t%d", len(trials))
				add(id, limits, flow(d.events[:n], c.how(&d, n)))
				trials = append(trials, ollamaTrial{fmt.Sprintf("%s/%s after %d", d.name, c.name, n), id, c, n >= d.content})
			}
		}
	}
	return serve(t, upstreams.String()+models.String()), trials
}

// A stream of lines that is cut, after any event and in any way, whatever dialect its
// upstream speaks, never ends with the line that says done.
func TestOllamaCutStreams(t *testing.T) {
	t.Parallel()
	g, trials := cutForOllama(t)
	const body = `{"model":"MODEL","messages":[{"role":"user","content":"hello"}]}`
	for _, kind := range []string{"openai", "anthropic", "gemini", "ollama"} {
		s, err := askOllama(within(t), g, "/api/chat", strings.Replace(body, "MODEL", "whole-"+kind, 1))
		if err != nil || s.unreadable != nil || s.text != helloWorld || !s.done || s.after || s.media != "application/x-ndjson" {
			t.Errorf("%s, a whole stream: %v, %+v", kind, err, s)
		}
		s, err = askOllama(within(t), g, "/ollama/api/chat", strings.Replace(body, `"MODEL"`, `"whole-`+kind+`","stream":false`, 1))
		if err != nil || s.unreadable != nil || s.text != helloWorld || !s.done || s.media != "application/json" {
			t.Errorf("%s, a whole answer: %v, %+v", kind, err, s)
		}
	}
	seen, failed := make([]seenLines, len(trials)), make([]error, len(trials))
	var running sync.WaitGroup
	for w := range 8 {
		running.Go(func() {
			for i := w; i < len(trials); i += 8 {
				seen[i], failed[i] = askOllama(within(t), g, "/api/chat", strings.Replace(body, "MODEL", trials[i].model, 1))
			}
		})
	}
	running.Wait()
	for i, c := range trials {
		t.Run(c.name, func(t *testing.T) {
			s := seen[i]
			switch {
			case failed[i] != nil, s.unreadable != nil:
				t.Fatalf("%v, %v", failed[i], s.unreadable)
			case s.done || s.failed == "" || s.after:
				t.Errorf("a cut answer passes for whole: %+v", s)
			case c.content && s.status != 200, !c.content && s.status != c.cut.status:
				t.Errorf("status %d: %+v", s.status, s)
			case strings.Contains(s.failed, "leak"):
				t.Errorf("the upstream's words reached the caller: %+v", s)
			case !strings.HasPrefix(helloWorld, s.text) || (s.text != "") != c.content:
				t.Errorf("the text %q", s.text)
			}
		})
	}
}

// Ollama's client for Node raises on every stream that is cut.
func TestNodeOllama(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	g, trials := cutForOllama(t)
	for _, kind := range []string{"openai", "anthropic", "gemini", "ollama"} {
		body := greeting("whole-" + kind)
		delete(body, "max_tokens")
		if saw := n.must(t, g, question{Client: "ollama", How: "iterate", Body: body}); saw.Error != "" || saw.Text != helloWorld || !saw.Finished {
			t.Errorf("%s, a whole stream: %+v", kind, saw)
		}
		if saw := n.must(t, g, question{Client: "ollama", How: "whole", Body: body}); saw.Error != "" || !strings.Contains(string(saw.Answer), `"content":"Hello world"`) {
			t.Errorf("%s, a whole answer: %s %s", kind, saw.Error, saw.Answer)
		}
	}
	if saw := n.must(t, g, question{Client: "ollama", How: "generate", Body: map[string]any{"model": "whole-openai", "prompt": "hello"}}); saw.Error != "" || saw.Text != helloWorld || !saw.Finished {
		t.Errorf("generate: %+v", saw)
	}
	if saw := n.must(t, g, question{Client: "ollama", How: "generate", Body: map[string]any{"model": "whole-openai"}}); saw.Error != "" || saw.Text != "" || !saw.Finished {
		t.Errorf("load: %+v", saw)
	}
	if saw := n.must(t, g, question{Client: "ollama", How: "list"}); !strings.Contains(string(saw.Answer), `"name":"whole-openai"`) {
		t.Errorf("list: %s %s", saw.Error, saw.Answer)
	}
	if saw := n.must(t, g, question{Client: "ollama", How: "show", Body: map[string]any{"model": "whole-openai"}}); !strings.Contains(string(saw.Answer), `"capabilities":["completion","tools"]`) {
		t.Errorf("show: %s %s", saw.Error, saw.Answer)
	}
	if saw := n.must(t, g, question{Client: "ollama", How: "show", Body: map[string]any{"model": "none"}}); saw.Status != 404 || !strings.Contains(saw.Error, "no such model") {
		t.Errorf("show what is not there: %+v", saw)
	}
	for _, c := range trials {
		t.Run(c.name, func(t *testing.T) {
			body := greeting(c.model)
			delete(body, "max_tokens")
			saw := n.must(t, g, question{Client: "ollama", How: "iterate", Body: body})
			switch {
			case saw.Error == "" || saw.Finished:
				t.Errorf("a cut answer passes for whole: %+v", saw)
			case !c.content && (saw.Code != "ResponseError" || saw.Status != c.cut.status):
				t.Errorf("before content: %+v, want status %d", saw, c.cut.status)
			case strings.Contains(saw.Error, "leak"), strings.Contains(saw.Error, "Did not receive done"):
				t.Errorf("the client was not told what happened: %+v", saw)
			}
		})
	}
}

// Anthropic's client over an Ollama: the request is asked at /api/chat, tools come
// back, and a cut is one.
func TestOllamaServes(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	up := lab.plays("ollama", lines([]string{
		line(`"message":{"role":"assistant","content":"Looking.","tool_calls":[{"function":{"name":"weather","arguments":{"city":"Oslo"}}},{"id":"call_2","function":{"name":"weather","arguments":{"city":"Łódź"}}}]},"done":false`),
		ollamaStream[3],
	}))
	g := serve(t, "upstreams:\n  up: {kind: ollama, key: "+lent+", urls: [\""+up.url+"\"]}\nmodels:\n  assistant: {targets: [{upstream: up, model: llama3.2}]}")
	client := g.anthropic()
	stream := client.Messages.NewStreaming(within(t), anthropic.MessageNewParams{
		Model: "assistant", MaxTokens: 100, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("hello"))},
	})
	var m anthropic.Message
	for stream.Next() {
		if err := m.Accumulate(stream.Current()); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	var calls []string
	ids := map[string]bool{}
	for _, b := range m.Content {
		if b.Type == "tool_use" {
			calls = append(calls, string(b.Input))
			ids[b.ID] = true
		}
	}
	if !same(calls, []string{`{"city":"Oslo"}`, `{"city":"Łódź"}`}) || len(ids) != 2 || ids[""] || m.StopReason != "tool_use" || m.Usage.InputTokens != 5 || m.Usage.OutputTokens != 2 {
		t.Errorf("calls %q, ids %v, stop %s, usage %+v", calls, ids, m.StopReason, m.Usage)
	}
	sent := up.only(t)
	const want = `{"model":"llama3.2","messages":[{"role":"user","content":"hello"}],"options":{"num_predict":100},"stream":true,"truncate":false}`
	if sent.Path != "/api/chat" || sent.Body != want {
		t.Errorf("sent %s to %s", sent.Body, sent.Path)
	}
}
