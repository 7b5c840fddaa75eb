package chunk

import (
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"headworks/internal/document"
	"headworks/internal/document/documenttest"
)

// TestCut draws documents and limits: every word of the text is in a passage, each
// passage is what stands at its span, after a header at most, none is over the
// limit, they go forward, and a second time gives the same.
func TestCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := documenttest.Draw(t)
		if err := documenttest.Check(d); err != nil {
			t.Fatal(err)
		}
		if err := documenttest.Covered(d); err != nil {
			t.Fatal(err)
		}
		l := Limits{Tokens: rapid.IntRange(16, 128).Draw(t, "tokens"), Overlap: rapid.IntRange(0, 32).Draw(t, "overlap")}
		chunks := Cut(d, l)
		if err := check(d, l, chunks); err != "" {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(chunks, Cut(d, l)) {
			t.Fatal("cut twice, two results")
		}
	})
}

func check(d *document.Document, l Limits, chunks []Chunk) string {
	covered, start := 0, -1
	for _, c := range chunks {
		own := d.Text[c.Start:c.End]
		head, ok := strings.CutSuffix(c.Text, own)
		switch {
		case !ok || own == "":
			return "the text " + c.Text + " is not what stands at its span: " + own
		case !utf8.ValidString(own):
			return "cut inside a character: " + own
		case head != "" && !strings.Contains(d.Text[:c.Start], head):
			return "a header that the document does not have before: " + head
		case c.Tokens != Tokens(c.Text) || c.Tokens > l.Tokens:
			return "too long: " + c.Text
		case Tokens(c.Path) > pathTokens:
			return "the path is too long: " + c.Path
		case c.Start <= start || c.End <= covered:
			return "it does not go forward: " + own
		case c.Start > covered && strings.TrimFunc(d.Text[covered:c.Start], unicode.IsSpace) != "":
			return "in no passage: " + d.Text[covered:c.Start]
		case c.Start < covered && Tokens(d.Text[c.Start:covered]) > l.Overlap:
			return "too much twice: " + d.Text[c.Start:covered]
		}
		start, covered = c.Start, c.End
	}
	if rest := d.Text[covered:]; strings.TrimFunc(rest, unicode.IsSpace) != "" {
		return "in no passage: " + rest
	}
	return ""
}

func TestTokens(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "  \n": 0, "the": 1, "window": 1, "windows": 2, "a b": 2, "don't": 3, "x = f(y)": 6,
		"日本語": 3, "naïve": 1, "1,000": 3, "e\u0301a": 1,
	} {
		if n := Tokens(text); n != want {
			t.Errorf("%q has %d tokens, want %d", text, n, want)
		}
	}
}

// words returns n different words of one token each.
func words(n int, prefix string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(prefix)
		b.WriteByte("abcdefghijklmnopqrstuvwxyz"[i/26%26])
		b.WriteByte("abcdefghijklmnopqrstuvwxyz"[i%26])
		b.WriteByte(' ')
	}
	return strings.TrimSpace(b.String())
}

func TestSections(t *testing.T) {
	var b document.Builder
	b.Heading(1, "Guide")
	b.Heading(2, "Install")
	b.Add(document.Paragraph, words(60, "i"))
	b.Heading(3, "Linux")
	b.Add(document.Paragraph, words(20, "l"))
	b.Heading(2, "Run")
	b.Add(document.Paragraph, words(60, "r"))
	chunks := Cut(b.Document(""), Limits{Tokens: 100})
	var got []string
	for _, c := range chunks {
		got = append(got, c.Path+"|"+strings.Fields(c.Text)[0]+" "+strings.Fields(c.Text)[1])
	}
	// The heading of the whole is tiny and goes with what follows; Linux lies below
	// Install and fits beside it; Run is of the same level as Install.
	if want := []string{"|Guide Install", "Run|Run raa"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if chunks[0].Title != "Guide" {
		t.Errorf("title %q", chunks[0].Title)
	}
}

func TestHeadingStaysWithItsText(t *testing.T) {
	var b document.Builder
	b.Add(document.Paragraph, words(90, "a"))
	b.Heading(3, "Last line")
	b.Add(document.Paragraph, words(30, "b"))
	for _, c := range Cut(b.Document("t"), Limits{Tokens: 100}) {
		if strings.HasSuffix(c.Text, "Last line") {
			t.Errorf("a passage ends in a heading: %q", c.Text)
		}
	}
}

func TestCodeStaysWhole(t *testing.T) {
	var b document.Builder
	b.Add(document.Paragraph, words(80, "a")+" so write:")
	code := "func main() {\n\n\tprintln(1)\n}"
	b.Add(document.Code, code)
	b.Add(document.Paragraph, words(80, "b"))
	whole := 0
	for _, c := range Cut(b.Document("t"), Limits{Tokens: 100, Overlap: 10}) {
		if strings.Contains(c.Text, code) {
			whole++
			if !strings.Contains(c.Text, "so write:") {
				t.Errorf("cut off from what announces it: %q", c.Text)
			}
		}
	}
	if whole != 1 {
		t.Errorf("the code is whole in %d passages", whole)
	}
}

func TestTableHeaderIsRepeated(t *testing.T) {
	var b document.Builder
	var rows [][]string
	for range 40 {
		rows = append(rows, []string{"name", "value"})
	}
	b.Table([]string{"Field", "Meaning"}, rows)
	d := b.Document("t")
	chunks := Cut(d, Limits{Tokens: 64})
	if len(chunks) < 3 {
		t.Fatalf("%d passages", len(chunks))
	}
	for i, c := range chunks {
		if !strings.HasPrefix(c.Text, "| Field | Meaning |\n| --- | --- |\n| name") {
			t.Errorf("passage %d begins %q", i, c.Text[:40])
		}
		if (i == 0) != strings.HasPrefix(d.Text[c.Start:c.End], "| Field") {
			t.Errorf("the span of passage %d begins %q", i, d.Text[c.Start:c.End][:20])
		}
		for line := range strings.Lines(c.Text) {
			if !strings.HasPrefix(line, "| ") || !strings.HasSuffix(strings.TrimSpace(line), "|") {
				t.Errorf("a row is cut: %q", line)
			}
		}
	}
}

func TestOverlapIsWholeSentences(t *testing.T) {
	var b document.Builder
	var text []string
	for i := range 30 {
		text = append(text, "Sentence "+words(8, string(rune('a'+i%26)))+".")
	}
	b.Add(document.Paragraph, strings.Join(text, " "))
	chunks := Cut(b.Document("t"), Limits{Tokens: 60, Overlap: 12})
	for i, c := range chunks {
		if !strings.HasPrefix(c.Text, "Sentence") || !strings.HasSuffix(c.Text, ".") {
			t.Errorf("passage %d is no whole sentences: %q", i, c.Text)
		}
		if i > 0 && c.Start >= chunks[i-1].End {
			t.Errorf("passage %d does not overlap", i)
		}
	}
}

func TestPath(t *testing.T) {
	long := words(40, "p")
	for _, test := range []struct {
		headings []string
		want     string
	}{
		{nil, ""},
		{[]string{"a", "b"}, "a > b"},
		{[]string{long, "b c d e f g h i j k", "x"}, "b c d e f g h i j k > x"},
		{[]string{words(60, "p")}, words(48, "p")},
	} {
		if got := pathOf(test.headings); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
