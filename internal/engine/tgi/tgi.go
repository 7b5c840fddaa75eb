// Package tgi speaks to Hugging Face's Text Generation Inference. Of its paths only
// chat completions and completions are ever asked.
//
// What it does otherwise than others: it gives one answer whatever n is, so more are
// refused before anything is sent. It refuses a top_p of 1, which asks for nothing
// and many clients send, so it is not told of it. An error has its words in a field
// error and its kind in error_type; one of the model has status 424, and one in
// mid-stream says 422 whatever it is.
package tgi

import (
	"slices"

	"headworks/internal/dialect/openai"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// New returns the engine of an upstream's replicas; an empty key is not sent.
func New(replicas []fleet.Replica, keys []string) (*engine.HTTP, error) {
	chat, completions := engine.Chat(), engine.Completions()
	chat.Encode, chat.Edits, chat.ReadError = encode, edits, readError
	completions.Edits, completions.ReadError = edits, readError
	chat.Refuse, completions.Refuse = several, several
	return engine.NewHTTP([]engine.Protocol{chat, completions}, replicas, engine.Options{Keys: engine.Bearer(keys), Listing: engine.Models()})
}

func encode(c *inference.Conversation, model string, stream bool) (body []byte, dropped []string) {
	if c.TopP != nil && *c.TopP >= 1 {
		all := *c
		all.TopP = nil
		c = &all
	}
	return openai.EncodeCompatible(c, model, stream)
}

func edits(dst []scan.Edit, d *scan.Doc, model string) []scan.Edit {
	first := len(dst)
	dst = openai.Edits(dst, d, model)
	p := d.Root().Get("top_p")
	if f, ok := p.Float(); !ok || f < 1 {
		return dst
	}
	none := scan.Replace(p, []byte("null"))
	i := first
	for i < len(dst) && dst[i].Start < none.Start {
		i++
	}
	return slices.Insert(dst, i, none)
}

// several refuses a request for several answers: TGI gives one whatever n is.
func several(r *inference.Request) *fault.Error {
	if r.N <= max(1, r.Prompts) {
		return nil
	}
	return &fault.Error{
		Kind: fault.Unsupported, Param: "n",
		Words: "TGI gives one answer to a prompt; send several requests, or ask a model of another engine",
	}
}

// failedDependency is what TGI says where the model failed (its router/src/server.rs).
const failedDependency = 424

func readError(status int, body []byte, d *scan.Doc) *fault.Error {
	if status == failedDependency {
		status = 500
	}
	return openai.ReadError(status, body, d)
}
