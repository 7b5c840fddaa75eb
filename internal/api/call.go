package api

import (
	"context"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"headworks/internal/complexity"
	"headworks/internal/dialect"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/form"
	"headworks/internal/gateway"
	"headworks/internal/inference"
	"headworks/internal/place"
	"headworks/internal/prefix"
	"headworks/internal/scan"
	"headworks/internal/tenant"
	"headworks/internal/wire"
)

// Dialect is how a vendor's clients ask, and what they expect to see. The
// functions are those of the dialect's package below internal/dialect.
type Dialect struct {
	Name         string
	Shape        *scan.Shape
	ReadRequest  func(d *scan.Doc, into *inference.Request) error
	ReadPath     func(tail string, query []byte, into *inference.Request) error // after ReadRequest, where the path says more
	FormFields   []string                                                       // of a request that may be a form: what ReadForm wants to see of it
	ReadForm     func(f *form.Reader, into *inference.Request) error            // nil: there are no forms
	Render       func(d *scan.Doc, to dialect.Rendering)                        // nil: prompts of this dialect are not foreseen in caches
	Decode       func(d *scan.Doc) (*inference.Conversation, []string, error)
	EncodeAnswer func(a *inference.Answer) []byte
	Status       func(f *fault.Error) int
	AppendError  func(dst []byte, f *fault.Error, id string) []byte
	AppendModels func(dst []byte, models ...inference.Model) []byte
	AppendModel  func(dst []byte, m inference.Model) []byte
	NewWriter    func(id string, created time.Time, req *inference.Request) Writer

	// Idle, where set, returns the answer to a request that asks nothing of a model but
	// to be there, and nil for any other.
	Idle func(d *scan.Doc, r *inference.Request, now time.Time) []byte

	// Begin, where set, begins a call of a dialect that keeps its answers, once the
	// request was read: it returns who writes the answer and keeps it, and the body
	// to go on with where the caller's own refers to what is kept.
	Begin func(ctx context.Context, d *scan.Doc, r *gateway.Request, answerID string) (Keeper, []byte, error)

	// Ground says where passages of documents have a place in a request; nil: nowhere.
	// Of the answer to such a request, CiteBefore appends what has to come before an
	// event of an upstream of the dialect, so that what its text cites is told, and
	// CiteWhole returns the edits of a whole body; cite returns the citations of a text
	// by its number, or of all as one for -1, which is what Joined says that the dialect
	// has. Anew, where set, reports whether the answer is written from its steps
	// instead. Search, where set, returns what a tool of the dialect that searches
	// documents asks for, if collections that are known run it, and the body without it.
	Ground     func(d *scan.Doc, text string, front bool) ([]byte, bool)
	CiteBefore func(dst []byte, event *scan.Doc, cite func(block int) []inference.Citation) []byte
	CiteWhole  func(answer *scan.Doc, cite func(block int) []inference.Citation) []scan.Edit
	Joined     bool
	Anew       func(d *scan.Doc) bool
	Search     func(d *scan.Doc, known func(collection string) bool) (*inference.Knowledge, []byte, error)

	AnswerID   string   // what the id of an answer begins with
	Reframed   bool     // streams are framed otherwise than those of upstreams; the Writer has Raw
	KeyInQuery bool     // the parameter key of the query is a credential, where no header has one
	Stream     string   // media type of a streamed answer; server-sent events unless set
	RequestID  string   // a header beside x-request-id, if the vendor has one
	Mark       string   // a header that only this vendor's clients send, if there is one
	Forwarded  []string // headers that pass through to upstreams of this dialect
}

// Writer writes a streamed answer; see the dialects' own.
type Writer interface {
	Delta(dst []byte, d inference.Delta) []byte
	End(dst []byte) []byte
	Fail(dst []byte, f *fault.Error, id string) []byte
	KeepAlive(dst []byte) []byte
}

// reframer is a Writer whose stream is framed otherwise than upstreams of its dialect
// frame theirs: it writes their events too.
type reframer interface {
	Raw(dst, events []byte) []byte
}

// barer is a Writer of a dialect whose clients pass over the error event that Fail
// writes, and raise on what Bare appends, in a last piece of its own.
type barer interface {
	Bare(dst []byte, f *fault.Error, id string) []byte
}

// Keeper writes the answer to one call and keeps it: the whole of it before its end
// leaves.
type Keeper interface {
	Writer
	// Pass returns the bytes of a chunk without steps: of a stream, what the upstream
	// wrote; of a whole answer, its body. The last chunk of an answer is passed
	// before End is called.
	Pass(c *engine.Chunk) []byte
}

