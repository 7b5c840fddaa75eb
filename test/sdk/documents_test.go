package sdk

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicshared "github.com/anthropics/anthropic-sdk-go/shared"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
	"google.golang.org/genai"
)

// The bodies of the vendors' documents.
var (
	chatType           = reflect.TypeFor[openai.ChatCompletion]()
	chatChunkType      = reflect.TypeFor[openai.ChatCompletionChunk]()
	chatRequestType    = reflect.TypeFor[chatRequest]()
	completionType     = reflect.TypeFor[openai.Completion]()
	responseType       = reflect.TypeFor[responses.Response]()
	responseEventType  = reflect.TypeFor[responses.ResponseStreamEventUnion]()
	openaiErrorType    = reflect.TypeFor[openaiError]()
	openaiListType     = reflect.TypeFor[openaiList]()
	openaiModelType    = reflect.TypeFor[openai.Model]()
	messageType        = reflect.TypeFor[anthropic.Message]()
	messageEventType   = reflect.TypeFor[anthropic.MessageStreamEventUnion]()
	messageRequestType = reflect.TypeFor[messageRequest]()
	countType          = reflect.TypeFor[anthropic.MessageTokensCount]()
	anthropicErrorType = reflect.TypeFor[anthropicshared.ErrorResponse]()
	anthropicListType  = reflect.TypeFor[anthropicPage]()
	anthropicModelType = reflect.TypeFor[anthropic.ModelInfo]()
	geminiType         = reflect.TypeFor[genai.GenerateContentResponse]()
	geminiErrorType    = reflect.TypeFor[geminiErrorBody]()
	geminiRequestType  = reflect.TypeFor[geminiRequest]()
	geminiListType     = reflect.TypeFor[geminiModels]()
	geminiCountType    = reflect.TypeFor[genai.CountTokensResponse]()
)

// What the clients have no type of, since they wrap or unwrap it themselves.
type (
	chatRequest struct {
		openai.ChatCompletionNewParams
		Stream bool `json:"stream"`
	}
	messageRequest struct {
		anthropic.MessageNewParams
		Stream bool `json:"stream"`
	}
	openaiError struct {
		Error shared.ErrorObject `json:"error" api:"required"`
	}
	openaiList struct {
		Object string         `json:"object" api:"required" default:"list"`
		Data   []openai.Model `json:"data" api:"required"`
	}
	anthropicPage struct {
		Data    []anthropic.ModelInfo `json:"data" api:"required"`
		HasMore bool                  `json:"has_more" api:"required"`
		FirstID string                `json:"first_id" api:"required"`
		LastID  string                `json:"last_id" api:"required"`
	}
	inputItems struct {
		Object  string                        `json:"object" api:"required" default:"list"`
		Data    []responses.ResponseItemUnion `json:"data" api:"required"`
		HasMore bool                          `json:"has_more" api:"required"`
		FirstID string                        `json:"first_id" api:"required"`
		LastID  string                        `json:"last_id" api:"required"`
	}
	geminiModels struct {
		Models        []genai.Model `json:"models" api:"required"`
		NextPageToken string        `json:"nextPageToken"`
	}
	geminiErrorBody struct {
		Error struct {
			Code    int              `json:"code" api:"required"`
			Message string           `json:"message" api:"required"`
			Status  string           `json:"status" api:"required"`
			Details []map[string]any `json:"details"`
		} `json:"error" api:"required"`
	}
	geminiRequest struct {
		Contents          []*genai.Content        `json:"contents" api:"required"`
		SystemInstruction *genai.Content          `json:"systemInstruction"`
		Tools             []*genai.Tool           `json:"tools"`
		ToolConfig        *genai.ToolConfig       `json:"toolConfig"`
		SafetySettings    []*genai.SafetySetting  `json:"safetySettings"`
		GenerationConfig  *genai.GenerationConfig `json:"generationConfig"`
	}
)

