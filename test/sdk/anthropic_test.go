package sdk

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicopt "github.com/anthropics/anthropic-sdk-go/option"
)

func hi(model anthropic.Model) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model: model, MaxTokens: 100,
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("hello"))},
	}
}

// all is a request with all that has to get through untouched.
func all() anthropic.MessageNewParams {
	cached := anthropic.NewCacheControlEphemeralParam()
	cached.TTL = anthropic.CacheControlEphemeralTTLTTL1h
	weather := anthropic.ToolParam{
		Name: "weather", Description: anthropic.String("now"), CacheControl: cached,
		InputSchema: anthropic.ToolInputSchemaParam{
			Properties: map[string]any{"city": map[string]any{"type": "string"}}, Required: []string{"city"},
		},
	}
	p := anthropic.MessageNewParams{
		Model: "assistant", MaxTokens: 4000,
		System: []anthropic.TextBlockParam{{Text: "Be brief. \u2028 <tag> & 😀", CacheControl: cached}},
		Messages: []anthropic.MessageParam{
			anthropic.NewUserMessage(anthropic.NewTextBlock("What is the weather in Łódź?"), anthropic.NewImageBlockBase64("image/png", "iVBORw0KGgo=")),
			anthropic.NewAssistantMessage(
				anthropic.NewThinkingBlock("c2lnbmF0dXJl/+==", "The user wants weather."),
				anthropic.NewRedactedThinkingBlock("b3BhcXVl"),
				anthropic.NewToolUseBlock("toolu_1", map[string]any{"city": "Łódź"}, "weather"),
			),
			anthropic.NewUserMessage(anthropic.NewToolResultBlock("toolu_1", "21.50 C", false)),
		},
		Tools:         []anthropic.ToolUnionParam{{OfTool: &weather}},
		ToolChoice:    anthropic.ToolChoiceUnionParam{OfAuto: &anthropic.ToolChoiceAutoParam{DisableParallelToolUse: anthropic.Bool(true)}},
		Thinking:      anthropic.ThinkingConfigParamOfEnabled(2048),
		StopSequences: []string{"END"},
		Metadata:      anthropic.MetadataParam{UserID: anthropic.String("user-7")},
	}
	p.SetExtraFields(map[string]any{"vendor_option": map[string]any{"nested": []any{1, "two", nil}}})
	return p
}

func TestMessagesWhole(t *testing.T) {
	t.Parallel()
	up, seen := play(t, says(messagesAnswer)), &tap{}
	client := one(t, "anthropic", up).anthropic(anthropicopt.WithHTTPClient(seen.client()))

	answer, err := client.Messages.New(within(t), all())
	if err != nil {
		t.Fatal(err)
	}
	if answer.RawJSON() != messagesAnswer {
		t.Errorf("the client got\n%s\nwant the upstream's bytes\n%s", answer.RawJSON(), messagesAnswer)
	}
	got, call := up.only(t), seen.last(t)
	if want := renamed(call.Sent); got.Body != want {
		t.Errorf("the upstream got\n%s\nwant\n%s", got.Body, want)
	}
	if got.Path != "/v1/messages" || got.Header.Get("Anthropic-Version") != "2023-06-01" {
		t.Errorf("the upstream got path %s, version %q", got.Path, got.Header.Get("Anthropic-Version"))
	}
	ours(t, got, "", lent)
	if id := call.Header.Get("request-id"); id == "" || id != call.Header.Get("x-request-id") {
		t.Errorf("request-id %q, x-request-id %q", id, call.Header.Get("x-request-id"))
	}
	if dropped := call.Header.Get("x-headworks-dropped"); dropped != "" {
		t.Errorf("dropped: %q", dropped)
	}
}

// Thinking with its signature, text, tool use, pings and events that nobody
// knows pass in a stream.
func TestMessagesStream(t *testing.T) {
	t.Parallel()
	events := []string{
		messagesStream[0],
		event(`{"type":"ping"}`),
		event(`{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`),
		event(`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"The user wants"}}`),
		event(`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":" weather."}}`),
		event(`{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2lnbmF0dXJl/+=="}}`),
		event(`{"type":"content_block_stop","index":0}`),
		event(`{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}`),
		event(`{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hello world"}}`),
		event(`{"type":"content_block_stop","index":1}`),
		event(`{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_2","name":"weather","input":{}}}`),
		event(`{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}`),
		event(`{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"city\": \"Łó"}}`),
		event(`{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"dź\"}"}}`),
		event(`{"type":"content_block_stop","index":2}`),
		event(`{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":42}}`),
		event(`{"type":"message_stop"}`),
	}
	up, seen := play(t, streams(events)), &tap{}
	client := one(t, "anthropic", up).anthropic(anthropicopt.WithHTTPClient(seen.client()))

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
	if len(sum.Content) != 3 {
		t.Fatalf("content %+v", sum.Content)
	}
	thought, text, tool := sum.Content[0], sum.Content[1], sum.Content[2]
	if thought.Thinking != "The user wants weather." || thought.Signature != "c2lnbmF0dXJl/+==" {
		t.Errorf("thinking %q, signature %q", thought.Thinking, thought.Signature)
	}
	if text.Text != helloWorld || tool.ID != "toolu_2" || string(tool.Input) != `{"city": "Łódź"}` {
		t.Errorf("text %q, tool %s %s", text.Text, tool.ID, tool.Input)
	}
	if sum.StopReason != anthropic.StopReasonToolUse || sum.Usage.InputTokens != 9 || sum.Usage.OutputTokens != 42 {
		t.Errorf("stop %q, usage %d in, %d out", sum.StopReason, sum.Usage.InputTokens, sum.Usage.OutputTokens)
	}
	if got, want := up.only(t).Body, renamed(seen.last(t).Sent); got != want {
		t.Errorf("the upstream got\n%s\nwant\n%s", got, want)
	}
}

