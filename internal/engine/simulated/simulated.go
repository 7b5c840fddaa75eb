// Package simulated plays engines that are not there: the timing, queueing,
// batching and KV behaviour of the step model, in real time, and canned words
// that say so.
//
// All calls to one replica share one engine, whatever name they give the model.
// Nothing runs while no call is open: a timer wakes the engine for its next step,
// and there is none without work. A token is one word.
package simulated

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/latency"
)

// maxWaiting bounds the queue of one engine.
const maxWaiting = 4096

// Options say how an upstream behaves.
type Options struct {
	Params    latency.Params
	MinTokens int // of an answer, unless the caller allows fewer; 0 is 40
	MaxTokens int // 0 is 120
}

// Engine plays the replicas of one upstream.
type Engine struct {
	replicas map[fleet.ReplicaID]*replica // never changed
	min, max int
}

var _ engine.Engine = (*Engine)(nil)

// New returns an Engine that plays these replicas.
func New(replicas []fleet.Replica, o Options) *Engine {
	e := &Engine{
		replicas: make(map[fleet.ReplicaID]*replica, len(replicas)),
		min:      cmp.Or(o.MinTokens, 40), max: cmp.Or(o.MaxTokens, 120),
	}
	epoch := time.Now()
	for _, r := range replicas {
		e.replicas[r.ID] = newReplica(o.Params, epoch)
	}
	return e
}

// Open hands the call to the engine of its replica and model.
func (e *Engine) Open(ctx context.Context, c *engine.Call) (engine.Stream, error) {
	r, ok := e.replicas[c.Replica.ID]
	if !ok {
		return nil, fault.New(fault.Internal, "the replica belongs to another upstream")
	}
	if s, ok := engine.Estimate(c); ok {
		return s, nil
	}
	conversation, dropped, err := c.Conversation()
	if err != nil {
		return nil, fault.Of(err)
	}
	dropped = append(dropped, engine.Ignored(c.Request, conversation)...)
	if err := c.Keep(dropped); err != nil {
		return nil, err
	}
	s := &stream{
		ctx:     ctx,
		call:    c,
		replica: r,
		words:   compose(c.Model, c.Request.ID.Seed(), e.min, e.max),
		dropped: dropped,
		wake:    make(chan struct{}, 1),
	}
	if err := r.submit(s); err != nil {
		return nil, err
	}
	return s, nil
}

// replica is one engine in real time.
type replica struct {
	params latency.Params
	epoch  time.Time // of the model's times

	mu      sync.Mutex // guards all below, and the progress of the streams
	model   *latency.Engine
	streams []*stream // by the model's job id
	vacant  []uint64
	told    []latency.Progress
	alarm   *time.Timer // for the model's next moment; nil until there was one
}

func newReplica(p latency.Params, epoch time.Time) *replica {
	return &replica{params: p, epoch: epoch, model: latency.New(p, latency.Tokens)}
}

func (r *replica) now() time.Duration { return time.Since(r.epoch) }

// submit puts a stream's call into the engine's queue.
func (r *replica) submit(s *stream) error {
	prompt := max(s.call.Request.Input, 1)
	output := len(s.words)
	if limit := s.call.Request.MaxTokens; limit > 0 {
		output = min(output, limit)
	}
	output = r.params.Limit(prompt, output)
	if output == 0 {
		f := fault.New(fault.ContextTooLong, "the prompt does not fit the window of this simulated model; shorten it")
		f.Param = "messages"
		return f
	}
	s.prompt, s.words, s.cut = prompt, s.words[:output], output < len(s.words)

	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if r.model.Load(now).Waiting >= maxWaiting {
		f := fault.New(fault.UpstreamCapacity, "the queue of this simulated engine is full")
		f.After = time.Second
		return f
	}
	s.id = r.place(s)
	s.job, s.open = r.model.Submit(now, latency.Job{
		ID: s.id, Prompt: prompt, Output: output,
		Blocks: slices.Clone(s.call.Request.Blocks), // the engine may need them longer than the call is there
	})
	r.deliver(now)
	return nil
}

// cancel takes a call back, if it is still under way.
func (r *replica) cancel(s *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !s.open {
		return
	}
	now := r.now()
	r.model.Cancel(now, s.job)
	r.deliver(now)
	r.leave(s)
}

// tick is what the alarm does.
func (r *replica) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deliver(r.now())
}

// deliver tells the streams what was made for them, and sets the alarm.
func (r *replica) deliver(now time.Duration) {
	r.told = r.model.Advance(now, r.told[:0])
	for _, p := range r.told {
		s := r.streams[p.ID]
		s.made = p.Tokens
		if p.Last {
			r.leave(s)
		}
		if p.Last || s.call.Request.Stream {
			select {
			case s.wake <- struct{}{}:
			default:
			}
		}
	}
	next, ok := r.model.Next()
	switch {
	case ok && r.alarm == nil:
		r.alarm = time.AfterFunc(next-now, r.tick)
	case ok:
		r.alarm.Reset(next - now)
	case r.alarm != nil:
		r.alarm.Stop()
	}
}

// place gives a stream an id among the open ones.
func (r *replica) place(s *stream) uint64 {
	if n := len(r.vacant); n > 0 {
		id := r.vacant[n-1]
		r.vacant = r.vacant[:n-1]
		r.streams[id] = s
		return id
	}
	r.streams = append(r.streams, s)
	return uint64(len(r.streams) - 1)
}

// leave gives the id back: nothing more is told of it.
func (r *replica) leave(s *stream) {
	if s.open {
		s.open = false
		r.streams[s.id] = nil
		r.vacant = append(r.vacant, s.id)
	}
}
