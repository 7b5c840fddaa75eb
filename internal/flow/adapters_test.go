package flow

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/tenant"
)

// adapted is a rig whose models are adapters of one pool.
func adapted(t *testing.T, replicas, slots, adapters int) *rig {
	r := newRig(t, admit.Limits{}, false, replicas)
	r.s.Upstreams[0].Adapters = slots
	m := r.s.Models[0]
	r.s.Models = nil
	for i := range adapters {
		m.Name = fmt.Sprint("model", i)
		m.Targets = []fleet.Target{{Model: fmt.Sprint("a", i), Base: "base", Adapter: fmt.Sprint("a", i)}}
		r.s.Models = append(r.s.Models, m)
	}
	return r
}

// ask sends a request for an adapter.
func (r *rig) adapter(i, n int) *Ticket {
	r.Helper()
	t := &Ticket{}
	req := &inference.Request{Model: fmt.Sprint("model", i), Input: 100, ID: inference.NewID(r.now, uint16(n), uint64(n*7919))}
	r.p.Begin(t, req, &tenant.Caller{}, nil)
	r.want(r.p.Step(t, Event{Kind: Arrived}, r.s, r.now), Send)
	return t
}

func (r *rig) finish(t *Ticket) { r.p.Step(t, Event{Kind: Finished, Tokens: 10}, r.s, r.now) }

// TestAdapterStaysWhereItIs: one after the other, all requests for an adapter meet the
// replica that holds it, each adapter has its own, and Loaded is why.
func TestAdapterStaysWhereItIs(t *testing.T) {
	r := adapted(t, 4, 1, 4)
	home := map[int]string{}
	for n := range 40 {
		i := n % 4
		k := r.adapter(i, n)
		r.finish(k)
		switch a := k.Attempts[0]; {
		case n < 4:
			home[i] = k.Replica.Name
		case k.Replica.Name != home[i] || a.Why != Loaded:
			t.Errorf("request %d for adapter %d went to %s: %s", n, i, k.Replica.Name, a.Why)
		default:
			for _, c := range k.Candidates[:k.Considered] {
				if !c.Won && c.WhyNot != NotLoaded {
					t.Errorf("%s: %s", c.Replica.Name, c.WhyNot)
				}
			}
		}
	}
	seen := map[string]bool{}
	for _, name := range home {
		seen[name] = true
	}
	if len(seen) != 4 {
		t.Errorf("adapters share replicas while others have room: %v", home)
	}
}

// TestHotAdapterIsLoadedTwice: where its replica is far behind, another one loads it; a
// replica whose slots are in use by others does not.
func TestHotAdapterIsLoadedTwice(t *testing.T) {
	r := adapted(t, 3, 1, 2)
	other := r.adapter(1, 0) // keeps one replica's slot
	seen := map[string]int{}
	for n := range 12 {
		k := r.adapter(0, n+1)
		seen[k.Replica.Name]++
		if k.Replica.Name == other.Replica.Name {
			t.Errorf("request %d went where all slots are in use", n)
		}
	}
	if len(seen) != 2 {
		t.Errorf("%v", seen)
	}
	for name, n := range seen {
		if n < 4 {
			t.Errorf("%s got %d of 12", name, n)
		}
	}
}

// TestAdaptersRestart: a replica that is gone holds nothing any more, and what an
// engine says of itself counts.
func TestAdaptersRestart(t *testing.T) {
	r := adapted(t, 2, 1, 1)
	k := r.adapter(0, 1)
	first := k.Replica.ID
	if got := r.p.Adapters(first); !slices.Equal(got, []string{"a0"}) {
		t.Errorf("%v", got)
	}
	r.want(r.p.Step(k, Event{Kind: Failed, Fault: fault.New(fault.Interrupted, "test")}, r.s, r.now), Send)
	if k.Replica.ID == first {
		t.Errorf("sent to %d again", first)
	}
	r.finish(k)
	r.p.Restarted(r.s.Upstreams[0].Name, first)
	r.p.Restarted(r.s.Upstreams[0].Name, k.Replica.ID)
	if got := append(r.p.Adapters(0), r.p.Adapters(1)...); len(got) != 0 {
		t.Errorf("%v", got)
	}
	r.now = r.now.Add(time.Minute)
	r.p.Adapted(1, []string{"a0"}, 1)
	if k := r.adapter(0, 2); k.Replica.ID != 1 || k.Attempts[0].Why != Loaded {
		t.Errorf("sent to %d: %s", k.Replica.ID, k.Attempts[0].Why)
	}
}

// TestAdapterSeed: what one adapter made of a prompt is of no use to another one, nor to
// the base model.
func TestAdapterSeed(t *testing.T) {
	seeds := map[uint64]bool{}
	for _, target := range []fleet.Target{{Model: "base"}, {Model: "a", Base: "base", Adapter: "a"}, {Model: "b", Base: "base", Adapter: "b"}, {Model: "a", Base: "other", Adapter: "a"}} {
		seeds[seed(&target, &fleet.Upstream{}, &tenant.Caller{Tenant: "one"})] = true
	}
	if len(seeds) != 4 {
		t.Errorf("%d of 4 are apart", len(seeds))
	}
	// Tenants share what is read, unless the upstream keeps them apart.
	target := fleet.Target{Model: "base"}
	if !seeds[seed(&target, &fleet.Upstream{}, &tenant.Caller{Tenant: "two"})] {
		t.Error("two tenants are apart that share")
	}
	apart := fleet.Upstream{Apart: true}
	seeds[seed(&target, &apart, &tenant.Caller{Tenant: "one"})] = true
	seeds[seed(&target, &apart, &tenant.Caller{Tenant: "two"})] = true
	if len(seeds) != 6 {
		t.Errorf("%d of 6 are apart", len(seeds))
	}
}
