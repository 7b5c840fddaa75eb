// Package responses reads and writes the dialect of OpenAI's Responses API:
// requests, answers, the events of a stream, errors, and the items that a
// conversation is made of.
//
// Its source is OpenAI's OpenAPI description 2.3.0, and what OpenAI really sends.
// Bytes that are not understood are never changed: a request for an upstream of
// the same dialect is spliced, and across dialects what cannot be carried is named.
package responses

import (
	"strconv"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

var (
	part = scan.Keys("type", "text", "refusal", "image_url", "detail", "file_id", "file_data", "file_url", "filename",
		"annotations", "logprobs", "prompt_cache_breakpoint").
		With("input_audio", scan.Keys("data", "format"))

	entry = scan.Keys("type", "id", "role", "status", "phase", "call_id", "name", "namespace", "arguments", "input", "caller",
		"encrypted_content", "action", "queries", "results", "code", "container_id", "outputs", "result", "server_label").
		With("content", scan.Each(part)).
		With("output", scan.Each(part)).
		With("summary", scan.Each(scan.Keys("type", "text")))

	tool = scan.Keys("type", "name", "description", "parameters", "strict", "defer_loading", "allowed_callers").
		With("format", scan.Keys("type", "syntax", "definition"))

	shape = scan.Keys("model", "stream", "instructions", "max_output_tokens", "max_tool_calls", "temperature", "top_p",
		"top_logprobs", "parallel_tool_calls", "metadata", "store", "previous_response_id", "include", "truncation",
		"service_tier", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options",
		"background", "conversation", "context_management", "moderation", "client_metadata").
		With("input", scan.Each(entry)).
		With("tools", scan.Each(tool)).
		With("tool_choice", scan.Keys("type", "name", "mode", "tools", "server_label")).
		With("text", scan.Keys("verbosity").With("format", scan.Keys("type", "name", "description", "schema", "strict"))).
		With("reasoning", scan.Keys("effort", "summary", "generate_summary", "mode", "context")).
		With("stream_options", scan.Keys("include_obfuscation")).
		With("prompt", scan.Keys("id", "version", "variables"))
)

// Shape returns the keys that are known in a request.
func Shape() *scan.Shape { return shape }

// sealed is how the encrypted_content begins of a thought that another dialect's
// upstream has signed. Callers hand it back as they hand back OpenAI's own, and
// its maker gets its signature back.
const (
	sealedSignature = "headworks:signature:"
	sealedThought   = "headworks:redacted:"
)

// freeText is the schema of a custom tool on its way to an upstream of another
// dialect: a function with one argument.
var freeText = []byte(`{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}`)

// input returns the free text in the arguments of a function that stands for a
// custom tool; what has another form is the text itself.
func input(arguments []byte) []byte {
	var d scan.Doc
	if d.ScanLax(arguments) == nil {
		if v := d.Root().Get("input"); v.Kind() == scan.String {
			return v.Bytes()
		}
	}
	return arguments
}

// itemKind returns the type of an input item, which may be left out of a message
// and of a reference.
func itemKind(v scan.Value) string {
	switch kind := v.Get("type"); {
	case kind.Given():
		return kind.Text()
	case v.Get("role").Given():
		return "message"
	case v.Get("id").Given():
		return "item_reference"
	}
	return ""
}

// usage reads a usage object; it is not Known if nothing was counted.
func usage(v scan.Value) inference.Usage {
	var u inference.Usage
	for m := range v.All() {
		switch string(m.Key()) {
		case "input_tokens":
			u.Input, u.Known = count(m), true
		case "output_tokens":
			u.Output, u.Known = count(m), true
		case "input_tokens_details":
			u.CacheRead, u.CacheWrite = count(m.Get("cached_tokens")), count(m.Get("cache_write_tokens"))
		case "output_tokens_details":
			u.Reasoning = count(m.Get("reasoning_tokens"))
		}
	}
	return u
}

// count reads a number of tokens; what is not one counts as none.
func count(v scan.Value) int {
	n, _ := v.Int()
	if n < 0 || n > 1<<40 {
		return 0
	}
	return int(n)
}

func appendUsage(dst []byte, u inference.Usage) []byte {
	if !u.Known {
		return append(dst, "null"...)
	}
	dst = appendInt(append(dst, '{'), "input_tokens", u.Input)
	dst = appendInt(append(scan.AppendKey(dst, "input_tokens_details"), '{'), "cached_tokens", u.CacheRead)
	dst = appendInt(dst, "cache_write_tokens", u.CacheWrite)
	dst = appendInt(append(dst, '}'), "output_tokens", u.Output)
	dst = appendInt(append(scan.AppendKey(dst, "output_tokens_details"), '{'), "reasoning_tokens", u.Reasoning)
	return append(appendInt(append(dst, '}'), "total_tokens", u.Input+u.Output), '}')
}

// failed returns the fault that an error value of an upstream tells of, or nil if
// it tells of none: absent, null, false, empty.
func failed(v scan.Value, status int) *fault.Error {
	switch string(v.Raw()) {
	case "", "null", "false", `""`, "0":
		return nil
	}
	s := dialect.Said{Status: status, Prompt: "input"}
	switch v.Kind() {
	case scan.Object:
		s.Type, s.Message = v.Get("type").Bytes(), v.Get("message").Bytes()
		s.Param = shape.Known(v.Get("param").Text())
		if s.Code = v.Get("code").Bytes(); v.Get("code").Kind() == scan.Number {
			s.Code = v.Get("code").Raw()
		}
	case scan.String:
		s.Message = v.Bytes()
	}
	if status == 0 {
		switch string(s.Code) {
		case "invalid_prompt", "invalid_image", "invalid_image_format", "image_too_large", "invalid_base64_image",
			"invalid_image_url", "image_too_small", "image_parse_error", "image_content_policy_violation", "invalid_image_mode",
			"image_file_too_large", "unsupported_image_media_type", "empty_image_file", "failed_to_download_image",
			"image_file_not_found", "bio_policy":
			s.Status = 400
		}
	}
	return s.Fault()
}

func appendInt(dst []byte, key string, n int) []byte {
	return strconv.AppendInt(scan.AppendKey(dst, key), int64(n), 10)
}

func appendText[T string | []byte](dst []byte, key string, text T) []byte {
	return scan.AppendString(scan.AppendKey(dst, key), text)
}
