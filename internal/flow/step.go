package flow

import (
	"cmp"
	"slices"
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/health"
	"headworks/internal/lora"
	"headworks/internal/reuse"
	"headworks/internal/route"
	"headworks/internal/schedule"
)

// Step returns what to do next for t after ev, seeing the fleet s at now. A
// request sees one fleet from its first step to its last, and every request that
// was begun is brought to Done, or its places stay taken.
//
//	state      arrived  entered  content  unseen  quiet              finished  failed           left, drained
//	fresh      reuse,   -        -        -       -                  -         -                done
//	           queue,
//	           send, done
//	looking    -        -        -        -       -                  -         -                done
//	joined     -        -        commit   -       follow, open,      done      queue, send,     done
//	                                              alive, done                  done
//	queued     -        send     -        -       done (overloaded)  -         -                done
//	held       -        -        commit   read    read, open, retry  done      retry, done      done
//	opened     -        -        commit   read    alive, retry       done      retry, done      done
//	committed  -        -        read     -       read, alive, done  done      done             done
//	ended      ignore   ignore   ignore   ignore  ignore             ignore    ignore           ignore
//
// Reused, missed and joined, while looking, lead to done, to queue or send, and to follow;
// reused and missed, while joined, to done, and to queue or send. Where documents are to be searched, arrived and
// entered lead to retrieve, and retrieved goes on as they would, or is done. Where the model
// has a classifier, they lead to classify, and classified to send. Passed, while held or
// opened, leads to judge, or gives the answer; doubted,
// and judged with a no, send to the next target of the cascade, or give the answer as it
// is: commit, done. Where none comes behind a doubted answer that is kept, done gives that
// one. Where the table has "-" the driver is at fault, and the request is
// done with fault.Internal. Retry stands for send, or done where no other try can help.
func (p *Policy) Step(t *Ticket, ev Event, s *fleet.Snapshot, now time.Time) Action {
	if t.state == ended {
		return Action{Kind: Ignore}
	}
	if ev.Kind == Failed && ev.Fault == nil { // or the answer would pass for whole
		ev.Fault = fault.Wrap(fault.Internal, internalWords, misstep{t.state, ev.Kind})
	}
	if t.spent = t.spent || !ev.Sent.IsZero(); ev.Sent.After(t.sent) {
		t.sent = ev.Sent // the upstream's time begins when it has the whole
	}
	if ev.Kind == Finished && !ev.Unsent {
		p.learnWhole(t, &ev, now)
	}
	judged := p.recess(t, now)
	if !ev.Kept {
		t.kept = kept{}
	}
	switch ev.Kind {
	case Left:
		return p.done(t, fault.New(fault.ClientClosed, "the client closed the connection"), now)
	case Drained:
		return p.done(t, fault.New(fault.Draining, "this server is shutting down; send the request again"), now)
	}
	switch t.state {
	case fresh:
		if ev.Kind == Arrived {
			return p.arrive(t, s, now)
		}
	case looking:
		switch ev.Kind {
		case Reused, Missed, Joined:
			t.Reuse = Miss
			return p.recalled(t, &ev, s, now)
		}
	case joined:
		switch ev.Kind {
		case Reused, Content, Quiet, Finished, Missed, Failed:
			return p.followed(t, &ev, s, now)
		}
	case queued:
		switch ev.Kind {
		case Entered:
			t.Waited = now.Sub(t.arrived)
			if f := p.owed(now); f != nil {
				return p.done(t, f, now)
			}
			return p.enter(t, s, now)
		case Quiet:
			t.Waited = now.Sub(t.arrived)
			return p.done(t, p.overloaded("waited too long for a place"), now)
		}
	case seeking:
		if ev.Kind == Retrieved {
			return p.sought(t, &ev, s, now)
		}
	case asking:
		if ev.Kind == Classified {
			return p.classified(t, &ev, s, now)
		}
	case held, opened:
		if t.reading && (ev.Kind == Content || ev.Kind == Unseen) {
			break
		}
		switch ev.Kind {
		case Content:
			p.passes(t, ev.Doubt)
			t.state, t.Committed = committed, true
			p.began(t, now)
			return Action{Kind: Commit, Until: p.until(t, now, Event{Progress: now, Said: now, Wrote: now})}
		case Unseen:
			p.began(t, now)
			return Action{Kind: Read, Until: p.until(t, now, Event{Progress: now, Said: now})}
		case Quiet:
			return p.quiet(t, ev, s, now)
		case Finished:
			if t.reading {
				return p.read(t, ev.Handed, s, now)
			}
			p.passes(t, "")
			return p.finished(t, ev, now)
		case Doubted:
			if t.verify && !t.reading {
				return p.doubted(t, ev, s, now)
			}
		case Passed:
			if t.verify && !t.reading {
				return p.judge(t, ev, now)
			}
		case Judged:
			if judged {
				return p.judged(t, ev, s, now)
			}
		case Failed:
			return p.failed(t, ev.Fault, s, now)
		}
	case committed:
		switch ev.Kind {
		case Content:
			return Action{Kind: Read, Until: p.until(t, now, Event{Progress: now, Said: now, Wrote: now})}
		case Quiet:
			return p.quiet(t, ev, s, now)
		case Finished:
			return p.finished(t, ev, now)
		case Failed:
			return p.done(t, ev.Fault, now)
		}
	}
	return p.done(t, fault.Wrap(fault.Internal, internalWords, misstep{t.state, ev.Kind}), now)
}

