package health

import (
	"slices"
	"strings"
	"testing"
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// rig is a pool under the default rules, with a draw that leaves the back-off
// unjittered.
type rig struct {
	*testing.T
	s    State
	pool []fleet.Replica
	now  time.Time
	draw float64
}

func newRig(t *testing.T, size int) *rig {
	return &rig{T: t, s: State{Rules: Default()}, pool: pool(size), now: start, draw: 0.5}
}

func pool(size int) (p []fleet.Replica) {
	for i := range size {
		p = append(p, fleet.Replica{ID: fleet.ReplicaID(i)})
	}
	return p
}

func (r *rig) after(d time.Duration) { r.now = r.now.Add(d) }

// pass and fail send a request to a replica and let it end a millisecond later.
func (r *rig) pass(id fleet.ReplicaID) {
	r.s.Sent(id, r.now)
	sent := r.now
	r.after(time.Millisecond)
	r.s.Passed(id, "m", sent, r.now)
}

func (r *rig) fail(id fleet.ReplicaID, k fault.Kind) bool {
	return r.failWith(id, fault.New(k, ""))
}

func (r *rig) failWith(id fleet.ReplicaID, f *fault.Error) bool {
	r.s.Sent(id, r.now)
	sent := r.now
	r.after(time.Millisecond)
	return r.s.Failed(id, "", r.pool, f, sent, r.now, r.draw)
}

func (r *rig) want(id fleet.ReplicaID, why string) Standing {
	r.Helper()
	st := r.s.Of(id, "", r.now)
	if st.Why != why {
		r.Fatalf("at %v replica %d is %q, want %q", r.now.Sub(start), id, st.Why, why)
	}
	return st
}

// putOut refuses a connection, which puts a replica out for Base.
func (r *rig) putOut(id fleet.ReplicaID) {
	r.Helper()
	if !r.fail(id, fault.Connect) {
		r.Fatal("a refused connection left the replica in")
	}
}

func TestUnknownReplicaGetsTraffic(t *testing.T) {
	r := newRig(t, 2)
	if st := r.want(1, ""); st.Weight != 1 || st.Probe {
		t.Errorf("%+v", st)
	}
	r.s.Sent(1, r.now) // neither of these needs to know it
	r.s.Spared(1, r.now)
}

// TestWhenAReplicaIsPutOut tells a story by letters, one result each: + passed,
// - failed, . a second passes, : ten, | a minute. The last letter is what puts
// the replica out, if anything does.
func TestWhenAReplicaIsPutOut(t *testing.T) {
	tests := map[string]struct {
		story string
		out   bool
	}{
		"three in a row are few":                   {"---", false},
		"three in a row of five":                   {"++---", true},
		"three in a row, five seen long ago":       {"++||---", true},
		"four seen":                                {"+---", false},
		"and with the fifth":                       {"+----", true},
		"a success between":                        {"++--+--", false},
		"three in a row within a minute":           {"++-:-:-", true},
		"three in a row over more than a minute":   {"++-:::-::::-", false},
		"five in a row over any time":              {"-|-|-|-|-", true},
		"four in a row over any time":              {"-|-|-|-", false},
		"nineteen results, half of them bad":       {"+-+-+-+-+-+-+-+-+--", false},
		"twenty results, half of them bad":         {"+-+-+-+-+-+-+-+-+-+-", true},
		"a success puts nobody out":                {"+-+-+-+-+-+-+-+-+--+", false},
		"but the failure after it does":            {"+-+-+-+-+-+-+-+-+--+-", true},
		"busy: three in a row are no reason":       {"++++++++++++++++++++---", false},
		"busy: four in a row are not, either":      {"++++++++++++++++++++----", false},
		"busy: five in a row are":                  {"++++++++++++++++++++-----", true},
		"twenty results, but not within 30 s":      {"+-+-+-+-+-:::::+-+-+-+-+-", false},
		"twenty results, but 55 s apart":           {"+-+-+-+-+-:::::.....+-+-+-+-+-", false},
		"half bad within 30 s, though not at once": {"+-+-+.-+-+-.+-+-+.-+-+-", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 2)
			out := false
			for i, c := range tt.story {
				switch c {
				case '+':
					r.pass(0)
				case '-':
					out = r.fail(0, fault.UpstreamError)
				case '.':
					r.after(time.Second)
				case ':':
					r.after(10 * time.Second)
				case '|':
					r.after(time.Minute)
				}
				if last := i == len(tt.story)-1; out != (last && tt.out) {
					t.Fatalf("after %q: out is %v", tt.story[:i+1], out)
				}
			}
			if st := r.s.Of(0, "", r.now); (st.Why == Failing) != tt.out {
				t.Errorf("%+v", st)
			}
			r.want(1, "")
		})
	}
}

