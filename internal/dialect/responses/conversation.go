package responses

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"

	"headworks/internal/dialect"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Decode reads a whole request, one that ReadRequest has accepted and that needs
// nothing of what is kept, and names the fields that no dialect but this one can
// carry. Nothing is lost on the way back to this dialect.
//
// What the model says and asks for is one turn, however many items it takes. A
// custom tool becomes a function with one argument.
func Decode(d *scan.Doc) (*inference.Conversation, []string, error) {
	c := &inference.Conversation{From: inference.Responses}
	r := reading{c: c}
	root := d.Root()
	if v := root.Get("instructions"); v.Given() {
		c.System = append(c.System, inference.Part{Text: r.Text(v, "instructions")})
	}
	for m := range root.All() {
		r.field(m)
	}
	if len(c.Messages) == 0 && len(c.System) == 0 {
		r.Wrong("input", "must not be empty")
	}
	return c, r.lost(), r.Failed()
}

type reading struct {
	dialect.Fields
	c        *inference.Conversation
	thoughts bool // include asks for encrypted reasoning and no more
}

// lost returns the names of what is lost. Left out is what Headworks does itself,
// whoever the upstream is, and what only labels an item.
func (r *reading) lost() []string {
	names := dialect.Lost(r.Dropped, r.c)
	for i, name := range names {
		if strings.HasPrefix(name, "content."+itemPath) { // an item of its own
			names[i] = strings.TrimPrefix(name, "content.")
		}
	}
	return slices.DeleteFunc(names, func(name string) bool {
		switch name {
		case "include":
			return r.thoughts
		case "metadata", "prompt_cache_key", "reasoning.summary", "reasoning.generate_summary", "client_metadata",
			"input.id", "input.status", "input.summary", "input.content", "input.encrypted_content",
			"content.annotations", "content.logprobs":
			return true
		}
		return false
	})
}

func (r *reading) field(m scan.Value) {
	c := r.c
	switch key := string(m.Key()); key {
	case "model", "stream", "stream_options", "store", "instructions", "previous_response_id", "background", "conversation":
	case "input":
		r.input(m)
	case "max_output_tokens":
		c.MaxTokens = r.Int(m, key, 1, math.MaxInt32)
	case "temperature":
		c.Temperature = r.Float(m, key)
	case "top_p":
		c.TopP = r.Float(m, key)
	case "top_logprobs":
		if m.Given() {
			c.LogProbs = new(r.Int(m, key, 0, math.MaxInt32))
		}
	case "parallel_tool_calls":
		c.Parallel = r.OptionalBool(m, key)
	case "user":
		c.User = r.Text(m, key)
	case "tools":
		for t := range m.All() {
			r.tool(t)
		}
	case "tool_choice":
		r.choice(m)
	case "text":
		for field := range m.All() {
			if string(field.Key()) == "format" {
				r.format(field)
			} else {
				r.keep("text.", field)
			}
		}
	case "reasoning":
		for field := range m.All() {
			if string(field.Key()) == "effort" {
				c.Effort = r.Text(field, "reasoning.effort")
			} else {
				r.keep("reasoning.", field)
			}
		}
	case "prompt":
		if m.Given() {
			unable(&r.Fields, key, "prompts are kept at OpenAI, and the upstream of this model is another; send the prompt itself")
		}
	case "include": // a thought from elsewhere comes as it is, or sealed
		r.thoughts = m.Len() == 1 && strings.Contains(string(m.Raw()), encrypted)
		r.keep("", m)
	case "truncation":
		if !m.Is("disabled") { // it asks for what is so anyhow
			r.keep("", m)
		}
	case "service_tier":
		if !m.Is("auto") && !m.Is("default") {
			r.keep("", m)
		}
	default:
		r.keep("", m)
	}
}

func (r *reading) keep(path string, m scan.Value) {
	if m.Given() {
		r.c.Private = append(r.c.Private, dialect.Private(path, m))
	}
}

