package flow

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/route"
)

func cascaded(t *testing.T, stream bool, pools ...int) *rig {
	r := newRig(t, admit.Limits{}, stream, pools...)
	r.s.Models[0].Cascade = &fleet.Cascade{Whole: true}
	for i := range r.s.Models[0].Targets {
		r.s.Models[0].Targets[i].ID = fleet.TargetID(i + 1)
	}
	return r
}

func doubt() Event { return Event{Kind: Doubted, Doubt: "it is empty", Tokens: 20} }

// sends wants a send to a target, and whether its answer is looked at.
func (r *rig) sends(a Action, target int, verify bool) {
	r.Helper()
	r.want(a, Send)
	if a.Target != &r.s.Models[0].Targets[target] || a.Verify != verify {
		r.Fatalf("sent to %v, verify %v; want target %d, %v", a.Target, a.Verify, target, verify)
	}
}

func (r *rig) empty() {
	r.Helper()
	for id := range r.s.Replicas {
		if l := r.p.Load(fleet.ReplicaID(id)); l != (Load{}) {
			r.Errorf("replica %d still counts %+v", id, l)
		}
	}
	if r.p.Gate.InFlight() != 0 || r.p.Retries() != 0 {
		r.Error("places are still taken")
	}
}

func TestCascadeEscalates(t *testing.T) {
	for _, stream := range []bool{false, true} {
		r := cascaded(t, stream, 1, 1, 1)
		r.sends(r.step(Event{Kind: Arrived}), 0, true)
		if stream {
			r.want(r.after(time.Second, Event{Kind: Unseen}), Read)
		}
		r.sends(r.after(time.Second, doubt()), 1, true)
		if r.t.Why != route.Escalated {
			t.Errorf("why: %s", r.t.Why)
		}
		r.sends(r.after(time.Second, doubt()), 2, false)
		if stream {
			r.want(r.after(time.Second, Event{Kind: Content}), Commit)
		}
		r.wantFault(r.after(time.Second, Event{Kind: Finished, Tokens: 9}), fault.None)
		if a := r.t.Attempts; r.t.Tries != 3 || a[0].Doubt == "" || a[1].Doubt == "" || a[2].Doubt != "" || a[0].Fault != fault.None || a[0].End.IsZero() {
			t.Errorf("%+v", a[:3])
		}
		r.empty()
	}
}

func TestCascadePasses(t *testing.T) {
	r := cascaded(t, true, 1, 1)
	r.sends(r.step(Event{Kind: Arrived}), 0, true)
	r.want(r.after(time.Second, Event{Kind: Unseen}), Read)
	r.want(r.after(time.Second, Event{Kind: Content}), Commit)
	r.wantFault(r.after(0, Event{Kind: Finished, Tokens: 9}), fault.None)
	if r.t.Attempts[0].Doubt != "" || r.t.Tries != 1 {
		t.Errorf("%+v", r.t.Attempts[0])
	}
	r.empty()
	if at := r.p.paceOf(1); at.looked != 1 || at.passed != 1 {
		t.Errorf("%+v", at)
	}
}

// TestCascadeGivesWhatIsThere: where nothing else can be asked, the answer that is
// there is better than none, and says what it is.
func TestCascadeGivesWhatIsThere(t *testing.T) {
	for _, stream := range []bool{false, true} {
		r := cascaded(t, stream, 1, 1)
		r.sends(r.step(Event{Kind: Arrived}), 0, true)
		r.p.Health.Failed(1, "m", nil, fault.New(fault.Connect, "test"), r.now, r.now, 0)
		a := r.after(time.Second, doubt())
		if stream {
			r.want(a, Commit)
			a = r.step(Event{Kind: Finished, Tokens: 20})
		}
		r.wantFault(a, fault.None)
		if r.t.Attempts[0].Doubt == "" || r.t.Left == "" {
			t.Errorf("%+v", r.t.Attempts[0])
		}
		r.empty()
	}
}

func TestCascadeTooLong(t *testing.T) {
	r := cascaded(t, true, 1, 1)
	r.sends(r.step(Event{Kind: Arrived}), 0, true)
	r.want(r.step(Event{Kind: Unseen}), Read)
	r.want(r.after(time.Second, Event{Kind: Content, Doubt: Unchecked}), Commit)
	r.wantFault(r.after(time.Second, failure(fault.Interrupted)), fault.Interrupted)
	if r.t.Attempts[0].Doubt != Unchecked || r.t.Tries != 1 {
		t.Errorf("%+v, %d tries", r.t.Attempts[0], r.t.Tries)
	}
	r.empty()
}

