// Package weaviate keeps the passages of collections in a Weaviate, for several
// gateways at once: vectors and texts in a class for each space, and beside them the
// index of words, in the very segments that the embedded store has, and the list of
// documents, which each gateway reads once and keeps.
//
// Weaviate has no transactions. A change writes new objects beside those that are there,
// and then a head that names what the space consists of: an object whose ID is decided
// by the space's version, so that of two that write the same version one is refused and
// does it anew. What no head names is never found; it is deleted once the head stands,
// and what a gateway left that broke off, an hour later.
//
// Who may read a passage and what a filter chooses is decided by the list of documents,
// before either search. The server is asked for vectors of the groups of documents that
// were chosen (equal readers and attributes are one group), and what it answers is held
// against the list again.
package weaviate

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"headworks/internal/bm25"
	"headworks/internal/passage"
	"headworks/internal/tenant"
	"headworks/internal/words"
)

// register is the class of all that are no passages. Names in it are hashes or
// hexadecimal, so that no analyser reads them as words.
const register = "HeadworksRegister"

// Kinds of objects in it, beside those of knowledge.Register.
const (
	heads    = "head"
	segments = "segment"
	parts    = "part"
	intents  = "intent"
	values   = "value" // the kind of a value of the Register follows
)

// Bounds and thresholds.
const (
	keptSegments = 512 << 20 // bytes of segments that a process keeps
	keptChoices  = 256       // answers to who may read what
	mostPieces   = 16        // segments of a space, and parts, before some are merged
	merged       = 12        // the smallest of them
	keptHeads    = 64        // versions of a space that are told apart when two write at once
	// exactUpTo is how many vectors are compared exactly, in one request; cutoff is what
	// the server is told, with room for objects that are about to be deleted.
	exactUpTo  = 10_000
	cutoff     = 2 * exactUpTo
	mostGroups = 1024   // of one request
	mostFound  = 10_000 // of one request: the server's own bound
	slack      = 32     // asked for beyond those that are wanted
	tries      = 16     // at a state that did not change meanwhile
	pageSize   = 1000
	abandoned  = time.Hour // after which what was begun is not gone on with
	sweepTime  = time.Minute
)

var (
	errUnread  = errors.New("an object of the store is not of the form that is written there: was it changed by something else?")
	errMissing = errors.New("a passage that the list of documents names is not there: was it deleted by something else?")
)

// Store is a knowledge.Store and a knowledge.Register.
type Store struct {
	client *client

	mu       sync.Mutex
	rooms    map[string]*room // by class
	segments bm25.Kept[string]
	choices  map[choice]*chosen
}

// room is what a process knows of a space.
type room struct {
	write sync.Mutex // one change at a time
	swept time.Time  // under write: when what was left there was looked for

	read sync.Mutex
	last *state
}

type choice struct {
	class, born string
	version     uint64
	audience    string
	filter      string
}

// Open opens the store of a Weaviate by its URL and a key, which may be empty, and makes
// what it needs there.
func Open(ctx context.Context, at string, key tenant.Secret) (*Store, error) {
	c, err := newClient(at, key)
	if err != nil {
		return nil, err
	}
	s := &Store{client: c, rooms: map[string]*room{}, segments: bm25.Kept[string]{Most: keptSegments}, choices: map[choice]*chosen{}}
	err = c.ensure(ctx, map[string]any{
		"class": register, "vectorizer": "none", "vectorIndexType": "flat", "invertedIndexConfig": noStopwords,
		"properties": []map[string]any{word("kind"), word("space"), word("name"), number("version"), text("body")},
	})
	if err != nil {
		c.http.CloseIdleConnections()
		return nil, fmt.Errorf("Weaviate: %w", err)
	}
	return s, nil
}

var noStopwords = map[string]any{"stopwords": map[string]any{"preset": "none"}}

func word(name string) map[string]any {
	return map[string]any{"name": name, "dataType": []string{"text"}, "tokenization": "field", "indexFilterable": true, "indexSearchable": false}
}

func number(name string) map[string]any {
	return map[string]any{"name": name, "dataType": []string{"int"}, "indexFilterable": true, "indexRangeFilters": true}
}

func text(name string) map[string]any {
	return map[string]any{"name": name, "dataType": []string{"text"}, "indexFilterable": false, "indexSearchable": false}
}

// Close lets go of the connections.
func (s *Store) Close() error {
	s.client.http.CloseIdleConnections()
	return nil
}

