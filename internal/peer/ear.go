package peer

import (
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"headworks/internal/fleet"
	"headworks/internal/flow"
)

// ear is how a gateway hears the others.
type ear struct {
	mu     sync.Mutex // guards last, of, ids and unknown
	last   map[uint64]heard
	of     *fleet.Snapshot // that ids are of
	ids    map[name][]spot
	places chan struct{} // taken by those who send, once their heads proved who they are

	unknown map[string]int // messages being read of those whose heads prove nothing, by address

	told, missed, learned, refused atomic.Uint64
}

// heard is the last message of a process.
type heard struct {
	number uint64
	at     time.Time
}

// spot is a replica of ours.
type spot struct {
	upstream int
	id       fleet.ReplicaID
}

const (
	maxHeard = 4 * flow.MaxOthers // processes whose last message is kept
	skew     = 30 * time.Second   // that two clocks may differ
	atOnce   = 16                 // messages that are read
	unproven = 8                  // of those whose heads prove nothing
	fromOne  = 2                  // of them, from one address
	brief    = time.Second        // in which such a message has to come whole
	chunk    = 1024               // blocks that are taken in while requests wait
)

func (e *ear) init() {
	e.last, e.places, e.unknown = map[uint64]heard{}, make(chan struct{}, atOnce), map[string]int{}
}

// Counts is what was told and heard since the start.
type Counts struct {
	Told    uint64 // blocks
	Missed  uint64 // blocks that there was no room for
	Learned uint64 // blocks
	Refused uint64 // messages
}

// Counts returns what was told and heard.
func (x *Exchange) Counts() Counts {
	e := &x.ear
	return Counts{e.told.Load(), e.missed.Load(), e.learned.Load(), e.refused.Load()}
}

// ServeHTTP takes in a message. Who comes over mutual TLS was let in by the listener.
func (x *Exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status := x.hear(w, r)
	if status != http.StatusNoContent && status != statusSelf {
		x.ear.refused.Add(1)
	}
	w.WriteHeader(status)
}

func (x *Exchange) hear(w http.ResponseWriter, r *http.Request) (status int) {
	switch {
	case r.URL.Path != Path:
		return http.StatusNotFound
	case r.Method != http.MethodPost:
		return http.StatusMethodNotAllowed
	case r.ContentLength <= 0 || r.ContentLength > MaxMessage:
		return http.StatusRequestEntityTooLarge
	}
	secret, now := x.rules.Load().Secret, time.Now()
	proven := secret == "" && r.TLS != nil && len(r.TLS.VerifiedChains) > 0
	known := proven || headed(secret, r.Header.Get("Authorization"), r.Header.Get(headField), now)
	leave, ok := x.ear.place(known, r.RemoteAddr)
	if !ok {
		return http.StatusTooManyRequests
	}
	defer leave()
	if !known {
		// Where no deadline can be set, ReadTimeout of the server holds.
		_ = http.NewResponseController(w).SetReadDeadline(now.Add(brief))
	}
	b := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, b); err != nil {
		return http.StatusBadRequest
	}
	if !proven && !sealed(secret, b, r.Header.Get("Authorization")) {
		return http.StatusUnauthorized
	}
	m, err := parse(b)
	switch {
	case err != nil:
		return http.StatusBadRequest
	case m.process == x.options.Process:
		return statusSelf
	case !x.ear.fresh(m, time.Now()):
		return statusClock
	}
	x.learn(m)
	return http.StatusNoContent
}

// place takes a place to be read at, and returns how to leave it. Strangers have few
// places and none of those of the others, so they can keep nobody from being heard.
func (e *ear) place(known bool, remote string) (leave func(), ok bool) {
	if known {
		select {
		case e.places <- struct{}{}:
			return func() { <-e.places }, true
		default:
			return nil, false
		}
	}
	address, _, err := net.SplitHostPort(remote)
	if err != nil {
		address = remote
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	all := 0
	for _, n := range e.unknown {
		all += n
	}
	if all >= unproven || e.unknown[address] >= fromOne {
		return nil, false
	}
	e.unknown[address]++
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.unknown[address]--; e.unknown[address] == 0 {
			delete(e.unknown, address)
		}
	}, true
}

// fresh reports whether a message is of now, and newer than all of its process.
func (e *ear) fresh(m *message, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if off := now.Sub(m.sent); off > skew || off < -skew {
		return false
	}
	last, known := e.last[m.process]
	if known && m.number <= last.number {
		return false
	}
	if !known && len(e.last) >= maxHeard {
		for process, h := range e.last {
			if now.Sub(h.at) > 2*skew { // its messages are too old by now
				delete(e.last, process)
			}
		}
		if len(e.last) >= maxHeard {
			return false
		}
	}
	e.last[m.process] = heard{m.number, now}
	return true
}

// learn gives the policy what a message says of replicas that are known here.
func (x *Exchange) learn(m *message) {
	s := x.options.Gateway.Fleet()
	ids := x.ear.spots(s)
	var inFlight []flow.InFlight
	for i := range m.replicas {
		r := &m.replicas[i]
		for _, at := range ids[r.at] {
			if r.inFlight != (flow.Load{}) {
				inFlight = append(inFlight, flow.InFlight{Replica: at.id, Load: r.inFlight})
			}
		}
	}
	var given []fleet.ReplicaID
	for _, place := range m.given {
		for _, at := range ids[m.replicas[place].at] {
			given = append(given, at.id)
		}
	}
	x.options.Gateway.Policy(func(p *flow.Policy) { p.Hear(m.process, inFlight, given, time.Now()) })
	var holds [chunk]flow.Hold
	for i := range m.runs {
		r := &m.runs[i]
		for _, at := range ids[m.replicas[r.replica].at] {
			for keys := r.keys; len(keys) > 0; {
				n := min(len(keys), chunk)
				for i, k := range keys[:n] {
					holds[i] = flow.Hold{Replica: at.id, Key: k}
				}
				keys = keys[n:]
				x.options.Gateway.Policy(func(p *flow.Policy) { p.Learn(&s.Upstreams[at.upstream], holds[:n]) })
				x.ear.learned.Add(uint64(n))
			}
		}
	}
}

// spots returns the replicas of a fleet by what they are called between gateways.
func (e *ear) spots(s *fleet.Snapshot) map[name][]spot {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.of != s {
		e.of, e.ids = s, map[name][]spot{}
		for i := range s.Upstreams {
			for _, r := range s.Upstreams[i].Replicas {
				if shared(r.URL) {
					n := name{r.URL, r.Key}
					e.ids[n] = append(e.ids[n], spot{i, r.ID})
				}
			}
		}
	}
	return e.ids
}
