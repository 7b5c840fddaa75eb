// Package format makes documents of files of any format: it finds out what a file is
// by its name and its beginning, and has it read within limits. What cannot be read
// is an error that names the file and says why.
package format

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
	"time"

	"headworks/internal/document"
	"headworks/internal/document/markdown"
	"headworks/internal/fault"
)

// Limits bound what one file may cost. A field that is zero is as Default has it.
type Limits struct {
	Bytes int64         // of the file, and of what it unpacks to
	Ratio int           // how many times as large what it unpacks to may be
	Depth int           // of elements in elements
	Time  time.Duration // for one document
}

// Default returns the limits where nobody says otherwise.
func Default() Limits {
	return Limits{Bytes: 512 << 20, Ratio: 100, Depth: 64, Time: time.Minute}
}

// Reader reads files. Any number of goroutines may use one.
type Reader struct {
	limits Limits
}

// New returns a Reader. Close it.
func New(l Limits) *Reader {
	d := Default()
	if l.Bytes > 0 {
		d.Bytes = l.Bytes
	}
	if l.Ratio > 0 {
		d.Ratio = l.Ratio
	}
	if l.Depth > 0 {
		d.Depth = l.Depth
	}
	if l.Time > 0 {
		d.Time = l.Time
	}
	return &Reader{limits: d}
}

// Close lets go of what reading needed.
func (r *Reader) Close() error { return nil }

// Read reads a file: what it is called, its media type where somebody says one, its
// bytes, and how many they are, or -1. It yields each document that is in it, mostly
// one, or why it could not be read, a *fault.Error that names the file: of kind
// TooLarge over a limit, Unsupported for a format that nobody here reads, else
// InvalidRequest. One document's error does not end the others.
func (r *Reader) Read(ctx context.Context, name, media string, in io.Reader, size int64) iter.Seq2[*document.Document, error] {
	return func(yield func(*document.Document, error) bool) {
		ctx, cancel := context.WithTimeout(ctx, r.limits.Time)
		defer cancel()
		source, err := r.all(ctx, name, in, size)
		if err != nil {
			yield(nil, err)
			return
		}
		f := Detect(name, media, source)
		if f == Unknown {
			yield(nil, fault.New(fault.Unsupported, name+" is in no format that is read here: "+known))
			return
		}
		text, note := decode(source)
		d := r.one(f, name, document.Clean(text))
		if note != "" {
			d.Note(note)
		}
		if d.Title == "" {
			d.Title = titleOf(name)
		}
		yield(d, nil)
	}
}

func (r *Reader) one(f Format, name, text string) *document.Document {
	if f == Markdown {
		return markdown.Read(text)
	}
	return document.Plain("", text)
}

// all reads a file whole.
func (r *Reader) all(ctx context.Context, name string, in io.Reader, size int64) ([]byte, error) {
	if size > r.limits.Bytes {
		return nil, r.tooLarge(name)
	}
	var b bytes.Buffer
	if size > 0 {
		b.Grow(int(size) + bytes.MinRead)
	}
	n, err := b.ReadFrom(&within{ctx: ctx, from: io.LimitReader(in, r.limits.Bytes+1)})
	switch {
	case ctx.Err() != nil:
		return nil, r.late(ctx, name)
	case err != nil:
		return nil, fault.Wrap(fault.InvalidRequest, name+" could not be read to its end", err)
	case n > r.limits.Bytes:
		return nil, r.tooLarge(name)
	}
	return b.Bytes(), nil
}

func (r *Reader) tooLarge(name string) error {
	return fault.New(fault.TooLarge, fmt.Sprintf("%s has more than %d MiB, the most that is read of one file: split it", name, r.limits.Bytes>>20))
}

func (r *Reader) late(ctx context.Context, name string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.New(fault.TooLarge, fmt.Sprintf("%s took longer than %s to read: split it", name, r.limits.Time))
	}
	return fault.Wrap(fault.ClientClosed, "reading "+name+" was given up", ctx.Err())
}

// within reads until its context ends.
type within struct {
	ctx  context.Context
	from io.Reader
}

func (w *within) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.from.Read(p)
}

// titleOf makes a title of a file's name: its last element without its end.
func titleOf(name string) string {
	name = path.Base(strings.ReplaceAll(name, `\`, "/"))
	if stem := strings.TrimSuffix(name, path.Ext(name)); stem != "" {
		name = stem
	}
	return document.Line(strings.Map(func(r rune) rune {
		if r == '_' || r == '-' {
			return ' '
		}
		return r
	}, name))
}
