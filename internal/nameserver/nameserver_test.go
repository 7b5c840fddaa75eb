package nameserver

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"headworks/internal/place"
)

// town is a directory in which everybody within a range is told of the same addresses.
type town map[netip.Prefix][]netip.Addr

func (town) Zone() Zone {
	return Zone{Name: "llm.example.com", Servers: []string{"ns1.example.com", "ns2.example.com"}, TTL: 5 * time.Second}
}

func (t town) Nearest(at netip.Addr, of Family) ([]netip.Addr, bool) {
	for p, addrs := range t {
		if p.Contains(at) {
			return slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return !of.has(a) }), len(t) > 1
		}
	}
	return nil, len(t) > 1
}

func addrs(all ...string) (parsed []netip.Addr) {
	for _, a := range all {
		parsed = append(parsed, netip.MustParseAddr(a))
	}
	return parsed
}

var (
	europe  = netip.MustParsePrefix("192.0.2.0/24")
	america = netip.MustParsePrefix("2001:db8::/32")
	here    = netip.MustParsePrefix("127.0.0.0/8")
	world   = town{europe: addrs("10.1.0.1", "10.1.0.2"), america: addrs("10.2.0.1", "fd00::2"), here: addrs("10.3.0.1")}
)

func question(name string, kind uint16) *dns.Msg { return new(dns.Msg).SetQuestion(name, kind) }

// from adds the subnet of a client.
func from(q *dns.Msg, subnet string) *dns.Msg {
	p := netip.MustParsePrefix(subnet)
	o := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice()}
	if p.Addr().Is6() {
		o.Family = 2
	}
	q.SetEdns0(4096, false)
	q.IsEdns0().Option = append(q.IsEdns0().Option, o)
	return q
}

// said is an answer in short: its code, who has the last word, and its records.
func said(a *dns.Msg) string {
	var all []string
	for _, rr := range append(slices.Clone(a.Answer), a.Ns...) {
		h := rr.Header()
		value := strings.TrimPrefix(rr.String(), h.String())
		all = append(all, fmt.Sprint(h.Name, " ", h.Ttl, " ", dns.TypeToString[h.Rrtype], " ", value))
	}
	s := dns.RcodeToString[a.Rcode]
	if a.Authoritative {
		s += " aa"
	}
	return strings.Join(append([]string{s}, all...), "; ")
}

const authorityText = "llm.example.com. 5 SOA ns1.example.com. hostmaster.llm.example.com. 1 3600 600 86400 5"

