package app

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"

	"headworks/internal/sim"
)

// Summaries returns the results by policy, those of an only run too.
func (s *Simulated) Summaries() []sim.Summary {
	if s.Result == nil {
		return s.Policies
	}
	return []sim.Summary{sim.Summarise(s.Policy, []sim.Result{*s.Result})}
}

// Facts returns what a report says above its figures: a name and a text each.
func (s *Simulated) Facts() [][2]string {
	load := fmt.Sprintf("%s, %d requests a run", s.Load.Name, s.Load.Requests)
	if s.Load.Talks > 0 {
		load = fmt.Sprintf("%s, %d of about %d turns a run", s.Load.Name, s.Load.Talks, s.Load.Requests/s.Load.Talks)
	}
	if s.Load.Format != "" {
		load += " (" + s.Load.Format
		if s.Load.Speed != 1 {
			load += fmt.Sprintf(", %g times as fast as it was", s.Load.Speed)
		}
		switch {
		case s.Load.Raw:
			load += ", requests of one stamp at once"
		case s.Load.TickMS >= 1:
			load += fmt.Sprintf(", arrivals of one stamp spread over up to %g ms", s.Load.TickMS)
		}
		load += ")"
		if s.Load.Skipped > 0 {
			load += fmt.Sprintf("; %d rows without a prompt or an answer were left out", s.Load.Skipped)
		}
		if s.Load.IdealHit > 0 {
			load += fmt.Sprintf("; a cache without bounds would hit %.1f %% of its blocks", 100*s.Load.IdealHit)
		}
	}
	var engines []string
	for _, e := range s.Engines {
		engines = append(engines, fmt.Sprintf("%s: %d, modelled as %s", e.Upstream, e.Replicas, e.As))
	}
	facts := [][2]string{
		{"model", s.Model},
		{"load", load},
		{"rate", fmt.Sprintf("%.4g requests/s", s.Rate)},
		{"engines", strings.Join(engines, "; ")},
		{"seeds", fmt.Sprintf("%d, from %d on", s.Seeds, s.Seed)},
		{"objective", fmt.Sprintf("first token within %g ms, then %g ms a token", s.Objective.TTFT, s.Objective.TPOT)},
	}
	if s.Gateways > 1 {
		told := fmt.Sprintf("each tells the others what it knows every %g ms", s.ExchangeMS)
		if s.ExchangeMS == 0 {
			told = "each knows only what it sent itself, they exchange nothing"
		}
		facts = append(facts, [2]string{"gateways", fmt.Sprintf("%d; %s", s.Gateways, told)})
	}
	if c := s.Scaling; c != nil {
		facts = append(facts, [2]string{"replicas", fmt.Sprintf("%d to %d, as a HorizontalPodAutoscaler makes them; %g s to start", c.Least, c.Most, c.ColdStart)})
		var targets []string
		for _, p := range s.Summaries() {
			targets = append(targets, fmt.Sprintf("%s %g", p.Policy, c.Targets[p.Policy]))
		}
		target := "in flight a replica: " + strings.Join(targets, ", ")
		if c.Keep > 0 {
			target += fmt.Sprintf("; the most that keeps %g %% within the objective", c.Keep)
		}
		facts = append(facts, [2]string{"target", target})
	}
	for _, e := range s.Events {
		facts = append(facts, [2]string{"event", e})
	}
	return facts
}

// measure is a figure of the report.
type measure struct {
	Name string
	of   func(*sim.Spread) sim.Interval
	unit float64
	form string
}

func (s *Simulated) measures() []measure {
	all := []measure{
		{"output tokens/s", func(s *sim.Spread) sim.Interval { return s.Throughput }, 1, "%.0f"},
		{"TTFT mean, ms", func(s *sim.Spread) sim.Interval { return s.TTFT.Mean }, 1, "%.1f"},
		{"TTFT p50, ms", func(s *sim.Spread) sim.Interval { return s.TTFT.P50 }, 1, "%.1f"},
		{"TTFT p90, ms", func(s *sim.Spread) sim.Interval { return s.TTFT.P90 }, 1, "%.1f"},
		{"TTFT p99, ms", func(s *sim.Spread) sim.Interval { return s.TTFT.P99 }, 1, "%.1f"},
		{"TPOT mean, ms", func(s *sim.Spread) sim.Interval { return s.TPOT.Mean }, 1, "%.1f"},
		{"TPOT p50, ms", func(s *sim.Spread) sim.Interval { return s.TPOT.P50 }, 1, "%.1f"},
		{"TPOT p90, ms", func(s *sim.Spread) sim.Interval { return s.TPOT.P90 }, 1, "%.1f"},
		{"TPOT p99, ms", func(s *sim.Spread) sim.Interval { return s.TPOT.P99 }, 1, "%.1f"},
		{"prefix hits, %", func(s *sim.Spread) sim.Interval { return s.Hit }, 100, "%.1f"},
		{"within the objective, %", func(s *sim.Spread) sim.Interval { return s.Within }, 100, "%.2f"},
		{"preemptions", func(s *sim.Spread) sim.Interval { return s.Preemptions }, 1, "%.0f"},
	}
	if s.Scaling != nil {
		all = append(all, measure{"GPU-hours", func(s *sim.Spread) sim.Interval { return s.GPUHours }, 1, "%.1f"})
	}
	return all
}

