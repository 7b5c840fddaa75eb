package engine

import (
	"headworks/internal/dialect/anthropic"
	"headworks/internal/dialect/gemini"
	"headworks/internal/dialect/ollama"
	"headworks/internal/dialect/openai"
	"headworks/internal/dialect/openai/audio"
	"headworks/internal/dialect/openai/completions"
	"headworks/internal/dialect/openai/embeddings"
	"headworks/internal/dialect/openai/images"
	"headworks/internal/dialect/openai/moderations"
	"headworks/internal/dialect/openai/rerank"
	"headworks/internal/dialect/responses"
	"headworks/internal/inference"
	"headworks/internal/wire"
)

// Compatible is what most engines speak that speak as OpenAI does. Which of it one
// serves the catalog says: nothing else is sent there.
func Compatible() []Protocol {
	p := Chat()
	p.Encode = openai.EncodeCompatible
	return append([]Protocol{p, Completions(), Embeddings(), Rerank()}, Passing()...)
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
		Mark:         openai.Mark,
	}
}

// Completions is OpenAI's older completions. Nothing is translated to it.
func Completions() Protocol {
	return Protocol{
		Dialect:    inference.Completions,
		Path:       "/completions",
		Edits:      openai.Edits,
		ReadAnswer: completions.ReadAnswer,
		ReadError:  completions.ReadError,
		NewReader:  func() Reader { return &completions.Reader{} },
	}
}

// Embeddings is OpenAI's embeddings.
func Embeddings() Protocol {
	return Protocol{
		Dialect:    inference.Embeddings,
		Path:       "/embeddings",
		Lean:       true,
		Edits:      openai.Rename,
		ReadAnswer: embeddings.ReadAnswer,
		ReadError:  embeddings.ReadError,
	}
}

// Rerank is Jina's and Cohere's rerank, as engines serve it that speak as OpenAI
// does.
func Rerank() Protocol {
	return Protocol{
		Dialect:    inference.Rerank,
		Path:       "/rerank",
		Edits:      openai.Rename,
		ReadAnswer: rerank.ReadAnswer,
		ReadError:  rerank.ReadError,
	}
}

// Passing is what is passed on without a look at its content: moderations, images
// and audio of OpenAI's, each on a path of its own.
func Passing() []Protocol {
	all := []Protocol{{
		Dialect:    inference.Moderations,
		Path:       "/moderations",
		ReadAnswer: moderations.ReadAnswer,
		ReadError:  moderations.ReadError,
	}, {
		Dialect:    inference.Images,
		Path:       "/images/generations",
		ReadAnswer: images.ReadAnswer,
		ReadError:  images.ReadError,
	}, {
		Dialect:    inference.ImageEdits,
		Path:       "/images/edits",
		ReadAnswer: images.ReadAnswer,
		ReadError:  images.ReadError,
	}, {
		Dialect:    inference.ImageVariations,
		Path:       "/images/variations",
		ReadAnswer: images.ReadAnswer,
		ReadError:  images.ReadError,
	}, {
		Dialect:    inference.Speech,
		Path:       "/audio/speech",
		Media:      []string{"audio/", "application/octet-stream"},
		ReadAnswer: audio.ReadSpeechAnswer,
		ReadError:  audio.ReadSpeechError,
	}, {
		Dialect:    inference.Transcriptions,
		Path:       "/audio/transcriptions",
		Media:      written(),
		ReadAnswer: audio.ReadAnswer,
		ReadError:  audio.ReadError,
	}, {
		Dialect:    inference.Translations,
		Path:       "/audio/translations",
		Media:      written(),
		ReadAnswer: audio.ReadAnswer,
		ReadError:  audio.ReadError,
	}}
	for i := range all {
		p := &all[i]
		p.Edits = openai.Rename
		if p.Dialect != inference.Moderations {
			p.NewReader = func() Reader { return &openai.Events{} }
			p.Framing, p.Type = func() Framing { return wire.NewSplitter(mostPictured) }, "text/event-stream"
		}
	}
	return all
}

// written are the media types of a transcript that is no JSON.
func written() []string {
	return []string{"text/plain", "text/vtt", "text/srt", "application/x-subrip"}
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
		Mark:         anthropic.Mark,
	}
}

// mostPictured bounds an event that may hold pictures, in bytes; the last event of a
// response holds all of them once more.
const mostPictured = 32 << 20

// Responses is OpenAI's Responses API.
func Responses() Protocol {
	return Protocol{
		Dialect:      inference.Responses,
		Path:         "/responses",
		Edits:        responses.Edits,
		Encode:       responses.Encode,
		ReadAnswer:   responses.ReadAnswer,
		DecodeAnswer: responses.DecodeAnswer,
		ReadError:    responses.ReadError,
		NewReader:    func() Reader { return &responses.Reader{} },
		Mark:         openai.Mark,
		Framing:      func() Framing { return wire.NewSplitter(mostPictured) },
		Type:         "text/event-stream",
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

// Generate is Gemini's generateContent, with a stream or without. The path of a
// request has the model in it.
func Generate(target func(dst []byte, base, model string, stream bool) []byte) Protocol {
	return Protocol{
		Dialect:      inference.Gemini,
		Target:       target,
		Edits:        gemini.Edits,
		Encode:       gemini.Encode,
		ReadAnswer:   gemini.ReadAnswer,
		DecodeAnswer: gemini.DecodeAnswer,
		ReadError:    gemini.ReadError,
		NewReader:    func() Reader { return &gemini.Reader{} },
	}
}

// GenerateCount is Gemini's countTokens.
func GenerateCount(target func(dst []byte, base, model string, stream bool) []byte) Protocol {
	return Protocol{
		Dialect:      inference.GeminiCount,
		Target:       target,
		Edits:        gemini.CountEdits,
		Encode:       gemini.EncodeCount,
		ReadAnswer:   gemini.ReadCount,
		DecodeAnswer: gemini.DecodeCount,
		ReadError:    gemini.ReadError,
		NewReader:    func() Reader { return &gemini.Reader{} },
	}
}

// OllamaChat is Ollama's /api/chat, wherever that lies.
func OllamaChat(target func(dst []byte, base, model string, stream bool) []byte) Protocol {
	return Protocol{
		Dialect:      inference.Ollama,
		Target:       target,
		Framing:      func() Framing { return wire.NewLines(0) },
		Type:         "application/x-ndjson",
		Edits:        ollama.Edits,
		Encode:       ollama.Encode,
		ReadAnswer:   ollama.ReadAnswer,
		DecodeAnswer: ollama.DecodeAnswer,
		ReadError:    ollama.ReadError,
		NewReader:    func() Reader { return &ollama.Reader{} },
	}
}

// OllamaGenerate is Ollama's /api/generate. Nothing is translated to it.
func OllamaGenerate(target func(dst []byte, base, model string, stream bool) []byte) Protocol {
	p := OllamaChat(target)
	p.Dialect, p.Encode = inference.OllamaGenerate, nil
	return p
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
