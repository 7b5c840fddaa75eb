package eval

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// normal returns a text by its words: in lower case, without signs around them.
// Signs inside a word stay, as in 3.5 or don't.
func normal(text string) string {
	words := strings.Fields(strings.ToLower(text))
	kept := words[:0]
	for _, w := range words {
		w = strings.TrimFunc(w, func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Sc, r) && !unicode.Is(unicode.Sm, r)
		})
		if w != "" {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " ")
}

var numbers = regexp.MustCompile(`[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?`)

// lastNumber returns the last number of a text: what comes before it is how it was
// found.
func lastNumber(text string) (float64, bool) {
	// A minus right behind a word is a hyphen, as in GPT-4.
	all := numbers.FindAllStringIndex(text, -1)
	if len(all) == 0 {
		return 0, false
	}
	at := all[len(all)-1]
	last := text[at[0]:at[1]]
	if at[0] > 0 && (last[0] == '-' || last[0] == '+') {
		if before := rune(text[at[0]-1]); unicode.IsLetter(before) || unicode.IsDigit(before) {
			last = last[1:]
		}
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(last, ",", ""), 64)
	return f, err == nil
}

// same reports whether two numbers are equal but for how they were rounded on the way.
func same(a, b float64) bool {
	return a == b || math.Abs(a-b) <= 1e-6*max(math.Abs(a), math.Abs(b))
}

var (
	alone  = regexp.MustCompile(`^[\s*("'\[]*([A-Za-z])[\s*)"'\].:,]*$`)
	leads  = regexp.MustCompile(`^[\s*("'\[]*([A-Z])[*"'\]]*[).:]`)
	states = regexp.MustCompile(`(?i:answer|choice|option)(?i:\s+is)?[\s:*("'\[]*([A-Z])(?:[^A-Za-z']|$)`)
)

// chosen returns which choice an answer names: by its letter, alone, at the beginning
// or behind the word answer, or else by its text, if it has that of one alone. -1 where
// it names none.
func chosen(answer string, choices []string) int {
	letter := func(s string) int {
		if i := int(s[0]|0x20) - 'a'; i < len(choices) {
			return i
		}
		return -1
	}
	if m := alone.FindStringSubmatch(answer); m != nil {
		return letter(m[1])
	}
	if all := states.FindAllStringSubmatch(answer, -1); len(all) > 0 {
		return letter(all[len(all)-1][1]) // what was weighed before it is not the answer
	}
	if m := leads.FindStringSubmatch(answer); m != nil {
		return letter(m[1])
	}
	words, found := " "+normal(answer)+" ", []int{}
	for i, c := range choices {
		if n := normal(c); n != "" && strings.Contains(words, " "+n+" ") {
			found = append(found, i)
		}
	}
	// Of choices within another one, as "4" in "4 apples", the longest counts.
	slices.SortStableFunc(found, func(a, b int) int { return len(normal(choices[b])) - len(normal(choices[a])) })
	for len(found) > 1 && strings.Contains(" "+normal(choices[found[0]])+" ", " "+normal(choices[found[len(found)-1]])+" ") {
		found = found[:len(found)-1]
	}
	if len(found) != 1 {
		return -1
	}
	return found[0]
}
