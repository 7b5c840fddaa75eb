package similar

import (
	"slices"
	"strings"
)

// A rule replaces a phrase by another one that means the same. Alternatives stand
// between strokes, a word with a question mark may be missing, ^ is the beginning of
// a sentence and $ its end; =2 is the second word that was found.
type rule struct {
	from []alternative
	to   []string
	head bool // only at the beginning
	tail bool // only at the end
}

type alternative struct {
	words    []string
	optional bool
}

func (a *alternative) holds(t *token) bool {
	if t.exact || t.shout() || t.name && !places[t.text] {
		return false
	}
	return slices.Contains(a.words, t.text)
}

// rules reads a table: one rule a line, "from -> to".
func rules(table string) []rule {
	var list []rule
	for line := range strings.Lines(table) {
		from, to, ok := strings.Cut(strings.TrimSpace(line), "->")
		if !ok {
			continue
		}
		var r rule
		for field := range strings.FieldsSeq(from) {
			switch field {
			case "^":
				r.head = true
				continue
			case "$":
				r.tail = true
				continue
			}
			word, optional := strings.CutSuffix(field, "?")
			var all []string
			for w := range strings.SplitSeq(word, "|") {
				if set, ok := sets[w]; ok {
					all = append(all, strings.Fields(set)...)
					continue
				}
				all = append(all, w)
			}
			r.from = append(r.from, alternative{all, optional})
		}
		r.to = strings.Fields(to)
		list = append(list, r)
	}
	return list
}

// at returns how many tokens a rule covers at the beginning of some, or -1.
func (r *rule) at(in []token) int {
	i := 0
	for f := range r.from {
		a := &r.from[f]
		if i < len(in) && a.holds(&in[i]) {
			i++
			continue
		}
		if !a.optional {
			return -1
		}
	}
	if i == 0 || r.tail && i < len(in) {
		return -1
	}
	return i
}

// apply rewrites some tokens by the first rule that fits at each place, and again
// where something was replaced at the beginning of the sentence, since one courtesy
// often follows another.
func apply(list []rule, in []token) []token {
	for i, times := 0, 0; i < len(in); {
		n, r := match(list, in, i)
		if n < 0 || times > 64 {
			i++
			continue
		}
		times++
		out := make([]token, 0, len(in)+len(r.to))
		out = append(out, in[:i]...)
		for _, w := range r.to {
			if w[0] == '=' {
				out = append(out, in[i+int(w[1]-'1')])
				continue
			}
			out = append(out, token{text: w, raw: w})
		}
		if len(r.to) > 0 {
			out[len(out)-1].pause, out[len(out)-1].asks = in[i+n-1].pause, in[i+n-1].asks
		}
		in = append(out, in[i+n:]...)
		if r.head {
			continue
		}
		i += len(r.to)
	}
	return in
}

func match(list []rule, in []token, i int) (int, *rule) {
	for k := range list {
		r := &list[k]
		if r.head && i > 0 {
			continue
		}
		if n := r.at(in[i:]); n > 0 {
			return n, r
		}
	}
	return -1, nil
}

// contractions writes short forms out and mends the commonest slips.
func contractions(in []token) []token {
	out := make([]token, 0, len(in)+2)
	add := func(t token, words ...string) {
		for _, w := range words {
			n := t
			n.text, n.raw, n.name = w, w, false
			n.pause, n.asks = false, false
			out = append(out, n)
		}
		out[len(out)-1].pause, out[len(out)-1].asks = t.pause, t.asks
	}
	for _, t := range in {
		w := t.text
		if t.exact || t.name && !strings.Contains(w, "'") {
			out = append(out, t)
			continue
		}
		if full := short[w]; full != "" {
			add(t, strings.Fields(full)...)
			continue
		}
		stem, tail, ok := strings.Cut(w, "'")
		if !ok {
			out = append(out, t)
			continue
		}
		switch {
		case tail == "t" && strings.HasSuffix(stem, "n"):
			add(t, strings.TrimSuffix(stem, "n"), "not")
		case tail == "re":
			add(t, stem, "are")
		case tail == "ve":
			add(t, stem, "have")
		case tail == "ll":
			add(t, stem, "will")
		case tail == "m":
			add(t, stem, "am")
		case tail == "s" && copular[stem]:
			add(t, stem, "is")
		case tail == "s" || tail == "":
			n := t
			n.text, n.raw, n.pause, n.asks = stem, n.raw[:len(stem)], false, false
			out = append(out, n)
			out = append(out, token{text: "'s", raw: "'s", pause: t.pause, asks: t.asks})
		default:
			t.text = strings.ReplaceAll(w, "'", "")
			out = append(out, t)
		}
	}
	return out
}

