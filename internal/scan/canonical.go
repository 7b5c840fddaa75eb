package scan

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
)

// AppendCanonical appends the one form of v that all its spellings share: no space,
// members sorted by the bytes of their keys, texts with no escape that can be done
// without, numbers in their shortest exact form. Two values have one form only if they
// mean the same; a text is compared byte for byte and a number by its exact value, so
// 1, 1.0 and 1e0 are one, and 9007199254740992 and 9007199254740993 are two.
//
// A member for which leave is true is left out, as if it was not there; its depth is
// 0 in v itself, 1 in what v holds, and so on. A nil leave leaves nothing out. Of
// duplicate keys, which ScanLax admits, the last counts.
//
// It uses memory of the Doc, so nobody else may at the same time.
func (v Value) AppendCanonical(dst []byte, leave func(depth int, member Value) bool) []byte {
	if v.d == nil {
		return dst
	}
	v.d.order = v.d.order[:0]
	return v.d.canonical(dst, v.n, 0, leave)
}

func (d *Doc) canonical(dst []byte, n uint32, depth int, leave func(int, Value) bool) []byte {
	x := &d.nodes[n]
	switch x.kind {
	case Object:
		return d.canonicalObject(dst, n, depth, leave)
	case Array:
		if x.flags&bare != 0 {
			return canonicalNumbers(dst, d.src[x.start:x.end])
		}
		dst = append(dst, '[')
		for m := (Value{d, n}).first(); m.d != nil; m = m.next() {
			dst = d.canonical(AppendComma(dst), m.n, depth+1, leave)
		}
		return append(dst, ']')
	case String:
		if x.flags&escaped != 0 {
			return canonicalText(dst, d.src[x.start+1:x.end-1])
		}
	case Number:
		return appendNumber(dst, d.src[x.start:x.end])
	case Absent, Null, Bool:
	}
	return append(dst, d.src[x.start:x.end]...)
}

func (d *Doc) canonicalObject(dst []byte, n uint32, depth int, leave func(int, Value) bool) []byte {
	base, sorted := len(d.order), true
	for m := (Value{d, n}).first(); m.d != nil; m = m.next() {
		if leave != nil && leave(depth, m) {
			continue
		}
		if last := len(d.order); last > base && bytes.Compare(d.key(int(d.order[last-1])), d.key(int(m.n))) >= 0 {
			sorted = false
		}
		d.order = append(d.order, m.n)
	}
	if !sorted {
		slices.SortFunc(d.order[base:], func(a, b uint32) int {
			return cmp.Or(bytes.Compare(d.key(int(a)), d.key(int(b))), cmp.Compare(a, b))
		})
	}
	dst = append(dst, '{')
	end := len(d.order)
	for i := base; i < end; i++ {
		m := d.order[i]
		key := d.key(int(m))
		if !sorted && i+1 < end && bytes.Equal(key, d.key(int(d.order[i+1]))) {
			continue
		}
		dst = AppendComma(dst)
		if d.nodes[m].flags&keyApart != 0 {
			dst = AppendString(dst, key)
		} else {
			dst = append(append(append(dst, '"'), key...), '"')
		}
		dst = d.canonical(append(dst, ':'), m, depth+1, leave)
	}
	d.order = d.order[:base]
	return append(dst, '}')
}

// canonicalText appends a text whose inside has escapes: those that stay are the
// quote, the backslash and what is below a space.
func canonicalText(dst, raw []byte) []byte {
	dst = append(dst, '"')
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(append(dst, raw...), '"')
		}
		dst = append(dst, raw[:i]...)
		size := 2
		if raw[i+1] == 'u' {
			size = 6
			if r := unhex(raw, i+2); 0xd800 <= r && r < 0xdc00 && pair(raw, i+6) >= 0 {
				size = 12
			}
		}
		switch c := raw[i+1]; c {
		case '"', '\\', 'n', 'r', 't':
			dst = append(dst, '\\', c)
		default:
			var room [4]byte
			dst = appendInside(dst, unescape(room[:0], raw[i:i+size]))
		}
		raw = raw[i+size:]
	}
}

// canonicalNumbers appends an array of numbers of which the tape holds none.
func canonicalNumbers(dst, raw []byte) []byte {
	dst = append(dst, '[')
	for i := 1; i < len(raw); i++ {
		start := i
		for i < len(raw) && raw[i] > ' ' && raw[i] != ',' && raw[i] != ']' {
			i++
		}
		if i > start {
			dst = appendNumber(AppendComma(dst), raw[start:i])
		}
	}
	return append(dst, ']')
}

// appendNumber appends a valid number in its shortest exact form: an integer by its
// digits as far as MaxNumber of them reach, what is left of a fraction without zeros
// at its end, and what is further from its point with an exponent.
func appendNumber(dst, raw []byte) []byte {
	const near = 6 // zeros between a point and the first digit
	plain := len(raw) <= MaxNumber && raw[0] != '-'
	for i := 0; plain && i < len(raw); i++ {
		plain = raw[i]-'0' <= 9
	}
	if plain {
		return append(dst, raw...)
	}
	negative := raw[0] == '-'
	if negative {
		raw = raw[1:]
	}
	mantissa, power := raw, 0
	if i := bytes.IndexAny(raw, "eE"); i >= 0 {
		var err error
		mantissa = raw[:i]
		if power, err = strconv.Atoi(string(raw[i+1:])); err != nil || power > 1<<30 || power < -1<<30 {
			return appendFar(dst, negative, mantissa, raw[i+1:])
		}
	}
	start := len(dst)
	if negative {
		dst = append(dst, '-')
	}
	first := len(dst)
	whole, fraction, _ := bytes.Cut(mantissa, []byte("."))
	power -= len(fraction)
	dst = append(append(dst, bytes.TrimLeft(whole, "0")...), fraction...)
	if len(bytes.TrimLeft(whole, "0")) == 0 {
		zeros := len(fraction) - len(bytes.TrimLeft(fraction, "0"))
		dst = append(dst[:first], dst[first+zeros:]...)
	}
	for len(dst) > first && dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
		power++
	}
	digits := len(dst) - first
	switch {
	case digits == 0:
		return append(dst[:start], '0')
	case power >= 0 && digits+power <= MaxNumber:
		for range power {
			dst = append(dst, '0')
		}
		return dst
	case power == 0:
		return dst
	case power < 0 && digits+power > 0: // the point is among the digits
		return slices.Insert(dst, len(dst)+power, '.')
	case power < 0 && digits+power >= -near:
		return slices.Insert(dst, first, append([]byte("0."), zeros[:-digits-power]...)...)
	}
	return strconv.AppendInt(append(dst, 'e'), int64(power), 10)
}

const zeros = "000000"

// appendFar appends a number whose exponent no reader can hold. It is zero, infinite
// or nothing to all of them; here its spelling counts.
func appendFar(dst []byte, negative bool, mantissa, exponent []byte) []byte {
	if len(bytes.Trim(mantissa, "0.")) == 0 {
		return append(dst, '0')
	}
	if negative {
		dst = append(dst, '-')
	}
	return append(append(append(dst, mantissa...), 'e'), bytes.TrimLeft(exponent, "+")...)
}