// TestWhatAFailureTeaches holds for every kind of failure there is.
func TestWhatAFailureTeaches(t *testing.T) {
	for _, k := range fault.Kinds() {
		t.Run(k.String(), func(t *testing.T) {
			r := newRig(t, 2)
			r.pass(0)
			r.pass(0)
			first := r.fail(0, k)
			want := map[fault.Effect]string{fault.Down: Refused, fault.CoolDown: Cooling, fault.Credential: Credential}[k.Info().Effect]
			st := r.want(0, want)
			if first != (want != "") {
				t.Errorf("told %v, stands %q", first, st.Why)
			}
			if st.Resort != (want == Refused) {
				t.Errorf("as a last resort: %v", st.Resort)
			}
			if want == "" {
				r.fail(0, k)
				r.fail(0, k)
				want = map[fault.Effect]string{fault.Counts: Failing, fault.Denied: Credential}[k.Info().Effect]
				r.want(0, want)
			}
		})
	}
}

func TestAtMostHalfAndNeverTheLast(t *testing.T) {
	for size := 1; size <= 10; size++ {
		r := newRig(t, size)
		for id := range fleet.ReplicaID(size) {
			for range 10 {
				r.fail(id, fault.UpstreamError)
			}
		}
		out := 0
		for id := range fleet.ReplicaID(size) {
			if r.s.Of(id, "", r.now).Why != "" {
				out++
			}
		}
		if out != size/2 {
			t.Errorf("%d of %d are out", out, size)
		}
	}
	// Who refuses connections is out, however few are left; soft failures then put
	// out nobody else.
	r := newRig(t, 3)
	r.putOut(0)
	for range 10 {
		r.fail(1, fault.UpstreamError)
	}
	r.want(1, "")
	r.putOut(1)
	r.putOut(2)
	for id := range fleet.ReplicaID(3) {
		if st := r.want(id, Refused); !st.Resort {
			t.Error("nobody is left, not even as a last resort")
		}
	}
}

func TestBackOffDoubles(t *testing.T) {
	r := newRig(t, 2)
	for _, seconds := range []int{5, 10, 20, 40, 60, 60, 60} {
		r.putOut(0)
		wait := time.Duration(seconds) * time.Second
		if got := r.want(0, Refused).Until.Sub(r.now); got != wait {
			t.Fatalf("out for %v, want %v", got, wait)
		}
		r.after(wait - 1)
		r.want(0, Refused)
		r.after(1)
		if !r.want(0, "").Probe {
			t.Fatal("not half open")
		}
	}
	// A success brings it back, but the past is forgotten only with a success at
	// its full share.
	r.pass(0)
	r.putOut(0)
	if got := r.want(0, Refused).Until.Sub(r.now); got != time.Minute {
		t.Errorf("out again for %v", got)
	}
	r.after(time.Minute)
	r.pass(0)
	r.after(30 * time.Second)
	r.pass(0)
	r.putOut(0)
	if got := r.want(0, Refused).Until.Sub(r.now); got != 5*time.Second {
		t.Errorf("out for %v after it was well for long", got)
	}
}

func TestJitter(t *testing.T) {
	for _, tt := range []struct {
		draw float64
		want time.Duration
	}{{0, 3750 * time.Millisecond}, {0.5, 5 * time.Second}, {0.75, 5625 * time.Millisecond}} {
		r := newRig(t, 2)
		r.draw = tt.draw
		r.putOut(0)
		if got := r.want(0, Refused).Until.Sub(r.now); got != tt.want {
			t.Errorf("draw %v: out for %v, want %v", tt.draw, got, tt.want)
		}
	}
}

