// Package canary decides whether a new target of a model gets more of its requests,
// or none: it compares what came of them with what came of the others, and goes on
// by steps or back at once.
//
// Each signal is a row of yes and no: the attempt failed; the first token, or a token,
// took longer than so many times the median of the others' latest; a judge found the
// answer wanting, or its form tells so. Of each row a sequential probability ratio test (A. Wald, Sequential
// Analysis, 1947) asks whether yes comes as often as it does among the others, or more
// often by what the operator will not bear. It may be asked after every answer: by
// Ville's inequality a canary that is no worse goes back with a chance of at most one
// in 1,000 a step, however long the step is, and a worse one as soon as the row tells,
// not at the end of a window. What speaks for the canary is kept only up to a bound, as
// in a cumulative sum (E. S. Page, Continuous Inspection Schemes, 1954), so that one
// which becomes worse later is found nearly as soon; the bound costs up to a factor of
// 20 in that chance over a very long step.
//
// What comes of the canary's attempts waits until some of the others' have come, and
// counts for no more than these: where everybody begins to fail at once, or to be slow,
// the canary is not to blame.
package canary

import (
	"math"
	"slices"
	"time"

	"headworks/internal/fleet"
)

// Phase is how a canary stands.
type Phase uint8

// The phases.
const (
	Running    Phase = iota // it has the share of its step
	RolledBack              // it has nothing
	Promoted                // it has everything
)

func (p Phase) String() string { return [...]string{"running", "rolled back", "promoted"}[p] }

// Signal is what a canary is compared by.
type Signal uint8

// The signals.
const (
	Errors Signal = iota
	TTFT
	TPOT
	Quality // somebody's verdicts
	Form    // what answers look like, by themselves

	Signals
)

func (s Signal) String() string { return [...]string{"errors", "ttft", "tpot", "quality", "form"}[s] }

// Why a canary went back.
const (
	ByOperator = "by an operator"
	ByErrors   = "more errors than the others"
	ByTTFT     = "slower to the first token than the others"
	ByTPOT     = "slower by the token than the others"
	ByQuality  = "worse answers than the others"
	ByForm     = "more answers that do not pass than the others"
)

// Outcome is what came of one attempt. A time of zero is not measured.
type Outcome struct {
	Failed bool
	Judged bool // Failed counts; an attempt that the caller left tells nothing
	TTFT   time.Duration
	AtMost bool // TTFT was not over yet: it tells only that it is longer
	TPOT   time.Duration
}

const (
	reject = 6.907755278982137  // ln 1000: this much for worse, and the canary goes back
	credit = -2.995732273553991 // -ln 20: so much for as good is remembered

	slow    = 0.75 // how often a slower canary exceeds the bound on its times; one as good does at most half the time
	some    = 8    // attempts of the others that the canary's wait for
	latest  = 15   // times of the others that count
	most    = 16   // times of the canary's that wait
	rarest  = 0.0005
	longest = 2048 // attempts of the others that are remembered

	// kept is the share that the others keep at least while there is something to
	// compare.
	kept = 0.1
)

// State is one canary. The zero State is one that has just begun.
type State struct {
	Phase Phase
	Step  int
	Since time.Time // when Step or Phase began; zero: no request came yet
	Why   string    // of RolledBack

	tests [Signals]test
	rates [3]rate // of Errors, Quality and Form
	times [2]times
}

// test is one row of the canary's, of this step.
type test struct {
	n, yes int
	ratio  float64 // logarithm of the likelihood ratio
}

// note takes more answers in, of which some are yes, at a weight. Yes comes with a
// chance of p among the others and of q where the canary is worse.
func (t *test) note(n, yes int, weight, p, q float64) {
	t.n, t.yes = t.n+n, t.yes+yes
	t.ratio += weight * (float64(yes)*math.Log(q/p) + float64(n-yes)*math.Log((1-q)/(1-p)))
	t.ratio = max(t.ratio, credit)
}

// rate is how often yes comes.
type rate struct {
	n, yes        float64 // among the others, remembered
	now, nowYes   int     // of them, since the canary's were last compared
	wait, waitYes int     // of the canary's, since then
}

// other takes in an attempt of another target's.
func (r *rate) other(yes bool) {
	r.n++
	r.now++
	if yes {
		r.yes++
		r.nowYes++
	}
	if r.n >= longest {
		r.n, r.yes = r.n/2, r.yes/2
	}
}

// own takes in one of the canary's.
func (r *rate) own(yes bool) {
	r.wait++
	if yes {
		r.waitYes++
	}
}

// compare takes what waits into the test, if there is enough to compare it with.
func (r *rate) compare(t *test, more float64) {
	if r.wait == 0 || r.now < some {
		return
	}
	n, yes := float64(r.now), float64(r.nowYes)
	p := max((r.yes+0.5)/(r.n+1), rarest) // with Jeffreys' prior
	if yes > 0.5+n*p+2*math.Sqrt(n*p*(1-p)) {
		p = upper(yes, n) // more than chance: something befalls the others now
	}
	p = min(p, 0.98)
	t.note(r.wait, r.waitYes, min(1, n/float64(r.wait)), p, min(p+more, 0.99))
	r.now, r.nowYes, r.wait, r.waitYes = 0, 0, 0, 0
}

// upper returns the upper end of the interval of 95 % of a rate (E. B. Wilson,
// Probable inference, the law of succession, and statistical inference, 1927).
func upper(yes, n float64) float64 {
	const z = 1.96
	p := yes / n
	return (p + z*z/(2*n) + z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))) / (1 + z*z/n)
}

// times are times of the others, the latest, and those of the canary's that wait.
type times struct {
	ring [latest]time.Duration
	n    int
	now  int // of them, since the canary's were last compared
	wait [most]time.Duration
	own  int // that count of wait; those that were not over are negative
}

