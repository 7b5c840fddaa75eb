package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"headworks/internal/incident"
)

func newIncidentCommand(t *terminal) *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "List the incidents, the latest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := t.instance()
			if err != nil {
				return err
			}
			all, err := a.Incidents(c.Context())
			if err != nil {
				return err
			}
			return t.print(map[string][]incident.Incident{"incidents": all}, func(w io.Writer) {
				if len(all) == 0 {
					fmt.Fprintln(w, "no incidents; the first alert that pages opens one")
					return
				}
				rows := [][]string{{"ID", "OPENED", "STATUS", "LEAD", "TITLE"}}
				for _, x := range all {
					rows = append(rows, []string{x.ID, x.Opened.Local().Format(time.DateTime), string(x.Status), x.Roles["lead"], x.Title})
				}
				table(w, rows...)
			})
		},
	}
	show := &cobra.Command{
		Use: "show ID", Short: "Show an incident and its timeline; latest is the last one", Args: cobra.ExactArgs(1),
		Example: "  headworks incident show latest",
		RunE: func(c *cobra.Command, args []string) error {
			a, err := t.instance()
			if err != nil {
				return err
			}
			x, err := a.Incident(c.Context(), args[0])
			if err != nil {
				return err
			}
			return t.print(x, func(w io.Writer) { showIncident(w, &x) })
		},
	}
	return group("incident", "See what happened while something was wrong, and write it down", list, show,
		newNoteCommand(t), newCloseCommand(t), newExportIncidentCommand(t))
}

func newNoteCommand(t *terminal) *cobra.Command {
	var lead string
	c := &cobra.Command{
		Use: "note ID TEXT...", Short: "Write into an incident's timeline", Args: cobra.MinimumNArgs(1),
		Example: "  headworks incident note latest \"it began with the new driver\"\n  headworks incident note latest --lead Ada",
		RunE: func(c *cobra.Command, args []string) error {
			e := incident.Edit{Note: strings.Join(args[1:], " "), By: os.Getenv("USER")}
			if lead != "" {
				e.Role, e.Who = "lead", lead
			}
			return editIncident(c, t, args[0], e)
		},
	}
	c.Flags().StringVar(&lead, "lead", "", "who leads")
	return c
}

func newCloseCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "close ID", Short: "Close an incident", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return editIncident(c, t, args[0], incident.Edit{Status: incident.Closed, By: os.Getenv("USER")})
		},
	}
}

func editIncident(c *cobra.Command, t *terminal, id string, e incident.Edit) error {
	a, err := t.instance()
	if err != nil {
		return err
	}
	x, err := a.EditIncident(c.Context(), id, e)
	if err != nil {
		return err
	}
	return t.print(x, func(w io.Writer) { fmt.Fprintf(w, "%s: %s\n", x.ID, x.Status) })
}

func newExportIncidentCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "export ID", Short: "Print the draft of a post-mortem, in Markdown", Args: cobra.ExactArgs(1),
		Example: "  headworks incident export latest > post-mortem.md",
		RunE: func(c *cobra.Command, args []string) error {
			a, err := t.instance()
			if err != nil {
				return err
			}
			p, err := a.PostMortem(c.Context(), args[0])
			if err != nil {
				return err
			}
			return t.print(p, func(w io.Writer) { fmt.Fprint(w, p.Markdown) })
		},
	}
}

func showIncident(w io.Writer, x *incident.Incident) {
	fmt.Fprintf(w, "%s  %s, %s, since %s\n", x.ID, x.Status, x.Severity, x.Opened.Local().Format(time.DateTime))
	fmt.Fprintf(w, "%s\n", x.Title)
	for role, who := range x.Roles {
		fmt.Fprintf(w, "%s: %s\n", role, who)
	}
	for _, e := range x.Timeline {
		by := ""
		if e.By != "" {
			by = " (" + e.By + ")"
		}
		fmt.Fprintf(w, "  %s  %-7s %s%s\n", e.Time.Local().Format(time.TimeOnly), e.Kind, e.Text, by)
	}
}
