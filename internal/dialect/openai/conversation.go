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
// fields that no dialect but this one can carry.
func Decode(d *scan.Doc) (*inference.Conversation, []string, error) {
	c := &inference.Conversation{}
	r := reading{c: c}
	for m := range d.Root().All() {
		r.field(m)
	}
	return c, r.Dropped, r.Failed()
}

type reading struct {
	dialect.Fields
	c *inference.Conversation
}

func (r *reading) field(m scan.Value) {
	c := r.c
	switch key := string(m.Key()); key {
	case "model", "stream", "stream_options":
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
	case "tools":
		for t := range m.All() {
			r.tool(t)
		}
	case "tool_choice":
		r.choice(m)
	case "response_format":
		r.format(m)
	case "n":
		if n, _ := m.Int(); n > 1 {
			r.Drop(key)
		}
	case "modalities":
		if string(m.Raw()) != `["text"]` {
			r.DropMember("", m)
		}
	default:
		r.DropMember("", m)
	}
}

func (r *reading) tool(t scan.Value) {
	if !t.Get("type").Is("function") {
		r.Drop("tools." + scan.Name(t.Get("type").Bytes()))
		return
	}
	var tool inference.Tool
	for m := range t.Get("function").All() {
		switch string(m.Key()) {
		case "name":
			tool.Name = r.Text(m, "tools.function.name")
		case "description":
			tool.Description = r.Text(m, "tools.function.description")
		case "parameters":
			if r.Want(m, scan.Object, "tools.function.parameters") {
				tool.Schema = m.Raw()
			}
		case "strict":
			tool.Strict = r.OptionalBool(m, "tools.function.strict")
		default:
			r.DropMember("tools.function.", m)
		}
	}
	r.c.Tools = append(r.c.Tools, tool)
}

func (r *reading) choice(v scan.Value) {
	name := v.Get("function").Get("name")
	switch {
	case !v.Given():
	case v.Is("auto"), v.Is("none"), v.Is("required"):
		r.c.ToolChoice.Mode = v.Text()
	case v.Get("type").Is("function") && name.TextLen() > 0:
		r.c.ToolChoice = inference.ToolChoice{Mode: "tool", Name: name.Text()}
	default:
		r.Drop("tool_choice")
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
				r.c.SchemaName = m.Text()
			case "strict": // a schema is always kept to
			default:
				r.DropMember("response_format.json_schema.", m)
			}
		}
	default:
		r.Drop("response_format")
	}
}

func (r *reading) message(v scan.Value, i int) {
	var m inference.Message
	var calls []inference.Part
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
			r.DropMember("messages.", field)
		}
	}
	m.Parts = append(m.Parts, calls...)
	switch role {
	case "system", "developer":
		if len(r.c.Messages) == 0 {
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
		result := inference.Part{Kind: inference.ToolResult, ID: id, Parts: m.Parts}
		m.Parts = []inference.Part{result}
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
		r.Drop("messages.tool_calls." + scan.Name(v.Get("type").Bytes()))
	}
	return inference.Part{
		Kind: inference.ToolUse,
		ID:   r.Text(v.Get("id"), "messages.tool_calls.id"),
		Name: r.Text(function.Get("name"), "messages.tool_calls.function.name"),
		Data: r.Text(function.Get("arguments"), "messages.tool_calls.function.arguments"),
	}
}

