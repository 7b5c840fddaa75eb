// Package lora knows which adapters replicas hold beside their base model. An engine
// has a few slots for adapters on its GPU, and one that is asked for an adapter it does
// not hold loads it first, in the place of one that nobody uses; where all are used,
// the request waits (vLLM: max_loras).
//
// What is known is our own sends, least recently used first out as engines do it,
// corrected by what engines say of themselves (Seen).
package lora

import (
	"slices"

	"headworks/internal/fleet"
)

// Rank is how well a replica suits an adapter, the best first.
type Rank uint8

// The ranks.
const (
	Held Rank = iota // it holds the adapter
	Free             // it has a slot for it
	Idle             // another adapter has to go, which nobody uses now
	Busy             // all slots are in use: the request waits there
)

// State is what replicas hold. Its zero value knows of none. Whoever owns it
// serialises its methods.
type State struct {
	replicas []replica
	turn     int64
}

type replica struct {
	told  int // slots, as the engine says; 0: it does not
	room  int // slots that counted when the last request was sent
	slots []slot
}

// slot is an adapter that a replica holds.
type slot struct {
	name    string
	running int  // our requests
	others  bool // somebody's, when the engine told last
	used    int64
}

func (s slot) busy() bool { return s.running > 0 || s.others }

// maxHeld bounds what is known of one replica, however many requests it has.
const maxHeld = 256

// Rank returns how well a replica of so many slots suits an adapter.
func (s *State) Rank(id fleet.ReplicaID, adapter string, slots int) Rank {
	if int(id) >= len(s.replicas) {
		return Free
	}
	r := &s.replicas[id]
	busy := 0
	for i := range r.slots {
		if r.slots[i].name == adapter {
			return Held
		}
		if r.slots[i].busy() {
			busy++
		}
	}
	switch most := r.most(slots); {
	case len(r.slots) < most:
		return Free
	case busy < most:
		return Idle
	}
	return Busy
}

func (r *replica) most(slots int) int {
	if r.told > 0 {
		slots = r.told
	}
	return max(slots, 1)
}

// Take notes that a request for an adapter goes to a replica of so many slots. Give is
// called once it is over.
func (s *State) Take(id fleet.ReplicaID, adapter string, slots int) {
	r := s.at(id)
	at := r.hold(adapter)
	s.turn++
	r.slots[at].running++
	r.slots[at].used = s.turn
	r.room = r.most(slots)
	r.evict(r.room)
}

// Give notes that a request is over.
func (s *State) Give(id fleet.ReplicaID, adapter string) {
	if int(id) >= len(s.replicas) {
		return
	}
	r := &s.replicas[id]
	for i := range r.slots {
		if at := &r.slots[i]; at.name == adapter {
			at.running = max(at.running-1, 0)
			r.evict(max(r.room, 1))
			return
		}
	}
}

// Seen notes what an engine says: the adapters of the requests that it runs, and the
// slots that it has, 0 where it does not say. What it does not name it may hold all the
// same, but nobody uses it.
func (s *State) Seen(id fleet.ReplicaID, running []string, slots int) {
	r := s.at(id)
	r.told = max(slots, 0)
	for i := range r.slots {
		r.slots[i].others = false
	}
	for _, name := range running {
		if name == "" || len(r.slots) >= maxHeld {
			continue
		}
		at := r.hold(name)
		s.turn++
		r.slots[at].others, r.slots[at].used = true, s.turn
	}
	r.room = r.most(slots)
	r.evict(r.room)
}

// Forget notes that a replica began anew: it holds none.
func (s *State) Forget(id fleet.ReplicaID) {
	if int(id) >= len(s.replicas) {
		return
	}
	r := &s.replicas[id]
	r.slots = slices.DeleteFunc(r.slots, func(h slot) bool { return h.running == 0 })
}

// Holds returns the adapters that a replica holds, by name.
func (s *State) Holds(id fleet.ReplicaID) (names []string) {
	if int(id) >= len(s.replicas) {
		return nil
	}
	for _, h := range s.replicas[id].slots {
		names = append(names, h.name)
	}
	slices.Sort(names)
	return names
}

func (s *State) at(id fleet.ReplicaID) *replica {
	for int(id) >= len(s.replicas) {
		s.replicas = append(s.replicas, replica{})
	}
	return &s.replicas[id]
}

// hold returns the slot of an adapter.
func (r *replica) hold(name string) int {
	for i := range r.slots {
		if r.slots[i].name == name {
			return i
		}
	}
	r.slots = append(r.slots, slot{name: name})
	return len(r.slots) - 1
}

// evict lets go of those that nobody uses, the least recently used first, until no more
// are left than there are slots.
func (r *replica) evict(most int) {
	for len(r.slots) > most {
		out := -1
		for i := range r.slots {
			if h := &r.slots[i]; !h.busy() && (out < 0 || h.used < r.slots[out].used) {
				out = i
			}
		}
		if out < 0 {
			return // those that run stay; the rest waits there
		}
		r.slots = slices.Delete(r.slots, out, out+1)
	}
}
