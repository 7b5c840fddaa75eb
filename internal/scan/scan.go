// Package scan gives JSON bytes one strict reading: byte spans, and edits of the
// same bytes.
//
// A proxy that decides on one reading of a body and forwards the body to a
// parser with another reading can be walked around: parsers differ on duplicate
// keys, case, lone surrogates, NaN, huge numbers. Scan accepts only what all of
// them read alike, and an edit touches only the span it names, so what was
// decided on is what is sent.
//
// Offsets are bytes from the start of the body. A Doc is a flat tape over bytes
// that it does not own: it, its Values and what they return hold until the next
// Scan, and the bytes must not change until then.
package scan

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"
)

// The bounds. Those on the count of keys and on numbers bind Scan alone: an
// answer with log probabilities has more keys than any request needs.
const (
	MaxDepth  = 64
	MaxKeys   = 10_000
	MaxKey    = 256 // bytes, after unescaping
	MaxNumber = 32  // characters

	maxNodes    = 1 << 20
	maxNodesLax = 1 << 22
	maxBytes    = 1 << 31
)

// Error is why bytes have no single reading. It quotes nothing of them but the
// names of keys on the way.
type Error struct {
	Offset int    // of the first byte at fault
	Path   string // of the value at fault, such as messages[2].content; empty for the whole
	Words  string
}

func (e *Error) Error() string {
	s := e.Words + " (byte " + strconv.Itoa(e.Offset)
	if e.Path != "" {
		s += ", in " + e.Path
	}
	return s + ")"
}

// node is a value on the tape. The first child of a container is the node after
// it.
type node struct {
	start, end uint32 // end is 0 while the value is being read
	next       uint32 // the next sibling; 0 for the last
	size       uint32 // children
	quote      uint32 // where the key's opening quote is
	key        uint32 // where the key's text is: in src, or in keys if keyApart
	keyLen     uint16
	kind       Kind
	flags      uint8
}

const nodeBytes = 28

const (
	escaped  uint8 = 1 << iota // a string with escapes
	keyApart                   // the key had escapes; its text is in Doc.keys
	bare                       // an array of numbers, of which only the length is kept
)

// Doc is the tape of one document. The zero Doc is ready; a Doc that is scanned
// again keeps its memory.
type Doc struct {
	src   []byte
	nodes []node
	keys  []byte   // the text of keys that had escapes
	order []uint32 // scratch for the search for duplicates

	strict  bool
	lean    bool
	seen    int // keys
	max     int // nodes
	badKey  int // node whose key is at fault; 0 for none
	offset  int
	problem string
}

// Scan reads b strictly: UTF-8 without a byte order mark, one value, no U+0000,
// no lone surrogates, no duplicate keys at any depth, every number finite, and
// all within the bounds. At the levels that shape knows, a key that equals a
// known one but for case is refused too; a nil shape knows none. The error is
// an *Error.
func (d *Doc) Scan(b []byte, shape *Shape) error {
	d.strict, d.lean, d.max = true, false, maxNodes
	return d.scan(b, shape)
}

// ScanLax reads what an upstream wrote: valid JSON in UTF-8, within the bounds of
// depth and size. It minds neither duplicate keys nor what the parsers of
// clients disagree about; of duplicate keys the last counts. The error is an
// *Error.
func (d *Doc) ScanLax(b []byte) error {
	d.strict, d.lean, d.max = false, false, maxNodesLax
	return d.scan(b, nil)
}

// ScanLean is ScanLax for what holds long arrays of numbers, as embeddings do: an
// array of nothing but numbers keeps its span and its length, and All finds
// nothing in it.
func (d *Doc) ScanLean(b []byte) error {
	d.strict, d.lean, d.max = false, true, maxNodesLax
	return d.scan(b, nil)
}

// Size returns how many bytes of memory d keeps for the next Scan.
func (d *Doc) Size() int {
	return cap(d.nodes)*nodeBytes + cap(d.keys) + cap(d.order)*4
}

// Bytes returns the bytes that were scanned.
func (d *Doc) Bytes() []byte { return d.src }

// Root returns the one value of the document; it is absent if the scan failed.
func (d *Doc) Root() Value {
	if len(d.nodes) == 0 {
		return Value{}
	}
	return Value{d: d}
}

func (d *Doc) scan(b []byte, shape *Shape) error {
	d.src, d.nodes, d.keys = b, d.nodes[:0], d.keys[:0]
	d.seen, d.badKey, d.offset, d.problem = 0, 0, 0, ""
	if !d.whole(shape) {
		err := &Error{Offset: d.offset, Path: d.path(), Words: d.problem}
		d.nodes = d.nodes[:0]
		return err
	}
	return nil
}

