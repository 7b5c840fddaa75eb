package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headworks/internal/fault"
)

// piecewise answers as echo does, and reads the body in pieces of so many bytes.
func piecewise(n int) func(*Exchange) {
	return func(x *Exchange) {
		u, err := x.Upload(1 << 20)
		var body []byte
		for b := make([]byte, n); err == nil; {
			var m int
			m, err = u.Read(b)
			body = append(body, b[:m]...)
		}
		if err != io.EOF { //nolint:errorlint // a fault may have it as its cause, and is no end
			f := fault.Of(err)
			_ = x.Respond(f.HTTPStatus(), "text/plain", nil, []byte(f.Words))
			return
		}
		_ = x.Respond(200, "text/plain", nil, fmt.Appendf(nil, "%s %s?%s %q", x.Method(), x.Path(), x.Query(), body))
	}
}

// chunks returns a body in chunks of these sizes, as far as it goes, and the rest in
// one.
func chunks(body string, sizes []int) string {
	var b strings.Builder
	for _, n := range sizes {
		if n = min(n, len(body)); n > 0 {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
			body = body[n:]
		}
	}
	if body != "" {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(body), body)
	}
	return b.String() + "0\r\n\r\n"
}

// TestPiecesAreTheBody: read in pieces or at once, a body is the same, and what was
// sent ahead is the next request, or the connection ends.
func TestPiecesAreTheBody(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var sent strings.Builder
		n := rapid.IntRange(1, 4).Draw(r, "requests")
		for i := range n {
			body := strings.Repeat(rapid.StringMatching(`[a-z\r\n]{1,9}`).Draw(r, "body"), rapid.IntRange(0, 2000).Draw(r, "times"))
			end := ""
			if i == n-1 {
				end = last
			}
			if rapid.Bool().Draw(r, "chunked") {
				sizes := rapid.SliceOfN(rapid.IntRange(1, 3000), 0, 5).Draw(r, "sizes")
				sent.WriteString(start + end + "Transfer-Encoding: chunked\r\n\r\n" + chunks(body, sizes))
			} else {
				fmt.Fprintf(&sent, "%s%sContent-Length: %d\r\n\r\n%s", start, end, len(body), body)
			}
		}
		piece := rapid.IntRange(1, 5000).Draw(r, "piece")
		answers := func(handler func(*Exchange)) (all []string) {
			closes := false
			inMemory(t, Limits{}, handler, func(t *testing.T, _ *Server, p *pipes) {
				nc := p.dial()
				go nc.Write([]byte(sent.String()))
				br := bufio.NewReader(nc)
				for {
					a, closing, ok := readAnswer(br)
					if !ok {
						break
					}
					all, closes = append(all, a), closing
				}
				nc.Close()
			})
			if !closes {
				r.Fatalf("%d answers to %d requests, and the connection ended unsaid", len(all), n)
			}
			return all
		}
		want, got := answers(echo), answers(piecewise(piece))
		if len(got) == 0 || len(got) > n || len(want) == 0 || len(want) > n {
			r.Fatalf("%d answers, at once %d, to %d requests", len(got), len(want), n)
		}
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				r.Fatalf("answer %d: %.200q, at once %.200q", i, got[i], want[i])
			}
		}
	})
}

// readAnswer reads an answer with a length, and returns its body and whether it is the
// last of its connection.
func readAnswer(br *bufio.Reader) (body string, closing, ok bool) {
	length := 0
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return "", false, false
		}
		closing = closing || line == last
		if _, err := fmt.Sscanf(line, "Content-Length: %d", &length); err == nil {
			continue
		}
		if line == "\r\n" {
			break
		}
	}
	b := make([]byte, length)
	_, err := io.ReadFull(br, b)
	return string(b), closing, err == nil
}

