// Package record says what is kept of a request: one wide row and its reasons.
//
// Times are microseconds, moments microseconds since 1970 UTC, money micro-USD;
// -1 is not measured. Text holds names out of the configuration and words of
// this program, never content and never a secret, so that copying a Record
// copies no bytes a caller sent. A Record is filled in place, without
// allocation, and is the same live and simulated.
//
// The table in columns.go is the one place where a column is written: JSON, the
// binary form and whatever stores columns read it.
package record

import (
	"slices"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/tenant"
)

// Shadow is the Origin of a copy of a request: nobody asked for it, nobody got its
// answer, and nobody pays for it.
const Shadow = "shadow"

// Renewal is the Origin of a request for a new answer in the place of an old one, which
// was given to whoever asked.
const Renewal = "renewal"

// End is how a request ended, as callers, ledgers and objectives count it.
type End uint8

// The ends.
const (
	Open         End = iota // not yet
	OK                      // the answer is whole
	Failed                  // refused or failed, and the caller was told so in form
	AbnormalEnd             // an answer that was cut after content was sent
	ClientClosed            // the caller left
)

func (e End) String() string {
	return [...]string{"", "ok", "error", "abnormal_end", "client_closed"}[e]
}

// UsageSource is where the token counts come from.
type UsageSource uint8

// The sources of token counts.
const (
	NoUsage   UsageSource = iota // nothing was counted
	Provider                     // the upstream said so
	Estimated                    // our own count
)

func (s UsageSource) String() string {
	return [...]string{"none", "provider", "estimated"}[s]
}

// Candidate is a place a request could have gone to.
type Candidate struct {
	Upstream string
	Replica  string
	Model    string // the upstream's name
	Score    float64
	WhyNot   string // empty for the winner
	Won      bool
	Hit      int64 // tokens of the prompt that its cache was thought to hold

	// Where the best target was chosen: what this one loses against the best of them,
	// in all and by term; 0 is best, less is worse.
	Judged bool
	Worth  float32
	Parts  [inference.Terms]float32
}

// Attempt is one try on one replica.
type Attempt struct {
	Upstream string
	Replica  string
	Start    int64 // after arrival
	Duration int64
	Fault    fault.Kind
	Free     bool // cost no try: the engine never got the work
	Reason   string

	// Where a cascade looks at answers: why this one did not pass, and what it took.
	Doubt         string
	Input, Output int64
	Cost          int64 // -1 where a price is not known
}

// Record is the row of one request. Reset makes it ready to be filled.
type Record struct {
	// Who and when.
	ID        inference.ID
	Trace     [16]byte // W3C trace id
	Time      int64    // of arrival
	Seq       int64    // order of the end among the records of this process
	Tenant    string
	Project   string
	KeyID     string
	Key       string // its name
	Tier      string
	Origin    string // app, console, canary, probe, batch, shadow, renewal
	ShadowOf  string // the request that this one is a copy of
	Simulated bool

	// Where.
	Cell       string // the region this process serves
	Region     string // of the upstream, as the next two
	Zone       string
	Hardware   string
	Generation int64 // of the configuration

	// Where the caller is, and how that is known.
	FromRegion string
	FromZone   string
	PlacedBy   string

	// Asked. AskedModel is empty for a name that no model has: it is the
	// caller's text.
	Surface        string
	Operation      string
	Stream         bool
	AskedModel     string
	Class          tenant.Class
	MaxTokens      int64
	EstimatedInput int64
	BytesIn        int64
	ToolsOffered   int64

	// Decided.
	Admit         string
	Model         string
	Upstream      string
	UpstreamModel string
	Replica       string
	RouteReason   string
	Arm           string // the name of the target, where it has one
	Locality      string // why this region or zone; empty where there was no choice
	FailoverFrom  string // the replica that was left

	// What became of earlier answers: bypass, miss, hit or joined. Of a hit, by what and
	// how old; where nobody looked, why not.
	Cache     string
	CacheTier string
	CacheWhy  string
	CacheAge  int64

	CacheSimilarity int64 // thousandths; of a hit by another question

	GaveUp string // why no other attempt was made, or why an answer was given that did not pass; empty where none was needed

	// How hard the request looked, in thousandths, and what each signal contributed;
	// what counted most, and how soon the answer should come.
	Complexity int64
	Signals    [inference.Signals]int16
	Prefer     string

	// What a classifier said, or why it did not, how long it took and what it cost.
	Classified     string
	Unclassified   string
	ClassifierTime int64
	ClassifierCost int64

	// What the answer rests on, and what it made of it. Scores and shares are in
	// thousandths.
	Collections   string // that were searched, with commas between them
	Passages      int64  // that the model was told
	PassageTokens int64
	TopScore      int64 // of the first of them
	Retrieval     int64 // that it took to find them
	RewriterCost  int64
	Ungrounded    string // why nothing could be searched, or how the search was less than it should be
	Citations     int64
	Cited         int64 // share of the answer's sentences
	Support       int64 // of the answer by the passages

	JudgeTime int64 // of judges of a cascade's answers
	JudgeCost int64

	ObjectiveTTFT int64
	ObjectiveTPOT int64

	// Time.
	Scan         int64
	Queue        int64
	TTFT         int64 // arrival to first content byte out
	UpstreamTTFT int64
	Predicted    int64 // UpstreamTTFT as it was foreseen when the request was sent
	TPOT         int64 // mean time of an output token after the first
	GapMax       int64 // longest silence between two pieces of content
	Total        int64
	Overhead     int64 // neither waiting for the caller, the gate or an upstream, nor writing to the caller

	// Tokens and money. Input includes what was read from and written to the
	// upstream's cache, Output includes Reasoning.
	Input       int64
	Output      int64
	CacheRead   int64
	CacheWrite  int64
	Reasoning   int64
	UsageSource UsageSource
	Cost        int64
	SavedTokens int64 // that an earlier answer made needless, and what they would have cost
	SavedCost   int64

	// Outcome. Status is of HTTP, -1 if the caller left before there was one.
	Status    int64
	Fault     fault.Kind
	Finish    inference.Finish
	End       End
	Committed bool // content reached the caller

	// Reasons. Of all that were considered and tried the arrays keep as many as
	// they hold, the winner always among them.
	Considered int64
	Tried      int64
	Candidates [9]Candidate
	Attempts   [8]Attempt
}

// Reset makes r the blank record: every measure -1, everything else zero.
func (r *Record) Reset() { *r = blank }

// Consider notes a candidate. Callers give them the best first; of more than fit
// the first stay, but for a winner, who takes the last place.
func (r *Record) Consider(c Candidate) {
	n := int(r.Considered)
	r.Considered++
	switch {
	case n < len(r.Candidates):
		r.Candidates[n] = c
	case c.Won:
		r.Candidates[len(r.Candidates)-1] = c
	}
}

// Try notes an attempt. Of more than fit the first stay, and the last of all
// takes the last place.
func (r *Record) Try(a Attempt) {
	r.Attempts[min(int(r.Tried), len(r.Attempts)-1)] = a
	r.Tried++
}

// Kept returns the candidates that are kept.
func (r *Record) Kept() []Candidate {
	return r.Candidates[:min(int(r.Considered), len(r.Candidates))]
}

// Tries returns the attempts that are kept.
func (r *Record) Tries() []Attempt {
	return r.Attempts[:min(int(r.Tried), len(r.Attempts))]
}

// Winner returns the candidate that was chosen last.
func (r *Record) Winner() (Candidate, bool) {
	kept := r.Kept()
	for _, v := range slices.Backward(kept) {
		if v.Won {
			return v, true
		}
	}
	return Candidate{}, false
}
