package flow

import (
	"fmt"
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/reuse"
	"headworks/internal/tenant"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// world has one model with targets on upstreams of the given sizes.
func world(pools ...int) *fleet.Snapshot {
	s := &fleet.Snapshot{Models: []fleet.Model{{
		Name: "assistant", Tries: 2,
		Timeouts: fleet.Timeouts{FirstToken: 60 * time.Second, Idle: 30 * time.Second, Total: 10 * time.Minute},
	}}}
	m := &s.Models[0]
	for i, size := range pools {
		u := fleet.Upstream{Name: fmt.Sprint("up", i)}
		for range size {
			u.Replicas = append(u.Replicas, fleet.Replica{ID: fleet.ReplicaID(s.Replicas), Upstream: i, Name: fmt.Sprint("r", s.Replicas)})
			s.Replicas++
		}
		s.Upstreams = append(s.Upstreams, u)
		m.Targets = append(m.Targets, fleet.Target{Upstream: i, Model: "m"})
	}
	s.Direct = fleet.Model{Tries: 2, Timeouts: m.Timeouts}
	return s
}

type rig struct {
	*testing.T
	p   *Policy
	s   *fleet.Snapshot
	t   *Ticket
	req *inference.Request
	now time.Time
}

func newRig(t *testing.T, limits admit.Limits, stream bool, pools ...int) *rig {
	r := &rig{T: t, p: NewPolicy(limits), s: world(pools...), now: start}
	r.t = r.begin(stream)
	r.req = r.t.Request
	return r
}

func (r *rig) begin(stream bool) *Ticket {
	t := &Ticket{}
	req := &inference.Request{Model: "assistant", Stream: stream, ID: inference.NewID(r.now, uint16(r.p.Gate.InFlight()), 7)}
	r.p.Begin(t, req, &tenant.Caller{}, nil)
	return t
}

// What does not fit is named as the caller's dialect calls it.
func TestTooLongNamesItsField(t *testing.T) {
	for dialect, field := range map[inference.Dialect]string{
		inference.OpenAI: "messages", inference.Completions: "prompt", inference.Embeddings: "input", inference.Rerank: "documents",
	} {
		r := newRig(t, admit.Limits{}, false, 1)
		r.s.Models[0].Targets[0].Window = 10
		r.req.Dialect, r.req.Input = dialect, 11
		if a := r.step(Event{Kind: Arrived}); a.Fault == nil || a.Fault.Kind != fault.ContextTooLong || a.Fault.Param != field {
			t.Errorf("%v: %v", dialect, a.Fault)
		}
	}
}

func (r *rig) step(ev Event) Action {
	r.Helper()
	return r.p.Step(r.t, ev, r.s, r.now)
}

func (r *rig) after(d time.Duration, ev Event) Action {
	r.Helper()
	r.now = r.now.Add(d)
	return r.step(ev)
}

func (r *rig) want(a Action, kind ActionKind) Action {
	r.Helper()
	if a.Kind != kind {
		r.Fatalf("got %v (%v), want %v", a.Kind, a.Fault, kind)
	}
	return a
}

func (r *rig) wantFault(a Action, kind fault.Kind) Action {
	r.Helper()
	r.want(a, Done)
	switch {
	case a.Fault == nil && kind != fault.None:
		r.Fatalf("done without a fault, want %v", kind)
	case a.Fault != nil && a.Fault.Kind != kind:
		r.Fatalf("done with %v, want %v", a.Fault, kind)
	}
	return a
}

func failure(k fault.Kind) Event { return Event{Kind: Failed, Fault: fault.New(k, "test")} }

// reach brings a fresh rig to a state.
func reach(t *testing.T, to state) *rig {
	limits := admit.Limits{}
	if to == queued {
		limits = admit.Limits{InFlight: 1, Queue: 4}
	}
	r := newRig(t, limits, true, 2, 1)
	if to == queued {
		other := r.begin(true)
		if a := r.p.Step(other, Event{Kind: Arrived}, r.s, r.now); a.Kind != Send {
			t.Fatalf("the first request got %v", a.Kind)
		}
	}
	if to == fresh {
		return r
	}
	if to == asking {
		r.consults()
	}
	if to == looking || to == joined {
		r.keeps()
	}
	if to == seeking {
		r.s.Models[0].Knowledge = &fleet.Knowledge{Collections: []string{"docs"}, Timeout: time.Second}
	}
	r.step(Event{Kind: Arrived})
	switch to {
	case joined:
		r.want(r.step(Event{Kind: Joined}), Follow)
	case opened:
		r.want(r.after(20*time.Second, Event{Kind: Quiet}), Open)
	case committed:
		r.want(r.step(Event{Kind: Content}), Commit)
	case ended:
		r.want(r.step(Event{Kind: Left}), Done)
	}
	if r.t.state != to {
		t.Fatalf("reached %v, want %v", r.t.state, to)
	}
	return r
}

// TestEveryStateMeetsEveryEvent is the table in Step's comment, cell by cell. A
// cell says the action and, for done, the fault.
func TestEveryStateMeetsEveryEvent(t *testing.T) {
	type cell struct {
		kind  ActionKind
		fault fault.Kind
		next  state
	}
	wrong := cell{Done, fault.Internal, ended}
	left := cell{Done, fault.ClientClosed, ended}
	drained := cell{Done, fault.Draining, ended}
	ignore := cell{Ignore, fault.None, ended}
	whole := cell{Done, fault.None, ended}
	table := [states][eventKinds]cell{
		fresh:   {Arrived: {Send, fault.None, held}, Reused: wrong, Missed: wrong, Joined: wrong, Entered: wrong, Classified: wrong, Content: wrong, Unseen: wrong, Quiet: wrong, Finished: wrong, Doubted: wrong, Passed: wrong, Judged: wrong, Failed: wrong, Left: left, Drained: drained},
		looking: {Arrived: wrong, Reused: whole, Missed: {Send, fault.None, held}, Joined: {Follow, fault.None, joined}, Entered: wrong, Classified: wrong, Content: wrong, Unseen: wrong, Quiet: wrong, Finished: wrong, Doubted: wrong, Passed: wrong, Judged: wrong, Failed: wrong, Left: left, Drained: drained},
		joined: {
			Arrived: wrong, Reused: whole, Missed: {Send, fault.None, held}, Joined: wrong, Entered: wrong, Classified: wrong, Content: {Commit, fault.None, joined}, Unseen: wrong,
			Quiet: {Follow, fault.None, joined}, Finished: whole, Doubted: wrong, Passed: wrong, Judged: wrong, Failed: {Send, fault.None, held}, Left: left, Drained: drained,
		},
		queued: {Arrived: wrong, Reused: wrong, Missed: wrong, Joined: wrong, Entered: {Send, fault.None, held}, Classified: wrong, Content: wrong, Unseen: wrong, Quiet: {Done, fault.Overloaded, ended}, Finished: wrong, Doubted: wrong, Passed: wrong, Judged: wrong, Failed: wrong, Left: left, Drained: drained},
		asking: {
			Arrived: wrong, Reused: wrong, Missed: wrong, Joined: wrong, Entered: wrong, Classified: {Send, fault.None, held}, Content: wrong, Unseen: wrong, Quiet: wrong,
			Finished: wrong, Doubted: wrong, Passed: wrong, Judged: wrong, Failed: wrong, Left: left, Drained: drained,
		},
		held: {
			Arrived: wrong, Reused: wrong, Missed: wrong, Joined: wrong, Entered: wrong, Classified: wrong, Content: {Commit, fault.None, committed}, Unseen: {Read, fault.None, held}, Quiet: {Read, fault.None, held},
			Finished: whole, Doubted: wrong, Passed: wrong, Judged: wrong, Failed: {Send, fault.None, held}, Left: left, Drained: drained,
		},
		opened: {
			Arrived: wrong, Reused: wrong, Missed: wrong, Joined: wrong, Entered: wrong, Classified: wrong, Content: {Commit, fault.None, committed}, Unseen: {Read, fault.None, opened}, Quiet: {Alive, fault.None, opened},
			Finished: whole, Doubted: wrong, Passed: wrong, Judged: wrong, Failed: {Send, fault.None, opened}, Left: left, Drained: drained,
		},
		committed: {
			Arrived: wrong, Reused: wrong, Missed: wrong, Joined: wrong, Entered: wrong, Classified: wrong, Content: {Read, fault.None, committed}, Unseen: wrong, Quiet: {Read, fault.None, committed},
			Finished: whole, Doubted: wrong, Passed: wrong, Judged: wrong, Failed: {Done, fault.UpstreamError, ended}, Left: left, Drained: drained,
		},
		ended: {ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore},
	}
	for s := range states { // what a search came to is told to who waits for it
		table[s][Retrieved] = wrong
	}
	table[ended][Retrieved] = ignore
	for kind := range eventKinds {
		table[seeking][kind] = wrong
	}
	table[seeking][Retrieved] = cell{Send, fault.None, held}
	table[seeking][Left], table[seeking][Drained] = left, drained
	for from := range states {
		for kind := range eventKinds {
			t.Run(from.String()+"/"+kind.String(), func(t *testing.T) {
				r := reach(t, from)
				ev := Event{Kind: kind, Progress: r.now, Said: r.now, Found: reuse.Found{Age: time.Minute, Left: time.Hour}}
				if from == committed {
					ev.Wrote = r.now
				}
				if kind == Failed {
					ev = failure(fault.UpstreamError)
				}
				want := table[from][kind]
				got := r.step(ev)
				if from == ended {
					r.want(got, Ignore)
					return
				}
				r.want(got, want.kind)
				if want.kind == Done {
					r.wantFault(got, want.fault)
					if n := r.p.Load(0).Requests + r.p.Load(1).Requests + r.p.Load(2).Requests; from != queued && n != 0 {
						t.Errorf("%d requests still counted at replicas", n)
					}
				}
				if r.t.state != want.next {
					t.Errorf("now %v, want %v", r.t.state, want.next)
				}
			})
		}
	}
}

func TestHeldStreamIsOpenedAndKeptAlive(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 1)
	a := r.want(r.step(Event{Kind: Arrived}), Send)
	if got := a.Until.Sub(r.now); got != 20*time.Second {
		t.Fatalf("first look after %v", got)
	}
	a = r.want(r.after(20*time.Second, Event{Kind: Quiet}), Open)
	wrote := r.now
	if got := a.Until.Sub(r.now); got != 15*time.Second {
		t.Fatalf("first keep-alive after %v", got)
	}
	r.want(r.after(15*time.Second, Event{Kind: Quiet, Wrote: wrote}), Alive)
	wrote = r.now
	r.want(r.after(15*time.Second, Event{Kind: Quiet, Wrote: wrote}), Alive)
	// 60 s without a first token: the only replica has had its try.
	r.wantFault(r.after(10*time.Second, Event{Kind: Quiet, Wrote: r.now}), fault.FirstTokenTimeout)
}

