package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"headworks/internal/api/admin"
	"headworks/internal/app"
	"headworks/internal/client"
	"headworks/internal/connect"
	"headworks/internal/eval"
)

// comparison is what the flags of eval compare say.
type comparison struct {
	config, url, key        string
	set, base, variant      string
	judge, results          string
	fields                  []string
	n, seed, at, tries, max int
	write, yes              bool
}

func newEvalCommand(t *terminal) *cobra.Command {
	var o comparison
	c := &cobra.Command{
		Use: "compare", Short: "Measure what a variant loses on a data set, beside the target it stands in for", Args: cobra.NoArgs,
		Long: "Asks both targets each question of a data set and compares the answers with those that\n" +
			"are wanted. Prints the share of right answers of each, what the variant loses with a\n" +
			"95 % interval, and what to write into the file. A target is upstream/model, the name\n" +
			"that a target has in the file, or a model that has one target.",
		Example: "  headworks eval compare --data set.jsonl --base gpu/qwen3-32b --variant gpu/qwen3-32b-int4\n" +
			"  headworks eval compare --config headworks.yaml --data set.jsonl --base full --variant int4 --write\n" +
			"  headworks eval compare --url http://127.0.0.1:8000/v1 --data set.jsonl --base big --variant small",
		RunE: func(c *cobra.Command, _ []string) error { return t.compare(c.Context(), &o) },
	}
	f := c.Flags()
	f.StringVar(&o.config, "config", "", "serve this file for the comparison, apart from a running instance")
	f.StringVar(&o.url, "url", "", "ask there, as http://127.0.0.1:8000/v1, instead of the running instance")
	f.StringVar(&o.key, "key", os.Getenv("HEADWORKS_KEY"), "the key to ask with (HEADWORKS_KEY)")
	f.StringVar(&o.set, "set", "", "the data set: a JSON object a line")
	f.StringVar(&o.base, "base", "", "the target to compare with")
	f.StringVar(&o.variant, "variant", "", "the target to measure")
	f.StringVar(&o.judge, "judge", "", "the model that judges items of match judge")
	f.StringVar(&o.results, "results", "", "write what came of each item to this file, and go on from it")
	f.StringArrayVar(&o.fields, "field", nil, "NAME=JSON, a field of each request; null leaves it out")
	f.IntVar(&o.n, "n", 0, "so many items, drawn by --seed; 0 is all")
	f.IntVar(&o.seed, "seed", 1, "draws the items")
	f.IntVar(&o.at, "concurrency", 8, "requests at once")
	f.IntVar(&o.tries, "tries", 5, "tries where a target is busy")
	f.IntVar(&o.max, "max-tokens", 1024, "tokens of the longest answer; 0 leaves it to the target")
	f.BoolVar(&o.write, "write", false, "put the variant's quality into the file of --config, after asking")
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	return group("eval", "Measure how good answers are", c, newWorthCommand(t))
}

// check refuses wishes that make no sense.
func (o *comparison) check() error {
	var words string
	switch {
	case o.set == "":
		words = "which data set? name it with --set"
	case o.base == "" || o.variant == "":
		words = "which targets? name them with --base and --variant"
	case o.base == o.variant:
		words = "the base and the variant are the same target"
	case o.config != "" && o.url != "":
		words = "--config serves a file and --url asks what runs already: one of them"
	case o.write && o.config == "":
		words = "--write needs --config, the file to write to"
	case o.at < 1 || o.at > 1024:
		words = "--concurrency is 1 to 1024"
	case o.n < 0 || o.tries < 1 || o.max < 0:
		words = "--n and --max-tokens are 0 or more, --tries is 1 or more"
	default:
		return nil
	}
	return &exit{exitUsage, errors.New(words)}
}

// request returns the fields of each request.
func (o *comparison) request() (map[string]any, error) {
	fields := map[string]any{"temperature": 0}
	if o.max > 0 {
		fields["max_tokens"] = o.max
	}
	for _, f := range o.fields {
		name, text, ok := strings.Cut(f, "=")
		var v any
		if !ok || json.Unmarshal([]byte(text), &v) != nil {
			return nil, &exit{exitUsage, fmt.Errorf("--field %q is no NAME=JSON, such as seed=7 or reasoning_effort='\"low\"'", f)}
		}
		if slices.Contains([]string{"model", "messages", "stream", "n"}, name) {
			return nil, &exit{exitUsage, fmt.Errorf("--field %s is not yours to say", name)}
		}
		if fields[name] = v; v == nil {
			delete(fields, name)
		}
	}
	return fields, nil
}

