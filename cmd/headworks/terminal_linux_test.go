package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pseudoterminal returns both ends of a terminal.
func pseudoterminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// person is somebody at a terminal in which the program runs.
type person struct {
	t      *testing.T
	keys   *os.File
	mu     sync.Mutex
	screen string
	seen   int // what was looked at already
	ended  chan error
}

// sits starts headworks in a terminal of its own, with this environment.
func sits(t *testing.T, env []string, args ...string) *person {
	t.Helper()
	self, err := exec.LookPath("headworks")
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := pseudoterminal(t)
	c := exec.Command(self, args...)
	c.Env = env
	c.Stdin, c.Stdout, c.Stderr = theirs, theirs, theirs
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	p := &person{t: t, keys: ours, ended: make(chan error, 1)}
	go func() { // ends with the terminal
		buf := make([]byte, 4096)
		for {
			n, err := ours.Read(buf)
			p.mu.Lock()
			p.screen += string(buf[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	go func() { p.ended <- c.Wait() }()
	t.Cleanup(func() { _ = c.Process.Kill() })
	return p
}

// sees waits until words stand on the screen, after those that it saw before.
func (p *person) sees(words string) {
	p.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		at := strings.Index(p.screen[p.seen:], words)
		if at >= 0 {
			p.seen += at + len(words)
		}
		screen := p.screen[p.seen:]
		p.mu.Unlock()
		if at >= 0 {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("not on the screen: %q, but\n%s", words, screen)
		}
	}
}

func (p *person) types(keys string) {
	p.t.Helper()
	if _, err := p.keys.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// leaves waits for the end of the program and returns its exit code.
func (p *person) leaves() int {
	p.t.Helper()
	select {
	case err := <-p.ended:
		if err == nil {
			return 0
		}
		e, ok := err.(*exec.ExitError) //nolint:errorlint // Wait returns it as it is
		if !ok {
			p.t.Fatal(err)
		}
		return e.ExitCode()
	case <-time.After(patience):
		p.mu.Lock()
		defer p.mu.Unlock()
		p.t.Fatalf("it does not end:\n%s", p.screen)
		return -1
	}
}

// slowly is a model that takes its time for an answer.
const slowly = `
data: ./data
drain_delay: 0s
drain_timeout: 1s
upstreams: {slow: {kind: simulated, engine: {step_base: 50ms, min_output_tokens: 2000, max_output_tokens: 2000}}}
models: {slow: {targets: [{upstream: slow, model: demo-small}], timeouts: {total: 0s}}}
`

// instance starts one with a configuration and an empty home, and returns the
// environment in which commands find it.
func instance(t *testing.T, config string) (home string, env []string) {
	t.Helper()
	home = t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "headworks.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	env = []string{"HOME=" + home, "HEADWORKS_DATA=" + filepath.Join(home, "data"), "NO_COLOR=1", "TERM=dumb", "GORACE=atexit_sleep_ms=0", "PATH=" + os.Getenv("PATH")}
	self, err := exec.LookPath("headworks")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, "serve", "--config", "headworks.yaml", "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	c.Dir, c.Env = home, env
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // what it keeps goes with its folder
		_ = c.Wait()
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var ready struct{ Ready bool }
	if err != nil || json.Unmarshal(line, &ready) != nil || !ready.Ready {
		t.Fatalf("not ready: %s, %v", line, err)
	}
	return home, env
}

// TestChatIsInterrupted: Ctrl-C ends an answer and the work for it, the next one
// leaves.
func TestChatIsInterrupted(t *testing.T) {
	_, env := instance(t, slowly)
	p := sits(t, env, "chat", "--model", "slow")
	p.sees("> ")
	p.types("hello\n")
	p.sees("simulated model") // the answer has begun
	p.types("\x03")
	p.sees("slow  simulated  by slow")
	p.sees("stopped")
	p.sees("> ")
	p.types("/model slwo\n")
	p.sees(`did you mean "slow"`)
	p.sees("> ")
	p.types("half a question \\\n")
	p.sees("… ")
	p.types("\x03") // takes it back
	p.sees("> ")
	p.types("\x03")
	if code := p.leaves(); code != 0 {
		t.Errorf("it leaves with %d", code)
	}
	q := sits(t, env, "requests", "--json")
	q.sees(`"end":"client_closed"`)
}

// TestConnectAsks: nothing is written without a yes, and a file that was edited
// since comes back only after another one.
func TestConnectAsks(t *testing.T) {
	home, env := instance(t, slowly)
	file := filepath.Join(home, ".claude", "settings.json")
	there := func() string {
		b, err := os.ReadFile(file)
		if err != nil {
			return ""
		}
		return string(b)
	}
	answer := func(question, keys, then string, args ...string) {
		t.Helper()
		p := sits(t, env, args...)
		p.sees(question)
		p.types(keys)
		p.sees(then)
		if code := p.leaves(); code != 0 {
			t.Errorf("%v leaves with %d", args, code)
		}
	}
	connect := []string{"connect", "claude-code"}
	answer("write this, with the key connect-claude-code in place of hw_...? [y/N]", "\n", "nothing was written (you said no)", connect...)
	if there() != "" {
		t.Errorf("written without a yes: %s", there())
	}
	answer("[y/N]", "y\n", "written: ~/.claude/settings.json", connect...)
	written := there()
	if !strings.Contains(written, `"ANTHROPIC_AUTH_TOKEN": "hw_`) {
		t.Errorf("%s", written)
	}
	edited := strings.Replace(written, "{", "{\n  \"mine\": true,", 1)
	if err := os.WriteFile(file, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	undo := append(connect, "--undo")
	answer("was changed since it was connected", "n\n", "nothing was written", undo...)
	if there() != edited {
		t.Errorf("%s", there())
	}
	answer("bring the old file back?", "yes\n", "key connect-claude-code revoked", undo...)
	if there() != "" {
		t.Errorf("not undone: %s", there())
	}
}

// TestTopIsLive: it draws again and again on a screen of its own, q or Ctrl-C ends it,
// and the terminal is as it was.
func TestTopIsLive(t *testing.T) {
	_, env := instance(t, slowly)
	for _, key := range []string{"q", "\x03"} {
		p := sits(t, env, "top", "--every", "100ms")
		p.sees(otherScreen)
		p.sees("0 in flight, 0 waiting")
		p.sees("NEXT FIRST MS")
		p.sees("0 in flight, 0 waiting") // once more
		p.types(key)
		p.sees(ownScreen)
		if code := p.leaves(); code != 0 {
			t.Errorf("%q: it leaves with %d", key, code)
		}
	}
}
