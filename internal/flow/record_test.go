package flow

import (
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/record"
	"headworks/internal/route"
)

func (r *rig) record(a Action) *record.Record {
	rec := &record.Record{}
	rec.Reset()
	r.t.Record(rec, r.s, start, a.Fault)
	return rec
}

func TestRecordFailover(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 1, 1)
	r.step(Event{Kind: Arrived})
	r.after(time.Second, failure(fault.Connect))
	r.after(time.Second, Event{Kind: Content})
	rec := r.record(r.want(r.after(time.Second, Event{Kind: Finished}), Done))
	if rec.End != record.OK || rec.Status != 200 || rec.Admit != "entered" || !rec.Committed || rec.Model != "assistant" ||
		rec.Upstream != "up1" || rec.Replica != "r1" || rec.FailoverFrom != "r0" || rec.RouteReason != "fell back" {
		t.Errorf("%+v", rec)
	}
	tries := rec.Tries()
	if len(tries) != 2 || !tries[0].Free || tries[0].Fault != fault.Connect || tries[0].Duration != 1e6 || tries[1].Start != 1e6 || tries[1].Duration != 2e6 {
		t.Errorf("attempts %+v", tries)
	}
	if w, ok := rec.Winner(); !ok || w.Replica != "r1" || w.Model != "m" {
		t.Errorf("winner %+v", w)
	}
}

// TestRecordAskedByName keeps the caller's own text out.
func TestRecordAskedByName(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 1)
	r.t.Request.Model = "up0/secret"
	r.step(Event{Kind: Arrived})
	rec := r.record(r.step(Event{Kind: Finished}))
	if b := string(rec.AppendJSON(nil)); rec.Upstream != "up0" || rec.AskedModel != "up0" || rec.UpstreamModel != "" || rec.Kept()[0].Model != "" {
		t.Errorf("%s", b)
	}
}

func TestRecordEnds(t *testing.T) {
	for _, tt := range []struct {
		from   state
		event  Event
		end    record.End
		status int64
		admit  string
	}{
		{fresh, Event{Kind: Left}, record.ClientClosed, -1, "client_closed"},
		{queued, Event{Kind: Quiet}, record.Failed, 503, "overloaded"},
		{held, Event{Kind: Finished}, record.OK, 200, "entered"},
		{held, failure(fault.UpstreamRejected), record.Failed, 400, "entered"},
		{held, Event{Kind: Left}, record.ClientClosed, -1, "entered"},
		{opened, failure(fault.UpstreamRejected), record.Failed, 200, "entered"},
		{committed, failure(fault.Interrupted), record.AbnormalEnd, 200, "entered"},
		{committed, Event{Kind: Left}, record.ClientClosed, 200, "entered"},
	} {
		r := reach(t, tt.from)
		rec := r.record(r.want(r.after(time.Second, tt.event), Done))
		if rec.End != tt.end || rec.Status != tt.status || rec.Admit != tt.admit {
			t.Errorf("%v, %v: got %v %d %q, want %v %d %q", tt.from, tt.event.Kind, rec.End, rec.Status, rec.Admit, tt.end, tt.status, tt.admit)
		}
		if tt.from == queued && rec.Queue != 1e6 {
			t.Errorf("waited %d us", rec.Queue)
		}
	}
}

// TestRecordLeftOut: what cannot serve a request is among the candidates, behind all
// others, and why no other attempt was made is there too.
func TestRecordLeftOut(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 1, 1)
	r.s.Models[0].Targets[0].Window = 1
	r.t.Request.Input = 2
	r.step(Event{Kind: Arrived})
	rec := r.record(r.want(r.after(time.Second, failure(fault.UpstreamRejected)), Done))
	kept := rec.Kept()
	if last := kept[len(kept)-1]; len(kept) != 2 || last.Upstream != "up0" || last.Replica != "" || last.WhyNot != route.TooLong {
		t.Errorf("candidates %+v", kept)
	}
	if rec.GaveUp != "another try cannot help" {
		t.Errorf("no other attempt: %q", rec.GaveUp)
	}

	r = newRig(t, admit.Limits{}, true, 1)
	r.s.Models[0].Targets[0].Window = 1
	r.t.Request.Input = 2
	rec = r.record(r.want(r.step(Event{Kind: Arrived}), Done))
	if kept := rec.Kept(); len(kept) != 1 || kept[0].WhyNot != route.TooLong {
		t.Errorf("candidates %+v where none can serve", kept)
	}
}
