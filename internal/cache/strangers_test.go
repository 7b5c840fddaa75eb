package cache_test

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"headworks/internal/cache"
	"headworks/internal/cache/cachetest"
	"headworks/internal/tenant"
)

// ks is the statistic of Kolmogorov and Smirnov: the largest distance between the
// distributions of two samples.
func ks(a, b []float64) (d float64) {
	slices.Sort(a)
	slices.Sort(b)
	for i, j := 0, 0; i < len(a) && j < len(b); {
		x := min(a[i], b[j])
		for i < len(a) && a[i] == x {
			i++
		}
		for j < len(b) && b[j] == x {
			j++
		}
		d = max(d, math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	return d
}

// sampleSize is how many looks each arm has, and critical what ks of two samples of that
// size exceeds by chance once in a hundred times: 1.63 * sqrt(2/n).
const sampleSize = 250

var critical = 1.63 * math.Sqrt(2./sampleSize)

// strangers is a cache of which one tenant keeps half of what a stranger will ask for.
type strangers struct {
	c                *cache.Cache
	store            *cachetest.Store
	victim, stranger tenant.Scope
}

func newStrangers(t testing.TB, c *cache.Cache, store *cachetest.Store) *strangers {
	s := &strangers{c: c, store: store}
	var ok, also bool
	s.victim, ok = cachetest.Caller("k1", "victim", "web").Scope(tenant.Project)
	s.stranger, also = cachetest.Caller("k2", "stranger", "web").Scope(tenant.Project)
	if !ok || !also {
		t.Fatal("no scopes")
	}
	for i := range sampleSize {
		s.put(t, s.victim, "kept", i)
		s.put(t, s.stranger, "own", i)
	}
	return s
}

func (s *strangers) key(t testing.TB, of tenant.Scope, arm string, i int) cache.Key {
	k, err := s.c.Key(cache.Answers, of, []byte("gpt-5"), fmt.Appendf(nil, `{"messages":[{"content":"%s %d"}]}`, arm, i))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (s *strangers) put(t testing.TB, of tenant.Scope, arm string, i int) {
	s.c.Put(cache.Answers, of, s.key(t, of, arm, i), cache.Entry{Value: make([]byte, 4<<10)}, time.Now())
}

// TestStrangers: what a look does is the same whether another tenant has what is asked
// for or nobody: as many allocations, as many questions to the shared store, nothing
// found. For its own entries a tenant sees a difference, which shows that the test
// would.
func TestStrangers(t *testing.T) {
	for name, shared := range map[string]bool{"memory": false, "shared": true} {
		t.Run(name, func(t *testing.T) {
			var store *cachetest.Store
			var c *cache.Cache
			if shared {
				store = &cachetest.Store{}
				c = over(t, store, true, io.Discard)
			} else {
				c = over(t, nil, false, io.Discard)
			}
			s := newStrangers(t, c, store)
			if shared {
				cachetest.Eventually(t, "all is there", func() bool { return len(store.Values()) == 2*sampleSize })
			}
			type look struct {
				arm string
				i   int
			}
			var looks []look
			for i := range sampleSize {
				looks = append(looks, look{"kept", i}, look{"nobody's", i}, look{"own", i})
			}
			rand.New(rand.NewPCG(1, 2)).Shuffle(len(looks), func(i, j int) { looks[i], looks[j] = looks[j], looks[i] })
			counts := map[string]map[string][]float64{}
			for _, what := range []string{"allocations", "questions", "found", "nanoseconds"} {
				counts[what] = map[string][]float64{}
			}
			for _, l := range looks {
				k := s.key(t, s.stranger, l.arm, l.i)
				asked := 0
				if shared {
					asked = store.Calls()
				}
				found := 0.
				allocations := testing.AllocsPerRun(1, func() {
					began := time.Now()
					if _, ok := c.Fetch(t.Context(), cache.Answers, s.stranger, k, began); ok {
						found = 1
					}
					counts["nanoseconds"][l.arm] = append(counts["nanoseconds"][l.arm], float64(time.Since(began)))
				})
				counts["allocations"][l.arm] = append(counts["allocations"][l.arm], allocations)
				counts["found"][l.arm] = append(counts["found"][l.arm], found)
				if shared {
					asked = store.Calls() - asked
				}
				counts["questions"][l.arm] = append(counts["questions"][l.arm], float64(asked))
			}
			for what, arms := range counts {
				d := ks(arms["kept"], arms["nobody's"])
				t.Logf("%s: D = %.3f, critical %.3f", what, d, critical)
				if what != "nanoseconds" && d > critical { // what a clock says is for the log
					t.Errorf("%s tell of another tenant's entries: D = %.3f", what, d)
				}
			}
			if d := ks(counts["found"]["own"], counts["found"]["nobody's"]); d != 1 {
				t.Errorf("own entries differ by %.3f alone: the test would see nothing", d)
			}
		})
	}
}

// BenchmarkStranger is the same on a clock: the two should take as long.
func BenchmarkStranger(b *testing.B) {
	c, err := cache.New(b.Context(), cache.Options{Memory: 64 << 20})
	if err != nil {
		b.Fatal(err)
	}
	s := newStrangers(b, c, nil)
	for _, arm := range []string{"kept", "nobody's"} {
		var keys []cache.Key
		for i := range sampleSize {
			keys = append(keys, s.key(b, s.stranger, arm, i))
		}
		b.Run(arm, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				c.Get(cache.Answers, s.stranger, keys[i%len(keys)], time.Time{})
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	c, err := cache.New(b.Context(), cache.Options{Memory: 64 << 20})
	if err != nil {
		b.Fatal(err)
	}
	s, ok := alice.Scope(tenant.Project)
	if !ok {
		b.Fatal("no scope")
	}
	marks := c.Begin(alice, s, cache.EpochName{Kind: cache.Model, Name: "m"})
	keys := make([]cache.Key, 5000)
	for i := range keys {
		if keys[i], err = c.Key(cache.Answers, s, fmt.Append(nil, i)); err != nil {
			b.Fatal(err)
		}
		c.Put(cache.Answers, s, keys[i], cache.Entry{Value: make([]byte, 4<<10), Marks: marks}, time.Time{})
	}
	b.Run("hit", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			c.Get(cache.Answers, s, keys[i%len(keys)], time.Time{})
		}
	})
	b.Run("begin", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.Begin(alice, s, cache.EpochName{Kind: cache.Model, Name: "m"})
		}
	})
	for _, size := range []int{1 << 10, 8 << 10, 32 << 10} {
		body := make([]byte, size)
		b.Run(fmt.Sprintf("key/%dK", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				_, _ = c.Key(cache.Answers, s, []byte("gpt-5"), body)
			}
		})
	}
}
