package fleet

import (
	"time"

	"headworks/internal/inference"
)

// Knowledge is which documents a model answers from, and how.
type Knowledge struct {
	Collections []string
	Required    bool          // without them there is no answer
	Timeout     time.Duration // for the search, and what comes before it
	Ranker      string        // bm25, dense or hybrid; empty: the collection's own
	Passages    int           // that the model gets to read at most; 0: as ground says
	Tokens      int           // of them; 0: as ground says
	Whole       int           // tokens up to which collections are read whole; 0: as Tokens, below 0: never
	Rewriter    *Rewriter     // nil: what is searched for is found by rules alone
}

// Rewriter is a model that says what to search for.
type Rewriter struct {
	Upstream int // by its place in the snapshot
	Model    string
	Timeout  time.Duration
	Price    inference.Price
}
