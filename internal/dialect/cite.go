package dialect

import (
	"strconv"

	"headworks/internal/inference"
	"headworks/internal/scan"
)

// AppendOwn appends the member headworks, with which a citation says in any dialect all
// that is known of it. Bytes are those of the answer's text and of the document's.
func AppendOwn(dst []byte, c *inference.Citation) []byte {
	p := c.Passage
	dst = append(scan.AppendKey(dst, "headworks"), '{')
	number := func(key string, n int) {
		dst = strconv.AppendInt(scan.AppendKey(dst, key), int64(n), 10)
	}
	text := func(key, value string) { dst = scan.AppendString(scan.AppendKey(dst, key), value) }
	number("number", c.Number)
	text("collection", p.Collection)
	text("document", p.Document)
	text("chunk", p.Chunk)
	dst = strconv.AppendUint(scan.AppendKey(dst, "version"), p.Version, 10)
	if p.Path != "" {
		text("path", p.Path)
	}
	text("quote", c.Quote)
	number("source_start", c.Source[0])
	number("source_end", c.Source[1])
	number("answer_start", c.Claim[0])
	number("answer_end", c.Claim[1])
	return append(dst, '}')
}

// SourceURL returns where a passage is: its document's own address, or a name that tells
// it apart.
func SourceURL(p *inference.Passage) string {
	if p.URL != "" {
		return p.URL
	}
	return "headworks:" + p.Collection + "/" + p.Document
}

// SourceTitle returns what a passage's document is called.
func SourceTitle(p *inference.Passage) string {
	switch {
	case p.Title != "":
		return p.Title
	case p.Name != "":
		return p.Name
	}
	return p.Document
}
