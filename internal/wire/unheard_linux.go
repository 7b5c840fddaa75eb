package wire

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// endUnheard lets a connection end on which sent bytes, or a keep-alive probe, are not
// acknowledged for so long. The kernel acknowledges, not the program: whoever only
// thinks is heard. By itself Linux would try for about
// 15 minutes (tcp(7), TCP_USER_TIMEOUT; RFC 5482).
func endUnheard(after time.Duration) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(after.Milliseconds()))
		})
		if err != nil {
			return err
		}
		return failed
	}
}
