package prefix

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestXXH64 has the vectors of the reference implementation (xxHash 0.8, xxhsum
// -H64) and of the specification.
func TestXXH64(t *testing.T) {
	for text, want := range map[string]uint64{
		"":     0xef46db3751d8e999,
		"a":    0xd24ec4f1a98c6e5b,
		"as":   0x1c330fb2d66be179,
		"asd":  0x631c37ce72a97393,
		"asdf": 0x415872f599cea71e,
		"Call me Ishmael. Some years ago--never mind how long precisely-": 0x02a2e85470d6fd96,
	} {
		if got := xxh64([]byte(text), 0); got != want {
			t.Errorf("%q: %x, want %x", text, got, want)
		}
	}
}

// TestPieces: in whatever pieces a prompt is written, its blocks are the same.
func TestPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "text")
		var whole, pieces Hasher
		whole.Write(text)
		for rest := text; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			pieces.Write(rest[:n])
			rest = rest[n:]
		}
		a, b := whole.Blocks(), pieces.Blocks()
		if len(a) != len(text)/Block || len(a) != len(b) {
			t.Fatalf("%d bytes: %d blocks, %d in pieces", len(text), len(a), len(b))
		}
		for i := range a {
			if a[i] != b[i] {
				t.Fatalf("block %d differs", i)
			}
		}
	})
}

// TestChained: a block tells of all before it.
func TestChained(t *testing.T) {
	var a, b Hasher
	a.Write(bytes.Repeat([]byte("a"), 3*Block))
	b.Write(append([]byte("b"), bytes.Repeat([]byte("a"), 3*Block-1)...))
	for i := range a.Blocks() {
		if a.Blocks()[i] == b.Blocks()[i] {
			t.Errorf("block %d is the same behind another beginning", i)
		}
	}
	if a.Blocks()[1] == a.Blocks()[2] {
		t.Error("equal blocks at two places are the same")
	}
	a.Reset(nil)
	for range 2 * MaxBlocks {
		a.Write(make([]byte, Block))
	}
	a.Write(make([]byte, 4*Block))
	b.Reset(nil)
	b.Write(make([]byte, (MaxBlocks+3)*Block))
	if !slices.Equal(a.Blocks(), b.Blocks()) || len(a.Blocks()) != MaxBlocks {
		t.Errorf("%d and %d blocks", len(a.Blocks()), len(b.Blocks()))
	}
}

// TestWeigh: a picture counts as so many tokens, and pictures are told apart.
func TestWeigh(t *testing.T) {
	var a, b Hasher
	a.Weigh([]byte("one"), 640)
	b.Weigh([]byte("two"), 640)
	if len(a.Blocks()) != 10 || a.Blocks()[0] == b.Blocks()[0] {
		t.Errorf("%d blocks of 640 tokens", len(a.Blocks()))
	}
}

func TestSeed(t *testing.T) {
	seen := map[uint64]bool{}
	for _, s := range [][3]string{{"m", "", ""}, {"", "m", ""}, {"", "", "m"}, {"m", "a", ""}, {"m", "", "a"}, {"ma", "", ""}} {
		seen[Seed(s[0], s[1], s[2])] = true
	}
	if len(seen) != 6 {
		t.Errorf("%d seeds of 6", len(seen))
	}
}

// prompts draws prompts that share beginnings, as block hashes.
func prompt(t *rapid.T) []uint64 {
	var p []uint64
	last := uint64(rapid.IntRange(1, 3).Draw(t, "group"))
	for range rapid.IntRange(0, 12).Draw(t, "blocks") {
		last = mix(last*4 + uint64(rapid.IntRange(0, 1).Draw(t, "branch")))
		p = append(p, last)
	}
	return p
}

// TestAgainstPlainSets: with room for all, a match is what plain sets say: how many
// leading blocks each replica was sent.
func TestAgainstPlainSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		replicas := rapid.IntRange(1, 200).Draw(t, "replicas")
		budgets := make([]int, replicas)
		for i := range budgets {
			budgets[i] = 4096
		}
		x := New(budgets, 0)
		plain := make([]map[uint64]bool, replicas)
		for i := range plain {
			plain[i] = map[uint64]bool{}
		}
		seed := Seed("m", "", "")
		hits := make([]int32, replicas)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			p, r := prompt(t), rapid.IntRange(0, min(replicas, 7)-1).Draw(t, "replica")*(replicas-1)/6%replicas
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				x.Purge(r)
				clear(plain[r])
			case 1, 2, 3, 4, 5:
				x.Insert(r, seed, p)
				for _, b := range p {
					plain[r][b] = true
				}
			default:
				best := x.Match(hits, seed, p)
				most := int32(0)
				for i := range plain {
					want := int32(0)
					for _, b := range p {
						if !plain[i][b] {
							break
						}
						want++
					}
					most = max(most, want)
					if hits[i] != want {
						t.Fatalf("replica %d of %d holds %d of %d blocks, want %d", i, replicas, hits[i], len(p), want)
					}
				}
				if best != most {
					t.Fatalf("the best is %d, want %d", best, most)
				}
				x.Match(hits, seed+2, p)
				for i, n := range hits {
					if n != 0 {
						t.Fatalf("replica %d holds blocks of another model", i)
					}
				}
			}
			x.check(t)
		}
	})
}

