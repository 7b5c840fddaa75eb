package alert

import (
	"math"
	"slices"
	"time"
)

// Season watches how much there is of something, requests, tokens or money, that comes
// and goes with the hour of the week. It compares each five minutes with those of the
// same hour in the last eight weeks; in the first one, with those of the same hour the
// day before. Before it has four weeks it says that it is learning, and after an alarm
// is silent for a day: it may be the first Saturday that it sees. The zero Season has seen
// nothing; one takes 67 KB.
type Season struct {
	cells [7 * 24][weeks * bins]float32 // ln(1+n), -1: none
	begun bool
	first int64 // the bin that was counted first
	bin   int64 // of five minutes since 1970, that is being counted
	n     float64
	off   int // bins in a row that were out of the ordinary
	quiet int64
}

const (
	weeks = 8
	bins  = 12 // of an hour

	// SeasonThreshold is when a bin is out of the ordinary, in deviations; three in a
	// row make an alarm.
	SeasonThreshold = 5
	inARow          = 3
	mute            = 12 // bins after an alarm
	fewWeeks        = 4
)

// See counts so much at a moment, and reports where the bins that ended before it are
// out of the ordinary. It is to be called with 0 at least every five minutes, so that
// silence is seen.
func (s *Season) See(now time.Time, n float64) (c Change, alarm bool) {
	at := now.Unix() / 300
	if !s.begun {
		s.begun, s.bin, s.first = true, at, at
		for i := range s.cells {
			for j := range s.cells[i] {
				s.cells[i][j] = -1
			}
		}
	}
	if at-s.bin > 7*24*bins {
		s.bin, s.n, s.off = at, 0, 0 // the clock leapt: what lies between was not seen
	}
	for s.bin < at {
		if found, ok := s.close(); ok {
			c, alarm = found, true
		}
		s.bin++
		s.n = 0
	}
	s.n += n
	return c, alarm
}

// cell returns the place of a bin: its hour of the week, and where in that.
func place(bin int64) (cell, slot int) {
	week := bin / (7 * 24 * bins)
	in := bin % (7 * 24 * bins)
	return int(in / bins), int(week%weeks*bins + in%bins)
}

// close ends the bin that is being counted.
func (s *Season) close() (Change, bool) {
	v := math.Log1p(s.n)
	cell, slot := place(s.bin)
	median, deviation, learning := s.usual(cell)
	defer func() { s.cells[cell][slot] = float32(v) }()
	if deviation == 0 || s.bin < s.quiet || s.bin == s.first {
		s.off = 0
		return Change{}, false
	}
	if z := (v - median) / deviation; math.Abs(z) <= SeasonThreshold {
		s.off = 0
		return Change{}, false
	}
	if s.off++; s.off < inARow {
		return Change{}, false
	}
	if s.off, s.quiet = 0, s.bin+mute; learning {
		s.quiet = s.bin + 24*bins
	}
	return Change{
		Method:   "five minutes beside those of the same hour of the week, three in a row out of the ordinary",
		Baseline: math.Expm1(median), Current: s.n, N: inARow, Learning: learning,
	}, true
}

// usual returns what is usual in a cell; a deviation of 0 where nothing is known.
func (s *Season) usual(cell int) (median, deviation float64, learning bool) {
	var room [weeks * bins]float64
	seen := room[:0]
	for _, v := range s.cells[cell] {
		if v >= 0 {
			seen = append(seen, float64(v))
		}
	}
	if learning = len(seen) < fewWeeks*bins; len(seen) < bins {
		before := (cell + 6*24) % (7 * 24)
		week := s.bin / (7 * 24 * bins)
		if cell < 24 {
			week-- // the day before was of the last week
		}
		seen = seen[:0]
		for i := range bins {
			if v := s.cells[before][int((week+weeks)%weeks)*bins+i]; v >= 0 {
				seen = append(seen, float64(v))
			}
		}
		if len(seen) < bins {
			return 0, 0, true
		}
	}
	slices.Sort(seen)
	median = seen[len(seen)/2]
	for i, v := range seen {
		seen[i] = math.Abs(v - median)
	}
	slices.Sort(seen)
	deviation = 1.4826 * seen[len(seen)/2]
	least := max(0.05, 1/math.Sqrt(max(math.Expm1(median), 1)))
	if learning {
		least *= 2 // a day is not another
	}
	return median, max(deviation, least), learning
}
