// Package markdown reads Markdown as a document whose text is the source itself,
// byte for byte.
package markdown

import (
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"

	"headworks/internal/document"
)

// Read reads Markdown (CommonMark with GitHub's tables). Where it begins with front
// matter, that is in no block but of its lines "name: value" the title is the
// document's, and others are its metadata.
func Read(source string) *document.Document {
	front, meta := frontMatter(source)
	body := []byte(source[front:])
	root := goldmark.New(goldmark.WithExtensions(extension.Table)).Parser().Parse(text.NewReader(body))

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
			add(document.Block{Kind: document.Heading, Level: n.Level, Text: document.Line(words(n, body))}, at)
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

// words returns what a heading says, its marks left out.
func words(n ast.Node, body []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Text:
			b.Write(n.Segment.Value(body))
			if n.SoftLineBreak() || n.HardLineBreak() {
				b.WriteByte(' ')
			}
		case *ast.String:
			b.Write(n.Value)
		case *ast.AutoLink:
			b.Write(n.Label(body))
		}
		return ast.WalkContinue, nil
	})
	return b.String()
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
