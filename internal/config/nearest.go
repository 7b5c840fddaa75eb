package config

import "strings"

// nearest is how far a typing error may lie from what was meant.
const nearestDistance = 2

// Nearest returns which of the names a word was probably meant to be: at most two
// typing errors away, and less than half of it wrong. Empty if none is.
func Nearest(word string, names []string) string {
	best, at := "", nearestDistance+1
	for _, name := range names {
		if d := distance(word, name, at); d < at && 2*d < max(len(word), len(name)) {
			best, at = name, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of neighbours
// between two words, in bytes, up to a limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit)
}

// meant ends a sentence about an unknown word: with what it was probably meant to
// be, or with all there are.
func meant(word string, names []string, all string) string {
	if n := Nearest(word, names); n != "" {
		return `, did you mean "` + n + `"?`
	}
	switch {
	case len(names) == 0, len(names) > 24:
		return ""
	default:
		var s strings.Builder
		s.WriteString("; " + all)
		for i, n := range names {
			if i > 0 {
				s.WriteString(",")
			}
			s.WriteString(" " + n)
		}
		return s.String()
	}
}
