package app

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"headworks/internal/api/admin"
	"headworks/internal/cache"
	"headworks/internal/canary"
	"headworks/internal/cell"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/scrape"
	"headworks/internal/telemetry"
	"headworks/internal/tenant"
)

// sources tell metrics what is so at the moment of a scrape.
func (a *App) sources() telemetry.Sources {
	return telemetry.Sources{
		InFlight: func(yield func(string, int)) {
			for _, u := range a.Status().Upstreams {
				n := 0
				for _, r := range u.Replicas {
					n += r.InFlight
				}
				yield(u.Name, n)
			}
		},
		QueueDepth: func(yield func(string, int)) {
			var depth [4]int
			a.gateway.Policy(func(p *flow.Policy) { depth = p.Gate.Queued() })
			for class, n := range depth {
				yield(tenant.Class(class).String(), n)
			}
		},
		ReplicaUp: func(yield func(string, string, bool)) {
			for _, u := range a.Status().Upstreams {
				for _, r := range u.Replicas {
					yield(u.Name, r.Name, r.Up)
				}
			}
		},
		Discovery: func(yield func(string, string, telemetry.Discovery)) {
			for upstream, w := range a.finding.all() {
				yield(upstream, w.of.By(), telemetry.Discovery{Replicas: len(w.known.Replicas), Answered: w.known.Answered, Failures: w.known.Failures})
			}
		},
		Canary: func(yield func(string, string, float64, bool)) {
			for _, c := range a.trials.list() {
				yield(c.Model, c.Arm, c.Share, c.Phase == canary.RolledBack)
			}
		},
		Shadow: func(yield func(string, int, int)) {
			for model, n := range a.shadows.copies.Running() {
				yield(model, n[0], n[1])
			}
		},
		Retrieval: func(yield func(*telemetry.Retrieval)) {
			for _, r := range a.Retrieval() {
				yield(&telemetry.Retrieval{Collections: strings.Join(r.Collections, ","), PSI: r.PSI, Empty: r.Empty, Cited: r.Cited, Support: r.Support, Low: r.Low, Alarms: len(r.Alarms)})
			}
		},
		StreamsOpen: func() int { return a.gateway.Streams() },
		Dropped: func(yield func(string, uint64)) {
			overrun, write := a.facts.Dropped()
			yield("ring", overrun)
			yield("disk", write)
		},
		Conversations:  a.answers.kept,
		KeepFailures:   a.answers.lost.Load,
		Refused:        func(yield func(string, uint64)) { a.entrance.Refused(yield) },
		AcceptFailures: func() uint64 { return uint64(a.server.AcceptFailures()) },
		Generation:     func() uint64 { return a.generation() },
		ReloadFailures: a.refused.Load,
		Peers:          func(yield func(string, int)) { a.company.peers(yield) },
		Blocks:         func(yield func(string, uint64)) { a.company.blocks(yield) },
		Unheard:        func() uint64 { return a.company.unheard() },
		Engines:        a.engines,
		Cache: func(yield func(string, telemetry.Cached)) {
			r := a.cache.Report()
			for l := range cache.Layers {
				n := &r.Layers[l]
				yield(l.String(), telemetry.Cached{
					Entries: n.Entries, Bytes: n.Bytes, Hits: n.Hits, Misses: n.Misses, SharedHits: n.Shared,
					Gone:   map[string]uint64{"evicted": n.Evictions, "expired": n.Expired, "purged": n.Dead, "refused": n.Refused},
					Tokens: uint64(n.Tokens), USD: float64(n.Cost) / 1e6, Seconds: n.Saved.Seconds(),
				})
			}
		},
		Similar:      a.similarities,
		PromptCaches: func() float64 { return float64(a.gateway.Prompts().Saved) / 1e6 },
		SharedCache: func(yield func(string, uint64)) {
			if s := a.cache.Report().Shared; s != nil {
				yield("look", s.Loads)
				yield("failure", s.Failures)
				yield("tampered", s.Tampered)
				yield("write_dropped", s.Dropped)
			}
		},
		SharedResting: func() (resting, is bool) {
			s := a.cache.Report().Shared
			return s != nil && s.Resting, s != nil
		},
		Collections: func() (time.Duration, float64) { return a.library.watched(time.Now()) },
		Fits: func(yield func(string, float64, float64, bool)) {
			for _, f := range a.Fits().Fits {
				yield(f.Class, f.Error, f.First, f.Trusted)
			}
		},
		Scrapes: func(yield func(string, uint64, uint64, uint64)) {
			a.scraper.Asked(func(upstream string, t scrape.Tally) { yield(upstream, t.Good, t.Bad, t.Restarts) })
		},
		Cells: func(up func(string, bool), rtt func(string, float64), room func(string, int)) {
			a.company.cells(up, rtt, room)
		},
		Questions: func(yield func(string, uint64)) { a.names.counts(yield) },
	}
}

