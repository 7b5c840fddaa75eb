package wire

import (
	"bufio"
	"bytes"
	"math/rand/v2"
	"net/http"
	"testing"
)

// FuzzRequest checks that pieces do not matter to a request's head, and that
// whatever is accepted means the same to net/http.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("GET /a?b HTTP/1.1\r\nHost: a\r\nX: \ty \r\n\r\n"), uint64(1))
	f.Add([]byte("POST http://A:1/ HTTP/1.0\r\nhost: a:1\r\nContent-Length: 5\r\nConnection: a, close\r\n\r\nhello"), uint64(2))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"), uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		whole, refused := readRequest([][]byte{b})
		parts, refused2 := readRequest(cut(b, rand.New(rand.NewPCG(seed, 1))))
		if (whole == nil) != (parts == nil) || (refused == nil) != (refused2 == nil) {
			t.Fatalf("%q: whole %v %v, in parts %v %v", b, whole, refused, parts, refused2)
		}
		if whole == nil || refused != nil {
			return
		}
		x := whole
		std, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			if bytes.Contains(b, []byte("%")) || len(x.view(x.path)) == 0 || bytes.HasPrefix(x.view(x.path), []byte("//")) || bytes.ContainsAny(x.view(x.host), ":[]") {
				return // a target or host that is only compared here, never decoded
			}
			t.Fatalf("%q: the standard library refuses it: %v", b, err)
		}
		length := x.unread
		if std.ContentLength != length {
			t.Fatalf("%q: length %d, the standard library %d", b, length, std.ContentLength)
		}
		if std.Method != x.Method() || std.Close != x.closing && !x.old {
			t.Fatalf("%q: %s closing %v, the standard library %s %v", b, x.Method(), x.closing, std.Method, std.Close)
		}
		if h := std.Header.Get("X"); h != "" {
			if v, _ := x.Header("x"); string(v) != h {
				t.Fatalf("%q: X is %q, the standard library %q", b, v, h)
			}
		}
	})
}

// readRequest reads a head that comes in pieces; nil is not whole.
func readRequest(pieces [][]byte) (*Exchange, *refusal) {
	c := newConn(NewServer(nil, Limits{}), nil)
	c.buf = &buffer{}
	x := &c.x
	for _, p := range pieces {
		c.buf.b = append(c.buf.b, p...)
		whole, refused := x.head.parse(c.buf.b, 100)
		switch {
		case refused != nil:
			return x, refused
		case whole:
			return x, x.read()
		}
	}
	return nil, nil
}
