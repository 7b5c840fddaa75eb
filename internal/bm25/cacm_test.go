package bm25

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"headworks/internal/relevance"
	"headworks/internal/words"
)

// collection is a set of texts with judged questions.
type collection struct {
	names     []string
	texts     []string
	questions []relevance.Query
	judged    relevance.Judgements
}

// cacm reads the CACM collection as Anserini uses it: all that stands in a file is
// its text, and the ids of documents and judgements are compared as strings.
func cacm(t testing.TB) collection {
	t.Helper()
	var c collection
	documents, err := os.ReadFile("testdata/cacm/documents.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(documents)) {
		var d struct{ ID, Text string }
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatal(err)
		}
		c.names, c.texts = append(c.names, d.ID), append(c.texts, d.Text)
	}
	topics, err := os.ReadFile("testdata/cacm/topics.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?s)<DOCNO> (\d+) </DOCNO>(.*?)</DOC>`).FindAllStringSubmatch(string(topics), -1) {
		c.questions = append(c.questions, relevance.Query{ID: m[1], Text: m[2]})
	}
	judged, err := os.ReadFile("testdata/cacm/qrels.txt")
	if err != nil {
		t.Fatal(err)
	}
	if c.judged, err = relevance.ReadJudgements(judged); err != nil {
		t.Fatal(err)
	}
	return c
}

// index builds an index of so many segments.
func (c collection) index(t testing.TB, segments int) *Index {
	t.Helper()
	var all []*Segment
	for i := range segments {
		from, to := i*len(c.texts)/segments, (i+1)*len(c.texts)/segments
		s, err := Build(func(yield func(uint32, Terms) bool) {
			for n := from; n < to; n++ {
				if !yield(uint32(n), words.Text(c.texts[n])) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return NewIndex(all...)
}

func (c collection) run(x *Index, v View) relevance.Run {
	run := relevance.Run{}
	for _, q := range c.questions {
		for _, h := range x.Search(words.Question(q.Text), v, relevance.Depth) {
			run[q.ID] = append(run[q.ID], relevance.Ranked{Document: c.names[h.ID], Score: h.Score})
		}
	}
	return run
}

// CACM is ranked as well as by Anserini's BM25, whose published MAP is
// .3123 (castorini/anserini, docs/regressions-cacm.md, ids compared as strings).
func TestCACM(t *testing.T) {
	c := cacm(t)
	scores := relevance.Evaluate(c.judged, c.run(c.index(t, 1), View{}))
	mean := scores.Mean()
	t.Logf("%d questions: %+v, %+v", len(scores), mean, scores.Bootstrap(1))
	if len(scores) != 52 || mean.AP < .3123 {
		t.Errorf("MAP %.4f over %d questions, want .3123 over 52", mean.AP, len(scores))
	}
}
