package sim

import (
	"math"
	"testing"
)

// TestInterval: three values, by hand: mean 2, deviation 1, 4.303/sqrt(3).
func TestInterval(t *testing.T) {
	got := over([]float64{1, 2, 3}, func(v *float64) float64 { return *v })
	if got.Mean != 2 || math.Abs(got.Half()-2.4843) > 1e-3 || math.Abs(got.Mean-got.Low-got.Half()) > 1e-9 {
		t.Errorf("%+v", got)
	}
	if got := over([]float64{7}, func(v *float64) float64 { return *v }); got != (Interval{7, 7, 7}) {
		t.Errorf("of one: %+v", got)
	}
	many := make([]float64, 200)
	if got := over(many, func(v *float64) float64 { return *v }); got != (Interval{}) {
		t.Errorf("of equal ones: %+v", got)
	}
}

func TestSummarise(t *testing.T) {
	runs := []Result{
		{Requests: 10, Failed: 1, Figures: Figures{Throughput: 100, TTFT: Percentiles{P99: 5}}, Stages: []Figures{{Hit: .5}, {Hit: .7}}},
		{Requests: 10, Failed: 3, Figures: Figures{Throughput: 200, TTFT: Percentiles{P99: 7}}, Stages: []Figures{{Hit: .6}, {Hit: .9}}},
	}
	s := Summarise("x", runs)
	if s.Policy != "x" || s.Failed.Mean != .2 || s.Throughput.Mean != 150 || s.TTFT.P99.Mean != 6 || len(s.Stages) != 2 || math.Abs(s.Stages[1].Hit.Mean-.8) > 1e-9 || len(s.Runs) != 2 {
		t.Errorf("%+v", s)
	}
	// Both are 10 lower, whatever the seed did.
	lower := Summarise("y", []Result{{Figures: Figures{Throughput: 90, TTFT: Percentiles{P99: 4}}}, {Figures: Figures{Throughput: 190, TTFT: Percentiles{P99: 8}}}})
	lower.Compare(&s)
	if v := lower.Versus; v.Throughput != (Interval{-10, -10, -10}) || v.TTFT.P99.Mean != 0 || v.TTFT.P99.Half() < 1 {
		t.Errorf("%+v", lower.Versus)
	}
	one := Summarise("z", runs[:1])
	if one.Compare(&one); one.Versus != nil {
		t.Error("one seed tells nothing")
	}
}
