// Package locality decides where among equals a request is served: in the caller's
// zone or region while there is capacity, and else no farther away than needed.
//
// The arithmetic is that of Envoy's priority levels and locality weights, with its
// overprovisioning factor of 1.4: a place takes its whole share until less than
// 71.4 % of it is available. What counts is capacity, not the number of replicas.
package locality

import (
	"time"

	"headworks/internal/place"
)

// Why a request is served where it is.
const (
	Zone    = "place: in the caller's zone"
	Region  = "place: in the caller's region"
	Nearest = "place: the nearest region to the caller"
	Unknown = "place: how far it is nobody knows, and there is no other"
	Out     = "place: all that is nearer to the caller is out"
	Short   = "place: too little capacity nearer to the caller"
	Late    = "place: nearer to the caller the answer would begin too late"
	Slow    = "place: nearer to the caller tokens come too slowly"
	Panic   = "place: most replicas are out, so those with too many failures count again"
)

// Why another place does not get the request.
const (
	Farther = "farther from the caller"
	Nearer  = "nearer to the caller, and passed by"
	AsNear  = "as near to the caller, and not drawn"
)

// Site is one place where replicas could serve a request.
type Site struct {
	Class  Class
	Trip   time.Duration // from the caller's region and back; counts for Elsewhere
	Weight float64       // beside others of its level; above 0
	Total  float64       // capacity of its replicas
	Open   float64       // of those that are available now
	Soft   float64       // of those that only too many failures keep out
	Load   float64       // requests in flight for each replica that is available
	TTFT   time.Duration // when the first token is thought to come, without Trip; 0 is not known
	Slow   bool          // tokens come too slowly, or are about to
}

// Class is how near a site is.
type Class uint8

// The classes, the nearest first.
const (
	SameZone Class = iota
	SameRegion
	Elsewhere // in another region
	Anywhere  // nobody knows how far
)

// Near returns how near a place is to a caller, whose region is so far from it.
func Near(from, at place.Place, trip time.Duration) Class {
	switch {
	case from.Region == "" || at.Region == "":
		return Anywhere
	case from.Region != at.Region && trip == place.Far:
		return Anywhere
	case from.Region != at.Region:
		return Elsewhere
	case from.Zone != "" && from.Zone == at.Zone:
		return SameZone
	default:
		return SameRegion
	}
}

// nearer reports whether a is of a nearer level than b.
func nearer(a, b *Site) bool {
	if a.Class != b.Class {
		return a.Class < b.Class
	}
	return a.Class == Elsewhere && a.Trip < b.Trip
}

// The constants of the choice.
const (
	// over is Envoy's overprovisioning factor.
	over = 1.4
	// panicBelow is the share of available capacity below which soft ejections are
	// passed over.
	panicBelow = 0.5
	// lateAt is the share of the objective from which on farther sites are looked at,
	// which have to be sooner by gainShare and by gainLeast, or less busy as for evenShare.
	lateAt    = 0.7
	gainShare = 0.2
	gainLeast = 200 * time.Millisecond
	// evenShare is how many times as busy a place may be as another one: the caller's
	// zone as the rest of its region, and its region as others once tokens come slowly.
	// So many requests for each replica are no reason: between zones it is a
	// millisecond, and a queue is worth many.
	evenShare = 1.25
	evenZone  = 1
	evenFar   = 4
)

// Plan is in which order sites are asked. It may be made again and again, and then
// allocates nothing.
type Plan struct {
	Order []int     // of the sites: the first gets the request, the others if it cannot serve
	Share []float64 // by site: of requests like this one
	Why   string    // why the first is first
	Panic bool      // soft ejections are to be passed over

	sorted []int // by level
}

// Make plans for sites, of which there is at least one. The objective is when the
// first token has to come, 0 if there is none. The draw is uniform. Where the caller's
// zone is too busy it becomes one of its region like the others.
func (p *Plan) Make(sites []Site, objective time.Duration, draw uint64) {
	even(sites)
	p.sort(sites)
	p.share(sites)
	first := p.draw(draw)
	p.Why = p.why(sites, first)
	if at, why := p.better(sites, first, objective); why != "" {
		first, p.Why = at, why
	}
	p.Order = append(p.Order[:0], first)
	for _, level := range [...]bool{true, false} { // then what is of its level, then the nearest
		for _, i := range p.sorted {
			if i != first && level == (WhyNot(&sites[i], &sites[first]) == AsNear) {
				p.Order = append(p.Order, i)
			}
		}
	}
}

// even gives the caller's zone the class of its region where it is busier than the rest
// of that.
func even(sites []Site) {
	var busy, open, others float64
	for i := range sites {
		switch s := &sites[i]; s.Class {
		case SameZone:
			busy = max(busy, s.Load)
		case SameRegion:
			open, others = open+s.Open, others+s.Open*s.Load
		case Elsewhere, Anywhere:
		}
	}
	if open == 0 || !busier(busy, others/open, evenZone) {
		return
	}
	for i := range sites {
		if sites[i].Class == SameZone {
			sites[i].Class = SameRegion
		}
	}
}

