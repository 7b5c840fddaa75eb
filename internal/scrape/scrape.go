// Package scrape asks engines and exporters of GPUs what they say of themselves, as
// often as their load deserves, and lets flow know: each second an engine that is idle,
// four times one that works, ten times one where requests wait.
//
// Nothing depends on an answer. An engine that tells nothing stays in rotation, and
// what the gateway itself has in flight there is all that is known of its load. Only
// what the operator named is asked, by the guarded dialer, and only with GET.
package scrape

import (
	"container/heap"
	"context"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/vitals"
	"headworks/internal/wire"
)

// How often is asked.
const (
	idle     = vitals.EveryIdle
	hardware = 5 * time.Second // of an exporter, which itself looks less often
	soon     = 2 * time.Second // of one that answers, and with nothing of use: it may be starting
	unusable = time.Minute     // of one that goes on to
	failing  = 5 * time.Second
)

// Bounds of asking.
const (
	atEase    = 10              // times as long as an answer takes are left between two: it is the engine's own work
	patience  = 2 * time.Second // older words do not count
	mostBytes = 4 << 20         // of a page
	atOnce    = 64              // engines asked
	mostAsked = 8               // models of one router
)

// Speech is what an engine answers with.
type Speech uint8

// The ways to answer.
const (
	Prometheus Speech = iota // a page of metrics
	LlamaCpp                 // the same; a router of several models answers for each of them
	Ollama                   // the list of loaded models
)

// Engine is an engine to ask.
type Engine struct {
	Replica  fleet.ReplicaID
	Upstream string
	Name     string // of the replica
	Speech   Speech
	URL      string
	Host     string      // what it is asked for by, in TLS too; that of URL unless given
	Header   [][2]string // with its credential
	Own      bool        // URL is where it serves: who is refused there finds nobody who serves
	Models   []string    // that it serves, as far as is known
	Hint     string      // what to do about one that has no page
}

// Exporter is an exporter of GPUs to ask, for all replicas that run on them.
type Exporter struct {
	URL  string
	Runs []Run
}

// Run is a replica that runs on GPUs of an exporter.
type Run struct {
	Replica  fleet.ReplicaID
	Upstream string
	Name     string
	Pool     []fleet.Replica // that the replica is one of
	GPUs     []int           // their numbers; empty: all
}

// View is what is known of a replica.
type View struct {
	Report  vitals.Report
	At      time.Time // when that was asked; zero: never
	Trouble string    // why nothing newer is known
	GPUs    []vitals.GPU
	GPUsAt  time.Time
}

// Tally is what became of asking the engines and exporters of an upstream.
type Tally struct {
	Good, Bad uint64 // answers that were of use, and others
	Restarts  uint64 // engines that began anew, or were gone
}

// Scraper asks, from Run on. Its other methods may be called at any time.
type Scraper struct {
	policy func(func(*flow.Policy))
	log    *slog.Logger
	wake   chan struct{}
	dial   wire.DialFunc // of a test

	mu     sync.Mutex
	probes queue
	known  map[string]*probe // by URL and replica
	views  map[fleet.ReplicaID]*View
	asked  map[string]*Tally // by upstream
}

// New returns a Scraper of nothing. Policy calls a function with the policy.
func New(policy func(func(*flow.Policy)), log *slog.Logger) *Scraper {
	return &Scraper{
		policy: policy, log: log, wake: make(chan struct{}, 1),
		known: map[string]*probe{}, views: map[fleet.ReplicaID]*View{}, asked: map[string]*Tally{},
	}
}

// subject is what a probe asks of, an Engine or an Exporter.
type subject interface {
	key() string
	at() (url, host string)
	// ask asks once and tells when to ask again.
	ask(ctx context.Context, s *Scraper, p *probe) time.Duration
}

// probe is one address that is asked.
type probe struct {
	subject
	link   link
	at     time.Time // when it is asked next
	place  int       // in the queue; -1: it is being asked
	ended  bool
	failed int
	empty  int // answers without anything of use, one after the other

	said   string        // the last trouble
	before vitals.Report // of an engine
	told   bool          // before is one
	gone   bool          // nobody was there
	router bool          // of several models

	gpus map[int]seen      // of an exporter, by their numbers; it is replaced whole
	owed []fleet.ReplicaID // of an exporter: with an error, and its pool could not spare it yet; it is replaced whole
}

// seen is what is known of a GPU from before.
type seen struct {
	vitals.GPU
	highest float64 // clock
}

// Use replaces who is asked. Who was asked before goes on where it was. The error
// names an address that cannot be asked; nothing is replaced then.
func (s *Scraper) Use(engines []Engine, exporters []Exporter) error {
	next := map[string]*probe{}
	var fresh []*probe
	add := func(of subject) error {
		s.mu.Lock()
		old := s.known[of.key()]
		s.mu.Unlock()
		if old != nil && reflect.DeepEqual(old.subject, of) {
			next[of.key()] = old
			return nil
		}
		at, host := of.at()
		l, err := open(at, host, s.dial)
		if err != nil {
			return err
		}
		if e, ok := of.(*Engine); ok {
			l.once = e.Speech == LlamaCpp // each connection holds one of its few threads, idle or not
		}
		p := &probe{subject: of, link: l}
		if old != nil { // errors of old stay old, whoever runs on the GPUs now
			s.mu.Lock()
			p.gpus, p.owed = old.gpus, old.owed
			s.mu.Unlock()
		}
		next[of.key()] = p
		fresh = append(fresh, p)
		return nil
	}
	for i := range engines {
		if err := add(&engines[i]); err != nil {
			return err
		}
	}
	for i := range exporters {
		if err := add(&exporters[i]); err != nil {
			return err
		}
	}
	now := time.Now()
	for i, p := range fresh { // not all in the same moment
		p.at = now.Add(idle * time.Duration(i) / time.Duration(len(fresh)))
	}
	s.replace(next, fresh)
	return nil
}

