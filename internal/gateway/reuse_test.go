package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"headworks/internal/admit"
	"headworks/internal/cache"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/record"
	"headworks/internal/scan"
	"headworks/internal/tenant"
)

// speaker is an engine that says words, one a second, whole or in steps.
type speaker struct {
	words  []string
	breaks map[int]fault.Kind // of the n-th call, from 1: before its last word
	early  map[int]fault.Kind // before the first
	opened atomic.Int64
	ended  atomic.Int64 // streams that were closed before their end
	whole  atomic.Int64 // that came to it
}

func (s *speaker) Open(ctx context.Context, c *engine.Call) (engine.Stream, error) {
	n := int(s.opened.Add(1))
	return &speech{s: s, ctx: ctx, n: n, stream: c.Request.Stream}, nil
}

type speech struct {
	s      *speaker
	ctx    context.Context
	n, at  int
	stream bool
	over   bool
}

func (p *speech) Next(until time.Time) (engine.Chunk, error) {
	wait := time.Second
	if !p.stream {
		wait *= time.Duration(len(p.s.words))
	}
	if !until.IsZero() {
		wait = min(wait, time.Until(until))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-p.ctx.Done():
		return engine.Chunk{}, context.Cause(p.ctx)
	case <-timer.C:
	}
	if wait < time.Second {
		return engine.Chunk{}, engine.ErrQuiet
	}
	if k, ok := p.s.early[p.n]; ok && p.at == 0 {
		return engine.Chunk{}, fault.New(k, "test")
	}
	usage := inference.Usage{Input: 10, Output: len(p.s.words), Known: true}
	ends := inference.Event{Content: true, Finishes: 1, Finish: inference.Stop, Usage: usage, Terminal: true}
	if !p.stream {
		p.over = true
		p.s.whole.Add(1)
		return engine.Chunk{Last: true, Event: ends, Answer: &inference.Answer{
			Parts: []inference.Part{{Kind: inference.Text, Text: strings.Join(p.s.words, "")}}, Finish: inference.Stop, Usage: usage,
		}}, nil
	}
	p.at++
	if p.at == len(p.s.words) {
		if k, ok := p.s.breaks[p.n]; ok {
			return engine.Chunk{}, fault.New(k, "test")
		}
	}
	if p.at > len(p.s.words) {
		p.over = true
		p.s.whole.Add(1)
		return engine.Chunk{Last: true, Event: ends, Deltas: []inference.Delta{{Kind: inference.End, Finish: inference.Stop, Usage: usage}}}, nil
	}
	c := engine.Chunk{Event: inference.Event{Content: true, Text: 1}, Deltas: []inference.Delta{{Kind: inference.TextDelta, Text: p.s.words[p.at-1]}}}
	if p.at == 1 {
		c.Deltas = append([]inference.Delta{{Kind: inference.Begin, ID: "theirs", Model: "m"}}, c.Deltas...)
	}
	return c, nil
}

func (p *speech) Dropped() []string { return nil }

func (p *speech) Close() error {
	if !p.over {
		p.s.ended.Add(1)
	}
	return nil
}

// client is a sink that joins what it is given.
type client struct {
	mu    sync.Mutex
	text  strings.Builder
	head  Head
	fault fault.Kind
	done  bool
	gone  bool          // it cannot be written to
	slow  time.Duration // for each write
	alive int
	at    time.Time // of the end
}

func (c *client) take(h *Head, k *engine.Chunk) error {
	time.Sleep(c.slow)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return fault.New(fault.ClientClosed, "gone")
	}
	c.head = *h
	if k == nil {
		return nil
	}
	for _, d := range k.Deltas {
		c.text.WriteString(d.Text)
	}
	if k.Answer != nil {
		for _, p := range k.Answer.Parts {
			c.text.WriteString(p.Text)
		}
	}
	return nil
}

func (c *client) Open(h *Head) error                  { return c.take(h, nil) }
func (c *client) Send(h *Head, k *engine.Chunk) error { return c.take(h, k) }

func (c *client) Alive() error {
	c.alive++
	return nil
}

func (c *client) End(h *Head, k *engine.Chunk, f *fault.Error) error {
	err := c.take(h, k)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done, c.at = true, time.Now()
	if f != nil {
		c.fault = f.Kind
	}
	return err
}

// shared is a gateway whose model keeps its answers, before a speaker.
type shared struct {
	*bench
	e     *speaker
	cache *cache.Cache
	ids   atomic.Uint64
	rules *fleet.Reuse
}

