package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
	"headworks/internal/wire"
)

// stream is one call on its way. It serves one after the other: what is in life
// is of one call, the rest stays.
type stream struct {
	engine  *HTTP
	spoken  *spoken
	header  wire.Header
	body    []byte // of the request, if it is not the caller's own
	edits   []scan.Edit
	target  []byte
	split   Framing
	reader  Reader
	doc     *scan.Doc // borrowed while bytes are read, nil otherwise
	deltas  []inference.Delta
	spliced []byte // of an event that had to be changed
	life
}

type life struct {
	call      *Call
	request   wire.Request
	response  *wire.Response
	same      bool // the caller speaks our dialect
	raw       bool // ... and gets what we read as it came
	arguments arguments

	dropped []string
	status  int
	plain   bool        // the answer is one JSON value, though a stream was asked for
	media   string      // of an answer that is neither JSON nor events
	event   *wire.Event // read, but kept for the next chunk
	told    inference.Event
	err     error     // kept for the next call: what came before it goes first
	last    bool      // the terminal came
	fed     bool      // any of a streamed answer came
	text    int       // bytes of text in it so far
	whole   time.Time // when every choice had finished, or the call was refused
	seen    int64     // bytes of a whole answer at the last look
}

func (s *stream) begin(c *Call) {
	s.call = c
	s.same = c.Request.Dialect == s.spoken.Dialect
	s.raw = s.same && !c.Anew
	if s.same {
		s.reader.Reset(c.Request.N)
	} else {
		s.reader.Reset(1) // one answer alone has a way across dialects
	}
}

// write makes the request: the caller's bytes with what must be changed, or a
// translation of them.
func (s *stream) write(ctx context.Context, at *origin, target string) error {
	c, p := s.call, s.spoken
	body, doc := c.Body, c.Doc
	s.dropped = s.dropped[:0]
	if !s.same {
		talk, dropped, err := c.Conversation()
		if err != nil {
			return err
		}
		var more []string
		s.dropped = append(s.dropped, dropped...)
		talk, moved := addressed(p.Dialect, talk)
		if moved != "" {
			s.dropped = dialect.Drop(s.dropped, moved)
		}
		body, more = p.Encode(talk, c.Model, c.Request.Stream)
		if s.dropped = append(s.dropped, more...); len(s.dropped) > 0 {
			if err := unsaid(&p.Protocol, c, talk); err != nil {
				return err
			}
		}
	}
	s.edits = s.edits[:0]
	switch {
	case p.Refit != nil && !s.same:
		s.borrow()
		defer s.giveBack()
		if doc = s.doc; doc.ScanLax(body) != nil {
			return fault.New(fault.Internal, "the request could not be translated for the upstream")
		}
		fallthrough
	case p.Refit != nil:
		s.edits, s.dropped = p.Refit(s.edits, s.dropped, doc, c.Model)
	case p.Edits != nil && s.same && c.Form == nil:
		s.edits = p.Edits(s.edits, doc, c.Model)
	}
	claims := 0 // of fields that are not the caller's
	if s.same && c.Form == nil {
		before := len(s.dropped)
		s.dropped = p.claimed(s.dropped, c.Doc.Root())
		claims = len(s.dropped) - before
	}
	if err := c.Keep(s.dropped); err != nil {
		return err
	}
	media, accept := "application/json", "application/json"
	s.request = wire.Request{Method: "POST"}
	if f := c.Form; f != nil {
		if f.Rest != nil && s.engine.options.Sign != nil {
			return fault.New(fault.Unsupported, "this upstream wants a request signed whole, and this one is too large for that")
		}
		if name := body[f.Model[0]:f.Model[1]]; string(name) != c.Model {
			s.body = append(append(append(s.body[:0], body[:f.Model[0]]...), c.Model...), body[f.Model[1]:]...)
			body = s.body
		}
		media, s.request.Rest, s.request.Length = f.Type, f.Rest, f.Length
	}
	switch {
	case c.Request.Stream && !c.Request.Opaque:
		accept = p.Type
	case len(p.Media) > 0:
		accept = "*/*"
	}
	if len(s.edits) > 0 {
		s.body = scan.Splice(s.body[:0], body, s.edits)
		body = s.body
	}
	if s.engine.options.Salt && (p.Dialect == inference.OpenAI || p.Dialect == inference.Completions) {
		var err error
		if body, err = s.salt(body); err != nil {
			return err
		}
	}
	if s.engine.options.marks && p.Mark != nil && c.Form == nil {
		var err error
		if body, err = s.mark(body); err != nil {
			return err
		}
	}
	if claims > 0 {
		var err error
		if body, err = s.disclaim(body); err != nil {
			return err
		}
	}
	if p.Handover != nil && (c.Prefill || c.Handed != nil) {
		var err error
		if body, err = s.hand(p.Handover, body); err != nil {
			return err
		}
	}
	if p.Target != nil {
		s.target = p.Target(s.target[:0], at.base, c.Model, c.Request.Stream)
		target = string(s.target)
	}
	o := &s.engine.options
	s.header.Reset()
	for _, f := range o.Header {
		s.header.Add(f[0], f[1])
	}
	if at.key < len(o.Keys) {
		for _, f := range o.Keys[at.key] {
			s.header.Add(f[0], f[1])
		}
	}
	s.header.Add("Content-Type", media)
	s.header.Add("Accept", accept)
	if c.Prefill || c.Handed != nil { // both replicas know the request by one name
		s.header.Add("X-Request-Id", c.Request.ID.String())
	}
	if c.Trace != "" {
		s.header.Add("traceparent", c.Trace)
	}
	s.forward(c.Header)
	if o.Vouch != nil {
		known := body
		if c.Form != nil {
			known = nil
		}
		name, value, err := o.Vouch(c, target, known)
		if err != nil {
			return err
		}
		s.header.Add(name, value)
	}
	if o.Sign != nil {
		if err := o.Sign(ctx, &Signed{Key: at.key, Host: at.host, Target: target, Header: &s.header, Body: body}); err != nil {
			return err
		}
	}
	s.request.Target, s.request.Header, s.request.Body = target, &s.header, body
	return nil
}

