package anthropic

import (
	"bytes"
	"math"
	"slices"
	"strconv"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Decode reads a whole request, one that ReadRequest has accepted, and names the
// fields that no dialect but this one can carry. Nothing is lost on the way back
// to this dialect.
func Decode(d *scan.Doc) (*inference.Conversation, []string, error) {
	c := &inference.Conversation{From: inference.Anthropic}
	r := reading{c: c}
	for m := range d.Root().All() {
		r.field(m)
	}
	return c, dialect.Lost(r.Dropped, c), r.Failed()
}

type reading struct {
	dialect.Fields
	c *inference.Conversation
}

func (r *reading) field(m scan.Value) {
	c := r.c
	switch key := string(m.Key()); key {
	case "model", "stream":
	case "system":
		c.System = r.content(m)
	case "messages":
		for message := range m.All() {
			r.message(message)
		}
	case "max_tokens":
		if c.MaxTokens = r.Int(m, key, 0, math.MaxInt32); c.MaxTokens == 0 && r.Err == nil {
			r.Err = fault.New(fault.Unsupported, "max_tokens 0 warms a cache, which no upstream of this model can do; ask for at least 1")
			r.Err.Param = key
		}
	case "temperature":
		c.Temperature = r.Float(m, key)
	case "top_p":
		c.TopP = r.Float(m, key)
	case "top_k":
		if m.Given() {
			c.TopK = new(r.Int(m, key, 0, math.MaxInt32))
		}
	case "stop_sequences":
		c.Stop = r.Texts(m, key)
	case "tools":
		for t := range m.All() {
			r.tool(t)
		}
	case "tool_choice":
		r.choice(m)
	case "thinking":
		r.thinking(m)
	case "metadata":
		for field := range m.All() {
			if string(field.Key()) == "user_id" {
				c.User = field.Text()
			} else {
				r.keep("metadata.", field)
			}
		}
	case "output_config":
		for field := range m.All() {
			switch string(field.Key()) {
			case "effort":
				c.Effort = r.Text(field, "output_config.effort")
			case "format":
				r.format(field, "output_config.")
			default:
				r.keep("output_config.", field)
			}
		}
	case "output_format":
		r.format(m, "")
	default:
		r.keep("", m)
	}
}

func (r *reading) keep(path string, m scan.Value) {
	r.c.Private = append(r.c.Private, dialect.Private(path, m))
}

func (r *reading) tool(t scan.Value) {
	if kind := t.Get("type"); kind.Given() && !kind.Is("custom") {
		r.c.Tools = append(r.c.Tools, inference.Tool{Name: kind.Text(), Hosted: t.Raw()})
		return
	}
	var tool inference.Tool
	for m := range t.All() {
		switch string(m.Key()) {
		case "type":
		case "name":
			tool.Name = r.Text(m, "tools.name")
		case "description":
			tool.Description = r.Text(m, "tools.description")
		case "input_schema":
			if r.Want(m, scan.Object, "tools.input_schema") {
				tool.Schema = m.Raw()
			}
		case "strict":
			tool.Strict = r.OptionalBool(m, "tools.strict")
		case "cache_control":
			tool.Cache = dialect.Cache(m)
		default:
			tool.Private = append(tool.Private, dialect.Private("tools.", m))
		}
	}
	r.c.Tools = append(r.c.Tools, tool)
}

func (r *reading) choice(v scan.Value) {
	if one := v.Get("disable_parallel_tool_use"); one.Given() {
		r.c.Parallel = new(!r.Bool(one, "tool_choice.disable_parallel_tool_use"))
	}
	switch kind := v.Get("type"); {
	case !v.Given():
	case kind.Is("auto"), kind.Is("none"):
		r.c.ToolChoice.Mode = kind.Text()
	case kind.Is("any"):
		r.c.ToolChoice.Mode = "required"
	case kind.Is("tool"):
		r.c.ToolChoice = inference.ToolChoice{Mode: "tool", Name: r.Text(v.Get("name"), "tool_choice.name")}
	default:
		r.keep("", v)
	}
}

func (r *reading) thinking(v scan.Value) {
	switch kind := v.Get("type"); {
	case kind.Is("enabled"):
		r.c.Thinking = r.Int(v.Get("budget_tokens"), "thinking.budget_tokens", 0, math.MaxInt32)
	case kind.Is("adaptive"), kind.Is("disabled"):
		r.c.ThinkingMode = kind.Text()
	default:
		r.keep("", v)
		return
	}
	for m := range v.All() {
		if key := string(m.Key()); key != "type" && key != "budget_tokens" {
			r.keep("thinking.", m)
		}
	}
}

// format reads how an answer is to look; here its schema is always kept to.
func (r *reading) format(v scan.Value, path string) {
	switch {
	case !v.Given():
	case v.Get("type").Is("json_schema") && v.Get("schema").Kind() == scan.Object:
		r.c.Schema, r.c.SchemaStrict = v.Get("schema").Raw(), new(true)
	default:
		r.keep(path, v)
	}
}

func (r *reading) message(v scan.Value) {
	m := inference.Message{Parts: r.content(v.Get("content"))}
	switch role := v.Get("role"); {
	case role.Is("assistant"):
		m.Role = inference.Assistant
	case role.Is("system"):
		m.Role = inference.System
	}
	for field := range v.All() {
		if key := string(field.Key()); key != "role" && key != "content" {
			m.Private = append(m.Private, dialect.Private("messages.", field))
		}
	}
	r.c.Messages = append(r.c.Messages, m)
}

func (r *reading) content(v scan.Value) []inference.Part {
	if v.Kind() == scan.String {
		return []inference.Part{{Kind: inference.Text, Text: v.Text()}}
	}
	var parts []inference.Part
	for b := range v.All() {
		parts = append(parts, r.block(b))
	}
	return parts
}

// fields is what each kind of block holds that has a place in inference.
var fields = map[string][]string{
	"text":              {"text"},
	"image":             {"source"},
	"document":          {"source", "title"},
	"thinking":          {"thinking", "signature"},
	"redacted_thinking": {"data"},
	"tool_use":          {"id", "name", "input"},
	"tool_result":       {"tool_use_id", "content", "is_error"},
}

// block reads a block. A kind, or a form of it, that only this dialect has is kept
// as it came.
func (r *reading) block(b scan.Value) inference.Part {
	kind := b.Get("type").Text()
	foreign := inference.Part{Kind: inference.Foreign, Name: kind, Data: string(b.Raw())}
	known, ok := fields[kind]
	if !ok {
		return foreign
	}
	var p inference.Part
	text := func(key string) string { return r.Text(b.Get(key), "content."+key) }
	switch kind {
	case "text":
		p = inference.Part{Kind: inference.Text, Text: text("text")}
	case "image":
		p = inference.Part{Kind: inference.Image}
		ok = r.source(&p, b.Get("source"))
	case "document":
		p = inference.Part{Kind: inference.Document, Name: text("title")}
		ok = r.source(&p, b.Get("source"))
	case "thinking":
		p = inference.Part{Kind: inference.Thinking, Text: text("thinking"), Signature: text("signature")}
	case "redacted_thinking":
		p = inference.Part{Kind: inference.Redacted, Data: text("data")}
	case "tool_use":
		p = inference.Part{Kind: inference.ToolUse, ID: text("id"), Name: text("name"), Data: string(b.Get("input").Raw())}
	case "tool_result":
		p = inference.Part{Kind: inference.ToolResult, ID: text("tool_use_id"), Parts: r.content(b.Get("content"))}
		p.Failed = r.Bool(b.Get("is_error"), "content.is_error")
	}
	if !ok {
		foreign.Name = "source." + b.Get("source").Get("type").Text()
		return foreign
	}
	for m := range b.All() {
		switch key := string(m.Key()); {
		case key == "type" || slices.Contains(known, key):
		case key == "cache_control":
			p.Cache = dialect.Cache(m)
		default:
			p.Private = append(p.Private, dialect.Private("content.", m))
		}
	}
	return p
}

// source reads where a picture or a document comes from; false where no other
// dialect has such a place.
func (r *reading) source(p *inference.Part, v scan.Value) bool {
	switch kind := v.Get("type"); {
	case kind.Is("base64"):
		p.Media, p.Data = r.Text(v.Get("media_type"), "content.source.media_type"), r.Text(v.Get("data"), "content.source.data")
	case kind.Is("url"):
		p.URL = r.Text(v.Get("url"), "content.source.url")
	case kind.Is("text"):
		p.Media, p.Text = "text/plain", r.Text(v.Get("data"), "content.source.data")
	default:
		return false
	}
	return true
}

// Encode writes a request for an upstream of this dialect, and names what it
// could not carry. Where the caller did not say how long the answer may be, it is
// 4096 tokens, since this dialect wants a number.
func Encode(c *inference.Conversation, model string, stream bool) (body []byte, dropped []string) {
	w := writing{b: make([]byte, 0, 4096), own: c.From == inference.Anthropic}
	w.b = scan.AppendString(append(w.b, `{"model":`...), model)
	limit := c.MaxTokens
	if limit == 0 {
		limit = defaultMaxTokens
	}
	w.b = appendInt(w.b, "max_tokens", limit)
	if len(c.System) > 0 {
		w.content("system", c.System)
	}
	w.b = append(scan.AppendKey(w.b, "messages"), '[')
	for _, m := range c.Messages {
		w.message(m)
	}
	w.b = append(w.b, ']')
	w.tools(c)
	w.settings(c)
	w.b = w.private(c.Private, "")
	if stream {
		w.b = append(w.b, `,"stream":true`...)
	}
	return append(w.b, '}'), w.dropped
}

var roles = [...]string{inference.User: "user", inference.Assistant: "assistant", inference.System: "system"}

// message writes a turn, unless nothing of it can be carried: a turn must not be
// empty here.
func (w *writing) message(m inference.Message) {
	before := len(w.b)
	w.b = scan.AppendString(append(scan.AppendComma(w.b), `{"role":`...), roles[m.Role])
	w.content("content", m.Parts)
	if !w.own && bytes.HasSuffix(w.b, []byte(`"content":[]`)) {
		w.b = w.b[:before]
		return
	}
	w.b = append(w.private(m.Private, "messages."), '}')
}

type writing struct {
	b       []byte
	own     bool // the request came in this dialect
	dropped []string
}

// private appends what only this dialect has of the object at path.
func (w *writing) private(list []inference.Private, path string) []byte {
	if !w.own {
		return w.b
	}
	return dialect.AppendPrivate(w.b, list, path)
}

// cache marks the end of a prefix that is worth caching.
func (w *writing) cache(ttl string) {
	if ttl != "" {
		w.b = dialect.AppendCache(w.b, ttl)
	}
}

func (w *writing) drop(name string) { w.dropped = dialect.Drop(w.dropped, name) }

func (w *writing) tools(c *inference.Conversation) {
	tools := c.Tools
	if !w.own {
		tools = slices.DeleteFunc(slices.Clone(tools), func(t inference.Tool) bool { return t.Hosted != nil })
	}
	if len(tools) > 0 {
		w.b = append(scan.AppendKey(w.b, "tools"), '[')
		for _, t := range tools {
			w.b = scan.AppendComma(w.b)
			if t.Hosted != nil {
				w.b = append(w.b, t.Hosted...)
				continue
			}
			w.b = scan.AppendString(append(w.b, `{"name":`...), t.Name)
			if t.Description != "" {
				w.b = scan.AppendString(scan.AppendKey(w.b, "description"), t.Description)
			}
			w.b = scan.AppendKey(w.b, "input_schema")
			if t.Schema == nil {
				w.b = append(w.b, `{"type":"object"}`...)
			} else {
				w.b = append(w.b, t.Schema...)
			}
			if t.Strict != nil {
				w.b = strconv.AppendBool(scan.AppendKey(w.b, "strict"), *t.Strict)
			}
			w.cache(t.Cache)
			w.b = append(w.private(t.Private, "tools."), '}')
		}
		w.b = append(w.b, ']')
	}
	if mode := c.ToolChoice.Mode; mode != "" || c.Parallel != nil && len(tools) > 0 {
		kind, ok := map[string]string{"": "auto", "required": "any"}[mode]
		if !ok {
			kind = mode
		}
		w.b = scan.AppendString(append(scan.AppendKey(w.b, "tool_choice"), `{"type":`...), kind)
		if mode == "tool" {
			w.b = scan.AppendString(scan.AppendKey(w.b, "name"), c.ToolChoice.Name)
		}
		if c.Parallel != nil && mode != "none" {
			w.b = strconv.AppendBool(scan.AppendKey(w.b, "disable_parallel_tool_use"), !*c.Parallel)
		}
		w.b = append(w.b, '}')
	}
}

func (w *writing) settings(c *inference.Conversation) {
	if c.Temperature != nil {
		// The scale ends at 1 here and at 2 elsewhere.
		if *c.Temperature > 1 {
			w.drop("temperature")
		}
		w.b = appendFloat(w.b, "temperature", min(*c.Temperature, 1))
	}
	if c.TopP != nil {
		w.b = appendFloat(w.b, "top_p", *c.TopP)
	}
	if c.TopK != nil {
		w.b = appendInt(w.b, "top_k", *c.TopK)
	}
	if len(c.Stop) > 0 {
		w.b = append(scan.AppendKey(w.b, "stop_sequences"), '[')
		for _, s := range c.Stop {
			w.b = scan.AppendString(scan.AppendComma(w.b), s)
		}
		w.b = append(w.b, ']')
	}
	w.object("metadata", c, func() {
		if c.User != "" {
			w.b = scan.AppendString(scan.AppendKey(w.b, "user_id"), c.User)
		}
	})
	w.object("thinking", c, func() {
		switch {
		case c.Thinking > 0:
			w.b = appendInt(append(w.b, `"type":"enabled"`...), "budget_tokens", c.Thinking)
		case c.ThinkingMode != "":
			w.b = scan.AppendString(scan.AppendKey(w.b, "type"), c.ThinkingMode)
		}
	})
	w.object("output_config", c, func() { w.output(c) })
	w.unknown(c)
}

// object writes an object of settings, unless nothing stands in it.
func (w *writing) object(name string, c *inference.Conversation, members func()) {
	before := len(w.b)
	w.b = append(scan.AppendKey(w.b, name), '{')
	empty := len(w.b)
	members()
	if w.b = w.private(c.Private, name+"."); len(w.b) == empty {
		w.b = w.b[:before]
		return
	}
	w.b = append(w.b, '}')
}

// unknown names what this dialect has no field for.
func (w *writing) unknown(c *inference.Conversation) {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"n", c.N > 1},
		{"presence_penalty", c.Presence != nil && *c.Presence != 0},
		{"frequency_penalty", c.Frequency != nil && *c.Frequency != 0},
		{"logprobs", c.LogProbs != nil},
		{"seed", c.Seed != nil},
		{"response_format", c.JSON},
	} {
		if f.set {
			w.drop(f.name)
		}
	}
}

