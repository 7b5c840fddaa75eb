package openai

import (
	"testing"

	"headworks/internal/engine/enginetest"
	"headworks/internal/inference"
)

func TestConformance(t *testing.T) {
	enginetest.Run(t, enginetest.Kind{
		New:     New,
		Dialect: inference.OpenAI,
		Path:    "/v1/chat/completions",
		Key:     enginetest.Bearer(),
		Passed:  []string{"openai-beta"},
	})
}