func (r *reading) tool(t scan.Value) {
	kind := t.Get("type")
	custom := kind.Is("custom")
	if !custom && !kind.Is("function") {
		r.c.Tools = append(r.c.Tools, inference.Tool{Name: kind.Text(), Hosted: t.Raw()})
		return
	}
	var tool inference.Tool
	if custom {
		tool.Schema = freeText
	}
	for m := range t.All() {
		switch key := string(m.Key()); {
		case key == "type" || !m.Given():
		case key == "name":
			tool.Name = r.Text(m, "tools.name")
		case key == "description":
			tool.Description = r.Text(m, "tools.description")
		case key == "parameters" && !custom:
			if r.Want(m, scan.Object, "tools.parameters") {
				tool.Schema = m.Raw()
			}
		case key == "strict" && !custom:
			tool.Strict = r.OptionalBool(m, "tools.strict")
		default:
			tool.Private = append(tool.Private, dialect.Private("tools.", m))
		}
	}
	r.c.Tools = append(r.c.Tools, tool)
}

func (r *reading) choice(v scan.Value) {
	kind, name := v.Get("type"), v.Get("name")
	switch {
	case !v.Given():
	case v.Is("auto"), v.Is("none"), v.Is("required"):
		r.c.ToolChoice.Mode = v.Text()
	case (kind.Is("function") || kind.Is("custom")) && name.TextLen() > 0 && v.Len() == 2:
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
	case kind.Is("json_schema") && v.Get("schema").Kind() == scan.Object:
		for m := range v.All() {
			switch string(m.Key()) {
			case "type":
			case "schema":
				r.c.Schema = m.Raw()
			case "name":
				r.c.SchemaName = r.Text(m, "text.format.name")
			case "description":
				r.c.SchemaDescription = r.Text(m, "text.format.description")
			case "strict":
				r.c.SchemaStrict = r.OptionalBool(m, "text.format.strict")
			default:
				r.keep("text.format.", m)
			}
		}
	default:
		r.keep("text.", v)
	}
}

func (r *reading) input(v scan.Value) {
	if v.Kind() == scan.String {
		r.c.Messages = append(r.c.Messages, inference.Message{Parts: []inference.Part{{Text: v.Text()}}})
		return
	}
	i := 0
	for item := range v.All() {
		r.item(item, i)
		i++
	}
}

// itemPath is where the fields of an item stand, and how the name of a Foreign
// part begins that is an item of its own.
const itemPath = "input."

func (r *reading) item(v scan.Value, i int) {
	switch kind := itemKind(v); kind {
	case "message":
		r.message(v)
	case "function_call":
		p := inference.Part{Kind: inference.ToolUse, Data: r.Text(v.Get("arguments"), at("input", i, "arguments"))}
		r.assistant(r.call(p, v, "arguments"))
	case "custom_tool_call":
		text := scan.AppendString([]byte(`{"input":`), v.Get("input").Text())
		p := inference.Part{Kind: inference.ToolUse, Data: string(append(text, '}'))}
		r.assistant(r.call(p, v, "input"))
	case "function_call_output", "custom_tool_call_output":
		p := inference.Part{Kind: inference.ToolResult, Parts: r.content(v.Get("output"))}
		if v.Get("call_id").TextLen() == 0 {
			r.Wrong(at("input", i, "call_id"), "is missing")
		}
		r.result(r.call(p, v, "output"))
	case "reasoning":
		r.assistant(r.thought(v))
	default:
		p := inference.Part{Kind: inference.Foreign, Name: itemPath + kind, Data: string(v.Raw())}
		if strings.HasSuffix(kind, "_output") || strings.HasSuffix(kind, "_response") {
			r.result(p)
		} else {
			r.assistant(p)
		}
	}
}

// call adds to p what calls and their results have in common.
func (r *reading) call(p inference.Part, v scan.Value, own string) inference.Part {
	for m := range v.All() {
		switch key := string(m.Key()); {
		case key == "type" || key == own || !m.Given():
		case key == "call_id":
			p.ID = r.Text(m, "input.call_id")
		case key == "name" && p.Kind == inference.ToolUse:
			p.Name = r.Text(m, "input.name")
		default:
			p.Private = append(p.Private, dialect.Private(itemPath, m))
		}
	}
	return p
}

// thought reads a reasoning item. What only OpenAI can read is for no other
// dialect, and the rest of it no thought of its model.
func (r *reading) thought(v scan.Value) inference.Part {
	p := inference.Part{Kind: inference.Thinking}
	form := v.Get("encrypted_content").Text()
	if signature, ok := strings.CutPrefix(form, sealedSignature); ok {
		p.Signature = signature
	} else if data, ok := strings.CutPrefix(form, sealedThought); ok {
		p.Kind, p.Data = inference.Redacted, data
	} else if form != "" {
		return inference.Part{Kind: inference.Foreign, Name: itemPath + "reasoning", Data: string(v.Raw())}
	}
	if p.Kind == inference.Thinking {
		p.Text = thoughtText(v)
	}
	for m := range v.All() {
		if string(m.Key()) != "type" {
			p.Private = append(p.Private, dialect.Private(itemPath, m))
		}
	}
	return p
}