// sort sorts the sites by level, those of one level as they come.
func (p *Plan) sort(sites []Site) {
	p.sorted = p.sorted[:0]
	for i := range sites {
		at := len(p.sorted)
		p.sorted = append(p.sorted, i)
		for ; at > 0 && nearer(&sites[i], &sites[p.sorted[at-1]]); at-- {
			p.sorted[at] = p.sorted[at-1]
		}
		p.sorted[at] = i
	}
}

// share works out which share of requests each site gets.
func (p *Plan) share(sites []Site) {
	p.Share = p.Share[:0]
	for range sites {
		p.Share = append(p.Share, 0)
	}
	p.Panic = false
	var open, soft, total float64
	for i := range sites {
		open, soft, total = open+sites[i].Open, soft+sites[i].Soft, total+sites[i].Total
	}
	whole := p.levels(sites)
	if whole < 1 && open < panicBelow*total && soft > 0 {
		p.Panic = true
		whole = p.levels(sites)
	}
	left := 1.0
	p.each(sites, func(level []int, available float64) {
		load := min(left, available)
		if whole < 1 { // nobody has enough: each what it can
			load = 0
			if whole > 0 {
				load = available / whole
			}
		}
		left -= load
		sum := 0.0
		for _, i := range level {
			sum += p.weight(&sites[i])
		}
		for _, i := range level {
			if sum > 0 {
				p.Share[i] = load * p.weight(&sites[i]) / sum
			}
		}
	})
}

// levels returns which part of all requests the levels can take together.
func (p *Plan) levels(sites []Site) (whole float64) {
	p.each(sites, func(_ []int, available float64) { whole += available })
	return whole
}

// each calls f with the sites of each level and which part of all requests it can
// take, the nearest first.
func (p *Plan) each(sites []Site, f func(level []int, available float64)) {
	for from := 0; from < len(p.sorted); {
		to := from + 1
		for to < len(p.sorted) && !nearer(&sites[p.sorted[from]], &sites[p.sorted[to]]) {
			to++
		}
		var open, total float64
		for _, i := range p.sorted[from:to] {
			open, total = open+p.open(&sites[i]), total+sites[i].Total
		}
		f(p.sorted[from:to], part(open, total))
		from = to
	}
}

func (p *Plan) open(s *Site) float64 {
	if p.Panic {
		return s.Open + s.Soft
	}
	return s.Open
}

// part returns which part of its share something can take of which so much is open.
func part(open, total float64) float64 {
	if total <= 0 {
		return 0
	}
	return min(1, over*open/total)
}

// weight is what a site weighs beside others of its level.
func (p *Plan) weight(s *Site) float64 { return s.Weight * part(p.open(s), s.Total) }

// draw draws a site by the shares; the nearest where nobody has one.
func (p *Plan) draw(draw uint64) int {
	at := float64(draw>>11) / (1 << 53)
	last := p.sorted[0]
	for _, i := range p.sorted {
		if p.Share[i] == 0 {
			continue
		}
		if last = i; at < p.Share[i] {
			return i
		}
		at -= p.Share[i]
	}
	return last // rounding
}

// why says why a site was drawn.
func (p *Plan) why(sites []Site, first int) string {
	s := &sites[first]
	passed, taking := false, false
	for i := range sites {
		if nearer(&sites[i], s) {
			passed, taking = true, taking || p.Share[i] > 0
		}
	}
	switch {
	case p.Panic:
		return Panic
	case taking:
		return Short
	case passed:
		return Out
	case s.Class == SameZone:
		return Zone
	case s.Class == SameRegion:
		return Region
	case s.Class == Elsewhere:
		return Nearest
	default:
		return Unknown
	}
}

// better returns the nearest site beyond the first that keeps the objective better by
// enough, and why, where the first is about to miss it; else no reason.
func (p *Plan) better(sites []Site, first int, objective time.Duration) (int, string) {
	local := &sites[first]
	here := comes(local)
	// With less than one request for each replica nobody waits, whatever is thought: the
	// next one finds out, or what once was slow would never be asked again.
	late := local.Load >= 1 && local.TTFT > 0 && objective > 0 && float64(here) > lateAt*float64(objective)
	most := here - max(time.Duration(gainShare*float64(here)), gainLeast)
	for _, i := range p.sorted {
		s := &sites[i]
		switch {
		case !nearer(local, s) || s.Class == Anywhere || p.open(s) == 0:
		case late && s.TTFT > 0 && comes(s) <= most:
			return i, Late
		case local.Slow && busier(local.Load, s.Load, evenFar):
			return i, Slow
		}
	}
	return 0, ""
}

// busier reports whether one place is busier than another by enough to tell.
func busier(load, other, least float64) bool { return load > evenShare*other+least }

// comes returns when the caller would see the first token of a site.
func comes(s *Site) time.Duration {
	if s.Class == Elsewhere {
		return s.TTFT + s.Trip
	}
	return s.TTFT
}

// WhyNot says why a site does not get a request that the first one does.
func WhyNot(s, first *Site) string {
	switch {
	case nearer(s, first):
		return Nearer
	case nearer(first, s):
		return Farther
	default:
		return AsNear
	}
}
