// Package golden measures collections by questions whose documents are known: golden
// sets, which are kept with their collections, or are made of the documents where nobody
// has judged any. A change of how a collection is cut, indexed or embedded is measured
// against what it was, and is no promotion where it loses too much.
package golden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"headworks/internal/fault"
	"headworks/internal/knowledge"
	"headworks/internal/passage"
	"headworks/internal/relevance"
)

// MostLost is how much nDCG@10 a change may lose and still be a promotion.
const MostLost = .02

// Bounds of a set.
const (
	MaxQueries = 10_000
	maxBytes   = 64 << 20
	seed       = 1 // of intervals: the same rankings give the same figures
)

// Set is questions and which documents answer them.
type Set struct {
	Queries    []relevance.Query    `json:"queries"`
	Judgements relevance.Judgements `json:"judgements"`
	Synthetic  bool                 `json:"synthetic"` // nobody judged it: the questions are pieces of the documents
	Saved      time.Time            `json:"saved,omitzero"`
}

// Read reads a set: questions as lines of JSON, judgements as TREC or BEIR has them.
func Read(queries, judgements []byte) (*Set, error) {
	if len(queries)+len(judgements) > maxBytes {
		return nil, fault.New(fault.TooLarge, fmt.Sprintf("a golden set has %d MiB at most", maxBytes>>20))
	}
	q, err := relevance.ReadQueries(queries)
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "the questions cannot be read: "+err.Error(), err)
	}
	j, err := relevance.ReadJudgements(judgements)
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "the judgements cannot be read: "+err.Error(), err)
	}
	s := &Set{Queries: q, Judgements: j}
	return s, s.check()
}

func (s *Set) check() error {
	if len(s.Queries) > MaxQueries {
		return fault.New(fault.InvalidRequest, fmt.Sprintf("a golden set has %d questions at most", MaxQueries))
	}
	if len(s.judged()) == 0 {
		return fault.New(fault.InvalidRequest, "no question has a document that is judged relevant; the first column of the judgements is the id of a question")
	}
	return nil
}

// judged returns the questions that tell something.
func (s *Set) judged() (all []relevance.Query) {
	for _, q := range s.Queries {
		for _, grade := range s.Judgements[q.ID] {
			if grade > 0 {
				all = append(all, q)
				break
			}
		}
	}
	return all
}

// Draw returns so many of the judged questions, by a seed, in their order; all of them of
// 0, and where there are no more.
func (s *Set) Draw(n int, by uint64) []relevance.Query {
	all := s.judged()
	if n <= 0 || n >= len(all) {
		return all
	}
	drawn := rand.New(rand.NewPCG(by, 0)).Perm(len(all))[:n]
	slices.Sort(drawn)
	some := make([]relevance.Query, n)
	for i, at := range drawn {
		some[i] = all[at]
	}
	return some
}

// Report is what a collection is worth.
type Report struct {
	Collection string `json:"collection"`
	Ranker     string `json:"ranker"`
	Queries    int    `json:"queries"` // that were judged
	Skipped    int    `json:"skipped"` // that were not
	Synthetic  bool   `json:"synthetic"`
	relevance.Measures
	Intervals relevance.Intervals `json:"intervals"`       // of 95 %
	Tuned     *float64            `json:"tuned,omitempty"` // what vectors count from now on
	Seconds   float64             `json:"seconds"`
	Degraded  string              `json:"degraded,omitempty"` // how searches were less than they should be

	Against *Against         `json:"against,omitempty"`
	Scores  relevance.Scores `json:"-"`
}

// Against is what another collection is worth beside it.
type Against struct {
	Collection string `json:"collection"`
	relevance.Measures
	relevance.Difference `json:"difference"`
	Promoted             bool   `json:"promoted"` // it may take the place of the first
	Why                  string `json:"why"`
}

// Search finds the documents that answer a question, each once, the best first.
type Search func(ctx context.Context, question string) (knowledge.Answer, error)

// In returns the search of a collection by an operator, who may read all of it.
func In(k *knowledge.Knowledge, collection string, r knowledge.Ranker) Search {
	return in(k, collection, knowledge.Query{K: relevance.Depth, Ranker: r})
}

