package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/place"
	"headworks/internal/record"
)

const (
	// maxHeld bounds the lifecycle events that wait for the first content.
	maxHeld = 64 << 10
	// maxUnwatched is how large a body may be that is sent before the client is
	// watched.
	maxUnwatched = 64 << 10
	// deltaRoom is what a delta takes beside its text.
	deltaRoom = 192
	// moment is how long an answer may take before the client is watched.
	moment = 2 * time.Millisecond
)

// exchange is one request on its way through the gateway. It serves one after the
// other: what is in life is of one request, the rest stays.
type exchange struct {
	granted chan struct{}     // the place at the gate is ours
	held    []byte            // events before the first content
	handed  []byte            // where the prompt was read
	deltas  []inference.Delta // the same, across dialects
	told    int               // bytes of what deltas hold
	life
}

// What is used for every piece of a stream stands together at the front: with
// many streams open it has to come back into the processor's cache each time.
type life struct {
	stream    engine.Stream
	sink      Sink
	ctx       context.Context
	req       *Request
	streams   bool // the caller asked for a stream
	committed bool // the client has content
	spoken    bool // the upstream said something of which the client sees nothing yet
	watched   bool
	done      bool // flow said so
	finish    inference.Finish
	text      int           // bytes of answer that came
	aside     int           // bytes at the end of held, as of a chunk
	upstream  time.Duration // spent waiting for upstreams
	writing   time.Duration // spent writing to the client
	progress  time.Time     // the upstream's last sign
	said      time.Time     // its last content
	wrote     time.Time     // the client's last bytes
	first     time.Time     // content left for the client
	firstIn   time.Time     // content came
	gap       time.Duration // longest silence within the answer
	sign      *sign         // of the replica
	chunk     engine.Chunk  // what came last

	usage   inference.Usage
	g       *Gateway
	world   *World
	record  *record.Record // from the end on: an open answer does without
	shadow  *duplicate     // the copy that is made of it
	offered bool           // ... and is on its way
	copy    *duplicate     // the copy that it is
	cascade *cascade       // nil: no answer is looked at
	renewal bool           // nobody waits for it: it is to be kept
	renews  bool           // the answer that is given is old, and a new one is to be made
	reuse   *recalling     // nil: no earlier answer is looked for, and none kept
	vectors *vectors       // nil: nobody looks at its texts one by one
	heard   *cascade       // of the answer under way, where a canary wants to know of it
	ground  *Ground        // nil: it rests on no documents
	reading bool           // the attempt under way reads the prompt for another replica
	head    Head
	call    engine.Call
	ticket  flow.Ticket
}

func (x *exchange) begin(ctx context.Context, g *Gateway, req *Request, sink Sink) {
	select {
	case <-x.granted: // a word that came too late for the request before
	default:
	}
	x.g, x.ctx, x.req, x.sink, x.world = g, ctx, req, sink, g.world.Load()
	x.streams = req.Stream
	g.mu.Lock()
	g.policy.Begin(&x.ticket, &req.Request, req.Caller, x)
	x.ticket.Wish, x.ticket.Control = req.Wish, req.Control
	if x.ticket.From, x.ticket.PlacedBy = req.Place, req.PlacedBy; req.PlacedBy == "" {
		x.ticket.From, x.ticket.PlacedBy = place.Place{Region: x.world.Region}, place.ByCell
	}
	g.mu.Unlock()
}

// end closes what is open, keeps the record and lets the exchange go. After a
// panic it still gives back every place that the request holds.
func (x *exchange) end() {
	x.closeStream()
	x.release()
	g := x.g
	if x.shadow != nil && !x.offered {
		g.shadows.forget(x.shadow)
	}
	if !x.done {
		g.step(&x.ticket, flow.Event{Kind: flow.Left}, x.world, time.Now())
		f := fault.New(fault.Internal, "a defect")
		x.fill(f)
		x.report(f)
		g.keep(x.record)
		return // whatever panicked may still hold on to x
	}
	if x.offered {
		g.shadows.told(x.shadow, x.outcome())
	}
	if x.copy == nil || x.ticket.Tries > 0 {
		g.keep(x.record)
	}
	g.blank.Put(x.record)
	if cap(x.held) > maxHeld {
		x.held = nil
	}
	clear(x.deltas)
	if cap(x.handed) > maxHeld {
		x.handed = nil
	}
	x.held, x.deltas = x.held[:0], x.deltas[:0]
	x.life = life{}
	g.idle.Put(x)
}

