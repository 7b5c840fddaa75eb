package sdk

import (
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	openaiopt "github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
)

// one serves one upstream of a kind as the model assistant, which is engine-1
// there.
func one(t *testing.T, kind string, u *upstream) *gateway {
	t.Helper()
	return serve(t, `
upstreams:
  lab: {kind: `+kind+`, key: `+lent+`, urls: ["`+u.url+`"]}
models:
  assistant: {targets: [{upstream: lab, model: engine-1, price: {input: 1, output: 3}}]}`)
}

// renamed is a body as the upstream must get it: the caller's bytes, but for the
// model's name.
func renamed(body string) string {
	return strings.Replace(body, `"model":"assistant"`, `"model":"engine-1"`, 1)
}

func hello(model string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    model,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hello")},
	}
}

// everything is a request with all that has to get through untouched.
func everything() openai.ChatCompletionNewParams {
	city := shared.FunctionParameters{
		"type":       "object",
		"properties": map[string]any{"city": map[string]any{"type": "string", "pattern": `^[\p{L} ]+$`}},
		"required":   []string{"city"},
	}
	call := func(id, city string) openai.ChatCompletionMessageToolCallUnionParam {
		return openai.ChatCompletionMessageToolCallUnionParam{OfFunction: &openai.ChatCompletionMessageFunctionToolCallParam{
			ID:       id,
			Function: openai.ChatCompletionMessageFunctionToolCallFunctionParam{Name: "weather", Arguments: `{"city": "` + city + `"}`},
		}}
	}
	p := openai.ChatCompletionNewParams{
		Model: "assistant",
		Messages: []openai.ChatCompletionMessageParamUnion{
			openai.SystemMessage("Answer in JSON. \u2028 <tag> & \"quotes\" 😀"),
			openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
				openai.TextContentPart("What is the weather here, and in Łódź?"),
				openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: "data:image/png;base64,iVBORw0KGgo=", Detail: "low"}),
			}),
			{OfAssistant: &openai.ChatCompletionAssistantMessageParam{
				ToolCalls: []openai.ChatCompletionMessageToolCallUnionParam{call("call_1", "Oslo"), call("call_2", "Łódź")},
			}},
			openai.ToolMessage(`{"c":21.50}`, "call_1"),
			openai.ToolMessage(`{"c":1e1}`, "call_2"),
		},
		Tools: []openai.ChatCompletionToolUnionParam{
			openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "weather", Description: openai.String("now"), Parameters: city, Strict: openai.Bool(true)}),
			openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "forecast", Parameters: city}),
		},
		ParallelToolCalls: openai.Bool(true),
		ResponseFormat: openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{
			JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "weather", Strict: openai.Bool(true), Schema: city},
		}},
		Temperature: openai.Float(0.7),
		Seed:        openai.Int(9007199254740993), // beyond what a double holds
		LogitBias:   map[string]int64{"50256": -100},
		User:        openai.String("user-7"),
	}
	p.SetExtraFields(map[string]any{"vendor_option": map[string]any{"nested": []any{1, "two", nil}}})
	return p
}

func TestChatWhole(t *testing.T) {
	t.Parallel()
	up, seen := play(t, says(chatAnswer)), &tap{}
	g := one(t, "openai", up)
	client := g.openai(openaiopt.WithHTTPClient(seen.client()))

	answer, err := client.Chat.Completions.New(within(t), everything(),
		openaiopt.WithHeader("OpenAI-Project", "proj_1"), openaiopt.WithHeader("OpenAI-Beta", "new"))
	if err != nil {
		t.Fatal(err)
	}
	if answer.RawJSON() != chatAnswer {
		t.Errorf("the client got\n%s\nwant the upstream's bytes\n%s", answer.RawJSON(), chatAnswer)
	}
	if got := answer.Choices[0].Message.Content; got != helloWorld || answer.Usage.TotalTokens != 11 {
		t.Errorf("the client read %q and %d tokens", got, answer.Usage.TotalTokens)
	}

	got, call := up.only(t), seen.last(t)
	if want := renamed(call.Sent); got.Body != want {
		t.Errorf("the upstream got\n%s\nwant\n%s", got.Body, want)
	}
	if got.Path != "/v1/chat/completions" || got.Header.Get("OpenAI-Beta") != "new" || got.Header.Get("OpenAI-Project") != "" {
		t.Errorf("the upstream got path %s, headers %v", got.Path, got.Header)
	}
	ours(t, got, "Bearer "+lent, "")
	for name, want := range map[string]string{
		"x-headworks-model": "assistant", "x-headworks-upstream": "lab", "x-headworks-attempts": "1",
		"x-headworks-cost": "0.000015", "x-headworks-dropped": "",
	} {
		if call.Header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, call.Header.Get(name), want)
		}
	}
	if call.Header.Get("x-request-id") == "" {
		t.Error("the answer has no x-request-id")
	}
}

