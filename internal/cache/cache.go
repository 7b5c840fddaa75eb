// Package cache keeps what was computed once within a budget of bytes: answers,
// embeddings, passages, results of tools, states of steps.
//
// Everything is kept for a tenant.Scope and under a Key that is made with it, so
// nothing is found but by those it is kept for. What an entry depends on it carries as
// marks of epochs, read before the work on it began: once one of these epochs moved,
// the entry is gone at that moment, whoever looks for it.
//
// A Cache is many shards, each a lock over evict. Its methods may be called at once
// from many goroutines. Get and Put never wait for more than such a lock.
package cache

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"headworks/internal/evict"
	"headworks/internal/tenant"
)

// Layer is what kind of thing an entry is.
type Layer uint8

// The layers. They share the budget.
const (
	Answers    Layer = iota // to the same request
	Similar                 // what finds answers to similar requests
	Embeddings              // vectors of texts
	Passages                // what a search found
	Tools                   // results of tools
	Steps                   // states of workflow steps

	Layers // how many there are
)

var layerNames = [Layers]string{"answers", "similar", "embeddings", "passages", "tools", "steps"}

func (l Layer) String() string { return layerNames[l] }

// Key finds an entry. Without the secret of the cache nobody can guess one, and no two
// scopes have the same.
type Key [sha256.Size]byte

// Entry is what is kept. Value belongs to the cache once it was put there, and to
// nobody who gets it: it is never changed.
type Entry struct {
	Value   []byte
	Stored  time.Time
	Expires time.Time     // until when it is fresh; zero: until it is pushed out
	Until   time.Time     // until when it may be had as stale; zero: as Expires
	Took    time.Duration // that making it took, and a hit saves
	Cost    int64         // micro-USD that a hit saves
	Tokens  int           // that a hit saves
	Marks   []Mark        // what it depends on
}

// Fresh reports whether e may be used without a word.
func (e *Entry) Fresh(now time.Time) bool { return e.Expires.IsZero() || now.Before(e.Expires) }

func (e *Entry) until() time.Time {
	if e.Until.After(e.Expires) {
		return e.Until
	}
	return e.Expires
}

const (
	// overhead is charged for each entry beside its value: its node, its place in a
	// map, its key, its ghost. It is measured by TestOverhead.
	overhead = 400
	perMark  = 24 // bytes

	perShard  = 16 << 20 // bytes of budget
	maxShards = 64
)

// ErrNoScope is what Key returns for the zero Scope.
var ErrNoScope = errors.New("cache: nothing is kept for nobody")

// Options say how a Cache is made.
type Options struct {
	Memory int64         // bytes that all layers share
	Secret tenant.Secret // from which keys are derived; the same in gateways that share
	Epochs Epochs        // where epochs survive; nil: they do not

	Shared  Shared // what gateways have in common; nil: nothing
	Encrypt bool   // entries that go there; they are signed in any case
	Log     *slog.Logger
}

// Cache keeps entries. Make one with New.
type Cache struct {
	shards []shard
	macs   sync.Pool // of *mac, under the secret
	epochs epochs
	level  *level       // nil: nothing is shared
	memory atomic.Int64 // as it was asked for
}

// item is an entry in its shard, in half of the room that an Entry takes: moments are ns
// since 1970, 0 for none.
type item struct {
	value                  []byte
	stored, expires, until int64
	took                   time.Duration
	cost                   int64
	tokens                 int
	marks                  []Mark
	scope                  *scoped
	n, all                 uint64 // of the scope's epoch and of everything's, when it was put
	layer                  Layer
}

func (i *item) entry() Entry {
	return Entry{
		Value: i.value, Stored: moment(i.stored), Expires: moment(i.expires), Until: moment(i.until),
		Took: i.took, Cost: i.cost, Tokens: i.tokens, Marks: i.marks,
	}
}

