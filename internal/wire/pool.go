package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"headworks/internal/fault"
)

// PoolLimits bounds what a Pool keeps and how long it waits. A zero field takes
// its default.
type PoolLimits struct {
	Idle     int           // connections kept; 1,024
	IdleTime time.Duration // a connection is kept unused; 90 s
	TLS      time.Duration // for a handshake; 5 s
	Write    time.Duration // for a request to be taken; 30 s
	Head     int           // bytes of an answer's head; 64 KiB
	Fields   int           // header fields of an answer; 200

	// Name is what the origin is asked for by, in TLS and in the field Host; that of
	// its URL unless given.
	Name string

	// Roots are the authorities trusted for https; nil is the system's.
	Roots *x509.CertPool
}

func (l PoolLimits) defaulted() PoolLimits {
	l.Idle = orElse(l.Idle, 1024)
	l.IdleTime = orElse(l.IdleTime, 90*time.Second)
	l.TLS = orElse(l.TLS, 5*time.Second)
	l.Write = orElse(l.Write, 30*time.Second)
	l.Head = orElse(l.Head, 64<<10)
	l.Fields = orElse(l.Fields, 200)
	return l
}

// DialFunc opens a connection; Dialer.Dial is the one to use. Its errors are
// *fault.Error, or the cause of a context that is done.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Pool sends requests to one origin over connections that it keeps. There is no
// bound on open connections: that is the caller's decision, see Open.
type Pool struct {
	dial   DialFunc
	limits PoolLimits
	addr   string // host:port
	host   string // as the Host field says it
	tls    *tls.Config

	mu     sync.Mutex
	idle   []*link // the most recently used last
	closed bool
	open   atomic.Int64
}

// Request is what is sent. It stays unchanged until Head has returned an answer
// or the Response is closed, as it may have to be sent again.
type Request struct {
	Method string
	Target string  // path and query, as they go out
	Header *Header // beside Host and Content-Length; may be nil
	Body   []byte

	// Rest is what follows Body; nil for nothing. It is read once, on a goroutine of
	// its own, so that an answer that comes before its end is seen; a request that has
	// one goes out on a new connection, as it cannot be sent again. Length is its
	// bytes, -1 where only its end tells.
	Rest   Source
	Length int64
}

// Source is a body that comes in pieces.
type Source interface {
	// Read reads at least a byte into p; io.EOF is its end. Its errors are
	// *fault.Error.
	Read(p []byte) (int, error)
	// Stop ends a Read that waits, and every later one, from any goroutine.
	Stop()
	// Taken returns when something was read last: now, once Read was called and until
	// it came to an end; the zero time before that. From any goroutine.
	Taken() time.Time
}

// NewPool returns a pool for an origin such as "https://api.example.com" or
// "http://10.0.0.11:8000".
func NewPool(origin string, dial DialFunc, limits PoolLimits) (*Pool, error) {
	u, err := url.Parse(origin)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.User != nil, u.Path != "" && u.Path != "/", u.RawQuery != "":
		return nil, errors.New("wire: an origin is http:// or https://, a host, and perhaps a port")
	case !all([]byte(u.Host), host):
		return nil, errors.New("wire: the origin's host holds a character that hosts may not hold")
	}
	p := &Pool{dial: dial, limits: limits.defaulted(), addr: HostPort(u), host: u.Host}
	name := u.Hostname()
	if limits.Name != "" {
		if !all([]byte(limits.Name), host) {
			return nil, errors.New("wire: the name of the origin holds a character that hosts may not hold")
		}
		name, p.host = limits.Name, limits.Name
		if u.Port() != "" {
			p.host = net.JoinHostPort(name, u.Port())
		}
	}
	if u.Scheme == "https" {
		p.tls = &tls.Config{
			ServerName: name,
			NextProtos: []string{"http/1.1"},
			MinVersion: tls.VersionTLS12,
			RootCAs:    limits.Roots,
		}
	}
	return p, nil
}

// HostPort returns the address that an origin is dialled at, as a Dialer lists
// it.
func HostPort(origin *url.URL) string {
	port := origin.Port()
	switch {
	case port != "":
	case origin.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(strings.ToLower(origin.Hostname()), port)
}

// Send writes a request on a kept connection, or a new one, and returns before
// anything came back. The errors are those of the connection: kinds Connect and
// TLS, or ctx's cause. A write that fails is told by Head, since an upstream may
// have answered before it stopped reading.
//
// Until Close, ctx ends whatever waits, and the connection with it.
func (p *Pool) Send(ctx context.Context, req *Request) (*Response, error) {
	if !sendable(req) {
		return nil, fault.New(fault.Internal, "a request to the upstream could not be written")
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	now := time.Now()
	var l *link
	if req.Rest == nil {
		l = p.take(now)
	}
	kept := l != nil
	if !kept {
		var err error
		if l, err = p.connect(ctx); err != nil {
			return nil, err
		}
		now = time.Now()
	}
	r := &Response{pool: p, ctx: ctx, req: req}
	r.start(l, kept, now)
	return r, nil
}

// sendable keeps a request from being two.
func sendable(req *Request) bool {
	if req.Method == "" || req.Target == "" {
		return false
	}
	for i := range len(req.Method) {
		if kindOf[req.Method[i]]&token == 0 {
			return false
		}
	}
	for i := range len(req.Target) {
		if kindOf[req.Target[i]]&visible == 0 {
			return false
		}
	}
	return true
}

// Open returns how many connections there are, idle ones included.
func (p *Pool) Open() int { return int(p.open.Load()) }

// Sweep closes connections that were idle for too long.
func (p *Pool) Sweep(now time.Time) {
	p.mu.Lock()
	n := 0
	for n < len(p.idle) && now.Sub(p.idle[n].since) > p.limits.IdleTime {
		n++
	}
	old := append([]*link(nil), p.idle[:n]...)
	p.idle = append(p.idle[:0], p.idle[n:]...)
	p.mu.Unlock()
	for _, l := range old {
		l.close()
	}
}

// Close closes idle connections now, and every other one after its request.
func (p *Pool) Close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, l := range idle {
		l.close()
	}
}

// take returns the connection used last that still stands, or nil.
func (p *Pool) take(now time.Time) *link {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			return nil
		}
		l := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if now.Sub(l.since) <= p.limits.IdleTime && (l.standing == nil || l.standing()) {
			return l
		}
		l.close()
	}
}

