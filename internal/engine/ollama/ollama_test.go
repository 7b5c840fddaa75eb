package ollama

import (
	"testing"

	"headworks/internal/engine"
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
			enginetest.Run(t, enginetest.Kind{New: New, Dialect: dialect, Path: path, Key: enginetest.Bearer(), Elsewhere: elsewhere, One: true})
		})
	}
}

// TestTargets: Ollama's own paths lie beside /v1, whether the base URL names that or
// not.
func TestTargets(t *testing.T) {
	for base, want := range map[string]string{"": "/api/chat", "/v1": "/api/chat", "/lab": "/lab/api/chat", "/lab/v1": "/lab/api/chat"} {
		if got := string(engine.OllamaChat(below("/api/chat")).Target(nil, base, "m", true)); got != want {
			t.Errorf("%q: %s, want %s", base, got, want)
		}
	}
}

func TestSeveral(t *testing.T) {
	for asked, want := range map[[2]int]string{{1, 0}: "", {1, 1}: "", {2, 0}: "n", {2, 1}: "n", {2, 2}: "prompt"} {
		got := ""
		if f := several(&inference.Request{N: asked[0], Prompts: asked[1]}); f != nil {
			got = f.Param
		}
		if got != want {
			t.Errorf("%d answers to %d prompts: %q is refused, want %q", asked[0], asked[1], got, want)
		}
	}
}
