package flow

import (
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/tenant"
)

// parted is a rig with a pool that answers and one that reads for it.
func parted(t *testing.T, answerers, readers int) *rig {
	r := newRig(t, admit.Limits{}, true, answerers, readers)
	r.s.Models[0].Targets = r.s.Models[0].Targets[:1]
	r.s.Upstreams[0].Prefill = 2
	r.s.Upstreams[0].Rate, r.s.Upstreams[1].Rate = 10_000, 10_000
	r.req.Input = 8000
	return r
}

// other begins another request.
func (r *rig) other(input int) (*Ticket, Action) {
	r.Helper()
	t := &Ticket{}
	req := &inference.Request{Model: "assistant", Stream: true, Input: input, ID: inference.NewID(r.now, 9, uint64(input))}
	r.p.Begin(t, req, &tenant.Caller{}, nil)
	return t, r.p.Step(t, Event{Kind: Arrived}, r.s, r.now)
}

// TestReadApartWhereItPays: an idle engine reads its prompt itself; one that answers
// others has a long one read for it, and a short one not.
func TestReadApartWhereItPays(t *testing.T) {
	r := parted(t, 1, 1)
	first, a := r.other(8000)
	if a.Prefill || a.Handed {
		t.Errorf("idle: %+v", a)
	}
	r.p.Step(first, Event{Kind: Content}, r.s, r.now) // it is being answered
	if _, a := r.other(50); a.Prefill {
		t.Errorf("a short one: %+v", a)
	}
	second, a := r.other(8000)
	if !a.Prefill || a.Replica.Upstream != 1 || a.Target.Upstream != 0 || second.Attempts[0].Why != ReadsFor {
		t.Fatalf("a long one: %+v, %s", a, second.Attempts[0].Why)
	}
	if l := r.p.Load(a.Replica.ID); l.Requests != 1 || l.Prefill != 8000 {
		t.Errorf("who reads has %+v", l)
	}
	reader := a.Replica.ID
	a = r.p.Step(second, Event{Kind: Finished, Handed: true}, r.s, r.now.Add(time.Second))
	if a.Kind != Send || a.Prefill || !a.Handed || a.Replica.Upstream != 0 || r.p.Load(reader) != (Load{}) {
		t.Fatalf("%+v, and the reader has %+v", a, r.p.Load(reader))
	}
	if l := r.p.Load(a.Replica.ID); l.Prefill != 50 || l.KV < 16_000 {
		t.Errorf("who answers has %+v", l)
	}
	if _, a := r.other(8001); !a.Prefill {
		t.Errorf("the next one: %+v", a)
	}
	if _, a := r.other(8002); a.Prefill { // one waits there already, and 50 tokens here
		t.Errorf("the one after that: %+v", a)
	}
}

// busy lets the only replica that answers have somebody.
func (r *rig) busy() {
	t, _ := r.other(100)
	r.p.Step(t, Event{Kind: Content}, r.s, r.now)
}

// TestNobodyReads: where reading apart fails, whoever answers reads, which costs no
// try; of whoever is down nobody is asked again.
func TestNobodyReads(t *testing.T) {
	for name, ev := range map[string]Event{
		"it fails":               {Kind: Failed, Fault: fault.New(fault.UpstreamError, "test")},
		"nobody is there":        {Kind: Failed, Fault: fault.New(fault.Connect, "test")},
		"the connection is lost": {Kind: Failed, Fault: fault.New(fault.Interrupted, "test")},
		"it refuses":             {Kind: Failed, Fault: fault.New(fault.InvalidRequest, "test")},
		"it hands nothing over":  {Kind: Finished},
	} {
		r := parted(t, 1, 1)
		r.busy()
		a := r.want(r.step(Event{Kind: Arrived}), Send)
		if !a.Prefill {
			t.Fatalf("%s: %+v", name, a)
		}
		a = r.want(r.step(ev), Send)
		if a.Prefill || a.Handed || a.Replica.Upstream != 0 || r.t.retrying || r.t.Why != "first in order" && r.t.Why != r.t.Order.Why {
			t.Errorf("%s: %+v, %q", name, a, r.t.Why)
		}
		r.want(r.step(Event{Kind: Content}), Commit)
		r.wantFault(r.step(Event{Kind: Finished, Tokens: 5}), fault.None)
		next, a := r.other(8000)
		if down := name == "nobody is there"; a.Prefill == down {
			t.Errorf("%s: the next one %+v", name, a)
		}
		r.p.Step(next, Event{Kind: Left}, r.s, r.now)
		for id := range 2 {
			if l := r.p.Load(r.s.Upstreams[id].Replicas[0].ID); id == 1 && l != (Load{}) || id == 0 && l.Requests != 1 {
				t.Errorf("%s: %d has %+v", name, id, l)
			}
		}
	}
}

// TestHandedOnce: where the one that was handed the prompt fails, another one reads it
// itself.
func TestHandedOnce(t *testing.T) {
	r := parted(t, 2, 1)
	r.busy()
	r.busy()
	if a := r.want(r.step(Event{Kind: Arrived}), Send); !a.Prefill {
		t.Fatalf("%+v", a)
	}
	a := r.want(r.step(Event{Kind: Finished, Handed: true}), Send)
	if !a.Handed {
		t.Fatalf("%+v", a)
	}
	first := a.Replica.ID
	a = r.want(r.step(Event{Kind: Failed, Fault: fault.New(fault.Interrupted, "test")}), Send)
	if a.Handed || a.Prefill || a.Replica.ID == first {
		t.Errorf("%+v", a)
	}
}

// TestNotReadApart: what is no single chat is not.
func TestNotReadApart(t *testing.T) {
	for name, change := range map[string]func(*inference.Request){
		"several answers": func(r *inference.Request) { r.N = 2 },
		"several prompts": func(r *inference.Request) { r.Prompts = 2 },
		"no chat":         func(r *inference.Request) { r.Dialect = inference.Embeddings },
	} {
		r := parted(t, 1, 1)
		r.busy()
		change(r.req)
		if a := r.step(Event{Kind: Arrived}); a.Prefill {
			t.Errorf("%s: %+v", name, a)
		}
	}
}
