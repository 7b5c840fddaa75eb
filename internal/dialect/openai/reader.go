package openai

import (
	"bytes"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Reader follows one streamed answer, event by event. It says what each event
// tells and refuses what does not belong there. The zero Reader is ready; Reset
// makes it ready for the next answer and keeps its memory.
type Reader struct {
	n        int       // choices asked for
	done     [2]uint64 // which of them finished
	left     int       // how many did not
	id       []byte
	model    []byte
	begun    bool // Reset was called
	terminal bool // [DONE] came
	over     bool // the answer is whole, and nothing follows

	doc *scan.Doc // of the last event; nil for the terminal
	cut scan.Edit

	hop hop
}

// hop is what Deltas remembers.
type hop struct {
	begun, ended bool
	kind         inference.DeltaKind // of the open block
	block        int                 // the open block
	blocks       int                 // that were begun
	tools        []toolBlock
	finish       inference.Finish
	usage        inference.Usage
}

type toolBlock struct {
	index int64
	block int
	id    uint64 // hash; 0 is none
}

// Reset makes r ready for an answer of n choices; 0 is 1.
func (r *Reader) Reset(n int) {
	*r = Reader{
		n: n, left: max(n, 1), id: r.id[:0], model: r.model[:0],
		begun: true, hop: hop{tools: r.hop.tools[:0]},
	}
}

// Read reads one event: its name, and its data lines joined. A field error of
// its own, as old llama.cpp sends, is the event error with that data. The errors
// are *fault.Error, and none of them may be followed by another Read. What the
// event tells holds until the next Read, in d too.
func (r *Reader) Read(name, data []byte, d *scan.Doc) (inference.Event, error) {
	if !r.begun {
		r.Reset(r.n)
	}
	r.doc, r.cut = nil, scan.Edit{}
	if r.terminal {
		return inference.Event{}, dialect.Broken(fault.Malformed, "an event after [DONE]")
	}
	if string(name) != "error" && string(bytes.TrimSpace(data)) == "[DONE]" {
		r.terminal = true
		if err := r.End(); err != nil {
			return inference.Event{}, err
		}
		return inference.Event{Terminal: true}, nil
	}
	if err := d.ScanLax(data); err != nil {
		if string(name) == "error" {
			return inference.Event{}, dialect.Said{Message: data}.Fault()
		}
		return inference.Event{}, dialect.Unreadable(err)
	}
	r.doc = d
	root := d.Root()
	if string(name) == "error" {
		return inference.Event{}, named(root)
	}
	return r.chunk(root)
}

// named returns the fault of an event whose name says that it is one.
func named(root scan.Value) *fault.Error {
	for _, v := range []scan.Value{root.Get("error"), root} {
		if f := failed(v, 0); f != nil {
			return f
		}
	}
	return dialect.Said{}.Fault()
}

func (r *Reader) chunk(root scan.Value) (inference.Event, error) {
	var e inference.Event
	if root.Kind() != scan.Object {
		return e, dialect.Broken(fault.Malformed, "an event that is not an object")
	}
	// An error decides, whatever stands beside it.
	var choices, groq scan.Value
	var broken *fault.Error
	counted := false
	for m := range root.All() {
		switch string(m.Key()) {
		case "error":
			if f := failed(m, 0); f != nil {
				return e, f
			}
			if r.cut.End > 0 {
				broken = dialect.Broken(fault.Malformed, "the key error stands twice")
			}
			r.cut = scan.Cut(root, m)
		case "object":
			if m.Is("error") {
				return e, failed(root, 0)
			}
		case "choices":
			if choices.Exists() {
				broken = dialect.Broken(fault.Malformed, "the key choices stands twice")
			}
			choices = m
		case "usage":
			if counted {
				broken = dialect.Broken(fault.Malformed, "the key usage stands twice")
			}
			e.Usage, counted = usage(m), true
		case "x_groq":
			if f := failed(m.Get("error"), 0); f != nil {
				return e, f // Groq ended the stream early
			}
			groq = m.Get("usage")
		case "id":
			if !dialect.Same(&r.id, m) {
				broken = dialect.Broken(fault.Mismatch, "the id changed")
			}
		case "model":
			if !dialect.Same(&r.model, m) {
				broken = dialect.Broken(fault.Mismatch, "the model changed")
			}
		}
	}
	if broken != nil {
		return inference.Event{}, broken
	}
	if !e.Usage.Known {
		e.Usage = usage(groq)
	}
	switch choices.Kind() {
	case scan.Array:
		for c := range choices.All() {
			if err := r.choice(c, &e); err != nil {
				return inference.Event{}, err
			}
		}
	case scan.Absent, scan.Null:
		if !e.Usage.Known {
			return e, dialect.Broken(fault.Malformed, "an event without choices")
		}
	default:
		return e, dialect.Broken(fault.Malformed, "choices are not an array")
	}
	e.Aside = e.Usage.Known && choices.Len() == 0
	if e.Usage.Known {
		r.hop.usage = e.Usage
	}
	return e, nil
}

func (r *Reader) choice(c scan.Value, e *inference.Event) error {
	if c.Kind() != scan.Object {
		return dialect.Broken(fault.Malformed, "a choice that is not an object")
	}
	if f := dialect.Once(c, "index", "delta", "finish_reason"); f != nil {
		return f
	}
	i, ended, said := int64(0), inference.Unfinished, false
	for m := range c.All() {
		switch string(m.Key()) {
		case "index":
			var ok bool
			if i, ok = m.Int(); !ok || i < 0 || i >= int64(max(r.n, 1)) {
				return dialect.Broken(fault.Mismatch, "a choice that was not asked for")
			}
		case "delta":
			there, text := content(m)
			said = there
			e.Content = e.Content || there
			e.Text += text
		case "finish_reason", "error":
			if f := broke(m); f != nil {
				return f
			}
			if string(m.Key()) == "finish_reason" {
				ended = finish(m)
			}
		}
	}
	word, bit := i/64, uint64(1)<<(i%64)
	switch {
	case r.done[word]&bit != 0 && said:
		return dialect.Broken(fault.Malformed, "content after the finish_reason of its choice")
	case ended == inference.Unfinished || r.done[word]&bit != 0:
		return nil
	}
	r.done[word] |= bit
	r.left--
	e.Content, e.Finish = true, ended
	e.Finishes++
	if i == 0 {
		r.hop.finish = ended
	}
	return nil
}

// Edits appends what must be changed in the data of the last event before it may
// be forwarded: official clients fail on a top-level "error": null.
func (r *Reader) Edits(dst []scan.Edit) []scan.Edit {
	if r.cut.End > 0 {
		dst = append(dst, r.cut)
	}
	return dst
}

// End says whether the answer is whole where the upstream's bytes end: nil if
// every choice has finished, with or without [DONE].
func (r *Reader) End() error {
	switch {
	case r.begun && r.left == 0:
		r.over = true
		return nil
	case r.terminal:
		return dialect.Broken(fault.Incomplete, "[DONE] without a finish_reason for every choice")
	}
	return dialect.Broken(fault.Interrupted, "the stream ended without a finish_reason for every choice")
}

// Deltas appends the last event as steps of the answer, for another dialect;
// only the first choice goes there. The last step, End, waits for [DONE] or for
// the end of the bytes, since usage comes after the finish: after End has
// returned nil, Deltas gives it.
func (r *Reader) Deltas(dst []inference.Delta) []inference.Delta {
	h := &r.hop
	doc := r.doc
	r.doc = nil
	if doc == nil {
		if h.ended || !r.over {
			return dst
		}
		h.ended = true
		f := h.finish
		if f == inference.Stop && len(h.tools) > 0 {
			f = inference.ToolCalls
		}
		return append(dst, inference.Delta{Kind: inference.End, Finish: f, Usage: h.usage})
	}
	root := doc.Root()
	if !h.begun && root.Get("choices").Len() == 0 && !h.usage.Known {
		return dst // Azure's word on the prompt: who answers is not told yet
	}
	if !h.begun {
		h.begun = true
		dst = append(dst, inference.Delta{
			Kind: inference.Begin, ID: root.Get("id").Text(), Model: root.Get("model").Text(), Usage: h.usage,
		})
	}
	for c := range root.Get("choices").All() {
		if i, _ := c.Get("index").Int(); i != 0 {
			continue
		}
		delta := c.Get("delta")
		for thought := range thoughts(delta) {
			dst = h.text(dst, inference.ThoughtDelta, thought)
		}
		text := delta.Get("content")
		dst = h.text(dst, inference.TextDelta, text)
		if text.Kind() == scan.Array {
			for p := range text.All() {
				dst = h.text(dst, inference.TextDelta, p.Get("text"))
			}
		}
		dst = h.text(dst, inference.RefusalDelta, delta.Get("refusal"))
		for call := range delta.Get("tool_calls").All() {
			dst = h.call(dst, call)
		}
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

// call appends a fragment of a tool call. The first fragment of each index tells
// its name; a server that leaves indices out sends whole calls.
func (h *hop) call(dst []inference.Delta, v scan.Value) []inference.Delta {
	function := v.Get("function")
	name := function.Get("name")
	index, ok := v.Get("index").Int()
	if !ok {
		index = int64(len(h.tools))
		if name.TextLen() == 0 {
			index--
		}
	}
	h.kind, h.block = inference.ToolDelta, -1
	id := dialect.Session(v.Get("id").Bytes())
	for _, t := range h.tools {
		// Some servers give every call the index 0; a call of another id is another one.
		if t.index == index && (id == 0 || t.id == 0 || id == t.id || name.TextLen() == 0) {
			h.block = t.block
		}
	}
	if h.block < 0 {
		h.block = h.blocks
		h.blocks++
		h.tools = append(h.tools, toolBlock{index, h.block, id})
		dst = append(dst, inference.Delta{Kind: inference.ToolBegin, Index: h.block, ID: v.Get("id").Text(), Name: name.Text()})
	}
	if text := arguments(function); text != "" {
		dst = append(dst, inference.Delta{Kind: inference.ToolDelta, Index: h.block, Text: text})
	}
	return dst
}
