package prefix

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestShared: an index that is told what another was told holds the same, where
// budgets leave room for all.
func TestShared(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const replicas = 3
		budgets := []int{5000, 5000, 5000}
		a, b := New(budgets, 0), New(budgets, 0)
		a.Share(1 << 20)
		var prompts [][]uint64
		for range rapid.IntRange(1, 30).Draw(t, "prompts") {
			blocks := rapid.SliceOfN(rapid.Uint64Range(1, 5000), 1, 100).Draw(t, "blocks")
			prompts = append(prompts, blocks)
			a.Insert(rapid.IntRange(0, replicas-1).Draw(t, "replica"), 7, blocks)
			if rapid.Bool().Draw(t, "tell") {
				give(a, b)
			}
		}
		give(a, b)
		for _, p := range prompts {
			one, other := make([]int32, replicas), make([]int32, replicas)
			a.Match(one, 7, p)
			b.Match(other, 7, p)
			if !slices.Equal(one, other) {
				t.Fatalf("%v beside %v", one, other)
			}
		}
	})
}

func give(from, to *Index) (told int) {
	holds, _ := from.News(nil)
	for _, h := range holds {
		to.Hold(int(h.Place), h.Key)
	}
	return len(holds)
}

// TestToldAgain: a block that is sent over and over is told once in ten rounds, to
// another replica at once, and what was heard is not told on.
func TestToldAgain(t *testing.T) {
	a, b := New([]int{100, 100}, 0), New([]int{100, 100}, 0)
	a.Share(100)
	b.Share(100)
	var told []int
	for range 21 {
		a.Insert(0, 1, []uint64{5})
		a.Insert(0, 1, []uint64{5})
		told = append(told, give(a, b))
	}
	want := make([]int, 21)
	want[0], want[10], want[20] = 1, 1, 1
	if !slices.Equal(told, want) {
		t.Errorf("told %v", told)
	}
	a.Insert(1, 1, []uint64{5})
	if n := give(a, b); n != 1 {
		t.Errorf("a second replica is told %d times", n)
	}
	if n := give(b, a); n != 0 {
		t.Errorf("%d of what was heard is told on", n)
	}
}

// TestToldIsBounded: what has no room is counted, and may be told in a later round.
func TestToldIsBounded(t *testing.T) {
	a := New([]int{1000}, 0)
	a.Share(3)
	a.Insert(0, 1, []uint64{1, 2, 3, 4, 5})
	if holds, missed := a.News(nil); len(holds) != 3 || missed != 2 {
		t.Errorf("%d told, %d missed", len(holds), missed)
	}
	a.Insert(0, 1, []uint64{4, 5})
	if holds, missed := a.News(nil); len(holds) != 2 || missed != 0 {
		t.Errorf("%d told later, %d missed", len(holds), missed)
	}
	a.Keep()
	a.Insert(0, 1, []uint64{6})
	if holds, _ := a.News(nil); len(holds) != 0 {
		t.Errorf("%d told of what is kept", len(holds))
	}
}

// TestHoldBeyondBudget: what others tell pushes out, as what is sent does.
func TestHoldBeyondBudget(t *testing.T) {
	x := New([]int{16}, 0)
	for k := range uint64(100) {
		x.Hold(0, k+1)
	}
	if n, budget := x.Holds(0); n != budget {
		t.Errorf("holds %d of %d", n, budget)
	}
	x.Hold(5, 1) // of a replica that is not there
}
