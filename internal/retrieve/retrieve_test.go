package retrieve

import (
	"math"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"headworks/internal/chunk"
)

func index(t testing.TB, documents map[string]string) *Index {
	t.Helper()
	files := fstest.MapFS{}
	for name, text := range documents {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	x, err := New(files)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestFind(t *testing.T) {
	x := index(t, map[string]string{
		"b.md":      "# Streams\n\nA stream that is cut ends with an error.\n\n## Keys\n\nKeys are shown once.",
		"a/keys.md": "# Keys\n\nCreate a key with `keys create`.\n\n## Revoke\n\nA revoked key is refused.",
		"notes.txt": "streams streams streams",
	})
	tests := []struct {
		name, question string
		n              int
		want           []string
	}{
		{"one word", "cutting", 3, []string{"b.md Streams"}},
		{"plural and case", "STREAM", 1, []string{"b.md Streams"}},
		{"heading counts", "revocation revoke", 1, []string{"a/keys.md Keys > Revoke"}},
		{"more of the question first", "create a key", 1, []string{"a/keys.md Keys"}},
		{"a passage's own heading before one above", "keys", 3, []string{"a/keys.md Keys", "b.md Streams > Keys", "a/keys.md Keys > Revoke"}},
		{"the very question", "how do I revoke?", 1, []string{"a/keys.md Keys > Revoke"}},
		{"nothing fits", "weather in Paris", 3, nil},
		{"stop words alone", "is it not the", 3, nil},
		{"no question", "", 3, nil},
		{"none wanted", "keys", 0, nil},
		{"less than none wanted", "keys", -1, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, hit := range x.Find(test.question, test.n) {
				got = append(got, hit.Path+" "+hit.Heading)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("Find(%q, %d) = %q, want %q", test.question, test.n, got, test.want)
			}
		})
	}
}

// The formula of the package comment's source, worked out by hand.
func TestScoreIsBM25(t *testing.T) {
	x := index(t, map[string]string{"a.md": "gold gold iron", "b.md": "iron", "c.md": "tin tin"})
	idf := math.Log(1 + (3-1+0.5)/(1+0.5))
	norm := 0.9 * (1 - 0.4 + 0.4*3/2)
	want := 2 * idf * 2 / (2 + norm)
	hits := x.Find("gold and gold lead", 1)
	if len(hits) != 1 || math.Abs(hits[0].Score-want) > 1e-8 {
		t.Fatalf("score of %+v, want %v", hits, want)
	}
	lead := math.Log(1 + (3+0.5)/0.5)
	if cover := idf / (idf + lead); math.Abs(hits[0].Cover-cover) > 1e-12 {
		t.Errorf("cover %v, want %v", hits[0].Cover, cover)
	}
}

// In documents that all speak of one thing, the passage that says what it is comes
// first, however often the others name it.
func TestAHeadingThatIsTheQuestion(t *testing.T) {
	x := index(t, map[string]string{
		"a.md": "# Commands\n\nheadworks headworks headworks",
		"b.md": "# Documents\n\n## What is Headworks?\n\nA long answer with many words in it, and headworks once.",
		"c.md": "# More\n\nheadworks",
	})
	hits := x.Find("what is headworks", 3)
	if len(hits) != 3 || hits[0].Path != "b.md" {
		t.Errorf("got %+v", hits)
	}
}

func TestEqualsKeepTheOrderOfTheDocuments(t *testing.T) {
	documents := map[string]string{}
	var want []string
	for _, name := range []string{"a.md", "b/a.md", "b/b.md", "c.md", "d.md"} {
		documents[name] = "the same words"
		want = append(want, name)
	}
	x := index(t, documents)
	for range 20 {
		var got []string
		for _, hit := range x.Find("same words", 10) {
			got = append(got, hit.Path)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestBounds(t *testing.T) {
	big := strings.Repeat("a ", maxDocumentBytes/2) + "b"
	if _, err := New(fstest.MapFS{"big.md": {Data: []byte(big)}}); err == nil || !strings.Contains(err.Error(), "big.md") {
		t.Errorf("a document over the bound: %v, want an error that names it", err)
	}
	many := fstest.MapFS{}
	for i := range maxBytes/maxDocumentBytes + 1 {
		many[string(rune('A'+i))+".md"] = &fstest.MapFile{Data: []byte(big[:maxDocumentBytes])}
	}
	if _, err := New(many); err == nil {
		t.Error("documents over the bound together: no error")
	}
	var question strings.Builder
	for i := range maxTerms {
		question.WriteString(string(rune(0x4e00+i)) + " ")
	}
	x := index(t, map[string]string{"a.md": "needle"})
	if hits := x.Find(question.String()+"needle", 1); len(hits) != 0 {
		t.Errorf("word %d of a question was looked at: %v", maxTerms+1, hits)
	}
}

func TestNothingToSearch(t *testing.T) {
	x := index(t, nil)
	if hits := x.Find("anything", 3); x.Len() != 0 || len(hits) != 0 {
		t.Errorf("%d passages, hits %v", x.Len(), hits)
	}
}

func TestLinkTargetsAreNotSearched(t *testing.T) {
	for text, want := range map[string]string{
		"see [keys](howto/keys.md).":            "see [keys]).",
		"[a](b) and [c](d)":                     "[a]) and [c])",
		"plain":                                 "plain",
		"[cut](off":                             "[cut]",
		"[a](never\nclosed":                     "[a]\nclosed",
		"`f[i](x)` is code; the call is a link": "`f[i])` is code; the call is a link",
	} {
		if got := withoutTargets(text); got != want {
			t.Errorf("withoutTargets(%q) = %q, want %q", text, got, want)
		}
	}
}

// How a document is cut is tested in chunk and in document/markdown; this is what a
// passage is made of.
func TestCut(t *testing.T) {
	fence := "```sh\n# not a heading\n\nls\n```"
	tests := []struct {
		name, source string
		want         []Passage
	}{
		{"empty", "", nil},
		{"no heading", "One.\n\nTwo.", []Passage{{Text: "One.\n\nTwo."}}},
		{"headings nest", "# A\none\n## B\ntwo\n### C\nthree\n## D ##\nfour\n", []Passage{
			{Heading: "A", Text: "one"},
			{Heading: "A > B", Text: "two"},
			{Heading: "A > B > C", Text: "three"},
			{Heading: "A > D", Text: "four"},
		}},
		{"an empty section is none", "# A\n\n## B\n\ntext", []Passage{{Heading: "A > B", Text: "text"}}},
		{"a title that a rule underlines", "A\n===\n\ntext", []Passage{{Heading: "A", Text: "text"}}},
		{"a fence hides headings and blank lines", "# A\n\nRun:\n\n" + fence + "\n", []Passage{{Heading: "A", Text: "Run:\n\n" + fence}}},
		{"CRLF", "# A\r\n\r\none\r\ntwo\r\n", []Passage{{Heading: "A", Text: "one\r\ntwo"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := cut("", test.source)
			for i := range got {
				if p := &got[i]; test.source[p.Start:p.Start+len(p.Text)] != p.Text {
					t.Errorf("%q does not stand at %d", p.Text, p.Start)
				} else {
					p.Start = 0
				}
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v\nwant %+v", got, test.want)
			}
		})
	}
}

// TestLongSections: no passage is long, none ends in the middle of a row or begins with
// a heading, and what a line announces stays with it.
func TestLongSections(t *testing.T) {
	fence := "```sh\nheadworks up\n```"
	long := strings.TrimSpace(strings.Repeat("Many words make a long paragraph. ", 50))
	table := "| Name | Means |\n|---|---|\n" + strings.Repeat("| cell | "+strings.Repeat("words ", 20)+"|\n", 40)
	passages := cut("a.md", "# A\n\n"+long+"\n\nRun this:\n\n"+fence+"\n\n"+long+"\n\n"+table)
	announced := false
	for _, p := range passages {
		if n := chunk.Tokens(p.Text); n > passageTokens || p.Heading != "A" || strings.HasPrefix(p.Text, "#") {
			t.Errorf("%d tokens below %q: %q", n, p.Heading, p.Text)
		}
		if strings.HasPrefix(p.Text, "|") && !strings.HasSuffix(p.Text, "|") {
			t.Errorf("a row is cut: %q", p.Text)
		}
		announced = announced || strings.Contains(p.Text, "Run this:\n\n"+fence)
	}
	if !announced || len(passages) < 5 {
		t.Errorf("%+v", passages)
	}
}

// FuzzCut: passages are pieces of the document, in order, and none is long.
func FuzzCut(f *testing.F) {
	f.Add("# A\n\ntext:\n\n```sh\n# no\n```\n| a |\n")
	f.Add("~~~\n\r\n# x")
	f.Add("- a\n\n  # b\n> c\n===\n")
	f.Fuzz(func(t *testing.T, source string) {
		source = strings.ToValidUTF8(source, "?")
		at := 0
		for _, p := range cut("x.md", source) {
			if p.Start < at || source[p.Start:p.Start+len(p.Text)] != p.Text || strings.TrimSpace(p.Text) == "" {
				t.Fatalf("%q at %d is not a piece of the document after byte %d", p.Text, p.Start, at)
			}
			if n := chunk.Tokens(p.Text); n > passageTokens {
				t.Fatalf("a passage of %d tokens", n)
			}
			at = p.Start + len(p.Text)
		}
	})
}

func FuzzFind(f *testing.F) {
	x := index(f, map[string]string{"a.md": "# Keys\n\nA key is `hw_...` and shown once."})
	f.Add("how do I make a key?", 3)
	f.Fuzz(func(t *testing.T, question string, n int) {
		for _, hit := range x.Find(question, n) {
			if hit.Score <= 0 || hit.Cover <= 0 || hit.Cover > 1+1e-9 {
				t.Fatalf("Find(%q) = %+v", question, hit)
			}
		}
	})
}

func BenchmarkNew(b *testing.B) {
	documents := os.DirFS(path.Join("..", "..", "docs"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(documents); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	x, err := New(os.DirFS(path.Join("..", "..", "docs")))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		x.Find("what happens when a stream is cut?", 3)
	}
}
