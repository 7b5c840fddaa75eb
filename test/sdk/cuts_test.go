package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicopt "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaiopt "github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/ssestream"
)

// spoken is a dialect as an upstream speaks it in a stream.
type spoken struct {
	name    string
	kind    string // of upstream
	events  []string
	content int // events until the first content
	finish  int // events until the finish: cut before it, an answer is not whole

	malformed string // an event that is none
	failure   string // an error event
	hollow    string // the terminal without a finish; empty where there is none
}

var dialects = []spoken{
	{
		name: "chat", kind: "openai", events: chatStream, content: 2, finish: 4,
		malformed: "data: {\"id\":\"chatcmpl-up\",\"choices\":[{\"index\":0,\"delta\":\n\n",
		failure:   "data: {\"error\":{\"message\":\"leak\",\"type\":\"server_error\",\"param\":null,\"code\":500}}\n\ndata: [DONE]\n\n",
		hollow:    "data: [DONE]\n\n",
	},
	{
		name: "messages", kind: "anthropic", events: messagesStream, content: 3, finish: 6,
		malformed: "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":\n\n",
		failure:   "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"leak\"}}\n\n",
		hollow:    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
	},
	{
		name: "gemini", kind: "gemini", events: geminiStream, content: 2, finish: 4,
		malformed: "data: {\"candidates\":[{\"content\":\n\n",
		failure:   "data: {\"error\":{\"code\":500,\"message\":\"leak\",\"status\":\"INTERNAL\"}}\n\n",
	},
}

// cut is a way in which a stream can fail to end.
type cut struct {
	name string
	how  func(d *spoken, n int) answer // what follows the first n events
	// What OpenAI's clients see after content, and before it.
	after, before string
	status        int
	// Anthropic's have types alone.
	kind string
}

var cuts = []cut{
	{"clean end", func(*spoken, int) answer { return ends }, "upstream_stream_interrupted", "upstream_error", 502, "api_error"},
	{"no last chunk", func(*spoken, int) answer { return hangsUp }, "upstream_stream_interrupted", "upstream_error", 502, "api_error"},
	{"reset", func(*spoken, int) answer { return resets }, "upstream_stream_interrupted", "upstream_error", 502, "api_error"},
	{"stall", func(*spoken, int) answer { return stalls }, "upstream_stream_stalled", "upstream_timeout", 504, "timeout_error"},
	{"malformed", func(d *spoken, n int) answer { return more(slices.Concat([]string{d.malformed}, d.events[n:])...) }, "upstream_malformed", "upstream_malformed", 502, "api_error"},
	{"error event", func(d *spoken, _ int) answer { return more(d.failure) }, "upstream_error", "upstream_error", 502, "api_error"},
	// A terminal before anything else is malformed where a message has a start.
	{"hollow terminal", func(d *spoken, n int) answer {
		return more(slices.Concat(d.events[n:max(n, 1)], []string{d.hollow})...)
	}, "upstream_incomplete", "upstream_incomplete", 502, "api_error"},
	{"no blank line", func(d *spoken, n int) answer { return more(strings.TrimSuffix(d.events[n], "\n")) }, "upstream_stream_interrupted", "upstream_error", 502, "api_error"},
}

// seenStream is what a client makes of a stream.
type seenStream struct {
	Text     string
	Finished bool
	Code     string // the code, or Anthropic's type, of the error
	Status   int    // of the error's HTTP answer; 0 if it came in the stream
	Attempts int    // of the client
	Err      error
}

// official is a client that reads a stream as an application does.
type official struct {
	name   string
	openai bool // it knows codes, else types alone
	read   func(ctx context.Context, g *gateway, model string) seenStream
}

var officials = []official{{"openai-go", true, chat}, {"openai-go responses", true, respond}, {"anthropic-go", false, messages}, {"genai-go", true, generate}}

// chat reads a stream with OpenAI's client, its own tries on.
func chat(ctx context.Context, g *gateway, model string) (s seenStream) {
	tap := &tap{}
	client := g.openai(openaiopt.WithMaxRetries(2), openaiopt.WithHTTPClient(tap.client()))
	stream := client.Chat.Completions.NewStreaming(ctx, hello(model))
	defer stream.Close()
	for stream.Next() {
		for _, c := range stream.Current().Choices {
			s.Text += c.Delta.Content
			s.Finished = s.Finished || c.FinishReason != ""
		}
	}
	s.Err, s.Attempts = stream.Err(), len(tap.all())
	s.Code, s.Status = chatError(s.Err)
	return s
}

