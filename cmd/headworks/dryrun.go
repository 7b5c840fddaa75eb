package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"headworks/internal/app"
	"headworks/internal/record"
)

// dryRun is what explain --dry-run is told.
type dryRun struct {
	file string
	of   app.DryRun
}

// flags adds what explain --dry-run takes.
func (d *dryRun) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&d.file, "dry-run", "", "a file with the body of a request, - for standard input: say where it would go, and send nothing")
	f.StringVar(&d.of.Config, "config", "", "the configuration to decide by")
	f.StringVar(&d.of.Dialect, "dialect", "", "of the body: "+strings.Join(app.DryRunDialects(), ", ")+"; found out unless given")
	f.StringVar(&d.of.Model, "model", "", "the model to ask for, in the place of the body's")
	f.StringVar(&d.of.Key, "key", "", "the name of the key that asks, of the file")
	f.StringVar(&d.of.Tier, "tier", "", "the tier that asks, of the file")
	f.StringVar(&d.of.Place, "place", "", "where the caller is: a region, or region/zone")
	f.StringArrayVar(&d.of.Headers, "header", nil, "a header of the request, as 'x-headworks-prefer: price'")
	f.StringVar(&d.of.Left, "budget-left", "", "what is left of the budget of the key, as 10%")
	f.StringArrayVar(&d.of.Down, "down", nil, "an upstream that is out")
	f.StringArrayVar(&d.of.Waiting, "waiting", nil, "prompt tokens that wait at each replica of an upstream, as gpu=50000")
	f.StringArrayVar(&d.of.Seen, "seen", nil, "how soon a target answered lately, as openai/gpt-5-mini=ttft=800ms,tpot=20ms")
}

// given returns the first flag that was given and is of a dry run.
func (d *dryRun) given(c *cobra.Command) string {
	for _, name := range []string{"config", "dialect", "model", "key", "tier", "place", "header", "budget-left", "down", "waiting", "seen"} {
		if c.Flags().Changed(name) {
			return name
		}
	}
	return ""
}

// mostBody bounds the body of a request that is tried.
const mostBody = 64 << 20

func (d *dryRun) run(t *terminal) error {
	if d.of.Config == "" {
		return &exit{exitUsage, errors.New("--dry-run decides by a configuration: name it with --config")}
	}
	from := t.in
	if d.file != "-" {
		f, err := os.Open(d.file)
		if err != nil {
			return err
		}
		defer f.Close()
		from = f
	}
	var err error
	if d.of.Body, err = io.ReadAll(io.LimitReader(from, mostBody)); err != nil {
		return err
	}
	decision, err := app.TryDecision(d.of)
	switch {
	case errors.Is(err, app.ErrConfig):
		return &exit{exitConfig, err}
	case errors.Is(err, app.ErrDryRun):
		return &exit{exitUsage, err}
	case err != nil:
		return err
	}
	return t.print(decision, func(w io.Writer) { tellDecision(w, &decision) })
}

func tellDecision(w io.Writer, d *app.Decision) {
	switch {
	case d.Chosen != nil:
		fmt.Fprintf(w, "model %s would go to %s as %s: %s\n", d.Model, d.Chosen.Upstream, d.Chosen.Model, d.Reason)
	default:
		fmt.Fprintf(w, "model %s would go nowhere: %s: %s\n", d.Model, d.Fault, d.Words)
	}
	needs := "nothing in particular"
	if len(d.Request.Needs) > 0 {
		needs = strings.Join(d.Request.Needs, ", ")
	}
	fmt.Fprintf(w, "about %s of prompt; it needs %s; from %s\n", count(d.Request.Input, "token"), needs, d.Request.From)
	tellChoice(w, d.Judged, d.Objective)
	fmt.Fprintln(w)
	var rows [][]string
	for _, c := range d.Candidates {
		row := []string{c.Upstream, c.Model, "-", "-", c.WhyNot}
		if c.Score != nil {
			row[2], row[4] = fmt.Sprintf("%.2f", *c.Score), "loses by "+parts(c.Contributions)
		}
		if c.Out != "" {
			row[4] = strings.TrimSuffix(c.Out+"; it is the last resort; "+row[4], "; ")
		}
		if c.TTFT > 0 {
			row[3] = fmt.Sprintf("%.0f ms", max(c.TTFT, 1))
		}
		rows = append(rows, row)
	}
	list(w, []string{"CANDIDATE", "MODEL", "SCORE", "FIRST TOKEN", ""}, rows)
	if len(d.Rejected) == 0 {
		return
	}
	fmt.Fprintln(w)
	rows = nil
	for _, r := range d.Rejected {
		rows = append(rows, []string{r.Upstream, r.Model, r.Why})
	}
	list(w, []string{"REJECTED", "MODEL", "WHY"}, rows)
}

// tellChoice writes what a choice went by, if there was one.
func tellChoice(w io.Writer, j *record.Judged, o *record.Objective) {
	if j != nil {
		fmt.Fprintf(w, "complexity %.2f: %s\n", j.Complexity, parts(j.Signals))
		if j.Prefer != "" {
			fmt.Fprintf(w, "preferred: %s\n", j.Prefer)
		}
	}
	if o == nil {
		return
	}
	var aims []string
	for _, a := range []struct {
		name string
		us   int64
	}{{"first token", o.TTFT}, {"each token", o.TPOT}} {
		if a.us > 0 {
			aims = append(aims, a.name+" within "+(time.Duration(a.us)*time.Microsecond).String())
		}
	}
	fmt.Fprintf(w, "objective: %s\n", strings.Join(aims, ", "))
}

// parts writes contributions, the largest first.
func parts(of map[string]float64) string {
	names := slices.SortedFunc(maps.Keys(of), func(a, b string) int {
		if x, y := math.Abs(of[a]), math.Abs(of[b]); x != y {
			return int(math.Copysign(1, y-x))
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %+.2f", name, of[name])
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}
