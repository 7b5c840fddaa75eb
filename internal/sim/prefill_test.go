package sim

import (
	"slices"
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/latency"
	"headworks/internal/record"
	"headworks/internal/tenant"
)

// pooled is a world of eight replicas, of which so many read prompts for the others.
func pooled(t *testing.T, readers int, events ...Event) World {
	t.Helper()
	params, ok := latency.Profile(latency.Qwen32B)
	if !ok {
		t.Fatal("no such profile")
	}
	w := World{
		Start: time.Unix(1_700_000_000, 0), Events: events,
		Fleet: &fleet.Snapshot{Generation: 1, Replicas: 8, Models: []fleet.Model{{Name: "assistant", Tries: 2, Targets: []fleet.Target{{}}}}},
	}
	for u, n := range []int{8 - readers, readers} {
		up := fleet.Upstream{Name: []string{"answer", "read"}[u], Rate: 18_000}
		for i := range n {
			id := fleet.ReplicaID(u*(8-readers) + i)
			up.Replicas = append(up.Replicas, fleet.Replica{ID: id, Upstream: u, Name: string(rune('a' + id))})
		}
		w.Fleet.Upstreams, w.Engines = append(w.Fleet.Upstreams, up), append(w.Engines, params)
	}
	if readers > 0 {
		w.Fleet.Upstreams[0].Prefill = 2
	}
	return w
}

// longPrompts is a load of prompts that no cache has, seven a second.
func longPrompts(d time.Duration) *listed {
	var l listed
	for i := range uint64(d / (150 * time.Millisecond)) {
		x := spread(i * 2654435761)
		l = append(l, Arrival{
			At: time.Duration(i)*150*time.Millisecond + time.Duration(x%80)*time.Millisecond, Output: 150 + int(x>>20%100), Caller: &tenant.Caller{KeyID: "k"},
			Request: inference.Request{ID: inference.NewID(time.Unix(0, 0), 1, x), Model: "assistant", Stream: true, Input: 4000 + int(x>>40%4000), N: 1},
		})
	}
	return &l
}

// TestPrefillPool: with prompts read apart, tokens come more evenly: nobody's answer
// waits for the prompt of another one. No answer is lost, also where half of those who
// read are.
func TestPrefillPool(t *testing.T) {
	slow := map[int]int64{}
	for _, readers := range []int{0, 4} {
		var gaps []int64
		read, n := 0, 0
		Run(pooled(t, readers), flow.NewPolicy(admit.Limits{}), longPrompts(time.Minute), func(r *record.Record) {
			n++
			if r.End != record.OK || r.FailoverFrom != "" {
				t.Errorf("%v, %v", r.End, r.Fault)
			}
			gaps = append(gaps, r.TPOT)
			if r.Tries()[0].Reason == flow.ReadsFor {
				read++
			}
		})
		slices.Sort(gaps)
		slow[readers] = gaps[len(gaps)*95/100]
		t.Logf("%d of 8 read for others: TPOT p50 %d us, p95 %d us, %d of %d read apart", readers, gaps[len(gaps)/2], slow[readers], read, n)
		if readers > 0 && read < n/2 {
			t.Errorf("%d of %d prompts were read apart", read, n)
		}
	}
	if 10*slow[4] > 9*slow[0] {
		t.Errorf("of twenty answers the slowest takes %d us a token, and %d with prompts read apart", slow[0], slow[4])
	}
	w := pooled(t, 4, Event{Kind: Crash, Replicas: []fleet.ReplicaID{4, 5}, From: 20 * time.Second, To: 40 * time.Second})
	Run(w, flow.NewPolicy(admit.Limits{}), longPrompts(time.Minute), func(r *record.Record) {
		if r.End != record.OK {
			t.Errorf("%v, %v", r.End, r.Fault)
		}
	})
}
