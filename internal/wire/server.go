package wire

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Server answers HTTP/1.1 requests, one goroutine per connection. A request
// that has no single reading is refused before the handler sees it.
type Server struct {
	// Refuse, where set, gives the body that tells a client why its request was
	// not read, or that its handler panicked, and adds what else the answer's head
	// says.
	Refuse func(status int, words string, h *Header) (contentType string, body []byte)
	// Other, where set, gets a connection that begins with the preface of HTTP/2 (RFC
	// 9113 3.4), unread, and returns when it is over.
	Other func(nc net.Conn)
	// Panicked, where set, is told of a panic in the handler, with its stack.
	Panicked func(cause any, stack []byte)

	handler func(*Exchange)
	limits  Limits

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	empty     chan struct{} // closed when draining and no connection is left
	stopped   chan struct{} // closed when no more connections are accepted
	running   sync.WaitGroup

	draining atomic.Bool
	inFlight atomic.Int64
	failed   atomic.Int64
	date     atomic.Pointer[date]
}

// NewServer returns a server whose handler runs on the goroutine of the
// request's connection and answers before it returns. Refuse and Panicked are
// set before the first Serve.
func NewServer(handler func(*Exchange), limits Limits) *Server {
	return &Server{
		handler:   handler,
		limits:    limits.defaulted(),
		listeners: map[net.Listener]struct{}{},
		conns:     map[*conn]struct{}{},
		empty:     make(chan struct{}),
		stopped:   make(chan struct{}),
	}
}

// Serve accepts connections until Drain or Close, then returns nil. A failure
// to accept (too many open files) is tried again after a pause of up to 1 s and
// counted; only a listener that somebody else closed is an error.
func (s *Server) Serve(ln net.Listener) error {
	if !s.listen(ln) {
		return nil
	}
	defer s.unlisten(ln)
	var pause time.Duration
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.start(nc)
		case s.draining.Load():
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			s.failed.Add(1)
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-s.stopped:
			}
		}
	}
}

// Drain stops accepting, ends idle connections at once and every other one
// after its current exchange, and returns nil once none is left, or ctx's error.
func (s *Server) Drain(ctx context.Context) error {
	s.stop()
	select {
	case <-s.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Cancel cancels the contexts of all exchanges with a cause. Their connections
// stay: handlers can still tell their clients why the answer ends.
func (s *Server) Cancel(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.leave(cause)
	}
}

// Close ends every connection, cancels the contexts of their exchanges and
// returns when all handlers have.
func (s *Server) Close() {
	s.stop()
	s.mu.Lock()
	for c := range s.conns {
		c.leave(errClosing)
		if c.idle.Load() {
			c.nc.Close()
		} else {
			c.cut()
		}
	}
	s.mu.Unlock()
	s.running.Wait()
}

// Open returns how many connections there are.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// InFlight returns how many exchanges are being handled.
func (s *Server) InFlight() int { return int(s.inFlight.Load()) }

// AcceptFailures returns how many times no connection could be accepted.
func (s *Server) AcceptFailures() int64 { return s.failed.Load() }

func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Swap(true) {
		return
	}
	close(s.stopped)
	for ln := range s.listeners {
		ln.Close()
	}
	for c := range s.conns {
		c.retire()
	}
	if len(s.conns) == 0 {
		close(s.empty)
	}
}

func (s *Server) listen(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		ln.Close()
		return false
	}
	s.listeners[ln] = struct{}{}
	return true
}

func (s *Server) unlisten(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
	ln.Close()
}

// Accept serves a connection that somebody else accepted, on a goroutine of its own.
func (s *Server) Accept(nc net.Conn) { s.start(nc) }

func (s *Server) start(nc net.Conn) {
	// A client that stops reading is noticed after this much, not after the
	// megabytes that the kernel would take.
	if t, ok := under(nc).(interface{ SetWriteBuffer(int) error }); ok {
		_ = t.SetWriteBuffer(256 << 10) // only a hint: the kernel's own bound holds without it
	}
	c := newConn(s, nc)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		nc.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.running.Go(c.serve)
}

// under returns the connection that TLS runs over, or nc itself.
func under(nc net.Conn) net.Conn {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return nc
}

func (s *Server) ended(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 && s.draining.Load() {
		close(s.empty)
	}
}

// date is the Date field of one second.
type date struct {
	second int64
	line   string
}

func (s *Server) appendDate(b []byte, now time.Time) []byte {
	d := s.date.Load()
	if second := now.Unix(); d == nil || d.second != second {
		d = &date{second, now.UTC().Format("Date: Mon, 02 Jan 2006 15:04:05 GMT\r\n")}
		s.date.Store(d)
	}
	return append(b, d.line...)
}
