// Package peer lets the gateways of one cell tell each other what they know: which
// replica was sent which blocks of prompts, and what each has in flight there.
//
// Every Interval a gateway sends what is new to each of the others, over HTTP, on a
// listener that is for this alone. A message proves that its sender knows the shared
// secret, or comes over a connection whose certificate does; it is of a known version,
// read strictly, at most MaxMessage long, and good once and for a short time. What is
// told helps to choose well and is never needed: a gateway that hears nothing decides
// by what it did itself, and none waits for another.
package peer

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"headworks/internal/fleet"
	"headworks/internal/flow"
)

// Path is where messages are posted to.
const Path = "/peers/v1/news"

// Gateway is what a gateway knows.
type Gateway interface {
	// Policy calls f with the policy, between two steps.
	Policy(f func(*flow.Policy))
	// Fleet returns the one that requests meet now.
	Fleet() *fleet.Snapshot
}

// Rules are what can change while an Exchange runs.
type Rules struct {
	Hosts    []string // host:port, of which each address is a peer, or the name of SRV records
	Interval time.Duration
	Secret   string // empty: the certificates prove enough
}

// Options are what an Exchange is made with.
type Options struct {
	Gateway Gateway
	Process uint64      // a number that no other process has
	TLS     *tls.Config // to speak to peers with; nil: not encrypted
	Resolve Resolver    // nil: the system's
	Rules   Rules
	Log     *slog.Logger
}

// Resolver finds out where names lead; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// Exchange is one gateway's side.
type Exchange struct {
	options Options
	rules   atomic.Pointer[Rules]
	changed chan struct{} // Rules are others

	news   flow.News
	number uint64
	idle   bool      // nothing was in flight when last told
	spoke  time.Time // last

	mu    sync.Mutex // guards links
	links []*link

	ear ear
}

// Bounds of who is told.
const (
	maxLinks  = flow.MaxOthers
	resolves  = 5 * time.Second
	breath    = time.Second // between two messages of a gateway that has nothing to tell
	leastTick = 10 * time.Millisecond
)

// New returns an Exchange, which tells nobody anything until it runs.
func New(o Options) *Exchange {
	if o.Resolve == nil {
		o.Resolve = net.DefaultResolver
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	x := &Exchange{options: o, changed: make(chan struct{}, 1)}
	x.rules.Store(&o.Rules)
	x.ear.init()
	return x
}

// Use changes the rules.
func (x *Exchange) Use(r Rules) {
	x.rules.Store(&r)
	select {
	case x.changed <- struct{}{}:
	default:
	}
}

// Run tells the others, until ctx ends.
func (x *Exchange) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { x.find(ctx, &running) })
	x.options.Gateway.Policy(func(p *flow.Policy) { p.Share(true) })
	defer x.options.Gateway.Policy(func(p *flow.Policy) { p.Share(false) })
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(x.rules.Load().Interval, leastTick)):
		}
		x.tell(time.Now())
	}
}

// tell gives every peer what is new.
func (x *Exchange) tell(now time.Time) {
	s := x.options.Gateway.Fleet()
	x.options.Gateway.Policy(func(p *flow.Policy) { p.Tell(&x.news, s) })
	idle := len(x.news.InFlight) == 0
	if idle && x.idle && len(x.news.Holds) == 0 && len(x.news.Given) == 0 && now.Sub(x.spoke) < breath {
		return
	}
	x.idle, x.spoke = idle, now
	x.ear.missed.Add(uint64(x.news.Missed))
	messages, told := x.write(s, now)
	x.ear.told.Add(uint64(told))
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, l := range x.links {
		for _, m := range messages {
			l.give(m)
		}
	}
}

// half is how far a message is filled with what is in flight; blocks get the rest.
const half = MaxMessage / 2

