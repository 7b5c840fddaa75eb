package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"headworks/internal/api/admin"
	"headworks/internal/client"
	"headworks/internal/eval"
	"headworks/internal/ground"
	"headworks/internal/inference"
	"headworks/internal/knowledge/golden"
	"headworks/internal/record"
	"headworks/internal/relevance"
)

// wholly is what the flags say of a comparison with the whole collection.
type wholly struct {
	with, model, key    string
	sample, seed, max   int
	passages, window    int
	part, yes           bool
	collection, queries string
}

func (o *wholly) flags(f *pflag.FlagSet) {
	f.StringVar(&o.with, "compare", "", "whole: compare answers from passages that are found with answers from all of the collection; it costs money")
	f.StringVar(&o.model, "model", "", "of --compare: the model that answers")
	f.StringVar(&o.key, "key", os.Getenv("HEADWORKS_KEY"), "of --compare: the key to ask with (HEADWORKS_KEY)")
	f.IntVar(&o.sample, "sample", 0, "of --compare: so many questions, drawn by --seed; 0 is all")
	f.IntVar(&o.seed, "seed", 1, "of --compare: draws the questions")
	f.IntVar(&o.max, "max-tokens", 1024, "of --compare: tokens of the longest answer")
	f.IntVar(&o.passages, "passages", ground.Passages, "of --compare: passages that are found, at most 50")
	f.IntVar(&o.window, "window", 0, "of --compare: tokens of the model's window, where the instance does not know it")
	f.BoolVar(&o.part, "part", false, "of --compare: as much as fits, where the collection is larger than the window")
	f.BoolVar(&o.yes, "yes", false, "of --compare: do not ask")
}

// check refuses wishes that make no sense.
func (o *wholly) check(asksJSON bool, e *admin.Evaluation) error {
	var words string
	switch {
	case o.with != "whole":
		words = "--compare is whole: all of the collection in the context, in the place of what is found"
	case o.model == "":
		words = "which model answers? name it with --model"
	case o.queries == "":
		words = "--compare needs --queries and --qrels: the judged questions are asked"
	case e.Save || e.Synthetic || e.Tune || e.Against != "" || e.Ranker != "":
		words = "--compare asks a model: give none of --save, --synthetic, --tune, --against and --ranker beside it"
	case o.sample < 0 || o.max < 1 || o.window < 0 || o.passages < 1 || o.passages > 50:
		words = "--sample and --window are 0 or more, --max-tokens is 1 or more, --passages is 1 to 50"
	case asksJSON && !o.yes:
		words = "--compare costs money, and --json asks nobody: say --yes"
	default:
		return nil
	}
	return &exit{exitUsage, errors.New(words)}
}

// alone refuses flags of --compare without it.
func (o *wholly) alone(f *pflag.FlagSet) error {
	for _, name := range []string{"model", "sample", "seed", "max-tokens", "passages", "window", "part", "yes"} {
		if f.Changed(name) {
			return &exit{exitUsage, fmt.Errorf("--%s belongs to --compare whole", name)}
		}
	}
	return nil
}

// besides is what is printed.
type besides struct {
	Collection string `json:"collection"`
	Model      string `json:"model"`
	golden.Beside
	Failed    int    `json:"failed"` // questions without both answers
	Why       string `json:"why,omitempty"`
	Calls     int    `json:"calls"`
	Corpus    int    `json:"corpus_tokens"` // that the whole context holds, by estimate
	Documents int    `json:"documents"`     // that it holds
	Of        int    `json:"of_documents"`
	Part      bool   `json:"part"` // it does not hold all
	Simulated bool   `json:"simulated,omitempty"`
}

// answering asks the questions of a comparison.
type answering struct {
	wholly
	admin  *client.Admin
	plan   eval.Plan
	corpus []inference.Passage
	frame  string
	report besides
}

// whole compares answers from passages that are found with answers from all of a
// collection.
func (t *terminal) whole(ctx context.Context, o *wholly, e *admin.Evaluation) error {
	if err := o.check(t.json, e); err != nil {
		return err
	}
	set, err := golden.Read([]byte(e.Queries), []byte(e.Qrels))
	if err != nil {
		return &exit{exitUsage, err}
	}
	questions := set.Draw(o.sample, uint64(o.seed))
	a, err := t.instance()
	if err != nil {
		return fmt.Errorf("--compare asks the model through a running instance: %w", err)
	}
	s, err := a.Status(ctx)
	if err != nil {
		return fmt.Errorf("--compare asks the model through a running instance: %w", err)
	}
	r := &answering{wholly: *o, admin: a, report: besides{Collection: o.collection, Model: o.model}}
	if err := t.gather(ctx, r, s.Models, questions); err != nil {
		return err
	}
	fmt.Fprintf(t.err, "this makes %d calls of %s for %s: half of them with passages, half with some %d tokens each, %d in all, and as much as %d more of answers\n",
		2*len(questions), o.model, count(len(questions), "question"), r.report.Corpus, r.report.Corpus*len(questions), 2*o.max*len(questions))
	if !o.yes && !t.agreed("ask them?") {
		return &exit{exitUsage, errors.New("nothing was asked; --yes goes ahead without a question")}
	}
	if r.key == "" {
		if r.key, err = t.ownKey(ctx, a); err != nil {
			return err
		}
	}
	asker, err := client.NewAsker(client.API{BaseURL: s.BaseURL, Certificate: s.Cert, Key: r.key}, 1)
	if err != nil {
		return err
	}
	defer asker.Close()
	asker.Anew = true
	r.plan = eval.Plan{Asker: asker, Tries: 5}
	told := t.progress()
	err = r.ask(ctx, questions, told.tell)
	told.end()
	if err != nil {
		return err
	}
	if err := t.print(&r.report, r.report.text); err != nil {
		return err
	}
	if r.report.Queries == 0 {
		return fmt.Errorf("no question has both answers: %s", r.report.Why)
	}
	return nil
}

