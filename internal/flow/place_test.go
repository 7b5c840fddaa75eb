package flow

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/health"
	"headworks/internal/locality"
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
			r.s.Models[0].Targets[i].Kin = uint8(rapid.IntRange(0, 2).Draw(rt, "kin"))
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

// kin makes the targets of the model equal but for where they are.
func (r *rig) kin() {
	for i := range r.s.Models[0].Targets {
		r.s.Models[0].Targets[i].Kin = 1
	}
}

// fresh begins a request of a caller at a place.
func (r *rig) from(at string) Action {
	r.t = r.begin(true)
	r.t.From, _ = place.Parse(at)
	return r.want(r.step(Event{Kind: Arrived}), Send)
}

// out puts the replicas from..to-1 out, softly or because nobody is there.
func (r *rig) out(kind fault.Kind, from, to int) {
	for id := from; id < to; id++ {
		for range 5 {
			r.p.Health.Failed(fleet.ReplicaID(id), "m", nil, fault.New(kind, "test"), r.now, r.now, 0.5)
		}
	}
}

// Two requests that differ in where they come from alone go to different targets, and
// the reason names it.
func TestPlaceDecides(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 1, 1, 1)
	locate(r.s, "us", "eu", "ap")
	r.kin()
	for from, want := range map[string]struct{ replica, why string }{
		"eu":   {"r1", locality.Region},
		"us":   {"r0", locality.Region},
		"ap/x": {"r2", locality.Region},
		"mars": {"r0", locality.Unknown},
	} {
		a := r.from(from)
		if from != "mars" && a.Replica.Name != want.replica || r.t.Why != want.why || r.t.Locality != want.why {
			t.Errorf("from %s: %s because of %q (%q); want %v", from, a.Replica.Name, r.t.Why, r.t.Locality, want)
		}
		r.wantFault(r.step(Event{Kind: Finished}), fault.None)
	}
	// What was not chosen says why, too.
	r.from("eu")
	for _, c := range r.t.Candidates[:r.t.Considered] {
		if want := map[string]string{"up0": locality.Farther, "up1": "", "up2": locality.Farther}[r.s.Upstreams[c.Target.Upstream].Name]; c.WhyNot != want {
			t.Errorf("%s: %q, want %q", r.s.Upstreams[c.Target.Upstream].Name, c.WhyNot, want)
		}
	}
}

// With the home region out, the next-best one serves; with half of it, it takes what
// the rest cannot.
func TestRegionLost(t *testing.T) {
	count := func(r *rig) map[string]int {
		got := map[string]int{}
		for i := range 1000 {
			r.t = r.begin(true)
			r.t.src = *rand.NewPCG(uint64(i), 0)
			r.t.From = place.Place{Region: "eu"}
			a := r.want(r.step(Event{Kind: Arrived}), Send)
			got[a.Replica.Place.Region]++
			got[r.t.Why]++
			r.step(Event{Kind: Left})
		}
		return got
	}
	world := func() *rig {
		r := newRig(t, admit.Limits{}, true, 4, 4, 4)
		locate(r.s, "ap", "ap", "ap", "ap", "us", "us", "us", "us", "eu", "eu", "eu", "eu")
		r.kin()
		return r
	}
	r := world()
	if got := count(r); got["eu"] != 1000 {
		t.Errorf("with all there: %v", got)
	}
	r.out(fault.Connect, 8, 10) // half of eu: 70 % stay
	if got := count(r); got["eu"] < 650 || got["eu"] > 750 || got["ap"] != 0 || got[locality.Short] != got["us"] {
		t.Errorf("with half of eu: %v", got)
	}
	r = world()
	r.out(fault.Connect, 8, 12)
	if got := count(r); got["us"] != 1000 || got[locality.Out] != 1000 {
		t.Errorf("without eu: %v", got)
	}
	r.out(fault.Connect, 4, 8)
	if got := count(r); got["ap"] != 1000 {
		t.Errorf("without eu and us: %v", got)
	}
	// Half open, one request finds out; back again, it gets its share little by little.
	r.now = r.now.Add(time.Minute)
	a := r.from("eu")
	for a.Replica.Place.Region != "eu" { // the draw may fall on another half-open region
		r.step(Event{Kind: Left})
		a = r.from("eu")
	}
	r.after(time.Second, Event{Kind: Content})
	r.wantFault(r.step(Event{Kind: Finished}), fault.None)
	r.now = r.now.Add(time.Second)
	if st := r.p.Health.Of(a.Replica.ID, "m", r.now); st.Weight > 0.11 {
		t.Errorf("it is back with all its weight: %v", st)
	}
}

