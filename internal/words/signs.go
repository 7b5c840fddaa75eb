package words

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

func letter(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

func digit(r rune) bool { return '0' <= r && r <= '9' }

func numeric(word []byte) bool {
	for _, b := range word {
		if !digit(rune(b)) && b != '.' {
			return false
		}
	}
	return len(word) > 0
}

// thousands reports whether a text opens with a comma and exactly three digits.
func thousands(text string) bool {
	if len(text) < 4 {
		return false
	}
	for i := 1; i <= 3; i++ {
		if !digit(rune(text[i])) {
			return false
		}
	}
	return len(text) == 4 || !digit(rune(text[4]))
}

// joins reports whether a sign may stand inside an identifier or a compound.
func joins(r rune) bool {
	switch r {
	case '_', '-', '.', '\u2010', '\u2011':
		return true
	}
	return false
}

func apostrophe(r rune) bool { return r == '\'' || r == '\u2019' }

// possessive reports whether a text opens with the s of an English 's.
func possessive(text string) bool {
	if text == "" || text[0] != 's' && text[0] != 'S' {
		return false
	}
	next, _ := utf8.DecodeRuneInString(text[1:])
	return !letter(next)
}

// abbreviation returns the length of single letters with points between them that a
// text opens with, or 0.
func abbreviation(text string) int {
	for n, i := 1, 0; ; n++ {
		r, size := utf8.DecodeRuneInString(text[i:])
		if !unicode.IsLetter(r) || unspaced(r) {
			return 0
		}
		i += size
		next, _ := utf8.DecodeRuneInString(text[i:])
		if letter(next) || mark(next) {
			return 0
		}
		if next == '.' {
			if after, _ := utf8.DecodeRuneInString(text[i+1:]); unicode.IsLetter(after) {
				i++
				continue
			}
		}
		if n < 2 {
			return 0
		}
		return i
	}
}

// suffix returns the length of what sets C++ and C# apart from C.
func suffix(text string) int {
	n := 0
	switch {
	case strings.HasPrefix(text, "++"):
		n = 2
	case strings.HasPrefix(text, "#"):
		n = 1
	default:
		return 0
	}
	if next, _ := utf8.DecodeRuneInString(text[n:]); len(text) > n && letter(next) {
		return 0
	}
	return n
}

// silent signs stand in words and say nothing: soft hyphen, zero width, joiners.
func silent(r rune) bool {
	return r == '\u00ad' || '\u200b' <= r && r <= '\u200d' || r == '\u2060' || r == '\ufeff' || r == '\u0640'
}

func mark(r rune) bool { return r >= 0x300 && unicode.Is(unicode.M, r) }

// accent reports whether a mark only colours the letter before it: accents, and the
// vowel points of Hebrew and Arabic, which are left out as often as not.
func accent(r rune) bool {
	return r <= 0x36f || 0x591 <= r && r <= 0x5c7 || 0x64b <= r && r <= 0x65f || r == 0x670
}

// unspaced reports whether a script writes no spaces between words.
func unspaced(r rune) bool {
	switch {
	case r < 0xe00:
		return false
	case r <= 0xeff: // Thai, Lao
		return unicode.In(r, unicode.Thai, unicode.Lao)
	case 0x1000 <= r && r <= 0x109f: // Myanmar
		return true
	case 0x1780 <= r && r <= 0x17ff: // Khmer
		return unicode.Is(unicode.Khmer, r)
	case r < 0x3005:
		return false
	}
	return r == '\u30fc' || unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}

// latin holds what the letters from U+00C0 to U+017F are in lower case without
// accents.
var latin = strings.Split("a|a|a|a|a|a|ae|c|e|e|e|e|i|i|i|i|d|n|o|o|o|o|o||o|u|u|u|u|y|th|ss|"+
	"a|a|a|a|a|a|ae|c|e|e|e|e|i|i|i|i|d|n|o|o|o|o|o||o|u|u|u|u|y|th|y|"+
	"a|a|a|a|a|a|c|c|c|c|c|c|c|c|d|d|d|d|e|e|e|e|e|e|e|e|e|e|g|g|g|g|"+
	"g|g|g|g|h|h|h|h|i|i|i|i|i|i|i|i|i|i|ij|ij|j|j|k|k|k|l|l|l|l|l|l|l|"+
	"l|l|l|n|n|n|n|n|n|n|n|n|o|o|o|o|o|o|oe|oe|r|r|r|r|r|r|s|s|s|s|s|s|"+
	"s|s|t|t|t|t|t|t|u|u|u|u|u|u|u|u|u|u|u|u|w|w|y|y|y|z|z|z|z|z|z|s", "|")

// folded appends a letter in lower case without accents. Signs of full width become
// those of ASCII, and ligatures, as PDF files have them, their letters.
func folded(word []byte, r rune) []byte {
	switch {
	case r < utf8.RuneSelf:
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return append(word, byte(r))
	case 0xc0 <= r && r <= 0x17f:
		return append(word, latin[r-0xc0]...)
	}
	return lowered(word, r)
}

// lowered appends a letter in lower case, accents kept: stemmers of languages with
// accents go by them.
func lowered(word []byte, r rune) []byte {
	switch {
	case 0xff10 <= r && r <= 0xff5a:
		return folded(word, r-0xfee0)
	case 0xfb00 <= r && r <= 0xfb06:
		return append(word, [...]string{"ff", "fi", "fl", "ffi", "ffl", "st", "st"}[r-0xfb00]...)
	}
	switch r = unicode.ToLower(r); r {
	case 'ё':
		r = 'е'
	case 'ς':
		r = 'σ'
	}
	return utf8.AppendRune(word, r)
}
