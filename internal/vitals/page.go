package vitals

import (
	"bytes"
	"strconv"
	"strings"
)

// Page is what is left of a page in Prometheus' text format, version 0.0.4, which
// promises one sample a line. A line that is none is passed over: a reader of three
// names is not the judge of the others.
type Page []byte

// Sample is one line of a page. Its bytes are those of the page.
type Sample struct {
	Name   []byte
	labels []byte // what stands between the braces
	value  []byte
}

// Next returns the next sample, and false at the end.
func (p *Page) Next() (Sample, bool) {
	for len(*p) > 0 {
		line := *p
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line, *p = line[:i], line[i+1:]
		} else {
			*p = nil
		}
		if s, ok := sample(line); ok {
			return s, true
		}
	}
	return Sample{}, false
}

func sample(line []byte) (s Sample, ok bool) {
	line = trim(line)
	if len(line) == 0 || line[0] == '#' {
		return s, false
	}
	end := 0
	for end < len(line) && line[end] != '{' && line[end] != ' ' && line[end] != '\t' {
		end++
	}
	s.Name = line[:end]
	rest := trim(line[end:])
	if len(rest) > 0 && rest[0] == '{' {
		n := closing(rest)
		if n < 0 {
			return s, false
		}
		s.labels, rest = rest[1:n], trim(rest[n+1:])
	}
	if len(s.Name) == 0 { // a name that needs quotes stands among the labels
		s.Name, s.labels, ok = quoted(s.labels)
		if !ok {
			return s, false
		}
	}
	s.value = rest
	if i := bytes.IndexAny(rest, " \t"); i >= 0 { // a timestamp follows
		s.value = rest[:i]
	}
	return s, len(s.value) > 0
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

// closing returns where the brace closes that b begins with, or -1. Braces within
// quotes are text.
func closing(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '}':
			return i
		case '"':
			n := text(b[i:])
			if n < 0 {
				return -1
			}
			i += n - 1
		}
	}
	return -1
}

// text returns the length of the quoted text that b begins with, quotes included, or
// -1.
func text(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

func quoted(labels []byte) (name, rest []byte, ok bool) {
	labels = trim(labels)
	if len(labels) == 0 || labels[0] != '"' {
		return nil, nil, false
	}
	n := text(labels)
	if n < 3 {
		return nil, nil, false
	}
	name, rest = labels[1:n-1], trim(labels[n:])
	if len(rest) > 0 && rest[0] != ',' {
		return nil, nil, false
	}
	return name, rest, true
}

// Label returns the value of a label as it is written: escapes stay. Without the
// label it is empty, as Prometheus has it.
func (s *Sample) Label(name string) []byte {
	rest := s.labels
	for {
		rest = bytes.TrimLeft(rest, ", \t")
		eq := bytes.IndexByte(rest, '=')
		if eq < 0 {
			return nil
		}
		key := trim(rest[:eq])
		if len(key) > 1 && key[0] == '"' && key[len(key)-1] == '"' {
			key = key[1 : len(key)-1]
		}
		rest = trim(rest[eq+1:])
		if len(rest) == 0 || rest[0] != '"' {
			return nil
		}
		n := text(rest)
		if n < 0 {
			return nil
		}
		if string(key) == name {
			return rest[1 : n-1]
		}
		rest = rest[n:]
	}
}

// Value returns the value; false if it is no number.
func (s *Sample) Value() (float64, bool) {
	if len(s.value) > 32 {
		return 0, false
	}
	for _, c := range s.value {
		if strings.IndexByte("pP_xX", c) >= 0 { // Go's own ways to write a number
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(string(s.value), 64)
	return v, err == nil
}

// longest bounds the names that are looked for.
const longest = 64

// plain writes a name in the one spelling that names are compared in, and tells how
// it was spelled. Nil is a name that is not looked for.
func plain(into *[longest]byte, name []byte) (plain []byte, spelled int) {
	if len(name) > longest {
		return nil, 0
	}
	for i, c := range name {
		switch {
		case c == ':':
			c, spelled = '_', spelled|1
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		into[i] = c
	}
	plain = into[:len(name)]
	if rest, ok := bytes.CutSuffix(plain, []byte("_total")); ok {
		plain, spelled = rest, spelled|2
	}
	return plain, spelled
}

// spellings is how many ways to spell a name are told apart.
const spellings = 4
