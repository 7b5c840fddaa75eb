package gateway

import (
	"time"

	"headworks/internal/fault"
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
	h.Region = x.world.Region
	if t.Model != nil {
		h.Model = t.Model.Name
	}
	if t.Target != nil {
		u := &x.world.Fleet.Upstreams[t.Target.Upstream]
		h.Upstream, h.Replica, h.Route, h.Simulated = u.Name, t.Replica.Name, t.Why, u.Simulated
		if u.Region != "" {
			h.Region = u.Region
		}
	}
	if x.stream != nil {
		h.Dropped = x.stream.Dropped()
	}
	h.Overhead = x.overhead(time.Now())
	h.CostKnown = false
	if x.chunk.Last && t.Target != nil {
		h.Cost, h.CostKnown = price.Cost(t.Target.Price, x.counted())
	}
}

// overhead is what Headworks itself took: all but the wait at the gate and the
// wait for upstreams.
func (x *exchange) overhead(now time.Time) time.Duration {
	return max(now.Sub(x.req.Arrived)-x.ticket.Waited-x.upstream, 0)
}

// counted returns the tokens of the answer: the upstream's own count, or an
// estimate of what came.
func (x *exchange) counted() inference.Usage {
	if x.usage.Known || x.text == 0 && !x.chunk.Last {
		return x.usage
	}
	u := x.usage
	if u.Input == 0 {
		u.Input = x.req.Input
	}
	u.Output = max(u.Output, (x.text+bytesPerToken-1)/bytesPerToken)
	return u
}

// fill writes the record of the request, all but its times.
func (x *exchange) fill(f *fault.Error, now time.Time) {
	r, t, req := &x.record, &x.ticket, x.req
	r.Reset()
	r.ID, r.Trace, r.Time = req.ID, req.TraceID, req.Arrived.UnixMicro()
	r.Tenant, r.Project, r.KeyID, r.Key = req.Caller.Tenant, req.Caller.Project, req.Caller.KeyID, req.Caller.Key
	r.Tier = req.Caller.Tier.Name
	r.Class = req.Caller.Tier.Class
	r.Origin = "app"
	r.Cell, r.Generation = x.world.Region, int64(x.world.Fleet.Generation)
	r.Surface, r.Operation, r.Stream = req.Surface, "chat", req.Stream
	r.MaxTokens, r.EstimatedInput, r.ToolsOffered = int64(req.MaxTokens), int64(req.Input), int64(req.Tools)
	r.BytesIn = int64(req.Bytes)
	r.Scan, r.Queue = req.Scanned.Microseconds(), t.Waited.Microseconds()
	r.Admit = "entered"
	if t.Waited > 0 {
		r.Admit = "waited"
	}
	if t.Tries == 0 && f != nil {
		r.Admit = f.Kind.String()
	}
	if t.Model != nil {
		r.AskedModel, r.Model = t.Model.Name, t.Model.Name
	}
	r.Committed = t.Committed
	r.Finish = x.finish
	x.fillTarget()
	x.fillReasons()
	x.fillUsage()
	r.End, r.Status = record.OK, 200
	if f != nil {
		x.fault(f)
	}
}

func (x *exchange) fillTarget() {
	r, t := &x.record, &x.ticket
	if t.Target == nil {
		return
	}
	u := &x.world.Fleet.Upstreams[t.Target.Upstream]
	r.Upstream, r.UpstreamModel, r.Replica = u.Name, t.Target.Model, t.Replica.Name
	r.Region, r.Zone, r.Hardware = u.Region, u.Zone, u.Hardware
	r.Simulated = u.Simulated
	r.RouteReason = t.Why
	if t.Model.Asked {
		r.UpstreamModel = "" // the caller's own text
		r.AskedModel, r.Model = u.Name, u.Name
	}
}

func (x *exchange) fillReasons() {
	r, t := &x.record, &x.ticket
	for i := range t.Candidates[:t.Considered] {
		c := &t.Candidates[i]
		k := record.Candidate{
			Upstream: x.world.Fleet.Upstreams[c.Target.Upstream].Name, Model: c.Target.Model,
			Score: c.Score, WhyNot: c.WhyNot, Won: c.Won,
		}
		if c.Replica != nil {
			k.Replica = c.Replica.Name
		}
		if t.Model.Asked {
			k.Model = ""
		}
		r.Consider(k)
	}
	for i := range t.Attempts[:t.Tries] {
		a := &t.Attempts[i]
		r.Try(record.Attempt{
			Upstream: x.world.Fleet.Upstreams[a.Target.Upstream].Name, Replica: a.Replica.Name,
			Start: a.Start.Sub(x.req.Arrived).Microseconds(), Duration: a.End.Sub(a.Start).Microseconds(),
			Fault: a.Fault, Free: a.Free, Reason: a.Why,
		})
		if i > 0 {
			r.FailoverFrom = t.Attempts[i-1].Replica.Name
		}
	}
}

func (x *exchange) fillUsage() {
	r := &x.record
	u := x.counted()
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
	if cost, known := price.Cost(x.ticket.Target.Price, u); known {
		r.Cost = cost
	}
}

// fault writes down how the answer failed.
func (x *exchange) fault(f *fault.Error) {
	r := &x.record
	r.Fault = f.Kind
	switch {
	case f.Kind == fault.ClientClosed:
		r.End = record.ClientClosed
	case x.ticket.Committed:
		r.End = record.AbnormalEnd
	default:
		r.End = record.Failed
	}
	switch {
	case x.ticket.Committed || x.ticket.Opened:
		r.Status = 200
	case f.Kind == fault.ClientClosed:
		r.Status = -1
	default:
		r.Status = int64(f.HTTPStatus())
	}
}

// times writes down how long everything took.
func (x *exchange) times(now time.Time) {
	r, t := &x.record, &x.ticket
	r.Total = now.Sub(x.req.Arrived).Microseconds()
	r.Overhead = x.overhead(now).Microseconds()
	if !x.first.IsZero() {
		r.TTFT = x.first.Sub(x.req.Arrived).Microseconds()
	}
	if !x.firstIn.IsZero() && t.Tries > 0 {
		r.UpstreamTTFT = x.firstIn.Sub(t.Attempts[t.Tries-1].Start).Microseconds()
		r.GapMax = x.gap.Microseconds()
		if n := r.Output - 1; x.req.Stream && n > 0 {
			r.TPOT = x.progress.Sub(x.firstIn).Microseconds() / n
		}
	}
}
