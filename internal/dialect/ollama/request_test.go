package ollama

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

func scanned(t *testing.T, body string, shape *scan.Shape) *scan.Doc {
	t.Helper()
	var d scan.Doc
	if err := d.Scan([]byte(body), shape); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return &d
}

func TestReadRequest(t *testing.T) {
	for body, want := range map[string]inference.Request{
		`{"model":"m","messages":[{"role":"user","content":"12345678"}]}`:                                                      {Stream: true, Input: 2},
		`{"model":"m","messages":[{"role":"user","content":"12345678","images":["a","b"]}],"stream":false}`:                    {Input: 2002, Needs: inference.AbilitiesOf(inference.Vision)},
		`{"model":"m","messages":null,"stream":null,"models":["a","b"]}`:                                                       {Stream: true, Input: 1, Models: []string{"a", "b"}},
		`{"model":"m","options":{"num_predict":9,"x":"y"},"tools":[{"type":"function","function":{"name":"f"}},{"type":"x"}]}`: {Stream: true, MaxTokens: 9, Tools: 2, Input: 14, Needs: inference.AbilitiesOf(inference.Tools)},
		`{"model":"m","options":{"num_predict":-1},"think":"max","format":"","keep_alive":-1}`:                                 {Stream: true, Input: 1, Effort: inference.MuchEffort, Needs: inference.AbilitiesOf(inference.Reasoning)},
		`{"model":"m","think":false,"format":{"type":"object"}}`:                                                               {Stream: true, Input: 1, Needs: inference.AbilitiesOf(inference.JSONSchema)},
	} {
		var got inference.Request
		err := ReadRequest(scanned(t, body, Shape()), &got)
		want.Model, want.Dialect, want.Bytes, want.N, want.WantUsage = "m", inference.Ollama, len(body), 1, want.Stream
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", body, err, diff)
		}
	}
	for body, param := range map[string]string{
		`{}`:                             "model",
		`{"model":""}`:                   "model",
		`{"model":"m","stream":"yes"}`:   "stream",
		`{"model":"m","messages":{}}`:    "messages",
		`{"model":"m","messages":["a"]}`: "messages[0]",
		`{"model":"m","messages":[{"content":"a"}]}`:                                                                "messages[0].role",
		`{"model":"m","messages":[{"role":"user","content":["a"]}]}`:                                                "messages[0].content",
		`{"model":"m","messages":[{"role":"user","images":[1]}]}`:                                                   "messages[0].images",
		`{"model":"m","messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}]}`: "messages[0].tool_calls.function.arguments",
		`{"model":"m","messages":[{"role":"assistant","tool_calls":[{"function":{}}]}]}`:                            "messages[0].tool_calls.function.name",
		`{"model":"m","think":"hard"}`:                                                                              "think",
		`{"model":"m","think":1}`:                                                                                   "think",
		`{"model":"m","format":"xml"}`:                                                                              "format",
		`{"model":"m","options":[]}`:                                                                                "options",
		`{"model":"m","options":{"temperature":"1"}}`:                                                               "options.temperature",
		`{"model":"m","options":{"stop":"x"}}`:                                                                      "options.stop",
		`{"model":"m","options":{"num_predict":1.5}}`:                                                               "options.num_predict",
		`{"model":"m","truncate":1}`:                                                                                "truncate",
		`{"model":"m","top_logprobs":21}`:                                                                           "top_logprobs",
		`{"model":"m","tools":[{"type":"function"}]}`:                                                               "tools[0].function.name",
	} {
		var r inference.Request
		err := ReadRequest(scanned(t, body, Shape()), &r)
		if f := fault.Of(err); err == nil || f.Kind != fault.InvalidRequest || f.Param != param {
			t.Errorf("%s: %v, param %q, want %q", body, err, f.Param, param)
		}
	}
}

