// Package gram turns pieces of text into numbers that are the same in every process:
// hashes of runes, and the places and signs that they have in a vector.
package gram

import "unicode/utf8"

// Hash returns the hash of some runes of a kind (FNV-1a, 64 bits, mixed).
func Hash(kind byte, runes []rune) uint64 {
	const prime = 1099511628211
	h := (uint64(14695981039346656037) ^ uint64(kind)) * prime
	var room [utf8.UTFMax]byte
	for _, r := range runes {
		for _, c := range room[:utf8.EncodeRune(room[:], r)] {
			h = (h ^ uint64(c)) * prime
		}
	}
	return Mix(h)
}

// Mix spreads what differs over all bits (the finalizer of MurmurHash3).
func Mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// Add adds a weight to a vector at the place and with the sign that a hash says
// (Weinberger and others, Feature Hashing for Large Scale Multitask Learning, 2009).
// The conversion keeps a compiler from fusing a product with the sum.
func Add(sums []float64, hash uint64, weight float64) {
	if hash>>63 != 0 {
		weight = -weight
	}
	sums[(hash&(1<<63-1))%uint64(len(sums))] += float64(weight)
}
