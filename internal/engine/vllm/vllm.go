// Package vllm speaks to vLLM's OpenAI server. Of its paths only chat
// completions, completions, embeddings, rerank, transcriptions, translations and
// classify are ever asked: most others are open to anybody and some change the engine.
//
// A failure in mid-stream comes as an error event with [DONE] behind it; the
// dialect's reader lets the error decide.
package vllm

import (
	"headworks/internal/engine"
	"headworks/internal/fleet"
	"headworks/internal/inference"
)

// New returns the engine of an upstream's replicas; an empty key is not sent. With salt
// tenants share nothing in its KV cache.
func New(replicas []fleet.Replica, keys []string, salt bool) (*engine.HTTP, error) {
	protocols := engine.Compatible()
	for i := range protocols {
		protocols[i].Own = own()
		if d := protocols[i].Dialect; d == inference.OpenAI || d == inference.Completions {
			protocols[i].Handover = handover()
		}
	}
	return engine.NewHTTP(protocols, replicas, engine.Options{Salt: salt, Keys: engine.Bearer(keys), Listing: engine.Models(), Classes: engine.Classes(false)})
}
