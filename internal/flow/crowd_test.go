package flow

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/tenant"

	"pgregory.net/rapid"
)

// TestCrowd lets many requests live at once over fleets that change, everything
// that can happen to them happening in any order, and checks after each step what
// must hold; in the end that nothing is left behind, and that the same events
// lead to the same actions.
func TestCrowd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCrowd(t)
		t.Repeat(map[string]func(*rapid.T){
			"arrive": several(c.arrive),
			"event":  several(c.event),
			"quiet":  c.quiet,
			"time":   func(t *rapid.T) { c.now = c.now.Add(drawTime(t)) },
			"reload": func(t *rapid.T) { c.fleet = drawFleet(t) },
			"":       c.check,
		})
		c.end(t)
		c.replay(t)
	})
}

// several lets the same happen up to twenty times in a row.
func several(what func(*rapid.T)) func(*rapid.T) {
	return func(t *rapid.T) {
		for range rapid.IntRange(1, 20).Draw(t, "times") {
			what(t)
		}
	}
}

// crowd is a driver of many requests at once, which it keeps for ever.
type crowd struct {
	limits admit.Limits
	p      *Policy
	fleet  *fleet.Snapshot
	keys   []*tenant.Caller
	now    time.Time
	lives  []*life
	steps  []step
}

// life is one request, and what its driver knows of it.
type life struct {
	t         *Ticket
	s         *fleet.Snapshot // the one it began with
	until     time.Time
	progress  time.Time
	spoke     time.Time
	wrote     time.Time
	sent      map[fleet.ReplicaID]bool
	moves     int
	woken     bool
	committed bool
	opened    bool
	done      bool
}

// step is one call of Step, and what came of it.
type step struct {
	life   int
	ev     Event
	now    time.Time
	action string
}

func drawCrowd(t *rapid.T) *crowd {
	c := &crowd{
		limits: admit.Limits{InFlight: rapid.SampledFrom([]int{30, 3, 0}).Draw(t, "in flight"), Queue: rapid.SampledFrom([]int{4, 0}).Draw(t, "queue")},
		fleet:  drawFleet(t),
		now:    start,
	}
	c.p = NewPolicy(c.limits)
	for slot, concurrency := range []int{0, 2, 6} {
		c.keys = append(c.keys, &tenant.Caller{Slot: slot, Tier: tenant.Tier{Concurrency: concurrency, Class: tenant.Class(slot)}})
	}
	return c
}

// drawFleet returns a fleet of up to three pools; a replica has the same ID in all
// fleets that have it.
func drawFleet(t *rapid.T) *fleet.Snapshot {
	const most = 12
	s := &fleet.Snapshot{Replicas: 3 * most}
	for u := range rapid.IntRange(1, 3).Draw(t, "upstreams") {
		up := fleet.Upstream{Name: fmt.Sprint("up", u)}
		for i := range rapid.SampledFrom([]int{2, 3, 1, most}).Draw(t, "replicas") {
			up.Replicas = append(up.Replicas, fleet.Replica{ID: fleet.ReplicaID(u*most + i), Upstream: u})
		}
		up.Adapters = rapid.IntRange(0, 2).Draw(t, "adapters")
		up.Rate = rapid.SampledFrom([]float64{0, 100, 100_000}).Draw(t, "rate")
		s.Upstreams = append(s.Upstreams, up)
	}
	for u := range s.Upstreams { // the last one may read for the others
		if last := len(s.Upstreams); u < last-1 && rapid.Bool().Draw(t, "prefill") {
			s.Upstreams[u].Prefill = last
		}
	}
	bound := rapid.SampledFrom([]time.Duration{0, time.Second, 10 * time.Second, time.Minute})
	m := fleet.Model{
		Name:   "assistant",
		Policy: rapid.SampledFrom([]fleet.Policy{fleet.Ordered, fleet.Weighted}).Draw(t, "policy"),
		Tries:  rapid.IntRange(0, 3).Draw(t, "tries"),
		Timeouts: fleet.Timeouts{
			FirstToken: bound.Draw(t, "first token"), Idle: bound.Draw(t, "idle"), Total: bound.Draw(t, "total"),
			FirstTokenSet: rapid.Bool().Draw(t, "first token set"),
		},
	}
	for range rapid.IntRange(1, 4).Draw(t, "targets") {
		m.Targets = append(m.Targets, fleet.Target{
			Upstream: rapid.IntRange(0, len(s.Upstreams)-1).Draw(t, "upstream"),
			Window:   rapid.SampledFrom([]int{0, 0, 0, 1000}).Draw(t, "window"),
			Adapter:  rapid.SampledFrom([]string{"", "", "a", "b"}).Draw(t, "adapter"),
		})
	}
	s.Models = []fleet.Model{m}
	return s
}

