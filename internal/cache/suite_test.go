package cache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"headworks/internal/cache"
	"headworks/internal/cache/cachetest"
	"headworks/internal/store/redis/redistest"
	"headworks/internal/tenant"
)

// over returns a cache over a shared store, which runs until the test ends.
func over(t *testing.T, shared cache.Shared, encrypt bool, log io.Writer) *cache.Cache {
	t.Helper()
	c, err := cache.New(t.Context(), cache.Options{
		Memory: 32 << 20, Secret: tenant.NewSecret("a secret of all gateways"), Shared: shared, Encrypt: encrypt,
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { c.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return c
}

func TestSuite(t *testing.T) {
	broken := func(breaks func(*cachetest.Store)) func(t *testing.T) *cache.Cache {
		return func(t *testing.T) *cache.Cache {
			s := &cachetest.Store{}
			breaks(s)
			return over(t, s, true, io.Discard)
		}
	}
	for name, make := range map[string]func(t *testing.T) *cache.Cache{
		"memory": func(t *testing.T) *cache.Cache {
			c, err := cache.New(t.Context(), cache.Options{Memory: 32 << 20})
			if err != nil {
				t.Fatal(err)
			}
			return c
		},
		"shared":   broken(func(*cachetest.Store) {}),
		"down":     broken(func(s *cachetest.Store) { s.Break(true) }),
		"slow":     broken(func(s *cachetest.Store) { s.Stall(true) }),
		"tampered": broken(func(s *cachetest.Store) { s.Tamper(func(b []byte) []byte { b[len(b)/2] ^= 1; return b }) }),
	} {
		t.Run(name, func(t *testing.T) { cachetest.Run(t, make) })
	}
}

func TestPair(t *testing.T) {
	for name, encrypt := range map[string]bool{"encrypted": true, "plain": false} {
		t.Run(name, func(t *testing.T) {
			cachetest.Pair(t, func(t *testing.T) (a, b *cache.Cache) {
				s := &cachetest.Store{}
				return over(t, s, encrypt, io.Discard), over(t, s, encrypt, io.Discard)
			})
		})
	}
}

// The same with real servers, and with one that is killed.
func TestRedisSuite(t *testing.T) {
	redistest.Need(t)
	for name, path := range redistest.Servers() {
		t.Run(name, func(t *testing.T) {
			cachetest.Run(t, func(t *testing.T) *cache.Cache {
				return over(t, redistest.Start(t, path).Store(t), true, io.Discard)
			})
			cachetest.Pair(t, func(t *testing.T) (a, b *cache.Cache) {
				server := redistest.Start(t, path)
				return over(t, server.Store(t), true, io.Discard), over(t, server.Store(t), true, io.Discard)
			})
			t.Run("killed", func(t *testing.T) {
				cachetest.Run(t, func(t *testing.T) *cache.Cache {
					server := redistest.Start(t, path)
					c := over(t, server.Store(t), true, io.Discard)
					_ = c.PurgeAll()
					server.Kill()
					return c
				})
			})
		})
	}
}

var alice = cachetest.Caller("k1", "acme", "web")

func at(t *testing.T, c *cache.Cache, frame string) (tenant.Scope, cache.Key) {
	t.Helper()
	s, ok := alice.Scope(tenant.Project)
	if !ok {
		t.Fatal("no project")
	}
	k, err := c.Key(cache.Answers, s, []byte(frame))
	if err != nil {
		t.Fatal(err)
	}
	return s, k
}

// TestPatience: a look waits 20 ms for a store that is slow, and after three of them
// nobody waits for a second, then two, up to half a minute; the first after that does.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &cachetest.Store{}
		store.Stall(true)
		c := over(t, store, true, io.Discard)
		s, k := at(t, c, "a")
		look := func() time.Duration {
			began := time.Now()
			if _, ok := c.Fetch(t.Context(), cache.Answers, s, k, time.Now()); ok {
				t.Error("found in a store that says nothing")
			}
			return time.Since(began)
		}
		// The loop that hears of epochs fails too, but only looks and writes count.
		for i := range 3 {
			if took := look(); took != 20*time.Millisecond {
				t.Errorf("look %d takes %v", i, took)
			}
		}
		for _, rest := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second} {
			time.Sleep(rest - 20*time.Millisecond)
			if took := look(); took != 0 {
				t.Errorf("%v after a failure, a look takes %v", rest, took)
			}
			if r := c.Report().Shared; !r.Resting {
				t.Errorf("%v after a failure: %+v", rest, r)
			}
			time.Sleep(20 * time.Millisecond)
			if took := look(); took != 20*time.Millisecond {
				t.Errorf("after %v, a look takes %v", rest, took)
			}
		}
		time.Sleep(30 * time.Second)
		store.Stall(false)
		if took := look(); took != 0 || c.Report().Shared.Resting {
			t.Errorf("whole again, a look takes %v, %+v", took, c.Report().Shared)
		}
	})
}

