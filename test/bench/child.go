package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// command is a process to start.
type command struct {
	path string
	args []string
	env  []string // beside our own
	cpus []int    // that it may run on; none: all
}

// child is a process that runs and has said where it listens.
type child struct {
	ready
	cmd    *exec.Cmd
	cancel context.CancelFunc
	errs   *tail
}

const (
	startsIn = 15 * time.Second // or it is taken for hung
	stopsIn  = 5 * time.Second  // or it is killed
)

// start starts a process and waits for its line. The process ends with ctx, or by
// stop; one that is ours ends with this one too, however this one ends.
func (c command) start(ctx context.Context) (*child, error) {
	ctx, cancel := context.WithCancel(ctx)
	k := &child{cancel: cancel, errs: new(tail)}
	k.cmd = c.build(ctx, k.errs)
	k.cmd.Cancel = func() error { return k.cmd.Process.Signal(syscall.SIGTERM) }
	k.cmd.WaitDelay = stopsIn
	if _, err := k.cmd.StdinPipe(); err != nil {
		cancel()
		return nil, err
	}
	out, err := k.cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	if err := k.cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	late := time.AfterFunc(startsIn, cancel)
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &k.ready)
	}
	if !late.Stop() || err != nil {
		_ = k.stop() // what it did not say is the news, not how it ended
		return nil, fmt.Errorf("%s %s did not say that it is ready\n%s", filepath.Base(c.path), strings.Join(c.args, " "), k.errs)
	}
	return k, nil
}

func (k *child) pid() int { return k.cmd.Process.Pid }

// stop asks the process to end and waits. It may end by the signal that asked it;
// that it had to be killed, or has an exit code of its own to tell, is an error.
func (k *child) stop() error {
	asked := time.Now()
	k.cancel()
	_ = k.cmd.Wait() // always an error after a signal; the state tells more
	name := filepath.Base(k.cmd.Path)
	if time.Since(asked) >= stopsIn {
		return fmt.Errorf("%s did not end in %v\n%s", name, stopsIn, k.errs)
	}
	if code := k.cmd.ProcessState.ExitCode(); code > 0 {
		return fmt.Errorf("%s ended with code %d\n%s", name, code, k.errs)
	}
	return nil
}

func (c command) build(ctx context.Context, errs io.Writer) *exec.Cmd {
	path, args := c.path, c.args
	if len(c.cpus) > 0 { // taskset becomes the program, so the process id stays
		path, args = "taskset", append([]string{"-c", listCPUs(c.cpus), path}, args...)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stderr = errs
	return cmd
}

// run runs a process to its end and returns what it wrote.
func (c command) run(ctx context.Context) ([]byte, error) {
	errs := new(tail)
	out, err := c.build(ctx, errs).Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", filepath.Base(c.path), strings.Join(c.args, " "), err, errs)
	}
	return out, nil
}

// tail keeps the end of what was written to it.
type tail struct {
	mu  sync.Mutex
	end []byte
}

var _ io.Writer = (*tail)(nil)

const tailSize = 2 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p...)
	t.end = t.end[max(len(t.end)-tailSize, 0):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.end))
}
