package main

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
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestGatewayIsKilled: of two gateways behind a plain distributor of connections one
// is killed under load, and one is upgraded. A client that tries once more loses no
// request of which it had no byte, and takes no answer for whole that was cut.
func TestGatewayIsKilled(t *testing.T) {
	engine := httptest.NewServer(http.HandlerFunc(speak))
	defer engine.Close()
	config := fmt.Sprintf(`
drain_delay: 1s
upstreams: {lab: {kind: openai, urls: [%s], key: none-of-your-business}}
models: {m: {targets: [{upstream: lab, model: any, price: {input: 1, output: 2}}]}}
keys: [{name: tests, secret: a-secret-of-this-test}]
peers: {listen: 127.0.0.1:0, secret: another-secret-of-this-test}
`, engine.URL)
	one, two := newProcess(t, config), newProcess(t, config)
	front := distribute(t, one, two)
	for name, c := range map[string]struct {
		end     os.Signal
		another bool // begins in its stead
	}{"killed": {os.Kill, false}, "upgraded": {syscall.SIGTERM, true}} {
		t.Run(name, func(t *testing.T) {
			one.begin()
			two.begin()
			l := &load{url: "http://" + front + "/v1/chat/completions", left: 400, half: make(chan struct{})}
			var clients sync.WaitGroup
			for range 8 {
				clients.Go(func() { l.run(t) })
			}
			<-l.half
			one.end(c.end)
			if c.another {
				one.begin()
			}
			clients.Wait()
			t.Logf("%d whole, of them %d at the second try; %d cut, %d lost", l.whole.Load(), l.second.Load(), l.cut.Load(), l.lost.Load())
			if n := l.lost.Load(); n > 0 {
				t.Errorf("%d requests without a byte of an answer failed twice", n)
			}
			if name == "upgraded" && l.cut.Load() > 0 {
				t.Errorf("%d answers were cut by an upgrade", l.cut.Load())
			}
			if sum := l.whole.Load() + l.cut.Load() + l.lost.Load(); sum != 400 {
				t.Errorf("%d of 400 requests ended", sum)
			}
			if one.served.Load() == 0 || two.served.Load() == 0 {
				t.Errorf("one took %d connections, the other %d", one.served.Load(), two.served.Load())
			}
		})
	}
}

// speak answers as an engine does, in a little time.
func speak(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/event-stream")
	for i, event := range []string{
		`{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"one"},"finish_reason":null}]}`,
		`{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" two"},"finish_reason":null}]}`,
		`{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
		`[DONE]`,
	} {
		if i < 2 {
			time.Sleep(10 * time.Millisecond)
		}
		_, _ = io.WriteString(w, "data: "+event+"\n\n")
		_ = http.NewResponseController(w).Flush()
	}
}

// load is clients that stream answers and try once more where none began.
type load struct {
	url  string
	left int
	mu   sync.Mutex
	half chan struct{} // closed once half of the requests are sent

	whole, second, cut, lost atomic.Int64
}

func (l *load) next() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left--
	if l.left == 200 {
		close(l.half)
	}
	return l.left >= 0
}

func (l *load) run(t *testing.T) {
	transport := &http.Transport{DisableKeepAlives: true}
	for l.next() {
		began, whole := l.ask(t, transport)
		if !began {
			if began, whole = l.ask(t, transport); whole {
				l.second.Add(1)
			}
		}
		switch {
		case whole:
			l.whole.Add(1)
		case began:
			l.cut.Add(1)
		default:
			l.lost.Add(1)
		}
	}
}

// ask sends a request, and tells whether an answer began and whether it is whole.
func (l *load) ask(t *testing.T, transport *http.Transport) (began, whole bool) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.url, strings.NewReader(`{"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]}`))
	if err != nil {
		return false, false
	}
	req.Header.Set("Authorization", "Bearer a-secret-of-this-test")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return false, false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch done := bytes.HasSuffix(body, []byte("data: [DONE]\n\n")); {
	case resp.StatusCode != http.StatusOK:
		return false, false
	case done != (err == nil):
		t.Errorf("an answer ends with %v and the bytes %q", err, body)
		return true, false
	default:
		return true, done
	}
}

// process is one gateway, which may end and begin again at its address.
type process struct {
	t      *testing.T
	home   string
	addr   string // of the API; of any free port before the first begin
	cmd    *exec.Cmd
	served atomic.Int64 // connections
}

func newProcess(t *testing.T, config string) *process {
	t.Helper()
	p := &process{t: t, home: t.TempDir(), addr: "127.0.0.1:0"}
	if err := os.WriteFile(filepath.Join(p.home, "headworks.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.end(os.Kill) }) // what it keeps goes with its folder
	return p
}

// begin starts it, unless it runs.
func (p *process) begin() {
	p.t.Helper()
	if p.cmd != nil {
		return
	}
	self, err := exec.LookPath("headworks")
	if err != nil {
		p.t.Fatal(err)
	}
	c := exec.Command(self, "serve", "--config", "headworks.yaml", "--json", "--listen", p.addr, "--admin-listen", "127.0.0.1:0")
	c.Dir, c.Env = p.home, []string{"HOME=" + p.home, "GORACE=atexit_sleep_ms=0", "PATH=" + os.Getenv("PATH")}
	var log bytes.Buffer
	c.Stderr = &log
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var ready struct {
		Ready   bool
		BaseURL string `json:"base_url"`
	}
	if err != nil || json.Unmarshal(line, &ready) != nil || !ready.Ready {
		_ = c.Process.Kill()
		_ = c.Wait()
		p.t.Fatalf("not ready: %s, %v\n%s", line, err, log.String())
	}
	p.cmd, p.addr = c, strings.TrimSuffix(strings.TrimPrefix(ready.BaseURL, "http://"), "/v1")
}

// end ends it with a signal, and waits until it is gone.
func (p *process) end(s os.Signal) {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(s)
	_ = p.cmd.Wait() // how it ended is no matter here
	p.cmd = nil
}

// distribute gives each connection to one of the processes that is ready, in turn.
func distribute(t *testing.T, to ...*process) (addr string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		running.Wait()
	})
	var turn atomic.Uint64
	for _, p := range to {
		p.begin()
	}
	addrs := make([]string, len(to))
	for i, p := range to {
		addrs[i] = p.addr
	}
	running.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer client.Close()
				first := turn.Add(1)
				for i := range addrs {
					at := int(first+uint64(i)) % len(addrs)
					if !ready(addrs[at]) {
						continue
					}
					gateway, err := net.DialTimeout("tcp", addrs[at], time.Second)
					if err != nil {
						continue
					}
					to[at].served.Add(1)
					relay(client.(*net.TCPConn), gateway.(*net.TCPConn))
					return
				}
			})
		}
	})
	return ln.Addr().String()
}

// ready asks a gateway as whatever stands before it does.
func ready(addr string) bool {
	nc, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(nc, "GET /readyz HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
	line, err := bufio.NewReader(nc).ReadString('\n')
	return err == nil && strings.Contains(line, " 200 ")
}

// relay carries bytes in both directions, and how each ends: a reset stays one.
func relay(client, gateway *net.TCPConn) {
	defer gateway.Close()
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(gateway, client)
		_ = gateway.CloseWrite()
	})
	if _, err := io.Copy(client, gateway); err != nil {
		_ = client.SetLinger(0)
	}
	client.Close()
	up.Wait()
}
