package bm25

// cursor walks over the postings of one term, block by block.
type cursor struct {
	heads, lines, places []byte // the term's blocks, rows and positions
	blocks               int
	docs                 uint32 // rows of the segment
	weight               float64

	block int // decoded, or about to be
	n     int // rows of the block that are decoded
	at    int // the next of them
	rows  [blockRows]uint32
	tfs   [blockRows]uint32

	read   []byte // positions of the block from row place on
	place  int
	window int64 // the most that a row of the window can get
}

// cursor returns a cursor of a term, before its first row.
func (s *Segment) cursor(e entry, weight float64) *cursor {
	rest := s.postings[min(e.at, uint64(len(s.postings))):]
	take := func(n uint64) []byte {
		n = min(n, uint64(len(rest)))
		section := rest[:n]
		rest = rest[n:]
		return section
	}
	c := &cursor{weight: weight, docs: s.docs}
	c.heads = take(blockSize * uint64(e.blocks))
	c.blocks = len(c.heads) / blockSize
	c.lines = take(uint64(e.lines))
	places := uint64(0)
	if c.blocks > 0 {
		places = uint64(order.Uint32(c.heads[blockSize*(c.blocks-1)+8:]))
	}
	c.places = take(places)
	return c
}

// cursor returns a cursor of a list that is not part of a segment.
func (l *list) cursor(docs uint32, weight float64) *cursor {
	if l.df%blockRows != 0 {
		l.close()
	}
	return &cursor{heads: l.heads, lines: l.rows, places: l.positions, blocks: len(l.heads) / blockSize, docs: docs, weight: weight}
}

func (c *cursor) last(block int) uint32 { return order.Uint32(c.heads[blockSize*block:]) }

// bounds returns where the rows or the positions of a block start and end.
func (c *cursor) bounds(block, field int, section []byte) []byte {
	start := uint32(0)
	if block > 0 {
		start = order.Uint32(c.heads[blockSize*(block-1)+field:])
	}
	end := order.Uint32(c.heads[blockSize*block+field:])
	if start > end || uint64(end) > uint64(len(section)) {
		return nil
	}
	return section[start:end]
}

// skip goes to the block in which a row could stand and decodes it; false at the
// end.
func (c *cursor) skip(row uint32) bool {
	if !c.skipTo(row) {
		return false
	}
	if c.n == 0 {
		c.decode()
	}
	return true
}

// skipTo goes to the block in which a row could stand; false at the end.
func (c *cursor) skipTo(row uint32) bool {
	if c.block < c.blocks && c.last(c.block) < row {
		c.n = 0
		// Blocks ahead are near as a rule: look twice as far each time, then between.
		low, step := c.block, 1
		for low+step < c.blocks && c.last(low+step) < row {
			low += step
			step *= 2
		}
		high := min(low+step, c.blocks)
		for low+1 < high {
			if mid := (low + high) / 2; c.last(mid) < row {
				low = mid
			} else {
				high = mid
			}
		}
		c.block = high
	}
	return c.block < c.blocks
}

// decode reads the rows of the block.
func (c *cursor) decode() {
	line := c.bounds(c.block, 4, c.lines)
	row := uint32(0)
	if c.block > 0 {
		row = c.last(c.block - 1)
	}
	n := 0
	for len(line) > 0 && n < blockRows {
		var v uint64
		v, line = uvarint(line)
		row += uint32(v >> 1)
		tf := uint64(1)
		if v&1 != 0 {
			tf, line = uvarint(line)
		}
		if row >= c.docs { // damaged
			break
		}
		c.rows[n], c.tfs[n] = row, uint32(tf)
		n++
	}
	c.n, c.at = n, 0
	c.read, c.place = c.bounds(c.block, 8, c.places), 0
}

// uvarint reads a number; of damaged bytes it reads something.
func uvarint(p []byte) (uint64, []byte) {
	if len(p) > 0 && p[0] < 0x80 {
		return uint64(p[0]), p[1:]
	}
	var v uint64
	for i := 0; i < len(p) && i < 10; i++ {
		v |= uint64(p[i]&0x7f) << (7 * i)
		if p[i] < 0x80 {
			return v, p[i+1:]
		}
	}
	return v, nil
}

// seek goes to a row, or to the first one after it, and returns it; false at the
// end.
func (c *cursor) seek(row uint32) (uint32, bool) {
	for c.skip(row) {
		for c.at < c.n {
			if c.rows[c.at] >= row {
				return c.rows[c.at], true
			}
			c.at++
		}
		c.block++
		c.n = 0
	}
	return 0, false
}

// positions appends where the term stands in the row that seek found.
func (c *cursor) positions(places []uint32) []uint32 {
	for ; c.place < c.at; c.place++ {
		for range c.tfs[c.place] {
			if len(c.read) == 0 {
				return places
			}
			_, c.read = uvarint(c.read)
		}
	}
	rest, last := c.read, uint32(0)
	for range c.tfs[c.at] {
		if len(rest) == 0 {
			break
		}
		var v uint64
		v, rest = uvarint(rest)
		last += uint32(v)
		places = append(places, last)
	}
	return places
}
