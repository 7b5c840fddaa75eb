package scrape

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/health"
	"headworks/internal/vitals"
	"headworks/internal/wire"
)

// open returns the way to an address, which is asked for by name, or by its own host
// where there is none; dial is that of a test, or nil.
func open(raw, name string, dial wire.DialFunc) (link, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil {
		return link{}, errors.New("the address of metrics is http:// or https://, a host, and perhaps a port and a path")
	}
	dialer, err := wire.NewDialer([]string{wire.HostPort(u)}, 0)
	if err != nil {
		return link{}, err
	}
	if dial == nil {
		dial = dialer.Dial
	}
	pool, err := wire.NewPool(u.Scheme+"://"+u.Host, dial, wire.PoolLimits{Idle: 1, Name: name})
	if err != nil {
		return link{}, err
	}
	return link{pool: pool, target: u.RequestURI()}, nil
}

// get asks for a page and lets read have it, in a time that no engine is given longer.
// Any status but 200 is an error of type status.
func (l link) get(ctx context.Context, query string, header [][2]string, read func(page []byte) error) error {
	until := time.Now().Add(patience)
	ctx, stop := context.WithDeadline(ctx, until)
	defer stop()
	var h wire.Header
	for _, f := range header {
		h.Add(f[0], f[1])
	}
	h.Add("Accept", "text/plain;version=0.0.4, application/json;q=0.5")
	r, err := l.pool.Send(ctx, &wire.Request{Method: "GET", Target: l.target + query, Header: &h})
	if err != nil {
		return err
	}
	if l.once {
		defer func() { l.pool.Sweep(until.Add(time.Hour)) }()
	}
	defer r.Close()
	code, err := r.Head(until)
	if err != nil {
		return err
	}
	if code != 200 {
		return status(code)
	}
	page, err := r.Body(mostBytes, until)
	if err != nil {
		return err
	}
	return read(page)
}

// status is one that says that there is no page.
type status int

func (s status) Error() string { return fmt.Sprint("the answer has status ", int(s)) }

// unread is a page that has nothing of use.
type unread struct{ error }

func (e *Engine) key() string            { return fmt.Sprint(e.URL, " ", e.Replica) }
func (e *Engine) at() (url, host string) { return e.URL, e.Host }

func (e *Engine) ask(ctx context.Context, s *Scraper, p *probe) time.Duration {
	var counted flow.Load
	s.policy(func(policy *flow.Policy) { counted = policy.InFlight(e.Replica) })
	if p.router && counted.Requests == 0 {
		return idle // to be asked keeps a model of a router awake
	}
	asked := time.Now()
	report, err := e.report(ctx, p)
	took := time.Since(asked)
	if ctx.Err() != nil {
		return idle
	}
	if err != nil {
		return e.failed(s, p, err)
	}
	p.failed, p.empty, p.gone = 0, 0, false
	anew := p.told && report.Since(&p.before)
	p.before, p.told = report, true
	s.policy(func(policy *flow.Policy) {
		if anew {
			policy.Restarted(e.Upstream, e.Replica)
		}
		// What the engine said is of a moment in between.
		now := policy.InFlight(e.Replica)
		counted.Requests, counted.KV = max(counted.Requests, now.Requests), max(counted.KV, now.KV)
		policy.Observe(e.Replica, told(&report), counted, asked)
		if report.Slots > 0 {
			policy.Adapted(e.Replica, report.Adapters, report.Slots)
		}
	})
	words := ""
	if report.Missing != "" {
		words = "the page of " + report.Engine + " does not tell " + report.Missing + ": a name changed, or it is of another program"
	}
	s.note(p, e.Replica, e.Upstream, words == "", func(v *View) { v.Report, v.At, v.Trouble = report, asked, words })
	switch {
	case anew && report.Engine == "ollama":
		s.log.Info("an engine let go of a model; what its cache held is forgotten", "upstream", e.Upstream, "replica", e.Name)
	case anew:
		s.restarted(e.Upstream)
		s.log.Info("an engine began anew; what its cache held is forgotten", "upstream", e.Upstream, "replica", e.Name)
	}
	s.trouble(p, e.Upstream, e.Name, words)
	return min(max(every(&report, counted), atEase*took), idle)
}

func told(r *vitals.Report) flow.Told {
	o := flow.Told{Requests: r.Requests(), Waiting: r.Waiting, KV: -1, Capacity: r.KVTokens}
	if r.KVUse >= 0 && r.KVTokens > 0 {
		o.KV = int(r.KVUse * float64(r.KVTokens))
	}
	return o
}

// every returns how soon an engine is asked again.
func every(r *vitals.Report, counted flow.Load) time.Duration {
	if r.Engine == "ollama" { // tells nothing of its load
		return idle
	}
	return vitals.Every(max(r.Running, counted.Requests), r.Waiting, r.KVUse)
}

// report asks the engine.
func (e *Engine) report(ctx context.Context, p *probe) (r vitals.Report, err error) {
	if !p.router {
		err = p.link.get(ctx, "", e.Header, func(page []byte) error { return e.read(&r, page) })
		if e.Speech != LlamaCpp || !errors.Is(err, status(400)) || len(e.Models) == 0 {
			return r, err
		}
		p.router = true // it answers for one model at a time
	}
	found := false
	for _, m := range e.Models[:min(len(e.Models), mostAsked)] {
		var one vitals.Report
		// Without autoload, to ask would load the model.
		query := "?model=" + url.QueryEscape(m) + "&autoload=false"
		if one1 := p.link.get(ctx, query, e.Header, func(page []byte) error { return e.read(&one, page) }); one1 != nil {
			err = one1
			continue
		}
		if found {
			r.Add(&one)
		} else {
			r, found = one, true
		}
	}
	if found {
		return r, nil
	}
	return r, err
}

