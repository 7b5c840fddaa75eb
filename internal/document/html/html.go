// Package html reads what a page says: its main content as headings, paragraphs,
// code, tables and lists. What surrounds it (navigation, scripts, forms, what is
// hidden) is left out.
//
// Its errors are *fault.Error whose words go on from the name of a file.
package html

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"unicode/utf8"

	"codeberg.org/readeck/go-readability/v2"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"golang.org/x/net/html/charset"

	"headworks/internal/document"
	"headworks/internal/fault"
)

// Bounds of a page, which is held in memory as a tree of many times its size.
const (
	MaxBytes = 32 << 20
	maxNodes = 2 << 20
	// mostScored is how many nodes a page has at most whose content is found by
	// weighing them, which takes several passes.
	mostScored = 200_000
	// leastShare is the part of a page's words below which what the weighing found is
	// taken for a mistake.
	leastShare = 4
)

// Read reads a page of a media type, which may name its encoding, with elements in
// at most so many others. The content is what the page says it is (main, or its only
// article); else what weighing its elements as browsers' reading modes do finds; else
// all of it.
func Read(ctx context.Context, source []byte, media string, depth int) (*document.Document, error) {
	if len(source) > MaxBytes {
		return nil, fault.New(fault.TooLarge, fmt.Sprintf("has more than %d MiB, the most that is read of a page: split it", MaxBytes>>20))
	}
	utf8s, note, err := decode(source, media)
	if err != nil {
		return nil, err
	}
	root, err := html.Parse(&within{ctx: ctx, from: bytes.NewReader(utf8s)})
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, fault.Wrap(fault.InvalidRequest, "is nested too deeply or is no HTML", err)
	}
	p := survey(root)
	switch {
	case p.depth > depth:
		return nil, fault.New(fault.TooLarge, fmt.Sprintf("has elements in %d others, more than %d", p.depth, depth))
	case p.nodes > maxNodes:
		return nil, fault.New(fault.TooLarge, fmt.Sprintf("has more than %d elements and texts: split it", maxNodes))
	}
	content := p.main
	if content == nil && len(p.articles) == 1 {
		content = p.articles[0]
	}
	if content == nil && p.body != nil && p.nodes <= mostScored {
		content = weigh(root, p.body)
	}
	if content == nil {
		content = p.body
	}
	if content == nil {
		content = root
	}
	w := writer{ctx: ctx}
	w.walk(content)
	w.flush()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d := w.out.Document(titleOf(p.title, w.firsts))
	if p.language != "" || p.description != "" {
		d.Meta = map[string]string{}
		for name, value := range map[string]string{"language": p.language, "description": p.description} {
			if value != "" {
				d.Meta[name] = value
			}
		}
	}
	if note != "" {
		d.Note(note)
	}
	return d, nil
}

// decode returns the page as UTF-8. Its encoding is what its first bytes, its media
// type or its own meta element say (WHATWG HTML 13.2.3.2).
func decode(source []byte, media string) (text []byte, note string, err error) {
	e, name, certain := charset.DetermineEncoding(source, media)
	if name == "utf-8" || !certain && utf8.Valid(source) {
		return bytes.ToValidUTF8(bytes.TrimPrefix(source, []byte("\ufeff")), []byte("\ufffd")), "", nil
	}
	text, err = e.NewDecoder().Bytes(source)
	if err != nil {
		return nil, "", fault.Wrap(fault.InvalidRequest, "is not in the encoding it says, "+name, err)
	}
	if !certain && !bytes.Contains(bytes.ToLower(source[:min(len(source), 1024)]), []byte("charset")) {
		note = "it does not say its encoding and is not UTF-8: read as " + name + ", which is a guess"
	}
	return text, note, nil
}

// page is what a look over a whole page finds.
type page struct {
	nodes, depth                 int
	title, language, description string
	main, body                   *html.Node
	articles                     []*html.Node // that are in no other
}

func survey(root *html.Node) (p page) {
	type at struct {
		n       *html.Node
		depth   int
		article bool
	}
	for next := []at{{root, 0, false}}; len(next) > 0; {
		here := next[len(next)-1]
		next = next[:len(next)-1]
		p.nodes++
		n := here.n
		if n.Type == html.ElementNode {
			p.depth = max(p.depth, here.depth)
			switch {
			case n.DataAtom == atom.Html:
				p.language = document.Line(attr(n, "lang"))
			case n.DataAtom == atom.Title && p.title == "" && (n.Parent == nil || n.Parent.DataAtom == atom.Head):
				p.title = document.Line(document.Clean(inner(n)))
			case n.DataAtom == atom.Meta && strings.EqualFold(attr(n, "name"), "description"):
				p.description = document.Line(document.Clean(attr(n, "content")))
			case n.DataAtom == atom.Body && p.body == nil:
				p.body = n
			case p.main == nil && (n.DataAtom == atom.Main || attr(n, "role") == "main") && !hidden(n):
				p.main = n
			case n.DataAtom == atom.Article && !here.article && !hidden(n):
				p.articles = append(p.articles, n)
				here.article = true
			}
		}
		for c := n.LastChild; c != nil; c = c.PrevSibling {
			next = append(next, at{c, here.depth + 1, here.article})
		}
	}
	return p
}

// weigh finds the content of a page that does not say where it is, or nothing.
func weigh(root, body *html.Node) *html.Node {
	parser := readability.NewParser()
	parser.DisableJSONLD = true
	parser.KeepClasses = true // a heading's link to itself is known by its class
	article, err := parser.ParseDocument(root, &url.URL{Scheme: "http", Host: "invalid"})
	if err != nil || article.Node == nil || wordsIn(article.Node)*leastShare < wordsIn(body) {
		return nil
	}
	return article.Node
}

// wordsIn counts the bytes of what would be read below a node.
func wordsIn(n *html.Node) int {
	w := writer{ctx: context.Background()}
	w.walk(n)
	w.flush()
	return w.out.Len()
}

// titleOf chooses between the title of the page, which often has the site's name in
// it, and the only heading of the first level.
func titleOf(title string, firsts []string) string {
	if len(firsts) == 1 && (title == "" || strings.Contains(title, firsts[0])) {
		return firsts[0]
	}
	return title
}

// inner returns the text below a node.
func inner(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name && a.Namespace == "" {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name && a.Namespace == "" {
			return true
		}
	}
	return false
}

// within reads until its context ends.
type within struct {
	ctx  context.Context
	from io.Reader
}

func (w *within) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.from.Read(p[:min(len(p), 4096)])
}
