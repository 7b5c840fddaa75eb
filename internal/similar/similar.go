// Package similar decides whether the answer to one question may stand in for the
// answer to another one.
//
// Two texts that are near each other in any vector space may ask opposite things:
// "enable" and "disable" stand in the same places. So nearness is only the first
// condition. A text is read into terms, what is left of it when courtesy, frames and
// endings are gone that change nothing; guards then compare the terms, and whatever
// differs refuses. The guards are strict on purpose: a refusal costs a generation, a
// wrong hit costs trust.
//
// Which answers may be kept at all is decided in package reuse.
package similar

import (
	"slices"
	"strings"
	"unicode"

	"headworks/internal/chunk"
)

// Version names the rules of this package. What was learnt of the quality of hits
// under other rules counts no longer.
const Version = 2

// Question is a text as it is compared.
type Question struct {
	Text string

	terms    []token
	plain    string // the terms, in one string
	mode     mode
	why      bool // and why, it asks at its end
	tokens   int  // as chunk.Tokens estimates them
	moving   string
	personal bool
	scripts  uint16
}

// Read reads a text.
func Read(text string) *Question {
	q := &Question{Text: text, tokens: chunk.Tokens(text), scripts: scriptsOf(text)}
	q.terms, q.mode = canonical(text)
	if n := len(q.terms); n > 3 && q.terms[n-1].text == "why" && q.mode == free {
		q.terms, q.why = q.terms[:n-1], true
	}
	q.plain = joinTerms(q.terms)
	q.moving = movingWord(text)
	q.personal = Personal(text)
	return q
}

func joinTerms(terms []token) string {
	var b strings.Builder
	for i := range terms {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(terms[i].text)
	}
	return b.String()
}

// Guard is what keeps an answer from standing in for another one.
type Guard uint8

// The guards, in the order in which they are asked.
const (
	Same     Guard = iota // none: the questions are the same
	Number                // a number, date, version, unit or amount differs
	Negation              // one says not what the other says
	Antonym               // one says the opposite
	Entity                // a name, a quotation, code, a path or an address differs
	Class                 // one asks how, the other why
	Stem                  // a word that matters stands on one side alone
	Order                 // the same words in another order
	Time                  // what is right changes from day to day
	Language              // another script, or much longer
	guards
)

// String names a guard.
func (g Guard) String() string {
	return [...]string{"same", "number", "negation", "antonym", "entity", "question", "stem", "order", "time", "language"}[min(g, guards-1)]
}

// Compare returns the first guard that keeps the answer to b from standing in for the
// answer to a, or Same.
func Compare(a, b *Question) Guard {
	for _, g := range [...]struct {
		guard Guard
		holds func(a, b *Question) bool
	}{
		{Time, timeless},
		{Language, sameLanguage},
		{Number, sameNumbers},
		{Negation, sameNegation},
		{Antonym, noAntonyms},
		{Entity, sameEntities},
		{Class, sameClass},
		{Stem, sameStems},
		{Order, sameOrder},
	} {
		if !g.holds(a, b) {
			return g.guard
		}
	}
	return Same
}

// sameNumbers: "2 eggs" is not "3 eggs", 1,000 is 1000 and two is 2.
func sameNumbers(a, b *Question) bool {
	return equalSets(a, b, func(t *token) bool { return strings.HasPrefix(t.text, "#") || t.text == "one" || t.text == "#1" }, func(t *token) string {
		if t.text == "one" {
			return "#1"
		}
		return t.text
	})
}

// sameNegation: as many words of the same kind that say no, and no word beside its
// own negation by a prefix.
func sameNegation(a, b *Question) bool {
	if !equalSets(a, b, func(t *token) bool { return negators[t.text] }, text) {
		return false
	}
	return !negates(a, b) && !negates(b, a)
}

// negates reports whether a word of a is the negation of a word of b that a lacks.
func negates(a, b *Question) bool {
	for i := range a.terms {
		for _, prefix := range prefixes {
			stem, ok := strings.CutPrefix(a.terms[i].text, prefix)
			if ok && len(stem) > 2 && has(b, stem) && !has(a, stem) && !has(b, a.terms[i].text) {
				return true
			}
		}
		if stem, ok := strings.CutSuffix(a.terms[i].text, "less"); ok && has(b, stem+"ful") {
			return true
		}
	}
	return false
}

