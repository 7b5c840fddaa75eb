// Package retrieve finds the passages worth reading: Markdown documents are cut
// at their headings and ranked by package bm25.
//
// An Index is built whole, is bounded in documents and bytes, and never changes
// afterwards, so any number of goroutines may search it. The same documents and
// the same question give the same passages in the same order.
package retrieve

import (
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"

	"headworks/internal/bm25"
	"headworks/internal/rank"
	"headworks/internal/words"
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
	Start   int    // where it stands there
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
	headings map[string][]uint32 // passages by the terms of their own headings
	index    *bm25.Index
}

// New reads every .md file of a file system into an Index.
func New(documents fs.FS) (*Index, error) {
	x := &Index{}
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
	segment, err := bm25.Build(func(yield func(uint32, bm25.Terms) bool) {
		for i := range x.passages {
			if !yield(uint32(i), x.passages[i].terms()) {
				return
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("index documents: %w", err)
	}
	x.index = bm25.NewIndex(segment)
	x.headings = map[string][]uint32{}
	for i, p := range x.passages {
		key := headingKey(ask(p.own()).Terms)
		x.headings[key] = append(x.headings[key], uint32(i))
	}
	return x, nil
}

// own returns the passage's own heading, without those above it.
func (p Passage) own() string { return p.Heading[max(0, strings.LastIndex(p.Heading, over)):] }

// terms returns what a passage is found by: its text and, beside it, its headings.
func (p Passage) terms() iter.Seq[words.Term] {
	return func(yield func(words.Term) bool) {
		for t := range words.Text(withoutTargets(p.Text)) {
			if !yield(t) {
				return
			}
		}
		beside := func(text string, times int) bool {
			for t := range words.Text(text) {
				t.Beside = true
				for range times {
					if !yield(t) {
						return false
					}
				}
			}
			return true
		}
		_ = beside(p.Heading, 1) && beside(p.own(), ownWeight-1)
	}
}

// Len returns how many passages there are.
func (x *Index) Len() int { return len(x.passages) }

// Find returns the at most n passages that fit a question best, the best first; of
// equals, the one that comes first in the documents. A passage whose heading asks
// the very question has as much on top as its words could score at most. A word
// that the question repeats counts again; the first 256 words are read.
func (x *Index) Find(question string, n int) []Hit {
	q := ask(question)
	if n <= 0 || len(q.Terms) == 0 {
		return nil
	}
	whole := 0.0
	for term := range firm(q.Terms) {
		whole += x.index.IDF(term)
	}
	found := x.index.Search(q, bm25.View{}, n)
	if same := x.headings[headingKey(q.Terms)]; len(same) > 0 {
		asked := x.index.Search(q, bm25.View{Allowed: roaring.BitmapOf(same...)}, n)
		for i := range asked {
			asked[i].Score += whole
		}
		found = slices.DeleteFunc(found, func(h rank.Hit) bool { return slices.Contains(same, h.ID) })
		found = rank.Merge(n, asked, found)
	}
	hits := make([]Hit, 0, len(found))
	for _, h := range found {
		p := x.passages[h.ID]
		hits = append(hits, Hit{p, h.Score, x.cover(q, p) / whole})
	}
	return hits
}

// cover sums up how much the words of a question tell that a passage has.
func (x *Index) cover(q words.Query, p Passage) float64 {
	has := map[string]bool{}
	for t := range p.terms() {
		has[t.Text] = true
	}
	sum := 0.0
	for term := range firm(q.Terms) {
		if has[term] {
			sum += x.index.IDF(term)
		}
	}
	return sum
}

// firm yields each different term once, in order, identifiers in their parts alone.
func firm(terms []words.Term) iter.Seq[string] {
	return func(yield func(string) bool) {
		seen := map[string]bool{}
		for _, t := range terms {
			if t.Beside || seen[t.Text] {
				continue
			}
			seen[t.Text] = true
			if !yield(t.Text) {
				return
			}
		}
	}
}

// headingKey is equal for headings that ask the same.
func headingKey(terms []words.Term) string {
	var key strings.Builder
	for _, t := range terms {
		if !t.Beside {
			key.WriteString(t.Text)
			key.WriteByte(' ')
		}
	}
	return key.String()
}

// ask reads a question without the words that questions are put with.
func ask(question string) words.Query {
	q := words.Question(question)
	q.Terms = slices.DeleteFunc(q.Terms, func(t words.Term) bool { return asking(t.Text) })
	q.Terms = q.Terms[:min(len(q.Terms), maxTerms)]
	return q
}