// newShapes knows where Headworks and the documents differ, and why.
func newShapes() *shapes {
	return &shapes{
		words: map[string]map[string][]string{}, seen: map[string]bool{},
		beyond: map[string]string{
			"Model.supportedGenerationMethods":                     "in Google's document; its client for Go calls it supportedActions",
			"Model.context_length":                                 "as OpenRouter and vLLM tell it; docs/reference/http.md",
			"Model.max_model_len":                                  "as OpenRouter and vLLM tell it; docs/reference/http.md",
			"Model.top_provider":                                   "as OpenRouter and vLLM tell it; docs/reference/http.md",
			"Model.pricing":                                        "as OpenRouter and vLLM tell it; docs/reference/http.md",
			"Model.capabilities":                                   "as OpenRouter and vLLM tell it; docs/reference/http.md",
			"ChatCompletionMessage.reasoning_content":              "what engines of this dialect call a thought",
			"ChatCompletionChunkChoiceDelta.reasoning_content":     "what engines of this dialect call a thought",
			"ChatCompletionMessageFunctionToolCall.extra_content":  "where Google keeps a call's signature in this dialect",
			"ChatCompletionChunkChoiceDeltaToolCall.extra_content": "where Google keeps a call's signature in this dialect",
			"chatRequest.top_k":                                    "asked of compatible engines, which the lab's is, and not of OpenAI",
			"Response.store":                                       "OpenAI answers it",
			"ResponseErrorEvent.error":                             "where OpenAI's own clients look for an error in a stream",
			"ResponseFunctionCallArgumentsDoneEvent.name":          "in OpenAI's document, and not in its client for Go",
			"geminiErrorBody.candidates":                           "fails clients of streams that do not look for an error",
		},
		absent: map[string]string{
			"ModelInfo.capabilities":               "what is not known is left out, rather than denied",
			"ModelInfo.max_input_tokens":           "what is not known is left out, rather than denied",
			"ModelInfo.max_tokens":                 "what is not known is left out, rather than denied",
			"ModelInfo.deprecated_at":              "of a model's life nothing is known",
			"ModelInfo.lifecycle":                  "of a model's life nothing is known",
			"ModelInfo.line":                       "of a model's life nothing is known",
			"ModelInfo.retires_at":                 "of a model's life nothing is known",
			"ModelCapabilities.batch":              "what is not known is left out, rather than denied",
			"ModelCapabilities.citations":          "what is not known is left out, rather than denied",
			"ModelCapabilities.code_execution":     "what is not known is left out, rather than denied",
			"ModelCapabilities.context_management": "what is not known is left out, rather than denied",
			"ModelCapabilities.effort":             "what is not known is left out, rather than denied",
			"ModelCapabilities.server_tools":       "what is not known is left out, rather than denied",
			"ThinkingCapability.types":             "what is not known is left out, rather than denied",
			"Response.access_programs":             "of programs that only OpenAI has, and not in the public document, version 2.3.0",
			"TextBlock.citations":                  "clients send blocks back, and upstreams of other vendors refuse what they do not know",
			"ToolUseBlock.caller":                  "clients send blocks back, and upstreams of other vendors refuse what they do not know",
		},
		wider: map[string]reflect.Type{ // where the client for Go knows one form of the two in the document
			"MessageNewParams.system":      text,
			"MessageParam.content":         text,
			"ToolResultBlockParam.content": text,
		},
	}
}

// written is one way to ask for a chat, and what its document says of what comes.
type written struct {
	name    string
	own     string // the kind of upstream that speaks it too
	path    string // of a whole answer
	streams string // of a stream, where it is another one
	body    string
	ask     func(body map[string]any, model string, stream bool)
	whole   reflect.Type
	event   reflect.Type
	fault   reflect.Type
}

func named(body map[string]any, model string, stream bool) {
	body["model"] = model
	if stream {
		body["stream"] = true
	}
}

var writtens = []written{
	{"chat", "openai", "/v1/chat/completions", "", string(must(json.Marshal(everything()))), named, chatType, chatChunkType, openaiErrorType},
	{"completions", "openai", "/v1/completions", "", `{"prompt":"hello","max_tokens":50,"temperature":0.5,"stop":["END"],"user":"user-7","seed":7}`, named, completionType, completionType, openaiErrorType},
	{"responses", "", "/v1/responses", "", responsesAll, named, responseType, responseEventType, openaiErrorType},
	{"messages", "anthropic", "/v1/messages", "", string(must(json.Marshal(all()))), named, messageType, messageEventType, anthropicErrorType},
	{"gemini", "gemini", "/v1beta/models/MODEL:generateContent", "/v1beta/models/MODEL:streamGenerateContent?alt=sse", geminiAll,
		func(map[string]any, string, bool) {}, geminiType, geminiType, geminiErrorType},
}

