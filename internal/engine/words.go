package engine

import "unicode"

// Words counts the tokens of a text as the built-in engines do, a run of letters and
// digits or any other sign being one, and returns where the text ends after at most
// limit of them. A negative limit is none.
func Words(text string, limit int) (tokens, end int) {
	inWord := false
	for i, r := range text {
		word := unicode.IsLetter(r) || unicode.IsDigit(r)
		if !unicode.IsSpace(r) && (!word || !inWord) {
			if tokens == limit {
				return tokens, i
			}
			tokens++
		}
		inWord = word
	}
	return tokens, len(text)
}