func (s *Scraper) replace(next map[string]*probe, fresh []*probe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[fleet.ReplicaID]bool{}
	for _, p := range next {
		for _, id := range p.replicas() {
			seen[id] = true
		}
	}
	for id := range s.views {
		if !seen[id] {
			delete(s.views, id)
			s.policy(func(p *flow.Policy) {
				p.Observe(id, flow.Untold(), flow.Load{}, time.Time{})
				p.Slow(id, 1, time.Time{})
			})
		}
	}
	for key, p := range s.known {
		if next[key] != p {
			p.ended = true
			if p.place >= 0 {
				heap.Remove(&s.probes, p.place)
				p.link.Close()
			}
		}
	}
	s.known = next
	for _, p := range fresh {
		heap.Push(&s.probes, p)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (p *probe) replicas() (ids []fleet.ReplicaID) {
	switch of := p.subject.(type) {
	case *Engine:
		ids = append(ids, of.Replica)
	case *Exporter:
		for _, r := range of.Runs {
			ids = append(ids, r.Replica)
		}
	}
	return ids
}

// Run asks until ctx ends.
func (s *Scraper) Run(ctx context.Context) {
	var asking sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		p, wait := s.due(time.Now())
		if p == nil {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
			case <-timer.C:
			case <-s.wake:
			}
			continue
		}
		select {
		case <-ctx.Done():
		case slots <- struct{}{}:
			asking.Go(func() {
				again := p.ask(ctx, s, p)
				s.put(p, time.Now().Add(again))
				<-slots
			})
		}
	}
	asking.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.known {
		p.link.Close()
	}
}

// due takes the probe that is due, or tells how long none is.
func (s *Scraper) due(now time.Time) (*probe, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.probes) == 0 {
		return nil, time.Hour
	}
	p := s.probes[0]
	if wait := p.at.Sub(now); wait > 0 {
		return nil, wait
	}
	heap.Pop(&s.probes)
	return p, 0
}

// put lets a probe wait for its next turn.
func (s *Scraper) put(p *probe, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.ended {
		p.link.Close()
		return
	}
	p.at = at
	first := len(s.probes) == 0 || at.Before(s.probes[0].at)
	heap.Push(&s.probes, p)
	if first {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// State returns what is known of a replica; false where nobody asks.
func (s *Scraper) State(id fleet.ReplicaID) (View, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.views[id]; v != nil {
		return *v, true
	}
	return View{}, false
}

// Asked tells what became of asking, for each upstream.
func (s *Scraper) Asked(yield func(upstream string, t Tally)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, n := range s.asked {
		yield(name, *n)
	}
}

// note changes what is known of a replica, unless nobody asks for it any more.
func (s *Scraper) note(p *probe, id fleet.ReplicaID, upstream string, good bool, change func(v *View)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.ended {
		return
	}
	v := s.views[id]
	if v == nil {
		v = &View{}
		s.views[id] = v
	}
	n := s.tally(upstream)
	if good {
		n.Good++
	} else {
		n.Bad++
	}
	change(v)
}

func (s *Scraper) tally(upstream string) *Tally {
	n := s.asked[upstream]
	if n == nil {
		n = new(Tally)
		s.asked[upstream] = n
	}
	return n
}

// restarted counts an engine that began anew.
func (s *Scraper) restarted(upstream string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally(upstream).Restarts++
}

// trouble says once what is wrong, and once that it is over; empty is nothing.
func (s *Scraper) trouble(p *probe, upstream, replica, words string) {
	if p.said == words {
		return
	}
	p.said = words
	if words == "" {
		s.log.Info("an engine's metrics are read again", "upstream", upstream, "replica", replica)
		return
	}
	s.log.Warn("metrics are not read; what they are of stays in rotation", "upstream", upstream, "replica", replica, "cause", words)
}

// back returns when to ask again after another failure.
func (p *probe) back() time.Duration {
	p.failed++
	return min(idle<<min(p.failed-1, 8), failing)
}

// useless returns when to ask again after an answer without anything of use, before
// which there were so many others.
func (p *probe) useless(before int) time.Duration {
	p.empty = before + 1
	return min(soon<<min(before, 8), unusable)
}

// queue is a heap of probes by their next turn.
type queue []*probe

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i]; q[i].place, q[j].place = i, j }

func (q *queue) Push(x any) {
	p := x.(*probe)
	p.place = len(*q)
	*q = append(*q, p)
}

func (q *queue) Pop() any {
	old := *q
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	p.place = -1
	return p
}

// link is the way to one address.
type link struct {
	pool   *wire.Pool
	target string
	once   bool // no connection is kept
}

func (l link) Close() { l.pool.Close() }
