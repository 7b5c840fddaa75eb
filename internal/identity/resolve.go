package identity

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"headworks/internal/fault"
	"headworks/internal/tenant"
)

// maxCredential bounds what is hashed for a stranger, in bytes.
const maxCredential = 1 << 10

// words are the same for every reason, so that nobody learns which keys once were.
const words = "no valid API key was sent: send yours as `Authorization: Bearer <key>` or `x-api-key: <key>`; `headworks keys create` makes one"

// Entry is a key that may be used.
type Entry struct {
	Digest Digest
	Caller tenant.Caller // its Slot is given by the Resolver
}

// Resolver knows the callers behind keys. Any number of goroutines may resolve
// while the keys are swapped.
type Resolver struct {
	pepper  *Pepper
	callers atomic.Pointer[map[Digest]*known]
	named   atomic.Pointer[map[name]*tenant.Caller]

	mu    sync.Mutex
	slots map[string]int // by key id, never taken back
}

// name is what a key is called. Where two are called alike, neither is known by it.
type name struct{ tenant, key string }

type known struct {
	digest Digest
	caller *tenant.Caller
}

// nobody is compared with where there is no such key.
var nobody known

// NewResolver returns a Resolver that knows nobody yet.
func NewResolver(p *Pepper) *Resolver {
	r := &Resolver{pepper: p, slots: make(map[string]int)}
	r.callers.Store(new(map[Digest]*known))
	r.named.Store(new(map[name]*tenant.Caller))
	return r
}

// Swap makes entries the only keys there are. A key keeps its Slot, also if it is
// gone for a while. Two entries of one secret or one id are an error, and leave
// the keys as they were.
func (r *Resolver) Swap(entries []Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	callers := make(map[Digest]*known, len(entries))
	ids := make(map[string]bool, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.Caller.KeyID == "" {
			return errors.New("identity: a key without an id")
		}
		if ids[e.Caller.KeyID] {
			return fmt.Errorf("identity: two keys have the id %q", e.Caller.KeyID)
		}
		ids[e.Caller.KeyID] = true
		if other, ok := callers[e.Digest]; ok {
			return fmt.Errorf("identity: keys %q and %q have one secret: give each its own", other.caller.Key, e.Caller.Key)
		}
		c := e.Caller
		callers[e.Digest] = &known{digest: e.Digest, caller: &c}
	}
	for i := range entries { // in the order given, so that slots do not depend on a map
		c := callers[entries[i].Digest].caller
		slot, ok := r.slots[c.KeyID]
		if !ok {
			slot = len(r.slots)
			r.slots[c.KeyID] = slot
		}
		c.Slot = slot
	}
	named := make(map[name]*tenant.Caller, len(entries))
	for _, k := range callers {
		n := name{k.caller.Tenant, k.caller.Key}
		if _, twice := named[n]; twice {
			named[n] = nil
		} else {
			named[n] = k.caller
		}
	}
	r.callers.Store(&callers)
	r.named.Store(&named)
	return nil
}

// Each calls a function for each caller who may come, in no order.
func (r *Resolver) Each(f func(*tenant.Caller)) {
	for _, k := range *r.callers.Load() {
		f(k.caller)
	}
}

// Slots returns one more than the largest Slot ever given.
func (r *Resolver) Slots() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.slots)
}

// Resolve returns the caller whose key that is. It reads memory alone, and does
// the same work for a stranger; the credential is not kept. Its errors are
// *fault.Error of kind Unauthenticated.
func (r *Resolver) Resolve(credential []byte, now time.Time) (*tenant.Caller, error) {
	if len(credential) == 0 || len(credential) > maxCredential {
		return nil, fault.New(fault.Unauthenticated, words)
	}
	d := r.pepper.Digest(credential)
	k := (*r.callers.Load())[d]
	if k == nil {
		k = &nobody
	}
	if subtle.ConstantTimeCompare(k.digest[:], d[:]) != 1 || k.caller == nil || expired(k.caller, now) {
		return nil, fault.New(fault.Unauthenticated, words)
	}
	return k.caller, nil
}

func expired(c *tenant.Caller, now time.Time) bool {
	return !c.Expires.IsZero() && !now.Before(c.Expires)
}
