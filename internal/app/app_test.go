package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"headworks/internal/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what takes milliseconds unless something is broken. No test
// passes for having waited so long.
const patience = time.Minute

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// pinned is the key that the test's configurations pin.
const pinned = "pinned-secret-of-tests"

// lines is a log that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// instance is a whole process but for the process.
type instance struct {
	*App
	log   *lines
	file  string // of the configuration
	data  string
	admin *client.Admin
	web   *http.Client
	ended chan error // Run's, once
}

// serve starts an instance that serves a configuration on free ports, and ends it
// with the test.
func serve(t *testing.T, source string) *instance {
	t.Helper()
	dir := t.TempDir()
	i := &instance{log: &lines{}, file: filepath.Join(dir, "headworks.yaml"), data: filepath.Join(dir, "data")}
	i.write(t, source)
	a, warnings, err := Serve(i.file, i.place(), i.log)
	if err != nil {
		t.Fatal(err)
	}
	if warnings != "" {
		t.Fatalf("the test's configuration is warned about:\n%s", warnings)
	}
	i.App = a
	i.run(t)
	return i
}

// up starts an instance without a configuration.
func up(t *testing.T) *instance {
	t.Helper()
	i := &instance{log: &lines{}, data: filepath.Join(t.TempDir(), "data")}
	a, err := Up(t.Context(), i.place(), i.log)
	if err != nil {
		t.Fatal(err)
	}
	i.App = a
	i.run(t)
	return i
}

func (i *instance) place() Place {
	return Place{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Data: i.data}
}

// write replaces the configuration as an editor does: whole, by a rename.
func (i *instance) write(t *testing.T, source string) {
	t.Helper()
	next := i.file + ".next"
	if err := os.WriteFile(next, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, i.file); err != nil {
		t.Fatal(err)
	}
}

func (i *instance) run(t *testing.T) {
	t.Helper()
	ready := make(chan struct{})
	i.ended = make(chan error, 1)
	go func() { i.ended <- i.Run(t.Context(), func() { close(ready) }) }()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	i.web = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		i.Drain()
		if err := i.wait(t); err != nil {
			t.Errorf("Run ended with %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", i.log)
		}
	})
	select {
	case <-ready:
	case <-time.After(patience):
		t.Fatal("not ready")
	}
	var err error
	if i.admin, err = client.Find(i.data, ""); err != nil {
		t.Fatal(err)
	}
}

// wait waits until Run returns; its error can be had again.
func (i *instance) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-i.ended:
		i.ended <- err
		return err
	case <-time.After(patience):
		t.Fatal("Run does not return")
		return nil
	}
}

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // why the body has no end
}

func (r *reply) id() string { return r.header.Get("X-Request-Id") }

// send sends a request and reads its answer.
func (i *instance) send(t *testing.T, method, url, key, body string, header ...string) reply {
	t.Helper()
	r := i.try(t, method, url, key, body, header...)
	if r.err != nil {
		t.Fatalf("%s %s: %v", method, url, r.err)
	}
	return r
}

// try is send where the answer may be cut off, or not be given at all.
func (i *instance) try(t *testing.T, method, url, key, body string, header ...string) reply {
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for n := 0; n+1 < len(header); n += 2 {
		req.Header.Set(header[n], header[n+1])
	}
	resp, err := i.web.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(b), err}
}

// chat asks a model in OpenAI's dialect.
func (i *instance) chat(t *testing.T, key, model string, stream bool) reply {
	t.Helper()
	return i.send(t, "POST", i.BaseURL()+"/chat/completions", key, question(model, stream))
}

func question(model string, stream bool) string {
	return fmt.Sprintf(`{"model":%q,"stream":%v,"messages":[{"role":"user","content":"hello"}]}`, model, stream)
}

// ask calls the admin API with the token.
func (i *instance) ask(t *testing.T, method, path, body string) reply {
	t.Helper()
	return i.send(t, method, i.AdminURL()+path, i.admin.Token, body)
}

