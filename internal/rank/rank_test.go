package rank

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func hits(t *rapid.T, name string) []Hit {
	var list []Hit
	for id, score := range rapid.MapOfN(rapid.Uint32Range(0, 50), rapid.Float64Range(-3, 3), 0, 40).Draw(t, name) {
		list = append(list, Hit{id, math.Round(score)})
	}
	slices.SortFunc(list, Order)
	return list
}

// Whatever is put in, in whatever order and however divided, the best come out.
func TestTopIsTheHeadOfTheSorted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := hits(t, "hits")
		n := rapid.IntRange(-1, 50).Draw(t, "n")
		want := all[:max(0, min(n, len(all)))]
		shuffled := rapid.Permutation(all).Draw(t, "order")
		top := NewTop(n)
		for i, h := range shuffled {
			top.Put(h)
			so := slices.SortedFunc(slices.Values(shuffled[:i+1]), Order)
			if worst, full := top.Worst(); full != (n > 0 && i+1 >= n) || full && worst != so[n-1] {
				t.Fatalf("after %d of %d, the worst is %v, %t", i+1, n, worst, full)
			}
		}
		if got := top.Hits(); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		cut := rapid.IntRange(0, len(all)).Draw(t, "cut")
		if got := Merge(n, shuffled[:cut], shuffled[cut:]); !slices.Equal(got, want) {
			t.Fatalf("merged %v, want %v", got, want)
		}
	})
}

func TestConvex(t *testing.T) {
	a := []Hit{{1, .9}, {2, .5}, {3, .1}}
	b := []Hit{{3, 20}, {4, 10}}
	tests := []struct {
		name  string
		alpha float64
		a, b  []Hit
		n     int
		want  []Hit
	}{
		{"both", .3, a, b, 10, []Hit{{3, .7}, {1, .3}, {2, .15}, {4, 0}}},
		{"the best two", .3, a, b, 2, []Hit{{3, .7}, {1, .3}}},
		{"the first alone", 1, a, b, 2, []Hit{{1, 1}, {2, .5}}},
		{"alpha over 1 is 1", 7, a, b, 1, []Hit{{1, 1}}},
		{"one leg is empty", .3, nil, b, 10, []Hit{{3, .7}, {4, 0}}},
		{"equals are all good", .5, []Hit{{1, 2}, {2, 2}}, nil, 10, []Hit{{1, .5}, {2, .5}}},
		{"nothing", .3, nil, nil, 10, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := Convex(test.alpha, test.a, test.b, test.n)
			if len(got) != len(test.want) {
				t.Fatalf("got %v, want %v", got, test.want)
			}
			for i, h := range got {
				if h.ID != test.want[i].ID || math.Abs(h.Score-test.want[i].Score) > 1e-12 {
					t.Fatalf("got %v, want %v", got, test.want)
				}
			}
		})
	}
	long := make([]Hit, 2*Depth)
	for i := range long {
		long[i] = Hit{uint32(i), float64(-i)}
	}
	if got := Convex(1, long, nil, 1000); len(got) != Depth {
		t.Errorf("%d hits of a ranking count, want %d", len(got), Depth)
	}
}

func TestRRF(t *testing.T) {
	got := RRF(2, []Hit{{1, 5}, {2, 4}, {3, 3}}, []Hit{{3, 9}, {2, 8}})
	want := []Hit{{3, 1./63 + 1./61}, {2, 1./62 + 1./62}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A leg with no say leaves the other one's order as it is.
func TestConvexKeepsTheOrderOfOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := hits(t, "a"), hits(t, "b")
		var want, got []uint32
		for _, h := range b {
			want = append(want, h.ID)
		}
		for _, h := range Convex(0, a, b, 1000) {
			if slices.ContainsFunc(b, func(o Hit) bool { return o.ID == h.ID && h.Score > 0 }) {
				got = append(got, h.ID)
			}
		}
		if !slices.Equal(got, want[:len(got)]) {
			t.Fatalf("got %v, want the head of %v", got, want)
		}
	})
}
