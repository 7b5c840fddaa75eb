package sim

import (
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/record"
)

// scaled runs a load of shared prefixes on replicas that follow it.
func scaled(t *testing.T, schedule fleet.Schedule, c Scaling, stages []Stage) (Result, []record.Record) {
	t.Helper()
	w := LadderPool()
	w.Fleet.Upstreams[0].Schedule = schedule
	w.Scaling, w.Objective = &c, Objective{TTFT: 2 * time.Second, TPOT: 50 * time.Millisecond}
	l := Ladder(1, w.Start)
	l.Stages = stages
	var all []record.Record
	r := Run(w, flow.NewPolicy(admit.Limits{InFlight: 1 << 20}), l, func(r *record.Record) { all = append(all, *r) })
	if r.Served != r.Requests {
		t.Fatalf("%d of %d served", r.Served, r.Requests)
	}
	return r, all
}

// TestScaling: what is ordered takes requests once its cold start is over, what is too
// many goes five minutes later, and only then its GPUs are no longer counted.
func TestScaling(t *testing.T) {
	const cold = 2 * time.Minute
	c := Scaling{Least: 2, Most: 8, Target: 10, ColdStart: cold}
	stages := []Stage{{Rate: 1, Length: 5 * time.Minute}, {Rate: 6, Length: 10 * time.Minute, Joined: true}, {Rate: 1, Length: 15 * time.Minute, Joined: true}}
	r, all := scaled(t, fleet.LeastRequests, c, stages)
	start := LadderPool().Start.UnixMicro()
	first := map[string]time.Duration{} // when a replica got its first request
	last := map[string]time.Duration{}
	for i := range all {
		name, at := all[i].Replica, time.Duration(all[i].Time-start)*time.Microsecond
		if was, ok := first[name]; !ok || at < was {
			first[name] = at
		}
		last[name] = max(last[name], at)
	}
	if len(first) < 4 {
		t.Fatalf("six times the load is served by %d replicas", len(first))
	}
	stayed := 0
	for name, at := range first {
		switch {
		case last[name] > 25*time.Minute:
			stayed++
		case last[name] < 20*time.Minute && at > cold:
			t.Errorf("%s went at %v, before it was too many for five minutes", name, last[name])
		}
		if name != "r1" && name != "r0" && at < scaleEvery+cold {
			t.Errorf("%s has a request at %v, before a cold start was over", name, at)
		}
	}
	if stayed > 3 {
		t.Errorf("%d replicas stayed to the end", stayed)
	}
	hours := r.Seconds / 3600
	if least, most := 2*2*hours, 2*8*hours; r.GPUHours <= least*1.1 || r.GPUHours >= most*.9 {
		t.Errorf("%.1f GPU-hours, between %.1f and %.1f", r.GPUHours, least, most)
	}
	again, _ := scaled(t, fleet.LeastRequests, c, stages)
	if again.Hash != r.Hash || again.GPUHours != r.GPUHours {
		t.Error("another run with the same input is another")
	}
}

// TestJoinedStages: joined stages follow each other at once, with as many requests.
func TestJoinedStages(t *testing.T) {
	l := &Poisson{Stages: []Stage{{Rate: 10, Length: time.Minute}, {Rate: 1, Length: time.Minute, Joined: true}, {Rate: 5, Length: time.Minute}}, Seed: 3, Prompt: Lengths{1, 0, 1}, Output: Lengths{1, 0, 1}}
	counts := [3]int{}
	latest := time.Duration(0)
	for {
		a, ok := l.Next()
		if !ok {
			break
		}
		if a.At < latest {
			t.Fatalf("%v after %v", a.At, latest)
		}
		latest = a.At
		counts[min(int(a.At/time.Minute), 2)]++
	}
	if n := counts[0] + counts[1] + counts[2]; n != 660 || counts[0] < 540 || counts[1] < 40 {
		t.Errorf("%v before the stage that drains", counts)
	}
	if !l.Drained(latest) {
		t.Fatal("no third stage")
	}
	if a, ok := l.Next(); !ok || a.At < latest {
		t.Errorf("the third stage begins at %v, %v", a.At, ok)
	}
}
