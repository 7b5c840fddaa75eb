package bm25

import (
	"math"
	"math/bits"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"headworks/internal/rank"
	"headworks/internal/words"
)

// View is what a search may see.
type View struct {
	Allowed *roaring.Bitmap // ids that may be found; nil: all
	Deleted *roaring.Bitmap // ids that are gone; nil: none
}

// Search returns the best n texts for a question. Where the question is nothing
// but phrases, a text must hold them; else a phrase counts as one more word, as
// rare as its words together.
func (x *Index) Search(q words.Query, v View, n int) []Hit {
	p := x.Plan(q)
	top := rank.NewTop(n)
	for _, s := range x.segments {
		for _, h := range p.Search(s, v, n) {
			top.Put(h)
		}
	}
	return top.Hits()
}

// Plan is a question with the weights that its words have over a whole index. Its
// segments can be searched one by one, each on a goroutine of its own, and
// rank.Merge makes one list of what they give.
type Plan struct {
	terms   []weighted
	phrases []phrase
	exact   bool
	n0, n1  float64 // the length of a text holds its words down by n0 + n1*length
}

type weighted struct {
	text   string
	weight float64
}

type phrase struct {
	terms  []words.Term
	weight float64
}

// Plan weighs the words of a question.
func (x *Index) Plan(q words.Query) *Plan {
	average := 1.0
	if x.docs > 0 && x.length > 0 {
		average = float64(x.length) / float64(x.docs)
	}
	p := &Plan{exact: q.Exact, n0: k1 * (1 - b), n1: k1 * b / average}
	at := make(map[string]int, len(q.Terms))
	for _, t := range q.Terms {
		i, seen := at[t.Text]
		if !seen {
			i = len(p.terms)
			at[t.Text] = i
			p.terms = append(p.terms, weighted{text: t.Text})
		}
		p.terms[i].weight++
	}
	idf := make(map[string]float64, len(p.terms))
	for i := range p.terms {
		t := &p.terms[i]
		idf[t.text] = x.IDF(t.text)
		t.weight *= idf[t.text]
	}
	for _, terms := range q.Phrases {
		w := phrase{terms: terms}
		for _, t := range terms {
			w.weight += idf[t.Text]
		}
		p.phrases = append(p.phrases, w)
	}
	return p
}

// IDF is how much a term tells.
func (x *Index) IDF(term string) float64 {
	df := float64(x.DF(term))
	return math.Log(1 + (float64(x.docs)-df+.5)/(df+.5))
}

// unit is what scores are counted in: whole numbers, so that a text's score does
// not depend on the order in which its words are added.
const unit = 1 << 32

// gain is what a term adds to the score of a text.
func (p *Plan) gain(weight float64, tf, length uint32) int64 {
	f := float64(tf)
	return int64(weight * f / (f + p.n0 + p.n1*float64(length)) * unit)
}

// windowRows is how many rows are scored at a time: they stay in the first cache.
const windowRows = 4096

// window holds the scores of some rows in a line.
type window struct {
	base, end uint32
	seen      [windowRows / 64]uint64
	scores    [windowRows]int64
}

// Search returns the best n texts of one segment.
func (p *Plan) Search(s *Segment, v View, n int) []Hit {
	if n <= 0 || s.docs == 0 {
		return nil
	}
	cursors, must := p.cursors(s)
	if len(cursors) == 0 || p.exact && len(must) < len(p.phrases) {
		return nil
	}
	var (
		top  = rank.NewTop(n)
		w    = &window{}
		gate = newGate(s, v)
		sums = make([]int64, len(cursors)+1)
	)
	for base := uint32(0); base < s.docs; base += windowRows {
		w.base, w.end = base, min(base+windowRows, s.docs)
		if !gate.enter(w) {
			continue
		}
		most := int64(0)
		for _, c := range cursors {
			p.bound(c, w)
			most += c.window
		}
		bar := int64(-1)
		if worst, full := top.Worst(); full {
			bar = int64(worst.Score)
		}
		if most == 0 || most <= bar {
			continue
		}
		// Rows that hold none of the terms from first on cannot pass the bar.
		slices.SortStableFunc(cursors, func(a, b *cursor) int {
			switch {
			case a.window < b.window:
				return -1
			case a.window > b.window:
				return 1
			}
			return 0
		})
		first := 0
		for i, c := range cursors {
			sums[i+1] = sums[i] + c.window
			if sums[i+1] <= bar {
				first = i + 1
			}
		}
		for _, c := range cursors[first:] {
			if c.window > 0 {
				p.add(s, c, w)
			}
		}
		for _, c := range must {
			w.keep(c)
		}
		p.take(s, w, gate, cursors[:first], sums, top)
	}
	hits := top.Hits()
	for i := range hits {
		hits[i].Score /= unit
	}
	return hits
}

