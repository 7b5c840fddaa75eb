package flow

import (
	"math"
	"time"

	"headworks/internal/fleet"
	"headworks/internal/prefix"
	"headworks/internal/route"
)

// pace is how soon a target answered lately: moving averages of what was seen of it,
// whichever replica served.
type pace struct {
	ttft, tpot time.Duration // 0: nothing was seen
	at         time.Time     // when ttft was last learned of

	looked, passed float64 // answers that were looked at for a cascade, and those that passed; old ones fade

	each   time.Duration // as tpot, and slower to follow
	best   time.Duration // the least that each was; slowly forgotten
	load   float64       // requests in flight for each replica, over the last seconds
	loadAt time.Time
}

// How fast a pace follows, and for how long it is believed.
const (
	follow  = 0.2
	believe = 5 * time.Minute // after that long without a word, an old pace is no better than none
)

// fewest tokens of an answer from which a time per token is learned.
const fewest = 8

// queueLook bounds the replicas that are asked how much waits at a pool.
const queueLook = 16

// wants returns what an order is made for.
func (p *Policy) wants(t *Ticket, s *fleet.Snapshot, now time.Time) *route.Ask {
	p.want = route.Ask{
		Request: t.Request, Tier: t.Caller.Tier.Name, Wish: t.Caller.Tier.Grant(t.Wish), Abroad: abroad(t, s),
	}
	if slot := t.Caller.Slot; t.Caller.Budget.Limited() && slot < len(p.spent) {
		p.want.Spent = float64(p.spent[slot])
	}
	p.want.Own = t.Wish.Prefer != 0 && p.want.Wish.Prefer == t.Wish.Prefer
	t.Aim = route.Aim(t.Model, p.want.Wish)
	if t.Model.Policy != fleet.Best {
		return &p.want
	}
	for i := range t.Model.Targets[:min(len(t.Model.Targets), route.MaxTargets)] {
		target := &t.Model.Targets[i]
		held := p.held(t, target, s)
		p.ahead[i] = p.Foresee(target, s, t.Request.Input-held, now)
		if p.ahead[i].Held = held; held > 0 {
			p.ahead[i].Saved = max(p.Foresee(target, s, t.Request.Input, now).TTFT-p.ahead[i].TTFT, 0)
		}
	}
	p.want.Paces = &p.ahead
	return &p.want
}

// held returns how much of a prompt some replica of a target is thought to hold in its
// cache, in tokens.
func (p *Policy) held(t *Ticket, target *fleet.Target, s *fleet.Snapshot) int {
	r := t.Request
	u := &s.Upstreams[target.Upstream]
	c := p.caches[u.Name]
	if c == nil || len(r.Blocks) == 0 {
		return 0
	}
	for len(p.hits) < len(c.ids) {
		p.hits = append(p.hits, 0)
	}
	blocks := c.index.Match(p.hits[:len(c.ids)], seed(target, u, t.Caller), r.Blocks)
	return min(int(blocks)*prefix.Block/bytesPerToken, r.Input-1)
}

// Foresee returns how soon a target would answer a prompt: by what is known of its
// engine and waits there, else by what was seen of it lately. Of an engine of one's own
// of which nobody knows how fast it reads, the usual rate is assumed, for what waits
// there and, until its first tokens were seen, for the prompt; of a provider nothing is.
func (p *Policy) Foresee(target *fleet.Target, s *fleet.Snapshot, input int, now time.Time) route.Pace {
	u := &s.Upstreams[target.Upstream]
	if k, ok := p.Learned(u); ok && k.Trusted() {
		return p.rolled(u, target.Model, input, now)
	}
	seen := p.seen(target.ID, now)
	rate := u.Pace.Rate
	if u.Rate > 0 {
		rate = u.Rate
	}
	assumed := rate <= 0 && u.Own
	if assumed {
		rate = unknownRate
	}
	if rate > 0 {
		seen.Queued = reading(p.waiting(u, target.Model, now), rate)
	}
	foreseen := seen.Queued
	if rate > 0 && (!assumed || seen.TTFT == 0) {
		foreseen += u.Pace.First + reading(input, rate)
	}
	if u.Pace.First > 0 && rate > 0 {
		// What was seen to take longer than the engine would is believed, the less the
		// longer ago it was.
		if late := seen.TTFT - foreseen; late > 0 {
			foreseen += time.Duration(float64(late) * p.trust(target.ID, now))
		}
		seen.TTFT = foreseen
	} else {
		seen.TTFT = max(seen.TTFT, foreseen) // what was seen has the wait of then in it
	}
	if seen.TPOT == 0 {
		seen.TPOT = u.Pace.Each
	}
	return seen
}

// longest bounds what is foreseen, so that times add up.
const longest = 365 * 24 * time.Hour

// reading returns how long so many prompt tokens take at a rate.
func reading(tokens int, rate float64) time.Duration {
	return time.Duration(min(float64(tokens)/rate, longest.Seconds()) * float64(time.Second))
}

