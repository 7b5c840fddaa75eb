// Package llamacpp speaks to llama.cpp's server. Of its paths only chat
// completions, completions, embeddings and rerank are ever asked: /slots and /props
// show other callers' prompts.
//
// The server closes the connection after each stream while it advertises
// keep-alive, so a kept connection may turn out dead; wire sends such a request
// again. Until 2025 it told a failure in a field error: of its own instead of
// data:, which the stream reads as an error. Several prompts of one completion it
// answers in an array of answers, which no client of the dialect reads.
package llamacpp

import (
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
)

// New returns the engine of an upstream's replicas; an empty key is not sent.
func New(replicas []fleet.Replica, keys []string) (*engine.HTTP, error) {
	protocols := engine.Compatible()
	for i := range protocols {
		if protocols[i].Dialect == inference.Completions {
			protocols[i].Refuse = several
		}
	}
	return engine.NewHTTP(protocols, replicas, engine.Options{Keys: engine.Bearer(keys), Listing: engine.Models()})
}

func several(r *inference.Request) *fault.Error {
	if r.Prompts < 2 {
		return nil
	}
	return &fault.Error{
		Kind: fault.Unsupported, Param: "prompt",
		Words: "llama.cpp takes one prompt at a time; send several requests, or ask a model of another engine",
	}
}
