package flow

import (
	"headworks/internal/fault"
	"headworks/internal/fleet"
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