// hand returns the body with what hands a prompt over.
func (s *stream) hand(h *Handover, body []byte) ([]byte, error) {
	c := s.call
	if err := s.reread(body); err != nil {
		return nil, err
	}
	defer s.giveBack()
	if c.Prefill {
		apart := h.Prefill(nil, s.doc)
		if apart == nil {
			return nil, fault.New(fault.Unsupported, "this prompt cannot be read by one engine for another")
		}
		return apart, nil
	}
	return h.Take(nil, s.doc, c.Handed), nil
}

// mark returns the body with a mark at the end of what stays the same of the prompt.
func (s *stream) mark(body []byte) ([]byte, error) {
	if err := s.reread(body); err != nil {
		return nil, err
	}
	defer s.giveBack()
	who := ""
	if c := s.call.Caller; c != nil {
		who = c.Tenant
	}
	edits := s.spoken.Mark(nil, s.doc, s.call.Model, who)
	if len(edits) == 0 {
		return body, nil
	}
	slices.SortStableFunc(edits, func(a, b scan.Edit) int { return cmp.Compare(a.Start, b.Start) })
	return scan.Splice(nil, body, edits), nil
}

// reread reads a body of ours into a borrowed document, which is to be given back; not
// where it fails.
func (s *stream) reread(body []byte) error {
	s.borrow()
	if s.doc.ScanLax(body) != nil {
		s.giveBack()
		return fault.New(fault.Internal, "the request could not be written for the upstream")
	}
	return nil
}

// forward passes on what the caller said in a dialect that is ours, and says the
// defaults where it said nothing.
func (s *stream) forward(header []string) {
	o := &s.engine.options
	if !s.same {
		header = nil
	}
	for i := 0; i+1 < len(header); i += 2 {
		if slices.Contains(o.Forwarded, header[i]) {
			s.header.Add(header[i], header[i+1])
		}
	}
	for _, d := range o.Defaults {
		said := false
		for i := 0; i+1 < len(header); i += 2 {
			said = said || header[i] == d[0]
		}
		if !said {
			s.header.Add(d[0], d[1])
		}
	}
}

