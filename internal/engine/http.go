package engine

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
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

	// Path is where requests go, below the base URL; Target says so instead where
	// it depends on the model or on whether the answer is a stream. Requests are
	// sent nowhere else.
	Path   string
	Target func(dst []byte, base, model string, stream bool) []byte

	// Framing cuts a streamed answer into events, and Type is the media type of
	// one; server-sent events unless set.
	Framing func() Framing
	Type    string

	// Media are the types that an answer may have beside JSON and events: names, or
	// beginnings of them that end in a slash. Such an answer passes as it comes.
	Media []string

	// Refuse, where set, returns the fault of a request that this kind of upstream
	// would answer in another form than the dialect's, or nil; nothing is sent then.
	Refuse func(r *inference.Request) *fault.Error

	// Recast, where set, writes a whole answer as the dialect has it, where this kind
	// of upstream has a form of its own; nil where it does not. The request is that of
	// the caller.
	Recast func(c *Call, answer *scan.Doc) []byte

	// Own are fields of a request that callers may not set, as they name hosts that the
	// engine would speak to: what a caller says of them is not sent, and named as dropped.
	// One with a dot is a member of an object.
	Own []string

	// Mark, where set, marks the part of a prompt that stays the same, for upstreams that
	// keep it and want to be told: what is sent is given, and on whose behalf.
	Mark func(dst []scan.Edit, d *scan.Doc, model, tenant string) []scan.Edit

	// Handover, where set, is how replicas hand over prompts that they have read.
	Handover *Handover

	// Lean tells that whole answers hold long arrays of numbers, of which
	// ReadAnswer looks at the lengths alone.
	Lean bool

	// Refit, where set, stands in the place of Edits, and is done to what Encode
	// wrote too: it takes out what this upstream does not take, and names it.
	Refit func(dst []scan.Edit, dropped []string, d *scan.Doc, model string) ([]scan.Edit, []string)

	Edits        func(dst []scan.Edit, d *scan.Doc, model string) []scan.Edit
	Encode       func(c *inference.Conversation, model string, stream bool) (body []byte, dropped []string)
	ReadAnswer   func(d *scan.Doc, into *inference.Event) error
	DecodeAnswer func(d *scan.Doc) (*inference.Answer, error)
	ReadError    func(status int, body []byte, d *scan.Doc) *fault.Error
	NewReader    func() Reader
}

// Handover is how one replica reads a prompt for another one, which then answers it.
type Handover struct {
	// Prefill appends a body with what makes the upstream read its prompt alone, and
	// Take one that says where that was done. The document is of the body. Nil from
	// Prefill: this one cannot be read alone.
	Prefill func(dst []byte, d *scan.Doc) []byte
	Take    func(dst []byte, d *scan.Doc, handed []byte) []byte

	// Handed returns where the prompt is that was read, of the answer; nil: nowhere.
	Handed func(answer *scan.Doc) []byte
}

// Framing cuts a stream of bytes into events; see wire.Splitter, which does so by
// the rules of server-sent events.
type Framing interface {
	Feed(p []byte)
	Next() (*wire.Event, error)
	Reset()
}

// Reader follows one streamed answer of a dialect; see the dialects' own.
type Reader interface {
	Reset(n int)
	Read(name, data []byte, d *scan.Doc) (inference.Event, error)
	Edits(dst []scan.Edit) []scan.Edit
	Deltas(dst []inference.Delta) []inference.Delta
	End() error
}

// streamless is the Reader of an operation whose answers never stream.
type streamless struct{}

func (streamless) Reset(int)                                      {}
func (streamless) Edits(dst []scan.Edit) []scan.Edit              { return dst }
func (streamless) Deltas(dst []inference.Delta) []inference.Delta { return dst }
func (streamless) End() error                                     { return errStreamless }

func (streamless) Read(_, _ []byte, _ *scan.Doc) (inference.Event, error) {
	return inference.Event{}, errStreamless
}

var errStreamless = fault.New(fault.Malformed, "the upstream streamed what is never streamed")

// Options are what an operator says of an upstream.
type Options struct {
	Header    [][2]string   // sent with every request
	Keys      [][][2]string // the fields of each credential, by fleet.Replica.Key
	Forwarded []string      // names of the caller's fields that pass through, lower case
	Defaults  [][2]string   // sent where the caller names no such field
	Connect   time.Duration
	Listing   *Listing // nil: it has no list of models

	// Salt lets tenants share nothing in the engine's KV cache: their prompts carry a
	// cache_salt of their own.
	Salt bool

	marks bool // see MarkPrompts

	// Classes says where a text is classified; nil: nowhere.
	Classes func(dst []byte, base string) []byte

	// Vouch, where set, returns a field that says on whose behalf a request is sent,
	// which goes to a path with a query perhaps. body is nil of a form, which may not be
	// all at hand.
	Vouch func(c *Call, target string, body []byte) (name, value string, err error)

	// Sign, where set, adds what proves a request is ours to one that is ready to
	// go: a signature over it, or a token that has to be fetched first. Its errors
	// are *fault.Error, or of a canceled context.
	Sign func(ctx context.Context, r *Signed) error
}

// Signed is a request that is ready to go, for whoever signs it.
type Signed struct {
	Key    int // place of the credential
	Host   string
	Target string // path and query
	Header *wire.Header
	Body   []byte
}

// Bounds of what an upstream may send.
const (
	maxAnswer = 64 << 20 // a whole answer, and the text of a streamed one
	maxError  = 64 << 10 // the body of an error
	// settle is how long the rest may take to come once all that decides is known:
	// usage and terminal of a finished stream, which some leave out, or the body of
	// an error.
	settle = 2 * time.Second
)

