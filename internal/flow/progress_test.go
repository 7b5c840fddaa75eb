package flow

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
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

// silentPool begins requests for whole answers that all wait at one replica of a pool of
// three, and returns them, with that replica.
func silentPool(t *testing.T, requests int) (r *rig, all []*Ticket, at int) {
	r = newRig(t, admit.Limits{}, false, 3)
	for i := range 200 { // 4 s each, of 100 tokens
		tk := r.whole(0)
		tk.sent = r.now.Add(-4 * time.Second)
		r.want(r.p.Step(tk, Event{Kind: Finished, Tokens: 100 + i%3}, r.s, r.now), Done)
	}
	for other := range fleet.ReplicaID(2) {
		r.p.Health.Drain(other, time.Time{})
	}
	for range requests {
		all = append(all, r.whole(0))
	}
	for other := range fleet.ReplicaID(2) {
		r.p.Health.Undrain(other, r.now.Add(-time.Minute)) // no slow start
	}
	return r, all, 2
}

// whole begins a request for a whole answer.
func (r *rig) whole(most int) *Ticket {
	r.Helper()
	t := &Ticket{}
	req := &inference.Request{Model: "assistant", MaxTokens: most, Input: 10, ID: inference.NewID(r.now, 1, uint64(r.p.Gate.InFlight()))}
	r.p.Begin(t, req, &tenant.Caller{}, nil)
	r.want(r.p.Step(t, Event{Kind: Arrived}, r.s, r.now), Send)
	return t
}

// answers lets each other replica of the pool end a request that is sent now.
func (r *rig) answers(at int) {
	r.Helper()
	for range 10 {
		if t := r.whole(0); int(t.Replica.ID) == at {
			r.p.Step(t, Event{Kind: Left}, r.s, r.now)
		} else {
			r.want(r.p.Step(t, Event{Kind: Finished, Tokens: 100}, r.s, r.now.Add(4*time.Second)), Done)
		}
	}
}

// TestSilenceOfWholeAnswers: what takes 4 s as a rule is expected for 20 s. Three that
// wait for longer, while others end what came later, tell that it is the replica; one
// may be a long answer, unless its own bound says that it is not.
func TestSilenceOfWholeAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		requests int
		most     int // tokens, of the first
		peers    bool
		heard    bool // the replica ended another one meanwhile
		after    time.Duration
		out      bool
	}{
		"three":                      {3, 0, true, false, 25 * time.Second, true},
		"three, too early":           {3, 0, true, false, 15 * time.Second, false},
		"two":                        {2, 0, true, false, 25 * time.Second, false},
		"many, each for half of it":  {13, 0, true, false, 12 * time.Second, true},
		"nobody ends anything":       {5, 0, false, false, time.Minute, false},
		"it ends one":                {5, 0, true, true, time.Minute, false},
		"alone, and may be long":     {1, 0, true, false, time.Minute, false},
		"alone, and not that long":   {1, 0, true, false, 7 * time.Minute, true},
		"alone, and has to be short": {1, 10, true, false, 12 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, all, at := silentPool(t, tt.requests)
			all[0].Request.MaxTokens = tt.most
			r.now = r.now.Add(time.Second)
			if tt.peers {
				r.answers(at)
			}
			if tt.heard {
				r.p.Heard(all[0].Replica.ID, r.now)
			}
			r.now = r.now.Add(tt.after - time.Second)
			var moved int
			for _, tk := range append(all, all...) {
				if tk.Replica.ID == all[0].Replica.ID || int(tk.Replica.ID) == at {
					if a := r.p.Step(tk, Event{Kind: Quiet}, r.s, r.now); a.Kind == Send {
						moved++
					}
				}
				if len(all) > 1 && tk == all[len(all)-1] {
					r.now = r.now.Add(5 * time.Second)
				}
			}
			if out := !r.p.Health.Of(fleet.ReplicaID(at), "", r.now).In(); out != tt.out || out != (moved == tt.requests) {
				t.Errorf("out %v, %d moved", out, moved)
			}
			if r.p.Retries() > 0 {
				t.Errorf("%d retries", r.p.Retries())
			}
		})
	}
}

