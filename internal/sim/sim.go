// Package sim carries out flow's steps in virtual time, against the step model of
// engines: the very decisions that serve live requests, at a million a second.
//
// A run depends on nothing but its world, its policy and its load: equal ones
// give equal records, in the same order. Of events of one moment, arrivals come
// first, then outages, then what was set first. The model's time is in whole
// nanoseconds, and taking a step costs none.
package sim

import (
	"crypto/sha256"
	"hash"
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/latency"
	"headworks/internal/record"
)

// World is what requests meet.
type World struct {
	Start   time.Time
	Region  string
	Fleet   *fleet.Snapshot
	Engines []latency.Params // of every replica of an upstream, by its place in Fleet
	Outages []Outage         // in the order of From
}

// Outage is a time in which a replica is gone: what it has in work breaks off, and
// nobody answers.
type Outage struct {
	Replica  fleet.ReplicaID
	From, To time.Duration // from the start of the run
}

// Run carries a load through a world, to the last step of its last request. It
// hands every record to keep, if that is not nil, which may not hold on to it.
func Run(w World, p *flow.Policy, l Load, keep func(*record.Record)) Result {
	s := &run{World: w, policy: p, load: l, keep: keep, digest: sha256.New(), replicas: make([]*replica, w.Fleet.Replicas)}
	for i := range w.Fleet.Upstreams {
		u := &w.Fleet.Upstreams[i]
		for j := range u.Replicas {
			s.add(&u.Replicas[j], w.Engines[i])
		}
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
	policy *flow.Policy
	load   Load
	keep   func(*record.Record)

	now      time.Duration // from the start
	agenda   agenda
	actors   []actor    // by their number in the agenda
	replicas []*replica // by fleet.ReplicaID; nil for one that is no more
	vacant   []*exchange
	woken    []*exchange // may enter now
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
}

// replica is one engine.
type replica struct {
	of     *fleet.Replica
	params latency.Params
	engine *latency.Engine
	number int32
	back   time.Duration // when its outage ends
	tally  replicaTally
}

func (s *run) add(of *fleet.Replica, p latency.Params) {
	r := &replica{of: of, params: p, engine: latency.New(p, latency.Ends)}
	r.number = s.join(actor{replica: r})
	s.replicas[of.ID] = r
}

func (s *run) loop() {
	arrival, more := s.load.Next()
	outages := s.Outages
	for {
		who, when := s.agenda.next()
		if !more && who < 0 {
			return
		}
		strikes := len(outages) > 0 && int64(outages[0].From) <= when
		switch {
		case more && int64(arrival.At) <= when && !(strikes && outages[0].From < arrival.At):
			s.now = arrival.At
			s.arrive(&arrival)
			arrival, more = s.load.Next()
		case strikes:
			s.now = outages[0].From
			s.strike(outages[0])
			outages = outages[1:]
		default:
			s.now = time.Duration(when)
			if a := &s.actors[who]; a.replica != nil {
				s.advance(a.replica)
			} else {
				s.quiet(a.exchange)
			}
		}
		for i := 0; i < len(s.woken); i++ {
			s.step(s.woken[i], flow.Event{Kind: flow.Entered})
		}
		s.woken = s.woken[:0]
	}
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

// plan sets when an engine next has something to tell.
func (s *run) plan(r *replica) {
	if next, ok := r.engine.Next(); ok {
		s.agenda.set(r.number, int64(next))
	} else {
		s.agenda.set(r.number, never)
	}
}

// advance tells the requests what an engine made for them.
func (s *run) advance(r *replica) {
	s.told = r.engine.Advance(s.now, s.told[:0])
	s.plan(r)
	for _, p := range s.told {
		if x := s.actors[uint32(p.ID)].exchange; x.attempt == uint32(p.ID>>32) {
			s.made(x, p)
		}
	}
}

// strike takes a replica away.
func (s *run) strike(o Outage) {
	r := s.replicas[o.Replica]
	r.back = max(r.back, o.To)
	var lost []*exchange
	for i := range s.actors {
		if x := s.actors[i].exchange; x != nil && x.replica == r && x.working {
			s.drop(x)
			lost = append(lost, x)
		}
	}
	r.engine = latency.New(r.params, latency.Ends)
	s.plan(r)
	for _, x := range lost {
		s.step(x, flow.Event{Kind: flow.Failed, Fault: fault.New(fault.Interrupted, "the replica went away")})
	}
}
