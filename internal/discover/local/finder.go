package local

import (
	"context"
	"math/rand/v2"
	"time"

	"headworks/internal/discover"
)

// Finder watches ports of this machine for engines.
type Finder struct {
	search Search
	every  time.Duration
}

// New returns the finder of engines at ports of this machine, which it looks at as a
// search does, again and again; every is from one look to the next, give or take a
// tenth, and 0 is 5 s.
func New(ports []uint16, every time.Duration, s Search) *Finder {
	s.Places = make([]Place, len(ports))
	for i, port := range ports {
		s.Places[i].Port = port
	}
	if s.Patience == 0 {
		s.Patience = 2 * time.Second // one that is busy answers late
	}
	if every <= 0 {
		every = 5 * time.Second
	}
	return &Finder{search: s, every: every}
}

// Watch implements discover.Finder. An engine is there when it lists its models, or
// wants a key for that; one that still loads does neither. One that was there and does
// not answer in time is busy, and stays: what listens is no longer asked only once it is
// gone.
func (f *Finder) Watch(ctx context.Context, tell func([]discover.Replica, error)) {
	there := map[string]bool{}
	for {
		found := []discover.Replica{}
		for _, e := range f.search.Find(ctx) {
			there[e.URL] = e.State == Ready || e.State == Locked || e.State == Silent && there[e.URL]
			if there[e.URL] {
				found = append(found, discover.Replica{URL: e.URL})
			}
		}
		if ctx.Err() != nil {
			return
		}
		tell(found, nil)
		wait := time.NewTimer(time.Duration(float64(f.every) * (0.9 + 0.2*rand.Float64())))
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
	}
}
