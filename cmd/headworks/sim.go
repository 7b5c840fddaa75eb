package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"headworks/internal/app"
)

func newSimCommand(t *terminal) *cobra.Command {
	return group("sim", "Simulate a load with the code that serves it", newSimRunCommand(t))
}

func newSimRunCommand(t *terminal) *cobra.Command {
	var o app.Simulation
	c := &cobra.Command{
		Use: "run", Short: "Run a load through the same decisions in virtual time", Args: cobra.NoArgs,
		Long: "Plays requests against modelled engines, on a virtual clock, through the very\n" +
			"decisions that serve live requests. The same seed gives the same hash of all records.",
		Example: "  headworks sim run --requests 100000 --seed 1 --json\n  headworks sim run --config headworks.yaml --rate 40",
		RunE: func(*cobra.Command, []string) error {
			if o.Requests < 1 {
				return &exit{exitUsage, errors.New("--requests is a number from 1")}
			}
			if !(o.Rate >= 0) || math.IsInf(o.Rate, 0) {
				return &exit{exitUsage, errors.New("--rate is a number of requests a second")}
			}
			r, err := app.Simulate(o)
			if errors.Is(err, app.ErrConfig) {
				return &exit{exitConfig, err}
			}
			if err != nil {
				return err
			}
			return t.print(r, func(w io.Writer) {
				fmt.Fprintf(w, "SIMULATED  %d requests of %s at %.1f/s, seed %d: %d served, %d failed, %.0f s of virtual time\n", r.Requests, r.Model, r.Rate, r.Seed, r.Served, r.Failed, r.Seconds)
				if len(r.Assumed) > 0 {
					fmt.Fprintf(w, "the file says nothing of these engines; they are modelled: %s\n", strings.Join(r.Assumed, ", "))
				}
				fmt.Fprintf(w, "%d steps, %.2f M/s; hash %s\n\n", r.Steps, r.StepsPerSecond/1e6, r.Hash)
				ms := func(f float64) string { return fmt.Sprintf("%.1f", f) }
				table(w, []string{"MS", "MEAN", "P50", "P90", "P95", "P99"},
					[]string{"TTFT", ms(r.TTFT.Mean), ms(r.TTFT.P50), ms(r.TTFT.P90), ms(r.TTFT.P95), ms(r.TTFT.P99)},
					[]string{"TPOT", ms(r.TPOT.Mean), ms(r.TPOT.P50), ms(r.TPOT.P90), ms(r.TPOT.P95), ms(r.TPOT.P99)})
				fmt.Fprintln(w)
				var rows [][]string
				for _, l := range r.Replicas {
					rows = append(rows, []string{l.Upstream + " " + l.Replica, fmt.Sprint(l.Served), fmt.Sprintf("%.1f %%", 100*l.Share), fmt.Sprintf("%.1f", l.InFlight), fmt.Sprint(l.InFlightPeak)})
				}
				list(w, []string{"REPLICA", "SERVED", "SHARE", "IN FLIGHT", "PEAK"}, rows)
			})
		},
	}
	f := c.Flags()
	f.IntVar(&o.Requests, "requests", 10_000, "how many requests")
	f.Uint64Var(&o.Seed, "seed", 1, "the same seed gives the same run")
	f.StringVar(&o.Config, "config", "", "simulate this configuration instead of the built-in world")
	f.StringVar(&o.Model, "model", "", "the model of the configuration; the first unless named")
	f.Float64Var(&o.Rate, "rate", 0, "requests a second; about 70 % of what the replicas can serve unless named")
	return c
}
