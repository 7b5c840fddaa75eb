package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"headworks/internal/api/admin"
	"headworks/internal/client"
	"headworks/internal/latency"
)

// What a terminal is told: to show another screen and no cursor, and to give the old
// one back; to begin at the top, and to clear what is right of a line and below it.
const (
	otherScreen = "\x1b[?1049h\x1b[?25l"
	ownScreen   = "\x1b[?25h\x1b[?1049l"
	atTop       = "\x1b[H"
	clearRight  = "\x1b[K\r\n"
	clearBelow  = "\x1b[J"
)

// lastRequests is of how many requests top sums up how they went.
const lastRequests = 200

// view is what top shows.
type view struct {
	Status admin.Status     `json:"status"`
	Last   *last            `json:"last,omitempty"` // absent where no request ended
	Fits   []admin.Fit      `json:"fits"`
	Ahead  []admin.Foreseen `json:"replicas"`
}

// last sums up the requests that ended last.
type last struct {
	Requests int     `json:"requests"`
	Span     float64 `json:"span_s"` // from the first of them to now
	Rate     float64 `json:"requests_per_s"`
	Tokens   float64 `json:"output_tokens_per_s"`
	Failed   int     `json:"failed"`
	First50  float64 `json:"ttft_p50_ms"`
	First90  float64 `json:"ttft_p90_ms"`
	Each50   float64 `json:"tpot_p50_ms"`
}

func newTopCommand(t *terminal) *cobra.Command {
	once, every := false, 2*time.Second
	c := &cobra.Command{
		Use: "top", Short: "Watch what runs: requests, replicas, and how soon they would answer", Args: cobra.NoArgs,
		Long:    "Shows what runs, again and again until q or Ctrl-C. Where stdout is no terminal, and with --once or --json, it shows that once.",
		Example: "  headworks top\n  headworks top --once\n  headworks top --json",
		RunE: func(c *cobra.Command, _ []string) error {
			if every < 100*time.Millisecond {
				return &exit{exitUsage, fmt.Errorf("--every is %s; it is 100ms at least", every)}
			}
			a, err := t.instance()
			if err != nil {
				return &exit{exitUnhealthy, err}
			}
			if out, ok := t.out.(*os.File); ok && !once && !t.json && term.IsTerminal(int(out.Fd())) {
				return t.watch(c.Context(), a, out, every)
			}
			v, err := look(c.Context(), a)
			if err != nil {
				return &exit{exitUnhealthy, err}
			}
			return t.print(v, v.write)
		},
	}
	c.Flags().BoolVar(&once, "once", false, "show it once and end")
	c.Flags().DurationVar(&every, "every", every, "how often it is asked for")
	return c
}

// look asks the instance for all that a view shows.
func look(ctx context.Context, a *client.Admin) (view, error) {
	s, err := a.Status(ctx)
	if err != nil {
		return view{}, err
	}
	f, err := a.Fits(ctx)
	if err != nil {
		return view{}, err
	}
	rows, err := a.Requests(ctx, lastRequests, "", "", "", "", "")
	if err != nil {
		return view{}, err
	}
	return view{Status: s, Last: sumUp(rows, time.Now()), Fits: f.Fits, Ahead: f.Replicas}, nil
}

// sumUp sums up how requests went; nil if there were none.
func sumUp(rows client.Rows, now time.Time) *last {
	var firsts, each []int64
	l := last{Requests: len(rows.Requests)}
	tokens, begin := int64(0), now
	for _, r := range rows.Requests {
		if at := time.UnixMicro(r.Time); at.Before(begin) {
			begin = at
		}
		tokens += r.Output
		if r.End != "ok" && r.End != "client_closed" {
			l.Failed++
		}
		if r.TTFT != nil {
			firsts = append(firsts, *r.TTFT)
		}
		if r.TPOT != nil {
			each = append(each, *r.TPOT)
		}
	}
	l.Span = now.Sub(begin).Seconds()
	if l.Requests == 0 || l.Span <= 0 {
		return nil
	}
	l.Rate, l.Tokens = float64(l.Requests)/l.Span, float64(tokens)/l.Span
	l.First50, l.First90, l.Each50 = percentile(firsts, 0.5), percentile(firsts, 0.9), percentile(each, 0.5)
	return &l
}

// percentile returns a percentile of microseconds in milliseconds, by nearest rank; 0
// of none.
func percentile(us []int64, p float64) float64 {
	if len(us) == 0 {
		return 0
	}
	slices.Sort(us)
	return float64(us[min(int(p*float64(len(us))), len(us)-1)]) / 1e3
}

