package reuse

import (
	"bytes"
	"encoding/binary"
	"errors"

	"headworks/internal/inference"
)

// Bounds of what is kept of one answer, in bytes.
const (
	MaxStored = 256 << 10 // as it is written down
	MaxPlayed = 4 << 20   // as it came
)

// ErrRecording is what Read returns for bytes that are no recording.
var ErrRecording = errors.New("reuse: not the recording of an answer")

// Recording is an answer that is whole, as it is kept: in the bytes of the caller's
// dialect where its upstream speaks that, else as steps.
type Recording struct {
	Stream    bool   // it came as one
	Media     string // of Raw, where it is neither JSON nor events
	Model     string // the logical model whose target answered
	Upstream  string
	Region    string
	Simulated bool
	Lexical   bool
	Dropped   []string // fields that the upstream was not told
	Finish    inference.Finish
	Usage     inference.Usage
	Cost      int64               // micro-USD; -1: not known
	Passages  []inference.Passage // that the answer rests on, without what only decided on them
	Cited     bool                // it has one text, and Citations are all of that
	Citations []inference.Citation

	Raw    []byte            // events, or a whole body
	Aside  int               // bytes at the end of Raw that are for those alone who ask for usage
	Names  Names             // of Raw
	Deltas []inference.Delta // in the place of Raw
}

// Names are where in Raw the answer's own names stand, each time with the same number
// of bytes: another answer has others there.
type Names struct {
	ID      []int // of a text without its quotes ...
	IDLen   int   // ... of that many bytes
	Created []int // of Unix seconds in ten digits
}

const createdLen = 10

// Append appends the recording as bytes.
func (r *Recording) Append(dst []byte) []byte {
	w := writer{dst}
	w.byte(version)
	w.flags(r.Stream, r.Simulated, r.Lexical, r.Raw != nil, r.Usage.Known)
	w.text(r.Media)
	w.text(r.Model)
	w.text(r.Upstream)
	w.text(r.Region)
	w.number(len(r.Dropped))
	for _, name := range r.Dropped {
		w.text(name)
	}
	w.byte(byte(r.Finish))
	w.usage(&r.Usage)
	w.signed(r.Cost)
	w.number(len(r.Passages))
	for i := range r.Passages {
		w.passage(&r.Passages[i])
	}
	w.flags(r.Cited)
	w.number(len(r.Citations))
	for i := range r.Citations {
		w.citation(&r.Citations[i])
	}
	if r.Raw == nil {
		w.number(len(r.Deltas))
		for i := range r.Deltas {
			w.delta(&r.Deltas[i])
		}
		return w.b
	}
	w.number(r.Aside)
	w.places(r.Names.ID)
	w.number(r.Names.IDLen)
	w.places(r.Names.Created)
	w.pieces(r.Raw)
	return w.b
}

// Read reads what Append wrote.
func Read(b []byte) (*Recording, error) {
	r := &Recording{}
	d := reader{b: b}
	if d.byte() != version {
		return nil, ErrRecording
	}
	flags := d.byte()
	on := func(i int) bool { return flags>>i&1 != 0 }
	r.Stream, r.Simulated, r.Lexical, r.Usage.Known = on(0), on(1), on(2), on(4)
	r.Media, r.Model, r.Upstream, r.Region = d.text(), d.text(), d.text(), d.text()
	for range d.count(1) {
		r.Dropped = append(r.Dropped, d.text())
	}
	r.Finish = inference.Finish(d.byte())
	d.usage(&r.Usage)
	r.Cost = d.signed()
	for range d.count(passageLeast) {
		r.Passages = append(r.Passages, d.passage())
	}
	r.Cited = d.byte() == 1
	for range d.count(10) {
		c := d.citation()
		if c.Number < 1 || c.Number > len(r.Passages) {
			return nil, ErrRecording
		}
		c.Passage = &r.Passages[c.Number-1]
		r.Citations = append(r.Citations, c)
	}
	if !on(3) {
		n := d.count(3)
		if !d.bad {
			r.Deltas = make([]inference.Delta, n)
		}
		for i := range r.Deltas {
			d.delta(&r.Deltas[i])
		}
	} else {
		r.Aside = d.number()
		r.Names.ID, r.Names.IDLen = d.places(), d.number()
		r.Names.Created = d.places()
		r.Raw = d.pieces()
		d.inside([]int{len(r.Raw) - r.Aside}, 0, len(r.Raw))
		d.inside(r.Names.ID, r.Names.IDLen, len(r.Raw))
		d.inside(r.Names.Created, createdLen, len(r.Raw))
	}
	if d.bad || len(d.b) > 0 || r.Finish > inference.Pause {
		return nil, ErrRecording
	}
	return r, nil
}