// possessives turns "France's capital" into "capital of France", as far as the owner
// is one word or a run of names, and the thing one word.
func possessives(in []token) []token {
	for i := 1; i+1 < len(in); i++ {
		if in[i].text != "'s" || in[i].pause || in[i+1].exact {
			continue
		}
		from := i - 1
		for from > 0 && in[i-1].name && in[from-1].name {
			from--
		}
		for back := 1; back <= 3 && i-1-back >= 0 && !function[in[i-back].text]; back++ {
			if determiners[in[i-1-back].text] {
				from = i - 1 - back
				break
			}
		}
		thing := i + 1
		for thing+1 < len(in) && !in[thing].pause && !in[thing+1].exact && in[thing+1].text != "'s" && !function[in[thing+1].text] && !questionWords[in[thing+1].text] && thing < i+3 {
			thing++
		}
		out := append([]token{}, in[:from]...)
		out = append(out, token{text: "the", raw: "the"})
		out = append(out, in[i+1:thing+1]...)
		out = append(out, token{text: "of", raw: "of"})
		out = append(out, in[from:i]...)
		out[len(out)-1].pause = in[thing].pause
		in = append(out, in[thing+1:]...)
	}
	return in
}

// Reading modes. What a text says about words themselves must keep them.
type mode uint8

const (
	free    mode = iota // all rewriting
	careful             // no synonyms, spellings or endings: two words are compared
	literal             // nothing but courtesy, case and the last mark
)

func modeOf(sentences [][]token, text string) mode {
	if !english(sentences) {
		return literal
	}
	m := free
	count := 0
	for _, s := range sentences {
		for i := range s {
			count++
			if s[i].quote || s[i].exact {
				continue
			}
			switch {
			case aboutWords[s[i].text], i == 0 && edits[s[i].text], s[i].text == "say" && i > 0 && generic[s[i-1].text]:
				return literal
			case compares[s[i].text]:
				m = careful
			}
		}
	}
	// A line break, or a colon with text behind it, brings text to work on.
	if count > longText || strings.Contains(strings.TrimSpace(text), "\n") || colon(text, sentences) {
		return literal
	}
	return m
}

// longText is how many tokens a text may have that is read as a question. What is
// longer carries matter of its own.
const longText = 60

// colon reports whether a colon brings a text to work on: neither one in a question, as
// in "Which is better: A or B?", nor one behind its topic, as in "India: What is ...".
func colon(text string, sentences [][]token) bool {
	i := strings.IndexByte(text, ':')
	if i < 0 || i+1 >= len(text) || text[i+1] != ' ' {
		return false
	}
	first := sentences[0][0].text
	if questionWords[first] || first == "which" {
		return false
	}
	after := split(text[i+1:])
	asked := len(after) > 0 && (questionWords[after[0][0].text] || after[0][0].text == "which")
	return len(after) > 0 && !(asked && len(strings.Fields(text[:i])) <= 3 && !edits[first] && !orders[first])
}

// canonical returns the terms of a text: what is left of it when everything is gone
// that does not change what is asked, in the order in which it stands.
func canonical(text string) (terms []token, m mode) {
	sentences := split(text)
	m = modeOf(sentences, text)
	for _, s := range sentences {
		if len(s) == 1 && len(sentences) > 1 && (greetings[s[0].text] || s[0].text == "thanks") {
			continue
		}
		s = apply(courtesies, greet(contractions(s)))
		if len(s) == 0 {
			continue
		}
		s = toMe(s)
		if m != literal {
			s = question(s, m)
		}
		terms = append(terms, s...)
	}
	return terms, m
}

