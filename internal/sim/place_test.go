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

// A region that is cut off sends no reset: what had not begun goes elsewhere once
// nothing was heard for long enough, and new requests after two that nobody answered.
func TestRegionIsCutOff(t *testing.T) {
	w := regions()
	for i := range w.Fleet.Upstreams {
		w.Fleet.Models[0].Targets[i].ID = fleet.TargetID(i + 1)
	}
	w.Fleet.Models[0].Aim.TTFT, w.Fleet.Models[0].Aim.TPOT = time.Second, 50*time.Millisecond
	e, err := ParseEvent("60s..120s cut region/eu", w.Fleet)
	if err != nil {
		t.Fatal(err)
	}
	w.Events = []Event{e}
	_, load := BuiltIn(4500, 1)
	load.Rate = 25
	slowest := time.Duration(0)
	got := Run(w, flow.NewPolicy(admit.Limits{}), load, func(r *record.Record) {
		if r.End == record.OK && r.Tried > 1 {
			slowest = max(slowest, time.Duration(r.TTFT)*time.Microsecond)
		}
	})
	if len(got.Phases) != 3 {
		t.Fatalf("%d phases", len(got.Phases))
	}
	before, during, after := got.Phases[0], got.Phases[1], got.Phases[2]
	if before.Lost+during.Lost+after.Lost > 0 {
		t.Errorf("lost, with nothing begun: %+v", got.Phases)
	}
	if before.Broken == 0 || during.Broken+after.Broken > 0 {
		t.Errorf("broken: %d before, %d while it was cut off, %d after", before.Broken, during.Broken, after.Broken)
	}
	if before.Retried == 0 || before.Moved > before.Requests/10 {
		t.Errorf("of those that came before %d were sent again, %d moved", before.Retried, before.Moved)
	}
	if during.Moved != during.Requests || during.Requests == 0 {
		t.Errorf("while it was cut off %d of %d moved", during.Moved, during.Requests)
	}
	if after.Moved == 0 || after.Moved > after.Requests*3/4 {
		t.Errorf("healed, %d of %d moved", after.Moved, after.Requests)
	}
	if slowest < unanswered || slowest > unheard+10*time.Second {
		t.Errorf("the slowest that was sent again began after %v", slowest)
	}
}

// A short cut ends nothing: what was said meanwhile comes late.
func TestShortCut(t *testing.T) {
	r := alone(t, Event{Kind: Cut, Replicas: []fleet.ReplicaID{0}, From: 2 * time.Second, To: 5 * time.Second})
	whole := alone(t, Event{})
	if r.End != record.OK || r.Output != whole.Output {
		t.Errorf("it ended with %v and %d tokens, and %d without a cut", r.End, r.Output, whole.Output)
	}
	if long := alone(t, Event{Kind: Cut, Replicas: []fleet.ReplicaID{0}, From: 2 * time.Second, To: time.Minute}); long.End != record.AbnormalEnd || long.Total != 9e6 {
		t.Errorf("a long cut: %v after %d us", long.End, long.Total)
	}
}

// A drained region gets nothing new and breaks nothing.
func TestRegionIsDrained(t *testing.T) {
	w := regions()
	e, err := ParseEvent("60s..120s drain region/eu", w.Fleet)
	if err != nil {
		t.Fatal(err)
	}
	w.Events = []Event{e}
	_, load := BuiltIn(4500, 1)
	load.Rate = 25
	got := Run(w, flow.NewPolicy(admit.Limits{}), load, nil)
	if got.Failed > 0 || len(got.Phases) != 3 {
		t.Fatalf("%d failed, %d phases", got.Failed, len(got.Phases))
	}
	before, during, after := got.Phases[0], got.Phases[1], got.Phases[2]
	if before.Moved > 0 || before.Retried+during.Retried > 0 || during.Moved != during.Requests {
		t.Errorf("%d moved before; %d of %d while it was drained, and %d were sent again", before.Moved, during.Moved, during.Requests, during.Retried)
	}
	if after.Moved == 0 || after.Moved > after.Requests/2 {
		t.Errorf("after it %d of %d moved", after.Moved, after.Requests)
	}
}

