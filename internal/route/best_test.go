package route

import (
	"slices"
	"testing"
	"time"

	"headworks/internal/complexity"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/tenant"

	"pgregory.net/rapid"
)

func choice() *fleet.Choice {
	return &fleet.Choice{Quality: 1, Price: 1, Latency: 0.5, Objective: 2, Signals: complexity.Default()}
}

// pair is a small target and a large one, dearer and better.
func pair() *fleet.Model {
	return &fleet.Model{Policy: fleet.Best, Choice: choice(), Targets: []fleet.Target{
		{Model: "small", Quality: 0.6, Price: inference.Price{Known: true, Input: 0.1, Output: 0.4}},
		{Model: "large", Quality: 0.85, Price: inference.Price{Known: true, Input: 1, Output: 4}},
	}}
}

func hard() inference.Features {
	return inference.Features{Known: true, Words: 2000, Clauses: 200, Logic: 40, Code: 3, Verbs: 6, Turns: 1}
}

// TestEachFactor: two requests that differ in one thing go to different targets, and
// the reason names it.
func TestEachFactor(t *testing.T) {
	paces := func(small, large time.Duration) *[MaxTargets]Pace {
		return &[MaxTargets]Pace{{TTFT: small, TPOT: 10 * time.Millisecond}, {TTFT: large, TPOT: 10 * time.Millisecond}}
	}
	type side struct {
		model func(*fleet.Model)
		ask   func(*Ask)
		want  string
		why   string
	}
	for name, tt := range map[string][2]side{
		"complexity": {
			{want: "small", why: Simple},
			{ask: func(a *Ask) { a.Request.Features = hard() }, want: "large", why: Complex},
		},
		"the caller's preference": {
			{ask: func(a *Ask) { a.Own, a.Wish.Prefer = true, tenant.Price }, want: "small", why: preferred[callers][tenant.Price]},
			{ask: func(a *Ask) { a.Own, a.Wish.Prefer = true, tenant.Quality; a.Request.Input = 1 }, want: "large", why: preferred[callers][tenant.Quality]},
		},
		"tier": {
			{ask: func(a *Ask) { a.Wish.Prefer = tenant.Price }, want: "small", why: preferred[tiers][tenant.Price]},
			{ask: func(a *Ask) { a.Wish.Prefer = tenant.Quality }, want: "large", why: preferred[tiers][tenant.Quality]},
		},
		"a rule for a tier": {
			{want: "small", why: Simple},
			{
				model: func(m *fleet.Model) { m.Choice.Rules = []fleet.Rule{{Tier: "pro", Least: 0.8}} },
				ask:   func(a *Ask) { a.Tier = "pro" }, want: "large", why: Richer,
			},
		},
		"budget": {
			{
				model: func(m *fleet.Model) { m.Choice.Rules = []fleet.Rule{{Budget: 0.2, Prefer: tenant.Quality}} },
				ask:   func(a *Ask) { a.Spent = 0.7 }, want: "small", why: Simple,
			},
			{
				model: func(m *fleet.Model) { m.Choice.Rules = []fleet.Rule{{Budget: 0.2, Prefer: tenant.Quality}} },
				ask:   func(a *Ask) { a.Spent = 0.9 }, want: "large", why: preferred[budgets][tenant.Quality],
			},
		},
		"objective": {
			{ask: func(a *Ask) { a.Paces = paces(2*time.Second, time.Second/2) }, want: "small", why: Simple},
			{ask: func(a *Ask) {
				a.Paces, a.Wish.Objective.TTFT = paces(2*time.Second, time.Second/2), 600*time.Millisecond
			}, want: "large", why: Kept},
		},
		"cache": {
			{ask: func(a *Ask) { a.Request.Input, a.Paces = 50_000, paces(time.Second, time.Second) }, want: "small", why: Simple},
			{
				model: func(m *fleet.Model) { m.Targets[1].Price.CacheRead = 0.1 },
				ask: func(a *Ask) {
					a.Request.Input, a.Paces = 50_000, paces(4*time.Second, time.Second)
					a.Paces[1].Held, a.Paces[1].Saved = 49_000, 3*time.Second
				}, want: "large", why: Warm,
			},
		},
		"load": {
			{
				model: func(m *fleet.Model) { m.Targets[1].Price.Input, m.Targets[1].Price.Output = 0.3, 1.2 },
				ask:   func(a *Ask) { a.Paces = paces(time.Second, time.Second) }, want: "small", why: Simple,
			},
			{
				model: func(m *fleet.Model) { m.Targets[1].Price.Input, m.Targets[1].Price.Output = 0.3, 1.2 },
				ask: func(a *Ask) {
					a.Paces = paces(60*time.Second, time.Second)
					a.Paces[0].Queued = 59 * time.Second
				}, want: "large", why: Load,
			},
		},
		"capabilities": {
			{want: "small", why: Simple},
			{
				model: func(m *fleet.Model) { m.Targets[0].Can, m.Targets[0].Told = inference.AbilitiesOf(), true },
				ask:   func(a *Ask) { a.Request.Needs = inference.AbilitiesOf(inference.Tools) }, want: "large", why: others[inference.Tools],
			},
		},
		"context": {
			{model: func(m *fleet.Model) { m.Targets[0].Window = 8000 }, want: "small", why: Simple},
			{
				model: func(m *fleet.Model) { m.Targets[0].Window = 8000 },
				ask:   func(a *Ask) { a.Request.Input = 9000; a.Request.Features.Known = true }, want: "large", why: Longer,
			},
		},
		"price": {
			{model: func(m *fleet.Model) { m.Targets[0].Quality = 0.85 }, want: "small", why: Cheaper},
			{model: func(m *fleet.Model) {
				m.Targets[0].Quality = 0.85
				m.Targets[0].Price, m.Targets[1].Price = m.Targets[1].Price, m.Targets[0].Price
			}, want: "large", why: Cheaper},
		},
	} {
		for _, s := range tt {
			m, ask := pair(), &Ask{Request: &inference.Request{Input: 20, Features: inference.Features{Known: true, Words: 15, Turns: 1}}}
			if s.model != nil {
				s.model(m)
			}
			if s.ask != nil {
				s.ask(ask)
			}
			o := Pick(m, ask, nil)
			if got := m.Targets[o.Targets[0]].Model; got != s.want || o.Why != s.why {
				t.Errorf("%s: %s: %s, want %s: %s", name, got, o.Why, s.want, s.why)
			}
		}
	}
}

