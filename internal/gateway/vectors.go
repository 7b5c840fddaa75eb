package gateway

import (
	"encoding/binary"
	"slices"
	"time"

	"headworks/internal/cache"
	"headworks/internal/dialect/openai/embeddings"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/price"
	"headworks/internal/reuse"
	"headworks/internal/scan"
	"headworks/internal/tenant"
)

// EmbeddingTier is what vectors of texts are found by.
const EmbeddingTier = "embedding"

// vectors is what an exchange knows of the vectors of its texts, each for itself: those
// that are kept, and those that the upstream is asked for.
type vectors struct {
	scope tenant.Scope
	marks []cache.Mark
	texts []scan.Value
	keys  []cache.Key
	kept  [][]byte     // by text; nil: not known
	asked []int        // by text: its place in what the upstream is asked for
	some  []scan.Value // what the upstream is asked for; texts that come twice are asked for once
	keyOf []cache.Key  // of some
	from  time.Time

	known  int    // texts whose vectors were kept
	model  string // as the upstream called itself then
	tokens int    // that they save
	cost   int64
	took   time.Duration
	stored bool

	request inference.Request // for some
	body    []byte
	doc     scan.Doc
}

// recollect looks for vectors of the texts of a request, now that it is known which
// engine would make them, and takes those that are there out of what it is asked for. It
// reports whether nothing is left to be asked for.
func (x *exchange) recollect(a *flow.Action) (known bool, err error) {
	x.vectors = nil
	t := &x.ticket
	use := reuse.Vectors(t.Model.Reuse, x.req.Bytes, &t.Control)
	if !use.Write || x.g.answers == nil || x.req.Doc == nil || x.copy != nil || !t.Caller.Residency.Allows(a.Replica.Place.Region) {
		return false, nil
	}
	scope, ok := x.beneficiary().Scope(t.Model.Reuse.Vectors)
	texts := embeddings.Texts(x.req.Doc)
	if !ok || len(texts) == 0 {
		return false, nil
	}
	v := &vectors{
		scope: scope, texts: texts, from: time.Now(),
		marks: x.g.answers.Begin(t.Caller, scope, cache.EpochName{Kind: cache.Model, Name: x.logical()}),
		keys:  make([]cache.Key, len(texts)), kept: make([][]byte, len(texts)), asked: make([]int, len(texts)),
	}
	if !x.keysOf(v, a) {
		return false, nil
	}
	x.vectors = v
	v.look(x, use)
	places := make(map[cache.Key]int, len(texts))
	for i, k := range v.keys {
		if v.kept[i] != nil {
			continue
		}
		at, twice := places[k]
		if !twice {
			at = len(v.some)
			places[k] = at
			v.some, v.keyOf = append(v.some, texts[i]), append(v.keyOf, k)
		}
		v.asked[i] = at
	}
	switch {
	case len(v.some) == 0:
		return true, nil
	case t.Control.OnlyIfCached():
		return false, flow.NotKept()
	case len(v.some) == len(texts):
		return false, nil
	}
	return false, v.ask(x)
}

// keysOf makes the keys of the texts. What tells one maker of vectors from another is in
// them: the model and what is configured of it, the upstream and its name for the model,
// what the request says beside its texts, and what it hands through.
func (x *exchange) keysOf(v *vectors, a *flow.Action) bool {
	t := &x.ticket
	var frame []byte
	text := func(s string) {
		frame = binary.AppendUvarint(frame, uint64(len(s)))
		frame = append(frame, s...)
	}
	text(x.logical())
	text(t.Model.Reuse.Mark)
	text(x.world.Fleet.Upstreams[a.Target.Upstream].Name)
	text(a.Target.Model)
	for _, h := range x.req.Header {
		text(h)
	}
	frame = embeddings.AppendOptions(frame, x.req.Doc)
	for i, in := range v.texts {
		var err error
		if v.keys[i], err = x.g.answers.Key(cache.Embeddings, v.scope, frame, in.Bytes()); err != nil {
			return false
		}
	}
	return true
}

// look looks for the vectors: in memory, then where gateways share.
func (v *vectors) look(x *exchange, use reuse.VectorPlan) {
	if !use.Read {
		return
	}
	entries, found := x.g.answers.FetchAll(x.ctx, cache.Embeddings, v.scope, v.keys, v.from)
	for i := range entries {
		e := &entries[i]
		if !found[i] || !use.Admits(v.from.Sub(e.Stored)) {
			continue
		}
		model, kept, ok := readVector(e.Value)
		if !ok {
			continue
		}
		v.kept[i], v.model = kept, model
		v.known++
		v.tokens, v.cost, v.took = v.tokens+e.Tokens, v.cost+e.Cost, v.took+e.Took
	}
	// An embedder that became another one under the same name has vectors of another
	// length: then none of them counts.
	for _, k := range v.kept {
		if k != nil && embeddings.KeptLen(k) != v.length() {
			v.forget()
			return
		}
	}
}

// length returns how many numbers the vectors have that are kept; 0: there are none.
func (v *vectors) length() int {
	for _, k := range v.kept {
		if k != nil {
			return embeddings.KeptLen(k)
		}
	}
	return 0
}

func (v *vectors) forget() {
	clear(v.kept)
	v.known, v.tokens, v.cost, v.took = 0, 0, 0, 0
}

