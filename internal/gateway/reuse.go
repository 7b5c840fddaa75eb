package gateway

import (
	"context"
	"slices"
	"time"

	"headworks/internal/cache"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/record"
	"headworks/internal/reuse"
	"headworks/internal/tenant"
)

// recalling is what an exchange knows of earlier answers to its request.
type recalling struct {
	key   cache.Key
	form  bool // streams and whole answers are kept apart
	marks []cache.Mark

	entry  cache.Entry
	rec    *reuse.Recording // of entry; nil: there is none
	play   engine.Chunk     // made of rec
	ground *Ground          // of rec

	asked  *inquired // what others may ask in other words; nil: nothing
	other  *stand    // the answer to another question that asks for the same
	beside *beside   // an earlier answer that the new one is compared with

	flight   *flight // nil: nothing is shared, and nothing kept
	seat     *seat
	leads    bool
	stop     func() bool // looks no more whether the caller left
	client   context.Context
	raw      int // read of the flight's log
	deltas   int
	finished bool   // the flight knows how it ended
	relay    *relay // nil: the caller who leads is given what comes at once
}

// recall looks for an earlier answer: one that is kept, else one that is under way.
func (x *exchange) recall(join bool, draw float64) flow.Event {
	now := time.Now()
	if !x.identify() {
		return flow.Event{Kind: flow.Missed}
	}
	r := x.reuse
	if ev, ok := x.recalled(now, x.g.answers.Peek); ok && !x.again(r.rec, draw) {
		return ev
	}
	if !join && r.beside == nil {
		return x.fetch(now)
	}
	if !join {
		return flow.Event{Kind: flow.Missed}
	}
	f, s, leads := x.g.flights.board(x.ctx, r.key)
	r.flight, r.seat, r.leads, r.client = f, s, leads, x.ctx
	if !leads {
		return flow.Event{Kind: flow.Joined}
	}
	x.steer()
	// Whoever led before may have ended between the look and the seat.
	if r.beside != nil { // it is there, and made anew all the same
		return flow.Event{Kind: flow.Missed}
	}
	if ev, ok := x.recalled(now, x.g.answers.Peek); ok {
		x.dissolve()
		return ev
	}
	ev := x.fetch(now)
	switch {
	case ev.Kind == flow.Reused:
		x.dissolve()
	case ev.Kind == flow.Missed && !x.agrees():
		return flow.Event{Kind: flow.Joined}
	}
	return ev
}

// fetch looks where gateways share what they keep.
func (x *exchange) fetch(now time.Time) flow.Event {
	if ev, ok := x.recalled(now, func(l cache.Layer, s tenant.Scope, k cache.Key, now time.Time) (cache.Entry, bool) {
		return x.g.answers.Fetch(x.ctx, l, s, k, now)
	}); ok {
		return ev
	}
	if x.ctx.Err() != nil {
		return x.gone()
	}
	return flow.Event{Kind: flow.Missed}
}

// identify makes the key of the request. False: it has none.
func (x *exchange) identify() bool {
	if x.reuse != nil {
		return true
	}
	t, g := &x.ticket, x.g
	if g.answers == nil || x.req.Doc == nil {
		return false
	}
	r := &recalling{form: x.req.Detailed || !turns(x.req.Dialect)}
	names := []cache.EpochName{{Kind: cache.Model, Name: x.logical()}}
	for _, collection := range x.collections() {
		names = append(names, cache.EpochName{Kind: cache.Knowledge, Name: collection})
	}
	r.marks = g.answers.Begin(t.Caller, t.Scope, names...)
	room, _ := g.rooms.Get().(*[]byte)
	if room == nil {
		room = new([]byte)
	}
	wish := t.Caller.Tier.Grant(t.Wish)
	b := reuse.Circumstances((*room)[:0], &x.req.Request, t.Caller, &wish, t.Model, r.form, x.req.Header)
	b = x.appendGrounds(b)
	n := len(b)
	b = x.req.Doc.Root().AppendCanonical(b, reuse.Leave)
	var err error
	r.key, err = g.answers.Key(cache.Answers, t.Scope, b[:n], b[n:])
	if *room = b; cap(b) <= maxHeld {
		g.rooms.Put(room)
	}
	if err != nil {
		return false
	}
	x.reuse = r
	return true
}

