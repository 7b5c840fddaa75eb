package gateway

import (
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/price"
	"headworks/internal/record"
)

// bytesPerToken turns bytes of answer into tokens where the upstream did not
// count.
const bytesPerToken = 4

// fillHead fills what may be said of the answer so far.
func (x *exchange) fillHead() {
	t := &x.ticket
	h := &x.head
	h.ID, h.Config, h.Attempts = x.req.ID, x.world.Config, t.Tries
	if v := x.vectors; v != nil && v.known == len(v.texts) {
		h.Attempts-- // the last was none: nothing was sent
	}
	h.Region = x.world.Region
	if t.Model != nil {
		h.Model = t.Model.Name
		if t.Target != nil && t.Target.Of != "" {
			h.Model = t.Target.Of
		}
	}
	if t.Target != nil {
		u := &x.world.Fleet.Upstreams[t.Target.Upstream]
		h.Upstream, h.Replica, h.Route, h.Simulated = u.Name, t.Replica.Name, t.Why, u.Simulated
		h.Lexical, h.Arm = u.Lexical, t.Target.Name
		if u.Region != "" {
			h.Region = u.Region
		}
		if at := t.Replica.Place.Region; at != "" {
			h.Region = at
		}
	}
	h.Cache = x.cached()
	about, shared := x.about()
	if shared {
		h.Model, h.Upstream, h.Region, h.Simulated, h.Lexical, h.Dropped = about.Model, about.Upstream, about.Region, about.Simulated, about.Lexical, about.Dropped
		h.Arm, h.Replica, h.Attempts, h.Route = "", "", t.Tries, ExactCache
		if t.Reuse == flow.Hit && t.Found.Similarity > 0 {
			h.Route = SimilarCache
		}
	}
	if x.stream != nil && t.Model.Loss == fleet.Told {
		h.Dropped = x.stream.Dropped()
	}
	switch {
	case t.Stale:
		h.Degraded = "stale"
	case x.chunk.Estimated:
		h.Degraded = "estimated"
	case x.doubtful():
		h.Degraded = "unverified"
	case t.Ground != nil:
		h.Degraded = t.Ground.Degraded
	case shared:
		h.Degraded = about.Degraded
	}
	switch {
	case shared:
		h.Ground = about.Ground
	case x.grounded():
		h.Ground = x.ground
	}
	h.Overhead = x.overhead(time.Now())
	h.Cost, h.CostKnown = 0, x.given()
	if x.chunk.Last && t.Target != nil && !x.given() {
		if u := x.counted(); u.Known || x.req.Dialect.Operation().Counted() {
			h.Cost, h.CostKnown = x.led(price.Cost(t.Target.Price, u))
		}
	}
}

// overhead is what Headworks itself took: all but the wait for the caller's body,
// at the gate, for upstreams, and for a client to take what is written.
func (x *exchange) overhead(now time.Time) time.Duration {
	return max(now.Sub(x.req.Arrived)-x.req.Uploaded-x.ticket.Waited-x.upstream-x.writing, 0)
}

// counted returns the tokens of the answer: the upstream's own count, or an
// estimate of what came. An answer that was cut may have told its count too early,
// as Anthropic's do before the first word: the estimate then says more.
func (x *exchange) counted() inference.Usage {
	if x.req.Dialect.Operation() == inference.Count {
		return inference.Usage{} // no model has read it
	}
	u, whole := x.usage, x.chunk.Last
	if !x.req.Dialect.Operation().Counted() {
		return u // only the upstream knows
	}
	estimate := (x.text + bytesPerToken - 1) / bytesPerToken
	if u.Known && (whole || estimate <= u.Output) || x.text == 0 && !whole {
		return u
	}
	if u.Input == 0 {
		u.Input = x.req.Input
	}
	u.Output, u.Known = max(u.Output, estimate), false
	return u
}

// fill writes the record of the request, all but its times.
func (x *exchange) fill(f *fault.Error) {
	x.record = x.g.blank.Get().(*record.Record)
	r, req := x.record, x.req
	r.Reset()
	x.ticket.Record(r, x.world.Fleet, req.Arrived, f)
	r.Trace, r.Origin, r.Cell = req.TraceID, "app", x.world.Region
	if x.renewal {
		r.Origin = record.Renewal
	}
	if x.copy != nil {
		r.Origin, r.ShadowOf = record.Shadow, x.copy.of.String()
		r.Tenant, r.Project, r.KeyID, r.Key, r.Tier = "", "", "", "", ""
	}
	r.Surface, r.Operation = req.Surface, req.Dialect.Operation().String()
	r.Scan = req.Scanned.Microseconds()
	r.Finish = x.finish
	x.fillReuse(f)
	var u inference.Usage // whoever got nothing of an answer pays nothing for it
	if (f == nil || x.committed) && !x.given() {
		if u = x.counted(); !u.Known && !req.Dialect.Operation().Counted() {
			return // what it took and what it costs is not known, which is not nothing
		}
	}
	x.fillUsage(u)
}

