package ollama

import (
	"headworks/internal/api"
	"headworks/internal/dialect/ollama"
)

// about is what the description of all routes says of these.
type about struct {
	chat, generate, embed, single, tags, running, show, version []api.About
}

func newAbout(d, running *api.Dialect, version []byte) about {
	media := []string{"application/json", d.Stream}
	model := api.ExampleModel()
	const name = `{"model":"demo-small"}`
	return about{
		chat: []api.About{{
			Name: "chat", Title: "Answer a conversation; as a stream of lines unless stream is false", Media: media,
			Example: `{"model":"demo-small","messages":[{"role":"user","content":"Say hello."}],"stream":false}`,
		}},
		generate: []api.About{{
			Name: "generate", Title: "Answer a prompt; as a stream of lines unless stream is false", Media: media,
			Example: `{"model":"demo-small","prompt":"Say hello.","stream":false}`,
		}},
		embed: []api.About{{
			Name: "embed", Title: "Vectors of texts",
			Example: `{"model":"local-embed","input":["a text","another"]}`,
			Answer:  []byte(`{"model":"local-embed","embeddings":[[0.6,0.8],[1,0]],"prompt_eval_count":3}`),
		}},
		single: []api.About{{
			Name: "embeddings", Title: "The vector of a text; embed is newer",
			Example: `{"model":"local-embed","prompt":"a text"}`,
			Answer:  []byte(`{"embedding":[0.6,0.8]}`),
		}},
		tags:    []api.About{{Name: "listTags", Title: "Models that the key may use", Answer: d.AppendModels(nil, model)}},
		running: []api.About{{Name: "listRunning", Title: "Models that are ready to answer: all that the key may use", Answer: running.AppendModels(nil, model)}},
		show:    []api.About{{Name: "showModel", Title: "What is known of a model", Example: name, Answer: ollama.AppendModel(nil, model)}},
		version: []api.About{{Name: "version", Title: "The version of Ollama whose API this is", Answer: version}},
	}
}
