package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"headworks/internal/api/admin"
	"headworks/internal/client"
	"headworks/internal/knowledge/golden"
	"headworks/internal/relevance"
)

func newKnowledgeEvalCommand(t *terminal) *cobra.Command {
	var e admin.Evaluation
	var queries, qrels string
	var o wholly
	c := &cobra.Command{
		Use: "eval NAME", Short: "Measure how well a collection answers questions whose documents are known", Args: cobra.ExactArgs(1),
		Long: "Searches a collection for judged questions and measures the rankings, down to their\n" +
			"thousandth document. Questions without judgements are skipped, and what is not judged\n" +
			"is not relevant. Without --queries the set counts that was kept with --save.\n" +
			"With --compare whole a model is asked each question twice: with what is found, and\n" +
			"with all of the collection in its context. That costs money.",
		Example: "  headworks knowledge eval handbook --queries q.jsonl --qrels qrels.txt --save\n" +
			"  headworks knowledge eval handbook --against handbook-v2\n" +
			"  headworks knowledge eval handbook --synthetic\n" +
			"  headworks knowledge eval handbook --queries q.jsonl --qrels qrels.txt --compare whole --model assistant --sample 50",
		RunE: func(c *cobra.Command, args []string) error {
			if (queries == "") != (qrels == "") {
				return &exit{exitUsage, errors.New("--queries and --qrels belong together: questions, and which documents answer them")}
			}
			for _, f := range []struct {
				path string
				into *string
			}{{queries, &e.Queries}, {qrels, &e.Qrels}} {
				if f.path == "" {
					continue
				}
				b, err := os.ReadFile(f.path)
				if err != nil {
					return err
				}
				*f.into = string(b)
			}
			if c.Flags().Changed("compare") {
				o.collection, o.queries = args[0], queries
				return t.whole(c.Context(), &o, &e)
			}
			if err := o.alone(c.Flags()); err != nil {
				return err
			}
			return t.library(c.Context(), func(a *client.Admin) error {
				r, err := a.Evaluate(c.Context(), args[0], e)
				if err != nil {
					return err
				}
				if err := t.print(r, func(w io.Writer) { t.tellEvaluation(w, &r) }); err != nil {
					return err
				}
				if r.Against != nil && !r.Against.Promoted {
					return errors.New(r.Against.Collection + " is no promotion: " + r.Against.Why)
				}
				return nil
			})
		},
	}
	f := c.Flags()
	f.StringVar(&queries, "queries", "", `file of questions, {"id","text"} a line`)
	f.StringVar(&qrels, "qrels", "", "file of judgements, as TREC or BEIR has them")
	f.StringVar(&e.Ranker, "ranker", "", "hybrid, bm25 or dense; hybrid unless given")
	f.BoolVar(&e.Save, "save", false, "keep the set with the collection")
	f.BoolVar(&e.Synthetic, "synthetic", false, "make a set of the documents, for lack of one that somebody judged")
	f.BoolVar(&e.Tune, "tune", false, "find what vectors shall count beside words, from 50 judged questions on, and keep to it")
	f.StringVar(&e.Against, "against", "", "another collection, which may take the place of this one unless it loses more than 2 points of nDCG@10")
	o.flags(f)
	return c
}

// tellEvaluation prints a report as a table.
func (t *terminal) tellEvaluation(w io.Writer, r *golden.Report) {
	from := ""
	if r.Synthetic {
		from = ", synthetic: made of the documents, so it says little of what people ask"
	}
	fmt.Fprintf(w, "%s, ranker %s: %s judged, %d skipped%s; %.1f s\n\n", r.Collection, r.Ranker, count(r.Queries, "question"), r.Skipped, from, r.Seconds)
	row := func(name string, v float64, in relevance.Interval, other float64) []string {
		cells := []string{name, fmt.Sprintf("%.4f", v), fmt.Sprintf("%.4f to %.4f", in.Low, in.High)}
		if r.Against != nil {
			cells = append(cells, fmt.Sprintf("%.4f", other))
		}
		return cells
	}
	if r.Tuned != nil {
		fmt.Fprintf(w, "vectors count %.2f from now on, words %.2f\n\n", *r.Tuned, 1-*r.Tuned)
	}
	var o relevance.Measures
	names := []string{"MEASURE", "MEAN", "95 %"}
	if r.Against != nil {
		o = r.Against.Measures
		names = append(names, r.Against.Collection)
	}
	list(w, names, [][]string{
		row("map", r.AP, r.Intervals.AP, o.AP), row("ndcg_at_10", r.NDCG10, r.Intervals.NDCG10, o.NDCG10),
		row("recall_at_20", r.Recall, r.Intervals.Recall, o.Recall), row("mrr", r.RR, r.Intervals.RR, o.RR),
	})
	if a := r.Against; a != nil {
		fmt.Fprintf(w, "\n%s: %s; better on %d questions, worse on %d\n", a.Collection, a.Why, a.Better, a.Worse)
	}
	if r.Degraded != "" {
		fmt.Fprintln(t.err, r.Degraded)
	}
}

func newKnowledgeQualityCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "quality", Short: "Show how searches for answers do, while people ask", Args: cobra.NoArgs,
		Long: "Shows the last 15 minutes of each collection that answers rest on, beside the last\n" +
			"seven days, and the alarms that stand.",
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := t.instance()
			if err != nil {
				return err
			}
			q, err := a.Qualities(c.Context())
			if err != nil {
				return err
			}
			return t.print(q, func(w io.Writer) {
				if len(q.Retrieval) == 0 {
					fmt.Fprintln(w, "no answer rested on documents so far")
					return
				}
				figure := func(v *float64) string {
					if v == nil {
						return "-"
					}
					return fmt.Sprintf("%.2f", *v)
				}
				var rows [][]string
				for _, r := range q.Retrieval {
					rows = append(rows, []string{strings.Join(r.Collections, ","), strconv.Itoa(r.Searches), figure(r.PSI), figure(r.Empty), figure(r.Cited), figure(r.Support), figure(r.Low)})
				}
				list(w, []string{"COLLECTIONS", "SEARCHES", "PSI", "EMPTY", "CITED", "SUPPORT", "LOW"}, rows)
				for _, r := range q.Retrieval {
					for _, alarm := range r.Alarms {
						fmt.Fprintf(w, "%s: %s\n", strings.Join(r.Collections, ","), alarm.Words)
					}
				}
			})
		},
	}
}
