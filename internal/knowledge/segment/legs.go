package segment

import (
	"encoding/binary"
	"fmt"
	"iter"
	"runtime"
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
func (x *index) byWords(text string, m *mask, n int) ([]rank.Hit, error) {
	plan := x.words.Plan(words.Question(text))
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

// heading returns what stands over a passage in the index of words.
func heading(p *passage.Passage) string {
	switch {
	case p.Title == "":
		return p.Path
	case p.Path == "":
		return p.Title
	}
	return p.Title + " > " + p.Path
}

// terms returns the terms of a passage: of what stands over it and of its text.
func terms(p *passage.Passage) bm25.Terms {
	head := heading(p)
	if head == "" {
		return words.Text(p.Text)
	}
	return words.Text(head + "\n\n" + p.Text)
}

// writeSegment writes the parts of a segment whose first row has the id base in the
// indices.
func writeSegment(w *writer, of passage.Space, base uint32, all iter.Seq2[*passage.Passage, error]) error {
	var failed error
	each := func(yield func(id uint32, p *passage.Passage) bool) {
		id := base
		for p, err := range all {
			if err != nil {
				failed = err
				return
			}
			if !yield(id, p) {
				return
			}
			id++
		}
	}
	rows := 0
	at := int64(0)
	var b []byte
	w.begin(rowsPart)
	for _, p := range each {
		b = appendRow(b[:0], row{p.ID, p.Ordinal, p.Start, p.End, p.Tokens, at, len(p.Path), len(p.Text)})
		at += int64(len(p.Path) + len(p.Text))
		rows++
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	w.end()
	w.begin(textPart)
	for _, p := range each {
		if _, err := w.Write(append(append(b[:0], p.Path...), p.Text...)); err != nil {
			return err
		}
	}
	w.end()
	index, err := bm25.Build(func(yield func(uint32, bm25.Terms) bool) {
		for id, p := range each {
			if !yield(id, terms(p)) {
				return
			}
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	w.begin(wordsPart)
	if _, err := w.Write(index.Bytes()); err != nil {
		return err
	}
	w.end()
	index = nil
	w.begin(densePart)
	if of.Dimensions > 0 {
		vectors, err := dense.Build(of.Dimensions, func(yield func(uint32, []float32) bool) {
			for id, p := range each {
				if p.Vector != nil && !yield(id, p.Vector) {
					return
				}
			}
		})
		if err == nil {
			err = failed
		}
		if err != nil {
			return fmt.Errorf("segment: %w", err)
		}
		if _, err := w.Write(vectors.Bytes()); err != nil {
			return err
		}
	}
	w.end()
	return failed
}

// order is that of all numbers in a segment.
var order = binary.LittleEndian