func drawTime(t *rapid.T) time.Duration {
	return time.Duration(rapid.SampledFrom([]int{1, 10, 100, 1000, 5000, 30_000}).Draw(t, "ms")) * time.Millisecond
}

func (c *crowd) arrive(t *rapid.T) {
	l := &life{t: &Ticket{}, s: c.fleet, sent: map[fleet.ReplicaID]bool{}}
	req := &inference.Request{
		ID:      inference.NewID(c.now, 0, uint64(len(c.lives))),
		Model:   rapid.SampledFrom([]string{"assistant", "assistant", "assistant", "assistant", "assistant", "up0/any", "nothing"}).Draw(t, "model"),
		Stream:  rapid.Bool().Draw(t, "stream"),
		Input:   rapid.SampledFrom([]int{10, 10, 10, 2000}).Draw(t, "input"),
		Session: rapid.SampledFrom([]uint64{0, 1, 2}).Draw(t, "session"),
	}
	c.p.Begin(l.t, req, rapid.SampledFrom(c.keys).Draw(t, "key"), nth(len(c.lives)))
	c.lives = append(c.lives, l)
	c.step(t, l, Event{Kind: Arrived})
}

// pick returns a request, mostly one that lives; where none does, one comes.
func (c *crowd) pick(t *rapid.T) *life {
	lives := c.living()
	if len(lives) == 0 {
		c.arrive(t)
		return c.lives[len(c.lives)-1]
	}
	if chance(t, 30, "over") {
		lives = c.lives
	}
	return rapid.SampledFrom(lives).Draw(t, "life")
}

// chance is true once in n times.
func chance(t *rapid.T, n uint64, what string) bool {
	return rapid.Uint64().Draw(t, what)*0x9e3779b97f4a7c15>>32%n == 1
}

func (c *crowd) living() (lives []*life) {
	for _, l := range c.lives {
		if !l.done {
			lives = append(lives, l)
		}
	}
	return lives
}

// event lets something happen to somebody, mostly what may in its state.
func (c *crowd) event(t *rapid.T) {
	l := c.pick(t)
	may := []EventKind{Failed, Failed, Failed, Failed, Failed, Content, Content, Unseen, Finished, Left, Drained}
	if l.t.state == queued {
		if may = []EventKind{Left, Drained}; l.woken {
			may = []EventKind{Entered, Entered, Entered, Entered, Left}
		}
	}
	if l.t.reading {
		may = []EventKind{Failed, Finished, Finished, Left}
	}
	ev := Event{Kind: rapid.SampledFrom(may).Draw(t, "event"), Handed: l.t.reading && rapid.Bool().Draw(t, "handed")}
	if chance(t, 50, "odd") {
		// Entered is left out where nobody woke the request: that a place is free
		// is not for the driver to say.
		ev.Kind = rapid.SampledFrom([]EventKind{Arrived, Content, Unseen, Quiet, Finished, Failed}).Draw(t, "odd event")
	}
	switch ev.Kind {
	case Failed:
		ev.Fault = fault.New(rapid.SampledFrom(kinds()).Draw(t, "kind"), "test")
		ev.Fault.After = time.Duration(rapid.SampledFrom([]int{0, 0, 1, 30}).Draw(t, "after")) * time.Second
	case Quiet:
		ev.Progress, ev.Said, ev.Wrote = l.progress, l.spoke, l.wrote
	}
	c.step(t, l, ev)
}

