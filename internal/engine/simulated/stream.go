package simulated

import (
	"context"
	"strings"
	"time"

	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/latency"
)

// stream is a call on its way through a replica.
type stream struct {
	ctx     context.Context
	call    *engine.Call
	replica *replica
	words   []string
	prompt  int
	cut     bool // there would be more words
	dropped []string
	wake    chan struct{} // something was made
	until   *time.Timer
	deltas  []inference.Delta
	sent    int // words

	// Guarded by replica.mu.
	id   uint64
	job  latency.Handle
	open bool
	made int
}

// Next returns the words that were made since, or the whole answer.
func (s *stream) Next(until time.Time) (engine.Chunk, error) {
	var late <-chan time.Time
	for {
		if s.ctx.Err() != nil {
			return engine.Chunk{}, fault.Wrap(fault.ClientClosed, "the call was canceled", context.Cause(s.ctx))
		}
		if s.sent == len(s.words) {
			return engine.Chunk{}, fault.New(fault.Interrupted, "the answer is at its end already")
		}
		s.replica.mu.Lock()
		made := s.made
		s.replica.mu.Unlock()
		switch {
		case !s.call.Request.Stream && made == len(s.words):
			return s.whole(), nil
		case s.call.Request.Stream && made > s.sent:
			return s.piece(made), nil
		}
		if late == nil && !until.IsZero() {
			late = s.timer(time.Until(until))
		}
		select {
		case <-s.wake:
		case <-s.ctx.Done():
		case <-late:
			return engine.Chunk{}, engine.ErrQuiet
		}
	}
}

// timer returns a channel that tells when d is over. One timer serves all calls.
func (s *stream) timer(d time.Duration) <-chan time.Time {
	if s.until == nil {
		s.until = time.NewTimer(d)
	} else {
		s.until.Reset(d)
	}
	return s.until.C
}

func (s *stream) piece(made int) engine.Chunk {
	s.deltas = s.deltas[:0]
	if s.sent == 0 {
		s.deltas = append(s.deltas, inference.Delta{
			Kind:  inference.Begin,
			ID:    s.call.Request.ID.String(),
			Model: s.call.Model,
			Usage: inference.Usage{Input: s.prompt, Known: true},
		})
	}
	text := s.words[s.sent]
	if made > s.sent+1 {
		text = strings.Join(s.words[s.sent:made], "")
	}
	s.deltas = append(s.deltas, inference.Delta{Kind: inference.TextDelta, Text: text})
	s.sent = made
	c := engine.Chunk{Event: inference.Event{Content: true, Text: len(text)}}
	if made == len(s.words) {
		s.deltas = append(s.deltas, inference.Delta{Kind: inference.End, Finish: s.finish(), Usage: s.usage()})
		c.Event, c.Last = s.end(len(text)), true
	}
	c.Deltas = s.deltas
	return c
}

func (s *stream) whole() engine.Chunk {
	s.sent = len(s.words)
	text := strings.Join(s.words, "")
	return engine.Chunk{
		Answer: &inference.Answer{
			ID:     s.call.Request.ID.String(),
			Model:  s.call.Model,
			Parts:  []inference.Part{{Kind: inference.Text, Text: text}},
			Finish: s.finish(),
			Usage:  s.usage(),
		},
		Event: s.end(len(text)),
		Last:  true,
	}
}

func (s *stream) end(text int) inference.Event {
	return inference.Event{Content: true, Text: text, Finishes: 1, Finish: s.finish(), Usage: s.usage(), Terminal: true}
}

func (s *stream) finish() inference.Finish {
	if s.cut {
		return inference.Length
	}
	return inference.Stop
}

func (s *stream) usage() inference.Usage {
	return inference.Usage{Input: s.prompt, Output: len(s.words), Known: true}
}

// Dropped names what the caller asked for and canned words cannot follow.
func (s *stream) Dropped() []string { return s.dropped }

// Close frees the slot, whether or not the answer is whole.
func (s *stream) Close() error {
	if s.until != nil {
		s.until.Stop()
	}
	s.replica.cancel(s)
	return nil
}
