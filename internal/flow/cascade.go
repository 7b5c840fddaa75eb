package flow

import (
	"math"
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/route"
)

// Unchecked is why an answer that should have been looked at was not.
const Unchecked = "longer than what is kept to be looked at"

// DidNotPass is why a target is not asked again that answered.
const DidNotPass = "its answer did not pass"

// Bounds of what is known of a target's answers: so many have to be known for their
// share to count, and one more counts as much as all before that.
const (
	fewestLooked = 30
	mostLooked   = 1000
	explored     = 0.05 // of the requests that would be spared a target meet it all the same
)

// cascades lets a cascade begin where the request wants it: at its last target where
// nobody could look at the answer, and behind those that pass too seldom for what
// they cost.
func (p *Policy) cascades(t *Ticket) {
	if t.Model.Cascade == nil || t.Copy || t.Order.N < 2 {
		return
	}
	if !readable(t.Request) {
		t.Order.Leap(t.Model, route.Unread)
		return
	}
	var passes [route.MaxTargets]float64
	for i := range t.Model.Targets[:min(len(t.Model.Targets), route.MaxTargets)] {
		passes[i] = 1
		if at := p.paceOf(t.Model.Targets[i].ID); at != nil && at.looked >= fewestLooked {
			passes[i] = at.passed / at.looked
		}
	}
	if draw := float64(t.src.Uint64()>>11) / (1 << 53); draw >= explored {
		t.Order.Spare(t.Model, t.Request, &passes)
	}
}

// readable reports whether the answer to a request is one text that can be read.
func readable(r *inference.Request) bool {
	return r.Dialect.Operation() == inference.Chat && r.Dialect != inference.Completions && r.N <= 1
}

// verifies reports whether the answer of the target that is asked now is looked at
// before anybody gets it: the cascade has another one behind it.
func (t *Ticket) verifies() bool {
	return t.Model.Cascade != nil && !t.Copy && readable(t.Request) && t.Tries < MaxAttempts && t.behind(int(t.choice), func(uint8) bool { return true })
}

// behind reports whether a target is left behind a place of the model's list that is
// as wanted. Another cell is none: it has a cascade of its own, from its beginning.
func (t *Ticket) behind(place int, as func(place uint8) bool) bool {
	for _, stop := range t.stops[:t.stopped] {
		if int(stop.place) > place && !t.Model.Targets[stop.place].Away && int(t.used[stop.place]) < max(t.Model.Tries, 1) && as(stop.place) {
			return true
		}
	}
	return false
}

// doubted decides what becomes of a whole answer that did not pass: the next target of
// the cascade is asked, or, where none can be, the answer is given as it is.
func (p *Policy) doubted(t *Ticket, ev Event, s *fleet.Snapshot, now time.Time) Action {
	p.looked(t, false)
	t.Attempts[t.Tries-1].Doubt = ev.Doubt
	ready := func(place uint8) bool { return p.ready(t, &t.Model.Targets[place], s, now) }
	if t.Tries == MaxAttempts || !t.behind(int(t.choice), ready) {
		t.Left = "no other target of the cascade can be asked"
		return p.hand(t, ev, now)
	}
	t.output = ev.Tokens
	p.ended(t, ev.Tokens, now)
	p.settle(t, nil, now)
	if ev.Kept {
		t.kept = kept{attempt: t.Tries, tokens: ev.Tokens, hit: t.Hit, why: t.Why}
	}
	t.handed = false // the next target reads the prompt anew
	for place := range t.choice + 1 {
		t.used[place] = noMore // those before it are no better
	}
	return p.send(t, s, now)
}

// NothingBetter is why a request ends with an answer that did not pass.
const NothingBetter = "what was asked next gave no answer, so the one that did not pass is given"

// kept is an answer that did not pass, for as long as none is known to come after it.
type kept struct {
	attempt int // one more than its place; 0: there is none
	tokens  int
	hit     int
	why     string // why Target and Replica
}

// giveKept gives the answer that was kept in the place of a fault, if there is one and
// somebody waits for it.
func (t *Ticket) giveKept(f fault.Kind) bool {
	k := &t.kept
	if k.attempt == 0 || t.Committed || f == fault.ClientClosed || f == fault.Draining || f == fault.Internal {
		return false
	}
	a := &t.Attempts[k.attempt-1]
	t.Target, t.Replica, t.Why, t.Hit, t.output = a.Target, a.Replica, k.why, k.hit, k.tokens
	t.given, t.Committed, t.Left = k.attempt, t.Request.Stream, NothingBetter
	return true
}

