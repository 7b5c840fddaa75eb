package bridge_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"headworks/internal/bridge"
	"headworks/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a front with a bridge on one listener.
type house struct {
	url    string
	front  *wire.Server
	bridge *bridge.Bridge
	web    *http.Client
}

// build serves a handler to clients of HTTP/1.1 and HTTP/2 on one port.
func build(t *testing.T, handler func(*wire.Exchange)) *house {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{url: "http://" + ln.Addr().String(), front: wire.NewServer(handler, wire.Limits{})}
	h.bridge = bridge.New(h.front, log.New(t.Output(), "", 0))
	h.front.Other = h.bridge.Serve
	ended := make(chan error, 2)
	go func() { ended <- h.bridge.Run() }()
	go func() { ended <- h.front.Serve(ln) }()
	h.web = &http.Client{Transport: protocols(false)}
	t.Cleanup(func() {
		h.web.CloseIdleConnections()
		h.bridge.Close()
		h.front.Close()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	return h
}

func protocols(one bool) *http.Transport {
	var p http.Protocols
	p.SetHTTP1(one)
	p.SetUnencryptedHTTP2(!one)
	return &http.Transport{Protocols: &p}
}

func (h *house) send(t *testing.T, method, path string, body io.Reader, head ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, h.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(head); i += 2 {
		req.Header.Add(head[i], head[i+1])
	}
	r, err := h.web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	answer, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(answer)
}

func echo(x *wire.Exchange) {
	body, err := x.Body(1 << 20)
	if err != nil {
		_ = x.Respond(413, "text/plain", nil, []byte(err.Error()))
		return
	}
	var b bytes.Buffer
	b.WriteString(x.Method() + " " + string(x.Path()) + "?" + string(x.Query()) + "\n")
	for name, v := range x.Headers() {
		b.WriteString(strings.ToLower(string(name)) + "=" + string(v) + "\n")
	}
	b.WriteString("from loopback: " + map[bool]string{true: "yes", false: "no"}[x.Remote().IsLoopback()] + "\n\n")
	b.Write(body)
	_ = x.Respond(200, "text/plain", nil, b.Bytes())
}

// unsized hides how long a body is.
type unsized struct{ io.Reader }

func TestARequestArrivesWhole(t *testing.T) {
	h := build(t, echo)
	large := strings.Repeat("large ", 100_000)
	for name, body := range map[string]io.Reader{
		"": unsized{strings.NewReader("")}, "small": strings.NewReader("small"), large: strings.NewReader(large),
		"of unknown length": unsized{strings.NewReader("of unknown length")},
	} {
		r, answer := h.send(t, "POST", "/a/b%2Fc?d=e", body, "x-two", "1", "x-two", "2", "te", "trailers")
		head, rest, _ := strings.Cut(answer, "\n\n")
		if r.ProtoMajor != 2 || r.StatusCode != 200 || rest != name {
			t.Errorf("%.20q: HTTP/%d, %d, %d bytes of the body", name, r.ProtoMajor, r.StatusCode, len(rest))
		}
		for _, want := range []string{"POST /a/b%2Fc?d=e\n", "x-two=1\n", "x-two=2\n", "from loopback: yes"} {
			if !strings.Contains(head, want) {
				t.Errorf("%.20q: no %q in\n%s", name, want, head)
			}
		}
		if strings.Contains(head, "\nte=") || r.Header.Get("Connection") != "" {
			t.Errorf("%.20q: what belongs to a connection went through: %s %v", name, head, r.Header)
		}
	}
}

func TestBothOnOnePort(t *testing.T) {
	h := build(t, echo)
	if r, _ := h.send(t, "GET", "/", nil); r.ProtoMajor != 2 {
		t.Errorf("HTTP/%d", r.ProtoMajor)
	}
	h.web.CloseIdleConnections()
	h.web.Transport = protocols(true)
	if r, _ := h.send(t, "GET", "/", nil); r.ProtoMajor != 1 {
		t.Errorf("HTTP/%d", r.ProtoMajor)
	}
}

// TestAPrefaceInPieces dials by hand: TCP may cut the preface anywhere.
func TestAPrefaceInPieces(t *testing.T) {
	h := build(t, echo)
	nc, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, piece := range []string{"PR", "I * HTTP/2.0\r", "\n\r", "\nSM\r\n", "\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"} {
		if _, err := io.WriteString(nc, piece); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // so that the kernel does not join them
	}
	frame := make([]byte, 9)
	if _, err := io.ReadFull(nc, frame); err != nil || frame[3] != 4 {
		t.Errorf("no SETTINGS frame but % x, %v", frame, err)
	}
}

// TestTheFrontRefuses meets the limits of the front itself.
func TestTheFrontRefuses(t *testing.T) {
	h := build(t, echo)
	r, answer := h.send(t, "POST", "/", strings.NewReader(strings.Repeat("x", 2<<20)))
	if r.StatusCode != 413 {
		t.Errorf("%d %s", r.StatusCode, answer)
	}
	if r, _ = h.send(t, "GET", "/a b", nil); r.StatusCode != 200 { // the client escapes it
		t.Errorf("%d", r.StatusCode)
	}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", h.url, nil)
	req.URL.Opaque = "/a b" // sent as it is
	req.URL.Scheme, req.URL.Host = "http", strings.TrimPrefix(h.url, "http://")
	if r, err := h.web.Do(req); err == nil {
		r.Body.Close()
		if r.StatusCode != 400 {
			t.Errorf("a space in the path: %d", r.StatusCode)
		}
	}
}

// TestAStreamFlows waits for each event before the next one is let go.
func TestAStreamFlows(t *testing.T) {
	next := make(chan string)
	h := build(t, func(x *wire.Exchange) {
		_ = x.Begin(200, "text/event-stream", nil)
		for s := range next {
			if x.Write([]byte(s)) != nil {
				return
			}
		}
		_ = x.WriteEnd(nil)
	})
	go func() { next <- "first" }()
	req, _ := http.NewRequestWithContext(t.Context(), "GET", h.url, nil)
	r, err := h.web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	got := make([]byte, 64)
	for _, want := range []string{"first", "second", "third"} {
		if want != "first" {
			next <- want
		}
		if n, err := r.Body.Read(got); string(got[:n]) != want || err != nil {
			t.Errorf("%q, %v instead of %q", got[:n], err, want)
		}
	}
	close(next)
	if n, err := r.Body.Read(got); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("%d bytes, %v at the end", n, err)
	}
}

// TestACutStreamIsReset: an answer that breaks off must not end as a whole one does.
func TestACutStreamIsReset(t *testing.T) {
	h := build(t, func(x *wire.Exchange) {
		_ = x.Begin(200, "text/event-stream", nil)
		_ = x.Write([]byte("half"))
		x.Abort()
	})
	req, _ := http.NewRequestWithContext(t.Context(), "GET", h.url, nil)
	r, err := h.web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if b, err := io.ReadAll(r.Body); err == nil {
		t.Errorf("%q ended as if it were whole", b)
	}
}

// TestWhoLeavesIsNoticed: the front learns that a stream was reset, while the
// connection goes on.
func TestWhoLeavesIsNoticed(t *testing.T) {
	left := make(chan error, 1)
	h := build(t, func(x *wire.Exchange) {
		if string(x.Path()) != "/slow" {
			echo(x)
			return
		}
		x.Watch()
		_ = x.Begin(200, "text/event-stream", nil)
		_ = x.Write([]byte("one"))
		<-x.Context().Done()
		left <- context.Cause(x.Context())
	})
	ctx, leave := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", h.url+"/slow", nil)
	r, err := h.web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	leave()
	r.Body.Close()
	if err := <-left; err == nil {
		t.Error("no cause")
	}
	if r, _ := h.send(t, "GET", "/", nil); r.StatusCode != 200 {
		t.Errorf("%d on the same connection", r.StatusCode)
	}
}

// TestAnAnswerBeforeTheBody: who is refused by the head alone sees the whole answer,
// though the body has not come.
func TestAnAnswerBeforeTheBody(t *testing.T) {
	h := build(t, func(x *wire.Exchange) { _ = x.Respond(401, "text/plain", nil, []byte("no")) })
	body, never := io.Pipe()
	defer never.Close()
	r, answer := h.send(t, "POST", "/", body)
	if r.StatusCode != 401 || answer != "no" {
		t.Errorf("%d %s", r.StatusCode, answer)
	}
}

// TestABodyFlows: a body that comes slowly is there as it comes, so that its rate
// counts and not how much was gathered.
func TestABodyFlows(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	came := make(chan string)
	b := bridge.New(taker(func(nc net.Conn) {
		go func() {
			defer nc.Close()
			r := bufio.NewReader(nc)
			req, err := http.ReadRequest(r)
			if err != nil {
				t.Error(err)
				return
			}
			for buf := make([]byte, 64); ; {
				n, err := req.Body.Read(buf)
				if n > 0 {
					came <- string(buf[:n])
				}
				if err != nil {
					break
				}
			}
			_, _ = io.WriteString(nc, "HTTP/1.1 204 No Content\r\n\r\n")
		}()
	}), log.New(t.Output(), "", 0))
	ended := make(chan error, 1)
	go func() { ended <- b.Run() }()
	go func() {
		if nc, err := ln.Accept(); err == nil {
			b.Serve(nc)
		}
	}()
	transport := protocols(false)
	body, write := io.Pipe()
	answered := make(chan int, 1)
	go func() {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+ln.Addr().String(), body)
		r, err := transport.RoundTrip(req)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		r.Body.Close()
		answered <- r.StatusCode
	}()
	for _, piece := range []string{"first", "second", "third"} {
		if _, err := io.WriteString(write, piece); err != nil {
			t.Fatal(err)
		}
		if got := <-came; got != piece {
			t.Errorf("%q instead of %q", got, piece)
		}
	}
	write.Close()
	if status := <-answered; status != 204 {
		t.Errorf("status %d", status)
	}
	transport.CloseIdleConnections()
	b.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

type taker func(net.Conn)

func (f taker) Accept(nc net.Conn) { f(nc) }

// TestWhatHTTP2HasNot sends by hand what no client library does: fields that belong to a
// connection (RFC 9113 8.2.2), names in capitals, a body that is not as long as it says,
// and what HTTP/1.1 would read as the end of a line. None of it is served.
func TestWhatHTTP2HasNot(t *testing.T) {
	h := build(t, func(x *wire.Exchange) {
		if _, err := x.Body(1 << 20); err == nil {
			echo(x)
		}
	})
	fields := func(pairs ...string) []byte {
		all := append([]string{":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/"}, pairs...)
		var block []byte
		for i, s := range all { // RFC 7541 6.2.2: literals that are not indexed, not coded
			if i%2 == 0 {
				block = append(block, 0)
			}
			block = append(append(block, byte(len(s))), s...)
		}
		return block
	}
	frame := func(kind, flags byte, payload []byte) []byte {
		n := len(payload)
		return append([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags, 0, 0, 0, 1}, payload...)
	}
	settings := []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}
	const endStream, endHeaders = 1, 4
	whole := func(pairs ...string) []byte { return frame(1, endStream|endHeaders, fields(pairs...)) }
	for name, c := range map[string]struct {
		sent []byte
		good bool
	}{
		"what is good":         {whole("x-a", "b"), true},
		"connection":           {whole("connection", "close"), false},
		"transfer-encoding":    {whole("transfer-encoding", "chunked"), false},
		"upgrade":              {whole("upgrade", "h2c"), false},
		"keep-alive":           {whole("keep-alive", "5"), false},
		"te":                   {whole("te", "gzip"), false},
		"capitals":             {whole("X-A", "b"), false},
		"a line in a value":    {whole("x-a", "b\r\nx-api-key: c"), false},
		"a line in a name":     {whole("x-a: b\r\nc", "d"), false},
		"a line in the path":   {whole(":path", "/ HTTP/1.1\r\nx: y"), false},
		"two paths":            {whole(":path", "/admin"), false},
		"a host with a line":   {whole("host", "a\r\nb: c"), false},
		"longer than it says":  {append(frame(1, endHeaders, fields("content-length", "1")), frame(0, endStream, []byte("GET / HTTP/1.1"))...), false},
		"shorter than it says": {append(frame(1, endHeaders, fields("content-length", "9")), frame(0, endStream, []byte("a"))...), false},
		"two lengths":          {append(frame(1, endHeaders, fields("content-length", "1", "content-length", "2")), frame(0, endStream, []byte("ab"))...), false},
	} {
		nc, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = nc.Write(slices.Concat([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), settings, c.sent))
		if err != nil {
			t.Fatal(err)
		}
		served := false
		for r, head := bufio.NewReader(nc), make([]byte, 9); ; {
			if _, err := io.ReadFull(r, head); err != nil {
				break // the connection was ended
			}
			payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
			if _, err := io.ReadFull(r, payload); err != nil {
				break
			}
			kind := head[3]
			served = served || kind == 1 && payload[0] == 0x88 // :status 200 of the static table
			if kind == 1 || kind == 3 || kind == 7 {
				break
			}
		}
		nc.Close()
		if served != c.good {
			t.Errorf("%s: served %v", name, served)
		}
	}
}

