package gateway

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"headworks/internal/cache"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/scan"
	"headworks/internal/tenant"
)

// maxRenewals is how many answers are made anew at once, beside those that callers wait
// for.
const maxRenewals = 16

// Renewals make answers anew that were given though they were old, so that who asks
// next is given a new one. Callers come first: none is made while one of them waits at
// the gate.
type Renewals struct {
	g    *Gateway
	ctx  context.Context
	stop context.CancelFunc
	runs sync.WaitGroup

	mu   sync.Mutex
	of   map[cache.Key]struct{} // that run
	over bool
}

// Reuse lets g give earlier answers that c keeps. It is called before the first
// request.
func (g *Gateway) Reuse(c *cache.Cache) *Renewals {
	r := &Renewals{g: g, of: map[cache.Key]struct{}{}}
	r.ctx, r.stop = context.WithCancel(context.Background())
	g.answers, g.renewals = c, r
	return r
}

// End ends those that run, and begins no more.
func (r *Renewals) End() {
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.stop()
	r.runs.Wait()
}

// begin makes the answer of an exchange anew, that has ended, unless that is done
// already.
func (r *Renewals) begin(x *exchange) {
	if x.req.Decode == nil || x.req.Form != nil {
		return
	}
	busy := false
	r.g.Policy(func(p *flow.Policy) { busy = p.Gate.Waiting() > 0 })
	key := x.reuse.key
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, runs := r.of[key]; runs || busy || r.over || len(r.of) >= maxRenewals {
		return
	}
	caller := *x.req.Caller
	caller.Tier.Class = max(caller.Tier.Class, tenant.Sheddable)
	req := &Request{
		Request: x.req.Request, Caller: &caller, Wish: x.req.Wish, Surface: x.req.Surface,
		Place: x.ticket.From, PlacedBy: x.ticket.PlacedBy, AnswerID: x.req.AnswerID,
		Ground: x.req.Ground, Anew: x.req.Anew,
		Body: slices.Clone(x.req.Body), Shape: x.req.Shape, Decode: x.req.Decode, Header: slices.Clone(x.req.Header),
	}
	req.Control = x.req.Control.Anew()
	req.Blocks, req.Models = slices.Clone(x.req.Blocks), slices.Clone(x.req.Models)
	r.of[key] = struct{}{}
	r.runs.Go(func() { r.run(key, req) })
}

// run makes one answer. A defect that shows in it ends that one alone.
func (r *Renewals) run(key cache.Key, req *Request) {
	defer func() {
		_ = recover() // the record tells
		r.mu.Lock()
		delete(r.of, key)
		r.mu.Unlock()
	}()
	doc := new(scan.Doc)
	if doc.Scan(req.Body, req.Shape) != nil {
		return // it was read before
	}
	now := time.Now()
	req.ID, req.Arrived = inference.NewID(now, uint16(rand.Uint32()), rand.Uint64()), now
	req.Doc = doc
	req.Conversation = func() (*inference.Conversation, []string, error) { return req.Decode(doc) }
	x := r.g.idle.Get().(*exchange)
	x.begin(r.ctx, r.g, req, nobody{})
	x.renewal = true
	defer x.end()
	x.run()
}
