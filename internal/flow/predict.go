package flow

import (
	"cmp"
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/latency"
	"headworks/internal/route"
	"headworks/internal/schedule"
)

// class is what is learned of engines that behave alike: those of one upstream, unless
// the configuration says otherwise.
type class struct {
	name  string
	fit   *latency.Fit
	known latency.Constants // of fit, after what it learned last

	took  time.Duration // that answers took which came whole; 0: none did
	each  time.Duration // that they took for a token, prompt and all; 0: not known
	reads float64       // prompt tokens a second, of all that was there before they came; the most, slowly forgotten
}

// view is what is foreseen of one replica.
type view struct {
	of    *class
	ahead latency.Ahead
	late  uint64 // the last choice for which it was predicted to be too late, and others not
}

// Late is why a replica or a target is passed over that could serve.
const Late = "predicted to miss the objective"

// Learned is what was learned of a class of engines.
type Learned struct {
	Class string
	latency.Constants
}

// Learned returns what is known of the engines of an upstream; false before anything
// was sent there.
func (p *Policy) Learned(u *fleet.Upstream) (Learned, bool) {
	name := className(u)
	c := p.classes[name]
	if c == nil {
		return Learned{Class: name}, false
	}
	return Learned{name, c.known}, c.known.Samples+c.known.Firsts > 0
}

// known returns what is known of the engines of an upstream, by way of its first
// replica: that is at hand.
func (p *Policy) known(u *fleet.Upstream) *latency.Constants {
	if len(u.Replicas) == 0 {
		return &latency.Constants{}
	}
	return &p.view(u.Replicas[0].ID, u).of.known
}

// Outstanding is what a replica has of our requests, by how far they are.
type Outstanding struct {
	Waiting int // have no first token yet
	Prompt  int // tokens of theirs that are not read, as far as is known
	Decodes int // are being answered
}

// First returns when a replica would have the first token of a prompt of which so many
// tokens are to be read, if it came now; false where nothing was sent to it.
func (p *Policy) First(id fleet.ReplicaID, tokens int, now time.Time) (time.Duration, bool) {
	if int(id) >= len(p.views) || p.views[id].of == nil {
		return 0, false
	}
	v := &p.views[id]
	return v.ahead.Outlook(now, p.at(id, now)).First(tokens), true
}

// Outstanding returns what a replica has, of chats.
func (p *Policy) Outstanding(id fleet.ReplicaID, now time.Time) (o Outstanding) {
	if int(id) >= len(p.views) || p.views[id].of == nil {
		return o
	}
	v := &p.views[id]
	v.ahead.Roll(now, p.at(id, now))
	waiting, tokens := v.ahead.Waiting()
	return Outstanding{waiting, int(tokens), v.ahead.Decodes()}
}

// view returns what is foreseen of a replica of an upstream.
func (p *Policy) view(id fleet.ReplicaID, u *fleet.Upstream) *view {
	for int(id) >= len(p.views) {
		p.views = append(p.views, view{})
	}
	v := &p.views[id]
	if name := className(u); v.of == nil || v.of.name != name {
		v.of = p.classOf(u, name)
	}
	return v
}

func className(u *fleet.Upstream) string { return cmp.Or(u.Class, u.Name) }

func (p *Policy) classOf(u *fleet.Upstream, name string) *class {
	c := p.classes[name]
	if c == nil {
		c = &class{name: name, fit: latency.NewFit(u.Rate, u.StepTokens)}
		c.known = c.fit.Constants()
		if p.classes == nil {
			p.classes = map[string]*class{}
		}
		p.classes[name] = c
	}
	return c
}

// at returns what is known of the engine of a replica that is in view, at the speed that
// its hardware has now; valid until it is asked of another.
func (p *Policy) at(id fleet.ReplicaID, now time.Time) *latency.Constants {
	known := &p.views[id].of.known
	if s := p.speed(id, now); s < 1 {
		p.slowed = known.At(s)
		return &p.slowed
	}
	return known
}

// predict notes that an attempt goes to a replica, where so many tokens of its prompt
// are to be read. What is no chat has no first token, and another cell is no engine.
func (p *Policy) predict(t *Ticket, u *fleet.Upstream, id fleet.ReplicaID, todo int, now time.Time) {
	t.foreseen, t.Predicted = false, 0
	if t.Request.Dialect.Operation() != inference.Chat || u.Away {
		return
	}
	v := p.view(id, u)
	t.mark = v.ahead.Sent(now, p.at(id, now), todo, t.Request.Input, t.Request.Stream)
	t.foreseen, t.expected = true, t.mark.First()
	if v.of.known.Firsts >= latency.TrustedSamples {
		t.Predicted = t.expected
	}
}

// learnFirst notes the first content of a stream.
func (p *Policy) learnFirst(t *Ticket, now time.Time) {
	if !t.foreseen || t.lastAt == fleet.NoReplica {
		return
	}
	v := &p.views[t.lastAt]
	t.heardAt = now
	b := v.ahead.Began(now, p.at(t.lastAt, now), &t.mark, now.Sub(t.sent), t.expected)
	if t.spent || t.handed || p.speed(t.lastAt, now) < 1 { // it took as long as the client's body, its prompt was read elsewhere, or it is not the engine that is slow
		return
	}
	v.of.fit.Begun(b)
	v.of.known = v.of.fit.Constants()
}

