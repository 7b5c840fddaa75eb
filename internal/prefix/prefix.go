// Package prefix knows which replicas of a pool hold the beginning of a prompt in
// their caches, as far as can be told from what was sent to them.
//
// A prompt is a chain of block hashes (Hasher). The Index keeps, for each block, the
// set of replicas that were sent it; a match is contiguous from the first block on,
// as an engine's prefix cache is. Each replica has a budget of blocks, as large as
// its own cache, and forgets by CLOCK, a good likeness of an engine's least recently
// used. Memory is bounded by the budgets and by a hard cap.
//
// Several gateways before one pool tell each other what they sent (Share, News, Hold),
// so that each knows what all did.
//
// Nothing here locks: whoever owns an Index serialises its methods.
package prefix

import "math/bits"

// Index is what the replicas of one pool hold. Replicas are known by their place in
// the pool.
type Index struct {
	words  int      // of 64 replicas each
	keys   []uint64 // open addressing; 0 is free
	sets   []uint64 // words for each key
	used   []uint32 // when it was last asked for, by turn
	shift  uint8    // of a hash, to its place
	count  int      // keys
	turn   uint32
	held   int // by all rings
	budget int // of all rings
	rings  []ring

	told   []uint32 // for each key, in which round it was last told; nil: nobody is told
	round  uint32
	news   []Hold
	most   int // of news
	missed int // that had no room there
}

// Hold is that a replica, by its place, holds a block. A key is of the block and of
// the seed, so it means the same in every Index.
type Hold struct {
	Place int32
	Key   uint64
}

// ring is what one replica holds, in the order of CLOCK's hand.
type ring struct {
	keys   []uint64 // 0 is free
	since  []uint32 // when the hand last passed
	hand   int
	count  int
	budget int
}

const (
	bytesPerHold = 8 + 4 // of a ring
	// The share of places that may be taken: 7 of 10.
	loadNum, loadDen = 7, 10
)

// New returns an Index of replicas that hold so many blocks each, in at most that
// many bytes, or as few as there must be; budgets shrink in proportion if there is
// no room for all.
func New(budgets []int, bytes int) *Index {
	x := &Index{words: max((len(budgets)+63)/64, 1)}
	holds := 0
	for _, b := range budgets {
		holds += max(b, 1)
	}
	each := bytesPerHold + (8+4+8*x.words)*loadDen/loadNum // where replicas share nothing
	scale := 1.0
	if need := float64(holds) * float64(each); bytes > 0 && need > float64(bytes) {
		scale = float64(bytes) / need
	}
	total := 0
	for _, b := range budgets {
		budget := max(int(float64(max(b, 1))*scale), 16)
		x.rings = append(x.rings, ring{budget: budget})
		total += budget
	}
	x.budget = total
	x.grow(min(total, 1024))
	return x
}

// grow makes room for n keys.
func (x *Index) grow(n int) {
	size := 64
	for size*loadNum/loadDen < n {
		size *= 2
	}
	keys, sets, used, told := x.keys, x.sets, x.used, x.told
	x.keys, x.sets, x.used = make([]uint64, size), make([]uint64, size*x.words), make([]uint32, size)
	x.shift = uint8(64 - bits.TrailingZeros(uint(size)))
	if told != nil {
		x.told = make([]uint32, size)
	}
	for i, k := range keys {
		if k != 0 {
			at := x.find(k)
			x.keys[at], x.used[at] = k, used[i]
			copy(x.sets[at*x.words:(at+1)*x.words], sets[i*x.words:])
			if told != nil {
				x.told[at] = told[i]
			}
		}
	}
}

// find returns the place of a key, or the free one where it belongs.
func (x *Index) find(k uint64) int {
	mask := len(x.keys) - 1
	at := int(k * 0x9E3779B97F4A7C15 >> x.shift)
	for x.keys[at] != 0 && x.keys[at] != k {
		at = (at + 1) & mask
	}
	return at
}

// of returns a block's key: its hash for one seed, never 0.
func of(seed, block uint64) uint64 { return mix(block^seed) | 1 }

