package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/discover"
	"headworks/internal/discover/discovertest"
	"headworks/internal/fault"
)

// Of RFC 1035, RFC 2782 and RFC 3596.
const (
	typeA     = 1
	typeAAAA  = 28
	typeSRV   = 33
	classIN   = 1
	nxDomain  = 3
	servFail  = 2
	answering = 1<<15 | 1<<10 | 1<<7 // a response, authoritative, recursion available
)

// server is a double of a DNS server, which answers over streams (RFC 1035, 4.2.2).
type server struct {
	mu        sync.Mutex
	addresses map[string][]netip.Addr
	services  map[string][]net.SRV
	broken    bool
	silent    bool
	asked     int
}

// resolver is the standard one, which asks the double.
func (s *server) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go s.serve(far)
		return near, nil
	}}
}

func (s *server) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, query); err != nil {
			return
		}
		answer := s.answer(query)
		if answer == nil {
			_, _ = io.Copy(io.Discard, c) // until it hangs up
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

func (s *server) answer(query []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.silent {
		return nil
	}
	name, end := "", 12
	for query[end] != 0 {
		n := int(query[end])
		name += string(query[end+1:end+1+n]) + "."
		end += 1 + n
	}
	kind := binary.BigEndian.Uint16(query[end+1:])
	question := query[12 : end+5]
	name = strings.ToLower(name)
	var records [][]byte
	addresses, isHost := s.addresses[name]
	services, isService := s.services[name]
	for _, a := range addresses {
		if a.Is4() == (kind == typeA) && (kind == typeA || kind == typeAAAA) {
			records = append(records, a.AsSlice())
		}
	}
	if kind == typeSRV {
		for _, r := range services {
			data := binary.BigEndian.AppendUint16(nil, r.Priority)
			data = binary.BigEndian.AppendUint16(data, r.Weight)
			data = binary.BigEndian.AppendUint16(data, r.Port)
			records = append(records, append(data, encode(r.Target)...))
		}
	}
	code := uint16(0)
	switch {
	case s.broken:
		code, records = servFail, nil
	case !isHost && !isService:
		code = nxDomain
	}
	out := append([]byte{}, query[:2]...)
	for _, n := range []int{answering | int(code), 1, len(records), 0, 0} {
		out = binary.BigEndian.AppendUint16(out, uint16(n))
	}
	out = append(out, question...)
	for _, data := range records {
		out = append(out, encode(name)...)
		out = binary.BigEndian.AppendUint16(out, kind)
		out = binary.BigEndian.AppendUint16(out, classIN)
		out = binary.BigEndian.AppendUint32(out, 5)
		out = binary.BigEndian.AppendUint16(out, uint16(len(data)))
		out = append(out, data...)
	}
	return out
}

func encode(name string) (b []byte) {
	for label := range strings.SplitSeq(strings.Trim(name, "."), ".") {
		if label != "" {
			b = append(append(b, byte(len(label))), label...)
		}
	}
	return append(b, 0)
}

// TestMain lets the resolver read its files outside of any bubble.
func TestMain(m *testing.M) {
	_, _ = new(server).resolver().LookupNetIP(context.Background(), "ip", "warm.example.com.")
	m.Run()
}

func TestConformance(t *testing.T) {
	set := func(s *server, f func()) {
		s.mu.Lock()
		defer s.mu.Unlock()
		f()
	}
	hostPort := func(r discover.Replica) (string, uint16) {
		u, err := url.Parse(r.URL)
		if err != nil {
			t.Fatal(err)
		}
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		return u.Hostname(), uint16(port)
	}
	source := func(s *server, o Options, replace func([]discover.Replica)) discovertest.Source {
		o.Form = discover.Form{Scheme: "http"}
		return discovertest.Source{
			Finder: New(o, s.resolver()),
			Set:    func(replicas []discover.Replica) { set(s, func() { replace(replicas) }) },
			Break:  func() { set(s, func() { s.broken = true }) },
			Mend:   func() { set(s, func() { s.broken = false }) },
			Within: 6 * time.Second,
		}
	}
	t.Run("addresses", func(t *testing.T) {
		discovertest.Run(t, func(*testing.T) discovertest.Source {
			s := &server{}
			return source(s, Options{Name: "vllm.example.com.", Port: 8000}, func(replicas []discover.Replica) {
				s.addresses = map[string][]netip.Addr{}
				for _, r := range replicas {
					host, _ := hostPort(r)
					s.addresses["vllm.example.com."] = append(s.addresses["vllm.example.com."], netip.MustParseAddr(host))
				}
			})
		})
	})
	t.Run("services", func(t *testing.T) {
		discovertest.Run(t, func(*testing.T) discovertest.Source {
			s := &server{}
			of := source(s, Options{Name: "_http._tcp.vllm.example.com."}, func(replicas []discover.Replica) {
				s.services = map[string][]net.SRV{}
				for _, r := range replicas {
					host, port := hostPort(r)
					s.services["_http._tcp.vllm.example.com."] = append(s.services["_http._tcp.vllm.example.com."], net.SRV{Target: host, Port: port, Weight: 1})
				}
			})
			of.URL = func(n int) string { return "http://pod-" + strconv.Itoa(n) + ".example.com:8000" }
			return of
		})
	})
}

// first returns the first answer of a finder.
func first(t *testing.T, f *Finder) (found []discover.Replica, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		f.Watch(ctx, func(replicas []discover.Replica, failed error) {
			found, err = replicas, failed
			stop()
		})
		time.Sleep(time.Minute) // the resolver gives up after a while
	})
	return found, err
}

