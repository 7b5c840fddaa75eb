package weaviate

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"headworks/internal/bm25"
	"headworks/internal/passage"
	"headworks/internal/words"
)

// intent says what a change may leave behind, and is written before all else: whatever
// of it no head names once the change is over can be deleted.
type intent struct {
	Began    time.Time `json:"began"`
	Passages []span    `json:"passages"`
	Entries  []string  `json:"entries"` // segments and parts
}

// errTaken is that another gateway wrote the version that was to be written.
var errTaken = errors.New("another gateway changes the collection at the same time; try again")

// change is one being made.
type change struct {
	*state // as it will be
	class  string
	now    time.Time
	name   string // of what it writes; no other change has it
	intent intent
	made   []*record
	from   map[*record]span              // whose passages are written anew, from where
	texts  map[*record][]passage.Passage // whose passages are given
}

// Write implements knowledge.Store. Changes of one space wait for each other.
func (s *Store) Write(ctx context.Context, of passage.Space, c passage.Change) error {
	if len(c.Put)+len(c.Set)+len(c.Remove) == 0 {
		return nil
	}
	class := classOf(of)
	r := s.room(class)
	r.write.Lock()
	defer r.write.Unlock()
	err := errTaken
	for i := 0; i < tries && errors.Is(err, errTaken); i++ {
		err = s.attempt(ctx, of, class, r, c)
	}
	if err != nil {
		return fmt.Errorf("Weaviate: %w", err)
	}
	return nil
}

func (s *Store) attempt(ctx context.Context, of passage.Space, class string, r *room, c passage.Change) error {
	before, err := s.settled(ctx, class)
	if err != nil {
		return err
	}
	if time.Since(r.swept) > abandoned {
		if err := s.recover(ctx, class, before); err != nil {
			return err
		}
		r.swept = time.Now()
	}
	n := &change{state: before.next(), class: class, now: time.Now().UTC(), name: rand.Text(), from: map[*record]span{}, texts: map[*record][]passage.Passage{}}
	n.intent.Began = n.now
	for _, id := range c.Remove {
		n.leave(id)
	}
	for i := range c.Set {
		if err := n.set(&c.Set[i]); err != nil {
			return err
		}
	}
	first := n.Rows
	for i := range c.Put {
		if err := n.put(&c.Put[i]); err != nil {
			return err
		}
	}
	if len(n.made) == 0 {
		return nil
	}
	if n.Born == "" {
		n.Born = n.name
	}
	entries, err := s.pieces(ctx, n, first, of.Words())
	if err != nil {
		return err
	}
	return s.commit(ctx, r, n, before, entries)
}

// settled returns the newest state, also where pieces of an earlier one were deleted
// while it was read.
func (s *Store) settled(ctx context.Context, class string) (n *state, err error) {
	for range tries {
		if n, err = s.state(ctx, class); err == nil || !gone(err) {
			return n, err
		}
	}
	return nil, err
}

// add puts a record of this change in its place.
func (n *change) add(r *record) {
	r.At = n.Version
	for i, o := range n.made { // one change may set and put a document
		if o.ID == r.ID && o.Version == r.Version {
			n.made = slices.Delete(n.made, i, i+1)
			all := slices.Clone(n.versions[r.ID])
			n.versions[r.ID] = slices.DeleteFunc(all, func(p *record) bool { return p == o })
			break
		}
	}
	n.take(r)
	n.made = append(n.made, r)
}

// leave takes a document's passages out; what is known of its version stays.
func (n *change) leave(id string) {
	r := n.current(id)
	if r == nil {
		return
	}
	n.intent.Passages = append(n.intent.Passages, r.span)
	out := *r
	out.Gone, out.span, out.Group, out.Passages = n.now, span{}, "", nil
	n.add(&out)
}

// set changes who may read a document. Its passages are written anew, in the same rows:
// those that are there are of the group that they were of, for whoever searches now.
func (n *change) set(d *passage.Document) error {
	r := n.current(d.ID)
	if r == nil {
		return nil
	}
	g, err := group(d.Readers, d.Attributes)
	if err != nil {
		return err
	}
	next := *r
	next.Readers, next.Attributes, next.Group = d.Readers, d.Attributes, g
	if g != r.Group && r.N > 0 {
		next.Writing = n.name
		n.intent.Passages = append(n.intent.Passages, r.span, next.span)
		n.from[&next] = r.span
	}
	n.add(&next)
	return nil
}

