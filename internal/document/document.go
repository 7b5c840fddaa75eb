// Package document says what a document is, whatever file it came from: a title and
// a text, and the headings, paragraphs, code, tables and lists that the text is made
// of. Spans are in bytes of that text, so that a citation of it is true.
package document

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Document is what one document says. Nobody changes it.
type Document struct {
	ID     string            // within a file that holds several documents; else empty
	Title  string            // one line; empty where the document has none
	Text   string            // the canonical text, in UTF-8
	Blocks []Block           // in the order of the text; only white space lies between them
	Meta   map[string]string // what the file says about the document
	Notes  []string          // what to know of how it was read, for people
}

// Kind is what a block is.
type Kind uint8

// The kinds of blocks.
const (
	Paragraph Kind = iota
	Heading
	Code  // whole where it fits
	Table // a row a line
	List  // an item a line, or several lines
	Row   // one row of a table that stands for itself, a line for each of its cells
)

var kinds = [...]string{Paragraph: "paragraph", Heading: "heading", Code: "code", Table: "table", List: "list", Row: "row"}

func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return "unknown"
}

// Block is a piece of a document.
type Block struct {
	Kind       Kind
	Level      int    // of a heading: 1 to 6
	Name       string // of code: what it defines, where that is known
	Text       string // of a heading its words without marks; else as it stands in the document
	Head       int    // of a table: so many bytes at its beginning are its header
	Page       int    // from 1; 0 where there are no pages
	Start, End int    // in the document's text
}

// Builder writes a document whose text is not the file's own. Blocks stand an empty
// line apart. Text that is not UTF-8 is mended, and what is empty is left out.
type Builder struct {
	Page   int // of the blocks that follow
	text   strings.Builder
	blocks []Block
}

// Len returns the bytes written.
func (b *Builder) Len() int { return b.text.Len() }

// Heading adds a heading. A level below 1 is 1, over 6 it is 6.
func (b *Builder) Heading(level int, words string) {
	b.add(Block{Kind: Heading, Level: min(max(level, 1), 6)}, Line(words))
}

// Add adds a block of another kind.
func (b *Builder) Add(k Kind, text string) { b.add(Block{Kind: k}, text) }

// Table adds a table: its header row, which may be empty, and its other rows.
func (b *Builder) Table(head []string, rows [][]string) {
	var t strings.Builder
	row := func(cells []string) {
		t.WriteByte('|')
		for _, c := range cells {
			t.WriteByte(' ')
			t.WriteString(strings.ReplaceAll(Line(c), "|", "/"))
			t.WriteString(" |")
		}
		t.WriteByte('\n')
	}
	headed := 0
	if len(head) > 0 {
		row(head)
		t.WriteString("|" + strings.Repeat(" --- |", len(head)) + "\n")
		headed = t.Len()
	}
	for _, r := range rows {
		row(r)
	}
	if len(rows) == 0 {
		headed = 0 // a header with nothing below it is a row
	}
	b.add(Block{Kind: Table, Head: headed}, t.String())
}

func (b *Builder) add(k Block, text string) {
	text = strings.TrimRightFunc(Clean(text), unicode.IsSpace)
	if k.Kind != Code {
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
	} else {
		text = strings.TrimLeft(text, "\n")
	}
	if strings.TrimSpace(text) == "" {
		return
	}
	if b.text.Len() > 0 {
		b.text.WriteString("\n\n")
	}
	k.Page, k.Start = b.Page, b.text.Len()
	b.text.WriteString(text)
	k.Text, k.End = text, b.text.Len()
	k.Head = min(k.Head, len(text))
	b.blocks = append(b.blocks, k)
}

// Document returns what was written. A title that is empty is that of the first
// heading, if that one is on the first or second level.
func (b *Builder) Document(title string) *Document {
	return New(title, b.text.String(), b.blocks)
}

// New returns a document of a text and its blocks, whose Text it fills where it is
// empty. A title that is empty is that of the first heading, if that one is on the
// first or second level.
func New(title, text string, blocks []Block) *Document {
	d := &Document{Title: Line(title), Text: text, Blocks: blocks}
	for i := range blocks {
		if k := &blocks[i]; k.Text == "" || k.Kind != Heading {
			k.Text = text[k.Start:k.End]
		}
	}
	if d.Title != "" {
		return d
	}
	for _, k := range blocks {
		if k.Kind == Heading {
			if k.Level <= 2 {
				d.Title = k.Text
			}
			break
		}
	}
	return d
}

// Note adds what to know of how the document was read.
func (d *Document) Note(words string) { d.Notes = append(d.Notes, words) }

// Plain returns the document of a text without marks: its paragraphs, which empty
// lines part. The text stays as it is.
func Plain(title, text string) *Document {
	return New(title, text, paragraphs(text))
}

func paragraphs(text string) (blocks []Block) {
	at, start, end := 0, -1, 0
	flush := func() {
		if start >= 0 {
			blocks = append(blocks, Block{Kind: Paragraph, Start: start, End: end})
		}
		start = -1
	}
	for line := range strings.Lines(text) {
		if bare := strings.TrimSpace(line); bare == "" {
			flush()
		} else {
			if start < 0 {
				start = at + strings.Index(line, bare)
			}
			end = at + strings.Index(line, bare) + len(bare)
		}
		at += len(line)
	}
	flush()
	return blocks
}

// Line returns text as one line: runs of white space are one space.
func Line(text string) string { return strings.Join(strings.Fields(text), " ") }

// Clean returns text as UTF-8 without what no reader sees: control characters other
// than tab and line feed, a byte order mark, soft hyphens, spaces of no width. Ends
// of lines are line feeds.
func Clean(text string) string {
	if clean(text) {
		return text
	}
	var out strings.Builder
	out.Grow(len(text))
	for i, r := range text {
		switch {
		case r == '\r':
			if i+1 >= len(text) || text[i+1] != '\n' {
				out.WriteByte('\n')
			}
		case r == utf8.RuneError:
			out.WriteRune(r) // mended where it was no UTF-8
		case !unseen(r):
			out.WriteRune(r)
		}
	}
	return out.String()
}

func clean(text string) bool {
	for i, r := range text {
		if r == '\r' || unseen(r) {
			return false
		}
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return false
			}
		}
	}
	return true
}

func unseen(r rune) bool {
	switch r {
	case '\t', '\n':
		return false
	case '\u00ad', '\u200b', '\u2060', '\ufeff':
		return true
	}
	return r < ' ' || r >= 0x7f && r < 0xa0
}
