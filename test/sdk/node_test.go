package sdk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// node is a process of node/client.mjs: the official clients for Node, asked many
// things at once.
type node struct {
	in io.WriteCloser

	mu      sync.Mutex
	asked   int
	waiting map[int]chan nodeSaw
	ended   error // no more answers come
}

// question is what node/client.mjs is asked.
type question struct {
	ID     int            `json:"id"`
	Client string         `json:"client"`
	How    string         `json:"how"`
	Base   string         `json:"base"`
	Key    string         `json:"key"`
	Tries  int            `json:"tries"`
	Body   map[string]any `json:"body,omitempty"`
}

// nodeSaw is what a client made of it.
type nodeSaw struct {
	ID       int
	Text     string
	Finished bool
	Code     string
	Status   int
	Attempts int
	Error    string
	Answer   json.RawMessage
}

// startNode starts the official clients for Node, or skips the test, loudly, where
// they cannot be had.
func startNode(t *testing.T) *node {
	t.Helper()
	return startScript(t, "client.mjs", "openai", "ollama", "@anthropic-ai/sdk", "@google/genai")
}

// startScript starts a script of the folder node, which needs these packages.
func startScript(t *testing.T, script string, packages ...string) *node {
	t.Helper()
	program, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIPPED the clients for Node: there is no node")
	}
	for _, name := range packages {
		if _, err := os.Stat(filepath.Join("node", "node_modules", name, "package.json")); err != nil {
			t.Skipf("SKIPPED the clients for Node: %s is not installed; make test does it where the registry can be reached", name)
		}
	}
	cmd := exec.Command(program, script)
	cmd.Dir = "node"
	log := &log{}
	cmd.Stderr = log
	n := &node{waiting: map[int]chan nodeSaw{}}
	if n.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { n.read(out) })
	t.Cleanup(func() {
		n.in.Close() // its end, as soon as nothing is asked any more
		reading.Wait()
		if err := cmd.Wait(); err != nil {
			t.Errorf("node: %v\n%s", err, log)
		}
	})
	return n
}

func (n *node) read(out io.Reader) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		var saw nodeSaw
		if err == nil {
			err = json.Unmarshal(line, &saw)
		}
		n.mu.Lock()
		if err != nil {
			n.ended = err
			for _, c := range n.waiting {
				close(c)
			}
			n.mu.Unlock()
			return
		}
		n.waiting[saw.ID] <- saw
		delete(n.waiting, saw.ID)
		n.mu.Unlock()
	}
}

// ask asks a client, and waits for what it made of it.
func (n *node) ask(ctx context.Context, g *gateway, q question) (nodeSaw, error) {
	answer := make(chan nodeSaw, 1)
	n.mu.Lock()
	if n.ended != nil {
		n.mu.Unlock()
		return nodeSaw{}, n.ended
	}
	n.asked++
	q.ID, q.Base, q.Key = n.asked, g.url, secret
	n.waiting[q.ID] = answer
	line, err := json.Marshal(q)
	if err == nil {
		_, err = n.in.Write(append(line, '\n'))
	}
	n.mu.Unlock()
	if err != nil {
		return nodeSaw{}, err
	}
	select {
	case saw, ok := <-answer:
		if !ok {
			return saw, errors.New("node ended")
		}
		return saw, nil
	case <-ctx.Done():
		return nodeSaw{}, ctx.Err()
	}
}

// must is ask for what cannot fail but by our own fault.
func (n *node) must(t *testing.T, g *gateway, q question) nodeSaw {
	t.Helper()
	saw, err := n.ask(within(t), g, q)
	if err != nil {
		t.Fatal(err)
	}
	return saw
}

// greeting is a question that both dialects read.
func greeting(model string) map[string]any {
	return map[string]any{
		"model": model, "max_tokens": 100,
		"messages": []any{map[string]any{"role": "user", "content": "hello"}},
	}
}

// officials returns the clients for Node as readers of streams: as they come, and
// through the clients' own helpers.
func (n *node) officials() (all []official) {
	for _, c := range []struct{ name, client, how string }{
		{"openai-node", "openai", "iterate"},
		{"openai-node helper", "openai", "help"},
		{"openai-node responses", "responses", "iterate"},
		{"openai-node responses helper", "responses", "help"},
		{"anthropic-ts", "anthropic", "iterate"},
		{"anthropic-ts helper", "anthropic", "help"},
	} {
		all = append(all, official{c.name, c.client != "anthropic", func(ctx context.Context, g *gateway, model string) seenStream {
			body := greeting(model)
			if c.client == "responses" {
				body = map[string]any{"model": model, "input": "hello"}
			}
			saw, err := n.ask(ctx, g, question{Client: c.client, How: c.how, Tries: 2, Body: body})
			if err == nil && saw.Error != "" {
				err = errors.New(saw.Error)
			}
			return seenStream{saw.Text, saw.Finished, saw.Code, saw.Status, saw.Attempts, err}
		}})
	}
	return all
}

