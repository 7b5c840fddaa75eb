package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"headworks/internal/api/admin"
)

func newCacheCommand(t *terminal) *cobra.Command {
	c := &cobra.Command{
		Use: "cache", Short: "Show what is kept of answers and other work, what it saved, and let go of it",
		Example: "  headworks cache report\n  headworks cache purge --model assistant",
	}
	c.AddCommand(newCacheReportCommand(t), newCachePurgeCommand(t))
	return c
}

func newCacheReportCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "report", Short: "Show what is kept, how often it was found, and what that saved", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := t.instance()
			if err != nil {
				return err
			}
			r, err := a.CacheReport(c.Context())
			if err != nil {
				return err
			}
			return t.print(r, func(w io.Writer) { cacheReport(w, &r) })
		},
	}
}

func cacheReport(w io.Writer, r *admin.CacheReport) {
	used := int64(0)
	var rows [][]string
	for _, l := range r.Layers {
		used += l.Bytes
		if l.Layer == "similar" {
			l = similar(l, r.Semantic)
		}
		rows = append(rows, []string{
			l.Layer, fmt.Sprint(l.Entries), size(l.Bytes), fmt.Sprint(l.Hits), fmt.Sprint(l.Misses), fmt.Sprintf("%.1f%%", 100*l.Ratio),
			fmt.Sprint(l.Evicted), fmt.Sprint(l.Dead), fmt.Sprint(l.Tokens), fmt.Sprintf("%.4f", l.CostUSD), fmt.Sprintf("%.1f", l.Seconds),
		})
	}
	if p := r.Prompt; p.Answers > 0 {
		rows = append(rows, []string{
			"prompts (upstreams')", "", "", fmt.Sprint(p.Hits), fmt.Sprint(p.Answers - p.Hits), fmt.Sprintf("%.1f%%", 100*p.Ratio),
			"", "", fmt.Sprint(p.Read), fmt.Sprintf("%.4f", p.CostUSD), "",
		})
	}
	fmt.Fprintf(w, "%s of %s, since %s\n", size(used), size(r.Memory), r.Since.Local().Format(time.DateTime))
	list(w, []string{"LAYER", "ENTRIES", "BYTES", "HITS", "MISSES", "HIT RATIO", "EVICTED", "PURGED", "TOKENS SAVED", "USD SAVED", "SECONDS SAVED"}, rows)
	if len(r.Semantic) > 0 {
		var rows [][]string
		for _, s := range r.Semantic {
			rows = append(rows, []string{
				s.Model, s.Scope, s.State, fmt.Sprint(s.Questions), fmt.Sprint(s.Hits), fmt.Sprintf("%.1f%%", 100*s.Ratio), fmt.Sprint(s.Compared), fmt.Sprint(s.False),
				fmt.Sprintf("%.2f%% (%.2f-%.2f)", 100*s.FalseRate, 100*s.Lower, 100*s.Upper), fmt.Sprint(s.Tokens), fmt.Sprintf("%.4f", s.CostUSD), fmt.Sprintf("%.1f", s.Seconds),
			})
		}
		fmt.Fprintln(w, "answers to similar questions; they are given while the upper bound of the false ones is at most 1%")
		list(w, []string{"MODEL", "SCOPE", "STATE", "QUESTIONS", "HITS", "HIT RATIO", "COMPARED", "FALSE", "FALSE RATE (BOUNDS)", "TOKENS SAVED", "USD SAVED", "SECONDS SAVED"}, rows)
		for _, s := range r.Semantic {
			if s.State == "stopped" {
				fmt.Fprintf(w, "%s in %s stopped by itself at %s; headworks cache purge --model %s begins anew\n", s.Model, s.Scope, s.StoppedAt.Local().Format(time.DateTime), s.Model)
			}
		}
	}
	if s := r.Shared; s != nil {
		state := "answers"
		if s.Resting {
			state = "failed of late, and rests"
		}
		fmt.Fprintf(w, "the shared store %s: %d looks, %d failures, %d writes given up, %d entries that no gateway wrote\n",
			state, s.Looks, s.Failures, s.Dropped, s.Tampered)
	}
}

// similar is the row of answers to similar questions, which count by scope and model.
func similar(l admin.CacheLayer, all []admin.CacheSemantic) admin.CacheLayer {
	for _, s := range all {
		l.Entries += int64(s.Questions)
		l.Hits, l.Misses = l.Hits+s.Hits, l.Misses+s.Misses
		l.Tokens, l.CostUSD, l.Seconds = l.Tokens+s.Tokens, l.CostUSD+s.CostUSD, l.Seconds+s.Seconds
	}
	if asked := l.Hits + l.Misses; asked > 0 {
		l.Ratio = float64(l.Hits) / float64(asked)
	}
	return l
}

// size shows bytes.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

func newCachePurgeCommand(t *terminal) *cobra.Command {
	var p admin.Purge
	c := &cobra.Command{
		Use: "purge", Short: "Let go of what is kept, at once", Args: cobra.NoArgs,
		Example: "  headworks cache purge --model assistant\n  headworks cache purge --scope project:acme/web\n  headworks cache purge --key ci\n  headworks cache purge --all",
		RunE: func(c *cobra.Command, _ []string) error {
			named := 0
			for _, flag := range []string{"model", "scope", "key", "all"} {
				if f := c.Flags().Lookup(flag); f.Changed && f.Value.String() != "" && f.Value.String() != "false" {
					named++
				}
			}
			if named != 1 {
				return &exit{exitUsage, errors.New("say what to purge: one of --model, --scope (such as project:acme/web), --key and --all")}
			}
			a, err := t.instance()
			if err != nil {
				return err
			}
			done, err := a.Purge(c.Context(), p)
			if err != nil {
				return err
			}
			return t.print(done, func(w io.Writer) {
				fmt.Fprintf(w, "nothing of %s is found any more\n", done.What)
				if done.Untold {
					fmt.Fprintln(w, "other gateways hear of it once the shared store answers")
				}
			})
		},
	}
	f := c.Flags()
	f.StringVar(&p.Model, "model", "", "what was answered by this model")
	f.StringVar(&p.Scope, "scope", "", "what is kept for a scope, as reports and records name it: project:TENANT/PROJECT, organisation:TENANT, key:TENANT/PROJECT/KEY, public")
	f.StringVar(&p.Key, "key", "", "what was written by a key, by its id or name")
	f.BoolVar(&p.All, "all", false, "everything")
	return c
}