func newShared(t *testing.T, limits admit.Limits, e *speaker) *shared {
	t.Helper()
	s := &shared{e: e, rules: &fleet.Reuse{Exact: fleet.ExactOn, TTL: time.Hour, Revalidate: 5 * time.Minute, IfError: time.Hour, Reach: tenant.Project}}
	s.bench = newBench(limits, []beat{})
	w := *s.g.World()
	w.Engines = []engine.Engine{e}
	w.Fleet.Models[0].Reuse = s.rules
	s.g.Publish(&w)
	var err error
	if s.cache, err = cache.New(t.Context(), cache.Options{Memory: 32 << 20, Secret: tenant.NewSecret("test")}); err != nil {
		t.Fatal(err)
	}
	s.g.Reuse(s.cache)
	return s
}

// ask asks the same question as everybody else, and returns once it is answered.
func (s *shared) ask(ctx context.Context, stream bool, c *client, says ...string) {
	r := s.request(stream)
	r.ID = inference.NewID(time.Now(), 0, s.ids.Add(1))
	r.Caller = &tenant.Caller{Key: "k", KeyID: "k", Tenant: "acme", Project: "web"}
	r.Doc, r.Body = new(scan.Doc), []byte(`{"messages":[]}`)
	if r.Doc.Scan(r.Body, nil) != nil {
		panic("test")
	}
	r.Decode = func(*scan.Doc) (*inference.Conversation, []string, error) { return &inference.Conversation{}, nil, nil }
	r.AnswerID = "chatcmpl-"
	for _, field := range says {
		r.Control.Read([]byte(field))
	}
	s.g.Do(ctx, r, c)
}

func words(n int) *speaker {
	e := &speaker{}
	for i := range n {
		e.words = append(e.words, fmt.Sprint(i, " "))
	}
	return e
}

const five = "0 1 2 3 4 "

// vacant fails if a flight is left, or room of its log.
func (s *shared) vacant(t *testing.T) {
	t.Helper()
	s.settled(t)
	s.g.flights.mu.Lock()
	defer s.g.flights.mu.Unlock()
	if n, b := len(s.g.flights.of), s.g.flights.bytes.Load(); n != 0 || b != 0 {
		t.Errorf("%d flights are left, with logs of %d bytes", n, b)
	}
}

// paid returns how many tokens of answers are charged.
func (s *shared) paid() (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.records {
		n += max(s.records[i].Output, 0)
	}
	return n
}

// TestThousandsShareOne: however many ask for the same at the same time, streamed or
// not, one answer is made, all get it whole, and it is paid once.
func TestThousandsShareOne(t *testing.T) {
	const callers = 4000
	synctest.Test(t, func(t *testing.T) {
		s := newShared(t, admit.Limits{InFlight: 8, Queue: 8}, words(5))
		var all sync.WaitGroup
		clients := make([]client, callers)
		for i := range clients {
			all.Go(func() {
				time.Sleep(time.Duration(i%4500) * time.Millisecond)
				s.ask(t.Context(), i%3 != 0, &clients[i])
			})
		}
		all.Wait()
		if n := s.e.opened.Load(); n != 1 {
			t.Errorf("%d answers were made", n)
		}
		for i := range clients {
			if c := &clients[i]; c.text.String() != five || c.fault != fault.None || !c.done {
				t.Fatalf("client %d got %q, %v", i, c.text.String(), c.fault)
			}
		}
		if n := s.paid(); n != 5 {
			t.Errorf("%d tokens are paid", n)
		}
		s.vacant(t)
		states := map[string]int{}
		for _, r := range s.records {
			states[r.Cache]++
		}
		if states["miss"] != 1 || states["joined"] != callers-1 {
			t.Errorf("records say %v", states)
		}
	})
}

// TestLeaderLeaves: whenever the one leaves for whom an answer is made, the others get it
// whole, and the oldest of them pays.
func TestLeaderLeaves(t *testing.T) {
	for _, stream := range []bool{true, false} {
		for at := 100 * time.Millisecond; at < 6500*time.Millisecond; at += 400 * time.Millisecond {
			synctest.Test(t, func(t *testing.T) {
				s := newShared(t, admit.Limits{}, words(5))
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				var all sync.WaitGroup
				var first, second, third client
				all.Go(func() { s.ask(ctx, stream, &first) })
				synctest.Wait()
				all.Go(func() { s.ask(t.Context(), true, &second) })
				synctest.Wait()
				all.Go(func() { s.ask(t.Context(), false, &third) })
				time.Sleep(at)
				first.mu.Lock()
				first.gone = true
				first.mu.Unlock()
				leave()
				all.Wait()
				if second.text.String() != five || third.text.String() != five || second.fault != fault.None || third.fault != fault.None {
					t.Errorf("after %v, streamed %v: %q %v, %q %v", at, stream, second.text.String(), second.fault, third.text.String(), third.fault)
				}
				if n := s.e.opened.Load(); n != 1 {
					t.Errorf("after %v: %d answers were made", at, n)
				}
				if n := s.paid(); n != 5 {
					t.Errorf("after %v, streamed %v: %d tokens are paid", at, stream, n)
				}
				s.vacant(t)
			})
		}
	}
}

