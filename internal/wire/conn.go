package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"headworks/internal/fault"
)

var (
	errLeft    = fault.New(fault.ClientClosed, "the client closed the connection")
	errClosing = fault.New(fault.Draining, "the server is going away")
)

// conn is one client's connection. Its goroutine reads a request, runs the
// handler, and reads the next; beside it there is at most one watcher, which is
// the only reader of nc while it runs.
type conn struct {
	srv *Server
	nc  net.Conn
	ctx context.Context
	end context.CancelCauseFunc

	buf  *buffer // the request's head, what came of its body, and what came behind it
	r, w int     // buf.b[r:w] is read from nc and not yet used
	x    Exchange

	readBy, writeBy time.Time     // the deadlines nc has
	broken          bool          // a write failed
	served          bool          // a request was awaited before
	idle            atomic.Bool   // between two requests; whoever turns it off owns the connection's next step
	vec             [3][]byte     // of bufs
	bufs            net.Buffers   // of a gathered write
	watched         chan struct{} // a value when the watcher has ended; nil until the first
	watching        bool
	early           [16]byte // what the watcher read
	earlyLen        int
	fieldRoom       [16]field
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, nc: nc}
	c.ctx, c.end = context.WithCancelCause(context.Background())
	c.x.c = c
	c.x.head.fields = c.fieldRoom[:0]
	return c
}

func (c *conn) serve() {
	defer c.srv.ended(c)
	defer c.close()
	if !c.shake() {
		return
	}
	for c.await() && c.exchange() {
	}
}

// shake makes a connection of TLS ready, within the time of a head, and reports whether
// it is. Whoever speaks HTTP there without TLS is told so.
func (c *conn) shake() bool {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return true
	}
	ctx, stop := context.WithTimeout(c.ctx, c.srv.limits.HeadTime)
	defer stop()
	err := t.HandshakeContext(ctx)
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok && e.Conn != nil && spoken(e.RecordHeader[:]) {
		refuseTLS(e.Conn, c.srv.limits.HeadTime)
	}
	return err == nil
}

// refuseTLS answers without TLS, and lets the client see that: see linger.
func refuseTLS(nc net.Conn, within time.Duration) {
	_ = nc.SetWriteDeadline(time.Now().Add(within)) // as in readUntil
	if _, err := io.WriteString(nc, notTLS); err != nil {
		return
	}
	if half, ok := nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() != nil {
		return
	}
	_ = nc.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, nc, lingerBytes)
}

const notTLS = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" +
	"this port speaks TLS: write https:// in the place of http://\n"

// spoken reports whether the first bytes are those of HTTP.
func spoken(b []byte) bool {
	for _, method := range []string{"GET /", "POST ", "HEAD ", "PUT /", "DELET", "OPTIO", "PRI *"} {
		if bytes.HasPrefix(b, []byte(method)) {
			return true
		}
	}
	return false
}

// preface is how a connection of HTTP/2 begins.
var preface = []byte("PRI * HTTP/2.0\r\n\r\n")

// handOver gives the connection to whoever speaks HTTP/2.
func (c *conn) handOver() {
	if c.nc.SetDeadline(time.Time{}) == nil {
		c.srv.Other(&begun{Conn: c.nc, read: bytes.Clone(c.buf.b[:c.w])})
	}
}

// begun is a connection of which something was read.
type begun struct {
	net.Conn
	read []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.read) > 0 {
		n := copy(p, b.read)
		b.read = b.read[n:]
		return n, nil
	}
	return b.Conn.Read(p)
}

func (c *conn) close() {
	c.nc.Close()
	c.leave(errLeft)
	if c.buf != nil {
		c.buf.release()
		c.buf = nil
	}
}

// cut closes the connection with a reset instead of an orderly end, where there is one
// to send. TLS must not say that this is the end either.
func (c *conn) cut() {
	nc := under(c.nc)
	if t, ok := nc.(interface{ SetLinger(int) error }); ok {
		_ = t.SetLinger(0)
	}
	nc.Close()
	c.nc.Close()
}

