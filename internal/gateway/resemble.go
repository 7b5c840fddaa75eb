package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"headworks/internal/cache"
	"headworks/internal/dialect/openai/embeddings"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/record"
	"headworks/internal/reuse"
	"headworks/internal/scan"
	"headworks/internal/similar"
	"headworks/internal/tenant"
)

// maxIndices bounds how many scopes and models have an index of questions.
const maxIndices = 1024

// Resemblances finds answers that were made for other questions which ask for the same.
// There is an index for each scope and model, so that nothing of one scope is so much as
// compared with what another one asks. Answers are in the cache; here are questions.
type Resemblances struct {
	room  int // bytes of all indices
	alarm func(Resembled)

	mu    sync.Mutex
	of    map[whose]*resembling
	known map[string]similar.Trial // of an earlier process, by name
	bytes int
}

type whose struct {
	scope tenant.Scope
	model string
}

func (w whose) name() string { return w.scope.String() + " " + w.model }

type resembling struct {
	*similar.Index
	mode   fleet.Semantic
	used   time.Time
	counts Resembled // the counts of it
}

// Resembled is the state of the index of a scope and model.
type Resembled struct {
	Scope string
	Model string
	Mode  fleet.Semantic

	Questions int
	Trial     similar.Trial

	Misses uint64        // since the process began: questions that were looked for, and nothing was given
	Hits   uint64        // since then, given; what they saved stands beside
	Tokens int64         //
	Cost   int64         // micro-USD
	Saved  time.Duration // that making the answers took
}

// NewResemblances returns one that goes on from the trials of an earlier process, by
// scope and model. Its questions take so many bytes in all. Alarm is told of an index that
// stopped to serve; it may not block.
func NewResemblances(room int, known []Resembled, alarm func(Resembled)) *Resemblances {
	r := &Resemblances{room: room, alarm: alarm, of: map[whose]*resembling{}, known: map[string]similar.Trial{}}
	for _, k := range known {
		r.known[k.Scope+" "+k.Model] = k.Trial
	}
	return r
}

// Resemble lets g give answers that were made for other questions. It is called before
// the first request.
func (g *Gateway) Resemble(r *Resemblances) { g.resemblances = r }

// Report returns the state of every index, by scope and model, those that no request of
// this process met among them.
func (r *Resemblances) Report() []Resembled {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Resembled
	for w, x := range r.of {
		all = append(all, r.report(w, x))
	}
	for name, t := range r.known {
		scope, model, _ := strings.Cut(name, " ")
		all = append(all, Resembled{Scope: scope, Model: model, Trial: t})
	}
	slices.SortFunc(all, func(a, b Resembled) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Model, b.Model))
	})
	return all
}

func (r *Resemblances) report(w whose, x *resembling) Resembled {
	s := x.counts
	s.Scope, s.Model, s.Mode, s.Questions, s.Trial = w.scope.String(), w.model, x.mode, x.Len(), x.Trial
	return s
}

// index calls do with the index of a scope and model.
func (r *Resemblances) index(w whose, mode fleet.Semantic, now time.Time, do func(*resembling)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.of[w]
	if x == nil {
		if len(r.of) >= maxIndices {
			r.forget()
		}
		x = &resembling{Index: similar.NewIndex(w.scope.Reach() > tenant.Project)}
		if t, ok := r.known[w.name()]; ok {
			x.Trial = t
			delete(r.known, w.name())
		}
		r.of[w] = x
	}
	x.mode, x.used = mode, now
	before := x.Bytes()
	do(x)
	for r.bytes += x.Bytes() - before; r.bytes > r.room; {
		largest := x
		for _, o := range r.of {
			if o.Bytes() > largest.Bytes() {
				largest = o
			}
		}
		if largest.Len() == 0 {
			return
		}
		was := largest.Bytes()
		largest.Shrink(now)
		r.bytes += largest.Bytes() - was
	}
}

