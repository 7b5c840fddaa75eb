package gemini

import (
	"bytes"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Reader follows one streamed answer, event by event. It says what each event
// tells and refuses what does not belong there. Its dialect has no terminal: the
// answer is whole where every candidate has a finishReason, and the bytes end. The
// zero Reader is ready for one candidate; Reset makes it ready for the next answer
// and keeps its memory.
type Reader struct {
	n      int   // candidates; 0 is 1
	done   uint8 // by index, those that have finished
	ended  int
	id     []byte
	over   bool // the answer is whole, and nothing follows
	counts counts

	doc *scan.Doc // of the last event
	cut scan.Edit
	hop hop
}

// hop is what Deltas remembers.
type hop struct {
	begun, ended bool
	kind         inference.DeltaKind // of the open block
	block        int                 // the open block
	blocks       int                 // that were begun
	calls        int
	finish       inference.Finish
	unfit        *fault.Error
}

const maxID = 512

// Reset makes r ready for an answer of n candidates; 0 is 1.
func (r *Reader) Reset(n int) { *r = Reader{n: n, id: r.id[:0]} }

// Read reads one event: its name, and its data lines joined. The errors are
// *fault.Error, and none of them may be followed by another Read. What the event
// tells holds until the next Read, in d too.
func (r *Reader) Read(name, data []byte, d *scan.Doc) (inference.Event, error) {
	var e inference.Event
	r.doc, r.cut = nil, scan.Edit{}
	if err := d.ScanLax(data); err != nil {
		if string(name) == "error" {
			return e, dialect.Said{Message: data}.Fault()
		}
		return e, dialect.Unreadable(err)
	}
	root := d.Root()
	if f := inside(root); f != nil {
		return e, f
	}
	if string(name) == "error" {
		return e, failed(root, 0)
	}
	if wrong := root.Get("error"); wrong.Exists() {
		r.cut = scan.Cut(root, wrong)
	}
	if !r.same(root.Get("responseId").Bytes()) {
		return e, dialect.Broken(fault.Mismatch, "the responseId changed")
	}
	candidates, usage := root.Get("candidates"), root.Get("usageMetadata")
	refused := blocked(root)
	switch candidates.Kind() {
	case scan.Array:
	case scan.Absent, scan.Null:
		if !usage.Given() && !root.Get("promptFeedback").Given() && !root.Get("modelVersion").Given() {
			return e, dialect.Broken(fault.Malformed, "an event without candidates")
		}
	default:
		return e, dialect.Broken(fault.Malformed, "candidates are not an array")
	}
	r.counts.add(usage)
	if usage.Given() {
		e.Usage = r.counts.usage()
	}
	for c := range candidates.All() {
		if err := r.candidate(c, &e); err != nil {
			return inference.Event{}, err
		}
	}
	if refused && candidates.Len() == 0 {
		e.Finishes, e.Finish, e.Content = max(r.n, 1)-r.ended, inference.ContentFilter, true
		r.ended, r.hop.finish = max(r.n, 1), inference.ContentFilter
	}
	r.doc = d
	return e, nil
}

// same reports whether an id is that of the events before.
func (r *Reader) same(id []byte) bool {
	switch {
	case len(id) == 0:
		return true
	case len(id) > maxID:
		return false
	case len(r.id) == 0:
		r.id = append(r.id, id...)
		return true
	}
	return bytes.Equal(r.id, id)
}

func (r *Reader) candidate(c scan.Value, e *inference.Event) error {
	if c.Kind() != scan.Object {
		return dialect.Broken(fault.Malformed, "a candidate that is not an object")
	}
	if f := dialect.Once(c, "index", "content", "finishReason"); f != nil {
		return f
	}
	i := int64(0)
	if index := c.Get("index"); index.Given() {
		var ok bool
		if i, ok = index.Int(); !ok || i < 0 || i >= int64(max(r.n, 1)) {
			return dialect.Broken(fault.Mismatch, "a candidate that was not asked for")
		}
	}
	said := look(c.Get("content"))
	bit := uint8(1) << i
	if r.done&bit != 0 && !said.nothing {
		return dialect.Broken(fault.Malformed, "content after the finishReason of its candidate")
	}
	e.Text += said.text
	e.Content = e.Content || !said.nothing
	f, bad := finish(c.Get("finishReason"))
	if i == 0 {
		r.hop.calls += said.calls
		if f == inference.Stop && r.hop.calls > 0 {
			f = inference.ToolCalls
		}
		if bad {
			r.hop.unfit = unfit()
		}
	}
	if f == inference.Unfinished || r.done&bit != 0 {
		return nil
	}
	r.done |= bit
	r.ended++
	e.Content, e.Finish = true, f
	e.Finishes++
	if i == 0 {
		r.hop.finish = f
	}
	return nil
}

// Edits appends what must be changed in the data of the last event before it may be
// forwarded: an "error" that says nothing, which official clients take for one.
func (r *Reader) Edits(dst []scan.Edit) []scan.Edit {
	if r.cut.End > 0 {
		dst = append(dst, r.cut)
	}
	return dst
}

// End says whether the answer is whole where the upstream's bytes end: nil if every
// candidate has finished.
func (r *Reader) End() error {
	if r.ended >= max(r.n, 1) {
		r.over = true
		return nil
	}
	return dialect.Broken(fault.Interrupted, "the stream ended without a finishReason for every candidate")
}

// Unfit returns the fault of an answer that is whole and can be told in no other
// dialect, or nil.
func (r *Reader) Unfit() error {
	if r.hop.unfit == nil {
		return nil
	}
	return r.hop.unfit
}

// Deltas appends the last event as steps of the answer, for another dialect; only
// the first candidate goes there. The last step, End, waits for the end of the
// bytes: after End has returned nil, Deltas gives it.
func (r *Reader) Deltas(dst []inference.Delta) []inference.Delta {
	h := &r.hop
	doc := r.doc
	r.doc = nil
	if doc == nil {
		if h.ended || !r.over {
			return dst
		}
		h.ended = true
		return append(dst, inference.Delta{Kind: inference.End, Finish: h.finish, Usage: r.counts.usage()})
	}
	root := doc.Root()
	if !h.begun {
		h.begun = true
		dst = append(dst, inference.Delta{
			Kind: inference.Begin, ID: root.Get("responseId").Text(), Model: root.Get("modelVersion").Text(), Usage: r.counts.usage(),
		})
	}
	for c := range root.Get("candidates").All() {
		if i, _ := c.Get("index").Int(); i != 0 {
			continue
		}
		before := h.calls - look(c.Get("content")).calls
		for p := range c.Get("content").Get("parts").All() {
			dst = h.part(dst, p, string(r.id), before)
			if p.Get("functionCall").Exists() {
				before++
			}
		}
	}
	return dst
}

func (h *hop) part(dst []inference.Delta, p scan.Value, answer string, calls int) []inference.Delta {
	text, call := p.Get("text"), p.Get("functionCall")
	thought, _ := p.Get("thought").Bool()
	kind := inference.TextDelta
	if thought {
		kind = inference.ThoughtDelta
	}
	if p.Get("inlineData").Exists() || p.Get("fileData").Exists() {
		h.unfit = picture()
	}
	if text.TextLen() > 0 {
		h.open(kind)
		dst = append(dst, inference.Delta{Kind: kind, Index: h.block, Text: text.Text()})
	}
	if signature := p.Get("thoughtSignature").Text(); signature != "" {
		if !thought || h.kind != inference.ThoughtDelta {
			h.open(inference.Signed)
		}
		dst = append(dst, inference.Delta{Kind: inference.Signed, Index: h.block, Text: dialect.ByGoogle + signature})
		h.kind = inference.Signed // a signature ends its thought
	}
	if !call.Exists() {
		return dst
	}
	h.kind = inference.Begin // a call is a block of its own
	h.open(inference.ToolBegin)
	dst = append(dst,
		inference.Delta{Kind: inference.ToolBegin, Index: h.block, ID: callID(call, answer, calls), Name: call.Get("name").Text()},
		inference.Delta{Kind: inference.ToolDelta, Index: h.block, Text: arguments(call)},
	)
	return dst
}

// open begins a block unless it is the open one.
func (h *hop) open(kind inference.DeltaKind) {
	if h.kind != kind || h.blocks == 0 {
		h.kind, h.block = kind, h.blocks
		h.blocks++
	}
}