func (x *exchange) run() {
	ev := flow.Event{Kind: flow.Arrived}
	for {
		ev.Kept = x.cascade != nil && x.keeps()
		a := x.g.step(&x.ticket, ev, x.world, time.Now())
		switch a.Kind {
		case flow.Reuse:
			ev = x.recall(a.Join, a.Draw)
		case flow.Resemble:
			ev = x.resemble(&a)
		case flow.Follow:
			ev = x.follow(a.Until)
		case flow.Queue:
			ev = x.wait(a.Until)
		case flow.Retrieve:
			ev = x.retrieve(&a)
		case flow.Classify:
			ev = x.classify(&a)
		case flow.Judge:
			ev = x.judge(&a)
		case flow.Send:
			ev = x.send(&a)
		case flow.Read:
			ev = x.read(a.Until)
		case flow.Commit:
			ev = x.commit(a.Until)
		case flow.Open:
			x.fillHead()
			began := time.Now()
			ev = x.after(x.sink.Open(&x.head), began, a.Until)
		case flow.Alive:
			began := time.Now()
			ev = x.after(x.alive(), began, a.Until)
		case flow.Done:
			if a.Kept {
				x.restore()
			}
			if a.Reused {
				if o := x.reuse.other; o != nil && x.ticket.Found.Similarity > 0 {
					x.reuse.entry, x.reuse.rec, x.reuse.play, x.reuse.ground = o.entry, o.rec, o.play, o.ground
				}
				x.chunk, x.finish, x.renews = x.reuse.play, x.reuse.rec.Finish, a.Renew && x.ticket.Found.Similarity == 0
			}
			x.finishWith(a.Fault)
			return
		case flow.Ignore:
			return
		}
	}
}

// Grant implements flow.Waiter: whoever is told between two steps still waits.
func (x *exchange) Grant() {
	select {
	case x.granted <- struct{}{}:
	default:
	}
}

// wait waits at the gate.
func (x *exchange) wait(until time.Time) flow.Event {
	x.watch()
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-x.granted:
		return flow.Event{Kind: flow.Entered}
	case <-x.ctx.Done():
		return x.gone()
	case <-timer.C:
		return flow.Event{Kind: flow.Quiet}
	}
}

// send opens an attempt and reads until something happens.
func (x *exchange) send(a *flow.Action) flow.Event {
	if x.cascade != nil && x.cascade.doubted {
		x.setAside()
	}
	x.closeStream()
	if x.ticket.Tries > 1 || len(x.req.Body) > maxUnwatched {
		x.watch() // to connect and to write may take long by themselves
	}
	x.held, x.deltas, x.told = x.held[:0], x.deltas[:0], 0
	x.progress, x.said, x.text, x.usage, x.finish = time.Time{}, time.Time{}, 0, inference.Usage{}, inference.Unfinished
	x.firstIn, x.gap, x.spoken, x.aside = time.Time{}, 0, false, 0
	x.call = engine.Call{
		Request: &x.req.Request, Replica: a.Replica, Model: a.Target.Model,
		Body: x.req.Body, Doc: x.req.Doc, Form: x.req.Form, Conversation: x.req.Conversation,
		Whole: x.ticket.Model.Loss == fleet.Rejected, Header: x.req.Header, Caller: x.req.Caller, Place: x.ticket.From, Wish: x.req.Caller.Tier.Grant(x.req.Wish), Trace: x.req.Trace,
		Searched: x.ticket.Searched(),
	}
	x.prepare()
	x.sign = x.g.signs.at(a.Replica.ID)
	x.observe(a)
	x.keep(a)
	if x.grounded() {
		x.ground.forget()
		x.call.Tell, x.call.Anew = x.tells(), x.req.Anew
	}
	if x.reading = a.Prefill; a.Prefill {
		apart := x.req.Request
		apart.Stream, apart.WantUsage = false, false
		x.call.Request, x.call.Prefill = &apart, true
	}
	if a.Handed {
		x.call.Handed = x.handed
	}
	if x.req.Dialect == inference.Embeddings {
		switch known, err := x.recollect(a); {
		case err != nil:
			return x.failed(err)
		case known:
			return x.retell()
		}
	}
	start := time.Now()
	s, err := x.world.Open(x.ctx, a.Replica.Upstream, &x.call, x.ticket.Caller)
	x.upstream += time.Since(start)
	if err != nil {
		return x.failed(err)
	}
	x.stream = s
	if x.heard != nil {
		x.asks()
	}
	if x.ticket.Shadowed {
		x.ticket.Shadowed = false
		x.shadow = x.copied()
	}
	return x.read(a.Until)
}

