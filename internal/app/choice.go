package app

import (
	"errors"
	"fmt"
	"time"

	"headworks/internal/complexity"
	"headworks/internal/config"
	"headworks/internal/fleet"
	"headworks/internal/latency"
	"headworks/internal/tenant"
)

// choice returns what counts under policy best as decisions have it.
func choice(c *config.Choice) *fleet.Choice {
	f := &fleet.Choice{
		Quality: c.Quality, Price: c.Price, Latency: c.Latency, Objective: c.Objective,
		Signals: c.Complexity.Weights(),
	}
	for _, r := range c.Rules {
		f.Rules = append(f.Rules, fleet.Rule{
			Tier: r.Tier, Complexity: r.Complexity, Input: r.Input, Tools: r.Tools, Budget: float64(r.Budget),
			Prefer: preference(r.Prefer), Least: r.Quality,
		})
	}
	return f
}

// preference returns the preference of a name that config knows, or none.
func preference(name string) tenant.Preference {
	p, _ := tenant.ParsePreference(name)
	return p
}

// ErrNoModel marks that a configuration has no model of a name.
var ErrNoModel = errors.New("no such model")

// ComplexityWeights returns by which weights a model of a file judges how hard requests
// are.
func ComplexityWeights(file, model string) (complexity.Weights, error) {
	c, report := config.Load(file)
	if !report.OK() {
		return complexity.Weights{}, fmt.Errorf("%w\n%s", ErrConfig, report.Text(""))
	}
	m, ok := c.Models[model]
	if !ok {
		return complexity.Weights{}, fmt.Errorf("%w: the file has no model %q; name one with --model", ErrNoModel, model)
	}
	return m.Choice.Complexity.Weights(), nil
}

// tier returns a tier as decisions have it.
func tier(name string, t config.Tier) tenant.Tier {
	to := tenant.Tier{
		Name: name, Class: t.Priority, Requests: t.Requests, Tokens: t.Tokens, Concurrency: t.Concurrency,
		Wish:    tenant.Wish{Prefer: preference(t.Prefer), Objective: tenant.Objective(t.Objectives)},
		Fastest: tenant.Objective(t.Fastest),
	}
	if t.MayPrefer != nil {
		to.May = []tenant.Preference{}
	}
	for _, name := range t.MayPrefer {
		to.May = append(to.May, preference(name))
	}
	return to
}

// targetID returns the place of a target in what is observed of it.
func (r *fleetRoom) targetID(upstream, model string) fleet.TargetID {
	id, known := r.targets[aim{upstream, model}]
	if !known {
		id = fleet.TargetID(len(r.targets) + 1)
		r.targets[aim{upstream, model}] = id
	}
	return id
}

// usualContext is what a decode reads of KV at a usual length of a conversation, in
// tokens.
const usualContext = 1024

// pace returns how fast the engines of an upstream are with a model and nothing else
// to do, where that is known.
func pace(u *fleet.Upstream, c config.Upstream, model string) fleet.Pace {
	p, _, err := modelled(u, c, model)
	if err != nil || p.PerPrefillToken <= 0 {
		return fleet.Pace{} // nothing says how fast it is, so it is observed
	}
	duration := func(ps latency.Picoseconds) time.Duration { return time.Duration(ps / latency.Nanosecond) }
	return fleet.Pace{
		First: p.Overhead + duration(p.Base),
		Each:  duration(p.Base + p.PerSequence + usualContext*p.PerKVToken),
		Rate:  float64(latency.Second) / float64(p.PerPrefillToken),
	}
}
