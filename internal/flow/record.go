package flow

import (
	"cmp"
	"math"
	"strings"
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/record"
)

// Record writes down who asked, what was decided and how it ended: all that a
// record says of a request but its times, its tokens and what the surface knows.
// It arrived when the driver says, and f is the fault it was done with.
func (t *Ticket) Record(r *record.Record, s *fleet.Snapshot, arrived time.Time, f *fault.Error) {
	r.ID, r.Time = t.Request.ID, arrived.UnixMicro()
	r.Tenant, r.Project, r.KeyID, r.Key = t.Caller.Tenant, t.Caller.Project, t.Caller.KeyID, t.Caller.Key
	r.Tier, r.Class = t.Caller.Tier.Name, t.Caller.Tier.Class
	r.FromRegion, r.FromZone, r.PlacedBy = t.From.Region, t.From.Zone, t.PlacedBy
	r.Generation = int64(s.Generation)
	r.Stream, r.MaxTokens, r.ToolsOffered = t.Request.Stream, int64(t.Request.MaxTokens), int64(t.Request.Tools)
	r.EstimatedInput, r.BytesIn = int64(t.Request.Input), int64(t.Request.Bytes)
	r.Queue = t.Waited.Microseconds()
	r.Committed, r.GaveUp = t.Committed, t.Left
	t.recordReuse(r, f)
	if t.Predicted > 0 {
		r.Predicted = t.Predicted.Microseconds()
	}
	switch {
	case t.Tries == 0 && f != nil:
		r.Admit = f.Kind.String()
	case t.Waited > 0:
		r.Admit = "waited"
	default:
		r.Admit = "entered"
	}
	if t.Model != nil {
		r.AskedModel, r.Model = t.Model.Name, t.Model.Name
	}
	t.recordTarget(r, s)
	t.recordReasons(r, s, arrived)
	t.recordChoice(r)
	t.Outcome(r, f)
}

// recordReuse writes down what became of earlier answers.
func (t *Ticket) recordReuse(r *record.Record, f *fault.Error) {
	if r.Cache = t.Reuse.String(); t.Reuse == Bypass {
		r.CacheWhy = t.Plan.WhyNot
	}
	if f != nil {
		return
	}
	switch t.Reuse {
	case Hit:
		r.CacheTier, r.CacheAge = ExactTier, t.Found.Age.Microseconds()
		if t.Found.Similarity > 0 {
			r.CacheTier, r.CacheSimilarity = SemanticTier, int64(math.Round(1000*t.Found.Similarity))
		}
	case JoinedFlight:
		r.CacheTier = ExactTier
	case Bypass, Miss:
	}
}

// ExactTier is what answers to the same request are found by.
const ExactTier = "exact"

// SemanticTier is what answers to other questions are found by.
const SemanticTier = "semantic"

func (t *Ticket) recordTarget(r *record.Record, s *fleet.Snapshot) {
	if t.Target == nil {
		return
	}
	u := &s.Upstreams[t.Target.Upstream]
	r.Upstream, r.UpstreamModel, r.Replica = u.Name, t.Target.Model, t.Replica.Name
	r.Region, r.Zone, r.Hardware, r.Simulated = u.Region, u.Zone, u.Hardware, u.Simulated
	if at := t.Replica.Place; at.Region != "" {
		r.Region, r.Zone = at.Region, at.Zone
	}
	r.Locality = t.Locality
	r.RouteReason, r.Arm = t.Why, t.Target.Name
	if t.Target.Of != "" {
		r.Model = t.Target.Of
	}
	if t.Model.Asked { // the names are the caller's own text
		r.UpstreamModel, r.AskedModel, r.Model = "", u.Name, u.Name
	}
}

