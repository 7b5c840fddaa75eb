package wire

import (
	"bytes"

	"headworks/internal/fault"
)

// MostEvent is the usual bound of one event.
const MostEvent = 4 << 20

// Event is one event of a stream (WHATWG HTML 9.2): lines up to an empty one.
// Its bytes hold until the next Feed, Data until the next Next.
type Event struct {
	Name  []byte // of the last event: line; empty is "message"
	Data  []byte // the data: lines joined by LF; nil if there are none
	Raw   []byte // all of it as it came, the empty line included
	Other bool   // there is a field beside event, data, id and retry: see Field
}

// Comment reports whether the event says nothing: it has comments, or not even
// those.
func (e *Event) Comment() bool { return e.Data == nil && len(e.Name) == 0 && !e.Other }

// Field returns the value of the first field of a name, also one that the
// format does not know: llama.cpp tells a failure as "error: {...}".
func (e *Event) Field(name string) ([]byte, bool) {
	for rest := bytes.TrimPrefix(e.Raw, bom); len(rest) > 0; {
		end, next := lineEnd(rest)
		if end < 0 {
			return nil, false
		}
		if n, value := cutField(rest[:end]); len(n) > 0 && string(n) == name {
			return value, true
		}
		rest = rest[next:]
	}
	return nil, false
}

var bom = []byte("\xef\xbb\xbf")

// Splitter cuts a stream of bytes into events. Whatever pieces the bytes come
// in, the events are the same, and their Raw put together is what was fed.
//
// It copies only events that came in more than one piece. Between two reads it
// holds what the next event has so far and no more.
type Splitter struct {
	most  int
	work  []byte // the bytes at hand
	ours  bool   // work is held
	begin int    // of the event being read, in work
	next  int    // of the line being read, from begin
	seen  int    // no line ends before, from begin
	cr    bool   // the last line ended in CR, at the end of what was fed: LF would belong to it
	old   bool   // the first line of the stream was read

	held   []byte // an event that comes in several pieces, and what follows its last
	joined []byte // of Data, where it has several lines

	event      Event
	name, data span // from begin
	lines      int  // of data
	other      bool // a field beside the known
	lead       int  // LF at the front that belongs to the line end of the event before
}

// NewSplitter returns a Splitter for events of most bytes each; 0 is MostEvent.
func NewSplitter(most int) *Splitter { return &Splitter{most: orElse(most, MostEvent)} }

// Reset readies s for another stream, and lets go of what it held.
func (s *Splitter) Reset() { *s = Splitter{most: s.most} }

// Feed adds the bytes of one read. Before it, Next has returned nil; p is not
// touched after Next has.
func (s *Splitter) Feed(p []byte) {
	rest := s.work[s.begin:]
	inPlace := s.ours && s.begin == 0
	s.begin = 0
	if s.ours = len(rest) > 0; !s.ours {
		s.work = p
		return
	}
	if inPlace { // a large event comes in many reads, and is not moved with each
		s.held = append(s.held[:len(rest)], p...)
	} else {
		s.held = append(append(s.held[:0], rest...), p...)
	}
	s.work = s.held
}

// Next returns the next event, or nil if it has not come whole. The error is a
// *fault.Error of kind Oversized.
func (s *Splitter) Next() (*Event, error) {
	for {
		b := s.work[s.begin:]
		if s.cr && len(b) > s.next {
			if s.cr = false; b[s.next] == '\n' {
				if s.next++; s.next == 1 {
					s.lead = 1
				}
			}
			s.seen = s.next
		}
		end, n := lineEnd(b[s.seen:])
		if end < 0 {
			if s.seen = len(b); len(b) > s.most {
				return nil, fault.New(fault.Oversized, "the upstream sent an event that is too large")
			}
			s.keep()
			return nil, nil
		}
		from, to := s.next, s.seen+end
		s.next = s.seen + n
		s.seen = s.next
		s.cr = s.next == len(b) && b[s.next-1] == '\r'
		if !s.old {
			s.old = true
			if bytes.HasPrefix(b[from:to], bom) {
				from += len(bom)
			}
		}
		if from < to {
			s.line(b, from, to)
			continue
		}
		if s.next > s.most {
			return nil, fault.New(fault.Oversized, "the upstream sent an event that is too large")
		}
		return s.dispatch(b), nil
	}
}

