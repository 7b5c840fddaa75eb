package flow

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/route"
	"headworks/internal/tenant"
)

// newTown is a rig of one pool here and cells of other regions, each of one gateway
// that is up and has room.
func newTown(t *testing.T, stream bool, cells int) *rig {
	pools := slices.Repeat([]int{1}, 1+cells)
	r := newRig(t, admit.Limits{InFlight: 100}, stream, pools...)
	for i := range r.s.Upstreams {
		r.s.Models[0].Targets[i].Away = i > 0
		r.s.Upstreams[i].Away = i > 0
		r.s.Models[0].Targets[i].ID = fleet.TargetID(i + 1)
	}
	for i := 1; i <= cells; i++ {
		r.hear(i, Cell{Room: 10, RTT: time.Duration(i) * 50 * time.Millisecond})
	}
	return r
}

// hear lets a cell say something of the one model that there is.
func (r *rig) hear(cell int, c Cell) {
	if c.Models == nil {
		c.Models = map[string]time.Duration{"m": 100 * time.Millisecond}
	}
	r.p.Cell(fleet.ReplicaID(cell), c, r.now)
}

// where returns which target has the request: the one here is 0.
func (r *rig) where(a Action) int {
	r.Helper()
	r.want(a, Send)
	return a.Target.Upstream
}

var refused = Event{Kind: Failed, Fault: fault.New(fault.Connect, "nobody listens")}

// TestAway: a cell is asked where nothing here can serve, the nearest first, and what
// keeps the others away is told.
func TestAway(t *testing.T) {
	up := func(c Cell) Cell { c.Models = map[string]time.Duration{"m": 0}; return c }
	for name, c := range map[string]struct {
		cells []Cell // what each says, in order
		want  int
		why   string // of the first cell
	}{
		"the nearest":      {[]Cell{{Room: 1, RTT: 80 * time.Millisecond}, {Room: 1, RTT: 20 * time.Millisecond}}, 2, "later in order"},
		"down":             {[]Cell{{Room: 1, RTT: 10, Down: true}, {Room: 1, RTT: 20}}, 2, CellDown},
		"drains":           {[]Cell{{Room: 1, RTT: 10, Ends: true}, {Room: 1, RTT: 20}}, 2, CellEnds},
		"full":             {[]Cell{{RTT: 10}, {Room: 1, RTT: 20}}, 2, CellFull},
		"another model":    {[]Cell{{Room: 1, RTT: 10, Models: map[string]time.Duration{"x": 0}}, {Room: 1, RTT: 20}}, 2, CellElse},
		"alike, so in row": {[]Cell{{Room: 1, RTT: 10}, {Room: 1, RTT: 10}}, 1, ""},
	} {
		r := newTown(t, false, len(c.cells))
		for i, said := range c.cells {
			if said.Models == nil {
				said = up(said)
			}
			r.hear(i+1, said)
			r.p.cells[i+1].near = said.RTT
		}
		if at := r.where(r.step(Event{Kind: Arrived})); at != 0 {
			t.Fatalf("%s: it went to %d first", name, at)
		}
		if at := r.where(r.step(refused)); at != c.want {
			t.Errorf("%s: it went to %d, want %d", name, at, c.want)
		}
		why := ""
		for _, k := range r.t.Candidates[:r.t.Considered] {
			if k.Target.Upstream == 1 && !k.Won {
				why = k.WhyNot
			}
		}
		if why != c.why {
			t.Errorf("%s: the first cell was left out since %q, want %q", name, why, c.why)
		}
	}
}