// Zones count within a pool of six at least, and regions in any.
func TestZonesOfAPool(t *testing.T) {
	for name, tt := range map[string]struct {
		places []string
		from   string
		want   string // zone or region; empty: any
		why    string
	}{
		"six":           {[]string{"eu/a", "eu/b", "eu/a", "eu/b", "eu/a", "eu/b"}, "eu/b", "eu/b", locality.Zone},
		"five":          {[]string{"eu/a", "eu/b", "eu/a", "eu/b", "eu/a"}, "eu/b", "", ""},
		"another zone":  {[]string{"eu/a", "eu/b", "eu/a", "eu/b", "eu/a", "eu/b"}, "eu/c", "", locality.Region},
		"two regions":   {[]string{"us/a", "eu/b"}, "eu/b", "eu/b", locality.Region},
		"six, far away": {[]string{"us/a", "us/b", "us/a", "eu/b", "us/a", "eu/b"}, "ap", "eu/b", locality.Nearest},
	} {
		r := newRig(t, admit.Limits{}, true, len(tt.places))
		locate(r.s, tt.places...)
		for range 20 {
			a := r.from(tt.from)
			if tt.want != "" && a.Replica.Place.String() != tt.want || r.t.Locality != tt.why || r.t.Why != route.First {
				t.Errorf("%s: %s because of %q, %q; want %q, %q", name, a.Replica.Place, r.t.Why, r.t.Locality, tt.want, tt.why)
			}
			r.step(Event{Kind: Left})
		}
	}
}

// A zone that fails is left for another one of the same pool.
func TestAnotherZoneOfThePool(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 6)
	locate(r.s, "eu/a", "eu/b", "eu/b", "eu/b", "eu/b", "eu/b")
	if a := r.from("eu/a"); a.Replica.Name != "r0" {
		t.Fatalf("sent to %s", a.Replica.Name)
	}
	if a := r.want(r.step(failure(fault.Connect)), Send); a.Replica.Place.Zone != "b" {
		t.Errorf("then to %s", a.Replica.Name)
	}
}

// All requests of a session are served in one place, also where some spill.
func TestSessionsSpillWhole(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 2, 2)
	locate(r.s, "eu", "eu", "us", "us")
	r.kin()
	r.out(fault.Connect, 0, 1)
	regions := map[string]int{}
	for session := uint64(1); session <= 40; session++ {
		var first string
		for i := range 5 {
			r.t = r.begin(true)
			r.t.Request.Session, r.t.From = session, place.Place{Region: "eu"}
			a := r.want(r.step(Event{Kind: Arrived}), Send)
			if at := a.Replica.Place.Region; i == 0 {
				first = at
				regions[at]++
			} else if at != first {
				t.Errorf("session %d moved from %s to %s", session, first, at)
			}
			r.step(Event{Kind: Left})
		}
	}
	if regions["eu"] == 0 || regions["us"] == 0 {
		t.Errorf("sessions in %v", regions)
	}
}

