package record

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"headworks/internal/inference"
	"headworks/internal/place"
)

// AppendJSON appends r as one JSON object with every column, in the table's order
// and under its names; what was not measured is null. Candidates and attempts are
// counts here, see Explain for what stands behind them.
func (r *Record) AppendJSON(b []byte) []byte {
	b = append(b, '{')
	for i := range table {
		c := &table[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), c.Name...), '"', ':')
		switch c.Kind {
		case Int:
			if v := c.Int(r); v == -1 {
				b = append(b, "null"...)
			} else {
				b = strconv.AppendInt(b, v, 10)
			}
		case Flag:
			b = strconv.AppendBool(b, c.Flag(r))
		case ID:
			b = append(b, '"')
			if id := c.ID(r); c.number == 1 {
				b = inference.ID(id).Append(b)
			} else if id != [16]byte{} {
				b = hex.AppendEncode(b, id[:])
			}
			b = append(b, '"')
		case Text:
			b = appendQuoted(b, c.Text(r))
		}
	}
	return append(b, '}')
}

// MarshalJSON returns what AppendJSON appends.
func (r *Record) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil), nil }

// appendQuoted appends s as a JSON string (RFC 8259 section 7); a byte that is
// not UTF-8 becomes U+FFFD.
func appendQuoted(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n
			continue
		}
		i++
	}
	return append(b, '"')
}

// Explanation says why a request went where it went, for people and for
// headworks explain --json. Times are microseconds after arrival.
type Explanation struct {
	RequestID    string       `json:"request_id"`
	Model        string       `json:"model"`
	Chosen       *Place       `json:"chosen"` // null: it went nowhere
	RouteReason  string       `json:"route_reason"`
	Arm          string       `json:"arm,omitempty"`       // the target's name, where it has one
	ShadowOf     string       `json:"shadow_of,omitempty"` // the request that it is a copy of
	From         string       `json:"from,omitempty"`      // region or region/zone of the caller
	PlacedBy     string       `json:"placed_by,omitempty"` // how that is known
	At           string       `json:"at,omitempty"`        // region or region/zone of the replica
	Locality     string       `json:"locality,omitempty"`  // why there
	Judged       *Judged      `json:"judged,omitempty"`    // where the best target was chosen
	Classifier   *Classifier  `json:"classifier,omitempty"`
	Knowledge    *Grounding   `json:"knowledge,omitempty"` // where the answer was to rest on documents
	Objective    *Objective   `json:"objective,omitempty"` // how soon the answer should come
	Cache        *Earlier     `json:"cache,omitempty"`     // what became of earlier answers
	Candidates   []Considered `json:"candidates"`
	Considered   int64        `json:"considered"` // of whom the best are listed
	Attempts     []Tried      `json:"attempts"`
	Tried        int64        `json:"tried"`
	FailoverFrom string       `json:"failover_from,omitempty"`
	GaveUp       string       `json:"gave_up,omitempty"` // why no other attempt was made, or an answer given that did not pass
	Admit        string       `json:"admit"`
	End          string       `json:"end"`
	Fault        string       `json:"fault"`
	Owner        string       `json:"owner"`
	Status       int64        `json:"status"`
	Finish       string       `json:"finish"`
	Committed    bool         `json:"committed"`
	Simulated    bool         `json:"simulated"`
	Generation   int64        `json:"generation"`
	Time         int64        `json:"ts"` // microseconds since 1970
	Queue        int64        `json:"queue_us"`
	TTFT         int64        `json:"ttft_us"`
	UpstreamTTFT int64        `json:"upstream_ttft_us"`
	Predicted    int64        `json:"predicted_ttft_us"` // UpstreamTTFT, as it was foreseen; -1 where it was not
	Total        int64        `json:"total_us"`
	Overhead     int64        `json:"overhead_us"`
	Input        int64        `json:"input_tokens"`
	Output       int64        `json:"output_tokens"`
	UsageSource  string       `json:"usage_source"`
	Cost         int64        `json:"cost_micro_usd"`
}