func TestAnswer(t *testing.T) {
	const apex = "llm.example.com."
	stranger := netip.MustParseAddr("203.0.113.9")
	near := netip.MustParseAddr("192.0.2.53")
	newer := from(question(apex, dns.TypeA), "192.0.2.0/24")
	newer.IsEdns0().SetVersion(1)
	notify := new(dns.Msg).SetNotify(apex)
	two := question(apex, dns.TypeA)
	two.Question = append(two.Question, two.Question[0])
	chaos := question(apex, dns.TypeA)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	for _, c := range []struct {
		name  string
		q     *dns.Msg
		from  netip.Addr
		want  string
		scope int // -1: no subnet in the answer
	}{
		{"by the resolver's address", question(apex, dns.TypeA), near, "NOERROR aa; llm.example.com. 5 A 10.1.0.1; llm.example.com. 5 A 10.1.0.2", -1},
		{"by the client's subnet", from(question(apex, dns.TypeA), "2001:db8:77::/48"), near, "NOERROR aa; llm.example.com. 5 A 10.2.0.1", 48},
		{"the other family", from(question(apex, dns.TypeAAAA), "2001:db8:77::/48"), near, "NOERROR aa; llm.example.com. 5 AAAA fd00::2", 48},
		{"a family that it has not", question(apex, dns.TypeAAAA), near, "NOERROR aa; " + authorityText, -1},
		{"a client that does not say", from(question(apex, dns.TypeA), "0.0.0.0/0"), near, "NOERROR aa; llm.example.com. 5 A 10.1.0.1; llm.example.com. 5 A 10.1.0.2", 0},
		{"nobody knows where", question(apex, dns.TypeA), stranger, "NOERROR aa; " + authorityText, -1},
		{"as it was written", question("LLM.eXample.com.", dns.TypeA), netip.MustParseAddr("127.0.0.1"), "NOERROR aa; LLM.eXample.com. 5 A 10.3.0.1", -1},
		{"servers", question(apex, dns.TypeNS), near, "NOERROR aa; llm.example.com. 5 NS ns1.example.com.; llm.example.com. 5 NS ns2.example.com.", -1},
		{"authority", question(apex, dns.TypeSOA), near, "NOERROR aa; " + authorityText, -1},
		{"anything", question(apex, dns.TypeANY), near, `NOERROR aa; llm.example.com. 5 HINFO "RFC8482" ""`, -1},
		{"another type", question(apex, dns.TypeTXT), near, "NOERROR aa; " + authorityText, -1},
		{"below", question("a.llm.example.com.", dns.TypeA), near, "NXDOMAIN aa; " + authorityText, -1},
		{"above", question("example.com.", dns.TypeA), near, "REFUSED", -1},
		{"alike", question("xllm.example.com.", dns.TypeA), near, "REFUSED", -1},
		{"another class", chaos, near, "REFUSED", -1},
		{"two questions", two, near, "FORMERR", -1},
		{"another operation", notify, near, "NOTIMP", -1},
		{"a later version of EDNS", newer, near, "BADSIG", -1}, // 16, which is BADVERS too (RFC 6891, 9)
	} {
		a := New(world).answer(c.q, c.from)
		if got := said(a); strings.Join(strings.Fields(got), " ") != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		scope := -1
		if o := option(a.IsEdns0()); o != nil {
			scope = int(o.SourceScope)
		}
		if scope != c.scope {
			t.Errorf("%s: the answer holds for %d bits, want %d", c.name, scope, c.scope)
		}
		if (c.q.IsEdns0() == nil) != (a.IsEdns0() == nil) {
			t.Errorf("%s: EDNS is answered by %v", c.name, a.IsEdns0())
		}
	}
	everywhere := town{netip.MustParsePrefix("0.0.0.0/0"): addrs("10.1.0.1")}
	if o := option(New(everywhere).answer(from(question(apex, dns.TypeA), "192.0.2.0/24"), near).IsEdns0()); o == nil || o.SourceScope != 0 || o.SourceNetmask != 24 {
		t.Errorf("an answer that is the same for everybody holds for %v", o)
	}
}