func TestReadGenerateRequest(t *testing.T) {
	var got inference.Request
	body := `{"model":"m","prompt":"1234","system":"1234","context":[1,2,3],"images":["a"],"raw":false}`
	err := ReadGenerateRequest(scanned(t, body, GenerateShape()), &got)
	if err != nil || got.Dialect != inference.OllamaGenerate || got.Input != 1005 || !got.Stream {
		t.Errorf("%v, %+v", err, got)
	}
	for body, param := range map[string]string{
		`{"model":"m","prompt":["a"]}`: "prompt", `{"model":"m","raw":"x"}`: "raw", `{"model":"m","context":"x"}`: "context", `{"model":"m","images":"x"}`: "images",
	} {
		err := ReadGenerateRequest(scanned(t, body, GenerateShape()), &got)
		if f := fault.Of(err); err == nil || f.Param != param {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestEdits: an upstream gets its own name for the model, and is told not to cut the
// prompt off unless the caller decided that.
func TestEdits(t *testing.T) {
	for body, want := range map[string]string{
		`{"model":"a","messages":[]}`:                      `{"model":"b","messages":[],"truncate":false}`,
		`{"model":"b"}`:                                    `{"model":"b","truncate":false}`,
		`{"truncate":true,"model":"a"}`:                    `{"truncate":true,"model":"b"}`,
		`{"truncate":null,"model":"a"}`:                    `{"truncate":false,"model":"b"}`,
		`{"model":"a","truncate":false}`:                   `{"model":"b","truncate":false}`,
		`{ "models":["c"], "model":"a" , "x":1e3 }`:        `{ "model":"b" , "x":1e3 ,"truncate":false}`,
		`{"model":"a","models":["c"] }`:                    `{"model":"b" ,"truncate":false}`,
		`{"model":"a","truncate":null,"models":["c","d"]}`: `{"model":"b","truncate":false}`,
	} {
		d := scanned(t, body, Shape())
		if got := string(scan.Splice(nil, []byte(body), Edits(nil, d, "b"))); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", body, got, want)
		}
	}
}

// TestResultsFindTheirCalls: other dialects join a result to its call by an id, which
// this one may leave out.
func TestResultsFindTheirCalls(t *testing.T) {
	const body = `{"model":"m","messages":[{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":{}}},{"id":"mine","function":{"name":"g","arguments":{}}},{"function":{"name":"f","arguments":{}}}]},
		{"role":"tool","content":"1","tool_name":"f"},{"role":"tool","content":"2","tool_call_id":"mine"},{"role":"tool","content":"3"},{"role":"tool","content":"4"}]}`
	c, _, err := Decode(scanned(t, body, Shape()))
	if err != nil || len(c.Messages) != 2 {
		t.Fatalf("%v, %+v", err, c)
	}
	var calls, results []string
	for _, p := range c.Messages[0].Parts {
		calls = append(calls, p.ID)
	}
	for _, p := range c.Messages[1].Parts {
		results = append(results, p.ID)
	}
	if !slices.Equal(calls, []string{"call_hw_0", "mine", "call_hw_1"}) || !slices.Equal(results, []string{"call_hw_0", "mine", "call_hw_1", "call_hw_2"}) {
		t.Errorf("calls %q, results %q", calls, results)
	}
}

// TestEncodeForeign: a conversation of another dialect arrives, and what cannot is
// named.
func TestEncodeForeign(t *testing.T) {
	no, yes := false, true
	c := &inference.Conversation{
		From:   inference.Anthropic,
		System: []inference.Part{{Kind: inference.Text, Text: "be"}, {Kind: inference.Text, Text: "kind", Cache: "5m"}},
		Messages: []inference.Message{
			{Parts: []inference.Part{{Kind: inference.Text, Text: "look"}, {Kind: inference.Image, Media: "image/png", Data: "AAAA"}, {Kind: inference.Image, URL: "https://example.com/a.png"}}},
			{Role: inference.Assistant, Parts: []inference.Part{
				{Kind: inference.Thinking, Text: "hm", Signature: "s"},
				{Kind: inference.Text, Text: "one "},
				{Kind: inference.Text, Text: "two"},
				{Kind: inference.ToolUse, ID: "1", Name: "f", Data: `{"a":1}`},
				{Kind: inference.ToolUse, ID: "2", Name: "g", Data: `no`},
			}},
			{Parts: []inference.Part{
				{Kind: inference.ToolResult, ID: "1", Failed: true, Parts: []inference.Part{{Kind: inference.Text, Text: "it broke"}, {Kind: inference.Image, Data: "BBBB"}}},
				{Kind: inference.Text, Text: "go on"},
			}},
		},
		Tools:      []inference.Tool{{Name: "f", Description: "d", Schema: []byte(`{"type":"object"}`), Strict: &yes}, {Name: "web", Hosted: []byte(`{}`)}},
		ToolChoice: inference.ToolChoice{Mode: "required"}, Parallel: &no,
		Thinking: 1024, Effort: "xhigh", User: "u", N: 2, MaxTokens: 9, Stop: []string{"x"}, JSON: true,
	}
	body, dropped := Encode(c, "m", true)
	const want = `{"model":"m","messages":[{"role":"system","content":"be\n\nkind"},{"role":"user","content":"look","images":["AAAA"]},` +
		`{"role":"assistant","content":"one two","tool_calls":[{"id":"1","function":{"name":"f","arguments":{"a":1}}},{"id":"2","function":{"name":"g","arguments":{}}}]},` +
		`{"role":"tool","content":"it broke","images":["BBBB"],"tool_name":"f","tool_call_id":"1"},{"role":"user","content":"go on"}],` +
		`"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}],"format":"json","think":"max",` +
		`"options":{"num_predict":9,"stop":["x"]},"stream":true,"truncate":false}`
	if string(body) != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	lost := strings.Fields("cache_control content.image.url content.thinking messages.tool_calls.function.arguments content.is_error tool_choice parallel_tool_calls tools.function.strict thinking.budget_tokens n user")
	slices.Sort(lost)
	slices.Sort(dropped)
	if diff := cmp.Diff(lost, dropped); diff != "" {
		t.Errorf("dropped: -want +got\n%s", diff)
	}
	c.ToolChoice.Mode, c.ThinkingMode = "none", "disabled"
	if body, _ := Encode(c, "m", false); strings.Contains(string(body), `"tools"`) || !strings.Contains(string(body), `"think":false`) {
		t.Errorf("no tools and no thoughts: %s", body)
	}
}

// TestDecodeGenerate: a prompt is one message, and what a chat cannot follow is refused.
func TestDecodeGenerate(t *testing.T) {
	c, dropped, err := DecodeGenerate(scanned(t, `{"model":"m","prompt":"p","system":"s","images":["/9j/4AAQSkZJRgAB"],"template":"t","options":{"temperature":0.5},"raw":false,"suffix":"","context":[]}`, GenerateShape()))
	if err != nil || len(c.System) != 1 || len(c.Messages) != 1 || len(c.Messages[0].Parts) != 2 || *c.Temperature != 0.5 || c.Messages[0].Parts[0].Media != "image/jpeg" {
		t.Errorf("%v, %+v", err, c)
	}
	if !slices.Equal(dropped, []string{"template"}) {
		t.Errorf("dropped %q", dropped)
	}
	for body, param := range map[string]string{
		`{"model":"m","prompt":"p","raw":true}`: "raw", `{"model":"m","prompt":"p","suffix":"x"}`: "suffix", `{"model":"m","prompt":"p","context":[1]}`: "context",
	} {
		_, _, err := DecodeGenerate(scanned(t, body, GenerateShape()))
		if f := fault.Of(err); err == nil || f.Kind != fault.Unsupported || f.Param != param {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestMedia(t *testing.T) {
	for data, want := range map[string]string{
		"iVBORw0KGgoAAAAN": "image/png", "/9j/4AAQSkZJRgAB": "image/jpeg", "R0lGODlhAQABAAAA": "image/gif", "UklGRiQAAABXRUJQVlA4": "image/webp",
		"UklGRiQAAABXQVZFZm10": "audio/wav", "SUQzBAAA": "audio/mp3", "": "image/png", "?": "image/png",
	} {
		if got := media([]byte(data)); got != want {
			t.Errorf("%s: %s, want %s", data, got, want)
		}
	}
}

// TestIdle: a request without anything to read loads or unloads a model at Ollama.
func TestIdle(t *testing.T) {
	for body, want := range map[string]string{
		`{"model":"m"}`: `"message":{"role":"assistant","content":""},"done":true,"done_reason":"load"}`,
		`{"model":"m","messages":[],"keep_alive":0}`: `"message":{"role":"assistant","content":""},"done":true,"done_reason":"unload"}`,
		`{"model":"m","messages":[{"role":"user"}]}`: "",
	} {
		var r inference.Request
		d := scanned(t, body, Shape())
		if err := ReadRequest(d, &r); err != nil {
			t.Fatal(err)
		}
		if got := string(Idle(d, &r, time.Unix(1, 5))); got != "" && got != lineHead+want || (got == "") != (want == "") {
			t.Errorf("%s: %s", body, got)
		}
	}
	for body, idle := range map[string]bool{
		`{"model":"m","keep_alive":"0s"}`: true, `{"model":"m","prompt":""}`: true, `{"model":"m","prompt":"a"}`: false, `{"model":"m","images":["a"]}`: false,
	} {
		var r inference.Request
		d := scanned(t, body, GenerateShape())
		if err := ReadGenerateRequest(d, &r); err != nil {
			t.Fatal(err)
		}
		if got := Idle(d, &r, time.Unix(1, 5)); (got != nil) != idle {
			t.Errorf("%s: %s", body, got)
		}
	}
}

func TestEmbedding(t *testing.T) {
	const answer = `{"object":"list","data":[{"index":1,"embedding":[0.5, 1e-3]},{"index":0,"embedding":[1]}],"usage":{"prompt_tokens":7}}`
	for _, tt := range []struct {
		e                Embedding
		asks, sends, got string
	}{
		{
			Embedding{Model: "m"},
			`{"model":"m","input":["a","caf\u00e9"],"truncate":true,"dimensions":3,"options":{"num_ctx":1},"keep_alive":0}`,
			`{"model":"m","input":["a","caf\u00e9"],"dimensions":3,"encoding_format":"float"}`, `{"model":"m","embeddings":[[1],[0.5, 1e-3]],"prompt_eval_count":7}`,
		},
		{Embedding{Single: true}, `{"model":"m","prompt":"a"}`, `{"model":"m","input":"a","encoding_format":"float"}`, `{"embedding":[1]}`},
	} {
		body, err := tt.e.Request(scanned(t, tt.asks, EmbedShape()))
		if err != nil || string(body) != tt.sends {
			t.Errorf("%s: %v, %s", tt.asks, err, body)
		}
		if got := string(tt.e.Answer([]byte(answer))); got != tt.got {
			t.Errorf("%s: %s", tt.asks, got)
		}
	}
	for _, body := range []string{`{"model":"m"}`, `{"model":"m","input":[]}`, `{"model":"m","input":[1]}`, `{"model":"m","input":{}}`} {
		if _, err := (Embedding{}).Request(scanned(t, body, EmbedShape())); err == nil {
			t.Errorf("%s is accepted", body)
		}
	}
}