// figure writes an interval as people read it.
func figure(i sim.Interval, unit float64, form string) string {
	text := fmt.Sprintf(form, i.Mean*unit)
	if text == fmt.Sprintf(form, math.Copysign(0, -1)) {
		text = fmt.Sprintf(form, 0.0)
	}
	if half := fmt.Sprintf(form, i.Half()*unit); half != fmt.Sprintf(form, 0.0) {
		text += " ± " + half
	}
	return text
}

// Rows returns a table of figures: a row for each, with a cell for each policy; the
// first row names them.
func (s *Simulated) Rows() [][]string {
	all := s.Summaries()
	head := []string{""}
	for _, p := range all {
		head = append(head, p.Policy)
	}
	rows := [][]string{head}
	add := func(name string, of func(*sim.Summary) string) {
		row := []string{name}
		for i := range all {
			row = append(row, of(&all[i]))
		}
		rows = append(rows, row)
	}
	for _, m := range s.measures() {
		add(m.Name, func(p *sim.Summary) string { return figure(m.of(&p.Spread), m.unit, m.form) })
	}
	add("failed, %", func(p *sim.Summary) string { return figure(p.Failed, 100, "%.2f") })
	return rows
}

// VersusRows returns a table of how the policies differ from the first one, seed by
// seed; nil if there is nothing to tell. The name of the first one stands in its
// corner.
func (s *Simulated) VersusRows() [][]string {
	if len(s.Policies) < 2 || s.Policies[1].Versus == nil {
		return nil
	}
	head := []string{s.Policies[0].Policy}
	for _, p := range s.Policies[1:] {
		head = append(head, p.Policy)
	}
	rows := [][]string{head}
	for _, m := range s.measures() {
		row := []string{m.Name}
		for _, p := range s.Policies[1:] {
			signed := "%+" + m.form[1:]
			row = append(row, strings.Replace(figure(m.of(p.Versus), m.unit, signed), "± +", "± ", 1))
		}
		rows = append(rows, row)
	}
	return rows
}

// StageRows returns a table of the stages, if the load has any: a row for each stage
// and policy.
func (s *Simulated) StageRows() [][]string {
	var rows [][]string
	all := s.Summaries()
	for i, rates := range s.Load.rates() {
		for _, p := range all {
			if i >= len(p.Stages) {
				continue
			}
			f := &p.Stages[i]
			rows = append(rows, []string{
				rates, p.Policy, figure(f.Throughput, 1, "%.0f"), figure(f.TTFT.Mean, 1, "%.0f"), figure(f.TTFT.P90, 1, "%.0f"),
				figure(f.TPOT.Mean, 1, "%.1f"), figure(f.Hit, 100, "%.0f"), figure(f.Within, 100, "%.1f"),
			})
		}
	}
	if rows == nil {
		return nil
	}
	return append([][]string{{"REQUESTS/S", "POLICY", "TOKENS/S", "TTFT MEAN MS", "P90 MS", "TPOT MS", "HITS %", "WITHIN %"}}, rows...)
}

// rates returns the rate of each stage, those of joined ones together.
func (l *SimulatedLoad) rates() (texts []string) {
	for _, s := range l.Stages {
		rate := fmt.Sprintf("%g", s.Rate)
		if s.Joined {
			texts[len(texts)-1] += "+" + rate
			continue
		}
		texts = append(texts, rate)
	}
	return texts
}

