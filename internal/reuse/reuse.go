// Package reuse decides whether an earlier answer may stand in for one that a model
// would have to make, for whom, for how long, and how it is written down until then.
//
// An answer stands in for another where the requests are the same in all that can
// change it: what Circumstances says of the caller and of the model, and the
// canonical body. Ages and lives are times, sizes bytes.
package reuse

import (
	"encoding/binary"
	"math"
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
	"headworks/internal/tenant"
)

// Why no earlier answer is looked for.
const (
	Off       = "the model keeps no answers"
	Drawn     = "another answer may come out: temperature is not 0, and nothing else says that the same will do"
	Refused   = "the caller wants no-store"
	Several   = "several answers at once are asked for"
	NoText    = "only chats, embeddings and rankings are kept"
	Nobody    = "there is nobody for whom it could be kept"
	Forwarded = "the cell that the request came from keeps its answers"
	TooLong   = "the request is too long"
)

// MaxBody bounds a request whose answer is kept, in bytes.
const MaxBody = 1 << 20

// Plan is what may be done with earlier answers for one request.
type Plan struct {
	Read   bool   // an earlier one may be given
	Join   bool   // one that is under way may be shared
	Write  bool   // this one may be kept
	Alike  bool   // one to another question that asks for the same may be looked for
	WhyNot string // nothing of these
}

// Any reports whether anything may be done.
func (p *Plan) Any() bool { return p.Write }

// Decide returns what may be done for a request. rules may be nil: the model keeps
// nothing.
func Decide(rules *fleet.Reuse, r *inference.Request, c *Control) Plan {
	switch {
	case rules == nil || rules.Exact == fleet.ExactOff:
		return Plan{WhyNot: Off}
	case rules.Exact == fleet.ExactAuto && !r.Cold && !rules.Repeats && !c.said(maxAge) && (rules.Semantic == fleet.SemanticOff || r.Dialect.Operation() != inference.Chat):
		return Plan{WhyNot: Drawn}
	case c.NoStore():
		return Plan{WhyNot: Refused}
	case r.Apart != 0:
		return Plan{WhyNot: r.Apart.Why()}
	}
	switch r.Dialect.Operation() {
	case inference.Chat:
		if r.N > 1 || r.Prompts > 1 {
			return Plan{WhyNot: Several}
		}
	case inference.Embed, inference.Rank:
	default:
		return Plan{WhyNot: NoText}
	}
	if r.Opaque {
		return Plan{WhyNot: NoText}
	}
	if r.Bytes > MaxBody {
		return Plan{WhyNot: TooLong}
	}
	p := Plan{Read: !c.NoCache(), Write: true}
	if rules.Semantic != fleet.SemanticOff && r.Dialect.Operation() == inference.Chat {
		// Whoever lets answers to other questions stand in lets those to the same one;
		// whoever only has them compared has said nothing of these.
		again := rules.Exact == fleet.ExactOn || r.Cold || rules.Repeats || c.said(maxAge)
		p.Alike = p.Read && r.Tools == 0
		p.Read = p.Read && (again || rules.Semantic == fleet.SemanticOn)
		if !p.Alike && !again && rules.Semantic == fleet.SemanticShadow {
			return Plan{WhyNot: Drawn}
		}
	}
	p.Join = p.Read && !c.OnlyIfCached()
	return p
}

// Found is an earlier answer as decisions see it.
type Found struct {
	Age  time.Duration
	Left time.Duration // for which it is fresh still; below 0: for which it has not been
	Took time.Duration // that it took to be made

	Similarity float64 // of the question that it answered; 0: it is the same
}

// Use is what becomes of an earlier answer.
type Use struct {
	Give  bool // it stands in
	Renew bool // a new one is to be made beside it
	Spare bool // it stands in where no new one can be had
}

// Judge returns what becomes of an earlier answer. u is drawn from (0,1]: of the
// callers that come shortly before the end of a life a few renew it, the more the
// closer it is and the longer it takes, so that they do not all miss it at once
// (XFetch: Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede
// Prevention", VLDB 2015).
func Judge(rules *fleet.Reuse, f Found, c *Control, u float64) Use {
	late := -f.Left
	spare := late <= rules.IfError || c.said(staleIfError) && late <= c.seconds(c.StaleIfError)
	switch {
	case c.NoCache():
		return Use{}
	case c.said(maxAge) && f.Age > c.seconds(c.MaxAge), c.said(minFresh) && f.Left < c.seconds(c.MinFresh):
		return Use{Spare: spare}
	case f.Left > 0:
		return Use{Give: true, Renew: early(f, u)}
	case c.anyStale() || c.said(maxStale) && late <= c.seconds(c.MaxStale):
		return Use{Give: true, Renew: true}
	case late <= rules.Revalidate:
		return Use{Give: true, Renew: true}
	}
	return Use{Spare: spare}
}

