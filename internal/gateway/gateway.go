// Package gateway carries out flow's steps for live requests. It knows no HTTP: a
// surface hands it a request and a sink in the caller's dialect, an engine hands
// it a stream, and what happens between them flow decides.
package gateway

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"headworks/internal/cache"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/place"
	"headworks/internal/record"
	"headworks/internal/reuse"
	"headworks/internal/scan"
	"headworks/internal/tenant"
)

// ErrDraining is the cause of a canceled request context that means: this process
// goes away. With any other cause the client left.
var ErrDraining = errors.New("gateway: draining")

// World is one generation of what requests meet. Nobody changes it after it is
// published; a request sees one world from its first step to its last.
type World struct {
	Fleet   *fleet.Snapshot
	Engines []engine.Engine // by the upstream's place in Fleet
	Region  string          // the cell that this process is
	Config  string          // fingerprint of the configuration
	Places  *place.Finder   // nil where nobody asks

	Knowledge Knowledge // nil: there are no documents
}

// Open opens a call of a caller to an upstream, by its place in Fleet. It is the one
// door to the engines, and looks once more whether the caller's requests may go
// there: whoever decided may have erred.
func (w *World) Open(ctx context.Context, upstream int, c *engine.Call, caller *tenant.Caller) (engine.Stream, error) {
	if !caller.Residency.Allows(c.Replica.Place.Region) {
		return nil, flow.Outside()
	}
	return w.Engines[upstream].Open(ctx, c)
}

// Request is what a surface knows of a request.
type Request struct {
	inference.Request

	Caller  *tenant.Caller
	For     *tenant.Caller // for whom what is made of it is kept; nil: Caller
	Wish    tenant.Wish    // what the caller asks for, allowed or not
	Control reuse.Control  // what he says of earlier answers
	Surface string
	Arrived time.Time

	Place    place.Place // where the caller is
	PlacedBy string      // how that is known

	Uploaded time.Duration // spent waiting for the body
	Scanned  time.Duration // spent reading and checking it

	AnswerID     string // what the id of an answer begins with
	Body         []byte
	Doc          *scan.Doc
	Form         *engine.Form // of a body that is no JSON
	Conversation func() (*inference.Conversation, []string, error)
	Shape        *scan.Shape // that Doc was read with
	Decode       func(*scan.Doc) (*inference.Conversation, []string, error)
	// Ground returns Doc with a text before the question of the request, or in front of
	// the whole conversation; false where it has no place for it, and nil where no
	// request of the dialect has. Laid, where set, is called once Doc is what it
	// returned.
	Ground  func(d *scan.Doc, text string, front bool) ([]byte, bool)
	Laid    func()
	Anew    bool     // the answer is written from its steps, though it comes in the caller's dialect, where it rests on passages
	Header  []string // to pass through, see engine.Call
	TraceID [16]byte
	Trace   string // traceparent to send on

	// Watch starts to look out for the client's leaving, which cancels the
	// context. It is called when an answer takes longer than a moment, so that
	// quick ones do not pay for it. Nil where the context needs no help.
	Watch func()
}

// Head is what a sink may say about an answer before its content.
type Head struct {
	ID        inference.ID
	Model     string
	Upstream  string
	Region    string
	Replica   string
	Route     string
	Arm       string
	Config    string
	Attempts  int
	Overhead  time.Duration
	Cost      int64 // micro-USD
	CostKnown bool
	Simulated bool
	Lexical   bool
	Dropped   []string
	Degraded  string // how the answer is less than what was asked for
	Cache     Cached
	Ground    *Ground // nil: the answer rests on no documents
}

// Cached is what a head says of earlier answers.
type Cached struct {
	State   flow.ReuseState
	WhyNot  string        // nobody looked
	Age     time.Duration // of a hit
	Left    time.Duration // for which it is fresh still; below 0: it is stale
	Known   int           // of the texts whose vectors are asked for: those that were kept
	Of      int           // texts whose vectors are asked for, each looked for by itself; 0: nobody did
	Saved   int           // tokens that these would have taken
	Stored  bool          // the answer is kept, as far as that is known when the head leaves
	Refused bool          // the caller wanted a new one
	Stale   bool          // there was one, too old

	Similarity float64 // of a hit: of the question that it answered; 0: it is the same
}

// Sink is where an answer goes, in the caller's dialect. Its methods fail only
// where the client cannot be reached any more.
type Sink interface {
	// Open sends a streaming client its status, before any content.
	Open(h *Head) error
	// Send forwards a piece of a stream at once. The first one takes status and
	// headers with it, unless Open did.
	Send(h *Head, c *engine.Chunk) error
	// Alive tells a streaming client that the connection lives.
	Alive() error
	// End ends the answer, once. Without a fault c is the rest of a stream,
	// perhaps empty, or the whole answer; with one, c is nil.
	End(h *Head, c *engine.Chunk, f *fault.Error) error
}

