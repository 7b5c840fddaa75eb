package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// play starts a part within this process and returns what it says of itself.
func play(t *testing.T, part string, args ...string) ready {
	t.Helper()
	in, end := io.Pipe()
	from, out := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- parts()[part](args, in, out) }()
	t.Cleanup(func() {
		end.Close()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", part, err)
		}
	})
	line, err := bufio.NewReader(from).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var r ready
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// The upstream, and the proxy and the relay before it, answer whole: in one piece
// of 1 KB and in a stream of the events that it is said to have.
func TestParts(t *testing.T) {
	up := play(t, "upstream")
	for name, at := range map[string]ready{
		"upstream": up,
		"proxy":    play(t, "proxy", up.BaseURL),
		"raw":      play(t, "raw", up.BaseURL),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(at.addr())
			defer c.close()
			for range 2 { // the connection is kept
				a, err := c.ask(t.Context(), request("chat", key, false))
				if err != nil || a.bytes != answerSize {
					t.Errorf("%d bytes, %v", a.bytes, err)
				}
				a, err = c.ask(t.Context(), request("chat", key, true))
				if want := streamTokens + 3; err != nil || a.events.count != want || a.first.IsZero() {
					t.Errorf("%d events where %d are one role, the tokens, a reason and [DONE]; %v", a.events.count, want, err)
				}
			}
			if c.answers.Load() != 4 || c.events.Load() != 2*(streamTokens+3) {
				t.Errorf("counted %d answers and %d events", c.answers.Load(), c.events.Load())
			}
		})
	}
}

// Upstreams fail in the way that their name says.
func TestFaults(t *testing.T) {
	up := play(t, "upstream")
	want := map[string]string{"refused": "connection refused", "reset": "connection reset", "500": "status 500", "429": "status 429"}
	for _, name := range causes() {
		c := newClient(hostOf(up.Faults[name]))
		_, err := c.ask(t.Context(), request("chat", key, false))
		c.close()
		if err == nil || cause(err) != want[name] {
			t.Errorf("%s fails with %v", name, err)
		}
	}
}

func TestSizes(t *testing.T) {
	e := newEngine()
	_, body, _ := bytes.Cut(e.whole, []byte("\r\n\r\n"))
	if len(body) != answerSize || !json.Valid(body) {
		t.Errorf("an answer of %d bytes: %s", len(body), body)
	}
	_, body, _ = bytes.Cut(request("chat", key, true), []byte("\r\n\r\n"))
	if len(body) != answerSize || !json.Valid(body) {
		t.Errorf("a request of %d bytes: %s", len(body), body)
	}
	for _, chunk := range [][]byte{e.token, e.last} {
		_, event, _ := bytes.Cut(chunk, []byte("\r\n"))
		event = bytes.TrimSuffix(event, []byte("\r\n"))
		data := bytes.TrimPrefix(bytes.TrimSpace(event), []byte("data: "))
		if len(event) != eventSize || !json.Valid(data) {
			t.Errorf("an event of %d bytes: %s", len(event), event)
		}
	}
}

