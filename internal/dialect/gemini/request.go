package gemini

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"headworks/internal/dialect"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// ReadRequest reads the facts of a request that was scanned with Shape. The fields
// on which decisions rest must have exact types; its errors are *fault.Error. ID
// and Model are left alone, and Stream: they stand elsewhere in this dialect.
func ReadRequest(d *scan.Doc, into *inference.Request) error {
	return readAs(d, into, inference.Gemini)
}

// ReadCountRequest reads the facts of a request to count tokens: contents, or a
// whole request within it.
func ReadCountRequest(d *scan.Doc, into *inference.Request) error {
	return readAs(d, into, inference.GeminiCount)
}

func readAs(d *scan.Doc, into *inference.Request, as inference.Dialect) error {
	root := d.Root()
	if root.Kind() != scan.Object {
		return dialect.Invalid("", "the body must be a JSON object")
	}
	r := inference.Request{ID: into.ID, Dialect: as, Model: into.Model, N: 1, Bytes: len(d.Bytes())}
	c := checking{r: &r}
	c.once("", root)
	if inner := get(root, "generateContentRequest"); as == inference.GeminiCount && inner.Given() {
		if c.Want(inner, scan.Object, "generateContentRequest") {
			root = inner
			c.once("generateContentRequest.", root)
		}
	}
	var contents scan.Value
	toolless := false
	for m := range root.All() {
		switch camel(m.Key()) {
		case "contents":
			contents = m
		case "systemInstruction":
			c.content(m, "systemInstruction", false)
		case "tools":
			c.tools(m)
			c.bytes += len(m.Raw())
		case "toolConfig":
			if c.Want(m, scan.Object, "toolConfig") {
				c.once("toolConfig.", m)
				calling := get(m, "functionCallingConfig")
				c.Want(calling, scan.Object, "toolConfig.functionCallingConfig")
				toolless = get(calling, "mode").Is("NONE")
			}
		case "generationConfig":
			c.config(m)
		case "cachedContent":
			if c.Want(m, scan.String, "cachedContent") {
				r.Apart |= inference.Elsewhere
			}
		case "store":
			if on, _ := m.Bool(); on {
				r.Apart |= inference.Kept
			}
		}
	}
	switch {
	case contents.Kind() != scan.Array && contents.Kind() != scan.Object:
		c.Wrong("contents", "must be an array of contents")
	case contents.Len() == 0:
		c.Wrong("contents", "must not be empty")
	}
	i := 0
	for m := range some(contents) {
		c.content(m, "contents["+strconv.Itoa(i)+"]", true)
		i++
	}
	if r.Tools > 0 && !toolless {
		r.Need(inference.Tools)
	}
	r.Input = max(1, c.tokens+c.bytes/dialect.BytesPerToken)
	if err := c.Failed(); err != nil {
		return err
	}
	*into = r
	return nil
}

// checking reads a request's facts and weighs its prompt: text in bytes, the rest
// in tokens.
type checking struct {
	dialect.Fields
	r             *inference.Request
	bytes, tokens int
}

// once refuses a field that stands in both spellings.
func (c *checking) once(path string, object scan.Value) {
	for m := range object.All() {
		if name := camel(m.Key()); len(name) != len(m.Key()) && object.Get(name).Exists() {
			c.Wrong(path+scan.Name([]byte(name)), "stands twice, once with underscores; write one of them")
		}
	}
}

// whole reads an integer, which this dialect may write as a string.
func (c *checking) whole(v scan.Value, param string, low, high int64) int {
	n, ok := integer(v)
	switch {
	case !v.Given():
		return 0
	case !ok:
		c.Wrong(param, "must be a whole number of at most 64 bits, written without fraction or exponent")
	case n < low || n > high:
		c.Wrong(param, "must be from "+strconv.FormatInt(low, 10)+" to "+strconv.FormatInt(high, 10))
	}
	return int(n)
}

// integer returns an integer, be it in a string (Protocol Buffers, JSON mapping).
func integer(v scan.Value) (int64, bool) {
	if v.Kind() == scan.String {
		n, err := strconv.ParseInt(v.Text(), 10, 64)
		return n, err == nil
	}
	return v.Int()
}

func (c *checking) config(v scan.Value) {
	if !c.Want(v, scan.Object, "generationConfig") {
		return
	}
	c.once("generationConfig.", v)
	for m := range v.All() {
		switch name := camel(m.Key()); name {
		case "maxOutputTokens":
			c.r.MaxTokens = c.whole(m, "generationConfig."+name, 1, math.MaxInt32)
		case "candidateCount":
			if m.Given() {
				c.r.N = c.whole(m, "generationConfig."+name, 1, maxCandidates)
			}
		case "temperature":
			c.r.Cold = dialect.Zero(m)
		case "responseLogprobs":
			c.r.Detailed, _ = m.Bool()
		case "responseModalities":
			for kind := range some(m) {
				if !kind.Is("TEXT") {
					c.r.Apart |= inference.Sounding
				}
			}
		case "speechConfig":
			if m.Given() {
				c.r.Apart |= inference.Sounding
			}
		case "thinkingConfig":
			if c.Want(m, scan.Object, "generationConfig."+name) {
				c.thinking(m)
			}
		case "responseJsonSchema", "_responseJsonSchema":
			c.r.Need(inference.JSONSchema)
		case "responseMimeType":
			c.Want(m, scan.String, "generationConfig."+name)
		case "responseSchema":
			if c.Want(m, scan.Object, "generationConfig."+name) {
				c.r.Need(inference.JSONSchema)
			}
		}
	}
}

