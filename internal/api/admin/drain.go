package admin

import (
	"encoding/json"
	"net/http"
	"time"

	"headworks/internal/fault"
)

// Part is a part of the fleet: an upstream or one of its replicas, a zone or a
// region.
type Part struct {
	Upstream string `json:"upstream,omitempty"`
	Replica  string `json:"replica,omitempty"` // of Upstream: its name or URL
	Region   string `json:"region,omitempty"`
	Zone     string `json:"zone,omitempty"` // a zone, or region/zone
}

// DrainOrder is what an operator wants to have no more requests.
type DrainOrder struct {
	Part
	For   string `json:"for,omitempty"`   // how long, such as 10m; empty: until it is undrained
	Force bool   `json:"force,omitempty"` // even if a model is left with nothing
}

// Drain is a part of the fleet that gets no more requests.
type Drain struct {
	Part
	What     string          `json:"what"` // in words
	Since    time.Time       `json:"since"`
	Until    time.Time       `json:"until,omitzero"` // when it ends by itself
	Replicas []ReplicaOfPart `json:"replicas"`
	Without  []string        `json:"models_without,omitempty"` // what nothing serves while it lasts
}

// ReplicaOfPart is a replica, and what it still has to do.
type ReplicaOfPart struct {
	Upstream string `json:"upstream"`
	Replica  string `json:"replica"`
	Place    string `json:"place,omitempty"`
	InFlight int    `json:"in_flight"`
}

// Drains takes parts of the fleet out of service for a while, and lets them back. Its
// errors are *fault.Error.
type Drains interface {
	Drains() []Drain
	Drain(o DrainOrder) (Drain, error)
	Undrain(p Part, all bool) ([]Drain, error)
}

const partForm = "it is of the form {\"upstream\": \"eu\", \"replica\": \"r1\"}, {\"zone\": \"eu-west/a\"} or {\"region\": \"eu-west\"}"

func (s *Surface) orderDrain(_ http.ResponseWriter, r *http.Request) (any, error) {
	var o DrainOrder
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "the body does not say what to drain; "+partForm, err)
	}
	return s.Drains.Drain(o)
}

func (s *Surface) undrain(_ http.ResponseWriter, r *http.Request) (any, error) {
	q := r.URL.Query()
	all := q.Get("all") == "true"
	ended, err := s.Drains.Undrain(Part{Upstream: q.Get("upstream"), Replica: q.Get("replica"), Region: q.Get("region"), Zone: q.Get("zone")}, all)
	return map[string][]Drain{"ended": ended}, err
}