func (w *writing) output(c *inference.Conversation) {
	effort := c.Effort
	switch effort {
	case "none", "minimal":
		w.drop("reasoning_effort")
		effort = ""
	}
	if effort != "" {
		w.b = scan.AppendString(scan.AppendKey(w.b, "effort"), effort)
	}
	if c.Schema != nil {
		w.b = append(scan.AppendKey(w.b, "format"), `{"type":"json_schema","schema":`...)
		w.b = append(append(w.b, c.Schema...), '}')
	}
}

// content writes a content under a key: a string where one text is all. A text
// block must not be empty here.
func (w *writing) content(key string, parts []inference.Part) {
	w.b = scan.AppendKey(w.b, key)
	if len(parts) == 1 && parts[0].Kind == inference.Text && parts[0].Text != "" && parts[0].Cache == "" && (!w.own || len(parts[0].Private) == 0) {
		w.b = scan.AppendString(w.b, parts[0].Text)
		return
	}
	w.b = append(w.b, '[')
	for _, p := range parts {
		w.block(p)
	}
	w.b = append(w.b, ']')
}

func (w *writing) block(p inference.Part) {
	open := func(head, text string) {
		w.b = scan.AppendString(append(scan.AppendComma(w.b), head...), text)
	}
	switch p.Kind {
	case inference.Text, inference.Refusal:
		if p.Text == "" {
			return
		}
		open(`{"type":"text","text":`, p.Text)
		if len(p.Citations) > 0 {
			w.b = appendCitations(w.b, p.Citations)
		}
	case inference.Thinking:
		if p.Signature == "" && !w.own {
			w.drop("messages.reasoning_content") // only its maker's signature makes a thought acceptable
			return
		}
		open(`{"type":"thinking","thinking":`, p.Text)
		w.b = scan.AppendString(scan.AppendKey(w.b, "signature"), p.Signature)
	case inference.Redacted:
		open(`{"type":"redacted_thinking","data":`, p.Data)
	case inference.Image:
		if p.Detail != "" {
			w.drop("content.image_url.detail")
		}
		w.b = append(scan.AppendComma(w.b), `{"type":"image"`...)
		w.source(p)
	case inference.Document:
		w.b = append(scan.AppendComma(w.b), `{"type":"document"`...)
		w.source(p)
		if p.Name != "" {
			w.b = scan.AppendString(scan.AppendKey(w.b, "title"), p.Name)
		}
	case inference.Audio:
		w.drop("content.input_audio")
		return
	case inference.ToolUse:
		if p.Signature != "" {
			w.drop("messages.tool_calls.extra_content") // of another maker
		}
		open(`{"type":"tool_use","id":`, toolID(p.ID))
		w.b = scan.AppendString(scan.AppendKey(w.b, "name"), p.Name)
		w.input(p.Data)
	case inference.ToolResult:
		open(`{"type":"tool_result","tool_use_id":`, toolID(p.ID))
		if len(p.Parts) > 0 || !w.own {
			w.content("content", p.Parts)
		}
		if p.Failed {
			w.b = append(w.b, `,"is_error":true`...)
		}
	case inference.Foreign:
		if w.own {
			w.b = append(scan.AppendComma(w.b), p.Data...)
		}
		return
	default:
		return
	}
	if p.Kind != inference.Thinking && p.Kind != inference.Redacted {
		w.cache(p.Cache)
	}
	w.b = append(w.private(p.Private, "content."), '}')
}

