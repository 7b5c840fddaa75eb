package engine

import (
	"headworks/internal/dialect/anthropic"
	"headworks/internal/dialect/openai"
	"headworks/internal/inference"
)

// Compatible is what most engines speak that speak as OpenAI does.
func Compatible() []Protocol {
	p := Chat()
	p.Encode = openai.EncodeCompatible
	return []Protocol{p}
}

// Chat is OpenAI's chat completions.
func Chat() Protocol {
	return Protocol{
		Dialect:      inference.OpenAI,
		Path:         "/chat/completions",
		Edits:        openai.Edits,
		Encode:       openai.Encode,
		ReadAnswer:   openai.ReadAnswer,
		DecodeAnswer: openai.DecodeAnswer,
		ReadError:    openai.ReadError,
		NewReader:    func() Reader { return &openai.Reader{} },
	}
}

// Messages is Anthropic's messages.
func Messages() Protocol {
	return Protocol{
		Dialect:      inference.Anthropic,
		Path:         "/messages",
		Edits:        anthropic.Edits,
		Encode:       anthropic.Encode,
		ReadAnswer:   anthropic.ReadAnswer,
		DecodeAnswer: anthropic.DecodeAnswer,
		ReadError:    anthropic.ReadError,
		NewReader:    func() Reader { return &anthropic.Reader{} },
	}
}

// Counting is Anthropic's way to ask how many tokens a prompt has.
func Counting() Protocol {
	return Protocol{
		Dialect:    inference.AnthropicCount,
		Path:       "/messages/count_tokens",
		Edits:      anthropic.Edits,
		ReadAnswer: anthropic.ReadCount,
		ReadError:  anthropic.ReadError,
		NewReader:  func() Reader { return &anthropic.Reader{} },
	}
}

// Bearer returns the fields of keys that are sent as RFC 6750 says. An empty key
// is not sent.
func Bearer(keys []string) [][][2]string { return Keyed("Authorization", "Bearer ", keys) }

// Keyed returns the fields of keys that are sent behind a word in a field of that
// name. An empty key is not sent.
func Keyed(name, word string, keys []string) [][][2]string {
	fields := make([][][2]string, len(keys))
	for i, key := range keys {
		if key != "" {
			fields[i] = [][2]string{{name, word + key}}
		}
	}
	return fields
}
