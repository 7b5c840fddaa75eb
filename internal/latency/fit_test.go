package latency

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// planted is what a class of engines really is, and the load that is put on one.
type planted struct {
	params Params
	rate   float64 // requests a second
	prompt [2]int
	output [2]int
	noise  float64 // by which every time that is seen is off, at most
}

// client is a stream under way.
type client struct {
	mark        Mark
	prompt      int
	sent, first time.Duration
	predicted   time.Duration
}

// learn carries a load to an engine and lets a Fit learn from what a client sees. It
// returns the fit, and the relative errors of the predictions after the first streams.
func learn(p planted, seed uint64, streams int) (*Fit, []float64) {
	src := rand.New(rand.NewPCG(seed, 1))
	between := func(r [2]int) int { return r[0] + src.IntN(r[1]-r[0]+1) }
	e, f, a := New(p.params, Ends), NewFit(0, p.params.StepTokens), &Ahead{}
	epoch := time.Unix(0, 0)
	under := map[uint64]*client{}
	var told []Progress
	var errs []float64
	ended := 0
	advance := func(to time.Duration) {
		for {
			next, ok := e.Next()
			if !ok || next > to {
				return
			}
			told = e.Advance(next, told[:0])
			for _, g := range told {
				g.At = time.Duration(float64(g.At-under[g.ID].sent)*(1+p.noise*(2*src.Float64()-1))) + under[g.ID].sent
				c, now := under[g.ID], epoch.Add(g.At)
				k := f.Constants()
				if c.first == 0 {
					c.first = g.At
					b := a.Began(now, &k, &c.mark, g.At-c.sent, c.predicted)
					f.Begun(b)
					if ended > streams/4 {
						errs = append(errs, math.Abs((g.At-c.sent).Seconds()-c.predicted.Seconds())/(g.At-c.sent).Seconds())
					}
				}
				if g.Last {
					if d, ok := a.Ended(now, &k, &c.mark, g.Tokens, epoch.Add(c.first), now); ok {
						f.Decoded(d)
					}
					delete(under, g.ID)
					ended++
				}
			}
		}
	}
	now := time.Duration(0)
	for id := uint64(1); ended < streams; id++ {
		now += time.Duration(src.ExpFloat64() / p.rate * float64(time.Second))
		advance(now)
		c := &client{prompt: between(p.prompt), sent: now}
		k := f.Constants()
		c.predicted = a.Outlook(epoch.Add(now), &k).First(c.prompt)
		c.mark = a.Sent(epoch.Add(now), &k, c.prompt, c.prompt, true)
		under[id] = c
		e.Submit(now, Job{ID: id, Prompt: c.prompt, Output: between(p.output)})
	}
	return f, errs
}

// plantedEngine is one whose every time is explained by the three coefficients.
func plantedEngine(base time.Duration, kappa, rate float64) Params {
	return Params{
		Base: Picoseconds(base) * Nanosecond, PerKVToken: Picoseconds(kappa * float64(Second)), PerPrefillToken: Picoseconds(float64(Second) / rate),
		Overhead: 50 * time.Millisecond, KVTokens: 400_000, BlockSize: 16, StepTokens: 8192, MaxSequences: 256,
	}
}

// TestPlantedConstantsAreFound: b and R within 2 %, kappa within 5 %, of engines that
// differ by an order of magnitude, and the time to the first token within 12 %.
func TestPlantedConstantsAreFound(t *testing.T) {
	for name, tt := range map[string]planted{
		"qwen3-32b on two H100":  {params: plantedEngine(9700*time.Microsecond, 39e-9, 18_000), rate: 2, prompt: [2]int{200, 8000}, output: [2]int{50, 1000}},
		"a fast one":             {params: plantedEngine(4*time.Millisecond, 10e-9, 60_000), rate: 8, prompt: [2]int{100, 6000}, output: [2]int{50, 800}},
		"a slow one":             {params: plantedEngine(60*time.Millisecond, 120e-9, 2000), rate: 0.3, prompt: [2]int{100, 4000}, output: [2]int{50, 1500}},
		"seen through a network": {params: plantedEngine(10*time.Millisecond, 40e-9, 15_000), rate: 2, prompt: [2]int{200, 4000}, output: [2]int{50, 1000}, noise: 0.001},
		"mostly decodes":         {params: plantedEngine(17*time.Millisecond, 25e-9, 12_600), rate: 2, prompt: [2]int{50, 1000}, output: [2]int{300, 1500}},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(3) {
				f, errs := learn(tt, seed, 3000)
				c := f.Constants()
				mean := 0.0
				for _, e := range errs {
					mean += e / float64(len(errs))
				}
				t.Logf("b %v, kappa %.1f ns, R %.0f, o %v, samples %d, error %.3f, first %.3f (mean %.3f)", c.Base, c.PerKV*1e9, c.Rate, c.Overhead, c.Samples, c.Error, c.First, mean)
				off := func(what string, is, want, most float64) {
					if math.Abs(is-want) > most*want {
						t.Errorf("seed %d: %s is %v, found %v", seed, what, want, is)
					}
				}
				p := tt.params
				off("b", c.Base.Seconds(), float64(p.Base)/float64(Second), 0.02)
				off("kappa", c.PerKV, float64(p.PerKVToken)/float64(Second), 0.05)
				off("R", c.Rate, float64(Second)/float64(p.PerPrefillToken), 0.02)
				if !c.Trusted() || mean > 0.12 {
					t.Errorf("seed %d: %+v, mean error of first tokens %.3f", seed, c, mean)
				}
			}
		})
	}
}

