package wire

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"headworks/internal/fault"
)

// ErrQuiet says that nothing came until the time that was given. Whatever
// returned it can be called again.
var ErrQuiet = errors.New("wire: nothing came in time")

// Response is the answer to a request that was sent. It belongs to one
// goroutine, which calls Close. Its errors are ErrQuiet, the cause of the
// context that was given to Send, or a *fault.Error: Interrupted (reset, cut
// short), Malformed (not HTTP), Oversized; where a request is sent again, also
// Connect and TLS.
type Response struct {
	pool *Pool
	link *link
	ctx  context.Context
	req  *Request
	stop func() bool // ends ctx's hold on the link

	writeErr error
	pump     *pump     // of a request that has a Rest, while it may still be sent
	err      error     // what ended the answer
	kept     bool      // the link carried requests before this one
	resent   bool      // the request was sent again, on a new connection
	sent     time.Time // when the writing of the request began
	heard    bool      // a byte came back
	status   int
	interim  int // heads of 1xx

	base    int   // where the body begins in the link's buffer: the head stays readable
	left    int64 // of Content-Length; -1 until the connection ends
	length  int64 // left at first
	got     int   // of Body, so far
	chunked bool
	chunks  chunked
	keep    bool // the connection may carry another request
	done    bool // the message was read to its end

	inflater *inflater // of a body that comes as gzip
	whole    []byte    // of it, for Body
}

func (r *Response) start(l *link, kept bool, now time.Time) {
	r.link, r.kept, r.sent = l, kept, now
	l.head.reset()
	r.stop = context.AfterFunc(r.ctx, l.cut)
	r.writeErr = l.write(r.req, now)
	if r.req.Rest != nil && r.writeErr == nil {
		r.pump = startPump(l, r.req)
	}
}

// Head returns the status, once the whole head has come; 1xx are skipped and a
// redirect is a status like others. A kept connection that ends before it said
// anything, and soon after the request went out, is replaced by a new one, once,
// and the request is sent again.
func (r *Response) Head(until time.Time) (status int, err error) {
	if r.err != nil {
		return 0, r.err
	}
	for r.status == 0 || r.pump != nil {
		l := r.link
		if r.status != 0 {
			if err := r.sentWhole(until); err != nil {
				return 0, err
			}
			continue
		}
		if l.w > l.head.next {
			whole, refused := l.head.parse(l.buf.b[:l.w], r.pool.limits.Fields)
			switch {
			case refused != nil:
				return 0, r.malformed(refused.words)
			case whole && l.head.end <= r.pool.limits.Head:
				if err := r.readHead(); err != nil {
					return 0, err
				}
				continue
			case l.w >= r.pool.limits.Head:
				return 0, r.malformed("the head of the answer is too large")
			}
		}
		switch err := l.fill(until); {
		case err == nil:
			r.heard = true
		case errors.Is(err, ErrQuiet) && r.ctx.Err() == nil:
			return 0, ErrQuiet
		case !r.heard && r.kept && r.ctx.Err() == nil && time.Since(r.sent) <= crossing:
			if err := r.resend(); err != nil {
				return 0, err
			}
		default:
			return 0, r.cut(err)
		}
	}
	return r.status, nil
}

// crossing is how soon a kept connection must end for its end to have crossed the
// request on the way (RFC 9112 9.3.1). After that an upstream may have begun the
// work, and would do it twice.
const crossing = time.Second

// resend sends the request on a new connection.
func (r *Response) resend() error {
	r.stop()
	r.link.close()
	r.link = nil
	l, err := r.pool.connect(r.ctx)
	if err != nil {
		return r.fail(err)
	}
	r.resent = true
	r.start(l, false, time.Now())
	return nil
}

