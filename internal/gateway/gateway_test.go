package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headworks/internal/admit"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/record"
	"headworks/internal/tenant"
)

// beat is something an engine does, after a while.
type beat struct {
	after time.Duration
	chunk engine.Chunk
	err   error
	panic bool
}

func text(s string) beat {
	return beat{chunk: engine.Chunk{Raw: []byte(s), Event: inference.Event{Content: true, Text: len(s)}}}
}

func later(d time.Duration, b beat) beat { b.after = d; return b }

func ping() beat { return beat{chunk: engine.Chunk{Raw: []byte("ping")}} }

func role() beat { return beat{chunk: engine.Chunk{Raw: []byte("role|")}} }

func breaks(k fault.Kind) beat { return beat{err: fault.New(k, "test")} }

func finish(s string) beat {
	b := text(s)
	b.chunk.Last = true
	b.chunk.Event.Finish = inference.Stop
	b.chunk.Event.Usage = inference.Usage{Input: 10, Output: 3, Known: true}
	return b
}

// script is an engine that plays beats, the same for each call of a replica.
type script struct {
	mu     sync.Mutex
	plays  map[fleet.ReplicaID][]beat
	opened []fleet.ReplicaID
	closed int
}

func (s *script) Open(ctx context.Context, c *engine.Call) (engine.Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened = append(s.opened, c.Replica.ID)
	beats := s.plays[c.Replica.ID]
	if len(beats) > 0 && beats[0].err != nil && beats[0].after == 0 && fault.Of(beats[0].err).Kind == fault.Connect {
		return nil, beats[0].err
	}
	return &playing{s: s, ctx: ctx, beats: beats, due: time.Now(), call: c}, nil
}

type playing struct {
	s     *script
	ctx   context.Context
	beats []beat
	due   time.Time
	call  *engine.Call
}

func (p *playing) Next(until time.Time) (engine.Chunk, error) {
	if len(p.beats) == 0 {
		<-p.ctx.Done()
		return engine.Chunk{}, p.ctx.Err()
	}
	b := p.beats[0]
	at := p.due.Add(b.after)
	wait, quiet := time.Until(at), false
	if !until.IsZero() && until.Before(at) {
		wait, quiet = time.Until(until), true
	}
	select {
	case <-p.ctx.Done():
		return engine.Chunk{}, p.ctx.Err()
	case <-time.After(wait):
	}
	if quiet {
		return engine.Chunk{}, engine.ErrQuiet
	}
	p.due, p.beats = at, p.beats[1:]
	if b.panic {
		panic("a defect in an engine")
	}
	if len(b.chunk.Raw) > 0 && !p.call.Tell {
		b.chunk.Deltas, b.chunk.Answer = nil, nil
	}
	return b.chunk, b.err
}

func (p *playing) Dropped() []string { return []string{"logprobs"} }

func (p *playing) Close() error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.s.closed++
	return nil
}

// page is a sink that writes down what the client gets.
type page struct {
	log     []string
	head    Head
	failAt  string // the line at which the client is found to be gone
	atEnd   func()
	slow    time.Duration // for each write
	answers int
}

func (p *page) write(line string) error {
	p.log = append(p.log, line)
	time.Sleep(p.slow)
	if p.failAt != "" && strings.HasPrefix(line, p.failAt) {
		return errors.New("broken pipe")
	}
	return nil
}

func (p *page) Open(h *Head) error { p.head = *h; return p.write("open") }
func (p *page) Alive() error       { return p.write("alive") }

func (p *page) Send(h *Head, c *engine.Chunk) error {
	p.head = *h
	return p.write("send " + said(c))
}

func (p *page) End(h *Head, c *engine.Chunk, f *fault.Error) error {
	p.head = *h
	p.answers++
	if p.atEnd != nil {
		p.atEnd()
	}
	if f != nil {
		return p.write("fault " + f.Kind.String())
	}
	return p.write("end " + said(c))
}

// said is what a chunk tells: its bytes, or the texts of its steps.
func said(c *engine.Chunk) string {
	var s strings.Builder
	s.Write(c.Raw)
	for _, d := range c.Deltas {
		s.WriteString(d.Name + d.Text + "|")
	}
	return s.String()
}