// ask makes the call one for the texts alone whose vectors are not known.
func (v *vectors) ask(x *exchange) error {
	v.body = embeddings.AppendSome(nil, x.req.Doc, v.some)
	if err := v.doc.Scan(v.body, embeddings.Shape()); err != nil {
		return fault.Wrap(fault.Internal, "a defect", err)
	}
	v.request = x.req.Request
	if err := embeddings.ReadRequest(&v.doc, &v.request); err != nil {
		return err
	}
	x.call.Request, x.call.Body, x.call.Doc = &v.request, v.body, &v.doc
	return nil
}

// retell returns the whole answer, where nothing was asked for.
func (x *exchange) retell() flow.Event {
	v := x.vectors
	x.usage = inference.Usage{Known: true}
	x.chunk = engine.Chunk{
		Raw: embeddings.AppendKnown(nil, v.kept, v.model, embeddings.InBase64(x.req.Doc)), Last: true,
		Event: inference.Event{Content: true, Terminal: true, Finishes: len(v.kept), Usage: x.usage},
	}
	return flow.Event{Kind: flow.Finished, Unsent: true}
}

// complete puts what is known between what the upstream answered, and keeps what that
// was. It reports false where the two are not of one kind: then all has to be asked for.
func (x *exchange) complete(c *engine.Chunk, now time.Time) (whole bool, err error) {
	v := x.vectors
	if c.Raw == nil {
		return v.known == 0, nil
	}
	var d scan.Doc
	if err := d.ScanLean(c.Raw); err != nil {
		return false, fault.Wrap(fault.Malformed, "the upstream's answer is no JSON", err)
	}
	items, err := embeddings.Items(&d, len(v.some))
	if err != nil {
		return false, err
	}
	values := make([][]byte, len(items))
	model := d.Root().Get("model").Text()
	for i, item := range items {
		kept, ok := embeddings.AppendKept(binary.AppendUvarint(nil, uint64(len(model))), item.Get("embedding"))
		if ok {
			values[i] = append(kept, model...)
		}
		if n := len(kept); v.known > 0 && (!ok || embeddings.KeptLen(kept[uvarintLen(len(model)):n]) != v.length()) {
			return false, nil
		}
		if !embeddings.Plain(item) {
			values[i] = nil
		}
	}
	v.store(x, values, c.Event.Usage, now)
	if len(v.some) < len(v.texts) {
		c.Raw = embeddings.AppendMixed(nil, &d, items, v.kept, v.asked, embeddings.InBase64(x.req.Doc))
		c.Event.Finishes = len(v.texts)
	}
	return true, nil
}

func uvarintLen(n int) int { return len(binary.AppendUvarint(nil, uint64(n))) }

// readVector reads what complete kept: the length of the name of the model, the vector,
// the name.
func readVector(b []byte) (model string, kept []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return "", nil, false
	}
	kept = b[size : uint64(len(b))-n]
	return string(b[uint64(len(b))-n:]), kept, embeddings.KeptLen(kept) > 0
}

// store keeps vectors. What all of them took is each one's by the length of its text.
func (v *vectors) store(x *exchange, values [][]byte, u inference.Usage, now time.Time) {
	whole, sum := 0, 0
	for _, text := range v.some {
		whole += text.TextLen() + 1
	}
	cost, ok := price.Cost(x.ticket.Target.Price, u)
	if !ok {
		cost = 0
	}
	took := now.Sub(x.ticket.Attempts[max(x.ticket.Tries, 1)-1].Start)
	share := func(n int64, sum int) int64 { return int64(float64(n) * float64(sum) / float64(whole)) }
	for i, value := range values {
		before := sum
		sum += v.some[i].TextLen() + 1
		if value == nil {
			continue
		}
		x.g.answers.Put(cache.Embeddings, v.scope, v.keyOf[i], cache.Entry{
			Value: slices.Clip(value), Stored: now, Marks: v.marks,
			Tokens: int(share(int64(u.Input), sum) - share(int64(u.Input), before)),
			Cost:   share(cost, sum) - share(cost, before),
			Took:   took / time.Duration(len(values)),
		}, now)
		v.stored = true
	}
}

// anew asks for all texts, since what is kept does not go with what came.
func (x *exchange) anew() error {
	v := x.vectors
	for i, k := range v.kept {
		if k != nil {
			x.g.answers.Remove(cache.Embeddings, v.scope, v.keys[i])
		}
	}
	x.vectors = nil
	x.closeStream()
	x.call.Request, x.call.Body, x.call.Doc = &x.req.Request, x.req.Body, x.req.Doc
	s, err := x.world.Open(x.ctx, x.call.Replica.Upstream, &x.call, x.ticket.Caller)
	if err != nil {
		return err
	}
	x.stream = s
	return nil
}

// beneficiary is for whom what is made is kept.
func (x *exchange) beneficiary() *tenant.Caller {
	if x.req.For != nil {
		return x.req.For
	}
	return x.ticket.Caller
}

// logical returns the name of the model by whose epoch its answers are purged.
func (x *exchange) logical() string {
	t := &x.ticket
	if t.Model.Asked { // the name is the caller's own text
		return x.world.Fleet.Upstreams[t.Model.Targets[0].Upstream].Name
	}
	return t.Model.Name
}
