package app

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"headworks/internal/api"
	"headworks/internal/cell"
	"headworks/internal/config"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/gateway"
	"headworks/internal/peer"
	"headworks/internal/tenant"
)

// company is this gateway among the others of its cell, and its cell among others.
type company struct {
	app     *App
	process uint64
	secret  atomic.Pointer[string]
	watch   *cell.Watch

	exchange *peer.Exchange // nil where no other gateway of the cell is spoken to
	listener net.Listener
	server   *http.Server
}

// The fit of what cells are into what is asked for on lower floors.
var _ api.Cells = (*company)(nil)

// knowing lets others see what the gateway knows.
type knowing struct{ *gateway.Gateway }

// Fleet implements peer.Gateway and cell.Gateway.
func (k knowing) Fleet() *fleet.Snapshot { return k.World().Fleet }

// meet opens the listener for other gateways, where there is to be one.
func (a *App) meet() error {
	c := &company{app: a}
	a.company = c
	var number [8]byte
	_, _ = rand.Read(number[:]) // never fails
	c.process = binary.LittleEndian.Uint64(number[:])
	c.secret.Store(new(a.config.Peers.Secret.Reveal()))
	c.watch = cell.NewWatch(cell.Options{Gateway: knowing{a.gateway}, Region: a.config.Region, Process: c.name(), Secret: c.known, Log: a.log})
	p := &a.config.Peers
	if p.Listen == "" {
		return nil
	}
	var err error
	if c.listener, err = listen(p.Listen, "peers.listen"); err != nil {
		return err
	}
	o := peer.Options{Gateway: knowing{a.gateway}, Process: c.process, Rules: peerRules(a.config), Log: a.log}
	if p.TLS.On() {
		side, err := newCertificate("peers.tls", config.TLS{Cert: p.TLS.Cert, Key: p.TLS.Key}, a.log)
		if err != nil {
			return err
		}
		authorities, err := authoritiesOf(p.TLS.CA)
		if err != nil {
			return err
		}
		o.TLS = side.client(authorities)
		c.listener = tls.NewListener(c.listener, side.server(authorities))
	}
	c.exchange = peer.New(o)
	c.server = &http.Server{
		Handler: c.exchange, ErrorLog: a.warnings(), MaxHeaderBytes: 8 << 10,
		ReadHeaderTimeout: 2 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, IdleTimeout: time.Minute,
	}
	return nil
}

func (c *company) name() string  { return fmt.Sprintf("%016x", c.process) }
func (c *company) known() string { return *c.secret.Load() }

// authoritiesOf reads whose certificates count; nil where no file is named.
func authoritiesOf(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("peers.tls.ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("peers.tls.ca: %s has no certificate in PEM", file)
	}
	return pool, nil
}

// server is how a certificate is shown to those who come. With authorities, they have
// to show one too.
func (c *certificate) server(authorities *x509.CertPool) *tls.Config {
	t := &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil },
	}
	if authorities != nil {
		t.ClientAuth, t.ClientCAs = tls.RequireAndVerifyClientCert, authorities
	}
	return t
}

// client is how a certificate is shown to those who are gone to.
func (c *certificate) client(authorities *x509.CertPool) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}, RootCAs: authorities,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.current(), nil },
	}
}

func peerRules(c *config.Config) peer.Rules {
	return peer.Rules{Hosts: c.Peers.Hosts, Interval: c.Peers.Interval, Secret: c.Peers.Secret.Reveal()}
}

func (c *company) use(f *config.Config) {
	c.secret.Store(new(f.Peers.Secret.Reveal()))
	if c.exchange != nil {
		c.exchange.Use(peerRules(f))
	}
}

