package enginetest

import (
	"strings"

	"headworks/internal/inference"
)

// vendor is what a provider has of its own within a dialect: answers as it writes
// them, and errors.
type vendor struct {
	streams []told
	answers []told
	refusal func(kind string) string
	tooLong string
	unasked bool // nobody asks it for usage
}

// of returns how a vendor speaks a dialect.
func (v vendor) of(d *speech) *speech {
	s := *d
	s.streams, s.answers = v.streams, v.answers
	if v.refusal != nil {
		s.refusal = v.refusal
	}
	if v.tooLong != "" {
		s.tooLong = v.tooLong
	}
	if s.unasked = v.unasked; s.unasked {
		s.sends = strings.Replace(s.asks, `"assistant"`, `"served"`, 1)
	}
	return &s
}

// vendors are the providers that speak OpenAI's dialect; testdata/README.md names
// the sources.
var vendors = map[string]vendor{
	"openrouter": {
		streams: []told{{
			file: "openrouter/thinking.sse", n: 1, thought: "Let me see.", text: "Hello", finish: inference.Stop,
			usage: inference.Usage{Input: 194, Output: 60, CacheRead: 100, CacheWrite: 40, Reasoning: 12, Known: true},
		}},
		answers: []told{{
			file: "openrouter/tools.json", finish: inference.ToolCalls,
			tools: []inference.Part{{ID: "call_o1", Name: "weather", Data: `{"location":"Paris"}`}},
			usage: inference.Usage{Input: 194, Output: 60, CacheRead: 100, CacheWrite: 40, Reasoning: 12, Known: true},
		}},
		refusal: func(string) string {
			return `{"error":{"message":"SECRET of the upstream","code":0,"metadata":{"provider_name":"SECRET","raw":"SECRET"}},"user_id":"SECRET"}`
		},
		tooLong: `{"error":{"message":"This endpoint's maximum context length is 131072 tokens. However, you requested about 900000 tokens.","code":400}}`,
	},
	"groq": {
		streams: []told{{
			file: "groq/tools.sse", n: 1, thought: "Look it up.", finish: inference.ToolCalls,
			tools: []inference.Part{{ID: "tk85n1k4m", Name: "weather", Data: `{"location":"Paris"}`}},
			usage: inference.Usage{Input: 210, Output: 35, CacheRead: 128, Reasoning: 20, Known: true},
		}},
		answers: []told{{
			file: "groq/text.json", thought: "Count them.", text: "Three.", finish: inference.Stop,
			usage: inference.Usage{Input: 17, Output: 649, Reasoning: 570, Known: true},
		}},
		refusal: func(kind string) string {
			return `{"error":{"message":"SECRET of the upstream","type":"` + kind + `"}}`
		},
		tooLong: `{"error":{"message":"Please reduce the length of the messages or completion.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`,
	},
	"together": {
		streams: []told{{
			file: "together/text.sse", n: 1, text: "Hello there", finish: inference.Stop,
			usage: inference.Usage{Input: 14, Output: 46, CacheRead: 8, Known: true},
		}},
		answers: []told{{
			file: "together/text.json", text: "Hello there", finish: inference.Stop,
			usage: inference.Usage{Input: 14, Output: 46, Known: true},
		}},
		refusal: func(kind string) string {
			return `{"id":"t3","error":{"message":"SECRET of the upstream","type":"` + kind + `","param":null,"code":null}}`
		},
		tooLong: "{\"error\":{\"message\":\"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens and 512 `max_new_tokens`\",\"type\":\"invalid_request_error\",\"param\":\"max_tokens\",\"code\":null}}",
	},
	"mistral": {
		streams: []told{
			{
				file: "mistral/thinking.sse", n: 1, thought: "Basic arithmetic.", text: "2 + 2 = 4", finish: inference.Stop,
				usage: inference.Usage{Input: 10, Output: 46, Known: true},
			},
			{
				file: "mistral/tools.sse", n: 1, finish: inference.ToolCalls,
				tools: []inference.Part{{ID: "gSIMJiOkT", Name: "weather", Data: `{"location": "Paris"}`}},
				usage: inference.Usage{Input: 124, Output: 22, CacheRead: 64, Known: true},
			},
		},
		answers: []told{{
			file: "mistral/tools.json", finish: inference.ToolCalls,
			tools: []inference.Part{{ID: "gSIMJiOkT", Name: "weather", Data: `{"location": "Paris"}`}},
			usage: inference.Usage{Input: 124, Output: 22, Known: true},
		}},
		refusal: func(kind string) string {
			return `{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","SECRET"],"msg":"SECRET"}]},"type":"` + kind + `","param":null,"code":null}`
		},
		tooLong: `{"object":"error","message":"Prompt contains 40960 tokens and 0 draft tokens, too large for model with 32768 maximum context length","type":"invalid_request_prompt","param":null,"code":"3051"}`,
		unasked: true,
	},
	"deepseek": {
		streams: []told{{
			file: "deepseek/tools.sse", n: 1, thought: "The weather.", finish: inference.ToolCalls,
			tools: []inference.Part{{ID: "call_00_d1", Name: "weather", Data: `{"location": "San Francisco"}`}},
			usage: inference.Usage{Input: 339, Output: 83, CacheRead: 320, Reasoning: 39, Known: true},
		}},
		answers: []told{{
			file: "deepseek/text.json", thought: "Count them.", text: "Three.", finish: inference.Stop,
			usage: inference.Usage{Input: 18, Output: 345, Reasoning: 315, Known: true},
		}},
		tooLong: `{"error":{"message":"This model's maximum context length is 131072 tokens. However, you requested 900000 tokens.","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}`,
	},
	"xai": {
		streams: []told{{
			file: "xai/text.sse", n: 1, thought: "A single word.", text: "Hello", finish: inference.Stop,
			usage: inference.Usage{Input: 12, Output: 229, CacheRead: 2, Reasoning: 228, Known: true},
			aside: asideOf("xai/text.sse"),
		}},
		answers: []told{{
			file: "xai/text.json", thought: "A single word.", text: "Hello", finish: inference.Stop,
			usage: inference.Usage{Input: 12, Output: 229, CacheRead: 2, Reasoning: 228, Known: true},
		}},
		refusal: func(string) string {
			return `{"code":"Client specified an invalid argument","error":"SECRET of the upstream"}`
		},
		tooLong: `{"code":"Client specified an invalid argument","error":"This model's maximum prompt length is 131072 but the request contains 537812 tokens."}`,
	},
	"fireworks": {
		streams: []told{{
			file: "fireworks/tools.sse", n: 1, thought: "Look it up.", finish: inference.ToolCalls,
			tools: []inference.Part{{ID: "call_f1", Name: "weather", Data: `{"location": "Paris"}`}},
			usage: inference.Usage{Input: 21, Output: 12, CacheRead: 16, Known: true},
		}},
		answers: []told{{
			file: "fireworks/text.json", text: "Hello there", finish: inference.Stop,
			usage: inference.Usage{Input: 21, Output: 12, CacheRead: 16, Known: true},
		}},
		refusal: func(kind string) string {
			return `{"error":{"object":"error","type":"` + kind + `","code":"` + kind + `","message":"SECRET of the upstream"}}`
		},
		tooLong: `{"error":{"object":"error","type":"invalid_request_error","code":"invalid_request_error","message":"The prompt is too long: 900000, model maximum context length: 131071"}}`,
	},
	"cerebras": {
		streams: []told{{
			file: "cerebras/tools.sse", n: 1, thought: "A magic number.", finish: inference.ToolCalls,
			tools: []inference.Part{{ID: "e0ecf32e0", Name: "magic", Data: `{}`}},
			usage: inference.Usage{Input: 433, Output: 122, CacheRead: 256, Reasoning: 108, Known: true},
		}},
		answers: []told{{
			file: "cerebras/tools.json", thought: "A magic number.", finish: inference.ToolCalls,
			tools: []inference.Part{{ID: "85e4fd267", Name: "magic", Data: `{}`}},
			usage: inference.Usage{Input: 322, Output: 65, CacheRead: 256, Reasoning: 58, Known: true},
		}},
		refusal: func(kind string) string {
			return `{"message":"SECRET of the upstream","type":"` + kind + `","param":"validation_error","code":"wrong_api_format"}`
		},
		tooLong: `{"message":"Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}`,
	},
	"azure": {
		streams: []told{
			{
				file: "azure/text.sse", n: 1, text: "Hello there", finish: inference.Stop,
				usage: inference.Usage{Input: 18, Output: 9, Known: true},
				aside: asideOf("azure/text.sse"),
			},
			{
				file: "azure/async.sse", n: 1, text: "Color", finish: inference.Stop,
				usage: inference.Usage{Input: 18, Output: 9, Known: true},
				aside: asideOf("azure/async.sse"),
			},
		},
		answers: []told{{
			file: "azure/text.json", text: "Hello there", finish: inference.Stop,
			usage: inference.Usage{Input: 18, Output: 9, Known: true},
		}},
		refusal: func(string) string {
			return `{"error":{"message":"SECRET of the upstream","type":null,"param":null,"code":null,"innererror":{"code":"SECRET"}}}`
		},
	},
	"lmstudio": {
		streams: []told{{
			file: "lmstudio/text.sse", n: 1, text: "Hello there", finish: inference.Stop,
			usage: inference.Usage{Input: 24, Output: 9, Known: true},
			aside: asideOf("lmstudio/text.sse"),
		}},
		answers: []told{{
			file: "lmstudio/tools.json", finish: inference.ToolCalls,
			tools: []inference.Part{{ID: "365174485", Name: "weather", Data: `{"location":"Paris"}`}},
			usage: inference.Usage{Input: 24, Output: 9, Known: true},
		}},
	},
}

// asideOf returns the event of a stream before its terminal, which tells usage alone.
func asideOf(file string) string {
	events := dialects[0].pieces(load(file))
	return events[len(events)-2]
}
