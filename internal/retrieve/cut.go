package retrieve

import (
	"strings"
	"unicode/utf8"
)

const (
	over = " > " // between a heading and the one below it

	passageBytes = 1200             // a passage grows by whole blocks up to here
	blockBytes   = 4 * passageBytes // a fenced block stays whole up to here
)

// cut cuts a Markdown document into passages: at every heading, and inside a
// section at blank lines where it would grow over passageBytes. Up to blockBytes
// a fenced block is not cut, nor is a line that ends in a colon cut off from what
// it announces. Each text is a piece of the source, byte for byte.
func cut(path, source string) []Passage {
	c := cutter{path: path, source: source}
	fence := ""
	at := 0
	for whole := range strings.Lines(source) {
		line := strings.TrimRight(whole, " \t\r\n")
		bare := strings.TrimLeft(line, " \t")
		mark := fenceOf(bare)
		level, heading := headingOf(line)
		switch {
		case fence != "":
			c.add(at, line)
			if strings.HasPrefix(mark, fence) && bare == mark {
				fence = ""
			}
		case mark != "":
			c.add(at, line)
			fence = mark
		case bare == "":
			c.endBlock()
		case level > 0:
			c.endSection()
			c.enter(level, heading)
		default:
			c.add(at, line)
		}
		at += len(whole)
	}
	c.endSection()
	return c.passages
}

// cutter gathers lines into blocks, and the blocks of a section into passages.
type cutter struct {
	path, source string
	headings     [6]string
	open         span   // the block being read
	blocks       []span // of the section being read
	announced    bool   // the last block ends in a colon
	passages     []Passage
}

type span struct{ start, end int }

func (s span) empty() bool { return s.end == s.start }

// add puts a line, which stands at a place in the source, into the open block.
func (c *cutter) add(at int, line string) {
	if c.open.empty() {
		c.open.start = at
	}
	c.open.end = at + len(line)
}

func (c *cutter) endBlock() {
	b := c.open
	if b.empty() {
		return
	}
	if n := len(c.blocks); c.announced && b.end-c.blocks[n-1].start <= blockBytes {
		c.blocks[n-1].end = b.end
	} else {
		c.blocks = split(c.source, b, c.blocks)
	}
	c.announced = len(c.blocks) > 0 && c.source[b.end-1] == ':'
	c.open = span{}
}

func (c *cutter) endSection() {
	c.endBlock()
	heading := c.heading()
	for i := 0; i < len(c.blocks); {
		s := c.blocks[i]
		for i++; i < len(c.blocks) && c.blocks[i].end-s.start <= passageBytes; i++ {
			s.end = c.blocks[i].end
		}
		c.passages = append(c.passages, Passage{Path: c.path, Heading: heading, Text: c.source[s.start:s.end], Start: s.start})
	}
	c.blocks, c.announced = c.blocks[:0], false
}

func (c *cutter) enter(level int, heading string) {
	c.headings[level-1] = heading
	clear(c.headings[level:])
}

// heading returns the headings that stand over the section, from the title down.
func (c *cutter) heading() string {
	var named []string
	for _, h := range c.headings {
		if h != "" {
			named = append(named, h)
		}
	}
	return strings.Join(named, over)
}

// split appends a block to blocks, in pieces if it is too long: a table over
// passageBytes, anything else over blockBytes. It is cut at a line end, else at a
// space, else between two runes.
func split(source string, b span, blocks []span) []span {
	bound := blockBytes
	if source[b.start] == '|' {
		bound = passageBytes
	}
	for b.end-b.start > bound {
		window := source[b.start : b.start+bound]
		n := strings.LastIndexByte(window, '\n')
		if n <= 0 {
			n = strings.LastIndexByte(window, ' ')
		}
		if n <= 0 {
			for n = bound; n > bound-utf8.UTFMax && !utf8.RuneStart(source[b.start+n]); n-- {
			}
		}
		piece := trim(source, span{b.start, b.start + n})
		if !piece.empty() {
			blocks = append(blocks, piece)
		}
		b.start += n
		b.start += len(source[b.start:b.end]) - len(strings.TrimLeft(source[b.start:b.end], "\r\n"))
	}
	if b = trim(source, b); !b.empty() {
		blocks = append(blocks, b)
	}
	return blocks
}

// trim takes white space off the end of a block.
func trim(source string, b span) span {
	b.end = b.start + len(strings.TrimRight(source[b.start:b.end], " \t\r\n"))
	return b
}

// fenceOf returns the run of three or more backticks or tildes a line opens with.
func fenceOf(line string) string {
	if line == "" || line[0] != '`' && line[0] != '~' {
		return ""
	}
	n := len(line) - len(strings.TrimLeft(line, line[:1]))
	if n < 3 || line[0] == '`' && strings.Contains(line[n:], "`") {
		return ""
	}
	return line[:n]
}

// headingOf returns the level of an ATX heading and its text; level 0 is none.
func headingOf(line string) (int, string) {
	level := len(line) - len(strings.TrimLeft(line, "#"))
	if level < 1 || level > 6 || level < len(line) && line[level] != ' ' && line[level] != '\t' {
		return 0, ""
	}
	return level, strings.TrimSpace(strings.TrimRight(strings.TrimSpace(line[level:]), "#"))
}
