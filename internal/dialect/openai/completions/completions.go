// Package completions reads and writes the dialect of OpenAI's completions, the
// older way to ask a model: requests, answers, the events of a stream.
//
// Its source is OpenAI's OpenAPI description 2.3.0, and what vLLM, llama.cpp and
// SGLang really send. A request for an upstream of the same dialect is spliced; a
// prompt of one text can be put to one that only chats, and what such an upstream
// cannot be told is named or refused.
package completions

import (
	"math"

	"headworks/internal/dialect"
	"headworks/internal/dialect/openai"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

const (
	maxN       = 128     // as of OpenAI's chat
	maxChoices = 1 << 16 // in one answer, over all prompts
)

var (
	shape = scan.Keys("model", "prompt", "suffix", "max_tokens", "temperature", "top_p", "top_k", "n", "stream",
		"logprobs", "echo", "stop", "presence_penalty", "frequency_penalty", "best_of", "logit_bias", "user", "seed",
		"prompt_embeds", "prompt_cache_key", "models").
		With("stream_options", scan.Keys("include_usage", "include_obfuscation", "continuous_usage_stats"))

	kin = openai.Kin{Shape: shape, Prompt: "prompt"}
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
		ID: into.ID, Dialect: inference.Completions, Model: into.Model, N: 1, Bytes: len(d.Bytes()),
	}
	var f dialect.Fields
	var hint, user scan.Value
	model := false
	for m := range root.All() {
		switch key := string(m.Key()); key {
		case "model":
			if model = f.Want(m, scan.String, key); model && !m.Is(r.Model) {
				r.Model = m.Text()
			}
		case "models":
			r.Models = openai.Fallbacks(&f, m)
		case "stream":
			r.Stream = f.Bool(m, key)
		case "stream_options":
			if f.Want(m, scan.Object, key) {
				r.WantUsage = f.Bool(m.Get("include_usage"), "stream_options.include_usage")
			}
		case "max_tokens":
			r.MaxTokens = f.Int(m, key, 0, math.MaxInt32)
		case "n":
			if m.Given() {
				r.N = f.Int(m, key, 1, maxN)
			}
		case "best_of":
			f.Int(m, key, 0, maxN)
		case "logprobs":
			f.Int(m, key, -1, math.MaxInt32) // vLLM: -1 is the whole vocabulary
			r.Detailed = m.Given()
		case "temperature":
			r.Cold = dialect.Zero(m)
		case "echo":
			f.Bool(m, key)
		case "suffix":
			f.Want(m, scan.String, key)
		case "stop":
			if m.Kind() != scan.String {
				f.Texts(m, key)
			}
		case "user":
			user = m
			f.Want(m, scan.String, key)
		case "prompt_cache_key":
			hint = m
			f.Want(m, scan.String, key)
		}
	}
	if !model || r.Model == "" {
		f.Wrong("model", "is missing; name one of those that GET /v1/models lists")
	}
	prompts := openai.Prompts{Count: 1, Tokens: 1}
	if root.Get("prompt").Given() || !root.Get("prompt_embeds").Given() { // vLLM takes either
		prompts = openai.ReadPrompts(&f, root.Get("prompt"), "prompt")
	}
	r.Input, r.Longest, r.Prompts = max(1, prompts.Tokens), prompts.Longest, prompts.Count
	if r.N *= prompts.Count; r.N > maxChoices {
		f.Wrong("prompt", "asks for more than 65536 answers at once; send less in one request")
	}
	r.User = dialect.Session(user.Bytes())
	if r.Session = dialect.Session(hint.Bytes()); r.Session == 0 {
		r.Session = r.User
	}
	r.WantUsage = r.WantUsage && r.Stream
	if err := f.Failed(); err != nil {
		return err
	}
	*into = r
	return nil
}

// Decode reads a request for an upstream that only chats, one that ReadRequest has
// accepted: its prompt is the user's one message. What such an upstream could never
// follow is a fault of kind Unsupported that names the field; what it can do
// without is named.
func Decode(d *scan.Doc) (*inference.Conversation, []string, error) {
	c := &inference.Conversation{From: inference.Completions}
	var f dialect.Fields
	for m := range d.Root().All() {
		if f := beyond(m); f != nil {
			return nil, nil, f
		}
		switch key := string(m.Key()); key {
		case "model", "models", "stream", "stream_options", "echo", "suffix", "prompt_embeds":
		case "prompt":
			text := m
			for only := range m.All() {
				text = only
			}
			c.Messages = []inference.Message{{Parts: []inference.Part{{Kind: inference.Text, Text: text.Text()}}}}
		case "max_tokens":
			c.MaxTokens = f.Int(m, key, 0, math.MaxInt32)
		case "temperature":
			c.Temperature = f.Float(m, key)
		case "top_p":
			c.TopP = f.Float(m, key)
		case "top_k":
			if m.Given() {
				c.TopK = new(f.Int(m, key, math.MinInt32, math.MaxInt32))
			}
		case "presence_penalty":
			c.Presence = f.Float(m, key)
		case "frequency_penalty":
			c.Frequency = f.Float(m, key)
		case "seed":
			if m.Given() {
				c.Seed = new(int64(f.Int(m, key, math.MinInt64, math.MaxInt64)))
			}
		case "stop":
			if m.Kind() == scan.String {
				c.Stop = []string{m.Text()}
			} else {
				c.Stop = f.Texts(m, key)
			}
		case "n":
			c.N = f.Int(m, key, 1, maxN)
		case "logprobs":
			if m.Given() {
				c.LogProbs = new(f.Int(m, key, -1, math.MaxInt32))
			}
		case "user":
			c.User = f.Text(m, key)
		case "best_of":
			if n, _ := m.Int(); n > 1 {
				f.DropMember("", m)
			}
		default:
			c.Private = append(c.Private, dialect.Private("", m))
		}
	}
	return c, dialect.Lost(f.Dropped, c), f.Failed()
}

// beyond returns the fault of a field that no upstream could follow that only
// chats, or nil.
func beyond(m scan.Value) *fault.Error {
	key, asks := string(m.Key()), ""
	switch key {
	case "prompt":
		switch m.Kind() {
		case scan.Array:
			first := scan.Absent
			for e := range m.All() {
				first = e.Kind()
				break
			}
			if first != scan.String {
				asks = "a prompt of tokens"
			} else if m.Len() > 1 {
				asks = "several prompts"
			}
		}
	case "prompt_embeds":
		if m.Given() {
			asks = "a prompt of embeddings"
		}
	case "suffix":
		if m.TextLen() > 0 {
			asks = "suffix"
		}
	case "echo":
		if on, _ := m.Bool(); on {
			asks = "echo"
		}
	case "max_tokens":
		if n, ok := m.Int(); ok && n == 0 {
			asks = "max_tokens 0"
		}
	}
	if asks == "" {
		return nil
	}
	return &fault.Error{
		Kind: fault.Unsupported, Param: key,
		Words: "the upstreams of this model only chat, where there is no place for " + asks + "; ask a model whose upstream serves completions",
	}
}

// Render writes what a model is going to read, so that an engine's prefix cache can be
// foreseen: the prompt, if it is one text.
func Render(d *scan.Doc, to dialect.Rendering) {
	if p := d.Root().Get("prompt"); p.Kind() == scan.String {
		to.Write(p.Raw())
	}
}
