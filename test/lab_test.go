package test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/api"
	anthropicapi "headworks/internal/api/anthropic"
	openaiapi "headworks/internal/api/openai"
	"headworks/internal/engine"
	"headworks/internal/engine/anthropic"
	"headworks/internal/engine/openai"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/gateway"
	"headworks/internal/record"
	"headworks/internal/tenant"
	"headworks/internal/wire"
)

// lab is a request's whole way, without the process around it: clients and
// upstreams on raw TCP, and between them the front, the gateway and the engines.
//
// Its models are chat and messages, served in the dialect of that name by the
// broken upstream, and chat+spare and messages+spare, which fall back to one that
// works. With the prefix quick/ their timeouts are short, but not so short that the one
// that works would miss them on a busy machine.
type lab struct {
	addr    string
	server  *wire.Server
	gateway *gateway.Gateway
	engines []*engine.HTTP
	charged atomic.Int64

	mu      sync.Mutex
	kept    *sync.Cond
	records map[string]record.Record
}

const quick = 250 * time.Millisecond

// newLab builds one; broken and working answer the requests of the upstreams.
func newLab(t *testing.T, broken, working func(*asked) bool) *lab {
	t.Helper()
	l := &lab{records: map[string]record.Record{}}
	l.kept = sync.NewCond(&l.mu)
	s := &fleet.Snapshot{}
	w := &gateway.World{Fleet: s, Region: "here", Config: "c0ffee"}
	for i, script := range []func(*asked) bool{broken, broken, working, working} {
		id := fleet.ReplicaID(i)
		pool := []fleet.Replica{{ID: id, Upstream: i, Name: fmt.Sprint("r", i), URL: "http://" + upstream(t, script)}}
		build := openai.New
		if i%2 == 1 {
			build = anthropic.New
		}
		e, err := build(pool, []string{"sk-upstream"})
		if err != nil {
			t.Fatal(err)
		}
		s.Upstreams = append(s.Upstreams, fleet.Upstream{Name: fmt.Sprint("up", i), Replicas: pool})
		w.Engines = append(w.Engines, e)
		l.engines = append(l.engines, e)
	}
	s.Replicas = len(s.Upstreams)
	target := func(up int) fleet.Target { return fleet.Target{Upstream: up, Model: "served"} }
	short := func(d time.Duration) fleet.Timeouts {
		return fleet.Timeouts{FirstToken: d, FirstTokenSet: true, Idle: d, Total: time.Minute}
	}
	long := fleet.Timeouts{FirstToken: time.Minute, Idle: time.Minute, Total: 2 * time.Minute}
	for _, times := range []struct {
		prefix        string
		alone, spared fleet.Timeouts
	}{
		{"", long, long},
		{"quick/", short(quick), short(8 * quick)},
	} {
		for up, name := range []string{"chat", "messages"} {
			s.Models = append(s.Models,
				fleet.Model{Name: times.prefix + name, Targets: []fleet.Target{target(up)}, Timeouts: times.alone},
				fleet.Model{Name: times.prefix + name + "+spare", Targets: []fleet.Target{target(up), target(up + 2)}, Timeouts: times.spared},
			)
		}
	}
	policy := flow.NewPolicy(admit.Limits{})
	policy.Rules.RetryShare, policy.Rules.RetryFloor = 1, 1<<20
	// Nobody is put out: each cut meets its own upstream first.
	policy.Health.Rules.Row, policy.Health.Rules.ThinRow, policy.Health.Rules.Enough = 1<<30, 1<<30, 1<<30
	l.gateway = gateway.New(policy, l, l.keep, nil)
	l.gateway.Publish(w)
	health := &api.Health{Version: "test"}
	health.Ready("c0ffee")
	limits := func() api.Limits { return api.Limits{Body: 1 << 20} }
	l.server = wire.NewServer(api.NewFront(l.gateway, anyone{}, health, limits, openaiapi.Routes(), anthropicapi.Routes()).Serve, wire.Limits{})
	l.server.Panicked = func(cause any, stack []byte) { t.Errorf("a panic: %v\n%s", cause, stack) }
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- l.server.Serve(ln) }()
	t.Cleanup(func() {
		l.server.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
		for _, e := range l.engines {
			e.Close()
		}
		l.settled(t)
	})
	return l
}

// settled fails if anything is still taken.
func (l *lab) settled(t *testing.T) {
	t.Helper()
	l.gateway.Policy(func(p *flow.Policy) {
		for i := range l.engines {
			if n := p.Load(fleet.ReplicaID(i)); n != (flow.Load{}) {
				t.Errorf("replica %d still counts %+v", i, n)
			}
		}
		if n := p.Gate.InFlight() + p.Gate.Waiting() + p.Retries(); n != 0 {
			t.Errorf("%d places are still taken", n)
		}
	})
	for i, e := range l.engines {
		if n := e.Connections(); n != 0 {
			t.Errorf("%d connections to upstream %d are left open", n, i)
		}
	}
}