func TestAddresses(t *testing.T) {
	s := &server{addresses: map[string][]netip.Addr{"vllm.example.com.": {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")}}}
	got, err := first(t, New(Options{Name: "VLLM.example.com.", Port: 443, Form: discover.Form{Scheme: "https", Path: "/v1"}}, s.resolver()))
	if err != nil {
		t.Fatal(err)
	}
	want := []discover.Replica{
		{URL: "https://10.0.0.1:443/v1", Name: "vllm.example.com"},
		{URL: "https://[2001:db8::1]:443/v1", Name: "vllm.example.com"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestServices: the records that come first count, and a target may say that nobody is
// there (RFC 2782).
func TestServices(t *testing.T) {
	s := &server{services: map[string][]net.SRV{"_http._tcp.vllm.example.com.": {
		{Target: "backup.example.com.", Port: 8000, Priority: 20},
		{Target: "B.example.com.", Port: 8001, Priority: 10, Weight: 5},
		{Target: "a.example.com.", Port: 8000, Priority: 10},
	}, "_http._tcp.none.example.com.": {{Target: "."}}}}
	got, err := first(t, New(Options{Name: "_http._tcp.vllm.example.com.", Form: discover.Form{Scheme: "http"}}, s.resolver()))
	if err != nil {
		t.Fatal(err)
	}
	var known discover.Known
	known.Learn(got, nil, 10, time.Now())
	want := []discover.Replica{{URL: "http://a.example.com:8000"}, {URL: "http://b.example.com:8001"}}
	if diff := cmp.Diff(want, known.Replicas); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err := first(t, New(Options{Name: "_http._tcp.none.example.com.", Form: discover.Form{Scheme: "http"}}, s.resolver())); len(got) > 0 || err != nil {
		t.Errorf("of a service that is not there: %v, %v", got, err)
	}
}

// TestFailures says what an operator can do, and does not pass on what DNS said.
func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server *server
		words  string
	}{
		{"no such name", &server{}, "DNS knows no such name, or nothing of the kind that is looked for"},
		{"a server that fails", &server{broken: true}, "DNS did not answer; look whether the resolver of this machine can be reached"},
		{"a server that is silent", &server{silent: true}, "DNS did not answer in time"},
	} {
		found, err := first(t, New(Options{Name: "vllm.example.com.", Port: 1}, tt.server.resolver()))
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != fault.Connect || f.Words != tt.words || len(found) > 0 {
			t.Errorf("%s: %v, %v", tt.name, found, err)
		}
	}
}

// TestEvery: looks are as far apart as asked for, give or take a tenth, and not all of
// them by the same.
func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{addresses: map[string][]netip.Addr{"vllm.example.com.": {netip.MustParseAddr("10.0.0.1")}}}
		ctx, stop := context.WithCancel(t.Context())
		var looks []time.Time
		New(Options{Name: "vllm.example.com.", Port: 1, Every: time.Minute}, s.resolver()).Watch(ctx, func([]discover.Replica, error) {
			if looks = append(looks, time.Now()); len(looks) == 20 {
				stop()
			}
		})
		gaps := map[time.Duration]bool{}
		for i := 1; i < len(looks); i++ {
			gap := looks[i].Sub(looks[i-1])
			gaps[gap] = true
			if gap < 54*time.Second || gap > 66*time.Second {
				t.Errorf("%v between two looks", gap)
			}
		}
		if len(gaps) < 2 {
			t.Error("no jitter")
		}
	})
}