func (d *Doc) whole(shape *Shape) bool {
	b := d.src
	switch {
	case len(b) >= maxBytes:
		d.fail(0, "the document is too large")
		return false
	case bytes.HasPrefix(b, []byte("\xef\xbb\xbf")):
		d.fail(0, "a byte order mark stands before the JSON; send UTF-8 without it")
		return false
	case !utf8.Valid(b):
		d.fail(invalidUTF8(b), "the bytes are not UTF-8")
		return false
	}
	i := d.space(0)
	if i == len(b) {
		d.fail(i, "there is no JSON value")
		return false
	}
	d.nodes = append(d.nodes, node{})
	if i = d.value(i, 0, 0, shape); i < 0 {
		return false
	}
	if i = d.space(i); i < len(b) {
		d.fail(i, "something follows the JSON value")
		return false
	}
	return true
}

// fail notes the problem and returns what ends every reading.
func (d *Doc) fail(i int, problem string) int {
	d.offset, d.problem = i, problem
	return -1
}

// at returns the byte at i; past the end it returns 0, which is valid nowhere.
func (d *Doc) at(i int) byte {
	if i < len(d.src) {
		return d.src[i]
	}
	return 0
}

func (d *Doc) space(i int) int {
	for i < len(d.src) {
		if c := d.src[i]; c > ' ' || c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			break
		}
		i++
	}
	return i
}

// value reads the value that begins at i into node n and returns where it ends,
// or -1.
func (d *Doc) value(i, n, depth int, shape *Shape) int {
	d.nodes[n].start = uint32(i)
	c := d.at(i)
	switch c {
	case '"':
		end, esc := d.text(i + 1)
		if end < 0 {
			return -1
		}
		x := &d.nodes[n]
		x.kind, x.end = String, uint32(end+1)
		if esc {
			x.flags |= escaped
		}
		return end + 1
	case '{', '[':
		if depth == MaxDepth {
			return d.fail(i, "the nesting is deeper than 64")
		}
		if c == '{' {
			d.nodes[n].kind = Object
			i = d.object(i+1, n, depth+1, shape)
		} else {
			d.nodes[n].kind = Array
			i = d.array(i+1, n, depth+1, shape.element())
		}
		if i >= 0 {
			d.nodes[n].end = uint32(i)
		}
		return i
	case 't':
		return d.word(i, n, Bool, "true")
	case 'f':
		return d.word(i, n, Bool, "false")
	case 'n':
		return d.word(i, n, Null, "null")
	}
	if c == '-' || '0' <= c && c <= '9' {
		return d.number(i, n)
	}
	if i == len(d.src) {
		return d.fail(i, "the JSON ends too early")
	}
	return d.fail(i, "no JSON value begins like this")
}

func (d *Doc) word(i, n int, k Kind, word string) int {
	end := i + len(word)
	if end > len(d.src) || string(d.src[i:end]) != word {
		return d.fail(i, "no JSON value begins like this")
	}
	d.nodes[n].kind, d.nodes[n].end = k, uint32(end)
	return end
}

func (d *Doc) number(i, n int) int {
	start := i
	if d.at(i) == '-' {
		i++
	}
	first := i
	i = d.digits(i)
	switch {
	case i == first:
		return d.fail(i, "a number needs digits")
	case i > first+1 && d.src[first] == '0':
		return d.fail(first, "a number begins with a needless zero")
	}
	if d.at(i) == '.' {
		first = i + 1
		if i = d.digits(first); i == first {
			return d.fail(i, "a number needs digits after its point")
		}
	}
	power := false
	if c := d.at(i); c == 'e' || c == 'E' {
		power = true
		i++
		if c := d.at(i); c == '+' || c == '-' {
			i++
		}
		first = i
		if i = d.digits(first); i == first {
			return d.fail(i, "a number needs digits in its exponent")
		}
	}
	if d.strict {
		if i-start > MaxNumber {
			return d.fail(start, "a number is longer than 32 characters")
		}
		if power {
			if _, err := strconv.ParseFloat(string(d.src[start:i]), 64); err != nil {
				return d.fail(start, "a number is too large for any reader")
			}
		}
	}
	d.nodes[n].kind, d.nodes[n].end = Number, uint32(i)
	return i
}

func (d *Doc) digits(i int) int {
	for i < len(d.src) && d.src[i]-'0' <= 9 {
		i++
	}
	return i
}

