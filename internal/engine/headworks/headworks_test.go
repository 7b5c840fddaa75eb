package headworks

import (
	"testing"

	"headworks/internal/engine"
	"headworks/internal/engine/enginetest"
	"headworks/internal/fleet"
	"headworks/internal/inference"
)

// vouched makes the engine with a field that says on whose behalf it asks, in the
// place of a key.
func vouched(replicas []fleet.Replica, keys []string) (*engine.HTTP, error) {
	if len(keys) == 0 || keys[0] == "" {
		return New(replicas, nil)
	}
	return New(replicas, func(*engine.Call, string, []byte) (name, value string, err error) {
		return "X-Headworks-Cell", keys[0], nil
	})
}

func TestConformance(t *testing.T) {
	own := inference.SetOf(inference.OpenAI, inference.Anthropic, inference.Gemini, inference.Ollama)
	for dialect, c := range map[inference.Dialect]struct{ path, stream string }{
		inference.OpenAI:         {path: "/v1/chat/completions"},
		inference.Anthropic:      {path: "/v1/messages"},
		inference.Gemini:         {"/v1beta/models/served:generateContent", "/v1beta/models/served:streamGenerateContent?alt=sse"},
		inference.Ollama:         {path: "/api/chat"},
		inference.OllamaGenerate: {path: "/api/generate"},
		inference.Completions:    {path: "/v1/completions"},
		inference.Embeddings:     {path: "/v1/embeddings"},
	} {
		t.Run(dialect.String(), func(t *testing.T) {
			k := enginetest.Kind{New: vouched, Dialect: dialect, Path: c.path, Stream: c.stream, Key: enginetest.APIKey("X-Headworks-Cell")}
			if k.Elsewhere = own &^ inference.SetOf(dialect); dialect != inference.OpenAI {
				k.Elsewhere |= inference.SetOf(inference.Responses) // a chat completion here
			}
			enginetest.Run(t, k)
		})
	}
}
