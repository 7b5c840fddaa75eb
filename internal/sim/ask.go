package sim

import (
	"headworks/internal/flow"
	"headworks/internal/vitals"
)

// ask lets every gateway learn what a replica says of its load, as scrape does live.
// The answer comes at once.
func (s *run) ask(r *replica) {
	again := vitals.EveryIdle
	upstream := s.Fleet.Upstreams[r.of.Upstream].Name
	switch {
	case r.cuts > 0: // nobody answers
	case r.down > 0: // refused: it will have begun anew when it answers
		for _, g := range s.gateways {
			g.Restarted(upstream, r.of.ID)
		}
	case !r.under(Mute):
		said := s.page(r)
		for _, g := range s.gateways {
			if r.anew {
				g.Restarted(upstream, r.of.ID)
			}
			g.Observe(r.of.ID, said, g.InFlight(r.of.ID), s.clock())
		}
		r.anew = false
		again = vitals.Every(said.Requests, said.Waiting, float64(said.KV)/float64(said.Capacity))
	}
	s.agenda.set(r.asks, int64(s.now+again))
}

// page returns what a replica says of its load.
func (s *run) page(r *replica) flow.Told {
	if r.under(Stale) {
		return r.said
	}
	return s.metrics(r)
}

// metrics returns what a replica has to do.
func (s *run) metrics(r *replica) flow.Told {
	l := r.engine.Load(r.clock.local(s.now))
	return flow.Told{Requests: l.Running + l.Waiting, Waiting: l.Waiting, KV: int(l.KV * float64(r.params.KVTokens)), Capacity: r.params.KVTokens}
}

// under reports whether an event of a kind holds a replica.
func (r *replica) under(k EventKind) bool {
	for _, e := range r.held {
		if e.Kind == k {
			return true
		}
	}
	return false
}
