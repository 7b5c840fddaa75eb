package segment

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"runtime"
	"sort"
	"sync"

	"headworks/internal/bm25"
	"headworks/internal/dense"
	"headworks/internal/passage"
	"headworks/internal/rank"
	"headworks/internal/words"
)

// legs are the indices of one segment.
type legs struct {
	words *bm25.Segment
	dense *dense.Segment // nil: it has no vectors
}

func openLegs(of passage.Space, f *file) (l legs, err error) {
	if l.words, err = bm25.Open(f.part(wordsPart)); err != nil {
		return l, fmt.Errorf("segment: %s: %w", f.name, err)
	}
	if b := f.part(densePart); len(b) > 0 {
		if l.dense, err = dense.Open(b); err != nil {
			return l, fmt.Errorf("segment: %s: %w", f.name, err)
		}
		if l.dense.Dim() != of.Dimensions {
			return l, fmt.Errorf("segment: %s: %w: its vectors have another length than its space says", f.name, errDamaged)
		}
	}
	return l, nil
}

// index searches all segments of a view.
type index struct {
	pieces []piece
	words  *bm25.Index
}

func newIndex(pieces []piece) index {
	x := index{pieces: pieces}
	all := make([]*bm25.Segment, 0, len(pieces))
	for _, p := range pieces {
		all = append(all, p.legs.words)
	}
	x.words = bm25.NewIndex(all...)
	return x
}

// enough is how many rows a segment has to have before it is worth a goroutine.
const enough = 20_000

