package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Frame is one frame of the log.
type Frame struct {
	At      Position
	Payload []byte // valid until the next frame is read
}

// Damage is a place in a segment behind which no frame can be read.
type Damage struct {
	At     Position
	Reason string
}

func (d *Damage) Error() string {
	return fmt.Sprintf("journal: %s is damaged at byte %d: %s", segmentName(d.At.Segment), d.At.Offset, d.Reason)
}

// Frames returns the frames from a position on, in the order in which they were
// appended; the zero Position is the oldest. It ends with what was appended when
// each segment was opened. Where a segment is damaged it tells a *Damage and goes
// on with the next one.
func (l *Log) Frames(from Position) iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		next := from
		for {
			s, ok := l.segmentFrom(next.Segment)
			if !ok {
				return
			}
			if s.Number != next.Segment {
				next = Position{Segment: s.Number}
			}
			if !l.frames(s, next.Offset, yield) {
				return
			}
			next = Position{Segment: s.Number + 1}
		}
	}
}

// In returns the frames of one segment, as Frames does; of one that is gone, none.
func (l *Log) In(segment uint64) iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		if s, ok := l.segmentFrom(segment); ok && s.Number == segment {
			l.frames(s, 0, yield)
		}
	}
}

// segmentFrom returns the first segment that is not before n.
func (l *Log) segmentFrom(n uint64) (Segment, bool) {
	for _, s := range l.Segments() {
		if s.Number >= n {
			return s, true
		}
	}
	return Segment{}, false
}

// frames reads one segment up to the size that s knows.
func (l *Log) frames(s Segment, from int64, yield func(Frame, error) bool) bool {
	f, err := l.root.Open(segmentName(s.Number))
	if errors.Is(err, fs.ErrNotExist) {
		return true // pruned since
	}
	if err != nil {
		return yield(Frame{}, fmt.Errorf("journal: %w", err))
	}
	defer f.Close()
	from = max(from, int64(len(magic)))
	r := bufio.NewReaderSize(io.NewSectionReader(f, from, s.Bytes-from), 64<<10)
	at := Position{Segment: s.Number, Offset: from}
	var buf []byte
	for {
		payload, err := readFrame(r, &buf)
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return yield(Frame{}, &Damage{At: at, Reason: err.Error()})
		}
		if !yield(Frame{At: at, Payload: payload}, nil) {
			return false
		}
		at.Offset += headerSize + int64(len(payload))
	}
}

// ReadAt returns the payload of the frame at a position that Append or Frames
// told.
func (l *Log) ReadAt(p Position) ([]byte, error) {
	f, err := l.root.Open(segmentName(p.Segment))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	var buf []byte
	payload, err := readFrame(io.NewSectionReader(f, p.Offset, headerSize+MaxPayload), &buf)
	if err != nil {
		return nil, &Damage{At: p, Reason: err.Error()}
	}
	return payload, nil
}

// readFrame reads one frame into *buf, which grows. It returns io.EOF only where
// no byte of a frame follows.
func readFrame(r io.Reader, buf *[]byte) ([]byte, error) {
	var head [headerSize]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		if n == 0 && err == io.EOF {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("frame header: %w", noEOF(err))
	}
	n := binary.LittleEndian.Uint32(head[:4])
	if n > MaxPayload {
		return nil, fmt.Errorf("frame of %d bytes, at most %d", n, MaxPayload)
	}
	*buf = slices.Grow((*buf)[:0], int(n))[:n]
	if _, err := io.ReadFull(r, *buf); err != nil {
		return nil, fmt.Errorf("frame of %d bytes: %w", n, noEOF(err))
	}
	sum := crc32.Update(crc32.Checksum(head[:4], castagnoli), castagnoli, *buf)
	if sum != binary.LittleEndian.Uint32(head[4:]) {
		return nil, errors.New("checksum differs")
	}
	return *buf, nil
}