// TestUnseen: an answer of which the client sees nothing yet has begun for all that:
// it is given the time of an answer, and a failure is tried elsewhere.
func TestUnseen(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 1, 1)
	r.s.Models[0].Timeouts.FirstToken = 10 * time.Second
	r.want(r.step(Event{Kind: Arrived}), Send)
	a := r.want(r.after(9*time.Second, Event{Kind: Unseen}), Read)
	if got := a.Until.Sub(r.now); got != 11*time.Second {
		t.Errorf("the next look after %v: the client is to be told that it is served", got)
	}
	if n := r.p.Load(r.t.Replica.ID).Prefill; n != 0 {
		t.Errorf("%d tokens of the prompt are still to be read", n)
	}
	said := r.now
	r.want(r.after(11*time.Second, Event{Kind: Quiet, Progress: said, Said: said}), Open)
	r.want(r.after(15*time.Second, Event{Kind: Quiet, Progress: said, Said: said}), Alive)
	r.want(r.after(5*time.Second, Event{Kind: Quiet, Progress: said, Said: said, Wrote: r.now}), Send) // idle for 30 s
	if got := r.t.Attempts[0].Fault; got != fault.Stalled {
		t.Errorf("recorded as %v", got)
	}
	// The next attempt has said nothing so far.
	r.wantFault(r.after(10*time.Second, Event{Kind: Quiet, Wrote: r.now}), fault.FirstTokenTimeout)
}

