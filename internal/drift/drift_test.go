package drift

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// week fills the seven days before start with good searches.
func week(w *Watch, score func(i int) float64) {
	for i := range 7 * 24 * 20 {
		w.See(Sample{Found: true, Top: score(i), Judged: true, Cited: .8, Support: .9}, start.Add(-History+time.Duration(i)*3*time.Minute))
	}
}

func usual(i int) float64 { return 2 + float64(i%100)/10 }

func TestAlarms(t *testing.T) {
	for _, test := range []struct {
		name   string
		n      int
		sample func(i int) Sample
		want   []string
	}{
		{"as ever", 400, func(i int) Sample { return Sample{Found: true, Top: usual(i), Judged: true, Cited: .8, Support: .9} }, nil},
		{"lower scores", 400, func(i int) Sample {
			return Sample{Found: true, Top: usual(i) / 4, Judged: true, Cited: .8, Support: .9}
		}, []string{"score_drift"}},
		{"nothing is found", 400, func(i int) Sample {
			return Sample{Found: i%4 > 0, Top: usual(i), Judged: i%4 > 0, Cited: .8, Support: .9}
		}, []string{"empty"}},
		{"nothing is cited", 400, func(i int) Sample { return Sample{Found: true, Top: usual(i), Judged: true, Support: .9} }, []string{"cited"}},
		{"answers from nowhere", 400, func(i int) Sample { return Sample{Found: true, Top: usual(i), Judged: true, Cited: .8, Support: .2} }, []string{"support"}},
		{"too few to say", Least - 1, func(i int) Sample { return Sample{Found: false} }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var w Watch
			week(&w, usual)
			now := start.Add(20 * time.Minute)
			for i := range test.n {
				w.See(test.sample(i), now.Add(-time.Duration(i%10)*time.Minute))
			}
			r := w.Report(now)
			var got []string
			for _, a := range r.Alarms {
				got = append(got, a.Signal)
			}
			if !slices.Equal(got, test.want) || r.Searches != test.n {
				t.Errorf("%v, want %v: %+v", got, test.want, r)
			}
		})
	}
}

func TestNothingIsSaidWithoutSearches(t *testing.T) {
	var w Watch
	if r := w.Report(start); r.Searches != 0 || r.PSI != nil || r.Empty != nil || len(r.Alarms) > 0 {
		t.Errorf("%+v", r)
	}
}

func TestOldSearchesAreForgotten(t *testing.T) {
	var w Watch
	week(&w, usual)
	if r := w.Report(start.Add(2 * History)); r.Searches != 0 || r.Before != 0 {
		t.Errorf("%+v", r)
	}
	w.See(Sample{Found: true, Top: 1}, start.Add(2*History))
	w.See(Sample{Found: true, Top: 1}, start) // late by a week
	if r := w.Report(start.Add(2 * History)); r.Searches != 1 || r.Before != 0 {
		t.Errorf("%+v", r)
	}
}

// PSI is 0 of a distribution against itself, never below 0, and grows as it moves.
func TestStability(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a, b [bins]uint32
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, bins-1), 200, 400).Draw(t, "a") {
			a[i]++
		}
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, bins-1), 200, 400).Draw(t, "b") {
			b[i]++
		}
		if v := stability(&a, &a); math.Abs(v) > 1e-9 {
			t.Fatalf("%v against itself", v)
		}
		if v := stability(&a, &b); v < 0 || math.IsNaN(v) || math.IsInf(v, 0) {
			t.Fatalf("%v", v)
		}
	})
	var a, near, far [bins]uint32
	for i := range 20 {
		a[20+i], near[21+i], far[35+i] = 50, 50, 50
	}
	if x, y := stability(&a, &near), stability(&a, &far); x >= y || x > MostPSI || y < MostPSI {
		t.Errorf("near %v, far %v", x, y)
	}
}

func TestBin(t *testing.T) {
	last := 0
	for _, score := range []float64{math.NaN(), -1, 0, 1e-9, .001, .1, .5, 1, 5, 30, 1e6, math.Inf(1)} {
		i := bin(score)
		if i < last || i < 0 || i >= bins {
			t.Errorf("%v is counted at %d, behind %d", score, i, last)
		}
		last = i
	}
}
