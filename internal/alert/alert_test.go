package alert

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC) // a Monday

// TestBudgetCounts: whatever the times, a window holds what ended within it, up to one
// slot more.
func TestBudgetCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Budget
		type seen struct {
			at time.Time
			c  Count
		}
		var all []seen
		now := start
		for range rapid.IntRange(1, 60).Draw(t, "n") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(8*time.Hour)).Draw(t, "gap")))
			c := Count{Bad: rapid.Int64Range(0, 3).Draw(t, "bad")}
			c.All = c.Bad + rapid.Int64Range(0, 3).Draw(t, "good")
			b.See(now, c)
			all = append(all, seen{now, c})
		}
		for _, w := range []struct{ span, slot time.Duration }{
			{5 * time.Minute, time.Minute},
			{time.Hour, time.Minute},
			{6 * time.Hour, time.Minute},
			{24 * time.Hour, 10 * time.Minute},
			{72 * time.Hour, 10 * time.Minute},
			{Month, time.Hour},
		} {
			got := b.Within(now, w.span)
			var least, most int64
			for _, s := range all {
				if age := now.Sub(s.at); age < w.span {
					least += s.c.All
				}
				if age := now.Sub(s.at); age < w.span+w.slot {
					most += s.c.All
				}
			}
			if got.All < least || got.All > most {
				t.Fatalf("%v: %d, of %d to %d", w.span, got.All, least, most)
			}
		}
	})
}

// TestBurning: an outage pages within minutes, a slow leak makes a ticket, few failures
// of little traffic make nothing, and it ends when it is over.
func TestBurning(t *testing.T) {
	const objective = 0.999
	rules := Rules(Month)
	run := func(perMinute int64, bad func(minute int) int64, until int) (first int, burn Burn) {
		var b Budget
		for m := range until {
			now := start.Add(time.Duration(m) * time.Minute)
			b.See(now, Count{Bad: bad(m), All: perMinute})
			if found, ok := b.Burning(now, objective, rules); ok {
				return m, found
			}
		}
		return -1, Burn{}
	}
	outage := func(from int, share float64, of int64) func(int) int64 {
		return func(m int) int64 {
			if m < from {
				return 0
			}
			return int64(share * float64(of))
		}
	}
	if m, b := run(60, outage(600, 1, 60), 700); m < 600 || m > 602 || b.Severity != Page || b.Factor != 14.4 {
		t.Errorf("a total outage is seen in minute %d: %+v", m-600, b)
	}
	if m, b := run(6000, outage(3000, 0.05, 6000), 4000); m < 3000 || m > 3020 || b.Severity != Page {
		t.Errorf("5 %% are seen in minute %d: %+v", m-3000, b)
	}
	if m, b := run(1000, outage(2000, 0.01, 1000), 20000); m < 2000 || m > 2240 || b.Severity != Page || b.Factor != 6 {
		t.Errorf("1 %% are seen in minute %d: %+v", m-2000, b)
	}
	if m, b := run(1000, outage(6000, 0.002, 1000), 20000); m < 6000 || b.Severity != Ticket {
		t.Errorf("0.2 %% are seen in minute %d: %+v", m-6000, b)
	}
	if m, _ := run(1, func(m int) int64 { return map[bool]int64{true: 1}[m%500 == 499] }, 20000); m >= 0 {
		t.Errorf("single failures of a request a minute make an alarm in minute %d", m)
	}
	if m, _ := run(1, outage(600, 1, 1), 700); m < 600 || m > 620 {
		t.Errorf("a total outage of a request a minute is seen in minute %d", m-600)
	}
	var b Budget
	b.See(start, Count{Bad: 1000, All: 1000})
	if _, ok := b.Burning(start, objective, rules); !ok {
		t.Error("an outage is not seen")
	}
	later := start.Add(10 * time.Minute)
	b.See(later, Count{All: 1000})
	if burn, ok := b.Burning(later, objective, rules[:1]); ok {
		t.Errorf("it is over and still burns: %+v", burn)
	}
	if left := b.Left(later, objective, Month); left > 0 {
		t.Errorf("%v of the budget are left", left)
	}
}

