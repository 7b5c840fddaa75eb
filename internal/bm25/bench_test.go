package bm25

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"

	"headworks/internal/words"
)

// BenchmarkSearch ranks texts of 150 words drawn by Zipf's law from 200,000.
func BenchmarkSearch(b *testing.B) {
	const docs = 100_000
	draw := rand.New(rand.NewPCG(1, 1))
	zipf := rand.NewZipf(draw, 1.1, 4, 200_000)
	s, err := Build(func(yield func(uint32, Terms) bool) {
		for id := range uint32(docs) {
			text := func(yield func(words.Term) bool) {
				for at := range uint32(150) {
					if !yield(words.Term{Text: fmt.Sprintf("w%d", zipf.Uint64()), At: at}) {
						return
					}
				}
			}
			if !yield(id, text) {
				return
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	x := NewIndex(s)
	question := func(n int, of func() int) words.Query {
		var q words.Query
		for i := range n {
			q.Terms = append(q.Terms, words.Term{Text: fmt.Sprintf("w%d", of()), At: uint32(i)})
		}
		return q
	}
	common := func() int { return draw.IntN(50) }
	mixed := func() int { return int(math.Exp(draw.Float64() * math.Log(100_000))) }
	few := roaring.New()
	for id := 0; id < docs; id += 100 {
		few.Add(uint32(id))
	}
	phrase := question(2, common)
	phrase.Phrases, phrase.Exact = append(phrase.Phrases, phrase.Terms), true
	for _, bench := range []struct {
		name string
		q    words.Query
		view View
		n    int
	}{
		{"5 words", question(5, mixed), View{}, 10},
		{"5 words, 300 hits", question(5, mixed), View{}, 300},
		{"40 words", question(40, mixed), View{}, 10},
		{"5 common words", question(5, common), View{}, 10},
		{"5 words of 1%", question(5, mixed), View{Allowed: few}, 10},
		{"phrase of 2 common words", phrase, View{}, 10},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				x.Search(bench.q, bench.view, bench.n)
			}
		})
	}
}