// readHead takes a whole head in (RFC 9112 section 6.3).
func (r *Response) readHead() error {
	l := r.link
	b, h := l.buf.b, &l.head
	line := h.line.of(b)
	if len(line) < len("HTTP/1.1 200") || string(line[:7]) != "HTTP/1." || line[7] > '1' || line[7] < '0' || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return r.malformed("the answer is not HTTP/1.1")
	}
	status, ok := decimal(line[9:12])
	if !ok || status < 100 || status == 101 {
		return r.malformed("the answer's status line is not one")
	}
	if status < 200 {
		if r.interim++; r.interim > 16 {
			return r.malformed("the answer does not come to its status")
		}
		l.w = copy(b, b[h.end:l.w])
		h.reset()
		return nil
	}
	fr := framing{length: -1}
	for _, f := range h.fields {
		switch f.name.to - f.name.from {
		case uint32(len("connection")), uint32(len("content-length")), uint32(len("transfer-encoding")):
			if refused := fr.note(f.name.of(b), f.value.of(b)); refused != nil {
				return r.malformed(refused.words)
			}
		}
	}
	r.status = int(status)
	r.base = h.end
	l.r = h.end
	r.keep = r.writeErr == nil && !fr.close && (line[7] != '0' || fr.keepAlive)
	r.chunked = fr.chunked
	r.left = fr.length
	switch {
	case r.req.Method == "HEAD" || bodiless(r.status):
		r.chunked, r.left, r.done = false, 0, true
	case r.left == 0:
		r.done = true
	case r.left < 0 && !r.chunked:
		r.keep = false
	}
	if r.length = r.left; r.done {
		r.end()
	} else if coding, ok := r.Header("content-encoding"); ok && (equalFold(coding, "gzip") || equalFold(coding, "x-gzip")) {
		r.inflater = newInflater()
	}
	return nil
}

// Framed reports whether the answer says where it ends: the end of the connection
// may be a cut.
func (r *Response) Framed() bool { return r.status != 0 && (r.chunked || r.length >= 0 || r.done) }

// Header returns the value of the first field of a name, compared without
// regard to case. It holds until Close.
func (r *Response) Header(name string) ([]byte, bool) {
	if r.status == 0 || r.link == nil {
		return nil, false
	}
	return r.link.head.get(r.link.buf.b, name)
}

// Headers ranges over the fields in the order they came. They hold until Close.
func (r *Response) Headers() iter.Seq2[[]byte, []byte] {
	if r.status == 0 || r.link == nil {
		return func(func([]byte, []byte) bool) {}
	}
	return r.link.head.all(r.link.buf.b)
}

// Encoded reports whether the body has a content coding that is not decoded here: none
// is asked for, and gzip alone is taken all the same.
func (r *Response) Encoded() bool {
	coding, ok := r.Header("content-encoding")
	return ok && len(coding) > 0 && !equalFold(coding, "identity") && r.inflater == nil
}

// Received returns how many bytes Body has so far, without their framing; at
// least 1 once the head has come.
func (r *Response) Received() int64 {
	if r.status == 0 {
		return 0
	}
	return int64(r.got) + 1
}

// Read returns the bytes of the body that have come, without their framing, at
// least one; io.EOF at the proper end, and only there. They hold until the next
// call.
func (r *Response) Read(until time.Time) ([]byte, error) {
	if _, err := r.Head(until); err != nil {
		return nil, err
	}
	if r.inflater != nil {
		return r.inflate(until)
	}
	return r.read(until)
}

// inflate reads and decodes.
func (r *Response) inflate(until time.Time) ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	z := r.inflater
	for {
		p, err := z.more()
		switch {
		case len(p) > 0:
			return p, nil
		case err == nil:
		case errors.Is(err, errHungry):
			p, err := r.read(until)
			switch err {
			case nil:
				z.feed(p)
			case io.EOF: //nolint:errorlint // a fault may have it as its cause, and is no end
				z.ended = true
			default:
				return nil, err
			}
		case errors.Is(err, io.EOF):
			r.err = io.EOF
			return nil, io.EOF
		case errors.Is(err, errBomb):
			return nil, r.fail(fault.Wrap(fault.Oversized, "the upstream's answer is too large", err))
		default:
			return nil, r.malformed("the answer is not gzip, or not whole, though it says so")
		}
	}
}

func (r *Response) read(until time.Time) ([]byte, error) {
	for {
		l := r.link
		switch {
		case r.err != nil:
			return nil, r.err
		case l.r < l.w && r.ctx.Err() != nil:
			return nil, context.Cause(r.ctx) // what came already is for nobody
		case l.r < l.w:
			if p, err := r.unframe(); err != nil || len(p) > 0 {
				return p, err
			}
			continue
		case r.done:
			return nil, io.EOF
		}
		// Whoever fills the space is given more of it.
		if size := len(l.buf.b); size-r.base < smallest/2 || l.w == size && size < 64<<10 {
			l.buf = l.buf.grown(r.base, 4*size)
		}
		l.r, l.w = r.base, r.base
		if err := r.more(until); err != nil {
			return nil, err
		}
	}
}

