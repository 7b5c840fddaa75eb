package admin

import (
	"encoding/json"
	"net/http"
	"time"

	"headworks/internal/fault"
)

// Canary is a target that is tried on a share of its model's requests.
type Canary struct {
	Model  string    `json:"model"`
	Target string    `json:"target"` // its name
	Phase  string    `json:"phase"`  // running, rolled back, promoted
	Step   int       `json:"step"`   // of Steps, from 0
	Steps  []float64 `json:"steps"`
	Share  float64   `json:"share"` // of the requests, now
	Since  time.Time `json:"since,omitzero"`
	Why    string    `json:"why,omitempty"` // it went back
	Signal []Signal  `json:"signals"`
}

// Signal is what a canary is compared by.
type Signal struct {
	Name     string  `json:"name"`     // errors, ttft, tpot, quality
	Answers  int     `json:"answers"`  // of the canary's that were compared in this step
	Worse    int     `json:"worse"`    // of them: failed, too slow, judged bad
	Others   float64 `json:"others"`   // the rate of the others, or their median in seconds
	Evidence float64 `json:"evidence"` // that the canary is worse: 0 none, 1 enough to go back
}

// Move is what an operator wants of a canary.
type Move struct {
	Model string `json:"model"`
	To    string `json:"to"` // promote, rollback, restart
}

// Canaries tells of the canaries and moves them. Its errors are *fault.Error where the
// operator can mend them.
type Canaries interface {
	Canaries() []Canary
	Move(m Move) (Canary, error)
}

func (s *Surface) moveCanary(_ http.ResponseWriter, r *http.Request) (any, error) {
	var m Move
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "the body is no JSON of the form {\"model\": \"assistant\", \"to\": \"promote\"}", err)
	}
	return s.Canaries.Move(m)
}