// TestOneCrashIsOneReason: the many requests that a crash cuts do not each double
// the back-off, nor does one that was under way before bring the replica back.
func TestOneCrashIsOneReason(t *testing.T) {
	r := newRig(t, 2)
	sent := r.now
	r.after(time.Second)
	for range 20 {
		r.s.Failed(0, "", r.pool, fault.New(fault.Interrupted, ""), sent, r.now, r.draw)
		r.s.Failed(0, "", r.pool, fault.New(fault.Connect, ""), sent, r.now, r.draw)
	}
	if got := r.want(0, Refused).Until.Sub(r.now); got != 5*time.Second {
		t.Errorf("out for %v", got)
	}
	r.s.Passed(0, "m", sent, r.now)
	r.want(0, Refused)
	r.after(5 * time.Second)
	r.pass(0)
	for range 20 {
		if r.s.Failed(0, "", r.pool, fault.New(fault.Stalled, ""), sent, r.now, r.draw) {
			t.Fatal("what began before the crash put it out again")
		}
	}
}

func TestHalfOpenLetsOneThrough(t *testing.T) {
	r := newRig(t, 2)
	old := r.now
	r.putOut(0)
	r.after(5 * time.Second)
	if st := r.want(0, ""); !st.Probe || st.Weight != 1 {
		t.Fatalf("%+v", st)
	}
	probe := r.now
	r.s.Sent(0, probe)
	r.after(time.Second)
	if !r.want(0, Probing).Resort {
		t.Error("not even a last resort")
	}
	// Who else leaves does not make room for a second probe.
	r.s.Spared(0, old)
	r.want(0, Probing)
	// A probe whose client left has told nothing: the next may find out.
	r.s.Spared(0, probe)
	r.want(0, "")
	r.s.Sent(0, r.now)
	r.want(0, Probing)
	// One that takes longer than any back-off does not bar the way for ever.
	r.after(time.Minute)
	if !r.want(0, "").Probe {
		t.Error("a slow probe bars the way")
	}
}

func TestProbeThatFailsPutsOutAgain(t *testing.T) {
	for _, k := range []fault.Kind{fault.UpstreamError, fault.Connect} {
		r := newRig(t, 2)
		r.putOut(0)
		r.after(5 * time.Second)
		if !r.fail(0, k) {
			t.Fatal("still in")
		}
		if got := r.want(0, Refused).Until.Sub(r.now); got != 10*time.Second {
			t.Errorf("%v: out for %v", k, got)
		}
	}
}

// TestProbeThatTellsNothing: neither a wait that the replica asks for nor a fault
// of the caller's ends the time in which one request may find out.
func TestProbeThatTellsNothing(t *testing.T) {
	for _, k := range []fault.Kind{fault.UpstreamRejected, fault.UpstreamCapacity, fault.UpstreamAuth} {
		r := newRig(t, 2)
		r.putOut(0)
		r.after(5 * time.Second)
		r.fail(0, k)
		r.after(time.Minute)
		if !r.want(0, "").Probe {
			t.Errorf("after %v it is not half open", k)
		}
	}
}

// TestBackWithACleanSlate: what led out does not count again.
func TestBackWithACleanSlate(t *testing.T) {
	r := newRig(t, 2)
	for range 10 {
		r.pass(0)
		r.fail(0, fault.UpstreamError)
	}
	r.want(0, Failing)
	r.after(5 * time.Second)
	r.pass(0)
	if r.fail(0, fault.UpstreamError) {
		t.Error("one failure put it out again")
	}
}

func TestSlowStart(t *testing.T) {
	r := newRig(t, 2)
	r.putOut(0)
	r.after(5 * time.Second)
	r.pass(0)
	for _, tt := range []struct {
		after time.Duration
		want  float64
	}{{0, 0.1}, {time.Second, 0.1}, {14 * time.Second, 0.5}, {12 * time.Second, 0.9}, {3 * time.Second, 1}, {time.Hour, 1}} {
		r.after(tt.after)
		if got := r.want(0, "").Weight; got < tt.want-1e-9 || got > tt.want+1e-9 {
			t.Errorf("weight %v, want %v", got, tt.want)
		}
	}
	r.s.Rules.SlowStart = 0
	r.putOut(0)
	r.after(time.Minute)
	r.pass(0)
	if got := r.want(0, "").Weight; got != 1 {
		t.Errorf("weight %v without a slow start", got)
	}
}

