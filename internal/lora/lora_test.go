package lora

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestRank: who holds the adapter, who has room for it, who must let another one go,
// and where a request would wait.
func TestRank(t *testing.T) {
	var s State
	rank := func(want Rank, adapter string) {
		t.Helper()
		if got := s.Rank(1, adapter, 2); got != want {
			t.Errorf("%s is %d, want %d; it holds %v", adapter, got, want, s.Holds(1))
		}
	}
	rank(Free, "a")
	s.Take(1, "a", 2)
	rank(Held, "a")
	rank(Free, "b")
	s.Take(1, "b", 2)
	rank(Busy, "c")
	s.Give(1, "a")
	rank(Held, "a")
	rank(Idle, "c")
	s.Take(1, "c", 2)
	rank(Busy, "a") // a gave its slot
	if s.Give(1, "b"); !slices.Equal(s.Holds(1), []string{"b", "c"}) {
		t.Errorf("%v", s.Holds(1))
	}
	s.Forget(1)
	rank(Held, "c") // it runs
	rank(Free, "b")
	s.Give(1, "c")
	s.Forget(1)
	rank(Free, "c")
}

// TestSeen: what the engine says of itself counts: the slots that it has, and adapters
// that others use.
func TestSeen(t *testing.T) {
	var s State
	s.Seen(0, []string{"x", ""}, 3)
	if s.Rank(0, "x", 1) != Held || s.Rank(0, "y", 1) != Free || s.Rank(1, "x", 1) != Free {
		t.Errorf("%v", s.Holds(0))
	}
	s.Seen(0, []string{"x", "y", "z"}, 3)
	if s.Rank(0, "w", 1) != Busy {
		t.Errorf("%v", s.Holds(0))
	}
	s.Seen(0, nil, 3) // idle, and still there
	if s.Rank(0, "w", 1) != Idle || s.Rank(0, "z", 1) != Held {
		t.Errorf("%v", s.Holds(0))
	}
	s.Seen(0, nil, 1)
	if !slices.Equal(s.Holds(0), []string{"z"}) {
		t.Errorf("with one slot: %v", s.Holds(0))
	}
}

// TestAnyUse: an adapter with a request on its way is held, no more idle ones are kept
// than there are slots, and what is taken and given is forgotten in the end.
func TestAnyUse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s State
		slots := rapid.IntRange(1, 4).Draw(t, "slots")
		running := map[string]int{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			name := fmt.Sprint("a", rapid.IntRange(0, 6).Draw(t, "adapter"))
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1:
				s.Take(2, name, slots)
				running[name]++
			case 2:
				if running[name] > 0 {
					running[name]--
					s.Give(2, name)
				}
			default:
				s.Forget(2)
			}
			used := 0
			for name, n := range running {
				if n > 0 {
					used++
					if s.Rank(2, name, slots) != Held {
						t.Fatalf("%s runs and is not held: %v", name, s.Holds(2))
					}
				}
			}
			if n := len(s.Holds(2)); n > max(slots, used) {
				t.Fatalf("%d are held, of %d slots and %d that run", n, slots, used)
			}
		}
		for name, n := range running {
			for range n {
				s.Give(2, name)
			}
		}
		if s.Forget(2); len(s.Holds(2)) > 0 {
			t.Fatalf("%v are left", s.Holds(2))
		}
	})
}
