// Package fleet says which engines exist and what they serve, as immutable
// snapshots: models that callers ask for, their targets, and the replicas behind
// each target. Money is in USD per million tokens, windows are in tokens.
package fleet

import (
	"cmp"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"headworks/internal/inference"
	"headworks/internal/place"
	"headworks/internal/tenant"
)

// ReplicaID is a replica's place in what is counted of it: load, health. It stays
// the same over reloads for as long as the process lives. Another replica may have it
// once its own has been gone for an hour and nothing runs there any more.
type ReplicaID int32

// NoReplica stands where no replica is meant.
const NoReplica ReplicaID = -1

// Replica is one engine process, or one provider's endpoint.
type Replica struct {
	ID       ReplicaID
	Upstream int    // index into Snapshot.Upstreams
	Key      int    // place among the upstream's credentials; each is a replica of its own
	Name     string // short and opaque: callers may see it
	URL      string // base URL; empty for what is built in
	Host     string // what it is asked for by, in TLS and in the field Host; that of URL unless given
	Place    place.Place
	Locality uint8 // index into Upstream.Localities
}

// Schedule is how an upstream's replicas are chosen among.
type Schedule uint8

// The schedules.
const (
	ByPrefix      Schedule = iota // warm caches, then the least prompt work
	LeastRequests                 // fewest requests in flight
	TwoChoices                    // the less busy of two drawn at random
	SessionHash                   // a session's home, else the less busy of two
	LMetric                       // least prompt work times requests (arXiv 2603.15202)
	RoundRobin                    // each in turn, whatever it has to do
	Random                        // drawn, whatever it has to do
)

func (s Schedule) String() string {
	return [...]string{"prefix", "least-requests", "two-choices", "session", "lmetric", "round-robin", "random"}[s]
}

// Upstream is a pool of replicas that serve the same models.
type Upstream struct {
	Name     string
	Kind     string
	Region   string
	Zone     string
	Hardware string
	Speaks   inference.Set // natively
	Schedule Schedule
	Apart    bool    // tenants share nothing in its caches
	KVTokens int     // that the KV cache of each replica holds; 0 is not known
	Adapters int     // that each replica holds at once
	Prefill  int     // one more than the index of the upstream that reads prompts for it; 0: none does
	Rate     float64 // prompt tokens that each replica reads a second; 0 is not known
	Own      bool    // its replicas are engines of one's own: each reads one prompt after the other
	// Class names the engines that behave as those here do, so that what is learned of
	// one holds for all; empty for those of this upstream alone.
	Class      string
	StepTokens int // that a step of an engine takes on; 0 is not known
	Replicas   []Replica
	Pace       Pace
	// Localities are the places of Replicas that are chosen among; see Locate. None
	// stands for one that nobody knows.
	Localities []Locality
	// Away tells that this is another cell, whose gateways are its replicas.
	Away bool
	// Simulated tells that nothing here runs a model; it shows wherever an answer
	// of this upstream does.
	Simulated bool
	// Lexical tells that answers come from the words alone, of no neural model.
	Lexical bool
}

// Locality is a place where an upstream has replicas.
type Locality struct {
	place.Place
	Number int // of the region, in Snapshot.Atlas
}

// fewest is how many replicas a pool has at least for the zones in it to count: with
// fewer, what is saved between zones costs more in balance.
const fewest = 6

// maxLocalities bounds the localities of one upstream; replicas beyond are of the
// last.
const maxLocalities = 32

// Locate sorts the replicas of an upstream, whose places are set, into localities.
func (u *Upstream) Locate(a *place.Atlas) {
	u.Localities = nil
	for i := range u.Replicas {
		r := &u.Replicas[i]
		at := r.Place
		if len(u.Replicas) < fewest && at != (place.Place{Region: u.Region, Zone: u.Zone}) {
			at.Zone = ""
		}
		k := slices.IndexFunc(u.Localities, func(l Locality) bool { return l.Place == at })
		if k < 0 && len(u.Localities) == maxLocalities {
			k = maxLocalities - 1
		} else if k < 0 {
			k = len(u.Localities)
			u.Localities = append(u.Localities, Locality{Place: at, Number: a.Region(at.Region)})
		}
		r.Locality = uint8(k)
	}
}

