// Package nameserver answers DNS for one name: with the addresses of the nearest cell
// that is up, by where the asker is. It is authoritative for that name and knows
// nothing else: it asks nobody, and refuses what is not below its name.
//
// Where the asker is tells the subnet of the client, which many resolvers pass on
// (RFC 7871), or else the resolver's own address.
package nameserver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Zone is what is answered for.
type Zone struct {
	Name    string        // such as llm.example.com
	Servers []string      // names of the servers that answer for it
	TTL     time.Duration // of the addresses, and of what is not there
}

// Directory knows the cells.
type Directory interface {
	// Zone returns what is answered for now.
	Zone() Zone
	// Nearest returns the addresses of a family that somebody at an address should ask,
	// and whether it mattered who asks.
	Nearest(at netip.Addr, of Family) (addrs []netip.Addr, mattered bool)
}

// Counts is what was answered since the start.
type Counts struct {
	Answered uint64
	Empty    uint64 // there is no such name, or nothing of that type
	Refused  uint64 // of other names, or not understood
}

// Server answers. Its methods may be called at once.
type Server struct {
	directory                Directory
	answered, empty, refused atomic.Uint64
}

// New returns a Server that answers with what a directory knows.
func New(d Directory) *Server { return &Server{directory: d} }

// Counts returns what was answered.
func (s *Server) Counts() Counts {
	return Counts{s.answered.Load(), s.empty.Load(), s.refused.Load()}
}

// Bounds of what is served.
const (
	fits     = 1232            // bytes of an answer over UDP that no network fragments (DNS Flag Day 2020)
	atOnce   = 256             // connections over TCP
	tcpAsks  = 128             // questions of one connection
	patience = 5 * time.Second // for the next question of a connection
	stopping = time.Second     // for answers under way
)

// Run answers over both until ctx ends, and closes them.
func (s *Server) Run(ctx context.Context, udp net.PacketConn, tcp net.Listener) error {
	started := make(chan struct{}, 2)
	served := make(chan error, 2)
	servers := []*dns.Server{
		{PacketConn: udp, UDPSize: fits},
		{
			Listener: &limited{Listener: tcp, places: make(chan struct{}, atOnce)}, MaxTCPQueries: tcpAsks,
			ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: func() time.Duration { return patience },
		},
	}
	for _, srv := range servers {
		srv.Handler = s
		srv.NotifyStartedFunc = func() { started <- struct{}{} }
		srv.MsgInvalidFunc = func([]byte, error) { s.refused.Add(1) }
		go func() { served <- srv.ActivateAndServe() }()
	}
	var err error
	running, begun := len(servers), 0
	for running > 0 && begun < len(servers) { // one that has not begun cannot be shut down
		select {
		case <-started:
			begun++
		case err = <-served:
			running--
			_ = udp.Close() // what follows is that the other ends too
			tcp.Close()
			begun++
		}
	}
	stopped := ctx.Done()
	for running > 0 {
		select {
		case <-stopped:
			stopped = nil
		case one := <-served:
			running--
			err = errors.Join(err, one)
		}
		soon, cancel := context.WithTimeout(context.Background(), stopping)
		for _, srv := range servers {
			_ = srv.ShutdownContext(soon) // fails only where it ended, or does not end in time
		}
		cancel()
	}
	if stopped == nil { // it was asked to
		err = nil
	}
	return err
}

// limited is a Listener that has so many connections open at a time and closes those
// beyond.
type limited struct {
	net.Listener
	places chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.places <- struct{}{}:
			return &placed{Conn: c, leave: func() { <-l.places }}, nil
		default:
			c.Close()
		}
	}
}

// placed is a connection that has a place until it is closed.
type placed struct {
	net.Conn
	closed atomic.Bool
	leave  func()
}

func (c *placed) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.leave()
	}
	return c.Conn.Close()
}

// ServeDNS implements dns.Handler.
func (s *Server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	from, err := netip.ParseAddrPort(w.RemoteAddr().String())
	if err != nil {
		return
	}
	size := dns.MaxMsgSize
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		size = dns.MinMsgSize
		if o := q.IsEdns0(); o != nil {
			size = min(max(int(o.UDPSize()), size), fits)
		}
	}
	a := s.answer(q, from.Addr().Unmap())
	a.Truncate(size)
	_ = w.WriteMsg(a) // fails only if the asker is gone
}