// PhaseRows returns a table of what became of the requests that came between the
// events, if there are any: a row for each phase and policy. Of several seeds counts
// are sums, and times are means.
func (s *Simulated) PhaseRows() [][]string {
	var rows [][]string
	all := s.Summaries()
	if len(all) == 0 || len(all[0].Runs) == 0 {
		return nil
	}
	for i, phase := range all[0].Runs[0].Phases {
		for _, p := range all {
			var sum sim.Phase
			for _, r := range p.Runs {
				x, n := &r.Phases[i], float64(len(p.Runs))
				sum.Requests += x.Requests
				sum.Lost += x.Lost
				sum.Broken += x.Broken
				sum.Retried += x.Retried
				sum.Moved += x.Moved
				sum.TTFT.P50 += x.TTFT.P50 / n
				sum.TTFT.P99 += x.TTFT.P99 / n
				sum.Within += x.Within / n
			}
			span := fmt.Sprintf("%g s on", phase.From)
			if phase.To > 0 {
				span = fmt.Sprintf("%g..%g s", phase.From, phase.To)
			}
			row := []string{span, p.Policy}
			for _, n := range []int{sum.Requests, sum.Lost, sum.Broken, sum.Retried, sum.Moved} {
				row = append(row, fmt.Sprint(n))
			}
			rows = append(rows, append(row, fmt.Sprintf("%.0f", sum.TTFT.P50), fmt.Sprintf("%.0f", sum.TTFT.P99), fmt.Sprintf("%.1f", 100*sum.Within)))
		}
	}
	if rows == nil {
		return nil
	}
	return append([][]string{{"CAME", "POLICY", "REQUESTS", "LOST", "BROKEN", "RETRIED", "MOVED", "TTFT P50 MS", "P99 MS", "WITHIN %"}}, rows...)
}

// chart is a measure as bars, one for each policy.
type chart struct {
	Name   string
	Height int
	Bars   []bar
}

// bar is drawn from 0 to Width of 400; the whisker is its interval.
type bar struct {
	Label, Value string
	Y, Mid, Text int
	Width        float64
	Low, High    float64
	Whisker      bool
}

func (s *Simulated) charts() (charts []chart) {
	all := s.Summaries()
	for _, m := range s.measures() {
		top := 0.0
		for i := range all {
			top = math.Max(top, m.of(&all[i].Spread).High)
		}
		if top <= 0 {
			continue
		}
		c := chart{Name: m.Name, Height: 26 * len(all)}
		for i := range all {
			v := m.of(&all[i].Spread)
			scale := func(x float64) float64 { return math.Round(4000*math.Max(x, 0)/top) / 10 }
			c.Bars = append(c.Bars, bar{
				Label: all[i].Policy, Value: figure(v, m.unit, m.form), Y: 26*i + 3, Mid: 26*i + 12, Text: 26*i + 16,
				Width: scale(v.Mean), Low: scale(v.Low), High: scale(v.High), Whisker: v.Half() > 0,
			})
		}
		charts = append(charts, c)
	}
	return charts
}

// HTML writes a report as one page that needs nothing else.
func (s *Simulated) HTML(w io.Writer) error {
	t, err := template.New("report").Parse(reportPage)
	if err != nil {
		return err
	}
	rows, stages := s.Rows(), s.StageRows()
	data := struct {
		Facts      [][2]string
		Head       []string
		Rows       [][]string
		First      string
		VersusHead []string
		VersusRows [][]string
		StageHead  []string
		StageRows  [][]string
		PhaseHead  []string
		PhaseRows  [][]string
		Charts     []chart
		Runs       []sim.Summary
		Version    string
		ManySeeds  bool
	}{Facts: s.Facts(), Head: rows[0], Rows: rows[1:], Charts: s.charts(), Runs: s.Summaries(), Version: Version, ManySeeds: s.Seeds > 1}
	if stages != nil {
		data.StageHead, data.StageRows = stages[0], stages[1:]
	}
	if rows := s.PhaseRows(); rows != nil {
		data.PhaseHead, data.PhaseRows = rows[0], rows[1:]
	}
	if versus := s.VersusRows(); versus != nil {
		data.First, versus[0][0] = versus[0][0], ""
		data.VersusHead, data.VersusRows = versus[0], versus[1:]
	}
	return t.Execute(w, data)
}

