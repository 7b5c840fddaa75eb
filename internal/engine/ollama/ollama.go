// Package ollama speaks to Ollama: in its own dialect at /api/chat and /api/generate,
// and for OpenAI's clients at /v1, where chat completions, completions and embeddings
// go byte for byte. Requests of other dialects go to /api/chat, which can tell more.
// No other path is asked: the rest loads, changes and removes models.
//
// A prompt that does not fit the window is never cut off in silence on the way through
// /api: unless the caller decides it, truncate is false, and Ollama refuses the
// prompt. How long the window is, num_ctx, stays what the operator or the caller says:
// each other value loads the model anew. At /v1 Ollama has no field for either, and
// what an answer breaks off with is lost there too: the stream ends without a reason
// to finish, which is told as a cut.
package ollama

import (
	"strings"

	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// New returns the engine of an upstream's replicas; an empty key is not sent.
func New(replicas []fleet.Replica, keys []string) (*engine.HTTP, error) {
	compatible, completions := engine.Chat(), engine.Completions()
	compatible.Refuse, completions.Refuse = several, several
	return engine.NewHTTP([]engine.Protocol{engine.OllamaChat(below("/api/chat")), engine.OllamaGenerate(below("/api/generate")), compatible, completions, engine.Embeddings()}, replicas, engine.Options{
		Keys: engine.Bearer(keys), Listing: tags(),
	})
}

// tags is Ollama's own list, which older versions have too.
func tags() *engine.Listing {
	path := below("/api/tags")
	return &engine.Listing{
		Target: func(dst []byte, base string) []byte { return path(dst, base, "", false) },
		Read: func(root scan.Value, yield func(string)) {
			for m := range root.Get("models").All() {
				yield(m.Get("name").Text())
			}
		},
	}
}

// below returns where a path of Ollama's own lies: beside /v1, where the base URL
// names that.
func below(path string) func(dst []byte, base, model string, stream bool) []byte {
	return func(dst []byte, base, _ string, _ bool) []byte {
		return append(append(dst, strings.TrimSuffix(base, "/v1")...), path...)
	}
}

// several refuses what Ollama would answer in part, or not at all.
func several(r *inference.Request) *fault.Error {
	param := "n"
	switch {
	case r.Prompts > 1:
		param = "prompt"
	case r.N < 2:
		return nil
	}
	return &fault.Error{
		Kind: fault.Unsupported, Param: param,
		Words: "Ollama takes one prompt at a time and gives one answer; send several requests, or ask a model of another engine",
	}
}
