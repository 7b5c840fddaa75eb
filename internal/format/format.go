// Package format makes documents of files of any format: it finds out what a file is
// by its name and its beginning, and has it read within limits. What cannot be read
// is an error that names the file and says why.
package format

import (
	"bufio"
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
	"headworks/internal/document/code"
	"headworks/internal/document/csv"
	"headworks/internal/document/docx"
	"headworks/internal/document/html"
	"headworks/internal/document/jsonl"
	"headworks/internal/document/markdown"
	"headworks/internal/document/pdf"
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
	pdf    pdf.Engine
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

// KeepIn says in which folder what takes seconds to build, the engine for PDF, is kept
// between starts. It is called before the first Read.
func (r *Reader) KeepIn(dir string) { r.pdf.Cache = dir }

// Close ends what reading started.
func (r *Reader) Close() error { return r.pdf.Close() }

// Read reads a file: what it is called, its media type where somebody says one, its
// bytes, and how many they are, or -1. It yields each document that is in it, mostly
// one, or why it could not be read, a *fault.Error that names the file: of kind
// TooLarge over a limit, Unsupported for a format that nobody here reads, else
// InvalidRequest. One document's error does not end the others.
func (r *Reader) Read(ctx context.Context, name, media string, in io.Reader, size int64) iter.Seq2[*document.Document, error] {
	return func(yield func(*document.Document, error) bool) {
		if size > r.limits.Bytes {
			yield(nil, r.tooLarge(name))
			return
		}
		from := bufio.NewReaderSize(io.LimitReader(in, r.limits.Bytes+1), beginning)
		head, err := from.Peek(beginning)
		if err != nil && !errors.Is(err, io.EOF) {
			yield(nil, r.broken(ctx, name, err))
			return
		}
		f := Detect(name, media, head)
		switch f {
		case Unknown:
			yield(nil, fault.New(fault.Unsupported, name+unread(head)))
		case JSONL:
			r.lines(ctx, name, from, yield)
		default:
			yield(r.whole(ctx, f, name, media, from, size))
		}
	}
}

// whole reads a file that is one document.
func (r *Reader) whole(ctx context.Context, f Format, name, media string, in io.Reader, size int64) (*document.Document, error) {
	if f == PDF {
		if err := r.pdf.Start(); err != nil {
			return nil, of(name, err)
		}
	}
	bounded, cancel := context.WithTimeout(ctx, r.limits.Time)
	defer cancel()
	source, err := r.all(bounded, name, in, size)
	if err != nil {
		return nil, err
	}
	d, err := r.parse(bounded, f, name, media, source)
	if bounded.Err() != nil {
		return nil, r.late(bounded, name)
	}
	if err != nil {
		return nil, of(name, err)
	}
	if d.Title == "" && f == Code {
		d.Title = document.Line(path.Base(name))
	} else if d.Title == "" {
		d.Title = titleOf(name)
	}
	return d, nil
}

func (r *Reader) parse(ctx context.Context, f Format, name, media string, source []byte) (*document.Document, error) {
	switch f {
	case PDF:
		return r.pdf.Read(ctx, source)
	case HTML:
		return html.Read(ctx, source, media, r.limits.Depth*pageDepth)
	case DOCX:
		return docx.Read(ctx, source, docx.Limits{Bytes: r.limits.Bytes, Ratio: r.limits.Ratio, Depth: r.limits.Depth})
	default:
	}
	text, note := decode(source)
	text = document.Clean(text)
	var d *document.Document
	var err error
	switch f {
	case Markdown:
		if len(text) > markdown.MaxBytes {
			return nil, fault.New(fault.TooLarge, fmt.Sprintf("has more than %d MiB, the most that is read of Markdown: split it", markdown.MaxBytes>>20))
		}
		d = markdown.Read(text)
	case CSV:
		d, err = csv.Read(ctx, text, r.limits.Bytes)
	case Code:
		d = code.Read(name, text)
	default:
		d = document.Plain("", text)
	}
	if d != nil && note != "" {
		d.Note(note)
	}
	return d, err
}

// pageDepth is how many times as deep as others a page may be: pages nest elements
// for their looks.
const pageDepth = 4

// lines reads a file of which each line is a document. The limit of time is for each
// of them.
func (r *Reader) lines(ctx context.Context, name string, in io.Reader, yield func(*document.Document, error) bool) {
	counted := &within{ctx: ctx, from: in}
	for d, err := range jsonl.Read(ctx, counted, r.limits.Depth) {
		switch {
		case err == nil:
		case ctx.Err() != nil:
			err = r.late(ctx, name)
		default:
			err = of(name, err)
		}
		if counted.read > r.limits.Bytes {
			yield(nil, r.tooLarge(name))
			return
		}
		if !yield(d, err) {
			return
		}
	}
}

// of puts the name of a file before what is wrong with it.
func of(name string, err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return fault.Wrap(fault.InvalidRequest, name+" could not be read to its end", err)
	}
	named := *f
	named.Words = name + " " + f.Words
	return &named
}

// all reads a file whole.
func (r *Reader) all(ctx context.Context, name string, in io.Reader, size int64) ([]byte, error) {
	var b bytes.Buffer
	if size > 0 {
		b.Grow(int(min(size, 16<<20)) + bytes.MinRead)
	}
	n, err := b.ReadFrom(&within{ctx: ctx, from: in})
	switch {
	case ctx.Err() != nil || err != nil:
		return nil, r.broken(ctx, name, err)
	case n > r.limits.Bytes:
		return nil, r.tooLarge(name)
	}
	return b.Bytes(), nil
}

func (r *Reader) broken(ctx context.Context, name string, err error) error {
	if ctx.Err() != nil {
		return r.late(ctx, name)
	}
	return of(name, err)
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
	read int64
}

func (w *within) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.from.Read(p)
	w.read += int64(n)
	return n, err
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
