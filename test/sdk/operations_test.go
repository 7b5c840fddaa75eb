package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	openaiopt "github.com/openai/openai-go/v3/option"
)

// What an upstream of OpenAI's completions says, as a stream and whole.
var completionStream = []string{
	completion("", "null"), completion("Hello", "null"), completion(" world", "null"), completion("", `"stop"`),
	completionEvent(`"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}`),
	"data: [DONE]\n\n",
}

const (
	completionAnswer = `{"id":"cmpl-up","object":"text_completion","created":1790000000,"model":"engine-1",` +
		`"choices":[{"text":"Hello world","index":0,"logprobs":null,"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11},"vendor_extra":{"a":[1,2.50]}}`
	vectorsAnswer = `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.25,-1e-05]},{"object":"embedding","index":1,"embedding":[1,0]}],` +
		`"model":"engine-1","usage":{"prompt_tokens":9,"total_tokens":9},"vendor_extra":{"a":[1,2.50]}}`
	oneVectorAnswer = `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.25,-1e-05]}],"model":"engine-1","usage":{"prompt_tokens":9,"total_tokens":9}}`
)

func completionEvent(rest string) string {
	return `data: {"id":"cmpl-up","object":"text_completion","created":1790000000,"model":"engine-1",` + rest + "}\n\n"
}

func completion(text, finish string) string {
	return completionEvent(fmt.Sprintf(`"choices":[{"text":%q,"index":0,"logprobs":null,"finish_reason":%s}]`, text, finish))
}

func complete(model string) openai.CompletionNewParams {
	return openai.CompletionNewParams{Model: openai.CompletionNewParamsModel(model), Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("hello")}}
}

func askCompletions(ctx context.Context, g *gateway, model string, stream bool, tap *tap) (h heard) {
	client := g.openai(openaiopt.WithMaxRetries(2), openaiopt.WithHTTPClient(tap.client()))
	if stream {
		s := client.Completions.NewStreaming(ctx, complete(model))
		defer s.Close()
		for s.Next() {
			for _, c := range s.Current().Choices {
				h.text += c.Text
				h.ended = h.ended || c.FinishReason != ""
			}
		}
		h.err = s.Err()
	} else {
		answer, err := client.Completions.New(ctx, complete(model))
		if h.err = err; err == nil {
			h.text, h.ended = answer.Choices[0].Text, true
		}
	}
	h.openai()
	return h
}

// A completion passes byte for byte to an upstream that serves completions, with all
// that only they have.
func TestCompletions(t *testing.T) {
	t.Parallel()
	up, seen := play(t, says(completionAnswer), streams(completionStream)), &tap{}
	client := one(t, "vllm", up).openai(openaiopt.WithHTTPClient(seen.client()))
	p := complete("assistant")
	p.Prompt = openai.CompletionNewParamsPromptUnion{OfArrayOfTokenArrays: [][]int64{{1, 2, 3}}}
	p.Suffix, p.Echo, p.BestOf, p.Logprobs = openai.String("end"), openai.Bool(true), openai.Int(2), openai.Int(5)
	p.SetExtraFields(map[string]any{"min_p": 0.05})
	answer, err := client.Completions.New(within(t), p)
	if err != nil {
		t.Fatal(err)
	}
	if answer.RawJSON() != completionAnswer || answer.Choices[0].Text != helloWorld {
		t.Errorf("the client got %s", answer.RawJSON())
	}
	if got, want := up.only(t), renamed(seen.last(t).Sent); got.Body != want || got.Path != "/v1/completions" {
		t.Errorf("the upstream got %s\n%s\nwant\n%s", got.Path, got.Body, want)
	}
	if cost := seen.last(t).Header.Get("x-headworks-cost"); cost != "0.000015" {
		t.Errorf("it cost %q", cost)
	}

	stream := client.Completions.NewStreaming(within(t), complete("assistant"))
	text := ""
	for stream.Next() {
		for _, c := range stream.Current().Choices {
			text += c.Text
		}
		if stream.Current().Usage.TotalTokens > 0 {
			t.Error("usage that nobody asked for")
		}
	}
	if err := stream.Err(); err != nil || text != helloWorld {
		t.Errorf("got %q, %v", text, err)
	}
}