func TestWholeAnswerIsNotOpened(t *testing.T) {
	r := newRig(t, admit.Limits{}, false, 1)
	r.want(r.step(Event{Kind: Arrived}), Send)
	// No first_token set: a whole answer may begin whenever it likes.
	r.want(r.after(9*time.Minute, Event{Kind: Quiet}), Read)
	r.wantFault(r.after(time.Minute, Event{Kind: Quiet}), fault.FirstTokenTimeout)
}

func TestWholeAnswerWithFirstTokenSet(t *testing.T) {
	r := newRig(t, admit.Limits{}, false, 1, 1)
	to := &r.s.Models[0].Timeouts
	to.FirstToken, to.FirstTokenSet = 10*time.Second, true
	r.want(r.step(Event{Kind: Arrived}), Send)
	r.want(r.after(10*time.Second, Event{Kind: Quiet}), Send) // falls back
	if r.t.Why != "fell back" {
		t.Errorf("route reason %q", r.t.Why)
	}
	// Bytes came, then silence: a stall before anything reached the client.
	progress := r.now.Add(time.Second)
	r.want(r.after(29*time.Second, Event{Kind: Quiet, Progress: progress}), Read)
	r.wantFault(r.after(2*time.Second, Event{Kind: Quiet, Progress: progress}), fault.Stalled)
}

func TestStallAfterContent(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 2, 1)
	r.step(Event{Kind: Arrived})
	r.step(Event{Kind: Content})
	progress := r.now
	r.want(r.after(15*time.Second, Event{Kind: Quiet, Progress: progress, Said: progress, Wrote: progress}), Alive)
	r.wantFault(r.after(15*time.Second, Event{Kind: Quiet, Progress: progress, Said: progress, Wrote: r.now}), fault.Stalled)
}

