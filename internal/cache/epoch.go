package cache

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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

	EpochKinds // how many there are
)

var epochNames = [EpochKinds]string{"authorisation", "knowledge", "model", "policy"}

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

// Epochs is where epochs survive the process. Kinds are by their names.
type Epochs interface {
	// LoadEpochs tells of all there are.
	LoadEpochs(ctx context.Context, tell func(kind, name string, n uint64)) error
	// SaveEpoch keeps that an epoch is at n, unless it is further already.
	SaveEpoch(ctx context.Context, kind, name string, n uint64) error
}

// epochs are all that were asked for. Their names come from the configuration, from
// keys and from collections, never from a request.
type epochs struct {
	mu     sync.RWMutex
	named  map[EpochName]*epoch
	scopes map[tenant.Scope]*scoped
	all    atomic.Uint64
	kept   Epochs

	level  *level               // nil: nobody is to be told
	untold map[EpochName]uint64 // bumps that other gateways do not know of
}

func (e *epochs) open(ctx context.Context, kept Epochs, v *level) error {
	e.named, e.scopes, e.kept, e.level, e.untold = map[EpochName]*epoch{}, map[tenant.Scope]*scoped{}, kept, v, map[EpochName]uint64{}
	if kept == nil {
		return nil
	}
	return kept.LoadEpochs(ctx, func(kind, name string, n uint64) {
		if k := slices.Index(epochNames[:], kind); k >= 0 {
			e.count(EpochName{EpochKind(k), name}).Store(n)
		}
	})
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

// count returns what counts an epoch.
func (e *epochs) count(name EpochName) *atomic.Uint64 {
	if name == everything {
		return &e.all
	}
	return &e.of(name).n
}

// scoped is a scope, once for all its entries, and its epoch.
type scoped struct {
	tenant.Scope
	epoch *epoch
}

// scope returns what stands for a scope.
func (e *epochs) scope(s tenant.Scope) *scoped {
	e.mu.RLock()
	sc := e.scopes[s]
	e.mu.RUnlock()
	if sc != nil {
		return sc
	}
	of := e.of(ofScope(s))
	e.mu.Lock()
	defer e.mu.Unlock()
	if sc = e.scopes[s]; sc == nil {
		sc = &scoped{s, of}
		e.scopes[s] = sc
	}
	return sc
}

func (e *epochs) bump(name EpochName) error {
	n := e.count(name).Add(1)
	if e.kept != nil {
		if err := e.kept.SaveEpoch(context.Background(), name.Kind.String(), name.Name, n); err != nil {
			return err
		}
	}
	if e.level == nil {
		return nil
	}
	e.mu.Lock()
	e.untold[name]++
	e.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), tellTime)
	defer cancel()
	if err := e.tell(ctx, name, e.level.raise); err != nil {
		return ErrUntold
	}
	return nil
}

const (
	tellTime = time.Second
	// mostNamed bounds the epochs that other gateways may make known.
	mostNamed = 1 << 20
)

// ErrUntold is what Bump returns where the thing is gone here, and other gateways hear
// of it only once the shared store answers again.
var ErrUntold = errors.New("cache: done here; other gateways hear of it once the shared store answers")

func (n EpochName) String() string { return n.Kind.String() + ":" + n.Name }

// tell lets other gateways know of an epoch, and of its bumps that they do not know of.
func (e *epochs) tell(ctx context.Context, name EpochName, raise func(ctx context.Context, name string, least, by uint64) (uint64, error)) error {
	e.mu.Lock()
	by := e.untold[name]
	delete(e.untold, name)
	e.mu.Unlock()
	count := e.count(name)
	n, err := raise(ctx, name.String(), count.Load()-by, by)
	if err != nil {
		e.mu.Lock()
		e.untold[name] += by
		e.mu.Unlock()
		return err
	}
	e.raise(name, count, n)
	return nil
}

// raise brings an epoch to n, if it is not further already.
func (e *epochs) raise(name EpochName, count *atomic.Uint64, n uint64) {
	for was := count.Load(); was < n; was = count.Load() {
		if !count.CompareAndSwap(was, n) {
			continue
		}
		if e.kept != nil {
			// What is lost here is heard again, for as long as the shared store has it.
			_ = e.kept.SaveEpoch(context.Background(), name.Kind.String(), name.Name, n)
		}
	}
}

// catchUp tells other gateways of all epochs.
func (e *epochs) catchUp(ctx context.Context) error {
	names := []EpochName{everything}
	e.mu.RLock()
	for name, ep := range e.named {
		if ep.n.Load() > 0 {
			names = append(names, name)
		}
	}
	e.mu.RUnlock()
	for _, name := range names {
		limited, cancel := context.WithTimeout(ctx, tellTime)
		err := e.tell(limited, name, e.level.store.Raise)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// heard takes in what another gateway said.
func (e *epochs) heard(flat string, n uint64) {
	kind, rest, _ := strings.Cut(flat, ":")
	k := slices.Index(epochNames[:], kind)
	if k < 0 {
		return
	}
	name := EpochName{EpochKind(k), rest}
	e.mu.RLock()
	full := e.named[name] == nil && len(e.named) >= mostNamed
	e.mu.RUnlock()
	if !full {
		e.raise(name, e.count(name), n)
	}
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
// was. The error is that this may not survive the process, or ErrUntold.
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
