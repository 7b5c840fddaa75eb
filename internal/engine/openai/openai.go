// Package openai speaks to OpenAI, and to whatever else speaks as it does.
package openai

import (
	"headworks/internal/engine"
	"headworks/internal/fleet"
)

// New returns the engine of an upstream's replicas; an empty key is not sent.
func New(replicas []fleet.Replica, key string) (*engine.HTTP, error) {
	return engine.NewHTTP(engine.Chat(), replicas, engine.Options{
		Header:    engine.Bearer(key),
		Forwarded: []string{"openai-organization", "openai-project", "openai-beta"},
	})
}