func (w *writing) source(p inference.Part) {
	w.b = append(scan.AppendKey(w.b, "source"), `{"type":`...)
	switch {
	case p.URL != "":
		w.b = scan.AppendString(append(w.b, `"url","url":`...), p.URL)
	case p.Data != "":
		w.b = scan.AppendString(append(w.b, `"base64","media_type":`...), p.Media)
		w.b = scan.AppendString(scan.AppendKey(w.b, "data"), p.Data)
	default:
		w.b = scan.AppendString(append(w.b, `"text","media_type":"text/plain","data":`...), p.Text)
	}
	w.b = append(w.b, '}')
}

// input writes the arguments of a tool call, which must be an object here. What
// a model wrote elsewhere may be none.
func (w *writing) input(arguments string) {
	w.b = scan.AppendKey(w.b, "input")
	var d scan.Doc
	if err := d.ScanLax([]byte(arguments)); err == nil && d.Root().Kind() == scan.Object {
		w.b = append(w.b, arguments...)
		return
	}
	if arguments != "" {
		w.drop("messages.tool_calls.function.arguments")
	}
	w.b = append(w.b, "{}"...)
}

// toolID returns an id with only the characters that this dialect allows, the
// same for a call and its result.
func toolID(id string) string {
	b := []byte(id)
	for i, c := range b {
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			b[i] = '_'
		}
	}
	return string(b)
}

func appendInt(dst []byte, key string, n int) []byte {
	return strconv.AppendInt(scan.AppendKey(dst, key), int64(n), 10)
}

func appendFloat(dst []byte, key string, f float64) []byte {
	return strconv.AppendFloat(scan.AppendKey(dst, key), f, 'g', -1, 64)
}
