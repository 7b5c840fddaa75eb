package gateway

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/record"
	"headworks/internal/scan"
)

// Bounds of the copies of requests that are kept for shadows.
const (
	maxCopy     = 1 << 20     // bytes of one body
	maxCopies   = 64          // of a model, that wait
	maxCopied   = 32 << 20    // bytes of all bodies that there are
	copyExpires = time.Minute // how long one waits
	copyEnds    = time.Minute // how long one may take
)

// Why a copy was not sent.
const (
	TooLarge   = "too large"
	QueueFull  = "queue full"
	CallersAre = "callers waiting"
	Expired    = "waited too long"
	GoingDown  = "draining"
)

// Outcome is what came of a request, or of its copy, at the upstream.
type Outcome struct {
	End    record.End
	Fault  fault.Kind
	Finish inference.Finish
	TTFT   time.Duration // from the send to the first content; -1: not measured
	Took   time.Duration // from the send to the end
	Output int           // tokens
	Cost   int64         // micro-USD; -1: not known
}

// Compared is a request beside its copy: what the caller got, and what the shadow said
// to the same.
type Compared struct {
	Model, Shadow string
	Caller, Copy  Outcome
}

// Alike reports whether both answers are whole and ended for the same reason.
func (c *Compared) Alike() bool {
	return c.Caller.End == record.OK && c.Copy.End == record.OK && c.Caller.Finish == c.Copy.Finish
}

// Watcher is told of copies. Its methods may be called from many goroutines, and do
// not block.
type Watcher interface {
	// Unsent is told of a copy that is not sent, and why.
	Unsent(model, shadow, why string)
	// Compare is told once both answers are at their end.
	Compare(c *Compared)
}

// Shadows asks models a second time what callers asked another one, and throws the
// answers away once they were compared. A copy begins once the caller's answer has
// begun; no caller waits for it or pays for it.
type Shadows struct {
	g       *Gateway
	watcher Watcher

	ctx  context.Context
	stop context.CancelFunc
	runs sync.WaitGroup

	mu    sync.Mutex
	bytes int              // of bodies, from when they are copied
	lanes map[string]*lane // by the model that was asked
	over  bool
}

// checks ends the name of a lane whose copies go to no shadow; no model's name does.
const checks = "\x00checks"

// lane are the copies of one model.
type lane struct {
	running int
	waiting []*duplicate // the one that waits longest first
	timer   *time.Timer  // for that one; nil before any waited
}

// duplicate is a copy of a request.
type duplicate struct {
	pair    Compared
	req     Request
	shape   *scan.Shape
	of      inference.ID
	size    int // of its body, that counts
	most    int // that run at once
	since   time.Time
	missing int // outcomes that are not known yet

	check *checking // nil: it goes to a model's shadow
}

// Shadow lets copies of requests go to the shadows of their models, until End is
// called. It is called before the first request.
func (g *Gateway) Shadow(w Watcher) *Shadows {
	s := &Shadows{g: g, watcher: w, lanes: map[string]*lane{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	g.shadows = s
	return s
}

// End ends the copies that run, and begins no more.
func (s *Shadows) End() {
	s.mu.Lock()
	s.over = true
	var left []*duplicate
	for _, name := range slices.Sorted(maps.Keys(s.lanes)) {
		l := s.lanes[name]
		left = append(left, l.waiting...)
		l.waiting = nil
		if l.timer != nil {
			l.timer.Stop()
		}
	}
	for _, d := range left {
		s.drop(d)
	}
	s.mu.Unlock()
	for _, d := range left {
		s.unsent(d, GoingDown)
	}
	s.stop()
	s.runs.Wait()
}

// Running returns how many copies run and wait, by the model that was asked.
func (s *Shadows) Running() map[string][2]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][2]int{}
	for model, l := range s.lanes {
		if !strings.HasSuffix(model, checks) {
			all[model] = [2]int{l.running, len(l.waiting)}
		}
	}
	return all
}

// copied makes a copy of a request while its upstream works on it; nil where it is not
// to have one.
func (x *exchange) copied() *duplicate {
	m := x.ticket.Model
	return x.duplicated(&duplicate{}, m.Shadow.Model, max(m.Shadow.Parallel, 1))
}

// duplicated fills a copy of the request that is to go to a model.
func (x *exchange) duplicated(d *duplicate, model string, most int) *duplicate {
	s, m := x.g.shadows, x.ticket.Model
	if s == nil || x.req.Form != nil || x.req.Decode == nil {
		return nil
	}
	d.pair.Model, d.pair.Shadow = m.Name, model
	size, why := len(x.req.Body), ""
	if size > maxCopy {
		why = TooLarge
	} else {
		why = s.reserve(size)
	}
	if why != "" {
		s.unsent(d, why)
		return nil
	}
	d.of, d.shape, d.size, d.most, d.missing = x.req.ID, x.req.Shape, size, most, 2
	d.req = Request{
		Request: x.req.Request, Caller: x.req.Caller, Surface: x.req.Surface,
		Place: x.ticket.From, PlacedBy: x.ticket.PlacedBy,
		Body: slices.Clone(x.req.Body), Shape: x.req.Shape, Decode: x.req.Decode,
		Header: slices.Clone(x.req.Header),
	}
	d.req.Blocks = slices.Clone(x.req.Blocks)
	return d
}

// reserve takes room for a body, or says why there is none.
func (s *Shadows) reserve(size int) (why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over:
		return GoingDown
	case s.bytes+size > maxCopied:
		return QueueFull
	}
	s.bytes += size
	return ""
}

// drop gives back the room of a copy that needs its body no more. It is called under
// the lock.
func (s *Shadows) drop(d *duplicate) {
	s.bytes -= d.size
	d.size, d.req = 0, Request{} // whoever compares may hold on to the rest for long
}

