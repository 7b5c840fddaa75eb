package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// The figures, by name.
const (
	smallCPU      = "request_cpu_us"
	smallRate     = "request_rate"
	smallP99      = "request_p99_us"
	steadyP50     = "steady_p50_us"
	steadyP99     = "steady_p99_us"
	steadyAdded   = "steady_added_p50_us"
	eventCPU      = "event_cpu_us"
	eventRate     = "event_rate"
	firstP50      = "first_token_p50_ms"
	firstAdded    = "first_token_added_p50_ms"
	idleMemory    = "idle_pss_mb"
	streamMemory  = "stream_pss_kb"
	startFresh    = "start_fresh_ms"
	startKept     = "start_kept_ms"
	failoverAdded = "failover_added_ms_"  // and the cause
	coresRate     = "request_rate_cores_" // and how many
	coresCPU      = "request_cpu_us_cores_"
	coresUsed     = "cores_used_of_"
	watchCores    = "watch_cores_" // and what the engines say
	watchRate     = "watch_pages_"
	simSteps      = "sim_msteps"
)

// line is how the table shows a figure.
type line struct {
	name, label string
	digits      int
	bound       string // that headworks is to keep
}

func lines() []line {
	all := []line{
		{smallCPU, "CPU of a 1 KB request, us", 1, "<= ReverseProxy"},
		{smallRate, "requests a second, closed loop", 0, ""},
		{smallP99, "p99 in the closed loop, us", 0, ""},
		{steadyP50, "p50 at a steady rate, us", 0, ""},
		{steadyAdded, "added to direct, us", 0, "<= 120"},
		{steadyP99, "p99 at that rate, us", 0, ""},
		{eventCPU, "CPU of a stream event, us", 1, "<= 20"},
		{eventRate, "events a second", 0, ""},
		{firstP50, "first token p50, ms", 2, ""},
		{firstAdded, "added to direct, ms", 2, "<= 0.55"},
		{streamMemory, "memory of an open stream, kB", 1, "<= 50"},
		{idleMemory, "memory when idle, MB", 1, ""},
		{startFresh, "cold start to first answer, ms", 1, "<= 50"},
		{startKept, "the same, data folder kept, ms", 1, "<= 50"},
	}
	for _, cause := range causes() {
		all = append(all, line{failoverAdded + cause, "failover from " + cause + ", added ms", 2, "< 5"})
	}
	all = append(all,
		line{watchCores + resting, "100 idle engines watched, cores", 3, "<= 0.2"},
		line{watchRate + resting, "pages of metrics a second", 0, ""},
		line{watchCores + working, "100 busy engines watched, cores", 3, ""},
		line{watchRate + working, "pages of metrics a second", 0, ""})
	for _, n := range []string{"1", "2"} {
		all = append(all,
			line{coresRate + n, "requests a second, cores: " + n, 0, ""},
			line{coresUsed + n, "of them used by headworks", 2, ""},
			line{coresCPU + n, "CPU of a request then, us", 1, ""})
	}
	return append(all, line{simSteps, "simulator, M steps/s, one core", 2, ">= 1"})
}

// figure is one measure of one subject, a value for each round.
type figure struct {
	Name   string    `json:"name"`
	Of     string    `json:"of"`
	Median float64   `json:"median"`
	Rounds []float64 `json:"rounds"`
}

// wrong is what went wrong for a subject in a phase.
type wrong struct {
	Phase string `json:"phase"`
	Of    string `json:"of"`
	What  tally  `json:"what"`
}

// report is what a run has to tell.
type report struct {
	Command string    `json:"command"`
	Machine machine   `json:"machine"`
	Rounds  int       `json:"rounds"`
	Figures []*figure `json:"figures"`
	Wrong   []*wrong  `json:"wrong"` // empty if all went well
	Notes   []string  `json:"notes"`
}

func (r *report) find(name, of string) *figure {
	for _, f := range r.Figures {
		if f.Name == name && f.Of == of {
			return f
		}
	}
	return nil
}

// add keeps the value of one more round.
func (r *report) add(name, of string, value float64) {
	f := r.find(name, of)
	if f == nil {
		f = &figure{Name: name, Of: of}
		r.Figures = append(r.Figures, f)
	}
	f.Rounds = append(f.Rounds, thousandths(value))
	f.Median = thousandths(median(f.Rounds))
}

