//go:build unix

package wire

import "syscall"

// quiet reports whether an idle connection is open and has nothing to read.
// Under TLS the other side may send records that carry no answer.
func quiet(raw syscall.RawConn, records bool) bool {
	var n int
	var err error
	var b [1]byte
	if failed := raw.Control(func(fd uintptr) {
		n, _, err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	}); failed != nil {
		return false
	}
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR: // a number of the kernel's, never wrapped
		return true
	case err != nil || n == 0:
		return false
	default:
		return records
	}
}
