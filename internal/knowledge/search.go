package knowledge

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"headworks/internal/fault"
	"headworks/internal/passage"
	"headworks/internal/rank"
	"headworks/internal/tenant"
)

// Ranker is how passages are put in order.
type Ranker uint8

// The rankers.
const (
	Hybrid Ranker = iota // words and vectors, fused
	BM25                 // words
	Dense                // vectors
	rankers
)

var rankerNames = [rankers]string{"hybrid", "bm25", "dense"}

func (r Ranker) String() string { return rankerNames[min(r, rankers-1)] }

// ParseRanker returns the ranker of that name; of none, Hybrid.
func ParseRanker(name string) (Ranker, bool) {
	if name == "" {
		return Hybrid, true
	}
	i := slices.Index(rankerNames[:], name)
	return Ranker(max(i, 0)), i >= 0
}

// Query is what is searched for.
type Query struct {
	Text   string
	Vector []float32 // of Text, where the caller has it already; nil: it is made
	K      int       // passages, at most MostHits; 0: 10
	Filter *passage.Filter
	Ranker Ranker
	Rerank string // model that puts the best in order again; empty: none
	Fold   bool   // of each document its best passage alone
	Next   bool   // by the vectors to which a collection is being moved, alone
	Bare   bool   // hits of ids and scores alone: to measure by, not to show

	Alpha *float64 // what vectors count beside words, 0 to 1; nil: what the collections say
}

// MostHits bounds the passages of one search.
const MostHits = 1000

const (
	usualHits   = 10
	maxQuestion = 64 << 10 // bytes
	// rerankHits are reranked, within rerankTime.
	rerankHits = 50
	rerankTime = 300 * time.Millisecond
	// mostCollections bounds what one search asks.
	mostCollections = 32
)

// Legs are the scores of a passage by words and by vectors; 0 where a leg did not
// find it.
type Legs struct {
	BM25  float64 `json:"bm25"`
	Dense float64 `json:"dense"`
}

// Hit is a passage that answers a question.
type Hit struct {
	Collection string             `json:"collection"` // its name, or its ID where it has none
	Document   string             `json:"document"`
	Chunk      string             `json:"chunk"`
	Version    uint64             `json:"version"`
	Source     string             `json:"source,omitempty"`
	Title      string             `json:"title"`
	Path       string             `json:"path,omitempty"`
	Text       string             `json:"text"`
	Start      int                `json:"start"`
	End        int                `json:"end"`
	Tokens     int                `json:"tokens"`
	Score      float64            `json:"score"`
	Legs       Legs               `json:"legs"`
	Attributes passage.Attributes `json:"attributes,omitempty"`
}

// Answer is what a search found.
type Answer struct {
	Hits     []Hit  `json:"hits"`
	Degraded string `json:"degraded,omitempty"` // what is missing of the answer, and why
}

// Search finds the passages that answer a question, of those that the caller may read.
// Its errors are *fault.Error.
func (k *Knowledge) Search(ctx context.Context, caller *tenant.Caller, collections []string, q Query) (Answer, error) {
	return k.SearchAs(ctx, By(caller), By(caller).Audience(), collections, q)
}

// SearchAs is Search on behalf of an audience, in collections that somebody may know
// of.
func (k *Knowledge) SearchAs(ctx context.Context, by Who, who passage.Audience, collections []string, q Query) (a Answer, err error) {
	q.K = cmp.Or(q.K, usualHits)
	switch {
	case q.K < 1 || q.K > MostHits:
		return a, fault.New(fault.InvalidRequest, fmt.Sprintf("a search returns 1 to %d passages", MostHits))
	case strings.TrimSpace(q.Text) == "" && q.Vector == nil:
		return a, fault.New(fault.InvalidRequest, "there is no question to search for")
	case len(q.Text) > maxQuestion:
		return a, fault.New(fault.InvalidRequest, fmt.Sprintf("a question has at most %d KiB", maxQuestion>>10))
	case len(collections) == 0 || len(collections) > mostCollections:
		return a, fault.New(fault.InvalidRequest, fmt.Sprintf("name 1 to %d collections to search", mostCollections))
	}
	s := &search{k: k, q: &q, by: by, who: who, vectors: map[string][]float32{}}
	for _, name := range collections {
		c, err := k.find(by, name)
		if err != nil {
			return a, err
		}
		if q.Next {
			if c.Next == nil {
				return a, fault.New(fault.InvalidRequest, "this collection is not being moved to another embedder")
			}
			next := *c
			next.Embedder, next.Next = *c.Next, nil
			c = &next
		}
		if slices.ContainsFunc(s.of, func(o *Collection) bool { return o.ID == c.ID }) {
			continue
		}
		s.of = append(s.of, c)
	}
	found, err := s.recalled(func() ([]found, error) {
		all, err := s.run(ctx)
		if err == nil && q.Rerank != "" {
			all, err = s.reranked(ctx, all)
		}
		return all, err
	})
	if err != nil {
		return a, err
	}
	if q.Bare {
		a.Hits = s.bare(found[:min(q.K, len(found))])
	} else if a.Hits, err = s.load(ctx, found, q.K); err != nil {
		return a, err
	}
	a.Degraded = strings.Join(slices.Compact(s.degraded), "; ")
	return a, nil
}

