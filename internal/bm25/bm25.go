// Package bm25 ranks texts by the words they share with a question: BM25 over
// immutable segments.
//
// A Segment is built whole, lives in one slice of bytes that may be a mapped file,
// and is searched where it lies. Several segments are searched as one Index: how
// rare a word is and how long texts are on average is counted over all of them, so
// a collection ranks the same however it is cut. A bitmap of the texts that a
// caller may see works before the ranking, not after it.
//
//	sum over the question's terms of idf * tf/(tf + k1(1 - b + b*length/average))
//	idf = ln(1 + (N - df + .5)/(df + .5))
//
// (Robertson, Zaragoza: The Probabilistic Relevance Framework, 2009), with k1 .9
// and b .4 as in Anserini.
package bm25

import (
	"iter"

	"headworks/internal/rank"
	"headworks/internal/words"
)

// The weights: k1 says how soon more of the same word stops counting, b how much a
// long text is held against it.
const (
	k1 = 0.9
	b  = 0.4
)

// Hit is a text found. Its Score is comparable within one search.
type Hit = rank.Hit

// Terms are the terms of one text, as package words gives them. Terms that stand
// beside others (a title's, that shall count more) make it no longer.
type Terms = iter.Seq[words.Term]

// Index is a collection of segments that rank as one. No two segments hold the same
// id but for deleted texts.
type Index struct {
	segments []*Segment
	docs     uint64
	length   uint64
}

// NewIndex returns an index of segments.
func NewIndex(segments ...*Segment) *Index {
	x := &Index{segments: segments}
	for _, s := range segments {
		x.docs += uint64(s.docs)
		x.length += s.length
	}
	return x
}

// Len returns how many texts the segments hold, deleted ones among them.
func (x *Index) Len() int { return int(x.docs) }

// DF returns in how many texts a term stands, deleted ones among them.
func (x *Index) DF(term string) int {
	n := 0
	for _, s := range x.segments {
		if e, ok := s.lookup(term); ok {
			n += int(e.df)
		}
	}
	return n
}
