package peer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headworks/internal/admit"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/tenant"
)

const secret = "a secret of the cell"

// knows is a gateway with replicas at the given places, whose ids are in that order.
type knows struct {
	mu     sync.Mutex
	policy *flow.Policy
	fleet  *fleet.Snapshot
	sent   uint64
}

func gatewayOf(urls ...string) *knows {
	s := &fleet.Snapshot{
		Replicas: len(urls), Foresees: true, Upstreams: []fleet.Upstream{{Name: "pool"}},
		Models: []fleet.Model{{Name: "m", Targets: []fleet.Target{{Model: "m"}}}},
	}
	for i, u := range urls {
		s.Upstreams[0].Replicas = append(s.Upstreams[0].Replicas, fleet.Replica{ID: fleet.ReplicaID(i), URL: u})
	}
	k := &knows{policy: flow.NewPolicy(admit.Limits{InFlight: 1 << 20}), fleet: s}
	k.policy.Share(true)
	return k
}

func (k *knows) Policy(f func(*flow.Policy)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(k.policy)
}

func (k *knows) Fleet() *fleet.Snapshot { return k.fleet }

// send sends a request with a prompt of such blocks and returns where it went, and
// how many of its tokens are thought to be there.
func (k *knows) send(blocks ...uint64) (url string, hit int) {
	var t flow.Ticket
	k.Policy(func(p *flow.Policy) {
		k.sent++
		p.Begin(&t, &inference.Request{ID: inference.ID{byte(k.sent)}, Model: "m", Input: 64 * len(blocks), Blocks: blocks}, &tenant.Caller{}, nil)
		if a := p.Step(&t, flow.Event{Kind: flow.Arrived}, k.fleet, time.Now()); a.Kind == flow.Send {
			url = a.Replica.URL
		}
	})
	return url, t.Hit
}

func exchange(k *knows, process uint64) *Exchange {
	return New(Options{Gateway: k, Process: process, Rules: Rules{Secret: secret}})
}

// news returns the messages that x would send now.
func news(x *Exchange) [][]byte {
	k := x.options.Gateway.(*knows)
	k.Policy(func(p *flow.Policy) { p.Tell(&x.news, k.fleet) })
	messages, _ := x.write(k.fleet, time.Now())
	return messages
}

func post(x *Exchange, m []byte, proof string) int {
	r := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(m))
	r.Header.Set("Authorization", proof)
	w := httptest.NewRecorder()
	x.ServeHTTP(w, r)
	return w.Code
}

func prompt(n int) []uint64 {
	blocks := make([]uint64, n)
	for i := range blocks {
		blocks[i] = rand.Uint64()
	}
	return blocks
}

// TestTold: what one gateway sent is known to the other, whose replicas have other
// ids.
func TestTold(t *testing.T) {
	a, b := gatewayOf("http://one:1", "http://two:1", "http://three:1"), gatewayOf("http://three:1", "http://new:1", "http://two:1", "http://one:1")
	from, to := exchange(a, 1), exchange(b, 2)
	blocks := prompt(50)
	went, _ := a.send(blocks...)
	for _, m := range news(from) {
		if got := post(to, m, seal(secret, m)); got != http.StatusNoContent {
			t.Fatalf("answered %d", got)
		}
	}
	at, hit := b.send(blocks...)
	if at != went || hit != 50*64 {
		t.Errorf("went to %s with %d tokens there, and before to %s", at, hit, went)
	}
	if c := to.Counts(); c.Learned != 50 {
		t.Errorf("%+v", c)
	}
}

