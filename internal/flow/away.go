package flow

import (
	"cmp"
	"slices"
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/tenant"
)

// Why another cell is not asked.
const (
	Farther  = "the request came from another cell, and goes no further"
	CellDown = "its cell does not answer"
	CellEnds = "its cell is going away"
	CellFull = "its cell has no room for requests of others"
	CellElse = "its cell does not serve this model now"
	BuiltIn  = "it is built in, and the request came from another cell, which has it itself"
)

// Spill is why another cell is first, though this one could serve.
const Spill = "spill: this cell would miss the objective, and that one is nearer to it"

// Crowded is why a cell is asked that has no room, as far as anybody knows here.
const Crowded = "no cell has room, and this one may have some by now"

// Cell is what a gateway of another cell said last, and how it is reached.
type Cell struct {
	Down   bool // it does not answer
	Ends   bool // it drains
	Room   int  // requests of others that it takes, beside those that it has
	RTT    time.Duration
	Models map[string]time.Duration // that it can serve now, and how soon they answer; 0 is not known

	known bool
	had   int           // requests of ours that it had when it said so
	whole int           // Room, without regard to how long it is back
	near  time.Duration // RTT, as it was when it last changed by much
	lost  time.Time     // since when it does not answer
	back  time.Time     // since when it answers again; zero: it always did
}

// Cell notes what is known of another cell's gateway. One that is back gets as much of
// what it has room for as any replica that is back gets of its share.
func (p *Policy) Cell(id fleet.ReplicaID, c Cell, now time.Time) {
	for int(id) >= len(p.cells) {
		p.cells = append(p.cells, Cell{})
	}
	was := &p.cells[id]
	c.known, c.back, c.lost = true, was.back, was.lost
	c.had, c.whole = p.Load(id).Requests, c.Room
	if c.near = was.near; c.near == 0 || c.RTT > c.near+c.near/shift || c.RTT < c.near-c.near/shift {
		c.near = c.RTT
	}
	if c.Down && !was.Down {
		c.lost = now
	}
	if was.known && was.Down && !c.Down {
		c.back = now
		p.Health.Forget(id, now) // what requests met there is over
	}
	if age, slow := now.Sub(c.back), p.Health.Rules.SlowStart; !c.back.IsZero() && age < slow {
		c.Room = int(float64(c.Room) * max(leastBack, float64(age)/float64(slow)))
	}
	p.cells[id] = c
}

// shift is the part of a round trip by which it has to change, or cells that are as
// far as each other would take turns at being the nearest.
const shift = 16

// leastBack is the least share of its room that a cell gets which is back.
const leastBack = 0.1

// cell returns what is known of a replica that is another cell's gateway.
func (p *Policy) cell(id fleet.ReplicaID) *Cell {
	if int(id) >= len(p.cells) || !p.cells[id].known {
		return nil
	}
	return &p.cells[id]
}

// shut says why another cell's gateway is not asked for a model; empty if it may be.
// Of one that nobody heard of yet nothing is known against it.
func (p *Policy) shut(id fleet.ReplicaID, model string) string {
	c := p.cell(id)
	switch {
	case c == nil:
		return ""
	case c.Down:
		return CellDown
	case c.Ends:
		return CellEnds
	}
	if _, ok := c.Models[model]; !ok {
		return CellElse
	}
	if p.left(id, c.Room) <= 0 {
		return CellFull
	}
	return ""
}

// left returns how many requests another cell's gateway still takes of room, which it
// told of: a request that goes there takes a place until it ends.
func (p *Policy) left(id fleet.ReplicaID, room int) int {
	return room + p.cells[id].had - p.Load(id).Requests
}

// roomy reports whether another cell's gateway has room for a request for a model, be
// it back since a moment only.
func (p *Policy) roomy(id fleet.ReplicaID, model string) bool {
	why := p.shut(id, model)
	return why == "" || why == CellFull && p.left(id, p.cells[id].whole) > 0
}

// glance is how often a request that another cell has looks whether that one is lost.
const glance = 250 * time.Millisecond

// gone reports whether the cell that has a request is lost, and gave no sign of the
// answer since, the last at progress.
func (p *Policy) gone(t *Ticket, progress time.Time) bool {
	c := p.cell(t.Replica.ID)
	return c != nil && c.Down && t.state != committed && progress.Before(c.lost)
}

