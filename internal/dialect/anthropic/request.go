package anthropic

import (
	"bytes"
	"math"
	"slices"
	"strconv"

	"headworks/internal/dialect"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// ReadRequest reads the facts of a request that was scanned with Shape. The
// fields on which decisions rest must have exact types; its errors are
// *fault.Error. ID is left alone, and Model keeps its string if it is the right
// one already, so a reused Request costs no allocation.
func ReadRequest(d *scan.Doc, into *inference.Request) error {
	return readAs(d, into, inference.Anthropic)
}

// ReadCountRequest reads the facts of a request to count tokens: one like any
// other, but for max_tokens and stream.
func ReadCountRequest(d *scan.Doc, into *inference.Request) error {
	return readAs(d, into, inference.AnthropicCount)
}

func readAs(d *scan.Doc, into *inference.Request, as inference.Dialect) error {
	root := d.Root()
	if root.Kind() != scan.Object {
		return dialect.Invalid("", "the body must be a JSON object")
	}
	r := inference.Request{
		ID: into.ID, Dialect: as, Model: into.Model, N: 1, Bytes: len(d.Bytes()),
	}
	var f dialect.Fields
	var messages scan.Value
	w := weight{r: &r}
	toolless := false
	model, limit := false, as == inference.AnthropicCount
	for m := range root.All() {
		switch string(m.Key()) {
		case "model":
			if model = f.Want(m, scan.String, "model"); model && !m.Is(r.Model) {
				r.Model = m.Text()
			}
		case "messages":
			messages = m
		case "max_tokens": // 0 warms a cache
			limit = m.Given()
			r.MaxTokens = f.Int(m, "max_tokens", 0, math.MaxInt32)
		case "stream":
			r.Stream = f.Bool(m, "stream")
		case "system":
			if !w.blocks(m) {
				f.Wrong("system", "must be a string or an array of blocks with a type")
			}
		case "temperature":
			r.Cold = dialect.Zero(m)
		case "mcp_servers", "container":
			if m.Len() > 0 || m.Kind() == scan.String {
				r.Apart |= inference.HostedUse
			}
		case "tools":
			r.Tools = tools(&f, &r, m)
			w.bytes += len(m.Raw())
		case "tool_choice":
			if f.Want(m, scan.Object, "tool_choice") && m.Get("type").TextLen() == 0 {
				f.Wrong("tool_choice.type", "must be a string")
			}
			toolless = m.Get("type").Is("none")
		case "thinking":
			if f.Want(m, scan.Object, "thinking") {
				f.Int(m.Get("budget_tokens"), "thinking.budget_tokens", 0, math.MaxInt32)
				if !m.Get("type").Is("disabled") {
					r.Need(inference.Reasoning)
				}
			}
		case "output_config":
			r.Effort = inference.ParseEffort(m.Get("effort").Bytes())
			if m.Get("format").Get("type").Is("json_schema") {
				r.Need(inference.JSONSchema)
			}
		case "output_format":
			if m.Get("type").Is("json_schema") {
				r.Need(inference.JSONSchema)
			}
		case "metadata":
			if f.Want(m, scan.Object, "metadata") {
				f.Want(m.Get("user_id"), scan.String, "metadata.user_id")
				r.User = dialect.Session(m.Get("user_id").Bytes())
				r.Session = r.User
			}
		}
	}
	if !model || r.Model == "" {
		f.Wrong("model", "is missing; name one of those that GET /v1/models lists")
	}
	if !limit {
		f.Wrong("max_tokens", "is missing; say how many tokens the answer may have")
	}
	switch {
	case messages.Kind() != scan.Array:
		f.Wrong("messages", "must be an array of messages")
	case messages.Len() == 0:
		f.Wrong("messages", "must not be empty")
	}
	i := 0
	for m := range messages.All() {
		switch role := m.Get("role"); {
		case m.Kind() != scan.Object:
			f.Wrong(at("messages", i, ""), "must be an object")
		case !role.Is("user") && !role.Is("assistant") && !role.Is("system"):
			f.Wrong(at("messages", i, "role"), "must be one of user, assistant, system")
		case !w.blocks(m.Get("content")):
			f.Wrong(at("messages", i, "content"), "must be a string or an array of blocks with a type")
		}
		i++
	}
	if r.Tools > 0 && !toolless {
		r.Need(inference.Tools)
	}
	r.Input = max(1, w.tokens+w.bytes/dialect.BytesPerToken)
	r.Stream = r.Stream && as == inference.Anthropic
	r.WantUsage = r.Stream
	if err := f.Failed(); err != nil {
		return err
	}
	*into = r
	return nil
}

func tools(f *dialect.Fields, r *inference.Request, v scan.Value) int {
	if !f.Want(v, scan.Array, "tools") {
		return 0
	}
	i := 0
	for t := range v.All() {
		switch {
		case t.Kind() != scan.Object:
			f.Wrong(at("tools", i, ""), "must be an object")
		case t.Get("type").Given() && t.Get("type").Kind() != scan.String:
			f.Wrong(at("tools", i, "type"), "must be a string")
		case !t.Get("type").Given() && t.Get("name").TextLen() == 0:
			f.Wrong(at("tools", i, "name"), "must be a string")
		case t.Get("type").Given() && !client(t.Get("type").Bytes()):
			r.Apart |= inference.HostedUse
		}
		i++
	}
	return i
}

// client reports whether a tool of that type runs where the caller is: its own, and
// those that Anthropic only describes (Claude API, tool use: client tools).
func client(kind []byte) bool {
	for _, name := range [...]string{"custom", "bash_", "text_editor_", "computer_", "memory_"} {
		if bytes.HasPrefix(kind, []byte(name)) {
			return true
		}
	}
	return false
}

// weight is how much a prompt weighs: its text in bytes, the rest in tokens; r needs
// what its parts need.
type weight struct {
	bytes, tokens int
	r             *inference.Request
}

// blocks weighs a content; false if it is none.
func (w *weight) blocks(content scan.Value) bool {
	switch content.Kind() {
	case scan.String:
		w.bytes += content.TextLen()
		return true
	case scan.Array:
	default:
		return false
	}
	for b := range content.All() {
		kind := b.Get("type")
		if kind.TextLen() == 0 {
			return false
		}
		switch string(kind.Bytes()) {
		case "text":
			w.bytes += b.Get("text").TextLen()
		case "thinking":
			w.bytes += b.Get("thinking").TextLen()
		case "tool_use":
			w.bytes += len(b.Get("input").Raw())
		case "image":
			w.source(b)
			w.tokens += dialect.ImageTokens
			w.r.Need(inference.Vision)
		case "document":
			w.source(b)
			if source := b.Get("source"); source.Get("type").Is("text") {
				w.bytes += source.Get("data").TextLen()
			} else {
				w.tokens += dialect.DocumentTokens
				w.r.Need(inference.Documents)
			}
		case "tool_result":
			if inside := b.Get("content"); inside.Given() && !w.blocks(inside) {
				return false
			}
		default:
			w.bytes += len(b.Raw())
		}
	}
	return true
}

// at returns the path of a field of an element of an array.
// source notes whether a block's content lies elsewhere.
func (w *weight) source(b scan.Value) {
	if kind := b.Get("source").Get("type"); kind.Is("url") || kind.Is("file") {
		w.r.Apart |= inference.Elsewhere
	}
}

func at(array string, i int, field string) string {
	path := array + "[" + strconv.Itoa(i) + "]"
	if field != "" {
		path += "." + field
	}
	return path
}

// Edits appends the edits of a request for an upstream of this dialect: its own
// name for the model, and no thoughts that Gemini has signed. A model of the same
// name costs no edit.
func Edits(dst []scan.Edit, d *scan.Doc, model string) []scan.Edit {
	first := len(dst)
	if name := d.Root().Get("model"); !name.Is(model) {
		dst = append(dst, scan.Replace(name, scan.AppendString(make([]byte, 0, len(model)+2), model)))
	}
	if dst = WithoutForeign(dst, d); len(dst) > first+1 {
		slices.SortFunc(dst[first:], func(a, b scan.Edit) int { return a.Start - b.Start })
	}
	return dst
}

// WithoutForeign appends the edits that take out the thoughts that Gemini has signed.
// They stand in the conversation of a caller whom Gemini answered before, by way of
// inference, and Claude refuses a signature that is not its own.
func WithoutForeign(dst []scan.Edit, d *scan.Doc) []scan.Edit {
	if !bytes.Contains(d.Bytes(), []byte(`"`+dialect.ByGoogle)) {
		return dst
	}
	for m := range d.Root().Get("messages").All() {
		content := m.Get("content")
		if content.Kind() != scan.Array {
			continue
		}
		kept, n := []byte{'['}, 0
		for b := range content.All() {
			if b.Get("type").Is("thinking") && bytes.HasPrefix(b.Get("signature").Bytes(), []byte(dialect.ByGoogle)) {
				continue
			}
			kept = append(scan.AppendComma(kept), b.Raw()...)
			n++
		}
		if n > 0 && n < content.Len() { // a turn may not be empty
			dst = append(dst, scan.Replace(content, append(kept, ']')))
		}
	}
	return dst
}
