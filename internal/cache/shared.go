package cache

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"headworks/internal/tenant"
)

// Shared is a store that gateways have in common: a second level behind memory, and
// where they tell each other of epochs. It may be slow, gone, or written to by others:
// its loss is a miss.
type Shared interface {
	// Load returns what is there under a name; nil where nothing is.
	Load(ctx context.Context, name string) ([]byte, error)
	// Save keeps a value for a while.
	Save(ctx context.Context, name string, value []byte, life time.Duration) error
	// Remove lets a value go.
	Remove(ctx context.Context, name string) error
	// Raise brings an epoch to least, if it is not further already, and by so much
	// further; it returns where it is then.
	Raise(ctx context.Context, name string, least, by uint64) (uint64, error)
	// Hear tells of all epochs there are, and of each that is raised, until ctx ends or
	// the store is lost.
	Hear(ctx context.Context, tell func(name string, n uint64)) error
}

const (
	patience   = 20 * time.Millisecond // that a look into the shared store may take
	writeTime  = time.Second           // that a write may take
	maxLooks   = 1024                  // at once
	maxAtOnce  = 16                    // of them, of one who looks for many
	maxQueue   = 1024                  // writes that wait
	maxLife    = 30 * 24 * time.Hour   // of what has no end of its own
	maxWaiting = 16 << 20              // bytes of them
	writers    = 2
	tries      = 3 // failures in a row after which nobody asks for a while
	shortRest  = time.Second
	longRest   = 30 * time.Second
	alarmEvery = time.Minute
)

// level is the shared store behind what keeps it from doing harm: a bound on the time of
// a look, a breaker, a bounded queue of writes, and seals.
type level struct {
	store   Shared
	seal    sealer
	log     *slog.Logger
	breaker breaker
	queue   chan write
	waiting atomic.Int64  // bytes in queue
	looking chan struct{} // places for those who look

	loads, failures, tampered, dropped atomic.Uint64
	alarmed                            atomic.Int64 // when the log last heard of tampering, ns
}

// write is an entry on its way to the shared store, or the removal of one.
type write struct {
	at     place
	entry  Entry
	remove bool
}

// breaker rests from a store that failed several times in a row: nobody waits for it
// then, but for one who tries it after the rest.
type breaker struct {
	mu       sync.Mutex
	failures int
	until    time.Time
	rest     time.Duration
}

// allows reports whether the store may be asked. After a rest it allows one, and the
// others once that one succeeded.
func (b *breaker) allows(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < tries {
		return true
	}
	if now.Before(b.until) {
		return false
	}
	b.until = now.Add(b.rest)
	return true
}

// learn takes in how it went.
func (b *breaker) learn(err error, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.failures, b.rest = 0, 0
		return
	}
	if b.failures++; b.failures >= tries {
		b.rest = min(max(2*b.rest, shortRest), longRest)
		b.until = now.Add(b.rest)
	}
}

func (b *breaker) open(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures >= tries && now.Before(b.until)
}

// load returns the entry at a place of the shared store.
func (v *level) load(ctx context.Context, at place, of func(EpochName) *epoch) (Entry, bool) {
	if !v.breaker.allows(time.Now()) {
		return Entry{}, false
	}
	v.loads.Add(1)
	b, err := v.look(ctx, at.name())
	if err != nil && ctx.Err() != nil {
		return Entry{}, false // who asked has left; that says nothing of the store
	}
	v.breaker.learn(err, time.Now())
	if err != nil {
		v.failures.Add(1)
		return Entry{}, false
	}
	if b == nil {
		return Entry{}, false
	}
	e, ok := v.seal.open(at, b, of)
	if !ok {
		v.tampered.Add(1)
		v.alarm()
		v.put(write{at: at, remove: true})
	}
	return e, ok
}

// look asks the store. It returns in time whatever the store does, whose connections
// know less of a context than they should: while one is opened, others wait for it.
func (v *level) look(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case v.looking <- struct{}{}:
	default:
		return nil, errBusy
	}
	type found struct {
		b   []byte
		err error
	}
	done := make(chan found, 1)
	go func() {
		defer func() { <-v.looking }()
		b, err := v.store.Load(ctx, name)
		done <- found{b, err}
	}()
	select {
	case f := <-done:
		return f.b, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// alarm tells the log that somebody else writes into the shared store.
func (v *level) alarm() {
	now, last := time.Now().UnixNano(), v.alarmed.Load()
	if now-last >= int64(alarmEvery) && v.alarmed.CompareAndSwap(last, now) {
		v.log.Error("an entry of the shared cache was not written by a gateway with this cache.secret; it was not used, and is removed",
			"so_far", v.tampered.Load())
	}
}

// put lets a write wait for its turn, or drops it where too much waits.
func (v *level) put(w write) {
	size := int64(len(w.entry.Value)) + overhead
	if v.waiting.Add(size) > maxWaiting {
		v.waiting.Add(-size)
		v.dropped.Add(1)
		return
	}
	select {
	case v.queue <- w:
	default:
		v.waiting.Add(-size)
		v.dropped.Add(1)
	}
}

// write carries writes out until ctx ends.
func (v *level) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-v.queue:
			v.waiting.Add(-int64(len(w.entry.Value)) - overhead)
			if err := v.carry(ctx, &w); err != nil && ctx.Err() == nil {
				v.dropped.Add(1)
			}
		}
	}
}

