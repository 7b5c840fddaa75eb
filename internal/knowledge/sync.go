package knowledge

import "time"

// Sync is where a collection's documents come from again and again.
type Sync struct {
	From    string        `json:"from"`
	Every   time.Duration `json:"every"`
	Began   time.Time     `json:"began,omitzero"` // the last one
	Done    time.Time     `json:"done,omitzero"`  // the last one that went well
	Trouble string        `json:"trouble,omitempty"`
}

// watch is what is measured of synchronisations.
type watch struct{}