// recalled looks for what is kept, and makes an answer of it.
func (x *exchange) recalled(now time.Time, get func(cache.Layer, tenant.Scope, cache.Key, time.Time) (cache.Entry, bool)) (flow.Event, bool) {
	r := x.reuse
	e, ok := get(cache.Answers, x.ticket.Scope, r.key, now)
	if !ok {
		return flow.Event{}, false
	}
	rec, err := reuse.Read(e.Value)
	if err != nil {
		return flow.Event{}, false
	}
	play, ok := play(rec, true, x.req)
	if !ok {
		return flow.Event{}, false
	}
	r.entry, r.rec, r.play, r.ground = e, rec, play, recalledGround(rec, x.req)
	return flow.Event{Kind: flow.Reused, Found: reuse.Found{Age: now.Sub(e.Stored), Left: e.Expires.Sub(now), Took: e.Took}}, true
}

// steer lets the flight live for as long as somebody wants its answer, instead of for as
// long as this caller does.
func (x *exchange) steer() {
	r := x.reuse
	f, s, client := r.flight, r.seat, r.client
	r.leads = true
	x.ctx = f.ctx
	r.stop = context.AfterFunc(client, func() { f.leave(s, context.Cause(client)) })
}

// dissolve ends a flight that is not needed: what those who share it want is kept.
func (x *exchange) dissolve() {
	r := x.reuse
	r.stop()
	r.flight.locked(func() {
		r.flight.unlink()
		r.flight.over, r.flight.fault = true, nil
		r.flight.turn()
	})
	r.flight.leave(r.seat, context.Canceled)
	x.ctx, r.flight, r.leads = r.client, nil, false
}

// prepare makes ready to keep the answer that an attempt is about to bring.
func (x *exchange) prepare() {
	if !x.ticket.Plan.Write || !x.identify() {
		return
	}
	r := x.reuse
	switch {
	case r.flight == nil: // nobody shares it
		r.seat, r.client = &seat{}, x.ctx
		r.flight = newFlight(&x.g.flights, x.ctx, r.key, r.seat)
		x.steer()
	case !r.leads:
		r.flight.locked(func() { r.flight.leader, r.flight.elect = r.seat, nil })
		x.steer()
	}
}

// leads reports whether others may share the answer, or it may be kept.
func (x *exchange) leads() bool { return x.reuse != nil && x.reuse.leads }

// follows reports whether the answer is that of another request.
func (x *exchange) follows() bool {
	return x.reuse != nil && x.reuse.flight != nil && !x.reuse.leads
}

// logs writes what goes to the caller into the log of the flight that it leads.
func (x *exchange) logs(c *engine.Chunk) {
	if x.leads() {
		about := x.head
		about.Dropped = slices.Clone(about.Dropped)
		x.reuse.flight.write(x.streams, &about, c)
	}
}

// abandoned gives the caller up who leads and cannot be reached. It reports whether the
// answer goes on, for others.
func (x *exchange) abandoned() bool {
	if !x.leads() || !x.reuse.flight.leave(x.reuse.seat, context.Cause(x.reuse.client)) {
		return false
	}
	x.sink = nobody{}
	return true
}

// glimpse is what a look into a log shows.
type glimpse uint8

const (
	nothing glimpse = iota
	more            // x.chunk
	whole           // x.chunk is the rest
	broken          // the flight's fault
	lost            // there is nothing to share any more
)