// TestManyAtOnce: whatever clients do to their streams, beside each other on one
// connection, the front is left with none, and those that did nothing wrong got all.
func TestManyAtOnce(t *testing.T) {
	const size = 300_000
	h := build(t, func(x *wire.Exchange) {
		u, err := x.Upload(1 << 20)
		n := 0
		for b := make([]byte, 4096); err == nil; {
			var m int
			m, err = u.Read(b)
			n += m
		}
		x.Watch()
		if err != io.EOF || x.Begin(200, "text/plain", nil) != nil { //nolint:errorlint // a fault may have it as its cause, and is no end
			return
		}
		for range n / 1000 {
			if x.Write(bytes.Repeat([]byte("a"), 1000)) != nil {
				return
			}
		}
		_ = x.WriteEnd(nil)
	})
	var clients sync.WaitGroup
	for i := range 60 {
		clients.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var body io.Reader = strings.NewReader(strings.Repeat("b", size))
			if i%4 == 1 { // leaves while it sends
				body = io.MultiReader(io.LimitReader(body, size/2), broken{})
			}
			req, err := http.NewRequestWithContext(ctx, "POST", h.url, body)
			if err != nil {
				t.Error(err)
				return
			}
			r, err := h.web.Do(req)
			if err != nil {
				if i%4 != 1 {
					t.Error(err)
				}
				return
			}
			defer r.Body.Close()
			if i%4 == 2 { // leaves while it reads
				if _, err := io.CopyN(io.Discard, r.Body, size/3); err != nil {
					t.Error(err)
				}
				cancel()
				return
			}
			if n, err := io.Copy(io.Discard, r.Body); n != size || err != nil || i%4 == 1 {
				t.Errorf("%d: %d bytes of %d, %v", i, n, size, err)
			}
		})
	}
	clients.Wait()
	for end := time.Now().Add(20 * time.Second); h.front.InFlight() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d are still in flight", h.front.InFlight())
		}
	}
}

// broken is a body that cannot be read.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken") }

// TestShutdownLetsStreamsEnd: what is in flight ends well, and then nothing is left.
func TestShutdownLetsStreamsEnd(t *testing.T) {
	inside, out := make(chan struct{}), make(chan struct{})
	h := build(t, func(x *wire.Exchange) {
		close(inside)
		<-out
		echo(x)
	})
	answered := make(chan string, 1)
	go func() {
		_, answer := h.send(t, "GET", "/late", nil)
		answered <- answer
	}()
	<-inside
	over := make(chan error, 2)
	go func() { over <- h.bridge.Shutdown(t.Context()) }()
	go func() { over <- h.front.Drain(t.Context()) }()
	select {
	case err := <-over:
		t.Fatalf("over with a request in flight: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(out)
	if a := <-answered; !strings.HasPrefix(a, "GET /late") {
		t.Errorf("%q", a)
	}
	for range 2 {
		if err := <-over; err != nil {
			t.Error(err)
		}
	}
}