// Dropped implements Stream.
func (s *stream) Dropped() []string { return s.dropped }

// parting is how long the end of the message may take behind the end of the
// answer: the connection is kept for the next call only if it was read.
const parting = 20 * time.Millisecond

// Close implements Stream.
func (s *stream) Close() error {
	if s.response != nil {
		if s.last {
			for until := time.Now().Add(parting); ; {
				if _, err := s.response.Read(until); err != nil {
					break // the end, or too late: Close tells them apart
				}
			}
		}
		s.response.Close()
		s.release()
	}
	return nil
}

// release makes s ready for another call, but for what grew too large to keep.
func (s *stream) release() {
	s.split.Reset()
	s.body, s.spliced = kept(s.body), kept(s.spliced)
	clear(s.deltas)
	s.deltas = s.deltas[:0]
	s.life = life{}
	s.spoken.idle.Put(s)
}

const maxKept = 64 << 10

func kept(b []byte) []byte {
	if cap(b) > maxKept {
		return nil
	}
	return b[:0]
}

// borrow takes a tape to read with. All streams share a few: the one that was used
// a moment ago is still in the processor's cache, one of the stream's own is not.
func (s *stream) borrow() { s.doc = s.engine.docs.Get().(*scan.Doc) }

func (s *stream) giveBack() {
	if s.doc.Size() <= maxKept {
		s.engine.docs.Put(s.doc)
	}
	s.doc = nil
}

// Next implements Stream.
func (s *stream) Next(until time.Time) (Chunk, error) {
	if s.err != nil {
		return Chunk{}, s.err
	}
	c, err := s.next(until)
	if c.Last {
		s.err = errOver
	}
	return c, err
}

// errOver is what a stream is at after its last chunk.
var errOver = fault.New(fault.Interrupted, "the answer is at its end already")

func (s *stream) next(until time.Time) (Chunk, error) {
	if s.status == 0 {
		if err := s.head(until); err != nil {
			return Chunk{}, quiet(err)
		}
	}
	switch {
	case s.status != 200:
		return Chunk{}, s.refused(until)
	case s.media != "" && s.call.Request.Stream:
		return s.relay(until)
	case s.plain:
		c, err := s.answer(until)
		if err == nil && c.Last { // an error would have said so
			err = broken("a whole answer came where a stream was asked for")
		}
		return Chunk{}, err
	case !s.call.Request.Stream:
		return s.answer(until)
	}
	for {
		c, err := s.events()
		if err != nil || c.Last || len(c.Raw) > 0 || len(c.Deltas) > 0 || c.Event != (inference.Event{}) {
			return c, err
		}
		b, err := s.response.Read(s.patience(until))
		switch {
		case err == nil:
			s.fed = true
			s.split.Feed(b)
		case errors.Is(err, wire.ErrQuiet):
			if s.settled() {
				return s.end(nil)
			}
			return Chunk{}, ErrQuiet
		default:
			return s.end(err)
		}
	}
}

// head reads the status, and what it says of the body.
func (s *stream) head(until time.Time) error {
	status, err := s.response.Head(until)
	if err != nil {
		return err
	}
	s.status = status
	if status != 200 {
		s.whole = time.Now()
		return nil
	}
	if s.engine.options.Vouch != nil {
		s.droppedThere()
	}
	kind, _ := s.response.Header("content-type")
	want := "application/json"
	if s.call.Request.Stream {
		want = s.spoken.Type
	}
	switch {
	case s.response.Encoded():
		s.err = broken("the answer came in a coding that was not asked for")
		return s.err
	case isKind(kind, want) && !s.call.Request.Opaque:
	case s.spoken.passes(kind) && s.call.Request.Opaque == s.call.Request.Stream:
		if s.media = string(kind); !s.response.Framed() {
			s.err = broken("the answer does not say where it ends")
			return s.err
		}
	case isKind(kind, "application/json"):
		s.plain = true
	default:
		s.err = broken("the answer is of another type than was asked for")
		return s.err
	}
	return nil
}

