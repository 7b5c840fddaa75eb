package identity

import (
	"slices"
	"time"

	"headworks/internal/fault"
	"headworks/internal/tenant"
)

// maxSlots bounds the places in the counts of admission that are given to callers of
// other cells; beyond it those of one cell share one.
const maxSlots = 100_000

// Vouched returns who another cell says that a caller is, by name: the key of that
// name and tenant here, with what holds of it here, or a guest as he is told of. His
// requests stay in the regions that both allow, and he asks for the models that he is
// told of with, if the key here may too. What he wants counts as far as it may here.
// Its errors are *fault.Error.
func (r *Resolver) Vouched(told tenant.Caller, now time.Time) (*tenant.Caller, error) {
	own := (*r.named.Load())[name{told.Tenant, told.Key}]
	if own == nil {
		told.KeyID = "cell:" + told.Cell + ":" + told.KeyID
		told.Slot = r.slot(told.KeyID, "cell:"+told.Cell)
		return &told, nil
	}
	if expired(own, now) {
		return nil, fault.New(fault.Unauthenticated, words)
	}
	for _, m := range told.Models {
		if !own.May(m) {
			return nil, fault.New(fault.Forbidden, "the key that another cell names may not ask for this model here")
		}
	}
	c := *own
	c.Cell, c.Searched, c.Models = told.Cell, told.Searched, told.Models
	c.Tier.Wish = own.Tier.Grant(told.Tier.Wish)
	switch {
	case !c.Residency.Bound:
		c.Residency = told.Residency
	case told.Residency.Bound:
		c.Residency.Regions = slices.DeleteFunc(slices.Clone(c.Residency.Regions), func(region string) bool {
			return !slices.Contains(told.Residency.Regions, region)
		})
	}
	if c.Region == "" {
		c.Region, c.Zone = told.Region, told.Zone
	}
	return &c, nil
}

// Own returns a caller that this process is itself, with a place in the counts of
// admission that no key has.
func (r *Resolver) Own(c tenant.Caller) *tenant.Caller {
	c.KeyID = "own:" + c.KeyID
	c.Slot = r.slot(c.KeyID, "own:")
	return &c
}

// slot returns a place in the counts of admission, or that of all who have none.
func (r *Resolver) slot(id, shared string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slot, ok := r.slots[id]; ok {
		return slot
	}
	if len(r.slots) >= maxSlots {
		id = shared
	}
	slot, ok := r.slots[id]
	if !ok {
		slot = len(r.slots)
		r.slots[id] = slot
	}
	return slot
}
