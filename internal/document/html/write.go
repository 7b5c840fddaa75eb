package html

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"headworks/internal/document"
)

// writer writes what is below a node as blocks.
type writer struct {
	ctx    context.Context
	out    document.Builder
	line   text     // the paragraph being read
	firsts []string // headings of the first level
}

// text gathers inline text: runs of white space become one space, line breaks stay.
type text struct {
	b     strings.Builder
	space bool
}

func (t *text) add(s string) {
	for _, r := range s {
		switch r {
		case ' ', '\t', '\n', '\r', '\f':
			t.space = true
		default:
			if t.space && t.b.Len() > 0 {
				t.b.WriteByte(' ')
			}
			t.space = false
			t.b.WriteRune(r)
		}
	}
}

func (t *text) end() {
	t.space = false
	if t.b.Len() > 0 {
		t.b.WriteByte('\n')
	}
}

func (t *text) take() string {
	s := t.b.String()
	t.b.Reset()
	t.space = false
	return s
}

func (w *writer) flush() {
	w.out.Add(document.Paragraph, w.line.take())
}

func (w *writer) walk(n *html.Node) {
	switch n.Type {
	case html.TextNode:
		w.line.add(n.Data)
		return
	case html.ElementNode:
	case html.DocumentNode:
		w.children(n)
		return
	default:
		return
	}
	if skipped(n) || w.ctx.Err() != nil {
		return
	}
	switch n.DataAtom {
	case atom.Br:
		w.line.end()
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		w.flush()
		words := document.Line(document.Clean(headingText(n)))
		if n.DataAtom == atom.H1 && words != "" {
			w.firsts = append(w.firsts, words)
		}
		w.out.Heading(int(n.Data[1]-'0'), words)
	case atom.Pre:
		w.flush()
		w.out.Add(document.Code, preText(n))
	case atom.Ul, atom.Ol:
		w.flush()
		if holds(n, atom.Pre, atom.Table, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6) {
			w.children(n)
			w.flush()
			return
		}
		var b strings.Builder
		list(&b, n, 0)
		w.out.Add(document.List, b.String())
	case atom.Table:
		w.flush()
		if layout(n) {
			w.children(n)
			w.flush()
			return
		}
		if c := caption(n); c != "" {
			w.out.Add(document.Paragraph, c)
		}
		head, rows := table(n)
		w.out.Table(head, rows)
	default:
		if inline(n) {
			w.children(n)
			return
		}
		w.flush()
		w.children(n)
		w.flush()
	}
}

func (w *writer) children(n *html.Node) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		w.walk(c)
	}
}

// skipped reports whether an element says nothing that belongs to the content.
func skipped(n *html.Node) bool {
	switch n.DataAtom {
	case atom.Script, atom.Style, atom.Template, atom.Noscript, atom.Svg, atom.Iframe, atom.Object, atom.Embed,
		atom.Canvas, atom.Audio, atom.Video, atom.Nav, atom.Aside, atom.Footer, atom.Form, atom.Button, atom.Select,
		atom.Input, atom.Textarea, atom.Dialog, atom.Head, atom.Menu, atom.Map, atom.Datalist:
		return true
	default:
	}
	switch attr(n, "role") {
	case "navigation", "banner", "contentinfo", "complementary", "search", "menu", "toolbar", "dialog":
		return true
	}
	return hidden(n)
}

func hidden(n *html.Node) bool {
	style := strings.ReplaceAll(strings.ToLower(attr(n, "style")), " ", "")
	return has(n, "hidden") || attr(n, "aria-hidden") == "true" ||
		strings.Contains(style, "display:none") || strings.Contains(style, "visibility:hidden")
}

// inline reports whether an element is part of a line.
func inline(n *html.Node) bool {
	switch n.DataAtom {
	case atom.A, atom.Abbr, atom.B, atom.Bdi, atom.Bdo, atom.Cite, atom.Code, atom.Data, atom.Del, atom.Dfn, atom.Em,
		atom.Font, atom.I, atom.Img, atom.Ins, atom.Kbd, atom.Label, atom.Mark, atom.Math, atom.Q, atom.Ruby, atom.S,
		atom.Samp, atom.Small, atom.Span, atom.Strong, atom.Sub, atom.Sup, atom.Time, atom.Tt, atom.U, atom.Var, atom.Wbr:
		return true
	default:
		return n.Namespace == "math"
	}
}

// lineOf returns what is below a node as one line.
func lineOf(n *html.Node) string {
	var t text
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		switch {
		case n.Type == html.TextNode:
			t.add(n.Data)
			return
		case n.Type != html.ElementNode || skipped(n):
			return
		case n.DataAtom == atom.Br || !inline(n):
			t.space = true
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
		if !inline(n) {
			t.space = true
		}
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c)
	}
	return t.take()
}