// Again lets the trials of what a purge names begin anew: of a model, of a scope, of both
// where neither is named. Questions are forgotten as well.
func (r *Resemblances) Again(scope, model string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	named := func(s, m string) bool { return (scope == "" || s == scope) && (model == "" || m == model) }
	for w, x := range r.of {
		if named(w.scope.String(), w.model) {
			r.bytes -= x.Bytes()
			delete(r.of, w)
		}
	}
	for name := range r.known {
		if s, m, _ := strings.Cut(name, " "); named(s, m) {
			delete(r.known, name)
		}
	}
}

// forget lets the index go that was not used for longest, and keeps what is known of its
// quality.
func (r *Resemblances) forget() {
	var oldest whose
	var at *resembling
	for w, x := range r.of {
		if at == nil || x.used.Before(at.used) {
			oldest, at = w, x
		}
	}
	if len(r.known) < maxIndices {
		r.known[oldest.name()] = at.Trial
	}
	r.bytes -= at.Bytes()
	delete(r.of, oldest)
}

// inquired is a question whose answer may be kept for others that ask for the same.
type inquired struct {
	question *similar.Question
	vector   []float32
	frame    [32]byte
	owner    uint64
}

// beside is an earlier answer that a new one is compared with.
type beside struct {
	said       string
	key        [32]byte // of a similar question's
	similarity float64
	exact      bool // it answered the same question
}

// stand is an earlier answer ready to be given.
type stand struct {
	entry cache.Entry
	rec   *reuse.Recording
	play  engine.Chunk

	ground *Ground
}

func (x *exchange) whose() whose { return whose{x.ticket.Scope, x.ticket.Model.Name} }

// resemble looks for an answer to another question that asks for the same.
func (x *exchange) resemble(a *flow.Action) flow.Event {
	missed := flow.Event{Kind: flow.Missed}
	rs := x.g.resemblances
	if rs == nil || !x.identify() || x.reuse.beside != nil {
		return missed
	}
	q := x.inquiry()
	if q == nil {
		return missed
	}
	if a.Replica != nil {
		began := time.Now()
		q.vector = x.embed(a, q.question.Text)
		if x.upstream += time.Since(began); x.ctx.Err() != nil {
			return x.gone()
		}
	}
	x.reuse.asked = q
	now := time.Now()
	mode := x.ticket.Model.Reuse.Semantic
	var found similar.Candidate
	var ok bool
	rs.index(x.whose(), mode, now, func(i *resembling) {
		found, _, ok = i.Find(q.question, q.vector, q.frame, q.owner, now)
	})
	if !ok {
		x.unlike()
		return missed
	}
	e, kept := x.g.answers.Glance(cache.Answers, x.ticket.Scope, found.Key, now)
	var rec *reuse.Recording
	if kept && e.Fresh(now) {
		rec, _ = reuse.Read(e.Value)
	}
	if rec == nil {
		rs.index(x.whose(), mode, now, func(i *resembling) { i.Drop(found.Key) })
		x.unlike()
		return missed
	}
	action := similar.Refuse
	rs.index(x.whose(), mode, now, func(i *resembling) {
		how := similar.Mode(mode)
		if !found.Own {
			how = min(how, similar.Shadow)
		}
		action = i.Trial.Meet(how, a.Draw)
	})
	if action == similar.Refuse || action == similar.Watch {
		x.unlike()
	}
	if action == similar.Refuse {
		return missed
	}
	if action == similar.Watch || action == similar.Check {
		said, ok := x.words(rec)
		if !ok {
			return missed
		}
		x.reuse.beside = &beside{said: said, key: found.Key, similarity: found.Similarity}
	}
	if action == similar.Watch {
		return missed
	}
	play, ok := play(rec, true, x.req)
	if !ok {
		return missed
	}
	if x.leads() { // what is given is kept for nobody a second time
		x.dissolve()
	}
	rs.index(x.whose(), mode, now, func(i *resembling) {
		n := &i.counts
		n.Hits++
		n.Tokens, n.Cost, n.Saved = n.Tokens+int64(e.Tokens), n.Cost+e.Cost, n.Saved+e.Took
	})
	x.reuse.other = &stand{e, rec, play, recalledGround(rec, x.req)}
	if action == similar.Check {
		x.recheck()
	}
	return flow.Event{Kind: flow.Reused, Found: reuse.Found{
		Age: now.Sub(e.Stored), Left: e.Expires.Sub(now), Took: e.Took, Similarity: found.Similarity,
	}}
}

