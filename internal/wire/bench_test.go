package wire

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// The relay benchmarks compare, in one run: a client and an upstream that know
// nothing of HTTP; the same with a bare relay between them, which copies what
// each read gives; and the same with Server and Pool between them. What wire
// costs is the last less the second.

var (
	benchRequest = []byte("POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: Bearer hw_0123456789abcdef\r\nAccept: */*\r\nUser-Agent: bench\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("a", 1024))
	benchAnswer  = []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("b", 1024))
)

// listen runs a goroutine for each connection and ends them with the benchmark.
func listen(b *testing.B, serve func(net.Conn)) string {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				serve(nc)
			}()
		}
	}()
	return ln.Addr().String()
}

// fakeUpstream answers each read with the same bytes.
func fakeUpstream(b *testing.B) string {
	return listen(b, func(nc net.Conn) {
		buf := make([]byte, 8<<10)
		for {
			if _, err := nc.Read(buf); err != nil {
				return
			}
			if _, err := nc.Write(benchAnswer); err != nil {
				return
			}
		}
	})
}

// ask sends requests until the benchmark ends.
func ask(b *testing.B, addr string) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	buf := make([]byte, 8<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := nc.Write(benchRequest); err != nil {
			b.Fatal(err)
		}
		if n, err := nc.Read(buf); err != nil || !bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 200")) {
			b.Fatalf("got %q %v", buf[:n], err)
		}
	}
}

func BenchmarkUnaryDirect(b *testing.B) { ask(b, fakeUpstream(b)) }

func BenchmarkUnaryBareRelay(b *testing.B) {
	up := fakeUpstream(b)
	ask(b, listen(b, func(nc net.Conn) {
		out, err := net.Dial("tcp", up)
		if err != nil {
			return
		}
		defer out.Close()
		buf := make([]byte, 8<<10)
		for {
			for _, way := range [][2]net.Conn{{nc, out}, {out, nc}} {
				n, err := way[0].Read(buf)
				if err != nil {
					return
				}
				if _, err := way[1].Write(buf[:n]); err != nil {
					return
				}
			}
		}
	}))
}

func BenchmarkUnaryWire(b *testing.B) {
	addr := benchServer(b, fakeUpstream(b), func(x *Exchange, p *Pool) {
		body, err := x.Body(1 << 20)
		if err != nil {
			return
		}
		_, _ = x.Credential()
		r, err := p.Send(x.Context(), &Request{Method: "POST", Target: "/v1/chat/completions", Body: body})
		if err != nil {
			return
		}
		defer r.Close()
		answer, err := r.Body(1<<20, time.Time{})
		if err != nil {
			return
		}
		_ = x.Respond(200, "application/json", nil, answer)
	})
	ask(b, addr)
}

// benchServer serves with a pool before one upstream.
func benchServer(b *testing.B, up string, handler func(*Exchange, *Pool)) string {
	b.Helper()
	d, err := NewDialer([]string{up}, 0)
	if err != nil {
		b.Fatal(err)
	}
	p, err := NewPool("http://"+up, d.Dial, PoolLimits{})
	if err != nil {
		b.Fatal(err)
	}
	s := NewServer(func(x *Exchange) { handler(x, p) }, Limits{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = s.Serve(ln) }()
	b.Cleanup(func() { s.Close(); p.Close() })
	return ln.Addr().String()
}

// The stream benchmarks pass one event at a time, each waited for.

func askStream(b *testing.B, addr string, event int) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Write(benchRequest); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, event)
	head := make([]byte, 1)
	for n := 0; n < 4; { // past the head
		if _, err := io.ReadFull(nc, head); err != nil {
			b.Fatal(err)
		}
		if n++; head[0] != "\r\n\r\n"[n-1] {
			n = 0
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.ReadFull(nc, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// eventUpstream sends events for as long as they are taken: the relays are
// compared by what they cost when each write holds what one read gave.
func eventUpstream(b *testing.B) (addr string, size int) {
	e := event240()
	chunk := append(append(appendChunkSize(nil, len(e)), e...), "\r\n"...)
	return listen(b, func(nc net.Conn) {
		buf := make([]byte, 8<<10)
		if _, err := nc.Read(buf); err != nil {
			return
		}
		_, err := nc.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"))
		for err == nil {
			_, err = nc.Write(chunk)
		}
	}), len(chunk)
}

func BenchmarkEventsBareRelay(b *testing.B) {
	up, size := eventUpstream(b)
	askStream(b, listen(b, func(nc net.Conn) {
		out, err := net.Dial("tcp", up)
		if err != nil {
			return
		}
		defer out.Close()
		buf := make([]byte, 4<<10)
		if n, err := nc.Read(buf); err == nil {
			_, _ = out.Write(buf[:n])
		}
		for {
			n, err := out.Read(buf)
			if err != nil {
				return
			}
			if _, err := nc.Write(buf[:n]); err != nil {
				return
			}
		}
	}), size)
}

func BenchmarkEventsWire(b *testing.B) {
	up, size := eventUpstream(b)
	askStream(b, benchServer(b, up, relayEvents), size)
}

// relayEvents passes whole events on, all of one read by one write.
func relayEvents(x *Exchange, p *Pool) {
	body, err := x.Body(1 << 20)
	if err != nil {
		return
	}
	r, err := p.Send(x.Context(), &Request{Method: "POST", Target: "/v1/chat/completions", Body: body})
	if err != nil {
		return
	}
	defer r.Close()
	if _, err := r.Head(time.Time{}); err != nil {
		return
	}
	x.Release()
	x.Watch()
	if err := x.Begin(200, "text/event-stream; charset=utf-8", nil); err != nil {
		return
	}
	s := NewSplitter(0)
	for {
		piece, err := r.Read(time.Now().Add(30 * time.Second))
		if err != nil {
			_ = x.WriteEnd(nil)
			return
		}
		s.Feed(piece)
		var run []byte
		for {
			e, err := s.Next()
			if err != nil || e == nil {
				break
			}
			run, _ = Extend(run, e.Raw)
		}
		if err := x.Write(run); err != nil {
			return
		}
	}
}
