package similar

import (
	"time"

	"headworks/internal/gram"
)

// Bounds of an index.
const (
	MaxEntries = 8192     // questions of one index
	MaxBytes   = 16 << 20 // of their texts and vectors
	maxShare   = 100      // one principal owns one part in this many of a wide index
)

// Thresholds of similarity: each belongs to one kind of vector. Lexical vectors are made
// of the terms, so what the guards let through is far above theirs; the guards decide.
const (
	LexicalThreshold  = 0.60
	EmbeddedThreshold = 0.95
)

// Entry is a question whose answer is kept.
type Entry struct {
	Question *Question
	Vector   []float32 // of the backend's embedder, of length one; nil where there is none
	Frame    [32]byte  // everything of the request but its last text: equal or no candidate
	Key      [32]byte  // under which the answer is kept
	Owner    uint64    // the principal whose request it was
	Expires  time.Time

	content uint64 // hash of the terms
	agreed  bool   // a second principal's own generation said the same
	used    bool   // since the hand last passed
	bytes   int
}

// Candidate is an earlier question whose answer may stand in.
type Candidate struct {
	Key        [32]byte
	Text       string
	Similarity float64
	Own        bool // it is the asker's, or was agreed on: it may be served; else only compared
}

// Index holds the questions of one scope and model. Its answers are kept elsewhere, under
// the keys of its entries. It is for one user at a time.
//
// Questions are found by their terms: a question whose terms differ would be refused by
// the guards whatever its vector said, so nothing is lost by not looking at it.
type Index struct {
	Trial Trial

	wide    bool
	entries []*Entry // as they came
	hand    int
	byTerms map[uint64][]*Entry
	byOwner map[uint64]int
	bytes   int
	rare    rarity
}

// NewIndex returns an empty index. A wide one spans more than a project: a principal owns
// little of it, and an answer serves others only when it was agreed on.
func NewIndex(wide bool) *Index {
	return &Index{wide: wide, byTerms: map[uint64][]*Entry{}, byOwner: map[uint64]int{}}
}

// Bytes returns what its questions take.
func (x *Index) Bytes() int { return x.bytes }

// Shrink lets one question go: one that nobody asked for of late.
func (x *Index) Shrink(now time.Time) {
	if len(x.entries) > 0 {
		x.evict(now)
	}
}

// Len returns how many questions it holds.
func (x *Index) Len() int { return len(x.entries) }

// Find returns the nearest question that passes every guard, or false. The vector is that
// of the backend's embedder, nil where there is none; then texts are compared by their
// letters. Reason is the guard that refused the last one looked at.
func (x *Index) Find(q *Question, v []float32, frame [32]byte, owner uint64, now time.Time) (best Candidate, reason Guard, ok bool) {
	reason = Stem
	if v != nil {
		if v = normal(v); v == nil {
			return Candidate{}, reason, false
		}
	}
	for _, e := range x.byTerms[content(q, frame)] {
		if e.Frame != frame || !e.Expires.After(now) || v != nil && e.Vector == nil {
			continue
		}
		if g := Compare(q, e.Question); g != Same {
			reason = g
			continue
		}
		s, threshold := x.similarity(q, v, e)
		if s < threshold {
			continue
		}
		if !ok || s > best.Similarity {
			best = Candidate{Key: e.Key, Text: e.Question.Text, Similarity: s, Own: !x.wide || e.agreed || e.Owner == owner}
			ok = true
			e.used = true
		}
	}
	if ok {
		reason = Same
	}
	return best, reason, ok
}

func (x *Index) similarity(q *Question, v []float32, e *Entry) (s, threshold float64) {
	if v != nil {
		return Cosine(v, e.Vector), EmbeddedThreshold
	}
	return Cosine(vector(q.plain, &x.rare), vector(e.Question.plain, &x.rare)), LexicalThreshold
}

