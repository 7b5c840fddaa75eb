// Package rank holds what a search finds, best first: the best few of many, lists
// of several segments as one, and what each counts where two are fused.
//
// Equal scores stand in the order of their ids, so the same hits always give the
// same list.
package rank

import (
	"cmp"
	"slices"
)

// Hit is something found.
type Hit struct {
	ID    uint32
	Score float64 // comparable within one search
}

// Order says which of two hits stands first: a higher score, then a lower id.
func Order(a, b Hit) int {
	return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
}

// Top keeps the best of what is put in. The zero Top keeps nothing.
type Top struct {
	n    int
	heap []Hit // the worst first
}

// NewTop returns a Top of at most n hits.
func NewTop(n int) *Top { return &Top{n: max(n, 0)} }

// Full reports whether a hit must beat another one to get in.
func (t *Top) Full() bool { return len(t.heap) >= t.n }

// Worst returns the hit that the next better one displaces, where the Top is full.
func (t *Top) Worst() (Hit, bool) {
	if len(t.heap) == 0 || !t.Full() {
		return Hit{}, false
	}
	return t.heap[0], true
}

// Put takes a hit in if it is among the best so far.
func (t *Top) Put(h Hit) {
	if len(t.heap) < t.n {
		t.heap = append(t.heap, h)
		for i := len(t.heap) - 1; i > 0; {
			up := (i - 1) / 2
			if Order(t.heap[up], t.heap[i]) >= 0 {
				break
			}
			t.heap[up], t.heap[i] = t.heap[i], t.heap[up]
			i = up
		}
		return
	}
	if t.n == 0 || Order(h, t.heap[0]) >= 0 {
		return
	}
	t.heap[0] = h
	for i := 0; ; {
		worst := i
		for _, down := range [...]int{2*i + 1, 2*i + 2} {
			if down < len(t.heap) && Order(t.heap[down], t.heap[worst]) > 0 {
				worst = down
			}
		}
		if worst == i {
			return
		}
		t.heap[i], t.heap[worst] = t.heap[worst], t.heap[i]
		i = worst
	}
}

// Hits returns what was kept, best first, and empties the Top.
func (t *Top) Hits() []Hit {
	hits := t.heap
	t.heap = nil
	slices.SortFunc(hits, Order)
	return hits
}

// Merge returns the best n of lists whose scores can be compared, as those of the
// segments of one index.
func Merge(n int, lists ...[]Hit) []Hit {
	top := NewTop(n)
	for _, list := range lists {
		for _, h := range list {
			top.Put(h)
		}
	}
	return top.Hits()
}
