package openai

import (
	"math"
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
	root := d.Root()
	if root.Kind() != scan.Object {
		return dialect.Invalid("", "the body must be a JSON object")
	}
	r := inference.Request{
		ID: into.ID, Dialect: inference.OpenAI, Model: into.Model, N: 1, Bytes: len(d.Bytes()),
	}
	var f dialect.Fields
	var messages, user scan.Value
	model, toolless, bytes, tokens := false, false, 0, 0
	for m := range root.All() {
		switch string(m.Key()) {
		case "model":
			if model = f.Want(m, scan.String, "model"); model && !m.Is(r.Model) {
				r.Model = m.Text()
			}
		case "models":
			r.Models = fallbacks(&f, m)
		case "messages":
			messages = m
		case "stream":
			r.Stream = f.Bool(m, "stream")
		case "stream_options":
			if f.Want(m, scan.Object, "stream_options") {
				r.WantUsage = f.Bool(m.Get("include_usage"), "stream_options.include_usage")
			}
		case "max_tokens":
			r.MaxTokens = max(r.MaxTokens, f.Int(m, "max_tokens", 1, math.MaxInt32))
		case "max_completion_tokens":
			r.MaxTokens = max(r.MaxTokens, f.Int(m, "max_completion_tokens", 1, math.MaxInt32))
		case "n":
			if m.Given() {
				r.N = f.Int(m, "n", 1, maxChoices)
			}
		case "temperature":
			r.Cold = dialect.Zero(m)
		case "logprobs":
			r.Detailed, _ = m.Bool()
		case "web_search_options":
			if m.Given() {
				r.Apart |= inference.HostedUse
			}
		case "audio":
			if m.Given() {
				r.Apart |= inference.Sounding
			}
		case "modalities":
			for kind := range m.All() {
				if !kind.Is("text") {
					r.Apart |= inference.Sounding
				}
			}
		case "tools":
			r.Tools = tools(&f, &r, m)
			bytes += len(m.Raw())
		case "tool_choice":
			if m.Kind() != scan.String {
				f.Want(m, scan.Object, "tool_choice")
			}
			toolless = m.Is("none")
		case "reasoning_effort":
			r.Effort = inference.ParseEffort(m.Bytes())
			if m.Given() && !m.Is("none") {
				r.Need(inference.Reasoning)
			}
		case "service_tier":
			r.Service = inference.ParseService(m.Bytes())
		case "response_format":
			if f.Want(m, scan.Object, "response_format") && m.Get("type").TextLen() == 0 {
				f.Wrong("response_format.type", "must be a string")
			}
			if m.Get("type").Is("json_schema") {
				r.Need(inference.JSONSchema)
			}
		case "store":
			if m.Given() {
				if r.NoStore = !f.Bool(m, "store"); !r.NoStore {
					r.Apart |= inference.Kept
				}
			}
		case "user":
			user = m
			f.Want(m, scan.String, "user")
		case "prompt_cache_key":
			f.Want(m, scan.String, "prompt_cache_key")
			r.Session = dialect.Session(m.Bytes())
		}
	}
	if !model || r.Model == "" {
		f.Wrong("model", "is missing; name one of those that GET /v1/models lists")
	}
	switch {
	case messages.Kind() != scan.Array:
		f.Wrong("messages", "must be an array of messages")
	case messages.Len() == 0:
		f.Wrong("messages", "must not be empty")
	}
	i := 0
	for m := range messages.All() {
		b, t := checkMessage(&f, &r, m, i)
		bytes, tokens, i = bytes+b, tokens+t, i+1
	}
	if r.User = dialect.Session(user.Bytes()); r.Session == 0 {
		r.Session = r.User
	}
	if r.Tools > 0 && !toolless {
		r.Need(inference.Tools)
	}
	r.Input = max(1, tokens+bytes/dialect.BytesPerToken)
	r.WantUsage = r.WantUsage && r.Stream
	if err := f.Failed(); err != nil {
		return err
	}
	*into = r
	return nil
}

// fallbacks reads the models to fall back to, a field that OpenRouter brought up.
func fallbacks(f *dialect.Fields, v scan.Value) []string {
	if v.Len() > maxFallbacks {
		f.Wrong("models", "must name at most "+strconv.Itoa(maxFallbacks))
	}
	return f.Texts(v, "models")
}

func tools(f *dialect.Fields, r *inference.Request, v scan.Value) int {
	if !f.Want(v, scan.Array, "tools") {
		return 0
	}
	i := 0
	for t := range v.All() {
		switch kind := t.Get("type"); {
		case t.Kind() != scan.Object:
			f.Wrong(at("tools", i, ""), "must be an object")
		case kind.TextLen() == 0:
			f.Wrong(at("tools", i, "type"), "must be a string")
		case kind.Is("function") && t.Get("function").Get("name").TextLen() == 0:
			f.Wrong(at("tools", i, "function.name"), "must be a string")
		case !kind.Is("function") && !kind.Is("custom"):
			r.Apart |= inference.HostedUse
		}
		i++
	}
	return i
}