// search is a search under way.
type search struct {
	k        *Knowledge
	q        *Query
	by       Who
	who      passage.Audience
	of       []*Collection
	vectors  map[string][]float32 // of the question, by embedder
	degraded []string
}

// found is a passage of one of the collections.
type found struct {
	passage.Ref
	in    int // of search.of
	score float64
	legs  Legs
}

// run searches all collections and puts what they gave in one order.
func (s *search) run(ctx context.Context) ([]found, error) {
	n := max(s.q.K, rank.Depth)
	if s.q.Fold {
		n = min(2*n, 2*MostHits) // several passages of one document count once
	}
	all := map[spot]*found{}
	var words, dense []*found
	for i, c := range s.of {
		q := passage.Query{N: n, Audience: s.who, Filter: s.q.Filter}
		if s.q.Ranker != Dense {
			q.Text = s.q.Text
		}
		if s.q.Ranker != BM25 {
			v, err := s.vector(ctx, c)
			switch {
			case err != nil && ctx.Err() != nil:
				return nil, err
			case err != nil && s.q.Ranker == Dense:
				return nil, err
			case err != nil:
				s.degraded = append(s.degraded, "searched by words alone: the embedder did not answer")
			case c.Embedder == (passage.Identity{}) && s.q.Ranker == Dense:
				return nil, fault.New(fault.InvalidRequest, "this collection has no embedder; search it with the ranker bm25")
			}
			q.Vector = v
		}
		if q.Text == "" && q.Vector == nil {
			continue
		}
		legs, err := s.k.o.Store.Search(ctx, c.space(), q)
		if err != nil {
			return nil, err
		}
		if c.Next != nil && s.q.Ranker != BM25 {
			if err := s.both(ctx, c, q, &legs); err != nil {
				return nil, err
			}
		}
		at := func(f passage.Found) *found {
			p := spot{i, f.Ref}
			if all[p] == nil {
				all[p] = &found{Ref: f.Ref, in: i}
			}
			return all[p]
		}
		for _, f := range legs.Words {
			x := at(f)
			x.legs.BM25 = f.Score
			words = append(words, x)
		}
		for _, f := range legs.Dense {
			x := at(f)
			x.legs.Dense = f.Score
			dense = append(dense, x)
		}
	}
	return s.order(all, words, dense), nil
}

// spot is a passage of one of the collections of a search.
type spot struct {
	In  int
	Ref passage.Ref
}

// lexicalAlpha is what vectors of the built-in embedder count beside words: they find
// little that words do not. On CACM rank.Alpha costs .015 MAP there, this nothing.
const lexicalAlpha = 0.1

// alpha returns what vectors count beside words in this search.
func (s *search) alpha() float64 {
	if s.q.Alpha != nil {
		return min(max(*s.q.Alpha, 0), 1)
	}
	least := 1.0
	for _, c := range s.of {
		least = min(least, c.VectorShare())
	}
	return least
}

// VectorShare returns what vectors count beside words in a search by both.
func (c *Collection) VectorShare() float64 {
	switch {
	case c.Alpha != nil:
		return *c.Alpha
	case c.Embedder.Provider == Lexical:
		return lexicalAlpha
	}
	return rank.Alpha
}

