package sdk

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicopt "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaiopt "github.com/openai/openai-go/v3/option"
)

const (
	secret   = "sk-caller-0123456789abcdef" // what the clients send
	lent     = "sk-upstream-fedcba987654"   // what Headworks holds for the upstreams
	patience = 20 * time.Second             // how long anything may take before a test fails
)

// gateway is one running process of the program, with a data folder of its own.
type gateway struct {
	url  string // of the API, without /v1
	file string // its configuration

	process *os.Process
	log     *log
	ended   chan struct{} // closed when the process has ended
	code    int           // the exit code, once ended
}

// serve starts the program on a configuration and ends it with the test. What a
// test does not set is set to what is quick and local.
func serve(t *testing.T, config string) *gateway {
	t.Helper()
	dir := t.TempDir()
	g := &gateway{file: filepath.Join(dir, "headworks.yaml"), log: &log{}, ended: make(chan struct{})}
	g.write(t, config)

	cmd := exec.Command(binary, "serve", "--config", g.file, "--data", filepath.Join(dir, "data"), "--json")
	cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	cmd.Stderr = g.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g.process = cmd.Process
	ready := make(chan string, 1)
	go func() {
		defer close(g.ended)
		r := bufio.NewReader(out)
		line, _ := r.ReadString('\n') // what is no ready line is told below
		ready <- line
		_, _ = io.Copy(io.Discard, r)
		_ = cmd.Wait() // the exit code tells
		g.code = cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		if code := g.stop(t); code != 0 {
			t.Errorf("the process ended with code %d", code)
		}
		if t.Failed() {
			t.Logf("log of the process:\n%s", g.log)
		}
	})

	var told struct {
		Ready   bool   `json:"ready"`
		BaseURL string `json:"base_url"`
	}
	select {
	case line := <-ready:
		if err := json.Unmarshal([]byte(line), &told); err != nil || !told.Ready {
			t.Fatalf("the process said %q instead of being ready", line)
		}
	case <-time.After(patience):
		t.Fatal("the process was not ready in time")
	}
	g.url = strings.TrimSuffix(told.BaseURL, "/v1")
	return g
}

// write puts a configuration in the file's place at once, as editors do.
func (g *gateway) write(t *testing.T, config string) {
	t.Helper()
	for _, standing := range []string{
		"listen: 127.0.0.1:0",
		"admin: {listen: 127.0.0.1:0}",
		"drain_delay: 0s",
		"keys: [{name: caller, secret: " + secret + "}]",
	} {
		key, _, _ := strings.Cut(standing, ":")
		if !strings.Contains("\n"+config, "\n"+key+":") {
			config += "\n" + standing
		}
	}
	next := g.file + ".next"
	if err := os.WriteFile(next, []byte(config+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, g.file); err != nil {
		t.Fatal(err)
	}
}

func (g *gateway) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := g.process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// stop ends the process as an operator does, and returns its exit code.
func (g *gateway) stop(t *testing.T) int {
	t.Helper()
	if err := g.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	return g.end(t)
}

// end waits for the end of the process and returns its exit code.
func (g *gateway) end(t *testing.T) int {
	t.Helper()
	select {
	case <-g.ended:
	case <-time.After(patience):
		t.Error("the process did not end after SIGTERM")
		_ = g.process.Kill() // fails only if it has ended after all
		<-g.ended
	}
	return g.code
}

// openai returns the official client, without tries of its own.
func (g *gateway) openai(options ...openaiopt.RequestOption) openai.Client {
	return openai.NewClient(append([]openaiopt.RequestOption{
		openaiopt.WithBaseURL(g.url + "/v1"), openaiopt.WithAPIKey(secret), openaiopt.WithMaxRetries(0),
	}, options...)...)
}

// anthropic returns the official client, without tries of its own.
func (g *gateway) anthropic(options ...anthropicopt.RequestOption) anthropic.Client {
	return anthropic.NewClient(append([]anthropicopt.RequestOption{
		anthropicopt.WithBaseURL(g.url), anthropicopt.WithAPIKey(secret), anthropicopt.WithMaxRetries(0),
	}, options...)...)
}

// log keeps the end of what a process wrote.
type log struct {
	mu   sync.Mutex
	text []byte
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	l.text = l.text[max(0, len(l.text)-8<<10):]
	return len(p), nil
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// tap stands between a client and the gateway: it keeps what each of the client's
// attempts sent, and the head of what came back.
type tap struct {
	mu       sync.Mutex
	attempts []attempt
}

type attempt struct {
	Sent   string
	Status int
	Header http.Header
}

// RoundTrip implements http.RoundTripper.
func (p *tap) RoundTrip(r *http.Request) (*http.Response, error) {
	var a attempt
	if r.Body != nil {
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		a.Sent = string(sent)
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		a.Status, a.Header = res.StatusCode, res.Header
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attempts = append(p.attempts, a)
	return res, err
}

func (p *tap) client() *http.Client { return &http.Client{Transport: p} }

func (p *tap) all() []attempt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]attempt(nil), p.attempts...)
}

// last returns the latest attempt.
func (p *tap) last(t *testing.T) attempt {
	t.Helper()
	all := p.all()
	if len(all) == 0 {
		t.Fatal("the client sent nothing")
	}
	return all[len(all)-1]
}

// within ends a call that hangs, so that the test says which.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
