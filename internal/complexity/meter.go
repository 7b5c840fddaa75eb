package complexity

import (
	"unicode/utf8"

	"headworks/internal/inference"
)

// Meter takes a prompt as dialects render it, piece by piece as raw JSON, and finds
// the features of its last question. It keeps the pieces that it was given until
// Features, and copies nothing. The zero Meter is ready.
type Meter struct {
	turns  int32
	others bool // the turn that is being written is not the user's
	pieces [maxPieces][]byte
	n      int
	bytes  int // of the last question, kept or not
}

const (
	maxPieces = 8
	maxLook   = 2 << 10 // bytes at each end of a question that are looked at
)

// Reset makes m ready for another prompt.
func (m *Meter) Reset() { *m = Meter{} }

// Write adds a piece: the name of a role, a text, or something else in JSON.
func (m *Meter) Write(p []byte) {
	if len(p) < 2 || p[0] != '"' {
		return // tools, arguments of calls, null
	}
	switch string(p) {
	case `"user"`:
		m.turns++
		m.others, m.n, m.bytes = false, 0, 0
		return
	case `"assistant"`, `"model"`, `"system"`, `"developer"`, `"tool"`, `"function"`:
		m.others = true
		return
	}
	if m.others {
		return
	}
	m.bytes += len(p) - 2
	if m.n < maxPieces {
		m.pieces[m.n] = p[1 : len(p)-1]
		m.n++
	}
}

// Weigh adds what is no text.
func (m *Meter) Weigh([]byte, int) {}

// Features returns what was found.
func (m *Meter) Features() inference.Features {
	l := look{line: true}
	seen := 0
	left := maxLook
	for _, p := range m.pieces[:m.n] {
		if len(p) <= 2*left {
			l.text(p)
			seen += len(p)
			left -= min(left, len(p)/2)
			continue
		}
		l.text(p[:left])
		l.between()
		l.text(p[len(p)-left:])
		seen += 2 * left
		left = 0
	}
	l.between()
	f := l.f
	f.Words += l.east / 2
	f.Known, f.Turns = true, max(m.turns, 1)
	if seen > 0 && m.bytes > seen { // the middle is taken to be as the ends are
		for _, n := range [...]*int32{&f.Words, &f.Clauses, &f.Logic, &f.Math, &f.Items} {
			*n = int32(min(float64(*n)*float64(m.bytes)/float64(seen), 1<<30))
		}
	}
	f.Code = (l.fences + 1) / 2
	for s := l.scripts; s != 0; s &= s - 1 {
		f.Scripts++
	}
	return f
}

// look is one pass over a text.
type look struct {
	f       inference.Features
	word    [maxWord]byte // the one that is being read, in lower case
	length  int           // of it, maxWord and more: none that is known
	line    bool          // nothing but space so far in this line
	ticks   int
	fences  int32
	scripts uint8 // those seen
	east    int32 // characters of which about two are a word
}

const maxWord = 12

// The writing systems that are told apart.
const (
	latin = 1 << iota
	greek
	cyrillic
	semitic // Hebrew, Arabic
	indic
	eastern // Chinese, Japanese, Korean
)

// text looks at a piece of a JSON string, without its quotes.
func (l *look) text(p []byte) {
	for i := 0; i < len(p); i++ {
		c := p[i]
		if c == '\\' && i+1 < len(p) {
			i++
			switch p[i] {
			case 'n', 'r':
				c = '\n'
			case 't':
				c = ' '
			case 'u':
				if i+4 < len(p) {
					l.letter(unhex(p[i+1])<<12 | unhex(p[i+2])<<8 | unhex(p[i+3])<<4 | unhex(p[i+4]))
					i += 4
				}
				continue
			default:
				c = p[i]
			}
		}
		switch {
		case c|0x20-'a' < 26:
			n := l.length
			for {
				if n < maxWord {
					l.word[n] = c | 0x20
				}
				n++
				if i+1 == len(p) || p[i+1]|0x20-'a' >= 26 {
					break
				}
				i++
				c = p[i]
			}
			l.length = n
			l.scripts |= latin
			l.line, l.ticks = false, 0
		case c == ' ':
			l.between()
			l.ticks = 0
		case c >= 0x80:
			r, n := utf8.DecodeRune(p[i:])
			i += n - 1
			l.letter(r)
		case '0' <= c && c <= '9':
			l.digit(p[i+1:])
		default:
			l.mark(c, p[i+1:])
		}
	}
}

