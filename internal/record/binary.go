package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"headworks/internal/inference"
)

// The binary form is one byte of version, then for each column that is not blank
// a tag (number*2 + wire, a varint) and a value: wire 0 is a zigzag varint, wire 1 a length
// and bytes. A reader skips numbers it does not know, and what stands behind the
// fields it knows in a candidate or an attempt. Equal records have equal bytes.
const (
	version = 1

	wireInt   = 0
	wireBytes = 1
)

// MaxText bounds a text in the binary form, in bytes: a longer one is cut, at the
// border of a rune. A record is then at most about 20 KB.
const MaxText = 256

// ErrCorrupt is wrapped by what Decode returns for bytes that are no record.
var ErrCorrupt = errors.New("record: corrupt")

// Append appends the binary form of r to b. It allocates only where b grows.
func (r *Record) Append(b []byte) []byte {
	b = append(b, version)
	for i := range table {
		c := &table[i]
		switch c.Kind {
		case Int:
			if v := *c.num(r); v != c.none {
				b = binary.AppendVarint(c.tag(b, wireInt), v)
			}
		case Flag:
			if *c.flag(r) {
				b = append(c.tag(b, wireInt), 2)
			}
		case ID:
			if id := c.id(r); i == 0 || *id != [16]byte{} {
				b = append(append(c.tag(b, wireBytes), 16), id[:]...)
			}
		case Text:
			switch {
			case c.text != nil:
				if s := *c.text(r); s != "" {
					b = appendText(c.tag(b, wireBytes), s)
				}
			case c.number != 0:
				if s := c.word.get(r); s != c.word.zero {
					b = appendText(c.tag(b, wireBytes), s)
				}
			}
		}
	}
	for i := range r.Kept() {
		b = r.Candidates[i].append(b)
	}
	for i := range r.Tries() {
		b = r.Attempts[i].append(b)
	}
	if r.Complexity >= 0 {
		b = append(binary.AppendUvarint(b, signalsNumber<<1|wireBytes), 2*byte(len(r.Signals)))
		for _, v := range r.Signals {
			b = binary.LittleEndian.AppendUint16(b, uint16(v))
		}
	}
	return b
}

// tag appends what stands before a value of the column.
func (c *Column) tag(b []byte, wire byte) []byte {
	if c.number < attemptNumber {
		return append(b, c.number<<1|wire)
	}
	return binary.AppendUvarint(b, uint64(c.number)<<1|uint64(wire))
}

func (c *Candidate) append(b []byte) []byte {
	n := textSize(c.Upstream) + textSize(c.Replica) + textSize(c.Model) + 8 + 1 + textSize(c.WhyNot) + 8
	if c.Judged {
		n += 4 + 4*len(c.Parts)
	}
	b = binary.AppendUvarint(append(b, candidateNumber<<1|wireBytes), uint64(n))
	b = appendText(appendText(appendText(b, c.Upstream), c.Replica), c.Model)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(c.Score))
	b = appendText(appendBool(b, c.Won), c.WhyNot)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.Hit))
	if c.Judged {
		b = appendFloat(b, c.Worth)
		for _, p := range c.Parts {
			b = appendFloat(b, p)
		}
	}
	return b
}

func (a *Attempt) append(b []byte) []byte {
	kind := a.Fault.String()
	n := textSize(a.Upstream) + textSize(a.Replica) + 8 + 8 + textSize(kind) + 1 + textSize(a.Reason)
	looked := a.Doubt != "" || a.Input > 0 || a.Output > 0
	if looked {
		n += textSize(a.Doubt) + 3*8
	}
	b = binary.AppendUvarint(append(b, attemptNumber<<1|wireBytes), uint64(n))
	b = appendText(appendText(b, a.Upstream), a.Replica)
	b = binary.LittleEndian.AppendUint64(b, uint64(a.Start))
	b = binary.LittleEndian.AppendUint64(b, uint64(a.Duration))
	b = appendText(appendBool(appendText(b, kind), a.Free), a.Reason)
	if looked {
		b = appendText(b, a.Doubt)
		for _, v := range [...]int64{a.Input, a.Output, a.Cost} {
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		}
	}
	return b
}

