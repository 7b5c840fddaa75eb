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
	"log"
	"net"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headworks/internal/fault"
)

// script is what an upstream does with each of its connections, in order.
type script []func(t *testing.T, nc net.Conn, br *bufio.Reader)

// upstream returns a dial function of an upstream that follows a script, and
// how to wait for its end.
func (s script) upstream(t *testing.T) (dial DialFunc, dials *int, wait func()) {
	var wg sync.WaitGroup
	dials = new(int)
	return func(context.Context, string, string) (net.Conn, error) {
		if *dials == len(s) {
			return nil, fault.New(fault.Connect, "nobody is there")
		}
		act := s[*dials]
		*dials++
		here, there := net.Pipe()
		wg.Go(func() {
			defer there.Close()
			act(t, there, bufio.NewReader(there))
		})
		return here, nil
	}, dials, wg.Wait
}

// request reads a request and returns its bytes.
func request(t *testing.T, br *bufio.Reader) string {
	t.Helper()
	var all strings.Builder
	length := 0
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			t.Errorf("the request is cut after %q: %v", all.String(), err)
			return ""
		}
		all.WriteString(line)
		fmt.Sscanf(line, "Content-Length: %d", &length)
		if line == "\r\n" {
			break
		}
	}
	b := make([]byte, length)
	if _, err := io.ReadFull(br, b); err != nil {
		t.Error(err)
	}
	return all.String() + string(b)
}

// answers reads a request for each answer and sends it.
func answers(all ...string) func(*testing.T, net.Conn, *bufio.Reader) {
	return func(t *testing.T, nc net.Conn, br *bufio.Reader) {
		for _, a := range all {
			request(t, br)
			if _, err := nc.Write([]byte(a)); err != nil {
				t.Errorf("after %q: %v", a, err)
			}
		}
	}
}

func testPool(t *testing.T, s script, test func(t *testing.T, p *Pool, dials *int)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		dial, dials, wait := s.upstream(t)
		p, err := NewPool("http://up:8000", dial, PoolLimits{})
		if err != nil {
			t.Fatal(err)
		}
		test(t, p, dials)
		p.Close()
		wait()
		if p.Open() != 0 {
			t.Errorf("%d connections are left open", p.Open())
		}
	})
}

// idle returns how many connections wait for a request.
func idle(p *Pool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}

var chat = &Request{Method: "POST", Target: "/v1/chat", Body: []byte(`{"a":1}`)}

// call sends a request and reads its whole answer.
func call(t *testing.T, p *Pool, req *Request) (status int, body string, err error) {
	t.Helper()
	r, err := p.Send(t.Context(), req)
	if err != nil {
		return 0, "", err
	}
	defer r.Close()
	b, err := r.Body(1<<20, time.Now().Add(time.Minute))
	return r.status, string(b), err
}

const (
	okay    = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	streams = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
)

func TestRequestBytes(t *testing.T) {
	for name, c := range map[string]struct {
		req  Request
		want string
	}{
		"a body":       {Request{Method: "POST", Target: "/x?y", Body: []byte("abc")}, "POST /x?y HTTP/1.1\r\nHost: up:8000\r\nX: 1\r\nContent-Length: 3\r\n\r\nabc"},
		"an empty one": {Request{Method: "POST", Target: "/x"}, "POST /x HTTP/1.1\r\nHost: up:8000\r\nX: 1\r\nContent-Length: 0\r\n\r\n"},
		"no body":      {Request{Method: "GET", Target: "/x"}, "GET /x HTTP/1.1\r\nHost: up:8000\r\nX: 1\r\n\r\n"},
		"a large one":  {Request{Method: "POST", Target: "/x", Body: bytes.Repeat([]byte("a"), 70000)}, "POST /x HTTP/1.1\r\nHost: up:8000\r\nX: 1\r\nContent-Length: 70000\r\n\r\n" + strings.Repeat("a", 70000)},
	} {
		var got string
		testPool(t, script{func(t *testing.T, nc net.Conn, br *bufio.Reader) {
			got = request(t, br)
			nc.Write([]byte(okay))
		}}, func(t *testing.T, p *Pool, _ *int) {
			c.req.Header = &Header{}
			c.req.Header.AddInt("X", 1)
			if status, body, err := call(t, p, &c.req); status != 200 || body != "ok" || err != nil {
				t.Errorf("%s: got %d %q %v", name, status, body, err)
			}
		})
		if got != c.want {
			t.Errorf("%s: got %.200q, want %.200q", name, got, c.want)
		}
	}
}

