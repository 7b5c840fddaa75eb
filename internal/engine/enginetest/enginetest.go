// Package enginetest is the one conformance suite of engines: what every kind
// keeps, whoever wrote it.
//
// Run takes a kind that speaks a dialect over HTTP through its whole life against
// scripted upstreams on raw TCP. Contract asks of any engine what package engine
// promises, and fits kinds without a network too. Nothing here looks at a clock
// to judge how fast an engine is; the only times are bounds after which a test
// hangs.
package enginetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"headworks/internal/engine"
	"headworks/internal/fleet"
	"headworks/internal/inference"
)

// Kind is a kind of engine that speaks a dialect over HTTP.
type Kind struct {
	New     func(replicas []fleet.Replica, keys []string) (*engine.HTTP, error)
	Dialect inference.Dialect
	Vendor  string    // whose answers and errors those are; empty for the dialect's own
	Path    string    // the only one that is ever asked
	Stream  string    // the one that streams are asked at, if it is another
	Key     [2]string // how the key is sent, with key in its value

	Said   [][2]string // sent where the caller says no such thing
	Passed []string    // names of the caller's fields that reach the upstream

	// One tells that the kind takes no request for several answers.
	One bool

	// Elsewhere are the dialects whose callers are answered at another path of the
	// same upstream.
	Elsewhere inference.Set
}

// field is a name and a value of a header.
type field = [2]string

// key is the upstream's credential in all tests.
const key = "sk-upstream-0123456789"

// Bearer is a key sent as RFC 6750 says.
func Bearer() [2]string { return field{"Authorization", "Bearer " + key} }

// APIKey is a key sent in a field of its own.
func APIKey(name string) [2]string { return field{name, key} }

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// Run checks a kind of engine.
func Run(t *testing.T, k Kind) {
	for _, part := range []struct {
		name string
		run  func(*testing.T, Kind)
	}{
		{"contract", testContract},
		{"request", testRequest},
		{"stream", testStream},
		{"whole", testWhole},
		{"endings", testEndings},
		{"other answers", testOtherAnswers},
		{"statuses", testStatuses},
		{"redirect", testRedirect},
		{"broken connections", testBroken},
		{"closed under us", testClosedUnderUs},
		{"kept", testKept},
		{"silence", testSilence},
		{"slot is free", testSlotIsFree},
		{"other replica", testOtherReplica},
		{"wrong", testWrong},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.run(t, k)
		})
	}
}

// Contract checks what package engine promises of an engine that answers the
// calls that call makes, each time in the same way. It runs inside a
// testing/synctest bubble as well as outside.
func Contract(t *testing.T, e engine.Engine, call func(stream bool) *engine.Call) {
	t.Helper()
	for _, stream := range []bool{true, false} {
		c := call(stream)
		s, err := e.Open(t.Context(), c)
		if err != nil {
			t.Fatalf("stream %v: %v", stream, err)
		}
		writes := c.Request.Dialect.Operation() == inference.Chat
		dropped := slices.Clone(s.Dropped())
		h, err := hear(s)
		switch {
		case err != nil:
			t.Errorf("stream %v: %v", stream, err)
		case !h.usage.Known || h.usage.Input == 0 || h.usage.Output == 0 && writes:
			t.Errorf("stream %v: usage %+v at the end", stream, h.usage)
		case h.finish == inference.Unfinished && writes:
			t.Errorf("stream %v: whole without a reason to finish", stream)
		case !h.content:
			t.Errorf("stream %v: whole without content", stream)
		}
		if !slices.Equal(dropped, s.Dropped()) {
			t.Errorf("stream %v: dropped %q, then %q", stream, dropped, s.Dropped())
		}
		checkForm(t, c, &h)
		if c, err := s.Next(time.Time{}); err == nil || errors.Is(err, engine.ErrQuiet) {
			t.Errorf("stream %v: after the last chunk came %+v, %v", stream, c, err)
		}
		closed(t, s)
		contractQuiet(t, e, call(stream), &h)
		contractCancel(t, e, call)
	}
}

