package flow

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/place"
	"headworks/internal/route"
	"headworks/internal/tenant"
)

// locate puts the replicas of a fleet into places, in order, and says how far the
// regions are.
func locate(s *fleet.Snapshot, places ...string) {
	regions := []string{}
	i := 0
	for u := range s.Upstreams {
		for r := range s.Upstreams[u].Replicas {
			at, _ := place.Parse(places[i])
			s.Upstreams[u].Replicas[r].Place = at
			regions = append(regions, at.Region)
			i++
		}
	}
	s.Atlas = place.NewAtlas(regions, map[string]map[string]time.Duration{"eu": {"us": 80 * time.Millisecond, "ap": 200 * time.Millisecond}})
	for u := range s.Upstreams {
		s.Upstreams[u].Locate(s.Atlas)
	}
}

func (r *rig) stays(regions ...string) {
	r.t.Caller = &tenant.Caller{Residency: tenant.Residency{Bound: true, Regions: regions}}
}

func TestResidency(t *testing.T) {
	for name, tt := range map[string]struct {
		pools  []int
		places []string
		stays  []string
		want   string // replica; empty: the caller is refused
	}{
		"the second target":       {[]int{1, 1}, []string{"us", "eu"}, []string{"eu"}, "r1"},
		"a replica of the pool":   {[]int{3}, []string{"us", "us", "eu"}, []string{"eu"}, "r2"},
		"one of several regions":  {[]int{1, 1}, []string{"us", "ap"}, []string{"eu", "ap"}, "r1"},
		"no region of a target":   {[]int{1, 1}, []string{"", ""}, []string{"eu"}, ""},
		"none in the region":      {[]int{1, 2}, []string{"us", "us", "ap"}, []string{"eu"}, ""},
		"a rule that allows none": {[]int{1}, []string{"eu"}, nil, ""},
	} {
		r := newRig(t, admit.Limits{}, true, tt.pools...)
		locate(r.s, tt.places...)
		r.stays(tt.stays...)
		a := r.step(Event{Kind: Arrived})
		if tt.want == "" {
			if r.wantFault(a, fault.Residency); r.t.Tries != 0 || a.Fault.HTTPStatus() != 403 {
				t.Errorf("%s: %d tries, status %d", name, r.t.Tries, a.Fault.HTTPStatus())
			}
			continue
		}
		if r.want(a, Send); a.Replica.Name != tt.want {
			t.Errorf("%s: sent to %s, want %s", name, a.Replica.Name, tt.want)
		}
	}
}

// A window that is too short in the region is not the fault of the rule.
func TestResidencyAndWindow(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 1, 1)
	locate(r.s, "eu", "us")
	r.s.Models[0].Targets[0].Window = 10
	r.req.Input = 100
	r.stays("eu")
	r.wantFault(r.step(Event{Kind: Arrived}), fault.ContextTooLong)
}

// Where all in the region are out, the request ends: nothing elsewhere gets it.
func TestResidencyOnFallback(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 1, 1, 2)
	locate(r.s, "eu", "us", "eu", "us")
	r.stays("eu")
	for _, want := range []string{"r0", "r2"} {
		if a := r.want(r.step(map[bool]Event{true: {Kind: Arrived}, false: failure(fault.Connect)}[want == "r0"]), Send); a.Replica.Name != want {
			t.Fatalf("sent to %s, want %s", a.Replica.Name, want)
		}
	}
	r.wantFault(r.step(failure(fault.Connect)), fault.Connect)
	for _, c := range r.t.Candidates[:r.t.Considered] {
		if c.Replica != nil && c.Replica.Place.Region == "us" && c.WhyNot != route.Abroad {
			t.Errorf("%s was left for %q", c.Replica.Name, c.WhyNot)
		}
	}
	// The next one meets replicas that are out: still nobody elsewhere.
	r.t = r.begin(true)
	r.stays("eu")
	if a := r.step(Event{Kind: Arrived}); a.Kind == Send && a.Replica.Place.Region != "eu" {
		t.Errorf("sent to %s", a.Replica.Name)
	}
}

// Whatever fails, and however often: no request leaves the regions it stays in.
func TestResidencyHolds(t *testing.T) {
	regions := []string{"eu", "us", "ap", ""}
	kinds := []fault.Kind{fault.Connect, fault.UpstreamError, fault.UpstreamCapacity, fault.UpstreamAuth, fault.FirstTokenTimeout, fault.ContextTooLong, fault.Unsupported, fault.Interrupted}
	rapid.Check(t, func(rt *rapid.T) {
		pools := rapid.SliceOfN(rapid.IntRange(1, 8), 1, 4).Draw(rt, "pools")
		r := newRig(t, admit.Limits{}, true, pools...)
		var places []string
		for range r.s.Replicas {
			places = append(places, rapid.SampledFrom(regions).Draw(rt, "region"))
		}
		locate(r.s, places...)
		for i := range r.s.Models[0].Targets {
			r.s.Models[0].Targets[i].Near = rapid.Bool().Draw(rt, "near")
		}
		stays := rapid.SliceOfNDistinct(rapid.SampledFrom(regions[:3]), 0, 3, rapid.ID[string]).Draw(rt, "stays")
		src := rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0)
		for range 30 {
			r.t = r.begin(true)
			r.stays(stays...)
			r.t.From = place.Place{Region: regions[src.Uint64()%4]}
			a := r.step(Event{Kind: Arrived})
			for a.Kind != Done {
				if a.Kind == Send && !r.t.Caller.Residency.Allows(a.Replica.Place.Region) {
					rt.Fatalf("%s in %q got a request that stays in %q", a.Replica.Name, a.Replica.Place.Region, stays)
				}
				ev := Event{Kind: Finished}
				if src.Uint64()%4 > 0 {
					ev = failure(kinds[src.Uint64()%uint64(len(kinds))])
				}
				a = r.after(time.Duration(src.Uint64()%1e9), ev)
			}
		}
	})
}