// ours checks that an upstream got the credential that Headworks holds for it,
// and nothing of the caller's.
func ours(t *testing.T, g got, authorization, apiKey string) {
	t.Helper()
	if a, k := g.Header.Get("Authorization"), g.Header.Get("X-Api-Key"); a != authorization || k != apiKey {
		t.Errorf("the upstream got authorization %q, x-api-key %q", a, k)
	}
	for name, values := range g.Header {
		if strings.Contains(strings.Join(values, " "), secret) {
			t.Errorf("the caller's key reached the upstream in %s", name)
		}
	}
}

// A caller sees usage if it asked for it, and we see it always.
func TestChatStreamUsage(t *testing.T) {
	t.Parallel()
	include := func(on bool) openai.ChatCompletionStreamOptionsParam {
		return openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(on)}
	}
	for _, c := range []struct {
		name    string
		options openai.ChatCompletionStreamOptionsParam
		events  int
		asked   func(sent string) string // what the upstream gets
	}{
		{"not asked", openai.ChatCompletionStreamOptionsParam{}, 4, func(sent string) string {
			return strings.TrimSuffix(sent, "}") + `,"stream_options":{"include_usage":true}}`
		}},
		{"asked", include(true), 5, func(sent string) string { return sent }},
		{"declined", include(false), 4, func(sent string) string {
			return strings.Replace(sent, `"include_usage":false`, `"include_usage":true`, 1)
		}},
		{"other options", openai.ChatCompletionStreamOptionsParam{IncludeObfuscation: openai.Bool(false)}, 4, func(sent string) string {
			return strings.Replace(sent, `"include_obfuscation":false`, `"include_obfuscation":false,"include_usage":true`, 1)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			up, seen := play(t, streams(chatStream)), &tap{}
			client := one(t, "openai", up).openai(openaiopt.WithHTTPClient(seen.client()))
			params := hello("assistant")
			params.StreamOptions = c.options

			stream := client.Chat.Completions.NewStreaming(within(t), params)
			var sum openai.ChatCompletionAccumulator
			events := 0
			for ; stream.Next(); events++ {
				now := stream.Current()
				if want := data(chatStream[events]); now.RawJSON() != want {
					t.Errorf("event %d is\n%s\nwant the upstream's bytes\n%s", events, now.RawJSON(), want)
				}
				if !sum.AddChunk(now) {
					t.Errorf("event %d does not fit those before", events)
				}
			}
			if err := stream.Err(); err != nil {
				t.Fatal(err)
			}
			if events != c.events || sum.Choices[0].Message.Content != helloWorld || sum.Choices[0].FinishReason != "stop" {
				t.Errorf("%d events, %q, finish %q; want %d", events, sum.Choices[0].Message.Content, sum.Choices[0].FinishReason, c.events)
			}
			if want := int64(11 * (c.events - 4)); sum.Usage.TotalTokens != want {
				t.Errorf("the client sees %d tokens, want %d", sum.Usage.TotalTokens, want)
			}
			got, call := up.only(t), seen.last(t)
			if want := c.asked(renamed(call.Sent)); got.Body != want {
				t.Errorf("the upstream got\n%s\nwant\n%s", got.Body, want)
			}
			if kind := call.Header.Get("Content-Type"); kind != "text/event-stream; charset=utf-8" {
				t.Errorf("content type %q", kind)
			}
		})
	}
}

// data returns the data of an event.
func data(event string) string {
	_, rest, _ := strings.Cut(event, "data: ")
	return strings.TrimSuffix(rest, "\n\n")
}

