package ollama

import (
	"slices"
	"strconv"
	"strings"

	"headworks/internal/dialect"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Encode writes a request to /api/chat, and names what it could not carry. A prompt
// that does not fit the window is to be refused: unless it is told so, Ollama cuts
// off the beginning and says nothing.
func Encode(c *inference.Conversation, model string, stream bool) (body []byte, dropped []string) {
	w := writing{b: make([]byte, 0, 4096), own: c.From == inference.Ollama, names: map[string]string{}}
	w.b = scan.AppendString(scan.AppendKey(append(w.b, '{'), "model"), model)
	w.b = append(scan.AppendKey(w.b, "messages"), '[')
	w.system(c.System)
	for _, m := range c.Messages {
		w.message(m)
	}
	w.b = append(w.b, ']')
	w.tools(c)
	w.wishes(c)
	w.options(c)
	w.b = w.private(c.Private, "")
	w.b = strconv.AppendBool(scan.AppendKey(w.b, "stream"), stream)
	if !w.own {
		w.b = append(w.b, strict...)
	}
	return append(w.b, '}'), w.dropped
}

type writing struct {
	b       []byte
	own     bool              // the request came in this dialect
	names   map[string]string // of the tools that calls ask for, by the calls' ids
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

// system writes what stands before the conversation: one message, as most templates
// know only one, or those that the caller wrote in this dialect.
func (w *writing) system(parts []inference.Part) {
	if !w.own {
		if len(parts) > 0 {
			w.turn("system", parts, nil)
			w.close(nil)
		}
		return
	}
	for _, p := range parts {
		w.turn("system", []inference.Part{p}, nil)
		w.close(p.Private)
	}
}

func (w *writing) message(m inference.Message) {
	if len(m.Parts) == 1 && m.Parts[0].Kind == inference.Foreign {
		if w.own {
			w.b = append(scan.AppendComma(w.b), m.Parts[0].Data...)
		}
		return
	}
	switch m.Role {
	case inference.System:
		w.turn("system", m.Parts, nil)
	case inference.Assistant:
		if !w.assistant(m.Parts) {
			return
		}
	case inference.User:
		rest := w.results(m.Parts)
		if len(rest) == 0 && len(m.Parts) > 0 {
			return
		}
		w.turn("user", rest, nil)
	}
	w.close(m.Private)
}

// close ends a message.
func (w *writing) close(private []inference.Private) {
	w.b = append(w.private(private, "messages."), '}')
}

// results writes a message for each result of a tool and returns the other parts. A
// result has the name of its tool, by which older versions join it to the call.
func (w *writing) results(parts []inference.Part) (rest []inference.Part) {
	for _, p := range parts {
		if p.Kind != inference.ToolResult {
			rest = append(rest, p)
			continue
		}
		if p.Failed {
			w.drop("content.is_error")
		}
		w.turn("tool", p.Parts, nil)
		name := p.Name
		if name == "" && !w.own {
			name = w.names[p.ID]
		}
		if name != "" {
			w.b = scan.AppendString(scan.AppendKey(w.b, "tool_name"), name)
		}
		if !w.own || !isInferred(p) {
			w.b = scan.AppendString(scan.AppendKey(w.b, "tool_call_id"), p.ID)
		}
		w.cache(p.Cache)
		w.close(p.Private)
	}
	return rest
}

// cache names the end of a prefix: Ollama keeps what it likes.
func (w *writing) cache(ttl string) {
	if ttl != "" {
		w.drop("cache_control")
	}
}

// turn writes a message but for its end: its text, which is one here, its thought and
// its pictures.
func (w *writing) turn(role string, parts []inference.Part, thought []string) {
	var text, images []string
	for _, p := range parts {
		switch p.Kind {
		case inference.Text, inference.Refusal:
			text = append(text, p.Text)
		case inference.Document:
			if p.Text == "" {
				w.drop("content.document")
				continue
			}
			text = append(text, p.Text)
		case inference.Image:
			if p.Data == "" {
				w.drop("content.image.url") // nothing is fetched
				continue
			}
			if p.Detail != "" {
				w.drop("content.image_url.detail")
			}
			images = append(images, p.Data)
		case inference.Audio:
			images = append(images, p.Data) // where newer versions take sound
		case inference.Thinking, inference.Redacted, inference.ToolUse, inference.ToolResult, inference.Foreign:
		}
		w.cache(p.Cache)
	}
	w.b = scan.AppendString(append(scan.AppendComma(w.b), `{"role":`...), role)
	between := "\n\n"
	if role == "assistant" {
		between = "" // a text that calls or thoughts interrupt goes on
	}
	w.b = scan.AppendString(scan.AppendKey(w.b, "content"), strings.Join(text, between))
	if len(thought) > 0 {
		w.b = scan.AppendString(scan.AppendKey(w.b, "thinking"), strings.Join(thought, ""))
	}
	if len(images) > 0 {
		w.b = append(scan.AppendKey(w.b, "images"), '[')
		for _, data := range images {
			w.b = scan.AppendString(scan.AppendComma(w.b), data)
		}
		w.b = append(w.b, ']')
	}
}

// assistant writes a turn of the model but for its end. A thought with a signature is
// for its maker alone; a turn that had nothing else is left out with it, and false.
func (w *writing) assistant(parts []inference.Part) bool {
	var thought []string
	var calls []inference.Part
	said := false
	for _, p := range parts {
		switch p.Kind {
		case inference.Thinking:
			if p.Signature != "" {
				w.drop("content.thinking")
			} else {
				thought = append(thought, p.Text)
			}
		case inference.Redacted:
			w.drop("content.redacted_thinking")
		case inference.ToolUse:
			calls = append(calls, p)
		default:
			said = true
		}
	}
	if !w.own && !said && len(parts) > 0 && len(thought)+len(calls) == 0 {
		return false
	}
	w.turn("assistant", parts, thought)
	if len(calls) == 0 {
		return true
	}
	w.b = append(scan.AppendKey(w.b, "tool_calls"), '[')
	for _, p := range calls {
		w.names[p.ID] = p.Name
		w.b = append(scan.AppendComma(w.b), '{')
		if !w.own || !isInferred(p) {
			w.b = scan.AppendString(scan.AppendKey(w.b, "id"), p.ID)
		}
		w.b = scan.AppendString(append(scan.AppendKey(w.b, "function"), `{"name":`...), p.Name)
		w.b = scan.AppendKey(w.b, "arguments")
		switch {
		case dialect.IsObject(p.Data):
			w.b = append(w.b, p.Data...)
		default:
			if p.Data != "" {
				w.drop("messages.tool_calls.function.arguments") // what a model wrote elsewhere may be no object
			}
			w.b = append(w.b, "{}"...)
		}
		w.b = append(w.private(p.Private, "messages.tool_calls.function."), '}')
		w.b = append(w.private(p.Private, "messages.tool_calls."), '}')
	}
	w.b = append(w.b, ']')
	return true
}

func isInferred(p inference.Part) bool {
	return slices.ContainsFunc(p.Private, func(f inference.Private) bool { return f.Path == inferred.Path })
}

// tools writes the tools on offer. There is no way to say that one must be used, but
// none is used where none is offered.
func (w *writing) tools(c *inference.Conversation) {
	mode := c.ToolChoice.Mode
	if mode == "required" || mode == "tool" {
		w.drop("tool_choice")
	}
	if c.Parallel != nil && !*c.Parallel {
		w.drop("parallel_tool_calls")
	}
	open := false
	for _, t := range c.Tools {
		if mode == "none" || t.Hosted != nil && !w.own {
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
		switch {
		case t.Schema != nil:
			w.b = append(scan.AppendKey(w.b, "parameters"), t.Schema...)
		case !w.own:
			w.b = append(w.b, `,"parameters":{"type":"object","properties":{}}`...)
		}
		switch {
		case t.Strict == nil:
		case w.own:
			w.b = strconv.AppendBool(scan.AppendKey(w.b, "strict"), *t.Strict)
		case *t.Strict:
			w.drop("tools.function.strict")
		}
		w.cache(t.Cache)
		w.b = append(w.private(t.Private, "tools.function."), '}')
		w.b = append(w.private(t.Private, "tools."), '}')
	}
	if open {
		w.b = append(w.b, ']')
	}
}

// efforts are the words for how hard to think, as Ollama's own OpenAI surface turns
// those of others into its own.
var efforts = map[string]string{
	"none": "false", "minimal": `"low"`, "low": `"low"`, "medium": `"medium"`, "high": `"high"`,
	"xhigh": `"max"`, "max": `"max"`, "ultra": `"max"`,
}

// wishes writes what shapes the answer. That a model is to think is said only where
// the caller said how hard: Ollama refuses it of models that cannot, and those that
// can do so anyway.
func (w *writing) wishes(c *inference.Conversation) {
	switch {
	case c.Schema != nil:
		w.b = append(scan.AppendKey(w.b, "format"), c.Schema...)
	case c.JSON:
		w.b = append(w.b, `,"format":"json"`...)
	}
	if c.Thinking > 0 {
		w.drop("thinking.budget_tokens")
	}
	think := ""
	switch {
	case c.ThinkingMode == "disabled":
		think = "false"
	case c.Effort != "":
		if think = efforts[c.Effort]; think == "" {
			w.drop("reasoning_effort")
		}
	case w.own && c.ThinkingMode != "":
		think = "true"
	}
	if think != "" {
		w.b = append(scan.AppendKey(w.b, "think"), think...)
	}
	switch {
	case c.LogProbs == nil:
	case w.own:
		w.b = append(w.b, `,"logprobs":true`...)
		if *c.LogProbs > 0 {
			w.b = strconv.AppendInt(scan.AppendKey(w.b, "top_logprobs"), int64(*c.LogProbs), 10)
		}
	default:
		w.drop("logprobs") // they do not find their way back
	}
	if c.N > 1 {
		w.drop("n")
	}
	if c.User != "" {
		w.drop("user")
	}
}

func (w *writing) options(c *inference.Conversation) {
	before := len(w.b)
	w.b = append(scan.AppendKey(w.b, "options"), '{')
	empty := len(w.b)
	if c.MaxTokens > 0 {
		w.b = strconv.AppendInt(scan.AppendKey(w.b, "num_predict"), int64(c.MaxTokens), 10)
	}
	if c.Seed != nil {
		w.b = strconv.AppendInt(scan.AppendKey(w.b, "seed"), *c.Seed, 10)
	}
	if c.TopK != nil {
		w.b = strconv.AppendInt(scan.AppendKey(w.b, "top_k"), int64(*c.TopK), 10)
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
			w.b = strconv.AppendFloat(scan.AppendKey(w.b, f.name), *f.value, 'g', -1, 64)
		}
	}
	if len(c.Stop) > 0 {
		w.b = append(scan.AppendKey(w.b, "stop"), '[')
		for _, s := range c.Stop {
			w.b = scan.AppendString(scan.AppendComma(w.b), s)
		}
		w.b = append(w.b, ']')
	}
	if w.b = w.private(c.Private, "options."); len(w.b) == empty {
		w.b = w.b[:before]
		return
	}
	w.b = append(w.b, '}')
}
