package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"headworks/internal/api/admin"
)

// partFlags adds the flags that name a part of the fleet.
func partFlags(c *cobra.Command, p *admin.Part) {
	f := c.Flags()
	f.StringVar(&p.Upstream, "upstream", "", "this upstream")
	f.StringVar(&p.Replica, "replica", "", "one replica of the upstream, by its name or URL")
	f.StringVar(&p.Zone, "zone", "", "this zone, as ZONE or REGION/ZONE")
	f.StringVar(&p.Region, "region", "", "this region")
}

// misnamed says what is wrong with how a part is named.
func misnamed(p *admin.Part) error {
	named := 0
	for _, v := range []string{p.Upstream, p.Zone, p.Region} {
		if v != "" {
			named++
		}
	}
	switch {
	case named > 1:
		return &exit{exitUsage, errors.New("name one of --upstream, --zone and --region; a zone of one region is --zone REGION/ZONE")}
	case p.Replica != "" && p.Upstream == "":
		return &exit{exitUsage, errors.New("--replica is one of an --upstream: name that too")}
	}
	return nil
}

func newDrainCommand(t *terminal) *cobra.Command {
	var o admin.DrainOrder
	var span time.Duration
	c := &cobra.Command{
		Use: "drain", Short: "Send no more requests to a part of the fleet; of nothing, make the instance finish what runs and end", Args: cobra.NoArgs,
		Example: "  headworks drain --upstream eu --replica r1\n  headworks drain --zone eu-west/a --for 10m\n  headworks drain --region eu-west --for 10m\n  headworks drain",
		RunE: func(c *cobra.Command, _ []string) error {
			whole := o.Part == admin.Part{}
			// A script whose variable is empty does not mean the whole instance.
			meant := slices.ContainsFunc([]string{"upstream", "replica", "zone", "region", "for", "force"}, c.Flags().Changed)
			switch {
			case whole && meant:
				return &exit{exitUsage, errors.New("say what to drain: --upstream, --zone or --region; without any flag the whole instance ends")}
			case misnamed(&o.Part) != nil:
				return misnamed(&o.Part)
			case c.Flags().Changed("for") && span < time.Second:
				return &exit{exitUsage, errors.New("--for is how long it lasts, from 1s on, such as 10m")}
			}
			a, err := t.instance()
			if err != nil {
				return err
			}
			if whole {
				if err := a.Drain(c.Context()); err != nil {
					return err
				}
				return t.print(map[string]string{"status": "draining"}, func(w io.Writer) { fmt.Fprintln(w, "draining") })
			}
			if span > 0 {
				o.For = span.String()
			}
			d, err := a.DrainPart(c.Context(), o)
			if err != nil {
				return err
			}
			return t.print(d, func(w io.Writer) { drains(w, []admin.Drain{d}) })
		},
	}
	partFlags(c, &o.Part)
	c.Flags().DurationVar(&span, "for", 0, "how long, such as 10m; until headworks undrain unless given")
	c.Flags().BoolVar(&o.Force, "force", false, "even if a model is left with nothing that serves it")
	return c
}

func newUndrainCommand(t *terminal) *cobra.Command {
	var p admin.Part
	all := false
	c := &cobra.Command{
		Use: "undrain", Short: "Send requests again to what was drained", Args: cobra.NoArgs,
		Example: "  headworks undrain --region eu-west\n  headworks undrain --all",
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case !all && p == admin.Part{}:
				return &exit{exitUsage, errors.New("say what to undrain, as it was drained: --upstream, --zone, --region, or --all")}
			case all && p != admin.Part{}:
				return &exit{exitUsage, errors.New("--all is everything: name nothing beside it")}
			case misnamed(&p) != nil:
				return misnamed(&p)
			}
			a, err := t.instance()
			if err != nil {
				return err
			}
			ended, err := a.Undrain(c.Context(), p, all)
			if err != nil {
				return err
			}
			return t.print(map[string][]admin.Drain{"ended": ended}, func(w io.Writer) {
				for _, d := range ended {
					fmt.Fprintf(w, "%s gets requests again, %s, each a growing share at first\n", d.What, count(len(d.Replicas), "replica"))
				}
			})
		},
	}
	partFlags(c, &p)
	c.Flags().BoolVar(&all, "all", false, "everything that is drained")
	return c
}

// drains writes which parts of the fleet get no requests, and what is still to do
// there.
func drains(w io.Writer, all []admin.Drain) {
	var rows [][]string
	for _, d := range all {
		until, flying := "undrained", 0
		if !d.Until.IsZero() {
			until = d.Until.Local().Format(time.TimeOnly) + ", in " + max(time.Until(d.Until), 0).Round(time.Second).String()
		}
		for _, r := range d.Replicas {
			flying += r.InFlight
		}
		rows = append(rows, []string{d.What, count(len(d.Replicas), "replica"), fmt.Sprint(flying), until, cmp.Or(strings.Join(d.Without, ", "), "-")})
	}
	list(w, []string{"DRAINED", "REPLICAS", "IN FLIGHT", "UNTIL", "NOTHING LEFT FOR"}, rows)
}

// located names a place.
func located(region, zone string) string {
	if zone == "" {
		return cmp.Or(region, "-")
	}
	return region + "/" + zone
}
