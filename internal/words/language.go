package words

import (
	"slices"
	"strings"

	"github.com/blevesearch/go-porterstemmer"
	"github.com/kljensen/snowball/french"
	"github.com/kljensen/snowball/hungarian"
	"github.com/kljensen/snowball/norwegian"
	"github.com/kljensen/snowball/russian"
	"github.com/kljensen/snowball/spanish"
	"github.com/kljensen/snowball/swedish"
)

// Language is how words are stemmed and which of them say nothing.
type Language uint8

// The languages. English is Porter's stemmer with Lucene's 33 stopwords, and
// Snowball's Russian one for words in Cyrillic letters. German is Savoy's light
// stemmer, the others are Snowball's. Plain stems nothing and leaves nothing out.
const (
	English Language = iota
	Plain
	French
	German
	Hungarian
	Norwegian
	Russian
	Spanish
	Swedish
	languages
)

func (l Language) String() string { return names[l%languages] }

var names = [languages]string{"english", "plain", "french", "german", "hungarian", "norwegian", "russian", "spanish", "swedish"}

// Languages returns the names of all languages.
func Languages() []string { return slices.Clone(names[:]) }

// ParseLanguage returns the language of a name. No name is English.
func ParseLanguage(name string) (Language, bool) {
	if name == "" {
		return English, true
	}
	i := slices.Index(names[:], strings.ToLower(name))
	return Language(max(i, 0)), i >= 0
}

// fold appends a letter as the stemmer wants it.
func (l Language) fold(word []byte, r rune) []byte {
	if l == English || l == Plain {
		return folded(word, r)
	}
	return lowered(word, r)
}

func (l Language) stem(word string) string {
	if l != Plain && (len(word) < 3 || '0' <= word[0] && word[0] <= '9') {
		return word
	}
	switch l {
	case English:
		if word[0] == 0xd0 || word[0] == 0xd1 { // Cyrillic, which Porter has no rules for
			return russian.Stem(word, true)
		}
		return string(porterstemmer.StemWithoutLowerCasing([]rune(word)))
	case French:
		word = french.Stem(word, true)
	case German:
		word = german(word)
	case Hungarian:
		word = hungarian.Stem(word, true)
	case Norwegian:
		word = norwegian.Stem(word, true)
	case Russian:
		word = russian.Stem(word, true)
	case Spanish:
		word = spanish.Stem(word, true)
	case Swedish:
		word = swedish.Stem(word, true)
	case Plain, languages:
		return word
	}
	plain := make([]byte, 0, len(word))
	for _, r := range word {
		plain = folded(plain, r)
	}
	return string(plain)
}

// stopped reports whether a word says nothing of what a text is about.
func (l Language) stopped(word string) bool {
	switch l {
	case English:
		switch word { // Lucene's EnglishAnalyzer.ENGLISH_STOP_WORDS_SET
		case "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in",
			"into", "is", "it", "no", "not", "of", "on", "or", "such", "that", "the",
			"their", "then", "there", "these", "they", "this", "to", "was", "will", "with":
			return true
		}
	case French:
		return french.IsStopWord(word) || word == "les"
	case German:
		switch word {
		case "aber", "als", "am", "an", "auch", "auf", "aus", "bei", "bin", "bis", "das",
			"dass", "daß", "dem", "den", "der", "des", "die", "dies", "diese", "dieser", "du",
			"ein", "eine", "einem", "einen", "einer", "eines", "er", "es", "für", "hat",
			"ich", "ihr", "im", "in", "ist", "kein", "mit", "nach", "nicht", "oder", "sich",
			"sie", "sind", "so", "um", "und", "uns", "vom", "von", "vor", "war", "was",
			"wenn", "wie", "wir", "wird", "zu", "zum", "zur":
			return true
		}
	case Hungarian:
		return hungarian.IsStopWord(word)
	case Norwegian:
		return norwegian.IsStopWord(word)
	case Russian:
		return russian.IsStopWord(word)
	case Spanish:
		return spanish.IsStopWord(word)
	case Swedish:
		return swedish.IsStopWord(word)
	case Plain, languages:
	}
	return false
}

// german takes the commonest endings off a word (Savoy, Light stemming approaches
// for French, Portuguese, German and Hungarian, SAC 2006; as Lucene's
// GermanLightStemmer does).
func german(word string) string {
	var b []byte
	for _, r := range word {
		b = folded(b, r)
	}
	s := string(b)
	ends := func(ending string, longer int) bool { return len(s) > longer && strings.HasSuffix(s, ending) }
	firm := func(at int) bool { return strings.IndexByte("bdfghklmnt", s[at]) >= 0 }
	n := len(s)
	switch {
	case ends("ern", 5):
		n -= 3
	case ends("em", 4), ends("en", 4), ends("er", 4), ends("es", 4):
		n -= 2
	case ends("e", 3), ends("s", 3) && firm(n-2):
		n--
	}
	s = s[:n]
	switch {
	case ends("est", 5):
		n -= 3
	case ends("er", 4), ends("en", 4), ends("st", 4) && firm(n-3):
		n -= 2
	}
	return s[:n]
}
