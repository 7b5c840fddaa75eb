package redis_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"headworks/internal/store/redis"
	"headworks/internal/store/redis/redistest"
	"headworks/internal/tenant"
)

// each runs a test against each server that is here.
func each(t *testing.T, f func(t *testing.T, s *redistest.Server), args ...string) {
	redistest.Need(t)
	for name, path := range redistest.Servers() {
		t.Run(name, func(t *testing.T) { f(t, redistest.Start(t, path, args...)) })
	}
}

func TestRedisValues(t *testing.T) {
	each(t, func(t *testing.T, server *redistest.Server) {
		s := server.Store(t)
		if b, err := s.Load(t.Context(), "a"); b != nil || err != nil {
			t.Errorf("nothing is %q, %v", b, err)
		}
		value := []byte("\x00\xff\r\n" + strings.Repeat("x", 300<<10))
		if err := s.Save(t.Context(), "a", value, time.Minute); err != nil {
			t.Fatal(err)
		}
		if b, err := server.Store(t).Load(t.Context(), "a"); string(b) != string(value) || err != nil {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		if err := s.Remove(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if b, err := s.Load(t.Context(), "a"); b != nil || err != nil {
			t.Errorf("removed, it is %q, %v", b, err)
		}
		if err := s.Save(t.Context(), "b", nil, time.Millisecond); err != nil {
			t.Fatal(err)
		}
		eventually(t, "its time is over", func() bool {
			b, err := s.Load(t.Context(), "b")
			return b == nil && err == nil
		})
	})
}

// eventually waits until something is so, for as long as a slow machine may need.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for range 1000 {
		if so() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func TestRedisPassword(t *testing.T) {
	each(t, func(t *testing.T, server *redistest.Server) {
		if _, err := server.Store(t).Load(t.Context(), "a"); err == nil {
			t.Error("answers without a password")
		}
		var d net.Dialer
		s := redis.New(redis.Options{Addr: server.Addr, Password: tenant.NewSecret("geheim-geheim-16"), DB: 3, Dial: d.DialContext})
		t.Cleanup(s.Close)
		if err := s.Save(t.Context(), "a", []byte("x"), time.Minute); err != nil {
			t.Error(err)
		}
	}, "--requirepass", "geheim-geheim-16")
}

// heard collects what Hear tells.
type heard struct {
	mu sync.Mutex
	n  map[string]uint64
}

func (h *heard) tell(name string, n uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n[name] = max(h.n[name], n)
}

func (h *heard) at(name string) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.n[name]
}

func TestRedisEpochs(t *testing.T) {
	each(t, func(t *testing.T, server *redistest.Server) {
		a, b := server.Store(t), server.Store(t)
		for _, tt := range []struct {
			least, by, want uint64
		}{{0, 1, 1}, {0, 1, 2}, {7, 0, 7}, {5, 0, 7}, {5, 2, 9}, {1 << 40, 1, 1<<40 + 1}} {
			if n, err := a.Raise(t.Context(), "model:gpt 5", tt.least, tt.by); n != tt.want || err != nil {
				t.Errorf("%+v: %d, %v", tt, n, err)
			}
		}
		h := heard{n: map[string]uint64{}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Hear(ctx, h.tell) }()
		eventually(t, "what was raised before is heard", func() bool { return h.at("model:gpt 5") == 1<<40+1 })
		if _, err := a.Raise(t.Context(), "policy:everything", 0, 1); err != nil {
			t.Fatal(err)
		}
		eventually(t, "what is raised is heard", func() bool { return h.at("policy:everything") == 1 })
		cancel()
		if err := <-done; err != nil {
			t.Errorf("ended by its context: %v", err)
		}

		// A server that is gone ends it, as does one that lost what it knew.
		go func() { done <- b.Hear(t.Context(), h.tell) }()
		eventually(t, "it hears", func() bool {
			n, _ := a.Raise(t.Context(), "policy:again", 0, 1)
			return n > 0 && h.at("policy:again") > 0
		})
		server.Kill()
		if err := <-done; err == nil {
			t.Error("the server is gone, and nobody says so")
		}
		server.Again()
		eventually(t, "it answers again", func() bool {
			n, err := a.Raise(t.Context(), "model:gpt 5", 1<<40+1, 0)
			return n == 1<<40+1 && err == nil
		})
	})
}

func TestRedisLeases(t *testing.T) {
	each(t, func(t *testing.T, server *redistest.Server) {
		a, b := server.Store(t), server.Store(t)
		is := func(what string, want bool) func(bool, error) {
			return func(got bool, err error) {
				t.Helper()
				if got != want || err != nil {
					t.Errorf("%s: %v, %v", what, got, err)
				}
			}
		}
		is("the first takes it", true)(a.Lease(t.Context(), "k", "a", time.Minute))
		is("the second does not", false)(b.Lease(t.Context(), "k", "b", time.Minute))
		is("who has it renews it", true)(a.Renew(t.Context(), "k", "a", time.Minute))
		is("another one does not", false)(b.Renew(t.Context(), "k", "b", time.Minute))
		is("another one releases nothing", false)(b.Release(t.Context(), "k", "b"))
		is("who has it releases it", true)(a.Release(t.Context(), "k", "a"))
		is("then the second takes it", true)(b.Lease(t.Context(), "k", "b", time.Millisecond))
		eventually(t, "its time is over", func() bool {
			got, err := a.Lease(t.Context(), "k", "a", time.Minute)
			return got && err == nil
		})

		// Of many who want it at once one has it.
		var mu sync.Mutex
		var n int
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if got, err := a.Lease(t.Context(), "many", "x", time.Minute); err != nil {
					t.Error(err)
				} else if got {
					mu.Lock()
					n++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if n != 1 {
			t.Errorf("%d have one lease", n)
		}
	})
}

// Nobody waits longer than he wants to, be the server gone or silent.
func TestGone(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var d net.Dialer
	for name, addr := range map[string]string{"refused": "127.0.0.1:1", "silent": ln.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			s := redis.New(redis.Options{Addr: addr, Dial: d.DialContext})
			defer s.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, load := s.Load(ctx, "a")
			_, raise := s.Raise(ctx, "a", 0, 1)
			_, lease := s.Lease(ctx, "a", "b", time.Second)
			for what, err := range map[string]error{
				"load": load, "save": s.Save(ctx, "a", nil, time.Second), "remove": s.Remove(ctx, "a"), "raise": raise, "lease": lease,
				"hear": s.Hear(ctx, func(string, uint64) {}),
			} {
				if err == nil {
					t.Errorf("%s: no error", what)
				}
			}
		})
	}
}