// Below half of the capacity those with too many failures serve again, and those
// where nobody is do not.
func TestPanicPassesOverSoftEjections(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 2, 2)
	locate(r.s, "eu", "eu", "eu", "eu")
	r.kin()
	r.out(fault.UpstreamError, 0, 2)
	r.out(fault.Connect, 2, 3)
	got := map[string]int{}
	for range 200 {
		a := r.from("eu")
		if got[a.Replica.Name]++; r.t.Why != locality.Panic {
			t.Fatalf("%s because of %q", a.Replica.Name, r.t.Why)
		}
	}
	if got["r0"] == 0 || got["r1"] == 0 || got["r3"] == 0 || got["r2"] != 0 {
		t.Errorf("sent to %v", got)
	}
}

// A farther region serves before the objective is missed.
func TestSpillBeforeTheObjectiveIsMissed(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 1, 1)
	locate(r.s, "eu", "us")
	r.kin()
	for i := range r.s.Upstreams {
		r.s.Upstreams[i].Pace = fleet.Pace{First: 50 * time.Millisecond, Rate: 10_000}
	}
	r.s.Models[0].Aim.TTFT = time.Second
	regions := []string{}
	for range 3 {
		r.t = r.begin(true)
		r.t.Request.Input, r.t.From = 4000, place.Place{Region: "eu"}
		a := r.want(r.step(Event{Kind: Arrived}), Send)
		regions = append(regions, a.Replica.Place.Region)
		if (a.Replica.Place.Region == "us") != (r.t.Why == locality.Late) {
			t.Errorf("%s because of %q", a.Replica.Place.Region, r.t.Why)
		}
	}
	// 450 ms for the first. Behind it 850 ms, and 530 ms over there. Behind both the
	// far one is no longer sooner.
	if want := []string{"eu", "us", "eu"}; !slices.Equal(regions, want) {
		t.Errorf("sent to %v, want %v", regions, want)
	}
}

// What is drained gets no new request, not even as the last resort, and finishes what
// it has.
func TestDrainedReplicasGetNothing(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 2, 1)
	locate(r.s, "eu", "eu", "us")
	r.kin()
	first := r.from("eu").Replica.ID
	running := r.t
	r.p.Health.Drain(0, time.Time{})
	r.p.Health.Drain(1, time.Time{})
	for range 20 {
		if a := r.from("eu"); a.Replica.Name != "r2" || r.t.Locality != locality.Out {
			t.Fatalf("sent to %s because of %q", a.Replica.Name, r.t.Locality)
		}
	}
	r.p.Health.Drain(2, time.Time{})
	r.t = r.begin(true)
	if a := r.wantFault(r.step(Event{Kind: Arrived}), fault.NoReplica); a.Fault.Words == "" || r.t.Tries != 0 {
		t.Errorf("all drained: %v, %d tries", a.Fault, r.t.Tries)
	}
	for _, c := range r.t.Candidates[:r.t.Considered] {
		if c.WhyNot != health.Drained {
			t.Errorf("the reason of %v is %q", c.Replica, c.WhyNot)
		}
	}
	r.t = running
	r.want(r.step(Event{Kind: Content}), Commit)
	r.wantFault(r.step(Event{Kind: Finished}), fault.None)
	if l := r.p.Load(first); l != (Load{}) {
		t.Errorf("after its last request it has %+v in flight", l)
	}
}