// A completion is put to an upstream that only chats, and what has no place there is
// refused before anything is sent, or goes to a target where it has one.
func TestCompletionsOnMessages(t *testing.T) {
	t.Parallel()
	up, native, seen := play(t, says(messagesAnswer), streams(messagesStream), says(messagesAnswer)), play(t, says(completionAnswer)), &tap{}
	g := serve(t, `
upstreams:
  chats: {kind: anthropic, key: `+lent+`, urls: ["`+up.url+`"]}
  completes: {kind: vllm, urls: ["`+native.url+`"]}
models:
  assistant: {targets: [{upstream: chats, model: engine-1}]}
  both: {targets: [{upstream: chats, model: engine-1}, {upstream: completes, model: engine-1}]}`)
	client := g.openai(openaiopt.WithHTTPClient(seen.client()))
	p := complete("assistant")
	p.MaxTokens, p.Logprobs = openai.Int(9), openai.Int(1)
	answer, err := client.Completions.New(within(t), p)
	if err != nil || answer.Choices[0].Text != helloWorld || answer.Choices[0].FinishReason != "stop" || answer.Usage.TotalTokens != 11 {
		t.Fatalf("%v: got %+v", err, answer)
	}
	dropped(t, seen.last(t), "logprobs")
	equal(t, up.only(t).Body, map[string]any{
		"model": "engine-1", "max_tokens": 9.0,
		"messages": []any{map[string]any{"role": "user", "content": "hello"}},
	})
	stream := client.Completions.NewStreaming(within(t), complete("assistant"))
	text, finish := "", openai.CompletionChoiceFinishReason("")
	for stream.Next() {
		for _, c := range stream.Current().Choices {
			text, finish = text+c.Text, c.FinishReason
		}
	}
	if err := stream.Err(); err != nil || text != helloWorld || finish != "stop" {
		t.Errorf("got %q, finish %q, %v", text, finish, err)
	}

	before := len(up.all())
	p.Suffix = openai.String("end")
	_, err = client.Completions.New(within(t), p)
	if e, ok := errors.AsType[*openai.Error](err); !ok || e.StatusCode != 400 || e.Code != "unsupported_parameter" || e.Param != "suffix" {
		t.Errorf("got %v", err)
	}
	p.Model = "both"
	answer, err = client.Completions.New(within(t), p)
	if err != nil || answer.RawJSON() != completionAnswer {
		t.Errorf("%v: got %+v", err, answer)
	}
	if n := len(up.all()); n != before {
		t.Errorf("%d requests went where suffix has no place", n-before)
	}
}

// Embeddings pass byte for byte. An answer that lacks a vector is none, and the next
// target answers.
func TestEmbeddings(t *testing.T) {
	t.Parallel()
	up, short := play(t, says(vectorsAnswer)), play(t, says(oneVectorAnswer))
	g := serve(t, `
upstreams:
  good: {kind: openai, key: `+lent+`, urls: ["`+up.url+`"]}
  short: {kind: vllm, urls: ["`+short.url+`"]}
  chats: {kind: simulated}
models:
  assistant: {targets: [{upstream: good, model: engine-1, price: {input: 1, output: 3}}]}
  both: {targets: [{upstream: short, model: engine-1}, {upstream: good, model: engine-1}]}
  short: {targets: [{upstream: short, model: engine-1}]}
  chats: {targets: [{upstream: chats, model: any}]}`)
	seen := &tap{}
	client := g.openai(openaiopt.WithHTTPClient(seen.client()))
	ask := func(model string) (*openai.CreateEmbeddingResponse, error) {
		return client.Embeddings.New(within(t), openai.EmbeddingNewParams{
			Model: model, Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a", "caf\u00e9"}}, User: openai.String("u"),
		})
	}
	answer, err := ask("assistant")
	if err != nil || answer.RawJSON() != vectorsAnswer || len(answer.Data) != 2 || answer.Data[0].Embedding[1] != -1e-05 {
		t.Fatalf("%v: the client got %+v", err, answer)
	}
	if got, want := up.only(t), renamed(seen.last(t).Sent); got.Body != want || got.Path != "/v1/embeddings" {
		t.Errorf("the upstream got %s\n%s\nwant\n%s", got.Path, got.Body, want)
	}
	if cost := seen.last(t).Header.Get("x-headworks-cost"); cost != "0.000009" {
		t.Errorf("it cost %q", cost)
	}
	if answer, err = ask("both"); err != nil || len(answer.Data) != 2 {
		t.Errorf("%v: the client got %+v", err, answer)
	}
	if got := seen.last(t).Header.Get("x-headworks-attempts"); got != "2" && got != "3" { // a target has its tries
		t.Errorf("%s attempts", got)
	}
	for model, want := range map[string]int{"short": 502, "chats": 400} {
		_, err = ask(model)
		if e, ok := errors.AsType[*openai.Error](err); !ok || e.StatusCode != want {
			t.Errorf("%s: got %v, want status %d", model, err, want)
		}
	}
}

