package flow

import (
	"headworks/internal/fleet"
	"headworks/internal/lora"
	"headworks/internal/prefix"
	"headworks/internal/tenant"
)

// Why a replica is not asked for an adapter now, and why the one is that is.
const (
	NotLoaded  = "the adapter is not loaded there"
	SlotsTaken = "no slot for the adapter there"
	Loaded     = "its adapter is loaded there"
)

// What a replica that holds an adapter may be behind before another one loads it too:
// as much as it takes to load it, in prompt tokens at the usual rate, and in requests.
const (
	loadSeconds = 0.5
	loadFactor  = 1.25
	loadSpare   = 4
)

// seed sets the blocks of a target's prompts apart from those of others, and where
// tenants share nothing, from those of other tenants.
func seed(t *fleet.Target, u *fleet.Upstream, c *tenant.Caller) uint64 {
	salt := ""
	if u.Apart && c != nil {
		salt = c.Tenant
	}
	if t.Adapter == "" {
		return prefix.Seed(t.Model, "", salt)
	}
	return prefix.Seed(t.Base, t.Adapter, salt)
}

// adapt returns the worst rank of replicas that are asked for a target's adapter: those
// that hold it, unless they are too far behind the others; else those with room for it,
// else those where it takes the place of an idle one.
func (p *Policy) adapt(b *board, u *fleet.Upstream, target *fleet.Target) lora.Rank {
	var least [lora.Busy + 1]Load
	var any [lora.Busy + 1]bool
	for i := range u.Replicas {
		r := &u.Replicas[i]
		st := b.Standing(r)
		if st.Why != "" {
			continue
		}
		rank := p.loras.Rank(r.ID, target.Adapter, u.Adapters)
		l := Load{Requests: st.Load, Prefill: st.Prefill}
		if !any[rank] {
			any[rank], least[rank] = true, l
			continue
		}
		least[rank].Requests = min(least[rank].Requests, l.Requests)
		least[rank].Prefill = min(least[rank].Prefill, l.Prefill)
	}
	rate := u.Rate
	if rate <= 0 {
		rate = unknownRate
	}
	for rank := range lora.Busy {
		if !any[rank] {
			continue
		}
		if rank > lora.Held {
			return rank
		}
		for other := lora.Free; other < lora.Busy; other++ {
			behind := least[rank].Prefill-least[other].Prefill > int(loadSeconds*rate) ||
				float64(least[rank].Requests) > loadFactor*float64(least[other].Requests)+loadSpare
			if any[other] && behind {
				return other
			}
		}
		return lora.Held
	}
	return lora.Busy
}

// unsuited returns why a replica is not asked for the adapter that the board is of;
// empty where it is.
func (b *board) unsuited(id fleet.ReplicaID) string {
	switch rank := b.policy.loras.Rank(id, b.adapter, b.upstream.Adapters); {
	case rank <= b.rank:
		return ""
	case rank == lora.Busy:
		return SlotsTaken
	}
	return NotLoaded
}

// Adapters returns the adapters that a replica is thought to hold.
func (p *Policy) Adapters(id fleet.ReplicaID) []string { return p.loras.Holds(id) }

// Adapted notes what an engine says of its adapters: those of the requests that it
// runs, and its slots, 0 where it does not say.
func (p *Policy) Adapted(id fleet.ReplicaID, running []string, slots int) {
	p.loras.Seen(id, running, slots)
}
