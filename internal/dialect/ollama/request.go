package ollama

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"headworks/internal/dialect"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// ReadRequest reads the facts of a request to /api/chat that was scanned with Shape.
// The fields on which decisions rest must have exact types; its errors are
// *fault.Error. ID is left alone, and Model keeps its string if it is the right one
// already. A request without messages asks nothing of a model: see Idle.
func ReadRequest(d *scan.Doc, into *inference.Request) error {
	r, err := begin(d, inference.Ollama, into)
	if err != nil {
		return err
	}
	root := d.Root()
	messages := root.Get("messages")
	r.Want(messages, scan.Array, "messages")
	i := 0
	for m := range messages.All() {
		r.message(m, i)
		i++
	}
	r.tools(root.Get("tools"))
	return r.end(into)
}

// ReadGenerateRequest does the same with a request to /api/generate, which was
// scanned with GenerateShape.
func ReadGenerateRequest(d *scan.Doc, into *inference.Request) error {
	r, err := begin(d, inference.OllamaGenerate, into)
	if err != nil {
		return err
	}
	root := d.Root()
	for _, name := range []string{"prompt", "suffix", "system", "template"} {
		v := root.Get(name)
		r.Want(v, scan.String, name)
		r.bytes += v.TextLen()
	}
	r.Bool(root.Get("raw"), "raw")
	r.images(root.Get("images"), "images")
	context := root.Get("context")
	r.Want(context, scan.Array, "context")
	r.weight += context.Len()
	return r.end(into)
}

// facts are what is read of a request.
type facts struct {
	dialect.Fields
	r             inference.Request
	bytes, weight int // of text, and of the rest in tokens
}

// begin reads what both requests have.
func begin(d *scan.Doc, asked inference.Dialect, into *inference.Request) (*facts, error) {
	root := d.Root()
	if root.Kind() != scan.Object {
		return nil, dialect.Invalid("", "the body must be a JSON object")
	}
	r := &facts{r: inference.Request{
		ID: into.ID, Dialect: asked, Model: into.Model, N: 1, Bytes: len(d.Bytes()), Stream: true,
	}}
	model := false
	for m := range root.All() {
		switch key := string(m.Key()); key {
		case "model":
			if model = r.Want(m, scan.String, key); model && !m.Is(r.r.Model) {
				r.r.Model = m.Text()
			}
		case "models":
			if m.Len() > maxFallbacks {
				r.Wrong(key, "must name at most "+strconv.Itoa(maxFallbacks))
			}
			r.r.Models = r.Texts(m, key)
		case "stream":
			r.r.Stream = r.Bool(m, key) || !m.Given()
		case "format":
			if m.Given() && !m.Is("json") && !m.Is("") && m.Kind() != scan.Object {
				r.Wrong(key, `must be "json" or a JSON schema`)
			}
			if m.Kind() == scan.Object {
				r.r.Need(inference.JSONSchema)
			}
		case "think":
			r.think(m)
		case "truncate", "shift", "logprobs":
			on := r.Bool(m, key)
			r.r.Detailed = r.r.Detailed || key == "logprobs" && on
		case "top_logprobs":
			r.Int(m, key, 0, mostLogprobs)
		case "options":
			if r.Want(m, scan.Object, key) {
				r.options(m)
			}
		}
	}
	if !model || r.r.Model == "" {
		r.Wrong("model", "is missing; name one of those that GET /api/tags lists")
	}
	return r, nil
}

func (r *facts) think(v scan.Value) {
	switch v.Kind() {
	case scan.Absent, scan.Null, scan.Bool:
		if on, _ := v.Bool(); on {
			r.r.Need(inference.Reasoning)
		}
		return
	case scan.String:
		switch string(v.Bytes()) {
		case "low", "medium", "high", "max":
			r.r.Effort = inference.ParseEffort(v.Bytes())
			r.r.Need(inference.Reasoning)
			return
		}
	case scan.Number, scan.Array, scan.Object:
	}
	r.Wrong("think", `must be true, false, "low", "medium", "high" or "max"`)
}