// gather reads the collection, as far as the model's window has room for it.
func (t *terminal) gather(ctx context.Context, r *answering, models []admin.Model, questions []relevance.Query) error {
	var names []string
	window, known := r.window, false
	for _, m := range models {
		names = append(names, m.Name)
		if m.Name == r.model {
			known = true
			if m.Window > 0 && (window == 0 || m.Window < window) {
				window = m.Window
			}
		}
	}
	switch {
	case !known:
		return &exit{exitUsage, fmt.Errorf("the instance has no model %q%s; headworks models lists them", r.model, meant("", r.model, names))}
	case window == 0:
		return &exit{exitUsage, fmt.Errorf("the window of %s is not known, so nobody can tell what fits: say it with --window", r.model)}
	}
	room := window - r.max
	longest := 0
	for _, q := range questions {
		longest = max(longest, ground.Count(q.Text))
	}
	if room -= longest; room < 1 {
		return &exit{exitUsage, fmt.Errorf("a window of %d tokens holds no document beside a question of %d and an answer of %d: give a smaller --max-tokens", window, longest, r.max)}
	}
	c, err := r.admin.Corpus(ctx, r.collection, min(room, admin.MostCorpus))
	if err != nil {
		return err
	}
	if c.Of == 0 {
		return fmt.Errorf("the collection %s is empty", r.collection)
	}
	all := make([]inference.Passage, len(c.Passages))
	for i, p := range c.Passages {
		all[i] = inference.Passage{Collection: r.collection, Document: p.Document, Name: p.Document, Title: p.Title, Path: p.Path, Text: p.Text, Start: p.Start, End: p.Start + len(p.Text)}
	}
	fit, tokens := ground.Budget{Passages: max(len(all), 1), Tokens: room}.Fit(all)
	documents := map[string]bool{}
	for i := range fit {
		documents[fit[i].Document] = true
	}
	r.report.Corpus, r.report.Documents, r.report.Of = tokens, len(documents), c.Of
	r.report.Part = !c.Whole || len(fit) < len(all)
	switch {
	case len(fit) == 0:
		return fmt.Errorf("the window of %s, %d tokens, has no room for any of %s", r.model, window, r.collection)
	case r.report.Part && !r.part:
		return fmt.Errorf("%s is too large for the window of %s: %d tokens hold %d of its %d documents; --part compares with as much as fits", r.collection, r.model, window, len(documents), c.Of)
	}
	if c.Closed > 0 {
		fmt.Fprintf(t.err, "mind: not everybody may read %s of these; give the --key of somebody who may, or the two sides rest on different documents\n", count(c.Closed, "document"))
	}
	r.corpus, r.frame = fit, ground.Frame(fit)
	return nil
}

