package wire

import (
	"bytes"

	"headworks/internal/fault"
)

// Lines cuts a stream of newline-delimited JSON into events, one for each line, as
// Splitter does with server-sent events: whatever pieces the bytes come in, the
// events are the same, and their Raw put together is what was fed. Data is the line
// without the white space around it, and nil where there is nothing else: a line of
// white space keeps a connection alive. What follows the last line end is no line.
//
// It copies only lines that came in more than one piece. Between two reads it holds
// what the next line has so far and no more.
type Lines struct {
	most  int
	work  []byte // the bytes at hand
	ours  bool   // work is held
	begin int    // of the line being read, in work
	seen  int    // no line ends before, from begin
	held  []byte // a line that comes in several pieces, and what follows it
	event Event
}

// NewLines returns Lines of most bytes each; 0 is MostEvent.
func NewLines(most int) *Lines { return &Lines{most: orElse(most, MostEvent)} }

// Reset readies l for another stream, and lets go of what it held.
func (l *Lines) Reset() { *l = Lines{most: l.most} }

// Feed adds the bytes of one read. Before it, Next has returned nil; p is not
// touched after Next has.
func (l *Lines) Feed(p []byte) {
	rest := l.work[l.begin:]
	l.begin = 0
	if l.ours = len(rest) > 0; !l.ours {
		l.work = p
		return
	}
	l.held = append(append(l.held[:0], rest...), p...)
	l.work = l.held
}

// Next returns the next line, or nil if it has not come whole. The error is a
// *fault.Error of kind Oversized.
func (l *Lines) Next() (*Event, error) {
	b := l.work[l.begin:]
	end := bytes.IndexByte(b[l.seen:], '\n')
	next := l.seen + end + 1
	if end < 0 {
		next = len(b)
	}
	if next > l.most {
		return nil, fault.New(fault.Oversized, "the upstream sent an event that is too large")
	}
	if end < 0 {
		l.seen = len(b)
		l.keep()
		return nil, nil
	}
	l.event = Event{Raw: b[:next]}
	if data := bytes.Trim(l.event.Raw, " \t\r\n"); len(data) > 0 {
		l.event.Data = data
	}
	l.begin += next
	l.seen = 0
	return &l.event, nil
}

// rest returns how many bytes were fed that belong to no line.
func (l *Lines) rest() int { return len(l.work) - l.begin }

// keep copies what is left of work if it is not ours, and lets go of more memory
// than lines usually need. Lines that were returned stay where they are.
func (l *Lines) keep() {
	rest := l.work[l.begin:]
	switch {
	case len(rest) == 0:
		l.work, l.ours, l.begin = nil, false, 0
		if cap(l.held) > 64<<10 {
			l.held = nil
		}
	case !l.ours:
		l.held = append(l.held[:0], rest...)
		l.work, l.ours, l.begin = l.held, true, 0
	}
}
