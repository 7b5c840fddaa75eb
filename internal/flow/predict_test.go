package flow

import (
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/latency"
	"headworks/internal/tenant"
)

// learnt makes what is known of an upstream's engines certain: 10 ms a step, 10,000
// prompt tokens a second, 20 ms of overhead.
func learnt(p *Policy, u *fleet.Upstream) {
	c := p.view(u.Replicas[0].ID, u).of
	for i := range 2 * latency.TrustedSamples {
		kv, prompt := float64(i%7)*1000, float64(i%5)*20
		c.fit.Decoded(latency.Decoded{PerToken: 10*time.Millisecond + time.Duration(prompt/10_000*1e9), KV: kv, Prompt: prompt})
		tokens := float64(1 + i%11*500)
		took := 30*time.Millisecond + time.Duration(tokens/10_000*1e9)
		c.fit.Begun(latency.Begun{Took: took, Predicted: took, Tokens: tokens, Idle: true})
	}
	c.known = c.fit.Constants()
}

// ask begins a stream with a prompt and an objective, and lets it arrive.
func (r *rig) ask(input int, within time.Duration) (*Ticket, Action) {
	r.Helper()
	t := &Ticket{}
	req := &inference.Request{Model: "assistant", Stream: true, Input: input, ID: inference.NewID(r.now, uint16(r.p.Gate.InFlight()), 9)}
	r.p.Begin(t, req, &tenant.Caller{}, nil)
	r.s.Models[0].Aim = tenant.Objective{TTFT: within}
	return t, r.p.Step(t, Event{Kind: Arrived}, r.s, r.now)
}

func (t *Ticket) whyNot(id fleet.ReplicaID) string {
	for _, c := range t.Candidates[:t.Considered] {
		if c.Replica != nil && c.Replica.ID == id {
			return c.WhyNot
		}
	}
	return "not considered"
}

// TestWhoWouldBeLateIsPassedOver: of two replicas the one with fewer requests has more
// to read; with an objective it is passed over, and without one, or before anything is
// learned, it is not.
func TestWhoWouldBeLateIsPassedOver(t *testing.T) {
	for name, tt := range map[string]struct {
		learnt bool
		within time.Duration
		want   fleet.ReplicaID
		whyNot string
	}{
		"no objective":             {true, 0, 0, ""},
		"nothing learned":          {false, time.Second, 0, ""},
		"the objective":            {true, time.Second, 1, Late},
		"one that both keep":       {true, time.Minute, 0, ""},
		"one that nobody can keep": {true, 10 * time.Millisecond, 0, ""},
	} {
		r := newRig(t, admit.Limits{}, true, 2)
		u := &r.s.Upstreams[0]
		u.Schedule = fleet.LeastRequests
		if tt.learnt {
			learnt(r.p, u)
		}
		long, _ := r.ask(20_000, 0) // two seconds of reading
		at := long.Replica.ID
		r.p.take(&Ticket{}, 1-at, Load{Requests: 3})
		got, a := r.ask(100, tt.within)
		r.want(a, Send)
		want := at
		if tt.want == 1 {
			want = 1 - at
		}
		if got.Replica.ID != want || tt.whyNot != "" && got.whyNot(at) != tt.whyNot {
			t.Errorf("%s: went to %d, want %d; the other: %q", name, got.Replica.ID, want, got.whyNot(1-want))
		}
		if tt.learnt != (got.Predicted > 0) {
			t.Errorf("%s: foreseen after %v", name, got.Predicted)
		}
		if later, _ := r.ask(100, 0); later.Replica.ID != at { // marks are of one choice
			t.Errorf("%s: without an objective the next went to %d", name, later.Replica.ID)
		}
	}
}