// Get implements knowledge.Register.
func (s *Store) Get(ctx context.Context, kind string, yield func(id string, value []byte) error) error {
	of := equal("kind", values+hex.EncodeToString([]byte(kind)))
	after := ""
	for {
		conditions := []string{of}
		if after != "" {
			conditions = append(conditions, `{path:["name"] operator:GreaterThan valueText:"`+after+`"}`)
		}
		page, err := s.client.get(ctx, register, fmt.Sprintf(`limit:%d sort:[{path:["name"] order:asc}]%s`, pageSize, where(conditions...)), "name body")
		if err != nil {
			return fmt.Errorf("Weaviate: %w", err)
		}
		for _, o := range page {
			id, err := hex.DecodeString(strings.TrimPrefix(o.Name, "n"))
			if err != nil {
				return fmt.Errorf("Weaviate: a name of the register is not ours: %w", err)
			}
			if err := yield(string(id), o.Body); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
		after = page[len(page)-1].Name
	}
}

// Set implements knowledge.Register.
func (s *Store) Set(ctx context.Context, kind, id string, value []byte) (err error) {
	o := entry(values+hex.EncodeToString([]byte(kind)), "", "n"+hex.EncodeToString([]byte(id)), 0, value)
	o.ID = identify(values, kind, id)
	if value == nil {
		_, err = s.client.do(ctx, http.MethodDelete, "/objects/"+register+"/"+o.ID, nil, nil, http.StatusNotFound)
	} else {
		err = s.client.put(ctx, []object{o})
	}
	if err != nil {
		return fmt.Errorf("Weaviate: %w", err)
	}
	return nil
}

// entry returns an object of the register, but for its ID.
func entry(kind, space, name string, version uint64, body []byte) object {
	return object{Class: register, Properties: map[string]any{
		"kind": kind, "space": space, "name": name, "version": version, "body": base64.StdEncoding.EncodeToString(body),
	}}
}

// classOf returns the class of a space's passages.
func classOf(of passage.Space) string {
	sum := digest(of.Collection, of.Embedder)
	return "Headworks_" + hex.EncodeToString(sum[:16])
}

func (s *Store) room(class string) *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[class]
	if r == nil {
		r = &room{}
		s.rooms[class] = r
	}
	return r
}

// head returns the newest head of a space; that of version 0 where there is none.
func (s *Store) head(ctx context.Context, class string) (h head, err error) {
	found, err := s.client.get(ctx, register, `limit:1 sort:[{path:["version"] order:desc}]`+where(equal("kind", heads), equal("space", class)), "body")
	if err != nil || len(found) == 0 {
		return h, err
	}
	if err := json.Unmarshal(found[0].Body, &h); err != nil {
		return h, errUnread
	}
	return h, nil
}

// state returns a space as it is now.
func (s *Store) state(ctx context.Context, class string) (*state, error) {
	h, err := s.head(ctx, class)
	if err != nil {
		return nil, err
	}
	r := s.room(class)
	r.read.Lock()
	defer r.read.Unlock()
	last := r.last
	switch {
	case last == nil || last.Version < h.Version && last.Born != h.Born:
		last = &state{}
	case last.Version >= h.Version: // of versions of a space none comes twice
		return last, nil
	}
	n := last.next()
	n.head = h
	known := ids(last.Parts)
	for _, p := range h.Parts {
		if slices.Contains(known, p.ID) {
			continue
		}
		body, err := s.body(ctx, p.ID)
		if err != nil {
			return nil, err
		}
		var all []*record
		if err := json.Unmarshal(body, &all); err != nil {
			return nil, errUnread
		}
		for _, each := range all {
			n.take(each)
		}
	}
	r.last = n
	return n, nil
}

// know keeps the state that this process wrote.
func (r *room) know(n *state) {
	r.read.Lock()
	defer r.read.Unlock()
	if r.last == nil || r.last.Version < n.Version {
		r.last = n
	}
}

// body returns what a segment or a part holds.
func (s *Store) body(ctx context.Context, id string) ([]byte, error) {
	var o struct {
		Properties struct {
			Body []byte `json:"body"`
		} `json:"properties"`
	}
	_, err := s.client.do(ctx, http.MethodGet, "/objects/"+register+"/"+id, nil, &o)
	return o.Properties.Body, err
}

// reading runs f on the newest state. Where something failed, or f asked the server for
// passages, and the space changed meanwhile, it runs again: what it did not find may
// have been deleted.
func (s *Store) reading(ctx context.Context, of passage.Space, f func(class string, n *state) (asked bool, err error)) error {
	class := classOf(of)
	for range tries {
		n, err := s.state(ctx, class)
		asked := false
		if err == nil {
			if asked, err = f(class, n); err == nil && !asked {
				return nil
			}
		}
		h, failed := s.head(ctx, class)
		switch {
		case failed != nil:
			return fmt.Errorf("Weaviate: %w", failed)
		case n != nil && h.Version == n.Version && h.Born == n.Born:
			if err != nil {
				return fmt.Errorf("Weaviate: %w", err)
			}
			return nil
		case n == nil && !gone(err):
			return fmt.Errorf("Weaviate: %w", err)
		}
	}
	return errors.New("Weaviate: the collection changes faster than it can be searched; try again")
}

