package sim

import "math"

// never is when nothing happens any more, in nanoseconds.
const never = math.MaxInt64

// agenda is a heap of who acts next: everybody has at most one moment in it. Of
// equal moments the one that was set first comes first.
type agenda struct {
	heap []entry
	at   []int32 // by who: place in the heap, or -1
	seq  uint64
}

type entry struct {
	when int64 // ns from the start
	seq  uint64
	who  int32
}

func (e *entry) before(o *entry) bool { return e.when < o.when || e.when == o.when && e.seq < o.seq }

// join returns the number of one more, who has no moment yet.
func (a *agenda) join() int32 {
	a.at = append(a.at, -1)
	return int32(len(a.at) - 1)
}

// next returns who acts next, and when.
func (a *agenda) next() (who int32, when int64) {
	if len(a.heap) == 0 {
		return -1, never
	}
	return a.heap[0].who, a.heap[0].when
}

// set gives who a moment in place of the one before; never is none.
func (a *agenda) set(who int32, when int64) {
	i := int(a.at[who])
	switch {
	case when == never && i < 0:
	case when == never:
		a.remove(i)
	case i < 0:
		a.seq++
		a.heap = append(a.heap, entry{when, a.seq, who})
		a.up(len(a.heap) - 1)
	case a.heap[i].when != when:
		a.seq++
		a.heap[i].when, a.heap[i].seq = when, a.seq
		a.fix(i)
	}
}

func (a *agenda) remove(i int) {
	last := len(a.heap) - 1
	a.at[a.heap[i].who] = -1
	moved := a.heap[last]
	a.heap = a.heap[:last]
	if i < last {
		a.heap[i] = moved
		a.fix(i)
	}
}

func (a *agenda) fix(i int) {
	if i > 0 && a.heap[i].before(&a.heap[(i-1)/2]) {
		a.up(i)
	} else {
		a.down(i)
	}
}

func (a *agenda) up(i int) {
	e := a.heap[i]
	for i > 0 {
		parent := (i - 1) / 2
		if !e.before(&a.heap[parent]) {
			break
		}
		a.put(i, a.heap[parent])
		i = parent
	}
	a.put(i, e)
}

func (a *agenda) down(i int) {
	e := a.heap[i]
	for {
		child := 2*i + 1
		if child >= len(a.heap) {
			break
		}
		if child+1 < len(a.heap) && a.heap[child+1].before(&a.heap[child]) {
			child++
		}
		if !a.heap[child].before(&e) {
			break
		}
		a.put(i, a.heap[child])
		i = child
	}
	a.put(i, e)
}

func (a *agenda) put(i int, e entry) {
	a.heap[i] = e
	a.at[e.who] = int32(i)
}