// leave cancels the exchange: nobody is there to read an answer.
func (c *conn) leave(why error) { c.end(why) }

// retire ends the connection if no request is being read or handled on it.
func (c *conn) retire() {
	if c.idle.CompareAndSwap(true, false) {
		c.nc.Close()
	}
}

// await reads the head of the next request and reports whether there is one to
// handle.
func (c *conn) await() bool {
	x, limits := &c.x, &c.srv.limits
	x.reset()
	now := time.Now()
	if !c.front() {
		if c.idle.Store(true); c.srv.draining.Load() {
			return false
		}
		// A deadline that is nearly as far away will do: setting one costs more
		// than reading the clock.
		if d := c.readBy.Sub(now); d < limits.Idle*3/4 || d > limits.Idle {
			c.readUntil(now.Add(limits.Idle))
		}
		n, _ := c.nc.Read(c.buf.b)
		if !c.idle.CompareAndSwap(true, false) || n == 0 {
			return false
		}
		c.w = n
		now = time.Now()
	}
	x.arrived = now
	fresh := !c.served
	c.served = true
	for late := false; ; late = true {
		if fresh && c.srv.Other != nil && bytes.HasPrefix(c.buf.b[:c.w], preface) {
			c.handOver()
			return false
		}
		whole, refused := x.head.parse(c.buf.b[:c.w], limits.Fields)
		switch {
		case refused != nil:
			return c.refuse(refused)
		case whole && x.head.end <= limits.Head:
			if refused := x.read(); refused != nil {
				return c.refuse(refused)
			}
			c.r = x.head.end
			return true
		case x.head.line.to == 0 && c.w > limits.Target+64:
			return c.refuse(&refusal{414, "the request target is too long"})
		case c.w >= limits.Head:
			return c.refuse(&refusal{431, "the request's head is too large"})
		}
		if c.w == len(c.buf.b) {
			c.buf = c.buf.grown(c.w, 2*c.w)
		}
		if !late {
			c.readUntil(now.Add(limits.HeadTime))
		}
		n, err := c.read(c.buf.b[c.w:])
		c.w += n
		switch {
		case n > 0:
		case timedOut(err):
			return c.refuse(&refusal{408, "the request's head came too slowly"})
		default:
			return false
		}
	}
}

// front moves what is left in the buffer to its front and reports whether
// anything is.
func (c *conn) front() bool {
	if c.buf == nil {
		c.buf = take(smallest)
	}
	if c.r == c.w && c.earlyLen == 0 {
		c.r, c.w = 0, 0
		if len(c.buf.b) > smallest {
			c.buf.release()
			c.buf = take(smallest)
		}
		return false
	}
	c.w = copy(c.buf.b, c.buf.b[c.r:c.w])
	c.r = 0
	if c.w == 0 {
		c.w, _ = c.read(c.buf.b)
	}
	return true
}

// exchange runs the handler and reports whether the connection can carry
// another request.
func (c *conn) exchange() (again bool) {
	s, x := c.srv, &c.x
	s.inFlight.Add(1)
	defer func() {
		cause := recover()
		c.unwatch()
		s.inFlight.Add(-1)
		if cause != nil && s.Panicked != nil {
			s.Panicked(cause, debug.Stack())
		}
		switch {
		case !x.began && !c.broken && c.ctx.Err() == nil:
			again = c.refuse(&refusal{500, "something went wrong inside the server"})
		case !x.ended || c.broken:
			x.Abort()
			again = false
		case x.closing:
			c.linger()
			again = false
		default:
			// What was cancelled stays so: another request begins elsewhere.
			again = c.ctx.Err() == nil
		}
		x.freeBody()
		x.freeOut()
	}()
	s.handler(x)
	return
}

// refuse answers a request that is not handled, and ends the connection.
func (c *conn) refuse(why *refusal) bool {
	contentType, body := "text/plain; charset=utf-8", []byte(why.words+"\n")
	var h Header
	if c.srv.Refuse != nil {
		contentType, body = c.srv.Refuse(why.status, why.words, &h)
	}
	x := &c.x
	x.closing, x.began = true, false
	// Only a failed write is an error here, and then nobody is left to be told.
	if x.Respond(why.status, contentType, &h, body) == nil {
		c.linger()
	}
	return false
}

