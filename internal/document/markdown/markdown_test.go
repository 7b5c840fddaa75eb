package markdown

import (
	"fmt"
	"strings"
	"testing"

	"headworks/internal/document/documenttest"
)

const page = `---
title: "A guide"
Author: Ada
tags:
  - x
---
<!-- a comment -->

Setext *title*
==============

Words of the first
paragraph.

## Run ` + "`it`" + ` now ##

1. one

   still one
2. two

` + "```sh\n# no heading\n\nmake\n```" + `

| a | b |
| - | - |
| 1 | 2 |
> quoted
> # no heading of ours

[ref]: https://example.com
`

func TestRead(t *testing.T) {
	d := Read(page)
	if err := documenttest.Check(d); err != nil {
		t.Fatal(err)
	}
	if d.Text != page {
		t.Error("the text is not the source")
	}
	var got strings.Builder
	for _, b := range d.Blocks {
		fmt.Fprintf(&got, "%s %d %d %q\n", b.Kind, b.Level, b.Head, b.Text)
	}
	want := `paragraph 0 0 "<!-- a comment -->"
heading 1 0 "Setext title"
paragraph 0 0 "Words of the first\nparagraph."
heading 2 0 "Run it now"
list 0 0 "1. one\n\n   still one\n2. two"
code 0 0 "` + "```sh\\n# no heading\\n\\nmake\\n```" + `"
table 0 20 "| a | b |\n| - | - |\n| 1 | 2 |"
paragraph 0 0 "> quoted\n> # no heading of ours"
paragraph 0 0 "[ref]: https://example.com"
`
	if got.String() != want {
		t.Errorf("%s\nwant\n%s", got.String(), want)
	}
	if d.Title != "A guide" || d.Meta["author"] != "Ada" {
		t.Errorf("title %q, meta %q", d.Title, d.Meta)
	}
}

func TestFrontMatter(t *testing.T) {
	for source, title := range map[string]string{
		"---\nA heading by its rule.\n---\n# T":    "A heading by its rule.",
		"---\ntitle: open\n":                       "",
		"---\r\ntitle: Windows\r\n---\r\n# Other":  "Windows",
		"---\n# a comment\ntitle: T2\n...\n\nText": "T2",
		"# Plain\n\ntext":                          "Plain",
		"### Deep\n\ntext":                         "",
	} {
		if d := Read(source); d.Title != title {
			t.Errorf("%q has the title %q, want %q", source, d.Title, title)
		}
	}
}

// TestDeep: more marks of quotes and lists than a line can mean are letters to the
// reader, and stand in the text as they are.
func TestDeep(t *testing.T) {
	for _, source := range []string{
		strings.Repeat("> ", 10_000) + "words", strings.Repeat("- ", 10_000) + "words", strings.Repeat(">", 500) + " a\n\nb",
		deep(300),
	} {
		d := Read(source)
		if err := documenttest.Check(d); err != nil {
			t.Fatal(err)
		}
		if err := documenttest.Covered(d); err != nil || d.Text != source {
			t.Errorf("%v", err)
		}
	}
	// A rule is as long as it is.
	d := Read("a\n\n" + strings.Repeat("- ", 200) + "\n\n# b\n")
	if len(d.Blocks) != 3 || d.Title != "b" {
		t.Errorf("%+v", d.Blocks)
	}
}

// deep returns a list with as many lists in each other.
func deep(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat("  ", i) + "- item\n")
	}
	return b.String()
}

func TestHeadings(t *testing.T) {
	for line, want := range map[string]string{
		"# A *b* `c d` [e](https://f) <https://g>": "A b c d e https://g",
		"# 1. one":             "1. one",
		"# \\# not `` ` `` it": "# not ` it",
		"# a &amp; b":          "a & b",
		"## trailing ##":       "trailing",
		"# ![alt](x.png) it":   "alt it",
	} {
		d := Read(line + "\n")
		if len(d.Blocks) != 1 || d.Blocks[0].Text != want {
			t.Errorf("%s: %+v, want %q", line, d.Blocks, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{page, "", "\t- a\n\t\tb\n", "> > 1. - # x\n", "a\n===\n---\n", "|a|\n|-|\n", "\r\n\r\n# a\r\n```\r\n", "[a]: b", "* * *\n\n\x00", "<p>\n\n</p>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		d := Read(strings.ToValidUTF8(source, "?"))
		if err := documenttest.Check(d); err != nil {
			t.Fatal(err)
		}
		if d.Meta == nil {
			if err := documenttest.Covered(d); err != nil {
				t.Fatal(err)
			}
		}
	})
}
