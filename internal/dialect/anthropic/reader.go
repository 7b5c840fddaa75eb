package anthropic

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
	id       []byte // of the message
	begun    bool   // message_start came
	terminal bool   // message_stop came
	over     bool   // the answer is whole, and nothing follows
	counts   counts
	finish   inference.Finish

	doc   *scan.Doc // of the last event; nil for the terminal
	cut   scan.Edit
	stop  string // the stop_sequence
	ended bool   // Deltas gave the last step
}

// Reset makes r ready for another answer. This dialect has one choice, whatever
// n is.
func (r *Reader) Reset(int) { *r = Reader{id: r.id[:0]} }

// Read reads one event: its name, and its data lines joined. The errors are
// *fault.Error, and none of them may be followed by another Read. What the event
// tells holds until the next Read, in d too.
func (r *Reader) Read(name, data []byte, d *scan.Doc) (inference.Event, error) {
	r.doc, r.cut = nil, scan.Edit{}
	if r.terminal {
		return inference.Event{}, dialect.Broken(fault.Malformed, "an event after message_stop")
	}
	if err := d.ScanLax(data); err != nil {
		if string(name) == "error" {
			return inference.Event{}, dialect.Said{Message: data}.Fault()
		}
		return inference.Event{}, dialect.Unreadable(err)
	}
	root := d.Root()
	if f := dialect.Once(root, "type", "error", "delta", "usage"); f != nil {
		return inference.Event{}, f
	}
	kind := root.Get("type")
	e := root.Get("error")
	switch {
	case string(name) == "error", kind.Is("error"), truthy(e):
		if !e.Given() {
			e = root
		}
		return inference.Event{}, failed(e, 0)
	case root.Kind() != scan.Object:
		return inference.Event{}, dialect.Broken(fault.Malformed, "an event that is not an object")
	case !kind.Is(string(name)):
		// Clients go by the name alone, and would pass over the event in silence.
		return inference.Event{}, dialect.Broken(fault.Malformed, "an event whose name is not its type")
	case e.Exists():
		r.cut = scan.Cut(root, e)
	}
	r.doc = d
	return r.event(name, root)
}

func (r *Reader) event(name []byte, root scan.Value) (inference.Event, error) {
	var e inference.Event
	if string(name) == "message_start" {
		return r.start(root.Get("message"))
	}
	if !r.begun {
		switch string(name) {
		case "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop":
			return e, dialect.Broken(fault.Malformed, "an event before message_start")
		}
	}
	whole := r.finish != inference.Unfinished
	switch string(name) {
	case "content_block_start":
		b := root.Get("content_block")
		e.Text = blockText(b)
		e.Content = e.Text > 0 || !b.Get("type").Is("text") && !b.Get("type").Is("thinking")
	case "content_block_delta":
		b := root.Get("delta")
		if b.Kind() != scan.Object {
			return e, dialect.Broken(fault.Malformed, "a delta that is not an object")
		}
		e.Text = blockText(b)
		e.Content = e.Text > 0 || b.Get("citation").Given() || b.Get("signature").TextLen() > 0
	case "message_delta":
		r.counts.add(root.Get("usage"))
		e.Usage = r.counts.usage()
		delta := root.Get("delta")
		if f := dialect.Once(delta, "stop_reason"); f != nil {
			return e, f
		}
		if f := finish(delta.Get("stop_reason")); f != inference.Unfinished {
			if r.finish == inference.Unfinished {
				e.Finishes = 1
			}
			r.finish, e.Finish, e.Content = f, f, true
			r.stop = delta.Get("stop_sequence").Text()
		}
	case "message_stop":
		r.terminal, r.doc = true, nil
		if err := r.End(); err != nil {
			return e, err
		}
		e.Terminal = true
	}
	if whole && e.Content && e.Finish == inference.Unfinished {
		return inference.Event{}, dialect.Broken(fault.Malformed, "content after the stop_reason")
	}
	return e, nil
}

func (r *Reader) start(message scan.Value) (inference.Event, error) {
	id := message.Get("id").Bytes()
	switch {
	case message.Kind() != scan.Object:
		return inference.Event{}, dialect.Broken(fault.Malformed, "message_start without a message")
	case r.begun && !bytes.Equal(id, r.id):
		return inference.Event{}, dialect.Broken(fault.Mismatch, "another message began")
	case r.begun:
		return inference.Event{}, dialect.Broken(fault.Malformed, "message_start came twice")
	}
	r.begun = true
	r.id = append(r.id, id...)
	r.counts.add(message.Get("usage"))
	return inference.Event{Usage: r.counts.usage()}, nil
}

// Edits appends what must be changed in the data of the last event before it may
// be forwarded: a top-level "error": null.
func (r *Reader) Edits(dst []scan.Edit) []scan.Edit {
	if r.cut.End > 0 {
		dst = append(dst, r.cut)
	}
	return dst
}

// End says whether the answer is whole where the upstream's bytes end: nil if a
// stop_reason came, with or without message_stop.
func (r *Reader) End() error {
	switch {
	case r.finish != inference.Unfinished:
		r.over = true
		return nil
	case r.terminal:
		return dialect.Broken(fault.Incomplete, "message_stop without a stop_reason")
	}
	return dialect.Broken(fault.Interrupted, "the stream ended without a stop_reason")
}

// Deltas appends the last event as steps of the answer, for another dialect. The
// last step, End, waits for message_stop or for the end of the bytes: after End
// has returned nil, Deltas gives it.
func (r *Reader) Deltas(dst []inference.Delta) []inference.Delta {
	doc := r.doc
	r.doc = nil
	if doc == nil {
		if r.ended || !r.over {
			return dst
		}
		r.ended = true
		return append(dst, inference.Delta{
			Kind: inference.End, Finish: r.finish, StopSequence: r.stop, Usage: r.counts.usage(),
		})
	}
	root := doc.Root()
	n, _ := root.Get("index").Int()
	index := int(n)
	add := func(kind inference.DeltaKind, v scan.Value) {
		if v.TextLen() > 0 {
			dst = append(dst, inference.Delta{Kind: kind, Index: index, Text: v.Text()})
		}
	}
	switch string(root.Get("type").Bytes()) {
	case "message_start":
		message := root.Get("message")
		dst = append(dst, inference.Delta{
			Kind: inference.Begin, ID: message.Get("id").Text(), Model: message.Get("model").Text(), Usage: r.counts.usage(),
		})
	case "content_block_start":
		b := root.Get("content_block")
		if b.Get("type").Is("tool_use") {
			dst = append(dst, inference.Delta{
				Kind: inference.ToolBegin, Index: index, ID: b.Get("id").Text(), Name: b.Get("name").Text(),
			})
			// Some servers send the arguments whole.
			if input := b.Get("input"); input.Len() > 0 {
				dst = append(dst, inference.Delta{Kind: inference.ToolDelta, Index: index, Text: string(input.Raw())})
			}
		}
		add(inference.TextDelta, b.Get("text"))
		add(inference.ThoughtDelta, b.Get("thinking"))
		add(inference.Sealed, b.Get("data"))
	case "content_block_delta":
		b := root.Get("delta")
		add(inference.TextDelta, b.Get("text"))
		add(inference.ThoughtDelta, b.Get("thinking"))
		add(inference.Signed, b.Get("signature"))
		add(inference.ToolDelta, b.Get("partial_json"))
	}
	return dst
}
