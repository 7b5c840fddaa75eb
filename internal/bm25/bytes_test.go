package bm25

import (
	"fmt"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"

	"headworks/internal/words"
)

func sample(t interface{ Fatal(...any) }) *Segment {
	texts := map[uint32]string{}
	for i := range uint32(400) {
		texts[2*i] = fmt.Sprintf("the middle of text %d holds word%d and common words in the middle", i, i%7)
	}
	return build(t, texts)
}

func TestBytes(t *testing.T) {
	s := sample(t)
	again, err := Open(slices.Clone(s.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Verify(); err != nil {
		t.Fatal(err)
	}
	q := words.Question(`"in the middle" word3 text`)
	one, two := NewIndex(s).Search(q, View{}, 50), NewIndex(again).Search(q, View{}, 50)
	if len(one) != 50 || !slices.Equal(one, two) {
		t.Errorf("%v before, %v after", one, two)
	}
	if again.Len() != 400 || slices.Collect(again.IDs())[1] != 2 {
		t.Errorf("%d texts", again.Len())
	}
	for at := 0; at < len(s.Bytes()); at += 37 {
		bad := slices.Clone(s.Bytes())
		bad[at] ^= 4
		again, err := Open(bad)
		if err == nil {
			err = again.Verify()
		}
		if err == nil {
			t.Errorf("byte %d is wrong, and nothing is said", at)
		}
	}
	for n := range len(s.Bytes()) {
		if _, err := Open(s.Bytes()[:n]); err == nil {
			t.Fatalf("%d bytes open", n)
		}
	}
}

func TestIDsAscend(t *testing.T) {
	for _, ids := range [][]uint32{{2, 1}, {1, 1}} {
		_, err := Build(func(yield func(uint32, Terms) bool) {
			for _, id := range ids {
				if !yield(id, words.Text("a word")) {
					return
				}
			}
		})
		if err == nil {
			t.Errorf("ids %v are built", ids)
		}
	}
	one := build(t, map[uint32]string{1: "one"})
	if _, err := Merge(without(nil), one, one); err == nil {
		t.Error("a text in two segments is merged")
	}
}

func TestNothing(t *testing.T) {
	empty := build(t, nil)
	if hits := NewIndex(empty).Search(words.Question("word"), View{}, 10); len(hits) != 0 {
		t.Errorf("found %v", hits)
	}
	if hits := NewIndex().Search(words.Question("word"), View{}, 10); len(hits) != 0 {
		t.Errorf("found %v", hits)
	}
	none := roaring.New()
	if hits := NewIndex(sample(t)).Search(words.Question("middle"), View{Allowed: none}, 10); len(hits) != 0 {
		t.Errorf("found %v of nothing that is allowed", hits)
	}
	merged, err := Merge(without(nil))
	if err != nil || merged.Len() != 0 {
		t.Errorf("nothing merges to %d texts, %v", merged.Len(), err)
	}
}

// Whatever the bytes say, a search ends, and finds ids of the segment alone.
func FuzzOpen(f *testing.F) {
	s := sample(f)
	f.Add(s.Bytes(), uint16(100), uint32(7))
	f.Add(build(f, map[uint32]string{1: "in the middle"}).Bytes(), uint16(70), uint32(1<<31))
	f.Fuzz(func(t *testing.T, data []byte, at uint16, to uint32) {
		// A checksum that fits lets damage through to what reads it.
		data = slices.Clone(data)
		if len(data) >= headerSize+4 {
			order.PutUint32(data[int(at)%(len(data)-3):], to)
			order.PutUint32(data[headerSize-4:], crc32.Checksum(data[:headerSize-4], castagnoli))
		}
		s, err := Open(data)
		if err != nil {
			return
		}
		ids := slices.Collect(s.IDs())
		for _, question := range []string{`"in the middle" word3 text`, `"in the middle"`} {
			for _, h := range NewIndex(s).Search(words.Question(question), View{Allowed: roaring.BitmapOf(0, 2, 4, 40)}, 10) {
				if !slices.Contains(ids, h.ID) {
					t.Fatalf("found %d", h.ID)
				}
			}
			NewIndex(s).Search(words.Question(question), View{}, 10)
		}
		_, _ = Merge(without(nil), s)
	})
}
