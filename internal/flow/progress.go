package flow

import (
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/health"
	"headworks/internal/inference"
)

// For how long a replica may be silent before it is looked at whether others of its
// pool are, too.
const (
	leastSilence   = 10 * time.Second
	unknownSilence = 30 * time.Second // while its engine is not known well enough
	silenceTimes   = 5                // as long as was foreseen until the first token
	slowest        = 100              // prompt tokens a second of an engine that nothing is known of
)

// Heard notes when a piece of an answer last came from a replica, for whichever
// request. Of first pieces and whole answers flow knows by itself; a driver tells the
// rest before it reports that a request was quiet.
func (p *Policy) Heard(id fleet.ReplicaID, at time.Time) { p.Health.Heard(id, at) }

// bound sets how long the attempt that goes to a replica now may be silent.
func (p *Policy) bound(t *Ticket, u *fleet.Upstream, todo int) {
	t.silence, t.looked = 0, time.Time{}
	switch {
	case len(u.Replicas) < 2, u.Away, t.Request.Dialect.Operation() != inference.Chat:
		return
	case !t.Request.Stream: // its first byte may be its last
		t.silence = leastSilence
		return
	}
	id := t.Replica.ID
	expected := silenceTimes * t.expected
	if p.view(id, u).of.known.Trusted() {
		t.silence = max(leastSilence, expected)
		return
	}
	read := time.Duration(todo+p.Load(id).Prefill) * time.Second / slowest
	t.silence = max(unknownSilence, expected, read)
}

// glances returns when to look next whether the attempt under way is stuck, of what ev
// tells; zero if it is not looked.
func (t *Ticket) glances(ev Event) time.Time {
	switch {
	case t.silence == 0 || t.state == committed || t.speaks():
		return time.Time{}
	case !t.Request.Stream && !ev.Progress.IsZero():
		return time.Time{}
	}
	next := t.sign(ev).Add(t.silence)
	if again := t.looked.Add(t.silence / 2); again.After(next) {
		next = again
	}
	return next
}

// sign returns when the upstream last gave a sign of the attempt under way, or got it.
func (t *Ticket) sign(ev Event) time.Time {
	if ev.Progress.After(t.sent) {
		return ev.Progress
	}
	return t.sent
}

// stuck reports whether the attempt under way is better off elsewhere: its replica
// gave nobody a sign for too long, while others of its pool did. The replica is put out
// then. A request leaves once for that, and only where somebody else can have it.
func (p *Policy) stuck(t *Ticket, ev Event, s *fleet.Snapshot, now time.Time) bool {
	if at := t.glances(ev); at.IsZero() || now.Before(at) {
		return false
	}
	t.looked = now
	id := t.Replica.ID
	if t.Request.Stream {
		p.suspect(t, t.sign(ev), now)
		if !p.Health.Silent(id, t.pool, t.sign(ev)) {
			return false
		}
	} else if !p.Health.IsStuck(id, t.sent) {
		return false
	}
	switch {
	case t.left || t.spent || !p.another(t, s, now):
		return false
	case p.Health.Of(id, t.Target.Model, now).In() || t.moved:
		if !t.retrying && !p.budget() {
			return false
		}
	}
	t.left = true
	return true
}

// suspect puts the replica of the attempt under way out, if nothing came from it since
// the sign, while something did from others of its pool.
func (p *Policy) suspect(t *Ticket, sign, now time.Time) {
	if now.Sub(sign) < leastSilence || t.Target.Away || !p.Health.Silent(t.Replica.ID, t.pool, sign) {
		return
	}
	pool := t.pool
	if p.elsewhere(t, now) {
		pool = nil
	}
	p.Health.Suspect(t.Replica.ID, pool, health.Stuck, now, float64(t.src.Uint64()>>11)/(1<<53))
}

// another reports whether a replica is available for one more try.
func (p *Policy) another(t *Ticket, s *fleet.Snapshot, now time.Time) bool {
	if t.Tries == MaxAttempts {
		return false
	}
	for i, stop := range t.stops[:t.stopped] {
		if t.gone>>i&1 != 0 || int(t.used[stop.place]) >= max(t.Model.Tries, 1) {
			continue
		}
		target := &t.Model.Targets[stop.place]
		u := &s.Upstreams[target.Upstream]
		t.board = board{policy: p, ticket: t, upstream: u, model: target.Model, now: now, only: stop.only}
		for k := range u.Replicas {
			if u.Replicas[k].ID != t.Replica.ID && t.board.Standing(&u.Replicas[k]).Why == "" {
				return true
			}
		}
	}
	return false
}

func noProgress(t *Ticket, now time.Time) *fault.Error {
	return fault.New(fault.NoProgress, "the upstream gave no sign for "+now.Sub(t.sent).Round(time.Second).String()+", while others like it answered")
}
