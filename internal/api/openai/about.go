package openai

import "headworks/internal/api"

// What the description of all routes says of these.
var (
	chatting = []api.About{{
		Name: "createChatCompletion", Title: "Answer a conversation", Media: api.Streamed(),
		Example: `{"model":"demo-small","messages":[{"role":"user","content":"Say hello."}]}`,
	}}
	completing = []api.About{{
		Name: "createCompletion", Title: "Go on from a text", Media: api.Streamed(),
		Example: `{"model":"demo-small","prompt":"Say hello.","max_tokens":16}`,
	}}
	embedding = []api.About{{
		Name: "createEmbedding", Title: "Vectors of texts",
		Example: `{"model":"local-embed","input":["a text","another"]}`,
	}}
	moderating = []api.About{{
		Name: "createModeration", Title: "Whether a text is harmful",
		Body: true,
	}}
	picturing = []api.About{{
		Name: "createImage", Title: "Pictures of what a text says", Media: api.Streamed(),
		Body: true,
	}}
	editing = []api.About{{
		Name: "createImageEdit", Title: "Pictures changed as a text says", Media: api.Streamed(),
		Body: true, Form: []string{"model", "prompt", "image[]", "mask", "n", "stream"},
	}}
	varying = []api.About{{
		Name: "createImageVariation", Title: "Pictures like another",
		Form: []string{"model", "image", "n"},
	}}
	speaking = []api.About{{
		Name: "createSpeech", Title: "A text as sound", Media: []string{"audio/*", "application/octet-stream", api.Events},
		Body: true,
	}}
	transcribing = []api.About{{
		Name: "createTranscription", Title: "What is said in sound", Media: append(api.Streamed(), "text/plain", "text/vtt", "application/x-subrip"),
		Form: []string{"model", "file", "language", "prompt", "response_format", "stream"},
	}}
	translating = []api.About{{
		Name: "createTranslation", Title: "What is said in sound, in English", Media: []string{"application/json", "text/plain", "text/vtt", "application/x-subrip"},
		Form: []string{"model", "file", "prompt", "response_format"},
	}}
	ranking = []api.About{{
		Name: "rerank", Title: "Documents in the order of a query",
		Example: `{"model":"local-embed","query":"a question","documents":["a text","another"]}`,
	}}
)