// finished ends a request whose answer is whole.
func (p *Policy) finished(t *Ticket, ev Event, now time.Time) Action {
	t.output = ev.Tokens
	if t.unsent = ev.Unsent; t.unsent {
		t.Attempts[t.Tries-1].Free = true
	}
	p.ended(t, ev.Tokens, now)
	return p.done(t, nil, now)
}

const internalWords = "something went wrong inside Headworks; the request id finds it in the log"

// misstep is an event that cannot happen in a state.
type misstep struct {
	state state
	event EventKind
}

func (m misstep) Error() string { return "event " + m.event.String() + " while " + m.state.String() }

func (p *Policy) arrive(t *Ticket, s *fleet.Snapshot, now time.Time) Action {
	t.arrived = now
	m, ok := model(t, s)
	if t.Copy {
		m, ok = s.Model(t.Request.Model)
	}
	if !ok {
		f := fault.New(fault.ModelNotFound, "no such model, or this key may not use it; GET /v1/models lists what it may")
		f.Param = "model"
		return p.done(t, f, now)
	}
	t.Model = m
	if t.Copy {
		return p.copy(t, s, now)
	}
	if t.Caller.Cell != "" {
		if f := p.turnAway(t, s, now); f != nil {
			return p.done(t, f, now)
		}
	}
	t.Shadowed = shadowed(t)
	return p.recall(t, s, now)
}

// admit lets a request in that needs an answer of its own, or has it wait.
func (p *Policy) admit(t *Ticket, s *fleet.Snapshot, now time.Time) Action {
	t.state = fresh
	v := p.Gate.Enter(&t.place, t.Caller)
	switch {
	case v.Wait:
		t.state = queued
		return Action{Kind: Queue, Until: now.Add(p.Rules.QueueWait)}
	case v.Fault == fault.Concurrency:
		return p.done(t, busy(), now)
	case v.Fault != fault.None:
		return p.done(t, p.overloaded("the queue is full"), now)
	}
	if f := p.owed(now); f != nil {
		return p.done(t, f, now)
	}
	return p.enter(t, s, now)
}

func busy() *fault.Error {
	f := fault.New(fault.Concurrency, "this key has as many requests running as it may; wait for one to end")
	f.After = time.Second
	return f
}

// owed returns why no work may begin: what it costs could not be written down. It
// returns nil for the request that finds out.
func (p *Policy) owed(now time.Time) *fault.Error {
	switch {
	case p.unpaid.IsZero():
		return nil
	case !now.Before(p.unpaid):
		p.unpaid = now.Add(findOut)
		return nil
	}
	f := fault.New(fault.BudgetUnavailable, "what an answer costs cannot be written down now, so none is begun; whoever runs Headworks finds the reason in the log")
	f.After, f.Again = p.unpaid.Sub(now), true // nothing was sent
	return f
}