type ledger struct {
	mu    sync.Mutex
	lines int
	err   error
}

func (l *ledger) Charge(*record.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines++
	return l.err
}

// told is what the operator learns of a fault.
type told struct {
	id    inference.ID
	kind  fault.Kind
	cause error
}

type bench struct {
	g       *Gateway
	engine  *script
	ledger  *ledger
	records []record.Record
	told    []told
	mu      sync.Mutex
}

func newBench(limits admit.Limits, plays ...[]beat) *bench {
	b := &bench{engine: &script{plays: map[fleet.ReplicaID][]beat{}}, ledger: &ledger{}}
	s := &fleet.Snapshot{Replicas: len(plays), Models: []fleet.Model{{
		Name: "assistant", Tries: 2,
		Timeouts: fleet.Timeouts{FirstToken: 5 * time.Minute, Idle: 30 * time.Second, Total: 10 * time.Minute},
	}}}
	w := &World{Fleet: s, Region: "here", Config: "c0ffee"}
	for i, play := range plays {
		b.engine.plays[fleet.ReplicaID(i)] = play
		s.Upstreams = append(s.Upstreams, fleet.Upstream{
			Name:     fmt.Sprint("up", i),
			Replicas: []fleet.Replica{{ID: fleet.ReplicaID(i), Upstream: i, Name: fmt.Sprint("r", i)}},
		})
		s.Models[0].Targets = append(s.Models[0].Targets, fleet.Target{
			Upstream: i, Model: "m", Price: inference.Price{Known: true, Input: 1, Output: 2},
		})
		w.Engines = append(w.Engines, b.engine)
	}
	b.g = New(flow.NewPolicy(limits), b.ledger, func(r *record.Record) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.records = append(b.records, *r)
	}, func(id inference.ID, f *fault.Error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.told = append(b.told, told{id, f.Kind, f.Cause})
	})
	b.g.Publish(w)
	return b
}

func (b *bench) do(ctx context.Context, stream bool, p *page) { b.g.Do(ctx, b.request(stream), p) }

func (b *bench) request(stream bool) *Request {
	return &Request{
		Request: inference.Request{ID: inference.NewID(time.Now(), 1, 2), Model: "assistant", Stream: stream, Input: 7},
		Caller:  &tenant.Caller{Key: "k"}, Surface: "test", Arrived: time.Now(),
	}
}

// settled fails if a place, a load or a stream is still taken.
func (b *bench) settled(t *testing.T) {
	t.Helper()
	b.g.Policy(func(p *flow.Policy) {
		for id := range b.engine.plays {
			if n := p.Load(id); n != (flow.Load{}) {
				t.Errorf("replica %d still counts %+v", id, n)
			}
		}
		if n := p.Gate.InFlight() + p.Gate.Waiting() + p.Retries(); n != 0 {
			t.Errorf("%d places still taken", n)
		}
	})
	for i, r := range b.records {
		if r.End == record.Open {
			t.Errorf("record %d has no end", i)
		}
	}
}