// rest returns how many bytes were fed that belong to no event: at the end of a
// stream, an event without its empty line, which does not exist.
func (s *Splitter) rest() int { return len(s.work) - s.begin - s.lead }

func (s *Splitter) line(b []byte, from, to int) {
	name, value := cutField(b[from:to])
	at := span{uint32(to - len(value)), uint32(to)}
	switch string(name) {
	case "data":
		if s.lines++; s.lines == 1 {
			s.data = at
			break
		}
		if s.lines == 2 {
			s.joined = append(s.joined[:0], s.data.of(b)...)
		}
		s.joined = append(append(s.joined, '\n'), value...)
	case "event":
		s.name = at
	case "", "id", "retry":
	default:
		s.other = true
	}
}

func (s *Splitter) dispatch(b []byte) *Event {
	s.event = Event{Name: s.name.of(b), Raw: b[:s.next], Other: s.other}
	switch s.lines {
	case 0:
	case 1:
		s.event.Data = s.data.of(b)
	default:
		s.event.Data = s.joined
	}
	s.begin += s.next
	s.next, s.seen, s.lines, s.lead, s.other = 0, 0, 0, 0, false
	s.name, s.data = span{}, span{}
	return &s.event
}

// keep copies what is left of work if it is not ours, and lets go of more memory
// than events usually need. Events that were returned stay where they are.
func (s *Splitter) keep() {
	rest := s.work[s.begin:]
	switch {
	case len(rest) == 0:
		s.work, s.ours, s.begin = nil, false, 0
		if cap(s.held) > 64<<10 {
			s.held = nil
		}
	case !s.ours:
		s.held = append(s.held[:0], rest...)
		s.work, s.ours, s.begin = s.held, true, 0
	}
	if cap(s.joined) > 64<<10 && s.lines < 2 {
		s.joined = nil
	}
}

// Extend returns run and next as one, if next lies right behind run: several
// events of one read leave by one write, uncopied.
func Extend(run, next []byte) (joined []byte, ok bool) {
	n := len(run) + len(next)
	switch {
	case len(run) == 0:
		return next, true
	case len(next) == 0:
		return run, true
	case cap(run) >= n && &run[:n][len(run)] == &next[0]:
		return run[:n], true
	default:
		return run, false
	}
}

// lineEnd returns where the first line of b ends and where the next begins, or
// -1. Lines end in LF, CR LF or CR.
func lineEnd(b []byte) (end, next int) {
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		b = b[:lf]
	}
	cr := bytes.IndexByte(b, '\r')
	switch {
	case cr < 0 && lf < 0:
		return -1, 0
	case cr < 0:
		return lf, lf + 1
	case cr == lf-1:
		return cr, lf + 1
	default:
		return cr, cr + 1
	}
}

// cutField splits a line at its first colon; one space behind it is no part of
// the value. A comment has no name.
func cutField(line []byte) (name, value []byte) {
	before, after, ok := bytes.Cut(line, []byte{':'})
	if !ok {
		return line, line[len(line):]
	}
	name, value = before, after
	if len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	return name, value
}

// AppendEvent appends an event: an event: line unless the name is empty, a data:
// line for each line of data, and the empty line without which it does not
// exist. A name has no line ends.
func AppendEvent(b []byte, name string, data []byte) []byte {
	if name != "" {
		b = append(b, "event: "...)
		b = append(b, name...)
		b = append(b, '\n')
	}
	for {
		end, next := lineEnd(data)
		b = append(b, "data: "...)
		if end < 0 {
			b = append(b, data...)
			return append(b, "\n\n"...)
		}
		b = append(b, data[:end]...)
		b = append(b, '\n')
		data = data[next:]
	}
}

// AppendComment appends a comment and one line end: it keeps a connection alive
// and dispatches nothing, as some clients take an empty event for a broken one.
func AppendComment(b []byte, words string) []byte {
	b = append(b, ": "...)
	b = append(b, words...)
	return append(b, '\n')
}
