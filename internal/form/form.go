// Package form reads multipart/form-data piece by piece, as it comes, and keeps
// nothing of it but the short fields that a request is routed by.
//
// Its sources are RFC 2046 5.1 and RFC 7578, stricter where their leniency lets two
// parsers disagree: nothing stands before the first boundary or behind the last, lines
// end in CR LF and are not folded, a part has one Content-Disposition with one name,
// and the fields that matter here stand once.
package form

import (
	"bytes"
	"slices"
	"strings"
)

// Bounds of what a form may have.
const (
	maxParts   = 256
	maxHead    = 8 << 10 // bytes of a part's head
	maxFields  = 16      // lines in it
	maxValue   = 1 << 10 // bytes of a field that is kept
	maxPadding = 64      // white space behind a boundary
)

// Reader reads one form. Make it with New.
type Reader struct {
	delimiter []byte // CR LF, two hyphens, the boundary
	wanted    []string
	at        state
	matched   int // of delimiter
	padding   int
	parts     int
	read      int64  // bytes so far
	head      []byte // of the part, as far as it came
	name      string // of the part
	file      bool   // the part is one
	keep      bool   // its value is kept
	fields    []Field
}

// Field is one that is kept: a name that New was given.
type Field struct {
	Name  string
	Value []byte
	Start int64 // of the value, from the beginning of the form
}

type state uint8

const (
	first     state = iota // the boundary that begins the form
	behind                 // a boundary: what follows decides
	padded                 // white space behind a boundary
	lineFeed               // of the boundary's line
	closing                // the second hyphen of the last boundary
	inHead                 // of a part
	inContent              // of a part
	afterAll               // behind the last boundary
	afterCR                // behind it, and a CR
	over                   // nothing may follow
)

// New returns a Reader for a body of that media type, which keeps the fields of these
// names. Its error is an *Error.
func New(media string, wanted ...string) (*Reader, error) {
	boundary, ok := boundaryOf(media)
	if !ok {
		return nil, wrong("", "the body is not multipart/form-data with a boundary of 1 to 70 characters; let the client library write the Content-Type field")
	}
	return &Reader{delimiter: append([]byte("\r\n--"), boundary...), matched: 2, wanted: wanted}, nil
}

// Is reports whether a Content-Type field says that the body is a form.
func Is(media string) bool {
	kind, _, _ := strings.Cut(media, ";")
	return strings.EqualFold(strings.Trim(kind, " \t"), "multipart/form-data")
}

// boundaryOf returns the boundary (RFC 2046 5.1.1), which is named once.
func boundaryOf(media string) (string, bool) {
	if !Is(media) {
		return "", false
	}
	_, rest, _ := strings.Cut(media, ";")
	params, ok := parameters(rest)
	if !ok {
		return "", false
	}
	boundary, n := "", 0
	for _, p := range params {
		if p[0] == "boundary" {
			boundary = p[1]
			n++
		}
	}
	if n != 1 || len(boundary) == 0 || len(boundary) > 70 || boundary[len(boundary)-1] == ' ' {
		return "", false
	}
	for i := range len(boundary) {
		c := boundary[i]
		if !letterOrDigit(c) && !strings.ContainsRune("'()+_,-./:=? ", rune(c)) {
			return "", false
		}
	}
	return boundary, true
}

func letterOrDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// parameters reads ; separated parameters, names in lower case. In a quoted value a
// backslash stands before a quote or another backslash alone: as browsers write file
// names, it is a character like others elsewhere.
func parameters(s string) (list [][2]string, ok bool) {
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" {
			return list, true
		}
		name, rest, found := strings.Cut(s, "=")
		if !found || name == "" || strings.ContainsAny(name, " \t;\"") {
			return nil, false
		}
		value := ""
		if strings.HasPrefix(rest, `"`) {
			var b []byte
			i := 1
			for ; i < len(rest) && rest[i] != '"'; i++ {
				if rest[i] == '\\' && i+1 < len(rest) && (rest[i+1] == '"' || rest[i+1] == '\\') {
					i++
				}
				b = append(b, rest[i])
			}
			if i == len(rest) {
				return nil, false
			}
			value, rest = string(b), rest[i+1:]
		} else {
			i := strings.IndexAny(rest, "; \t")
			if i < 0 {
				i = len(rest)
			}
			if value, rest = rest[:i], rest[i:]; value == "" || strings.Contains(value, `"`) {
				return nil, false
			}
		}
		list = append(list, [2]string{strings.ToLower(name), value})
		rest = strings.TrimLeft(rest, " \t")
		if rest != "" && rest[0] != ';' {
			return nil, false
		}
		s = strings.TrimPrefix(rest, ";")
	}
}

// Fields returns what is kept of the form so far, in the order in which it came.
func (r *Reader) Fields() []Field { return r.fields }

// Get returns a field that is kept and whole.
func (r *Reader) Get(name string) (Field, bool) {
	for _, f := range r.fields {
		if f.Name == name && (!r.keep || r.name != name) {
			return f, true
		}
	}
	return Field{}, false
}

// InFile reports whether what comes next is of a file.
func (r *Reader) InFile() bool { return r.at == inContent && r.file }

// End says whether the form is whole where its bytes end, by nil or an *Error.
func (r *Reader) End() error {
	if r.at == afterAll || r.at == over {
		return nil
	}
	return broken("it ends before its last boundary")
}

// Error says what is wrong with a form, in words for whoever sent it.
type Error struct {
	Field string // the field it is about, of those that are wanted; empty for the whole
	Words string
}

func (e *Error) Error() string { return e.Words }

func wrong(field, words string) error { return &Error{field, words} }

func broken(why string) error {
	return wrong("", "the multipart body has no single reading: "+why)
}

// Write takes the next bytes in. Its errors are *Error, and final.
func (r *Reader) Write(p []byte) (int, error) {
	for i := 0; i < len(p); {
		n, err := 1, error(nil)
		switch r.at {
		case inContent, first:
			n, err = r.content(p[i:])
		case inHead:
			err = r.headByte(p[i])
		default:
			err = r.line(p[i])
		}
		if err != nil {
			return i, err
		}
		i += n
		r.read += int64(n)
	}
	return len(p), nil
}

// line reads a byte of a boundary's line, or of what may follow the last one.
func (r *Reader) line(c byte) error {
	switch {
	case r.at == behind && c == '-' && r.padding == 0:
		r.at = closing
	case r.at == closing && c == '-':
		r.at = afterAll
	case (r.at == behind || r.at == padded) && (c == ' ' || c == '\t') && r.padding < maxPadding:
		r.at = padded
		r.padding++
	case (r.at == behind || r.at == padded) && c == '\r':
		r.at = lineFeed
	case r.at == lineFeed && c == '\n':
		if r.parts++; r.parts > maxParts {
			return broken("it has more than 256 parts")
		}
		r.at, r.head = inHead, r.head[:0]
	case r.at == afterAll && c == '\r':
		r.at = afterCR
	case r.at == afterCR && c == '\n':
		r.at = over
	case r.at == afterAll || r.at == afterCR || r.at == over:
		return broken("something follows its last boundary")
	default:
		return broken("a boundary is followed by something else than the end of its line")
	}
	return nil
}

// content reads bytes of a part up to the next boundary, and returns how many. CR is
// in no boundary, so a beginning of one that fails has none inside.
func (r *Reader) content(p []byte) (int, error) {
	if r.matched == 0 {
		n := bytes.IndexByte(p, '\r')
		if n < 0 {
			n = len(p)
		}
		if n > 0 {
			return n, r.take(p[:n])
		}
	}
	c := p[0]
	switch {
	case c == r.delimiter[r.matched]:
		if r.matched++; r.matched == len(r.delimiter) {
			r.at, r.matched, r.padding, r.keep = behind, 0, 0, false
		}
		return 1, nil
	case r.at == first:
		return 0, broken("it does not begin with its boundary")
	}
	failed := r.matched
	r.matched = 0
	if err := r.take(r.delimiter[:failed]); err != nil {
		return 0, err
	}
	return 0, nil // c is looked at again, with nothing before it
}

