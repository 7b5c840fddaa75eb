package fleet

import (
	"time"

	"headworks/internal/tenant"
)

// Exact is when an earlier answer to the same request may stand in for a new one.
type Exact uint8

// When it may.
const (
	ExactOff  Exact = iota // never
	ExactAuto              // where the same would come out again: see package reuse
	ExactOn                // always
)

// Reuse is what an operator says of earlier answers of a model.
type Reuse struct {
	Exact      Exact
	Repeats    bool          // all its targets give the same answer to the same request
	TTL        time.Duration // for which an answer is fresh
	Revalidate time.Duration // for which it is given after that, while a new one is made
	IfError    time.Duration // for which it is given after that, where no new one can be had
	Reach      tenant.Reach  // for whom it may stand in
	Vectors    tenant.Reach  // for whom vectors of texts are kept; 0: none are
	Mark       string        // differs where something is configured otherwise that may change answers
}

// joinReuse returns what holds for several models as one: the least of what each allows.
func joinReuse(models []*Model) *Reuse {
	var all *Reuse
	for _, m := range models {
		r := m.Reuse
		switch {
		case r == nil:
			return nil
		case all == nil:
			all = new(*r)
			continue
		}
		all.Exact, all.Reach, all.Vectors = min(all.Exact, r.Exact), min(all.Reach, r.Reach), min(all.Vectors, r.Vectors)
		all.Repeats = all.Repeats && r.Repeats
		all.TTL, all.Revalidate, all.IfError = min(all.TTL, r.TTL), min(all.Revalidate, r.Revalidate), min(all.IfError, r.IfError)
		all.Mark += "," + m.Name + "=" + r.Mark
	}
	return all
}
