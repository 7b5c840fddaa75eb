package inference

import "slices"

// Features are what the last question of a prompt looks like: counts that a look of
// a few microseconds gives, and no word of it.
type Features struct {
	Known     bool
	Words     int32
	Clauses   int32 // commas, colons and ends of sentences
	Logic     int32 // words that tie statements together: if, unless, each, not
	Code      int32 // fenced blocks, half of them counting as whole
	Math      int32 // operators and signs of formulas
	Verbs     int32 // instructions: explain, compare, prove
	Questions int32
	Items     int32 // of lists
	Scripts   int32 // writing systems
	Turns     int32 // of the whole conversation
}

// Verdict is how hard a classifier says that a request is, 0 to 1.
type Verdict struct {
	Known bool
	Hard  float32
}

// Effort is how hard the caller asks a model to think.
type Effort uint8

// The efforts.
const (
	NoEffort Effort = iota // nothing is said
	LittleEffort
	MediumEffort
	MuchEffort
)

// ParseEffort returns what a dialect's word for it means, and NoEffort for any other.
func ParseEffort(word []byte) Effort {
	switch string(word) {
	case "none", "minimal", "low":
		return LittleEffort
	case "medium":
		return MediumEffort
	case "high", "xhigh", "max":
		return MuchEffort
	}
	return NoEffort
}

// Service is how a caller wants to be served, where he asks for something of its own.
type Service uint8

// The services.
const (
	AnyService   Service = iota // nothing is said
	CheapService                // slower, for less
	FastService                 // sooner, for more
)

// ParseService returns what OpenAI's word in service_tier means, and AnyService for
// any other.
func ParseService(word []byte) Service {
	switch string(word) {
	case "flex":
		return CheapService
	case "priority":
		return FastService
	}
	return AnyService
}

// Signal is something that tells how hard a request is.
type Signal uint8

// The signals.
const (
	ByLength Signal = iota
	ByClauses
	ByLogic
	ByCode
	ByMath
	ByVerbs
	ByQuestions
	ByItems
	ByLanguages
	ByTurns
	ByTools
	ByEffort
	ByClassifier
	Signals // how many there are
)

var signalNames = [Signals]string{
	"length", "clauses", "logic", "code", "math", "verbs", "questions", "items", "languages", "turns", "tools", "effort", "classifier",
}

func (s Signal) String() string { return signalNames[s] }

// ParseSignal returns the signal of that name.
func ParseSignal(name string) (Signal, bool) {
	i := slices.Index(signalNames[:], name)
	return Signal(max(i, 0)), i >= 0
}

// Term is one thing by which targets are told apart where the best is chosen.
type Term uint8

// The terms.
const (
	ByQuality Term = iota
	ByPrice
	ByLatency
	ByObjective
	Terms // how many there are
)

func (t Term) String() string { return [Terms]string{"quality", "price", "latency", "objective"}[t] }
