package scan

import (
	"iter"
	"math"
	"strconv"
)

// Kind is what a value is.
type Kind uint8

// The kinds of values. An absent value is what looking for a missing key gives.
const (
	Absent Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

func (k Kind) String() string {
	return [...]string{"absent", "null", "boolean", "number", "string", "array", "object"}[k]
}

// Value is a value of a Doc. The zero Value is absent; asking it for anything is
// allowed and finds nothing.
type Value struct {
	d *Doc
	n uint32
}

func (v Value) node() *node { return &v.d.nodes[v.n] }

// Kind returns what v is.
func (v Value) Kind() Kind {
	if v.d == nil {
		return Absent
	}
	return v.node().kind
}

// Exists reports whether v is there, be it null.
func (v Value) Exists() bool { return v.d != nil }

// Given reports whether v is there and not null.
func (v Value) Given() bool { return v.Kind() > Null }

// Len returns how many elements or members v has.
func (v Value) Len() int {
	if v.d == nil {
		return 0
	}
	return int(v.node().size)
}

// Span returns where v stands: from start up to, without, end.
func (v Value) Span() (start, end int) {
	if v.d == nil {
		return 0, 0
	}
	return int(v.node().start), int(v.node().end)
}

// Raw returns the bytes of v as they came.
func (v Value) Raw() []byte {
	if v.d == nil {
		return nil
	}
	x := v.node()
	return v.d.src[x.start:x.end]
}

// Key returns the key of a member, unescaped.
func (v Value) Key() []byte {
	if v.d == nil {
		return nil
	}
	return v.d.key(int(v.n))
}

// Numbers reports whether v is an array of which ScanLean kept the length alone.
func (v Value) Numbers() bool { return v.d != nil && v.node().flags&bare != 0 }

// Get returns the member of that key.
func (v Value) Get(key string) Value {
	var found Value
	if v.Kind() == Object {
		for m := v.first(); m.d != nil; m = m.next() {
			if string(m.d.key(int(m.n))) == key {
				found = m
			}
		}
	}
	return found
}

// All returns the elements of an array, or the members of an object, in order.
func (v Value) All() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		for m := v.first(); m.d != nil; m = m.next() {
			if !yield(m) {
				return
			}
		}
	}
}

func (v Value) first() Value {
	if v.Len() == 0 || v.node().flags&bare != 0 {
		return Value{}
	}
	return Value{v.d, v.n + 1}
}

func (v Value) next() Value {
	n := v.node().next
	if n == 0 {
		return Value{}
	}
	return Value{v.d, n}
}

// inner returns what stands between the quotes of a string.
func (v Value) inner() []byte {
	if v.Kind() != String {
		return nil
	}
	x := v.node()
	return v.d.src[x.start+1 : x.end-1]
}

// Bytes returns the text of a string; without escapes it is not copied. A value
// of another kind has none.
func (v Value) Bytes() []byte {
	b := v.inner()
	if b != nil && v.node().flags&escaped != 0 {
		b = unescape(nil, b)
	}
	return b
}

// Text returns the text of a string as a string of its own.
func (v Value) Text() string { return string(v.Bytes()) }

// TextLen returns how many bytes the text of a string takes as written.
func (v Value) TextLen() int { return len(v.inner()) }

// Is reports whether v is a string with that text.
func (v Value) Is(text string) bool {
	if v.Kind() != String {
		return false
	}
	if v.node().flags&escaped != 0 {
		return string(v.Bytes()) == text
	}
	return string(v.inner()) == text
}

// Bool returns a boolean; ok is false for any other value.
func (v Value) Bool() (b, ok bool) {
	if v.Kind() != Bool {
		return false, false
	}
	return v.d.src[v.node().start] == 't', true
}

// Int returns an integer. It is not ok for a number with a fraction or an
// exponent, whatever its value, since readers differ on it, nor for one beyond
// 64 bits.
func (v Value) Int() (n int64, ok bool) {
	if v.Kind() != Number {
		return 0, false
	}
	raw := v.Raw()
	negative := raw[0] == '-'
	if negative {
		raw = raw[1:]
	}
	var u uint64
	for _, c := range raw {
		if c-'0' > 9 || u > math.MaxInt64/10 {
			return 0, false
		}
		u = u*10 + uint64(c-'0')
	}
	switch {
	case negative && u <= -math.MinInt64:
		return -int64(u), true
	case u <= math.MaxInt64:
		return int64(u), true
	}
	return 0, false
}

// Float returns a number; ok is false for any other value and for one that no
// float64 can hold.
func (v Value) Float() (f float64, ok bool) {
	if v.Kind() != Number {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(v.Raw()), 64)
	return f, err == nil
}