// Given returns the place of the attempt whose answer the caller gets: the last one,
// unless an answer of before was kept; -1 where nothing was asked.
func (t *Ticket) Given() int {
	if t.given > 0 {
		return t.given - 1
	}
	return t.Tries - 1
}

// ready reports whether a target has a replica that may serve.
func (p *Policy) ready(t *Ticket, target *fleet.Target, s *fleet.Snapshot, now time.Time) bool {
	u := &s.Upstreams[target.Upstream]
	t.board = board{policy: p, ticket: t, upstream: u, model: target.Model, now: now}
	for i := range u.Replicas {
		if t.board.Standing(&u.Replicas[i]).Why == "" {
			return true
		}
	}
	return false
}

// passes notes what came of an answer that was kept: it passed, or, with a reason,
// nobody looked at it.
func (p *Policy) passes(t *Ticket, unchecked string) {
	switch {
	case !t.verify:
	case unchecked != "":
		t.verify, t.Attempts[t.Tries-1].Doubt = false, unchecked
	default:
		p.looked(t, true)
	}
}

// noMore stands for as many tries of a target as there can be.
const noMore = math.MaxUint8

// tried says why a target is not asked that had its tries.
func (t *Ticket) tried(place uint8) string {
	for i := range t.Attempts[:t.Tries] {
		if a := &t.Attempts[i]; a.Doubt != "" && a.Target == &t.Model.Targets[place] {
			return DidNotPass
		}
	}
	return "has had its tries"
}

// looked notes whether an answer passed that was looked at.
func (p *Policy) looked(t *Ticket, passed bool) {
	t.verify = false
	at := p.paceOf(t.Target.ID)
	if at == nil {
		return
	}
	if at.looked >= mostLooked {
		at.looked, at.passed = at.looked*(1-1.0/mostLooked), at.passed*(1-1.0/mostLooked)
	}
	at.looked++
	if passed {
		at.passed++
	}
}

// Why an answer was not judged.
const (
	NoJudge      = "no replica of its judge is available"
	JudgeFails   = "its judge failed before, and rests"
	JudgeTooSlow = "its judge took too long"
)

// judge has an answer looked at that passed what can be told of it, or gives it
// unverified where nobody can.
func (p *Policy) judge(t *Ticket, ev Event, now time.Time) Action {
	j := t.Model.Cascade.Judge
	if j == nil {
		p.looked(t, true)
		return p.hand(t, ev, now)
	}
	why := ""
	var r *fleet.Replica
	if d := p.doctors[t.Model.Name+"/judge"]; d != nil && now.Before(d.rests) {
		why = JudgeFails
	} else if r = p.consultant(t, &t.fleet.Upstreams[j.Upstream], j.Model, now); r == nil {
		why = NoJudge
	}
	if why != "" {
		p.passes(t, why)
		return p.hand(t, ev, now)
	}
	p.consult(r)
	t.judge, t.judgeAt = r, now
	return Action{Kind: Judge, Replica: r, Until: now.Add(j.Timeout)}
}

// recess gives back what a judge was counted to have, once something else happens. It
// reports whether there was one.
func (p *Policy) recess(t *Ticket, now time.Time) bool {
	if t.judge == nil {
		return false
	}
	p.row(t.judge.ID).Requests--
	t.JudgeTime += now.Sub(t.judgeAt)
	t.judge = nil
	return true
}

// judged takes the judge's verdict on an answer.
func (p *Policy) judged(t *Ticket, ev Event, s *fleet.Snapshot, now time.Time) Action {
	why := ""
	if c := ev.Class; c != nil {
		why = c.WhyNot
		if c.Cost < 0 || t.JudgeCost < 0 {
			t.JudgeCost = -1
		} else {
			t.JudgeCost += c.Cost
		}
	}
	p.examine(t.Model.Name+"/judge", why == "", now)
	switch {
	case why != "":
		p.passes(t, why)
	case ev.Doubt != "":
		return p.doubted(t, ev, s, now)
	default:
		p.looked(t, true)
	}
	return p.hand(t, ev, now)
}

// hand gives the answer that is there.
func (p *Policy) hand(t *Ticket, ev Event, now time.Time) Action {
	if !t.Request.Stream {
		return p.finished(t, ev, now)
	}
	t.state, t.Committed = committed, true
	return Action{Kind: Commit, Until: p.until(t, now, Event{Progress: now, Said: now, Wrote: now})}
}