// order gives each passage its score and puts them in order: those that are too far
// down to be fused by words, then by vectors, and equals by document and passage.
func (s *search) order(all map[spot]*found, words, dense []*found) []found {
	byWords := func(f *found) float64 { return f.legs.BM25 }
	byDense := func(f *found) float64 { return f.legs.Dense }
	switch {
	case s.q.Ranker == BM25 || len(dense) == 0:
		for _, f := range words {
			f.score = f.legs.BM25
		}
	case s.q.Ranker == Dense || len(words) == 0:
		for _, f := range dense {
			f.score = f.legs.Dense
		}
	default:
		alpha := s.alpha()
		stretch(words, byWords, 1-alpha)
		stretch(dense, byDense, alpha)
	}
	list := make([]found, 0, len(all))
	for _, f := range all {
		list = append(list, *f)
	}
	slices.SortFunc(list, func(a, b found) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(b.legs.BM25, a.legs.BM25), cmp.Compare(b.legs.Dense, a.legs.Dense), cmp.Compare(a.in, b.in), cmp.Compare(a.Document, b.Document), a.Passage.Compare(b.Passage))
	})
	if s.q.Fold {
		seen := map[spot]bool{}
		list = slices.DeleteFunc(list, func(f found) bool {
			p := spot{f.in, passage.Ref{Document: f.Document}}
			again := seen[p]
			seen[p] = true
			return again
		})
	}
	return list
}

// stretch adds to scores what the passages of a leg count in it, times weight.
func stretch(leg []*found, by func(*found) float64, weight float64) {
	slices.SortStableFunc(leg, func(a, b *found) int { return cmp.Compare(by(b), by(a)) })
	scores := make([]float64, len(leg))
	for i, f := range leg {
		scores[i] = by(f)
	}
	for i, share := range rank.Stretch(scores) {
		leg[i].score += weight * share
	}
}

// vector returns the vector of the question for a collection; nil where it has none.
func (s *search) vector(ctx context.Context, c *Collection) ([]float32, error) {
	if c.Embedder == (passage.Identity{}) {
		return nil, nil
	}
	if s.q.Vector != nil {
		if len(s.q.Vector) != c.Embedder.Dim {
			return nil, fault.New(fault.InvalidRequest, fmt.Sprintf("the vector has %d numbers, where this collection has %d", len(s.q.Vector), c.Embedder.Dim))
		}
		return s.q.Vector, nil
	}
	key := c.Embedder.Key()
	if v, ok := s.vectors[key]; ok {
		return v, nil
	}
	v, err := s.k.o.Embedders.Embed(ctx, c.Embedder, Texts{Of: []string{s.q.Text}, Question: true, For: s.by.caller})
	if err != nil {
		return nil, err
	}
	if len(v) != 1 || v[0] != nil && len(v[0]) != c.Embedder.Dim {
		return nil, fault.New(fault.Mismatch, "the embedder returned a vector of another length than this collection has: it is another one than it was")
	}
	s.vectors[key] = v[0]
	return v[0], nil
}

// both adds what the vectors find to which a collection is being moved: passages that
// the old ones do not find, or not without their embedder. Each leg's scores are
// stretched over those of the other, since two embedders' do not compare.
func (s *search) both(ctx context.Context, c *Collection, q passage.Query, legs *passage.Legs) error {
	next := *c
	next.Embedder = *c.Next
	if s.q.Vector != nil || next.Embedder == (passage.Identity{}) {
		return nil
	}
	v, err := s.vector(ctx, &next)
	if err != nil || v == nil {
		return ctx.Err() // the old ones are searched all the same
	}
	q.Text, q.Vector = "", v
	found, err := s.k.o.Store.Search(ctx, next.space(), q)
	if err != nil {
		return err
	}
	if len(legs.Dense) == 0 {
		legs.Dense = found.Dense
		return nil
	}
	seen := map[passage.Ref]bool{}
	for _, f := range legs.Dense {
		seen[f.Ref] = true
	}
	high, low := legs.Dense[0].Score, legs.Dense[len(legs.Dense)-1].Score
	for _, f := range found.Dense {
		if seen[f.Ref] {
			continue
		}
		top, bottom := found.Dense[0].Score, found.Dense[len(found.Dense)-1].Score
		if top > bottom {
			f.Score = low + (high-low)*(f.Score-bottom)/(top-bottom)
		} else {
			f.Score = low
		}
		legs.Dense = append(legs.Dense, f)
	}
	return nil
}

