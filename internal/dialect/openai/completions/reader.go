package completions

import (
	"bytes"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Reader follows one streamed answer, event by event. It says what each event
// tells and refuses what does not belong there. Reset makes it ready and keeps its
// memory. Its answers go to callers of this dialect alone.
type Reader struct {
	n        int      // choices asked for
	done     []uint64 // which of them finished
	left     int      // how many did not
	id       []byte
	model    []byte
	terminal bool // [DONE] came
	cut      scan.Edit
}

// Reset makes r ready for an answer of n choices; 0 is 1.
func (r *Reader) Reset(n int) {
	n = max(n, 1)
	words := (n + 63) / 64
	if cap(r.done) < words {
		r.done = make([]uint64, words)
	}
	r.done = r.done[:words]
	clear(r.done)
	*r = Reader{n: n, left: n, done: r.done, id: r.id[:0], model: r.model[:0]}
}

// Read reads one event: its name, and its data lines joined. The errors are
// *fault.Error, and none of them may be followed by another Read.
func (r *Reader) Read(name, data []byte, d *scan.Doc) (inference.Event, error) {
	if r.n == 0 {
		r.Reset(1)
	}
	r.cut = scan.Edit{}
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
	root := d.Root()
	if string(name) == "error" {
		for _, v := range []scan.Value{root.Get("error"), root} {
			if f := kin.Failed(v, 0); f != nil {
				return inference.Event{}, f
			}
		}
		return inference.Event{}, dialect.Said{}.Fault()
	}
	e, err := r.event(root)
	if err != nil {
		return inference.Event{}, err
	}
	return e, nil
}

func (r *Reader) event(root scan.Value) (inference.Event, error) {
	var e inference.Event
	if f := kin.Inside(root); f != nil { // an error decides, whatever stands beside it
		return e, f
	}
	if f := dialect.Once(root, "choices", "usage", "error", "object"); f != nil {
		return e, f
	}
	var choices scan.Value
	for m := range root.All() {
		switch string(m.Key()) {
		case "error":
			r.cut = scan.Cut(root, m)
		case "choices":
			choices = m
		case "usage":
			e.Usage = kin.Usage(m)
		case "id":
			if !dialect.Same(&r.id, m) {
				return e, dialect.Broken(fault.Mismatch, "the id changed")
			}
		case "model":
			if !dialect.Same(&r.model, m) {
				return e, dialect.Broken(fault.Mismatch, "the model changed")
			}
		}
	}
	switch choices.Kind() {
	case scan.Array:
		for c := range choices.All() {
			if err := r.choice(c, &e); err != nil {
				return e, err
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
	return e, nil
}

func (r *Reader) choice(c scan.Value, e *inference.Event) error {
	if c.Kind() != scan.Object {
		return dialect.Broken(fault.Malformed, "a choice that is not an object")
	}
	if f := dialect.Once(c, "index", "text", "finish_reason"); f != nil {
		return f
	}
	if f := kin.Broke(c); f != nil {
		return f
	}
	i := int64(0)
	if v := c.Get("index"); v.Exists() {
		var ok bool
		if i, ok = v.Int(); !ok || i < 0 || i >= int64(r.n) {
			return dialect.Broken(fault.Mismatch, "a choice that was not asked for")
		}
	}
	text, ended := c.Get("text").TextLen(), kin.Finish(c.Get("finish_reason"))
	e.Content = e.Content || text > 0
	e.Text += text
	word, bit := i/64, uint64(1)<<(i%64)
	switch {
	case r.done[word]&bit != 0 && text > 0:
		return dialect.Broken(fault.Malformed, "content after the finish_reason of its choice")
	case ended == inference.Unfinished || r.done[word]&bit != 0:
		return nil
	}
	r.done[word] |= bit
	r.left--
	e.Content, e.Finish = true, ended
	e.Finishes++
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

// Deltas appends nothing: no other dialect is answered from this one.
func (r *Reader) Deltas(dst []inference.Delta) []inference.Delta { return dst }

// End says whether the answer is whole where the upstream's bytes end: nil if
// every choice has finished, with or without [DONE].
func (r *Reader) End() error {
	switch {
	case r.n > 0 && r.left == 0:
		return nil
	case r.terminal:
		return dialect.Broken(fault.Incomplete, "[DONE] without a finish_reason for every choice")
	}
	return dialect.Broken(fault.Interrupted, "the stream ended without a finish_reason for every choice")
}
