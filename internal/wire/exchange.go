package wire

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"headworks/internal/fault"
)

// Exchange is one request and its answer. It belongs to the handler's
// goroutine and ends when the handler returns, or at Release for what it says
// there: no view of it may be kept longer.
type Exchange struct {
	c       *conn
	head    head
	method  string
	target  span // whole
	path    span
	query   span
	host    span
	old     bool // HTTP/1.0: no chunks, and the connection ends with the answer
	expect  bool // the client waits for 100 Continue before its body
	arrived time.Time

	unread   int64 // bytes of the body not yet read; -1 where chunks will tell
	body     []byte
	bodyBuf  *buffer // of a body that does not fit behind its head
	bodyErr  error
	upload   *Upload // of a body that is read in pieces
	closing  bool    // the connection ends with this answer
	began    bool    // the answer has a head
	ended    bool    // the answer is whole
	headOnly bool    // the answer has no body: HEAD, 204
	also     []byte  // fields of every answer
	out      *buffer // of pending
	pending  []byte  // the head, until the first piece joins it
}

func (x *Exchange) reset() {
	h := x.head
	h.reset()
	*x = Exchange{c: x.c, head: h}
}

// read takes the whole head in.
func (x *Exchange) read() *refusal {
	b, limits := x.c.buf.b, &x.c.srv.limits
	if refused := x.readLine(b); refused != nil {
		return refused
	}
	if int(x.target.to-x.target.from) > limits.Target {
		return &refusal{414, "the request target is too long"}
	}
	fr := framing{length: -1}
	hosts, authorizations, keys, googKeys := 0, 0, 0, 0
	for _, f := range x.head.fields {
		name, value := f.name.of(b), f.value.of(b)
		switch len(name) {
		case len("host"):
			if equalFold(name, "host") {
				hosts++
				x.host = f.value
			}
		case len("expect"):
			if equalFold(name, "expect") {
				if !equalFold(value, "100-continue") {
					return &refusal{417, "the only expectation that is met is 100-continue"}
				}
				x.expect = true
			}
		case len("x-api-key"):
			if equalFold(name, "x-api-key") {
				keys++
			}
		case len("authorization"):
			if equalFold(name, "authorization") {
				authorizations++
			}
		case len("connection"), len("content-length"), len("transfer-encoding"):
			if equalFold(name, "x-goog-api-key") { // as long as content-length
				googKeys++
				continue
			}
			if refused := fr.note(name, value); refused != nil {
				return refused
			}
		}
	}
	switch {
	case hosts > 1:
		return bad("there are two Host fields")
	case hosts == 0 && !x.old:
		return bad("the Host field is missing")
	case !all(x.host.of(b), host):
		return bad("the Host field is not the name of a host")
	case authorizations > 1, keys > 1, googKeys > 1:
		return bad("there are two credentials")
	case fr.chunked && x.old:
		return bad("HTTP/1.0 has no Transfer-Encoding")
	}
	if refused := x.readTarget(b); refused != nil {
		return refused
	}
	x.closing = fr.close || x.old
	switch {
	case fr.chunked:
		x.unread = -1
	case fr.length > 0:
		x.unread = fr.length
	}
	return nil
}

func (x *Exchange) readLine(b []byte) *refusal {
	line := x.head.line.of(b)
	method, rest, ok := bytes.Cut(line, []byte(" "))
	target, version, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok || !ok2 || len(method) == 0 || len(method) > 32 || !all(method, token) || len(target) == 0 || !all(target, visible) {
		return bad("the request line is not METHOD TARGET VERSION")
	}
	switch string(version) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		x.old = true
	default:
		if !bytes.HasPrefix(version, []byte("HTTP/")) {
			return bad("the request line is not METHOD TARGET VERSION")
		}
		return &refusal{505, "this port speaks HTTP/1.1"}
	}
	x.method = methodName(method)
	from := x.head.line.from + uint32(len(method)) + 1
	x.target = span{from, from + uint32(len(target))}
	return nil
}

// methodName spares the memory of the usual ones.
func methodName(b []byte) string {
	switch string(b) {
	case "POST":
		return "POST"
	case "GET":
		return "GET"
	case "HEAD":
		return "HEAD"
	case "OPTIONS":
		return "OPTIONS"
	default:
		return string(b)
	}
}

// readTarget splits the target, as it came, at its first question mark. One in
// absolute form (RFC 9112 3.2.2) names the host once more: it has to be equal.
func (x *Exchange) readTarget(b []byte) *refusal {
	at := x.target
	target := at.of(b)
	switch {
	case target[0] == '/':
	case string(target) == "*" && x.method == "OPTIONS":
	default:
		scheme, rest, ok := bytes.Cut(target, []byte("://"))
		if !ok || !equalFold(scheme, "http") && !equalFold(scheme, "https") {
			return bad("the request target is neither a path nor a URL")
		}
		end := bytes.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		if !equalFold(rest[:end], x.host.of(b)) {
			return bad("the host of the request target is not that of the Host field")
		}
		at.from += uint32(len(scheme) + len("://") + end)
		target = at.of(b)
	}
	x.path = at
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		x.path.to = at.from + uint32(i)
		x.query = span{x.path.to + 1, at.to}
	}
	return nil
}

