package complexity

import (
	"math"
	"strings"
	"testing"
)

// TestWorth: the figures are those of cases that can be worked out by hand.
func TestWorth(t *testing.T) {
	of := []judged{{length: 4, gain: 1}, {length: 3, gain: 1}, {length: 2}, {length: 1}}
	for _, tt := range []struct {
		name string
		by   func(*judged) float64
		want Worth
	}{
		{"perfect", byLength, Worth{0.75, 0.25}},
		{"the wrong way round", func(j *judged) float64 { return -j.length }, Worth{0.25, 0.75}},
		{"a coin", func(*judged) float64 { return 0 }, Worth{0.5, 0.5}},
	} {
		if got := worth(of, tt.by); math.Abs(got.APGR-tt.want.APGR) > 1e-9 || math.Abs(got.CPT50-tt.want.CPT50) > 1e-9 {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	if got := worth([]judged{{length: 1}, {length: 2}}, byLength); got != (Worth{0.5, 0.5}) {
		t.Errorf("without a gap: %+v", got)
	}
}

// TestCompare: where the strong model helps with what looks hard and is short, the score
// finds it and length does not.
func TestCompare(t *testing.T) {
	var labels []Label
	for range 40 {
		labels = append(labels,
			Label{"If every a is b, and no b is c, unless a > c: is any a not c? Prove it, then explain.", 0, 1},
			Label{"Please tell me a nice story about " + strings.Repeat("the little town by the sea ", 6), 1, 1},
		)
	}
	w := Default()
	r := Compare(labels, &w)
	if r.Prompts != 80 || r.Weak != 0.5 || r.Strong != 1 || r.Complexity.APGR != 0.75 || r.Length.APGR != 0.25 || r.More != 0.5 || r.Low <= 0.3 || r.High < r.Low {
		t.Errorf("%+v", r)
	}
	if r := Compare(nil, &w); r != (Worths{}) {
		t.Errorf("nothing: %+v", r)
	}
}
