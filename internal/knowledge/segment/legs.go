package segment

import (
	"cmp"
	"encoding/binary"
	"iter"
	"math"
	"slices"
	"strings"

	"headworks/internal/passage"
)

// hit is a row that an index found.
type hit struct {
	ID    uint32
	Score float64
}

// legs are the indices of one segment.
type legs struct{ file *file }

func openLegs(_ passage.Space, f *file) (legs, error) { return legs{f}, nil }

// index searches all segments of a view.
type index struct{ pieces []piece }

func newIndex(_ passage.Space, pieces []piece) (index, error) { return index{pieces}, nil }

func (x index) each(m mask, n int, score func(p piece, row int) float64) []hit {
	var hits []hit
	for _, p := range x.pieces {
		for row := range p.file.rows() {
			id := p.base + uint32(row)
			if m.bits != nil && !m.bits.Contains(id) {
				continue
			}
			if s := score(p, row); s > 0 {
				hits = append(hits, hit{id, s})
			}
		}
	}
	slices.SortFunc(hits, func(a, b hit) int { return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID)) })
	return hits[:min(n, len(hits))]
}

func (x index) words(text string, m mask, n int) []hit {
	asked := strings.Fields(strings.ToLower(text))
	return x.each(m, n, func(p piece, row int) float64 {
		r, err := p.file.passage(row)
		if err != nil {
			return 0
		}
		score := 0.0
		for _, w := range strings.Fields(strings.ToLower(r.Path + " " + r.Text)) {
			if slices.Contains(asked, w) {
				score++
			}
		}
		return score
	})
}

func (x index) dense(q []float32, m mask, n int, _ bool) []hit {
	return x.each(m, n, func(p piece, row int) (score float64) {
		all := p.file.floats()
		for i, y := range all[row*len(q) : (row+1)*len(q)] {
			score += float64(q[i]) * float64(y)
		}
		return score
	})
}

// writeSegment writes the parts of a segment.
func writeSegment(w *writer, of passage.Space, base uint32, all iter.Seq[*passage.Passage]) error {
	w.begin(rowsPart)
	at := int64(0)
	var b []byte
	for p := range all {
		b = appendRow(b[:0], row{p.ID, p.Ordinal, p.Start, p.End, p.Tokens, at, len(p.Path), len(p.Text)})
		at += int64(len(p.Path) + len(p.Text))
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	w.end()
	w.begin(textPart)
	for p := range all {
		if _, err := w.Write(append(append(b[:0], p.Path...), p.Text...)); err != nil {
			return err
		}
	}
	w.end()
	w.begin(wordsPart)
	w.end()
	w.begin(densePart)
	w.end()
	w.begin(floatsPart)
	for p := range all {
		if of.Dimensions == 0 {
			break
		}
		b = b[:0]
		for i := range of.Dimensions {
			x := float32(0)
			if p.Vector != nil {
				x = p.Vector[i]
			}
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	w.end()
	return nil
}