// chatError returns the code of an error of OpenAI's client, and its HTTP status,
// 0 if it came in a stream.
func chatError(err error) (code string, status int) {
	if e, ok := errors.AsType[*openai.Error](err); ok {
		return e.Code, e.StatusCode
	}
	e, ok := errors.AsType[*ssestream.StreamError](err)
	if !ok {
		return "", 0
	}
	var body struct {
		Error struct{ Code, Message, Type string }
	}
	if json.Unmarshal(e.Event.Data, &body) != nil || body.Error.Message == "" || body.Error.Type == "" {
		return "not in the dialect: " + string(e.Event.Data), 0
	}
	return body.Error.Code, 0
}

// messages reads a stream with Anthropic's client, its own tries on.
func messages(ctx context.Context, g *gateway, model string) (s seenStream) {
	tap := &tap{}
	client := g.anthropic(anthropicopt.WithMaxRetries(2), anthropicopt.WithHTTPClient(tap.client()))
	stream := client.Messages.NewStreaming(ctx, hi(anthropic.Model(model)))
	defer stream.Close()
	for stream.Next() {
		now := stream.Current()
		s.Text += now.Delta.Text
		s.Finished = s.Finished || now.Type == "message_stop"
	}
	s.Err, s.Attempts = stream.Err(), len(tap.all())
	s.Code, s.Status = messagesError(s.Err)
	return s
}

// messagesError is chatError for Anthropic's client, which knows types alone.
func messagesError(err error) (kind string, status int) {
	e, ok := errors.AsType[*anthropic.Error](err)
	switch {
	case !ok:
		return "", 0
	case e.StatusCode == 200:
		return string(e.Type()), 0
	default:
		return string(e.Type()), e.StatusCode
	}
}

// A stream that is cut, after any event and in any way, is never a success to a
// client. Before content it is tried elsewhere, which the client cannot see; with
// nowhere to go it is an HTTP error, and after content an error in the stream with
// a code that says what happened.
func TestCutStreams(t *testing.T) {
	t.Parallel()
	judgeCuts(t, officials)
}

func judgeCuts(t *testing.T, officials []official) {
	lab := newLab(t)
	type trial struct {
		name     string
		client   official
		up       *upstream
		cut      cut
		content  bool // came before the cut
		fallback bool // there is a second target
		model    string
		seen     seenStream
	}
	var trials []*trial
	var upstreams, models strings.Builder
	upstreams.WriteString("upstreams:\n")
	models.WriteString("models:\n")
	for i := range dialects {
		d := &dialects[i]
		fmt.Fprintf(&upstreams, "  whole-%s: {kind: %s, key: %s, urls: [%q]}\n", d.kind, d.kind, lent, lab.plays("whole-"+d.kind, streams(d.events)).url)
		for _, client := range officials {
			for _, c := range cuts {
				for n := range d.finish {
					if c.name == "hollow terminal" && d.hollow == "" {
						continue
					}
					c := c
					if n == 0 && c.name == "clean end" { // an empty answer was never begun
						c.before = "upstream_malformed"
					}
					for _, fallback := range []bool{false, true} {
						id := fmt.Sprintf("t%d", len(trials))
						up := lab.plays(id, streams(d.events[:n], c.how(d, n)))
						fmt.Fprintf(&upstreams, "  %s: {kind: %s, key: %s, urls: [%q]}\n", id, d.kind, lent, up.url)
						targets := "{upstream: " + id + ", model: engine-1}"
						if fallback {
							targets += ", {upstream: whole-" + d.kind + ", model: engine-1}"
						}
						limits := ""
						if c.name == "stall" {
							limits = ", timeouts: {first_token: 700ms, idle: 700ms}"
						}
						fmt.Fprintf(&models, "  %s: {targets: [%s]%s}\n", id, targets, limits)
						trials = append(trials, &trial{
							name:   fmt.Sprintf("%s/%s/%s after %d/fallback=%t", client.name, d.name, c.name, n, fallback),
							client: client, up: up, cut: c, content: n >= d.content, fallback: fallback, model: id,
						})
					}
				}
			}
		}
	}
	g := serve(t, upstreams.String()+models.String())

	// Of those that are tried again three at a time: more than that need more
	// traffic, by the retry budget.
	var running sync.WaitGroup
	again, once := make(chan *trial), make(chan *trial)
	read := func(some <-chan *trial) {
		for c := range some {
			c.seen = c.client.read(within(t), g, c.model)
		}
	}
	for range 3 {
		running.Go(func() { read(again) })
	}
	for range 16 {
		running.Go(func() { read(once) })
	}
	running.Go(func() {
		defer close(again)
		for _, c := range trials {
			if c.fallback && !c.content {
				again <- c
			}
		}
	})
	for _, c := range trials {
		if !c.fallback || c.content {
			once <- c
		}
	}
	close(once)
	running.Wait()

	for _, c := range trials {
		t.Run(c.name, func(t *testing.T) {
			s := c.seen
			if n := len(c.up.all()); n != 1 || s.Attempts != 1 {
				t.Errorf("the cut upstream got %d requests, the gateway %d; want 1 and 1", n, s.Attempts)
			}
			code, status := c.cut.kind, 0
			switch {
			case c.fallback && !c.content:
				if s.Err != nil || s.Text != helloWorld || !s.Finished {
					t.Errorf("the client saw the cut: %+v", s)
				}
				return
			case c.client.openai && c.content:
				code = c.cut.after
			case c.client.openai:
				code, status = c.cut.before, c.cut.status
			case !c.content:
				status = c.cut.status
			}
			if s.Err == nil || s.Finished {
				t.Fatalf("a cut answer passes for whole: %+v", s)
			}
			if s.Code != code || s.Status != status {
				t.Errorf("the client sees %s, status %d; want %s, %d (%v)", s.Code, s.Status, code, status, s.Err)
			}
			if strings.Contains(s.Err.Error(), "leak") {
				t.Errorf("the upstream's words reached the caller: %v", s.Err)
			}
			if c.content && !strings.HasPrefix(helloWorld, s.Text) || (s.Text != "") != c.content {
				t.Errorf("the client has the text %q", s.Text)
			}
		})
	}
}