const (
	lingerBytes = 256 << 10
	lingerTime  = 500 * time.Millisecond
)

// linger lets the client see the answer: closing while it still sends would
// reset the connection, and the answer might be lost with it.
func (c *conn) linger() {
	if c.x.unread == 0 && c.r == c.w && c.earlyLen == 0 {
		return
	}
	half, ok := c.nc.(interface{ CloseWrite() error })
	if ok && half.CloseWrite() != nil {
		return
	}
	c.readUntil(time.Now().Add(lingerTime))
	b := take(smallest)
	defer b.release()
	for total := 0; total < lingerBytes; {
		n, err := c.nc.Read(b.b)
		if total += n; err != nil {
			return
		}
	}
	// What is more stays in the kernel; the client gets the rest of the time.
	rest := time.NewTimer(time.Until(c.readBy))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-c.ctx.Done():
	}
}

// read reads what the watcher took before what the connection has.
func (c *conn) read(p []byte) (int, error) {
	if c.earlyLen > 0 {
		n := copy(p, c.early[:c.earlyLen])
		c.earlyLen = copy(c.early[:], c.early[n:c.earlyLen])
		return n, nil
	}
	return c.nc.Read(p)
}

func (c *conn) readUntil(t time.Time) {
	c.readBy = t
	_ = c.nc.SetReadDeadline(t) // fails only on a closed connection, which the next read tells
}

// write sends b. The deadline of a write is between three quarters of
// Limits.Write and the whole.
func (c *conn) write(b []byte, now time.Time) error {
	c.beforeWrite(now)
	_, err := c.nc.Write(b)
	return c.afterWrite(err)
}

// writeAll sends up to three pieces by one system call where the connection
// has one for it.
func (c *conn) writeAll(now time.Time, pieces ...[]byte) error {
	c.beforeWrite(now)
	c.bufs = append(net.Buffers(c.vec[:0]), pieces...)
	_, err := c.bufs.WriteTo(c.nc)
	clear(c.vec[:])
	return c.afterWrite(err)
}

func (c *conn) beforeWrite(now time.Time) {
	if wait := c.srv.limits.Write; c.writeBy.Sub(now) < wait*3/4 {
		c.writeBy = now.Add(wait)
		_ = c.nc.SetWriteDeadline(c.writeBy) // as in readUntil
	}
}

func (c *conn) afterWrite(err error) error {
	if err == nil {
		return nil
	}
	c.broken = true
	left := fault.Wrap(fault.ClientClosed, "the client does not take the answer", err)
	c.leave(left)
	return left
}

// watch waits for the client to leave, beside the handler.
func (c *conn) watch() {
	defer func() { c.watched <- struct{}{} }()
	for c.earlyLen < len(c.early) {
		n, err := c.nc.Read(c.early[c.earlyLen:])
		c.earlyLen += n
		switch {
		case err == nil:
		case timedOut(err):
			return
		case errors.Is(err, io.EOF):
			c.leave(errLeft)
			return
		default:
			c.leave(fault.Wrap(fault.ClientClosed, errLeft.Words, err))
			return
		}
	}
}

// unwatch ends the watcher, so that the connection can be read again.
func (c *conn) unwatch() {
	if !c.watching {
		return
	}
	c.watching = false
	c.readUntil(past())
	<-c.watched
}

// appendHead appends the head of an answer without its last, empty line.
func (c *conn) appendHead(b []byte, status int, contentType string, h *Header, now time.Time) []byte {
	b = appendStatus(b, status)
	b = c.srv.appendDate(b, now)
	if contentType != "" {
		b = append(b, "Content-Type: "...)
		b = append(b, contentType...)
		b = append(b, "\r\n"...)
	}
	b = append(append(b, h.bytes()...), c.x.also...)
	if c.x.closing {
		b = append(b, "Connection: close\r\n"...)
	}
	return b
}

func appendLength(b []byte, n int) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(n), 10)
	return append(b, "\r\n"...)
}