// TestManyBlocks: news longer than a message go in several, each within the bound.
func TestManyBlocks(t *testing.T) {
	a, b := gatewayOf("http://one:1"), gatewayOf("http://one:1")
	from, to := exchange(a, 1), exchange(b, 2)
	x := from.options.Gateway.(*knows)
	x.Policy(func(p *flow.Policy) { p.Tell(&from.news, x.fleet) })
	const many = 150_000
	from.news.InFlight = []flow.InFlight{{Replica: 0, Load: flow.Load{Requests: 3}}}
	for range many {
		from.news.Holds = append(from.news.Holds, flow.Hold{Replica: 0, Key: rand.Uint64() | 1})
	}
	messages, told := from.write(x.fleet, time.Now())
	if len(messages) < 2 || told != many {
		t.Fatalf("%d messages of %d blocks", len(messages), told)
	}
	for _, m := range messages {
		if len(m) > MaxMessage {
			t.Errorf("a message of %d bytes", len(m))
		}
		if got := post(to, m, seal(secret, m)); got != http.StatusNoContent {
			t.Fatalf("answered %d", got)
		}
	}
	if c := to.Counts(); c.Learned != many {
		t.Errorf("%+v", c)
	}
}

// TestRefused: who does not prove himself, says what was said, or says it badly, is
// not listened to.
func TestRefused(t *testing.T) {
	a := gatewayOf("http://one:1")
	from := exchange(a, 1)
	a.send(prompt(3)...)
	m := news(from)[0]
	old := message{process: 1, number: 1, sent: time.Now().Add(-time.Hour)}
	early := message{process: 1, number: 1, sent: time.Now().Add(time.Hour)}
	for _, c := range []struct {
		name    string
		process uint64
		bytes   []byte
		proof   string
		want    int
	}{
		{"good", 2, m, seal(secret, m), http.StatusNoContent},
		{"no proof", 2, m, "", http.StatusUnauthorized},
		{"another secret", 2, m, seal("another secret", m), http.StatusUnauthorized},
		{"another message", 2, append(slices.Clone(m), 0), seal(secret, m), http.StatusUnauthorized},
		{"more than a message", 2, append(slices.Clone(m), 0), seal(secret, append(slices.Clone(m), 0)), http.StatusBadRequest},
		{"another version", 2, []byte("HWpeer99 and more"), seal(secret, []byte("HWpeer99 and more")), http.StatusBadRequest},
		{"too old", 2, old.append(nil), seal(secret, old.append(nil)), http.StatusConflict},
		{"too early", 2, early.append(nil), seal(secret, early.append(nil)), http.StatusConflict},
		{"its own", 1, m, seal(secret, m), http.StatusMisdirectedRequest},
		{"nothing", 2, nil, seal(secret, nil), http.StatusRequestEntityTooLarge},
		{"too long", 2, make([]byte, MaxMessage+1), "", http.StatusRequestEntityTooLarge},
	} {
		x := exchange(gatewayOf("http://one:1"), c.process)
		if got := post(x, c.bytes, c.proof); got != c.want {
			t.Errorf("%s: answered %d, want %d", c.name, got, c.want)
		}
	}
	x := exchange(gatewayOf("http://one:1"), 2)
	post(x, m, seal(secret, m))
	if got := post(x, m, seal(secret, m)); got != http.StatusConflict {
		t.Errorf("said again: answered %d", got)
	}
	open := New(Options{Gateway: gatewayOf("http://one:1"), Process: 3}) // for certificates alone
	if got := post(open, m, seal("", m)); got != http.StatusUnauthorized {
		t.Errorf("without a secret and a certificate: answered %d", got)
	}
	for path, want := range map[string]int{"/": http.StatusNotFound, Path: http.StatusMethodNotAllowed} {
		w := httptest.NewRecorder()
		x.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != want {
			t.Errorf("GET %s: answered %d", path, w.Code)
		}
	}
}