// TestProbeLeftByItsCaller: half open, callers that leave before anything came put the
// replica out again once they waited for as long as an answer may take, all together.
func TestProbeLeftByItsCaller(t *testing.T) {
	for _, stream := range []bool{false, true} {
		r := waits(t, stream, 2)
		id := r.t.Replica.ID
		r.p.Health.Suspect(id, r.t.pool, health.Stuck, r.now, 0.5)
		r.step(Event{Kind: Left})
		r.now = r.now.Add(5 * time.Second)
		var standing []string
		for range 4 {
			for i := uint64(0); ; i++ {
				r.p.Begin(r.t, &inference.Request{Model: "assistant", Stream: stream, ID: inference.NewID(r.now, 1, i)}, &tenant.Caller{}, nil)
				if r.want(r.step(Event{Kind: Arrived}), Send).Replica.ID == id {
					break
				}
				if r.step(Event{Kind: Left}); i == 1000 {
					t.Fatal("nobody finds out")
				}
			}
			enough := r.t.silence
			if !stream {
				if enough, _ = r.p.mayTake(r.t); enough < leastSilence {
					enough = leastSilence
				}
			}
			r.after(enough/3+time.Millisecond, Event{Kind: Left})
			st := r.p.Health.Of(id, "", r.now)
			if standing = append(standing, st.Why); st.Why != "" {
				break
			}
		}
		if !slices.Equal(standing, []string{"", "", health.Stuck}) {
			t.Errorf("stream %v: %q", stream, standing)
		}
	}
}

// TestAnyHang: whichever replicas hang, whoever waits where, at most half of the pool
// is out and never the last, nobody leaves who was not sent to one that hangs, and
// nobody leaves twice.
func TestAnyHang(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(rt, "replicas")
		r := newRig(t, admit.Limits{}, false, n)
		hangs := rapid.SliceOfN(rapid.Bool(), n, n).Draw(rt, "hangs")
		patience := time.Duration(rapid.SampledFrom([]int{3, 12, 60, 600}).Draw(rt, "patience")) * time.Second
		type life struct {
			*Ticket
			ends, look, leaves time.Time
		}
		var lives []*life
		send := func(l *life, a Action) {
			l.ends = r.now.Add(time.Duration(rapid.IntRange(100, 4000).Draw(rt, "took")) * time.Millisecond)
			l.look = a.Until
		}
		for range rapid.IntRange(20, 120).Draw(rt, "seconds") {
			for range rapid.IntRange(0, 3).Draw(rt, "arrivals") {
				tk := r.whole(0)
				l := &life{Ticket: tk, leaves: r.now.Add(patience)}
				send(l, Action{Until: r.now.Add(leastSilence)})
				lives = append(lives, l)
			}
			r.now = r.now.Add(time.Second)
			lives = slices.DeleteFunc(lives, func(l *life) bool {
				id := l.Replica.ID
				var a Action
				switch {
				case !hangs[id] && !r.now.Before(l.ends):
					a = r.p.Step(l.Ticket, Event{Kind: Finished, Tokens: 10}, r.s, r.now)
				case !r.now.Before(l.leaves):
					a = r.p.Step(l.Ticket, Event{Kind: Left}, r.s, r.now)
				case !l.look.IsZero() && !r.now.Before(l.look):
					a = r.p.Step(l.Ticket, Event{Kind: Quiet}, r.s, r.now)
					if l.look = a.Until; a.Kind == Send {
						send(l, a)
						if !hangs[id] || l.Tries > 2 || l.Replica.ID == id {
							rt.Fatalf("it left %d, try %d", id, l.Tries)
						}
					}
				}
				return a.Kind == Done
			})
			out := 0
			for id := range n {
				if why := r.p.Health.Of(fleet.ReplicaID(id), "", r.now).Why; why != "" && why != health.Probing {
					if out++; !hangs[id] {
						rt.Fatalf("%d is out: %s", id, why)
					}
				}
			}
			if 2*out > n {
				rt.Fatalf("%d of %d are out", out, n)
			}
		}
		for _, l := range lives {
			r.p.Step(l.Ticket, Event{Kind: Left}, r.s, r.now)
		}
		for id := range n {
			if l := r.p.Load(fleet.ReplicaID(id)); l != (Load{}) {
				rt.Fatalf("%d still has %+v", id, l)
			}
		}
	})
}
