package anthropic

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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
			"text and a call", `{"content":[{"type":"thinking","thinking":"abc","signature":"s"},{"type":"text","text":"ab"},{"type":"tool_use","id":"1","name":"f","input":{"a":1}}],"stop_reason":"tool_use","usage":{"input_tokens":3,"cache_read_input_tokens":5,"output_tokens":4}}`,
			inference.Event{Content: true, Terminal: true, Text: 12, Finishes: 1, Finish: inference.ToolCalls, Usage: inference.Usage{Input: 8, Output: 4, CacheRead: 5, Known: true}},
			fault.None,
		},
		{
			"an empty answer is an answer", `{"content":[],"stop_reason":"max_tokens","error":null}`,
			inference.Event{Content: true, Terminal: true, Finishes: 1, Finish: inference.Length},
			fault.None,
		},
		{"error inside 200", `{"type":"error","error":{"type":"overloaded_error","message":"x"}}`, inference.Event{}, fault.UpstreamCapacity},
		{"no content", `{"id":"x"}`, inference.Event{}, fault.Malformed},
		{"OpenAI's answer", `{"choices":[{"message":{"content":"x"}}]}`, inference.Event{}, fault.Malformed},
		{"two contents", `{"content":[],"content":[],"stop_reason":"end_turn"}`, inference.Event{}, fault.Malformed},
		{"two reasons", `{"content":[],"stop_reason":"end_turn","stop_reason":"max_tokens"}`, inference.Event{}, fault.Malformed},
		{"two usages", `{"content":[],"stop_reason":"end_turn","usage":{"output_tokens":1},"usage":{"output_tokens":2}}`, inference.Event{}, fault.Malformed},
		{"two errors", `{"content":[],"stop_reason":"end_turn","error":{"type":"api_error"},"error":null}`, inference.Event{}, fault.Malformed},
		{
			"a key that decides nothing stands twice", `{"id":"a","id":"b","content":[],"stop_reason":"end_turn"}`,
			inference.Event{Content: true, Terminal: true, Finishes: 1, Finish: inference.Stop},
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
		{ID: "a", Model: "m", Finish: inference.Stop, Parts: []inference.Part{{Text: "hi \"x\"\n"}}, Usage: used(3)},
		{ID: "a", Model: "m", Finish: inference.StopSequence, StopSequence: "END", Usage: inference.Usage{Known: true}},
		{ID: "a", Model: "m", Finish: inference.ToolCalls, Usage: used(3), Parts: []inference.Part{
			{Kind: inference.Thinking, Text: "t"},
			{Kind: inference.Thinking, Text: "u", Signature: "s"},
			{Kind: inference.Redacted, Data: "d"},
			{Text: "x"},
			{Kind: inference.ToolUse, ID: "1", Name: "f", Data: `{"a":1}`},
			{Kind: inference.ToolUse, ID: "2", Name: "g", Data: `{}`},
		}},
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
	body := func(kind, message string) string {
		return `{"type":"error","error":{"type":"` + kind + `","message":"` + message + `"},"request_id":"req_sk-canary"}`
	}
	tests := []struct {
		name   string
		status int
		body   string
		want   fault.Error // kind, status, code and param
	}{
		{"limit", 429, body("rate_limit_error", "sk-canary"), fault.Error{Kind: fault.UpstreamCapacity}},
		{"overloaded", 529, body("overloaded_error", "Overloaded"), fault.Error{Kind: fault.UpstreamCapacity}},
		{"key", 401, body("authentication_error", "sk-canary"), fault.Error{Kind: fault.UpstreamAuth}},
		{"failure", 500, body("api_error", "sk-canary"), fault.Error{Kind: fault.UpstreamError}},
		{"page", 502, `<html>sk-canary`, fault.Error{Kind: fault.UpstreamError}},
		{"param", 400, body("invalid_request_error", "max_tokens: Field required"), fault.Error{Kind: fault.UpstreamRejected, Status: 400, Param: "max_tokens"}},
		{"deep param", 400, body("invalid_request_error", "messages.0.content.1.sk-canary: Input should be"), fault.Error{Kind: fault.UpstreamRejected, Status: 400, Param: "messages"}},
		{"hostile param", 400, body("invalid_request_error", "sk-canary: no"), fault.Error{Kind: fault.UpstreamRejected, Status: 400}},
		{"no such model", 404, body("not_found_error", "model: sk-canary"), fault.Error{Kind: fault.UpstreamRejected, Status: 404, Code: "not_found", Param: "model"}},
		{"too large", 413, body("request_too_large", "sk-canary"), fault.Error{Kind: fault.UpstreamRejected, Status: 413, Code: "request_too_large"}},
		{"window", 400, body("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), fault.Error{Kind: fault.ContextTooLong, Param: "messages"}},
		{"window with the answer", 400, body("invalid_request_error", "input length and `max_tokens` exceed context limit: 1 + 2 > 2"), fault.Error{Kind: fault.ContextTooLong, Param: "messages"}},
	}
	var d scan.Doc
	for _, tt := range tests {
		f := ReadError(tt.status, []byte(tt.body), &d)
		got := fault.Error{Kind: f.Kind, Status: f.Status, Code: f.Code, Param: f.Param}
		if got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
		if f.Words == "" || strings.Contains(f.Error(), "canary") || strings.Contains(string(AppendError(nil, f, "")), "canary") {
			t.Errorf("%s: the words are %q", tt.name, f.Error())
		}
	}
}

// TestAppendError: each kind has a status and a type that clients know.
func TestAppendError(t *testing.T) {
	types := map[int]string{
		400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
		405: "invalid_request_error", 408: "invalid_request_error", 413: "request_too_large", 429: "rate_limit_error",
		499: "invalid_request_error", 500: "api_error", 502: "api_error", 504: "timeout_error", 529: "overloaded_error",
	}
	for _, k := range fault.Kinds() {
		f := &fault.Error{Kind: k, Words: "words"}
		var body struct {
			Type      string
			RequestID string `json:"request_id"`
			Error     struct{ Type, Message string }
		}
		if err := json.Unmarshal(AppendError(nil, f, "req_1"), &body); err != nil {
			t.Fatal(err)
		}
		if want := types[Status(f)]; body.Type != "error" || body.RequestID != "req_1" || body.Error.Message != "words" || body.Error.Type != want || want == "" {
			t.Errorf("%v: got %+v with status %d, want type %q", k, body, Status(f), want)
		}
	}
}

func TestAppendModels(t *testing.T) {
	for names, want := range map[string]string{
		"":    `{"data":[],"has_more":false,"first_id":null,"last_id":null}`,
		"a b": `{"data":[{"type":"model","id":"a","display_name":"a","created_at":"1970-01-01T00:00:00Z"},{"type":"model","id":"b","display_name":"b","created_at":"1970-01-01T00:00:00Z"}],"has_more":false,"first_id":"a","last_id":"b"}`,
	} {
		var models []inference.Model
		for name := range strings.FieldsSeq(names) {
			models = append(models, inference.Model{Name: name})
		}
		if got := string(AppendModels(nil, models...)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	const want = `{"type":"model","id":"m","display_name":"m","created_at":"2025-09-29T00:00:00Z","max_input_tokens":200000,"max_tokens":64000,` +
		`"capabilities":{"image_input":{"supported":true},"pdf_input":{"supported":false},"structured_outputs":{"supported":false},"thinking":{"supported":true}}}`
	if got := string(AppendModel(nil, inference.Model{
		Name: "m", Created: 1759104000, Window: 200_000, Output: 64_000,
		Abilities: inference.AbilitiesOf(inference.Tools, inference.Vision, inference.Reasoning),
	})); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