// TestCascadeOnOneReplica: both models may be of one engine, which failed nothing.
func TestCascadeOnOneReplica(t *testing.T) {
	r := cascaded(t, false, 1, 1)
	r.s.Models[0].Targets[1].Upstream = 0
	r.sends(r.step(Event{Kind: Arrived}), 0, true)
	r.sends(r.step(doubt()), 1, false)
}

func TestCascadeOfAnswersThatNobodyCanRead(t *testing.T) {
	r := cascaded(t, false, 1, 1, 1)
	r.req.N = 2
	r.sends(r.step(Event{Kind: Arrived}), 2, false)
	if r.t.Why != route.Unread {
		t.Errorf("why: %s", r.t.Why)
	}
	// It is fallen back from, and what it falls back to is looked at as far as there is
	// something behind it.
	if a := r.step(failure(fault.Connect)); a.Kind != Send || a.Verify {
		t.Errorf("%+v", a)
	}
}

// TestCascadeSpares: a target whose answers pass more seldom than it is cheaper.
func TestCascadeSpares(t *testing.T) {
	r := cascaded(t, false, 1, 1)
	m := &r.s.Models[0]
	m.Targets[0].Price = inference.Price{Known: true, Input: 1, Output: 1}
	m.Targets[1].Price = inference.Price{Known: true, Input: 2, Output: 2}
	first := map[int]int{}
	passes := func(n, of int) {
		clear(first)
		for i := range of {
			r.t = r.begin(false)
			r.t.src.Seed(7, uint64(i))
			a := r.want(r.step(Event{Kind: Arrived}), Send)
			if a.Target == &m.Targets[1] {
				first[1]++
				if a.Verify || r.t.Why != route.Spared {
					t.Fatalf("%+v %s", a, r.t.Why)
				}
			} else {
				first[0]++
				if i%10 >= n {
					r.sends(r.step(doubt()), 1, false)
				}
			}
			r.step(Event{Kind: Finished, Tokens: 9})
		}
	}
	passes(7, 200)
	if first[1] != 0 {
		t.Errorf("7 of 10 pass at half the price: %v", first)
	}
	r = cascaded(t, false, 1, 1)
	m = &r.s.Models[0]
	m.Targets[0].Price = inference.Price{Known: true, Input: 1, Output: 1}
	m.Targets[1].Price = inference.Price{Known: true, Input: 2, Output: 2}
	passes(1, 400)
	if first[0] < fewestLooked || first[0] > fewestLooked+60 {
		t.Errorf("1 of 10 passes at half the price: %v", first)
	}
}

