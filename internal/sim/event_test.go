package sim

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/record"
)

func places() *fleet.Snapshot {
	return &fleet.Snapshot{Replicas: 4, Upstreams: []fleet.Upstream{
		{Name: "gpu", Zone: "a", Region: "eu", Replicas: []fleet.Replica{{ID: 0, Name: "r0"}, {ID: 1, Name: "r1"}}},
		{Name: "far", Zone: "b", Region: "eu", Replicas: []fleet.Replica{{ID: 2, Name: "r2"}}},
		{Name: "zone", Region: "us", Replicas: []fleet.Replica{{ID: 3, Name: "a"}}},
	}}
}

func TestParseEvent(t *testing.T) {
	ids := func(n ...fleet.ReplicaID) []fleet.ReplicaID { return n }
	for text, want := range map[string]Event{
		"60s..120s crash gpu/r1": {Crash, ids(1), time.Minute, 2 * time.Minute, 0},
		"0s..1h hang gpu/1":      {Hang, ids(0), 0, time.Hour, 0},
		"1m..2m slow gpu x2.5":   {Slow, ids(0, 1), time.Minute, 2 * time.Minute, 2.5},
		"1m..2m fail gpu 0.5%":   {Fail, ids(0, 1), time.Minute, 2 * time.Minute, 0.005},
		"1m..2m lost zone/b":     {Crash, ids(2), time.Minute, 2 * time.Minute, 0},
		"1m..2m lost zone/a":     {Crash, ids(0, 1, 3), time.Minute, 2 * time.Minute, 0}, // an upstream may be called zone
		"1m..2m crash region/eu": {Crash, ids(0, 1, 2), time.Minute, 2 * time.Minute, 0},
	} {
		got, err := ParseEvent(text, places())
		if err != nil || got.Kind != want.Kind || !slices.Equal(got.Replicas, want.Replicas) || got.From != want.From || got.To != want.To || got.Factor != want.Factor {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                         "an event is FROM..TO WHAT WHERE",
		"60s crash gpu/1":          "an event is FROM..TO WHAT WHERE",
		"60..120 crash gpu/1":      "is no time from the start",
		"2m..1m crash gpu/1":       "ends before it begins",
		"1m..2m explode gpu/1":     `nothing is called "explode"`,
		"1m..2m slow gpu/1":        "followed by how much",
		"1m..2m fail gpu/1 x3":     "which share fails",
		"1m..2m fail gpu/1 101%":   "which share fails",
		"1m..2m crash gpu/1 5%":    "followed by how much",
		"1m..2m crash gpu/1 x3":    "followed by how much",
		"1m..2m slow gpu/1 x0.5":   "above 1",
		"1m..2m slow gpu/1 xNaN":   "above 1",
		"1m..2m crash gpu/3":       `nothing is at "gpu/3"`,
		"1m..2m crash region/mars": `nothing is at "region/mars"`,
	} {
		if _, err := ParseEvent(text, places()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// FuzzParseEvent: what is read is an event that can be simulated.
func FuzzParseEvent(f *testing.F) {
	for _, text := range []string{"1m..2m fail gpu 5%", "60s..120s crash gpu/r1", "1m..2m slow gpu x2.5", "1m..2m lost zone/b", "..  "} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseEvent(text, places())
		if err == nil && (e.From < 0 || e.To <= e.From || len(e.Replicas) == 0 || e.Kind == Slow && !(e.Factor > 1)) {
			t.Fatalf("%q is %+v", text, e)
		}
	})
}

// alone plays one long answer on one replica.
func alone(t *testing.T, events ...Event) record.Record {
	t.Helper()
	w, _ := BuiltIn(0, 0)
	w.Fleet.Upstreams[0].Replicas = w.Fleet.Upstreams[0].Replicas[:1]
	w.Events = events
	var got record.Record
	Run(w, flow.NewPolicy(admit.Limits{}), &listed{request(1, time.Second, 1000, 500)}, func(r *record.Record) { got = *r })
	return got
}

// TestHang: what a replica has in work goes on when it does.
func TestHang(t *testing.T) {
	usual := alone(t)
	hung := alone(t, Event{Kind: Hang, Replicas: []fleet.ReplicaID{0}, From: 2 * time.Second, To: 5 * time.Second})
	if hung.End != record.OK || hung.TTFT != usual.TTFT || hung.Total != usual.Total+3e6 {
		t.Errorf("%v, first after %d us, all after %d us; usually %d and %d", hung.End, hung.TTFT, hung.Total, usual.TTFT, usual.Total)
	}
	// Longer than the client's patience, as flow counts it: 30 s.
	if cut := alone(t, Event{Kind: Hang, Replicas: []fleet.ReplicaID{0}, From: 2 * time.Second, To: time.Hour}); cut.End != record.AbnormalEnd || cut.Fault != fault.Stalled || cut.Total > 60e6 {
		t.Errorf("%v %v after %d us", cut.End, cut.Fault, cut.Total)
	}
}

// TestSlow: everything takes so much longer, for as long as it lasts.
func TestSlow(t *testing.T) {
	usual := alone(t)
	slow := alone(t, Event{Kind: Slow, Factor: 3, Replicas: []fleet.ReplicaID{0}, To: time.Hour})
	if d := slow.Total - 3*usual.Total; d < -3 || d > 3 {
		t.Errorf("%d us, usually %d", slow.Total, usual.Total)
	}
	// Slow for a second: two thirds of it are lost.
	short := alone(t, Event{Kind: Slow, Factor: 3, Replicas: []fleet.ReplicaID{0}, From: 2 * time.Second, To: 3 * time.Second})
	if d := short.Total - usual.Total - 666_667; d < -3 || d > 3 {
		t.Errorf("%d us longer", short.Total-usual.Total)
	}
}

// TestClock: an engine's time only grows, and what was shown can be found again.
func TestClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c clock
		now := time.Duration(0)
		for range rapid.IntRange(0, 20).Draw(t, "changes") {
			before := c.local(now)
			now += time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "later"))
			local := c.local(now)
			if local < before || local-before > now {
				t.Fatalf("from %d to %d", before, local)
			}
			if at := c.showed(local); at > now+2 {
				t.Fatalf("%d was shown at %d, and it is %d", local, at, now)
			}
			c.set(now, rapid.SampledFrom([]float64{0, 1, 1, 1. / 3, .001}).Draw(t, "pace"))
			if c.local(now) != local {
				t.Fatal("a change of the pace moves the clock")
			}
			target := local + time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "ahead"))
			if when := c.when(target); when != never {
				if shows := c.local(time.Duration(when)); shows < target-1 {
					t.Fatalf("at %d it shows %d, not %d", when, shows, target)
				}
			}
		}
	})
}