// greet takes a greeting from the beginning of a sentence, as far as a pause sets it
// off: "Hello world in Go" greets nobody.
func greet(s []token) []token {
	for i := 0; i < min(len(s)-1, 2); i++ {
		if s[i].exact || !greetings[s[i].text] {
			break
		}
		if s[i].pause {
			return s[i+1:]
		}
	}
	return s
}

// toMe takes "for me" from the end of what somebody is told to do.
func toMe(s []token) []token {
	n := len(s)
	if n > 3 && orders[s[0].text] && (s[n-1].text == "me" || s[n-1].text == "us") && (s[n-2].text == "to" || s[n-2].text == "for") {
		return s[:n-2]
	}
	return s
}

// question reads one sentence.
func question(s []token, m mode) []token {
	if m == free {
		for i := range s {
			if !s[i].exact && !s[i].name {
				s[i].text = spelling(s[i].text)
			}
		}
	}
	s = possessives(numberWords(s))
	s = apply(idioms, s)
	s = polar(s)
	who := subject(s)
	def := kindOf(s)
	s = apply(phrases, s)
	if def != nothing && len(s) > 0 && questionWords[s[0].text] && s[0].text != "how-to" {
		s[0].kind = def
	}
	if m == free {
		s = apply(synonyms, s)
	}
	s = fragment(s)
	s = purpose(symmetric(relation(superlative(having(meaning(s))))))
	s = agree(s, who)
	return drop(s, m)
}

// which tells "the doctor" from "a doctor".
type which uint8

const (
	unsaid which = iota
	known
	some
)

// kind tells "what is a test" from "what are some tests": one wants to know what it is, the
// other wants some; and "what is the best city" from "what are the best cities".
type kind uint8

const (
	nothing kind = iota
	meant
	listed
	single
	several
)

func kindOf(s []token) kind {
	switch {
	case len(s) < 3 || s[0].text != "what" && s[0].text != "who":
	case s[1].text == "is" && (s[2].text == "the" || s[2].text == "one"):
		return single
	case s[1].text == "are" && s[2].text == "the":
		return several
	case s[0].text == "who":
	case s[1].text == "is" && (articles[s[2].text] || !function[s[2].text]):
		return meant
	case s[1].text == "are" && s[2].text == "some":
		return listed
	case s[1].text == "are":
		return several
	}
	return nothing
}

// polar marks a yes/no question by its auxiliary, which it puts first: whether X is
// Y becomes is X Y.
func polar(s []token) []token {
	if len(s) < 2 || s[0].exact {
		return s
	}
	if class := auxiliaries[s[0].text]; class != "" {
		s[0].text = class
		return s
	}
	if s[0].text != "if?" {
		return s
	}
	for i := 1; i < len(s); i++ {
		if class := auxiliaries[s[i].text]; class != "" && !s[i].exact {
			out := append([]token{{text: class, raw: s[i].raw}}, s[1:i]...)
			return append(out, s[i+1:]...)
		}
	}
	s[0].text = "?do"
	return s
}

