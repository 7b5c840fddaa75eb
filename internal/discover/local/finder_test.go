package local

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headworks/internal/discover"
	"headworks/internal/discover/discovertest"
)

// machine is a double of this machine's ports, at which engines come and go.
type machine struct {
	mu      sync.Mutex
	engines map[string]http.HandlerFunc // by port
}

func (m *machine) dial(_ context.Context, _, address string) (net.Conn, error) {
	_, port, _ := net.SplitHostPort(address)
	m.mu.Lock()
	engine := m.engines[port]
	m.mu.Unlock()
	if engine == nil {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	near, far := net.Pipe()
	go func() { _ = http.Serve(&single{far: far}, engine) }()
	return near, nil
}

// single is a listener of one connection.
type single struct{ far net.Conn }

func (s *single) Accept() (net.Conn, error) {
	if s.far == nil {
		return nil, io.EOF
	}
	c := s.far
	s.far = nil
	return c, nil
}

func (s *single) Close() error { return nil }

func (s *single) Addr() net.Addr { return &net.TCPAddr{} }

func lists(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, `{"object":"list","data":[{"id":"m"}]}`)
}

func refuses(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func ports(first, last uint16) (all []uint16) {
	for n := first; n <= last; n++ {
		all = append(all, n)
	}
	return all
}

func TestConformance(t *testing.T) {
	discovertest.Run(t, func(t *testing.T) discovertest.Source {
		m := &machine{}
		return discovertest.Source{
			Finder: New(ports(9001, 9250), 0, Search{Dial: m.dial}),
			Set: func(replicas []discover.Replica) {
				m.mu.Lock()
				defer m.mu.Unlock()
				m.engines = map[string]http.HandlerFunc{}
				for _, r := range replicas {
					u, err := url.Parse(r.URL)
					if err != nil {
						t.Fatal(err)
					}
					m.engines[u.Port()] = lists
				}
			},
			URL:    func(n int) string { return "http://127.0.0.1:" + strconv.Itoa(9000+n) },
			Within: 6 * time.Second,
		}
	})
}

// TestWhatIsThere: one that is locked is, one that loads is not, one that is busy stays.
func TestWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{engines: map[string]http.HandlerFunc{"8000": lists, "8001": refuses(401), "8002": refuses(503), "8003": hangs}}
		set := func(port string, h http.HandlerFunc) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.engines[port] = h
		}
		var mu sync.Mutex
		var got []string
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			New(ports(8000, 8004), time.Second, Search{Dial: m.dial}).Watch(ctx, func(found []discover.Replica, err error) {
				mu.Lock()
				defer mu.Unlock()
				got = nil
				for _, r := range found {
					got = append(got, r.URL[len("http://127.0.0.1:"):])
				}
			})
		}()
		want := func(when string, ports ...string) {
			t.Helper()
			time.Sleep(10 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(got, ports) {
				t.Errorf("%s: %v, want %v", when, got, ports)
			}
		}
		want("at first", "8000", "8001")
		set("8000", hangs)
		set("8002", lists)
		want("one is busy, one has loaded", "8000", "8001", "8002")
		set("8000", nil)
		want("one is gone", "8001", "8002")
		set("8000", hangs)
		want("who hangs from the start is not there", "8001", "8002")
		stop()
		<-done
	})
}