// model returns what a request asks for: a model by name, several of which the
// first that can shall serve it, or whichever suits.
func model(t *Ticket, s *fleet.Snapshot) (*fleet.Model, bool) {
	name := t.Request.Model
	m, ok := s.Model(name)
	switch {
	case !ok && name == fleet.Auto:
		m, ok = s.Auto(t.Caller.May)
	case ok:
		ok = t.Caller.May(name)
	}
	if len(t.Request.Models) == 0 {
		return m, ok
	}
	var models []*fleet.Model
	if ok {
		models = append(models, m)
	}
	for _, other := range t.Request.Models {
		if m, ok := s.Model(other); ok && other != name && t.Caller.May(other) {
			models = append(models, m)
		}
	}
	switch len(models) {
	case 0:
		return nil, false
	case 1:
		return models[0], true
	}
	return fleet.Join(models[0].Name, models), true
}

func (p *Policy) overloaded(words string) *fault.Error {
	f := fault.New(fault.Overloaded, "Headworks is overloaded: "+words+"; send the request again a little later")
	f.After = time.Second
	return f
}

// pass is one look at the targets, each less choosy than the one before.
type pass uint8

const (
	punctual  pass = iota // those that are not predicted to miss the objective
	available             // those that are available
	filled                // cells that have no room, as far as anybody knows, too
	resort                // those that are out, too
)

// send chooses a target and a replica, or ends the request where there is none.
func (p *Policy) send(t *Ticket, s *fleet.Snapshot, now time.Time) Action {
	p.expire(now)
	if t.Order.N == 0 {
		t.Order = route.Pick(t.Model, p.wants(t, s, now), &t.src)
		p.away(t, s, now)
		p.cascades(t)
		p.vary(t, s, now)
		if t.Order.N == 0 {
			t.leaveOut()
			return p.done(t, unfit(t), now)
		}
		p.near(t, s, now)
	}
	if t.Tries == MaxAttempts {
		return p.giveUp(t, "out of attempts", now)
	}
	// The other targets are worth knowing too, and a pool can be large.
	room := max(MaxCandidates-len(t.Model.Targets), fewestFound)
	late := time.Duration(0) // when the soonest of those who would be late would begin
	for _, pass := range [...]pass{punctual, available, filled, resort} {
		if pass == punctual && t.Aim.TTFT <= 0 || pass >= filled && t.Copy || pass == filled && !p.refuge(t, s) {
			continue
		}
		t.Considered = 0
		for i, stop := range t.stops[:t.stopped] {
			if t.gone>>i&1 != 0 && pass != resort {
				continue
			}
			place := stop.place
			target := &t.Model.Targets[place]
			if int(t.used[place]) >= max(t.Model.Tries, 1) {
				t.consider(Candidate{Target: target, WhyNot: t.tried(place)})
				continue
			}
			if t.Copy && target.Away {
				t.consider(Candidate{Target: target, WhyNot: staysHere})
				continue
			}
			u := &s.Upstreams[target.Upstream]
			pool := u.Replicas
			if len(pool) == 0 {
				t.consider(Candidate{Target: target, WhyNot: NoneFound})
				continue
			}
			t.board = board{policy: p, ticket: t, upstream: u, model: target.Model, now: now, only: stop.only, filled: pass >= filled}
			ask := p.ask(t, u, target)
			if pass == punctual {
				p.punctual(t, u, ask)
			}
			if target.Adapter != "" && len(pool) > 1 && pass != resort {
				t.board.rank = p.adapt(&t.board, u, target)
				t.board.adapter = target.Adapter
			}
			var found [MaxCandidates - 1]schedule.Candidate
			choice, n := p.picker.Pick(u.Schedule, pool, &t.board, ask, &t.src, found[:room])
			won := choice.Place >= 0 && (pass == resort || choice.Why != schedule.Resort)
			for _, c := range found[:n] {
				whyNot := c.WhyNot
				if whyNot == apart {
					continue
				}
				if !won && whyNot == schedule.Won {
					whyNot = "out; kept as the last resort"
				}
				t.consider(Candidate{
					Target: target, Replica: &pool[c.Place], Score: c.Score, Hit: c.Hit, WhyNot: whyNot,
					Won: won && c.Place == choice.Place,
				})
			}
			if !won {
				if soonest := p.soonest(t, u, ask); soonest > 0 && (late == 0 || soonest < late) {
					late = soonest
				}
				continue
			}
			for _, later := range t.stops[i+1 : t.stopped] {
				whyNot := later.whyNot()
				if t.Model.Targets[later.place].Away {
					whyNot = cmp.Or(p.closed(t, later.place, s), whyNot)
				}
				t.consider(Candidate{Target: &t.Model.Targets[later.place], WhyNot: whyNot})
			}
			t.leaveOut()
			t.choice, t.pool, t.fleet, t.at = place, pool, s, i
			if t.owed {
				t.miss(now)
			}
			if a, ok := p.readElsewhere(t, target, u, &pool[choice.Place], choice, now); ok {
				return a
			}
			if t.board.adapter != "" && t.board.rank == lora.Held {
				choice.Why = Loaded
			}
			if target.Away && p.shut(pool[choice.Place].ID, target.Model) == CellFull {
				choice.Why = Crowded
			}
			p.sent(t, u, target, choice)
			return p.sendTo(t, target, &pool[choice.Place], choice, i == 0, now)
		}
		if pass == punctual && late > 0 && t.Model.RefuseLate && t.Tries == 0 {
			t.leaveOut()
			return p.late(t, late, now)
		}
	}
	t.leaveOut()
	return p.giveUp(t, "no replica is left", now)
}

