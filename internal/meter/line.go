package meter

import (
	"encoding/binary"
	"errors"

	"headworks/internal/record"
)

// The first byte of a frame says what it is. A line follows with the request id,
// varints (time, five counts of tokens, cost) and texts with their lengths (key,
// tenant, model, upstream, source, end); what a later version adds stands behind.
const (
	kindLine    = 1
	kindBalance = 2

	// maxText bounds a text of a line, in bytes; a longer one is cut.
	maxText = 256
)

var errLine = errors.New("meter: a line that does not parse")

func isBalance(frame []byte) bool { return len(frame) > 0 && frame[0] == kindBalance }

func (l *Line) append(b []byte) []byte {
	b = append(append(b, kindLine), l.ID[:]...)
	for _, v := range [...]int64{l.Time, l.Input, l.Output, l.CacheRead, l.CacheWrite, l.Reasoning, l.Cost} {
		b = binary.AppendVarint(b, v)
	}
	for _, s := range [...]string{l.KeyID, l.Tenant, l.Model, l.Upstream, l.Source.String(), l.End.String()} {
		b = appendText(b, s)
	}
	return b
}

func (l *Line) decode(frame []byte) error {
	*l = Line{}
	if len(frame) < 17 || frame[0] != kindLine {
		return errLine
	}
	copy(l.ID[:], frame[1:17])
	d := reader{b: frame[17:]}
	for _, v := range [...]*int64{&l.Time, &l.Input, &l.Output, &l.CacheRead, &l.CacheWrite, &l.Reasoning, &l.Cost} {
		*v = d.varint()
	}
	for _, s := range [...]*string{&l.KeyID, &l.Tenant, &l.Model, &l.Upstream} {
		*s = d.text()
	}
	source, end := d.text(), d.text()
	if d.bad {
		return errLine
	}
	for s := record.NoUsage; s <= record.Estimated; s++ {
		if s.String() == source {
			l.Source = s
		}
	}
	for e := record.Open; e <= record.ClientClosed; e++ {
		if e.String() == end {
			l.End = e
		}
	}
	return nil
}

func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), maxText)]
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader takes values off the front of b. Once something is bad it stays so, and
// every value after it is zero.
type reader struct {
	b   []byte
	bad bool
}

func (d *reader) fail() {
	d.b, d.bad = nil, true
}

func (d *reader) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *reader) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *reader) text() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}
