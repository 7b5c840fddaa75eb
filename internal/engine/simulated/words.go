package simulated

import (
	"math/rand/v2"
	"strings"
)

// longest is the words of the longest sentence below.
const longest = 20

var sentences = [...]string{
	"What is real is the timing: each word leaves when an engine of this kind would have made it.",
	"Requests that come together share a batch, so every step takes a little longer for all of them.",
	"A long prompt is read in chunks, and whoever is being answered meanwhile waits for each chunk.",
	"When the memory for context is full, those who come later wait in a queue.",
	"Close the connection and the place in the batch is free at once.",
	"Name a real engine in headworks.yaml and the same request gets a real answer.",
	"Try headworks explain with the id of this request to see why it came to this replica.",
	"Streams, retries, limits and records work here as they do in front of real engines.",
	"For an answer out of the documentation, word for word, ask local-extract instead.",
	"Nothing that was asked is looked at here, only how long it is.",
}

// compose returns the words of an answer of low to high tokens, each with the
// space before it. It ends with a sentence where the bounds have room for one. The
// same seed gives the same words.
func compose(model string, seed uint64, low, high int) []string {
	src := rand.New(rand.NewPCG(seed, 0))
	enough := low + src.IntN(max(high-longest-low, 0)+1)
	words := split(make([]string, 0, high),
		"This is "+model+", a simulated model: no model runs here, and these words were written beforehand.")
	for len(words) < enough {
		for _, i := range src.Perm(len(sentences)) {
			words = split(words, sentences[i])
			if len(words) >= enough {
				break
			}
		}
	}
	return words[:min(len(words), high)]
}

func split(words []string, sentence string) []string {
	for word := range strings.SplitSeq(sentence, " ") {
		if len(words) > 0 {
			word = " " + word
		}
		words = append(words, word)
	}
	return words
}