func appendText(b []byte, s string) []byte {
	if len(s) < 1<<7 {
		return append(append(b, byte(len(s))), s...)
	}
	s = clip(s)
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func textSize(s string) int {
	if n := len(clip(s)); n < 1<<7 {
		return 1 + n
	} else {
		return 2 + n
	}
}

func clip(s string) string {
	if len(s) <= MaxText {
		return s
	}
	n := MaxText
	for n > MaxText-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func appendFloat(b []byte, v float32) []byte {
	return binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// PeekID returns the request id of a record in binary form without reading the
// rest.
func PeekID(b []byte) (inference.ID, bool) {
	if len(b) < 19 || b[0] != version || b[1] != 1<<1|wireBytes || b[2] != 16 {
		return inference.ID{}, false
	}
	return inference.ID(b[3:19]), true
}

// Decode makes r what b holds, the binary form of one record and nothing more.
// What b does not say is blank.
func (r *Record) Decode(b []byte) error {
	r.Reset()
	if len(b) == 0 {
		return fmt.Errorf("%w: empty", ErrCorrupt)
	}
	if b[0] != version {
		return fmt.Errorf("%w: version %d, want %d", ErrCorrupt, b[0], version)
	}
	d := reader{b: b[1:]}
	var candidates, attempts int
	for len(d.b) > 0 && !d.bad {
		tag := d.uvarint()
		number := tag >> 1
		if tag&1 == wireInt {
			v := d.varint()
			if c := numbered(number); c != nil && !d.bad {
				switch c.Kind {
				case Int:
					*c.num(r) = v
				case Flag:
					*c.flag(r) = v != 0
				case Text, ID:
					d.bad = true
				}
			}
			continue
		}
		v := d.bytes()
		switch {
		case d.bad:
		case number == candidateNumber && candidates < len(r.Candidates):
			d.bad = !r.Candidates[candidates].decode(v)
			candidates++
		case number == attemptNumber && attempts < len(r.Attempts):
			d.bad = !r.Attempts[attempts].decode(v)
			attempts++
		case number == signalsNumber:
			for i := 0; i < len(r.Signals) && len(v) >= 2; i++ {
				r.Signals[i], v = int16(binary.LittleEndian.Uint16(v)), v[2:]
			}
		default:
			c := numbered(number)
			switch {
			case c == nil:
			case c.Kind == ID && len(v) == 16:
				*c.id(r) = [16]byte(v)
			case c.Kind == Text && c.text != nil:
				*c.text(r) = string(v)
			case c.Kind == Text:
				c.word.set(r, v)
			default:
				d.bad = true
			}
		}
	}
	// The counts say how much of the arrays is read: they may not promise more
	// than came.
	if d.bad || r.Considered < 0 || len(r.Kept()) != candidates || r.Tried < 0 || len(r.Tries()) != attempts {
		r.Reset()
		return fmt.Errorf("%w: %d bytes that do not parse", ErrCorrupt, len(b))
	}
	return nil
}

func (c *Candidate) decode(b []byte) bool {
	d := reader{b: b}
	c.Upstream, c.Replica, c.Model = d.text(), d.text(), d.text()
	c.Score = math.Float64frombits(d.fixed())
	c.Won = d.bool()
	c.WhyNot = d.text()
	if len(d.b) > 0 { // records of before have none
		c.Hit = int64(d.fixed())
	}
	if len(d.b) > 0 {
		c.Judged, c.Worth = true, d.float()
	}
	for i := 0; i < len(c.Parts) && len(d.b) > 0; i++ {
		c.Parts[i] = d.float()
	}
	return !d.bad
}

func (a *Attempt) decode(b []byte) bool {
	d := reader{b: b}
	a.Upstream, a.Replica = d.text(), d.text()
	a.Start, a.Duration = int64(d.fixed()), int64(d.fixed())
	a.Fault = faultNamed(d.bytes())
	a.Free = d.bool()
	a.Reason = d.text()
	if len(d.b) > 0 { // records of before have none
		a.Doubt = d.text()
		a.Input, a.Output, a.Cost = int64(d.fixed()), int64(d.fixed()), int64(d.fixed())
	}
	return !d.bad
}

// numbered returns the column of that number.
func numbered(n uint64) *Column {
	if n >= uint64(len(byNumber)) || byNumber[n] == 0 {
		return nil
	}
	return &table[byNumber[n]-1]
}

// byNumber holds each column's place in the table, from 1.
var byNumber = func() (places [most + 1]byte) {
	for i, c := range table {
		if c.number != 0 {
			places[c.number] = byte(i + 1)
		}
	}
	return places
}()

// reader takes values off the front of b. Once something is bad it stays so, and
// every value after it is zero.
type reader struct {
	b   []byte
	bad bool
}

func (d *reader) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *reader) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *reader) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.b, d.bad = nil, true
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *reader) bytes() []byte { return d.take(d.uvarint()) }

func (d *reader) text() string { return string(d.bytes()) }

func (d *reader) bool() bool {
	v := d.take(1)
	return len(v) == 1 && v[0] != 0
}

func (d *reader) float() float32 {
	v := d.take(4)
	if len(v) != 4 {
		return 0
	}
	return math.Float32frombits(binary.LittleEndian.Uint32(v))
}

func (d *reader) fixed() uint64 {
	v := d.take(8)
	if len(v) != 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(v)
}
