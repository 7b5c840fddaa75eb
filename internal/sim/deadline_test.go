package sim

import (
	"math"
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/latency"
	"headworks/internal/record"
	"headworks/internal/tenant"
)

// chat is the built-in load at another rate; its four replicas can serve 41 a second.
func chat(rate float64, requests int) (World, Load) {
	w, l := BuiltIn(requests, 1)
	l.Rate = rate
	return w, l
}

// twoPools is chat before four replicas, and four of half their speed to fall back to.
func twoPools(rate float64, requests int) (World, Load) {
	w, l := chat(rate, requests)
	second := w.Fleet.Upstreams[0]
	second.Name, second.Replicas = "second", nil
	for i := range 4 {
		second.Replicas = append(second.Replicas, fleet.Replica{ID: fleet.ReplicaID(4 + i), Name: "s" + name(i)})
	}
	w.Fleet.Upstreams, w.Fleet.Replicas = append(w.Fleet.Upstreams, second), 8
	e := w.Engines[0]
	e.Base *= 2
	e.PerPrefillToken *= 2
	w.Engines = append(w.Engines, e)
	m := &w.Fleet.Models[0]
	m.Targets = append(m.Targets, fleet.Target{Upstream: 1, ID: 1, Model: m.Targets[0].Model})
	return w, l
}

// aimed runs a load, with an objective for the first token if that is not 0, and
// returns the share of all requests within a second, and by how much first tokens were
// off that were foreseen once 200 were known.
func aimed(t *testing.T, w World, l Load, ttft time.Duration) (within, off float64, refused int, r Result) {
	t.Helper()
	w.Objective = Objective{TTFT: time.Second}
	w.Fleet.Models[0].Aim = tenant.Objective{TTFT: ttft}
	p := flow.NewPolicy(admit.Limits{InFlight: 1 << 20})
	sum, n := 0.0, 0
	r = Run(w, p, l, func(r *record.Record) {
		if r.Predicted >= 0 && r.UpstreamTTFT > 0 {
			sum += math.Abs(float64(r.Predicted-r.UpstreamTTFT)) / float64(r.UpstreamTTFT)
			n++
		}
		if r.Fault == fault.TooLate {
			refused++
		}
	})
	if k, ok := p.Learned(&w.Fleet.Upstreams[0]); !ok || k.Firsts < latency.TrustedSamples || n == 0 {
		t.Fatalf("%+v", k)
	}
	if r.Failed != refused {
		t.Errorf("%d failed, %d refused", r.Failed, refused)
	}
	return r.Within, sum / float64(n), refused, r
}

// TestFirstTokensAreForeseen within 25 % on average, on chat up to what the replicas can
// serve and beyond, where they wait for room in their KV caches, and on the ladder of
// shared prefixes.
func TestFirstTokensAreForeseen(t *testing.T) {
	for name, build := range map[string]func() (World, Load){
		"chat at 30/s": func() (World, Load) { return chat(30, 6000) },
		"chat at 38/s": func() (World, Load) { return chat(38, 6000) },
		"chat at 46/s": func() (World, Load) { return chat(46, 6000) },
		"ladder": func() (World, Load) {
			w := LadderPool()
			l := Ladder(1, w.Start)
			l.Stages = append(l.Stages[:1:1], l.Stages[7:11]...)
			return w, l
		},
		"Mooncake's conversations": func() (World, Load) {
			w := LadderPool()
			l := replay(trace(t, "mooncake/conversation.jsonl.gz", 0))
			l.Start, l.Caller = w.Start, &tenant.Caller{}
			return w, l
		},
	} {
		w, l := build()
		within, off, _, r := aimed(t, w, l, 0)
		t.Logf("%s: first tokens off by %.1f %% on average; %.1f %% of them within 1 s, p99 %.0f ms", name, 100*off, 100*within, r.TTFT.P99)
		if off > latency.TrustedError {
			t.Errorf("%s: off by %.1f %%", name, 100*off)
		}
	}
}

// TestDeadlines: where targets stand in an order, the second one takes what the first
// would begin too late; of like replicas the usual choice is the soonest already, and
// nothing changes; and beyond what they can serve, only to refuse what would be late
// helps.
func TestDeadlines(t *testing.T) {
	share := func(build func(float64, int) (World, Load), rate float64, ttft time.Duration, refuse bool) (float64, int) {
		w, l := build(rate, 6000)
		w.Fleet.Models[0].RefuseLate = refuse
		within, _, refused, _ := aimed(t, w, l, ttft)
		t.Logf("%g/s, objective %v, refuse %v: %.1f %% within 1 s, %d refused", rate, ttft, refuse, 100*within, refused)
		return within, refused
	}
	off, _ := share(twoPools, 50, 0, false)
	on, refused := share(twoPools, 50, time.Second, false)
	if on < off+0.15 || refused > 0 {
		t.Errorf("two pools: %.3f within, %.3f without an objective; %d refused", on, off, refused)
	}
	off, _ = share(chat, 46, 0, false)
	if on, _ = share(chat, 46, time.Second, false); on < off-0.02 {
		t.Errorf("like replicas: %.3f within, %.3f without an objective", on, off)
	}
	if on, refused = share(chat, 46, time.Second, true); on < off+0.15 || refused == 0 || refused > 2000 {
		t.Errorf("refused %d: %.3f within, %.3f otherwise", refused, on, off)
	}
}