func TestAnswers(t *testing.T) {
	large := strings.Repeat("a", 300000)
	for name, c := range map[string]struct {
		answer, want string
		kept         int
	}{
		"a length":               {okay, "200 ok", 1},
		"no body":                {"HTTP/1.1 204 No Content\r\n\r\n", "204 ", 1},
		"length zero":            {"HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n", "500 ", 1},
		"no reason":              {"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "200 ok", 1},
		"chunks":                 {streams + "1\r\no\r\n1;x\r\nk\r\n0\r\nX: y\r\n\r\n", "200 ok", 1},
		"many chunks":            {streams + strings.Repeat("3e8\r\n"+large[:1000]+"\r\n", 300) + "0\r\n\r\n", "200 " + large, 1},
		"large":                  {"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + large, "200 " + large, 1},
		"until the end":          {"HTTP/1.1 200 OK\r\n\r\nok", "200 ok", 0},
		"HTTP/1.0":               {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "200 ok", 0},
		"HTTP/1.0, kept":         {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", "200 ok", 1},
		"the last":               {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "200 ok", 0},
		"more than was promised": {okay + "HTTP/1.1 200 OK\r\n", "200 ok", 0},
		"more, without a body":   {"HTTP/1.1 204 \r\n\r\nHTTP/1.1 200 OK\r\n", "204 ", 0},
		"interim answers":        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + okay, "200 ok", 1},
		"a redirect":             {"HTTP/1.1 307 \r\nLocation: http://b/\r\nContent-Length: 0\r\n\r\n", "307 ", 1},
		"a long head":            {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: "+large[:1000]+"\r\n", 20) + "Content-Length: 2\r\n\r\nok", "200 ok", 1},
	} {
		t.Run(name, func(t *testing.T) {
			for _, piece := range []int{1 << 20, 4096, 1} {
				if piece == 1 && len(c.answer) > 10000 {
					continue
				}
				for _, whole := range []bool{true, false} {
					testPool(t, script{func(t *testing.T, nc net.Conn, br *bufio.Reader) {
						request(t, br)
						for b := []byte(c.answer); len(b) > 0; b = b[min(piece, len(b)):] {
							nc.Write(b[:min(piece, len(b))])
						}
						if c.kept > 0 {
							_, _ = br.ReadByte()
						}
					}}, func(t *testing.T, p *Pool, _ *int) {
						r, err := p.Send(t.Context(), chat)
						if err != nil {
							t.Fatal(err)
						}
						var b []byte
						if whole {
							b, err = r.Body(1<<20, time.Time{})
						} else {
							var piece []byte
							for err == nil {
								piece, err = r.Read(time.Time{})
								b = append(b, piece...)
							}
							if errors.Is(err, io.EOF) {
								err = nil
							}
						}
						status, err2 := r.Head(time.Time{})
						if got := fmt.Sprint(status, " ", string(b)); got != c.want || err != nil || err2 != nil {
							t.Errorf("piece %d, whole %v: got %.200q %v %v, want %.200q", piece, whole, got, err, err2, c.want)
						}
						r.Close()
						r.Close()
						if kept := idle(p); kept != c.kept {
							// With one piece, what comes unasked is seen at once; byte by byte
							// it has not come when the answer ends.
							if !(strings.HasPrefix(name, "more") && piece == 1) {
								t.Errorf("piece %d, whole %v: %d connections are kept, want %d", piece, whole, kept, c.kept)
							}
						}
					})
				}
			}
		})
	}
}

func TestBrokenAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		want   fault.Kind
	}{
		"nothing":                     {"", fault.Interrupted},
		"half a head":                 {"HTTP/1.1 200 OK\r\nContent-", fault.Interrupted},
		"a body cut":                  {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", fault.Interrupted},
		"chunks without the last":     {streams + "2\r\nok\r\n", fault.Interrupted},
		"the last chunk, cut":         {streams + "2\r\nok\r\n0\r\n", fault.Interrupted},
		"a chunk cut":                 {streams + "3\r\nok", fault.Interrupted},
		"a bad chunk":                 {streams + "2\r\nokay\r\n", fault.Malformed},
		"not HTTP":                    {"SSH-2.0-OpenSSH_9.2\r\n", fault.Interrupted},
		"not HTTP, with a line":       {"220 mail\r\n\r\n", fault.Malformed},
		"HTTP/2":                      {"HTTP/2 200 OK\r\n\r\n", fault.Malformed},
		"no status":                   {"HTTP/1.1 OK\r\n\r\n", fault.Malformed},
		"a status of four":            {"HTTP/1.1 2000 OK\r\n\r\n", fault.Malformed},
		"switching protocols":         {"HTTP/1.1 101 Switching Protocols\r\n\r\n", fault.Malformed},
		"endless interim answers":     {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20), fault.Malformed},
		"two lengths":                 {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", fault.Malformed},
		"a length and chunks":         {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", fault.Malformed},
		"another coding":              {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", fault.Malformed},
		"bare LF":                     {"HTTP/1.1 200 OK\n\n", fault.Malformed},
		"a head without end":          {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 70000), fault.Malformed},
		"a body above the bound":      {"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n", fault.Oversized},
		"chunks above the bound":      {streams + "1e8480\r\n" + strings.Repeat("a", 2000000) + "\r\n0\r\n\r\n", fault.Oversized},
		"until the end above it, too": {"HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("a", 2000000), fault.Oversized},
	} {
		t.Run(name, func(t *testing.T) {
			testPool(t, script{func(t *testing.T, nc net.Conn, br *bufio.Reader) {
				request(t, br)
				nc.Write([]byte(c.answer))
			}}, func(t *testing.T, p *Pool, _ *int) {
				_, _, err := call(t, p, chat)
				f, ok := errors.AsType[*fault.Error](err)
				if !ok || f.Kind != c.want {
					t.Fatalf("got %v, want %v", err, c.want)
				}
				if strings.Contains(f.Words, "a:1") || idle(p) != 0 {
					t.Errorf("the words are %q, %d connections are kept", f.Words, idle(p))
				}
			})
		})
	}
}

func TestReadGivesWhatThereIs(t *testing.T) {
	testPool(t, script{func(t *testing.T, nc net.Conn, br *bufio.Reader) {
		request(t, br)
		nc.Write([]byte(streams))
		nc.Write([]byte("3\r\nabc\r\n2\r\nde\r\n4\r\nf"))
		time.Sleep(20 * time.Second)
		nc.Write([]byte("gh"))
		nc.Write([]byte("i\r\n0\r\n"))
		nc.Write([]byte("\r\n"))
		_, _ = br.ReadByte()
	}}, func(t *testing.T, p *Pool, _ *int) {
		r, err := p.Send(t.Context(), chat)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		began := time.Now()
		for _, want := range []struct {
			bytes string
			err   error
			at    time.Duration
		}{
			{"abcdef", nil, 0},
			{"", ErrQuiet, 15 * time.Second},
			{"gh", nil, 20 * time.Second},
			{"i", nil, 20 * time.Second},
			{"", io.EOF, 20 * time.Second},
			{"", io.EOF, 20 * time.Second},
		} {
			b, err := r.Read(time.Now().Add(15 * time.Second))
			if string(b) != want.bytes || !errors.Is(err, want.err) || time.Since(began) != want.at {
				t.Errorf("got %q %v after %v, want %q %v after %v", b, err, time.Since(began), want.bytes, want.err, want.at)
			}
		}
	})
}

func TestUntilIsKeptAlsoWhenItMoves(t *testing.T) {
	testPool(t, script{func(t *testing.T, nc net.Conn, br *bufio.Reader) {
		request(t, br)
		time.Sleep(time.Hour)
		nc.Write([]byte(okay))
		_, _ = br.ReadByte()
	}}, func(t *testing.T, p *Pool, _ *int) {
		r, err := p.Send(t.Context(), chat)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		began := time.Now()
		for _, after := range []time.Duration{10 * time.Second, 10 * time.Second, 11 * time.Second, 5 * time.Second, 40 * time.Second, 30 * time.Second} {
			until := began.Add(after)
			if _, err := r.Head(until); !errors.Is(err, ErrQuiet) || time.Now().Before(until) {
				t.Errorf("until %v: got %v after %v", after, err, time.Since(began))
			}
		}
		if time.Since(began) != 40*time.Second {
			t.Errorf("waited %v, want 40 s", time.Since(began))
		}
		if status, err := r.Head(time.Time{}); status != 200 || err != nil {
			t.Errorf("got %d %v", status, err)
		}
	})
}

func TestAKeptConnectionThatIsGoneIsReplaced(t *testing.T) {
	gone := answers(okay)
	halfway := func(t *testing.T, nc net.Conn, br *bufio.Reader) {
		answers(okay)(t, nc, br)
		_, _ = br.ReadByte() // closes when the second request begins
	}
	after := func(t *testing.T, nc net.Conn, br *bufio.Reader) {
		answers(okay)(t, nc, br)
		request(t, br)
	}
	for name, first := range map[string]func(*testing.T, net.Conn, *bufio.Reader){"gone": gone, "gone while it is sent": halfway, "gone after it was sent": after} {
		t.Run(name, func(t *testing.T) {
			testPool(t, script{first, answers("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain")}, func(t *testing.T, p *Pool, dials *int) {
				if _, _, err := call(t, p, chat); err != nil {
					t.Fatal(err)
				}
				r, err := p.Send(t.Context(), chat)
				if err != nil {
					t.Fatal(err)
				}
				b, err := r.Body(100, time.Time{})
				if string(b) != "again" || err != nil || !r.resent || r.kept || *dials != 2 {
					t.Errorf("got %q %v, resent %v, fresh %v, %d dials", b, err, r.resent, !r.kept, *dials)
				}
				r.Close()
			})
		})
	}
}

func TestARequestIsSentAgainOnceAndOnlyUnheard(t *testing.T) {
	t.Run("a new connection that ends is an error", func(t *testing.T) {
		testPool(t, script{answers(okay), answers("")}, func(t *testing.T, p *Pool, dials *int) {
			if _, _, err := call(t, p, chat); err != nil {
				t.Fatal(err)
			}
			_, _, err := call(t, p, chat)
			if f := fault.Of(err); f == nil || f.Kind != fault.Interrupted || *dials != 2 {
				t.Errorf("got %v after %d dials", err, *dials)
			}
		})
	})
	t.Run("one byte was heard", func(t *testing.T) {
		testPool(t, script{answers(okay, "H")}, func(t *testing.T, p *Pool, dials *int) {
			if _, _, err := call(t, p, chat); err != nil {
				t.Fatal(err)
			}
			_, _, err := call(t, p, chat)
			if f := fault.Of(err); f == nil || f.Kind != fault.Interrupted || *dials != 1 {
				t.Errorf("got %v after %d dials", err, *dials)
			}
		})
	})
	t.Run("it ends after it may have begun the work", func(t *testing.T) {
		late := func(t *testing.T, nc net.Conn, br *bufio.Reader) {
			answers(okay)(t, nc, br)
			request(t, br)
			time.Sleep(crossing + time.Millisecond)
		}
		testPool(t, script{late, answers(okay)}, func(t *testing.T, p *Pool, dials *int) {
			if _, _, err := call(t, p, chat); err != nil {
				t.Fatal(err)
			}
			_, _, err := call(t, p, chat)
			if f := fault.Of(err); f == nil || f.Kind != fault.Interrupted || *dials != 1 {
				t.Errorf("got %v after %d dials", err, *dials)
			}
		})
	})
	t.Run("nobody is there any more", func(t *testing.T) {
		testPool(t, script{answers(okay)}, func(t *testing.T, p *Pool, dials *int) {
			if _, _, err := call(t, p, chat); err != nil {
				t.Fatal(err)
			}
			_, _, err := call(t, p, chat)
			if f := fault.Of(err); f == nil || f.Kind != fault.Connect {
				t.Errorf("got %v", err)
			}
		})
	})
}

func TestAnAnswerBeforeTheWholeRequestIsRead(t *testing.T) {
	testPool(t, script{func(t *testing.T, nc net.Conn, br *bufio.Reader) {
		if _, err := br.ReadString('\n'); err != nil {
			t.Error(err)
		}
		nc.Write([]byte("HTTP/1.1 413 \r\nContent-Length: 0\r\n\r\n"))
	}}, func(t *testing.T, p *Pool, _ *int) {
		// In memory the answer is taken only after the request, which nobody
		// takes: the write has to give up first, and then Head still reads.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		req := *chat
		req.Body = make([]byte, 100000)
		r, err := p.Send(ctx, &req)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		status, err := r.Head(time.Now().Add(time.Minute))
		if status != 413 || err != nil {
			t.Errorf("got %d %v", status, err)
		}
		if r.keep {
			t.Error("a connection with half a request on it would be kept")
		}
	})
}

func TestCancel(t *testing.T) {
	why := errors.New("the client left")
	for name, c := range map[string]struct {
		answer string
		read   func(*Response) error
	}{
		"before the head":   {"", func(r *Response) error { _, err := r.Head(time.Time{}); return err }},
		"in the body":       {streams + "2\r\nok\r\n", func(r *Response) (err error) { _, _ = r.Read(time.Time{}); _, err = r.Read(time.Time{}); return err }},
		"in the whole body": {streams + "2\r\nok\r\n", func(r *Response) (err error) { _, err = r.Body(100, time.Time{}); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			testPool(t, script{func(t *testing.T, nc net.Conn, br *bufio.Reader) {
				request(t, br)
				nc.Write([]byte(c.answer))
				began := time.Now()
				if _, err := br.ReadByte(); err == nil || time.Since(began) != time.Second {
					t.Errorf("the upstream saw %v after %v, want the end after 1 s", err, time.Since(began))
				}
			}}, func(t *testing.T, p *Pool, _ *int) {
				ctx, cancel := context.WithCancelCause(t.Context())
				r, err := p.Send(ctx, chat)
				if err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(time.Second, func() { cancel(why) })
				if err := c.read(r); !errors.Is(err, why) {
					t.Errorf("got %v, want the cause", err)
				}
				if err := c.read(r); !errors.Is(err, why) {
					t.Errorf("then got %v, want the cause", err)
				}
				r.Close()
				if _, err := p.Send(ctx, chat); !errors.Is(err, why) {
					t.Errorf("Send: got %v, want the cause", err)
				}
				if idle(p) != 0 {
					t.Error("the connection is kept")
				}
			})
		})
	}
}

func TestCloseInTheMiddleTellsTheUpstream(t *testing.T) {
	testPool(t, script{func(t *testing.T, nc net.Conn, br *bufio.Reader) {
		request(t, br)
		nc.Write([]byte(streams + "2\r\nok\r\n"))
		if _, err := br.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want the end", err)
		}
	}}, func(t *testing.T, p *Pool, _ *int) {
		r, err := p.Send(t.Context(), chat)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := r.Read(time.Time{}); string(b) != "ok" || err != nil {
			t.Errorf("got %q %v", b, err)
		}
		r.Close()
		if _, err := r.Read(time.Time{}); err == nil {
			t.Error("a closed response can be read")
		}
	})
}

func TestHeadersOfAnAnswer(t *testing.T) {
	testPool(t, script{answers("HTTP/1.1 429 Slow Down\r\nContent-Type: text/event-stream\r\nRetry-After: 3\r\nContent-Encoding: br\r\nContent-Length: 5000\r\n\r\n" + strings.Repeat("a", 5000))}, func(t *testing.T, p *Pool, _ *int) {
		r, err := p.Send(t.Context(), chat)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, ok := r.Header("retry-after"); ok {
			t.Error("there is a header before the head")
		}
		for err == nil {
			_, err = r.Read(time.Time{})
		}
		v, _ := r.Header("retry-after")
		w, _ := r.Header("Content-type")
		n := 0
		for range r.Headers() {
			n++
		}
		if string(v) != "3" || string(w) != "text/event-stream" || n != 4 || !r.Encoded() || r.length != 5000 {
			t.Errorf("got %q, %q, %d fields, encoded %v, length %d", v, w, n, r.Encoded(), r.length)
		}
	})
}

func TestPoolKeepsTheLastUsedFirst(t *testing.T) {
	many := func(t *testing.T, nc net.Conn, br *bufio.Reader) {
		for {
			if _, err := br.Peek(1); err != nil {
				return
			}
			answers(okay)(t, nc, br)
		}
	}
	testPool(t, script{many, many, many}, func(t *testing.T, p *Pool, dials *int) {
		var rs []*Response
		for range 3 {
			r, err := p.Send(t.Context(), chat)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Body(10, time.Time{}); err != nil {
				t.Fatal(err)
			}
			rs = append(rs, r)
		}
		var first *link
		for _, r := range rs {
			first = r.link
			r.Close()
			time.Sleep(time.Minute)
		}
		if idle(p) != 3 || p.Open() != 3 {
			t.Errorf("got %d idle of %d, want 3 of 3", idle(p), p.Open())
		}
		p.Sweep(time.Now())
		if idle(p) != 1 {
			t.Errorf("after a minute and more: %d idle, want 1", idle(p))
		}
		r, err := p.Send(t.Context(), chat)
		if err != nil {
			t.Fatal(err)
		}
		if r.link != first || !r.kept {
			t.Error("not the connection used last")
		}
		if _, err := r.Body(10, time.Time{}); err != nil {
			t.Fatal(err)
		}
		r.Close()
		time.Sleep(2 * time.Minute)
		*dials = 0 // the script begins again
		if _, _, err := call(t, p, chat); err != nil || *dials != 1 {
			t.Errorf("got %v after %d dials, want a new connection instead of an old one", err, *dials)
		}
	})
}

func TestPoolKeepsNoMoreThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, _, wait := script{answers(okay), answers(okay), answers(okay)}.upstream(t)
		p, err := NewPool("http://up", dial, PoolLimits{Idle: 2})
		if err != nil {
			t.Fatal(err)
		}
		var rs []*Response
		for range 3 {
			r, _ := p.Send(t.Context(), chat)
			if _, err := r.Body(10, time.Time{}); err != nil {
				t.Fatal(err)
			}
			rs = append(rs, r)
		}
		for _, r := range rs[:2] {
			r.Close()
		}
		p.Close()
		rs[2].Close()
		wait()
		if idle(p) != 0 || p.Open() != 0 {
			t.Errorf("got %d idle, %d open after Close", idle(p), p.Open())
		}
	})
}

