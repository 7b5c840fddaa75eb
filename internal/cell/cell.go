// Package cell lets cells of several regions know each other: how each is and what it
// has room for, told every second, and on whose behalf one sends a request on to
// another.
//
// Both go to the address that callers use, and prove with a shared secret that they
// come from a cell: a Pass in a header field. What is told helps to choose well and is
// never needed: of a cell that says nothing no other waits for a word.
package cell

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"syscall"
	"time"

	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/wire"
)

// Path is where a gateway tells other cells how it is.
const Path = "/headworks/cell/v1"

// Report is how a gateway is, as it tells other cells.
type Report struct {
	Version  int              `json:"version"`
	Region   string           `json:"region"`
	Process  string           `json:"process"` // tells it apart from others
	Draining bool             `json:"draining"`
	Room     int              `json:"room"`   // requests of others that it takes now
	Models   map[string]Model `json:"models"` // that it can serve now
}

// Model is a model that can be served.
type Model struct {
	TTFT float64 `json:"ttft_ms"` // lately; 0 is not known
}

const (
	version    = 1       // of a report
	mostReport = 1 << 20 // bytes
	mostModels = 4096
)

// Answer writes a report, and the proof that it answers the one who asked with a
// pass.
func Answer(secret string, pass []byte, r *Report) (body []byte, proof string, err error) {
	r.Version = version
	if body, err = json.Marshal(r); err != nil {
		return nil, "", err
	}
	return body, sign(secret, "report", pass, []byte("."), body), nil
}

// read reads a report that answers a pass.
func read(secret, pass string, body []byte, proof string) (*Report, error) {
	if !hmac.Equal([]byte(proof), []byte(sign(secret, "report", []byte(pass), []byte("."), body))) {
		return nil, errAnswer
	}
	return parseReport(body)
}

func parseReport(body []byte) (*Report, error) {
	var r Report
	if err := json.Unmarshal(body, &r); err != nil || r.Version != version || r.Room < 0 || len(r.Models) > mostModels {
		return nil, errAnswer
	}
	for _, m := range r.Models {
		if !(m.TTFT >= 0 && m.TTFT < 1e9) {
			return nil, errAnswer
		}
	}
	return &r, nil
}

// Gateway is what a gateway knows.
type Gateway interface {
	// Policy calls f with the policy, between two steps.
	Policy(f func(*flow.Policy))
	// Fleet returns the one that requests meet now.
	Fleet() *fleet.Snapshot
}

// Options are what a Watch is made with.
type Options struct {
	Gateway Gateway
	Region  string        // the cell that this gateway is of
	Process string        // a name that no other process has
	Secret  func() string // may change
	Every   time.Duration // 0 is a second
	Log     *slog.Logger
}

// Watch asks the gateways of other cells how they are.
type Watch struct {
	options Options

	mu    sync.Mutex // guards links
	links map[fleet.ReplicaID]*link
}

// NewWatch returns a Watch, which asks nobody until it runs.
func NewWatch(o Options) *Watch {
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Watch{options: o, links: map[fleet.ReplicaID]*link{}}
}

// Run asks until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		w.keep(ctx, w.options.Gateway.Fleet(), &running)
		select {
		case <-ctx.Done():
			return
		case <-time.After(w.options.Every):
		}
	}
}

// keep asks whoever is in the fleet, and nobody else.
func (w *Watch) keep(ctx context.Context, s *fleet.Snapshot, running *sync.WaitGroup) {
	w.mu.Lock()
	defer w.mu.Unlock()
	there := map[fleet.ReplicaID]bool{}
	for i := range s.Upstreams {
		u := &s.Upstreams[i]
		if !u.Away {
			continue
		}
		for k := range u.Replicas {
			r := &u.Replicas[k]
			there[r.ID] = true
			if w.links[r.ID] == nil {
				l := newLink(ctx, w, r, u.Region)
				w.links[r.ID] = l
				running.Go(l.run)
			}
		}
	}
	for id, l := range w.links {
		if !there[id] {
			l.stop()
			delete(w.links, id)
		}
	}
}