// TestWhereAFailureLeads tells whole lives: what fails, and where the request
// goes next.
func TestWhereAFailureLeads(t *testing.T) {
	type try struct {
		fails fault.Kind
		to    int // the upstream that serves next; -1 is the end
	}
	tests := map[string]struct {
		pools []int
		tries []try
		free  int
	}{
		"another replica, then the next target":   {[]int{3, 1}, []try{{fault.UpstreamError, 0}, {fault.UpstreamError, 1}, {fault.UpstreamError, -1}}, 0},
		"one replica: the next target at once":    {[]int{1, 1}, []try{{fault.Interrupted, 1}, {fault.Stalled, -1}}, 0},
		"a refused connection is no try":          {[]int{3, 1}, []try{{fault.Connect, 0}, {fault.Connect, 0}, {fault.Connect, 1}, {fault.UpstreamError, -1}}, 3},
		"too many requests: the next":             {[]int{1, 1}, []try{{fault.UpstreamCapacity, 1}, {fault.UpstreamCapacity, -1}}, 0},
		"forbidden: the next":                     {[]int{1, 1}, []try{{fault.UpstreamForbidden, 1}, {fault.UpstreamForbidden, -1}}, 0},
		"a refused credential: the next":          {[]int{1, 1}, []try{{fault.UpstreamAuth, 1}, {fault.UpstreamAuth, -1}}, 0},
		"the request's own fault is not repeated": {[]int{3, 1}, []try{{fault.UpstreamRejected, -1}}, 0},
		"too long for it: the next window":        {[]int{3, 1}, []try{{fault.ContextTooLong, 1}, {fault.ContextTooLong, -1}}, 0},
		"our own defect is not repeated":          {[]int{3, 1}, []try{{fault.Internal, -1}}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, admit.Limits{}, true, tt.pools...)
			a := r.want(r.step(Event{Kind: Arrived}), Send)
			seen := map[fleet.ReplicaID]bool{}
			for i, try := range tt.tries {
				if seen[a.Replica.ID] {
					t.Fatalf("try %d went back to replica %d", i, a.Replica.ID)
				}
				seen[a.Replica.ID] = true
				a = r.after(time.Millisecond, failure(try.fails))
				if try.to < 0 {
					r.wantFault(a, try.fails)
					continue
				}
				r.want(a, Send)
				if a.Replica.Upstream != try.to {
					t.Fatalf("try %d went to upstream %d, want %d", i+1, a.Replica.Upstream, try.to)
				}
			}
			free := 0
			for _, at := range r.t.Attempts[:r.t.Tries] {
				if at.Free {
					free++
				}
			}
			if free != tt.free {
				t.Errorf("%d free attempts, want %d", free, tt.free)
			}
		})
	}
}

// TestRetryBudget: with everything failing, second tries that put a load on
// engines stay within a fifth of what is inside.
func TestRetryBudget(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 2)
	r.p.Health.Rules.Row, r.p.Health.Rules.ThinRow, r.p.Health.Rules.Enough = 1e6, 1e6, 1e6 // nobody is put out
	var tickets []*Ticket
	for range 100 {
		tk := r.begin(true)
		if a := r.p.Step(tk, Event{Kind: Arrived}, r.s, r.now); a.Kind != Send {
			t.Fatal(a.Kind)
		}
		tickets = append(tickets, tk)
	}
	retried := 0
	for i, tk := range tickets {
		switch a := r.p.Step(tk, failure(fault.UpstreamError), r.s, r.now); a.Kind {
		case Send:
			retried++
		case Done:
			if tk.Left != "the retry budget is spent" {
				t.Fatalf("request %d ended since %q", i, tk.Left)
			}
			if !a.Fault.Again || a.Fault.After == 0 {
				t.Fatalf("request %d is not told to come back: %+v", i, a.Fault)
			}
		}
	}
	if retried != 20 {
		t.Errorf("%d second tries among 100 requests, want 20", retried)
	}
	for _, tk := range tickets {
		r.p.Step(tk, failure(fault.UpstreamError), r.s, r.now)
	}
	if r.p.Retries() != 0 || r.p.Gate.InFlight() != 0 {
		t.Errorf("%d second tries and %d requests are still counted", r.p.Retries(), r.p.Gate.InFlight())
	}
}

// TestASpentBody: what was sent on as it came is not there for another try. The client
// has it, and is told to come back where somebody else could have been asked.
func TestASpentBody(t *testing.T) {
	for name, tt := range map[string]struct {
		pools []int
		kind  fault.Kind
		again bool
	}{
		"another replica": {[]int{2}, fault.UpstreamError, true},
		"another target":  {[]int{1, 1}, fault.Interrupted, true},
		"nobody else":     {[]int{1}, fault.UpstreamError, false},
		"the caller's":    {[]int{2}, fault.SlowRequest, false},
		"no help":         {[]int{2}, fault.UpstreamRejected, false},
	} {
		r := newRig(t, admit.Limits{}, true, tt.pools...)
		r.t = r.begin(true)
		r.want(r.step(Event{Kind: Arrived}), Send)
		e := failure(tt.kind)
		e.Sent = r.now
		a := r.wantFault(r.step(e), tt.kind)
		if a.Fault.Again != tt.again || r.t.Tries != 1 {
			t.Errorf("%s: told to come back %v, after %d tries", name, a.Fault.Again, r.t.Tries)
		}
		if e.Fault.Again {
			t.Errorf("%s: the driver's fault was changed", name)
		}
	}
}