func TestUploadsThatGoWrong(t *testing.T) {
	const sized, coded = start + "Content-Length: 2000000\r\n\r\n", start + "Transfer-Encoding: chunked\r\n\r\n"
	for name, c := range map[string]struct{ send, status string }{
		"too large by its length": {sized, "413"},
		"too large in chunks":     {coded + "200000\r\n" + strings.Repeat("a", 0x200000), "413"},
		"too slow":                {start + "Content-Length: 9\r\n\r\nabc", "408"},
		"too slow in chunks":      {coded + "9\r\nabc", "408"},
		"no chunk":                {coded + "x\r\n", "400"},
		"chunks of bare LF":       {coded + "1\na\n0\n\n", "400"},
		"crumbs":                  {coded + strings.Repeat("1;"+strings.Repeat("e", 100)+"\r\na\r\n", 400) + "0\r\n\r\n", "400"},
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, Limits{}, piecewise(512), func(t *testing.T, _ *Server, p *pipes) {
				if got := say(t, p.dial(), c.send); status(got) != c.status {
					t.Errorf("got %.200q, want %s", got, c.status)
				}
			})
		})
	}
}

// TestOnlyWaitingIsSlow: a body is slow only while somebody waits for it.
func TestOnlyWaitingIsSlow(t *testing.T) {
	inMemory(t, Limits{}, func(x *Exchange) {
		u, err := x.Upload(1 << 20)
		for b := make([]byte, 4); err == nil; {
			time.Sleep(time.Hour) // an upstream that takes its time
			_, err = u.Read(b)
		}
		if err != io.EOF { //nolint:errorlint // as in piecewise
			t.Error(err)
		}
		_ = x.Respond(200, "", nil, nil)
	}, func(t *testing.T, _ *Server, p *pipes) {
		if got := say(t, p.dial(), start+last+"Content-Length: 20\r\n\r\n"+strings.Repeat("a", 20)); status(got) != "200" {
			t.Errorf("got %q", got)
		}
	})
}

// TestStopEndsAnUpload: whoever waits for a body is woken, and nothing is read behind
// that: the connection ends with the answer.
func TestStopEndsAnUpload(t *testing.T) {
	inMemory(t, Limits{}, func(x *Exchange) {
		u, err := x.Upload(1 << 20)
		if err != nil {
			t.Error(err)
		}
		var reading sync.WaitGroup
		reading.Go(func() {
			b := make([]byte, 16)
			if n, err := u.Read(b); string(b[:n]) != "abc" || err != nil {
				t.Errorf("got %q, %v", b[:n], err)
			}
			for range 2 {
				if n, err := u.Read(b); n != 0 || !errors.Is(err, errStopped) {
					t.Errorf("got %d bytes, %v", n, err)
				}
			}
		})
		time.Sleep(time.Second) // of the bubble: the reader waits by now
		u.Stop()
		reading.Wait()
		_ = x.Respond(503, "", nil, nil)
	}, func(t *testing.T, _ *Server, p *pipes) {
		got := say(t, p.dial(), start+"Content-Length: 9\r\n\r\nabc")
		if status(got) != "503" || !strings.Contains(got, "Connection: close") {
			t.Errorf("got %q", got)
		}
	})
}

// TestWatchBeginsBehindAnUpload: a client that leaves is noticed, while it sends its
// body and when that is whole.
func TestWatchBeginsBehindAnUpload(t *testing.T) {
	for name, send := range map[string]string{"while it sends": "abc", "when all is sent": "abcdef"} {
		t.Run(name, func(t *testing.T) {
			left := make(chan error, 1)
			inMemory(t, Limits{}, func(x *Exchange) {
				u, err := x.Upload(1 << 20)
				if err != nil {
					t.Error(err)
				}
				x.Watch()
				for b := make([]byte, 2); err == nil; {
					_, err = u.Read(b)
				}
				<-x.Context().Done()
				left <- context.Cause(x.Context())
			}, func(t *testing.T, _ *Server, p *pipes) {
				nc := p.dial()
				nc.Write([]byte(start + "Content-Length: 6\r\n\r\n" + send))
				nc.Close()
				time.Sleep(time.Second) // of the bubble: it is noticed by now
			})
			if f := fault.Of(<-left); f.Kind != fault.ClientClosed {
				t.Errorf("got %v", f)
			}
		})
	}
}

// TestUploadTellsToGoOn: a client that waits for 100 Continue is told, once.
func TestUploadTellsToGoOn(t *testing.T) {
	inMemory(t, Limits{}, piecewise(3), func(t *testing.T, _ *Server, p *pipes) {
		nc := p.dial()
		defer nc.Close()
		go nc.Write([]byte(start + last + "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"))
		br := bufio.NewReader(nc)
		if line, err := br.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" || err != nil {
			t.Fatalf("got %q, %v", line, err)
		}
		go nc.Write([]byte("body"))
		if rest, err := io.ReadAll(br); !bytes.Contains(rest, []byte(`"body"`)) || bytes.Contains(rest, []byte("100 Continue")) || err != nil {
			t.Errorf("got %q, %v", rest, err)
		}
	})
}

