package converse

import (
	"strings"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Reader follows one streamed answer, event by event. The zero Reader is ready;
// Reset makes it ready for the next answer. An answer is whole with messageStop;
// metadata with the usage comes after it, and then the bytes end.
type Reader struct {
	name    string
	event   scan.Value // the last one; absent where it said nothing
	begun   bool       // Begin was given
	opened  bool       // messageStart came
	stopped bool
	ended   bool // End was given
	finish  inference.Finish
	usage   inference.Usage
	open    []int64 // blocks that began, by their place
}

// Reset makes r ready for another answer.
func (r *Reader) Reset(int) { *r = Reader{open: r.open[:0]} }

// Read reads one event: its type, and its payload. An exception is an event whose
// name says so. The errors are *fault.Error.
func (r *Reader) Read(name, data []byte, d *scan.Doc) (inference.Event, error) {
	var e inference.Event
	r.event, r.name = scan.Value{}, string(name)
	err := d.ScanLax(data)
	if lower := strings.ToLower(r.name); strings.HasSuffix(lower, "exception") || strings.HasSuffix(lower, "error") {
		if err != nil {
			return e, exception(r.name, scan.Value{})
		}
		return e, exception(r.name, d.Root())
	}
	switch {
	case err != nil:
		return e, dialect.Unreadable(err)
	case d.Root().Kind() != scan.Object:
		return e, dialect.Broken(fault.Malformed, "an event that is not an object")
	}
	root := d.Root()
	switch r.name {
	case "messageStart":
		if r.opened {
			return e, dialect.Broken(fault.Mismatch, "a second messageStart")
		}
		r.opened = true
	case "contentBlockStart":
		e.Content = root.Get("start").Get("toolUse").Exists()
		if r.stopped && e.Content {
			return e, dialect.Broken(fault.Malformed, "content after messageStop")
		}
	case "contentBlockDelta":
		delta := root.Get("delta")
		e.Text = delta.Get("text").TextLen() + delta.Get("reasoningContent").Get("text").TextLen() + delta.Get("toolUse").Get("input").TextLen()
		e.Content = e.Text > 0 || delta.Get("reasoningContent").Get("redactedContent").Exists()
		if r.stopped && e.Content {
			return e, dialect.Broken(fault.Malformed, "content after messageStop")
		}
	case "messageStop":
		f, broke := finish(root.Get("stopReason"))
		switch {
		case broke != nil:
			return e, broke
		case f == inference.Unfinished:
			return e, dialect.Broken(fault.Incomplete, "messageStop without a stopReason")
		case r.stopped:
			return e, dialect.Broken(fault.Malformed, "a second messageStop")
		}
		r.stopped, r.finish = true, f
		e.Content, e.Finish, e.Finishes = true, f, 1
	case "metadata":
		if u := usage(root.Get("usage")); u.Known {
			r.usage, e.Usage, e.Aside = u, u, true
		}
	default: // contentBlockStop, and what later versions add
		return e, nil
	}
	r.event = root
	return e, nil
}

// Edits appends nothing: nobody is answered in this dialect.
func (r *Reader) Edits(dst []scan.Edit) []scan.Edit { return dst }

// End says whether the answer is whole where the upstream's bytes end.
func (r *Reader) End() error {
	if r.stopped {
		return nil
	}
	return dialect.Broken(fault.Interrupted, "the stream ended without messageStop")
}

// Deltas appends the last event as steps of the answer. The last step, End, waits for
// the end of the bytes, since usage comes after the stop: after End has returned nil,
// Deltas gives it.
func (r *Reader) Deltas(dst []inference.Delta) []inference.Delta {
	event := r.event
	r.event = scan.Value{}
	if !event.Exists() {
		if r.ended || !r.stopped {
			return dst
		}
		r.ended = true
		return append(dst, inference.Delta{Kind: inference.End, Finish: r.finish, Usage: r.usage})
	}
	if !r.begun {
		r.begun = true
		dst = append(dst, inference.Delta{Kind: inference.Begin})
	}
	i, _ := event.Get("contentBlockIndex").Int()
	switch r.name {
	case "contentBlockStart":
		if tool := event.Get("start").Get("toolUse"); tool.Exists() {
			dst = append(dst, inference.Delta{
				Kind: inference.ToolBegin, Index: r.block(i), ID: tool.Get("toolUseId").Text(), Name: tool.Get("name").Text(),
			})
		}
	case "contentBlockDelta":
		delta := event.Get("delta")
		thought := delta.Get("reasoningContent")
		for _, part := range [...]struct {
			kind inference.DeltaKind
			text scan.Value
		}{
			{inference.TextDelta, delta.Get("text")},
			{inference.ThoughtDelta, thought.Get("text")},
			{inference.Signed, thought.Get("signature")},
			{inference.Sealed, thought.Get("redactedContent")},
			{inference.ToolDelta, delta.Get("toolUse").Get("input")},
		} {
			if part.text.TextLen() > 0 {
				dst = append(dst, inference.Delta{Kind: part.kind, Index: r.block(i), Text: part.text.Text()})
			}
		}
	}
	return dst
}

// block returns the place of a block among those that said anything.
func (r *Reader) block(i int64) int {
	for at, known := range r.open {
		if known == i {
			return at
		}
	}
	r.open = append(r.open, i)
	return len(r.open) - 1
}
