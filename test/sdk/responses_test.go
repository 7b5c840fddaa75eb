package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	openaiopt "github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
)

// respond reads a stream of the Responses API with OpenAI's client, its own tries on.
func respond(ctx context.Context, g *gateway, model string) (s seenStream) {
	tap := &tap{}
	client := g.openai(openaiopt.WithMaxRetries(2), openaiopt.WithHTTPClient(tap.client()))
	stream := client.Responses.NewStreaming(ctx, asking(model, "hello"))
	defer stream.Close()
	for stream.Next() {
		switch e := stream.Current(); e.Type {
		case "response.output_text.delta":
			s.Text += e.Delta
		case "response.completed", "response.incomplete":
			s.Finished = true
		}
	}
	s.Err, s.Attempts = stream.Err(), len(tap.all())
	s.Code, s.Status = chatError(s.Err)
	return s
}

func asking(model, text string) responses.ResponseNewParams {
	return responses.ResponseNewParams{Model: model, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(text)}}
}

// heardBy returns the messages that an upstream of chats was sent last.
func heardBy(t *testing.T, u *upstream) string {
	t.Helper()
	all := u.all()
	var body struct {
		Messages []struct{ Role, Content string }
	}
	if err := json.Unmarshal([]byte(all[len(all)-1].Body), &body); err != nil {
		t.Fatalf("%v in %s", err, all[len(all)-1].Body)
	}
	var said []string
	for _, m := range body.Messages {
		said = append(said, m.Role+" "+m.Content)
	}
	return strings.Join(said, "; ")
}

