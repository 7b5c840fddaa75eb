package scan

import (
	"unicode/utf8"
)

// Edit replaces the bytes from Start up to, without, End.
type Edit struct {
	Start, End int
	With       []byte
}

// Replace returns the edit that puts JSON in the place of v.
func Replace(v Value, with []byte) Edit {
	start, end := v.Span()
	return Edit{start, end, with}
}

// Insert returns the edit that adds a member at the end of an object. The member
// is written with its comma before it, ,"key":value; an empty object gets it
// without.
func Insert(object Value, member []byte) Edit {
	if object.Len() == 0 {
		member = member[1:]
	}
	_, end := object.Span()
	return Edit{end - 1, end - 1, member}
}

// Cut returns the edit that takes a member out of its object, with its comma.
func Cut(object, member Value) Edit {
	_, end := member.Span()
	if after := member.next(); after.Exists() {
		return Edit{Start: int(member.node().quote), End: int(after.node().quote)}
	}
	start := int(member.node().quote)
	for m := range object.All() {
		if m.n != member.n {
			_, start = m.Span()
		}
	}
	return Edit{Start: start, End: end}
}

// CutAll appends, in order, the edits that take out of an object every member that
// goes, each with its comma. They go well with Insert where a member stays.
func CutAll(dst []Edit, object Value, goes func(member Value) bool) []Edit {
	stays := -1 // where the last member that stays ends
	open := false
	for m := range object.All() {
		from := int(m.node().quote)
		_, to := m.Span()
		switch {
		case !goes(m):
			if open {
				dst[len(dst)-1].End = from
			}
			open, stays = false, to
			continue
		case !open:
			dst = append(dst, Edit{Start: from, End: to})
		}
		open = true
		dst[len(dst)-1].End = to
	}
	if open && stays >= 0 {
		dst[len(dst)-1].Start = stays
	}
	return dst
}

// Splice appends src with the edits done. Edits are sorted and do not overlap;
// every byte outside them stays.
func Splice(dst, src []byte, edits []Edit) []byte {
	at := 0
	for _, e := range edits {
		dst = append(append(dst, src[at:e.Start]...), e.With...)
		at = e.End
	}
	return append(dst, src[at:]...)
}

// AppendComma appends the comma before the next member or element of a container
// that is being written, unless it is the first.
func AppendComma(dst []byte) []byte {
	if n := len(dst); n > 0 && (dst[n-1] == '{' || dst[n-1] == '[') {
		return dst
	}
	return append(dst, ',')
}

// AppendKey appends a comma where one is needed, a key that needs no escapes,
// and its colon.
func AppendKey(dst []byte, key string) []byte {
	dst = append(AppendComma(dst), '"')
	dst = append(dst, key...)
	return append(dst, '"', ':')
}

// AppendString appends text as a JSON string. Bytes that are not UTF-8 become
// U+FFFD.
func AppendString[T string | []byte](dst []byte, text T) []byte {
	return append(appendInside(append(dst, '"'), text), '"')
}

// appendInside appends what stands between the quotes of a text.
func appendInside[T string | []byte](dst []byte, text T) []byte {
	const digits = "0123456789abcdef"
	from := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(string(text[i:min(i+utf8.UTFMax, len(text))]))
			if r != utf8.RuneError || n != 1 {
				i += n
				continue
			}
		}
		dst = append(dst, text[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			if c < ' ' {
				dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
			} else {
				dst = append(dst, "\uFFFD"...)
			}
		}
		i++
		from = i
	}
	return append(dst, text[from:]...)
}
