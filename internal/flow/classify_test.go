package flow

import (
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/place"
	"headworks/internal/tenant"
)

// consults gives the model of a rig a choice between a good and a cheap target, and a
// classifier at the last upstream.
func (r *rig) consults() {
	m := &r.s.Models[0]
	m.Policy = fleet.Best
	m.Choice = &fleet.Choice{Quality: 1, Price: 1, Signals: [inference.Signals]float64{inference.ByClassifier: 1}}
	for i := range m.Targets {
		m.Targets[i].Quality = 0.9 - 0.3*float64(i)
		m.Targets[i].Price = inference.Price{Known: true, Input: 8 / float64(1+7*i), Output: 8 / float64(1+7*i)}
	}
	m.Classifier = &fleet.Classifier{Upstream: len(r.s.Upstreams) - 1, Model: "c", Timeout: 50 * time.Millisecond}
}

func verdict(hard float32) Event {
	return Event{Kind: Classified, Class: &Class{Verdict: inference.Verdict{Known: true, Hard: hard}, Label: "label", Cost: 3}}
}

func TestClassifierTurnsTheChoice(t *testing.T) {
	for hard, target := range map[float32]int{0: 1, 1: 0} {
		r := newRig(t, admit.Limits{}, false, 1, 1, 2)
		r.s.Models[0].Targets = r.s.Models[0].Targets[:2]
		r.consults()
		a := r.want(r.step(Event{Kind: Arrived}), Classify)
		if a.Replica.Upstream != 2 || !a.Until.Equal(r.now.Add(50*time.Millisecond)) || r.p.Load(a.Replica.ID).Requests != 1 {
			t.Fatalf("%+v", a)
		}
		at := a.Replica.ID
		a = r.want(r.after(10*time.Millisecond, verdict(hard)), Send)
		if a.Target != &r.s.Models[0].Targets[target] || r.p.Load(at).Requests != 0 {
			t.Errorf("hard %v: sent to %+v", hard, a.Target)
		}
		if c := r.t.Class; c.Took != 10*time.Millisecond || c.Label != "label" || c.WhyNot != "" || c.Cost != 3 {
			t.Errorf("%+v", c)
		}
		if part := r.t.Order.Complexity.Parts[inference.ByClassifier]; part != 2*hard-1 {
			t.Errorf("it contributed %v", part)
		}
		r.wantFault(r.step(Event{Kind: Finished}), fault.None)
		r.empty()
	}
}

// TestClassifierFailsNobody: without a word the request goes on, and who fails again
// and again is left alone for a while.
func TestClassifierFailsNobody(t *testing.T) {
	r := newRig(t, admit.Limits{}, false, 1, 1, 1)
	r.s.Models[0].Targets = r.s.Models[0].Targets[:2]
	r.consults()
	asked := 0
	ask := func() {
		r.t = r.begin(false)
		a := r.step(Event{Kind: Arrived})
		if a.Kind == Classify {
			asked++
			a = r.after(50*time.Millisecond, Event{Kind: Classified, Class: &Class{WhyNot: TooSlow}})
		} else if r.t.Class.WhyNot != Resting {
			t.Fatalf("not asked: %q", r.t.Class.WhyNot)
		}
		r.want(a, Send)
		r.wantFault(r.step(Event{Kind: Finished}), fault.None)
	}
	for range 10 {
		ask()
	}
	if asked != tolerated {
		t.Errorf("asked %d times of 10", asked)
	}
	r.now = r.now.Add(restFirst)
	ask()
	ask()
	if asked != tolerated+1 {
		t.Errorf("asked %d times after a rest", asked-tolerated)
	}
	r.now = r.now.Add(restMost)
	r.t = r.begin(false)
	r.want(r.step(Event{Kind: Arrived}), Classify)
	r.want(r.step(verdict(1)), Send)
	r.step(Event{Kind: Finished})
	if d := r.p.doctors["assistant"]; *d != (doctor{}) {
		t.Errorf("well again: %+v", d)
	}
	r.empty()
}

func TestClassifierIsNotAsked(t *testing.T) {
	for what, change := range map[string]func(r *rig){
		"a weight of nothing": func(r *rig) { r.s.Models[0].Choice.Signals[inference.ByClassifier] = 0 },
		"one target":          func(r *rig) { r.s.Models[0].Targets = r.s.Models[0].Targets[:1] },
		"another policy":      func(r *rig) { r.s.Models[0].Policy = fleet.Ordered },
		"no chat":             func(r *rig) { r.req.Dialect = inference.Embeddings },
		"another region": func(r *rig) {
			for i := range r.s.Upstreams {
				r.s.Upstreams[i].Replicas[0].Place = place.Place{Region: []string{"here", "here", "far"}[i]}
			}
			r.t.Caller = &tenant.Caller{Residency: tenant.Residency{Bound: true, Regions: []string{"here"}}}
		},
	} {
		r := newRig(t, admit.Limits{}, false, 1, 1, 1)
		r.s.Models[0].Targets = r.s.Models[0].Targets[:2]
		r.consults()
		change(r)
		if a := r.step(Event{Kind: Arrived}); a.Kind == Classify {
			t.Errorf("%s: asked", what)
		}
	}
}

func TestClassifierGivesBackWhenTheClientLeaves(t *testing.T) {
	r := newRig(t, admit.Limits{}, false, 1, 1, 1)
	r.consults()
	r.want(r.step(Event{Kind: Arrived}), Classify)
	r.wantFault(r.step(Event{Kind: Left}), fault.ClientClosed)
	r.empty()
}
