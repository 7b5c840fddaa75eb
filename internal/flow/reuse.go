package flow

import (
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/reuse"
)

// recall looks for an earlier answer before the request waits for anything: one from
// memory needs no engine, and one that is under way needs none more.
func (p *Policy) recall(t *Ticket, s *fleet.Snapshot, now time.Time) Action {
	t.Plan = reuse.Decide(t.Model.Reuse, t.Request, &t.Control)
	if t.Plan.Any() {
		var ok bool
		if t.Scope, ok = t.Caller.Scope(t.Model.Reuse.Reach); !ok {
			t.Plan = reuse.Plan{WhyNot: reuse.Nobody}
		}
	}
	switch {
	case t.Plan.Read:
		t.state = looking
		a := Action{Kind: Reuse, Join: t.Plan.Join}
		if t.Plan.Alike {
			a.Draw = t.chance()
		}
		return a
	case t.Plan.Alike:
		t.state = looking
		return p.resemble(t, s, now)
	case p.unkept(t):
		return p.done(t, NotKept(), now)
	}
	return p.admit(t, s, now)
}

// unkept reports whether only an earlier answer is wanted, and none is there. Of vectors
// that is known once it is known which engine would make them.
func (p *Policy) unkept(t *Ticket) bool {
	return t.Control.OnlyIfCached() && (t.Request.Dialect != inference.Embeddings || !reuse.Vectors(t.Model.Reuse, t.Request.Bytes, &t.Control).Read)
}

// NotKept is the fault of a request that wants an earlier answer or none (RFC 9111,
// section 5.2.1.7).
func NotKept() *fault.Error {
	return fault.New(fault.NotCached, "only-if-cached asks for an answer that is kept, and none is; leave it out to have one made")
}

// recalled takes what came of the look for an earlier answer.
func (p *Policy) recalled(t *Ticket, ev *Event, s *fleet.Snapshot, now time.Time) Action {
	switch ev.Kind {
	case Reused:
		use := reuse.Judge(t.Model.Reuse, ev.Found, &t.Control, 1-t.chance())
		if use.Give {
			return p.stand(t, ev.Found, use.Renew, now)
		}
		if t.spare = t.spare || use.Spare && ev.Found.Similarity == 0; use.Spare && ev.Found.Similarity == 0 {
			t.found = ev.Found
		}
	case Joined:
		if v := p.Gate.Beside(&t.place, t.Caller); v != fault.None {
			return p.done(t, busy(), now)
		}
		t.state, t.Reuse = joined, JoinedFlight
		return p.follow(t, &Event{}, now)
	default: // Missed
	}
	if t.Plan.Alike && !t.alike {
		return p.resemble(t, s, now)
	}
	if p.unkept(t) {
		return p.done(t, NotKept(), now)
	}
	return p.admit(t, s, now)
}

// resemble has an answer looked for that was made for another question.
func (p *Policy) resemble(t *Ticket, s *fleet.Snapshot, now time.Time) Action {
	t.alike = true
	a := Action{Kind: Resemble, Draw: t.chance()}
	if e := t.Model.Reuse.Embedder; e != nil {
		a.Replica, a.Until = p.consultant(t, &s.Upstreams[e.Upstream], e.Model, now), now.Add(e.Timeout)
	}
	return a
}

// stand ends a request with an earlier answer.
func (p *Policy) stand(t *Ticket, f reuse.Found, renew bool, now time.Time) Action {
	t.Reuse, t.Found = Hit, f
	a := p.done(t, nil, now)
	a.Reused, a.Renew = true, renew
	return a
}

// followed takes what came of the answer to another request.
func (p *Policy) followed(t *Ticket, ev *Event, s *fleet.Snapshot, now time.Time) Action {
	switch ev.Kind {
	case Content:
		t.Committed = true
		ev.Wrote = now
		a := p.follow(t, ev, now)
		a.Kind = Commit
		return a
	case Quiet:
		return p.follow(t, ev, now)
	case Finished:
		t.output = ev.Tokens
		return p.done(t, nil, now)
	case Reused: // the other one came to its end before this one was there
		p.Gate.Leave(&t.place)
		t.Reuse = Miss
		return p.recalled(t, ev, s, now)
	case Missed: // the other one ended without a word of how: it is made anew
		return p.alone(t, s, now)
	case Failed:
		switch {
		case t.Committed, ev.Tried:
			return p.done(t, ev.Fault, now)
		case !reuse.Common(ev.Fault.Kind):
			return p.alone(t, s, now)
		case !ev.Fault.Kind.Info().Another:
			return p.done(t, ev.Fault, now)
		case p.budget():
			t.retrying = true
			p.retries++
			return p.alone(t, s, now)
		}
		t.last = ev.Fault
		p.comeBack(t)
		return p.done(t, t.last, now)
	default: // Step lets no other through
	}
	return p.done(t, fault.Wrap(fault.Internal, internalWords, misstep{t.state, ev.Kind}), now)
}

// alone makes a request whose answer was to be another one's go its own way.
func (p *Policy) alone(t *Ticket, s *fleet.Snapshot, now time.Time) Action {
	p.Gate.Leave(&t.place)
	t.Reuse = Miss
	return p.admit(t, s, now)
}

// follow goes on reading another request's answer, until something has to be told the
// client in the meantime.
func (p *Policy) follow(t *Ticket, ev *Event, now time.Time) Action {
	total := t.Model.Timeouts.Total
	if total > 0 && !now.Before(t.arrived.Add(total)) {
		return p.done(t, fault.New(fault.TotalTimeout, "the answer took longer than the time that this model allows"), now)
	}
	a := Action{Kind: Follow}
	if t.Request.Stream {
		switch speaks := t.Committed || t.Opened; {
		case !speaks && !now.Before(t.arrived.Add(p.Rules.Hold)):
			t.Opened = true
			a.Kind, t.wrote = Open, now
		case speaks && ev.Wrote.After(t.wrote):
			t.wrote = ev.Wrote
		case speaks && !now.Before(t.wrote.Add(p.Rules.KeepAlive)):
			a.Kind, t.wrote = Alive, now
		}
	}
	when := func(from time.Time, d time.Duration) {
		if moment := from.Add(d); d > 0 && (a.Until.IsZero() || moment.Before(a.Until)) {
			a.Until = moment
		}
	}
	when(t.arrived, total)
	if t.Request.Stream {
		if t.Committed || t.Opened {
			when(t.wrote, p.Rules.KeepAlive)
		} else {
			when(t.arrived, p.Rules.Hold)
		}
	}
	return a
}

// ReuseState is what became of the look for an earlier answer.
type ReuseState uint8

// What became of it.
const (
	Bypass       ReuseState = iota // nobody looked
	Miss                           // there was none
	Hit                            // it is given
	JoinedFlight                   // that of a request under way is given
)

func (r ReuseState) String() string { return [...]string{"bypass", "miss", "hit", "joined"}[r] }