// TestOnce: a request that came from a cell goes to none, whatever happens.
func TestOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newTown(t, rapid.Bool().Draw(rt, "stream"), 3)
		r.t.Caller = &tenant.Caller{Cell: "us"}
		r.s.Models[0].Aim.TTFT = time.Duration(rapid.IntRange(0, 1000).Draw(rt, "objective")) * time.Millisecond
		a := r.step(Event{Kind: Arrived})
		for range 10 {
			if a.Kind == Send && a.Target.Away {
				rt.Fatalf("it went on to %d", a.Target.Upstream)
			}
			if a.Kind == Done {
				if a.Fault == nil {
					rt.Fatal("it is whole")
				}
				return
			}
			kinds := []fault.Kind{fault.Connect, fault.Interrupted, fault.UpstreamCapacity, fault.Malformed, fault.FirstTokenTimeout}
			a = r.after(time.Millisecond, Event{Kind: Failed, Fault: fault.New(rapid.SampledFrom(kinds).Draw(rt, "fault"), "it failed")})
		}
		rt.Fatal("it does not end")
	})
	r := newTown(t, false, 1)
	r.s.Upstreams[0].Simulated = true
	r.t.Caller = &tenant.Caller{Cell: "us"}
	r.wantFault(r.step(Event{Kind: Arrived}), fault.NoReplica)
	if r.t.Order.Left[0] != BuiltIn {
		t.Errorf("a simulated model was left out since %q", r.t.Order.Left[0])
	}
	r = newTown(t, false, 1)
	r.s.Models[0].Targets[0].Window = 10
	r.req.Input = 100
	r.t.Caller = &tenant.Caller{Cell: "us"}
	r.wantFault(r.step(Event{Kind: Arrived}), fault.NoReplica)
	if !slices.Contains(r.t.Order.Left[:], Farther) {
		t.Errorf("the cells were left out since %q", r.t.Order.Left[:2])
	}
}

// TestLost: a request that a cell has goes elsewhere once the cell is lost, beyond the
// retry budget, unless it gave a sign since or its answer began.
func TestLost(t *testing.T) {
	for name, c := range map[string]struct {
		stream bool
		sign   time.Duration // after the cell was lost; 0: none ever
		moved  bool
	}{
		"whole":           {false, 0, true},
		"stream":          {true, 0, true},
		"signs of life":   {true, time.Millisecond, false},
		"a sign long ago": {true, -time.Second, true},
	} {
		r := newTown(t, c.stream, 2)
		r.p.Rules.RetryFloor, r.p.Rules.RetryShare = 0, 0
		r.step(Event{Kind: Arrived})
		a := r.step(refused)
		if at := r.where(a); at != 1 {
			t.Fatalf("%s: it went to %d", name, at)
		}
		if until := a.Until.Sub(r.now); until <= 0 || until > glance {
			t.Errorf("%s: it looks again after %v", name, until)
		}
		if a = r.after(time.Second, Event{Kind: Quiet}); a.Kind != Read {
			t.Fatalf("%s: %v while the cell is up", name, a.Kind)
		}
		r.hear(1, Cell{Down: true})
		lost := r.now
		r.hear(1, Cell{Down: true}) // said again it is lost no later
		ev := Event{Kind: Quiet}
		if c.sign != 0 {
			ev.Progress = lost.Add(c.sign)
		}
		a = r.after(glance, ev)
		switch {
		case c.moved && r.where(a) != 2:
			t.Errorf("%s: it went to %d", name, a.Target.Upstream)
		case !c.moved:
			r.want(a, Read)
		}
	}
	r := newTown(t, true, 2)
	r.step(Event{Kind: Arrived})
	r.step(refused)
	r.want(r.step(Event{Kind: Content}), Commit)
	r.hear(1, Cell{Down: true})
	now := r.now
	if a := r.after(time.Second, Event{Kind: Quiet, Progress: now, Said: now, Wrote: now}); a.Kind != Read {
		t.Errorf("an answer that began: %v", a.Kind)
	}
	r.wantFault(r.after(time.Minute, Event{Kind: Quiet, Progress: now, Said: now, Wrote: now}), fault.Stalled)
}

// TestRefuge: when the engines here are lost their requests go to a cell, beyond the
// retry budget, and each once.
func TestRefuge(t *testing.T) {
	interrupted := Event{Kind: Failed, Fault: fault.New(fault.Interrupted, "the connection broke off")}
	r := newTown(t, false, 2)
	r.p.Rules.RetryFloor, r.p.Rules.RetryShare = 0, 0
	r.s.Models[0].Tries = 1
	r.step(Event{Kind: Arrived})
	if at := r.where(r.step(interrupted)); at != 1 {
		t.Errorf("it went to %d", at)
	}
	r.want(r.step(interrupted), Done)
	r = newTown(t, false, 1)
	r.p.Rules.RetryFloor, r.p.Rules.RetryShare = 0, 0
	r.hear(1, Cell{Down: true})
	r.step(Event{Kind: Arrived})
	r.want(r.step(interrupted), Done)
}

