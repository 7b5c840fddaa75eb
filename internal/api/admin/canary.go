package admin

import (
	"encoding/json"
	"net/http"
	"time"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/record"
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

// Verdict is what somebody thinks of the answer to a request.
type Verdict struct {
	Request string `json:"request_id"`
	Good    *bool  `json:"good"`
}

// Judged tells whose answer it was.
type Judged struct {
	Model  string `json:"model"`
	Target string `json:"target"`
	Good   bool   `json:"good"`
	Counts bool   `json:"counts"` // a canary of the model is under way, and the request took part in it
}

// Canaries tells of the canaries and moves them. Its errors are *fault.Error where the
// operator can mend them.
type Canaries interface {
	Canaries() []Canary
	Move(m Move) (Canary, error)
	Judge(r *record.Record, good bool) Judged
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

func (s *Surface) judge(_ http.ResponseWriter, r *http.Request) (any, error) {
	var v Verdict
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil || v.Good == nil {
		return nil, fault.Wrap(fault.InvalidRequest, "the body is no JSON of the form {\"request_id\": \"req_...\", \"good\": true}", err)
	}
	id, err := inference.ParseID(v.Request)
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, err.Error(), err)
	}
	found, err := s.record(id)
	if err != nil {
		return nil, err
	}
	return s.Canaries.Judge(found, *v.Good), nil
}
