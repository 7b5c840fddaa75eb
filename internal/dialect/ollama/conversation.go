package ollama

import (
	"bytes"
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// ours begins the ids that calls get here where the caller has none: other dialects
// join a result to its call by them.
const ours = "call_hw_"

// inferred marks a part whose ID the caller did not write: on the way back to this
// dialect it is left out. It stands for no field, and asks for nothing.
var inferred = inference.Private{Path: "inferred id", Raw: []byte("null")}

// Decode reads a whole request to /api/chat, one that ReadRequest has accepted, and
// names the fields that no dialect but this one can carry. Nothing is lost on the way
// back to this dialect.
func Decode(d *scan.Doc) (*inference.Conversation, []string, error) {
	r := reading{c: &inference.Conversation{From: inference.Ollama}}
	for m := range d.Root().All() {
		switch string(m.Key()) {
		case "messages":
			for message := range m.All() {
				r.message(message)
			}
		case "tools":
			for t := range m.All() {
				r.tool(t)
			}
		default:
			r.setting(m)
		}
	}
	r.logProbs(d.Root())
	return r.c, r.lost(), r.Failed()
}

// DecodeGenerate reads a request to /api/generate for an upstream that only chats,
// one that ReadGenerateRequest has accepted: its prompt is the user's one message.
// What such an upstream could never follow is a fault of kind Unsupported that names
// the field.
func DecodeGenerate(d *scan.Doc) (*inference.Conversation, []string, error) {
	r := reading{c: &inference.Conversation{From: inference.OllamaGenerate}}
	root := d.Root()
	for m := range root.All() {
		switch key := string(m.Key()); key {
		case "prompt", "images":
		case "system":
			if m.TextLen() > 0 {
				r.c.System = []inference.Part{{Kind: inference.Text, Text: m.Text()}}
			}
		case "raw", "suffix", "context":
			if on, _ := m.Bool(); on || m.TextLen() > 0 || m.Kind() == scan.Array && m.Len() > 0 {
				return nil, nil, &fault.Error{
					Kind: fault.Unsupported, Param: key,
					Words: "the upstreams of this model only chat, where there is no place for " + key + "; ask a model whose upstream is an Ollama",
				}
			}
		default:
			r.setting(m)
		}
	}
	parts := images(root.Get("images"))
	if text := root.Get("prompt"); text.TextLen() > 0 {
		parts = append(parts, inference.Part{Kind: inference.Text, Text: text.Text()})
	}
	r.c.Messages = []inference.Message{{Parts: parts}}
	r.logProbs(root)
	return r.c, r.lost(), r.Failed()
}

type reading struct {
	dialect.Fields
	c    *inference.Conversation
	made int    // ids
	open []made // calls without a result
}

// made is a call that waits for its result.
type made struct{ id, name string }

// lost names what no other dialect has. The place of a call among others, which some
// clients send back, says nothing.
func (r *reading) lost() []string {
	return slices.DeleteFunc(dialect.Lost(r.Dropped, r.c), func(name string) bool {
		return name == "messages.tool_calls.function.index"
	})
}

func (r *reading) keep(path string, m scan.Value) {
	r.c.Private = append(r.c.Private, dialect.Private(path, m))
}

func (r *reading) setting(m scan.Value) {
	c := r.c
	switch key := string(m.Key()); key {
	case "model", "models", "stream", "logprobs", "top_logprobs":
	case "format":
		switch {
		case m.Kind() == scan.Object:
			c.Schema = m.Raw()
		case m.Is("json"):
			c.JSON = true
		}
	case "think":
		on, said := m.Bool()
		switch {
		case m.Kind() == scan.String:
			c.Effort = m.Text()
		case said && on:
			c.ThinkingMode = "adaptive"
		case said:
			c.ThinkingMode = "disabled"
		}
	case "options":
		for o := range m.All() {
			r.option(o)
		}
	default:
		r.keep("", m)
	}
}

func (r *reading) option(m scan.Value) {
	c := r.c
	param := "options." + string(m.Key())
	if !m.Given() {
		return
	}
	switch string(m.Key()) {
	case "num_predict":
		if n := r.Int(m, param, math.MinInt32, math.MaxInt32); n > 0 {
			c.MaxTokens = n
			return
		}
	case "seed":
		if n, ok := m.Int(); ok && n >= 0 { // below, another one each time
			c.Seed = &n
			return
		}
	case "temperature":
		c.Temperature = r.Float(m, param)
		return
	case "top_p":
		c.TopP = r.Float(m, param)
		return
	case "top_k":
		c.TopK = new(r.Int(m, param, math.MinInt32, math.MaxInt32))
		return
	case "presence_penalty":
		c.Presence = r.Float(m, param)
		return
	case "frequency_penalty":
		c.Frequency = r.Float(m, param)
		return
	case "stop":
		if c.Stop = r.Texts(m, param); len(c.Stop) > 0 {
			return
		}
	}
	r.keep("options.", m)
}

// logProbs reads two fields that are one wish.
func (r *reading) logProbs(root scan.Value) {
	on, top := root.Get("logprobs"), root.Get("top_logprobs")
	switch {
	case r.Bool(on, "logprobs"):
		r.c.LogProbs = new(r.Int(top, "top_logprobs", 0, mostLogprobs))
	case top.Given():
		r.keep("", top)
	}
}

func (r *reading) tool(t scan.Value) { r.c.Tools = append(r.c.Tools, r.Function(t)) }

func (r *reading) message(v scan.Value) {
	role := strings.ToLower(v.Get("role").Text())
	m := inference.Message{}
	var text, thought, calls []inference.Part
	result := inference.Part{Kind: inference.ToolResult}
	for f := range v.All() {
		switch key := string(f.Key()); {
		case key == "role":
		case key == "content":
			if f.TextLen() > 0 {
				text = []inference.Part{{Kind: inference.Text, Text: f.Text()}}
			}
		case key == "images":
			m.Parts = images(f)
		case key == "thinking" && role == "assistant":
			if f.TextLen() > 0 {
				thought = []inference.Part{{Kind: inference.Thinking, Text: f.Text()}}
			}
		case key == "tool_calls" && role == "assistant":
			for c := range f.All() {
				calls = append(calls, r.call(c))
			}
		case key == "tool_name" && role == "tool":
			result.Name = f.Text()
		case key == "tool_call_id" && role == "tool":
			result.ID = f.Text()
		default:
			m.Private = append(m.Private, dialect.Private("messages.", f))
		}
	}
	m.Parts = slices.Concat(thought, m.Parts, text, calls)
	switch role {
	case "user":
	case "assistant":
		m.Role = inference.Assistant
	case "system":
		if len(r.c.Messages) == 0 && len(m.Parts) == 1 && len(text) == 1 {
			m.Parts[0].Private = m.Private
			r.c.System = append(r.c.System, m.Parts[0])
			return
		}
		m.Role = inference.System
	case "tool":
		result.Parts, result.Private = m.Parts, m.Private
		r.answer(&result)
		m = inference.Message{Parts: []inference.Part{result}}
		// Results of parallel calls are one turn.
		if n := len(r.c.Messages) - 1; n >= 0 && onlyResults(r.c.Messages[n]) {
			r.c.Messages[n].Parts = append(r.c.Messages[n].Parts, result)
			return
		}
	default: // a role that the template of some model has
		m = inference.Message{Parts: []inference.Part{{Kind: inference.Foreign, Name: "message." + role, Data: string(v.Raw())}}}
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
	f := v.Get("function")
	p := inference.Part{Kind: inference.ToolUse, ID: v.Get("id").Text(), Name: f.Get("name").Text(), Data: "{}"}
	if arguments := f.Get("arguments"); arguments.Kind() == scan.Object {
		p.Data = string(arguments.Raw())
	}
	for m := range v.All() {
		switch string(m.Key()) {
		case "id", "function":
		default:
			p.Private = append(p.Private, dialect.Private("messages.tool_calls.", m))
		}
	}
	for m := range f.All() {
		switch string(m.Key()) {
		case "name", "arguments":
		default:
			p.Private = append(p.Private, dialect.Private("messages.tool_calls.function.", m))
		}
	}
	if p.ID == "" {
		r.name(&p)
	}
	r.open = append(r.open, made{p.ID, p.Name})
	return p
}

// name gives a part an id.
func (r *reading) name(p *inference.Part) {
	p.ID = ours + strconv.Itoa(r.made)
	p.Private = append(p.Private, inferred)
	r.made++
}

// answer joins a result to its call: by its id, or else to the first call of the tool,
// or of any, that has no result yet.
func (r *reading) answer(result *inference.Part) {
	match := func(c made) bool { return c.id == result.ID }
	switch {
	case result.ID != "":
	case result.Name != "":
		match = func(c made) bool { return c.name == result.Name }
	default:
		match = func(made) bool { return true }
	}
	i := slices.IndexFunc(r.open, match)
	switch {
	case i < 0 && result.ID == "": // of a call that is not there
		r.name(result)
	case i >= 0 && result.ID == "":
		result.ID = r.open[i].id
		result.Private = append(result.Private, inferred)
		fallthrough
	case i >= 0:
		r.open = slices.Delete(r.open, i, i+1)
	}
}

// images reads base64 without a type: that is in its first bytes. Newer versions take
// sound in the same place.
func images(v scan.Value) []inference.Part {
	var parts []inference.Part
	for e := range v.All() {
		p := inference.Part{Kind: inference.Image, Data: e.Text(), Media: media(e.Bytes())}
		if strings.HasPrefix(p.Media, "audio/") {
			p.Kind = inference.Audio
		}
		parts = append(parts, p)
	}
	return parts
}

// media returns the type of base64, as its first bytes tell.
func media(data []byte) string {
	var room [12]byte
	n, _ := base64.StdEncoding.Decode(room[:], data[:min(len(data), 16)/4*4]) // what was read before an error will do
	b := room[:n]
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		return "image/jpeg"
	case bytes.HasPrefix(b, []byte("GIF8")):
		return "image/gif"
	case bytes.HasPrefix(b, []byte("RIFF")) && bytes.HasSuffix(b, []byte("WEBP")):
		return "image/webp"
	case bytes.HasPrefix(b, []byte("RIFF")) && bytes.HasSuffix(b, []byte("WAVE")):
		return "audio/wav"
	case bytes.HasPrefix(b, []byte("ID3")), bytes.HasPrefix(b, []byte("\xff\xfb")):
		return "audio/mp3"
	}
	return "image/png"
}