// TestSpill: a request goes to a cell first where this one would miss the objective
// and that one is sooner by enough.
func TestSpill(t *testing.T) {
	for name, c := range map[string]struct {
		aim, here, there, trip time.Duration
		spills                 bool
	}{
		"no objective":    {0, 10 * time.Second, time.Millisecond, time.Millisecond, false},
		"it is met":       {time.Second, 600 * time.Millisecond, time.Millisecond, time.Millisecond, false},
		"sooner there":    {time.Second, 2 * time.Second, 500 * time.Millisecond, 80 * time.Millisecond, true},
		"too far":         {time.Second, 2 * time.Second, 500 * time.Millisecond, 1400 * time.Millisecond, false},
		"hardly sooner":   {200 * time.Millisecond, 400 * time.Millisecond, 210 * time.Millisecond, time.Millisecond, false},
		"not known there": {time.Second, 2 * time.Second, 0, time.Millisecond, true},
		"nor worth it":    {time.Second, 800 * time.Millisecond, 0, time.Millisecond, false},
	} {
		r := newTown(t, true, 1)
		r.s.Models[0].Aim.TTFT = c.aim
		r.hear(1, Cell{Room: 5, RTT: c.trip, Models: map[string]time.Duration{"m": c.there}})
		r.see(c.here)
		at := r.where(r.step(Event{Kind: Arrived}))
		if (at == 1) != c.spills {
			t.Errorf("%s: it went to %d", name, at)
		}
		if c.spills && r.t.Why != Spill {
			t.Errorf("%s: since %q", name, r.t.Why)
		}
	}
}

// TestSpillOn: all cells are looked at for one that is better, and one that knows not how
// soon it answers gets few requests until that is known.
func TestSpillOn(t *testing.T) {
	soon, unknown := 100*time.Millisecond, time.Duration(0)
	for name, c := range map[string]struct {
		cells []time.Duration // what each says of itself, in order of distance
		want  int
	}{
		"the nearest":               {[]time.Duration{soon, soon}, 1},
		"the nearest is no better":  {[]time.Duration{3 * time.Second, soon}, 2},
		"the nearest knows nothing": {[]time.Duration{unknown, soon}, 1},
		"only the last is better":   {[]time.Duration{3 * time.Second, 3 * time.Second, unknown}, 3},
		"none is better":            {[]time.Duration{3 * time.Second, 3 * time.Second}, 0},
	} {
		r := newTown(t, true, len(c.cells))
		r.s.Models[0].Aim.TTFT = time.Second
		for i, there := range c.cells {
			r.hear(i+1, Cell{Room: 5, RTT: time.Duration(i+1) * 10 * time.Millisecond, Models: map[string]time.Duration{"m": there}})
		}
		r.see(2500 * time.Millisecond)
		if at := r.where(r.step(Event{Kind: Arrived})); at != c.want {
			t.Errorf("%s: it went to %d, want %d", name, at, c.want)
		}
	}
	r := newTown(t, true, 1)
	r.p.Gate.Limits.InFlight = 100
	r.s.Models[0].Aim.TTFT = time.Second
	r.hear(1, Cell{Room: 50, RTT: 10 * time.Millisecond, Models: map[string]time.Duration{"m": unknown}})
	r.see(2500 * time.Millisecond)
	went := func(n int) (away int) {
		for range n {
			r.t = r.begin(true)
			away += r.where(r.step(Event{Kind: Arrived}))
		}
		return away
	}
	if away := went(10); away != spillTries {
		t.Errorf("%d of 10 went to a cell that knows nothing, want %d", away, spillTries)
	}
	r.t = r.begin(true)
	r.hear(1, Cell{Room: 50, RTT: 10 * time.Millisecond, Models: map[string]time.Duration{"m": soon}})
	if away := went(10); away != 10 {
		t.Errorf("%d of 10 went to it once it knew", away)
	}
}