// learnWhole notes that the attempt under way is over. Of a whole stream it learns.
func (p *Policy) learnWhole(t *Ticket, ev *Event, now time.Time) {
	if !t.foreseen || t.lastAt == fleet.NoReplica {
		return
	}
	t.foreseen = false
	v := &p.views[t.lastAt]
	if ev.Kind == Finished && !t.Request.Stream && !t.reading {
		v.of.wholly(t, ev.Tokens, now)
	}
	tokens := 0
	if ev.Kind == Finished && t.Committed {
		tokens = ev.Tokens
	}
	d, ok := v.ahead.Ended(now, p.at(t.lastAt, now), &t.mark, tokens, t.heardAt, ev.Said)
	if !ok || v.preempted(d, ev) || p.speed(t.lastAt, now) < 1 {
		return
	}
	v.of.fit.Decoded(d)
	v.of.known = v.of.fit.Constants()
}

// preempted reports whether a stream was silent for longer than the prompts that were
// read meanwhile explain: then it lost its KV cache and was computed anew, and its time
// per token tells nothing of steps. Who does not know the engine yet cannot tell.
func (v *view) preempted(d latency.Decoded, ev *Event) bool {
	k := &v.of.known
	if ev.Gap == 0 || !k.Trusted() {
		return false
	}
	step := k.Base.Seconds() + k.PerKV*d.KV
	steps := float64(ev.Tokens - 1)
	return ev.Gap.Seconds() > 0.5+2*(step+d.Prompt*steps/k.Rate)
}

// rolled returns how soon the soonest of an upstream's replicas would answer a prompt
// that none holds, of those that are looked at; what is learned of its engines is to be
// trusted.
func (p *Policy) rolled(u *fleet.Upstream, model string, input int, now time.Time) route.Pace {
	soonest := route.Pace{}
	step := (len(u.Replicas) + queueLook - 1) / queueLook
	for i := 0; i < len(u.Replicas); i += max(step, 1) {
		if !p.serves(u.Replicas[i].ID, model, now) {
			continue
		}
		v := p.view(u.Replicas[i].ID, u)
		o := v.ahead.Outlook(now, p.at(u.Replicas[i].ID, now))
		if first := o.First(input); soonest.TTFT == 0 || first < soonest.TTFT {
			soonest = route.Pace{TTFT: first, TPOT: o.Each(), Queued: o.Queued()}
		}
	}
	return soonest
}

// Of how long prompts are read that a warm replica may be behind with: a share of the
// objective for the first token within bounds, of which the longer one holds without an
// objective.
const (
	slackShare = 0.7
	leastSlack = 2 * time.Second
	mostSlack  = 14 * time.Second
)

// slack returns how many prompt tokens a warm replica may be further behind than a
// cold one.
func (p *Policy) slack(t *Ticket, u *fleet.Upstream) int {
	rate := float64(unknownRate)
	if u.Rate > 0 {
		rate = u.Rate
	}
	if k := p.known(u); k.Trusted() {
		rate = k.Rate
	}
	most := mostSlack
	if t.Aim.TTFT > 0 {
		most = min(max(time.Duration(slackShare*float64(t.Aim.TTFT)), leastSlack), mostSlack)
	}
	return int(rate * most.Seconds())
}

// punctual marks the replicas of a pool that are predicted to begin the answer too late:
// the board shows them as not available. The ask is of the pool. Nobody is marked where
// there is no objective, or nothing to be trusted.
func (p *Policy) punctual(t *Ticket, u *fleet.Upstream, ask *schedule.Ask) {
	if !t.Request.Stream || t.Request.Dialect.Operation() != inference.Chat || u.Away || !p.known(u).Trusted() {
		return
	}
	p.round++
	t.board.round = p.round
	left := t.Aim.TTFT - t.board.now.Sub(t.asked())
	for i := range u.Replicas {
		v := p.view(u.Replicas[i].ID, u)
		if v.ahead.Outlook(t.board.now, p.at(u.Replicas[i].ID, t.board.now)).First(ask.Todo(i)) > left {
			v.late = p.round
		}
	}
}

// soonest returns when the first of the available replicas of a pool would begin the
// answer, where all are marked; 0 where none is available, or nobody is marked.
func (p *Policy) soonest(t *Ticket, u *fleet.Upstream, ask *schedule.Ask) (soonest time.Duration) {
	if t.board.round == 0 {
		return 0
	}
	t.board.round = 0
	for i := range u.Replicas {
		id := u.Replicas[i].ID
		if t.board.Standing(&u.Replicas[i]).Why != "" {
			continue
		}
		first := p.views[id].ahead.Outlook(t.board.now, p.at(id, t.board.now)).First(ask.Todo(i))
		if soonest == 0 || first < soonest {
			soonest = first
		}
	}
	return soonest
}

// late refuses a request that nobody would begin to answer in time.
func (p *Policy) late(t *Ticket, soonest time.Duration, now time.Time) Action {
	f := fault.New(fault.TooLate, "no replica of this model is predicted to begin its answer within the objective of "+
		t.Aim.TTFT.String()+": the soonest would after "+soonest.Round(time.Millisecond).String()+"; allow more time, or send it when there is less load")
	t.Left = Late
	return p.done(t, f, now)
}
