package gateway

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"headworks/internal/cache"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/reuse"
)

// Bounds of answers that are shared while they are made.
const (
	maxSeats = 16384     // who shares one answer
	maxLogs  = 128 << 20 // bytes of all answers under way that could be shared or kept
)

// flights are the answers under way that others may share.
type flights struct {
	mu    sync.Mutex // before that of a flight
	of    map[cache.Key]*flight
	bytes atomic.Int64 // of all logs
}

// flight is an answer that is made once for all who ask for the same at the time. One of
// them, who leads, has it made; the others read its log, each where he is. Nobody's
// context ends it: the last one to leave does, and in the same moment nobody finds it
// any more.
type flight struct {
	all    *flights
	key    cache.Key
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	linked  bool  // others find it
	seats   seats // of those who are here, the oldest first
	count   int
	leader  *seat
	elect   *seat // is to lead now, and does not know it yet
	why     *fault.Error
	tried   bool          // another one led already, after content could have come
	changed chan struct{} // closed once there is more to read; nil: nobody waits for that
	turned  chan struct{} // closed once it is over, or somebody is elect
	log     log
	size    int // of log, in bytes
	full    bool
	over    bool
	fault   *fault.Error
	leased  bool             // no other gateway has the same made; of who leads, or waits for one to
	whole   *reuse.Recording // nil where it is not kept
	payer   *seat            // who pays in the place of the one who led ...
	bill    bill             // ... that
}

// log is an answer as it came so far. What was written is never changed.
type log struct {
	stream bool
	about  Head // of the one who leads
	began  bool
	raw    []byte
	aside  []byte
	deltas []inference.Delta
	media  string
	odd    bool // it says what no recording can
	finish inference.Finish
	usage  inference.Usage
}

// seat is one who shares a flight.
type seat struct {
	prev, next *seat
	gone       bool
}

// seats is a list of them.
type seats struct{ first, last *seat }

func (l *seats) add(s *seat) {
	s.prev, s.next = l.last, nil
	if l.last == nil {
		l.first = s
	} else {
		l.last.next = s
	}
	l.last = s
}

