// Package tenant says who asks: the caller behind a key, its tier and its
// limits, as values.
package tenant

import (
	"slices"
	"strings"
	"time"
)

// Class is how dear a request is when there is not room for all.
type Class uint8

// The classes, the dearest first.
const (
	Critical Class = iota
	Standard
	Sheddable
	Batch
)

func (c Class) String() string {
	return [...]string{"critical", "standard", "sheddable", "batch"}[c]
}

// Rate is so many per time. The zero Rate is no limit.
type Rate struct {
	Count int64
	Per   time.Duration
}

// Limited reports whether r limits anything.
func (r Rate) Limited() bool { return r.Count > 0 && r.Per > 0 }

// Budget is so much money per time, in micro-USD. The zero Budget is no limit.
type Budget struct {
	Amount int64
	Per    time.Duration // a day or a month of 30 days; windows start at UTC midnight
}

// Limited reports whether b limits anything.
func (b Budget) Limited() bool { return b.Amount > 0 && b.Per > 0 }

// Preference is what a caller wants most of an answer.
type Preference uint8

// The preferences.
const (
	NoPreference Preference = iota
	Quality
	Price
	Latency
	preferences
)

var preferenceNames = [preferences]string{"", "quality", "price", "latency"}

func (p Preference) String() string { return preferenceNames[p] }

// ParsePreference returns the preference of that name.
func ParsePreference[T string | []byte](name T) (Preference, bool) {
	for p := Quality; p < preferences; p++ {
		if preferenceNames[p] == string(name) {
			return p, true
		}
	}
	return NoPreference, false
}

// Objective is how soon an answer should come. What is zero is no objective.
type Objective struct {
	TTFT time.Duration // the first token
	TPOT time.Duration // each token after that
}

// Or returns o, and where it says nothing what other says.
func (o Objective) Or(other Objective) Objective {
	if o.TTFT == 0 {
		o.TTFT = other.TTFT
	}
	if o.TPOT == 0 {
		o.TPOT = other.TPOT
	}
	return o
}

// Wish is what is wanted of an answer.
type Wish struct {
	Prefer    Preference
	Objective Objective
}

// Tier is what a class of callers may use.
type Tier struct {
	Name        string
	Class       Class
	Requests    Rate
	Tokens      Rate
	Concurrency int // requests at once; 0 is no limit

	Wish    Wish         // where a caller does not say
	May     []Preference // that callers may have; nil: all
	Fastest Objective    // that callers may ask for
}

// Grant returns what counts of what a caller asks for: the tier's own wish where he
// says nothing or what he may not say, and no shorter times than he may have.
func (t *Tier) Grant(asked Wish) Wish {
	w := asked
	if w.Prefer == NoPreference || t.May != nil && !slices.Contains(t.May, w.Prefer) {
		w.Prefer = t.Wish.Prefer
	}
	if w.Objective.TTFT > 0 {
		w.Objective.TTFT = max(w.Objective.TTFT, t.Fastest.TTFT)
	}
	if w.Objective.TPOT > 0 {
		w.Objective.TPOT = max(w.Objective.TPOT, t.Fastest.TPOT)
	}
	w.Objective = w.Objective.Or(t.Wish.Objective)
	return w
}

// Residency is where a caller's requests may go. The zero Residency is anywhere.
type Residency struct {
	Bound   bool     // to Regions; where there are none, nowhere
	Regions []string // each by its name
}

// Allows reports whether something in a region may serve the caller. What is in no
// region that anybody named is in none of those.
func (r *Residency) Allows(region string) bool {
	return !r.Bound || region != "" && slices.Contains(r.Regions, region)
}

// Caller is who asks. It is built with the key and shared by all its requests,
// so nobody changes it.
type Caller struct {
	Slot    int // stable place in the counts of admission, the same over reloads
	KeyID   string
	Key     string // the key's name
	Tenant  string
	Project string
	Tier    Tier
	Models  []string // names and patterns with a trailing *; empty allows all
	Budget  Budget
	Expires time.Time // zero: never

	// Cell is the cell that vouches for the caller, whose request it sent on; empty
	// where the caller came himself. Such a request goes to no other cell.
	Cell string

	// Searched says that Cell did with documents what was to be done for the request.
	Searched bool

	Region    string // where it is; empty: found out with each request
	Zone      string // of Region
	Residency Residency

	// Share is the widest reach at which what is kept for the caller may be used.
	// It is Organisation at least; Public is a choice of the operator's alone.
	Share Reach
}

// May reports whether the caller may ask for a model of that name.
func (c *Caller) May(model string) bool {
	if len(c.Models) == 0 {
		return true
	}
	for _, m := range c.Models {
		if prefix, ok := strings.CutSuffix(m, "*"); ok && strings.HasPrefix(model, prefix) || m == model {
			return true
		}
	}
	return false
}
