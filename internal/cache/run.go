package cache

import (
	"context"
	"math"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	sweepEvery = 15 * time.Second
	lookEvery  = time.Second // at the memory of the process
)

// Run sweeps, gives memory back while the process is short of it, and speaks with the
// shared store, until ctx ends.
func (c *Cache) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	if c.level != nil {
		for range writers {
			running.Go(func() { c.level.write(ctx) })
		}
		running.Go(func() { c.hear(ctx) })
	}
	sweep, look := time.NewTicker(sweepEvery), time.NewTicker(lookEvery)
	defer sweep.Stop()
	defer look.Stop()
	budget := c.memory.Load()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-sweep.C:
			c.Sweep(now)
		case now := <-look.C:
			used, limit := memory()
			whole := c.memory.Load()
			if next := fitting(min(budget, whole), whole, used, limit); next != budget {
				budget = next
				c.resize(budget, now)
			}
		}
	}
}

// memory returns how many bytes the process has of the system, and how many it may
// have, as GOMEMLIMIT says.
func memory() (used, limit int64) {
	s := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/gc/gomemlimit:bytes"},
	}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() - s[1].Value.Uint64()), int64(min(s[2].Value.Uint64(), math.MaxInt64))
}

// fitting returns the budget to go on with: half of what it is while the process has
// more than nine tenths of what it may have, down to a sixteenth of the whole, and back
// by a sixteenth a look once it has less than three quarters.
func fitting(budget, whole, used, limit int64) int64 {
	switch {
	case limit == math.MaxInt64:
		return whole
	case used > limit/10*9:
		return min(budget, max(budget/2, whole/16))
	case used < limit/4*3:
		return min(whole, budget+whole/16)
	}
	return budget
}
