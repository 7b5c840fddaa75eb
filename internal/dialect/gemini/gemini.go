// Package gemini reads and writes the dialect of Google's Gemini: generateContent
// and streamGenerateContent, countTokens, errors, lists of models.
//
// Its source is the Gemini API reference, v1beta, as Google's Go SDK 1.77 has it.
// Requests may be written with the camelCase names of the reference or with the
// snake_case ones of its protocol buffers, as Google takes both; one field in both
// spellings has two readings and is refused. The model, and whether the answer is
// a stream, stand in the path. Bytes that are not understood are never changed: a
// request for an upstream of the same dialect is sent as it came, and across
// dialects what cannot be carried is named.
package gemini

import (
	"bytes"
	"strings"
	"time"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// maxCandidates bounds candidateCount, as Google does.
const maxCandidates = 8

var (
	blob   = keys("mimeType", "data", "displayName")
	file   = keys("mimeType", "fileUri", "displayName")
	config = keys("responseMimeType", "responseSchema", "responseJsonSchema", "_responseJsonSchema", "responseModalities",
		"stopSequences", "candidateCount", "maxOutputTokens", "temperature", "topP", "topK", "seed", "presencePenalty",
		"frequencyPenalty", "responseLogprobs", "logprobs", "mediaResolution", "speechConfig", "imageConfig",
		"enableEnhancedCivicAnswers", "audioTimestamp", "routingConfig").
		With("thinkingConfig", keys("includeThoughts", "thinkingBudget", "thinkingLevel"))

	part = keys("text", "thought", "thoughtSignature", "executableCode", "codeExecutionResult", "videoMetadata",
		"mediaResolution", "partMetadata", "toolCall", "toolResponse")
	content     = keys("role")
	declaration = keys("name", "description", "parameters", "parametersJsonSchema", "response", "responseJsonSchema", "behavior")
	tool        = keys("googleSearch", "googleSearchRetrieval", "codeExecution", "urlContext", "googleMaps", "fileSearch",
		"computerUse", "mcpServers", "retrieval", "enterpriseWebSearch")
	calling = keys("mode", "allowedFunctionNames", "streamFunctionCallArguments")
	shape   = requestShape()
)

// keys returns the shape of an object whose keys may be written in both ways.
func keys(names ...string) *scan.Shape {
	for _, n := range names {
		if s := snake(n); s != n {
			names = append(names, s)
		}
	}
	return scan.Keys(names...)
}

// both adds a key in both of its spellings.
func both(s *scan.Shape, name string, value *scan.Shape) *scan.Shape {
	s = s.With(name, value)
	if other := snake(name); other != name {
		s = s.With(other, value)
	}
	return s
}

func requestShape() *scan.Shape {
	p := both(both(part, "inlineData", blob), "fileData", file)
	p = both(p, "functionCall", keys("id", "name", "args"))
	p = both(p, "functionResponse", keys("id", "name", "response", "parts", "willContinue", "scheduling"))
	c := both(content, "parts", scan.Some(p))
	s := keys("safetySettings", "cachedContent", "labels", "serviceTier", "store", "model")
	s = both(s, "contents", scan.Some(c))
	s = both(s, "systemInstruction", c)
	s = both(s, "tools", scan.Some(both(tool, "functionDeclarations", scan.Some(declaration))))
	s = both(s, "toolConfig", both(keys("retrievalConfig"), "functionCallingConfig", calling))
	s = both(s, "generationConfig", both(config, "thinkingConfig", keys("includeThoughts", "thinkingBudget", "thinkingLevel")))
	return both(s, "generateContentRequest", s) // of countTokens
}

// Shape returns the keys that are known in a request.
func Shape() *scan.Shape { return shape }

// snake returns the protocol buffers' name of a field.
func snake(name string) string {
	if strings.HasPrefix(name, "_") {
		return name
	}
	var b strings.Builder
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// camel returns the reference's name of a field. A name that has no underscore
// costs no memory.
func camel(key []byte) string {
	if bytes.IndexByte(key, '_') <= 0 {
		return string(key)
	}
	name := make([]byte, 0, len(key))
	for i := 0; i < len(key); i++ {
		if c := key[i]; c == '_' && i+1 < len(key) && key[i+1] >= 'a' && key[i+1] <= 'z' {
			i++
			name = append(name, key[i]-'a'+'A')
		} else {
			name = append(name, c)
		}
	}
	return string(name)
}

// get returns the member of an object, whichever way its key is written.
func get(v scan.Value, name string) scan.Value {
	if m := v.Get(name); m.Exists() {
		return m
	}
	return v.Get(snake(name))
}

// some calls yield with the elements of an array, or with the one that stands in
// an array's place, as Google takes it.
func some(v scan.Value) func(yield func(scan.Value) bool) {
	if v.Kind() == scan.Array {
		return v.All()
	}
	return func(yield func(scan.Value) bool) {
		if v.Given() {
			yield(v)
		}
	}
}

var reasons = [...]string{
	inference.Stop:          "STOP",
	inference.Length:        "MAX_TOKENS",
	inference.ToolCalls:     "STOP",
	inference.ContentFilter: "SAFETY",
	inference.StopSequence:  "STOP",
	inference.Pause:         "CONTINUATION",
}

// finish returns what a finishReason means; Unfinished if it is not given. A reason
// that is not known is still an end. failed tells that the model came to no proper
// end, which no other dialect has a word for.
func finish(v scan.Value) (f inference.Finish, failed bool) {
	switch string(v.Bytes()) {
	case "", "FINISH_REASON_UNSPECIFIED":
		return inference.Unfinished, false
	case "MAX_TOKENS":
		return inference.Length, false
	case "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT",
		"IMAGE_RECITATION", "MODEL_ARMOR":
		return inference.ContentFilter, false
	case "CONTINUATION":
		return inference.Pause, false
	case "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE", "MALFORMED_RESPONSE",
		"OTHER", "LANGUAGE", "IMAGE_OTHER", "NO_IMAGE":
		return inference.Stop, true
	}
	return inference.Stop, false
}

// unfit is the fault of an answer that came to no proper end, towards a caller
// whose dialect cannot say so.
func unfit() *fault.Error {
	return fault.New(fault.Incomplete, "the model came to no proper end of its answer (it asked for a tool in a form that cannot be read, or gave up); ask again")
}

// blocked reports whether the prompt was refused: then there is no candidate.
func blocked(root scan.Value) bool {
	r := root.Get("promptFeedback").Get("blockReason")
	return r.TextLen() > 0 && !r.Is("BLOCKED_REASON_UNSPECIFIED")
}

// counts are the numbers of usageMetadata. The prompt's includes what was cached,
// the candidates' does not include thoughts.
type counts struct {
	prompt, tools, cached, candidates, thoughts int
	known                                       bool
}

// add takes over what an event says. Each number is a total so far; those that are
// absent stay.
func (c *counts) add(usage scan.Value) {
	for m := range usage.All() {
		n, ok := m.Int()
		if !ok || n < 0 || n > 1<<40 {
			continue
		}
		switch string(m.Key()) {
		case "promptTokenCount":
			c.prompt = int(n)
		case "toolUsePromptTokenCount":
			c.tools = int(n)
		case "cachedContentTokenCount":
			c.cached = int(n)
		case "candidatesTokenCount":
			c.candidates = int(n)
		case "thoughtsTokenCount":
			c.thoughts = int(n)
		default:
			continue
		}
		c.known = true
	}
}

func (c *counts) usage() inference.Usage {
	return inference.Usage{
		Input: c.prompt + c.tools, Output: c.candidates + c.thoughts, CacheRead: c.cached, Reasoning: c.thoughts, Known: c.known,
	}
}

func appendUsage(dst []byte, u inference.Usage) []byte {
	dst = appendInt(append(dst, '{'), "promptTokenCount", u.Input)
	dst = appendInt(dst, "candidatesTokenCount", max(0, u.Output-u.Reasoning))
	if u.Reasoning > 0 {
		dst = appendInt(dst, "thoughtsTokenCount", u.Reasoning)
	}
	if u.CacheRead > 0 {
		dst = appendInt(dst, "cachedContentTokenCount", u.CacheRead)
	}
	return append(appendInt(dst, "totalTokenCount", u.Input+u.Output), '}')
}

// failed returns the fault that an error value of an upstream tells of.
func failed(v scan.Value, status int) *fault.Error {
	s := dialect.Said{Status: status, Prompt: "contents"}
	switch v.Kind() {
	case scan.Object:
		s.Type, s.Message = v.Get("status").Bytes(), v.Get("message").Bytes()
		if code, ok := v.Get("code").Int(); ok && code >= 400 && code < 600 && s.Status < 300 {
			s.Status = int(code)
		}
	case scan.String:
		s.Message = v.Bytes()
	}
	if s.Status < 300 {
		s.Status = statuses[string(s.Type)]
	}
	var after time.Duration
	for d := range v.Get("details").All() {
		switch reason := d.Get("reason"); {
		case reason.Is("API_KEY_INVALID"), reason.Is("API_KEY_EXPIRED"), reason.Is("ACCESS_TOKEN_EXPIRED"):
			s.Status = 401 // Google says 400 of its own keys
		}
		if wait, err := time.ParseDuration(d.Get("retryDelay").Text()); err == nil && wait > 0 {
			after = wait
		}
		for f := range d.Get("fieldViolations").All() {
			s.Param = shape.Known(strings.TrimPrefix(f.Get("field").Text(), "generate_content_request."))
		}
	}
	if bytes.HasPrefix(s.Message, []byte("API key not valid")) || bytes.HasPrefix(s.Message, []byte("API key expired")) {
		s.Status = 401
	}
	f := s.Fault()
	f.After = after
	return f
}

// statuses are the HTTP statuses of the canonical codes of google.rpc.Code.
var statuses = map[string]int{
	"INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400, "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403,
	"NOT_FOUND": 404, "ALREADY_EXISTS": 409, "ABORTED": 409, "RESOURCE_EXHAUSTED": 429, "CANCELLED": 499, "UNKNOWN": 500,
	"INTERNAL": 500, "DATA_LOSS": 500, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504,
}

// truthy reports whether an error key tells of an error.
func truthy(v scan.Value) bool {
	switch string(v.Raw()) {
	case "", "null", "false", `""`, "0", "{}":
		return false
	}
	return true
}