// TestComplexityIsNamedTruly: a request that looks hard and goes to the cheap target all
// the same goes there for its price, not for looking easy; and the other way round.
func TestComplexityIsNamedTruly(t *testing.T) {
	for _, tt := range []struct {
		name         string
		words        int32   // of the request
		input        float64 // price of the good target, for a million tokens; output costs as much
		hard         bool    // it looks so
		want, reason string
	}{
		{"hard, and far too dear", 1000, 100, true, "small", Cheaper},
		{"hard", 1000, 0.8, true, "large", Complex},
		{"easy", 15, 0.8, false, "small", Simple},
		{"easy, and hardly dearer", 15, 0.13, false, "large", Better},
	} {
		m := pair()
		m.Targets[0].Price.Output, m.Targets[0].Price.Input = 0.1, 0.1
		m.Targets[1].Price.Output, m.Targets[1].Price.Input = tt.input, tt.input
		f := inference.Features{Known: true, Words: tt.words, Turns: 1}
		if tt.hard {
			f.Clauses, f.Logic = 60, 20
		}
		o := Pick(m, &Ask{Request: &inference.Request{Input: 20, Features: f}}, nil)
		if got := m.Targets[o.Targets[0]].Model; got != tt.want || o.Why != tt.reason || o.Complexity.Total > middling != tt.hard {
			t.Errorf("%s: complexity %.2f: %s: %s, want %s: %s", tt.name, o.Complexity.Total, got, o.Why, tt.want, tt.reason)
		}
	}
}

