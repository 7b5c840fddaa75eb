package openai

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

func lax(t testing.TB, body string) *scan.Doc {
	t.Helper()
	var d scan.Doc
	if err := d.ScanLax([]byte(body)); err != nil {
		t.Fatal(err)
	}
	return &d
}

func TestReadAnswer(t *testing.T) {
	tests := []struct {
		name, body string
		want       inference.Event
		kind       fault.Kind
	}{
		{
			"two choices", `{"choices":[{"message":{"content":"ab"},"finish_reason":"stop"},{"message":{"content":null,"tool_calls":[{"function":{"arguments":"{}"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"completion_tokens_details":{"reasoning_tokens":2}}}`,
			inference.Event{Content: true, Terminal: true, Text: 4, Finishes: 2, Finish: inference.ToolCalls, Usage: inference.Usage{Input: 3, Output: 4, Reasoning: 2, Known: true}},
			fault.None,
		},
		{
			"an empty answer is an answer", `{"choices":[{"message":{"content":""},"finish_reason":"length"}],"error":null}`,
			inference.Event{Content: true, Terminal: true, Finishes: 1, Finish: inference.Length},
			fault.None,
		},
		{"error inside 200", `{"error":{"message":"x","type":"rate_limit_exceeded"}}`, inference.Event{}, fault.UpstreamCapacity},
		{"old vLLM error", `{"object":"error","code":404,"message":"x"}`, inference.Event{}, fault.UpstreamRejected},
		{"no choices", `{"id":"x"}`, inference.Event{}, fault.Malformed},
		{"empty choices", `{"choices":[]}`, inference.Event{}, fault.Malformed},
		{"no message", `{"choices":[{"delta":{}}]}`, inference.Event{}, fault.Malformed},
		{"two lists of choices", `{"choices":[{"message":{"content":"a"}}],"choices":[{"message":{"content":"b"}}]}`, inference.Event{}, fault.Malformed},
		{"two usages", `{"choices":[{"message":{"content":"a"}}],"usage":null,"usage":{"prompt_tokens":3}}`, inference.Event{}, fault.Malformed},
		{"two errors", `{"choices":[{"message":{"content":"a"}}],"error":{"message":"x"},"error":null}`, inference.Event{}, fault.Malformed},
		{"two reasons", `{"choices":[{"message":{"content":"a"},"finish_reason":"stop","finish_reason":"length"}]}`, inference.Event{}, fault.Malformed},
		{"two messages", `{"choices":[{"message":{"content":"a"},"message":{"content":"b"},"finish_reason":"stop"}]}`, inference.Event{}, fault.Malformed},
		{
			"a key that decides nothing stands twice", `{"id":"a","id":"b","choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}`,
			inference.Event{Content: true, Terminal: true, Text: 1, Finishes: 1, Finish: inference.Stop},
			fault.None,
		},
		{"not an object", `"ok"`, inference.Event{}, fault.Malformed},
	}
	for _, tt := range tests {
		var got inference.Event
		err := ReadAnswer(lax(t, tt.body), &got)
		if kind(err) != tt.kind || got != tt.want {
			t.Errorf("%s: got %+v, %v, want %+v, %v", tt.name, got, err, tt.want, tt.kind)
		}
	}
}

