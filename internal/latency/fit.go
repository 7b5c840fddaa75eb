package latency

import (
	"math"
	"time"
)

// Trusted is when a fit may decide: after so many samples of each kind, and while its
// predictions err by no more than so much.
const (
	TrustedSamples = 200
	TrustedError   = 0.25
)

// MinTokens is how many tokens a stream must have for its mean time per token to tell
// anything.
const MinTokens = 8

// Fit learns the step model of a class of engines from the streams that they answer,
// while they do: recursive least squares of
//
//	time per token     = b + kappa*(KV tokens in decode) + (prompt tokens read in a step)/R
//	time to the first  = o + (prompt tokens to read)/R' + kappa'*(steps of it)*(KV tokens in decode)
//
// with forgetting .999, weights that make errors relative, errors clipped at three
// deviations, and nothing below zero. Every error is taken before its sample is learned
// from. The zero Fit is not usable, see NewFit.
type Fit struct {
	step     squares
	first    squares
	overhead float64 // seconds to the first token that no step explains
	rolled   Error   // of what Outlook said of first tokens
	budget   int     // tokens of a step
}

// Decoded is what one finished stream tells of steps.
type Decoded struct {
	PerToken time.Duration // mean, after the first
	KV       float64       // mean tokens of KV in decode on its engine meanwhile
	Prompt   float64       // prompt tokens that its engine read meanwhile, over the stream's tokens but the first
}

// Begun is what one first token tells.
type Begun struct {
	Took      time.Duration // since the request was sent
	Predicted time.Duration // what Outlook said then; 0 if nobody asked
	Tokens    float64       // of prompts that the engine had to read, its own the last
	KV        float64       // tokens of KV in decode when it was sent
	Idle      bool          // no prompt was before it
}

// Constants are what a Fit knows.
type Constants struct {
	Base     time.Duration // b: a step that only reads the weights
	PerKV    float64       // kappa: seconds for each KV token that a step reads
	Rate     float64       // R: prompt tokens a second
	Overhead time.Duration // o: to the first token, of no step
	Budget   int           // tokens that a step takes on; given, not learned
	Samples  int           // streams that steps were learned from
	Firsts   int           // first tokens
	Error    float64       // mean relative error of the time per token, before learning
	First    float64       // the same of the time to the first token, as Outlook says it
}

// Trusted reports whether the constants may decide something.
func (c Constants) Trusted() bool {
	return c.Samples >= TrustedSamples && c.Firsts >= TrustedSamples && c.Error <= TrustedError && c.First <= TrustedError
}

// At returns what the constants are where the hardware has a share of its usual speed.
func (c Constants) At(share float64) Constants {
	c.Base, c.PerKV, c.Rate = time.Duration(float64(c.Base)/share), c.PerKV/share, c.Rate*share
	return c
}

// What is assumed of an engine before anything is learned.
const (
	firstBase     = 10 * time.Millisecond
	firstPerKV    = 20e-9 // seconds
	firstRate     = 15_360
	firstOverhead = 20 * time.Millisecond
	firstBudget   = 8192 // vLLM's max_num_batched_tokens on large GPUs
)

// The units that bring times and regressors to the order of 1.
const (
	stepUnit   = 0.01 // seconds a token
	kvUnit     = 100_000
	shareUnit  = 1000 // prompt tokens a step
	firstUnit  = 1.0  // seconds
	promptUnit = 10_000
)

// NewFit returns a Fit that knows nothing but the prompt tokens a second that it is
// told, and how many tokens a step takes on; 0 is not known.
func NewFit(rate float64, budget int) *Fit {
	if !(rate > 0) {
		rate = firstRate
	}
	if budget <= 0 {
		budget = firstBudget
	}
	f := &Fit{budget: budget, overhead: firstOverhead.Seconds()}
	f.step.begin([3]float64{firstBase.Seconds() / stepUnit, firstPerKV * kvUnit / stepUnit, shareUnit / rate / stepUnit})
	f.first.begin([3]float64{f.overhead / firstUnit, promptUnit / rate / firstUnit, firstPerKV * kvUnit / firstUnit})
	return f
}

// Decoded learns from a finished stream.

func (f *Fit) Decoded(d Decoded) {
	f.step.learn([3]float64{1, d.KV / kvUnit, d.Prompt / shareUnit}, d.PerToken.Seconds()/stepUnit)
}

// Begun learns from a first token.
func (f *Fit) Begun(b Begun) {
	took := b.Took.Seconds()
	if took <= 0 {
		return
	}
	if b.Predicted > 0 {
		f.rolled.add(math.Abs(took-b.Predicted.Seconds()) / took)
	}
	steps := math.Ceil(max(b.Tokens, 1) / float64(f.budget))
	f.first.learn([3]float64{1, b.Tokens / promptUnit, steps * b.KV / kvUnit}, took/firstUnit)
	if b.Idle {
		c := f.Constants()
		step := c.Base.Seconds() + c.PerKV*b.KV
		rest := max(took-steps*step-b.Tokens/c.Rate, 0)
		// A single late answer moves it no further than its own size.
		f.overhead += 0.05 * (min(rest, 2*f.overhead+0.01) - f.overhead)
	}
}

