package ollama

import (
	"bytes"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Reader follows one streamed answer, line by line, of either path. It says what each
// line tells and refuses what does not belong there. The zero Reader is ready; Reset
// makes it ready for the next answer and keeps its memory.
type Reader struct {
	model []byte
	done  bool
	tools bool // one was called

	doc *scan.Doc // of the last line
	hop hop
}

// hop is what Deltas remembers.
type hop struct {
	begun  bool
	kind   inference.DeltaKind // of the open block
	block  int                 // the open block
	blocks int                 // that were begun
	calls  int
}

// Reset makes r ready for another answer; there is one to a request.
func (r *Reader) Reset(int) { *r = Reader{model: r.model[:0]} }

// Read reads one line. The last one is Content too: it says more than that the answer
// is over. The errors are *fault.Error, and none of them may be followed by another
// Read. What the line tells holds until the next Read, in d too.
func (r *Reader) Read(_, data []byte, d *scan.Doc) (inference.Event, error) {
	r.doc = nil
	if r.done {
		return inference.Event{}, dialect.Broken(fault.Malformed, "a line after the last")
	}
	if err := d.ScanLax(data); err != nil {
		return inference.Event{}, dialect.Unreadable(err)
	}
	root := d.Root()
	l, err := read(root)
	if err != nil {
		return inference.Event{}, err
	}
	if name := root.Get("model").Bytes(); len(name) > 0 {
		switch {
		case len(r.model) == 0 && len(name) <= dialect.MaxName:
			r.model = append(r.model, name...)
		case !bytes.Equal(r.model, name):
			return inference.Event{}, dialect.Broken(fault.Mismatch, "the model changed")
		}
	}
	r.doc, r.done = d, l.done
	r.tools = r.tools || l.calls.Len() > 0
	if l.Finish == inference.Stop && r.tools {
		l.Finish = inference.ToolCalls
	}
	return l.Event, nil
}

// Edits appends nothing: lines are forwarded as they are.
func (r *Reader) Edits(dst []scan.Edit) []scan.Edit { return dst }

// End says whether the answer is whole where the upstream's bytes end.
func (r *Reader) End() error {
	if r.done {
		return nil
	}
	return dialect.Broken(fault.Interrupted, "the stream ended without a line that says done")
}

// Deltas appends the last line as steps of the answer, for another dialect.
func (r *Reader) Deltas(dst []inference.Delta) []inference.Delta {
	if r.doc == nil {
		return dst
	}
	root, h := r.doc.Root(), &r.hop
	r.doc = nil
	if !h.begun {
		h.begun = true
		dst = append(dst, inference.Delta{Kind: inference.Begin, Model: root.Get("model").Text()})
	}
	l, err := read(root)
	if err != nil {
		return dst // Read has said so
	}
	dst = h.text(dst, inference.ThoughtDelta, l.thinking)
	dst = h.text(dst, inference.TextDelta, l.text)
	for c := range l.calls.All() {
		p := called(c, root, h.calls)
		h.calls++
		h.kind, h.block = inference.ToolDelta, h.blocks
		h.blocks++
		dst = append(dst,
			inference.Delta{Kind: inference.ToolBegin, Index: h.block, ID: p.ID, Name: p.Name},
			inference.Delta{Kind: inference.ToolDelta, Index: h.block, Text: p.Data})
	}
	if l.done {
		f := l.Finish
		if f == inference.Stop && r.tools {
			f = inference.ToolCalls
		}
		dst = append(dst, inference.Delta{Kind: inference.End, Finish: f, Usage: l.Usage})
	}
	return dst
}

func (h *hop) text(dst []inference.Delta, kind inference.DeltaKind, v scan.Value) []inference.Delta {
	if v.TextLen() == 0 {
		return dst
	}
	if h.kind != kind {
		h.kind, h.block = kind, h.blocks
		h.blocks++
	}
	return append(dst, inference.Delta{Kind: kind, Index: h.block, Text: v.Text()})
}
