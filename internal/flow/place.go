package flow

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/health"
	"headworks/internal/locality"
	"headworks/internal/place"
	"headworks/internal/route"
)

// abroad returns the targets that have no replica in the regions that the caller's
// requests stay in.
func abroad(t *Ticket, s *fleet.Snapshot) (out route.Set) {
	rule := &t.Caller.Residency
	if !rule.Bound {
		return 0
	}
	for i := range t.Model.Targets[:min(len(t.Model.Targets), route.MaxTargets)] {
		if !allowed(t, &s.Upstreams[t.Model.Targets[i].Upstream]) {
			out = out.With(i)
		}
	}
	return out
}

// allowed reports whether the caller's requests may go to some replica of an upstream.
func allowed(t *Ticket, u *fleet.Upstream) bool {
	for i := range u.Replicas {
		if t.Caller.Residency.Allows(u.Replicas[i].Place.Region) {
			return true
		}
	}
	return false
}

// out reports whether all targets of the model are abroad.
func out(t *Ticket) bool {
	for _, why := range t.Order.Left[:min(len(t.Model.Targets), route.MaxTargets)] {
		if why != route.Abroad {
			return false
		}
	}
	return len(t.Model.Targets) > 0
}

// Outside is the fault of a request that nothing may serve in the regions that it
// stays in.
func Outside() *fault.Error {
	f := fault.New(fault.Residency, "this key's requests stay in certain regions, and no upstream of this model is in one of them; ask for another model, or have the operator add one there")
	f.Param = "model"
	return f
}

// stop is a target that is asked, of all its replicas or those of one locality.
type stop struct {
	place uint8 // of the target, in the model's list
	only  uint8 // one more than the locality; 0: all
	than  than  // where it is, beside the first stop
}

// than is where a stop is, beside one that it is equal to.
type than uint8

const (
	unrelated than = iota
	asNear
	farther
	nearer
)

// maxStops bounds the stops of a request: twice as many as there are targets.
const maxStops = 2 * route.MaxTargets

// apart is why a replica of another locality than that of the stop is not asked.
const apart = "in another place"

// beside says where a site is beside the first.
func beside(s, first *locality.Site) than {
	switch locality.WhyNot(s, first) {
	case locality.AsNear:
		return asNear
	case locality.Farther:
		return farther
	default:
		return nearer
	}
}

func (s stop) whyNot() string {
	return [...]string{"later in order", locality.AsNear, locality.Farther, locality.Nearer}[s.than]
}

// near turns the order of targets into stops: of targets that are equal but for where
// they are, and of replicas in several places, those come first that are near to the
// caller and have capacity.
func (p *Policy) near(t *Ticket, s *fleet.Snapshot, now time.Time) {
	o := &t.Order
	for at := 0; at < o.N; {
		n := o.Gather(t.Model, at)
		group := o.Targets[at : at+n]
		if n == 1 && len(s.Upstreams[t.Model.Targets[group[0]].Upstream].Localities) < 2 {
			t.stop(stop{place: group[0]})
		} else {
			p.weigh(t, s, group, maxStops-t.stopped-(o.N-at-n), now)
		}
		at += n
	}
}

// Turns returns the targets that are asked, by their places in the model's list, in
// the order in which they are.
func (t *Ticket) Turns() []uint8 {
	var turns []uint8
	for _, s := range t.stops[:t.stopped] {
		if !slices.Contains(turns, s.place) {
			turns = append(turns, s.place)
		}
	}
	return turns
}

func (t *Ticket) stop(s stop) {
	t.stops[t.stopped] = s
	t.stopped++
}