func TestARequestIsOne(t *testing.T) {
	testPool(t, script{}, func(t *testing.T, p *Pool, dials *int) {
		for _, req := range []Request{{}, {Method: "GET"}, {Method: "GET", Target: "/a b"}, {Method: "GET", Target: "/a\r\nX: y"}, {Method: "GET ", Target: "/"}, {Method: "GET", Target: "/\x80"}} {
			if _, err := p.Send(t.Context(), &req); err == nil || fault.Of(err).Kind != fault.Internal || *dials != 0 {
				t.Errorf("%+v: got %v after %d dials", req, err, *dials)
			}
		}
	})
}

func TestOrigins(t *testing.T) {
	for origin, addr := range map[string]string{
		"http://A":            "a:80",
		"https://a.example/":  "a.example:443",
		"http://[::1]:8000":   "[::1]:8000",
		"http://10.0.0.1:80":  "10.0.0.1:80",
		"ftp://a":             "",
		"http://":             "",
		"http://u:p@a":        "",
		"http://a/v1":         "",
		"http://a?b":          "",
		"a:80":                "",
		"http://a b":          "",
		"http://a\r\nX: y":    "",
		"http://\xc3\xa4.com": "",
	} {
		p, err := NewPool(origin, nil, PoolLimits{})
		if (err == nil) != (addr != "") || err == nil && p.addr != addr {
			t.Errorf("%q: got %+v %v, want %q", origin, p, err, addr)
		}
	}
}