// away sorts the other cells behind all other targets by how far they are, and puts the
// nearest first where this one would miss the objective. All are left out where the
// request came from a cell. One that cannot be asked now stays: it may be back before
// all others have failed.
func (p *Policy) away(t *Ticket, s *fleet.Snapshot, now time.Time) {
	first := 0
	for first < t.Order.N && !t.Model.Targets[t.Order.Targets[first]].Away {
		first++
	}
	far := t.Order.Targets[first:t.Order.N]
	if t.Caller.Cell != "" {
		p.guest(t, s)
		return
	}
	if len(far) == 0 {
		return
	}
	slices.SortStableFunc(far, func(a, b uint8) int {
		return cmp.Compare(p.distance(t, a, s), p.distance(t, b, s))
	})
	if first == 0 {
		return
	}
	if i := p.spills(t, s, now, far); i >= 0 {
		better := far[i]
		copy(t.Order.Targets[1:first+i+1], t.Order.Targets[:first+i])
		t.Order.Targets[0], t.Order.Why = better, Spill
	}
}

// refuge reports whether another cell may be asked for a request, if only as the last
// resort.
func (p *Policy) refuge(t *Ticket, s *fleet.Snapshot) bool {
	return slices.ContainsFunc(t.Order.Targets[:t.Order.N], func(place uint8) bool {
		if !t.Model.Targets[place].Away {
			return false
		}
		why := p.closed(t, place, s)
		return why == "" || why == CellFull
	})
}

// guest leaves out what does not serve a request that came from another cell: cells, and
// what is built in, which the other one has itself and would have to say so.
func (p *Policy) guest(t *Ticket, s *fleet.Snapshot) {
	for i := t.Order.N - 1; i >= 0; i-- {
		place, why := t.Order.Targets[i], ""
		switch u := &s.Upstreams[t.Model.Targets[place].Upstream]; {
		case u.Away:
			why = Farther
		case builtIn(u):
			why = BuiltIn
		default:
			continue
		}
		if !t.Order.Leave(place, why) { // it is the last one
			t.Order.N, t.Order.Left[place] = 0, why
		}
	}
}

func builtIn(u *fleet.Upstream) bool { return u.Simulated || u.Lexical }

// closed says why no gateway of a target's cell is asked; empty if one may be. That one
// is full goes before all else: it may be asked as the last resort.
func (p *Policy) closed(t *Ticket, place uint8, s *fleet.Snapshot) (why string) {
	target := &t.Model.Targets[place]
	pool := s.Upstreams[target.Upstream].Replicas
	for i := range pool {
		switch one := p.shut(pool[i].ID, target.Model); {
		case one == "":
			return ""
		case why != CellFull:
			why = one
		}
	}
	return why
}

// How far a cell counts as beyond its distance.
const (
	unheard = time.Minute // nobody heard of it
	begins  = 2 * unheard // it is back, and has all that it gets at first
	crowded = 3 * unheard // it has no room
	never   = 4 * unheard // it is not asked
)

// distance returns how far a target's cell is, by its nearest gateway that may be
// asked.
func (p *Policy) distance(t *Ticket, place uint8, s *fleet.Snapshot) time.Duration {
	target := &t.Model.Targets[place]
	least := never
	pool := s.Upstreams[target.Upstream].Replicas
	for i := range pool {
		id := pool[i].ID
		c, why := p.cell(id), p.shut(id, target.Model)
		switch {
		case c == nil:
			least = min(least, unheard)
		case why == "":
			least = min(least, c.near)
		case p.roomy(id, target.Model):
			least = min(least, begins+c.near)
		case why == CellFull:
			least = min(least, crowded+c.near)
		}
	}
	return least
}

// When a request goes to another cell though this one could serve it: once this one
// is foreseen to need more than a share of the objective, and the other less by a
// fifth and by what is worth a hop.
const (
	spillAt    = 0.7
	spillShare = 0.2
	spillLeast = 200 * time.Millisecond
	spillTries = 4 // requests in flight to a gateway of which nobody knows how soon it answers
)

// spills returns in which of other cells a request is better off than here, the first
// of them; -1: in none.
func (p *Policy) spills(t *Ticket, s *fleet.Snapshot, now time.Time, far []uint8) int {
	aim := t.Aim.TTFT
	if aim <= 0 {
		return -1
	}
	here := p.Foresee(&t.Model.Targets[t.Order.Targets[0]], s, t.Request.Input, now).TTFT
	if float64(here) <= spillAt*float64(aim) {
		return -1
	}
	enough := max(time.Duration(spillShare*float64(here)), spillLeast)
	return slices.IndexFunc(far, func(place uint8) bool {
		there, ok := p.there(&t.Model.Targets[place], s, aim, now)
		return ok && here-there >= enough
	})
}

