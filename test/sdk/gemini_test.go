package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicopt "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaiopt "github.com/openai/openai-go/v3/option"
	"google.golang.org/genai"
)

// What Gemini's upstreams say, as a stream and whole.
var geminiStream = []string{
	candidate(`{"text":""}`, ""),
	candidate(`{"text":"Hello"}`, ""),
	candidate(`{"text":" world"}`, ""),
	candidate(`{"text":""}`, `,"finishReason":"STOP"`),
}

const geminiAnswer = `{"candidates":[{"content":{"parts":[{"text":"Hello world","thoughtSignature":"c2lnbmF0dXJl"}],"role":"model"},"finishReason":"STOP","index":0}],` +
	`"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":2,"totalTokenCount":11},"modelVersion":"engine-1","responseId":"resp-up","vendorExtra":{"a":[1,2.50]}}`

// candidate is an event of Gemini's dialect.
func candidate(part, finish string) string {
	return `data: {"candidates":[{"content":{"parts":[` + part + `],"role":"model"}` + finish + `,"index":0}],` +
		`"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":2,"totalTokenCount":11},"modelVersion":"engine-1","responseId":"resp-up"}` + "\n\n"
}

// gemini returns the official client, which makes no tries of its own.
func (g *gateway) gemini(t *testing.T, through *tap) *genai.Client {
	t.Helper()
	c, err := g.newGemini(context.Background(), through)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (g *gateway) newGemini(ctx context.Context, through *tap) (*genai.Client, error) {
	config := &genai.ClientConfig{APIKey: secret, Backend: genai.BackendGeminiAPI, HTTPOptions: genai.HTTPOptions{BaseURL: g.url}}
	if through != nil {
		config.HTTPClient = through.client()
	}
	return genai.NewClient(ctx, config)
}

// geminiError takes an error of Gemini's client apart: the reason among its details,
// its status in HTTP, 0 if it came in a stream, and its word.
func geminiError(err error, through *tap) (code string, status int, word string) {
	e, ok := errors.AsType[genai.APIError](err)
	if !ok {
		return "", 0, ""
	}
	for _, d := range e.Details {
		if reason, ok := d["reason"].(string); ok {
			code = strings.ToLower(reason)
		}
	}
	all := through.all()
	if len(all) > 0 && all[len(all)-1].Status != http.StatusOK {
		status = e.Code
	}
	return code, status, e.Status
}

// generate reads a stream with Gemini's client.
func generate(ctx context.Context, g *gateway, model string) (s seenStream) {
	through := &tap{}
	client, err := g.newGemini(ctx, through)
	if err != nil {
		return seenStream{Err: err}
	}
	for r, err := range client.Models.GenerateContentStream(ctx, model, genai.Text("hello"), nil) {
		if err != nil {
			s.Err = err
			break
		}
		s.Text += r.Text()
		s.Finished = s.Finished || r.Candidates[0].FinishReason != ""
	}
	s.Attempts = len(through.all())
	s.Code, s.Status, _ = geminiError(s.Err, through)
	return s
}

func askGemini(ctx context.Context, g *gateway, model string, stream bool, through *tap) (h heard) {
	client, err := g.newGemini(ctx, through)
	if err != nil {
		return heard{err: err}
	}
	if stream {
		for r, err := range client.Models.GenerateContentStream(ctx, model, genai.Text("hello"), nil) {
			if err != nil {
				h.err = err
				break
			}
			h.text += r.Text()
			h.ended = h.ended || r.Candidates[0].FinishReason != ""
		}
	} else {
		r, err := client.Models.GenerateContent(ctx, model, genai.Text("hello"), nil)
		if h.err = err; err == nil {
			h.text, h.ended = r.Text(), true
		}
	}
	h.code, h.status, h.kind = geminiError(h.err, through)
	return h
}

func geminiWords(w words, status int) (string, int) { return w.Gemini, status }

// allOfGemini is a request with all that has to get through.
func allOfGemini() ([]*genai.Content, *genai.GenerateContentConfig) {
	contents := []*genai.Content{
		{Role: "user", Parts: []*genai.Part{{Text: "What is the weather in Łódź? \u2028 <tag> & 😀"}, {InlineData: &genai.Blob{MIMEType: "image/png", Data: []byte("png")}}}},
		{Role: "model", Parts: []*genai.Part{
			{Text: "The user wants weather.", Thought: true},
			{FunctionCall: &genai.FunctionCall{Name: "weather", Args: map[string]any{"city": "Łódź"}}, ThoughtSignature: []byte("signature/+==")},
			{FunctionCall: &genai.FunctionCall{Name: "weather", Args: map[string]any{"city": "Oslo"}}},
		}},
		{Role: "user", Parts: []*genai.Part{
			genai.NewPartFromFunctionResponse("weather", map[string]any{"output": "21.50 C"}),
			genai.NewPartFromFunctionResponse("weather", map[string]any{"error": "no such place"}),
		}},
	}
	return contents, &genai.GenerateContentConfig{
		SystemInstruction: genai.NewContentFromText("Be brief.", genai.RoleUser),
		Temperature:       genai.Ptr[float32](0.5), TopP: genai.Ptr[float32](0.25), MaxOutputTokens: 100, StopSequences: []string{"END"}, Seed: genai.Ptr[int32](7),
		Tools: []*genai.Tool{{FunctionDeclarations: []*genai.FunctionDeclaration{{
			Name: "weather", Description: "now",
			Parameters: &genai.Schema{
				Type: genai.TypeObject, Required: []string{"city"},
				Properties: map[string]*genai.Schema{"city": {Type: genai.TypeString, Nullable: genai.Ptr(true)}, "days": {Type: genai.TypeArray, Items: &genai.Schema{Type: genai.TypeInteger}, MinItems: genai.Ptr[int64](1)}},
			},
		}}}},
		ToolConfig:       &genai.ToolConfig{FunctionCallingConfig: &genai.FunctionCallingConfig{Mode: genai.FunctionCallingConfigModeAny, AllowedFunctionNames: []string{"weather"}}},
		ResponseMIMEType: "application/json",
		ResponseSchema:   &genai.Schema{Type: genai.TypeObject, Properties: map[string]*genai.Schema{"c": {Type: genai.TypeNumber}}},
		SafetySettings:   []*genai.SafetySetting{{Category: genai.HarmCategoryHarassment, Threshold: genai.HarmBlockThresholdBlockNone}},
	}
}

// Gemini's client before Gemini: bytes pass, signatures among them.
func TestGenerate(t *testing.T) {
	t.Parallel()
	up, seen := play(t, says(geminiAnswer), streams(geminiStream)), &tap{}
	client := one(t, "gemini", up).gemini(t, seen)
	contents, config := allOfGemini()

	whole, err := client.Models.GenerateContent(within(t), "assistant", contents, config)
	if err != nil {
		t.Fatal(err)
	}
	if whole.Text() != helloWorld || string(whole.Candidates[0].Content.Parts[0].ThoughtSignature) != "signature" || whole.UsageMetadata.TotalTokenCount != 11 || whole.ResponseID != "resp-up" {
		t.Errorf("the client got %+v", whole)
	}
	text, finish := "", genai.FinishReason("")
	for r, err := range client.Models.GenerateContentStream(within(t), "assistant", contents, config) {
		if err != nil {
			t.Fatal(err)
		}
		text, finish = text+r.Text(), r.Candidates[0].FinishReason
	}
	if text != helloWorld || finish != genai.FinishReasonStop {
		t.Errorf("the stream said %q, %q", text, finish)
	}
	asked, sent := up.all(), seen.all()
	for i, path := range []string{"/v1beta/models/engine-1:generateContent", "/v1beta/models/engine-1:streamGenerateContent"} {
		if asked[i].Path != path || asked[i].Body != sent[i].Sent {
			t.Errorf("the upstream got at %s\n%s\nwant at %s\n%s", asked[i].Path, asked[i].Body, path, sent[i].Sent)
		}
		if k := asked[i].Header.Get("x-goog-api-key"); k != lent || asked[i].Header.Get("Authorization") != "" {
			t.Errorf("the upstream got the key %q", k)
		}
		if d := sent[i].Header.Get("x-headworks-dropped"); d != "" {
			t.Errorf("dropped %s", d)
		}
	}
}

// Gemini's client before an upstream of OpenAI's dialect: two calls of one tool,
// with results that are matched by their order.
func TestGenerateOnChat(t *testing.T) {
	t.Parallel()
	up, seen := play(t, says(chatTools), streams(chatToolsStream)), &tap{}
	client := one(t, "openai", up).gemini(t, seen)
	contents, config := allOfGemini()

	whole, err := client.Models.GenerateContent(within(t), "assistant", contents, config)
	if err != nil {
		t.Fatal(err)
	}
	readsFunctions(t, "whole", whole.Text(), whole.FunctionCalls(), whole.UsageMetadata)
	text := ""
	var calls []*genai.FunctionCall
	var usage *genai.GenerateContentResponseUsageMetadata
	for r, err := range client.Models.GenerateContentStream(within(t), "assistant", contents, config) {
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Candidates[0].Content.Parts {
			text += p.Text
		}
		calls, usage = append(calls, r.FunctionCalls()...), r.UsageMetadata
	}
	readsFunctions(t, "stream", text, calls, usage)

	want := fields(t, `{
		"model": "engine-1", "max_tokens": 100, "stop": ["END"], "temperature": 0.5, "top_p": 0.25, "seed": 7,
		"tool_choice": {"type": "function", "function": {"name": "weather"}},
		"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object", "properties": {"c": {"type": "number"}}}}},
		"messages": [
			{"role": "system", "content": "Be brief."},
			{"role": "user", "content": [
				{"type": "text", "text": "What is the weather in Łódź? \u2028 <tag> & 😀"},
				{"type": "image_url", "image_url": {"url": "data:image/png;base64,cG5n"}}]},
			{"role": "assistant", "content": null, "reasoning_content": "The user wants weather.", "tool_calls": [
				{"id": "gemini_call_0", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Łódź\"}"}},
				{"id": "gemini_call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Oslo\"}"}}]},
			{"role": "tool", "tool_call_id": "gemini_call_0", "content": "21.50 C"},
			{"role": "tool", "tool_call_id": "gemini_call_1", "content": "no such place"}],
		"tools": [{"type": "function", "function": {"name": "weather", "description": "now",
			"parameters": {"type": "object", "required": ["city"],
				"properties": {"city": {"type": ["string", "null"]}, "days": {"type": "array", "items": {"type": "integer"}, "minItems": 1}}}}}]}`)
	asked := up.all()
	equal(t, asked[0].Body, want)
	want["stream"], want["stream_options"] = true, map[string]any{"include_usage": true}
	equal(t, asked[1].Body, want)
	for _, a := range seen.all() {
		dropped(t, a, "content.is_error", "parts.thoughtSignature", "safetySettings")
	}
}

func readsFunctions(t *testing.T, how, text string, calls []*genai.FunctionCall, u *genai.GenerateContentResponseUsageMetadata) {
	t.Helper()
	if text != "Looking." || len(calls) != 2 {
		t.Fatalf("%s: %q with %d calls", how, text, len(calls))
	}
	if calls[0].ID != "call_1" || calls[0].Name != "weather" || calls[0].Args["city"] != "Oslo" || calls[1].ID != "call_2" || calls[1].Args["city"] != "Łódź" {
		t.Errorf("%s: %+v, %+v", how, calls[0], calls[1])
	}
	if u == nil || u.PromptTokenCount != 19 || u.CandidatesTokenCount != 7 || u.CachedContentTokenCount != 9 {
		t.Errorf("%s: usage %+v", how, u)
	}
}

// A conversation of Gemini's client with Claude: a thought and its signature come
// back to its maker whole, though the client keeps the answer in pieces.
func TestGenerateOnMessages(t *testing.T) {
	t.Parallel()
	up, seen := play(t, streams(messagesToolsStream), says(messagesAnswer)), &tap{}
	client := one(t, "anthropic", up).gemini(t, seen)
	contents := genai.Text("the weather?")
	for r, err := range client.Models.GenerateContentStream(within(t), "assistant", contents, nil) {
		if err != nil {
			t.Fatal(err)
		}
		contents = append(contents, r.Candidates[0].Content)
	}
	contents = append(contents, &genai.Content{Role: "user", Parts: []*genai.Part{
		genai.NewPartFromFunctionResponse("weather", map[string]any{"output": "1 C"}),
		genai.NewPartFromFunctionResponse("weather", map[string]any{"output": "2 C"}),
	}})
	r, err := client.Models.GenerateContent(within(t), "assistant", contents, nil)
	if err != nil || r.Text() != helloWorld {
		t.Fatalf("%+v, %v", r, err)
	}
	equal(t, up.all()[1].Body, fields(t, `{"model": "engine-1", "max_tokens": 4096, "messages": [
		{"role": "user", "content": "the weather?"},
		{"role": "assistant", "content": [
			{"type": "thinking", "thinking": "Two cities.", "signature": "c2ln"}, {"type": "text", "text": "Looking."},
			{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}},
			{"type": "tool_use", "id": "toolu_2", "name": "weather", "input": {"city": "Łódź"}}]},
		{"role": "user", "content": [
			{"type": "tool_result", "tool_use_id": "toolu_1", "content": "1 C"}, {"type": "tool_result", "tool_use_id": "toolu_2", "content": "2 C"}]}]}`))
}

const geminiTools = `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"weather","args":{"city":"Oslo"}},"thoughtSignature":"c2lnbmF0dXJl"}],"role":"model"},"finishReason":"STOP","index":0}],` +
	`"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":2,"totalTokenCount":16,"thoughtsTokenCount":5},"modelVersion":"gemini-3-pro","responseId":"resp-up"}`

// OpenAI's and Anthropic's clients before Gemini 3: the signature of a call finds
// its way back, whole and as a stream.
func TestSignaturesComeBack(t *testing.T) {
	t.Parallel()
	signed := func(t *testing.T, up *upstream, want string) {
		t.Helper()
		all := up.all()
		if got := all[len(all)-1].Body; !strings.Contains(got, want) {
			t.Errorf("the upstream got %s, without %s", got, want)
		}
	}
	stream := []string{strings.Replace("data: "+geminiTools+"\n\n", `"finishReason":"STOP",`, "", 1), candidate(`{"text":""}`, `,"finishReason":"STOP"`)}
	call := func(id string) string {
		return `{"functionCall":{"id":"` + id + `","name":"weather","args":{"city":"Oslo"}},"thoughtSignature":"c2lnbmF0dXJl"}`
	}
	ask := openai.ChatCompletionNewParams{Model: "assistant", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("the weather?")}}
	t.Run("chat", func(t *testing.T) {
		up := play(t, says(geminiTools))
		client := three(t, up).openai()
		answer, err := client.Chat.Completions.New(within(t), ask)
		if err != nil {
			t.Fatal(err)
		}
		m := answer.Choices[0].Message
		if len(m.ToolCalls) != 1 || m.ToolCalls[0].ID != "call_resp-up_0" || answer.Choices[0].FinishReason != "tool_calls" || answer.Usage.CompletionTokensDetails.ReasoningTokens != 5 {
			t.Fatalf("%s", answer.RawJSON())
		}
		next := ask
		next.Messages = append(next.Messages, m.ToParam(), openai.ToolMessage("1 C", m.ToolCalls[0].ID))
		var body map[string]any
		raw, err := json.Marshal(next)
		if err != nil || json.Unmarshal(raw, &body) != nil {
			t.Fatal(err)
		}
		// What openai-go keeps of the message are its known fields: the word of Google's.
		if _, err := client.Chat.Completions.New(within(t), next); err != nil {
			t.Fatal(err)
		}
		signed(t, up, `"thoughtSignature":"skip_thought_signature_validator"`)
		// A client that sends the message back as it came: the signature.
		again := fmt.Sprintf(`{"model":"assistant","messages":[{"role":"user","content":"the weather?"},%s,{"role":"tool","tool_call_id":"call_resp-up_0","content":"1 C"}]}`, m.RawJSON())
		if res := post(t, client, again); res != http.StatusOK {
			t.Fatalf("status %d", res)
		}
		signed(t, up, call("call_resp-up_0"))
		signed(t, up, `{"functionResponse":{"id":"call_resp-up_0","name":"weather","response":{"output":"1 C"}}}`)
	})
	for name, script := range map[string]answer{"messages": says(geminiTools), "messages stream": streams(stream)} {
		t.Run(name, func(t *testing.T) {
			up := play(t, script, says(geminiAnswer))
			client := three(t, up).anthropic(anthropicopt.WithMaxRetries(0))
			p := hi("assistant")
			var m anthropic.Message
			if name == "messages" {
				answer, err := client.Messages.New(within(t), p)
				if err != nil {
					t.Fatal(err)
				}
				m = *answer
			} else {
				s := client.Messages.NewStreaming(within(t), p)
				for s.Next() {
					if err := m.Accumulate(s.Current()); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.Err(); err != nil {
					t.Fatal(err)
				}
			}
			if m.StopReason != "tool_use" || len(m.Content) != 2 || m.Content[1].ID != "call_resp-up_0" {
				t.Fatalf("%+v", m.Content)
			}
			p.Messages = append(p.Messages, m.ToParam(), anthropic.NewUserMessage(anthropic.NewToolResultBlock("call_resp-up_0", "1 C", false)))
			if _, err := client.Messages.New(within(t), p); err != nil {
				t.Fatal(err)
			}
			signed(t, up, call("call_resp-up_0"))
		})
	}
}

// three is a gateway whose model is one of Gemini 3.
func three(t *testing.T, up *upstream) *gateway {
	t.Helper()
	return serve(t, fmt.Sprintf("upstreams:\n  up: {kind: gemini, key: %s, urls: [%q]}\nmodels:\n  assistant: {targets: [{upstream: up, model: gemini-3-pro}]}", lent, up.url))
}

func post(t *testing.T, c openai.Client, body string) int {
	t.Helper()
	var res *http.Response
	if err := c.Post(within(t), "chat/completions", json.RawMessage(body), &res); err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// The rest of what Google's client asks: tokens, models, chats.
func TestGeminiElse(t *testing.T) {
	t.Parallel()
	up, seen := play(t, says(`{"totalTokens":31,"promptTokensDetails":[{"modality":"TEXT","tokenCount":31}]}`)), &tap{}
	g := one(t, "gemini", up)
	client := g.gemini(t, seen)
	n, err := client.Models.CountTokens(within(t), "assistant", genai.Text("how many tokens are these?"), nil)
	if err != nil || n.TotalTokens != 31 {
		t.Errorf("%+v, %v", n, err)
	}
	if got := up.only(t); got.Path != "/v1beta/models/engine-1:countTokens" {
		t.Errorf("asked at %s", got.Path)
	}
	var names []string
	for m, err := range client.Models.All(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, m.Name)
	}
	m, err := client.Models.Get(within(t), "assistant", nil)
	if err != nil || m.Name != "models/assistant" || len(names) != 1 || names[0] != m.Name {
		t.Errorf("models %q, %+v, %v", names, m, err)
	}
	_, err = client.Models.GenerateContent(within(t), "nothing", genai.Text("x"), nil)
	if e, ok := errors.AsType[genai.APIError](err); !ok || e.Code != 404 || e.Status != "NOT_FOUND" {
		t.Errorf("a model that is not there: %v", err)
	}

	silent := play(t, says(chatAnswer), streams(chatStream), says(chatAnswer))
	client = one(t, "openai", silent).gemini(t, seen)
	n, err = client.Models.CountTokens(within(t), "assistant", genai.Text("how many tokens are these?"), nil)
	if err != nil || n.TotalTokens < 3 || n.TotalTokens > 12 || seen.last(t).Header.Get("x-headworks-degraded") != "estimated" {
		t.Errorf("%+v, %v, %v", n, err, seen.last(t).Header)
	}
	chat, err := client.Chats.Create(within(t), "assistant", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := chat.SendMessage(within(t), genai.Part{Text: "one"}); err != nil || r.Text() != helloWorld {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, err := range chat.SendMessageStream(within(t), genai.Part{Text: "two"}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if r, err := chat.SendMessage(within(t), genai.Part{Text: "three"}); err != nil || r.Text() != helloWorld {
		t.Fatalf("%+v, %v", r, err)
	}
	if last := silent.all()[2]; strings.Count(last.Body, `"role":"assistant"`) != 2 || !strings.Contains(last.Body, `"content":"two"`) {
		t.Errorf("the client kept no turn of the stream: %s", last.Body)
	}
}

// A stream as an array, and keys in the query, of which nothing is in the log.
func TestGeminiByHand(t *testing.T) {
	t.Parallel()
	cutStream := func(n int) answer { return streams(geminiStream[:n], ends) }
	up := play(t, streams(geminiStream), cutStream(2), streams(geminiStream), streams(geminiStream), refuses(503, "{}"))
	g := one(t, "gemini", up)
	ask := func(path string, header ...string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(within(t), http.MethodPost, g.url+path, strings.NewReader(`{"contents":{"parts":{"text":"hello"}}}`))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	type response struct {
		Candidates []struct {
			Content      struct{ Parts []struct{ Text string } }
			FinishReason string
		}
		Error *struct {
			Code   int
			Status string
		}
	}
	array := func(body string) (all []response) {
		t.Helper()
		if err := json.Unmarshal([]byte(body), &all); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		return all
	}
	_, body := ask("/v1beta/models/lab%2Fengine-1:streamGenerateContent?key=" + secret)
	if all := array(body); len(all) != 4 || all[3].Candidates[0].FinishReason != "STOP" || all[1].Candidates[0].Content.Parts[0].Text != "Hello" {
		t.Errorf("the array is %s", body)
	}
	_, body = ask("/gemini/v1beta/models/lab/engine-1:streamGenerateContent", "Authorization", "Bearer "+secret)
	if all := array(body); len(all) != 3 || all[2].Error == nil || all[2].Error.Code != 502 || all[2].Error.Status != "INTERNAL" {
		t.Errorf("the array of a cut stream is %s", body)
	}
	_, body = ask("/v1beta/lab/engine-1:streamGenerateContent?alt=sse", "x-goog-api-key", secret) // as the AI SDK asks
	if body != strings.Join(geminiStream, "") {
		t.Errorf("the stream is %q", body)
	}
	_, body = ask("/v1/models/assistant:streamGenerateContent?alt=sse", "x-goog-api-key", secret)
	if body != strings.Join(geminiStream, "") {
		t.Errorf("the stream is %q", body)
	}
	if status, body := ask("/v1beta/models/assistant:generateContent?key=sk-of-nobody-0123456789"); status != 401 || !strings.Contains(body, `"UNAUTHENTICATED"`) {
		t.Errorf("status %d, %s", status, body)
	}
	if status, body := ask("/v1beta/models/assistant:embedContent?key=" + secret); status != 404 || !strings.Contains(body, "/v1/embeddings") {
		t.Errorf("status %d, %s", status, body)
	}
	if log := g.log.String(); strings.Contains(log, secret) || strings.Contains(log, "sk-of-nobody") {
		t.Errorf("a key is in the log:\n%s", log)
	}
}

// OpenAI's client before Gemini: what it asks for and what it reads, whole and as a
// stream, several choices and a schema among it.
func TestChatOnGenerate(t *testing.T) {
	t.Parallel()
	up, seen := play(t, says(geminiAnswer), streams(geminiStream)), &tap{}
	client := one(t, "gemini", up).openai(openaiopt.WithHTTPClient(seen.client()))
	ask := allOfChat()
	ask.N = openai.Int(3)
	answer, err := client.Chat.Completions.New(within(t), ask)
	if err != nil {
		t.Fatal(err)
	}
	if c := answer.Choices; len(c) != 1 || c[0].Message.Content != helloWorld || c[0].FinishReason != "stop" || answer.Usage.TotalTokens != 11 {
		t.Errorf("the client got %s", answer.RawJSON())
	}
	stream := client.Chat.Completions.NewStreaming(within(t), ask)
	text, finish := "", ""
	for stream.Next() {
		for _, c := range stream.Current().Choices {
			text, finish = text+c.Delta.Content, finish+c.FinishReason
		}
	}
	if err := stream.Err(); err != nil || text != helloWorld || finish != "stop" {
		t.Errorf("the stream said %q, %q, %v", text, finish, err)
	}
	for i, a := range seen.all() {
		dropped(t, a, "n")
		equal(t, up.all()[i].Body, fields(t, `{
			"systemInstruction": {"parts": [{"text": "Be brief."}]},
			"contents": [
				{"role": "user", "parts": [{"text": "Which city?"}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}, {"fileData": {"fileUri": "https://example.com/a.jpg", "mimeType": "image/jpeg"}}]},
				{"role": "model", "parts": [{"functionCall": {"id": "call_1", "name": "weather", "args": {"city": "Oslo"}}}]},
				{"role": "user", "parts": [{"functionResponse": {"id": "call_1", "name": "weather", "response": {"output": "1 C"}}}]}],
			"tools": [{"functionDeclarations": [{"name": "weather", "parametersJsonSchema": {"type": "object"}}]}],
			"generationConfig": {"maxOutputTokens": 64, "seed": 7, "responseMimeType": "application/json",
				"responseJsonSchema": {"type": "object", "additionalProperties": false}, "thinkingConfig": {"thinkingBudget": 1024}}}`))
	}
}

func allOfChat() openai.ChatCompletionNewParams {
	call := openai.ChatCompletionMessageToolCallUnionParam{OfFunction: &openai.ChatCompletionMessageFunctionToolCallParam{
		ID: "call_1", Function: openai.ChatCompletionMessageFunctionToolCallFunctionParam{Name: "weather", Arguments: `{"city":"Oslo"}`},
	}}
	return openai.ChatCompletionNewParams{
		Model: "assistant", MaxTokens: openai.Int(64), Seed: openai.Int(7), ReasoningEffort: "low",
		Messages: []openai.ChatCompletionMessageParamUnion{
			openai.SystemMessage("Be brief."),
			openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
				openai.TextContentPart("Which city?"),
				openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: "data:image/png;base64,iVBORw0KGgo="}),
				openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: "https://example.com/a.jpg"}),
			}),
			{OfAssistant: &openai.ChatCompletionAssistantMessageParam{ToolCalls: []openai.ChatCompletionMessageToolCallUnionParam{call}}},
			openai.ToolMessage("1 C", "call_1"),
		},
		Tools: []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{
			Name: "weather", Parameters: openai.FunctionParameters{"type": "object"},
		})},
		ResponseFormat: openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &openai.ResponseFormatJSONSchemaParam{
			JSONSchema: openai.ResponseFormatJSONSchemaJSONSchemaParam{Name: "city", Schema: map[string]any{"type": "object", "additionalProperties": false}},
		}},
	}
}