// TestLastLeaverEndsIt: once nobody wants an answer any more, its upstream is let go of,
// and whoever asks then has one made.
func TestLastLeaverEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShared(t, admit.Limits{}, words(5))
		ctx, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		clients := make([]client, 3)
		for i := range clients {
			all.Go(func() { s.ask(ctx, i != 1, &clients[i]) })
			synctest.Wait()
		}
		time.Sleep(2500 * time.Millisecond)
		leave()
		all.Wait()
		if s.e.ended.Load() != 1 || s.e.whole.Load() != 0 {
			t.Errorf("%d were cut, %d came to their end", s.e.ended.Load(), s.e.whole.Load())
		}
		s.vacant(t)
		var c client
		s.ask(t.Context(), true, &c)
		if c.text.String() != five || c.head.Cache.State != flow.Miss {
			t.Errorf("the next got %q, %v", c.text.String(), c.head.Cache)
		}
	})
}

// TestFailsBeforeContent: one other tries again; if that fails too, all are told.
func TestFailsBeforeContent(t *testing.T) {
	for name, tt := range map[string]struct {
		early map[int]fault.Kind
		floor int // of the retry budget
		told  int // how many of them
		fault fault.Kind
		calls int64
	}{
		"once":               {map[int]fault.Kind{1: fault.UpstreamError}, 3, 1, fault.UpstreamError, 2},
		"twice":              {map[int]fault.Kind{1: fault.UpstreamError, 2: fault.UpstreamError}, 3, 6, fault.UpstreamError, 2},
		"out of budget":      {map[int]fault.Kind{1: fault.UpstreamError}, 0, 6, fault.UpstreamError, 1},
		"nobody's is better": {map[int]fault.Kind{1: fault.UpstreamRejected}, 3, 6, fault.UpstreamRejected, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := words(5)
				e.early = tt.early
				s := newShared(t, admit.Limits{}, e)
				s.g.Policy(func(p *flow.Policy) { p.Rules.RetryFloor, p.Rules.RetryShare = tt.floor, 0 })
				var all sync.WaitGroup
				clients := make([]client, 6)
				for i := range clients {
					all.Go(func() { s.ask(t.Context(), i%2 == 0, &clients[i]) })
					synctest.Wait()
				}
				all.Wait()
				told := 0
				for i := range clients {
					switch c := &clients[i]; {
					case c.fault == tt.fault && c.text.Len() == 0:
						told++
					case c.text.String() != five || c.fault != fault.None:
						t.Errorf("client %d got %q, %v", i, c.text.String(), c.fault)
					}
				}
				if told != tt.told || e.opened.Load() != tt.calls {
					t.Errorf("%d were told, after %d calls", told, e.opened.Load())
				}
				s.vacant(t)
			})
		})
	}
}

// TestTurnedAwayAlone: the place in line of the one for whom an answer was to be made is
// his own; another one has it made.
func TestTurnedAwayAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShared(t, admit.Limits{InFlight: 1, Queue: 1}, words(4)) // the other one is served for five seconds
		var other, first, second, third client
		var all sync.WaitGroup
		all.Go(func() { s.ask(t.Context(), true, &other, "no-store") })
		synctest.Wait()
		all.Go(func() { s.ask(t.Context(), true, &first) }) // waits 2 s for a place, and has none
		synctest.Wait()
		time.Sleep(time.Second)
		all.Go(func() { s.ask(t.Context(), true, &second) })
		synctest.Wait()
		time.Sleep(900 * time.Millisecond)
		all.Go(func() { s.ask(t.Context(), false, &third) })
		time.Sleep(3 * time.Second)
		all.Wait()
		if first.fault != fault.Overloaded || second.fault != fault.Overloaded || third.fault != fault.None || third.text.String() != "0 1 2 3 " {
			t.Errorf("got %v, %v, %v %q", first.fault, second.fault, third.fault, third.text.String())
		}
		s.vacant(t)
	})
}