// fewestFound is for how many replicas of a pool there is room in any case.
const fewestFound = 4

// leaveOut notes the targets that cannot serve the request, behind all others.
func (t *Ticket) leaveOut() {
	for place, why := range t.Order.Left[:min(len(t.Model.Targets), route.MaxTargets)] {
		if why != "" {
			t.consider(Candidate{Target: &t.Model.Targets[place], WhyNot: why})
		}
	}
}

// unfit says why no target of the model can serve the request.
func unfit(t *Ticket) *fault.Error {
	if out(t) {
		return Outside()
	}
	if slices.Contains(t.Order.Left[:], Farther) || slices.Contains(t.Order.Left[:], BuiltIn) {
		return fault.New(fault.NoReplica, "nothing in this cell can serve the request, and it came from another one already")
	}
	if slices.Contains(t.Order.Left[:], route.TooLong) {
		f := fault.New(fault.ContextTooLong, "the prompt and max_tokens do not fit the window of any target of this model")
		f.Param = t.Request.Dialect.Prompt()
		return f
	}
	for _, why := range t.Order.Left {
		if a, ok := route.Lacks(why); ok {
			f := fault.New(fault.Unsupported, "no target of this model can do what the request needs: "+a.String()+"; GET /v1/models tells what each model can do")
			f.Param = "model"
			return f
		}
	}
	f := fault.New(fault.Unsupported, "no upstream of this model serves "+t.Request.Dialect.Operation().String()+" requests of this kind; GET /v1/models tells what each model can do")
	f.Param = "model"
	return f
}