// longest is the wait that clients obey; see docs/explanation/streams.md.
const longest = 8 * time.Second

// calls keeps calls for another use.
type calls struct{ sync.Pool }

// call is one request, and the sink of its answer.
type call struct {
	x        *wire.Exchange
	d        *Dialect
	req      gateway.Request
	doc      scan.Doc
	hasher   prefix.Hasher
	meter    complexity.Meter
	blocks   []uint64
	header   wire.Header
	squeeze  *deflaters // where the client takes compressed answers ...
	compress int        // ... of at least so many bytes
	pass     []string   // of req.Header
	writer   Writer     // made when first needed
	keeper   Keeper     // the writer too, where answers are kept
	out      []byte
	sent     bool                 // content left: the request will not be needed again
	asks     *inference.Knowledge // what the caller wants of documents; nil: he does not say
	text     int                  // one more than the block of the text that is being written
	searched bool                 // the writer knows of the search
	whenLaid func()
	watch    func()
	told     func() place.Header
	decoded  func() (*inference.Conversation, []string, error)
}

func newCall() *call {
	k := &call{}
	k.watch, k.told, k.whenLaid = func() { k.x.Watch() }, k.said, k.laid
	k.decoded = func() (*inference.Conversation, []string, error) {
		if k.d.Decode == nil {
			return nil, nil, fault.New(fault.Unsupported, "no upstream of this model serves "+k.req.Dialect.Operation().String()+" requests")
		}
		return k.d.Decode(&k.doc)
	}
	return k
}

// Chat serves a request of a dialect, be it chat or another operation.
func Chat(f *Front, x *wire.Exchange, v Visit) {
	k := f.calls.Get().(*call)
	k.serve(f, x, v)
	if k.doc.Size() > maxKept {
		k.doc = scan.Doc{}
	}
	if cap(k.out) > maxKept {
		k.out = nil
	}
	k.header.Reset()
	clear(k.pass)
	k.out, k.pass = k.out[:0], k.pass[:0]
	k.x, k.d, k.writer, k.keeper, k.sent = nil, nil, nil, nil, false
	k.asks, k.text, k.searched = nil, 0, false
	k.squeeze, k.compress = nil, 0
	model := k.req.Model // costs nothing where the next caller asks for the same
	k.req = gateway.Request{}
	k.req.Model = model
	f.calls.Put(k)
}

const maxKept = 64 << 10

func (k *call) serve(f *Front, x *wire.Exchange, v Visit) {
	k.x, k.d = x, v.Dialect
	r := &k.req
	k.locate(f, v.Caller)
	r.Arrived, r.Caller, r.Surface = x.Arrived(), v.Caller, v.Dialect.Name
	r.ID = newID(r.Arrived)
	if err := k.read(f, &v); err != nil {
		e := fault.Of(err)
		_ = k.End(&gateway.Head{ID: r.ID}, nil, e) // fails only if the client is gone
		f.gateway.Refuse(r, e)
		return
	}
	if k.d.Idle != nil {
		if body := k.d.Idle(&k.doc, &r.Request, r.Arrived); body != nil {
			_, err := f.model(r.Model, v)
			f.Tell(x, k.d, body, err)
			return
		}
	}
	f.gateway.Do(x.Context(), r, k)
}

// locate finds out where the caller is.
func (k *call) locate(f *Front, c *tenant.Caller) {
	if places := f.gateway.World().Places; places != nil {
		k.req.Place, k.req.PlacedBy = places.Find(place.Place{Region: c.Region, Zone: c.Zone}, k.x.Remote(), k.told)
	}
}

// said returns what a proxy says of the caller. Of a place that is named twice
// nothing counts: one name may be the client's.
func (k *call) said() (h place.Header) {
	for field, value := range k.x.Headers() {
		switch {
		case strings.EqualFold(string(field), "x-forwarded-for"):
			if h.Forwarded != "" {
				h.Forwarded += ","
			}
			h.Forwarded += string(value)
		case strings.EqualFold(string(field), "x-headworks-place"):
			if h.Named++; h.Named == 1 {
				h.Place = string(value)
			}
		}
	}
	return h
}

