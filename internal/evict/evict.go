// Package evict decides which entries leave a full cache: S3-FIFO by bytes.
//
// What is new waits in a small queue of a tenth of the budget and leaves from there
// unless it was asked for twice; what was goes on into the main queue, where each time
// it comes to the end it stays if it was asked for since. A key that left the small
// queue is remembered as a ghost: if it comes back it goes into the main queue at once
// (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023).
//
// Nothing here depends on chance or on the order of a map: the same calls let the same
// entries go.
package evict

import (
	"iter"
	"time"
)

const (
	smallShare = 10 // the small queue is one in so many bytes
	most       = 3  // askings that are counted
	worth      = 1  // more of them, and an entry leaves the small queue for the main one

	// fewGhosts are remembered however few entries there are.
	fewGhosts = 64
)

// Why is the reason for which an entry left.
type Why uint8

// The reasons.
const (
	Full    Why = iota // others needed the room
	Expired            // its time was over
	Removed            // somebody said so, or put another in its place
)

// nowhere is the index of no node.
const nowhere = -1

// Cache holds values by their keys within a budget of bytes. Make one with New; it is
// for one goroutine at a time.
type Cache[K comparable, V any] struct {
	budget int64
	left   func(K, V, Why) // told of each that leaves; may be nil
	places map[K]int32     // in nodes
	nodes  []node[K, V]
	free   int32 // the first of the nodes that hold nothing, linked by next
	small  queue
	main   queue
	ghosts ghosts[K]
}

type node[K comparable, V any] struct {
	key        K
	value      V
	size       int64
	until      int64 // ns since 1970; 0: no end
	prev, next int32 // prev came later, next earlier
	asked      uint8
	inMain     bool
	used       bool
}

func (n *node[K, V]) over(now time.Time) bool { return n.until != 0 && now.UnixNano() >= n.until }

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// queue is a list of nodes: the newest is its head, the oldest its tail.
type queue struct {
	head, tail int32
	bytes      int64
}

// New returns an empty cache. left is called for each entry that leaves, before the
// call that caused it returns, and calls nothing of the cache; it may be nil.
func New[K comparable, V any](budget int64, left func(K, V, Why)) *Cache[K, V] {
	c := &Cache[K, V]{budget: budget, left: left, places: map[K]int32{}, free: nowhere}
	c.small.head, c.small.tail, c.main.head, c.main.tail = nowhere, nowhere, nowhere, nowhere
	c.ghosts.at = map[K]uint64{}
	return c
}

// Len returns how many entries there are.
func (c *Cache[K, V]) Len() int { return len(c.places) }

// Bytes returns the sum of the entries' sizes.
func (c *Cache[K, V]) Bytes() int64 { return c.small.bytes + c.main.bytes }

// Budget returns how many bytes the entries may have.
func (c *Cache[K, V]) Budget() int64 { return c.budget }

// Largest returns the size of the largest entry that is taken in: a quarter of the
// small queue, so that one does not push out all that is new.
func (c *Cache[K, V]) Largest() int64 { return c.budget / smallShare / 4 }

// Get returns the value of a key, and notes that it was asked for.
func (c *Cache[K, V]) Get(key K, now time.Time) (value V, ok bool) {
	i, ok := c.places[key]
	if !ok {
		return value, false
	}
	n := &c.nodes[i]
	if n.over(now) {
		c.leave(i, Expired)
		return value, false
	}
	n.asked = min(n.asked+1, most)
	return n.value, true
}

// Put keeps a value of a size until a moment, or without end if that is zero, in the
// place of what the key had. It reports whether there is room: it takes nothing in
// that is larger than Largest, or over already.
func (c *Cache[K, V]) Put(key K, value V, size int64, until, now time.Time) bool {
	asked := uint8(0)
	inMain := c.ghosts.take(key)
	if i, ok := c.places[key]; ok {
		asked, inMain = c.nodes[i].asked, c.nodes[i].inMain
		c.leave(i, Removed)
	}
	if size > c.Largest() || !until.IsZero() && !now.Before(until) {
		return false
	}
	i := c.free
	if i == nowhere {
		c.nodes = append(c.nodes, node[K, V]{})
		i = int32(len(c.nodes) - 1)
	} else {
		c.free = c.nodes[i].next
	}
	c.nodes[i] = node[K, V]{key: key, value: value, size: size, until: nanos(until), asked: asked, inMain: inMain, used: true}
	c.places[key] = i
	c.enter(i)
	for c.Bytes() > c.budget {
		c.evict(now)
	}
	return true
}

// Remove lets the entry of a key go, and reports whether there was one.
func (c *Cache[K, V]) Remove(key K) bool {
	i, ok := c.places[key]
	if ok {
		c.leave(i, Removed)
	}
	return ok
}

