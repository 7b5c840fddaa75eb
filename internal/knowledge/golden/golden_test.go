package golden

import (
	"context"
	"errors"
	"strings"
	"testing"

	"headworks/internal/fault"
	"headworks/internal/knowledge"
	"headworks/internal/passage"
	"headworks/internal/relevance"
)

const queries = `{"id":"1","text":"keys"}
{"id":"2","text":"streams"}
{"id":"3","text":"nobody judged this"}`

func set(t *testing.T) *Set {
	t.Helper()
	s, err := Read([]byte(queries), []byte("1 0 keys.md 1\n2 0 streams.md 1\n2 0 cut.md 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// answers returns a search that finds these documents, by question.
func answers(found map[string][]string) Search {
	return func(_ context.Context, question string) (knowledge.Answer, error) {
		var a knowledge.Answer
		for i, id := range found[question] {
			a.Hits = append(a.Hits, knowledge.Hit{Document: id, Score: float64(100 - i)})
		}
		return a, nil
	}
}

func TestEvaluate(t *testing.T) {
	r, err := Evaluate(t.Context(), set(t), answers(map[string][]string{"keys": {"keys.md"}, "streams": {"x.md", "cut.md", "streams.md"}}))
	if err != nil {
		t.Fatal(err)
	}
	// The second question: 1/2 at the second place, 2/3 at the third.
	if want := (1 + (1./2+2./3)/2) / 2; r.AP != want || r.RR != (1+1./2)/2 || r.Recall != 1 || r.Queries != 2 || r.Skipped != 1 {
		t.Errorf("%+v, want map %v", r, want)
	}
	if in := r.Intervals.AP; in.Low > r.AP || in.High < r.AP {
		t.Errorf("%v is not within %v", r.AP, in)
	}
}

func TestEvaluateTellsOfFailures(t *testing.T) {
	want := errors.New("down")
	_, err := Evaluate(t.Context(), set(t), func(context.Context, string) (knowledge.Answer, error) { return knowledge.Answer{}, want })
	if !errors.Is(err, want) {
		t.Errorf("%v", err)
	}
}

// A change is a promotion unless it loses more than two points.
func TestJudge(t *testing.T) {
	report := func(a, b float64) *Report {
		s := relevance.Scores{"1": {NDCG10: a}, "2": {NDCG10: b}}
		return &Report{Scores: s, Measures: s.Mean()}
	}
	before := report(.5, .7)
	for _, test := range []struct {
		name  string
		after *Report
		want  bool
	}{
		{"better", report(.6, .7), true},
		{"the same", report(.7, .5), true},
		{"a little worse", report(.5, .67), true},
		{"too much worse", report(.5, .65), false},
		{"nothing in common", &Report{Scores: relevance.Scores{"9": {NDCG10: 1}}}, false},
	} {
		if v := Judge(before, test.after); v.Promoted != test.want || v.Why == "" {
			t.Errorf("%s: %+v", test.name, v)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for name, text := range map[string][2]string{
		"no question":         {"", "1 0 a 1"},
		"no JSON":             {"what?", "1 0 a 1"},
		"nothing is relevant": {`{"id":"1","text":"q"}`, "1 0 a 0"},
		"other ids":           {`{"id":"1","text":"q"}`, "2 0 a 1"},
		"no judgements":       {`{"id":"1","text":"q"}`, "a b c d e"},
	} {
		_, err := Read([]byte(text[0]), []byte(text[1]))
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.InvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestQuestionOfADocument(t *testing.T) {
	loaded := []passage.Loaded{{Passage: passage.Passage{Text: "Short. A hotel is paid up to one hundred euros a night in this house. | a | table |"}}}
	if got, want := question(loaded, 0), "A hotel paid up one hundred a night this house"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := question([]passage.Loaded{{Passage: passage.Passage{Text: "Too short."}}}, 3); got != "" {
		t.Errorf("%q", got)
	}
	if got := question(nil, 0); got != "" {
		t.Errorf("%q", got)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(queries, "1 0 keys.md 1\n")
	f.Add(`{"_id":7,"text":""}`, "query-id\tcorpus-id\tscore\n7\ta\t1\n")
	f.Fuzz(func(t *testing.T, q, j string) {
		s, err := Read([]byte(q), []byte(j))
		if err == nil && len(s.judged()) == 0 {
			t.Fatal("a set that tells nothing")
		}
		if err != nil && strings.TrimSpace(err.Error()) == "" {
			t.Fatal("an error without words")
		}
	})
}
