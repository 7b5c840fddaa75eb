package anthropic

import (
	"testing"

	"headworks/internal/engine/enginetest"
	"headworks/internal/inference"
)

func TestConformance(t *testing.T) {
	enginetest.Run(t, enginetest.Kind{
		New:     New,
		Dialect: inference.Anthropic,
		Path:    "/v1/messages",
		Key:     enginetest.APIKey("x-api-key"),
		Said:    [][2]string{{"anthropic-version", "2023-06-01"}},
		Passed:  []string{"anthropic-version", "anthropic-beta"},
	})
}