func TestLives(t *testing.T) {
	cut := []beat{role(), text("a"), breaks(fault.Interrupted)}
	tests := map[string]struct {
		stream  bool
		plays   [][]beat
		log     []string
		end     record.End
		fault   fault.Kind
		charged int
	}{
		"a whole answer": {false, [][]beat{{finish("body")}}, []string{"end body"}, record.OK, 0, 1},
		"a whole answer after signs of life": {
			false,
			[][]beat{{{}, {after: 20 * time.Second}, later(20*time.Second, finish("body"))}},
			[]string{"end body"},
			record.OK, 0, 1,
		},
		"a stream": {
			true,
			[][]beat{{role(), text("a"), text("b"), finish("c")}},
			[]string{"send role|a", "send b", "end c"},
			record.OK, 0, 1,
		},
		"a stream that is there at once": {true, [][]beat{{role(), finish("abc")}}, []string{"end role|abc"}, record.OK, 0, 1},
		"cut before content: the next, and nothing of the first": {
			true,
			[][]beat{{role(), breaks(fault.Interrupted)}, {text("x"), finish("y")}},
			[]string{"send x", "end y"},
			record.OK, 0, 1,
		},
		"cut after content: an honest end": {true, [][]beat{cut, {finish("z")}}, []string{"send role|a", "fault abnormal_end"}, record.AbnormalEnd, fault.Interrupted, 1},
		"refused, then the next":           {true, [][]beat{{breaks(fault.Connect)}, {finish("z")}}, []string{"end z"}, record.OK, 0, 1},
		"nobody left":                      {false, [][]beat{{breaks(fault.UpstreamError)}, {breaks(fault.Connect)}}, []string{"fault connect"}, record.Failed, fault.Connect, 0},
		"kept alive before and after content": {
			true,
			[][]beat{{later(40*time.Second, text("a")), later(20*time.Second, finish("b"))}},
			[]string{"open", "alive", "send a", "alive", "end b"},
			record.OK, 0, 1,
		},
		"opened, then fails": {
			true,
			[][]beat{{later(40*time.Second, breaks(fault.UpstreamError))}},
			[]string{"open", "alive", "fault upstream_5xx"},
			record.Failed, fault.UpstreamError, 0,
		},
		"opened, then the next serves": {
			true,
			[][]beat{{later(21*time.Second, breaks(fault.UpstreamError))}, {text("a"), finish("b")}},
			[]string{"open", "send a", "end b"},
			record.OK, 0, 1,
		},
		"pings and no word": {
			true,
			[][]beat{append([]beat{text("a")}, slices.Repeat([]beat{later(14*time.Second, ping())}, 20)...)},
			append([]string{"send a"}, append(slices.Repeat([]string{"send ping"}, 8), "fault stall")...),
			record.AbnormalEnd, fault.Stalled, 1,
		},
		"a stall": {true, [][]beat{{text("a"), later(time.Minute, text("b"))}}, []string{"send a", "alive", "fault stall"}, record.AbnormalEnd, fault.Stalled, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(admit.Limits{}, tt.plays...)
				p := &page{}
				p.atEnd = func() {
					if b.ledger.lines != tt.charged {
						t.Errorf("%d ledger lines when the terminal leaves, want %d", b.ledger.lines, tt.charged)
					}
				}
				b.do(t.Context(), tt.stream, p)
				if !slices.Equal(p.log, tt.log) {
					t.Errorf("the client got %q\nwant           %q", p.log, tt.log)
				}
				r := b.records[0]
				if r.End != tt.end || r.Fault != tt.fault {
					t.Errorf("recorded %v %v, want %v %v", r.End, r.Fault, tt.end, tt.fault)
				}
				b.settled(t)
			})
		})
	}
}