// take keeps content of a field that is wanted.
func (r *Reader) take(p []byte) error {
	if !r.keep {
		return nil
	}
	f := &r.fields[len(r.fields)-1]
	if len(f.Value)+len(p) > maxValue {
		return wrong(f.Name, "the field "+f.Name+" is longer than 1024 bytes")
	}
	f.Value = append(f.Value, p...)
	return nil
}

// headByte reads a byte of a part's head, which ends with an empty line.
func (r *Reader) headByte(c byte) error {
	if len(r.head) == maxHead {
		return broken("the head of a part is longer than 8192 bytes")
	}
	r.head = append(r.head, c)
	switch {
	case c != '\n':
		return nil
	case string(r.head) == "\r\n":
		return broken("a part has no Content-Disposition")
	case !bytes.HasSuffix(r.head, []byte("\r\n")):
		return broken("a line in the head of a part does not end in CR LF")
	case !bytes.HasSuffix(r.head, []byte("\r\n\r\n")):
		return nil
	}
	return r.begin(string(r.head[:len(r.head)-4]))
}

// begin begins a part.
func (r *Reader) begin(head string) error {
	lines := strings.Split(head, "\r\n")
	if len(lines) > maxFields {
		return broken("the head of a part has more than 16 fields")
	}
	var seen []string
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok || !token(name) || strings.ContainsFunc(value, control) {
			return broken("the head of a part holds a line that is no field")
		}
		name, value = strings.ToLower(name), strings.Trim(value, " \t")
		if slices.Contains(seen, name) {
			return broken("a field stands twice in the head of a part")
		}
		seen = append(seen, name)
		switch name {
		case "content-disposition":
			if err := r.disposition(value); err != nil {
				return err
			}
		case "content-transfer-encoding": // RFC 7578 4.7: only such as leave the bytes alone
			switch strings.ToLower(value) {
			case "7bit", "8bit", "binary":
			default:
				return broken("a part has a transfer encoding; send its bytes as they are")
			}
		}
	}
	if !slices.Contains(seen, "content-disposition") {
		return broken("a part has no Content-Disposition")
	}
	r.at = inContent
	if r.keep = slices.Contains(r.wanted, r.name); !r.keep {
		return nil
	}
	if r.file {
		return wrong(r.name, "the field "+r.name+" is sent as a file; send it as a plain field")
	}
	for _, f := range r.fields {
		if f.Name == r.name {
			return wrong(r.name, "the field "+r.name+" stands twice")
		}
	}
	r.fields = append(r.fields, Field{Name: r.name, Start: r.read + 1})
	return nil
}

// disposition reads what a part is (RFC 7578 4.2).
func (r *Reader) disposition(value string) error {
	kind, rest, _ := strings.Cut(value, ";")
	params, ok := parameters(rest)
	if !ok || !strings.EqualFold(strings.TrimRight(kind, " \t"), "form-data") {
		return broken("a part's Content-Disposition is not form-data with a name")
	}
	names, files := 0, 0
	for _, p := range params {
		switch p[0] {
		case "name":
			r.name = p[1]
			names++
		case "filename":
			files++
		case "filename*": // RFC 7578 4.2 forbids it; a file all the same
			files = max(files, 1)
		case "name*":
			return broken("a part's name is encoded")
		}
	}
	if names != 1 || r.name == "" || files > 1 {
		return broken("a part does not have one name")
	}
	r.file = files > 0
	return nil
}

func token(s string) bool {
	for i := range len(s) {
		if !letterOrDigit(s[i]) && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(s[i])) {
			return false
		}
	}
	return s != ""
}

func control(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }
