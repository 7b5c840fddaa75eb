package sim

import (
	"math/rand/v2"
	"time"

	"headworks/internal/inference"
	"headworks/internal/latency"
	"headworks/internal/tenant"
)

// Conversations is a load of clients that go on: each begins with the tokens that its
// application puts before everything, asks, waits for the answer, thinks, and asks
// again, with all that was said before. A client whose request failed is gone.
//
// Lengths and pauses are exponential, the number of turns is geometric. So is what an
// agent does that calls tools, with a short pause and long results.
type Conversations struct {
	Conversations int
	Rate          float64 // that begin in a second
	Apps          int
	System        int     // tokens that the conversations of an application share
	Turns         float64 // mean, from 1
	Prompt        int     // tokens that are new in a turn, mean
	Output        int     // tokens of an answer, mean
	Think         time.Duration
	Seed          uint64
	Start         time.Time // of the run, for the ids
	Model         string
	Caller        *tenant.Caller

	n   int
	at  time.Duration
	src *rand.Rand // of the pauses between begins
}

// mostContext ends a conversation, in tokens.
const mostContext = 100_000

// Next returns the first turn of the next conversation.
func (c *Conversations) Next() (Arrival, bool) {
	if c.n == c.Conversations {
		return Arrival{}, false
	}
	if c.src == nil {
		c.src = rand.New(rand.NewPCG(c.Seed, 0))
	}
	c.n++
	c.at += time.Duration(c.src.ExpFloat64() / c.Rate * float64(time.Second))
	t := &talk{load: c, number: uint64(c.n), src: rand.New(rand.NewPCG(c.Seed, uint64(c.n)))}
	t.app = uint64(t.src.IntN(c.Apps))
	t.said = c.System
	return t.turn(c.at), true
}

// talk is one conversation.
type talk struct {
	load   *Conversations
	number uint64
	app    uint64
	src    *rand.Rand
	said   int      // tokens up to now
	blocks []uint64 // of them
}

func (t *talk) draw(mean int) int {
	return max(1, min(int(t.src.ExpFloat64()*float64(mean)), 8*mean))
}

// turn returns what is asked next.
func (t *talk) turn(at time.Duration) Arrival {
	c := t.load
	t.said += t.draw(c.Prompt)
	for i := len(t.blocks); i < t.said/latency.PrefixTokens; i++ {
		of := t.app + 1
		if (i+1)*latency.PrefixTokens > c.System {
			of = 1<<32 + t.number
		}
		t.blocks = append(t.blocks, spread(spread(of)+uint64(i)))
	}
	a := Arrival{At: at, Caller: c.Caller, Output: t.draw(c.Output), Follow: t.follow}
	a.Request = inference.Request{
		ID:    inference.NewID(c.Start.Add(at), uint16(t.src.Uint64()), t.src.Uint64()),
		Model: c.Model, Session: spread(t.number), Input: t.said, N: 1, Stream: true,
		Blocks: t.blocks[:len(t.blocks):len(t.blocks)],
	}
	t.said += a.Output
	return a
}

// follow returns the turn after an answer that ended at a time.
func (t *talk) follow(ended time.Duration) (Arrival, bool) {
	if t.src.Float64()*t.load.Turns < 1 || t.said >= mostContext {
		return Arrival{}, false
	}
	return t.turn(ended + time.Duration(t.src.ExpFloat64()*float64(t.load.Think))), true
}