func thousandths(v float64) float64 { return math.Round(v*1e3) / 1e3 }

// subtract adds, as a figure of its own, what a figure is above that of base in the
// same round.
func (r *report) subtract(name, from, base string) {
	zero := r.find(from, base)
	if zero == nil {
		return
	}
	for _, f := range slices.Clone(r.Figures) {
		if f.Name != from || f.Of == base {
			continue
		}
		for i := range min(len(f.Rounds), len(zero.Rounds)) {
			r.add(name, f.Of, f.Rounds[i]-zero.Rounds[i])
		}
	}
}

// blame keeps what went wrong.
func (r *report) blame(phase, of string, what tally) {
	if len(what) == 0 {
		return
	}
	for _, w := range r.Wrong {
		if w.Phase == phase && w.Of == of {
			w.What.merge(what)
			return
		}
	}
	r.Wrong = append(r.Wrong, &wrong{phase, of, maps.Clone(what)})
}

func (r *report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// verdict is an error if anything went wrong.
func (r *report) verdict() error {
	if len(r.Wrong) == 0 {
		return nil
	}
	return errors.New("requests went wrong: the figures beside them are not to be trusted")
}

func (r *report) writeJSON(w io.Writer) error {
	return json.NewEncoder(w).Encode(r)
}

// writeTable writes for people.
func (r *report) writeTable(w io.Writer) error {
	var t strings.Builder
	m := r.Machine
	fmt.Fprintf(&t, "command    %s\n", r.Command)
	fmt.Fprintf(&t, "machine    %d x %s, %s, kernel %s, load average before %s\n", m.Cores, m.CPU, m.System, m.Kernel, m.Load)
	fmt.Fprintf(&t, "headworks  %s\n", m.Binary)
	fmt.Fprintf(&t, "the others %s\n", m.Go)
	if r.Rounds > 1 {
		fmt.Fprintf(&t, "medians of %d rounds, every other one in reverse order; (least-most) of headworks\n\n", r.Rounds)
	} else {
		t.WriteString("one short round: this shows that it works, not how fast it is\n\n")
	}
	columns := []string{ours, bare, raw, direct}
	fmt.Fprintf(&t, "%-34s %22s %13s %10s %10s  %s\n", "", columns[0], columns[1], columns[2], columns[3], "bound")
	for _, l := range lines() {
		cells := make([]string, len(columns))
		any := false
		for i, of := range columns {
			cells[i] = "-"
			if f := r.find(l.name, of); f != nil {
				any = true
				cells[i] = f.cell(l.digits, i == 0)
			}
		}
		if !any {
			cells[0] = "not measured"
		}
		fmt.Fprintln(&t, strings.TrimRight(fmt.Sprintf("%-34s %22s %13s %10s %10s  %s", l.label, cells[0], cells[1], cells[2], cells[3], l.bound), " "))
	}
	t.WriteByte('\n')
	for _, n := range r.Notes {
		fmt.Fprintln(&t, "note:", n)
	}
	if len(r.Wrong) == 0 {
		t.WriteString("wrong: nothing; every answer was 200 and whole\n")
	}
	for _, x := range r.Wrong {
		for _, what := range slices.Sorted(maps.Keys(x.What)) {
			fmt.Fprintf(&t, "wrong: %s, %s: %d x %s\n", x.Phase, x.Of, x.What[what], what)
		}
	}
	_, err := io.WriteString(w, t.String())
	return err
}

func (f *figure) cell(digits int, spread bool) string {
	s := fmt.Sprintf("%.*f", digits, f.Median)
	if spread && len(f.Rounds) > 1 {
		s += fmt.Sprintf(" (%.*f-%.*f)", digits, slices.Min(f.Rounds), digits, slices.Max(f.Rounds))
	}
	return s
}

// percentile returns the exact value, of those given, that a share p of them does
// not exceed; 0 if there are none. It sorts them.
func percentile(all []time.Duration, p float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	rank := int(math.Ceil(p * float64(len(all))))
	return all[min(max(rank, 1), len(all))-1]
}

// median is the middle value, or the mean of the two in the middle; 0 for none.
func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(all))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
