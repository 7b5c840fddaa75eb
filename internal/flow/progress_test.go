package flow

import (
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/health"
	"headworks/internal/inference"
	"headworks/internal/tenant"
)

// waits begins a request that waits at a replica of a pool, whose engines are known.
func waits(t *testing.T, stream bool, pools ...int) *rig {
	r := newRig(t, admit.Limits{}, stream, pools...)
	for i := range r.s.Upstreams {
		learnt(r.p, &r.s.Upstreams[i])
	}
	r.req.Input = 1000
	r.want(r.step(Event{Kind: Arrived}), Send)
	return r
}

// peer returns another replica of the pool.
func (r *rig) peer() (other int) {
	for i := range r.s.Upstreams[0].Replicas {
		if r.s.Upstreams[0].Replicas[i].ID != r.t.Replica.ID {
			return i
		}
	}
	r.Fatal("no peer")
	return 0
}

// TestASilentReplicaIsLeft once it was silent for longer than 10 s and than five times
// what was foreseen, if others were not.
func TestASilentReplicaIsLeft(t *testing.T) {
	for name, tt := range map[string]struct {
		input  int
		before func(r *rig, sent time.Time) // what was heard
		moves  bool
	}{
		"a peer answers":       {1000, func(r *rig, sent time.Time) { r.p.Heard(r.s.Upstreams[0].Replicas[r.peer()].ID, sent.Add(time.Second)) }, true},
		"nobody does":          {1000, func(*rig, time.Time) {}, false},
		"it does, for another": {1000, func(r *rig, sent time.Time) { r.p.Heard(r.t.Replica.ID, sent.Add(time.Second)) }, false},
		"the peer did before it was sent": {1000, func(r *rig, sent time.Time) {
			r.p.Heard(r.s.Upstreams[0].Replicas[r.peer()].ID, sent.Add(-time.Second))
		}, false},
	} {
		r := waits(t, true, 2)
		sent, at := r.now, r.t.Replica.ID
		tt.before(r, sent)
		r.want(r.after(9*time.Second, Event{Kind: Quiet}), Read)
		a := r.after(time.Second, Event{Kind: Quiet})
		if !tt.moves {
			if r.want(a, Read); r.p.Health.Of(at, "", r.now).Why != "" || !a.Until.Equal(r.now.Add(5*time.Second)) {
				t.Errorf("%s: %+v, looks again at %v", name, r.p.Health.Of(at, "", r.now), a.Until.Sub(r.now))
			}
			continue
		}
		if r.want(a, Send); a.Replica.ID == at || r.p.Health.Of(at, "", r.now).Why != health.Stuck {
			t.Errorf("%s: sent to %d, %+v", name, a.Replica.ID, r.p.Health.Of(at, "", r.now))
		}
		if got := r.t.Attempts[0]; got.Fault != fault.NoProgress || r.p.Retries() != 0 {
			t.Errorf("%s: %+v, %d retries", name, got, r.p.Retries())
		}
	}
}

// TestALongPromptHasTime: five times what was foreseen may be longer than 10 s; and of
// an engine that is not known, the prompt is thought to be read slowly.
func TestALongPromptHasTime(t *testing.T) {
	for _, tt := range []struct {
		learnt bool
		input  int
		from   time.Duration
		to     time.Duration
	}{
		{true, 1000, 10 * time.Second, 10 * time.Second},
		{true, 50_000, 25 * time.Second, 30 * time.Second}, // 5 s of reading
		{false, 100, 30 * time.Second, 30 * time.Second},
		{false, 6000, 60 * time.Second, 60 * time.Second},
	} {
		r := newRig(t, admit.Limits{}, true, 2)
		if tt.learnt {
			learnt(r.p, &r.s.Upstreams[0])
		}
		r.req.Input = tt.input
		r.want(r.step(Event{Kind: Arrived}), Send)
		if r.t.silence < tt.from || r.t.silence > tt.to {
			t.Errorf("%+v: %v", tt, r.t.silence)
		}
	}
}

// TestWhoCannotLeaveStays: where nobody else can have it, where it left once, and where
// it cannot be sent again, a request waits on as it would have.
func TestWhoCannotLeaveStays(t *testing.T) {
	hear := func(r *rig) { r.p.Heard(r.s.Upstreams[0].Replicas[r.peer()].ID, r.now.Add(time.Second)) }
	r := waits(t, true, 2)
	r.p.Health.Drain(r.s.Upstreams[0].Replicas[r.peer()].ID, time.Time{})
	hear(r)
	r.want(r.after(12*time.Second, Event{Kind: Quiet}), Read)

	r = waits(t, true, 4)
	hear(r)
	r.want(r.after(12*time.Second, Event{Kind: Quiet}), Send)
	at := r.t.Replica.ID
	hear(r)
	r.want(r.after(12*time.Second, Event{Kind: Quiet}), Open)
	if why := r.p.Health.Of(at, "", r.now).Why; why != health.Stuck {
		t.Errorf("it was not put out: %q", why)
	}

	r = waits(t, true, 2)
	hear(r)
	r.want(r.after(12*time.Second, Event{Kind: Quiet, Sent: r.now}), Read)

	r = waits(t, true, 2) // content came
	hear(r)
	r.want(r.step(Event{Kind: Content}), Commit)
	r.want(r.after(12*time.Second, Event{Kind: Quiet, Progress: r.now, Said: r.now, Wrote: r.now}), Read)
}

// TestAWholeAnswerLeavesWhereStreamsFoundOut: it gives no sign by itself, so silence
// says nothing of it.
func TestAWholeAnswerLeavesWhereStreamsFoundOut(t *testing.T) {
	r := waits(t, false, 2)
	at := r.t.Replica.ID
	stream := &Ticket{}
	req := &inference.Request{Model: "assistant", Stream: true, Session: 1, ID: inference.NewID(r.now, 1, 1)}
	r.p.Heard(r.s.Upstreams[0].Replicas[r.peer()].ID, r.now.Add(time.Second))
	r.want(r.after(10*time.Second, Event{Kind: Quiet}), Read)
	for stream.Replica == nil || stream.Replica.ID != at {
		r.p.Begin(stream, req, &tenant.Caller{}, nil)
		req.Session++
		r.want(r.p.Step(stream, Event{Kind: Arrived}, r.s, r.now), Send)
	}
	r.p.Heard(r.s.Upstreams[0].Replicas[r.peer()].ID, r.now.Add(time.Second))
	r.now = r.now.Add(10 * time.Second)
	r.want(r.p.Step(stream, Event{Kind: Quiet}, r.s, r.now), Send)
	if a := r.want(r.step(Event{Kind: Quiet}), Send); a.Replica.ID == at {
		t.Error("it went to the same one")
	}
}
