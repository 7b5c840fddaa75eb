package peer

import (
	"encoding/binary"
	"errors"
	"time"

	"headworks/internal/flow"
)

// A message is, in this order: the magic, which names the version, the number of the
// sending process, the message's number and its time (Unix milliseconds), each 8 bytes
// little-endian; then counted lists, all counts, lengths and figures as unsigned
// varints in their shortest form:
//
//	replicas  URL (length, bytes), place among the credentials, and what is in flight:
//	          requests, prompt tokens to read, KV tokens
//	given     places in replicas
//	runs      a place in replicas, and blocks of 8 bytes each, little-endian
//
// Nothing follows. There is one reading of a message and one writing of a reading.
const (
	magic       = "HWpeer01"
	MaxMessage  = 1 << 20 // bytes
	maxReplicas = 4096
	maxURL      = 2048
	maxKey      = 4095
	maxGiven    = 4096
	maxRuns     = 1 << 16
	maxFigure   = 1 << 40
)

// message is what one gateway tells another at a time.
type message struct {
	process  uint64
	number   uint64
	sent     time.Time
	replicas []replica
	given    []int // places in replicas
	runs     []run
}

// replica is one that is told of. Between gateways it is known by where it is.
type replica struct {
	at       name
	inFlight flow.Load
}

// name is what a replica is called between gateways: its base URL, and its place
// among the credentials of its upstream.
type name struct {
	url string
	key int
}

// run is blocks that were sent to one replica, one after the other.
type run struct {
	replica int // place in replicas
	keys    []uint64
}

// append writes m to b.
func (m *message) append(b []byte) []byte {
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint64(b, m.process)
	b = binary.LittleEndian.AppendUint64(b, m.number)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.sent.UnixMilli()))
	b = binary.AppendUvarint(b, uint64(len(m.replicas)))
	for i := range m.replicas {
		r := &m.replicas[i]
		b = binary.AppendUvarint(b, uint64(len(r.at.url)))
		b = append(b, r.at.url...)
		b = binary.AppendUvarint(b, uint64(r.at.key))
		for _, n := range [...]int{r.inFlight.Requests, r.inFlight.Prefill, r.inFlight.KV} {
			b = binary.AppendUvarint(b, uint64(min(max(n, 0), maxFigure)))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(m.given)))
	for _, place := range m.given {
		b = binary.AppendUvarint(b, uint64(place))
	}
	b = binary.AppendUvarint(b, uint64(len(m.runs)))
	for i := range m.runs {
		b = binary.AppendUvarint(b, uint64(m.runs[i].replica))
		b = binary.AppendUvarint(b, uint64(len(m.runs[i].keys)))
		for _, k := range m.runs[i].keys {
			b = binary.LittleEndian.AppendUint64(b, k)
		}
	}
	return b
}

var (
	errVersion = errors.New("no message of this version")
	errMessage = errors.New("not a whole message, or more than one")
)

// parse reads a message.
func parse(b []byte) (*message, error) {
	if len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return nil, errVersion
	}
	c := cursor{rest: b[len(magic):]}
	m := &message{process: c.word(), number: c.word()}
	sent := c.word()
	if sent > maxFigure*1000 {
		return nil, errMessage
	}
	m.sent = time.UnixMilli(int64(sent))
	for range c.figure(maxReplicas) {
		var r replica
		r.at.url = string(c.bytes(c.figure(maxURL)))
		r.at.key = c.figure(maxKey)
		for _, to := range [...]*int{&r.inFlight.Requests, &r.inFlight.Prefill, &r.inFlight.KV} {
			*to = c.figure(maxFigure)
		}
		if c.bad {
			return nil, errMessage
		}
		m.replicas = append(m.replicas, r)
	}
	for range c.figure(maxGiven) {
		m.given = append(m.given, c.place(m))
		if c.bad {
			return nil, errMessage
		}
	}
	for range c.figure(maxRuns) {
		r := run{replica: c.place(m)}
		words := c.bytes(8 * c.figure(MaxMessage/8))
		if c.bad {
			return nil, errMessage
		}
		r.keys = make([]uint64, len(words)/8)
		for i := range r.keys {
			r.keys[i] = binary.LittleEndian.Uint64(words[8*i:])
		}
		m.runs = append(m.runs, r)
	}
	if c.bad || len(c.rest) > 0 {
		return nil, errMessage
	}
	return m, nil
}

// cursor reads from the front of rest. Once bad, it reads nothing.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) bytes(n int) []byte {
	if c.bad || n > len(c.rest) {
		c.bad = true
		return nil
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) word() uint64 {
	if b := c.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// figure reads a varint of at most most, in its shortest form.
func (c *cursor) figure(most int) int {
	if c.bad {
		return 0
	}
	v, n := binary.Uvarint(c.rest)
	if n <= 0 || v > uint64(most) || n > 1 && c.rest[n-1] == 0 {
		c.bad = true
		return 0
	}
	c.rest = c.rest[n:]
	return int(v)
}

// place reads a place in m.replicas.
func (c *cursor) place(m *message) int {
	n := c.figure(maxReplicas)
	if n >= len(m.replicas) {
		c.bad = true
	}
	return n
}
