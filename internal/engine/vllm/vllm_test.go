package vllm

import (
	"testing"

	"headworks/internal/engine"
	"headworks/internal/engine/enginetest"
	"headworks/internal/fleet"
	"headworks/internal/inference"
)

func TestConformance(t *testing.T) {
	for dialect, path := range map[inference.Dialect]string{
		inference.OpenAI:      "/v1/chat/completions",
		inference.Completions: "/v1/completions",
		inference.Embeddings:  "/v1/embeddings",
		inference.Rerank:      "/v1/rerank",
	} {
		t.Run(dialect.String(), func(t *testing.T) {
			enginetest.Run(t, enginetest.Kind{New: plain, Dialect: dialect, Path: path, Key: enginetest.Bearer()})
		})
	}
}

// plain is an engine whose cache all tenants share.
func plain(replicas []fleet.Replica, keys []string) (*engine.HTTP, error) {
	return New(replicas, keys, false)
}
