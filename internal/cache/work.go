package cache

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"headworks/internal/scan"
	"headworks/internal/tenant"
)

// Tool is a call of a tool.
type Tool struct {
	Server      string
	Name        string
	Description []byte     // all that the server says of the tool; one that is described otherwise is another one
	Arguments   scan.Value // the order of keys and the spelling of numbers do not count

	ReadOnly   bool // the server says that it changes nothing,
	Idempotent bool // and that doing it twice is as doing it once
	Allowed    bool // the operator says so too: a server need not be believed

	Life time.Duration // of its result; 0: a minute
}

const (
	toolLife  = time.Minute
	maxResult = 64 << 10
)

// Step is a step of a workflow, with what it is given.
type Step struct {
	Definition string // of the workflow, with its version
	Name       string
	Input      scan.Value
	Depends    []EpochName   // what else its state depends on
	Life       time.Duration // of its state, as of the run; 0: until others need the room
}

// Work is something that need not be done where its result is kept. Its result is kept
// for the caller and his like in the scope of its layer, unless something changed since
// the work was begun that it depends on.
//
// What is kept may be gone at any time, and is done again then: nothing is promised to
// survive. A workflow keeps elsewhere what must.
type Work struct {
	c     *Cache
	layer Layer
	scope tenant.Scope
	key   Key
	marks []Mark
	life  time.Duration
	most  int // bytes of a result; 0: as many as the budget allows
	entry Entry
	known bool
}

// Result returns the result of work that was done before. Nobody changes it.
func (w *Work) Result() (Entry, bool) { return w.entry, w.known }

// Keep keeps the result of work that was done.
func (w *Work) Keep(value []byte, took time.Duration, cost int64, now time.Time) {
	if w.c == nil || w.known || w.most > 0 && len(value) > w.most {
		return
	}
	e := Entry{Value: value, Stored: now, Took: took, Cost: cost, Marks: w.marks}
	if w.life > 0 {
		e.Expires = now.Add(w.life)
	}
	w.c.Put(w.layer, w.scope, w.key, e, now)
}

// begin looks for the result of work under a key of frames.
func (c *Cache) begin(ctx context.Context, w Work, by *tenant.Caller, names []EpochName, frames [][]byte, now time.Time) Work {
	w.marks = c.Begin(by, w.scope, names...)
	var err error
	if w.key, err = c.Key(w.layer, w.scope, frames...); err != nil {
		return Work{}
	}
	w.c = c
	if w.entry, w.known = c.Fetch(ctx, w.layer, w.scope, w.key, now); w.known && !w.entry.Fresh(now) {
		w.entry, w.known = Entry{}, false
	}
	return w
}

// BeginTool begins the call of a tool for a caller, for whose key alone its result is
// kept. Where it is not to be kept, because the tool may change something or nobody
// allowed it, the work has no result and Keep does nothing. A result that tells of an
// error is not to be kept: that is the caller's to see to.
func (c *Cache) BeginTool(ctx context.Context, by *tenant.Caller, t *Tool, now time.Time) Work {
	scope, ok := by.Scope(tenant.KeyOnly)
	if !ok || !t.ReadOnly || !t.Idempotent || !t.Allowed {
		return Work{}
	}
	w := Work{layer: Tools, scope: scope, life: t.Life, most: maxResult}
	if w.life <= 0 {
		w.life = toolLife
	}
	described := sha256.Sum256(t.Description)
	return c.begin(ctx, w, by, nil, [][]byte{[]byte(t.Server), []byte(t.Name), described[:], t.Arguments.AppendCanonical(nil, all)}, now)
}

// BeginStep begins a step for a caller, for whose project its state is kept.
func (c *Cache) BeginStep(ctx context.Context, by *tenant.Caller, s *Step, now time.Time) Work {
	scope, ok := by.Scope(tenant.Project)
	if !ok {
		return Work{}
	}
	given := sha256.Sum256(s.Input.AppendCanonical(nil, all))
	frames := [][]byte{[]byte(s.Definition), []byte(s.Name), given[:]}
	var names []byte
	for _, n := range s.Depends { // a step that depends on something else is another one
		names = append(names, byte(n.Kind))
		names = binary.AppendUvarint(names, uint64(len(n.Name)))
		names = append(names, n.Name...)
	}
	return c.begin(ctx, Work{layer: Steps, scope: scope, life: s.Life}, by, s.Depends, append(frames, names), now)
}

// all leaves nothing of a value out.
func all(int, scan.Value) bool { return false }