func TestCoolDown(t *testing.T) {
	tests := map[string]struct {
		asks []time.Duration // at once; 0 names no time
		want time.Duration
	}{
		"no time named":       {[]time.Duration{0}, time.Second},
		"a time":              {[]time.Duration{20 * time.Second}, 20 * time.Second},
		"longer than allowed": {[]time.Duration{time.Hour}, 5 * time.Minute},
		"answers cross":       {[]time.Duration{20 * time.Second, 0}, 20 * time.Second},
		"it asks for more":    {[]time.Duration{20 * time.Second, 30 * time.Second}, 30 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1) // also where it is the only one
			sent := r.now
			for _, after := range tt.asks {
				f := fault.New(fault.UpstreamCapacity, "")
				f.After = after
				if !r.s.Failed(0, "", r.pool, f, sent, r.now, r.draw) {
					t.Error("not told that it is out")
				}
			}
			st := r.want(0, Cooling)
			if got := st.Until.Sub(r.now); got != tt.want || st.Resort {
				t.Errorf("for %v, as a last resort: %v", got, st.Resort)
			}
			r.after(tt.want)
			r.want(0, "")
		})
	}
}

// TestOneModelCools: the others of the replica go on, and however many models
// callers ask for, what is kept is bounded and ends last.
func TestOneModelCools(t *testing.T) {
	r := newRig(t, 1)
	cool := func(model string, after time.Duration) {
		f := fault.New(fault.UpstreamCapacity, "")
		f.After = after
		r.s.Failed(0, model, r.pool, f, r.now, r.now, r.draw)
	}
	cool("small", 10*time.Second)
	cool("large", 20*time.Second)
	for model, want := range map[string]time.Duration{"small": 10 * time.Second, "large": 20 * time.Second, "": 20 * time.Second} {
		if st := r.s.Of(0, model, r.now); st.Why != Cooling || st.Until.Sub(r.now) != want {
			t.Errorf("model %q: %+v", model, st)
		}
	}
	if st := r.s.Of(0, "other", r.now); !st.In() {
		t.Errorf("another model: %+v", st)
	}
	for i := range 1000 {
		cool(strings.Repeat("x", i%100+1), time.Second)
	}
	if n := len(r.s.replicas[0].cooling); n > maxWaits {
		t.Errorf("%d waits are kept", n)
	}
	for _, model := range []string{"small", "large"} {
		if st := r.s.Of(0, model, r.now); st.Why != Cooling {
			t.Errorf("model %q was forgotten for shorter ones: %+v", model, st)
		}
	}
}

// TestDenials: one request that our credential may not make tells nothing; some in
// a row, for one model, put the credential out for that model and no other.
func TestDenials(t *testing.T) {
	r := newRig(t, 1)
	deny := func(model string) bool {
		return r.s.Failed(0, model, r.pool, fault.New(fault.UpstreamForbidden, ""), r.now, r.now, r.draw)
	}
	for _, model := range []string{"a", "a", "b"} {
		if deny(model) {
			t.Error("out too soon")
		}
	}
	r.s.Passed(0, "a", r.now, r.now)
	for range 2 {
		if deny("a") {
			t.Error("a success in between is forgotten")
		}
	}
	if !deny("a") {
		t.Error("three in a row, and it is not out")
	}
	if st := r.s.Of(0, "a", r.now); st.Why != Credential || st.Until.Sub(r.now) != time.Minute {
		t.Errorf("%+v", st)
	}
	if st := r.s.Of(0, "b", r.now); !st.In() {
		t.Errorf("another model: %+v", st)
	}
	r.after(time.Minute)
	if st := r.s.Of(0, "a", r.now); !st.In() {
		t.Errorf("a minute later: %+v", st)
	}
	if !deny("a") {
		t.Error("it is the same as before, and it is not out again at once")
	}
}

