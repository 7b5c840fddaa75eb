package wire

import (
	"compress/gzip"
	"errors"
	"io"
)

// An answer may come as gzip though nobody asked for it: a request that names no
// coding takes any (RFC 9110 12.5.3). It is decoded as it comes. It may become
// mostRatio times its own size, or leastBomb bytes if that is more: text does not
// shrink so much, a bomb does.
const (
	mostRatio = 100
	leastBomb = 1 << 20
)

// inflater decodes gzip (RFC 1952) from bytes that are fed to it. The decoder of the
// standard library asks for bytes, so it has a goroutine of its own; it and its owner
// take turns.
type inflater struct {
	in    []byte // fed and not yet read
	ended bool   // nothing more will be fed
	fed   int64
	made  int64

	turn chan struct{} // the goroutine may go on; closed: it has to end
	out  chan inflated // what it came to
	over error         // what it ended with
}

// inflated is what a step of decoding came to: bytes, the wish for more, or the end.
type inflated struct {
	p   []byte
	err error // errHungry, io.EOF at the proper end, or why this is no gzip
}

var (
	errHungry  = errors.New("wire: more has to be fed")
	errGivenUp = errors.New("wire: given up")
	errBomb    = errors.New("wire: more comes out than text becomes")
)

func newInflater() *inflater {
	z := &inflater{turn: make(chan struct{}), out: make(chan inflated)}
	go z.run()
	return z
}

// stop ends the goroutine. It is called once, and nothing after it.
func (z *inflater) stop() {
	close(z.turn)
	for range z.out { // until it has ended
	}
}

// feed gives it more to decode. It holds p until the next errHungry.
func (z *inflater) feed(p []byte) {
	z.in = p
	z.fed += int64(len(p))
}

// more returns what was decoded, which holds until the next call.
func (z *inflater) more() ([]byte, error) {
	if z.over != nil {
		return nil, z.over
	}
	z.turn <- struct{}{}
	s := <-z.out
	z.made += int64(len(s.p))
	switch {
	case z.made > max(z.fed*mostRatio, leastBomb):
		return nil, errBomb
	case s.err != nil && !errors.Is(s.err, errHungry):
		z.over = s.err
	}
	return s.p, s.err
}

func (z *inflater) run() {
	defer close(z.out)
	if _, ok := <-z.turn; !ok {
		return
	}
	b := take(32 << 10)
	defer b.release()
	r, err := gzip.NewReader(z)
	for err == nil {
		var n int
		if n, err = r.Read(b.b); n > 0 && !z.yield(inflated{p: b.b[:n]}) {
			return
		}
	}
	if errors.Is(err, io.EOF) && z.fed == 0 {
		err = io.ErrUnexpectedEOF // nothing is no gzip
	}
	z.yield(inflated{err: err})
}

// yield hands over what there is, and reports whether to go on.
func (z *inflater) yield(s inflated) bool {
	z.out <- s
	_, ok := <-z.turn
	return ok
}

// ReadByte is how gzip reads.
func (z *inflater) ReadByte() (byte, error) {
	if err := z.fill(); err != nil {
		return 0, err
	}
	c := z.in[0]
	z.in = z.in[1:]
	return c, nil
}

// Read is how gzip reads.
func (z *inflater) Read(p []byte) (int, error) {
	if err := z.fill(); err != nil {
		return 0, err
	}
	n := copy(p, z.in)
	z.in = z.in[n:]
	return n, nil
}

func (z *inflater) fill() error {
	for len(z.in) == 0 {
		if z.ended {
			return io.EOF
		}
		if !z.yield(inflated{err: errHungry}) {
			return errGivenUp
		}
	}
	return nil
}
