package facts

import (
	"errors"
	"slices"
	"sync"
	"time"

	"headworks/internal/inference"
	"headworks/internal/journal"
	"headworks/internal/record"
)

const (
	// longest is how long after its arrival a request may end and still be found.
	longest = time.Hour
	// skew is by how much a clock that was set may make ids and files disagree.
	skew = time.Minute
	// indexes is how many segments keep their index in memory, of about half a
	// megabyte where a segment is full.
	indexes = 16
	// recentRecords is how far back Recent looks.
	recentRecords = 100_000
)

// Find returns the Record of a request, as soon as it was put and for as long as
// the log keeps it.
func (s *Store) Find(id inference.ID) (record.Record, bool, error) {
	s.drain()
	var damage error
	arrived := id.Time()
	began := time.Time{} // of the segment at hand: the end of the one before
	for _, seg := range s.log.Segments() {
		open := seg.Last.IsZero()
		if began.After(arrived.Add(longest + skew)) {
			break
		}
		began = seg.Last
		if !open && seg.Last.Add(skew).Before(arrived) {
			continue
		}
		spans, err := s.index.of(seg.Number, s.log)
		if err != nil {
			damage = err
		}
		for _, sp := range spans {
			if before(id, sp.min) || before(sp.max, id) {
				continue
			}
			r, ok, err := s.findIn(sp.at, id)
			if ok {
				return r, true, nil
			}
			if err != nil {
				damage = err
			}
		}
	}
	return record.Record{}, false, damage
}

// findIn looks for a request in one block.
func (s *Store) findIn(at journal.Position, id inference.ID) (r record.Record, ok bool, err error) {
	payload, err := s.log.ReadAt(at)
	if errors.Is(err, journal.ErrGone) {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	for b, err := range records(payload) {
		if err != nil {
			return r, false, err
		}
		if got, _ := record.PeekID(b); got == id {
			err := r.Decode(b)
			return r, err == nil, err
		}
	}
	return r, false, nil
}

// Recent returns at most n Records that match, the one that ended last first. It
// looks at the last 100,000; a nil match takes all. What cannot be read is left
// out and told as an error beside the rest.
func (s *Store) Recent(n int, match func(*record.Record) bool) ([]record.Record, error) {
	s.drain()
	var found []record.Record
	var damage error
	looked := 0
	for _, seg := range slices.Backward(s.log.Segments()) {
		spans, err := s.index.of(seg.Number, s.log)
		if err != nil {
			damage = err
		}
		for _, sp := range slices.Backward(spans) {
			if looked >= recentRecords || len(found) >= n {
				return found, damage
			}
			payload, err := s.log.ReadAt(sp.at)
			if err != nil {
				if !errors.Is(err, journal.ErrGone) {
					damage = err
				}
				continue
			}
			var forms [][]byte
			for b, err := range records(payload) {
				if err != nil {
					damage = err
					break
				}
				forms = append(forms, b)
			}
			looked += len(forms)
			for _, b := range slices.Backward(forms) {
				var r record.Record
				if err := r.Decode(b); err != nil {
					damage = err
					continue
				}
				if len(found) < n && (match == nil || match(&r)) {
					found = append(found, r)
				}
			}
		}
	}
	return found, damage
}

// index knows which ids each block may hold. What this process wrote is noted as
// it is written, older segments are read when somebody asks.
type index struct {
	mu       sync.Mutex
	segments map[uint64][]idSpan
}

type idSpan struct {
	at       journal.Position
	min, max inference.ID
}

// add notes a block that was written.
func (x *index) add(at journal.Position, low, high inference.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.make(at.Segment)
	x.segments[at.Segment] = append(x.segments[at.Segment], idSpan{at, low, high})
}

// make makes room for a segment. Where there is none the oldest goes, but never
// the newest: that is the one this process writes.
func (x *index) make(n uint64) {
	if x.segments == nil {
		x.segments = make(map[uint64][]idSpan)
	}
	if _, ok := x.segments[n]; ok {
		return
	}
	for len(x.segments) >= indexes {
		oldest := n
		for other := range x.segments {
			if oldest == n || other < oldest {
				oldest = other
			}
		}
		delete(x.segments, oldest)
	}
	x.segments[n] = nil
}

// of returns the blocks of a segment in the order of the log. Nobody changes what
// it returns. Behind damage there is nothing, and an error tells.
func (x *index) of(n uint64, log *journal.Log) ([]idSpan, error) {
	x.mu.Lock()
	spans, ok := x.segments[n]
	x.mu.Unlock()
	if ok {
		return spans, nil
	}
	for f, err := range log.In(n) {
		if err != nil {
			return spans, err
		}
		low, high, err := span(f.Payload)
		if err != nil {
			return spans, err
		}
		spans = append(spans, idSpan{f.At, low, high})
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, ok := x.segments[n]; !ok {
		x.make(n)
		x.segments[n] = spans
	}
	return spans, nil
}