// local-embed answers the official client, in both codings alike, and says what it is.
func TestLocalEmbed(t *testing.T) {
	t.Parallel()
	g := serve(t, `
upstreams: {lexical: {kind: local-embed}}
models: {search/any: {targets: [{upstream: lexical, model: any}]}}`)
	seen := &tap{}
	client := g.openai(openaiopt.WithHTTPClient(seen.client()))
	answer, err := client.Embeddings.New(within(t), openai.EmbeddingNewParams{
		Model: "search/any", Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"revoke an API key", "Revoking API keys", "the weather in Paris"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	dot := func(a, b int) (sum float64) {
		for i, x := range answer.Data[a].Embedding {
			sum += x * answer.Data[b].Embedding[i]
		}
		return sum
	}
	if len(answer.Data[0].Embedding) != 384 || math.Abs(dot(0, 0)-1) > 1e-5 || dot(0, 1) < dot(0, 2)+0.2 {
		t.Errorf("%d dimensions, near %.2f, far %.2f", len(answer.Data[0].Embedding), dot(0, 1), dot(0, 2))
	}
	if h := seen.last(t).Header; h.Get("x-headworks-lexical") != "true" || answer.Model != "local-embed-lexical-1" {
		t.Errorf("model %q, headers %v", answer.Model, h)
	}
	model, err := client.Models.Get(within(t), "search/any")
	if err != nil || model.ID != "search/any" {
		t.Errorf("%v: got %+v", err, model)
	}
	_, err = client.Models.Get(within(t), "other")
	if e, ok := errors.AsType[*openai.Error](err); !ok || e.StatusCode != http.StatusNotFound || e.Code != "model_not_found" {
		t.Errorf("got %v", err)
	}
	var ranks struct {
		Results []struct {
			Index int
		}
	}
	body := map[string]any{"model": "search/any", "query": "weather", "documents": []string{"keys", "the weather in Paris"}, "top_n": 1}
	var raw json.RawMessage
	if err := client.Post(within(t), "rerank", body, &raw); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &ranks); err != nil || len(ranks.Results) != 1 || ranks.Results[0].Index != 1 {
		t.Errorf("%v: got %s", err, raw)
	}
	if !strings.Contains(string(raw), `"relevance_score"`) {
		t.Errorf("got %s", raw)
	}
}

// The client for Node asks for base64 by itself, and has the numbers in the end.
func TestNodeOperations(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	up := play(t, streams(completionStream))
	g := serve(t, `
upstreams:
  lexical: {kind: local-embed}
  lab: {kind: openai, key: `+lent+`, urls: ["`+up.url+`"]}
models:
  vectors: {targets: [{upstream: lexical, model: any}]}
  assistant: {targets: [{upstream: lab, model: engine-1}]}`)
	saw := n.must(t, g, question{Client: "openai", How: "embeddings", Body: map[string]any{"model": "vectors", "input": []string{"hello", "world"}, "dimensions": 8}})
	var said struct {
		Data []struct{ Embedding []float64 }
	}
	if err := json.Unmarshal(saw.Answer, &said); err != nil || len(said.Data) != 2 || len(said.Data[1].Embedding) != 8 {
		t.Errorf("%v: the client got %s", err, saw.Answer)
	}
	saw = n.must(t, g, question{Client: "openai", How: "completions", Body: map[string]any{"model": "assistant", "prompt": "hello"}})
	if saw.Text != helloWorld || !saw.Finished {
		t.Errorf("the client got %+v", saw)
	}
}