// TestCascadeKeepsWhatIsThere: an answer that did not pass is better than an error, for
// as long as it is kept, somebody waits and nothing of another one reached him.
func TestCascadeKeepsWhatIsThere(t *testing.T) {
	type then struct {
		name  string
		after time.Duration
		ev    Event
		fault fault.Kind // of which the request ends where nothing is kept
		given bool
	}
	for _, stream := range []bool{false, true} {
		for _, tt := range []then{
			{"it fails", time.Second, failure(fault.UpstreamError), fault.UpstreamError, true},
			{"it is cut", time.Second, failure(fault.Interrupted), fault.Interrupted, true},
			{"it is not reached", time.Second, failure(fault.Connect), fault.Connect, true},
			{"it turns the work away", time.Second, failure(fault.UpstreamCapacity), fault.UpstreamCapacity, true},
			{"it takes the request for wrong", time.Second, failure(fault.UpstreamRejected), fault.UpstreamRejected, true},
			{"it hangs", 10 * time.Minute, Event{Kind: Quiet}, fault.TotalTimeout, true},
			{"the client leaves", time.Second, Event{Kind: Left}, fault.ClientClosed, false},
			{"this process goes away", time.Second, Event{Kind: Drained}, fault.Draining, false},
			{"a defect", time.Second, Event{Kind: Classified}, fault.Internal, false},
		} {
			for _, keep := range []bool{true, false} {
				r := cascaded(t, stream, 1, 1)
				r.s.Models[0].Tries, r.s.Models[0].Timeouts.Total = 1, 5*time.Minute
				r.sends(r.step(Event{Kind: Arrived}), 0, true)
				why := r.t.Why
				ev := doubt()
				ev.Kept = keep
				r.sends(r.after(time.Second, ev), 1, false)
				ev = tt.ev
				ev.Kept = keep
				a := r.want(r.after(tt.after, ev), Done)
				given := keep && tt.given
				if a.Kept != given || given != (a.Fault == nil) {
					t.Fatalf("%s, stream %v, kept %v: %+v", tt.name, stream, keep, a)
				}
				if a.Fault != nil && a.Fault.Kind != tt.fault {
					t.Errorf("%s, stream %v, kept %v: %v", tt.name, stream, keep, a.Fault)
				}
				if want := 1; given {
					want = 0
					if r.t.Given() != want || r.t.Target != r.t.Attempts[0].Target || r.t.Replica != r.t.Attempts[0].Replica || r.t.Why != why || r.t.Left != NothingBetter {
						t.Errorf("%s, stream %v: attempt %d of %s, %q, %q", tt.name, stream, r.t.Given(), r.t.Replica.Name, r.t.Why, r.t.Left)
					}
				} else if r.t.Given() != want {
					t.Errorf("%s: attempt %d", tt.name, r.t.Given())
				}
				if tt.given && r.t.Attempts[1].Fault != tt.fault {
					t.Errorf("%s: %+v", tt.name, r.t.Attempts[1])
				}
				r.empty()
			}
		}
	}
}

// TestCascadeKeepsTheLast: of several answers that did not pass the last is given, that
// of the best model, and none once another one began.
func TestCascadeKeepsTheLast(t *testing.T) {
	r := cascaded(t, true, 1, 1, 1)
	kept := doubt()
	kept.Kept = true
	fails := failure(fault.UpstreamRejected)
	fails.Kept = true
	r.sends(r.step(Event{Kind: Arrived}), 0, true)
	r.sends(r.step(kept), 1, true)
	r.sends(r.step(kept), 2, false)
	if a := r.want(r.step(fails), Done); !a.Kept || r.t.Given() != 1 || r.t.Tries != 3 {
		t.Errorf("%+v, attempt %d of %d", a, r.t.Given(), r.t.Tries)
	}
	r.empty()

	r = cascaded(t, true, 1, 1)
	r.sends(r.step(Event{Kind: Arrived}), 0, true)
	r.sends(r.step(kept), 1, false)
	r.want(r.step(Event{Kind: Content, Kept: true}), Commit)
	if a := r.step(fails); a.Kept || a.Fault == nil || r.t.Given() != 1 {
		t.Errorf("%+v after content", a)
	}
	r.empty()
}

// TestCascadeNeverGoesBack draws what happens: after content nothing is sent, no
// target before one whose answer did not pass is asked again, what is kept is given
// rather than an error, and all is given back.
func TestCascadeNeverGoesBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		stream := rapid.Bool().Draw(rt, "stream")
		r := cascaded(t, stream, 2, 1, 2)
		a := r.step(Event{Kind: Arrived})
		least, committed, kept := 0, false, -1
		for range 40 {
			switch a.Kind {
			case Send:
				place := r.t.placeOf(a.Target)
				if committed || place < least {
					rt.Fatalf("sent to target %d after %d did not pass, committed %v", place, least-1, committed)
				}
			case Commit:
				committed = true
			case Done:
				r.empty()
				if a.Kept && (committed || a.Fault != nil || r.t.Given() != kept || r.t.Attempts[kept].Doubt == "") {
					rt.Fatalf("%+v, committed %v, attempt %d is given, %d was kept", a, committed, r.t.Given(), kept)
				}
				if f := a.Fault; kept >= 0 && !committed && f != nil && f.Kind != fault.ClientClosed && f.Kind != fault.Internal {
					rt.Fatalf("%v though an answer is kept", f)
				}
				return
			}
			kinds := []EventKind{Failed, Left, Finished, Quiet}
			if !committed && r.t.verify {
				kinds = append(kinds, Doubted, Doubted, Doubted)
			}
			if stream {
				kinds = append(kinds, Content)
				if !committed {
					kinds = append(kinds, Unseen)
				}
			}
			ev := Event{Kind: rapid.SampledFrom(kinds).Draw(rt, "event"), Progress: r.now, Said: r.now, Wrote: r.now}
			switch ev.Kind {
			case Failed:
				ev.Fault = fault.New(rapid.SampledFrom([]fault.Kind{fault.Interrupted, fault.Connect, fault.UpstreamError}).Draw(rt, "fault"), "test")
			case Doubted:
				ev.Doubt = "test"
				least = int(r.t.choice) + 1
				if kept = -1; rapid.Bool().Draw(rt, "kept") {
					kept = r.t.Tries - 1
				}
			default:
				if rapid.IntRange(0, 9).Draw(rt, "room") == 0 {
					kept = -1
				}
			}
			ev.Kept = kept >= 0
			if a = r.after(time.Second, ev); ev.Kind == Doubted && a.Kind != Send {
				least = 0
			}
		}
		r.step(Event{Kind: Left})
		r.empty()
	})
}

