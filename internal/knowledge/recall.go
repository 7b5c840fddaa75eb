package knowledge

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"headworks/internal/passage"
	"headworks/internal/tenant"
)

// Results keeps for a while what searches found: the places of passages and their
// scores, never their text.
type Results interface {
	// Recall returns what is kept under a key for a caller. Where nothing is, keep keeps
	// it, unless one of the collections, by their IDs, has changed since. A nil keep means
	// that nothing is kept for this caller.
	Recall(c *tenant.Caller, collections []string, key []byte) (found []byte, keep func(found []byte, took time.Duration))
}

// Keep lets searches find again what r keeps. It is called before the first search.
func (k *Knowledge) Keep(r Results) { k.results = r }

// recalled is run, unless the same was found a moment ago.
func (s *search) recalled(run func() ([]found, error)) ([]found, error) {
	kept := s.k.results
	if kept == nil || s.by.caller == nil || s.q.Next {
		return run()
	}
	ids := make([]string, len(s.of))
	for i, c := range s.of {
		ids[i] = c.ID
	}
	b, keep := kept.Recall(s.by.caller, ids, s.key())
	if b != nil {
		if all, ok := s.read(b); ok {
			return all, nil
		}
	}
	began := s.k.o.Now()
	all, err := run()
	// What was searched may have been replaced just before its epoch was read.
	if err == nil && keep != nil && len(s.degraded) == 0 && s.current() {
		keep(s.append(nil, all), s.k.o.Now().Sub(began))
	}
	return all, err
}

func (s *search) current() bool {
	s.k.mu.RLock()
	defer s.k.mu.RUnlock()
	for _, c := range s.of {
		if s.k.known[c.ID] != c {
			return false
		}
	}
	return true
}

// key is all that what is found depends on, beside the documents: who may read what, how
// and by what it is ranked, and what is asked.
func (s *search) key() []byte {
	b := []byte{1} // of this form
	number := func(n int) { b = binary.AppendUvarint(b, uint64(n)) }
	text := func(t string) {
		number(len(t))
		b = append(b, t...)
	}
	float := func(x float64) { b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x)) }
	flag := func(on bool) {
		if on {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	text(s.who.Key())
	number(len(s.of))
	for _, c := range s.of {
		text(c.ID)
		text(c.Embedder.Key())
		text(cmp.Or(c.Next, &passage.Identity{}).Key())
	}
	q := s.q
	number(int(q.Ranker))
	float(s.alpha())
	flag(q.Fold)
	number(q.K)
	text(q.Rerank)
	text(q.Text)
	number(len(q.Vector))
	for _, x := range q.Vector {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	if q.Filter != nil {
		b = fmt.Appendf(b, "%#v", *q.Filter)
	}
	return b
}

// append writes down the best of what was found.
func (s *search) append(dst []byte, all []found) []byte {
	all = all[:min(s.q.K, len(all))]
	for i := range all {
		f := &all[i]
		dst = binary.AppendUvarint(dst, uint64(f.in))
		dst = binary.AppendUvarint(dst, uint64(len(f.Document)))
		dst = append(dst, f.Document...)
		dst = append(dst, f.Passage[:]...)
		for _, x := range [...]float64{f.score, f.legs.BM25, f.legs.Dense} {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(x))
		}
	}
	if dst == nil {
		dst = []byte{}
	}
	return dst
}

// read reads what append wrote. False: it is something else.
func (s *search) read(b []byte) ([]found, bool) {
	const fixed = len(passage.ID{}) + 3*8
	var all []found
	for len(b) > 0 {
		in, n := binary.Uvarint(b)
		if n <= 0 || in >= uint64(len(s.of)) {
			return nil, false
		}
		length, m := binary.Uvarint(b[n:])
		if m <= 0 || length > uint64(len(b)-n-m) || uint64(len(b)-n-m)-length < uint64(fixed) {
			return nil, false
		}
		f := found{in: int(in)}
		b = b[n+m:]
		f.Document, b = string(b[:length]), b[length:]
		f.Passage = passage.ID(b[:len(f.Passage)])
		for i, to := range [...]*float64{&f.score, &f.legs.BM25, &f.legs.Dense} {
			*to = math.Float64frombits(binary.LittleEndian.Uint64(b[len(f.Passage)+8*i:]))
		}
		b = b[fixed:]
		all = append(all, f)
	}
	return all, true
}