// TargetID is a target's place in what is observed of it. It stays the same over
// reloads for as long as the process lives, and is never reused. 0 is none.
type TargetID int32

// Target is one way to serve a model.
type Target struct {
	Upstream  int     // index into Snapshot.Upstreams
	Model     string  // the upstream's name for it
	Adapter   string  // of Base; Model is how the upstream calls both. Empty: none
	Base      string  // the model that Adapter is of
	Quality   float64 // 0 to 1; 0 is not measured
	Price     inference.Price
	Weight    int  // share of requests under the policy Weighted; 0 counts as 1
	Window    int  // prompt and answer; 0 is not known
	Carded    bool // Window is of the model card, not of the operator: whoever serves has the last word
	Output    int  // the longest answer; 0 is not known
	Can       inference.Abilities
	Released  int64         // when its model came out, Unix seconds; 0 is not known
	Speaks    inference.Set // what its upstream speaks; 0 is not known
	Told      bool          // Can is of the operator, not of the model card: what is not in it is refused
	Precision string        // of its weights: bf16, fp8, int4; empty is not known
	ID        TargetID
	Of        string // the model it serves, where it stands among those of several
	Name      string // of the arm that it is; empty: it has none
	Salt      uint64 // sets it apart from the model's other targets under Sticky; never 0 there
	Kin       uint8  // those of one model with one number are equal but for where they are; 0: it has no equal
	Away      bool   // its upstream is another cell
}

// Policy is how a model's targets are ordered.
type Policy uint8

// The policies.
const (
	Ordered  Policy = iota // the first that is available
	Weighted               // drawn by weight, the rest in order behind it
	Best                   // by what the request needs, see Choice
)

// Sticky is whom a model's targets are drawn for, so that the same one comes first
// each time.
type Sticky uint8

// The ways to stick. What a request does not tell is stood in for: a session by the
// end user, and the end user by the key.
const (
	Loose     Sticky = iota // each request is drawn for itself
	BySession               // for a conversation
	ByUser                  // for an end user of the caller's
	ByKey                   // for a key
)

func (s Sticky) String() string { return [...]string{"request", "session", "user", "key"}[s] }

func (p Policy) String() string { return [...]string{"order", "weight", "best"}[p] }

// Choice is what counts under the policy Best. Each weight is of what a target loses
// against the best of those that can serve: 0.2 of quality, or four times the price
// or the time, cost it the whole weight once.
type Choice struct {
	Quality   float64 // the more a request is complex
	Price     float64 // the more it is not
	Latency   float64
	Objective float64 // twice the time that the objective allows costs it once
	Signals   [inference.Signals]float64
	Rules     []Rule // the first that holds counts
}

// Rule is what an operator wants for some requests. A condition that is zero always
// holds.
type Rule struct {
	Tier       string
	Complexity float64 // from this on
	Input      int     // tokens, from this on
	Tools      int     // offered, from this on
	Budget     float64 // 0 to 1: once a smaller share of the key's budget is left

	Prefer tenant.Preference
	Least  float64 // quality: of worse targets none is asked, if there is a better one
}

// Pace is how fast an engine is with nothing else to do. What is zero is not known.
type Pace struct {
	First time.Duration // until the first token of an empty prompt
	Each  time.Duration // of a token after that
	Rate  float64       // prompt tokens it reads a second
}

// Loss is what becomes of fields that a target cannot be told, since its upstream
// speaks another dialect.
type Loss uint8

// The ways to bear a loss.
const (
	Told     Loss = iota // the caller sees their names
	Untold               // they are left out without a word
	Rejected             // the target does not get the request
)