// checkForm checks that what was heard has one of the three forms of a Chunk.
func checkForm(t *testing.T, c *engine.Call, h *heard) {
	t.Helper()
	stream := c.Request.Stream
	forms := 0
	for _, is := range []bool{len(h.raw) > 0, len(h.deltas) > 0, h.answer != nil} {
		if is {
			forms++
		}
	}
	switch {
	case forms != 1:
		t.Errorf("stream %v: %d bytes, %d deltas and an answer %v in one answer", stream, len(h.raw), len(h.deltas), h.answer)
	case h.answer != nil && stream, h.deltas != nil && !stream:
		t.Errorf("stream %v: the answer has the form of the other", stream)
	}
	for i, d := range h.deltas {
		if (d.Kind == inference.Begin) != (i == 0) || (d.Kind == inference.End) != (i == len(h.deltas)-1) {
			t.Errorf("delta %d of %d is of kind %d", i, len(h.deltas), d.Kind)
		}
	}
}

// contractQuiet reads with a moment that has passed already: either something is
// there, or ErrQuiet comes, and nothing is lost by it.
func contractQuiet(t *testing.T, e engine.Engine, c *engine.Call, want *heard) {
	t.Helper()
	s, err := e.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	var h heard
	for !h.last {
		if _, err := h.next(s, time.Unix(1, 0)); err != nil && !errors.Is(err, engine.ErrQuiet) {
			t.Errorf("after quiet: %v", err)
			return
		}
		if _, err := h.next(s, time.Now().Add(time.Millisecond)); err != nil && !h.last && !errors.Is(err, engine.ErrQuiet) {
			t.Errorf("after quiet: %v", err)
			return
		}
	}
	if string(h.raw) != string(want.raw) || h.finish != want.finish || h.usage != want.usage || texts(h.deltas) != texts(want.deltas) {
		t.Errorf("read with pauses the answer is another one:\n%+v\n%+v", h, want)
	}
}

// contractCancel cancels before and within an answer, and closes in between.
func contractCancel(t *testing.T, e engine.Engine, call func(stream bool) *engine.Call) {
	t.Helper()
	for _, stream := range []bool{true, false} {
		for chunks := range 2 {
			ctx, cancel := context.WithCancel(t.Context())
			s, err := e.Open(ctx, call(stream))
			if err != nil {
				t.Fatal(err)
			}
			last := false
			for range chunks {
				c, err := s.Next(time.Time{})
				if err != nil {
					t.Errorf("stream %v: %v", stream, err)
				}
				last = c.Last
			}
			cancel()
			for range 2 {
				if c, err := s.Next(time.Time{}); !last && err == nil && !c.Last || errors.Is(err, engine.ErrQuiet) {
					t.Errorf("stream %v: canceled after %d chunks, then came %+v, %v", stream, chunks, c, err)
				} else {
					last = true
				}
			}
			closed(t, s)
			s, err = e.Open(t.Context(), call(stream))
			if err != nil {
				t.Fatal(err)
			}
			closed(t, s)
		}
	}
}

func testContract(t *testing.T, k Kind) {
	for _, d := range k.callers() {
		t.Run(d.name, func(t *testing.T) {
			u := k.play(t, func(r *request) bool { return r.send(k.good(r)) })
			Contract(t, u.engine, func(stream bool) *engine.Call { return u.call(d, stream) })
		})
	}
}

// heard is what an answer told so far.
type heard struct {
	raw     []byte
	deltas  []inference.Delta
	answer  *inference.Answer
	usage   inference.Usage
	finish  inference.Finish
	text    int
	content bool
	last    bool
	chunks  int
}

// next reads one chunk.
func (h *heard) next(s engine.Stream, until time.Time) (engine.Chunk, error) {
	if h.last {
		return engine.Chunk{}, nil
	}
	c, err := s.Next(until)
	if err != nil {
		return c, err
	}
	h.chunks++
	h.raw = append(h.raw, c.Raw...)
	h.deltas = append(h.deltas, c.Deltas...)
	if c.Answer != nil {
		h.answer = c.Answer
	}
	if c.Event.Usage.Known {
		h.usage = c.Event.Usage
	}
	if c.Event.Finish != inference.Unfinished {
		h.finish = c.Event.Finish
	}
	h.text += c.Event.Text
	h.content = h.content || c.Event.Content
	h.last = c.Last
	return c, nil
}

// errHangs says that nothing came within patience.
var errHangs = errors.New("enginetest: nothing came, and no error either")

// hear reads an answer to its end.
func hear(s engine.Stream) (h heard, err error) {
	by := time.Now().Add(patience)
	for !h.last {
		switch _, err := h.next(s, by); {
		case errors.Is(err, engine.ErrQuiet):
			return h, errHangs
		case err != nil:
			return h, err
		}
	}
	return h, nil
}

func closed(t *testing.T, s engine.Stream) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}
