package wire

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headworks/internal/fault"
)

// zipped returns pieces as gzip, each flushed so that it can be decoded when it came.
func zipped(t testing.TB, pieces ...string) (all [][]byte) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for _, p := range pieces {
		_, err := io.WriteString(z, p)
		if err := errors.Join(err, z.Flush()); err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.Clone(b.Bytes()))
		b.Reset()
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return append(all, b.Bytes())
}

// inflateIn decodes what is fed in pieces of n bytes.
func inflateIn(n int, coded []byte) (plain []byte, err error) {
	z := newInflater()
	defer z.stop()
	for {
		p, err := z.more()
		plain = append(plain, p...)
		switch {
		case err == nil:
		case !errors.Is(err, errHungry):
			return plain, err
		case len(coded) == 0:
			z.ended = true
		default:
			n := min(n, len(coded))
			z.feed(coded[:n])
			coded = coded[n:]
		}
	}
}

// TestInflated: however gzip is cut into pieces, the same comes out, and it ends well
// only where it ends.
func TestInflated(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.String().Draw(r, "text") + strings.Repeat("more ", rapid.IntRange(0, 30_000).Draw(r, "more"))
		coded := bytes.Join(zipped(t, text), nil)
		if rapid.Bool().Draw(r, "two members") {
			coded, text = append(coded, coded...), text+text
		}
		n := rapid.IntRange(1, 5000).Draw(r, "piece")
		if got, err := inflateIn(n, coded); string(got) != text || !errors.Is(err, io.EOF) {
			r.Fatalf("%d bytes of %d, %v", len(got), len(text), err)
		}
		cut := rapid.IntRange(0, len(coded)-1).Draw(r, "cut")
		if _, err := inflateIn(n, coded[:cut]); errors.Is(err, io.EOF) && len(coded[:cut])*2 != len(coded) {
			r.Fatalf("%d bytes of %d end well", cut, len(coded))
		}
		if _, err := inflateIn(n, append(bytes.Clone(coded), 'x')); err == nil || errors.Is(err, io.EOF) {
			r.Fatalf("what follows is no end: %v", err)
		}
	})
}

func FuzzInflate(f *testing.F) {
	f.Add(bytes.Join(zipped(f, "some", " text"), nil), 3)
	f.Add([]byte("\x1f\x8b\x08\x00"), 1)
	f.Add([]byte{}, 7)
	f.Fuzz(func(t *testing.T, coded []byte, n int) {
		got, err := inflateIn(max(n, 1), coded)
		if errors.Is(err, errBomb) {
			return
		}
		z, werr := gzip.NewReader(bytes.NewReader(coded))
		var want []byte
		if werr == nil {
			want, werr = io.ReadAll(z)
		}
		if string(got) != string(want) || errors.Is(err, io.EOF) != (werr == nil) {
			t.Errorf("%d bytes, %v; want %d, %v", len(got), err, len(want), werr)
		}
	})
}

// gives answers, whether or not that is taken whole.
func gives(answer string) func(*testing.T, net.Conn, *bufio.Reader) {
	return func(t *testing.T, nc net.Conn, br *bufio.Reader) {
		request(t, br)
		_, _ = io.WriteString(nc, answer)
	}
}

func TestAnswersAsGzip(t *testing.T) {
	head := func(n int) string {
		return "HTTP/1.1 200 OK\r\nContent-Encoding: GZIP\r\nContent-Length: " + strconv.Itoa(n) + "\r\n\r\n"
	}
	whole := string(bytes.Join(zipped(t, "hello"), nil))
	bomb := string(bytes.Join(zipped(t, strings.Repeat("a", 8<<20)), nil))
	long := string(bytes.Join(zipped(t, strings.Repeat("ab", 600)), nil))
	for name, c := range map[string]struct {
		answer string
		want   string
		kind   fault.Kind
		kept   bool
	}{
		"whole":            {head(len(whole)) + whole, "hello", fault.None, true},
		"two members":      {head(2*len(whole)) + whole + whole, "hellohello", fault.None, true},
		"no gzip":          {head(5) + "hello", "", fault.Malformed, false},
		"nothing":          {head(0), "", fault.None, true},
		"nothing, chunked": {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", fault.Malformed, false},
		"its end left out": {head(len(whole)-1) + whole[:len(whole)-1], "", fault.Malformed, false},
		"cut off":          {head(len(whole)) + whole[:len(whole)-1], "", fault.Interrupted, false},
		"a wrong sum":      {head(len(whole)) + whole[:len(whole)-8] + "\x00" + whole[len(whole)-7:], "", fault.Malformed, false},
		"a bomb":           {head(len(bomb)) + bomb, "", fault.Oversized, false},
		"too large":        {head(len(long)) + long, "", fault.Oversized, false},
	} {
		for _, read := range []string{"whole", "in pieces"} {
			if name == "too large" && read != "whole" {
				continue // pieces have no bound together
			}
			t.Run(name+", "+read, func(t *testing.T) {
				testPool(t, script{gives(c.answer)}, func(t *testing.T, p *Pool, _ *int) {
					r, err := p.Send(t.Context(), chat)
					if err != nil {
						t.Fatal(err)
					}
					var got []byte
					if read == "whole" {
						got, err = r.Body(1000, time.Time{})
					} else {
						for err == nil {
							var b []byte
							b, err = r.Read(time.Time{})
							got = append(got, b...)
						}
						if errors.Is(err, io.EOF) {
							err = nil
						}
					}
					if kind := kindOfError(err); kind != c.kind || c.kind == fault.None && string(got) != c.want {
						t.Errorf("got %q, %v", got, err)
					}
					if r.Encoded() && name != "nothing" {
						t.Error("it is said not to be decoded")
					}
					r.Close()
					if idle(p) != map[bool]int{true: 1}[c.kept] {
						t.Errorf("%d connections are kept", idle(p))
					}
				})
			})
		}
	}
}

// TestAStreamAsGzip: what is flushed is there when it came, and silence is silence.
func TestAStreamAsGzip(t *testing.T) {
	pieces := zipped(t, "first", "second")
	var next chan struct{} // of the bubble
	testPool(t, script{func(t *testing.T, nc net.Conn, br *bufio.Reader) {
		request(t, br)
		io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
		for i, p := range pieces {
			if i > 0 {
				<-next
			}
			io.WriteString(nc, strconv.FormatInt(int64(len(p)), 16)+"\r\n"+string(p)+"\r\n")
		}
		io.WriteString(nc, lastChunk)
	}}, func(t *testing.T, p *Pool, _ *int) {
		next = make(chan struct{})
		r, err := p.Send(t.Context(), chat)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for _, want := range []string{"first", "second"} {
			if b, err := r.Read(time.Time{}); string(b) != want || err != nil {
				t.Fatalf("got %q, %v", b, err)
			}
			if b, err := r.Read(time.Now().Add(time.Millisecond)); !errors.Is(err, ErrQuiet) {
				t.Fatalf("got %q, %v in silence", b, err)
			}
			next <- struct{}{}
		}
		if b, err := r.Read(time.Time{}); !errors.Is(err, io.EOF) {
			t.Errorf("got %q, %v at the end", b, err)
		}
	})
}