// read reads until something happens that flow has to know of. Content that
// follows committed content goes straight to the client.
func (x *exchange) read(until time.Time) flow.Event {
	now := time.Now()
	for {
		next := until
		if !x.watched && x.req.Watch != nil {
			if soon := now.Add(moment); next.IsZero() || soon.Before(next) {
				next = soon
			}
		}
		c := &x.chunk
		var err error
		*c, err = x.stream.Next(next)
		came := time.Now()
		x.upstream += came.Sub(now)
		now = came
		if err != nil {
			if !errors.Is(err, engine.ErrQuiet) {
				return x.failed(err)
			}
			x.watch()
			if !until.IsZero() && !now.Before(until) {
				return flow.Event{Kind: flow.Quiet, Progress: x.progress, Said: x.said, Wrote: x.wrote, Sent: x.sent()}
			}
			continue
		}
		if x.reading {
			if c.Last {
				x.handed = append(x.handed[:0], c.Handed...)
				x.chunk = engine.Chunk{}
				return flow.Event{Kind: flow.Finished, Handed: len(x.handed) > 0}
			}
			x.progress = now
			continue
		}
		if x.vectors != nil && c.Last {
			switch whole, err := x.complete(c, now); {
			case err != nil:
				return x.failed(err)
			case !whole:
				if err := x.anew(); err != nil {
					return x.failed(err)
				}
				continue
			}
		}
		x.note(c, now)
		if x.tells() {
			x.rests(c)
		}
		if x.heard != nil {
			x.overhear(c)
		}
		if x.verifies() {
			x.cascade.listen(c)
			if c.Last {
				return x.verdict()
			}
		}
		switch {
		case c.Last && (x.committed || !x.streams || !c.Event.Content && len(x.held)+len(x.deltas) == 0):
			return x.whole()
		case !x.streams: // a sign of life
		case x.committed:
			x.watch()
			if err := x.forward(c, now); err != nil && !x.abandoned() {
				return x.gone()
			}
			now = x.wrote
		case c.Last, c.Event.Content && (!x.verifies() && x.shows(c) || !x.hold(c)):
			return x.content()
		case c.Event.Content:
			if !x.spoken {
				x.spoken = true
				return flow.Event{Kind: flow.Unseen}
			}
		default:
			if !x.hold(c) {
				return x.failed(fault.New(fault.Oversized, "the upstream sent too much before the first word of its answer"))
			}
		}
	}
}

// content tells that content came that the client sees, or for which there is no more
// room to keep it.
func (x *exchange) content() flow.Event {
	ev := flow.Event{Kind: flow.Content}
	if x.verifies() {
		x.cascade.verify, x.call.Tell, ev.Doubt = false, x.tells(), flow.Unchecked
	}
	return ev
}

