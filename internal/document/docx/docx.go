// Package docx reads a document of Word (Office Open XML, ECMA-376): headings by their
// styles, paragraphs, lists, tables and footnotes. What was deleted under revision,
// field codes, comments, headers and footers are left out.
//
// Its errors are *fault.Error whose words go on from the name of a file.
package docx

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"headworks/internal/document"
	"headworks/internal/fault"
)

// Limits bound what a file may unpack to.
type Limits struct {
	Bytes int64 // of all parts that are read
	Ratio int   // of the bytes of parts to those of the file
	Depth int   // of elements in elements
}

const (
	// leastBomb is what parts may unpack to whatever the ratio.
	leastBomb = 1 << 20
	// mostParts bounds what is read of parts whatever the limits: it is held in memory
	// as a tree of many times its size.
	mostParts = 64 << 20
)

// Read reads a document.
func Read(ctx context.Context, source []byte, l Limits) (*document.Document, error) {
	if bytes.HasPrefix(source, []byte("\xd0\xcf\x11\xe0")) {
		return nil, fault.New(fault.Unsupported, "is protected by a password or in Word's old format: save it as .docx without one")
	}
	z, err := zip.NewReader(bytes.NewReader(source), int64(len(source)))
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "is no .docx: it is not a whole ZIP archive", err)
	}
	l.Bytes = min(l.Bytes, mostParts)
	p := pack{ctx: ctx, parts: map[string]*zip.File{}, limits: l, size: int64(len(source))}
	for _, f := range z.File {
		p.parts[f.Name] = f
	}
	main, err := p.main()
	if err != nil {
		return nil, err
	}
	dir := path.Dir(main)
	d := reader{styles: map[string]style{}, kinds: map[string]map[string]string{}, counts: map[string][9]int{}}
	// These need not be there.
	for _, part := range []struct {
		name string
		read func(*tree)
	}{
		{path.Join(dir, "styles.xml"), d.readStyles},
		{path.Join(dir, "numbering.xml"), d.readNumbering},
		{"docProps/core.xml", d.readCore},
	} {
		t, err := p.tree(part.name)
		if err != nil {
			return nil, err
		}
		if t != nil {
			part.read(t)
		}
	}
	t, err := p.tree(main)
	if err != nil {
		return nil, err
	}
	if t == nil || t.find("body") == nil {
		return nil, fault.New(fault.InvalidRequest, "is no .docx: it has no text in it")
	}
	d.blocks(t.find("body"))
	d.flush()
	for _, name := range [...]string{"footnotes.xml", "endnotes.xml"} {
		t, err := p.tree(path.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if t != nil {
			d.notes(t)
		}
	}
	out := d.out.Document(d.title)
	if out.Title == "" {
		out.Title = d.called
	}
	if d.author != "" {
		out.Meta = map[string]string{"author": d.author}
	}
	return out, nil
}

// pack reads the parts of an archive within limits.
type pack struct {
	ctx    context.Context
	parts  map[string]*zip.File
	limits Limits
	size   int64 // of the archive
	read   int64 // of parts
}

// main returns the name of the part with the text.
func (p *pack) main() (string, error) {
	t, err := p.tree("_rels/.rels")
	if err != nil {
		return "", err
	}
	if t != nil {
		for _, r := range t.kids {
			if strings.HasSuffix(r.attrs["Type"], "/officeDocument") {
				return strings.TrimPrefix(path.Clean("/"+r.attrs["Target"]), "/"), nil
			}
		}
	}
	return "word/document.xml", nil
}

// tree reads a part; nil is none.
func (p *pack) tree(name string) (*tree, error) {
	f := p.parts[name]
	if f == nil {
		return nil, nil
	}
	in, err := f.Open()
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "is no .docx: a part of it cannot be unpacked", err)
	}
	defer func() { _ = in.Close() }()
	t, err := parse(&counted{pack: p, from: in}, p.limits.Depth)
	if err == nil {
		err = p.over() // a reader that buffers may have passed over it
	}
	if _, ok := errors.AsType[*fault.Error](err); ok || p.ctx.Err() != nil {
		return nil, err
	}
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "is damaged: a part of it is no XML", err)
	}
	return t, nil
}

// counted reads as much as the limits allow.
type counted struct {
	*pack
	from io.Reader
}

func (c *counted) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.from.Read(b)
	c.read += int64(n)
	if over := c.over(); over != nil {
		return n, over
	}
	return n, err
}

// over returns an error where what was read is over a limit.
func (p *pack) over() error {
	switch {
	case p.read > p.limits.Bytes:
		return fault.New(fault.TooLarge, fmt.Sprintf("unpacks to more than %d MiB: split it", p.limits.Bytes>>20))
	case p.read > leastBomb && p.read > p.size*int64(p.limits.Ratio):
		return fault.New(fault.TooLarge, fmt.Sprintf("unpacks to more than %d times its size, which documents do not", p.limits.Ratio))
	}
	return nil
}

// tree is an element by its local name, without what nobody here asks for.
type tree struct {
	name  string
	attrs map[string]string // by local name
	text  string
	kids  []*tree
}

// left are elements that hold nothing to read.
var left = map[string]bool{
	"sectPr": true, "instrText": true, "delInstrText": true, "del": true, "moveFrom": true, "delText": true,
	"Fallback": true, "bookmarkStart": true, "bookmarkEnd": true, "proofErr": true, "commentRangeStart": true,
	"commentRangeEnd": true, "blip": true, "spPr": true, "theme": true, "latentStyles": true,
}

func parse(in io.Reader, depth int) (*tree, error) {
	d := xml.NewDecoder(in)
	var open []*tree
	for {
		token, err := d.Token()
		if err != nil {
			return nil, err // an end before the end of the first element is one too
		}
		switch token := token.(type) {
		case xml.StartElement:
			if len(open) >= depth {
				return nil, fault.New(fault.TooLarge, fmt.Sprintf("has elements in more than %d others", depth))
			}
			if left[token.Name.Local] && len(open) > 0 {
				if err := skip(d, depth); err != nil {
					return nil, err
				}
				continue
			}
			t := &tree{name: token.Name.Local}
			for _, a := range token.Attr {
				if t.attrs == nil {
					t.attrs = make(map[string]string, len(token.Attr))
				}
				t.attrs[a.Name.Local] = a.Value
			}
			if n := len(open); n > 0 {
				open[n-1].kids = append(open[n-1].kids, t)
			}
			open = append(open, t)
		case xml.EndElement:
			if len(open) == 1 {
				return open[0], nil
			}
			open = open[:len(open)-1]
		case xml.CharData:
			if n := len(open); n > 0 && holdsText[open[n-1].name] {
				open[n-1].text += string(token)
			}
		}
	}
}

// holdsText are the elements whose text is read; between others it is white space.
var holdsText = map[string]bool{"t": true, "title": true, "creator": true}

// skip passes over the rest of an element, however deep it is.
func skip(d *xml.Decoder, depth int) error {
	for open := 1; open > 0; {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch token.(type) {
		case xml.StartElement:
			if open++; open > depth {
				return fault.New(fault.TooLarge, fmt.Sprintf("has elements in more than %d others", depth))
			}
		case xml.EndElement:
			open--
		}
	}
	return nil
}

// find returns the first element of a name right below, or nil.
func (t *tree) find(name string) *tree {
	if t == nil {
		return nil
	}
	for _, k := range t.kids {
		if k.name == name {
			return k
		}
	}
	return nil
}

// value returns the attribute val of the first element of a name right below.
func (t *tree) value(name string) string {
	if k := t.find(name); k != nil {
		return k.attrs["val"]
	}
	return ""
}