// checkMessage returns the bytes of text in a message, and the tokens of what is
// not text.
func checkMessage(f *dialect.Fields, r *inference.Request, m scan.Value, i int) (bytes, tokens int) {
	if m.Kind() != scan.Object {
		f.Wrong(at("messages", i, ""), "must be an object")
		return 0, 0
	}
	known := false
	for field := range m.All() {
		switch string(field.Key()) {
		case "role":
			switch string(field.Bytes()) {
			case "system", "developer", "user", "assistant", "tool", "function":
				known = true
			}
		case "content":
			switch field.Kind() {
			case scan.Null:
			case scan.String:
				bytes += field.TextLen()
			case scan.Array:
				b, t := checkParts(f, r, field, i)
				bytes, tokens = bytes+b, tokens+t
			default:
				f.Wrong(at("messages", i, "content"), "must be a string or an array of parts")
			}
		case "tool_calls":
			if field.Given() && field.Kind() != scan.Array {
				f.Wrong(at("messages", i, "tool_calls"), "must be an array")
			}
			bytes += len(field.Raw())
		case "reasoning_content", "reasoning", "refusal":
			bytes += field.TextLen()
		}
	}
	if !known {
		f.Wrong(at("messages", i, "role"), "must be one of system, developer, user, assistant, tool")
	}
	return bytes, tokens
}

func checkParts(f *dialect.Fields, r *inference.Request, parts scan.Value, i int) (bytes, tokens int) {
	for p := range parts.All() {
		kind := p.Get("type")
		if p.Kind() != scan.Object || kind.Exists() && kind.Kind() != scan.String {
			f.Wrong(at("messages", i, "content"), "must hold objects with a type")
			continue
		}
		switch string(kind.Bytes()) {
		case "image_url", "video_url", "input_image":
			if source := p.Get(string(kind.Bytes())); dialect.Lies(source) || dialect.Lies(source.Get("url")) || p.Get("file_id").Given() || dialect.Lies(p.Get("image_url")) {
				r.Apart |= inference.Elsewhere
			}
			tokens += dialect.ImageTokens
			r.Need(inference.Vision)
		case "input_audio", "audio_url":
			if dialect.Lies(p.Get("audio_url").Get("url")) {
				r.Apart |= inference.Elsewhere
			}
			tokens += dialect.AudioTokens
			r.Need(inference.Hearing)
		case "file":
			if p.Get("file").Get("file_id").Given() {
				r.Apart |= inference.Elsewhere
			}
			tokens += dialect.DocumentTokens
			r.Need(inference.Documents)
		default:
			bytes += p.Get("text").TextLen() + p.Get("refusal").TextLen()
		}
	}
	return bytes, tokens
}

// at returns the path of a field of an element of an array.
func at(array string, i int, field string) string {
	path := array + "[" + strconv.Itoa(i) + "]"
	if field != "" {
		path += "." + field
	}
	return path
}

var (
	askUsage  = []byte(`,"stream_options":{"include_usage":true}`)
	withUsage = []byte(`,"include_usage":true`)
	yes       = []byte("true")
	options   = []byte(`{"include_usage":true}`)
)

// Edits appends, in order, the edits of a request for an upstream of this
// dialect: its own name for the model, and usage where the answer is a stream,
// so that it is always known. A model of the same name costs no edit.
func Edits(dst []scan.Edit, d *scan.Doc, model string) []scan.Edit {
	root := d.Root()
	name := root.Get("model")
	first := len(dst)
	if models := root.Get("models"); models.Exists() {
		dst = append(dst, scan.Cut(root, models)) // they are for us
	}
	if !name.Is(model) {
		dst = append(dst, scan.Replace(name, scan.AppendString(make([]byte, 0, len(model)+2), model)))
	}
	return sorted(AskUsage(dst, d), first)
}

// AskUsage appends the edit that lets a streamed answer tell its usage; none where
// it does already, or nothing streams.
func AskUsage(dst []scan.Edit, d *scan.Doc) []scan.Edit {
	root := d.Root()
	if stream, _ := root.Get("stream").Bool(); !stream {
		return dst
	}
	opts := root.Get("stream_options")
	switch include := opts.Get("include_usage"); {
	case !opts.Exists():
		return append(dst, scan.Insert(root, askUsage))
	case opts.Kind() != scan.Object:
		return append(dst, scan.Replace(opts, options))
	case !include.Exists():
		return append(dst, scan.Insert(opts, withUsage))
	default:
		if on, _ := include.Bool(); on {
			return dst
		}
		return append(dst, scan.Replace(include, yes))
	}
}

// sorted puts the few edits from the first on in order.
func sorted(edits []scan.Edit, first int) []scan.Edit {
	for i := first + 1; i < len(edits); i++ {
		for j := i; j > first && edits[j-1].Start > edits[j].Start; j-- {
			edits[j-1], edits[j] = edits[j], edits[j-1]
		}
	}
	return edits
}
