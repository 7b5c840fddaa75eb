package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"headworks/internal/api/admin"
	"headworks/internal/cell"
	"headworks/internal/client"
	"headworks/internal/health"
	"headworks/internal/peer"
	"headworks/internal/record"
)

// instance returns the client of the running instance that the command means.
func (t *terminal) instance() (*client.Admin, error) { return client.Find(t.folder(), t.admin) }

// table writes rows of cells in columns.
func table(w io.Writer, rows ...[]string) {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(tw, strings.Join(r, "\t"))
	}
	_ = tw.Flush() // b takes everything
	for line := range strings.Lines(b.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}

// list writes a table under the names of its columns; without rows it says so.
func list(w io.Writer, names []string, rows [][]string) {
	if len(rows) == 0 {
		fmt.Fprintln(w, "none")
		return
	}
	table(w, append([][]string{names}, rows...)...)
}

// said returns the columns of what an engine says of itself: requests that run and
// wait, whoever sent them, its KV cache, and when it was asked. A dash is what it does
// not tell.
func said(r *admin.Replica) []string {
	columns := []string{"-", "-", "-", "-"}
	e := r.Engine
	if e == nil {
		return columns
	}
	if e.Running != nil {
		columns[0] = fmt.Sprint(*e.Running)
	}
	if e.Waiting != nil {
		columns[1] = fmt.Sprint(*e.Waiting)
	}
	if e.KVUse != nil {
		columns[2] = fmt.Sprintf("%.0f %%", 100**e.KVUse)
	}
	switch {
	case !e.Asked.IsZero():
		columns[3] = time.Since(e.Asked).Round(100*time.Millisecond).String() + " ago"
	case e.Trouble != "":
		columns[3] = "in vain"
	}
	return columns
}

// gpus returns the rows of the GPUs that replicas run on.
func gpus(s *admin.Status) (rows [][]string) {
	for _, u := range s.Upstreams {
		for _, r := range u.Replicas {
			for _, g := range r.GPUs {
				row := []string{u.Name, r.Name, fmt.Sprint(g.Index), "-", "-", "-", "well"}
				if g.Utilization != nil {
					row[3] = fmt.Sprintf("%.0f %%", 100**g.Utilization)
				}
				if g.MemoryUsed != nil && g.MemoryTotal != nil {
					row[4] = fmt.Sprintf("%.0f of %.0f GiB", float64(*g.MemoryUsed)/(1<<30), float64(*g.MemoryTotal)/(1<<30))
				}
				if g.Power != nil {
					row[5] = fmt.Sprintf("%.0f W", *g.Power)
				}
				if state := ailing(&g); state != "" {
					row[6] = state
				}
				rows = append(rows, row)
			}
		}
	}
	return rows
}

// ailing says what is wrong with a GPU, and is empty where nothing is.
func ailing(g *admin.GPU) string {
	var all []string
	if g.XID != 0 {
		all = append(all, fmt.Sprint("XID ", g.XID))
	}
	if g.ECC > 0 {
		all = append(all, count(g.ECC, "memory error")+" not corrected")
	}
	if g.Failed {
		all = append(all, "a row of memory failed")
	}
	if g.Throttled {
		all = append(all, "throttled")
	}
	return strings.Join(all, ", ")
}

// mostTroubles bounds the troubles that are shown.
const mostTroubles = 5

// troubles writes why nothing newer is known of engines.
func troubles(w io.Writer, s *admin.Status) {
	n := 0
	for _, u := range s.Upstreams {
		for _, r := range u.Replicas {
			if r.Engine == nil || r.Engine.Trouble == "" {
				continue
			}
			if n++; n == 1 {
				fmt.Fprintln(w)
			}
			if n <= mostTroubles {
				fmt.Fprintf(w, "%s of %s tells no load: %s\n", r.Name, u.Name, r.Engine.Trouble)
			}
		}
	}
	if n > mostTroubles {
		fmt.Fprintf(w, "and %d more, which --json tells\n", n-mostTroubles)
	}
}

func newStatusCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show what runs, and whether every replica deserves traffic", Args: cobra.NoArgs,
		Example: "  headworks status --json",
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := t.instance()
			if err != nil {
				return &exit{exitUnhealthy, err}
			}
			s, err := a.Status(c.Context())
			if err != nil {
				return &exit{exitUnhealthy, err}
			}
			down := 0
			var empty []string // upstreams without a replica
			err = t.print(s, func(w io.Writer) {
				fmt.Fprintf(w, "headworks %s   %s   api %s   up for %s   generation %d (%s)\n", s.Version, s.Status, s.BaseURL, time.Since(s.Since).Round(time.Second), s.Generation, s.Config)
				fmt.Fprintf(w, "%d in flight, %d waiting, %d records dropped\n\n", s.InFlight, s.Waiting, s.Dropped)
				var rows [][]string
				for _, u := range s.Upstreams {
					if f := u.Finding; f != nil && (len(u.Replicas) == 0 || f.Why != "") {
						fmt.Fprintln(w, unfound(&u, time.Now()))
					}
				}
				for _, u := range s.Upstreams {
					for _, r := range u.Replicas {
						state := "up"
						if !r.Up {
							state = r.Why
						}
						rows = append(rows, append([]string{u.Name, u.Kind, r.Name, located(r.Region, r.Zone), fmt.Sprint(r.InFlight)}, append(said(&r), state)...))
					}
				}
				list(w, []string{"UPSTREAM", "KIND", "REPLICA", "PLACE", "IN FLIGHT", "RUN", "WAIT", "KV", "ASKED", "STATE"}, rows)
				troubles(w, &s)
				if rows := gpus(&s); len(rows) > 0 {
					fmt.Fprintln(w)
					list(w, []string{"UPSTREAM", "REPLICA", "GPU", "USE", "MEMORY", "POWER", "STATE"}, rows)
				}
				found(w, s.Upstreams, time.Now())
				if len(s.Drains) > 0 {
					fmt.Fprintln(w)
					drains(w, s.Drains)
				}
				if len(s.Canaries) > 0 {
					fmt.Fprintln(w)
					canaries(w, s.Canaries)
				}
				if len(s.Cells) > 0 {
					fmt.Fprintln(w)
					list(w, []string{"CELL", "GATEWAY", "STATE", "ROUND TRIP", "ROOM", "WHY"}, cellRows(s.Cells))
				}
				if len(s.Shadows) > 0 {
					fmt.Fprintln(w)
					shadows(w, s.Shadows)
				}
				if len(s.Peers) > 0 {
					fmt.Fprintln(w)
					list(w, []string{"GATEWAY", "STATE", "TAKES", "WHY"}, peerRows(s.Peers))
				}
			})
			for _, u := range s.Upstreams {
				if len(u.Replicas) == 0 {
					empty = append(empty, u.Name)
				}
				for _, r := range u.Replicas {
					if !r.Up && r.Why != health.Drained { // that is wanted
						down++
					}
				}
			}
			switch {
			case err != nil:
				return err
			case s.Status != "ok":
				return &exit{exitUnhealthy, errors.New("the instance is " + s.Status)}
			case len(empty) > 0:
				return &exit{exitUnhealthy, fmt.Errorf("no replica of %s was found yet", strings.Join(empty, ", "))}
			case down > 0:
				return &exit{exitUnhealthy, fmt.Errorf("%s out", count(down, "replica"))}
			}
			return nil
		},
	}
}

// cellRows says how it stands with the gateways of other cells.
func cellRows(cells []cell.State) (rows [][]string) {
	for _, c := range cells {
		took := ""
		if c.RTT > 0 {
			took = c.RTT.Round(10 * time.Microsecond).String()
		}
		rows = append(rows, []string{c.Cell, c.URL, c.State, took, fmt.Sprint(c.Room), c.Why})
	}
	return rows
}

// peerRows says how it stands with the other gateways of the cell.
func peerRows(peers []peer.Link) (rows [][]string) {
	for _, p := range peers {
		takes := ""
		if p.RTT > 0 {
			takes = p.RTT.Round(10 * time.Microsecond).String()
		}
		rows = append(rows, []string{p.Address, p.State, takes, p.Why})
	}
	return rows
}

