// Package card knows what well-known models of the providers cost, how much they
// read and write at most, and what else they can do: a table inside the binary, of
// one date. It says what is on record, no more: a model that is not there, and what
// of one is not there, is unknown.
package card

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"headworks/internal/catalog"
	"headworks/internal/inference"
)

// Date is the day whose prices the table has.
const Date = "2026-07-02"

// Card is what is known of a model.
type Card struct {
	Kind      string // of upstream
	Model     string // as that calls it
	Price     inference.Price
	Cached    Cached
	Window    int // tokens; 0 is not known
	Output    int // tokens of the longest answer; 0 is not known
	Abilities inference.Abilities
	Released  int64 // Unix seconds
}

// Cached tells which prices of the cache are on record.
type Cached struct{ Read, Write, WriteHour bool }

// Cards are all cards, sorted by kind and model.
type Cards []Card

// columns are those of the table, behind kind and model.
const columns = "input output cache_read cache_write cache_write_1h above long_input long_output long_cache_read window output_max abilities released"

// All reads the table. The error says which line is none.
func All() (Cards, error) {
	var all Cards
	head := "kind\tmodel\t" + strings.ReplaceAll(columns, " ", "\t")
	n := 0
	for line := range strings.Lines(table) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' || line == head {
			continue
		}
		c, err := parse(line)
		if err != nil {
			return nil, fmt.Errorf("model card, line %d: %w", n, err)
		}
		all = append(all, c)
	}
	slices.SortFunc(all, compare)
	return all, nil
}

func compare(a, b Card) int {
	if c := strings.Compare(a.Kind, b.Kind); c != 0 {
		return c
	}
	return strings.Compare(a.Model, b.Model)
}

func parse(line string) (Card, error) {
	f := strings.Split(line, "\t")
	if want := len(strings.Fields(columns)) + 2; len(f) != want {
		return Card{}, fmt.Errorf("%d columns, not %d", len(f), want)
	}
	r := row{}
	c := Card{Kind: f[0], Model: f[1]}
	p := &c.Price
	p.Input, p.Known = r.float(f[2])
	p.Output, _ = r.float(f[3])
	p.CacheRead, c.Cached.Read = r.float(f[4])
	p.CacheWrite, c.Cached.Write = r.float(f[5])
	p.CacheWriteHour, c.Cached.WriteHour = r.float(f[6])
	p.Above = r.int(f[7])
	p.Long.Input, _ = r.float(f[8])
	p.Long.Output, _ = r.float(f[9])
	var long bool
	p.Long.CacheRead, long = r.float(f[10])
	if !long {
		p.Long.CacheRead = p.Long.Input
	}
	if !c.Cached.Read {
		p.CacheRead = p.Input
	}
	if !c.Cached.Write {
		p.CacheWrite = p.Input
	}
	if !c.Cached.WriteHour {
		p.CacheWriteHour = p.CacheWrite
	}
	c.Window, c.Output = r.int(f[11]), r.int(f[12])
	var ok bool
	if f[13] != "-" {
		if c.Abilities, ok = inference.ParseAbilities(strings.Split(f[13], ",")); !ok {
			return c, fmt.Errorf("abilities %q", f[13])
		}
	}
	day, err := time.Parse(time.DateOnly, f[14])
	if err != nil {
		return c, err
	}
	c.Released = day.Unix()
	return c, r.err
}

// row reads the numbers of a line; the first that is none stays in err.
type row struct{ err error }

func (r *row) float(s string) (x float64, known bool) {
	if s == "-" {
		return 0, false
	}
	x, err := strconv.ParseFloat(s, 64)
	if r.err == nil {
		r.err = err
	}
	return x, true
}

func (r *row) int(s string) int {
	if s == "-" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if r.err == nil {
		r.err = err
	}
	return n
}

// Find returns the card of a kind's model: of exactly that name, or else of the name
// without the date at its end, as -2025-08-07 and -20250807 are.
func (all Cards) Find(kind, model string) (Card, bool) {
	for _, name := range [...]string{model, undated(model)} {
		i, ok := slices.BinarySearchFunc(all, Card{Kind: kind, Model: name}, compare)
		if ok {
			return all[i], true
		}
	}
	return Card{}, false
}

// Of returns the card of a model at an upstream: only a provider itself has its
// prices, whoever else speaks as it does has others.
func (all Cards) Of(kind string, urls []string, model string) (Card, bool) {
	k, ok := catalog.Find(kind)
	if !ok || k.BuiltIn {
		return Card{}, false
	}
	for _, u := range urls {
		if k.URL != "" && host(u) != host(k.URL) {
			return Card{}, false
		}
	}
	return all.Find(kind, model)
}

func host(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func undated(model string) string {
	for _, layout := range [...]string{time.DateOnly, "20060102"} {
		at := len(model) - len(layout) - 1
		if at <= 0 || model[at] != '-' {
			continue
		}
		if _, err := time.Parse(layout, model[at+1:]); err == nil {
			return model[:at]
		}
	}
	return model
}