// droppedThere adds what the gateway that was asked could not tell its engine.
func (s *stream) droppedThere() {
	names, _ := s.response.Header("x-headworks-dropped")
	for name := range strings.SplitSeq(string(names), ",") {
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(s.dropped, name) {
			s.dropped = append(s.dropped, name)
		}
	}
}

// passes reports whether an answer of that type passes as it is.
func (p *Protocol) passes(field []byte) bool {
	kind, _, _ := bytes.Cut(field, []byte{';'})
	kind = bytes.ToLower(bytes.TrimSpace(kind))
	for _, m := range p.Media {
		if string(kind) == m || strings.HasSuffix(m, "/") && bytes.HasPrefix(kind, []byte(m)) && len(kind) > len(m) {
			return true
		}
	}
	return false
}

// relay reads a piece of an answer that is bytes, up to its proper end.
func (s *stream) relay(until time.Time) (Chunk, error) {
	b, err := s.response.Read(until)
	switch {
	case err == nil:
		s.fed = true
		return Chunk{Raw: b, Type: s.media, Event: inference.Event{Content: true}}, nil
	case errors.Is(err, wire.ErrQuiet):
		return Chunk{}, ErrQuiet
	case err != io.EOF: //nolint:errorlint // itself: it is the cause of a cut too
		return Chunk{}, err
	case !s.fed:
		return Chunk{}, broken("the answer is empty")
	}
	s.last = true
	return Chunk{Last: true, Event: inference.Event{Finishes: 1, Finish: inference.Stop, Terminal: true}}, nil
}

func isKind(field []byte, want string) bool {
	kind, _, _ := bytes.Cut(field, []byte{';'})
	return bytes.EqualFold(bytes.TrimSpace(kind), []byte(want))
}

func broken(why string) *fault.Error {
	return fault.Wrap(fault.Malformed, "the upstream answered with something else than was asked for", errors.New(why))
}

// quiet tells in our own words that nothing came.
func quiet(err error) error {
	if errors.Is(err, wire.ErrQuiet) {
		return ErrQuiet
	}
	return err
}

// patience is until, or sooner where only the end of an answer is awaited.
func (s *stream) patience(until time.Time) time.Time {
	if s.whole.IsZero() {
		return until
	}
	if soon := s.whole.Add(settle); until.IsZero() || soon.Before(until) {
		return soon
	}
	return until
}

// settled reports whether the rest had its time to come.
func (s *stream) settled() bool {
	return !s.whole.IsZero() && !time.Now().Before(s.whole.Add(settle))
}

// refused reads the body of an error.
func (s *stream) refused(until time.Time) error {
	body, err := s.response.Body(maxError, s.patience(until))
	switch {
	case errors.Is(err, wire.ErrQuiet) && !s.settled():
		return ErrQuiet
	case err != nil:
		body = nil // the status alone tells enough
	}
	s.borrow()
	defer s.giveBack()
	f := s.spoken.ReadError(s.status, body, s.doc)
	if f.Kind == fault.ContextTooLong {
		f.Param = s.call.Request.Dialect.Prompt()
	}
	if w := wait(s.response.Header, s.status, time.Now()); w > 0 {
		f.After = w
	}
	s.err = f
	return f
}

