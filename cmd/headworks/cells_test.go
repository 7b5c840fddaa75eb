package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// resolver finds a name as a machine's does: it asks servers one after the other and
// keeps an answer for as long as that holds.
type resolver struct {
	servers []string
	addr    string
	until   time.Time
}

func (r *resolver) lookUp(t *testing.T, name string) string {
	t.Helper()
	if time.Now().Before(r.until) {
		return r.addr
	}
	for _, server := range r.servers {
		a, _, err := (&dns.Client{Timeout: time.Second}).Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), server)
		if err != nil || len(a.Answer) == 0 {
			continue
		}
		found := a.Answer[0].(*dns.A)
		r.addr, r.until = found.A.String(), time.Now().Add(time.Duration(found.Hdr.Ttl)*time.Second)
		return r.addr
	}
	t.Errorf("%s is not found", name)
	return r.addr
}

// freePort returns a port that nobody has on the addresses of the cells.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		one, err := net.Listen("tcp", "127.0.0.2:0")
		if err != nil {
			t.Fatal(err)
		}
		port := one.Addr().(*net.TCPAddr).Port
		two, err := net.Listen("tcp", fmt.Sprintf("127.0.0.3:%d", port))
		one.Close()
		if err == nil {
			two.Close()
			return port
		}
	}
	t.Fatal("no port is free on both addresses")
	return 0
}

// TestHomeCellIsKilled: a client that knows one name asks its home cell, the other one
// within 10 s of its home cell's end, and its home cell again once that is back.
func TestHomeCellIsKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the cells have addresses of 127.0.0.0/8 of their own, which only Linux has without being told")
	}
	port, questions := freePort(t), freePort(t)
	regions := []string{"eu", "us"}
	hosts := map[string]string{"eu": "127.0.0.2", "us": "127.0.0.3"}
	cells := map[string]*process{}
	var servers []string
	for i, region := range regions {
		engine := httptest.NewServer(http.HandlerFunc(speak))
		defer engine.Close()
		other := regions[1-i]
		p := newProcess(t, fmt.Sprintf(`
region: %[1]s
drain_delay: 0s
upstreams: {lab: {kind: openai, urls: [%[2]s], key: none-of-your-business, region: %[1]s}}
models: {m: {targets: [{upstream: lab, model: any, price: {input: 1, output: 2}}]}}
keys: [{name: tests, secret: a-secret-of-this-test}]
peers: {secret: another-secret-of-this-test}
cells: {%[3]s: {urls: ["http://%[4]s:%[5]d"]}}
dns: {listen: "%[6]s:%[7]d", name: llm.example.com, cells: {eu: [%[8]s], us: [%[9]s]}}
places: {eu: [127.0.0.0/8]}
distances: {eu: {us: 80ms}}
`, region, engine.URL, other, hosts[other], port, hosts[region], questions, hosts["eu"], hosts["us"]))
		p.addr = fmt.Sprintf("%s:%d", hosts[region], port)
		p.begin()
		cells[region] = p
		servers = append(servers, fmt.Sprintf("%s:%d", hosts[region], questions))
	}

	r := &resolver{servers: servers}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return (&net.Dialer{Timeout: time.Second}).DialContext(ctx, network, net.JoinHostPort(r.lookUp(t, "llm.example.com."), port))
	}}
	l := &load{url: fmt.Sprintf("http://llm.example.com:%d/v1/chat/completions", port)}
	// asked asks until a cell has answered so many times in a row.
	asked := func(host string, times int) (failed int) {
		t.Helper()
		for end, row := time.Now().Add(time.Minute), 0; row < times; {
			_, whole := l.ask(t, transport)
			switch {
			case !whole:
				failed, row = failed+1, 0
			case r.addr == host:
				row++
			default:
				row = 0
			}
			if time.Now().After(end) {
				t.Fatalf("%s is not asked", host)
			}
			if row == 0 {
				time.Sleep(20 * time.Millisecond)
			}
		}
		return failed
	}
	asked(hosts["eu"], 5)
	began := time.Now()
	cells["eu"].end(os.Kill)
	failed := asked(hosts["us"], 1)
	took := time.Since(began)
	t.Logf("new requests succeed %v after the home cell's end; %d failed until then", took.Round(10*time.Millisecond), failed)
	if took > 10*time.Second {
		t.Errorf("new requests succeed only %v after the home cell's end", took)
	}
	if failed := asked(hosts["us"], 20); failed > 0 {
		t.Errorf("%d of 20 requests failed at the cell that is up", failed)
	}
	cells["eu"].begin()
	if failed := asked(hosts["eu"], 5); failed > 0 {
		t.Errorf("%d requests failed while the home cell came back", failed)
	}
}
