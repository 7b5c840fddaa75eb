package retrieve

import (
	"strings"

	"headworks/internal/chunk"
	"headworks/internal/document"
	"headworks/internal/document/markdown"
)

const (
	over = " > " // between a heading and the one below it

	passageTokens = 400
)

// cut cuts a Markdown document into passages: at every heading, and inside a section
// where it is long. A heading is in no text; each text is a piece of the source, byte
// for byte.
func cut(path, source string) []Passage {
	d := markdown.Read(source)
	headings := map[int]int{} // where each ends, by where it begins
	for _, b := range d.Blocks {
		if b.Kind == document.Heading {
			headings[b.Start] = b.End
		}
	}
	var passages []Passage
	for _, c := range chunk.Cut(d, chunk.Limits{Tokens: passageTokens, Alone: true}) {
		start := c.Start
		if end, ok := headings[start]; ok {
			start = min(end, c.End)
			start += len(source[start:c.End]) - len(strings.TrimLeft(source[start:c.End], "\r\n"))
		}
		text := source[start:c.End]
		if strings.TrimSpace(text) == "" {
			continue
		}
		heading := c.Title
		if c.Path != "" && heading != "" {
			heading += over
		}
		passages = append(passages, Passage{Path: path, Heading: heading + c.Path, Text: text, Start: start})
	}
	return passages
}
