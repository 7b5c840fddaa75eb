package sim_test

import (
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/record"
	"headworks/internal/sim"
	"headworks/internal/tenant"
)

// repeating is a load in which each question is asked again and again.
type repeating struct {
	arrivals []sim.Arrival
	i        int
}

func (l *repeating) Next() (sim.Arrival, bool) {
	if l.i == len(l.arrivals) {
		return sim.Arrival{}, false
	}
	l.i++
	return l.arrivals[l.i-1], true
}

func (l *repeating) again() *repeating { return &repeating{arrivals: l.arrivals} }

// asking returns a world whose model keeps its answers, and a load of so many questions,
// each asked so often.
func asking(questions, requests int, every time.Duration) (sim.World, *repeating) {
	w, of := sim.BuiltIn(requests, 5)
	w.Memory = 1 << 20
	for i := range w.Fleet.Models {
		w.Fleet.Models[i].Reuse = &fleet.Reuse{Exact: fleet.ExactAuto, TTL: time.Hour, Reach: tenant.Project}
	}
	l := &repeating{arrivals: take(of)}
	for i := range l.arrivals {
		a := &l.arrivals[i]
		first := &l.arrivals[i%questions]
		a.At, a.Same = time.Duration(i)*every, uint64(i%questions)+1
		a.Request.Input, a.Output, a.Request.Cold = first.Request.Input, first.Output, true
		a.Caller = &tenant.Caller{Key: "sim", Tenant: "sim", Project: "sim"}
	}
	return w, l
}

// TestReused: of a question that is asked again the answer is given again, or shared
// while it is made, by the decisions that serve live requests; a run is repeatable.
func TestReused(t *testing.T) {
	w, load := asking(20, 400, 200*time.Millisecond)
	states := map[string]int{}
	var output, saved int64
	r := sim.Run(w, flow.NewPolicy(admit.Limits{}), load, func(r *record.Record) {
		states[r.Cache]++
		output += max(r.Output, 0)
		saved += max(r.SavedTokens, 0)
		if r.End != record.OK || r.Cache != "miss" && (r.Output != 0 || r.Cost != 0 || r.Tried != 0 || r.SavedTokens == 0) {
			t.Errorf("%+v", r)
		}
		if r.Cache == "hit" && r.Total != 0 {
			t.Errorf("a hit took %d us", r.Total)
		}
	})
	if states["miss"] != 20 || states["hit"]+states["joined"] != 380 || states["hit"] < 300 || r.Reused != states["hit"] || r.Joined != states["joined"] {
		t.Errorf("%v, %+v", states, r.Figures)
	}
	if saved <= output {
		t.Errorf("%d tokens were made and %d saved", output, saved)
	}
	w, load = asking(20, 400, 200*time.Millisecond)
	if again := sim.Run(w, flow.NewPolicy(admit.Limits{}), load, nil); again.Hash != r.Hash {
		t.Error("another run gave other records")
	}
	w, load = asking(20, 400, 200*time.Millisecond)
	w.Memory = 0
	if r := sim.Run(w, flow.NewPolicy(admit.Limits{}), load, nil); r.Reused != 0 || r.Joined != 0 {
		t.Errorf("without memory: %+v", r.Figures)
	}
}

// TestOtherWords: where answers to other questions may stand in, the simulator, which has
// no texts, finds none, and every request goes on.
func TestOtherWords(t *testing.T) {
	const requests = 100
	w, load := asking(20, requests, 200*time.Millisecond)
	for i := range w.Fleet.Models {
		w.Fleet.Models[i].Reuse.Semantic = fleet.SemanticOn
	}
	n := 0
	sim.Run(w, flow.NewPolicy(admit.Limits{}), load, func(r *record.Record) {
		if n++; r.End != record.OK || r.CacheTier == flow.SemanticTier {
			t.Errorf("%v by %s: %v", r.End, r.CacheTier, r.Fault)
		}
	})
	if n != requests {
		t.Errorf("%d of %d requests ended", n, requests)
	}
}

// TestLittleMemory: where there is room for few answers, the others are made again.
func TestLittleMemory(t *testing.T) {
	w, load := asking(100, 1000, 2*time.Second)
	w.Memory = 64 << 10
	little := sim.Run(w, flow.NewPolicy(admit.Limits{}), load, nil)
	w.Memory = 1 << 20
	much := sim.Run(w, flow.NewPolicy(admit.Limits{}), load.again(), nil)
	if much.Reused != 900 || little.Reused >= 600 {
		t.Errorf("%d with little memory, %d with much", little.Reused, much.Reused)
	}
}

// TestSharedInTime: of many who ask for the same at one time, one has it made; if he
// leaves, the others get it all the same.
func TestSharedInTime(t *testing.T) {
	for _, leaves := range []time.Duration{0, 300 * time.Millisecond} {
		w, load := asking(1, 50, time.Millisecond)
		load.arrivals[0].Leaves = leaves
		states, left := map[string]int{}, 0
		sim.Run(w, flow.NewPolicy(admit.Limits{InFlight: 1}), load, func(r *record.Record) {
			states[r.Cache]++
			if r.End != record.OK {
				left++
				if r.Fault != fault.ClientClosed {
					t.Errorf("%+v", r)
				}
			}
		})
		if states["miss"] != 1 || states["joined"] != 49 || left != min(int(leaves), 1) {
			t.Errorf("leaves after %v: %v, %d left", leaves, states, left)
		}
	}
}
