package engine

import (
	"time"

	"headworks/internal/fault"
	"headworks/internal/inference"
)

// Estimate answers a call that asks how many tokens a prompt has, where the
// upstream has no way to tell; false if the call asks something else.
func Estimate(c *Call) (Stream, bool) {
	if c.Request.Dialect.Operation() != inference.Count {
		return nil, false
	}
	return &estimate{tokens: c.Request.Input}, true
}

// estimate is an answer that is there already.
type estimate struct {
	tokens int
	told   bool
}

// Next implements Stream.
func (e *estimate) Next(time.Time) (Chunk, error) {
	if e.told {
		return Chunk{}, fault.New(fault.Internal, "the answer is at its end already")
	}
	e.told = true
	return Chunk{
		Answer:    &inference.Answer{Usage: inference.Usage{Input: e.tokens}, Finish: inference.Stop},
		Event:     inference.Event{Content: true, Finishes: 1, Finish: inference.Stop},
		Last:      true,
		Estimated: true,
	}, nil
}

// Dropped implements Stream.
func (*estimate) Dropped() []string { return nil }

// Close implements Stream.
func (*estimate) Close() error { return nil }