func (p *Policy) sendTo(t *Ticket, target *fleet.Target, r *fleet.Replica, choice schedule.Choice, first bool, now time.Time) Action {
	why := choice.Why
	if _, calm := p.Health.Calm(r.ID, now); !calm && p.Health.Of(r.ID, target.Model, now).Probe {
		why = "half open: this request finds out"
	}
	t.Target, t.Replica = target, r
	t.Why = t.Order.Why
	if t.drawn && !t.Order.Judged {
		t.Why = t.Locality
	}
	switch {
	case t.Tries == 0 && choice.Why == schedule.Resort:
		t.Why = route.Last
	case first:
	case t.Tries == 0:
		t.Why = route.Stands
	case t.Attempts[t.Tries-1].Doubt != "":
		t.Why = route.Escalated
	default:
		t.Why = route.FellBack
	}
	t.Attempts[t.Tries] = Attempt{Target: target, Replica: r, Start: now, Why: why}
	t.Tries++
	t.used[t.choice]++
	t.verify = t.verifies()
	u := &t.fleet.Upstreams[target.Upstream]
	room := choice.Todo + p.asked.Output
	if t.handed { // it takes the room, and need not be read
		choice.Todo = 0
	}
	p.predict(t, u, r.ID, choice.Todo, now)
	p.bound(t, u, choice.Todo)
	p.take(t, r.ID, Load{Requests: 1, Prefill: choice.Todo, KV: room})
	if !t.Copy {
		p.Health.Sent(r.ID, now)
	}
	t.sent, t.began = now, time.Time{}
	t.Hit = choice.Hit
	if t.state = held; t.Opened {
		t.state = opened
	}
	return Action{Kind: Send, Target: target, Replica: r, Verify: t.verify, Handed: t.handed, Until: p.until(t, now, Event{})}
}

// consider notes a candidate. Where there is no room, the winner still gets in,
// since it says why the request went where it went.
func (t *Ticket) consider(c Candidate) {
	if t.Considered == MaxCandidates {
		if !c.Won {
			return
		}
		t.Considered--
	}
	t.Candidates[t.Considered] = c
	t.Considered++
}

// failed learns from a failed attempt and tries again where that may help. The
// client has no content yet.
func (p *Policy) failed(t *Ticket, f *fault.Error, s *fleet.Snapshot, now time.Time) Action {
	if t.reading {
		return p.unread(t, f, s, now)
	}
	t.handed, t.alone = false, t.alone || t.handed // what was read is gone with who fetched it
	t.last = f
	out := p.settle(t, f, now)
	if t.Copy {
		return p.done(t, f, now)
	}
	if t.spent {
		if f.Kind.Info().Another && p.untried(t, s, now) {
			p.comeBack(t)
		}
		return p.giveUp(t, "the body was sent on as it came, and is not there a second time", now)
	}
	a := &t.Attempts[t.Tries-1]
	if free(f.Kind) {
		a.Free = true
		t.used[t.choice]--
		if t.deserted() {
			t.leave(true)
		}
		return p.send(t, s, now)
	}
	switch {
	case !f.Kind.Info().Another:
		t.Left = "another try cannot help"
		return p.done(t, f, now)
	case f.Kind == fault.ContextTooLong, f.Kind == fault.Unsupported:
		t.used[t.choice] = noMore // all replicas of a target have its window, and speak its dialects
		return p.send(t, s, now)
	case f.Kind == fault.UpstreamCapacity, f.Kind == fault.UpstreamAuth, f.Kind == fault.UpstreamForbidden:
		// The engine turned the work away, so sending it elsewhere doubles nothing, and
		// each of several credentials gets its chance.
		if p.otherKey(t, s, now) {
			t.used[t.choice]--
		}
		return p.send(t, s, now)
	case (out || t.Target.Away && p.gone(t, time.Time{})) && !t.moved:
		t.moved = true // failover: whoever is down does no work twice
		return p.send(t, s, now)
	case f.Kind == fault.Interrupted && t.gone == 0 && t.leave(true):
		// Who lost the connection works no longer for it; a region may be lost with all
		// that was in it.
		return p.send(t, s, now)
	case f.Kind == fault.Interrupted && !t.moved && p.refuge(t, s):
		t.moved = true // all engines here may be lost
		return p.send(t, s, now)
	case t.retrying || p.budget():
		t.leave(cutOff(f.Kind))
		if !t.retrying {
			t.retrying = true
			p.retries++
		}
		return p.send(t, s, now)
	case !p.untried(t, s, now):
		return p.giveUp(t, "no replica is left", now)
	default:
		p.comeBack(t)
		return p.giveUp(t, "the retry budget is spent", now)
	}
}

