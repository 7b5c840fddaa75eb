package app

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"headworks/internal/api/admin"
	"headworks/internal/gateway"
	"headworks/internal/record"
	"headworks/internal/telemetry"
)

// lastPairs is how many pairs of answers are compared.
const lastPairs = 512

// shadows keeps what came of copies, for operators. It is the gateway's Watcher.
type shadows struct {
	app    *App
	copies *gateway.Shadows

	mu sync.Mutex
	by map[[2]string]*seen // by model and shadow
}

// seen is what was seen of one shadow.
type seen struct {
	copies, failed uint64
	unsent         map[string]uint64
	cost           int64
	pairs          []gateway.Compared // a ring
	next           int
}

func (s *shadows) at(model, shadow string) *seen {
	k := [2]string{model, shadow}
	if s.by == nil {
		s.by = map[[2]string]*seen{}
	}
	if s.by[k] == nil {
		s.by[k] = &seen{unsent: map[string]uint64{}}
	}
	return s.by[k]
}

// Unsent implements gateway.Watcher.
func (s *shadows) Unsent(model, shadow, why string) {
	s.app.metrics.Unsent(model, shadow, why)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at(model, shadow).unsent[why]++
}

// Compare implements gateway.Watcher.
func (s *shadows) Compare(c *gateway.Compared) {
	m := s.app.metrics
	m.Copied(c.Model, c.Shadow, c.Copy.End, c.Copy.Cost)
	whole := c.Caller.End == record.OK && c.Copy.End == record.OK
	if whole {
		m.Compared(c.Model, c.Shadow, c.Alike(), answer("caller", &c.Caller), answer("copy", &c.Copy))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.at(c.Model, c.Shadow)
	at.copies++
	at.cost += max(c.Copy.Cost, 0)
	if c.Copy.End != record.OK {
		at.failed++
	}
	switch {
	case !whole:
	case len(at.pairs) < lastPairs:
		at.pairs = append(at.pairs, *c)
	default:
		at.pairs[at.next] = *c
		at.next = (at.next + 1) % lastPairs
	}
}

func answer(of string, o *gateway.Outcome) telemetry.Answer {
	return telemetry.Answer{Of: of, First: o.TTFT.Seconds(), Took: o.Took.Seconds(), Output: o.Output}
}

// list tells of the shadows that models have, and of those that they had.
func (s *shadows) list() []admin.Shadow {
	shares := map[[2]string]float64{}
	for _, m := range s.app.gateway.World().Fleet.Models {
		if m.Shadow != nil {
			shares[[2]string{m.Name, m.Shadow.Model}] = m.Shadow.Share
		}
	}
	running := s.copies.Running()
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range shares {
		s.at(k[0], k[1])
	}
	all := []admin.Shadow{}
	for k, at := range s.by {
		a := admin.Shadow{
			Model: k[0], Shadow: k[1], Share: shares[k], Copies: at.copies, Failed: at.failed, Unsent: maps.Clone(at.unsent),
			Pairs: len(at.pairs), CostUSD: float64(at.cost) / 1e6,
		}
		if shares[k] > 0 {
			a.Running, a.Waiting = running[k[0]][0], running[k[0]][1]
		}
		a.TTFT = at.median(func(o *gateway.Outcome) float64 { return o.TTFT.Seconds() })
		a.Took = at.median(func(o *gateway.Outcome) float64 { return o.Took.Seconds() })
		a.Output = at.median(func(o *gateway.Outcome) float64 { return float64(o.Output) })
		same := 0
		for i := range at.pairs {
			if at.pairs[i].Alike() {
				same++
			}
		}
		if a.Pairs > 0 {
			a.Same = float64(same) / float64(a.Pairs)
		}
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b admin.Shadow) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.Shadow, b.Shadow))
	})
	return all
}

// median returns the medians of a measure over the pairs that both have it.
func (s *seen) median(of func(*gateway.Outcome) float64) (p admin.Pair) {
	var callers, copies []float64
	for i := range s.pairs {
		c := &s.pairs[i]
		if x, y := of(&c.Caller), of(&c.Copy); x >= 0 && y >= 0 {
			callers, copies = append(callers, x), append(copies, y)
		}
	}
	if n := len(callers); n > 0 {
		slices.Sort(callers)
		slices.Sort(copies)
		p = admin.Pair{Caller: callers[n/2], Copy: copies[n/2]}
	}
	return p
}