const (
	responsesAll = `{"instructions":"Be brief.","max_output_tokens":100,"temperature":0.5,"metadata":{"topic":"weather"},"reasoning":{"effort":"low","summary":"auto"},` +
		`"text":{"format":{"type":"json_schema","name":"weather","strict":true,"schema":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}}},` +
		`"tools":[{"type":"function","name":"weather","description":"now","strict":true,"parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}},` +
		`{"type":"custom","name":"apply_patch","description":"changes files"}],"tool_choice":"auto","parallel_tool_calls":true,"user":"user-7",` +
		`"input":[{"role":"developer","content":"Answer in JSON."},{"type":"message","role":"user","content":[{"type":"input_text","text":"What is the weather in Łódź?"},` +
		`{"type":"input_image","detail":"low","image_url":"data:image/png;base64,iVBORw0KGgo="}]},` +
		`{"type":"function_call","call_id":"call_1","name":"weather","arguments":"{\"city\":\"Łódź\"}"},{"type":"function_call","call_id":"call_2","name":"weather","arguments":"{\"city\":\"Oslo\"}"},` +
		`{"type":"function_call_output","call_id":"call_1","output":"21.50 C"},{"type":"function_call_output","call_id":"call_2","output":"3 C"}]}`
	geminiAll = `{"systemInstruction":{"parts":[{"text":"Be brief."}]},"contents":[{"role":"user","parts":[{"text":"What is the weather in Łódź?"},{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}}]},` +
		`{"role":"model","parts":[{"functionCall":{"name":"weather","args":{"city":"Łódź"}},"thoughtSignature":"c2ln"},{"functionCall":{"name":"weather","args":{"city":"Oslo"}}}]},` +
		`{"role":"user","parts":[{"functionResponse":{"name":"weather","response":{"output":"21.50 C"}}},{"functionResponse":{"name":"weather","response":{"error":"no such place"}}}]}],` +
		`"tools":[{"functionDeclarations":[{"name":"weather","description":"now","parameters":{"type":"OBJECT","properties":{"city":{"type":"STRING"}},"required":["city"]}}]}],` +
		`"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["weather"]}},` +
		`"generationConfig":{"temperature":0.5,"topP":0.25,"topK":40,"maxOutputTokens":100,"stopSequences":["END"],"seed":7,"responseMimeType":"application/json",` +
		`"responseSchema":{"type":"OBJECT","properties":{"city":{"type":"STRING"}}},"thinkingConfig":{"includeThoughts":true,"thinkingBudget":1024}}}`
)

// requests are what an upstream of a kind takes.
var requests = map[string]reflect.Type{"openai": chatRequestType, "anthropic": messageRequestType, "gemini": geminiRequestType}

// send asks as a client does that knows nothing, and returns what came.
func (g *gateway) send(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t), method, g.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(answer)
}

func (g *gateway) raw(t *testing.T, method, path, body string, headers ...string) (status int, kind string, answer []byte) {
	t.Helper()
	res, text := g.send(t, method, path, body, headers...)
	return res.StatusCode, res.Header.Get("Content-Type"), []byte(text)
}

// asks asks a surface for a model.
func (s *written) asks(t *testing.T, g *gateway, body, model string, stream bool, headers ...string) (int, string, []byte) {
	t.Helper()
	b := fields(t, body)
	s.ask(b, model, stream)
	path := s.path
	if stream && s.streams != "" {
		path = s.streams
	}
	return g.raw(t, http.MethodPost, strings.Replace(path, "MODEL", model, 1), string(must(json.Marshal(b))), headers...)
}

// judge checks an answer, whole or in events.
func (s *written) judge(t *testing.T, shapes *shapes, kind string, answer []byte, as reflect.Type) (events int) {
	t.Helper()
	if !strings.HasPrefix(kind, "text/event-stream") {
		for _, w := range shapes.check(answer, as) {
			t.Errorf("%s\n%s", w, answer)
		}
		return 0
	}
	for block := range strings.SplitSeq(string(answer), "\n\n") {
		name, data := "", ""
		for line := range strings.SplitSeq(block, "\n") {
			if v, ok := strings.CutPrefix(line, "data: "); ok {
				data += v
			}
			if v, ok := strings.CutPrefix(line, "event: "); ok {
				name = v
			}
		}
		var body struct{ Type string }
		switch {
		case data == "" || data == "[DONE]" || data == `{"type":"ping"}` || data == `{"type": "ping"}`:
			continue
		case json.Unmarshal([]byte(data), &body) == nil && name != "" && name != body.Type:
			t.Errorf("the event %s is of type %s", name, body.Type)
		}
		events++
		of := s.event
		if strings.HasPrefix(data, `{"error":`) || s.name == "messages" && name == "error" {
			of = s.fault
		}
		for _, w := range shapes.check([]byte(data), of) {
			t.Errorf("%s\n%s", w, data)
		}
	}
	return events
}

