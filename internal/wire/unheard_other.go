//go:build !linux

package wire

import (
	"syscall"
	"time"
)

// endUnheard is for Linux; elsewhere keep-alive probes have to do.
func endUnheard(time.Duration) func(network, address string, c syscall.RawConn) error { return nil }
