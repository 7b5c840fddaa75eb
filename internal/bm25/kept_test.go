package bm25

import (
	"testing"

	"headworks/internal/words"
)

// TestKept: what was asked for longest ago goes first, and the last one stays.
func TestKept(t *testing.T) {
	s, err := Build(func(yield func(uint32, Terms) bool) { yield(0, words.Text("apples")) })
	if err != nil {
		t.Fatal(err)
	}
	k := Kept[string]{Most: 2 * len(s.Bytes())}
	for _, name := range []string{"a", "b", "a"} {
		k.Put(name, s)
	}
	k.Get("a")
	k.Put("c", s)
	for name, want := range map[string]bool{"a": true, "b": false, "c": true, "none": false} {
		if got := k.Get(name) != nil; got != want {
			t.Errorf("%s is kept: %v, want %v", name, got, want)
		}
	}
	small := Kept[string]{Most: 1}
	small.Put("a", s)
	small.Put("b", s)
	if small.Get("a") != nil || small.Get("b") == nil || small.bytes != len(s.Bytes()) {
		t.Errorf("%d bytes of %v are kept", small.bytes, small.order)
	}
}
