// Package openai speaks to OpenAI, and to whatever else speaks as it does.
//
// Of OpenAI itself the Responses API is spoken too. Others that have a path of that
// name serve their own reading of it, over a chat completion as we do: vLLM's knows
// a part of the items, keeps answers in memory of one process without an end, and
// for any caller. Through a translation of ours they all do the same.
package openai

import (
	"headworks/internal/catalog"
	"headworks/internal/engine"
	"headworks/internal/fleet"
)

// New returns the engine of an upstream's replicas; an empty key is not sent.
func New(replicas []fleet.Replica, keys []string) (*engine.HTTP, error) {
	protocols := engine.Compatible()
	if kind, _ := catalog.Find("openai"); len(replicas) > 0 && kind.Itself(replicas[0].URL) {
		protocols[0] = engine.Chat()
		protocols = append(protocols, engine.Responses())
	}
	return engine.NewHTTP(protocols, replicas, engine.Options{
		Keys:      engine.Bearer(keys),
		Forwarded: []string{"openai-beta"},
		Listing:   engine.Models(),
	})
}