// headingText returns what a heading says, the link to itself left out.
func headingText(n *html.Node) string {
	s := lineOf(n)
	for c := range n.Descendants() {
		if c.Type == html.ElementNode && c.DataAtom == atom.A {
			if mark := lineOf(c); mark != "" && strings.Trim(mark, "¶#§🔗\u200b ") == "" {
				s = strings.TrimSuffix(strings.TrimPrefix(s, mark), mark)
			}
		}
	}
	return s
}

// preText returns text as it stands; a line break ends a line.
func preText(n *html.Node) string {
	var b strings.Builder
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		switch {
		case n.Type == html.TextNode:
			b.WriteString(n.Data)
		case n.Type != html.ElementNode || skipped(n):
			return
		case n.DataAtom == atom.Br:
			b.WriteByte('\n')
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c)
	}
	return b.String()
}

func holds(n *html.Node, atoms ...atom.Atom) bool {
	for c := range n.Descendants() {
		if c.Type == html.ElementNode && slices.Contains(atoms, c.DataAtom) {
			return true
		}
	}
	return false
}

// list writes the items of a list, a line each, and lists in it set in.
func list(b *strings.Builder, n *html.Node, depth int) {
	number := 1
	if start, err := strconv.Atoi(attr(n, "start")); err == nil {
		number = start
	}
	indent := strings.Repeat("  ", min(depth, 16))
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		switch {
		case c.Type != html.ElementNode || skipped(c):
		case c.DataAtom == atom.Ul || c.DataAtom == atom.Ol:
			list(b, c, depth+1)
		default:
			mark := "- "
			if n.DataAtom == atom.Ol {
				mark = strconv.Itoa(number) + ". "
				number++
			}
			item(b, c, indent+mark, depth)
		}
	}
}

func item(b *strings.Builder, n *html.Node, mark string, depth int) {
	var t text
	var below []*html.Node
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		switch {
		case n.Type == html.TextNode:
			t.add(n.Data)
			return
		case n.Type != html.ElementNode || skipped(n):
			return
		case n.DataAtom == atom.Ul || n.DataAtom == atom.Ol:
			below = append(below, n)
			return
		case n.DataAtom == atom.Br || !inline(n):
			t.space = true
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
		if !inline(n) {
			t.space = true
		}
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c)
	}
	if s := t.take(); s != "" {
		b.WriteString(mark + s + "\n")
	}
	for _, l := range below {
		list(b, l, depth+1)
	}
}

// layout reports whether a table places things on the page rather than being one.
func layout(n *html.Node) bool {
	return attr(n, "role") == "presentation" || holds(n, atom.Table, atom.Pre, atom.H1, atom.H2, atom.H3, atom.Section, atom.Article, atom.Main)
}

func caption(n *html.Node) string {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if c.Type == html.ElementNode && c.DataAtom == atom.Caption {
			return lineOf(c)
		}
	}
	return ""
}

// Bounds of what a cell may span, and of a row with those that span into it.
const (
	maxSpan  = 64
	maxCells = 256
	maxAgain = 256 // bytes of a cell that stands in several rows
)

// table returns the header of a table, which may be empty, and its rows. A cell that
// spans several rows or columns stands in the first column of each of its rows.
func table(n *html.Node) (head []string, rows [][]string) {
	type down struct {
		words string
		left  int
	}
	var spans [maxCells]down
	for _, tr := range trs(n) {
		var row []string
		headers, cells := 0, 0
		carry := func() {
			for len(row) < maxCells && spans[len(row)].left > 0 {
				spans[len(row)].left--
				row = append(row, spans[len(row)].words)
			}
		}
		for c := tr.FirstChild; c != nil; c = c.NextSibling {
			if c.Type != html.ElementNode || c.DataAtom != atom.Td && c.DataAtom != atom.Th || skipped(c) {
				continue
			}
			if carry(); len(row) >= maxCells {
				break
			}
			cells++
			if c.DataAtom == atom.Th {
				headers++
			}
			words := lineOf(c)
			if left := span(c, "rowspan") - 1; len(words) <= maxAgain {
				spans[len(row)] = down{words, left}
			} else {
				spans[len(row)] = down{"", left}
			}
			row = append(row, words)
			for k := span(c, "colspan"); k > 1 && len(row) < maxCells; k-- {
				row = append(row, "")
			}
		}
		carry()
		switch {
		case strings.TrimSpace(strings.Join(row, "")) == "":
		case head == nil && rows == nil && cells > 0 && (headers == cells || tr.Parent.DataAtom == atom.Thead):
			head = row
		default:
			rows = append(rows, row)
		}
	}
	return head, rows
}

func span(n *html.Node, name string) int {
	k, err := strconv.Atoi(attr(n, name))
	if err != nil {
		return 1
	}
	return min(max(k, 1), maxSpan)
}

func trs(n *html.Node) (rows []*html.Node) {
	for c := range n.Descendants() {
		if c.Type == html.ElementNode && c.DataAtom == atom.Tr && !skipped(c) {
			rows = append(rows, c)
		}
	}
	return rows
}
