package flow

import (
	"time"

	"headworks/internal/canary"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/route"
)

// Why a target that is a canary stands where it does, or is left out.
const (
	Trying     = "drawn for the canary"
	NotDrawn   = "a canary, and this request was not drawn for it"
	WentBack   = "a canary that went back"
	EveryoneIn = "a canary that was promoted"
)

// trial is one canary under way. It is the same over reloads that leave it as it is.
type trial struct {
	state      canary.State
	rules      *fleet.Canary
	arm        string // the target's name
	generation uint64 // that it was last seen in
}

// trialOf returns the canary of a model, begun anew where it is another one than
// before. It returns nil to a request of an older generation, which changes nothing
// any more.
func (p *Policy) trialOf(m *fleet.Model, generation uint64) *trial {
	r := p.trials[m.Name]
	switch {
	case r != nil && r.rules == m.Canary:
		return r
	case r != nil && r.generation > generation:
		return nil
	case r == nil || r.rules.Definition != m.Canary.Definition:
		r = &trial{}
		if p.trials == nil {
			p.trials = map[string]*trial{}
		}
		p.trials[m.Name] = r
	}
	r.rules, r.generation, r.arm = m.Canary, generation, m.Targets[m.Canary.Target].Name
	return r
}

// vary lets the target come first that the request's subject is held to, or the
// canary where the request was drawn for it; else the canary is left out.
func (p *Policy) vary(t *Ticket, s *fleet.Snapshot, now time.Time) {
	m := t.Model
	held := m.Sticky != fleet.Loose && m.Policy == fleet.Weighted
	if m.Canary == nil {
		if held && t.Order.N > 1 {
			t.Order.Hold(m, t.subject())
		}
		return
	}
	place := uint8(m.Canary.Target)
	r := p.trialOf(m, s.Generation)
	if r == nil || t.Copy {
		t.Order.Leave(place, NotDrawn)
		return
	}
	draw := float64(t.src.Uint64()>>11) / (1 << 53)
	if m.Sticky != fleet.Loose {
		draw = route.Even(t.subject(), m.Canary.Salt)
	}
	if t.Order.N < 2 {
		return // there is nothing to choose, and nothing to compare with
	}
	in := draw < r.state.Share(m.Canary)
	why := NotDrawn
	if r.state.Phase == canary.RolledBack {
		why = WentBack
	}
	if !in {
		t.Order.Leave(place, why)
	}
	if held && !in {
		t.Order.Hold(m, t.subject())
	}
	switch {
	case r.state.Phase != canary.Running:
		if in && t.Order.Lead(place, EveryoneIn) {
			return
		}
	case !in:
		t.trial = r
	case t.Order.Lead(place, Trying):
		t.trial, t.owed = r, true
	}
}

// own reports whether the last send was to the canary.
func (t *Ticket) own() bool { return int(t.choice) == t.Model.Canary.Target }

// miss tells the canary that it was drawn and could not be sent to: another target
// gets the request.
func (t *Ticket) miss(now time.Time) {
	t.owed = false
	if !t.own() {
		t.trial.state.Observe(t.trial.rules, true, canary.Outcome{Judged: true, Failed: true}, now)
	}
}

// tell tells the canary what came of the attempt that ends now.
func (t *Ticket) tell(f *fault.Error, now time.Time) {
	if t.Target.Away {
		return // its own canary knows
	}
	o := canary.Outcome{Judged: f == nil && !t.unsent || f != nil && blames(f.Kind), Failed: f != nil}
	switch {
	case !t.began.IsZero():
		o.TTFT = t.began.Sub(t.from())
		if f == nil && t.output > 1 {
			o.TPOT = now.Sub(t.began) / time.Duration(t.output-1)
		}
	case t.Request.Stream && f != nil:
		o.TTFT, o.AtMost = now.Sub(t.from()), true
	case f == nil && t.output > 0: // it came whole
		o.TPOT = now.Sub(t.from()) / time.Duration(t.output)
	}
	t.trial.state.Observe(t.trial.rules, t.own(), o, now)
}