// Constants returns what is known. The rate is that of the regression which knows it
// better: where nothing is read while others decode, only first tokens tell.
func (f *Fit) Constants() Constants {
	step, first := &f.step.theta, &f.first.theta
	token := step[2] * stepUnit / shareUnit
	if f.step.unsure(2, stepUnit/shareUnit) > f.first.unsure(1, firstUnit/promptUnit) {
		token = first[1] * firstUnit / promptUnit
	}
	return Constants{
		Base: seconds(step[0] * stepUnit), PerKV: step[1] * stepUnit / kvUnit, Rate: 1 / max(token, 1e-8),
		Overhead: seconds(f.overhead), Budget: f.budget, Samples: f.step.n, Firsts: f.rolled.N, Error: f.step.err.Mean, First: f.rolled.Mean,
	}
}

// seconds returns a time of at most an hour: what a sample of nonsense makes of a step
// may be more than a Duration holds.
func seconds(s float64) time.Duration { return time.Duration(min(s, 3600) * float64(time.Second)) }

// squares is recursive least squares of three coefficients.
type squares struct {
	theta [3]float64
	p     [3][3]float64
	n     int
	err   Error
	off   float64 // mean of |error| over what was predicted, for the clip
}

const (
	forget   = 0.999
	unknown  = 100 // of each coefficient at the start, on the diagonal of p
	maxTrace = 3 * unknown
	usual    = 0.03 // relative error of a sample, against which what was assumed at first counts
	clipFrom = 10   // samples before errors are clipped: until then nothing is usual
)

func (s *squares) begin(theta [3]float64) {
	*s = squares{theta: theta}
	for i := range s.p {
		s.p[i][i] = unknown
	}
}

// unsure is the deviation of a coefficient, in its unit.
func (s *squares) unsure(i int, unit float64) float64 {
	if s.n < clipFrom {
		return math.Inf(1)
	}
	return math.Sqrt(s.p[i][i]) * unit * s.off / usual
}

func (s *squares) at(x [3]float64) float64 {
	return s.theta[0]*x[0] + s.theta[1]*x[1] + s.theta[2]*x[2]
}

// learn takes in a sample: y was measured at x.
func (s *squares) learn(x [3]float64, y float64) {
	if !(y > 0) || math.IsInf(y, 0) || !(x[1] >= 0 && x[2] >= 0) || math.IsInf(x[1]+x[2], 0) {
		return
	}
	e := y - s.at(x)
	// What errors are relative to. A prediction far off, as the first are, would make
	// its sample count for all or for nothing.
	expected := max(y/4, min(s.at(x), 4*y))
	s.err.add(math.Abs(e) / y)
	if s.n >= clipFrom {
		bound := 3 * 1.25 * s.off * expected // a normal deviation is 1.25 of the mean one
		e = max(-bound, min(e, bound))
	}
	s.n++
	s.off += max(0.02, 1/float64(s.n)) * (min(math.Abs(y-s.at(x))/expected, 1) - s.off)

	var px [3]float64
	for i := range px {
		px[i] = s.p[i][0]*x[0] + s.p[i][1]*x[1] + s.p[i][2]*x[2]
	}
	noise := usual * expected
	down := forget*noise*noise + x[0]*px[0] + x[1]*px[1] + x[2]*px[2]
	trace := 0.0
	for i := range px {
		s.theta[i] += px[i] / down * e
	}
	for i := range px {
		for j := range px {
			s.p[i][j] -= px[i] * px[j] / down
		}
		s.p[i][i] = max(s.p[i][i], 1e-12) // rounding
		trace += s.p[i][i]
	}
	s.raise()
	if trace < forget*maxTrace { // where nothing is told of a coefficient, nothing is forgotten
		for i := range s.p {
			for j := range s.p[i] {
				s.p[i][j] /= forget
			}
		}
	}
}

// raise brings coefficients below zero to zero. The others move along with them as the
// data says: cut off alone, two that are hard to tell apart would drift away together.
func (s *squares) raise() {
	for range s.theta {
		low := 0
		for i := range s.theta {
			if s.theta[i] < s.theta[low] {
				low = i
			}
		}
		if s.theta[low] >= 0 {
			return
		}
		by := s.theta[low] / s.p[low][low]
		for i := range s.theta {
			s.theta[i] -= s.p[i][low] * by
		}
		s.theta[low] = 0
	}
	for i := range s.theta {
		s.theta[i] = max(s.theta[i], 0)
	}
}

// Error is a mean of relative errors in which old ones fade: each new one counts a
// fiftieth, or more while there are few.
type Error struct {
	Mean float64
	N    int
}

func (e *Error) add(v float64) {
	e.N++
	e.Mean += max(0.02, 1/float64(e.N)) * (v - e.Mean)
}
