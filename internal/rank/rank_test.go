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

func TestStretch(t *testing.T) {
	for _, test := range []struct{ scores, want []float64 }{
		{nil, []float64{}},
		{[]float64{7}, []float64{1}},
		{[]float64{2, 2}, []float64{1, 1}},
		{[]float64{.9, .5, .1}, []float64{1, .5, 0}},
		{[]float64{1, -1}, []float64{1, 0}},
	} {
		got := Stretch(test.scores)
		if len(got) != len(test.want) {
			t.Fatalf("%v: %v, want %v", test.scores, got, test.want)
		}
		for i := range got {
			if math.Abs(got[i]-test.want[i]) > 1e-12 {
				t.Fatalf("%v: %v, want %v", test.scores, got, test.want)
			}
		}
	}
	long := make([]float64, 2*Depth)
	for i := range long {
		long[i] = float64(-i)
	}
	if got := Stretch(long); got[0] != 1 || got[Depth-2] <= 0 || got[Depth-1] != 0 || got[Depth] != 0 {
		t.Errorf("the ends of %d are %v and %v", len(long), got[:1], got[Depth-2:Depth+1])
	}
}
