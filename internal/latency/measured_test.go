package latency

import (
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// published is the row of the lowest rate of llm-d's ladder on 8 replicas of
// Qwen3-32B on two H100 each; see internal/sim/testdata/ladder.csv. The simulator
// finds 5,540 tokens of a prompt uncached there, in turn.
func published() Measured {
	return Measured{
		Rate: 3. / 8, Output: 1000, Prompt: 7200, Uncached: 5540, Residual: 64,
		Cold: 415 * time.Millisecond, Warm: 133 * time.Millisecond,
		Weights: 32.8e9, KVBytes: 131_072, Bandwidth: 3.35e12,
	}
}

func TestMeasured(t *testing.T) {
	p, err := published().Params()
	if err != nil {
		t.Fatal(err)
	}
	profile, _ := Profile(Qwen32B)
	near := func(what string, got, want, within float64) {
		if math.Abs(got/want-1) > within {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	near("step base", float64(p.Base), float64(9791*Microsecond), .001) // the weights' part of it
	near("kappa", float64(p.PerKVToken), float64(profile.PerKVToken), .001)
	near("prefill", float64(p.PerPrefillToken), float64(profile.PerPrefillToken), .10)
	near("overhead", float64(p.Overhead), float64(profile.Overhead), .10)

	// The step base from the time per token instead of the weights.
	m := published()
	m.Weights, m.TPOT = 0, 13400*time.Microsecond // 60 answers came in 20 s, and the last token 33.4 s after the first request
	if p, err = m.Params(); err != nil {
		t.Fatal(err)
	}
	near("step base by the time per token", float64(p.Base), float64(profile.Base), .20)
}

func TestMeasuredRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Measured)
		want   error
	}{
		"no rate":                  {func(m *Measured) { m.Rate = 0 }, errMeasured},
		"neither weights nor TPOT": {func(m *Measured) { m.Weights = 0 }, errMeasured},
		"no number":                {func(m *Measured) { m.Prompt = math.NaN() }, errMeasured},
		"uncached of nothing":      {func(m *Measured) { m.Uncached = 8000 }, errUncached},
		"warm is colder":           {func(m *Measured) { m.Residual = 6000 }, errUncached},
		"no slower":                {func(m *Measured) { m.Cold = m.Warm }, errColdWarm},
		"the pool's rate":          {func(m *Measured) { m.Rate = 24 }, errBusy},
		"a short step":             {func(m *Measured) { m.Weights, m.TPOT = 0, 100*time.Nanosecond; m.Output = 1e9 }, errStepBase},
		"a short warm row":         {func(m *Measured) { m.Warm = 5 * time.Millisecond }, errWarm},
	} {
		m := published()
		tt.change(&m)
		if _, err := m.Params(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// TestMeasuredIsFound: of rows made with a model, the model is found again.
func TestMeasuredIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.Float64Range(.005, .05).Draw(t, "base")
		rate := rapid.Float64Range(5_000, 50_000).Draw(t, "prefill")
		o := rapid.Float64Range(.01, .3).Draw(t, "overhead")
		m := Measured{Rate: .2, Output: 300, Prompt: 5000, Uncached: 4000, Residual: 100, KVBytes: 1e5, Bandwidth: 2e12}
		m.Weights = b * m.Bandwidth
		seconds := func(s float64) time.Duration { return time.Duration(s * 1e9) }
		m.Warm, m.Cold = seconds(o+b+m.Residual/rate), seconds(o+b+m.Uncached/rate)
		p, err := m.Params()
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(float64(Second)/float64(p.PerPrefillToken)/rate-1) > .001 || math.Abs(p.Overhead.Seconds()-o) > 1e-6 || math.Abs(float64(p.Base)/float64(Second)-b) > 1e-6 {
			t.Fatalf("%+v", p)
		}
	})
}