func (n *change) put(w *passage.Whole) error {
	n.leave(w.ID)
	g, err := group(w.Readers, w.Attributes)
	if err != nil {
		return err
	}
	if uint64(n.Rows)+uint64(len(w.Passages)) > maxRows {
		return errors.New("a space has no more than 4,294,967,295 passages, those that were replaced included: make the collection anew")
	}
	r := &record{
		ID: w.ID, Version: w.Version, Source: w.Source, Title: w.Title, Hash: w.Hash[:], Bytes: w.Bytes, Count: len(w.Passages), Attributes: w.Attributes,
		Readers: w.Readers, Added: w.Added, span: span{Writing: n.name, Row: n.Rows, N: len(w.Passages)}, Group: g,
	}
	for i := range w.Passages {
		r.Passages = append(r.Passages, w.Passages[i].ID[:]...)
	}
	n.Rows += uint32(len(w.Passages))
	n.intent.Passages = append(n.intent.Passages, r.span)
	n.texts[r] = w.Passages
	n.add(r)
	return nil
}

// pieces adds the segment and the part of a change to its state, merges the smallest
// where there are many, and returns the objects that hold them.
func (s *Store) pieces(ctx context.Context, n *change, first uint32, in words.Language) (all []object, err error) {
	keep := func(kind string, size int, body []byte) piece {
		o := entry(kind, n.class, "", n.Version, body)
		o.ID = identify(kind, n.class, n.name, strconv.Itoa(len(all)))
		all = append(all, o)
		n.intent.Entries = append(n.intent.Entries, o.ID)
		return piece{o.ID, size}
	}
	if n.Rows > first {
		seg, err := bm25.Build(func(yield func(uint32, bm25.Terms) bool) {
			for _, r := range n.made {
				given := n.texts[r]
				for i := range given {
					if !yield(r.Row+uint32(i), in.Text(given[i].Indexed())) {
						return
					}
				}
			}
		})
		if err != nil {
			return nil, err
		}
		n.Segments = append(n.Segments, keep(segments, int(n.Rows-first), seg.Bytes()))
	}
	body, err := json.Marshal(n.made)
	if err != nil {
		return nil, err
	}
	n.Parts = append(n.Parts, keep(parts, len(n.made), body))
	if old, rest := smallest(n.Segments); old != nil {
		var from []*bm25.Segment
		for _, p := range old {
			body, err := s.bodyOf(ctx, p.ID, all)
			if err != nil {
				return nil, err
			}
			seg, err := bm25.Open(body)
			if err != nil {
				return nil, err
			}
			from = append(from, seg)
		}
		next, err := bm25.Merge(func(_ int, id uint32) (uint32, bool) { return id, n.at(id) != nil }, from...)
		if err != nil {
			return nil, err
		}
		n.Segments = append(rest, keep(segments, next.Len(), next.Bytes()))
		n.intent.Entries = append(n.intent.Entries, ids(old)...)
	}
	if old, rest := smallest(n.Parts); old != nil {
		var one state
		one.versions = map[string][]*record{}
		size := 0
		for _, p := range old {
			body, err := s.bodyOf(ctx, p.ID, all)
			if err != nil {
				return nil, err
			}
			var some []*record
			if err := json.Unmarshal(body, &some); err != nil {
				return nil, errUnread
			}
			for _, r := range some {
				one.take(r)
			}
		}
		var next []*record
		for _, id := range one.index().ids {
			next = append(next, one.versions[id]...)
			size += len(one.versions[id])
		}
		body, err := json.Marshal(next)
		if err != nil {
			return nil, err
		}
		n.Parts = append(rest, keep(parts, size, body))
		n.intent.Entries = append(n.intent.Entries, ids(old)...)
	}
	return all, nil
}

// bodyOf returns what a piece holds that is stored, or is about to be.
func (s *Store) bodyOf(ctx context.Context, id string, pending []object) ([]byte, error) {
	for _, o := range pending {
		if o.ID == id {
			return base64.StdEncoding.DecodeString(o.Properties["body"].(string))
		}
	}
	return s.body(ctx, id)
}