// Method returns the method, as it came.
func (x *Exchange) Method() string { return x.method }

// Path returns the path as it came, never decoded; empty where the target is a
// URL without one. It holds until Release.
func (x *Exchange) Path() []byte { return x.view(x.path) }

// Query returns what follows the first question mark, as it came. It holds
// until Release.
func (x *Exchange) Query() []byte { return x.view(x.query) }

// Header returns the value of the first field of a name; names are compared
// without regard to case, and an underscore is no hyphen. It holds until
// Release.
func (x *Exchange) Header(name string) ([]byte, bool) {
	if x.c.buf == nil {
		return nil, false
	}
	return x.head.get(x.c.buf.b, name)
}

// Headers ranges over the fields in the order they came. They hold until
// Release.
func (x *Exchange) Headers() iter.Seq2[[]byte, []byte] {
	if x.c.buf == nil {
		return func(func([]byte, []byte) bool) {}
	}
	return x.head.all(x.c.buf.b)
}

// Param returns the value of the first parameter of a name in the query, unescaped
// but for what is no escape; nil if there is none.
func (x *Exchange) Param(name string) []byte {
	for rest := x.Query(); len(rest) > 0; {
		var pair []byte
		pair, rest, _ = bytes.Cut(rest, []byte("&"))
		if k, value, ok := bytes.Cut(pair, []byte("=")); ok && string(k) == name {
			if plain, err := url.QueryUnescape(string(value)); err == nil {
				return []byte(plain)
			}
			return value
		}
	}
	return nil
}

// Credential returns the bearer token of Authorization, x-api-key, or
// x-goog-api-key: either is read, and several only if they are equal. Nil is none.
// It holds until Release.
func (x *Exchange) Credential() ([]byte, error) {
	var credential []byte
	given := false
	for _, name := range []string{"x-api-key", "x-goog-api-key"} {
		key, ok := x.Header(name)
		switch {
		case !ok:
		case given && !bytes.Equal(key, credential):
			return nil, differing()
		default:
			credential, given = key, true
		}
	}
	authorization, ok := x.Header("authorization")
	switch {
	case !ok && len(credential) == 0:
		return nil, nil
	case !ok:
		return credential, nil
	}
	scheme, bearer, _ := bytes.Cut(authorization, []byte(" "))
	bearer = bytes.TrimLeft(bearer, " ")
	switch {
	case !equalFold(scheme, "bearer") || len(bearer) == 0:
		return nil, fault.New(fault.Unauthenticated, "the Authorization field holds no bearer token: send Authorization: Bearer and the key")
	case given && !bytes.Equal(credential, bearer):
		return nil, differing()
	}
	return bearer, nil
}

func differing() error {
	return fault.New(fault.InvalidRequest, "Authorization, x-api-key and x-goog-api-key differ: send one of them")
}