// TestUnseen: what a client sees nothing of yet is not content for it: a call leaves
// whole in Gemini's dialect, and until then another target may answer.
func TestUnseen(t *testing.T) {
	step := func(after time.Duration, d inference.Delta) beat {
		return beat{after: after, chunk: engine.Chunk{Deltas: []inference.Delta{d}, Event: inference.Event{Content: d.Kind != inference.Begin, Text: len(d.Text)}}}
	}
	begin := step(0, inference.Delta{Kind: inference.Begin, Name: "begin"})
	call, piece := step(0, inference.Delta{Kind: inference.ToolBegin, Name: "call"}), step(10*time.Second, inference.Delta{Kind: inference.ToolDelta, Text: "{}"})
	large := step(0, inference.Delta{Kind: inference.ToolDelta, Text: strings.Repeat("x", maxHeld)})
	end := step(0, inference.Delta{Kind: inference.End, Name: "end"})
	end.chunk.Last, end.chunk.Event.Finish, end.chunk.Event.Usage = true, inference.ToolCalls, inference.Usage{Input: 10, Output: 3, Known: true}
	word := step(0, inference.Delta{Kind: inference.TextDelta, Text: "word"})
	for name, tt := range map[string]struct {
		dialect inference.Dialect
		plays   [][]beat
		log     []string
		ttft    time.Duration // from the last attempt to its first content
	}{
		"a call that breaks off":           {inference.Gemini, [][]beat{{begin, call, piece, breaks(fault.Interrupted)}, {begin, later(time.Second, word), end}}, []string{"send begin|word|", "end end|"}, time.Second},
		"the same where pieces are seen":   {inference.OpenAI, [][]beat{{begin, call, piece, breaks(fault.Interrupted)}, {begin, word, end}}, []string{"send begin|call|", "send {}|", "fault abnormal_end"}, 0},
		"a call":                           {inference.Gemini, [][]beat{{begin, call, piece, end}}, []string{"end begin|call|{}|end|"}, 0},
		"a call, and then a word":          {inference.Gemini, [][]beat{{begin, call, piece, word, end}}, []string{"send begin|call|{}|word|", "end end|"}, 0},
		"a call that is told to be coming": {inference.Gemini, [][]beat{{begin, call, piece, piece, piece, end}}, []string{"open", "end begin|call|{}|{}|{}|end|"}, 0},
		"more than is kept":                {inference.Gemini, [][]beat{{begin, call, large, breaks(fault.Interrupted)}, {word, end}}, []string{"send begin|call|" + large.chunk.Deltas[0].Text + "|", "fault abnormal_end"}, 0},
		"a finish that is seen at the end": {inference.OpenAI, [][]beat{{begin, {chunk: engine.Chunk{Event: inference.Event{Content: true, Finish: inference.Stop}}}, breaks(fault.UpstreamError)}, {word, end}}, []string{"send word|", "end end|"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(admit.Limits{}, tt.plays...)
				p := &page{}
				b.g.Do(t.Context(), &Request{
					Request: inference.Request{ID: inference.NewID(time.Now(), 1, 2), Dialect: tt.dialect, Model: "assistant", Stream: true},
					Caller:  &tenant.Caller{Key: "k"}, Surface: "test", Arrived: time.Now(),
				}, p)
				if !slices.Equal(p.log, tt.log) {
					t.Errorf("the client got %.200q\nwant           %.200q", p.log, tt.log)
				}
				if got := b.records[0].UpstreamTTFT; got != tt.ttft.Microseconds() {
					t.Errorf("the first content after %d µs, want %v", got, tt.ttft)
				}
				b.settled(t)
			})
		})
	}
}

func TestHeadAndRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(admit.Limits{}, []beat{later(time.Second, breaks(fault.UpstreamError))}, []beat{later(time.Second, finish("body"))})
		p := &page{}
		b.do(t.Context(), false, p)
		h := p.head
		if h.Upstream != "up1" || h.Replica != "r1" || h.Route != "fell back" || h.Attempts != 2 || h.Region != "here" ||
			h.Config != "c0ffee" || h.Cost != 16 || !h.CostKnown || h.Overhead != 0 || !slices.Equal(h.Dropped, []string{"logprobs"}) {
			t.Errorf("head %+v", h)
		}
		r := b.records[0]
		if r.Total != 2e6 || r.Overhead != 0 || r.Cost != 16 || r.Input != 10 || r.UsageSource != record.Provider || r.FailoverFrom != "r0" || r.Tried != 2 {
			t.Errorf("record %+v", r)
		}
		if w, ok := r.Winner(); !ok || w.Replica != "r1" {
			t.Errorf("winner %+v", w)
		}
	})
}

// TestClientLeaves cancels at every moment of a life: nothing stays taken, the
// upstream is canceled at once, and what came is charged.
// The time that Headworks itself took is neither the upload nor a client that takes
// its answer slowly.
func TestOverheadIsOurs(t *testing.T) {
	for _, stream := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(admit.Limits{}, []beat{later(time.Second, text("a")), text("b"), finish("c")})
			if !stream {
				b.engine.plays[0] = []beat{later(time.Second, finish("body"))}
			}
			arrived := time.Now()
			time.Sleep(time.Minute)
			b.g.Do(t.Context(), &Request{
				Request: inference.Request{ID: inference.NewID(arrived, 1, 2), Model: "assistant", Stream: stream},
				Caller:  &tenant.Caller{}, Arrived: arrived, Uploaded: time.Minute - time.Second,
			}, &page{slow: 10 * time.Second})
			if r := b.records[0]; r.End != record.OK || r.Total < 70e6 || r.Overhead != 1e6 {
				t.Errorf("stream %v: overhead %d of %d, want a second", stream, r.Overhead, r.Total)
			}
		})
	}
}

