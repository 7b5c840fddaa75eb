package flow

import (
	"slices"
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/tenant"
)

// Whose collections are searched, and what becomes of the answer where they cannot be.
func TestRetrieve(t *testing.T) {
	down, unknown := fault.New(fault.NoKnowledge, "test"), fault.New(fault.NotFound, "test")
	required, optional := &fleet.Knowledge{Collections: []string{"docs"}, Required: true, Timeout: time.Second}, &fleet.Knowledge{Collections: []string{"docs"}, Timeout: time.Second}
	for _, test := range []struct {
		name  string
		model *fleet.Knowledge
		asks  *inference.Knowledge
		op    inference.Dialect
		want  []string // collections; nil: nothing is searched
		fails *fault.Error
		fault fault.Kind // of the answer
		whyNo string
	}{
		{name: "neither"},
		{name: "the model", model: required, want: []string{"docs"}},
		{name: "the caller", asks: &inference.Knowledge{Collections: []string{"own"}}, want: []string{"own"}},
		{name: "the caller before the model", model: required, asks: &inference.Knowledge{Collections: []string{"own"}}, want: []string{"own"}},
		{name: "the caller says how many", model: required, asks: &inference.Knowledge{Passages: 3}, want: []string{"docs"}},
		{name: "the caller wants none", model: required, asks: &inference.Knowledge{None: true}},
		{name: "vectors", model: required, op: inference.Embeddings},
		{name: "down, required", model: required, want: []string{"docs"}, fails: down, fault: fault.NoKnowledge},
		{name: "down, optional", model: optional, want: []string{"docs"}, fails: down, whyNo: "no_knowledge"},
		{name: "down, the caller's own", asks: &inference.Knowledge{Collections: []string{"own"}}, want: []string{"own"}, fails: down, fault: fault.NoKnowledge},
		{name: "down, the caller can do without", model: required, asks: &inference.Knowledge{Mode: inference.Optional}, want: []string{"docs"}, fails: down, whyNo: "no_knowledge"},
		{name: "down, the caller cannot do without", model: optional, asks: &inference.Knowledge{Mode: inference.Required}, want: []string{"docs"}, fails: down, fault: fault.NoKnowledge},
		{name: "the caller names what is not there", model: optional, asks: &inference.Knowledge{Collections: []string{"own"}, Mode: inference.Optional}, want: []string{"own"}, fails: unknown, fault: fault.NotFound},
		{name: "the model names what is not there", model: optional, want: []string{"docs"}, fails: unknown, whyNo: "not_found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, admit.Limits{}, true, 1)
			r.s.Models[0].Knowledge, r.req.Knowledge, r.req.Dialect = test.model, test.asks, test.op
			a := r.step(Event{Kind: Arrived})
			if test.want == nil {
				r.want(a, Send)
				if r.t.Ground != nil {
					t.Errorf("%+v", r.t.Ground)
				}
				return
			}
			r.want(a, Retrieve)
			if !slices.Equal(r.t.Ground.Collections, test.want) {
				t.Errorf("searched %v, want %v", r.t.Ground.Collections, test.want)
			}
			if a.Until.IsZero() {
				t.Error("it may take for ever")
			}
			ev := Event{Kind: Retrieved, Fault: test.fails}
			if test.fails == nil {
				ev.Ground = &Grounding{Passages: 2, Tokens: 300, Top: 7}
			}
			a = r.after(40*time.Millisecond, ev)
			g := r.t.Ground
			if test.fault != fault.None {
				r.wantFault(a, test.fault)
				return
			}
			r.want(a, Send)
			if g.WhyNot != test.whyNo || (g.Degraded == Ungrounded) != (test.whyNo != "") || g.Took != 40*time.Millisecond {
				t.Errorf("%+v", g)
			}
			if test.fails == nil && (g.Passages != 2 || g.Tokens != 300 || g.Top != 7) {
				t.Errorf("%+v", g)
			}
		})
	}
}

// A copy goes to a shadow with what the request it is of was given.
func TestACopyIsNotSearchedAgain(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 1)
	r.s.Models[0].Knowledge = &fleet.Knowledge{Collections: []string{"docs"}}
	r.t.Copy = true
	if a := r.step(Event{Kind: Arrived}); a.Kind == Retrieve {
		t.Error("searched")
	}
}

// A rewriter is counted at its replica while it works, and not longer, whoever leaves.
func TestRewriterIsCounted(t *testing.T) {
	for _, ev := range []Event{{Kind: Retrieved}, {Kind: Left}, {Kind: Drained}} {
		r := newRig(t, admit.Limits{}, true, 1, 1)
		r.s.Models[0].Knowledge = &fleet.Knowledge{Collections: []string{"docs"}, Timeout: time.Second, Rewriter: &fleet.Rewriter{Upstream: 1, Model: "m"}}
		a := r.want(r.step(Event{Kind: Arrived}), Retrieve)
		if a.Replica == nil || r.p.Load(a.Replica.ID).Requests != 1 {
			t.Fatalf("rewriter %v", a.Replica)
		}
		at := a.Replica.ID
		r.step(ev)
		if n := r.p.Load(at).Requests; n != 0 {
			t.Errorf("%v: %d requests still counted", ev.Kind, n)
		}
	}
}

// What another cell searched for is not searched for again, and what it could not is.
func TestASearchIsOfOneCell(t *testing.T) {
	for _, test := range []struct {
		name string
		asks *inference.Knowledge
		ev   Event
		want bool
	}{
		{name: "found", ev: Event{Kind: Retrieved, Ground: &Grounding{Passages: 2}}, want: true},
		{name: "nothing found", ev: Event{Kind: Retrieved}, want: true},
		{name: "not searched", ev: Event{Kind: Retrieved, Fault: fault.New(fault.NoKnowledge, "test")}},
		{name: "the caller says which", asks: &inference.Knowledge{Collections: []string{"own"}, Mode: inference.Optional}, ev: Event{Kind: Retrieved, Fault: fault.New(fault.NoKnowledge, "test")}, want: true},
		{name: "the caller wants none", asks: &inference.Knowledge{None: true}, want: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			docs := &fleet.Knowledge{Collections: []string{"docs"}, Timeout: time.Second}
			first := newRig(t, admit.Limits{}, true, 1)
			first.s.Models[0].Knowledge, first.req.Knowledge = docs, test.asks
			if a := first.step(Event{Kind: Arrived}); test.ev.Kind == Retrieved {
				first.want(a, Retrieve)
				a = first.step(test.ev)
				first.want(a, Send)
			}
			if first.t.Searched() != test.want {
				t.Errorf("the second cell is told %v", first.t.Searched())
			}
			second := newRig(t, admit.Limits{}, true, 1)
			second.s.Models[0].Knowledge = docs
			second.t.Caller = &tenant.Caller{Cell: "us", Searched: test.want}
			want := Retrieve
			if test.want {
				want = Send
			}
			second.want(second.step(Event{Kind: Arrived}), want)
		})
	}
}
