// Package llamacpp speaks to llama.cpp's server. Of its paths only chat
// completions, completions, embeddings and rerank are ever asked: /slots and /props
// show other callers' prompts.
//
// The server closes the connection after each stream while it advertises
// keep-alive, so a kept connection may turn out dead; wire sends such a request
// again. Until 2025 it told a failure in a field error: of its own instead of
// data:, which the stream reads as an error.
package llamacpp

import (
	"headworks/internal/engine"
	"headworks/internal/fleet"
)

// New returns the engine of an upstream's replicas; an empty key is not sent.
func New(replicas []fleet.Replica, keys []string) (*engine.HTTP, error) {
	return engine.NewHTTP(engine.Compatible(), replicas, engine.Options{Keys: engine.Bearer(keys)})
}
