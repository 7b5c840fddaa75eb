package inference

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"time"
)

// ID names a request. The first six bytes are the milliseconds of its arrival
// since 1970, so ids sort by time and a log can be searched from the right
// place (the layout of RFC 9562 UUIDv7 without its version bits).
type ID [16]byte

const idPrefix = "req_"

var errID = errors.New(`not a request id: want "req_" and 32 hex digits, as in the x-request-id header`)

// NewID returns the ID of a request that arrived at now; high and low are 80
// random bits.
func NewID(now time.Time, high uint16, low uint64) ID {
	var id ID
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint64(id[:8], ms<<16|uint64(high))
	binary.BigEndian.PutUint64(id[8:], low)
	return id
}

// Time returns when the request arrived, to the millisecond.
func (id ID) Time() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16))
}

// Seed returns 64 bits that differ from request to request.
func (id ID) Seed() uint64 {
	return binary.BigEndian.Uint64(id[8:]) ^ binary.BigEndian.Uint64(id[:8])
}

// Append appends the ID as people see it: req_ and 32 hex digits.
func (id ID) Append(b []byte) []byte {
	return hex.AppendEncode(append(b, idPrefix...), id[:])
}

func (id ID) String() string { return string(id.Append(make([]byte, 0, len(idPrefix)+32))) }

// ParseID reads what String wrote.
func ParseID(s string) (ID, error) {
	var id ID
	digits, ok := strings.CutPrefix(s, idPrefix)
	if !ok || len(digits) != 2*len(id) {
		return ID{}, errID
	}
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil {
		return ID{}, errID
	}
	return id, nil
}
