// Package anthropic reads and writes the dialect of Anthropic's messages:
// requests, answers, the events of a stream, errors, lists of models.
//
// Its source is Anthropic's API reference as its Go SDK 1.84 has it. Bytes that
// are not understood are never changed: a request for an upstream of the same
// dialect is spliced, and across dialects what cannot be carried is named.
package anthropic

import (
	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// defaultMaxTokens is for callers whose dialect does not require max_tokens.
const defaultMaxTokens = 4096

var (
	source = scan.Keys("type", "media_type", "data", "url", "file_id", "content")

	// inner is what stands inside the result of a tool.
	inner = scan.Keys("type", "text", "cache_control", "title", "context", "citations").With("source", source)

	block = scan.Keys("type", "text", "cache_control", "citations", "title", "context", "thinking", "signature",
		"data", "id", "name", "input", "tool_use_id", "is_error").
		With("source", source).
		With("content", scan.Each(inner))

	shape = scan.Keys("model", "stream", "max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "service_tier",
		"container", "context_management", "mcp_servers", "cache_control", "inference_geo", "speed", "diagnostics").
		With("system", scan.Each(block)).
		With("messages", scan.Each(scan.Keys("role").With("content", scan.Each(block)))).
		With("tools", scan.Each(scan.Keys("type", "name", "description", "input_schema", "cache_control", "strict"))).
		With("tool_choice", scan.Keys("type", "name", "disable_parallel_tool_use")).
		With("thinking", scan.Keys("type", "budget_tokens", "display")).
		With("metadata", scan.Keys("user_id")).
		With("output_config", scan.Keys("effort").With("format", scan.Keys("type", "schema"))).
		With("output_format", scan.Keys("type", "schema"))
)

// Shape returns the keys that are known in a request.
func Shape() *scan.Shape { return shape }

var reasons = [...]string{
	inference.Stop:          "end_turn",
	inference.Length:        "max_tokens",
	inference.ToolCalls:     "tool_use",
	inference.ContentFilter: "refusal",
	inference.StopSequence:  "stop_sequence",
	inference.Pause:         "pause_turn",
}

// finish returns what a stop_reason means; Unfinished if it is not given. A
// reason that is not known is still an end.
func finish(v scan.Value) inference.Finish {
	switch string(v.Bytes()) {
	case "":
		return inference.Unfinished
	case "max_tokens", "model_context_window_exceeded":
		return inference.Length
	case "tool_use":
		return inference.ToolCalls
	case "refusal":
		return inference.ContentFilter
	case "stop_sequence":
		return inference.StopSequence
	case "pause_turn":
		return inference.Pause
	}
	return inference.Stop
}

// counts are the numbers of a usage object as this dialect has them: input
// without the cache.
type counts struct {
	input, output, read, write, hour, thinking int
	known                                      bool
}

// add takes over what an event says. Each number is a total so far; those that
// are absent or null stay.
func (c *counts) add(usage scan.Value) {
	for m := range usage.All() {
		n, ok := m.Int()
		switch string(m.Key()) {
		case "output_tokens_details":
			n, ok = m.Get("thinking_tokens").Int()
		case "cache_creation":
			n, ok = m.Get("ephemeral_1h_input_tokens").Int()
		}
		if !ok || n < 0 || n > 1<<40 {
			continue
		}
		switch string(m.Key()) {
		case "input_tokens":
			c.input = int(n)
		case "output_tokens":
			c.output = int(n)
		case "cache_read_input_tokens":
			c.read = int(n)
		case "cache_creation_input_tokens":
			c.write = int(n)
		case "cache_creation":
			c.hour = int(n)
		case "output_tokens_details":
			c.thinking = int(n)
		default:
			continue
		}
		c.known = true
	}
}

func (c *counts) usage() inference.Usage {
	return inference.Usage{
		Input: c.input + c.read + c.write, Output: c.output, CacheRead: c.read, CacheWrite: c.write,
		CacheWriteHour: min(c.hour, c.write), Reasoning: c.thinking, Known: c.known,
	}
}

// appendUsage writes all that the reference has of usage; what nobody knows is null.
func appendUsage(dst []byte, u inference.Usage) []byte {
	dst = appendCounts(append(dst, '{'), u)
	if u.CacheWriteHour > 0 {
		dst = appendInt(append(scan.AppendKey(dst, "cache_creation"), '{'), "ephemeral_5m_input_tokens", max(0, u.CacheWrite-u.CacheWriteHour))
		dst = append(appendInt(dst, "ephemeral_1h_input_tokens", u.CacheWriteHour), '}')
	} else {
		dst = append(dst, `,"cache_creation":null`...)
	}
	return append(dst, `,"inference_geo":null,"service_tier":null,"speed":null}`...)
}

// appendSum is appendUsage for the end of a stream, which tells less.
func appendSum(dst []byte, u inference.Usage) []byte {
	return append(appendCounts(append(dst, '{'), u), '}')
}

func appendCounts(dst []byte, u inference.Usage) []byte {
	dst = appendInt(dst, "input_tokens", max(0, u.Input-u.CacheRead-u.CacheWrite))
	dst = appendInt(dst, "cache_creation_input_tokens", u.CacheWrite)
	dst = appendInt(dst, "cache_read_input_tokens", u.CacheRead)
	dst = appendInt(dst, "output_tokens", u.Output)
	if u.Reasoning > 0 {
		dst = append(appendInt(append(scan.AppendKey(dst, "output_tokens_details"), '{'), "thinking_tokens", u.Reasoning), '}')
	} else {
		dst = append(dst, `,"output_tokens_details":null`...)
	}
	return append(dst, `,"server_tool_use":null`...)
}

// failed returns the fault that an error value of an upstream tells of.
func failed(v scan.Value, status int) *fault.Error {
	s := dialect.Said{Status: status, Prompt: "messages"}
	switch v.Kind() {
	case scan.Object:
		s.Type, s.Message = v.Get("type").Bytes(), v.Get("message").Bytes()
		s.Param = param(s.Message)
	case scan.String:
		s.Message = v.Bytes()
	}
	return s.Fault()
}

// param returns the known field that a message begins with, as in
// "messages.0.content: Field required"; this dialect has no place of its own for
// it. Indices stand between points there.
func param(message []byte) string {
	for i, c := range message {
		switch {
		case c == ':':
			return shape.Known(string(message[:i]))
		case i > 64 || c == ' ':
			return ""
		case c == '.':
			return shape.Known(string(message[:i]))
		}
	}
	return ""
}

// truthy reports whether an error key tells of an error, by the rule of the
// clients that are less careful.
func truthy(v scan.Value) bool {
	switch string(v.Raw()) {
	case "", "null", "false", `""`, "0":
		return false
	}
	return true
}
