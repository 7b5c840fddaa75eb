package sim

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/latency"
	"headworks/internal/record"
	"headworks/internal/tenant"
)

// listed is a load that is known whole.
type listed []Arrival

func (l *listed) Next() (Arrival, bool) {
	if len(*l) == 0 {
		return Arrival{}, false
	}
	a := (*l)[0]
	*l = (*l)[1:]
	return a, true
}

func request(id uint64, at time.Duration, input, output int) Arrival {
	return Arrival{
		At: at, Output: output, Caller: &tenant.Caller{},
		Request: inference.Request{ID: inference.NewID(time.Unix(0, 0), 0, id), Model: "assistant", Stream: true, Input: input, N: 1},
	}
}

// play runs a load through the built-in world, with outages, and returns its
// records by the order of their ends.
func play(t *testing.T, l listed, events ...Event) ([]record.Record, Result) {
	t.Helper()
	w, _ := BuiltIn(0, 0)
	w.Events = events
	p := flow.NewPolicy(admit.Limits{})
	var records []record.Record
	res := Run(w, p, &l, func(r *record.Record) { records = append(records, *r) })
	if n := p.Gate.InFlight() + p.Gate.Waiting() + p.Retries(); n != 0 {
		t.Errorf("%d places still taken", n)
	}
	return records, res
}

func TestOneRequest(t *testing.T) {
	records, res := play(t, listed{request(1, time.Second, 1800, 3)})
	p, _ := latency.Profile(latency.Qwen32B)
	prefill := p.Overhead + time.Duration((p.Base+1800*p.PerPrefillToken+p.PerSequence)/latency.Nanosecond)
	decode := time.Duration((p.Base + 1801*p.PerKVToken + p.PerSequence) / latency.Nanosecond)
	r := records[0]
	if r.TTFT != prefill.Microseconds() || r.UpstreamTTFT != r.TTFT || r.TPOT != decode.Microseconds() || r.Total != (prefill+2*decode).Microseconds() {
		t.Errorf("TTFT %d, TPOT %d, total %d us; want %v, %v", r.TTFT, r.TPOT, r.Total, prefill, decode)
	}
	if r.End != record.OK || r.Finish != inference.Stop || r.Input != 1800 || r.Output != 3 || r.UsageSource != record.Provider || !r.Simulated || !r.Committed {
		t.Errorf("%+v", r)
	}
	if res.Steps != 3 || res.Served != 1 || res.Requests != 1 {
		t.Errorf("%+v", res)
	}
}

func TestWholeAnswers(t *testing.T) {
	whole, cut, one, long, none := request(1, 0, 10, 5), request(2, 0, 10, 50), request(3, 0, 10, 1), request(4, 0, 307_000, 1000), request(5, 0, 400_000, 1)
	whole.Request.Stream = false
	cut.Request.MaxTokens = 4
	none.Request.Stream = false
	records, res := play(t, listed{whole, cut, one, long, none})
	slices.SortFunc(records, func(a, b record.Record) int { return slices.Compare(a.ID[:], b.ID[:]) })
	for i, want := range []struct {
		output int64
		finish inference.Finish
		fault  fault.Kind
	}{
		{5, inference.Stop, 0},
		{4, inference.Length, 0},
		{1, inference.Stop, 0},
		{329, inference.Length, 0}, // 307,328 tokens of KV
		{0, inference.Unfinished, fault.ContextTooLong},
	} {
		if r := records[i]; r.Output != want.output || r.Finish != want.finish || r.Fault != want.fault {
			t.Errorf("request %d: %d tokens, %v, %v; want %+v", i+1, r.Output, r.Finish, r.Fault, want)
		}
	}
	if r := records[0]; r.TTFT != r.Total {
		t.Errorf("a whole answer is there after %d us, its first byte after %d", r.Total, r.TTFT)
	}
	if res.Served != 4 || res.Failed != 1 || res.Faults["context_too_long"] != 1 {
		t.Errorf("%+v", res)
	}
}

// TestLongStreamIsNotStalled: flow looks after a stream that goes on for minutes,
// and sees that it moves.
func TestLongStreamIsNotStalled(t *testing.T) {
	records, res := play(t, listed{request(1, 0, 10, 10_000)})
	if r := records[0]; r.End != record.OK || r.Total < 90e6 {
		t.Errorf("%v after %d us", r.Fault, r.Total)
	}
	if res.Steps < 8 {
		t.Errorf("%d steps", res.Steps)
	}
}

