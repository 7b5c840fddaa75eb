// Package converse writes requests and reads answers of Amazon Bedrock's Converse and
// ConverseStream. No client speaks it to us: what goes there was translated.
//
// Its source is the API reference of the Bedrock Runtime, as the service's model in
// AWS' SDK for Go has it (service/bedrockruntime 1.63).
package converse

import (
	"bytes"
	"strconv"
	"strings"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// finish returns what a stopReason means; Unfinished if it is not given, and a fault
// for those that say that the model failed. A reason that is not known is still an
// end.
func finish(v scan.Value) (inference.Finish, *fault.Error) {
	switch reason := string(v.Bytes()); reason {
	case "":
		return inference.Unfinished, nil
	case "tool_use":
		return inference.ToolCalls, nil
	case "max_tokens", "model_context_window_exceeded":
		return inference.Length, nil
	case "stop_sequence":
		return inference.StopSequence, nil
	case "guardrail_intervened", "content_filtered":
		return inference.ContentFilter, nil
	case "malformed_model_output", "malformed_tool_use":
		return inference.Unfinished, fault.New(fault.UpstreamTransient, "the model wrote an answer or a tool call that Bedrock could not use; another try may go well")
	}
	return inference.Stop, nil
}

// usage reads a usage object; it is not Known if nothing was counted. Its input is
// without the cache.
func usage(v scan.Value) inference.Usage {
	var u inference.Usage
	for m := range v.All() {
		switch string(m.Key()) {
		case "inputTokens":
			u.Input += count(m)
			u.Known = true
		case "outputTokens":
			u.Output, u.Known = count(m), true
		case "cacheReadInputTokens":
			u.CacheRead = count(m)
			u.Input += u.CacheRead
		case "cacheWriteInputTokens":
			u.CacheWrite = count(m)
			u.Input += u.CacheWrite
		case "cacheDetails":
			for d := range m.All() {
				if d.Get("ttl").Is("1h") {
					u.CacheWriteHour += count(d.Get("inputTokens"))
				}
			}
		}
	}
	u.CacheWriteHour = min(u.CacheWriteHour, u.CacheWrite)
	return u
}

func count(v scan.Value) int {
	n, _ := v.Int()
	if n < 0 || n > 1<<40 {
		return 0
	}
	return int(n)
}

// statuses are those of the exceptions that a stream may end in, by name without
// its ending.
var statuses = map[string]int{
	"internalserver": 500, "modelstreamerror": 502, "serviceunavailable": 503, "throttling": 429,
	"validation": 400, "modeltimeout": 504, "modelnotready": 429, "accessdenied": 403, "resourcenotfound": 404,
}

// exception returns the fault of an exception of that name within a stream.
func exception(name string, body scan.Value) *fault.Error {
	s := dialect.Said{Prompt: "messages", Message: message(body)}
	short := strings.TrimSuffix(strings.ToLower(name), "exception")
	if s.Status = statuses[short]; s.Status == 0 {
		s.Status = 500
	}
	return s.Fault()
}

func message(body scan.Value) []byte {
	if m := body.Get("message"); m.Exists() {
		return m.Bytes()
	}
	return body.Get("Message").Bytes()
}

// ReadError returns what an upstream's error answer means.
func ReadError(status int, body []byte, d *scan.Doc) *fault.Error {
	s := dialect.Said{Status: status, Prompt: "messages"}
	if d.ScanLax(body) == nil {
		s.Message = message(d.Root())
	}
	switch {
	case status == 403 && unsigned(s.Message):
		s.Status = 401
	case status == 424: // ModelErrorException: the model failed, not the request
		s.Status = 502
	}
	return s.Fault()
}

// unsigned reports whether a refusal is of the credential itself and not of what it
// may do: a token that is invalid or over, a signature that is not ours.
func unsigned(message []byte) bool {
	message = bytes.ToLower(message)
	for _, sign := range [...]string{"security token", "signature", "authentication failed", "api key"} {
		if bytes.Contains(message, []byte(sign)) {
			return true
		}
	}
	return false
}

func appendInt(dst []byte, key string, n int) []byte {
	return strconv.AppendInt(scan.AppendKey(dst, key), int64(n), 10)
}

func appendFloat(dst []byte, key string, f float64) []byte {
	return strconv.AppendFloat(scan.AppendKey(dst, key), f, 'g', -1, 64)
}