// Charge implements gateway.Ledger.
func (l *lab) Charge(*record.Record) error {
	l.charged.Add(1)
	return nil
}

func (l *lab) keep(r *record.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records[r.ID.String()] = *r
	l.kept.Broadcast()
}

// record returns the record of a request. It is kept after the client has the end
// of its answer, so it may have to be waited for.
func (l *lab) record(id string) record.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if r, ok := l.records[id]; ok {
			return r
		}
		l.kept.Wait()
	}
}

// anyone is a caller who may do all.
type anyone struct{}

// Resolve implements api.Keys.
func (anyone) Resolve([]byte, time.Time) (*tenant.Caller, error) {
	return &tenant.Caller{Key: "k", KeyID: "k1", Tenant: "acme"}, nil
}

// asked is a request as an upstream sees it.
type asked struct {
	nc     net.Conn
	br     *bufio.Reader
	header textproto.MIMEHeader
	body   string
}

// upstream starts a server on raw TCP. The script answers a request and says
// whether the connection goes on.
func upstream(t *testing.T, script func(*asked) bool) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer nc.Close()
				br := bufio.NewReader(nc)
				for {
					r, err := readAsked(nc, br)
					if err != nil || !script(r) {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		running.Wait()
	})
	return ln.Addr().String()
}

func readAsked(nc net.Conn, br *bufio.Reader) (*asked, error) {
	tr := textproto.NewReader(br)
	if _, err := tr.ReadLine(); err != nil {
		return nil, err
	}
	h, err := tr.ReadMIMEHeader()
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(h.Get("Content-Length"))
	if err != nil {
		return nil, err
	}
	body := make([]byte, n)
	_, err = io.ReadFull(br, body)
	return &asked{nc: nc, br: br, header: h, body: string(body)}, err
}

func (r *asked) send(s string) bool {
	_, err := io.WriteString(r.nc, s)
	return err == nil
}

// untilGone waits until Headworks closes the connection.
func (r *asked) untilGone() bool {
	_, _ = io.Copy(io.Discard, r.br) // any end will do
	return false
}

func (r *asked) reset() bool {
	_ = r.nc.(*net.TCPConn).SetLinger(0) // fails only on a closed connection
	return false
}

func chunks(pieces ...string) string {
	var b strings.Builder
	for _, p := range pieces {
		if p != "" {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", len(p), p)
		}
	}
	return b.String()
}

const (
	sseHead   = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	chunksEnd = "0\r\n\r\n"
)

func jsonAnswer(status int, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d Whatever\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
}

// client is one connection to the front, and the next one where it ends.
type client struct {
	addr string
	nc   net.Conn
	br   *bufio.Reader
}

// reply is what a client got.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // of the transfer: a cut
}

func (r *reply) id() string { return r.header.Get("X-Request-Id") }

// surface is how clients of a dialect ask.
type surface struct {
	name, path string
	body       func(model, word string, stream bool, n int) string
}

var surfaces = []surface{
	{"openai", "/v1/chat/completions", func(model, word string, stream bool, n int) string {
		options := ""
		if stream {
			options = `"stream_options":{"include_usage":true},`
		}
		return fmt.Sprintf(`{"model":%q,"stream":%v,"n":%d,%s"messages":[{"role":"user","content":%q}]}`, model, stream, n, options, word)
	}},
	{"anthropic", "/v1/messages", func(model, word string, stream bool, _ int) string {
		return fmt.Sprintf(`{"model":%q,"stream":%v,"max_tokens":64,"messages":[{"role":"user","content":%q}]}`, model, stream, word)
	}},
}

// post sends a request.
func (c *client) post(path, body string) error {
	if c.nc == nil {
		nc, err := net.Dial("tcp", c.addr)
		if err != nil {
			return err
		}
		c.nc, c.br = nc, bufio.NewReader(nc)
	}
	_, err := fmt.Fprintf(c.nc, "POST %s HTTP/1.1\r\nHost: headworks\r\nAuthorization: Bearer hw\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	return err
}

// do sends a request and reads its whole answer.
func (c *client) do(path, body string) reply {
	if err := c.post(path, body); err != nil {
		c.close()
		return reply{err: err}
	}
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil {
		c.close()
		return reply{err: err}
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(resp.Body)
	if err != nil || resp.Close {
		c.close()
	}
	return reply{status: resp.StatusCode, header: resp.Header, body: b.String(), err: err}
}

func (c *client) close() {
	if c.nc != nil {
		c.nc.Close()
		c.nc = nil
	}
}
