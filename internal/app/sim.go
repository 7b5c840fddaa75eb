package app

import (
	"errors"
	"fmt"

	"headworks/internal/admit"
	"headworks/internal/config"
	"headworks/internal/engine/extract"
	"headworks/internal/flow"
	"headworks/internal/latency"
	"headworks/internal/sim"
)

// Simulation says what to simulate.
type Simulation struct {
	Requests int
	Seed     uint64
	Config   string  // a file; empty is the built-in world
	Model    string  // of the file; empty is the first
	Rate     float64 // requests a second; 0 is about 70 % of what the model's first target can serve
}

// Simulated is what came of it.
type Simulated struct {
	sim.Result
	Simulated bool     `json:"simulated"` // always
	Seed      uint64   `json:"seed"`
	Rate      float64  `json:"rate"`
	Model     string   `json:"model"`
	Assumed   []string `json:"assumed"` // upstreams whose engines the file says nothing of
}

// Simulate runs a load through the decisions that serve, in virtual time.
func Simulate(o Simulation) (Simulated, error) {
	world, load := sim.BuiltIn(o.Requests, o.Seed)
	limits := config.Default().Limits
	out := Simulated{Simulated: true, Seed: o.Seed, Assumed: []string{}}
	if o.Config != "" {
		c, report := config.Load(o.Config)
		if !report.OK() {
			return out, fmt.Errorf("%w\n%s", ErrConfig, report.Text(""))
		}
		w, _, drop, err := newFleetRoom(func(string, int) []extract.Passage { return nil }).build(c)
		if err != nil {
			return out, err
		}
		drop()
		if len(w.Fleet.Models) == 0 {
			return out, errors.New("the file names no model to simulate")
		}
		limits = c.Limits
		world.Fleet, world.Region, world.Engines = w.Fleet, w.Region, nil
		for _, u := range w.Fleet.Upstreams {
			p, _ := latency.Profile(latency.Qwen32B)
			if e := c.Upstreams[u.Name].Engine; e != nil {
				p = e.Params()
			} else {
				out.Assumed = append(out.Assumed, u.Name+" as "+latency.Qwen32B)
			}
			world.Engines = append(world.Engines, p)
		}
		load.Model = w.Fleet.Models[0].Name
		load.Rate = 0
	}
	if o.Model != "" {
		load.Model = o.Model
	}
	m, ok := world.Fleet.Model(load.Model)
	if !ok {
		return out, fmt.Errorf("the file has no model %q", load.Model)
	}
	if load.Rate == 0 {
		first := m.Targets[0].Upstream
		load.Rate = 0.7 * capacity(world.Engines[first]) * float64(len(world.Fleet.Upstreams[first].Replicas))
	}
	if o.Rate > 0 {
		load.Rate = o.Rate
	}
	p := flow.NewPolicy(admit.Limits{InFlight: limits.InFlight, Queue: limits.Queue})
	p.Rules.QueueWait, p.Rules.Seed = limits.QueueWait, o.Seed
	out.Result = sim.Run(world, p, load, nil)
	out.Rate, out.Model = load.Rate, load.Model
	return out, nil
}

// The mean lengths of the load that sim.BuiltIn draws, in tokens.
const (
	meanPrompt = 1155
	meanOutput = 211
)

// capacity estimates how many requests a second an engine serves: what one takes
// of its steps where a batch is as full as memory allows, or 64.
func capacity(p latency.Params) float64 {
	context := meanPrompt + meanOutput/2
	batch := max(min(64, p.MaxSequences, p.KVTokens/context), 1)
	token := float64(p.Base)/float64(batch) + float64(p.PerSequence) + float64(p.PerKVToken)*float64(context)
	return float64(latency.Second) / (meanPrompt*float64(p.PerPrefillToken) + meanOutput*token)
}