// run tells and hears, until ctx ends.
func (c *company) run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { c.watch.Run(ctx) })
	if c.exchange == nil {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { c.server.Close() })
	defer stop()
	running.Go(func() { c.exchange.Run(ctx) })
	if err := c.server.Serve(c.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (c *company) close() {
	if c != nil && c.listener != nil {
		c.listener.Close()
	}
}

func (c *company) links() []peer.Link {
	if c.exchange == nil {
		return nil
	}
	return c.exchange.Links()
}

// peers counts the other gateways by state.
func (c *company) peers(yield func(string, int)) {
	n := map[string]int{}
	for _, l := range c.links() {
		n[l.State]++
	}
	for _, state := range []string{peer.Trying, peer.Up, peer.Down} {
		yield(state, n[state])
	}
}

func (c *company) counts() (n peer.Counts) {
	if c.exchange != nil {
		n = c.exchange.Counts()
	}
	return n
}

func (c *company) blocks(yield func(string, uint64)) {
	n := c.counts()
	yield("told", n.Told)
	yield("missed", n.Missed)
	yield("learned", n.Learned)
}

func (c *company) unheard() uint64 { return c.counts().Refused }

// Vouched implements api.Cells.
func (c *company) Vouched(pass []byte, path string, now time.Time) (who *tenant.Caller, sum string, err error) {
	p, err := cell.Open(c.known(), pass, c.app.gateway.World().Region, path, now)
	if err != nil || p.Caller == nil || p.Caller.Class > uint8(tenant.Batch) || p.Caller.Prefer > uint8(tenant.Latency) || p.Caller.TTFT < 0 || p.Caller.TPOT < 0 {
		return nil, "", fault.Wrap(fault.Unauthenticated, cell.Header+" is for gateways of other cells, and this is no pass of theirs: do the cells have the same peers.secret, and do their clocks agree?", err)
	}
	t := p.Caller
	who, err = c.app.keys.resolver.Vouched(tenant.Caller{
		KeyID: t.ID, Key: t.Key, Tenant: t.Tenant, Project: t.Project, Cell: p.From, Searched: p.Searched,
		Tier: tenant.Tier{
			Name: t.Tier, Class: tenant.Class(t.Class), Concurrency: t.Concurrency,
			Wish: tenant.Wish{
				Prefer:    tenant.Preference(t.Prefer),
				Objective: tenant.Objective{TTFT: time.Duration(t.TTFT) * time.Microsecond, TPOT: time.Duration(t.TPOT) * time.Microsecond},
			},
		},
		Models: []string{t.Model}, Region: t.Region, Zone: t.Zone,
		Residency: tenant.Residency{Bound: t.Bound, Regions: t.Regions},
	}, now)
	return who, p.Sum, err
}

// vouch says on whose behalf a request goes to another cell. The body is nil of a form.
func (c *company) vouch(call *engine.Call, to, target string, body []byte) (field, value string, err error) {
	path, _, _ := strings.Cut(target, "?")
	who, sum := call.Caller, ""
	if body != nil {
		sum = cell.Sum(body)
	}
	value, err = cell.Seal(c.known(), &cell.Pass{
		From: c.app.gateway.World().Region, For: to, Sent: time.Now().UnixMilli(), Path: path, Sum: sum, Searched: call.Searched,
		Caller: &cell.Caller{
			ID: who.KeyID, Key: who.Key, Tenant: who.Tenant, Project: who.Project,
			Tier: who.Tier.Name, Class: uint8(who.Tier.Class), Concurrency: who.Tier.Concurrency, Model: call.Model,
			Bound: who.Residency.Bound, Regions: who.Residency.Regions, Region: call.Place.Region, Zone: call.Place.Zone,
			Prefer: uint8(call.Wish.Prefer), TTFT: call.Wish.Objective.TTFT.Microseconds(), TPOT: call.Wish.Objective.TPOT.Microseconds(),
		},
	})
	if err != nil {
		return "", "", fault.Wrap(fault.Unsupported, "another cell cannot be told of this key; its name, or what it is limited to, is too long", err)
	}
	return cell.Header, value, nil
}

// Report implements api.Cells.
func (c *company) Report(pass []byte, now time.Time) (body []byte, proof string, ok bool) {
	if p, err := cell.Open(c.known(), pass, "", cell.Path, now); err != nil || p.Caller != nil {
		return nil, "", false
	}
	w := c.app.gateway.World()
	r := &cell.Report{Region: w.Region, Process: c.name(), Draining: c.app.health.Draining(), Models: map[string]cell.Model{}}
	c.app.gateway.Policy(func(p *flow.Policy) {
		r.Room = p.Room(w.Fleet, now)
		for i := range w.Fleet.Models {
			m := &w.Fleet.Models[i]
			if soon, ok := p.Serves(m, w.Fleet, true, now); ok {
				r.Models[m.Name] = cell.Model{TTFT: float64(soon.Microseconds()) / 1000}
			}
		}
	})
	body, proof, err := cell.Answer(c.known(), pass, r)
	return body, proof, err == nil
}

// serves reports whether this cell can serve some model by itself.
func (a *App) serves() (ok bool) {
	s, now := a.gateway.World().Fleet, time.Now()
	a.gateway.Policy(func(p *flow.Policy) {
		for i := range s.Models {
			if _, ok = p.Serves(&s.Models[i], s, false, now); ok {
				return
			}
		}
	})
	return ok
}

// cells counts the gateways of other cells by state, and tells how far each cell is.
func (c *company) cells(up func(region string, up bool), rtt func(region string, seconds float64), room func(region string, n int)) {
	type sum struct {
		up   bool
		rtt  time.Duration
		room int
	}
	all := map[string]*sum{}
	for _, s := range c.watch.States() {
		of := all[s.Cell]
		if of == nil {
			of = &sum{}
			all[s.Cell] = of
		}
		if of.room += s.Room; s.State == cell.Up {
			of.up = true
			if of.rtt == 0 || s.RTT > 0 && s.RTT < of.rtt {
				of.rtt = s.RTT
			}
		}
	}
	for region, of := range all {
		up(region, of.up)
		rtt(region, of.rtt.Seconds())
		room(region, of.room)
	}
}
