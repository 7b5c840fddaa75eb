package app

import (
	"context"
	"sync"
	"time"

	"headworks/internal/api/admin"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/gateway"
)

// lister is an engine that can be asked which models it has.
type lister interface {
	List(ctx context.Context, replica fleet.ReplicaID, until time.Time) ([]string, error)
}

// listing is how long an upstream may take to list its models.
const listing = 15 * time.Second

// Discover implements admin.Process: it asks the upstreams, all at once, which models
// they have; the empty name is all that are not built in.
func (a *App) Discover(ctx context.Context, upstream string) ([]admin.Discovered, error) {
	w := a.gateway.World()
	found := []admin.Discovered{}
	var asked []int
	for i := range w.Fleet.Upstreams {
		u := &w.Fleet.Upstreams[i]
		if u.Name != upstream && (upstream != "" || builtIn(u)) {
			continue
		}
		asked = append(asked, i)
		found = append(found, admin.Discovered{Upstream: u.Name, Kind: u.Kind, Models: []string{}})
	}
	if len(found) == 0 && upstream != "" {
		return nil, fault.New(fault.NotFound, "no upstream of this name; GET /api/status lists them")
	}
	var asking sync.WaitGroup
	for n, i := range asked {
		asking.Go(func() { list(ctx, w, i, &found[n]) })
	}
	asking.Wait()
	return found, nil
}

func builtIn(u *fleet.Upstream) bool { return len(u.Replicas) > 0 && u.Replicas[0].URL[0] == '#' }

// list asks one upstream: the first of its replicas that answers.
func list(ctx context.Context, w *gateway.World, i int, into *admin.Discovered) {
	u := &w.Fleet.Upstreams[i]
	e, ok := w.Engines[i].(lister)
	if !ok || len(u.Replicas) == 0 {
		into.Problem = "this kind of upstream has no list of models that Headworks can ask for"
		return
	}
	until := time.Now().Add(listing)
	for r := range u.Replicas {
		models, err := e.List(ctx, u.Replicas[r].ID, until)
		if err == nil {
			into.Models, into.Problem = append(into.Models, models...), ""
			return
		}
		into.Problem = fault.Of(err).Words
	}
}
