package gemini

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"

	"headworks/internal/dialect"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Decode reads a whole request, one that ReadRequest has accepted, and names the
// fields that no dialect but this one can carry. Nothing is lost on the way back to
// this dialect but what says nothing: the role of a system instruction, and where
// one turn of the model ends and the next begins.
func Decode(d *scan.Doc) (*inference.Conversation, []string, error) {
	root := d.Root()
	if inner := get(root, "generateContentRequest"); inner.Given() {
		root = inner
	}
	c := &inference.Conversation{From: inference.Gemini}
	r := reading{c: c}
	for m := range root.All() {
		r.field(m)
	}
	return c, dialect.Lost(r.Dropped, c), r.Failed()
}

type reading struct {
	dialect.Fields
	c     *inference.Conversation
	calls []call // of the conversation so far that have no result yet
	made  int    // ids
}

// call is one that the model made.
type call struct{ id, name string }

// madeID begins the ids of calls that came without one.
const madeID = "gemini_call_"

func (r *reading) field(m scan.Value) {
	switch camel(m.Key()) {
	case "model":
	case "systemInstruction":
		if m.Kind() == scan.String {
			r.c.System = []inference.Part{{Kind: inference.Text, Text: m.Text()}}
		} else {
			r.c.System = r.parts(m.Get("parts"))
		}
	case "contents":
		for content := range some(m) {
			r.content(content)
		}
	case "tools":
		for t := range some(m) {
			r.tools(t)
		}
	case "toolConfig":
		for field := range m.All() {
			if camel(field.Key()) == "functionCallingConfig" {
				r.calling(field)
			} else {
				r.keep("toolConfig.", field)
			}
		}
	case "generationConfig":
		for field := range m.All() {
			r.setting(field)
		}
		r.format(m)
		r.logProbs(m)
	default:
		r.keep("", m)
	}
}

func (r *reading) keep(path string, m scan.Value) {
	r.c.Private = append(r.c.Private, dialect.Private(path, m))
}

const settings = "generationConfig."

func (r *reading) setting(m scan.Value) {
	c, key := r.c, camel(m.Key())
	name := settings + key
	switch key {
	case "stopSequences":
		c.Stop = r.Texts(m, name)
	case "candidateCount":
		c.N = r.whole(m, name)
	case "maxOutputTokens":
		c.MaxTokens = r.whole(m, name)
	case "temperature":
		c.Temperature = r.Float(m, name)
	case "topP":
		c.TopP = r.Float(m, name)
	case "topK":
		if f := r.Float(m, name); f != nil && *f == math.Trunc(*f) && math.Abs(*f) < math.MaxInt32 {
			c.TopK = new(int(*f))
		}
	case "seed":
		if m.Given() {
			c.Seed = new(int64(r.whole(m, name)))
		}
	case "presencePenalty":
		c.Presence = r.Float(m, name)
	case "frequencyPenalty":
		c.Frequency = r.Float(m, name)
	case "thinkingConfig":
		r.thinking(m)
	case "responseModalities":
		if list := r.Texts(m, name); len(list) != 1 || !strings.EqualFold(list[0], "text") { // it asks for what any model gives
			r.keep(settings, m)
		}
	case "responseMimeType", "responseSchema", "responseJsonSchema", "_responseJsonSchema", "responseLogprobs", "logprobs":
	default:
		r.keep(settings, m)
	}
}

func (r *reading) whole(v scan.Value, param string) int {
	n, ok := integer(v)
	if v.Given() && !ok {
		r.Wrong(param, "must be a whole number of at most 64 bits, written without fraction or exponent")
	}
	return int(n)
}

func (r *reading) thinking(v scan.Value) {
	const path = settings + "thinkingConfig."
	for m := range v.All() {
		switch camel(m.Key()) {
		case "thinkingBudget":
			switch n := r.whole(m, path+"thinkingBudget"); {
			case !m.Given():
			case n > 0:
				r.c.Thinking = n
			case n == 0:
				r.c.ThinkingMode = "disabled"
			default:
				r.c.ThinkingMode = "adaptive"
			}
		case "thinkingLevel":
			if level := r.Text(m, path+"thinkingLevel"); level != "THINKING_LEVEL_UNSPECIFIED" {
				r.c.Effort = strings.ToLower(level)
			}
		default:
			r.keep(path, m)
		}
	}
}

