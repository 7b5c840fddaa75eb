package monitor

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"headworks/internal/alert"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/record"
)

var start = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

// world makes records of requests in virtual time.
type world struct {
	*Monitor
	src  *rand.Rand
	now  time.Time
	told []alert.Notice
}

func newWorld(seed uint64) *world {
	return &world{Monitor: New(Settings{}, nil), src: rand.New(rand.NewPCG(seed, seed)), now: start}
}

// run lets so many requests a second come for a while; each record is as usual but for
// what change does to it.
func (w *world) run(rate float64, for_ time.Duration, change func(*record.Record)) {
	end := w.now.Add(for_)
	check := w.now.Add(Every)
	for w.now.Before(end) {
		w.now = w.now.Add(time.Duration(w.src.ExpFloat64() / rate * float64(time.Second)))
		for check.Before(w.now) {
			w.told = append(w.told, w.Check(check)...)
			check = check.Add(Every)
		}
		var r record.Record
		r.Reset()
		r.ID = inference.NewID(w.now, uint16(w.src.Uint32()), w.src.Uint64())
		r.Time, r.Model, r.Tier, r.Surface, r.Operation = w.now.UnixMicro(), "assistant", "pro", "openai", "chat"
		r.KeyID, r.Key, r.Tenant, r.Generation = string('a'+rune(w.src.IntN(20))), "k", "t", 3
		r.Upstream, r.Region, r.Zone, r.Replica, r.Stream = "eu", "eu-west", "a", "r"+string('1'+rune(w.src.IntN(4))), true
		if w.src.IntN(2) == 0 {
			r.Upstream, r.Region = "us", "us-east"
		}
		r.TTFT, r.GapMax, r.TPOT = int64(300_000*lognormal(w.src)), int64(100_000*lognormal(w.src)), int64(20_000*lognormal(w.src))
		r.Total, r.Input, r.Output, r.Cost, r.Status, r.End, r.Finish = 2_000_000, int64(800*lognormal(w.src)), int64(200*lognormal(w.src)), 100, 200, record.OK, inference.Stop
		if change != nil {
			change(&r)
		}
		if r.Tried == 0 {
			r.Try(record.Attempt{Upstream: r.Upstream, Replica: r.Replica, Fault: r.Fault})
		}
		w.Observe(&r)
	}
}

func lognormal(src *rand.Rand) float64 { return 1 + 0.3*src.Float64() }

func fail(r *record.Record, k fault.Kind) {
	r.Fault, r.Status, r.End = k, int64(k.Info().Status), record.Failed
	if k == fault.Interrupted {
		r.End = record.AbnormalEnd
	}
}

