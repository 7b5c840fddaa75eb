// Package chunk cuts a document into passages by its structure: at headings, then
// between blocks, then between sentences, rows and lines, and inside those only where
// one alone is too long. The same document and limits give the same passages.
//
// Units: tokens by the estimate of Tokens, spans in bytes of the document's text.
package chunk

import (
	"slices"
	"strings"

	"headworks/internal/document"
)

// Limits bound a passage.
type Limits struct {
	Tokens  int `json:"tokens"`  // of a passage's text; 0: 512
	Overlap int `json:"overlap"` // of those, at most so many are the end of the passage before it
	// Alone keeps sections apart: each heading begins a passage, however small.
	Alone bool `json:"alone,omitempty"`
}

// Default is what passages are cut by where nobody says otherwise.
func Default() Limits { return Limits{Tokens: 512, Overlap: 64} }

// Chunk is a passage. Every byte of a document that is not white space is in one.
type Chunk struct {
	Title  string // the document's
	Path   string // the headings over all of it, a > b > c, without the title, and of code what it defines; 48 tokens at most
	Text   string // as it stands in the document, after the header of its table where it begins inside of one
	Start  int    // where the text is in the document's, that header left out
	End    int
	Page   int // that it begins on, from 1; 0 where there are no pages
	Tokens int // of Text
}

const (
	over       = " > " // between a heading and the one below it
	pathTokens = 48
	// tiny is the part of the limit below which a section goes together with its
	// neighbours, whatever level their headings have.
	tiny = 8
	// topLevels are the levels of headings that begin a passage.
	topLevels = 2
	minTokens = 16
)

// Cut cuts a document. Limits below 16 tokens are 16; an overlap is half of the limit
// at most.
func Cut(d *document.Document, l Limits) []Chunk {
	if l.Tokens == 0 {
		l.Tokens = Default().Tokens
	}
	l.Tokens = max(l.Tokens, minTokens)
	l.Overlap = min(max(l.Overlap, 0), l.Tokens/2)
	c := cutter{document: d, limits: l}
	sections := sectionsOf(d)
	for i := 0; i < len(sections); {
		j, size := i+1, c.size(sections[i])
		for ; j < len(sections); j++ {
			next := c.size(sections[j])
			small := min(size, next)*tiny < l.Tokens
			if l.Alone || size+next > l.Tokens || !small && sections[j].level <= topLevels {
				break
			}
			size += next
		}
		c.cut(sections[i:j])
		i = j
	}
	return c.chunks
}

// section is a heading and the blocks below it, up to the next heading.
type section struct {
	level  int // of its heading; 0 before the first one
	path   []string
	blocks []document.Block
}

func sectionsOf(d *document.Document) (sections []section) {
	var stack []document.Block
	for i := 0; i < len(d.Blocks); {
		var s section
		if b := d.Blocks[i]; b.Kind == document.Heading {
			for len(stack) > 0 && stack[len(stack)-1].Level >= b.Level {
				stack = stack[:len(stack)-1]
			}
			stack = append(stack, b)
			s.level = b.Level
		}
		for k, h := range stack {
			if words := document.Line(h.Text); words != "" && (k > 0 || words != d.Title) {
				s.path = append(s.path, words)
			}
		}
		j := i + 1
		for j < len(d.Blocks) && d.Blocks[j].Kind != document.Heading {
			j++
		}
		s.blocks = d.Blocks[i:j]
		sections = append(sections, s)
		i = j
	}
	return sections
}

// cutter cuts one document.
type cutter struct {
	document *document.Document
	limits   Limits
	chunks   []Chunk
}

func (c *cutter) size(s section) (n int) {
	for _, b := range s.blocks {
		n += Tokens(c.document.Text[b.Start:b.End])
	}
	return n
}

// piece is what is never cut: a heading, a sentence, a row, a line, a block of code
// that fits.
type piece struct {
	start, end int
	tokens     int
	first      bool   // it begins a block
	holds      bool   // what follows belongs to it: a heading, a line that ends in a colon
	again      bool   // it may stand in two passages
	head       string // of its table, where it is a row below one
	headTokens int
	name       string // what it is part of the definition of
	page       int
	section    int
}

// cut cuts sections that go together into as few passages as hold them.
func (c *cutter) cut(sections []section) {
	var pieces []piece
	for i, s := range sections {
		for _, b := range s.blocks {
			pieces = append(pieces, c.pieces(b, i)...)
		}
	}
	for from, fresh := 0, 0; fresh < len(pieces); {
		head := ""
		room := c.limits.Tokens
		if p := pieces[from]; p.head != "" && p.headTokens+p.tokens <= room {
			head = p.head
			room -= p.headTokens
		}
		size, to := 0, from
		for to < len(pieces) && (to <= fresh || size+pieces[to].tokens <= room) {
			size += pieces[to].tokens
			to++
		}
		if to < len(pieces) {
			to = breakAt(pieces, from, fresh, to, size)
		}
		c.emit(sections, pieces[from:to], head)
		fresh = to
		if fresh < len(pieces) {
			from = c.overlap(pieces, from+1, fresh)
		}
	}
}

// breakAt returns where to end a passage that could go on up to before to: before a
// block where that leaves half of it, and never after what holds what follows. At
// least the piece at fresh is in it.
func breakAt(pieces []piece, from, fresh, to, size int) int {
	best := to
	left := size
	for k := to; k > fresh+1 && left*2 >= size; k-- {
		if k < len(pieces) && pieces[k].first {
			best = k
			break
		}
		left -= pieces[k-1].tokens
	}
	for k := best; k > fresh+1; k-- {
		if !pieces[k-1].holds {
			return k
		}
	}
	return best
}

// overlap returns where the passage begins whose first new piece is at fresh: so
// many pieces before it, from least on, as the overlap has room for, within its
// section.
func (c *cutter) overlap(pieces []piece, least, fresh int) int {
	p := pieces[fresh]
	room := min(c.limits.Overlap, c.limits.Tokens-p.tokens)
	from := fresh
	for from > least && p.again {
		q := pieces[from-1]
		if !q.again || q.section != p.section || q.tokens > room {
			break
		}
		room -= q.tokens
		from--
	}
	return from
}

func (c *cutter) emit(sections []section, pieces []piece, head string) {
	first, last := pieces[0], pieces[len(pieces)-1]
	text := head + c.document.Text[first.start:last.end]
	path, name := sections[first.section].path, first.name
	for _, p := range pieces {
		path = shared(path, sections[p.section].path)
		if p.name != name {
			name = ""
		}
	}
	if name != "" {
		path = append(slices.Clip(path), name)
	}
	c.chunks = append(c.chunks, Chunk{
		Title: c.document.Title, Path: pathOf(path), Text: text,
		Start: first.start, End: last.end, Page: first.page, Tokens: Tokens(text),
	})
}

// shared returns what two paths have in common from the top.
func shared(a, b []string) []string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// pathOf joins headings. Where they are too long the outermost are left out, and the
// last one is cut between words.
func pathOf(headings []string) string {
	path, size := "", 0
	for _, h := range slices.Backward(headings) {
		n := Tokens(h)
		switch {
		case path == "" && n > pathTokens:
			return firstWords(h, pathTokens)
		case path == "":
			path, size = h, n
		case size+n+1 > pathTokens:
			return path
		default:
			path, size = h+over+path, size+n+1
		}
	}
	return path
}

func firstWords(s string, tokens int) string {
	end := 0
	for _, p := range splitLong(s, 0, len(s), tokens) {
		if p.start > 0 {
			break
		}
		end = p.end
	}
	return strings.TrimSpace(s[:end])
}
