package gateway

import (
	"sync/atomic"

	"headworks/internal/inference"
	"headworks/internal/price"
)

// Prompts is what upstreams' caches of prompts were good for since this process began,
// as far as the upstreams tell.
type Prompts struct {
	Answers uint64 // whose upstream counted the tokens of the prompt
	Hits    uint64 // of which some were read from its cache
	Read    int64  // tokens
	Written int64
	Saved   int64 // micro-USD: what reading saved, less what writing cost more; known prices alone
}

// prompts counts that.
type prompts struct {
	answers, hits        atomic.Uint64
	read, written, saved atomic.Int64
}

func (p *prompts) count(at inference.Price, u inference.Usage) {
	p.answers.Add(1)
	if u.CacheRead+u.CacheWrite == 0 {
		return
	}
	if u.CacheRead > 0 {
		p.hits.Add(1)
	}
	p.read.Add(int64(u.CacheRead))
	p.written.Add(int64(u.CacheWrite))
	if saved, known := price.Saved(at, u); known {
		p.saved.Add(saved)
	}
}

// Prompts returns what upstreams' caches of prompts were good for.
func (g *Gateway) Prompts() Prompts {
	p := &g.prompts
	return Prompts{p.answers.Load(), p.hits.Load(), p.read.Load(), p.written.Load(), p.saved.Load()}
}
