package app

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"headworks/internal/alert"
	"headworks/internal/api/admin"
	"headworks/internal/cell"
	"headworks/internal/config"
	"headworks/internal/health"
	"headworks/internal/monitor"
	"headworks/internal/peer"
)

// objectives returns what the configuration says of alerts.
func (a *App) objectives(c *config.Config) monitor.Settings {
	s := &c.Alerts
	return monitor.Settings{
		Spare:        a.spare,
		Period:       s.Period,
		Availability: monitor.Objective{Goal: s.Availability},
		FirstToken:   monitor.Objective{Goal: s.FirstToken.Goal, Limit: s.FirstToken.Within},
		Smoothness:   monitor.Objective{Goal: s.Smoothness.Goal, Limit: s.Smoothness.Within},
		Attempts:     monitor.Objective{Goal: s.Attempts},
	}
}

// spare reports whether every model that an upstream, or one of its replicas, serves has
// another one to go to.
func (a *App) spare(upstream, replica string) bool {
	f := a.gateway.World().Fleet
	for i := range f.Upstreams {
		if u := &f.Upstreams[i]; u.Name == upstream && replica != "" && len(u.Replicas) > 1 {
			return true
		}
	}
	for i := range f.Models {
		m := &f.Models[i]
		of := 0
		for _, t := range m.Targets {
			if f.Upstreams[t.Upstream].Name == upstream {
				of++
			}
		}
		if of > 0 && of == len(m.Targets) {
			return false
		}
	}
	return true
}

// conditions are what the process itself knows to be wrong at a moment.
func (a *App) conditions(now time.Time) []alert.Alert {
	s := a.Status()
	c := conditions{now: now}
	c.replicas(&s)
	c.cells(&s)
	if d := s.Dropped; d > a.dropped {
		c.raise(alert.Ticket, "records", "records of requests were lost", "the ring was full or the disk took none", "headworks status", map[string]string{"signal": "records"})
		a.dropped = d
	}
	if why := a.notTaken.Load(); why != nil {
		c.raise(alert.Ticket, "reload", "the configuration file is not taken over; the last good one serves", *why, "headworks config validate --config "+a.options.File, map[string]string{"signal": "configuration"})
	}
	for name, cert := range map[string]*certificate{"tls": a.cert, "admin.tls": a.adminCert} {
		if cert == nil {
			continue
		}
		left := cert.current().Leaf.NotAfter.Sub(now)
		if left < soon {
			severity := alert.Ticket
			if left < 48*time.Hour {
				severity = alert.Page
			}
			c.raise(severity, "certificate:"+name, fmt.Sprintf("the certificate of %s ends in %s", name, left.Round(time.Hour)), "nobody renewed "+cert.file(), "openssl x509 -noout -dates -in "+cert.file(), map[string]string{"signal": "certificate"})
		}
	}
	if a.alarms != nil {
		for name, why := range a.alarms.post.Failing() {
			c.raise(alert.Ticket, "sink:"+name, "the sink "+name+" does not take what alerts tell it", why, "headworks config explain alerts", map[string]string{"signal": "sinks"})
		}
	}
	c.library(a.library)
	c.retrieval(a.vigil.reports(now))
	c.similar(a.semantics())
	c.disk(a.options.Config.Data)
	return c.found
}

// conditions gathers what is wrong.
type conditions struct {
	now   time.Time
	found []alert.Alert
}

func (c *conditions) raise(severity alert.Severity, fingerprint, title, cause, next string, scope map[string]string) *alert.Alert {
	c.found = append(c.found, alert.Alert{
		Fingerprint: fingerprint, Severity: severity, Title: title, Cause: cause, Next: next, Scope: scope,
		Method: "state of the process", Evidence: []string{"headworks status"},
	})
	return &c.found[len(c.found)-1]
}

