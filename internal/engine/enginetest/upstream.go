package enginetest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"headworks/internal/engine"
	"headworks/internal/fleet"
)

// upstream is a server on raw TCP that does what its script says, and an engine
// that speaks to it.
type upstream struct {
	engine  *engine.HTTP
	replica fleet.Replica

	mu       sync.Mutex
	conns    int
	requests []*request
}

// request is one request, and the connection it came on.
type request struct {
	conn   int // number of the connection, from 0
	nth    int // number of the request on it, from 0
	line   string
	header textproto.MIMEHeader
	body   string

	nc net.Conn
	br *bufio.Reader
}

// play starts an upstream and an engine of the kind for it. The script answers a
// request and says whether the connection goes on.
func (k Kind) play(t *testing.T, script func(*request) bool) *upstream {
	t.Helper()
	u := &upstream{}
	u.replica = fleet.Replica{ID: 3, Name: "r3", URL: "http://" + u.listen(t, script)}
	e, err := k.New([]fleet.Replica{{ID: 1, URL: "http://127.0.0.1:1"}, u.replica}, []string{key})
	if err != nil {
		t.Fatal(err)
	}
	u.engine = e
	t.Cleanup(e.Close)
	return u
}

func (u *upstream) listen(t *testing.T, script func(*request) bool) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for conn := 0; ; conn++ {
			nc, err := ln.Accept()
			if err != nil {
				return // the test is over
			}
			u.mu.Lock()
			u.conns++
			u.mu.Unlock()
			running.Go(func() {
				defer nc.Close()
				br := bufio.NewReader(nc)
				for nth := 0; ; nth++ {
					r, err := readRequest(nc, br)
					if err != nil {
						return // closed, or no request: the test will miss it
					}
					r.conn, r.nth = conn, nth
					u.mu.Lock()
					u.requests = append(u.requests, r)
					u.mu.Unlock()
					if !script(r) {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		if u.engine != nil {
			u.engine.Close()
		}
		running.Wait()
	})
	return ln.Addr().String()
}

func readRequest(nc net.Conn, br *bufio.Reader) (*request, error) {
	r := &request{nc: nc, br: br}
	tr := textproto.NewReader(br)
	var err error
	if r.line, err = tr.ReadLine(); err != nil {
		return nil, err
	}
	if r.header, err = tr.ReadMIMEHeader(); err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(r.header.Get("Content-Length"))
	if err != nil {
		return nil, err
	}
	body := make([]byte, n)
	_, err = io.ReadFull(br, body)
	r.body = string(body)
	return r, err
}

// stream reports whether the request asks for one.
func (r *request) stream() bool { return r.header.Get("Accept") != "application/json" }

// send writes to the engine; false if it is gone.
func (r *request) send(parts ...string) bool {
	for _, p := range parts {
		if _, err := io.WriteString(r.nc, p); err != nil {
			return false
		}
	}
	return true
}

// reset ends the connection by a reset.
func (r *request) reset() bool {
	if c, ok := r.nc.(*net.TCPConn); ok {
		_ = c.SetLinger(0) // fails only on a closed connection
	}
	return false
}

// untilGone waits until the engine closes the connection.
func (r *request) untilGone() bool {
	_, _ = io.Copy(io.Discard, r.br) // any end will do
	return false
}

func (u *upstream) seen() (conns int, requests []*request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.conns, append([]*request(nil), u.requests...)
}

// media is the type of a stream.
func (d *speech) media() string {
	if d.lines {
		return "application/x-ndjson"
	}
	return "text/event-stream"
}

// head is the head of a stream in chunks.
func (d *speech) head() string {
	return "HTTP/1.1 200 OK\r\nContent-Type: " + d.media() + "; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
}

// comment is what a server sends to keep a connection alive.
func (d *speech) comment() string {
	if d.lines {
		return " \n"
	}
	return ": ping\n\n"
}

// pieces cuts a stream behind each event, its end included.
func (d *speech) pieces(stream string) []string {
	end := "\n\n"
	if d.lines {
		end = "\n"
	}
	return slices.DeleteFunc(strings.SplitAfter(stream, end), func(p string) bool { return p == "" })
}

// chunked writes pieces in the chunked coding, without its end.
func chunked(pieces ...string) string {
	var b strings.Builder
	for _, p := range pieces {
		if p == "" {
			continue // that would be the end
		}
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(p), p)
	}
	return b.String()
}

// chunksEnd is the end of the chunked coding.
const chunksEnd = "0\r\n\r\n"

// whole returns a whole answer that is a stream.
func (d *speech) whole(pieces ...string) string { return d.head() + chunked(pieces...) + chunksEnd }

// answer returns a whole answer of any other kind.
func answer(status int, contentType, body string, fields ...string) string {
	var head strings.Builder
	head.WriteString(fmt.Sprintf("HTTP/1.1 %d Whatever\r\n", status))
	if contentType != "" {
		head.WriteString("Content-Type: " + contentType + "\r\n")
	}
	for _, f := range fields {
		head.WriteString(f + "\r\n")
	}
	return head.String() + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body
}