func TestAnswerRoundTrip(t *testing.T) {
	for _, want := range []*inference.Answer{
		{ID: "a", Model: "m", Created: 5, Finish: inference.Stop, Parts: []inference.Part{{Text: "hi \"x\"\n"}}, Usage: known},
		{ID: "a", Model: "m", Finish: inference.ToolCalls, Parts: []inference.Part{
			{Kind: inference.Thinking, Text: "t"},
			{Text: "x"},
			{Kind: inference.ToolUse, ID: "1", Name: "f", Data: `{"a":1}`},
			{Kind: inference.ToolUse, ID: "2", Name: "g", Data: `{}`},
		}},
		{ID: "a", Model: "m", Finish: inference.ContentFilter, Parts: []inference.Part{{Kind: inference.Refusal, Text: "no"}}},
		{ID: "a", Model: "m", Finish: inference.Length},
	} {
		body := EncodeAnswer(want)
		if !json.Valid(body) {
			t.Fatalf("not JSON: %s", body)
		}
		got, err := DecodeAnswer(lax(t, string(body)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: -want +got\n%s", body, diff)
		}
	}
}

func TestReadError(t *testing.T) {
	const secret = "sk-canary"
	tests := []struct {
		name   string
		status int
		body   string
		want   fault.Error // kind, status, code and param
	}{
		{"limit", 429, `{"error":{"message":"sk-canary"}}`, fault.Error{Kind: fault.UpstreamCapacity}},
		{"overloaded", 529, ``, fault.Error{Kind: fault.UpstreamCapacity}},
		{"key", 401, `{"error":{"message":"Incorrect API key provided: sk-canary","code":"invalid_api_key"}}`, fault.Error{Kind: fault.UpstreamAuth}},
		{"forbidden", 403, `<html>`, fault.Error{Kind: fault.UpstreamForbidden}},
		{"not for this project", 403, `{"error":{"message":"sk-canary","code":"model_not_found"}}`, fault.Error{Kind: fault.UpstreamForbidden}},
		{"no money", 402, `{"error":{"message":"Insufficient Balance"}}`, fault.Error{Kind: fault.UpstreamAuth}},
		{"timeout", 408, ``, fault.Error{Kind: fault.UpstreamTransient}},
		{"conflict", 409, ``, fault.Error{Kind: fault.UpstreamTransient}},
		{"failure", 500, `{"error":{"message":"sk-canary"}}`, fault.Error{Kind: fault.UpstreamError}},
		{"bad gateway", 502, `<html>sk-canary</html>`, fault.Error{Kind: fault.UpstreamError}},
		{"redirect", 302, ``, fault.Error{Kind: fault.Redirected}},
		{
			"param", 400, `{"error":{"message":"sk-canary","type":"invalid_request_error","param":"messages[2].content[0].type","code":"invalid_value"}}`,
			fault.Error{Kind: fault.UpstreamRejected, Status: 400, Code: "invalid_value", Param: "messages[2].content[0].type"},
		},
		{"hostile param and code", 400, `{"error":{"message":"sk-canary","param":"sk-canary","code":"sk-canary"}}`, fault.Error{Kind: fault.UpstreamRejected, Status: 400}},
		{"param that begins well", 422, `{"error":{"param":"tools[0].sk-canary"}}`, fault.Error{Kind: fault.UpstreamRejected, Status: 422, Param: "tools[0]"}},
		{"no such model", 404, `{"error":{"code":"model_not_found","message":"sk-canary"}}`, fault.Error{Kind: fault.UpstreamRejected, Status: 404, Code: "model_not_found"}},
		{"no such path", 404, `{"detail":"Not Found"}`, fault.Error{Kind: fault.UpstreamRejected, Status: 404, Code: "not_found"}},
		{"too large", 413, ``, fault.Error{Kind: fault.UpstreamRejected, Status: 413, Code: "request_too_large"}},
		{"OpenAI's window", 400, `{"error":{"message":"x","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`, fault.Error{Kind: fault.ContextTooLong, Param: "messages"}},
		{"vLLM's window", 400, `{"object":"error","message":"This model's maximum context length is 2048 tokens. However, you requested 3000 tokens","type":"BadRequestError","param":null,"code":400}`, fault.Error{Kind: fault.ContextTooLong, Param: "messages"}},
		{"vLLM's other window", 400, `{"error":{"message":"The decoder prompt (length 9000) is longer than the maximum model length of 8192.","code":400}}`, fault.Error{Kind: fault.ContextTooLong, Param: "messages"}},
		{"llama.cpp's window", 400, `{"error":{"code":400,"message":"request (9412 tokens) exceeds the available context size (8192 tokens), try increasing it","type":"exceed_context_size_error"}}`, fault.Error{Kind: fault.ContextTooLong, Param: "messages"}},
		{"SGLang's window", 400, `{"object":"error","message":"The input (9000 tokens) is longer than the model's context length (8192 tokens).","code":400}`, fault.Error{Kind: fault.ContextTooLong, Param: "messages"}},
	}
	var d scan.Doc
	for _, tt := range tests {
		f := ReadError(tt.status, []byte(tt.body), &d)
		got := fault.Error{Kind: f.Kind, Status: f.Status, Code: f.Code, Param: f.Param}
		if got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
		if f.Words == "" || strings.Contains(f.Error(), secret) || strings.Contains(string(AppendError(nil, f, "")), secret) {
			t.Errorf("%s: the words are %q", tt.name, f.Error())
		}
	}
}

// TestAppendError: each kind has a body that clients can read.
func TestAppendError(t *testing.T) {
	types := map[int]string{400: "invalid_request_error", 401: "invalid_request_error", 404: "invalid_request_error", 429: "rate_limit_error", 500: "server_error", 502: "server_error", 503: "server_error", 504: "server_error"}
	for _, k := range fault.Kinds() {
		f := &fault.Error{Kind: k, Words: "words"}
		var body struct {
			Error struct {
				Message, Type string
				Param, Code   *string
			}
		}
		if err := json.Unmarshal(AppendError(nil, f, "req_1"), &body); err != nil {
			t.Fatal(err)
		}
		want, ok := types[Status(f)]
		if k == fault.Quota {
			want = "insufficient_quota"
		}
		if ok && body.Error.Type != want || body.Error.Code == nil || *body.Error.Code != k.Info().Code || body.Error.Param != nil {
			t.Errorf("%v: got %+v, want type %s, code %s", k, body.Error, want, k.Info().Code)
		}
	}
	f := &fault.Error{Kind: fault.InvalidRequest, Words: "w", Param: "model", Code: "missing_required_parameter"}
	want := `{"error":{"message":"w","type":"invalid_request_error","param":"model","code":"missing_required_parameter"}}`
	if got := string(AppendError(nil, f, "")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAppendModels(t *testing.T) {
	for names, want := range map[string]string{
		"":    `{"object":"list","data":[]}`,
		"a b": `{"object":"list","data":[{"id":"a","object":"model","created":0,"owned_by":"headworks"},{"id":"b","object":"model","created":0,"owned_by":"headworks"}]}`,
	} {
		var models []inference.Model
		for name := range strings.FieldsSeq(names) {
			models = append(models, inference.Model{Name: name})
		}
		if got := string(AppendModels(nil, models...)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	const want = `{"id":"m","object":"model","created":1754524800,"owned_by":"headworks","context_length":400000,"max_model_len":400000,` +
		`"top_provider":{"max_completion_tokens":128000},"pricing":{"prompt":"0.00000125","completion":"0.00001","input_cache_read":"0.000000125","input_cache_write":"0"},` +
		`"capabilities":["tools","json_schema"]}`
	if got := string(AppendModel(nil, inference.Model{
		Name: "m", Created: 1754524800, Window: 400_000, Output: 128_000,
		Abilities: inference.AbilitiesOf(inference.JSONSchema, inference.Tools),
		Price:     inference.Price{Known: true, Input: 1.25, Output: 10, CacheRead: 0.125},
	})); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestRates: a price of a million tokens and that of one are the same number.
func TestRates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		usd := float64(rapid.IntRange(0, 1e9).Draw(t, "millionths")) / 1e6
		one, err := strconv.ParseFloat(scaled(strconv.FormatFloat(usd, 'f', -1, 64)), 64)
		if err != nil || math.Abs(one*1e6-usd) > 1e-9*usd {
			t.Fatalf("%v a million are %v each: %v", usd, one, err)
		}
	})
}

// TestWholeAnswerThatHasNotFinished: a reason that is null says so; one that is left
// out says nothing.
func TestWholeAnswerThatHasNotFinished(t *testing.T) {
	for reason, want := range map[string]fault.Kind{`,"finish_reason":null`: fault.Incomplete, ``: fault.None, `,"finish_reason":"stop"`: fault.None} {
		var d scan.Doc
		if err := d.ScanLax([]byte(`{"choices":[{"index":0,"message":{"role":"assistant","content":"x"}` + reason + `}]}`)); err != nil {
			t.Fatal(err)
		}
		var e inference.Event
		got := fault.None
		if err := ReadAnswer(&d, &e); err != nil {
			got = fault.Of(err).Kind
		}
		if got != want {
			t.Errorf("%q: %v, want %v", reason, got, want)
		}
	}
}
