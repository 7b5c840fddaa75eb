// Package headworks speaks to the gateways of another cell: in the caller's own
// dialect, byte for byte, on the paths that every gateway serves. Each request says on
// whose behalf it is sent.
//
// Of the Responses API nothing is sent: what it keeps stays with the cell that was
// asked, so a conversation of it goes as a chat completion.
package headworks

import (
	"net/url"
	"strings"

	"headworks/internal/engine"
	"headworks/internal/fleet"
)

// New returns the engine of a cell's gateways. vouch says on whose behalf a request
// is sent, see engine.Options.
func New(replicas []fleet.Replica, vouch func(c *engine.Call, target string, body []byte) (name, value string, err error)) (*engine.HTTP, error) {
	protocols := append([]engine.Protocol{
		engine.Chat(), engine.Messages(), engine.Generate(generate),
		engine.OllamaChat(below("/api/chat")), engine.OllamaGenerate(below("/api/generate")),
		engine.Completions(), engine.Embeddings(), engine.Rerank(), engine.Counting(), engine.GenerateCount(count),
	}, engine.Passing()...)
	return engine.NewHTTP(protocols, replicas, engine.Options{
		Vouch:     vouch,
		Forwarded: []string{"openai-beta", "anthropic-version", "anthropic-beta"},
	})
}

// root returns the path of a base URL without the version that it may name.
func root(base string) string { return strings.TrimSuffix(base, "/v1") }

func below(path string) func(dst []byte, base, model string, stream bool) []byte {
	return func(dst []byte, base, _ string, _ bool) []byte { return append(append(dst, root(base)...), path...) }
}

func generate(dst []byte, base, model string, stream bool) []byte {
	if stream {
		return append(method(dst, base, model, "streamGenerateContent"), "?alt=sse"...)
	}
	return method(dst, base, model, "generateContent")
}

func count(dst []byte, base, model string, _ bool) []byte {
	return method(dst, base, model, "countTokens")
}

func method(dst []byte, base, model, name string) []byte {
	dst = append(append(dst, root(base)...), "/v1beta/models/"...)
	return append(append(append(dst, url.PathEscape(model)...), ':'), name...)
}
