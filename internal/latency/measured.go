package latency

import (
	"errors"
	"time"
)

// Measured is what was measured of a pool of engines at one low rate, once with
// prompts that are spread over the replicas and once with prompts that come back to
// where they were, and what is known of model and hardware.
type Measured struct {
	Rate     float64 // requests a second that one replica gets
	Output   float64 // tokens of an answer, mean
	Prompt   float64 // tokens of a prompt, mean
	Uncached float64 // of them not found in the cache where TTFT is Cold, mean
	Residual float64 // and where it is Warm
	Cold     time.Duration
	Warm     time.Duration
	TPOT     time.Duration // of the cold row; needed without Weights

	Weights   float64 // bytes on each GPU; 0 is not known
	KVBytes   float64 // bytes of KV a token on each GPU
	Bandwidth float64 // bytes a second of each GPU's memory
}

var (
	errMeasured = errors.New("latency: rate, prompt, output, uncached tokens, both times to the first token, KV bytes of a token and memory bandwidth must be above 0, and either the weights or the time per token")
	errUncached = errors.New("latency: more prompt tokens are uncached than a prompt has, or fewer in the cold row than in the warm one")
	errColdWarm = errors.New("latency: the cold row's time to the first token leaves nothing for reading the prompt; it has to be longer than the warm one's by far")
	errStepBase = errors.New("latency: the time per token leaves nothing for reading the weights; it is too short for this many KV tokens")
	errBusy     = errors.New("latency: the engine would spend more time reading prompts than there is; is the rate the one of a single replica?")
	errWarm     = errors.New("latency: the warm row's time to the first token is shorter than one step, which cannot be")
)

// perSequence is what scheduling and sampling take of a step for each sequence.
const perSequence = 5 * Microsecond

// Params returns the engine model that explains what was measured, but for sizes:
//
//	kappa = KVBytes / Bandwidth
//	b     = Weights / Bandwidth                                 or, of the time per token,
//	b     = TPOT * (1 - Rate*Uncached/R) - n*(kappa*(Prompt + Output/2) + c),  n = Rate*Output*TPOT
//	o     = Warm - b - Residual/R
//	R     = (Uncached - Residual) / (Cold - Warm)
//
// n is how many answers are under way at a replica (Little's law). The two rows share
// o and b, so that R is what tells them apart.
func (m Measured) Params() (Params, error) {
	for _, v := range []float64{m.Rate, m.Output, m.Prompt, m.Uncached, float64(m.Cold), float64(m.Warm), m.KVBytes, m.Bandwidth, max(m.Weights, float64(m.TPOT))} {
		if !(v > 0 && v < 1e18) {
			return Params{}, errMeasured
		}
	}
	switch {
	case m.Uncached > m.Prompt, !(m.Residual >= 0), m.Residual >= m.Uncached:
		return Params{}, errUncached
	case m.Cold <= m.Warm:
		return Params{}, errColdWarm
	}
	second := float64(Second)
	kappa := m.KVBytes / m.Bandwidth * second
	token := (m.Cold - m.Warm).Seconds() / (m.Uncached - m.Residual) * second
	base := m.Weights / m.Bandwidth * second
	busy := m.Rate * m.Uncached * token / second
	if busy >= 1 {
		return Params{}, errBusy
	}
	if m.Weights == 0 {
		tpot := m.TPOT.Seconds()
		n := m.Rate * m.Output * tpot
		base = tpot*(1-busy)*second - n*(kappa*(m.Prompt+m.Output/2)+float64(perSequence))
		if base <= 0 {
			return Params{}, errStepBase
		}
	}
	overhead := m.Warm.Seconds()*second - base - m.Residual*token
	if overhead <= 0 {
		return Params{}, errWarm
	}
	p := Params{
		Base: Picoseconds(base), PerKVToken: Picoseconds(kappa), PerPrefillToken: Picoseconds(token), PerSequence: perSequence,
		Overhead: time.Duration(overhead / float64(Nanosecond)),
	}
	return p, nil
}
