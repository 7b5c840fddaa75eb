package gemini

import (
	"slices"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// maxArguments bounds what is kept of tool calls until they are whole.
const maxArguments = 16 << 20

// Writer writes a streamed answer as server-sent events, each of them a whole
// GenerateContentResponse. ID and Model are set before the first Delta, or by it
// where they are empty. The arguments of a tool call leave whole, since this dialect
// has no pieces of them.
type Writer struct {
	ID    string
	Model string

	calls []pending
	size  int // bytes of their arguments
	over  bool
	usage inference.Usage
	cited []inference.Citation // of a whole answer
}

// pending is a tool call whose arguments are still coming.
type pending struct {
	block     int
	id, name  string
	arguments []byte
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
		w.usage = d.Usage
	case inference.TextDelta, inference.RefusalDelta:
		return w.event(dst, appendText(w.flush(nil), d.Text, false, ""))
	case inference.ThoughtDelta:
		return w.event(dst, appendText(w.flush(nil), d.Text, true, ""))
	case inference.Signed:
		return w.event(dst, appendText(w.flush(nil), "", true, d.Text))
	case inference.Sealed:
		return w.event(dst, appendText(w.flush(nil), "", true, redacted+d.Text))
	case inference.ToolBegin:
		w.calls = append(w.calls, pending{block: d.Index, id: d.ID, name: d.Name})
	case inference.ToolDelta:
		w.arguments(d)
	case inference.End:
		if d.Usage.Known {
			w.usage = d.Usage
		}
		parts := w.flush(nil)
		reason := reasons[d.Finish]
		if w.over {
			reason = malformed
		}
		dst = append(dst, "data: "...)
		return append(w.tail(w.head(dst, parts), reason, w.usage), "\n\n"...)
	}
	return dst
}

func (w *Writer) arguments(d inference.Delta) {
	for i := range slices.Backward(w.calls) {
		if c := &w.calls[i]; c.block == d.Index {
			if w.size += len(d.Text); w.size > maxArguments {
				w.over = true
				return
			}
			c.arguments = append(c.arguments, d.Text...)
			return
		}
	}
}

// flush appends the tool calls that have come, as parts. One whose arguments are no
// object cannot be told: the answer ends as this dialect says that.
func (w *Writer) flush(parts []byte) []byte {
	for _, c := range w.calls {
		if len(c.arguments) > 0 && !dialect.IsObject(string(c.arguments)) {
			w.over = true
		}
		if !w.over {
			parts = appendCall(parts, c.id, c.name, string(c.arguments))
		}
	}
	w.calls, w.size = nil, 0
	return parts
}

func (w *Writer) event(dst, parts []byte) []byte {
	dst = w.head(append(dst, "data: "...), parts)
	return append(w.close(append(dst, `,"index":0}]`...)), "\n\n"...)
}

// head appends the beginning of a response, up to the content of its candidate. A
// content is never empty: clients keep no turn that has one.
func (w *Writer) head(dst, parts []byte) []byte {
	if len(parts) == 0 {
		parts = []byte(`{"text":""}`)
	}
	dst = append(dst, `{"candidates":[{"content":{"parts":[`...)
	return append(append(dst, parts...), `],"role":"model"}`...)
}

// tail appends the end of a response that finishes.
func (w *Writer) tail(dst []byte, reason string, u inference.Usage) []byte {
	dst = scan.AppendString(scan.AppendKey(dst, "finishReason"), reason)
	dst = append(dst, `,"index":0`...)
	if len(w.cited) > 0 {
		dst = appendGrounding(dst, w.cited)
	}
	dst = append(dst, `}]`...)
	if u.Known {
		dst = appendUsage(scan.AppendKey(dst, "usageMetadata"), u)
	}
	return w.close(dst)
}

func (w *Writer) close(dst []byte) []byte {
	dst = scan.AppendString(scan.AppendKey(dst, "modelVersion"), w.Model)
	return append(scan.AppendString(scan.AppendKey(dst, "responseId"), w.ID), '}')
}

// End appends nothing: the dialect has no terminal.
func (w *Writer) End(dst []byte) []byte { return dst }

// Fail appends an error as an event. Some clients do not look for one: beside it
// stand candidates of a type that there is not, on which those fail that check what
// they read (the AI SDK). Google's client for Node passes over all of it: it raises
// on a body that ends in an error outside of any event, see Bare.
func (w *Writer) Fail(dst []byte, f *fault.Error, requestID string) []byte {
	dst = appendError(append(dst, "data: "...), f, requestID, true)
	return append(dst[:len(dst)-1], `,"candidates":{}}`+"\n\n"...)
}

// Bare appends an error outside of any event, without a line end, as the last that
// is sent, in a piece of its own. All of Google's clients raise on it.
func (w *Writer) Bare(dst []byte, f *fault.Error, requestID string) []byte {
	return appendError(dst, f, requestID, true)
}

// KeepAlive appends two line ends: Google's clients fail on a comment.
func (w *Writer) KeepAlive(dst []byte) []byte { return append(dst, "\n\n"...) }