// askingPlace is where a comparison asks.
type askingPlace struct {
	api    client.API
	models []admin.Model
	pinned bool
	file   []app.TargetOf // of --config
	end    func() error
}

// asking returns where to ask: a URL, a file that is served for it, or the running
// instance.
func (t *terminal) asking(ctx context.Context, o *comparison) (*askingPlace, error) {
	switch {
	case o.url != "":
		base := strings.TrimRight(o.url, "/")
		return &askingPlace{api: client.API{BaseURL: base, Key: o.key}, end: func() error { return nil }}, nil
	case o.config != "":
		return t.askingAside(ctx, o)
	}
	a, err := t.instance()
	if err != nil {
		return nil, err
	}
	s, err := a.Status(ctx)
	if err != nil {
		return nil, err
	}
	key := o.key
	if key == "" {
		if key, err = t.ownKey(ctx, a); err != nil {
			return nil, err
		}
	}
	return &askingPlace{api: client.API{BaseURL: s.BaseURL, Certificate: s.Cert, Key: key}, models: s.Models, pinned: true, end: func() error { return nil }}, nil
}

// askingAside serves a file for the comparison.
func (t *terminal) askingAside(ctx context.Context, o *comparison) (*askingPlace, error) {
	file, err := app.Targets(o.config)
	if err != nil {
		return nil, refused(err)
	}
	p, err := app.Aside(o.config, io.Discard)
	if err != nil {
		return nil, refused(err)
	}
	ctx, stop := context.WithCancel(ctx)
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- p.Run(ctx, func() { close(ready) }) }()
	end := func() error {
		p.Drain()
		err := <-ended
		stop()
		return errors.Join(err, os.RemoveAll(p.Config().Data))
	}
	select {
	case <-ready:
	case err := <-ended:
		stop()
		return nil, errors.Join(err, os.RemoveAll(p.Config().Data))
	}
	s := p.Status()
	return &askingPlace{api: client.API{BaseURL: s.BaseURL, Key: p.LocalKey()}, models: s.Models, pinned: true, file: file, end: end}, nil
}

// target returns what to ask for, to reach the target that is meant.
func (p *askingPlace) target(name string) (string, error) {
	if !p.pinned {
		return name, nil
	}
	known := map[string]bool{}
	for _, t := range p.file {
		if t.Name != "" && t.Name == name {
			known[t.Asked] = true
		}
	}
	var names []string
	for _, m := range p.models {
		if m.Name == name {
			if len(m.Targets) > 1 {
				return "", &exit{exitUsage, fmt.Errorf("the model %s has %d targets; name one: %s", name, len(m.Targets), strings.Join(m.Targets, ", "))}
			}
			for _, one := range m.Targets {
				known[one] = true
			}
		}
		names = append(names, m.Targets...)
	}
	switch len(known) {
	case 0:
	case 1:
		for one := range known {
			return one, nil
		}
	default:
		return "", &exit{exitUsage, fmt.Errorf("%q is the name of several targets; name one as upstream/model", name)}
	}
	if !strings.Contains(name, "/") {
		for _, t := range p.file {
			if t.Name != "" {
				names = append(names, t.Name)
			}
		}
		return "", &exit{exitUsage, fmt.Errorf("no target is called %q%s; name one as upstream/model", name, meant("", name, names))}
	}
	return name, nil // of an upstream, whether or not a model of the file has it
}

func (t *terminal) compare(ctx context.Context, o *comparison) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	fields, err := o.request()
	if err != nil {
		return err
	}
	items, err := readSet(o)
	if err != nil {
		return err
	}
	at, err := t.asking(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, at.end()) }()
	base, err := at.target(o.base)
	if err != nil {
		return err
	}
	variant, err := at.target(o.variant)
	if err != nil {
		return err
	}
	asker, err := client.NewAsker(at.api, o.at)
	if err != nil {
		return err
	}
	defer asker.Close()
	asker.Pinned = at.pinned
	told := t.progress()
	plan := eval.Plan{
		Items: items, Base: base, Variant: variant, Judge: o.judge, Fields: fields, Settings: settings(o, fields),
		At: o.at, Tries: o.tries, Asker: asker, Done: told.tell,
	}
	kept, err := keep(o.results, &plan)
	if err != nil {
		return err
	}
	marks, err := plan.Run(ctx)
	if kept != nil {
		err = errors.Join(err, kept.Close())
	}
	told.end()
	if err != nil {
		if o.results != "" {
			err = fmt.Errorf("%w; what was answered is in %s, and the same command goes on from there", err, o.results)
		}
		return err
	}
	r := compared{Report: eval.Compare(base, variant, marks), Set: o.set, Judge: o.judge}
	r.write(at.file)
	if err := t.print(r, r.text); err != nil {
		return err
	}
	switch {
	case r.N == 0:
		return fmt.Errorf("no item was answered by both: %s", cmp.Or(r.Variant.Why, r.Base.Why))
	case o.write:
		return t.writeQuality(o, &r, at.file)
	}
	return nil
}

