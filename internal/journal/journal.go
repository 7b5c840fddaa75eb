// Package journal keeps an append-only log of frames in segment files: what was
// appended is read back whole and in order, or not at all.
//
// A frame is its payload's length (4 bytes, little-endian), CRC-32C over length
// and payload (4 bytes), and the payload. Append returns once its frame was given
// to the operating system: it survives the death of the process. Sync makes what
// was appended survive a loss of power. Appends that come together leave in one
// write, and never wait for a Sync.
//
// A failed sync stops the writer for good: the kernel may have dropped the pages
// it could not write, and a second sync would report a success that is none. A
// failed write is undone, and the next one tried.
//
// One process has a folder at a time.
package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	magic      = "HWLOG\x00\x00\x01" // of a segment; the last byte is the version
	headerSize = 8                   // of a frame

	// MaxPayload bounds a frame's payload, in bytes.
	MaxPayload = 1 << 20

	quarantine = "quarantine"
	lockName   = "lock"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	// ErrTooLarge is what Append returns for a payload over MaxPayload.
	ErrTooLarge = errors.New("journal: payload over 1 MiB")
	// ErrClosed is what Append and Sync return after Close.
	ErrClosed = errors.New("journal: closed")
	// ErrStopped is in every error after which nothing can be written any more.
	ErrStopped = errors.New("journal: stopped")
	// ErrInUse is what Open returns for a folder that another process has.
	ErrInUse = errors.New("in use by another process")
	// ErrGone is what ReadAt returns for a segment that was pruned.
	ErrGone = errors.New("journal: segment is gone")
)

// Options bound a log. The zero value of a field takes its default.
type Options struct {
	SegmentBytes int64         // a segment ends before it grows beyond; 64 MiB
	SegmentAge   time.Duration // and once it is so old; one hour
	KeepBytes    int64         // Prune removes the oldest segments beyond; none are
	KeepAge      time.Duration // and those last written so long ago; none are
}

// Position is the place of a frame.
type Position struct {
	Segment uint64
	Offset  int64
}

// Segment is one file of the log.
type Segment struct {
	Number uint64
	Bytes  int64
	Last   time.Time // when it was last written to; zero for the open one
}

// Repair is something that Open found damaged, and what it did about it.
type Repair struct {
	File   string // inside the log's folder
	Reason string
	Bytes  int64  // that were taken out of the log
	Moved  string // where they are now, inside the log's folder; empty if nowhere
}

func (r Repair) String() string {
	s := fmt.Sprintf("%s: %s, %d bytes taken out", r.File, r.Reason, r.Bytes)
	if r.Moved != "" {
		s += ", kept in " + r.Moved
	}
	return s
}

// Log is an open log. Its methods may be called at once from many goroutines.
type Log struct {
	o    Options
	root *os.Root
	lock *os.File

	// staging guards pending, the frames that wait for the next write.
	staging sync.Mutex
	pending *batch

	// writing guards what follows. It is the queue for the file as well: who
	// gets it writes for all who wait. It is taken before staging.
	writing  sync.Mutex
	segments []Segment // ended ones, oldest first
	current  Segment   // Number is 0 while no file is open
	file     *os.File
	born     time.Time // of file
	unsynced bool
	retired  []*os.File // ended, not yet synced
	renamed  bool       // the folder has entries that are not synced
	spare    []byte
	broken   error // why nothing can be written any more

	// syncing lets one Sync run at a time. It is taken before writing.
	syncing sync.Mutex

	// The two calls that a full or dying disk fails, so that tests can.
	put   func(*os.File, []byte) (int, error)
	fsync func(*os.File) error
}

// batch is a group of frames that leave in one write.
type batch struct {
	frames []byte
	done   bool
	at     Position // of the first frame
	err    error
}

// Staged is a frame on its way to the log, see Stage.
type Staged struct {
	batch *batch
	off   int
}

