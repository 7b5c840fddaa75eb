package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

const callersKey = "a-secret-of-the-callers"

// The hosts: three cells, and callers who know the one name.
const (
	eu = iota
	us
	ap
	world
)

var regions = []string{eu: "eu", us: "us", ap: "ap"}

// part is a process that plays a part on a host.
type part struct {
	cmd *exec.Cmd
	in  io.Closer // the part ends with it; nil: it ends by a signal
	out bytes.Buffer
	log log
}

// log keeps what a process logs.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// troupe is all who play.
type troupe struct {
	ctx     context.Context
	options *options
	net     *network
	dir     string
	self    string
	parts   []*part
}

// begin starts a part of this program on a host.
func (t *troupe) begin(at *host, role string, env ...string) (*part, error) {
	p := &part{cmd: at.command(t.ctx, t.self)}
	p.cmd.Env = append(append(os.Environ(), roleVariable+"="+role), env...)
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.in = in
	return p, t.start(p)
}

func (t *troupe) start(p *part) error {
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	t.parts = append(t.parts, p)
	return nil
}

// end ends a part and waits for it.
func (p *part) end() error {
	if p.cmd.ProcessState != nil {
		return nil
	}
	if p.in != nil {
		p.in.Close()
	} else {
		_ = p.cmd.Process.Signal(syscall.SIGKILL) // it may be gone
	}
	return p.cmd.Wait()
}

func (t *troupe) close() {
	for _, p := range t.parts {
		_ = p.end() // how it ends is no matter any more
	}
	t.net.close()
	_ = os.RemoveAll(t.dir) // it is the system's to clean, at the latest
}

// gateway starts the gateway of a region.
func (t *troupe) gateway(i int) (*part, error) {
	at := t.net.host(i)
	var cells, name strings.Builder
	for k, region := range regions {
		if k != i {
			fmt.Fprintf(&cells, "  %s: {urls: [\"http://%s:7300\"]}\n", region, t.net.host(k).addr)
		}
		fmt.Fprintf(&name, "    %s: [%s]\n", region, t.net.host(k).addr)
	}
	file := fmt.Sprintf(`
region: %[1]s
listen: 0.0.0.0:7300
data: %[2]s
upstreams:
  lab: {kind: openai, urls: ["http://127.0.0.1:9001", "http://127.0.0.1:9002"], key: none-of-your-business, region: %[1]s}
models:
  m: {targets: [{upstream: lab, model: any, price: {input: 1, output: 2}}]}
keys: [{name: callers, secret: %[3]s}]
peers: {secret: a-secret-of-all-cells}
cells:
%[4]sdns:
  listen: %[5]s:53
  name: llm.example.com
  cells:
%[6]splaces: {us: [%[7]s/32]}
`, regions[i], filepath.Join(t.dir, regions[i]), callersKey, cells.String(), at.addr, name.String(), t.net.host(world).addr)
	path := filepath.Join(t.dir, regions[i]+".yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		return nil, err
	}
	p := &part{cmd: at.command(t.ctx, t.options.Headworks, "serve", "--config", path)}
	return p, t.start(p)
}

func (t *troupe) engines(i int) ([]*part, error) {
	var all []*part
	for _, port := range []string{"9001", "9002"} {
		p, err := t.begin(t.net.host(i), "engine", "REGIONS_LISTEN=127.0.0.1:"+port)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// run plays the whole piece and returns what became of the requests.
func run(ctx context.Context, o *options, to io.Writer) (*report, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if o.Headworks, err = filepath.Abs(o.Headworks); err != nil {
		return nil, err
	}
	if _, err := os.Stat(o.Headworks); err != nil {
		return nil, fmt.Errorf("%w; build it, or name it with -headworks", err)
	}
	net, err := newNetwork(ctx, o.Trip, append(regions, "world")...)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "regions")
	if err != nil {
		net.close()
		return nil, err
	}
	t := &troupe{ctx: ctx, options: o, net: net, dir: dir, self: self}
	defer t.close()

	var gateways []*part
	var engines [][]*part
	for i := range regions {
		e, err := t.engines(i)
		if err != nil {
			return nil, err
		}
		g, err := t.gateway(i)
		if err != nil {
			return nil, err
		}
		engines, gateways = append(engines, e), append(gateways, g)
	}
	up := func(n int) func() bool {
		return func() bool {
			for _, g := range gateways {
				if strings.Count(g.log.String(), `a cell is up`) < n {
					return false
				}
			}
			return true
		}
	}
	if err := t.wait(up(2)); err != nil {
		return nil, fmt.Errorf("the cells do not find each other: %w\n%s", err, gateways[eu].log.String())
	}

	var asking []*part
	env := func(more ...string) []string { return append(more, fmt.Sprint("REGIONS_RATE=", o.Rate)) }
	for i := range regions {
		p, err := t.begin(net.host(i), "callers", env("REGIONS_URL=http://"+net.host(i).addr+":7300/v1/chat/completions")...)
		if err != nil {
			return nil, err
		}
		asking = append(asking, p)
	}
	servers := strings.Join([]string{net.host(us).addr, net.host(eu).addr, net.host(ap).addr}, ",")
	roaming, err := t.begin(net.host(world), "callers", env("REGIONS_URL=http://llm.example.com:7300/v1/chat/completions", "REGIONS_DNS="+servers)...)
	if err != nil {
		return nil, err
	}
	asking = append(asking, roaming)

	r := &report{Options: *o}
	act := func(words string, then time.Duration) error {
		r.Phases = append(r.Phases, phase{Name: words, From: time.Now()})
		fmt.Fprintln(to, "regions:", words)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(then):
			return nil
		}
	}
	if err := act("all is well", o.Calm); err != nil {
		return nil, err
	}
	for _, e := range engines[eu] {
		_ = e.cmd.Process.Kill() // it runs
		_ = e.cmd.Wait()
	}
	if err := act("the engines of eu are killed", o.Calm); err != nil {
		return nil, err
	}
	net.host(us).cut.Store(true)
	if err := act("us is cut off", o.Cut); err != nil {
		return nil, err
	}
	net.host(us).cut.Store(false)
	if err := act("us is healed", 3*o.Calm); err != nil {
		return nil, err
	}
	if _, err := t.engines(eu); err != nil {
		return nil, err
	}
	if err := act("the engines of eu are back", 3*o.Calm); err != nil {
		return nil, err
	}
	for i, p := range asking {
		if err := p.end(); err != nil {
			return nil, fmt.Errorf("callers: %w: %s", err, p.log.String())
		}
		var calls []Call
		if err := json.Unmarshal(p.out.Bytes(), &calls); err != nil {
			return nil, fmt.Errorf("what became of the requests cannot be read: %w", err)
		}
		home := named
		if i < len(regions) {
			home = regions[i]
		}
		r.add(home, calls)
	}
	for i, region := range regions {
		if i != us {
			r.Turns = append(r.Turns, turns(region, gateways[i].log.String(), r.Phases)...)
		}
	}
	return r, nil
}

// wait waits until so, for a while.
func (t *troupe) wait(so func() bool) error {
	for end := time.Now().Add(30 * time.Second); !so(); {
		if time.Now().After(end) {
			return errors.New("not within half a minute")
		}
		select {
		case <-t.ctx.Done():
			return t.ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}
