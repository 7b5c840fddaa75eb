package bm25

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"pgregory.net/rapid"

	"headworks/internal/rank"
	"headworks/internal/words"
)

// build indexes texts whose ids are their places.
func build(t interface{ Fatal(...any) }, texts map[uint32]string) *Segment {
	var ids []uint32
	for id := range texts {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	s, err := Build(func(yield func(uint32, Terms) bool) {
		for _, id := range ids {
			if !yield(id, words.Text(texts[id])) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ids(hits []Hit) []uint32 {
	var list []uint32
	for _, h := range hits {
		list = append(list, h.ID)
	}
	return list
}

// The formula of the package comment, worked out by hand.
func TestScoreIsBM25(t *testing.T) {
	x := NewIndex(build(t, map[uint32]string{1: "gold gold iron", 2: "iron", 3: "tin tin"}))
	idf := math.Log(1 + (3-1+.5)/(1+.5))
	norm := .9 * (1 - .4 + .4*3/2)
	want := 2 * idf * 2 / (2 + norm)
	hits := x.Search(words.Question("gold and gold lead"), View{}, 1)
	if len(hits) != 1 || hits[0].ID != 1 || math.Abs(hits[0].Score-want) > 1e-8 {
		t.Fatalf("%+v, want text 1 with %v", hits, want)
	}
}

func TestSearch(t *testing.T) {
	x := NewIndex(build(t, map[uint32]string{
		1: "the lost state of things in the middle",
		2: "lost in the middle, they say",
		3: "middle lost",
		4: "a first_token of a stream",
		5: "the first token of many",
	}))
	tests := []struct {
		question string
		want     []uint32
	}{
		{`"lost in the middle"`, []uint32{2}},
		{`"lost the middle"`, nil},
		{`"middle lost" or not`, []uint32{3}},
		{`"middle lost" middle`, []uint32{3, 2, 1}},
		{`"middle lost" state`, []uint32{1, 3, 2}},
		{`lost`, []uint32{3, 2, 1}},
		{`firstToken`, []uint32{4, 5}},
		{`"first token"`, []uint32{4, 5}},
		{`"nothing here"`, nil},
		{`the of`, nil},
		{``, nil},
	}
	for _, test := range tests {
		if got := ids(x.Search(words.Question(test.question), View{}, 10)); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.question, got, test.want)
		}
	}
}

// without keeps the ids of all but the deleted.
func without(deleted *roaring.Bitmap) func(int, uint32) (uint32, bool) {
	return func(_ int, id uint32) (uint32, bool) { return id, deleted == nil || !deleted.Contains(id) }
}

// naive ranks without any structure.
func naive(texts map[uint32]string, question string, v View, n int) []Hit {
	type text struct {
		tf     map[string]float64
		length float64
	}
	var (
		read  = map[uint32]text{}
		df    = map[string]float64{}
		total float64
	)
	for id, source := range texts {
		d := text{tf: map[string]float64{}}
		for term := range words.Text(source) {
			if d.tf[term.Text]++; d.tf[term.Text] == 1 {
				df[term.Text]++
			}
			if !term.Beside {
				d.length++
			}
		}
		total += d.length
		read[id] = d
	}
	top := rank.NewTop(n)
	for id, d := range read {
		score := 0.0
		for _, term := range words.Question(question).Terms {
			if tf := d.tf[term.Text]; tf > 0 {
				idf := math.Log(1 + (float64(len(texts))-df[term.Text]+.5)/(df[term.Text]+.5))
				score += idf * tf / (tf + .9*(1-.4+.4*d.length/(total/float64(len(texts)))))
			}
		}
		if score > 0 && (v.Allowed == nil || v.Allowed.Contains(id)) && (v.Deleted == nil || !v.Deleted.Contains(id)) {
			top.Put(Hit{ID: id, Score: math.Round(score*1e6) / 1e6})
		}
	}
	return top.Hits()
}

// However texts are cut into segments, merged, filtered and deleted, the ranking is
// that of the formula.
func TestSearchIsTheFormula(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"a", "red", "green", "blue", "sky_blue", "blueSky", "9", "10", "gold", "gold", "iron", "tin", "day", "night"})
		sentence := func(name string, most int) string {
			return fmt.Sprint(rapid.SliceOfN(word, 0, most).Draw(t, name))
		}
		// Few different texts, many of them: blocks and windows fill, and scores tie.
		var kinds []string
		for i := range rapid.IntRange(1, 6).Draw(t, "kinds") {
			kinds = append(kinds, sentence(fmt.Sprint("text", i), 12))
		}
		parts := rapid.IntRange(1, 3).Draw(t, "segments")
		gap := uint32(rapid.IntRange(1, 3).Draw(t, "gap"))
		n := rapid.SampledFrom([]int{1, 10, 400, 2 * windowRows}).Draw(t, "texts")
		seed := rapid.Uint32().Draw(t, "seed")
		all := map[uint32]string{}
		cut := make([]map[uint32]string, parts)
		v := View{}
		if rapid.Bool().Draw(t, "filter") {
			v.Allowed = roaring.New()
		}
		if rapid.Bool().Draw(t, "deletions") {
			v.Deleted = roaring.New()
		}
		share := rapid.SampledFrom([]uint32{2, 40}).Draw(t, "share")
		for i := range uint32(n) {
			seed = seed*1664525 + 1013904223
			text := kinds[seed>>16%uint32(len(kinds))]
			id := i * gap
			all[id] = text
			part := seed >> 8 % uint32(parts)
			if cut[part] == nil {
				cut[part] = map[uint32]string{}
			}
			cut[part][id] = text
			if v.Allowed != nil && seed>>20%share == 0 {
				v.Allowed.Add(id)
			}
			if v.Deleted != nil && seed>>12%7 == 0 {
				v.Deleted.Add(id)
			}
		}
		var segments []*Segment
		for _, texts := range cut {
			segments = append(segments, build(t, texts))
		}
		question := sentence("question", 5)
		most := rapid.SampledFrom([]int{1, 10, 100, 3 * windowRows}).Draw(t, "n")
		got := NewIndex(segments...).Search(words.Question(question), v, most)
		for i := range got {
			got[i].Score = math.Round(got[i].Score*1e6) / 1e6
		}
		if want := naive(all, question, v, most); !slices.Equal(got, want) {
			t.Fatalf("%q: got %d hits, want %d\n%v\n%v", question, len(got), len(want), got[:min(5, len(got))], want[:min(5, len(want))])
		}

		merged, err := Merge(without(v.Deleted), segments...)
		if err != nil {
			t.Fatal(err)
		}
		if err := merged.Verify(); err != nil {
			t.Fatal(err)
		}
		for id := range all {
			if v.Deleted != nil && v.Deleted.Contains(id) {
				delete(all, id)
			}
		}
		if whole := build(t, all); !bytes.Equal(whole.Bytes(), merged.Bytes()) {
			t.Fatalf("merged, %d texts have other bytes than built at once", len(all))
		}
	})
}
