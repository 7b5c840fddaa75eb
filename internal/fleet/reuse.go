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
	Mark       string        // differs where something is configured otherwise that may change answers
}
