package canary

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"headworks/internal/fleet"

	"pgregory.net/rapid"
)

func rules() *fleet.Canary {
	return &fleet.Canary{
		Steps: []float64{0.05, 0.25, 0.5, 1}, Every: 10 * time.Minute, Min: 50,
		Errors: 0.05, TTFT: 1.5, TPOT: 1.5, Quality: 0.05,
	}
}

var start = time.Unix(1_000_000, 0)

// world draws attempts at so many a second.
type world struct {
	src    *rand.Rand
	now    time.Time
	second float64 // attempts
}

func newWorld(seed uint64, second float64) *world {
	return &world{src: rand.New(rand.NewPCG(seed, 1)), now: start, second: second}
}

// attempt draws one more attempt, with the share that the canary has, and returns
// whether the canary moved. Of is called with whether it is the canary's.
func (w *world) attempt(s *State, c *fleet.Canary, of func(own bool) Outcome) bool {
	w.now = w.now.Add(time.Duration(w.src.ExpFloat64() / w.second * float64(time.Second)))
	own := w.src.Float64() < s.Share(c)
	return s.Observe(c, own, of(own), w.now)
}

func (w *world) fails(p float64) Outcome { return Outcome{Judged: true, Failed: w.src.Float64() < p} }

// TestFivePercentErrorsGoBack: at 20 requests a second of which the canary has 5 %,
// 5 % errors are found in two minutes.
func TestFivePercentErrorsGoBack(t *testing.T) {
	for _, tt := range []struct {
		others, own float64
		second      float64
		within      time.Duration
		share       float64 // of canaries that are back by then
	}{
		{0, 0.05, 20, 2 * time.Minute, 0.9},
		{0, 0.05, 40, 2 * time.Minute, 0.99},
		{0.001, 0.05, 40, 2 * time.Minute, 0.97},
		{0.01, 0.06, 100, 2 * time.Minute, 0.95},
		{0, 0.5, 20, 30 * time.Second, 0.99},
		{0, 1, 20, 20 * time.Second, 0.99},
		{0.05, 0.15, 100, 2 * time.Minute, 0.97},
	} {
		back := 0
		const canaries = 200
		for seed := range uint64(canaries) {
			var s State
			c, w := rules(), newWorld(seed, tt.second)
			for w.now.Sub(start) < tt.within && s.Phase == Running {
				w.attempt(&s, c, func(own bool) Outcome {
					if own {
						return w.fails(tt.own)
					}
					return w.fails(tt.others)
				})
			}
			if s.Phase == RolledBack {
				if back++; s.Why != ByErrors {
					t.Fatalf("it went back for %q", s.Why)
				}
			}
		}
		if got := float64(back) / canaries; got < tt.share {
			t.Errorf("%v errors beside %v at %v/s: %.3f are back within %v, want %v", tt.own, tt.others, tt.second, got, tt.within, tt.share)
		}
	}
}

// TestAsGoodGoesOn: one that is as good as the others gets everything in the end, also
// where everybody fails for a while.
func TestAsGoodGoesOn(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rate  float64
		burst float64 // in every tenth minute
		most  float64 // go back
	}{
		{"never", 0, 0, 0},
		{"seldom", 0.001, 0, 0.02},
		{"at times", 0.01, 0, 0.02},
		{"often", 0.05, 0, 0.02},
		{"very often", 0.2, 0, 0.02},
		{"outages of all, one in each step", 0.001, 0.5, 0.1},
	} {
		back := 0
		const canaries = 100
		for seed := range uint64(canaries) {
			var s State
			c, w := rules(), newWorld(seed, 20)
			for s.Phase == Running && w.now.Sub(start) < 3*time.Hour {
				w.attempt(&s, c, func(bool) Outcome {
					p := tt.rate
					if tt.burst > 0 && int(w.now.Sub(start)/time.Minute)%10 == 9 {
						p = tt.burst
					}
					return w.fails(p)
				})
			}
			switch s.Phase {
			case RolledBack:
				back++
			case Running:
				t.Errorf("%s: after three hours at step %d: %+v", tt.name, s.Step, s.tests)
			case Promoted:
			}
		}
		if share := float64(back) / canaries; share > tt.most {
			t.Errorf("%s: %.3f of those that are no worse went back", tt.name, share)
		}
	}
}

// TestSlower: twice as slow goes back, as slow does not, also where everybody becomes
// slow at once.
func TestSlower(t *testing.T) {
	for _, tt := range []struct {
		name  string
		times float64
		tpot  bool
		burst float64 // in every tenth minute, for all
		steps int
		back  bool
	}{
		{"as fast", 1, false, 1, 4, false},
		{"a little slower", 1.2, false, 1, 1, false},
		{"twice", 2.2, false, 1, 1, true},
		{"twice by the token", 2.2, true, 1, 1, true},
		{"all become slow", 1, false, 10, 4, false},
	} {
		moved := 0
		const canaries = 100
		for seed := range uint64(canaries) {
			var s State
			c, w := rules(), newWorld(seed, 20)
			for s.Phase == Running && s.Step < tt.steps && w.now.Sub(start) < time.Hour {
				w.attempt(&s, c, func(own bool) Outcome {
					took := 0.3 * math.Exp(0.8*w.src.NormFloat64())
					if int(w.now.Sub(start)/time.Minute)%10 == 5 {
						took *= tt.burst
					}
					if own {
						took *= tt.times
					}
					d := time.Duration(took * float64(time.Second))
					if tt.tpot {
						return Outcome{Judged: true, TPOT: d}
					}
					return Outcome{Judged: true, TTFT: d}
				})
			}
			if s.Phase == RolledBack {
				if moved++; (s.Why == ByTPOT) != tt.tpot {
					t.Fatalf("%s: it went back for %q", tt.name, s.Why)
				}
			}
		}
		if share := float64(moved) / canaries; tt.back && share < 0.98 || !tt.back && share > 0.02 {
			t.Errorf("%s: %.3f went back", tt.name, share)
		}
	}
}