// The way to another region is part of the time to the first token.
func TestTheWayTakesTime(t *testing.T) {
	ttft := func(away time.Duration) float64 {
		w := regions()
		w.Fleet.Atlas = place.NewAtlas(nil, map[string]map[string]time.Duration{"eu": {"us": away}})
		for i := range w.Fleet.Upstreams {
			w.Fleet.Upstreams[i].Locate(w.Fleet.Atlas)
		}
		e, _ := ParseEvent("0s..1h drain region/eu", w.Fleet)
		w.Events = []Event{e}
		_, load := BuiltIn(500, 1)
		load.Rate = 10
		return Run(w, flow.NewPolicy(admit.Limits{}), load, nil).TTFT.Mean
	}
	near, far := ttft(time.Millisecond), ttft(201*time.Millisecond)
	if far-near < 199 || far-near > 201 {
		t.Errorf("200 ms farther away the first token comes %.1f ms later", far-near)
	}
}

// Callers of one zone do not fill that and leave the other idle.
func TestZonesShareTheLoad(t *testing.T) {
	w := regions()
	for i := range w.Fleet.Upstreams {
		u := &w.Fleet.Upstreams[i]
		for k := range 4 {
			r := u.Replicas[k]
			r.ID, r.Name = fleet.ReplicaID(w.Fleet.Replicas), name(w.Fleet.Replicas)
			u.Replicas = append(u.Replicas, r)
			w.Fleet.Replicas++
		}
		for k := range u.Replicas {
			u.Replicas[k].Place.Zone = string(rune('a' + k%2))
		}
		u.Locate(w.Fleet.Atlas)
	}
	w.Zone = "a"
	_, load := BuiltIn(4000, 1)
	load.Rate = 50
	zones := map[string]int{}
	got := Run(w, flow.NewPolicy(admit.Limits{}), load, func(r *record.Record) { zones[r.Zone]++ })
	if zones["a"] <= zones["b"] || zones["b"] < 4000*2/5 {
		t.Errorf("served in zones %v", zones)
	}
	if got.TTFT.P90 > 1000 {
		t.Errorf("P90 of the first token is %.0f ms", got.TTFT.P90)
	}
}

// A region that has more to do than it can is helped by the next one before objectives
// are missed, and one that has not keeps its callers.
func TestRegionsHelpOut(t *testing.T) {
	for _, tt := range []struct {
		rate        float64
		least, most float64 // share served in another region
		within      float64 // the objective
	}{
		{22, 0, 0.03, 0.98},
		{55, 0.15, 0.5, 0.9},
	} {
		w := regions()
		w.Objective = Objective{TTFT: 2 * time.Second, TPOT: 50 * time.Millisecond}
		w.Fleet.Models[0].Aim.TTFT, w.Fleet.Models[0].Aim.TPOT = time.Second, 50*time.Millisecond
		for i := range w.Fleet.Upstreams {
			w.Fleet.Models[0].Targets[i].ID = fleet.TargetID(i + 1)
		}
		_, load := BuiltIn(6000, 1)
		load.Rate = tt.rate
		moved, why := 0, map[string]int{}
		got := Run(w, flow.NewPolicy(admit.Limits{}), load, func(r *record.Record) {
			if r.Region != "eu" {
				moved++
				why[r.Locality]++
			}
		})
		if share := float64(moved) / 6000; share < tt.least || share > tt.most || got.Within < tt.within {
			t.Errorf("at %v requests/s %.3f moved, %.3f were within the objective; %v", tt.rate, share, got.Within, why)
		}
		if spilled := why[locality.Late] + why[locality.Slow]; spilled < moved*9/10 {
			t.Errorf("at %v requests/s they moved because of %v", tt.rate, why)
		}
	}
}

// A region that hung for a minute is asked again soon after, however long its answers
// took.
func TestRegionHangs(t *testing.T) {
	w := regions()
	for i := range w.Fleet.Upstreams {
		w.Fleet.Models[0].Targets[i].ID = fleet.TargetID(i + 1)
	}
	w.Fleet.Models[0].Aim.TTFT, w.Fleet.Models[0].Aim.TPOT = time.Second, 50*time.Millisecond
	e, err := ParseEvent("60s..120s hang region/eu", w.Fleet)
	if err != nil {
		t.Fatal(err)
	}
	w.Events = []Event{e}
	_, load := BuiltIn(6000, 1)
	load.Rate = 25
	var home, all int // of those that come when it is long over
	Run(w, flow.NewPolicy(admit.Limits{}), load, func(r *record.Record) {
		if at := time.UnixMicro(r.Time).Sub(w.Start); at > 200*time.Second {
			if all++; r.Region == "eu" {
				home++
			}
		}
	})
	if home < all*2/3 {
		t.Errorf("of %d requests %d are served at home", all, home)
	}
}
