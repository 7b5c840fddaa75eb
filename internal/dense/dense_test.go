package dense

import (
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
)

// clustered returns unit vectors around so many centres: what stands for an
// embedder's where there is none. Each is its centre and as much noise again.
func clustered(rows, dim, centres int, seed uint64) func(yield func(uint32, []float32) bool) {
	return func(yield func(uint32, []float32) bool) {
		draw := rand.New(rand.NewPCG(seed, 1))
		c := make([][]float32, centres)
		for i := range c {
			c[i] = make([]float32, dim)
			gaussian(draw, c[i])
		}
		v := make([]float32, dim)
		for row := range rows {
			gaussian(draw, v)
			for i, x := range c[draw.IntN(centres)] {
				v[i] = x + .6*v[i]
			}
			if !yield(uint32(row), v) {
				return
			}
		}
	}
}

func gaussian(draw *rand.Rand, v []float32) {
	for i := range v {
		v[i] = float32(draw.NormFloat64())
	}
}

// queries returns questions near vectors of a segment.
func queries(s *Segment, n int, seed uint64) [][]float32 {
	draw := rand.New(rand.NewPCG(seed, 2))
	list := make([][]float32, n)
	for i := range list {
		v, _ := s.Vector(nil, s.id(draw.IntN(s.Len())))
		for j := range v {
			v[j] += float32(draw.NormFloat64() * .5 / math.Sqrt(float64(len(v))))
		}
		list[i] = v
	}
	return list
}

