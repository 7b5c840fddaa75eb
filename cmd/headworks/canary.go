package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"headworks/internal/api/admin"
)

func newCanaryCommand(t *terminal) *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "List the canaries: their share, and what speaks against them", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := t.instance()
			if err != nil {
				return err
			}
			all, err := a.Canaries(c.Context())
			if err != nil {
				return err
			}
			return t.print(map[string][]admin.Canary{"canaries": all}, func(w io.Writer) { canaries(w, all) })
		},
	}
	return group("canary", "See and move targets that are tried on a share of the requests", list,
		newMoveCommand(t, "promote", "Give a model's canary all requests, from now on"),
		newMoveCommand(t, "rollback", "Give a model's canary no requests, from now on"),
		newMoveCommand(t, "restart", "Begin a model's canary anew, with its first step"), newJudgeCommand(t))
}

func newJudgeCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "judge REQUEST-ID good|bad", Short: "Say whether the answer to a request was good enough", Args: cobra.ExactArgs(2),
		Example: "  headworks canary judge req_0193... bad",
		RunE: func(c *cobra.Command, args []string) error {
			if args[1] != "good" && args[1] != "bad" {
				return &exit{exitUsage, errors.New("a verdict is good or bad")}
			}
			a, err := t.instance()
			if err != nil {
				return err
			}
			j, err := a.Judge(c.Context(), admin.Verdict{Request: args[0], Good: new(args[1] == "good")})
			if err != nil {
				return err
			}
			return t.print(j, func(w io.Writer) {
				if !j.Counts {
					fmt.Fprintf(w, "%s has no canary under way, so the verdict counts for nothing\n", cmp.Or(j.Model, "the model"))
					return
				}
				fmt.Fprintf(w, "%s, target %s: %s\n", j.Model, cmp.Or(j.Target, "without a name"), args[1])
			})
		},
	}
}

func newMoveCommand(t *terminal, to, short string) *cobra.Command {
	return &cobra.Command{
		Use: to + " MODEL", Short: short, Args: cobra.ExactArgs(1),
		Example: "  headworks canary " + to + " assistant",
		RunE: func(c *cobra.Command, args []string) error {
			a, err := t.instance()
			if err != nil {
				return err
			}
			moved, err := a.MoveCanary(c.Context(), admin.Move{Model: args[0], To: to})
			if err != nil {
				return err
			}
			return t.print(moved, func(w io.Writer) { canaries(w, []admin.Canary{moved}) })
		},
	}
}

// canaries writes how canaries stand.
func canaries(w io.Writer, all []admin.Canary) {
	var rows [][]string
	for _, k := range all {
		since, against := "-", "nothing"
		if !k.Since.IsZero() {
			since = time.Since(k.Since).Round(time.Second).String()
		}
		var say []string
		for _, s := range k.Signal {
			if s.Evidence > 0 {
				say = append(say, fmt.Sprintf("%s %.0f%% (%d of %d)", s.Name, 100*s.Evidence, s.Worse, s.Answers))
			}
		}
		if len(say) > 0 {
			against = strings.Join(say, ", ")
		}
		phase := k.Phase
		if k.Why != "" {
			phase += ": " + k.Why
		}
		answers := 0
		if len(k.Signal) > 0 {
			answers = k.Signal[0].Answers
		}
		rows = append(rows, []string{k.Model, k.Target, fmt.Sprintf("%.4g%%", 100*k.Share), since, fmt.Sprint(answers), against, phase})
	}
	list(w, []string{"MODEL", "CANARY", "SHARE", "SINCE", "ANSWERS", "EVIDENCE AGAINST IT", "STATE"}, rows)
}
