package sim

import (
	"time"

	"headworks/internal/fault"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/latency"
	"headworks/internal/place"
	"headworks/internal/price"
	"headworks/internal/record"
)

// unset is a time that has not come.
const unset time.Duration = -1

// exchange is one request on its way. It is used again for another.
type exchange struct {
	run     *run
	policy  *flow.Policy // of its gateway
	request inference.Request
	ticket  flow.Ticket
	number  int32
	arrived time.Duration
	leaves  time.Duration // when the client does; unset: never
	output  int

	attempt uint32   // tells apart what was made for earlier sends
	replica *replica // of the last send
	working bool     // job is under way there
	reading bool     // the job reads the prompt for another replica
	moving  bool     // what it read is on its way there
	job     latency.Handle

	until   time.Duration    // what flow waits for; unset: nothing
	fails   time.Duration    // when its connection does; unset: it does not
	failure *fault.Error     // then
	missed  latency.Progress // what was said last and did not come through
	away    time.Duration    // on the way to the regions where it was sent, and back

	same     uint64
	earlier  answer  // that is given, or could be
	flight   *flight // nil: the answer is nobody else's
	deserted bool    // the client left, and others go on with the answer

	follow   func(ended time.Duration) (Arrival, bool)
	next     Arrival // what follows
	thinking bool    // until its time

	made    int           // tokens that came, of a stream
	whole   bool          // all of them
	first   time.Duration // content left for the client
	firstIn time.Duration // content came
	latest  time.Duration // the upstream's last sign
	wrote   time.Duration // the client's last bytes
}

func (s *run) arrive(a *Arrival) {
	var x *exchange
	if n := len(s.vacant); n > 0 {
		x = s.vacant[n-1]
		s.vacant = s.vacant[:n-1]
	} else {
		x = &exchange{run: s}
		x.number = s.join(actor{exchange: x})
	}
	s.under++
	s.enter(x, a)
}

// enter begins a request.
func (s *run) enter(x *exchange, a *Arrival) {
	x.follow, x.thinking = a.Follow, false
	x.request, x.output, x.same = a.Request, a.Output, a.Same
	x.flight, x.deserted = nil, false
	x.arrived, x.leaves = s.now, unset
	if a.Leaves > 0 {
		x.leaves = s.now + a.Leaves
	}
	x.made, x.whole = 0, false
	x.first, x.firstIn, x.latest, x.wrote = unset, unset, unset, unset
	x.fails, x.missed, x.away = unset, latency.Progress{}, 0
	x.policy = s.gateway(&x.request)
	x.policy.Begin(&x.ticket, &x.request, a.Caller, x)
	x.ticket.From, x.ticket.PlacedBy = place.Place{Region: s.Region, Zone: s.Zone}, place.ByCell
	if a.From.Region != "" {
		x.ticket.From, x.ticket.PlacedBy = a.From, place.ByAddress
	}
	s.step(x, flow.Event{Kind: flow.Arrived})
}

// Grant implements flow.Waiter.
func (x *exchange) Grant() { x.run.woken = append(x.run.woken, x) }

// step asks flow for the next action and carries it out.
func (s *run) step(x *exchange, ev flow.Event) {
	for {
		a := x.policy.Step(&x.ticket, ev, s.Fleet, s.clock())
		s.tally.steps++
		if a.Wake != nil {
			a.Wake.Owner.Grant()
		}
		switch a.Kind {
		case flow.Reuse:
			ev = s.recall(x, a.Join)
			continue
		case flow.Resemble: // there are no texts here
			ev = flow.Event{Kind: flow.Missed}
			continue
		case flow.Retrieve: // what is read of documents is part of a trace's prompts
			ev = flow.Event{Kind: flow.Retrieved}
			continue
		case flow.Classify: // there are no texts here
			ev = flow.Event{Kind: flow.Classified, Class: &flow.Class{WhyNot: "the simulator has no texts"}}
			continue
		case flow.Judge: // no answer is looked at here
			ev = flow.Event{Kind: flow.Judged}
			continue
		case flow.Send:
			s.drop(x)
			if f := s.send(x, &a); f != nil {
				ev = flow.Event{Kind: flow.Failed, Fault: f}
				continue
			}
		case flow.Commit:
			s.began(x)
			if x.whole {
				ev = x.finished()
				continue
			}
			x.first, x.wrote = s.now, s.now
		case flow.Open, flow.Alive:
			x.wrote = s.now
		case flow.Done:
			s.done(x, a.Fault)
			return
		case flow.Ignore:
			return
		case flow.Queue, flow.Read, flow.Follow: // to wait is all
		}
		s.wait(x, a.Until)
		return
	}
}