// TestPlaces: a cell has room for what it said, less what is there more than then,
// whatever became of the requests in between; at the end all of it is free.
func TestPlaces(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newTown(t, true, 2)
		r.p.Health.Rules.SlowStart = 0
		r.s.Upstreams[0].Replicas = nil // all go away
		said, had := [3]int{0, 10, 10}, [3]int{}
		var there []*Ticket
		count := func(cell int) (n int) {
			for _, ticket := range there {
				if ticket.state != ended && ticket.Target.Upstream == cell {
					n++
				}
			}
			return n
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0, 1:
				r.t = r.begin(true)
				if a := r.step(Event{Kind: Arrived}); a.Kind == Send {
					there = append(there, r.t)
				}
			case 2:
				if len(there) == 0 {
					continue
				}
				r.t = there[rapid.IntRange(0, len(there)-1).Draw(rt, "which")]
				kinds := []Event{
					{Kind: Left},
					{Kind: Drained},
					{Kind: Content},
					{Kind: Finished, Tokens: 1},
					{Kind: Failed, Fault: fault.New(fault.Interrupted, "it broke off")},
					{Kind: Failed, Fault: fault.New(fault.UpstreamCapacity, "it is full")},
					{Kind: Failed, Fault: fault.New(fault.FirstTokenTimeout, "it is slow")},
				}
				r.step(rapid.SampledFrom(kinds).Draw(rt, "event"))
			case 3:
				cell := rapid.IntRange(1, 2).Draw(rt, "cell")
				said[cell], had[cell] = rapid.IntRange(0, 10).Draw(rt, "room"), count(cell)
				r.hear(cell, Cell{Room: said[cell], RTT: time.Duration(cell) * time.Millisecond})
			}
			for cell := 1; cell <= 2; cell++ {
				if got, want := r.p.left(fleet.ReplicaID(cell), r.p.cells[cell].Room), said[cell]+had[cell]-count(cell); got != want {
					rt.Fatalf("cell %d has room for %d, want %d", cell, got, want)
				}
			}
		}
		for _, r.t = range there {
			r.step(Event{Kind: Left})
		}
		for cell := 1; cell <= 2; cell++ {
			if l := r.p.Load(fleet.ReplicaID(cell)); l != (Load{}) {
				rt.Fatalf("cell %d still has %+v", cell, l)
			}
		}
	})
}

// TestOneAfterAnother: room for one is enough for any number, one after the other, at
// either end.
func TestOneAfterAnother(t *testing.T) {
	r := newTown(t, false, 1)
	r.hear(1, Cell{Room: 1, RTT: time.Millisecond})
	r.s.Upstreams[0].Replicas = nil
	for range 100 {
		r.t = r.begin(false)
		a := r.step(Event{Kind: Arrived})
		if r.where(a) != 1 || r.t.Attempts[0].Why == Crowded {
			t.Fatalf("it went to %d since %q", a.Target.Upstream, r.t.Attempts[0].Why)
		}
		r.want(r.step(Event{Kind: Finished, Tokens: 1}), Done)
	}
	r = newTown(t, false, 0)
	r.p.Gate.Limits.InFlight = 1
	for range 100 {
		r.t = r.begin(false)
		r.t.Caller = &tenant.Caller{Cell: "us", Tier: tenant.Tier{Class: tenant.Critical}}
		r.where(r.step(Event{Kind: Arrived}))
		if n := r.p.Room(r.s, r.now); n != 0 {
			t.Fatalf("room for %d while one is in the only place", n)
		}
		r.want(r.step(Event{Kind: Finished, Tokens: 1}), Done)
	}
}

