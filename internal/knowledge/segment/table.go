package segment

import (
	"encoding/json"
	"maps"
	"slices"
	"sort"

	"headworks/internal/passage"
)

// table is what searches know of the documents of a segment: whose rows are whose,
// who may read them, and by what they are chosen. Equal sets of readers and equal
// values are kept once. One that is shared is not changed: clone it first.
type table struct {
	ids     []string // of documents, in the order of their rows
	first   []uint32 // row of each; ascending
	count   []uint32 // rows of each
	live    []bool
	dead    int // documents that are not live
	sets    [][]string
	setOf   []uint32 // in sets, of each document
	columns map[string]*column

	known map[string]uint32 // sets by their JSON
}

// column is an attribute of the documents of a segment.
type column struct {
	values []passage.Value
	of     []uint32 // of each document, from 1 in values; 0: it has none
	known  map[passage.Value]uint32
}

func newTable() *table {
	return &table{columns: map[string]*column{}, known: map[string]uint32{}}
}

// add adds a document behind those that are there.
func (t *table) add(id string, first, count int, readers []string, attributes passage.Attributes) {
	at := len(t.ids)
	t.ids = append(t.ids, id)
	t.first = append(t.first, uint32(first))
	t.count = append(t.count, uint32(count))
	t.live = append(t.live, true)
	t.setOf = append(t.setOf, t.set(readers))
	for name, v := range attributes {
		t.column(name).put(at, v)
	}
}

// set returns the place of a set of readers.
func (t *table) set(readers []string) uint32 {
	key, err := json.Marshal(readers)
	if err != nil { // texts always have a form
		return t.set(nil)
	}
	if n, ok := t.known[string(key)]; ok {
		return n
	}
	n := uint32(len(t.sets))
	t.sets = append(t.sets, slices.Clone(readers))
	t.known[string(key)] = n
	return n
}

func (t *table) column(name string) *column {
	c := t.columns[name]
	if c == nil {
		c = &column{known: map[passage.Value]uint32{}}
		t.columns[name] = c
	}
	return c
}

func (c *column) put(at int, v passage.Value) {
	n, ok := c.known[v]
	if !ok {
		c.values = append(c.values, v)
		n = uint32(len(c.values))
		c.known[v] = n
	}
	if at >= len(c.of) {
		c.of = append(c.of, make([]uint32, at+1-len(c.of))...)
	}
	c.of[at] = n
}

// clone returns a table that may be changed.
func (t *table) clone() *table {
	u := *t
	u.live, u.setOf, u.sets, u.known = slices.Clone(t.live), slices.Clone(t.setOf), slices.Clone(t.sets), maps.Clone(t.known)
	u.columns = map[string]*column{}
	for name, c := range t.columns {
		u.columns[name] = &column{values: slices.Clone(c.values), of: slices.Clone(c.of), known: maps.Clone(c.known)}
	}
	return &u
}

// end takes the document whose first row that is out of what is live.
func (t *table) end(first int) {
	if i, ok := t.starting(first); ok && t.live[i] {
		t.live[i] = false
		t.dead++
	}
}

// change gives the document whose first row that is other readers and attributes.
func (t *table) change(first int, readers []string, attributes passage.Attributes) {
	i, ok := t.starting(first)
	if !ok {
		return
	}
	t.setOf[i] = t.set(readers)
	for _, c := range t.columns {
		if i < len(c.of) {
			c.of[i] = 0
		}
	}
	for name, v := range attributes {
		t.column(name).put(i, v)
	}
}

func (t *table) starting(first int) (int, bool) { return slices.BinarySearch(t.first, uint32(first)) }

// document returns the ID of the document that a row is of.
func (t *table) document(row int) (id string, live bool) {
	i := sort.Search(len(t.first), func(i int) bool { return int(t.first[i]) > row }) - 1
	if i < 0 || row >= int(t.first[i]+t.count[i]) {
		return "", false
	}
	return t.ids[i], t.live[i]
}

// rows calls yield with the rows from up to, not including, to of live documents that
// an audience may read and a filter chooses. All of them together are n.
func (t *table) rows(who passage.Audience, f *passage.Filter, yield func(from, to int)) (n int) {
	may := make([]bool, len(t.sets))
	for i, readers := range t.sets {
		may[i] = who.May(readers)
	}
	chosen := t.chooser(f)
	from, to := 0, 0
	for i, first := range t.first {
		if !t.live[i] || !may[t.setOf[i]] || !chosen(i) || t.count[i] == 0 {
			continue
		}
		n += int(t.count[i])
		if int(first) != to {
			if to > from {
				yield(from, to)
			}
			from = int(first)
		}
		to = int(first + t.count[i])
	}
	if to > from {
		yield(from, to)
	}
	return n
}

// chooser returns a function that tells whether a filter chooses a document. Each
// value of an attribute is compared once.
func (t *table) chooser(f *passage.Filter) func(at int) bool {
	if f == nil {
		return func(int) bool { return true }
	}
	if f.Op == passage.And || f.Op == passage.Or {
		var of []func(int) bool
		for i := range f.Of {
			of = append(of, t.chooser(&f.Of[i]))
		}
		all := f.Op == passage.And
		return func(at int) bool {
			for _, g := range of {
				if g(at) != all {
					return !all
				}
			}
			return all
		}
	}
	none := f.MatchValue(passage.Value{}, false)
	c := t.columns[f.Name]
	if c == nil {
		return func(int) bool { return none }
	}
	holds := make([]bool, len(c.values)+1)
	holds[0] = none
	for i, v := range c.values {
		holds[i+1] = f.MatchValue(v, true)
	}
	return func(at int) bool {
		if at >= len(c.of) {
			return none
		}
		return holds[c.of[at]]
	}
}
