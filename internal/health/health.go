// Package health decides whether a replica deserves traffic, from what requests
// met there. It is made for pools of 2 to 10 replicas and requests of 1 to 300
// seconds, where rules that wait for hundreds of requests never fire.
//
// A replica is up, out until a moment, or half open: past that moment one request
// is let through, and its fate decides. A replica that came back is given its
// share little by little.
package health

import (
	"strings"
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
)

// Rules say when a replica is put out, and for how long.
type Rules struct {
	Row       int           // failures one after the other
	ThinRow   int           // the same where fewer than Enough results came within Window
	ThinSpan  time.Duration // within which the thin row must fall
	ThinSeen  int           // results a replica must have had before the thin row counts
	Enough    int           // results within Window that make a share meaningful
	Share     float64       // of failures among Enough results
	Window    time.Duration // of six slots
	Base, Max time.Duration // how long a replica is out: Base, doubling up to Max
	Jitter    float64       // share by which that varies
	SlowStart time.Duration // over which a replica that came back gets its full share
	Cool      time.Duration // after "too many requests" that names no time
	CoolMax   time.Duration // however long an upstream asks for
	Denials   int           // of one model, one after the other, until the credential rests for it
}

// Default returns the rules that hold without configuration.
func Default() Rules {
	return Rules{
		Row: 5, ThinRow: 3, ThinSpan: time.Minute, ThinSeen: 5,
		Enough: 20, Share: 0.5, Window: 30 * time.Second,
		Base: 5 * time.Second, Max: time.Minute, Jitter: 0.25,
		SlowStart: 30 * time.Second,
		Cool:      time.Second, CoolMax: 5 * time.Minute, Denials: 3,
	}
}

// Why a replica gets no traffic, or less.
const (
	Refused    = "out: nobody answers there"
	Failing    = "out: too many failures"
	Probing    = "out: one request is finding out"
	Cooling    = "asked us to wait"
	Credential = "refused our credential"
	Hardware   = "out: its GPU reported an error"
	Drained    = "drained by an operator"
)

// minWeight is the share of a replica that only just came back.
const minWeight = 0.1

// Standing is what a replica deserves now.
type Standing struct {
	Why    string    // empty: traffic
	Until  time.Time // when that may change; zero if unknown
	Weight float64   // share of its usual traffic, above 0 to 1
	Probe  bool      // half open: one request may find out
	Resort bool      // out, but may be tried where nothing better is left
}

// State is what is known of all replicas. Its zero value knows nothing and gives
// traffic to all. Whoever owns it serialises its methods.
type State struct {
	Rules    Rules
	replicas []replica
	marked   []bool // by fleet.ReplicaID: something is kept that Calm has to look at
}

const slots = 6

type replica struct {
	seen     int       // results, ever
	heard    time.Time // when a piece of an answer last came
	served   time.Time // when the last one was sent of those that it answered in full
	row      int       // failures since the last success
	rowSince time.Time
	window   [slots]struct{ good, bad int32 }
	slot     int64 // number of the newest slot

	out      time.Time // until when; zero: in
	since    time.Time // when it was last put out
	hard     bool      // nobody was there
	doubt    string    // why it is out though no request failed there
	ejected  int       // times in a row, for the back-off
	probing  bool
	probed   time.Time     // when the probe was sent
	waited   time.Duration // that callers waited for probes, and left
	doubts   float64       // requests that met nothing but silence, each as far as it did
	doubted  time.Time     // since when they did
	back     time.Time     // since when it is in again
	cooling  []wait
	credless time.Time
	begun    time.Time // when what was known before was forgotten; zero: never
	drained  bool
	until    time.Time // when that ends by itself; zero: never
}

// wait is for how long one of a replica's models rests. Providers limit each model
// on its own, and a caller who exhausts one may not take the others from everybody.
type wait struct {
	model   string
	until   time.Time
	denials int  // one after the other
	denied  bool // it rests for them
}

// maxWaits bounds the models of a replica that are waited for: where callers name
// the models, there is no end to them.
const maxWaits = 16

// rests returns until when a model of the replica rests, and whether that is for
// our credential; empty stands for whichever rests the longest.
func (r *replica) rests(model string) (until time.Time, denied bool) {
	for i := range r.cooling {
		if w := &r.cooling[i]; (model == "" || w.model == model) && w.until.After(until) {
			until, denied = w.until, w.denied
		}
	}
	return until, denied
}