// whole tells that the answer is whole, and how fast it came. Tokens that nobody saw
// tell nothing of that.
func (x *exchange) whole() flow.Event {
	ev := flow.Event{Kind: flow.Finished, Tokens: x.tokens(), Gap: x.gap}
	if x.usage.Known && x.usage.Reasoning == 0 {
		ev.Said = x.said
	}
	return ev
}

// note learns from what came.
func (x *exchange) note(c *engine.Chunk, now time.Time) {
	if c.Event.Usage.Known {
		x.usage = c.Event.Usage
	}
	if c.Event.Finish != inference.Unfinished {
		x.finish = c.Event.Finish
	}
	x.text += c.Event.Text
	if c.Event.Content {
		if x.firstIn.IsZero() {
			x.firstIn = now
		} else {
			x.gap = max(x.gap, now.Sub(x.said))
		}
		x.said = now
	}
	x.progress = now
	x.sign.now(now)
}

// tokens returns how many tokens the answer had, if it is one of them.
func (x *exchange) tokens() int {
	if x.req.Dialect.Operation() != inference.Chat {
		return 0
	}
	return x.counted().Output
}

// shows reports whether the client sees something of what came.
func (x *exchange) shows(c *engine.Chunk) bool {
	return len(c.Raw) > 0 || slices.ContainsFunc(c.Deltas, func(d inference.Delta) bool { return x.req.Dialect.Hears(d.Kind) })
}

// hold keeps what the client sees nothing of until it sees something. It reports
// whether there was room.
func (x *exchange) hold(c *engine.Chunk) bool {
	told := x.told + sizeOf(c.Deltas)
	most, size := maxHeld, len(x.held)+len(c.Raw)+told
	if k := x.cascade; k != nil {
		if k.verify {
			most = maxKept
		}
		if k.kept != nil && size+k.kept.size > maxKept {
			k.kept = nil // what comes now has a beginning, and the room is for both
		}
	}
	if size > most {
		return false
	}
	x.told = told
	x.held = append(x.held, c.Raw...)
	if x.aside > 0 {
		x.aside += len(c.Raw)
	} else {
		x.aside = c.Aside
	}
	x.deltas = append(x.deltas, c.Deltas...)
	return true
}

// sizeOf returns what deltas take, in bytes.
func sizeOf(deltas []inference.Delta) (n int) {
	for i := range deltas {
		d := &deltas[i]
		n += deltaRoom + len(d.ID) + len(d.Model) + len(d.Name) + len(d.Text)
	}
	return n
}

// commit lets the client have the first content, and what was held before it. An
// answer whose end is here already leaves with its end, in one write.
func (x *exchange) commit(until time.Time) flow.Event {
	if x.follows() {
		return x.shares(until)
	}
	x.committed = true
	if x.cascade != nil {
		x.cascade.kept = nil
	}
	x.fillHead()
	c := &x.chunk
	x.join()
	if c.Last {
		return x.whole()
	}
	x.watch()
	if err := x.forward(c, time.Now()); err != nil && !x.abandoned() {
		return x.gone()
	}
	x.begun()
	return x.read(until)
}

// join puts what was held before the chunk that came last.
func (x *exchange) join() {
	c := &x.chunk
	if len(x.held) > 0 {
		x.held = append(x.held, c.Raw...)
		if x.aside > 0 {
			c.Aside = x.aside + len(c.Raw)
		}
		c.Raw = x.held
	}
	if len(x.deltas) > 0 {
		x.deltas = append(x.deltas, c.Deltas...)
		c.Deltas = x.deltas
	}
}

// begun lets the copy go, now that the caller's answer has begun.
func (x *exchange) begun() {
	if x.shadow != nil && !x.offered {
		x.offered = true
		x.g.shadows.offer(x.shadow)
	}
}

