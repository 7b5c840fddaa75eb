package similar

import (
	"math"
	"slices"
	"unicode"

	"headworks/internal/gram"
)

// Dimensions of a lexical vector.
const Dimensions = 1024

// rarity counts in how many texts of an index each feature stands, by a hash.
type rarity struct {
	texts uint32
	in    [1 << 12]uint32
}

// weight is the inverse document frequency of a feature.
func (r *rarity) weight(h uint64) float64 {
	if r == nil || r.texts == 0 {
		return 1
	}
	return math.Log(1 + (1+float64(r.texts))/(1+float64(r.in[h%uint64(len(r.in))])))
}

// note takes a text in, or out again.
func (r *rarity) note(q *Question, by int) {
	var seen [1 << 12 / 64]uint64
	for h := range grams(q.plain) {
		i := h % uint64(len(r.in))
		if seen[i/64]>>(i%64)&1 == 0 {
			seen[i/64] |= 1 << (i % 64)
			r.in[i] += uint32(by)
		}
	}
	r.texts += uint32(by)
}

// grams returns how often each piece of three to five characters comes in a text. The
// text is in lower case, its signs and runs of space are one space, and one stands at
// both ends.
func grams(text string) map[uint64]int {
	runes := []rune{' '}
	for _, r := range text {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) {
			r = ' '
		}
		if r == ' ' && runes[len(runes)-1] == ' ' {
			continue
		}
		runes = append(runes, unicode.ToLower(r))
	}
	if runes[len(runes)-1] != ' ' {
		runes = append(runes, ' ')
	}
	found := make(map[uint64]int, 3*len(runes))
	for n := 3; n <= 5; n++ {
		for i := 0; i+n <= len(runes); i++ {
			found[gram.Hash('g', runes[i:i+n])]++
		}
	}
	return found
}

// vector returns the lexical vector of a text: hashed grams, each at two places, by
// log(1+tf) and how rare it is. It returns nil where nothing is left.
func vector(text string, r *rarity) []float32 {
	sums := make([]float64, Dimensions)
	found := grams(text)
	hashes := make([]uint64, 0, len(found))
	for h := range found {
		hashes = append(hashes, h)
	}
	// A sum of floats depends on its order.
	slices.Sort(hashes)
	for _, h := range hashes {
		w := float64(math.Log1p(float64(found[h])) * r.weight(h))
		gram.Add(sums, h, w)
		gram.Add(sums, gram.Mix(h^0x9e3779b97f4a7c15), w)
	}
	v := make([]float32, Dimensions)
	for i, x := range sums {
		v[i] = float32(x)
	}
	return normal(v)
}

// tiny is a norm below which a vector says nothing.
const tiny = 1e-6

// normal brings a vector to length one, or returns nil where it has next to none.
func normal(v []float32) []float32 {
	norm := 0.0
	for _, x := range v {
		norm += float64(float64(x) * float64(x))
	}
	norm = math.Sqrt(norm)
	if !(norm >= tiny) || math.IsInf(norm, 0) {
		return nil
	}
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(float64(x) / norm)
	}
	return out
}

// Cosine returns how near two vectors of length one are, or 0 where they are not of one
// kind.
func Cosine(a, b []float32) float64 {
	if len(a) != len(b) {
		return 0
	}
	sum := 0.0
	for i := range a {
		sum += float64(float64(a[i]) * float64(b[i]))
	}
	return sum
}