// kinds are all there are, those more often after which another may do better.
func kinds() []fault.Kind {
	all := fault.Kinds()
	for _, k := range fault.Kinds() {
		if k.Info().Another {
			all = append(all, k, k, k, k)
		}
	}
	return all
}

// quiet lets nothing happen to somebody until the moment that was asked for.
func (c *crowd) quiet(t *rapid.T) {
	l := c.pick(t)
	if l.done || l.until.IsZero() {
		t.Skip("it waits for ever")
	}
	if l.until.After(c.now) {
		c.now = l.until
	}
	if rapid.Bool().Draw(t, "progress without content") {
		l.progress = c.now.Add(-time.Millisecond)
	}
	c.step(t, l, Event{Kind: Quiet, Progress: l.progress, Said: l.spoke, Wrote: l.wrote})
}

// step reports an event, carries out the action and checks what is said of it.
func (c *crowd) step(t *rapid.T, l *life, ev Event) {
	before, from, at := *l.t, l.t.state, l.t.lastAt
	retries, inside := c.p.Retries(), c.p.Gate.InFlight()+c.p.Gate.Waiting()
	a := c.p.Step(l.t, ev, l.s, c.now)
	i := slices.Index(c.lives, l)
	c.steps = append(c.steps, step{i, ev, c.now, show(a)})
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("request %d, %v while %v, got %v: %s", i, ev.Kind, from, show(a), fmt.Sprintf(format, args...))
	}

	if l.done != (a.Kind == Ignore) {
		fail("it is over: %v", l.done)
	}
	if a.Until.Before(c.now) && !a.Until.IsZero() {
		fail("it is to wait until %v, and it is %v", a.Until, c.now)
	}
	if n := c.p.Retries(); n > retries && n > max(c.p.Rules.RetryFloor, inside/5) {
		fail("a second try beyond the budget: %d of %d inside", n, inside)
	}
	l.until = a.Until
	switch a.Kind {
	case Queue:
		if from != fresh {
			fail("it was at the gate before")
		}
	case Send:
		if l.committed {
			fail("the client has content")
		}
		if l.sent[a.Replica.ID] {
			fail("it was there before")
		}
		l.sent[a.Replica.ID] = true
		l.progress, l.spoke = time.Time{}, time.Time{}
		if a.Target != l.t.Target || a.Replica != l.t.Replica || !slices.ContainsFunc(l.s.Upstreams[of(l.s, &a)].Replicas, func(r fleet.Replica) bool { return r.ID == a.Replica.ID }) {
			fail("the replica is not of the target")
		}
		if a.Prefill && (before.alone || before.handed) {
			fail("its prompt was read before")
		}
		if ev.Kind == Failed && before.reading {
			if l.t.retrying != before.retrying || l.t.moved != before.moved {
				fail("whoever cannot read a prompt is no second try")
			}
		} else if ev.Kind == Failed {
			c.again(l, &before, ev.Fault.Kind, at, fail)
		}
	case Commit:
		if l.committed {
			fail("a second time")
		}
		l.committed = true
		l.progress, l.spoke, l.wrote = c.now, c.now, c.now
	case Open:
		if l.opened || l.committed || !l.t.Request.Stream {
			fail("the client has a status, or wants a whole answer")
		}
		l.opened, l.wrote = true, c.now
	case Alive:
		if !l.opened && !l.committed || !l.t.Request.Stream {
			fail("the client has no status yet, or wants a whole answer")
		}
		l.wrote = c.now
	case Read:
		if ev.Kind == Content {
			l.progress, l.spoke, l.wrote = c.now, c.now, c.now
		}
		if ev.Kind == Unseen {
			if l.committed {
				fail("the client has content")
			}
			l.progress, l.spoke = c.now, c.now
		}
	case Done:
		l.done = true
		if (a.Fault == nil) != (ev.Kind == Finished && from != fresh && from != queued && !before.reading) {
			fail("the answer is whole: %v", a.Fault == nil)
		}
		if l.t.Tries == 0 && len(l.sent) > 0 || l.t.Committed != l.committed || l.t.Opened != l.opened {
			fail("the ticket tells another story")
		}
		if a.Wake != nil {
			next := c.lives[a.Wake.Owner.(nth)]
			if next.woken || a.Wake.state != queued || !a.Wake.place.Entered() {
				fail("whoever is woken does not wait, or has no place")
			}
			next.woken = true
		}
	}
}

