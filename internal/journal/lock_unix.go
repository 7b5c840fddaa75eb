//go:build unix

package journal

import (
	"os"
	"syscall"
)

// flock takes the lock of a folder, which lasts until f is closed or the process
// dies.
func flock(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = c.Control(func(fd uintptr) { failed = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB) })
	if err != nil {
		return err
	}
	return failed
}