// smallest returns those of many pieces that are merged, and the others; nil where there
// are few.
func smallest(all []piece) (old, rest []piece) {
	if len(all) <= mostPieces {
		return nil, all
	}
	sizes := make([]int, len(all))
	for i, p := range all {
		sizes[i] = p.Size
	}
	slices.Sort(sizes)
	bound := sizes[merged-1]
	for _, p := range all { // rows ascend with the time of writing, as far as nothing was merged before
		if len(old) < merged && p.Size <= bound {
			old = append(old, p)
		} else {
			rest = append(rest, p)
		}
	}
	return old, rest
}

// commit writes what a change consists of, and then the head that names it.
func (s *Store) commit(ctx context.Context, r *room, n *change, before *state, entries []object) error {
	err := s.begin(ctx, n)
	if err != nil {
		return err
	}
	if err = s.fill(ctx, n, len(before.Parts) == 0); err == nil {
		err = s.client.put(ctx, entries)
	}
	ok := false
	if err == nil {
		ok, err = s.raise(ctx, n.class, n.head)
		if err != nil {
			return err // it may stand nevertheless: what it names is left alone
		}
	}
	// Whoever asked may be gone; what no head names is deleted all the same. Where that
	// fails the intent stays, and another change does it later.
	late, stop := context.WithTimeout(context.WithoutCancel(ctx), sweepTime)
	defer stop()
	if !ok {
		swept := s.sweep(late, n.class, &n.intent, before)
		if err != nil {
			return err // what was sent may still arrive there: the intent stays
		}
		if swept == nil {
			_ = s.client.remove(late, register, []string{intentOf(n)}) // one that stays is swept again
		}
		return errTaken
	}
	r.know(n.state)
	if s.sweep(late, n.class, &n.intent, n.state) == nil {
		done := []string{intentOf(n)}
		if n.Version > keptHeads {
			done = append(done, headOf(n.class, n.Version-keptHeads))
		}
		_ = s.client.remove(late, register, done)
	}
	return nil
}

// begin writes the intent of a change.
func (s *Store) begin(ctx context.Context, n *change) error {
	body, err := json.Marshal(n.intent)
	if err != nil {
		return err
	}
	o := entry(intents, n.class, "", uint64(n.now.Unix()), body)
	o.ID = intentOf(n)
	return s.client.put(ctx, []object{o})
}

func intentOf(n *change) string { return identify(intents, n.class, n.name) }

func headOf(class string, version uint64) string {
	return identify(heads, class, strconv.FormatUint(version, 10))
}

// raise writes a head: from then on the space is what it names. False is that its
// version is written already. It is not broken off, so that it stands or does not.
func (s *Store) raise(ctx context.Context, class string, h head) (bool, error) {
	body, err := json.Marshal(h)
	if err != nil {
		return false, err
	}
	o := entry(heads, class, "", h.Version, body)
	o.ID = headOf(class, h.Version)
	return s.client.create(context.WithoutCancel(ctx), o)
}

// fill writes the passages of a change.
func (s *Store) fill(ctx context.Context, n *change, first bool) error {
	if first {
		err := s.client.ensure(ctx, map[string]any{
			"class": n.class, "vectorizer": "none", "vectorIndexType": "hnsw", "invertedIndexConfig": noStopwords,
			"vectorIndexConfig": map[string]any{"distance": "dot", "flatSearchCutoff": cutoff},
			"properties":        []map[string]any{number("row"), word("group"), text("body")},
		})
		if err != nil {
			return err
		}
	}
	var all []object
	add := func(r *record, row uint32, body []byte, vector []float32) error {
		all = append(all, object{Class: n.class, ID: r.object(row), Vector: vector, Properties: map[string]any{"row": row, "group": r.Group, "body": body}})
		if len(all) < batch {
			return nil
		}
		err := s.client.put(ctx, all)
		all = all[:0]
		return err
	}
	for _, r := range n.made {
		given := n.texts[r]
		for i := range given {
			p := &given[i]
			body, err := json.Marshal(stored{Ordinal: p.Ordinal, Title: p.Title, Path: p.Path, Text: p.Text, Start: p.Start, End: p.End, Tokens: p.Tokens})
			if err != nil {
				return err
			}
			if err := add(r, r.Row+uint32(i), body, p.Vector); err != nil {
				return err
			}
		}
		from, ok := n.from[r]
		if !ok {
			continue
		}
		var names []string
		for i := range from.N {
			names = append(names, from.object(from.Row+uint32(i)))
		}
		old, err := s.fetch(ctx, n.class, names, true)
		if err != nil {
			return err
		}
		for i, name := range names {
			p := old[name]
			if p == nil {
				return errMissing
			}
			if err := add(r, r.Row+uint32(i), p.body, p.vector); err != nil {
				return err
			}
		}
	}
	return s.client.put(ctx, all)
}