// gone reports whether an object that was named is not there.
func gone(err error) bool {
	var r refused
	return errors.As(err, &r) && r.status == http.StatusNotFound
}

// Search implements knowledge.Store.
func (s *Store) Search(ctx context.Context, of passage.Space, q passage.Query) (legs passage.Legs, err error) {
	if of.Dimensions > 0 && q.Vector != nil && len(q.Vector) != of.Dimensions {
		return legs, fmt.Errorf("Weaviate: the vector of a query has %d dimensions, those of the space %d", len(q.Vector), of.Dimensions)
	}
	err = s.reading(ctx, of, func(class string, n *state) (asked bool, err error) {
		legs = passage.Legs{}
		if q.Text != "" {
			legs.Words = []passage.Found{}
		}
		if q.Vector != nil && of.Dimensions > 0 {
			legs.Dense = []passage.Found{}
		}
		c, err := s.choose(class, n, q)
		if err != nil || c.rows.IsEmpty() {
			return false, err
		}
		if q.Text != "" {
			if legs.Words, err = s.byWords(ctx, n, of.Words(), q, c); err != nil {
				return false, err
			}
		}
		if legs.Dense == nil {
			return false, nil
		}
		legs.Dense, err = s.byVector(ctx, class, n, q, c)
		return true, err
	})
	return legs, err
}

// choose returns what a query may find.
func (s *Store) choose(class string, n *state, q passage.Query) (*chosen, error) {
	filter := ""
	if q.Filter != nil {
		b, err := json.Marshal(q.Filter)
		if err != nil {
			return nil, err
		}
		filter = string(b)
	}
	k := choice{class, n.Born, n.Version, q.Audience.Key(), filter}
	s.mu.Lock()
	c := s.choices[k]
	s.mu.Unlock()
	if c != nil {
		return c, nil
	}
	c = n.choose(q.Audience, q.Filter)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.choices) >= keptChoices {
		clear(s.choices)
	}
	s.choices[k] = c
	return c, nil
}

// segment returns a segment of words, from memory where it was read before: one that
// was written never changes.
func (s *Store) segment(ctx context.Context, id string) (*bm25.Segment, error) {
	s.mu.Lock()
	seg := s.segments.Get(id)
	s.mu.Unlock()
	if seg != nil {
		return seg, nil
	}
	body, err := s.body(ctx, id)
	if err != nil {
		return nil, err
	}
	if seg, err = bm25.Open(body); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments.Put(id, seg)
	return seg, nil
}

func (s *Store) byWords(ctx context.Context, n *state, in words.Language, q passage.Query, c *chosen) ([]passage.Found, error) {
	var all []*bm25.Segment
	for _, p := range n.Segments {
		seg, err := s.segment(ctx, p.ID)
		if err != nil {
			return nil, err
		}
		all = append(all, seg)
	}
	found := []passage.Found{}
	for _, h := range bm25.NewIndex(all...).Search(in.Question(q.Text), bm25.View{Allowed: c.rows}, q.N) {
		if r := n.at(h.ID); r != nil {
			found = append(found, passage.Found{Ref: ref(r, h.ID), Score: h.Score})
		}
	}
	passage.Sort(found)
	return found, nil
}

// byVector asks for the nearest vectors, in as many requests as their conditions need:
// the best of all are among the best of each.
func (s *Store) byVector(ctx context.Context, class string, n *state, q passage.Query, c *chosen) ([]passage.Found, error) {
	groups := [][]string{nil}
	if c.groups != nil {
		groups = slices.Collect(slices.Chunk(c.groups, mostGroups))
	}
	pieces := []string{""}
	switch few := c.rows.GetCardinality() <= exactUpTo; {
	case few && c.groups == nil:
		// Without a condition the index is asked, which finds most; with one that chooses
		// few, vectors are compared exactly.
		pieces[0] = compare("row", "GreaterThanEqual", 0)
	case !few && q.Exact:
		pieces = ranges(c.rows)
	}
	found := []passage.Found{}
	for _, g := range groups {
		for _, p := range pieces {
			var conditions []string
			if g != nil {
				conditions = append(conditions, among("group", g))
			}
			if p != "" {
				conditions = append(conditions, p)
			}
			some, err := s.nearest(ctx, class, n, q, c, where(conditions...))
			if err != nil {
				return nil, err
			}
			found = append(found, some...)
		}
	}
	passage.Sort(found)
	return found[:min(q.N, len(found))], nil
}

