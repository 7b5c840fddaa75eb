package ollama

import (
	"time"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// maxArguments bounds what is kept of a tool call until it is whole.
const maxArguments = 16 << 20

// Writer writes a streamed answer as lines of JSON, of /api/chat unless Generate is
// set. Its other fields are set before the first Delta. The arguments of a tool call
// leave whole, since this dialect has no pieces of them.
type Writer struct {
	Model    string
	Created  time.Time // of the request
	Generate bool

	pending []pending
	size    int // bytes of their arguments
	calls   calling
	last    inference.Delta // of Kind End, once it came
}

// pending is a tool call whose arguments are still coming.
type pending struct {
	block     int
	id, name  string
	arguments []byte
}

// Delta appends the lines of one step. The last line waits for End.
func (w *Writer) Delta(dst []byte, d inference.Delta) []byte {
	switch d.Kind {
	case inference.TextDelta, inference.RefusalDelta:
		return w.text(w.flush(dst), d.Text, "")
	case inference.ThoughtDelta:
		return w.text(w.flush(dst), "", d.Text)
	case inference.ToolBegin:
		w.pending = append(w.pending, pending{block: d.Index, id: d.ID, name: d.Name})
	case inference.ToolDelta:
		w.argue(d)
	case inference.End:
		dst = w.flush(dst)
		w.last = d
	case inference.Begin, inference.Signed, inference.Sealed: // have no place in this dialect
	}
	return dst
}

func (w *Writer) argue(d inference.Delta) {
	if w.size += len(d.Text); w.size > maxArguments {
		w.calls.broken = true
		return
	}
	for i := range w.pending {
		if p := &w.pending[i]; p.block == d.Index {
			p.arguments = append(p.arguments, d.Text...)
		}
	}
}

// flush appends the tool calls that have come. /api/generate has no place for them.
func (w *Writer) flush(dst []byte) []byte {
	if len(w.pending) == 0 {
		return dst
	}
	for _, p := range w.pending {
		w.calls.add(p.id, p.name, string(p.arguments))
	}
	w.pending, w.size = nil, 0
	if w.Generate || w.calls.broken {
		return dst
	}
	dst = head(dst, w.Model, w.Created)
	return w.close(w.calls.message(dst, nil, nil))
}

func (w *Writer) text(dst []byte, text, thought string) []byte {
	dst = head(dst, w.Model, w.Created)
	if w.Generate {
		return w.close(response(dst, text, thought))
	}
	dst = append(scan.AppendKey(dst, "message"), `{"role":"assistant","content":`...)
	dst = scan.AppendString(dst, text)
	if thought != "" {
		dst = scan.AppendString(scan.AppendKey(dst, "thinking"), thought)
	}
	return w.close(append(dst, '}'))
}

func (w *Writer) close(dst []byte) []byte { return append(dst, `,"done":false}`+"\n"...) }

// End appends the last line, unless it was among what an upstream of this dialect
// sent. A call that could not be told ends the answer as an error does.
func (w *Writer) End(dst []byte) []byte {
	switch {
	case w.last.Kind != inference.End:
		return dst
	case w.calls.broken && !w.Generate:
		return w.Fail(dst, errArguments, "")
	}
	dst = head(dst, w.Model, w.Created)
	if w.Generate {
		dst = response(dst, "", "")
	} else {
		dst = append(scan.AppendKey(dst, "message"), `{"role":"assistant","content":""}`...)
	}
	return append(end(dst, w.last.Finish, w.last.Usage), "}\n"...)
}

// Fail appends an error in the place of the last line, on which all clients raise.
func (w *Writer) Fail(dst []byte, f *fault.Error, requestID string) []byte {
	return append(AppendError(dst, f, requestID), '\n')
}

// KeepAlive appends a space. It is the beginning of the next line, and every reader of
// JSON passes over it; on an empty line Ollama's client for Python fails.
func (w *Writer) KeepAlive(dst []byte) []byte { return append(dst, ' ') }