// thinking notes how hard the caller asks to think: not at all is a budget of 0.
func (c *checking) thinking(v scan.Value) {
	budget, set := integer(get(v, "thinkingBudget"))
	level := get(v, "thinkingLevel").Text()
	c.r.Effort = inference.ParseEffort([]byte(strings.ToLower(level)))
	if set && budget != 0 || !set && level != "" {
		c.r.Need(inference.Reasoning)
	}
}

func (c *checking) tools(v scan.Value) {
	if v.Given() && v.Kind() != scan.Array && v.Kind() != scan.Object {
		c.Wrong("tools", "must be an array")
	}
	i := 0
	for t := range some(v) {
		at := "tools[" + strconv.Itoa(i) + "]"
		i++
		if t.Kind() != scan.Object {
			c.Wrong(at, "must be an object")
			continue
		}
		c.once(at+".", t)
		for m := range t.All() {
			if camel(m.Key()) != "functionDeclarations" {
				c.r.Tools++
				c.r.Apart |= inference.HostedUse
				continue
			}
			for f := range some(m) {
				c.r.Tools++
				c.once(at+".functionDeclarations.", f)
				if f.Get("name").TextLen() == 0 {
					c.Wrong(at+".functionDeclarations", "must hold objects with a name")
				}
			}
		}
	}
}

// content checks a content and weighs it.
func (c *checking) content(v scan.Value, path string, turn bool) {
	if v.Kind() == scan.String && !turn {
		c.bytes += v.TextLen() // Vertex takes a text alone
		return
	}
	role := v.Get("role")
	switch {
	case v.Kind() != scan.Object:
		c.Wrong(path, "must be an object")
		return
	case !turn, !role.Given(), role.Is(""), role.Is("user"), role.Is("model"), role.Is("function"):
	default:
		c.Wrong(path+".role", "must be user or model")
	}
	parts := v.Get("parts")
	if parts.Given() && parts.Kind() != scan.Array && parts.Kind() != scan.Object {
		c.Wrong(path+".parts", "must be an array of parts")
	}
	j := 0
	for p := range some(parts) {
		c.part(p, path+".parts["+strconv.Itoa(j)+"]")
		j++
	}
}

func (c *checking) part(p scan.Value, path string) {
	if p.Kind() != scan.Object {
		c.Wrong(path, "must be an object")
		return
	}
	c.once(path+".", p)
	for m := range p.All() {
		switch name := camel(m.Key()); name {
		case "text":
			c.Want(m, scan.String, path+".text")
			c.bytes += m.TextLen()
		case "inlineData", "fileData":
			if c.Want(m, scan.Object, path+"."+name) {
				c.once(path+"."+name+".", m)
				if name == "fileData" {
					c.r.Apart |= inference.Elsewhere
				}
				media := get(m, "mimeType").Text()
				c.tokens += weight(media)
				c.r.NeedOf(media)
			}
		case "functionCall", "functionResponse":
			if !c.Want(m, scan.Object, path+"."+name) {
				continue
			}
			if m.Get("name").TextLen() == 0 {
				c.Wrong(path+"."+name+".name", "must be a string")
			}
			c.bytes += len(m.Get("args").Raw()) + len(m.Get("response").Raw())
		case "executableCode", "codeExecutionResult":
			c.bytes += len(m.Raw())
		}
	}
}

// weight is what a medium is in tokens, until someone counts.
func weight(media string) int {
	switch kind, _, _ := strings.Cut(media, "/"); kind {
	case "image":
		return dialect.ImageTokens
	case "audio":
		return dialect.AudioTokens
	}
	return dialect.DocumentTokens
}

// Edits appends the edits of a request for an upstream of this dialect: no
// signatures of other makers. They stand in the conversation of a caller whom Claude
// answered before, by way of inference, and Gemini refuses one that is not its own.
func Edits(dst []scan.Edit, d *scan.Doc, _ string) []scan.Edit {
	if !bytes.Contains(d.Bytes(), []byte(wrapping)) {
		return dst
	}
	for c := range some(d.Root().Get("contents")) {
		for p := range some(c.Get("parts")) {
			signature := get(p, "thoughtSignature")
			if _, foreign := unwrap(signature.Text()); foreign && p.Len() > 1 {
				dst = append(dst, scan.Cut(p, signature))
			}
		}
	}
	return dst
}

// CountEdits appends the edits of a request to count tokens: a whole request within
// it names the model once more.
func CountEdits(dst []scan.Edit, d *scan.Doc, model string) []scan.Edit {
	name := get(d.Root(), "generateContentRequest").Get("model")
	if want := resource(model); name.Exists() && !name.Is(want) {
		return append(dst, scan.Replace(name, scan.AppendString(nil, want)))
	}
	return dst
}

// CountEditsVertex appends the edits for Vertex AI, which wants a whole request in
// the place of what holds it, without its model.
func CountEditsVertex(dst []scan.Edit, d *scan.Doc, _ string) []scan.Edit {
	root := d.Root()
	inner := get(root, "generateContentRequest")
	if inner.Kind() != scan.Object {
		return dst
	}
	from, to := root.Span()
	start, end := inner.Span()
	dst = append(dst, scan.Edit{Start: from, End: start})
	if name := inner.Get("model"); name.Exists() {
		dst = append(dst, scan.Cut(inner, name))
	}
	return append(dst, scan.Edit{Start: end, End: to})
}

// resource returns the full name of a model.
func resource(model string) string {
	if strings.Contains(model, "/") {
		return model // models/..., tunedModels/...
	}
	return "models/" + model
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