// follow reads on what is made for another request, until something happens that flow
// has to know of.
func (x *exchange) follow(until time.Time) flow.Event {
	x.watch()
	var alarm <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		alarm = timer.C
	}
	f, s := x.reuse.flight, x.reuse.seat
	for {
		f.mu.Lock()
		if f.elect == s {
			why := f.why
			f.mu.Unlock()
			if why == nil { // another gateway came to nothing
				return flow.Event{Kind: flow.Missed}
			}
			return flow.Event{Kind: flow.Failed, Fault: why}
		}
		seen := x.glance(f)
		turned := f.turned
		var changed <-chan struct{}
		if seen == nothing && x.streams {
			if f.changed == nil {
				f.changed = make(chan struct{})
			}
			changed = f.changed
		}
		f.mu.Unlock()
		switch seen {
		case more:
			if !x.committed {
				return flow.Event{Kind: flow.Content}
			}
			if err := x.forward(&x.chunk, time.Now()); err != nil {
				return x.gone()
			}
			continue
		case whole:
			return flow.Event{Kind: flow.Finished, Tokens: x.chunk.Event.Usage.Output}
		case broken:
			return flow.Event{Kind: flow.Failed, Fault: f.fault, Tried: true}
		case lost:
			return x.lost()
		case nothing:
		}
		began := time.Now()
		ev, over := flow.Event{}, true
		select {
		case <-changed:
			over = false
		case <-turned:
			over = false
		case <-x.ctx.Done():
			ev = x.gone()
		case <-alarm:
			ev = flow.Event{Kind: flow.Quiet, Wrote: x.wrote}
		}
		if x.upstream += time.Since(began); over {
			return ev
		}
	}
}

// glance looks for what is new in the log of a flight, which is locked.
func (x *exchange) glance(f *flight) glimpse {
	r, l := x.reuse, &f.log
	live := x.streams && l.stream && l.began
	if live {
		raw, deltas := l.raw[r.raw:len(l.raw):len(l.raw)], l.deltas[r.deltas:len(l.deltas):len(l.deltas)]
		if len(raw)+len(deltas) > 0 {
			r.raw, r.deltas = len(l.raw), len(l.deltas)
			x.chunk = engine.Chunk{Raw: raw, Type: l.media, Event: inference.Event{Content: true}}
			if len(deltas) > 0 {
				x.chunk.Deltas = deltas
			}
			return more
		}
	}
	switch {
	case !f.over:
		return nothing
	case f.fault != nil && f.full && !x.committed, f.fault == nil && f.whole == nil && !live:
		return lost
	case f.fault != nil:
		return broken
	case live:
		x.chunk = engine.Chunk{Last: true, Event: inference.Event{Finish: l.finish, Usage: l.usage}}
		if x.req.WantUsage {
			if x.chunk.Raw = l.aside; len(l.aside) == 0 && len(l.raw) > 0 {
				x.chunk.Raw = appendUsage(nil, x.req.Dialect, l.raw, l.usage)
			}
		}
		return whole
	}
	c, ok := play(f.whole, false, x.req)
	if !ok {
		return lost
	}
	x.chunk = c
	return whole
}

// lost looks again, where another request came to its end without an answer to share.
func (x *exchange) lost() flow.Event {
	r := x.reuse
	r.flight.leave(r.seat, context.Canceled)
	r.flight = nil
	if ev, ok := x.recalled(time.Now(), x.g.answers.Peek); ok {
		return ev
	}
	return flow.Event{Kind: flow.Missed}
}

// shares commits the answer of another request.
func (x *exchange) shares(until time.Time) flow.Event {
	x.committed = true
	x.fillHead()
	if err := x.forward(&x.chunk, time.Now()); err != nil {
		return x.gone()
	}
	return x.follow(until)
}

// given reports whether the answer is one that was made for another request.
func (x *exchange) given() bool {
	return x.ticket.Reuse == flow.Hit || x.ticket.Reuse == flow.JoinedFlight
}

// about returns what is said of an answer that was made for another request.
func (x *exchange) about() (about Head, ok bool) {
	r := x.reuse
	switch {
	case r == nil || !x.given():
		return about, false
	case r.rec != nil && x.ticket.Reuse == flow.Hit:
		rec := r.rec
		return Head{Model: rec.Model, Upstream: rec.Upstream, Region: rec.Region, Simulated: rec.Simulated, Lexical: rec.Lexical, Dropped: rec.Dropped, Ground: r.ground}, true
	case r.flight != nil:
		r.flight.mu.Lock()
		defer r.flight.mu.Unlock()
		return r.flight.log.about, r.flight.log.began
	}
	return about, false
}

// bill is what a shared answer took, for whoever pays in the place of the one who led.
type bill struct {
	input, output, read, written, reasoning, cost int64
	source                                        record.UsageSource
}