// pieces is a Source of a test's. After the last piece it fails, waits or ends.
type pieces struct {
	all   []string
	fails error
	waits bool

	once    sync.Once
	stopped chan struct{}
}

func source(fails error, waits bool, all ...string) *pieces {
	return &pieces{all: slices.Clone(all), fails: fails, waits: waits, stopped: make(chan struct{})}
}

func (s *pieces) Read(p []byte) (int, error) {
	select {
	case <-s.stopped:
		return 0, errStopped
	default:
	}
	switch {
	case len(s.all) > 0:
		n := copy(p, s.all[0])
		if s.all[0] = s.all[0][n:]; s.all[0] == "" {
			s.all = s.all[1:]
		}
		return n, nil
	case s.fails != nil:
		return 0, s.fails
	case s.waits:
		<-s.stopped
		return 0, errStopped
	}
	return 0, io.EOF
}

func (s *pieces) Stop()            { s.once.Do(func() { close(s.stopped) }) }
func (s *pieces) Taken() time.Time { return time.Time{} }

// upload is a request of which held goes at once and the rest as it comes.
func upload(held string, rest *pieces, length int64) *Request {
	return &Request{Method: "POST", Target: "/v1/up", Body: []byte(held), Rest: rest, Length: length}
}

// TestARequestInPieces: what arrives is what was held and what came, by its length or
// in chunks, and the connection is kept.
func TestARequestInPieces(t *testing.T) {
	large := strings.Repeat("0123456789", 20_000)
	for name, c := range map[string]struct {
		held   string
		rest   []string
		length int64
	}{
		"with a length":           {"held", []string{"a", "bc"}, 3},
		"held and large":          {large, []string{large, "z"}, int64(len(large)) + 1},
		"in chunks":               {"held", []string{"a", "bc"}, -1},
		"in chunks, large":        {large, []string{large, "z"}, -1},
		"nothing held":            {"", []string{"abc"}, 3},
		"nothing held, in chunks": {"", []string{"abc"}, -1},
		"nothing more":            {"held", nil, 0},
		"nothing more, in chunks": {"held", nil, -1},
	} {
		t.Run(name, func(t *testing.T) {
			var body []byte
			testPool(t, script{func(t *testing.T, nc net.Conn, br *bufio.Reader) {
				body = arrives(t, br)
				io.WriteString(nc, okay)
			}}, func(t *testing.T, p *Pool, _ *int) {
				status, got, err := call(t, p, upload(c.held, source(nil, false, c.rest...), c.length))
				if status != 200 || got != "ok" || err != nil {
					t.Errorf("got %d %q, %v", status, got, err)
				}
				if idle(p) != 1 {
					t.Error("the connection is not kept")
				}
			})
			if want := c.held + strings.Join(c.rest, ""); string(body) != want {
				t.Errorf("%d bytes arrived, want %d", len(body), len(want))
			}
		})
	}
}

// arrives reads a request and returns its body.
func arrives(t *testing.T, br *bufio.Reader) []byte {
	t.Helper()
	length, chunked := -1, false
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			t.Error(err)
			return nil
		}
		if _, err := fmt.Sscanf(line, "Content-Length: %d", &length); err == nil {
			continue
		}
		chunked = chunked || line == "Transfer-Encoding: chunked\r\n"
		if line == "\r\n" {
			break
		}
	}
	if chunked == (length >= 0) {
		t.Errorf("chunked %v, and a length of %d", chunked, length)
	}
	var body []byte
	for {
		n := length
		if chunked {
			if _, err := fmt.Fscanf(br, "%x\r\n", &n); err != nil {
				t.Error(err)
				return nil
			}
		}
		at := len(body)
		body = append(body, make([]byte, n)...)
		if _, err := io.ReadFull(br, body[at:]); err != nil {
			t.Error(err)
			return nil
		}
		if !chunked {
			return body
		}
		if end := [2]byte{}; true {
			if _, err := io.ReadFull(br, end[:]); err != nil || string(end[:]) != "\r\n" {
				t.Errorf("behind a chunk: %q, %v", end, err)
				return nil
			}
		}
		if n == 0 {
			return body
		}
	}
}

