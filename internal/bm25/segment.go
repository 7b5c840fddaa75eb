package bm25

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"slices"
	"sort"
)

// The bytes of a segment, little endian:
//
//	header     magic, version, docs, terms, total length, where sections start, CRC
//	ids        4 bytes a text, ascending; a text's row is its place here
//	lengths    4 bytes a text
//	directory  20 bytes a term in order of bytes: where its name ends, df, where its
//	           postings start, how many bytes its rows take
//	names      the terms, one after the other
//	postings   a term's: 20 bytes a block of 128 rows (last row, where rows end,
//	           where positions end, most tf, least length), rows, positions
//	CRC        of everything between header and here
//
// Rows are varints of the distance to the row before, doubled; the odd ones are
// followed by a varint of tf, the even ones have tf 1. Positions are varints of the
// distance to the one before, tf of them a row.
const (
	magic      = "hwbm25\x00\x01"
	headerSize = 64
	entrySize  = 20
	blockSize  = 20
	blockRows  = 128
)

// most bounds the texts and the terms of one segment.
const most = 1 << 28

var order = binary.LittleEndian

// castagnoli is CRC32C, for which processors have an instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errWords = errors.New("the texts of a segment hold too many different words")

// Segment is an immutable index of some texts.
type Segment struct {
	data   []byte
	docs   uint32
	terms  uint32
	length uint64

	ids, lengths, directory, names, postings []byte
}

// Len returns how many texts the segment holds.
func (s *Segment) Len() int { return int(s.docs) }

// Bytes returns the segment as Open takes it. They are not to be changed.
func (s *Segment) Bytes() []byte { return s.data }

// IDs returns the ids of the segment's texts, ascending.
func (s *Segment) IDs() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for row := range s.docs {
			if !yield(s.id(row)) {
				return
			}
		}
	}
}

func (s *Segment) id(row uint32) uint32 { return order.Uint32(s.ids[4*row:]) }

func (s *Segment) lengthOf(row uint32) uint32 { return order.Uint32(s.lengths[4*row:]) }

// ErrDamaged says that bytes are not those that a segment was written as.
var ErrDamaged = errors.New("the segment is damaged or not a BM25 segment")

// Open reads a segment from bytes, which stay in use and are not to be changed. It
// reads the header alone: Verify reads the rest.
func Open(data []byte) (*Segment, error) {
	if len(data) < headerSize+4 || string(data[:8]) != magic {
		return nil, ErrDamaged
	}
	if crc32.Checksum(data[:headerSize-4], castagnoli) != order.Uint32(data[headerSize-4:]) {
		return nil, ErrDamaged
	}
	s := &Segment{data: data, docs: order.Uint32(data[8:]), terms: order.Uint32(data[12:]), length: order.Uint64(data[16:])}
	names, postings := order.Uint64(data[24:]), order.Uint64(data[32:])
	if s.docs > most || s.terms > most || names > uint64(len(data)) || postings > uint64(len(data)) {
		return nil, ErrDamaged
	}
	rest := data[headerSize : len(data)-4]
	take := func(n uint64) (section []byte) {
		if uint64(len(rest)) < n {
			rest = nil
			return nil
		}
		section, rest = rest[:n:n], rest[n:]
		return section
	}
	s.ids, s.lengths = take(4*uint64(s.docs)), take(4*uint64(s.docs))
	s.directory, s.names, s.postings = take(entrySize*uint64(s.terms)), take(names), take(postings)
	if uint64(len(data)) != headerSize+4+8*uint64(s.docs)+entrySize*uint64(s.terms)+names+postings {
		return nil, ErrDamaged
	}
	return s, nil
}

// Verify reads all bytes and says whether they are those that were written.
func (s *Segment) Verify() error {
	n := len(s.data) - 4
	if crc32.Checksum(s.data[headerSize:n], castagnoli) != order.Uint32(s.data[n:]) {
		return ErrDamaged
	}
	return nil
}

// seal puts a segment's sections together.
func seal(ids, lengths []uint32, length uint64, terms int, directory, names, postings []byte) *Segment {
	data := make([]byte, 0, headerSize+8*len(ids)+len(directory)+len(names)+len(postings)+4)
	data = append(data, magic...)
	data = order.AppendUint32(data, uint32(len(ids)))
	data = order.AppendUint32(data, uint32(terms))
	data = order.AppendUint64(data, length)
	data = order.AppendUint64(data, uint64(len(names)))
	data = order.AppendUint64(data, uint64(len(postings)))
	data = append(data, make([]byte, headerSize-4-len(data))...)
	data = order.AppendUint32(data, crc32.Checksum(data, castagnoli))
	for _, id := range ids {
		data = order.AppendUint32(data, id)
	}
	for _, n := range lengths {
		data = order.AppendUint32(data, n)
	}
	data = append(data, directory...)
	data = append(data, names...)
	data = append(data, postings...)
	data = order.AppendUint32(data, crc32.Checksum(data[headerSize:], castagnoli))
	s, err := Open(data)
	if err != nil {
		panic("bm25: a segment that was just built cannot be opened")
	}
	return s
}

// entry is what the directory says of a term.
type entry struct {
	df     uint32
	blocks uint32
	lines  uint32 // bytes of rows
	at     uint64 // of its first block, in postings
}

