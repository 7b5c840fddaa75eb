//go:build !race

// What is measured here takes minutes under the race detector, and runs on one
// goroutine: the Makefile runs it without.

package app

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"headworks/internal/config"
	"headworks/internal/knowledge"
	"headworks/internal/passage"
	"headworks/internal/relevance"
)

const cacmFolder = "../bm25/testdata/cacm"

// TestCACM: a collection that is made as an operator makes one ranks as well as the
// published figure says, .3123 by BM25 (castorini/anserini), or nearly so.
func TestCACM(t *testing.T) {
	judged, err := os.ReadFile(filepath.Join(cacmFolder, "qrels.txt"))
	if err != nil {
		t.Skip("CACM is not here: ", err)
	}
	j, err := relevance.ReadJudgements(judged)
	if err != nil {
		t.Fatal(err)
	}
	topics, err := os.ReadFile(filepath.Join(cacmFolder, "topics.txt"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := openLibrary(t.Context(), t.TempDir(), config.Knowledge{}, alone{}, nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	by := knowledge.ByOperator()
	if _, err := l.knowledge.Create(t.Context(), by, knowledge.New{Name: "cacm"}); err != nil {
		t.Fatal(err)
	}
	found, _, end, err := places{}.Items(t.Context(), knowledge.Place{From: filepath.Join(cacmFolder, "documents.jsonl")})
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	if added, err := l.knowledge.Add(t.Context(), by, "cacm", found, knowledge.Adding{}); err != nil || added.Added != 3204 {
		t.Fatalf("%+v, %v", added, err)
	}
	doc := regexp.MustCompile(`(?s)<DOC>\s*<DOCNO>\s*(\d+)\s*</DOCNO>(.*?)</DOC>`)
	for ranker, least := range map[knowledge.Ranker]float64{knowledge.BM25: .3023, knowledge.Hybrid: .3023, knowledge.Dense: .09} {
		run := relevance.Run{}
		for _, m := range doc.FindAllStringSubmatch(string(topics), -1) {
			if j[m[1]] == nil {
				continue
			}
			a, err := l.knowledge.SearchAs(t.Context(), by, passage.Operator(), []string{"cacm"}, knowledge.Query{Text: strings.TrimSpace(m[2]), K: 1000, Ranker: ranker, Fold: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range a.Hits {
				run[m[1]] = append(run[m[1]], relevance.Ranked{Document: h.Document, Score: h.Score})
			}
		}
		mean := relevance.Evaluate(j, run).Mean()
		b, _ := json.Marshal(mean)
		t.Logf("%s: %s", ranker, b)
		if mean.AP < least {
			t.Errorf("%s: MAP %.4f, want %.4f", ranker, mean.AP, least)
		}
	}
}
