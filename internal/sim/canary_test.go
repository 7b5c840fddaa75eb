package sim

import (
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/canary"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/latency"
	"headworks/internal/record"
	"headworks/internal/tenant"
)

// trial is a world of two upstreams, of which the second is the model's canary.
func trial(t *testing.T, own latency.Params, events ...Event) World {
	t.Helper()
	params, ok := latency.Profile(latency.Qwen32B)
	if !ok {
		t.Fatal("no such profile")
	}
	if own == (latency.Params{}) {
		own = params
	}
	replicas := func(upstream, first, n int) (all []fleet.Replica) {
		for i := range n {
			all = append(all, fleet.Replica{ID: fleet.ReplicaID(first + i), Upstream: upstream, Name: string(rune('a' + first + i))})
		}
		return all
	}
	return World{
		Start: time.Unix(1_700_000_000, 0), Events: events, Engines: []latency.Params{params, own},
		Fleet: &fleet.Snapshot{
			Generation: 1, Replicas: 8,
			Upstreams: []fleet.Upstream{{Name: "old", Replicas: replicas(0, 0, 4)}, {Name: "new", Replicas: replicas(1, 4, 4)}},
			Models: []fleet.Model{{
				Name: "assistant", Tries: 2, Targets: []fleet.Target{{Name: "stable"}, {Name: "next", Upstream: 1}},
				Canary: &fleet.Canary{
					Target: 1, Steps: []float64{0.05, 0.25, 0.5, 1}, Every: 10 * time.Minute, Min: 50,
					Errors: 0.05, TTFT: 1.5, TPOT: 1.5, Salt: 7, Definition: 1,
				},
			}},
		},
	}
}

// steady is a load of 20 requests a second.
func steady(seed uint64, d time.Duration) *listed {
	var l listed
	for i := range uint64(d / (50 * time.Millisecond)) {
		x := spread(i*2654435761 + seed<<32)
		l = append(l, Arrival{
			At: time.Duration(i)*50*time.Millisecond + time.Duration(x%40)*time.Millisecond, Output: 20 + int(x>>20%100), Caller: &tenant.Caller{KeyID: "k"},
			Request: inference.Request{ID: inference.NewID(time.Unix(0, 0), uint16(seed), x), Model: "assistant", Stream: true, Input: 200 + int(x>>40%1000), N: 1},
		})
	}
	return &l
}

// TestCanaryWithErrorsGoesBack: with 5 % errors at a share of 5 % of 20 requests a
// second it is back within two minutes, no caller sees an error, and it gets nothing
// afterwards.
func TestCanaryWithErrorsGoesBack(t *testing.T) {
	const seeds = 10
	within := 0
	for seed := range uint64(seeds) {
		w := trial(t, latency.Params{}, Event{Kind: Fail, Replicas: []fleet.ReplicaID{4, 5, 6, 7}, To: time.Hour, Factor: 0.05})
		p := flow.NewPolicy(admit.Limits{})
		var last int64
		Run(w, p, steady(seed, 6*time.Minute), func(r *record.Record) {
			if r.End != record.OK {
				t.Errorf("seed %d: a caller was told %v", seed, r.Fault)
			}
			for _, a := range r.Tries() {
				if a.Upstream == "new" {
					last = max(last, r.Time+a.Start)
				}
			}
		})
		c := p.Canaries(w.Fleet)[0]
		took := c.Since.Sub(w.Start)
		if c.Phase != canary.RolledBack || c.Why != canary.ByErrors {
			t.Errorf("seed %d: %+v", seed, c)
			continue
		}
		if took <= 2*time.Minute {
			within++
		}
		if late := time.UnixMicro(last).Sub(c.Since); late > time.Second {
			t.Errorf("seed %d: it was sent something %v after it went back", seed, late)
		}
	}
	if within < seeds-1 {
		t.Errorf("%d of %d were back within two minutes", within, seeds)
	}
}

// TestSlowCanaryGoesBack: an engine with half the pace is found by its times.
func TestSlowCanaryGoesBack(t *testing.T) {
	slow, _ := latency.Profile(latency.Qwen32B)
	slow.Base *= 2
	w := trial(t, slow)
	p := flow.NewPolicy(admit.Limits{})
	Run(w, p, steady(1, 5*time.Minute), nil)
	if c := p.Canaries(w.Fleet)[0]; c.Phase != canary.RolledBack || c.Why != canary.ByTPOT {
		t.Errorf("%+v", c)
	}
}

// TestGoodCanaryGoesOn: one that is like the others has everything after four steps,
// and each step as much as it says.
func TestGoodCanaryGoesOn(t *testing.T) {
	w := trial(t, latency.Params{})
	w.Fleet.Models[0].Canary.Every = time.Minute
	p := flow.NewPolicy(admit.Limits{})
	var of, all [4]float64
	Run(w, p, steady(3, 5*time.Minute), func(r *record.Record) {
		i := time.UnixMicro(r.Time).Sub(w.Start) / (70 * time.Second)
		if i > 3 {
			return
		}
		all[i]++
		if r.Arm == "next" {
			of[i]++
		}
	})
	if c := p.Canaries(w.Fleet)[0]; c.Phase != canary.Promoted || c.Share != 1 {
		t.Fatalf("%+v", c)
	}
	for i, least := range []float64{0.03, 0.2, 0.45, 0.8} {
		if got := of[i] / all[i]; got < least {
			t.Errorf("in part %d it had %.3f of the requests", i, got)
		}
	}
}

// TestReloadKeepsCanary: a reload that leaves the canary as it is changes nothing, one
// that changes it begins anew, and requests of the time before change nothing any more.
func TestReloadKeepsCanary(t *testing.T) {
	w := trial(t, latency.Params{})
	p := flow.NewPolicy(admit.Limits{})
	now := w.Start
	if !p.Move(w.Fleet, "assistant", flow.RollBack, now) || p.Move(w.Fleet, "nothing", flow.RollBack, now) {
		t.Fatal("an operator's word")
	}
	next := *w.Fleet
	next.Generation = 2
	next.Models = append([]fleet.Model{}, w.Fleet.Models...)
	same := *w.Fleet.Models[0].Canary
	next.Models[0].Canary = &same
	if c := p.Canaries(&next)[0]; c.Phase != canary.RolledBack || c.Why != canary.ByOperator {
		t.Errorf("after a reload: %+v", c)
	}
	other := same
	other.Definition = 2
	next.Generation = 3
	next.Models[0].Canary = &other
	if c := p.Canaries(&next)[0]; c.Phase != canary.Running || c.Share != 0.05 {
		t.Errorf("another one: %+v", c)
	}
	if c := p.Canaries(w.Fleet); len(c) != 0 {
		t.Errorf("of the time before: %+v", c)
	}
	if c := p.Canaries(&next)[0]; c.Phase != canary.Running {
		t.Errorf("another one, afterwards: %+v", c)
	}
}
