// Package anthropic speaks to Anthropic.
package anthropic

import (
	"headworks/internal/engine"
	"headworks/internal/fleet"
)

// version is the API version sent where the caller names none.
const version = "2023-06-01"

// New returns the engine of an upstream's replicas; an empty key is not sent.
func New(replicas []fleet.Replica, keys []string) (*engine.HTTP, error) {
	return engine.NewHTTP([]engine.Protocol{engine.Messages(), engine.Counting()}, replicas, engine.Options{
		Keys:      engine.Keyed("x-api-key", "", keys),
		Defaults:  [][2]string{{"anthropic-version", version}},
		Forwarded: []string{"anthropic-version", "anthropic-beta"},
		Listing:   engine.MessagesModels(),
	})
}