// there returns how soon another cell would answer, round trip and all, if it can be
// asked. Where neither it nor anybody here knows, since it had nothing to do lately, it
// is taken to need as much as it would keep its own requests with, and gets few until
// somebody knows.
func (p *Policy) there(target *fleet.Target, s *fleet.Snapshot, aim time.Duration, now time.Time) (soon time.Duration, ok bool) {
	seen := p.seen(target.ID, now).TTFT // from here, so the round trip is in it
	pool := s.Upstreams[target.Upstream].Replicas
	for i := range pool {
		id := pool[i].ID
		c := p.cell(id)
		if c == nil || p.shut(id, target.Model) != "" {
			continue
		}
		took := seen
		switch told := c.Models[target.Model]; {
		case told > 0:
			took = c.RTT + told
		case seen > 0:
		case p.Load(id).Requests < spillTries:
			took = c.RTT + time.Duration(spillAt*float64(aim))
		default:
			continue
		}
		if !ok || took < soon {
			soon, ok = took, true
		}
	}
	return soon, ok
}

// room is how many more requests the replicas here can take, as last counted.
type room struct {
	at     time.Time
	free   int
	inside int // when it was counted
}

// How room is counted.
const (
	recount = 100 * time.Millisecond
	usual   = 2048 + usualOutput // tokens of a request
)

// Room returns how many more requests this cell could take now, by the KV cache that
// is free at healthy replicas and by the places at the gate; none while requests wait.
// Who comes in takes a place until he leaves, also between two counts.
func (p *Policy) Room(s *fleet.Snapshot, now time.Time) int {
	if age := now.Sub(p.room.at); p.room.at.IsZero() || age < 0 || age >= recount {
		p.room = room{at: now, free: p.count(s, now), inside: p.Gate.InFlight()}
	}
	if p.Gate.Waiting() > 0 {
		return 0
	}
	return max(p.room.free+p.room.inside-p.Gate.InFlight(), 0)
}

func (p *Policy) count(s *fleet.Snapshot, now time.Time) int {
	free := 0
	for i := range s.Upstreams {
		u := &s.Upstreams[i]
		if u.Away {
			continue
		}
		for k := range u.Replicas {
			id := u.Replicas[k].ID
			if p.Health.Of(id, "", now).In() {
				free += max(cmp.Or(p.holds(u, id), unknownKV)-p.InFlight(id).KV-p.Foreign(id, now).KV, 0) / usual
			}
		}
	}
	if limit := p.Gate.Limits.InFlight; limit > 0 {
		free = min(free, limit-p.Gate.InFlight())
	}
	return max(free, 0)
}

// spare is the share of all that must be free for a request of another cell to come
// in, by its class: the dearest come in while there is room at all.
var spare = [...]float64{tenant.Critical: 0, tenant.Standard: .05, tenant.Sheddable: .2, tenant.Batch: .4}

// turnAway returns why a request of another cell does not come in, or nil.
func (p *Policy) turnAway(t *Ticket, s *fleet.Snapshot, now time.Time) *fault.Error {
	free := p.Room(s, now)
	if free > 0 && float64(free) > spare[t.Caller.Tier.Class]*float64(free+p.Gate.InFlight()) {
		return nil
	}
	t.Left = "this cell has no room for requests of others"
	f := p.overloaded(t.Left)
	f.After, f.Status = time.Second, 429 // the other cell asks elsewhere, and holds nothing against this one
	return f
}

// Serves returns whether a model can be served here now, by this cell alone, and how
// soon it answered lately; 0 is not known. Of guests, whom other cells send, less is
// served.
func (p *Policy) Serves(m *fleet.Model, s *fleet.Snapshot, guests bool, now time.Time) (soon time.Duration, ok bool) {
	for i := range m.Targets {
		target := &m.Targets[i]
		u := &s.Upstreams[target.Upstream]
		if u.Away || guests && builtIn(u) {
			continue
		}
		pool := u.Replicas
		for k := range pool {
			if p.Health.Of(pool[k].ID, target.Model, now).In() {
				return p.seen(target.ID, now).TTFT, true
			}
		}
	}
	return 0, false
}