// options checks the types of those that other dialects have too.
func (r *facts) options(v scan.Value) {
	for m := range v.All() {
		param := "options." + string(m.Key())
		switch string(m.Key()) {
		case "num_predict":
			if n := r.Int(m, param, math.MinInt32, math.MaxInt32); n > 0 {
				r.r.MaxTokens = n
			}
		case "top_k":
			r.Int(m, param, math.MinInt32, math.MaxInt32)
		case "seed":
			r.Int(m, param, math.MinInt64, math.MaxInt64)
		case "temperature", "top_p", "presence_penalty", "frequency_penalty":
			r.Float(m, param)
			r.r.Cold = r.r.Cold || string(m.Key()) == "temperature" && dialect.Zero(m)
		case "stop":
			r.Texts(m, param)
		}
	}
}

func (r *facts) message(m scan.Value, i int) {
	at := func(field string) string { return "messages[" + strconv.Itoa(i) + "]." + field }
	if m.Kind() != scan.Object {
		r.Wrong("messages["+strconv.Itoa(i)+"]", "must be an object")
		return
	}
	if role := m.Get("role"); role.TextLen() == 0 {
		r.Wrong(at("role"), "must be system, user, assistant or tool")
	}
	for _, name := range []string{"content", "thinking", "tool_name", "tool_call_id"} {
		v := m.Get(name)
		r.Want(v, scan.String, at(name))
		r.bytes += v.TextLen()
	}
	r.images(m.Get("images"), at("images"))
	calls := m.Get("tool_calls")
	r.Want(calls, scan.Array, at("tool_calls"))
	r.bytes += len(calls.Raw())
	for c := range calls.All() {
		f := c.Get("function")
		r.Want(c.Get("id"), scan.String, at("tool_calls.id"))
		if f.Get("name").TextLen() == 0 {
			r.Wrong(at("tool_calls.function.name"), "must be a string")
		}
		r.Want(f.Get("arguments"), scan.Object, at("tool_calls.function.arguments"))
	}
}

func (r *facts) images(v scan.Value, param string) {
	r.Want(v, scan.Array, param)
	for e := range v.All() {
		if e.Kind() != scan.String {
			r.Wrong(param, "must hold base64")
		}
		r.weight += dialect.ImageTokens
		r.r.Need(inference.Vision)
	}
}

func (r *facts) tools(v scan.Value) {
	r.Want(v, scan.Array, "tools")
	i := 0
	for t := range v.All() {
		if t.Kind() != scan.Object || t.Get("type").Is("function") && t.Get("function").Get("name").TextLen() == 0 {
			r.Wrong("tools["+strconv.Itoa(i)+"].function.name", "must be a string")
		}
		i++
	}
	if r.r.Tools = i; i > 0 {
		r.r.Need(inference.Tools)
	}
	r.bytes += len(v.Raw())
}

func (r *facts) end(into *inference.Request) error {
	r.r.Input = max(1, r.weight+r.bytes/dialect.BytesPerToken)
	r.r.WantUsage = r.r.Stream // the last line always tells
	if err := r.Failed(); err != nil {
		return err
	}
	*into = r.r
	return nil
}

// strict keeps an upstream from cutting the beginning off a prompt that does not fit
// its window, which it does in silence unless it is told otherwise.
var strict = []byte(`,"truncate":false`)

// Edits appends, in order, the edits of a request for an upstream of this dialect:
// its own name for the model, and truncate where the caller did not decide it.
func Edits(dst []scan.Edit, d *scan.Doc, model string) []scan.Edit {
	root := d.Root()
	first := len(dst)
	if name := root.Get("model"); !name.Is(model) {
		dst = append(dst, scan.Replace(name, scan.AppendString(make([]byte, 0, len(model)+2), model)))
	}
	if models := root.Get("models"); models.Exists() {
		dst = append(dst, scan.Cut(root, models)) // they are for us
	}
	switch truncate := root.Get("truncate"); {
	case !truncate.Exists():
		dst = append(dst, scan.Insert(root, strict))
	case !truncate.Given():
		dst = append(dst, scan.Replace(truncate, []byte("false")))
	}
	slices.SortFunc(dst[first:], func(a, b scan.Edit) int { return cmp.Compare(a.Start, b.Start) })
	return dst
}
