package inference

import "math/bits"

// Dialect is a vendor's way of writing one kind of request and its answers.
type Dialect uint8

// The dialects.
const (
	OpenAI          Dialect = iota // chat completions
	Anthropic                      // messages
	Responses                      // OpenAI's responses
	Completions                    // OpenAI's completions
	Gemini                         // generateContent and streamGenerateContent
	Ollama                         // /api/chat
	OllamaGenerate                 // /api/generate
	Converse                       // Bedrock's; no client speaks it
	Embeddings                     // OpenAI's embeddings
	Rerank                         // Cohere's and Jina's rerank
	Moderations                    // OpenAI's moderations
	Images                         // OpenAI's images/generations
	ImageEdits                     // OpenAI's images/edits
	ImageVariations                // OpenAI's images/variations
	Speech                         // OpenAI's audio/speech
	Transcriptions                 // OpenAI's audio/transcriptions
	Translations                   // OpenAI's audio/translations
	AnthropicCount                 // Anthropic's count_tokens
	GeminiCount                    // Gemini's countTokens
	dialects
)

var dialectNames = [dialects]string{
	"openai", "anthropic", "responses", "completions", "gemini", "ollama", "ollama-generate", "converse",
	"embeddings", "rerank", "moderations",
	"images", "image-edits", "image-variations", "speech", "transcriptions", "translations", "anthropic-count", "gemini-count",
}

func (d Dialect) String() string { return dialectNames[d] }

// Dialects returns all of them.
func Dialects() []Dialect {
	all := make([]Dialect, 0, dialects)
	for d := range dialects {
		all = append(all, d)
	}
	return all
}

// Prompt returns the name of the field that holds what a model is to read.
func (d Dialect) Prompt() string {
	switch d {
	case Completions, OllamaGenerate, Images, ImageEdits, ImageVariations, Transcriptions, Translations:
		return "prompt"
	case Responses, Embeddings, Moderations, Speech:
		return "input"
	case Gemini, GeminiCount:
		return "contents"
	case Rerank:
		return "documents"
	}
	return "messages"
}

// Hears reports whether a client sees something of the answer when a step of it is
// written in the dialect: a call leaves whole where there are no pieces of one, and
// some steps have no place at all.
func (d Dialect) Hears(k DeltaKind) bool {
	switch k {
	case Begin:
		return false
	case ToolBegin, ToolDelta:
		return d != Completions && d != Gemini && d != Ollama && d != OllamaGenerate
	case Signed, Sealed:
		return d == Anthropic || d == Responses || d == Gemini
	case ThoughtDelta:
		return d != Completions
	}
	return true
}

// Operation is what is asked of a model, in whatever dialect.
type Operation uint8

// The operations. Between the dialects of Chat, and of Count, requests are
// translated; the others need an upstream that speaks the caller's.
const (
	Chat     Operation = iota // an answer to a conversation
	Embed                     // vectors of texts
	Rank                      // documents in order of a query
	Moderate                  // what a text is about to do
	Draw                      // pictures
	Hear                      // speech to text and back
	Count                     // the tokens of a prompt
)

func (o Operation) String() string {
	return [...]string{"chat", "embeddings", "rerank", "moderations", "images", "audio", "count_tokens"}[o]
}

// Operation returns what is asked in a dialect.
func (d Dialect) Operation() Operation {
	switch d {
	case Embeddings:
		return Embed
	case Rerank:
		return Rank
	case Moderations:
		return Moderate
	case Images, ImageEdits, ImageVariations:
		return Draw
	case Speech, Transcriptions, Translations:
		return Hear
	case AnthropicCount, GeminiCount:
		return Count
	}
	return Chat
}

// Set is a set of dialects.
type Set uint32

// SetOf returns the set of these.
func SetOf(list ...Dialect) Set {
	var s Set
	for _, d := range list {
		s |= 1 << d
	}
	return s
}

// Has reports whether d is in s.
func (s Set) Has(d Dialect) bool { return s>>d&1 != 0 }

// Counted reports whether what an operation took can be estimated from the text that
// went in and came out. Of pictures and sound only the upstream knows.
func (o Operation) Counted() bool { return o != Draw && o != Hear }

// Operations returns what can be asked of whoever speaks the dialects of s. Count is
// left out: it goes with Chat.
func (s Set) Operations() []Operation {
	var all []Operation
	for o := range Count {
		for rest := s; rest != 0; rest &= rest - 1 {
			if Dialect(bits.TrailingZeros32(uint32(rest))).Operation() == o {
				all = append(all, o)
				break
			}
		}
	}
	return all
}

// Serves reports whether whoever speaks the dialects of s can serve a request in
// d, be it through a translation. Whoever answers conversations can have their
// tokens counted, if only by an estimate.
func (s Set) Serves(d Dialect) bool {
	if s.Has(d) {
		return true
	}
	switch d.Operation() {
	case Chat, Count:
		for rest := s; rest != 0; rest &= rest - 1 {
			if Dialect(bits.TrailingZeros32(uint32(rest))).Operation() == Chat {
				return true
			}
		}
	}
	return false
}