// comeBack tells the client that it may have what we may not: another try, a little
// later.
func (p *Policy) comeBack(t *Ticket) {
	told := *t.last // the driver's fault stays as it was
	told.Again, told.After = true, time.Second
	t.last = &told
}

// untried reports whether a replica is available that the request has not met.
func (p *Policy) untried(t *Ticket, s *fleet.Snapshot, now time.Time) bool {
	for _, place := range t.Order.Targets[:t.Order.N] {
		target := &t.Model.Targets[place]
		u := &s.Upstreams[target.Upstream]
		t.board = board{policy: p, ticket: t, upstream: u, model: target.Model, now: now, filled: true}
		pool := u.Replicas
		for i := range pool {
			if t.board.Standing(&pool[i]).Why == "" {
				return true
			}
		}
	}
	return false
}

// otherKey reports whether the target that was asked last has another credential that
// may serve. The last attempt is left for another target, if there is one.
func (p *Policy) otherKey(t *Ticket, s *fleet.Snapshot, now time.Time) bool {
	if t.Order.N > 1 && t.Tries >= MaxAttempts-1 {
		return false
	}
	u := &s.Upstreams[t.Target.Upstream]
	t.board = board{policy: p, ticket: t, upstream: u, model: t.Target.Model, now: now}
	return slices.ContainsFunc(u.Replicas, func(r fleet.Replica) bool {
		met := slices.ContainsFunc(t.Attempts[:t.Tries], func(a Attempt) bool {
			return a.Replica.Upstream == t.Target.Upstream && a.Replica.Key == r.Key
		})
		return !met && t.board.Standing(&r).Why == ""
	})
}

// free reports whether the engine never got the work, so that the attempt is no
// try.
func free(k fault.Kind) bool { return k == fault.Connect }

// budget reports whether one more second try may start: at most a share of what
// is inside, and a few in any case.
func (p *Policy) budget() bool {
	inside := p.Gate.InFlight() + p.Gate.Waiting()
	return p.retries < max(p.Rules.RetryFloor, int(p.Rules.RetryShare*float64(inside)))
}

// settle closes the attempt under way, if there is one, and lets health learn
// from it. It reports whether the replica is out now.
func (p *Policy) settle(t *Ticket, f *fault.Error, now time.Time) bool {
	if t.lastAt == fleet.NoReplica {
		return false
	}
	if t.reading {
		p.settleRead(t, f, now)
		return false
	}
	id := t.lastAt
	p.learnWhole(t, &Event{}, now)
	p.give(t)
	a := &t.Attempts[t.Tries-1]
	a.End = now
	if t.trial != nil {
		t.tell(f, now)
	}
	if t.Copy { // what it meets counts for nobody
		if f != nil {
			a.Fault = f.Kind
		}
		return false
	}
	if f == nil && t.unsent { // it told nothing of the replica
		p.Health.Spared(id, t.sent)
		return false
	}
	if f == nil {
		p.Health.Passed(id, t.Target.Model, t.sent, now)
		p.Heard(id, now)
		return false
	}
	a.Fault = f.Kind
	if f.Kind.Info().Effect == fault.Down {
		p.lost(t, id)
	}
	switch {
	case f.Kind == fault.ClientClosed:
		p.gaveUp(t, now)
		return false
	case f.Kind.Info().Effect == fault.NoEffect, f.Kind == fault.UpstreamCapacity && t.Target.Away:
		// Another cell has no room for this request, or this caller: of the next one it says
		// so itself.
		p.Health.Spared(id, t.sent)
		return false
	}
	return p.Health.Failed(id, t.Target.Model, p.spares(t, now), f, t.sent, now, t.chance())
}

// elsewhere reports whether another upstream of the model can serve it now. Then
// an upstream may be out whole, or each request would meet it first and only
// those within the retry budget would be moved.
func (p *Policy) elsewhere(t *Ticket, now time.Time) bool {
	for _, place := range t.Order.Targets[:t.Order.N] {
		other := &t.Model.Targets[place]
		if other.Upstream == t.Target.Upstream {
			continue
		}
		for _, r := range t.fleet.Upstreams[other.Upstream].Replicas {
			if t.Caller.Residency.Allows(r.Place.Region) && p.Health.Of(r.ID, other.Model, now).In() && (!other.Away || p.roomy(r.ID, other.Model)) {
				return true
			}
		}
	}
	return false
}

