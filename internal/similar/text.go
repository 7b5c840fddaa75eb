package similar

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// token is a piece of a text.
type token struct {
	text  string // in lower case; a number by its value, behind #
	raw   string // as it stands in the text
	exact bool   // code, quoted, a path, an id: nothing else stands for it
	quote bool   // it stands between quotes or backticks
	name  bool   // written with a capital inside a sentence
	first bool   // begins a sentence
	pause bool   // a comma or the like follows
	asks  bool   // a question mark follows
	kind  kind   // of a "what"
	which which  // the article before it
}

// shout reports whether a token is a word in capitals, so rather a name than what its
// letters say: ARE, NOT.
func (t *token) shout() bool { return t.name && len(t.raw) > 1 && t.raw == strings.ToUpper(t.raw) }

// bracket pairs of quotes. What stands between them is somebody's own words.
var quotes = []struct{ open, end string }{
	{"```", "```"}, {"`", "`"}, {`"`, `"`}, {"“", "”"}, {"„", "“"}, {"«", "»"}, {"‘", "’"}, {"'", "'"},
}

// split cuts a text into sentences of tokens. Bare full stops, question marks and
// exclamation marks end a sentence and are no tokens.
func split(text string) (sentences [][]token) {
	var now []token
	end := func() {
		if len(now) > 0 {
			sentences, now = append(sentences, now), nil
		}
	}
	for rest := text; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		if unicode.IsSpace(r) {
			rest = rest[size:]
			continue
		}
		if inside, after, ok := quoted(rest); ok {
			for w := range strings.FieldsSeq(inside) {
				now = append(now, token{text: strings.ToLower(w), raw: w, exact: true, quote: true})
			}
			rest = after
			continue
		}
		n := strings.IndexFunc(rest, unicode.IsSpace)
		if n < 0 {
			n = len(rest)
		}
		chunk := rest[:n]
		// A quote that begins inside a chunk begins the next one.
		if i := strings.IndexAny(chunk[size:], "`\"“«„"); i >= 0 {
			chunk = chunk[:size+i]
		}
		rest = rest[len(chunk):]
		core, before, after, ends := peel(chunk, strings.TrimLeftFunc(rest, unicode.IsSpace))
		sign := func(s string) {
			if s != "" {
				now = append(now, token{text: s, raw: s, exact: true})
			}
		}
		sign(before)
		if n := len(now); core != "" {
			now = appendChunk(now, core, n == 0)
			now[n].first = n == 0
		}
		sign(after)
		if len(now) > 0 {
			now[len(now)-1].pause = core != chunk
			now[len(now)-1].asks = strings.ContainsAny(chunk, "?？")
		}
		if ends {
			end()
		}
	}
	end()
	return sentences
}

// quoted returns what stands between quotes at the beginning of a text, and what
// follows them.
func quoted(s string) (inside, after string, ok bool) {
	for _, q := range quotes {
		if !strings.HasPrefix(s, q.open) {
			continue
		}
		body := s[len(q.open):]
		for at := 0; ; {
			i := strings.Index(body[at:], q.end)
			if i < 0 {
				break
			}
			i += at
			after = body[i+len(q.end):]
			r, _ := utf8.DecodeRuneInString(after)
			if (q.end != "'" && q.end != "’") || !unicode.IsLetter(r) && i > 0 {
				return body[:i], after, strings.TrimSpace(body[:i]) != ""
			}
			at = i + len(q.end)
		}
		return "", "", false
	}
	return "", "", false
}

const (
	opening = "([{\"'“‘«¿¡"
	around  = "([{\"'“‘«¿¡)]}”’»,.;:!?…。？！，、" // both
	closing = ")]}\"'”’»,.;:!?…。？！，、"
)

// peel takes the punctuation from around a chunk and reports whether it ends a
// sentence. Signs that are more than punctuation come back as before and after: brackets,
// signs that stand alone, signs after which a sentence goes on.
func peel(chunk, rest string) (core, before, after string, ends bool) {
	next, _ := utf8.DecodeRuneInString(rest)
	goesOn := rest != "" && !unicode.IsUpper(next)
	core = strings.TrimRight(chunk, closing)
	tail := chunk[len(core):]
	if strings.TrimLeft(core, opening) == "" {
		if strings.Trim(chunk, "?？") == "" && !goesOn || strings.Trim(chunk, "。？！，、") == "" {
			return "", "", "", true
		}
		return "", chunk, "", false
	}
	// C++., f(x), a[0] keep their brackets; s' is a possessive.
	if strings.HasPrefix(tail, "'") && strings.HasSuffix(core, "s") {
		core += "'s"
	}
	for _, pair := range []string{"()", "[]", "{}"} {
		if strings.HasPrefix(tail, pair[1:]) && strings.LastIndex(core, pair[:1]) > 0 {
			core, tail = core+pair[1:], tail[1:]
		}
	}
	whole := core
	core = strings.TrimLeft(core, opening)
	before = keep(whole[:len(whole)-len(core)], "([{")
	after = keep(tail, ")]}")
	if unicode.IsDigit(rune(core[len(core)-1])) {
		after += keep(tail, "'\"!’”")
	}
	ends = strings.ContainsAny(tail, ".!?。？！")
	if ends && !strings.ContainsAny(tail, "!?。？！") && abbreviation(core) {
		return core, before, after, false
	}
	if ends && goesOn {
		after += keep(tail, ".!?")
	}
	return core, before, after, ends
}

