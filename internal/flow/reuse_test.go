package flow

import (
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/reuse"
	"headworks/internal/tenant"
)

// keeps lets the rig's model keep answers, and its request be one whose answer is.
func (r *rig) keeps() *fleet.Reuse {
	rules := &fleet.Reuse{Exact: fleet.ExactOn, TTL: time.Hour, Revalidate: 5 * time.Minute, IfError: time.Hour, Reach: tenant.Project}
	for i := range r.s.Models {
		r.s.Models[i].Reuse = rules
	}
	r.t.Caller = &tenant.Caller{Tenant: "acme", Project: "web", KeyID: "k"}
	return rules
}

func (r *rig) says(field string) { r.t.Control.Read([]byte(field)) }

var young = Event{Kind: Reused, Found: reuse.Found{Age: time.Minute, Left: 59 * time.Minute, Took: time.Second}}

// TestHit: an earlier answer ends the request before the gate, however full that is.
func TestHit(t *testing.T) {
	r := newRig(t, admit.Limits{InFlight: 1}, true, 1)
	r.keeps()
	other := r.begin(true)
	other.Request.Model = r.t.Request.Model
	r.p.Step(other, Event{Kind: Arrived}, r.s, r.now)
	if a := r.want(r.step(Event{Kind: Arrived}), Reuse); !a.Join {
		t.Error("an answer under way may not be shared")
	}
	a := r.want(r.step(young), Done)
	if a.Fault != nil || !a.Reused || a.Renew || r.t.Reuse != Hit || r.t.Tries != 0 {
		t.Errorf("got %+v, %v", a, r.t.Reuse)
	}
}

// TestControlDecides: what the caller says of earlier answers holds.
func TestControlDecides(t *testing.T) {
	stale := young
	stale.Found = reuse.Found{Age: 61 * time.Minute, Left: -time.Minute}
	old := young
	old.Found = reuse.Found{Age: 70 * time.Minute, Left: -10 * time.Minute}
	for name, tt := range map[string]struct {
		says  string
		then  Event
		kind  ActionKind // after it
		fault fault.Kind
		renew bool
		skip  bool // nothing is looked for
	}{
		"nothing":                  {then: young, kind: Done},
		"no-store":                 {says: "no-store", skip: true, kind: Send},
		"no-cache":                 {says: "no-cache", skip: true, kind: Send},
		"too old":                  {says: "max-age=30", then: young, kind: Send},
		"old enough":               {says: "max-age=90", then: young, kind: Done},
		"not fresh for long":       {says: "min-fresh=3600", then: young, kind: Send},
		"stale, and renewed":       {then: stale, kind: Done, renew: true},
		"too stale":                {then: old, kind: Send},
		"any stale will do":        {says: "max-stale", then: old, kind: Done, renew: true},
		"so stale will do":         {says: "max-stale=900", then: old, kind: Done, renew: true},
		"none, and no other":       {says: "only-if-cached", then: Event{Kind: Missed}, kind: Done, fault: fault.NotCached},
		"one, and no other":        {says: "only-if-cached", then: young, kind: Done},
		"contradicts itself":       {says: "only-if-cached, no-store", skip: true, kind: Done, fault: fault.NotCached},
		"too old, and no other":    {says: "only-if-cached, max-age=1", then: young, kind: Done, fault: fault.NotCached},
		"a number that none is":    {says: "max-age=soon", then: young, kind: Send},
		"a directive nobody knows": {says: "private, mood=good", then: young, kind: Done},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, admit.Limits{}, true, 1)
			r.keeps()
			r.says(tt.says)
			a := r.step(Event{Kind: Arrived})
			if !tt.skip {
				r.want(a, Reuse)
				a = r.step(tt.then)
			}
			r.want(a, tt.kind)
			if a.Renew != tt.renew {
				t.Errorf("renewed: %v", a.Renew)
			}
			if tt.fault != fault.None {
				r.wantFault(a, tt.fault)
			}
		})
	}
}

