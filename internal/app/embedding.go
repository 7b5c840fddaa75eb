package app

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"headworks/internal/dialect/openai/embeddings"
	"headworks/internal/dialect/openai/rerank"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/gateway"
	"headworks/internal/inference"
	"headworks/internal/knowledge"
	"headworks/internal/passage"
	"headworks/internal/scan"
	"headworks/internal/tenant"
)

// upstreams make vectors of texts and put texts in order, for the collections: as any
// other request would, through the gateway, in the name of the key "knowledge".
type upstreams struct{ app *App }

// Identity implements knowledge.Embedders: what a model's vectors are like, it is asked.
func (u upstreams) Identity(ctx context.Context, name string) (passage.Identity, error) {
	if name == knowledge.Lexical {
		return alone{}.Identity(ctx, name)
	}
	provider, model, ok := strings.Cut(name, "/")
	if !ok {
		provider, model = "model", name
	}
	id := passage.Identity{Provider: provider, Model: model, Normalise: true}
	got, err := u.Embed(ctx, id, knowledge.Texts{Of: []string{"How long is a vector?"}})
	if err != nil {
		return id, err
	}
	id.Dim = len(got[0])
	return id, nil
}

// Embed implements knowledge.Embedders.
func (u upstreams) Embed(ctx context.Context, by passage.Identity, t knowledge.Texts) ([][]float32, error) {
	if by.Provider == knowledge.Lexical {
		return alone{}.Embed(ctx, by, t)
	}
	name, prefix := by.Model, by.Prefix
	if by.Provider != "model" {
		name = by.Provider + "/" + by.Model
	}
	if t.Question {
		prefix = by.Query
	}
	body := append(scan.AppendString([]byte(`{"model":`), name), `,"encoding_format":"float","input":[`...)
	for i, text := range t.Of {
		if i > 0 {
			body = append(body, ',')
		}
		body = scan.AppendString(body, prefix+text)
	}
	var doc scan.Doc
	r := gateway.Request{Request: inference.Request{Dialect: inference.Embeddings}, Body: append(body, "]}"...)}
	answer, err := u.ask(ctx, &r, &doc, embeddings.Shape(), embeddings.ReadRequest, t.For)
	if err != nil {
		return nil, err
	}
	var d scan.Doc
	if err := d.Scan(answer, nil); err != nil {
		return nil, err
	}
	all := make([][]float32, len(t.Of))
	i := 0
	for v := range d.Root().Get("data").All() {
		at := int64(i)
		if index := v.Get("index"); index.Exists() {
			at, _ = index.Int()
		}
		vector, err := unit(v.Get("embedding"))
		if err != nil || at < 0 || at >= int64(len(all)) {
			return nil, cmp.Or(err, error(fault.New(fault.Malformed, "the embedder answered with a vector of something that was not sent")))
		}
		all[at] = vector
		i++
	}
	if i != len(all) {
		return nil, fault.New(fault.Mismatch, fmt.Sprintf("the embedder answered with %d vectors of %d texts", i, len(all)))
	}
	return all, nil
}

// unit reads a vector and sets it to length one; nil where it has no direction.
func unit(v scan.Value) ([]float32, error) {
	vector := make([]float32, 0, v.Len())
	norm := 0.0
	for e := range v.All() {
		x, ok := e.Float()
		if !ok || math.IsInf(x, 0) || math.IsNaN(x) {
			return nil, fault.New(fault.Malformed, "the embedder answered with a vector that is not made of numbers")
		}
		vector = append(vector, float32(x))
		norm += x * x
	}
	if norm = math.Sqrt(norm); norm < 1e-12 {
		return nil, nil
	}
	for i := range vector {
		vector[i] = float32(float64(vector[i]) / norm)
	}
	return vector, nil
}

// Rerank implements knowledge.Reranker.
func (u upstreams) Rerank(ctx context.Context, model string, by *tenant.Caller, question string, texts []string) ([]float64, error) {
	body := append(scan.AppendString([]byte(`{"model":`), model), `,"query":`...)
	body = append(scan.AppendString(body, question), `,"documents":[`...)
	for i, text := range texts {
		if i > 0 {
			body = append(body, ',')
		}
		body = scan.AppendString(body, text)
	}
	var doc scan.Doc
	r := gateway.Request{Request: inference.Request{Dialect: inference.Rerank}, Body: append(body, "]}"...)}
	answer, err := u.ask(ctx, &r, &doc, rerank.Shape(), rerank.ReadRequest, by)
	if err != nil {
		return nil, err
	}
	var d scan.Doc
	if err := d.Scan(answer, nil); err != nil {
		return nil, err
	}
	scores := make([]float64, len(texts))
	n := 0
	for v := range d.Root().Get("results").All() {
		at, ok := v.Get("index").Int()
		score, isNumber := v.Get("relevance_score").Float()
		if !ok || !isNumber || at < 0 || at >= int64(len(scores)) {
			return nil, fault.New(fault.Malformed, "the model answered with a score of something that was not sent")
		}
		scores[at] = score
		n++
	}
	if n != len(texts) {
		return nil, fault.New(fault.Mismatch, "the model did not score every text")
	}
	return scores, nil
}

// ask sends a request of our own, as a caller's would be, and returns the whole answer.
// What a caller asks stays in the regions that his requests stay in.
func (u upstreams) ask(ctx context.Context, r *gateway.Request, doc *scan.Doc, shape *scan.Shape, read func(*scan.Doc, *inference.Request) error, by *tenant.Caller) ([]byte, error) {
	if err := doc.Scan(r.Body, shape); err != nil {
		return nil, err
	}
	now := time.Now()
	r.ID = inference.NewID(now, uint16(rand.Uint32()), rand.Uint64())
	if err := read(doc, &r.Request); err != nil {
		return nil, err
	}
	own := tenant.Caller{KeyID: "knowledge", Key: "knowledge", Tenant: "headworks", Tier: tenant.Tier{Class: tenant.Batch}}
	if by != nil {
		own.Residency, own.Tier.Class = by.Residency, by.Tier.Class
		r.For = by // one tenant's questions tell no other one's by how long they take
	}
	r.Caller, r.Surface, r.Arrived, r.Doc, r.Shape = u.app.keys.resolver.Own(own), "knowledge", now, doc, shape
	var got capture
	u.app.gateway.Do(ctx, r, &got)
	if got.failed != nil {
		return nil, got.failed
	}
	return got.body, nil
}

// capture is a gateway.Sink that keeps the whole answer.
type capture struct {
	body   []byte
	failed *fault.Error
}

// Open implements gateway.Sink.
func (*capture) Open(*gateway.Head) error { return nil }

// Send implements gateway.Sink.
func (w *capture) Send(_ *gateway.Head, c *engine.Chunk) error {
	w.body = append(w.body, c.Raw...)
	return nil
}

// Alive implements gateway.Sink.
func (*capture) Alive() error { return nil }

// End implements gateway.Sink.
func (w *capture) End(_ *gateway.Head, c *engine.Chunk, f *fault.Error) error {
	if w.failed = f; f == nil {
		w.body = append(w.body, c.Raw...)
	}
	return nil
}
