package extract

import (
	"unicode"

	"headworks/internal/inference"
)

// count counts the tokens of a text, a run of letters and digits or any other
// sign being one, and returns where the text ends after at most limit of them. A
// negative limit is none.
func count(text string, limit int) (tokens, end int) {
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

// countParts counts what was said, and what tools answered.
func countParts(parts []inference.Part) int {
	sum := 0
	for _, p := range parts {
		n, _ := count(p.Text, -1)
		sum += n + countParts(p.Parts)
	}
	return sum
}
