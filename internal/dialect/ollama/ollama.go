// Package ollama reads and writes the dialect of Ollama's own API, /api/chat and
// /api/generate: requests, answers, the lines of a stream, errors, lists of models.
//
// Its source is Ollama's api/types.go, docs/api.md and server/routes.go as of
// version 0.12 and later; what older versions leave out (ids of tool calls,
// done_reason) may be missing. A request for an upstream of the same dialect is
// spliced, and across dialects what cannot be carried is named.
//
// An answer streams unless the request says otherwise, as lines of JSON, and the one
// that says done ends it, with the counts. There is no other end: a stream without
// that line was cut.
package ollama

import (
	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// maxFallbacks bounds the models that a request may fall back to.
const maxFallbacks = 15

// mostLogprobs is the bound of top_logprobs, which is Ollama's.
const mostLogprobs = 20

var (
	options = scan.Keys("num_keep", "seed", "num_predict", "draft_num_predict", "top_k", "top_p", "min_p", "typical_p",
		"repeat_last_n", "temperature", "repeat_penalty", "presence_penalty", "frequency_penalty", "mirostat",
		"mirostat_tau", "mirostat_eta", "penalize_newline", "stop", "numa", "num_ctx", "num_batch", "num_gpu", "main_gpu",
		"use_mmap", "use_mlock", "num_thread")

	call = scan.Keys("id", "type").With("function", scan.Keys("index", "name", "arguments"))

	message = scan.Keys("role", "content", "thinking", "images", "tool_name", "tool_call_id").
		With("tool_calls", scan.Each(call))

	tool = scan.Keys("type", "items").With("function", scan.Keys("name", "description", "parameters"))

	shape = scan.Keys("model", "models", "stream", "format", "keep_alive", "think", "truncate", "shift", "logprobs",
		"top_logprobs", "_debug_render_only").
		With("messages", scan.Each(message)).
		With("tools", scan.Each(tool)).
		With("options", options)

	generateShape = scan.Keys("model", "models", "stream", "format", "keep_alive", "think", "truncate", "shift",
		"logprobs", "top_logprobs", "_debug_render_only", "prompt", "suffix", "system", "template", "context", "raw",
		"images").
		With("options", options)
)

// Shape returns the keys that are known in a request to /api/chat.
func Shape() *scan.Shape { return shape }

// GenerateShape returns the keys that are known in a request to /api/generate.
func GenerateShape() *scan.Shape { return generateShape }

// finish returns what the last line of an answer says of its end. Old versions give
// no reason.
func finish(reason scan.Value, tools bool) inference.Finish {
	switch {
	case reason.Is("length"):
		return inference.Length
	case tools:
		return inference.ToolCalls // the dialect says stop
	}
	return inference.Stop
}

// usage reads the counts of the last line. Old versions do not count a prompt that
// was in the cache; then nothing is Known.
func usage(root scan.Value) inference.Usage {
	in, out := root.Get("prompt_eval_count"), root.Get("eval_count")
	if in.Kind() != scan.Number {
		return inference.Usage{}
	}
	return inference.Usage{Input: count(in), Output: count(out), Known: true}
}

// count reads a number of tokens; what is not one counts as none.
func count(v scan.Value) int {
	n, _ := v.Int()
	if n < 0 || n > 1<<40 {
		return 0
	}
	return int(n)
}

// reason returns the done_reason of a finish.
func reason(f inference.Finish) string {
	if f == inference.Length {
		return "length"
	}
	return "stop"
}

// failed returns the fault that an error value tells of, or nil if it tells of none.
func failed(v scan.Value, status int) *fault.Error {
	switch v.Kind() {
	case scan.Absent, scan.Null:
		return nil
	case scan.String:
		if v.TextLen() == 0 {
			return nil
		}
		return dialect.Said{Status: status, Message: v.Bytes()}.Fault()
	case scan.Object: // what stands before an Ollama may write errors as OpenAI does
		return dialect.Said{Status: status, Type: v.Get("type").Bytes(), Message: v.Get("message").Bytes()}.Fault()
	case scan.Bool, scan.Number, scan.Array:
	}
	return dialect.Said{Status: status}.Fault()
}
