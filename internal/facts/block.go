package facts

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"

	"headworks/internal/inference"
	"headworks/internal/record"
)

// A block is one frame of the log: a byte of version, the lowest and the highest
// request id in it, then for each record its length and its binary form.
const (
	blockVersion = 1
	blockHeader  = 1 + 16 + 16
)

var errBlock = errors.New("facts: a block that does not parse")

type block struct {
	bytes    []byte
	n        int
	min, max inference.ID
	scratch  []byte
}

func (b *block) add(r *record.Record) {
	if b.n == 0 {
		b.bytes = append(b.bytes[:0], make([]byte, blockHeader)...)
		b.min, b.max = r.ID, r.ID
	}
	b.n++
	if before(r.ID, b.min) {
		b.min = r.ID
	}
	if before(b.max, r.ID) {
		b.max = r.ID
	}
	b.scratch = r.Append(b.scratch[:0])
	b.bytes = binary.AppendUvarint(b.bytes, uint64(len(b.scratch)))
	b.bytes = append(b.bytes, b.scratch...)
}

// seal returns the block's bytes, valid until reset.
func (b *block) seal() []byte {
	b.bytes[0] = blockVersion
	copy(b.bytes[1:], b.min[:])
	copy(b.bytes[17:], b.max[:])
	return b.bytes
}

func (b *block) reset() { b.n, b.bytes = 0, b.bytes[:0] }

func before(a, b inference.ID) bool { return bytes.Compare(a[:], b[:]) < 0 }

// span returns the lowest and the highest id of a sealed block.
func span(b []byte) (low, high inference.ID, err error) {
	if len(b) < blockHeader || b[0] != blockVersion {
		return low, high, errBlock
	}
	return inference.ID(b[1:17]), inference.ID(b[17:33]), nil
}

// records returns the binary forms in a sealed block, in the order in which they
// were put.
func records(b []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if _, _, err := span(b); err != nil {
			yield(nil, err)
			return
		}
		for b = b[blockHeader:]; len(b) > 0; {
			n, w := binary.Uvarint(b)
			if w <= 0 || n > uint64(len(b)-w) {
				yield(nil, errBlock)
				return
			}
			if !yield(b[w:w+int(n)], nil) {
				return
			}
			b = b[w+int(n):]
		}
	}
}