// Rename gives Raw, which is the recording's own, another answer's names. It reports
// whether they fit.
func (r *Recording) Rename(id string, created []byte) bool {
	if len(r.Names.ID) > 0 && len(id) != r.Names.IDLen || len(r.Names.Created) > 0 && len(created) != createdLen {
		return false
	}
	for _, at := range r.Names.ID {
		copy(r.Raw[at:], id)
	}
	for _, at := range r.Names.Created {
		copy(r.Raw[at:], created)
	}
	return true
}

// Name finds the answer's own names in Raw and makes room there for those of n bytes
// that answers of the caller's dialect have. id and created are how Raw writes them:
// a text with its quotes, and the number as the member that it is, key and all. What
// is empty is in Raw nowhere. In other texts, where quotes are escaped, neither can
// stand.
func (r *Recording) Name(id, created []byte, n int) {
	digits := 0
	for digits < len(created) && isDigit(created[len(created)-1-digits]) {
		digits++
	}
	if digits != createdLen {
		created = nil
	}
	if len(id) < 2 {
		id = nil
	}
	if id == nil && created == nil {
		return
	}
	raw := r.Raw
	out := make([]byte, 0, len(raw)+64)
	last := len(raw) - r.Aside
	names := Names{IDLen: n}
	nextID, nextCreated := find(raw, id), find(raw, created)
	for at := 0; ; {
		switch {
		case nextID < 0 && nextCreated < 0:
			r.Raw, r.Names = append(out, raw[at:]...), names
			return
		case nextCreated < 0 || nextID >= 0 && nextID < nextCreated:
			out = append(append(out, raw[at:nextID]...), '"')
			names.ID = append(names.ID, len(out))
			out = append(out, bytes.Repeat([]byte{'0'}, n)...)
			out = append(out, '"')
			if nextID >= last {
				r.Aside += n + 2 - len(id)
			}
			at = nextID + len(id)
			nextID = after(raw, id, at)
		default:
			end := nextCreated + len(created)
			out = append(out, raw[at:end]...)
			at = end
			if at == len(raw) || !isDigit(raw[at]) && raw[at] != '.' {
				names.Created = append(names.Created, len(out)-createdLen)
			}
			nextCreated = after(raw, created, at)
		}
	}
}

func find(raw, name []byte) int {
	if name == nil {
		return -1
	}
	return bytes.Index(raw, name)
}

func after(raw, name []byte, at int) int {
	if i := bytes.Index(raw[at:], name); i >= 0 {
		return at + i
	}
	return -1
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// version is the first byte of a recording. Another form has another one.
const version = 2

// writer writes numbers as varints and texts behind their lengths.
type writer struct{ b []byte }

func (w *writer) byte(c byte)      { w.b = append(w.b, c) }
func (w *writer) number(n int)     { w.b = binary.AppendUvarint(w.b, uint64(n)) }
func (w *writer) signed(n int64)   { w.b = binary.AppendVarint(w.b, n) }
func (w *writer) text(s string)    { w.number(len(s)); w.b = append(w.b, s...) }
func (w *writer) bytes(p []byte)   { w.number(len(p)); w.b = append(w.b, p...) }
func (w *writer) flags(on ...bool) { w.byte(bits(on)) }

func bits(on []bool) (c byte) {
	for i, b := range on {
		if b {
			c |= 1 << i
		}
	}
	return c
}

func (w *writer) usage(u *inference.Usage) {
	for _, n := range [...]int{u.Input, u.Output, u.CacheRead, u.CacheWrite, u.CacheWriteHour, u.Reasoning} {
		w.signed(int64(n))
	}
}

// delta writes a step; what is zero but for its kind takes a byte in all.
func (w *writer) delta(d *inference.Delta) {
	w.byte(byte(d.Kind))
	texts := [...]string{d.Text, d.ID, d.Name, d.Model, d.StopSequence}
	var has [8]bool
	for i, s := range texts {
		has[i] = s != ""
	}
	has[5], has[6], has[7] = d.Usage != inference.Usage{}, d.Usage.Known, d.Finish != inference.Unfinished
	w.byte(bits(has[:]))
	w.number(d.Index)
	for _, s := range texts {
		if s != "" {
			w.text(s)
		}
	}
	if has[5] {
		w.usage(&d.Usage)
	}
	if has[7] {
		w.byte(byte(d.Finish))
	}
}

// passageLeast is how many bytes a passage takes at least.
const passageLeast = 11

// passage writes a passage.
// citation writes a citation, whose passage its number tells.
func (w *writer) citation(c *inference.Citation) {
	w.number(c.Number)
	for _, span := range [...][2]int{c.Mark, c.Claim, c.Source, c.Characters} {
		w.number(span[0])
		w.number(span[1])
	}
	w.text(c.Quote)
}

func (d *reader) citation() (c inference.Citation) {
	c.Number = d.number()
	for _, span := range [...]*[2]int{&c.Mark, &c.Claim, &c.Source, &c.Characters} {
		span[0], span[1] = d.number(), d.number()
	}
	c.Quote = d.text()
	return c
}

func (w *writer) passage(p *inference.Passage) {
	for _, s := range [...]string{p.Collection, p.Document, p.Chunk, p.Name, p.URL, p.Title, p.Path, p.Text} {
		w.text(s)
	}
	w.b = binary.AppendUvarint(w.b, p.Version)
	w.number(p.Start)
	w.number(p.End)
}

// places writes ascending places.
func (w *writer) places(all []int) {
	w.number(len(all))
	last := 0
	for _, at := range all {
		w.number(at - last)
		last = at
	}
}

// pieces writes bytes in pieces, of which each says what it has of the one before at
// its beginning and its end: events of one stream differ in little but their text.
func (w *writer) pieces(raw []byte) {
	w.number(len(raw))
	gap := []byte("\n")
	if bytes.Contains(raw, []byte("\n\n")) {
		gap = []byte("\n\n")
	}
	var last []byte
	for len(raw) > 0 {
		end := len(raw)
		if i := bytes.Index(raw, gap); i >= 0 {
			end = i + len(gap)
		}
		piece := raw[:end]
		head := 0
		for head < len(piece) && head < len(last) && piece[head] == last[head] {
			head++
		}
		tail := 0
		for tail < len(piece)-head && tail < len(last)-head && piece[len(piece)-1-tail] == last[len(last)-1-tail] {
			tail++
		}
		w.number(head)
		w.number(tail)
		w.bytes(piece[head : len(piece)-tail])
		last, raw = piece, raw[end:]
	}
}

// reader reads what a writer wrote; after something that nobody wrote it is bad, and
// reads nothing more.
type reader struct {
	b   []byte
	bad bool
}

func (d *reader) fail() { d.bad, d.b = true, nil }

func (d *reader) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *reader) passage() (p inference.Passage) {
	for _, s := range [...]*string{&p.Collection, &p.Document, &p.Chunk, &p.Name, &p.URL, &p.Title, &p.Path, &p.Text} {
		*s = d.text()
	}
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.fail()
		return p
	}
	d.b = d.b[size:]
	p.Version, p.Start, p.End = n, d.number(), d.number()
	return p
}

