package engine_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"headworks/internal/catalog"
	"headworks/internal/engine"
	"headworks/internal/engine/anthropic"
	"headworks/internal/engine/azure"
	"headworks/internal/engine/gemini"
	"headworks/internal/engine/ollama"
	"headworks/internal/engine/openai"
	"headworks/internal/fault"
	"headworks/internal/fleet"
)

// TestList asks kinds of upstream for their models: where, with which credential, and
// what their answers mean. The shapes are those of the vendors' references.
func TestList(t *testing.T) {
	preset := func(replicas []fleet.Replica, keys []string) (*engine.HTTP, error) {
		k, _ := catalog.Find("together")
		return openai.Preset(k, replicas, keys)
	}
	for name, tt := range map[string]struct {
		make         func([]fleet.Replica, []string) (*engine.HTTP, error)
		uri, key     string
		answer       string
		status       int
		want         []string
		fault        fault.Kind
		neverReached bool
	}{
		"OpenAI":                     {make: openai.New, uri: "/v1/models", key: "Authorization: Bearer k", answer: `{"object":"list","data":[{"id":"b","object":"model"},{"id":"a"},{"id":"b"}]}`, want: []string{"a", "b"}},
		"Together":                   {make: preset, uri: "/v1/models", key: "Authorization: Bearer k", answer: `[{"id":"meta-llama/x","type":"chat"}]`, want: []string{"meta-llama/x"}},
		"Anthropic":                  {make: anthropic.New, uri: "/v1/models?limit=1000", key: "X-Api-Key: k", answer: `{"data":[{"type":"model","id":"claude-x","display_name":"X"}],"has_more":false}`, want: []string{"claude-x"}},
		"Gemini":                     {make: gemini.New, uri: "/v1beta/models?pageSize=1000", key: "X-Goog-Api-Key: k", answer: `{"models":[{"name":"models/gemini-x"}]}`, want: []string{"gemini-x"}},
		"Azure":                      {make: func(r []fleet.Replica, k []string) (*engine.HTTP, error) { return azure.New(r, k, "") }, fault: fault.Unsupported, neverReached: true},
		"Ollama":                     {make: ollama.New, uri: "/api/tags", key: "Authorization: Bearer k", answer: `{"models":[{"name":"qwen3:8b","model":"qwen3:8b","size":1}]}`, want: []string{"qwen3:8b"}},
		"another thing":              {make: openai.New, uri: "/v1/models", key: "Authorization: Bearer k", answer: `{"echo":true}`, fault: fault.Malformed},
		"names that cannot be shown": {make: openai.New, uri: "/v1/models", key: "Authorization: Bearer k", answer: `{"data":[{"id":""},{"id":"a\u0007"},{"id":7},{"id":"` + strings.Repeat("x", 257) + `"},{"id":"ok"}]}`, want: []string{"ok"}},
		"none":                       {make: openai.New, uri: "/v1/models", key: "Authorization: Bearer k", answer: `{"object":"list","data":null}`},
		"a wrong key":                {make: openai.New, uri: "/v1/models", key: "Authorization: Bearer k", status: 401, answer: `{}`, fault: fault.UpstreamAuth},
		"a redirect":                 {make: openai.New, uri: "/v1/models", key: "Authorization: Bearer k", status: 302, fault: fault.Redirected},
		"no JSON":                    {make: openai.New, uri: "/v1/models", key: "Authorization: Bearer k", answer: `<html>`, fault: fault.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			reached := false
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				reached = true
				field, value, _ := strings.Cut(tt.key, ": ")
				if r.Method != http.MethodGet || r.RequestURI != tt.uri || r.Header.Get(field) != value {
					t.Errorf("%s %s with %v", r.Method, r.RequestURI, r.Header)
				}
				if tt.status != 0 {
					w.Header().Set("Location", "/elsewhere")
					w.WriteHeader(tt.status)
				}
				_, _ = io.WriteString(w, tt.answer)
			}))
			defer server.Close()
			e, err := tt.make([]fleet.Replica{{ID: 5, URL: server.URL}}, []string{"k"})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			got, err := e.List(t.Context(), 5, time.Time{})
			if tt.fault != fault.None {
				if err == nil || fault.Of(err).Kind != tt.fault {
					t.Errorf("%v, want %v", err, tt.fault)
				}
			} else if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
			if reached == tt.neverReached {
				t.Errorf("reached: %v", reached)
			}
		})
	}
}

func TestListInTime(t *testing.T) {
	hold := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	defer server.Close()
	defer close(hold)
	e, err := openai.New([]fleet.Replica{{ID: 5, URL: server.URL}}, []string{""})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.List(t.Context(), 5, time.Now().Add(10*time.Millisecond)); err == nil || fault.Of(err).Kind != fault.FirstTokenTimeout {
		t.Errorf("%v", err)
	}
	if _, err := e.List(t.Context(), 6, time.Time{}); err == nil || fault.Of(err).Kind != fault.Internal {
		t.Errorf("%v", err)
	}
}