func dialer(t *testing.T, addrs ...string) *Dialer {
	t.Helper()
	d, err := NewDialer(addrs, 0)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTLS(t *testing.T) {
	up := httptest.NewUnstartedServer(nil)
	up.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	up.Config.ErrorLog = log.New(io.Discard, "", 0)
	up.StartTLS()
	defer up.Close()
	u, err := url.Parse(up.URL)
	if err != nil {
		t.Fatal(err)
	}
	d := dialer(t, HostPort(u))
	roots := x509.NewCertPool()
	roots.AddCert(up.Certificate())
	for name, c := range map[string]struct {
		roots *x509.CertPool
		want  fault.Kind
	}{"trusted": {roots, fault.None}, "not trusted": {x509.NewCertPool(), fault.TLS}} {
		p, err := NewPool(up.URL, d.Dial, PoolLimits{Roots: c.roots})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			status, _, err := call(t, p, chat)
			if kind := kindOfError(err); kind != c.want || kind == fault.None && status != 404 {
				t.Errorf("%s: got %d %v, want %v", name, status, err, c.want)
			}
		}
		if c.want == fault.None && p.Open() != 1 {
			t.Errorf("%s: %d connections for two requests", name, p.Open())
		}
		p.Close()
	}
}

func kindOfError(err error) fault.Kind {
	if err == nil {
		return fault.None
	}
	return fault.Of(err).Kind
}

func TestTheHandshakeHasATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, _, wait := script{func(_ *testing.T, nc net.Conn, _ *bufio.Reader) { _, _ = io.Copy(io.Discard, nc) }}.upstream(t)
		p, err := NewPool("https://up", dial, PoolLimits{})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := p.Send(t.Context(), chat); kindOfError(err) != fault.TLS || time.Since(began) != 5*time.Second {
			t.Errorf("got %v after %v, want tls after 5 s", err, time.Since(began))
		}
		wait()
	})
}

func TestDialer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open := ln.Addr().String()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	closed.Close()
	defer ln.Close()
	_, port, _ := net.SplitHostPort(open)
	d := dialer(t, open, nobody, "LocalHost:"+port)
	for addr, want := range map[string]fault.Kind{
		open:                         fault.None,
		"localhost:" + port:          fault.None,
		nobody:                       fault.Connect,
		"127.0.0.2:" + port:          fault.Connect,
		"[::ffff:127.0.0.1]:" + port: fault.Connect,
		"169.254.169.254:80":         fault.Connect,
		open + "0":                   fault.Connect,
		"":                           fault.Connect,
	} {
		nc, err := d.Dial(t.Context(), "tcp", addr)
		if kindOfError(err) != want {
			t.Errorf("%q: got %v, want %v", addr, err, want)
		}
		if err == nil {
			nc.Close()
		} else if f := fault.Of(err); f.Cause == nil || strings.Contains(f.Words, addr) && addr != "" {
			t.Errorf("%q: the words are %q, the cause %v", addr, f.Words, f.Cause)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrNoProgress)
	if _, err := d.Dial(ctx, "tcp", open); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v, want the cause", err)
	}
	for _, addr := range []string{"a", "a:", "a:0", ":", "http://a:80"} {
		if _, err := NewDialer([]string{addr}, 0); err == nil {
			t.Errorf("%q is taken for an address", addr)
		}
	}
}

func TestAConnectionThatEndedIsNotUsed(t *testing.T) {
	for name, last := range map[string]string{"ended": "", "said something": "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			kept := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				for _, last := range []string{last, ""} {
					nc, err := ln.Accept()
					if err != nil {
						t.Error(err)
						return
					}
					answers(okay)(t, nc, bufio.NewReader(nc))
					<-kept
					_, _ = io.WriteString(nc, last)
					nc.Close()
				}
			})
			defer wg.Wait()
			defer ln.Close()
			p, err := NewPool("http://"+ln.Addr().String(), dialer(t, ln.Addr().String()).Dial, PoolLimits{})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if _, _, err := call(t, p, chat); err != nil || !p.idle[0].standing() {
				t.Fatalf("%v, or the connection does not stand", err)
			}
			kept <- struct{}{}
			for p.idle[0].standing() {
				runtime.Gosched()
			}
			r, err := p.Send(t.Context(), chat)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if status, err := r.Head(time.Time{}); status != 200 || err != nil || r.kept || r.resent {
				t.Errorf("got %d %v, fresh %v, resent %v", status, err, !r.kept, r.resent)
			}
			kept <- struct{}{}
		})
	}
}
