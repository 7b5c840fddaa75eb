package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http/httputil"
	"strconv"
)

// head is what both ends need to know of the head of a request or an answer.
type head struct {
	asks     bool  // of a request: it is a GET
	status   int   // of an answer
	length   int64 // of the body; -1 if it is not told
	chunked  bool
	events   bool   // the body is an event stream
	closes   bool   // the connection ends with the body
	upstream []byte // x-headworks-upstream; valid until the next read
}

// read reads up to the empty line. Its error is io.EOF only where nothing came.
func (h *head) read(br *bufio.Reader) error {
	*h = head{length: -1, upstream: h.upstream[:0]}
	line, err := br.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) && len(line) > 0 {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	h.asks = bytes.HasPrefix(line, []byte("GET "))
	if rest, ok := bytes.CutPrefix(line, []byte("HTTP/1.1 ")); ok {
		if len(rest) < 3 {
			return fmt.Errorf("no status in %q", line)
		}
		if h.status, err = strconv.Atoi(string(rest[:3])); err != nil {
			return fmt.Errorf("no status in %q", line)
		}
	}
	for {
		line, err := br.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		} else if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case is(name, "content-length"):
			if h.length, err = strconv.ParseInt(string(value), 10, 64); err != nil || h.length < 0 {
				return fmt.Errorf("no length in %q", line)
			}
		case is(name, "transfer-encoding"):
			h.chunked = is(value, "chunked")
		case is(name, "content-type"):
			h.events = bytes.HasPrefix(value, []byte("text/event-stream"))
		case is(name, "connection"):
			h.closes = is(value, "close")
		case is(name, "x-headworks-upstream"):
			h.upstream = append(h.upstream, value...)
		}
	}
}

func is(b []byte, word string) bool {
	return len(b) == len(word) && bytes.EqualFold(b, []byte(word))
}

// readBody gives the body of an answer to sink, piece by piece as it comes, and
// leaves br at what follows. A body that ends early is an error.
func (h *head) readBody(br *bufio.Reader, buf []byte, sink func([]byte)) error {
	var body io.Reader
	switch {
	case h.chunked:
		body = httputil.NewChunkedReader(br)
	case h.length >= 0:
		body = io.LimitReader(br, h.length)
	case h.closes:
		body = br
	default:
		return errors.New("an answer without an end")
	}
	var got int64
	for {
		n, err := body.Read(buf)
		got += int64(n)
		sink(buf[:n])
		switch {
		case err == nil:
			continue
		case !errors.Is(err, io.EOF):
			return err
		case !h.chunked && got < h.length:
			return io.ErrUnexpectedEOF
		case h.chunked:
			return readTrailer(br)
		}
		return nil
	}
}

// readTrailer reads what stands between the last chunk and the next answer.
func readTrailer(br *bufio.Reader) error {
	for {
		line, err := br.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		} else if err != nil {
			return err
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return nil
		}
	}
}

// events counts the events of a stream in OpenAI's dialect. What it is given may be
// cut anywhere. The zero value is at the start of a stream.
type events struct {
	count  int
	done   bool // the stream said that it is whole
	failed bool // the stream said that it is not

	line [16]byte // how the present line begins
	n    int
}

func (e *events) write(p []byte) {
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		e.n += copy(e.line[e.n:], line)
		if !whole {
			return
		}
		e.endLine()
		e.n = 0
		p = rest
	}
}

func (e *events) endLine() {
	data, ok := bytes.CutPrefix(e.line[:e.n], []byte("data:"))
	if !ok {
		return
	}
	e.count++
	data = bytes.TrimLeft(data, " ")
	e.done = e.done || bytes.HasPrefix(data, []byte("[DONE]"))
	e.failed = e.failed || bytes.HasPrefix(data, []byte(`{"error"`))
}