// read reads and checks the body, once, and keeps its bytes.
func (k *call) read(f *Front, v *Visit) error {
	r, x := &k.req, k.x
	limits := f.limits()
	if limits.Compress > 0 {
		if field, ok := x.Header("accept-encoding"); ok && accepts(field) {
			k.compress, k.squeeze = limits.Compress, &f.squeeze
		}
	}
	media, _ := x.Header("content-type")
	switch isForm := form.Is(string(media)); {
	case isForm && k.d.ReadForm != nil:
		if v.Sum != "" {
			return notMeant()
		}
		return k.readForm(string(media), limits.Body)
	case k.d.ReadRequest == nil:
		e := fault.New(fault.InvalidRequest, "the body is not multipart/form-data; send the file as a form")
		e.Status = 415
		return e
	}
	asked := time.Now()
	body, err := x.Body(limits.Body)
	began := time.Now()
	r.Uploaded = began.Sub(asked)
	if err != nil {
		return err
	}
	if err := v.meant(body); err != nil {
		return err
	}
	if coding, ok := x.Header("content-encoding"); ok && string(coding) != "identity" {
		if body, err = inflate(string(coding), body, limits.Body); err != nil {
			return err
		}
	}
	r.Bytes = len(body)
	if err := k.doc.Scan(body, k.d.Shape); err != nil {
		return unreadable(err)
	}
	if k.d.Ground != nil {
		if body, err = k.own(body); err != nil {
			return err
		}
	}
	if err := k.d.ReadRequest(&k.doc, &r.Request); err != nil {
		return err
	}
	if k.d.ReadPath != nil {
		if err := k.d.ReadPath(v.Tail, x.Query(), &r.Request); err != nil {
			return err
		}
	}
	if k.d.Begin != nil {
		if body, err = k.remember(body); err != nil {
			return err
		}
	}
	if k.d.Ground != nil {
		if body, err = k.hosted(f, body); err != nil {
			return err
		}
		r.Knowledge, r.Ground, r.Laid = k.asks, k.d.Ground, k.whenLaid
		r.Anew = k.d.Anew != nil && k.d.Anew(&k.doc)
	}
	if k.d.Render != nil && f.gateway.World().Fleet.Foresees {
		k.hasher.Reset(k.blocks[:0])
		k.d.Render(&k.doc, &k.hasher)
		k.blocks = k.hasher.Blocks()
		r.Blocks = k.blocks
	}
	if k.d.Render != nil && judges(f.gateway.World().Fleet, r.Model) {
		k.meter.Reset()
		k.d.Render(&k.doc, &k.meter)
		r.Features = k.meter.Features()
		k.meter.Reset() // it holds the body
	}
	if err := k.wishes(); err != nil {
		return err
	}
	r.Scanned = time.Since(began)
	r.Body, r.Doc, r.Conversation = body, &k.doc, k.decoded
	r.Shape, r.Decode = k.d.Shape, k.d.Decode
	r.AnswerID = k.d.AnswerID
	k.controls()
	k.follow()
	return nil
}

// judges reports whether a model chooses the best target, by what a prompt looks like.
func judges(s *fleet.Snapshot, model string) bool {
	if !s.Judges {
		return false
	}
	m, ok := s.Model(model)
	return ok && m.Policy == fleet.Best
}

// follow takes from the header what goes on with the request.
func (k *call) follow() {
	r, x := &k.req, k.x
	r.Watch = k.watch
	for _, name := range sessions {
		if v, ok := x.Header(name); ok {
			r.Session = dialect.Session(v)
		}
	}
	for _, name := range k.d.Forwarded {
		if _, ok := x.Header(name); ok {
			k.forward(name)
		}
	}
	r.Header = k.pass
	k.trace()
}

// remember begins a call whose answer is kept, and returns the body to go on with.
func (k *call) remember(body []byte) ([]byte, error) {
	r := &k.req
	var whole []byte
	var err error
	if k.keeper, whole, err = k.d.Begin(k.x.Context(), &k.doc, r, k.answerID()); err != nil {
		return nil, err
	}
	k.writer = k.keeper
	if whole == nil {
		return body, nil
	}
	if err := k.doc.Scan(whole, k.d.Shape); err != nil {
		return nil, unreadable(err)
	}
	session := r.Session
	if err := k.d.ReadRequest(&k.doc, &r.Request); err != nil {
		return nil, err
	}
	r.Session = session
	return whole, nil
}

// forward passes on a header: a list may come in several fields of one name
// (RFC 9110 5.3).
func (k *call) forward(name string) {
	for field, value := range k.x.Headers() {
		if strings.EqualFold(string(field), name) {
			k.pass = append(k.pass, name, string(value))
		}
	}
}

