// Package words says how text becomes the terms of an index, the same for
// documents and for questions: runs of Unicode letters and digits, lower case,
// without accents, stemmed, without stopwords.
//
// An identifier or a name of several parts (first_token, maxTokens, api.Chat,
// demo-small) gives its parts and, beside them, itself as one word, so each way of
// writing it finds the others. Scripts that write no spaces give pairs of signs.
// Nothing here depends on anything but the text and the language.
package words

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a term and of what is read as one identifier.
const (
	maxTerm  = 128 // bytes; a longer term is cut there
	maxParts = 12  // of an identifier that is also kept whole
)

// Term is a word as an index keeps it.
type Term struct {
	Text string
	At   uint32 // which word of the text this is, from 0; stopwords count

	// Beside says that the term stands where others stand already: an identifier
	// as a whole, a single sign of a script without spaces. It can be found, but
	// makes no text longer and is no part of a phrase.
	Beside bool
}

// Text returns the terms of an English text, in order.
func Text(text string) iter.Seq[Term] { return English.Text(text) }

// Text returns the terms of a text in order: of an identifier its parts, then the
// whole.
func (l Language) Text(text string) iter.Seq[Term] {
	return func(yield func(Term) bool) {
		s := splitter{language: l, text: text, single: true, yield: yield}
		s.run()
	}
}

// splitter walks over a text once.
type splitter struct {
	language Language
	text     string
	single   bool // signs of scripts without spaces also stand alone
	yield    func(Term) bool

	at    uint32 // of the next word
	word  []byte // lower case, folded
	whole []byte // the parts of the identifier being read, run together
	parts int
	from  uint32 // where that identifier began
	done  bool
}

func (s *splitter) run() {
	for i := 0; i < len(s.text) && !s.done; {
		r, size := utf8.DecodeRuneInString(s.text[i:])
		switch {
		case unspaced(r):
			i = s.signs(i)
		case letter(r):
			i = s.identifier(i)
		default:
			i += size
		}
	}
}

// identifier reads words that nothing but a joining sign or a change of case
// divides, and returns where they end.
func (s *splitter) identifier(i int) int {
	s.whole, s.parts, s.from = s.whole[:0], 0, s.at
	for !s.done {
		end := s.part(i)
		s.whole = append(s.whole, s.word...)
		s.parts++
		s.emitPart()
		i = end
		r, size := utf8.DecodeRuneInString(s.text[i:])
		if letter(r) && !unspaced(r) { // the case changed
			continue
		}
		if apostrophe(r) && possessive(s.text[i+size:]) { // the 1960's
			i += size + 1
			r, size = utf8.DecodeRuneInString(s.text[i:])
		}
		next, _ := utf8.DecodeRuneInString(s.text[min(i+size, len(s.text)):])
		if joins(r) && letter(next) && !unspaced(next) {
			i += size
			continue
		}
		break
	}
	if n := suffix(s.text[i:]); n > 0 && s.parts == 1 { // c++, c#
		s.whole = append(s.whole, s.text[i:i+n]...)
		i += n
		s.beside(string(s.whole))
	} else if s.parts > 1 && s.parts <= maxParts && len(s.whole) <= maxTerm {
		s.beside(s.language.stem(string(s.whole)))
	}
	return i
}

// part reads one word from where a letter or digit stands into s.word and returns
// where it ends: before another sign, or where camelCase or HTTPServer goes over
// into its next word. A number keeps its points and loses the commas between its
// thousands. Letters with points between them are one word, U.S. as US. So is a
// word with an apostrophe, as I'm, less the possessive: alone, an m is an initial.
func (s *splitter) part(i int) int {
	s.word = s.word[:0]
	if n := abbreviation(s.text[i:]); n > 0 && s.parts == 0 {
		for _, r := range s.text[i : i+n] {
			if r != '.' {
				s.word = s.language.fold(s.word, r)
			}
		}
		return i + n
	}
	var last, before rune // the signs before this one
	for i < len(s.text) {
		r, size := utf8.DecodeRuneInString(s.text[i:])
		switch {
		case silent(r), mark(r):
			if !silent(r) && !accent(r) {
				s.word = utf8.AppendRune(s.word, r)
			}
			i += size
			before = 0 // the last letter is no longer right behind
			continue
		case unspaced(r) || !letter(r):
			if (r == '.' || r == ',') && digit(last) && i+1 < len(s.text) && digit(rune(s.text[i+1])) && numeric(s.word) {
				if r == ',' && !thousands(s.text[i:]) {
					return i
				}
				if r == '.' {
					s.word = append(s.word, '.')
				}
				i++
				last, before = 0, 0
				continue
			}
			if apostrophe(r) && unicode.IsLetter(last) && s.language != French && !possessive(s.text[i+size:]) {
				if next, _ := utf8.DecodeRuneInString(s.text[i+size:]); unicode.IsLetter(next) && !unspaced(next) {
					s.word = append(s.word, '\'')
					i += size
					last, before = 0, 0
					continue
				}
			}
			return i
		}
		if unicode.IsUpper(r) && unicode.IsLower(last) {
			return i
		}
		if unicode.IsLower(r) && unicode.IsUpper(last) && unicode.IsUpper(before) {
			// The last capital of a run begins the next word, if there is more than a
			// plural's s behind it: HTTPServer, but URLs.
			n := utf8.RuneLen(last)
			if next, _ := utf8.DecodeRuneInString(s.text[i+size:]); (r != 's' || letter(next)) && len(s.word) > n {
				s.word = s.word[:len(s.word)-len(s.language.fold(nil, last))]
				return i - n
			}
		}
		s.word = s.language.fold(s.word, r)
		before, last = last, r
		i += size
	}
	return i
}

// emitPart gives out s.word, unless it is a stopword. It takes its place anyway.
func (s *splitter) emitPart() {
	at := s.at
	s.at++
	if len(s.word) == 0 {
		return
	}
	word := string(s.word)
	if s.language.stopped(word) {
		return
	}
	s.emit(Term{Text: s.language.stem(word), At: at})
}

func (s *splitter) beside(term string) { s.emit(Term{Text: term, At: s.from, Beside: true}) }

func (s *splitter) emit(t Term) {
	if s.done || t.Text == "" {
		return
	}
	t.Text = cut(t.Text)
	s.done = !s.yield(t)
}

// signs reads a run of a script without spaces: each pair of neighbours is a word,
// and a sign that stands alone is one.
func (s *splitter) signs(i int) int {
	start := i
	var last rune
	run := 0
	for i < len(s.text) && !s.done {
		r, size := utf8.DecodeRuneInString(s.text[i:])
		if silent(r) {
			i += size
			continue
		}
		if !unspaced(r) {
			break
		}
		run++
		if s.single {
			s.emit(Term{Text: string(r), At: s.at, Beside: true})
		}
		if run > 1 {
			s.emit(Term{Text: string([]rune{last, r}), At: s.at - 1})
		}
		s.at++
		last = r
		i += size
	}
	if run == 1 {
		s.emit(Term{Text: string(last), At: s.at - 1})
	}
	if i == start {
		i++
	}
	return i
}

// cut bounds a term, at a rune.
func cut(term string) string {
	if len(term) <= maxTerm {
		return term
	}
	n := maxTerm
	for n > maxTerm-utf8.UTFMax && !utf8.RuneStart(term[n]) {
		n--
	}
	return strings.Clone(term[:n])
}
