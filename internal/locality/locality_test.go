package locality

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headworks/internal/place"
)

const ms = time.Millisecond

// site is one of a level with so much of its capacity available, in percent.
func site(c Class, trip time.Duration, weight, total, open float64) Site {
	return Site{Class: c, Trip: trip, Weight: weight, Total: total, Open: total * open / 100}
}

// The figures of Envoy's documentation of priority levels and locality weights.
func TestShares(t *testing.T) {
	zone := func(weight, open float64) Site { return site(SameRegion, 0, weight, 10, open) }
	region := func(trip time.Duration, open float64) Site { return site(Elsewhere, trip, 1, 10, open) }
	for name, tt := range map[string]struct {
		sites []Site
		want  []float64 // percent
	}{
		"weights 1:2, all there":           {[]Site{zone(1, 100), zone(2, 100)}, []float64{33.3, 66.7}},
		"weights 1:2, 50 % of the first":   {[]Site{zone(1, 50), zone(2, 100)}, []float64{25.9, 74.1}},
		"weights 1:2, 25 % of the first":   {[]Site{zone(1, 25), zone(2, 100)}, []float64{14.9, 85.1}},
		"71.5 % is still the whole share":  {[]Site{zone(1, 71.5), zone(2, 100)}, []float64{33.3, 66.7}},
		"local zone first":                 {[]Site{zone(1, 100), site(SameZone, 0, 1, 10, 100)}, []float64{0, 100}},
		"level 0 at 72 %":                  {[]Site{zone(1, 72), region(80*ms, 100)}, []float64{100, 0}},
		"level 0 at 71 %":                  {[]Site{zone(1, 71), region(80*ms, 100)}, []float64{99.4, 0.6}},
		"level 0 at 50 %":                  {[]Site{zone(1, 50), region(80*ms, 100)}, []float64{70, 30}},
		"level 0 at 25 %":                  {[]Site{zone(1, 25), region(80*ms, 100)}, []float64{35, 65}},
		"level 0 gone":                     {[]Site{zone(1, 0), region(80*ms, 100)}, []float64{0, 100}},
		"25 % and 25 %: normalised":        {[]Site{{Class: SameRegion, Weight: 1, Total: 10, Open: 2.5}, region(80*ms, 25)}, []float64{50, 50}},
		"three regions by distance":        {[]Site{region(200*ms, 100), region(80*ms, 50), zone(1, 0)}, []float64{30, 70, 0}},
		"the unknown is last":              {[]Site{site(Anywhere, 0, 1, 10, 100), region(time.Hour, 100)}, []float64{0, 100}},
		"capacity, not heads":              {[]Site{site(SameRegion, 0, 80, 80, 100), site(SameRegion, 0, 20, 20, 100)}, []float64{80, 20}},
		"slow start of one of two regions": {[]Site{zone(1, 10), region(80*ms, 100)}, []float64{14, 86}},
	} {
		var p Plan
		p.Make(tt.sites, 0, 0)
		for i, want := range tt.want {
			if got := 100 * p.Share[i]; math.Abs(got-want) > 0.06 {
				t.Errorf("%s: site %d gets %.1f %%, want %.1f", name, i, got, want)
			}
		}
	}
}

func TestPanic(t *testing.T) {
	soft := func(c Class, open, soft, total float64) Site {
		return Site{Class: c, Trip: 80 * ms, Weight: 1, Total: total, Open: open, Soft: soft}
	}
	for name, tt := range map[string]struct {
		sites []Site
		panic bool
		want  []float64
	}{
		"40 % left of one":             {[]Site{soft(SameRegion, 4, 6, 10)}, true, []float64{100}},
		"50 % left of one":             {[]Site{soft(SameRegion, 5, 5, 10)}, false, []float64{100}},
		"another region has enough":    {[]Site{soft(SameRegion, 0, 20, 20), soft(Elsewhere, 8, 0, 10)}, false, []float64{0, 100}},
		"neither has enough":           {[]Site{soft(SameRegion, 2, 8, 10), soft(Elsewhere, 2, 0, 10)}, true, []float64{100, 0}},
		"refused connections stay out": {[]Site{soft(SameRegion, 3, 0, 10)}, false, []float64{100}},
		"nothing at all":               {[]Site{soft(SameRegion, 0, 0, 10), soft(Elsewhere, 0, 0, 10)}, false, []float64{0, 0}},
	} {
		var p Plan
		p.Make(tt.sites, 0, 1<<63)
		if p.Panic != tt.panic {
			t.Errorf("%s: panic is %v", name, p.Panic)
		}
		for i, want := range tt.want {
			if got := 100 * p.Share[i]; math.Abs(got-want) > 0.06 {
				t.Errorf("%s: site %d gets %.1f %%, want %.1f", name, i, got, want)
			}
		}
	}
}

