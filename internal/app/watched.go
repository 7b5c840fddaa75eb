package app

import (
	"net/url"
	"slices"
	"time"

	"headworks/internal/api/admin"
	"headworks/internal/config"
	"headworks/internal/fleet"
	"headworks/internal/scrape"
	"headworks/internal/telemetry"
)

// hints say what to do about an engine that has no page of metrics.
var hints = map[string]string{
	config.LlamaCpp: "start llama-server with --metrics, or set metrics: off",
	config.SGLang:   "start SGLang with --enable-metrics, or set metrics: off",
}

// watched returns whose load is asked for: what the configuration names.
func watched(c *config.Config, s *fleet.Snapshot) (engines []scrape.Engine, exporters []scrape.Exporter) {
	at := map[string]int{} // of exporters, by URL
	for i := range s.Upstreams {
		up := &s.Upstreams[i]
		u, ok := c.Upstreams[up.Name]
		if !ok {
			continue
		}
		keys := u.Credentials()
		for _, r := range up.Replicas {
			if page := u.MetricsAt(r.URL); page != "" {
				e := scrape.Engine{
					Replica: r.ID, Upstream: up.Name, Name: r.Name, URL: page, Own: sameOrigin(page, r.URL),
					Models: modelsAt(c, up.Name), Hint: hints[u.Kind],
				}
				switch {
				case u.Kind == config.Ollama && u.Metrics != "" && u.Metrics != config.MetricsOn:
				case u.Kind == config.Ollama:
					e.Speech = scrape.Ollama
				case u.Kind == config.LlamaCpp:
					e.Speech = scrape.LlamaCpp
				}
				if e.Own {
					e.Host = r.Host
				}
				if key := keys[min(r.Key, len(keys)-1)].Reveal(); key != "" && e.Own { // it is for nobody else
					e.Header = [][2]string{{"Authorization", "Bearer " + key}}
				}
				engines = append(engines, e)
			}
			page, gpus := u.GPUAt(r.URL, slices.Index(u.URLs, r.URL))
			if page == "" {
				continue
			}
			k, known := at[page]
			if !known {
				k = len(exporters)
				at[page] = k
				exporters = append(exporters, scrape.Exporter{URL: page})
			}
			exporters[k].Runs = append(exporters[k].Runs, scrape.Run{Replica: r.ID, Upstream: up.Name, Name: r.Name, Pool: up.Replicas, GPUs: gpus})
		}
	}
	return engines, exporters
}

func sameOrigin(a, b string) bool {
	x, err1 := url.Parse(a)
	y, err2 := url.Parse(b)
	return err1 == nil && err2 == nil && x.Scheme == y.Scheme && x.Host == y.Host
}

// modelsAt returns the models that an upstream serves, as it names them.
func modelsAt(c *config.Config, upstream string) (models []string) {
	for _, m := range c.Models {
		for _, t := range m.Targets {
			if t.Upstream == upstream && !slices.Contains(models, t.Model) {
				models = append(models, t.Model)
			}
		}
	}
	slices.Sort(models)
	return models
}

// engines tells metrics what engines say of themselves.
func (a *App) engines(yield func(*telemetry.Engine)) {
	w, now := a.gateway.World(), time.Now()
	for i := range w.Fleet.Upstreams {
		u := &w.Fleet.Upstreams[i]
		for _, r := range u.Replicas {
			if v, ok := a.scraper.State(r.ID); ok {
				yield(&telemetry.Engine{Upstream: u.Name, Replica: r.Name, Report: v.Report, Asked: !v.At.IsZero(), Age: now.Sub(v.At), GPUs: v.GPUs})
			}
		}
	}
}

// tell adds to a replica's status what it says of itself.
func (a *App) tell(r *admin.Replica, id fleet.ReplicaID) {
	v, ok := a.scraper.State(id)
	if !ok {
		return
	}
	if !v.At.IsZero() || v.Trouble != "" {
		r.Engine = &admin.Engine{Name: v.Report.Engine, KVTokens: v.Report.KVTokens, Asked: v.At, Trouble: v.Trouble}
	}
	if !v.At.IsZero() {
		r.Engine.Running, r.Engine.Waiting, r.Engine.KVUse = given(v.Report.Running), given(v.Report.Waiting), given(v.Report.KVUse)
		for _, m := range v.Report.Loaded {
			r.Engine.Loaded = append(r.Engine.Loaded, m.Name)
		}
	}
	for i := range v.GPUs {
		g := &v.GPUs[i]
		r.GPUs = append(r.GPUs, admin.GPU{
			Index: g.Index, Utilization: given(g.Utilization), MemoryUsed: given(g.MemoryUsed), MemoryTotal: given(g.MemoryTotal),
			Power: given(g.Power), Throttled: g.Throttled, XID: g.XID, ECC: int(max(g.ECC, 0)), Failed: g.Failed,
		})
	}
}

// given returns a number unless it is one that stands for none.
func given[T int | int64 | float64](n T) *T {
	if n < 0 {
		return nil
	}
	return &n
}
