package enginetest

import (
	"embed"
	"slices"
	"strings"
	"testing"
	"time"

	"headworks/internal/dialect/anthropic"
	"headworks/internal/dialect/gemini"
	"headworks/internal/dialect/ollama"
	"headworks/internal/dialect/openai"
	"headworks/internal/dialect/responses"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

//go:embed testdata
var testdata embed.FS

// speech is how callers of a dialect ask, and what upstreams of it answer.
type speech struct {
	name    string
	dialect inference.Dialect
	shape   *scan.Shape
	read    func(*scan.Doc, *inference.Request) error
	decode  func(*scan.Doc) (*inference.Conversation, []string, error)
	lines   bool // streams are lines of JSON, and what finishes an answer is its terminal too

	asks, sends   string // a caller's body, and what an upstream gets of it
	askUsage      string // a member with which a caller asks to see usage
	terminal      string
	finish        string // an event, or several, that finish the answer
	open          string // what comes before content
	word          string // an event of content
	failure       string // an error event
	malformed     string
	mixed         string // an event of another answer
	streams       []told
	answers       []told
	refusal       func(kind string) string // a body of an error, that says so
	tooLong       string                   // the same of a prompt that does not fit
	failureInBody string                   // an error with status 200
	prompt        string                   // the field that holds the prompt
	unasked       bool                     // nobody asks the upstream for usage
	wrong         []quirk                  // whole answers that hold something else than was asked for
}

// told is an answer as a vendor documents it, and what it means.
type told struct {
	file    string
	n       int // choices
	text    string
	thought string
	tools   []inference.Part
	finish  inference.Finish
	usage   inference.Usage
	aside   string // the event that a caller sees only if it asked
}

// The words of all bodies hold what a careless rewriting would change: escapes,
// numbers with many forms, unknown fields, white space, a line end at the end.
const (
	openaiAsks    = `{ "model" : "assistant","messages":[{"role":"user","content":"caf\u00e9 \/ 1"}],"temperature":1.0,"x_vendor":{"a":[1e3,-0.0]},"stream":STREAM }` + "\n"
	responsesAsks = `{ "model" : "assistant","input":"caf\u00e9 \/ 1","temperature":1.0,"store":false,"x_vendor":{"a":[1e3,-0.0]},"stream":STREAM }` + "\n"
	geminiAsks    = `{ "contents":[{"role":"user","parts":[{"text":"caf\u00e9 \/ 1"}]}],"generationConfig":{"temperature":1.0},"x_vendor":{"a":[1e3,-0.0]},"x_stream":STREAM }` + "\n"
	messageAsks   = `{ "model" : "assistant","max_tokens":64,"messages":[{"role":"user","content":"caf\u00e9 \/ 1"}],"temperature":1.0,"x_vendor":{"a":[1e3,-0.0]},"stream":STREAM }` + "\n"
	ollamaAsks    = `{ "model" : "assistant","messages":[{"role":"user","content":"caf\u00e9 \/ 1"}],"options":{"temperature":1.0,"x":[1e3,-0.0]},"stream":STREAM }` + "\n"
)

var dialects = []*speech{
	{
		name: "openai", dialect: inference.OpenAI, shape: openai.Shape(), read: openai.ReadRequest, decode: openai.Decode,
		asks:      openaiAsks,
		sends:     strings.Replace(strings.Replace(openaiAsks, `"assistant"`, `"served"`, 1), "STREAM }", `STREAM ,"stream_options":{"include_usage":true}}`, 1),
		askUsage:  `"stream_options":{"include_usage":true},`,
		terminal:  "data: [DONE]\n\n",
		open:      chunk(`{"role":"assistant","content":""}`, "null"),
		word:      chunk(`{"content":"Hello"}`, "null"),
		finish:    chunk(`{}`, `"stop"`),
		failure:   `data: {"error":{"message":"SECRET of the upstream","type":"server_error","param":null,"code":null}}` + "\n\n",
		malformed: `data: {"id":"chatcmpl-1","choices":[` + "\n\n",
		mixed:     strings.Replace(chunk(`{"content":"foreign"}`, "null"), "chatcmpl-1", "chatcmpl-2", 1),
		streams: []told{
			{
				file: "openai/text.sse", n: 1, text: "Hello there", finish: inference.Stop,
				usage: inference.Usage{Input: 19, Output: 10, Known: true},
				aside: `data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"gpt-4o-mini","system_fingerprint":"fp_44709d6fcb","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}` + "\n\n",
			},
			{
				file: "openai/tools.sse", n: 1, thought: "Two cities.", finish: inference.ToolCalls,
				tools: []inference.Part{
					{ID: "call_a", Name: "get_current_weather", Data: `{"location":"Boston, MA"}`},
					{ID: "call_b", Name: "get_current_weather", Data: `{"location":"Paris"}`},
				},
				usage: inference.Usage{Input: 82, Output: 34, Reasoning: 12, Known: true},
			},
			{
				file: "openai/two.sse", n: 2, text: "Heads", finish: inference.Stop,
				usage: inference.Usage{Input: 9, Output: 2, Known: true},
			},
		},
		answers: []told{
			{
				file: "openai/text.json", text: "Hello! How can I assist you today?", finish: inference.Stop,
				usage: inference.Usage{Input: 19, Output: 10, Known: true},
			},
			{
				file: "openai/tools.json", finish: inference.ToolCalls,
				tools: []inference.Part{{ID: "call_abc123", Name: "get_current_weather", Data: "{\n\"location\": \"Boston, MA\"\n}"}},
				usage: inference.Usage{Input: 82, Output: 17, CacheRead: 64, Known: true},
			},
		},
		refusal: func(kind string) string {
			return `{"error":{"message":"SECRET of the upstream","type":"` + kind + `","param":null,"code":null}}`
		},
		tooLong:       `{"error":{"message":"This model's maximum context length is 128000 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`,
		prompt:        "messages",
		failureInBody: `{"object":"error","message":"SECRET of the upstream","type":"InternalServerError","param":null,"code":500}`,
	},
	{
		name: "anthropic", dialect: inference.Anthropic, shape: anthropic.Shape(), read: anthropic.ReadRequest, decode: anthropic.Decode,
		asks:      messageAsks,
		sends:     strings.Replace(messageAsks, `"assistant"`, `"served"`, 1),
		terminal:  event("message_stop", ``),
		open:      event("message_start", `,"message":{"id":"msg_1","type":"message","role":"assistant","model":"served","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":1}}`) + event("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`),
		word:      event("content_block_delta", `,"index":0,"delta":{"type":"text_delta","text":"Hello"}`),
		finish:    event("content_block_stop", `,"index":0`) + event("message_delta", `,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":7}`),
		failure:   "event: error\ndata: " + `{"type":"error","error":{"type":"api_error","message":"SECRET of the upstream"}}` + "\n\n",
		malformed: "event: content_block_delta\ndata: " + `{"type":"content_block_delta","index":0,` + "\n\n",
		mixed:     event("message_start", `,"message":{"id":"msg_2","type":"message","role":"assistant","model":"served","content":[],"usage":{"input_tokens":5,"output_tokens":1}}`),
		streams: []told{
			{
				file: "anthropic/text.sse", n: 1, text: "Hello!", finish: inference.Stop,
				usage: inference.Usage{Input: 25, Output: 15, Known: true},
			},
			{
				file: "anthropic/tools.sse", n: 1, thought: "The weather.", text: "Okay, let's check.", finish: inference.ToolCalls,
				tools: []inference.Part{{ID: "toolu_01T1x1fJ34qAmk2tNTrN7Up6", Name: "get_weather", Data: `{"location": "San Francisco, CA", "unit": "fahrenheit"}`}},
				usage: inference.Usage{Input: 2572, Output: 89, CacheRead: 2000, CacheWrite: 100, Known: true},
			},
		},
		answers: []told{
			{
				file: "anthropic/text.json", text: "Hi! My name is Claude.", finish: inference.Stop,
				usage: inference.Usage{Input: 2095, Output: 503, Known: true},
			},
			{
				file: "anthropic/tools.json", text: "I'll look it up.", finish: inference.ToolCalls,
				tools: []inference.Part{{ID: "toolu_01D7FLrfh4GYq7yT1ULFeyMV", Name: "get_stock_price", Data: `{"ticker":"^GSPC"}`}},
				usage: inference.Usage{Input: 1512, Output: 58, CacheRead: 1000, CacheWrite: 40, Known: true},
			},
		},
		refusal: func(kind string) string {
			return `{"type":"error","error":{"type":"` + kind + `","message":"SECRET of the upstream"},"request_id":"req_1"}`
		},
		tooLong:       `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 208310 tokens > 200000 maximum"}}`,
		prompt:        "messages",
		failureInBody: `{"type":"error","error":{"type":"api_error","message":"SECRET of the upstream"}}`,
	},
	{
		name: "gemini", dialect: inference.Gemini, shape: gemini.Shape(), read: readGemini, decode: gemini.Decode,
		asks: geminiAsks, sends: geminiAsks,
		open:      candidate(`{"text":""}`, ""),
		word:      candidate(`{"text":"Hello"}`, ""),
		finish:    candidate(`{"text":""}`, `,"finishReason":"STOP"`),
		failure:   `data: {"error":{"code":500,"message":"SECRET of the upstream","status":"INTERNAL"}}` + "\n\n",
		malformed: `data: {"candidates":[{"content":` + "\n\n",
		mixed:     strings.Replace(candidate(`{"text":"foreign"}`, ""), "answer-1", "answer-2", 1),
		streams: []told{
			{
				file: "gemini/text.sse", n: 1, text: "Hello there", finish: inference.Stop,
				usage: inference.Usage{Input: 4, Output: 7, Known: true},
			},
			{
				file: "gemini/tools.sse", n: 1, thought: "**Two cities.**", finish: inference.ToolCalls,
				tools: []inference.Part{
					{ID: "call_kQjfaNzsBYSn1MkP3aGx6Ak_0", Name: "get_current_temperature", Data: `{"location":"Paris"}`},
					{ID: "fc-7", Name: "get_current_temperature", Data: `{"location":"London"}`},
				},
				usage: inference.Usage{Input: 82, Output: 34, CacheRead: 64, Reasoning: 12, Known: true},
			},
		},
		answers: []told{
			{
				file: "gemini/text.json", text: "AI learns patterns from data.", finish: inference.Stop,
				usage: inference.Usage{Input: 8, Output: 31, Reasoning: 25, Known: true},
			},
			{
				file: "gemini/tools.json", finish: inference.ToolCalls,
				tools: []inference.Part{{ID: "call_J0ByaPeqDo-Gz7IP2Yy3-AQ_0", Name: "schedule_meeting", Data: `{"topic": "Q3 planning", "attendees": ["Bob", "Alice"]}`}},
				usage: inference.Usage{Input: 157, Output: 43, Reasoning: 10, Known: true},
			},
		},
		refusal: func(kind string) string {
			return `{"error":{"message":"SECRET of the upstream","status":"` + strings.ToUpper(kind) + `"}}`
		},
		tooLong:       `{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}`,
		failureInBody: `[{"error":{"code":500,"message":"SECRET of the upstream","status":"INTERNAL"}}]`,
		prompt:        "contents",
	},
	{
		// The event that finishes an answer is its end too, and reaches the caller.
		name: "responses", dialect: inference.Responses, shape: responses.Shape(), read: responses.ReadRequest, decode: responses.Decode,
		asks:      responsesAsks,
		sends:     strings.Replace(responsesAsks, `"assistant"`, `"served"`, 1),
		open:      event("response.created", `,"sequence_number":0,"response":{"id":"resp_1","object":"response","status":"in_progress","model":"served","output":[]}`),
		word:      event("response.output_text.delta", `,"sequence_number":1,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Hello"`),
		finish:    event("response.completed", `,"sequence_number":2,"response":{"id":"resp_1","object":"response","status":"completed","model":"served","output":[],"usage":{"input_tokens":5,"output_tokens":7}}`),
		failure:   event("error", `,"sequence_number":2,"code":"server_error","message":"SECRET of the upstream","param":null`),
		malformed: "event: response.output_text.delta\ndata: " + `{"type":"response.output_text.delta","delta":` + "\n\n",
		mixed:     event("response.in_progress", `,"sequence_number":2,"response":{"id":"resp_2","object":"response","status":"in_progress","output":[]}`),
		streams: []told{
			{
				file: "responses/text.sse", n: 1, text: "Hi there! How can I assist you today?", finish: inference.Stop,
				usage: inference.Usage{Input: 37, Output: 11, Known: true},
			},
			{
				file: "responses/tools.sse", n: 1, thought: "**Checking** the weather", finish: inference.ToolCalls,
				tools: []inference.Part{
					{ID: "call_a", Name: "get_weather", Data: `{"location":"Boston, MA"}`},
					{ID: "call_b", Name: "apply_patch", Data: `{"input":"*** Begin Patch\n+\"hi\"\n"}`},
				},
				usage: inference.Usage{Input: 291, Output: 60, CacheRead: 128, Reasoning: 24, Known: true},
			},
		},
		answers: []told{
			{
				file: "responses/text.json", text: "Hello! How can I help?", finish: inference.Stop,
				usage: inference.Usage{Input: 37, Output: 11, Known: true},
			},
			{
				file: "responses/tools.json", finish: inference.ToolCalls,
				tools: []inference.Part{{ID: "call_a", Name: "get_weather", Data: `{"location":"Boston, MA"}`}},
				usage: inference.Usage{Input: 291, Output: 60, CacheRead: 128, Reasoning: 24, Known: true},
			},
		},
		refusal: func(kind string) string {
			return `{"error":{"message":"SECRET of the upstream","type":"` + kind + `","param":null,"code":null}}`
		},
		tooLong:       `{"error":{"message":"Your input exceeds the context window of this model.","type":"invalid_request_error","param":"input","code":"context_length_exceeded"}}`,
		failureInBody: `{"id":"resp_1","object":"response","status":"failed","error":{"code":"server_error","message":"SECRET of the upstream"},"output":[]}`,
		prompt:        "input",
	},
	{
		name: "ollama", dialect: inference.Ollama, shape: ollama.Shape(), read: ollama.ReadRequest, decode: ollama.Decode, lines: true,
		asks:      ollamaAsks,
		sends:     strings.Replace(strings.Replace(ollamaAsks, `"assistant"`, `"served"`, 1), "STREAM }", `STREAM ,"truncate":false}`, 1),
		open:      said("", false),
		word:      said("Hello", false),
		finish:    said("", true),
		failure:   `{"error":"SECRET of the upstream"}` + "\n",
		malformed: `{"model":"served","message":` + "\n",
		mixed:     strings.Replace(said("foreign", false), "served", "foreign", 1),
		streams: []told{
			{
				file: "ollama/text.ndjson", n: 1, text: "Hello there", finish: inference.Stop,
				usage: inference.Usage{Input: 26, Output: 282, Known: true},
			},
			{
				file: "ollama/tools.ndjson", n: 1, thought: "Two cities.", finish: inference.ToolCalls,
				tools: []inference.Part{
					{ID: "call_ckwpbzrq", Name: "get_weather", Data: `{"city":"Tokyo"}`},
					{ID: "call_9jzqmgntlotv_1", Name: "get_weather", Data: `{"city": "Paris", "days": 1.0}`},
				},
				usage: inference.Usage{Input: 169, Output: 15, Known: true},
			},
		},
		answers: []told{
			{
				file: "ollama/text.json", text: `{"age": 22, "available": false}`, finish: inference.Stop,
				usage: inference.Usage{Input: 34, Output: 12, Known: true},
			},
			{
				file: "ollama/tools.json", finish: inference.ToolCalls,
				tools: []inference.Part{{ID: "call_3cyzac0twjxs4_0", Name: "get_weather", Data: "{\n            \"city\": \"Tokyo\"\n          }"}},
				usage: inference.Usage{Input: 169, Output: 18, Known: true},
			},
		},
		refusal:       func(string) string { return `{"error":"SECRET of the upstream"}` },
		tooLong:       `{"error":"the input length exceeds the context length"}`,
		failureInBody: `{"error":"SECRET of the upstream"}`,
		prompt:        "messages",
	},
}

// chunk is an event of OpenAI's dialect.
func chunk(delta, finish string) string {
	return `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1694268190,"model":"served","choices":[{"index":0,"delta":` + delta + `,"logprobs":null,"finish_reason":` + finish + "}]}\n\n"
}

// candidate is an event of Gemini's.
func candidate(part, finish string) string {
	return `data: {"candidates":[{"content":{"parts":[` + part + `],"role":"model"}` + finish + `,"index":0}],` +
		`"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":7,"totalTokenCount":12},"modelVersion":"served","responseId":"answer-1"}` + "\n\n"
}

// readGemini reads a request whose path has the model and the method in it; these
// bodies say for themselves whether a stream is asked for.
func readGemini(d *scan.Doc, r *inference.Request) error {
	if err := gemini.ReadRequest(d, r); err != nil {
		return err
	}
	r.Stream, _ = d.Root().Get("x_stream").Bool()
	r.WantUsage = r.Stream
	return nil
}

// said is a line of Ollama's.
func said(text string, done bool) string {
	line := `{"model":"served","created_at":"2025-07-07T20:22:19.184789Z","message":{"role":"assistant","content":"` + text + `"},"done":false}` + "\n"
	if done {
		line = strings.Replace(line, `"done":false`, `"done_reason":"stop","done":true,"prompt_eval_count":5,"eval_count":7`, 1)
	}
	return line
}

// event is one of Anthropic's.
func event(name, rest string) string {
	return "event: " + name + "\ndata: {\"type\":\"" + name + "\"" + rest + "}\n\n"
}

// own returns how the upstream speaks, and other how it does not but is asked all the
// same; nil if it is not.
func (k Kind) own() *speech {
	for _, d := range slices.Concat(dialects, alone) {
		if d.dialect == k.Dialect {
			if v, ok := vendors[k.Vendor]; ok && d.dialect == inference.OpenAI {
				return v.of(d)
			}
			return d
		}
	}
	panic("enginetest: nobody says how " + k.Dialect.String() + " is spoken") // a mistake in this package
}

func (k Kind) other() *speech {
	for _, d := range k.callers() {
		if d.dialect != k.Dialect {
			return d
		}
	}
	return nil
}

// good is an answer that is whole, in the form that was asked for.
func (k Kind) good(r *request) string {
	d := k.own()
	if r.stream() {
		return d.whole(d.pieces(load(d.streams[0].file))...)
	}
	return answer(200, "application/json", load(d.answers[0].file))
}

// call is a request of a caller of that dialect to the upstream.
func (u *upstream) call(d *speech, stream bool) *engine.Call {
	word := "false"
	if stream {
		word = "true"
	}
	return u.ask(d, strings.Replace(d.asks, "STREAM", word, 1))
}

// ask is the same with a body.
func (u *upstream) ask(d *speech, body string) *engine.Call {
	doc := &scan.Doc{}
	req := &inference.Request{ID: inference.NewID(time.Unix(1, 0), 2, 3)}
	if err := doc.Scan([]byte(body), d.shape); err != nil {
		panic(err) // a mistake in this package
	}
	if err := d.read(doc, req); err != nil {
		panic(err)
	}
	return &engine.Call{
		Request: req, Replica: &u.replica, Model: "served", Body: []byte(body), Doc: doc,
		Conversation: func() (*inference.Conversation, []string, error) { return d.decode(doc) },
	}
}

// do sends a call and reads its answer to the end.
func (u *upstream) do(t *testing.T, c *engine.Call) (heard, error) {
	t.Helper()
	s, err := u.engine.Open(t.Context(), c)
	if err != nil {
		return heard{}, err
	}
	defer closed(t, s)
	return hear(s)
}

// fails returns the fault of a call, and complains where there is none.
func (u *upstream) fails(t *testing.T, c *engine.Call) (heard, *fault.Error) {
	t.Helper()
	h, err := u.do(t, c)
	switch {
	case err == nil:
		t.Errorf("no error, but %q", h.raw)
		return h, &fault.Error{}
	case h.last:
		t.Error("an error after the last chunk")
	}
	f := fault.Of(err)
	if strings.Contains(f.Words, "SECRET") {
		t.Errorf("the upstream's own words reach the caller: %q", f.Words)
	}
	return h, f
}

func load(file string) string {
	b, err := testdata.ReadFile("testdata/" + file)
	if err != nil {
		panic(err) // embedded: a mistake in this package
	}
	return string(b)
}

// texts returns what deltas say, block by block.
func texts(deltas []inference.Delta) string {
	var b strings.Builder
	for _, d := range deltas {
		b.WriteString(d.Text + d.Name)
	}
	return b.String()
}