// TestTheUpstreamsTimeBeginsWithTheWhole: while a body is sent on as it comes, nothing is
// expected of the upstream.
func TestTheUpstreamsTimeBeginsWithTheWhole(t *testing.T) {
	for _, stream := range []bool{true, false} {
		r := newRig(t, admit.Limits{}, stream, 2)
		r.s.Models[0].Timeouts.FirstToken, r.s.Models[0].Timeouts.FirstTokenSet = time.Minute, true
		r.t = r.begin(stream)
		patience := r.want(r.step(Event{Kind: Arrived}), Send).Until.Sub(r.now)
		for range 3 {
			r.now = r.now.Add(2 * patience)
			sent := r.now.Add(-time.Second) // a second ago a piece was sent
			a := r.want(r.step(Event{Kind: Quiet, Sent: sent}), Read)
			if got := a.Until.Sub(sent); stream && got != patience {
				t.Fatalf("it looks again %v after the last piece, want %v", got, patience)
			}
		}
		sent := r.now
		r.now = r.now.Add(patience)
		if stream { // only now does the client wait
			r.want(r.step(Event{Kind: Quiet, Sent: sent}), Open)
		}
		r.now = sent.Add(time.Minute)
		r.wantFault(r.step(Event{Kind: Quiet, Sent: sent}), fault.FirstTokenTimeout)
	}
}

// TestFailoverIsFreeOnce: with no budget at all, a request leaves one replica that
// its failure put out, and not a second one.
func TestFailoverIsFreeOnce(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 1, 1, 1)
	r.p.Rules.RetryShare, r.p.Rules.RetryFloor = 0, 0
	for id := range fleet.ReplicaID(2) { // both are known to be out, and half open now
		r.p.Health.Failed(id, "", r.s.Upstreams[id].Replicas, fault.New(fault.Connect, "test"), r.now, r.now, 0.5)
	}
	r.now = r.now.Add(5 * time.Second)
	r.t = r.begin(true)
	r.want(r.step(Event{Kind: Arrived}), Send)
	a := r.want(r.step(failure(fault.UpstreamError)), Send)
	if a.Replica.ID != 1 || !r.t.moved || r.p.Retries() != 0 {
		t.Errorf("went to %d, with %d second tries", a.Replica.ID, r.p.Retries())
	}
	r.wantFault(r.step(failure(fault.UpstreamError)), fault.UpstreamError)
	if r.t.Left != "the retry budget is spent" {
		t.Errorf("ended since %q", r.t.Left)
	}
}

// TestAttemptsAreBounded, also where none of them counts.
func TestAttemptsAreBounded(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 2*MaxAttempts)
	a := r.step(Event{Kind: Arrived})
	for range MaxAttempts {
		r.want(a, Send)
		a = r.step(failure(fault.Connect))
	}
	r.wantFault(a, fault.Connect)
	if r.t.Tries != MaxAttempts || r.t.Left != "out of attempts" {
		t.Errorf("%d attempts, ended since %q", r.t.Tries, r.t.Left)
	}
}

// TestEachCredentialGetsItsChance: a request is not lost to a credential that is
// refused or at its limit while another one serves; replicas of one credential are
// not all asked, and another target is not forgotten over them.
func TestEachCredentialGetsItsChance(t *testing.T) {
	keys := func(r *rig, n int) {
		for i := range r.s.Upstreams[0].Replicas {
			r.s.Upstreams[0].Replicas[i].Key = i % n
		}
	}
	for _, turns := range [][]fault.Kind{
		{fault.UpstreamAuth, fault.UpstreamCapacity}, {fault.UpstreamCapacity, fault.UpstreamForbidden},
	} {
		r := newRig(t, admit.Limits{}, true, 3)
		r.s.Models[0].Tries = 1
		keys(r, 3)
		a, met := r.want(r.step(Event{Kind: Arrived}), Send), map[int]bool{}
		for _, k := range turns {
			met[a.Replica.Key] = true
			a = r.want(r.step(failure(k)), Send)
		}
		if met[a.Replica.Key] {
			t.Errorf("%v: credential %d is asked again", turns, a.Replica.Key)
		}
		r.wantFault(r.step(failure(fault.UpstreamCapacity)), fault.UpstreamCapacity)
	}
	r := newRig(t, admit.Limits{}, true, 4, 1)
	r.s.Models[0].Tries = 1
	keys(r, 1)
	r.want(r.step(Event{Kind: Arrived}), Send)
	if a := r.want(r.step(failure(fault.UpstreamCapacity)), Send); a.Target.Upstream != 1 {
		t.Errorf("one credential is at its limit, and went to upstream %d", a.Target.Upstream)
	}
	r = newRig(t, admit.Limits{}, true, 2*MaxAttempts, 1)
	r.s.Models[0].Tries = 1
	keys(r, 2*MaxAttempts)
	a := r.want(r.step(Event{Kind: Arrived}), Send)
	for range MaxAttempts - 1 {
		a = r.want(r.step(failure(fault.UpstreamCapacity)), Send)
	}
	if a.Target.Upstream != 1 {
		t.Error("another target was forgotten over many credentials")
	}
}