// TestARequestThatBreaksOff: a body that cannot be read to its end never looks whole
// to the upstream, and the error is the reader's.
func TestARequestThatBreaksOff(t *testing.T) {
	slow := fault.New(fault.SlowRequest, "too slow")
	for name, c := range map[string]struct {
		rest   *pieces
		length int64
		kind   fault.Kind
	}{
		"fails":            {source(slow, false, "abc"), 9, fault.SlowRequest},
		"fails, in chunks": {source(slow, false, "abc"), -1, fault.SlowRequest},
		"at once":          {source(slow, false), -1, fault.SlowRequest},
		"too short":        {source(nil, false, "abc"), 9, fault.Internal},
		"too long":         {source(nil, false, "abcdef"), 3, fault.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			testPool(t, script{func(t *testing.T, nc net.Conn, br *bufio.Reader) {
				all, _ := io.ReadAll(br)
				_, body, _ := bytes.Cut(all, []byte("\r\n\r\n"))
				if bytes.HasSuffix(body, []byte(lastChunk)) || c.length >= 0 && int64(len(body)) >= c.length+4 {
					t.Errorf("it looks whole: %q", body)
				}
			}}, func(t *testing.T, p *Pool, _ *int) {
				if _, _, err := call(t, p, upload("held", c.rest, c.length)); kindOfError(err) != c.kind {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// TestAnAnswerBeforeTheRequestIsWhole: a refusal is heard while the body still comes,
// and ends its sending; success waits for the whole.
func TestAnAnswerBeforeTheRequestIsWhole(t *testing.T) {
	refuses := func(t *testing.T, nc net.Conn, br *bufio.Reader) {
		if _, err := br.Peek(1); err != nil {
			t.Error(err)
		}
		io.WriteString(nc, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		_, _ = io.Copy(io.Discard, br)
	}
	for name, rest := range map[string]*pieces{
		"that waits":       source(nil, true, "abc"),
		"that never stops": source(nil, true, strings.Repeat("a", 64<<20)),
	} {
		t.Run("refusal of one "+name, func(t *testing.T) {
			var r *pieces
			testPool(t, script{refuses}, func(t *testing.T, p *Pool, _ *int) {
				r = source(nil, true, rest.all...)
				status, got, err := call(t, p, upload("held", r, -1))
				if status != 413 || got != "no" || err != nil {
					t.Errorf("got %d %q, %v", status, got, err)
				}
				select {
				case <-r.stopped:
				default:
					t.Error("its body was not stopped")
				}
				if idle(p) != 0 {
					t.Error("the connection is kept")
				}
			})
		})
	}
	t.Run("success of one that waits", func(t *testing.T) {
		testPool(t, script{func(t *testing.T, nc net.Conn, br *bufio.Reader) {
			if _, err := br.Peek(1); err != nil {
				t.Error(err)
			}
			io.WriteString(nc, okay)
			_, _ = io.Copy(io.Discard, br)
		}}, func(t *testing.T, p *Pool, _ *int) {
			r, err := p.Send(t.Context(), upload("held", source(nil, true, "abc"), -1))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if status, err := r.Head(time.Now().Add(time.Minute)); !errors.Is(err, ErrQuiet) {
				t.Errorf("got %d, %v", status, err)
			}
		})
	})
}

// TestCancelEndsAnUpload: a context that is done ends the sending and whoever waits.
func TestCancelEndsAnUpload(t *testing.T) {
	testPool(t, script{func(t *testing.T, nc net.Conn, br *bufio.Reader) { _, _ = io.Copy(io.Discard, br) }}, func(t *testing.T, p *Pool, _ *int) {
		ctx, cancel := context.WithCancelCause(t.Context())
		rest := source(nil, true, "abc")
		r, err := p.Send(ctx, upload("held", rest, -1))
		if err != nil {
			t.Fatal(err)
		}
		why := errors.New("left")
		time.AfterFunc(time.Second, func() { cancel(why) })
		if _, err := r.Head(time.Time{}); !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
		r.Close()
		select {
		case <-rest.stopped:
		default:
			t.Error("its body was not stopped")
		}
	})
}