// TestFailsAfterContent: all get the same end, and nothing is kept.
func TestFailsAfterContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := words(5)
		e.breaks = map[int]fault.Kind{1: fault.Interrupted}
		s := newShared(t, admit.Limits{}, e)
		var all sync.WaitGroup
		clients := make([]client, 4)
		for i := range clients {
			all.Go(func() { s.ask(t.Context(), i < 3, &clients[i]) })
			synctest.Wait()
		}
		all.Wait()
		for i := range clients {
			c := &clients[i]
			want := "0 1 2 3 "
			if i == 3 {
				want = ""
			}
			if c.text.String() != want || c.fault != fault.Interrupted {
				t.Errorf("client %d got %q, %v", i, c.text.String(), c.fault)
			}
		}
		s.vacant(t)
		var c client
		s.ask(t.Context(), true, &c)
		if c.text.String() != five || e.opened.Load() != 2 {
			t.Errorf("the next got %q after %d calls", c.text.String(), e.opened.Load())
		}
	})
}

// TestSlowClients: nobody waits for a client that reads slowly, be it the one for whom
// the answer is made.
func TestSlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShared(t, admit.Limits{}, words(5))
		clients := []client{{slow: 20 * time.Second}, {}, {slow: 15 * time.Second}, {}}
		var all sync.WaitGroup
		began := time.Now()
		for i := range clients {
			all.Go(func() { s.ask(t.Context(), i < 3, &clients[i]) })
			synctest.Wait()
		}
		all.Wait()
		for i := range clients {
			if c := &clients[i]; c.text.String() != five || c.fault != fault.None {
				t.Errorf("client %d got %q, %v", i, c.text.String(), c.fault)
			}
		}
		if took := clients[1].at.Sub(began); took > 27*time.Second { // the first piece goes to the one who leads at once
			t.Errorf("a quick client waited %v", took)
		}
		s.vacant(t)
	})
}

// TestTooLongToShare: an answer longer than a log may be goes on for the one for whom it
// is made; whoever had content of it is told, and the others have their own made.
func TestTooLongToShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &speaker{words: []string{"a", strings.Repeat("b", 3<<20), strings.Repeat("c", 3<<20), "d"}}
		s := newShared(t, admit.Limits{}, e)
		clients := make([]client, 3)
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() { s.ask(t.Context(), i < 2, &clients[i]) })
			synctest.Wait()
		}
		all.Wait()
		want := strings.Join(e.words, "")
		if c := &clients[0]; c.text.String() != want || c.fault != fault.None {
			t.Errorf("the first got %d bytes, %v", c.text.Len(), c.fault)
		}
		if c := &clients[1]; c.text.Len() != 1+3<<20 || c.fault != fault.Oversized {
			t.Errorf("the second got %d bytes, %v", c.text.Len(), c.fault)
		}
		if c := &clients[2]; c.text.String() != want || c.fault != fault.None || e.opened.Load() != 2 {
			t.Errorf("the third got %d bytes, %v, after %d calls", c.text.Len(), c.fault, e.opened.Load())
		}
		s.vacant(t)
	})
}

// TestBumpedMeanwhile: what was made before something changed is given to nobody after
// it.
func TestBumpedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShared(t, admit.Limits{}, words(5))
		var first, second client
		var all sync.WaitGroup
		all.Go(func() { s.ask(t.Context(), true, &first) })
		time.Sleep(2500 * time.Millisecond)
		if err := s.cache.Bump(cache.Model, "assistant"); err != nil {
			t.Fatal(err)
		}
		all.Wait()
		s.ask(t.Context(), true, &second)
		if n := s.e.opened.Load(); n != 2 {
			t.Errorf("%d answers were made", n)
		}
	})
}

// TestRenewed: an answer that is a little too old is given at once to all who ask, and
// one new answer is made beside it, which its caller's key pays and nobody waits for.
func TestRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShared(t, admit.Limits{}, words(5))
		s.rules.Revalidate = 15 * time.Minute
		s.rules.TTL = 54 * time.Minute
		s.ask(t.Context(), true, &client{})
		time.Sleep(time.Hour)
		for range 3 {
			c, began := client{}, time.Now()
			s.ask(t.Context(), true, &c)
			if c.text.String() != five || c.head.Cache.State != flow.Hit || time.Since(began) != 0 || c.head.Cache.Left > 0 {
				t.Errorf("got %q after %v, %+v", c.text.String(), time.Since(began), c.head.Cache)
			}
		}
		time.Sleep(10 * time.Second)
		if n := s.e.opened.Load(); n != 2 {
			t.Errorf("%d answers were made", n)
		}
		c := client{}
		s.ask(t.Context(), true, &c)
		if c.head.Cache.State != flow.Hit || c.head.Cache.Age > 10*time.Second {
			t.Errorf("the next got %+v", c.head.Cache)
		}
		if r := &s.records[4]; r.Origin != record.Renewal || r.Output != 5 || r.Cache != "bypass" || r.End != record.OK {
			t.Errorf("the record says %+v", r)
		}
		s.g.renewals.End()
		s.vacant(t)
	})
}

