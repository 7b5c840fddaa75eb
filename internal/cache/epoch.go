package cache

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"headworks/internal/tenant"
)

// EpochKind is what kind of thing an epoch is of.
type EpochKind uint8

// The kinds of epochs.
const (
	Authorisation EpochKind = iota // who may what: a key, a scope
	Knowledge                      // a collection
	Model                          // a model, by its logical name
	Policy                         // what is decided about answers

	epochKinds
)

var epochNames = [epochKinds]string{"authorisation", "knowledge", "model", "policy"}

func (k EpochKind) String() string { return epochNames[k] }

// EpochName names an epoch.
type EpochName struct {
	Kind EpochKind
	Name string
}

// ofScope, written, ofAll name the epochs by which purges work. Every entry depends
// on that of its scope and on that of all, and on that of the key by which it was
// written where its marks come from Begin.
func ofScope(s tenant.Scope) EpochName { return EpochName{Authorisation, s.String()} }

func written(by *tenant.Caller) EpochName {
	return EpochName{Authorisation, "written by " + by.KeyID}
}

// Mark is an epoch at one moment. The zero Mark is of nothing that could move.
type Mark struct {
	of     *epoch
	n, all uint64
}

// epoch counts how often a thing changed. It lives as long as its Cache.
type epoch struct {
	EpochName
	n   atomic.Uint64
	all *atomic.Uint64 // how often everything did
}

// Current reports whether the thing is still what it was.
func (m Mark) Current() bool {
	return m.of == nil || m.of.n.Load() == m.n && m.of.all.Load() == m.all
}

// Append appends bytes that tell m from every other mark: a frame of a Key.
func (m Mark) Append(dst []byte) []byte {
	if m.of == nil {
		return append(dst, 0xff)
	}
	dst = append(dst, byte(m.of.Kind))
	dst = binary.AppendUvarint(dst, uint64(len(m.of.Name)))
	dst = append(dst, m.of.Name...)
	return binary.AppendUvarint(binary.AppendUvarint(dst, m.n), m.all)
}

// Epochs is where epochs survive the process.
type Epochs interface {
	// LoadEpochs returns all there are.
	LoadEpochs(ctx context.Context) (map[EpochName]uint64, error)
	// SaveEpoch keeps that an epoch is at n at least.
	SaveEpoch(ctx context.Context, name EpochName, n uint64) error
}

// epochs are all that were asked for. Their names come from the configuration, from
// keys and from collections, never from a request.
type epochs struct {
	mu    sync.RWMutex
	named map[EpochName]*epoch
	all   atomic.Uint64
	kept  Epochs
}

func (e *epochs) open(ctx context.Context, kept Epochs) error {
	e.named, e.kept = map[EpochName]*epoch{}, kept
	if kept == nil {
		return nil
	}
	saved, err := kept.LoadEpochs(ctx)
	for name, n := range saved {
		if name == everything {
			e.all.Store(n)
			continue
		}
		e.of(name).n.Store(n)
	}
	return err
}

// everything names the epoch on which all depend.
var everything = EpochName{Policy, "everything"}

// of returns the epoch of that name.
func (e *epochs) of(name EpochName) *epoch {
	e.mu.RLock()
	ep := e.named[name]
	e.mu.RUnlock()
	if ep != nil {
		return ep
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if ep = e.named[name]; ep == nil {
		ep = &epoch{EpochName: name, all: &e.all}
		e.named[name] = ep
	}
	return ep
}

func (e *epochs) bump(name EpochName) error {
	n := &e.all
	if name != everything {
		n = &e.of(name).n
	}
	now := n.Add(1)
	if e.kept == nil {
		return nil
	}
	return e.kept.SaveEpoch(context.Background(), name, now)
}

// Epoch returns how often a thing changed. Work that depends on it reads the epoch, or
// better its Mark, before it begins.
func (c *Cache) Epoch(kind EpochKind, name string) uint64 {
	return c.epochs.of(EpochName{kind, name}).n.Load()
}

// Mark returns the epoch of a thing as it is now.
func (c *Cache) Mark(kind EpochKind, name string) Mark {
	e := c.epochs.of(EpochName{kind, name})
	return Mark{e, e.n.Load(), e.all.Load()}
}

// Begin returns the marks of work that begins for a caller and is to be kept for a
// scope: of the scope, of the caller's key, and of the things named.
func (c *Cache) Begin(by *tenant.Caller, s tenant.Scope, names ...EpochName) []Mark {
	marks := make([]Mark, 0, 2+len(names))
	for _, n := range append([]EpochName{ofScope(s), written(by)}, names...) {
		marks = append(marks, c.Mark(n.Kind, n.Name))
	}
	return marks
}

// Bump says that a thing changed: from now on nothing is found that depends on what it
// was. The error is that this may not survive the process.
func (c *Cache) Bump(kind EpochKind, name string) error {
	return c.epochs.bump(EpochName{kind, name})
}

// PurgeModel lets go of all that a model answered, by its logical name.
func (c *Cache) PurgeModel(model string) error { return c.Bump(Model, model) }

// PurgeScope lets go of all that is kept for a scope, by its text.
func (c *Cache) PurgeScope(scope string) error { return c.Bump(Authorisation, scope) }

// PurgeKey lets go of all that was written by a key, by its id.
func (c *Cache) PurgeKey(id string) error {
	return c.epochs.bump(written(&tenant.Caller{KeyID: id}))
}

// PurgeAll lets go of all there is.
func (c *Cache) PurgeAll() error { return c.epochs.bump(everything) }