func TestOutage(t *testing.T) {
	var l listed
	for i := range uint64(400) {
		l = append(l, request(i, time.Duration(i)*25*time.Millisecond, 500, 100))
	}
	gone := Event{Replicas: []fleet.ReplicaID{2}, From: 4 * time.Second, To: 7 * time.Second}
	records, res := play(t, l, gone)
	cut, moved, during := 0, 0, 0
	for _, r := range records {
		switch {
		case r.Fault == fault.Interrupted && r.End == record.AbnormalEnd && r.Committed && r.UsageSource == record.Estimated && r.Output > 0:
			cut++
		case r.End != record.OK:
			t.Errorf("%v %v", r.End, r.Fault)
		case r.FailoverFrom == "r2":
			moved++
		}
		for _, a := range r.Tries() {
			began := time.UnixMicro(r.Time + a.Start).Sub(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
			if a.Replica == "r2" && a.Fault == fault.None && began > gone.From && began < gone.To {
				during++
			}
		}
	}
	if cut == 0 || moved == 0 || during != 0 {
		t.Errorf("%d answers were cut, %d moved, %d came from nowhere", cut, moved, during)
	}
	if got := res.Faults["abnormal_end"]; got != cut {
		t.Errorf("%d faults, want %d", got, cut)
	}
	if back := res.Replicas[2]; back.Served < 20 || back.Served > 60 {
		t.Errorf("after the outage a share of the traffic comes back: %+v", back)
	}
}

// TestEveryRequestEndsOnce plays random worlds: whatever happens there, every
// request has one record, and nothing stays taken.
func TestEveryRequestEndsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "requests")
		w, l := BuiltIn(n, rapid.Uint64().Draw(t, "seed"))
		l.Rate = rapid.Float64Range(1, 500).Draw(t, "rate")
		l.Whole = rapid.Float64Range(0, 1).Draw(t, "whole")
		leaves := rapid.Bool().Draw(t, "clients leave")
		var load listed
		for a, ok := l.Next(); ok; a, ok = l.Next() {
			if leaves && a.Request.Input%3 == 0 {
				a.Leaves = time.Duration(a.Request.Input) * time.Millisecond
			}
			load = append(load, a)
		}
		for at := time.Duration(0); at < 20*time.Second && rapid.IntRange(0, 3).Draw(t, "outage") > 0; {
			at += time.Duration(rapid.IntRange(0, 5_000).Draw(t, "from")) * time.Millisecond
			w.Events = append(w.Events, Event{
				Kind:     rapid.SampledFrom([]EventKind{Crash, Hang, Slow, Drain, Cut}).Draw(t, "kind"),
				Factor:   1.5,
				Replicas: []fleet.ReplicaID{fleet.ReplicaID(rapid.IntRange(0, 3).Draw(t, "replica"))},
				From:     at, To: at + time.Duration(rapid.IntRange(1, 20_000).Draw(t, "for"))*time.Millisecond,
			})
		}
		w.Fleet.Models[0].Timeouts.FirstToken = time.Duration(rapid.IntRange(1, 60).Draw(t, "first token")) * time.Second
		p := flow.NewPolicy(admit.Limits{InFlight: rapid.IntRange(0, 50).Draw(t, "in flight"), Queue: rapid.IntRange(1, 50).Draw(t, "queue")})
		seen := make(map[inference.ID]bool)
		res := Run(w, p, &load, func(r *record.Record) {
			switch {
			case seen[r.ID]:
				t.Fatalf("%v ended twice", r.ID)
			case r.End == record.Open, (r.End == record.OK) != (r.Fault == fault.None), r.Total < r.TTFT:
				t.Fatalf("%+v", r)
			case r.End == record.OK && (r.UsageSource != record.Provider || r.Output == 0):
				t.Fatalf("served, and %d tokens by %v", r.Output, r.UsageSource)
			}
			seen[r.ID] = true
		})
		if len(seen) != n || res.Requests != n || res.Served+res.Failed != n {
			t.Fatalf("%d of %d ended: %+v", len(seen), n, res)
		}
		if left := p.Gate.InFlight() + p.Gate.Waiting() + p.Retries(); left != 0 {
			t.Fatalf("%d places still taken", left)
		}
		for i := range w.Fleet.Replicas {
			if left := p.Load(fleet.ReplicaID(i)); left != (flow.Load{}) {
				t.Fatalf("replica %d still counts %+v", i, left)
			}
		}
	})
}

