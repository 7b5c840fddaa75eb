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

// Semantic is what is done with answers to other questions that ask for the same.
type Semantic uint8

// What is done.
const (
	SemanticOff    Semantic = iota // nothing
	SemanticShadow                 // they are found and compared, and none is given
	SemanticOn                     // they are given, once enough of them were compared
)

func (s Semantic) String() string { return [...]string{"off", "shadow", "on"}[s] }

// Embedder is a model that makes vectors of questions.
type Embedder struct {
	Upstream int // place in the snapshot
	Model    string
	Timeout  time.Duration
}

// Reuse is what an operator says of earlier answers of a model.
type Reuse struct {
	Exact      Exact
	Semantic   Semantic
	Embedder   *Embedder     // nil: questions are compared by their letters
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
		if all.Semantic = min(all.Semantic, r.Semantic); !all.Embedder.same(r.Embedder) {
			all.Embedder = nil
		}
		all.Repeats = all.Repeats && r.Repeats
		all.TTL, all.Revalidate, all.IfError = min(all.TTL, r.TTL), min(all.Revalidate, r.Revalidate), min(all.IfError, r.IfError)
		all.Mark += "," + m.Name + "=" + r.Mark
	}
	return all
}

func (e *Embedder) same(o *Embedder) bool {
	return e == o || e != nil && o != nil && *e == *o
}