// TestBecomesWorse: what spoke for it before helps a canary for no more than a few
// answers.
func TestBecomesWorse(t *testing.T) {
	var s State
	c, w := rules(), newWorld(1, 100)
	c.Every = time.Hour
	for range 20_000 {
		w.attempt(&s, c, func(bool) Outcome { return w.fails(0) })
	}
	bad := 0
	for s.Phase == Running {
		w.attempt(&s, c, func(own bool) Outcome {
			if own {
				bad++
			}
			return Outcome{Judged: true, Failed: own}
		})
	}
	if bad > 4 {
		t.Errorf("it went back after %d failures in a row", bad)
	}
}

// TestSteps: a step takes its time and its answers; the last one promotes, unless it is
// no whole share.
func TestSteps(t *testing.T) {
	c := rules()
	var s State
	now := start
	good := func(n int) (moved bool) {
		for range n {
			moved = s.Observe(c, false, Outcome{Judged: true}, now) || moved
			moved = s.Observe(c, true, Outcome{Judged: true}, now) || moved
		}
		return moved
	}
	if good(500) {
		t.Error("it went on at once")
	}
	now = now.Add(c.Every)
	if !good(some) || s.Step != 1 || s.Share(c) != 0.25 {
		t.Fatalf("after the time it is at %+v", s)
	}
	now = now.Add(c.Every)
	if good(c.Min-2*some) || s.Step != 1 || !good(3*some) || s.Step != 2 {
		t.Fatalf("with %d answers it is at step %d", c.Min+some, s.Step)
	}
	c.Steps = c.Steps[:3]
	now = now.Add(c.Every)
	if good(2*c.Min) || s.Phase != Running {
		t.Fatalf("the last step is half of the requests, and it was %v", s.Phase)
	}
	s.Promote(now)
	if s.Share(c) != 1 || good(10) {
		t.Error("an operator's word does not count")
	}
	s.RollBack(now)
	if s.Share(c) != 0 || s.Why != ByOperator {
		t.Errorf("%+v", s)
	}
	s.Restart(now)
	if s.Share(c) != 0.05 || s.Phase != Running {
		t.Errorf("%+v", s)
	}
}

// TestJudge: verdicts count as attempts do.
func TestJudge(t *testing.T) {
	c := rules()
	var s State
	for i := 0; s.Phase == Running && i < 500; i++ {
		s.Judge(c, false, true, start)
		s.Judge(c, true, i%4 != 0, start)
	}
	if s.Phase != RolledBack || s.Why != ByQuality {
		t.Errorf("a quarter of bad answers: %v %s", s.Phase, s.Why)
	}
	c.Quality = 0
	s = State{}
	for range 500 {
		s.Judge(c, true, false, start)
	}
	if s.Phase != Running {
		t.Error("quality is not compared, and it went back for it")
	}
}

// TestWhatIsNotOver: a time that was not over tells something only where it is long
// already.
func TestWhatIsNotOver(t *testing.T) {
	c := rules()
	var s State
	for range 40 {
		s.Observe(c, false, Outcome{Judged: true, TTFT: time.Second}, start)
	}
	s.Observe(c, true, Outcome{TTFT: time.Second, AtMost: true}, start)
	if s.tests[TTFT].n != 0 || s.tests[Errors].n != 0 {
		t.Error("it counts that a caller left early")
	}
	for range 60 {
		s.Observe(c, false, Outcome{Judged: true, TTFT: time.Second}, start)
		s.Observe(c, true, Outcome{TTFT: time.Minute, AtMost: true}, start)
	}
	if s.Phase != RolledBack || s.Why != ByTTFT {
		t.Errorf("every caller left after a minute: %v", s.Phase)
	}
}

// TestNothingWrong: whatever is observed, shares are of the steps, evidence stays
// finite, and it costs nothing.
func TestNothingWrong(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := rules()
		c.Errors = rapid.SampledFrom([]float64{0, 0.01, 0.5, 1}).Draw(t, "errors")
		var s State
		now := start
		for range rapid.IntRange(1, 300).Draw(t, "attempts") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "later")))
			s.Observe(c, rapid.Bool().Draw(t, "own"), Outcome{
				Failed: rapid.Bool().Draw(t, "failed"), Judged: rapid.Bool().Draw(t, "judged"),
				TTFT: time.Duration(rapid.Int64Range(0, math.MaxInt64/4).Draw(t, "ttft")), AtMost: rapid.Bool().Draw(t, "at most"),
			}, now)
			for g := range Signals {
				if r := s.tests[g].ratio; math.IsNaN(r) || math.IsInf(r, 0) || r < credit {
					t.Fatalf("%v: %v", g, r)
				}
				if r := s.Row(g); !(r.Evidence >= 0 && r.Evidence <= 1) {
					t.Fatalf("%v: %+v", g, r)
				}
			}
		}
		if c.Errors == 0 && s.Why == ByErrors {
			t.Fatal("errors are not compared, and it went back for them")
		}
	})
	c, s := rules(), State{}
	for range 100 {
		s.Observe(c, false, Outcome{Judged: true, TTFT: time.Second, TPOT: time.Second}, start)
	}
	if n := testing.AllocsPerRun(100, func() {
		s.Observe(c, true, Outcome{Judged: true, TTFT: time.Second, TPOT: time.Second}, start)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