// text reads a string whose opening quote stands before i. It returns where the
// closing quote is, or -1, and whether there are escapes.
func (d *Doc) text(i int) (end int, esc bool) {
	const (
		ones = 0x0101010101010101
		tops = 0x8080808080808080
	)
	b := d.src
	for {
		// Eight bytes at a time up to a quote, a backslash or a control
		// character. A borrow can set a false mark only above a true one.
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			quote, slash := w^ones*'"', w^ones*'\\'
			marks := ((w-ones*' ')&^w | (quote-ones)&^quote | (slash-ones)&^slash) & tops
			if marks != 0 {
				i += bits.TrailingZeros64(marks) >> 3
				break
			}
			i += 8
		}
		for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
			i++
		}
		if i == len(b) {
			return d.fail(i, "the JSON ends inside a string"), false
		}
		switch b[i] {
		case '"':
			return i, esc
		case '\\':
			esc = true
			if i = d.escape(i); i < 0 {
				return -1, false
			}
		default:
			return d.fail(i, "a control character stands in a string; write it as an escape"), false
		}
	}
}

// escape reads the escape at i and returns where it ends, or -1.
func (d *Doc) escape(i int) int {
	switch d.at(i + 1) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
	default:
		return d.fail(i, "there is no such escape")
	}
	r := unhex(d.src, i+2)
	if r < 0 {
		return d.fail(i, `an escape \u needs four hexadecimal digits`)
	}
	if !d.strict {
		return i + 6
	}
	switch {
	case r == 0:
		return d.fail(i, "U+0000 stands in a string")
	case surrogate(r):
		if r2 := pair(d.src, i+6); r >= 0xdc00 || r2 < 0 {
			return d.fail(i, "half of a surrogate pair stands alone")
		}
		return i + 12
	}
	return i + 6
}

func (d *Doc) array(i, n, depth int, element *Shape) int {
	if i = d.space(i); d.at(i) == ']' {
		return i + 1
	}
	numbers := d.lean
	for last := 0; ; i = d.space(i + 1) {
		if last = d.child(n, last); last == 0 {
			return d.fail(i, "the document has too many values")
		}
		if i = d.value(i, last, depth, element); i < 0 {
			return -1
		}
		numbers = numbers && d.nodes[last].kind == Number
		switch i = d.space(i); d.at(i) {
		case ',':
		case ']':
			if numbers {
				d.nodes = d.nodes[:n+1]
				d.nodes[n].flags |= bare
			}
			return i + 1
		default:
			return d.broken(i, "a comma or ] is missing in an array")
		}
	}
}

func (d *Doc) object(i, n, depth int, shape *Shape) int {
	if i = d.space(i); d.at(i) == '}' {
		return i + 1
	}
	for last := 0; ; i = d.space(i + 1) {
		if d.at(i) != '"' {
			return d.broken(i, "a key in double quotes is missing")
		}
		end, esc := d.text(i + 1)
		if end < 0 {
			return -1
		}
		if last = d.child(n, last); last == 0 {
			return d.fail(i, "the document has too many values")
		}
		if d.seen++; d.strict && d.seen > MaxKeys {
			return d.fail(i, "the document has more than 10000 keys")
		}
		if !d.keyed(last, i, end, esc) {
			return d.fail(i, "a key is longer than 256 bytes")
		}
		var value *Shape
		if shape != nil {
			var variant bool
			if value, variant = shape.member(d.key(last)); variant {
				d.badKey = last
				return d.fail(i, "a key differs from a known one in case alone; write it as documented")
			}
		}
		if i = d.space(end + 1); d.at(i) != ':' {
			return d.broken(i, "a colon is missing after a key")
		}
		if i = d.value(d.space(i+1), last, depth, value); i < 0 {
			return -1
		}
		switch i = d.space(i); d.at(i) {
		case ',':
		case '}':
			if d.strict && d.duplicate(n) {
				return -1
			}
			return i + 1
		default:
			return d.broken(i, "a comma or } is missing in an object")
		}
	}
}

func (d *Doc) broken(i int, problem string) int {
	if i == len(d.src) {
		problem = "the JSON ends too early"
	}
	return d.fail(i, problem)
}

// child adds a node to container n after its child last and returns its index,
// or 0 if there is no room.
func (d *Doc) child(n, last int) int {
	c := len(d.nodes)
	if c >= d.max {
		return 0
	}
	if last != 0 {
		d.nodes[last].next = uint32(c)
	}
	d.nodes[n].size++
	d.nodes = append(d.nodes, node{})
	return c
}

