package gateway

import (
	"sync"
	"time"

	"headworks/internal/engine"
	"headworks/internal/inference"
)

// relay lets the client of an answer that others share read at its own pace: what it
// was not given yet waits in the flight's log, and nobody waits for it.
type relay struct {
	flight      *flight
	sink        Sink
	head        Head
	raw, deltas int        // given of the log
	writing     sync.Mutex // the sink is in use

	limited    bool          // it is known how much of the log is for the relay
	stop       chan struct{} // closed then
	upToRaw    int
	upToDeltas int
	done       chan struct{} // closed once all of that was given, or err says why not
	err        error
}

// relays lets a relay go on with the answer, once somebody shares it. It reports whether
// one does.
func (x *exchange) relays() bool {
	r := x.reuse
	if r == nil || !r.leads || x.first.IsZero() {
		return false
	}
	if r.relay != nil {
		return true
	}
	f := r.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count < 2 || f.full || r.seat.gone {
		return false
	}
	r.relay = &relay{
		flight: f, sink: x.sink, head: x.head, raw: len(f.log.raw), deltas: len(f.log.deltas),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go r.relay.run()
	return true
}

// run gives the client what is in the log.
func (r *relay) run() {
	defer close(r.done)
	for {
		f := r.flight
		f.mu.Lock()
		upToRaw, upToDeltas := len(f.log.raw), len(f.log.deltas)
		limited := r.limited
		if limited {
			upToRaw, upToDeltas = r.upToRaw, r.upToDeltas
		}
		raw, deltas := f.log.raw[r.raw:upToRaw:upToRaw], f.log.deltas[r.deltas:upToDeltas:upToDeltas]
		if f.changed == nil {
			f.changed = make(chan struct{})
		}
		changed := f.changed
		f.mu.Unlock()
		if len(raw)+len(deltas) == 0 {
			if limited {
				return
			}
			select {
			case <-changed:
			case <-r.stop:
			}
			continue
		}
		r.raw, r.deltas = upToRaw, upToDeltas
		c := engine.Chunk{Raw: raw, Event: inference.Event{Content: true}}
		if len(deltas) > 0 {
			c.Deltas = deltas
		}
		r.writing.Lock()
		r.err = r.sink.Send(&r.head, &c)
		r.writing.Unlock()
		if r.err != nil {
			return
		}
	}
}

// failed returns why the client cannot be reached any more; nil as long as it can.
func (r *relay) failed() error {
	select {
	case <-r.done:
		return r.err
	default:
		return nil
	}
}

// upTo tells the relay that what comes from now on is not for it.
func (r *relay) upTo() {
	f := r.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	if !r.limited {
		r.limited, r.upToRaw, r.upToDeltas = true, len(f.log.raw), len(f.log.deltas)
		close(r.stop)
	}
}

// alive tells the client that the connection lives; one that is given something now
// knows that.
func (r *relay) alive() error {
	if !r.writing.TryLock() {
		return nil
	}
	defer r.writing.Unlock()
	if err := r.failed(); err != nil {
		return err
	}
	return r.sink.Alive()
}

// direct waits until the relay gave all that is for it, and goes on without one.
func (x *exchange) direct() error {
	began := time.Now()
	r := x.reuse.relay
	x.reuse.relay = nil
	r.upTo()
	<-r.done
	x.writing += time.Since(began)
	return r.err
}