func newModelsCommand(t *terminal) *cobra.Command {
	discover := false
	c := &cobra.Command{
		Use: "models [UPSTREAM]", Short: "List what callers may ask for", Args: cobra.MaximumNArgs(1),
		Example: "  headworks models\n  headworks models --discover groq",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 && !discover {
				return &exit{exitUsage, errors.New("an upstream is asked for its models with --discover")}
			}
			a, err := t.instance()
			if err != nil {
				return err
			}
			if discover {
				return t.discover(c, a, strings.Join(args, ""))
			}
			s, err := a.Status(c.Context())
			if err != nil {
				return err
			}
			return t.print(map[string][]admin.Model{"models": s.Models}, func(w io.Writer) {
				var rows [][]string
				for _, m := range s.Models {
					note := ""
					if m.Simulated {
						note = "simulated"
					}
					rows = append(rows, []string{m.Name, strings.Join(m.Does, ", "), strings.Join(m.Targets, ", "), note})
				}
				list(w, []string{"MODEL", "DOES", "TARGETS", "NOTE"}, rows)
			})
		},
	}
	c.Flags().BoolVar(&discover, "discover", false, "ask the upstreams which models they have, or the one named")
	return c
}

// discover prints what upstreams have.
func (t *terminal) discover(c *cobra.Command, a *client.Admin, upstream string) error {
	found, err := a.Discover(c.Context(), upstream)
	if err != nil {
		return err
	}
	return t.print(map[string][]admin.Discovered{"upstreams": found}, func(w io.Writer) {
		var rows [][]string
		for _, u := range found {
			for _, m := range u.Models {
				rows = append(rows, []string{u.Upstream, m, ""})
			}
			if u.Problem != "" {
				rows = append(rows, []string{u.Upstream, "-", u.Problem})
			}
		}
		list(w, []string{"UPSTREAM", "MODEL", "NOTE"}, rows)
	})
}

func newReloadCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Make the running instance read its configuration again", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := t.instance()
			if err != nil {
				return err
			}
			r, err := a.Reload(c.Context())
			if err != nil {
				if _, ok := errors.AsType[*client.Error](err); ok {
					return &exit{exitConfig, err}
				}
				return err
			}
			return t.print(r, func(w io.Writer) {
				switch len(r.Changes) {
				case 0:
					fmt.Fprintf(w, "generation %d: nothing changed\n", r.Generation)
				default:
					fmt.Fprintf(w, "generation %d: %s\n", r.Generation, strings.Join(r.Changes, ", "))
				}
				if len(r.Restart) > 0 {
					fmt.Fprintf(w, "only a restart takes over: %s\n", strings.Join(r.Restart, ", "))
				}
			})
		},
	}
}

func newRequestsCommand(t *terminal) *cobra.Command {
	var limit int
	var model, fault, key, upstream, origin string
	c := &cobra.Command{
		Use: "requests", Aliases: []string{"records"}, Short: "List the requests that ended last", Args: cobra.NoArgs,
		Example: "  headworks requests --fault abnormal_end\n  headworks requests --limit 5 --json",
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := t.instance()
			if err != nil {
				return err
			}
			found, err := a.Requests(c.Context(), limit, model, upstream, fault, key, origin)
			if err != nil {
				return err
			}
			return t.print(found, func(w io.Writer) {
				var rows [][]string
				for _, r := range found.Requests {
					rows = append(rows, []string{
						time.UnixMicro(r.Time).Format(time.TimeOnly), r.ID, r.Model, r.Upstream,
						measured(r.Total), measured(r.TTFT), fmt.Sprint(r.Input), fmt.Sprint(r.Output), ending(r.End, r.Fault),
					})
				}
				list(w, []string{"TIME", "REQUEST", "MODEL", "UPSTREAM", "MS", "FIRST MS", "IN", "OUT", "END"}, rows)
			})
		},
	}
	f := c.Flags()
	f.IntVar(&limit, "limit", 20, "how many, at most 1000")
	f.StringVar(&model, "model", "", "only of this model")
	f.StringVar(&upstream, "upstream", "", "only of this upstream")
	f.StringVar(&fault, "fault", "", "only with this fault")
	f.StringVar(&key, "key", "", "only of this key's name")
	f.StringVar(&origin, "origin", "", "only of this origin, such as shadow; without it, all but copies for shadows")
	return c
}

