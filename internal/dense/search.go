package dense

import (
	"math"
	"math/bits"

	"github.com/RoaringBitmap/roaring/v2"

	"headworks/internal/rank"
)

// View is what a search may see.
type View struct {
	Allowed *roaring.Bitmap // ids that may be found; nil: all
	Deleted *roaring.Bitmap // ids that are gone; nil: none
}

// few is how many allowed rows are compared exactly without a scan, if they are
// also less than a twentieth of the segment.
const few = 20_000

// Pool returns how many rows of the scan are compared exactly at least, for k hits:
// 200, or 20 a hit. Of the hits beyond the fiftieth it takes two each: where so many
// are asked for, another ranking is fused in, and the last of them count little.
func Pool(k int) int { return max(200, 20*min(k, 50)+2*max(k-50, 0)) }

// reach returns how many rows are compared exactly at most, where those farther
// down the scan could still be hits.
func reach(pool int) int { return max(pool, min(8*pool, 3200)) }

// Search returns the k vectors nearest to q, of those that the view shows, from a
// pool of so many rows or, where their scores say that it was too small, up to
// eight times as many. A pool below k is Pool(k).
func (s *Segment) Search(q []float32, v View, k, pool int) ([]Hit, error) {
	if pool < k || pool <= 0 {
		pool = Pool(k)
	}
	unit, err := s.unit(q)
	if err != nil {
		return nil, err
	}
	if k <= 0 || s.rows == 0 {
		return nil, nil
	}
	if s.rows <= pool || v.Allowed != nil && v.Allowed.GetCardinality() < min(few, uint64(s.rows)/20) {
		return s.exact(unit, v, k), nil
	}
	code := make([]uint64, s.words)
	encode(code, unit, s.mean)
	near := newNearest(min(reach(pool), s.rows), 64*s.words)
	if v.Allowed == nil && v.Deleted == nil {
		s.scan(code, near)
	} else {
		s.scanSome(code, near, v)
	}
	return s.best(unit, near.rows(), k, pool), nil
}

// step is how many rows are compared before the scores are asked whether to go on.
const step = 100

// unlikely is how many deviations the last hit so far lies above the scores of a
// step, where the next step holds another hit in one case of forty.
const unlikely = 3.5

// best returns the best k of rows, which stand by distance. Beyond the pool it goes
// on as long as the rows of the last step score so near to the hits that the next
// ones could be among them: where vectors lie in large clouds, the scan tells less
// of who is nearest than where each has few neighbours.
func (s *Segment) best(unit []float32, rows []uint32, k, pool int) []Hit {
	top := rank.NewTop(k)
	var n, sum, squares float64
	for i, row := range rows {
		if i >= pool && n >= step {
			worst, full := top.Worst()
			mean := sum / n
			deviation := math.Sqrt(max(0, squares/n-mean*mean))
			if full && worst.Score > mean+unlikely*deviation {
				break
			}
			n, sum, squares = 0, 0, 0
		} else if i == pool-step {
			n, sum, squares = 0, 0, 0
		}
		score := s.dot(unit, int(row))
		n++
		sum += score
		squares += score * score
		top.Put(Hit{ID: s.id(int(row)), Score: score})
	}
	return top.Hits()
}

// Exact returns the k vectors nearest to q, all compared exactly.
func (s *Segment) Exact(q []float32, v View, k int) ([]Hit, error) {
	unit, err := s.unit(q)
	if err != nil || k <= 0 {
		return nil, err
	}
	return s.exact(unit, v, k), nil
}

func (s *Segment) unit(q []float32) ([]float32, error) {
	unit := make([]float32, s.dim)
	return unit, normalise(unit, q)
}

func (s *Segment) exact(unit []float32, v View, k int) []Hit {
	top := rank.NewTop(k)
	s.each(v, func(rows []uint32) {
		for _, row := range rows {
			top.Put(Hit{ID: s.id(int(row)), Score: s.dot(unit, int(row))})
		}
	})
	return top.Hits()
}

