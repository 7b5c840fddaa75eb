package ollama

import (
	"slices"
	"strconv"

	"headworks/internal/dialect"
	"headworks/internal/scan"
)

// Embedding is a request for vectors, to /api/embed or, where Single, to the older
// /api/embeddings. It reaches upstreams in OpenAI's form, which they serve, Ollama
// among them.
type Embedding struct {
	Single bool
	Model  string // as the caller named it
}

var embedShape = scan.Keys("model", "models", "input", "prompt", "truncate", "dimensions", "keep_alive", "encoding_format", "user").
	With("options", options)

// EmbedShape returns the keys that are known in a request for vectors.
func EmbedShape() *scan.Shape { return embedShape }

// Request writes a request in OpenAI's form. What Ollama does with a text that is too
// long is the upstream's to decide there, and so are its options.
func (e Embedding) Request(d *scan.Doc) ([]byte, error) {
	root := d.Root()
	var f dialect.Fields
	name := "input"
	if e.Single {
		name = "prompt"
	}
	input := root.Get(name)
	switch input.Kind() {
	case scan.String:
	case scan.Array:
		if input.Len() == 0 || e.Single {
			f.Wrong(name, "must be a string, or an array of strings that is not empty")
		}
		f.Texts(input, name)
	default:
		f.Wrong(name, "must be a string")
	}
	if err := f.Failed(); err != nil {
		return nil, err
	}
	dst := append([]byte(`{"model":`), root.Get("model").Raw()...)
	dst = append(scan.AppendKey(dst, "input"), input.Raw()...)
	for _, field := range []string{"dimensions", "models"} {
		if v := root.Get(field); v.Given() {
			dst = append(scan.AppendKey(dst, field), v.Raw()...)
		}
	}
	return append(dst, `,"encoding_format":"float"}`...), nil
}

// Answer writes an answer of OpenAI's form as Ollama's. It was checked before: each
// input has its vector.
func (e Embedding) Answer(body []byte) []byte {
	var d scan.Doc
	if err := d.ScanLean(body); err != nil {
		return AppendError(nil, dialect.Unreadable(err), "")
	}
	root := d.Root()
	list := slices.Collect(root.Get("data").All())
	slices.SortStableFunc(list, func(a, b scan.Value) int {
		i, _ := a.Get("index").Int()
		j, _ := b.Get("index").Int()
		return int(i - j)
	})
	if e.Single {
		dst := []byte(`{"embedding":`)
		for _, v := range list[:min(1, len(list))] {
			dst = append(dst, v.Get("embedding").Raw()...)
		}
		return append(dst, '}')
	}
	dst := scan.AppendString([]byte(`{"model":`), e.Model)
	dst = append(scan.AppendKey(dst, "embeddings"), '[')
	for _, v := range list {
		dst = append(scan.AppendComma(dst), v.Get("embedding").Raw()...)
	}
	dst = append(dst, ']')
	if n, ok := root.Get("usage").Get("prompt_tokens").Int(); ok {
		dst = strconv.AppendInt(scan.AppendKey(dst, "prompt_eval_count"), n, 10)
	}
	return append(dst, '}')
}
