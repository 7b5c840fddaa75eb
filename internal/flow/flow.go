// Package flow decides the next step of one request, given what just happened:
//
//	reuse -> admit -> route -> schedule -> send -> (retry | fall back) -> done
//
// It performs nothing: no clock, no lock, no log, no goroutine. A driver carries
// out the action it is handed and reports what came of it as the next event;
// gateway does so live, sim in virtual time. A driver never decides: that the
// client left is an event, and so is that nothing happened until a moment.
package flow

import (
	"math/rand/v2"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/health"
	"headworks/internal/inference"
	"headworks/internal/latency"
	"headworks/internal/locality"
	"headworks/internal/lora"
	"headworks/internal/place"
	"headworks/internal/reuse"
	"headworks/internal/route"
	"headworks/internal/schedule"
	"headworks/internal/tenant"
)

// EventKind names what just happened.
type EventKind uint8

// The events that a driver reports.
const (
	Arrived    EventKind = iota // the request came in
	Reused                      // an earlier answer is there, see Event.Found
	Missed                      // none is
	Joined                      // none is, but one is under way, and this request shares it
	Entered                     // the place it waited for is its own
	Retrieved                   // the documents were searched, or could not be, see Event.Fault
	Classified                  // the classifier gave its verdict, or none
	Content                     // the first bytes that commit the answer are here
	Unseen                      // content is here of which the client sees nothing yet, and it is kept
	Quiet                       // the moment Action.Until came, and nothing else
	Finished                    // the answer is whole
	Doubted                     // the answer is whole, was kept, and did not pass what its model asks of it
	Passed                      // the answer is whole, was kept, and passed what can be told of it; the model has a judge besides
	Judged                      // the judge gave its verdict, or none
	Failed                      // the attempt failed, see Event.Fault
	Left                        // the client is gone
	Drained                     // this process goes away and waits no longer

	eventKinds
)

func (k EventKind) String() string {
	return [...]string{"arrived", "reused", "missed", "joined", "entered", "retrieved", "classified", "content", "unseen", "quiet", "finished", "doubted", "passed", "judged", "failed", "left", "drained"}[k]
}

// Event is what just happened to a request.
type Event struct {
	Kind     EventKind
	Fault    *fault.Error  // of Failed, and of Retrieved: why nothing could be searched
	Progress time.Time     // of Quiet: when the upstream last gave a sign; zero if never
	Said     time.Time     // of Quiet and Finished: when content last came; zero if never, and of Finished where Tokens is not what came
	Class    *Class        // of Classified: Verdict, Label, WhyNot, Cached and Cost; of Judged: WhyNot and Cost
	Ground   *Grounding    // of Retrieved: what was found
	Doubt    string        // of Doubted and Judged: why it did not pass; of Content: why nobody looked at what was kept, empty where it passed
	Tokens   int           // of Finished, Doubted, Passed and Judged: of the answer, as far as known
	Kept     bool          // an answer that did not pass is kept, and can be given if none comes after it; of Doubted and Judged: the one that is there
	Unsent   bool          // of Finished: nothing was sent, since all of the answer was known
	Handed   bool          // of Finished, of a send with Prefill: what was read can be handed over
	Gap      time.Duration // of Finished: the longest silence within the answer; 0: not known
	Found    reuse.Found   // of Reused
	Tried    bool          // of Failed, of a shared answer: another request tried again already
	Wrote    time.Time     // of Quiet: when the client last got bytes; zero if never
	Sent     time.Time     // of Failed and Quiet: when a piece of the request was last sent on that was not kept, so that it cannot be sent again; now, as long as another may follow; zero if none was
}

// ActionKind names what to do next.
type ActionKind uint8

