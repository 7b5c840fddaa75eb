package app

import (
	"cmp"
	"slices"

	"headworks/internal/api/admin"
	"headworks/internal/flow"
)

// Fits implements admin.Process.
func (a *App) Fits() []admin.Fit {
	w := a.gateway.World()
	fits := []admin.Fit{}
	a.gateway.Policy(func(p *flow.Policy) {
		for i := range w.Fleet.Upstreams {
			u := &w.Fleet.Upstreams[i]
			k, ok := p.Learned(u)
			if !ok {
				continue
			}
			if at := slices.IndexFunc(fits, func(f admin.Fit) bool { return f.Class == k.Class }); at >= 0 {
				fits[at].Upstreams = append(fits[at].Upstreams, u.Name)
				continue
			}
			fits = append(fits, admin.Fit{
				Class: k.Class, Upstreams: []string{u.Name},
				Base: 1e3 * k.Base.Seconds(), Kappa: 1e9 * k.PerKV, Rate: k.Rate, Overhead: 1e3 * k.Overhead.Seconds(),
				Samples: k.Samples, Error: k.Error, Firsts: k.Firsts, First: k.First, Trusted: k.Trusted(),
			})
		}
	})
	slices.SortFunc(fits, func(x, y admin.Fit) int { return cmp.Compare(x.Class, y.Class) })
	return fits
}
