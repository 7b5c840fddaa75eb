// Package markdown reads Markdown as a document whose text is the source itself,
// byte for byte.
package markdown

import (
	"bytes"
	"html"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"

	"headworks/internal/document"
)

// Read reads Markdown (CommonMark with GitHub's tables). Where it begins with front
// matter, that is in no block but of its lines "name: value" the title is the
// document's, and others are its metadata.
func Read(source string) *document.Document {
	front, meta := frontMatter(source)
	body := shallow([]byte(source[front:]))
	root := blockParser().Parse(text.NewReader(body))

	var blocks []document.Block
	add := func(b document.Block, at int) {
		if n := len(blocks); n > 0 {
			blocks[n-1].End = at
		} else {
			at = front // what comes before, such as a comment, belongs to the first
		}
		b.Start = at
		blocks = append(blocks, b)
	}
	for n := root.FirstChild(); n != nil; n = n.NextSibling() {
		if n.Pos() < 0 {
			continue
		}
		at := front + lineStart(body, n.Pos())
		if k := len(blocks); k > 0 && at <= blocks[k-1].Start {
			continue // on the line of what is there already
		}
		switch n := n.(type) {
		case *ast.Heading:
			add(document.Block{Kind: document.Heading, Level: n.Level, Text: words(n, body)}, at)
		case *ast.FencedCodeBlock, *ast.CodeBlock:
			add(document.Block{Kind: document.Code}, at)
		case *ast.List:
			add(document.Block{Kind: document.List}, at)
		case *east.Table:
			add(document.Block{Kind: document.Table, Head: headOf(body[at-front:])}, at)
		default:
			add(document.Block{Kind: document.Paragraph}, at)
		}
	}
	if n := len(blocks); n > 0 {
		blocks[n-1].End = len(source)
	} else if rest := strings.TrimSpace(source[front:]); rest != "" {
		blocks = append(blocks, document.Block{Start: front, End: len(source)}) // definitions of links alone
	}
	kept := blocks[:0]
	for _, b := range blocks {
		s := source[b.Start:b.End]
		b.End = b.Start + len(strings.TrimRight(s, " \t\r\n"))
		if lead := leadOf(s); b.Start+lead < b.End {
			b.Start += lead
			b.Head = min(max(b.Head-lead, 0), b.End-b.Start)
			kept = append(kept, b)
		}
	}
	d := document.New(meta["title"], source, kept)
	delete(meta, "title")
	d.Meta = meta
	return d
}

// leadOf returns the length of the empty lines that text begins with; the white
// space of the first line with words is part of it.
func leadOf(s string) int {
	at := 0
	for line := range strings.Lines(s) {
		if strings.TrimSpace(line) != "" {
			break
		}
		at += len(line)
	}
	return at
}

func lineStart(body []byte, at int) int {
	for at > 0 && body[at-1] != '\n' {
		at--
	}
	return at
}

// headOf returns the length of the two lines that a table begins with.
func headOf(table []byte) int {
	lines := 0
	for i, c := range table {
		if c == '\n' {
			if lines++; lines == 2 {
				return i + 1
			}
		}
	}
	return 0
}

// blockParser returns a parser that looks at blocks alone. What stands in lines is of
// no interest but in headings, and there are lines whose marks take long to pair.
func blockParser() parser.Parser {
	return parser.NewParser(
		parser.WithBlockParsers(parser.DefaultBlockParsers()...),
		parser.WithParagraphTransformers(util.Prioritized(extension.NewTableParagraphTransformer(), 200)),
	)
}

// MaxBytes bounds a source: its blocks take many times its size, and a second a MiB
// where a machine is slow.
const MaxBytes = 16 << 20

const (
	// maxMarks bounds the marks of quotes and lists that a line begins with, each of
	// which would be a block within the one before.
	maxMarks = 64
	// maxIndent bounds the bytes of white space before a mark, for the same reason:
	// lists are set in by two at least.
	maxIndent = 2 * maxMarks
)

// shallow returns the source, of the same length, with a letter in the place of each
// mark over the bounds.
func shallow(body []byte) []byte {
	for at := 0; at < len(body); {
		end := len(body)
		if n := bytes.IndexByte(body[at:], '\n'); n >= 0 {
			end = at + n
		}
		line := body[at:end]
		marks := len(line) - len(bytes.TrimLeft(line, markSigns))
		indent := len(line) - len(bytes.TrimLeft(line, " \t"))
		if marks > min(maxMarks, maxIndent) && marks < len(bytes.TrimRight(line, " \t\r")) {
			seen := 0
			for i, c := range line[:marks] {
				if c != ' ' && c != '\t' {
					if seen++; seen > maxMarks || indent > maxIndent {
						line[i] = 'x'
					}
				}
			}
		}
		at = end + 1
	}
	return body
}

const markSigns = " \t>-*+0123456789.)"

const (
	// maxHeading bounds a heading whose marks are left out.
	maxHeading = 1 << 10
	// inlineSigns are those without one of which a line has no marks.
	inlineSigns = "\\`*_[]<>&!"
)

// words returns what a heading says, its marks left out.
func words(n *ast.Heading, body []byte) string {
	var raw bytes.Buffer
	for i := range n.Lines().Len() {
		if i > 0 {
			raw.WriteByte(' ')
		}
		line := n.Lines().At(i)
		raw.Write(line.Value(body))
	}
	bare := document.Line(raw.String())
	if len(bare) > maxHeading || !strings.ContainsAny(bare, inlineSigns) {
		return bare
	}
	// In front of it stands what makes a paragraph of anything.
	const before = "x "
	inside := []byte(before + bare)
	var b strings.Builder
	root := goldmark.DefaultParser().Parse(text.NewReader(inside))
	_ = ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Text:
			words := n.Segment.Value(inside)
			if _, code := n.Parent().(*ast.CodeSpan); !code {
				words = []byte(html.UnescapeString(string(util.UnescapePunctuations(words))))
			}
			b.Write(words)
		case *ast.String:
			b.Write(n.Value)
		case *ast.AutoLink:
			b.Write(n.Label(inside))
		}
		return ast.WalkContinue, nil
	})
	return document.Line(strings.TrimPrefix(b.String(), before))
}

// frontMatter returns the length of the front matter, and its plain lines.
func frontMatter(source string) (int, map[string]string) {
	rest, ok := strings.CutPrefix(source, "---\n")
	if !ok {
		if rest, ok = strings.CutPrefix(source, "---\r\n"); !ok {
			return 0, nil
		}
	}
	at := len(source) - len(rest)
	meta := map[string]string{}
	for line := range strings.Lines(rest) {
		at += len(line)
		bare := strings.TrimRight(line, " \t\r\n")
		if bare == "---" || bare == "..." {
			return at, meta
		}
		name, value, ok := strings.Cut(bare, ":")
		if name = strings.TrimSpace(name); ok && name != "" && !strings.ContainsAny(name, " \t#-") && len(meta) < 64 {
			if value = strings.Trim(strings.TrimSpace(value), `"'`); value != "" {
				meta[strings.ToLower(name)] = value
			}
		} else if bare != "" && !strings.HasPrefix(bare, " ") && !strings.HasPrefix(bare, "-") && !strings.HasPrefix(bare, "#") && !ok {
			return 0, nil // prose between two rules
		}
	}
	return 0, nil
}
