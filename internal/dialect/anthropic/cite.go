package anthropic

import (
	"headworks/internal/dialect"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Ground says where passages have a place in a request.
func Ground() *dialect.Turn {
	return &dialect.Turn{List: "messages", Says: "content", Open: `{"type":"text","text":`, Close: "}", Part: "text"}
}

// appendCitation appends a citation as this dialect has those of search results: each
// passage is a result of one block.
func appendCitation(dst []byte, c *inference.Citation) []byte {
	dst = append(dst, `{"type":"search_result_location"`...)
	dst = scan.AppendString(scan.AppendKey(dst, "cited_text"), c.Quote)
	dst = scan.AppendString(scan.AppendKey(dst, "source"), dialect.SourceURL(c.Passage))
	dst = scan.AppendString(scan.AppendKey(dst, "title"), dialect.SourceTitle(c.Passage))
	dst = appendInt(dst, "search_result_index", c.Number-1)
	dst = append(dst, `,"start_block_index":0,"end_block_index":1`...)
	return append(dialect.AppendOwn(dst, c), '}')
}

func appendCitations(dst []byte, cited []inference.Citation) []byte {
	dst = append(scan.AppendKey(dst, "citations"), '[')
	for i := range cited {
		dst = appendCitation(scan.AppendComma(dst), &cited[i])
	}
	return append(dst, ']')
}

func appendDelta(dst []byte, index int, c *inference.Citation) []byte {
	dst = append(dst, "event: content_block_delta\ndata: "+`{"type":"content_block_delta"`...)
	dst = append(scan.AppendKey(appendInt(dst, "index", index), "delta"), `{"type":"citations_delta","citation":`...)
	return append(appendCitation(dst, c), "}}\n\n"...)
}

// Cite appends the events that tell what the text cites that is being written.
func (w *Writer) Cite(dst []byte, block int, cited []inference.Citation) []byte {
	if !w.open || w.kind != inference.TextDelta || w.blocks[len(w.blocks)-1] != block {
		return dst
	}
	for i := range cited {
		dst = appendDelta(dst, len(w.blocks)-1, &cited[i])
	}
	return dst
}

// CiteBefore appends, before the event in which a text ends, those that tell what it
// cites.
func CiteBefore(dst []byte, event *scan.Doc, cite func(block int) []inference.Citation) []byte {
	root := event.Root()
	if !root.Get("type").Is("content_block_stop") {
		return dst
	}
	n, ok := root.Get("index").Int()
	if !ok {
		return dst
	}
	cited := cite(int(n)) // none, where it is no text
	for i := range cited {
		dst = appendDelta(dst, int(n), &cited[i])
	}
	return dst
}

// CiteWhole returns the edits that put what the texts of a whole answer cite into it.
func CiteWhole(answer *scan.Doc, cite func(block int) []inference.Citation) (edits []scan.Edit) {
	n := 0
	for b := range answer.Root().Get("content").All() {
		if !b.Get("type").Is("text") {
			continue
		}
		cited := cite(n)
		n++
		if len(cited) == 0 {
			continue
		}
		member := appendCitations(nil, cited)
		switch old := b.Get("citations"); {
		case old.Len() > 0: // the upstream cites on its own
		case old.Exists():
			edits = append(edits, scan.Replace(old, member[len(`,"citations":`):]))
		default:
			edits = append(edits, scan.Insert(b, member))
		}
	}
	return edits
}
