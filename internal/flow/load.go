package flow

import (
	"slices"

	"headworks/internal/fleet"
	"headworks/internal/prefix"
	"headworks/internal/schedule"
)

// Load is what is in flight at a replica, by our own count.
type Load struct {
	Requests int
	Prefill  int // prompt tokens not in its cache, of requests that have no word yet
	KV       int // tokens that requests add to its KV cache: prompts but for what it holds, and reserved answers
}

// Load returns what is in flight at a replica.
func (p *Policy) Load(id fleet.ReplicaID) Load {
	l := p.InFlight(id)
	if int(id) < len(p.others.loads) {
		l.add(&p.others.loads[id], -1)
	}
	return l
}

// take counts what an attempt takes of its replica, until give.
func (p *Policy) take(t *Ticket, id fleet.ReplicaID, l Load) {
	t.lastAt, t.took = id, l
	if t.Target != nil && t.Target.Adapter != "" {
		p.loras.Take(id, t.Target.Adapter, t.fleet.Upstreams[t.Target.Upstream].Adapters)
	}
	p.learn(l.Prefill)
	p.row(id).add(&l, 1)
}

// spoke gives back the prompt's share: a replica that says the first word has read
// it.
func (p *Policy) spoke(t *Ticket) {
	if t.lastAt != fleet.NoReplica {
		p.row(t.lastAt).Prefill -= t.took.Prefill
		t.took.Prefill = 0
	}
}

// give gives back what the attempt under way still takes.
func (p *Policy) give(t *Ticket) {
	p.row(t.lastAt).add(&t.took, -1)
	if t.Target != nil && t.Target.Adapter != "" {
		p.loras.Give(t.lastAt, t.Target.Adapter)
	}
	t.lastAt, t.took = fleet.NoReplica, Load{}
}

// What is reserved for an answer whose length nobody knows, in tokens.
const (
	usualOutput = 512
	mostOutput  = 4096
)

// Of replicas that say nothing of their KV cache.
const (
	unknownKV   = 262_144 // tokens
	unknownRate = 15_360  // prompt tokens a second
)

// cacheBytes bounds what is known of one pool's caches.
const cacheBytes = 64 << 20

// caches is what the replicas of one upstream hold of prompts.
type caches struct {
	ids     []fleet.ReplicaID
	of      []fleet.Replica // whose ids they are
	index   *prefix.Index
	resized bool // some replica's cache is not of the size that index has room for
}

// cachesOf returns what is known of an upstream's caches, begun anew where its
// replicas are others than before.
func (p *Policy) cachesOf(u *fleet.Upstream) *caches {
	c := p.caches[u.Name]
	if c != nil && !c.resized && c.known(u.Replicas) {
		return c
	}
	next := &caches{of: u.Replicas}
	budgets := make([]int, 0, len(u.Replicas))
	for _, r := range u.Replicas {
		next.ids = append(next.ids, r.ID)
		budgets = append(budgets, budget(p.holds(u, r.ID)))
	}
	next.index = prefix.New(budgets, cacheBytes)
	if p.others.share {
		next.index.Share(mostHolds)
	}
	if c != nil {
		for from, id := range c.ids {
			if to := slices.Index(next.ids, id); to >= 0 {
				c.index.Copy(from, next.index, to)
			}
		}
	}
	if p.caches == nil {
		p.caches = map[string]*caches{}
	}
	p.caches[u.Name] = next
	return next
}

// known reports whether c is of these replicas.
func (c *caches) known(pool []fleet.Replica) bool {
	if len(pool) != len(c.ids) {
		return false
	}
	if len(pool) == 0 || &pool[0] == &c.of[0] { // a snapshot does not change
		return true
	}
	for i := range pool {
		if pool[i].ID != c.ids[i] {
			return false
		}
	}
	c.of = pool
	return true
}

// budget is how many blocks a replica holds whose KV cache has room for so many
// tokens; 0: not known.
func budget(tokens int) int {
	if tokens == 0 {
		tokens = unknownKV
	}
	return tokens * 9 / 10 * bytesPerToken / prefix.Block
}

// bytesPerToken turns blocks of text into tokens.
const bytesPerToken = 4

// ask is what a request asks of an upstream's pool for a target. It holds
// until the next ask.
func (p *Policy) ask(t *Ticket, u *fleet.Upstream, target *fleet.Target) *schedule.Ask {
	r := t.Request
	p.asked = schedule.Ask{
		Session: r.Session, Input: r.Input, Output: min(r.MaxTokens, mostOutput), Blocks: len(r.Blocks),
		Block: prefix.Block / bytesPerToken,
	}
	if r.MaxTokens == 0 {
		p.asked.Output = usualOutput
	}
	p.asked.Slack = p.slack(t, u)
	if len(r.Blocks) == 0 || u.Schedule != fleet.ByPrefix && u.Schedule != fleet.LMetric {
		return &p.asked
	}
	c := p.cachesOf(u)
	for len(p.hits) < len(u.Replicas) {
		p.hits = append(p.hits, 0)
	}
	p.asked.Hits = p.hits[:len(u.Replicas)]
	c.index.Match(p.asked.Hits, seed(target, u, t.Caller), r.Blocks)
	p.asked.Full = c.index.Full()
	return &p.asked
}

// sent notes what a replica's cache will hold from now on.
func (p *Policy) sent(t *Ticket, u *fleet.Upstream, target *fleet.Target, choice schedule.Choice) {
	if choice.New {
		p.picker.Gave(u.Replicas[choice.Place].ID)
		p.others.gave(u, choice.Place)
	}
	if c := p.caches[u.Name]; c != nil && len(t.Request.Blocks) > 0 {
		c.index.Insert(choice.Place, seed(target, u, t.Caller), t.Request.Blocks)
	}
}

// lost forgets what a replica held: nobody answers there, so it will have begun
// anew when somebody does.
func (p *Policy) lost(t *Ticket, id fleet.ReplicaID) {
	p.Restarted(t.fleet.Upstreams[t.Target.Upstream].Name, id)
}

// Prefixes returns how many blocks are known of an upstream's caches, and the bytes
// that this takes.
func (p *Policy) Prefixes(upstream string) (blocks, bytes int) {
	if c := p.caches[upstream]; c != nil {
		return c.index.Size()
	}
	return 0, 0
}
