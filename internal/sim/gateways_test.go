package sim

import (
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/flow"
)

// TestGatewaysOfACell: four gateways that tell each other what they know find at
// least 95 % of the prompts' tokens in caches that one finds, on the ladder of shared
// prefixes. Without telling they find far less, or the test would show nothing.
func TestGatewaysOfACell(t *testing.T) {
	hit := func(n int, exchange time.Duration) float64 {
		w := LadderPool()
		w.Exchange = exchange
		l := Ladder(1, w.Start)
		l.Stages = []Stage{{Rate: 15, Length: 50 * time.Second}, {Rate: 20, Length: 60 * time.Second}, {Rate: 30, Length: 60 * time.Second}}
		var all []*flow.Policy
		for range n {
			all = append(all, flow.NewPolicy(admit.Limits{InFlight: 1 << 20}))
		}
		r := RunGateways(w, all, l, nil)
		if r.Served != r.Requests || len(r.Stages) != 3 {
			t.Fatalf("%d of %d served", r.Served, r.Requests)
		}
		var sum float64
		for i, f := range r.Stages {
			t.Logf("%d gateways, every %v, %2.0f/s: %.1f %% found, %.0f tokens/s, TTFT mean %.3f s", n, exchange, l.Stages[i].Rate, 100*f.Hit, f.Throughput, f.TTFT.Mean/1000)
			if i > 0 { // the first warms up
				sum += f.Hit / 2
			}
		}
		return sum
	}
	one, told, untold := hit(1, 0), hit(4, 100*time.Millisecond), hit(4, 0)
	if told < .95*one {
		t.Errorf("four gateways find %.1f %%, one %.1f %%", 100*told, 100*one)
	}
	if untold > .8*one {
		t.Errorf("four gateways find %.1f %% without telling each other, one %.1f %%: the load does not tell them apart", 100*untold, 100*one)
	}
}