// Add keeps a question. One that stands there under the same key is replaced.
func (x *Index) Add(e Entry, now time.Time) {
	if e.Vector != nil {
		if e.Vector = normal(e.Vector); e.Vector == nil {
			return
		}
	}
	e.content = content(e.Question, e.Frame)
	e.bytes = 512 + 3*len(e.Question.Text) + 80*len(e.Question.terms) + 4*len(e.Vector)
	if e.bytes > MaxBytes/maxShare {
		return
	}
	for _, old := range x.byTerms[e.content] {
		if old.Key == e.Key {
			e.agreed = old.agreed
			x.remove(old)
			break
		}
	}
	if x.wide && x.byOwner[e.Owner] >= MaxEntries/maxShare {
		x.removeFirst(func(o *Entry) bool { return o.Owner == e.Owner })
	}
	for len(x.entries) >= MaxEntries || x.bytes+e.bytes > MaxBytes {
		x.evict(now)
	}
	n := &e
	x.entries = append(x.entries, n)
	x.byTerms[e.content] = append(x.byTerms[e.content], n)
	x.byOwner[e.Owner]++
	x.bytes += e.bytes
	x.rare.note(e.Question, 1)
}

// Agreed says that another principal's own answer said the same as the one under a key.
func (x *Index) Agreed(key [32]byte, owner uint64) {
	for _, e := range x.entries {
		if e.Key == key && e.Owner != owner {
			e.agreed = true
		}
	}
}

// Drop takes a question out, as its answer is gone.
func (x *Index) Drop(key [32]byte) {
	x.removeFirst(func(e *Entry) bool { return e.Key == key })
}

func (x *Index) removeFirst(is func(*Entry) bool) {
	for _, e := range x.entries {
		if is(e) {
			x.remove(e)
			return
		}
	}
}

// evict takes out what expired or was not asked for since the hand last passed.
func (x *Index) evict(now time.Time) {
	for {
		if x.hand >= len(x.entries) {
			x.hand = 0
		}
		e := x.entries[x.hand]
		if e.used && e.Expires.After(now) {
			e.used = false
			x.hand++
			continue
		}
		x.remove(e)
		return
	}
}

func (x *Index) remove(e *Entry) {
	for i := range x.entries {
		if x.entries[i] == e {
			x.entries = append(x.entries[:i], x.entries[i+1:]...)
			if i < x.hand {
				x.hand--
			}
			break
		}
	}
	same := x.byTerms[e.content]
	for i := range same {
		if same[i] == e {
			same[i] = same[len(same)-1]
			same = same[:len(same)-1]
			break
		}
	}
	if x.byTerms[e.content] = same; len(same) == 0 {
		delete(x.byTerms, e.content)
	}
	if x.byOwner[e.Owner]--; x.byOwner[e.Owner] == 0 {
		delete(x.byOwner, e.Owner)
	}
	x.bytes -= e.bytes
	x.rare.note(e.Question, -1)
}

// content returns a hash that is equal for questions whose terms are alike.
func content(q *Question, frame [32]byte) uint64 {
	h := uint64(0)
	for _, b := range frame[:8] {
		h = h<<8 | uint64(b)
	}
	// All in one run, since some words are written as two.
	var all []rune
	for i := range q.terms {
		all = append(all, []rune(root(&q.terms[i]))...)
	}
	return gram.Mix(h ^ gram.Hash('t', all))
}

// root returns what all terms share that are alike or the same action.
func root(t *token) string {
	w := t.text
	if t.exact && !plainQuote(t) {
		return w
	}
	switch w {
	case "one":
		return "#1"
	}
	w = singular(w)
	if stem, ok := cutGerund(w); ok {
		w = stem
	}
	if n := len(w); n > 3 && w[n-1] == w[n-2] {
		w = w[:n-1]
	}
	if n := len(w); n > 3 && w[n-1] == 'e' {
		w = w[:n-1]
	}
	return w
}