// wait waits until a moment, until the client leaves, or until the connection fails.
func (s *run) wait(x *exchange, until time.Time) {
	x.until = unset
	if !until.IsZero() {
		x.until = max(until.Sub(s.Start), s.now)
	}
	s.wake(x)
}

// wake sets when the exchange has something to do by itself.
func (s *run) wake(x *exchange) {
	when := int64(never)
	for _, at := range [...]time.Duration{x.until, x.leaves, x.fails} {
		if at != unset {
			when = min(when, int64(at))
		}
	}
	s.agenda.set(x.number, when)
}

// quiet tells flow that the moment came that the request waited for.
func (s *run) quiet(x *exchange) {
	if x.moving {
		x.moving = false
		s.step(x, flow.Event{Kind: flow.Finished, Handed: true})
		return
	}
	if x.thinking {
		next := x.next
		s.enter(x, &next)
		return
	}
	if x.leaves != unset && s.now >= x.leaves && s.deserts(x) {
		return
	}
	if x.leaves != unset && s.now >= x.leaves {
		s.step(x, flow.Event{Kind: flow.Left})
		return
	}
	if x.fails != unset && s.now >= x.fails {
		s.drop(x)
		s.step(x, flow.Event{Kind: flow.Failed, Fault: x.failure})
		return
	}
	s.look(x)
	ev := flow.Event{Kind: flow.Quiet}
	if x.latest != unset {
		ev.Progress = s.Start.Add(x.latest)
		ev.Said = ev.Progress
	}
	if x.wrote != unset {
		ev.Wrote = s.Start.Add(x.wrote)
	}
	s.hear(x)
	s.step(x, ev)
}

// hear tells flow when something last came from the replicas, of those among which the
// one is that a request waits for. What came through other gateways counts, too; of a
// whole answer nothing comes before its end.
func (s *run) hear(x *exchange) {
	if x.ticket.Target == nil {
		return
	}
	pool := s.Fleet.Upstreams[x.ticket.Target.Upstream].Replicas
	for i := range pool {
		r := s.replicas[pool[i].ID]
		if r.streams == 0 {
			continue
		}
		if made, ok := r.engine.Made(r.clock.local(s.now)); ok {
			x.policy.Heard(pool[i].ID, s.Start.Add(min(r.clock.showed(made), s.now)))
		}
	}
}

// send opens an attempt.
func (s *run) send(x *exchange, a *flow.Action) *fault.Error {
	r := s.replicas[a.Replica.ID]
	r.tally.sent++
	x.replica, x.made, x.latest, x.reading, x.moving = r, 0, unset, a.Prefill, false
	x.fails, x.missed = unset, latency.Progress{}
	if trip := s.Fleet.Atlas.Trip(s.Fleet.Atlas.Region(x.ticket.From.Region), s.Fleet.Atlas.Region(a.Replica.Place.Region)); trip != place.Far && r.cuts == 0 {
		x.away += trip
	}
	if r.cuts > 0 {
		x.fails, x.failure = s.now+unanswered, fault.New(fault.Connect, "nobody answers there")
		return nil
	}
	if r.down > 0 {
		return fault.New(fault.Connect, "nobody answers there")
	}
	if s.fails(r, x) {
		return fault.New(fault.UpstreamError, "the engine answered with an error of its own")
	}
	output := x.output
	if limit := x.request.MaxTokens; limit > 0 {
		output = min(output, limit)
	}
	if a.Prefill {
		output = 1
	}
	x.attempt++
	job, ok := r.engine.Submit(r.clock.local(s.now), latency.Job{
		ID:     uint64(x.attempt)<<32 | uint64(x.number),
		Prompt: x.request.Input,
		Output: r.params.Limit(x.request.Input, output),
		Blocks: x.request.Blocks, Fetched: a.Handed,
	})
	if !ok {
		return fault.New(fault.ContextTooLong, "the prompt does not fit the engine")
	}
	x.working, x.job = true, job
	if x.request.Stream {
		r.streams++
	}
	r.tally.add(s.now, 1)
	s.plan(r)
	return nil
}