// done ends the request and gives back all that it holds.
func (p *Policy) done(t *Ticket, f *fault.Error, now time.Time) Action {
	p.settle(t, f, now)
	p.unseek(t)
	p.dismiss(t)
	if t.state == queued {
		t.Waited = now.Sub(t.arrived)
	}
	t.state = ended
	if t.retrying {
		t.retrying = false
		p.retries--
	}
	a := Action{Kind: Done, Fault: f}
	switch {
	case f == nil:
	case t.giveKept(f.Kind):
		a.Fault, a.Kept = nil, true
	case t.spare && !t.Committed && reuse.Spares(f.Kind):
		t.Reuse, t.Found, t.Stale = Hit, t.found, true
		a.Fault, a.Reused = nil, true
	}
	if next := p.Gate.Leave(&t.place); next != nil {
		a.Wake = next.Of
	}
	return a
}

// giveUp ends a request that no replica can be found for, with the last failure
// or, where nothing was tried, with what keeps the replicas away.
func (p *Policy) giveUp(t *Ticket, why string, now time.Time) Action {
	t.Left = why
	f := t.last
	if f == nil {
		f = p.nobody(t, now)
	}
	if f.Kind == fault.UpstreamCapacity {
		told := *f // the driver's fault stays as it was
		told.After = cmp.Or(p.wait(t, now), min(f.After, p.Rules.MaxClientTry))
		f = &told
	}
	return p.done(t, f, now)
}

func (p *Policy) nobody(t *Ticket, now time.Time) *fault.Error {
	kind, drained := fault.NoReplica, false
	for i := range t.Candidates[:t.Considered] {
		switch t.Candidates[i].WhyNot {
		case health.Drained:
			drained = true
		case health.Cooling:
			kind = fault.UpstreamCapacity
		case health.Credential:
			if kind == fault.NoReplica {
				kind = fault.UpstreamAuth
			}
		}
	}
	switch kind {
	case fault.UpstreamCapacity:
		return fault.New(kind, "every upstream of this model asks to wait; send the request again after the given time")
	case fault.UpstreamAuth:
		return fault.New(kind, "the upstream refused Headworks' credential; whoever runs Headworks can mend it")
	default:
		f := fault.New(kind, "no upstream of this model can be reached now")
		if drained {
			f.Words = "what serves this model was taken out of service for a while, and nothing else can be reached now"
		}
		f.After = time.Second
		return f
	}
}

// wait returns how long a client should stay away from upstreams that asked for
// it: the largest time that clients obey, or the shortest beyond that.
func (p *Policy) wait(t *Ticket, now time.Time) time.Duration {
	var safe, beyond time.Duration
	for i := range t.Candidates[:t.Considered] {
		c := &t.Candidates[i]
		if c.Replica == nil {
			continue
		}
		st := p.Health.Of(c.Replica.ID, c.Target.Model, now)
		if st.Why != health.Cooling {
			continue
		}
		switch d := st.Until.Sub(now); {
		case d <= p.Rules.MaxClientTry:
			safe = max(safe, d)
		case beyond == 0 || d < beyond:
			beyond = d
		}
	}
	if safe > 0 {
		return safe
	}
	return beyond
}

