package openai

import (
	"testing"

	"headworks/internal/engine"
	"headworks/internal/engine/enginetest"
	"headworks/internal/fleet"
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

// TestResponses: what OpenAI itself is asked in, at an address of the test's.
func TestResponses(t *testing.T) {
	enginetest.Run(t, enginetest.Kind{
		New: func(replicas []fleet.Replica, keys []string) (*engine.HTTP, error) {
			return engine.NewHTTP([]engine.Protocol{engine.Responses()}, replicas, engine.Options{
				Keys: engine.Bearer(keys), Forwarded: []string{"openai-beta"},
			})
		},
		Dialect: inference.Responses, Path: "/v1/responses", Key: enginetest.Bearer(), Passed: []string{"openai-beta"},
	})
}