// search asks each segment, large ones at once, and returns the best n of all.
func (x *index) search(m *mask, n int, ask func(i int, p *piece) ([]rank.Hit, error)) ([]rank.Hit, error) {
	lists := make([][]rank.Hit, len(x.pieces))
	errs := make([]error, len(x.pieces))
	var wg sync.WaitGroup
	at := make(chan struct{}, max(runtime.GOMAXPROCS(0)-1, 1))
	for i := range x.pieces {
		p := &x.pieces[i]
		switch {
		case m.counts[i] == 0:
		case p.file.rows() >= enough && len(x.pieces) > 1:
			at <- struct{}{}
			wg.Go(func() {
				lists[i], errs[i] = ask(i, p)
				<-at
			})
		default:
			lists[i], errs[i] = ask(i, p)
		}
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return rank.Merge(n, lists...), nil
}

// byWords finds rows by the words of a question.
func (x *index) byWords(l words.Language, text string, m *mask, n int) ([]rank.Hit, error) {
	plan := x.words.Plan(l.Question(text))
	return x.search(m, n, func(i int, p *piece) ([]rank.Hit, error) {
		return plan.Search(p.legs.words, bm25.View{Allowed: m.of[i]}, n), nil
	})
}

// byVector finds rows near a vector. A sample of the searches is made exactly as well,
// so that it is known how much the others miss.
func (x *index) byVector(q []float32, m *mask, n int, exact bool, w *watch) ([]rank.Hit, error) {
	return x.search(m, n, func(i int, p *piece) ([]rank.Hit, error) {
		s, v := p.legs.dense, dense.View{Allowed: m.of[i]}
		if s == nil {
			return nil, nil
		}
		pool, sample, always := w.next(watched)
		if exact || always {
			return s.Exact(q, v, n)
		}
		hits, err := s.Search(q, v, n, max(pool, dense.Pool(n)))
		if err == nil && sample {
			if best, err := s.Exact(q, v, watched); err == nil {
				w.note(dense.Recall(hits[:min(watched, len(hits))], best))
			}
		}
		return hits, err
	})
}

// watched is how many of the best a sample compares.
const watched = 10

// watch follows the recall of a space's vector searches.
type watch struct {
	mu sync.Mutex
	of dense.Watch
}

func (w *watch) next(k int) (pool int, sample, always bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sample = w.of.Next()
	return w.of.Pool(k), sample, w.of.Alarm() && !sample
}

func (w *watch) note(recall float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.of.Note(recall)
}

// terms returns the terms of a passage: of what stands over it and of its text.
func terms(l words.Language, p *passage.Passage) bm25.Terms { return l.Text(p.Indexed()) }

// indices are what writes the two of a segment.
type indices struct {
	words func() (*bm25.Segment, error)
	dense func() (iter.Seq[[]byte], error) // asked where the space has vectors
}

// built returns the indices of passages, the first of which has the id base.
func built(of passage.Space, base uint32, all iter.Seq2[*passage.Passage, error]) indices {
	// each yields passages with their ids, and whether all of them were to be had.
	each := func(failed *error) iter.Seq2[uint32, *passage.Passage] {
		return func(yield func(uint32, *passage.Passage) bool) {
			id := base
			for p, err := range all {
				if err != nil {
					*failed = err
					return
				}
				if !yield(id, p) {
					return
				}
				id++
			}
		}
	}
	return indices{
		words: func() (*bm25.Segment, error) {
			var failed error
			s, err := bm25.Build(func(yield func(uint32, bm25.Terms) bool) {
				for id, p := range each(&failed) {
					if !yield(id, terms(of.Words(), p)) {
						return
					}
				}
			})
			return s, cmp.Or(failed, err)
		},
		dense: func() (iter.Seq[[]byte], error) {
			var failed error
			s, err := dense.Build(of.Dimensions, func(yield func(uint32, []float32) bool) {
				for id, p := range each(&failed) {
					if p.Vector != nil && !yield(id, p.Vector) {
						return
					}
				}
			})
			if err := cmp.Or(failed, err); err != nil {
				return nil, err
			}
			return func(yield func([]byte) bool) { yield(s.Bytes()) }, nil
		},
	}
}

// merged returns the indices of documents that move to where the first row has the id
// base, made of those that they come from.
func merged(of passage.Space, base uint32, moves []move) indices {
	var pieces []*piece
	rows := map[*piece][]move{} // by where they come from, in order
	for _, m := range moves {
		if rows[m.from] == nil {
			pieces = append(pieces, m.from)
		}
		rows[m.from] = append(rows[m.from], m)
	}
	to := func(p *piece, id uint32) (uint32, bool) {
		n := int(id - p.base)
		of := rows[p]
		i := sort.Search(len(of), func(i int) bool { return of[i].first > n }) - 1
		if i < 0 || n >= of[i].first+of[i].count {
			return 0, false
		}
		return base + uint32(of[i].to+n-of[i].first), true
	}
	return indices{
		words: func() (*bm25.Segment, error) {
			from := make([]*bm25.Segment, len(pieces))
			for i, p := range pieces {
				from[i] = p.legs.words
			}
			return bm25.Merge(func(i int, id uint32) (uint32, bool) { return to(pieces[i], id) }, from...)
		},
		dense: func() (iter.Seq[[]byte], error) {
			var with []*piece
			var from []*dense.Segment
			for _, p := range pieces {
				if p.legs.dense != nil {
					with, from = append(with, p), append(from, p.legs.dense)
				}
			}
			if len(from) == 0 {
				return built(of, base, func(func(*passage.Passage, error) bool) {}).dense()
			}
			return dense.Merge(func(i int, id uint32) (uint32, bool) { return to(with[i], id) }, from...)
		},
	}
}

// writeSegment writes the parts of a segment.
func writeSegment(w *writer, of passage.Space, all iter.Seq2[*passage.Passage, error], x indices) error {
	at := int64(0)
	var b []byte
	w.begin(rowsPart)
	for p, err := range all {
		if err != nil {
			return fmt.Errorf("segment: %w", err)
		}
		b = appendRow(b[:0], row{p.ID, p.Ordinal, p.Start, p.End, p.Tokens, at, len(p.Path), len(p.Text)})
		at += int64(len(p.Path) + len(p.Text))
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	w.end()
	w.begin(textPart)
	for p, err := range all {
		if err != nil {
			return fmt.Errorf("segment: %w", err)
		}
		if _, err := w.Write(append(append(b[:0], p.Path...), p.Text...)); err != nil {
			return err
		}
	}
	w.end()
	w.begin(wordsPart)
	words, err := x.words()
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	if _, err := w.Write(words.Bytes()); err != nil {
		return err
	}
	w.end()
	w.begin(densePart)
	if of.Dimensions > 0 {
		vectors, err := x.dense()
		if err != nil {
			return fmt.Errorf("segment: %w", err)
		}
		for some := range vectors {
			if _, err := w.Write(some); err != nil {
				return err
			}
		}
	}
	w.end()
	return nil
}

// order is that of all numbers in a segment.
var order = binary.LittleEndian
