package api_test

import (
	"net/http"
	"strings"
	"testing"

	"headworks/internal/engine/lexical"
)

// One model is told of in the form that its client knows, whatever slashes its name
// has and however they are written.
func TestOneModel(t *testing.T) {
	url := front(t, &foreign{})
	for path, tt := range map[string]struct {
		status int
		says   string
	}{
		"/v1/models/ours":              {200, `"id":"ours"`},
		"/models/ours":                 {200, `"id":"ours"`},
		"/v1/models/lab/org/model":     {200, `"id":"lab/org/model"`},
		"/v1/models/lab%2Forg%2Fmodel": {200, `"id":"lab/org/model"`},
		"/v1/models/theirs":            {404, `model_not_found`},
		"/v1/models/no/such":           {404, `model_not_found`},
		"/v1/models/":                  {404, `not_found`},
	} {
		res, got := talk(t, "GET", url+path, "Authorization", "Bearer any")
		if res.StatusCode != tt.status || !strings.Contains(got, tt.says) || res.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: %d %s", path, res.StatusCode, got)
		}
	}
	theirs := []string{"X-Api-Key", "any", "Anthropic-Version", "2023-06-01"}
	if res, got := talk(t, "GET", url+"/v1/models/ours", theirs...); res.StatusCode != 200 || !strings.Contains(got, `"type":"model","id":"ours"`) {
		t.Errorf("Anthropic's client: %d %s", res.StatusCode, got)
	}
	if res, got := talk(t, "GET", url+"/v1/models/theirs", theirs...); res.StatusCode != 404 || !strings.Contains(got, `"type":"not_found_error"`) {
		t.Errorf("Anthropic's client: %d %s", res.StatusCode, got)
	}
	if res, _ := talk(t, "DELETE", url+"/v1/models/ours", "Authorization", "Bearer any"); res.StatusCode != 405 || res.Header.Get("Allow") != "GET, POST" {
		t.Errorf("DELETE: %d, %v", res.StatusCode, res.Header)
	}
	if res, _ := talk(t, "GET", url+"/v1/models/ours"); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a key: %d", res.StatusCode)
	}
}

// A completion from an upstream of another dialect has the form that was asked for.
func TestCompletionTranslated(t *testing.T) {
	url := front(t, &foreign{}) + "/v1/completions"
	if got := ask(t, url, `{"model":"ours","prompt":"hi"}`); !strings.Contains(got, `"object":"text_completion"`) || !strings.Contains(got, `"text":"hello","index":0,"logprobs":null,"finish_reason":"stop"`) || !strings.Contains(got, `"id":"cmpl-req_`) {
		t.Errorf("got %s", got)
	}
	got := ask(t, url, `{"model":"ours","prompt":["hi"],"stream":true}`)
	if !strings.Contains(got, `"text":"hello"`) || !strings.HasSuffix(got, "data: [DONE]\n\n") || strings.Contains(got, "usage") {
		t.Errorf("got %s", got)
	}
}

// Embeddings and rerank are answered on all their paths, and an engine that does not
// serve them is told apart from one that failed.
func TestOperations(t *testing.T) {
	url := front(t, lexical.New())
	for _, path := range []string{"/v1/embeddings", "/embeddings"} {
		if got := ask(t, url+path, `{"model":"ours","input":["a","b"],"dimensions":3}`); strings.Count(got, `"embedding":[`) != 2 {
			t.Errorf("%s: %s", path, got)
		}
	}
	for _, path := range []string{"/v1/rerank", "/rerank", "/v2/rerank"} {
		if got := ask(t, url+path, `{"model":"ours","query":"a","documents":["b","a"],"top_n":1}`); !strings.Contains(got, `"results":[{"index":1,`) {
			t.Errorf("%s: %s", path, got)
		}
	}
	for path, body := range map[string]string{
		"/v1/embeddings":       `{"model":"ours","input":[1,2]}`,
		"/v1/chat/completions": `{"model":"ours","messages":[{"role":"user","content":"a"}]}`,
	} {
		if res, got := post(t, url+path, body); res.StatusCode != 400 || !strings.Contains(got, "unsupported_parameter") {
			t.Errorf("%s: %d %s", path, res.StatusCode, got)
		}
	}
}

func post(t *testing.T, url, body string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer any")
	return send(t, r)
}

// Ollama's clients ask for a model by a body, have one loaded before they need it, and
// ask for vectors in their own form. What the key may not use does not exist.
func TestOllamaModels(t *testing.T) {
	url := front(t, lexical.New())
	post := func(path, body string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequest("POST", url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer any")
		return send(t, r)
	}
	for _, tt := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"/api/show", `{"model":"ours"}`, 200, `"model_info":{"general.architecture":"headworks"`},
		{"/ollama/api/show", `{"name":"lab/org/model"}`, 200, `"details":{`},
		{"/api/show", `{"model":"theirs"}`, 404, `{"error":"no such model`},
		{"/api/show", `{}`, 400, `{"error":"model is missing"}`},
		{"/api/show", `{"model":1}`, 400, `{"error":"model must be a string"}`},
		{"/api/show", `{"model":"a","model":"b"}`, 400, `{"error":"the body is not JSON with a single reading`},
		{"/api/generate", `{"model":"ours"}`, 200, `"response":"","done":true,"done_reason":"load"}`},
		{"/api/chat", `{"model":"ours","messages":[],"keep_alive":0}`, 200, `"done":true,"done_reason":"unload"}`},
		{"/api/generate", `{"model":"theirs"}`, 404, `{"error":"no such model`},
		{"/api/embed", `{"model":"ours","input":["a","b"],"dimensions":8}`, 200, `{"model":"ours","embeddings":[[`},
		{"/api/embeddings", `{"model":"ours","prompt":"a"}`, 200, `{"embedding":[`},
		{"/api/embeddings", `{"model":"ours","prompt":["a"]}`, 400, `{"error":"prompt must be a string`},
		{"/api/embed", `{"model":"ours","input":[1,2]}`, 400, `{"error":"input must hold strings"}`},
		{"/api/pull", `{"model":"ours"}`, 404, `not_found`},
	} {
		res, got := post(tt.path, tt.body)
		if res.StatusCode != tt.status || !strings.Contains(got, tt.says) || res.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s %s: %d %s", tt.path, tt.body, res.StatusCode, got)
		}
	}
	for path, says := range map[string]string{
		"/api/tags": `{"models":[{"name":"ours","model":"ours","size":0,"digest":"`, "/api/ps": `"expires_at":"2300-`, "/ollama/api/version": `{"version":"`,
	} {
		if res, got := talk(t, "GET", url+path, "Authorization", "Bearer any"); res.StatusCode != 200 || !strings.Contains(got, says) || strings.Contains(got, "theirs") {
			t.Errorf("%s: %d %s", path, res.StatusCode, got)
		}
		if res, got := talk(t, "GET", url+path); res.StatusCode != 401 || !strings.HasPrefix(got, `{"error":"`) {
			t.Errorf("%s without a key: %d %s", path, res.StatusCode, got)
		}
	}
}