// made learns of the first token and of the last.
func (s *run) made(x *exchange, p latency.Progress) {
	if p.Last {
		x.whole, x.working = true, false
		if x.request.Stream {
			x.replica.streams--
		}
		x.replica.tally.add(s.now, -1)
		x.replica.tally.served++
		if x.reading {
			x.whole, x.moving = false, true
			s.agenda.set(x.number, int64(s.now+flow.Transfer(x.request.Input)))
			return
		}
	} else if !x.request.Stream {
		return // its first byte comes with its last
	}
	x.made, x.latest = p.Tokens, s.now
	if x.firstIn == unset {
		x.firstIn = s.now
	}
	if p.Last && (!x.request.Stream || x.ticket.Committed) {
		s.step(x, x.finished())
		return
	}
	s.step(x, flow.Event{Kind: flow.Content})
}

// finished tells that the answer is whole.
func (x *exchange) finished() flow.Event {
	return flow.Event{Kind: flow.Finished, Said: x.run.Start.Add(x.latest), Tokens: x.made}
}

// look finds out what came of a stream since its first token.
func (s *run) look(x *exchange) {
	if !x.working || x.reading || !x.request.Stream || x.replica.cuts > 0 {
		return
	}
	r := x.replica
	if p, ok := r.engine.Latest(r.clock.local(s.now), x.job); ok {
		x.made, x.latest = p.Tokens, min(r.clock.showed(p.At), s.now)
		if x.ticket.Committed {
			x.wrote = max(x.wrote, x.latest)
		}
	}
}

// drop takes the job back that is under way, if one is.
func (s *run) drop(x *exchange) {
	x.fails, x.missed = unset, latency.Progress{}
	if !x.working {
		return
	}
	s.look(x)
	x.replica.engine.Cancel(x.replica.clock.local(s.now), x.job)
	s.plan(x.replica)
	x.working = false
	if x.request.Stream {
		x.replica.streams--
	}
	x.attempt++
	x.replica.tally.add(s.now, -1)
}

// done writes the record of a request and lets it go.
func (s *run) done(x *exchange, f *fault.Error) {
	s.drop(x)
	s.agenda.set(x.number, never)
	if x.first == unset && f == nil {
		x.first = s.now
	}
	r := &s.record
	r.Reset()
	x.ticket.Record(r, s.Fleet, s.Start.Add(x.arrived), f)
	r.Origin, r.Cell, r.Surface, r.Operation = "app", s.Region, "sim", "chat"
	r.Simulated = true
	x.measure(r, s.now)
	if x.deserted && f == nil {
		x.ticket.Outcome(r, fault.New(fault.ClientClosed, "the client left before the end of the answer"))
	}
	s.land(x, f)
	if s.bytes = r.Append(s.bytes); len(s.bytes) > 8<<10 {
		s.flush()
	}
	s.tally.add(r, x.arrived, s.Objective)
	if s.keep != nil {
		s.keep(r)
	}
	if f == nil && x.follow != nil {
		var more bool
		if x.next, more = x.follow(s.now); more {
			x.thinking = true
			s.agenda.set(x.number, int64(max(x.next.At, s.now)))
			return
		}
	}
	s.under--
	s.vacant = append(s.vacant, x)
}

// measure writes times and tokens into a record.
func (x *exchange) measure(r *record.Record, now time.Duration) {
	r.Scan, r.Overhead = 0, 0
	r.Total = (now - x.arrived + x.away).Microseconds()
	var u inference.Usage
	switch {
	case x.given():
		r.Finish, r.Cost = inference.Stop, 0
		r.SavedTokens, r.SavedCost = int64(x.earlier.input+x.earlier.output), x.earlier.cost
	case x.whole:
		u = inference.Usage{Input: x.request.Input, Output: x.made, Known: true}
		r.UsageSource = record.Provider
		r.Finish = inference.Stop
		if x.made < x.output {
			r.Finish = inference.Length
		}
	case x.made > 0:
		u = inference.Usage{Input: x.request.Input, Output: x.made}
		r.UsageSource = record.Estimated
	}
	r.Input, r.Output, r.CacheRead, r.CacheWrite, r.Reasoning = int64(u.Input), int64(u.Output), 0, 0, 0
	if t := x.ticket.Target; t != nil {
		if cost, known := price.Cost(t.Price, u); known {
			r.Cost = cost
		}
	}
	if x.first != unset {
		r.TTFT = (x.first - x.arrived + x.away).Microseconds()
	}
	if x.firstIn != unset && x.ticket.Tries > 0 {
		sent := x.ticket.Attempts[x.ticket.Tries-1].Start.Sub(x.ticket.Attempts[0].Start)
		r.UpstreamTTFT = (x.firstIn - x.arrived - x.ticket.Waited - sent).Microseconds()
		if n := r.Output - 1; r.Stream && n > 0 {
			r.TPOT = (x.latest - x.firstIn).Microseconds() / n
		}
	}
}