// TestFaultsAreNamed: whatever goes wrong, an alarm names who it is within minutes, with
// requests to look at and a command to give.
func TestFaultsAreNamed(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(src *rand.Rand, r *record.Record)
		title  string // what an alarm has to say ...
		cause  string // ... of whom ...
		next   string // ... and what to do
	}{
		{"a replica cuts streams", func(_ *rand.Rand, r *record.Record) {
			if r.Upstream == "eu" && r.Replica == "r2" {
				fail(r, fault.Interrupted)
			}
		}, "requests fail", "replica eu/r2", "headworks drain --upstream eu --replica r2 --for 30m"},
		{"an upstream is refused", func(src *rand.Rand, r *record.Record) {
			if r.Upstream == "us" && src.IntN(3) == 0 {
				fail(r, fault.Connect)
			}
		}, "requests fail", "upstream us", "headworks drain --upstream us --for 30m"},
		{"a try fails and another makes it good", func(_ *rand.Rand, r *record.Record) {
			if r.Upstream == "us" {
				r.Try(record.Attempt{Upstream: "us", Replica: r.Replica, Fault: fault.UpstreamError})
				r.Try(record.Attempt{Upstream: "eu", Replica: "r1"})
				r.Upstream, r.Replica, r.FailoverFrom = "eu", "r1", "us"
			}
		}, "of attempts fail", "upstream us", "headworks drain --upstream us --for 30m"},
		{"a credential is refused", func(_ *rand.Rand, r *record.Record) {
			if r.Upstream == "us" {
				fail(r, fault.UpstreamAuth)
			}
		}, "requests fail", "mostly credential", "headworks models --discover"},
		{"a zone is slow", func(_ *rand.Rand, r *record.Record) {
			if r.Region == "eu-west" {
				r.TTFT *= 20
			}
		}, "first tokens are late", "upstream eu", "headworks drain --upstream eu --for 30m"},
		{"answers pause", func(_ *rand.Rand, r *record.Record) {
			if r.Upstream == "eu" && r.Replica == "r4" {
				r.GapMax = 5_000_000
			}
		}, "answers pause", "replica eu/r4", "headworks drain --upstream eu --replica r4 --for 30m"},
		{"we are overloaded", func(src *rand.Rand, r *record.Record) {
			if src.IntN(5) == 0 {
				fail(r, fault.Overloaded)
				r.Upstream, r.Replica, r.Region, r.Zone = "", "", "", ""
				r.Tried = 1
			}
		}, "requests fail", "overloaded", "headworks status"},
		{"one key asks for what nobody can answer", func(_ *rand.Rand, r *record.Record) {
			if r.KeyID == "a" {
				r.Key = "batch"
				fail(r, fault.UpstreamError)
			}
		}, "requests fail", "key batch", "headworks explain req_"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(7)
			w.run(5, 30*time.Minute, nil)
			if len(w.told) > 0 {
				t.Fatalf("before: %+v", w.told[0])
			}
			began := w.now
			w.run(5, 10*time.Minute, func(r *record.Record) { test.change(w.src, r) })
			for _, n := range w.told {
				a := n.Alert
				if strings.Contains(a.Title, test.title) && strings.Contains(a.Cause, test.cause) {
					if !strings.HasPrefix(a.Next, test.next) || len(a.Evidence) == 0 || a.Impact == "" {
						t.Errorf("%+v", a)
					}
					t.Logf("after %v: %s; %s; %s", a.Since.Sub(began).Round(time.Second), a.Title, a.Cause, a.Next)
					return
				}
			}
			t.Errorf("nobody says so; told: %+v", w.told)
		})
	}
}

// TestQuietDay: a day with nothing wrong, a failure now and then and what callers do
// wrong makes no alarm.
func TestQuietDay(t *testing.T) {
	w := newWorld(8)
	w.run(1, 24*time.Hour, func(r *record.Record) {
		switch w.src.IntN(4000) {
		case 0:
			fail(r, fault.UpstreamError)
		case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19:
			fail(r, fault.InvalidRequest)
			r.Tried = 1
		case 20, 21, 22:
			r.End = record.ClientClosed
		}
	})
	for _, n := range w.told {
		t.Errorf("%s: %+v", n.Alert.Since, n.Alert)
	}
}

// TestChangesAreTold: what no objective speaks of is told when it changes: answers that
// are cut at their limit, times per token, lengths, and the traffic itself.
func TestChangesAreTold(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(src *rand.Rand, r *record.Record)
		title  string
		rate   float64
	}{
		{"slow tokens", func(_ *rand.Rand, r *record.Record) { r.TPOT = r.TPOT * 3 / 2 }, "time per token rose", 1},
		{"long answers", func(_ *rand.Rand, r *record.Record) { r.Output *= 2 }, "length of answers rose", 1},
		{"cut at the limit", func(src *rand.Rand, r *record.Record) {
			if src.IntN(4) == 0 {
				r.Finish = inference.Length
			}
		}, "answers cut at their limit rose", 1},
		{"refusals", func(src *rand.Rand, r *record.Record) {
			if src.IntN(4) == 0 {
				r.Finish = inference.ContentFilter
			}
		}, "refusals rose", 1},
		{"a spike", func(src *rand.Rand, r *record.Record) {
			if src.IntN(10) < 9 {
				r.Key, r.Tenant = "batch", "acme"
			}
		}, "requests in five minutes", 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(9)
			w.run(0.4, 26*time.Hour, nil)
			w.told = nil
			w.run(0.4*test.rate, 40*time.Minute, func(r *record.Record) { test.change(w.src, r) })
			for _, n := range w.told {
				if strings.Contains(n.Alert.Title, test.title) {
					t.Logf("%s; %s", n.Alert.Title, n.Alert.Cause)
					if test.rate > 1 && !strings.Contains(n.Alert.Cause, "acme") && !strings.Contains(n.Alert.Cause, "batch") {
						t.Errorf("the cause is %q", n.Alert.Cause)
					}
					return
				}
			}
			t.Errorf("told: %+v", w.told)
		})
	}
}

