// Package admit decides whether a request may enter now: so many at once per key,
// so many at once in all, and one bounded queue for those that must wait, the
// dearer classes first.
package admit

import (
	"headworks/internal/fault"
	"headworks/internal/tenant"
)

// Limits bound what is inside at once.
type Limits struct {
	InFlight int // requests being served; 0 is no limit
	Queue    int // requests waiting for one of those places
}

// Place is a request's place at the gate. It is part of whatever the driver keeps
// of the request, so entering allocates nothing; Of says whose place it is.
type Place[T any] struct {
	Of         T
	prev, next *Place[T]
	slot       int
	class      tenant.Class
	state      state
}

type state uint8

const (
	outside state = iota
	waiting
	inside
	beside
)

// Verdict is the answer to a request at the gate.
type Verdict struct {
	Fault fault.Kind // None: entered, or waiting
	Wait  bool
}

// Gate counts who is inside and keeps the queue. Whoever owns it serialises its
// methods.
type Gate[T any] struct {
	Limits Limits

	inFlight, queued int
	keys             []int32 // by Caller.Slot: inside and waiting
	queues           [4]list[T]
}

type list[T any] struct{ first, last *Place[T] }

// Enter asks for a place. It counts against the key at once, also while waiting.
func (g *Gate[T]) Enter(p *Place[T], c *tenant.Caller) Verdict {
	for c.Slot >= len(g.keys) {
		g.keys = append(g.keys, 0)
	}
	if n := c.Tier.Concurrency; n > 0 && int(g.keys[c.Slot]) >= n {
		return Verdict{Fault: fault.Concurrency}
	}
	p.slot, p.class = c.Slot, c.Tier.Class
	if g.Limits.InFlight <= 0 || g.inFlight < g.Limits.InFlight {
		p.state = inside
		g.inFlight++
		g.keys[p.slot]++
		return Verdict{}
	}
	if g.queued >= g.Limits.Queue {
		return Verdict{Fault: fault.Overloaded}
	}
	p.state = waiting
	g.queued++
	g.keys[p.slot]++
	q := &g.queues[p.class]
	p.prev, p.next = q.last, nil
	if q.last == nil {
		q.first = p
	} else {
		q.last.next = p
	}
	q.last = p
	return Verdict{Wait: true}
}

// Beside takes a place that counts against the key alone: of a request that shares what
// is done for another one. It returns None, or why the key may not.
func (g *Gate[T]) Beside(p *Place[T], c *tenant.Caller) fault.Kind {
	for c.Slot >= len(g.keys) {
		g.keys = append(g.keys, 0)
	}
	if n := c.Tier.Concurrency; n > 0 && int(g.keys[c.Slot]) >= n {
		return fault.Concurrency
	}
	p.slot, p.class, p.state = c.Slot, c.Tier.Class, beside
	g.keys[p.slot]++
	return fault.None
}

// Leave gives the place back, from inside, from the queue or from beside, and returns the
// place that may enter in its stead, or nil. Leaving twice does nothing.
func (g *Gate[T]) Leave(p *Place[T]) *Place[T] {
	was := p.state
	p.state = outside
	switch was {
	case waiting:
		g.keys[p.slot]--
		g.unlink(p)
		return nil
	case beside:
		g.keys[p.slot]--
		return nil
	case inside:
		g.keys[p.slot]--
		g.inFlight--
		return g.Next()
	default:
		return nil
	}
}

// Next lets the first of those who wait in, where there is room, and returns its
// place, or nil. Whoever raises the limits calls it until then.
func (g *Gate[T]) Next() *Place[T] {
	if g.Limits.InFlight > 0 && g.inFlight >= g.Limits.InFlight {
		return nil // the limit was lowered meanwhile
	}
	for c := range g.queues {
		if p := g.queues[c].first; p != nil {
			g.unlink(p)
			p.state = inside
			g.inFlight++
			return p
		}
	}
	return nil
}

func (g *Gate[T]) unlink(p *Place[T]) {
	q := &g.queues[p.class]
	if p.prev == nil {
		q.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		q.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.prev, p.next = nil, nil
	g.queued--
}

// Entered reports whether the place is inside.
func (p *Place[T]) Entered() bool { return p.state == inside }

// InFlight returns how many are inside.
func (g *Gate[T]) InFlight() int { return g.inFlight }

// Queued returns how many wait, by class.
func (g *Gate[T]) Queued() (n [4]int) {
	for c := range g.queues {
		for p := g.queues[c].first; p != nil; p = p.next {
			n[c]++
		}
	}
	return n
}

// Waiting returns how many wait.
func (g *Gate[T]) Waiting() int { return g.queued }
