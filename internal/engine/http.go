package engine

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
	"headworks/internal/wire"
)

// Protocol is a vendor's dialect as an engine speaks it: where requests go and
// how both sides are read. The functions are those of the dialect's package.
type Protocol struct {
	Dialect inference.Dialect
	Path    string // below the base URL: the only one that requests are sent to

	Edits        func(dst []scan.Edit, d *scan.Doc, model string) []scan.Edit
	Encode       func(c *inference.Conversation, model string, stream bool) (body []byte, dropped []string)
	ReadAnswer   func(d *scan.Doc, into *inference.Event) error
	DecodeAnswer func(d *scan.Doc) (*inference.Answer, error)
	ReadError    func(status int, body []byte, d *scan.Doc) *fault.Error
	NewReader    func() Reader
}

// Reader follows one streamed answer of a dialect; see the dialects' own.
type Reader interface {
	Reset(n int)
	Read(name, data []byte, d *scan.Doc) (inference.Event, error)
	Edits(dst []scan.Edit) []scan.Edit
	Deltas(dst []inference.Delta) []inference.Delta
	End() error
}

// Options are what an operator says of an upstream.
type Options struct {
	Header    [][2]string // sent with every request, credentials among them
	Forwarded []string    // names of the caller's fields that pass through, lower case
	Defaults  [][2]string // sent where the caller names no such field
	Connect   time.Duration
}

// Bounds of what an upstream may send.
const (
	maxAnswer = 64 << 20 // a whole answer
	maxError  = 64 << 10 // the body of an error
	// settle is how long the rest may take to come once all that decides is known:
	// usage and terminal of a finished stream, which some leave out, or the body of
	// an error.
	settle = 2 * time.Second
)

// HTTP is an Engine that speaks a Protocol over HTTP.
type HTTP struct {
	protocol Protocol
	options  Options
	origins  []origin  // one for each replica
	idle     sync.Pool // of *stream
	docs     sync.Pool // of *scan.Doc
}

type origin struct {
	id     fleet.ReplicaID
	pool   *wire.Pool
	target string
}

// NewHTTP returns the engine of an upstream's replicas. The errors name the URL
// that is wrong.
func NewHTTP(p Protocol, replicas []fleet.Replica, o Options) (*HTTP, error) {
	e := &HTTP{protocol: p, options: o}
	e.idle.New = func() any { return &stream{engine: e, reader: p.NewReader(), split: *wire.NewSplitter(0)} }
	e.docs.New = func() any { return new(scan.Doc) }
	var listed []string
	for _, r := range replicas {
		u, target, err := split(r.URL, p.Path)
		if err != nil {
			return nil, err
		}
		listed = append(listed, wire.HostPort(u))
		e.origins = append(e.origins, origin{id: r.ID, target: target})
	}
	dialer, err := wire.NewDialer(listed, o.Connect)
	if err != nil {
		return nil, err
	}
	for i, r := range replicas {
		u, _, err := split(r.URL, p.Path)
		if err != nil {
			return nil, err
		}
		if e.origins[i].pool, err = wire.NewPool(u.String(), dialer.Dial, wire.PoolLimits{}); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// split cuts a base URL into its origin and the target that path has below it. A
// base that names a version, as in https://host/api/v1, is taken as it is; to
// any other /v1 is added.
func split(base, path string) (*url.URL, string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, "", errors.New("the URL of an upstream is http:// or https://, a host, and perhaps a port and a path")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, "", errors.New("the URL of an upstream has no user, query or fragment")
	}
	prefix := strings.TrimRight(u.EscapedPath(), "/")
	if !versioned(prefix) {
		prefix += "/v1"
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, prefix + path, nil
}

func versioned(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if len(part) > 1 && part[0] == 'v' && part[1] >= '0' && part[1] <= '9' {
			return true
		}
	}
	return false
}

// Close lets go of the connections that no call uses; the others close after
// their call.
func (e *HTTP) Close() {
	for _, o := range e.origins {
		o.pool.Close()
	}
}

// Sweep closes connections that nobody used for a while.
func (e *HTTP) Sweep(now time.Time) {
	for _, o := range e.origins {
		o.pool.Sweep(now)
	}
}

// Connections returns how many are open.
func (e *HTTP) Connections() int {
	n := 0
	for _, o := range e.origins {
		n += o.pool.Open()
	}
	return n
}

// Open implements Engine.
func (e *HTTP) Open(ctx context.Context, c *Call) (Stream, error) {
	var at *origin
	for i := range e.origins {
		if e.origins[i].id == c.Replica.ID {
			at = &e.origins[i]
			break
		}
	}
	if at == nil {
		return nil, fault.New(fault.Internal, "the replica belongs to another upstream")
	}
	s := e.idle.Get().(*stream)
	s.begin(c)
	if err := s.write(at.target); err != nil {
		s.release()
		return nil, err
	}
	r, err := at.pool.Send(ctx, &s.request)
	if err != nil {
		s.release()
		return nil, err
	}
	s.response = r
	return s, nil
}