// What Headworks writes is as the vendors' documents have it: each answer and event
// that is translated or of its own engines, each error, each list; and so is what
// upstreams are asked in another dialect.
func TestDocuments(t *testing.T) {
	t.Parallel()
	shapes, lab := newShapes(), newLab(t)
	config := "upstreams:\n  simulated: {kind: simulated}\n  extract: {kind: local-extract}\n  embed: {kind: local-embed}\n"
	cell := func(name, kind string, script ...answer) *upstream {
		u := lab.plays(name, script...)
		config += fmt.Sprintf("  %s: {kind: %s, key: %s, urls: [%q]}\n", name, kind, lent, u.url)
		return u
	}
	type trial struct {
		surface   *written
		kind, how string
		model     string
		upstream  *upstream
		status    int
		cut       bool
	}
	var trials []trial
	for i := range writtens {
		s := &writtens[i]
		for kind, says := range aiUpstreams {
			if kind == s.own {
				continue
			}
			for how, script := range map[string]answer{"text": says.text, "call": says.call, "thought": thoughts[kind]} {
				name := s.name + "-" + kind + "-" + how
				trials = append(trials, trial{s, kind, how, name + "/engine-1", cell(name, kind, script), http.StatusOK, false})
			}
			d := &dialects[map[string]int{"openai": 0, "anthropic": 1, "gemini": 2}[kind]]
			for j, c := range []answer{ends, resets, more(d.malformed), more(d.failure)} {
				name := fmt.Sprintf("%s-%s-cut-%d", s.name, kind, j)
				trials = append(trials, trial{s, kind, "cut", name + "/engine-1", cell(name, kind, streams(d.events[:d.content], c)), http.StatusOK, true})
			}
			for _, status := range []int{400, 401, 404, 429, 500, 503} {
				name := fmt.Sprintf("%s-%s-%d", s.name, kind, status)
				trials = append(trials, trial{s, kind, "refused", name + "/engine-1", cell(name, kind, refuses(status, `{"error":{"message":"leak","type":"x","code":"y","status":"z"}}`)), 0, false})
			}
		}
		trials = append(trials, trial{s, "simulated", "own", "simulated/demo-small", nil, http.StatusOK, false}, trial{s, "local-extract", "own", "extract/local-extract", nil, http.StatusOK, false})
	}
	g := serve(t, config)
	for _, c := range trials {
		for _, stream := range []bool{false, true} {
			if c.cut && !stream {
				continue
			}
			t.Run(fmt.Sprintf("%s before %s/%s/stream=%t", c.surface.name, c.kind, c.model, stream), func(t *testing.T) {
				status, kind, answer := c.surface.asks(t, g, c.surface.body, c.model, stream)
				if c.status != 0 && status != c.status || c.status == 0 && status < 400 {
					t.Fatalf("%d: %s", status, answer)
				}
				if status != http.StatusOK {
					c.surface.judge(t, shapes, kind, answer, c.surface.fault)
					return
				}
				if events := c.surface.judge(t, shapes, kind, answer, c.surface.whole); stream != (events > 0) {
					t.Errorf("%d events in %s", events, answer)
				}
				if c.upstream == nil {
					return
				}
				for _, got := range c.upstream.all() {
					for _, w := range shapes.check([]byte(got.Body), requests[c.kind]) {
						t.Errorf("the upstream was asked: %s\n%s", w, got.Body)
					}
				}
			})
		}
	}
	beside(t, shapes)
	for _, list := range []map[string]string{shapes.beyond, shapes.absent} {
		for place := range list {
			if !shapes.seen[place] {
				t.Errorf("%s is listed for nothing", place)
			}
		}
	}
}