// answer answers a question that came from an address.
func (s *Server) answer(q *dns.Msg, from netip.Addr) *dns.Msg {
	a := new(dns.Msg).SetReply(q)
	a.Compress = true
	opt := q.IsEdns0()
	if opt != nil {
		a.SetEdns0(fits, false)
		if opt.Version() != 0 {
			return s.refuse(a, dns.RcodeBadVers)
		}
	}
	switch {
	case q.Opcode != dns.OpcodeQuery:
		return s.refuse(a, dns.RcodeNotImplemented)
	case len(q.Question) != 1:
		return s.refuse(a, dns.RcodeFormatError)
	}
	zone := s.directory.Zone()
	apex := dns.Fqdn(strings.ToLower(zone.Name))
	name := strings.ToLower(q.Question[0].Name)
	if q.Question[0].Qclass != dns.ClassINET || !dns.IsSubDomain(apex, name) {
		return s.refuse(a, dns.RcodeRefused)
	}
	a.Authoritative = true
	if name != apex {
		a.Rcode = dns.RcodeNameError
		return s.nothing(a, &zone)
	}
	head := func(kind uint16) dns.RR_Header {
		return dns.RR_Header{Name: q.Question[0].Name, Rrtype: kind, Class: dns.ClassINET, Ttl: uint32(zone.TTL / time.Second)}
	}
	switch kind := q.Question[0].Qtype; kind {
	case dns.TypeA, dns.TypeAAAA:
		at, told := subnet(opt)
		if told {
			from = at
		}
		of := IPv4
		if kind == dns.TypeAAAA {
			of = IPv6
		}
		addrs, mattered := s.directory.Nearest(from, of)
		for _, addr := range addrs {
			if of == IPv4 {
				a.Answer = append(a.Answer, &dns.A{Hdr: head(kind), A: addr.AsSlice()})
			} else {
				a.Answer = append(a.Answer, &dns.AAAA{Hdr: head(kind), AAAA: addr.AsSlice()})
			}
		}
		echo(a, opt, mattered && told)
	case dns.TypeNS:
		for _, server := range zone.Servers {
			a.Answer = append(a.Answer, &dns.NS{Hdr: head(kind), Ns: dns.Fqdn(server)})
		}
	case dns.TypeSOA:
		a.Answer = append(a.Answer, authority(&zone))
	case dns.TypeANY: // RFC 8482: one answer stands for all
		a.Answer = append(a.Answer, &dns.HINFO{Hdr: head(dns.TypeHINFO), Cpu: "RFC8482"})
	}
	if len(a.Answer) == 0 {
		return s.nothing(a, &zone)
	}
	s.answered.Add(1)
	return a
}

func (s *Server) refuse(a *dns.Msg, code int) *dns.Msg {
	s.refused.Add(1)
	a.Rcode = code
	return a
}

// nothing says that a name or a type is not there, and for how long that holds
// (RFC 2308).
func (s *Server) nothing(a *dns.Msg, zone *Zone) *dns.Msg {
	s.empty.Add(1)
	a.Ns = append(a.Ns, authority(zone))
	return a
}

// authority is the record that says who answers for a zone. Nobody copies the zone, so
// only its last figure counts: for how long it holds that something is not there.
func authority(zone *Zone) dns.RR {
	seconds := uint32(zone.TTL / time.Second)
	apex := dns.Fqdn(strings.ToLower(zone.Name))
	first := apex
	if len(zone.Servers) > 0 {
		first = dns.Fqdn(zone.Servers[0])
	}
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: apex, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: seconds},
		Ns:  first, Mbox: "hostmaster." + apex, Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: seconds,
	}
}

// subnet returns the first address of the subnet that a resolver says its client is
// in. One of no length says that the client wants nobody to know.
func subnet(opt *dns.OPT) (netip.Addr, bool) {
	o := option(opt)
	if o == nil || o.SourceNetmask == 0 {
		return netip.Addr{}, false
	}
	addr, ok := netip.AddrFromSlice(o.Address)
	if !ok {
		return netip.Addr{}, false
	}
	p, err := addr.Unmap().Prefix(int(o.SourceNetmask))
	return p.Addr(), err == nil
}

func option(opt *dns.OPT) *dns.EDNS0_SUBNET {
	if opt == nil {
		return nil
	}
	for _, o := range opt.Option {
		if o, ok := o.(*dns.EDNS0_SUBNET); ok {
			return o
		}
	}
	return nil
}

// echo repeats the subnet, where there is one, and says for whom the answer holds: for
// that subnet, or for everybody where it did not matter.
func echo(a *dns.Msg, opt *dns.OPT, mattered bool) {
	told := option(opt)
	if told == nil {
		return
	}
	o := *told
	o.SourceScope = 0
	if mattered {
		o.SourceScope = o.SourceNetmask
	}
	a.IsEdns0().Option = append(a.IsEdns0().Option, &o)
}
