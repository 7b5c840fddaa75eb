package sim

import (
	"math"
	"math/rand/v2"
	"time"

	"headworks/internal/inference"
	"headworks/internal/place"
	"headworks/internal/tenant"
)

// Arrival is a request and when it comes, from the start of the run. Its ID is
// all that makes it differ from another: what is drawn for it is drawn from that.
type Arrival struct {
	At      time.Duration
	Request inference.Request // Input is exact here
	Caller  *tenant.Caller
	From    place.Place   // where the caller is; zero: where the gateway is
	Output  int           // tokens that the model has to say
	Same    uint64        // requests of one number ask for the same; 0: nobody else does
	Leaves  time.Duration // how long the client waits for the whole answer; 0: for ever
	// Follow returns what the same client asks next, not before its answer was served
	// at a time; nil: nothing. It is asked once.
	Follow func(ended time.Duration) (Arrival, bool)
}

// Load is where requests come from, in the order of time.
type Load interface {
	Next() (Arrival, bool)
}

// Staged is a load in stages: where Next says that nothing more comes, it may be the
// end of a stage.
type Staged interface {
	Load
	// Drained tells that all that came has ended by a time, and returns whether
	// another stage begins.
	Drained(at time.Duration) bool
}

// Stage is a number of requests at one rate: as many as come in its length on
// average.
type Stage struct {
	Rate   float64 // a second
	Length time.Duration
	Joined bool // it begins when the one before is over, instead of when that has ended
}

// Requests returns how many come.
func (s Stage) Requests() int { return int(math.Round(s.Rate * s.Length.Seconds())) }

// stairs is when requests come in stages. The next one begins once all of the one
// before have ended, and a pause later.
type stairs struct {
	stage int
	n     int // requests of the stage that have come
	since int // and of those that it is joined to
	at    time.Duration
	begun time.Duration
	src   *rand.Rand // of the pauses between requests
}

// next returns when the next request of a stage comes.
func (t *stairs) next(stages []Stage, seed uint64) (time.Duration, bool) {
	if t.src == nil {
		t.src = rand.New(rand.NewPCG(seed, 0))
	}
	for t.stage < len(stages) && t.n == stages[t.stage].Requests() {
		if t.stage+1 == len(stages) || !stages[t.stage+1].Joined {
			return 0, false
		}
		t.begun += stages[t.stage].Length
		t.at, t.n = max(t.at, t.begun), 0
		t.stage++
	}
	if t.stage == len(stages) {
		return 0, false
	}
	t.n++
	t.since++
	t.at += time.Duration(t.src.ExpFloat64() / stages[t.stage].Rate * float64(time.Second))
	return t.at, true
}

// drained begins the next stage, if there is one.
func (t *stairs) drained(stages []Stage, pause, at time.Duration) bool {
	if t.stage == len(stages) {
		return false
	}
	t.at, t.n, t.since = at+pause, 0, 0
	t.begun = t.at
	t.stage++
	return t.stage < len(stages)
}

// Lengths is a log-normal distribution of lengths in tokens.
type Lengths struct {
	Median float64
	Sigma  float64 // of the logarithm
	Max    int
}

// Scaled returns lengths of which each is so many times as long.
func (l Lengths) Scaled(by float64) Lengths {
	return Lengths{l.Median * by, l.Sigma, int(math.Ceil(float64(l.Max) * by))}
}

func (l Lengths) draw(src *rand.Rand) int {
	return min(max(int(l.Median*math.Exp(l.Sigma*src.NormFloat64())), 1), l.Max)
}

// Poisson is a load of independent requests: so many at one rate, or in stages.
type Poisson struct {
	Requests int
	Rate     float64 // a second
	Stages   []Stage // in the place of both
	Pause    time.Duration
	Seed     uint64
	Start    time.Time // of the run, for the ids
	Model    string
	Prompt   Lengths
	Output   Lengths
	Whole    float64 // share of answers that are not streamed, 0 to 1
	Caller   *tenant.Caller

	n      int
	stairs stairs
	one    rand.PCG // of the request at hand
}

// Next returns the next request.
func (p *Poisson) Next() (Arrival, bool) {
	stages := p.Stages
	if len(stages) == 0 {
		if p.n == p.Requests {
			return Arrival{}, false
		}
		stages = []Stage{{Rate: p.Rate, Length: never}} // more than anybody counts
	}
	at, ok := p.stairs.next(stages, p.Seed)
	if !ok {
		return Arrival{}, false
	}
	p.n++
	p.one.Seed(p.Seed, uint64(p.n))
	own := rand.New(&p.one)
	r := inference.Request{
		ID:    inference.NewID(p.Start.Add(at), uint16(p.one.Uint64()), p.one.Uint64()),
		Model: p.Model,
		Input: p.Prompt.draw(own),
		N:     1,
	}
	r.Stream = own.Float64() >= p.Whole
	return Arrival{At: at, Request: r, Caller: p.Caller, Output: p.Output.draw(own)}, true
}

// Drained implements Staged.
func (p *Poisson) Drained(at time.Duration) bool { return p.stairs.drained(p.Stages, p.Pause, at) }
