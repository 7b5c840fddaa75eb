package flow

import (
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/tenant"

	"pgregory.net/rapid"
)

// TestOthersCount: of each other gateway the last word counts, for two seconds, and
// in the end nothing is left.
func TestOthersCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := NewPolicy(admit.Limits{})
		now := time.Unix(1e9, 0)
		type word struct {
			at   time.Time
			load Load
		}
		last := map[uint64]word{}
		for range rapid.IntRange(1, 40).Draw(t, "words") {
			now = now.Add(time.Duration(rapid.IntRange(0, 900).Draw(t, "ms")) * time.Millisecond)
			number := rapid.Uint64Range(1, 4).Draw(t, "gateway")
			w := word{now, Load{rapid.IntRange(0, 9).Draw(t, "requests"), rapid.IntRange(0, 99).Draw(t, "prefill"), rapid.IntRange(0, 99).Draw(t, "kv")}}
			p.Hear(number, []InFlight{{3, w.load}}, nil, now)
			last[number] = w
			var want Load
			n := 0
			for _, w := range last {
				if now.Sub(w.at) < MaxAge {
					want.add(&w.load, 1)
					n++
				}
			}
			p.expire(now)
			if got := p.InFlight(3); got != want {
				t.Fatalf("%+v in flight, want %+v", got, want)
			}
			if got := p.Others(now); got != n {
				t.Fatalf("%d others, want %d", got, n)
			}
		}
		p.expire(now.Add(MaxAge))
		if got := p.InFlight(3); got != (Load{}) || len(p.others.known) != 0 || !p.others.stale.IsZero() {
			t.Fatalf("%+v is left", got)
		}
	})
}

// TestOthersAreBounded: whoever is one too many is not listened to.
func TestOthersAreBounded(t *testing.T) {
	p := NewPolicy(admit.Limits{})
	now := time.Unix(1e9, 0)
	for n := range uint64(2 * MaxOthers) {
		p.Hear(n, []InFlight{{0, Load{Requests: 1}}}, nil, now)
	}
	if got := p.InFlight(0).Requests; got != MaxOthers {
		t.Errorf("%d are listened to", got)
	}
}

// TestOthersDecide: what another gateway has in flight moves a request away, and what
// it sent draws one, until its word is too old.
func TestOthersDecide(t *testing.T) {
	s := &fleet.Snapshot{Replicas: 2, Foresees: true, Upstreams: []fleet.Upstream{{
		Name: "pool", Schedule: fleet.ByPrefix, Replicas: []fleet.Replica{{ID: 0, Name: "a"}, {ID: 1, Name: "b"}},
	}}, Models: []fleet.Model{{Name: "m", Targets: []fleet.Target{{Model: "m"}}}}}
	blocks := make([]uint64, 40)
	for i := range blocks {
		blocks[i] = uint64(i + 1)
	}
	now := time.Unix(1e9, 0)
	one, two := NewPolicy(admit.Limits{InFlight: 100}), NewPolicy(admit.Limits{InFlight: 100})
	one.Share(true)
	two.Share(true)
	send := func(p *Policy, id byte) (Action, *Ticket) {
		var ticket Ticket
		req := &inference.Request{ID: inference.ID{id}, Model: "m", Input: 2560, Blocks: blocks}
		p.Begin(&ticket, req, &tenant.Caller{}, nil)
		return p.Step(&ticket, Event{Kind: Arrived}, s, now), &ticket
	}
	first, _ := send(one, 1)
	var n News
	one.Tell(&n, s)
	if len(n.InFlight) != 1 || n.InFlight[0].Replica != first.Replica.ID || n.InFlight[0].Requests != 1 || len(n.Holds) != len(blocks) || len(n.Given) != 1 {
		t.Fatalf("told %+v", n)
	}
	two.Hear(1, n.InFlight, n.Given, now)
	two.Learn(&s.Upstreams[0], n.Holds)
	a, ticket := send(two, 2)
	if a.Replica.ID != first.Replica.ID || ticket.Hit != 2560 {
		t.Errorf("sent to %d with %d tokens there, after the other to %d", a.Replica.ID, ticket.Hit, first.Replica.ID)
	}
	two.Step(ticket, Event{Kind: Finished}, s, now)
	busy := []InFlight{{first.Replica.ID, Load{Requests: 50, Prefill: 1 << 20}}}
	two.Hear(1, busy, nil, now)
	if a, _ := send(two, 3); a.Replica.ID == first.Replica.ID {
		t.Error("sent where another has a million tokens in flight")
	}
	two.Learn(&fleet.Upstream{Name: "other", Replicas: []fleet.Replica{{ID: 7}}}, []Hold{{99, 1}}) // of a replica that is no more
	one.Tell(&n, s)
	if len(n.Holds) != 0 || len(n.Given) != 0 || len(n.InFlight) != 1 {
		t.Errorf("told again: %+v", n)
	}
}