// settle brings what is shared and kept to its end, once it is known how the answer
// ends and what it takes.
func (x *exchange) settle(f *fault.Error) {
	r := x.reuse
	if r == nil || r.flight == nil || r.finished {
		return
	}
	r.finished = true
	fl := r.flight
	if r.relay != nil {
		r.relay.upTo()
		defer func() { _ = x.direct() }() // behind the end of all others; the end tells as well whether the client is there
	}
	switch {
	case !r.leads && f != nil:
		fl.failed(r.seat, f) // where it was to lead
		return
	case !r.leads:
		return
	case f != nil:
		fl.failed(r.seat, f)
		return
	}
	x.logs(&x.chunk)
	if fl.isFull() {
		return
	}
	rec, ok := fl.log.recording(x.req.Dialect, len(x.req.answerID()))
	if !ok {
		fl.ended(nil)
		return
	}
	rec.Cost = x.record.Cost
	if x.grounded() {
		rec.Passages = x.ground.Passages
		rec.Citations, rec.Cited = x.ground.whollyCited()
	}
	x.compare(rec)
	x.store(rec)
	fl.ended(rec)
}

// store keeps an answer, if it is one to keep.
func (x *exchange) store(rec *reuse.Recording) {
	t, r := &x.ticket, x.reuse
	if x.req.Dialect.Operation() == inference.Chat && !reuse.Keeps(rec.Finish) || x.doubtful() || t.Ground != nil && t.Ground.Degraded != "" {
		return
	}
	value := rec.Append(nil)
	if len(value) > reuse.MaxStored {
		return
	}
	now := time.Now()
	e := cache.Entry{
		Value: value, Stored: now, Marks: r.marks,
		Cost: max(rec.Cost, 0), Tokens: rec.Usage.Input + rec.Usage.Output,
	}
	if t.Tries > 0 {
		e.Took = now.Sub(t.Attempts[t.Given()].Start)
	}
	rules := t.Model.Reuse
	e.Expires = now.Add(reuse.Life(rules.TTL, r.key))
	e.Until = e.Expires.Add(max(rules.Revalidate, rules.IfError))
	x.g.answers.Put(cache.Answers, t.Scope, r.key, e, now)
	x.head.Cache.Stored = true
	x.remember(&e)
}

// handsOver leaves what an answer takes to another one who shares it, where the one who
// led is gone. It reports whether that is so.
func (x *exchange) handsOver() (over bool) {
	if !x.leads() {
		return false
	}
	r, rec := x.reuse, x.record
	f := r.flight
	f.locked(func() {
		if over = r.seat.gone && f.count > 0 && !f.over; !over {
			return
		}
		f.payer = f.seats.first
		f.bill = bill{rec.Input, rec.Output, rec.CacheRead, rec.CacheWrite, rec.Reasoning, rec.Cost, rec.UsageSource}
	})
	if over {
		rec.Input, rec.Output, rec.CacheRead, rec.CacheWrite, rec.Reasoning, rec.Cost, rec.UsageSource = 0, 0, 0, 0, 0, 0, record.NoUsage
	}
	return over
}

// pays takes over what a shared answer took.
func (x *exchange) pays() {
	if !x.follows() {
		return
	}
	f, s, r := x.reuse.flight, x.reuse.seat, x.record
	f.mu.Lock()
	elect := f.elect == s
	f.mu.Unlock()
	if elect {
		return // it leaves when it told that it failed
	}
	f.leave(s, context.Canceled)
	f.locked(func() {
		if f.payer == s {
			b := &f.bill
			r.Input, r.Output, r.CacheRead, r.CacheWrite, r.Reasoning, r.Cost, r.UsageSource = b.input, b.output, b.read, b.written, b.reasoning, b.cost, b.source
		}
	})
}

// release gives back what is held for others, behind the end of the answer.
func (x *exchange) release() {
	r := x.reuse
	if r == nil || r.flight == nil {
		return
	}
	if !r.finished {
		r.flight.failed(r.seat, fault.New(fault.Internal, "a defect"))
		if r.relay != nil {
			_ = x.direct() // as in settle
		}
	}
	if r.stop != nil {
		r.stop()
	}
	if r.leads {
		x.g.free(r.flight)
	}
	r.flight.leave(r.seat, context.Canceled)
	r.flight.vacate()
}