// Ledger keeps what is owed. Charge returns once the line is written.
type Ledger interface {
	Charge(r *record.Record) error
}

// Gateway serves live requests, many at once.
type Gateway struct {
	ledger Ledger
	keep   func(*record.Record)
	report func(inference.ID, *fault.Error)
	unpaid atomic.Bool // the last line could not be written
	world  atomic.Pointer[World]
	idle   sync.Pool // of *exchange
	blank  sync.Pool // of *record.Record

	streams  atomic.Int64
	verdicts verdicts // of classifiers
	shadows  *Shadows // nil: there are none
	signs    signs
	answers  *cache.Cache // nil: none are kept
	flights  flights
	renewals *Renewals // as answers
	leases   Leases    // nil: no other gateway is asked
	holder   string    // of leases
	rooms    sync.Pool // of *[]byte, for keys
	prompts  prompts

	resemblances *Resemblances // nil: an answer stands in for no other question

	mu     sync.Mutex // guards policy; a step is short and never blocks
	policy *flow.Policy
}

// New returns a Gateway that owns p. It writes a line to the ledger before the
// end of an answer that costs something leaves, and hands the record of every
// request to keep, which may not block and may not hold on to it. Report, where it
// is not nil, is told of faults that an operator has to mend, once the caller has
// his answer: they have a cause that no record holds.
func New(p *flow.Policy, ledger Ledger, keep func(*record.Record), report func(inference.ID, *fault.Error)) *Gateway {
	if report == nil {
		report = func(inference.ID, *fault.Error) {}
	}
	g := &Gateway{ledger: ledger, keep: keep, report: report, policy: p}
	g.idle.New = func() any { return &exchange{granted: make(chan struct{}, 1)} }
	g.blank.New = func() any { return new(record.Record) }
	g.world.Store(&World{Fleet: &fleet.Snapshot{}})
	return g
}

// Publish replaces the world that later requests meet.
func (g *Gateway) Publish(w *World) {
	g.signs.grow(w.Fleet.Replicas)
	g.world.Store(w)
}

// World returns the world that a request would meet now.
func (g *Gateway) World() *World { return g.world.Load() }

// Policy calls f with the policy, between two steps; f may not block. Where it made
// room at the gate, those who wait enter.
func (g *Gateway) Policy(f func(*flow.Policy)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(g.policy)
	for p := g.policy.Gate.Next(); p != nil; p = g.policy.Gate.Next() {
		p.Of.Owner.Grant()
	}
}

// Streams returns how many streamed answers are under way.
func (g *Gateway) Streams() int { return int(g.streams.Load()) }

// Do carries one request from arrival to the end of its answer. When it returns,
// nothing of the request runs any more, and its record is kept.
func (g *Gateway) Do(ctx context.Context, req *Request, sink Sink) {
	if req.Stream {
		g.streams.Add(1)
		defer g.streams.Add(-1)
	}
	x := g.idle.Get().(*exchange)
	x.begin(ctx, g, req, sink)
	defer x.end()
	x.run()
}

// Refuse keeps the record of a request that was answered with f before it could
// become one for Do: its body had no single reading, say.
func (g *Gateway) Refuse(req *Request, f *fault.Error) {
	x := g.idle.Get().(*exchange)
	x.begin(context.Background(), g, req, nil)
	x.done = true
	now := time.Now()
	x.fill(f)
	x.times(now)
	x.report(f)
	x.end()
}

// charge writes the line of a request. Where that fails, flow lets no work begin
// until one succeeds.
func (g *Gateway) charge(r *record.Record) error {
	err := g.ledger.Charge(r)
	switch {
	case err != nil:
		g.unpaid.Store(true)
		g.mu.Lock()
		g.policy.Unpaid(time.Now())
		g.mu.Unlock()
	case g.unpaid.Swap(false):
		g.mu.Lock()
		g.policy.Paid()
		g.mu.Unlock()
	}
	return err
}

// step asks flow for the next action. Whoever may enter in this request's stead
// is told at once, under the lock: a ticket that was told is still waiting.
func (g *Gateway) step(t *flow.Ticket, ev flow.Event, w *World, now time.Time) flow.Action {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ev.Kind == flow.Quiet && t.Target != nil {
		g.signs.tell(g.policy, w.Fleet.Upstreams[t.Target.Upstream].Replicas)
	}
	a := g.policy.Step(t, ev, w.Fleet, now)
	if a.Wake != nil {
		a.Wake.Owner.Grant()
	}
	return a
}