// early reports whether an answer that is fresh is renewed.
func early(f Found, u float64) bool {
	const never = 40 // -ln of less than any u that is drawn
	return f.Took > 0 && f.Left < never*f.Took && float64(f.Took)*-math.Log(u) >= float64(f.Left)
}

// Life returns for how long an answer is fresh: up to a tenth more or less than its
// model says, by its key, so that what was kept together does not end together.
func Life(ttl time.Duration, key [32]byte) time.Duration {
	share := float64(binary.BigEndian.Uint32(key[28:])) / (1 << 32)
	return time.Duration(float64(ttl) * (0.9 + 0.2*share))
}

// Spares reports whether an earlier answer is better than a fault: of a lack of room, or
// of the network.
func Spares(k fault.Kind) bool {
	switch k {
	case fault.Connect, fault.TLS, fault.Interrupted, fault.FirstTokenTimeout, fault.NoProgress,
		fault.UpstreamError, fault.UpstreamTransient, fault.UpstreamCapacity,
		fault.NoReplica, fault.Overloaded, fault.TooLate:
		return true
	default:
		return false
	}
}

// Keeps reports whether a whole answer with that end is worth keeping: one that the
// model ended itself.
func Keeps(f inference.Finish) bool {
	return f == inference.Stop || f == inference.ToolCalls || f == inference.StopSequence
}

// Common reports whether a fault of one request is one of all that share its answer.
// What a caller meets at the gate, or does, says nothing of the others.
func Common(k fault.Kind) bool {
	switch k {
	case fault.Concurrency, fault.Overloaded, fault.ClientClosed, fault.Quota, fault.RateLimited, fault.Draining:
		return false
	default:
		return true
	}
}

// Circumstances appends, beside the body, all that an answer depends on: in which
// dialect and, where it matters, in which form it is asked for, what the caller may be
// given, and what is configured of the model. Each part stands behind its length. form
// tells that stream and whole do not stand in for each other.
func Circumstances(dst []byte, r *inference.Request, c *tenant.Caller, w *tenant.Wish, m *fleet.Model, form bool, header []string) []byte {
	text := func(s string) {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	list := func(all []string) {
		dst = binary.AppendUvarint(dst, uint64(len(all)))
		for _, s := range all {
			text(s)
		}
	}
	flag := func(on bool) {
		if on {
			dst = append(dst, 1)
		} else {
			dst = append(dst, 0)
		}
	}
	text(r.Dialect.String())
	flag(form && r.Stream)
	text(m.Name)
	text(m.Reuse.Mark)
	// What this caller could be given: a free caller's small model answers nobody else.
	text(c.Tier.Name)
	list(c.Models)
	flag(c.Residency.Bound)
	list(c.Residency.Regions)
	dst = append(dst, byte(w.Prefer))
	dst = binary.AppendVarint(dst, int64(w.Objective.TTFT))
	dst = binary.AppendVarint(dst, int64(w.Objective.TPOT))
	list(r.Models)
	list(header)
	return dst
}

// Leave reports whether a member of a request's body changes nothing of the answer, so
// that requests that differ in it alone are the same; see scan.Value.AppendCanonical.
// All that is not known is thought to change it.
func Leave(depth int, m scan.Value) bool {
	if depth > 0 {
		return string(m.Key()) == "cache_control" // marks of a prefix that is worth keeping, nested too
	}
	if !m.Given() {
		return true // null is as good as absent
	}
	switch string(m.Key()) {
	case "model", "models": // Circumstances has them
	case "stream", "stream_options": // how it is written
	case "user", "safety_identifier", "metadata", "service_tier": // who asks, which the credential tells
	case "store": // whoever has it kept is not eligible
	case "timeout", "request_id", "client_request_id", "session_id", "keep_alive":
	case "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "prompt_cache_breakpoint", "cache_control", "cache_salt", "cache_prompt", "id_slot":
	default:
		return false
	}
	return true
}
