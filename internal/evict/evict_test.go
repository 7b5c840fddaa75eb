package evict

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestHolds: whatever is done, the entries that were not let go are there, no more
// than the budget, and what left was said once.
func TestHolds(t *testing.T) {
	noon := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		model := map[int]int{} // values by key
		sizes := map[int]int64{}
		c := New(1000, func(k, v int, _ Why) {
			if got, ok := model[k]; !ok || got != v {
				t.Fatalf("%d left with %d, it was %d, %v", k, v, got, ok)
			}
			delete(model, k)
			delete(sizes, k)
		})
		key := rapid.IntRange(0, 60)
		n := 0
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				k, size := key.Draw(t, "key"), rapid.Int64Range(0, 30).Draw(t, "size")
				n++
				if c.Put(k, n, size, time.Time{}, noon) != (size <= c.Largest()) {
					t.Fatalf("%d bytes", size)
				} else if size <= c.Largest() {
					model[k], sizes[k] = n, size
				}
			},
			"get": func(t *rapid.T) {
				k := key.Draw(t, "key")
				v, ok := c.Get(k, noon)
				if want, there := model[k]; ok != there || v != want {
					t.Fatalf("%d: %d, %v; want %d, %v", k, v, ok, want, there)
				}
			},
			"remove": func(t *rapid.T) {
				k := key.Draw(t, "key")
				if _, there := model[k]; c.Remove(k) != there {
					t.Fatal(k)
				}
			},
			"resize": func(t *rapid.T) { c.Resize(rapid.Int64Range(0, 1500).Draw(t, "budget"), noon) },
			"sweep": func(t *rapid.T) {
				mod := rapid.IntRange(2, 9).Draw(t, "mod")
				n := rapid.IntRange(1, 99).Draw(t, "places")
				for at := c.Sweep(0, n, noon, func(k, _ int) bool { return k%mod == 0 }); at != 0; {
					at = c.Sweep(at, n, noon, func(k, _ int) bool { return k%mod == 0 })
				}
				for k := range c.All() {
					if k%mod == 0 {
						t.Fatalf("%d is still there", k)
					}
				}
			},
			"": func(t *rapid.T) {
				sum := int64(0)
				for _, s := range sizes {
					sum += s
				}
				if c.Len() != len(model) || c.Bytes() != sum || sum > c.Budget() {
					t.Fatalf("%d entries of %d bytes, want %d of %d", c.Len(), c.Bytes(), len(model), sum)
				}
				all := 0
				for k, v := range c.All() {
					if all++; model[k] != v {
						t.Fatalf("%d is %d", k, v)
					}
				}
				if all != len(model) || len(c.ghosts.at) > max(fewGhosts, 61) {
					t.Fatalf("%d of %d, %d ghosts", all, len(model), len(c.ghosts.at))
				}
			},
		})
	})
}