// ranges returns conditions on rows, each of which chooses few enough to be compared.
func ranges(rows *roaring.Bitmap) (all []string) {
	from := uint32(0)
	for i := uint64(exactUpTo); i < rows.GetCardinality(); i += exactUpTo {
		to, err := rows.Select(uint32(i))
		if err != nil { // there are as many
			break
		}
		all = append(all, "{operator:And operands:["+compare("row", "GreaterThanEqual", uint64(from))+" "+compare("row", "LessThan", uint64(to))+"]}")
		from = to
	}
	return append(all, compare("row", "GreaterThanEqual", uint64(from)))
}

// nearest asks for more until there are as many as are wanted, or no more: some that the
// server finds are no part of the state.
func (s *Store) nearest(ctx context.Context, class string, n *state, q passage.Query, c *chosen, where string) ([]passage.Found, error) {
	v := []byte{'['}
	for i, x := range q.Vector {
		if i > 0 {
			v = append(v, ',')
		}
		v = strconv.AppendFloat(v, float64(x), 'g', -1, 32)
	}
	v = append(v, ']')
	for most := min(q.N+slack, mostFound); ; most = min(4*most, mostFound) {
		all, err := s.client.get(ctx, class, fmt.Sprintf("limit:%d nearVector:{vector:%s}%s", most, v, where), "row _additional{id distance}")
		if err != nil {
			return nil, err
		}
		var found []passage.Found
		for _, o := range all {
			if r := n.at(o.Row); r != nil && c.rows.Contains(o.Row) && r.object(o.Row) == o.Additional.ID {
				found = append(found, passage.Found{Ref: ref(r, o.Row), Score: -o.Additional.Distance}) // by dot product the distance is its opposite
			}
		}
		if len(found) >= q.N || len(all) < most || most == mostFound {
			return found, nil
		}
	}
}

// Load implements knowledge.Store.
func (s *Store) Load(ctx context.Context, of passage.Space, who passage.Audience, refs []passage.Ref, vectors bool) (all []passage.Loaded, err error) {
	err = s.reading(ctx, of, func(class string, n *state) (asked bool, err error) {
		all = nil
		var names []string
		for _, wanted := range refs {
			r := n.current(wanted.Document)
			if r == nil || !who.May(r.Readers) {
				continue
			}
			for i := range r.N {
				if id := r.passage(i); wanted.Passage.IsZero() || wanted.Passage == id {
					all = append(all, passage.Loaded{Document: r.document(), Passage: passage.Passage{ID: id}})
					names = append(names, r.object(r.Row+uint32(i)))
				}
			}
		}
		if len(names) == 0 {
			return false, nil
		}
		found, err := s.fetch(ctx, class, names, vectors)
		if err != nil {
			return true, err
		}
		for i, name := range names {
			all[i].Passage, err = found[name].passage(all[i].Passage.ID)
			if err != nil {
				return true, err
			}
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// stored is a passage as an object holds it.
type stored struct {
	Ordinal int    `json:"ordinal"`
	Title   string `json:"title"`
	Path    string `json:"path"`
	Text    string `json:"text"`
	Start   int    `json:"start"`
	End     int    `json:"end"`
	Tokens  int    `json:"tokens"`

	body   []byte
	vector []float32
}

func (o *stored) passage(id passage.ID) (passage.Passage, error) {
	if o == nil {
		return passage.Passage{}, errMissing
	}
	return passage.Passage{ID: id, Ordinal: o.Ordinal, Title: o.Title, Path: o.Path, Text: o.Text, Start: o.Start, End: o.End, Tokens: o.Tokens, Vector: o.vector}, nil
}

// fetch reads passages by the IDs of their objects.
func (s *Store) fetch(ctx context.Context, class string, names []string, vectors bool) (map[string]*stored, error) {
	fields := "body _additional{id}"
	if vectors {
		fields = "body _additional{id vector}"
	}
	all := map[string]*stored{}
	for some := range slices.Chunk(names, batch) {
		found, err := s.client.get(ctx, class, fmt.Sprintf("limit:%d", batch)+where(among("id", some)), fields)
		if err != nil {
			return nil, err
		}
		for _, o := range found {
			p := &stored{body: o.Body}
			if err := json.Unmarshal(o.Body, p); err != nil {
				return nil, errUnread
			}
			if vectors && len(o.Additional.Vector) > 0 {
				p.vector = o.Additional.Vector
			}
			all[o.Additional.ID] = p
		}
	}
	return all, nil
}

// Documents implements knowledge.Store.
func (s *Store) Documents(ctx context.Context, of passage.Space, p passage.Page) (all []passage.Document, err error) {
	if p.IDs != nil && len(p.IDs) == 0 {
		return nil, nil
	}
	err = s.reading(ctx, of, func(_ string, n *state) (bool, error) {
		all = n.documents(p)
		return false, nil
	})
	return all, err
}

// maxRows bounds the rows of a space: they are the numbers of a segment of words.
const maxRows = math.MaxUint32