// Another try goes to another place, as far away as the failure may reach.
func TestTriesLeaveAPlace(t *testing.T) {
	zones := []string{"eu/a", "eu/a", "eu/a", "eu/b", "eu/b", "eu/b"}
	regions := []string{"eu", "eu", "eu", "us", "us", "us"}
	for _, tt := range []struct {
		kinds  []fault.Kind
		places []string
		want   string
	}{
		{[]fault.Kind{fault.FirstTokenTimeout}, zones, "eu/b"},
		{[]fault.Kind{fault.Stalled}, zones, "eu/b"},
		{[]fault.Kind{fault.Interrupted}, zones, "eu/b"},
		{[]fault.Kind{fault.UpstreamError}, zones, "eu/b"},
		{[]fault.Kind{fault.Connect}, zones, "eu/a"},
		{[]fault.Kind{fault.Connect, fault.Connect}, zones, "eu/b"},
		{[]fault.Kind{fault.FirstTokenTimeout}, regions, "us"},
		{[]fault.Kind{fault.Stalled}, regions, "us"},
		{[]fault.Kind{fault.Interrupted}, regions, "us"},
		{[]fault.Kind{fault.UpstreamError}, regions, "eu"}, // its own, and the way is long
		{[]fault.Kind{fault.Connect}, regions, "eu"},
		{[]fault.Kind{fault.Connect, fault.Connect}, regions, "us"},
	} {
		r := newRig(t, admit.Limits{}, true, 6)
		locate(r.s, tt.places...)
		r.s.Models[0].Tries = 3
		a := r.from("eu/a")
		for _, kind := range tt.kinds {
			a = r.want(r.step(failure(kind)), Send)
		}
		if got := a.Replica.Place.String(); got != tt.want {
			t.Errorf("after %v of %v it went to %s, want %s", tt.kinds, tt.places, got, tt.want)
		}
	}
	// Where there is no other place, the same one gets it.
	r := newRig(t, admit.Limits{}, true, 3)
	locate(r.s, "eu", "eu", "eu")
	r.s.Models[0].Tries = 3
	r.from("eu")
	r.want(r.step(failure(fault.FirstTokenTimeout)), Send)
}

// The caller's zone is left where it is busier than the rest of its region.
func TestBusyZonesAreLeft(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 6)
	locate(r.s, "eu/a", "eu/b", "eu/a", "eu/b", "eu/a", "eu/b")
	zones := map[string]int{}
	for range 60 { // and none ends
		zones[r.from("eu/b").Replica.Place.Zone]++
	}
	if zones["b"] < 32 || zones["a"] < 20 {
		t.Errorf("sent to zones %v", zones)
	}
}

// A region where tokens come slowly is helped by the next one, by how busy both are.
func TestSpillWhereTokensAreSlow(t *testing.T) {
	for name, tt := range map[string]struct {
		tpot, best, objective time.Duration
		busy                  int // requests in flight near the caller
		want                  string
	}{
		"fast":                      {30 * time.Millisecond, 0, 50 * time.Millisecond, 9, "eu"},
		"slow":                      {40 * time.Millisecond, 0, 50 * time.Millisecond, 9, "us"},
		"slow and idle":             {40 * time.Millisecond, 0, 50 * time.Millisecond, 4, "eu"},
		"as usual, no objective":    {40 * time.Millisecond, 40 * time.Millisecond, 0, 9, "eu"},
		"slower than usual, no aim": {80 * time.Millisecond, 40 * time.Millisecond, 0, 9, "us"},
		"nothing was seen":          {0, 0, 50 * time.Millisecond, 9, "eu"},
	} {
		r := newRig(t, admit.Limits{}, true, 1, 1)
		locate(r.s, "eu", "us")
		r.kin()
		r.s.Models[0].Aim.TPOT = tt.objective
		for i := range r.s.Models[0].Targets {
			r.s.Models[0].Targets[i].ID = fleet.TargetID(i + 1)
			if at := r.p.paceOf(fleet.TargetID(i + 1)); tt.tpot > 0 {
				*at = pace{tpot: tt.tpot, each: tt.tpot, best: tt.best, at: r.now, load: float64(tt.busy), loadAt: r.now}
			}
		}
		r.p.Occupy(0, Load{Requests: tt.busy})
		if a := r.from("eu"); a.Replica.Place.Region != tt.want || (tt.want == "us") != (r.t.Why == locality.Slow) {
			t.Errorf("%s: %s because of %q, want %s", name, a.Replica.Place, r.t.Why, tt.want)
		}
	}
}