// sweep deletes what a change left behind that is no part of a state.
func (s *Store) sweep(ctx context.Context, class string, left *intent, n *state) error {
	var passages, entries []string
	for _, p := range left.Passages {
		for i := range p.N {
			row := p.Row + uint32(i)
			if r := n.at(row); r == nil || r.object(row) != p.object(row) {
				passages = append(passages, p.object(row))
			}
		}
	}
	for _, id := range left.Entries {
		is := func(p piece) bool { return p.ID == id }
		if !slices.ContainsFunc(n.Segments, is) && !slices.ContainsFunc(n.Parts, is) {
			entries = append(entries, id)
		}
	}
	if err := s.client.remove(ctx, class, passages); err != nil {
		return err
	}
	return s.client.remove(ctx, register, entries)
}

// recover deletes what changes left behind that broke off.
func (s *Store) recover(ctx context.Context, class string, n *state) error {
	before := time.Now().Add(-abandoned).Unix()
	all, err := s.client.get(ctx, register, fmt.Sprintf("limit:%d", pageSize)+where(equal("kind", intents), equal("space", class), compare("version", "LessThan", uint64(before))), "body _additional{id}")
	if err != nil {
		return err
	}
	for _, o := range all {
		var left intent
		if err := json.Unmarshal(o.Body, &left); err != nil {
			return errUnread
		}
		if len(n.Parts) == 0 { // the class went when the space was dropped
			left.Passages = nil
		}
		if err := s.sweep(ctx, class, &left, n); err != nil {
			return err
		}
		if err := s.client.remove(ctx, register, []string{o.Additional.ID}); err != nil {
			return err
		}
	}
	return nil
}

// Drop implements knowledge.Store. A head without anything stays, so that the versions
// of the space go on.
func (s *Store) Drop(ctx context.Context, of passage.Space) error {
	class := classOf(of)
	r := s.room(class)
	r.write.Lock()
	defer r.write.Unlock()
	err := errTaken
	for i := 0; i < tries && errors.Is(err, errTaken); i++ {
		err = s.drop(ctx, class, r)
	}
	if err != nil {
		return fmt.Errorf("Weaviate: %w", err)
	}
	return nil
}

func (s *Store) drop(ctx context.Context, class string, r *room) error {
	h, err := s.head(ctx, class)
	if err != nil || h.Version == 0 {
		return err
	}
	if len(h.Parts) > 0 {
		h = head{Born: rand.Text(), Version: h.Version + 1}
		if ok, err := s.raise(ctx, class, h); err != nil || !ok {
			if err == nil {
				err = errTaken
			}
			return err
		}
	}
	r.know(&state{head: h})
	if _, err := s.client.do(ctx, http.MethodDelete, "/schema/"+class, nil, nil, http.StatusNotFound); err != nil {
		return err
	}
	text := func(property, value string) map[string]any {
		return map[string]any{"path": []string{property}, "operator": "Equal", "valueText": value}
	}
	number := map[string]any{"path": []string{"version"}, "operator": "LessThan", "valueInt": h.Version}
	for kind, also := range map[string]map[string]any{segments: nil, parts: nil, intents: nil, heads: number} {
		all := []any{text("space", class), text("kind", kind)}
		if also != nil {
			all = append(all, also)
		}
		if err := s.client.removeWhere(ctx, register, map[string]any{"operator": "And", "operands": all}); err != nil {
			return err
		}
	}
	return nil
}
