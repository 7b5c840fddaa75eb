package connect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds how deep a settings file nests.
const maxDepth = 100

// value is one JSON value and where it stands. Comments and commas before a
// closing bracket are read over, as editors of settings write them.
type value struct {
	kind       byte // { [ " or 0 for anything else
	start, end int
	members    []member
	items      []*value
	comma      bool // the last child has a comma after it
	tail       int  // in a container: the end of the last thing before its closing bracket
}

type member struct {
	name  string
	at    int // of the name's opening quote
	value *value
}

// reader reads JSON with comments.
type reader struct {
	src      []byte
	comments bool // whether comments and a last comma are allowed
}

// unreadable is why a file cannot be edited without loss.
type unreadable struct {
	line, column int
	words        string
}

func (u *unreadable) Error() string {
	if u.line == 0 {
		return u.words
	}
	return fmt.Sprintf("line %d, column %d: %s", u.line, u.column, u.words)
}

func (r *reader) fail(at int, words string) error {
	before := r.src[:min(at, len(r.src))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return &unreadable{line, column, words}
}

func (r *reader) at(i int) byte {
	if i < len(r.src) {
		return r.src[i]
	}
	return 0
}

// space returns where the next thing begins after i, and where the last comment
// before it ended; 0 if there was none.
func (r *reader) space(i int) (next, comment int, err error) {
	for {
		switch c := r.at(i); {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '/' && r.at(i+1) == '/' && r.comments:
			for i < len(r.src) && r.src[i] != '\n' && r.src[i] != '\r' {
				i++
			}
			comment = i
		case c == '/' && r.at(i+1) == '*' && r.comments:
			n := bytes.Index(r.src[i+2:], []byte("*/"))
			if n < 0 {
				return 0, 0, r.fail(i, "a comment does not end")
			}
			i += n + 4
			comment = i
		case c == '/' && (r.at(i+1) == '/' || r.at(i+1) == '*'):
			return 0, 0, r.fail(i, "a comment, which JSON does not have")
		default:
			return i, comment, nil
		}
	}
}

// readJSON reads a whole document.
func readJSON(src []byte, comments bool) (*value, error) {
	r := &reader{src, comments}
	if bytes.HasPrefix(src, []byte("\xef\xbb\xbf")) {
		return nil, r.fail(0, "a byte order mark, which JSON does not have")
	}
	i, _, err := r.space(0)
	if err != nil {
		return nil, err
	}
	v, err := r.value(i, 0)
	if err != nil {
		return nil, err
	}
	if i, _, err = r.space(v.end); err != nil {
		return nil, err
	}
	if i < len(src) {
		return nil, r.fail(i, "something after the end of the value")
	}
	return v, nil
}

func (r *reader) value(i, depth int) (*value, error) {
	switch c := r.at(i); {
	case depth > maxDepth:
		return nil, r.fail(i, "nested too deep")
	case c == '{' || c == '[':
		return r.container(i, depth)
	case c == '"':
		_, end, err := r.text(i)
		return &value{kind: '"', start: i, end: end}, err
	default:
		end := i
		for end < len(r.src) && strings.IndexByte(" \t\r\n,]}/\"{[:", r.src[end]) < 0 {
			end++
		}
		if !json.Valid(r.src[i:end]) {
			return nil, r.fail(i, "a value is expected here")
		}
		return &value{start: i, end: end}, nil
	}
}

// text returns a string and where it ends.
func (r *reader) text(i int) (s string, end int, err error) {
	for end = i + 1; end < len(r.src) && r.src[end] != '"' && r.src[end] != '\n'; end++ {
		if r.src[end] == '\\' {
			end++
		}
	}
	if r.at(end) != '"' || json.Unmarshal(r.src[i:end+1], &s) != nil {
		return "", 0, r.fail(i, "a string that does not end well")
	}
	return s, end + 1, nil
}

func (r *reader) container(i, depth int) (*value, error) {
	v := &value{kind: r.src[i], start: i, tail: i + 1}
	closing := v.kind + 2 // } and ] come two after { and [
	next, comment, err := r.space(i + 1)
	for ; err == nil; next, comment, err = r.space(next) {
		v.tail = max(v.tail, comment)
		if r.at(next) == closing {
			v.end = next + 1
			return v, nil
		}
		if len(v.members)+len(v.items) > 0 && !v.comma {
			return nil, r.fail(next, "a comma is expected here")
		}
		var child *value
		if v.kind == '{' {
			if r.at(next) != '"' {
				return nil, r.fail(next, "the name of a member is expected here")
			}
			m := member{at: next}
			if m.name, next, err = r.text(next); err != nil {
				return nil, err
			}
			if v.get(m.name) != nil {
				return nil, r.fail(m.at, fmt.Sprintf("%q is there twice", m.name))
			}
			if next, _, err = r.space(next); err != nil {
				return nil, err
			}
			if r.at(next) != ':' {
				return nil, r.fail(next, "a colon is expected here")
			}
			if next, _, err = r.space(next + 1); err != nil {
				return nil, err
			}
			if m.value, err = r.value(next, depth+1); err != nil {
				return nil, err
			}
			child = m.value
			v.members = append(v.members, m)
		} else {
			if child, err = r.value(next, depth+1); err != nil {
				return nil, err
			}
			v.items = append(v.items, child)
		}
		next, v.tail = child.end, child.end
		if next, comment, err = r.space(next); err != nil {
			return nil, err
		}
		v.tail = max(v.tail, comment)
		if v.comma = r.at(next) == ','; v.comma {
			next++
			v.tail = next
		}
		if after, _, err := r.space(next); err != nil {
			return nil, err
		} else if v.comma && r.at(after) == closing && !r.comments {
			return nil, r.fail(next-1, "a comma before the end, which JSON does not have")
		}
	}
	return nil, err
}

func (v *value) get(name string) *value {
	for _, m := range v.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// last returns where the last child of a container ends, or 0 without one.
func (v *value) last() int {
	switch {
	case len(v.members) > 0:
		return v.members[len(v.members)-1].value.end
	case len(v.items) > 0:
		return v.items[len(v.items)-1].end
	default:
		return 0
	}
}

// Setting is one value of a JSON file.
type Setting struct {
	// At is the way to the value, with / between names. [name=text] at the end is
	// the element of a list whose member has that text, and a new one where there is
	// none.
	At string
	// To is a template that gives the value in JSON; where it gives nothing, nothing
	// is set.
	To string
}

// set returns src with one setting made, and all else as it was.
func set(src []byte, comments bool, at string, to json.RawMessage) ([]byte, error) {
	if !json.Valid(to) {
		return nil, fmt.Errorf("the value of %s is no JSON: %s", at, to)
	}
	if len(bytes.TrimSpace(src)) == 0 {
		src = []byte("{}\n")
	}
	root, err := readJSON(src, comments)
	if err != nil {
		return nil, err
	}
	e := &editor{src: src, line: "\n", unit: "  "}
	if bytes.Contains(src, []byte("\r\n")) {
		e.line = "\r\n"
	}
	if len(root.members) > 0 {
		if in, own := e.indent(root.members[0].at); own && in != "" {
			e.unit = in
		}
	}
	path := strings.Split(at, "/")
	out, err := e.set(root, path, to)
	if err != nil {
		return nil, err
	}
	if err := sound(src, out, comments, path, to); err != nil {
		return nil, err
	}
	return out, nil
}

// errNotSame means that an edit would change more than what it sets.
var errNotSame = errors.New("the edit would change more than it should")

// sound checks that out means what src means with one setting made.
func sound(src, out []byte, comments bool, path []string, to json.RawMessage) error {
	was, err := plain(src, comments)
	if err != nil {
		return err
	}
	is, err := plain(out, comments)
	if err != nil {
		return errNotSame
	}
	v, err := decode(to)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(assign(was, path, v), is) {
		return errNotSame
	}
	return nil
}

// plain returns what a document means.
func plain(src []byte, comments bool) (any, error) {
	v, err := readJSON(src, comments)
	if err != nil {
		return nil, err
	}
	return meaning(src, v)
}

func meaning(src []byte, v *value) (any, error) {
	switch v.kind {
	case '{':
		o := map[string]any{}
		for _, m := range v.members {
			is, err := meaning(src, m.value)
			if err != nil {
				return nil, err
			}
			o[m.name] = is
		}
		return o, nil
	case '[':
		l := []any{}
		for _, item := range v.items {
			is, err := meaning(src, item)
			if err != nil {
				return nil, err
			}
			l = append(l, is)
		}
		return l, nil
	default:
		return decode(src[v.start:v.end])
	}
}

// decode returns what JSON means, its numbers as they are written.
func decode(src []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// assign returns v with a setting made.
func assign(v any, path []string, to any) any {
	if len(path) == 0 {
		return to
	}
	if name, text, ok := element(path[0]); ok {
		list, _ := v.([]any)
		for i, item := range list {
			if o, ok := item.(map[string]any); ok && o[name] == text {
				list = slices.Clone(list)
				list[i] = assign(item, path[1:], to)
				return list
			}
		}
		return append(slices.Clone(list), assign(nil, path[1:], to))
	}
	o := map[string]any{}
	if was, ok := v.(map[string]any); ok {
		maps.Copy(o, was)
	}
	o[path[0]] = assign(o[path[0]], path[1:], to)
	return o
}

// element takes [name=text] apart.
func element(step string) (name, text string, ok bool) {
	if step == "" || step[0] != '[' || step[len(step)-1] != ']' {
		return "", "", false
	}
	return strings.Cut(step[1:len(step)-1], "=")
}

// editor changes bytes in place.
type editor struct {
	src        []byte
	line, unit string // what ends a line, and what one level is indented by
}

// indent returns what stands before at on its line, and whether that is nothing
// but space.
func (e *editor) indent(at int) (string, bool) {
	before := e.src[bytes.LastIndexByte(e.src[:at], '\n')+1 : at]
	space := before[:len(before)-len(bytes.TrimLeft(before, " \t"))]
	return string(space), len(space) == len(before)
}

func (e *editor) splice(at, end int, with string) []byte {
	return slices.Concat(e.src[:at], []byte(with), e.src[end:])
}

func (e *editor) set(v *value, path []string, to json.RawMessage) ([]byte, error) {
	if len(path) == 0 {
		in, _ := e.indent(v.start)
		return e.splice(v.start, v.end, e.layout(to, in)), nil
	}
	kind, name := byte('{'), "object"
	key, text, isElement := element(path[0])
	if isElement {
		kind, name = '[', "list"
	}
	if v.kind != kind {
		return nil, (&reader{src: e.src}).fail(v.start, "an "+name+" is expected here, to hold "+path[0])
	}
	if isElement {
		for _, item := range v.items {
			is, err := meaning(e.src, item)
			if err != nil {
				return nil, err
			}
			if o, ok := is.(map[string]any); ok && o[key] == text {
				return e.set(item, path[1:], to)
			}
		}
	} else if child := v.get(path[0]); child != nil {
		return e.set(child, path[1:], to)
	}
	return e.insert(v, path, to), nil
}

// insert adds a child at the end of a container.
func (e *editor) insert(v *value, path []string, to json.RawMessage) []byte {
	outer, _ := e.indent(v.start)
	inner := outer + e.unit
	inline := v.last() > 0 && !bytes.ContainsRune(e.src[v.start:v.end], '\n')
	if len(v.members) > 0 {
		if in, own := e.indent(v.members[0].at); own {
			inner = in
		}
	}
	if len(v.items) > 0 {
		if in, own := e.indent(v.items[0].start); own {
			inner = in
		}
	}
	body := e.nest(path[1:], to)
	text := ""
	if _, _, ok := element(path[0]); !ok {
		text = quote(path[0]) + ": "
	}
	if inline {
		var b bytes.Buffer
		_ = json.Compact(&b, body) // body is valid
		text += b.String()
		if v.comma {
			return e.splice(v.tail, v.tail, " "+text)
		}
		return e.splice(v.last(), v.last(), ", "+text)
	}
	text += e.layout(body, inner)
	tail := v.tail
	out := e.line + inner + text
	if v.comma {
		out += ","
	}
	if !bytes.ContainsRune(e.src[tail:v.end], '\n') {
		out += e.line + outer
		// What stood between the tail and the bracket is space.
		return slices.Concat(e.head(v, tail), []byte(out), e.src[v.end-1:])
	}
	return slices.Concat(e.head(v, tail), []byte(out), e.src[tail:])
}

// head returns what comes before tail, with a comma after the last child of v.
func (e *editor) head(v *value, tail int) []byte {
	if at := v.last(); at > 0 && !v.comma {
		return slices.Concat(e.src[:at], []byte(","), e.src[at:tail])
	}
	return e.src[:tail]
}

// nest returns to inside of what a path leads through.
func (e *editor) nest(path []string, to json.RawMessage) json.RawMessage {
	for _, step := range slices.Backward(path) {
		if _, _, ok := element(step); ok {
			to = slices.Concat([]byte("["), to, []byte("]"))
		} else {
			to = slices.Concat([]byte("{"+quote(step)+":"), to, []byte("}"))
		}
	}
	return to
}

// layout returns JSON in lines, the first of them without indentation.
func (e *editor) layout(to json.RawMessage, indent string) string {
	var b bytes.Buffer
	_ = json.Indent(&b, bytes.TrimSpace(to), indent, e.unit) // to is valid
	return strings.ReplaceAll(b.String(), "\n", e.line)
}

// quote returns a JSON string, which is one of YAML and TOML too.
func quote(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}
