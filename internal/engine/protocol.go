package engine

import (
	"headworks/internal/dialect/anthropic"
	"headworks/internal/dialect/openai"
	"headworks/internal/inference"
)

// Compatible is Chat as most engines speak it.
func Compatible() Protocol {
	p := Chat()
	p.Encode = openai.EncodeCompatible
	return p
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

// Bearer returns the header of a key sent as RFC 6750 says; none for no key.
func Bearer(key string) [][2]string {
	if key == "" {
		return nil
	}
	return [][2]string{{"Authorization", "Bearer " + key}}
}