func TestClientLeaves(t *testing.T) {
	for _, cause := range []error{nil, ErrDraining} {
		for at := time.Duration(0); at < 50*time.Second; at += 3 * time.Second {
			for _, stream := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(admit.Limits{}, []beat{{}, later(25*time.Second, text("a")), later(20*time.Second, text("b")), later(20*time.Second, finish("c"))})
					ctx, cancel := context.WithCancelCause(t.Context())
					time.AfterFunc(at, func() { cancel(cause) })
					start := time.Now()
					p := &page{}
					b.do(ctx, stream, p)
					if took := time.Since(start); took != at {
						t.Errorf("left after %v, free after %v", at, took)
					}
					want, line := fault.ClientClosed, "fault client_closed"
					if cause != nil {
						want, line = fault.Draining, "fault draining"
					}
					if r := b.records[0]; r.Fault != want {
						t.Errorf("recorded %v", r.Fault)
					}
					if got := p.log[len(p.log)-1]; got != line || p.answers != 1 {
						t.Errorf("the client got %q", p.log)
					}
					if b.engine.closed != len(b.engine.opened) {
						t.Errorf("%d streams opened, %d closed", len(b.engine.opened), b.engine.closed)
					}
					b.settled(t)
				})
			}
		}
	}
}

func TestClientCannotBeReached(t *testing.T) {
	for _, at := range []string{"send", "alive", "end", "open"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(admit.Limits{}, []beat{later(25*time.Second, text("a")), later(20*time.Second, finish("c"))})
			p := &page{failAt: at}
			b.do(t.Context(), true, p)
			if r := b.records[0]; r.End != record.ClientClosed || r.Fault != fault.ClientClosed {
				t.Errorf("at %s: recorded %v %v", at, r.End, r.Fault)
			}
			b.settled(t)
		})
	}
}

// TestCutAnswersCount has upstreams that tell their count before all is said.
func TestCutAnswersCount(t *testing.T) {
	told := func(output int, b beat) beat {
		b.chunk.Event.Usage = inference.Usage{Input: 10, Output: output, Known: true}
		return b
	}
	cut := breaks(fault.Interrupted)
	for name, tt := range map[string]struct {
		beats         []beat
		input, output int64
		source        record.UsageSource
	}{
		"at the start alone":  {[]beat{told(1, role()), text("more than one token"), cut}, 10, 5, record.Estimated},
		"again and again":     {[]beat{told(1, role()), told(9, text("words")), cut}, 10, 9, record.Provider},
		"never":               {[]beat{role(), text("words"), cut}, 7, 2, record.Estimated},
		"whole, and it knows": {[]beat{role(), text("many words, few tokens"), finish("")}, 10, 3, record.Provider},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(admit.Limits{}, tt.beats)
			b.do(t.Context(), true, &page{})
			if r := b.records[0]; r.Input != tt.input || r.Output != tt.output || r.UsageSource != tt.source {
				t.Errorf("%s: %d in, %d out, source %v", name, r.Input, r.Output, r.UsageSource)
			}
		})
	}
}

// TestNothingGivenNothingCharged: an upstream that counted the prompt and then
// failed before the first word.
func TestNothingGivenNothingCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counted := role()
		counted.chunk.Event.Usage = inference.Usage{Input: 1000, Output: 1, Known: true}
		b := newBench(admit.Limits{}, []beat{counted, breaks(fault.UpstreamError)})
		b.do(t.Context(), true, &page{})
		if r := b.records[0]; r.Input != 0 || r.Cost > 0 || b.ledger.lines != 0 {
			t.Errorf("%d tokens and %d lines for an answer that was not given", r.Input, b.ledger.lines)
		}
	})
}

func TestLedgerLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(admit.Limits{}, []beat{finish("body")})
		b.ledger.err = errors.New("disk full")
		p := &page{}
		b.do(t.Context(), false, p)
		if got := p.log[0]; got != "fault budget_unavailable" || b.records[0].Fault != fault.BudgetUnavailable {
			t.Errorf("the client got %q, recorded %v", got, b.records[0].Fault)
		}
	})
}