// A whole answer that is cut is tried elsewhere as well: nothing of it was seen.
func TestCutWholeAnswers(t *testing.T) {
	t.Parallel()
	broken := map[string]answer{
		"half":       refuses(200, chatAnswer[:200]),
		"cut":        refuses(200, chatAnswer[:200], "Content-Length", "1000"),
		"hung-up":    hangsUp,
		"reset":      resets,
		"empty":      says(""),
		"html":       refuses(200, "<html>", "Content-Type", "text/html"),
		"error":      says(`{"error":{"message":"leak","code":500}}`),
		"no-choices": says(`{"id":"x","object":"chat.completion","choices":[]}`),
		"500":        refuses(500, "boom"),
		"429":        refuses(429, "busy", "Retry-After", "60"),
		"401":        refuses(401, "no"),
	}
	lab := newLab(t)
	config, models := "upstreams:\n  whole: {kind: openai, key: "+lent+", urls: [\""+lab.plays("whole", says(chatAnswer)).url+"\"]}\n", "models:\n"
	for name, how := range broken {
		config += "  u-" + name + ": {kind: openai, key: " + lent + ", urls: [\"" + lab.plays(name, how).url + "\"]}\n"
		models += "  m-" + name + ": {targets: [{upstream: u-" + name + ", model: engine-1}, {upstream: whole, model: engine-1}]}\n"
	}
	config += "  u-nobody: {kind: openai, key: " + lent + ", urls: [\"" + nobody(t) + "\"]}\n"
	models += "  m-nobody: {targets: [{upstream: u-nobody, model: engine-1}, {upstream: whole, model: engine-1}]}\n"
	broken["nobody"] = nil
	g := serve(t, config+models)
	for name := range broken {
		t.Run(name, func(t *testing.T) {
			seen := &tap{}
			client := g.openai(openaiopt.WithHTTPClient(seen.client()))
			answer, err := client.Chat.Completions.New(within(t), hello("m-"+name))
			if err != nil {
				t.Fatal(err)
			}
			if answer.RawJSON() != chatAnswer {
				t.Errorf("the client got %s", answer.RawJSON())
			}
			h := seen.last(t).Header
			if h.Get("x-headworks-attempts") != "2" || h.Get("x-headworks-upstream") != "whole" {
				t.Errorf("attempts %s, upstream %s", h.Get("x-headworks-attempts"), h.Get("x-headworks-upstream"))
			}
		})
	}
}