func (l *seats) remove(s *seat) {
	if s.prev == nil {
		l.first = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		l.last = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
}

// board takes a seat in the flight of that key. Without one the seat is the leader's of
// a new flight, which ends with none of their contexts; where there is no more room, it
// is of a flight that nobody shares.
func (all *flights) board(ctx context.Context, key cache.Key) (f *flight, s *seat, leads bool) {
	s = &seat{}
	all.mu.Lock()
	defer all.mu.Unlock()
	if f := all.of[key]; f != nil {
		f.mu.Lock()
		room := f.count < maxSeats
		if room {
			f.seats.add(s)
			f.count++
		}
		f.mu.Unlock()
		if room {
			return f, s, false
		}
		return newFlight(all, ctx, key, s), s, true
	}
	f = newFlight(all, ctx, key, s)
	f.linked = true
	if all.of == nil {
		all.of = map[cache.Key]*flight{}
	}
	all.of[key] = f
	return f, s, true
}

func newFlight(all *flights, ctx context.Context, key cache.Key, s *seat) *flight {
	f := &flight{all: all, key: key, leader: s, count: 1, turned: make(chan struct{})}
	f.seats.add(s)
	f.ctx, f.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return f
}

// unlink lets nobody find f any more. Both locks are held.
func (f *flight) unlink() {
	if f.linked {
		f.linked = false
		delete(f.all.of, f.key)
	}
}

// locked calls do with both locks.
func (f *flight) locked(do func()) {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// leave gives a seat up, for that cause. The last one to leave ends the flight. It
// reports whether others stay.
func (f *flight) leave(s *seat, cause error) (stay bool) {
	f.locked(func() {
		if s.gone {
			stay = f.count > 0
			return
		}
		s.gone = true
		f.seats.remove(s)
		f.count--
		if stay = f.count > 0; !stay {
			f.unlink()
			f.free()
			f.cancel(cause)
			return
		}
		if f.elect == s {
			f.choose()
		}
	})
	return stay
}

// free gives back what the log takes, once nobody can ask for more of it.
func (f *flight) free() {
	f.all.bytes.Add(-int64(f.size))
	f.size, f.full = 0, true
}

// vacate lets f's context go once nobody is here.
func (f *flight) vacate() {
	f.mu.Lock()
	empty := f.count == 0
	f.mu.Unlock()
	if empty {
		f.cancel(nil)
	}
}

func (f *flight) isFull() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.full
}

// choose lets the oldest of those who are left lead.
func (f *flight) choose() {
	f.leader, f.elect = nil, f.seats.first
	for f.elect != nil && f.elect.gone {
		f.elect = f.elect.next
	}
	f.turn()
}

// turn tells all who wait.
func (f *flight) turn() {
	close(f.turned)
	f.turned = make(chan struct{})
	f.more()
}

// more tells those who read on.
func (f *flight) more() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// failed ends the leader's part with a fault before anybody got content of it, or after.
// Where another one's try can help who shares the flight, he is to lead.
func (f *flight) failed(s *seat, why *fault.Error) {
	f.locked(func() {
		if f.over || f.leader != s && f.elect != s {
			return
		}
		own := !reuse.Common(why.Kind) && !f.log.began
		again := !f.tried && !f.log.began && why.Kind.Info().Another
		if others := f.count > 1 || s.gone && f.count > 0; others && (own || again) {
			f.tried = f.tried || !own
			f.why = why
			if !s.gone {
				s.gone = true
				f.seats.remove(s)
				f.count--
			}
			f.choose()
			return
		}
		f.unlink()
		f.over, f.fault = true, why
		f.turn()
	})
}

// ended tells that the answer is whole; whole is how it is kept, nil if it is not.
func (f *flight) ended(whole *reuse.Recording) {
	f.locked(func() {
		f.unlink()
		f.over, f.whole = true, whole
		f.turn()
	})
}

// spill gives the log up. Who has content of it already is told that there is no more.
func (f *flight) spill() {
	f.unlink()
	f.full, f.over = true, true
	f.fault = fault.New(fault.Oversized, "the answer is too long to be shared with another request; send the request again")
	f.all.bytes.Add(-int64(f.size))
	f.size = 0
	f.turn()
}

// write adds to the log. What does not fit ends it.
func (f *flight) write(stream bool, about *Head, c *engine.Chunk) {
	spill := false
	f.mu.Lock()
	if f.full || f.over {
		f.mu.Unlock()
		return
	}
	l := &f.log
	if !l.began {
		l.began, l.stream, l.about = true, stream, *about
	}
	n := len(c.Raw) + sizeOf(c.Deltas)
	f.size += n
	if all := f.all.bytes.Add(int64(n)); f.size > reuse.MaxPlayed || all > maxLogs && f.count <= 1 {
		spill = true
	} else {
		l.take(c)
		f.more()
	}
	f.mu.Unlock()
	if spill {
		f.locked(f.spill)
	}
}

// take adds a chunk.
func (l *log) take(c *engine.Chunk) {
	raw := c.Raw[:len(c.Raw)-c.Aside]
	if len(l.aside) > 0 && len(raw) > 0 {
		l.odd = true // content behind what some callers do not get
	}
	l.aside = append(l.aside, c.Raw[len(raw):]...)
	l.raw = append(l.raw, raw...)
	if len(c.Raw) == 0 {
		l.deltas = append(l.deltas, c.Deltas...)
	}
	if c.Type != "" {
		l.media = c.Type
	}
	if c.Answer != nil && len(c.Raw) == 0 {
		deltas, ok := stepsOf(c.Answer)
		l.deltas, l.odd = deltas, l.odd || !ok
	}
	if len(l.raw) > 0 && len(l.deltas) > 0 || c.Estimated {
		l.odd = true
	}
	if c.Event.Usage.Known {
		l.usage = c.Event.Usage
	}
	if c.Event.Finish != inference.Unfinished {
		l.finish = c.Event.Finish
	}
}

// recording returns the log as it is kept, in the caller's dialect; false where that
// cannot be.
func (l *log) recording(d inference.Dialect, nameLen int) (*reuse.Recording, bool) {
	if l.odd {
		return nil, false
	}
	h := &l.about
	r := &reuse.Recording{
		Stream: l.stream, Media: l.media, Model: h.Model, Upstream: h.Upstream, Region: h.Region,
		Simulated: h.Simulated, Lexical: h.Lexical, Dropped: h.Dropped,
		Finish: l.finish, Usage: l.usage, Aside: len(l.aside), Deltas: l.deltas,
	}
	if len(l.raw) == 0 {
		return r, len(l.deltas) > 0
	}
	r.Raw = slices.Concat(l.raw, l.aside)
	if declines(l.raw) {
		return nil, false
	}
	id, created := names(d, l.stream, l.raw)
	r.Name(id, created, nameLen)
	return r, true
}
