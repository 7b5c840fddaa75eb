package segment

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2"

	"headworks/internal/passage"
	"headworks/internal/rank"
)

// source is a segment file that views share, with its indices. It is closed when the
// last view that has it is gone.
type source struct {
	id   int64
	base uint32 // of the ids of its rows in indices and masks
	file *file
	legs legs
	refs atomic.Int32
}

func (s *source) release() {
	if s.refs.Add(-1) == 0 {
		_ = s.file.free() // a mapping that was made can be unmade
	}
}

// piece is a segment as one view has it.
type piece struct {
	*source
	table *table
}

// vector returns the vector of a row; nil where it has none.
func (s *source) vector(n int) []float32 {
	if s.legs.dense == nil {
		return nil
	}
	if v, ok := s.legs.dense.Vector(nil, s.base+uint32(n)); ok {
		return v
	}
	return nil
}

// view is what is searched of a space at a time. It never changes; who has it holds
// it, and releases it.
type view struct {
	of     passage.Space
	pieces []piece // by base
	index  index
	watch  *watch // of the space
	refs   atomic.Int32

	mu    sync.Mutex // guards masks
	masks map[string]*mask
}

// mask are the rows that an audience may read and a filter chooses, by piece.
type mask struct {
	of     []*roaring.Bitmap // nil: all rows there are
	counts []int
	n      int
}

// mostMasks bounds the masks that a view keeps.
const mostMasks = 128

func (v *view) hold() { v.refs.Add(1) }

func (v *view) release() {
	if v.refs.Add(-1) == 0 {
		for _, p := range v.pieces {
			p.release()
		}
	}
}

// newView returns a view of pieces, which holds them, and is held once.
func newView(of passage.Space, pieces []piece, w *watch) *view {
	slices.SortFunc(pieces, func(a, b piece) int { return cmp.Compare(a.base, b.base) })
	v := &view{of: of, pieces: pieces, watch: w, masks: map[string]*mask{}}
	for _, p := range pieces {
		p.refs.Add(1)
	}
	v.hold()
	v.index = newIndex(pieces)
	return v
}

// segment returns the piece of a segment; nil where this view has none.
func (v *view) segment(id int64) *piece {
	for i := range v.pieces {
		if v.pieces[i].id == id {
			return &v.pieces[i]
		}
	}
	return nil
}

// row returns the piece that a row of the indices is of, and its row there.
func (v *view) row(id uint32) (p *piece, n int, ok bool) {
	i := sort.Search(len(v.pieces), func(i int) bool { return v.pieces[i].base > id }) - 1
	if i < 0 {
		return nil, 0, false
	}
	p = &v.pieces[i]
	n = int(id - p.base)
	return p, n, n < p.file.rows()
}

// mask returns which rows a query may find. One that was asked for before is at hand:
// whatever could change it makes another view.
func (v *view) mask(q *passage.Query) (*mask, error) {
	who := q.Audience.Key()
	key := fmt.Sprintf("%d:%s", len(who), who)
	if q.Filter != nil {
		f, err := json.Marshal(q.Filter)
		if err != nil {
			return nil, fmt.Errorf("segment: %w", err)
		}
		key += string(f)
	}
	v.mu.Lock()
	m := v.masks[key]
	v.mu.Unlock()
	if m != nil {
		return m, nil
	}
	m = &mask{}
	for _, p := range v.pieces {
		bits := roaring.New()
		n := p.table.rows(q.Audience, q.Filter, func(from, to int) {
			bits.AddRange(uint64(p.base)+uint64(from), uint64(p.base)+uint64(to))
		})
		if n == p.file.rows() {
			bits = nil
		} else {
			bits.RunOptimize()
		}
		m.of, m.counts = append(m.of, bits), append(m.counts, n)
		m.n += n
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.masks) >= mostMasks {
		clear(v.masks)
	}
	v.masks[key] = m
	return m, nil
}

// search finds passages by words and by vectors.
func (v *view) search(ctx context.Context, q *passage.Query) (legs passage.Legs, err error) {
	m, err := v.mask(q)
	if err != nil {
		return legs, err
	}
	if q.Text != "" {
		legs.Words = []passage.Found{}
		if m.n > 0 {
			hits, err := v.index.byWords(v.of.Words(), q.Text, m, q.N)
			if err != nil {
				return legs, err
			}
			if legs.Words, err = v.found(hits); err != nil {
				return legs, err
			}
		}
	}
	if err := context.Cause(ctx); err != nil {
		return legs, err
	}
	if q.Vector != nil && v.of.Dimensions > 0 {
		if len(q.Vector) != v.of.Dimensions {
			return legs, fmt.Errorf("segment: a vector of %d numbers, where %d are searched", len(q.Vector), v.of.Dimensions)
		}
		legs.Dense = []passage.Found{}
		if m.n > 0 {
			hits, err := v.index.byVector(q.Vector, m, q.N, q.Exact, v.watch)
			if err != nil {
				return legs, err
			}
			if legs.Dense, err = v.found(hits); err != nil {
				return legs, err
			}
		}
	}
	return legs, nil
}

