package health

import (
	"time"

	"headworks/internal/fleet"
)

// Stuck is why a replica is out from which nothing came while others answered. An
// engine that hangs refuses nothing, and often still answers probes: only that its
// streams stand still while those of its peers go on tells it from a busy one.
const Stuck = "out: silent while others answer"

// Heard notes when a piece of an answer last came from a replica, for whichever
// request.
func (s *State) Heard(id fleet.ReplicaID, at time.Time) {
	if r := s.at(id); at.After(r.heard) {
		r.heard = at
	}
}

// Silent reports whether nothing came from a replica after a moment, while something
// did from another one of its pool.
func (s *State) Silent(id fleet.ReplicaID, pool []fleet.Replica, since time.Time) bool {
	if s.HeardAfter(id, since) {
		return false
	}
	for i := range pool {
		if other := pool[i].ID; other != id && s.HeardAfter(other, since) {
			return true
		}
	}
	return false
}

// HeardAfter reports whether something came from a replica after a moment.
func (s *State) HeardAfter(id fleet.ReplicaID, moment time.Time) bool {
	return int(id) < len(s.replicas) && s.replicas[id].heard.After(moment)
}

// IsStuck reports whether a replica was put out as stuck after a request was sent
// there, and nothing came from it since.
func (s *State) IsStuck(id fleet.ReplicaID, sent time.Time) bool {
	if int(id) >= len(s.replicas) {
		return false
	}
	r := &s.replicas[id]
	return !r.out.IsZero() && r.doubt == Stuck && r.stale(sent) && !r.heard.After(r.since)
}