// unlike counts a question to which no answer is given.
func (x *exchange) unlike() {
	x.g.resemblances.index(x.whose(), x.ticket.Model.Reuse.Semantic, time.Now(), func(i *resembling) { i.counts.Misses++ })
}

// inquiry returns the question of the request, if it may be compared with others: the last
// of few turns, of text alone, of some length, and about nobody.
func (x *exchange) inquiry() *inquired {
	if x.req.Conversation == nil {
		return nil
	}
	c, _, err := x.req.Conversation()
	if err != nil {
		return nil
	}
	text, ok := similar.Last(c)
	if !ok {
		return nil
	}
	q := &inquired{question: similar.Read(text)}
	if q.question.WhyNot() != "" {
		return nil
	}
	// The key of everything but the question: its text is cut out of the request.
	room, _ := x.g.rooms.Get().(*[]byte)
	if room == nil {
		room = new([]byte)
	}
	defer x.g.rooms.Put(room)
	wish := x.ticket.Caller.Tier.Grant(x.ticket.Wish)
	b := reuse.Circumstances((*room)[:0], &x.req.Request, x.ticket.Caller, &wish, x.ticket.Model, x.reuse.form, x.req.Header)
	n := len(b)
	b = x.req.Doc.Root().AppendCanonical(b, reuse.Leave)
	*room = b
	body := b[n:]
	written := scan.AppendString(nil, text)
	at := strings.LastIndex(string(body), string(written))
	if at < 0 {
		return nil
	}
	key, err := x.g.answers.Key(cache.Similar, x.ticket.Scope, b[:n], body[:at], body[at+len(written):])
	if err != nil {
		return nil
	}
	q.frame = key
	h := fnv.New64a()
	k := x.ticket.Caller
	for _, s := range [...]string{k.Tenant, k.Project, k.Cell, k.KeyID} {
		_, _ = h.Write(append([]byte(s), 0)) // it never fails
	}
	q.owner = h.Sum64()
	return q
}

// again reports whether an earlier answer to the same question is not given but made anew,
// so that what the comparison gets wrong becomes known.
func (x *exchange) again(rec *reuse.Recording, draw float64) bool {
	rs, mode := x.g.resemblances, x.ticket.Model.Reuse.Semantic
	if rs == nil || !x.ticket.Plan.Alike || x.ticket.Control.OnlyIfCached() {
		return false
	}
	wanted := false
	rs.index(x.whose(), mode, time.Now(), func(i *resembling) {
		wanted = i.Trial.CheckExact(similar.Mode(mode), draw)
	})
	if !wanted {
		return false
	}
	said, ok := x.words(rec)
	if ok {
		x.reuse.beside = &beside{said: said, exact: true}
	}
	return ok
}

// words returns the text of a recorded answer; false where it has none.
func (x *exchange) words(rec *reuse.Recording) (string, bool) {
	deltas := rec.Deltas
	if rec.Raw != nil {
		var ok bool
		if deltas, ok = stepsIn(x.req.Dialect, rec); !ok {
			return "", false
		}
	}
	var b strings.Builder
	a := answerOf(deltas, rec.Usage)
	for i := range a.Parts {
		if p := &a.Parts[i]; p.Kind == inference.Text {
			b.WriteString(p.Text)
		}
	}
	return b.String(), b.Len() > 0
}

// recheck has the answer that is about to be given made anew, for the comparison alone.
func (x *exchange) recheck() {
	d := &duplicate{check: &checking{of: x.whose(), mode: x.ticket.Model.Reuse.Semantic, beside: *x.reuse.beside}}
	if x.shadow = x.duplicated(d, x.ticket.Model.Name, 1); x.shadow != nil {
		x.shadow.check.owner = x.reuse.asked.owner
	}
}

// checking is what a copy is for whose answer is compared with one that was given.
type checking struct {
	of     whose
	mode   fleet.Semantic
	beside beside
	owner  uint64
	log    log // of the answer
}

// listener hears an answer that nobody gets.
type listener struct {
	nobody
	log *log
}

