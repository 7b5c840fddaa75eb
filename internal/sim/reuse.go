package sim

import (
	"encoding/binary"
	"slices"
	"time"

	"headworks/internal/evict"
	"headworks/internal/fault"
	"headworks/internal/flow"
	"headworks/internal/reuse"
	"headworks/internal/tenant"
)

// answers is what one gateway keeps of answers, and which of them are under way.
type answers struct {
	kept    *evict.Cache[question, answer]
	flights map[question]*flight
}

// question tells requests apart: two with one are for the same.
type question struct {
	scope tenant.Scope
	model string
	same  uint64
}

// answer is an answer that is kept.
type answer struct {
	stored, expires time.Time
	took            time.Duration
	input, output   int
	cost            int64
}

// flight is an answer under way that several requests share.
type flight struct {
	question question
	leader   *exchange
	others   []*exchange // the one that came first in front
	began    bool
	tried    bool
}

// What an answer takes in memory beside its tokens, and a token of it (measured: a
// stream of events as it is kept, see reuse.Recording).
const (
	answerBytes = 600
	tokenBytes  = 10
)

// answersOf returns what a gateway keeps.
func (s *run) answersOf(x *exchange) *answers {
	a := s.answers[x.policy]
	if a == nil {
		a = &answers{kept: evict.New[question, answer](s.Memory, nil), flights: map[question]*flight{}}
		if s.answers == nil {
			s.answers = map[*flow.Policy]*answers{}
		}
		s.answers[x.policy] = a
	}
	return a
}

func (x *exchange) question() question {
	return question{scope: x.ticket.Scope, model: x.ticket.Model.Name, same: x.same}
}

// recall looks for an earlier answer, or for one under way.
func (s *run) recall(x *exchange, join bool) flow.Event {
	if s.Memory <= 0 || x.same == 0 {
		return flow.Event{Kind: flow.Missed}
	}
	all, key, now := s.answersOf(x), x.question(), s.clock()
	if a, ok := all.kept.Get(key, now); ok {
		x.earlier = a
		return flow.Event{Kind: flow.Reused, Found: reuse.Found{Age: now.Sub(a.stored), Left: a.expires.Sub(now), Took: a.took}}
	}
	switch f := all.flights[key]; {
	case !join:
	case f == nil:
		x.flight = &flight{question: key, leader: x}
		all.flights[key] = x.flight
	default:
		x.flight = f
		f.others = append(f.others, x)
		return flow.Event{Kind: flow.Joined}
	}
	return flow.Event{Kind: flow.Missed}
}

// leads reports whether others may share the answer.
func (x *exchange) leads() bool { return x.flight != nil && x.flight.leader == x }

// pass tells others of a flight of an event, at this moment and after what is under way.
func (s *run) pass(x *exchange, ev flow.Event) { s.passed = append(s.passed, passing{x, ev}) }

// passing is an event for a request.
type passing struct {
	to *exchange
	ev flow.Event
}

// began tells those who share an answer that content is here.
func (s *run) began(x *exchange) {
	if !x.leads() {
		return
	}
	x.flight.began = true
	for _, other := range x.flight.others {
		if other.request.Stream && x.request.Stream {
			s.pass(other, flow.Event{Kind: flow.Content})
		}
	}
}

// deserts reports whether a client that leaves is not missed: others go on with its
// answer.
func (s *run) deserts(x *exchange) bool {
	if !x.leads() || len(x.flight.others) == 0 {
		return false
	}
	x.leaves, x.deserted = unset, true
	s.wake(x)
	return true
}

// land brings what is shared and kept to its end.
func (s *run) land(x *exchange, f *fault.Error) {
	t := &x.ticket
	if t.Plan.Write && f == nil && !x.given() && x.whole && x.same != 0 && s.Memory > 0 && x.made >= x.output {
		now, rules := s.clock(), t.Model.Reuse
		var key [32]byte
		binary.BigEndian.PutUint64(key[24:], spread(x.same))
		a := answer{stored: now, expires: now.Add(reuse.Life(rules.TTL, key)), took: s.now - x.arrived - t.Waited, input: x.request.Input, output: x.made, cost: max(s.record.Cost, 0)}
		s.answersOf(x).kept.Put(x.question(), a, answerBytes+int64(x.made)*tokenBytes, a.expires.Add(max(rules.Revalidate, rules.IfError)), now)
	}
	fl := x.flight
	if x.flight = nil; fl == nil {
		return
	}
	fl.others = slices.DeleteFunc(fl.others, func(o *exchange) bool { return o == x })
	if fl.leader != x {
		return
	}
	own := f != nil && !reuse.Common(f.Kind) && !fl.began
	again := f != nil && !fl.began && !fl.tried && f.Kind.Info().Another
	if len(fl.others) > 0 && (own || again) {
		fl.tried = fl.tried || !own
		fl.leader, fl.others = fl.others[0], fl.others[1:]
		s.pass(fl.leader, flow.Event{Kind: flow.Failed, Fault: f})
		return
	}
	delete(s.answersOf(x).flights, fl.question)
	for _, other := range fl.others {
		if other.flight = nil; f != nil {
			s.pass(other, flow.Event{Kind: flow.Failed, Fault: f, Tried: true})
			continue
		}
		other.earlier = answer{input: x.request.Input, output: x.made, cost: max(s.record.Cost, 0)}
		s.pass(other, flow.Event{Kind: flow.Finished, Tokens: x.made})
	}
}

// given reports whether the answer is one that was made for another request.
func (x *exchange) given() bool {
	return x.ticket.Reuse == flow.Hit || x.ticket.Reuse == flow.JoinedFlight
}