// Status implements admin.Process.
func (a *App) Status() admin.Status {
	w, now := a.gateway.World(), time.Now()
	s := admin.Status{
		Version: Version, Status: "ok", BaseURL: a.BaseURL(), Region: w.Region,
		Generation: w.Fleet.Generation, Config: w.Config, Since: a.since,
		Models: []admin.Model{}, Upstreams: []admin.Upstream{},
	}
	if a.cert != nil {
		s.Cert = a.cert.fingerprint()
	}
	if a.health.Draining() {
		s.Status = "draining"
	}
	s.Peers, s.Cells = a.company.links(), a.company.watch.States()
	overrun, write := a.facts.Dropped()
	s.Dropped = overrun + write
	for _, m := range w.Fleet.Models {
		shown := admin.Model{Name: m.Name, Simulated: len(m.Targets) > 0}
		var speaks inference.Set
		for _, t := range m.Targets {
			u := &w.Fleet.Upstreams[t.Upstream]
			shown.Targets = append(shown.Targets, u.Name+"/"+t.Model)
			shown.Simulated = shown.Simulated && u.Simulated
			speaks |= u.Speaks
			if t.Window > 0 && (shown.Window == 0 || t.Window < shown.Window) {
				shown.Window = t.Window
			}
		}
		for _, o := range speaks.Operations() {
			shown.Does = append(shown.Does, o.String())
		}
		s.Models = append(s.Models, shown)
	}
	finding := a.finding.all()
	s.Canaries, s.Shadows = a.trials.Canaries(), a.shadows.list()
	s.Drains = a.drills.Drains()
	a.gateway.Policy(func(p *flow.Policy) {
		s.InFlight, s.Waiting = p.Gate.InFlight(), p.Gate.Waiting()
		for _, u := range w.Fleet.Upstreams {
			shown := admin.Upstream{Name: u.Name, Kind: u.Kind, Region: u.Region, Zone: u.Zone, Simulated: u.Simulated}
			found, isFound := finding[u.Name]
			k := &found.known
			if isFound {
				shown.Finding = &admin.Finding{By: found.of.By(), Answered: k.Answered, Failures: k.Failures, Why: k.Why, Failed: k.Failed, Failure: k.Failure, Left: k.Left + k.Odd}
			}
			for _, r := range u.Replicas {
				st := p.Health.Of(r.ID, "", now)
				if i := slices.IndexFunc(s.Cells, func(c cell.State) bool { return u.Away && c.Cell == u.Region && c.URL == r.URL }); i >= 0 && s.Cells[i].State != cell.Up {
					st.Why = cmp.Or(s.Cells[i].Why, s.Cells[i].State)
				}
				shown.Replicas = append(shown.Replicas, admin.Replica{
					Name: r.Name, URL: r.URL, Found: k.FoundAt(r.URL), Region: r.Place.Region, Zone: r.Place.Zone, InFlight: p.Load(r.ID).Requests, Failures: p.Health.Failures(r.ID), Adapters: p.Adapters(r.ID), Up: st.Why == "", Why: st.Why, Until: st.Until,
				})
			}
			s.Upstreams = append(s.Upstreams, shown)
		}
	})
	for i := range s.Upstreams {
		for k := range s.Upstreams[i].Replicas {
			a.tell(&s.Upstreams[i].Replicas[k], w.Fleet.Upstreams[i].Replicas[k].ID)
		}
	}
	return s
}