// TestAFitFollows: what changes is learned anew, and a fit that errs is not trusted
// meanwhile.
func TestAFitFollows(t *testing.T) {
	f := NewFit(0, 0)
	src := rand.New(rand.NewPCG(1, 2))
	sample := func(base float64) {
		kv, prompt := 100_000*src.Float64(), 200*src.Float64()
		f.Decoded(Decoded{PerToken: seconds(base + 30e-9*kv + prompt/10_000), KV: kv, Prompt: prompt})
	}
	for range 1000 {
		sample(0.01)
	}
	if c := f.Constants(); math.Abs(c.Base.Seconds()-0.01) > 1e-4 || c.Error > 0.01 {
		t.Fatalf("%+v", c)
	}
	for range 100 { // throttled
		sample(0.03)
	}
	worst := f.Constants().Error
	for range 4000 {
		sample(0.03)
	}
	if c := f.Constants(); math.Abs(c.Base.Seconds()-0.03) > 2e-3 || c.Error > 0.02 || worst < 0.1 {
		t.Errorf("%+v, and at its worst %.3f", c, worst)
	}
}

// TestOutliersMoveLittle: one stream in fifty that took twenty times as long, as those
// do that were preempted.
func TestOutliersMoveLittle(t *testing.T) {
	f := NewFit(0, 0)
	src := rand.New(rand.NewPCG(3, 4))
	for i := range 3000 {
		kv, prompt := 100_000*src.Float64(), 200*src.Float64()
		y := 0.01 + 30e-9*kv + prompt/10_000
		if i%50 == 49 {
			y *= 20
		}
		f.Decoded(Decoded{PerToken: seconds(y), KV: kv, Prompt: prompt})
	}
	if c := f.Constants(); math.Abs(c.Base.Seconds()-0.01) > 1e-3 || math.Abs(c.Rate-10_000) > 500 {
		t.Errorf("%+v", c)
	}
}

// TestWhenAFitIsTrusted: after 200 samples of both kinds, while both errors are small.
func TestWhenAFitIsTrusted(t *testing.T) {
	good := Constants{Samples: TrustedSamples, Firsts: TrustedSamples, Error: TrustedError, First: TrustedError}
	if !good.Trusted() {
		t.Errorf("%+v is not trusted", good)
	}
	for _, spoil := range []func(*Constants){
		func(c *Constants) { c.Samples-- }, func(c *Constants) { c.Firsts-- },
		func(c *Constants) { c.Error += 0.001 }, func(c *Constants) { c.First += 0.001 },
	} {
		c := good
		spoil(&c)
		if c.Trusted() {
			t.Errorf("%+v is trusted", c)
		}
	}
}

