package format

import (
	"encoding/binary"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// decode returns the text of bytes: UTF-8, with or without its mark, UTF-16 with its
// mark, else Latin-1 as Windows has it, which is a guess and said so.
func decode(source []byte) (text, note string) {
	switch {
	case len(source) >= 3 && source[0] == 0xef && source[1] == 0xbb && source[2] == 0xbf:
		source = source[3:]
	case len(source) >= 2 && source[0] == 0xff && source[1] == 0xfe:
		return fromUTF16(source[2:], binary.LittleEndian), ""
	case len(source) >= 2 && source[0] == 0xfe && source[1] == 0xff:
		return fromUTF16(source[2:], binary.BigEndian), ""
	}
	if utf8.Valid(source) {
		return string(source), ""
	}
	mended := strings.ToValidUTF8(string(source), "\ufffd")
	if bad := strings.Count(mended, "\ufffd"); multibyte(source) > 10*bad {
		return mended, "some bytes are not UTF-8; each run of them was replaced by U+FFFD"
	}
	var b strings.Builder
	b.Grow(len(source) + len(source)/8)
	for _, c := range source {
		if c >= 0x80 && c < 0xa0 {
			b.WriteRune(windows1252[c-0x80])
		} else {
			b.WriteRune(rune(c))
		}
	}
	return b.String(), "its bytes are not UTF-8: read as Latin-1 (Windows-1252), which is a guess"
}

// multibyte counts characters of two bytes and more that are UTF-8.
func multibyte(source []byte) (n int) {
	for len(source) > 0 {
		r, size := utf8.DecodeRune(source)
		if size > 1 && r != utf8.RuneError {
			n++
		}
		source = source[size:]
	}
	return n
}

func fromUTF16(b []byte, order binary.ByteOrder) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = order.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}

// windows1252 is what the bytes 0x80 to 0x9f mean in Windows' Latin-1 (WHATWG
// Encoding Standard, index-windows-1252).
var windows1252 = [32]rune{
	0x20ac, 0x81, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8d, 0x017d, 0x8f,
	0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d, 0x017e, 0x0178,
}
