package flow

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/inference"
	"headworks/internal/prefix"
	"headworks/internal/tenant"
)

// BenchmarkDecision is what a prompt of 32 KB costs until its replica is known: its
// hashes, and the first step of its life, in a pool under load whose caches are known.
// Half of the prompts begin like an earlier one. p99-ns is over all decisions of the
// run, step-p99-ns over their steps alone: hashes are made while a request is read.
func BenchmarkDecision(b *testing.B) {
	for _, n := range []int{8, 100, 1000} {
		b.Run(fmt.Sprintf("replicas=%d", n), func(b *testing.B) {
			p, s := NewPolicy(admit.Limits{InFlight: 1 << 20}), world(n)
			c := &tenant.Caller{}
			src := rand.New(rand.NewPCG(1, 2))
			prompts := make([][]byte, 512)
			for i := range prompts {
				prompts[i] = make([]byte, 32<<10)
				for k := range prompts[i] {
					prompts[i][k] = byte(src.Uint32())
				}
				if i%2 == 1 {
					copy(prompts[i], prompts[i-1][:24<<10])
				}
			}
			var h prefix.Hasher
			now := start
			hashed := start
			arrive := func(t *Ticket, r *inference.Request, prompt []byte) {
				h.Reset(r.Blocks[:0])
				h.Write(prompt)
				r.Blocks = h.Blocks()
				hashed = time.Now()
				p.Begin(t, r, c, nil)
				p.Step(t, Event{Kind: Arrived}, s, now)
			}
			// As many are in flight as a busy pool has.
			flying := make([]Ticket, 16*n)
			requests := make([]inference.Request, len(flying))
			for i := range flying {
				requests[i] = inference.Request{Model: "assistant", Stream: true, Input: 8192, MaxTokens: 512}
				arrive(&flying[i], &requests[i], prompts[src.IntN(len(prompts))])
			}
			took, steps := make([]time.Duration, 0, 1<<20), make([]time.Duration, 0, 1<<20)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				t := &flying[i%len(flying)]
				now = now.Add(time.Millisecond)
				p.Step(t, Event{Kind: Content}, s, now)
				p.Step(t, Event{Kind: Finished}, s, now)
				began := time.Now()
				arrive(t, &requests[i%len(flying)], prompts[i%len(prompts)])
				if len(took) < cap(took) {
					ended := time.Now()
					took, steps = append(took, ended.Sub(began)), append(steps, ended.Sub(hashed))
				}
				i++
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
			b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
			slices.Sort(steps)
			b.ReportMetric(float64(steps[len(steps)*99/100]), "step-p99-ns")
		})
	}
}