// sessions are the headers by which clients name a conversation: Claude Code, Codex
// now and before, OpenRouter's. They count before what a body says.
var sessions = [...]string{"x-claude-code-session-id", "session-id", "session_id", "x-session-id"}

// trace takes the caller's trace, or begins one with the request's own id
// (W3C Trace Context, section 3.2).
func (k *call) trace() {
	r := &k.req
	in, ok := k.x.Header("traceparent")
	if ok && len(in) >= 55 && in[2] == '-' && in[35] == '-' && in[52] == '-' && string(in[:2]) != "ff" {
		if _, err := hex.Decode(r.TraceID[:], in[3:35]); err == nil && r.TraceID != [16]byte{} {
			r.Trace = traceparent(r.TraceID, r.ID, in[53:55])
			return
		}
	}
	r.TraceID = r.ID
	r.Trace = traceparent(r.TraceID, r.ID, []byte("01"))
}

func traceparent(trace [16]byte, id inference.ID, flags []byte) string {
	b := make([]byte, 0, 55)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, trace[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[8:])
	b = append(b, '-')
	return string(append(b, flags...))
}

// unreadable says in the caller's words why a body has no single reading.
func unreadable(err error) error {
	f := fault.New(fault.InvalidJSON, "the body is not JSON with a single reading: "+err.Error())
	f.Cause = err
	return f
}

// newID returns a request's id; its arrival and 80 random bits.
func newID(now time.Time) inference.ID {
	return inference.NewID(now, uint16(rand.Uint32()), rand.Uint64())
}

// Open implements gateway.Sink.
func (k *call) Open(h *gateway.Head) error {
	if k.req.Opaque {
		return nil
	}
	if err := k.begin(h, ""); err != nil {
		return err
	}
	return k.Alive()
}

// Send implements gateway.Sink.
func (k *call) Send(h *gateway.Head, c *engine.Chunk) error {
	if !k.x.Began() {
		if err := k.begin(h, c.Type); err != nil {
			return err
		}
	}
	if !k.sent {
		k.sent = true
		k.x.Release()
	}
	k.grounded(h)
	if c.Deltas == nil && !k.d.Reframed {
		return k.x.Write(k.cited(h, k.passed(c)))
	}
	k.out = k.encode(k.raw(k.out[:0], k.cited(h, k.passed(c))), h, c)
	return k.x.Write(k.out)
}

// Alive implements gateway.Sink.
func (k *call) Alive() error {
	if k.req.Opaque {
		return nil // sound has no comments
	}
	k.out = k.into().KeepAlive(k.out[:0])
	return k.x.Write(k.out)
}

// End implements gateway.Sink.
func (k *call) End(h *gateway.Head, c *engine.Chunk, f *fault.Error) error {
	switch {
	case f != nil && (f.Kind == fault.ClientClosed || k.req.Opaque && k.x.Began()):
		k.x.Abort()
		return nil
	case f != nil && k.x.Began():
		k.out = k.into().Fail(k.out[:0], f, h.ID.String())
		if w, ok := k.writer.(barer); ok {
			if err := k.x.Write(k.out); err != nil {
				return err
			}
			k.out = w.Bare(k.out[:0], f, h.ID.String())
		}
		return k.x.WriteEnd(k.out)
	case f != nil:
		k.tell(h)
		retry(&k.header, f)
		return k.x.Respond(k.d.Status(f), jsonType, &k.header, k.d.AppendError(k.out[:0], f, h.ID.String()))
	case !k.req.Stream:
		k.tell(h)
		body := c.Raw
		if c.Answer != nil {
			k.named(c.Answer)
			k.noted(h, c.Answer)
			k.grounded(h)
		}
		switch {
		case k.keeper != nil:
			body = k.keeper.Pass(c)
		case c.Answer != nil:
			body = k.d.EncodeAnswer(c.Answer)
		default:
			body = k.citedWhole(h, body)
		}
		media := jsonType
		if c.Type != "" {
			media = c.Type
		}
		if k.compress > 0 && len(body) >= k.compress {
			k.header.Add("Content-Encoding", "gzip")
			k.header.Add("Vary", "Accept-Encoding")
			body = k.squeeze.deflate(nil, body)
		}
		return k.x.Respond(200, media, &k.header, body)
	}
	if !k.x.Began() {
		if err := k.begin(h, c.Type); err != nil {
			return err
		}
	}
	k.grounded(h)
	k.out = k.encode(k.raw(k.out[:0], k.cited(h, k.passed(c))), h, c)
	k.out = k.into().End(k.out)
	return k.x.WriteEnd(k.out)
}