// Earlier is what became of earlier answers to the same request.
type Earlier struct {
	State       string `json:"state"`             // bypass, miss, hit, joined
	Tier        string `json:"tier,omitempty"`    // what it was found by
	WhyNot      string `json:"why_not,omitempty"` // nobody looked
	Age         int64  `json:"age_us,omitempty"`  // of a hit
	SavedTokens int64  `json:"saved_tokens,omitempty"`
	SavedCost   int64  `json:"saved_micro_usd,omitempty"`
}

// Given reports whether the answer is one that was made for another request.
func (e *Earlier) Given() bool { return e != nil && given(e.State) }

// Given reports whether the answer is one that was made for another request.
func (r *Record) Given() bool { return given(r.Cache) }

func given(state string) bool { return state == "hit" || state == "joined" }

// Judged is what a request looked like to whoever chose the best target for it.
type Judged struct {
	Complexity float64            `json:"complexity"` // 0 to 1
	Signals    map[string]float64 `json:"contributions"`
	Prefer     string             `json:"prefer,omitempty"`
}

// Objective is how soon an answer should come; 0 is no objective.
type Objective struct {
	TTFT int64 `json:"ttft_us"`
	TPOT int64 `json:"tpot_us"`
}

// Place is where a request went.
type Place struct {
	Upstream string `json:"upstream"`
	Replica  string `json:"replica"`
	Model    string `json:"model"`
}

// Considered is a Candidate as people see it.
type Considered struct {
	Upstream string  `json:"upstream"`
	Replica  string  `json:"replica"`
	Model    string  `json:"model"`
	Score    float64 `json:"score"`
	Hit      int64   `json:"hit_tokens"` // of the prompt, in its cache
	WhyNot   string  `json:"why_not"`    // empty for the winner

	Worth         *float64           `json:"worth,omitempty"` // of the target, where the best was chosen: 0 is best, less is worse
	Contributions map[string]float64 `json:"contributions,omitempty"`
}

// Classifier is what the model's classifier said of a request, or why it did not.
type Classifier struct {
	Label  string `json:"label,omitempty"`
	WhyNot string `json:"why_not,omitempty"`
	Time   int64  `json:"took_us"`
	Cost   *int64 `json:"cost_micro_usd,omitempty"`
}

// Grounding is what an answer rests on, and what it made of it.
type Grounding struct {
	Collections []string `json:"collections"`
	Passages    int64    `json:"passages"` // that the model was told
	Tokens      int64    `json:"passage_tokens"`
	TopScore    *float64 `json:"top_score,omitempty"`
	Time        int64    `json:"took_us"`
	WhyNot      string   `json:"why_not,omitempty"` // nothing could be searched, or not as it should be
	Citations   *int64   `json:"citations,omitempty"`
	Cited       *float64 `json:"cited,omitempty"`   // share of the answer's sentences
	Support     *float64 `json:"support,omitempty"` // of the answer by the passages, 0 to 1
	Cost        *int64   `json:"rewriter_cost_micro_usd,omitempty"`
}

// grounding returns what r says of documents; nil where it says nothing.
func (r *Record) grounding() *Grounding {
	if r.Collections == "" {
		return nil
	}
	g := &Grounding{
		Collections: strings.Split(r.Collections, ","), Passages: max(r.Passages, 0), Tokens: max(r.PassageTokens, 0),
		Time: max(r.Retrieval, 0), WhyNot: r.Ungrounded,
	}
	share := func(v int64) *float64 {
		if v < 0 {
			return nil
		}
		return new(float64(v) / 1000)
	}
	g.TopScore, g.Cited, g.Support = share(r.TopScore), share(r.Cited), share(r.Support)
	if r.Citations >= 0 {
		g.Citations = &r.Citations
	}
	if r.RewriterCost >= 0 {
		g.Cost = &r.RewriterCost
	}
	return g
}

// Tried is an Attempt as people see it.
type Tried struct {
	Upstream string `json:"upstream"`
	Replica  string `json:"replica"`
	Start    int64  `json:"start_us"`
	Duration int64  `json:"duration_us"`
	Fault    string `json:"fault"`
	Free     bool   `json:"free"`
	Reason   string `json:"reason"`

	Doubt  string `json:"doubt,omitempty"` // why a cascade went on from its answer, or did not look at it
	Input  int64  `json:"input_tokens,omitempty"`
	Output int64  `json:"output_tokens,omitempty"`
	Cost   *int64 `json:"cost_micro_usd,omitempty"`
}