// found names what indices found. What is not live is left out, though a mask lets
// none of it through.
func (v *view) found(hits []rank.Hit) ([]passage.Found, error) {
	all := make([]passage.Found, 0, len(hits))
	for _, h := range hits {
		p, n, ok := v.row(h.ID)
		if !ok {
			return nil, fmt.Errorf("segment: an index found a row that is not there: %w", errDamaged)
		}
		document, live := p.table.document(n)
		if !live {
			continue
		}
		all = append(all, passage.Found{Ref: passage.Ref{Document: document, Passage: p.file.id(n)}, Score: h.Score})
	}
	passage.Sort(all)
	return all, nil
}

// load reads from the data file what is to be searched of a space. Segment files that
// another view has open are shared with it.
func (s *Store) load(ctx context.Context, id int64, of passage.Space, old *view, w *watch) (*view, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT id, name, base FROM segments WHERE space = ?", id)
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	defer rows.Close()
	var pieces []piece
	for rows.Next() {
		var n int64
		var base uint32
		var name string
		if err := rows.Scan(&n, &name, &base); err != nil {
			return nil, fmt.Errorf("segment: %w", err)
		}
		var src *source
		if old != nil {
			if p := old.segment(n); p != nil {
				src = p.source
			}
		}
		if src == nil {
			if src, err = s.source(n, base, name, of); err != nil {
				return nil, err
			}
			defer release(src) // the view has it by then
		}
		pieces = append(pieces, piece{source: src})
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	for i := range pieces {
		if pieces[i].table, err = s.table(ctx, pieces[i].id); err != nil {
			return nil, err
		}
	}
	return newView(of, pieces, w), nil
}

func release(s *source) { s.release() }

// source opens a segment file, held once.
func (s *Store) source(id int64, base uint32, name string, of passage.Space) (*source, error) {
	f, err := openFile(filepath.Join(s.dir, name), name)
	if err != nil {
		return nil, err
	}
	src := &source{id: id, base: base, file: f}
	src.refs.Store(1)
	if src.legs, err = openLegs(of, f); err != nil {
		src.release()
		return nil, err
	}
	return src, nil
}

// table reads which documents are live in a segment.
func (s *Store) table(ctx context.Context, segment int64) (*table, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT id, first, passages, gone, attributes, readers FROM documents WHERE segment = ? ORDER BY first", segment)
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	defer rows.Close()
	t := newTable()
	var id string
	var first, passages int
	var gone int64
	var attributes, readers sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&id, &first, &passages, &gone, &attributes, &readers); err != nil {
			return nil, fmt.Errorf("segment: %w", err)
		}
		var a passage.Attributes
		var r []string
		if len(attributes) > 2 {
			if err := json.Unmarshal(attributes, &a); err != nil {
				return nil, fmt.Errorf("segment: %w", err)
			}
		}
		if n, ok := t.known[string(readers)]; ok {
			r = t.sets[n]
		} else if err := json.Unmarshal(readers, &r); err != nil {
			return nil, fmt.Errorf("segment: %w", err)
		}
		t.add(id, first, passages, r, a)
		if gone != 0 {
			t.end(first)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	return t, nil
}

// delta is what a change does to a view.
type delta struct {
	ended []spot
	set   []change

	// The segment that is new, where there is one.
	name    string
	segment int64
	base    uint32
	table   *table
	added   *piece
}

// spot is where a document's rows begin.
type spot struct {
	segment int64
	first   int
}

type change struct {
	spot
	readers    []string
	attributes passage.Attributes
}

// with returns a view after a change.
func (v *view) with(d *delta) *view {
	pieces := slices.Clone(v.pieces)
	own := map[int64]*table{}
	changed := func(segment int64) *table {
		if t := own[segment]; t != nil {
			return t
		}
		for i := range pieces {
			if pieces[i].id == segment {
				pieces[i].table = pieces[i].table.clone()
				own[segment] = pieces[i].table
				return pieces[i].table
			}
		}
		return nil
	}
	for _, at := range d.ended {
		if t := changed(at.segment); t != nil {
			t.end(at.first)
		}
	}
	for _, c := range d.set {
		if t := changed(c.segment); t != nil {
			t.change(c.first, c.readers, c.attributes)
		}
	}
	if d.added != nil {
		pieces = append(pieces, *d.added)
	}
	return newView(v.of, pieces, v.watch)
}
