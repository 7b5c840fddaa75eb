package openai

import (
	"testing"

	"headworks/internal/engine/enginetest"
	"headworks/internal/inference"
)

func TestConformance(t *testing.T) {
	for dialect, path := range map[inference.Dialect]string{
		inference.OpenAI:     "/v1/chat/completions",
		inference.Embeddings: "/v1/embeddings",
	} {
		t.Run(dialect.String(), func(t *testing.T) {
			enginetest.Run(t, enginetest.Kind{
				New: New, Dialect: dialect, Path: path, Key: enginetest.Bearer(), Passed: []string{"openai-beta"},
			})
		})
	}
}
