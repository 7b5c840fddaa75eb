package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"headworks/internal/alert"
	"headworks/internal/api/admin"
	"headworks/internal/monitor"
)

func newAlertsCommand(t *terminal) *cobra.Command {
	var past bool
	list := &cobra.Command{
		Use: "list", Short: "Show what deserves attention: the likely cause, the evidence and the command to give", Args: cobra.NoArgs,
		Example: "  headworks alerts\n  headworks alerts list --ended",
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := t.instance()
			if err != nil {
				return err
			}
			all, err := a.Alerts(c.Context())
			if err != nil {
				return err
			}
			return t.print(all, func(w io.Writer) { alerts(w, &all, past) })
		},
	}
	list.Flags().BoolVar(&past, "ended", false, "also those that are over")
	c := group("alerts", "See what deserves attention, and silence it for a while", list, newObjectivesCommand(t), newSilenceCommand(t), newUnsilenceCommand(t))
	c.RunE = list.RunE
	return c
}

func newSilenceCommand(t *terminal) *cobra.Command {
	var n admin.NewSilence
	c := &cobra.Command{
		Use: "silence FIELD=VALUE...", Short: "Tell nobody of alerts whose scope has these fields; they fire all the same", Args: cobra.MinimumNArgs(1),
		Example: "  headworks alerts silence upstream=eu signal=attempts --for 2h\n  headworks alerts silence fingerprint=disk --for 24h --reason 'new disk comes tomorrow'",
		RunE: func(c *cobra.Command, args []string) error {
			n.Match = map[string]string{}
			for _, arg := range args {
				field, value, ok := strings.Cut(arg, "=")
				if !ok {
					return &exit{exitUsage, errors.New("say field=value, such as upstream=eu")}
				}
				n.Match[field] = value
			}
			a, err := t.instance()
			if err != nil {
				return err
			}
			s, err := a.Silence(c.Context(), n)
			if err != nil {
				return err
			}
			return t.print(s, func(w io.Writer) {
				fmt.Fprintf(w, "%s until %s; headworks alerts unsilence %s ends it\n", s.ID, s.Until.Local().Format(time.DateTime), s.ID)
			})
		},
	}
	c.Flags().StringVar(&n.For, "for", "1h", "how long")
	c.Flags().StringVar(&n.Reason, "reason", "", "why, for those who come later")
	return c
}

func newUnsilenceCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "unsilence ID", Short: "End a silence", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			a, err := t.instance()
			if err != nil {
				return err
			}
			s, err := a.Unsilence(c.Context(), args[0])
			if err != nil {
				return err
			}
			return t.print(s, func(w io.Writer) { fmt.Fprintf(w, "%s is over\n", s.ID) })
		},
	}
}

func newObjectivesCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "objectives", Short: "Show how the budgets of objectives stand", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := t.instance()
			if err != nil {
				return err
			}
			all, err := a.Objectives(c.Context())
			if err != nil {
				return err
			}
			return t.print(map[string][]monitor.Standing{"objectives": all}, func(w io.Writer) {
				rows := [][]string{{"OBJECTIVE", "OF", "GOAL", "BAD", "ALL", "BUDGET LEFT", "BURN"}}
				for _, s := range all {
					of := s.Model + s.Upstream
					if s.Tier != "" {
						of += ", tier " + s.Tier
					}
					if s.Simulated {
						of += " (simulated)"
					}
					rows = append(rows, []string{s.Objective, of, fmt.Sprintf("%g %%", 100*s.Goal), fmt.Sprint(s.Bad), fmt.Sprint(s.All), fmt.Sprintf("%.0f %%", 100*s.Left), fmt.Sprintf("%.1f", s.Burn)})
				}
				table(w, rows...)
			})
		},
	}
}

func alerts(w io.Writer, all *admin.AlertList, past bool) {
	if len(all.Alerts) == 0 {
		fmt.Fprintln(w, "nothing deserves attention")
	}
	for i := range all.Alerts {
		tellAlert(w, &all.Alerts[i])
	}
	if past {
		for i := range all.Ended {
			tellAlert(w, &all.Ended[i])
		}
	}
	for _, s := range all.Silences {
		fmt.Fprintf(w, "silence %s until %s: %v %s\n", s.ID, s.Until.Local().Format(time.DateTime), s.Match, s.Reason)
	}
}

func tellAlert(w io.Writer, a *alert.Alert) {
	state := a.Urgency
	switch {
	case a.State == alert.Resolved:
		state += ", over since " + a.Until.Local().Format(time.DateTime)
	case a.Silenced != "":
		state += ", silenced by " + a.Silenced
	case a.Flapping:
		state += ", comes and goes"
	}
	fmt.Fprintf(w, "%s\n  %s, since %s\n", a.Title, state, a.Since.Local().Format(time.DateTime))
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(w, "  %-9s %s\n", name, text)
		}
	}
	line("cause", a.Cause)
	line("impact", a.Impact)
	line("found by", a.Method)
	line("evidence", strings.Join(a.Evidence, "; "))
	line("next", a.Next)
}