func TestCredential(t *testing.T) {
	r := newRig(t, 1)
	r.fail(0, fault.UpstreamAuth)
	if st := r.want(0, Credential); st.Resort || st.Until.Sub(r.now) != time.Minute {
		t.Errorf("%+v", st)
	}
	r.after(time.Minute)
	if st := r.want(0, ""); st.Weight != 1 {
		t.Errorf("comes back with weight %v", st.Weight)
	}
}

// TestAnyHistory lets random things happen and checks what holds at any moment.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := State{Rules: Default()}
		p := pool(rapid.IntRange(1, 6).Draw(t, "replicas"))
		now := start
		type request struct {
			id   fleet.ReplicaID
			sent time.Time
		}
		var flying []request
		land := func(t *rapid.T) request {
			if len(flying) == 0 {
				t.Skip("nothing flies")
			}
			i := rapid.IntRange(0, len(flying)-1).Draw(t, "which")
			r := flying[i]
			flying = append(flying[:i], flying[i+1:]...)
			return r
		}
		t.Repeat(map[string]func(*rapid.T){
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 40_000).Draw(t, "ms")) * time.Millisecond)
			},
			"send": func(t *rapid.T) {
				id := p[rapid.IntRange(0, len(p)-1).Draw(t, "replica")].ID
				probe := s.Of(id, "", now).Probe
				s.Sent(id, now)
				if st := s.Of(id, "", now); probe && st.Why != Probing {
					t.Fatalf("half open, and after one was sent: %+v", st)
				}
				flying = append(flying, request{id, now})
			},
			"pass": func(t *rapid.T) {
				r := land(t)
				before := s.Of(r.id, "", now)
				s.Passed(r.id, "m", r.sent, now)
				if after := s.Of(r.id, "", now); before.Why == "" && after.Why != "" {
					t.Fatalf("a success led to %q", after.Why)
				}
			},
			"fail": func(t *rapid.T) {
				r := land(t)
				k := rapid.SampledFrom(fault.Kinds()).Draw(t, "kind")
				told := s.Failed(r.id, "", p, fault.New(k, ""), r.sent, now, rapid.Float64Range(0, 0.999).Draw(t, "draw"))
				if st := s.Of(r.id, "", now); told && st.In() || !told && (st.Why == Failing || st.Why == Refused) {
					t.Fatalf("%v: told %v, stands %+v", k, told, st)
				}
			},
			"hear": func(t *rapid.T) {
				s.Heard(p[rapid.IntRange(0, len(p)-1).Draw(t, "replica")].ID, now)
			},
			"suspect": func(t *rapid.T) {
				id := p[rapid.IntRange(0, len(p)-1).Draw(t, "replica")].ID
				since := now.Add(-time.Duration(rapid.IntRange(0, 20_000).Draw(t, "ms")) * time.Millisecond)
				if !s.Silent(id, p, since) {
					if len(p) > 1 && slices.ContainsFunc(p, func(r fleet.Replica) bool { return r.ID != id && s.at(r.ID).heard.After(since) }) && !s.at(id).heard.After(since) {
						t.Fatal("a peer was heard, and it was not")
					}
					return
				}
				before := s.Of(id, "", now)
				told := s.Suspect(id, p, Stuck, now, 0.5)
				if after := s.Of(id, "", now); told && after.In() || !told && after != before || before.In() && told && after.Why != Stuck {
					t.Fatalf("told %v, stands %+v", told, after)
				}
			},
			"doubt": func(t *rapid.T) {
				r := land(t)
				s.Doubt(r.id, rapid.Float64Range(0, 1).Draw(t, "share"), r.sent)
				if n, since := s.Doubts(r.id); n > 0 && since.After(now) {
					t.Fatalf("%v found it silent since %v", n, since)
				}
				flying = append(flying, r)
			},
			"leave": func(t *rapid.T) {
				r := land(t)
				before, probe := s.Of(r.id, "", now), s.Probes(r.id, r.sent)
				s.Left(r.id, p, 10*time.Second, r.sent, now, rapid.Float64Range(0, 0.999).Draw(t, "draw"))
				if after := s.Of(r.id, "", now); !probe && after != before || probe && after.Why != "" && after.Why != Stuck && before.Why == Probing {
					t.Fatalf("%+v became %+v", before, after)
				}
			},
			"spare": func(t *rapid.T) {
				r := land(t)
				before := s.Of(r.id, "", now).Why
				s.Spared(r.id, r.sent)
				if after := s.Of(r.id, "", now).Why; before != after && before != Probing {
					t.Fatalf("%q became %q", before, after)
				}
			},
			"drain": func(t *rapid.T) {
				s.Drain(p[rapid.IntRange(0, len(p)-1).Draw(t, "replica")].ID, now.Add(time.Duration(rapid.IntRange(1, 60_000).Draw(t, "ms"))*time.Millisecond))
			},
			"undrain": func(t *rapid.T) { s.Undrain(p[rapid.IntRange(0, len(p)-1).Draw(t, "replica")].ID, now) },
			"join":    func(t *rapid.T) { s.Join(p[rapid.IntRange(0, len(p)-1).Draw(t, "replica")].ID, now) },
			"forget":  func(t *rapid.T) { s.Forget(p[rapid.IntRange(0, len(p)-1).Draw(t, "replica")].ID, now) },
			"": func(t *rapid.T) {
				soft := 0
				for _, r := range p {
					st := s.Of(r.ID, "", now)
					if weight, calm := s.Calm(r.ID, now); calm && st != (Standing{Weight: weight}) {
						t.Fatalf("calm with weight %v, stands %+v", weight, st)
					}
					switch {
					case st.Why == "" && (st.Weight < minWeight || st.Weight > 1):
						t.Fatalf("weight %v", st.Weight)
					case st.Why != "" && st.Probe:
						t.Fatalf("out and a probe: %+v", st)
					case st.Why != "" && st.Why != Probing && !now.Before(st.Until):
						t.Fatalf("out until %v, and it is %v", st.Until, now)
					case st.Until.Sub(now) > s.Rules.CoolMax:
						t.Fatalf("out until %v", st.Until)
					}
					if st.Why == Failing || st.Why == Stuck {
						soft++
					}
				}
				if 2*soft > len(p) {
					t.Fatalf("%d of %d are out for soft failures", soft, len(p))
				}
			},
		})
	})
}