func TestDeterministic(t *testing.T) {
	run := func(seed uint64) Result {
		w, l := BuiltIn(5_000, seed)
		w.Events = []Event{{Replicas: []fleet.ReplicaID{1}, From: 20 * time.Second, To: 40 * time.Second}}
		l.Whole = 0.3
		r := Run(w, flow.NewPolicy(admit.Limits{InFlight: 300, Queue: 100}), l, nil)
		if r.StepsPerSecond <= 0 || r.WallSeconds <= 0 {
			t.Errorf("%+v", r)
		}
		r.StepsPerSecond, r.WallSeconds = 0, 0
		return r
	}
	one := run(1)
	if diff := cmp.Diff(one, run(1)); diff != "" {
		t.Errorf("equal runs differ:\n%s", diff)
	}
	if other := run(2); other.Hash == one.Hash {
		t.Error("another seed, the same records")
	}
}

// TestBuiltIn holds the built-in load to 70 % of what its world can serve, and its
// lengths to those of the trace.
func TestBuiltIn(t *testing.T) {
	const n = 20_000
	w, l := BuiltIn(n, 1)
	var input, output float64
	usual := Run(w, flow.NewPolicy(admit.Limits{}), l, func(r *record.Record) {
		input += float64(r.Input) / n
		output += float64(r.Output) / n
	})
	if math.Abs(input/1155-1) > .05 || math.Abs(output/211-1) > .05 {
		t.Errorf("mean %.0f and %.0f tokens, want 1,155 and 211", input, output)
	}
	if usual.Served != n || usual.TTFT.P99 > 2000 || usual.TPOT.P99 > 100 {
		t.Errorf("%+v", usual)
	}
	w, most := BuiltIn(n, 1)
	most.Rate = 2 * l.Rate
	full := Run(w, flow.NewPolicy(admit.Limits{}), most, nil)
	share := l.Rate / (float64(full.Served) / full.Seconds)
	if full.Served != n || share < .68 || share > .74 {
		t.Errorf("%.0f %% of what the world can serve: %+v", 100*share, full)
	}
}

func TestAgenda(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a agenda
		type moment struct{ when, seq int64 }
		want := make([]moment, rapid.IntRange(1, 20).Draw(t, "actors"))
		for i := range want {
			a.join()
			want[i].when = never
		}
		for seq := range int64(rapid.IntRange(0, 100).Draw(t, "changes")) {
			who := rapid.IntRange(0, len(want)-1).Draw(t, "who")
			when := rapid.SampledFrom([]int64{never, 1, 2, 3, 4, 5}).Draw(t, "when")
			if want[who].when != when {
				want[who] = moment{when, seq}
			}
			a.set(int32(who), when)
			first := 0
			for i, m := range want {
				if m.when < want[first].when || m.when == want[first].when && m.seq < want[first].seq {
					first = i
				}
			}
			got, at := a.next()
			if at != want[first].when || at != never && int(got) != first || at == never && got != -1 {
				t.Fatalf("next is %d at %d, want %d at %d", got, at, first, want[first].when)
			}
		}
	})
}

func TestPercentiles(t *testing.T) {
	var us []int64
	for i := range int64(101) {
		us = append(us, (100-i)*1000)
	}
	if got, want := percentiles(us), (Percentiles{50, 50, 90, 95, 99}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := percentiles(nil); got != (Percentiles{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func BenchmarkRun(b *testing.B) {
	for _, replicas := range []int{4, 100, 1000} {
		b.Run(name(replicas), func(b *testing.B) {
			var steps, seconds float64
			for b.Loop() {
				w, l := BuiltIn(100_000, 1)
				u := &w.Fleet.Upstreams[0]
				for i := len(u.Replicas); i < replicas; i++ {
					u.Replicas = append(u.Replicas, fleet.Replica{ID: fleet.ReplicaID(i), Name: name(i)})
				}
				w.Fleet.Replicas = replicas
				l.Rate *= float64(replicas) / 4
				r := Run(w, flow.NewPolicy(admit.Limits{}), l, nil)
				steps += float64(r.Steps)
				seconds += r.WallSeconds
			}
			b.ReportMetric(steps/seconds, "steps/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}
