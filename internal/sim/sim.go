// Package sim carries out flow's steps in virtual time, against the step model of
// engines: the very decisions that serve live requests, at a million a second.
//
// A run depends on nothing but its world, its policy and its load: equal ones
// give equal records, in the same order. Of events of one moment, arrivals come
// first, then events of the world, then what was set first. The model's time is in whole
// nanoseconds, and taking a step costs none.
package sim

import (
	"crypto/sha256"
	"hash"
	"time"

	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/latency"
	"headworks/internal/record"
	"headworks/internal/vitals"
)

// World is what requests meet.
type World struct {
	Start     time.Time
	Region    string
	Zone      string
	Fleet     *fleet.Snapshot
	Engines   []latency.Params // of every replica of an upstream, by its place in Fleet
	Events    []Event          // in any order
	Objective Objective
	Exchange  time.Duration // how often each of several gateways tells the others what it knows; 0: never
	Scrape    bool          // engines are asked for their load, as often as live ones are
	Memory    int64         // bytes of answers that each gateway keeps; 0: none
	Scaling   *Scaling      // nil: all replicas are there all the time
}

// Objective is what an answer has to keep to be counted as within it; zero is no
// bound.
type Objective struct {
	TTFT time.Duration
	TPOT time.Duration
}

// Run carries a load through a world, to the last step of its last request. It
// hands every record to keep, if that is not nil, which may not hold on to it.
func Run(w World, p *flow.Policy, l Load, keep func(*record.Record)) Result {
	return RunGateways(w, []*flow.Policy{p}, l, keep)
}

// RunGateways is Run with several gateways before one fleet. Each request comes to
// one of them, drawn by its id. Each knows what it sent itself, and what the others
// told it: one after the other, each once in w.Exchange.
func RunGateways(w World, gateways []*flow.Policy, l Load, keep func(*record.Record)) Result {
	s := &run{World: w, gateways: gateways, load: l, keep: keep, digest: sha256.New(), replicas: make([]*replica, w.Fleet.Replicas)}
	for i := range w.Fleet.Upstreams {
		u := &w.Fleet.Upstreams[i]
		for j := range u.Replicas {
			s.add(&u.Replicas[j], w.Engines[i])
		}
	}
	s.moments = moments(w.Events)
	s.tally.phases = phases(s.moments)
	s.tells = never
	if len(gateways) > 1 && w.Exchange > 0 {
		s.tells = 0
		for _, p := range gateways {
			p.Share(true)
		}
	}
	if w.Scaling != nil {
		s.scaling(*w.Scaling)
	}
	began := time.Now()
	s.loop()
	s.flush()
	s.wall = time.Since(began)
	return s.result()
}

// run is a run under way.
type run struct {
	World
	gateways []*flow.Policy
	load     Load
	keep     func(*record.Record)

	now      time.Duration // from the start
	under    int           // requests that have come and not ended
	tells    time.Duration // when the next gateway tells the others what it knows
	teller   int
	news     flow.News
	scale    *scaler  // nil: nothing is scaled
	moments  []moment // of Events, that are still to come
	agenda   agenda
	actors   []actor    // by their number in the agenda
	replicas []*replica // by fleet.ReplicaID; nil for one that is no more
	vacant   []*exchange
	woken    []*exchange // may enter now
	passed   []passing   // of shared answers
	answers  map[*flow.Policy]*answers
	told     []latency.Progress

	record record.Record
	digest hash.Hash // of all records
	bytes  []byte    // of those that are not in it yet
	tally  tally
	wall   time.Duration
}

// actor is who has moments in the agenda.
type actor struct {
	replica  *replica
	exchange *exchange
	asked    *replica // for its load
}

// replica is one engine.
type replica struct {
	of     *fleet.Replica
	params latency.Params
	engine *latency.Engine
	clock  clock         // the engine's own time
	due    time.Duration // on that clock: when it has something to tell
	number int32
	down   int       // how many crashes it is under
	asks   int32     // its number as one that is asked for its load
	anew   bool      // it crashed since it last told its load
	said   flow.Told // what it told when its metrics came to a stand
	drains int       // how many operators keep it from requests
	cuts   int       // how many cuts keep packets from it
	held   []*Event  // what holds it up
	tally  replicaTally

	streams int // of the jobs under way
}