func segment(t testing.TB, rows, dim int) *Segment {
	t.Helper()
	s, err := Build(dim, clustered(rows, dim, max(1, rows/50), 1))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The scan finds what comparing everything finds, for each way it goes.
func TestRecall(t *testing.T) {
	for _, dim := range []int{384, 768, 200} {
		s := segment(t, 3000, dim)
		views := map[string]View{"all": {}, "half": {Allowed: roaring.New()}, "few": {Allowed: roaring.New()}, "deleted": {Deleted: roaring.New()}}
		for id := range uint32(3000) {
			if id%2 == 0 {
				views["half"].Allowed.Add(id)
			}
			if id%100 == 0 {
				views["few"].Allowed.Add(id)
			}
			if id%3 == 0 {
				views["deleted"].Deleted.Add(id)
			}
		}
		for name, v := range views {
			t.Run(fmt.Sprint(dim, " ", name), func(t *testing.T) {
				sum := 0.0
				for _, q := range queries(s, 20, 1) {
					got, err := s.Search(q, v, 10, 0)
					if err != nil {
						t.Fatal(err)
					}
					want, err := s.Exact(q, v, 10)
					if err != nil {
						t.Fatal(err)
					}
					for _, h := range got {
						if v.Allowed != nil && !v.Allowed.Contains(h.ID) || v.Deleted != nil && v.Deleted.Contains(h.ID) {
							t.Fatalf("vector %d is not in view", h.ID)
						}
					}
					sum += Recall(got, want)
				}
				if sum/20 < .99 {
					t.Errorf("recall@10 %.4f, want .99", sum/20)
				}
			})
		}
	}
}

func TestWhatIsNoVector(t *testing.T) {
	nan := float32(math.NaN())
	for name, v := range map[string][]float32{"zero": {0, 0}, "NaN": {1, nan}, "infinite": {1, float32(math.Inf(1))}, "short": {1}, "long": {1, 2, 3}} {
		if _, err := Build(2, func(yield func(uint32, []float32) bool) { yield(1, v) }); err == nil {
			t.Errorf("%s is built", name)
		}
		s, err := Build(2, func(yield func(uint32, []float32) bool) { yield(1, []float32{1, 0}) })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Search(v, View{}, 1, 0); err == nil {
			t.Errorf("%s is searched", name)
		}
	}
}

func TestBytes(t *testing.T) {
	s := segment(t, 300, 70)
	again, err := Open(slices.Clone(s.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Verify(); err != nil {
		t.Fatal(err)
	}
	q := queries(s, 1, 3)[0]
	one, _ := s.Search(q, View{}, 5, 0)
	two, _ := again.Search(q, View{}, 5, 0)
	if len(one) != 5 || !slices.Equal(one, two) {
		t.Errorf("%v before, %v after", one, two)
	}
	for _, at := range []int{0, 9, headerSize + 3, len(s.Bytes()) / 2, len(s.Bytes()) - 1} {
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
	for _, n := range []int{0, 10, headerSize, len(s.Bytes()) - 1} {
		if _, err := Open(s.Bytes()[:n]); err == nil {
			t.Errorf("%d bytes open", n)
		}
	}
}

func BenchmarkSearch(b *testing.B) {
	for _, rows := range []int{100_000, 1_000_000} {
		s := segment(b, rows, 384)
		asked := queries(s, 100, 1)
		few := roaring.New()
		for id := 0; id < rows; id += 100 {
			few.Add(uint32(id))
		}
		third := roaring.New()
		for id := 0; id < rows; id += 3 {
			third.Add(uint32(id))
		}
		for _, bench := range []struct {
			name string
			view View
			pool int
		}{{"all", View{}, 200}, {"all pool=400", View{}, 400}, {"1%", View{Allowed: few}, 200}, {"33%", View{Allowed: third}, 200}} {
			b.Run(fmt.Sprint(rows, " ", bench.name), func(b *testing.B) {
				i := 0
				for b.Loop() {
					if _, err := s.Search(asked[i%len(asked)], bench.view, 10, bench.pool); err != nil {
						b.Fatal(err)
					}
					i++
				}
				sum := 0.0
				for _, q := range asked[:20] {
					got, _ := s.Search(q, bench.view, 10, bench.pool)
					want, _ := s.Exact(q, bench.view, 10)
					sum += Recall(got, want)
				}
				b.ReportMetric(sum/20, "recall@10")
			})
		}
	}
}

// without keeps the ids of all but the deleted.
func without(deleted *roaring.Bitmap) func(int, uint32) (uint32, bool) {
	return func(_ int, id uint32) (uint32, bool) { return id, deleted == nil || !deleted.Contains(id) }
}

// What is merged has the bytes of what is built at once.
func TestMerge(t *testing.T) {
	all := segment(t, 700, 70)
	part := func(of func(id uint32) bool) *Segment {
		s, err := Build(70, func(yield func(uint32, []float32) bool) {
			for id := range all.IDs() {
				if v, _ := all.Vector(nil, id); of(id) && !yield(id, v) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	deleted := roaring.BitmapOf(0, 5, 699)
	pieces, err := Merge(without(deleted), part(func(id uint32) bool { return id%3 == 0 }), part(func(id uint32) bool { return id%3 == 2 }), part(func(id uint32) bool { return id%3 == 1 }))
	if err != nil {
		t.Fatal(err)
	}
	var merged []byte
	for piece := range pieces {
		merged = append(merged, piece...)
	}
	if want := part(func(id uint32) bool { return !deleted.Contains(id) }); !slices.Equal(want.Bytes(), merged) {
		t.Errorf("%d bytes are not the %d of what is built at once", len(merged), len(want.Bytes()))
	}
	if _, err := Merge(without(nil), all, all); err == nil {
		t.Error("a vector in two segments is merged")
	}
	if _, err := Merge(without(nil), all, segment(t, 10, 71)); err == nil {
		t.Error("vectors of two dimensions are merged")
	}
}

// Whatever the bytes say, a search ends, and finds ids of the segment alone.
func FuzzOpen(f *testing.F) {
	f.Add(segment(f, 300, 70).Bytes(), uint16(100), uint32(7))
	f.Add(segment(f, 3, 2).Bytes(), uint16(70), uint32(1<<31))
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
		q := make([]float32, s.Dim())
		q[0] = 1
		ids := slices.Collect(s.IDs())
		for _, v := range []View{{}, {Allowed: roaring.BitmapOf(0, 2, 4, 40)}, {Deleted: roaring.BitmapOf(1)}} {
			hits, err := s.Search(q, v, 3, 5)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range hits {
				if !slices.Contains(ids, h.ID) {
					t.Fatalf("found %d", h.ID)
				}
			}
		}
		if pieces, err := Merge(without(nil), s); err == nil {
			for range pieces {
			}
		}
	})
}
