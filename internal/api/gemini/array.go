package gemini

import (
	"bytes"

	"headworks/internal/dialect/gemini"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/wire"
)

// array writes a stream as Google does unless server-sent events are asked for: one
// JSON array, whose elements are the responses.
type array struct {
	events gemini.Writer
	split  *wire.Splitter
	room   []byte // of events
	begun  bool   // the bracket is open
	filled bool   // an element stands in it
}

func newArray(id, model string) *array {
	return &array{events: gemini.Writer{ID: id, Model: model}, split: wire.NewSplitter(0)}
}

// Delta implements api.Writer.
func (a *array) Delta(dst []byte, d inference.Delta) []byte {
	a.room = a.events.Delta(a.room[:0], d)
	return a.Raw(dst, a.room)
}

// Cite appends what the text cites that was written, as an element.
func (a *array) Cite(dst []byte, block int, cited []inference.Citation) []byte {
	a.room = a.events.Cite(a.room[:0], block, cited)
	return a.Raw(dst, a.room)
}

// Raw appends what the data of events say, as elements. Events come whole.
func (a *array) Raw(dst, events []byte) []byte {
	a.split.Feed(events)
	for {
		e, err := a.split.Next()
		if err != nil || e == nil { // too large an event is none of ours: the engine bounds them
			return dst
		}
		if data := bytes.TrimSpace(e.Data); len(data) > 0 {
			dst = append(a.element(dst), data...)
		}
	}
}

// element opens the array, or goes on in it.
func (a *array) element(dst []byte) []byte {
	dst = a.open(dst)
	if a.filled {
		dst = append(dst, ",\r\n"...)
	}
	a.filled = true
	return dst
}

func (a *array) open(dst []byte) []byte {
	if !a.begun {
		dst = append(dst, '[')
	}
	a.begun = true
	return dst
}

// End implements api.Writer.
func (a *array) End(dst []byte) []byte { return append(a.open(dst), "]\n"...) }

// Fail appends an error as the last element: the array is whole, and what it tells
// is that the answer is not.
func (a *array) Fail(dst []byte, f *fault.Error, requestID string) []byte {
	return a.End(a.events.Bare(a.element(dst), f, requestID))
}

// KeepAlive appends white space, which may stand between elements.
func (a *array) KeepAlive(dst []byte) []byte { return append(a.open(dst), '\n') }