func millis(us int64) string {
	if us < 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(us)/1e3)
}

func measured(us *int64) string {
	if us == nil {
		return "-"
	}
	return millis(*us)
}

func ending(end, fault string) string {
	if fault == "none" || fault == end {
		return end
	}
	return end + ": " + fault
}

func dollars(micro int64) string {
	if micro < 0 {
		return "cost unknown"
	}
	return fmt.Sprintf("$%.6f", float64(micro)/1e6)
}

func newExplainCommand(t *terminal) *cobra.Command {
	var d dryRun
	c := &cobra.Command{
		Use: "explain REQUEST-ID | explain --dry-run FILE --config FILE", Short: "Tell why a request went where it went, or where one would go", Args: cobra.MaximumNArgs(1),
		Example: "  headworks explain req_0193...\n" +
			"  headworks explain --dry-run request.json --config headworks.yaml\n" +
			"  headworks explain --dry-run request.json --config headworks.yaml --tier pro --header 'x-headworks-prefer: quality' --json",
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case d.file == "" && len(args) == 0:
				return &exit{exitUsage, errors.New("name a request, or a file with --dry-run; headworks explain --help shows how")}
			case d.file != "" && len(args) > 0:
				return &exit{exitUsage, errors.New("a request that was made has its id, one that is tried has --dry-run: give one of them")}
			case d.file != "":
				return d.run(t)
			}
			if name := d.given(c); name != "" {
				return &exit{exitUsage, fmt.Errorf("--%s is of --dry-run", name)}
			}
			a, err := t.instance()
			if err != nil {
				return err
			}
			e, err := a.Explain(c.Context(), args[0])
			if err != nil {
				return err
			}
			return t.print(e, func(w io.Writer) {
				fmt.Fprintf(w, "%s   model %s   %s   %s\n", e.RequestID, cmp.Or(e.Model, "none that exists"), time.UnixMicro(e.Time).Format(time.DateTime), ending(e.End, e.Fault))
				if e.Arm != "" {
					fmt.Fprintf(w, "arm %s\n", e.Arm)
				}
				if e.ShadowOf != "" {
					fmt.Fprintf(w, "a copy of %s, whose answer nobody got\n", e.ShadowOf)
				}
				if e.From != "" {
					fmt.Fprintf(w, "came from %s, by %s\n", e.From, e.PlacedBy)
				}
				if e.Chosen != nil {
					fmt.Fprintf(w, "went to %s, replica %s: %s\n", e.Chosen.Upstream, e.Chosen.Replica, e.RouteReason)
					if e.Locality != "" && e.Locality != e.RouteReason {
						fmt.Fprintf(w, "served in %s: %s\n", e.At, e.Locality)
					}
				} else if !e.Cache.Given() {
					fmt.Fprintf(w, "went nowhere: %s\n", e.Fault)
				}
				tellEarlier(w, e.Cache)
				if e.GaveUp != "" {
					fmt.Fprintf(w, "no other attempt: %s\n", e.GaveUp)
				}
				fmt.Fprintf(w, "total %s ms, first token %s ms, queue %s ms, ours %s ms; %s in, %d out (%s); %s\n\n",
					millis(e.Total), millis(e.TTFT), millis(e.Queue), millis(e.Overhead), count(int(e.Input), "token"), e.Output, e.UsageSource, dollars(e.Cost))
				if e.Predicted >= 0 {
					fmt.Fprintf(w, "first token of the replica: foreseen after %s ms, came after %s ms\n\n", millis(e.Predicted), millis(e.UpstreamTTFT))
				}
				tellChoice(w, e.Judged, e.Objective)
				tellClassifier(w, e.Classifier)
				tellKnowledge(w, e.Knowledge)
				names := []string{"CANDIDATE", "REPLICA", "SCORE", "IN CACHE", "WHY NOT"}
				if e.Judged != nil {
					names = append(names, "WORTH", "OF WHICH")
				}
				var rows [][]string
				for _, k := range e.Candidates {
					why := k.WhyNot
					if why == "" {
						why = "chosen"
					}
					row := []string{k.Upstream, k.Replica, fmt.Sprintf("%.2f", k.Score), strconv.FormatInt(k.Hit, 10), why}
					if k.Worth != nil {
						row = append(row, fmt.Sprintf("%.2f", *k.Worth), parts(k.Contributions))
					}
					rows = append(rows, row)
				}
				if len(e.Attempts) == 0 && len(rows) == 0 {
					return
				}
				list(w, names, rows)
				fmt.Fprintln(w)
				rows = nil
				for _, k := range e.Attempts {
					rows = append(rows, []string{k.Upstream, k.Replica, millis(k.Start), millis(k.Duration), k.Fault, k.Reason + looked(&k)})
				}
				list(w, []string{"ATTEMPT", "REPLICA", "AT MS", "TOOK MS", "FAULT", "WHY"}, rows)
			})
		},
	}
	d.flags(c)
	return c
}