func (d *reader) number() int {
	n, size := binary.Uvarint(d.b)
	if size <= 0 || n > 1<<40 {
		d.fail()
		return 0
	}
	d.b = d.b[size:]
	return int(n)
}

// count reads how many things follow, of at least so many bytes each.
func (d *reader) count(least int) int {
	n := d.number()
	if n*least > len(d.b) {
		d.fail()
		return 0
	}
	return n
}

func (d *reader) signed() int64 {
	n, size := binary.Varint(d.b)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *reader) bytes() []byte {
	n := d.count(1)
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}

func (d *reader) text() string { return string(d.bytes()) }

func (d *reader) usage(u *inference.Usage) {
	for _, to := range [...]*int{&u.Input, &u.Output, &u.CacheRead, &u.CacheWrite, &u.CacheWriteHour, &u.Reasoning} {
		*to = int(d.signed())
	}
}

func (d *reader) delta(to *inference.Delta) {
	to.Kind = inference.DeltaKind(d.byte())
	has := d.byte()
	to.Index = d.number()
	for i, s := range [...]*string{&to.Text, &to.ID, &to.Name, &to.Model, &to.StopSequence} {
		if has>>i&1 != 0 {
			*s = d.text()
		}
	}
	if has>>5&1 != 0 {
		d.usage(&to.Usage)
		to.Usage.Known = has>>6&1 != 0
	}
	if has>>7&1 != 0 {
		to.Finish = inference.Finish(d.byte())
	}
	if to.Kind > inference.End || to.Finish > inference.Pause {
		d.fail()
	}
}

func (d *reader) places() []int {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	all := make([]int, n)
	last := 0
	for i := range all {
		last += d.number()
		all[i] = last
	}
	return all
}

// inside checks that places of n bytes lie within so many.
func (d *reader) inside(places []int, n, size int) {
	for _, at := range places {
		if n < 0 || n > size || at < 0 || at > size-n {
			d.fail()
		}
	}
}

func (d *reader) pieces() []byte {
	size := d.number()
	if size > MaxPlayed {
		d.fail()
		return nil
	}
	out := make([]byte, 0, size)
	last, lastLen := 0, 0
	for len(out) < size && !d.bad {
		head, tail := d.number(), d.number()
		middle := d.bytes()
		n := head + len(middle) + tail
		if d.bad || head+tail > lastLen || n == 0 || n > size-len(out) {
			d.fail()
			return nil
		}
		at := len(out)
		out = append(out, out[last:last+head]...)
		out = append(out, middle...)
		out = append(out, out[last+lastLen-tail:last+lastLen]...)
		last, lastLen = at, n
	}
	return out
}