// ask asks each question twice, one call at a time, so that none waits for another.
// Neither side is always the first.
func (r *answering) ask(ctx context.Context, questions []relevance.Query, done func(n, of int)) error {
	var pairs []golden.Both
	why := map[string]int{}
	for i, q := range questions {
		var both golden.Both
		var failed error
		for side := range 2 {
			var err error
			if side == i&1 {
				both.Retrieved, err = r.retrieved(ctx, q.Text)
			} else {
				both.Whole, err = r.all(ctx, q.Text)
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if failed = err; failed != nil {
				break
			}
			done(2*i+side+1, 2*len(questions))
		}
		if failed != nil {
			why[failed.Error()]++
			r.report.Failed++
			continue
		}
		pairs = append(pairs, both)
	}
	most := 0
	for words, n := range why {
		if n > most || n == most && words < r.report.Why {
			most, r.report.Why = n, words
		}
	}
	r.report.Beside = golden.SetBeside(pairs)
	return nil
}

// call asks, with what the request says of documents.
func (r *answering) call(ctx context.Context, text string, knowledge any) (eval.Answer, golden.Reply, error) {
	content, err := json.Marshal(text)
	if err != nil {
		return eval.Answer{}, golden.Reply{}, err
	}
	r.report.Calls++
	a, err := r.plan.Ask(ctx, r.model, []eval.Message{{Role: "user", Content: content}},
		map[string]any{"temperature": 0, "max_tokens": r.max, "headworks": map[string]any{"knowledge": knowledge}})
	reply := golden.Reply{Input: a.Input, Output: a.Output, Seconds: a.Took.Seconds()}
	if a.Priced {
		reply.Cost = new(float64(a.Cost) / 1e6)
	}
	r.report.Simulated = r.report.Simulated || a.Simulated
	return a, reply, err
}

// all asks with the collection before the question.
func (r *answering) all(ctx context.Context, question string) (golden.Reply, error) {
	a, reply, err := r.call(ctx, r.frame+question, false)
	if err != nil {
		return reply, fmt.Errorf("with the whole collection: %w", err)
	}
	if v := ground.Judge(a.Text, r.corpus); v.Said > 0 {
		reply.Support = &v.Support
	}
	return reply, nil
}

// retrieved asks with what the instance finds. How well that supports the answer, the
// instance says itself: it alone knows what the model read.
func (r *answering) retrieved(ctx context.Context, question string) (golden.Reply, error) {
	a, reply, err := r.call(ctx, question, map[string]any{"collections": []string{r.collection}, "mode": "required", "passages": r.passages})
	if err != nil {
		return reply, fmt.Errorf("with what is found: %w", err)
	}
	e, err := r.explained(ctx, a.Request)
	switch {
	case err != nil:
		return reply, fmt.Errorf("with what is found: what the model read is not known: %w", err)
	case e.Knowledge == nil:
		return reply, errors.New("with what is found: the instance searched nothing")
	}
	reply.Support = e.Knowledge.Support
	if more := e.Knowledge.Cost; more != nil && reply.Cost != nil { // of a rewriter
		*reply.Cost += float64(*more) / 1e6
	}
	return reply, nil
}

// A record is written once the answer is there, and soon.
const (
	recordWait  = 10 * time.Second
	recordEvery = 50 * time.Millisecond
)

// explained returns what the instance noted of a request.
func (r *answering) explained(ctx context.Context, id string) (e record.Explanation, err error) {
	for end := time.Now().Add(recordWait); ; {
		e, err = r.admin.Explain(ctx, id)
		if err == nil || time.Now().After(end) {
			return e, err
		}
		select {
		case <-time.After(recordEvery):
		case <-ctx.Done():
			return e, ctx.Err()
		}
	}
}

func (r *besides) text(w io.Writer) {
	much := "all"
	if r.Part {
		much = "as much as fits"
	}
	fmt.Fprintf(w, "%s, answered by %s: %s, %s of the collection is %d of %d documents, some %d tokens\n\n", r.Collection, r.Model, count(r.Queries, "question"), much, r.Documents, r.Of, r.Corpus)
	if r.Queries > 0 {
		row := func(name, form string, a, b, d golden.Figure) []string {
			if a.N == 0 {
				return []string{name, "-", "-", "-", "-", "-", "-", "0"}
			}
			of := func(i relevance.Interval) string { return fmt.Sprintf(form+" to "+form, i.Low, i.High) }
			mean := func(v float64) string { return fmt.Sprintf(form, v) }
			return []string{name, mean(a.Mean), of(a.Of), mean(b.Mean), of(b.Of), mean(d.Mean), of(d.Of), fmt.Sprint(d.N)}
		}
		f, g, d := &r.Retrieved, &r.Whole, &r.Difference
		list(w, []string{"PER QUESTION", "RETRIEVED", "95 %", "WHOLE", "95 %", "DIFFERENCE", "95 %", "QUESTIONS"}, [][]string{
			row("input tokens", "%.0f", f.Input, g.Input, d.Input), row("output tokens", "%.0f", f.Output, g.Output, d.Output),
			row("cost in USD", "%.6f", f.Cost, g.Cost, d.Cost), row("seconds", "%.2f", f.Seconds, g.Seconds, d.Seconds),
			row("support", "%.3f", f.Support, g.Support, d.Support),
		})
	}
	if r.Failed > 0 {
		fmt.Fprintf(w, "\n%s without both answers, most often: %s\n", count(r.Failed, "question"), r.Why)
	}
	if r.Simulated {
		fmt.Fprintln(w, "\nsimulated: nothing ran a model, so time and support say nothing")
	}
	if why := r.thin(); len(why) > 0 {
		fmt.Fprintf(w, "\n%s\n", strings.Join(why, "; "))
	}
}

// thin says which figures are missing, and why.
func (r *besides) thin() (why []string) {
	if r.Queries > 0 && r.Difference.Cost.N == 0 {
		why = append(why, "the model has no price")
	}
	if r.Queries > 0 && r.Difference.Support.N < r.Queries {
		why = append(why, fmt.Sprintf("support is of %s: an answer of a few words says too little", count(r.Difference.Support.N, "question")))
	}
	return why
}