// The actions that a driver carries out.
const (
	Reuse    ActionKind = iota // look for an earlier answer: report Reused, Missed, Joined, Left or Drained
	Resemble                   // look for one to another question that asks for the same, with vectors of Replica until Until: report Reused, Missed, Left or Drained
	Follow                     // read on what is made for another request, until Until: report Content, Quiet, Finished, Missed, Failed, Left or Drained
	Queue                      // wait for a place until Until: report Entered, Quiet, Left or Drained
	Retrieve                   // search the collections of Ticket.Ground, until Until: report Retrieved, Left or Drained; the rewriter at Replica, where there is one, says for what
	Classify                   // ask the model's classifier at Replica, until Until: report Classified, Left or Drained
	Judge                      // ask the cascade's judge at Replica, until Until: report Judged, Left or Drained
	Send                       // send to Target and Replica, then read
	Read                       // read on until Until: report Content, Unseen, Quiet, Finished, Doubted, Failed, Left or Drained
	Commit                     // let the client have the content, then read
	Open                       // send the client its status before any content, then read
	Alive                      // tell the client that the connection lives, then read
	Done                       // end the answer: Fault says how; nothing follows
	Ignore                     // the request is over: nothing to do
)

func (k ActionKind) String() string {
	return [...]string{"reuse", "resemble", "follow", "queue", "retrieve", "classify", "judge", "send", "read", "commit", "open", "alive", "done", "ignore"}[k]
}

// Action is what to do next.
type Action struct {
	Kind    ActionKind
	Target  *fleet.Target  // of Send
	Replica *fleet.Replica // of Send, Retrieve, Classify, Judge and Resemble; nil of the last: questions are compared by their letters
	Verify  bool           // of Send: keep the answer, look at it once it is whole, and report Content or Finished where it passes, Doubted where it does not
	Prefill bool           // of Send: the replica, of another upstream than Target, is to read the prompt alone
	Handed  bool           // of Send: what another replica read is handed over
	Until   time.Time      // report Quiet if nothing happens until then; zero: wait for ever
	Fault   *fault.Error   // of Done: nil if the answer is whole
	Kept    bool           // of Done: the answer that was kept is given, see Ticket.Given
	Join    bool           // of Reuse: an answer that is under way may be shared
	Draw    float64        // of Reuse and Resemble: from [0,1), for what is looked at by chance
	Reused  bool           // of Done: the earlier answer is given, see Ticket.Found
	Renew   bool           // of Done: and a new one is to be made beside it
	Wake    *Ticket        // of Done: this ticket may enter now; tell its driver
}

// state is how far a request came.
type state uint8

const (
	fresh     state = iota // nothing happened yet
	looking                // an earlier answer is looked for
	joined                 // shares the answer to another request
	queued                 // waits at the gate
	seeking                // its documents are searched
	asking                 // a classifier has it
	held                   // sent; the client has nothing
	opened                 // the client has a status and keep-alives
	committed              // the client has content
	ended

	states
)

func (s state) String() string {
	return [...]string{"fresh", "looking", "joined", "queued", "seeking", "asking", "held", "opened", "committed", "ended"}[s]
}

// Bounds of what is kept of one request.
const (
	MaxAttempts   = 8
	MaxCandidates = 9
)

// NoneFound is why a target was left out whose upstream has no replica yet.
const NoneFound = "no replica of its upstream was found yet"

// Attempt is one send and what came of it.
type Attempt struct {
	Target     *fleet.Target
	Replica    *fleet.Replica
	Start, End time.Time
	Fault      fault.Kind
	Free       bool   // the engine never got the work: no try
	Why        string // why this replica
	Doubt      string // why its answer did not pass, or was not looked at; empty: it did, or nobody asks for that
}

// Candidate is a target or a replica that was considered for the last send.
type Candidate struct {
	Target  *fleet.Target
	Replica *fleet.Replica // nil where the target was left out whole
	Score   float64
	Hit     int // tokens of the prompt in its cache
	WhyNot  string
	Won     bool
}

// Waiter is who waits at the gate for a ticket's place, in the driver.
type Waiter interface {
	// Grant tells that the place is the ticket's own. It is called between two
	// steps, and neither blocks nor steps.
	Grant()
}

