package evict

import (
	"container/list"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// lru is what S3-FIFO is held against: the entry that was not asked for longest goes.
type lru struct {
	budget, bytes int64
	order         list.List // of uint64, the last asked for first
	at            map[uint64]*list.Element
	sizes         map[uint64]int64
}

func (c *lru) ask(key uint64, size int64) bool {
	if e, ok := c.at[key]; ok {
		c.order.MoveToFront(e)
		return true
	}
	c.at[key], c.sizes[key] = c.order.PushFront(key), size
	for c.bytes += size; c.bytes > c.budget; {
		old := c.order.Remove(c.order.Back()).(uint64)
		c.bytes -= c.sizes[old]
		delete(c.at, old)
		delete(c.sizes, old)
	}
	return false
}

// ask asks a cache for a key, and keeps it where it is not there.
func ask(c *Cache[uint64, struct{}], key uint64, size int64) bool {
	if _, ok := c.Get(key, start); ok {
		return true
	}
	c.Put(key, struct{}{}, size, time.Time{}, start)
	return false
}

// size is what an entry takes: answers are between 500 and 8,500 bytes, each always
// the same.
func size(key uint64) int64 { return 500 + int64(key*2654435761%8000) }

// hits returns the hit ratios of both over a trace.
func hits(trace []uint64, budget int64) (ours, theirs float64) {
	c := New[uint64, struct{}](budget, nil)
	l := &lru{budget: budget, at: map[uint64]*list.Element{}, sizes: map[uint64]int64{}}
	for _, key := range trace {
		if ask(c, key, size(key)) {
			ours++
		}
		if l.ask(key, size(key)) {
			theirs++
		}
	}
	return ours / float64(len(trace)), theirs / float64(len(trace))
}

const requests = 200_000

// zipf draws keys of which few are asked for often.
func zipf(seed uint64, s float64, keys uint64) []uint64 {
	z := rand.NewZipf(rand.New(rand.NewPCG(seed, 1)), s, 1, keys-1)
	trace := make([]uint64, requests)
	for i := range trace {
		trace[i] = z.Uint64()
	}
	return trace
}

// TestBesideLRU holds S3-FIFO against the least recently used, on loads of which the
// budget holds a part.
func TestBesideLRU(t *testing.T) {
	scans := zipf(2, 1.1, 50_000)
	for i := range scans { // every tenth request is of a crawl that asks for all, once
		if i%10 == 0 {
			scans[i] = 1<<32 + uint64(i)
		}
	}
	burst := zipf(3, 1.1, 50_000)
	for at := 20_000; at+10_000 < len(burst); at += 40_000 { // a crawl, all at once
		for i := range 10_000 {
			burst[at+i] = 1<<33 + uint64(at+i)
		}
	}
	loop := make([]uint64, requests)
	for i := range loop {
		loop[i] = uint64(i % 3000)
	}
	moves := make([]uint64, 0, requests) // what is asked for often changes
	for part := range uint64(4) {
		for _, key := range zipf(4+part, 1.1, 20_000)[:requests/4] {
			moves = append(moves, key+part*5_000)
		}
	}
	for _, tt := range []struct {
		name  string
		trace []uint64
		least float64 // what it is better by than LRU, at least
	}{
		{"zipf 1.01", zipf(1, 1.01, 100_000), 0.02},
		{"zipf 1.2", zipf(1, 1.2, 100_000), 0.01},
		{"zipf and a steady scan", scans, 0.03},
		{"zipf and scans in bursts", burst, 0.01},
		{"what is asked for changes", moves, 0},
		{"a loop larger than the budget", loop, 0}, // nobody has a hit; see 2.8 of the notes on caches
	} {
		t.Run(tt.name, func(t *testing.T) {
			ours, theirs := hits(tt.trace, 4<<20)
			t.Logf("hit ratio %.1f %%, LRU %.1f %%", 100*ours, 100*theirs)
			if ours < theirs+tt.least {
				t.Errorf("hit ratio %.3f, that of LRU is %.3f", ours, theirs)
			}
		})
	}
}

// TestRepeats: the same calls let the same entries go, in the same order.
func TestRepeats(t *testing.T) {
	run := func() (gone []uint64) {
		c := New(1<<20, func(k uint64, _ struct{}, why Why) {
			if why == Full {
				gone = append(gone, k)
			}
		})
		for _, key := range zipf(9, 1.1, 20_000)[:50_000] {
			ask(c, key, size(key))
		}
		return gone
	}
	a, b := run(), run()
	if len(a) == 0 || !slices.Equal(a, b) {
		t.Errorf("%d and %d left, the same: %v", len(a), len(b), slices.Equal(a, b))
	}
}

// TestQueues follows an entry through the rules.
func TestQueues(t *testing.T) {
	c := New[int, int](1000, nil) // a small queue of 100
	put := func(from, to int) {
		for k := from; k < to; k++ {
			c.Put(k, k, 20, time.Time{}, start)
		}
	}
	there := func(k int) bool { _, ok := c.places[k]; return ok }
	get := func(k, times int) {
		for range times {
			c.Get(k, start)
		}
	}
	put(0, 3)
	get(0, 2) // twice: it goes on
	get(1, 1) // once: it does not
	put(100, 150)
	if !there(0) || there(1) || there(2) {
		t.Errorf("asked for twice: %v, once: %v, never: %v", there(0), there(1), there(2))
	}
	if n := c.nodes[c.places[0]]; !n.inMain {
		t.Error("it is not in the main queue")
	}
	// A ghost goes into the main queue at once.
	c.Put(1, 1, 20, time.Time{}, start)
	if n := c.nodes[c.places[1]]; !n.inMain || c.ghosts.take(1) {
		t.Error("the ghost is where new ones are, or still a ghost")
	}
	// In the main queue each asking is worth one more round, three at most.
	get(0, 9)
	if n := c.nodes[c.places[0]]; n.asked != most {
		t.Errorf("asked %d times", n.asked)
	}
	// What is over leaves with its own reason.
	var why []Why
	d := New(1000, func(_ int, _ int, w Why) { why = append(why, w) })
	d.Put(1, 1, 20, start.Add(time.Second), start)
	d.Put(2, 2, 20, start, start)
	if _, ok := d.Get(1, start.Add(time.Second)); ok || len(why) != 1 || why[0] != Expired || d.Len() != 0 {
		t.Errorf("%v, %d entries", why, d.Len())
	}
}

func BenchmarkHit(b *testing.B) {
	c := New[uint64, struct{}](64<<20, nil)
	trace := zipf(1, 1.1, 5_000)
	for _, key := range trace {
		ask(c, key, size(key))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Get(trace[i%len(trace)], start)
	}
}

func BenchmarkMiss(b *testing.B) {
	c := New[uint64, struct{}](4<<20, nil)
	b.ReportAllocs()
	for key := uint64(0); b.Loop(); key++ {
		ask(c, key, size(key))
	}
}