// TestUpstreamFailsWhole: every replica of the first target fails whatever it
// gets, many requests at once. All are served by the second, and soon none is
// sent to the first any more.
func TestUpstreamFailsWhole(t *testing.T) {
	for _, pools := range [][]int{{1, 1}, {3, 1}} {
		for _, kind := range []fault.Kind{fault.UpstreamError, fault.Interrupted, fault.FirstTokenTimeout} {
			r := newRig(t, admit.Limits{}, false, pools...)
			late := 0
			for round := range 10 {
				var open []*Ticket
				for range 64 {
					tk := r.begin(false)
					tk.Request.ID = inference.NewID(r.now, uint16(len(open)), uint64(round))
					r.p.Begin(tk, tk.Request, &tenant.Caller{}, nil)
					a := r.p.Step(tk, Event{Kind: Arrived}, r.s, r.now)
					r.want(a, Send)
					open = append(open, tk)
				}
				r.now = r.now.Add(10 * time.Millisecond)
				for _, tk := range open {
					for a := (Action{Kind: Send}); a.Kind == Send; {
						if tk.Target.Upstream == 1 {
							r.wantFault(r.p.Step(tk, Event{Kind: Finished}, r.s, r.now), fault.None)
							break
						}
						if round > 0 {
							late++
						}
						if a = r.p.Step(tk, failure(kind), r.s, r.now); a.Kind == Done {
							t.Fatalf("pools %v, %v, round %d: given up, since %s", pools, kind, round, tk.Left)
						}
					}
				}
			}
			if late > 0 {
				t.Errorf("pools %v, %v: %d more requests were sent to an upstream that fails whole", pools, kind, late)
			}
		}
	}
}

func TestWaitToldAfterCapacity(t *testing.T) {
	for _, tt := range []struct {
		waits []time.Duration
		want  time.Duration
	}{
		{[]time.Duration{time.Second, 3 * time.Second}, 3 * time.Second},
		{[]time.Duration{time.Second, 30 * time.Second}, time.Second},
		{[]time.Duration{60 * time.Second, 30 * time.Second}, 30 * time.Second},
	} {
		r := newRig(t, admit.Limits{}, false, 1, 1)
		a := r.step(Event{Kind: Arrived})
		var ev Event
		for _, w := range tt.waits {
			ev = failure(fault.UpstreamCapacity)
			ev.Fault.After = w
			a = r.step(ev)
		}
		r.wantFault(a, fault.UpstreamCapacity)
		if a.Fault.After != tt.want {
			t.Errorf("told to wait %v after %v, want %v", a.Fault.After, tt.waits, tt.want)
		}
		if ev.Fault.After != tt.waits[len(tt.waits)-1] {
			t.Error("the driver's fault was changed")
		}
		// The next request is told without being sent anywhere.
		r.t = r.begin(false)
		a = r.wantFault(r.step(Event{Kind: Arrived}), fault.UpstreamCapacity)
		if a.Fault.After != tt.want || r.t.Tries != 0 {
			t.Errorf("the next request waits %v after %d tries", a.Fault.After, r.t.Tries)
		}
	}
}

// TestOneCallerTakesNoUpstreamOut: a limit that holds for one model, and a right
// that one model lacks, leave the others of the upstream served.
func TestOneCallerTakesNoUpstreamOut(t *testing.T) {
	for _, kind := range []fault.Kind{fault.UpstreamCapacity, fault.UpstreamForbidden} {
		r := newRig(t, admit.Limits{}, false, 1)
		r.s.Models = append(r.s.Models, fleet.Model{Name: "other", Tries: 2, Targets: []fleet.Target{{Model: "another"}}})
		r.want(r.step(Event{Kind: Arrived}), Send)
		r.wantFault(r.step(failure(kind)), kind)
		r.t = r.begin(false)
		r.t.Request.Model = "other"
		r.want(r.step(Event{Kind: Arrived}), Send)
		r.wantFault(r.step(Event{Kind: Finished}), fault.None)
	}
}