func (x *exchange) fillUsage(u inference.Usage) {
	r := x.record
	r.Input, r.Output = int64(u.Input), int64(u.Output)
	r.CacheRead, r.CacheWrite, r.Reasoning = int64(u.CacheRead), int64(u.CacheWrite), int64(u.Reasoning)
	switch {
	case u.Known:
		r.UsageSource = record.Provider
	case u.Input > 0 || u.Output > 0:
		r.UsageSource = record.Estimated
	}
	if x.ticket.Target == nil {
		return
	}
	if u.Known && u.Input > 0 && x.copy == nil && x.req.Dialect.Operation() == inference.Chat {
		x.g.prompts.count(x.ticket.Target.Price, u)
	}
	cost, known := price.Cost(x.ticket.Target.Price, u)
	x.fillTolls(u, cost, known)
	if u.Input > 0 || u.Output > 0 {
		cost, known = x.led(cost, known)
	}
	if known {
		r.Cost = cost
	}
}

// times writes down how long everything took.
func (x *exchange) times(now time.Time) {
	r, t := x.record, &x.ticket
	r.Total = now.Sub(x.req.Arrived).Microseconds()
	r.Overhead = x.overhead(now).Microseconds()
	if x.req.Dialect.Operation() != inference.Chat {
		return // what comes is no tokens
	}
	if !x.first.IsZero() {
		r.TTFT = x.first.Sub(x.req.Arrived).Microseconds()
	}
	if !x.firstIn.IsZero() && t.Tries > 0 {
		r.UpstreamTTFT = x.firstIn.Sub(t.Attempts[t.Given()].Start).Microseconds()
		r.GapMax = x.gap.Microseconds()
		if n := r.Output - 1; x.req.Stream && n > 0 {
			r.TPOT = x.said.Sub(x.firstIn).Microseconds() / n
		}
	}
}

// ExactCache is how the route of an earlier answer to the same request is called.
const ExactCache = "exact cache"

// SimilarCache is how that of an answer to another question is called.
const SimilarCache = "semantic cache"

// cached returns what is said of earlier answers.
func (x *exchange) cached() Cached {
	t := &x.ticket
	c := Cached{State: t.Reuse, WhyNot: t.Plan.WhyNot, Stored: x.head.Cache.Stored}
	if v := x.vectors; v != nil && !x.given() {
		c.Known, c.Of, c.Saved, c.Stored = v.known, len(v.texts), v.tokens, c.Stored || v.stored
	}
	switch t.Reuse {
	case flow.Hit:
		c.Age, c.Left, c.Similarity = t.Found.Age, t.Found.Left, t.Found.Similarity
	case flow.Miss:
		c.Stale = x.reuse != nil && x.reuse.rec != nil
	case flow.JoinedFlight:
	case flow.Bypass:
		c.Refused = t.Plan.Write
	}
	return c
}

// fillReuse writes down what an earlier answer saved.
func (x *exchange) fillReuse(f *fault.Error) {
	t, r := &x.ticket, x.record
	if v := x.vectors; v != nil && !x.given() && f == nil {
		switch r.CacheTier, r.CacheWhy = EmbeddingTier, ""; v.known {
		case 0:
			r.Cache, r.CacheTier = flow.Miss.String(), ""
		case len(v.texts):
			r.Cache = flow.Hit.String()
		default:
			r.Cache = "partial"
		}
		r.SavedTokens, r.SavedCost = int64(v.tokens), v.cost
		return
	}
	if !x.given() || f != nil {
		return
	}
	re := x.reuse
	about, _ := x.about()
	r.Cost, r.Simulated = 0, about.Simulated
	if t.Reuse == flow.Hit {
		r.SavedTokens, r.SavedCost = int64(re.entry.Tokens), re.entry.Cost
		r.Finish = re.rec.Finish
		return
	}
	re.flight.mu.Lock()
	defer re.flight.mu.Unlock()
	r.Finish = re.flight.log.finish
	u := &re.flight.log.usage
	if r.SavedTokens = int64(u.Input + u.Output); re.flight.whole != nil {
		r.SavedCost = max(re.flight.whole.Cost, 0)
	}
}