// While the ledger cannot be written nothing is sent, but for one request a second,
// and once that was charged for all are served again.
func TestLedgerComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(admit.Limits{}, []beat{finish("body")})
		b.ledger.err = errors.New("disk full")
		do := func(want string, sent int) {
			t.Helper()
			p := &page{}
			b.do(t.Context(), false, p)
			if p.log[0] != want || len(b.engine.opened) != sent {
				t.Errorf("the client got %q, %d requests were sent; want %q and %d", p.log[0], len(b.engine.opened), want, sent)
			}
		}
		const refused = "fault budget_unavailable"
		do(refused, 1)
		do(refused, 1)
		time.Sleep(time.Second)
		do(refused, 2) // finds out that it is as it was
		do(refused, 2)
		b.ledger.err = nil
		do(refused, 2)
		time.Sleep(time.Second)
		do("end body", 3)
		do("end body", 4)
		b.settled(t)
	})
}

// What an operator has to mend is told with its cause, under the id that the caller
// has; what is not his is not told.
func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("no such host")
		for kind, want := range map[fault.Kind]bool{
			fault.Internal: true, fault.TLS: true, fault.UpstreamAuth: true, fault.UpstreamForbidden: true,
			fault.UpstreamError: false, fault.UpstreamRejected: false,
		} {
			b := newBench(admit.Limits{}, []beat{{err: fault.Wrap(kind, "test", cause)}})
			b.do(t.Context(), false, &page{})
			switch {
			case !want && len(b.told) > 0:
				t.Errorf("%v: told %v", kind, b.told)
			case want && !slices.Equal(b.told, []told{{b.records[0].ID, kind, cause}}):
				t.Errorf("%v: told %v", kind, b.told)
			}
		}
		b := newBench(admit.Limits{}, []beat{finish("body")})
		b.g.Refuse(&Request{Caller: &tenant.Caller{}, Arrived: time.Now()}, fault.New(fault.InvalidJSON, "test"))
		b.do(t.Context(), false, &page{})
		if len(b.told) > 0 {
			t.Errorf("told %v", b.told)
		}
	})
}

// An answer that is no text has no first token and no time between tokens, and its
// tokens are those that were read.
func TestOperationsWithoutTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vectors := beat{after: time.Second, chunk: engine.Chunk{
			Raw: []byte("body"), Last: true,
			Event: inference.Event{Content: true, Finishes: 2, Usage: inference.Usage{Input: 9, Known: true}},
		}}
		uncounted := vectors
		uncounted.chunk.Event.Usage = inference.Usage{}
		for _, tt := range []struct {
			beat   beat
			input  int64
			source record.UsageSource
		}{{vectors, 9, record.Provider}, {uncounted, 7, record.Estimated}} {
			b := newBench(admit.Limits{}, []beat{tt.beat})
			b.g.Do(t.Context(), &Request{
				Request: inference.Request{ID: inference.NewID(time.Now(), 1, 2), Dialect: inference.Embeddings, Model: "assistant", Input: 7, Prompts: 2},
				Caller:  &tenant.Caller{Key: "k"}, Surface: "test", Arrived: time.Now(),
			}, &page{})
			r := b.records[0]
			if r.End != record.OK || r.Operation != "embeddings" || r.Input != tt.input || r.Output != 0 || r.Cost != tt.input || r.UsageSource != tt.source {
				t.Errorf("recorded %+v", r)
			}
			if r.TTFT >= 0 || r.TPOT >= 0 || r.UpstreamTTFT >= 0 || r.Total != time.Second.Microseconds() {
				t.Errorf("times: first %d, each %d, upstream %d, total %d", r.TTFT, r.TPOT, r.UpstreamTTFT, r.Total)
			}
			if b.ledger.lines != 1 {
				t.Errorf("%d lines in the ledger", b.ledger.lines)
			}
			b.settled(t)
		}
	})
}

