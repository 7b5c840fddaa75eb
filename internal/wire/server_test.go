package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"headworks/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipes is a listener whose connections are made by dial, in memory.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

// inMemory serves a handler in a bubble, where time passes when all wait.
func inMemory(t *testing.T, limits Limits, handler func(*Exchange), test func(t *testing.T, s *Server, p *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(handler, limits)
		p := newPipes()
		served := make(chan error, 1)
		go func() { served <- s.Serve(p) }()
		test(t, s, p)
		s.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// overTCP serves a handler on a real socket.
func overTCP(t *testing.T, limits Limits, handler func(*Exchange)) (*Server, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(handler, limits)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, ln.Addr().String()
}

// say writes bytes, beside the caller, and returns all that comes back.
func say(t *testing.T, nc net.Conn, b string) string {
	t.Helper()
	defer nc.Close()
	if b != "" {
		go nc.Write([]byte(b))
	}
	all, err := io.ReadAll(nc)
	if err != nil {
		t.Errorf("after %q: %v", all, err)
	}
	return string(all)
}

// echo answers with what it understood.
func echo(x *Exchange) {
	body, err := x.Body(1 << 20)
	if err != nil {
		f := fault.Of(err)
		_ = x.Respond(f.HTTPStatus(), "text/plain", nil, []byte(f.Words))
		return
	}
	_ = x.Respond(200, "text/plain", nil, fmt.Appendf(nil, "%s %s?%s %q", x.Method(), x.Path(), x.Query(), body))
}

// status returns the three digits of an answer.
func status(answer string) string {
	if len(answer) < 12 {
		return answer
	}
	return answer[9:12]
}

const (
	start = "POST /v1/x HTTP/1.1\r\nHost: a\r\n"
	last  = "Connection: close\r\n"
)

func TestRefusesWhatHasTwoReadings(t *testing.T) {
	for name, c := range map[string]struct{ send, status string }{
		"content-length and chunks":        {start + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		"chunks and content-length":        {start + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "400"},
		"bare LF":                          {"GET / HTTP/1.1\nHost: a\n\n", "400"},
		"bare LF after one line":           {"GET / HTTP/1.1\r\nHost: a\n\r\n", "400"},
		"bare LF ends the head":            {"GET / HTTP/1.1\r\nHost: a\r\n\n", "400"},
		"folded value":                     {start + "X: a\r\n b\r\n\r\n", "400"},
		"folded by a tab":                  {start + "X: a\r\n\tb\r\n\r\n", "400"},
		"first field is folded":            {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400"},
		"two content-lengths, equal":       {start + "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", "400"},
		"two content-lengths":              {start + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "400"},
		"listed content-length":            {start + "Content-Length: 1, 1\r\n\r\nx", "400"},
		"signed content-length":            {start + "Content-Length: +1\r\n\r\nx", "400"},
		"negative content-length":          {start + "Content-Length: -1\r\n\r\nx", "400"},
		"hexadecimal content-length":       {start + "Content-Length: 0x1\r\n\r\nx", "400"},
		"empty content-length":             {start + "Content-Length:\r\n\r\n", "400"},
		"overflowing content-length":       {start + "Content-Length: 99999999999999999999\r\n\r\n", "400"},
		"unknown coding":                   {start + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "400"},
		"identity coding":                  {start + "Transfer-Encoding: identity\r\n\r\n", "400"},
		"chunked twice":                    {start + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		"coding with a vertical tab":       {start + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "400"},
		"chunked in HTTP/1.0":              {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		"space before colon":               {start + "Content-Length : 1\r\n\r\nx", "400"},
		"no colon":                         {start + "Content-Length\r\n\r\n", "400"},
		"empty name":                       {start + ": x\r\n\r\n", "400"},
		"NUL in a value":                   {start + "X: a\x00b\r\n\r\n", "400"},
		"CR in a value":                    {start + "X: a\rb\r\n\r\n", "400"},
		"CR in the target":                 {"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		"NUL in a name":                    {start + "X\x00: a\r\n\r\n", "400"},
		"two hosts":                        {start + "Host: a\r\n\r\n", "400"},
		"no host":                          {"GET / HTTP/1.1\r\n\r\n", "400"},
		"host with a path":                 {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"},
		"host with a user":                 {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "400"},
		"two authorizations":               {start + "Authorization: Bearer a\r\nauthorization: Bearer a\r\n\r\n", "400"},
		"two keys":                         {start + "X-Api-Key: a\r\nx-api-key: b\r\n\r\n", "400"},
		"another host in the target":       {"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		"a user in the target":             {"GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n", "400"},
		"CONNECT":                          {"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "400"},
		"asterisk":                         {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		"two spaces":                       {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		"space behind the version":         {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "505"},
		"a tab between":                    {"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		"HTTP/0.9":                         {"GET /\r\n\r\n", "400"},
		"HTTP/1.2":                         {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", "505"},
		"lower-case version":               {"GET / http/1.1\r\nHost: a\r\n\r\n", "400"},
		"HTTP/2 by prior knowledge":        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"},
		"TLS":                              {"\x16\x03\x01\x02\x00\x01\x00\n\n", "400"},
		"another expectation":              {start + "Expect: a miracle\r\nContent-Length: 1\r\n\r\nx", "417"},
		"large head":                       {start + "X: " + strings.Repeat("a", 70<<10) + "\r\n\r\n", "431"},
		"large head of small fields":       {start + strings.Repeat("X: "+strings.Repeat("a", 1000)+"\r\n", 80) + "\r\n", "431"},
		"many fields":                      {start + strings.Repeat("X: a\r\n", 100) + "\r\n", "431"},
		"long target":                      {"GET /" + strings.Repeat("a", 8<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", "414"},
		"very long target":                 {"GET /" + strings.Repeat("a", 20<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", "414"},
		"chunk size is no number":          {start + "Transfer-Encoding: chunked\r\n\r\nx\r\n", "400"},
		"chunk size has a sign":            {start + "Transfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n", "400"},
		"chunk size overflows":             {start + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", "400"},
		"bare LF behind a chunk size":      {start + "Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n", "400"},
		"bare LF behind a chunk extension": {start + "Transfer-Encoding: chunked\r\n\r\n1;a\nx\r\n0\r\n\r\n", "400"},
		"chunk longer than its size":       {start + "Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n", "400"},
		"bare LF ends the chunks":          {start + "Transfer-Encoding: chunked\r\n\r\n0\r\n\n", "400"},
		"chunk extensions without end":     {start + "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("a", 20<<10), "400"},
		"trailers without end":             {start + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("A: b\r\n", 4<<10), "400"},
		"a body above the bound":           {start + "Content-Length: 1048577\r\n\r\n", "413"},
		"a body in chunks above the bound": {start + "Transfer-Encoding: chunked\r\n\r\n100001\r\n" + strings.Repeat("a", 0x100001) + "\r\n0\r\n\r\n", "413"},
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, Limits{}, echo, func(t *testing.T, _ *Server, p *pipes) {
				got := say(t, p.dial(), c.send)
				if status(got) != c.status || !strings.Contains(got, "\r\nConnection: close\r\n") {
					t.Errorf("got %.200q, want a %s that closes", got, c.status)
				}
				if strings.Count(got, "HTTP/1.1") > 1+strings.Count(got, "speaks HTTP/1.1") {
					t.Errorf("got more than one answer: %q", got)
				}
			})
		})
	}
}

func TestReads(t *testing.T) {
	for name, c := range map[string]struct{ send, body string }{
		"no body":                {start + last + "\r\n", `POST /v1/x? ""`},
		"a body":                 {start + last + "Content-Length: 5\r\n\r\nhello", `POST /v1/x? "hello"`},
		"an empty line before":   {"\r\n" + start + last + "\r\n", `POST /v1/x? ""`},
		"chunks":                 {start + last + "transfer-encoding: Chunked\r\n\r\n3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\nX-Trailer: t\r\n\r\n", `POST /v1/x? "hello"`},
		"no chunks":              {start + last + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", `POST /v1/x? ""`},
		"a raw path":             {"GET /v1%2f..%2fadmin?a=%20&b=?# HTTP/1.1\r\nHost: a\r\n" + last + "\r\n", `GET /v1%2f..%2fadmin?a=%20&b=?# ""`},
		"dots":                   {"GET /v1/../admin HTTP/1.1\r\nHost: a\r\n" + last + "\r\n", `GET /v1/../admin? ""`},
		"absolute form":          {"GET http://A:80/x?y HTTP/1.1\r\nHost: a:80\r\n" + last + "\r\n", `GET /x?y ""`},
		"absolute without path":  {"GET http://a?y HTTP/1.1\r\nHost: a\r\n" + last + "\r\n", `GET ?y ""`},
		"asterisk":               {"OPTIONS * HTTP/1.1\r\nHost: a\r\n" + last + "\r\n", `OPTIONS *? ""`},
		"HTTP/1.0":               {"POST /x HTTP/1.0\r\nContent-Length: 2\r\n\r\nok", `POST /x? "ok"`},
		"close among others":     {start + "Connection: foo, CLOSE\r\n\r\n", `POST /v1/x? ""`},
		"a head of 60 KiB":       {start + last + strings.Repeat("X: "+strings.Repeat("a", 1000)+"\r\n", 60) + "\r\n", `POST /v1/x? ""`},
		"a body of many buffers": {start + last + "Content-Length: 200000\r\n\r\n" + strings.Repeat("a", 200000), `POST /v1/x? "` + strings.Repeat("a", 200000) + `"`},
		"the same in chunks":     {start + last + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("3e8\r\n"+strings.Repeat("a", 1000)+"\r\n", 200) + "0\r\n\r\n", `POST /v1/x? "` + strings.Repeat("a", 200000) + `"`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, piece := range []int{len(c.send), 1009, 7, 1} {
				if piece < 100 && len(c.send) > 10000 {
					continue
				}
				inMemory(t, Limits{}, echo, func(t *testing.T, _ *Server, p *pipes) {
					nc := p.dial()
					go func() {
						for b := []byte(c.send); len(b) > 0; b = b[min(piece, len(b)):] {
							nc.Write(b[:min(piece, len(b))])
						}
					}()
					head, body, _ := strings.Cut(say(t, nc, ""), "\r\n\r\n")
					if body != c.body || status(head) != "200" {
						t.Errorf("in pieces of %d: got %.200q %.200q, want %.200q", piece, head, body, c.body)
					}
				})
			}
		})
	}
}

func TestHeadersAreExactTokens(t *testing.T) {
	inMemory(t, Limits{}, func(x *Exchange) {
		_, underscore := x.Header("x-api-key")
		v, _ := x.Header("X-REQUEST-ID")
		n := 0
		for range x.Headers() {
			n++
		}
		key, err := x.Credential()
		_ = x.Respond(200, "", nil, fmt.Appendf(nil, "%v %s %d %s %s %v", underscore, v, n, x.view(x.host), key, err))
	}, func(t *testing.T, _ *Server, p *pipes) {
		got := say(t, p.dial(), "GET / HTTP/1.1\r\nHost: a\r\nX_API_KEY: k\r\nx-Request-Id: \t7 \r\n"+last+"\r\n")
		if want := "\r\n\r\nfalse 7 4 a  <nil>"; !strings.HasSuffix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestCredential(t *testing.T) {
	for _, c := range []struct{ fields, want, kind string }{
		{"", "", "none"},
		{"Authorization: Bearer abc\r\n", "abc", "none"},
		{"Authorization: bearer  abc\r\n", "abc", "none"},
		{"x-api-key: abc\r\n", "abc", "none"},
		{"x-api-key:\r\n", "", "none"},
		{"x-api-key: abc\r\nAuthorization: Bearer abc\r\n", "abc", "none"},
		{"x-api-key: abd\r\nAuthorization: Bearer abc\r\n", "", "invalid_request"},
		{"x-api-key:\r\nAuthorization: Bearer abc\r\n", "", "invalid_request"},
		{"x-goog-api-key: abc\r\n", "abc", "none"},
		{"x-goog-api-key: abc\r\nx-api-key: abc\r\nAuthorization: Bearer abc\r\n", "abc", "none"},
		{"x-goog-api-key: abc\r\nx-api-key: abd\r\n", "", "invalid_request"},
		{"X-Goog-Api-Key: abd\r\nAuthorization: Bearer abc\r\n", "", "invalid_request"},
		{"Authorization: Basic abc\r\n", "", "unauthenticated"},
		{"Authorization: Bearer \r\n", "", "unauthenticated"},
		{"Authorization: Bearerabc\r\n", "", "unauthenticated"},
	} {
		inMemory(t, Limits{}, func(x *Exchange) {
			key, err := x.Credential()
			kind := fault.None
			if err != nil {
				kind = fault.Of(err).Kind
			}
			_ = x.Respond(200, "", nil, fmt.Appendf(nil, "%s %v", key, kind))
		}, func(t *testing.T, _ *Server, p *pipes) {
			got := say(t, p.dial(), start+last+c.fields+"\r\n")
			if !strings.HasSuffix(got, "\r\n\r\n"+c.want+" "+c.kind) {
				t.Errorf("%q: got %q, want %q %s", c.fields, got, c.want, c.kind)
			}
		})
	}
}

func TestParam(t *testing.T) {
	for query, want := range map[string]string{
		"": "", "?": "", "?key": "", "?key=": "", "?alt=sse&key=a%2Bb&key=c": "a+b", "?xkey=a&key=b": "b", "?key=%zz": "%zz", "?Key=a": "",
	} {
		inMemory(t, Limits{}, func(x *Exchange) {
			_ = x.Respond(200, "", nil, append([]byte("= "), x.Param("key")...))
		}, func(t *testing.T, _ *Server, p *pipes) {
			if got := say(t, p.dial(), "GET /a"+query+" HTTP/1.1\r\nHost: a\r\n"+last+"\r\n"); !strings.HasSuffix(got, "\r\n\r\n= "+want) {
				t.Errorf("%s: got %q, want %q", query, got, want)
			}
		})
	}
}

// answer reads one answer with a Content-Length.
func answer(t *testing.T, br *bufio.Reader) (head, body string) {
	t.Helper()
	length := 0
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", head, err)
		}
		head += line
		fmt.Sscanf(line, "Content-Length: %d", &length)
		if line == "\r\n" {
			break
		}
	}
	b := make([]byte, length)
	if _, err := io.ReadFull(br, b); err != nil {
		t.Fatal(err)
	}
	return head, string(b)
}

func TestKeepsTheConnection(t *testing.T) {
	handler := func(x *Exchange) {
		if string(x.Path()) == "/unread" {
			_ = x.Respond(401, "", nil, nil)
			return
		}
		if string(x.Path()) == "/watched" {
			defer x.Watch()
			if _, err := x.Body(10); err != nil {
				t.Error(err)
			}
			x.Watch()
			time.Sleep(time.Second)
			_ = x.Respond(200, "", nil, []byte("watched"))
			return
		}
		echo(x)
	}
	one := "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"
	two := "POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ncde\r\n0\r\n\r\n"
	three := "POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nfgh"
	four := "POST /watched HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\ni"
	want := []string{`POST /1? "ab"`, `POST /2? "cde"`, "", "watched"}
	for name, order := range map[string][]int{"in turn": {0, 1, 2, 3}, "backwards": {3, 2, 1, 0}, "twice": {3, 3, 1, 1, 0, 2, 2}} {
		t.Run(name, func(t *testing.T) {
			for _, pipelined := range []bool{false, true} {
				inMemory(t, Limits{}, handler, func(t *testing.T, s *Server, p *pipes) {
					nc := p.dial()
					defer nc.Close()
					br := bufio.NewReader(nc)
					sends := []string{one, two, three, four}
					if pipelined {
						var whole strings.Builder
						for _, i := range order {
							whole.WriteString(sends[i])
						}
						go nc.Write([]byte(whole.String()))
					}
					for _, i := range order {
						if !pipelined {
							go nc.Write([]byte(sends[i]))
						}
						if head, body := answer(t, br); body != want[i] || strings.Contains(head, "Connection: close") {
							t.Fatalf("pipelined %v, request %d: got %q %q, want %q on a kept connection", pipelined, i, head, body, want[i])
						}
					}
					if s.Open() != 1 {
						t.Errorf("got %d connections, want 1", s.Open())
					}
				})
			}
		})
	}
}

func TestBytesAheadOfAWatchedExchangeAreKept(t *testing.T) {
	inMemory(t, Limits{}, func(x *Exchange) {
		x.Release()
		x.Watch()
		time.Sleep(time.Second)
		_ = x.Respond(200, "", nil, []byte(x.Method()))
	}, func(t *testing.T, _ *Server, p *pipes) {
		nc := p.dial()
		defer nc.Close()
		nc.Write([]byte("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"))
		go nc.Write([]byte("OPTIONS /second HTTP/1.1\r\nHost: a\r\n\r\n"))
		br := bufio.NewReader(nc)
		for _, want := range []string{"GET", "OPTIONS"} {
			if _, body := answer(t, br); body != want {
				t.Errorf("got %q, want %q", body, want)
			}
		}
	})
}

func TestExpectIsAnsweredByReading(t *testing.T) {
	expect := "Expect: 100-Continue\r\nContent-Length: 2\r\n" + last + "\r\n"
	inMemory(t, Limits{}, echo, func(t *testing.T, _ *Server, p *pipes) {
		nc := p.dial()
		nc.Write([]byte(start + expect))
		want := "HTTP/1.1 100 Continue\r\n\r\n"
		got := make([]byte, len(want))
		if _, err := io.ReadFull(nc, got); err != nil || string(got) != want {
			t.Fatalf("got %q %v, want %q", got, err, want)
		}
		if got := say(t, nc, "ok"); !strings.HasSuffix(got, `"ok"`) {
			t.Errorf("got %q", got)
		}
	})
	inMemory(t, Limits{}, func(x *Exchange) { _ = x.Respond(401, "", nil, nil) }, func(t *testing.T, _ *Server, p *pipes) {
		if got := say(t, p.dial(), start+expect); status(got) != "401" {
			t.Errorf("got %q, want 401 and no invitation", got)
		}
	})
}

func TestSlowClients(t *testing.T) {
	for name, c := range map[string]struct {
		send func(net.Conn)
		want string
		at   time.Duration
	}{
		"no request":           {func(net.Conn) {}, "", 120 * time.Second},
		"half a head":          {func(nc net.Conn) { nc.Write([]byte("GET /")) }, "408", 5 * time.Second},
		"a head, byte by byte": {func(nc net.Conn) { drip(nc, start+"\r\n", time.Second) }, "408", 5 * time.Second},
		"no body":              {func(nc net.Conn) { nc.Write([]byte(start + "Content-Length: 9\r\n\r\n")) }, "408", 5 * time.Second},
		"a body, byte by byte": {func(nc net.Conn) {
			drip(nc, start+"Content-Length: 9999\r\n\r\n", 0)
			drip(nc, strings.Repeat("a", 100), time.Second)
		}, "408", 5 * time.Second},
		"a body that stops late":  {func(nc net.Conn) { drip(nc, start+"Content-Length: 9999999\r\n\r\n"+strings.Repeat("a", 900<<10), 0) }, "413", 0},
		"a large body that stops": {func(nc net.Conn) { drip(nc, start+"Content-Length: 999999\r\n\r\n"+strings.Repeat("a", 900<<10), 0) }, "408", 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, Limits{}, echo, func(t *testing.T, _ *Server, p *pipes) {
				nc := p.dial()
				began := time.Now()
				var sending sync.WaitGroup
				defer sending.Wait()
				defer nc.Close()
				sending.Go(func() { c.send(nc) })
				b := make([]byte, 1000)
				n, err := nc.Read(b)
				if got := time.Since(began); got < c.at || got > c.at+time.Second {
					t.Errorf("answered after %v, want %v", got, c.at)
				}
				if status(string(b[:n])) != c.want || c.want == "" && !errors.Is(err, io.EOF) {
					t.Errorf("got %q %v, want %q", b[:n], err, c.want)
				}
			})
		})
	}
}

func drip(nc net.Conn, s string, every time.Duration) {
	if every == 0 {
		nc.Write([]byte(s))
		return
	}
	for i := range len(s) {
		if _, err := nc.Write([]byte{s[i]}); err != nil {
			return
		}
		time.Sleep(every)
	}
}

func TestAClientThatDoesNotReadIsGivenUp(t *testing.T) {
	var got error
	var after time.Duration
	inMemory(t, Limits{}, func(x *Exchange) {
		_ = x.Begin(200, "text/event-stream", nil)
		began := time.Now()
		got = x.Write([]byte("data: x\n\n"))
		after = time.Since(began)
		if err := x.Write([]byte("data: y\n\n")); fault.Of(err).Kind != fault.ClientClosed {
			t.Errorf("the next write: got %v, want client_closed", err)
		}
		if x.Context().Err() == nil {
			t.Error("the context goes on")
		}
	}, func(t *testing.T, _ *Server, p *pipes) {
		nc := p.dial()
		defer nc.Close()
		nc.Write([]byte(start + "\r\n"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if f := fault.Of(got); f == nil || f.Kind != fault.ClientClosed || after != 30*time.Second {
			t.Errorf("got %v after %v, want client_closed after 30 s", got, after)
		}
	})
}

func TestTheContextEndsWhenTheClientLeaves(t *testing.T) {
	for name, leave := range map[string]func(*net.TCPConn){
		"closed":      func(c *net.TCPConn) { c.Close() },
		"reset":       func(c *net.TCPConn) { _ = c.SetLinger(0); c.Close() },
		"half-closed": func(c *net.TCPConn) { _ = c.CloseWrite() },
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", stream ", stream), func(t *testing.T) {
				ready, cause := make(chan struct{}), make(chan error, 1)
				_, addr := overTCP(t, Limits{}, func(x *Exchange) {
					if _, err := x.Body(100); err != nil {
						t.Error(err)
					}
					if stream {
						_ = x.Begin(200, "text/event-stream", nil)
						_ = x.Write([]byte("data: x\n\n"))
						x.Release()
					}
					x.Watch()
					close(ready)
					<-x.Context().Done()
					cause <- context.Cause(x.Context())
				})
				nc, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				nc.Write([]byte(start + "Content-Length: 4\r\n\r\nbody"))
				<-ready
				leave(nc.(*net.TCPConn))
				if f := fault.Of(<-cause); f.Kind != fault.ClientClosed {
					t.Errorf("got %v, want client_closed", f)
				}
			})
		}
	}
}

// A client that sent the beginning of its next request ahead is seen to leave all
// the same, however it came.
func TestTheContextEndsWhenAClientThatSentAheadLeaves(t *testing.T) {
	for name, ahead := range map[string][2]string{
		"with the request": {"G", ""},
		"behind it":        {"", "G"},
	} {
		t.Run(name, func(t *testing.T) {
			ready, cause := make(chan struct{}), make(chan error, 1)
			_, addr := overTCP(t, Limits{}, func(x *Exchange) {
				if _, err := x.Body(100); err != nil {
					t.Error(err)
				}
				x.Watch()
				close(ready)
				<-x.Context().Done()
				cause <- context.Cause(x.Context())
			})
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			io.WriteString(nc, start+"Content-Length: 4\r\n\r\nbody"+ahead[0])
			<-ready
			io.WriteString(nc, ahead[1])
			nc.Close()
			if f := fault.Of(<-cause); f.Kind != fault.ClientClosed {
				t.Errorf("got %v, want client_closed", f)
			}
		})
	}
}

func TestStream(t *testing.T) {
	for name, c := range map[string]struct {
		request string
		pieces  []string
		want    string
	}{
		"chunks":             {"GET / HTTP/1.1\r\nHost: a\r\n" + last + "\r\n", []string{"a", "bcdefghijklmnopq"}, "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n10\r\nbcdefghijklmnopq\r\n0\r\n\r\n"},
		"an empty piece":     {"GET / HTTP/1.1\r\nHost: a\r\n" + last + "\r\n", []string{"a", ""}, "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"},
		"nothing":            {"GET / HTTP/1.1\r\nHost: a\r\n" + last + "\r\n", nil, "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		"until the end":      {"GET / HTTP/1.0\r\n\r\n", []string{"a", "b"}, "Connection: close\r\n\r\nab"},
		"HEAD":               {"HEAD / HTTP/1.1\r\nHost: a\r\n" + last + "\r\n", []string{"a", "b"}, "Transfer-Encoding: chunked\r\n\r\n"},
		"a piece by writev":  {"GET / HTTP/1.1\r\nHost: a\r\n" + last + "\r\n", []string{strings.Repeat("a", 0x5000)}, "Transfer-Encoding: chunked\r\n\r\n5000\r\n" + strings.Repeat("a", 0x5000) + "\r\n0\r\n\r\n"},
		"writev, from a 1.0": {"GET / HTTP/1.0\r\n\r\n", []string{strings.Repeat("a", 0x5000)}, "close\r\n\r\n" + strings.Repeat("a", 0x5000)},
	} {
		t.Run(name, func(t *testing.T) {
			for _, merged := range []bool{false, true} {
				inMemory(t, Limits{}, func(x *Exchange) {
					h := &Header{}
					h.Add("X-Test", "1")
					if err := x.Begin(200, "text/event-stream", h); err != nil || !x.Began() {
						t.Error(err)
					}
					for i, p := range c.pieces {
						send := x.Write
						if merged && i == len(c.pieces)-1 {
							send = x.WriteEnd
						}
						if err := send([]byte(p)); err != nil {
							t.Error(err)
						}
					}
					if !merged || len(c.pieces) == 0 {
						if err := x.WriteEnd(nil); err != nil {
							t.Error(err)
						}
					}
					if x.WriteEnd(nil) == nil || x.Write([]byte("x")) == nil || x.Respond(200, "", nil, nil) == nil {
						t.Error("an answer that ended can be written to")
					}
				}, func(t *testing.T, _ *Server, p *pipes) {
					got := say(t, p.dial(), c.request)
					if !strings.HasSuffix(got, c.want) || !strings.Contains(got, "\r\nX-Test: 1\r\n") {
						t.Errorf("merged %v: got %.300q, want %.300q", merged, got, c.want)
					}
				})
			}
		})
	}
}

// counted counts the writes on a connection.
type counted struct {
	net.Conn
	writes *atomic.Int32
}

func (c counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

func TestWritesAreFew(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(x *Exchange)
		want   int32
	}{
		"a whole answer": {func(x *Exchange) { _ = x.Respond(200, "application/json", nil, make([]byte, 8000)) }, 1},
		"a stream of three pieces": {func(x *Exchange) {
			_ = x.Begin(200, "text/event-stream", nil)
			_ = x.Write([]byte("a"))
			_ = x.Write([]byte("b"))
			_ = x.WriteEnd([]byte("c"))
		}, 3},
	} {
		var writes atomic.Int32
		inMemory(t, Limits{}, c.answer, func(t *testing.T, s *Server, p *pipes) {
			here, there := net.Pipe()
			p.conns <- counted{there, &writes}
			say(t, here, start+last+"\r\n")
		})
		if writes.Load() != c.want {
			t.Errorf("%s: got %d writes, want %d", name, writes.Load(), c.want)
		}
	}
}

func TestAnAnswerThatIsNotEndedIsCut(t *testing.T) {
	var told atomic.Value
	for name, c := range map[string]struct {
		handler func(*Exchange)
		whole   bool
	}{
		"aborted":                {func(x *Exchange) { _ = x.Begin(200, "", nil); _ = x.Write([]byte("a")); x.Abort() }, false},
		"forgotten":              {func(x *Exchange) { _ = x.Begin(200, "", nil); _ = x.Write([]byte("a")) }, false},
		"panicked in the middle": {func(x *Exchange) { _ = x.Begin(200, "", nil); _ = x.Write([]byte("a")); panic("x") }, false},
		"panicked at once":       {func(x *Exchange) { panic("x") }, true},
		"not answered":           {func(x *Exchange) {}, true},
	} {
		t.Run(name, func(t *testing.T) {
			told.Store("")
			s, addr := overTCP(t, Limits{}, c.handler)
			s.Panicked = func(cause any, stack []byte) { told.Store(fmt.Sprint(cause, len(stack) > 0)) }
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			nc.Write([]byte(start + "\r\n"))
			b, err := io.ReadAll(nc)
			if c.whole {
				if err != nil || status(string(b)) != "500" {
					t.Errorf("got %q %v, want a 500", b, err)
				}
			} else if bytes.HasSuffix(b, []byte("0\r\n\r\n")) || err == nil {
				t.Errorf("got %q %v, want a reset and no last chunk", b, err)
			}
			if want := strings.HasPrefix(name, "panicked"); want != (told.Load() == "xtrue") {
				t.Errorf("told %q of a panic", told.Load())
			}
		})
	}
}

// overTLS serves a handler on a real socket, and returns how clients get there.
func overTLS(t *testing.T, limits Limits, handler func(*Exchange)) (dial func() net.Conn, addr string) {
	t.Helper()
	up := httptest.NewUnstartedServer(nil)
	up.StartTLS() // for its certificate
	up.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(handler, limits)
	served := make(chan error, 1)
	go func() { served <- s.Serve(tls.NewListener(ln, up.TLS)) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	roots := x509.NewCertPool()
	roots.AddCert(up.Certificate())
	return func() net.Conn {
		d := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: "example.com"}}
		nc, err := d.DialContext(t.Context(), "tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		return nc
	}, ln.Addr().String()
}

// TestNoTLS: where TLS is spoken, whoever speaks HTTP is told, and whoever says nothing
// is let go.
func TestNoTLS(t *testing.T) {
	_, addr := overTLS(t, Limits{HeadTime: 100 * time.Millisecond}, echo)
	for send, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n":   "400",
		start + "Content-Length: 2\r\n\r\nok": "400",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":    "400",
		"SSH-2.0-OpenSSH_9.7\r\n":             "",
		"\x16\x03\x01":                        "",
		"":                                    "",
	} {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(nc, send); err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(nc) // to its end, which may be a reset
		nc.Close()
		if want != "" && (status(string(got)) != want || !strings.Contains(string(got), "https://")) || want == "" && bytes.HasPrefix(got, []byte("HTTP")) {
			t.Errorf("%.10q: got %q", send, got)
		}
	}
}

// TestACutOverTLS: TLS can say that a connection ends well. An answer that the end of
// the connection ends must not be said to when it is cut.
func TestACutOverTLS(t *testing.T) {
	dial, _ := overTLS(t, Limits{}, func(x *Exchange) {
		_ = x.Begin(200, "", nil)
		_ = x.Write([]byte("half"))
		if string(x.Path()) == "/cut" {
			x.Abort()
			return
		}
		_ = x.WriteEnd(nil)
	})
	for path, whole := range map[string]bool{"/whole": true, "/cut": false} {
		nc := dial()
		nc.Write([]byte("GET " + path + " HTTP/1.0\r\n\r\n"))
		if b, err := io.ReadAll(nc); (err == nil) != whole {
			t.Errorf("%s: got %q, %v", path, b, err)
		}
	}
}

// TestWatchOverTLS: watching ends with a read that is given up, and TLS goes on behind
// it; what a client sends ahead is not lost, and one that leaves is noticed.
func TestWatchOverTLS(t *testing.T) {
	left := make(chan error, 1)
	dial, _ := overTLS(t, Limits{}, func(x *Exchange) {
		body, err := x.Body(1 << 20)
		if err != nil {
			t.Error(err)
		}
		x.Watch()
		if string(body) == "leave" {
			<-x.Context().Done()
			left <- context.Cause(x.Context())
			return
		}
		time.Sleep(time.Millisecond) // so that the watcher reads
		_ = x.Respond(200, "", nil, body)
	})
	nc := dial()
	br := bufio.NewReader(nc)
	ask := func(body string) { fmt.Fprintf(nc, "%sContent-Length: %d\r\n\r\n%s", start, len(body), body) }
	for i := range 20 {
		body := strings.Repeat("a", i*1000)
		ask(body)
		if i%2 == 0 {
			ask("ahead")
		}
		if got, _, ok := readAnswer(br); got != body || !ok {
			t.Fatalf("%d: got %d bytes of %d", i, len(got), len(body))
		}
		if i%2 == 0 {
			if got, _, ok := readAnswer(br); got != "ahead" || !ok {
				t.Fatalf("%d: got %q", i, got)
			}
		}
	}
	ask("leave")
	nc.Close()
	if f := fault.Of(<-left); f.Kind != fault.ClientClosed {
		t.Errorf("got %v", f)
	}
}

func TestRefuseWritesTheWords(t *testing.T) {
	inMemory(t, Limits{}, echo, func(t *testing.T, s *Server, p *pipes) {
		s.Refuse = func(status int, words string, h *Header) (string, []byte) {
			h.Add("X-Mark", "here")
			return "application/json", fmt.Appendf(nil, "{%d %s}", status, words)
		}
		got := say(t, p.dial(), "GET / HTTP/1.1\r\n\r\n")
		if !strings.Contains(got, "Content-Type: application/json\r\n") || !strings.Contains(got, "X-Mark: here\r\n") || !strings.HasSuffix(got, "{400 the Host field is missing}") {
			t.Errorf("got %q", got)
		}
	})
}

func TestALargeBodyIsRefusedBeforeItIsSent(t *testing.T) {
	_, addr := overTCP(t, Limits{}, echo)
	for range 10 {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			nc.Write([]byte(start + "Content-Length: 100000000\r\n\r\n"))
			piece := make([]byte, 64<<10)
			for {
				if _, err := nc.Write(piece); err != nil {
					return
				}
			}
		}()
		line, err := bufio.NewReader(nc).ReadString('\n')
		if status(line) != "413" {
			t.Errorf("got %q %v, want a 413", line, err)
		}
		nc.Close()
	}
}

func TestDrain(t *testing.T) {
	going := make(chan struct{})
	inMemory(t, Limits{}, func(x *Exchange) {
		close(going)
		time.Sleep(time.Minute)
		_ = x.Respond(200, "", nil, []byte("done"))
	}, func(t *testing.T, s *Server, p *pipes) {
		idle, busy := p.dial(), p.dial()
		defer idle.Close()
		defer busy.Close()
		busy.Write([]byte(start + "\r\n"))
		<-going
		synctest.Wait()
		if s.Open() != 2 || s.InFlight() != 1 {
			t.Errorf("got %d open, %d in flight, want 2 and 1", s.Open(), s.InFlight())
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Drain(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want that time is over", err)
		}
		if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the idle connection: got %v, want its end", err)
		}
		drained := make(chan error)
		go func() { drained <- s.Drain(t.Context()) }()
		got, err := io.ReadAll(busy)
		if err != nil || !strings.Contains(string(got), "Connection: close\r\n") || !strings.HasSuffix(string(got), "done") {
			t.Errorf("got %q %v, want the whole answer, and that it is the last", got, err)
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
		if s.InFlight() != 0 || s.Open() != 0 {
			t.Errorf("got %d open, %d in flight after the drain", s.Open(), s.InFlight())
		}
	})
}

func TestCloseCancels(t *testing.T) {
	var cause error
	inMemory(t, Limits{}, func(x *Exchange) {
		<-x.Context().Done()
		cause = context.Cause(x.Context())
	}, func(t *testing.T, s *Server, p *pipes) {
		nc := p.dial()
		defer nc.Close()
		nc.Write([]byte(start + "\r\n"))
		synctest.Wait()
		s.Close()
		if f := fault.Of(cause); f == nil || f.Kind != fault.Draining {
			t.Errorf("got %v, want draining", cause)
		}
	})
}

func TestCancelLeavesTheConnectionToSayWhy(t *testing.T) {
	why := fault.New(fault.Draining, "enough")
	inMemory(t, Limits{}, func(x *Exchange) {
		_ = x.Begin(200, "text/event-stream", nil)
		<-x.Context().Done()
		_ = x.WriteEnd([]byte(fault.Of(context.Cause(x.Context())).Words))
	}, func(t *testing.T, s *Server, p *pipes) {
		nc := p.dial()
		nc.Write([]byte(start + "\r\n"))
		synctest.Wait()
		s.Cancel(why)
		if got := say(t, nc, ""); !strings.HasSuffix(got, "6\r\nenough\r\n0\r\n\r\n") {
			t.Errorf("got %q, want the reason, a whole answer, and the end of the connection", got)
		}
	})
}

func TestReleaseEndsTheViews(t *testing.T) {
	inMemory(t, Limits{}, func(x *Exchange) {
		_, _ = x.Body(10)
		x.Release()
		_, ok := x.Header("host")
		body, err := x.Body(10)
		if ok || err == nil || body != nil || len(x.Path()) > 0 || x.c.buf != nil {
			t.Errorf("got host %v, body %q %v, path %q after Release", ok, body, err, x.Path())
		}
		_ = x.Respond(200, "", nil, []byte(x.Method()))
	}, func(t *testing.T, _ *Server, p *pipes) {
		nc := p.dial()
		defer nc.Close()
		br := bufio.NewReader(nc)
		for range 2 {
			go nc.Write([]byte(start + "Content-Length: 2\r\n\r\nab"))
			if _, body := answer(t, br); body != "POST" {
				t.Errorf("got %q", body)
			}
		}
	})
}

func TestHeaderKeepsItsLines(t *testing.T) {
	h := &Header{}
	h.Add("X-A", "1\r\nSet-Cookie: a\x00b")
	h.Add("X B", "left out")
	h.Add("", "left out")
	h.AddInt("X-C", -2)
	h.AddFloat("X-D", 1.25, 1)
	h.AddInt("X:E", 1)
	if got, want := string(h.lines), "X-A: 1  Set-Cookie: a b\r\nX-C: -2\r\nX-D: 1.2\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if s := fmt.Sprintf("%v %+v", h, &Request{Header: h}); strings.Contains(s, "Cookie") {
		t.Errorf("a header prints its values: %s", s)
	}
}

func TestDateIsThatOfTheSecond(t *testing.T) {
	inMemory(t, Limits{}, echo, func(t *testing.T, _ *Server, p *pipes) {
		for range 2 {
			want := time.Now().UTC().Format("\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\n")
			if got := say(t, p.dial(), start+last+"\r\n"); !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			time.Sleep(time.Second)
		}
	})
}
