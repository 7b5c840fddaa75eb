package alert

import (
	"math"
	"time"
)

// Change is what a detector found.
type Change struct {
	Method   string  // of the detector, with its threshold
	Baseline float64 // before
	Current  float64 // since
	N        int64   // seen since
	Weekly   float64 // false alarms a week that are to be expected of it
	Learning bool    // it has not seen enough yet to be sure of the baseline
}

// Rate watches how often something is bad: a CUSUM of Bernoulli trials that looks for
// twice the baseline (Reynolds, Stoumbos: A CUSUM chart for monitoring a proportion,
// 1999). The baseline is that of the last seven days. The zero Rate has seen nothing.
//
// Failures come in bursts, which would ruin its promise: of one caller one counts in
// ten seconds, and both steps shrink by how much more the failures of a minute vary
// than chance lets them.
type Rate struct {
	hours [7 * 24]slot
	hour  int64 // since 1970, that is being counted
	sum   float64
	n     int64 // since the sum was last zero
	bad   int64

	base, threshold, up, down float64 // 0: still learning

	minute     int64 // being counted
	inMinute   float64
	mean, vary float64 // of the bad ones in a minute, running
	recent     [64]struct {
		key   uint64
		until int64
	}
}

// What a Rate has to have seen before it says anything, and the bounds of its baseline.
const (
	rateHours = 6
	rateSeen  = 2000
	rateLeast = 0.0005
	rateMost  = 0.4
	once      = 10 // seconds, for which one failure of one caller counts
	running   = 1.0 / (24 * 60)
	// between is the requests between two false alarms, times the baseline, at a
	// threshold of 0.
	between = 3.7
	// margin is how many times rarer false alarms are meant to be than once a week.
	margin = 2
)

// See takes what ended, of the caller with a key, and reports a change where there is
// one. Series is how many like it share one false alarm a week.
func (r *Rate) See(now time.Time, key uint64, bad bool, series int) (Change, bool) {
	r.turn(now, series)
	if bad {
		seat := &r.recent[key%uint64(len(r.recent))]
		if seat.key == key && now.Unix() < seat.until {
			return Change{}, false
		}
		seat.key, seat.until = key, now.Unix()+once
	}
	s := &r.hours[r.hour%int64(len(r.hours))]
	s.all++
	if bad {
		s.bad++
		r.inMinute++
	}
	if r.base == 0 {
		return Change{}, false
	}
	step := -r.down
	if bad {
		step = r.up
	}
	if r.sum += step; r.sum <= 0 {
		r.sum, r.n, r.bad = 0, 0, 0
		return Change{}, false
	}
	r.n++
	if bad {
		r.bad++
	}
	if r.sum < r.threshold {
		return Change{}, false
	}
	c := Change{Method: "CUSUM of a rate, for twice the baseline", Baseline: r.base, Current: float64(r.bad) / float64(r.n), N: r.n, Weekly: 1 / (margin * float64(max(series, 1)))}
	r.sum, r.n, r.bad = 0, 0, 0
	return c, true
}

// turn closes minutes and hours, and learns from them.
func (r *Rate) turn(now time.Time, series int) {
	minute, hour := now.Unix()/60, now.Unix()/3600
	if r.hour == 0 {
		r.hour, r.minute = hour, minute
		return
	}
	for ; r.minute < minute; r.minute++ {
		off := r.inMinute - r.mean
		r.mean += running * off
		r.vary += running * (off*off - r.vary)
		r.inMinute = 0
		if minute-r.minute > 7*24*60 {
			r.minute = minute - 1
		}
	}
	if hour <= r.hour {
		return
	}
	forget(r.hours[:], r.hour, hour)
	r.hour = hour
	r.learn(series)
}

func (r *Rate) learn(series int) {
	var c Count
	hours := 0
	for _, s := range r.hours {
		c.Bad += int64(s.bad)
		c.All += int64(s.all)
		if s.all > 0 {
			hours++
		}
	}
	if hours < rateHours || c.All < rateSeen {
		r.base = 0
		return
	}
	p0 := min(max(float64(c.Bad+1)/float64(c.All+2), rateLeast), rateMost)
	p1 := 2 * p0
	burst := 1.0
	if r.mean > 0 {
		burst = max(1, r.vary/r.mean)
	}
	weekly := float64(c.All) / float64(hours) * 7 * 24
	r.base = p0
	r.up, r.down = math.Log(p1/p0)/burst, -math.Log((1-p1)/(1-p0))/burst
	r.threshold = max(math.Log(margin*weekly*p0/between)+math.Log(float64(max(series, 1))), 3)
}
