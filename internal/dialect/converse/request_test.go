package converse

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headworks/internal/inference"
	"headworks/internal/scan"
)

const claude = "anthropic.claude-sonnet-4-5-20250929-v1:0"

func user(parts ...inference.Part) []inference.Message {
	return []inference.Message{{Role: inference.User, Parts: parts}}
}

func text(s string) inference.Part { return inference.Part{Kind: inference.Text, Text: s} }

func TestEncode(t *testing.T) {
	hi := user(text("hi"))
	const asks = `"messages":[{"role":"user","content":[{"text":"hi"}]}]`
	tool := inference.Tool{Name: "weather", Description: "d", Schema: []byte(`{"type":"object"}`), Strict: new(true), Cache: "1h"}
	for name, tt := range map[string]struct {
		c       inference.Conversation
		model   string
		want    string
		dropped []string
	}{
		"plain": {inference.Conversation{Messages: hi}, "amazon.nova-lite-v1:0", `{` + asks + `}`, nil},
		"settings": {
			inference.Conversation{Messages: hi, MaxTokens: 64, Temperature: new(0.5), TopP: new(0.9), Stop: []string{"a"}},
			claude,
			`{` + asks + `,"inferenceConfig":{"maxTokens":64,"temperature":0.5,"topP":0.9,"stopSequences":["a"]}}`, nil,
		},
		"a temperature beyond the scale": {
			inference.Conversation{Messages: hi, Temperature: new(1.5)},
			claude,
			`{` + asks + `,"inferenceConfig":{"temperature":1}}`,
			[]string{"temperature"},
		},
		"system with a cached prefix": {
			inference.Conversation{System: []inference.Part{{Text: "s", Cache: "default"}}, Messages: user(inference.Part{Text: "hi", Cache: "1h"})},
			claude,
			`{"messages":[{"role":"user","content":[{"text":"hi"},{"cachePoint":{"type":"default","ttl":"1h"}}]}],"system":[{"text":"s"},{"cachePoint":{"type":"default"}}]}`, nil,
		},
		"thinking of Claude": {
			inference.Conversation{Messages: hi, Thinking: 2000, TopK: new(5)},
			claude,
			`{` + asks + `,"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":2000},"top_k":5}}`, nil,
		},
		"adaptive thinking of Claude": {
			inference.Conversation{Messages: hi, ThinkingMode: "adaptive", Effort: "high"},
			claude,
			`{` + asks + `,"additionalModelRequestFields":{"thinking":{"type":"adaptive"}},"outputConfig":{"effort":"high"}}`, nil,
		},
		"effort of gpt-oss": {
			inference.Conversation{Messages: hi, Effort: "low"},
			"openai.gpt-oss-120b-1:0",
			`{` + asks + `,"additionalModelRequestFields":{"reasoning_effort":"low"}}`, nil,
		},
		"effort of Nova": {
			inference.Conversation{Messages: hi, Effort: "low"},
			"us.amazon.nova-2-lite-v1:0",
			`{` + asks + `,"additionalModelRequestFields":{"reasoningConfig":{"type":"enabled","maxReasoningEffort":"low"}}}`, nil,
		},
		"what another model is not told": {
			inference.Conversation{Messages: hi, Thinking: 2000, TopK: new(5), Effort: "low"},
			"meta.llama3-3-70b-instruct-v1:0",
			`{` + asks + `}`,
			[]string{"thinking", "top_k", "reasoning_effort"},
		},
		"what nobody is told": {
			inference.Conversation{
				Messages: hi, N: 2, Presence: new(1.0), Frequency: new(1.0), LogProbs: new(0), Seed: new(int64(1)), JSON: true, Parallel: new(false), User: "u",
			},
			claude,
			`{` + asks + `}`,
			[]string{"n", "presence_penalty", "frequency_penalty", "logprobs", "seed", "response_format", "parallel_tool_calls", "user"},
		},
		"a schema": {
			inference.Conversation{Messages: hi, Schema: []byte(`{"type":"object"}`), SchemaName: "answer"},
			claude,
			`{` + asks + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\":\"object\"}","name":"answer"}}}}}`, nil,
		},
		"tools": {
			inference.Conversation{Messages: hi, Tools: []inference.Tool{tool, {Name: "search", Hosted: []byte(`{}`)}}, ToolChoice: inference.ToolChoice{Mode: "required"}},
			claude,
			`{` + asks + `,"toolConfig":{"tools":[{"toolSpec":{"name":"weather","description":"d","inputSchema":{"json":{"type":"object"}},"strict":true}},{"cachePoint":{"type":"default","ttl":"1h"}}],"toolChoice":{"any":{}}}}`, nil,
		},
		"one tool": {
			inference.Conversation{Messages: hi, Tools: []inference.Tool{{Name: "now"}}, ToolChoice: inference.ToolChoice{Mode: "tool", Name: "now"}},
			claude,
			`{` + asks + `,"toolConfig":{"tools":[{"toolSpec":{"name":"now","inputSchema":{"json":{"type":"object"}}}}],"toolChoice":{"tool":{"name":"now"}}}}`, nil,
		},
		"no tool": {inference.Conversation{Messages: hi, Tools: []inference.Tool{tool}, ToolChoice: inference.ToolChoice{Mode: "none"}}, claude, `{` + asks + `}`, nil},
		"calls and results": {
			inference.Conversation{
				Messages: []inference.Message{
					{Role: inference.User, Parts: []inference.Part{text("hi")}},
					{Role: inference.Assistant, Parts: []inference.Part{
						{Kind: inference.Thinking, Text: "t", Signature: "c2ln"},
						{Kind: inference.Redacted, Data: "ZGF0YQ=="},
						{Kind: inference.Thinking, Text: "of another"},
						{Kind: inference.ToolUse, ID: "call/1", Name: "now", Data: `{"a":1}`},
						{Kind: inference.ToolUse, ID: "2", Name: "now", Data: `nonsense`},
					}},
					{Role: inference.User, Parts: []inference.Part{{Kind: inference.ToolResult, ID: "call/1", Parts: []inference.Part{text("noon")}}}},
					{Role: inference.User, Parts: []inference.Part{{Kind: inference.ToolResult, ID: "2", Failed: true}, text("go on")}},
				},
				Tools: []inference.Tool{{Name: "now"}}, ToolChoice: inference.ToolChoice{Mode: "none"},
			},
			claude,
			`{"messages":[{"role":"user","content":[{"text":"hi"}]},{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"t","signature":"c2ln"}}},` +
				`{"reasoningContent":{"redactedContent":"ZGF0YQ=="}},{"toolUse":{"toolUseId":"call_1","name":"now","input":{"a":1}}},{"toolUse":{"toolUseId":"2","name":"now","input":{}}}]},` +
				`{"role":"user","content":[{"toolResult":{"toolUseId":"call_1","content":[{"text":"noon"}]}},{"toolResult":{"toolUseId":"2","content":[{"text":" "}],"status":"error"}},{"text":"go on"}]}],` +
				`"toolConfig":{"tools":[{"toolSpec":{"name":"now","inputSchema":{"json":{"type":"object"}}}}]}}`,
			[]string{"messages.reasoning_content", "messages.tool_calls.function.arguments", "tool_choice"},
		},
		"pictures and documents": {
			inference.Conversation{Messages: user(
				inference.Part{Kind: inference.Image, Media: "image/png", Data: "aQ==", Detail: "low"}, inference.Part{Kind: inference.Image, URL: "https://x/y.png"},
				inference.Part{Kind: inference.Document, Media: "application/pdf", Data: "aQ==", Name: "Q3 report (v1.2).pdf"},
				inference.Part{Kind: inference.Document, Text: "plain"}, inference.Part{Kind: inference.Audio, Media: "audio/wav", Data: "aQ=="}, text("\n"),
			)},
			claude,
			`{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"aQ=="}}},{"document":{"format":"pdf","name":"Q3 report (v1 2) pdf","source":{"bytes":"aQ=="}}},` +
				`{"document":{"format":"txt","name":"document 2","source":{"text":"plain"}}}]}]}`,
			[]string{"content.image_url.detail", "content.image_url", "content.input_audio"},
		},
		"a turn of which nothing is left": {
			inference.Conversation{Messages: []inference.Message{hi[0], {Role: inference.Assistant, Parts: []inference.Part{text("")}}}}, claude, `{` + asks + `}`, nil,
		},
		"a word of the system between": {
			inference.Conversation{Messages: []inference.Message{hi[0], {Role: inference.System, Parts: []inference.Part{text("be brief")}}}},
			claude,
			`{"messages":[{"role":"user","content":[{"text":"hi"},{"text":"be brief"}]}]}`, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			body, dropped := Encode(&tt.c, tt.model, true)
			if diff := cmp.Diff(tt.want, string(body)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if !slices.Equal(dropped, tt.dropped) {
				t.Errorf("dropped %q, want %q", dropped, tt.dropped)
			}
		})
	}
}

// TestAnyConversation: whatever is asked, the body is JSON, its turns alternate and
// none is empty, and the caller's parts stay as they were.
func TestAnyConversation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.Custom(func(t *rapid.T) inference.Part {
			return inference.Part{
				Kind: inference.PartKind(rapid.IntRange(0, int(inference.ToolResult)).Draw(t, "kind")), Text: rapid.String().Draw(t, "text"),
				ID: rapid.String().Draw(t, "id"), Name: rapid.String().Draw(t, "name"), Data: rapid.SampledFrom([]string{"", "aQ==", `{"a":1}`}).Draw(t, "data"),
				Media: rapid.SampledFrom([]string{"", "image/png", "application/pdf"}).Draw(t, "media"), Cache: rapid.SampledFrom([]string{"", "1h"}).Draw(t, "cache"),
			}
		})
		turn := rapid.Custom(func(t *rapid.T) inference.Message {
			return inference.Message{Role: inference.Role(rapid.IntRange(0, 2).Draw(t, "role")), Parts: rapid.SliceOfN(part, 0, 3).Draw(t, "parts")}
		})
		c := inference.Conversation{System: rapid.SliceOfN(part, 0, 2).Draw(t, "system"), Messages: rapid.SliceOfN(turn, 0, 5).Draw(t, "messages")}
		before := cmp.Diff(inference.Conversation{}, c)
		body, _ := Encode(&c, claude, false)
		if after := cmp.Diff(inference.Conversation{}, c); after != before {
			t.Fatal("the conversation was changed")
		}
		var said struct {
			Messages []struct {
				Role    string
				Content []map[string]json.RawMessage
			}
		}
		if err := json.Unmarshal(body, &said); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		for i, m := range said.Messages {
			if len(m.Content) == 0 {
				t.Fatalf("an empty turn in %s", body)
			}
			if i > 0 && said.Messages[i-1].Role == m.Role {
				t.Fatalf("two turns of %s in %s", m.Role, body)
			}
		}
	})
}

func FuzzReader(f *testing.F) {
	f.Add("contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"x"}}`)
	f.Add("messageStop", `{"stopReason":"end_turn"}`)
	f.Add("metadata", `{"usage":{"inputTokens":1,"outputTokens":2}}`)
	f.Add("throttlingException", `{"message":"x"}`)
	f.Fuzz(func(t *testing.T, name, data string) {
		var r Reader
		var d scan.Doc
		e, err := r.Read([]byte(name), []byte(data), &d)
		if err != nil {
			return
		}
		for _, delta := range r.Deltas(nil) {
			if !strings.Contains("metadata messageStart messageStop contentBlockStart contentBlockDelta", name) {
				t.Errorf("%s says %+v", name, delta)
			}
		}
		if (r.End() == nil) != (e.Finishes == 1) {
			t.Errorf("%+v, and the end %v", e, r.End())
		}
	})
}

func FuzzReadAnswer(f *testing.F) {
	f.Add(`{"output":{"message":{"role":"assistant","content":[{"text":"x"}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1}}`)
	f.Fuzz(func(t *testing.T, body string) {
		var d scan.Doc
		if d.ScanLax([]byte(body)) != nil {
			return
		}
		a, err := DecodeAnswer(&d)
		if (err == nil) != (a != nil && a.Finish != inference.Unfinished) {
			t.Errorf("%+v, %v", a, err)
		}
	})
}
