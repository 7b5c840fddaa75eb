package openai

import (
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Writer writes a streamed answer as server-sent events. Its fields are set
// before the first Delta, or by it where they are empty, and are the same in
// all chunks.
type Writer struct {
	ID      string
	Model   string
	Created int64 // Unix seconds
	Usage   bool  // the caller asked for it

	calls  []int  // block of each tool call
	signed string // the signature of the call that begins next
}

// Delta appends the events of one step.
func (w *Writer) Delta(dst []byte, d inference.Delta) []byte {
	switch d.Kind {
	case inference.Begin:
		if w.ID == "" {
			w.ID = d.ID
		}
		if w.Model == "" {
			w.Model = d.Model
		}
		return w.tail(append(w.head(dst), `{"role":"assistant","content":""}`...), inference.Unfinished)
	case inference.TextDelta:
		return w.text(dst, `{"content":`, d.Text)
	case inference.ThoughtDelta:
		return w.text(dst, `{"reasoning_content":`, d.Text)
	case inference.RefusalDelta:
		return w.text(dst, `{"refusal":`, d.Text)
	case inference.ToolBegin:
		dst = append(w.head(dst), `{"tool_calls":[{`...)
		dst = appendInt(dst, "index", len(w.calls))
		w.calls = append(w.calls, d.Index)
		dst = scan.AppendString(scan.AppendKey(dst, "id"), d.ID)
		dst = append(dst, `,"type":"function","function":{"name":`...)
		dst = scan.AppendString(dst, d.Name)
		dst = append(dst, `,"arguments":""}`...)
		dst, w.signed = appendSignature(dst, w.signed), ""
		return w.tail(append(dst, `}]}`...), inference.Unfinished)
	case inference.ToolDelta:
		dst = append(w.head(dst), `{"tool_calls":[{`...)
		dst = appendInt(dst, "index", w.call(d.Index))
		dst = scan.AppendString(append(dst, `,"function":{"arguments":`...), d.Text)
		return w.tail(append(dst, `}}]}`...), inference.Unfinished)
	case inference.End:
		dst = w.tail(append(w.head(dst), `{}`...), d.Finish)
		if w.Usage && d.Usage.Known {
			dst = append(w.open(dst), `"choices":[],"usage":`...)
			dst = append(appendUsage(dst, d.Usage), "}\n\n"...)
		}
	case inference.Signed: // has a place in this dialect where it is of a call
		w.signed = d.Text
	case inference.Sealed: // has none
	}
	return dst
}

// End appends the terminal.
func (w *Writer) End(dst []byte) []byte { return append(dst, "data: [DONE]\n\n"...) }

// Fail appends an error in the place of the terminal: no [DONE] follows it.
func (w *Writer) Fail(dst []byte, f *fault.Error, _ string) []byte {
	return append(appendError(append(dst, "data: "...), f, true), "\n\n"...)
}

// KeepAlive appends a comment of one line. A blank line after it would be an
// empty event, on which openai-go before 3.43 fails.
func (w *Writer) KeepAlive(dst []byte) []byte { return append(dst, ": keep-alive\n"...) }

func (w *Writer) call(block int) int {
	for i, b := range w.calls {
		if b == block {
			return i
		}
	}
	return 0
}

func (w *Writer) text(dst []byte, open, text string) []byte {
	dst = scan.AppendString(append(w.head(dst), open...), text)
	return w.tail(append(dst, '}'), inference.Unfinished)
}

// open appends the beginning of an event, up to its choices.
func (w *Writer) open(dst []byte) []byte {
	dst = scan.AppendString(append(dst, `data: {"id":`...), w.ID)
	dst = append(dst, `,"object":"chat.completion.chunk"`...)
	dst = appendInt(dst, "created", int(w.Created))
	dst = scan.AppendString(scan.AppendKey(dst, "model"), w.Model)
	return append(dst, ',')
}

// head appends the beginning of an event, up to the delta of its choice.
func (w *Writer) head(dst []byte) []byte {
	return append(w.open(dst), `"choices":[{"index":0,"delta":`...)
}

// tail appends the end of an event that has a choice.
func (w *Writer) tail(dst []byte, f inference.Finish) []byte {
	dst = append(dst, `,"logprobs":null,"finish_reason":`...)
	if f == inference.Unfinished {
		dst = append(dst, "null}]"...)
	} else {
		dst = append(scan.AppendString(dst, finishes[f]), "}]"...)
	}
	if w.Usage {
		dst = append(dst, `,"usage":null`...)
	}
	return append(dst, "}\n\n"...)
}

// AppendUsageEvent appends the event that tells the usage of an answer and nothing else, of
// an object of that name.
func AppendUsageEvent(dst []byte, object, id, model string, created int64, u inference.Usage) []byte {
	dst = scan.AppendString(append(dst, `data: {"id":`...), id)
	dst = scan.AppendString(scan.AppendKey(dst, "object"), object)
	dst = appendInt(dst, "created", int(created))
	dst = scan.AppendString(scan.AppendKey(dst, "model"), model)
	dst = append(dst, `,"choices":[],"usage":`...)
	return append(appendUsage(dst, u), "}\n\n"...)
}