func (t *Ticket) recordReasons(r *record.Record, s *fleet.Snapshot, arrived time.Time) {
	for i := range t.Candidates[:t.Considered] {
		c := &t.Candidates[i]
		k := record.Candidate{
			Upstream: s.Upstreams[c.Target.Upstream].Name, Model: c.Target.Model,
			Score: c.Score, WhyNot: c.WhyNot, Won: c.Won, Hit: int64(c.Hit),
		}
		if c.Replica != nil {
			k.Replica = c.Replica.Name
		}
		if t.Order.Judged {
			s := &t.Order.Scores[t.placeOf(c.Target)]
			k.Judged, k.Worth, k.Parts = true, s.Total, s.Parts
		}
		if t.Model.Asked {
			k.Model = ""
		}
		r.Consider(k)
	}
	for i := range t.Attempts[:t.Tries] {
		a := &t.Attempts[i]
		r.Try(record.Attempt{
			Upstream: s.Upstreams[a.Replica.Upstream].Name, Replica: a.Replica.Name,
			Start: a.Start.Sub(arrived).Microseconds(), Duration: a.End.Sub(a.Start).Microseconds(),
			Fault: a.Fault, Free: a.Free, Reason: a.Why, Doubt: a.Doubt,
		})
		if i > 0 && t.Attempts[i-1].Doubt == "" && t.Attempts[i-1].Fault != fault.None {
			r.FailoverFrom = t.Attempts[i-1].Replica.Name
		}
	}
}

// placeOf returns where a target stands in the model's list.
func (t *Ticket) placeOf(target *fleet.Target) int {
	for i := range t.Model.Targets {
		if &t.Model.Targets[i] == target {
			return i
		}
	}
	return 0
}

// recordChoice writes down what the choice of the target went by.
func (t *Ticket) recordChoice(r *record.Record) {
	if c := &t.Class; c.Replica != nil || c.WhyNot != "" {
		r.Classified, r.Unclassified, r.ClassifierCost = c.Label, c.WhyNot, c.Cost
		if c.Replica != nil {
			r.ClassifierTime = c.Took.Microseconds()
		}
	}
	if g := t.Ground; g != nil && !g.Unknown { // a name that no collection has is the caller's own text
		r.Collections, r.Retrieval, r.Ungrounded = strings.Join(g.Collections, ","), g.Took.Microseconds(), cmp.Or(g.WhyNot, g.Degraded)
		r.Passages, r.PassageTokens = int64(g.Passages), int64(g.Tokens)
		if g.Passages > 0 {
			r.TopScore = int64(math.Round(1000 * g.Top))
		}
		if g.Replica != nil {
			r.RewriterCost = g.Cost
		}
	}
	if t.JudgeTime > 0 {
		r.JudgeTime, r.JudgeCost = t.JudgeTime.Microseconds(), t.JudgeCost
	}
	if t.Aim.TTFT > 0 {
		r.ObjectiveTTFT = t.Aim.TTFT.Microseconds()
	}
	if t.Aim.TPOT > 0 {
		r.ObjectiveTPOT = t.Aim.TPOT.Microseconds()
	}
	if o := &t.Order; o.Judged {
		r.Complexity, r.Prefer = int64(math.Round(1000*float64(o.Complexity.Total))), o.Prefer.String()
		for i, v := range o.Complexity.Parts {
			r.Signals[i] = int16(math.Round(1000 * float64(v)))
		}
	}
}

// Outcome writes down how the request ended: whole, or with a fault.
func (t *Ticket) Outcome(r *record.Record, f *fault.Error) {
	if f == nil {
		r.End, r.Status, r.Fault, r.Committed = record.OK, 200, fault.None, true
		return
	}
	r.Fault, r.Committed = f.Kind, t.Committed
	switch {
	case f.Kind == fault.ClientClosed:
		r.End = record.ClientClosed
	case t.Committed:
		r.End = record.AbnormalEnd
	default:
		r.End = record.Failed
	}
	switch {
	case t.Committed || t.Opened:
		r.Status = 200
	case f.Kind == fault.ClientClosed:
		r.Status = -1
	default:
		r.Status = int64(f.HTTPStatus())
	}
}
