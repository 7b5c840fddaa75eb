// Package jsonl reads a file of which each line is a document: an object with its
// "id", "title" and "text". What else the object has is metadata.
//
// Its errors are *fault.Error whose words go on from the name of a file.
package jsonl

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode/utf8"

	"headworks/internal/document"
	"headworks/internal/fault"
)

const (
	// MaxLine bounds a line.
	MaxLine = 32 << 20
	maxBad  = 1000 // lines that cannot be read, before the rest is given up
	maxMeta = 64
	maxName = 128
	maxText = 4 << 10 // bytes of a value of metadata
)

// Read reads the lines one after another, with values in at most so many others. It
// yields each document, or why a line is none, which does not end the others. A
// document without an id is known by its content. As other collections have it, "_id"
// is read as an id, and "contents" as a text.
func Read(ctx context.Context, in io.Reader, depth int) iter.Seq2[*document.Document, error] {
	return func(yield func(*document.Document, error) bool) {
		lines := bufio.NewReaderSize(in, 64<<10)
		bad := 0
		for n := 1; ; n++ {
			line, err := next(lines)
			if errors.Is(err, io.EOF) && len(line) == 0 {
				return
			}
			if err != nil && !errors.Is(err, io.EOF) {
				if !errors.Is(err, errLong) {
					yield(nil, err)
					return
				}
				err = fault.New(fault.TooLarge, fmt.Sprintf("has more than %d MiB on line %d", MaxLine>>20, n))
				if bad++; !yield(nil, err) {
					return
				}
				continue
			}
			if n == 1 {
				line = bytes.TrimPrefix(line, []byte("\ufeff"))
			}
			if line = bytes.TrimSpace(line); len(line) == 0 {
				continue
			}
			if ctx.Err() != nil {
				yield(nil, ctx.Err())
				return
			}
			d, err := parse(line, n, depth)
			if !yield(d, err) {
				return
			}
			if err != nil {
				bad++
			}
			if bad > maxBad {
				yield(nil, fault.New(fault.InvalidRequest, fmt.Sprintf("has more than %d lines that are no documents; the rest is not read", maxBad)))
				return
			}
		}
	}
}

var errLong = errors.New("jsonl: a line is too long")

// next returns the next line, or errLong after having passed over it.
func next(r *bufio.Reader) (line []byte, err error) {
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > MaxLine {
			long, line = true, nil
		}
		if !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case long && (err == nil || errors.Is(err, io.EOF)):
			return nil, errLong
		default:
			return line, err
		}
	}
}

func parse(line []byte, n, most int) (*document.Document, error) {
	if depth(line) > most {
		return nil, fault.New(fault.TooLarge, fmt.Sprintf("has values in more than %d others on line %d", most, n))
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return nil, fault.Wrap(fault.InvalidJSON, fmt.Sprintf(`is no JSONL: line %d is not one JSON object, such as {"id": "1", "title": "...", "text": "..."}`, n), err)
	}
	var text, title string
	var ok bool
	for _, name := range [...]string{"text", "contents"} {
		if raw, there := fields[name]; there {
			if json.Unmarshal(raw, &text) != nil {
				return nil, fault.New(fault.InvalidRequest, fmt.Sprintf("has a %q on line %d that is no string", name, n))
			}
			delete(fields, name)
			ok = true
			break
		}
	}
	if !ok {
		return nil, fault.New(fault.InvalidRequest, fmt.Sprintf(`has no "text" on line %d`, n))
	}
	if raw, there := fields["title"]; there {
		if json.Unmarshal(raw, &title) != nil {
			return nil, fault.New(fault.InvalidRequest, fmt.Sprintf(`has a "title" on line %d that is no string`, n))
		}
		delete(fields, "title")
	}
	d := document.Plain(document.Clean(title), document.Clean(text))
	for _, name := range [...]string{"id", "_id"} {
		if raw, there := fields[name]; there && d.ID == "" {
			d.ID = scalar(raw)
			delete(fields, name)
		}
	}
	if d.ID == "" {
		sum := sha256.Sum256([]byte(title + "\x00" + text))
		d.ID = hex.EncodeToString(sum[:16])
	}
	for name, raw := range fields {
		if v := cmp.Or(scalar(raw), string(bytes.TrimSpace(raw))); v != "" && v != "null" && v != `""` && len(name) <= maxName && len(v) <= maxText && len(fields) <= maxMeta {
			if d.Meta == nil {
				d.Meta = map[string]string{}
			}
			d.Meta[name] = strings.ToValidUTF8(v, "\ufffd")
		} else if v != "" && v != "null" && v != `""` {
			d.Note("metadata that is too long or too much is left out")
		}
	}
	return d, nil
}

// scalar returns a string or a number as text; of anything else, nothing.
func scalar(raw []byte) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}

// depth returns how many values lie in each other at most.
func depth(line []byte) (most int) {
	now, quoted := 0, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c >= utf8.RuneSelf:
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			most = max(most, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return most
}