// noEOF makes an end inside a frame what it is.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// checked is how many of the newest segments Open reads through. A write that did
// not finish is in the last one, or, where power was lost between the end of a
// segment and the next Sync, in the one before; the rest was synced.
const checked = 2

// repair lists the segments and mends the newest ones.
func (l *Log) repair() ([]Repair, error) {
	entries, err := fs.ReadDir(l.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	var found []Segment
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), ".wal")
		if !ok || e.IsDir() {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || n == 0 || segmentName(n) != e.Name() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		found = append(found, Segment{Number: n, Bytes: info.Size(), Last: info.ModTime()})
	}
	slices.SortFunc(found, func(a, b Segment) int {
		if a.Number < b.Number {
			return -1
		}
		return 1
	})

	var repairs []Repair
	for i, s := range found {
		r, kept, err := l.mend(s, i >= len(found)-checked)
		if err != nil {
			return nil, err
		}
		if r.Reason != "" {
			repairs = append(repairs, r)
		}
		// A number that was in use is not used again, whatever became of it.
		l.current.Number = max(l.current.Number, s.Number)
		if kept.Bytes > 0 {
			l.segments = append(l.segments, kept)
		}
	}
	return repairs, nil
}

// mend checks one segment. It returns what is left of it, and a Repair with a
// Reason if that is less than there was.
func (l *Log) mend(s Segment, through bool) (Repair, Segment, error) {
	name := segmentName(s.Number)
	f, err := l.root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return l.setAside(s, "cannot be opened: "+err.Error())
	}
	defer f.Close()

	head := make([]byte, len(magic))
	n, err := io.ReadFull(f, head)
	switch {
	case err == nil && string(head) == magic:
	case (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) && string(head[:n]) == magic[:n]:
		// The process died before the first frame.
		return Repair{File: name, Reason: "begun, never written", Bytes: s.Bytes}, Segment{}, l.root.Remove(name)
	case err == nil || errors.Is(err, io.ErrUnexpectedEOF):
		return l.setAside(s, "is no segment of a log")
	default:
		return l.setAside(s, "cannot be read: "+err.Error())
	}
	if !through {
		return Repair{}, s, nil
	}

	good := int64(len(magic))
	r := bufio.NewReaderSize(f, 64<<10)
	var buf []byte
	for {
		payload, err := readFrame(r, &buf)
		if errors.Is(err, io.EOF) {
			return Repair{}, s, nil
		}
		if err != nil {
			repair := Repair{File: name, Reason: err.Error(), Bytes: s.Bytes - good}
			repair.Moved, err = l.keepTail(f, name, good, s.Bytes)
			s.Bytes = good
			return repair, s, err
		}
		good += headerSize + int64(len(payload))
	}
}

// setAside moves a whole file into quarantine.
func (l *Log) setAside(s Segment, reason string) (Repair, Segment, error) {
	name := segmentName(s.Number)
	if err := l.root.MkdirAll(quarantine, 0o700); err != nil {
		return Repair{}, Segment{}, err
	}
	to := path.Join(quarantine, name)
	l.renamed = true
	return Repair{File: name, Reason: reason, Bytes: s.Bytes, Moved: to}, Segment{}, l.root.Rename(name, to)
}

// keepTail copies what stands behind good into quarantine, then cuts it off:
// should the damage be in the middle, later frames are not lost with it.
func (l *Log) keepTail(f *os.File, name string, good, size int64) (string, error) {
	if err := l.root.MkdirAll(quarantine, 0o700); err != nil {
		return "", err
	}
	to := path.Join(quarantine, fmt.Sprintf("%s.%d", name, good))
	t, err := l.root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(t, io.NewSectionReader(f, good, size-good))
	if err := errors.Join(err, l.fsync(t), t.Close()); err != nil {
		return "", err
	}
	if err := f.Truncate(good); err != nil {
		return "", err
	}
	return to, l.fsync(f)
}
