package cache

import "time"

// Report is what a cache holds, and what it was good for since it was made.
type Report struct {
	Memory int64 // bytes that all layers share
	Layers [Layers]LayerReport
	Shared *SharedReport // nil: nothing is shared
}

// SharedReport is how the store that gateways have in common does.
type SharedReport struct {
	Loads    uint64 // looks into it
	Failures uint64 // of looks and writes; the time of a look counts
	Tampered uint64 // entries that no gateway wrote
	Dropped  uint64 // writes that were given up
	Waiting  int    // writes
	Resting  bool   // it failed several times in a row, and nobody asks
}

// LayerReport is what one layer holds, and what it was good for.
type LayerReport struct {
	Entries   int64
	Bytes     int64  // with what each entry is charged beside its value
	Hits      uint64 // of memory and of the shared level
	Misses    uint64
	Shared    uint64        // hits that came from the shared level
	Puts      uint64        // entries that were kept
	Evictions uint64        // entries that others needed the room of
	Expired   uint64        // entries whose time was over
	Dead      uint64        // entries that depended on what moved
	Refused   uint64        // entries too large, or over already
	Tokens    int64         // that hits saved
	Cost      int64         // micro-USD that hits saved
	Saved     time.Duration // that hits saved
}

// Report returns what c holds and was good for.
func (c *Cache) Report() Report {
	var r Report
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		r.Memory += s.kept.Budget()
		for l, n := range s.layers {
			r.Layers[l].add(n)
		}
		s.mu.Unlock()
	}
	if v := c.level; v != nil {
		r.Shared = &SharedReport{
			Loads: v.loads.Load(), Failures: v.failures.Load(), Tampered: v.tampered.Load(), Dropped: v.dropped.Load(),
			Waiting: len(v.queue), Resting: v.breaker.open(time.Now()),
		}
	}
	return r
}

func (r *LayerReport) add(n counts) {
	r.Entries += n.entries
	r.Bytes += n.bytes
	r.Hits += n.hits
	r.Misses += n.misses
	r.Shared += n.remote
	r.Puts += n.puts
	r.Evictions += n.evicted
	r.Expired += n.expired
	r.Dead += n.dead
	r.Refused += n.refused
	r.Tokens += n.tokens
	r.Cost += n.cost
	r.Saved += n.saved
}
