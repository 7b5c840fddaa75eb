package flow

import (
	"time"

	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/route"
)

// Why a classifier gave no verdict.
const (
	NoVerdict  = "it gave no verdict"
	TooSlow    = "it took too long"
	Resting    = "it failed before, and rests"
	NobodyThen = "no replica of it is available"
)

// Class is what a classifier said of a request.
type Class struct {
	Replica *fleet.Replica // that was asked; nil: none
	At      time.Time
	Took    time.Duration
	Verdict inference.Verdict
	Label   string // of the configuration
	WhyNot  string // there is no verdict
	Cached  bool   // the verdict is that of the same text a little earlier
	Cost    int64  // micro-USD; -1: not known
}

// How long a classifier rests that failed so many times in a row.
const (
	tolerated = 3
	restFirst = 5 * time.Second
	restMost  = time.Minute
)

// doctor is what is known of a classifier.
type doctor struct {
	failed int // in a row
	rests  time.Time
}

// enter begins the work on a request that has its place: its documents are searched
// where it has any, a classifier is asked where its word counts, then the first target.
func (p *Policy) enter(t *Ticket, s *fleet.Snapshot, now time.Time) Action {
	if a, ok := p.seek(t, s, now); ok {
		return a
	}
	return p.classify(t, s, now)
}

// classify asks a classifier where its word counts, else the first target.
func (p *Policy) classify(t *Ticket, s *fleet.Snapshot, now time.Time) Action {
	c := t.Model.Classifier
	if c == nil || t.Copy || !route.Weighs(t.Model, t.Request) {
		return p.send(t, s, now)
	}
	t.Class.Cost = -1
	if d := p.doctors[t.Model.Name]; d != nil && now.Before(d.rests) {
		t.Class.WhyNot = Resting
		return p.send(t, s, now)
	}
	r := p.consultant(t, &s.Upstreams[c.Upstream], c.Model, now)
	if r == nil {
		t.Class.WhyNot = NobodyThen
		return p.send(t, s, now)
	}
	p.consult(r)
	t.state, t.Class.Replica, t.Class.At = asking, r, now
	return Action{Kind: Classify, Replica: r, Until: now.Add(c.Timeout)}
}

// consultant returns the replica of a classifier with the fewest requests that may see
// the request; nil where there is none.
func (p *Policy) consultant(t *Ticket, u *fleet.Upstream, model string, now time.Time) (best *fleet.Replica) {
	least := 0
	for i := range u.Replicas {
		r := &u.Replicas[i]
		if !t.Caller.Residency.Allows(r.Place.Region) || !p.Health.Of(r.ID, model, now).In() {
			continue
		}
		if n := p.InFlight(r.ID).Requests; best == nil || n < least {
			best, least = r, n
		}
	}
	return best
}

// classified takes a classifier's word, or none: no request fails of it.
func (p *Policy) classified(t *Ticket, ev *Event, s *fleet.Snapshot, now time.Time) Action {
	p.dismiss(t)
	c := &t.Class
	c.Took = now.Sub(c.At)
	if said := ev.Class; said != nil {
		c.Verdict, c.Label, c.WhyNot, c.Cached, c.Cost = said.Verdict, said.Label, said.WhyNot, said.Cached, said.Cost
	}
	t.Request.Verdict = c.Verdict
	if c.Cached {
		return p.send(t, s, now)
	}
	if !c.Verdict.Known && c.WhyNot == "" {
		c.WhyNot = NoVerdict
	}
	p.examine(t.Model.Name, c.Verdict.Known, now)
	return p.send(t, s, now)
}

// consult counts a request more at a replica that is asked about another one.
func (p *Policy) consult(r *fleet.Replica) {
	p.row(r.ID).Requests++
}

// examine learns from what a classifier or a judge came to.
func (p *Policy) examine(name string, well bool, now time.Time) {
	d := p.doctors[name]
	switch {
	case well && d != nil:
		*d = doctor{}
	case !well:
		if d == nil {
			d = &doctor{}
			if p.doctors == nil {
				p.doctors = map[string]*doctor{}
			}
			p.doctors[name] = d
		}
		if d.failed++; d.failed >= tolerated {
			d.rests = now.Add(min(restFirst<<min(d.failed-tolerated, 10), restMost))
		}
	}
}

// dismiss gives back what the classifier's replica was counted to have.
func (p *Policy) dismiss(t *Ticket) {
	if t.state == asking {
		p.row(t.Class.Replica.ID).Requests--
		t.state = fresh
	}
}
