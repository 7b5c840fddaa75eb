package app

import (
	"fmt"
	"math"
	"strings"
	"time"

	"headworks/internal/config"
	"headworks/internal/latency"
)

// Calibration is one row of measurements of a pool; see latency.Measured.
type Calibration struct {
	Replicas   int
	Measured   latency.Measured // Rate is the pool's
	KVTokens   int              // of one replica
	StepTokens int
	MaxBatch   int
}

// Calibrated is the engine that explains it, as a configuration says it.
type Calibrated struct {
	Prefill     float64 `json:"prefill"`
	StepBase    string  `json:"step_base"`
	Kappa       float64 `json:"kappa"`
	PerSequence string  `json:"per_sequence"`
	Overhead    string  `json:"overhead"`
	KVTokens    int     `json:"kv_tokens"`
	StepTokens  int     `json:"step_tokens"`
	MaxBatch    int     `json:"max_batch"`
}

// Calibrate finds the engine behind a row of measurements.
func Calibrate(c Calibration) (Calibrated, error) {
	if c.Replicas < 1 {
		return Calibrated{}, cannot("--replicas is a number from 1")
	}
	m := c.Measured
	m.Rate /= float64(c.Replicas)
	p, err := m.Params()
	if err != nil {
		return Calibrated{}, cannot("%s", strings.TrimPrefix(err.Error(), "latency: "))
	}
	duration := func(d time.Duration) string { return d.Round(time.Microsecond).String() }
	e := config.Engine{
		Prefill:  math.Round(float64(latency.Second) / float64(p.PerPrefillToken)),
		StepBase: time.Duration(p.Base / latency.Nanosecond).Round(time.Microsecond),
		Kappa:    math.Round(float64(p.PerKVToken)/float64(latency.Nanosecond)*1000) / 1000,
		Overhead: p.Overhead.Round(time.Microsecond), PerSequence: time.Duration(p.PerSequence / latency.Nanosecond),
		KVTokens: c.KVTokens, StepTokens: c.StepTokens, MaxBatch: c.MaxBatch,
	}
	e.Profile = latency.Qwen32B // what is not given; all is
	if c.KVTokens < 1 {
		return Calibrated{}, cannot("--kv-tokens is how many tokens the KV cache of a replica holds; vLLM's log says it at its start: GPU KV cache size")
	}
	if err := e.Params().Check(); err != nil {
		return Calibrated{}, cannot("what was found is no engine: %s", strings.TrimPrefix(err.Error(), "latency: "))
	}
	return Calibrated{
		Prefill: e.Prefill, StepBase: duration(e.StepBase), Kappa: e.Kappa, PerSequence: duration(e.PerSequence), Overhead: duration(e.Overhead),
		KVTokens: e.KVTokens, StepTokens: e.StepTokens, MaxBatch: e.MaxBatch,
	}, nil
}

// YAML returns the engine as it stands in a configuration, below its upstream.
func (c Calibrated) YAML() string {
	return fmt.Sprintf("engine:\n  prefill: %.0f\n  step_base: %s\n  kappa: %g\n  per_sequence: %s\n  overhead: %s\n  kv_tokens: %d\n  step_tokens: %d\n  max_batch: %d\n",
		c.Prefill, c.StepBase, c.Kappa, c.PerSequence, c.Overhead, c.KVTokens, c.StepTokens, c.MaxBatch)
}
