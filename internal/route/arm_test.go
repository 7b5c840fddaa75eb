package route

import (
	"math"
	"slices"
	"testing"

	"headworks/internal/fleet"
	"headworks/internal/inference"

	"pgregory.net/rapid"
)

func arms(weights ...int) *fleet.Model {
	m := &fleet.Model{Policy: fleet.Weighted, Sticky: fleet.ByKey}
	for i, w := range weights {
		m.Targets = append(m.Targets, fleet.Target{Weight: w, Salt: uint64(i)*7919 + 11})
	}
	return m
}

func held(m *fleet.Model, subject uint64) uint8 {
	o := Pick(m, &Ask{Request: &inference.Request{}}, src())
	o.Hold(m, subject)
	return o.Targets[0]
}

// TestHoldKeepsWeights: over many subjects each arm has its share, and each subject
// always the same arm.
func TestHoldKeepsWeights(t *testing.T) {
	m := arms(50, 30, 15, 5)
	const subjects = 40_000
	var count [4]float64
	for s := range uint64(subjects) {
		arm := held(m, s)
		if again := held(m, s); again != arm {
			t.Fatalf("subject %d is of arm %d and of arm %d", s, arm, again)
		}
		count[arm]++
	}
	for i, n := range count {
		want := float64(m.Targets[i].Weight) / 100
		if got := n / subjects; math.Abs(got-want) > 4*math.Sqrt(want*(1-want)/subjects) {
			t.Errorf("arm %d has %.4f of the subjects, its weight says %.2f", i, got, want)
		}
	}
}

// TestChangedWeightMovesNobodyElse: where one weight grows, subjects move to that arm
// alone, and where one arm is out, only its own subjects move.
func TestChangedWeightMovesNobodyElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 100), 2, 8).Draw(t, "weights")
		was := arms(weights...)
		i := rapid.IntRange(0, len(weights)-1).Draw(t, "grows")
		grown := slices.Clone(weights)
		grown[i] += rapid.IntRange(1, 100).Draw(t, "by")
		is := arms(grown...)
		for s := range uint64(500) {
			before, after := held(was, s), held(is, s)
			if before != after && after != uint8(i) {
				t.Fatalf("arm %d grew, and subject %d moved from %d to %d", i, s, before, after)
			}
			o := Pick(was, &Ask{Request: &inference.Request{}}, src())
			o.Leave(uint8(i), "out")
			o.Hold(was, s)
			if o.Targets[0] != before && before != uint8(i) {
				t.Fatalf("arm %d is out, and subject %d moved from %d to %d", i, s, before, o.Targets[0])
			}
		}
	})
}

// TestLeadAndLeave: the order keeps every other target, each once, as it stood.
func TestLeadAndLeave(t *testing.T) {
	m := arms(1, 1, 1, 1)
	m.Policy = fleet.Ordered
	o := Pick(m, &Ask{Request: &inference.Request{}}, src())
	o.Lead(2, "because")
	if !slices.Equal(o.list(), []uint8{2, 0, 1, 3}) || o.Why != "because" {
		t.Errorf("%v: %s", o.list(), o.Why)
	}
	if !o.Leave(0, "not now") || !slices.Equal(o.list(), []uint8{2, 1, 3}) || o.Left[0] != "not now" {
		t.Errorf("%v, %q", o.list(), o.Left[0])
	}
	if o.Leave(0, "again") || o.Left[0] != "not now" {
		t.Errorf("what is out was left out again: %q", o.Left[0])
	}
	o.Lead(0, "who is out")
	if o.Targets[0] != 2 {
		t.Errorf("a target that is out leads: %v", o.list())
	}
	o.Leave(2, "out")
	o.Leave(1, "out")
	if o.Leave(3, "out") || o.N != 1 {
		t.Errorf("the last one was left out: %v", o.list())
	}
}

func TestHoldAllocatesNothing(t *testing.T) {
	m := arms(3, 2, 1)
	if n := testing.AllocsPerRun(100, func() {
		o := Pick(m, &Ask{Request: &inference.Request{}}, src())
		o.Hold(m, 42)
	}); n > 1 { // the source of the test itself
		t.Errorf("%v allocations", n)
	}
}
