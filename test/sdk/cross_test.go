package sdk

import (
	"reflect"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicopt "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaiopt "github.com/openai/openai-go/v3/option"
)

// What OpenAI's upstreams answer with calls of a tool, whole and as a stream.
const (
	chatTools = `{"id":"chatcmpl-up","object":"chat.completion","created":1790000000,"model":"engine-1","choices":[{"index":0,"message":` +
		`{"role":"assistant","content":"Looking.","tool_calls":[` +
		`{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}},` +
		`{"id":"call_2","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Łódź\"}"}}]},"finish_reason":"tool_calls"}],` +
		`"usage":{"prompt_tokens":19,"completion_tokens":7,"total_tokens":26,"prompt_tokens_details":{"cached_tokens":9}}}`
	messagesTools = `{"id":"msg_up","type":"message","role":"assistant","model":"engine-1","content":[` +
		`{"type":"thinking","thinking":"Two cities.","signature":"c2ln"},{"type":"text","text":"Looking."},` +
		`{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Oslo"}},` +
		`{"type":"tool_use","id":"toolu_2","name":"weather","input":{"city":"Łódź"}}],` +
		`"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":10,"cache_read_input_tokens":9,"output_tokens":7}}`
)

var (
	chatToolsStream = []string{
		choice(`{"role":"assistant","content":""}`, "null"),
		choice(`{"content":"Looking."}`, "null"),
		choice(`{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":""}}]}`, "null"),
		choice(`{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]}`, "null"),
		choice(`{"tool_calls":[{"index":0,"function":{"arguments":"\"Oslo\"}"}}]}`, "null"),
		choice(`{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Łódź\"}"}}]}`, "null"),
		choice(`{}`, `"tool_calls"`),
		chunk(`"choices":[],"usage":{"prompt_tokens":19,"completion_tokens":7,"total_tokens":26,"prompt_tokens_details":{"cached_tokens":9}}`),
		"data: [DONE]\n\n",
	}
	messagesToolsStream = []string{
		event(`{"type":"message_start","message":{"id":"msg_up","type":"message","role":"assistant","model":"engine-1","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"cache_read_input_tokens":9,"output_tokens":1}}}`),
		event(`{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`),
		event(`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Two cities."}}`),
		event(`{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}`),
		event(`{"type":"content_block_stop","index":0}`),
		event(`{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}`),
		event(`{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Looking."}}`),
		event(`{"type":"content_block_stop","index":1}`),
		event(`{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"weather","input":{}}}`),
		event(`{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"city\":"}}`),
		event(`{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"\"Oslo\"}"}}`),
		event(`{"type":"content_block_stop","index":2}`),
		event(`{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_2","name":"weather","input":{}}}`),
		event(`{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"city\":\"Łódź\"}"}}`),
		event(`{"type":"content_block_stop","index":3}`),
		event(`{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":7}}`),
		event(`{"type":"message_stop"}`),
	}
)