// write puts the news into as many messages as they need. It returns how many blocks
// are in them.
func (x *Exchange) write(s *fleet.Snapshot, now time.Time) (messages [][]byte, blocks int) {
	names := namesOf(s)
	holds := x.news.Holds
	for first := true; first || len(holds) > 0; first = false {
		x.number++
		m := message{process: x.options.Process, number: x.number, sent: now}
		places := map[name]int{}
		size := 0
		place := func(id fleet.ReplicaID) int {
			n, ok := names[id]
			if !ok {
				return -1
			}
			at, ok := places[n]
			if !ok {
				if size += len(n.url) + 32; size > half || len(m.replicas) == maxReplicas {
					return -1
				}
				at = len(m.replicas)
				places[n] = at
				m.replicas = append(m.replicas, replica{at: n})
			}
			return at
		}
		for _, f := range x.news.InFlight { // in each, for a message is the last word
			if at := place(f.Replica); at >= 0 {
				sum := &m.replicas[at].inFlight
				sum.Requests += f.Requests
				sum.Prefill += f.Prefill
				sum.KV += f.KV
			}
		}
		if first {
			for _, id := range x.news.Given {
				if at := place(id); at >= 0 && len(m.given) < maxGiven {
					m.given = append(m.given, at)
				}
			}
		}
		room := (half - 16*len(m.given)) / 8
		for len(holds) > 0 && room > 0 && len(m.runs) < maxRuns {
			n := 1
			for n < len(holds) && n < room && holds[n].Replica == holds[0].Replica {
				n++
			}
			if at := place(holds[0].Replica); at >= 0 {
				r := run{replica: at, keys: make([]uint64, n)}
				for i := range r.keys {
					r.keys[i] = holds[i].Key
				}
				m.runs = append(m.runs, r)
				blocks += n
			}
			holds = holds[n:]
			room -= n + 1
		}
		messages = append(messages, m.append(nil))
	}
	return messages, blocks
}

// namesOf returns what the replicas of a fleet are called between gateways. What lives
// inside a process is no other's.
func namesOf(s *fleet.Snapshot) map[fleet.ReplicaID]name {
	names := make(map[fleet.ReplicaID]name, s.Replicas)
	for i := range s.Upstreams {
		for _, r := range s.Upstreams[i].Replicas {
			if shared(r.URL) && r.Key <= maxKey {
				names[r.ID] = name{r.URL, r.Key}
			}
		}
	}
	return names
}

func shared(url string) bool { return strings.Contains(url, "://") && len(url) <= maxURL }

// find keeps the links those that the names lead to.
func (x *Exchange) find(ctx context.Context, running *sync.WaitGroup) {
	defer func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, l := range x.links {
			l.stop()
		}
	}()
	known := map[string][]peer{}
	for {
		var want []peer
		for _, host := range x.rules.Load().Hosts {
			found, err := lookUp(ctx, x.options.Resolve, host)
			if err != nil { // where they were, they may well be
				if known[host] == nil {
					x.options.Log.Warn("a peer's name leads nowhere", "host", host)
				}
				found = known[host]
			}
			known[host] = found
			want = append(want, found...)
		}
		x.keep(ctx, want, running)
		select {
		case <-ctx.Done():
			return
		case <-x.changed:
		case <-time.After(resolves):
		}
	}
}

// peer is where another gateway may be.
type peer struct {
	addr string // literal
	host string // as its certificate has it
}

func (x *Exchange) keep(ctx context.Context, want []peer, running *sync.WaitGroup) {
	slices.SortFunc(want, func(a, b peer) int { return cmp.Or(cmp.Compare(a.addr, b.addr), cmp.Compare(a.host, b.host)) })
	want = slices.CompactFunc(want, func(a, b peer) bool { return a.addr == b.addr })
	if len(want) > maxLinks {
		x.options.Log.Warn("more peers than are spoken to", "found", len(want), "most", maxLinks)
		want = want[:maxLinks]
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.links = slices.DeleteFunc(x.links, func(l *link) bool {
		if slices.Contains(want, l.to) {
			return false
		}
		l.stop()
		return true
	})
	for _, p := range want {
		if slices.ContainsFunc(x.links, func(l *link) bool { return l.to == p }) {
			continue
		}
		l := newLink(ctx, x, p)
		x.links = append(x.links, l)
		running.Go(l.run)
	}
}

// lookUp returns what a host of the rules stands for.
func lookUp(ctx context.Context, r Resolver, host string) ([]peer, error) {
	ctx, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	if strings.HasPrefix(host, "_") {
		_, records, err := r.LookupSRV(ctx, "", "", host)
		if err != nil {
			return nil, err
		}
		var all []peer
		for _, rec := range records {
			target := strings.TrimSuffix(rec.Target, ".")
			found, err := lookUp(ctx, r, net.JoinHostPort(target, strconv.Itoa(int(rec.Port))))
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
		return all, nil
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		return nil, err
	}
	if at, err := netip.ParseAddr(name); err == nil {
		return []peer{{net.JoinHostPort(at.String(), port), name}}, nil
	}
	addrs, err := r.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, err
	}
	var all []peer
	for _, at := range addrs {
		all = append(all, peer{net.JoinHostPort(at.Unmap().String(), port), name})
	}
	return all, nil
}
