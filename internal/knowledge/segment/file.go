package segment

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"headworks/internal/passage"
)

// A segment file is a header, the parts one after the other, each beginning at a
// multiple of 64 bytes, a table of the parts with the CRC-32C of each of their blocks,
// and an end that tells where the table is and its CRC-32C. All numbers are
// little-endian.
const (
	magic     = "HWPASS\x00\x01" // the last byte is the version
	endMagic  = "HWEND\x00\x00\x01"
	alignment = 64
	blockSize = 64 << 10
	endSize   = 8 + 4 + 4 + len(endMagic) // offset and length of the table, its sum
)

// part is a piece of a segment file.
type part uint8

const (
	rowsPart  part = iota // rowSize bytes a passage
	textPart              // headings and texts
	wordsPart             // the index of words
	densePart             // the vectors and their index
	parts
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errDamaged = errors.New("damaged")

// rowSize is how many bytes a row has: ID 16, ordinal 4, start 4, end 4, tokens 4,
// place of the text 8, length of the headings 4, of the text 4.
const rowSize = 48

// row is a passage as the file has it.
type row struct {
	id                          passage.ID
	ordinal, start, end, tokens int
	at                          int64 // of headings and text in textPart
	path, text                  int   // bytes
}

func appendRow(b []byte, r row) []byte {
	b = append(b, r.id[:]...)
	for _, n := range []int{r.ordinal, r.start, r.end, r.tokens} {
		b = order.AppendUint32(b, uint32(n))
	}
	b = order.AppendUint64(b, uint64(r.at))
	b = order.AppendUint32(b, uint32(r.path))
	return order.AppendUint32(b, uint32(r.text))
}

func readRow(b []byte) (r row) {
	r.id = passage.ID(b[:16])
	u := func(at int) int { return int(order.Uint32(b[at:])) }
	r.ordinal, r.start, r.end, r.tokens = u(16), u(20), u(24), u(28)
	r.at = int64(order.Uint64(b[32:]))
	r.path, r.text = u(40), u(44)
	return r
}

// extent is where a part lies, and the sums of its blocks.
type extent struct {
	offset, length int64
	sums           []uint32
}

// writer writes a segment file, part after part.
type writer struct {
	to     *bufio.Writer
	at     int64
	open   part
	within extent
	block  uint32 // sum of the block being written
	filled int    // bytes of it
	all    [parts]extent
	err    error
}

func newWriter(to io.Writer) *writer {
	w := &writer{to: bufio.NewWriterSize(to, 1<<20)}
	w.raw([]byte(magic))
	return w
}

func (w *writer) raw(b []byte) {
	if w.err != nil {
		return
	}
	_, w.err = w.to.Write(b)
	w.at += int64(len(b))
}

// begin begins a part.
func (w *writer) begin(p part) {
	if pad := int(-w.at & (alignment - 1)); pad > 0 {
		w.raw(make([]byte, pad))
	}
	w.open, w.within, w.block, w.filled = p, extent{offset: w.at}, 0, 0
}

// Write writes bytes of the part.
func (w *writer) Write(b []byte) (int, error) {
	w.raw(b)
	w.within.length += int64(len(b))
	for rest := b; len(rest) > 0; {
		n := min(len(rest), blockSize-w.filled)
		w.block = crc32.Update(w.block, castagnoli, rest[:n])
		if w.filled += n; w.filled == blockSize {
			w.endBlock()
		}
		rest = rest[n:]
	}
	return len(b), w.err
}

func (w *writer) endBlock() {
	w.within.sums = append(w.within.sums, w.block)
	w.block, w.filled = 0, 0
}

// end ends the part.
func (w *writer) end() {
	if w.filled > 0 {
		w.endBlock()
	}
	w.all[w.open] = w.within
}

// finish writes the table and the end.
func (w *writer) finish() (size int64, err error) {
	var table []byte
	for _, e := range w.all {
		table = order.AppendUint64(table, uint64(e.offset))
		table = order.AppendUint64(table, uint64(e.length))
		for _, sum := range e.sums {
			table = order.AppendUint32(table, sum)
		}
	}
	at := w.at
	w.raw(table)
	end := order.AppendUint64(nil, uint64(at))
	end = order.AppendUint32(end, uint32(len(table)))
	end = order.AppendUint32(end, crc32.Checksum(table, castagnoli))
	w.raw(append(end, endMagic...))
	if w.err == nil {
		w.err = w.to.Flush()
	}
	return w.at, w.err
}

// file is a segment file that is open for reading.
type file struct {
	name string
	b    []byte // all of it, mapped
	at   [parts]extent
	free func() error
}

// openFile opens a segment file and checks its rows. Texts are checked as they are
// read, the indices by verify.
func openFile(path, name string) (*file, error) {
	b, free, err := mapped(path)
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	f := &file{name: name, b: b, free: free}
	if err := f.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("segment: %s: %w", name, err), free())
	}
	return f, nil
}