// current reports whether nothing moved that i depends on.
func (i *item) current() bool {
	if of := (Mark{i.scope.epoch, i.n, i.all}); !of.Current() {
		return false
	}
	for _, m := range i.marks {
		if !m.Current() {
			return false
		}
	}
	return true
}

func (i *item) size() int64 {
	return int64(len(i.value)) + overhead + int64(len(i.marks))*perMark
}

func moment(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

type shard struct {
	mu     sync.Mutex
	kept   *evict.Cache[Key, *item]
	layers [Layers]counts
	_      [64]byte // shards do not share a cache line
}

// counts are of one layer in one shard.
type counts struct {
	entries, bytes                          int64
	hits, misses, puts                      uint64
	evicted, expired, dead, refused, remote uint64
	tokens, cost                            int64
	saved                                   time.Duration
}

// New returns an empty cache.
func New(ctx context.Context, o Options) (*Cache, error) {
	n := min(max(o.Memory/perShard, 1), maxShards)
	c := &Cache{shards: make([]shard, n)}
	c.memory.Store(o.Memory)
	secret := sha256.Sum256([]byte("headworks cache\x00" + o.Secret.Reveal()))
	c.macs.New = func() any { return &mac{Hash: hmac.New(sha256.New, secret[:])} }
	for i := range c.shards {
		s := &c.shards[i]
		s.kept = evict.New(o.Memory/n, s.left)
	}
	if o.Shared != nil {
		c.level = &level{store: o.Shared, seal: newSealer(secret[:], o.Encrypt), log: o.Log, queue: make(chan write, maxQueue), looking: make(chan struct{}, maxLooks)}
	}
	return c, c.epochs.open(ctx, o.Epochs, c.level)
}

// left counts an entry that leaves.
func (s *shard) left(_ Key, i *item, why evict.Why) {
	n := &s.layers[i.layer]
	n.entries--
	n.bytes -= i.size()
	switch why {
	case evict.Full:
		n.evicted++
	case evict.Expired:
		n.expired++
	case evict.Removed:
	}
}

// mac is an HMAC whose key is set, and room.
type mac struct {
	hash.Hash
	room []byte
}

// Key returns the key of what a scope has in a layer under frames. Their order and
// their borders count. The error is ErrNoScope.
func (c *Cache) Key(l Layer, s tenant.Scope, frames ...[]byte) (Key, error) {
	if s.IsZero() {
		return Key{}, ErrNoScope
	}
	// HMAC-SHA256(k_scope, frames), k_scope = HMAC-SHA256(secret, scope): who has
	// the key of one scope knows nothing of another's.
	m := c.macs.Get().(*mac)
	m.Reset()
	m.room = s.Append(m.room[:0])
	m.Write(m.room)
	m.room = m.Sum(m.room[:0])
	inner := hmac.New(sha256.New, m.room)
	m.room = append(m.room[:0], byte(l))
	for _, f := range frames {
		m.room = binary.AppendUvarint(m.room, uint64(len(f)))
		if len(f) < 64 {
			m.room = append(m.room, f...)
			continue
		}
		inner.Write(m.room)
		inner.Write(f)
		m.room = m.room[:0]
	}
	inner.Write(m.room)
	var k Key
	inner.Sum(k[:0])
	c.macs.Put(m)
	return k, nil
}

func (c *Cache) shard(k Key) *shard {
	return &c.shards[binary.LittleEndian.Uint32(k[:4])%uint32(len(c.shards))]
}

// Get returns what a scope has in a layer under a key, from memory. An entry that may
// be stale, see Entry.Fresh, is returned until its time is over.
func (c *Cache) Get(l Layer, s tenant.Scope, k Key, now time.Time) (Entry, bool) {
	sh := c.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, ok := sh.look(l, s, k, now)
	sh.layers[l].asked(&e, ok)
	return e, ok
}

// Glance returns what Get does and counts nothing: whether what is found is used shows
// later.
func (c *Cache) Glance(l Layer, s tenant.Scope, k Key, now time.Time) (Entry, bool) {
	sh := c.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.look(l, s, k, now)
}

func (n *counts) asked(e *Entry, ok bool) {
	if !ok {
		n.misses++
		return
	}
	n.hits++
	n.tokens += int64(e.Tokens)
	n.cost += e.Cost
	n.saved += e.Took
}

func (s *shard) look(l Layer, sc tenant.Scope, k Key, now time.Time) (Entry, bool) {
	i, ok := s.kept.Get(k, now)
	switch {
	case !ok || i.layer != l || i.scope.Scope != sc || sc.IsZero():
		return Entry{}, false
	case !i.current():
		s.layers[l].dead++
		s.kept.Remove(k)
		return Entry{}, false
	}
	return i.entry(), true
}

// Peek is Get for who looks again where nothing is: a hit counts, a miss does not.
func (c *Cache) Peek(l Layer, s tenant.Scope, k Key, now time.Time) (Entry, bool) {
	sh := c.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, ok := sh.look(l, s, k, now)
	if ok {
		sh.layers[l].asked(&e, true)
	}
	return e, ok
}

// Put keeps an entry for a scope, and lets other gateways have it where they share. What
// is too large for the budget, over already, or depends on what moved meanwhile, is not
// kept.
func (c *Cache) Put(l Layer, s tenant.Scope, k Key, e Entry, now time.Time) {
	if !s.IsZero() && c.keep(l, s, k, e, now) && c.level != nil {
		of := c.epochs.scope(s).epoch
		e.Marks = append(e.Marks[:len(e.Marks):len(e.Marks)], Mark{of, of.n.Load(), c.epochs.all.Load()})
		c.level.put(write{at: c.level.seal.place(l, s, k), entry: e})
	}
}

// keep is Put into memory; it reports whether the entry is kept.
func (c *Cache) keep(l Layer, s tenant.Scope, k Key, e Entry, now time.Time) bool {
	of := c.epochs.scope(s)
	i := &item{
		value: e.Value, stored: nanos(e.Stored), expires: nanos(e.Expires), until: nanos(e.Until), took: e.Took, cost: e.Cost,
		tokens: e.Tokens, marks: e.Marks, scope: of, n: of.epoch.n.Load(), all: c.epochs.all.Load(), layer: l,
	}
	sh := c.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	n := &sh.layers[l]
	if !i.current() {
		n.dead++
		return false
	}
	if !sh.kept.Put(k, i, i.size(), e.until(), now) {
		n.refused++
		return false
	}
	n.puts++
	n.entries++
	n.bytes += i.size()
	return true
}

// Remove lets go of what a scope has under a key, here and where gateways share.
func (c *Cache) Remove(l Layer, s tenant.Scope, k Key) {
	if s.IsZero() {
		return
	}
	sh := c.shard(k)
	sh.mu.Lock()
	sh.kept.Remove(k)
	sh.mu.Unlock()
	if c.level != nil {
		c.level.put(write{at: c.level.seal.place(l, s, k), remove: true})
	}
}

// atOnce is how many places of a shard are swept while others wait for its lock.
const atOnce = 1024

// Sweep lets go of the entries whose time is over, and of those that depend on what
// moved. Nobody finds these any more; their bytes are free after it.
func (c *Cache) Sweep(now time.Time) {
	for i := range c.shards {
		s := &c.shards[i]
		for at := s.sweep(0, now); at != 0; {
			at = s.sweep(at, now)
		}
	}
}

func (s *shard) sweep(from int, now time.Time) (next int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept.Sweep(from, atOnce, now, func(_ Key, i *item) bool {
		if i.current() {
			return false
		}
		s.layers[i.layer].dead++
		return true
	})
}

// Limit sets the bytes that all layers share, and lets go of what is over them.
func (c *Cache) Limit(memory int64) {
	if c.memory.Swap(memory) != memory {
		c.resize(memory, time.Now())
	}
}

func (c *Cache) resize(memory int64, now time.Time) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.kept.Resize(memory/int64(len(c.shards)), now)
		s.mu.Unlock()
	}
}