// cursors opens the terms and the phrases that the segment holds. The phrases are
// given once more, for questions that are nothing else.
func (p *Plan) cursors(s *Segment) (cursors, must []*cursor) {
	for _, t := range p.terms {
		if c := s.open(t.text, t.weight); c != nil {
			cursors = append(cursors, c)
		}
	}
	for _, ph := range p.phrases {
		l := s.phrase(ph.terms)
		if l.df == 0 {
			continue
		}
		cursors = append(cursors, l.cursor(s.docs, ph.weight))
		if p.exact {
			must = append(must, l.cursor(s.docs, 0))
		}
	}
	return cursors, must
}

func (s *Segment) open(term string, weight float64) *cursor {
	e, ok := s.lookup(term)
	if !ok {
		return nil
	}
	return s.cursor(e, weight)
}

// bound finds what a row of the window can get from a term at most.
func (p *Plan) bound(c *cursor, w *window) {
	c.window = 0
	if c.block < c.blocks && c.last(c.block) < w.base && !c.skipTo(w.base) {
		return
	}
	for i := c.block; i < c.blocks; i++ {
		if i > 0 && c.last(i-1) >= w.end-1 {
			break
		}
		head := c.heads[blockSize*i:]
		c.window = max(c.window, p.gain(c.weight, order.Uint32(head[12:]), order.Uint32(head[16:]))+1)
	}
}

// add gives the rows of a window what a term is worth in them.
func (p *Plan) add(s *Segment, c *cursor, w *window) {
	for row := w.base; c.skip(row); {
		for ; c.at < c.n; c.at++ {
			r := c.rows[c.at]
			if r >= w.end {
				return
			}
			if r < w.base {
				continue
			}
			i := r - w.base
			w.seen[i/64] |= 1 << (i % 64)
			w.scores[i] += p.gain(c.weight, c.tfs[c.at], s.lengthOf(r))
		}
		c.block++
		c.n = 0
	}
}

// take puts the rows of a window that were given something into top. The terms that
// were left out are looked up for the rows that could still pass.
func (p *Plan) take(s *Segment, w *window, g *gate, rest []*cursor, sums []int64, top *rank.Top) {
	for i, word := range w.seen {
		w.seen[i] = 0
		for word != 0 {
			at := uint32(i*64 + bits.TrailingZeros64(word))
			word &= word - 1
			score := w.scores[at]
			w.scores[at] = 0
			row := w.base + at
			bar := int64(-1)
			if worst, full := top.Worst(); full {
				bar = int64(worst.Score)
			}
			for j := len(rest); j > 0 && score+sums[j] > bar; j-- {
				c := rest[j-1]
				if c.window == 0 {
					continue
				}
				if found, ok := c.seek(row); ok && found == row {
					score += p.gain(c.weight, c.tfs[c.at], s.lengthOf(row))
				}
			}
			if score <= bar {
				continue
			}
			if id := s.id(row); g.sees(at, id) {
				top.Put(Hit{ID: id, Score: float64(score)})
			}
		}
	}
}

// keep leaves the rows of the window alone that a cursor stands on.
func (w *window) keep(c *cursor) {
	var rows [windowRows / 64]uint64
	for row, ok := c.seek(w.base); ok && row < w.end; row, ok = c.seek(row + 1) {
		rows[(row-w.base)/64] |= 1 << ((row - w.base) % 64)
	}
	for i := range w.seen {
		for gone := w.seen[i] &^ rows[i]; gone != 0; gone &= gone - 1 {
			w.scores[i*64+bits.TrailingZeros64(gone)] = 0
		}
		w.seen[i] &= rows[i]
	}
}

// phrase lists the rows in which the terms stand one after the other.
func (s *Segment) phrase(terms []words.Term) *list {
	l := &list{}
	cursors := make([]*cursor, len(terms))
	rarest := 0
	for i, t := range terms {
		if cursors[i] = s.open(t.Text, 0); cursors[i] == nil {
			return l
		}
		if cursors[i].blocks < cursors[rarest].blocks {
			rarest = i
		}
	}
	var starts, places []uint32
	for row, ok := cursors[rarest].seek(0); ok; row, ok = cursors[rarest].seek(row + 1) {
		all := true
		for _, c := range cursors {
			found, ok := c.seek(row)
			if !ok {
				return l
			}
			if found != row {
				all = false
				break
			}
		}
		if !all {
			continue
		}
		starts = cursors[0].positions(starts[:0])
		for i := 1; i < len(cursors) && len(starts) > 0; i++ {
			places = cursors[i].positions(places[:0])
			starts = follow(starts, places, terms[i].At-terms[0].At)
		}
		if len(starts) > 0 {
			l.add(row, s.lengthOf(row), starts)
		}
	}
	return l
}

// follow keeps the starts that have a place so many words behind them. Both ascend.
func follow(starts, places []uint32, distance uint32) []uint32 {
	kept := starts[:0]
	i := 0
	for _, start := range starts {
		for i < len(places) && places[i] < start+distance {
			i++
		}
		if i < len(places) && places[i] == start+distance {
			kept = append(kept, start)
		}
	}
	return kept
}
