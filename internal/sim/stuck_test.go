package sim

import (
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/health"
	"headworks/internal/record"
)

// stuck plays an outage of one of four replicas after a minute of chat, for another
// one, and returns what became of the requests.
func stuck(t *testing.T, kind EventKind, factor, whole float64) (failed map[fault.Kind]int, uncommitted, late, moved int, p *flow.Policy, end time.Time) {
	t.Helper()
	w, l := BuiltIn(4500, 1)
	l.Whole = whole
	from, to := 60*time.Second, 120*time.Second
	w.Events = []Event{{Kind: kind, Factor: factor, Replicas: []fleet.ReplicaID{2}, From: from, To: to}}
	p = flow.NewPolicy(admit.Limits{InFlight: 1 << 20})
	failed = map[fault.Kind]int{}
	res := Run(w, p, l, func(r *record.Record) {
		if r.Fault != fault.None {
			failed[r.Fault]++
			if !r.Committed {
				uncommitted++
			}
			if began := r.Time + r.TTFT - w.Start.UnixMicro(); r.Committed && (began > from.Microseconds() || r.Replica != "r2") {
				t.Errorf("an answer that began after %v at %s was cut: %v", time.Duration(began)*time.Microsecond, r.Replica, r.Fault)
			}
		}
		if r.TTFT > 10e6 {
			late++
		}
		for _, a := range r.Attempts {
			if a.Fault == fault.NoProgress {
				moved++
				if a.Replica != "r2" {
					t.Errorf("%s was left", a.Replica)
				}
			}
		}
	})
	if n := p.Gate.InFlight() + p.Gate.Waiting() + p.Retries(); n != 0 || res.Requests != 4500 {
		t.Errorf("%d places still taken, %d requests", n, res.Requests)
	}
	return failed, uncommitted, late, moved, p, w.Start.Add(to)
}

// TestAHangIsFound: of a replica that hangs with 1,100 requests to come for each, only
// answers that it had begun are cut, once they were silent for as long as the model
// allows; whoever waits there moves on, and once it goes on it is back.
func TestAHangIsFound(t *testing.T) {
	failed, uncommitted, late, moved, p, end := stuck(t, Hang, 0, 0)
	t.Logf("failed %v, %d moved, %d began after more than 10 s", failed, moved, late)
	if uncommitted > 0 || len(failed) != 1 || failed[fault.Stalled] == 0 || failed[fault.Stalled] > 100 {
		t.Errorf("failed %v, %d of them before they began", failed, uncommitted)
	}
	if moved == 0 || late > 150 {
		t.Errorf("%d moved, %d began late", moved, late)
	}
	if st := p.Health.Of(2, "", end.Add(time.Minute)); !st.In() && !st.Probe {
		t.Errorf("it does not come back: %+v", st)
	}
}

// TestSlowIsNotStuck: a replica of half the speed, or of an eighth, works; nobody leaves
// it, and nothing fails.
func TestSlowIsNotStuck(t *testing.T) {
	for _, factor := range []float64{2, 8} {
		failed, _, late, moved, p, end := stuck(t, Slow, factor, 0)
		t.Logf("x%g: failed %v, %d moved, %d began after more than 10 s", factor, failed, moved, late)
		if len(failed) > 0 || moved > 0 || p.Health.Of(2, "", end).Why == health.Stuck {
			t.Errorf("x%g: failed %v, %d moved", factor, failed, moved)
		}
	}
}

// TestACrashIsNoHang: who refuses is out at once, and only what it was answering is cut.
func TestACrashIsNoHang(t *testing.T) {
	failed, uncommitted, late, moved, _, _ := stuck(t, Crash, 0, 0)
	t.Logf("failed %v, %d moved, %d began after more than 10 s", failed, moved, late)
	if uncommitted > 0 || len(failed) != 1 || failed[fault.Interrupted] == 0 || moved > 0 {
		t.Errorf("failed %v, %d of them before they began, %d moved", failed, uncommitted, moved)
	}
}

// TestAHangIsFoundWithoutStreams: where nobody streams, only that others end what came
// later tells that a replica hangs. No request fails: all that wait there move.
func TestAHangIsFoundWithoutStreams(t *testing.T) {
	failed, _, _, moved, p, end := stuck(t, Hang, 0, 1)
	t.Logf("failed %v, %d moved", failed, moved)
	if len(failed) > 0 || moved == 0 || moved > 1000 {
		t.Errorf("failed %v, %d moved", failed, moved)
	}
	if st := p.Health.Of(2, "", end.Add(time.Minute)); !st.In() && !st.Probe {
		t.Errorf("it does not come back: %+v", st)
	}
}

// TestSlowIsNotStuckWithoutStreams: a replica of half the speed ends what it has, and
// so does one of an eighth.
func TestSlowIsNotStuckWithoutStreams(t *testing.T) {
	for _, factor := range []float64{2, 8} {
		failed, _, _, moved, p, end := stuck(t, Slow, factor, 1)
		t.Logf("x%g: failed %v, %d moved", factor, failed, moved)
		if len(failed) > 0 || moved > 0 || p.Health.Of(2, "", end).Why == health.Stuck {
			t.Errorf("x%g: failed %v, %d moved", factor, failed, moved)
		}
	}
}
