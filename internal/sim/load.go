package sim

import (
	"math"
	"math/rand/v2"
	"time"

	"headworks/internal/inference"
	"headworks/internal/tenant"
)

// Arrival is a request and when it comes, from the start of the run. Its ID is
// all that makes it differ from another: what is drawn for it is drawn from that.
type Arrival struct {
	At      time.Duration
	Request inference.Request // Input is exact here
	Caller  *tenant.Caller
	Output  int           // tokens that the model has to say
	Leaves  time.Duration // how long the client waits for the whole answer; 0: for ever
}

// Load is where requests come from, in the order of time.
type Load interface {
	Next() (Arrival, bool)
}

// Lengths is a log-normal distribution of lengths in tokens.
type Lengths struct {
	Median float64
	Sigma  float64 // of the logarithm
	Max    int
}

func (l Lengths) draw(src *rand.Rand) int {
	return min(max(int(l.Median*math.Exp(l.Sigma*src.NormFloat64())), 1), l.Max)
}

// Poisson is a load of independent requests.
type Poisson struct {
	Requests int
	Rate     float64 // a second
	Seed     uint64
	Start    time.Time // of the run, for the ids
	Model    string
	Prompt   Lengths
	Output   Lengths
	Whole    float64 // share of answers that are not streamed, 0 to 1
	Caller   *tenant.Caller

	n   int
	at  time.Duration
	src *rand.Rand // of the pauses
	one rand.PCG   // of the request at hand
}

// Next returns the next request.
func (p *Poisson) Next() (Arrival, bool) {
	if p.n == p.Requests {
		return Arrival{}, false
	}
	if p.src == nil {
		p.src = rand.New(rand.NewPCG(p.Seed, 0))
	}
	p.n++
	p.at += time.Duration(p.src.ExpFloat64() / p.Rate * float64(time.Second))
	p.one.Seed(p.Seed, uint64(p.n))
	own := rand.New(&p.one)
	r := inference.Request{
		ID:    inference.NewID(p.Start.Add(p.at), uint16(p.one.Uint64()), p.one.Uint64()),
		Model: p.Model,
		Input: p.Prompt.draw(own),
		N:     1,
	}
	r.Stream = own.Float64() >= p.Whole
	return Arrival{At: p.at, Request: r, Caller: p.Caller, Output: p.Output.draw(own)}, true
}