func TestReasons(t *testing.T) {
	for name, tt := range map[string]struct {
		sites []Site
		draw  float64
		first int
		why   string
	}{
		"zone":      {[]Site{site(SameRegion, 0, 1, 1, 100), site(SameZone, 0, 1, 1, 100)}, .5, 1, Zone},
		"region":    {[]Site{site(Elsewhere, ms, 1, 1, 100), site(SameRegion, 0, 1, 1, 100)}, .5, 1, Region},
		"nearest":   {[]Site{site(Elsewhere, 2*ms, 1, 1, 100), site(Elsewhere, ms, 1, 1, 100)}, .5, 1, Nearest},
		"unknown":   {[]Site{site(Anywhere, 0, 1, 1, 100)}, .5, 0, Unknown},
		"out":       {[]Site{site(SameRegion, 0, 1, 1, 0), site(Elsewhere, ms, 1, 1, 100)}, 0, 1, Out},
		"stays":     {[]Site{site(SameRegion, 0, 1, 1, 50), site(Elsewhere, ms, 1, 1, 100)}, .69, 0, Region},
		"short":     {[]Site{site(SameRegion, 0, 1, 1, 50), site(Elsewhere, ms, 1, 1, 100)}, .71, 1, Short},
		"most out":  {[]Site{site(SameRegion, 0, 1, 1, 10)}, .5, 0, Region},
		"most soft": {[]Site{{Class: SameRegion, Weight: 1, Total: 1, Open: .1, Soft: .5}}, .5, 0, Panic},
		"all out":   {[]Site{site(SameRegion, 0, 1, 1, 0), site(Elsewhere, ms, 1, 1, 0)}, .5, 0, Region},
		"as near 1": {[]Site{site(SameRegion, 0, 1, 1, 100), site(SameRegion, 0, 3, 1, 100)}, .24, 0, Region},
		"as near 2": {[]Site{site(SameRegion, 0, 1, 1, 100), site(SameRegion, 0, 3, 1, 100)}, .26, 1, Region},
	} {
		var p Plan
		p.Make(tt.sites, 0, uint64(tt.draw*(1<<63))<<1)
		if p.Order[0] != tt.first || p.Why != tt.why {
			t.Errorf("%s: site %d, %q; want %d, %q", name, p.Order[0], p.Why, tt.first, tt.why)
		}
	}
}

// The caller's zone is preferred as long as it is about as busy as its region.
func TestBusyZones(t *testing.T) {
	for name, tt := range map[string]struct {
		zone, others float64
		share        float64 // of the zone, in percent
	}{
		"idle":                    {0, 0, 100},
		"a request a replica":     {1, 0, 100},
		"more than that":          {1.5, 0, 50},
		"a quarter busier":        {11, 8, 100},
		"more than a quarter":     {11.5, 8, 50},
		"the others are the busy": {3, 50, 100},
	} {
		zone, other, far := site(SameZone, 0, 1, 10, 100), site(SameRegion, 0, 1, 10, 100), site(Elsewhere, ms, 1, 10, 100)
		zone.Load, other.Load = tt.zone, tt.others
		var p Plan
		p.Make([]Site{far, other, zone}, 0, 0)
		if got := 100 * p.Share[2]; math.Abs(got-tt.share) > 0.1 || p.Share[0] != 0 {
			t.Errorf("%s: the zone gets %.1f %%, want %.1f; all: %v", name, got, tt.share, p.Share)
		}
	}
	// With the rest of its region out, its zone is all there is.
	zone, other := site(SameZone, 0, 1, 10, 100), site(SameRegion, 0, 1, 10, 0)
	zone.Load = 100
	var p Plan
	if p.Make([]Site{other, zone}, 0, 0); p.Share[1] != 1 || p.Why != Zone {
		t.Errorf("the zone gets %v because of %q", p.Share[1], p.Why)
	}
}