// State is how it stands with a gateway of another cell.
type State struct {
	Cell   string        `json:"cell"`
	URL    string        `json:"url"`
	State  string        `json:"state"`         // one of the words below
	Why    string        `json:"why,omitempty"` // of Down
	RTT    time.Duration `json:"rtt_ns,omitzero"`
	Room   int           `json:"room"`   // requests that it takes
	Models int           `json:"models"` // that it can serve
}

// The states.
const (
	Trying   = "trying" // nothing was heard yet
	Up       = "up"
	Down     = "down"
	Draining = "draining"
	Self     = "self" // the URL leads to this process
)

// States returns how it stands with each of them.
func (w *Watch) States() []State {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []State
	s := w.options.Gateway.Fleet()
	for i := range s.Upstreams {
		for _, r := range s.Upstreams[i].Replicas {
			if l := w.links[r.ID]; l != nil {
				l.mu.Lock()
				all = append(all, l.state)
				l.mu.Unlock()
			}
		}
	}
	return all
}

// link is the way to one gateway of another cell.
type link struct {
	of     *Watch
	id     fleet.ReplicaID
	url    string
	host   string // what it is asked for by; empty: that of url
	ctx    context.Context
	stop   context.CancelFunc
	client *http.Client
	misses int // in a row

	mu    sync.Mutex
	state State
}

// What is no answer, and how many are too many.
const (
	enough  = 3
	soonest = 300 * time.Millisecond // that an answer is waited for
	latest  = time.Second
	trips   = 4 // round trips that an answer on a new connection may take
)

func newLink(ctx context.Context, w *Watch, r *fleet.Replica, region string) *link {
	l := &link{of: w, id: r.ID, url: r.URL, state: State{Cell: region, URL: r.URL, State: Trying}}
	l.ctx, l.stop = context.WithCancel(ctx)
	if r.Host != "" {
		l.host = (&url.URL{Host: r.Host}).Hostname()
	}
	l.client = &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				u, err := url.Parse(l.url)
				if err != nil {
					return nil, err
				}
				d, err := wire.NewDialer([]string{wire.HostPort(u)}, latest)
				if err != nil {
					return nil, err
				}
				return d.Dial(ctx, network, addr)
			},
			MaxIdleConns: 1, MaxConnsPerHost: 1, IdleConnTimeout: time.Minute, DisableCompression: true,
			TLSHandshakeTimeout: latest, ResponseHeaderTimeout: latest, TLSClientConfig: &tls.Config{ServerName: l.host},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return l
}

func (l *link) run() {
	defer l.client.CloseIdleConnections()
	for {
		missed := l.ask()
		rest := l.of.options.Every
		if missed && l.misses < enough {
			rest = 0 // find out soon
		}
		select {
		case <-l.ctx.Done():
			return
		case <-time.After(rest):
		}
	}
}

// ask asks once, and reports whether that was a miss.
func (l *link) ask() (missed bool) {
	patience := latest
	if rtt := l.rtt(); rtt > 0 {
		patience = min(max(trips*rtt, soonest), latest)
	}
	r, took, err := l.report(patience)
	if l.ctx.Err() != nil {
		return false
	}
	if err == nil {
		l.misses = 0
		l.hear(r, took)
		return false
	}
	l.misses++
	if errors.Is(err, syscall.ECONNREFUSED) {
		l.misses = enough // nobody is there
	}
	if l.misses >= enough {
		l.down(err)
	}
	return true
}

func (l *link) rtt() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.RTT
}

var (
	errStatus = errors.New("cell: it does not know our secret, or is no gateway of this version")
	errLarge  = errors.New("cell: a report over the bound")
)