// weigh adds the stops of equal targets, of which there may be most.
func (p *Policy) weigh(t *Ticket, s *fleet.Snapshot, group []uint8, most int, now time.Time) {
	p.sites, p.stops = p.sites[:0], p.stops[:0]
	for _, at := range group {
		p.site(t, s, at, now)
	}
	first := t.stopped == 0
	if len(p.sites) == 0 || len(p.sites) > most {
		for _, at := range group {
			t.stop(stop{place: at})
		}
		return
	}
	p.plan.Make(p.sites, cmp.Or(t.Aim.TTFT, spillAim), t.draw())
	lead := p.plan.Order[0]
	for i, k := range p.plan.Order {
		to := p.stops[k]
		if i > 0 {
			to.than = beside(&p.sites[k], &p.sites[lead])
		}
		t.stop(to)
	}
	for _, at := range group { // those that nobody is of are told of all the same
		if len(p.sites) < most && !slices.ContainsFunc(p.stops, func(s stop) bool { return s.place == at }) {
			t.stop(stop{place: at})
			most--
		}
	}
	t.pressed = t.pressed || p.plan.Panic
	if first && (len(p.sites) > 1 || p.plan.Panic) {
		t.Locality, t.drawn = p.plan.Why, len(group) > 1
	}
}

// draw returns 64 random bits, the same ones for all requests of a session, so that
// it is served in one place.
func (t *Ticket) draw() uint64 {
	if t.Request.Session == 0 {
		return t.src.Uint64()
	}
	src := *rand.NewPCG(t.Request.Session, 1)
	return src.Uint64()
}

// site adds the sites of a target: one for each locality of its upstream where the
// caller's requests may go.
func (p *Policy) site(t *Ticket, s *fleet.Snapshot, at uint8, now time.Time) {
	target := &t.Model.Targets[at]
	u := &s.Upstreams[target.Upstream]
	from := s.Atlas.Region(t.From.Region)
	base := len(p.sites)
	for i := range max(len(u.Localities), 1) {
		to, only, trip := place.Place{}, uint8(0), place.Far
		if i < len(u.Localities) {
			to, trip = u.Localities[i].Place, s.Atlas.Trip(from, u.Localities[i].Number)
		}
		if len(u.Localities) > 1 {
			only = uint8(i + 1)
		}
		p.sites = append(p.sites, locality.Site{Class: locality.Near(t.From, to, trip), Trip: trip})
		p.stops = append(p.stops, stop{place: at, only: only})
	}
	sites := p.sites[base:]
	rate := u.Rate
	if rate <= 0 {
		rate = u.Pace.Rate
	}
	if rate <= 0 {
		rate = unknownRate
	}
	load, open := 0.0, 0.0 // of all that is open: requests in flight, and replicas
	for i := range u.Replicas {
		r := &u.Replicas[i]
		if !t.Caller.Residency.Allows(r.Place.Region) {
			continue
		}
		to := &sites[min(int(r.Locality), len(sites)-1)]
		to.Total += rate
		n := float64(p.InFlight(r.ID).Requests)
		to.Load += n
		load += n
		if weight, calm := p.Health.Calm(r.ID, now); calm {
			to.Open += rate * weight
			open++
			continue
		}
		switch h := p.Health.Of(r.ID, target.Model, now); {
		case h.Why == "": // half open too, or nobody would find out
			to.Open += rate * h.Weight
			open++
		case soft(&h):
			to.Soft += rate
		}
	}
	ttft := p.soon(target, s, t.Request.Input, now)
	slow := p.slow(t, target, load/max(open, 1), now)
	kept := base
	for i := range sites {
		site, to := sites[i], p.stops[base+i]
		if site.Total == 0 { // none that may be asked
			continue
		}
		site.Weight = site.Total * float64(max(target.Weight, 1))
		site.TTFT, site.Slow = ttft, slow
		if site.Load > 0 {
			site.Load *= rate / max(site.Open, rate/2)
		}
		p.sites[kept], p.stops[kept] = site, to
		kept++
	}
	p.sites, p.stops = p.sites[:kept], p.stops[:kept]
}

// spillAim stands for the objective of a model that has none: when the first token has
// to come for a request to stay near its caller.
const spillAim = 2 * time.Second

// recent is how old what was seen of a target may be to tell of its first token. Where
// nobody is sent to, nobody sees that it got better.
const recent = 10 * time.Second

