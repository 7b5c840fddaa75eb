// Package api is what all surfaces share: the list of paths that exist, the way
// from a credential to a caller, one chat request's way from the socket to the
// gateway and back, and the health pages. What a vendor's clients expect to see
// is a Dialect; the packages below hold one each.
package api

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"headworks/internal/cell"
	"headworks/internal/fault"
	"headworks/internal/gateway"
	"headworks/internal/tenant"
	"headworks/internal/wire"
)

// Keys turns a credential into a caller, from memory.
type Keys interface {
	Resolve(credential []byte, now time.Time) (*tenant.Caller, error)
}

// Cells knows the gateways of other cells by the passes that they show.
type Cells interface {
	// Vouched returns on whose behalf a cell sends a request to a path, and the sum of
	// its body, see cell.Pass. Its errors are *fault.Error.
	Vouched(pass []byte, path string, now time.Time) (who *tenant.Caller, sum string, err error)
	// Report tells a cell how this one is, with a proof for it; false to others.
	Report(pass []byte, now time.Time) (body []byte, proof string, ok bool)
}

// Route is one path that exists, or all that lie below one.
type Route struct {
	Method  string
	Path    string // as it is written in requests, byte for byte; with a slash at its end, all below it
	Dialect *Dialect
	Shared  bool // the path is of several surfaces: the client's own header tells the dialect
	About   []About
	Serve   func(f *Front, x *wire.Exchange, v Visit)
}

// Visit is a request of a known caller at a route.
type Visit struct {
	Dialect *Dialect
	Caller  *tenant.Caller
	Sum     string // of the body, where a cell sends it: see cell.Pass
	Tail    string // what follows the path of a route to all that lie below it, as it was written
}

// Limits bound what a caller may send. They may change while requests run.
type Limits struct {
	Body     int64    // bytes
	Origins  []string // of pages that may read answers; * for any
	Compress int      // bytes from which a whole answer is compressed; 0: none is
}

// Front answers the requests of one listener. Whatever is not on its list of
// routes does not exist, and nothing is read of a request before its key is
// known.
type Front struct {
	gateway *gateway.Gateway
	keys    Keys
	Cells   Cells // nil: nobody vouches for callers
	health  *Health
	limits  func() Limits
	routes  map[string][]Route // of one path, by method
	below   []Route            // to all below a path, the longest first
	speaks  []*Dialect         // the first is for whoever cannot be told
	calls   calls
	squeeze deflaters
	refused [fault.Count]atomic.Uint64

	described func() []byte // all routes, see DescriptionPath
}

// NewFront returns a Front of these routes. Errors on paths that do not exist are
// told in the dialect of the client, or of the first route.
func NewFront(g *gateway.Gateway, keys Keys, h *Health, limits func() Limits, routes ...[]Route) *Front {
	f := &Front{gateway: g, keys: keys, health: h, limits: limits, routes: map[string][]Route{}}
	for _, list := range routes {
		for _, r := range list {
			if !slices.Contains(f.speaks, r.Dialect) {
				f.speaks = append(f.speaks, r.Dialect)
			}
			if strings.HasSuffix(r.Path, "/") {
				f.below = append(f.below, r)
			} else {
				f.routes[r.Path] = append(f.routes[r.Path], r)
			}
		}
	}
	slices.SortStableFunc(f.below, func(a, b Route) int { // those of one path stand together, see find
		return cmp.Or(len(b.Path)-len(a.Path), strings.Compare(a.Path, b.Path))
	})
	f.described = describeAll(h.Version, slices.Concat(routes...))
	f.calls.New = func() any { return newCall() }
	f.squeeze.New = newDeflater
	return f
}

// Serve answers one request.
func (f *Front) Serve(x *wire.Exchange) {
	if origins := f.limits().Origins; len(origins) > 0 && f.cors(x, origins) {
		return
	}
	at, tail := f.find(x.Path())
	if len(at) == 0 {
		f.elsewhere(x)
		return
	}
	i := slices.IndexFunc(at, func(r Route) bool { return r.Method == x.Method() })
	r := &at[max(i, 0)]
	v := Visit{Dialect: r.Dialect, Tail: tail}
	if r.Shared {
		v.Dialect = f.dialect(x)
	}
	if i < 0 {
		var methods []string
		for _, r := range at {
			methods = append(methods, r.Method)
		}
		var h wire.Header
		h.Add("Allow", strings.Join(methods, ", "))
		f.refuse(x, v.Dialect, &h, fault.New(fault.MethodNotAllowed, "this path takes "+strings.Join(methods, " and ")+" alone"))
		return
	}
	var err error
	if v.Caller, v.Sum, err = f.caller(x, v.Dialect); err != nil {
		var h wire.Header
		h.Add("WWW-Authenticate", "Bearer")
		f.refuse(x, v.Dialect, &h, fault.Of(err))
		return
	}
	r.Serve(f, x, v)
}

// find returns the routes of a path, and what follows theirs.
func (f *Front) find(path []byte) (at []Route, tail string) {
	if at = f.routes[string(path)]; len(at) > 0 {
		return at, ""
	}
	for i, r := range f.below {
		if len(path) > len(r.Path) && string(path[:len(r.Path)]) == r.Path {
			n := i + 1
			for n < len(f.below) && f.below[n].Path == r.Path {
				n++
			}
			return f.below[i:n], string(path[len(r.Path):])
		}
	}
	return nil, ""
}