func (e *Engine) read(r *vitals.Report, page []byte) (err error) {
	if e.Speech == Ollama {
		*r, err = vitals.ReadLoaded(page)
	} else {
		*r, err = vitals.Read(page)
	}
	if err != nil {
		return unread{err}
	}
	return nil
}

// failed notes that nothing was learned.
func (e *Engine) failed(s *Scraper, p *probe, err error) time.Duration {
	empty := p.empty
	p.empty = 0 // unless this answer is of no use either
	again, words := p.back(), "nobody answers at "+e.URL
	var code status
	var nothing unread
	switch {
	case errors.As(err, &code):
		words = fmt.Sprint("status ", int(code), " at ", e.URL)
		if code == 404 || code == 501 || code == 405 {
			again = p.useless(empty)
			if e.Hint != "" {
				words += ": " + e.Hint
			}
		}
		if code == 401 || code == 403 {
			words += ": the key of the upstream does not open it"
		}
	case errors.As(err, &nothing):
		again, words = p.useless(empty), "at "+e.URL+" "+nothing.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		words = "the connection to " + e.URL + " is refused"
		if e.Own && !p.gone {
			p.gone, p.told = true, false
			s.policy(func(policy *flow.Policy) { policy.Restarted(e.Upstream, e.Replica) })
			s.restarted(e.Upstream)
		}
	case errors.Is(err, wire.ErrQuiet), errors.Is(err, context.DeadlineExceeded):
		words = "no answer within " + patience.String() + " at " + e.URL
	}
	s.note(p, e.Replica, e.Upstream, false, func(v *View) { v.Trouble = words })
	s.trouble(p, e.Upstream, e.Name, words)
	return again
}

func (x *Exporter) key() string            { return x.URL }
func (x *Exporter) at() (url, host string) { return x.URL, "" }

// kept is for how long what an exporter said of a speed holds.
const kept = time.Minute

func (x *Exporter) ask(ctx context.Context, s *Scraper, p *probe) time.Duration {
	asked := time.Now()
	var all []vitals.GPU
	err := p.link.get(ctx, "", nil, func(page []byte) (err error) {
		all, err = vitals.ReadGPUs(page, nil)
		return err
	})
	if ctx.Err() != nil {
		return idle
	}
	first := &x.Runs[0]
	if err != nil {
		words := "the exporter at " + x.URL + " tells nothing of GPUs: " + strings.TrimSuffix(err.Error(), ".")
		if errors.Is(err, wire.ErrQuiet) || errors.Is(err, context.DeadlineExceeded) {
			words = "the exporter at " + x.URL + " does not answer"
		}
		s.note(p, first.Replica, first.Upstream, false, func(*View) {})
		s.trouble(p, first.Upstream, first.Name, words)
		return max(p.back(), hardware)
	}
	p.failed = 0
	s.trouble(p, first.Upstream, first.Name, "")
	var owed []fleet.ReplicaID
	for i := range x.Runs {
		if r := &x.Runs[i]; r.learn(s, p, all, asked) {
			owed = append(owed, r.Replica)
		}
	}
	s.remember(p, all, owed)
	return hardware
}

// remember keeps what GPUs said and which replicas are suspect still, for the probe and
// for one that takes its place.
func (s *Scraper) remember(p *probe, all []vitals.GPU, owed []fleet.ReplicaID) {
	next := maps.Clone(p.gpus)
	if next == nil {
		next = map[int]seen{}
	}
	for _, g := range all {
		next[g.Index] = seen{g, max(next[g.Index].highest, g.Clock)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.gpus, p.owed = next, owed
}

// learn draws from its GPUs what a replica deserves: one with an error is suspect, and
// the slowest of those that work together sets their speed. An error is told once: it
// reports whether the replica is suspect still, since its pool cannot spare it now.
func (r *Run) learn(s *Scraper, p *probe, all []vitals.GPU, asked time.Time) (owed bool) {
	var mine []vitals.GPU
	speed, fault := 1., ""
	for i := range all {
		g := &all[i]
		if !has(r.GPUs, g.Index) {
			continue
		}
		mine = append(mine, *g)
		var before *vitals.GPU
		was, ok := p.gpus[g.Index]
		if ok {
			before = &was.GPU
		}
		speed = min(speed, g.Speed(before, was.highest))
		if f := g.Fault(before); f != "" {
			fault = f
		}
	}
	out := false
	owed = fault != "" || slices.Contains(p.owed, r.Replica)
	s.policy(func(policy *flow.Policy) {
		policy.Slow(r.Replica, speed, asked.Add(kept))
		if owed {
			out = policy.Health.Suspect(r.Replica, r.Pool, health.Hardware, time.Now(), 0.5)
		}
	})
	s.note(p, r.Replica, r.Upstream, len(mine) > 0, func(v *View) { v.GPUs, v.GPUsAt = mine, asked })
	switch {
	case fault != "":
		s.log.Warn("a GPU reported an error", "upstream", r.Upstream, "replica", r.Name, "error", fault, "out", out)
	case owed && out:
		s.log.Warn("a GPU reported an error before, and its pool can spare the replica now", "upstream", r.Upstream, "replica", r.Name, "out", out)
	}
	return owed && !out
}

func has(only []int, i int) bool { return len(only) == 0 || slices.Contains(only, i) }