// TestAllOut: where every replica is out, a request still finds out whether one
// came back; where all refused the credential, it does not.
func TestAllOut(t *testing.T) {
	r := newRig(t, admit.Limits{}, false, 1)
	r.step(Event{Kind: Arrived})
	r.wantFault(r.step(failure(fault.Connect)), fault.Connect)
	r.t = r.begin(false)
	r.want(r.step(Event{Kind: Arrived}), Send)
	if why := r.t.Attempts[0].Why; why != "the last resort: all are out" {
		t.Errorf("sent there because: %q", why)
	}
	r.wantFault(r.step(Event{Kind: Finished}), fault.None)

	r = newRig(t, admit.Limits{}, false, 1)
	r.step(Event{Kind: Arrived})
	r.wantFault(r.step(failure(fault.UpstreamAuth)), fault.UpstreamAuth)
	r.t = r.begin(false)
	r.wantFault(r.step(Event{Kind: Arrived}), fault.UpstreamAuth)
}

// TestLightTrafficFindsOut: one request at a time, and still a replica that was
// put out gets its probe once its time is over.
func TestLightTrafficFindsOut(t *testing.T) {
	r := newRig(t, admit.Limits{}, false, 2)
	down := r.step(Event{Kind: Arrived}).Replica
	r.want(r.step(failure(fault.Connect)), Send)
	r.want(r.step(Event{Kind: Finished}), Done)
	r.now = r.now.Add(10 * time.Second)
	for range 20 {
		r.t = r.begin(false)
		a := r.want(r.after(time.Second, Event{Kind: Arrived}), Send)
		r.want(r.step(Event{Kind: Finished}), Done)
		if a.Replica == down {
			if why := r.t.Attempts[0].Why; why != "half open: this request finds out" {
				t.Errorf("sent there because: %q", why)
			}
			return
		}
	}
	t.Error("twenty requests, and none found out")
}

// TestNothingSentTellsNothing: an answer for which nothing was sent does not make a
// replica well that was put out, nor is it a try.
func TestNothingSentTellsNothing(t *testing.T) {
	for _, unsent := range []bool{true, false} {
		r := newRig(t, admit.Limits{}, false, 1)
		r.p.Health.Failed(0, "", r.s.Upstreams[0].Replicas, fault.New(fault.Connect, "test"), r.now, r.now, 0.5)
		r.now = r.now.Add(5 * time.Second)
		for range 3 {
			r.t = r.begin(false)
			r.want(r.step(Event{Kind: Arrived}), Send)
			if why := r.t.Attempts[0].Why; unsent && why != "half open: this request finds out" {
				t.Errorf("sent there because: %q", why)
			}
			r.want(r.step(Event{Kind: Finished, Unsent: unsent}), Done)
			if a := r.t.Attempts[0]; a.Free != unsent || a.Fault != fault.None {
				t.Errorf("%+v", a)
			}
			if r.p.Gate.InFlight() != 0 || r.p.InFlight(0) != (Load{}) {
				t.Errorf("%d inside, %+v there", r.p.Gate.InFlight(), r.p.InFlight(0))
			}
		}
		if out := r.p.Health.Failures(0) > 0; out != unsent {
			t.Errorf("unsent %v: %d failures are remembered", unsent, r.p.Health.Failures(0))
		}
	}
}

// TestFailedWithoutAFault: a driver at fault does not make a failure a success.
func TestFailedWithoutAFault(t *testing.T) {
	for _, from := range []state{held, opened, committed} {
		r := reach(t, from)
		r.wantFault(r.step(Event{Kind: Failed}), fault.Internal)
	}
}

func TestQueueIsServedInTurn(t *testing.T) {
	r := newRig(t, admit.Limits{InFlight: 1, Queue: 2}, true, 1)
	first := r.t
	r.want(r.step(Event{Kind: Arrived}), Send)
	var waiting []*Ticket
	for range 2 {
		r.t = r.begin(true)
		r.want(r.step(Event{Kind: Arrived}), Queue)
		waiting = append(waiting, r.t)
	}
	r.t = r.begin(true)
	r.wantFault(r.step(Event{Kind: Arrived}), fault.Overloaded)

	r.t = first
	a := r.want(r.after(time.Second, Event{Kind: Finished}), Done)
	if a.Wake != waiting[0] {
		t.Fatal("whoever waited longest is not next")
	}
	// The one told leaves before it enters: its place goes on to the next.
	r.t = waiting[0]
	if a = r.want(r.step(Event{Kind: Left}), Done); a.Wake != waiting[1] {
		t.Fatal("a place that was given to a client who left is lost")
	}
	r.t = waiting[1]
	r.want(r.step(Event{Kind: Entered}), Send)
	if r.t.Waited != time.Second {
		t.Errorf("waited %v", r.t.Waited)
	}
}