// elsewhere answers what is no route: the health pages, the description of all
// routes, or nothing.
func (f *Front) elsewhere(x *wire.Exchange) {
	if string(x.Path()) == DescriptionPath {
		f.tellAll(x)
		return
	}
	if f.Cells != nil && string(x.Path()) == cell.Path && x.Method() == "GET" {
		pass, _ := x.Header(cell.Header)
		if body, proof, ok := f.Cells.Report(pass, x.Arrived()); ok {
			var h wire.Header
			h.Add(cell.Header, proof)
			_ = x.Respond(200, jsonType, &h, body) // fails only if the client is gone
			return
		}
	}
	if p, ok := f.health.Page(string(x.Path())); ok {
		var h wire.Header
		if m := x.Method(); m != "GET" && m != "HEAD" {
			h.Add("Allow", "GET, HEAD")
			p = page{405, "text/plain; charset=utf-8", []byte("this path takes GET\n")}
		}
		_ = x.Respond(p.Status, p.Type, &h, p.Body) // fails only if the client is gone
		return
	}
	f.refuse(x, f.dialect(x), nil, fault.New(fault.NotFound, "no such path; see docs/reference/http.md for those that exist"))
}

// dialect returns the dialect that the client of a shared path speaks: that whose
// own header it sends, or the first.
func (f *Front) dialect(x *wire.Exchange) *Dialect {
	for _, d := range f.speaks {
		if d.Mark == "" {
			continue
		}
		if _, ok := x.Header(d.Mark); ok {
			return d
		}
	}
	return f.speaks[0]
}

// Refused calls yield with the number of requests that were turned away before
// they had a caller or a route, by fault. Bad keys are told of from the start, so
// that the first can be noticed.
func (f *Front) Refused(yield func(kind string, n uint64)) {
	for k := range f.refused {
		if n := f.refused[k].Load(); n > 0 || fault.Kind(k) == fault.Unauthenticated {
			yield(fault.Kind(k).String(), n)
		}
	}
}

func (f *Front) caller(x *wire.Exchange, d *Dialect) (who *tenant.Caller, sum string, err error) {
	if f.Cells != nil {
		if pass, ok := x.Header(cell.Header); ok {
			return f.Cells.Vouched(pass, string(x.Path()), x.Arrived())
		}
	}
	credential, err := x.Credential()
	if err != nil {
		return nil, "", err
	}
	if credential == nil && d.KeyInQuery {
		credential = x.Param("key")
	}
	who, err = f.keys.Resolve(credential, x.Arrived())
	return who, "", err
}

// meant reports whether a body of whoever asks is the one that he may send: a cell's
// pass is for one alone.
func (v *Visit) meant(body []byte) error {
	if v.Caller.Cell != "" && cell.Sum(body) != v.Sum {
		return notMeant()
	}
	return nil
}

// Meant reports whether a body is the one that whoever asks may send: a cell's pass is
// for one alone.
func (v *Visit) Meant(body []byte) error { return v.meant(body) }

func notMeant() *fault.Error {
	return fault.New(fault.Unauthenticated, cell.Header+" is for a request with another body; does something between the cells change what they send?")
}

// refuse answers a request that never became a call.
func (f *Front) refuse(x *wire.Exchange, d *Dialect, h *wire.Header, e *fault.Error) {
	f.refused[e.Kind].Add(1)
	if h == nil {
		h = &wire.Header{}
	}
	id := newID(x.Arrived())
	d.identify(h, id)
	retry(h, e)
	_ = x.Respond(d.Status(e), jsonType, h, d.AppendError(nil, e, id.String())) // as above
}

// Tell answers a request that asks nothing of a model: with a body of JSON, or with
// an error in the caller's dialect.
func (f *Front) Tell(x *wire.Exchange, d *Dialect, body []byte, err error) {
	if err != nil {
		f.refuse(x, d, nil, fault.Of(err))
		return
	}
	var h wire.Header
	d.identify(&h, newID(x.Arrived()))
	_ = x.Respond(200, jsonType, &h, body) // fails only if the client is gone
}

// Stream answers a request that asks nothing of a model with events.
func (f *Front) Stream(x *wire.Exchange, d *Dialect, events []byte) {
	var h wire.Header
	d.identify(&h, newID(x.Arrived()))
	h.Add("Cache-Control", private)
	_ = x.Respond(200, "text/event-stream; charset=utf-8", &h, events) // as above
}

// Misread is how the wire turns away what it cannot read as a request, or what
// nobody answered: in the first dialect, since nothing is known of the client, and
// counted, but for a defect, which is in the log.
func (f *Front) Misread(status int, words string, h *wire.Header) (contentType string, body []byte) {
	kind := fault.InvalidRequest
	switch status {
	case 408:
		kind = fault.SlowRequest
	case 413, 414, 431:
		kind = fault.TooLarge
	case 500:
		kind = fault.Internal
	}
	if kind != fault.Internal {
		f.refused[kind].Add(1)
	}
	d, id := f.speaks[0], newID(time.Now())
	d.identify(h, id)
	e := fault.New(kind, words)
	e.Status = status
	return jsonType, d.AppendError(nil, e, id.String())
}

// Refuse answers a request for what a route has not.
func (f *Front) Refuse(x *wire.Exchange, v Visit, e *fault.Error) { f.refuse(x, v.Dialect, nil, e) }

const jsonType = "application/json"