// format reads how the answer is to look, which several fields tell.
func (r *reading) format(v scan.Value) {
	media, schema, json := get(v, "responseMimeType"), get(v, "responseSchema"), get(v, "responseJsonSchema")
	if !json.Given() {
		json = v.Get("_responseJsonSchema")
	}
	switch {
	case media.TextLen() == 0, media.Is("text/plain"):
		for _, m := range []scan.Value{schema, json} { // without a type it asks for nothing
			if m.Given() {
				r.keep(settings, m)
			}
		}
	case !media.Is("application/json"):
		for _, m := range []scan.Value{media, schema, json} {
			if m.Given() {
				r.keep(settings, m)
			}
		}
	case json.Given():
		r.c.Schema = json.Raw()
	case schema.Given():
		r.c.Schema, r.c.SchemaNative = appendJSONSchema(nil, schema), schema.Raw()
	default:
		r.c.JSON = true
	}
}

// logProbs reads two fields that are one wish.
func (r *reading) logProbs(v scan.Value) {
	on, top := get(v, "responseLogprobs"), v.Get("logprobs")
	switch {
	case r.Bool(on, settings+"responseLogprobs"):
		r.c.LogProbs = new(r.whole(top, settings+"logprobs"))
	case top.Given():
		r.keep(settings, top)
	}
}

func (r *reading) calling(v scan.Value) {
	const path = "toolConfig.functionCallingConfig."
	choice := &r.c.ToolChoice
	names := get(v, "allowedFunctionNames")
	for m := range v.All() {
		switch key := camel(m.Key()); {
		case key == "mode":
			switch strings.ToUpper(r.Text(m, path+"mode")) {
			case "AUTO":
				choice.Mode = "auto"
			case "NONE":
				choice.Mode = "none"
			case "ANY":
				choice.Mode = "required"
				if names.Len() == 1 {
					choice.Mode, choice.Name = "tool", r.Texts(names, path+"allowedFunctionNames")[0]
				}
			case "", "MODE_UNSPECIFIED":
			default:
				r.keep(path, m)
			}
		case key == "allowedFunctionNames" && names.Len() == 1 && strings.EqualFold(v.Get("mode").Text(), "ANY"):
		default:
			r.keep(path, m)
		}
	}
}

func (r *reading) tools(t scan.Value) {
	for m := range t.All() {
		if camel(m.Key()) != "functionDeclarations" {
			hosted := append(scan.AppendString([]byte{'{'}, m.Key()), ':')
			r.c.Tools = append(r.c.Tools, inference.Tool{Name: camel(m.Key()), Hosted: append(append(hosted, m.Raw()...), '}')})
			continue
		}
		for f := range some(m) {
			r.declaration(f)
		}
	}
}

func (r *reading) declaration(f scan.Value) {
	const path = "tools.functionDeclarations."
	var tool inference.Tool
	for m := range f.All() {
		switch camel(m.Key()) {
		case "name":
			tool.Name = r.Text(m, path+"name")
		case "description":
			tool.Description = r.Text(m, path+"description")
		case "parameters":
			if r.Want(m, scan.Object, path+"parameters") {
				tool.Schema, tool.Native = appendJSONSchema(nil, m), m.Raw()
			}
		case "parametersJsonSchema":
			if r.Want(m, scan.Object, path+"parametersJsonSchema") {
				tool.Schema = m.Raw()
			}
		default:
			tool.Private = append(tool.Private, dialect.Private(path, m))
		}
	}
	r.c.Tools = append(r.c.Tools, tool)
}

// content reads a turn. Turns of the model that follow each other are one: a
// client that keeps a streamed answer piece by piece sends it so.
func (r *reading) content(v scan.Value) {
	m := inference.Message{}
	if v.Get("role").Is("model") {
		m.Role = inference.Assistant
	}
	m.Parts = r.parts(v.Get("parts"))
	for field := range v.All() {
		if key := string(field.Key()); key != "role" && key != "parts" {
			m.Private = append(m.Private, dialect.Private("contents.", field))
		}
	}
	if n := len(r.c.Messages) - 1; n >= 0 && m.Role == inference.Assistant && r.c.Messages[n].Role == inference.Assistant {
		last := &r.c.Messages[n]
		last.Parts, last.Private = append(last.Parts, m.Parts...), append(last.Private, m.Private...)
		last.Parts = joined(last.Parts)
		return
	}
	m.Parts = joined(m.Parts)
	r.c.Messages = append(r.c.Messages, m)
}

