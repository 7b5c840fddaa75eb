package gemini

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"headworks/internal/dialect"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Encode writes a request for an upstream of this dialect, and names what it could
// not carry. The model, and whether a stream is asked for, go into the path.
func Encode(c *inference.Conversation, model string, _ bool) (body []byte, dropped []string) {
	return encode(c, model, true)
}

// EncodeVertex writes a request for Vertex AI, which knows no ids of calls: there
// results stand in the order of their calls.
func EncodeVertex(c *inference.Conversation, model string, _ bool) (body []byte, dropped []string) {
	return encode(c, model, false)
}

// EncodeCount writes a request to count the tokens of a prompt, all that belongs to
// it included.
func EncodeCount(c *inference.Conversation, model string, _ bool) (body []byte, dropped []string) {
	inner, dropped := encode(c, model, true)
	body = scan.AppendString([]byte(`{"generateContentRequest":{"model":`), resource(model))
	return append(append(append(body, ','), inner[1:]...), '}'), dropped
}

func encode(c *inference.Conversation, model string, ids bool) (body []byte, dropped []string) {
	w := writing{b: make([]byte, 0, 4096), c: c, own: c.From == inference.Gemini, ids: ids, levels: thirdGeneration(model)}
	w.b = append(w.b, '{')
	if len(c.System) > 0 {
		w.b = append(scan.AppendKey(w.b, "systemInstruction"), `{"parts":[`...)
		for _, p := range c.System {
			w.part(p)
		}
		w.b = append(w.b, "]}"...)
	}
	w.b = append(scan.AppendKey(w.b, "contents"), '[')
	for _, m := range c.Messages {
		w.message(m)
	}
	w.b = append(w.b, ']')
	w.tools()
	w.object("generationConfig", w.settings)
	w.b = w.private(c.Private, "")
	return append(w.b, '}'), w.dropped
}

// thirdGeneration reports whether a model is of Gemini 3 or later: those think in
// levels, and want the signatures of the calls that they made.
func thirdGeneration(model string) bool {
	_, rest, ok := strings.Cut(model, "gemini-")
	if !ok || rest == "" {
		return false
	}
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	n, err := strconv.Atoi(rest[:digits])
	return err == nil && n >= 3
}