// TestFalsePages: with little traffic and few failures, all within the objective, pages
// are rare; the figures are those of docs and of this test's log.
func TestFalsePages(t *testing.T) {
	const months = 4
	rules := Rules(Month)
	for _, load := range []struct {
		rate  float64 // a second
		burst int
	}{{0.01, 1}, {0.01, 6}, {0.1, 1}, {0.1, 6}} {
		src := rand.New(rand.NewPCG(1, uint64(load.rate*1000)+uint64(load.burst)))
		var b Budget
		pages, burning := 0, false
		for m := range months * 30 * 24 * 60 {
			now := start.Add(time.Duration(m) * time.Minute)
			n := int64(poisson(src, load.rate*60))
			bad := int64(0)
			if src.Float64() < load.rate*60*0.0008/float64(load.burst) {
				bad = int64(load.burst)
			}
			b.See(now, Count{Bad: bad, All: n + bad})
			burn, ok := b.Burning(now, 0.999, rules)
			page := ok && burn.Severity == Page
			if page && !burning {
				pages++
			}
			burning = page
		}
		t.Logf("%v a second, failures in bursts of %d: %.2f pages a month", load.rate, load.burst, float64(pages)/months)
		if pages > months {
			t.Errorf("%v a second, bursts of %d: %d pages in %d months", load.rate, load.burst, pages, months)
		}
	}
}

func poisson(src *rand.Rand, mean float64) int {
	if mean > 50 {
		return int(max(0, math.Round(mean+math.Sqrt(mean)*src.NormFloat64())))
	}
	n, p := 0, math.Exp(-mean)
	for u := src.Float64(); u > p; n++ {
		u *= src.Float64()
	}
	return n
}

// TestRateFalseAlarms: of a rate that does not change there is at most one alarm a week,
// also where failures come in bursts, and a rate that rises is found.
func TestRateFalseAlarms(t *testing.T) {
	const weeks = 26
	for _, burst := range []int{1, 4} {
		src := rand.New(rand.NewPCG(2, uint64(burst)))
		var r Rate
		alarms := 0
		left := 0
		step := 5 * time.Second
		for i := range int(weeks * 7 * 24 * time.Hour / step) {
			now := start.Add(time.Duration(i) * step)
			if left == 0 && src.Float64() < 0.02/float64(burst) {
				left = burst
			}
			bad := left > 0
			if bad {
				left--
			}
			if _, ok := r.See(now, src.Uint64(), bad, 1); ok {
				alarms++
			}
		}
		t.Logf("bursts of %d: %.3f false alarms a week over %d weeks", burst, float64(alarms)/weeks, weeks)
		if alarms > weeks {
			t.Errorf("bursts of %d: %d alarms in %d weeks", burst, alarms, weeks)
		}
		found := 0
		var c Change
		for i := 1; found == 0 && i < 20000; i++ {
			now := start.Add(weeks*7*24*time.Hour + time.Duration(i)*time.Second)
			var ok bool
			if c, ok = r.See(now, src.Uint64(), src.Float64() < 0.2, 1); ok {
				found = i
			}
		}
		t.Logf("from 2 to 20 %%: found after %d requests: %+v", found, c)
		if found == 0 || found > 1500 || c.Current < 2*c.Baseline {
			t.Errorf("a tenfold rate is found after %d requests: %+v", found, c)
		}
	}
}

// TestRateCountsACallerOnce: one caller whose requests all fail is one failure in ten
// seconds.
func TestRateCountsACallerOnce(t *testing.T) {
	src := rand.New(rand.NewPCG(3, 3))
	var r Rate
	now := start
	for range 60000 {
		now = now.Add(2 * time.Second)
		r.See(now, src.Uint64(), src.Float64() < 0.01, 1)
	}
	for range 2000 {
		now = now.Add(10 * time.Millisecond)
		if c, ok := r.See(now, 7, true, 1); ok {
			t.Fatalf("one caller alone makes an alarm: %+v", c)
		}
	}
}