// waits returns what is known of a model, nil if nothing is.
func (r *replica) waits(model string) *wait {
	for i := range r.cooling {
		if r.cooling[i].model == model {
			return &r.cooling[i]
		}
	}
	return nil
}

// wait returns what is known of a model, in the place of what ends the soonest
// where there is no room.
func (r *replica) wait(model string) *wait {
	if w := r.waits(model); w != nil {
		return w
	}
	first := len(r.cooling)
	if first < maxWaits {
		r.cooling = append(r.cooling, wait{})
	} else {
		first = 0
		for i := range r.cooling {
			if r.cooling[i].until.Before(r.cooling[first].until) {
				first = i
			}
		}
	}
	r.cooling[first] = wait{model: strings.Clone(model)}
	return &r.cooling[first]
}

// cool notes that the replica asked to wait with a model. Answers cross: one that
// names no time does not shorten one that did.
func (r *replica) cool(model string, until time.Time) {
	if w := r.wait(model); until.After(w.until) {
		w.until, w.denied = until, false
	}
}

// deny notes that our credential may not do something with a model. Once, that may
// be for what one caller asked; after some in a row it is for the credential, which
// then rests for the model. It reports whether it does.
func (r *replica) deny(model string, most int, until time.Time) bool {
	w := r.wait(model)
	if w.denials++; most == 0 || w.denials < most {
		return false
	}
	w.until, w.denied = until, true
	return true
}

// stale reports whether a request was sent before the replica was last put out.
// Its fate tells of what was then: else the many requests that one crash cuts
// would each double the back-off.
func (r *replica) stale(sent time.Time) bool {
	return !r.since.IsZero() && !sent.After(r.since)
}

// bygone reports whether a request was sent before all that was known was
// forgotten: it tells of an engine that is no longer there.
func (r *replica) bygone(sent time.Time) bool {
	return !r.begun.IsZero() && !sent.After(r.begun)
}

// told ends the probe, if it is the one that was sent then.
func (r *replica) told(sent time.Time) {
	if sent.Equal(r.probed) {
		r.probing = false
	}
}

// Calm returns the weight of a replica of which nothing bad is known, as is usual. Of
// the others it returns false: Of says more, and takes longer.
func (s *State) Calm(id fleet.ReplicaID, now time.Time) (weight float64, ok bool) {
	if int(id) >= len(s.marked) || !s.marked[id] {
		return 1, true
	}
	return s.recovers(id, now)
}

// recovers is Calm for a replica of which something is kept.
func (s *State) recovers(id fleet.ReplicaID, now time.Time) (weight float64, ok bool) {
	r := &s.replicas[id]
	if !r.steady() {
		return 0, false
	}
	return s.weight(r, now), true
}

// steady reports whether nothing bad is known of a replica.
func (r *replica) steady() bool {
	return r.out.IsZero() && len(r.cooling) == 0 && r.credless.IsZero() && !r.drained
}

// mark is called when what Calm looks at may have changed.
func (s *State) mark(id fleet.ReplicaID) {
	r := &s.replicas[id]
	s.marked[id] = !r.steady() || !r.back.IsZero()
}

// Of returns what a replica deserves at now of the requests for one of its models,
// named as the upstream names it. Without a name it is what those for the model
// deserve that it asked to wait with the longest.
func (s *State) Of(id fleet.ReplicaID, model string, now time.Time) Standing {
	if int(id) >= len(s.replicas) {
		return Standing{Weight: 1}
	}
	r := &s.replicas[id]
	if r.drains(now) {
		return Standing{Why: Drained, Until: r.until}
	}
	if now.Before(r.credless) {
		return Standing{Why: Credential, Until: r.credless}
	}
	if until, denied := r.rests(model); now.Before(until) {
		if denied {
			return Standing{Why: Credential, Until: until}
		}
		return Standing{Why: Cooling, Until: until}
	}
	switch {
	case r.out.IsZero():
		return Standing{Weight: s.weight(r, now)}
	case now.Before(r.out):
		why := Failing
		switch {
		case r.hard:
			why = Refused
		case r.doubt != "":
			why = r.doubt
		}
		return Standing{Why: why, Until: r.out, Resort: true}
	case r.probing && now.Before(r.probed.Add(s.Rules.Max)):
		return Standing{Why: Probing, Resort: true}
	default:
		// Its full share, since one request is all it gets: with less, the others
		// would win every time where traffic is light, and nobody would find out.
		return Standing{Weight: 1, Probe: true}
	}
}

