package flow

import (
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/route"
	"headworks/internal/tenant"
)

// TestForesee: what waits at the replica with the fewest counts, whoever sent it, and
// one that is out has no short queue.
func TestForesee(t *testing.T) {
	p, s := NewPolicy(admit.Limits{InFlight: 10}), world(2)
	s.Upstreams[0].Rate = 1000
	target := &s.Models[0].Targets[0]
	foreseen := func(want time.Duration, when string) {
		t.Helper()
		if got := p.Foresee(target, s, 500, start); got.TTFT != want+500*time.Millisecond || got.Queued != want {
			t.Errorf("%s: %v with %v of waiting, want %v of it", when, got.TTFT, got.Queued, want)
		}
	}
	foreseen(0, "idle")
	p.Occupy(0, Load{Requests: 1, Prefill: 3000})
	foreseen(0, "one is idle")
	p.Occupy(1, Load{Requests: 1, Prefill: 2000})
	foreseen(2*time.Second, "both have work")
	p.learn(1000)
	p.Observe(1, Told{Requests: 9, Waiting: 8, KV: -1}, Load{Requests: 1}, start)
	foreseen(3*time.Second, "others send to one of them")
	for range 5 {
		p.Health.Failed(0, "", nil, fault.New(fault.Connect, "test"), start, start, 0)
	}
	if got := p.Foresee(target, s, 500, start); got.Queued <= 3*time.Second {
		t.Errorf("one is out: %v of waiting, as if it were not", got.Queued)
	}
}

// TestForeseeAssumes: of an engine of one's own of which nobody knows how fast it reads,
// what waits there counts at the usual rate, and the prompt until first tokens were
// seen; of a provider nothing is assumed.
func TestForeseeAssumes(t *testing.T) {
	p, s := NewPolicy(admit.Limits{InFlight: 10}), world(1)
	target := &s.Models[0].Targets[0]
	target.ID = 1
	foreseen := func(ttft, queued time.Duration, when string) {
		t.Helper()
		if got := p.Foresee(target, s, unknownRate, start); got.TTFT != ttft || got.Queued != queued {
			t.Errorf("%s: %v with %v of waiting, want %v and %v", when, got.TTFT, got.Queued, ttft, queued)
		}
	}
	p.Occupy(0, Load{Requests: 1, Prefill: 4 * unknownRate})
	foreseen(0, 0, "a provider")
	s.Upstreams[0].Own = true
	foreseen(5*time.Second, 4*time.Second, "an engine")
	p.Saw(1, 300*time.Millisecond, 10*time.Millisecond, start)
	foreseen(4*time.Second, 4*time.Second, "one that was seen, with more to do now")
	p.Saw(1, 6*time.Second, 10*time.Millisecond, start)
	foreseen(6*time.Second, 4*time.Second, "one that was seen to be slow")
	if got := p.soon(target, s, unknownRate, start); got != 6*time.Second {
		t.Errorf("what was just seen: %v", got)
	}
	s.Upstreams[0].Rate = 2 * unknownRate
	p.Saw(1, 0, 0, start)
	foreseen(2500*time.Millisecond, 2*time.Second, "one whose rate the file has")
}

// TestConversationStays: a target that holds what was said before is better than a
// cheaper one that would have to read it.
func TestConversationStays(t *testing.T) {
	p, s := NewPolicy(admit.Limits{InFlight: 10}), world(1, 1)
	m := &s.Models[0]
	m.Policy, m.Choice = fleet.Best, &fleet.Choice{Quality: 0.1, Price: 1, Latency: 1, Objective: 2}
	for i := range m.Targets {
		s.Upstreams[i].Rate, s.Upstreams[i].Pace = 10_000, fleet.Pace{First: 20 * time.Millisecond, Each: time.Millisecond, Rate: 10_000}
		m.Targets[i].ID = fleet.TargetID(i + 1)
		m.Targets[i].Price = inference.Price{Known: true, Input: 0.1 + 0.01*float64(i), Output: 0.2, CacheRead: 0.1 + 0.01*float64(i)}
	}
	blocks := make([]uint64, 800)
	for i := range blocks {
		blocks[i] = uint64(i + 1)
	}
	ask := func() (string, string) {
		var k Ticket
		p.Begin(&k, &inference.Request{Model: "assistant", Input: 52_000, Blocks: blocks}, &tenant.Caller{}, nil)
		a := p.Step(&k, Event{Kind: Arrived}, s, start)
		p.Step(&k, Event{Kind: Finished}, s, start)
		return s.Upstreams[a.Target.Upstream].Name, k.Why
	}
	if at, why := ask(); at != "up0" {
		t.Fatalf("a new prompt goes to %s since %q", at, why)
	}
	p.caches["up0"].index.Purge(0)
	p.cachesOf(&s.Upstreams[1]).index.Insert(0, seed(&m.Targets[1], &s.Upstreams[1], nil), blocks)
	if at, why := ask(); at != "up1" || why != route.Warm {
		t.Errorf("the one that holds it does not get it: %s since %q", at, why)
	}
}

// TestBudgetLeft: once little is left of the caller's budget, the rule for that holds.
func TestBudgetLeft(t *testing.T) {
	p, s := NewPolicy(admit.Limits{InFlight: 10}), world(1, 1)
	m := &s.Models[0]
	m.Policy, m.Choice = fleet.Best, &fleet.Choice{Quality: 4, Price: 1, Rules: []fleet.Rule{{Budget: 0.2, Prefer: tenant.Price}}}
	m.Targets[0].Quality, m.Targets[0].Price = 0.9, inference.Price{Known: true, Input: 0.2, Output: 0.4}
	m.Targets[1].Quality, m.Targets[1].Price = 0.6, inference.Price{Known: true, Input: 0.1, Output: 0.2}
	for _, tt := range []struct {
		spent  float64
		budget tenant.Budget
		want   string
	}{
		{0.5, tenant.Budget{Amount: 1, Per: time.Hour}, "up0"},
		{0.9, tenant.Budget{Amount: 1, Per: time.Hour}, "up1"},
		{0.9, tenant.Budget{}, "up0"}, // he has none
		{7, tenant.Budget{Amount: 1, Per: time.Hour}, "up1"},
	} {
		p.Spent(3, tt.spent)
		var k Ticket
		p.Begin(&k, &inference.Request{Model: "assistant", Effort: inference.MuchEffort, Input: 900}, &tenant.Caller{Slot: 3, Budget: tt.budget}, nil)
		if a := p.Step(&k, Event{Kind: Arrived}, s, start); a.Kind != Send || s.Upstreams[a.Target.Upstream].Name != tt.want {
			t.Errorf("%v spent of %+v: %+v since %q, want %s", tt.spent, tt.budget, a.Target, k.Why, tt.want)
		}
		p.Step(&k, Event{Kind: Finished}, s, start)
	}
}
