package retrieve

import (
	"os"
	"slices"
	"strings"
	"testing"

	"headworks/docs"
)

// The documentation answers judged questions from the right page, and has little
// to say on others.
func TestQuestions(t *testing.T) {
	x, err := New(docs.Files)
	if err != nil {
		t.Fatal(err)
	}
	judged, err := os.ReadFile("testdata/questions.txt")
	if err != nil {
		t.Fatal(err)
	}
	const enough = 0.45 // what engine/extract asks of a passage before it quotes it
	asked, first, third := 0, 0, 0
	for line := range strings.Lines(string(judged)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		question, right, answerable := strings.Cut(line, "|")
		hits := x.Find(question, 3)
		if !answerable {
			if len(hits) > 0 && hits[0].Cover >= enough {
				t.Errorf("%q: %s covers %.2f of a question that the documentation does not answer", question, hits[0].Path, hits[0].Cover)
			}
			continue
		}
		asked++
		at := slices.IndexFunc(hits, func(h Hit) bool { return slices.Contains(strings.Fields(right), h.Path) })
		if at == 0 {
			first++
		}
		if at >= 0 {
			third++
			if hits[at].Cover < enough {
				t.Errorf("%q: %s covers only %.2f of it", question, hits[at].Path, hits[at].Cover)
			}
			continue
		}
		t.Logf("%q: want %s, got", question, right)
		for _, h := range hits {
			t.Logf("  %.2f %.2f %s (%s)", h.Score, h.Cover, h.Path, h.Heading)
		}
	}
	t.Logf("%d questions: %d right at once, %d within three", asked, first, third)
	if third*10 < asked*9 {
		t.Errorf("only %d of %d questions find their page within three passages", third, asked)
	}
}
