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
	ranking = []api.About{{
		Name: "rerank", Title: "Documents in the order of a query",
		Example: `{"model":"local-embed","query":"a question","documents":["a text","another"]}`,
	}}
)