func (f *file) read() error {
	n := len(f.b)
	if n < len(magic)+endSize || string(f.b[:len(magic)]) != magic || string(f.b[n-len(endMagic):]) != endMagic {
		return fmt.Errorf("%w: it does not begin and end as a segment does", errDamaged)
	}
	end := f.b[n-endSize:]
	at, size, sum := order.Uint64(end), order.Uint32(end[8:]), order.Uint32(end[12:])
	if at > uint64(n) || at+uint64(size) != uint64(n-endSize) {
		return fmt.Errorf("%w: its table lies outside of it", errDamaged)
	}
	table := f.b[at : n-endSize]
	if crc32.Checksum(table, castagnoli) != sum {
		return fmt.Errorf("%w: its table does not fit its sum", errDamaged)
	}
	for p := range f.at {
		if len(table) < 16 {
			return fmt.Errorf("%w: its table is short", errDamaged)
		}
		e := extent{offset: int64(order.Uint64(table)), length: int64(order.Uint64(table[8:]))}
		table = table[16:]
		if e.offset < 0 || e.length < 0 || e.offset > int64(at) || e.length > int64(at)-e.offset {
			return fmt.Errorf("%w: a part lies outside of it", errDamaged)
		}
		blocks := int((e.length + blockSize - 1) / blockSize)
		if len(table) < 4*blocks {
			return fmt.Errorf("%w: its table is short", errDamaged)
		}
		e.sums = make([]uint32, blocks)
		for i := range e.sums {
			e.sums[i] = order.Uint32(table[4*i:])
		}
		table = table[4*blocks:]
		f.at[p] = e
	}
	if len(table) != 0 || f.at[rowsPart].length%rowSize != 0 {
		return fmt.Errorf("%w: its table is long", errDamaged)
	}
	return f.check(rowsPart, 0, f.at[rowsPart].length)
}

// check compares the blocks of a part that hold these bytes with their sums.
func (f *file) check(p part, from, to int64) error {
	e := f.at[p]
	if from < 0 || to < from || to > e.length {
		return fmt.Errorf("%w: something lies outside of its part", errDamaged)
	}
	for i := from / blockSize; i*blockSize < to; i++ {
		block := f.part(p)[i*blockSize : min((i+1)*blockSize, e.length)]
		if crc32.Checksum(block, castagnoli) != e.sums[i] {
			return fmt.Errorf("%w: a block of it does not fit its sum", errDamaged)
		}
	}
	return nil
}

// verify compares all of the file with its sums.
func (f *file) verify() error {
	for p := range parts {
		if err := f.check(p, 0, f.at[p].length); err != nil {
			return fmt.Errorf("segment: %s: %w", f.name, err)
		}
	}
	return nil
}

// part returns the bytes of a part, as they are mapped.
func (f *file) part(p part) []byte {
	e := f.at[p]
	return f.b[e.offset : e.offset+e.length : e.offset+e.length]
}

func (f *file) rows() int { return int(f.at[rowsPart].length / rowSize) }

func (f *file) row(n int) row { return readRow(f.part(rowsPart)[n*rowSize:]) }

// id returns the ID of a row's passage.
func (f *file) id(n int) passage.ID { return passage.ID(f.part(rowsPart)[n*rowSize:]) }

// passage reads a row, without its title.
func (f *file) passage(n int) (p passage.Passage, err error) {
	r := f.row(n)
	if err := f.check(textPart, r.at, r.at+int64(r.path)+int64(r.text)); err != nil {
		return p, fmt.Errorf("segment: %s: %w", f.name, err)
	}
	b := f.part(textPart)[r.at:]
	return passage.Passage{
		ID: r.id, Ordinal: r.ordinal, Path: string(b[:r.path]), Text: string(b[r.path : r.path+r.text]),
		Start: r.start, End: r.end, Tokens: r.tokens,
	}, nil
}

// folder is where segment files are made; tests stand in for it.
type folder interface {
	Create(name string) (made, error)
	Rename(from, to string) error
	Remove(name string) error
	Sync() error // makes what was renamed durable
}

// made is a file being written.
type made interface {
	io.Writer
	Sync() error
	Close() error
}

// disk is the folder of that path.
type disk struct{ root *os.Root }

func (d disk) Create(name string) (made, error) {
	return d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}
func (d disk) Rename(from, to string) error { return d.root.Rename(from, to) }
func (d disk) Remove(name string) error     { return d.root.Remove(name) }

func (d disk) Sync() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