// Timeouts bound the phases of an answer. Zero is no bound.
type Timeouts struct {
	FirstToken time.Duration // a stream's first content; a whole answer's first byte if FirstTokenSet
	Idle       time.Duration // between two signs of progress
	Total      time.Duration
	// FirstTokenSet tells that the operator asked for FirstToken, which then
	// bounds answers that do not stream as well.
	FirstTokenSet bool
}

// Canary is a target of a model that gets a share of its requests, which grows by
// steps as long as the target does no worse than the others.
type Canary struct {
	Target     int       // place in the model's list
	Steps      []float64 // shares, 0 to 1; at least one
	Every      time.Duration
	Min        int      // answers of its own that a step needs at least
	Errors     float64  // error rate above that of the others that is not borne; 0: not compared
	TTFT, TPOT float64  // times the median of the others that is not borne; 0: not compared
	Quality    float64  // rate of bad verdicts above that of the others that is not borne; 0: not compared
	Verify     *Cascade // what answers are looked at for; nil: nothing
	Salt       uint64   // sets it apart, for those who are held to their target
	Definition uint64   // another one is another canary
}

// Classifier is a model that says how hard a request is.
type Classifier struct {
	Upstream int    // index into Snapshot.Upstreams
	Model    string // the upstream's name for it
	Chat     bool   // it answers with a label in words; else it is one that classifies
	Labels   []Label
	Timeout  time.Duration
	Price    inference.Price
}

// Label is what a classifier may say.
type Label struct {
	Name string
	Hard float64 // how hard a request is then, 0 to 1
}

// Judge is a model that says whether an answer answers its question.
type Judge struct {
	Upstream int    // index into Snapshot.Upstreams
	Model    string // the upstream's name for it
	Timeout  time.Duration
	Price    inference.Price
}

// Cascade says what an answer has to pass where a target comes behind the one that
// gave it; what does not pass is asked of the next one.
type Cascade struct {
	Whole   bool           // it is not cut, not empty, and the model did not stop for a filter
	Refusal bool           // it does not begin as refusals do
	JSON    bool           // it is JSON where that was asked for, of the schema asked for; arguments of tools are, of the tool's
	Match   *regexp.Regexp // is found in its text; nil: nothing has to be
	Reject  *regexp.Regexp // is not found in its text; nil: anything may be
	Judge   *Judge         // a model says that it answers the question; nil: none is asked
}

// Model is what callers ask for by name.
type Model struct {
	Name       string
	Targets    []Target
	Policy     Policy
	Sticky     Sticky      // of Policy Weighted, and of Canary
	Canary     *Canary     // nil: none
	Cascade    *Cascade    // nil: none
	Classifier *Classifier // nil: none
	Shadow     *Shadow     // nil: none
	Reuse      *Reuse      // nil: no answer is kept
	Knowledge  *Knowledge  // nil: it answers from no documents
	Timeouts   Timeouts
	Loss       Loss
	Choice     *Choice // under Best
	Aim        tenant.Objective
	// RefuseLate tells to refuse a stream that no replica is predicted to begin within
	// its objective.
	RefuseLate bool
	Tries      int  // on one target, once an engine got the work; 0 counts as 1
	Asked      bool // the caller asked for an upstream's model by name
}

// MaxTargets bounds the targets of one model.
const MaxTargets = 16

// Join returns a model of that name with the targets of several models, one model
// after the other, as far as there is room. All but targets and order are as for
// the first.
func Join(name string, models []*Model) *Model {
	m := *models[0]
	m.Name, m.Policy, m.Canary, m.Shadow, m.Cascade, m.Classifier, m.Targets = name, Ordered, nil, nil, nil, nil, make([]Target, 0, MaxTargets)
	m.Reuse = joinReuse(models)
	for _, of := range models {
		m.Asked = m.Asked || of.Asked
		for place, t := range of.Targets {
			if of.Canary != nil && of.Canary.Target == place {
				continue // it has a share of its own model, and no other
			}
			if len(m.Targets) == MaxTargets {
				return &m
			}
			t.Of = of.Name
			m.Targets = append(m.Targets, t)
		}
	}
	return &m
}

