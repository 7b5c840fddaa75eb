package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"headworks/internal/app"
)

func newSimCalibrateCommand(t *terminal) *cobra.Command {
	var (
		o                  app.Calibration
		weights, bandwidth float64
	)
	m := &o.Measured
	c := &cobra.Command{
		Use: "calibrate", Short: "Find the engine model behind a row of measurements", Args: cobra.NoArgs,
		Long: "Takes what was measured of a pool at one low rate, once with prompts spread over\n" +
			"the replicas (cold) and once with prompts sent to where they were (warm), and\n" +
			"prints the engine that explains it, for a configuration. The formulae stand in\n" +
			"docs/howto/simulate.md.",
		Example: "  headworks sim calibrate --replicas 8 --rate 3 --prompt 7200 --output 1000 \\\n" +
			"    --uncached 5540 --ttft-cold 415ms --ttft-warm 133ms \\\n" +
			"    --weights 32.8 --kv-bytes 131072 --bandwidth 3.35 --kv-tokens 307328",
		RunE: func(*cobra.Command, []string) error {
			m.Weights, m.Bandwidth = weights*1e9, bandwidth*1e12
			r, err := app.Calibrate(o)
			switch {
			case errors.Is(err, app.ErrSimulation):
				return &exit{exitUsage, err}
			case err != nil:
				return err
			}
			return t.print(r, func(w io.Writer) { fmt.Fprint(w, r.YAML()) })
		},
	}
	f := c.Flags()
	f.IntVar(&o.Replicas, "replicas", 1, "replicas of the pool")
	f.Float64Var(&m.Rate, "rate", 0, "requests a second that the pool got")
	f.Float64Var(&m.Prompt, "prompt", 0, "tokens of a prompt, mean")
	f.Float64Var(&m.Output, "output", 0, "tokens of an answer, mean")
	f.Float64Var(&m.Uncached, "uncached", 0, "tokens of a prompt not found in the cache in the cold row, mean")
	f.Float64Var(&m.Residual, "uncached-warm", 0, "and in the warm row")
	f.DurationVar(&m.Cold, "ttft-cold", 0, "mean time to the first token in the cold row")
	f.DurationVar(&m.Warm, "ttft-warm", 0, "and in the warm row")
	f.DurationVar(&m.TPOT, "tpot", 0, "mean time per output token of the cold row; needed without --weights")
	f.Float64Var(&weights, "weights", 0, "GB of weights on each GPU")
	f.Float64Var(&m.KVBytes, "kv-bytes", 0, "bytes of KV a token on each GPU: 2 * layers * KV heads * head dimension * bytes a value / tensor parallelism")
	f.Float64Var(&bandwidth, "bandwidth", 0, "TB/s of each GPU's memory")
	f.IntVar(&o.KVTokens, "kv-tokens", 0, "tokens that the KV cache of a replica holds")
	f.IntVar(&o.StepTokens, "step-tokens", 8192, "tokens a step takes on (vLLM: max_num_batched_tokens)")
	f.IntVar(&o.MaxBatch, "max-batch", 1024, "sequences a step takes on (vLLM: max_num_seqs)")
	return c
}