// thoughtText returns what a reasoning item says: its content, or else the summary.
func thoughtText(v scan.Value) string {
	var b strings.Builder
	for _, list := range []string{"content", "summary"} {
		for t := range v.Get(list).All() {
			if b.Len() > 0 && list == "summary" {
				b.WriteString("\n\n")
			}
			b.Write(t.Get("text").Bytes())
		}
		if b.Len() > 0 {
			break
		}
	}
	return b.String()
}

// assistant adds parts to the model's turn.
func (r *reading) assistant(parts ...inference.Part) {
	n := len(r.c.Messages) - 1
	if n < 0 || r.c.Messages[n].Role != inference.Assistant {
		r.c.Messages = append(r.c.Messages, inference.Message{Role: inference.Assistant})
		n++
	}
	r.c.Messages[n].Parts = append(r.c.Messages[n].Parts, parts...)
}

// result adds what came of a call. Results of parallel calls are one turn.
func (r *reading) result(p inference.Part) {
	n := len(r.c.Messages) - 1
	if n < 0 || !onlyItems(r.c.Messages[n]) {
		r.c.Messages = append(r.c.Messages, inference.Message{})
		n++
	}
	r.c.Messages[n].Parts = append(r.c.Messages[n].Parts, p)
}

func onlyItems(m inference.Message) bool {
	for _, p := range m.Parts {
		if !isItem(p) {
			return false
		}
	}
	return m.Role == inference.User && len(m.Parts) > 0
}

// isItem reports whether a part is an item of its own.
func isItem(p inference.Part) bool {
	switch p.Kind {
	case inference.ToolUse, inference.ToolResult, inference.Thinking, inference.Redacted:
		return true
	case inference.Foreign:
		return strings.HasPrefix(p.Name, itemPath)
	}
	return false
}

func (r *reading) message(v scan.Value) {
	m := inference.Message{Parts: r.content(v.Get("content"))}
	for field := range v.All() {
		switch key := string(field.Key()); {
		case key == "type" || key == "role" || key == "content" || !field.Given():
		default:
			m.Private = append(m.Private, dialect.Private(itemPath, field))
		}
	}
	switch role := v.Get("role"); {
	case role.Is("assistant"):
		if len(m.Parts) == 0 {
			m.Parts = []inference.Part{{}}
		}
		m.Parts[0].Private = append(m.Parts[0].Private, m.Private...)
		r.assistant(m.Parts...)
		return
	case !role.Is("user"):
		if m.Role = inference.System; len(r.c.Messages) == 0 && len(m.Parts) > 0 {
			m.Parts[0].Private = append(m.Parts[0].Private, m.Private...)
			r.c.System = append(r.c.System, m.Parts...)
			return
		}
	}
	r.c.Messages = append(r.c.Messages, m)
}

func (r *reading) content(v scan.Value) []inference.Part {
	if v.Kind() == scan.String {
		return []inference.Part{{Text: v.Text()}}
	}
	var parts []inference.Part
	for p := range v.All() {
		parts = append(parts, r.part(p))
	}
	return parts
}