// raw appends the events of an upstream of the caller's dialect.
func (k *call) raw(dst, events []byte) []byte {
	if w, ok := k.into().(reframer); ok && k.d.Reframed {
		return w.Raw(dst, events)
	}
	return append(dst, events...)
}

// passed returns what the upstream wrote, once the keeper has seen it.
func (k *call) passed(c *engine.Chunk) []byte {
	if k.keeper == nil || len(c.Raw) == 0 {
		return c.Raw
	}
	return k.keeper.Pass(c)
}

func (k *call) encode(dst []byte, h *gateway.Head, c *engine.Chunk) []byte {
	for i := range c.Deltas {
		d := c.Deltas[i]
		dst = k.citing(dst, h, &d)
		dst = k.into().Delta(dst, d)
	}
	return dst
}

func (k *call) into() Writer {
	if k.writer == nil {
		k.writer = k.d.NewWriter(k.answerID(), k.req.Arrived, &k.req.Request)
	}
	return k.writer
}

// named gives a whole answer the names that a stream would have: those of its
// upstream are in another dialect.
func (k *call) named(a *inference.Answer) {
	a.ID, a.Model, a.Created = k.answerID(), k.req.Model, k.req.Arrived.Unix()
}

func (k *call) answerID() string { return k.d.AnswerID + k.req.ID.String() }

// begin begins a stream, of that media type or of the dialect's.
func (k *call) begin(h *gateway.Head, stream string) error {
	k.tell(h)
	k.header.Add("X-Accel-Buffering", "no")
	if stream == "" {
		stream = k.d.Stream
	}
	if stream == "" {
		stream = "text/event-stream; charset=utf-8"
	}
	return k.x.Begin(200, stream, &k.header)
}

// tell writes what is known of the answer into its header.
func (k *call) tell(h *gateway.Head) {
	w := &k.header
	k.d.identify(w, h.ID)
	add := func(name, value string) {
		if value != "" {
			w.Add(name, value)
		}
	}
	add("x-headworks-model", h.Model)
	add("x-headworks-upstream", h.Upstream)
	add("x-headworks-region", h.Region)
	add("x-headworks-replica", h.Replica)
	add("x-headworks-route", h.Route)
	add("x-headworks-arm", h.Arm)
	add("x-headworks-config", h.Config)
	if h.Attempts > 0 {
		w.AddInt("x-headworks-attempts", int64(h.Attempts))
	}
	cached(w, &h.Cache)
	w.AddFloat("x-headworks-overhead-ms", float64(h.Overhead)/float64(time.Millisecond), 3)
	if h.CostKnown {
		w.AddFloat("x-headworks-cost", float64(h.Cost)/1e6, 6)
	}
	add("x-headworks-degraded", h.Degraded)
	if h.Ground != nil {
		w.Add("x-headworks-sources", sources(h.Ground.Passages))
	}
	if h.Simulated {
		w.Add("x-headworks-simulated", "true")
	}
	if h.Lexical {
		w.Add("x-headworks-lexical", "true")
	}
	for i, name := range h.Dropped {
		if i == 0 {
			k.out = k.out[:0]
		} else {
			k.out = append(k.out, ", "...)
		}
		k.out = append(k.out, name...)
	}
	if len(h.Dropped) > 0 {
		w.Add("x-headworks-dropped", string(k.out))
	}
}

func (d *Dialect) identify(w *wire.Header, id inference.ID) {
	var room [40]byte
	text := string(id.Append(room[:0]))
	w.Add("x-request-id", text)
	if d.RequestID != "" {
		w.Add(d.RequestID, text)
	}
}

// retry tells a client whether to come back, and when. Official clients obey
// x-should-retry before anything else, and waits of at most longest; the time is
// spread, so that those who were turned away together do not return together.
func retry(w *wire.Header, f *fault.Error) {
	again := (f.Kind.Info().Retry || f.Again) && f.After <= longest
	if f.Kind == fault.ClientClosed {
		return
	}
	w.Add("x-should-retry", strconv.FormatBool(again))
	if f.After <= 0 {
		return
	}
	wait := f.After
	if again {
		wait = time.Duration(float64(wait) * (1 + rand.Float64()/2))
		wait = min(wait, longest)
		w.AddInt("retry-after-ms", wait.Milliseconds())
	}
	w.AddInt("retry-after", int64(math.Ceil(wait.Seconds())))
}