func TestNodeCutStreams(t *testing.T) {
	t.Parallel()
	judgeCuts(t, startNode(t).officials())
}

// What the clients for Node read, whole and in both ways of a stream, in their own
// dialect and across.
func TestNodeClients(t *testing.T) {
	t.Parallel()
	n, lab := startNode(t), newLab(t)
	lab.plays("chat", either(says(chatTools), streams(chatToolsStream)))
	lab.plays("claude", either(says(messagesTools), streams(messagesToolsStream)))
	g := serve(t, `
upstreams:
  chat: {kind: openai, key: `+lent+`, urls: ["`+lab.server.URL+`/chat"]}
  claude: {kind: anthropic, key: `+lent+`, urls: ["`+lab.server.URL+`/claude"]}
models:
  chat: {targets: [{upstream: chat, model: engine-1}]}
  claude: {targets: [{upstream: claude, model: engine-1}]}`)

	for _, client := range []string{"openai", "anthropic"} {
		saw := n.must(t, g, question{Client: client, How: "models"})
		if string(saw.Answer) != `["chat","claude"]` {
			t.Errorf("%s lists %s, %s", client, saw.Answer, saw.Error)
		}
		for _, upstream := range []string{"chat", "claude"} {
			for _, how := range []string{"whole", "help", "iterate"} {
				t.Run(client+"/"+upstream+"/"+how, func(t *testing.T) {
					saw := n.must(t, g, question{Client: client, How: how, Body: greeting(upstream)})
					if saw.Error != "" || saw.Attempts != 1 {
						t.Fatalf("%s, %d attempts", saw.Error, saw.Attempts)
					}
					if how != "whole" && (saw.Text != "Looking." || !saw.Finished) {
						t.Errorf("text %q, finished %t", saw.Text, saw.Finished)
					}
					if how != "iterate" {
						callsTools(t, client, saw.Answer)
					}
				})
			}
		}
	}
}

// either answers as it is asked: whole, or as a stream.
func either(whole, stream answer) answer {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") == "text/event-stream" {
			stream(w, r)
			return
		}
		whole(w, r)
	}
}