// TestStrangers: those who prove nothing and send slowly do not keep a gateway at the same
// address from being heard, and are not waited for.
func TestStrangers(t *testing.T) {
	a := gatewayOf("http://one:1")
	from := exchange(a, 1)
	a.send(prompt(3)...)
	m := news(from)[0]
	x := exchange(gatewayOf("http://one:1"), 2)
	server := httptest.NewServer(x)
	defer server.Close()
	address := server.Listener.Addr().String()
	reading := func() int {
		x.ear.mu.Lock()
		defer x.ear.mu.Unlock()
		n := 0
		for _, of := range x.ear.unknown {
			n += of
		}
		return n
	}
	var slow []net.Conn
	for range 3 * atOnce {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "POST "+Path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nHW"); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
	}
	until(t, func() bool { return x.Counts().Refused >= uint64(len(slow)-fromOne) })
	if n := reading(); n > fromOne {
		t.Errorf("%d messages of one address are read", n)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	l := &link{of: from, ctx: ctx, to: peer{addr: address}, client: server.Client()}
	if status, err := l.post(m); err != nil || status != http.StatusNoContent {
		t.Errorf("a gateway among strangers: %d, %v", status, err)
	}
	until(t, func() bool { return reading() == 0 && x.Counts().Refused == uint64(len(slow)) })
}

// TestHead: the head of a message proves who sent it for a short time, and of that
// message alone.
func TestHead(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	good := head(secret, "proof", now)
	for name, ok := range map[string]bool{
		"good":              headed(secret, "proof", good, now.Add(skew)),
		"old":               !headed(secret, "proof", good, now.Add(skew+time.Second)),
		"early":             !headed(secret, "proof", good, now.Add(-skew-time.Second)),
		"of another":        !headed(secret, "other", good, now),
		"another secret":    !headed("another secret", "proof", good, now),
		"no secret":         !headed("", "proof", head("", "proof", now), now),
		"nothing":           !headed(secret, "proof", "", now),
		"no time":           !headed(secret, "proof", "x "+good, now),
		"another time":      !headed(secret, "proof", "1800000001"+good[10:], now),
		"written otherwise": !headed(secret, "proof", "+"+good, now),
	} {
		if !ok {
			t.Error(name)
		}
	}
}

// TestMessage: what is written is read back.
func TestMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &message{process: rapid.Uint64().Draw(t, "process"), number: rapid.Uint64().Draw(t, "number"), sent: time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, "sent"))}
		figure := rapid.IntRange(0, maxFigure)
		for range rapid.IntRange(0, 5).Draw(t, "replicas") {
			m.replicas = append(m.replicas, replica{
				name{rapid.String().Draw(t, "url"), rapid.IntRange(0, maxKey).Draw(t, "key")},
				flow.Load{Requests: figure.Draw(t, "requests"), Prefill: figure.Draw(t, "prefill"), KV: figure.Draw(t, "kv")},
			})
		}
		if n := len(m.replicas); n > 0 {
			place := rapid.IntRange(0, n-1)
			m.given = rapid.SliceOfN(place, 1, 5).Draw(t, "given")
			for range rapid.IntRange(0, 4).Draw(t, "runs") {
				m.runs = append(m.runs, run{place.Draw(t, "of"), rapid.SliceOf(rapid.Uint64()).Draw(t, "keys")})
			}
		}
		b := m.append(nil)
		got, err := parse(b)
		if err != nil || !bytes.Equal(got.append(nil), b) {
			t.Fatalf("%+v became %+v, %v", m, got, err)
		}
		for i := range got.runs {
			if len(got.runs[i].keys) == 0 && len(m.runs[i].keys) == 0 {
				got.runs[i].keys = m.runs[i].keys
			}
		}
		if !reflect.DeepEqual(m, got) {
			t.Fatalf("%+v became %+v", m, got)
		}
		if n := rapid.IntRange(0, len(b)-1).Draw(t, "cut"); n < len(b) {
			if _, err := parse(b[:n]); err == nil {
				t.Fatalf("the first %d of %d bytes are a message", n, len(b))
			}
		}
	})
}

// FuzzParse: bytes are a message that is written as they are, or none.
func FuzzParse(f *testing.F) {
	m := message{process: 1, number: 2, sent: time.UnixMilli(3), replicas: []replica{{name{"http://a", 1}, flow.Load{Requests: 1, Prefill: 300, KV: 70_000}}}, given: []int{0}, runs: []run{{0, []uint64{1, 2}}}}
	f.Add(m.append(nil))
	f.Add((&message{}).append(nil))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			return
		}
		if again := m.append(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x is read and written as %x", b, again)
		}
	})
}