func (s *State) weight(r *replica, now time.Time) float64 {
	back := r.back
	if r.drained && r.until.After(back) { // that is over
		back = r.until
	}
	if back.IsZero() || s.Rules.SlowStart <= 0 {
		return 1
	}
	age := now.Sub(back)
	if age >= s.Rules.SlowStart {
		return 1
	}
	return max(minWeight, float64(age)/float64(s.Rules.SlowStart))
}

// Sent notes that a request goes to a replica; half open, it is the one that
// finds out.
func (s *State) Sent(id fleet.ReplicaID, now time.Time) {
	if int(id) >= len(s.replicas) {
		return
	}
	if r := &s.replicas[id]; !r.out.IsZero() && !now.Before(r.out) {
		r.probing, r.probed = true, now
	}
}

// Forget begins anew with a replica: it is spoken to in another way now, with
// another credential perhaps, and what requests met before tells nothing of it.
func (s *State) Forget(id fleet.ReplicaID, now time.Time) {
	r := s.at(id)
	*r = replica{begun: now, drained: r.drained, until: r.until}
	s.mark(id)
}

// Join begins with a replica that came to others: it is given its share little by
// little, since its caches are cold and nothing is known of it.
func (s *State) Join(id fleet.ReplicaID, now time.Time) {
	r := s.at(id)
	*r = replica{begun: now, back: now, drained: r.drained, until: r.until}
	s.mark(id)
}

// Drain gives a replica no more requests until a moment; the zero moment is until
// Undrain. Those that it has go on.
func (s *State) Drain(id fleet.ReplicaID, until time.Time) {
	r := s.at(id)
	r.drained, r.until = true, until
	s.mark(id)
}

// Undrain ends that. The replica is given its share little by little: its caches may
// be cold by now.
func (s *State) Undrain(id fleet.ReplicaID, now time.Time) {
	if int(id) >= len(s.replicas) || !s.replicas[id].drained {
		return
	}
	r := &s.replicas[id]
	if !r.drains(now) { // it ended by itself
		now = r.until
	}
	if now.After(r.back) {
		r.back = now
	}
	r.drained, r.until = false, time.Time{}
	s.mark(id)
}

// drains reports whether the replica is drained at now.
func (r *replica) drains(now time.Time) bool {
	return r.drained && (r.until.IsZero() || now.Before(r.until))
}

// Spared notes that a request ended there without telling anything of the
// replica, as when the client left.
func (s *State) Spared(id fleet.ReplicaID, sent time.Time) {
	if int(id) < len(s.replicas) {
		s.replicas[id].told(sent)
	}
}

// Failures returns how many requests failed there since one last succeeded.
func (s *State) Failures(id fleet.ReplicaID) int {
	if int(id) >= len(s.replicas) {
		return 0
	}
	return s.replicas[id].row
}

// Passed notes the success of a request for a model.
func (s *State) Passed(id fleet.ReplicaID, model string, sent, now time.Time) {
	r := s.at(id)
	r.told(sent)
	if r.stale(sent) || r.bygone(sent) {
		return
	}
	if r.drained && !r.drains(now) {
		s.Undrain(id, now)
	}
	if w := r.waits(model); w != nil {
		w.denials = 0
	}
	s.count(r, now, true)
	r.row = 0
	if sent.After(r.served) {
		r.served = sent
	}
	if r.out.IsZero() {
		if s.weight(r, now) == 1 {
			r.ejected, r.back = 0, time.Time{}
			s.mark(id)
		}
		return
	}
	r.out, r.hard, r.probing, r.waited, r.back = time.Time{}, false, false, 0, now
	r.window = [slots]struct{ good, bad int32 }{}
	s.mark(id)
}