// open is a streamed answer that is being read.
type open struct {
	*http.Response
	events *bufio.Scanner
}

// stream opens a streamed answer and reads until its first content.
func (i *instance) stream(t *testing.T, key, model string) *open {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", i.BaseURL()+"/chat/completions", strings.NewReader(question(model, true)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := i.web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	o := &open{resp, bufio.NewScanner(resp.Body)}
	for o.events.Scan() {
		if strings.Contains(o.events.Text(), `"content":"one`) {
			return o
		}
	}
	t.Fatalf("no content: status %d, %v", resp.StatusCode, o.events.Err())
	return nil
}

// rest reads a streamed answer to its end.
func (o *open) rest(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for o.events.Scan() {
		b.WriteString(o.events.Text() + "\n")
	}
	if err := o.events.Err(); err != nil {
		t.Errorf("the answer has no clean end: %v", err)
	}
	return b.String()
}

// lab is an upstream of OpenAI's dialect. Unless held, it answers "one two".
type lab struct {
	*httptest.Server
	hold chan struct{} // not nil: the second word of streams waits for it
	gone chan struct{} // a held caller that left

	mu    sync.Mutex
	calls int
	open  map[net.Conn]bool
}

// newLab starts an engine. One that holds says its first word, and the second
// once hold is closed.
func newLab(t *testing.T, holds bool) *lab {
	t.Helper()
	e := &lab{open: map[net.Conn]bool{}, gone: make(chan struct{}, 64)}
	if holds {
		e.hold = make(chan struct{})
	}
	e.Server = httptest.NewUnstartedServer(http.HandlerFunc(e.answer))
	e.Config.ConnState = func(c net.Conn, s http.ConnState) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if s == http.StateClosed {
			delete(e.open, c)
		} else {
			e.open[c] = true
		}
	}
	e.Start()
	t.Cleanup(func() {
		e.release()
		e.Close()
	})
	return e
}

// release lets held answers go on.
func (e *lab) release() {
	if e.hold != nil {
		select {
		case <-e.hold:
		default:
			close(e.hold)
		}
	}
}

func (e *lab) asked() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls
}

func (e *lab) connections() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.open)
}

// The events of an answer, and the same whole.
const (
	wordOne  = `{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"one"},"finish_reason":null}]}`
	wordTwo  = `{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" two"},"finish_reason":null}]}`
	wordEnd  = `{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	wordUsed = `{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}`
	whole    = `{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"one two"},"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}`
)

func (e *lab) answer(w http.ResponseWriter, r *http.Request) {
	var asked struct{ Stream bool }
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		http.Error(w, err.Error(), 400)
		return
	}
	e.mu.Lock()
	e.calls++
	e.mu.Unlock()
	wait := func() bool {
		if e.hold == nil {
			return true
		}
		select {
		case <-e.hold:
			return true
		case <-r.Context().Done():
			e.gone <- struct{}{}
			return false
		}
	}
	if !asked.Stream {
		w.Header().Set("Content-Type", "application/json")
		if wait() {
			io.WriteString(w, whole)
		}
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	say := func(data string) {
		io.WriteString(w, "data: "+data+"\n\n")
		w.(http.Flusher).Flush()
	}
	say(wordOne)
	if wait() {
		for _, data := range []string{wordTwo, wordEnd, wordUsed, "[DONE]"} {
			say(data)
		}
	}
}

// file returns a configuration that serves one model, m, from these replicas;
// more is added to it.
func file(more string, urls ...string) string {
	return fmt.Sprintf(`
drain_delay: 0s
log: {level: debug, requests: all}
upstreams:
  lab: {kind: openai, urls: [%s], key: provider-secret-of-tests}
models:
  m: {targets: [{upstream: lab, model: any, price: {input: 1000, output: 2000}}]}
keys:
  - {name: tests, secret: %s}
%s`, strings.Join(urls, ", "), pinned, more)
}