// What is held across dialects is bounded by what it takes, as it is within one.
func TestHeldDeltasAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := beat{chunk: engine.Chunk{Deltas: []inference.Delta{{Kind: inference.Begin, ID: strings.Repeat("a", 9000)}}}}
		b := newBench(admit.Limits{}, []beat{long, long, long, long, long, long, long, long, finish("body")})
		p := &page{}
		b.do(t.Context(), true, p)
		if p.log[0] != "fault oversized" {
			t.Errorf("the client got %q", p.log)
		}
	})
}

func TestPanicGivesEverythingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(admit.Limits{InFlight: 1, Queue: 1}, []beat{text("a"), {panic: true}})
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is swallowed")
				}
			}()
			b.do(t.Context(), true, &page{})
		}()
		if r := b.records[0]; r.Fault != fault.Internal {
			t.Errorf("recorded %v", r.Fault)
		}
		b.settled(t)
	})
}

// A sink that panics at the terminal left the client without one, and the record
// says so.
func TestPanicAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(admit.Limits{InFlight: 1}, []beat{finish("body")})
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is swallowed")
				}
			}()
			b.do(t.Context(), false, &page{atEnd: func() { panic("a defect in a surface") }})
		}()
		if r := b.records[0]; r.Fault != fault.Internal || r.End == record.OK {
			t.Errorf("recorded %v %v", r.End, r.Fault)
		}
		b.settled(t)
	})
}

func TestQueueInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(admit.Limits{InFlight: 1, Queue: 100}, []beat{later(100*time.Millisecond, finish("body"))})
		var wg sync.WaitGroup
		start := time.Now()
		for range 40 {
			wg.Go(func() { b.do(t.Context(), false, &page{}) })
		}
		wg.Wait()
		served, refused := 0, 0
		for _, r := range b.records {
			switch r.Fault {
			case fault.None:
				served++
			case fault.Overloaded:
				refused++
			default:
				t.Errorf("recorded %v", r.Fault)
			}
		}
		// One at a time, for two seconds: those who wait longer are told so.
		if served < 20 || served > 21 || served+refused != 40 {
			t.Errorf("%d served and %d refused after %v", served, refused, time.Since(start))
		}
		b.settled(t)
	})
}

func TestRaisedLimitLetsThoseWhoWaitIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(admit.Limits{InFlight: 1, Queue: 100}, []beat{later(time.Second, finish("body"))})
		var wg sync.WaitGroup
		start := time.Now()
		for range 5 {
			wg.Go(func() { b.do(t.Context(), false, &page{}) })
		}
		synctest.Wait()
		b.g.Policy(func(p *flow.Policy) { p.Gate.Limits.InFlight = 10 })
		wg.Wait()
		if took := time.Since(start); took != time.Second {
			t.Errorf("five requests took %v where all had room at once", took)
		}
		b.settled(t)
	})
}

func TestWatchIsForSlowAnswers(t *testing.T) {
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{time.Millisecond, 0}, {time.Second, 1}} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(admit.Limits{}, []beat{later(tt.after, finish("body"))})
			watched := 0
			b.g.Do(t.Context(), &Request{
				Request: inference.Request{Model: "assistant"}, Caller: &tenant.Caller{}, Arrived: time.Now(),
				Watch: func() { watched++ },
			}, &page{})
			if watched != tt.want {
				t.Errorf("an answer after %v was watched %d times", tt.after, watched)
			}
		})
	}
}

// Where sending alone may take long, the client is watched from the start: a large
// body, or another try.
func TestWatchWhileSending(t *testing.T) {
	for name, tt := range map[string]struct {
		body  int
		first []beat
	}{
		"a large body": {maxUnwatched + 1, []beat{finish("body")}},
		"another try":  {1, []beat{breaks(fault.Interrupted)}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(admit.Limits{}, tt.first, []beat{finish("body")})
			watched := 0
			b.g.Do(t.Context(), &Request{
				Request: inference.Request{Model: "assistant"}, Caller: &tenant.Caller{}, Arrived: time.Now(),
				Body: make([]byte, tt.body), Watch: func() { watched++ },
			}, &page{})
			if watched != 1 {
				t.Errorf("%s: watched %d times", name, watched)
			}
		})
	}
}
