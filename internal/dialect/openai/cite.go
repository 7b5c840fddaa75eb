package openai

import (
	"headworks/internal/dialect"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Ground says where passages have a place in a request.
func Ground() *dialect.Turn {
	return &dialect.Turn{List: "messages", Says: "content", Open: `{"type":"text","text":`, Close: "}", Part: "text"}
}

// appendAnnotations appends what a message cites: OpenAI's url_citation is the one kind
// that a chat has. Its indexes are of the mark in the text, in code points, as the vendor
// counts its own.
func appendAnnotations(dst []byte, cited []inference.Citation) []byte {
	dst = append(scan.AppendKey(dst, "annotations"), '[')
	for i := range cited {
		c := &cited[i]
		dst = append(scan.AppendComma(dst), `{"type":"url_citation","url_citation":{`...)
		dst = appendInt(dst, "start_index", c.Characters[0])
		dst = appendInt(dst, "end_index", c.Characters[1])
		dst = scan.AppendString(scan.AppendKey(dst, "title"), dialect.SourceTitle(c.Passage))
		dst = scan.AppendString(scan.AppendKey(dst, "url"), dialect.SourceURL(c.Passage))
		dst = append(dialect.AppendOwn(append(dst, '}'), c), '}')
	}
	return append(dst, ']')
}

// Cite appends the event that tells what the text cites that was written.
func (w *Writer) Cite(dst []byte, _ int, cited []inference.Citation) []byte {
	dst = appendAnnotations(append(w.head(dst), '{'), cited)
	return w.tail(append(dst, '}'), inference.Unfinished)
}

// CiteBefore appends, before the event in which the first choice ends, one that tells
// what its text cites.
func CiteBefore(dst []byte, event *scan.Doc, cite func(block int) []inference.Citation) []byte {
	root := event.Root()
	for c := range root.Get("choices").All() {
		if i, _ := c.Get("index").Int(); i != 0 || !c.Get("finish_reason").Given() {
			continue
		}
		cited := cite(-1)
		if len(cited) == 0 {
			return dst
		}
		dst = append(dst, "data: {"...)
		for _, key := range []string{"id", "object", "created", "model"} {
			if v := root.Get(key); v.Exists() {
				dst = append(scan.AppendKey(dst, key), v.Raw()...)
			}
		}
		dst = append(scan.AppendKey(dst, "choices"), `[{"index":0,"delta":{`...)
		dst = append(appendAnnotations(dst, cited), `},"finish_reason":null}]`...)
		if usage := root.Get("usage"); usage.Kind() == scan.Null {
			dst = append(dst, `,"usage":null`...)
		}
		return append(dst, "}\n\n"...)
	}
	return dst
}

// CiteWhole returns the edits that put what the text of a whole answer cites into it.
func CiteWhole(answer *scan.Doc, cite func(block int) []inference.Citation) []scan.Edit {
	for c := range answer.Root().Get("choices").All() {
		message := c.Get("message")
		if i, _ := c.Get("index").Int(); i != 0 || message.Kind() != scan.Object {
			continue
		}
		cited := cite(-1)
		if len(cited) == 0 {
			return nil
		}
		member := appendAnnotations(nil, cited)
		if old := message.Get("annotations"); old.Exists() {
			if old.Len() > 0 {
				return nil // the upstream cites on its own
			}
			return []scan.Edit{scan.Replace(old, member[len(`,"annotations":`):])}
		}
		return []scan.Edit{scan.Insert(message, member)}
	}
	return nil
}