// soon returns when the first token is thought to come; 0 if nobody knows.
func (p *Policy) soon(target *fleet.Target, s *fleet.Snapshot, input int, now time.Time) time.Duration {
	u := &s.Upstreams[target.Upstream]
	if k, ok := p.Learned(u); (!ok || !k.Trusted()) && (u.Pace.First == 0 || u.Pace.Rate == 0 && u.Rate == 0) {
		if at := p.paceOf(target.ID); at == nil || now.Sub(at.at) > recent {
			return 0
		}
		if u.Pace.Rate == 0 && u.Rate == 0 { // what was just seen is better than what would be assumed
			return p.seen(target.ID, now).TTFT
		}
	}
	return p.Foresee(target, s, input, now).TTFT
}

// Of how long a token takes.
const (
	// spillEach stands for the objective of a model that has none: how many times as
	// long as with little to do.
	spillEach = 2.5
	// slowAt is from which share of the objective on tokens come too slowly: those to
	// come will be later still.
	slowAt = 0.7
	// pastLoad is over how long the load of a target is averaged: what was seen of
	// answers that ended is of about so long ago.
	pastLoad = 5 * time.Second
)

// slow reports whether tokens of a target come too slowly for a request to stay near
// its caller: as was seen of answers that ended, and as much more as the load of each
// replica is higher now.
func (p *Policy) slow(t *Ticket, target *fleet.Target, load float64, now time.Time) bool {
	at := p.paceOf(target.ID)
	if at == nil {
		return false
	}
	if at.loadAt.IsZero() {
		at.load = load
	}
	at.load += (load - at.load) * min(1, now.Sub(at.loadAt).Seconds()/pastLoad.Seconds())
	at.loadAt = now
	if now.Sub(at.at) > recent {
		return false
	}
	more := min(max((load+1)/(at.load+1), 0.5), 2)
	objective := float64(t.Aim.TPOT)
	if objective == 0 {
		objective = spillEach * float64(at.best)
	}
	return objective > 0 && more*float64(at.each) > slowAt*objective
}

// soft reports whether a replica is kept out by too many failures alone, and somebody
// may be there.
func soft(h *health.Standing) bool { return h.Why == health.Failing || h.Why == health.Probing }

// leave leaves the stop that was asked last for good, if there is another one that is
// equal but for where it is; in the same region, unless it may be far. Another try
// has better chances where nothing is shared with the one that failed.
func (t *Ticket) leave(far bool) bool {
	last := t.stops[t.at]
	of := &t.Model.Targets[last.place]
	for k, s := range t.stops[:t.stopped] {
		other := &t.Model.Targets[s.place]
		if k != t.at && t.gone>>k&1 == 0 && (s.place == last.place || of.Kin != 0 && other.Kin == of.Kin && other.Of == of.Of) &&
			(far || t.region(s) == t.region(last)) {
			t.gone |= 1 << t.at
			return true
		}
	}
	return false
}

// region returns where a stop is.
func (t *Ticket) region(s stop) string {
	places := t.fleet.Upstreams[t.Model.Targets[s.place].Upstream].Localities
	at := max(int(s.only)-1, 0)
	if at >= len(places) {
		return ""
	}
	return places[at].Region
}

// enough is how often nobody answers in one place until a request leaves it: that
// takes its time where packets are lost.
const enough = 2

// deserted reports whether nobody answers where the request was sent last, as far as
// it has seen.
func (t *Ticket) deserted() bool {
	n, here := 0, t.Attempts[t.Tries-1].Replica.Place
	for i := range t.Attempts[:t.Tries] {
		if a := &t.Attempts[i]; a.Fault == fault.Connect && a.Replica.Place == here {
			n++
		}
	}
	return n >= enough
}

// cutOff reports whether a failure may be of all that is in a place: its neighbours
// may be cut off as well, and the next one would be waited for as long.
func cutOff(k fault.Kind) bool {
	return k == fault.Interrupted || k == fault.FirstTokenTimeout || k == fault.Stalled
}