// Open opens the log in dir, which it creates, and repairs it: the tail of a
// write that did not finish is cut, a file that is no segment is moved into the
// folder quarantine, and each is told.
func Open(dir string, o Options) (*Log, []Repair, error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.SegmentAge == 0 {
		o.SegmentAge = time.Hour
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	lock, err := root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		root.Close()
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	l := &Log{o: o, root: root, lock: lock, pending: new(batch), put: (*os.File).Write, fsync: datasync}
	if err := flock(lock); err != nil {
		l.release()
		return nil, nil, fmt.Errorf("journal: %s: %w: %w", dir, ErrInUse, err)
	}
	repairs, err := l.repair()
	if err != nil {
		l.release()
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	return l, repairs, nil
}

func (l *Log) release() {
	l.lock.Close() // and with it the lock
	l.root.Close()
}

// Append writes one frame and returns its place. It returns once the frame is
// with the operating system.
func (l *Log) Append(payload []byte) (Position, error) {
	s, err := l.Stage(payload)
	if err != nil {
		return Position{}, err
	}
	return l.Commit(s)
}

// Stage puts a frame into the order of the log without waiting; Commit waits. The
// payload is copied. Whoever stages must commit.
func (l *Log) Stage(payload []byte) (Staged, error) {
	if len(payload) > MaxPayload {
		return Staged{}, ErrTooLarge
	}
	l.staging.Lock()
	defer l.staging.Unlock()
	b := l.pending
	s := Staged{batch: b, off: len(b.frames)}
	b.frames = binary.LittleEndian.AppendUint32(b.frames, uint32(len(payload)))
	sum := crc32.Update(crc32.Checksum(b.frames[s.off:], castagnoli), castagnoli, payload)
	b.frames = binary.LittleEndian.AppendUint32(b.frames, sum)
	b.frames = append(b.frames, payload...)
	return s, nil
}

// Commit returns once a staged frame is with the operating system, and tells its
// place.
func (l *Log) Commit(s Staged) (Position, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	if !s.batch.done {
		_ = l.write() // the batch has it
	}
	at := s.batch.at
	at.Offset += int64(s.off)
	return at, s.batch.err
}

// write writes what is pending, and returns the error of that. The caller holds
// writing.
func (l *Log) write() error {
	next := &batch{frames: l.spare}
	l.staging.Lock()
	b := l.pending
	l.pending = next
	l.staging.Unlock()

	b.at, b.err = l.writeFrames(b.frames)
	b.done = true
	l.spare = nil
	if cap(b.frames) <= 2*MaxPayload {
		l.spare = b.frames[:0]
	}
	b.frames = nil
	return b.err
}

func (l *Log) writeFrames(frames []byte) (Position, error) {
	if l.broken != nil {
		return Position{}, l.broken
	}
	if l.file != nil && l.current.Bytes+int64(len(frames)) > l.o.SegmentBytes {
		l.retire()
	}
	if l.file == nil {
		if err := l.begin(); err != nil {
			return Position{}, fmt.Errorf("journal: %w", err)
		}
	}
	at := Position{Segment: l.current.Number, Offset: l.current.Bytes}
	l.unsynced = true
	if _, err := l.put(l.file, frames); err != nil {
		// What a failed write left would hide the frames behind it.
		if undo := l.file.Truncate(l.current.Bytes); undo != nil {
			l.broken = fmt.Errorf("%w, a failed write could not be undone: %w", ErrStopped, errors.Join(err, undo))
			return Position{}, l.broken
		}
		return Position{}, fmt.Errorf("journal: %w", err)
	}
	l.current.Bytes += int64(len(frames))
	return at, nil
}

// begin opens a new segment.
func (l *Log) begin() error {
	n := uint64(1)
	if len(l.segments) > 0 {
		n = l.segments[len(l.segments)-1].Number + 1
	}
	n = max(n, l.current.Number+1)
	f, err := l.root.OpenFile(segmentName(n), os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(magic); err != nil {
		f.Close()
		return errors.Join(err, l.root.Remove(segmentName(n)))
	}
	l.file, l.born, l.renamed = f, time.Now(), true
	l.current = Segment{Number: n, Bytes: int64(len(magic))}
	return nil
}

// retire ends the open segment. The next Sync makes it durable and closes it: a
// sync here would keep appends waiting.
func (l *Log) retire() {
	l.current.Last = time.Now()
	l.segments = append(l.segments, l.current)
	l.retired = append(l.retired, l.file)
	l.file = nil
}

// Sync makes durable what was appended or staged before, and ends a segment that
// is old enough. Where what was staged could not be written it is lost, and its
// error is told; after an error that is ErrStopped nothing can be written any more.
func (l *Log) Sync() error {
	l.syncing.Lock()
	defer l.syncing.Unlock()

	l.writing.Lock()
	l.staging.Lock()
	waiting := len(l.pending.frames) > 0
	l.staging.Unlock()
	var lost error
	if waiting {
		lost = l.write()
	}
	if l.broken != nil {
		defer l.writing.Unlock()
		return l.broken
	}
	if l.file != nil && time.Since(l.born) >= l.o.SegmentAge {
		l.retire()
	}
	files, closing, folder := l.retired, len(l.retired), l.renamed
	if l.file != nil && l.unsynced {
		files = append(files, l.file)
	}
	l.retired, l.renamed, l.unsynced = nil, false, false
	l.writing.Unlock()

	var failed error
	for i, f := range files {
		if err := l.fsync(f); err != nil && failed == nil {
			failed = err
		}
		if i < closing {
			f.Close()
		}
	}
	if folder && failed == nil {
		failed = l.syncFolder()
	}
	if failed == nil {
		return lost
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.broken == nil {
		l.broken = fmt.Errorf("%w, a sync failed: %w", ErrStopped, failed)
	}
	return l.broken
}

func (l *Log) syncFolder() error {
	d, err := l.root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return l.fsync(d)
}

// Close syncs and closes the log.
func (l *Log) Close() error {
	err := l.Sync()
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.writing.Lock()
	defer l.writing.Unlock()
	if errors.Is(l.broken, ErrClosed) {
		return ErrClosed
	}
	if l.file != nil {
		l.retire()
	}
	for _, f := range l.retired {
		f.Close()
	}
	l.retired, l.broken = nil, ErrClosed
	l.release()
	return err
}

// Segments returns the files of the log, oldest first. The open one comes last.
func (l *Log) Segments() []Segment {
	l.writing.Lock()
	defer l.writing.Unlock()
	all := slices.Clone(l.segments)
	if l.file != nil {
		all = append(all, l.current)
	}
	return all
}

// Prune removes segments that are over the bounds of KeepBytes and KeepAge, the
// oldest first, and returns how many, and how many bytes. The open segment stays.
func (l *Log) Prune(now time.Time) (segments int, size int64, err error) {
	l.writing.Lock()
	total := l.current.Bytes
	if l.file == nil {
		total = 0
	}
	for _, s := range l.segments {
		total += s.Bytes
	}
	n := 0
	for _, s := range l.segments {
		old := l.o.KeepAge > 0 && now.Sub(s.Last) > l.o.KeepAge
		big := l.o.KeepBytes > 0 && total > l.o.KeepBytes
		if !old && !big {
			break
		}
		total -= s.Bytes
		size += s.Bytes
		n++
	}
	gone := slices.Clone(l.segments[:n])
	l.segments = slices.Delete(l.segments, 0, n)
	l.writing.Unlock()

	for _, s := range gone {
		if e := l.root.Remove(segmentName(s.Number)); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("journal: %w", e))
		}
	}
	return n, size, err
}

func segmentName(n uint64) string { return fmt.Sprintf("%08d.wal", n) }
