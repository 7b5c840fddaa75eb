package app

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headworks/internal/config"
	"headworks/internal/knowledge"
	"headworks/internal/knowledge/golden"
	"headworks/internal/passage"
)

// What vectors count is found by judged questions, kept, and at least as good as what
// is usual.
func TestTune(t *testing.T) {
	var documents, queries, judged strings.Builder
	for i := range 60 {
		// Words of others stand in each text, so that words alone are led astray, and the
		// question has its word in another form, which vectors of grams see.
		fmt.Fprintf(&documents, "{\"id\":\"d%d\",\"text\":\"overview of subject%dalpha with notes\"}\n", i, i)
		fmt.Fprintf(&queries, "{\"id\":\"q%d\",\"text\":\"notes overview subject%dalphas\"}\n", i, i)
		fmt.Fprintf(&judged, "q%d 0 d%d 1\n", i, i)
	}
	file := filepath.Join(t.TempDir(), "documents.jsonl")
	if err := os.WriteFile(file, []byte(documents.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := openLibrary(t.Context(), t.TempDir(), config.Knowledge{}, alone{}, nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	by, k := knowledge.ByOperator(), l.knowledge
	for _, n := range []knowledge.New{{Name: "sixty"}, {Name: "words", Embedder: "none"}} {
		if _, err := k.Create(t.Context(), by, n); err != nil {
			t.Fatal(err)
		}
		found, _, end, err := places{}.Items(t.Context(), knowledge.Place{From: file})
		if err != nil {
			t.Fatal(err)
		}
		defer end()
		if _, err := k.Add(t.Context(), by, n.Name, found, knowledge.Adding{}); err != nil {
			t.Fatal(err)
		}
	}
	set, err := golden.Read([]byte(queries.String()), []byte(judged.String()))
	if err != nil {
		t.Fatal(err)
	}
	before, err := golden.Evaluate(t.Context(), set, golden.In(k, "sixty", knowledge.Hybrid))
	if err != nil {
		t.Fatal(err)
	}
	alpha, err := golden.Tune(t.Context(), set, k, "sixty")
	if err != nil {
		t.Fatal(err)
	}
	after, err := golden.Evaluate(t.Context(), set, golden.In(k, "sixty", knowledge.Hybrid))
	if err != nil || after.NDCG10 < before.NDCG10 {
		t.Errorf("nDCG@10 %.4f before, %.4f after, %v", before.NDCG10, after.NDCG10, err)
	}
	if c, err := k.Get(by, "sixty"); err != nil || c.VectorShare() != alpha {
		t.Errorf("the collection keeps %v, not %v, %v", c.VectorShare(), alpha, err)
	}

	few := *set
	few.Queries = few.Queries[:49]
	made := *set
	made.Synthetic = true
	for name, refused := range map[string]struct {
		set  *golden.Set
		name string
	}{"49 questions": {&few, "sixty"}, "a set that nobody judged": {&made, "sixty"}, "no vectors": {set, "words"}} {
		if _, err := golden.Tune(t.Context(), refused.set, k, refused.name); err == nil {
			t.Errorf("%s: tuned", name)
		}
	}
	// Bare hits have ids, scores and nothing of the documents.
	a, err := k.SearchAs(t.Context(), by, passage.Operator(), []string{"sixty"}, knowledge.Query{Text: "subject7alpha", K: 3, Bare: true})
	if err != nil || len(a.Hits) != 3 || a.Hits[0].Document != "d7" || a.Hits[0].Text != "" || a.Hits[0].Score == 0 {
		t.Errorf("%+v, %v", a.Hits, err)
	}
}

// A document that is nothing but a title is found by it.
func TestTitleAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "documents.jsonl")
	if err := os.WriteFile(file, []byte(`{"id":"a","title":"Travel rules","text":""}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := openLibrary(t.Context(), t.TempDir(), config.Knowledge{}, alone{}, nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	by, k := knowledge.ByOperator(), l.knowledge
	if _, err := k.Create(t.Context(), by, knowledge.New{Name: "titles"}); err != nil {
		t.Fatal(err)
	}
	found, _, end, err := places{}.Items(t.Context(), knowledge.Place{From: file})
	defer end()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Add(t.Context(), by, "titles", found, knowledge.Adding{}); err != nil {
		t.Fatal(err)
	}
	a, err := k.SearchAs(t.Context(), by, passage.Operator(), []string{"titles"}, knowledge.Query{Text: "rule of travel", Ranker: knowledge.BM25})
	if err != nil || len(a.Hits) != 1 || a.Hits[0].Document != "a" || a.Hits[0].Text != "Travel rules" {
		t.Errorf("%+v, %v", a.Hits, err)
	}
}

// Which forms of a word find each other is the collection's language to say, and stays
// so when segments are read again.
func TestLanguageOfACollection(t *testing.T) {
	file := filepath.Join(t.TempDir(), "documents.jsonl")
	if err := os.WriteFile(file, []byte(`{"id":"a","text":"Die Häuser der Stadt wurden gebaut."}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	by := knowledge.ByOperator()
	ask := func(k *knowledge.Knowledge, collection, question string) int {
		t.Helper()
		a, err := k.SearchAs(t.Context(), by, passage.Operator(), []string{collection}, knowledge.Query{Text: question, Ranker: knowledge.BM25})
		if err != nil {
			t.Fatal(err)
		}
		return len(a.Hits)
	}
	for _, again := range []bool{false, true} {
		l, err := openLibrary(t.Context(), folder, config.Knowledge{}, alone{}, nil, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		k := l.knowledge
		for _, language := range []string{"german", "plain", "english"} {
			if again {
				continue
			}
			if _, err := k.Create(t.Context(), by, knowledge.New{Name: language, Language: language}); err != nil {
				t.Fatal(err)
			}
			found, _, end, err := places{}.Items(t.Context(), knowledge.Place{From: file})
			if err != nil {
				t.Fatal(err)
			}
			_, err = k.Add(t.Context(), by, language, found, knowledge.Adding{})
			end()
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := k.Create(t.Context(), by, knowledge.New{Name: "other", Language: "klingon"}); err == nil {
			t.Error("a collection of another language is made")
		}
		for question, want := range map[string][3]int{"Haus": {1, 0, 0}, "haeuser": {0, 0, 0}, "hauser": {1, 1, 1}, "die": {0, 1, 1}} {
			if got := [3]int{ask(k, "german", question), ask(k, "plain", question), ask(k, "english", question)}; got != want {
				t.Errorf("%s: found %v in german, plain, english, want %v", question, got, want)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
