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

// HeardLast returns when something last came from a replica, or the moment if nothing
// did after it.
func (s *State) HeardLast(id fleet.ReplicaID, moment time.Time) time.Time {
	if s.HeardAfter(id, moment) {
		return s.replicas[id].heard
	}
	return moment
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

// Outdone reports whether nothing came from a replica after a moment, while another one
// of its pool answered a request in full that was sent after it.
func (s *State) Outdone(id fleet.ReplicaID, pool []fleet.Replica, since time.Time) bool {
	if s.HeardAfter(id, since) {
		return false
	}
	for i := range pool {
		if other := pool[i].ID; other != id && int(other) < len(s.replicas) && s.replicas[other].served.After(since) {
			return true
		}
	}
	return false
}

// Doubt notes that a request met nothing but silence since a moment, and counts for so
// much of one that did for longer than it should.
func (s *State) Doubt(id fleet.ReplicaID, share float64, since time.Time) {
	r := s.at(id)
	if r.stale(since) || r.bygone(since) {
		return
	}
	if r.heard.After(r.doubted) {
		r.doubts = 0
	}
	if r.doubts == 0 || since.Before(r.doubted) {
		r.doubted = since
	}
	r.doubts += share
}

// Doubts returns how many requests met silence since something last came from a replica,
// and since when it is silent.
func (s *State) Doubts(id fleet.ReplicaID) (requests float64, since time.Time) {
	if int(id) >= len(s.replicas) {
		return 0, time.Time{}
	}
	r := &s.replicas[id]
	if r.heard.After(r.doubted) {
		return 0, time.Time{}
	}
	return r.doubts, r.doubted
}

// Probes reports whether the request that was sent then is the one that finds out.
func (s *State) Probes(id fleet.ReplicaID, sent time.Time) bool {
	return int(id) < len(s.replicas) && s.replicas[id].probing && sent.Equal(s.replicas[id].probed)
}

// Missed notes that the request that finds out met nothing but silence: the replica is
// out for longer, unless its pool cannot spare it. It ends the probe.
func (s *State) Missed(id fleet.ReplicaID, pool []fleet.Replica, sent, now time.Time, draw float64) {
	if !s.Probes(id, sent) {
		return
	}
	r := &s.replicas[id]
	r.probing = false
	if s.spare(id, pool, now) {
		s.eject(r, now, draw, r.hard)
		r.doubt = Stuck
		s.mark(id)
	}
}

// Left notes that the caller of a request left before anything came. Where that
// request was to find out, it tells nothing by itself; but once such callers waited for
// as long as an answer may take, all together, it is as if one had met silence.
func (s *State) Left(id fleet.ReplicaID, pool []fleet.Replica, enough time.Duration, sent, now time.Time, draw float64) {
	if !s.Probes(id, sent) {
		return
	}
	r := &s.replicas[id]
	if r.waited += now.Sub(sent); r.waited < enough {
		s.Spared(id, sent)
		return
	}
	s.Missed(id, pool, sent, now, draw)
}
