package wire

import (
	"math/bits"
	"sync"
)

const (
	smallest = 4 << 10
	classes  = 9 // 4 KiB to 1 MiB, each twice the one before
)

// buffer is memory for bytes on their way; len(b) is all of it.
type buffer struct{ b []byte }

// spare holds buffers nobody uses, by class; the garbage collector empties it.
var spare [classes]sync.Pool

// take returns a buffer of at least n bytes with anything in it.
func take(n int) *buffer {
	i := class(n)
	if i >= classes {
		return &buffer{make([]byte, n)}
	}
	if b, ok := spare[i].Get().(*buffer); ok {
		return b
	}
	return &buffer{make([]byte, smallest<<i)}
}

// release gives the buffer back; no view of it may be used again. A buffer
// above the largest class is left to the garbage collector.
func (b *buffer) release() {
	if i := class(len(b.b)); i < classes && len(b.b) == smallest<<i {
		spare[i].Put(b)
	}
}

// grown returns a buffer of at least n bytes that begins with the first used
// bytes of b, and gives b back.
func (b *buffer) grown(used, n int) *buffer {
	g := take(n)
	copy(g.b, b.b[:used])
	b.release()
	return g
}

func class(n int) int {
	if n <= smallest {
		return 0
	}
	return bits.Len(uint(n-1)) - bits.Len(uint(smallest-1))
}
