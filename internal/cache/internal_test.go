package cache

import (
	"encoding/binary"
	"math"
	"runtime"
	"testing"
	"time"

	"headworks/internal/tenant"
)

// TestOverhead: what an entry is charged beside its value covers what it takes, ghosts
// included.
func TestOverhead(t *testing.T) {
	const n, valueSize = 100_000, 64
	s, ok := (&tenant.Caller{KeyID: "k", Tenant: "acme", Project: "web"}).Scope(tenant.Project)
	if !ok {
		t.Fatal("no scope")
	}
	live := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	c, err := New(t.Context(), Options{Memory: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(n) {
		var k Key
		binary.LittleEndian.PutUint64(k[:], i*0x9e3779b97f4a7c15)
		c.Put(Answers, s, k, Entry{Value: make([]byte, valueSize)}, time.Time{})
	}
	took := float64(live() - before)
	entries := c.Report().Layers[Answers].Entries
	each := took/float64(entries) - valueSize
	t.Logf("%d entries, %.0f bytes each beside the value; charged are %d", entries, each, overhead)
	if each > 1.1*overhead {
		t.Errorf("an entry takes %.0f bytes beside its value, charged are %d", each, overhead)
	}
	runtime.KeepAlive(c)
}

func TestFitting(t *testing.T) {
	for _, tt := range []struct {
		budget, whole, used, limit, want int64
	}{
		{1600, 1600, 1 << 40, math.MaxInt64, 1600}, // nobody set a limit
		{800, 1600, 1, math.MaxInt64, 1600},
		{1600, 1600, 9001, 10_000, 800},
		{800, 1600, 9001, 10_000, 400},
		{150, 1600, 9001, 10_000, 100}, // a sixteenth stays
		{100, 1600, 9001, 10_000, 100},
		{400, 1600, 8000, 10_000, 400}, // neither short nor at ease
		{400, 1600, 7000, 10_000, 500},
		{1550, 1600, 7000, 10_000, 1600},
		{0, 0, 9999, 10_000, 0},
	} {
		if got := fitting(tt.budget, tt.whole, tt.used, tt.limit); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}
	if used, limit := memory(); used <= 0 || limit <= 0 {
		t.Errorf("memory: %d of %d", used, limit)
	}
}

// TestShards: a budget is split so that each shard takes entries of 400 KiB, where it is
// large enough.
func TestShards(t *testing.T) {
	for memory, want := range map[int64]int{0: 1, 1 << 20: 1, 31 << 20: 1, 32 << 20: 2, 256 << 20: 16, 4 << 30: 64} {
		c, err := New(t.Context(), Options{Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		if len(c.shards) != want {
			t.Errorf("%d bytes: %d shards", memory, len(c.shards))
		}
		if memory >= perShard && c.shards[0].kept.Largest() < 400<<10 {
			t.Errorf("%d bytes: the largest entry has %d", memory, c.shards[0].kept.Largest())
		}
	}
}
