package alert

import (
	"math"
	"time"
)

// Level watches how large something is, a latency or a length, for a lasting rise: a
// one-sided CUSUM of how far the logarithm is above the median, in deviations (Page:
// Continuous inspection schemes, 1954). The baseline is that of the last seven days.
// The zero Level has seen nothing; one takes 45 KB.
//
// What it promises depends on how long the tails of the values are and how much
// neighbours are alike. Both are measured: the threshold is where a sum of such values
// gets once in two weeks by chance (Siegmund: Sequential Analysis, 1985, chapter 2).
type Level struct {
	days  [8]spread
	day   int64 // since 1970, that is being counted
	hour  int64
	first int64 // the hour since 1970 that was counted first
	sum   float64
	n     int64 // since the sum was last zero
	over  float64

	median, deviation float64 // of logarithms; deviation 0: still learning
	slack, threshold  float64 // in deviations

	block       float64 // sum of the values of a block, in deviations
	inBlock     int
	mean, vary  float64 // of sums of blocks, running
	blocks      int
	spreadOfOne float64 // variance of one value, in deviations
}

// spread is how often values fell into buckets of 2 % each, from 1e-6 to 1e6 or so of
// whatever is counted.
type spread struct {
	n      uint32
	counts [buckets]uint32
}

const (
	buckets = 1396
	bucket  = 0.0198 // in logarithms
	lowest  = -13.8

	levelSeen  = 2000
	levelHours = 6
	// leastSlack is what a value has to be above the median to count, and most how much
	// it counts for at most, in deviations.
	leastSlack = 0.25
	most       = 3
	blockOf    = 60
	// overshoot is by how much longer such a sum takes than the exponential of its
	// threshold says; between 10 and 20 where values are normal.
	overshoot = 6
	// narrowest keeps values that never differ from making a change of every other one.
	narrowest = 0.02
)

// See takes a value and reports a change where there is one. Series is how many like it
// share one false alarm a week.
func (l *Level) See(now time.Time, x float64, series int) (Change, bool) {
	if !(x > 0) || math.IsInf(x, 1) {
		return Change{}, false
	}
	v := math.Log(x)
	l.turn(now, series)
	at := int(min(max((v-lowest)/bucket, 0), buckets-1))
	d := &l.days[l.day%int64(len(l.days))]
	d.n++
	d.counts[at]++
	if l.deviation == 0 {
		return Change{}, false
	}
	z := min(max((v-l.median)/l.deviation, -most), most)
	l.blocked(z)
	if l.sum += z - l.slack; l.sum <= 0 {
		l.sum, l.n, l.over = 0, 0, 0
		return Change{}, false
	}
	l.n++
	l.over += v
	if l.sum < l.threshold {
		return Change{}, false
	}
	c := Change{
		Method:   "CUSUM of a level, in deviations of its logarithm above the median",
		Baseline: math.Exp(l.median), Current: math.Exp(l.over / float64(l.n)), N: l.n,
		Weekly: 1 / (margin * float64(max(series, 1))),
	}
	l.sum, l.n, l.over = 0, 0, 0
	return c, true
}

func (l *Level) turn(now time.Time, series int) {
	day, hour := now.Unix()/86400, now.Unix()/3600
	if l.day == 0 {
		l.day, l.hour, l.first = day, hour, hour
	}
	for i := max(l.day+1, day-int64(len(l.days))+1); i <= day; i++ {
		l.days[i%int64(len(l.days))] = spread{}
	}
	l.day = max(l.day, day)
	if hour > l.hour || l.deviation == 0 {
		l.hour = max(l.hour, hour)
		l.learn(series)
	}
}

// blocked learns how much neighbours are alike.
func (l *Level) blocked(z float64) {
	l.block += z
	if l.inBlock++; l.inBlock < blockOf {
		return
	}
	weight := max(1/float64(l.blocks+1), 1.0/5000)
	off := l.block - l.mean
	l.mean += weight * off
	l.vary += weight * (off*off - l.vary)
	l.block, l.inBlock = 0, 0
	l.blocks++
}

// learn takes the median and the deviation of all that is kept, and the threshold.
func (l *Level) learn(series int) {
	var n uint32
	days := 0
	for i := range l.days {
		if l.days[i].n > 0 {
			days++
		}
		n += l.days[i].n
	}
	if n < levelSeen || l.hour-l.first < levelHours {
		return
	}
	var all [buckets]uint32
	for i := range l.days {
		if l.days[i].n == 0 {
			continue
		}
		for j, c := range &l.days[i].counts {
			all[j] += c
		}
	}
	middle := quantile(&all, n, 0.5)
	// The median of how far values are from theirs: in both directions at once.
	var seen uint32
	for w := 0; w < buckets && 2*seen < n; w++ {
		if middle-w >= 0 {
			seen += all[middle-w]
		}
		if w > 0 && middle+w < buckets {
			seen += all[middle+w]
		}
		l.deviation = max(1.4826*(float64(w)+0.5)*bucket, narrowest)
	}
	l.median = lowest + (float64(middle)+0.5)*bucket
	l.limit(&all, float64(n), float64(n)/float64(days)*7*float64(max(series, 1)))
}

// limit finds the slack and the threshold for values that come so often a week.
func (l *Level) limit(all *[buckets]uint32, n, weekly float64) {
	var first, second float64
	var values, shares []float64
	for i, c := range all {
		if c == 0 {
			continue
		}
		z := min(max((lowest+(float64(i)+0.5)*bucket-l.median)/l.deviation, -most), most)
		share := float64(c) / n
		values, shares = append(values, z), append(shares, share)
		first += share * z
		second += share * z * z
	}
	l.slack = max(leastSlack, first+leastSlack)
	l.spreadOfOne = second - first*first
	// The exponent at which the steps of the sum neither grow nor shrink on average.
	low, high := 0.0, 4.0
	for range 40 {
		mid := (low + high) / 2
		var mean float64
		for i, z := range values {
			mean += shares[i] * math.Exp(mid*(z-l.slack))
		}
		if mean < 1 {
			low = mid
		} else {
			high = mid
		}
	}
	alike := 1.0
	if l.blocks > 20 && l.spreadOfOne > 0 {
		alike = max(1, l.vary/(blockOf*l.spreadOfOne))
	}
	l.threshold = max(math.Log(max(margin*weekly/overshoot, 2))*alike/max(low, 0.01), 8)
}

func quantile(all *[buckets]uint32, n uint32, q float64) int {
	want := uint32(q * float64(n))
	var seen uint32
	for i, c := range all {
		if seen += c; seen > want {
			return i
		}
	}
	return buckets - 1
}
