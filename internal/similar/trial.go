package similar

import (
	"math"
	"time"
)

// Mode says what an operator wants of a model's similar answers.
type Mode uint8

// Off does nothing, Shadow finds and compares but serves nothing, On serves once a trial
// was passed.
const (
	Off Mode = iota
	Shadow
	On
)

// The protocol. A bound looked at again and again is passed by luck sooner or later, so
// it is a wide one, for a look after every hundred comparisons.
const (
	Trials      = 1000  // candidates compared before any is served
	Limit       = 0.01  // the share of false hits that the bound must stay under
	z           = 2.576 // two-sided 99 %
	look        = 100   // comparisons between looks that may begin to serve
	early       = 2000  // hits of which earlyShare is checked
	earlyShare  = 0.20
	laterShare  = 0.02
	exactChecks = 300 // comparisons of exact hits that tell the comparison's own error
)

// Trial is what is known of the quality of the similar answers of one index under one
// version of the rules. Its zero value knows nothing yet.
type Trial struct {
	Version    int
	Candidates uint64 // would-be hits met, served or not
	Hits       uint64 // served
	Compared   uint64 // beside a fresh answer
	False      uint64 // of Compared, those that said something else
	Exact      uint64 // exact hits made anew, to learn the comparison's own error
	ExactFalse uint64 // of Exact, those that the comparison called false
	Serving    bool
	Stopped    bool // it served and the bound broke: it stays off until the trial begins anew
	StoppedAt  time.Time
	Curve      [Steps]Step // by similarity
}

// Steps are how many parts the range of similarities is cut into, from .5 to 1.
const Steps = 10

// Step is what is known of candidates of one range of similarity.
type Step struct {
	From            float64
	Compared, False uint64
}

// Action is what becomes of a candidate.
type Action uint8

// Refuse goes on as if there were none. Watch goes on, and has the fresh answer
// compared. Serve serves it, Check serves it and has it compared to a fresh answer.
const (
	Refuse Action = iota
	Watch
	Serve
	Check
)

// Meet decides about a candidate. The draw is a number from 0 to 1 of the ticket's own
// source.
func (t *Trial) Meet(mode Mode, draw float64) Action {
	t.renew()
	if mode == Off || t.Stopped {
		return Refuse
	}
	t.Candidates++
	if mode == Shadow || !t.Serving {
		return Watch
	}
	t.Hits++
	share := laterShare
	if t.Hits <= early {
		share = earlyShare
	}
	if draw < share {
		return Check
	}
	return Serve
}

// renew forgets what was learnt under other rules.
func (t *Trial) renew() {
	if t.Version != Version {
		*t = Trial{Version: Version}
	}
}

// CheckExact reports whether an exact hit should be made anew as well: of two answers
// of one question some differ too, and that is the comparison's own error.
func (t *Trial) CheckExact(mode Mode, draw float64) bool {
	t.renew()
	return mode != Off && !t.Stopped && t.Candidates > 0 && t.Exact < exactChecks && draw < laterShare
}

// LearnExact takes in how an exact hit compared to a fresh answer.
func (t *Trial) LearnExact(agreed bool) {
	t.renew()
	t.Exact++
	if !agreed {
		t.ExactFalse++
	}
}

// Learn takes in how a candidate compared to a fresh answer, and reports whether that
// stopped the serving.
func (t *Trial) Learn(agreed bool, similarity float64, now time.Time) (stopped bool) {
	t.renew()
	t.Compared++
	step := &t.Curve[stepOf(similarity)]
	step.From = 0.5 + 0.5*float64(stepOf(similarity))/Steps
	step.Compared++
	if !agreed {
		t.False++
		step.False++
	}
	switch {
	case t.Stopped:
	case t.Serving && t.Bound() > Limit:
		t.Serving, t.Stopped, t.StoppedAt = false, true, now
		return true
	case !t.Serving && t.Compared >= Trials && t.Compared%look == 0 && t.Bound() <= Limit:
		t.Serving = true
	}
	return false
}

func stepOf(similarity float64) int {
	return int(min(Steps-1, max(0, (similarity-0.5)*2*Steps)))
}

// Rate returns the share of false hits among those compared, less what is surely the
// comparison's own error.
func (t *Trial) Rate() float64 {
	if t.Compared == 0 {
		return 0
	}
	own := 0.0
	if t.Exact > 0 {
		own, _ = wilson(float64(t.ExactFalse)/float64(t.Exact), float64(t.Exact))
	}
	return max(0, (float64(t.False)/float64(t.Compared)-own)/(1-own))
}

// Bound returns the upper bound of the share of false hits: Wilson's, 1 before anything
// was compared.
func (t *Trial) Bound() float64 {
	_, upper := t.Interval()
	return upper
}

// Interval returns both of Wilson's bounds of the share of false hits.
func (t *Trial) Interval() (lower, upper float64) {
	return wilson(t.Rate(), float64(t.Compared))
}

// wilson returns the bounds of a share p of n (Wilson, Probable Inference, the Law of
// Succession, and Statistical Inference, 1927).
func wilson(p, n float64) (lower, upper float64) {
	if n == 0 {
		return 0, 1
	}
	middle := p + z*z/(2*n)
	half := z * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return max(0, (middle-half)/(1+z*z/n)), min(1, (middle+half)/(1+z*z/n))
}