// Resize sets the budget, and lets go of what is over it.
func (c *Cache[K, V]) Resize(budget int64, now time.Time) {
	c.budget = budget
	for c.Bytes() > c.budget && c.Len() > 0 {
		c.evict(now)
	}
}

// All ranges over the entries, the oldest of each queue first. The one at hand may be
// removed.
func (c *Cache[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, tail := range [...]int32{c.small.tail, c.main.tail} {
			for i := tail; i != nowhere; {
				n := &c.nodes[i]
				i = n.prev
				if !yield(n.key, n.value) {
					return
				}
			}
		}
	}
}

// Sweep looks at n places from a place on, and lets go of the entries there whose time
// is over, and of those that gone names. It returns the place to go on from, which is 0
// after the last: who holds a lock over c need not hold it for all of them at once.
func (c *Cache[K, V]) Sweep(from, n int, now time.Time, gone func(K, V) bool) (next int) {
	end := min(from+n, len(c.nodes))
	for i := from; i < end; i++ {
		switch n := &c.nodes[i]; {
		case !n.used:
		case n.over(now):
			c.leave(int32(i), Expired)
		case gone(n.key, n.value):
			c.leave(int32(i), Removed)
		}
	}
	if end == len(c.nodes) {
		return 0
	}
	return end
}

func (c *Cache[K, V]) queueOf(n *node[K, V]) *queue {
	if n.inMain {
		return &c.main
	}
	return &c.small
}

// enter puts node i at the head of its queue.
func (c *Cache[K, V]) enter(i int32) {
	n := &c.nodes[i]
	q := c.queueOf(n)
	n.prev, n.next = nowhere, q.head
	if q.head != nowhere {
		c.nodes[q.head].prev = i
	} else {
		q.tail = i
	}
	q.head = i
	q.bytes += n.size
}

// unlink takes node i out of its queue.
func (c *Cache[K, V]) unlink(i int32) {
	n := &c.nodes[i]
	q := c.queueOf(n)
	if n.prev != nowhere {
		c.nodes[n.prev].next = n.next
	} else {
		q.head = n.next
	}
	if n.next != nowhere {
		c.nodes[n.next].prev = n.prev
	} else {
		q.tail = n.prev
	}
	q.bytes -= n.size
}

func (c *Cache[K, V]) leave(i int32, why Why) {
	c.unlink(i)
	n := &c.nodes[i]
	key, value := n.key, n.value
	delete(c.places, key)
	*n = node[K, V]{next: c.free}
	c.free = i
	if c.left != nil {
		c.left(key, value, why)
	}
}

// evict lets one entry go, by the rules of S3-FIFO.
func (c *Cache[K, V]) evict(now time.Time) {
	for {
		if i := c.small.tail; i != nowhere && (c.small.bytes > c.budget/smallShare || c.main.tail == nowhere) {
			n := &c.nodes[i]
			switch {
			case n.over(now):
				c.leave(i, Expired)
				return
			case n.asked > worth:
				c.unlink(i)
				n.inMain, n.asked = true, 0
				c.enter(i)
				continue
			}
			key := n.key
			c.leave(i, Full)
			c.ghosts.add(key, max(len(c.places), fewGhosts))
			return
		}
		i := c.main.tail
		n := &c.nodes[i]
		switch {
		case n.over(now):
			c.leave(i, Expired)
			return
		case n.asked > 0:
			c.unlink(i)
			n.asked--
			c.enter(i)
			continue
		}
		c.leave(i, Full)
		return
	}
}

// ghosts are keys that left the small queue, the latest of them, without their values.
type ghosts[K comparable] struct {
	at    map[K]uint64 // numbers, by key
	order []K          // a ring; one counts while at has its number
	first int          // in order, of the oldest
	n     int
	next  uint64 // number of the next one; the oldest has next-n
}

// take reports whether a key is remembered, and forgets it.
func (g *ghosts[K]) take(key K) bool {
	_, ok := g.at[key]
	delete(g.at, key)
	return ok
}

// add remembers a key, and forgets the oldest so that there are no more than most.
func (g *ghosts[K]) add(key K, most int) {
	for g.n > 0 && (len(g.at) >= most || g.n >= 2*most) {
		g.drop()
	}
	if g.n == len(g.order) {
		grown := make([]K, max(fewGhosts, g.n+g.n/4))
		k := copy(grown, g.order[g.first:])
		copy(grown[k:], g.order[:g.first])
		g.order, g.first = grown, 0
	}
	g.order[(g.first+g.n)%len(g.order)] = key
	g.at[key] = g.next
	g.n++
	g.next++
}

func (g *ghosts[K]) drop() {
	old := g.order[g.first]
	if n, ok := g.at[old]; ok && n == g.next-uint64(g.n) {
		delete(g.at, old)
	}
	g.first, g.n = (g.first+1)%len(g.order), g.n-1
}
