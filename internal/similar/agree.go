package similar

import (
	"strings"
	"unicode"
)

// Agree reports whether two answers say the same, as far as their words tell: numbers,
// names and whether they say yes or no first, then how much of their words they share.
// It knows no meaning, so it errs; a Trial takes its error from answers to one and the
// same question.
func Agree(a, b string) bool {
	a, b = strings.Join(strings.Fields(a), " "), strings.Join(strings.Fields(b), " ")
	if a == b {
		return true
	}
	x, y := readAnswer(a), readAnswer(b)
	if x.polarity != y.polarity && x.polarity != 0 && y.polarity != 0 {
		return false
	}
	short := min(x.count, y.count) <= shortAnswer
	if !overlap(x.numbers, y.numbers, short, strict) || !overlap(x.names, y.names, short, strict/2) {
		return false
	}
	if short && (x.negative != y.negative) {
		return false
	}
	return dice(x.words, y.words) >= 0.5
}

// shortAnswer is how many words an answer has at most that is compared strictly.
const shortAnswer = 40

// strict is which share of the numbers of the poorer answer must stand in the other.
const strict = 0.8

type answer struct {
	count    int
	polarity int // 1 yes, -1 no, 0 neither
	negative bool
	numbers  map[string]bool
	names    map[string]bool
	words    map[string]bool
}

func readAnswer(text string) *answer {
	r := &answer{numbers: map[string]bool{}, names: map[string]bool{}, words: map[string]bool{}}
	for si, sentence := range split(text) {
		for i, t := range numberWords(contractions(sentence)) {
			r.count++
			switch {
			case si == 0 && i == 0 && (t.text == "yes" || t.text == "no"):
				r.polarity = 1
				if t.text == "no" {
					r.polarity = -1
				}
			case strings.HasPrefix(t.text, "#"):
				// 1. and 2. in front of a line count it.
				if len(sentence) > 1 || unicode.IsDigit(rune(text[0])) {
					r.numbers[t.text] = true
				}
				continue
			case t.name && i > 0:
				r.names[t.text] = true
			case negators[t.text] && si == 0:
				r.negative = !r.negative
			}
			if !articles[t.text] && !function[t.text] {
				r.words[singular(t.text)] = true
			}
		}
	}
	return r
}

// overlap reports whether two sets share enough: where both answers are short, the
// poorer lies within the richer; else a share of it does.
func overlap(a, b map[string]bool, short bool, share float64) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	common := 0
	for w := range a {
		if b[w] {
			common++
		}
	}
	if short {
		return common == len(a) && (len(a) > 0 || len(b) == 0 || len(b) > 1)
	}
	return float64(common) >= share*float64(len(a))
}

func dice(a, b map[string]bool) float64 {
	if len(a)+len(b) == 0 {
		return 1
	}
	common := 0
	for w := range a {
		if b[w] {
			common++
		}
	}
	return 2 * float64(common) / float64(len(a)+len(b))
}
