package admin

import (
	"context"
	"encoding/json"
	"net/http"

	"headworks/internal/fault"
	"headworks/internal/incident"
)

// Incidents is what happened while something was wrong.
type Incidents interface {
	Incidents() []incident.Incident
	Incident(id string) (incident.Incident, bool)
	Edit(ctx context.Context, id string, e incident.Edit) (incident.Incident, bool)
	TestSinks(ctx context.Context) []TriedSink
}

// PostMortem is the draft of what is written after an incident.
type PostMortem struct {
	ID       string `json:"id"`
	Markdown string `json:"markdown"`
}

const mostWords = 10_000

func noIncident() error {
	return fault.New(fault.NotFound, "no such incident; headworks incident list has their ids")
}

func (s *Surface) incidents(http.ResponseWriter, *http.Request) (any, error) {
	return map[string][]incident.Incident{"incidents": s.Incidents.Incidents()}, nil
}

func (s *Surface) incident(_ http.ResponseWriter, r *http.Request) (any, error) {
	x, ok := s.Incidents.Incident(r.PathValue("id"))
	if !ok {
		return nil, noIncident()
	}
	return x, nil
}

func (s *Surface) postMortem(_ http.ResponseWriter, r *http.Request) (any, error) {
	x, ok := s.Incidents.Incident(r.PathValue("id"))
	if !ok {
		return nil, noIncident()
	}
	return PostMortem{ID: x.ID, Markdown: x.Markdown()}, nil
}

func (s *Surface) editIncident(_ http.ResponseWriter, r *http.Request) (any, error) {
	var e incident.Edit
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "the body is no JSON of the form {\"note\": \"...\", \"by\": \"Ada\"}", err)
	}
	switch {
	case e.Note == "" && e.Role == "" && e.Status == "":
		return nil, fault.New(fault.InvalidRequest, "say what to do: a note, a role and who has it, or a status")
	case len(e.Note)+len(e.Role)+len(e.Who)+len(e.By) > mostWords:
		return nil, fault.New(fault.InvalidRequest, "that is too long: 10,000 bytes at most")
	case e.Status != "" && e.Status != incident.Open && e.Status != incident.Mitigated && e.Status != incident.Closed:
		return nil, fault.New(fault.InvalidRequest, "status is open, mitigated or closed")
	}
	x, ok := s.Incidents.Edit(r.Context(), r.PathValue("id"), e)
	if !ok {
		return nil, noIncident()
	}
	return x, nil
}