// joined puts the pieces of a thought together that another maker has signed: its
// signature is for the whole of it.
func joined(parts []inference.Part) []inference.Part {
	for i := len(parts) - 1; i > 0; i-- {
		p, before := &parts[i], &parts[i-1]
		if p.Kind == inference.Thinking && p.Signature != "" && before.Kind == inference.Thinking && before.Signature == "" && before.Private == nil {
			before.Text += p.Text
			before.Signature, before.Private = p.Signature, p.Private
			parts = slices.Delete(parts, i, i+1)
		}
	}
	return parts
}

func (r *reading) parts(v scan.Value) []inference.Part {
	var parts []inference.Part
	for p := range some(v) {
		parts = append(parts, r.part(p))
	}
	return parts
}

// kinds of data that a part may hold, of which it holds one.
var kinds = []string{"text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult", "toolCall", "toolResponse"}

// part reads a part. A kind, or a form of it, that only this dialect has is kept as
// it came.
func (r *reading) part(v scan.Value) inference.Part {
	var data scan.Value
	kind := ""
	for m := range v.All() {
		if name := camel(m.Key()); slices.Contains(kinds, name) {
			if kind != "" {
				return inference.Part{Kind: inference.Foreign, Name: kind + "." + name, Data: string(v.Raw())}
			}
			kind, data = name, m
		}
	}
	foreign := inference.Part{Kind: inference.Foreign, Name: kind, Data: string(v.Raw())}
	var p inference.Part
	ok := true
	thought, _ := v.Get("thought").Bool()
	switch {
	case kind == "text":
		p = inference.Part{Kind: inference.Text, Text: r.Text(data, "parts.text")}
		if thought {
			p.Kind = inference.Thinking
		}
	case kind == "" && thought: // a signature alone
		p = inference.Part{Kind: inference.Thinking}
	case kind == "inlineData":
		p, ok = r.inline(data)
	case kind == "fileData":
		p, ok = r.file(data)
	case kind == "functionCall":
		p, ok = r.call(data)
	case kind == "functionResponse":
		p, ok = r.result(data)
	default:
		ok = false
	}
	if !ok {
		return foreign
	}
	for m := range v.All() {
		switch name := camel(m.Key()); {
		case name == kind, name == "thought" && thought && (kind == "text" || kind == ""):
		case name == "thoughtSignature":
			if p.Kind == inference.Thinking {
				if signature, others := unwrap(m.Text()); others {
					p.Signature = signature
					if data, whole := strings.CutPrefix(signature, redacted); whole {
						p = inference.Part{Kind: inference.Redacted, Data: data, Private: p.Private}
					}
					continue
				}
			}
			fallthrough
		default:
			p.Private = append(p.Private, dialect.Private("parts.", m))
		}
	}
	return p
}

// wrapped begins what another maker signed, in the place of a signature of this
// dialect, which is base64.
const wrapped = "headworks:"

// wrapping is how that begins in base64: nine bytes are twelve letters.
const wrapping = "aGVhZHdvcmtz"

// redacted follows it where the whole thought can be read by its maker alone.
const redacted = "redacted:"

func wrap(signature string) string {
	return base64.StdEncoding.EncodeToString([]byte(wrapped + signature))
}

func unwrap(signature string) (string, bool) {
	for _, coding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		if b, err := coding.DecodeString(signature); err == nil {
			return strings.CutPrefix(string(b), wrapped)
		}
	}
	return "", false
}

func (r *reading) inline(v scan.Value) (inference.Part, bool) {
	p := inference.Part{Media: r.Text(get(v, "mimeType"), "parts.inlineData.mimeType"), Data: r.Text(v.Get("data"), "parts.inlineData.data")}
	for m := range v.All() {
		if name := camel(m.Key()); name != "mimeType" && name != "data" {
			p.Private = append(p.Private, dialect.Private("parts.inlineData.", m))
		}
	}
	return p, medium(&p)
}

