package openai

import (
	"bytes"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// ReadCounts reads a usage object as images and audio have it: input_tokens and
// output_tokens, or prompt_tokens and completion_tokens as chat does. What is counted
// in seconds is not Known.
func ReadCounts(v scan.Value) inference.Usage {
	u := usage(v)
	for m := range v.All() {
		switch string(m.Key()) {
		case "input_tokens":
			u.Input, u.Known = count(m), true
		case "output_tokens":
			u.Output, u.Known = count(m), true
		}
	}
	return u
}

// Events follows a streamed answer of images or audio: events that name their type,
// of which the last ends in .completed or .done, or those of vLLM's transcriptions,
// which have choices and end with [DONE]. The zero Events is ready.
type Events struct {
	kin      Kin
	n, ended int  // answers asked for, and those that are whole
	choices  bool // vLLM's: a finish_reason may come for each piece of the sound
	finished bool
	terminal bool
	cut      scan.Edit
}

// Reset makes r ready for n answers; 0 is 1.
func (r *Events) Reset(n int) { *r = Events{n: max(n, 1)} }

// Read reads one event; see Reader.Read.
func (r *Events) Read(name, data []byte, d *scan.Doc) (inference.Event, error) {
	r.cut = scan.Edit{}
	if r.terminal {
		return inference.Event{}, dialect.Broken(fault.Malformed, "an event after [DONE]")
	}
	if string(name) != "error" && string(bytes.TrimSpace(data)) == "[DONE]" {
		r.terminal = true
		if err := r.End(); err != nil {
			return inference.Event{}, err
		}
		return inference.Event{Terminal: true, Content: true}, nil // passed on as it is: not all write one
	}
	if err := d.ScanLax(data); err != nil {
		if string(name) == "error" {
			return inference.Event{}, dialect.Said{Message: data}.Fault()
		}
		return inference.Event{}, dialect.Unreadable(err)
	}
	root := d.Root()
	if string(name) == "error" || root.Get("type").Is("error") {
		return inference.Event{}, named(root)
	}
	if f := r.kin.Inside(root); f != nil {
		return inference.Event{}, f
	}
	if f := dialect.Once(root, "type", "usage", "error", "choices"); f != nil {
		return inference.Event{}, f
	}
	if e := root.Get("error"); e.Exists() {
		r.cut = scan.Cut(root, e) // null: official clients fail on it
	}
	e := inference.Event{Usage: ReadCounts(root.Get("usage"))}
	if choices := root.Get("choices"); choices.Exists() {
		r.choices = true
		for c := range choices.All() {
			e.Content = true
			r.finished = r.finished || c.Get("finish_reason").Given()
		}
		return e, nil
	}
	kind := root.Get("type").Bytes()
	switch {
	case bytes.HasSuffix(kind, []byte(".completed")), bytes.HasSuffix(kind, []byte(".done")):
		e.Content, e.Finish = true, inference.Stop
		if r.ended++; r.ended == max(r.n, 1) {
			e.Finishes = 1
		}
	case bytes.HasSuffix(kind, []byte(".delta")), bytes.HasSuffix(kind, []byte(".partial_image")), bytes.HasSuffix(kind, []byte(".segment")):
		e.Content = true
	case len(kind) == 0 && !e.Usage.Known:
		return e, dialect.Broken(fault.Malformed, "an event without a type")
	}
	return e, nil
}

// Edits appends what must be changed in the data of the last event before it may be
// forwarded.
func (r *Events) Edits(dst []scan.Edit) []scan.Edit {
	if r.cut.End > 0 {
		dst = append(dst, r.cut)
	}
	return dst
}

// Deltas appends nothing: no other dialect is answered from this one.
func (*Events) Deltas(dst []inference.Delta) []inference.Delta { return dst }

// End says whether the answer is whole where the upstream's bytes end.
func (r *Events) End() error {
	switch {
	case r.ended > 0, r.choices && r.finished && r.terminal:
		return nil
	case r.terminal:
		return dialect.Broken(fault.Incomplete, "[DONE] before the answer was whole")
	}
	return dialect.Broken(fault.Interrupted, "the stream ended before the event that says it is whole")
}

// Scant reports whether fewer answers are whole than were asked for. An upstream may
// mean it so: whether it does, its proper end tells.
func (r *Events) Scant() bool { return !r.choices && r.ended < max(r.n, 1) }

// Relay writes what is no conversation: the events of an upstream as they came, and
// a failure in the place of what is missing.
type Relay struct{ Writer }

// End appends nothing: where an upstream writes a terminal, it was passed on.
func (*Relay) End(dst []byte) []byte { return dst }