func (x *exchange) forward(c *engine.Chunk, began time.Time) error {
	relayed := x.relays()
	x.logs(c)
	var err error
	switch {
	case relayed && x.reuse.flight.isFull(): // it knows no more of what comes
		if err = x.direct(); err == nil {
			err = x.sink.Send(&x.head, c)
		}
	case relayed:
		err = x.reuse.relay.failed()
	default:
		err = x.sink.Send(&x.head, c)
	}
	now := time.Now()
	x.writing += now.Sub(began)
	if x.first.IsZero() && c.Event.Content {
		x.first = now
	}
	x.wrote, x.progress = now, now // a client that reads slowly is no silence of the upstream's
	if c.Event.Content {
		x.said = now
	}
	return err
}

func (x *exchange) alive() error {
	if x.reuse != nil && x.reuse.relay != nil {
		return x.reuse.relay.alive()
	}
	return x.sink.Alive()
}

// after reads on after a write that began then, unless the client could not be
// reached.
func (x *exchange) after(err error, began, until time.Time) flow.Event {
	if err != nil && !x.abandoned() {
		return x.gone()
	}
	x.wrote = time.Now()
	x.writing += x.wrote.Sub(began)
	if x.follows() {
		return x.follow(until)
	}
	return x.read(until)
}

func (x *exchange) failed(err error) flow.Event {
	if x.ctx.Err() != nil {
		return x.gone()
	}
	return flow.Event{Kind: flow.Failed, Fault: fault.Of(err), Sent: x.sent()}
}

// sent returns when some of the request was last sent on that was not held.
func (x *exchange) sent() time.Time {
	if f := x.req.Form; f != nil && f.Rest != nil {
		return f.Rest.Taken()
	}
	return time.Time{}
}

// gone tells why the request may not go on.
func (x *exchange) gone() flow.Event {
	switch {
	case errors.Is(context.Cause(x.ctx), ErrDraining):
		return flow.Event{Kind: flow.Drained}
	case x.copy != nil && errors.Is(x.ctx.Err(), context.DeadlineExceeded):
		return flow.Event{Kind: flow.Failed, Fault: fault.New(fault.TotalTimeout, "the answer took longer than the minute that a copy has")}
	}
	return flow.Event{Kind: flow.Left}
}

func (x *exchange) watch() {
	if !x.watched {
		x.watched = true
		if x.req.Watch != nil {
			x.req.Watch()
		}
	}
}

func (x *exchange) closeStream() {
	if x.stream != nil {
		// An error here can only be that the connection is gone already.
		_ = x.stream.Close()
		x.stream = nil
	}
}

// finishWith ends the answer: what it costs is in the ledger before its terminal
// leaves.
func (x *exchange) finishWith(f *fault.Error) {
	x.fillHead()
	x.fill(f)
	x.pays()
	if x.copy == nil && !x.handsOver() && (x.record.Input > 0 || x.record.Output > 0) {
		if err := x.g.charge(x.record); err != nil && f == nil {
			f = fault.Wrap(fault.BudgetUnavailable, "what this answer costs cannot be written down now, so it is not given", err)
			x.ticket.Outcome(x.record, f)
		}
	}
	x.settle(f)
	c := &x.chunk
	if f != nil {
		c = nil
		x.closeStream() // the upstream need not wait for the client
	}
	began := time.Now()
	err := x.sink.End(&x.head, c, f)
	now := time.Now()
	x.writing += now.Sub(began)
	if err != nil && f == nil {
		x.ticket.Outcome(x.record, fault.New(fault.ClientClosed, "the client left before the end of the answer"))
	}
	if x.first.IsZero() && err == nil && f == nil {
		x.first = now
	}
	if err == nil && f == nil {
		x.begun()
		x.looked()
		x.weigh()
	}
	if x.renews && err == nil {
		x.g.renewals.begin(x)
	}
	x.times(now)
	x.report(f)
	x.done = true
}

// report tells the operator of a fault that is his to mend.
func (x *exchange) report(f *fault.Error) {
	if f == nil || x.copy != nil {
		return
	}
	switch f.Kind {
	case fault.Internal, fault.BudgetUnavailable, fault.Connect, fault.TLS, fault.UpstreamAuth, fault.UpstreamForbidden:
		x.g.report(x.req.ID, f)
	default:
	}
}