// TestResponses: OpenAI's client over an engine that only chats: an answer, kept, read
// again, gone on from whole and in a stream, its input listed, and removed.
func TestResponses(t *testing.T) {
	t.Parallel()
	u := play(t, either(says(chatAnswer), streams(chatStream)))
	g := one(t, "openai", u)
	ctx, client := within(t), g.openai()
	p := asking("assistant", "hello")
	p.Instructions, p.Metadata, p.MaxOutputTokens = openai.String("Be brief."), shared.Metadata{"topic": "greetings"}, openai.Int(50)
	first, err := client.Responses.New(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	if first.OutputText() != helloWorld || first.Status != "completed" || first.Usage.TotalTokens != 11 || first.Model != "assistant" ||
		first.Metadata["topic"] != "greetings" || first.Instructions.OfString != "Be brief." || !strings.HasPrefix(first.ID, "resp_") {
		t.Errorf("got %s", first.RawJSON())
	}
	if got := heardBy(t, u); got != "system Be brief.; user hello" {
		t.Errorf("the engine heard %q", got)
	}

	p = asking("assistant", "and now?")
	p.PreviousResponseID = openai.String(first.ID)
	stream := client.Responses.NewStreaming(ctx, p)
	defer stream.Close()
	var second responses.Response
	text := ""
	for n := 0; stream.Next(); n++ {
		e := stream.Current()
		if e.SequenceNumber != int64(n) {
			t.Errorf("event %d has the number %d", n, e.SequenceNumber)
		}
		switch e.Type {
		case "response.output_text.delta":
			text += e.Delta
		case "response.output_text.done":
			if e.Text != text {
				t.Errorf("the pieces say %q, the whole %q", text, e.Text)
			}
		case "response.completed":
			second = e.Response
			// Whoever has read this can go on at once.
			if _, err := client.Responses.Get(ctx, second.ID, responses.ResponseGetParams{}); err != nil {
				t.Errorf("a completed response is not there: %v", err)
			}
		}
	}
	if err := stream.Err(); err != nil || text != helloWorld || second.OutputText() != helloWorld || second.PreviousResponseID != first.ID {
		t.Errorf("%v, %q, %s", err, text, second.RawJSON())
	}
	if got := heardBy(t, u); got != "user hello; assistant Hello world; user and now?" {
		t.Errorf("the engine heard %q", got)
	}

	again, err := client.Responses.Get(ctx, second.ID, responses.ResponseGetParams{})
	if err != nil || again.RawJSON() != second.RawJSON() {
		t.Errorf("%v, read again as %s", err, again.RawJSON())
	}
	replay := client.Responses.GetStreaming(ctx, second.ID, responses.ResponseGetParams{})
	defer replay.Close()
	told := ""
	for replay.Next() {
		if e := replay.Current(); e.Type == "response.output_text.delta" {
			told += e.Delta
		}
	}
	if replay.Err() != nil || told != helloWorld {
		t.Errorf("told once more: %q, %v", told, replay.Err())
	}
	var items []string
	pages := client.Responses.InputItems.ListAutoPaging(ctx, second.ID, responses.InputItemListParams{Limit: openai.Int(2), Order: "asc"})
	for pages.Next() {
		i := pages.Current()
		items = append(items, string(i.Role)+" "+spokenBy(i))
	}
	if want := "user hello; assistant Hello world; user and now?"; pages.Err() != nil || strings.Join(items, "; ") != want {
		t.Errorf("its input is %q, %v", items, pages.Err())
	}
	if _, err := client.Responses.Cancel(ctx, second.ID); !refusedAs(err, 400, "invalid_request") {
		t.Errorf("cancelled: %v", err)
	}
	if err := client.Responses.Delete(ctx, second.ID); err != nil {
		t.Error(err)
	}
	if _, err := client.Responses.Get(ctx, second.ID, responses.ResponseGetParams{}); !refusedAs(err, 404, "not_found") {
		t.Errorf("removed, and read: %v", err)
	}
	p.PreviousResponseID = openai.String(second.ID)
	if _, err := client.Responses.New(ctx, p); !refusedAs(err, 400, "previous_response_not_found") {
		t.Errorf("removed, and gone on from: %v", err)
	}
}

func refusedAs(err error, status int, code string) bool {
	got, at := chatError(err)
	return err != nil && at == status && got == code
}

// TestResponsesSurvive: what is kept is there after a restart, for its key alone, and
// goes on over another dialect's upstream.
func TestResponsesSurvive(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.plays("chat", says(chatAnswer))
	claude := lab.plays("claude", says(messagesAnswer))
	config := `
upstreams:
  chat: {kind: openai, key: ` + lent + `, urls: ["` + lab.server.URL + `/chat"]}
  claude: {kind: anthropic, key: ` + lent + `, urls: ["` + lab.server.URL + `/claude"]}
keys: [{name: caller, secret: ` + secret + `}, {name: other, secret: sk-other-0123456789abcdef}]
models:
  chat: {targets: [{upstream: chat, model: engine-1}]}
  claude: {targets: [{upstream: claude, model: engine-1}]}`
	g := serve(t, config)
	ours := g.openai()
	first, err := ours.Responses.New(within(t), asking("chat", "hello"))
	if err != nil {
		t.Fatal(err)
	}
	p := asking("claude", "and now?")
	p.PreviousResponseID = openai.String(first.ID)
	other := g.openai(openaiopt.WithAPIKey("sk-other-0123456789abcdef"))
	if _, err := other.Responses.New(within(t), p); !refusedAs(err, 400, "previous_response_not_found") {
		t.Errorf("another key goes on from it: %v", err)
	}
	if _, err := other.Responses.Get(within(t), first.ID, responses.ResponseGetParams{}); !refusedAs(err, 404, "not_found") {
		t.Errorf("another key reads it: %v", err)
	}
	second, err := ours.Responses.New(within(t), p)
	if err != nil || second.OutputText() != helloWorld {
		t.Errorf("%v, %q", err, second.OutputText())
	}
	got := claude.all()[len(claude.all())-1].Body
	for _, want := range []string{`"role":"user","content":"hello"`, `"role":"assistant","content":"Hello world"`, `"role":"user","content":"and now?"`} {
		if !strings.Contains(got, want) {
			t.Errorf("the other upstream heard %s", got)
		}
	}
}

// TestResponsesTools: calls of functions and of custom tools, by a client that takes
// them from a stream, answers them and goes on.
func TestResponsesTools(t *testing.T) {
	t.Parallel()
	patch := `{\"input\":\"*** Begin Patch\\n\\\"x\\\"\\n\"}`
	u := play(t, streams([]string{
		choice(`{"role":"assistant","content":null,"reasoning_content":"Two steps."}`, "null"),
		choice(`{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\""}}]}`, "null"),
		choice(`{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"apply_patch","arguments":""}}]}`, "null"),
		choice(`{"tool_calls":[{"index":0,"function":{"arguments":":\"Łódź\"}"}},{"index":1,"function":{"arguments":"`+patch+`"}}]}`, "null"),
		choice(`{}`, `"tool_calls"`),
		"data: [DONE]\n\n",
	}), says(chatAnswer))
	g := one(t, "vllm", u)
	client := g.openai()
	p := asking("assistant", "weather, and mend it")
	p.Tools = []responses.ToolUnionParam{
		responses.ToolParamOfFunction("weather", map[string]any{"type": "object"}, true), responses.ToolParamOfCustom("apply_patch"),
		responses.ToolParamOfWebSearch("web_search"),
	}
	p.Reasoning = shared.ReasoningParam{Effort: "low", Summary: "auto"}
	seen := &tap{}
	stream := client.Responses.NewStreaming(within(t), p, openaiopt.WithHTTPClient(seen.client()))
	defer stream.Close()
	var answer responses.Response
	var done []string
	for stream.Next() {
		switch e := stream.Current(); e.Type {
		case "response.output_item.done":
			done = append(done, e.Item.Type+" "+e.Item.Name)
		case "response.completed":
			answer = e.Response
		}
	}
	if stream.Err() != nil || strings.Join(done, "; ") != "reasoning ; function_call weather; custom_tool_call apply_patch" {
		t.Fatalf("%v, %q", stream.Err(), done)
	}
	if got := seen.last(t).Header.Get("X-Headworks-Dropped"); got != "tools.web_search" {
		t.Errorf("dropped %q", got)
	}
	if s := answer.Output[0].Summary; len(s) != 1 || s[0].Text != "Two steps." {
		t.Errorf("the thought is %+v", s)
	}
	if f := answer.Output[1]; f.CallID != "call_1" || f.Arguments.OfString != `{"city":"Łódź"}` {
		t.Errorf("the call is %s", f.RawJSON())
	}
	if c := answer.Output[2]; c.CallID != "call_2" || c.Input != "*** Begin Patch\n\"x\"\n" {
		t.Errorf("the custom call is %s", c.RawJSON())
	}
	next := responses.ResponseNewParams{Model: "assistant", PreviousResponseID: openai.String(answer.ID), Tools: p.Tools}
	first, second := responses.ResponseInputItemParamOfFunctionCallOutput("7 degrees"), responses.ResponseInputItemParamOfCustomToolCallOutput("call_2", "mended")
	first.OfFunctionCallOutput.CallID = openai.String("call_1")
	next.Input.OfInputItemList = responses.ResponseInputParam{first, second}
	last, err := client.Responses.New(within(t), next)
	if err != nil || last.OutputText() != helloWorld {
		t.Fatalf("%v, %q", err, last.OutputText())
	}
	got := u.all()[1].Body
	const want = `{"role":"assistant","reasoning_content":"Two steps.","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Łódź\"}"}},` +
		`{"id":"call_2","type":"function","function":{"name":"apply_patch","arguments":"{\"input\":\"*** Begin Patch\\n\\\"x\\\"\\n\"}"}}]},` +
		`{"role":"tool","tool_call_id":"call_1","content":"7 degrees"},{"role":"tool","tool_call_id":"call_2","content":"mended"}]`
	if !strings.Contains(got, want) {
		t.Errorf("the engine heard %s\nwant %s", got, want)
	}
}

// TestResponsesRefused: what Headworks cannot do truthfully is refused before anything
// is sent, and nothing is kept that was not to be.
func TestResponsesRefused(t *testing.T) {
	t.Parallel()
	u := play(t, says(chatAnswer))
	g := one(t, "openai", u)
	client := g.openai()
	background := asking("assistant", "x")
	background.Background = openai.Bool(true)
	conversation := asking("assistant", "x")
	conversation.Conversation = responses.ResponseNewParamsConversationUnion{OfString: openai.String("conv_1")}
	template := asking("assistant", "x")
	template.Prompt = responses.ResponsePromptParam{ID: "pmpt_1"}
	for param, p := range map[string]responses.ResponseNewParams{"background": background, "conversation": conversation, "prompt": template} {
		_, err := client.Responses.New(within(t), p)
		e, ok := errors.AsType[*openai.Error](err)
		if !ok || e.StatusCode != 400 || e.Code != "unsupported_parameter" || e.Param != param {
			t.Errorf("%s: %v", param, err)
		}
	}
	if n := len(u.all()); n != 0 {
		t.Errorf("the upstream got %d requests", n)
	}
	p := asking("assistant", "hello")
	p.Store = openai.Bool(false)
	answer, err := client.Responses.New(within(t), p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Responses.Get(within(t), answer.ID, responses.ResponseGetParams{}); !refusedAs(err, 404, "not_found") {
		t.Errorf("kept though it was not to be: %v", err)
	}
}

// spokenBy returns what a message says.
func spokenBy(i responses.ResponseItemUnion) string {
	var m struct{ Content []struct{ Text string } }
	if json.Unmarshal([]byte(i.RawJSON()), &m) != nil || len(m.Content) != 1 {
		return "no text: " + i.RawJSON()
	}
	return m.Content[0].Text
}