func TestNearest(t *testing.T) {
	near := Site{Region: "near", Trip: 10 * time.Millisecond, Up: true, Addrs: addrs("10.0.0.1")}
	alike := Site{Region: "alike", Trip: 10 * time.Millisecond, Up: true, Addrs: addrs("10.0.0.2")}
	far := Site{Region: "far", Trip: 80 * time.Millisecond, Up: true, Addrs: addrs("10.0.0.3")}
	unknown := Site{Region: "unknown", Trip: place.Far, Up: true, Addrs: addrs("10.0.0.4")}
	down := func(s Site) Site { s.Up = false; return s }
	nowhere := Site{Region: "nowhere", Up: true}
	six := Site{Region: "six", Trip: time.Millisecond, Up: true, Addrs: addrs("fd00::1")}
	both := Site{Region: "both", Trip: 20 * time.Millisecond, Up: true, Addrs: addrs("fd00::2", "::ffff:10.0.0.5")}
	for name, c := range map[string]struct {
		sites []Site
		want  []netip.Addr // of IPv4
	}{
		"the nearest of the family":      {[]Site{six, far, both}, addrs("10.0.0.5")},
		"none of the family":             {[]Site{six}, nil},
		"one of the family, but down":    {[]Site{six, down(both)}, nil},
		"all down, one of the family":    {[]Site{down(six), down(both)}, addrs("10.0.0.5")},
		"as near, one of the family":     {[]Site{{Trip: near.Trip, Up: true, Addrs: six.Addrs}, near}, near.Addrs},
		"nearer, down, and the family's": {[]Site{down(near), six, both}, addrs("10.0.0.5")},
		"the nearest":                    {[]Site{far, near, unknown}, near.Addrs},
		"two as near":                    {[]Site{near, far, alike}, addrs("10.0.0.1", "10.0.0.2")},
		"the nearest that is up":         {[]Site{down(near), far, unknown}, far.Addrs},
		"one that nobody knows":          {[]Site{down(near), down(far), unknown}, unknown.Addrs},
		"none is up":                     {[]Site{down(far), down(near)}, near.Addrs},
		"one without addresses":          {[]Site{nowhere, far}, far.Addrs},
		"nothing":                        {nil, nil},
		"nothing with an address":        {[]Site{nowhere}, nil},
	} {
		if got := Nearest(c.sites, IPv4); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if got := Nearest([]Site{near, both, down(six)}, IPv6); !slices.Equal(got, addrs("fd00::2")) {
		t.Errorf("of IPv6: %v", got)
	}
}

// TestRun: questions over both are answered, a long answer goes over TCP, bytes that
// are no question hurt nobody, and all ends when it shall.
func TestRun(t *testing.T) {
	many := town{here: nil}
	for i := range 200 {
		many[here] = append(many[here], netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := tcp.Addr().String()
	udp, err := net.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	s := New(many)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, udp, tcp) }()

	raw, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for _, b := range []string{"x", strings.Repeat("\xff", 600), ""} {
		if _, err := raw.Write([]byte(b)); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(net string, q *dns.Msg) *dns.Msg {
		t.Helper()
		a, _, err := (&dns.Client{Net: net, Timeout: 20 * time.Second}).Exchange(q, at)
		if err != nil {
			t.Fatalf("%s: %v", net, err)
		}
		return a
	}
	for _, c := range []struct {
		net   string
		q     *dns.Msg
		least int
		whole bool
	}{
		{"udp", question("llm.example.com.", dns.TypeA), 20, false},
		{"udp", question("llm.example.com.", dns.TypeA).SetEdns0(4096, false), 60, false},
		{"tcp", question("llm.example.com.", dns.TypeA), 200, true},
		{"udp", question("llm.example.com.", dns.TypeNS), 2, true},
	} {
		a := ask(c.net, c.q)
		if a.Truncated == c.whole || len(a.Answer) < c.least || a.Rcode != dns.RcodeSuccess {
			t.Errorf("%s: %d records, cut off: %v", c.net, len(a.Answer), a.Truncated)
		}
	}
	if n := s.Counts().Answered; n != 4 {
		t.Errorf("%d answers were counted", n)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", at); err == nil {
		c.Close()
		t.Error("it listens on")
	}
}

// TestLimited: connections beyond the bound are closed, and places come back.
func TestLimited(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &limited{Listener: ln, places: make(chan struct{}, 1)}
	defer l.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := dial()
	defer first.Close()
	one, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	second := dial()
	defer second.Close()
	next := make(chan net.Conn)
	go func() {
		c, _ := l.Accept()
		next <- c
	}()
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("a connection beyond the bound is served")
	}
	one.Close()
	one.Close() // gives its place back once
	third := dial()
	defer third.Close()
	c := <-next
	if c == nil || c.RemoteAddr().String() != third.LocalAddr().String() || len(l.places) != 1 {
		t.Errorf("%v has the place, of %d taken", c, len(l.places))
	}
	if c != nil {
		c.Close()
	}
}

// FuzzAnswer: whatever is asked has an answer that can be written, and is one to it.
func FuzzAnswer(f *testing.F) {
	for _, q := range []*dns.Msg{question("llm.example.com.", dns.TypeA), from(question("LLM.example.com.", dns.TypeAAAA), "192.0.2.0/24"), question(".", dns.TypeANY), new(dns.Msg)} {
		b, err := q.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	s := New(world)
	f.Fuzz(func(t *testing.T, b []byte) {
		var q dns.Msg
		if q.Unpack(b) != nil {
			return
		}
		a := s.answer(&q, netip.MustParseAddr("192.0.2.1"))
		a.Truncate(dns.MinMsgSize)
		if _, err := a.Pack(); err != nil && len(q.Question) == 1 {
			t.Fatalf("%v has an answer that cannot be written: %v: %v", &q, a, err)
		}
		if a.Id != q.Id || !a.Response {
			t.Fatalf("%v is no answer to %v", a, &q)
		}
	})
}