func (s *Segment) entry(i int) entry {
	e := s.directory[entrySize*i:]
	return entry{df: order.Uint32(e[4:]), blocks: (order.Uint32(e[4:]) + blockRows - 1) / blockRows, lines: order.Uint32(e[16:]), at: order.Uint64(e[8:])}
}

func (s *Segment) name(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = order.Uint32(s.directory[entrySize*(i-1):])
	}
	end := order.Uint32(s.directory[entrySize*i:])
	if start > end || uint64(end) > uint64(len(s.names)) {
		return nil
	}
	return s.names[start:end]
}

func (s *Segment) lookup(term string) (entry, bool) {
	i, ok := sort.Find(int(s.terms), func(i int) int {
		name := s.name(i)
		switch {
		case term < string(name):
			return -1
		case term > string(name):
			return 1
		}
		return 0
	})
	if !ok {
		return entry{}, false
	}
	return s.entry(i), true
}

// Build indexes texts, whose ids ascend.
func Build(docs iter.Seq2[uint32, Terms]) (*Segment, error) {
	w := writer{lists: map[string]*list{}}
	for id, terms := range docs {
		if n := len(w.ids); n > 0 && id <= w.ids[n-1] {
			return nil, fmt.Errorf("text %d comes after %d: ids of a segment ascend", id, w.ids[n-1])
		}
		if len(w.ids) == most {
			return nil, fmt.Errorf("a segment holds %d texts at most", most)
		}
		w.add(id, terms)
	}
	return w.segment()
}

// writer gathers the postings of texts.
type writer struct {
	ids, lengths []uint32
	length       uint64
	lists        map[string]*list
	open         []*list // of the terms of the text being read
}

// list is the postings of a term while they are written.
type list struct {
	heads     []byte // of the blocks that are full
	rows      []byte
	positions []byte
	df        uint32
	last      uint32   // row
	mostTF    uint32   // of the open block
	least     uint32   // length, of the open block
	places    []uint32 // in the text being read
}

func (w *writer) add(id uint32, terms Terms) {
	row, length := uint32(len(w.ids)), uint32(0)
	w.open = w.open[:0]
	for t := range terms {
		if t.Text == "" {
			continue
		}
		l := w.lists[t.Text]
		if l == nil {
			l = &list{}
			w.lists[t.Text] = l
		}
		if len(l.places) == 0 {
			w.open = append(w.open, l)
		}
		l.places = append(l.places, t.At)
		if !t.Beside {
			length++
		}
	}
	w.ids, w.lengths = append(w.ids, id), append(w.lengths, length)
	w.length += uint64(length)
	for _, l := range w.open {
		if !slices.IsSorted(l.places) {
			slices.Sort(l.places)
		}
		l.add(row, length, l.places)
		l.places = l.places[:0]
	}
}

func (l *list) add(row, length uint32, places []uint32) {
	tf := uint32(len(places))
	if l.df%blockRows == 0 {
		l.mostTF, l.least = 0, length
	}
	l.mostTF, l.least = max(l.mostTF, tf), min(l.least, length)
	delta := uint64(row-l.last) << 1
	if l.df == 0 {
		delta = uint64(row) << 1
	}
	if tf > 1 {
		l.rows = binary.AppendUvarint(l.rows, delta|1)
		l.rows = binary.AppendUvarint(l.rows, uint64(tf))
	} else {
		l.rows = binary.AppendUvarint(l.rows, delta)
	}
	last := uint32(0)
	for _, at := range places {
		l.positions = binary.AppendUvarint(l.positions, uint64(at-last))
		last = at
	}
	l.last = row
	if l.df++; l.df%blockRows == 0 {
		l.close()
	}
}

func (l *list) close() {
	l.heads = order.AppendUint32(l.heads, l.last)
	l.heads = order.AppendUint32(l.heads, uint32(len(l.rows)))
	l.heads = order.AppendUint32(l.heads, uint32(len(l.positions)))
	l.heads = order.AppendUint32(l.heads, l.mostTF)
	l.heads = order.AppendUint32(l.heads, l.least)
}

func (w *writer) segment() (*Segment, error) {
	terms := make([]string, 0, len(w.lists))
	size := 0
	for term := range w.lists {
		terms = append(terms, term)
		size += len(term)
	}
	if size > 1<<32-1 || len(terms) > most {
		return nil, errWords
	}
	slices.Sort(terms)
	d := directory{}
	for _, term := range terms {
		if err := d.add(term, w.lists[term]); err != nil {
			return nil, err
		}
	}
	return seal(w.ids, w.lengths, w.length, len(terms), d.entries, d.names, d.postings), nil
}

// directory gathers the sections that grow with each term.
type directory struct{ entries, names, postings []byte }

func (d *directory) add(term string, l *list) error {
	if l.df%blockRows != 0 {
		l.close()
	}
	if uint64(len(l.rows)) > 1<<32-1 || uint64(len(l.positions)) > 1<<32-1 {
		return errors.New("one word stands too often in the texts of a segment")
	}
	d.names = append(d.names, term...)
	d.entries = order.AppendUint32(d.entries, uint32(len(d.names)))
	d.entries = order.AppendUint32(d.entries, l.df)
	d.entries = order.AppendUint64(d.entries, uint64(len(d.postings)))
	d.entries = order.AppendUint32(d.entries, uint32(len(l.rows)))
	d.postings = append(d.postings, l.heads...)
	d.postings = append(d.postings, l.rows...)
	d.postings = append(d.postings, l.positions...)
	return nil
}