// TestLevel: a level that does not change makes at most one alarm a week, also with
// heavy tails and where neighbours are alike; one that rises is found, and no value
// breaks it.
func TestLevel(t *testing.T) {
	const weeks, perWeek = 8, 7 * 24 * 1800 // one in two seconds
	heavy := func(s *rand.Rand) float64 {   // Student's t of 5 degrees
		var chi float64
		for range 5 {
			x := s.NormFloat64()
			chi += x * x
		}
		return s.NormFloat64() / math.Sqrt(chi/5)
	}
	for _, test := range []struct {
		name  string
		alike float64 // how much of each value is that of the one before
		draw  func(*rand.Rand) float64
		found int
	}{
		{"normal tails", 0, (*rand.Rand).NormFloat64, 100},
		{"heavy tails", 0, heavy, 150},
		{"alike neighbours", 0.7, (*rand.Rand).NormFloat64, 400},
	} {
		src := rand.New(rand.NewPCG(4, 4))
		var l Level
		now, alarms, last := start, 0, 0.0
		next := func() float64 {
			last = test.alike*last + math.Sqrt(1-test.alike*test.alike)*test.draw(src)
			return 0.5 * last
		}
		for range weeks * perWeek {
			now = now.Add(2 * time.Second)
			if _, ok := l.See(now, 200*math.Exp(next()), 1); ok {
				alarms++
			}
		}
		t.Logf("%s: %.2f false alarms a week, threshold %.1f", test.name, float64(alarms)/weeks, l.threshold)
		if alarms > weeks {
			t.Errorf("%s: %d alarms in %d weeks", test.name, alarms, weeks)
		}
		found := 0
		var c Change
		for i := 1; found == 0 && i < 2000; i++ {
			now = now.Add(2 * time.Second)
			var ok bool
			if c, ok = l.See(now, 200*math.Exp(next()+0.5), 1); ok {
				found = i
			}
		}
		t.Logf("%s: a rise by one deviation is found after %d: %+v", test.name, found, c)
		if found == 0 || found > test.found || c.Current < 1.2*c.Baseline {
			t.Errorf("%s: a rise is found after %d", test.name, found)
		}
	}
	var l Level
	for _, x := range []float64{0, -1, math.NaN(), math.Inf(1), math.SmallestNonzeroFloat64, math.MaxFloat64} {
		l.See(start, x, 1)
	}
	for i := range 20000 { // values that never differ
		if c, ok := l.See(start.Add(time.Duration(i)*2*time.Second), 5, 1); ok {
			t.Fatalf("nothing changed: %+v", c)
		}
	}
	var early Level // many values within hours are no baseline
	for i := range 20000 {
		if c, ok := early.See(start.Add(time.Duration(i)*500*time.Millisecond), float64(5+i/5000*20), 1); ok {
			t.Fatalf("told before it knows: %+v", c)
		}
	}
}

