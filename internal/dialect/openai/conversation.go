package openai

import (
	"math"
	"strconv"
	"strings"

	"headworks/internal/dialect"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Decode reads a whole request, one that ReadRequest has accepted, and names the
// fields that no dialect but this one can carry. Nothing is lost on the way back
// to this dialect.
func Decode(d *scan.Doc) (*inference.Conversation, []string, error) {
	c := &inference.Conversation{From: inference.OpenAI}
	r := reading{c: c}
	for m := range d.Root().All() {
		r.field(m)
	}
	r.logProbs(d.Root())
	return c, dialect.Lost(r.Dropped, c), r.Failed()
}

type reading struct {
	dialect.Fields
	c *inference.Conversation
}

func (r *reading) field(m scan.Value) {
	c := r.c
	switch key := string(m.Key()); key {
	case "model", "models", "stream", "stream_options":
	case "messages":
		i := 0
		for message := range m.All() {
			r.message(message, i)
			i++
		}
	case "max_tokens", "max_completion_tokens":
		c.MaxTokens = max(c.MaxTokens, r.Int(m, key, 1, math.MaxInt32))
	case "temperature":
		c.Temperature = r.Float(m, key)
	case "top_p":
		c.TopP = r.Float(m, key)
	case "top_k":
		if m.Given() {
			c.TopK = new(r.Int(m, key, math.MinInt32, math.MaxInt32))
		}
	case "seed":
		if m.Given() {
			c.Seed = new(int64(r.Int(m, key, math.MinInt64, math.MaxInt64)))
		}
	case "stop":
		if m.Kind() == scan.String {
			c.Stop = []string{m.Text()}
		} else {
			c.Stop = r.Texts(m, key)
		}
	case "user":
		c.User = r.Text(m, key)
	case "parallel_tool_calls":
		c.Parallel = r.OptionalBool(m, key)
	case "reasoning_effort":
		c.Effort = r.Text(m, key)
	case "presence_penalty":
		c.Presence = r.Float(m, key)
	case "frequency_penalty":
		c.Frequency = r.Float(m, key)
	case "logprobs", "top_logprobs":
	case "tools":
		for t := range m.All() {
			r.tool(t)
		}
	case "tool_choice":
		r.choice(m)
	case "response_format":
		r.format(m)
	case "n":
		c.N = r.Int(m, key, 1, maxChoices)
	case "modalities":
		if string(m.Raw()) != `["text"]` { // it asks for what any model gives
			r.keep("", m)
		}
	default:
		r.keep("", m)
	}
}

func (r *reading) keep(path string, m scan.Value) {
	r.c.Private = append(r.c.Private, dialect.Private(path, m))
}

// logProbs reads two fields that are one wish.
func (r *reading) logProbs(root scan.Value) {
	on, top := root.Get("logprobs"), root.Get("top_logprobs")
	switch {
	case r.Bool(on, "logprobs"):
		r.c.LogProbs = new(r.Int(top, "top_logprobs", 0, math.MaxInt32))
	case top.Given():
		r.keep("", top)
	}
}

func (r *reading) tool(t scan.Value) { r.c.Tools = append(r.c.Tools, r.Function(t)) }

func (r *reading) choice(v scan.Value) {
	name := v.Get("function").Get("name")
	switch {
	case !v.Given():
	case v.Is("auto"), v.Is("none"), v.Is("required"):
		r.c.ToolChoice.Mode = v.Text()
	case v.Get("type").Is("function") && name.TextLen() > 0:
		r.c.ToolChoice = inference.ToolChoice{Mode: "tool", Name: name.Text()}
	default:
		r.keep("", v)
	}
}

func (r *reading) format(v scan.Value) {
	switch kind := v.Get("type"); {
	case !v.Given(), kind.Is("text"):
	case kind.Is("json_object"):
		r.c.JSON = true
	case kind.Is("json_schema") && v.Get("json_schema").Get("schema").Kind() == scan.Object:
		for m := range v.Get("json_schema").All() {
			switch string(m.Key()) {
			case "schema":
				r.c.Schema = m.Raw()
			case "name":
				r.c.SchemaName = r.Text(m, "response_format.json_schema.name")
			case "description":
				r.c.SchemaDescription = r.Text(m, "response_format.json_schema.description")
			case "strict":
				r.c.SchemaStrict = r.OptionalBool(m, "response_format.json_schema.strict")
			default:
				r.keep("response_format.json_schema.", m)
			}
		}
	default:
		r.keep("", v)
	}
}

func (r *reading) message(v scan.Value, i int) {
	var m inference.Message
	var calls []inference.Part
	var private []inference.Private
	var id string
	role := v.Get("role").Text()
	for field := range v.All() {
		switch key := string(field.Key()); key {
		case "role":
		case "content":
			m.Parts = append(m.Parts, r.content(field)...)
		case "reasoning_content", "reasoning":
			// Some servers write the thought under both names.
			if text := r.Text(field, "messages."+key); text != "" && (len(m.Parts) == 0 || m.Parts[0].Kind != inference.Thinking) {
				m.Parts = append([]inference.Part{{Kind: inference.Thinking, Text: text}}, m.Parts...)
			}
		case "refusal":
			if field.Given() {
				m.Parts = append(m.Parts, inference.Part{Kind: inference.Refusal, Text: r.Text(field, "messages.refusal")})
			}
		case "tool_calls":
			for call := range field.All() {
				calls = append(calls, r.call(call))
			}
		case "function_call":
			if field.Given() {
				name := field.Get("name").Text()
				calls = append(calls, inference.Part{Kind: inference.ToolUse, ID: name, Name: name, Data: field.Get("arguments").Text()})
			}
		case "tool_call_id":
			id = r.Text(field, "messages.tool_call_id")
		case "name":
			if role == "function" {
				id = field.Text()
				break
			}
			fallthrough
		default:
			private = append(private, dialect.Private("messages.", field))
		}
	}
	m.Parts = append(m.Parts, calls...)
	m.Private = private
	switch role {
	case "system", "developer":
		if len(r.c.Messages) == 0 && len(m.Parts) > 0 {
			m.Parts[0].Private = append(m.Parts[0].Private, private...)
			r.c.System = append(r.c.System, m.Parts...)
			return
		}
		m.Role = inference.System
	case "assistant":
		m.Role = inference.Assistant
	case "tool", "function":
		if id == "" {
			r.Wrong(at("messages", i, "tool_call_id"), "is missing")
		}
		result := inference.Part{Kind: inference.ToolResult, ID: id, Parts: m.Parts, Private: private}
		m.Parts, m.Private = []inference.Part{result}, nil
		// Results of parallel calls are one turn.
		if n := len(r.c.Messages) - 1; n >= 0 && onlyResults(r.c.Messages[n]) {
			r.c.Messages[n].Parts = append(r.c.Messages[n].Parts, result)
			return
		}
	}
	r.c.Messages = append(r.c.Messages, m)
}

func onlyResults(m inference.Message) bool {
	for _, p := range m.Parts {
		if p.Kind != inference.ToolResult {
			return false
		}
	}
	return m.Role == inference.User && len(m.Parts) > 0
}

func (r *reading) call(v scan.Value) inference.Part {
	function := v.Get("function")
	if function.Kind() != scan.Object {
		return inference.Part{Kind: inference.Foreign, Name: "tool_calls", Data: string(v.Raw())}
	}
	p := inference.Part{
		Kind: inference.ToolUse,
		ID:   r.Text(v.Get("id"), "messages.tool_calls.id"),
		Name: r.Text(function.Get("name"), "messages.tool_calls.function.name"),
		Data: r.Text(function.Get("arguments"), "messages.tool_calls.function.arguments"),
	}
	for m := range v.All() {
		switch string(m.Key()) {
		case "id", "type", "index", "function":
		case "extra_content":
			// Google's way to have the signatures of Gemini back, and nothing else.
			google := m.Get("google")
			if s := google.Get("thought_signature"); s.TextLen() > 0 && m.Len() == 1 && google.Len() == 1 {
				p.Signature = dialect.ByGoogle + s.Text()
				break
			}
			fallthrough
		default:
			p.Private = append(p.Private, dialect.Private("messages.tool_calls.", m))
		}
	}
	return p
}

func (r *reading) content(v scan.Value) []inference.Part {
	if v.Kind() == scan.String {
		return []inference.Part{{Kind: inference.Text, Text: v.Text()}}
	}
	var parts []inference.Part
	for p := range v.All() {
		parts = append(parts, r.part(p))
	}
	return parts
}

// part reads a part of a message's content. A kind, or a form of it, that only
// this dialect has is kept as it came.
func (r *reading) part(v scan.Value) inference.Part {
	kind := v.Get("type").Text()
	foreign := inference.Part{Kind: inference.Foreign, Name: kind, Data: string(v.Raw())}
	p := inference.Part{}
	switch kind {
	case "text":
		p = inference.Part{Kind: inference.Text, Text: r.Text(v.Get("text"), "content.text")}
	case "refusal":
		p = inference.Part{Kind: inference.Refusal, Text: r.Text(v.Get("refusal"), "content.refusal")}
	case "image_url":
		p = r.image(v.Get("image_url"))
	case "input_audio":
		audio := v.Get("input_audio")
		p = inference.Part{
			Kind:  inference.Audio,
			Media: "audio/" + r.Text(audio.Get("format"), "content.input_audio.format"),
			Data:  r.Text(audio.Get("data"), "content.input_audio.data"),
		}
	case "file":
		file := v.Get("file")
		media, data, ok := r.DataURI(file.Get("file_data").Text(), "content.file.file_data")
		if !ok {
			return foreign
		}
		p = inference.Part{
			Kind: inference.Document, Media: media, Data: data, Name: r.Text(file.Get("filename"), "content.file.filename"),
		}
	default:
		return foreign
	}
	for m := range v.All() {
		switch key := string(m.Key()); key {
		case "type", kind:
		case "cache_control":
			p.Cache = dialect.Cache(m)
		default:
			p.Private = append(p.Private, dialect.Private("content.", m))
		}
	}
	return p
}

func (r *reading) image(v scan.Value) inference.Part {
	url := v
	p := inference.Part{Kind: inference.Image}
	if v.Kind() == scan.Object {
		url = v.Get("url")
		if detail := v.Get("detail"); !detail.Is("auto") {
			p.Detail = r.Text(detail, "content.image_url.detail")
		}
	}
	p.URL = r.Text(url, "content.image_url.url")
	if media, data, ok := r.DataURI(p.URL, "content.image_url.url"); ok {
		p.URL, p.Media, p.Data = "", media, data
	}
	return p
}

// compatible is what engines that speak as OpenAI does call the bound of an answer.
const compatible = "max_tokens"

// Encode writes a request for OpenAI, and names what it could not carry. A stream
// always asks for usage.
func Encode(c *inference.Conversation, model string, stream bool) (body []byte, dropped []string) {
	return encode(c, model, stream, "max_completion_tokens")
}

// EncodeCompatible writes a request for engines that speak as OpenAI does. They
// all know max_tokens, which OpenAI's own newer models refuse; of the field that
// took its place llama.cpp knew nothing until 2026, and answered without a limit.
func EncodeCompatible(c *inference.Conversation, model string, stream bool) (body []byte, dropped []string) {
	return encode(c, model, stream, compatible)
}

func encode(c *inference.Conversation, model string, stream bool, limit string) (body []byte, dropped []string) {
	w := writing{b: make([]byte, 0, 4096), limit: limit, own: c.From == inference.OpenAI}
	w.b = scan.AppendString(scan.AppendKey(append(w.b, '{'), "model"), model)
	w.b = append(scan.AppendKey(w.b, "messages"), '[')
	if len(c.System) > 0 {
		w.message("system", c.System, nil)
	}
	for _, m := range c.Messages {
		if !w.own {
			ok := false
			if m.Parts, ok = dialect.Common(m.Parts); !ok {
				continue
			}
		}
		switch m.Role {
		case inference.User:
			w.user(m)
		case inference.Assistant:
			w.assistant(m)
		case inference.System:
			w.message("system", m.Parts, m.Private)
		}
	}
	w.b = append(w.b, ']')
	w.tools(c)
	w.settings(c)
	w.wishes(c)
	w.b = w.private(c.Private, "")
	if stream {
		w.b = append(w.b, `,"stream":true,"stream_options":{"include_usage":true}`...)
	}
	return append(w.b, '}'), w.dropped
}

type writing struct {
	b       []byte
	limit   string // the name of the field that bounds the answer
	own     bool   // the request came in this dialect
	dropped []string
}

func (w *writing) drop(name string) { w.dropped = dialect.Drop(w.dropped, name) }

// private appends what only this dialect has of the object at path.
func (w *writing) private(list []inference.Private, path string) []byte {
	if !w.own {
		return w.b
	}
	return dialect.AppendPrivate(w.b, list, path)
}

// cache marks the end of a prefix: some servers of this dialect know how
// Anthropic does it, and the others are not told.
func (w *writing) cache(ttl string) {
	switch {
	case ttl == "":
	case w.own:
		w.b = dialect.AppendCache(w.b, ttl)
	default:
		w.drop("cache_control")
	}
}

func (w *writing) tools(c *inference.Conversation) {
	open := false
	for _, t := range c.Tools {
		if t.Hosted != nil && !w.own {
			continue
		}
		if !open {
			w.b = append(scan.AppendKey(w.b, "tools"), '[')
			open = true
		}
		w.b = scan.AppendComma(w.b)
		if t.Hosted != nil {
			w.b = append(w.b, t.Hosted...)
			continue
		}
		w.b = append(w.b, `{"type":"function","function":{"name":`...)
		w.b = scan.AppendString(w.b, t.Name)
		if t.Description != "" {
			w.b = scan.AppendString(scan.AppendKey(w.b, "description"), t.Description)
		}
		if t.Schema != nil {
			w.b = append(scan.AppendKey(w.b, "parameters"), t.Schema...)
		}
		if t.Strict != nil {
			w.b = appendBool(w.b, "strict", *t.Strict)
		}
		w.b = append(w.private(t.Private, "tools.function."), '}')
		w.cache(t.Cache)
		w.b = append(w.private(t.Private, "tools."), '}')
	}
	if open {
		w.b = append(w.b, ']')
	}
	switch c.ToolChoice.Mode {
	case "":
	case "tool":
		w.b = append(scan.AppendKey(w.b, "tool_choice"), `{"type":"function","function":{"name":`...)
		w.b = append(scan.AppendString(w.b, c.ToolChoice.Name), "}}"...)
	default:
		w.b = scan.AppendString(scan.AppendKey(w.b, "tool_choice"), c.ToolChoice.Mode)
	}
	if c.Parallel != nil {
		w.b = appendBool(w.b, "parallel_tool_calls", *c.Parallel)
	}
}

func (w *writing) settings(c *inference.Conversation) {
	if c.MaxTokens > 0 {
		w.b = appendInt(w.b, w.limit, c.MaxTokens)
	}
	for _, f := range []struct {
		name  string
		value *float64
	}{
		{"temperature", c.Temperature},
		{"top_p", c.TopP},
		{"presence_penalty", c.Presence},
		{"frequency_penalty", c.Frequency},
	} {
		if f.value != nil {
			w.b = appendFloat(w.b, f.name, *f.value)
		}
	}
	switch {
	case c.TopK == nil:
	case w.own || w.limit == compatible: // vLLM, llama.cpp and most others know it
		w.b = appendInt(w.b, "top_k", *c.TopK)
	default:
		w.drop("top_k") // OpenAI refuses it
	}
	if len(c.Stop) > 0 {
		w.b = append(scan.AppendKey(w.b, "stop"), '[')
		for _, s := range c.Stop {
			w.b = scan.AppendString(scan.AppendComma(w.b), s)
		}
		w.b = append(w.b, ']')
	}
	if c.Seed != nil {
		w.b = strconv.AppendInt(scan.AppendKey(w.b, "seed"), *c.Seed, 10)
	}
	switch {
	case c.N == 0:
	case w.own:
		w.b = appendInt(w.b, "n", c.N)
	case c.N > 1:
		w.drop("n") // only the first choice finds its way to another dialect
	}
	switch {
	case c.LogProbs == nil:
	case w.own:
		w.b = appendBool(w.b, "logprobs", true)
		if *c.LogProbs > 0 {
			w.b = appendInt(w.b, "top_logprobs", *c.LogProbs)
		}
	default:
		w.drop("logprobs") // they do not find their way back
	}
}

// longestUser is what OpenAI takes as user, in bytes; others take 128. Anthropic
// takes 256, and Claude Code sends about 170: it would be refused all over.
const longestUser = 64

func (w *writing) wishes(c *inference.Conversation) {
	switch {
	case c.User == "":
	case w.own || len(c.User) <= longestUser:
		w.b = scan.AppendString(scan.AppendKey(w.b, "user"), c.User)
	case c.From == inference.Anthropic: // the names of what is dropped are the caller's
		w.drop("metadata.user_id")
	default:
		w.drop("user")
	}
	if c.Effort != "" {
		w.b = scan.AppendString(scan.AppendKey(w.b, "reasoning_effort"), c.Effort)
	}
	if c.Thinking > 0 {
		w.drop("thinking.budget_tokens")
	}
	switch {
	case c.Schema != nil:
		name := c.SchemaName
		if name == "" && !w.own {
			name = "answer"
		}
		w.b = append(scan.AppendKey(w.b, "response_format"), `{"type":"json_schema","json_schema":{`...)
		if name != "" {
			w.b = scan.AppendString(scan.AppendKey(w.b, "name"), name)
		}
		if c.SchemaDescription != "" {
			w.b = scan.AppendString(scan.AppendKey(w.b, "description"), c.SchemaDescription)
		}
		if c.SchemaStrict != nil {
			w.b = appendBool(w.b, "strict", *c.SchemaStrict)
		}
		w.b = append(scan.AppendKey(w.b, "schema"), c.Schema...)
		w.b = append(w.private(c.Private, "response_format.json_schema."), "}}"...)
	case c.JSON:
		w.b = append(scan.AppendKey(w.b, "response_format"), `{"type":"json_object"}`...)
	}
}

// user writes a turn of the user: first a message for each result of a tool,
// then the rest. Results hold text alone; their pictures join the rest.
func (w *writing) user(m inference.Message) {
	var rest []inference.Part
	for _, p := range m.Parts {
		if p.Kind != inference.ToolResult {
			rest = append(rest, p)
			continue
		}
		if p.Failed {
			w.drop("content.is_error")
		}
		text := p.Parts
		if !w.own {
			text = nil
			for _, inner := range p.Parts {
				if inner.Kind == inference.Text {
					text = append(text, inner)
				} else {
					rest = append(rest, inner)
				}
			}
		}
		w.b = append(scan.AppendComma(w.b), `{"role":"tool","tool_call_id":`...)
		w.b = scan.AppendString(w.b, p.ID)
		w.content(text)
		w.cache(p.Cache)
		w.b = append(w.private(p.Private, "messages."), '}')
	}
	if len(rest) > 0 || len(m.Parts) == 0 {
		w.message("user", rest, m.Private)
	}
}

func (w *writing) message(role string, parts []inference.Part, private []inference.Private) {
	w.b = append(scan.AppendComma(w.b), '{')
	w.b = scan.AppendString(scan.AppendKey(w.b, "role"), role)
	w.content(parts)
	for _, p := range parts {
		w.b = w.private(p.Private, "messages.")
	}
	w.b = append(w.private(private, "messages."), '}')
}

// assistant writes a turn of the model. A thought with a signature is for its
// maker alone. A turn that had nothing else is left out with it.
func (w *writing) assistant(m inference.Message) {
	var content, calls []inference.Part
	var thought strings.Builder
	for _, p := range m.Parts {
		switch p.Kind {
		case inference.Thinking:
			if p.Signature != "" {
				w.drop("content.thinking")
			} else {
				thought.WriteString(p.Text)
			}
		case inference.Redacted:
			w.drop("content.redacted_thinking")
		case inference.ToolUse:
			calls = append(calls, p)
		case inference.Foreign:
			switch {
			case !w.own:
			case p.Name == "tool_calls":
				calls = append(calls, p)
			default:
				content = append(content, p)
			}
		default:
			content = append(content, p)
		}
	}
	if !w.own && len(m.Parts) > 0 && len(content)+len(calls)+thought.Len() == 0 {
		return
	}
	w.b = append(scan.AppendComma(w.b), `{"role":"assistant"`...)
	if thought.Len() > 0 {
		w.b = scan.AppendString(scan.AppendKey(w.b, "reasoning_content"), thought.String())
	}
	if len(content) > 0 || len(calls) == 0 {
		w.content(content)
	} else {
		w.b = append(w.b, `,"content":null`...)
	}
	if len(calls) > 0 {
		w.calls(calls)
	}
	w.b = append(w.private(m.Private, "messages."), '}')
}

func (w *writing) calls(calls []inference.Part) {
	w.b = append(scan.AppendKey(w.b, "tool_calls"), '[')
	for _, p := range calls {
		w.b = scan.AppendComma(w.b)
		if p.Kind == inference.Foreign {
			w.b = append(w.b, p.Data...)
			continue
		}
		w.b = appendCall(w.b, p)
		switch {
		case p.Signature == "":
		case w.own:
			w.b = appendSignature(w.b, p.Signature)
		default:
			w.drop("content.thinking")
		}
		w.b = append(w.private(p.Private, "messages.tool_calls."), '}')
		if p.Cache != "" && !w.own {
			w.drop("cache_control")
		}
	}
	w.b = append(w.b, ']')
}

// appendCall appends a tool call but for its closing brace.
func appendCall(dst []byte, p inference.Part) []byte {
	dst = scan.AppendString(append(dst, `{"id":`...), p.ID)
	dst = append(dst, `,"type":"function","function":{"name":`...)
	dst = scan.AppendString(dst, p.Name)
	return append(scan.AppendString(scan.AppendKey(dst, "arguments"), p.Data), '}')
}

// appendSignature appends the signature of a call as Google's own servers of this
// dialect do, if it is one of Gemini's.
func appendSignature(dst []byte, signature string) []byte {
	s, ok := strings.CutPrefix(signature, dialect.ByGoogle)
	if !ok {
		return dst
	}
	dst = append(scan.AppendKey(dst, "extra_content"), `{"google":{"thought_signature":`...)
	return append(scan.AppendString(dst, s), "}}"...)
}

func appendCalls(dst []byte, calls []inference.Part) []byte {
	dst = append(scan.AppendKey(dst, "tool_calls"), '[')
	for _, p := range calls {
		dst = append(appendSignature(appendCall(scan.AppendComma(dst), p), p.Signature), '}')
	}
	return append(dst, ']')
}

// content writes the content of a message: a string where one text is all.
func (w *writing) content(parts []inference.Part) {
	w.b = scan.AppendKey(w.b, "content")
	if len(parts) == 0 {
		w.b = append(w.b, `""`...)
		return
	}
	if p := &parts[0]; len(parts) == 1 && p.Kind == inference.Text && (!w.own || p.Cache == "" && !within(p.Private, "content.")) {
		w.b = scan.AppendString(w.b, p.Text)
		if p.Cache != "" {
			w.drop("cache_control")
		}
		return
	}
	w.b = append(w.b, '[')
	for _, p := range parts {
		w.part(p)
	}
	w.b = append(w.b, ']')
}

func within(list []inference.Private, path string) bool {
	for _, p := range list {
		if p.Path == path {
			return true
		}
	}
	return false
}

func (w *writing) part(p inference.Part) {
	open := func(head, text string) {
		w.b = scan.AppendString(append(scan.AppendComma(w.b), head...), text)
	}
	uri := "data:" + p.Media + ";base64," + p.Data
	switch p.Kind {
	case inference.Text:
		open(`{"type":"text","text":`, p.Text)
	case inference.Refusal:
		open(`{"type":"refusal","refusal":`, p.Text)
	case inference.Image:
		if p.URL != "" {
			uri = p.URL
		}
		open(`{"type":"image_url","image_url":{"url":`, uri)
		if p.Detail != "" {
			w.b = scan.AppendString(scan.AppendKey(w.b, "detail"), p.Detail)
		}
		w.b = append(w.b, '}')
	case inference.Audio:
		open(`{"type":"input_audio","input_audio":{"data":`, p.Data)
		w.b = scan.AppendString(scan.AppendKey(w.b, "format"), strings.TrimPrefix(p.Media, "audio/"))
		w.b = append(w.b, '}')
	case inference.Document:
		switch {
		case p.Text != "":
			open(`{"type":"text","text":`, p.Text)
		case p.Data != "":
			open(`{"type":"file","file":{"file_data":`, uri)
			if p.Name != "" {
				w.b = scan.AppendString(scan.AppendKey(w.b, "filename"), p.Name)
			}
			w.b = append(w.b, '}')
		default:
			w.drop("content.source.url")
			return
		}
	case inference.Foreign:
		if w.own {
			w.b = append(scan.AppendComma(w.b), p.Data...)
		}
		return
	default:
		return
	}
	w.cache(p.Cache)
	w.b = append(w.private(p.Private, "content."), '}')
}

func appendInt(dst []byte, key string, n int) []byte {
	return strconv.AppendInt(scan.AppendKey(dst, key), int64(n), 10)
}

func appendFloat(dst []byte, key string, f float64) []byte {
	return strconv.AppendFloat(scan.AppendKey(dst, key), f, 'g', -1, 64)
}

func appendBool(dst []byte, key string, b bool) []byte {
	return strconv.AppendBool(scan.AppendKey(dst, key), b)
}
