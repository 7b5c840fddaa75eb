// Package bridge lets HTTP/2 clients in. Each of their requests becomes one of
// HTTP/1.1 on a connection in memory, so that it meets the very front that all
// others meet: the same limits, the same refusals, the same streams.
//
// It costs more than a connection of HTTP/1.1 does; nothing is held back for it: an
// event leaves when it comes, and a client that cancels is noticed at once.
package bridge

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Front takes connections of HTTP/1.1.
type Front interface {
	// Accept serves a connection on a goroutine of its own.
	Accept(nc net.Conn)
}

// Bridge serves connections of HTTP/2.
type Bridge struct {
	front  Front
	server *http.Server
	queue  queue
}

// Bounds of what one client may do; the front has its own for each request.
const (
	mostStreams = 250
	mostHead    = 64 << 10
	mostUnread  = 1 << 20 // of bodies that came and the front has not read
	idle        = 2 * time.Minute
)

// New returns a Bridge to a front. What goes wrong on a connection is logged.
func New(f Front, failures *log.Logger) *Bridge {
	b := &Bridge{front: f, queue: queue{conns: make(chan net.Conn), closed: make(chan struct{})}}
	var p http.Protocols
	p.SetUnencryptedHTTP2(true) // what is encrypted was decrypted before
	b.server = &http.Server{
		Handler: http.HandlerFunc(b.handle), Protocols: &p, ErrorLog: failures,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: mostStreams, SendPingTimeout: 30 * time.Second,
			MaxReceiveBufferPerConnection: mostUnread, MaxReceiveBufferPerStream: mostUnread / 4,
		},
		MaxHeaderBytes: mostHead, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: idle,
	}
	return b
}

// Run serves until Shutdown or Close.
func (b *Bridge) Run() error {
	if err := b.server.Serve(&b.queue); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown lets no more requests in, and returns once the last has ended, or ctx's
// error.
func (b *Bridge) Shutdown(ctx context.Context) error { return b.server.Shutdown(ctx) }

// Close ends every connection.
func (b *Bridge) Close() { _ = b.server.Close() } // listener and connections are gone either way

// Serve serves a connection that begins with the preface of HTTP/2, and returns when
// it has ended.
func (b *Bridge) Serve(nc net.Conn) {
	over := make(chan struct{})
	select {
	case b.queue.conns <- &watched{Conn: nc, over: over}:
		<-over
	case <-b.queue.closed:
	}
}

// watched tells when a connection is closed.
type watched struct {
	net.Conn
	once sync.Once
	over chan struct{}
}

func (w *watched) Close() error {
	defer w.once.Do(func() { close(w.over) })
	return w.Conn.Close()
}

// queue is a listener for connections that somebody else accepted.
type queue struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case nc := <-q.conns:
		return nc, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

func (q *queue) Addr() net.Addr { return &net.UnixAddr{Name: "bridge", Net: "unix"} }

// from is a connection in memory that tells where its client really is.
type from struct {
	net.Conn
	client string
}

func (f *from) RemoteAddr() net.Addr {
	at, err := netip.ParseAddrPort(f.client)
	if err != nil {
		return f.Conn.RemoteAddr()
	}
	return net.TCPAddrFromAddrPort(at)
}

// hop are the fields that belong to a connection. A request of HTTP/2 that has one is
// malformed (RFC 9113 8.2.2); an answer keeps none.
var hop = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"}

func (b *Bridge) handle(w http.ResponseWriter, r *http.Request) {
	for _, name := range hop {
		if r.Header[name] != nil {
			http.Error(w, "a request of HTTP/2 has no "+name, http.StatusBadRequest)
			return
		}
	}
	if te := r.Header.Get("Te"); te != "" && te != "trailers" {
		http.Error(w, "a request of HTTP/2 has no TE but trailers", http.StatusBadRequest)
		return
	}
	if strings.ContainsAny(r.Method+r.RequestURI+r.Host, " \t\r\n") {
		http.Error(w, "a space in the method, the path or the authority", http.StatusBadRequest)
		return
	}
	near, far := net.Pipe()
	defer near.Close()
	b.front.Accept(&from{far, r.RemoteAddr})
	stop := context.AfterFunc(r.Context(), func() { near.Close() })
	defer stop()
	var sending sync.WaitGroup
	sending.Go(func() { send(near, r) })
	defer sending.Wait()
	defer r.Body.Close() // an answer may end before its request does
	defer near.Close()
	answer, err := http.ReadResponse(bufio.NewReader(near), r)
	if err != nil {
		panic(http.ErrAbortHandler) // the stream is reset
	}
	defer answer.Body.Close()
	for name, values := range answer.Header {
		if !slices.Contains(hop, name) {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(answer.StatusCode)
	relay(w, answer.Body)
}

// send writes a request as HTTP/1.1 has it, its body as it comes. What goes wrong shows
// where the answer is read: the front says why it takes no more, or the client is gone.
func send(nc net.Conn, r *http.Request) {
	var head bytes.Buffer
	say := func(parts ...string) {
		for _, p := range parts {
			head.WriteString(p)
		}
	}
	say(r.Method, " ", r.RequestURI, " HTTP/1.1\r\nHost: ", r.Host, "\r\nConnection: close\r\n")
	r.Header.Del("Content-Length")
	r.Header.Del("Te")
	for name, values := range r.Header {
		for _, v := range values {
			say(name, ": ", v, "\r\n")
		}
	}
	switch {
	case r.ContentLength > 0:
		say("Content-Length: ", strconv.FormatInt(r.ContentLength, 10), "\r\n")
	case r.ContentLength < 0:
		say("Transfer-Encoding: chunked\r\n")
	}
	say("\r\n")
	if _, err := nc.Write(head.Bytes()); err != nil || r.ContentLength == 0 {
		return
	}
	var out []byte
	for buf := make([]byte, 32<<10); ; {
		n, err := r.Body.Read(buf)
		piece := buf[:n]
		if n > 0 && r.ContentLength < 0 {
			out = append(strconv.AppendUint(out[:0], uint64(n), 16), "\r\n"...)
			out = append(append(out, piece...), "\r\n"...)
			piece = out
		}
		if n > 0 {
			if _, err := nc.Write(piece); err != nil {
				return
			}
		}
		switch {
		case err == nil:
		case !errors.Is(err, io.EOF):
			nc.Close() // what is cut may not look whole
			return
		case r.ContentLength < 0:
			_, _ = io.WriteString(nc, "0\r\n\r\n") // as above
			return
		default:
			return
		}
	}
}

// relay hands on what comes as it comes. An answer that is cut resets the stream.
func relay(w http.ResponseWriter, body io.Reader) {
	flush := http.NewResponseController(w)
	buf := make([]byte, 32<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return // the client is gone
			}
			_ = flush.Flush() // as above
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return
		default:
			panic(http.ErrAbortHandler)
		}
	}
}
