package gateway

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"headworks/internal/admit"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/health"
	"headworks/internal/inference"
	"headworks/internal/record"
)

// TestAHangingReplicaIsLeft: one replica takes a request and says nothing, while a
// stream of the other goes on that began before. That stream's pieces are all that
// tells a hang from a long prompt.
func TestAHangingReplicaIsLeft(t *testing.T) {
	for name, tt := range map[string]struct {
		pieces int           // of the stream, one a second
		last   time.Duration // from then to its end
		moves  bool
	}{
		"the other one goes on": {45, 20 * time.Second, true},
		"both are silent":       {3, time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				going := slices.Repeat([]beat{later(time.Second, text("."))}, tt.pieces)
				b := newBench(admit.Limits{}, []beat{later(50*time.Second, finish("late"))}, append(going, later(tt.last, finish("end"))))
				w := *b.g.World()
				s := *w.Fleet
				s.Upstreams = []fleet.Upstream{{Name: "pool", Replicas: []fleet.Replica{{ID: 0, Name: "r0"}, {ID: 1, Name: "r1"}}}}
				s.Models = slices.Clone(s.Models)
				s.Models[0].Targets = s.Models[0].Targets[:1]
				w.Fleet, w.Engines = &s, []engine.Engine{b.engine}
				b.g.Publish(&w)

				only := func(id fleet.ReplicaID) {
					b.g.Policy(func(p *flow.Policy) { p.Health.Drain(1-id, time.Now().Add(time.Second)) })
				}
				only(1)
				first := make(chan struct{})
				go func() {
					defer close(first)
					b.do(t.Context(), true, &page{})
				}()
				time.Sleep(5 * time.Second)
				only(0)
				p := &page{}
				b.do(t.Context(), true, p)
				<-first

				var st health.Standing
				b.g.Policy(func(p *flow.Policy) { st = p.Health.Of(0, "m", time.Now()) })
				at := slices.IndexFunc(b.records, func(r record.Record) bool { return r.Attempts[0].Replica == "r0" })
				if at < 0 {
					t.Fatalf("nobody went there: %+v %+v", b.records[0].Tries(), b.records[1].Tries())
				}
				if attempts := b.records[at].Tries(); tt.moves != (len(attempts) == 2) || tt.moves && (attempts[0].Fault != fault.NoProgress || attempts[0].Duration != 30e6) {
					t.Errorf("%+v", attempts)
				}
				if tt.moves == st.In() {
					t.Errorf("the replica is %+v", st)
				}
				if want := map[bool]string{true: "end end", false: "end late"}[tt.moves]; p.log[len(p.log)-1] != want {
					t.Errorf("the client got %q", p.log)
				}
				b.settled(t)
			})
		})
	}
}

// TestSigns: signs stay when there are more replicas, and who has none is not told.
func TestSigns(t *testing.T) {
	var s signs
	if s.at(0) != nil {
		t.Error("nobody was published")
	}
	s.at(0).now(time.Unix(1, 0)) // tells nobody
	s.grow(2)
	begin := time.Unix(1000, 0)
	s.at(1).now(begin)
	s.at(1).now(begin.Add(signEvery / 2)) // as good as the same
	s.grow(5)
	if got := s.at(1).at.Load(); got != begin.UnixNano() {
		t.Errorf("%d", got)
	}
	p := flow.NewPolicy(admit.Limits{})
	pool := []fleet.Replica{{ID: 0}, {ID: 1}, {ID: 7}}
	s.tell(p, pool)
	if !p.Health.Silent(0, pool, begin.Add(-1)) || p.Health.Silent(1, pool, begin.Add(-1)) {
		t.Error("not told as it was")
	}
}

// TestAHangIsFoundByWholeAnswers: nobody streams, and one of three replicas takes what
// it is sent and says nothing. Nobody waits for long, and callers that leave while it is
// half open are few.
func TestAHangIsFoundByWholeAnswers(t *testing.T) {
	for name, patience := range map[string]time.Duration{"callers wait": time.Hour, "callers leave soon": 4 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				well := []beat{later(100*time.Millisecond, finish("well"))}
				b := newBench(admit.Limits{}, []beat{later(time.Hour, finish("late"))}, well, well)
				w := *b.g.World()
				s := *w.Fleet
				s.Upstreams = []fleet.Upstream{{Name: "pool", Replicas: []fleet.Replica{{ID: 0, Name: "r0"}, {ID: 1, Name: "r1"}, {ID: 2, Name: "r2"}}}}
				s.Models = slices.Clone(s.Models)
				s.Models[0].Targets = s.Models[0].Targets[:1]
				w.Fleet, w.Engines = &s, []engine.Engine{b.engine}
				b.g.Publish(&w)
				b.g.Policy(func(p *flow.Policy) { p.Health.Drain(0, time.Now().Add(10*time.Second)) })

				var wait sync.WaitGroup
				begin, sent := time.Now(), 0
				var n atomic.Uint64
				for range 12 {
					wait.Go(func() {
						for time.Since(begin) < 3*time.Minute {
							ctx, cancel := context.WithTimeout(t.Context(), patience)
							r := b.request(false)
							r.ID = inference.NewID(time.Now(), 1, n.Add(1))
							b.g.Do(ctx, r, &page{})
							cancel()
							time.Sleep(50 * time.Millisecond)
						}
					})
				}
				wait.Wait()
				left, moved := 0, 0
				for i := range b.records {
					r := &b.records[i]
					if r.Fault == fault.ClientClosed {
						left++
					} else if r.Fault != fault.None {
						t.Errorf("%v after %d us", r.Fault, r.Total)
					}
					if r.Total > 40e6 {
						t.Errorf("an answer took %d s", r.Total/1e6)
					}
					for _, a := range r.Tries() {
						if a.Replica == "r0" {
							sent++
						}
						if a.Fault == fault.NoProgress {
							moved++
						}
					}
				}
				t.Logf("of %d requests %d were sent there, %d moved and %d left", len(b.records), sent, moved, left)
				if sent == 0 || sent > 60 || patience > time.Minute && (left > 0 || moved == 0) {
					t.Errorf("%d were sent there, %d moved and %d left", sent, moved, left)
				}
				var st health.Standing
				b.g.Policy(func(p *flow.Policy) { st = p.Health.Of(0, "m", time.Now()) })
				if st.In() {
					t.Errorf("the replica is %+v", st)
				}
				b.settled(t)
			})
		})
	}
}
