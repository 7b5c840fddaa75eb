package ollama

import (
	"testing"

	"headworks/internal/engine/enginetest"
	"headworks/internal/inference"
)

func TestConformance(t *testing.T) {
	for dialect, path := range map[inference.Dialect]string{
		inference.Ollama:         "/api/chat",
		inference.OllamaGenerate: "/api/generate",
		inference.OpenAI:         "/v1/chat/completions",
		inference.Completions:    "/v1/completions",
		inference.Embeddings:     "/v1/embeddings",
	} {
		t.Run(dialect.String(), func(t *testing.T) {
			elsewhere := inference.SetOf(inference.OpenAI)
			if dialect == inference.OpenAI {
				elsewhere = inference.SetOf(inference.Anthropic, inference.Responses, inference.Gemini, inference.Ollama)
			}
			enginetest.Run(t, enginetest.Kind{New: New, Dialect: dialect, Path: path, Key: enginetest.Bearer(), Elsewhere: elsewhere})
		})
	}
}

// TestTargets: Ollama's own paths lie beside /v1, whether the base URL names that or
// not.
func TestTargets(t *testing.T) {
	for base, want := range map[string]string{"": "/api/chat", "/v1": "/api/chat", "/lab": "/lab/api/chat", "/lab/v1": "/lab/api/chat"} {
		if got := string(chat().Target(nil, base, "m", true)); got != want {
			t.Errorf("%q: %s, want %s", base, got, want)
		}
	}
}

func TestSeveralPrompts(t *testing.T) {
	for prompts, want := range map[int]bool{0: false, 1: false, 2: true} {
		if got := several(&inference.Request{Prompts: prompts}) != nil; got != want {
			t.Errorf("%d prompts are refused: %v", prompts, got)
		}
	}
}
