package inference

import (
	"math/bits"
	"slices"
)

// Ability is what a model can do beside reading and writing text.
type Ability uint8

// The abilities.
const (
	Tools      Ability = iota // asks for functions
	Vision                    // reads pictures
	Documents                 // reads PDF
	Hearing                   // hears audio
	JSONSchema                // keeps to a JSON Schema
	Reasoning                 // thinks before it answers
	abilities
)

var abilityNames = [abilities]string{"tools", "vision", "documents", "audio", "json_schema", "thinking"}

func (a Ability) String() string { return abilityNames[a] }

// Abilities is a set of them. The zero Abilities says that nothing is known.
type Abilities uint8

// known marks a set that was told, be it empty.
const known = 1 << 7

// AbilitiesOf returns the set of these. It is known, be it empty.
func AbilitiesOf(list ...Ability) Abilities {
	s := Abilities(known)
	for _, a := range list {
		s |= 1 << a
	}
	return s
}

// ParseAbilities returns the set of these names, and false if one is none.
func ParseAbilities(names []string) (Abilities, bool) {
	s := Abilities(known)
	for _, name := range names {
		i := slices.Index(abilityNames[:], name)
		if i < 0 {
			return 0, false
		}
		s |= 1 << i
	}
	return s, true
}

// AbilityNames returns the names of all abilities.
func AbilityNames() []string { return slices.Clone(abilityNames[:]) }

// Known reports whether s was told.
func (s Abilities) Known() bool { return s&known != 0 }

// Has reports whether a is in s.
func (s Abilities) Has(a Ability) bool { return s>>a&1 != 0 }

// With returns s with a in it.
func (s Abilities) With(a Ability) Abilities { return s | known | 1<<a }

// Lacks returns those of needs that are not in s, which is known.
func (s Abilities) Lacks(needs Abilities) Abilities { return needs &^ s &^ known }

// First returns the first in s, which has one.
func (s Abilities) First() Ability { return Ability(bits.TrailingZeros8(uint8(s))) }

// Both returns what is in both sets; the other, where one is not known.
func (s Abilities) Both(other Abilities) Abilities {
	switch {
	case !s.Known():
		return other
	case !other.Known():
		return s
	}
	return s & other
}

// Names returns the names of those in s; nil if nothing is known.
func (s Abilities) Names() []string {
	if !s.Known() {
		return nil
	}
	names := []string{}
	for a := range abilities {
		if s.Has(a) {
			names = append(names, a.String())
		}
	}
	return names
}

// Price is what tokens cost, in US dollars per million. A price that is not Known is
// unknown, never zero.
type Price struct {
	Known         bool
	Input, Output float64

	// Of the upstream's prompt cache; what it keeps for an hour may cost more to
	// write. They stand at Input where nothing else is known.
	CacheRead, CacheWrite, CacheWriteHour float64

	// Above is the length of a prompt from which on Long holds, for the whole
	// request; 0: at no length.
	Above int
	Long  Rates
}

// Rates are what the tokens of long prompts cost. What is written to the cache costs
// as much more as Input does.
type Rates struct{ Input, Output, CacheRead float64 }

// Model is what a list of models tells of one. What is zero is not known.
type Model struct {
	Name      string
	Created   int64 // Unix seconds
	Window    int   // tokens of prompt and answer together
	Output    int   // tokens of the longest answer
	Abilities Abilities
	Price     Price
	Speaks    Set // what its upstreams speak
}