// Match writes to hits, by place, how many leading blocks of a prompt each replica
// holds, and returns the largest. It has room for all replicas.
func (x *Index) Match(hits []int32, seed uint64, blocks []uint64) (best int32) {
	clear(hits)
	if len(x.rings) == 0 {
		return 0
	}
	x.turn++
	var few [16]crowd // of up to 1,024 replicas
	live := few[:0]   // those that hold all blocks so far
	for i, b := range blocks {
		at := x.find(of(seed, b))
		if x.keys[at] == 0 {
			break
		}
		set := x.sets[at*x.words : (at+1)*x.words]
		if i == 0 {
			for w, has := range set {
				if has != 0 {
					live = append(live, crowd{w, has})
				}
			}
		}
		n := 0
		for _, c := range live {
			has := set[c.word]
			if gone := c.bits &^ has; gone != 0 {
				c.mark(hits, gone, i)
			}
			if c.bits &= has; c.bits != 0 {
				live[n] = c
				n++
			}
		}
		if live = live[:n]; n == 0 {
			return best
		}
		x.used[at] = x.turn
		best = int32(i + 1)
	}
	for _, c := range live {
		c.mark(hits, c.bits, int(best))
	}
	return best
}

// crowd is some replicas of one word of a set.
type crowd struct {
	word int
	bits uint64
}

// mark writes how many blocks those of the word hold whose bits these are.
func (c crowd) mark(hits []int32, of uint64, blocks int) {
	for ; of != 0; of &= of - 1 {
		hits[c.word<<6|bits.TrailingZeros64(of)] = int32(blocks)
	}
}

// Insert notes that a replica was sent a prompt. Of one longer than its budget only
// the beginning is kept.
func (x *Index) Insert(place int, seed uint64, blocks []uint64) {
	if place >= len(x.rings) {
		return
	}
	x.turn++
	for _, b := range blocks[:min(len(blocks), x.rings[place].budget)] {
		k := of(seed, b)
		at, fresh := x.insert(place, k)
		if x.told != nil && (fresh || x.round-x.told[at] >= again) {
			x.tell(at, Hold{Place: int32(place), Key: k})
		}
	}
}

// insert returns the place of a key, and whether the replica did not hold it before.
func (x *Index) insert(place int, k uint64) (at int, fresh bool) {
	word, bit := place>>6, uint64(1)<<(place&63)
	at = x.find(k)
	if x.keys[at] != 0 && x.sets[at*x.words+word]&bit != 0 {
		x.used[at] = x.turn
		return at, false
	}
	moved := x.room(place)
	if x.count >= len(x.keys)*loadNum/loadDen {
		x.grow(2 * x.count)
		moved = true
	}
	if moved {
		at = x.find(k)
	}
	if x.keys[at] == 0 {
		x.keys[at] = k
		clear(x.sets[at*x.words : (at+1)*x.words])
		if x.told != nil {
			x.told[at] = 0
		}
		x.count++
	}
	x.sets[at*x.words+word] |= bit
	x.used[at] = x.turn
	x.rings[place].hold(k, x.turn)
	x.held++
	return at, true
}

// again is after how many rounds a block is told anew that was sent to a replica which
// held it before: others keep it as long as it is in use.
const again = 10

// Share makes x keep what others are to be told, at most so many holds at a time.
func (x *Index) Share(most int) {
	x.most = most
	if x.told == nil {
		x.told, x.round = make([]uint32, len(x.keys)), again
	}
}

// Keep ends what Share began.
func (x *Index) Keep() { x.told, x.news, x.missed = nil, nil, 0 }

func (x *Index) tell(at int, h Hold) {
	if len(x.news) >= x.most {
		x.missed++
		return
	}
	x.told[at] = x.round
	x.news = append(x.news, h)
}

// News ends a round: it appends to holds what was sent since the last, in its order,
// and returns how many more there were than Share allows.
func (x *Index) News(holds []Hold) (_ []Hold, missed int) {
	holds, missed = append(holds, x.news...), x.missed
	x.news, x.missed = x.news[:0], 0
	x.round++
	return holds, missed
}

// Hold notes what another gateway sent to a replica. It is not told on.
func (x *Index) Hold(place int, key uint64) {
	if place < len(x.rings) && key != 0 {
		x.turn++
		x.insert(place, key)
	}
}