// Failed notes the failure of a request for a model; pool is the replica's own pool, of which
// soft failures put out at most half and never the last. Nil tells that another
// pool can serve instead, so that all of this one may be out. The draw is uniform
// in [0, 1) and spreads the back-off. It reports whether the replica is out now.
func (s *State) Failed(id fleet.ReplicaID, model string, pool []fleet.Replica, f *fault.Error, sent, now time.Time, draw float64) bool {
	r := s.at(id)
	defer s.mark(id)
	r.told(sent)
	if r.bygone(sent) {
		return !r.out.IsZero()
	}
	effect := f.Kind.Info().Effect
	switch effect {
	case fault.NoEffect:
		return !r.out.IsZero()
	case fault.CoolDown:
		wait := f.After
		if wait <= 0 {
			wait = s.Rules.Cool
		}
		r.cool(model, now.Add(min(wait, s.Rules.CoolMax)))
		return true
	case fault.Credential:
		r.credless = now.Add(s.Rules.Max)
		return true
	case fault.Denied:
		return r.deny(model, s.Rules.Denials, now.Add(s.Rules.Max)) || !r.out.IsZero()
	case fault.Down, fault.Counts:
	}
	if r.stale(sent) {
		return !r.out.IsZero()
	}
	if r.row == 0 {
		r.rowSince = now
	}
	r.row++
	s.count(r, now, false)
	switch {
	case effect == fault.Down:
		s.eject(r, now, draw, true)
	case !r.out.IsZero(): // half open, or tried as the last resort
		if r.hard || s.spare(id, pool, now) {
			s.eject(r, now, draw, r.hard)
		}
	case s.tripped(r, now) && s.spare(id, pool, now):
		s.eject(r, now, draw, false)
	}
	return !r.out.IsZero()
}

// Suspect puts a replica out though no request failed there, for a reason that is
// given in words, until one request finds out whether it serves; not where that would
// leave less than half of its pool, or nobody. It reports whether the replica is out.
func (s *State) Suspect(id fleet.ReplicaID, pool []fleet.Replica, why string, now time.Time, draw float64) bool {
	r := s.at(id)
	if r.out.IsZero() && s.spare(id, pool, now) {
		s.eject(r, now, draw, false)
		r.doubt = why
		s.mark(id)
	}
	return !r.out.IsZero()
}

func (s *State) eject(r *replica, now time.Time, draw float64, hard bool) {
	wait := s.Rules.Base << min(r.ejected, 16)
	if wait <= 0 || wait > s.Rules.Max {
		wait = s.Rules.Max
	}
	wait = time.Duration(float64(wait) * (1 + s.Rules.Jitter*(2*draw-1)))
	r.out, r.since, r.hard, r.doubt, r.probing = now.Add(wait), now, hard, "", false
	r.back, r.waited, r.doubts = time.Time{}, 0, 0
	r.ejected++
}

func (s *State) tripped(r *replica, now time.Time) bool {
	if r.row >= s.Rules.Row {
		return true
	}
	var good, bad int
	for _, w := range r.window {
		good += int(w.good)
		bad += int(w.bad)
	}
	if good+bad >= s.Rules.Enough {
		return float64(bad) >= s.Rules.Share*float64(good+bad)
	}
	return r.row >= s.Rules.ThinRow && r.seen >= s.Rules.ThinSeen && now.Sub(r.rowSince) <= s.Rules.ThinSpan
}

// spare reports whether the pool can spare one more: at most half of it is out,
// and never the last, unless there is another pool.
func (s *State) spare(id fleet.ReplicaID, pool []fleet.Replica, now time.Time) bool {
	if pool == nil {
		return true
	}
	out := 0
	for i := range pool {
		if other := pool[i].ID; other != id && !s.Of(other, "", now).In() && !s.idle(other, now) {
			out++
		}
	}
	return 2*(out+1) <= len(pool)
}

// idle reports whether a replica is half open for so long that nobody seems to want
// it: it is there for whoever comes.
func (s *State) idle(id fleet.ReplicaID, now time.Time) bool {
	if st := s.Of(id, "", now); !st.Probe {
		return false
	}
	r := &s.replicas[id]
	return !r.hard && now.Sub(r.out) >= s.Rules.Max && now.Sub(r.probed) >= s.Rules.Max
}

// In reports whether the replica gets traffic without being on probation.
func (st Standing) In() bool { return st.Why == "" && !st.Probe }

// count adds a result to the window of the last 30 seconds.
func (s *State) count(r *replica, now time.Time, good bool) {
	r.seen++
	step := int64(s.Rules.Window / slots)
	if step <= 0 {
		return
	}
	slot := now.UnixNano() / step
	for n := min(slot-r.slot, slots); n > 0; n-- {
		r.window[(slot-n+1)%slots] = struct{ good, bad int32 }{}
	}
	r.slot = max(slot, r.slot)
	if w := &r.window[slot%slots]; good {
		w.good++
	} else {
		w.bad++
	}
}

func (s *State) at(id fleet.ReplicaID) *replica {
	for int(id) >= len(s.replicas) {
		s.replicas, s.marked = append(s.replicas, replica{}), append(s.marked, false)
	}
	return &s.replicas[id]
}