// TestGoneCaller: that who asked has left says nothing of the store.
func TestGoneCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &cachetest.Store{}
		store.Stall(true)
		c := over(t, store, true, io.Discard)
		s, k := at(t, c, "a")
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			c.Fetch(ctx, cache.Answers, s, k, time.Now())
			cancel()
		}
		if r := c.Report().Shared; r.Resting || r.Failures != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// TestWritesAreBounded: what a store does not take is dropped and counted, and nobody
// who puts something waits.
func TestWritesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &cachetest.Store{}
		store.Stall(true)
		c := over(t, store, true, io.Discard)
		began := time.Now()
		s, k := at(t, c, "a")
		for range 3000 {
			c.Put(cache.Answers, s, k, cache.Entry{Value: []byte("x")}, time.Now())
		}
		big := bytes.Repeat([]byte("x"), 200<<10)
		for range 200 {
			c.Put(cache.Answers, s, k, cache.Entry{Value: big}, time.Now())
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("who put waited %v", took)
		}
		if r := c.Report().Shared; r.Waiting > 1024 || r.Dropped < 3200-1024-2 {
			t.Errorf("%+v", r)
		}
		time.Sleep(time.Hour) // what waits is given up
		synctest.Wait()
		if r := c.Report().Shared; r.Waiting != 0 || r.Dropped != 3200 {
			t.Errorf("after a while: %+v", r)
		}
	})
}

// only returns the one name that a store has.
func only(t *testing.T, s *cachetest.Store) (name string) {
	t.Helper()
	all := s.Values()
	if len(all) != 1 {
		t.Fatalf("%d values", len(all))
	}
	for name = range all {
	}
	return name
}

