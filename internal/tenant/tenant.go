// Package tenant says who asks: the caller behind a key, its tier and its
// limits, as values.
package tenant

import (
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

// Tier is what a class of callers may use.
type Tier struct {
	Name        string
	Class       Class
	Requests    Rate
	Tokens      Rate
	Concurrency int // requests at once; 0 is no limit
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
