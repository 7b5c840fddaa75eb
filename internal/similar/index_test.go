package similar

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func key(s string) (k [32]byte) {
	copy(k[:], s)
	return k
}

func TestFind(t *testing.T) {
	now := time.Unix(1000, 0)
	x := NewIndex(false)
	x.Add(Entry{Question: Read("How do I reset the password of my router?"), Frame: key("f"), Key: key("1"), Owner: 1, Expires: now.Add(time.Hour)}, now)
	for _, tt := range []struct {
		name  string
		text  string
		frame string
		at    time.Duration
		want  bool
	}{
		{"the same another way", "What's the best way to reset my router's password?", "f", 0, true},
		{"another thing", "How do I reset the password of my printer?", "f", 0, false},
		{"other words of the system", "What's the best way to reset my router's password?", "g", 0, false},
		{"too late", "What's the best way to reset my router's password?", "f", time.Hour, false},
	} {
		c, _, ok := x.Find(Read(tt.text), nil, key(tt.frame), 2, now.Add(tt.at))
		if ok != tt.want {
			t.Errorf("%s: found %v, want %v", tt.name, ok, tt.want)
		}
		if ok && (c.Key != key("1") || !c.Own || c.Similarity < LexicalThreshold) {
			t.Errorf("%s: %+v", tt.name, c)
		}
	}
	x.Drop(key("1"))
	if _, _, ok := x.Find(Read("How do I reset the password of my router?"), nil, key("f"), 1, now); ok || x.Len() != 0 {
		t.Error("found what was dropped")
	}
}

// Vectors of a backend need their own nearness, and are never compared with letters.
func TestFindByVector(t *testing.T) {
	now := time.Unix(1000, 0)
	x := NewIndex(false)
	q := Read("How do I reset the password of my router?")
	x.Add(Entry{Question: q, Vector: []float32{2, 0}, Key: key("1"), Expires: now.Add(time.Hour)}, now)
	x.Add(Entry{Question: q, Vector: []float32{0, 0}, Key: key("2"), Expires: now.Add(time.Hour)}, now)
	for _, tt := range []struct {
		v    []float32
		want bool
	}{
		{[]float32{1, 0}, true}, {[]float32{1, 0.3}, true}, {[]float32{1, 0.4}, false}, {[]float32{0, 0}, false}, {[]float32{1, 0, 0}, false},
	} {
		if _, _, ok := x.Find(q, tt.v, [32]byte{}, 1, now); ok != tt.want {
			t.Errorf("%v: found %v, want %v", tt.v, ok, tt.want)
		}
	}
}

// In a wide scope an answer serves its owner, and others once a second one's own answer
// said the same.
func TestWide(t *testing.T) {
	now := time.Unix(1000, 0)
	x := NewIndex(true)
	q := Read("How do I reset the password of my router?")
	x.Add(Entry{Question: q, Key: key("1"), Owner: 1, Expires: now.Add(time.Hour)}, now)
	own := func(owner uint64) bool {
		c, _, ok := x.Find(q, nil, [32]byte{}, owner, now)
		if !ok {
			t.Fatal("not found")
		}
		return c.Own
	}
	if !own(1) || own(2) {
		t.Errorf("before: owner %v, other %v", own(1), own(2))
	}
	x.Agreed(key("1"), 1)
	if own(2) {
		t.Error("its owner agreed with itself and that counted")
	}
	x.Agreed(key("1"), 3)
	if !own(2) {
		t.Error("agreed on, and still not served to another")
	}
}

// A principal owns no more than its share of a wide index, so nobody drives out what
// others asked.
func TestShare(t *testing.T) {
	now := time.Unix(1000, 0)
	x := NewIndex(true)
	x.Add(Entry{Question: Read("what does the other one ask"), Key: key("other"), Owner: 2, Expires: now.Add(time.Hour)}, now)
	for i := range 3 * MaxEntries / maxShare {
		x.Add(Entry{Question: Read(fmt.Sprintf("what is thing %d", i)), Key: key(fmt.Sprint(i)), Owner: 1, Expires: now.Add(time.Hour)}, now)
	}
	if got, want := x.Len(), MaxEntries/maxShare+1; got != want {
		t.Errorf("%d entries, want %d", got, want)
	}
}

// Whatever happens, an index stays within its bounds and its parts say the same.
func TestIndexKeepsItsBooks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1000, 0)
		x := NewIndex(rapid.Bool().Draw(t, "wide"))
		for i := range rapid.IntRange(0, 80).Draw(t, "steps") {
			k := key(fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "key")))
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				x.Drop(k)
			case 1:
				x.Find(Read(fmt.Sprintf("what is thing %d", i%5)), nil, [32]byte{}, 1, now)
			default:
				length := rapid.SampledFrom([]int{0, 10, MaxBytes / maxShare / 3, MaxBytes / maxShare}).Draw(t, "length")
				text := fmt.Sprintf("what is thing %d ", i%5) + strings.Repeat("a", length)
				x.Add(Entry{Question: &Question{Text: text, plain: text[:10], terms: Read(text[:10]).terms}, Key: k, Owner: uint64(i % 3), Expires: now.Add(time.Duration(i) * time.Second)}, now)
			}
			now = now.Add(time.Second)
		}
		bytes, owners, found := 0, map[uint64]int{}, 0
		for _, e := range x.entries {
			bytes += e.bytes
			owners[e.Owner]++
		}
		for _, same := range x.byTerms {
			found += len(same)
		}
		if bytes != x.bytes || bytes > MaxBytes || found != len(x.entries) || len(owners) != len(x.byOwner) || int(x.rare.texts) != len(x.entries) {
			t.Fatalf("%d of %d bytes, %d of %d found, owners %v of %v, %d texts", bytes, x.bytes, found, len(x.entries), owners, x.byOwner, x.rare.texts)
		}
		for o, n := range owners {
			if x.byOwner[o] != n {
				t.Fatalf("owner %d has %d, counted %d", o, n, x.byOwner[o])
			}
		}
	})
}

// What is full lets go of what nobody asks for.
func TestEvict(t *testing.T) {
	now := time.Unix(1000, 0)
	x := NewIndex(false)
	for i := range MaxEntries + 10 {
		x.Add(Entry{Question: Read(fmt.Sprintf("what is thing %d", i)), Key: key(fmt.Sprint(i)), Expires: now.Add(time.Hour)}, now)
		x.Find(Read("what is thing 0"), nil, [32]byte{}, 1, now)
	}
	if x.Len() > MaxEntries {
		t.Errorf("%d entries, want at most %d", x.Len(), MaxEntries)
	}
	if _, _, ok := x.Find(Read("what is thing 0"), nil, [32]byte{}, 1, now); !ok {
		t.Error("what was asked for all the time is gone")
	}
	if _, _, ok := x.Find(Read("what is thing 1"), nil, [32]byte{}, 1, now); ok {
		t.Error("what nobody asked for is still there")
	}
}