// Remote returns the address at the other end, as a network connection has one.
func (x *Exchange) Remote() netip.Addr {
	if a, ok := x.c.nc.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// Arrived returns when the first bytes of the request were read.
func (x *Exchange) Arrived() time.Time { return x.arrived }

// Context is done as soon as the client is known to have left, the connection
// has failed or the server closes; its cause is a *fault.Error. Between reads
// and writes only Watch makes it known.
func (x *Exchange) Context() context.Context { return x.c.ctx }

// Watch notices, from now until the handler returns, when the client closes the
// connection or its sending side. It costs a goroutine: worth it for a stream
// and for an upstream that takes its time, and only once the body is read. What a
// client sends ahead is kept for the next request; one that sent more than a few
// bytes ahead is not seen to leave.
func (x *Exchange) Watch() {
	if x.upload.reads() {
		return
	}
	x.c.startWatch()
}

func (c *conn) startWatch() {
	if c.watching || c.broken {
		return
	}
	if c.watched == nil {
		c.watched = make(chan struct{}, 1)
	}
	if !c.readBy.IsZero() {
		c.readUntil(time.Time{})
	}
	c.watching = true
	go c.watch()
}

// Release gives the memory of the request back: head and body are gone, the
// answer goes on. A stream that needs neither holds less that way.
func (x *Exchange) Release() {
	c := x.c
	x.freeBody()
	x.body, x.bodyErr = nil, errReleased
	if c.r == c.w && c.buf != nil && x.unread == 0 {
		c.buf.release()
		c.buf = nil
		c.r, c.w = 0, 0
	}
	x.head.reset()
	x.path, x.query, x.host = span{}, span{}, span{}
}

var (
	errReleased = errors.New("wire: the request was released")
	errBegan    = errors.New("wire: the answer has begun already")
	errNotBegun = errors.New("wire: the answer has not begun, or has ended")
)

// Began reports whether any of the answer is decided: its head at least.
func (x *Exchange) Began() bool { return x.began }

// Respond sends a whole answer by one write. Content-Length, Date and, where
// the connection ends, Connection are written beside h, which may be nil.
func (x *Exchange) Respond(status int, contentType string, h *Header, body []byte) error {
	if x.began {
		return errBegan
	}
	now := x.begin(status)
	x.ended = true
	c := x.c
	copied := len(body)
	if copied > gather {
		copied = 0
	}
	out := take(headRoom + len(contentType) + len(h.bytes()) + len(x.also) + copied)
	defer out.release()
	b := c.appendHead(out.b[:0], status, contentType, h, now)
	if !bodiless(status) {
		b = appendLength(b, len(body))
	}
	b = append(b, "\r\n"...)
	switch {
	case x.headOnly || len(body) == 0:
		return c.write(b, now)
	case copied > 0:
		return c.write(append(b, body...), now)
	default:
		return c.writeAll(now, b, body)
	}
}

// Also adds fields to the answer, whoever gives it.
func (x *Exchange) Also(h *Header) { x.also = append(x.also, h.bytes()...) }

// headRoom is more than what an answer's head needs beside its fields.
const headRoom = 256

// Begin starts an answer of unknown length. Nothing is sent before the first
// Write, which takes the head along.
func (x *Exchange) Begin(status int, contentType string, h *Header) error {
	if x.began {
		return errBegan
	}
	now := x.begin(status)
	x.out = take(headRoom + len(contentType) + len(h.bytes()) + len(x.also))
	b := x.c.appendHead(x.out.b[:0], status, contentType, h, now)
	if !x.old && !bodiless(status) {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	x.pending = append(b, "\r\n"...)
	return nil
}

func (x *Exchange) begin(status int) time.Time {
	x.began = true
	x.headOnly = x.method == "HEAD" || bodiless(status)
	c := x.c
	// A short body that nobody read has to be out of the way of the next
	// request; of a long one the connection is relieved by its end.
	if x.unread > 0 && int64(c.w-c.r) >= x.unread {
		c.r += int(x.unread)
		x.unread = 0
	}
	if x.unread != 0 || c.broken || c.srv.draining.Load() {
		x.closing = true
	}
	return time.Now()
}

// Write sends a piece of an answer that has begun, by one write, at once. An
// error is a *fault.Error of kind ClientClosed, and final.
func (x *Exchange) Write(p []byte) error {
	if len(p) == 0 && x.out == nil {
		return nil
	}
	return x.send(p, false)
}

// WriteEnd sends the last piece and the end of the answer by one write.
func (x *Exchange) WriteEnd(p []byte) error { return x.send(p, true) }

func (x *Exchange) send(p []byte, last bool) error {
	if !x.began || x.ended {
		return errNotBegun
	}
	c := x.c
	if c.broken {
		return context.Cause(c.ctx)
	}
	x.ended = last
	framed := !x.old && !x.headOnly
	if x.headOnly {
		p = nil
	}
	copied := len(p)
	if copied > gather {
		copied = 0
	}
	out := take(len(x.pending) + chunkRoom + copied)
	defer out.release()
	b := append(out.b[:0], x.pending...)
	x.freeOut()
	if framed && len(p) > 0 {
		b = appendChunkSize(b, len(p))
	}
	tail := ""
	switch {
	case framed && last && len(p) > 0:
		tail = "\r\n" + lastChunk
	case framed && last:
		tail = lastChunk
	case framed && len(p) > 0:
		tail = "\r\n"
	}
	if copied < len(p) {
		return c.writeAll(time.Now(), b, p, []byte(tail))
	}
	b = append(b, p...)
	b = append(b, tail...)
	if len(b) == 0 {
		return nil
	}
	return c.write(b, time.Now())
}

// Abort cuts the answer: the client sees a broken message, never a whole one.
func (x *Exchange) Abort() {
	c := x.c
	x.began, x.ended, c.broken = true, true, true
	c.leave(fault.New(fault.Interrupted, "the answer was cut"))
	c.cut()
}

func (x *Exchange) view(s span) []byte {
	if x.c.buf == nil {
		return nil
	}
	return s.of(x.c.buf.b)
}

func (x *Exchange) freeBody() {
	if x.bodyBuf != nil {
		x.bodyBuf.release()
		x.bodyBuf = nil
	}
}

func (x *Exchange) freeOut() {
	if x.out != nil {
		x.out.release()
		x.out, x.pending = nil, nil
	}
}

// Body reads the whole body. One of more than most bytes is refused, by its
// Content-Length before any of it is read: the kinds of error are TooLarge,
// SlowRequest, InvalidRequest (bad chunks) and ClientClosed. A client that asked
// for 100 Continue is told here to go on. The body holds until Release.
func (x *Exchange) Body(most int64) ([]byte, error) {
	if x.unread != 0 && x.bodyErr == nil {
		x.body, x.bodyErr = x.readBody(most)
	}
	return x.body, x.bodyErr
}

func (x *Exchange) readBody(most int64) ([]byte, error) {
	c := x.c
	if x.unread > most {
		return nil, tooLarge(most)
	}
	c.unwatch()
	if err := x.proceed(); err != nil {
		return nil, err
	}
	if x.unread > 0 {
		return x.readSized(int(x.unread))
	}
	return x.readChunked(most)
}

// proceed tells a client that waits for it to send its body.
func (x *Exchange) proceed() error {
	if x.expect && !x.old && x.c.r == x.c.w {
		return x.c.write([]byte("HTTP/1.1 100 Continue\r\n\r\n"), time.Now())
	}
	return nil
}

// readSized reads a body of n bytes: in place behind the head if it fits there.
func (x *Exchange) readSized(n int) ([]byte, error) {
	c := x.c
	start := time.Now()
	if n <= len(c.buf.b)-c.r {
		for c.w-c.r < n {
			m, err := x.fill(c.buf.b[c.w:], start, c.w-c.r)
			if err != nil {
				return nil, err
			}
			c.w += m
		}
		x.unread = 0
		c.r += n
		return c.buf.b[c.r-n : c.r : c.r], nil
	}
	// Memory follows what came, so that a Content-Length alone costs nothing.
	x.bodyBuf = take(min(n, 64<<10))
	got := copy(x.bodyBuf.b, c.buf.b[c.r:c.w])
	c.r = c.w
	for got < n {
		if got == len(x.bodyBuf.b) {
			x.bodyBuf = x.bodyBuf.grown(got, min(n, 4*got))
		}
		m, err := x.fill(x.bodyBuf.b[got:min(n, len(x.bodyBuf.b))], start, got)
		if err != nil {
			return nil, err
		}
		got += m
	}
	x.unread = 0
	return x.bodyBuf.b[:n:n], nil
}

// readChunked reads a chunked body into one piece, in place behind the head as
// far as there is room.
func (x *Exchange) readChunked(most int64) ([]byte, error) {
	c := x.c
	start := time.Now()
	d := chunked{}
	b, from, got := c.buf.b, c.r, 0
	for came := c.w - c.r; ; {
		n, used, refused := d.decode(b[from+got : from+got+came])
		switch {
		case refused != nil:
			x.closing = true
			return nil, fault.New(fault.InvalidRequest, refused.words)
		case int64(got+n) > most:
			return nil, tooLarge(most)
		case d.done():
			x.unread = 0
			rest := b[from+got+used : from+got+came]
			got += n
			switch {
			case x.bodyBuf == nil:
				c.r, c.w = from+got+used-n, from+got-n+came
			case len(rest) <= len(c.buf.b)-c.w:
				c.w += copy(c.buf.b[c.w:], rest)
			default:
				// What was sent ahead has no room: the client sends it again on
				// another connection, as this one says that it closes.
				x.closing = true
			}
			return b[from : from+got : from+got], nil
		}
		got += n
		if from+got == len(b) {
			if x.bodyBuf == nil {
				x.bodyBuf = take(max(4*got, 2*smallest))
				copy(x.bodyBuf.b, b[from:])
				c.w = c.r
			} else {
				x.bodyBuf = x.bodyBuf.grown(got, 2*got)
			}
			b, from = x.bodyBuf.b, 0
		}
		var err error
		if came, err = x.fill(b[from+got:], start, got); err != nil {
			return nil, err
		}
	}
}

// fill reads more of a body of which got bytes came since start.
func (x *Exchange) fill(p []byte, start time.Time, got int) (int, error) {
	c, limits := x.c, &x.c.srv.limits
	by := start.Add(limits.BodyGrace + time.Duration(got)*time.Second/time.Duration(limits.BodyRate))
	if soon := time.Now().Add(limits.BodyIdle); by.After(soon) {
		by = soon
	}
	c.readUntil(by)
	n, err := c.read(p)
	switch {
	case n > 0:
		return n, nil
	case timedOut(err):
		x.closing = true
		return 0, fault.New(fault.SlowRequest, "the body came too slowly")
	default:
		c.leave(errLeft)
		return 0, fault.Wrap(fault.ClientClosed, "the client left before its body was whole", err)
	}
}

func tooLarge(most int64) error {
	return fault.New(fault.TooLarge, "the body is larger than "+strconv.FormatInt(most, 10)+" bytes")
}
