package document

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"a\r\nb\rc\n":            "a\nb\nc\n",
		"zero\u200bwidth\ufeff":  "zerowidth",
		"soft\u00adhyphen":       "softhyphen",
		"a\x00b\x1b[0m\u0085c\t": "ab[0mc\t",
		"gr\xfcn":                "gr\ufffdn",
		"no\u00a0break ✓":        "no\u00a0break ✓",
		"":                       "",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		once := Clean(string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")))
		if !utf8.ValidString(once) || Clean(once) != once {
			t.Fatalf("%q is not clean", once)
		}
	})
}

func TestBuilder(t *testing.T) {
	var b Builder
	b.Add(Paragraph, " \n ")
	b.Heading(0, " A\n title ")
	b.Page = 2
	b.Add(Code, "\n\n  indented\n  \n")
	b.Table([]string{"a|b", "c"}, [][]string{{"1", "x\ny"}, {"2"}})
	b.Table([]string{"alone"}, nil)
	b.Heading(9, "deep")
	d := b.Document("")
	var got []string
	for _, k := range d.Blocks {
		if k.Text != d.Text[k.Start:k.End] {
			t.Errorf("%q is not what stands at its span", k.Text)
		}
		got = append(got, k.Kind.String()+" "+k.Text)
	}
	want := []string{
		"heading A title", "code   indented", "table | a/b | c |\n| --- | --- |\n| 1 | x y |\n| 2 |",
		"table | alone |\n| --- |", "heading deep",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if d.Title != "A title" || d.Blocks[0].Level != 1 || d.Blocks[4].Level != 6 || d.Blocks[0].Page != 0 || d.Blocks[1].Page != 2 {
		t.Errorf("%q %+v", d.Title, d.Blocks)
	}
	if head := d.Blocks[2].Text[:d.Blocks[2].Head]; head != "| a/b | c |\n| --- | --- |\n" || d.Blocks[3].Head != 0 {
		t.Errorf("header %q, and %d bytes of one alone", head, d.Blocks[3].Head)
	}
}

func TestPlain(t *testing.T) {
	text := "\n one\ntwo  \n \t\n\nthree"
	d := Plain(" A\ntitle", text)
	if d.Text != text || d.Title != "A title" || len(d.Blocks) != 2 || d.Blocks[0].Text != "one\ntwo" || d.Blocks[1].Text != "three" {
		t.Errorf("%+v", d)
	}
	if d := Plain("", strings.Repeat("\n", 10)); len(d.Blocks) != 0 {
		t.Errorf("%+v", d)
	}
}