type writing struct {
	b       []byte
	c       *inference.Conversation
	own     bool // the request came in this dialect
	ids     bool
	levels  bool
	calls   []call // all of the conversation so far
	signed  string // the signature that the next part has
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

// object writes an object, unless nothing stands in it.
func (w *writing) object(name string, members func()) {
	before := len(w.b)
	w.b = append(scan.AppendKey(w.b, name), '{')
	empty := len(w.b)
	members()
	if w.b = w.private(w.c.Private, name+"."); len(w.b) == empty {
		w.b = w.b[:before]
		return
	}
	w.b = append(w.b, '}')
}

// message writes a turn, unless nothing of it can be carried: a turn must not be
// empty here. Between turns there is no place for the system; its words stand in a
// turn of the user.
func (w *writing) message(m inference.Message) {
	role := "user"
	switch m.Role {
	case inference.Assistant:
		role = "model"
	case inference.System:
		w.drop("messages.role")
	}
	before := len(w.b)
	w.b = scan.AppendString(append(scan.AppendComma(w.b), `{"role":`...), role)
	w.b = append(w.b, `,"parts":[`...)
	empty := len(w.b)
	parts := m.Parts
	if !w.own {
		parts = w.ordered(parts)
	}
	w.signed = ""
	unsigned := w.levels && !w.own // the first call of a turn needs a signature
	for _, p := range parts {
		if p.Kind == inference.ToolUse && unsigned && w.signed == "" && w.signature(p) == "" {
			w.signed = unknownSignature
		}
		unsigned = unsigned && p.Kind != inference.ToolUse
		w.part(p)
	}
	if w.signed != "" { // it came behind what it signs
		w.b = append(scan.AppendComma(w.b), `{"text":""`...)
		w.sign()
		w.b = append(w.b, '}')
	}
	if len(w.b) == empty && !w.own {
		w.b = w.b[:before]
		return
	}
	w.b = append(w.b, ']')
	w.b = append(w.private(m.Private, "contents."), '}')
}

// unknownSignature stands in the place of a signature that nobody kept, or of a
// call that another model made (Gemini API, thought signatures).
const unknownSignature = "skip_thought_signature_validator"

// ordered returns the parts of a turn with its results first, in the order of their
// calls: models that know no ids go by it.
func (w *writing) ordered(parts []inference.Part) []inference.Part {
	parts = slices.Clone(parts)
	place := func(p inference.Part) int {
		if p.Kind != inference.ToolResult {
			return len(w.calls)
		}
		for i, call := range slices.Backward(w.calls) {
			if call.id == p.ID {
				return i
			}
		}
		return len(w.calls) - 1
	}
	if slices.ContainsFunc(parts, func(p inference.Part) bool { return p.Kind == inference.ToolResult }) {
		slices.SortStableFunc(parts, func(a, b inference.Part) int { return place(a) - place(b) })
	}
	return parts
}

// signature returns the signature of a call, where this dialect's maker gave it.
func (w *writing) signature(p inference.Part) string {
	s, _ := strings.CutPrefix(p.Signature, dialect.ByGoogle)
	if len(s) == len(p.Signature) {
		return ""
	}
	return s
}

func (w *writing) sign() {
	if w.signed != "" {
		w.b = scan.AppendString(scan.AppendKey(w.b, "thoughtSignature"), w.signed)
		w.signed = ""
	}
}

func (w *writing) part(p inference.Part) {
	if p.Cache != "" {
		w.drop("cache_control")
	}
	switch p.Kind {
	case inference.Text, inference.Refusal:
		if p.Text == "" && !w.own {
			return
		}
		w.text(p.Text)
		w.sign()
	case inference.Thinking:
		if !w.own {
			w.thought(p)
			return
		}
		w.text(p.Text)
		w.b = append(w.b, `,"thought":true`...)
		if p.Signature != "" {
			w.b = scan.AppendString(scan.AppendKey(w.b, "thoughtSignature"), wrap(p.Signature))
		}
	case inference.Redacted:
		if !w.own {
			w.drop("content.redacted_thinking")
			return
		}
		w.text("")
		w.b = scan.AppendString(append(w.b, `,"thought":true,"thoughtSignature":`...), wrap(redacted+p.Data))
	case inference.Image, inference.Audio, inference.Document:
		w.medium(p)
	case inference.ToolUse:
		w.call(p)
	case inference.ToolResult:
		w.result(p)
		return
	case inference.Foreign:
		if w.own {
			w.b = append(scan.AppendComma(w.b), p.Data...)
		}
		return
	}
	w.b = append(w.private(p.Private, "parts."), '}')
}

// text opens a part of text.
func (w *writing) text(text string) {
	w.b = scan.AppendString(append(scan.AppendComma(w.b), `{"text":`...), text)
}

// thought keeps the signature of a thought for what it led to. A thought of
// another maker has no place here.
func (w *writing) thought(p inference.Part) {
	s, ours := strings.CutPrefix(p.Signature, dialect.ByGoogle)
	switch {
	case ours:
		w.signed = s
	case p.Signature != "":
		w.drop("content.thinking")
	default:
		w.drop("messages.reasoning_content")
	}
}

func (w *writing) medium(p inference.Part) {
	if p.Detail != "" {
		w.drop("content.image_url.detail")
	}
	if p.Name != "" && !w.own {
		if w.c.From == inference.OpenAI {
			w.drop("content.file.filename")
		} else {
			w.drop("content.title")
		}
	}
	switch {
	case p.URL != "":
		w.b = scan.AppendString(append(scan.AppendComma(w.b), `{"fileData":{"fileUri":`...), p.URL)
		if p.Media == "" && !w.own {
			p.Media = guessed(p)
		}
		if p.Media != "" {
			w.b = scan.AppendString(scan.AppendKey(w.b, "mimeType"), p.Media)
		}
		w.b = append(w.private(p.Private, "parts.fileData."), '}')
	case p.Data == "" && !w.own:
		w.text(p.Text)
	default:
		w.b = scan.AppendString(append(scan.AppendComma(w.b), `{"inlineData":{"mimeType":`...), p.Media)
		w.b = scan.AppendString(scan.AppendKey(w.b, "data"), p.Data)
		w.b = append(w.private(p.Private, "parts.inlineData."), '}')
	}
}

// guessed returns the media type that the name of a file tells, or none.
func guessed(p inference.Part) string {
	name, _, _ := strings.Cut(p.URL, "?")
	switch strings.ToLower(path.Ext(name)) {
	case ".png":
		return "image/png"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".webp":
		return "image/webp"
	case ".gif":
		return "image/gif"
	case ".pdf":
		return "application/pdf"
	}
	if p.Kind == inference.Document {
		return "application/pdf" // the one kind that other dialects take by URL
	}
	return ""
}

func (w *writing) call(p inference.Part) {
	w.calls = append(w.calls, call{p.ID, p.Name})
	if s := w.signature(p); s != "" {
		w.signed = s
	}
	w.b = append(scan.AppendComma(w.b), `{"functionCall":{`...)
	w.id(p)
	w.b = scan.AppendString(scan.AppendKey(w.b, "name"), p.Name)
	switch {
	case dialect.IsObject(p.Data):
		w.b = append(scan.AppendKey(w.b, "args"), p.Data...)
	case w.own:
	default:
		if p.Data != "" {
			w.drop("messages.tool_calls.function.arguments")
		}
		w.b = append(w.b, `,"args":{}`...)
	}
	w.b = append(w.private(p.Private, "parts.functionCall."), '}')
	w.sign()
}

// id writes the id of a call, or of its result, unless it is one that Decode made.
func (w *writing) id(p inference.Part) {
	own := slices.IndexFunc(p.Private, isOwnID)
	switch {
	case p.ID == "" || !w.ids || w.own && strings.HasPrefix(p.ID, madeID) && own < 0:
	case w.own && own >= 0:
		if raw := p.Private[own].Raw; string(raw) != "null" {
			w.b = append(scan.AppendKey(w.b, "id"), raw...)
		}
	default:
		w.b = scan.AppendString(scan.AppendKey(w.b, "id"), p.ID)
	}
}

// result writes the result of a call. What it holds beside text follows it.
func (w *writing) result(p inference.Part) {
	w.b = append(scan.AppendComma(w.b), `{"functionResponse":{`...)
	w.id(p)
	name := p.Name
	for i := len(w.calls) - 1; i >= 0 && name == ""; i-- {
		if w.calls[i].id == p.ID {
			name = w.calls[i].name
		}
	}
	if name == "" {
		name = p.ID // of a call that is not there: the upstream will tell
	}
	w.b = scan.AppendString(scan.AppendKey(w.b, "name"), name)
	if w.own {
		w.ownResult(p)
		return
	}
	var text []string
	var rest []inference.Part
	for _, inner := range p.Parts {
		if inner.Kind == inference.Text {
			text = append(text, inner.Text)
		} else {
			rest = append(rest, inner)
		}
	}
	key := `{"output":`
	if p.Failed {
		key = `{"error":`
	}
	w.b = append(scan.AppendKey(w.b, "response"), key...)
	if words := strings.Join(text, "\n"); structured(words) {
		w.b = append(w.b, words...)
	} else {
		w.b = scan.AppendString(w.b, words)
	}
	w.b = append(w.b, "}}}"...)
	for _, inner := range rest {
		w.part(inner)
	}
}

// structured reports whether a text is an object or an array of JSON.
func structured(text string) bool {
	var d scan.Doc
	return strings.IndexAny(text, "{[") == 0 && d.Scan([]byte(text), nil) == nil
}

func (w *writing) ownResult(p inference.Part) {
	rest := p.Parts
	if p.Data != "" {
		w.b = append(scan.AppendKey(w.b, "response"), p.Data...)
		rest = rest[1:]
	}
	if len(rest) > 0 {
		w.b = append(scan.AppendKey(w.b, "parts"), '[')
		for _, inner := range rest {
			w.part(inner)
		}
		w.b = append(w.b, ']')
	}
	w.b = append(w.private(slices.DeleteFunc(slices.Clone(p.Private), isOwnID), "parts.functionResponse."), '}')
	w.b = append(w.private(p.Private, "parts."), '}')
}

func (w *writing) tools() {
	c := w.c
	open, functions := false, false
	element := func() {
		if !open {
			w.b = append(scan.AppendKey(w.b, "tools"), '[')
			open = true
		}
	}
	for _, t := range c.Tools {
		if t.Hosted != nil {
			if !w.own {
				continue
			}
			if functions {
				w.b, functions = append(w.b, "]}"...), false
			}
			element()
			w.b = append(scan.AppendComma(w.b), t.Hosted...)
			continue
		}
		element()
		if !functions {
			w.b, functions = append(scan.AppendComma(w.b), `{"functionDeclarations":[`...), true
		}
		w.declaration(t)
	}
	if functions {
		w.b = append(w.b, "]}"...)
	}
	if open {
		w.b = append(w.b, ']')
	}
	if c.Parallel != nil && !*c.Parallel {
		w.drop("parallel_tool_calls")
	}
	w.object("toolConfig", func() {
		before := len(w.b)
		w.b = append(scan.AppendKey(w.b, "functionCallingConfig"), '{')
		empty := len(w.b)
		w.choice(c.ToolChoice)
		if w.b = w.private(c.Private, "toolConfig.functionCallingConfig."); len(w.b) == empty {
			w.b = w.b[:before]
			return
		}
		w.b = append(w.b, '}')
	})
}

func (w *writing) declaration(t inference.Tool) {
	w.b = scan.AppendString(append(scan.AppendComma(w.b), `{"name":`...), t.Name)
	if t.Description != "" {
		w.b = scan.AppendString(scan.AppendKey(w.b, "description"), t.Description)
	}
	switch {
	case t.Native != nil && w.own:
		w.b = append(scan.AppendKey(w.b, "parameters"), t.Native...)
	case t.Schema != nil:
		w.b = append(scan.AppendKey(w.b, "parametersJsonSchema"), t.Schema...)
	}
	if t.Strict != nil && *t.Strict {
		w.drop("tools.strict")
	}
	if t.Cache != "" {
		w.drop("cache_control")
	}
	w.b = append(w.private(t.Private, "tools.functionDeclarations."), '}')
}

func (w *writing) choice(c inference.ToolChoice) {
	mode := map[string]string{"auto": "AUTO", "none": "NONE", "required": "ANY", "tool": "ANY"}[c.Mode]
	if mode == "" {
		return
	}
	w.b = scan.AppendString(scan.AppendKey(w.b, "mode"), mode)
	if c.Mode == "tool" {
		w.b = append(scan.AppendString(append(scan.AppendKey(w.b, "allowedFunctionNames"), '['), c.Name), ']')
	}
}

func (w *writing) settings() {
	c := w.c
	if c.MaxTokens > 0 {
		w.b = appendInt(w.b, "maxOutputTokens", c.MaxTokens)
	}
	for _, f := range []struct {
		name  string
		value *float64
	}{
		{"temperature", c.Temperature},
		{"topP", c.TopP},
		{"presencePenalty", c.Presence},
		{"frequencyPenalty", c.Frequency},
	} {
		if f.value != nil {
			w.b = appendFloat(w.b, f.name, *f.value)
		}
	}
	if c.TopK != nil {
		w.b = appendInt(w.b, "topK", *c.TopK)
	}
	if len(c.Stop) > 0 {
		w.b = append(scan.AppendKey(w.b, "stopSequences"), '[')
		for _, s := range c.Stop {
			w.b = scan.AppendString(scan.AppendComma(w.b), s)
		}
		w.b = append(w.b, ']')
	}
	if c.Seed != nil {
		w.b = strconv.AppendInt(scan.AppendKey(w.b, "seed"), *c.Seed, 10)
	}
	w.format()
	switch {
	case c.N == 0:
	case w.own:
		w.b = appendInt(w.b, "candidateCount", c.N)
	case c.N > 1:
		w.drop("n") // only the first choice finds its way to another dialect
	}
	switch {
	case c.LogProbs == nil:
	case w.own:
		w.b = appendBool(w.b, "responseLogprobs", true)
		if *c.LogProbs > 0 {
			w.b = appendInt(w.b, "logprobs", *c.LogProbs)
		}
	default:
		w.drop("logprobs") // they do not find their way back
	}
	if c.User != "" {
		if c.From == inference.Anthropic {
			w.drop("metadata.user_id")
		} else {
			w.drop("user")
		}
	}
	w.thinking()
}

func (w *writing) format() {
	c := w.c
	switch {
	case c.Schema == nil && !c.JSON:
		return
	case c.SchemaNative != nil && w.own:
		w.b = append(scan.AppendKey(w.b, "responseSchema"), c.SchemaNative...)
	case c.Schema != nil:
		w.b = append(scan.AppendKey(w.b, "responseJsonSchema"), c.Schema...)
	}
	w.b = append(scan.AppendKey(w.b, "responseMimeType"), `"application/json"`...)
}

// budgets are what the efforts of other dialects mean for models that think within
// a budget of tokens (Gemini API, OpenAI compatibility).
var budgets = map[string]int{"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}

// levels are what they mean for those that think in levels.
var levels = map[string]string{"none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH", "max": "HIGH"}

func (w *writing) thinking() {
	c := w.c
	const key = "thinkingConfig"
	before := len(w.b)
	w.b = append(scan.AppendKey(w.b, key), '{')
	empty := len(w.b)
	level, known := levels[c.Effort]
	switch {
	case w.own && c.Effort != "":
		w.b = scan.AppendString(scan.AppendKey(w.b, "thinkingLevel"), strings.ToUpper(c.Effort))
	case c.Effort == "":
	case !known:
		w.drop("reasoning_effort")
	case w.levels:
		w.b = scan.AppendString(scan.AppendKey(w.b, "thinkingLevel"), level)
	case c.Thinking == 0 && c.ThinkingMode == "":
		w.b = appendInt(w.b, "thinkingBudget", budgets[c.Effort])
	}
	switch {
	case c.Thinking > 0 && (w.own || !w.levels || c.Effort == ""):
		w.b = appendInt(w.b, "thinkingBudget", c.Thinking)
	case c.ThinkingMode == "disabled" && (w.own || !w.levels):
		w.b = appendInt(w.b, "thinkingBudget", 0)
	case c.ThinkingMode == "disabled" && c.Effort == "":
		w.b = append(w.b, `"thinkingLevel":"MINIMAL"`...) // it is never off there
	case c.ThinkingMode == "adaptive" && (w.own || c.Effort == ""):
		w.b = appendInt(w.b, "thinkingBudget", -1)
	}
	if c.From == inference.Anthropic && (c.Thinking > 0 || c.ThinkingMode == "adaptive") {
		w.b = appendBool(w.b, "includeThoughts", true) // who asks for thoughts there sees them
	}
	if w.b = w.private(c.Private, "generationConfig.thinkingConfig."); len(w.b) == empty {
		w.b = w.b[:before]
		return
	}
	w.b = append(w.b, '}')
}

// EncodeCountVertex writes a request to count the tokens of a prompt for Vertex AI,
// which wants the prompt and nothing around it.
func EncodeCountVertex(c *inference.Conversation, model string, _ bool) (body []byte, dropped []string) {
	prompt := &inference.Conversation{From: c.From, System: c.System, Messages: c.Messages, Tools: c.Tools}
	return encode(prompt, model, false)
}