// file reads a part that stands elsewhere. What only Google can fetch has a place
// in no other dialect.
func (r *reading) file(v scan.Value) (inference.Part, bool) {
	p := inference.Part{Media: r.Text(get(v, "mimeType"), "parts.fileData.mimeType"), URL: r.Text(get(v, "fileUri"), "parts.fileData.fileUri")}
	for m := range v.All() {
		if name := camel(m.Key()); name != "mimeType" && name != "fileUri" {
			p.Private = append(p.Private, dialect.Private("parts.fileData.", m))
		}
	}
	open := strings.HasPrefix(p.URL, "https://") || strings.HasPrefix(p.URL, "http://")
	if !open || strings.HasPrefix(p.URL, "https://generativelanguage.googleapis.com/") || strings.Contains(p.URL, "://www.youtube.com/") {
		return p, false
	}
	return p, medium(&p) && p.Kind != inference.Audio
}

// medium says what a part is by its media type; false if no other dialect has it.
func medium(p *inference.Part) bool {
	switch kind, rest, _ := strings.Cut(p.Media, "/"); {
	case kind == "image":
		p.Kind = inference.Image
	case kind == "audio":
		p.Kind = inference.Audio
	case kind == "text", rest == "pdf":
		p.Kind = inference.Document
	default:
		return false
	}
	return true
}

func (r *reading) call(v scan.Value) (inference.Part, bool) {
	p := inference.Part{
		Kind: inference.ToolUse, ID: r.Text(v.Get("id"), "parts.functionCall.id"),
		Name: r.Text(v.Get("name"), "parts.functionCall.name"), Data: string(v.Get("args").Raw()),
	}
	if p.ID == "" {
		p.ID = madeID + strconv.Itoa(r.made)
		r.made++
	}
	for m := range v.All() {
		switch string(m.Key()) {
		case "id", "name", "args":
		default:
			p.Private = append(p.Private, dialect.Private("parts.functionCall.", m))
		}
	}
	r.calls = append(r.calls, call{p.ID, p.Name})
	return p, true
}

// result reads the result of a call: of that with its id, or of the first call of
// its name that has none yet.
func (r *reading) result(v scan.Value) (inference.Part, bool) {
	id, name, response := r.Text(v.Get("id"), "parts.functionResponse.id"), v.Get("name").Text(), v.Get("response")
	p := inference.Part{Kind: inference.ToolResult, ID: id, Name: name, Data: string(response.Raw())}
	i := slices.IndexFunc(r.calls, func(c call) bool { return id != "" && c.id == id })
	if i < 0 {
		i = slices.IndexFunc(r.calls, func(c call) bool { return c.name == name })
	}
	switch {
	case i >= 0:
		p.ID = r.calls[i].id
		switch {
		case id != "" && id != p.ID:
			p.Private = append(p.Private, inference.Private{Path: resultPath, Key: "id", Raw: v.Get("id").Raw()})
		case id == "" && !strings.HasPrefix(p.ID, madeID):
			p.Private = append(p.Private, inference.Private{Path: resultPath, Key: "id", Raw: []byte("null")})
		}
		r.calls = slices.Delete(r.calls, i, i+1)
	case id == "":
		p.ID = madeID + strconv.Itoa(r.made) // of a call that is not there: the upstream will tell
		r.made++
	}
	text := response
	switch only := response.Len() == 1; {
	case only && response.Get("error").Exists():
		text, p.Failed = response.Get("error"), true
	case only && response.Get("output").Exists():
		text = response.Get("output")
	case only && response.Get("result").Exists():
		text = response.Get("result")
	}
	if text.Kind() == scan.String {
		p.Parts = append(p.Parts, inference.Part{Kind: inference.Text, Text: text.Text()})
	} else if text.Exists() {
		p.Parts = append(p.Parts, inference.Part{Kind: inference.Text, Text: string(text.Raw())})
	}
	for m := range v.All() {
		switch camel(m.Key()) {
		case "id", "name", "response":
		case "parts":
			p.Parts = append(p.Parts, r.parts(m)...)
		default:
			p.Private = append(p.Private, dialect.Private("parts.functionResponse.", m))
		}
	}
	return p, true
}

const resultPath = "parts.functionResponse."

// isOwnID reports whether p is the id that a result has, where its call has another
// one; null is none. That asks for nothing, so it is never named.
func isOwnID(p inference.Private) bool { return p.Path == resultPath && p.Key == "id" }
