// Package documenttest checks what holds of every document, and draws documents, for
// the tests of those who make them and of those who use them.
package documenttest

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"headworks/internal/document"
)

// Check returns what is wrong with a document, or nothing.
func Check(d *document.Document) error {
	if !utf8.ValidString(d.Text) || !utf8.ValidString(d.Title) {
		return fmt.Errorf("text or title is not UTF-8")
	}
	if strings.ContainsAny(d.Title, "\n\r\t") {
		return fmt.Errorf("the title %q has several lines", d.Title)
	}
	at := 0
	for i, b := range d.Blocks {
		switch {
		case b.Start < at || b.End <= b.Start || b.End > len(d.Text):
			return fmt.Errorf("block %d spans %d to %d after %d, in %d bytes", i, b.Start, b.End, at, len(d.Text))
		case !utf8.RuneStart(d.Text[b.Start]) || b.End < len(d.Text) && !utf8.RuneStart(d.Text[b.End]):
			return fmt.Errorf("block %d is cut inside a character", i)
		case b.Kind != document.Heading && b.Text != d.Text[b.Start:b.End]:
			return fmt.Errorf("block %d says %q where the document has %q", i, b.Text, d.Text[b.Start:b.End])
		case b.Kind == document.Heading && (b.Level < 1 || b.Level > 6):
			return fmt.Errorf("block %d is a heading of level %d", i, b.Level)
		case b.Head < 0 || b.Head > b.End-b.Start:
			return fmt.Errorf("block %d of %d bytes has a header of %d", i, b.End-b.Start, b.Head)
		case strings.TrimSpace(d.Text[b.Start:b.End]) == "":
			return fmt.Errorf("block %d is white space", i)
		}
		at = b.End
	}
	return nil
}

// Covered returns an error where words of the text are in no block. Front matter
// is such words, so not every document is covered.
func Covered(d *document.Document) error {
	at := 0
	for _, b := range d.Blocks {
		if s := d.Text[at:b.Start]; strings.TrimFunc(s, unicode.IsSpace) != "" {
			return fmt.Errorf("%q is in no block", s)
		}
		at = b.End
	}
	if s := d.Text[at:]; strings.TrimSpace(s) != "" {
		return fmt.Errorf("%q is in no block", s)
	}
	return nil
}

// Draw draws a document of any blocks.
func Draw(t *rapid.T) *document.Document {
	word := rapid.OneOf(
		rapid.StringMatching(`[a-z]{1,12}`), rapid.StringMatching(`[A-Z][a-z]{0,8}[.?!]`),
		rapid.SampledFrom([]string{"日本語", "naïve", "x86_64", "http.Handler", "…", "e\u0301", "12,345.67", ":", "a:", "\u2028"}),
		rapid.StringMatching(`[a-z0-9]{30,90}`),
	)
	line := func(most int) string {
		return strings.Join(rapid.SliceOfN(word, 1, most).Draw(t, "words"), " ")
	}
	var b document.Builder
	for range rapid.IntRange(0, 14).Draw(t, "blocks") {
		b.Page += rapid.IntRange(0, 1).Draw(t, "page")
		switch k := document.Kind(rapid.IntRange(0, int(document.Row)).Draw(t, "kind")); k {
		case document.Heading:
			b.Heading(rapid.IntRange(1, 6).Draw(t, "level"), line(8))
		case document.Table:
			width := rapid.IntRange(1, 4).Draw(t, "width")
			row := func() (r []string) {
				for range width {
					r = append(r, line(6))
				}
				return r
			}
			var head []string
			if rapid.Bool().Draw(t, "head") {
				head = row()
			}
			var rows [][]string
			for range rapid.IntRange(0, 12).Draw(t, "rows") {
				rows = append(rows, row())
			}
			b.Table(head, rows)
		case document.Paragraph:
			b.Add(k, line(120))
		default:
			var lines []string
			for range rapid.IntRange(1, 12).Draw(t, "lines") {
				lines = append(lines, line(12))
			}
			b.Add(k, strings.Join(lines, rapid.SampledFrom([]string{"\n", "\n\n"}).Draw(t, "between")))
		}
	}
	return b.Document(rapid.SampledFrom([]string{"", "A title"}).Draw(t, "title"))
}
