package latency

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// BenchmarkEngine submits a job and takes its progress, with about so many in the
// batch, as a simulator does.
func BenchmarkEngine(b *testing.B) {
	p, _ := Profile(Qwen32B)
	for _, running := range []int{1, 20, 64, 256} {
		b.Run(fmt.Sprintf("running=%d", running), func(b *testing.B) {
			src := rand.New(rand.NewPCG(1, 0))
			e := New(p, Ends)
			told := make([]Progress, 0, 64)
			ended, submitted := 0, 0
			submit := func(now time.Duration) {
				e.Submit(now, Job{ID: uint64(submitted), Prompt: 100 + src.IntN(400), Output: 50 + src.IntN(300)})
				submitted++
			}
			for i := range running {
				submit(time.Duration(i) * 100 * time.Millisecond)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for ended < b.N {
				now, _ := e.Next()
				told = e.Advance(now, told[:0])
				for _, p := range told {
					if p.Last {
						submit(now)
						ended++
					}
				}
			}
			b.ReportMetric(float64(e.steps)/float64(b.N), "modelsteps/op")
		})
	}
}