// part reads a part of a content. A kind, or a form of it, that only this dialect
// has is kept as it came.
func (r *reading) part(v scan.Value) inference.Part {
	kind := v.Get("type").Text()
	foreign := inference.Part{Kind: inference.Foreign, Name: kind, Data: string(v.Raw())}
	var p inference.Part
	var known []string
	switch kind {
	case "input_text", "output_text", "text":
		p.Text, known = r.Text(v.Get("text"), "content.text"), []string{"text"}
	case "refusal":
		p.Kind, p.Text, known = inference.Refusal, r.Text(v.Get("refusal"), "content.refusal"), []string{"refusal"}
	case "input_image":
		if foreign.Name = "input_image.file_id"; !v.Get("image_url").Given() {
			return foreign
		}
		p.Kind, p.URL, known = inference.Image, r.Text(v.Get("image_url"), "content.image_url"), []string{"image_url", "detail"}
		if detail := v.Get("detail"); !detail.Is("auto") {
			p.Detail = r.Text(detail, "content.detail")
		}
		if media, data, ok := r.DataURI(p.URL, "content.image_url"); ok {
			p.URL, p.Media, p.Data = "", media, data
		}
	case "input_file":
		p.Kind, known = inference.Document, []string{"file_data", "file_url", "filename"}
		p.Name = r.Text(v.Get("filename"), "content.filename")
		p.URL = r.Text(v.Get("file_url"), "content.file_url")
		media, data, ok := r.DataURI(v.Get("file_data").Text(), "content.file_data")
		if p.Media, p.Data = media, data; ok == (p.URL != "") {
			foreign.Name = "input_file.file_id"
			return foreign
		}
	default:
		return foreign
	}
	for m := range v.All() {
		if key := string(m.Key()); key != "type" && m.Given() && !slices.Contains(known, key) {
			p.Private = append(p.Private, dialect.Private("content.", m))
		}
	}
	return p
}

// Encode writes a request for an upstream of this dialect, and names what it could
// not carry. Nothing is to be kept there.
func Encode(c *inference.Conversation, model string, stream bool) (body []byte, dropped []string) {
	w := writing{b: make([]byte, 0, 4096), own: c.From == inference.Responses}
	for _, t := range c.Tools {
		if w.own && bytes.Equal(t.Schema, freeText) {
			w.custom = append(w.custom, t.Name)
		}
	}
	w.b = appendText(append(w.b, '{'), "model", model)
	system := c.System
	if len(system) > 0 && system[0].Kind == inference.Text {
		w.b = appendText(w.b, "instructions", system[0].Text)
		w.cache(system[0])
		system = system[1:]
	}
	w.b = append(scan.AppendKey(w.b, "input"), '[')
	for _, p := range system {
		w.message("developer", []inference.Part{p}, nil)
	}
	for _, m := range c.Messages {
		if !w.own {
			ok := false
			if m.Parts, ok = dialect.Common(m.Parts); !ok {
				continue
			}
		}
		w.turn(m)
	}
	w.b = append(w.b, ']')
	w.tools(c)
	w.settings(c)
	w.private(c.Private, "")
	if stream {
		w.b = append(w.b, `,"stream":true`...)
	}
	return append(w.b, `,"store":false}`...), w.dropped
}

type writing struct {
	b       []byte
	own     bool     // the request came in this dialect
	custom  []string // names of custom tools
	calls   []string // ids of their calls
	dropped []string
}

func (w *writing) drop(name string) { w.dropped = dialect.Drop(w.dropped, name) }

// cache names the mark that ends a prefix: prefixes are kept without being asked.
func (w *writing) cache(p inference.Part) {
	if p.Cache != "" {
		w.drop("cache_control")
	}
}

// private appends what only this dialect has of the object at path.
func (w *writing) private(list []inference.Private, path string) {
	if w.own {
		w.b = dialect.AppendPrivate(w.b, list, path)
	}
}

func (w *writing) open(kind string) {
	w.b = appendText(append(scan.AppendComma(w.b), '{'), "type", kind)
}

// turn writes the items of a turn: its calls and results, and a message for each
// run of what is said between them.
func (w *writing) turn(m inference.Message) {
	role := [...]string{inference.User: "user", inference.Assistant: "assistant", inference.System: "developer"}[m.Role]
	var run []inference.Part
	flush := func() {
		if len(run) > 0 {
			w.message(role, run, m.Private)
		}
		run = nil
	}
	for _, p := range m.Parts {
		if isItem(p) {
			flush()
			w.item(p)
			continue
		}
		if m.Role == inference.Assistant && within(p.Private, itemPath) {
			flush()
		}
		run = append(run, p)
	}
	flush()
	if len(m.Parts) == 0 && m.Role != inference.Assistant {
		w.message(role, nil, m.Private)
	}
}

