package flow

import (
	"headworks/internal/fleet"
)

// vary lets the target come first that the request's subject is held to.
func (p *Policy) vary(t *Ticket) {
	if m := t.Model; m.Sticky != fleet.Loose && m.Policy == fleet.Weighted && t.Order.N > 1 {
		t.Order.Hold(m, t.subject())
	}
}

// subject returns a number for whom the model's targets are drawn for: of what a
// request does not tell, the next wider one stands in.
func (t *Ticket) subject() uint64 {
	r := t.Request
	switch s := t.Model.Sticky; {
	case s == fleet.BySession && r.Session != 0:
		return within(t.Caller.Tenant, r.Session)
	case s <= fleet.ByUser && r.User != 0:
		return within(t.Caller.Tenant, r.User)
	default:
		return within(t.Caller.Tenant, within(t.Caller.KeyID, 1))
	}
}

// within hashes a number into one of a name's own (FNV-1a): the same word of two
// tenants is two subjects.
func within(name string, n uint64) uint64 {
	h := uint64(14695981039346656037) ^ n
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}
