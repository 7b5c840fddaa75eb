package wire

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"headworks/internal/fault"
)

// Upload is the body of a request, read in pieces by one goroutine, which may be
// another than the handler's. It ends with the exchange: whoever reads on another
// goroutine has to be done before the handler writes or returns; Stop sees to it that
// he soon is.
type Upload struct {
	x       *Exchange
	most    int64
	got     int64
	waited  time.Duration // for the client, so far
	chunks  chunked
	ended   error // what every later Read returns
	stopped atomic.Bool

	mu     sync.Mutex // guards what the handler's goroutine asks meanwhile
	done   bool       // nothing is read any more
	wanted bool       // Watch was called before that
}

// Upload begins to read the body in pieces, instead of Body. One of more than most
// bytes is refused, by its Content-Length before any of it is read; a client that
// asked for 100 Continue is told to go on.
func (x *Exchange) Upload(most int64) (*Upload, error) {
	c := x.c
	if x.unread > most {
		return nil, tooLarge(most)
	}
	c.unwatch()
	if x.unread != 0 {
		if err := x.proceed(); err != nil {
			return nil, err
		}
	}
	x.upload = &Upload{x: x, most: most}
	return x.upload, nil
}

// Length returns how many bytes are left; -1 where only the end of the body tells.
func (u *Upload) Length() int64 { return u.x.unread }

// Read reads what came, at least a byte, into p; io.EOF at the proper end, and only
// there. A body that comes too slowly is held against the client for as long as
// somebody waits for it. The kinds of error are those of Body.
func (u *Upload) Read(p []byte) (int, error) {
	for u.ended == nil {
		if u.x.unread == 0 {
			u.finish(io.EOF)
			break
		}
		n, err := u.piece(p)
		if err != nil {
			u.finish(err)
			break
		}
		if u.got += int64(n); u.got > u.most {
			u.finish(tooLarge(u.most))
			break
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, u.ended
}

// Stop ends a Read that waits, and every later one. It may be called from any
// goroutine.
func (u *Upload) Stop() {
	u.stopped.Store(true)
	_ = u.x.c.nc.SetReadDeadline(past()) // fails only on a closed connection
}

var errStopped = errors.New("wire: the body is not read any more")

// piece reads a piece of the body and returns what it holds, which may be nothing yet.
func (u *Upload) piece(p []byte) (int, error) {
	x, c := u.x, u.x.c
	if x.unread > 0 && int64(len(p)) > x.unread {
		p = p[:x.unread]
	}
	n := copy(p, c.buf.b[c.r:c.w])
	if c.r += n; n == 0 {
		var err error
		if n, err = u.fill(p); err != nil {
			return 0, err
		}
	}
	if x.unread > 0 {
		x.unread -= int64(n)
		return n, nil
	}
	payload, used, refused := u.chunks.decode(p[:n])
	if refused != nil {
		x.closing = true
		return 0, fault.New(fault.InvalidRequest, refused.words)
	}
	if u.chunks.done() {
		x.unread = 0
		u.unread(p[used:n])
	}
	return payload, nil
}

// unread puts back what was read of the next request, or gives the connection up.
func (u *Upload) unread(rest []byte) {
	c := u.x.c
	switch {
	case len(rest) == 0:
	case len(rest) <= c.r-u.x.head.end && u.x.head.end > 0:
		c.r -= len(rest)
		copy(c.buf.b[c.r:], rest)
	case c.r == c.w && len(rest) <= len(c.buf.b)-c.w:
		c.w += copy(c.buf.b[c.w:], rest)
	default:
		u.x.closing = true // the client sends it again on another connection
	}
}

// fill reads from the connection; see Exchange.fill.
func (u *Upload) fill(p []byte) (int, error) {
	x, limits := u.x, &u.x.c.srv.limits
	began := time.Now()
	left := limits.BodyGrace + time.Duration(u.got)*time.Second/time.Duration(limits.BodyRate) - u.waited
	x.c.readUntil(began.Add(min(left, limits.BodyIdle)))
	if u.stopped.Load() {
		x.closing = true
		return 0, errStopped
	}
	n, err := x.c.read(p)
	u.waited += time.Since(began)
	switch {
	case n > 0:
		return n, nil
	case u.stopped.Load():
		x.closing = true
		return 0, errStopped
	case timedOut(err):
		x.closing = true
		return 0, fault.New(fault.SlowRequest, "the body came too slowly")
	default:
		x.c.leave(errLeft)
		return 0, fault.Wrap(fault.ClientClosed, "the client left before its body was whole", err)
	}
}

// finish ends the reading: from now on the connection may be watched, unless it
// failed. The end is io.EOF itself, which is the cause of some failures too.
func (u *Upload) finish(err error) {
	u.ended = err
	u.mu.Lock()
	defer u.mu.Unlock()
	u.done = true
	if u.wanted && err == io.EOF { //nolint:errorlint // a fault may have it as its cause, and is no end
		u.x.c.startWatch()
	}
}

// reads reports whether the body is still being read, which sees the client leave as
// a watch does; one that was asked for begins behind it.
func (u *Upload) reads() bool {
	if u == nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.wanted = u.wanted || !u.done
	return !u.done
}