// Ticket is what a request carries from step to step, and in the end the reason
// of all that was decided for it. It has a random source of its own, so a
// decision does not depend on which other requests ran before.
type Ticket struct {
	Request *inference.Request
	Caller  *tenant.Caller
	Owner   Waiter
	Wish    tenant.Wish   // what the caller asks for; from Begin on, before the first step
	Control reuse.Control // what the caller says of earlier answers; as Wish

	From     place.Place // where the caller is; the driver says so before the first step
	PlacedBy string      // how it knows
	Copy     bool        // of another request: nobody waits for it; the driver says so before the first step
	Locality string      // why the request is served where it is; empty where there is no choice

	Model      *fleet.Model // nil until found
	Order      route.Order
	Aim        tenant.Objective
	Class      Class
	Ground     *Grounding    // nil: the answer rests on no documents
	JudgeTime  time.Duration // that judges took
	JudgeCost  int64         // micro-USD, of judges; -1: not known
	Target     *fleet.Target // of the last send
	Replica    *fleet.Replica
	Why        string // why Target and Replica
	Hit        int    // tokens of the prompt that Replica is thought to hold
	Attempts   [MaxAttempts]Attempt
	Tries      int // Attempts that count
	Candidates [MaxCandidates]Candidate
	Considered int // Candidates that count
	Opened     bool
	Committed  bool
	Predicted  time.Duration // from the last send to its first token, as foreseen then; 0: not known
	Left       string        // why no more attempt was made, or NothingBetter; empty where none was needed
	Shadowed   bool          // a copy of it is to go to the model's shadow
	Waited     time.Duration // at the gate

	Plan  reuse.Plan   // what may be done with earlier answers
	Scope tenant.Scope // for whom, where anything may
	Reuse ReuseState   // what came of it
	Found reuse.Found  // of Hit
	Stale bool         // Found is given since no new answer could be had

	alike    bool        // it was looked for one to another question
	found    reuse.Found // that is given if no new answer can be had ...
	spare    bool        // ... if there is one
	state    state
	place    admit.Place[*Ticket]
	src      rand.PCG
	arrived  time.Time
	sent     time.Time
	began    time.Time               // when content first came of the attempt under way
	wrote    time.Time               // when the client was last told that the connection lives
	used     [route.MaxTargets]uint8 // tries per target that an engine got
	moved    bool                    // it left a replica that was down
	retrying bool                    // it holds a place in the retry budget
	spent    bool                    // it cannot be sent again
	unsent   bool                    // nothing was sent: what was asked for was known
	choice   uint8                   // place of Target in the model's list
	pool     []fleet.Replica         // of Target
	fleet    *fleet.Snapshot         // the one it was sent in
	board    board                   // how schedule sees the replicas
	stops    [maxStops]stop          // of Order, in the order in which to ask
	stopped  int                     // stops that count
	at       int                     // of the stop that was asked last
	gone     uint32                  // stops that it left for good, by place
	pressed  bool                    // soft ejections are passed over
	drawn    bool                    // Locality is why the first target is first
	last     *fault.Error
	lastAt   fleet.ReplicaID // where an attempt is under way
	trial    *trial          // the canary that this request tells of; nil: none
	verify   bool            // the answer under way is looked at before anybody gets it
	kept     kept            // an answer that was looked at before
	given    int             // one more than the attempt whose answer is given; 0: the last one's
	judge    *fleet.Replica  // that looks at the answer now; nil: none does
	judgeAt  time.Time
	owed     bool      // it was drawn for the canary, which did not get it yet
	output   int       // tokens of the whole answer; 0: not known
	took     Load      // what it takes there
	reading  bool      // the attempt under way reads the prompt for another replica
	since    time.Time // when that began, or the one did that the attempt under way goes on from
	handed   bool      // the prompt was read, and is handed over with the next send
	alone    bool      // no other replica reads the prompt
	foreseen bool      // mark counts there
	mark     latency.Mark
	expected time.Duration // to the first token, by whatever is known
	heardAt  time.Time     // the first content
	silence  time.Duration // for which the attempt under way may be silent; 0: not looked at
	looked   time.Time     // when it was last looked whether it is stuck
	left     bool          // it left a replica that was silent
	doubt    float64       // how silent the attempt under way found its replica ...
	silent   time.Time     // ... which was so since then
	ahead    int           // prompt tokens to be read until its own are, when it was sent
}

