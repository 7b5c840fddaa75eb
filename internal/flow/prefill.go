package flow

import (
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/schedule"
)

// Why an attempt is made at a replica of the pool that reads prompts.
const ReadsFor = "reads the prompt for another replica"

// What it takes to hand a prompt over: one more request, and its KV blocks on their way.
// 5 us a token is 130 KB of a large model over 25 GB/s.
const (
	handOver     = 10 * time.Millisecond
	handOverEach = 5 * time.Microsecond
)

// readElsewhere returns the send to a replica that reads the prompt for the one that
// was chosen to answer, if there is one and the answer would begin sooner for it: what
// waits there and the handing over take less than what waits here, and those who are
// being answered here would wait for the prompt as well.
func (p *Policy) readElsewhere(t *Ticket, target *fleet.Target, u *fleet.Upstream, r *fleet.Replica, choice schedule.Choice, now time.Time) (Action, bool) {
	req := t.Request
	if u.Prefill == 0 || t.handed || t.alone || t.spent || t.Tries > MaxAttempts-2 ||
		req.Dialect.Operation() != inference.Chat || req.Opaque || req.N > 1 || req.Prompts > 1 {
		return Action{}, false
	}
	from := &t.fleet.Upstreams[u.Prefill-1]
	if len(from.Replicas) == 0 {
		return Action{}, false
	}
	here := p.InFlight(r.ID)
	todo := choice.Todo
	if choice.Todo == 0 && choice.Hit == 0 { // not every schedule looks at the prompt
		todo = req.Input
	}
	each := p.tokenTime(u, unknownRate)
	local := time.Duration(here.Prefill+todo) * each
	if here.Requests > 0 {
		local += time.Duration(todo) * each
	}
	was := t.board
	t.board = board{policy: p, ticket: t, upstream: from, model: target.Model, now: now}
	var found [fewestFound]schedule.Candidate
	got, _ := p.picker.Pick(from.Schedule, from.Replicas, &t.board, p.ask(t, from, target), &t.src, found[:])
	t.board = was
	if got.Place < 0 || got.Why == schedule.Resort {
		return Action{}, false
	}
	reader := &from.Replicas[got.Place]
	if got.Todo == 0 && got.Hit == 0 {
		got.Todo = req.Input
	}
	remote := time.Duration(p.InFlight(reader.ID).Prefill+got.Todo)*p.tokenTime(from, float64(time.Second)/float64(each)) + Transfer(req.Input)
	if remote >= local {
		return Action{}, false
	}
	p.sent(t, from, target, got)
	t.Target, t.Replica = target, reader
	t.Attempts[t.Tries] = Attempt{Target: target, Replica: reader, Start: now, Why: ReadsFor}
	t.Tries++
	t.reading, t.foreseen, t.since = true, false, now
	p.take(t, reader.ID, Load{Requests: 1, Prefill: got.Todo, KV: max(got.Todo, 1)})
	if !t.Copy {
		p.Health.Sent(reader.ID, now)
	}
	t.sent, t.began = now, time.Time{}
	t.silence, t.looked = 0, time.Time{}
	if t.state != opened {
		t.state = held
	}
	return Action{Kind: Send, Target: target, Replica: reader, Prefill: true, Until: p.until(t, now, Event{})}, true
}

// from returns when the work began that the attempt under way does: with its send, or
// with the reading of the prompt that was handed to it.
func (t *Ticket) from() time.Time {
	if t.handed {
		return t.since
	}
	return t.sent
}

// Transfer is what it takes to hand over a prompt of so many tokens.
func Transfer(tokens int) time.Duration { return handOver + time.Duration(tokens)*handOverEach }

// tokenTime is how long a replica of an upstream reads one token of a prompt, at that
// rate unless another one is known.
func (p *Policy) tokenTime(u *fleet.Upstream, rate float64) time.Duration {
	if u.Rate > 0 {
		rate = u.Rate
	}
	if k := p.known(u); k.Trusted() {
		rate = k.Rate
	}
	return time.Duration(float64(time.Second) / rate)
}

// read goes on with a prompt that was read: to whoever answers it.
func (p *Policy) read(t *Ticket, handed bool, s *fleet.Snapshot, now time.Time) Action {
	p.settle(t, nil, now)
	t.handed, t.alone = handed, !handed
	return p.send(t, s, now)
}

// unread goes on without the prompt being read: whoever answers reads it. That is no
// second try, since nobody has answered.
func (p *Policy) unread(t *Ticket, f *fault.Error, s *fleet.Snapshot, now time.Time) Action {
	p.settle(t, f, now)
	t.alone = true
	t.Attempts[t.Tries-1].Free = free(f.Kind)
	return p.send(t, s, now)
}

// settleRead closes the attempt to read a prompt. All of the pool that reads may be out:
// the replicas that answer can read too.
func (p *Policy) settleRead(t *Ticket, f *fault.Error, now time.Time) {
	id, a := t.lastAt, &t.Attempts[t.Tries-1]
	p.give(t)
	t.reading = false
	a.End = now
	if f != nil {
		a.Fault = f.Kind
	}
	switch {
	case t.Copy:
	case f == nil:
		p.Health.Passed(id, t.Target.Model, t.sent, now)
	case f.Kind.Info().Effect == fault.NoEffect:
		p.Health.Spared(id, t.sent)
	default:
		if f.Kind.Info().Effect == fault.Down {
			p.Restarted(t.fleet.Upstreams[a.Replica.Upstream].Name, id)
		}
		p.Health.Failed(id, t.Target.Model, nil, f, t.sent, now, float64(t.src.Uint64()>>11)/(1<<53))
	}
}
