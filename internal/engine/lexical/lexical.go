// Package lexical makes vectors of texts, and puts documents in order of a query,
// from the words alone. No neural model is at work: texts are near each other where
// they share words, parts of words or pairs of words, whatever they mean.
//
// The same text gives the same vector in every process and on every machine, for as
// long as Model keeps its name. Tokens are counted as runs of letters and digits
// plus single signs.
package lexical

import (
	"context"
	"fmt"
	"time"

	"headworks/internal/dialect/openai/embeddings"
	"headworks/internal/dialect/openai/rerank"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/inference"
)

// Model is what answers name as their model, whatever callers call it. Vectors of
// two of its versions have nothing to do with each other.
const Model = "local-embed-lexical-1"

// Dimensions is the length of a vector unless the caller asks for another one.
const Dimensions = 384

// Bounds of one request.
const (
	maxTexts   = 2048 // as of OpenAI's embeddings
	maxNumbers = 1 << 22
	maxText    = 64 << 10 // bytes, about twice what embedding models read
	maxQuery   = 16 << 10
)

// Engine answers embeddings and rerank.
type Engine struct{}

var _ engine.Engine = Engine{}

// New returns an Engine.
func New() Engine { return Engine{} }

// Open reads what is asked. The work is done by the first Next.
func (Engine) Open(ctx context.Context, c *engine.Call) (engine.Stream, error) {
	s := &stream{ctx: ctx}
	switch c.Request.Dialect.Operation() {
	case inference.Embed:
		w, err := embeddings.Decode(c.Doc)
		if err != nil {
			return nil, err
		}
		if w.Dimensions == 0 {
			w.Dimensions = Dimensions
		}
		if err := checkEmbed(w); err != nil {
			return nil, err
		}
		s.answer = func() ([]byte, int, error) { return embed(ctx, w) }
		s.count = len(w.Texts)
	case inference.Rank:
		w, err := rerank.Decode(c.Doc)
		if err != nil {
			return nil, err
		}
		if err := checkRank(w); err != nil {
			return nil, err
		}
		id := c.Request.ID.String()
		s.answer = func() ([]byte, int, error) { return rank(ctx, id, w) }
		s.count = w.Top
	default:
		return nil, fault.New(fault.Unsupported, "this model makes vectors and ranks documents; it answers no "+c.Request.Dialect.Operation().String()+" requests")
	}
	return s, nil
}

func checkEmbed(w *embeddings.Wanted) error {
	switch {
	case len(w.Texts) > maxTexts:
		return invalid("input", fmt.Sprintf("input holds more than %d texts; send them in several requests", maxTexts))
	case len(w.Texts)*w.Dimensions > maxNumbers:
		return invalid("dimensions", fmt.Sprintf("the vectors of this request would hold more than %d numbers; ask for fewer dimensions or send fewer texts", maxNumbers))
	}
	for _, text := range w.Texts {
		if len(text) > maxText {
			return tooLong("input", maxText)
		}
	}
	return nil
}

func checkRank(w *rerank.Wanted) error {
	switch {
	case len(w.Query) > maxQuery:
		return tooLong("query", maxQuery)
	case len(w.Documents) > maxTexts:
		return invalid("documents", fmt.Sprintf("documents holds more than %d texts; send them in several requests", maxTexts))
	}
	for _, text := range w.Documents {
		if len(text) > maxText {
			return tooLong("documents", maxText)
		}
	}
	return nil
}

func invalid(param, words string) error {
	return &fault.Error{Kind: fault.InvalidRequest, Param: param, Words: words}
}

func tooLong(param string, bytes int) error {
	return &fault.Error{
		Kind: fault.ContextTooLong, Param: param,
		Words: fmt.Sprintf("this model reads at most %d KiB of a text in %s; shorten it", bytes>>10, param),
	}
}

func embed(ctx context.Context, w *embeddings.Wanted) (answer []byte, tokens int, err error) {
	for i, text := range w.Texts {
		if ctx.Err() != nil {
			return nil, 0, canceled(ctx)
		}
		v := vector(text, w.Dimensions)
		if v == nil {
			return nil, 0, invalid("input", "an empty text has no vector; leave it out")
		}
		n, _ := engine.Words(text, -1)
		tokens += n
		answer = embeddings.AppendVector(answer, i, v, w.Base64)
	}
	return embeddings.AppendEnd(answer, Model, tokens), tokens, nil
}

func rank(ctx context.Context, id string, w *rerank.Wanted) (answer []byte, tokens int, err error) {
	r := newRanking(w.Query)
	asked, _ := engine.Words(w.Query, -1)
	for _, document := range w.Documents {
		if ctx.Err() != nil {
			return nil, 0, canceled(ctx)
		}
		r.read(document)
		n, _ := engine.Words(document, -1)
		tokens += asked + n
	}
	return rerank.AppendAnswer(nil, id, Model, r.results(w.Top), w, tokens), tokens, nil
}

func canceled(ctx context.Context) error {
	return fault.Wrap(fault.ClientClosed, "the call was canceled", context.Cause(ctx))
}

// stream hands out an answer that is made when it is asked for.
type stream struct {
	ctx    context.Context
	answer func() (body []byte, tokens int, err error)
	count  int // answers in it
	told   bool
}

// Next returns the whole answer.
func (s *stream) Next(time.Time) (engine.Chunk, error) {
	switch {
	case s.ctx.Err() != nil:
		return engine.Chunk{}, canceled(s.ctx)
	case s.told:
		return engine.Chunk{}, fault.New(fault.Interrupted, "the answer is at its end already")
	}
	s.told = true
	body, tokens, err := s.answer()
	if err != nil {
		return engine.Chunk{}, err
	}
	return engine.Chunk{
		Raw:  body,
		Last: true,
		Event: inference.Event{
			Content: true, Finishes: s.count, Terminal: true,
			Usage: inference.Usage{Input: tokens, Known: true},
		},
	}, nil
}

// Dropped names nothing: what this engine does not know it refuses.
func (*stream) Dropped() []string { return nil }

// Close has nothing to give back.
func (*stream) Close() error { return nil }
