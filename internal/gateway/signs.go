package gateway

import (
	"sync/atomic"
	"time"

	"headworks/internal/fleet"
	"headworks/internal/flow"
)

// signs is when a piece of an answer last came from each replica. Streams write it as
// they go, without the lock; flow is told only where a request hears nothing.
type signs struct {
	of atomic.Pointer[[]*sign] // by fleet.ReplicaID
}

type sign struct{ at atomic.Int64 } // Unix nanoseconds; 0: never

// signEvery is how finely signs are told apart: with that, streams of one replica do
// not fight for a line of the processors' caches.
const signEvery = 100 * time.Millisecond

// grow makes room for so many replicas. One at a time may call it.
func (s *signs) grow(replicas int) {
	var known []*sign
	if p := s.of.Load(); p != nil {
		known = *p
	}
	if replicas <= len(known) {
		return
	}
	all := make([]*sign, replicas)
	for i := copy(all, known); i < len(all); i++ {
		all[i] = new(sign)
	}
	s.of.Store(&all)
}

// at returns the sign of a replica, nil if nobody published it.
func (s *signs) at(id fleet.ReplicaID) *sign {
	if p := s.of.Load(); p != nil && int(id) < len(*p) {
		return (*p)[id]
	}
	return nil
}

// now notes that something came.
func (s *sign) now(now time.Time) {
	if n := now.UnixNano(); s != nil && n-s.at.Load() >= int64(signEvery) {
		s.at.Store(n)
	}
}

// tell tells flow of a pool's signs.
func (s *signs) tell(p *flow.Policy, pool []fleet.Replica) {
	for i := range pool {
		if sign := s.at(pool[i].ID); sign != nil {
			if at := sign.at.Load(); at > 0 {
				p.Heard(pool[i].ID, time.Unix(0, at))
			}
		}
	}
}
