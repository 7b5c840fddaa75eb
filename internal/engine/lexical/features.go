package lexical

import (
	"cmp"
	"math"
	"slices"
	"unicode"

	"headworks/internal/gram"
)

// What a feature weighs. A word weighs the more the longer it is, since the short
// words of most languages say little; all its pieces together weigh less than the
// word itself.
const (
	wordWeight   = 1.0
	pairWeight   = 0.25
	piecesWeight = 0.7
	signWeight   = 0.1
)

// term is a feature of a text, what it weighs there and how often it comes.
type term struct {
	hash          uint64
	weight, times float32
}

// features appends the features of a text: its words, pairs of neighbours, the
// pieces of which words consist, and single signs. Each is there as often as it
// stands in the text.
func features(dst []term, text string) []term {
	var word []rune
	var last term // the word before
	end := func() {
		if len(word) == 0 {
			return
		}
		t := term{gram.Hash('w', word), weigh(word), 1}
		dst = append(dst, t)
		dst = pair(dst, last, t)
		dst = pieces(dst, word)
		last, word = t, word[:0]
	}
	for _, r := range text {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), unicode.Is(unicode.Mn, r):
			word = append(word, unicode.ToLower(r))
		case unicode.IsSpace(r):
			end()
		default:
			end()
			t := term{gram.Hash('w', []rune{r}), signWeight, 1}
			dst = append(dst, t)
			dst = pair(dst, last, t)
			last = t
		}
	}
	end()
	return dst
}

func pair(dst []term, a, b term) []term {
	if a.weight == 0 {
		return dst
	}
	return append(dst, term{gram.Mix(a.hash ^ gram.Mix(b.hash)), pairWeight * min(a.weight, b.weight), 1})
}

func weigh(word []rune) float32 {
	if dense(word) {
		return wordWeight
	}
	switch len(word) {
	case 1:
		return 0.2
	case 2:
		return 0.3
	case 3:
		return 0.5
	case 4:
		return 0.8
	}
	return wordWeight
}

// pieces appends the pieces of three to five characters of a word between its
// marks, <word>; where scripts leave no space between words, those of one to three.
func pieces(dst []term, word []rune) []term {
	low, high := 3, 5
	if dense(word) {
		low, high = 1, 3
	} else {
		word = append(append([]rune{'<'}, word...), '>')
	}
	first := len(dst)
	for n := low; n <= high; n++ {
		for i := 0; i+n <= len(word); i++ {
			dst = append(dst, term{hash: gram.Hash('p', word[i:i+n]), times: 1})
		}
	}
	each := float32(piecesWeight / math.Sqrt(float64(max(len(dst)-first, 1))))
	for i := first; i < len(dst); i++ {
		dst[i].weight = each
	}
	return dst
}

// dense reports whether a run of letters is of a script without spaces.
func dense(word []rune) bool {
	for _, r := range word {
		if r > 0xe00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana,
			unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar) {
			return true
		}
	}
	return false
}

// count returns the features of a text by their hash, those that come several times
// put together with their mean weight.
func count(text string) []term {
	terms := features(make([]term, 0, 3*len(text)), text)
	slices.SortFunc(terms, func(a, b term) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.weight, b.weight)) })
	n := 0
	for _, t := range terms {
		if n > 0 && terms[n-1].hash == t.hash {
			last := &terms[n-1]
			last.times++
			last.weight += (t.weight - last.weight) / last.times
			continue
		}
		terms[n] = t
		n++
	}
	return terms[:n]
}