// TestTampering: nothing that somebody else wrote, moved or changed is given to anybody;
// it is counted, told and removed.
func TestTampering(t *testing.T) {
	for name, encrypt := range map[string]bool{"encrypted": true, "plain": false} {
		t.Run(name, func(t *testing.T) {
			store := &cachetest.Store{}
			a := over(t, store, encrypt, io.Discard)
			s, k := at(t, a, "a")
			a.Put(cache.Answers, s, k, cache.Entry{Value: []byte("the truth of alice"), Marks: a.Begin(alice, s)}, time.Now())
			cachetest.Eventually(t, "it is there", func() bool { return len(store.Values()) == 1 })
			name := only(t, store)
			sealed := store.Values()[name]
			if got := bytes.Contains(sealed, []byte("alice")); got == encrypt {
				t.Errorf("readable: %v", got)
			}

			var b *cache.Cache
			var log strings.Builder
			looked := uint64(0)
			fresh := func() {
				log.Reset()
				b, looked = over(t, store, encrypt, &log), 0
			}
			refused := func(what string, change func([]byte) []byte) {
				t.Helper()
				store.Tamper(change)
				if e, ok := b.Fetch(t.Context(), cache.Answers, s, k, time.Now()); ok {
					t.Errorf("%s: it is given %q", what, e.Value)
				}
				looked++
				if r := b.Report().Shared; r.Tampered != looked {
					t.Errorf("%s: %+v", what, r)
				}
				// It was removed: put it back.
				cachetest.Eventually(t, "removed", func() bool { return store.Values()[name] == nil })
				if err := store.Save(t.Context(), name, sealed, time.Hour); err != nil {
					t.Fatal(err)
				}
			}
			fresh()
			for i := range sealed {
				refused("one bit", func(b []byte) []byte { b[i] ^= 1 << (i % 8); return b })
			}
			refused("cut", func(b []byte) []byte { return b[:len(b)-1] })
			refused("longer", func(b []byte) []byte { return append(b, 0) })
			refused("empty", func([]byte) []byte { return []byte{} })
			refused("short", func([]byte) []byte { return []byte("x") })
			if n := strings.Count(log.String(), "not written by a gateway"); n != 1 {
				t.Errorf("the log says %d times, of %d, that somebody else writes there", n, looked)
			}

			// Of another entry, under this one's name.
			fresh()
			_, other := at(t, a, "b")
			a.Put(cache.Answers, s, other, cache.Entry{Value: []byte("another truth")}, time.Now())
			cachetest.Eventually(t, "the other is there", func() bool { return len(store.Values()) == 2 })
			all := store.Values()
			delete(all, name)
			var foreign []byte
			for _, foreign = range all {
			}
			refused("moved", func([]byte) []byte { return foreign })

			// In the other form: who encrypts takes nothing that is not.
			wrong := &cachetest.Store{}
			c := over(t, wrong, !encrypt, io.Discard)
			c.Put(cache.Answers, s, k, cache.Entry{Value: []byte("x")}, time.Now())
			cachetest.Eventually(t, "it is there", func() bool { return wrong.Values()[name] != nil })
			refused("the other form", func([]byte) []byte { return wrong.Values()[name] })

			store.Tamper(nil)
			if e, ok := b.Fetch(t.Context(), cache.Answers, s, k, time.Now()); !ok || string(e.Value) != "the truth of alice" {
				t.Errorf("as it was written: %q, %v", e.Value, ok)
			}
		})
	}
}

// TestUntold: a purge while the store is gone holds here at once, and reaches the others
// once it is back, also if others purged meanwhile.
func TestUntold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &cachetest.Store{}
		a, b := over(t, store, true, io.Discard), over(t, store, true, io.Discard)
		model := cache.EpochName{Kind: cache.Model, Name: "m"}
		s, _ := at(t, a, "")
		time.Sleep(time.Second)
		put := func(c *cache.Cache, frame string) cache.Key {
			_, k := at(t, c, frame)
			c.Put(cache.Answers, s, k, cache.Entry{Marks: c.Begin(alice, s, model)}, time.Now())
			return k
		}
		ka, kb := put(a, "a"), put(b, "b")
		store.Break(true)
		if err := a.PurgeModel("m"); !errors.Is(err, cache.ErrUntold) {
			t.Errorf("untold: %v", err)
		}
		if _, ok := a.Get(cache.Answers, s, ka, time.Now()); ok {
			t.Error("purged, and found")
		}
		if _, ok := b.Get(cache.Answers, s, kb, time.Now()); !ok {
			t.Error("not purged there yet, and not found")
		}
		between := put(a, "between") // after a's purge, before it hears of b's
		if err := b.PurgeModel("m"); !errors.Is(err, cache.ErrUntold) {
			t.Errorf("untold: %v", err)
		}
		store.Break(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if x, y := a.Epoch(cache.Model, "m"), b.Epoch(cache.Model, "m"); x != y || x < 2 {
			t.Errorf("the gateways are at %d and %d", x, y)
		}
		if _, ok := a.Get(cache.Answers, s, between, time.Now()); ok {
			t.Error("what the other's purge was of is found")
		}

		// A store that lost what it knew hears it again.
		store.Empty()
		store.Break(true)
		time.Sleep(time.Minute)
		store.Break(false)
		time.Sleep(time.Minute)
		c := over(t, store, true, io.Discard)
		time.Sleep(time.Minute)
		synctest.Wait()
		if x, y := a.Epoch(cache.Model, "m"), c.Epoch(cache.Model, "m"); x != y {
			t.Errorf("who knew says %d, who came says %d", x, y)
		}
	})
}