// TestFirstMeetsWhatIsBefore: prompts before it, the running step, and each step's own
// time; while it is on its way, the engine reads.
func TestFirstMeetsWhatIsBefore(t *testing.T) {
	c := Constants{Base: 10 * time.Millisecond, PerKV: 100e-9, Rate: 10_000, Overhead: 100 * time.Millisecond, Budget: 1000}
	now := time.Unix(100, 0)
	var a Ahead
	want := func(what string, tokens int, want time.Duration) {
		t.Helper()
		if got := a.Outlook(now, &c).First(tokens); (got - want).Abs() > time.Microsecond {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	want("idle", 500, 160*time.Millisecond)
	want("two steps", 1500, 270*time.Millisecond)
	first := a.Sent(now, &c, 4000, 4000, true)
	want("behind 4,000 tokens that are on their way", 1000, 100*time.Millisecond+5*110*time.Millisecond)
	now = now.Add(100*time.Millisecond + 220*time.Millisecond)
	want("half of them read", 1000, 3*110*time.Millisecond)
	a.Began(now, &c, &first, 320*time.Millisecond, 0)
	a.late = 0 // see TestWhatIsNotExplained
	// Half of the step that runs, one of its own beside 4,000 tokens of KV, 999 to read.
	want("all read sooner than thought, and one decodes", 999, 215500*time.Microsecond)
	a.Ended(now, &c, &first, 1, now, now)
	want("idle again", 500, 160*time.Millisecond)
}

// TestWhatIsNotExplained: an engine that is later than the constants say, whyever, is
// foreseen to be so again; once nothing comes, that is forgotten, and a single one that
// is late tells nothing.
func TestWhatIsNotExplained(t *testing.T) {
	c := Constants{Base: 10 * time.Millisecond, Rate: 10_000, Overhead: 100 * time.Millisecond, Budget: 1000}
	now := time.Unix(100, 0)
	var a Ahead
	ask := func(extra time.Duration) time.Duration {
		foreseen := a.Outlook(now, &c).First(500)
		m := a.Sent(now, &c, 500, 500, true)
		took := 160*time.Millisecond + extra
		now = now.Add(20 * time.Millisecond) // others are under way
		a.Began(now, &c, &m, took, foreseen)
		a.Ended(now, &c, &m, 1, now, now)
		return foreseen
	}
	for range 400 {
		ask(time.Second)
	}
	if got := ask(time.Second); got < 900*time.Millisecond || got > 1300*time.Millisecond {
		t.Errorf("late each time: %v, want about 1.16 s", got)
	}
	now = now.Add(10 * time.Minute)
	if got := a.Outlook(now, &c).First(500); got > 161*time.Millisecond {
		t.Errorf("ten minutes later: %v", got)
	}
	ask(time.Minute)
	if got := a.Outlook(now, &c).First(500); got > 170*time.Millisecond {
		t.Errorf("after a single one: %v", got)
	}
	for range 400 {
		ask(-100 * time.Millisecond)
	}
	if got := ask(-100 * time.Millisecond); got < 60*time.Millisecond || got > 100*time.Millisecond {
		t.Errorf("sooner each time: %v", got)
	}
}

// TestNothingIsLeftBehind: whatever is sent, begins and ends in any order, no figure is
// negative or no number, and in the end nothing is outstanding.
func TestNothingIsLeftBehind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := NewFit(rapid.SampledFrom([]float64{0, 100, 1e6}).Draw(t, "rate"), rapid.SampledFrom([]int{0, 1, 512}).Draw(t, "budget"))
		type life struct {
			m     Mark
			sent  time.Time
			first time.Time
		}
		var a Ahead
		var lives []*life
		now := time.Unix(0, 0)
		check := func() {
			c := f.Constants()
			for _, v := range []float64{c.Base.Seconds(), c.PerKV, c.Rate, c.Overhead.Seconds(), c.Error, c.First, a.kv()} {
				if !(v >= 0) || math.IsInf(v, 0) {
					t.Fatalf("%+v, %v tokens of KV", c, a.kv())
				}
			}
			if d := a.Outlook(now, &c).First(1000); d <= 0 {
				t.Fatalf("a first token after %v", d)
			}
			if n, tokens := a.Waiting(); n < 0 || tokens < 0 || a.Decodes() < 0 {
				t.Fatalf("%d waiting, %v tokens, %d decodes", n, tokens, a.Decodes())
			}
		}
		pick := func(t *rapid.T) *life {
			if len(lives) == 0 {
				t.Skip()
			}
			return lives[rapid.IntRange(0, len(lives)-1).Draw(t, "which")]
		}
		end := func(t *rapid.T, l *life) {
			c := f.Constants()
			if d, ok := a.Ended(now, &c, &l.m, rapid.SampledFrom([]int{0, 1, 8, 500}).Draw(t, "tokens"), l.first, now); ok {
				f.Decoded(d)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(100*time.Second)).Draw(t, "passes")))
			},
			"sent": func(t *rapid.T) {
				c := f.Constants()
				tokens := rapid.IntRange(0, 100_000).Draw(t, "tokens")
				lives = append(lives, &life{sent: now, m: a.Sent(now, &c, tokens, tokens+rapid.IntRange(0, 1000).Draw(t, "held"), rapid.Bool().Draw(t, "streamed"))})
			},
			"began": func(t *rapid.T) {
				l, c := pick(t), f.Constants()
				if l.m.reading {
					l.first = now
					f.Begun(a.Began(now, &c, &l.m, now.Sub(l.sent), time.Second))
				}
			},
			"ended": func(t *rapid.T) {
				l := pick(t)
				end(t, l)
				lives = slices.DeleteFunc(lives, func(o *life) bool { return o == l })
			},
			"": func(*rapid.T) { check() },
		})
		for _, l := range lives {
			end(t, l)
		}
		check()
		if n, tokens := a.Waiting(); n != 0 || tokens != 0 || a.Decodes() != 0 || a.kv() != 0 {
			t.Fatalf("left: %d waiting, %v tokens, %d decodes, %v of KV", n, tokens, a.Decodes(), a.kv())
		}
	})
}

func TestForeseeingAllocatesNothing(t *testing.T) {
	f, a, now := NewFit(0, 0), &Ahead{}, time.Unix(0, 0)
	if n := testing.AllocsPerRun(100, func() {
		c := f.Constants()
		m := a.Sent(now, &c, 1000, 2000, true)
		if a.Outlook(now, &c).First(500) <= 0 {
			t.Error("nothing is foreseen")
		}
		now = now.Add(time.Second)
		f.Begun(a.Began(now, &c, &m, time.Second, time.Second))
		first := now
		now = now.Add(time.Second)
		d, _ := a.Ended(now, &c, &m, 100, first, now)
		f.Decoded(d)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