// keyed gives node n the key between the quotes at i and end.
func (d *Doc) keyed(n, i, end int, esc bool) bool {
	x := &d.nodes[n]
	x.quote = uint32(i)
	if !esc {
		if end-i-1 > MaxKey {
			return false
		}
		x.key, x.keyLen = uint32(i+1), uint16(end-i-1)
		return true
	}
	if end-i-1 > 6*MaxKey {
		return false
	}
	x.key = uint32(len(d.keys))
	d.keys = unescape(d.keys, d.src[i+1:end])
	length := len(d.keys) - int(x.key)
	x.keyLen = uint16(length)
	x.flags |= keyApart
	return length <= MaxKey
}

// key returns the key of node n, unescaped.
func (d *Doc) key(n int) []byte {
	x := &d.nodes[n]
	if x.flags&keyApart != 0 {
		return d.keys[x.key : x.key+uint32(x.keyLen)]
	}
	return d.src[x.key : x.key+uint32(x.keyLen)]
}

// duplicate looks for two equal keys in object n: pairwise while that is
// quicker, else by sorting, so no choice of keys makes it quadratic.
func (d *Doc) duplicate(n int) bool {
	const few = 16
	if d.nodes[n].size <= few {
		for a := n + 1; d.nodes[a].next != 0; a = int(d.nodes[a].next) {
			length, key := d.nodes[a].keyLen, d.key(a)
			for b := d.nodes[a].next; b != 0; b = d.nodes[b].next {
				if d.nodes[b].keyLen == length && bytes.Equal(key, d.key(int(b))) {
					d.twice(int(b))
					return true
				}
			}
		}
		return false
	}
	d.order = d.order[:0]
	for a := uint32(n + 1); a != 0; a = d.nodes[a].next {
		d.order = append(d.order, a)
	}
	slices.SortFunc(d.order, func(a, b uint32) int {
		return cmp.Or(bytes.Compare(d.key(int(a)), d.key(int(b))), cmp.Compare(a, b))
	})
	for i, b := range d.order[1:] {
		if bytes.Equal(d.key(int(d.order[i])), d.key(int(b))) {
			d.twice(int(b))
			return true
		}
	}
	return false
}

func (d *Doc) twice(n int) {
	d.badKey = n
	d.fail(int(d.nodes[n].quote), "a key stands twice in one object")
}

// path returns where the reading stopped: the containers that are still open,
// and the value or key at fault.
func (d *Doc) path() string {
	var p []byte
	for n := 0; n < len(d.nodes) && d.nodes[n].end == 0 && d.nodes[n].size > 0; {
		c := n + 1
		for d.nodes[c].next != 0 && c != d.badKey {
			c = int(d.nodes[c].next)
		}
		if d.nodes[c].end != 0 && c != d.badKey {
			break
		}
		if d.nodes[n].kind == Array {
			p = append(p, '[')
			p = strconv.AppendUint(p, uint64(d.nodes[n].size-1), 10)
			p = append(p, ']')
		} else {
			if len(p) > 0 {
				p = append(p, '.')
			}
			p = append(p, Name(d.key(c))...)
		}
		n = c
	}
	return string(p)
}

// Name returns a key that may be shown, logged and put in a header, or a star in
// its place.
func Name(key []byte) string {
	for _, c := range key {
		if c != '_' && c != '-' && c != '$' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return "*"
		}
	}
	if len(key) == 0 || len(key) > 64 {
		return "*"
	}
	return string(key)
}

// unescape appends the text that raw, the inside of a valid string, stands for.
func unescape(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		c := raw[i+1]
		switch c {
		case 'u':
			r := unhex(raw, i+2)
			i += 6
			if surrogate(r) {
				if r2 := pair(raw, i); r < 0xdc00 && r2 >= 0 {
					r = (r-0xd800)<<10 + (r2 - 0xdc00) + 0x10000
					i += 6
				} else {
					r = utf8.RuneError
				}
			}
			dst = utf8.AppendRune(dst, r)
			raw = raw[i:]
			continue
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		}
		dst = append(dst, c)
		raw = raw[i+2:]
	}
}

func surrogate(r rune) bool { return 0xd800 <= r && r < 0xe000 }

// pair returns the low half of a surrogate pair whose escape is at i, or -1.
func pair(b []byte, i int) rune {
	if i+1 >= len(b) || b[i] != '\\' || b[i+1] != 'u' {
		return -1
	}
	if r := unhex(b, i+2); 0xdc00 <= r && r < 0xe000 {
		return r
	}
	return -1
}

// unhex returns what the four hexadecimal digits at i say, or -1.
func unhex(b []byte, i int) rune {
	if i+4 > len(b) {
		return -1
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

func invalidUTF8(b []byte) int {
	i := 0
	for i < len(b) {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		i += n
	}
	return i
}
