// Package sglang speaks to SGLang's OpenAI server. Of its paths only chat completions,
// completions, embeddings, rerank and classify are ever asked: most others are open to anybody
// and some change the engine.
//
// A failure in mid-stream comes as an error event with [DONE] behind it; the dialect's
// reader lets the error decide. The documents of a rerank come as a bare array with
// names of its own, which is written as all others have it. A regex, an EBNF grammar
// and a JSON schema cannot be asked for at once, and an answer to one that the engine
// cannot follow is a refusal that comes as the others do.
package sglang

import (
	"strconv"

	"headworks/internal/engine"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// New returns the engine of an upstream's replicas; an empty key is not sent. With salt
// tenants share nothing in its KV cache.
func New(replicas []fleet.Replica, keys []string, salt bool) (*engine.HTTP, error) {
	protocols := engine.Compatible()
	for i := range protocols {
		if protocols[i].Dialect == inference.Rerank {
			protocols[i].Recast = ranked
		}
		protocols[i].Own = bootstrap()
	}
	return engine.NewHTTP(protocols, replicas, engine.Options{Salt: salt, Keys: engine.Bearer(keys), Listing: engine.Models(), Classes: engine.Classes(true)})
}

// bootstrap are the fields that say between which servers a prompt is handed over
// (ChatCompletionRequest of SGLang's entrypoints/openai/protocol.py): a caller names no
// server that an engine would speak to. Prompts are not handed over here, as SGLang's
// servers want both requests at once.
func bootstrap() []string {
	return []string{"bootstrap_host", "bootstrap_port", "bootstrap_room"}
}

// ranked writes an array of {score, document, index, meta_info}, the best first
// (RerankResponse of SGLang's entrypoints/openai/protocol.py), as results. It gives no
// more than were asked for, as older versions know no top_n.
func ranked(c *engine.Call, answer *scan.Doc) []byte {
	list := answer.Root()
	if list.Kind() != scan.Array {
		return nil
	}
	whole, _ := c.Doc.Root().Get("return_documents").Bool()
	dst := scan.AppendString([]byte(`{"model":`), c.Model)
	dst = append(scan.AppendKey(dst, "results"), '[')
	tokens, n := int64(0), 0
	for v := range list.All() {
		read, _ := v.Get("meta_info").Get("prompt_tokens").Int()
		tokens += max(0, read)
		if n++; n > c.Request.Prompts {
			continue
		}
		dst = append(scan.AppendComma(dst), '{')
		for _, f := range [][2]string{{"index", "index"}, {"score", "relevance_score"}} {
			if m := v.Get(f[0]); m.Exists() {
				dst = append(scan.AppendKey(dst, f[1]), m.Raw()...)
			}
		}
		if text := v.Get("document"); whole && text.Kind() == scan.String {
			dst = append(append(append(scan.AppendKey(dst, "document"), `{"text":`...), text.Raw()...), '}')
		}
		dst = append(dst, '}')
	}
	dst = append(dst, ']')
	if tokens > 0 {
		dst = strconv.AppendInt(append(scan.AppendKey(dst, "usage"), `{"prompt_tokens":`...), tokens, 10)
		dst = append(strconv.AppendInt(append(dst, `,"total_tokens":`...), tokens, 10), '}')
	}
	return append(dst, '}')
}