func (r *reading) content(v scan.Value) []inference.Part {
	if v.Kind() == scan.String {
		return []inference.Part{{Kind: inference.Text, Text: v.Text()}}
	}
	var parts []inference.Part
	for p := range v.All() {
		for m := range p.All() {
			switch string(m.Key()) {
			case "type", "text", "refusal", "image_url", "input_audio", "file":
			default:
				r.DropMember("content.", m)
			}
		}
		switch kind := p.Get("type").Text(); kind {
		case "text":
			parts = append(parts, inference.Part{Kind: inference.Text, Text: r.Text(p.Get("text"), "content.text")})
		case "refusal":
			parts = append(parts, inference.Part{Kind: inference.Refusal, Text: r.Text(p.Get("refusal"), "content.refusal")})
		case "image_url":
			parts = append(parts, r.image(p.Get("image_url")))
		case "input_audio":
			audio := p.Get("input_audio")
			parts = append(parts, inference.Part{
				Kind:  inference.Audio,
				Media: "audio/" + r.Text(audio.Get("format"), "content.input_audio.format"),
				Data:  r.Text(audio.Get("data"), "content.input_audio.data"),
			})
		case "file":
			file := p.Get("file")
			media, data, ok := dialect.DataURI(file.Get("file_data").Text())
			if !ok {
				r.Drop("content.file")
				continue
			}
			parts = append(parts, inference.Part{
				Kind: inference.Document, Media: media, Data: data, Name: r.Text(file.Get("filename"), "content.file.filename"),
			})
		default:
			r.Drop("content." + scan.Name([]byte(kind)))
		}
	}
	return parts
}

func (r *reading) image(v scan.Value) inference.Part {
	url := v
	if v.Kind() == scan.Object {
		url = v.Get("url")
		if detail := v.Get("detail"); detail.TextLen() > 0 && !detail.Is("auto") {
			r.Drop("content.image_url.detail")
		}
	}
	p := inference.Part{Kind: inference.Image, URL: r.Text(url, "content.image_url.url")}
	if media, data, ok := dialect.DataURI(p.URL); ok {
		p.URL, p.Media, p.Data = "", media, data
	}
	return p
}

// Encode writes a request for OpenAI, and names what it could not carry. A stream
// always asks for usage.
func Encode(c *inference.Conversation, model string, stream bool) (body []byte, dropped []string) {
	return encode(c, model, stream, "max_completion_tokens")
}

// EncodeCompatible writes a request for engines that speak as OpenAI does. They
// all know max_tokens, which OpenAI's own newer models refuse; of the field that
// took its place llama.cpp knew nothing until 2026, and answered without a limit.
func EncodeCompatible(c *inference.Conversation, model string, stream bool) (body []byte, dropped []string) {
	return encode(c, model, stream, "max_tokens")
}

func encode(c *inference.Conversation, model string, stream bool, limit string) (body []byte, dropped []string) {
	w := writing{b: make([]byte, 0, 4096), limit: limit}
	w.b = scan.AppendString(scan.AppendKey(append(w.b, '{'), "model"), model)
	w.b = append(scan.AppendKey(w.b, "messages"), '[')
	if len(c.System) > 0 {
		w.message("system", c.System)
	}
	for _, m := range c.Messages {
		switch m.Role {
		case inference.User:
			w.user(m.Parts)
		case inference.Assistant:
			w.assistant(m.Parts)
		case inference.System:
			w.message("system", m.Parts)
		}
	}
	w.b = append(w.b, ']')
	w.tools(c)
	w.settings(c)
	if stream {
		w.b = append(w.b, `,"stream":true,"stream_options":{"include_usage":true}`...)
	}
	return append(w.b, '}'), w.dropped
}

type writing struct {
	b       []byte
	limit   string // the name of the field that bounds the answer
	dropped []string
}

func (w *writing) drop(name string) { w.dropped = dialect.Drop(w.dropped, name) }

