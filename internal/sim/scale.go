package sim

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"headworks/internal/fleet"
)

// Scaling lets the number of an upstream's replicas follow its load. It reacts as a
// Kubernetes HorizontalPodAutoscaler does, with its defaults: every 15 s it asks for
// ceil(requests in flight / Target) replicas, unless that is within 10 % of what there
// is; it adds at most as many as there are, or four; and it takes away only what was
// too many for the last five minutes. A replica that is taken away gets nothing new
// and ends what it has. Its GPUs count from the order until then.
type Scaling struct {
	Least, Most int           // replicas of each upstream; Most at most those in the fleet
	Target      float64       // requests in flight a replica
	ColdStart   time.Duration // from the order until a replica takes requests
}

// The defaults of a HorizontalPodAutoscaler, autoscaling/v2.
const (
	scaleEvery     = 15 * time.Second
	scaleTolerance = 0.1
	scaleAdds      = 4
	scaleDownAfter = 5 * time.Minute
)

// standing is what becomes of a replica under scaling.
type standing uint8

const (
	off standing = iota
	starting
	on
	leaving
)

// counts reports whether it is one of the replicas that there are to be.
func (st standing) counts() bool { return st == on || st == starting }

// pool is an upstream that is scaled.
type pool struct {
	upstream int // place in the fleet
	gpus     int // of a replica
	replicas []fleet.Replica
	stands   []standing
	ready    []time.Duration // of those that start
	wanted   []wish          // in the last scaleDownAfter
}

type wish struct {
	at time.Duration
	n  int
}

// scaler scales all upstreams of a run.
type scaler struct {
	Scaling
	whole *fleet.Snapshot // with all replicas that can be
	pools []pool
	next  time.Duration
	paid  time.Duration // until when GPUs are counted
	gpus  float64       // seconds
}

// GPUs returns how many of them a replica on a kind of hardware has, such as 2xh100;
// one where it does not say.
func GPUs(hardware string) int {
	many, _, ok := strings.Cut(strings.ToLower(hardware), "x")
	if n, err := strconv.Atoi(strings.TrimSpace(many)); ok && err == nil && n > 0 {
		return n
	}
	return 1
}

// scaling begins with the least replicas, all of them ready.
func (s *run) scaling(c Scaling) {
	s.scale = &scaler{Scaling: c, whole: s.Fleet, next: scaleEvery}
	for i := range s.Fleet.Upstreams {
		u := &s.Fleet.Upstreams[i]
		p := pool{upstream: i, gpus: GPUs(u.Hardware), replicas: u.Replicas, stands: make([]standing, len(u.Replicas)), ready: make([]time.Duration, len(u.Replicas))}
		for k := range min(c.Least, len(u.Replicas)) {
			p.stands[k] = on
		}
		s.scale.pools = append(s.scale.pools, p)
	}
	s.publish()
}

// publish lets the gateways know which replicas take requests.
func (s *run) publish() {
	f := *s.scale.whole
	f.Upstreams = slices.Clone(f.Upstreams)
	for i := range s.scale.pools {
		p := &s.scale.pools[i]
		u := &f.Upstreams[p.upstream]
		u.Replicas = nil
		for k := range p.replicas {
			if p.stands[k] == on {
				u.Replicas = append(u.Replicas, p.replicas[k])
			}
		}
	}
	f.Generation++
	s.Fleet = &f
}

// rescale looks at the load once.
func (s *run) rescale() {
	s.now = s.scale.next
	s.scale.next += scaleEvery
	s.pay()
	changed := false
	for i := range s.scale.pools {
		p := &s.scale.pools[i]
		changed = s.settlePool(p) || changed
		changed = s.resize(p, s.wants(p)) || changed
	}
	if changed {
		s.publish()
	}
}

// pay counts the GPUs until now.
func (s *run) pay() {
	for i := range s.scale.pools {
		p := &s.scale.pools[i]
		for _, st := range p.stands {
			if st != off {
				s.scale.gpus += float64(p.gpus) * (s.now - s.scale.paid).Seconds()
			}
		}
	}
	s.scale.paid = s.now
}

// settlePool lets those take requests whose start is over, and those go that have
// ended what they had; true if somebody takes requests now that did not.
func (s *run) settlePool(p *pool) (changed bool) {
	for k, st := range p.stands {
		r := s.replicas[p.replicas[k].ID]
		switch {
		case st == starting && p.ready[k] <= s.now:
			s.renew(r)
			p.stands[k], changed = on, true
		case st == leaving && r.tally.inFlight == 0:
			p.stands[k] = off
		}
	}
	return changed
}

// have returns how many replicas are in, or start.
func (p *pool) have() (n int) {
	for _, st := range p.stands {
		if st.counts() {
			n++
		}
	}
	return n
}

// wants returns how many replicas a pool should have.
func (s *run) wants(p *pool) int {
	have, inFlight := p.have(), 0
	for k, st := range p.stands {
		if st.counts() {
			inFlight += s.replicas[p.replicas[k].ID].tally.inFlight
		}
	}
	n := have
	if ratio := float64(inFlight) / s.scale.Target / float64(have); math.Abs(ratio-1) > scaleTolerance {
		n = int(math.Ceil(float64(inFlight) / s.scale.Target))
	}
	n = min(n, max(2*have, have+scaleAdds))
	n = min(max(n, s.scale.Least), s.scale.Most, len(p.replicas))
	p.wanted = append(p.wanted, wish{s.now, n})
	for p.wanted[0].at < s.now-scaleDownAfter {
		p.wanted = p.wanted[1:]
	}
	if n < have { // no fewer than were wanted at any time lately
		for _, w := range p.wanted {
			n = max(n, min(w.n, have))
		}
	}
	return n
}

// resize orders replicas or takes some away; true if somebody takes requests no more.
func (s *run) resize(p *pool, n int) (changed bool) {
	have := p.have()
	for k := 0; k < len(p.stands) && have < n; k++ {
		if p.stands[k] == off {
			p.stands[k], p.ready[k] = starting, s.now+s.scale.ColdStart
			have++
		}
	}
	for ; have > n; have-- {
		k := s.leastMissed(p)
		if p.stands[k] == starting {
			p.stands[k] = off
			continue
		}
		p.stands[k], changed = leaving, true
	}
	return changed
}

// leastMissed returns which of the replicas that are in or start goes first: who
// starts, else who has the fewest requests in flight; of equals the last.
func (s *run) leastMissed(p *pool) int {
	best := -1
	cost := func(k int) int {
		if p.stands[k] == starting {
			return -1
		}
		return s.replicas[p.replicas[k].ID].tally.inFlight
	}
	for k, st := range p.stands {
		if st.counts() && (best < 0 || cmp.Compare(cost(k), cost(best)) <= 0) {
			best = k
		}
	}
	return best
}