func (v view) write(w io.Writer) {
	s := &v.Status
	fmt.Fprintf(w, "headworks %s   %s   up for %s   generation %d\n", s.Version, s.Status, time.Since(s.Since).Round(time.Second), s.Generation)
	fmt.Fprintf(w, "%d in flight, %d waiting\n", s.InFlight, s.Waiting)
	if l := v.Last; l != nil {
		fmt.Fprintf(w, "the last %s, in %.0f s: %.1f/s, %.0f tokens/s; first token p50 %.0f ms, p90 %.0f ms; a token %.1f ms; %d failed\n",
			count(l.Requests, "request"), l.Span, l.Rate, l.Tokens, l.First50, l.First90, l.Each50, l.Failed)
	}
	fmt.Fprintln(w)
	list(w, []string{"UPSTREAM", "REPLICA", "IN FLIGHT", "PROMPTS", "TO READ", "ANSWERS", "NEXT FIRST MS", "KV", "STATE"}, v.replicas())
	fmt.Fprintln(w)
	var rows [][]string
	for _, f := range v.Fits {
		rows = append(rows, []string{
			f.Class, strings.Join(f.Upstreams, ","), fmt.Sprintf("%.1f", f.Base), fmt.Sprintf("%.0f", f.Kappa), fmt.Sprintf("%.0f", f.Rate), fmt.Sprintf("%.0f", f.Overhead),
			fmt.Sprint(f.Samples), fmt.Sprintf("%.1f %%", 100*f.Error), fmt.Sprint(f.Firsts), fmt.Sprintf("%.1f %%", 100*f.First), decides(&f),
		})
	}
	list(w, []string{"ENGINES", "OF", "STEP MS", "NS/KV", "PROMPT TOK/S", "OVERHEAD MS", "STREAMS", "ERROR", "FIRST TOKENS", "ERROR", "DECIDES"}, rows)
}

// replicas returns the rows of the replicas.
func (v view) replicas() (rows [][]string) {
	for _, u := range v.Status.Upstreams {
		for _, r := range u.Replicas {
			state := "up"
			if !r.Up {
				state = r.Why
			}
			ahead := []string{"-", "-", "-", "-"}
			if i := slices.IndexFunc(v.Ahead, func(f admin.Foreseen) bool { return f.Upstream == u.Name && f.Replica == r.Name }); i >= 0 {
				f := &v.Ahead[i]
				ahead = []string{fmt.Sprint(f.Waiting), fmt.Sprint(f.Prompt), fmt.Sprint(f.Decodes), fmt.Sprintf("%.0f", f.Next)}
			}
			rows = append(rows, append(append([]string{u.Name, r.Name, fmt.Sprint(r.InFlight)}, ahead...), said(&r)[2], state))
		}
	}
	return rows
}

// decides tells whether what was learned decides, and what is missing.
func decides(f *admin.Fit) string {
	few := min(f.Samples, f.Firsts)
	switch {
	case f.Trusted:
		return "yes"
	case few < latency.TrustedSamples:
		return fmt.Sprintf("after %d more", latency.TrustedSamples-few)
	}
	return fmt.Sprintf("no: %.0f %% off", 100*max(f.Error, f.First))
}

// watch shows what runs again and again, until q, Ctrl-C or the end of the context.
func (t *terminal) watch(ctx context.Context, a *client.Admin, out *os.File, every time.Duration) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if in, ok := t.in.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		if was, err := term.MakeRaw(int(in.Fd())); err == nil {
			defer func() { _ = term.Restore(int(in.Fd()), was) }()
			go func() { // ends with the process at the latest
				key := make([]byte, 1)
				for {
					if n, err := in.Read(key); err != nil || n == 1 && (key[0] == 'q' || key[0] == 3) {
						stop()
						return
					}
				}
			}()
		}
	}
	if _, err := io.WriteString(out, otherScreen); err != nil {
		return err
	}
	defer func() { _, _ = io.WriteString(out, ownScreen) }()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var b bytes.Buffer
		v, err := look(ctx, a)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			fmt.Fprintf(&b, "no answer, asked again every %s: %v\n", every, err)
		default:
			v.write(&b)
		}
		width, height, err := term.GetSize(int(out.Fd()))
		if err != nil || width == 0 || height == 0 {
			width, height = 80, 24
		}
		if _, err := io.WriteString(out, frame(b.String(), width, height)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// frame returns what draws text over what stands on a screen of a size. What does not
// fit is left out, and how much that is stands on the last line.
func frame(text string, width, height int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if rest := len(lines) - (height - 1); rest > 0 {
		lines = append(lines[:max(height-2, 0)], fmt.Sprintf("%s more", count(rest+1, "line")))
	}
	var b strings.Builder
	b.WriteString(atTop)
	for _, line := range lines {
		runes := []rune(line)
		b.WriteString(string(runes[:min(len(runes), width)]))
		b.WriteString(clearRight)
	}
	b.WriteString(clearBelow)
	return b.String()
}