// TestCascadeOfACell: another cell is for when nothing here can serve, and no target to
// go on to.
func TestCascadeOfACell(t *testing.T) {
	r := cascaded(t, false, 1, 1, 1)
	r.s.Models[0].Targets[2].Away = true
	r.sends(r.step(Event{Kind: Arrived}), 0, true)
	r.sends(r.step(doubt()), 1, false)

	r = cascaded(t, false, 1, 1, 1)
	r.s.Models[0].Targets[2].Away = true
	r.req.N = 2
	r.sends(r.step(Event{Kind: Arrived}), 1, false)
}

// TestCascadeJudge: the judge's word decides, its silence does not, and whatever
// happens what it was counted to have is given back.
func TestCascadeJudge(t *testing.T) {
	passed := Event{Kind: Passed, Tokens: 9}
	judged := func(doubt, whyNot string) Event {
		return Event{Kind: Judged, Tokens: 9, Doubt: doubt, Class: &Class{WhyNot: whyNot, Cost: 2}}
	}
	begin := func(stream bool) *rig {
		r := cascaded(t, stream, 1, 1, 1)
		r.s.Models[0].Targets = r.s.Models[0].Targets[:2]
		r.s.Models[0].Cascade.Judge = &fleet.Judge{Upstream: 2, Model: "j", Timeout: 5 * time.Second}
		r.sends(r.step(Event{Kind: Arrived}), 0, true)
		return r
	}
	for _, stream := range []bool{false, true} {
		for _, c := range []struct {
			ev      Event
			goesOn  bool
			doubted string
		}{{judged("", ""), false, ""}, {judged("its judge says no", ""), true, "its judge says no"}, {judged("", JudgeTooSlow), false, JudgeTooSlow}} {
			r := begin(stream)
			a := r.want(r.step(passed), Judge)
			if a.Replica.ID != 2 || r.p.Load(2).Requests != 1 {
				t.Fatalf("%+v", a)
			}
			a = r.after(time.Second, c.ev)
			switch {
			case c.goesOn:
				r.sends(a, 1, false)
				a = r.after(time.Second, Event{Kind: Finished, Tokens: 9})
			case stream:
				r.want(a, Commit)
				a = r.step(Event{Kind: Finished, Tokens: 9})
			}
			r.wantFault(a, fault.None)
			if r.t.Attempts[0].Doubt != c.doubted || r.t.JudgeTime != time.Second || r.t.JudgeCost != 2 {
				t.Errorf("%+v, %v, %d", r.t.Attempts[0], r.t.JudgeTime, r.t.JudgeCost)
			}
			r.empty()
		}
	}
	r := begin(true)
	r.want(r.step(passed), Judge)
	r.wantFault(r.step(Event{Kind: Left}), fault.ClientClosed)
	r.empty()

	r = begin(false)
	r.p.Health.Failed(2, "j", nil, fault.New(fault.Connect, "test"), r.now, r.now, 0)
	r.wantFault(r.step(passed), fault.None)
	if r.t.Attempts[0].Doubt != NoJudge {
		t.Errorf("%+v", r.t.Attempts[0])
	}
	r.empty()

	r = begin(false)
	r.wantFault(r.step(judged("", "")), fault.Internal) // nobody asked it
	r.empty()
}
