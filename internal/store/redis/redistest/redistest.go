// Package redistest starts real servers that speak Redis' protocol, for tests.
package redistest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"headworks/internal/store/redis"
	"headworks/internal/wire"
)

// Servers returns the servers that this machine has, by name.
func Servers() (found map[string]string) {
	found = map[string]string{}
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			found[name] = path
		}
	}
	return found
}

// Need returns one of the servers of this machine, or skips the test.
func Need(t *testing.T) string {
	t.Helper()
	for _, path := range Servers() {
		return path
	}
	t.Skip("SKIPPED: neither redis-server nor valkey-server is here; test/servers.sh installs one")
	return ""
}

// Server is a running one. It keeps nothing on disk.
type Server struct {
	Addr string
	path string
	args []string
	t    *testing.T
	run  *exec.Cmd
}

// Start starts a server of that path, which ends with the test.
func Start(t *testing.T, path string, args ...string) *Server {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Addr: ln.Addr().String(), path: path, t: t}
	ln.Close()
	_, port, _ := net.SplitHostPort(s.Addr)
	s.args = append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir()}, args...)
	t.Cleanup(s.Kill)
	s.Again()
	return s
}

// Again starts the server after Kill, at the same address, without what it knew.
func (s *Server) Again() {
	s.t.Helper()
	s.run = exec.CommandContext(context.Background(), s.path, s.args...) // Kill ends it
	s.run.Stderr = os.Stderr
	if err := s.run.Start(); err != nil {
		s.t.Fatal(err)
	}
	for range 500 {
		if d, err := wire.NewDialer([]string{s.Addr}, 0); err != nil {
			s.t.Fatal(err)
		} else if c, err := d.Dial(context.Background(), "tcp", s.Addr); err == nil {
			c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatal("the server does not listen")
}

// Kill ends the server as a loss of power would.
func (s *Server) Kill() {
	if s.run != nil {
		_ = s.run.Process.Kill()
		_ = s.run.Wait()
		s.run = nil
	}
}

// Store returns a store at the server, which is closed with the test.
func (s *Server) Store(t *testing.T) *redis.Store {
	t.Helper()
	d, err := wire.NewDialer([]string{s.Addr}, 0)
	if err != nil {
		t.Fatal(err)
	}
	store := redis.New(redis.Options{Addr: s.Addr, Dial: d.Dial})
	t.Cleanup(store.Close)
	return store
}
