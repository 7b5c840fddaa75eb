// Package facts keeps Records and answers questions about them.
//
// A request hands its Record over without waiting: a ring takes a copy, and drops
// its oldest where it is full, counted. Off the request's way the ring is emptied
// every 100 ms, or sooner where many came: each Record goes to the observers
// (metrics, request log) and into a block of the log on disk. The process may die
// and lose 100 ms of Records, or the power fail and lose a second.
package facts

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"headworks/internal/journal"
	"headworks/internal/record"
)

const (
	drainEvery = 100 * time.Millisecond
	syncEvery  = time.Second
	pruneEvery = time.Minute

	// blockSize is when a block is written before its time, in bytes.
	blockSize = 256 << 10
)

// Observer sees each Record once, in the order in which requests ended, off their
// way: one call at a time. It must not keep r, nor call the Store.
type Observer interface {
	Observe(r *record.Record)
}

// Options bound a Store. The zero value of a field takes its default.
type Options struct {
	Ring      int             // Records that wait, at most; 2,048, of about 2 KB
	Journal   journal.Options // segments and retention: 10 GB, 30 days
	Observers []Observer
	Log       *slog.Logger // told when writing begins to fail and works again; none
}

// Store keeps Records. Its methods may be called at once from many goroutines.
type Store struct {
	o    Options
	log  *journal.Log
	wake chan struct{} // holds one

	// waiting guards the ring that takes Records.
	waiting sync.Mutex
	active  *ring
	seq     int64

	// draining is held by whoever empties the ring. It is taken before waiting.
	draining sync.Mutex
	spare    *ring
	block    block
	failing  bool

	index index

	overrun atomic.Uint64
	lost    atomic.Uint64
}

// ring is a bounded queue that gives up its oldest.
type ring struct {
	records []record.Record
	head, n int
}

// put adds a copy of r and tells whether the oldest had to go.
func (q *ring) put(r *record.Record, seq int64) (dropped bool) {
	if q.n == len(q.records) {
		q.head = (q.head + 1) % len(q.records)
		q.n--
		dropped = true
	}
	slot := &q.records[(q.head+q.n)%len(q.records)]
	*slot = *r
	slot.Seq = seq
	q.n++
	return dropped
}

// Open opens the store in dir, and tells what it had to repair there.
func Open(dir string, o Options) (*Store, []journal.Repair, error) {
	if o.Ring == 0 {
		o.Ring = 2048
	}
	if o.Journal.KeepBytes == 0 {
		o.Journal.KeepBytes = 10 << 30
	}
	if o.Journal.KeepAge == 0 {
		o.Journal.KeepAge = 30 * 24 * time.Hour
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	log, repairs, err := journal.Open(dir, o.Journal)
	if err != nil {
		return nil, nil, fmt.Errorf("facts: %w", err)
	}
	return &Store{
		o: o, log: log,
		wake:   make(chan struct{}, 1),
		active: &ring{records: make([]record.Record, o.Ring)},
		spare:  &ring{records: make([]record.Record, o.Ring)},
	}, repairs, nil
}

// Put hands over the Record of a request that ended. It keeps a copy, numbers it,
// and neither waits for anything slow nor allocates.
func (s *Store) Put(r *record.Record) {
	dropped, many := s.put(r)
	if dropped {
		s.overrun.Add(1)
	}
	if many {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// put returns whether an older Record was lost for it, and whether many wait now.
func (s *Store) put(r *record.Record) (dropped, many bool) {
	s.waiting.Lock()
	defer s.waiting.Unlock() // a panic here would else block every later request
	s.seq++
	dropped = s.active.put(r, s.seq)
	return dropped, s.active.n == len(s.active.records)/2
}

// Dropped returns how many Records were lost: overrun, since the ring was full,
// and write, since the disk would not take them (observers saw those).
func (s *Store) Dropped() (overrun, write uint64) { return s.overrun.Load(), s.lost.Load() }

// Run empties the ring, makes the log durable and removes what is too old, until
// ctx ends; then once more.
func (s *Store) Run(ctx context.Context) {
	var syncing sync.WaitGroup
	syncing.Go(func() { s.keepDurable(ctx) })
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-s.wake:
		case <-ctx.Done():
		}
		s.drain()
	}
	syncing.Wait()
	s.sync()
}

// keepDurable stands apart from the loop that empties the ring: a slow disk may
// keep it for seconds.
func (s *Store) keepDurable(ctx context.Context) {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	pruned := time.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		s.sync()
		if now := time.Now(); now.Sub(pruned) >= pruneEvery {
			pruned = now
			s.prune(now)
		}
	}
}

// sync keeps its error to itself: a log that stopped refuses the next write, and
// drain tells.
func (s *Store) sync() { _ = s.log.Sync() }

func (s *Store) prune(now time.Time) {
	n, size, err := s.log.Prune(now)
	if n > 0 {
		s.o.Log.Info("old records removed", "segments", n, "bytes", size)
	}
	if err != nil {
		s.o.Log.Warn("old records cannot be removed", "error", err)
	}
}

// Close flushes and closes the log. Run has ended before.
func (s *Store) Close() error {
	s.drain()
	return s.log.Close()
}

// drain empties the ring into observers and blocks.
func (s *Store) drain() {
	s.draining.Lock()
	defer s.draining.Unlock()
	s.waiting.Lock()
	full := s.active
	s.active, s.spare = s.spare, full
	s.waiting.Unlock()
	for i := range full.n {
		r := &full.records[(full.head+i)%len(full.records)]
		for _, o := range s.o.Observers {
			o.Observe(r)
		}
		s.block.add(r)
		if len(s.block.bytes) >= blockSize {
			s.write()
		}
	}
	full.head, full.n = 0, 0
	s.write()
}

// write brings the block to the log. The caller holds draining.
func (s *Store) write() {
	if s.block.n == 0 {
		return
	}
	at, err := s.log.Append(s.block.seal())
	if err != nil {
		s.lost.Add(uint64(s.block.n))
	} else {
		s.index.add(at, s.block.min, s.block.max)
	}
	if failing := err != nil; failing != s.failing {
		s.failing = failing
		if failing {
			s.o.Log.Error("records cannot be written, they are dropped", "error", err)
		} else {
			s.o.Log.Info("records are written again")
		}
	}
	s.block.reset()
}
