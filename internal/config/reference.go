package config

import (
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Lookup is where references lead: ${NAME} to the environment, ${file:path} to a
// file. A file's last line end is not part of its text.
type Lookup struct {
	Env  func(name string) (string, bool)
	File func(path string) ([]byte, error)
}

// System looks up the environment and the files of this process.
func System() Lookup {
	return Lookup{Env: os.LookupEnv, File: func(path string) ([]byte, error) { return readBounded(path, maxSecretFile) }}
}

const (
	maxSecretFile = 64 << 10
	maxReference  = 4 << 10 // bytes of ${...} between braces or brackets
)

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expansion is a text with its references resolved.
type expansion struct {
	text string
	raw  string // as the file has it, if it refers to anything
	safe string // raw without the texts of defaults: those of a secret are secrets
}

// expand resolves the references of a text. What keeps it from that comes back in
// words, without any value.
func expand(text string, from Lookup) (expansion, string) {
	var value, safe strings.Builder
	refers := false
	rest := text
	for {
		at := strings.Index(rest, "${")
		if at < 0 {
			value.WriteString(rest)
			break
		}
		if at > 0 && rest[at-1] == '$' { // $${ is a plain ${
			value.WriteString(rest[:at-1])
			value.WriteString("${")
			rest = rest[at+2:]
			continue
		}
		value.WriteString(rest[:at])
		body, after, ok := strings.Cut(rest[at+2:], "}")
		if !ok {
			return expansion{}, "${ without }; write $${ for a plain ${"
		}
		got, why := resolve(body, from)
		if why != "" {
			return expansion{}, why
		}
		value.WriteString(got)
		name, _, hasDefault := strings.Cut(body, ":-")
		safe.WriteString("${" + name)
		if hasDefault {
			safe.WriteString(":-...")
		}
		safe.WriteString("}")
		refers = true
		rest = after
	}
	e := expansion{text: value.String()}
	if refers {
		e.raw, e.safe = text, safe.String()
	}
	return e, ""
}

// resolve returns what one reference stands for.
func resolve(body string, from Lookup) (text, why string) {
	if path, ok := strings.CutPrefix(body, "file:"); ok {
		b, err := from.File(path)
		if err != nil {
			return "", wordsf("cannot read the file of ${file:%s}: %s", path, cause(err))
		}
		s := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
		if !utf8.ValidString(s) {
			return "", wordsf("the file of ${file:%s} is no UTF-8 text", path)
		}
		return s, ""
	}
	name, fallback, hasDefault := strings.Cut(body, ":-")
	if !variable.MatchString(name) {
		return "", "a reference is ${NAME}, ${NAME:-text} or ${file:path}"
	}
	if v, _ := from.Env(name); v != "" {
		if !utf8.ValidString(v) {
			return "", wordsf("the environment variable %s is no UTF-8 text", name)
		}
		return v, ""
	}
	if hasDefault {
		return fallback, ""
	}
	return "", wordsf("the environment variable %s is not set; set it, or write ${%s:-text} to have text without it", name, name)
}

// Stand-ins for characters that are part of a text and that the parser would take
// for structure: between braces, ${A} would end the mapping; between brackets, it
// takes http://host for a mapping, against the specification (7.3.3: a colon before
// anything but white space or an indicator is part of a plain scalar). Each has one
// in a private area, so columns stay.
const standIns = 0x100000

// shield replaces what the parser would misread.
func shield(src string) string {
	var b strings.Builder
	b.Grow(len(src) + len(src)/8)
	inside, after := 0, 0 // bytes of a reference that are left, and where the last one ends
	for i, c := range src {
		if inside == 0 && c == '$' && strings.HasPrefix(src[i+1:], "{") {
			if end := strings.IndexAny(src[i+2:min(len(src), i+2+maxReference)], "}\n\"'"); end >= 0 && src[i+2+end] == '}' {
				inside = 2 + end + 1
				after = i + inside
			}
		}
		if inside > 0 && strings.ContainsRune("{}[],:#&*!|>%@`", c) || c == ':' && plainColon(src, i, i == after) {
			b.WriteRune(c + standIns)
		} else {
			b.WriteRune(c)
		}
		inside = max(0, inside-utf8.RuneLen(c))
	}
	return b.String()
}

// plainColon reports whether the colon at i is part of a plain scalar wherever it
// stands. After a quote or a bracket it is not, unless that ends a reference.
func plainColon(src string, i int, reference bool) bool {
	return i+1 < len(src) && !strings.ContainsRune(" \t\r\n,[]{}", rune(src[i+1])) &&
		(i == 0 || reference || !strings.ContainsRune("\"']}", rune(src[i-1])))
}

// unshield is the way back.
func unshield(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= standIns && c < standIns+utf8.RuneSelf {
			return c - standIns
		}
		return c
	}, s)
}

// shielded reports whether a file holds a stand-in of its own accord.
func shielded(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return c >= standIns && c < standIns+utf8.RuneSelf })
}