// TestSeason: traffic that comes and goes with the day and the week, and grows slowly,
// makes hardly any alarm in a year; an hour with three times as much is found, and so is
// silence.
func TestSeason(t *testing.T) {
	src := rand.New(rand.NewPCG(5, 5))
	var s Season
	rate := func(at time.Time) float64 { // a second
		day := 1 + 0.6*math.Sin(2*math.Pi*(float64(at.Hour())+float64(at.Minute())/60-9)/24)
		if wd := at.Weekday(); wd == time.Saturday || wd == time.Sunday {
			day *= 0.4
		}
		return 2 * day * (1 + 0.15*at.Sub(start).Hours()/(52*7*24))
	}
	alarms, early := 0, 0
	const year = 52 * 7 * 24 * 12
	for i := range year {
		now := start.Add(time.Duration(i) * 5 * time.Minute)
		if _, ok := s.See(now, float64(poisson(src, 300*rate(now)))); ok {
			if alarms++; i < 5*7*24*12 {
				early++
			}
		}
	}
	t.Logf("%.3f false alarms a week, %d of %d in the first five weeks", float64(alarms)/52, early, alarms)
	if alarms > 52 || early > 10 {
		t.Errorf("%d alarms in 52 weeks, %d in the first five", alarms, early)
	}
	const noon = year + 12*12
	for i := year; i < noon; i++ {
		now := start.Add(time.Duration(i) * 5 * time.Minute)
		s.See(now, float64(poisson(src, 300*rate(now))))
	}
	for _, times := range []float64{3, 0} {
		s, found := s, -1
		for i := range 24 {
			now := start.Add(time.Duration(noon+i) * 5 * time.Minute)
			if c, ok := s.See(now, times*float64(poisson(src, 300*rate(now)))); ok && found < 0 {
				found = i
				if c.Learning || (times > 1) != (c.Current > c.Baseline) {
					t.Errorf("%v times as much: %+v", times, c)
				}
			}
		}
		if found < 0 || found > 5 {
			t.Errorf("%v times as much is found after %d bins", times, found)
		}
	}
}

// TestSeasonLearns: on the second day a threefold load is told of, as learning.
func TestSeasonLearns(t *testing.T) {
	src := rand.New(rand.NewPCG(6, 6))
	var s Season
	now := start
	for range 30 * 12 {
		now = now.Add(5 * time.Minute)
		if c, ok := s.See(now, float64(poisson(src, 600))); ok {
			t.Fatalf("an alarm of nothing: %+v", c)
		}
	}
	for i := range 6 {
		now = now.Add(5 * time.Minute)
		if c, ok := s.See(now, float64(poisson(src, 6000))); ok {
			if !c.Learning {
				t.Errorf("it says that it knows: %+v", c)
			}
			return
		} else if i == 5 {
			t.Error("ten times as much is not found")
		}
	}
}

func many(n int, values ...string) []Sample { return slices.Repeat([]Sample{values}, n) }

// TestCauses: what most of the bad have in common is named, the special before the
// general, an owner also where it is the only one, and nothing where nothing stands out.
func TestCauses(t *testing.T) {
	columns := []string{"model", "upstream", "replica"}
	owners := []string{"upstream", "replica"}
	well := slices.Concat(many(900, "m", "vllm", "r1"), many(900, "m", "other", "r9"))
	for _, test := range []struct {
		name      string
		bad, good []Sample
		want      string
	}{
		{"a replica", slices.Concat(many(56, "m", "vllm", "r2"), many(1, "m", "vllm", "r1")), well, "r2"},
		{"an upstream", slices.Concat(many(30, "m", "vllm", "r1"), many(30, "m", "vllm", "r2")), many(900, "m", "other", "r9"), "vllm"},
		{"a model", slices.Concat(many(60, "sick", "a", "r1"), many(60, "sick", "b", "r2")), slices.Concat(many(900, "well", "a", "r1"), many(900, "well", "b", "r2")), "sick"},
		{"the only one", many(50, "m", "vllm", "r1"), many(50, "m", "vllm", "r1"), "r1"},
		{"no good one", many(50, "m", "vllm", "r1"), nil, "r1"},
		{"nothing", slices.Concat(many(10, "a", "x", "r1"), many(10, "b", "y", "r2"), many(10, "c", "z", "r3")), slices.Concat(many(100, "a", "x", "r1"), many(100, "b", "y", "r2"), many(100, "c", "z", "r3")), ""},
		{"nothing with a name", many(3, "", "", ""), nil, ""},
	} {
		causes, named := Causes(slices.Values(test.bad), slices.Values(test.good), columns, owners...)
		if named != (test.want != "") || named && causes[0].Value != test.want {
			t.Errorf("%s: %v %+v", test.name, named, causes)
		}
	}
	if causes, named := Causes(slices.Values(many(0)), slices.Values(well), columns); named || causes != nil {
		t.Errorf("nothing is bad: %+v", causes)
	}
}