// of returns the upstream whose replica an action is of: the target's, or the one that
// reads its prompts.
func of(s *fleet.Snapshot, a *Action) int {
	if a.Prefill {
		return s.Upstreams[a.Target.Upstream].Prefill - 1
	}
	return a.Target.Upstream
}

// again checks the reason of another try.
func (c *crowd) again(l *life, before *Ticket, k fault.Kind, at fleet.ReplicaID, fail func(string, ...any)) {
	turnedAway := k == fault.Connect || k == fault.Unsupported || k == fault.UpstreamCapacity || k == fault.UpstreamAuth || k == fault.UpstreamForbidden || k == fault.ContextTooLong
	switch {
	case !k.Info().Another:
		fail("no other try can help")
	case turnedAway:
		if l.t.retrying != before.retrying || l.t.moved != before.moved {
			fail("what was turned away is no second try")
		}
	case l.t.moved && !before.moved:
		if st := c.p.Health.Of(at, "", c.now); st.Why == "" && !st.Probe {
			fail("it left a replica that is not down")
		}
		if l.moves++; l.moves > 1 {
			fail("it left a second replica for free")
		}
	case !l.t.retrying:
		fail("a second try outside of the budget")
	}
}

// check compares what the policy counts with what the requests are at.
func (c *crowd) check(t *rapid.T) {
	load := map[fleet.ReplicaID]Load{}
	retries, inside, waiting := 0, 0, 0
	for i, l := range c.lives {
		if l.t.lastAt != fleet.NoReplica {
			at := load[l.t.lastAt]
			at.Requests++
			at.Prefill += l.t.took.Prefill
			at.KV += l.t.took.KV
			load[l.t.lastAt] = at
			if l.t.took.Requests != 1 || l.t.took.KV <= 0 || l.committed && l.t.took.Prefill != 0 {
				t.Fatalf("request %d takes %+v, committed %v", i, l.t.took, l.committed)
			}
		}
		if l.t.retrying {
			retries++
		}
		switch {
		case l.t.place.Entered():
			if l.t.state == queued && !l.woken {
				t.Fatalf("request %d has a place, and nobody told it", i)
			}
			inside++
		case l.t.state == queued:
			waiting++
		}
		tries := map[*fleet.Target]int{}
		for _, a := range l.t.Attempts[:l.t.Tries] {
			if !a.Free && a.Why != ReadsFor {
				tries[a.Target]++
			}
			if tries[a.Target] > max(l.t.Model.Tries, 1) {
				t.Fatalf("request %d: %d tries on one target", i, tries[a.Target])
			}
		}
		if l.done && (l.t.lastAt != fleet.NoReplica || l.t.retrying || l.t.place.Entered()) {
			t.Fatalf("request %d is over and holds something", i)
		}
	}
	for id := range fleet.ReplicaID(c.fleet.Replicas) {
		if got := c.p.Load(id); got != load[id] {
			t.Fatalf("replica %d: %+v in flight, want %+v", id, got, load[id])
		}
	}
	if c.p.Retries() != retries || c.p.Gate.InFlight() != inside || c.p.Gate.Waiting() != waiting {
		t.Fatalf("%d second tries, %d inside, %d wait; want %d, %d, %d",
			c.p.Retries(), c.p.Gate.InFlight(), c.p.Gate.Waiting(), retries, inside, waiting)
	}
	if c.limits.InFlight > 0 && (inside > c.limits.InFlight || waiting > 0 && inside < c.limits.InFlight) {
		t.Fatalf("%d inside and %d wait, where %d may be inside", inside, waiting, c.limits.InFlight)
	}
}

