package sim

import (
	"fmt"
	"os"
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/latency"
	"headworks/internal/record"
)

func pool8() World {
	w, _ := BuiltIn(0, 1)
	w.Fleet.Upstreams[0].Replicas = nil
	w.Fleet.Replicas = 8
	for i := range 8 {
		w.Fleet.Upstreams[0].Replicas = append(w.Fleet.Upstreams[0].Replicas, fleet.Replica{ID: fleet.ReplicaID(i), Name: name(i)})
	}
	p, _ := latency.Profile(latency.Qwen32B)
	w.Engines = []latency.Params{p}
	w.Fleet.Upstreams[0].KVTokens = p.KVTokens
	w.Fleet.Upstreams[0].Rate = 18000
	w.Fleet.Models[0].Timeouts = fleet.Timeouts{}
	return w
}

func TestLadderTable(t *testing.T) {
	if os.Getenv("LADDER") == "" {
		t.Skip("by hand")
	}
	for _, s := range []fleet.Schedule{fleet.TwoChoices, fleet.LeastRequests, fleet.LMetric, fleet.ByPrefix} {
		w := pool8()
		w.Fleet.Upstreams[0].Schedule = s
		l := Ladder(1, w.Start)
		type row struct {
			n, out int
			ttft   float64
			last   time.Duration
			first  time.Duration
		}
		rows := make([]row, len(l.Stages))
		res := Run(w, flow.NewPolicy(admit.Limits{InFlight: 100000}), l, func(r *record.Record) {
			at := time.UnixMicro(r.Time).Sub(w.Start)
			i, _ := l.Stage(at)
			if i == len(rows) || r.End != record.OK {
				return
			}
			x := &rows[i]
			if x.n == 0 || at < x.first {
				x.first = at
			}
			x.n++
			x.out += int(r.Output)
			x.ttft += float64(r.TTFT) / 1e6
			x.last = max(x.last, at+time.Duration(r.Total)*time.Microsecond)
		})
		fmt.Printf("%v failed %d wall %.1fs\n", s, res.Failed, res.WallSeconds)
		for i, x := range rows {
			fmt.Printf("  rate %v n %d out tok/s %.0f ttft %.3f\n", l.Stages[i].Rate, x.n, float64(x.out)/(x.last-x.first).Seconds(), x.ttft/float64(max(x.n, 1)))
		}
	}
}