// answer reads a whole answer.
func (s *stream) answer(until time.Time) (Chunk, error) {
	body, err := s.response.Body(maxAnswer, until)
	if errors.Is(err, wire.ErrQuiet) {
		if n := s.response.Received(); n > s.seen {
			s.seen = n
			return Chunk{}, nil // a sign of life
		}
		return Chunk{}, ErrQuiet
	}
	if err != nil {
		return Chunk{}, err
	}
	if s.media != "" {
		return Chunk{Raw: body, Type: s.media, Last: true, Event: inference.Event{Content: true, Finishes: 1, Finish: inference.Stop, Terminal: true}}, nil
	}
	s.borrow()
	defer s.giveBack()
	read := s.doc.ScanLax
	if s.spoken.Lean {
		read = s.doc.ScanLean
	}
	if err := read(body); err != nil {
		return Chunk{}, fault.Wrap(fault.Malformed, "the upstream's answer is not JSON", err)
	}
	if s.spoken.Recast != nil {
		if again := s.spoken.Recast(s.call, s.doc); again != nil {
			body = again
			if err := read(body); err != nil {
				return Chunk{}, fault.Wrap(fault.Malformed, "the upstream's answer is not JSON", err)
			}
		}
	}
	c := Chunk{Last: true}
	if err := s.spoken.ReadAnswer(s.doc, &c.Event); err != nil {
		return Chunk{}, err
	}
	if err := s.counted(&c.Event); err != nil {
		return Chunk{}, err
	}
	if s.call.Prefill {
		if h := s.spoken.Handover; h != nil {
			c.Handed = h.Handed(s.doc)
		}
		return c, nil
	}
	if s.raw {
		c.Raw = body
		if s.call.Tell && s.spoken.DecodeAnswer != nil {
			// What cannot be told is not the caller's trouble: he gets the bytes.
			c.Answer, _ = s.spoken.DecodeAnswer(s.doc)
		}
		return c, nil
	}
	if c.Answer, err = s.spoken.DecodeAnswer(s.doc); err != nil {
		return Chunk{}, err
	}
	if err := tellable(c.Answer, s.call.Request.Dialect); err != nil {
		return Chunk{}, err
	}
	return c, nil
}

// counted returns a fault where a whole answer holds fewer answers than were asked for,
// or vectors and choices that were not: the rule by which a stream of several choices is
// whole.
func (s *stream) counted(e *inference.Event) error {
	r, n := s.call.Request, e.Finishes
	if !s.same { // one prompt, and one answer to it
		return nil
	}
	want, exact := r.Prompts, false
	switch r.Dialect {
	case inference.OpenAI, inference.Completions:
		want, exact = max(want, r.N, 1), true
	case inference.Gemini:
		if want, exact = max(r.N, 1), true; e.Finish == inference.ContentFilter && n == 1 {
			want = 1 // the prompt was not let in
		}
	default:
		exact = r.Dialect.Operation() == inference.Embed
	}
	switch {
	case n < want:
		return fault.New(fault.Incomplete, fmt.Sprintf("the upstream's answer holds %d of the %d %s that were asked for", n, want, things(r.Dialect)))
	case n > want && exact:
		return fault.New(fault.Mismatch, fmt.Sprintf("the upstream's answer holds %d %s where %d were asked for", n, things(r.Dialect), want))
	}
	return nil
}

// things names what an answer holds.
func things(d inference.Dialect) string {
	switch d.Operation() {
	case inference.Embed:
		return "vectors"
	case inference.Rank, inference.Moderate:
		return "results"
	default:
		return "answers"
	}
}

// events returns what the events at hand tell, up to the first that has to leave
// by itself. Without any, the chunk is empty.
func (s *stream) events() (Chunk, error) {
	s.borrow()
	defer s.giveBack()
	var c Chunk
	s.deltas = s.deltas[:0]
	for {
		told, ok, err := s.pull()
		if ok && s.text+told.Text > maxAnswer {
			err = fault.New(fault.Oversized, "the upstream sent more than an answer may have")
		}
		switch {
		case err != nil && len(c.Raw)+len(c.Deltas) > 0:
			s.err = err
			return c, nil
		case err != nil:
			return c, err
		case !ok:
			return c, nil
		}
		if told.Terminal && !told.Content { // one that says more is part of the answer
			s.event = nil
			s.last, c.Last = true, true
			return s.close(c)
		}
		raw := s.event.Raw
		if edits := s.reader.Edits(s.edits[:0]); len(edits) > 0 && s.raw {
			if len(c.Raw) > 0 {
				return c, nil
			}
			s.spliced = wire.AppendEvent(s.spliced[:0], string(s.event.Name), scan.Splice(nil, s.event.Data, edits))
			raw = s.spliced
		}
		switch {
		case !s.raw:
			if err := s.tell(); err != nil {
				return s.breakOff(c, err)
			}
			c.Deltas = s.deltas
		case told.Aside && !s.call.Request.WantUsage:
		default:
			joined, ok := wire.Extend(c.Raw, raw)
			if !ok {
				return c, nil // the event waits for the next call
			}
			if c.Raw = joined; told.Aside || c.Aside > 0 {
				c.Aside += len(raw)
			}
		}
		if s.raw && s.call.Tell {
			s.deltas = s.reader.Deltas(s.deltas)
			c.Deltas = s.deltas
		}
		s.event = nil
		s.text += told.Text
		merge(&c.Event, &told)
		if told.Terminal {
			s.last, c.Last = true, true
			return c, nil
		}
		if s.whole.IsZero() && told.Finishes > 0 && s.reader.End() == nil {
			s.whole = time.Now()
		}
	}
}

