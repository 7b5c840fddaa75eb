package flow

import (
	"time"

	"headworks/internal/fleet"
	"headworks/internal/health"
	"headworks/internal/lora"
	"headworks/internal/route"
	"headworks/internal/schedule"
)

// row is what each choice needs of a replica, in 32 bytes: one choice looks at the rows
// of a whole pool. Whoever changes what a row is of changes the row.
type row struct {
	Load           // in flight, of all gateways
	capacity int32 // tokens that its KV cache holds, as it says; 0: it does not
	told     bool  // it told of more that counts: see Foreign and speed
}

// row returns what each choice needs of a replica; valid until the next call.
func (p *Policy) row(id fleet.ReplicaID) *row {
	for int(id) >= len(p.rows) {
		p.rows = append(p.rows, row{})
	}
	return &p.rows[id]
}

// board is what flow knows of the replicas of one target, for one ticket at one
// moment.
type board struct {
	policy *Policy
	ticket *Ticket
	model  string // as the upstream names it
	now    time.Time
	only   uint8 // one more than the locality that counts; 0: all do
	filled bool  // cells that have no room may be asked

	adapter string    // that replicas are asked for; empty: any will do ...
	rank    lora.Rank // ... and the worst that does

	upstream *fleet.Upstream
	round    uint64 // of the views that are marked as late; 0: none is
}

// Standing implements schedule.Board.
func (b *board) Standing(r *fleet.Replica) (st schedule.Standing) {
	if b.chooses() {
		if st.Why = b.bars(r); st.Why != "" {
			return st
		}
	}
	b.stand(r.ID, &st)
	return st
}

// Standings implements schedule.Board.
func (b *board) Standings(pool []fleet.Replica, to []schedule.Standing) {
	chooses := b.chooses()
	for i := range pool {
		if chooses {
			if why := b.bars(&pool[i]); why != "" {
				to[i] = schedule.Standing{Why: why}
				continue
			}
		}
		b.stand(pool[i].ID, &to[i])
	}
}

// chooses reports whether some replicas may be barred.
func (b *board) chooses() bool {
	return b.ticket.Tries > 0 || b.only != 0 || b.upstream.Away || b.ticket.Caller.Residency.Bound
}

// bars returns why a replica is not for this request, however it stands.
func (b *board) bars(r *fleet.Replica) string {
	if !b.ticket.Caller.Residency.Allows(r.Place.Region) {
		return route.Abroad
	}
	if b.only != 0 && r.Locality != b.only-1 {
		return apart
	}
	if b.upstream.Away {
		if why := b.policy.shut(r.ID, b.model); why != "" && !(b.filled && why == CellFull) {
			return why
		}
	}
	for i := range b.ticket.Attempts[:b.ticket.Tries] {
		if a := &b.ticket.Attempts[i]; a.Replica.ID == r.ID && a.Doubt == "" {
			return "failed this request before"
		}
	}
	return ""
}

// stand writes how a replica stands that is not barred.
func (b *board) stand(id fleet.ReplicaID, st *schedule.Standing) {
	p := b.policy
	*st = schedule.Standing{Capacity: b.upstream.KVTokens}
	told := false
	if int(id) < len(p.rows) {
		at := &p.rows[id]
		told = at.told
		st.Load, st.Prefill, st.KV = at.Requests, at.Prefill, at.KV
		if st.Capacity == 0 {
			st.Capacity = int(at.capacity)
		}
	}
	speed := 1.0
	if told {
		f := p.Foreign(id, b.now)
		st.Load, st.Prefill, st.KV = st.Load+f.Requests, st.Prefill+f.Prefill, st.KV+f.KV
		speed = p.speed(id, b.now)
	}
	if b.round > 0 && p.views[id].late == b.round {
		st.Why = Late
		return
	}
	var calm bool
	if st.Weight, calm = p.Health.Calm(id, b.now); !calm {
		h := p.Health.Of(id, b.model, b.now)
		st.Weight, st.Why, st.Resort = h.Weight, h.Why, h.Resort
		switch {
		case b.ticket.Copy && h.Probe:
			st.Why = health.Probing
		case b.ticket.pressed && soft(&h):
			st.Weight, st.Why = 1, ""
		}
	}
	st.Weight *= speed
	if st.Why == "" && b.adapter != "" {
		st.Why = b.unsuited(id)
	}
}
