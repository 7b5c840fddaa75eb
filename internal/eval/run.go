package eval

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"
)

// Answer is what a target answered.
type Answer struct {
	Text     string
	Finish   string // as OpenAI names it
	Upstream string // that answered, where it says so
	Input    int    // tokens
	Output   int
	Cost     int64 // micro-USD
	Priced   bool  // Cost is known
	Took     time.Duration

	Request   string // its id, where the answer has one
	Simulated bool   // nothing ran a model
}

// Asker asks a target. A failure is an error that tells whether and when to ask again
// by being a *Busy.
type Asker interface {
	Ask(ctx context.Context, target string, messages []Message, fields map[string]any) (Answer, error)
}

// Busy is the error of a target that may answer later.
type Busy struct {
	After time.Duration // 0: nobody says
	Words string
}

func (b *Busy) Error() string { return b.Words }

// Mark is what came of one item at one target.
type Mark struct {
	Item   string `json:"item"` // its Print, together with all that decides on the answer
	ID     string `json:"id"`
	Target string `json:"target"`
	Right  bool   `json:"right"`
	Failed string `json:"failed,omitempty"` // why there is no answer; then nothing else counts
	Finish string `json:"finish,omitempty"`
	Answer string `json:"answer,omitempty"`
	Judged bool   `json:"judged,omitempty"` // by a model

	Input  int     `json:"input_tokens"`
	Output int     `json:"output_tokens"`
	Cost   int64   `json:"cost_microusd"`
	Priced bool    `json:"priced"`
	Millis float64 `json:"ms"`

	Simulated bool `json:"simulated,omitempty"`
}

// Plan is what is asked, and how.
type Plan struct {
	Items    []Item
	Base     string
	Variant  string
	Judge    string // a model; empty: none
	Fields   map[string]any
	Settings string // what sets marks of another way to ask apart
	At       int    // requests at once
	Tries    int
	Asker    Asker
	Known    map[Asked]Mark // from a run before
	Keep     func(Mark) error
	Done     func(n, of int)
	Wait     func(ctx context.Context, d time.Duration) error // a timer's wait, unless given
}

// Asked is what a mark is of.
type Asked struct{ Item, Target string }

// Run asks both targets each item, and returns the marks in the order of the items,
// the base's and the variant's. Both are asked side by side, so that what else
// happens at the time meets both.
func (p *Plan) Run(ctx context.Context) (marks [][2]Mark, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	marks = make([][2]Mark, len(p.Items))
	type work struct{ item, side int }
	todo := make(chan work)
	var mu sync.Mutex
	done := 0
	var wg sync.WaitGroup
	for range max(p.At, 1) {
		wg.Go(func() {
			for w := range todo {
				m, known := p.mark(ctx, &p.Items[w.item], [2]string{p.Base, p.Variant}[w.side])
				if ctx.Err() != nil {
					continue
				}
				mu.Lock()
				marks[w.item][w.side] = m
				done++
				if p.Done != nil {
					p.Done(done, 2*len(p.Items))
				}
				if !known && p.Keep != nil {
					if err := p.Keep(m); err != nil {
						cancel(err)
					}
				}
				mu.Unlock()
			}
		})
	}
	for i := range p.Items {
		for side := range 2 {
			select {
			case todo <- work{i, side ^ i&1}: // neither is always the second
			case <-ctx.Done():
			}
		}
	}
	close(todo)
	wg.Wait()
	return marks, context.Cause(ctx)
}

// mark asks a target one item, unless its mark is known.
func (p *Plan) mark(ctx context.Context, it *Item, target string) (m Mark, known bool) {
	m = Mark{Item: it.Print + p.Settings, ID: it.ID, Target: target}
	if old, ok := p.Known[Asked{m.Item, target}]; ok && old.Failed == "" {
		return old, true
	}
	fields := map[string]any{}
	maps.Copy(fields, p.Fields)
	for k, v := range it.Request {
		fields[k] = v
	}
	a, err := p.Ask(ctx, target, it.Ask(), fields)
	if err != nil {
		m.Failed = err.Error()
		return m, false
	}
	m.Finish, m.Answer = a.Finish, a.Text
	m.Input, m.Output, m.Cost, m.Priced = a.Input, a.Output, a.Cost, a.Priced
	m.Simulated = a.Simulated
	m.Millis = float64(a.Took.Microseconds()) / 1e3
	if it.Match != Judge {
		m.Right = it.Right(a.Text)
		return m, false
	}
	m.Judged = true
	v, err := p.Ask(ctx, p.Judge, verdict(it, a.Text), map[string]any{"temperature": 0})
	if err != nil {
		m.Failed = "the judge: " + err.Error()
		return m, false
	}
	yes, ok := said(v.Text)
	if !ok {
		m.Failed = "the judge gave no verdict"
	}
	m.Right = yes
	return m, false
}

// The waits before a target that is busy is asked again.
const (
	shortest = time.Second
	longest  = 30 * time.Second
)

// Ask asks a target, and asks again where it is busy.
func (p *Plan) Ask(ctx context.Context, target string, messages []Message, fields map[string]any) (Answer, error) {
	for try := 1; ; try++ {
		a, err := p.Asker.Ask(ctx, target, messages, fields)
		busy, again := errors.AsType[*Busy](err)
		if err == nil || !again || try >= max(p.Tries, 1) {
			return a, err
		}
		pause := min(max(busy.After, shortest<<(try-1)), longest)
		if err := p.wait(ctx, pause); err != nil {
			return a, err
		}
	}
}

func (p *Plan) wait(ctx context.Context, d time.Duration) error {
	if p.Wait != nil {
		return p.Wait(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