// callsTools checks a whole answer, as the client gives it to an application.
func callsTools(t *testing.T, client string, answer json.RawMessage) {
	t.Helper()
	var a struct {
		Choices []struct {
			FinishReason string `json:"finish_reason"`
			Message      struct {
				Content   string
				ToolCalls []struct {
					Function struct{ Name, Arguments string }
				} `json:"tool_calls"`
			}
		}
		Content []struct {
			Type, Name string
			Input      json.RawMessage
		}
		StopReason string `json:"stop_reason"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	var calls []string
	for _, c := range a.Choices {
		for _, call := range c.Message.ToolCalls {
			calls = append(calls, call.Function.Name+call.Function.Arguments)
		}
	}
	for _, block := range a.Content {
		if block.Type == "tool_use" {
			calls = append(calls, block.Name+string(block.Input))
		}
	}
	if want := []string{`weather{"city":"Oslo"}`, `weather{"city":"Łódź"}`}; !same(calls, want) {
		t.Errorf("%s reads %q in %s", client, calls, answer)
	}
	if client == "openai" && a.Choices[0].FinishReason != "tool_calls" || client == "anthropic" && a.StopReason != "tool_use" {
		t.Errorf("%s reads finish %+v, %s", client, a.Choices, a.StopReason)
	}
}

// The clients for Node come back where they are told to, and only there.
func TestNodeRetries(t *testing.T) {
	t.Parallel()
	n, lab := startNode(t), newLab(t)
	busy := func(after string) answer {
		return refuses(429, `{"error":{"message":"busy","type":"rate_limit_error","code":"busy"}}`, "Retry-After-Ms", after)
	}
	lab.plays("chat", busy("40"), says(chatAnswer))
	lab.plays("claude", busy("40"), says(messagesAnswer))
	config := "upstreams:\n"
	add := func(name, kind, url string) {
		config += "  " + name + ": {kind: " + kind + ", key: " + lent + ", urls: [\"" + url + "\"]}\n"
	}
	for client, kind := range map[string]string{"openai": "openai", "anthropic": "anthropic"} {
		add("long-"+client, kind, lab.plays("long-"+client, busy("90000")).url)
		add("broken-"+client, kind, lab.plays("broken-"+client, refuses(500, "boom")).url)
		add("nobody-"+client, kind, nobody(t))
	}
	add("short-openai", "openai", lab.server.URL+"/chat")
	add("short-anthropic", "anthropic", lab.server.URL+"/claude")
	g := serve(t, config)

	for _, c := range []struct {
		client, model string
		status        int
		code          string
		attempts      int
	}{
		{"openai", "short-openai/engine-1", 0, "", 2},
		{"openai", "long-openai/engine-1", 429, "upstream_rate_limited", 1},
		{"openai", "broken-openai/engine-1", 502, "upstream_error", 1},
		{"openai", "nobody-openai/engine-1", 503, "no_healthy_upstream", 1},
		{"openai", "unknown", 404, "model_not_found", 1},
		{"anthropic", "short-anthropic/engine-1", 0, "", 2},
		{"anthropic", "long-anthropic/engine-1", 429, "rate_limit_error", 1},
		{"anthropic", "broken-anthropic/engine-1", 502, "api_error", 1},
		{"anthropic", "nobody-anthropic/engine-1", 529, "overloaded_error", 1},
		{"anthropic", "unknown", 404, "not_found_error", 1},
	} {
		t.Run(c.model+" by "+c.client, func(t *testing.T) {
			saw := n.must(t, g, question{Client: c.client, How: "whole", Tries: 2, Body: greeting(c.model)})
			if saw.Status != c.status || saw.Code != c.code || saw.Attempts != c.attempts || (saw.Error == "") != (c.status == 0) {
				t.Errorf("got %d %q, %d attempts, %s; want %d %q, %d", saw.Status, saw.Code, saw.Attempts, saw.Error, c.status, c.code, c.attempts)
			}
		})
	}
}

// Google's client for Node raises on a stream that is cut, in whichever way: with
// the status of an error before content, and after it with the error or at least
// with the words that the stream is no whole one.
func TestNodeGemini(t *testing.T) {
	t.Parallel()
	n, lab := startNode(t), newLab(t)
	d := &dialects[slices.IndexFunc(dialects, func(d spoken) bool { return d.kind == "gemini" })]
	ask := func(model string) map[string]any { return map[string]any{"model": model, "contents": "hello"} }
	var upstreams, models strings.Builder
	type trial struct {
		cut   cut
		after int
		model string
	}
	var trials []trial
	fmt.Fprintf(&upstreams, "upstreams:\n  up: {kind: gemini, key: %s, urls: [%q]}\n", lent,
		lab.plays("whole", streams(d.events), says(geminiAnswer)).url)
	models.WriteString("models:\n  assistant: {targets: [{upstream: up, model: engine-1}]}\n")
	for _, c := range cuts {
		if c.name == "hollow terminal" {
			continue // there is none
		}
		for after := range d.finish {
			id := fmt.Sprintf("t%d", len(trials))
			fmt.Fprintf(&upstreams, "  %s: {kind: gemini, key: %s, urls: [%q]}\n", id, lent, lab.plays(id, streams(d.events[:after], c.how(d, after))).url)
			fmt.Fprintf(&models, "  %s: {targets: [{upstream: %s, model: engine-1}], timeouts: {first_token: 700ms, idle: 700ms}}\n", id, id)
			trials = append(trials, trial{c, after, id})
		}
	}
	g := serve(t, upstreams.String()+models.String())

	if saw := n.must(t, g, question{Client: "gemini", How: "iterate", Body: ask("assistant")}); saw.Error != "" || saw.Text != helloWorld || !saw.Finished {
		t.Errorf("a whole stream: %+v", saw)
	}
	if saw := n.must(t, g, question{Client: "gemini", How: "whole", Body: ask("assistant")}); saw.Error != "" || !strings.Contains(string(saw.Answer), helloWorld) {
		t.Errorf("a whole answer: %+v", saw)
	}
	if saw := n.must(t, g, question{Client: "gemini", How: "models"}); !strings.Contains(string(saw.Answer), `"models/assistant"`) {
		t.Errorf("models: %+v", saw)
	}
	for _, c := range trials {
		t.Run(fmt.Sprintf("%s after %d", c.cut.name, c.after), func(t *testing.T) {
			saw := n.must(t, g, question{Client: "gemini", How: "iterate", Body: ask(c.model)})
			switch {
			case saw.Error == "" || saw.Finished:
				t.Errorf("a cut answer passes for whole: %+v", saw)
			case c.after < d.content && (saw.Code != "ApiError" || saw.Status != c.cut.status):
				t.Errorf("before content: %+v, want status %d", saw, c.cut.status)
			case strings.Contains(saw.Error, "leak"):
				t.Errorf("the upstream's words reached the caller: %+v", saw)
			}
		})
	}
}
