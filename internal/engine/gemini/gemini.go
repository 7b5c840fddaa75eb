// Package gemini speaks to Google's Gemini API. Embeddings go its way for OpenAI's
// clients.
package gemini

import (
	"net/url"
	"strings"

	"headworks/internal/engine"
	"headworks/internal/fleet"
	"headworks/internal/scan"
)

// New returns the engine of an upstream's replicas; an empty key is not sent.
func New(replicas []fleet.Replica, keys []string) (*engine.HTTP, error) {
	vectors := engine.Embeddings()
	vectors.Target = func(dst []byte, base, _ string, _ bool) []byte {
		return append(append(dst, versioned(base)...), "/openai/embeddings"...)
	}
	return engine.NewHTTP([]engine.Protocol{engine.Generate(generate), engine.GenerateCount(count), vectors}, replicas, engine.Options{
		Keys:    engine.Keyed("x-goog-api-key", "", keys),
		Listing: &engine.Listing{Target: list, Read: names},
	})
}

// generate appends where a model is asked. A stream is one of server-sent events
// only if it is asked for as such.
func generate(dst []byte, base, model string, stream bool) []byte {
	if stream {
		return append(method(dst, base, model, "streamGenerateContent"), "?alt=sse"...)
	}
	return method(dst, base, model, "generateContent")
}

// list appends where the list of models is; one page holds all of them.
func list(dst []byte, base string) []byte {
	return append(append(dst, versioned(base)...), "/models?pageSize=1000"...)
}

func names(root scan.Value, yield func(string)) {
	for m := range root.Get("models").All() {
		yield(strings.TrimPrefix(m.Get("name").Text(), "models/"))
	}
}

func count(dst []byte, base, model string, _ bool) []byte {
	return method(dst, base, model, "countTokens")
}

func method(dst []byte, base, model, name string) []byte {
	dst = append(dst, versioned(base)...)
	if !strings.Contains(model, "/") { // tunedModels/... and the like are whole names
		dst = append(dst, "/models"...)
	}
	for part := range strings.SplitSeq(model, "/") {
		dst = append(append(dst, '/'), url.PathEscape(part)...)
	}
	return append(append(dst, ':'), name...)
}

// versioned returns the path of a base URL, with the version that is asked where it
// names none.
func versioned(base string) string {
	if engine.Versioned(base) == base {
		return base
	}
	return base + "/v1beta"
}