// names is a Resolver of what a test knows.
type names struct {
	addrs map[string][]string
	srv   map[string][]*net.SRV
}

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, a := range n.addrs[host] {
		all = append(all, netip.MustParseAddr(a))
	}
	if all == nil {
		return nil, errors.New("no such host")
	}
	return all, nil
}

func (n names) LookupSRV(_ context.Context, _, _, name string) (string, []*net.SRV, error) {
	if n.srv[name] == nil {
		return "", nil, errors.New("no such name")
	}
	return name, n.srv[name], nil
}

func TestLookUp(t *testing.T) {
	r := names{
		addrs: map[string][]string{"gw": {"10.0.0.1", "::ffff:10.0.0.2", "fd00::3"}, "one": {"10.0.0.9"}},
		srv:   map[string][]*net.SRV{"_hw._tcp.cell": {{Target: "one.", Port: 7400}, {Target: "gw", Port: 7401}}},
	}
	for host, want := range map[string][]peer{
		"gw:7302":        {{"10.0.0.1:7302", "gw"}, {"10.0.0.2:7302", "gw"}, {"[fd00::3]:7302", "gw"}},
		"10.1.2.3:1":     {{"10.1.2.3:1", "10.1.2.3"}},
		"_hw._tcp.cell":  {{"10.0.0.9:7400", "one"}, {"10.0.0.1:7401", "gw"}, {"10.0.0.2:7401", "gw"}, {"[fd00::3]:7401", "gw"}},
		"missing:1":      nil,
		"_hw._tcp.other": nil,
		"gw":             nil,
	} {
		got, err := lookUp(t.Context(), r, host)
		if !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%s: %v, %v", host, got, err)
		}
	}
}

// TestRun: three gateways over sockets, found by one name that leads to all of them,
// themselves included. One does not answer, and nobody waits for it.
func TestRun(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	hosts := []string{mute.Addr().String()}
	var all []*Exchange
	var known []*knows
	for i := range 3 {
		k := gatewayOf("http://one:1", "http://two:1", "http://three:1")
		x := exchange(k, uint64(i+1))
		server := httptest.NewServer(x)
		defer server.Close()
		hosts = append(hosts, server.Listener.Addr().String())
		all, known = append(all, x), append(known, k)
	}
	for _, x := range all {
		x.Use(Rules{Hosts: hosts, Interval: 10 * time.Millisecond, Secret: secret})
		running.Go(func() { x.Run(ctx) })
	}
	states := func() (n map[string]int) {
		n = map[string]int{}
		for _, x := range all {
			for _, l := range x.Links() {
				n[l.State]++
			}
		}
		return n
	}
	until(t, func() bool { n := states(); return n[Up] == 6 && n[Self] == 3 && n[Down] == 3 })
	blocks := prompt(40)
	went, _ := known[0].send(blocks...)
	until(t, func() bool { return all[1].Counts().Learned >= 40 && all[2].Counts().Learned >= 40 })
	for _, k := range known[1:] {
		if at, hit := k.send(blocks...); at != went || hit != 40*64 {
			t.Errorf("went to %s with %d tokens there, and before to %s", at, hit, went)
		}
	}
	all[0].Use(Rules{Interval: 10 * time.Millisecond, Secret: secret})
	until(t, func() bool { return len(all[0].Links()) == 0 })
}

func until(t *testing.T, so func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come to that")
		}
	}
}

// TestGive: a peer that takes nothing costs its messages, and no wait.
func TestGive(t *testing.T) {
	x := exchange(gatewayOf("http://one:1"), 1)
	l := newLink(t.Context(), x, peer{"127.0.0.1:1", "127.0.0.1"})
	for range 100 {
		l.give([]byte("x"))
	}
	if l.status.Lost != 100-queued {
		t.Errorf("%d lost", l.status.Lost)
	}
}