// Reasoning, parallel tool calls and fields that nobody knows pass in a stream.
func TestChatStreamTools(t *testing.T) {
	t.Parallel()
	events := []string{
		choice(`{"role":"assistant","content":null,"reasoning_content":"Two cities."}`, "null"),
		choice(`{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":""}}]}`, "null"),
		choice(`{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]}`, "null"),
		choice(`{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Łódź\"}"}}],"vendor":1}`, "null"),
		choice(`{"tool_calls":[{"index":0,"function":{"arguments":"\"Oslo\"}"}}]}`, "null"),
		choice(`{}`, `"tool_calls"`),
		chatStream[4], chatStream[5],
	}
	up, seen := play(t, streams(events)), &tap{}
	client := one(t, "vllm", up).openai(openaiopt.WithHTTPClient(seen.client()))

	stream := client.Chat.Completions.NewStreaming(within(t), everything())
	var sum openai.ChatCompletionAccumulator
	thought := ""
	for stream.Next() {
		now := stream.Current()
		sum.AddChunk(now)
		thought += now.Choices[0].Delta.JSON.ExtraFields["reasoning_content"].Raw()
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if want := `"Two cities."`; thought != want {
		t.Errorf("reasoning %s, want %s", thought, want)
	}
	calls := sum.Choices[0].Message.ToolCalls
	if len(calls) != 2 || calls[0].ID != "call_1" || calls[0].Function.Arguments != `{"city":"Oslo"}` ||
		calls[1].ID != "call_2" || calls[1].Function.Arguments != `{"city":"Łódź"}` {
		t.Errorf("tool calls %+v", calls)
	}
	if sum.Choices[0].FinishReason != "tool_calls" {
		t.Errorf("finish %q", sum.Choices[0].FinishReason)
	}
	want := strings.TrimSuffix(renamed(seen.last(t).Sent), "}") + `,"stream_options":{"include_usage":true}}`
	if got := up.only(t).Body; got != want {
		t.Errorf("the upstream got\n%s\nwant\n%s", got, want)
	}
}

// A finish without [DONE] is a whole answer; the ending is added.
func TestChatStreamWithoutDone(t *testing.T) {
	t.Parallel()
	client := one(t, "llamacpp", play(t, streams(chatStream[:4]))).openai()
	stream := client.Chat.Completions.NewStreaming(within(t), hello("assistant"))
	var sum openai.ChatCompletionAccumulator
	for stream.Next() {
		sum.AddChunk(stream.Current())
	}
	if err := stream.Err(); err != nil || sum.Choices[0].Message.Content != helloWorld {
		t.Errorf("got %q, %v", sum.Choices[0].Message.Content, err)
	}
}

// Both ways to name a key work for both clients, with and without /v1.
func TestCredentials(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	chat, messages := lab.plays("chat", says(chatAnswer)), lab.plays("claude", says(messagesAnswer))
	g := serve(t, `
upstreams:
  chat: {kind: openai, key: `+lent+`, urls: ["`+chat.url+`/v1"]}
  messages: {kind: anthropic, key: `+lent+`, urls: ["`+messages.url+`"]}`)

	bare := openai.NewClient(openaiopt.WithBaseURL(g.url), openaiopt.WithAPIKey(secret))
	for name, c := range map[string]openai.Client{
		"bearer":    g.openai(),
		"no /v1":    bare,
		"x-api-key": g.openai(openaiopt.WithHeaderDel("authorization"), openaiopt.WithHeader("x-api-key", secret)),
	} {
		if _, err := c.Chat.Completions.New(within(t), hello("chat/engine-1")); err != nil {
			t.Errorf("openai, %s: %v", name, err)
		}
	}
	for name, c := range anthropicCredentials(g) {
		if _, err := c.Messages.New(within(t), hi("messages/engine-1")); err != nil {
			t.Errorf("anthropic, %s: %v", name, err)
		}
	}
	for _, got := range chat.all() {
		ours(t, got, "Bearer "+lent, "")
	}
	for _, got := range messages.all() {
		ours(t, got, "", lent)
	}
}

func TestModels(t *testing.T) {
	t.Parallel()
	g := serve(t, `
upstreams:
  lab: {kind: openai, key: `+lent+`, urls: ["`+nobody(t)+`"]}
models:
  assistant: {targets: [{upstream: lab, model: engine-1}]}
  writer: {targets: [{upstream: lab, model: engine-2}]}
keys:
  - {name: caller, secret: `+secret+`}
  - {name: narrow, secret: sk-narrow-0123456789, models: [writer]}`)
	want := []string{"assistant", "writer"}
	if got := openaiModels(t, g.openai()); !same(got, want) {
		t.Errorf("openai lists %q, want %q", got, want)
	}
	if got := openaiModels(t, g.openai(openaiopt.WithAPIKey("sk-narrow-0123456789"))); !same(got, want[1:]) {
		t.Errorf("a narrow key lists %q, want %q", got, want[1:])
	}
	if got := anthropicModels(t, g.anthropic()); !same(got, want) {
		t.Errorf("anthropic lists %q, want %q", got, want)
	}
}

func openaiModels(t *testing.T, c openai.Client) (names []string) {
	t.Helper()
	pages := c.Models.ListAutoPaging(within(t))
	for pages.Next() {
		names = append(names, pages.Current().ID)
	}
	if err := pages.Err(); err != nil {
		t.Error(err)
	}
	return names
}

func same(a, b []string) bool { return strings.Join(a, " ") == strings.Join(b, " ") }

// A caller that leaves frees its upstream, before the first event and after it,
// for streams and for whole answers.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		stream bool
		answer answer
	}{
		{"whole", false, stalls},
		{"before the head", true, stalls},
		{"before content", true, streams(chatStream[:1], stalls)},
		{"after content", true, streams(chatStream[:2], stalls)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			up := play(t, c.answer)
			client := one(t, "openai", up).openai()
			ctx, leave := withCancel(t)
			ended := make(chan error, 1)
			go func() {
				if !c.stream {
					_, err := client.Chat.Completions.New(ctx, hello("assistant"))
					ended <- err
					return
				}
				stream := client.Chat.Completions.NewStreaming(ctx, hello("assistant"))
				for stream.Next() {
				}
				ended <- stream.Err()
			}()
			got := up.first(t)
			select {
			case <-got.gone:
				t.Fatal("the upstream's request ended before the caller left")
			default:
			}
			leave()
			got.left(t)
			if err := <-ended; err == nil {
				t.Error("the client saw a whole answer")
			}
		})
	}
}