func (w *writing) tools(c *inference.Conversation) {
	if len(c.Tools) > 0 {
		w.b = append(scan.AppendKey(w.b, "tools"), '[')
		for _, t := range c.Tools {
			w.b = append(scan.AppendComma(w.b), `{"type":"function","function":{"name":`...)
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
			w.b = append(w.b, "}}"...)
		}
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
	if c.Temperature != nil {
		w.b = appendFloat(w.b, "temperature", *c.Temperature)
	}
	if c.TopP != nil {
		w.b = appendFloat(w.b, "top_p", *c.TopP)
	}
	if c.TopK != nil {
		w.drop("top_k") // vLLM and llama.cpp know it, OpenAI refuses it
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
	if c.User != "" {
		w.b = scan.AppendString(scan.AppendKey(w.b, "user"), c.User)
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
		if name == "" {
			name = "answer"
		}
		w.b = append(scan.AppendKey(w.b, "response_format"), `{"type":"json_schema","json_schema":{"name":`...)
		w.b = scan.AppendString(w.b, name)
		w.b = append(append(append(w.b, `,"strict":true,"schema":`...), c.Schema...), "}}"...)
	case c.JSON:
		w.b = append(scan.AppendKey(w.b, "response_format"), `{"type":"json_object"}`...)
	}
}

// user writes a turn of the user: first a message for each result of a tool,
// then the rest. Results hold text alone; their pictures join the rest.
func (w *writing) user(parts []inference.Part) {
	var rest []inference.Part
	for _, p := range parts {
		if p.Kind != inference.ToolResult {
			rest = append(rest, p)
			continue
		}
		if p.Failed {
			w.drop("content.is_error")
		}
		var text []inference.Part
		for _, inner := range p.Parts {
			if inner.Kind == inference.Text {
				text = append(text, inner)
			} else {
				rest = append(rest, inner)
			}
		}
		w.b = append(scan.AppendComma(w.b), `{"role":"tool","tool_call_id":`...)
		w.b = scan.AppendString(w.b, p.ID)
		w.content(text)
		w.b = append(w.b, '}')
	}
	if len(rest) > 0 || len(parts) == 0 {
		w.message("user", rest)
	}
}

func (w *writing) message(role string, parts []inference.Part) {
	w.b = append(scan.AppendComma(w.b), '{')
	w.b = scan.AppendString(scan.AppendKey(w.b, "role"), role)
	w.content(parts)
	w.b = append(w.b, '}')
}

// assistant writes a turn of the model. A thought with a signature is for its
// maker alone.
func (w *writing) assistant(parts []inference.Part) {
	var content, calls []inference.Part
	var thought strings.Builder
	for _, p := range parts {
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
		default:
			content = append(content, p)
		}
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
		w.b = appendCalls(w.b, calls)
	}
	w.b = append(w.b, '}')
}

func appendCalls(dst []byte, calls []inference.Part) []byte {
	dst = append(scan.AppendKey(dst, "tool_calls"), '[')
	for _, p := range calls {
		dst = append(scan.AppendComma(dst), `{"id":`...)
		dst = scan.AppendString(dst, p.ID)
		dst = append(dst, `,"type":"function","function":{"name":`...)
		dst = scan.AppendString(dst, p.Name)
		dst = scan.AppendString(scan.AppendKey(dst, "arguments"), p.Data)
		dst = append(dst, "}}"...)
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
	if len(parts) == 1 && parts[0].Kind == inference.Text {
		w.b = scan.AppendString(w.b, parts[0].Text)
		return
	}
	w.b = append(w.b, '[')
	for _, p := range parts {
		w.part(p)
	}
	w.b = append(w.b, ']')
}

func (w *writing) part(p inference.Part) {
	open := func(head, text string) {
		w.b = scan.AppendString(append(scan.AppendComma(w.b), head...), text)
	}
	uri := "data:" + p.Media + ";base64," + p.Data
	switch p.Kind {
	case inference.Text:
		open(`{"type":"text","text":`, p.Text)
		w.b = append(w.b, '}')
	case inference.Refusal:
		open(`{"type":"refusal","refusal":`, p.Text)
		w.b = append(w.b, '}')
	case inference.Image:
		if p.URL != "" {
			uri = p.URL
		}
		open(`{"type":"image_url","image_url":{"url":`, uri)
		w.b = append(w.b, "}}"...)
	case inference.Audio:
		open(`{"type":"input_audio","input_audio":{"data":`, p.Data)
		w.b = scan.AppendString(scan.AppendKey(w.b, "format"), strings.TrimPrefix(p.Media, "audio/"))
		w.b = append(w.b, "}}"...)
	case inference.Document:
		switch {
		case p.Text != "":
			open(`{"type":"text","text":`, p.Text)
			w.b = append(w.b, '}')
		case p.Data != "":
			open(`{"type":"file","file":{"file_data":`, uri)
			if p.Name != "" {
				w.b = scan.AppendString(scan.AppendKey(w.b, "filename"), p.Name)
			}
			w.b = append(w.b, "}}"...)
		default:
			w.drop("content.source.url")
		}
	}
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