// keep returns those signs of a run that are in a set.
func keep(run, set string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(set, r) {
			return r
		}
		return -1
	}, run)
}

// abbreviation reports whether a full stop behind a word need not end a sentence.
func abbreviation(core string) bool {
	switch strings.ToLower(core) {
	case "dr", "mr", "mrs", "ms", "st", "vs", "etc", "e.g", "i.e", "eg", "no", "rs", "inc", "ltd", "jr", "sr", "prof", "approx", "fig", "u.s", "u.k":
		return true
	}
	return false
}

// appendChunk appends the tokens of a run without spaces.
func appendChunk(to []token, core string, first bool) []token {
	core = strings.ReplaceAll(core, "’", "'")
	if number := numberTokens(core); number != nil {
		return append(to, number...)
	}
	if code(core) {
		return append(to, token{text: strings.ToLower(core), raw: core, exact: true})
	}
	if dotted := undot(core); dotted != "" {
		if text := states[strings.ToUpper(dotted)]; text != "" {
			dotted = text
		}
		return append(to, token{text: dotted, raw: core, name: !first})
	}
	// Words joined by a hyphen or a stroke are the words.
	if i := strings.IndexAny(core, "-–—/"); i > 0 && i < len(core)-1 {
		_, size := utf8.DecodeRuneInString(core[i:])
		to = appendChunk(to, core[:i], first)
		if core[i] == '/' {
			to = append(to, token{text: "/", raw: "/"})
		}
		return appendChunk(to, core[i+size:], false)
	}
	// Letters with digits behind: python3 is python 3.
	if i := strings.IndexFunc(core, unicode.IsDigit); i > 0 && letters(core[:i]) {
		if number := numberTokens(core[i:]); number != nil {
			to = append(to, token{text: strings.ToLower(core[:i]), raw: core[:i], name: true})
			return append(to, number...)
		}
	}
	if !words(core) {
		return append(to, token{text: strings.ToLower(core), raw: core, exact: true})
	}
	shout := core == strings.ToUpper(core) && len(core) > 1
	if text := states[core]; text != "" {
		return append(to, token{text: text, raw: core, name: true})
	}
	return append(to, token{text: strings.ToLower(core), raw: core, name: core != "I" && !strings.HasPrefix(core, "I'") && (core != strings.ToLower(core) && !first || shout)})
}

// states are short names that in small letters are words.
var states = map[string]string{"US": "usa", "USA": "usa", "UK": "uk", "IT": "it (technology)", "WHO": "who (health)"}

// code reports whether a run looks like code, a path, an address or an id: its
// letters stand for themselves.
func code(s string) bool {
	if strings.ContainsAny(s, "_\\@#=<>{}[]()^~|*&+:$%") || strings.HasPrefix(s, "-") && len(s) > 1 || strings.HasPrefix(s, "/") || strings.HasPrefix(s, ".") {
		return len(s) > 1
	}
	if strings.Count(s, "/") > 1 {
		return true
	}
	i := strings.IndexByte(s, '.')
	return i > 0 && i < len(s)-1 && undot(s) == ""
}

// undot returns U.S.A or Ph.D without its stops, or nothing where s is no such word.
func undot(s string) string {
	if !strings.Contains(s, ".") {
		return ""
	}
	parts := strings.Split(s, ".")
	for i, p := range parts {
		if !letters(p) || i < len(parts)-1 && utf8.RuneCountInString(p) > 2 || utf8.RuneCountInString(p) > 4 {
			return ""
		}
	}
	if len(parts[0]) > 1 && parts[0] != "Ph" {
		return ""
	}
	return strings.ToLower(strings.Join(parts, ""))
}

func letters(s string) bool {
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsMark(r) {
			return false
		}
	}
	return s != ""
}

// words reports whether a run is letters, maybe with apostrophes inside.
func words(s string) bool {
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsMark(r) && r != '\'' {
			return false
		}
	}
	return s != ""
}
