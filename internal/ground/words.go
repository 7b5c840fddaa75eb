package ground

import (
	"strings"
	"unicode"
)

type span struct{ start, end int }

// sentences returns the sentences of a text, each with the space behind it: up to a
// full stop, a question or an exclamation mark before white space, or up to an empty
// line or a line that begins with a mark of a list. A mark of a citation behind a full
// stop belongs to the sentence before it.
func sentences(text string) []span {
	var all []span
	start := 0
	end := func(at int) {
		if strings.TrimSpace(text[start:at]) != "" {
			all = append(all, span{start, at})
			start = at
		}
	}
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '.', '!', '?':
			j := i + 1
			for j < len(text) && strings.IndexByte(`.!?"')]*_`, text[j]) >= 0 {
				j++
			}
			for {
				k := j
				for k < len(text) && text[k] == ' ' {
					k++
				}
				n := markAt(text[k:])
				if n == 0 {
					break
				}
				j = k + n
			}
			if j < len(text) && !space(text[j]) || abbreviated(text[start:i+1]) {
				continue
			}
			for j < len(text) && space(text[j]) {
				j++
			}
			end(j)
			i = j - 1
		case '\n':
			j := i + 1
			for j < len(text) && space(text[j]) {
				j++
			}
			if strings.Count(text[i:j], "\n") > 1 || j < len(text) && listed(text[j:]) {
				end(j)
				i = j - 1
			}
		}
	}
	end(len(text))
	return all
}

func space(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// listed reports whether a line begins as an item, a heading or a row of a table does.
func listed(line string) bool {
	switch line[0] {
	case '-', '*', '+':
		return len(line) > 1 && line[1] == ' '
	case '#', '|', '>':
		return true
	}
	n := 0
	for n < len(line) && line[n] >= '0' && line[n] <= '9' {
		n++
	}
	return n > 0 && n < 4 && n+1 < len(line) && (line[n] == '.' || line[n] == ')') && line[n+1] == ' '
}

// abbreviated reports whether a full stop ends a word and no sentence.
func abbreviated(text string) bool {
	word := text[strings.LastIndexAny(text, " \n\t(")+1:]
	switch strings.ToLower(word) {
	case "e.g.", "i.e.", "etc.", "vs.", "cf.", "no.", "fig.", "dr.", "mr.", "mrs.", "ms.", "st.", "approx.", "z.b.", "bzw.", "ca.":
		return true
	}
	number := strings.TrimRight(word, ".")
	return number != "" && len(number) < len(word) && len(number) < 4 && strings.Trim(number, "0123456789") == "" // 1. as of a list
}

// terms appends the terms of a text to dst: runs of letters and digits in lower case,
// without the commonest endings of English. Words that say nothing of a matter are left
// out where content asks for that.
func terms(dst []string, text string, content bool) []string {
	for at := 0; at < len(text); {
		n := strings.IndexFunc(text[at:], wordly)
		if n < 0 {
			break
		}
		at += n
		n = strings.IndexFunc(text[at:], func(r rune) bool { return !wordly(r) })
		if n < 0 {
			n = len(text) - at
		}
		word := strings.ToLower(text[at : at+n])
		at += n
		if content && light(word) {
			continue
		}
		dst = append(dst, root(word))
	}
	return dst
}

func wordly(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// root takes plural, -ed and -ing off a word of English.
func root(word string) string {
	if len(word) < 5 {
		return word
	}
	for _, ending := range [...]string{"ing", "ies", "ied", "es", "ed", "s", "e"} {
		if short, ok := strings.CutSuffix(word, ending); ok && len(short) >= 3 && !strings.HasSuffix(short, "s") {
			if ending[0] == 'i' && ending != "ing" {
				short += "y"
			}
			return short
		}
	}
	return word
}

// light reports whether a word says nothing of a matter: Lucene's 33 stop words, and
// what questions are put with.
func light(word string) bool {
	switch word {
	case "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in",
		"into", "is", "it", "no", "not", "of", "on", "or", "such", "that", "the",
		"their", "then", "there", "these", "they", "this", "to", "was", "will", "with",
		"am", "can", "could", "did", "do", "does", "has", "have", "had", "how", "i", "its", "s", "t",
		"me", "my", "should", "we", "what", "when", "where", "which", "who", "why", "whose",
		"would", "you", "your", "about", "them", "those", "he", "she", "his", "her", "him",
		"one", "ones", "also", "so", "than", "more", "else", "else's", "yes", "ok", "okay", "mean", "tell", "say", "give":
		return true
	}
	return false
}
