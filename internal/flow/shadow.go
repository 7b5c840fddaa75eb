package flow

import (
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
)

// staysHere is why a copy does not go to another cell.
const staysHere = "in another cell: copies stay in theirs"

// shadowed reports whether a copy of the request is to go to its model's shadow. What
// the caller wants nobody to keep goes to nobody else either, and what comes from
// another cell is copied there.
func shadowed(t *Ticket) bool {
	r := t.Request
	if t.Model.Shadow == nil || t.Model.Asked || t.Caller.Cell != "" || r.NoStore || r.Opaque || r.Dialect.Operation() != inference.Chat {
		return false
	}
	return float64(t.src.Uint64()>>11)/(1<<53) < t.Model.Shadow.Share
}

// copy sends a copy of a request. It takes no place at the gate, since whoever makes
// copies bounds them; while callers wait there it is not sent at all. It is sent once,
// teaches health nothing, and finds out about nobody: what callers meet does not
// depend on it.
func (p *Policy) copy(t *Ticket, s *fleet.Snapshot, now time.Time) Action {
	if p.Gate.Waiting() > 0 {
		return p.done(t, fault.New(fault.Overloaded, "callers wait for a place"), now)
	}
	return p.send(t, s, now)
}
