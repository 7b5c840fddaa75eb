package sim

import (
	"math"
	"testing"

	"headworks/internal/admit"
	"headworks/internal/flow"
	"headworks/internal/latency"
	"headworks/internal/record"
)

// TestTheEngineIsFound: what flow learns of the engines from the streams it routes is
// what they are made of, whichever they are, with prompts that share beginnings and
// without. Each sequence of a batch takes 5 us of a step on its own, which counts with
// the KV cache that it brings.
func TestTheEngineIsFound(t *testing.T) {
	for name, build := range map[string]func() (World, Load){
		"chat": func() (World, Load) { return BuiltIn(8000, 1) },
		"shared beginnings": func() (World, Load) {
			w := LadderPool()
			w.Fleet.Upstreams[0].Rate = 0 // it has to be found
			l := Ladder(1, w.Start)
			l.Stages = l.Stages[:7]
			return w, l
		},
		"a slower engine": func() (World, Load) {
			w, l := BuiltIn(8000, 1)
			w.Engines[0].Base *= 3
			w.Engines[0].PerPrefillToken *= 3
			w.Engines[0].PerKVToken *= 3
			l.Rate = 10
			return w, l
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, l := build()
			p := flow.NewPolicy(admit.Limits{InFlight: 1 << 20})
			var off []float64
			Run(w, p, l, func(r *record.Record) {
				if r.Predicted >= 0 && r.UpstreamTTFT > 0 {
					off = append(off, math.Abs(float64(r.Predicted-r.UpstreamTTFT))/float64(r.UpstreamTTFT))
				}
			})
			k, ok := p.Learned(&w.Fleet.Upstreams[0])
			if !ok || !k.Trusted() {
				t.Fatalf("%+v", k)
			}
			sum := 0.0
			for _, e := range off {
				sum += e
			}
			t.Logf("b %v, kappa %.1f ns, R %.0f, o %v; errors %.1f %% a token, %.1f %% of %d first tokens", k.Base, k.PerKV*1e9, k.Rate, k.Overhead, 100*k.Error, 100*sum/float64(len(off)), len(off))
			e := w.Engines[0]
			for _, c := range []struct {
				what           string
				is, want, most float64
			}{
				{"b", k.Base.Seconds(), float64(e.Base) / float64(latency.Second), 0.03},
				{"R", k.Rate, float64(latency.Second) / float64(e.PerPrefillToken), 0.05},
				{"kappa", k.PerKV, float64(e.PerKVToken) / float64(latency.Second), 0.2},
			} {
				if math.Abs(c.is-c.want) > c.most*c.want {
					t.Errorf("%s is %v, found %v", c.what, c.want, c.is)
				}
			}
			if mean := sum / float64(len(off)); len(off) < 3000 || mean > 0.15 {
				t.Errorf("%d predictions, off by %.1f %% on average", len(off), 100*mean)
			}
		})
	}
}
