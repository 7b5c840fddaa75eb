package relevance

import (
	"math/rand/v2"
	"slices"
)

// Interval is where a mean lies with a probability of 95 %.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Intervals are those of all measures, named as Measures are.
type Intervals struct {
	AP     Interval `json:"map"`
	NDCG10 Interval `json:"ndcg_at_10"`
	Recall Interval `json:"recall_at_20"`
	RR     Interval `json:"mrr"`
	P30    Interval `json:"p_at_30"`
}

func (i *Intervals) values() []*Interval {
	return []*Interval{&i.AP, &i.NDCG10, &i.Recall, &i.RR, &i.P30}
}

// resamples is how many times a bootstrap draws the questions anew.
const resamples = 2000

// Bootstrap returns how sure the means are: 95 % intervals of the means over
// questions drawn anew with replacement. A seed always gives the same intervals.
func (s Scores) Bootstrap(seed uint64) Intervals {
	list := make([]Measures, 0, len(s))
	for _, query := range s.Queries() {
		list = append(list, s[query])
	}
	return bootstrap(list, seed)
}

func bootstrap(list []Measures, seed uint64) Intervals {
	var out Intervals
	if len(list) == 0 {
		return out
	}
	draw := rand.New(rand.NewPCG(seed, uint64(len(list))))
	var zero Measures
	means := make([][]float64, len(zero.values()))
	for range resamples {
		sums := make([]float64, len(means))
		for range list {
			m := list[draw.IntN(len(list))]
			for i, v := range m.values() {
				sums[i] += *v
			}
		}
		for i, sum := range sums {
			means[i] = append(means[i], sum/float64(len(list)))
		}
	}
	for i, interval := range out.values() {
		slices.Sort(means[i])
		*interval = Interval{means[i][resamples*25/1000], means[i][resamples*975/1000-1]}
	}
	return out
}

// Mean returns the mean of values, one of each question, and how sure it is: the 95 %
// interval of the means over questions drawn anew with replacement. Of no values both
// are 0.
func Mean(values []float64, seed uint64) (mean float64, within Interval) {
	if len(values) == 0 {
		return 0, within
	}
	sum := func(at func(i int) int) (sum float64) {
		for i := range values {
			sum += values[at(i)]
		}
		return sum / float64(len(values))
	}
	draw := rand.New(rand.NewPCG(seed, uint64(len(values))))
	means := make([]float64, resamples)
	for i := range means {
		means[i] = sum(func(int) int { return draw.IntN(len(values)) })
	}
	slices.Sort(means)
	return sum(func(i int) int { return i }), Interval{means[resamples*25/1000], means[resamples*975/1000-1]}
}

// Difference is one run beside another.
type Difference struct {
	Queries   int       `json:"queries"`   // measured in both
	Mean      Measures  `json:"mean"`      // of b minus a
	Intervals Intervals `json:"intervals"` // of that mean, question by question
	Better    int       `json:"better"`    // questions on which b has the higher average precision
	Worse     int       `json:"worse"`
	Each      Scores    `json:"-"` // b minus a, by question
}

// Compare returns what b has over a, over the questions that both were measured on.
func Compare(a, b Scores, seed uint64) Difference {
	d := Difference{Each: Scores{}}
	var list []Measures
	for _, query := range a.Queries() {
		other, ok := b[query]
		if !ok {
			continue
		}
		one := a[query]
		for i, v := range other.values() {
			*v -= *one.values()[i]
		}
		switch {
		case other.AP > 0:
			d.Better++
		case other.AP < 0:
			d.Worse++
		}
		d.Each[query] = other
		list = append(list, other)
	}
	d.Queries = len(list)
	d.Mean = d.Each.Mean()
	d.Intervals = bootstrap(list, seed)
	return d
}

// Tune returns the x from low to high at which worth is greatest, to within .01, and
// worth there, by golden section. It finds the top of a worth with one hill, and of
// others one of the tops that the ends do not beat.
func Tune(low, high float64, worth func(x float64) float64) (x, best float64) {
	const ratio = 0.6180339887498949
	x, best = low, worth(low)
	note := func(at float64) float64 {
		w := worth(at)
		if w > best {
			x, best = at, w
		}
		return w
	}
	note(high)
	c, d := high-ratio*(high-low), low+ratio*(high-low)
	atC, atD := note(c), note(d)
	for high-low > .01 {
		if atC >= atD {
			high, d, atD = d, c, atC
			c = high - ratio*(high-low)
			atC = note(c)
		} else {
			low, c, atC = c, d, atD
			d = low + ratio*(high-low)
			atD = note(d)
		}
	}
	return x, best
}
