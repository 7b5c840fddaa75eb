package sim

import (
	"strconv"
	"time"

	"headworks/internal/fleet"
	"headworks/internal/latency"
	"headworks/internal/tenant"
)

// BuiltIn returns the world and the load that hold without configuration: four
// replicas of Qwen3-32B on two H100 each, and chat at about 70 % of what they can
// serve. Lengths are log-normal with the means and the spread of Azure's
// conversation trace of 2023 (CC-BY): 1,155 tokens in and 211 out.
func BuiltIn(requests int, seed uint64) (World, *Poisson) {
	s := &fleet.Snapshot{
		Upstreams: []fleet.Upstream{{Name: "pool", Kind: "simulated", Hardware: "2xh100", Simulated: true}},
		Models: []fleet.Model{{
			Name:     "assistant",
			Targets:  []fleet.Target{{Model: "qwen3-32b"}},
			Tries:    2,
			Timeouts: fleet.Timeouts{FirstToken: 5 * time.Minute, Idle: 30 * time.Second, Total: 10 * time.Minute},
		}},
		Replicas: 4,
	}
	for i := range s.Replicas {
		s.Upstreams[0].Replicas = append(s.Upstreams[0].Replicas, fleet.Replica{ID: fleet.ReplicaID(i), Name: name(i)})
	}
	p, _ := latency.Profile(latency.Qwen32B)
	w := World{Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Fleet: s, Engines: []latency.Params{p}}
	return w, &Poisson{
		Requests: requests,
		Rate:     30, // of 41 that the four can serve
		Seed:     seed,
		Start:    w.Start,
		Model:    "assistant",
		Prompt:   Lengths{Median: 715, Sigma: .985, Max: 14_050},
		Output:   Lengths{Median: 151, Sigma: .859, Max: 1000},
		Caller:   &tenant.Caller{Key: "sim", Tenant: "sim"},
	}
}

// LadderPool returns the world in which the ladder was published: 8 replicas of
// Qwen3-32B on two H100 each, no time-outs.
func LadderPool() World {
	w, _ := BuiltIn(0, 1)
	Grow(&w, 8)
	u := &w.Fleet.Upstreams[0]
	u.KVTokens, u.Rate = w.Engines[0].KVTokens, float64(latency.Second/w.Engines[0].PerPrefillToken)
	w.Fleet.Models[0].Timeouts = fleet.Timeouts{}
	return w
}

// Grow gives a built-in world so many replicas.
func Grow(w *World, replicas int) {
	u := &w.Fleet.Upstreams[0]
	u.Replicas = nil
	for i := range replicas {
		u.Replicas = append(u.Replicas, fleet.Replica{ID: fleet.ReplicaID(i), Name: name(i)})
	}
	w.Fleet.Replicas = replicas
}

func name(replica int) string { return "r" + strconv.Itoa(replica) }