// HTTP is an Engine that speaks some Protocols over HTTP.
type HTTP struct {
	spoken  []*spoken
	options Options
	origins []origin  // one for each replica
	docs    sync.Pool // of *scan.Doc
}

// spoken is one protocol, and the streams that wait for another call.
type spoken struct {
	Protocol
	idle sync.Pool // of *stream
}

// origin is where a replica is reached.
type origin struct {
	id      fleet.ReplicaID
	key     int
	url     string
	name    string
	pool    *shared
	host    string
	base    string   // the path of its base URL, without a slash at the end
	targets []string // for each protocol; empty where it depends on the call
}

// shared are the connections of an origin, which several engines in a row may use.
type shared struct {
	*wire.Pool
	users atomic.Int32
}

func (s *shared) leave() {
	if s.users.Add(-1) == 0 {
		s.Close()
	}
}

// NewHTTP returns the engine of an upstream's replicas. A caller's dialect that is
// among those of the protocols is spoken as it is; another one is translated to
// the first protocol that asks the same of a model. The errors name the URL that
// is wrong.
func NewHTTP(protocols []Protocol, replicas []fleet.Replica, o Options) (*HTTP, error) {
	return newHTTP(protocols, replicas, o, nil)
}

// With returns an engine that speaks as e does, to other replicas. Those that e has
// too are spoken to over the same connections, which close when both engines are
// closed.
func (e *HTTP) With(replicas []fleet.Replica) (*HTTP, error) {
	protocols := make([]Protocol, len(e.spoken))
	for i, s := range e.spoken {
		protocols[i] = s.Protocol
	}
	return newHTTP(protocols, replicas, e.options, e.origins)
}

func newHTTP(protocols []Protocol, replicas []fleet.Replica, o Options, have []origin) (*HTTP, error) {
	e := &HTTP{options: o}
	e.docs.New = func() any { return new(scan.Doc) }
	for _, p := range protocols {
		e.spoken = append(e.spoken, newSpoken(e, p))
	}
	known := make(map[fleet.ReplicaID]*origin, len(have))
	for i := range have {
		known[have[i].id] = &have[i]
	}
	var listed []string
	for _, r := range replicas {
		u, base, err := split(r.URL)
		if err != nil {
			return nil, err
		}
		listed = append(listed, wire.HostPort(u))
		at := origin{id: r.ID, key: r.Key, url: r.URL, name: r.Host, host: u.Host, base: base}
		for _, p := range protocols {
			target := ""
			if p.Target == nil {
				target = Versioned(base) + p.Path
			}
			at.targets = append(at.targets, target)
		}
		e.origins = append(e.origins, at)
	}
	dialer, err := wire.NewDialer(listed, o.Connect)
	if err != nil {
		return nil, err
	}
	for i, r := range replicas {
		at := &e.origins[i]
		if old := known[r.ID]; old != nil && old.url == at.url && old.name == at.name && old.key == at.key {
			at.pool = old.pool
			continue
		}
		u, _, err := split(r.URL)
		if err != nil {
			return nil, err
		}
		pool, err := wire.NewPool(u.String(), dialer.Dial, wire.PoolLimits{Name: r.Host})
		if err != nil {
			return nil, err
		}
		at.pool = &shared{Pool: pool}
	}
	for i := range e.origins {
		e.origins[i].pool.users.Add(1)
	}
	return e, nil
}

func newSpoken(e *HTTP, p Protocol) *spoken {
	if p.Framing == nil {
		p.Framing, p.Type = func() Framing { return wire.NewSplitter(0) }, "text/event-stream"
	}
	k := &spoken{Protocol: p}
	if p.NewReader == nil {
		p.NewReader = func() Reader { return streamless{} }
	}
	k.idle.New = func() any { return &stream{engine: e, spoken: k, reader: p.NewReader(), split: p.Framing()} }
	return k
}

// Speaks returns the dialects that are spoken as they are.
func (e *HTTP) Speaks() inference.Set {
	var s inference.Set
	for _, p := range e.spoken {
		s |= inference.SetOf(p.Dialect)
	}
	return s
}

// MarkPrompts lets the upstream know which part of each prompt stays the same, before
// the first call; see Protocol.Mark.
func (e *HTTP) MarkPrompts() { e.options.marks = true }

// speak returns the place of the protocol for a request.
func (e *HTTP) speak(d inference.Dialect) int {
	for i, p := range e.spoken {
		if p.Dialect == d {
			return i
		}
	}
	for i, p := range e.spoken {
		if p.Dialect.Operation() == d.Operation() && p.Encode != nil {
			return i
		}
	}
	return -1
}

// split cuts a base URL into its origin and its path.
func split(base string) (*url.URL, string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, "", errors.New("the URL of an upstream is http:// or https://, a host, and perhaps a port and a path")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, "", errors.New("the URL of an upstream has no user, query or fragment")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, strings.TrimRight(u.EscapedPath(), "/"), nil
}

// Versioned returns the path of a base URL as it is if it names a version, as
// /api/v1 does, and with /v1 otherwise.
func Versioned(base string) string {
	if versioned(base) {
		return base
	}
	return base + "/v1"
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
// their call. It is called once.
func (e *HTTP) Close() {
	for _, o := range e.origins {
		o.pool.leave()
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
	i := e.speak(c.Request.Dialect)
	if i < 0 {
		if s, ok := Estimate(c); ok {
			return s, nil
		}
		return nil, fault.New(fault.Unsupported, "this upstream serves no "+c.Request.Dialect.Operation().String()+" requests of this kind")
	}
	if refuse := e.spoken[i].Refuse; refuse != nil {
		if f := refuse(c.Request); f != nil {
			return nil, f
		}
	}
	s := e.spoken[i].idle.Get().(*stream)
	s.begin(c)
	if err := s.write(ctx, at, at.targets[i]); err != nil {
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
