package bm25

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// gone is the row of a text that a merged segment leaves out.
const gone = ^uint32(0)

// Merge makes one segment of several. It asks for the new id of each text by its
// segment and its id there, and leaves out those of which it hears false. What is kept
// ranks as it did, but that what is not no longer counts.
func Merge(id func(segment int, id uint32) (uint32, bool), segments ...*Segment) (*Segment, error) {
	type text struct{ id, segment, row uint32 }
	var texts []text
	for i, s := range segments {
		for row := range s.docs {
			if to, ok := id(i, s.id(row)); ok {
				texts = append(texts, text{to, uint32(i), row})
			}
		}
	}
	slices.SortFunc(texts, func(a, b text) int { return cmp.Compare(a.id, b.id) })
	if len(texts) > most {
		return nil, fmt.Errorf("a segment holds %d texts at most", most)
	}
	rows := make([][]uint32, len(segments)) // in the merged segment, by segment and row
	for i, s := range segments {
		rows[i] = slices.Repeat([]uint32{gone}, int(s.docs))
	}
	var (
		ids     = make([]uint32, len(texts))
		lengths = make([]uint32, len(texts))
		length  uint64
	)
	for n, t := range texts {
		if n > 0 && ids[n-1] == t.id {
			return nil, fmt.Errorf("two texts are to be %d", t.id)
		}
		ids[n], lengths[n] = t.id, segments[t.segment].lengthOf(t.row)
		length += uint64(lengths[n])
		rows[t.segment][t.row] = uint32(n)
	}

	m := merger{segments: segments, rows: rows, lengths: lengths}
	d, terms := directory{}, 0
	next := make([]int, len(segments)) // the term that each segment stands at
	for {
		var term []byte
		found := false
		for i, s := range segments {
			if next[i] < int(s.terms) && (!found || bytes.Compare(s.name(next[i]), term) < 0) {
				term, found = s.name(next[i]), true
			}
		}
		if !found {
			break
		}
		m.postings = m.postings[:0]
		m.places = m.places[:0]
		for i, s := range segments {
			if next[i] < int(s.terms) && bytes.Equal(s.name(next[i]), term) {
				m.take(i, s.cursor(s.entry(next[i]), 0))
				next[i]++
			}
		}
		if l := m.list(); l.df > 0 {
			if err := d.add(string(term), l); err != nil {
				return nil, err
			}
			terms++
		}
	}
	if terms > most || uint64(len(d.names)) > 1<<32-1 {
		return nil, errWords
	}
	return seal(ids, lengths, length, terms, d.entries, d.names, d.postings), nil
}

// merger gathers the postings of one term from several segments.
type merger struct {
	segments []*Segment
	rows     [][]uint32
	lengths  []uint32
	postings []posting
	places   []uint32
}

type posting struct {
	row        uint32
	start, end int // in places
}

// take adds the rows that a cursor of a segment has.
func (m *merger) take(segment int, c *cursor) {
	for row, ok := c.seek(0); ok; row, ok = c.seek(row + 1) {
		if row >= uint32(len(m.rows[segment])) || m.rows[segment][row] == gone {
			continue
		}
		start := len(m.places)
		m.places = c.positions(m.places)
		m.postings = append(m.postings, posting{m.rows[segment][row], start, len(m.places)})
	}
}

func (m *merger) list() *list {
	byRow := func(a, b posting) int { return cmp.Compare(a.row, b.row) }
	if !slices.IsSortedFunc(m.postings, byRow) {
		slices.SortFunc(m.postings, byRow)
	}
	l := &list{}
	for _, p := range m.postings {
		l.add(p.row, m.lengths[p.row], m.places[p.start:p.end])
	}
	return l
}
