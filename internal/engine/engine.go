// Package engine speaks to what runs models. A kind of engine opens a call and
// hands back a stream; whatever differs between kinds (paths, credentials,
// quirks) stays inside the kind's own package, one below this one.
//
// Nothing here decides: a stream says what came and what went wrong, as a
// *fault.Error, and whoever reads it reports that to flow.
package engine

import (
	"context"
	"errors"
	"time"

	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/place"
	"headworks/internal/scan"
	"headworks/internal/tenant"
	"headworks/internal/wire"
)

// ErrQuiet is what Next returns when nothing came until the moment it was given.
// The stream is as it was, and Next may be called again.
var ErrQuiet = errors.New("engine: quiet")

// Call is one request on its way to one replica. Everything in it belongs to the
// caller, is only read, and stays valid until the stream is closed; what the caller
// sent (Body, Doc, Conversation, Header) only until content was handed out, since
// nothing is sent again after that.
type Call struct {
	Request *inference.Request
	Replica *fleet.Replica
	Model   string // the upstream's name for the model

	// Body is what the caller sent, in the dialect Request.Dialect, and Doc its
	// index. An engine of the same dialect sends these bytes with only the
	// changed fields spliced in.
	Body []byte
	Doc  *scan.Doc

	// Form, where set, is what a body is that is no JSON; Doc is empty then.
	Form *Form

	// Conversation reads the body for an engine of another dialect, and names
	// the fields that cannot be carried.
	Conversation func() (*inference.Conversation, []string, error)

	// Prefill asks to read the prompt alone and to keep what came of it for another
	// replica: the answer's last chunk has in Handed where that is. Request says that
	// nothing streams. An engine whose protocol has no Handover does not know it.
	Prefill bool

	// Handed is what another replica handed over that has read the prompt; nil: none.
	Handed []byte

	// Whole asks for all or nothing: where a field of the request cannot be carried,
	// Open fails with a fault of kind Unsupported, and nothing was sent.
	Whole bool

	// Tell asks for what Raw says in Deltas or Answer beside it, where an answer comes
	// in the caller's dialect.
	Tell bool

	// Anew asks for Deltas or Answer in the place of Raw, in whatever dialect an answer
	// comes.
	Anew bool

	// Header holds what the caller may pass through to an upstream of the same
	// dialect, in pairs of name and value, from the surface's allow-list.
	Header []string

	// Caller is who asks and Place is where he is, for an engine that has to say so.
	Caller *tenant.Caller
	Wish   tenant.Wish // what he wants of the answer and may
	Place  place.Place

	// Searched says that what was to be done with documents is done: who gets the body
	// searches none.
	Searched bool

	// Trace is the W3C traceparent to send on; empty for none.
	Trace string
}

// Form is a body of multipart/form-data, of which Call.Body holds the beginning or
// the whole.
type Form struct {
	Type  string // the media type, with the boundary
	Model [2]int // where in the body the name of the model stands: its first byte, and behind its last

	// Rest is what follows; nil where nothing does. It can be sent once, and Length
	// is its bytes, -1 where only its end tells.
	Rest   wire.Source
	Length int64
}

// Chunk is what came: a piece of a streamed answer, or the whole answer. Its
// bytes are valid until the next call of Next.
//
// Raw is set where the engine speaks the caller's dialect, Deltas or Answer where
// it does not, or where Call.Tell asks for both. A chunk with none of them tells what Event says, or no more than
// that another part of a whole answer came.
type Chunk struct {
	Raw    []byte            // whole events with their blank lines, a whole body, or a piece of an opaque one
	Aside  int               // bytes at the end of Raw that those alone see who ask for usage
	Type   string            // media type of Raw, where it is neither JSON nor events
	Deltas []inference.Delta // of a streamed answer
	Answer *inference.Answer // a whole answer

	// What these bytes tell. Usage holds totals so far.
	Event inference.Event

	// Handed is where what was read is kept, of a call with Prefill: JSON for Call.Handed
	// of the call to another replica. Empty: nowhere.
	Handed []byte

	// Estimated tells that the answer is our own guess in the place of the
	// upstream's.
	Estimated bool

	// Last tells that the answer is whole: nothing follows but the terminal,
	// which the surface writes, unless it is among these bytes because it says more
	// than that the answer is over. It is never set on an answer that was cut.
	Last bool
}

// Stream is an answer that is coming. One goroutine reads it.
type Stream interface {
	// Next returns what came; or ErrQuiet if nothing came until the given moment
	// (the zero time waits for ever); or a *fault.Error, after which only Close may
	// follow. A canceled context ends it at once, with an error of any type. After
	// the last chunk there is nothing but an error.
	Next(until time.Time) (Chunk, error)

	// Dropped names the caller's fields that this engine could not be told.
	Dropped() []string

	// Close gives back what the call holds; it is called once. Before the end of
	// the answer it cancels the call: the upstream's slot is free at once.
	Close() error
}

// Engine opens calls to the replicas of one upstream, many at once.
type Engine interface {
	// Open connects, sends the request and returns without waiting for the
	// answer. Its errors are *fault.Error.
	Open(ctx context.Context, c *Call) (Stream, error)
}
