package admin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"headworks/internal/alert"
	"headworks/internal/fault"
	"headworks/internal/monitor"
)

// Alerts knows what deserves attention.
type Alerts interface {
	Firing() []alert.Alert
	Ended() []alert.Alert
	Silences() []alert.Silence
	Silence(ctx context.Context, s alert.Silence, now time.Time) error
	Standings(now time.Time) []monitor.Standing
}

// TriedSink is what became of a test.
type TriedSink struct {
	Sink    string `json:"sink"`
	Problem string `json:"problem,omitempty"` // why it was not taken
}

// AlertList is what fires, and what fired before, the latest first.
type AlertList struct {
	Alerts   []alert.Alert   `json:"alerts"`
	Ended    []alert.Alert   `json:"ended"`
	Silences []alert.Silence `json:"silences"`
}

// NewSilence keeps the alerts that match from being told for a while.
type NewSilence struct {
	Match  map[string]string `json:"match"`
	For    string            `json:"for"` // such as 2h
	Reason string            `json:"reason,omitempty"`
}

// scopes are the fields by which alerts may be silenced.
var scopes = []string{"fingerprint", "signal", "model", "tier", "upstream", "replica", "region", "collection"}

const (
	maxSilences = 100
	longestHush = 30 * 24 * time.Hour
)

func (s *Surface) alerts(http.ResponseWriter, *http.Request) (any, error) {
	all := AlertList{Alerts: s.Alerts.Firing(), Ended: s.Alerts.Ended(), Silences: s.Alerts.Silences()}
	for _, list := range []*[]alert.Alert{&all.Alerts, &all.Ended} {
		if *list == nil {
			*list = []alert.Alert{}
		}
	}
	if all.Silences == nil {
		all.Silences = []alert.Silence{}
	}
	return all, nil
}

func (s *Surface) objectives(http.ResponseWriter, *http.Request) (any, error) {
	all := s.Alerts.Standings(time.Now())
	if all == nil {
		all = []monitor.Standing{}
	}
	return map[string][]monitor.Standing{"objectives": all}, nil
}

func (s *Surface) silence(_ http.ResponseWriter, r *http.Request) (any, error) {
	var n NewSilence
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&n); err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "the body is no JSON of the form {\"match\": {\"upstream\": \"eu\"}, \"for\": \"2h\"}", err)
	}
	span, err := time.ParseDuration(n.For)
	switch {
	case err != nil || span <= 0 || span > longestHush:
		return nil, fault.New(fault.InvalidRequest, "for is how long, such as 2h, 720h at most")
	case len(n.Match) == 0:
		return nil, fault.New(fault.InvalidRequest, "match says which alerts: fields of their scope, such as upstream, model, tier, signal, or fingerprint")
	case len(s.Alerts.Silences()) >= maxSilences:
		return nil, fault.New(fault.InvalidRequest, "there are 100 silences already; end one first")
	}
	for field := range n.Match {
		if !slices.Contains(scopes, field) {
			return nil, fault.New(fault.InvalidRequest, field+" is no field of an alert's scope; those are "+strings.Join(scopes, ", "))
		}
	}
	now := time.Now()
	made := alert.Silence{ID: "si_" + rand.Text()[:12], Match: n.Match, Until: now.Add(span), Reason: n.Reason}
	return made, s.Alerts.Silence(r.Context(), made, now)
}

func (s *Surface) unsilence(_ http.ResponseWriter, r *http.Request) (any, error) {
	id := r.PathValue("id")
	all := s.Alerts.Silences()
	i := slices.IndexFunc(all, func(x alert.Silence) bool { return x.ID == id })
	if i < 0 {
		return nil, fault.New(fault.NotFound, "no such silence; headworks alerts lists them")
	}
	return all[i], s.Alerts.Silence(r.Context(), alert.Silence{ID: id}, time.Now())
}