func TestWhoMayAsk(t *testing.T) {
	r := newRig(t, admit.Limits{}, false, 1)
	for _, tt := range []struct {
		model  string
		models []string
		want   ActionKind
	}{
		{"assistant", nil, Send},
		{"assistant", []string{"other"}, Done},
		{"assistant", []string{"assis*"}, Send},
		{"nothing", nil, Done},
		{"up0/anything", nil, Send},
		{"up0/anything", []string{"assistant"}, Done},
		{"up9/anything", nil, Done},
		{"up0/", nil, Done},
	} {
		r.p.Begin(r.t, &inference.Request{Model: tt.model}, &tenant.Caller{Models: tt.models}, nil)
		a := r.want(r.step(Event{Kind: Arrived}), tt.want)
		if a.Kind == Done && a.Fault.Kind != fault.ModelNotFound {
			t.Errorf("%s: %v", tt.model, a.Fault)
		}
		r.step(Event{Kind: Left})
	}
}

func TestCandidatesNameTheWinner(t *testing.T) {
	for _, pools := range [][]int{{1}, {3, 2}, {40}, {1, 30}, {9, 9, 9}} {
		r := newRig(t, admit.Limits{}, false, pools...)
		for range 3 {
			a := r.step(Event{Kind: Arrived})
			if r.t.Tries > 1 {
				a = r.step(failure(fault.UpstreamError))
			}
			r.want(a, Send)
			won := 0
			for _, c := range r.t.Candidates[:r.t.Considered] {
				if c.Won {
					won++
					if c.Replica != a.Replica || c.WhyNot != "" {
						t.Errorf("pools %v: won %v, sent to %v", pools, c, a.Replica)
					}
				} else if c.WhyNot == "" {
					t.Errorf("pools %v: a loser without a reason", pools)
				}
			}
			if won != 1 {
				t.Errorf("pools %v: %d winners", pools, won)
			}
			r.step(Event{Kind: Left})
			r.t = r.begin(false)
		}
	}
}

func TestStepDoesNotAllocate(t *testing.T) {
	p, s := NewPolicy(admit.Limits{InFlight: 10_000}), world(8, 100)
	tk, c := &Ticket{}, &tenant.Caller{}
	req := &inference.Request{Model: "assistant", Stream: true}
	retry := failure(fault.Interrupted)
	if n := testing.AllocsPerRun(200, func() {
		p.Begin(tk, req, c, nil)
		p.Step(tk, Event{Kind: Arrived}, s, start)
		p.Step(tk, retry, s, start)
		p.Step(tk, Event{Kind: Content}, s, start)
		p.Step(tk, Event{Kind: Finished}, s, start)
	}); n != 0 {
		t.Errorf("a life with one retry allocates %v times", n)
	}
}

// TestForeseeingDoesNotAllocate: a stream with an objective, of engines that are known
// well enough for that to decide.
func TestForeseeingDoesNotAllocate(t *testing.T) {
	p, s := NewPolicy(admit.Limits{InFlight: 10_000}), world(8, 100)
	s.Models[0].Aim = tenant.Objective{TTFT: time.Second}
	for i := range s.Upstreams {
		learnt(p, &s.Upstreams[i])
	}
	tk, c := &Ticket{}, &tenant.Caller{}
	req := &inference.Request{Model: "assistant", Stream: true, Input: 1000}
	now := start
	if n := testing.AllocsPerRun(200, func() {
		now = now.Add(20 * time.Second)
		p.Begin(tk, req, c, nil)
		p.Step(tk, Event{Kind: Arrived}, s, now)
		if tk.Predicted == 0 {
			t.Fatal("nothing is foreseen")
		}
		p.Step(tk, Event{Kind: Quiet}, s, now.Add(11*time.Second))
		p.Step(tk, Event{Kind: Content}, s, now.Add(12*time.Second))
		p.Step(tk, Event{Kind: Finished, Tokens: 100, Said: now.Add(13 * time.Second), Gap: time.Second}, s, now.Add(13*time.Second))
	}); n != 0 {
		t.Errorf("it allocates %v times", n)
	}
}

// BenchmarkStep takes a stream from its arrival to its end, with an objective by which
// replicas are passed over and without.
func BenchmarkStep(b *testing.B) {
	for _, n := range []int{1, 8, 100} {
		for _, aim := range []time.Duration{0, time.Second} {
			b.Run(fmt.Sprintf("replicas=%d/objective=%v", n, aim), func(b *testing.B) {
				p, s := NewPolicy(admit.Limits{InFlight: 10_000}), world(n)
				s.Models[0].Aim = tenant.Objective{TTFT: aim}
				learnt(p, &s.Upstreams[0])
				t, c := &Ticket{}, &tenant.Caller{}
				req := &inference.Request{Model: "assistant", Stream: true}
				b.ReportAllocs()
				for b.Loop() {
					p.Begin(t, req, c, nil)
					p.Step(t, Event{Kind: Arrived}, s, start)
					p.Step(t, Event{Kind: Content}, s, start)
					p.Step(t, Event{Kind: Finished}, s, start)
				}
			})
		}
	}
}
