package wire

import "strconv"

// chunked reads the chunked transfer coding (RFC 9112 section 7.1), strictly:
// lines end in CR LF. Extensions and trailer fields are read and dropped.
type chunked struct {
	at     chunkState
	digits int
	left   int64 // of the chunk's payload, still to come
	excess int64 // bytes that carry no payload, beyond what honest chunks need
}

type chunkState uint8

const (
	inSize      chunkState = iota // the size of the next chunk
	inSpace                       // behind the size, before an extension
	inExtension                   // up to CR
	afterSize                     // LF
	inPayload
	afterPayload    // CR
	beforeNext      // LF
	startTrailer    // of a trailer line, or CR of the last
	inTrailer       // in a trailer line
	afterTrailer    // LF
	beforeEnd       // the last LF
	afterEnd        // nothing more belongs to this body
	mostExcess      = 16 << 10
	mostChunkDigits = 15
)

func (d *chunked) done() bool { return d.at == afterEnd }

// decode moves the payload in b to its front: b[:n]. It uses all of b unless
// the body ends in it, then b[used:] belongs to the next message.
func (d *chunked) decode(b []byte) (n, used int, err *refusal) {
	i := 0
	for i < len(b) && d.at != afterEnd {
		if d.at == inPayload {
			m := int(min(d.left, int64(len(b)-i)))
			if n != i {
				copy(b[n:], b[i:i+m])
			}
			n, i, d.left = n+m, i+m, d.left-int64(m)
			if d.left == 0 {
				d.at = afterPayload
			}
			continue
		}
		c := b[i]
		i++
		d.excess++
		if d.excess > mostExcess {
			return n, i, bad("a chunked body has too little in its chunks")
		}
		if !d.step(c) {
			return n, i, bad("a chunked body is not well formed")
		}
	}
	return n, i, nil
}

// step reads one byte that is not payload.
func (d *chunked) step(c byte) bool {
	switch d.at {
	case inSize:
		if v := hexDigit(c); v >= 0 {
			d.left = d.left<<4 | int64(v)
			d.digits++
			return d.digits <= mostChunkDigits
		}
		return d.digits > 0 && d.behindSize(c)
	case inSpace:
		return d.behindSize(c)
	case inExtension:
		if c == '\r' {
			d.at = afterSize
			return true
		}
		return kindOf[c]&text != 0
	case afterSize:
		// The line of a chunk and the end of its payload are not in excess.
		d.excess = max(0, d.excess-16-2*d.left)
		d.digits = 0
		if d.at = inPayload; d.left == 0 {
			d.at = startTrailer
		}
		return c == '\n'
	case afterPayload:
		d.at = beforeNext
		return c == '\r'
	case beforeNext:
		d.at = inSize
		return c == '\n'
	case startTrailer:
		if d.at = inTrailer; c == '\r' {
			d.at = beforeEnd
		}
		return c != '\n'
	case inTrailer:
		if c == '\r' {
			d.at = afterTrailer
		}
		return c != '\n'
	case afterTrailer:
		d.at = startTrailer
		return c == '\n'
	case beforeEnd:
		d.at = afterEnd
		return c == '\n'
	default:
		return false
	}
}

func (d *chunked) behindSize(c byte) bool {
	switch c {
	case '\r':
		d.at = afterSize
	case ';':
		d.at = inExtension
	case ' ', '\t':
		d.at = inSpace
	default:
		return false
	}
	return true
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= lower[c] && lower[c] <= 'f':
		return int(lower[c]-'a') + 10
	default:
		return -1
	}
}

// appendChunkSize appends the line before a chunk's payload.
func appendChunkSize(b []byte, n int) []byte {
	return append(strconv.AppendUint(b, uint64(n), 16), "\r\n"...)
}

const (
	lastChunk = "0\r\n\r\n"
	chunkRoom = 16 + 2 + len(lastChunk) // most that is written around a payload
)