// Anthropic's client before an upstream of OpenAI's dialect.
func TestMessagesOnChat(t *testing.T) {
	t.Parallel()
	up, seen := play(t, says(chatTools), streams(chatToolsStream)), &tap{}
	client := one(t, "openai", up).anthropic(anthropicopt.WithHTTPClient(seen.client()))

	whole, err := client.Messages.New(within(t), all())
	if err != nil {
		t.Fatal(err)
	}
	readsTools(t, "whole", whole)
	stream := client.Messages.NewStreaming(within(t), all())
	var sum anthropic.Message
	for stream.Next() {
		if err := sum.Accumulate(stream.Current()); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	readsTools(t, "stream", &sum)

	asked := up.all()
	want := fields(t, `{
		"model": "engine-1", "max_tokens": 4000, "stop": ["END"], "user": "user-7", "parallel_tool_calls": false, "tool_choice": "auto",
		"messages": [
			{"role": "system", "content": "Be brief. \u2028 <tag> & 😀"},
			{"role": "user", "content": [
				{"type": "text", "text": "What is the weather in Łódź?"},
				{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]},
			{"role": "assistant", "content": null, "tool_calls": [
				{"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Łódź\"}"}}]},
			{"role": "tool", "tool_call_id": "toolu_1", "content": "21.50 C"}],
		"tools": [{"type": "function", "function": {"name": "weather", "description": "now",
			"parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}`)
	equal(t, asked[0].Body, want)
	want["stream"], want["stream_options"] = true, map[string]any{"include_usage": true}
	equal(t, asked[1].Body, want)
	if asked[0].Path != "/v1/chat/completions" || asked[0].Header.Get("Anthropic-Version") != "" {
		t.Errorf("path %s, anthropic-version %q", asked[0].Path, asked[0].Header.Get("Anthropic-Version"))
	}
	ours(t, asked[0], "Bearer "+lent, "")
	for _, a := range seen.all() {
		dropped(t, a, "cache_control", "content.redacted_thinking", "content.thinking", "thinking.budget_tokens", "vendor_option")
	}
}

func readsTools(t *testing.T, how string, m *anthropic.Message) {
	t.Helper()
	if len(m.Content) != 3 {
		t.Fatalf("%s: content %+v", how, m.Content)
	}
	text, one, two := m.Content[0], m.Content[1], m.Content[2]
	if text.Text != "Looking." || one.ID != "call_1" || two.ID != "call_2" || one.Name != "weather" {
		t.Errorf("%s: %q, %s, %s", how, text.Text, one.ID, two.ID)
	}
	if string(one.Input) != `{"city":"Oslo"}` || string(two.Input) != `{"city":"Łódź"}` {
		t.Errorf("%s: inputs %s, %s", how, one.Input, two.Input)
	}
	if m.StopReason != anthropic.StopReasonToolUse || m.Role != "assistant" || m.Model != "assistant" || !strings.HasPrefix(m.ID, "msg_") {
		t.Errorf("%s: stop %q, role %q, model %q, id %q", how, m.StopReason, m.Role, m.Model, m.ID)
	}
	// OpenAI counts cached tokens among the prompt's, Anthropic beside them.
	if u := m.Usage; u.InputTokens != 10 || u.CacheReadInputTokens != 9 || u.OutputTokens != 7 {
		t.Errorf("%s: usage %s", how, u.RawJSON())
	}
}

// OpenAI's client before an upstream of Anthropic's dialect.
func TestChatOnMessages(t *testing.T) {
	t.Parallel()
	up, seen := play(t, says(messagesTools), streams(messagesToolsStream)), &tap{}
	client := one(t, "anthropic", up).openai(openaiopt.WithHTTPClient(seen.client()))

	whole, err := client.Chat.Completions.New(within(t), everything())
	if err != nil {
		t.Fatal(err)
	}
	readsCalls(t, "whole", whole)
	params := everything()
	params.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	stream := client.Chat.Completions.NewStreaming(within(t), params)
	var sum openai.ChatCompletionAccumulator
	for stream.Next() {
		if !sum.AddChunk(stream.Current()) {
			t.Fatalf("%s does not fit what came before", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	readsCalls(t, "stream", &sum.ChatCompletion)

	asked := up.all()
	schema := `{"type": "object", "properties": {"city": {"type": "string", "pattern": "^[\\p{L} ]+$"}}, "required": ["city"]}`
	want := fields(t, `{
		"model": "engine-1", "max_tokens": 4096, "temperature": 0.7, "metadata": {"user_id": "user-7"},
		"system": "Answer in JSON. \u2028 <tag> & \"quotes\" 😀",
		"messages": [
			{"role": "user", "content": [
				{"type": "text", "text": "What is the weather here, and in Łódź?"},
				{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}]},
			{"role": "assistant", "content": [
				{"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Oslo"}},
				{"type": "tool_use", "id": "call_2", "name": "weather", "input": {"city": "Łódź"}}]},
			{"role": "user", "content": [
				{"type": "tool_result", "tool_use_id": "call_1", "content": "{\"c\":21.50}"},
				{"type": "tool_result", "tool_use_id": "call_2", "content": "{\"c\":1e1}"}]}],
		"tools": [
			{"name": "weather", "description": "now", "input_schema": `+schema+`, "strict": true},
			{"name": "forecast", "input_schema": `+schema+`}],
		"tool_choice": {"type": "auto", "disable_parallel_tool_use": false},
		"output_config": {"format": {"type": "json_schema", "schema": `+schema+`}}}`)
	equal(t, asked[0].Body, want)
	want["stream"] = true
	equal(t, asked[1].Body, want)
	if asked[0].Path != "/v1/messages" || asked[0].Header.Get("Anthropic-Version") == "" {
		t.Errorf("path %s, anthropic-version %q", asked[0].Path, asked[0].Header.Get("Anthropic-Version"))
	}
	ours(t, asked[0], "", lent)
	for _, a := range seen.all() {
		dropped(t, a, "content.image_url.detail", "logit_bias", "seed", "vendor_option")
	}
}

func readsCalls(t *testing.T, how string, c *openai.ChatCompletion) {
	t.Helper()
	m := c.Choices[0].Message
	if len(m.ToolCalls) != 2 {
		t.Fatalf("%s: %s", how, m.RawJSON())
	}
	one, two := m.ToolCalls[0], m.ToolCalls[1]
	if m.Content != "Looking." || one.ID != "toolu_1" || two.ID != "toolu_2" || one.Function.Name != "weather" {
		t.Errorf("%s: %q, %s, %s", how, m.Content, one.ID, two.ID)
	}
	if one.Function.Arguments != `{"city":"Oslo"}` || two.Function.Arguments != `{"city":"Łódź"}` {
		t.Errorf("%s: arguments %s, %s", how, one.Function.Arguments, two.Function.Arguments)
	}
	if c.Choices[0].FinishReason != "tool_calls" || c.Model != "assistant" || !strings.HasPrefix(c.ID, "chatcmpl-") || c.Created == 0 {
		t.Errorf("%s: finish %q, model %q, id %q", how, c.Choices[0].FinishReason, c.Model, c.ID)
	}
	if u := c.Usage; u.PromptTokens != 19 || u.PromptTokensDetails.CachedTokens != 9 || u.CompletionTokens != 7 || u.TotalTokens != 26 {
		t.Errorf("%s: usage %+v", how, u)
	}
}

func equal(t *testing.T, body string, want map[string]any) {
	t.Helper()
	if got := fields(t, body); !reflect.DeepEqual(got, want) {
		for name := range want {
			if !reflect.DeepEqual(got[name], want[name]) {
				t.Errorf("the upstream got %s:\n%v\nwant\n%v", name, got[name], want[name])
			}
		}
		for name := range got {
			if _, ok := want[name]; !ok {
				t.Errorf("the upstream got %s: %v", name, got[name])
			}
		}
	}
}

// dropped checks that an answer names what could not be carried, and no more.
func dropped(t *testing.T, a attempt, want ...string) {
	t.Helper()
	named := map[string]bool{}
	for _, name := range strings.Split(a.Header.Get("x-headworks-dropped"), ", ") {
		named[name] = true
	}
	for _, name := range want {
		if !named[name] {
			t.Errorf("x-headworks-dropped does not name %s: %q", name, a.Header.Get("x-headworks-dropped"))
		}
		delete(named, name)
	}
	if len(named) > 0 {
		t.Errorf("x-headworks-dropped names more: %v", named)
	}
}
