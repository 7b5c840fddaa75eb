package wire

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http/httputil"
	"strings"
	"testing"
)

// dechunk decodes a body that comes in pieces; ok is whether it ended well.
func dechunk(pieces [][]byte) (payload []byte, rest int, ok bool) {
	var d chunked
	for i, p := range pieces {
		b := bytes.Clone(p)
		n, used, err := d.decode(b)
		payload = append(payload, b[:n]...)
		if err != nil {
			return payload, 0, false
		}
		if d.done() {
			rest = len(p) - used
			for _, p := range pieces[i+1:] {
				rest += len(p)
			}
			return payload, rest, true
		}
	}
	return payload, 0, false
}

func TestChunksAreTheSameInAnyPieces(t *testing.T) {
	body := "5\r\nhello\r\nA;ext=\"a b\"\r\n0123456789\r\n001 \t\r\n!\r\n0\r\nX: y\r\nZ:\r\n\r\n"
	next := "GET / HTTP/1.1\r\n"
	for seed := range uint64(200) {
		pieces := cut([]byte(body+next), rand.New(rand.NewPCG(seed, 1)))
		got, rest, ok := dechunk(pieces)
		if string(got) != "hello0123456789!" || rest != len(next) || !ok {
			t.Fatalf("%q: got %q, %d bytes left, %v", pieces, got, rest, ok)
		}
	}
}

func TestChunksOfLittleAreRefused(t *testing.T) {
	d := chunked{}
	honest := strings.Repeat("1\r\na\r\n", 100000)
	if n, _, err := d.decode([]byte(honest)); n != 100000 || err != nil {
		t.Errorf("chunks of one byte: got %d %v", n, err)
	}
	d = chunked{}
	wasteful := strings.Repeat("1;"+strings.Repeat("a", 100)+"\r\na\r\n", 1000)
	if _, _, err := d.decode([]byte(wasteful)); err == nil {
		t.Error("extensions a hundred times the payload are read")
	}
}

// FuzzChunked checks that pieces do not matter, and that whatever is accepted
// reads the same by the standard library.
func FuzzChunked(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\n"), uint64(1))
	f.Add([]byte("1;a\r\nx\r\n00\r\nX: y\r\n\r\nrest"), uint64(2))
	f.Add([]byte("ffffffffffffffff\r\n"), uint64(3))
	f.Fuzz(func(t *testing.T, body []byte, seed uint64) {
		whole, rest, ok := dechunk([][]byte{body})
		parts, rest2, ok2 := dechunk(cut(body, rand.New(rand.NewPCG(seed, 1))))
		if ok != ok2 || rest != rest2 || ok && !bytes.Equal(whole, parts) {
			t.Fatalf("%q: whole %q %d %v, in parts %q %d %v", body, whole, rest, ok, parts, rest2, ok2)
		}
		if !ok {
			return
		}
		std, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(body)))
		if err != nil || !bytes.Equal(std, whole) {
			t.Fatalf("%q: got %q, the standard library %q %v", body, whole, std, err)
		}
	})
}