func (s *run) add(of *fleet.Replica, p latency.Params) {
	r := &replica{of: of, params: p, engine: latency.New(p, latency.Ends)}
	r.number = s.join(actor{replica: r})
	if s.Scrape {
		r.asks = s.join(actor{asked: r})
		s.agenda.set(r.asks, int64(vitals.EveryIdle)*int64(of.ID)/int64(max(s.Fleet.Replicas, 1)))
	}
	s.replicas[of.ID] = r
}

func (s *run) loop() {
	arrival, more := s.load.Next()
	s.tally.begin(arrival.At)
	for {
		if !more && s.under == 0 {
			s.close()
			staged, ok := s.load.(Staged)
			if !ok || !staged.Drained(s.now) {
				return
			}
			if arrival, more = s.load.Next(); !more {
				continue
			}
			s.tally.begin(arrival.At)
		}
		who, when := s.agenda.next()
		if tells := int64(s.tells); tells < when && (!more || s.tells < arrival.At) && (len(s.moments) == 0 || s.tells < s.moments[0].at) {
			s.tell()
			continue
		}
		if s.scale != nil && int64(s.scale.next) < when && (!more || s.scale.next < arrival.At) && (len(s.moments) == 0 || s.scale.next < s.moments[0].at) {
			s.rescale()
			continue
		}
		strikes := len(s.moments) > 0 && int64(s.moments[0].at) <= when
		switch {
		case more && int64(arrival.At) <= when && !(strikes && s.moments[0].at < arrival.At):
			s.now = arrival.At
			s.arrive(&arrival)
			arrival, more = s.load.Next()
		case strikes:
			s.now = s.moments[0].at
			s.strike(s.moments[0])
			s.moments = s.moments[1:]
		default:
			s.now = time.Duration(when)
			switch a := &s.actors[who]; {
			case a.replica != nil:
				s.advance(a.replica)
			case a.asked != nil:
				s.ask(a.asked)
			default:
				s.quiet(a.exchange)
			}
		}
		for i, j := 0, 0; i < len(s.woken) || j < len(s.passed); {
			if i < len(s.woken) {
				s.step(s.woken[i], flow.Event{Kind: flow.Entered})
				i++
				continue
			}
			s.step(s.passed[j].to, s.passed[j].ev)
			j++
		}
		s.woken, s.passed = s.woken[:0], s.passed[:0]
	}
}

// tell lets one gateway tell the others what it knows.
func (s *run) tell() {
	s.now = s.tells
	from := s.gateways[s.teller]
	from.Tell(&s.news, s.Fleet)
	for i, to := range s.gateways {
		if i == s.teller {
			continue
		}
		to.Hear(uint64(s.teller), s.news.InFlight, s.news.Given, s.clock())
		for u := range s.Fleet.Upstreams {
			to.Learn(&s.Fleet.Upstreams[u], s.news.Holds)
		}
	}
	s.teller = (s.teller + 1) % len(s.gateways)
	s.tells += s.Exchange / time.Duration(len(s.gateways))
}

// flush takes what waits into the digest.
func (s *run) flush() {
	s.digest.Write(s.bytes)
	s.bytes = s.bytes[:0]
}

// join gives an actor its number.
func (s *run) join(a actor) int32 {
	s.actors = append(s.actors, a)
	return s.agenda.join()
}

// clock returns the moment that flow is told.
func (s *run) clock() time.Time { return s.Start.Add(s.now) }

// gateway returns to which gateway a request comes.
func (s *run) gateway(r *inference.Request) *flow.Policy {
	if len(s.gateways) == 1 {
		return s.gateways[0]
	}
	return s.gateways[spread(r.ID.Seed())%uint64(len(s.gateways))]
}

// plan sets when an engine next has something to tell.
func (s *run) plan(r *replica) {
	when := int64(never)
	if next, ok := r.engine.Next(); ok {
		r.due = next
		when = max(r.clock.when(next), int64(s.now))
	}
	s.agenda.set(r.number, when)
}

// advance tells the requests what an engine made for them.
func (s *run) advance(r *replica) {
	// What is due is made, whatever rounding makes of the engine's time.
	s.told = r.engine.Advance(max(r.clock.local(s.now), r.due), s.told[:0])
	s.plan(r)
	for _, p := range s.told {
		switch x := s.actors[uint32(p.ID)].exchange; {
		case x.attempt != uint32(p.ID>>32):
		case r.cuts > 0:
			x.missed = p
		default:
			s.made(x, p)
		}
	}
}
