package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// patience bounds the wait for a connection and for each piece of an answer.
const patience = 10 * time.Second

// client asks over one connection that it keeps, and opens the next where one ends.
type client struct {
	addr string
	nc   net.Conn
	br   *bufio.Reader
	buf  []byte
	head head

	opened          func()       // if set, told of each stream's first event
	answers, events atomic.Int64 // so far; others may look on
}

func newClient(addr string) *client {
	return &client{addr: addr, buf: make([]byte, 8<<10)}
}

// answer is how a request went.
type answer struct {
	status int
	bytes  int
	first  time.Time // of a stream's first event; zero if none came
	events events
}

// ask sends a request and reads its whole answer. An error is all that is not a
// whole answer of status 200.
func (c *client) ask(ctx context.Context, request []byte) (answer, error) {
	var a answer
	err := c.exchange(ctx, request, &a)
	if err != nil || c.head.closes {
		c.close()
	}
	if err == nil {
		err = a.check(c.head.events)
	}
	if err == nil {
		c.answers.Add(1)
	}
	return a, err
}

func (c *client) exchange(ctx context.Context, request []byte, a *answer) error {
	if err := c.open(ctx); err != nil {
		return err
	}
	if err := c.nc.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.nc.Write(request); err != nil {
		return err
	}
	if err := c.head.read(c.br); err != nil {
		return err
	}
	a.status = c.head.status
	return c.head.readBody(c.br, c.buf, func(p []byte) {
		a.bytes += len(p)
		if !c.head.events {
			return
		}
		before := a.events.count
		a.events.write(p)
		if a.events.count == before {
			return
		}
		now := time.Now()
		if before == 0 {
			a.first = now
			if c.opened != nil {
				c.opened()
			}
		}
		_ = c.nc.SetDeadline(now.Add(patience)) // the next read tells if it failed
		c.events.Add(int64(a.events.count - before))
	})
}

func (c *client) open(ctx context.Context) error {
	if c.nc != nil {
		return nil
	}
	nc, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return err
	}
	c.nc, c.br = nc, bufio.NewReaderSize(nc, 8<<10)
	return nil
}

func (c *client) close() {
	if c.nc != nil {
		c.nc.Close()
		c.nc = nil
	}
}

var (
	errCut    = errors.New("a stream without its end")
	errFailed = errors.New("a stream that ended in an error")
	errSmall  = errors.New("an answer too small")
)

// statusError is an answer of another status than 200.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("status %d", int(e)) }

func (a *answer) check(stream bool) error {
	switch {
	case a.status != 200:
		return statusError(a.status)
	case stream && a.events.failed:
		return errFailed
	case stream && !a.events.done:
		return errCut
	case !stream && a.bytes < answerSize*9/10:
		return errSmall
	}
	return nil
}

// tally counts what went wrong, by what it was.
type tally map[string]int

func (t tally) add(err error) {
	if err != nil {
		t[cause(err)]++
	}
}

func (t tally) merge(other tally) {
	for what, n := range other {
		t[what] += n
	}
}

// cause names an error without what differs from one to the next.
func cause(err error) string {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "cut short"
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return "connection failed"
	}
	return err.Error()
}

// hostOf returns the address in a base URL.
func hostOf(baseURL string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(baseURL, "http://"), "/")
	return host
}