// finite returns the nearest number that JSON can hold; NaN is 0.
func finite(v float64) float64 {
	if v != v {
		return 0
	}
	return max(-math.MaxFloat64, min(v, math.MaxFloat64))
}

// located names a place.
func located(region, zone string) string { return place.Place{Region: region, Zone: zone}.String() }

// explain returns c as people see it.
func (c *Candidate) explain() Considered {
	k := Considered{Upstream: c.Upstream, Replica: c.Replica, Model: c.Model, Score: finite(c.Score), Hit: c.Hit, WhyNot: c.WhyNot}
	if c.Judged {
		round := func(v float32) float64 { return math.Round(finite(float64(v))*1000) / 1000 }
		k.Worth, k.Contributions = new(round(c.Worth)), map[string]float64{}
		for t, v := range c.Parts {
			if v != 0 {
				k.Contributions[inference.Term(t).String()] = round(v)
			}
		}
	}
	return k
}

// Explain returns r's reasons.
func (r *Record) Explain() Explanation {
	e := Explanation{
		RequestID: r.ID.String(), Model: r.Model, RouteReason: r.RouteReason, Arm: r.Arm, ShadowOf: r.ShadowOf,
		From: located(r.FromRegion, r.FromZone), PlacedBy: r.PlacedBy, At: located(r.Region, r.Zone), Locality: r.Locality,
		Candidates: []Considered{}, Considered: r.Considered,
		Attempts: []Tried{}, Tried: r.Tried,
		FailoverFrom: r.FailoverFrom, GaveUp: r.GaveUp, Admit: r.Admit,
		End: r.End.String(), Fault: r.Fault.String(), Owner: r.Fault.Info().Owner.String(),
		Status: r.Status, Finish: r.Finish.String(), Committed: r.Committed,
		Simulated: r.Simulated, Generation: r.Generation, Time: r.Time,
		Queue: r.Queue, TTFT: r.TTFT, UpstreamTTFT: r.UpstreamTTFT, Predicted: r.Predicted, Total: r.Total, Overhead: r.Overhead,
		Input: r.Input, Output: r.Output, UsageSource: r.UsageSource.String(), Cost: r.Cost,
	}
	if r.Complexity >= 0 {
		e.Judged = &Judged{Complexity: float64(r.Complexity) / 1000, Signals: map[string]float64{}, Prefer: r.Prefer}
		for i, v := range r.Signals {
			if v != 0 {
				e.Judged.Signals[inference.Signal(i).String()] = float64(v) / 1000
			}
		}
	}
	if r.Cache != "" {
		e.Cache = &Earlier{
			State: r.Cache, Tier: r.CacheTier, WhyNot: r.CacheWhy, Age: max(r.CacheAge, 0),
			SavedTokens: max(r.SavedTokens, 0), SavedCost: max(r.SavedCost, 0),
		}
	}
	if r.Classified != "" || r.Unclassified != "" {
		e.Classifier = &Classifier{Label: r.Classified, WhyNot: r.Unclassified, Time: max(r.ClassifierTime, 0)}
		if r.ClassifierCost >= 0 {
			e.Classifier.Cost = &r.ClassifierCost
		}
	}
	e.Knowledge = r.grounding()
	if r.ObjectiveTTFT > 0 || r.ObjectiveTPOT > 0 {
		e.Objective = &Objective{max(r.ObjectiveTTFT, 0), max(r.ObjectiveTPOT, 0)}
	}
	for _, c := range r.Kept() {
		e.Candidates = append(e.Candidates, c.explain())
	}
	if w, ok := r.Winner(); ok {
		e.Chosen = &Place{w.Upstream, w.Replica, w.Model}
	}
	for _, a := range r.Tries() {
		t := Tried{
			Upstream: a.Upstream, Replica: a.Replica, Start: a.Start, Duration: a.Duration, Fault: a.Fault.String(), Free: a.Free, Reason: a.Reason,
			Doubt: a.Doubt, Input: a.Input, Output: a.Output,
		}
		if (a.Input > 0 || a.Output > 0) && a.Cost >= 0 {
			t.Cost = &a.Cost
		}
		e.Attempts = append(e.Attempts, t)
	}
	return e
}
