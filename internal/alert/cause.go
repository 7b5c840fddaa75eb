package alert

import (
	"cmp"
	"iter"
	"slices"
)

// Sample is what is known of one request: a name for each column, empty where it has
// none.
type Sample []string

// Cause is what many of the bad requests have in common.
type Cause struct {
	Column string  `json:"column"`
	Value  string  `json:"value"`
	Share  float64 `json:"share"` // of the bad requests that have it
	Lift   float64 `json:"lift"`  // how much more often bad requests have it than good ones; 1 is as often
	Bad    int     `json:"bad"`   // that have it
}

// What a cause has to be before it is named.
const (
	causeShare = 0.6
	causeLift  = 3
	maxCauses  = 5
	// mostLift stands where no good request has it at all.
	mostLift = 1000
)

// Causes looks for what bad requests have in common and good ones do not, column by
// column, from the general to the special: of causes that tell as much the special one
// comes first. It returns what tells most first, and whether the first of them is named
// as the cause: most bad requests have it, and it is far more frequent among them.
// Where all requests have one value that cannot be; so a column of owners, which are
// what fails, is named by its share alone.
func Causes(bad, good iter.Seq[Sample], columns []string, owners ...string) (causes []Cause, named bool) {
	bads, all := tally(bad, len(columns))
	goods, well := tally(good, len(columns))
	if all == 0 {
		return nil, false
	}
	for i, column := range columns {
		for value, n := range bads[i] {
			c := Cause{Column: column, Value: value, Share: float64(n) / float64(all), Lift: mostLift, Bad: n}
			if among := goods[i][value]; among > 0 {
				c.Lift = min(c.Share/(float64(among)/float64(well)), mostLift)
			} else if well == 0 {
				c.Lift = 1
			}
			if c.Lift > 1 || slices.Contains(owners, column) {
				causes = append(causes, c)
			}
		}
	}
	slices.SortFunc(causes, func(a, b Cause) int {
		return cmp.Or(
			cmp.Compare(rank(b, owners), rank(a, owners)),
			cmp.Compare(b.Share*min(b.Lift, 10), a.Share*min(a.Lift, 10)),
			cmp.Compare(slices.Index(columns, b.Column), slices.Index(columns, a.Column)),
			cmp.Compare(a.Value, b.Value))
	})
	named = len(causes) > 0 && rank(causes[0], owners) > 0
	return causes[:min(len(causes), maxCauses)], named
}

// tally counts the names of each column.
func tally(samples iter.Seq[Sample], columns int) (counts []map[string]int, n int) {
	counts = make([]map[string]int, columns)
	for i := range counts {
		counts[i] = map[string]int{}
	}
	for s := range samples {
		n++
		for i, v := range s[:columns] {
			if v != "" {
				counts[i][v]++
			}
		}
	}
	return counts, n
}

// rank puts what may be named before what may not.
func rank(c Cause, owners []string) int {
	switch {
	case c.Share < causeShare:
		return 0
	case c.Lift >= causeLift:
		return 2
	case slices.Contains(owners, c.Column):
		return 1
	}
	return 0
}