// quiet decides what it means that nothing happened until the moment that was
// asked for.
func (p *Policy) quiet(t *Ticket, ev Event, s *fleet.Snapshot, now time.Time) Action {
	to := &t.Model.Timeouts
	if to.Total > 0 && !now.Before(t.arrived.Add(to.Total)) {
		t.Left = "the time for the whole answer is over"
		kind := fault.TotalTimeout
		if t.Tries == 1 && t.state != committed && ev.Progress.IsZero() {
			kind = fault.FirstTokenTimeout // it had all the time, and gave no sign
			p.suspect(t, t.sent, now)
		}
		return p.done(t, fault.New(kind, "the answer took longer than the time that this model allows"), now)
	}
	switch {
	case t.Target.Away && p.gone(t, ev.Progress):
		return p.failed(t, fault.New(fault.Interrupted, "the cell that was to answer was lost"), s, now)
	case t.state == committed || t.speaks() || !t.Request.Stream && !ev.Progress.IsZero():
		if p.silent(t, now, ev) {
			p.suspect(t, t.sign(ev), now)
			f := fault.New(fault.Stalled, "the upstream fell silent in the middle of the answer")
			if t.state == committed {
				return p.done(t, f, now)
			}
			return p.failed(t, f, s, now)
		}
	case p.stuck(t, ev, s, now):
		return p.failed(t, noProgress(t, now), s, now)
	case to.FirstToken > 0 && (t.Request.Stream || to.FirstTokenSet) && !now.Before(t.sent.Add(to.FirstToken)):
		p.suspect(t, t.sign(ev), now)
		return p.failed(t, fault.New(fault.FirstTokenTimeout, "the upstream did not begin its answer in time"), s, now)
	}
	a := Action{Kind: Read}
	if t.Request.Stream {
		switch {
		case t.state == held && !now.Before(t.asked().Add(p.Rules.Hold)):
			t.state, t.Opened = opened, true
			a.Kind, ev.Wrote, t.wrote = Open, now, now
		case t.state != held && !now.Before(ev.Wrote.Add(p.Rules.KeepAlive)):
			a.Kind, ev.Wrote, t.wrote = Alive, now, now
		}
	}
	a.Until = p.until(t, now, ev)
	return a
}

// asked returns when the client began to wait: while its body is sent on as it comes,
// it sends.
func (t *Ticket) asked() time.Time {
	if t.spent {
		return t.sent
	}
	return t.arrived
}

// patience is how many times as long as silence an upstream may give signs and
// say nothing: some think or search unseen within an answer, and some only ping.
const patience = 4

// silent reports whether the upstream fell silent in the middle of an answer.
func (p *Policy) silent(t *Ticket, now time.Time, ev Event) bool {
	idle := t.Model.Timeouts.Idle
	return idle > 0 && (!now.Before(ev.Progress.Add(idle)) ||
		(t.state == committed || t.speaks()) && !now.Before(ev.Said.Add(patience*idle)))
}

// until returns when to look again if nothing happens, of what ev tells: the
// first of all that waits for its moment.
func (p *Policy) until(t *Ticket, now time.Time, ev Event) time.Time {
	to := &t.Model.Timeouts
	var first time.Time
	when := func(moment time.Time) {
		if moment.Before(now) { // a late driver looks at once
			moment = now
		}
		if first.IsZero() || moment.Before(first) {
			first = moment
		}
	}
	at := func(from time.Time, d time.Duration) {
		if d > 0 {
			when(from.Add(d))
		}
	}
	at(t.arrived, to.Total)
	if t.Target.Away && t.state != committed {
		at(now, glance)
	}
	if moment := t.glances(ev); !moment.IsZero() {
		when(moment)
	}
	if !t.Request.Stream {
		if ev.Progress.IsZero() {
			if to.FirstTokenSet {
				at(t.sent, to.FirstToken)
			}
			ev.Progress = now // the first byte may come any time from now on
		}
		at(ev.Progress, to.Idle)
		return first
	}
	if t.state == committed || t.speaks() {
		at(ev.Progress, to.Idle)
		at(ev.Said, patience*to.Idle)
	} else {
		at(t.sent, to.FirstToken)
	}
	switch t.state {
	case committed:
		at(ev.Wrote, p.Rules.KeepAlive)
	case opened:
		if ev.Wrote.IsZero() {
			ev.Wrote = t.wrote // nothing but keep-alives was sent since
		}
		at(ev.Wrote, p.Rules.KeepAlive)
	default:
		at(t.asked(), p.Rules.Hold)
	}
	return first
}
