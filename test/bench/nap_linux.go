package main

import (
	"syscall"
	"time"
)

// nap sleeps for a time shorter than the runtime's own timers can tell: those may
// be a millisecond late on an idle machine. An interrupted nap is just shorter.
func nap(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&ts, nil)
}
