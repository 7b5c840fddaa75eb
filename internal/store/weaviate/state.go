package weaviate

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"headworks/internal/passage"
)

// head is what a space is at one version. All that it names is written before it is,
// and never changed: a search that has read it sees one state, whatever is written
// meanwhile.
type head struct {
	Born     string  `json:"born"` // differs where a space was dropped and made anew
	Version  uint64  `json:"version"`
	Rows     uint32  `json:"rows"` // the number of the next row
	Segments []piece `json:"segments"`
	Parts    []piece `json:"parts"`
}

// piece names an object: a segment of words, or a part of the list of documents.
type piece struct {
	ID   string `json:"id"`
	Size int    `json:"size"` // passages or records in it
}

func ids(all []piece) (names []string) {
	for _, p := range all {
		names = append(names, p.ID)
	}
	return names
}

// record is what is kept of a version of a document. Of two records of the same
// version, the one that was written later holds.
type record struct {
	ID         string             `json:"id"`
	Version    uint64             `json:"version"`
	Source     string             `json:"source"`
	Title      string             `json:"title"`
	Hash       []byte             `json:"hash"`
	Bytes      int64              `json:"bytes"`
	Count      int                `json:"count"`
	Attributes passage.Attributes `json:"attributes"`
	Readers    []string           `json:"readers"`
	Added      time.Time          `json:"added"`
	Gone       time.Time          `json:"gone,omitzero"`
	At         uint64             `json:"at"` // the version of the space that wrote it
	span
	Group    string `json:"group,omitempty"`    // of its readers and attributes
	Passages []byte `json:"passages,omitempty"` // their IDs, one after the other
}

// span is the objects of a document's passages: rows of one writing.
type span struct {
	Writing string `json:"writing,omitempty"`
	Row     uint32 `json:"row"` // of the first
	N       int    `json:"n"`
}

// object returns the ID of the object of a row.
func (s span) object(row uint32) string {
	return identify("passage", s.Writing, strconv.FormatUint(uint64(row), 10))
}

func (r *record) live() bool { return r.Gone.IsZero() }

func (r *record) passage(i int) passage.ID { return passage.ID(r.Passages[16*i : 16*i+16]) }

func (r *record) document() passage.Document {
	return passage.Document{
		ID: r.ID, Source: r.Source, Title: r.Title, Version: r.Version, Hash: passage.Hash(r.Hash), Bytes: r.Bytes, Passages: r.Count,
		Attributes: r.Attributes, Readers: r.Readers, Added: r.Added.UTC(), Gone: r.Gone.UTC(),
	}
}

// group names what decides who finds a document: equal readers and attributes have the
// same name, so that a query asks for names instead of for readers and filters.
func group(readers []string, a passage.Attributes) (string, error) {
	b, err := json.Marshal(a) // names of attributes in order
	if err != nil {
		return "", err
	}
	r := slices.Sorted(slices.Values(readers))
	sum := digest(append(slices.Compact(r), string(b))...)
	return hex.EncodeToString(sum[:16]), nil
}

// state is a space at one version. It is never changed.
type state struct {
	head
	versions map[string][]*record // by document, the newest version first

	once   sync.Once
	looked index
}

// index is what a state is searched by.
type index struct {
	ids    []string  // of documents, in order
	rows   []*record // those that are live and have passages, by row
	groups int
}

// next returns a state that can be changed, of the version after this one.
func (s *state) next() *state {
	n := &state{head: s.head, versions: maps.Clone(s.versions)}
	n.Segments, n.Parts = slices.Clone(n.Segments), slices.Clone(n.Parts)
	if n.versions == nil {
		n.versions = map[string][]*record{}
	}
	n.Version++
	return n
}

// take puts a record in its place, if none that is as new stands there.
func (s *state) take(r *record) {
	all := s.versions[r.ID]
	i := slices.IndexFunc(all, func(o *record) bool { return o.Version <= r.Version })
	switch {
	case i < 0:
		all = append(slices.Clone(all), r)
	case all[i].Version != r.Version:
		all = slices.Insert(slices.Clone(all), i, r)
	case all[i].At >= r.At:
		return
	default:
		all = slices.Clone(all)
		all[i] = r
	}
	s.versions[r.ID] = all
}

// current returns the version of a document that is there; nil: there is none.
func (s *state) current(id string) *record {
	for _, r := range s.versions[id] {
		if r.live() {
			return r
		}
	}
	return nil
}

func (s *state) index() *index {
	s.once.Do(func() {
		x := &s.looked
		x.ids = slices.Sorted(maps.Keys(s.versions))
		groups := map[string]bool{}
		for id := range s.versions {
			if r := s.current(id); r != nil && r.N > 0 {
				x.rows = append(x.rows, r)
				groups[r.Group] = true
			}
		}
		slices.SortFunc(x.rows, func(a, b *record) int { return cmp.Compare(a.Row, b.Row) })
		x.groups = len(groups)
	})
	return &s.looked
}

// at returns the document that a row is of; nil: it is of none any more.
func (s *state) at(row uint32) *record {
	rows := s.index().rows
	i, ok := slices.BinarySearchFunc(rows, row, func(r *record, row uint32) int { return cmp.Compare(r.Row, row) })
	if !ok {
		i--
	}
	if i < 0 || int(row-rows[i].Row) >= rows[i].N {
		return nil
	}
	return rows[i]
}

// ref returns the passage that a row is; r is the document it is of.
func ref(r *record, row uint32) passage.Ref {
	return passage.Ref{Document: r.ID, Passage: r.passage(int(row - r.Row))}
}

// chosen is what a query may find.
type chosen struct {
	rows   *roaring.Bitmap
	groups []string // that they are of; nil: all groups of the space
}

// choose asks of each group what Audience.May and Filter.Match say, once.
func (s *state) choose(who passage.Audience, f *passage.Filter) *chosen {
	c := &chosen{rows: roaring.New()}
	may := map[string]bool{}
	for _, r := range s.index().rows {
		ok, known := may[r.Group]
		if !known {
			ok = who.May(r.Readers) && f.Match(r.Attributes)
			may[r.Group] = ok
			if ok {
				c.groups = append(c.groups, r.Group)
			}
		}
		if ok {
			c.rows.AddRange(uint64(r.Row), uint64(r.Row)+uint64(r.N))
		}
	}
	if len(c.groups) == s.index().groups {
		c.groups = nil
	}
	c.rows.RunOptimize()
	return c
}

// documents lists documents.
func (s *state) documents(p passage.Page) (all []passage.Document) {
	ids := s.index().ids
	if p.IDs != nil {
		ids = slices.Compact(slices.Sorted(slices.Values(p.IDs)))
	}
	i, found := slices.BinarySearch(ids, p.After)
	if found {
		i++
	}
	for _, id := range ids[i:] {
		for _, r := range s.versions[id] {
			if p.N > 0 && len(all) == p.N {
				return all
			}
			if p.History || r.live() {
				all = append(all, r.document())
			}
		}
	}
	return all
}
