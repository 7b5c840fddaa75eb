package main

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

const chunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

// What follows an answer is the next one, and nothing of it is read with the first.
func TestAnswers(t *testing.T) {
	tests := map[string]struct {
		text string
		body string
		err  error // of head or body; nil: what is left is NEXT
	}{
		"a length":              {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", nil},
		"no body":               {"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", "", nil},
		"chunks":                {chunkedHead + "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello", nil},
		"a chunk with a word":   {chunkedHead + "5;name=value\r\nhello\r\n0\r\n\r\n", "hello", nil},
		"a long chunk":          {chunkedHead + "1F40\r\n" + strings.Repeat("x", 8000) + "\r\n0\r\n\r\n", strings.Repeat("x", 8000), nil},
		"a trailer":             {chunkedHead + "5\r\nhello\r\n0\r\nX-Cost: 1\r\n\r\n", "hello", nil},
		"only the end":          {chunkedHead + "0\r\n\r\n", "", nil},
		"cut in the length":     {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", "", io.ErrUnexpectedEOF},
		"cut in a chunk":        {chunkedHead + "50\r\nhello", "", io.ErrUnexpectedEOF},
		"cut between chunks":    {chunkedHead + "5\r\nhello\r\n", "", io.ErrUnexpectedEOF},
		"cut before its end":    {chunkedHead + "5\r\nhello\r\n0\r\n", "", io.ErrUnexpectedEOF},
		"cut in the head":       {"HTTP/1.1 200 OK\r\nContent-Le", "", io.ErrUnexpectedEOF},
		"cut in the first line": {"HTTP/1.1 20", "", io.ErrUnexpectedEOF},
		"nothing":               {"", "", io.EOF},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			text := tt.text
			if tt.err == nil {
				text += "NEXT"
			}
			br := bufio.NewReader(iotest.OneByteReader(strings.NewReader(text)))
			var h head
			var body strings.Builder
			err := h.read(br)
			if err == nil {
				err = h.readBody(br, make([]byte, 1000), func(p []byte) { body.Write(p) })
			}
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if tt.err != nil {
				return
			}
			left, _ := io.ReadAll(br)
			if body.String() != tt.body || string(left) != "NEXT" {
				t.Errorf("read %q and left %q", body.String(), left)
			}
		})
	}
}

func TestHead(t *testing.T) {
	br := bufio.NewReader(strings.NewReader("HTTP/1.1 503 Busy\r\ncontent-TYPE: text/event-stream; charset=utf-8\r\nCONNECTION: Close\r\nX-Headworks-Upstream: good\r\n\r\n" +
		"HTTP/1.1 200 OK\r\n\r\n"))
	var h head
	if err := h.read(br); err != nil {
		t.Fatal(err)
	}
	if h.status != 503 || !h.events || !h.closes || h.chunked || h.length != -1 || string(h.upstream) != "good" {
		t.Errorf("read %+v", h)
	}
	if err := h.read(br); err != nil {
		t.Fatal(err)
	}
	if h.status != 200 || h.events || h.closes || len(h.upstream) != 0 {
		t.Errorf("something of the head before is left: %+v", h)
	}
	if err := h.readBody(br, make([]byte, 10), func([]byte) {}); err == nil {
		t.Error("a kept connection whose answer has no end passed")
	}
	for _, bad := range []string{"HTTP/1.1 2\n\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"} {
		if err := h.read(bufio.NewReader(strings.NewReader(bad))); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
}

func TestEvents(t *testing.T) {
	tests := []struct {
		text  string
		count int
		done  bool
		fails bool
	}{
		{"", 0, false, false},
		{"data: {}\n\n", 1, false, false},
		{"data: {}", 0, false, false}, // a line counts when it ends
		{"data: {}\n\ndata: [DONE]\n\n", 2, true, false},
		{"data:{}\r\n\r\ndata:[DONE]\r\n\r\n", 2, true, false},
		{": keep-alive\n\ndata: {}\n\n", 1, false, false},
		{"event: x\ndata: {}\n\n", 1, false, false},
		{"data: {\"text\":\"data: [DONE]\"}\n\n", 1, false, false}, // the word inside a line ends nothing
		{"xdata: {}\n\n", 0, false, false},
		{"data: {\"error\":{\"message\":\"cut\"}}\n\n", 1, false, true},
		{"data: {\"errors\":0}\n\n", 1, false, false},
	}
	for _, tt := range tests {
		for _, size := range []int{1, 2, 7, 1000} {
			var e events
			for p := []byte(tt.text); len(p) > 0; {
				n := min(size, len(p))
				e.write(p[:n])
				p = p[n:]
			}
			if e.count != tt.count || e.done != tt.done || e.failed != tt.fails {
				t.Errorf("%q in pieces of %d: %d events, done %v, failed %v", tt.text, size, e.count, e.done, e.failed)
			}
		}
	}
}

// However a stream is cut into pieces, it counts the same.
func FuzzEvents(f *testing.F) {
	f.Add("data: {}\n\ndata: [DONE]\n\n", 3)
	f.Add("data: {\"error\":1}\r\n: x\n", 9)
	f.Fuzz(func(t *testing.T, text string, at int) {
		var whole, pieces events
		whole.write([]byte(text))
		at = min(max(at, 0), len(text))
		pieces.write([]byte(text[:at]))
		pieces.write([]byte(text[at:]))
		if whole != pieces {
			t.Errorf("%q cut at %d: %+v, whole %+v", text, at, pieces, whole)
		}
	})
}

// An answer that is accepted can be told again in the same words.
func FuzzAnswers(f *testing.F) {
	f.Add(chunkedHead + "5\r\nhello\r\n0\r\n\r\n")
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
	f.Fuzz(func(t *testing.T, text string) {
		read := func(r io.Reader) (string, error) {
			br := bufio.NewReader(r)
			var h head
			if err := h.read(br); err != nil {
				return "", err
			}
			var body strings.Builder
			err := h.readBody(br, make([]byte, 64), func(p []byte) { body.Write(p) })
			return body.String(), err
		}
		a, errA := read(strings.NewReader(text))
		b, errB := read(iotest.OneByteReader(strings.NewReader(text)))
		if (errA == nil) != (errB == nil) || errA == nil && a != b {
			t.Errorf("%q: %q, %v at once, but byte by byte %q, %v", text, a, errA, b, errB)
		}
	})
}