func (p *Pool) put(l *link) {
	l.since = time.Now()
	p.mu.Lock()
	if p.closed || len(p.idle) >= p.limits.Idle {
		p.mu.Unlock()
		l.close()
		return
	}
	p.idle = append(p.idle, l)
	p.mu.Unlock()
}

func (p *Pool) connect(ctx context.Context) (*link, error) {
	nc, err := p.dial(ctx, "tcp", p.addr)
	if err != nil {
		return nil, err
	}
	l := &link{pool: p, nc: nc}
	if p.tls == nil {
		l.standing = standing(nc)
	} else {
		t := tls.Client(nc, p.tls)
		shaking, stop := context.WithTimeout(ctx, p.limits.TLS)
		defer stop()
		if err := t.HandshakeContext(shaking); err != nil {
			nc.Close()
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, fault.Wrap(fault.TLS, "no trusted connection to the upstream could be made", err)
		}
		l.nc = t
	}
	l.head.fields = l.fieldRoom[:0]
	l.cut = func() { l.nc.Close() }
	p.open.Add(1)
	return l, nil
}

// link is one connection to the origin. Whoever took it from the pool owns it.
type link struct {
	pool *Pool
	nc   net.Conn
	cut  func() // closes nc, from any goroutine

	// standing, where not nil, reports whether an idle connection has neither
	// ended nor said anything: what comes unasked would be taken for the next
	// answer. Under TLS records may come that carry none.
	standing func() bool

	buf             *buffer // nil while nothing is awaited
	r, w            int     // buf.b[r:w] is read from nc and not yet used
	readBy, writeBy time.Time
	since           time.Time // idle
	head            head
	fieldRoom       [24]field
	vec             [3][]byte
	bufs            net.Buffers
}

func (l *link) close() {
	l.nc.Close()
	l.pool.open.Add(-1)
	l.freeBuf()
}

func (l *link) freeBuf() {
	if l.buf != nil {
		l.buf.release()
		l.buf = nil
	}
	l.r, l.w = 0, 0
}

// write sends a request by one write, its body uncopied if it is large.
func (l *link) write(req *Request, now time.Time) error {
	if wait := l.pool.limits.Write; l.writeBy.Sub(now) < wait*3/4 {
		l.writeBy = now.Add(wait)
		_ = l.nc.SetWriteDeadline(l.writeBy) // fails only on a closed connection, which the write tells
	}
	copied := len(req.Body)
	if copied > gather {
		copied = 0
	}
	out := take(len(req.Method) + len(req.Target) + len(l.pool.host) + len(req.Header.bytes()) + headRoom + 2*chunkRoom + copied)
	defer out.release()
	b := append(out.b[:0], req.Method...)
	b = append(b, ' ')
	b = append(b, req.Target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, l.pool.host...)
	b = append(b, "\r\n"...)
	b = append(b, req.Header.bytes()...)
	chunks := req.Rest != nil && req.Length < 0
	switch {
	case chunks:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case req.Rest != nil:
		b = appendLength(b, len(req.Body)+int(req.Length))
	case len(req.Body) > 0 || req.Method == "POST" || req.Method == "PUT" || req.Method == "PATCH":
		b = appendLength(b, len(req.Body))
	}
	b = append(b, "\r\n"...)
	tail := ""
	if chunks && len(req.Body) > 0 {
		b = appendChunkSize(b, len(req.Body))
		tail = "\r\n"
	}
	if copied == len(req.Body) {
		_, err := l.nc.Write(append(append(b, req.Body...), tail...))
		return err
	}
	l.bufs = append(net.Buffers(l.vec[:0]), b, req.Body, []byte(tail))
	_, err := l.bufs.WriteTo(l.nc)
	clear(l.vec[:])
	return err
}

// room makes place for more from the connection behind what it said already.
func (l *link) room() {
	switch {
	case l.buf == nil:
		l.buf = take(smallest)
	case l.w == len(l.buf.b):
		l.buf = l.buf.grown(l.w, 2*l.w)
	}
}

// fill reads more, until a time; the zero time is never. It returns ErrQuiet if
// nothing came.
func (l *link) fill(until time.Time) error {
	l.room()
	// A deadline that lies before until is left as it is: it costs a look at the
	// clock when it passes, and setting one for every read costs more.
	if !l.readBy.IsZero() && until.IsZero() || l.readBy.IsZero() && !until.IsZero() || l.readBy.After(until) {
		l.readUntil(until)
	}
	for {
		n, err := l.nc.Read(l.buf.b[l.w:])
		l.w += n
		switch {
		case n > 0:
			return nil
		case timedOut(err):
			if !until.IsZero() && !time.Now().Before(until) {
				return ErrQuiet
			}
			l.readUntil(until)
		case err != nil:
			return err
		}
	}
}

func (l *link) readUntil(t time.Time) {
	l.readBy = t
	_ = l.nc.SetReadDeadline(t) // as in write
}
