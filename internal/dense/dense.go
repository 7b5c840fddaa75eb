// Package dense finds the vectors nearest to one: a flat scan over one bit a
// dimension, then the exact cosine of the best of it.
//
// A Segment is built whole, lives in one slice of bytes that may be a mapped file,
// and is searched where it lies: the scan reads the codes, and of the floats only
// the rows of the pool. A bitmap of the rows that a caller may see works before the
// scan. A large segment is split, each part searched on a goroutine of its own.
//
// A code says of each dimension whether the vector lies above the mean of the
// segment, which is frozen with it. At 384 dimensions the nearest 200 by code hold
// .994 of the ten nearest of clustered unit vectors; of a real embedder that is not
// known, so Watch measures it while it serves.
package dense

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"math"
	"sort"

	"headworks/internal/rank"
)

// The bytes of a segment, little endian:
//
//	header   magic, dimensions, rows, CRC
//	mean     4 bytes a dimension
//	ids      4 bytes a row, ascending
//	codes    8 bytes for each 64 dimensions, row by row
//	floats   4 bytes a dimension, row by row, each row of length 1
//	CRC      of everything between header and here
const (
	magic      = "hwdense\x01"
	headerSize = 64
)

// Bounds of a segment.
const (
	MaxDim  = 16384
	MaxRows = 1 << 24
)

var order = binary.LittleEndian

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Hit is a vector found. Its Score is the cosine.
type Hit = rank.Hit

// ErrDamaged says that bytes are not those that a segment was written as.
var ErrDamaged = errors.New("the segment is damaged or not a vector segment")

// Segment is an immutable set of vectors, or a part of one.
type Segment struct {
	data  []byte
	dim   int
	words int // of a code
	rows  int
	mean  []float32

	ids, codes, floats []byte
}

// Dim returns how many dimensions the vectors have.
func (s *Segment) Dim() int { return s.dim }

// Len returns how many vectors there are.
func (s *Segment) Len() int { return s.rows }

// Bytes returns the whole segment as Open takes it. They are not to be changed.
func (s *Segment) Bytes() []byte { return s.data }

// IDs returns the ids of the vectors, ascending.
func (s *Segment) IDs() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for row := range s.rows {
			if !yield(s.id(row)) {
				return
			}
		}
	}
}

// Vector returns a vector as it is kept: of length 1. It is appended to v.
func (s *Segment) Vector(v []float32, id uint32) ([]float32, bool) {
	row := s.row(id)
	if row == s.rows || s.id(row) != id {
		return v, false
	}
	for p := s.vector(row); len(p) > 0; p = p[4:] {
		v = append(v, math.Float32frombits(order.Uint32(p)))
	}
	return v, true
}

func (s *Segment) id(row int) uint32 { return order.Uint32(s.ids[4*row:]) }

func (s *Segment) vector(row int) []byte { return s.floats[4*s.dim*row : 4*s.dim*(row+1)] }

// row returns the first row whose id is at least id.
func (s *Segment) row(id uint32) int {
	return sort.Search(s.rows, func(row int) bool { return s.id(row) >= id })
}

// Build takes vectors, whose ids ascend, and sets each to length 1. A vector of
// another dimension, without a direction or with a number that is none is refused.
func Build(dim int, vectors iter.Seq2[uint32, []float32]) (*Segment, error) {
	if dim < 1 || dim > MaxDim {
		return nil, fmt.Errorf("vectors of %d dimensions: 1 to %d can be kept", dim, MaxDim)
	}
	var (
		ids, floats []byte
		sums        = make([]float64, dim)
		last        uint32
		unit        = make([]float32, dim)
	)
	for id, v := range vectors {
		switch {
		case len(ids) > 0 && id <= last:
			return nil, fmt.Errorf("vector %d comes after %d: ids of a segment ascend", id, last)
		case len(ids) == 4*MaxRows:
			return nil, fmt.Errorf("a segment holds %d vectors at most", MaxRows)
		}
		if err := normalise(unit, v); err != nil {
			return nil, fmt.Errorf("vector %d: %w", id, err)
		}
		last = id
		ids = order.AppendUint32(ids, id)
		for i, x := range unit {
			sums[i] += float64(x)
			floats = order.AppendUint32(floats, math.Float32bits(x))
		}
	}
	rows := len(ids) / 4
	data := make([]byte, 0, size(dim, rows))
	for piece := range write(sums, ids, func(row int, v []float32) {
		read(v, floats[4*dim*row:])
	}) {
		data = append(data, piece...)
	}
	return Open(data)
}

// Open reads a segment from bytes, which stay in use and are not to be changed. It
// reads the header and the mean alone: Verify reads the rest.
func Open(data []byte) (*Segment, error) {
	if len(data) < headerSize+4 || string(data[:len(magic)]) != magic ||
		crc32.Checksum(data[:headerSize-4], castagnoli) != order.Uint32(data[headerSize-4:]) {
		return nil, ErrDamaged
	}
	dim, rows := uint64(order.Uint32(data[8:])), uint64(order.Uint32(data[12:]))
	if dim < 1 || dim > MaxDim || rows > MaxRows {
		return nil, ErrDamaged
	}
	words := (dim + 63) / 64
	if len(data) != size(int(dim), int(rows)) {
		return nil, ErrDamaged
	}
	s := &Segment{data: data, dim: int(dim), rows: int(rows), words: int(words), mean: make([]float32, dim)}
	rest := data[headerSize:]
	take := func(n uint64) (section []byte) {
		section, rest = rest[:n:n], rest[n:]
		return section
	}
	mean := take(4 * dim)
	for i := range s.mean {
		s.mean[i] = math.Float32frombits(order.Uint32(mean[4*i:]))
	}
	s.ids, s.codes, s.floats = take(4*rows), take(8*words*rows), take(4*dim*rows)
	return s, nil
}

// Verify reads all bytes of the whole segment and says whether they are those that
// were written.
func (s *Segment) Verify() error {
	n := len(s.data) - 4
	if crc32.Checksum(s.data[headerSize:n], castagnoli) != order.Uint32(s.data[n:]) {
		return ErrDamaged
	}
	return nil
}

// normalise puts the direction of v into unit.
func normalise(unit, v []float32) error {
	if len(v) != len(unit) {
		return fmt.Errorf("it has %d dimensions, not %d", len(v), len(unit))
	}
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	norm := math.Sqrt(sum)
	switch {
	case math.IsNaN(norm) || math.IsInf(norm, 0):
		return errors.New("a number of it is not finite")
	case norm < 1e-6:
		return errors.New("it has no length, so no direction")
	}
	for i, x := range v {
		unit[i] = float32(float64(x) / norm)
	}
	return nil
}

// encode sets the bits of the dimensions in which v lies above the mean.
func encode(code []uint64, v, mean []float32) {
	clear(code)
	for i, x := range v {
		if x > mean[i] {
			code[i/64] |= 1 << (i % 64)
		}
	}
}
