package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// In a script, headworks is this program.
func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"headworks": main}) }

// TestScripts runs test/scripts/*.txtar; the README there says how to write one.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "../../test/scripts",
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			// An empty home, and nothing of whoever runs the tests: no keys, no instance.
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("USERPROFILE", e.WorkDir)
			e.Setenv("HEADWORKS_DATA", filepath.Join(e.WorkDir, "data"))
			e.Setenv("NO_COLOR", "1")
			// The race detector lets a process wait for a second before it ends.
			e.Setenv("GORACE", "atexit_sleep_ms=0")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"eventually": eventually,
			"exits":      exits,
			"jsonline":   jsonline,
			"post":       post,
			"start":      start,
			"upstream":   upstream,
		},
	})
}

// post KEY PATH FILE ANSWER sends a file to the instance as JSON, and writes the status,
// the headers and the body of its answer into another.
func post(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: post KEY PATH FILE ANSWER")
	}
	r, err := http.NewRequest(http.MethodPost, strings.TrimSuffix(ts.Getenv("BASE_URL"), "/v1")+args[1], strings.NewReader(ts.ReadFile(args[2])))
	ts.Check(err)
	r.Header.Set("Authorization", "Bearer "+args[0])
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer res.Body.Close()
	var all bytes.Buffer
	ts.Check(res.Write(&all))
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), all.Bytes(), 0o600))
}

// exits CODE COMMAND... runs a command that ends with that code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGUMENT...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		e, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = e.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// jsonline [NAME...] checks that the last command wrote exactly one line of JSON, an
// object that has those names.
func jsonline(ts *testscript.TestScript, neg bool, args []string) {
	out := ts.ReadFile("stdout")
	if neg || strings.Count(out, "\n") != 1 || !strings.HasSuffix(out, "\n") {
		ts.Fatalf("want exactly one line on stdout, got %d", strings.Count(out, "\n"))
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(out), &object); err != nil {
		ts.Fatalf("no JSON object: %v", err)
	}
	for _, name := range args {
		if _, ok := object[name]; !ok {
			ts.Fatalf("no %q in that line", name)
		}
	}
}

// eventually PATTERN COMMAND... runs a command again and again, until what it writes
// to stdout has the pattern in it.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually PATTERN COMMAND [ARGUMENT...]")
	}
	want, err := regexp.Compile(args[0])
	ts.Check(err)
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout")
		if err == nil && want.MatchString(out) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("not within %v: %s", patience, args[0])
		}
	}
}

// patience is how long a script waits for an instance to start or to end; either
// takes milliseconds unless something is broken.
const patience = 30 * time.Second

// start COMMAND... runs headworks in the background, an instance on free ports, and
// waits until it is ready. BASE_URL, ADMIN and KEY are set to what its ready line
// says. It ends with the script; what it wrote to stderr is in the script's log.
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: start up|serve [ARGUMENT...]")
	}
	args = append(args, "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	self, err := exec.LookPath("headworks")
	ts.Check(err)
	c := exec.Command(self, args...)
	c.Dir = ts.MkAbs(".")
	handed := []string{"HOME", "USERPROFILE", "HEADWORKS_DATA", "NO_COLOR", "GORACE", "PATH", "TMPDIR", "SYSTEMROOT"}
	for _, name := range append(handed, strings.Fields(ts.Getenv(upstreams))...) {
		c.Env = append(c.Env, name+"="+ts.Getenv(name))
	}
	var log strings.Builder
	c.Stderr = &log
	out, err := c.StdoutPipe()
	ts.Check(err)
	ts.Check(c.Start())
	line := make(chan string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r := bufio.NewReader(out)
		s, _ := r.ReadString('\n') // an instance that ends early has none
		line <- s
		_, _ = io.Copy(io.Discard, r)
		_ = c.Wait() // an instance that is told to end may say so by its exit code
	}()
	ts.Defer(func() {
		_ = c.Process.Signal(os.Interrupt) // it may have ended
		select {
		case <-ended:
		case <-time.After(patience):
			_ = c.Process.Kill()
			<-ended
		}
		ts.Logf("[instance]\n%s", log.String())
	})
	var ready struct {
		Ready   bool   `json:"ready"`
		BaseURL string `json:"base_url"`
		Admin   string `json:"admin"`
		Key     string `json:"key"`
	}
	select {
	case s := <-line:
		if err := json.Unmarshal([]byte(s), &ready); err != nil || !ready.Ready {
			<-ended
			ts.Fatalf("no ready line but %q\n%s", s, log.String())
		}
	case <-time.After(patience):
		ts.Fatalf("not ready after %v", patience)
	}
	ts.Setenv("BASE_URL", ready.BaseURL)
	ts.Setenv("ADMIN", ready.Admin)
	ts.Setenv("KEY", ready.Key)
}
