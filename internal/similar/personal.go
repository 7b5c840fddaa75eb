package similar

import (
	"strings"
	"unicode"
)

// Personal reports whether a text seems to hold data of a person: an e-mail address, a
// telephone or account number, a payment card, an IBAN, a social security number, or
// somebody speaking of who they are or of their own papers, money or health. It is made
// of simple signs and errs on the side of yes: a yes costs a generation.
func Personal(text string) bool {
	lower := strings.ToLower(strings.ReplaceAll(text, "’", "'"))
	fields := strings.Fields(lower)
	for i, f := range fields {
		w := strings.Trim(f, around)
		at := strings.IndexByte(w, '@')
		if at > 0 && strings.IndexByte(w[at:], '.') > 1 {
			return true
		}
		if iban(w) {
			return true
		}
		rest := fields[i+1:]
		if w == "my" && near(rest, 3, ownThings) {
			return true
		}
		if (w == "i'm" || w == "im" || w == "am" && i > 0 && fields[i-1] == "i") && len(rest) > 0 &&
			(digit(rest[0]) || near(rest, 1, selfWords)) {
			return true
		}
	}
	for _, phrase := range selfPhrases {
		if strings.Contains(lower, phrase) {
			return true
		}
	}
	return longNumber(text)
}

func near(words []string, n int, set map[string]bool) bool {
	for _, w := range words[:min(n, len(words))] {
		if set[strings.TrimSuffix(strings.Trim(w, around), "'s")] {
			return true
		}
	}
	return false
}

func digit(s string) bool { return s != "" && unicode.IsDigit(rune(s[0])) }

// ownThings are, behind "my", things that tell who somebody is or how they are.
var ownThings = set(`name surname address birthday birthdate ssn passport passcode pin iban account salary income debt mortgage diagnosis
prescription medication disease symptoms cancer diabetes pregnancy hiv depression religion visa ip`)

var selfWords = set(`pregnant diabetic gay lesbian bisexual transgender hiv-positive divorced married undocumented called`)

var selfPhrases = [...]string{"my name is", "i was diagnosed", "i live at", "i live in", "i was born", "date of birth", "i work at", "i work for", "i suffer from", "years old and i", "call me at", "reach me at"}

// longNumber reports whether a text holds nine digits or more in one number, as
// telephone numbers, payment cards and social security numbers have, whatever groups
// it is written in.
func longNumber(text string) bool {
	digits, gap := 0, 0
	for _, r := range text {
		switch {
		case unicode.IsDigit(r):
			digits, gap = digits+1, 0
			if digits >= 9 {
				return true
			}
		case strings.ContainsRune(" -.()/+", r) && gap < 2 && digits > 0:
			gap++
		default:
			digits, gap = 0, 0
		}
	}
	return false
}

// iban reports whether a word looks like an IBAN (ISO 13616): two letters, two digits,
// then 11 to 30 letters and digits.
func iban(w string) bool {
	if len(w) < 15 || len(w) > 34 {
		return false
	}
	for i := range len(w) {
		letter, number := w[i] >= 'a' && w[i] <= 'z', w[i] >= '0' && w[i] <= '9'
		if i < 2 && !letter || (i == 2 || i == 3) && !number || !letter && !number {
			return false
		}
	}
	return true
}
