package app

import (
	"cmp"
	"slices"
	"time"

	"headworks/internal/api/admin"
	"headworks/internal/flow"
)

// shownPrompt is how many tokens the prompt has of which is told when each replica
// would begin to answer it.
const shownPrompt = 1000

// Fits implements admin.Process.
func (a *App) Fits() admin.Fits {
	w, now := a.gateway.World(), time.Now()
	told := admin.Fits{Fits: []admin.Fit{}, Replicas: []admin.Foreseen{}}
	a.gateway.Policy(func(p *flow.Policy) {
		for i := range w.Fleet.Upstreams {
			u := &w.Fleet.Upstreams[i]
			k, ok := p.Learned(u)
			if !ok {
				continue
			}
			for _, r := range u.Replicas {
				next, ok := p.First(r.ID, shownPrompt, now)
				if !ok {
					continue
				}
				o := p.Outstanding(r.ID, now)
				told.Replicas = append(told.Replicas, admin.Foreseen{
					Upstream: u.Name, Replica: r.Name, Class: k.Class,
					Waiting: o.Waiting, Prompt: o.Prompt, Decodes: o.Decodes, Next: 1e3 * next.Seconds(),
				})
			}
			if at := slices.IndexFunc(told.Fits, func(f admin.Fit) bool { return f.Class == k.Class }); at >= 0 {
				told.Fits[at].Upstreams = append(told.Fits[at].Upstreams, u.Name)
				continue
			}
			told.Fits = append(told.Fits, admin.Fit{
				Class: k.Class, Upstreams: []string{u.Name},
				Base: 1e3 * k.Base.Seconds(), Kappa: 1e9 * k.PerKV, Rate: k.Rate, Overhead: 1e3 * k.Overhead.Seconds(),
				Samples: k.Samples, Error: k.Error, Firsts: k.Firsts, First: k.First, Trusted: k.Trusted(),
			})
		}
	})
	slices.SortFunc(told.Fits, func(x, y admin.Fit) int { return cmp.Compare(x.Class, y.Class) })
	return told
}