// TestWholePoolMayBeOut: where another pool serves the model, the last of a pool
// is put out too.
func TestWholePoolMayBeOut(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, elsewhere := range []bool{false, true} {
		s := State{Rules: Default()}
		pool := []fleet.Replica{{ID: 0}, {ID: 1}}
		if elsewhere {
			pool = nil
		}
		out := 0
		for id := range fleet.ReplicaID(2) {
			for range 5 {
				now = now.Add(time.Second)
				s.Failed(id, "", pool, fault.New(fault.UpstreamError, ""), now, now, 0.5)
			}
			if !s.Of(id, "", now).In() {
				out++
			}
		}
		if want := map[bool]int{false: 1, true: 2}[elsewhere]; out != want {
			t.Errorf("another pool %v: %d of 2 are out, want %d", elsewhere, out, want)
		}
	}
}

// A replica with another engine begins anew, and what was sent to the old one
// tells nothing of it, however it ends.
func TestForget(t *testing.T) {
	r := newRig(t, 2)
	r.fail(0, fault.UpstreamAuth)
	r.want(0, Credential)
	r.fail(1, fault.Connect)
	r.want(1, Refused)
	sent := r.now
	r.after(time.Millisecond)
	for id := range r.pool {
		r.s.Forget(fleet.ReplicaID(id), r.now)
		r.want(fleet.ReplicaID(id), "")
	}
	r.after(time.Millisecond)
	if r.s.Failed(0, "", r.pool, fault.New(fault.UpstreamAuth, ""), sent, r.now, r.draw) {
		t.Error("an old request put the replica out")
	}
	r.want(0, "")
	r.fail(0, fault.UpstreamAuth)
	r.want(0, Credential)
}

