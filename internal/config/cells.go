package config

import (
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"headworks/internal/tenant"
)

// Peers are the other gateways of this cell, and how gateways prove who they are.
type Peers struct {
	Listen   string        `json:"listen,omitzero" jsonschema:"address where other gateways tell what they know, on a listener of its own; none unless given"`
	Hosts    []string      `json:"hosts,omitzero" jsonschema:"the other gateways of the cell, as host:port, of which each address is one, or as the name of SRV records, such as _headworks._tcp.example.com"`
	Secret   tenant.Secret `json:"secret,omitzero" jsonschema:"what gateways prove with that they belong together, 16 characters or more, best as a reference"`
	TLS      PeersTLS      `json:"tls,omitzero" jsonschema:"encrypts what gateways tell each other"`
	Interval time.Duration `json:"interval,omitzero" jsonschema:"how often this gateway tells the others what it knows"`
}

func (p *Peers) defaults() { p.Interval = 100 * time.Millisecond }

// PeersTLS is the certificate of a gateway among its own.
type PeersTLS struct {
	Cert string `json:"cert,omitzero" jsonschema:"file of this gateway's certificate and those that lead to its authority, in PEM"`
	Key  string `json:"key,omitzero" jsonschema:"file of the certificate's private key, in PEM"`
	CA   string `json:"ca,omitzero" jsonschema:"file of the authorities that the certificates of all gateways come from, in PEM; with it each has to show one"`
}

// On reports whether gateways speak TLS.
func (t *PeersTLS) On() bool { return t.Cert != "" }

// Cell is the gateways of another region.
type Cell struct {
	URLs     []string  `json:"urls,omitzero" jsonschema:"base URL of each of its gateways, or of what stands before them"`
	Discover *Discover `json:"discover,omitzero" jsonschema:"where its gateways are found, in the place of urls"`
}

// Bounds of peers.interval: what another has in flight is forgotten after two seconds.
const (
	leastInterval = 10 * time.Millisecond
	mostInterval  = time.Second
	mostHosts     = 64
)

// peers checks how gateways speak to each other.
func (r *reader) peers() {
	p := &r.cfg.Peers
	if p.Listen != "" {
		r.address("peers.listen", p.Listen)
		for _, other := range []string{r.cfg.Listen, r.cfg.Admin.Listen} {
			if p.Listen == other && !strings.HasSuffix(other, ":0") {
				r.at("peers.listen", BadValue, "gateways cannot share the address of the API or of the admin API: both are "+other)
			}
		}
		if p.Secret.Empty() && p.TLS.CA == "" {
			r.at("peers.listen", Missing, "anybody could tell this gateway anything: give peers.secret, or peers.tls with a ca")
		}
	}
	if len(p.Hosts) > 0 && p.Listen == "" {
		r.at("peers.hosts", Missing, "the others could tell this gateway nothing: give peers.listen too")
	}
	if len(p.Hosts) > mostHosts {
		r.at("peers.hosts", BadValue, "more than "+strconv.Itoa(mostHosts)+" peers; one name may stand for several addresses")
	}
	for i, h := range p.Hosts {
		r.host("peers.hosts["+strconv.Itoa(i)+"]", h)
	}
	if !p.Secret.Empty() {
		r.secret("peers.secret", p.Secret, -1, map[string]int{})
	}
	if (p.TLS.Cert == "") != (p.TLS.Key == "") {
		r.at("peers.tls", BadValue, "a certificate needs its key and a key its certificate: give peers.tls.cert and peers.tls.key, or neither")
	}
	if p.TLS.CA != "" && !p.TLS.On() {
		r.at("peers.tls.ca", Missing, "each gateway has to show a certificate: give peers.tls.cert and peers.tls.key too")
	}
	if p.Interval < leastInterval || p.Interval > mostInterval {
		r.at("peers.interval", BadValue, "gateways tell each other what they know every "+showDuration(leastInterval)+" to "+showDuration(mostInterval))
	}
}

// cells checks the gateways of other regions.
func (r *reader) cells() {
	c := r.cfg
	if len(c.Cells) > 0 && c.Peers.Secret.Empty() {
		r.at("cells", Missing, "cells know each other by a secret: give peers.secret, the same to all")
	}
	for _, region := range slices.Sorted(maps.Keys(c.Cells)) {
		at := join("cells", region)
		if region == c.Region {
			r.at(at, BadValue, "this process is in region "+region+" itself; cells are those of other regions")
		}
		cell := c.Cells[region]
		switch {
		case cell.Discover != nil:
			r.finds(join(at, "discover"), join(at, "urls"), cell.URLs, cell.Discover)
			if cell.Discover.Local != "" {
				r.at(join(at, "discover"), BadValue, "the gateways of another region are not on this machine; find them by dns, srv or kubernetes")
			}
			if cell.Discover.Scheme == "http" && !r.told(join(at, "discover")) {
				r.unencrypted(join(at, "discover"))
			}
		case len(cell.URLs) == 0:
			r.at(at, Missing, "a cell without urls or discover could not be asked")
		}
		for i, s := range c.Cells[region].URLs {
			at := join(at, "urls") + "[" + strconv.Itoa(i) + "]"
			u, err := url.Parse(s)
			switch {
			case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" && strings.Trim(u.Path, "/") != "v1":
				r.at(at, BadValue, r.shown(at, s)+" is no URL of a gateway; write one as https://us-east.example.com, without a path")
			case u.Scheme == "http" && !loopback(u.Hostname()):
				r.unencrypted(at)
			}
		}
	}
}

// unencrypted warns of a way to another region that anybody can listen to.
func (r *reader) unencrypted(path string) {
	r.warn(path, Pointless, "requests go there unencrypted, and whoever is in between can read and change them; give the gateways there a certificate and say https")
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// host checks where another gateway is: host:port, or the name of SRV records.
func (r *reader) host(path, s string) {
	if strings.HasPrefix(s, "_") && strings.Count(s, ".") >= 2 && !strings.ContainsAny(s, ":/ ") {
		return
	}
	name, port, ok := cutPort(s)
	n, err := strconv.ParseUint(port, 10, 16)
	if _, literal := netip.ParseAddr(name); !ok || err != nil || n == 0 || literal != nil && !hostName(name) {
		r.at(path, BadValue, r.shown(path, s)+" is no peer; write one as gateway-1.example.com:7302, or the name of SRV records as _headworks._tcp.example.com")
	}
}

// hostName reports whether a text can be the name of a host.
func hostName(s string) bool {
	return s != "" && len(s) <= 253 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == "" && s[0] != '.'
}
