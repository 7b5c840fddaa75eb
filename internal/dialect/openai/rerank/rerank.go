// Package rerank reads the dialect in which documents are put in order of a query,
// and writes its answers.
//
// Jina and Cohere (v2) have coined it; vLLM, llama.cpp and SGLang serve it beside
// OpenAI's operations and tell errors as those do, and so does this package. Its
// sources are the references of Jina and Cohere, and what those engines really
// send.
package rerank

import (
	"math"
	"strconv"

	"headworks/internal/dialect"
	"headworks/internal/dialect/openai"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

var (
	shape = scan.Keys("model", "query", "top_n", "return_documents", "rank_fields", "max_chunks_per_doc",
		"max_tokens_per_doc", "truncate_prompt_tokens", "user", "priority", "models").
		With("documents", scan.Each(scan.Keys("text", "image")))

	kin = openai.Kin{Shape: shape, Prompt: "documents"}
)

// Shape returns the keys that are known in a request.
func Shape() *scan.Shape { return shape }

// ReadError returns what an upstream's error answer means.
func ReadError(status int, body []byte, d *scan.Doc) *fault.Error {
	return kin.ReadError(status, body, d)
}

// ReadRequest reads the facts of a request that was scanned with Shape; see
// openai.ReadRequest. Its prompts are the results that it asks for.
func ReadRequest(d *scan.Doc, into *inference.Request) error {
	root := d.Root()
	if root.Kind() != scan.Object {
		return dialect.Invalid("", "the body must be a JSON object")
	}
	r := inference.Request{
		ID: into.ID, Dialect: inference.Rerank, Model: into.Model, N: 1, Bytes: len(d.Bytes()),
	}
	var f dialect.Fields
	var query, documents scan.Value
	model, top := false, 0
	for m := range root.All() {
		switch key := string(m.Key()); key {
		case "model":
			if model = f.Want(m, scan.String, key); model && !m.Is(r.Model) {
				r.Model = m.Text()
			}
		case "models":
			r.Models = openai.Fallbacks(&f, m)
		case "query":
			query = m
		case "documents":
			documents = m
		case "top_n":
			top = f.Int(m, key, 0, math.MaxInt32) // vLLM: 0 is all
		case "return_documents":
			f.Bool(m, key)
		case "user":
			f.Want(m, scan.String, key)
			r.User = dialect.Session(m.Bytes())
			r.Session = r.User
		}
	}
	if !model || r.Model == "" {
		f.Wrong("model", "is missing; name one of those that GET /v1/models lists")
	}
	switch query.Kind() {
	case scan.String, scan.Object: // Jina and vLLM: {"text"} or {"image"}
	case scan.Absent, scan.Null:
		f.Wrong("query", "is missing")
	default:
		f.Wrong("query", "must be a string")
	}
	switch {
	case !documents.Given():
		f.Wrong("documents", "is missing; send an array of strings")
	case documents.Kind() != scan.Array:
		f.Wrong("documents", "must be an array")
	case documents.Len() == 0:
		f.Wrong("documents", "must not be empty")
	}
	asked := weight(query)
	for v := range documents.All() {
		if v.Kind() != scan.String && v.Kind() != scan.Object {
			f.Wrong("documents", "must hold strings, or objects with a text")
		}
		n := asked + weight(v) // the query is read once with each
		r.Input += n
		r.Longest = max(r.Longest, n)
	}
	if r.Prompts = documents.Len(); top > 0 {
		r.Prompts = min(r.Prompts, top)
	}
	if err := f.Failed(); err != nil {
		return err
	}
	*into = r
	return nil
}

func weight(v scan.Value) int {
	switch {
	case v.Kind() == scan.String:
		return max(1, v.TextLen()/dialect.BytesPerToken)
	case v.Get("image").Exists():
		return dialect.ImageTokens
	}
	return max(1, len(v.Raw())/dialect.BytesPerToken)
}

// Wanted is a request as an engine needs it that ranks itself.
type Wanted struct {
	Query     string
	Documents []string
	Top       int  // results to return
	Return    bool // with their documents
}

// Decode reads a request that ReadRequest has accepted. What is not text is a fault
// of kind Unsupported.
func Decode(d *scan.Doc) (*Wanted, error) {
	root := d.Root()
	var f dialect.Fields
	w := &Wanted{Return: f.Bool(root.Get("return_documents"), "return_documents")}
	w.Query = text(&f, root.Get("query"), "query")
	for v := range root.Get("documents").All() {
		w.Documents = append(w.Documents, text(&f, v, "documents"))
	}
	w.Top = len(w.Documents)
	if top := f.Int(root.Get("top_n"), "top_n", 0, math.MaxInt32); top > 0 {
		w.Top = min(w.Top, top)
	}
	if f.Err != nil {
		f.Err.Kind = fault.Unsupported
	}
	return w, f.Failed()
}

func text(f *dialect.Fields, v scan.Value, param string) string {
	if v.Kind() == scan.Object {
		v = v.Get("text")
	}
	if v.Kind() != scan.String {
		f.Wrong(param, "must be text for this model: strings, or objects with a text")
	}
	return v.Text()
}

// ReadAnswer reads the facts of an answer that was scanned: how many results it
// holds, as Finishes, and usage. An error inside it, and a body that is no answer,
// are *fault.Error.
func ReadAnswer(d *scan.Doc, into *inference.Event) error {
	root := d.Root()
	if f := kin.Inside(root); f != nil {
		return f
	}
	if f := dialect.Once(root, "results", "error", "usage", "object", "meta"); f != nil {
		return f
	}
	results := root.Get("results")
	if results.Kind() != scan.Array || results.Len() == 0 {
		return dialect.Broken(fault.Malformed, "the answer has no results")
	}
	e := inference.Event{Terminal: true, Content: true, Finishes: results.Len(), Usage: openai.ReadInput(root.Get("usage"))}
	if n, ok := root.Get("meta").Get("tokens").Get("input_tokens").Int(); ok && n >= 0 && !e.Usage.Known { // Cohere
		e.Usage = inference.Usage{Input: int(n), Known: true}
	}
	seen := make(map[int64]bool, results.Len())
	for v := range results.All() {
		if f := dialect.Once(v, "index", "relevance_score"); f != nil {
			return f
		}
		at, ok := v.Get("index").Int()
		switch {
		case !ok || at < 0 || v.Get("relevance_score").Kind() != scan.Number:
			return dialect.Broken(fault.Malformed, "a result has no index or no relevance_score")
		case seen[at]:
			return dialect.Broken(fault.Malformed, "two results of one document")
		}
		seen[at] = true
	}
	*into = e
	return nil
}

// Result is one document of an answer.
type Result struct {
	Index int // among the documents of the request
	Score float64
}

// AppendAnswer appends an answer; the results stand in their order.
func AppendAnswer(dst []byte, id, model string, results []Result, w *Wanted, tokens int) []byte {
	dst = scan.AppendString(append(dst, `{"id":`...), id)
	dst = scan.AppendString(scan.AppendKey(dst, "model"), model)
	dst = append(dst, `,"usage":{"prompt_tokens":`...)
	dst = strconv.AppendInt(dst, int64(tokens), 10)
	dst = append(dst, `,"total_tokens":`...)
	dst = append(strconv.AppendInt(dst, int64(tokens), 10), `},"results":[`...)
	for _, r := range results {
		dst = append(scan.AppendComma(dst), `{"index":`...)
		dst = strconv.AppendInt(dst, int64(r.Index), 10)
		dst = append(dst, `,"relevance_score":`...)
		dst = strconv.AppendFloat(dst, r.Score, 'f', 6, 64)
		if w.Return {
			dst = scan.AppendString(append(dst, `,"document":{"text":`...), w.Documents[r.Index])
			dst = append(dst, '}')
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}