// mark looks at what is neither letter nor digit, and at what follows it.
func (l *look) mark(c byte, next []byte) {
	l.between()
	spaced := len(next) == 0 || next[0] == ' ' || next[0] == '\n' || next[0] == '\\' || next[0] == '"'
	switch c {
	case '\n':
		l.line, l.ticks = true, 0
		return
	case ' ':
		l.ticks = 0
		return
	case ',', ';', ':', '.', '!':
		if spaced {
			l.f.Clauses++
		}
	case '?':
		l.f.Questions++
		l.f.Clauses++
	case '`':
		if l.ticks++; l.ticks == 3 {
			l.fences++
		}
		l.line = false
		return
	case '-', '*':
		switch {
		case l.line && spaced:
			l.f.Items++
		case number(next):
			l.f.Math++
		}
	case '/':
		if number(next) {
			l.f.Math++
		}
	case '+', '=', '<', '>', '^':
		l.f.Math++
	}
	l.line, l.ticks = false, 0
}

// number reports whether a number follows, or a bracket: - and / are more often
// punctuation than operators.
func number(next []byte) bool {
	if len(next) > 1 && next[0] == ' ' {
		next = next[1:]
	}
	return len(next) > 0 && ('0' <= next[0] && next[0] <= '9' || next[0] == '(')
}

// digit looks at a digit: with a dot or a bracket behind it, at the beginning of a
// line, it opens an item.
func (l *look) digit(next []byte) {
	if l.line && len(next) > 1 && (next[0] == '.' || next[0] == ')') && next[1] == ' ' {
		l.f.Items++
	}
	l.length = max(l.length, maxWord) // a word, and none that is known
	l.line, l.ticks = false, 0
}

// letter looks at a character beyond ASCII.
func (l *look) letter(r rune) {
	l.line, l.ticks = false, 0
	switch {
	case r < 0x80, 0x2000 <= r && r < 0x2190 || r == 0xa0: // spaces, quotes, dashes
		l.between()
	case 0x2190 <= r && r < 0x2300 || r == 0xd7 || r == 0xf7 || r == 0xb1: // arrows and operators
		l.between()
		l.f.Math++
	case 0x2e80 <= r && r < 0xe000: // about two characters a word
		l.between()
		switch r {
		case 0x3001, 0x3002:
			l.f.Clauses++
		default:
			l.scripts |= eastern
			l.east++
		}
	case r == 0xff1f:
		l.f.Questions++
		l.f.Clauses++
	case r == 0xff0c, r == 0xff1a, r == 0xff1b, r == 0xff01:
		l.f.Clauses++
	default:
		l.length = max(l.length+1, maxWord)
		switch {
		case r < 0x250:
			l.scripts |= latin
		case 0x370 <= r && r < 0x400:
			l.scripts |= greek
		case 0x400 <= r && r < 0x530:
			l.scripts |= cyrillic
		case 0x590 <= r && r < 0x780:
			l.scripts |= semitic
		case 0x900 <= r && r < 0x1200:
			l.scripts |= indic
		}
	}
}

// unhex returns the value of a hexadecimal digit.
func unhex(c byte) rune {
	if c <= '9' {
		return rune(c - '0')
	}
	return rune(c|0x20-'a') + 10
}

// between ends the word that is being read, if there is one.
func (l *look) between() {
	if l.length == 0 {
		return
	}
	l.f.Words++
	if l.length <= maxWord {
		switch string(l.word[:l.length]) { // most words are told apart by length alone
		case "if", "unless", "suppose", "assume", "given", "let", "then", "therefore", "because", "since",
			"although", "however", "whether", "not", "except", "neither", "nor", "either", "both",
			"all", "every", "each", "any", "none", "only", "some", "must", "cannot", "than", "least", "most", "first", "second":
			l.f.Logic++
		case "explain", "compare", "prove", "derive", "analyze", "analyse", "evaluate", "design", "implement", "refactor",
			"debug", "optimize", "optimise", "solve", "compute", "calculate", "determine", "write", "create", "build",
			"summarize", "summarise", "translate", "rewrite", "plan", "justify", "describe", "list", "fix", "review":
			l.f.Verbs++
		}
	}
	l.length = 0
}
