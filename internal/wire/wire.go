// Package wire speaks HTTP/1.1 in and out, reads and writes server-sent events,
// and holds the one guarded dialer.
//
// Server is the front: one goroutine per connection, handlers run on it, a
// request has one reading or is refused (RFC 9112, stricter where its leniency
// lets two parsers disagree). Pool is the way out: kept connections to one
// origin, a request leaves whole in one write (but for a body that is still coming),
// an answer is read by whoever asked, on its own goroutine. Splitter cuts a byte stream into events (WHATWG
// HTML 9.2).
//
// Bytes handed out are views into pooled buffers: each method says how long its
// view holds. Names of header fields are matched without regard to case and
// never normalised otherwise. Sizes are bytes.
package wire

import (
	"errors"
	"os"
	"time"
)

// Limits bounds what a client may send and how slowly. A zero field takes its
// default.
type Limits struct {
	Head      int           // bytes of a request's head; 64 KiB
	Fields    int           // header fields of a request; 100
	Target    int           // bytes of a request's target; 8 KiB
	HeadTime  time.Duration // from the first byte of a head to its last; 5 s
	Idle      time.Duration // without a byte between two requests; 120 s
	BodyGrace time.Duration // before the rate of a body counts; 5 s
	BodyRate  int           // bytes per second that a body keeps up; 1 KiB
	BodyIdle  time.Duration // without a byte within a body; 30 s
	Write     time.Duration // for one write to a client that does not read; 30 s
}

func (l Limits) defaulted() Limits {
	l.Head = orElse(l.Head, 64<<10)
	l.Fields = orElse(l.Fields, 100)
	l.Target = orElse(l.Target, 8<<10)
	l.HeadTime = orElse(l.HeadTime, 5*time.Second)
	l.Idle = orElse(l.Idle, 120*time.Second)
	l.BodyGrace = orElse(l.BodyGrace, 5*time.Second)
	l.BodyRate = orElse(l.BodyRate, 1<<10)
	l.BodyIdle = orElse(l.BodyIdle, 30*time.Second)
	l.Write = orElse(l.Write, 30*time.Second)
	return l
}

func orElse[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// gather is the size from which a message goes out by writev instead of being
// copied behind its head.
const gather = 16 << 10

// past is a deadline that has always passed.
func past() time.Time { return time.Unix(1, 0) }

func timedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