// The beta client asks with a query and with a header, which goes on.
func TestMessagesBeta(t *testing.T) {
	t.Parallel()
	up, seen := play(t, says(messagesAnswer)), &tap{}
	client := one(t, "anthropic", up).anthropic(anthropicopt.WithHTTPClient(seen.client()))
	_, err := client.Beta.Messages.New(within(t), anthropic.BetaMessageNewParams{
		Model: "assistant", MaxTokens: 100,
		Messages: []anthropic.BetaMessageParam{anthropic.NewBetaUserMessage(anthropic.NewBetaTextBlock("hello"))},
		Betas:    []anthropic.AnthropicBeta{"context-1m-2025-08-07", "some-beta-2026-01-01"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := up.only(t)
	if want := renamed(seen.last(t).Sent); got.Body != want {
		t.Errorf("the upstream got\n%s\nwant\n%s", got.Body, want)
	}
	if betas, want := got.Header.Get("Anthropic-Beta"), "context-1m-2025-08-07,some-beta-2026-01-01"; betas != want {
		t.Errorf("the upstream got the betas %q, want %q", betas, want)
	}
}

// A stop reason without message_stop is a whole answer; the ending is added.
func TestMessagesStreamWithoutStop(t *testing.T) {
	t.Parallel()
	client := one(t, "anthropic", play(t, streams(messagesStream[:6]))).anthropic()
	stream := client.Messages.NewStreaming(within(t), hi("assistant"))
	last := ""
	for stream.Next() {
		last = stream.Current().Type
	}
	if err := stream.Err(); err != nil || last != "message_stop" {
		t.Errorf("the last event is %q, %v", last, err)
	}
}

func anthropicCredentials(g *gateway) map[string]anthropic.Client {
	return map[string]anthropic.Client{
		"x-api-key": g.anthropic(),
		"bearer":    g.anthropic(anthropicopt.WithHeaderDel("x-api-key"), anthropicopt.WithAuthToken(secret)),
	}
}

func anthropicModels(t *testing.T, c anthropic.Client) (names []string) {
	t.Helper()
	pages := c.Models.ListAutoPaging(within(t), anthropic.ModelListParams{})
	for pages.Next() {
		m := pages.Current()
		if m.DisplayName == "" || m.Type != "model" || m.CreatedAt.IsZero() {
			t.Errorf("the client cannot read %s", m.RawJSON())
		}
		names = append(names, m.ID)
	}
	if err := pages.Err(); err != nil {
		t.Error(err)
	}
	return names
}

func withCancel(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(within(t))
}

// fields reads a JSON object.
func fields(t *testing.T, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return m
}

// TestCountTokens: an upstream that counts is asked; for another one the count is
// our estimate, and says so. Nobody pays for either.
func TestCountTokens(t *testing.T) {
	t.Parallel()
	up, seen := play(t, says(`{"input_tokens":2095}`)), &tap{}
	client := one(t, "anthropic", up).anthropic(anthropicopt.WithHTTPClient(seen.client()))
	ask := anthropic.MessageCountTokensParams{
		Model:    "assistant",
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("how many tokens are these?"))},
	}
	n, err := client.Messages.CountTokens(within(t), ask)
	if err != nil || n.InputTokens != 2095 {
		t.Errorf("%+v, %v", n, err)
	}
	if got := up.only(t); got.Path != "/v1/messages/count_tokens" {
		t.Errorf("asked at %s", got.Path)
	}
	if h := seen.last(t).Header; h.Get("x-headworks-degraded") != "" || h.Get("x-headworks-cost") != "0.000000" {
		t.Errorf("degraded %q, cost %q", h.Get("x-headworks-degraded"), h.Get("x-headworks-cost"))
	}

	silent := play(t, says("{}"))
	client = one(t, "openai", silent).anthropic(anthropicopt.WithHTTPClient(seen.client()))
	n, err = client.Messages.CountTokens(within(t), ask)
	if err != nil || n.InputTokens < 3 || n.InputTokens > 12 {
		t.Errorf("%+v, %v", n, err)
	}
	if got := seen.last(t).Header.Get("x-headworks-degraded"); got != "estimated" {
		t.Errorf("degraded: %q", got)
	}
	silent.mu.Lock()
	defer silent.mu.Unlock()
	if len(silent.got) != 0 {
		t.Errorf("an upstream that cannot count was asked: %+v", silent.got)
	}
}