// batch is how many ids are taken from a bitmap at a time.
const batch = 256

// each calls f with the rows that a view shows, many at a time and in order.
func (s *Segment) each(v View, f func(rows []uint32)) {
	if s.rows == 0 {
		return
	}
	shown := v.Allowed
	switch {
	case shown == nil && v.Deleted == nil:
		shown = roaring.New()
		shown.AddRange(uint64(s.id(0)), uint64(s.id(s.rows-1))+1)
	case shown == nil:
		shown = roaring.New()
		shown.AddRange(uint64(s.id(0)), uint64(s.id(s.rows-1))+1)
		shown.AndNot(v.Deleted)
	case v.Deleted != nil:
		shown = roaring.AndNot(shown, v.Deleted)
	}
	var (
		first, last = s.id(0), s.id(s.rows - 1)
		dense       = uint64(last)-uint64(first) == uint64(s.rows-1) // ids are rows but for where they start
		ids         [batch]uint32
		row         = 0
		walk        = shown.ManyIterator()
	)
	for {
		n := walk.NextMany(ids[:])
		if n == 0 || ids[0] > last {
			return
		}
		rows := ids[:0]
		for _, id := range ids[:n] {
			switch {
			case id < first:
			case id > last:
				f(rows)
				return
			case dense:
				rows = append(rows, id-first)
			default:
				if row = s.rowFrom(row, id); s.id(row) == id {
					rows = append(rows, uint32(row))
				}
			}
		}
		f(rows)
	}
}

// rowFrom returns the first row from low on whose id is at least id; there is one.
func (s *Segment) rowFrom(low int, id uint32) int {
	end, step := low, 1
	for end < s.rows && s.id(end) < id {
		low = end + 1
		end += step
		step *= 2
	}
	for end = min(end, s.rows-1); low < end; {
		if mid := low + (end-low)/2; s.id(mid) < id {
			low = mid + 1
		} else {
			end = mid
		}
	}
	return low
}

// dot is the cosine of a row and a vector of length 1. Four sums run side by side.
func (s *Segment) dot(unit []float32, row int) float64 {
	v := s.vector(row)
	var a, b, c, d float32
	for len(unit) >= 4 && len(v) >= 16 {
		a += unit[0] * math.Float32frombits(order.Uint32(v))
		b += unit[1] * math.Float32frombits(order.Uint32(v[4:]))
		c += unit[2] * math.Float32frombits(order.Uint32(v[8:]))
		d += unit[3] * math.Float32frombits(order.Uint32(v[12:]))
		unit, v = unit[4:], v[16:]
	}
	for i, x := range unit {
		a += x * math.Float32frombits(order.Uint32(v[4*i:]))
	}
	return float64(a+b) + float64(c+d)
}

// samples is how many rows are looked at to guess how near a row must be.
const samples = 4096

// scan puts the rows whose codes are nearest into near. In a large segment only
// those below a bar are put in that a sample says lets through half as many again.
func (s *Segment) scan(code []uint64, near *nearest) {
	if every := s.rows / samples; every >= 8 {
		count := make([]int, 64*s.words+1)
		for row := 0; row < s.rows; row += every {
			count[distance(code, s.codes[8*s.words*row:])]++
		}
		most := near.n * 3 / 2 / every
		bar := 0
		for most >= count[bar] {
			most -= count[bar]
			bar++
		}
		near.bar = int32(bar + 1)
		s.scanAll(code, near)
		if len(near.found) >= near.n/2 {
			return
		}
		near.reset()
	}
	s.scanAll(code, near)
}

func (s *Segment) scanAll(code []uint64, near *nearest) {
	codes := s.codes
	if s.words == 6 { // 384 dimensions
		q := [6]uint64(code)
		for row := uint32(0); len(codes) >= 48; row++ {
			near.put(row, distance6(&q, (*[48]byte)(codes)))
			codes = codes[48:]
		}
		return
	}
	for row, size := uint32(0), 8*s.words; len(codes) >= size; row++ {
		near.put(row, distance(code, codes[:size]))
		codes = codes[size:]
	}
}