// end brings every request to its end, each in some way, and sees that nothing is
// counted any more.
func (c *crowd) end(t *rapid.T) {
	for lives := c.living(); len(lives) > 0; lives = c.living() {
		for _, l := range lives {
			kind := rapid.SampledFrom([]EventKind{Finished, Failed, Left, Drained}).Draw(t, "end")
			if l.t.state == queued {
				if kind = Left; l.woken {
					kind = Entered
				}
			}
			c.step(t, l, Event{Kind: kind, Fault: fault.New(fault.Interrupted, "test")})
			c.check(t)
		}
	}
	for id := range fleet.ReplicaID(c.fleet.Replicas) {
		if o := c.p.Outstanding(id, c.now); o != (Outstanding{}) {
			t.Errorf("replica %d: still foreseen %+v", id, o)
		}
		if n := c.p.Load(id); n != (Load{}) {
			t.Fatalf("replica %d has %d in flight for ever", id, n)
		}
	}
	if c.p.Retries() != 0 || c.p.Gate.InFlight() != 0 || c.p.Gate.Waiting() != 0 {
		t.Fatalf("%d second tries, %d inside and %d that wait are left over", c.p.Retries(), c.p.Gate.InFlight(), c.p.Gate.Waiting())
	}
	for _, key := range c.keys { // each has all that it may again
		n := max(key.Tier.Concurrency, 1)
		places := make([]admit.Place[*Ticket], n)
		c.p.Gate.Limits = admit.Limits{}
		for i := range places {
			if v := c.p.Gate.Enter(&places[i], key); v != (admit.Verdict{}) {
				t.Fatalf("the key in slot %d may not have %d requests: %v", key.Slot, n, v.Fault)
			}
		}
		for i := range places {
			c.p.Gate.Leave(&places[i])
		}
	}
}

// replay lets the same happen again.
func (c *crowd) replay(t *rapid.T) {
	p := NewPolicy(c.limits)
	tickets := make([]*Ticket, len(c.lives))
	for i, s := range c.steps {
		l := c.lives[s.life]
		if tickets[s.life] == nil {
			tickets[s.life] = &Ticket{}
			p.Begin(tickets[s.life], l.t.Request, l.t.Caller, nth(s.life))
		}
		if got := show(p.Step(tickets[s.life], s.ev, l.s, s.now)); got != s.action {
			t.Fatalf("step %d: %s, and the first time %s", i, got, s.action)
		}
	}
}

// show writes an action so that two of different runs compare.
func show(a Action) string {
	s := a.Kind.String()
	if a.Kind == Send {
		s += fmt.Sprintf(" to %d of upstream %d, %t, %t", a.Replica.ID, a.Target.Upstream, a.Prefill, a.Handed)
	}
	if !a.Until.IsZero() {
		s += fmt.Sprint(" until ", a.Until.Sub(start))
	}
	if a.Fault != nil {
		s += fmt.Sprintf(" with %v after %v", a.Fault, a.Fault.After)
	}
	if a.Wake != nil {
		s += fmt.Sprint(" and wake ", a.Wake.Owner)
	}
	return s
}

// nth is the driver of a life: its place among all.
type nth int

func (nth) Grant() {}
