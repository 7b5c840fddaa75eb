// Package embeddings reads the dialect of OpenAI's embeddings, and writes its
// answers: vectors of texts, as numbers or as base64.
//
// Its source is OpenAI's OpenAPI description 2.3.0, and what vLLM and llama.cpp
// really send. An answer is checked before anybody gets it: each input has one
// vector, and all are of one length.
package embeddings

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"

	"headworks/internal/dialect"
	"headworks/internal/dialect/openai"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

const maxDimensions = 1 << 20

var (
	shape = scan.Keys("model", "input", "encoding_format", "dimensions", "user", "messages", "models",
		"truncate_prompt_tokens", "priority")

	kin = openai.Kin{Shape: shape, Prompt: "input"}
)

// Shape returns the keys that are known in a request.
func Shape() *scan.Shape { return shape }

// ReadError returns what an upstream's error answer means.
func ReadError(status int, body []byte, d *scan.Doc) *fault.Error {
	return kin.ReadError(status, body, d)
}

// ReadRequest reads the facts of a request that was scanned with Shape; see
// openai.ReadRequest.
func ReadRequest(d *scan.Doc, into *inference.Request) error {
	root := d.Root()
	if root.Kind() != scan.Object {
		return dialect.Invalid("", "the body must be a JSON object")
	}
	r := inference.Request{
		ID: into.ID, Dialect: inference.Embeddings, Model: into.Model, N: 1, Bytes: len(d.Bytes()),
	}
	var f dialect.Fields
	model := false
	for m := range root.All() {
		switch key := string(m.Key()); key {
		case "model":
			if model = f.Want(m, scan.String, key); model && !m.Is(r.Model) {
				r.Model = m.Text()
			}
		case "models":
			r.Models = openai.Fallbacks(&f, m)
		case "encoding_format":
			if f.Want(m, scan.String, key) && !m.Is("float") && !m.Is("base64") {
				f.Wrong(key, "must be float or base64")
			}
		case "dimensions":
			f.Int(m, key, 1, maxDimensions)
		case "user":
			f.Want(m, scan.String, key)
			r.User = dialect.Session(m.Bytes())
			r.Session = r.User
		}
	}
	if !model || r.Model == "" {
		f.Wrong("model", "is missing; name one of those that GET /v1/models lists")
	}
	if messages := root.Get("messages"); messages.Given() && !root.Get("input").Given() { // vLLM: one input, as a chat
		f.Want(messages, scan.Array, "messages")
		r.Input, r.Prompts = max(1, len(messages.Raw())/dialect.BytesPerToken), 1
	} else {
		p := openai.ReadPrompts(&f, root.Get("input"), "input")
		r.Input, r.Longest, r.Prompts = p.Tokens, p.Longest, p.Count
	}
	if err := f.Failed(); err != nil {
		return err
	}
	*into = r
	return nil
}

// Wanted is a request as an engine needs it that makes vectors itself.
type Wanted struct {
	Texts      []string
	Dimensions int // 0: the engine's own
	Base64     bool
}

// Decode reads a request that ReadRequest has accepted. What is not text is a fault
// of kind Unsupported.
func Decode(d *scan.Doc) (*Wanted, error) {
	root := d.Root()
	var f dialect.Fields
	w := &Wanted{
		Dimensions: f.Int(root.Get("dimensions"), "dimensions", 1, maxDimensions),
		Base64:     root.Get("encoding_format").Is("base64"),
	}
	switch input := root.Get("input"); input.Kind() {
	case scan.String:
		w.Texts = []string{input.Text()}
	case scan.Array:
		for e := range input.All() {
			if e.Kind() != scan.String {
				return nil, &fault.Error{Kind: fault.Unsupported, Param: "input", Words: "this model reads text, not tokens; send strings"}
			}
			w.Texts = append(w.Texts, e.Text())
		}
	default:
		return nil, &fault.Error{Kind: fault.Unsupported, Param: "messages", Words: "this model reads text, not conversations; send input"}
	}
	return w, f.Failed()
}

// ReadAnswer reads the facts of an answer that was scanned, be it leanly: how many
// vectors it holds, as Finishes, and usage. An error inside it, and a body that is
// no answer, are *fault.Error.
func ReadAnswer(d *scan.Doc, into *inference.Event) error {
	root := d.Root()
	if f := kin.Inside(root); f != nil {
		return f
	}
	if f := dialect.Once(root, "data", "error", "usage", "object"); f != nil {
		return f
	}
	data := root.Get("data")
	if data.Kind() != scan.Array || data.Len() == 0 {
		return dialect.Broken(fault.Malformed, "the answer has no data")
	}
	e := inference.Event{Terminal: true, Content: true, Finishes: data.Len(), Usage: openai.ReadInput(root.Get("usage"))}
	seen := make([]bool, data.Len())
	i, length := 0, 0
	for v := range data.All() {
		if f := dialect.Once(v, "embedding", "index"); f != nil {
			return f
		}
		n, ok := size(v.Get("embedding"))
		switch {
		case !ok:
			return dialect.Broken(fault.Malformed, "an embedding is no vector")
		case length > 0 && n != length:
			return dialect.Broken(fault.Malformed, "the embeddings are of different lengths")
		}
		at := int64(i)
		if index := v.Get("index"); index.Exists() {
			at, ok = index.Int()
			if !ok || at < 0 || at >= int64(len(seen)) {
				return dialect.Broken(fault.Mismatch, "an embedding of something that was not sent")
			}
		}
		if seen[at] {
			return dialect.Broken(fault.Malformed, "two embeddings of one input")
		}
		seen[at] = true
		length = max(length, n)
		i++
	}
	*into = e
	return nil
}

// size returns how long a vector is, in numbers or in characters of base64; 0 where
// one input has many vectors, as of a model with late interaction.
func size(v scan.Value) (n int, ok bool) {
	switch {
	case v.Kind() == scan.String:
		return v.TextLen(), v.TextLen() > 0
	case v.Kind() != scan.Array || v.Len() == 0:
		return 0, false
	case v.Numbers():
		return v.Len(), true
	}
	for e := range v.All() {
		switch e.Kind() {
		case scan.Number:
			n++
		case scan.Array:
		default:
			return 0, false
		}
	}
	return n, n == 0 || n == v.Len()
}

// AppendVector appends the vector of an input to an answer, which is begun where
// dst is empty.
func AppendVector(dst []byte, index int, vector []float32, inBase64 bool) []byte {
	if len(dst) == 0 {
		dst = append(dst, `{"object":"list","data":[`...)
	}
	dst = append(scan.AppendComma(dst), `{"object":"embedding","index":`...)
	dst = strconv.AppendInt(dst, int64(index), 10)
	dst = scan.AppendKey(dst, "embedding")
	if inBase64 {
		raw := make([]byte, 0, 4*len(vector))
		for _, x := range vector {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
		}
		dst = base64.StdEncoding.AppendEncode(append(dst, '"'), raw)
		return append(dst, `"}`...)
	}
	dst = append(dst, '[')
	for _, x := range vector {
		dst = strconv.AppendFloat(scan.AppendComma(dst), float64(x), 'g', -1, 32)
	}
	return append(dst, "]}"...)
}

// AppendEnd ends an answer.
func AppendEnd(dst []byte, model string, tokens int) []byte {
	dst = scan.AppendString(append(dst, `],"model":`...), model)
	dst = append(dst, `,"usage":{"prompt_tokens":`...)
	dst = strconv.AppendInt(dst, int64(tokens), 10)
	dst = append(dst, `,"total_tokens":`...)
	return append(strconv.AppendInt(dst, int64(tokens), 10), "}}"...)
}
