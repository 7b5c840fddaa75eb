package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"headworks/internal/app"
)

func newSimCommand(t *terminal) *cobra.Command {
	return group("sim", "Simulate a load with the code that serves it", newSimRunCommand(t), newSimCalibrateCommand(t))
}

func newSimRunCommand(t *terminal) *cobra.Command {
	var (
		o    app.Simulation
		html bool
	)
	c := &cobra.Command{
		Use: "run", Short: "Run a load through the same decisions in virtual time", Args: cobra.NoArgs,
		Long: "Plays requests against modelled engines, on a virtual clock, through the very\n" +
			"decisions that serve live requests. The same seed gives the same hash of all records.",
		Example: "  headworks sim run --requests 100000 --seed 1 --json\n" +
			"  headworks sim run --config headworks.yaml --trace conversation.jsonl.gz --policies prefix,least-requests --seeds 3\n" +
			"  headworks sim run --load ladder --policies random,prefix --seeds 3 --html > ladder.html\n" +
			"  headworks sim run --event \"20s..40s crash pool/2\" --event \"60s..90s slow pool/1 x3\"",
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case c.Flags().Changed("requests") && o.Requests < 1:
				return &exit{exitUsage, errors.New("--requests is a number from 1")}
			case c.Flags().Changed("rate") && !(o.Rate > 0) || math.IsInf(o.Rate, 0):
				return &exit{exitUsage, errors.New("--rate is a number of requests a second, above 0")}
			case c.Flags().Changed("speed") && !(o.Speed > 0) || math.IsInf(o.Speed, 0):
				return &exit{exitUsage, errors.New("--speed is a number above 0, such as 2 for twice as fast")}
			case o.Seeds < 1:
				return &exit{exitUsage, errors.New("--seeds is a number from 1")}
			case o.Gateways < 1:
				return &exit{exitUsage, errors.New("--gateways is a number from 1")}
			case c.Flags().Changed("target") && !(o.Target > 0) || math.IsInf(o.Target, 0):
				return &exit{exitUsage, errors.New("--target is a number of requests in flight, above 0")}
			case c.Flags().Changed("keep") && !(o.Keep > 0 && o.Keep <= 100):
				return &exit{exitUsage, errors.New("--keep is a share in percent, above 0 and 100 at most")}
			case o.Objective.TTFT < 0 || o.Objective.TPOT < 0:
				return &exit{exitUsage, errors.New("an objective is a time such as 2s; 0s is none")}
			case o.ColdStart < 0:
				return &exit{exitUsage, errors.New("--cold-start is a time such as 4m")}
			case html && t.json:
				return &exit{exitUsage, errors.New("--html and --json are two ways to print one result")}
			}
			told := t.progress()
			o.Progress = told.tell
			r, err := app.Simulate(c.Context(), o)
			told.end()
			switch {
			case errors.Is(err, app.ErrConfig):
				return &exit{exitConfig, err}
			case errors.Is(err, app.ErrSimulation):
				return &exit{exitUsage, err}
			case err != nil:
				return err
			case html:
				return r.HTML(t.out)
			}
			return t.print(r, func(w io.Writer) { showSimulated(w, &r) })
		},
	}
	f := c.Flags()
	f.IntVar(&o.Requests, "requests", 0, "how many requests; 10000 unless named, and of a trace all")
	f.Uint64Var(&o.Seed, "seed", 1, "the same seed gives the same run")
	f.IntVar(&o.Seeds, "seeds", 1, "how many seeds, from --seed on; figures get an interval over them")
	f.StringVar(&o.Config, "config", "", "simulate this configuration instead of the built-in world")
	f.StringVar(&o.Model, "model", "", "the model of the configuration; the first unless named")
	f.Float64Var(&o.Rate, "rate", 0, "requests a second; about 70 % of what the replicas can serve unless named")
	f.StringVar(&o.Load, "load", "", "the built-in load: chat (the default), ladder: shared prefixes at rising rates, or conversations: clients that go on; with what is changed of it, as ladder,groups=300")
	f.StringVar(&o.Stages, "stages", "", "RATExLENGTH,... such as 15x50s,3x20s: a stage begins 30 s after the one before has ended; behind a + in the place of the comma, at once")
	f.StringVar(&o.Trace, "trace", "", "replay this file: Azure LLM, Mooncake or BurstGPT, gzipped or not")
	f.Float64Var(&o.Speed, "speed", 0, "replay a trace so many times as fast as it was")
	f.BoolVar(&o.Raw, "raw", false, "let requests of one stamp of a trace come at once, instead of spreading them")
	f.StringSliceVar(&o.Policies, "policies", nil, "compare these: "+strings.Join(app.Policies(), ", "))
	f.StringArrayVar(&o.Events, "event", nil, "FROM..TO WHAT WHERE, such as \"60s..120s crash gpu/2\"; may be given several times")
	f.StringVar(&o.EventFile, "events", "", "a file of events, one a line")
	f.IntVar(&o.Gateways, "gateways", 1, "how many gateways send to the same engines")
	f.DurationVar(&o.Exchange, "exchange", 100*time.Millisecond, "how often each of several gateways tells the others what it knows; 0s is never")
	f.BoolVar(&o.Unasked, "no-metrics", false, "engines tell nothing of their load: decisions rest on the gateways' own counts")
	f.StringVar(&o.Scale, "scale", "", "LEAST..MOST, such as 2..16: replicas follow the load, as a HorizontalPodAutoscaler makes them; the report has GPU-hours")
	f.Float64Var(&o.Target, "target", 0, "with --scale: requests in flight a replica; unless named, the most that keeps --keep is found for each policy")
	f.Float64Var(&o.Keep, "keep", 0, "with --scale: the share within the objective to keep, in percent; 95 unless named")
	f.DurationVar(&o.ColdStart, "cold-start", 0, "with --scale: from the order until a replica takes requests; 4m unless named")
	f.DurationVar(&o.Objective.TTFT, "ttft", 2*time.Second, "the objective for the first token; 0s is none")
	f.DurationVar(&o.Objective.TPOT, "tpot", 50*time.Millisecond, "the objective for each token after it; 0s is none")
	f.BoolVar(&html, "html", false, "write a report as one HTML page to stdout")
	return c
}