// TestCrowded: where nothing else is left a cell is asked that has no room as far as
// anybody knows here: first one that begins again, then the nearest.
func TestCrowded(t *testing.T) {
	full, back := Cell{}, Cell{Room: 5}
	for name, c := range map[string]struct {
		cells []Cell // in order of distance; those with room came back a moment ago
		here  bool   // something here serves
		want  []int  // who is asked, one after the other
	}{
		"something here":           {[]Cell{full, full}, true, []int{0, 1, 2}},
		"the nearest of full ones": {[]Cell{full, full}, false, []int{1, 2}},
		"one that begins again":    {[]Cell{full, back}, false, []int{2, 1}},
		"one that is down":         {[]Cell{{Down: true}, full}, false, []int{2}},
		"one of another model":     {[]Cell{{Models: map[string]time.Duration{"x": 0}}, full}, false, []int{2}},
	} {
		r := newTown(t, false, len(c.cells))
		for i, said := range c.cells {
			if said.Room > 0 {
				r.hear(i+1, Cell{Down: true})
			}
			said.RTT = time.Duration(i+1) * 10 * time.Millisecond
			r.hear(i+1, said)
			r.p.cells[i+1].Room = 0 // of one that begins again, all that it gets at first is taken
		}
		if !c.here {
			r.s.Upstreams[0].Replicas = nil
		}
		a := r.step(Event{Kind: Arrived})
		for i, want := range c.want {
			if at := r.where(a); at != want {
				t.Errorf("%s: it went to %d, want %d", name, at, want)
				break
			}
			if why := r.t.Attempts[i].Why; want > 0 && why != Crowded {
				t.Errorf("%s: it was asked since %q", name, why)
			}
			ev := Event{Kind: Failed, Fault: fault.New(fault.UpstreamCapacity, "it is full")}
			if want == 0 {
				ev = refused
			}
			a = r.step(ev)
		}
		if a.Kind != Done {
			t.Errorf("%s: in the end %v", name, a.Kind)
		}
	}
}

// TestTurnedAway: a cell that turns a request away gets the next one all the same, and
// the caller is told when to come again.
func TestTurnedAway(t *testing.T) {
	r := newTown(t, false, 1)
	r.s.Upstreams[0].Replicas = nil
	for range 20 {
		r.t = r.begin(false)
		if at := r.where(r.step(Event{Kind: Arrived})); at != 1 {
			t.Fatalf("it went to %d", at)
		}
		f := fault.New(fault.UpstreamCapacity, "it has no room")
		f.After = time.Second
		a := r.step(Event{Kind: Failed, Fault: f})
		r.wantFault(a, fault.UpstreamCapacity)
		if a.Fault.After != time.Second {
			t.Fatalf("the caller shall come again after %v", a.Fault.After)
		}
	}
}

// TestBackAlone: when the cell that served is lost, its requests go to the one that is
// left, however short a time that one is back for, and none ends.
func TestBackAlone(t *testing.T) {
	r := newTown(t, false, 2)
	r.s.Upstreams[0].Replicas = nil
	r.hear(2, Cell{Down: true})
	r.hear(2, Cell{Room: 20, RTT: 100 * time.Millisecond}) // gets 2 at first
	var all []*Ticket
	for range 8 {
		r.t = r.begin(false)
		if at := r.where(r.step(Event{Kind: Arrived})); at != 1 {
			t.Fatalf("it went to %d", at)
		}
		all = append(all, r.t)
	}
	r.hear(1, Cell{Down: true})
	for i, ticket := range all {
		r.t = ticket
		fault := fault.New(fault.Interrupted, "the connection broke off")
		if at := r.where(r.step(Event{Kind: Failed, Fault: fault})); at != 2 {
			t.Errorf("request %d went to %d", i, at)
		}
	}
}

// see lets the target here be seen to take so long to a first word.
func (r *rig) see(ttft time.Duration) {
	before := r.t
	for range 30 {
		r.t = r.begin(true)
		r.p.Gate.Limits.InFlight = 100
		aim := r.s.Models[0].Aim
		r.s.Models[0].Aim = tenant.Objective{}
		r.where(r.step(Event{Kind: Arrived}))
		r.after(ttft, Event{Kind: Content})
		r.after(time.Millisecond, Event{Kind: Finished, Tokens: 1})
		r.s.Models[0].Aim = aim
	}
	r.t = before
	r.t.arrived = r.now
}

