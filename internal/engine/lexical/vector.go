package lexical

import (
	"cmp"
	"math"
	"slices"

	"headworks/internal/dialect/openai/rerank"
	"headworks/internal/gram"
)

// Vector returns the vector of a text, of length one; nil for a text without a feature.
func Vector(text string, dimensions int) []float32 { return vector(text, dimensions) }

// vector returns the vector of a text, of length one: each feature is added at the
// place and with the sign that its hash says (Weinberger and others, Feature Hashing
// for Large Scale Multitask Learning, 2009), by its weight and the square root of how
// often it comes. It returns nil for a text without a feature.
//
// Nothing here depends on the machine: square roots are exact, and the conversions
// keep a compiler from fusing a product with a sum.
func vector(text string, dimensions int) []float32 {
	terms := count(text)
	if len(terms) == 0 {
		return nil
	}
	sums := make([]float64, dimensions)
	for _, t := range terms {
		gram.Add(sums, t.hash, float64(float64(t.weight)*math.Sqrt(float64(t.times))))
	}
	norm := 0.0
	for _, x := range sums {
		norm += float64(x * x)
	}
	if norm == 0 { // all features have met their opposite
		sums[terms[0].hash%uint64(dimensions)], norm = 1, 1
	}
	v := make([]float32, dimensions)
	for i, x := range sums {
		v[i] = float32(x / math.Sqrt(norm))
	}
	return v
}

// The weights of BM25, as of the built-in search over documents.
const (
	k1 = 0.9
	b  = 0.4
)

// ranking scores documents by BM25 over features instead of words, with what the
// documents of this one request tell of how rare a feature is. A score is a share
// of what the query could reach, from 0 to 1.
type ranking struct {
	query []term
	found [][]match // by document
	sizes []float64 // terms of each document
	in    []float64 // documents, by feature of the query
}

// match is a feature of the query that stands in a document.
type match struct {
	feature int
	times   float64
}

func newRanking(query string) *ranking {
	r := &ranking{query: count(query)}
	r.in = make([]float64, len(r.query))
	return r
}

// read reads one more document.
func (r *ranking) read(document string) {
	terms := count(document)
	var found []match
	size, i := 0.0, 0
	for _, t := range terms { // both are sorted by hash
		size += float64(t.times)
		for i < len(r.query) && r.query[i].hash < t.hash {
			i++
		}
		if i < len(r.query) && r.query[i].hash == t.hash {
			found = append(found, match{i, float64(t.times)})
			r.in[i]++
		}
	}
	r.found, r.sizes = append(r.found, found), append(r.sizes, size)
}

// results returns the best documents, the best first; of equals, the one that came
// first.
func (r *ranking) results(top int) []rerank.Result {
	n, total, whole := float64(len(r.found)), 0.0, 0.0
	for _, size := range r.sizes {
		total += size
	}
	worth := make([]float64, len(r.query))
	for i, t := range r.query {
		worth[i] = float64(t.weight) * float64(t.times) * math.Log(1+(n-r.in[i]+0.5)/(r.in[i]+0.5))
		whole += worth[i]
	}
	results := make([]rerank.Result, 0, len(r.found))
	for d, found := range r.found {
		norm := k1 * (1 - b + b*r.sizes[d]*n/max(total, 1))
		score := 0.0
		for _, m := range found {
			score += worth[m.feature] * m.times / (m.times + norm)
		}
		if whole > 0 {
			score /= whole
		}
		results = append(results, rerank.Result{Index: d, Score: score})
	}
	slices.SortStableFunc(results, func(x, y rerank.Result) int { return cmp.Compare(y.Score, x.Score) })
	return results[:min(top, len(results))]
}