// report asks for a report. The time it took is that of a round trip: 0 where it is
// not known, since a connection was made first.
func (l *link) report(patience time.Duration) (*Report, time.Duration, error) {
	ctx, stop := context.WithTimeout(l.ctx, patience)
	defer stop()
	u, err := url.Parse(l.url)
	if err != nil {
		return nil, 0, err
	}
	secret := l.of.options.Secret()
	pass, err := Seal(secret, &Pass{From: l.of.options.Region, Sent: time.Now().UnixMilli(), Path: Path})
	if err != nil {
		return nil, 0, err
	}
	var sent, first time.Time
	reused := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              func(i httptrace.GotConnInfo) { reused, sent = i.Reused, time.Now() },
		GotFirstResponseByte: func() { first = time.Now() },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.Scheme+"://"+u.Host+Path, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Host = l.host // empty: that of the URL
	req.Header.Set(Header, pass)
	resp, err := l.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostReport+1))
	switch {
	case err != nil:
		return nil, 0, err
	case len(body) > mostReport:
		return nil, 0, errLarge
	case resp.StatusCode != http.StatusOK:
		return nil, 0, errStatus
	}
	r, err := read(secret, pass, bytes.TrimSpace(body), resp.Header.Get(Header))
	if err != nil {
		return nil, 0, err
	}
	if !reused {
		return r, 0, nil
	}
	return r, first.Sub(sent), nil
}

// What the newest round trip counts of the mean: more where it is the shorter, since
// much makes one longer than the way is, and nothing shorter.
const (
	rises = 0.1
	falls = 0.5
)

// hear takes in a report.
func (l *link) hear(r *Report, took time.Duration) {
	state, why := Up, ""
	switch {
	case r.Process == l.of.options.Process:
		state = Self
	case r.Region != l.state.Cell:
		state, why = Down, "its region is "+r.Region
	case r.Draining:
		state = Draining
	}
	l.turn(state, why, func(s *State) {
		switch {
		case took <= 0:
		case s.RTT == 0:
			s.RTT = took
		default:
			weight := rises
			if took < s.RTT {
				weight = falls
			}
			s.RTT += time.Duration(weight * float64(took-s.RTT))
		}
		s.Room, s.Models = r.Room, len(r.Models)
	})
	c := flow.Cell{Down: state == Down || state == Self, Ends: r.Draining, Room: r.Room, RTT: l.rtt(), Models: make(map[string]time.Duration, len(r.Models))}
	for name, m := range r.Models {
		c.Models[name] = time.Duration(m.TTFT * float64(time.Millisecond))
	}
	l.tell(c)
}

// down notes that nothing was heard too often.
func (l *link) down(cause error) {
	why := "it cannot be reached"
	var slow net.Error
	switch {
	case errors.Is(cause, errStatus), errors.Is(cause, errAnswer), errors.Is(cause, errLarge):
		why = "it does not know our secret, or is no gateway of this version"
	case errors.As(cause, &slow) && slow.Timeout(), errors.Is(cause, context.DeadlineExceeded):
		why = "it does not answer in time"
	}
	l.turn(Down, why, func(s *State) { s.Room, s.Models = 0, 0 })
	l.tell(flow.Cell{Down: true, RTT: l.rtt()})
}

func (l *link) tell(c flow.Cell) {
	l.of.options.Gateway.Policy(func(p *flow.Policy) { p.Cell(l.id, c, time.Now()) })
}

// turn changes the state, and says so in the log where it is another one.
func (l *link) turn(state, why string, also func(*State)) {
	l.mu.Lock()
	was := l.state
	l.state.State, l.state.Why = state, why
	also(&l.state)
	l.mu.Unlock()
	if was.State == state && was.Why == why {
		return
	}
	level := slog.LevelInfo
	args := []any{"cell", was.Cell, "url", was.URL}
	if state == Down {
		level = slog.LevelWarn
		args = append(args, "why", why)
	}
	l.of.options.Log.Log(l.ctx, level, "a cell is "+state, args...)
}