// english reports whether a text is more English than anything else of which a few words
// are known: the rules are for that language alone.
func english(sentences [][]token) bool {
	ours, others := 0, 0
	for _, s := range sentences {
		for i := range s {
			switch w := s[i].text; {
			case s[i].exact:
			case foreign[w]:
				others++
			case function[w], questionWords[w], w == "is", w == "are", w == "which", orders[w], w == "please", w == "my", w == "of", w == "what's":
				ours++
			case !ascii(w):
				others++
			}
		}
	}
	return ours > others
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// having turns "what symptoms does X have" into "what symptoms of X".
func having(s []token) []token {
	n := len(s)
	if n < 5 || s[n-1].text != "have" || s[0].text != "what" && s[0].text != "how" {
		return s
	}
	for i := 2; i < n-2 && i < 6; i++ {
		if s[i].text == "does" || s[i].text == "do" {
			if persons[s[i+1].text] {
				return s
			}
			out := append([]token{}, s[:n-1]...)
			out[i].text, out[i].raw = "of", "of"
			return out
		}
		if function[s[i].text] {
			return s
		}
	}
	return s
}

// relation turns "how far is A from B" and "how does A differ from B" into the distance
// and the difference between the two.
func relation(s []token) []token {
	if len(s) < 5 || s[0].text != "how" {
		return s
	}
	frame := func(from int, what string, at, to int) []token {
		out := []token{{text: "what", raw: "what"}, {text: what, raw: what}, {text: "between", raw: "between"}}
		out = append(out, s[from:at]...)
		out = append(out, token{text: "and", raw: "and"})
		return append(out, s[to:]...)
	}
	find := func(words ...string) int {
		for i := 2; i+len(words) < len(s); i++ {
			ok := true
			for j, w := range words {
				ok = ok && s[i+j].text == w
			}
			if ok {
				return i
			}
		}
		return -1
	}
	aux := func(i int) bool {
		return s[i].text == "is" || s[i].text == "are" || s[i].text == "do" || s[i].text == "does"
	}
	if s[1].text == "far" && aux(2) {
		if i := find("from"); i > 3 && s[3].text != "it" {
			return frame(3, "distance", i, i+1)
		}
	}
	if aux(1) {
		if i := find("differ", "from"); i > 2 {
			return frame(2, "difference", i, i+2)
		}
		if i := find("different", "from"); i > 2 {
			return frame(2, "difference", i, i+2)
		}
	}
	return s
}

// meaning turns "what does X mean" and "what does X stand for" into "what is the meaning
// of X".
func meaning(s []token) []token {
	n := len(s)
	if n == 5 && s[2].shout() && s[n-2].text == "stand" && s[n-1].text == "for" {
		s = append(append([]token{}, s[:n-2]...), token{text: "mean", raw: "mean"})
		n--
	}
	if n < 4 || s[0].text != "what" || s[n-1].text != "mean" || s[1].text != "does" && s[1].text != "do" || persons[s[2].text] {
		return s
	}
	out := append([]token{s[0]}, token{text: "meaning", raw: "meaning"}, token{text: "of", raw: "of"})
	return append(out, s[2:n-1]...)
}

// superlative turns "which phone is best for X" into "what is the best phone for X".
func superlative(s []token) []token {
	if len(s) < 4 || s[0].text != "what" {
		return s
	}
	for i := 1; i < len(s) && i <= 5; i++ {
		switch {
		case s[i].exact || function[s[i].text]:
			return s
		case s[i].text != "is" && s[i].text != "are":
			continue
		}
		j := i + 1
		for j < len(s) && articles[s[j].text] {
			j++
		}
		if i == 1 || j >= len(s) || s[j].text != "best" {
			return s
		}
		out := append([]token{s[0], s[j]}, s[1:i]...)
		return append(out, s[j+1:]...)
	}
	return s
}

// symmetric puts the two sides of a comparison in order that asks the same either way:
// the difference between B and A is that between A and B.
func symmetric(s []token) []token {
	from, and := -1, -1
	for i := range s {
		switch w := s[i].text; {
		case w == "between":
			if from >= 0 {
				return s
			}
			from = i + 1
		case from >= 0 && w == "and":
			if and >= 0 {
				return s
			}
			and = i
		case from >= 0 && function[w] && !articles[w]:
			return s
		}
	}
	if from < 2 || and < 0 || and == len(s)-1 || !mutual[s[from-2].text] {
		return s
	}
	left, right := s[from:and], s[and+1:]
	if compareTerms(left, right) <= 0 {
		return s
	}
	out := append([]token{}, s[:from]...)
	out = append(out, right...)
	out = append(out, s[and])
	return append(out, left...)
}

func compareTerms(a, b []token) int {
	content := func(s []token) string {
		var w []string
		for i := range s {
			if !articles[s[i].text] {
				w = append(w, s[i].text)
			}
		}
		return strings.Join(w, " ")
	}
	return strings.Compare(content(a), content(b))
}

// fragment says what of a question that leaves it out: "Meaning of life?"
func fragment(s []token) []token {
	if len(s) == 0 || !s[len(s)-1].asks || s[0].exact || orders[s[0].text] || function[s[0].text] && !articles[s[0].text] || s[0].text[0] == '?' {
		return s
	}
	for i := range s {
		if questionWords[s[i].text] || s[i].text == "is" || s[i].text == "are" {
			return s
		}
	}
	return append([]token{{text: "what", raw: "what"}}, s...)
}

// purpose turns "for learning" into "to learning", which is alike "to learn".
func purpose(s []token) []token {
	for i := range s {
		if (s[i].text == "for" || s[i].text == "like" && i > 0 && s[i-1].text == "it") && !s[i].exact && i+1 < len(s) && strings.HasSuffix(s[i+1].text, "ing") && !s[i+1].name && !notGerunds[s[i+1].text] {
			if s[i].text == "for" {
				s[i].text = "to"
				continue
			}
			rest := append([]token{{text: "to", raw: "to"}}, s[i+1:]...)
			return append(s[:i+1:i+1], rest...)
		}
	}
	return s
}

// subject returns who a question about doing something speaks of: how do I, where can
// you; nothing where it is nobody, as in how to.
func subject(s []token) string {
	for _, t := range s[:min(len(s), 5)] {
		if owners[t.text] != "" && !t.exact {
			return t.text
		}
	}
	return ""
}

// agree takes out the possessive of whoever asks about doing something: how do I
// improve my English is how to improve English. It leaves those of others, and all of
// them where a second person is spoken of.
func agree(s []token, who string) []token {
	if len(s) == 0 || s[0].text != "how-to" && s[0].text != "where-to" {
		return s
	}
	for i := range s {
		if persons[s[i].text] && !s[i].exact {
			return s
		}
	}
	out := make([]token, 0, len(s))
	for _, t := range s {
		if own := strings.Fields(owners[who]); !t.exact && slices.Contains(own, t.text) {
			continue
		}
		if own := strings.Fields(reflexives[who]); !t.exact && slices.Contains(own, t.text) {
			t.text = "oneself"
		}
		out = append(out, t)
	}
	return out
}

// drop takes out the words that say nothing by themselves and cuts plural endings.
func drop(s []token, m mode) []token {
	out := make([]token, 0, len(s))
	before := unsaid
	for i, t := range s {
		t.which, before = before, unsaid
		if t.exact || t.quote {
			out = append(out, t)
			continue
		}
		next := ""
		if i+1 < len(s) {
			next = s[i+1].text
		}
		switch {
		case t.name:
		case t.text == "the":
			before = known
			continue
		case t.text == "a" && i > 0 && lettered[s[i-1].text]:
		case articles[t.text]:
			before = some
			continue
		case i > 0 && (t.text == "is" || t.text == "are" || t.text == "am") && !participle(next):
			continue
		case i > 0 && next != "" && (t.text == "do" || t.text == "does") && auxiliaryAfter[s[i-1].text]:
			continue
		case m == careful && t.text == "differences":
			t.text = "difference"
		case t.text == "there" && len(s) > 1 && s[0].text == "how" && (s[1].text == "many" || s[1].text == "much"):
			continue
		}
		if m == free && !t.name {
			t.text = singular(t.text)
		}
		out = append(out, t)
	}
	return out
}

// participle reports whether a word may be said of somebody to whom something is done:
// who is left is not who left.
func participle(w string) bool {
	return strings.HasSuffix(w, "ed") || strings.HasSuffix(w, "en") || strings.HasSuffix(w, "ing") || strings.HasSuffix(w, "wn") || participles[w]
}
