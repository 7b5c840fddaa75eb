package gateway

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"headworks/internal/admit"
	"headworks/internal/canary"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/inference"
)

// TestCanaryIsLookedAt: answers of a canary that do not pass let it go back. Callers
// get them as they come, and those of the others too.
func TestCanaryIsLookedAt(t *testing.T) {
	for name, tt := range map[string]struct {
		stream bool
		own    []beat
		back   bool
	}{
		"refusals":   {true, []beat{role(), says("I'm sorry, but I can't help with that."), ends(inference.Stop)}, true},
		"cut":        {true, []beat{role(), says("the answer is"), ends(inference.Length)}, true},
		"whole ones": {false, []beat{wholly("Sorry, I can't do that.", inference.Stop)}, true},
		"as good":    {true, []beat{role(), says("the answer is 42"), ends(inference.Stop)}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			good := []beat{role(), says("the answer "), says("is 42"), ends(inference.Stop)}
			if !tt.stream {
				good = []beat{wholly("the answer is 42", inference.Stop)}
			}
			b := newBench(admit.Limits{}, good, tt.own)
			m := &b.g.World().Fleet.Models[0]
			m.Canary = &fleet.Canary{
				Target: 1, Steps: []float64{0.5}, Every: time.Hour, Min: 1 << 20, Quality: 0.05, Definition: 1,
				Verify: &fleet.Cascade{Whole: true, Refusal: true, JSON: true},
			}
			for i := range 100 {
				p := &page{}
				req := b.request(tt.stream)
				req.ID = inference.NewID(time.Now(), 1, uint64(i)*2654435761)
				b.g.Do(t.Context(), req, p)
				if all := strings.Join(p.log, ""); strings.Count(all, "an") > 2 || !strings.HasPrefix(all, "send") == tt.stream {
					t.Fatalf("%s: the client got %q", name, p.log)
				}
			}
			b.g.Policy(func(p *flow.Policy) {
				c := p.Canaries(b.g.World().Fleet)[0]
				if back := c.Phase == canary.RolledBack; back != tt.back || back && c.Why != canary.ByForm {
					t.Errorf("%s: %+v", name, c)
				}
				if row := c.Rows[canary.Form]; row.N == 0 && !tt.back {
					t.Errorf("%s: nothing was looked at", name)
				}
			})
			b.settled(t)
		})
	}
}

// TestOverheardIsBounded: an answer that is too long to be looked at goes on to the
// caller, once.
func TestOverheardIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece := strings.Repeat("x", maxWatched/2)
		b := newBench(admit.Limits{}, []beat{finish("a")}, []beat{says(piece), says(piece), says("last"), ends(inference.Stop)})
		m := &b.g.World().Fleet.Models[0]
		m.Canary = &fleet.Canary{Target: 1, Steps: []float64{0.9}, Quality: 0.05, Definition: 1, Verify: &fleet.Cascade{Whole: true}}
		for i := range 10 {
			p := &page{}
			req := b.request(true)
			req.ID = inference.NewID(time.Now(), 1, uint64(i)*2654435761)
			b.g.Do(t.Context(), req, p)
			if got := strings.Join(p.log, ""); strings.Contains(got, "last") && len(got) > len("send  send  send last end ")+2*len(piece)+20 {
				t.Fatalf("%d bytes came", len(got))
			}
		}
		b.settled(t)
	})
}
