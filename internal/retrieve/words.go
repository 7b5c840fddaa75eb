package retrieve

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// words returns the terms of a text in order: runs of Unicode letters and digits,
// lower case, stemmed, without stop words. A compound such as demo-small or
// first_token gives its parts and then itself.
func words(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for at := 0; at < len(text); {
			size := run(text[at:])
			if size == 0 {
				_, size = utf8.DecodeRuneInString(text[at:])
				at += size
				continue
			}
			start, parts := at, 0
			for size > 0 {
				word := strings.ToLower(text[at : at+size])
				if !stopped(word) && !yield(stem(word)) {
					return
				}
				at += size
				parts++
				size = 0
				if at < len(text) && (text[at] == '-' || text[at] == '_') {
					if size = run(text[at+1:]); size > 0 {
						at++
					}
				}
			}
			if parts > 1 && !yield(strings.ToLower(text[start:at])) {
				return
			}
		}
	}
}

// withoutTargets takes the targets of links out of a Markdown text: an address is
// not what a passage is about.
func withoutTargets(text string) string {
	var out strings.Builder
	for {
		words, rest, ok := strings.Cut(text, "](")
		out.WriteString(words)
		if !ok {
			return out.String()
		}
		out.WriteByte(']')
		end := strings.IndexAny(rest, ")\n")
		if end < 0 {
			return out.String()
		}
		text = rest[end:]
	}
}

// run returns how many bytes of letters and digits a text opens with.
func run(text string) int {
	for i, r := range text {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return i
		}
	}
	return len(text)
}

// stopped reports whether a word says nothing of what a text is about: Lucene's 33
// English stop words, and the words that questions are put with.
func stopped(word string) bool {
	switch word {
	case "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in",
		"into", "is", "it", "no", "not", "of", "on", "or", "such", "that", "the",
		"their", "then", "there", "these", "they", "this", "to", "was", "will", "with":
		return true
	case "am", "can", "could", "did", "do", "does", "has", "have", "how", "i", "its",
		"me", "my", "should", "we", "what", "when", "where", "which", "who", "why",
		"would", "you", "your":
		return true
	}
	return false
}
