package simulated

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/latency"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const minTokens, maxTokens = 40, 120

// play returns an engine of a profile.
func play(profile string) *Engine {
	p, _ := latency.Profile(profile)
	return New(pool, Options{Params: p})
}

var pool = []fleet.Replica{{ID: 4, Name: "r4"}, {ID: 7, Name: "r7"}}

func call(id uint64, model string, stream bool) *engine.Call {
	return &engine.Call{
		Request: &inference.Request{ID: inference.NewID(time.Unix(1, 0), 0, id), Stream: stream, Input: 30, N: 1},
		Replica: &pool[0],
		Model:   model,
		Conversation: func() (*inference.Conversation, []string, error) {
			return &inference.Conversation{Tools: []inference.Tool{{Name: "t"}}}, []string{"logit_bias"}, nil
		},
	}
}

func open(t *testing.T, e *Engine, c *engine.Call) engine.Stream {
	t.Helper()
	s, err := e.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// finish reads a stream to its end.
func finish(t *testing.T, s engine.Stream) (text string, last engine.Chunk) {
	t.Helper()
	for !last.Last {
		c, err := s.Next(time.Time{})
		if err != nil {
			t.Error(err)
			return text, c
		}
		for _, d := range c.Deltas {
			text += d.Text
		}
		if c.Answer != nil {
			text += c.Answer.Parts[0].Text
		}
		last = c
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return text, last
}

// idle fails unless the engine has no work left, and no timer for it.
func idle(t *testing.T, e *Engine) {
	t.Helper()
	time.Sleep(time.Second) // who was cancelled leaves with the step
	synctest.Wait()
	for at, r := range e.replicas {
		r.mu.Lock()
		l := r.model.Load(r.now())
		if l.Running+l.Waiting != 0 || l.KV != 0 || len(r.vacant) != len(r.streams) {
			t.Errorf("%v: %+v, %d of %d streams open", at, l, len(r.streams)-len(r.vacant), len(r.streams))
		}
		if r.alarm != nil && r.alarm.Stop() {
			t.Errorf("%v: the alarm is set", at)
		}
		r.mu.Unlock()
	}
}

// TestTokenTimes sends a load and expects every word when the model, asked on its
// own, makes it.
func TestTokenTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 150
		e := play(latency.DemoLarge)
		start := time.Now()
		params, _ := latency.Profile(latency.DemoLarge)
		model := latency.New(params, latency.Tokens)
		src := rand.New(rand.NewPCG(1, 2))
		got, want := make([][]time.Duration, calls), make([][]time.Duration, calls)
		var at time.Duration
		var all []latency.Progress
		var wg sync.WaitGroup
		for i := range calls {
			at += time.Duration(src.ExpFloat64() * float64(50*time.Millisecond))
			c := call(uint64(i), latency.DemoLarge, true)
			c.Request.Input = 1 + src.IntN(4000)
			all = model.Advance(at, all)
			model.Submit(at, latency.Job{ID: uint64(i), Prompt: c.Request.Input, Output: len(compose(c.Model, c.Request.ID.Seed(), 40, 120))})
			joins := at
			wg.Go(func() {
				time.Sleep(joins)
				s := open(t, e, c)
				for {
					chunk, err := s.Next(time.Time{})
					if err != nil {
						t.Error(err)
						return
					}
					got[i] = append(got[i], time.Since(start))
					if chunk.Last {
						break
					}
				}
				s.Close()
			})
		}
		for _, p := range model.Advance(time.Hour, all) {
			want[p.ID] = append(want[p.ID], p.At)
		}
		wg.Wait()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		idle(t, e)
	})
}

func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := play(latency.DemoSmall)
		for _, stream := range []bool{true, false} {
			start := time.Now()
			s := open(t, e, call(3, latency.DemoSmall, stream))
			text, last := finish(t, s)
			words := strings.Join(compose(latency.DemoSmall, call(3, "", stream).Request.ID.Seed(), 40, 120), "")
			if text != words {
				t.Errorf("got %q\nwant %q", text, words)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("took %v", took)
			}
			usage := inference.Usage{Input: 30, Output: len(strings.Fields(words)), Known: true}
			want := inference.Event{Content: true, Finishes: 1, Finish: inference.Stop, Usage: usage, Terminal: true, Text: last.Event.Text}
			if last.Event != want {
				t.Errorf("got %+v\nwant %+v", last.Event, want)
			}
			if got := s.Dropped(); !slices.Equal(got, []string{"logit_bias", "tools"}) {
				t.Errorf("dropped %q", got)
			}
			if _, err := s.Next(time.Time{}); fault.Of(err).Kind != fault.Interrupted {
				t.Errorf("after the end: %v", err)
			}
		}

		c := call(3, latency.DemoSmall, true)
		c.Request.MaxTokens = 5
		text, last := finish(t, open(t, e, c))
		if text != "This is demo-small, a simulated" || last.Event.Finish != inference.Length || last.Event.Usage.Output != 5 {
			t.Errorf("of 5 tokens: %q, %+v", text, last.Event)
		}
		idle(t, e)
	})
}

func TestFirstChunkBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := play(latency.DemoSmall)
		s := open(t, e, call(1, latency.DemoSmall, true))
		defer s.Close()
		c, err := s.Next(time.Time{})
		if err != nil || len(c.Deltas) != 2 || c.Deltas[0].Kind != inference.Begin || c.Deltas[0].Usage.Input != 30 || c.Deltas[1].Text != "This" {
			t.Errorf("got %+v, %v", c, err)
		}
		// A slow reader gets what was made meanwhile in one piece.
		time.Sleep(95 * time.Millisecond)
		if c, err = s.Next(time.Time{}); err != nil || len(c.Deltas) != 1 || len(strings.Fields(c.Deltas[0].Text)) != 10 {
			t.Errorf("got %+v, %v", c, err)
		}
	})
}

func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := play(latency.DemoSmall)
		start := time.Now()
		for _, stream := range []bool{true, false} {
			s := open(t, e, call(1, latency.DemoLarge, stream))
			for range 3 {
				start = start.Add(5 * time.Millisecond)
				if _, err := s.Next(start); !errors.Is(err, engine.ErrQuiet) || !time.Now().Equal(start) {
					t.Errorf("at %v: %v", time.Now(), err)
				}
			}
			if _, last := finish(t, s); !last.Last {
				t.Error("no answer after silence")
			}
			start = time.Now()
		}
	})
}

func TestRefusals(t *testing.T) {
	e := play(latency.DemoSmall)
	open := func(adjust func(*engine.Call)) *fault.Error {
		c := call(1, latency.DemoSmall, true)
		adjust(c)
		_, err := e.Open(t.Context(), c)
		return fault.Of(err)
	}
	if f := open(func(c *engine.Call) { c.Replica = &fleet.Replica{ID: 99} }); f == nil || f.Kind != fault.Internal {
		t.Errorf("another upstream's replica: %v", f)
	}
	if f := open(func(c *engine.Call) { c.Request.Input = 1 << 20 }); f == nil || f.Kind != fault.ContextTooLong {
		t.Errorf("long prompt: %v", f)
	}
	if f := open(func(c *engine.Call) {
		c.Conversation = func() (*inference.Conversation, []string, error) {
			return nil, nil, fault.New(fault.InvalidRequest, "no")
		}
	}); f == nil || f.Kind != fault.InvalidRequest {
		t.Errorf("no conversation: %v", f)
	}
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := play(latency.DemoSmall)
		var streams []engine.Stream
		for i := uint64(0); ; i++ {
			s, err := e.Open(t.Context(), call(i, latency.DemoSmall, false))
			if err != nil {
				if f := fault.Of(err); f.Kind != fault.UpstreamCapacity || f.After == 0 || i != maxWaiting {
					t.Errorf("call %d: %v", i, err)
				}
				break
			}
			streams = append(streams, s)
		}
		for _, s := range streams {
			s.Close()
		}
		idle(t, e)
	})
}

// TestCancelFreesTheSlot fills the batch, lets one call wait and another go.
func TestCancelFreesTheSlot(t *testing.T) {
	for _, by := range []string{"close", "context"} {
		synctest.Test(t, func(t *testing.T) {
			e := play(latency.DemoSmall)
			params, _ := latency.Profile(latency.DemoSmall)
			ctx, cancel := context.WithCancel(t.Context())
			first, err := e.Open(ctx, call(0, latency.DemoSmall, true))
			if err != nil {
				t.Fatal(err)
			}
			others := make([]engine.Stream, 0, params.MaxSequences)
			for i := range params.MaxSequences {
				others = append(others, open(t, e, call(1+uint64(i), latency.DemoSmall, true)))
			}
			late := others[len(others)-1]
			time.Sleep(200 * time.Millisecond)
			if _, err := late.Next(time.Now().Add(100 * time.Millisecond)); !errors.Is(err, engine.ErrQuiet) {
				t.Errorf("there is no room for the last call, yet: %v", err)
			}
			if by == "close" {
				first.Close()
			} else {
				cancel()
				for err == nil { // what was made before is still there
					_, err = first.Next(time.Time{})
				}
				if fault.Of(err).Kind != fault.ClientClosed {
					t.Errorf("canceled: %v", err)
				}
				first.Close()
			}
			if _, err := late.Next(time.Now().Add(50 * time.Millisecond)); err != nil {
				t.Errorf("the slot is free, yet: %v", err)
			}
			for _, s := range others {
				s.Close()
				s.Close()
			}
			cancel()
			idle(t, e)
		})
	}
}

func TestComposed(t *testing.T) {
	for _, s := range sentences {
		if n := len(strings.Fields(s)); n > longest {
			t.Errorf("%d words: %s", n, s)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		words := compose("demo-large", seed, minTokens, maxTokens)
		text := strings.Join(words, "")
		if n := len(words); n < minTokens || n > maxTokens || n != len(strings.Fields(text)) {
			t.Errorf("%d words", n)
		}
		if !strings.HasPrefix(text, "This is demo-large, a simulated model:") || !strings.HasSuffix(text, ".") {
			t.Errorf("%q", text)
		}
		if !slices.Equal(words, compose("demo-large", seed, minTokens, maxTokens)) {
			t.Error("the same seed gives other words")
		}
	})
}
