// Package openai reads and writes the dialect of OpenAI's chat completions:
// requests, answers, the events of a stream, errors, lists of models.
//
// Its source is OpenAI's OpenAPI description 2.3.0, and what vLLM, llama.cpp,
// Azure and other servers of this dialect really send. Bytes that are not
// understood are never changed: a request for an upstream of the same dialect is
// spliced, and across dialects what cannot be carried is named.
package openai

import (
	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// maxChoices bounds n, as OpenAI does.
const maxChoices = 128

// maxFallbacks bounds the models that a request may fall back to.
const maxFallbacks = 15

var (
	part = scan.Keys("type", "text", "refusal").
		With("image_url", scan.Keys("url", "detail")).
		With("input_audio", scan.Keys("data", "format")).
		With("file", scan.Keys("filename", "file_data", "file_id"))

	call = scan.Keys("id", "type", "index").With("function", scan.Keys("name", "arguments"))

	message = scan.Keys("role", "name", "refusal", "tool_call_id", "reasoning_content").
		With("content", scan.Each(part)).
		With("tool_calls", scan.Each(call)).
		With("function_call", scan.Keys("name", "arguments")).
		With("audio", scan.Keys("id"))

	tool = scan.Keys("type").
		With("function", scan.Keys("name", "description", "parameters", "strict")).
		With("custom", scan.Keys("name", "description", "format"))

	shape = scan.Keys("model", "stream", "max_tokens", "max_completion_tokens", "n", "temperature", "top_p", "top_k",
		"stop", "seed", "user", "store", "metadata", "logprobs", "top_logprobs", "logit_bias", "presence_penalty",
		"frequency_penalty", "parallel_tool_calls", "reasoning_effort", "service_tier", "modalities", "audio",
		"prediction", "prompt_cache_key", "safety_identifier", "verbosity", "web_search_options", "best_of",
		"prompt_logprobs", "chat_template", "chat_template_kwargs", "mm_processor_kwargs", "cache_salt",
		"kv_transfer_params", "priority", "functions", "function_call", "models").
		With("messages", scan.Each(message)).
		With("tools", scan.Each(tool)).
		With("tool_choice", scan.Keys("type").With("function", scan.Keys("name"))).
		With("stream_options", scan.Keys("include_usage", "include_obfuscation", "continuous_usage_stats")).
		With("response_format", scan.Keys("type").With("json_schema", scan.Keys("name", "description", "schema", "strict")))
)

// Shape returns the keys that are known in a request.
func Shape() *scan.Shape { return shape }

var finishes = [...]string{
	inference.Stop:          "stop",
	inference.Length:        "length",
	inference.ToolCalls:     "tool_calls",
	inference.ContentFilter: "content_filter",
	inference.StopSequence:  "stop",
	inference.Pause:         "stop",
}

// finish returns what a finish_reason means; Unfinished if it is not given. A
// reason that is not known is still an end.
func finish(v scan.Value) inference.Finish {
	switch string(v.Bytes()) {
	case "":
		return inference.Unfinished
	case "length", "max_tokens", "model_length": // Mistral's, out of the window
		return inference.Length
	case "tool_calls", "function_call":
		return inference.ToolCalls
	case "content_filter":
		return inference.ContentFilter
	}
	return inference.Stop
}

// broke returns the fault that a member of a choice tells of: an error beside the
// answer, as OpenRouter has it, or a finish_reason that says the same. Nil if it
// tells of none.
func broke(m scan.Value) *fault.Error {
	switch string(m.Key()) {
	case "error":
		return failed(m, 0)
	case "finish_reason":
		switch string(m.Bytes()) {
		case "error": // OpenRouter, Mistral
			return dialect.Said{}.Fault()
		case "abort", // vLLM and SGLang: the engine dropped the request
			"insufficient_system_resource": // DeepSeek
			return dialect.Said{Status: 503}.Fault()
		}
	}
	return nil
}

// Broke returns the fault that a choice tells of, or nil.
func (Kin) Broke(choice scan.Value) *fault.Error {
	for m := range choice.All() {
		if f := broke(m); f != nil {
			return f
		}
	}
	return nil
}

// usage reads a usage object; it is not Known if nothing was counted.
func usage(v scan.Value) inference.Usage {
	var u inference.Usage
	total := 0
	for m := range v.All() {
		switch string(m.Key()) {
		case "prompt_tokens":
			u.Input, u.Known = count(m), true
		case "completion_tokens":
			u.Output, u.Known = count(m), true
		case "prompt_tokens_details":
			u.CacheRead, u.CacheWrite = count(m.Get("cached_tokens")), count(m.Get("cache_write_tokens"))
		case "completion_tokens_details":
			u.Reasoning = count(m.Get("reasoning_tokens"))
		case "prompt_cache_hit_tokens", "cached_tokens": // DeepSeek, Together
			u.CacheRead = max(u.CacheRead, count(m))
		case "total_tokens":
			total = count(m)
		}
	}
	if u.Reasoning > 0 && total == u.Input+u.Output+u.Reasoning {
		u.Output += u.Reasoning // xAI counts them beside the answer
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
	dst = appendInt(append(dst, '{'), "prompt_tokens", u.Input)
	dst = appendInt(dst, "completion_tokens", u.Output)
	dst = appendInt(dst, "total_tokens", u.Input+u.Output)
	dst = append(scan.AppendKey(dst, "prompt_tokens_details"), '{')
	dst = appendInt(dst, "cached_tokens", u.CacheRead)
	if u.CacheWrite > 0 {
		dst = appendInt(dst, "cache_write_tokens", u.CacheWrite)
	}
	dst = append(scan.AppendKey(append(dst, '}'), "completion_tokens_details"), '{')
	dst = appendInt(dst, "reasoning_tokens", u.Reasoning)
	return append(dst, "}}"...)
}

// kin is chat itself.
var kin = Kin{Shape: shape, Prompt: "messages"}

func failed(v scan.Value, status int) *fault.Error { return kin.Failed(v, status) }

func truthy(v scan.Value) bool {
	switch v.Kind() {
	case scan.Absent, scan.Null:
		return false
	case scan.Bool:
		b, _ := v.Bool()
		return b
	case scan.String:
		return v.TextLen() > 0
	case scan.Number:
		f, ok := v.Float()
		return f != 0 || !ok
	}
	return true
}
