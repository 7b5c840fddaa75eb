package converse

import (
	"slices"
	"strconv"
	"strings"

	"headworks/internal/dialect"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Encode writes a request. The model is in the path, and whether the answer is a
// stream too; the name tells which fields of its own a model has.
func Encode(c *inference.Conversation, model string, _ bool) (body []byte, dropped []string) {
	w := writing{b: make([]byte, 0, 4096), model: strings.ToLower(model)}
	w.b = append(w.b, `{"messages":[`...)
	for _, m := range c.Messages {
		w.turn(m)
	}
	w.b = append(w.b, ']')
	if before := len(w.b); len(c.System) > 0 {
		if w.list("system", c.System); w.b[len(w.b)-2] == '[' {
			w.b = w.b[:before]
		}
	}
	w.settings(c)
	w.tools(c)
	w.own(c)
	w.output(c)
	w.unknown(c)
	return append(w.b, '}'), w.dropped
}

// turn writes a turn, into the one before where that is of the same role: here they
// must alternate, and none may be empty. A word of the system between them is the
// user's.
func (w *writing) turn(m inference.Message) {
	role, before := "user", len(w.b)
	if m.Role == inference.Assistant {
		role = "assistant"
	}
	if role == w.last {
		w.b = w.b[:before-len("]}")]
	} else {
		w.b = scan.AppendString(append(scan.AppendComma(w.b), `{"role":`...), role)
		w.b = append(w.b, `,"content":[`...)
	}
	empty := len(w.b)
	if w.blocks(m.Parts); len(w.b) == empty {
		w.b = w.b[:before]
		return
	}
	w.b, w.last = append(w.b, "]}"...), role
}

type writing struct {
	b         []byte
	model     string
	last      string // role of the last turn
	documents int
	dropped   []string
}

func (w *writing) drop(name string) { w.dropped = dialect.Drop(w.dropped, name) }

// claude reports whether the model is one of Anthropic's.
func (w *writing) claude() bool { return strings.Contains(w.model, "anthropic.") }

func (w *writing) list(key string, parts []inference.Part) {
	w.b = append(scan.AppendKey(w.b, key), '[')
	w.blocks(parts)
	w.b = append(w.b, ']')
}

func (w *writing) blocks(parts []inference.Part) {
	for _, p := range parts {
		before := len(w.b)
		w.block(p)
		if p.Cache != "" && len(w.b) > before {
			w.cache(p.Cache)
		}
	}
}

// cache marks the end of a prefix worth caching.
func (w *writing) cache(ttl string) {
	w.b = append(scan.AppendComma(w.b), `{"cachePoint":{"type":"default"`...)
	if ttl == "5m" || ttl == "1h" {
		w.b = scan.AppendString(scan.AppendKey(w.b, "ttl"), ttl)
	}
	w.b = append(w.b, "}}"...)
}

func (w *writing) block(p inference.Part) {
	open := func(head string) { w.b = append(scan.AppendComma(w.b), head...) }
	switch p.Kind {
	case inference.Text, inference.Refusal:
		if strings.TrimSpace(p.Text) == "" { // refused here
			return
		}
		open(`{"text":`)
		w.b = append(scan.AppendString(w.b, p.Text), '}')
	case inference.Thinking:
		if p.Signature == "" && w.claude() {
			w.drop("messages.reasoning_content") // only its maker's signature makes a thought acceptable
			return
		}
		open(`{"reasoningContent":{"reasoningText":{"text":`)
		w.b = scan.AppendString(w.b, p.Text)
		if p.Signature != "" {
			w.b = scan.AppendString(scan.AppendKey(w.b, "signature"), p.Signature)
		}
		w.b = append(w.b, "}}}"...)
	case inference.Redacted:
		open(`{"reasoningContent":{"redactedContent":`)
		w.b = append(scan.AppendString(w.b, p.Data), "}}"...)
	case inference.Image:
		if p.Detail != "" {
			w.drop("content.image_url.detail")
		}
		w.image(p)
	case inference.Document:
		w.document(p)
	case inference.Audio:
		w.drop("content.input_audio")
	case inference.ToolUse:
		if p.Signature != "" {
			w.drop("messages.tool_calls.extra_content") // of another maker
		}
		open(`{"toolUse":{"toolUseId":`)
		w.b = scan.AppendString(w.b, toolID(p.ID))
		w.b = scan.AppendString(scan.AppendKey(w.b, "name"), p.Name)
		w.input(p.Data)
		w.b = append(w.b, "}}"...)
	case inference.ToolResult:
		open(`{"toolResult":{"toolUseId":`)
		w.b = scan.AppendString(w.b, toolID(p.ID))
		w.result(p.Parts)
		if p.Failed {
			w.b = append(w.b, `,"status":"error"`...)
		}
		w.b = append(w.b, "}}"...)
	case inference.Foreign: // its name was told where it was read
	}
}

// result writes what a tool answered, which must say something here.
func (w *writing) result(parts []inference.Part) {
	w.b = append(scan.AppendKey(w.b, "content"), '[')
	empty := len(w.b)
	for _, p := range parts {
		w.block(p)
	}
	if len(w.b) == empty {
		w.b = append(w.b, `{"text":" "}`...)
	}
	w.b = append(w.b, ']')
}

var imageFormats = map[string]string{"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}

func (w *writing) image(p inference.Part) {
	format, known := imageFormats[p.Media]
	if !known || p.Data == "" {
		w.drop("content.image_url") // of a URL nothing is fetched
		return
	}
	w.b = scan.AppendString(append(scan.AppendComma(w.b), `{"image":{"format":`...), format)
	w.bytes(p.Data)
}

func (w *writing) bytes(base64 string) {
	w.b = append(scan.AppendKey(w.b, "source"), `{"bytes":`...)
	w.b = append(scan.AppendString(w.b, base64), "}}}"...)
}

var documentFormats = map[string]string{
	"application/pdf": "pdf", "text/csv": "csv", "application/msword": "doc", "application/vnd.ms-excel": "xls",
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":       "xlsx",
	"text/html": "html", "text/plain": "txt", "text/markdown": "md",
}

func (w *writing) document(p inference.Part) {
	format, known := documentFormats[p.Media]
	plain := p.Data == "" && p.URL == "" && p.Text != ""
	if plain {
		format, known = "txt", true
	}
	if !known || p.Data == "" && !plain {
		w.drop("content.file")
		return
	}
	w.documents++
	w.b = scan.AppendString(append(scan.AppendComma(w.b), `{"document":{"format":`...), format)
	w.b = scan.AppendString(scan.AppendKey(w.b, "name"), w.documentName(p.Name))
	if plain {
		w.b = append(scan.AppendKey(w.b, "source"), `{"text":`...)
		w.b = append(scan.AppendString(w.b, p.Text), "}}}"...)
		return
	}
	w.bytes(p.Data)
}

// documentName returns a name with only the characters that are allowed here, and
// unlike those of the other documents: letters, digits, single spaces, hyphens,
// parentheses, brackets.
func (w *writing) documentName(name string) string {
	var b strings.Builder
	space := true
	for _, c := range name {
		switch {
		case c >= '0' && c <= '9', c|0x20 >= 'a' && c|0x20 <= 'z', strings.ContainsRune("-()[]", c):
			b.WriteRune(c)
			space = false
		case !space:
			b.WriteByte(' ')
			space = true
		}
		if b.Len() >= 180 {
			break
		}
	}
	text := strings.TrimSpace(b.String())
	if text == "" {
		text = "document"
	}
	if w.documents > 1 {
		text += " " + strconv.Itoa(w.documents)
	}
	return text
}

// input writes the arguments of a tool call, which must be an object here.
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

// toolID returns an id with only the characters that are allowed here, the same for a
// call and its result.
func toolID(id string) string {
	b := []byte(id[:min(len(id), 64)])
	for i, c := range b {
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			b[i] = '_'
		}
	}
	return string(b)
}

func (w *writing) settings(c *inference.Conversation) {
	before := len(w.b)
	w.b = append(scan.AppendKey(w.b, "inferenceConfig"), '{')
	empty := len(w.b)
	if c.MaxTokens > 0 {
		w.b = appendInt(w.b, "maxTokens", c.MaxTokens)
	}
	if c.Temperature != nil {
		if *c.Temperature > 1 { // the scale ends here
			w.drop("temperature")
		}
		w.b = appendFloat(w.b, "temperature", min(*c.Temperature, 1))
	}
	if c.TopP != nil {
		w.b = appendFloat(w.b, "topP", *c.TopP)
	}
	if len(c.Stop) > 0 {
		w.b = append(scan.AppendKey(w.b, "stopSequences"), '[')
		for _, s := range c.Stop {
			w.b = scan.AppendString(scan.AppendComma(w.b), s)
		}
		w.b = append(w.b, ']')
	}
	if len(w.b) == empty {
		w.b = w.b[:before]
		return
	}
	w.b = append(w.b, '}')
}

// tools writes what the model may call. A choice of none has no word here: without
// calls in the conversation the tools are left out, which says the same.
func (w *writing) tools(c *inference.Conversation) {
	tools := slices.DeleteFunc(slices.Clone(c.Tools), func(t inference.Tool) bool { return t.Hosted != nil })
	if c.ToolChoice.Mode == "none" && !calls(c.Messages) {
		return
	}
	if len(tools) == 0 {
		return
	}
	w.b = append(scan.AppendKey(w.b, "toolConfig"), `{"tools":[`...)
	for _, t := range tools {
		w.b = scan.AppendString(append(scan.AppendComma(w.b), `{"toolSpec":{"name":`...), t.Name)
		if t.Description != "" {
			w.b = scan.AppendString(scan.AppendKey(w.b, "description"), t.Description)
		}
		w.b = append(scan.AppendKey(w.b, "inputSchema"), `{"json":`...)
		if t.Schema == nil {
			w.b = append(w.b, `{"type":"object"}`...)
		} else {
			w.b = append(w.b, t.Schema...)
		}
		w.b = append(w.b, '}')
		if t.Strict != nil {
			w.b = strconv.AppendBool(scan.AppendKey(w.b, "strict"), *t.Strict)
		}
		w.b = append(w.b, "}}"...)
		if t.Cache != "" {
			w.cache(t.Cache)
		}
	}
	w.b = append(w.b, ']')
	switch c.ToolChoice.Mode {
	case "required":
		w.b = append(w.b, `,"toolChoice":{"any":{}}`...)
	case "tool":
		w.b = append(w.b, `,"toolChoice":{"tool":{"name":`...)
		w.b = append(scan.AppendString(w.b, c.ToolChoice.Name), "}}"...)
	case "none":
		w.drop("tool_choice")
	}
	w.b = append(w.b, '}')
}

func calls(messages []inference.Message) bool {
	for _, m := range messages {
		for _, p := range m.Parts {
			if p.Kind == inference.ToolUse || p.Kind == inference.ToolResult {
				return true
			}
		}
	}
	return false
}

// own writes the fields that the model alone has: Anthropic's thinking and top_k, how
// much OpenAI's and Amazon's think.
func (w *writing) own(c *inference.Conversation) {
	before := len(w.b)
	w.b = append(scan.AppendKey(w.b, "additionalModelRequestFields"), '{')
	empty := len(w.b)
	thinks := c.Thinking > 0 || c.ThinkingMode != ""
	switch {
	case w.claude():
		switch {
		case c.Thinking > 0:
			w.b = append(appendInt(append(scan.AppendKey(w.b, "thinking"), `{"type":"enabled"`...), "budget_tokens", c.Thinking), '}')
		case c.ThinkingMode != "":
			w.b = append(scan.AppendString(append(scan.AppendKey(w.b, "thinking"), `{"type":`...), c.ThinkingMode), '}')
		}
		if c.TopK != nil {
			w.b = appendInt(w.b, "top_k", *c.TopK)
		}
		thinks = false
	case strings.Contains(w.model, "openai.") && c.Effort != "":
		w.b = scan.AppendString(scan.AppendKey(w.b, "reasoning_effort"), c.Effort)
	case strings.Contains(w.model, "amazon.nova-2") && c.Effort != "":
		w.b = append(scan.AppendString(append(scan.AppendKey(w.b, "reasoningConfig"), `{"type":"enabled","maxReasoningEffort":`...), c.Effort), '}')
	}
	if thinks {
		w.drop("thinking")
	}
	if c.TopK != nil && !w.claude() {
		w.drop("top_k")
	}
	if len(w.b) == empty {
		w.b = w.b[:before]
		return
	}
	w.b = append(w.b, '}')
}

// output writes the form that an answer must have, and how hard Anthropic's models
// work at it.
func (w *writing) output(c *inference.Conversation) {
	effort := ""
	switch {
	case c.Effort == "":
	case w.claude() && c.Effort != "none" && c.Effort != "minimal":
		effort = c.Effort
	case strings.Contains(w.model, "openai."), strings.Contains(w.model, "amazon.nova-2"): // told already
	default:
		w.drop("reasoning_effort")
	}
	if effort == "" && c.Schema == nil {
		return
	}
	w.b = append(scan.AppendKey(w.b, "outputConfig"), '{')
	if effort != "" {
		w.b = scan.AppendString(scan.AppendKey(w.b, "effort"), effort)
	}
	if c.Schema != nil {
		w.b = append(scan.AppendKey(w.b, "textFormat"), `{"type":"json_schema","structure":{"jsonSchema":{"schema":`...)
		w.b = scan.AppendString(w.b, c.Schema)
		if c.SchemaName != "" {
			w.b = scan.AppendString(scan.AppendKey(w.b, "name"), c.SchemaName)
		}
		if c.SchemaDescription != "" {
			w.b = scan.AppendString(scan.AppendKey(w.b, "description"), c.SchemaDescription)
		}
		w.b = append(w.b, "}}}"...)
	}
	w.b = append(w.b, '}')
}

// unknown names what there is no field for.
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
		{"parallel_tool_calls", c.Parallel != nil && !*c.Parallel},
		{"user", c.User != ""},
	} {
		if f.set {
			w.drop(f.name)
		}
	}
}
