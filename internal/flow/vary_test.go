package flow

import (
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/tenant"
)

// variants is a fleet with one model of two arms, on an upstream each.
func variants() *fleet.Snapshot {
	return &fleet.Snapshot{
		Replicas: 2,
		Upstreams: []fleet.Upstream{
			{Name: "one", Replicas: []fleet.Replica{{ID: 0, Name: "a"}}},
			{Name: "two", Replicas: []fleet.Replica{{ID: 1, Name: "b", Upstream: 1}}},
		},
		Models: []fleet.Model{{
			Name: "m", Tries: 1, Policy: fleet.Weighted,
			Targets: []fleet.Target{{Name: "old", Salt: 11, Weight: 1}, {Name: "new", Upstream: 1, Salt: 12, Weight: 1}},
		}},
	}
}

// TestWhomAnArmIsDrawnFor: requests of one subject meet one arm, and requests of many
// subjects both.
func TestWhomAnArmIsDrawnFor(t *testing.T) {
	type ask struct {
		key           string
		session, user uint64
	}
	for _, tt := range []struct {
		name   string
		sticky fleet.Sticky
		of     func(i uint64) ask // requests of one subject
		many   func(i uint64) ask
	}{
		{"session", fleet.BySession, func(i uint64) ask { return ask{"k", 5, i} }, func(i uint64) ask { return ask{"k", i + 1, 5} }},
		{"session, told by the user", fleet.BySession, func(uint64) ask { return ask{"k", 0, 9} }, func(i uint64) ask { return ask{"k", 0, i + 1} }},
		{"user", fleet.ByUser, func(i uint64) ask { return ask{"k", i, 5} }, func(i uint64) ask { return ask{"k", 5, i + 1} }},
		{"user, told by the key", fleet.ByUser, func(i uint64) ask { return ask{"k", i, 0} }, func(i uint64) ask { return ask{string(rune('a' + i)), 1, 0} }},
		{"key", fleet.ByKey, func(i uint64) ask { return ask{"k", i, i} }, func(i uint64) ask { return ask{string(rune('a' + i)), 1, 1} }},
	} {
		s := variants()
		s.Models[0].Sticky = tt.sticky
		arms := func(of func(i uint64) ask) map[string]int {
			count := map[string]int{}
			for i := range uint64(64) {
				p := NewPolicy(admit.Limits{InFlight: 10})
				a := of(i)
				var k Ticket
				p.Begin(&k, &inference.Request{ID: inference.NewID(time.Unix(1, 0), 0, i), Model: "m", Session: a.session, User: a.user},
					&tenant.Caller{KeyID: a.key, Tenant: "t"}, nil)
				if act := p.Step(&k, Event{Kind: Arrived}, s, time.Unix(1, 0)); act.Kind != Send {
					t.Fatalf("%s: %v", tt.name, act.Kind)
				}
				count[k.Target.Name]++
			}
			return count
		}
		if one := arms(tt.of); len(one) != 1 {
			t.Errorf("%s: one subject met %v", tt.name, one)
		}
		if many := arms(tt.many); many["old"] < 16 || many["new"] < 16 {
			t.Errorf("%s: 64 subjects met %v", tt.name, many)
		}
	}
}