// TestBestOfAny: whatever is known, each target stands in the order once or is left
// out with a reason, the scores fall, and their parts are the whole.
func TestBestOfAny(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &fleet.Model{Policy: fleet.Best, Choice: choice()}
		var paces [MaxTargets]Pace
		for i := range rapid.IntRange(1, MaxTargets).Draw(t, "targets") {
			to := fleet.Target{
				Quality: rapid.SampledFrom([]float64{0, 0.3, 0.6, 0.9}).Draw(t, "quality"),
				Window:  rapid.SampledFrom([]int{0, 10, 1000}).Draw(t, "window"),
				Told:    rapid.Bool().Draw(t, "told"),
				Carded:  rapid.Bool().Draw(t, "carded"),
			}
			if rapid.Bool().Draw(t, "priced") {
				to.Price = inference.Price{Known: true, Input: rapid.SampledFrom([]float64{0, 0.1, 5}).Draw(t, "price")}
			}
			if rapid.Bool().Draw(t, "known") {
				to.Can = inference.AbilitiesOf(rapid.SliceOf(rapid.SampledFrom([]inference.Ability{inference.Tools, inference.Reasoning})).Draw(t, "can")...)
			}
			m.Targets = append(m.Targets, to)
			paces[i] = Pace{
				TTFT: time.Duration(rapid.IntRange(0, 3).Draw(t, "ttft")) * time.Second,
				TPOT: time.Duration(rapid.IntRange(0, 3).Draw(t, "tpot")) * 10 * time.Millisecond,
			}
		}
		ask := &Ask{
			Request: &inference.Request{Input: 100, Needs: inference.AbilitiesOf(rapid.SliceOf(rapid.SampledFrom([]inference.Ability{inference.Tools, inference.Reasoning})).Draw(t, "needs")...)},
			Wish: tenant.Wish{
				Prefer:    tenant.Preference(rapid.IntRange(0, 3).Draw(t, "prefer")),
				Objective: tenant.Objective{TTFT: time.Duration(rapid.IntRange(0, 2).Draw(t, "aim")) * time.Second},
			},
			Paces: &paces,
		}
		o := Pick(m, ask, nil)
		if again := Pick(m, ask, nil); again != o {
			t.Fatalf("%+v, and again %+v", o, again)
		}
		for i := range m.Targets {
			in := slices.Contains(o.Targets[:o.N], uint8(i))
			if in == (o.Left[i] != "") {
				t.Fatalf("target %d is in the order: %v, and left out for %q", i, in, o.Left[i])
			}
		}
		for i, place := range o.Targets[:o.N] {
			s := o.Scores[place]
			sum := float32(0)
			for _, p := range s.Parts {
				sum += p
			}
			if d := sum - s.Total; d > 1e-4 || d < -1e-4 || s.Total != s.Total {
				t.Fatalf("the parts of %+v are %v", s, sum)
			}
			if i > 0 && i < o.sure && s.Total > o.Scores[o.Targets[i-1]].Total {
				t.Fatalf("a worse one stands first: %v", o.Scores)
			}
		}
		if o.N > 0 && o.Why == "" {
			t.Fatal("no reason")
		}
	})
}

func TestBestCostsNoAllocation(t *testing.T) {
	m, ask := pair(), &Ask{Request: &inference.Request{Input: 20, Features: hard()}}
	if n := testing.AllocsPerRun(100, func() { Pick(m, ask, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkBest(b *testing.B) {
	m, ask := pair(), &Ask{Request: &inference.Request{Input: 20, Features: hard()}, Paces: &[MaxTargets]Pace{}}
	for len(m.Targets) < 8 {
		m.Targets = append(m.Targets, m.Targets[0], m.Targets[1])
	}
	b.ReportAllocs()
	for b.Loop() {
		Pick(m, ask, nil)
	}
}