// bare makes hits of what was found without reading it.
func (s *search) bare(some []found) []Hit {
	hits := make([]Hit, 0, len(some))
	for _, f := range some {
		c := s.of[f.in]
		hits = append(hits, Hit{Collection: cmp.Or(c.Name, c.ID), Document: f.Document, Chunk: f.Passage.String(), Score: f.score, Legs: f.legs})
	}
	return hits
}

// load reads the best of what was found. What went meanwhile is left out.
func (s *search) load(ctx context.Context, all []found, want int) ([]Hit, error) {
	hits := make([]Hit, 0, min(want, len(all)))
	for len(all) > 0 && len(hits) < want {
		n := min(want-len(hits), len(all))
		some, err := s.loadSome(ctx, all[:n])
		if err != nil {
			return nil, err
		}
		hits, all = append(hits, some...), all[n:]
	}
	return hits, nil
}

func (s *search) loadSome(ctx context.Context, some []found) ([]Hit, error) {
	loaded := map[spot]*passage.Loaded{}
	for i, c := range s.of {
		var refs []passage.Ref
		for _, f := range some {
			if f.in == i {
				refs = append(refs, f.Ref)
			}
		}
		if len(refs) == 0 {
			continue
		}
		got, err := s.k.o.Store.Load(ctx, c.space(), s.who, refs, false)
		if err != nil {
			return nil, err
		}
		for j := range got {
			loaded[spot{i, passage.Ref{Document: got[j].Document.ID, Passage: got[j].Passage.ID}}] = &got[j]
		}
	}
	var hits []Hit
	for _, f := range some {
		l := loaded[spot{f.in, f.Ref}]
		if l == nil {
			continue
		}
		c := s.of[f.in]
		hits = append(hits, Hit{
			Collection: cmp.Or(c.Name, c.ID), Document: l.Document.ID, Chunk: l.Passage.ID.String(), Version: l.Document.Version,
			Source: l.Document.Source, Title: l.Document.Title, Path: l.Passage.Path, Text: l.Passage.Text,
			Start: l.Passage.Start, End: l.Passage.End, Tokens: l.Passage.Tokens, Score: f.score, Legs: f.legs, Attributes: l.Document.Attributes,
		})
	}
	return hits, nil
}

// reranked puts what was found in the order that a model gives it.
func (s *search) reranked(ctx context.Context, all []found) ([]found, error) {
	hits, err := s.load(ctx, all, max(s.q.K, rerankHits))
	if err != nil || len(hits) < 2 {
		return all, err
	}
	s.rerank(ctx, hits)
	by := make(map[string]*found, len(all))
	for i := range all {
		by[all[i].Passage.String()] = &all[i]
	}
	ordered := make([]found, len(hits))
	for i := range hits {
		ordered[i] = *by[hits[i].Chunk]
		ordered[i].score = hits[i].Score
	}
	return ordered, nil
}

// rerank puts the best hits in another order, or leaves them and says so.
func (s *search) rerank(ctx context.Context, hits []Hit) {
	if s.k.o.Reranker == nil {
		s.degraded = append(s.degraded, "not reranked: nothing here does that")
		return
	}
	hits = hits[:min(len(hits), rerankHits)]
	texts := make([]string, len(hits))
	for i := range hits {
		texts[i] = embedded(&passage.Passage{Title: hits[i].Title, Path: hits[i].Path, Text: hits[i].Text})
	}
	ctx, cancel := context.WithTimeout(ctx, rerankTime)
	defer cancel()
	scores, err := s.k.o.Reranker.Rerank(ctx, s.q.Rerank, s.by.caller, s.q.Text, texts)
	switch {
	case err != nil && ctx.Err() != nil:
		s.degraded = append(s.degraded, "not reranked: the model took longer than "+rerankTime.String())
		return
	case err != nil || len(scores) != len(hits):
		s.degraded = append(s.degraded, "not reranked: the model gave no answer")
		return
	}
	for i := range hits {
		hits[i].Score = scores[i]
	}
	slices.SortStableFunc(hits, func(a, b Hit) int { return cmp.Compare(b.Score, a.Score) })
}