func in(k *knowledge.Knowledge, collection string, q knowledge.Query) Search {
	q.Fold, q.Bare = true, true
	return func(ctx context.Context, question string) (knowledge.Answer, error) {
		q.Text = question
		return k.SearchAs(ctx, knowledge.ByOperator(), passage.Operator(), []string{collection}, q)
	}
}

// Evaluate measures a search by a set.
func Evaluate(ctx context.Context, s *Set, search Search) (*Report, error) {
	began := time.Now()
	judged := s.judged()
	r := &Report{Queries: len(judged), Skipped: len(s.Queries) - len(judged), Synthetic: s.Synthetic}
	run := relevance.Run{}
	for _, q := range judged {
		a, err := search(ctx, q.Text)
		if err != nil {
			return nil, err
		}
		list := make([]relevance.Ranked, len(a.Hits))
		for i := range a.Hits {
			// By place: far down a fused ranking scores are equal, and places are not.
			list[i] = relevance.Ranked{Document: a.Hits[i].Document, Score: -float64(i)}
		}
		run[q.ID] = list
		if r.Degraded == "" {
			r.Degraded = a.Degraded
		}
	}
	r.Scores = relevance.Evaluate(s.Judgements, run)
	r.Measures, r.Intervals = r.Scores.Mean(), r.Scores.Bootstrap(seed)
	r.Seconds = time.Since(began).Seconds()
	return r, nil
}

// Bounds of the questions that tell what vectors shall count.
const (
	fewestTuned = 50
	mostTuned   = 500
)

// Tune finds what vectors shall count beside words in a collection, by the highest
// nDCG@10 over a set's first 500 judged questions, and has the collection keep to it. The
// errors are *fault.Error.
func Tune(ctx context.Context, s *Set, k *knowledge.Knowledge, collection string) (float64, error) {
	by := knowledge.ByOperator()
	c, err := k.Get(by, collection)
	if err != nil {
		return 0, err
	}
	judged := s.judged()
	switch {
	case c.Embedder == (passage.Identity{}):
		return 0, fault.New(fault.InvalidRequest, "this collection has no vectors that could count")
	case s.Synthetic:
		return 0, fault.New(fault.InvalidRequest, "a synthetic set repeats words of the documents, so it says nothing of what vectors are worth")
	case len(judged) < fewestTuned:
		return 0, fault.New(fault.InvalidRequest, fmt.Sprintf("%d judged questions are too few to tell what vectors shall count: %d are needed", len(judged), fewestTuned))
	}
	part := &Set{Queries: judged[:min(len(judged), mostTuned)], Judgements: s.Judgements}
	worth := func(alpha *float64) float64 {
		if err != nil {
			return 0
		}
		var r *Report
		if r, err = Evaluate(ctx, part, in(k, collection, knowledge.Query{K: 10, Alpha: alpha})); err != nil {
			return 0
		}
		if r.Degraded != "" {
			err = fault.New(fault.NoReplica, "the embedder did not answer every question, so what vectors are worth cannot be told")
		}
		return r.NDCG10
	}
	usual := worth(nil)
	alpha, best := relevance.Tune(0, 1, func(alpha float64) float64 { return worth(&alpha) })
	if err != nil {
		return 0, err
	}
	if usual >= best {
		return c.VectorShare(), nil
	}
	return alpha, k.Weigh(ctx, by, c.ID, &alpha)
}

// Judge says whether what b measured may take the place of what a did, both by the same
// set.
func Judge(a, b *Report) *Against {
	d := relevance.Compare(a.Scores, b.Scores, seed)
	v := &Against{Collection: b.Collection, Measures: b.Measures, Difference: d, Promoted: true}
	switch lost := -d.Mean.NDCG10; {
	case d.Queries == 0:
		v.Promoted, v.Why = false, "no question was measured on both"
	case lost > MostLost:
		v.Promoted, v.Why = false, fmt.Sprintf("nDCG@10 loses %.1f points, and a change may lose %.0f", 100*lost, 100*MostLost)
	case lost > 0:
		v.Why = fmt.Sprintf("nDCG@10 loses %.1f points, which is within the %.0f that a change may lose", 100*lost, 100*MostLost)
	default:
		v.Why = fmt.Sprintf("nDCG@10 gains %.1f points", -100*lost)
	}
	return v
}