// scanSome does so for the rows that a view shows.
func (s *Segment) scanSome(code []uint64, near *nearest, v View) {
	size := 8 * s.words
	s.each(v, func(rows []uint32) {
		if s.words == 6 {
			q := [6]uint64(code)
			for _, row := range rows {
				near.put(row, distance6(&q, (*[48]byte)(s.codes[48*int(row):])))
			}
			return
		}
		for _, row := range rows {
			near.put(row, distance(code, s.codes[size*int(row):]))
		}
	})
}

// distance6 is distance for 384 dimensions, the commonest.
func distance6(q *[6]uint64, p *[48]byte) int {
	return bits.OnesCount64(q[0]^order.Uint64(p[0:])) +
		bits.OnesCount64(q[1]^order.Uint64(p[8:])) +
		bits.OnesCount64(q[2]^order.Uint64(p[16:])) +
		bits.OnesCount64(q[3]^order.Uint64(p[24:])) +
		bits.OnesCount64(q[4]^order.Uint64(p[32:])) +
		bits.OnesCount64(q[5]^order.Uint64(p[40:]))
}

// distance counts the bits in which two codes differ.
func distance(code []uint64, p []byte) int {
	a, b := 0, 0
	for len(code) >= 4 && len(p) >= 32 {
		a += bits.OnesCount64(code[0]^order.Uint64(p)) + bits.OnesCount64(code[1]^order.Uint64(p[8:]))
		b += bits.OnesCount64(code[2]^order.Uint64(p[16:])) + bits.OnesCount64(code[3]^order.Uint64(p[24:]))
		code, p = code[4:], p[32:]
	}
	for i, w := range code {
		a += bits.OnesCount64(w ^ order.Uint64(p[8*i:]))
	}
	return a + b
}

// nearest keeps the rows with the least distances; of equals, the first.
//
// It gathers rows below a bar and, when it holds twice as many as it wants, lowers
// the bar by counting distances: cheaper than a heap, since a row that is not near
// costs one comparison.
type nearest struct {
	n, most int
	bar     int32 // rows at this distance or farther are not near
	found   []candidate
	count   []int32 // how many are found at each distance
}

type candidate struct {
	row      uint32
	distance int32
}

func newNearest(n, most int) *nearest {
	return &nearest{n: n, most: most, bar: int32(most) + 1, found: make([]candidate, 0, 2*n), count: make([]int32, most+1)}
}

// reset forgets what was found.
func (n *nearest) reset() {
	n.found, n.bar = n.found[:0], int32(n.most)+1
	clear(n.count)
}

func (n *nearest) put(row uint32, distance int) {
	if int32(distance) < n.bar {
		n.take(row, int32(distance))
	}
}

func (n *nearest) take(row uint32, distance int32) {
	n.found = append(n.found, candidate{row, distance})
	n.count[distance]++
	if len(n.found) == cap(n.found) {
		n.shrink()
	}
}

// shrink leaves the n nearest, in the order of their rows.
func (n *nearest) shrink() {
	if len(n.found) <= n.n {
		return
	}
	left, bar := int32(n.n), int32(0)
	for left > n.count[bar] {
		left -= n.count[bar]
		bar++
	}
	// Of those at the bar itself, left may stay: the first.
	kept, at := n.found[:0], left
	for _, c := range n.found {
		if c.distance < bar || c.distance == bar && at > 0 {
			if c.distance == bar {
				at--
			}
			kept = append(kept, c)
		}
	}
	n.found = kept
	n.count[bar] = left
	clear(n.count[bar+1:])
	n.bar = bar
}

// rows returns what was kept, the nearest first.
func (n *nearest) rows() []uint32 {
	n.shrink()
	at := int32(0) // where the rows of each distance start
	for d, count := range n.count {
		n.count[d] = at
		at += count
	}
	rows := make([]uint32, len(n.found))
	for _, c := range n.found {
		rows[n.count[c.distance]] = c.row
		n.count[c.distance]++
	}
	return rows
}