var (
	errResting = errors.New("cache: the shared store failed of late")
	errBusy    = errors.New("cache: too many look into the shared store")
)

func (v *level) carry(ctx context.Context, w *write) error {
	now := time.Now()
	life := maxLife
	if until := w.entry.until(); !until.IsZero() {
		if life = until.Sub(now); life <= 0 {
			return nil
		}
	}
	if !v.breaker.allows(now) {
		return errResting
	}
	limited, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	var err error
	if w.remove {
		err = v.store.Remove(limited, w.at.name())
	} else {
		var b []byte
		if b, err = v.seal.seal(w.at, &w.entry); err != nil {
			return err
		}
		err = v.store.Save(limited, w.at.name(), b, life)
	}
	if ctx.Err() == nil {
		v.breaker.learn(err, time.Now())
	}
	if err != nil {
		v.failures.Add(1)
	}
	return err
}

// Fetch returns what a scope has in a layer under a key: from memory, else from what
// gateways share, if that answers within 20 ms. It looks into memory itself, so Get
// before it is not needed.
func (c *Cache) Fetch(ctx context.Context, l Layer, s tenant.Scope, k Key, now time.Time) (Entry, bool) {
	sh := c.shard(k)
	sh.mu.Lock()
	e, ok := sh.look(l, s, k, now)
	if ok || c.level == nil || s.IsZero() {
		sh.layers[l].asked(&e, ok)
		sh.mu.Unlock()
		return e, ok
	}
	sh.mu.Unlock()
	e, ok = c.level.load(ctx, c.level.seal.place(l, s, k), c.epochs.of)
	if until := e.until(); ok && !until.IsZero() && !now.Before(until) {
		ok = false
	}
	if ok {
		ok = c.keep(l, s, k, e, now)
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	n := &sh.layers[l]
	n.asked(&e, ok)
	if !ok {
		return Entry{}, false
	}
	n.remote++
	return e, true
}

// FetchAll is Fetch of many keys, of which those that are not in memory are looked for at
// once, within 40 ms for all together. Found says which there are.
func (c *Cache) FetchAll(ctx context.Context, l Layer, s tenant.Scope, keys []Key, now time.Time) (entries []Entry, found []bool) {
	entries, found = make([]Entry, len(keys)), make([]bool, len(keys))
	if c.level == nil {
		for i, k := range keys {
			entries[i], found[i] = c.Get(l, s, k, now)
		}
		return entries, found
	}
	ctx, cancel := context.WithTimeout(ctx, 2*patience) // a slow store is known for one after the first 20 ms
	defer cancel()
	var looking sync.WaitGroup
	next := atomic.Int64{}
	for range min(len(keys), maxAtOnce) {
		looking.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(keys); i = int(next.Add(1)) - 1 {
				entries[i], found[i] = c.Fetch(ctx, l, s, keys[i], now)
			}
		})
	}
	looking.Wait()
	return entries, found
}

// raise is Raise, unless the store failed of late.
func (v *level) raise(ctx context.Context, name string, least, by uint64) (uint64, error) {
	if !v.breaker.allows(time.Now()) {
		return 0, errResting
	}
	n, err := v.store.Raise(ctx, name, least, by)
	v.breaker.learn(err, time.Now())
	return n, err
}

// rehear is the pause after the shared store was lost.
const rehear = time.Second

// hear takes in what other gateways say of epochs, until ctx ends.
func (c *Cache) hear(ctx context.Context) {
	lost := false
	for ctx.Err() == nil {
		err := c.epochs.catchUp(ctx)
		if err == nil {
			if lost {
				c.level.log.Info("the shared store of the cache answers again")
				lost = false
			}
			err = c.level.store.Hear(ctx, c.epochs.heard)
		}
		if ctx.Err() == nil && err != nil {
			c.level.failures.Add(1)
			if !lost {
				c.level.log.Warn("the shared store of the cache is lost; this gateway goes on with its own memory, and others do not hear of its purges", "cause", err.Error())
				lost = true
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(rehear):
		}
	}
}