func (w *writing) item(p inference.Part) {
	switch p.Kind {
	case inference.Foreign:
		if w.own {
			w.b = append(scan.AppendComma(w.b), p.Data...)
		}
		return
	case inference.Thinking, inference.Redacted:
		if !w.own {
			w.drop("content.thinking") // only OpenAI's own thoughts are taken back
			return
		}
		w.open("reasoning")
	case inference.ToolUse:
		w.cache(p)
		if slices.Contains(w.custom, p.Name) && strings.HasPrefix(p.Data, `{"input":"`) {
			w.calls = append(w.calls, p.ID)
			w.open("custom_tool_call")
			w.b = appendText(appendText(w.b, "call_id", p.ID), "name", p.Name)
			w.b = appendText(w.b, "input", input([]byte(p.Data)))
			break
		}
		w.open("function_call")
		w.b = appendText(appendText(w.b, "call_id", p.ID), "name", p.Name)
		w.b = appendText(w.b, "arguments", p.Data)
	case inference.ToolResult:
		w.cache(p)
		if p.Failed {
			w.drop("content.is_error")
		}
		kind := "function_call_output"
		if slices.Contains(w.calls, p.ID) {
			kind = "custom_tool_call_output"
		}
		w.open(kind)
		w.b = appendText(w.b, "call_id", p.ID)
		w.content("output", "input_text", p.Parts, false)
	}
	w.private(p.Private, itemPath)
	w.b = append(w.b, '}')
}

// message writes the parts of a message that are no items of their own. An answer of
// which nothing can be said here is left out.
func (w *writing) message(role string, parts []inference.Part, private []inference.Private) {
	before := len(w.b)
	w.open("message")
	w.b = appendText(w.b, "role", role)
	if role == "assistant" {
		private = parts[0].Private
	}
	text := "input_text"
	if role == "assistant" {
		text = "output_text"
	}
	w.content("content", text, parts, w.own && role == "assistant" && within(private, itemPath))
	if !w.own && role == "assistant" && bytes.HasSuffix(w.b, []byte(`"content":[]`)) {
		w.b = w.b[:before]
		return
	}
	w.private(private, itemPath)
	w.b = append(w.b, '}')
}

// content writes a content under a key: a string where one text is all and no list
// is wanted.
func (w *writing) content(key, text string, parts []inference.Part, list bool) {
	w.b = scan.AppendKey(w.b, key)
	if len(parts) == 1 && parts[0].Kind == inference.Text && !list && !(w.own && within(parts[0].Private, "content.")) {
		w.cache(parts[0])
		w.b = scan.AppendString(w.b, parts[0].Text)
		return
	}
	w.b = append(w.b, '[')
	for _, p := range parts {
		w.part(p, text)
	}
	w.b = append(w.b, ']')
}

func (w *writing) part(p inference.Part, text string) {
	uri := "data:" + p.Media + ";base64," + p.Data
	switch p.Kind {
	case inference.Text:
		w.open(text)
		w.b = appendText(w.b, "text", p.Text)
	case inference.Refusal:
		w.open("refusal")
		w.b = appendText(w.b, "refusal", p.Text)
	case inference.Image:
		w.open("input_image")
		if p.URL != "" {
			uri = p.URL
		}
		w.b = appendText(w.b, "image_url", uri)
		switch {
		case p.Detail != "":
			w.b = appendText(w.b, "detail", p.Detail)
		case !w.own:
			w.b = appendText(w.b, "detail", "auto")
		}
	case inference.Document:
		switch {
		case p.Text != "":
			w.open(text)
			w.b = appendText(w.b, "text", p.Text)
		case p.URL != "":
			w.open("input_file")
			w.b = appendText(w.b, "file_url", p.URL)
		default:
			w.open("input_file")
			w.b = appendText(w.b, "file_data", uri)
		}
		if p.Name != "" && p.Text == "" {
			w.b = appendText(w.b, "filename", p.Name)
		}
	case inference.Audio:
		w.drop("content.input_audio")
		return
	case inference.Foreign:
		if w.own {
			w.b = append(scan.AppendComma(w.b), p.Data...)
		}
		return
	default:
		return
	}
	w.cache(p)
	w.private(p.Private, "content.")
	w.b = append(w.b, '}')
}

func within(list []inference.Private, path string) bool {
	return slices.ContainsFunc(list, func(p inference.Private) bool { return p.Path == path })
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
		if t.Hosted != nil {
			w.b = append(scan.AppendComma(w.b), t.Hosted...)
			continue
		}
		w.tool(t)
	}
	if open {
		w.b = append(w.b, ']')
	}
	switch mode := c.ToolChoice.Mode; mode {
	case "":
	case "tool":
		kind := "function"
		if slices.Contains(w.custom, c.ToolChoice.Name) {
			kind = "custom"
		}
		w.b = appendText(append(scan.AppendKey(w.b, "tool_choice"), '{'), "type", kind)
		w.b = append(appendText(w.b, "name", c.ToolChoice.Name), '}')
	default:
		w.b = appendText(w.b, "tool_choice", mode)
	}
	if c.Parallel != nil {
		w.b = strconv.AppendBool(scan.AppendKey(w.b, "parallel_tool_calls"), *c.Parallel)
	}
}