// TestSuspect: a replica may be put out though no request failed there; half of its
// pool at most, and one request finds out.
func TestSuspect(t *testing.T) {
	s := State{Rules: Default()}
	pool := []fleet.Replica{{ID: 0}, {ID: 1}}
	now := time.Unix(1e9, 0)
	if s.Suspect(0, pool[:1], Hardware, now, 0.5) {
		t.Error("the last one is out")
	}
	if !s.Suspect(0, pool, Hardware, now, 0.5) || s.Of(0, "", now).Why != Hardware {
		t.Errorf("%+v", s.Of(0, "", now))
	}
	if s.Suspect(1, pool, Hardware, now, 0.5) || s.Of(1, "", now).Why != "" {
		t.Error("all are out")
	}
	later := now.Add(s.Rules.Base)
	if !s.Suspect(0, pool, Hardware, later, 0.5) || !s.Of(0, "", later).Probe {
		t.Errorf("told again, it has no way back: %+v", s.Of(0, "", later))
	}
	s.Sent(0, later)
	s.Passed(0, "", later, later)
	if st := s.Of(0, "", later); !st.In() {
		t.Errorf("%+v", st)
	}
	for range s.Rules.Row {
		s.Failed(0, "", pool, fault.New(fault.UpstreamError, ""), later.Add(time.Second), later.Add(time.Second), 0.5)
	}
	if why := s.Of(0, "", later.Add(time.Second)).Why; why != Failing {
		t.Errorf("out for %q", why)
	}
}

func TestDrainedReplicas(t *testing.T) {
	var s State
	s.Rules = Default()
	now := time.Unix(1000, 0)
	at := func(d time.Duration) Standing { return s.Of(0, "m", now.Add(d)) }
	s.Drain(0, time.Time{})
	if st := at(24 * time.Hour); st.Why != Drained || st.Resort || !st.Until.IsZero() {
		t.Errorf("drained without an end it is %+v", st)
	}
	if _, calm := s.Calm(0, now); calm {
		t.Error("drained it is calm")
	}
	s.Undrain(0, now)
	if st := at(0); st.Why != "" || st.Weight != minWeight {
		t.Errorf("undrained it is %+v", st)
	}
	if w, calm := s.Calm(0, now.Add(30*time.Second)); !calm || w != 1 {
		t.Errorf("after the slow start its weight is %v, %v", w, calm)
	}
	// It ends by itself, and is a slow start from then on.
	now = now.Add(time.Hour)
	s.Drain(0, now.Add(time.Minute))
	for after, want := range map[time.Duration]Standing{
		time.Minute - 1:              {Why: Drained, Until: now.Add(time.Minute)},
		time.Minute:                  {Weight: minWeight},
		time.Minute + 15*time.Second: {Weight: 0.5},
		2 * time.Minute:              {Weight: 1},
	} {
		if st := at(after); st != want {
			t.Errorf("%v after it was drained for a minute it is %+v, want %+v", after, st, want)
		}
	}
	// What a request tells ends nothing before its time, and forgets it after.
	s.Passed(0, "m", now, now.Add(time.Second))
	if st := at(time.Second); st.Why != Drained {
		t.Errorf("a request that passed made it %+v", st)
	}
	s.Passed(0, "m", now.Add(time.Minute), now.Add(75*time.Second))
	if w, calm := s.Calm(0, now.Add(75*time.Second)); !calm || w != 0.5 {
		t.Errorf("over, with a request that passed, its weight is %v, %v", w, calm)
	}
	// Beginning anew with a replica does not send it requests.
	s.Drain(0, time.Time{})
	s.Forget(0, now)
	if st := at(time.Hour); st.Why != Drained {
		t.Errorf("forgotten it is %+v", st)
	}
	s.Join(0, now)
	if st := at(time.Hour); st.Why != Drained {
		t.Errorf("joined it is %+v", st)
	}
	s.Undrain(1, now) // of which nothing is known
	if st := s.Of(1, "m", now); st.Weight != 1 {
		t.Errorf("what was never drained is %+v", st)
	}
}

// Drained and out are told apart: whatever a replica did, drained it is no last resort.
func TestDrainedAndOut(t *testing.T) {
	var s State
	s.Rules = Default()
	now := time.Unix(1000, 0)
	s.Failed(0, "m", nil, fault.New(fault.Connect, "test"), now, now, 0.5)
	s.Drain(0, now.Add(time.Second))
	if st := s.Of(0, "m", now); st.Why != Drained || st.Resort {
		t.Errorf("out and drained it is %+v", st)
	}
	if st := s.Of(0, "m", now.Add(2*time.Second)); st.Why != Refused || !st.Resort {
		t.Errorf("still out it is %+v", st)
	}
}
