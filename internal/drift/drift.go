// Package drift says whether what searches find, and what answers make of it, is moving
// away from what it was: the last quarter of an hour beside the last seven days.
//
// It counts, and decides when to alarm; it has no clock. What it keeps of a collection is
// bounded, whatever is asked of it.
package drift

import (
	"fmt"
	"math"
	"time"
)

// What is compared with what, and how much it takes.
const (
	Recent  = 15 * time.Minute
	History = 7 * 24 * time.Hour
	Least   = 200 // searches in Recent, below which nothing is said
)

// The alarms' bounds.
const (
	MostPSI    = .2  // of the scores of first passages
	MoreEmpty  = .05 // searches without a passage, above their share in History
	LessCited  = .10 // sentences with a citation, below their share in History
	LowSupport = .5  // an answer below it is poorly supported, and so is a mean
)

const (
	minutes = int(Recent / time.Minute)
	hours   = int(History / time.Hour)
	bins    = 64 // of scores: three to a doubling, from a sixteenth of a thousandth on
	groups  = 10 // of History by its own tenths, for PSI
	half    = .5 // counted where nothing was, so that no share is 0
)

// Sample is one search, and the answer that rests on it as far as that is known.
type Sample struct {
	Found   bool
	Top     float64 // score of the first passage
	Judged  bool    // Cited and Support are known
	Cited   float64 // share of the answer's sentences
	Support float64
}

// count is what came in some time.
type count struct {
	at      int64 // which minute or hour
	n       uint32
	empty   uint32
	judged  uint32
	low     uint32 // answers of little support
	cited   float64
	support float64
	scores  [bins]uint32
}

func (c *count) add(s *Sample) {
	c.n++
	if s.Found {
		c.scores[bin(s.Top)]++
	} else {
		c.empty++
	}
	if s.Judged {
		c.judged++
		c.cited += s.Cited
		c.support += s.Support
		if s.Support < LowSupport {
			c.low++
		}
	}
}

func (c *count) merge(o *count) {
	c.n += o.n
	c.empty += o.empty
	c.judged += o.judged
	c.low += o.low
	c.cited += o.cited
	c.support += o.support
	for i, n := range o.scores {
		c.scores[i] += n
	}
}

// bin returns where a score is counted.
func bin(score float64) int {
	if !(score > 0) {
		return 0
	}
	return int(min(max(math.Floor((math.Log2(1000*score)+4)*3), 0), bins-1))
}

// Watch follows one collection. The zero Watch is ready.
type Watch struct {
	recent  [minutes]count
	history [hours]count
}

// See counts a sample. Those of before History are passed over.
func (w *Watch) See(s Sample, at time.Time) {
	minute, hour := at.Unix()/60, at.Unix()/3600
	for _, c := range [...]struct {
		slot *count
		at   int64
	}{{&w.recent[slot(minute, minutes)], minute}, {&w.history[slot(hour, hours)], hour}} {
		switch {
		case c.slot.at > c.at:
			continue // it came too late
		case c.slot.at < c.at:
			*c.slot = count{at: c.at}
		}
		c.slot.add(&s)
	}
}

func slot(at int64, n int) int { return int(((at % int64(n)) + int64(n)) % int64(n)) }

// Report is how a collection does.
type Report struct {
	Searches int      `json:"searches"`          // in the last 15 minutes
	Before   int      `json:"searches_before"`   // in the seven days before them
	PSI      *float64 `json:"psi,omitempty"`     // of first scores, against the seven days
	Empty    *float64 `json:"empty,omitempty"`   // share without a passage
	Cited    *float64 `json:"cited,omitempty"`   // mean share of the sentences of an answer
	Support  *float64 `json:"support,omitempty"` // mean of answers
	Low      *float64 `json:"low,omitempty"`     // share of answers whose support is below .5
	Alarms   []Alarm  `json:"alarms"`
}

// Alarm is what is wrong.
type Alarm struct {
	Signal string `json:"signal"` // score_drift, empty, cited, support
	Words  string `json:"words"`
}

// Report says how the collection does now. Without enough searches figures stand, and
// no alarm does.
func (w *Watch) Report(now time.Time) Report {
	var recent, before count
	minute, hour := now.Unix()/60, now.Unix()/3600
	for i := range w.recent {
		if c := &w.recent[i]; c.n > 0 && c.at > minute-int64(minutes) && c.at <= minute {
			recent.merge(c)
		}
	}
	for i := range w.history {
		// An hour that Recent reaches into is no baseline.
		if c := &w.history[i]; c.n > 0 && c.at > hour-int64(hours) && c.at < (minute-int64(minutes))/60+1 && c.at < hour {
			before.merge(c)
		}
	}
	r := Report{Searches: int(recent.n), Before: int(before.n), Alarms: []Alarm{}}
	if recent.n == 0 {
		return r
	}
	empty := share(recent.empty, recent.n)
	r.Empty = &empty
	if recent.judged > 0 {
		cited, support, low := recent.cited/float64(recent.judged), recent.support/float64(recent.judged), share(recent.low, recent.judged)
		r.Cited, r.Support, r.Low = &cited, &support, &low
	}
	known := before.n >= Least
	if known && recent.n > recent.empty && before.n > before.empty {
		psi := stability(&before.scores, &recent.scores)
		r.PSI = &psi
	}
	if recent.n < Least {
		return r
	}
	alarm := func(signal, words string, of ...any) {
		r.Alarms = append(r.Alarms, Alarm{signal, fmt.Sprintf(words, of...)})
	}
	if r.PSI != nil && *r.PSI > MostPSI {
		alarm("score_drift", "the scores of first passages moved away from those of the last seven days: PSI %.2f, above %.1f", *r.PSI, MostPSI)
	}
	if usual := share(before.empty, before.n); known && empty > usual+MoreEmpty {
		alarm("empty", "%.0f %% of the searches find nothing, and %.0f %% did in the last seven days", 100*empty, 100*usual)
	}
	if r.Cited != nil && recent.judged >= Least {
		if before.judged >= Least && *r.Cited < before.cited/float64(before.judged)-LessCited {
			alarm("cited", "%.0f %% of what answers say cites a passage, and %.0f %% did in the last seven days", 100**r.Cited, 100*before.cited/float64(before.judged))
		}
		if *r.Support < LowSupport {
			alarm("support", "answers are poorly supported by their passages: %.2f in the mean, below %.1f", *r.Support, LowSupport)
		}
	}
	return r
}

func share(n, of uint32) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

// stability is the population stability index of b against a, over the tenths of a:
// the sum of (q-p) ln(q/p).
func stability(a, b *[bins]uint32) float64 {
	var total uint32
	for _, n := range a {
		total += n
	}
	var p, q [groups]float64
	g, sum := 0, uint32(0)
	for i := range a {
		p[g] += float64(a[i])
		q[g] += float64(b[i])
		if sum += a[i]; g < groups-1 && float64(sum) >= float64(total)*float64(g+1)/groups {
			g++
		}
	}
	// Tenths that stand within one bin leave groups empty: those say nothing.
	var all, other float64
	used := 0
	for i := range p {
		if p[i]+q[i] > 0 {
			used++
			all += p[i]
			other += q[i]
		}
	}
	psi := 0.0
	for i := range p {
		if p[i]+q[i] == 0 {
			continue
		}
		x := (p[i] + half) / (all + half*float64(used))
		y := (q[i] + half) / (other + half*float64(used))
		psi += (y - x) * math.Log(y/x)
	}
	return psi
}