// leases are those of gateways that share a store.
type leases struct {
	mu   sync.Mutex
	held map[string]string
	lost bool // the store is
}

func (l *leases) Lease(_ context.Context, name, holder string, life time.Duration) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost {
		return false, errors.New("lost")
	}
	if l.held[name] != "" {
		return false, nil
	}
	l.held[name] = holder
	return true, nil
}

func (l *leases) Release(_ context.Context, name, holder string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[name] != holder {
		return false, nil
	}
	delete(l.held, name)
	return true, nil
}

// TestGatewaysAgree: of several gateways one has made what is asked for at all of them. If
// it comes to nothing, another one does; if they cannot agree, each has its own made.
func TestGatewaysAgree(t *testing.T) {
	for name, tt := range map[string]struct {
		leaves, lost bool
		calls        int64
	}{
		"one makes it":      {calls: 1},
		"the one gives up":  {leaves: true, calls: 2},
		"the store is lost": {lost: true, calls: 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &leases{held: map[string]string{}, lost: tt.lost}
				e := words(5)
				a, b := newShared(t, admit.Limits{}, e), newShared(t, admit.Limits{}, e)
				b.g.Reuse(a.cache)
				a.g.Agree(l)
				b.g.Agree(l)
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				var all sync.WaitGroup
				clients := make([]client, 6)
				all.Go(func() { a.ask(ctx, true, &clients[0]) })
				synctest.Wait()
				for i := range clients[1:] {
					all.Go(func() { b.ask(t.Context(), i%2 == 0, &clients[i+1]) })
					synctest.Wait()
				}
				time.Sleep(2500 * time.Millisecond)
				if tt.leaves {
					leave()
				}
				all.Wait()
				for i := range clients {
					if c := &clients[i]; (i > 0 || !tt.leaves) && (c.text.String() != five || c.fault != fault.None) {
						t.Errorf("client %d got %q, %v", i, c.text.String(), c.fault)
					}
				}
				if n := e.opened.Load(); n != tt.calls {
					t.Errorf("%d answers were made", n)
				}
				synctest.Wait()
				a.vacant(t)
				b.vacant(t)
				if len(l.held) != 0 {
					t.Errorf("leases are left: %v", l.held)
				}
			})
		})
	}
}

// TestManyAtOneExpiry: of a thousand who come when an answer has just ended, one has a new
// one made.
func TestManyAtOneExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShared(t, admit.Limits{InFlight: 4, Queue: 4}, words(5))
		s.rules.Revalidate, s.rules.IfError = 0, 0
		s.ask(t.Context(), true, &client{})
		time.Sleep(67 * time.Minute)
		var all sync.WaitGroup
		clients := make([]client, 1000)
		for i := range clients {
			all.Go(func() { s.ask(t.Context(), i%2 == 0, &clients[i]) })
		}
		all.Wait()
		for i := range clients {
			if c := &clients[i]; c.text.String() != five || c.fault != fault.None {
				t.Fatalf("client %d got %q, %v", i, c.text.String(), c.fault)
			}
		}
		if n := s.e.opened.Load(); n != 2 {
			t.Errorf("%d answers were made", n)
		}
		s.vacant(t)
	})
}

// TestStaleAnswers: an answer that is too old to be given is given where no new one can
// be had.
func TestStaleAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShared(t, admit.Limits{}, words(5))
		var c client
		s.ask(t.Context(), true, &c)
		time.Sleep(90 * time.Minute) // no life is as long, and none shorter than half an hour ago
		c = client{}
		s.e.early = map[int]fault.Kind{2: fault.UpstreamCapacity, 3: fault.UpstreamCapacity, 4: fault.UpstreamCapacity}
		s.ask(t.Context(), true, &c)
		if c.text.String() != five || c.fault != fault.None || c.head.Degraded != "stale" || c.head.Cache.State != flow.Hit || c.head.Cache.Left >= 0 {
			t.Errorf("got %q, %v, %+v", c.text.String(), c.fault, c.head)
		}
		if r := &s.records[1]; r.End != record.OK || r.Cache != "hit" || r.Tried == 0 || r.Cost != 0 {
			t.Errorf("the record says %+v", r)
		}
	})
}
