package flow

import (
	"math"
	"slices"
	"time"

	"headworks/internal/fleet"
)

// Told is what a replica said of itself, for all who send requests there.
type Told struct {
	Requests int // that run and wait; -1: not told
	Waiting  int // of them, for room; -1: not told
	KV       int // tokens of its KV cache that requests hold; -1: not told
	Capacity int // tokens that its KV cache holds; 0: not told
}

// Untold is of a replica that tells nothing.
func Untold() Told { return Told{Requests: -1, Waiting: -1, KV: -1} }

// For so long what a replica said counts in full, and then less and less.
const (
	toldFresh = time.Second
	toldStale = 2 * time.Second
	toldAgain = 30 * time.Second // the same words, of an engine from which nothing else comes
)

// told is what is kept of it: what the requests of others take there.
type told struct {
	foreign Load
	at      time.Time // when it was asked, and what it said was not old
	said    Told
	since   time.Time // when it said so first
	speed   float64   // share of its usual speed, as its hardware has it; 0: in full
	until   time.Time // for how long speed holds
}

// Observe takes in what a replica said when it was asked, and what was in flight there
// then by what the gateways count (InFlight). Their own counts are exact and of this
// moment, so a replica's words only ever add to them: the difference is what others
// have there. It counts for 2 s, and a replica that says nothing any more is as one
// that never did. So is one that says the same again and again though it works: a cache
// fills with every token, and metrics that stand still are of a moment long gone. But an
// engine that hangs says the same too, and should be given nothing; so as long as nothing
// else came from it either, it is believed for a while.
func (p *Policy) Observe(id fleet.ReplicaID, s Told, counted Load, asked time.Time) {
	o := p.toldOf(id)
	if s != o.said {
		o.said, o.since = s, asked
	}
	if s.KV <= 0 || !p.Health.HeardAfter(id, o.since) && asked.Sub(o.since) < toldAgain {
		o.at = asked
	}
	o.foreign = Load{}
	if s.Requests >= 0 {
		o.foreign.Requests = max(0, s.Requests-counted.Requests)
	}
	if s.KV >= 0 {
		o.foreign.KV = max(0, s.KV-counted.KV)
	}
	if s.Waiting > 0 { // of those who wait nothing was read yet; how long they are nobody tells
		o.foreign.Prefill = min(s.Waiting, o.foreign.Requests) * p.usual
	}
	at := p.row(id)
	at.told = o.counts()
	if capacity := int32(min(s.Capacity, math.MaxInt32)); at.capacity != capacity {
		at.capacity = capacity
		p.resize(id)
	}
}

// Slow takes in at which share of its usual speed a replica works, until a moment: its
// GPUs are throttled. In full is 1.
func (p *Policy) Slow(id fleet.ReplicaID, speed float64, until time.Time) {
	o := p.toldOf(id)
	o.speed, o.until = speed, until
	p.row(id).told = o.counts()
}

// counts reports whether a replica stands otherwise for what it told.
func (o *told) counts() bool { return o.foreign != (Load{}) || o.speed != 0 }

func (p *Policy) toldOf(id fleet.ReplicaID) *told {
	for int(id) >= len(p.told) {
		p.told = append(p.told, told{})
	}
	return &p.told[id]
}

// Foreign returns what others have in flight at a replica, as far as that was told
// lately.
func (p *Policy) Foreign(id fleet.ReplicaID, now time.Time) Load {
	if int(id) >= len(p.told) {
		return Load{}
	}
	o := &p.told[id]
	if o.foreign == (Load{}) {
		return Load{}
	}
	age := now.Sub(o.at)
	switch {
	case age <= toldFresh:
		return o.foreign
	case age >= toldStale:
		return Load{}
	}
	share := float64(toldStale-age) / float64(toldStale-toldFresh)
	part := func(n int) int { return int(share * float64(n)) }
	return Load{Requests: part(o.foreign.Requests), Prefill: part(o.foreign.Prefill), KV: part(o.foreign.KV)}
}

// speed returns the share of its usual speed that a replica has.
func (p *Policy) speed(id fleet.ReplicaID, now time.Time) float64 {
	if int(id) >= len(p.told) || p.told[id].speed == 0 || !now.Before(p.told[id].until) {
		return 1
	}
	return p.told[id].speed
}

// Restarted forgets what a replica's cache held: its engine began anew, or is gone and
// will.
func (p *Policy) Restarted(upstream string, id fleet.ReplicaID) {
	p.loras.Forget(id)
	if c := p.caches[upstream]; c != nil {
		if place := slices.Index(c.ids, id); place >= 0 {
			c.index.Purge(place)
		}
	}
}

// resize notes that a replica's cache holds another number of tokens than was thought.
func (p *Policy) resize(id fleet.ReplicaID) {
	for _, c := range p.caches {
		if slices.Contains(c.ids, id) {
			c.resized = true
		}
	}
}

// holds returns how many tokens the KV cache of a replica holds: as the operator says,
// or else as it does; 0 is not known.
func (p *Policy) holds(u *fleet.Upstream, id fleet.ReplicaID) int {
	if u.KVTokens == 0 && int(id) < len(p.rows) {
		return int(p.rows[id].capacity)
	}
	return u.KVTokens
}

// learn notes how much of its prompt a request has to have read.
func (p *Policy) learn(prefill int) {
	if p.usual == 0 {
		p.usual = prefill
	}
	p.usual += (prefill - p.usual) / 16
}