// readSet reads the data set, and draws from it.
func readSet(o *comparison) ([]eval.Item, error) {
	f, err := os.Open(o.set)
	if err != nil {
		return nil, &exit{exitUsage, err}
	}
	defer f.Close()
	items, err := eval.Read(bufio.NewReader(f))
	if err != nil {
		return nil, &exit{exitUsage, fmt.Errorf("%s: %w", o.set, err)}
	}
	items = eval.Sample(items, o.n, uint64(o.seed))
	if o.judge == "" {
		if i := slices.IndexFunc(items, func(it eval.Item) bool { return it.Match == eval.Judge }); i >= 0 {
			return nil, &exit{exitUsage, fmt.Errorf("the item %s has match judge: name a model that judges with --judge", items[i].ID)}
		}
	}
	return items, nil
}

// settings sets what was asked in another way apart.
func settings(o *comparison, fields map[string]any) string {
	b, err := json.Marshal([]any{fields, o.judge})
	if err != nil { // the fields came as JSON
		return ""
	}
	sum := sha256.Sum256(b)
	return "-" + hex.EncodeToString(sum[:4])
}

// keep opens the file of results: what is in it is not asked again, and what is asked
// goes to its end.
func keep(path string, plan *eval.Plan) (*os.File, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	plan.Known = map[eval.Asked]eval.Mark{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 32<<20)
	whole := true
	for lines.Scan() {
		var m eval.Mark
		whole = json.Unmarshal(lines.Bytes(), &m) == nil
		if whole && m.Item != "" {
			plan.Known[eval.Asked{Item: m.Item, Target: m.Target}] = m
		}
	}
	if err := lines.Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	if !whole { // a line that a crash left half
		if _, err := f.WriteString("\n"); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	plan.Keep = func(m eval.Mark) error {
		b, err := json.Marshal(m)
		if err != nil {
			return err
		}
		_, err = f.Write(append(b, '\n'))
		return err
	}
	return f, nil
}

// compared is what is printed.
type compared struct {
	eval.Report
	Set   string   `json:"set"`
	Judge string   `json:"judge,omitempty"`
	Write *written `json:"write,omitempty"`
}

// written is what to put into the file.
type written struct {
	Target  string  `json:"target"`
	Quality float64 `json:"quality"`
	Base    float64 `json:"base_quality"`
	Scale   string  `json:"scale"` // measured here, or that of the base's quality in the file
}

// mostFailed is the share of items without an answer beyond which the rest tells too
// little to write a figure down.
const mostFailed = 0.05

// write says what to write. Where the base has a quality in the file, from another
// measure perhaps, the variant's is as much below it as was measured.
func (r *compared) write(file []app.TargetOf) {
	if r.N == 0 || float64(r.Items-r.N) > mostFailed*float64(r.Items) || r.Base.Simulated || r.Variant.Simulated || r.Base.Right == 0 || r.Variant.Right == 0 {
		return
	}
	w := written{Target: r.Variant.Target, Quality: r.Variant.Quality, Base: r.Base.Quality, Scale: "measured"}
	for _, t := range file {
		if t.Asked == r.Base.Target && t.Quality > 0 {
			w.Base, w.Quality, w.Scale = t.Quality, min(max(t.Quality-r.Lost, 0.001), 1), "file"
			break
		}
	}
	w.Quality, w.Base = math.Round(w.Quality*1000)/1000, math.Round(w.Base*1000)/1000
	r.Write = &w
}

func percent(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }

func points(x float64) string { return fmt.Sprintf("%.1f", 100*x) }

func (r *compared) text(w io.Writer) {
	row := func(s *eval.Side) []string {
		usd := fmt.Sprintf("%.4f", s.Cost)
		if s.Unpriced > 0 {
			usd = "unknown"
		}
		right, within := "-", "-"
		if r.N > 0 {
			right, within = percent(s.Quality), points(s.Interval.Low)+" to "+percent(s.Interval.High)
		}
		return []string{s.Target, right, within, fmt.Sprintf("%.0f", s.Output), fmt.Sprintf("%.0f", s.Millis), fmt.Sprintf("%.0f", s.Slow), usd, fmt.Sprint(s.Cut), fmt.Sprint(s.Failed)}
	}
	table(w, []string{"TARGET", "RIGHT", "95 %", "TOKENS", "P50 MS", "P95 MS", "USD", "CUT", "FAILED"}, row(&r.Base), row(&r.Variant))
	fmt.Fprintf(w, "\n%s of %s, %d answered by both", count(r.Items, "item"), filepath.Base(r.Set), r.N)
	if r.Judged > 0 {
		fmt.Fprintf(w, "; %d judged by the model %s", r.Judged, r.Judge)
	}
	fmt.Fprintln(w)
	for _, s := range []*eval.Side{&r.Base, &r.Variant} {
		if s.Failed > 0 {
			fmt.Fprintf(w, "%s failed %s, most often: %s\n", s.Target, count(s.Failed, "time"), s.Why)
		}
	}
	if r.N == 0 {
		return
	}
	what := "no difference is shown: the variant loses"
	switch {
	case r.Shown && r.Lost > 0:
		what = "the variant is worse: it loses"
	case r.Shown:
		what = "the variant is better: it loses"
	}
	fmt.Fprintf(w, "\n%s %s points (95 %%: %s to %s; p %.2g)\n", what, points(r.Lost), points(r.Interval.Low), points(r.Interval.High), r.P)
	p := r.Pairs
	fmt.Fprintf(w, "both right %d, the base alone %d, the variant alone %d, neither %d\n", p.Both, p.Base, p.Variant, p.None)
	var needs []string
	for _, n := range r.Needs {
		needs = append(needs, fmt.Sprintf("%d for %s", n.Items, points(n.Loss)))
	}
	fmt.Fprintf(w, "so many items show a loss of %s points 4 times of 5; it takes %s\n", points(r.Seen), strings.Join(needs, ", "))
	switch {
	case r.Base.Simulated || r.Variant.Simulated:
		fmt.Fprintln(w, "\nsimulated: nothing ran a model, so there is no quality to write down")
	case r.Base.Right == 0 || r.Variant.Right == 0:
		fmt.Fprintln(w, "\nno answer of one of them is right: see what it answers with --results; there is no quality to write down")
	case r.Write == nil:
		fmt.Fprintf(w, "\n%d of %d items have no two answers: too many to write a quality down\n", r.Items-r.N, r.Items)
	case r.Write.Scale == "file":
		fmt.Fprintf(w, "\nin the file, beside quality: %g of the base:\n  %s  quality: %g\n", r.Write.Base, r.Write.Target, r.Write.Quality)
	default:
		fmt.Fprintf(w, "\nin the file:\n  %s  quality: %g\n  %s  quality: %g\n", r.Base.Target, r.Write.Base, r.Write.Target, r.Write.Quality)
	}
}

// writeQuality puts the variant's quality into the file, once somebody agreed.
func (t *terminal) writeQuality(o *comparison, r *compared, file []app.TargetOf) error {
	if r.Write == nil {
		return errors.New("nothing was written: there is no figure")
	}
	base := o.base
	text, was := []byte(nil), []byte(nil)
	found := 0
	for _, target := range file {
		if target.Asked != r.Variant.Target || target.Name != "" && target.Name != o.variant && o.variant != target.Asked {
			continue
		}
		before, after, err := app.WithQuality(o.config, target, r.Write.Quality)
		if err != nil {
			return fmt.Errorf("%s, target %d of %s: %w", o.config, target.Place, target.Model, err)
		}
		was, text = before, after
		found++
	}
	switch {
	case found == 0:
		return fmt.Errorf("nothing was written: no model of %s has the target %s", o.config, r.Variant.Target)
	case found > 1:
		return fmt.Errorf("nothing was written: %d models of %s have the target %s, and each may want a quality of its own", found, o.config, r.Variant.Target)
	}
	if r.Write.Scale == "measured" {
		fmt.Fprintf(t.err, "mind: %s has no quality in the file; give it %g, or the two are on different scales\n", base, r.Write.Base)
	}
	fmt.Fprint(t.err, t.tint(connect.Diff(o.config, string(was), string(text))))
	if !o.yes && !t.agreed("write this?") {
		fmt.Fprintln(t.err, "nothing was written; --yes goes ahead without a question")
		return nil
	}
	info, err := os.Stat(o.config)
	if err != nil {
		return err
	}
	return replace(o.config, text, info.Mode().Perm())
}

// replace writes a file whole or not at all.
func replace(path string, b []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".headworks-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
