package bedrock

import (
	"bytes"
	"encoding/binary"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"headworks/internal/fault"
	"headworks/internal/wire"
)

// Bounds of a message: the prelude with its sum, and the sum at the end; what AWS
// allows is 24 MiB.
const (
	least = 16
	most  = 8 << 20
)

// Frames cuts an event stream of AWS into its messages (the format
// application/vnd.amazon.eventstream). Each has its sums of CRC-32 checked. The zero
// Frames is ready.
type Frames struct {
	held    []byte
	payload []byte
	event   wire.Event
	decoder *eventstream.Decoder
}

// Feed adds the bytes of one read.
func (f *Frames) Feed(p []byte) { f.held = append(f.held, p...) }

// Reset drops what is left.
func (f *Frames) Reset() {
	if f.held = f.held[:0]; cap(f.held) > 64<<10 {
		f.held = nil
	}
	if cap(f.payload) > 64<<10 {
		f.payload = nil
	}
}

// Next returns the next message as an event, named by its type, or nil if it has not
// come whole. An exception is named by its own. The error is a *fault.Error: Oversized,
// or Malformed where a sum is wrong.
func (f *Frames) Next() (*wire.Event, error) {
	if len(f.held) < least {
		return nil, nil
	}
	size := int(binary.BigEndian.Uint32(f.held))
	switch {
	case size < least:
		return nil, broken(nil)
	case size > most:
		return nil, fault.New(fault.Oversized, "the upstream sent an event that is too large")
	case len(f.held) < size:
		return nil, nil
	}
	if f.decoder == nil {
		f.decoder = eventstream.NewDecoder()
	}
	m, err := f.decoder.Decode(bytes.NewReader(f.held[:size]), f.payload[:0])
	if err != nil {
		return nil, broken(err)
	}
	f.payload = m.Payload
	f.held = f.held[:copy(f.held, f.held[size:])]
	f.event = wire.Event{Name: []byte(name(m.Headers)), Data: m.Payload}
	if f.event.Data == nil {
		f.event.Data = []byte("{}")
	}
	return &f.event, nil
}

// name returns what a message is: the type of its event, the name of its exception,
// or the code of its error.
func name(headers eventstream.Headers) string {
	kind, key := text(headers, ":message-type"), ":event-type"
	switch kind {
	case "exception":
		key = ":exception-type"
	case "error":
		return text(headers, ":error-code") + "Error"
	}
	return text(headers, key)
}

func text(headers eventstream.Headers, name string) string {
	if v, ok := headers.Get(name).(eventstream.StringValue); ok {
		return string(v)
	}
	return ""
}

func broken(cause error) *fault.Error {
	return fault.Wrap(fault.Malformed, "the upstream sent a message that is broken", cause)
}