// TestStagesDrain: a stage begins once all of the one before have ended, and a pause
// later.
func TestStagesDrain(t *testing.T) {
	w, chat := BuiltIn(0, 1)
	chat.Stages, chat.Pause = []Stage{{Rate: 200, Length: 10 * time.Second}, {Rate: 5, Length: 5 * time.Second}, {Rate: 1, Length: time.Millisecond}, {Rate: 20, Length: 10 * time.Second}}, 7*time.Second
	ladder := Ladder(1, w.Start)
	ladder.Stages = ladder.Stages[:3]
	for name, l := range map[string]Staged{"chat": chat, "ladder": ladder} {
		type span struct{ from, to time.Duration }
		var all []span
		res := Run(w, flow.NewPolicy(admit.Limits{}), l, func(r *record.Record) {
			from := time.UnixMicro(r.Time).Sub(w.Start)
			all = append(all, span{from, from + time.Duration(r.Total)*time.Microsecond})
		})
		slices.SortFunc(all, func(a, b span) int { return int(a.from - b.from) })
		ended, gaps := time.Duration(0), 0
		for i, s := range all {
			if i > 0 && s.from > ended {
				gaps++
			}
			ended = max(ended, s.to)
		}
		pause, stages := chat.Pause, 4
		if name == "ladder" {
			pause, stages = ladder.Pause, 3
		}
		begun := 0
		for i := 1; i < len(all); i++ {
			if all[i].from-all[i-1].from > pause {
				begun++
			}
		}
		if len(res.Stages) != stages || begun < stages-2 || gaps < stages-2 {
			t.Errorf("%s: %d stages, %d times nothing under way, %d pauses", name, len(res.Stages), gaps, begun)
		}
		if res.Requests != len(all) || res.Stages[0].Throughput == 0 || res.Throughput == 0 {
			t.Errorf("%s: %+v", name, res)
		}
	}
}

// TestGateways: several gateways serve every request once, alike for one seed, and
// know less of the engines' caches than one does.
func TestGateways(t *testing.T) {
	run := func(n int) Result {
		w := LadderPool()
		l := Ladder(1, w.Start)
		l.Stages = l.Stages[:3]
		var all []*flow.Policy
		for range n {
			all = append(all, flow.NewPolicy(admit.Limits{InFlight: 1 << 20}))
		}
		r := RunGateways(w, all, l, nil)
		for _, p := range all {
			for i := range w.Fleet.Replicas {
				if left := p.Load(fleet.ReplicaID(i)); left != (flow.Load{}) {
					t.Errorf("%d gateways: replica %d still counts %+v", n, i, left)
				}
			}
		}
		return r
	}
	one, four, again := run(1), run(4), run(4)
	if four.Hash != again.Hash || four.Hash == one.Hash {
		t.Error("equal runs differ, or different ones do not")
	}
	if one.Served != four.Served || one.Served != one.Requests {
		t.Errorf("%d and %d served of %d", one.Served, four.Served, one.Requests)
	}
	if four.Hit >= one.Hit || four.Hit < .2 {
		t.Errorf("of the prompts' tokens four find %.2f in caches, one %.2f", four.Hit, one.Hit)
	}
}