// blames reports whether a failure may be the target's. A rejection may: a new target
// can refuse what the others take, and what is the caller's own fault befalls all of
// them alike.
func blames(k fault.Kind) bool {
	switch k {
	case fault.ClientClosed, fault.Draining, fault.Internal, fault.BudgetUnavailable, fault.NoReplica, fault.Overloaded, fault.TooLate:
		return false
	default:
		return true
	}
}

// Judge tells the canary of a model what somebody thinks of an answer of that arm:
// good enough or not. It reports whether there is such a canary under way.
func (p *Policy) Judge(model, arm string, good bool, now time.Time) bool {
	r := p.trials[model]
	if r == nil || r.state.Phase != canary.Running {
		return false
	}
	r.state.Judge(r.rules, arm == r.arm, good, now)
	return true
}

// Watched returns what the answer that comes is looked at for, on behalf of a canary;
// nil where it is not.
func (t *Ticket) Watched() *fleet.Cascade {
	if t.trial == nil || t.Copy || !readable(t.Request) {
		return nil
	}
	return t.trial.rules.Verify
}

// Look tells the canary whether the answer passed.
func (p *Policy) Look(t *Ticket, passed bool, now time.Time) {
	if t.trial != nil && t.Target != nil && !t.Target.Away {
		t.trial.state.Look(t.trial.rules, t.own(), passed, now)
	}
}

// Canary is how the canary of a model stands.
type Canary struct {
	Model, Arm string
	Definition uint64
	Phase      canary.Phase
	Step       int
	Steps      []float64
	Share      float64
	Since      time.Time // when step or phase began; zero: no request came yet
	Why        string    // it went back
	Rows       [canary.Signals]canary.Row
}

// Canaries returns the canaries of a fleet, by the name of their model.
func (p *Policy) Canaries(s *fleet.Snapshot) (all []Canary) {
	for i := range s.Models {
		m := &s.Models[i]
		if m.Canary == nil {
			continue
		}
		r := p.trialOf(m, s.Generation)
		if r == nil {
			continue
		}
		c := Canary{
			Model: m.Name, Arm: r.arm, Definition: m.Canary.Definition, Phase: r.state.Phase, Step: r.state.Step, Steps: m.Canary.Steps,
			Share: r.state.Share(m.Canary), Since: r.state.Since, Why: r.state.Why,
		}
		for g := range canary.Signals {
			c.Rows[g] = r.state.Row(g)
		}
		all = append(all, c)
	}
	return all
}

// Resume takes over how the canary of a model stood, if it still is the same one.
func (p *Policy) Resume(s *fleet.Snapshot, model string, definition uint64, state canary.State) {
	m, ok := s.Model(model)
	if !ok || m.Canary == nil || m.Canary.Definition != definition || state.Phase > canary.Promoted || state.Step < 0 || state.Step >= len(m.Canary.Steps) {
		return
	}
	if r := p.trialOf(m, s.Generation); r != nil {
		r.state = state
	}
}

// Order is what an operator wants of a canary.
type Order uint8

// The orders.
const (
	Promote Order = iota
	RollBack
	Restart
)

// Move does with the canary of a model what an operator wants. It reports whether
// there is one.
func (p *Policy) Move(s *fleet.Snapshot, model string, to Order, now time.Time) bool {
	m, ok := s.Model(model)
	if !ok || m.Canary == nil {
		return false
	}
	r := p.trialOf(m, s.Generation)
	if r == nil {
		return false
	}
	switch to {
	case Promote:
		r.state.Promote(now)
	case RollBack:
		r.state.RollBack(now)
	case Restart:
		r.state.Restart(now)
	}
	return true
}

// subject returns a number for whom the model's targets are drawn for: of what a
// request does not tell, the next wider one stands in.
func (t *Ticket) subject() uint64 {
	r := t.Request
	switch s := t.Model.Sticky; {
	case s == fleet.BySession && r.Session != 0:
		return within(t.Caller.Tenant, r.Session)
	case s <= fleet.ByUser && r.User != 0:
		return within(t.Caller.Tenant, r.User)
	default:
		return within(t.Caller.Tenant, within(t.Caller.KeyID, 1))
	}
}

// within hashes a number into one of a name's own (FNV-1a): the same word of two
// tenants is two subjects.
func within(name string, n uint64) uint64 {
	h := uint64(14695981039346656037) ^ n
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}
