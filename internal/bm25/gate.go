package bm25

import "github.com/RoaringBitmap/roaring/v2"

// sparse is the share of a segment, one in so many, below which the allowed rows
// are walked over and windows without one are left out.
const sparse = 16

// gate lets rows through that a view shows.
type gate struct {
	s       *Segment
	view    View
	walk    roaring.IntPeekable // over the allowed ids, where they are few
	allowed [windowRows / 64]uint64
}

func newGate(s *Segment, v View) *gate {
	g := &gate{s: s, view: v}
	if v.Allowed != nil && v.Allowed.GetCardinality()*sparse < uint64(s.docs) {
		g.walk = v.Allowed.Iterator()
	}
	return g
}

// enter reports whether a window has a row that may be found.
func (g *gate) enter(w *window) bool {
	if g.walk == nil {
		return true
	}
	clear(g.allowed[:])
	any, row := false, w.base
	g.walk.AdvanceIfNeeded(g.s.id(w.base))
	for last := g.s.id(w.end - 1); g.walk.HasNext() && g.walk.PeekNext() <= last; {
		id := g.walk.Next()
		if row = g.s.rowFrom(row, w.end, id); row < w.end && g.s.id(row) == id {
			g.allowed[(row-w.base)/64] |= 1 << ((row - w.base) % 64)
			any = true
		}
	}
	return any
}

// sees reports whether a row of the entered window may be found.
func (g *gate) sees(at, id uint32) bool {
	switch {
	case g.walk != nil:
		if g.allowed[at/64]>>(at%64)&1 == 0 {
			return false
		}
	case g.view.Allowed != nil && !g.view.Allowed.Contains(id):
		return false
	}
	return g.view.Deleted == nil || !g.view.Deleted.Contains(id)
}

// rowFrom returns the first row from low on, before high, whose id is at least id,
// or high.
func (s *Segment) rowFrom(low, high, id uint32) uint32 {
	end, step := low, uint32(1)
	for end < high && s.id(end) < id {
		low = end + 1
		end += step
		step *= 2
	}
	for end = min(end, high); low < end; {
		if mid := low + (end-low)/2; s.id(mid) < id {
			low = mid + 1
		} else {
			end = mid
		}
	}
	return low
}
