package cache

import "time"

// Report is what a cache holds, and what it was good for since it was made.
type Report struct {
	Memory int64 // bytes that all layers share
	Layers [Layers]LayerReport
}

// LayerReport is what one layer holds, and what it was good for.
type LayerReport struct {
	Entries   int64
	Bytes     int64         // with what is charged for each entry
	Hits      uint64        // of memory and of the shared level
	Misses    uint64        //
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
