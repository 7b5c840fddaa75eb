package wire

import (
	"bytes"
	"iter"
)

// refusal is why a message is not read any further. Status is what a client is
// answered with; of an upstream's message it means nothing.
type refusal struct {
	status int
	words  string
}

func (r *refusal) Error() string { return r.words }

func bad(words string) *refusal { return &refusal{400, words} }

// span is a range of bytes in the buffer that a head was read into. Offsets
// survive a move of the bytes to a larger buffer.
type span struct{ from, to uint32 }

func (s span) of(b []byte) []byte { return b[s.from:s.to:s.to] }

type field struct{ name, value span }

// head is the head of a message: the start line and the header fields, each
// line ended by CR LF, then an empty line (RFC 9112 section 2).
type head struct {
	line   span // the start line without its end
	fields []field
	next   int // where the first line that is not yet read begins
	end    int // where the body begins; 0 until the head is whole
}

func (h *head) reset() { *h = head{fields: h.fields[:0]} }

// parse reads the lines of b that came since the last call and reports whether
// the head is whole. b holds the message from its first byte.
func (h *head) parse(b []byte, most int) (whole bool, err *refusal) {
	for {
		i := bytes.IndexByte(b[h.next:], '\n')
		if i < 0 {
			return false, nil
		}
		from, to := h.next, h.next+i-1
		if i == 0 || b[to] != '\r' {
			return false, bad("a line of the head does not end in CR LF")
		}
		h.next += i + 1
		switch {
		case h.line.to == 0 && from == to:
			// RFC 9112 2.2: empty lines before a request are skipped.
			if h.next > 8 {
				return false, bad("there are too many empty lines before the request")
			}
		case h.line.to == 0:
			h.line = span{uint32(from), uint32(to)}
		case from == to:
			h.end = h.next
			return true, nil
		case len(h.fields) == most:
			return false, &refusal{431, "the request has too many header fields"}
		default:
			f, err := parseField(b, from, to)
			if err != nil {
				return false, err
			}
			h.fields = append(h.fields, f)
		}
	}
}

func parseField(b []byte, from, to int) (field, *refusal) {
	i := from
	for i < to && kindOf[b[i]]&token != 0 {
		i++
	}
	switch {
	case i == to || i == from && b[i] == ':':
		return field{}, bad("a header line has no name")
	case i == from && (b[i] == ' ' || b[i] == '\t'):
		return field{}, bad("a header value is folded over two lines")
	case b[i] != ':':
		return field{}, bad("a header name holds a character that names may not hold")
	}
	name := span{uint32(from), uint32(i)}
	from = i + 1
	for from < to && (b[from] == ' ' || b[from] == '\t') {
		from++
	}
	for from < to && (b[to-1] == ' ' || b[to-1] == '\t') {
		to--
	}
	for _, c := range b[from:to] {
		if kindOf[c]&text == 0 {
			return field{}, bad("a header value holds a control character")
		}
	}
	return field{name, span{uint32(from), uint32(to)}}, nil
}

// get returns the value of the first field of a name.
func (h *head) get(b []byte, name string) ([]byte, bool) {
	for i := range h.fields {
		f := &h.fields[i]
		if int(f.name.to-f.name.from) == len(name) && equalFold(f.name.of(b), name) {
			return f.value.of(b), true
		}
	}
	return nil, false
}

// all ranges over the fields in the order they came.
func (h *head) all(b []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for _, f := range h.fields {
			if !yield(f.name.of(b), f.value.of(b)) {
				return
			}
		}
	}
}

// framing is what the fields of a head say about the body and the connection.
type framing struct {
	length    int64 // Content-Length, or -1
	chunked   bool
	close     bool // Connection: close
	keepAlive bool // Connection: keep-alive
}

// note takes one field into account.
func (f *framing) note(name, value []byte) *refusal {
	switch {
	case equalFold(name, "content-length"):
		if f.length >= 0 {
			return bad("there are two Content-Length fields")
		}
		n, ok := decimal(value)
		if !ok {
			return bad("the Content-Length is not a number")
		}
		f.length = n
	case equalFold(name, "transfer-encoding"):
		if f.chunked || !equalFold(value, "chunked") {
			return bad("the only Transfer-Encoding that is read is chunked, named once")
		}
		f.chunked = true
	case equalFold(name, "connection"):
		f.close = f.close || hasToken(value, "close")
		f.keepAlive = f.keepAlive || hasToken(value, "keep-alive")
	}
	if f.chunked && f.length >= 0 {
		return bad("Content-Length and Transfer-Encoding exclude each other")
	}
	return nil
}

// The kinds of bytes in a head (RFC 9110 section 5.5 and 5.6.2).
const (
	token   = 1 << iota // in a name
	text                // in a value
	visible             // in a request target
	host                // in an authority
)

var kindOf, lower = func() (kinds, lower [256]byte) {
	for c := range 256 {
		lower[c] = byte(c)
		if 'A' <= c && c <= 'Z' {
			lower[c] = byte(c) + 'a' - 'A'
		}
		alphanumeric := '0' <= c && c <= '9' || 'a' <= lower[c] && lower[c] <= 'z'
		if alphanumeric || bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0 {
			kinds[c] |= token
		}
		if c >= ' ' && c != 0x7f || c == '\t' {
			kinds[c] |= text
		}
		if c > ' ' && c < 0x7f {
			kinds[c] |= visible
		}
		if alphanumeric || bytes.IndexByte([]byte("-._~!$&'()*+,;=:[]%"), byte(c)) >= 0 {
			kinds[c] |= host
		}
	}
	return kinds, lower
}()

func all(b []byte, kind byte) bool {
	for _, c := range b {
		if kindOf[c]&kind == 0 {
			return false
		}
	}
	return true
}

// equalFold reports whether b and s are equal but for the case of ASCII letters.
func equalFold[S string | []byte](b []byte, s S) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		if b[i] != s[i] && lower[b[i]] != lower[s[i]] {
			return false
		}
	}
	return true
}

// hasToken reports whether a comma-separated list has a token.
func hasToken(list []byte, t string) bool {
	for len(list) > 0 {
		item, rest, _ := bytes.Cut(list, []byte(","))
		if equalFold(bytes.TrimSpace(item), t) {
			return true
		}
		list = rest
	}
	return false
}

// decimal reads 1 to 18 digits and nothing else.
func decimal(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