// kind is under which a register keeps sets.
const kind = "golden"

// Sets keeps golden sets with their collections.
type Sets struct {
	Register  knowledge.Register
	Knowledge *knowledge.Knowledge
}

// errFound ends a look through a register.
var errFound = errors.New("golden: found")

// Load returns the set of a collection. The error is a *fault.Error of kind NotFound where
// it has none.
func (s *Sets) Load(ctx context.Context, collection string) (*Set, error) {
	c, err := s.Knowledge.Get(knowledge.ByOperator(), collection)
	if err != nil {
		return nil, err
	}
	var set *Set
	err = s.Register.Get(ctx, kind, func(id string, value []byte) error {
		if id != c.ID {
			return nil
		}
		set = &Set{}
		if err := json.Unmarshal(value, set); err != nil {
			return err
		}
		return errFound
	})
	switch {
	case set != nil && errors.Is(err, errFound):
		return set, nil
	case err != nil:
		return nil, fault.Wrap(fault.Internal, "the golden set of "+c.Name+" cannot be read", err)
	}
	return nil, fault.New(fault.NotFound, "this collection has no golden set; give one with --queries and --qrels, and keep it with --save, or have one made with --synthetic")
}

// Save keeps the set of a collection, in the place of one that it had.
func (s *Sets) Save(ctx context.Context, collection string, set *Set, now time.Time) error {
	c, err := s.Knowledge.Get(knowledge.ByOperator(), collection)
	if err != nil {
		return err
	}
	kept := *set
	kept.Saved = now.UTC()
	b, err := json.Marshal(&kept)
	if err != nil {
		return fault.Wrap(fault.Internal, "the golden set cannot be written", err)
	}
	if err := s.Register.Set(ctx, kind, c.ID, b); err != nil {
		return fault.Wrap(fault.Internal, "the golden set cannot be kept", err)
	}
	return nil
}

// Bounds of a set that is made.
const (
	synthetic    = 100 // questions
	longQuestion = 24  // words of one
	shortPassage = 8   // words below which a sentence asks nothing
)

// Synthesise makes a set of the documents of a collection, for whoever has none: of up to
// a hundred of them, spread over all, a sentence is the question that its document
// answers, without every third of its words. It says how well a document is found by its
// own words, and nothing of questions that people ask.
func Synthesise(ctx context.Context, k *knowledge.Knowledge, collection string) (*Set, error) {
	by := knowledge.ByOperator()
	all, err := k.Documents(ctx, by, collection, passage.Page{})
	if err != nil {
		return nil, err
	}
	set := &Set{Judgements: relevance.Judgements{}, Synthetic: true}
	slices.SortFunc(all, func(a, b passage.Document) int { return strings.Compare(a.ID, b.ID) })
	step := max(1, len(all)/synthetic)
	for i := 0; i < len(all) && len(set.Queries) < synthetic; i += step {
		loaded, err := k.Read(ctx, by, collection, all[i].ID)
		if err != nil {
			return nil, err
		}
		if q := question(loaded, i); q != "" {
			id := fmt.Sprintf("synthetic-%d", len(set.Queries)+1)
			set.Queries = append(set.Queries, relevance.Query{ID: id, Text: q})
			set.Judgements[id] = map[string]int{all[i].ID: 1}
		}
	}
	if len(set.Queries) == 0 {
		return nil, fault.New(fault.InvalidRequest, "this collection holds no sentence that could be a question")
	}
	return set, nil
}

// question makes one of a document: its longest sentence of a passage that is chosen by
// number, with every third word left out.
func question(loaded []passage.Loaded, number int) string {
	if len(loaded) == 0 {
		return ""
	}
	text := loaded[number%len(loaded)].Passage.Text
	best := []string{}
	for sentence := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '.' || r == '!' || r == '?' || r == '\n' }) {
		if words := strings.Fields(sentence); len(words) > len(best) && !strings.ContainsAny(sentence, "|`{}") {
			best = words
		}
	}
	if len(best) < shortPassage {
		return ""
	}
	best = best[:min(len(best), longQuestion)]
	var kept []string
	for i, w := range best {
		if i%3 != 2 {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " ")
}
