package openai

import (
	"iter"

	"headworks/internal/scan"
)

// thoughts gives what a message or a delta holds of a model's reasoning, as engines
// and providers write it: reasoning_content (DeepSeek, SGLang, llama.cpp, older
// vLLM), reasoning (newer vLLM, Groq, OpenRouter), reasoning_details where there is
// nothing else (OpenRouter), parts of type thinking within the content (Mistral).
// Some write it under two names. Thinking tags within a text stay where they are:
// only the engine knows whether they are its own.
func thoughts(message scan.Value) iter.Seq[scan.Value] {
	return func(yield func(scan.Value) bool) {
		plain := message.Get("reasoning_content")
		if plain.TextLen() == 0 {
			plain = message.Get("reasoning")
		}
		if plain.TextLen() > 0 {
			if !yield(plain) {
				return
			}
		} else {
			for d := range message.Get("reasoning_details").All() {
				for _, key := range [...]string{"text", "summary"} {
					if v := d.Get(key); v.TextLen() > 0 && !yield(v) {
						return
					}
				}
			}
		}
		for p := range message.Get("content").All() {
			if !p.Get("type").Is("thinking") {
				continue
			}
			inner := p.Get("thinking")
			if inner.TextLen() > 0 && !yield(inner) {
				return
			}
			for t := range inner.All() {
				if v := t.Get("text"); v.TextLen() > 0 && !yield(v) {
					return
				}
			}
		}
	}
}
