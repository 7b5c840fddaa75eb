package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPercentile(t *testing.T) {
	tests := []struct {
		all  []time.Duration
		p    float64
		want time.Duration
	}{
		{nil, 0.5, 0},
		{[]time.Duration{7}, 0, 7},
		{[]time.Duration{7}, 0.99, 7},
		{[]time.Duration{4, 1, 3, 2}, 0.5, 2},
		{[]time.Duration{5, 4, 1, 3, 2}, 0.5, 3},
		{[]time.Duration{4, 1, 3, 2}, 0.75, 3},
		{[]time.Duration{4, 1, 3, 2}, 0.76, 4},
		{[]time.Duration{4, 1, 3, 2}, 1, 4},
	}
	for _, tt := range tests {
		if got := percentile(slices.Clone(tt.all), tt.p); got != tt.want {
			t.Errorf("%v of %v is %d, want %d", tt.p, tt.all, got, tt.want)
		}
	}
}

// A percentile is one of the values; at least its share of them are no larger, and
// without it fewer are.
func TestPercentileIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 50), func(n int) time.Duration { return time.Duration(n) }), 1, 200).Draw(t, "all")
		p := float64(rapid.IntRange(1, 100).Draw(t, "p")) / 100
		got := percentile(slices.Clone(all), p)
		below, upTo := 0, 0
		for _, v := range all {
			if v < got {
				below++
			}
			if v <= got {
				upTo++
			}
		}
		const eps = 1e-9 // of p, which no binary fraction holds
		n := float64(len(all))
		if upTo == below || float64(upTo) < p*n-eps || float64(below) >= p*n+eps {
			t.Errorf("%v of %v is %v: %d below, %d up to it", p, all, got, below, upTo)
		}
	})
}

func TestMedian(t *testing.T) {
	for want, all := range map[float64][]float64{0: nil, 3: {3}, 2: {9, 1, 2}, 2.5: {4, 1, 3, 2}} {
		before := slices.Clone(all)
		if got := median(all); got != want || !slices.Equal(all, before) {
			t.Errorf("the median of %v is %v, want %v", before, got, want)
		}
	}
}

// What is added to direct is a difference within a round, not of medians.
func TestSubtract(t *testing.T) {
	r := &report{}
	for _, v := range []float64{100, 300, 200} {
		r.add(steadyP50, direct, v)
		r.add(steadyP50, ours, v+50)
	}
	r.add(steadyP50, bare, 150) // its other rounds are missing
	r.subtract(steadyAdded, steadyP50, direct)
	if f := r.find(steadyAdded, ours); f == nil || f.Median != 50 || len(f.Rounds) != 3 {
		t.Errorf("added %+v", f)
	}
	if f := r.find(steadyAdded, bare); f == nil || !slices.Equal(f.Rounds, []float64{50}) {
		t.Errorf("added %+v", f)
	}
	if f := r.find(steadyAdded, direct); f != nil {
		t.Errorf("direct is above itself by %+v", f)
	}
}

// Whatever goes wrong is in both forms of the report, and in its verdict.
func TestWrongIsTold(t *testing.T) {
	r := &report{Rounds: 3}
	r.blame("streams", ours, tally{})
	if err := r.verdict(); err != nil {
		t.Errorf("nothing was wrong: %v", err)
	}
	what := tally{"status 500": 1}
	r.blame("streams", bare, what)
	r.blame("streams", bare, tally{"status 500": 2, "timeout": 1})
	if r.verdict() == nil {
		t.Error("the verdict is good")
	}
	if !maps.Equal(what, tally{"status 500": 1}) {
		t.Errorf("the caller's count has changed: %v", what)
	}
	var table, line strings.Builder
	if err := r.writeTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"streams, ReverseProxy: 3 x status 500", "streams, ReverseProxy: 1 x timeout"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
	if err := r.writeJSON(&line); err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal([]byte(line.String()), &back); err != nil || strings.Count(line.String(), "\n") != 1 {
		t.Fatalf("not one line of JSON: %v\n%s", err, line.String())
	}
	if len(back.Wrong) != 1 || back.Wrong[0].What["status 500"] != 3 {
		t.Errorf("JSON tells %s", line.String())
	}
}

// Every figure that is taken has a line in the table.
func TestTableIsComplete(t *testing.T) {
	shown := map[string]bool{}
	for _, l := range lines() {
		if shown[l.name] {
			t.Errorf("%s has two lines", l.name)
		}
		shown[l.name] = true
	}
	r := &report{Rounds: 3}
	r.add(smallCPU, ours, 48.26)
	r.add(smallCPU, ours, 50)
	r.add(smallCPU, ours, 47)
	r.add(smallCPU, bare, 86)
	var table strings.Builder
	if err := r.writeTable(&table); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(table.String()) {
		if strings.HasPrefix(line, "CPU of a 1 KB request") {
			if !strings.Contains(line, "48.3 (47.0-50.0)") || !strings.Contains(line, " 86.0 ") {
				t.Errorf("the line is %q", line)
			}
			return
		}
	}
	t.Errorf("no line for %s:\n%s", smallCPU, table.String())
}

func TestSumMetric(t *testing.T) {
	const page = `# HELP a_total of a
# TYPE a_total counter
a_total{x="1 } 2",y="b"} 3
a_total{x="2"} 4 1700000000000
a_total_other 100
b_total 1.5e+03
a_total
`
	for name, want := range map[string]float64{"a_total": 7, "b_total": 1500, "c_total": 0} {
		if got := sumMetric(page, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}