func has(q *Question, word string) bool {
	return slices.ContainsFunc(q.terms, func(t token) bool { return t.text == word })
}

// noAntonyms: no word on one side whose opposite stands on the other side instead.
func noAntonyms(a, b *Question) bool {
	opposite := func(a, b *Question) bool {
		for i := range a.terms {
			for _, o := range antonyms[base(a.terms[i].text)] {
				if hasBase(b, o) && !hasBase(a, o) {
					return true
				}
			}
		}
		return false
	}
	return !opposite(a, b) && !opposite(b, a)
}

func hasBase(q *Question, word string) bool {
	return slices.ContainsFunc(q.terms, func(t token) bool { return base(t.text) == word })
}

// sameEntities: what is quoted, code, a path or an address stands letter for letter
// on both sides.
func sameEntities(a, b *Question) bool {
	exact := func(t *token) bool { return t.exact && !plainQuote(t) }
	return equalSets(a, b, exact, func(t *token) string { return t.raw })
}

// plainQuote reports whether a token is a quoted word, which may stand without its
// quotes as well.
func plainQuote(t *token) bool { return t.quote && letters(t.raw) }

// sameClass: both ask what, or how, or whether something can be. An answer that also says
// why stands in for one that need not.
func sameClass(a, b *Question) bool {
	for i := range min(len(a.terms), len(b.terms)) {
		if x, y := a.terms[i].kind, b.terms[i].kind; x != y && x != nothing && y != nothing {
			return false
		}
	}
	return (b.why || !a.why) && equalSets(a, b, func(t *token) bool {
		return !t.exact && (questionWords[t.text] || strings.HasPrefix(t.text, "?"))
	}, text)
}

// sameStems: every term has its like on the other side.
func sameStems(a, b *Question) bool {
	if sameOrder(a, b) {
		return true
	}
	if len(a.terms) != len(b.terms) {
		return false
	}
	used := make([]bool, len(b.terms))
next:
	for i := range a.terms {
		for j := range b.terms {
			if !used[j] && (alike(&a.terms[i], &b.terms[j]) || action(&a.terms[i], &b.terms[j])) {
				used[j] = true
				continue next
			}
		}
		return false
	}
	return true
}

// sameOrder: the terms stand in the same order, since who does what to whom is said by
// nothing else.
func sameOrder(a, b *Question) bool {
	i, j := 0, 0
	for i < len(a.terms) && j < len(b.terms) {
		switch {
		case alike(&a.terms[i], &b.terms[j]),
			i > 0 && takesVerb[a.terms[i-1].text] && action(&a.terms[i], &b.terms[j]):
			i, j = i+1, j+1
		case joined(a.terms[i:], &b.terms[j]):
			i, j = i+2, j+1
		case joined(b.terms[j:], &a.terms[i]):
			i, j = i+1, j+2
		default:
			return false
		}
	}
	return i == len(a.terms) && j == len(b.terms)
}

// joined reports whether a word is two others written as one: cut off, cutoff.
func joined(two []token, one *token) bool {
	return len(two) > 1 && !one.exact && !two[0].exact && !two[1].exact && len(two[0].text) > 2 && len(two[1].text) > 2 &&
		!apart[two[0].text] && upper(one.raw) == "" && upper(two[0].raw) == "" && upper(two[1].raw) == "" && two[0].text+two[1].text == one.text
}

// timeless: what is asked is as right tomorrow.
func timeless(a, b *Question) bool { return a.moving == "" && b.moving == "" }

// sameLanguage: the same scripts, and none more than twice as long as the other.
func sameLanguage(a, b *Question) bool {
	return a.scripts == b.scripts && a.tokens <= 2*b.tokens && b.tokens <= 2*a.tokens
}

