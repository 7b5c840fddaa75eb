package latency

// PrefixTokens is how many tokens of a prompt one of a Job's Blocks stands for.
const PrefixTokens = 64

// cache is what an engine keeps of prompts that it has read: blocks that sequences
// share while they run, and that stay for whoever comes next until the room is
// needed. As in vLLM the deepest blocks of what was used least recently go first.
type cache struct {
	per     int // KV blocks of an entry; 0: nothing is kept
	at      map[uint64]int32
	entries []entry
	vacant  []int32
	idle    int   // entries that no sequence uses
	oldest  int32 // of them
	newest  int32
}

// entry is PrefixTokens of a prompt and all before them.
type entry struct {
	hash       uint64
	refs       int32
	prev, next int32 // of the idle
}

func newCache(p Params) cache {
	c := cache{oldest: none, newest: none}
	if p.BlockSize > 0 && PrefixTokens%p.BlockSize == 0 {
		c.per, c.at = PrefixTokens/p.BlockSize, map[uint64]int32{}
	}
	return c
}

// whole returns the blocks of a job that an engine can keep and find: the last token
// of a prompt is always computed.
func (c *cache) whole(j Job) []uint64 {
	if c.per == 0 || j.Prompt == 0 {
		return nil
	}
	return j.Blocks[:min(len(j.Blocks), (j.Prompt-1)/PrefixTokens)]
}

// held returns how many of the leading blocks are here, and how many of those
// nobody uses.
func (c *cache) held(blocks []uint64) (hits, idle int) {
	for _, b := range blocks {
		i, ok := c.at[b]
		if !ok {
			break
		}
		hits++
		if c.entries[i].refs == 0 {
			idle++
		}
	}
	return hits, idle
}

// use takes a reference to a block, which is made if it is not here. It returns
// whether others use it.
func (c *cache) use(block uint64) (shared bool) {
	if i, ok := c.at[block]; ok {
		e := &c.entries[i]
		if shared = e.refs > 0; !shared {
			c.unlink(i)
		}
		e.refs++
		return shared
	}
	var i int32
	if n := len(c.vacant); n > 0 {
		i, c.vacant = c.vacant[n-1], c.vacant[:n-1]
	} else {
		i = int32(len(c.entries))
		c.entries = append(c.entries, entry{})
	}
	c.entries[i] = entry{hash: block, refs: 1, prev: none, next: none}
	c.at[block] = i
	return false
}

// release gives a reference back; true if nobody uses the block any more.
func (c *cache) release(block uint64) bool {
	i := c.at[block]
	e := &c.entries[i]
	if e.refs--; e.refs > 0 {
		return false
	}
	e.prev, e.next = c.newest, none
	if c.newest != none {
		c.entries[c.newest].next = i
	} else {
		c.oldest = i
	}
	c.newest = i
	c.idle++
	return true
}

func (c *cache) unlink(i int32) {
	e := &c.entries[i]
	if e.prev != none {
		c.entries[e.prev].next = e.next
	} else {
		c.oldest = e.next
	}
	if e.next != none {
		c.entries[e.next].prev = e.prev
	} else {
		c.newest = e.prev
	}
	e.prev, e.next = none, none
	c.idle--
}

// fit drops idle blocks until they fit into so many KV blocks.
func (c *cache) fit(free int) {
	for c.idle*c.per > free {
		i := c.oldest
		c.unlink(i)
		delete(c.at, c.entries[i].hash)
		c.vacant = append(c.vacant, i)
	}
}
