package admin

import (
	"net/http"

	"headworks/internal/drift"
)

// Retrieval is how searches for answers do, in collections that are searched together.
type Retrieval struct {
	Collections []string `json:"collections"`
	drift.Report
}

// Qualities are all of them.
type Qualities struct {
	Retrieval []Retrieval `json:"retrieval"`
}

func (s *Surface) quality(http.ResponseWriter, *http.Request) (any, error) {
	return Qualities{s.Retrieval()}, nil
}