// Auto is the name under which a caller leaves the choice of the model to us,
// unless the configuration has a model of that name.
const Auto = "auto"

// Auto returns, as one model, all that may says yes to: the best by measured
// quality first, the cheapest of those, and what is simulated last. False if there
// is none.
func (s *Snapshot) Auto(may func(model string) bool) (*Model, bool) {
	var models []*Model
	for i := range s.Models {
		if m := &s.Models[i]; len(m.Targets) > 0 && may(m.Name) {
			models = append(models, m)
		}
	}
	if len(models) == 0 {
		return nil, false
	}
	slices.SortStableFunc(models, func(a, b *Model) int {
		x, y := &a.Targets[0], &b.Targets[0]
		return cmp.Or(
			compare(s.Upstreams[x.Upstream].Simulated, s.Upstreams[y.Upstream].Simulated),
			cmp.Compare(y.Quality, x.Quality),
			compare(!x.Price.Known, !y.Price.Known),
			cmp.Compare(x.Price.Input+x.Price.Output, y.Price.Input+y.Price.Output),
		)
	})
	return Join(Auto, models), true
}

// compare orders no before yes.
func compare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Snapshot is the fleet at one moment. Nobody changes it after it is published:
// whoever learns something new builds another one and swaps it whole.
type Snapshot struct {
	Generation uint64
	Upstreams  []Upstream
	Models     []Model // sorted by Name
	Direct     Model   // timeouts and tries of a model asked for as upstream/model
	Foresees   bool    // some upstream is scheduled by what its replicas' caches hold
	Judges     bool    // some model has the policy Best
	Atlas      *place.Atlas
	Replicas   int   // one more than the largest ReplicaID ever given
	Since      int64 // when the process began to serve, Unix seconds

	// Known fills in what is known of a target that no model lists. It may be nil.
	Known func(t *Target)
}

// Part is a part of a fleet: an upstream or one of its replicas, a zone or a region.
type Part struct {
	Upstream string
	Replica  string      // of Upstream, by its name or its URL; empty: all
	Place    place.Place // where Upstream is empty; of no region it is a zone of any
}

func (p Part) String() string {
	switch {
	case p.Replica != "":
		return "replica " + p.Replica + " of " + p.Upstream
	case p.Upstream != "":
		return "upstream " + p.Upstream
	case p.Place.Zone == "":
		return "region " + p.Place.Region
	case p.Place.Region == "":
		return "zone " + p.Place.Zone
	}
	return "zone " + p.Place.String()
}

// Has reports whether a replica of an upstream is in the part.
func (p Part) Has(u *Upstream, r *Replica) bool {
	if p.Upstream != "" {
		return u.Name == p.Upstream && (p.Replica == "" || r.Name == p.Replica || r.URL == p.Replica)
	}
	return (p.Place.Region == "" || r.Place.Region == p.Place.Region) &&
		(p.Place.Zone == "" || r.Place.Zone == p.Place.Zone) && p.Place != place.Place{}
}

// Model returns the model of that name. A name of the form upstream/model asks
// one upstream for whatever it calls so, whether or not the snapshot lists it.
func (s *Snapshot) Model(name string) (*Model, bool) {
	i := sort.Search(len(s.Models), func(i int) bool { return s.Models[i].Name >= name })
	if i < len(s.Models) && s.Models[i].Name == name {
		return &s.Models[i], true
	}
	upstream, model, ok := strings.Cut(name, "/")
	if !ok || model == "" {
		return nil, false
	}
	for i := range s.Upstreams {
		if u := &s.Upstreams[i]; u.Name == upstream {
			m := s.Direct
			m.Name, m.Asked = name, true
			m.Targets = []Target{{Upstream: i, Model: model, Speaks: u.Speaks, Away: u.Away}}
			if s.Known != nil {
				s.Known(&m.Targets[0])
			}
			return &m, true
		}
	}
	return nil, false
}
