// Package openai speaks to OpenAI, and to whatever else speaks as it does.
package openai

import (
	"net/url"
	"strings"

	"headworks/internal/engine"
	"headworks/internal/fleet"
)

// New returns the engine of an upstream's replicas; an empty key is not sent.
func New(replicas []fleet.Replica, keys []string) (*engine.HTTP, error) {
	protocols := engine.Compatible()
	if len(replicas) > 0 && itself(replicas[0].URL) {
		protocols[0] = engine.Chat()
	}
	return engine.NewHTTP(protocols, replicas, engine.Options{
		Keys:      engine.Bearer(keys),
		Forwarded: []string{"openai-beta"},
	})
}

// itself reports whether a URL is OpenAI's own.
func itself(base string) bool {
	u, err := url.Parse(base)
	return err == nil && (u.Hostname() == "openai.com" || strings.HasSuffix(u.Hostname(), ".openai.com"))
}
