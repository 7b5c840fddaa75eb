// Package retrieve finds the passages worth reading: Markdown documents are cut
// at their headings and ranked by BM25.
//
// An Index is built whole, is bounded in documents and bytes, and never changes
// afterwards, so any number of goroutines may search it. The same documents and
// the same question give the same passages in the same order.
package retrieve

import (
	"cmp"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
)

// The weights of BM25 (Robertson, Zaragoza: The Probabilistic Relevance
// Framework, 2009): k1 says how soon more of the same word stops counting, b how
// much a long passage is held against it. These are Anserini's defaults; on CACM
// the textbook's 1.2 and 0.75 do no better.
const (
	k1 = 0.9
	b  = 0.4
)

// A word of a passage's own heading counts as if it stood there so many times; one
// of the headings above counts once. Neither makes the passage longer.
const ownWeight = 3

// Bounds of an Index and of a question.
const (
	maxDocumentBytes = 1 << 20
	maxBytes         = 32 << 20
	maxTerms         = 256
)

// Passage is a piece of a document.
type Passage struct {
	Path    string // of the document, as the file system names it
	Heading string // the headings over it: title > section > subsection
	Text    string // as it stands in the document, byte for byte
}

// Hit is a passage that answers a question.
type Hit struct {
	Passage
	Score float64 // BM25, comparable within one question
	Cover float64 // share of the question found here, 0 to 1, rare words counting more
}

// Index is a searchable set of passages.
type Index struct {
	passages []Passage
	headings [][]asked            // the terms of each passage's own heading
	norm     []float64            // k1(1 - b + b*length/average) by passage
	postings map[string][]posting // by term, passages ascending
}

type posting struct {
	passage int32
	count   int32
}

// New reads every .md file of a file system into an Index.
func New(documents fs.FS) (*Index, error) {
	x := &Index{postings: map[string][]posting{}}
	var size int64
	err := fs.WalkDir(documents, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() || path.Ext(name) != ".md" {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Size() > maxDocumentBytes {
			return fmt.Errorf("%s has %d bytes, more than %d", name, info.Size(), maxDocumentBytes)
		}
		if size += info.Size(); size > maxBytes {
			return fmt.Errorf("the documents up to %s have more than %d bytes", name, maxBytes)
		}
		source, err := fs.ReadFile(documents, name)
		if err != nil {
			return err
		}
		x.passages = append(x.passages, cut(name, string(source))...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read documents: %w", err)
	}
	x.weigh()
	return x, nil
}

// weigh counts the words of every passage and of the headings over it.
func (x *Index) weigh() {
	lengths := make([]int, len(x.passages))
	total := 0
	for i, p := range x.passages {
		add := func(term string, times int32) {
			list := x.postings[term]
			if n := len(list); n > 0 && list[n-1].passage == int32(i) {
				list[n-1].count += times
				return
			}
			x.postings[term] = append(list, posting{int32(i), times})
		}
		for term := range words(p.Heading) {
			add(term, 1)
		}
		own := ask(p.Heading[max(0, strings.LastIndex(p.Heading, over)):])
		for _, t := range own {
			add(t.term, (ownWeight-1)*t.count)
		}
		x.headings = append(x.headings, own)
		for term := range words(withoutTargets(p.Text)) {
			add(term, 1)
			lengths[i]++
		}
		total += lengths[i]
	}
	x.norm = make([]float64, len(x.passages))
	for i, n := range lengths {
		x.norm[i] = k1 * (1 - b + b*float64(n)*float64(len(lengths))/float64(max(total, 1)))
	}
}

// Len returns how many passages there are.
func (x *Index) Len() int { return len(x.passages) }

// Find returns the at most n passages that fit a question best, the best first; of
// equals, the one that comes first in the documents. A passage whose heading asks
// the very question has as much on top as its words could score at most. A word
// that the question repeats counts again; beyond 256 different words the question
// is not read.
func (x *Index) Find(question string, n int) []Hit {
	var (
		scores = make([]float64, len(x.passages))
		covers = make([]float64, len(x.passages))
		found  []int32
		whole  float64
	)
	terms := ask(question)
	for _, t := range terms {
		list := x.postings[t.term]
		idf := x.idf(len(list))
		whole += idf
		for _, p := range list {
			if scores[p.passage] == 0 {
				found = append(found, p.passage)
			}
			tf := float64(p.count)
			scores[p.passage] += float64(t.count) * idf * tf / (tf + x.norm[p.passage])
			covers[p.passage] += idf
		}
	}
	for _, i := range found {
		if slices.Equal(x.headings[i], terms) {
			scores[i] += whole
		}
	}
	slices.SortFunc(found, func(i, j int32) int {
		return cmp.Or(cmp.Compare(scores[j], scores[i]), cmp.Compare(i, j))
	})
	hits := make([]Hit, 0, max(0, min(n, len(found))))
	for _, i := range found[:cap(hits)] {
		hits = append(hits, Hit{x.passages[i], scores[i], covers[i] / whole})
	}
	return hits
}

type asked struct {
	term  string
	count int32
}

// ask returns the different terms of a question in the order in which they come.
func ask(question string) []asked {
	var terms []asked
	for term := range words(question) {
		if len(terms) == maxTerms {
			break
		}
		i := slices.IndexFunc(terms, func(t asked) bool { return t.term == term })
		if i < 0 {
			i = len(terms)
			terms = append(terms, asked{term: term})
		}
		terms[i].count++
	}
	return terms
}

// idf is how much a term tells that stands in so many passages.
func (x *Index) idf(passages int) float64 {
	n := float64(passages)
	return math.Log(1 + (float64(len(x.passages))-n+0.5)/(n+0.5))
}