// ledger keeps epochs as a database would.
type ledger map[string]uint64

func (l ledger) LoadEpochs(_ context.Context, tell func(kind, name string, n uint64)) error {
	for flat, n := range l {
		kind, name, _ := strings.Cut(flat, ":")
		tell(kind, name, n)
	}
	tell("of tomorrow", "x", 1)
	return nil
}

func (l ledger) SaveEpoch(_ context.Context, kind, name string, n uint64) error {
	l[kind+":"+name] = max(l[kind+":"+name], n)
	return nil
}

// TestRestart: epochs go on where they were.
func TestRestart(t *testing.T) {
	kept := ledger{}
	start := func() *cache.Cache {
		c, err := cache.New(t.Context(), cache.Options{Memory: 1 << 20, Epochs: kept})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := start()
	for range 3 {
		if err := c.PurgeModel("m"); err != nil {
			t.Fatal(err)
		}
	}
	mark := c.Mark(cache.Policy, "p")
	if err := c.PurgeAll(); err != nil {
		t.Fatal(err)
	}
	if mark.Current() {
		t.Error("all moved, and a policy did not")
	}
	again := start()
	if n := again.Epoch(cache.Model, "m"); n != 3 {
		t.Errorf("epoch %d after a restart", n)
	}
	x, y := c.Mark(cache.Policy, "p").Append(nil), again.Mark(cache.Policy, "p").Append(nil)
	if !bytes.Equal(x, y) || bytes.Equal(x, mark.Append(nil)) {
		t.Errorf("frames %x, %x, before %x", x, y, mark.Append(nil))
	}
}

// TestSweeps: what nobody finds any more is free within a minute.
func TestSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := over(t, nil, false, io.Discard)
		s, _ := at(t, c, "")
		for i := range 3000 {
			_, k := at(t, c, string(rune('a'+i%26))+string(rune(i)))
			e := cache.Entry{Marks: c.Begin(alice, s)}
			if i%2 == 0 {
				e.Expires = time.Now().Add(time.Second)
			}
			c.Put(cache.Answers, s, k, e, time.Now())
		}
		if err := c.PurgeScope(s.String()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		r := c.Report().Layers[cache.Answers]
		if r.Entries != 0 || r.Bytes != 0 || r.Expired == 0 || r.Dead == 0 || r.Expired+r.Dead != r.Puts {
			t.Errorf("%+v", r)
		}
	})
}

// TestAtOnce: many do everything at once. The race detector looks on.
func TestAtOnce(t *testing.T) {
	store := &cachetest.Store{}
	c := over(t, store, true, io.Discard)
	s, _ := at(t, c, "")
	var wrong atomic.Int64
	done := make(chan struct{})
	for w := range 8 {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range 300 {
				_, k := at(t, c, string(rune('a'+(i*w)%26)))
				switch i % 5 {
				case 0:
					c.Put(cache.Answers, s, k, cache.Entry{Value: k[:], Marks: c.Begin(alice, s)}, time.Now())
				case 1:
					if e, ok := c.Get(cache.Answers, s, k, time.Now()); ok && !bytes.Equal(e.Value, k[:]) {
						wrong.Add(1)
					}
				case 2:
					if e, ok := c.Fetch(t.Context(), cache.Answers, s, k, time.Now()); ok && !bytes.Equal(e.Value, k[:]) {
						wrong.Add(1)
					}
				case 3:
					c.Sweep(time.Now())
					c.Report()
				case 4:
					_ = c.Bump(cache.Model, "m")
					c.Limit(int64(8+i%8) << 20)
				}
			}
		}()
	}
	for range 8 {
		<-done
	}
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d wrong values", n)
	}
}
