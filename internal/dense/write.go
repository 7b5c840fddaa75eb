package dense

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"math"
	"slices"
)

// Merge makes one segment of several of the same dimension. It asks for the new id of
// each vector by its segment and its id there, and leaves out those of which it hears
// false. It yields the bytes in pieces, so that a segment need not fit into memory; a
// piece is valid until the next one.
func Merge(id func(segment int, id uint32) (uint32, bool), segments ...*Segment) (iter.Seq[[]byte], error) {
	type vector struct {
		id      uint32
		segment *Segment
		row     int
	}
	var vectors []vector
	for i, s := range segments {
		if s.dim != segments[0].dim {
			return nil, fmt.Errorf("segments of %d and %d dimensions do not go together", segments[0].dim, s.dim)
		}
		for row := range s.rows {
			if to, ok := id(i, s.id(row)); ok {
				vectors = append(vectors, vector{to, s, row})
			}
		}
	}
	if len(segments) == 0 {
		return nil, errors.New("there is no segment to merge")
	}
	if len(vectors) > MaxRows {
		return nil, fmt.Errorf("a segment holds %d vectors at most", MaxRows)
	}
	slices.SortFunc(vectors, func(a, b vector) int { return cmp.Compare(a.id, b.id) })
	ids := make([]byte, 0, 4*len(vectors))
	sums := make([]float64, segments[0].dim)
	unit := make([]float32, len(sums))
	for i, v := range vectors {
		if i > 0 && vectors[i-1].id == v.id {
			return nil, fmt.Errorf("two vectors are to be %d", v.id)
		}
		ids = order.AppendUint32(ids, v.id)
		read(unit, v.segment.vector(v.row))
		for j, x := range unit {
			sums[j] += float64(x)
		}
	}
	return write(sums, ids, func(row int, v []float32) {
		read(v, vectors[row].segment.vector(vectors[row].row))
	}), nil
}

// size returns how many bytes a segment takes.
func size(dim, rows int) int {
	return headerSize + 4*dim + rows*(4+8*((dim+63)/64)+4*dim) + 4
}

// read fills v from bytes.
func read(v []float32, p []byte) {
	for i := range v {
		v[i] = math.Float32frombits(order.Uint32(p[4*i:]))
	}
}

// pieceSize is about how many bytes a piece has.
const pieceSize = 1 << 16

// write yields the bytes of a segment: the vectors have these sums and ids, and
// vector gives each, of length 1.
func write(sums []float64, ids []byte, vector func(row int, v []float32)) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var (
			dim, rows = len(sums), len(ids) / 4
			piece     = make([]byte, 0, pieceSize+4*dim)
			sum       = uint32(0)
			mean, v   = make([]float32, dim), make([]float32, dim)
			code      = make([]uint64, (dim+63)/64)
			done      = false
		)
		flush := func() {
			if done {
				return
			}
			sum = crc32.Update(sum, castagnoli, piece)
			done = !yield(piece)
			piece = piece[:0]
		}
		piece = append(piece, magic...)
		piece = order.AppendUint32(piece, uint32(dim))
		piece = order.AppendUint32(piece, uint32(rows))
		piece = append(piece, make([]byte, headerSize-4-len(piece))...)
		piece = order.AppendUint32(piece, crc32.Checksum(piece, castagnoli))
		if done = !yield(piece); done {
			return
		}
		piece = piece[:0]
		for i, x := range sums {
			mean[i] = float32(x / float64(max(rows, 1)))
			piece = order.AppendUint32(piece, math.Float32bits(mean[i]))
		}
		flush()
		for part := range slices.Chunk(ids, pieceSize) {
			piece = append(piece, part...)
			flush()
		}
		for row := 0; row < rows && !done; row++ {
			vector(row, v)
			encode(code, v, mean)
			for _, w := range code {
				piece = order.AppendUint64(piece, w)
			}
			if len(piece) >= pieceSize {
				flush()
			}
		}
		for row := 0; row < rows && !done; row++ {
			vector(row, v)
			for _, x := range v {
				piece = order.AppendUint32(piece, math.Float32bits(x))
			}
			if len(piece) >= pieceSize {
				flush()
			}
		}
		flush()
		if !done {
			yield(order.AppendUint32(piece, sum))
		}
	}
}