func showSimulated(w io.Writer, r *app.Simulated) {
	if r.Result == nil {
		fmt.Fprintln(w, "SIMULATED")
	} else {
		fmt.Fprintf(w, "SIMULATED  %d served, %d failed, %.0f s of virtual time\n", r.Served, r.Failed, r.Seconds)
	}
	var facts [][]string
	for _, f := range r.Facts() {
		facts = append(facts, []string{f[0], f[1]})
	}
	table(w, facts...)
	fmt.Fprintln(w)
	table(w, r.Rows()...)
	if rows := r.VersusRows(); rows != nil {
		fmt.Fprintf(w, "\nless %s, seed by seed:\n", rows[0][0])
		rows[0][0] = ""
		table(w, rows...)
	}
	if rows := r.StageRows(); rows != nil {
		fmt.Fprintln(w)
		table(w, rows...)
	}
	if rows := r.PhaseRows(); rows != nil {
		fmt.Fprintln(w)
		table(w, rows...)
		fmt.Fprintln(w, "lost: failed before the answer had begun; broken: began, and did not end; moved: served in another region than the caller's")
	}
	if r.Seeds > 1 {
		fmt.Fprintln(w, "\n± is half of the 95 % interval of the mean over the seeds")
	}
	if r.Result == nil {
		return
	}
	fmt.Fprintf(w, "\n%d steps, %.2f M/s; hash %s\n\n", r.Steps, r.StepsPerSecond/1e6, r.Hash)
	var rows [][]string
	for _, l := range r.Replicas {
		rows = append(rows, []string{l.Upstream + " " + l.Replica, fmt.Sprint(l.Served), fmt.Sprintf("%.1f %%", 100*l.Share), fmt.Sprintf("%.1f", l.InFlight), fmt.Sprint(l.InFlightPeak)})
	}
	list(w, []string{"REPLICA", "SERVED", "SHARE", "IN FLIGHT", "PEAK"}, rows)
}

// progress tells a terminal how far a simulation is.
type progress struct {
	to   io.Writer // nil: nobody looks
	mu   sync.Mutex
	last time.Time
	most int
}

func (t *terminal) progress() *progress {
	if f, ok := t.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &progress{to: f, last: time.Now()}
	}
	return &progress{}
}

// tell shows how much is done, ten times a second at most.
func (p *progress) tell(done, all int) {
	if p.to == nil || all == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); done > p.most && now.Sub(p.last) >= 100*time.Millisecond {
		p.last, p.most = now, done
		fmt.Fprintf(p.to, "\r%3d %% of %d requests ", 100*done/all, all)
	}
}

// end wipes the line.
func (p *progress) end() {
	if p.to != nil && p.most > 0 {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}
