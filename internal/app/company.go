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
	"time"

	"headworks/internal/config"
	"headworks/internal/fleet"
	"headworks/internal/gateway"
	"headworks/internal/peer"
)

// company is this gateway among the others of its cell. A nil one is alone.
type company struct {
	exchange *peer.Exchange
	listener net.Listener
	server   *http.Server
}

// knowing lets the exchange see what the gateway knows.
type knowing struct{ *gateway.Gateway }

// Fleet implements peer.Gateway.
func (k knowing) Fleet() *fleet.Snapshot { return k.World().Fleet }

// meet opens the listener for other gateways, where there is to be one.
func (a *App) meet() error {
	p := &a.config.Peers
	if p.Listen == "" {
		return nil
	}
	ln, err := listen(p.Listen, "peers.listen")
	if err != nil {
		return err
	}
	c := &company{listener: ln}
	a.company = c
	o := peer.Options{Gateway: knowing{a.gateway}, Rules: peerRules(a.config), Log: a.log}
	var number [8]byte
	_, _ = rand.Read(number[:]) // never fails
	o.Process = binary.LittleEndian.Uint64(number[:])
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
		c.listener = tls.NewListener(ln, side.server(authorities))
	}
	c.exchange = peer.New(o)
	c.server = &http.Server{
		Handler: c.exchange, ErrorLog: a.warnings(), MaxHeaderBytes: 8 << 10,
		ReadHeaderTimeout: 2 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, IdleTimeout: time.Minute,
	}
	return nil
}

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
	if c != nil {
		c.exchange.Use(peerRules(f))
	}
}

// run tells and hears, until ctx ends.
func (c *company) run(ctx context.Context) error {
	if c == nil {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { c.server.Close() })
	defer stop()
	told := make(chan struct{})
	go func() {
		defer close(told)
		c.exchange.Run(ctx)
	}()
	err := c.server.Serve(c.listener)
	if !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-told
	return nil
}

func (c *company) close() {
	if c != nil {
		c.listener.Close()
	}
}

func (c *company) links() []peer.Link {
	if c == nil {
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
	if c != nil {
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
