package sim

import (
	"slices"
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/locality"
	"headworks/internal/place"
	"headworks/internal/record"
)

// regions is a world of two regions with four replicas each, whose callers are in eu.
func regions() World {
	w, _ := BuiltIn(0, 0)
	s := w.Fleet
	p := w.Engines[0]
	s.Upstreams, s.Models[0].Targets, w.Engines, s.Replicas = nil, nil, nil, 0
	s.Atlas = place.NewAtlas(nil, map[string]map[string]time.Duration{"eu": {"us": 80 * time.Millisecond}})
	for i, region := range []string{"us", "eu"} {
		u := fleet.Upstream{Name: region, Region: region, Schedule: fleet.LeastRequests}
		for range 4 {
			u.Replicas = append(u.Replicas, fleet.Replica{ID: fleet.ReplicaID(s.Replicas), Upstream: i, Name: name(s.Replicas), Place: place.Place{Region: region}})
			s.Replicas++
		}
		u.Locate(s.Atlas)
		s.Upstreams = append(s.Upstreams, u)
		s.Models[0].Targets = append(s.Models[0].Targets, fleet.Target{Upstream: i, Model: "qwen3-32b", Kin: 1})
		w.Engines = append(w.Engines, p)
	}
	w.Region = "eu"
	return w
}

// A region that is lost has its requests moved, all that had not begun to be answered;
// back again, it gets its share little by little.
func TestRegionIsLostAndComesBack(t *testing.T) {
	w := regions()
	e, err := ParseEvent("60s..120s lost region/eu", w.Fleet)
	if err != nil {
		t.Fatal(err)
	}
	w.Events = []Event{e}
	_, load := BuiltIn(6000, 1)
	load.Rate = 25
	const span = 10 * time.Second
	var local, all [30]int // by when they came
	failed, cut := 0, 0
	var why []string
	Run(w, flow.NewPolicy(admit.Limits{}), load, func(r *record.Record) {
		at := time.UnixMicro(r.Time).Sub(w.Start)
		slot := int(at / span)
		if all[slot]++; r.Region == "eu" {
			local[slot]++
		}
		switch r.End {
		case record.AbnormalEnd:
			cut++
		case record.OK:
		default:
			failed++
		}
		if at > 70*time.Second && at < 120*time.Second && !slices.Contains(why, r.Locality) {
			why = append(why, r.Locality)
		}
		if r.FromRegion != "eu" || r.PlacedBy != place.ByCell {
			t.Errorf("from %q, known by %q", r.FromRegion, r.PlacedBy)
		}
	})
	share := func(slot int) float64 { return float64(local[slot]) / float64(max(all[slot], 1)) }
	if failed > 0 {
		t.Errorf("%d requests were lost that had not begun to be answered", failed)
	}
	if cut == 0 {
		t.Error("no answer was under way when the region was lost")
	}
	if share(4) != 1 || share(9) > 0.1 || share(11) > 0.1 {
		t.Errorf("in its region were served %.2f before, %.2f and %.2f while it was lost", share(4), share(9), share(11))
	}
	if !slices.Contains(why, locality.Out) {
		t.Errorf("the reasons of those that moved are %q", why)
	}
	back := slices.IndexFunc(local[12:], func(n int) bool { return n > 0 }) + 12
	if share(back) >= 0.95 || share(23) != 1 {
		t.Errorf("back at %v with %.2f, then %.2f, at last %.2f", span*time.Duration(back), share(back), share(back+1), share(23))
	}
}

// A zone that is lost is named by its replicas, where the upstream does not say.
func TestZoneOfReplicas(t *testing.T) {
	w := regions()
	w.Fleet.Upstreams[1].Replicas[2].Place.Zone = "b"
	for text, want := range map[string][]fleet.ReplicaID{"zone/b": {6}, "zone/eu/b": {6}, "region/eu": {4, 5, 6, 7}, "zone/c": nil} {
		if e, _ := ParseEvent("1s..2s lost "+text, w.Fleet); !slices.Equal(e.Replicas, want) {
			t.Errorf("%s is %v, want %v", text, e.Replicas, want)
		}
	}
}
