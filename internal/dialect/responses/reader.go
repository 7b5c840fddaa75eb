package responses

import (
	"bytes"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Reader follows one streamed answer, event by event. It says what each event tells
// and refuses what does not belong there. The zero Reader is ready; Reset makes it
// ready for the next answer and keeps its memory.
//
// The last event, which says how the answer ended, is its terminal too, and holds
// the answer once more: a caller of this dialect gets it as it came.
type Reader struct {
	id     []byte
	begun  bool // response.created came
	whole  bool // response.completed or response.incomplete came
	finish inference.Finish
	usage  inference.Usage
	calls  bool // the model asked for a tool

	doc *scan.Doc // of the last event
	cut scan.Edit
	hop hop
}

// hop is what Deltas remembers.
type hop struct {
	begun, ended bool
	open         place // of the open block
	block        int   // the open block
	blocks       int   // that were begun
	tools        []toolBlock
	told         int // bytes of the open text that came in pieces
}

// place is where a text stands in an answer.
type place struct {
	output, part int64
	kind         inference.DeltaKind
}

type toolBlock struct {
	output int64
	block  int
	told   int // bytes of its arguments that came in pieces
	custom bool
	closed bool
}

// Reset makes r ready for another answer. This dialect has one choice, whatever n
// is.
func (r *Reader) Reset(int) { *r = Reader{id: r.id[:0], hop: hop{tools: r.hop.tools[:0]}} }

// Read reads one event: its name, which may be left out, and its data lines joined.
// The errors are *fault.Error, and none of them may be followed by another Read.
// What the event tells holds until the next Read, in d too.
func (r *Reader) Read(name, data []byte, d *scan.Doc) (inference.Event, error) {
	var e inference.Event
	r.doc, r.cut = nil, scan.Edit{}
	switch {
	case r.whole:
		return e, dialect.Broken(fault.Malformed, "an event after the answer's end")
	case len(name) == 0 && string(bytes.TrimSpace(data)) == "[DONE]":
		return e, dialect.Broken(fault.Incomplete, "[DONE] without response.completed")
	}
	if err := d.ScanLax(data); err != nil {
		if string(name) == "error" {
			return e, dialect.Said{Message: data}.Fault()
		}
		return e, dialect.Unreadable(err)
	}
	root := d.Root()
	if f := dialect.Once(root, "type", "error", "response", "delta", "item"); f != nil {
		return e, f
	}
	kind, failure := root.Get("type"), root.Get("error")
	if f := failed(failure, 0); f != nil {
		return e, f
	}
	switch {
	case string(name) == "error", kind.Is("error"):
		if f := failed(root, 0); f != nil {
			return e, f
		}
		return e, dialect.Said{}.Fault()
	case root.Kind() != scan.Object:
		return e, dialect.Broken(fault.Malformed, "an event that is not an object")
	case kind.TextLen() == 0, len(name) > 0 && !kind.Is(string(name)):
		// Some clients go by the name, some by the type.
		return e, dialect.Broken(fault.Malformed, "an event whose name is not its type")
	case failure.Exists():
		r.cut = scan.Cut(root, failure)
	}
	r.doc = d
	return r.event(kind.Bytes(), root)
}

func (r *Reader) event(kind []byte, root scan.Value) (inference.Event, error) {
	var e inference.Event
	switch string(kind) {
	case "response.created", "response.queued", "response.in_progress":
		return e, r.response(root.Get("response"))
	case "response.completed", "response.incomplete", "response.failed", "response.cancelled":
		return r.ends(root.Get("response"))
	case "response.output_item.added":
		item := root.Get("item")
		switch itemKind(item) {
		case "message", "reasoning":
		case "function_call", "custom_tool_call":
			r.calls = true
			fallthrough
		default:
			e.Content = true
			e.Text = item.Get("arguments").TextLen() + item.Get("input").TextLen()
		}
	case "response.output_item.done":
		switch itemKind(root.Get("item")) {
		case "function_call", "custom_tool_call":
			r.calls = true
		}
		e.Content = root.Get("item").Kind() == scan.Object && !root.Get("item").Get("type").Is("message")
	default:
		if delta := root.Get("delta"); delta.TextLen() > 0 {
			e.Content, e.Text = true, delta.TextLen()
		} else if delta.Kind() == scan.Object {
			e.Content = true
		}
		switch string(kind) {
		case "response.output_text.done", "response.refusal.done", "response.function_call_arguments.done",
			"response.output_text.annotation.added", "response.image_generation_call.partial_image":
			e.Content = true
		}
	}
	if e.Content && !r.begun {
		return inference.Event{}, dialect.Broken(fault.Malformed, "content before response.created")
	}
	return e, nil
}

// response reads the response object that an event repeats.
func (r *Reader) response(v scan.Value) error {
	id := v.Get("id").Bytes()
	if v.Kind() != scan.Object {
		return dialect.Broken(fault.Malformed, "an event without its response")
	}
	if f := dialect.Once(v, "id", "status", "error", "usage", "output"); f != nil {
		return f
	}
	if f := failed(v.Get("error"), 0); f != nil {
		return f
	}
	switch {
	case len(id) > dialect.MaxName, len(r.id) > 0 && len(id) > 0 && !bytes.Equal(id, r.id):
		return dialect.Broken(fault.Mismatch, "the id changed")
	case len(r.id) == 0:
		r.id = append(r.id, id...)
	}
	r.begun = true
	return nil
}

func (r *Reader) ends(v scan.Value) (inference.Event, error) {
	if err := r.response(v); err != nil {
		return inference.Event{}, err
	}
	finish, err := ended(v)
	if err != nil {
		return inference.Event{}, err
	}
	if finish == inference.Stop && r.calls {
		finish = inference.ToolCalls
	}
	r.whole, r.finish, r.usage = true, finish, usage(v.Get("usage"))
	return inference.Event{Content: true, Finishes: 1, Finish: finish, Usage: r.usage, Terminal: true}, nil
}

// ended returns why an answer ended, or the fault that it tells of.
func ended(v scan.Value) (inference.Finish, error) {
	switch status := v.Get("status"); {
	case status.Is("completed"):
		for item := range v.Get("output").All() {
			switch itemKind(item) {
			case "function_call", "custom_tool_call":
				return inference.ToolCalls, nil
			}
		}
		return inference.Stop, nil
	case status.Is("incomplete"):
		if v.Get("incomplete_details").Get("reason").Is("content_filter") {
			return inference.ContentFilter, nil
		}
		return inference.Length, nil
	case status.Is("failed"), status.Is("cancelled"):
		return 0, dialect.Said{}.Fault()
	}
	return 0, dialect.Broken(fault.Incomplete, "the answer ends without a status that is one of an end")
}

// Edits appends what must be changed in the data of the last event before it may be
// forwarded: a top-level "error": null, on which official clients fail.
func (r *Reader) Edits(dst []scan.Edit) []scan.Edit {
	if r.cut.End > 0 {
		dst = append(dst, r.cut)
	}
	return dst
}

// End says whether the answer is whole where the upstream's bytes end: nil once
// response.completed or response.incomplete came.
func (r *Reader) End() error {
	if r.whole {
		return nil
	}
	return dialect.Broken(fault.Interrupted, "the stream ended without response.completed")
}

// Deltas appends the last event as steps of the answer, for another dialect. After
// the terminal, it gives the last step, End.
func (r *Reader) Deltas(dst []inference.Delta) []inference.Delta {
	h, doc := &r.hop, r.doc
	r.doc = nil
	if doc == nil {
		return dst
	}
	root := doc.Root()
	output, _ := root.Get("output_index").Int()
	content, _ := root.Get("content_index").Int()
	summary, _ := root.Get("summary_index").Int()
	switch string(root.Get("type").Bytes()) {
	case "response.created", "response.queued", "response.in_progress":
		return h.begin(dst, root.Get("response"))
	case "response.output_text.delta":
		return h.text(dst, place{output, content, inference.TextDelta}, root.Get("delta"), false)
	case "response.output_text.done":
		return h.text(dst, place{output, content, inference.TextDelta}, root.Get("text"), true)
	case "response.refusal.delta":
		return h.text(dst, place{output, content, inference.RefusalDelta}, root.Get("delta"), false)
	case "response.refusal.done":
		return h.text(dst, place{output, content, inference.RefusalDelta}, root.Get("refusal"), true)
	case "response.reasoning_text.delta":
		return h.text(dst, place{output, content, inference.ThoughtDelta}, root.Get("delta"), false)
	case "response.reasoning_summary_text.delta":
		return h.text(dst, place{output, -1 - summary, inference.ThoughtDelta}, root.Get("delta"), false)
	case "response.output_item.added":
		return h.tool(dst, output, root.Get("item"))
	case "response.function_call_arguments.delta", "response.custom_tool_call_input.delta":
		return h.arguments(dst, output, root.Get("delta"), false)
	case "response.function_call_arguments.done":
		return h.arguments(dst, output, root.Get("arguments"), true)
	case "response.custom_tool_call_input.done":
		return h.arguments(dst, output, root.Get("input"), true)
	case "response.output_item.done":
		item := root.Get("item")
		if dst = h.tool(dst, output, item); item.Get("type").Is("custom_tool_call") {
			return h.arguments(dst, output, item.Get("input"), true)
		}
		return h.arguments(dst, output, item.Get("arguments"), true)
	case "response.completed", "response.incomplete":
		if !h.ended {
			h.ended = true
			dst = h.begin(dst, root.Get("response"))
			dst = append(dst, inference.Delta{Kind: inference.End, Finish: r.finish, Usage: r.usage})
		}
	}
	return dst
}

func (h *hop) begin(dst []inference.Delta, v scan.Value) []inference.Delta {
	if h.begun {
		return dst
	}
	h.begun = true
	return append(dst, inference.Delta{Kind: inference.Begin, ID: v.Get("id").Text(), Model: v.Get("model").Text()})
}

// text appends a piece of a text, or the whole of one that came in no pieces.
func (h *hop) text(dst []inference.Delta, at place, v scan.Value, whole bool) []inference.Delta {
	if h.open != at || h.blocks == 0 {
		h.told = 0
	}
	if v.TextLen() == 0 || whole && h.told > 0 {
		return dst
	}
	if h.open != at || h.told == 0 {
		h.open, h.block = at, h.blocks
		h.blocks++
	}
	h.told += v.TextLen()
	return append(dst, inference.Delta{Kind: at.kind, Index: h.block, Text: v.Text()})
}

// tool appends the beginning of a call.
func (h *hop) tool(dst []inference.Delta, output int64, item scan.Value) []inference.Delta {
	custom := item.Get("type").Is("custom_tool_call")
	if !custom && !item.Get("type").Is("function_call") || h.find(output) != nil {
		return dst
	}
	h.tools = append(h.tools, toolBlock{output: output, block: h.blocks, custom: custom})
	h.open, h.told = place{kind: inference.ToolDelta}, 0
	h.blocks++
	return append(dst, inference.Delta{
		Kind: inference.ToolBegin, Index: h.blocks - 1, ID: item.Get("call_id").Text(), Name: item.Get("name").Text(),
	})
}

func (h *hop) find(output int64) *toolBlock {
	for i := range h.tools {
		if h.tools[i].output == output {
			return &h.tools[i]
		}
	}
	return nil
}

// arguments appends a fragment of a call's arguments, or the whole of those that
// came in no pieces. The text of a custom tool becomes the one argument of a
// function.
func (h *hop) arguments(dst []inference.Delta, output int64, v scan.Value, whole bool) []inference.Delta {
	t := h.find(output)
	if t == nil || t.closed || v.Kind() != scan.String {
		return dst
	}
	text := v.Text()
	if whole {
		t.closed = true
		if t.told > 0 {
			text = ""
		}
	}
	if t.custom {
		b := scan.AppendString(nil, text)
		b = b[1 : len(b)-1]
		if t.told == 0 && (len(b) > 0 || whole) {
			b = append([]byte(`{"input":"`), b...)
		}
		if whole {
			b = append(b, `"}`...)
		}
		text = string(b)
	}
	if text == "" {
		return dst
	}
	t.told += len(text)
	return append(dst, inference.Delta{Kind: inference.ToolDelta, Index: t.block, Text: text})
}
