package flow

import (
	"slices"
	"time"

	"headworks/internal/fleet"
	"headworks/internal/prefix"
)

// Bounds of what gateways of one cell tell each other.
const (
	MaxOthers = 63              // that are listened to
	MaxAge    = 2 * time.Second // of what another has in flight, until it no longer counts
	mostHolds = 1 << 15         // of one upstream, at a time
	mostGiven = 1 << 10         // at a time
)

// News is what one gateway tells the others of its cell.
type News struct {
	InFlight []InFlight        // now, of all replicas where something is
	Given    []fleet.ReplicaID // which got a new prompt since the last news, in order
	Holds    []Hold            // what was sent since, in order
	Missed   int               // holds that there was no room for
}

// Reset empties n, whose room is used again.
func (n *News) Reset() {
	n.InFlight, n.Given, n.Holds, n.Missed = n.InFlight[:0], n.Given[:0], n.Holds[:0], 0
}

// InFlight is what one gateway has in flight at a replica.
type InFlight struct {
	Replica fleet.ReplicaID
	Load
}

// Hold is that a replica was sent a block of a prompt; see prefix.Hold.
type Hold struct {
	Replica fleet.ReplicaID
	Key     uint64
}

// others is what is known of the other gateways of the cell, and kept for them.
type others struct {
	share bool
	given []fleet.ReplicaID
	found []prefix.Hold // room

	known []other
	loads []Load    // of all known, by fleet.ReplicaID
	stale time.Time // when the first of known is too old; zero: none can be
}

// other is another gateway, by a number that its process drew.
type other struct {
	number   uint64
	until    time.Time
	inFlight []InFlight
}

// Share begins or ends to keep what others are told.
func (p *Policy) Share(on bool) {
	if p.others.share == on {
		return
	}
	p.others.share = on
	p.others.given = nil
	for _, c := range p.caches {
		if on {
			c.index.Share(mostHolds)
		} else {
			c.index.Keep()
		}
	}
}

// Tell writes to n what others are to be told now. What it writes is not told again.
func (p *Policy) Tell(n *News, s *fleet.Snapshot) {
	n.Reset()
	for id := range p.rows {
		if l := p.Load(fleet.ReplicaID(id)); l != (Load{}) {
			n.InFlight = append(n.InFlight, InFlight{fleet.ReplicaID(id), l})
		}
	}
	n.Given = append(n.Given, p.others.given...)
	p.others.given = p.others.given[:0]
	for i := range s.Upstreams {
		c := p.caches[s.Upstreams[i].Name]
		if c == nil {
			continue
		}
		var missed int
		p.others.found, missed = c.index.News(p.others.found[:0])
		n.Missed += missed
		for _, h := range p.others.found {
			n.Holds = append(n.Holds, Hold{c.ids[h.Place], h.Key})
		}
	}
}

// Hear takes in what another gateway has in flight, in the place of what it had
// before, and to which replicas it gave new prompts.
func (p *Policy) Hear(number uint64, inFlight []InFlight, given []fleet.ReplicaID, now time.Time) {
	p.hear(number, inFlight, now)
	for _, id := range given {
		p.picker.Gave(id)
	}
}

// Learn takes in what another gateway sent to the replicas of an upstream; holds of
// others are passed over.
func (p *Policy) Learn(u *fleet.Upstream, holds []Hold) {
	if len(holds) == 0 || u.Schedule != fleet.ByPrefix && u.Schedule != fleet.LMetric {
		return
	}
	c := p.cachesOf(u)
	place, last := -1, fleet.NoReplica
	for _, h := range holds {
		if h.Replica != last {
			place, last = slices.Index(c.ids, h.Replica), h.Replica
		}
		if place >= 0 {
			c.index.Hold(place, h.Key)
		}
	}
}

// Others returns how many other gateways are heard of.
func (p *Policy) Others(now time.Time) (n int) {
	for i := range p.others.known {
		if now.Before(p.others.known[i].until) {
			n++
		}
	}
	return n
}

// InFlight returns what all gateways have in flight at a replica, as far as is known.
func (p *Policy) InFlight(id fleet.ReplicaID) Load {
	if int(id) >= len(p.rows) {
		return Load{}
	}
	return p.rows[id].Load
}

func (l *Load) add(more *Load, times int) {
	l.Requests += times * more.Requests
	l.Prefill += times * more.Prefill
	l.KV += times * more.KV
}

// gave notes that a replica got a new prompt. Turns are each gateway's own.
func (o *others) gave(u *fleet.Upstream, place int) {
	if o.share && u.Schedule != fleet.RoundRobin && len(o.given) < mostGiven {
		o.given = append(o.given, u.Replicas[place].ID)
	}
}

func (p *Policy) hear(number uint64, inFlight []InFlight, now time.Time) {
	p.expire(now)
	o := &p.others
	i := slices.IndexFunc(o.known, func(k other) bool { return k.number == number })
	if i < 0 {
		if len(o.known) == MaxOthers {
			return
		}
		i = len(o.known)
		o.known = append(o.known, other{number: number})
	}
	k := &o.known[i]
	p.reckon(k.inFlight, -1)
	k.inFlight, k.until = append(k.inFlight[:0], inFlight...), now.Add(MaxAge)
	p.reckon(k.inFlight, 1)
	o.oldest()
}

// reckon adds what another gateway has in flight, so many times.
func (p *Policy) reckon(inFlight []InFlight, times int) {
	for i := range inFlight {
		id := inFlight[i].Replica
		for int(id) >= len(p.others.loads) {
			p.others.loads = append(p.others.loads, Load{})
		}
		p.others.loads[id].add(&inFlight[i].Load, times)
		p.row(id).add(&inFlight[i].Load, times)
	}
}

// expire forgets who was not heard of for too long.
func (p *Policy) expire(now time.Time) {
	o := &p.others
	if o.stale.IsZero() || now.Before(o.stale) {
		return
	}
	o.known = slices.DeleteFunc(o.known, func(k other) bool {
		old := !now.Before(k.until)
		if old {
			p.reckon(k.inFlight, -1)
		}
		return old
	})
	o.oldest()
}

func (o *others) oldest() {
	o.stale = time.Time{}
	for i := range o.known {
		if o.stale.IsZero() || o.known[i].until.Before(o.stale) {
			o.stale = o.known[i].until
		}
	}
}
