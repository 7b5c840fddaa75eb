package route

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"headworks/internal/fleet"
	"headworks/internal/inference"

	"pgregory.net/rapid"
)

func src() *rand.PCG { return rand.NewPCG(1, 2) }

func (o Order) list() []uint8 { return o.Targets[:o.N] }

func TestInOrder(t *testing.T) {
	m := &fleet.Model{Targets: make([]fleet.Target, 3)}
	o := Pick(m, &Ask{Request: &inference.Request{}}, src())
	if !slices.Equal(o.list(), []uint8{0, 1, 2}) || o.Why != First {
		t.Errorf("%v: %s", o.list(), o.Why)
	}
	m.Asked = true
	if o = Pick(m, &Ask{Request: &inference.Request{}}, src()); o.Why != Asked {
		t.Errorf("asked for by name: %s", o.Why)
	}
}

func TestWindow(t *testing.T) {
	m := &fleet.Model{Targets: []fleet.Target{{Window: 100}, {Window: 1000}, {}}} // the last is not known
	for _, tt := range []struct {
		input, maxTokens int
		want             []uint8
	}{
		{50, 50, []uint8{0, 1, 2}},
		{50, 51, []uint8{1, 2}},
		{101, 0, []uint8{1, 2}},
		{1, 5000, []uint8{2}},
	} {
		o := Pick(m, &Ask{Request: &inference.Request{Input: tt.input, MaxTokens: tt.maxTokens}}, src())
		if !slices.Equal(o.list(), tt.want) {
			t.Errorf("%d and %d tokens: %v, want %v", tt.input, tt.maxTokens, o.list(), tt.want)
		}
		for i := range m.Targets {
			if left := !slices.Contains(tt.want, uint8(i)); (o.Left[i] == TooLong) != left {
				t.Errorf("%d and %d tokens: target %d is left out for %q", tt.input, tt.maxTokens, i, o.Left[i])
			}
		}
	}
	if o := Pick(m, &Ask{Request: &inference.Request{Input: 5000, Prompts: 100, Longest: 100}}, src()); o.N != 3 {
		t.Errorf("a hundred prompts of 50 tokens share one window: %v", o.list())
	}
	m.Targets = m.Targets[:2]
	if o := Pick(m, &Ask{Request: &inference.Request{Input: 2000}}, src()); o.N != 0 {
		t.Errorf("%v has room for 2000 tokens", o.list())
	}
}

// TestWeights: a target comes first as often as its weight says, 0 counting as 1;
// one that is left out gives its share to the others.
func TestWeights(t *testing.T) {
	for name, tt := range map[string]struct {
		targets []fleet.Target
		want    []float64
	}{
		"equal":      {[]fleet.Target{{}, {}, {}, {}}, []float64{.25, .25, .25, .25}},
		"canary":     {[]fleet.Target{{Weight: 95}, {Weight: 5}}, []float64{.95, .05}},
		"some said":  {[]fleet.Target{{Weight: 2}, {}, {Weight: 7}}, []float64{.2, .1, .7}},
		"large":      {[]fleet.Target{{Weight: 1 << 30}, {Weight: 3 << 30}}, []float64{.25, .75}},
		"one is out": {[]fleet.Target{{Weight: 3}, {Weight: 5, Window: 10}, {Weight: 1}}, []float64{.75, 0, .25}},
	} {
		m := &fleet.Model{Targets: tt.targets, Policy: fleet.Weighted}
		const draws = 40_000
		first := make([]int, len(tt.targets))
		src := src()
		for range draws {
			o := Pick(m, &Ask{Request: &inference.Request{Input: 100}}, src)
			if o.Why != Drawn {
				t.Fatalf("%s: %s", name, o.Why)
			}
			first[o.Targets[0]]++
		}
		for i, share := range tt.want {
			if sigma := math.Sqrt(draws * share * (1 - share)); math.Abs(float64(first[i])-draws*share) > 4*sigma {
				t.Errorf("%s: target %d came first %d times, want about %.0f", name, i, first[i], draws*share)
			}
		}
	}
}

// TestAnyModel: whatever fits stands in the order exactly once, the rest of it in
// the operator's order behind the first.
func TestAnyModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &fleet.Model{Policy: rapid.SampledFrom([]fleet.Policy{fleet.Ordered, fleet.Weighted}).Draw(t, "policy")}
		var want []uint8
		for i := range rapid.IntRange(0, MaxTargets+3).Draw(t, "targets") {
			target := fleet.Target{Weight: rapid.IntRange(0, 9).Draw(t, "weight"), Window: rapid.SampledFrom([]int{0, 10, 100}).Draw(t, "window")}
			m.Targets = append(m.Targets, target)
			if target.Window != 10 && i < MaxTargets {
				want = append(want, uint8(i))
			}
		}
		seed := rapid.Uint64().Draw(t, "seed")
		req := &inference.Request{Input: 50}
		o := Pick(m, &Ask{Request: req}, rand.NewPCG(seed, 0))
		if again := Pick(m, &Ask{Request: req}, rand.NewPCG(seed, 0)); again != o {
			t.Fatalf("%+v, and with the same draw %+v", o, again)
		}
		got := slices.Clone(o.list())
		if m.Policy == fleet.Ordered && !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
		if len(got) > 0 && !slices.IsSorted(got[1:]) {
			t.Fatalf("%v: behind the first they do not stand in order", got)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("%v, want %v in some order", got, want)
		}
	})
}
