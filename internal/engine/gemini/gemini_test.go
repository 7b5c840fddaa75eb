package gemini

import (
	"testing"

	"headworks/internal/engine/enginetest"
	"headworks/internal/inference"
)

func TestConformance(t *testing.T) {
	enginetest.Run(t, enginetest.Kind{
		New:     New,
		Dialect: inference.Gemini,
		Path:    "/v1beta/models/served:generateContent",
		Stream:  "/v1beta/models/served:streamGenerateContent?alt=sse",
		Key:     enginetest.APIKey("x-goog-api-key"),
	})
}

// TestEmbeddings go to the path that Google has for OpenAI's clients.
func TestEmbeddings(t *testing.T) {
	enginetest.Run(t, enginetest.Kind{
		New: New, Dialect: inference.Embeddings, Path: "/v1beta/openai/embeddings", Key: enginetest.APIKey("x-goog-api-key"),
	})
}

// TestTargets: names may have slashes and what a path escapes, and a base URL may
// name its version.
func TestTargets(t *testing.T) {
	for _, tt := range []struct{ base, model, want string }{
		{"", "gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"},
		{"/v1", "gemini-2.5-flash", "/v1/models/gemini-2.5-flash:generateContent"},
		{"/proxy", "models/x", "/proxy/v1beta/models/x:generateContent"},
		{"/proxy/v1beta", "tunedModels/a b?c", "/proxy/v1beta/tunedModels/a%20b%3Fc:generateContent"},
	} {
		if got := string(generate(nil, tt.base, tt.model, false)); got != tt.want {
			t.Errorf("%q %q: %s, want %s", tt.base, tt.model, got, tt.want)
		}
	}
}