// TestATargetThatWouldBeLateIsPassedOver where another one may keep the objective, or
// nobody knows that it would not; and where none can, the request is refused if that is
// asked for.
func TestATargetThatWouldBeLateIsPassedOver(t *testing.T) {
	busy := func(t *testing.T, both bool) *rig {
		r := newRig(t, admit.Limits{}, true, 1, 1)
		learnt(r.p, &r.s.Upstreams[0])
		_, a := r.ask(30_000, 0)
		r.want(a, Send)
		if both {
			learnt(r.p, &r.s.Upstreams[1])
			r.p.view(1, &r.s.Upstreams[1]).ahead.Sent(r.now, r.p.known(&r.s.Upstreams[1]), 25_000, 25_000, true)
		}
		return r
	}
	r := busy(t, false)
	got, _ := r.ask(100, time.Second)
	if got.Replica.ID != 1 || got.Candidates[0].WhyNot != Late {
		t.Errorf("went to %d; %+v", got.Replica.ID, got.Candidates[0])
	}

	r = busy(t, true)
	got, a := r.ask(100, time.Second)
	if r.want(a, Send); got.Replica.ID != 0 {
		t.Errorf("where nobody keeps it, it went to %d", got.Replica.ID)
	}
	r = busy(t, true)
	r.s.Models[0].RefuseLate = true
	got, a = r.ask(100, time.Second)
	if a.Kind != Done || a.Fault.Kind != fault.TooLate || got.Left != Late {
		t.Errorf("%v: %v", a.Kind, a.Fault)
	}
	if _, a = r.ask(100, 0); a.Kind != Send {
		t.Errorf("without an objective: %v", a.Fault)
	}
	r = busy(t, false)
	r.s.Models[0].RefuseLate = true
	if _, a = r.ask(100, time.Second); a.Kind != Send {
		t.Errorf("nothing is known of the second: %v", a.Fault)
	}
	if n := r.p.Gate.InFlight(); n != 2 {
		t.Errorf("%d inside", n)
	}
}

// TestSlackFollowsTheObjectiveAndTheRate: 14 s of reading without an objective, 70 % of
// it with one, between 2 and 14 s; at the rate that is learned, or the operator's, or
// the usual one.
func TestSlackFollowsTheObjectiveAndTheRate(t *testing.T) {
	for _, tt := range []struct {
		given  float64
		learnt bool
		ttft   time.Duration
		want   int
	}{
		{0, false, 0, 14 * 15_360},
		{1000, false, 0, 14_000},
		{1000, true, 0, 140_000},
		{1000, false, 10 * time.Second, 7000},
		{1000, false, time.Second, 2000},
		{1000, false, time.Minute, 14_000},
	} {
		r := newRig(t, admit.Limits{}, true, 1)
		u := &r.s.Upstreams[0]
		u.Rate = tt.given
		if tt.learnt {
			learnt(r.p, u)
		}
		got := r.p.slack(&Ticket{Aim: tenant.Objective{TTFT: tt.ttft}}, u)
		if d := got - tt.want; d > tt.want/50 || -d > tt.want/50 {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}

// TestClassesShareWhatIsLearned: two upstreams of one class are one, and a third is not.
func TestClassesShareWhatIsLearned(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 1, 1, 1)
	r.s.Upstreams[0].Class, r.s.Upstreams[1].Class = "h100", "h100"
	learnt(r.p, &r.s.Upstreams[0])
	for i, want := range []bool{true, true, false} {
		k, ok := r.p.Learned(&r.s.Upstreams[i])
		if ok != want || ok && (k.Class != "h100" || !k.Trusted()) {
			t.Errorf("%d: %+v, %v", i, k, ok)
		}
	}
	if k, _ := r.p.Learned(&r.s.Upstreams[2]); k.Class != "up2" {
		t.Errorf("a class of its own is called %q", k.Class)
	}
}

// TestAPreemptedStreamIsSkipped: a silence that the prompts read meanwhile explain is
// none, and one that they do not is.
func TestAPreemptedStreamIsSkipped(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 1)
	u := &r.s.Upstreams[0]
	learnt(r.p, u)
	v := r.p.view(0, u)
	d := latency.Decoded{PerToken: 20 * time.Millisecond, KV: 1000, Prompt: 100} // 100 tokens: a second of reading
	for gap, want := range map[time.Duration]bool{0: false, 2 * time.Second: false, 3 * time.Second: true} {
		if got := v.preempted(d, &Event{Tokens: 101, Gap: gap}); got != want {
			t.Errorf("a silence of %v: %v", gap, got)
		}
	}
}