// pull gives the event that waits, or reads the next that says something.
func (s *stream) pull() (told inference.Event, ok bool, err error) {
	if s.event != nil {
		return s.told, true, nil
	}
	for {
		e, err := s.split.Next()
		if err != nil || e == nil {
			return told, false, err
		}
		if e.Other {
			if said, ok := e.Field("error"); ok {
				_, err := s.reader.Read([]byte("error"), said, s.doc)
				return told, false, err
			}
		}
		if e.Data == nil {
			continue // a comment, or a name without data: nothing is dispatched
		}
		if s.told, err = s.reader.Read(e.Name, e.Data, s.doc); err != nil {
			return told, false, err
		}
		s.event = e
		return s.told, true, nil
	}
}

func merge(into, e *inference.Event) {
	into.Content = into.Content || e.Content
	into.Text += e.Text
	into.Finishes += e.Finishes
	if e.Finish != inference.Unfinished {
		into.Finish = e.Finish
	}
	if e.Usage.Known {
		into.Usage = e.Usage
	}
}

// close adds the last steps of an answer that goes to another dialect.
func (s *stream) close(c Chunk) (Chunk, error) {
	if s.raw {
		return c, nil
	}
	if err := s.tell(); err != nil {
		c.Last = false
		return s.breakOff(c, err)
	}
	c.Deltas = s.deltas
	return c, nil
}

// tell adds the steps of what was read last, for a caller of another dialect. What
// cannot be told there is left out, and is an error as soon as it shows.
func (s *stream) tell() error {
	from := len(s.deltas)
	s.deltas = s.reader.Deltas(s.deltas)
	if r, ok := s.reader.(fitting); ok {
		if err := r.Unfit(); err != nil {
			s.deltas = s.deltas[:from]
			return err
		}
	}
	if !objects(s.call.Request.Dialect) {
		return nil
	}
	for i := from; i < len(s.deltas); i++ {
		if s.arguments.follow(&s.deltas[i]) {
			s.deltas = s.deltas[:i]
			return dialect.Broken(fault.Malformed, errArguments)
		}
	}
	return nil
}

// breakOff gives what came before an error, and the error with the next call; alone
// where nothing came.
func (s *stream) breakOff(c Chunk, err error) (Chunk, error) {
	s.err = err
	if c.Deltas = s.deltas; len(c.Deltas) == 0 {
		return Chunk{}, err
	}
	return c, nil
}

// fitting is a Reader of a dialect whose answers may be whole and yet cannot be told
// in another one: Unfit returns the fault of such an answer, or nil.
type fitting interface{ Unfit() error }

// scant is a Reader of a dialect whose upstreams may give less than was asked for, which
// a proper end alone says: Scant reports that there is less so far.
type scant interface{ Scant() bool }

// end says what it means that the bytes ended, or that their reading failed: an
// answer in which every choice has finished is whole all the same.
func (s *stream) end(err error) (Chunk, error) {
	cut := s.reader.End()
	if r, ok := s.reader.(scant); ok && r.Scant() && err != nil && err != io.EOF { //nolint:errorlint // a fault may have it as its cause, and is no end
		cut = err
	}
	if cut == nil {
		return s.close(Chunk{Last: true})
	}
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		cut = err
	case !s.fed && err != nil:
		cut = broken("the answer is empty")
	}
	s.err = cut
	return Chunk{}, cut
}