// Body reads the whole body into one piece, of most bytes at most; it is not
// mixed with Read. After ErrQuiet it goes on where it was. The body holds until
// Close.
func (r *Response) Body(most int64, until time.Time) ([]byte, error) {
	if _, err := r.Head(until); err != nil {
		return nil, err
	}
	if r.inflater != nil {
		return r.inflateAll(most, until)
	}
	l := r.link
	for !r.done && r.err == nil {
		if int64(r.got) > most || r.left > most-int64(r.got) {
			return nil, r.fail(fault.Wrap(fault.Oversized, "the upstream's answer is too large", nil))
		}
		if l.r == l.w {
			if size := len(l.buf.b); l.w == size {
				// Memory follows what came: a Content-Length alone costs nothing.
				want := 4 * size
				if rest := most - int64(r.got); int64(want-l.w-smallest) > rest {
					want = l.w + smallest + int(rest)
				}
				if r.left >= 0 {
					want = min(want, l.w+int(r.left))
				}
				l.buf = l.buf.grown(l.w, want)
			}
			if err := r.more(until); err != nil {
				return nil, err
			}
			continue
		}
		p, err := r.unframe()
		if err != nil {
			return nil, err
		}
		r.got += len(p)
		l.r = r.base + r.got
		l.w = l.r
	}
	switch {
	case r.err != nil:
		return nil, r.err
	case int64(r.got) > most:
		return nil, r.fail(fault.Wrap(fault.Oversized, "the upstream's answer is too large", nil))
	}
	return l.buf.b[r.base : r.base+r.got : r.base+r.got], nil
}

// inflateAll is Body of what comes as gzip.
func (r *Response) inflateAll(most int64, until time.Time) ([]byte, error) {
	for {
		p, err := r.inflate(until)
		switch {
		case err == io.EOF: //nolint:errorlint // a fault may have it as its cause, and is no end
			return r.whole, nil
		case err != nil:
			return nil, err
		case int64(len(r.whole)+len(p)) > most:
			return nil, r.fail(fault.Wrap(fault.Oversized, "the upstream's answer is too large", nil))
		}
		r.whole = append(r.whole, p...)
		r.got = len(r.whole)
	}
}

// unframe takes what was read and returns its payload, in place.
func (r *Response) unframe() ([]byte, error) {
	l := r.link
	p := l.buf.b[l.r:l.w]
	switch {
	case r.chunked:
		n, used, refused := r.chunks.decode(p)
		if refused != nil {
			return nil, r.malformed(refused.words)
		}
		p, r.done = p[:n:n], r.chunks.done()
		l.r += used
	case r.left >= 0:
		n := min(r.left, int64(len(p)))
		p = p[:n:n]
		r.left -= n
		r.done = r.left == 0
		l.r += int(n)
	default:
		l.r = l.w
	}
	if r.done {
		r.end()
	}
	return p, nil
}

// end gives up a connection on which more came than was asked for.
func (r *Response) end() {
	if l := r.link; l.r < l.w {
		r.keep = false
		l.r = l.w
	}
}

// more reads from the connection. A body without framing ends with it.
func (r *Response) more(until time.Time) error {
	err := r.link.fill(until)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrQuiet) && r.ctx.Err() == nil:
		return ErrQuiet
	case errors.Is(err, io.EOF) && !r.chunked && r.left < 0 && r.ctx.Err() == nil:
		r.done = true
		return nil
	default:
		return r.cut(err)
	}
}

// Close ends the answer. The connection is kept if the message was read to its
// end; otherwise it is closed at once, which tells the upstream to stop.
func (r *Response) Close() {
	l := r.link
	if l == nil {
		return
	}
	_ = r.halt() // whoever closes has heard what there was to hear
	if r.inflater != nil {
		r.inflater.stop()
	}
	r.link, r.err = nil, errClosed
	if r.stop() && r.done && r.keep {
		l.freeBuf()
		r.pool.put(l)
		return
	}
	l.close()
}

var errClosed = errors.New("wire: the response is closed")

func (r *Response) fail(err error) error {
	r.err, r.keep = err, false
	return err
}

func (r *Response) malformed(why string) error {
	return r.fail(fault.Wrap(fault.Malformed, "the upstream's answer cannot be read", errors.New(why)))
}

// cut tells why the connection ended before the answer did.
func (r *Response) cut(err error) error {
	if r.ctx.Err() != nil {
		return r.fail(context.Cause(r.ctx))
	}
	if source := r.halt(); source != nil {
		return r.fail(source)
	}
	if r.writeErr != nil {
		err = r.writeErr
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // io.EOF is the proper end alone
	}
	return r.fail(fault.Wrap(fault.Interrupted, "the upstream broke off before its answer was whole", err))
}
