package wire

import (
	"io"
	"time"

	"headworks/internal/fault"
)

// pump sends the rest of a request. Its goroutine alone writes to the link while it
// runs.
type pump struct {
	link   *link
	rest   Source
	chunks bool
	done   chan struct{} // closed when it has ended; the rest is set then
	source error         // the rest could not be read
	write  error         // the upstream did not take it
}

func startPump(l *link, req *Request) *pump {
	p := &pump{link: l, rest: req.Rest, chunks: req.Length < 0, done: make(chan struct{})}
	go p.run(req.Length)
	return p
}

var errLength = fault.New(fault.Internal, "a body is not as long as was said")

// run sends what comes until its end. Where it cannot be read any more the connection
// is closed at once: the upstream must not take what it has for the whole.
func (p *pump) run(left int64) {
	defer func() {
		close(p.done)
		if p.source != nil {
			p.link.cut() // wakes who waits for an answer
		}
	}()
	b := take(32 << 10)
	defer b.release()
	const before = 8 // bytes for the size of a chunk
	for {
		n, err := p.rest.Read(b.b[before : len(b.b)-len(lastChunk)])
		if err == io.EOF { //nolint:errorlint // a fault may have it as its cause, and is no end
			switch {
			case p.chunks:
				p.write = p.send([]byte(lastChunk))
			case left != 0:
				p.source = errLength
			}
			return
		}
		if err != nil {
			p.source = err
			return
		}
		piece := b.b[before : before+n]
		if p.chunks {
			var size [before]byte
			head := appendChunkSize(size[:0], n)
			copy(b.b[before-len(head):], head)
			piece = append(b.b[before-len(head):before+n], "\r\n"...)
		} else if left -= int64(n); left < 0 {
			p.source = errLength
			return
		}
		if p.write = p.send(piece); p.write != nil {
			p.rest.Stop() // the upstream takes no more; it may still answer
			return
		}
	}
}

func (p *pump) send(b []byte) error {
	l := p.link
	now := time.Now()
	if wait := l.pool.limits.Write; l.writeBy.Sub(now) < wait*3/4 {
		l.writeBy = now.Add(wait)
		_ = l.nc.SetWriteDeadline(l.writeBy) // as in link.write
	}
	_, err := l.nc.Write(b)
	return err
}

// halt ends the sending, and returns why the rest could not be read. A request that
// was not sent whole leaves a connection that carries no other.
func (r *Response) halt() error {
	p := r.pump
	if p == nil {
		return nil
	}
	select {
	case <-p.done:
	default:
		r.keep = false
		p.rest.Stop()
		r.link.cut()
		<-p.done
		r.pump = nil
		return nil // its error is of our making
	}
	r.pump = nil
	if r.writeErr == nil {
		r.writeErr = p.write
	}
	if p.source != nil || p.write != nil {
		r.keep = false
	}
	return p.source
}

// sentWhole waits, once the head of the answer is there, until the request was sent
// whole: an answer of success is to all of it. With any other one the sending ends.
func (r *Response) sentWhole(until time.Time) error {
	p := r.pump
	if r.status >= 300 {
		select {
		case <-p.done:
			_ = r.halt() // nobody asks any more what became of the request
		default:
			r.keep = false
			p.rest.Stop()
			_ = r.link.nc.SetWriteDeadline(past()) // ends a write that waits; fails only on a closed connection
			<-p.done
			r.pump = nil
		}
		return nil
	}
	var late <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-p.done:
	case <-r.ctx.Done():
		return r.cut(r.ctx.Err())
	case <-late:
		return ErrQuiet
	}
	if err := r.halt(); err != nil {
		return r.fail(err)
	}
	if r.writeErr != nil {
		return r.cut(r.writeErr)
	}
	return nil
}