// thoughts are answers with thoughts and calls of a tool.
var thoughts = map[string]answer{
	"openai": either(says(strings.Replace(chatTools, `"content":"Looking."`, `"content":"Looking.","reasoning_content":"Two cities."`, 1)),
		streams(append([]string{choice(`{"role":"assistant","reasoning_content":"Two cities."}`, "null")}, chatToolsStream...))),
	"anthropic": either(says(messagesTools), streams(messagesToolsStream)),
	"gemini": eitherPath(
		says(`{"candidates":[{"content":{"parts":[{"text":"Two cities.","thought":true},{"text":"Looking."},{"functionCall":{"name":"weather","args":{"city":"Oslo"}},"thoughtSignature":"c2ln"}],"role":"model"},`+
			`"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":2,"thoughtsTokenCount":3,"totalTokenCount":14},"modelVersion":"engine-1","responseId":"resp-up"}`),
		streams([]string{
			candidate(`{"text":"Two cities.","thought":true}`, ""), candidate(`{"text":"Looking."}`, ""),
			candidate(`{"functionCall":{"name":"weather","args":{"city":"Oslo"}},"thoughtSignature":"c2ln"}`, `,"finishReason":"STOP"`),
		})),
}

// beside judges what is no chat: errors of the caller's, lists of
// models, counts, embeddings, and responses that are kept.
func beside(t *testing.T, shapes *shapes) {
	t.Helper()
	g := serve(t, `
upstreams:
  lab: {kind: openai, key: `+lent+`, urls: ["`+play(t, either(says(chatAnswer), streams(chatStream))).url+`"]}
  embed: {kind: local-embed}
  claude: {kind: anthropic, key: `+lent+`}
models:
  assistant: {targets: [{upstream: lab, model: engine-1, window: 1000, max_output: 500, price: {input: 1, output: 3}, capabilities: [tools, vision]}]}
  embed: {targets: [{upstream: embed, model: local-embed}]}
  claude: {targets: [{upstream: claude, model: claude-opus-4-5}]}`)
	check := func(what string, status, want int, body []byte, as reflect.Type) {
		t.Helper()
		if status != want {
			t.Errorf("%s: %d, want %d: %s", what, status, want, body)
		}
		for _, w := range shapes.check(body, as) {
			t.Errorf("%s: %s\n%s", what, w, body)
		}
	}
	for i := range writtens {
		s := &writtens[i]
		status, _, body := s.asks(t, g, s.body, "unknown", false)
		check(s.name+", model", status, 404, body, s.fault)
		status, _, body = s.asks(t, g, s.body, "assistant", false, "Authorization", "Bearer sk-wrong-0123456789abcdef")
		check(s.name+", key", status, 401, body, s.fault)
		path := strings.Replace(s.path, "MODEL", "assistant", 1)
		status, _, body = g.raw(t, http.MethodPost, path, `{"model":"assistant","model":"x"}`)
		check(s.name+", JSON", status, 400, body, s.fault)
		status, _, body = g.raw(t, http.MethodPut, path, `{}`)
		check(s.name+", method", status, 405, body, s.fault)
	}
	vendor := []string{"anthropic-version", "2023-06-01"}
	for _, c := range []struct {
		path   string
		header []string
		as     reflect.Type
	}{
		{"/v1/models", nil, openaiListType},
		{"/v1/models/assistant", nil, openaiModelType},
		{"/v1/models", vendor, anthropicListType},
		{"/v1/models/claude", vendor, anthropicModelType},
		{"/v1beta/models", nil, geminiListType},
		{"/v1beta/models/assistant", nil, reflect.TypeFor[genai.Model]()},
	} {
		status, _, body := g.raw(t, http.MethodGet, c.path, "", c.header...)
		check(c.path, status, 200, body, c.as)
	}
	for _, c := range []struct {
		path, body string
		as         reflect.Type
	}{
		{"/v1/messages/count_tokens", `{"model":"assistant","messages":[{"role":"user","content":"hi"}]}`, countType},
		{"/v1beta/models/assistant:countTokens", `{"contents":[{"parts":[{"text":"hi"}]}]}`, geminiCountType},
		{"/v1/embeddings", `{"model":"embed","input":["one","two"],"dimensions":8}`, reflect.TypeFor[openai.CreateEmbeddingResponse]()},
	} {
		status, _, body := g.raw(t, http.MethodPost, c.path, c.body)
		check(c.path, status, 200, body, c.as)
	}
	status, _, body := g.raw(t, http.MethodPost, "/v1/responses", `{"model":"assistant","input":"hello"}`)
	check("/v1/responses", status, 200, body, responseType)
	id, _ := fields(t, string(body))["id"].(string)
	status, _, body = g.raw(t, http.MethodGet, "/v1/responses/"+id, "")
	check("a response that is kept", status, 200, body, responseType)
	status, _, body = g.raw(t, http.MethodGet, "/v1/responses/"+id+"/input_items", "")
	check("its input", status, 200, body, reflect.TypeFor[inputItems]())
}
