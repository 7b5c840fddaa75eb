package app

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	"headworks/internal/config"
)

// Looked is what a file says that is worth a look before anything goes wrong.
type Looked struct {
	Problems, Warnings []string
	Good               bool
	Listen, Admin      string
	TLS, AdminTLS      bool
	InFlight           int
	Cache              int64
	Shared             string
	Upstreams          int
	Simulated          int
	Unpriced           []string
	Sinks              int
	Metered            []string
	Hosts              []string                 // of upstreams and sinks
	Ends               map[string]time.Duration // until certificates end, by section
}

// LookAt reads a file and says what is in it. Nobody is asked.
func LookAt(file string, now time.Time) Looked {
	c, report := config.Load(file)
	var l Looked
	failed, _ := report.Errors()
	for _, p := range report.Problems {
		if failed > 0 && len(l.Problems) < failed {
			l.Problems = append(l.Problems, p.Error())
		} else {
			l.Warnings = append(l.Warnings, p.Error())
		}
	}
	if c == nil {
		return l
	}
	l.Good, l.Problems = true, nil
	l.Warnings = nil
	for _, p := range report.Problems {
		l.Warnings = append(l.Warnings, p.Error())
	}
	l.Listen, l.Admin, l.TLS, l.AdminTLS = c.Listen, c.Admin.Listen, c.TLS.On(), c.Admin.TLS.On()
	l.InFlight, l.Cache, l.Sinks = c.Limits.InFlight, int64(c.Cache.Memory), len(c.Alerts.Sinks)
	if c.Shared != "" && c.Shared != "none" {
		l.Shared = "set"
	}
	prices := priced(c)
	hosts := map[string]bool{}
	note := func(raw string) {
		if u, err := url.Parse(raw); err == nil && u.Hostname() != "" && net.ParseIP(u.Hostname()) == nil {
			hosts[u.Hostname()] = true
		}
	}
	for name, u := range c.Upstreams {
		l.Upstreams++
		if config.BuiltIn(u.Kind) {
			l.Simulated++
		}
		for _, at := range u.URLs {
			note(at)
			if u.MetricsAt(at) != "" && !slices.Contains(l.Metered, name) {
				l.Metered = append(l.Metered, name)
			}
		}
	}
	for _, m := range c.Models {
		for _, t := range m.Targets {
			u := c.Upstreams[t.Upstream]
			if config.DefaultURL(u.Kind) == "" && !slices.Contains([]string{config.Azure, config.Bedrock}, u.Kind) {
				continue // an engine of one's own costs nothing a token
			}
			if at := (listed{t.Upstream, calls(c, &t)}); prices[at] == nil {
				l.Unpriced = append(l.Unpriced, at.upstream+"/"+at.model)
			}
		}
	}
	slices.Sort(l.Unpriced)
	l.Unpriced = slices.Compact(l.Unpriced)
	slices.Sort(l.Metered)
	for _, s := range c.Alerts.Sinks {
		note(s.URL.Reveal())
	}
	for h := range hosts {
		l.Hosts = append(l.Hosts, h)
	}
	slices.Sort(l.Hosts)
	l.Ends = map[string]time.Duration{}
	for section, files := range map[string]config.TLS{"tls": c.TLS, "admin.tls": c.Admin.TLS} {
		if !files.On() {
			continue
		}
		if pair, err := tls.LoadX509KeyPair(files.Cert, files.Key); err == nil {
			l.Ends[section] = pair.Leaf.NotAfter.Sub(now)
		} else {
			l.Problems = append(l.Problems, fmt.Sprintf("%s: %v", section, err))
		}
	}
	return l
}

// Holder names the program that listens on an address of this machine, where it can be
// told.
func Holder(addr string) string { return holder(addr) }