// TestRoom: what others are told of is what is free, they come in by their class while
// there is so much, and a cell that is back gets little of it at first.
func TestRoom(t *testing.T) {
	r := newTown(t, false, 1)
	r.p.Gate.Limits.InFlight = 40
	if n := r.p.Room(r.s, r.now); n != 40 {
		t.Errorf("room for %d in an empty cell of 40 places", n)
	}
	for range 30 {
		r.where(r.p.Step(r.begin(false), Event{Kind: Arrived}, r.s, r.now))
	}
	r.now = r.now.Add(time.Second)
	if n := r.p.Room(r.s, r.now); n != 10 {
		t.Errorf("room for %d where 30 of 40 places are taken", n)
	}
	enters := func(class tenant.Class) bool {
		t := r.begin(false)
		t.Caller = &tenant.Caller{Cell: "us", Tier: tenant.Tier{Class: class}}
		a := r.p.Step(t, Event{Kind: Arrived}, r.s, r.now)
		if a.Kind == Done && (a.Fault.Kind != fault.Overloaded || a.Fault.HTTPStatus() != 429) {
			r.Errorf("%v is told %v, %d", class, a.Fault.Kind, a.Fault.HTTPStatus())
		}
		return a.Kind == Send
	}
	for _, c := range []struct {
		class tenant.Class
		want  bool
	}{{tenant.Batch, false}, {tenant.Sheddable, true}, {tenant.Standard, true}} {
		if got := enters(c.class); got != c.want {
			t.Errorf("%v comes in: %v", c.class, got)
		}
	}
	for range 8 {
		if !enters(tenant.Critical) {
			t.Error("critical does not come in while there is room")
		}
	}
	if enters(tenant.Critical) {
		t.Error("critical comes in where there is no room")
	}
	r.hear(1, Cell{Down: true})
	r.hear(1, Cell{Room: 100})
	slow := r.p.Health.Rules.SlowStart
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 10}, {slow / 2, 50}, {slow, 100}} {
		r.p.Cell(1, Cell{Room: 100}, r.now.Add(c.after))
		if got := r.p.cell(1).Room; got != c.want {
			t.Errorf("%v after it is back it gets %d of 100", c.after, got)
		}
	}
}

// TestServes: a model is served while a replica here is in, and cells do not count.
func TestServes(t *testing.T) {
	r := newTown(t, false, 1)
	m := &r.s.Models[0]
	if _, ok := r.p.Serves(m, r.s, true, r.now); !ok {
		t.Error("it is not served where all is well")
	}
	r.s.Upstreams[0].Lexical = true
	if _, ok := r.p.Serves(m, r.s, true, r.now); ok {
		t.Error("what is built in serves guests")
	}
	if _, ok := r.p.Serves(m, r.s, false, r.now); !ok {
		t.Error("what is built in serves nobody")
	}
	r.s.Upstreams[0].Lexical = false
	r.step(Event{Kind: Arrived})
	r.step(refused)
	if _, ok := r.p.Serves(m, r.s, true, r.now); ok {
		t.Error("it is served where no replica is in")
	}
}

// TestNear: the order of cells does not change with every round trip.
func TestNear(t *testing.T) {
	r := newTown(t, false, 1)
	for _, c := range []struct{ rtt, want int }{{500, 500}, {520, 500}, {480, 500}, {540, 540}, {510, 540}, {20, 20}} {
		r.hear(1, Cell{Room: 1, RTT: time.Duration(c.rtt) * time.Millisecond})
		if got := r.p.cell(1).near; got != time.Duration(c.want)*time.Millisecond {
			t.Errorf("after %d ms it counts as %v away", c.rtt, got)
		}
	}
}

// TestCellResidency: a cell outside the caller's regions is never asked.
func TestCellResidency(t *testing.T) {
	r := newTown(t, false, 2)
	locate(r.s, "eu", "us", "ap")
	r.stays("eu", "ap")
	if at := r.where(r.step(Event{Kind: Arrived})); at != 0 {
		t.Fatalf("it went to %d", at)
	}
	if at := r.where(r.step(refused)); at != 2 {
		t.Errorf("it went to %d", at)
	}
	if r.t.Order.Left[1] != route.Abroad {
		t.Errorf("the other cell was left out since %q", r.t.Order.Left[1])
	}
}