// replicas tells of replicas that are out, of upstreams and models with none left, and
// of engines that are full.
func (c *conditions) replicas(s *admin.Status) {
	dead := map[string]string{} // upstreams without a replica, and why
	for i := range s.Upstreams {
		u := &s.Upstreams[i]
		out, why := 0, ""
		for k := range u.Replicas {
			r := &u.Replicas[k]
			if !r.Up && r.Why != health.Drained {
				out++
				why = r.Why
				a := c.raise(alert.Ticket, "replica:"+u.Name+"/"+r.Name, fmt.Sprintf("%s: replica %s gets no requests", u.Name, r.Name), r.Why, "headworks status", scopeOf(u, r.Name))
				a.Under, a.Simulated = "upstream:"+u.Name, u.Simulated
			}
			if e := r.Engine; e != nil && e.KVUse != nil && e.Waiting != nil && *e.KVUse > 0.95 && *e.Waiting > 0 {
				a := c.raise(alert.Ticket, "full:"+u.Name+"/"+r.Name, fmt.Sprintf("%s: replica %s has its KV cache %.0f %% full, and %d requests wait there", u.Name, r.Name, 100**e.KVUse, *e.Waiting), "more is asked of it than it has room for", "headworks top", scopeOf(u, r.Name))
				a.Simulated = u.Simulated
			}
		}
		if out == len(u.Replicas) {
			if len(u.Replicas) == 0 {
				why = "none was found"
				if u.Finding != nil && u.Finding.Why != "" {
					why += ": " + u.Finding.Why
				}
			}
			dead[u.Name] = why
			a := c.raise(alert.Ticket, "upstream:"+u.Name, u.Name+": no replica gets requests", why, "headworks status", scopeOf(u, ""))
			a.Simulated = u.Simulated
		}
	}
	for _, m := range s.Models {
		var why []string
		for _, target := range m.Targets {
			upstream, _, _ := strings.Cut(target, "/")
			if w, ok := dead[upstream]; ok {
				why = append(why, upstream+": "+w)
			}
		}
		if len(why) > 0 && len(why) == len(m.Targets) {
			a := c.raise(alert.Page, "model:"+m.Name, m.Name+": nobody can answer", strings.Join(why, "; "), "headworks models --discover", map[string]string{"model": m.Name, "signal": "availability"})
			a.Simulated = m.Simulated
		}
	}
}

func scopeOf(u *admin.Upstream, replica string) map[string]string {
	s := map[string]string{"upstream": u.Name, "signal": "health"}
	if u.Region != "" {
		s["region"] = u.Region
	}
	if replica != "" {
		s["replica"] = replica
	}
	return s
}

// cells tells of other gateways that are down.
func (c *conditions) cells(s *admin.Status) {
	for _, k := range s.Cells {
		if k.State == cell.Down {
			c.raise(alert.Ticket, "cell:"+k.Cell+" "+k.URL, "cell "+k.Cell+": the gateway "+k.URL+" is down", k.Why, "headworks status", map[string]string{"region": k.Cell, "signal": "cells"})
		}
	}
	for _, k := range s.Peers {
		if k.State == peer.Down {
			c.raise(alert.Ticket, "peer:"+k.Address, "the gateway "+k.Address+" of this cell is not reached", k.Why, "headworks status", map[string]string{"signal": "peers"})
		}
	}
}

// disk tells where little room is left for the ledger and the records.
func (c *conditions) disk(dir string) {
	var f unix.Statfs_t
	if unix.Statfs(dir, &f) != nil || f.Blocks == 0 {
		return
	}
	const mib = 1 << 20
	left := f.Bavail * uint64(f.Bsize) / mib
	if left > 2048 {
		return
	}
	severity := alert.Ticket
	if left < 128 {
		severity = alert.Page // where nothing can be written down no work begins
	}
	c.raise(severity, "disk", fmt.Sprintf("%d MiB are left for the data folder", left), "the disk is nearly full", "df -h "+dir, map[string]string{"signal": "disk"})
}
