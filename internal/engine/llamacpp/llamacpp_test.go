package llamacpp

import (
	"testing"

	"headworks/internal/engine/enginetest"
	"headworks/internal/inference"
)

func TestConformance(t *testing.T) {
	for dialect, path := range map[inference.Dialect]string{
		inference.OpenAI: "/v1/chat/completions",
		inference.Rerank: "/v1/rerank",
	} {
		t.Run(dialect.String(), func(t *testing.T) {
			enginetest.Run(t, enginetest.Kind{New: New, Dialect: dialect, Path: path, Key: enginetest.Bearer()})
		})
	}
}