func (l listener) Send(_ *Head, c *engine.Chunk) error {
	l.log.take(c)
	return nil
}

func (l listener) End(_ *Head, c *engine.Chunk, _ *fault.Error) error {
	if c != nil {
		l.log.take(c)
	}
	return nil
}

// checked compares the answer to a copy with the one that was given.
func (x *exchange) checked(c *checking) {
	if x.record.End != record.OK {
		return
	}
	c.log.stream = x.streams
	rec, ok := c.log.recording(x.req.Dialect, 0)
	if !ok {
		return
	}
	if said, ok := x.words(rec); ok {
		x.g.resemblances.learn(c.of, c.mode, &c.beside, said, c.owner)
	}
}

// compare compares a new answer with the earlier one that it could have been.
func (x *exchange) compare(rec *reuse.Recording) {
	r := x.reuse
	if r.beside == nil {
		return
	}
	said, ok := x.words(rec)
	if !ok {
		return
	}
	var owner uint64
	if r.asked != nil {
		owner = r.asked.owner
	}
	x.g.resemblances.learn(x.whose(), x.ticket.Model.Reuse.Semantic, r.beside, said, owner)
}

// learn takes in what a new answer said beside an earlier one.
func (r *Resemblances) learn(w whose, mode fleet.Semantic, b *beside, said string, owner uint64) {
	agreed, stopped := similar.Agree(b.said, said), false
	var state Resembled
	now := time.Now()
	r.index(w, mode, now, func(i *resembling) {
		if b.exact {
			i.Trial.LearnExact(agreed)
			return
		}
		stopped = i.Trial.Learn(agreed, b.similarity, now)
		if agreed && owner != 0 {
			i.Agreed(b.key, owner)
		}
		state = r.report(w, i)
	})
	if stopped {
		r.alarm(state)
	}
}

// remember lets the answer that was just kept be found by questions that ask for the same.
func (x *exchange) remember(e *cache.Entry) {
	q := x.reuse.asked
	if q == nil {
		return
	}
	now := time.Now()
	x.g.resemblances.index(x.whose(), x.ticket.Model.Reuse.Semantic, now, func(i *resembling) {
		i.Add(similar.Entry{
			Question: q.question, Vector: q.vector, Frame: q.frame, Key: x.reuse.key, Owner: q.owner, Expires: e.Expires,
		}, now)
	})
}

// embed returns the vector of a text from the model's embedder; nil where it has none in
// time, and the text is compared by its letters.
func (x *exchange) embed(a *flow.Action, text string) []float32 {
	e := x.ticket.Model.Reuse.Embedder
	ctx, cancel := context.WithDeadline(x.ctx, a.Until)
	defer cancel()
	body := append(scan.AppendString([]byte(`{"model":`), e.Model), `,"input":`...)
	body = append(scan.AppendString(body, text), '}')
	doc := new(scan.Doc)
	req := &inference.Request{ID: x.req.ID, Dialect: inference.Embeddings, Model: e.Model, N: 1, Input: len(text) / bytesPerToken, Bytes: len(body)}
	if doc.Scan(body, embeddings.Shape()) != nil || embeddings.ReadRequest(doc, req) != nil {
		return nil
	}
	s, err := x.world.Open(ctx, e.Upstream, &engine.Call{Request: req, Replica: a.Replica, Model: e.Model, Body: body, Doc: doc, Caller: x.req.Caller}, x.ticket.Caller)
	if err != nil {
		return nil
	}
	defer func() { _ = s.Close() }() // an error here can only be that the connection is gone already
	for {
		c, err := s.Next(a.Until)
		switch {
		case err != nil:
			return nil
		case c.Last:
			return vectorOf(c.Raw)
		}
	}
}

// vectorOf reads the first vector of an answer.
func vectorOf(raw []byte) []float32 {
	doc := new(scan.Doc)
	if doc.ScanLax(raw) != nil {
		return nil
	}
	for first := range doc.Root().Get("data").All() {
		var v []float32
		if json.Unmarshal(first.Get("embedding").Raw(), &v) != nil {
			return nil
		}
		return v
	}
	return nil
}
