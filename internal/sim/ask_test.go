package sim

import (
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fleet"
	"headworks/internal/flow"
)

// asked runs chat near saturation through some gateways that tell each other nothing.
func asked(scrape bool, gateways int, events ...Event) Result {
	w, l := BuiltIn(10_000, 1)
	l.Rate = 30
	w.Scrape, w.Events, w.Objective = scrape, events, Objective{TTFT: 2 * time.Second, TPOT: 50 * time.Millisecond}
	w.Fleet.Upstreams[0].Schedule = fleet.LeastRequests
	var policies []*flow.Policy
	for range gateways {
		policies = append(policies, flow.NewPolicy(admit.Limits{InFlight: 1 << 20}))
	}
	return RunGateways(w, policies, l, nil)
}

func everywhere(k EventKind) Event {
	return Event{Kind: k, Replicas: []fleet.ReplicaID{0, 1, 2, 3}, From: time.Minute, To: time.Hour}
}

// TestAskedForForeignLoad: what other gateways have at a replica is seen in its
// metrics, so one that is slow is crowded less than by own counts alone.
func TestAskedForForeignLoad(t *testing.T) {
	slow := Event{Kind: Slow, Replicas: []fleet.ReplicaID{0}, To: time.Hour, Factor: 3}
	blind, seeing := asked(false, 16, slow), asked(true, 16, slow)
	t.Logf("within the objective %.1f %%, by own counts alone %.1f %%", 100*seeing.Within, 100*blind.Within)
	if seeing.Within <= blind.Within {
		t.Errorf("%.1f %% within, by own counts alone %.1f %%", 100*seeing.Within, 100*blind.Within)
	}
}

// TestMetricsAreNoTruth: one gateway does as well with metrics that stand still, or
// that nobody answers, as with those that are true: it counts itself.
func TestMetricsAreNoTruth(t *testing.T) {
	sound := asked(true, 1)
	for _, k := range []EventKind{Stale, Mute} {
		r := asked(true, 1, everywhere(k))
		t.Logf("%v: %.1f %% within, with true metrics %.1f %%", k, 100*r.Within, 100*sound.Within)
		if r.Served != r.Requests || r.Within < sound.Within-.02 {
			t.Errorf("%v: %d of %d served, %.1f %% within the objective; with true metrics %.1f %%", k, r.Served, r.Requests, 100*r.Within, 100*sound.Within)
		}
	}
	// Where metrics stand still or fall silent, several gateways are as blind as without.
	blind := asked(false, 4)
	for _, k := range []EventKind{Stale, Mute} {
		r := asked(true, 4, everywhere(k))
		t.Logf("four gateways, %v: %.1f %% within, never asked %.1f %%", k, 100*r.Within, 100*blind.Within)
		if r.Within < blind.Within-.02 {
			t.Errorf("four gateways, %v: %.1f %% within the objective, never asked %.1f %%", k, 100*r.Within, 100*blind.Within)
		}
	}
}
