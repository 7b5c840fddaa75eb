//go:build !race

// What is measured here takes minutes under the race detector, and runs on one
// goroutine: the Makefile runs it without.

package lexical

import (
	"bufio"
	"cmp"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"headworks/internal/dialect/openai/rerank"
)

// TestQuestions asks the questions of the built-in search of the same documents, cut
// at their sections: how often a page that answers is among the first three. What is
// wanted is less than what is reached, since the documents change; far less would say
// that the method is broken.
func TestQuestions(t *testing.T) {
	type passage struct {
		page, text string
		vector     []float32
	}
	var passages []passage
	docs := os.DirFS("../../../docs")
	err := fs.WalkDir(docs, ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".md" {
			return err
		}
		text, err := fs.ReadFile(docs, name)
		for section := range strings.SplitSeq(string(text), "\n## ") {
			passages = append(passages, passage{name, section, vector(section, Dimensions)})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open("../../retrieve/testdata/questions.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	asked, near, ranked := 0, 0, 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		question, want, ok := strings.Cut(lines.Text(), "|")
		pages := strings.Fields(want)
		if strings.HasPrefix(question, "#") || !ok || len(pages) == 0 {
			continue
		}
		asked++
		found := func(first []rerank.Result) bool {
			return slices.ContainsFunc(first[:3], func(r rerank.Result) bool { return slices.Contains(pages, passages[r.Index].page) })
		}
		q, r := vector(question, Dimensions), newRanking(question)
		var byVector []rerank.Result
		for i, p := range passages {
			sum := 0.0
			for k, x := range p.vector {
				sum += float64(x) * float64(q[k])
			}
			byVector = append(byVector, rerank.Result{Index: i, Score: sum})
			r.read(p.text)
		}
		slices.SortStableFunc(byVector, func(a, b rerank.Result) int { return cmp.Compare(b.Score, a.Score) })
		if found(byVector) {
			near++
		}
		if found(r.results(3)) {
			ranked++
		}
	}
	t.Logf("%d questions over %d passages: %d by vectors, %d by rank", asked, len(passages), near, ranked)
	if asked == 0 || near*2 < asked || ranked*5 < asked*4 {
		t.Errorf("%d questions: %d answered by vectors, %d by rank", asked, near, ranked)
	}
}