// script starts a server that answers what it reads with one text after another,
// each on a connection of its own where closing says so.
func script(t *testing.T, closing bool, texts ...string) (addr string) {
	t.Helper()
	l, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var running sync.WaitGroup
	running.Go(func() {
		serve(l, func(v *visit) bool {
			mu.Lock()
			text := texts[0]
			if len(texts) > 1 {
				texts = texts[1:]
			}
			mu.Unlock()
			return v.write([]byte(text)) && !closing
		})
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	return l.Addr().String()
}

var (
	okAnswer  = string(newEngine().whole)
	badAnswer = string(wholeAnswer("503 Service Unavailable", "{}"))
)

// Only a whole answer of status 200 is none that went wrong.
func TestAskJudges(t *testing.T) {
	const stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	tests := map[string]struct{ text, cause string }{
		"whole":            {okAnswer, ""},
		"whole stream":     {stream + string(chunk("data: {}\n\ndata: [DONE]\n\n")) + "0\r\n\r\n", ""},
		"status":           {badAnswer, "status 503"},
		"too small":        {string(wholeAnswer("200 OK", "{}")), errSmall.Error()},
		"cut cleanly":      {stream + string(chunk("data: {}\n\n")) + "0\r\n\r\n", errCut.Error()},
		"cut":              {stream + string(chunk("data: {}\n\n")), "cut short"},
		"an error in band": {stream + string(chunk("data: {\"error\":{}}\n\n")) + "0\r\n\r\n", errFailed.Error()},
		"nothing":          {"", "cut short"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(script(t, true, tt.text))
			defer c.close()
			_, err := c.ask(t.Context(), request("chat", key, false))
			got := ""
			if err != nil {
				got = cause(err)
			}
			if got != tt.cause {
				t.Errorf("%q, want %q (%v)", got, tt.cause, err)
			}
		})
	}
}

// Loads count each answer and each failure, and leave nothing running.
func TestLoads(t *testing.T) {
	good, failing := script(t, false, okAnswer), script(t, false, okAnswer, badAnswer)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	l := load{addr: good, request: request("chat", key, false), conns: 3, ramp: 3 * time.Millisecond, warm: 10 * time.Millisecond, window: 30 * time.Millisecond}
	var looks int
	l.cpu = func() (time.Duration, error) { looks++; return time.Duration(looks) * time.Second, nil }
	o, err := l.closed(t.Context())
	if err != nil || len(o.wrong) > 0 || o.answers == 0 || len(o.latencies) == 0 || o.cpu != time.Second || o.took <= 0 {
		t.Errorf("closed: %+v, %v", o, err)
	}
	if o, err = l.open(t.Context(), 1000); err != nil || len(o.wrong) > 0 || len(o.latencies) == 0 {
		t.Errorf("open: %+v, %v", o, err)
	}
	l.addr = failing
	if o, err = l.closed(t.Context()); err != nil || o.wrong["status 503"] == 0 {
		t.Errorf("failures are not told: %+v, %v", o, err)
	}
	l.cpu = func() (time.Duration, error) { return 0, errors.New("the process is gone") }
	if _, err = l.closed(t.Context()); err == nil {
		t.Error("a subject whose CPU time cannot be read was measured")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = l.closed(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a load that was called off ended with %v", err)
	}
}

// Streams are held until they are released; one that ends before that went wrong.
func TestHold(t *testing.T) {
	up := play(t, "upstream")
	l := load{addr: up.addr(), request: request("slow", key, true), conns: 5}
	if open, wrong := l.hold(t.Context())(); open != 5 || len(wrong) > 0 {
		t.Errorf("%d open, %v", open, wrong)
	}
	l.request = request("chat", key, false)
	if open, wrong := l.hold(t.Context())(); open != 0 || wrong[errLeft.Error()] != 5 {
		t.Errorf("%d open, %v", open, wrong)
	}
	l.addr = hostOf(up.Faults["refused"])
	if open, wrong := l.hold(t.Context())(); open != 0 || wrong["connection refused"] != 5 {
		t.Errorf("%d open, %v", open, wrong)
	}
}

func TestTail(t *testing.T) {
	var k tail
	for range 1000 {
		if n, err := io.WriteString(&k, "0123456789"); n != 10 || err != nil {
			t.Fatal(n, err)
		}
	}
	_, _ = io.WriteString(&k, "the end\n")
	if s := k.String(); len(s) > tailSize || !strings.HasSuffix(s, "89the end") {
		t.Errorf("kept %d bytes: %q", len(s), s)
	}
}

// A command line that means nothing is refused before anything is started.
func TestUsage(t *testing.T) {
	var out, errs strings.Builder
	for code, args := range map[int][]string{2: {"-what"}, 0: {"-h"}, 1: {"-headworks", "testdata/none"}} {
		if got := run(args, strings.NewReader(""), &out, &errs); got != code {
			t.Errorf("%q exits %d, want %d", args, got, code)
		}
	}
	if got := run([]string{"upstream?"}, strings.NewReader(""), &out, &errs); got != 2 {
		t.Errorf("an unknown part exits %d", got)
	}
	if out.Len() > 0 {
		t.Errorf("on stdout: %s", out.String())
	}
}
