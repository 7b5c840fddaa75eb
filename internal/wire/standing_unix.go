//go:build unix

package wire

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// standing returns a function that reports whether nc has nothing to read, its
// end included; nil where the system cannot tell.
func standing(nc net.Conn) func() bool {
	s, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	// Made once for each connection: a look allocates nothing.
	poll := []unix.PollFd{{Events: unix.POLLIN}}
	var ready int
	var failed error
	look := func(fd uintptr) {
		poll[0].Fd, poll[0].Revents = int32(fd), 0
		ready, failed = unix.Poll(poll, 0)
	}
	return func() bool {
		return raw.Control(look) == nil && (ready == 0 || errors.Is(failed, unix.EINTR))
	}
}