// TestGivenAnswers: answers that were made for other requests are traffic and count for
// the objectives, and say nothing of how their model changes.
func TestGivenAnswers(t *testing.T) {
	for _, test := range []struct {
		state string
		rises bool
	}{{"hit", false}, {"joined", false}, {"miss", true}} {
		w := newWorld(12)
		w.run(1, 7*time.Hour, nil)
		w.told = nil
		began, n := w.now, int64(0)
		w.run(2, 10*time.Minute, func(r *record.Record) {
			r.Cache, r.TTFT, r.Output = test.state, 2_000_000, 5000
			n++
		})
		rises := map[string]bool{}
		for _, n := range w.told {
			for _, what := range []string{names[firstToken], names[answerLength]} {
				if strings.Contains(n.Alert.Title, what+" rose") {
					rises[what] = true
				}
			}
		}
		if want := map[bool]int{true: 2}[test.rises]; len(rises) != want {
			t.Errorf("%s: %v rose, want %d", test.state, rises, want)
		}
		b := w.served[key{model: "assistant", tier: "pro"}].budgets[firstToken]
		if all := b.Within(w.now, w.now.Sub(began)).All; all < n {
			t.Errorf("%s: of %d first tokens the objective knows %d", test.state, n, all)
		}
	}
}

// TestBounds: however many models there are, so much is kept and the rest is counted.
func TestBounds(t *testing.T) {
	w := newWorld(10)
	n := 0
	w.run(1000, 20*time.Second, func(r *record.Record) {
		n++
		r.Model = "m" + strings.Repeat("x", n%1500)
	})
	if len(w.served) > maxServed || len(w.models) > maxModels || w.Over() == 0 {
		t.Errorf("%d models, %d over", len(w.models), w.Over())
	}
}

// TestConditions: what the process itself knows to be wrong is told, and over when it is.
func TestConditions(t *testing.T) {
	wrong := true
	w := New(Settings{}, func(time.Time) []alert.Alert {
		if !wrong {
			return nil
		}
		return []alert.Alert{{Fingerprint: "disk", Severity: alert.Page, Title: "the disk is full"}}
	})
	now := start
	if told := w.Check(now); len(told) != 1 || told[0].Why != alert.Fired {
		t.Errorf("told: %+v", told)
	}
	wrong = false
	for range 3 {
		now = now.Add(Every)
		if told := w.Check(now); len(told) == 1 && told[0].Why == alert.Resolved {
			return
		}
	}
	t.Error("it is over, and nobody says so")
}

// BenchmarkObserve is what a record costs, off its request's way.
func BenchmarkObserve(b *testing.B) {
	w := newWorld(11)
	var r record.Record
	r.Reset()
	r.Time, r.Model, r.Upstream, r.Replica, r.Stream, r.End = start.UnixMicro(), "m", "u", "r", true, record.OK
	r.TTFT, r.TPOT, r.GapMax, r.Total, r.Input, r.Output = 1e5, 1e4, 1e4, 1e6, 100, 100
	r.Try(record.Attempt{Upstream: "u", Replica: "r"})
	for b.Loop() {
		r.Time += 1000
		w.Observe(&r)
	}
}