// A farther region is asked before the objective is missed, if it is sooner by enough.
func TestSpillBeforeItIsLate(t *testing.T) {
	for name, tt := range map[string]struct {
		local, remote, trip, objective time.Duration
		open                           float64
		first                          int
	}{
		"in time":                  {690 * ms, 100 * ms, 80 * ms, time.Second, 100, 0},
		"at 70 % of the objective": {700 * ms, 100 * ms, 80 * ms, time.Second, 100, 0},
		"too late":                 {701 * ms, 100 * ms, 80 * ms, time.Second, 100, 1},
		"no objective":             {9 * time.Second, 100 * ms, 80 * ms, 0, 100, 0},
		"nothing is foreseen here": {0, 100 * ms, 80 * ms, time.Second, 100, 0},
		"nor there":                {2 * time.Second, 0, 80 * ms, time.Second, 100, 0},
		"not sooner by 200 ms":     {800 * ms, 530 * ms, 80 * ms, time.Second, 100, 0},
		"sooner by 200 ms":         {800 * ms, 520 * ms, 80 * ms, time.Second, 100, 1},
		"not sooner by 20 %":       {2000 * ms, 1530 * ms, 80 * ms, time.Second, 100, 0},
		"sooner by 20 %":           {2000 * ms, 1520 * ms, 80 * ms, time.Second, 100, 1},
		"but far":                  {800 * ms, 100 * ms, 600 * ms, time.Second, 100, 0},
		"but out":                  {800 * ms, 100 * ms, 80 * ms, time.Second, 0, 0},
	} {
		local, remote := site(SameRegion, 0, 1, 1, 100), site(Elsewhere, tt.trip, 1, 1, tt.open)
		local.TTFT, remote.TTFT, local.Load = tt.local, tt.remote, 1
		var p Plan
		p.Make([]Site{local, remote}, tt.objective, 0)
		if p.Order[0] != tt.first || (tt.first == 1) != (p.Why == Late) {
			t.Errorf("%s: site %d, %q; want %d", name, p.Order[0], p.Why, tt.first)
		}
	}
}

// An idle place is asked, however late it is thought to be.
func TestIdlePlacesAreAsked(t *testing.T) {
	local, remote := site(SameRegion, 0, 1, 1, 100), site(Elsewhere, 80*ms, 1, 1, 100)
	local.TTFT, remote.TTFT, local.Load = time.Minute, 100*ms, 0.9
	var p Plan
	if p.Make([]Site{local, remote}, time.Second, 0); p.Order[0] != 0 {
		t.Errorf("site %d because of %q", p.Order[0], p.Why)
	}
}

// Where tokens come slowly, regions share by how busy they are.
func TestSpillBeforeTokensAreSlow(t *testing.T) {
	for name, tt := range map[string]struct {
		slow         bool
		load, remote float64
		first        int
	}{
		"fast":                       {false, 80, 0, 0},
		"slow":                       {true, 80, 0, 1},
		"about as busy over there":   {true, 80, 61, 0},
		"less busy by a quarter":     {true, 80, 60, 1},
		"busier over there":          {true, 80, 90, 0},
		"slow with nothing to do it": {true, 4, 0, 0},
	} {
		local, remote := site(SameRegion, 0, 1, 1, 100), site(Elsewhere, 80*ms, 1, 1, 100)
		local.Slow, local.Load, remote.Load = tt.slow, tt.load, tt.remote
		var p Plan
		p.Make([]Site{local, remote}, 0, 0)
		if p.Order[0] != tt.first || (tt.first == 1) != (p.Why == Slow) {
			t.Errorf("%s: site %d, %q; want %d", name, p.Order[0], p.Why, tt.first)
		}
	}
}

func TestNear(t *testing.T) {
	for _, tt := range []struct {
		from, at string
		trip     time.Duration
		want     Class
	}{
		{"eu/a", "eu/a", 0, SameZone},
		{"eu/a", "eu/b", 0, SameRegion},
		{"eu", "eu/b", 0, SameRegion},
		{"eu/a", "eu", 0, SameRegion},
		{"eu/a", "us/a", ms, Elsewhere},
		{"eu/a", "us/a", place.Far, Anywhere},
		{"eu", "eu", place.Far, SameRegion},
	} {
		from, _ := place.Parse(tt.from)
		at, _ := place.Parse(tt.at)
		if got := Near(from, at, tt.trip); got != tt.want {
			t.Errorf("from %s to %s it is %d, want %d", tt.from, tt.at, got, tt.want)
		}
	}
	if Near(place.Place{}, place.Place{Region: "eu"}, ms) != Anywhere || Near(place.Place{Region: "eu"}, place.Place{}, 0) != Anywhere {
		t.Error("what is nowhere is near")
	}
}

func sites(t *rapid.T) []Site {
	all := make([]Site, rapid.IntRange(1, 8).Draw(t, "sites"))
	for i := range all {
		total := float64(rapid.IntRange(1, 20).Draw(t, "total"))
		open := total * float64(rapid.IntRange(0, 4).Draw(t, "open")) / 4
		all[i] = Site{
			Class: Class(rapid.IntRange(0, 3).Draw(t, "class")), Trip: time.Duration(rapid.IntRange(0, 3).Draw(t, "trip")) * 50 * ms,
			Weight: float64(rapid.IntRange(1, 5).Draw(t, "weight")), Total: total, Open: open,
			Soft: (total - open) * float64(rapid.IntRange(0, 1).Draw(t, "soft")),
			Slow: rapid.Bool().Draw(t, "slow"),
			Load: float64(rapid.IntRange(0, 9).Draw(t, "load")),
			TTFT: time.Duration(rapid.IntRange(0, 30).Draw(t, "ttft")) * 100 * ms,
		}
	}
	return all
}

func TestAnySites(t *testing.T) {
	var p Plan
	rapid.Check(t, func(t *rapid.T) {
		all := sites(t)
		draw := rapid.Uint64().Draw(t, "draw")
		p.Make(all, time.Duration(rapid.IntRange(0, 2).Draw(t, "objective"))*time.Second, draw)
		sum, open := 0.0, 0.0
		for i, share := range p.Share {
			has := all[i].Open
			if p.Panic {
				has += all[i].Soft
			}
			if sum, open = sum+share, open+has; share < 0 || share > 0 && has == 0 {
				t.Fatalf("site %d gets %v of what it has not got: %+v", i, share, all)
			}
		}
		if open > 0 && math.Abs(sum-1) > 1e-9 || open == 0 && sum != 0 {
			t.Fatalf("shares of %v together, %v open: %+v", sum, open, all)
		}
		if order := slices.Clone(p.Order); len(order) != len(all) {
			t.Fatalf("%d of %d sites in order", len(order), len(all))
		} else if slices.Sort(order); !slices.IsSorted(order) || len(slices.Compact(order)) != len(all) {
			t.Fatalf("a site stands twice in %v", p.Order)
		}
		if first := p.Order[0]; open > 0 && p.Why != Late && p.Why != Slow && p.Share[first] == 0 {
			t.Fatalf("site %d was drawn without a share of %v", first, p.Share)
		}
		// Nobody is sent past a level that has the capacity for all.
		for i := range all {
			for j := range all {
				if nearer(&all[j], &all[i]) && p.Share[i] > 0 && level(&p, all, j) >= 1 {
					t.Fatalf("site %d gets %v past a level that has enough: %+v", i, p.Share[i], all)
				}
			}
		}
		order, shares, why := slices.Clone(p.Order), slices.Clone(p.Share), p.Why
		p.Make(all, 0, draw)
		if again := p.Why; why != Late && why != Slow && (!slices.Equal(order, p.Order) || !slices.Equal(shares, p.Share) || again != why) {
			t.Fatal("the same sites and the same draw, and another plan")
		}
	})
}

// level returns which part of all requests the level of a site can take.
func level(p *Plan, all []Site, of int) float64 {
	var open, total float64
	for i := range all {
		if !nearer(&all[i], &all[of]) && !nearer(&all[of], &all[i]) {
			open, total = open+p.open(&all[i]), total+all[i].Total
		}
	}
	return part(open, total)
}

// Draws fall on sites as their shares say.
func TestDraws(t *testing.T) {
	all := []Site{site(SameRegion, 0, 1, 10, 50), site(Elsewhere, 80*ms, 2, 10, 100), site(Elsewhere, 80*ms, 1, 10, 100)}
	src := rand.NewPCG(1, 2)
	var p Plan
	var got [3]float64
	const draws = 100_000
	for range draws {
		p.Make(all, 0, src.Uint64())
		got[p.Order[0]]++
	}
	for i := range got {
		if math.Abs(got[i]/draws-p.Share[i]) > 0.01 {
			t.Errorf("site %d got %.3f, its share is %.3f", i, got[i]/draws, p.Share[i])
		}
	}
}

func TestPlansDoNotAllocate(t *testing.T) {
	all := []Site{site(SameRegion, 0, 1, 10, 50), site(Elsewhere, 80*ms, 2, 10, 100), site(Elsewhere, 80*ms, 1, 10, 100)}
	var p Plan
	p.Make(all, time.Second, 1)
	if n := testing.AllocsPerRun(100, func() { p.Make(all, time.Second, 1<<62) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