// room frees one hold of a replica, if it has none left: the first that was not
// asked for since the hand passed it. It reports whether it did: keys may be elsewhere
// then.
func (x *Index) room(place int) bool {
	r := &x.rings[place]
	if r.count < r.budget {
		return false
	}
	for {
		i := r.hand
		if r.hand++; r.hand == len(r.keys) {
			r.hand = 0
		}
		k := r.keys[i]
		if k == 0 {
			continue
		}
		at := x.find(k)
		if x.used[at] == x.turn {
			continue // of the prompt that needs the room; it is no longer than the budget
		}
		if x.used[at] > r.since[i] {
			r.since[i] = x.turn // a second chance
			continue
		}
		r.keys[i] = 0
		r.count--
		x.held--
		r.hand = i
		x.forget(at, place)
		return true
	}
}

// hold takes a free place of the ring, the hand's own first.
func (r *ring) hold(k uint64, turn uint32) {
	r.count++
	if len(r.keys) < r.budget && r.count > len(r.keys) {
		r.keys, r.since = append(r.keys, k), append(r.since, turn)
		return
	}
	i := r.hand
	for r.keys[i] != 0 {
		if i++; i == len(r.keys) {
			i = 0
		}
	}
	r.keys[i], r.since[i] = k, turn
	if r.hand = i + 1; r.hand == len(r.keys) {
		r.hand = 0
	}
}

// forget takes a replica out of a key's set, and the key out where nobody is left.
func (x *Index) forget(at, place int) {
	if x.keys[at] == 0 {
		return
	}
	set := x.sets[at*x.words : (at+1)*x.words]
	set[place>>6] &^= 1 << (place & 63)
	for _, w := range set {
		if w != 0 {
			return
		}
	}
	x.remove(at)
}

// remove frees a place and moves back what was pushed on by it (Knuth, The Art of
// Computer Programming, volume 3, 6.4, algorithm R).
func (x *Index) remove(at int) {
	mask := len(x.keys) - 1
	x.count--
	for i := at; ; {
		x.keys[i] = 0
		j := i
		for {
			j = (j + 1) & mask
			if x.keys[j] == 0 {
				return
			}
			home := int(x.keys[j] * 0x9E3779B97F4A7C15 >> x.shift)
			if (j-home)&mask >= (j-i)&mask {
				break
			}
		}
		x.keys[i], x.used[i] = x.keys[j], x.used[j]
		if x.told != nil {
			x.told[i] = x.told[j]
		}
		copy(x.sets[i*x.words:(i+1)*x.words], x.sets[j*x.words:(j+1)*x.words])
		i = j
	}
}

// Purge forgets all that a replica holds: it was restarted, or its model reloaded.
func (x *Index) Purge(place int) {
	if place >= len(x.rings) {
		return
	}
	r := &x.rings[place]
	for i, k := range r.keys {
		if k != 0 {
			x.forget(x.find(k), place)
			r.keys[i] = 0
		}
	}
	x.held -= r.count
	r.keys, r.since, r.hand, r.count = r.keys[:0], r.since[:0], 0, 0
}

// Copy notes in another Index, at a place there, what a replica holds here.
func (x *Index) Copy(place int, to *Index, at int) {
	for _, k := range x.rings[place].keys {
		if k != 0 {
			to.turn++
			to.insert(at, k)
		}
	}
}

// Holds returns how many blocks a replica holds, and how many it can.
func (x *Index) Holds(place int) (blocks, budget int) {
	if place >= len(x.rings) {
		return 0, 0
	}
	return x.rings[place].count, x.rings[place].budget
}

// Full reports whether the budgets are nearly used up: at least 95 % of all.
func (x *Index) Full() bool {
	return x.budget > 0 && x.held*100 >= x.budget*95
}

// Size returns how many blocks are known, and the bytes that the index takes.
func (x *Index) Size() (blocks, bytes int) {
	bytes = len(x.keys)*(8+4+8*x.words) + len(x.told)*4 + cap(x.news)*16
	for i := range x.rings {
		bytes += cap(x.rings[i].keys) * bytesPerHold
	}
	return x.count, bytes
}