// seen returns what was seen of a target, if it is not too long ago.
func (p *Policy) seen(id fleet.TargetID, now time.Time) route.Pace {
	if id <= 0 || int(id) >= len(p.paces) {
		return route.Pace{}
	}
	at := &p.paces[id]
	if now.Sub(at.at) > believe {
		return route.Pace{}
	}
	return route.Pace{TTFT: at.ttft, TPOT: at.tpot}
}

// trust returns how much of what was seen of a target still holds: 1 when it is new,
// 0 when it is too old.
func (p *Policy) trust(id fleet.TargetID, now time.Time) float64 {
	return 1 - float64(now.Sub(p.paces[id].at))/float64(believe)
}

// waiting returns the prompt tokens that wait at a replica of a pool, of the one with
// the fewest among those that are looked at and serve. All that is known of counts,
// whoever sent it.
func (p *Policy) waiting(u *fleet.Upstream, model string, now time.Time) int {
	least := math.MaxInt
	step := (len(u.Replicas) + queueLook - 1) / queueLook
	for i := 0; i < len(u.Replicas); i += max(step, 1) {
		if id := u.Replicas[i].ID; p.serves(id, model, now) {
			least = min(least, p.InFlight(id).Prefill+p.Foreign(id, now).Prefill)
		}
	}
	if least == math.MaxInt {
		return 0
	}
	return least
}

// serves reports whether a replica gets requests now.
func (p *Policy) serves(id fleet.ReplicaID, model string, now time.Time) bool {
	if _, calm := p.Health.Calm(id, now); calm {
		return true
	}
	return p.Health.Of(id, model, now).In()
}

// began notes that content came of the attempt under way.
func (p *Policy) began(t *Ticket, now time.Time) {
	if !t.speaks() {
		t.began = now
		p.spoke(t)
		p.heard(t, now)
		p.learnFirst(t, now)
		p.Heard(t.Replica.ID, now)
	}
}

// speaks reports whether content came of the attempt under way.
func (t *Ticket) speaks() bool { return !t.began.IsZero() }

// heard learns how long the first token took.
func (p *Policy) heard(t *Ticket, now time.Time) {
	if at := p.paceOf(t.Target.ID); at != nil {
		average(&at.ttft, now.Sub(t.from()))
		at.at = now
	}
}

// ended learns from an answer that is whole.
func (p *Policy) ended(t *Ticket, tokens int, now time.Time) {
	at := p.paceOf(t.Target.ID)
	if at == nil || tokens < fewest {
		return
	}
	if !t.began.IsZero() {
		average(&at.tpot, now.Sub(t.began)/time.Duration(tokens-1))
		at.learned(now)
		return
	}
	// A whole answer tells the sum alone: both follow in proportion, and of the first
	// one the first token has the share of as many tokens as a short answer has.
	took := now.Sub(t.from())
	if at.ttft == 0 || at.tpot == 0 {
		each := took / time.Duration(tokens+fewest)
		average(&at.ttft, fewest*each)
		average(&at.tpot, each)
	} else {
		was := at.ttft + time.Duration(tokens-1)*at.tpot
		by := min(max(float64(took)/float64(was), 0.1), 10)
		average(&at.ttft, time.Duration(by*float64(at.ttft)))
		average(&at.tpot, time.Duration(by*float64(at.tpot)))
	}
	at.learned(now)
}

// calm is how fast each follows: what moves requests to other regions should not be
// noise.
const calm = 0.05

// learned notes when something was learned, and the shortest time of a token, which is
// forgotten over hours.
func (p *pace) learned(now time.Time) {
	if p.each == 0 {
		p.each = p.tpot
	}
	p.each += time.Duration(calm / follow * float64(p.tpot-p.each))
	if p.best == 0 || p.each < p.best {
		p.best = p.each
	} else {
		p.best += time.Duration(float64(p.each-p.best) * min(1, now.Sub(p.at).Hours()))
	}
	p.at = now
}

func average(to *time.Duration, seen time.Duration) {
	seen = max(seen, 1)
	if *to == 0 {
		*to = seen
		return
	}
	*to += time.Duration(follow * float64(seen-*to))
}

// paceOf returns what is kept of a target, nil where nothing is.
func (p *Policy) paceOf(id fleet.TargetID) *pace {
	if id <= 0 {
		return nil
	}
	for int(id) >= len(p.paces) {
		p.paces = append(p.paces, pace{})
	}
	return &p.paces[id]
}

// Spent notes which share of a caller's budget is spent, 0 to 1. Callers are known by
// their Slot.
func (p *Policy) Spent(slot int, share float64) {
	for slot >= len(p.spent) {
		p.spent = append(p.spent, 0)
	}
	p.spent[slot] = float32(min(max(share, 0), 1))
}

// Saw notes how soon a target answered, as if it had been seen to.
func (p *Policy) Saw(id fleet.TargetID, ttft, tpot time.Duration, now time.Time) {
	if at := p.paceOf(id); at != nil {
		*at = pace{ttft: ttft, tpot: tpot, at: now}
	}
}

// Occupy counts what somebody else has in flight at a replica.
func (p *Policy) Occupy(id fleet.ReplicaID, l Load) {
	p.row(id).add(&l, 1)
}
