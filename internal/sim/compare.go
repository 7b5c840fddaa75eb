package sim

import "math"

// Interval is a mean over runs, and between which bounds the mean of ever more runs
// lies with a confidence of 95 % (Student's t). Of one run nothing is known of that,
// and all three are equal.
type Interval struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Half returns half the width.
func (i Interval) Half() float64 { return i.High - i.Mean }

// studentT holds the 97.5 % quantile of Student's t by degrees of freedom from 1.
var studentT = [...]float64{
	12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
	2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
	2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
}

// over returns the interval of what is measured of each run.
func over[T any](runs []T, of func(*T) float64) Interval {
	n := float64(len(runs))
	var sum, squares float64
	for i := range runs {
		sum += of(&runs[i])
	}
	mean := sum / n
	if len(runs) < 2 {
		return Interval{mean, mean, mean}
	}
	for i := range runs {
		d := of(&runs[i]) - mean
		squares += d * d
	}
	t := studentT[min(len(runs)-1, len(studentT))-1]
	half := t * math.Sqrt(squares/(n-1)/n)
	return Interval{mean, mean - half, mean + half}
}

// Summary is what a policy made of the same load with several seeds.
type Summary struct {
	Policy string   `json:"policy"`
	Failed Interval `json:"failed"` // share of the requests
	Spread
	Stages []Spread `json:"stages,omitempty"` // of a load in stages, in order
	// Versus is how its figures differ from another policy's, this minus that, seed
	// by seed: both had the same arrivals, so most of what chance does falls out.
	Versus *Spread  `json:"versus_first,omitempty"`
	Runs   []Result `json:"runs"` // by seed
}

// Compare notes how s differs from another policy with the same seeds, if there are
// enough of them to tell.
func (s *Summary) Compare(other *Summary) {
	if len(s.Runs) < 2 || len(s.Runs) != len(other.Runs) {
		return
	}
	differences := make([]Result, len(s.Runs))
	for i := range differences {
		differences[i].Figures = s.Runs[i].minus(&other.Runs[i].Figures)
	}
	v := spreadOf(differences, func(r *Result) *Figures { return &r.Figures })
	s.Versus = &v
}

func (f *Figures) minus(o *Figures) Figures {
	percentiles := func(a, b Percentiles) Percentiles {
		return Percentiles{a.Mean - b.Mean, a.P50 - b.P50, a.P90 - b.P90, a.P95 - b.P95, a.P99 - b.P99}
	}
	return Figures{
		Throughput: f.Throughput - o.Throughput, TTFT: percentiles(f.TTFT, o.TTFT), TPOT: percentiles(f.TPOT, o.TPOT),
		Within: f.Within - o.Within, Hit: f.Hit - o.Hit, Preemptions: f.Preemptions - o.Preemptions,
		GPUHours: f.GPUHours - o.GPUHours,
	}
}

// Spread is Figures over several runs.
type Spread struct {
	Throughput  Interval  `json:"output_tokens_per_second"`
	TTFT        Quantiles `json:"ttft_ms"`
	TPOT        Quantiles `json:"tpot_ms"`
	Within      Interval  `json:"within_objective"`
	Hit         Interval  `json:"prefix_hit_ratio"`
	Preemptions Interval  `json:"preemptions"`
	GPUHours    Interval  `json:"gpu_hours,omitzero"`
}

// Quantiles is Percentiles over several runs.
type Quantiles struct {
	Mean Interval `json:"mean"`
	P50  Interval `json:"p50"`
	P90  Interval `json:"p90"`
	P99  Interval `json:"p99"`
}

// Summarise sums the runs of a policy up, of which there is at least one.
func Summarise(policy string, runs []Result) Summary {
	s := Summary{
		Policy: policy, Runs: runs,
		Failed: over(runs, func(r *Result) float64 { return float64(r.Failed) / float64(max(r.Requests, 1)) }),
		Spread: spreadOf(runs, func(r *Result) *Figures { return &r.Figures }),
	}
	for i := range runs[0].Stages {
		s.Stages = append(s.Stages, spreadOf(runs, func(r *Result) *Figures { return &r.Stages[i] }))
	}
	return s
}

func spreadOf(runs []Result, of func(*Result) *Figures) Spread {
	each := func(f func(*Figures) float64) Interval {
		return over(runs, func(r *Result) float64 { return f(of(r)) })
	}
	quantiles := func(p func(*Figures) *Percentiles) Quantiles {
		return Quantiles{
			Mean: each(func(f *Figures) float64 { return p(f).Mean }),
			P50:  each(func(f *Figures) float64 { return p(f).P50 }),
			P90:  each(func(f *Figures) float64 { return p(f).P90 }),
			P99:  each(func(f *Figures) float64 { return p(f).P99 }),
		}
	}
	return Spread{
		Throughput:  each(func(f *Figures) float64 { return f.Throughput }),
		TTFT:        quantiles(func(f *Figures) *Percentiles { return &f.TTFT }),
		TPOT:        quantiles(func(f *Figures) *Percentiles { return &f.TPOT }),
		Within:      each(func(f *Figures) float64 { return f.Within }),
		Hit:         each(func(f *Figures) float64 { return f.Hit }),
		Preemptions: each(func(f *Figures) float64 { return float64(f.Preemptions) }),
		GPUHours:    each(func(f *Figures) float64 { return f.GPUHours }),
	}
}