func (w *writing) tool(t inference.Tool) {
	custom := slices.Contains(w.custom, t.Name)
	if custom {
		w.open("custom")
	} else {
		w.open("function")
	}
	w.b = appendText(w.b, "name", t.Name)
	if t.Description != "" {
		w.b = appendText(w.b, "description", t.Description)
	}
	switch {
	case custom:
	case t.Schema != nil:
		w.b = append(scan.AppendKey(w.b, "parameters"), t.Schema...)
	case !w.own:
		w.b = append(scan.AppendKey(w.b, "parameters"), `{"type":"object","properties":{}}`...)
	}
	switch {
	case custom:
	case t.Strict != nil:
		w.b = strconv.AppendBool(scan.AppendKey(w.b, "strict"), *t.Strict)
	case !w.own:
		w.b = append(scan.AppendKey(w.b, "strict"), "false"...) // the other dialects' default, not this one's
	}
	if t.Cache != "" {
		w.drop("cache_control")
	}
	w.private(t.Private, "tools.")
	w.b = append(w.b, '}')
}

func (w *writing) settings(c *inference.Conversation) {
	if c.MaxTokens > 0 {
		w.b = appendInt(w.b, "max_output_tokens", c.MaxTokens)
	}
	if c.Temperature != nil {
		w.b = strconv.AppendFloat(scan.AppendKey(w.b, "temperature"), *c.Temperature, 'g', -1, 64)
	}
	if c.TopP != nil {
		w.b = strconv.AppendFloat(scan.AppendKey(w.b, "top_p"), *c.TopP, 'g', -1, 64)
	}
	if c.User != "" {
		w.b = appendText(w.b, "user", c.User)
	}
	if c.LogProbs != nil {
		if w.own {
			w.b = appendInt(w.b, "top_logprobs", *c.LogProbs)
		} else {
			w.drop("logprobs") // they do not find their way back
		}
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"top_k", c.TopK != nil},
		{"stop", len(c.Stop) > 0},
		{"n", c.N > 1},
		{"seed", c.Seed != nil},
		{"presence_penalty", c.Presence != nil},
		{"frequency_penalty", c.Frequency != nil},
		{"thinking.budget_tokens", c.Thinking > 0},
	} {
		if f.set {
			w.drop(f.name)
		}
	}
	w.object("reasoning", c, func() {
		if c.Effort != "" {
			w.b = appendText(w.b, "effort", c.Effort)
		}
	})
	w.object("text", c, func() {
		switch {
		case c.Schema != nil:
			w.schema(c)
		case c.JSON:
			w.b = append(scan.AppendKey(w.b, "format"), `{"type":"json_object"}`...)
		}
	})
}

// object writes an object with what fill writes and with what only this dialect has
// of it, unless it would be empty.
func (w *writing) object(key string, c *inference.Conversation, fill func()) {
	before := len(w.b)
	w.b = append(scan.AppendKey(w.b, key), '{')
	fill()
	w.private(c.Private, key+".")
	if w.b[len(w.b)-1] == '{' {
		w.b = w.b[:before]
		return
	}
	w.b = append(w.b, '}')
}

func (w *writing) schema(c *inference.Conversation) {
	w.b = append(scan.AppendKey(w.b, "format"), `{"type":"json_schema"`...)
	name := c.SchemaName
	if name == "" && !w.own {
		name = "answer"
	}
	if name != "" {
		w.b = appendText(w.b, "name", name)
	}
	if c.SchemaDescription != "" {
		w.b = appendText(w.b, "description", c.SchemaDescription)
	}
	if c.SchemaStrict != nil {
		w.b = strconv.AppendBool(scan.AppendKey(w.b, "strict"), *c.SchemaStrict)
	}
	w.b = append(scan.AppendKey(w.b, "schema"), c.Schema...)
	w.private(c.Private, "text.format.")
	w.b = append(w.b, '}')
}