// tellEarlier says what became of earlier answers to the same request.
func tellEarlier(w io.Writer, e *record.Earlier) {
	switch {
	case e == nil:
		return
	case e.State == "hit":
		fmt.Fprintf(w, "%s cache: an answer made %s before\n", e.Tier, (time.Duration(e.Age) * time.Microsecond).Round(time.Second))
	case e.State == "joined":
		fmt.Fprint(w, "shared the answer to another request for the same\n")
	case e.State == "miss":
		fmt.Fprint(w, "no earlier answer to the same was kept\n")
	case e.WhyNot != "":
		fmt.Fprintf(w, "no earlier answer was looked for: %s\n", e.WhyNot)
	}
	if e.Given() {
		fmt.Fprintf(w, "saved %s, %s\n", count(int(e.SavedTokens), "token"), dollars(e.SavedCost))
	}
}

// tellClassifier says what the model's classifier said.
func tellClassifier(w io.Writer, c *record.Classifier) {
	switch {
	case c == nil:
		return
	case c.Label == "":
		fmt.Fprintf(w, "classifier: no verdict, %s; %s ms\n\n", c.WhyNot, millis(c.Time))
		return
	}
	fmt.Fprintf(w, "classifier: %s; %s ms", c.Label, millis(c.Time))
	if c.Cost != nil {
		fmt.Fprintf(w, ", %s", dollars(*c.Cost))
	}
	fmt.Fprint(w, "\n\n")
}

// tellKnowledge says what an answer rests on.
func tellKnowledge(w io.Writer, g *record.Grounding) {
	if g == nil {
		return
	}
	fmt.Fprintf(w, "knowledge: %s; %s of %s in %s ms", strings.Join(g.Collections, ", "), count(int(g.Passages), "passage"), count(int(g.Tokens), "token"), millis(g.Time))
	if g.WhyNot != "" {
		fmt.Fprintf(w, "; not as it should be: %s", g.WhyNot)
	}
	if g.Citations != nil {
		fmt.Fprintf(w, "; %s", count(int(*g.Citations), "citation"))
	}
	if g.Cited != nil && g.Support != nil {
		fmt.Fprintf(w, " in %.0f %% of the sentences, support %.2f", 100**g.Cited, *g.Support)
	}
	if g.Cost != nil {
		fmt.Fprintf(w, "; rewritten for %s", dollars(*g.Cost))
	}
	fmt.Fprint(w, "\n\n")
}

// looked says why a cascade does not vouch for an answer, and what that took.
func looked(k *record.Tried) (words string) {
	if k.Doubt != "" {
		words = "; unverified: " + k.Doubt
	}
	if k.Input > 0 || k.Output > 0 {
		words += fmt.Sprintf("; %d tokens in, %d out", k.Input, k.Output)
	}
	if k.Cost != nil {
		words += fmt.Sprintf(", $%.6f", float64(*k.Cost)/1e6)
	}
	return words
}
