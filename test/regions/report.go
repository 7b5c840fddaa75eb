package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what became of all requests, by when they were sent.
type report struct {
	Options options
	Phases  []phase
	Turns   []turn
	Rows    []row
}

// phase is the time from one event to the next.
type phase struct {
	Name string
	From time.Time
}

// turn is when a gateway noticed that us is lost or back.
type turn struct {
	Region string
	State  string
	After  time.Duration // the event
}

// row counts the requests of some callers that were sent in one phase.
type row struct {
	Phase, Home string
	Sent        int
	Whole       int
	Moved       int            // answered by another region than home, of the whole
	Retried     int            // whole at a later attempt of the gateway
	Again       int            // whole at a later try of the caller
	Cut         int            // began, and are not whole
	Silent      int            // of them, without a word that they are not
	Lost        int            // never began
	By          map[string]int // whole answers, by region
	Slowest     time.Duration  // of those that are whole
}

// add counts what became of the requests of callers.
func (r *report) add(home string, calls []Call) {
	for i, p := range r.Phases {
		w := row{Phase: p.Name, Home: home, By: map[string]int{}}
		for _, c := range calls {
			if c.At.Before(p.From) || i+1 < len(r.Phases) && !c.At.Before(r.Phases[i+1].From) {
				continue
			}
			w.count(home, &c)
		}
		r.Rows = append(r.Rows, w)
	}
}

func (w *row) count(home string, c *Call) {
	w.Sent++
	switch {
	case c.Whole:
		w.Whole++
		w.By[c.Region]++
		w.Slowest = max(w.Slowest, c.Took)
		if c.Region != home && home != named {
			w.Moved++
		}
		if c.Attempts > 1 {
			w.Retried++
		}
		if c.Tries > 1 {
			w.Again++
		}
	case c.Began:
		w.Cut++
		if !c.Said {
			w.Silent++
		}
	default:
		w.Lost++
	}
}

// named is where callers are at home who know the one name.
const named = "the one name"

func (r *report) print(to io.Writer) error {
	fmt.Fprintf(to, "Three regions, %v between each two and back (10ms more to ap), %v requests a second of the callers of each and of those who know the one name; us cut off for %v.\n\n", r.Options.Trip, r.Options.Rate, r.Options.Cut)
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "requests sent while\tby callers of\tsent\twhole\tmoved\tretried\tsent again\tcut\tsilently\tlost\tslowest\tanswered by")
	for _, p := range r.Phases {
		for _, w := range r.Rows {
			if w.Phase != p.Name {
				continue
			}
			var by []string
			for region, n := range w.By {
				by = append(by, fmt.Sprint(region, " ", n))
			}
			slices.Sort(by)
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%v\t%s\n", w.Phase, w.Home, w.Sent, w.Whole, w.Moved, w.Retried, w.Again, w.Cut, w.Silent, w.Lost, w.Slowest.Round(10*time.Millisecond), strings.Join(by, ", "))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(to)
	for _, n := range r.Turns {
		fmt.Fprintf(to, "%s noticed that us is %s %v after the event\n", n.Region, n.State, n.After.Round(10*time.Millisecond))
	}
	return nil
}

// turns returns when a gateway noticed that us was lost and that it was back, from its
// log, after the events that were so.
func turns(region, log string, phases []phase) (all []turn) {
	for line := range strings.Lines(log) {
		var l struct {
			Time time.Time
			Msg  string
			Cell string
		}
		state, ok := "", false
		if json.Unmarshal([]byte(line), &l) == nil {
			state, ok = strings.CutPrefix(l.Msg, "a cell is ")
		}
		if !ok || l.Cell != "us" {
			continue
		}
		for _, p := range slices.Backward(phases) {
			if l.Time.After(p.From) {
				all = append(all, turn{region, state, l.Time.Sub(p.From)})
				break
			}
		}
	}
	return all
}