// Rules are what flow itself decides by.
type Rules struct {
	Seed         uint64
	QueueWait    time.Duration // at the gate
	Hold         time.Duration // before a streaming client is told that it is served
	KeepAlive    time.Duration // between two bytes to a streaming client
	RetryShare   float64       // of the requests inside that may be second tries
	RetryFloor   int           // that many may always
	MaxClientTry time.Duration // a longer wait is not worth a client's retry
}

// DefaultRules returns the rules that hold without configuration.
func DefaultRules() Rules {
	return Rules{
		QueueWait:    2 * time.Second,
		Hold:         20 * time.Second,
		KeepAlive:    15 * time.Second,
		RetryShare:   0.2,
		RetryFloor:   3,
		MaxClientTry: 8 * time.Second,
	}
}

// Policy holds the rules, and the counts that decisions need between steps.
// Whoever owns it calls its methods from one goroutine at a time.
type Policy struct {
	Rules  Rules
	Health health.State
	Gate   admit.Gate[*Ticket]

	unpaid  time.Time          // until when no work begins; zero: the ledger can be written
	rows    []row              // by fleet.ReplicaID
	told    []told             // by fleet.ReplicaID
	usual   int                // prompt tokens that a request has to have read
	retries int                // second tries in flight
	caches  map[string]*caches // by upstream
	paces   []pace             // by fleet.TargetID
	ahead   [route.MaxTargets]route.Pace
	want    route.Ask
	picker  schedule.Picker
	plan    locality.Plan
	loras   lora.State
	sites   []locality.Site
	stops   []stop // of sites
	asked   schedule.Ask
	spent   []float32          // of callers' budgets, by tenant.Caller.Slot
	trials  map[string]*trial  // canaries, by the model's name
	doctors map[string]*doctor // classifiers that failed, by the model's name
	hits    []int32
	others  others
	cells   []Cell // by fleet.ReplicaID of those that are another cell's gateways
	room    room
	views   []view            // by fleet.ReplicaID
	slowed  latency.Constants // of the replica that was asked of last and is slow
	classes map[string]*class // by name
	round   uint64            // of choices with an objective
}

// NewPolicy returns a Policy with the default rules of health and of its own.
func NewPolicy(limits admit.Limits) *Policy {
	p := &Policy{Rules: DefaultRules()}
	p.Health.Rules = health.Default()
	p.Gate.Limits = limits
	return p
}

// Begin makes t the ticket of a request; t may have served another before.
func (p *Policy) Begin(t *Ticket, req *inference.Request, c *tenant.Caller, owner Waiter) {
	*t = Ticket{}
	t.Request, t.Caller, t.Owner, t.lastAt = req, c, owner, fleet.NoReplica
	t.place.Of = t
	t.src = *rand.NewPCG(p.Rules.Seed, req.ID.Seed())
}

// findOut is how often a request is let in to find out whether the ledger can be
// written again.
const findOut = time.Second

// Unpaid notes that the ledger could not be written. From then on no work begins,
// but that of one request a second, which finds out.
func (p *Policy) Unpaid(now time.Time) {
	if p.unpaid.IsZero() {
		p.unpaid = now.Add(findOut)
	}
}

// Paid notes that the ledger can be written again.
func (p *Policy) Paid() { p.unpaid = time.Time{} }

// Retries returns how many second tries are in flight.
func (p *Policy) Retries() int { return p.retries }
