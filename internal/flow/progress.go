package flow

import (
	"cmp"
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
	mostTimes      = 2                // as long as one of as many tokens as may be would take
	slowToken      = 50 * time.Millisecond
	wholeFollow    = 32 // of how many answers an average is
	silentRow      = 3  // requests that wait for whole answers, and hear nothing: then it is not the answer that is long
)

// Heard notes when a piece of an answer last came from a replica, for whichever
// request. Of first pieces and whole answers flow knows by itself; a driver tells the
// rest before it reports that a request was quiet.
func (p *Policy) Heard(id fleet.ReplicaID, at time.Time) { p.Health.Heard(id, at) }

// bound sets how long the attempt that goes to a replica now may be silent.
func (p *Policy) bound(t *Ticket, u *fleet.Upstream, todo int) {
	t.silence, t.looked, t.doubt, t.silent, t.ahead = 0, time.Time{}, 0, time.Time{}, todo+p.Load(t.Replica.ID).Prefill
	switch {
	case len(u.Replicas) < 2, u.Away, t.Request.Dialect.Operation() != inference.Chat:
		return
	case !t.Request.Stream: // its first byte may be its last; how long that may take, mute tells
		t.silence = leastSilence
		return
	}
	id := t.Replica.ID
	expected := silenceTimes * t.expected
	if p.view(id, u).of.known.Trusted() {
		t.silence = max(leastSilence, expected)
		return
	}
	read := time.Duration(t.ahead) * time.Second / slowest
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
		p.missed(t, now)
	} else if !p.Health.IsStuck(id, t.sent) && !p.mute(t, now) {
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
	p.putOut(t, now)
}

// putOut puts the replica of the attempt under way out as stuck, as far as its pool can
// spare it.
func (p *Policy) putOut(t *Ticket, now time.Time) {
	p.Health.Suspect(t.Replica.ID, p.spares(t, now), health.Stuck, now, t.chance())
}

// missed notes that the attempt under way met silence, if it is the one that finds out
// whether its replica serves again.
func (p *Policy) missed(t *Ticket, now time.Time) {
	if p.Health.Probes(t.Replica.ID, t.sent) {
		p.Health.Missed(t.Replica.ID, p.spares(t, now), t.sent, now, t.chance())
	}
}

// spares returns the pool of the attempt under way, for who puts one of it out; nil
// where another one can serve.
func (p *Policy) spares(t *Ticket, now time.Time) []fleet.Replica {
	if p.elsewhere(t, now) {
		return nil
	}
	return t.pool
}

// chance returns a number from 0 to 1.
func (t *Ticket) chance() float64 { return float64(t.src.Uint64()>>11) / (1 << 53) }

// wholly learns from an answer that came whole, of so many tokens; 0: not known.
func (c *class) wholly(t *Ticket, tokens int, now time.Time) {
	took := max(now.Sub(t.sent), 1)
	if c.took == 0 {
		c.took = took
	}
	c.took += (took - c.took) / wholeFollow
	if tokens > 0 {
		average(&c.each, took/time.Duration(tokens))
	}
	if rate := float64(t.ahead) / took.Seconds(); rate > c.reads {
		c.reads = rate
	} else {
		c.reads -= (c.reads - rate) / wholeFollow
	}
}

// mayTake returns for how long the whole answer under way may let nothing be heard: so
// many times as long as such answers took lately and, surely, as one of as many tokens as
// may be would. Both count the prompts before it, and its own.
func (p *Policy) mayTake(t *Ticket) (usual, surely time.Duration) {
	u := &t.fleet.Upstreams[t.Target.Upstream]
	c := p.view(t.Replica.ID, u).of
	rate := max(c.reads, slowest)
	switch {
	case c.known.Trusted():
		rate = c.known.Rate
	case u.Rate > 0:
		rate = u.Rate
	}
	read := time.Duration(float64(t.ahead) / rate * float64(time.Second))
	tokens := min(t.Request.MaxTokens, mostOutput)
	if tokens <= 0 {
		tokens = mostOutput
	}
	all := time.Duration(tokens) * cmp.Or(c.each, u.Pace.Each, slowToken)
	usual = all
	if c.took > 0 {
		usual = min(all, c.took)
	}
	usual = silenceTimes * (read + usual)
	return usual, max(usual, mostTimes*(read+all), leastSilence)
}

// mute reports whether an attempt that waits for a whole answer met nothing but silence
// for longer than such answers take, while others of the pool gave theirs to requests
// that were sent later. One alone may be a long answer, for as long as it may be one; of
// some it is the replica, which is put out.
func (p *Policy) mute(t *Ticket, now time.Time) bool {
	id := t.Replica.ID
	since := p.Health.HeardLast(id, t.sent)
	silent := now.Sub(since)
	if t.Copy || silent < leastSilence || !p.Health.Outdone(id, t.pool, since) {
		return false
	}
	usual, surely := p.mayTake(t)
	if usual = max(usual, leastSilence); silent >= usual && p.Health.Probes(id, t.sent) {
		p.missed(t, now)
		return true
	}
	p.doubts(t, min(1, float64(silent)/float64(usual)), silent >= surely, since, now)
	return silent >= surely || p.silentRow(id, now) || p.Health.IsStuck(id, t.sent)
}

// doubts notes how silent the attempt under way found its replica, as a share of the
// silence that is too long, and puts the replica out where that is sure. Shares count
// with their square: a hundred requests that wait for a tenth of it are as good as one
// that waits for all of it, since one of them would have its answer by now.
func (p *Policy) doubts(t *Ticket, share float64, sure bool, since, now time.Time) {
	id := t.Replica.ID
	if since.After(t.silent) { // it was heard since
		t.silent, t.doubt = since, 0
	}
	p.Health.Doubt(id, share*share-t.doubt, since)
	t.doubt = share * share
	if sure || p.silentRow(id, now) {
		p.putOut(t, now)
	}
}

// silentRow reports whether enough requests found a replica silent.
func (p *Policy) silentRow(id fleet.ReplicaID, now time.Time) bool {
	n, since := p.Health.Doubts(id)
	return n >= silentRow && now.Sub(since) >= leastSilence
}

// gaveUp notes that the caller left while the attempt under way waited for the first
// word. That tells nothing, unless it was to find out whether the replica serves again,
// or waited for longer than whole answers take.
func (p *Policy) gaveUp(t *Ticket, now time.Time) {
	id := t.Replica.ID
	if t.silence == 0 || t.speaks() {
		p.Health.Spared(id, t.sent)
		return
	}
	enough := t.silence
	if !t.Request.Stream {
		enough, _ = p.mayTake(t)
	}
	since := p.Health.HeardLast(id, t.sent)
	switch {
	case !p.Health.Probes(id, t.sent):
		if !t.Request.Stream && now.Sub(since) >= enough && p.Health.Outdone(id, t.pool, since) {
			p.doubts(t, 1, false, since, now)
		}
	case since.Equal(t.sent):
		p.Health.Left(id, p.spares(t, now), max(enough, leastSilence), t.sent, now, t.chance())
	default:
		p.Health.Spared(id, t.sent)
	}
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
