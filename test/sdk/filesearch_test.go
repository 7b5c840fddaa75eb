package sdk

import (
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicopt "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaiopt "github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
)

const quoting = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
upstreams: {docs: {kind: local-extract}}
models: {quoting: {targets: [{upstream: docs, model: docs}]}}
keys:
  - {name: one, secret: sk-one-0123456789abcdef, tenant: acme, project: web}
`

// TestFileSearch: the official clients understand an answer that rests on documents: the
// call of file_search and the citations of files, whole and as a stream, those of
// Anthropic's messages, and those of a chat.
func TestFileSearch(t *testing.T) {
	t.Parallel()
	g := serve(t, quoting)
	ctx := within(t)
	client := g.openai(openaiopt.WithAPIKey("sk-one-0123456789abcdef"))
	file, err := client.Files.New(ctx, openai.FileNewParams{
		File: openai.File(strings.NewReader("# Leave\n\nEvery employee has 30 days of annual leave.\n"), "handbook.md", "text/markdown"), Purpose: openai.FilePurposeAssistants,
	})
	if err != nil {
		t.Fatal(err)
	}
	store, err := client.VectorStores.New(ctx, openai.VectorStoreNewParams{Name: openai.String("handbook"), FileIDs: []string{file.ID}})
	if err != nil {
		t.Fatal(err)
	}
	if done, err := client.VectorStores.Files.PollStatus(ctx, store.ID, file.ID, 20); err != nil || done.Status != openai.VectorStoreFileStatusCompleted {
		t.Fatalf("%+v, %v", done, err)
	}
	ask := responses.ResponseNewParams{
		Model: "quoting", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("How many days of annual leave has an employee?")},
		Tools:   []responses.ToolUnionParam{{OfFileSearch: &responses.FileSearchToolParam{VectorStoreIDs: []string{store.ID}}}},
		Include: []responses.ResponseIncludable{responses.ResponseIncludableFileSearchCallResults},
	}
	check := func(t *testing.T, r *responses.Response) {
		t.Helper()
		if len(r.Output) != 2 || r.Output[0].Type != "file_search_call" || r.Output[1].Type != "message" {
			t.Fatalf("output %s", r.RawJSON())
		}
		call := r.Output[0].AsFileSearchCall()
		if call.Status != responses.ResponseFileSearchToolCallStatusCompleted || len(call.Queries) != 1 || len(call.Results) != 1 || call.Results[0].FileID != file.ID {
			t.Errorf("call %s", call.RawJSON())
		}
		text := r.Output[1].AsMessage().Content[0].AsOutputText()
		if !strings.Contains(text.Text, "30 days of annual leave. [1]") || len(text.Annotations) != 1 {
			t.Fatalf("text %s", text.RawJSON())
		}
		a := text.Annotations[0].AsFileCitation()
		if a.FileID != file.ID || a.Filename != "handbook.md" || text.Text[a.Index:a.Index+3] != "[1]" {
			t.Errorf("annotation %s", a.RawJSON())
		}
	}
	t.Run("whole", func(t *testing.T) {
		r, err := client.Responses.New(ctx, ask)
		if err != nil {
			t.Fatal(err)
		}
		check(t, r)
		next := responses.ResponseNewParams{
			Model: "quoting", PreviousResponseID: openai.String(r.ID), Tools: ask.Tools,
			Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("And of annual leave a year, how many days?")},
		}
		if again, err := client.Responses.New(ctx, next); err != nil || !strings.Contains(again.OutputText(), "30 days") {
			t.Errorf("the next turn: %v, %s", err, again.RawJSON())
		}
	})
	t.Run("stream", func(t *testing.T) {
		s := client.Responses.NewStreaming(ctx, ask)
		defer s.Close()
		kinds, annotated, number := map[string]int{}, 0, int64(0)
		for s.Next() {
			e := s.Current()
			if e.SequenceNumber != number {
				t.Errorf("event %d has number %d", number, e.SequenceNumber)
			}
			number++
			kinds[e.Type]++
			if e.Type == "response.output_text.annotation.added" {
				annotated++
			}
			if e.Type == "response.completed" {
				done := e.AsResponseCompleted().Response
				check(t, &done)
			}
		}
		if err := s.Err(); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{"response.file_search_call.in_progress", "response.file_search_call.searching", "response.file_search_call.completed", "response.output_text.annotation.added", "response.completed"} {
			if kinds[kind] != 1 {
				t.Errorf("%d events %s", kinds[kind], kind)
			}
		}
	})
	t.Run("chat", func(t *testing.T) {
		c, err := client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{
			Model: "quoting", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("How many days of annual leave has an employee?")},
		}, openaiopt.WithJSONSet("headworks.knowledge", []string{"handbook"}))
		if err != nil {
			t.Fatal(err)
		}
		m := c.Choices[0].Message
		if len(m.Annotations) != 1 {
			t.Fatalf("%s", m.RawJSON())
		}
		cited := m.Annotations[0].URLCitation
		if m.Content[cited.StartIndex:cited.EndIndex] != "[1]" || cited.URL == "" || cited.Title == "" {
			t.Errorf("%s", m.RawJSON())
		}
	})
	t.Run("messages", func(t *testing.T) {
		messages := g.anthropic(anthropicopt.WithAPIKey("sk-one-0123456789abcdef"))
		s := messages.Messages.NewStreaming(ctx, anthropic.MessageNewParams{
			Model: "quoting", MaxTokens: 500,
			Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("How many days of annual leave has an employee?"))},
		}, anthropicopt.WithJSONSet("headworks.knowledge", []string{"handbook"}))
		defer s.Close()
		var whole anthropic.Message
		cited := 0
		for s.Next() {
			e := s.Current()
			if err := whole.Accumulate(e); err != nil {
				t.Fatal(err)
			}
			if e.Delta.Type == "citations_delta" {
				cited++
				if e.Delta.Citation.CitedText != "Every employee has 30 days of annual leave." {
					t.Errorf("%s", e.RawJSON())
				}
			}
		}
		if err := s.Err(); err != nil {
			t.Fatal(err)
		}
		if cited != 1 || len(whole.Content) != 1 {
			t.Errorf("%d citations: %s", cited, whole.RawJSON())
		}
	})
}