// forget drops a copy that is not offered any more: its caller got no answer.
func (s *Shadows) forget(d *duplicate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(d)
}

// offer takes the copy of a request whose answer has begun.
func (s *Shadows) offer(d *duplicate) {
	s.mu.Lock()
	name := d.pair.Model
	if d.check != nil {
		name += checks
	}
	l := s.lanes[name]
	if l == nil {
		l = &lane{}
		s.lanes[name] = l
	}
	d.since = time.Now()
	why := ""
	switch {
	case s.over:
		why = GoingDown
	case l.running < d.most:
		l.running++
		s.runs.Go(func() { s.work(l, d) })
	case len(l.waiting) >= maxCopies:
		why = QueueFull
	default:
		if l.waiting = append(l.waiting, d); len(l.waiting) == 1 {
			s.expireIn(l, copyExpires)
		}
	}
	if why != "" {
		s.drop(d)
	}
	s.mu.Unlock()
	if why != "" {
		s.unsent(d, why)
	}
}

// expireIn has a look at who waits too long after a while. It is called under the lock.
func (s *Shadows) expireIn(l *lane, after time.Duration) {
	if l.timer == nil {
		l.timer = time.AfterFunc(after, func() { s.expire(l) })
		return
	}
	l.timer.Reset(after)
}

// expire drops the copies that waited too long, while nobody is free to take them.
func (s *Shadows) expire(l *lane) {
	s.mu.Lock()
	now, n := time.Now(), 0
	for n < len(l.waiting) && now.Sub(l.waiting[n].since) >= copyExpires {
		s.drop(l.waiting[n])
		n++
	}
	late := slices.Clone(l.waiting[:n])
	l.waiting = slices.Delete(l.waiting, 0, n)
	if len(l.waiting) > 0 && !s.over {
		s.expireIn(l, copyExpires-now.Sub(l.waiting[0].since))
	}
	s.mu.Unlock()
	for _, d := range late {
		s.unsent(d, Expired)
	}
}

// work asks for one copy after the other, until none of the lane waits.
func (s *Shadows) work(l *lane, d *duplicate) {
	for d != nil {
		s.ask(d)
		s.mu.Lock()
		s.drop(d)
		if d = nil; len(l.waiting) > 0 {
			d = l.waiting[0]
			l.waiting = slices.Delete(l.waiting, 0, 1)
		} else {
			l.running--
		}
		s.mu.Unlock()
	}
}

// ask sends a copy and reads its answer to the end, or for as long as a copy may take:
// what hangs keeps nobody else waiting. A defect that shows in a copy ends
// that copy alone.
func (s *Shadows) ask(d *duplicate) {
	defer func() {
		if recover() != nil {
			s.unsent(d, fault.Internal.String())
		}
	}()
	r, doc := &d.req, new(scan.Doc)
	if err := doc.Scan(r.Body, d.shape); err != nil { // it was read before
		s.unsent(d, err.Error())
		return
	}
	now := time.Now()
	r.ID, r.Model, r.Models, r.Arrived = inference.NewID(now, uint16(rand.Uint32()), rand.Uint64()), d.pair.Shadow, nil, now
	r.Doc = doc
	r.Conversation = func() (*inference.Conversation, []string, error) { return r.Decode(doc) }
	ctx, cancel := context.WithTimeout(s.ctx, copyEnds)
	defer cancel()
	x := s.g.idle.Get().(*exchange)
	var sink Sink = nobody{}
	if d.check != nil {
		sink = listener{log: &d.check.log}
	}
	x.begin(ctx, s.g, r, sink)
	x.copy, x.ticket.Copy = d, true
	defer x.end()
	x.run()
	if d.check != nil {
		x.checked(d.check)
		return
	}
	switch f := x.record.Fault; {
	case x.ticket.Tries > 0:
		o := x.outcome()
		s.mu.Lock()
		d.pair.Copy = o
		s.mu.Unlock()
		s.known(d)
	case f == fault.Overloaded:
		s.unsent(d, CallersAre)
	default:
		s.unsent(d, f.String())
	}
}

// told notes what came of the request that d is a copy of.
func (s *Shadows) told(d *duplicate, o Outcome) {
	s.mu.Lock()
	d.pair.Caller = o
	s.mu.Unlock()
	s.known(d)
}

// known compares both answers, once both are known.
func (s *Shadows) known(d *duplicate) {
	s.mu.Lock()
	d.missing--
	both := d.missing == 0 && d.check == nil
	s.mu.Unlock()
	if both {
		s.watcher.Compare(&d.pair)
	}
}

func (s *Shadows) unsent(d *duplicate, why string) {
	if d.check == nil {
		s.watcher.Unsent(d.pair.Model, d.pair.Shadow, why)
	}
}

// outcome is what came of the exchange, whose record is written.
func (x *exchange) outcome() Outcome {
	r := x.record
	o := Outcome{End: r.End, Fault: r.Fault, Finish: r.Finish, TTFT: -1, Output: int(max(r.Output, 0)), Cost: r.Cost}
	if n := x.ticket.Given(); n >= 0 {
		a := &x.ticket.Attempts[n]
		o.Took = a.End.Sub(a.Start)
	}
	if x.streams && r.UpstreamTTFT >= 0 {
		o.TTFT = time.Duration(r.UpstreamTTFT) * time.Microsecond
	}
	return o
}

// nobody is the sink of an answer that nobody reads.
type nobody struct{}

func (nobody) Open(*Head) error                             { return nil }
func (nobody) Send(*Head, *engine.Chunk) error              { return nil }
func (nobody) Alive() error                                 { return nil }
func (nobody) End(*Head, *engine.Chunk, *fault.Error) error { return nil }
