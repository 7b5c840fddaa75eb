package openai

import (
	"testing"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// TestChoicesThatFailed: what providers write in the place of an end is no end.
// Sources: OpenRouter, errors and debugging, "mid-stream error format"; Groq, API
// reference, x_groq.error; DeepSeek, API reference, finish_reason.
func TestChoicesThatFailed(t *testing.T) {
	for _, tt := range []struct {
		name, event string
		want        fault.Kind
	}{
		{"OpenRouter", `{"id":"g","object":"chat.completion.chunk","created":1,"model":"m","provider":"p","error":{"code":"server_error","message":"Provider disconnected"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error","native_finish_reason":"error"}]}`, fault.UpstreamError},
		{"OpenRouter, at its limit", `{"id":"g","error":{"code":429,"message":"x"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}`, fault.UpstreamCapacity},
		{"OpenRouter, in the choice", `{"id":"g","choices":[{"index":0,"delta":{"content":""},"error":{"code":502,"message":"x"},"finish_reason":"stop"}]}`, fault.UpstreamError},
		{"the reason alone", `{"id":"g","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}`, fault.UpstreamError},
		{"DeepSeek", `{"id":"g","choices":[{"index":0,"delta":{"content":""},"finish_reason":"insufficient_system_resource"}],"usage":null}`, fault.UpstreamError},
		{"Groq", `{"id":"g","choices":[{"index":0,"delta":{},"finish_reason":null}],"x_groq":{"id":"req_1","error":"over capacity"}}`, fault.UpstreamError},
	} {
		var d scan.Doc
		var r Reader
		if _, err := r.Read(nil, []byte(tt.event), &d); err == nil || fault.Of(err).Kind != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	var d scan.Doc
	if err := d.ScanLax([]byte(`{"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"error"}]}`)); err != nil {
		t.Fatal(err)
	}
	var e inference.Event
	if err := ReadAnswer(&d, &e); err == nil || fault.Of(err).Kind != fault.UpstreamError {
		t.Errorf("a whole answer that failed: %v", err)
	}
}

func TestUsageOfGroq(t *testing.T) {
	var d scan.Doc
	var r Reader
	e, err := r.Read(nil, []byte(`{"id":"g","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"r","usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}}`), &d)
	if want := (inference.Usage{Input: 3, Output: 4, Known: true}); err != nil || e.Usage != want {
		t.Errorf("%+v, %v", e, err)
	}
}

// TestProvidersErrors: what providers write in an error answer, and what it means.
func TestProvidersErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   fault.Kind
	}{
		{"xAI, a wrong key", 400, `{"code":"Client specified an invalid argument","error":"Incorrect API key provided: sk***gA. You can obtain an API key from https://console.x.ai."}`, fault.UpstreamAuth},
		{"Groq, more than it ever takes at once", 413, `{"error":{"message":"Request too large for model","type":"tokens","code":"rate_limit_exceeded"}}`, fault.ContextTooLong},
		{"Groq, a tool call that is none", 400, `{"error":{"message":"Failed to call a function.","type":"invalid_request_error","code":"tool_use_failed","failed_generation":"x"}}`, fault.UpstreamTransient},
		{"Groq, flex tier", 498, `{"error":{"message":"x","type":"capacity_exceeded"}}`, fault.UpstreamCapacity},
		{"DeepSeek, no money", 402, `{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}`, fault.UpstreamAuth},
		{"Mistral, no key", 401, `{"message":"Unauthorized","request_id":"x"}`, fault.UpstreamAuth},
		{"Mistral, too much", 422, `{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","x"]}]},"type":"invalid_request_error","param":null,"code":null}`, fault.UpstreamRejected},
		{"Azure, no deployment", 404, `{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}`, fault.UpstreamRejected},
		{"Azure, its filter", 400, `{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{}}}}`, fault.UpstreamRejected},
		{"Azure, a wrong key", 401, `{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint."}}`, fault.UpstreamAuth},
		{"Azure, at its limit", 429, `{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation have exceeded token rate limit. Please retry after 6 seconds."}}`, fault.UpstreamCapacity},
	} {
		if f := ReadError(tt.status, []byte(tt.body), new(scan.Doc)); f.Kind != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, f, tt.want)
		}
	}
}

// TestAzureBegins: what Azure says of a prompt before anything begins is no beginning.
func TestAzureBegins(t *testing.T) {
	var d scan.Doc
	var r Reader
	var got []inference.Delta
	for _, e := range []string{
		`{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}`,
		`{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}],"id":"chatcmpl-1","model":"gpt-4o"}`,
	} {
		if _, err := r.Read(nil, []byte(e), &d); err != nil {
			t.Fatal(err)
		}
		got = r.Deltas(got)
	}
	if len(got) != 2 || got[0].Kind != inference.Begin || got[0].ID != "chatcmpl-1" || got[0].Model != "gpt-4o" {
		t.Errorf("%+v", got)
	}
}
