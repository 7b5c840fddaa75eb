package gemini

import (
	"strconv"

	"headworks/internal/dialect"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Ground says where passages have a place in a request.
func Ground() *dialect.Turn {
	return &dialect.Turn{List: "contents", Says: "parts", Open: `{"text":`, Close: "}"}
}

// appendGrounding appends what a candidate cites: the passages that it names as chunks,
// and for each claim the bytes of the text and the chunks that stand behind it.
func appendGrounding(dst []byte, cited []inference.Citation) []byte {
	var chunks, supports []byte
	place := map[int]int{} // of a passage among the chunks
	for i := range cited {
		c := &cited[i]
		at, known := place[c.Number]
		if !known {
			at = len(place)
			place[c.Number] = at
			chunks = append(comma(chunks), `{"retrievedContext":{"uri":`...)
			chunks = scan.AppendString(chunks, dialect.SourceURL(c.Passage))
			chunks = scan.AppendString(scan.AppendKey(chunks, "title"), dialect.SourceTitle(c.Passage))
			chunks = scan.AppendString(scan.AppendKey(chunks, "text"), c.Quote)
			chunks = append(dialect.AppendOwn(append(chunks, '}'), c), '}')
		}
		supports = append(comma(supports), `{"segment":{"partIndex":0`...)
		supports = appendInt(supports, "startIndex", c.Claim[0])
		supports = appendInt(supports, "endIndex", c.Claim[1])
		supports = append(supports, `},"groundingChunkIndices":[`...)
		supports = append(strconv.AppendInt(supports, int64(at), 10), "]}"...)
	}
	dst = append(scan.AppendKey(dst, "groundingMetadata"), `{"groundingChunks":[`...)
	dst = append(append(dst, chunks...), `],"groundingSupports":[`...)
	return append(append(dst, supports...), "]}"...)
}

// Cite appends the event that tells what the text cites that was written.
func (w *Writer) Cite(dst []byte, _ int, cited []inference.Citation) []byte {
	dst = append(w.head(append(dst, "data: "...), nil), `,"index":0`...)
	dst = append(appendGrounding(dst, cited), "}]"...)
	return append(w.close(dst), "\n\n"...)
}

// CiteBefore appends, before the event in which the first candidate ends, one that tells
// what its text cites.
func CiteBefore(dst []byte, event *scan.Doc, cite func(block int) []inference.Citation) []byte {
	root := event.Root()
	for c := range root.Get("candidates").All() {
		if i, _ := c.Get("index").Int(); i != 0 || !c.Get("finishReason").Given() || c.Get("groundingMetadata").Given() {
			continue
		}
		cited := cite(-1)
		if len(cited) == 0 {
			return dst
		}
		dst = append(dst, `data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"index":0`...)
		dst = append(appendGrounding(dst, cited), "}]"...)
		for _, key := range []string{"modelVersion", "responseId"} {
			if v := root.Get(key); v.Exists() {
				dst = append(scan.AppendKey(dst, key), v.Raw()...)
			}
		}
		return append(dst, "}\n\n"...)
	}
	return dst
}

// CiteWhole returns the edits that put what the text of a whole answer cites into it.
func CiteWhole(answer *scan.Doc, cite func(block int) []inference.Citation) []scan.Edit {
	for c := range answer.Root().Get("candidates").All() {
		if i, _ := c.Get("index").Int(); i != 0 || c.Get("groundingMetadata").Given() {
			continue
		}
		if cited := cite(-1); len(cited) > 0 {
			return []scan.Edit{scan.Insert(c, appendGrounding(nil, cited))}
		}
		return nil
	}
	return nil
}