// check looks whether table and rings tell the same.
func (x *Index) check(t *rapid.T) {
	keys, held := 0, 0
	for at, k := range x.keys {
		if k == 0 {
			continue
		}
		keys++
		if x.find(k) != at {
			t.Fatalf("key %x cannot be found", k)
		}
	}
	if keys != x.count || keys > len(x.keys)*loadNum/loadDen+1 {
		t.Fatalf("%d keys, counted %d, room for %d", keys, x.count, len(x.keys))
	}
	for r := range x.rings {
		n := 0
		for _, k := range x.rings[r].keys {
			if k == 0 {
				continue
			}
			n++
			at := x.find(k)
			if x.keys[at] != k || x.sets[at*x.words+r>>6]&(1<<(r&63)) == 0 {
				t.Fatalf("replica %d holds %x, and the table does not know", r, k)
			}
		}
		if n != x.rings[r].count || n > x.rings[r].budget {
			t.Fatalf("replica %d holds %d, counted %d, of %d", r, n, x.rings[r].count, x.rings[r].budget)
		}
		held += n
	}
	bits := 0
	for at, k := range x.keys {
		if k == 0 {
			continue
		}
		for _, w := range x.sets[at*x.words : (at+1)*x.words] {
			for ; w != 0; w &= w - 1 {
				bits++
			}
		}
	}
	if held != x.held || bits != held {
		t.Fatalf("%d held, counted %d, %d in sets", held, x.held, bits)
	}
}

// TestBudgets: with little room nothing is held beyond the budgets, and nothing is
// claimed that was not sent.
func TestBudgets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := New([]int{16, 20, 40}, 0)
		sent := []map[uint64]bool{{}, {}, {}}
		hits := make([]int32, 3)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			p, r := prompt(t), rapid.IntRange(0, 2).Draw(t, "replica")
			x.Insert(r, 1, p)
			for _, b := range p {
				sent[r][b] = true
			}
			x.check(t)
			x.Match(hits, 1, p)
			if int(hits[r]) != len(p) {
				t.Fatalf("the prompt that was sent just now is held to %d of %d", hits[r], len(p))
			}
			for i, n := range hits {
				for _, b := range p[:n] {
					if !sent[i][b] {
						t.Fatalf("replica %d holds what it was never sent", i)
					}
				}
			}
		}
	})
}

// TestWhatIsUsedStays: CLOCK keeps what is asked for again and again.
func TestWhatIsUsedStays(t *testing.T) {
	x := New([]int{100}, 0)
	hot := []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	x.Insert(0, 1, hot)
	src := rand.New(rand.NewPCG(1, 2))
	hits := make([]int32, 1)
	for range 1000 {
		var cold []uint64
		for range 20 {
			cold = append(cold, src.Uint64())
		}
		x.Insert(0, 1, cold)
		if x.Match(hits, 1, hot); hits[0] != 10 {
			t.Fatalf("%d of 10 are left", hits[0])
		}
	}
	if !x.Full() {
		t.Error("a thousand prompts, and it is not full")
	}
}

// TestHardCap: however large the budgets are, the index stays within its bytes.
func TestHardCap(t *testing.T) {
	budgets := make([]int, 100)
	for i := range budgets {
		budgets[i] = 1 << 20
	}
	const most = 1 << 20
	x := New(budgets, most)
	src := rand.New(rand.NewPCG(1, 2))
	p := make([]uint64, 64)
	for i := range 3000 {
		for k := range p {
			p[k] = src.Uint64()
		}
		x.Insert(i%100, 1, p)
	}
	if _, bytes := x.Size(); bytes > 2*most { // a table that doubles may be twice as large as it must be
		t.Errorf("%d bytes, the cap is %d", bytes, most)
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	x, p, hits := full(100)
	if n := testing.AllocsPerRun(100, func() { x.Match(hits, 1, p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// full is an index of a pool in use, and a prompt of 32 KB that half of the
// replicas hold to some depth.
func full(replicas int) (*Index, []uint64, []int32) {
	budgets := make([]int, replicas)
	for i := range budgets {
		budgets[i] = 4322
	}
	x := New(budgets, 256<<20)
	src := rand.New(rand.NewPCG(1, 2))
	random := make([]uint64, 128)
	for i := range replicas * 30 {
		for k := range random {
			random[k] = src.Uint64()
		}
		x.Insert(i%replicas, 1, random)
	}
	p := make([]uint64, 128)
	for k := range p {
		p[k] = src.Uint64()
	}
	for r := 0; r < replicas; r += 2 {
		x.Insert(r, 1, p[:1+r%128])
	}
	return x, p, make([]int32, replicas)
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{100, 1000} {
		x, p, hits := full(n)
		b.Run(map[int]string{100: "100 replicas", 1000: "1000 replicas"}[n], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				x.Match(hits, 1, p)
			}
		})
	}
}

func BenchmarkHash32KB(b *testing.B) {
	text := bytes.Repeat([]byte("0123456789abcdef"), 2048)
	var h Hasher
	blocks := make([]uint64, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		h.Reset(blocks[:0])
		h.Write(text)
	}
}