func (x *times) other(d time.Duration) {
	x.ring[x.n%latest] = d
	x.n++
	x.now++
}

func (x *times) compare(t *test, bound float64) {
	if x.own == 0 || x.now < some {
		return
	}
	limit := time.Duration(float64(x.median()) * bound)
	n, yes := 0, 0
	for _, d := range x.wait[:x.own] {
		switch {
		case d > limit, -d > limit:
			n, yes = n+1, yes+1
		case d > 0:
			n++
		}
	}
	t.note(n, yes, min(1, float64(x.now)/float64(max(n, 1))), 0.5, slow)
	x.now, x.own = 0, 0
}

// median returns the median of the others' latest; 0 if there are none.
func (x *times) median() time.Duration {
	sorted := x.ring
	all := sorted[:min(x.n, latest)]
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// Share returns the share of requests that go to the canary now.
func (s *State) Share(c *fleet.Canary) float64 {
	switch s.Phase {
	case RolledBack:
		return 0
	case Promoted:
		return 1
	default:
		return min(c.Steps[min(s.Step, len(c.Steps)-1)], 1-kept)
	}
}

// Observe learns from an attempt, of the canary's or of another target's. It reports
// whether the canary went back or on.
func (s *State) Observe(c *fleet.Canary, own bool, o Outcome, now time.Time) bool {
	if s.Phase != Running {
		return false
	}
	if s.Since.IsZero() {
		s.Since = now
	}
	switch {
	case o.Judged && own:
		s.rates[0].own(o.Failed)
	case o.Judged:
		s.rates[0].other(o.Failed)
	}
	for i, d := range [...]time.Duration{o.TTFT, o.TPOT} {
		x := &s.times[i]
		switch {
		case d <= 0 || !own && i == 0 && o.AtMost:
		case !own:
			x.other(d)
		case x.own < most:
			if i == 0 && o.AtMost {
				d = -d
			}
			x.wait[x.own] = d
			x.own++
		}
	}
	s.rates[0].compare(&s.tests[Errors], c.Errors)
	if c.TTFT > 0 {
		s.times[0].compare(&s.tests[TTFT], c.TTFT)
	}
	if c.TPOT > 0 {
		s.times[1].compare(&s.tests[TPOT], c.TPOT)
	}
	return s.decide(c, now)
}

// Judge learns what somebody thinks of an answer, of the canary's or of another
// target's: good enough or not. It reports whether the canary went back or on.
func (s *State) Judge(c *fleet.Canary, own, good bool, now time.Time) bool {
	return s.judge(c, Quality, own, good, now)
}

// Look learns whether an answer passed what answers are looked at for.
func (s *State) Look(c *fleet.Canary, own, passed bool, now time.Time) bool {
	return s.judge(c, Form, own, passed, now)
}

func (s *State) judge(c *fleet.Canary, g Signal, own, good bool, now time.Time) bool {
	if s.Phase != Running || c.Quality <= 0 {
		return false
	}
	r := &s.rates[1+g-Quality]
	if own {
		r.own(!good)
	} else {
		r.other(!good)
	}
	r.compare(&s.tests[g], c.Quality)
	return s.decide(c, now)
}

// decide goes back where a signal says so, and on where the step is over and none
// leans that way.
func (s *State) decide(c *fleet.Canary, now time.Time) bool {
	on := true
	for g, why := range [Signals]string{ByErrors, ByTTFT, ByTPOT, ByQuality, ByForm} {
		switch t := &s.tests[g]; {
		case t.ratio >= reject:
			s.set(RolledBack, 0, why, now)
			return true
		case t.ratio > 0:
			on = false
		}
	}
	switch {
	case !on || s.tests[Errors].n < c.Min || now.Sub(s.Since) < c.Every:
		return false
	case s.Step+1 < len(c.Steps):
		s.set(Running, s.Step+1, "", now)
		return true
	case c.Steps[s.Step] >= 1:
		s.set(Promoted, s.Step, "", now)
		return true
	default:
		return false // an operator has the last word
	}
}

// set begins a step or ends the canary.
func (s *State) set(p Phase, step int, why string, now time.Time) {
	s.Phase, s.Step, s.Why, s.Since = p, step, why, now
	if p == Running {
		s.tests = [Signals]test{}
	}
}

// Promote gives the canary everything, from now on.
func (s *State) Promote(now time.Time) { s.set(Promoted, s.Step, "", now) }

// RollBack gives the canary nothing, from now on.
func (s *State) RollBack(now time.Time) { s.set(RolledBack, 0, ByOperator, now) }

// Restart begins anew with the first step.
func (s *State) Restart(now time.Time) {
	*s = State{rates: s.rates, times: s.times, Since: now}
}

// Row is what a signal says, for people.
type Row struct {
	N, Yes   int     // answers of the canary's in this step, and how many of them were worse
	Others   float64 // of Errors, Quality and Form: the others' rate; of times: the others' median, in seconds
	Evidence float64 // that the canary is worse: 0 none, 1 enough
}

// Row returns what a signal says. A canary that went back keeps what spoke against
// it.
func (s *State) Row(g Signal) Row {
	t := &s.tests[g]
	r := Row{N: t.n, Yes: t.yes, Evidence: max(0, min(t.ratio/reject, 1))}
	switch g {
	case Signals:
	case Errors:
		r.Others = s.rates[0].yes / max(s.rates[0].n, 1)
	case Quality, Form:
		at := &s.rates[1+g-Quality]
		r.Others = at.yes / max(at.n, 1)
	case TTFT, TPOT:
		r.Others = s.times[g-TTFT].median().Seconds()
	}
	return r
}