// alike reports whether two terms mean the same.
func alike(a, b *token) bool {
	switch {
	case a.quote && b.quote:
		return a.raw == b.raw
	case a.exact && b.exact && !plainQuote(a) && !plainQuote(b):
		return a.raw == b.raw
	case a.which != b.which && a.which != unsaid && b.which != unsaid:
		return false
	case a.text == b.text:
		return sameCase(a, b)
	case a.exact || b.exact:
		return false
	case a.text == "one" || b.text == "one":
		return a.text == "#1" || b.text == "#1"
	}
	return false
}

// sameCase reports whether a word is written alike in both questions: Turkey is no turkey
// and AIDS no aids. A capital at the beginning of a sentence says nothing beside another
// beginning, nor where the word is one that frames are made of.
func sameCase(a, b *token) bool {
	x, y := upper(a.raw), upper(b.raw)
	switch {
	case x == y, a.text[0] == '#', a.rewritten() && b.rewritten(), !a.exact && (a.raw == "I" || b.raw == "I"):
		return true
	case a.first && b.first:
		return !a.shout() && !b.shout()
	case y == "" && a.first && !a.shout(), x == "" && b.first && !b.shout():
		return function[a.text] || questionWords[a.text] || orders[a.text] || articles[a.text] || a.text[0] == '?'
	}
	return x == "" && b.rewritten() || y == "" && a.rewritten()
}

// rewritten reports whether a term is no word of the text, but what a rule made of one.
func (t *token) rewritten() bool {
	return !t.exact && !strings.HasPrefix(strings.ToLower(t.raw), t.text) && singular(strings.ToLower(t.raw)) != t.text
}

// upper returns a word that has capitals, without the ending that marks an owner or many;
// nothing where it has none.
func upper(raw string) string {
	if raw == strings.ToLower(raw) {
		return ""
	}
	return strings.TrimSuffix(raw, "'s")
}

// action reports whether one of two terms is the other in -ing. It holds where a verb
// is bound to stand: elsewhere marketing is no market.
func action(a, b *token) bool {
	if a.exact || b.exact || a.name || b.name {
		return false
	}
	return gerund(a.text, b.text) || gerund(b.text, a.text)
}

// takesVerb are terms behind which a verb stands, with -ing or without.
var takesVerb = set(`how-to where-to stop start keep avoid quit continue like`)

// gerund reports whether a is b in -ing.
func gerund(a, b string) bool {
	stem, ok := cutGerund(a)
	if !ok {
		return false
	}
	n := len(stem)
	return b == stem || b == stem+"e" || stem[n-1] == stem[n-2] && b == stem[:n-1]
}

// cutGerund cuts -ing from a word that is a verb's form.
func cutGerund(w string) (string, bool) {
	stem, ok := strings.CutSuffix(w, "ing")
	return stem, ok && len(stem) >= 3 && !notGerunds[w]
}

// base returns a word without the commonest endings, to look antonyms up.
func base(w string) string {
	w = singular(w)
	for _, tail := range [...]string{"ing", "ed", "ly", "e"} {
		if stem, ok := strings.CutSuffix(w, tail); ok && len(stem) > 2 {
			return stem
		}
	}
	return w
}

func text(t *token) string { return t.text }

// equalSets reports whether two questions have the same terms of a kind, each as often.
func equalSets(a, b *Question, kind func(*token) bool, name func(*token) string) bool {
	return slices.Equal(list(a, kind, name), list(b, kind, name))
}

func list(q *Question, kind func(*token) bool, name func(*token) string) []string {
	var all []string
	for i := range q.terms {
		if kind(&q.terms[i]) {
			all = append(all, name(&q.terms[i]))
		}
	}
	slices.Sort(all)
	return all
}

// scriptsOf returns which scripts a text is written in.
func scriptsOf(text string) uint16 {
	var s uint16
	for _, r := range text {
		if r < 0x80 || !unicode.IsLetter(r) {
			if unicode.IsLetter(r) {
				s |= 1
			}
			continue
		}
		s |= 1 << 15
		for i, table := range scripts {
			if unicode.Is(table, r) {
				s = s&^(1<<15) | 1<<i
				break
			}
		}
	}
	return s
}

var scripts = [...]*unicode.RangeTable{
	unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Arabic, unicode.Hebrew, unicode.Devanagari, unicode.Thai,
	unicode.Hangul, unicode.Hiragana, unicode.Katakana, unicode.Han,
}
