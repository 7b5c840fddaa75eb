package flow

import (
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
)

// DefaultSearch is how long a search may take where no model says so.
const DefaultSearch = 2 * time.Second

// Degradations of an answer that was to rest on documents, as x-headworks-degraded
// has them.
const (
	Ungrounded = "knowledge" // the documents could not be searched
)

// Grounding is what a request's answer rests on.
type Grounding struct {
	Collections []string
	Required    bool // without them there is no answer
	Named       bool // the caller named them
	Unknown     bool // one of those is not there, or not for him
	Replica     *fleet.Replica
	At          time.Time
	Took        time.Duration
	Passages    int     // that the model gets to read
	Tokens      int     // of them
	Top         float64 // score of the first one
	Whole       bool    // they are all there is
	Carried     bool    // earlier turns helped to find what to search for
	Rewritten   bool    // a model did
	Cost        int64   // micro-USD, of that model; -1: not known
	Degraded    string  // how the search was less than it should be; empty: it was not
	WhyNot      string  // nothing could be searched; empty: it could
}

// Searched reports whether another cell that gets the request has nothing to search for
// it: documents were searched, whatever was found, or the caller said which he wants, and
// that cell is not told. Where the model's could not be searched, the other cell may.
func (t *Ticket) Searched() bool {
	asks := t.Request.Knowledge
	return t.Ground != nil && t.Ground.WhyNot == "" || asks != nil && (asks.None || len(asks.Collections) > 0)
}

// seek begins a search where the model or the caller wants one. False where nobody does,
// and where the cell that sent the request did so.
func (p *Policy) seek(t *Ticket, s *fleet.Snapshot, now time.Time) (Action, bool) {
	if t.Model.Knowledge == nil && t.Request.Knowledge == nil || t.Copy || t.Caller.Searched {
		return Action{}, false
	}
	var asks inference.Knowledge
	if t.Request.Knowledge != nil {
		asks = *t.Request.Knowledge
	}
	k := t.Model.Knowledge
	if asks.None || k == nil && len(asks.Collections) == 0 || t.Request.Dialect.Operation() != inference.Chat {
		return Action{}, false
	}
	g := &Grounding{At: now, Collections: asks.Collections, Required: true, Named: len(asks.Collections) > 0}
	wait := DefaultSearch
	if k != nil {
		if !g.Named {
			g.Collections = k.Collections
		}
		g.Required, wait = k.Required, k.Timeout
		if r := k.Rewriter; r != nil {
			if g.Replica = p.consultant(t, &s.Upstreams[r.Upstream], r.Model, now); g.Replica != nil {
				p.consult(g.Replica)
				g.Cost = -1
			}
		}
	}
	if asks.Mode != inference.ModelMode {
		g.Required = asks.Mode == inference.Required
	}
	t.Ground, t.state = g, seeking
	return Action{Kind: Retrieve, Replica: g.Replica, Until: now.Add(wait)}, true
}

// sought takes what the search came to, and goes on.
func (p *Policy) sought(t *Ticket, ev *Event, s *fleet.Snapshot, now time.Time) Action {
	p.unseek(t)
	g := t.Ground
	g.Took = now.Sub(g.At)
	if said := ev.Ground; said != nil { // the driver tells what it found, and nothing of what was decided
		g.Passages, g.Tokens, g.Top, g.Whole = said.Passages, said.Tokens, said.Top, said.Whole
		g.Carried, g.Rewritten, g.Cost, g.Degraded = said.Carried, said.Rewritten, said.Cost, said.Degraded
	}
	if ev.Fault != nil {
		g.WhyNot = ev.Fault.Kind.String()
		g.Unknown = g.Named && ev.Fault.Kind.Info().Owner == fault.Caller
		// What the caller did wrong he is told, whatever the model says.
		if g.Required || g.Unknown {
			return p.done(t, ev.Fault, now)
		}
		g.Degraded = Ungrounded
	}
	return p.classify(t, s, now)
}

// unseek gives back what the rewriter's replica was counted to have.
func (p *Policy) unseek(t *Ticket) {
	if t.state != seeking {
		return
	}
	if r := t.Ground.Replica; r != nil {
		p.row(r.ID).Requests--
	}
	t.state = fresh
}