// reportPage is the report: no script, no resource from elsewhere, both colour
// schemes.
const reportPage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Simulated: {{range $i, $h := .Head}}{{if gt $i 1}}, {{end}}{{$h}}{{end}}</title>
<style>
:root { color-scheme: light dark; --ink: #1a1a1a; --dim: #5c5c5c; --line: #d8d8d8; --page: #fff; --bar: #3b6ea8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --dim: #a3a3a3; --line: #3a3a3a; --page: #161616; --bar: #7aa7d9; } }
body { margin: 2rem auto; max-width: 62rem; padding: 0 1rem; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; } h3 { font-size: .95rem; margin: 1.2rem 0 .3rem; font-weight: 600; }
p, dt { color: var(--dim); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; }
svg { display: block; width: 100%; max-width: 46rem; height: auto; }
svg text { fill: var(--ink); font-size: 12px; } svg rect { fill: var(--bar); } svg line { stroke: var(--ink); stroke-width: 1.5; }
code { font-size: .85em; overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>A simulated load</h1>
<p>Decisions are those of the serving code, times those of a model of the engines.</p>
<dl>{{range .Facts}}<dt>{{index . 0}}</dt><dd>{{index . 1}}</dd>{{end}}</dl>
<h2>By policy</h2>
<div class="scroll"><table>
<thead><tr>{{range .Head}}<th scope="col">{{.}}</th>{{end}}</tr></thead>
<tbody>{{range .Rows}}<tr>{{range $i, $c := .}}{{if eq $i 0}}<th scope="row">{{$c}}</th>{{else}}<td>{{$c}}</td>{{end}}{{end}}</tr>
{{end}}</tbody></table></div>
{{if .ManySeeds}}<p>± is half of the interval that holds the mean with a confidence of 95 % (Student's t over the seeds).</p>{{else}}<p>One seed is one day: without more of them nothing tells chance from difference.</p>{{end}}
{{if .VersusRows}}<h2>Less {{.First}}, seed by seed</h2>
<div class="scroll"><table>
<thead><tr>{{range .VersusHead}}<th scope="col">{{.}}</th>{{end}}</tr></thead>
<tbody>{{range .VersusRows}}<tr>{{range $i, $c := .}}{{if eq $i 0}}<th scope="row">{{$c}}</th>{{else}}<td>{{$c}}</td>{{end}}{{end}}</tr>
{{end}}</tbody></table></div>
<p>All policies had the same arrivals, so an interval here that leaves out 0 is a difference.</p>{{end}}
{{if .StageRows}}<h2>By stage</h2>
<div class="scroll"><table>
<thead><tr>{{range .StageHead}}<th scope="col">{{.}}</th>{{end}}</tr></thead>
<tbody>{{range .StageRows}}<tr>{{range .}}<td>{{.}}</td>{{end}}</tr>
{{end}}</tbody></table></div>{{end}}
{{if .PhaseRows}}<h2>Between the events</h2>
<div class="scroll"><table>
<thead><tr>{{range .PhaseHead}}<th scope="col">{{.}}</th>{{end}}</tr></thead>
<tbody>{{range .PhaseRows}}<tr>{{range .}}<td>{{.}}</td>{{end}}</tr>
{{end}}</tbody></table></div>
<p>By when requests came. Lost: failed before the answer had begun. Broken: began, and did not end. Retried: not served by the first replica that was asked. Moved: served in another region than the caller's.</p>{{end}}
<h2>Beside each other</h2>
{{range .Charts}}<h3>{{.Name}}</h3>
<svg viewBox="0 0 700 {{.Height}}" role="img" aria-label="{{.Name}}: {{range $i, $b := .Bars}}{{if $i}}; {{end}}{{$b.Label}} {{$b.Value}}{{end}}">
{{range .Bars}}<text x="0" y="{{.Text}}">{{.Label}}</text><g transform="translate(120 0)"><rect x="0" y="{{.Y}}" width="{{.Width}}" height="18" rx="2"/>{{if .Whisker}}<line x1="{{.Low}}" x2="{{.High}}" y1="{{.Mid}}" y2="{{.Mid}}"/>{{end}}<text x="410" y="{{.Text}}">{{.Value}}</text></g>
{{end}}</svg>
{{end}}
<h2>Runs</h2>
<p>Equal inputs give equal hashes of all records.</p>
<div class="scroll"><table>
<thead><tr><th scope="col">policy</th><th scope="col">seed</th><th scope="col">requests</th><th scope="col">failed</th><th scope="col">hash</th></tr></thead>
<tbody>{{range $s := .Runs}}{{range $i, $r := $s.Runs}}<tr><td>{{$s.Policy}}</td><td>+{{$i}}</td><td>{{$r.Requests}}</td><td>{{$r.Failed}}</td><td><code>{{$r.Hash}}</code></td></tr>
{{end}}{{end}}</tbody></table></div>
<p>headworks {{.Version}}</p>
</body>
</html>
`