// TestStaleInsteadOfError: where no new answer can be had for want of room or of the
// network, the one that is too old is given; it is not for any other fault.
func TestStaleInsteadOfError(t *testing.T) {
	old := young
	old.Found = reuse.Found{Age: 70 * time.Minute, Left: -10 * time.Minute}
	for kind, want := range map[fault.Kind]bool{fault.UpstreamCapacity: true, fault.Connect: true, fault.UpstreamRejected: false, fault.ClientClosed: false} {
		r := newRig(t, admit.Limits{}, true, 1)
		r.keeps()
		r.step(Event{Kind: Arrived})
		r.want(r.step(old), Send)
		a := r.step(failure(kind))
		for a.Kind == Send {
			a = r.step(failure(kind))
		}
		r.want(a, Done)
		if a.Reused != want || (a.Fault == nil) != want || r.t.Stale != want {
			t.Errorf("%v: got %+v", kind, a)
		}
	}
	r := newRig(t, admit.Limits{}, true, 1)
	r.keeps()
	r.step(Event{Kind: Arrived})
	r.step(old)
	r.want(r.step(Event{Kind: Content}), Commit)
	if a := r.want(r.step(failure(fault.Interrupted)), Done); a.Reused || a.Fault == nil {
		t.Errorf("content was given already: %+v", a)
	}
}

// TestJoined: whoever shares an answer is told that it lives, takes no place at the gate
// but counts against his key, and goes his own way where the other's place was at
// fault.
func TestJoined(t *testing.T) {
	r := newRig(t, admit.Limits{InFlight: 1}, true, 1)
	r.keeps()
	r.t.Caller.Tier.Concurrency = 1
	r.step(Event{Kind: Arrived})
	a := r.want(r.step(Event{Kind: Joined}), Follow)
	if got := a.Until.Sub(r.now); got != 20*time.Second {
		t.Errorf("first look after %v", got)
	}
	second := r.begin(true)
	second.Caller = r.t.Caller
	r.p.Step(second, Event{Kind: Arrived}, r.s, r.now)
	if a := r.p.Step(second, Event{Kind: Joined}, r.s, r.now); a.Kind != Done || a.Fault == nil || a.Fault.Kind != fault.Concurrency {
		t.Errorf("the key's second request got %+v", a)
	}
	a = r.want(r.after(20*time.Second, Event{Kind: Quiet}), Open)
	if got := a.Until.Sub(r.now); got != 15*time.Second {
		t.Errorf("next look after %v", got)
	}
	r.want(r.after(15*time.Second, Event{Kind: Quiet}), Alive)
	if n := r.p.Gate.InFlight(); n != 0 {
		t.Errorf("%d are inside", n)
	}
	r.want(r.step(failure(fault.Overloaded)), Send)
	if r.t.state != opened || r.p.Gate.InFlight() != 1 {
		t.Errorf("now %v, %d inside", r.t.state, r.p.Gate.InFlight())
	}
	r.want(r.step(Event{Kind: Content}), Commit)
	r.want(r.step(Event{Kind: Finished}), Done)
}

// TestJoinedFails: one tries again, within the budget; nobody does once content came or
// another one did.
func TestJoinedFails(t *testing.T) {
	share := func() *rig {
		r := newRig(t, admit.Limits{}, true, 1)
		r.keeps()
		r.step(Event{Kind: Arrived})
		r.want(r.step(Event{Kind: Joined}), Follow)
		return r
	}
	r := share()
	r.want(r.step(failure(fault.UpstreamError)), Send)
	if r.p.Retries() != 1 {
		t.Errorf("%d retries count", r.p.Retries())
	}
	r.want(r.step(Event{Kind: Finished}), Done)
	if r.p.Retries() != 0 {
		t.Errorf("%d retries count at the end", r.p.Retries())
	}
	r = share()
	r.p.Rules.RetryFloor, r.p.Rules.RetryShare = 0, 0
	if a := r.want(r.step(failure(fault.UpstreamError)), Done); a.Fault == nil || !a.Fault.Again {
		t.Errorf("out of budget: %+v", a)
	}
	r = share()
	ev := failure(fault.UpstreamError)
	ev.Tried = true
	r.wantFault(r.want(r.step(ev), Done), fault.UpstreamError)
	r = share()
	r.want(r.step(Event{Kind: Content}), Commit)
	r.wantFault(r.want(r.step(failure(fault.UpstreamError)), Done), fault.UpstreamError)
	r = share()
	r.wantFault(r.want(r.step(failure(fault.UpstreamRejected)), Done), fault.UpstreamRejected)
	r = share()
	r.want(r.step(Event{Kind: Missed}), Send)
}
