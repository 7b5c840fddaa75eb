// Package ollama is the surface for Ollama's clients: chat, generate and embeddings,
// and what they ask about models, below /api and /ollama/api.
package ollama

import (
	"context"
	"time"

	"headworks/internal/api"
	"headworks/internal/dialect/ollama"
	"headworks/internal/dialect/openai/embeddings"
	"headworks/internal/engine"
	"headworks/internal/gateway"
	"headworks/internal/inference"
	"headworks/internal/scan"
	"headworks/internal/wire"
)

// Routes returns the surface's paths.
func Routes() []api.Route {
	chat, generate, running := Dialect(), Dialect(), Dialect()
	generate.Shape, generate.ReadRequest, generate.Render = ollama.GenerateShape(), ollama.ReadGenerateRequest, nil
	generate.Decode, generate.EncodeAnswer = ollama.DecodeGenerate, ollama.EncodeGenerated
	chat.Ground, generate.Ground = ollama.Ground(false).Lay, ollama.Ground(true).Lay
	running.AppendModels = ollama.AppendRunning
	embed, single := embedding(ollama.Embedding{}), embedding(ollama.Embedding{Single: true})
	version := []byte(`{"version":"` + ollama.Version + `"}`)
	about := newAbout(chat, running, version)
	var routes []api.Route
	for _, prefix := range []string{"/api", "/ollama/api"} {
		routes = append(routes,
			api.Route{Method: "POST", Path: prefix + "/chat", Dialect: chat, About: about.chat, Serve: api.Chat},
			api.Route{Method: "POST", Path: prefix + "/generate", Dialect: generate, About: about.generate, Serve: api.Chat},
			api.Route{Method: "POST", Path: prefix + "/embed", Dialect: embed, About: about.embed, Serve: api.Chat},
			api.Route{Method: "POST", Path: prefix + "/embeddings", Dialect: single, About: about.single, Serve: api.Chat},
			api.Route{Method: "GET", Path: prefix + "/tags", Dialect: chat, About: about.tags, Serve: api.Models},
			api.Route{Method: "GET", Path: prefix + "/ps", Dialect: running, About: about.running, Serve: api.Models},
			api.Route{Method: "POST", Path: prefix + "/show", Dialect: chat, About: about.show, Serve: api.NamedModel},
			api.Route{Method: "GET", Path: prefix + "/version", Dialect: chat, About: about.version, Serve: func(f *api.Front, x *wire.Exchange, v api.Visit) {
				f.Tell(x, v.Dialect, version, nil)
			}},
		)
	}
	return routes
}

// Dialect returns what Ollama's clients expect to see.
func Dialect() *api.Dialect {
	return &api.Dialect{
		Name:         "ollama",
		Shape:        ollama.Shape(),
		ReadRequest:  ollama.ReadRequest,
		Idle:         ollama.Idle,
		Render:       ollama.Render,
		Decode:       ollama.Decode,
		EncodeAnswer: ollama.EncodeAnswer,
		Status:       ollama.Status,
		AppendError:  ollama.AppendError,
		AppendModels: ollama.AppendModels,
		AppendModel:  ollama.AppendModel,
		NewWriter: func(_ string, created time.Time, req *inference.Request) api.Writer {
			return &ollama.Writer{Model: req.Model, Created: created, Generate: req.Dialect == inference.OllamaGenerate}
		},
		Stream: "application/x-ndjson",
	}
}

// embedding returns how a path for vectors is asked: what goes on is in OpenAI's form,
// and so is what comes back.
func embedding(e ollama.Embedding) *api.Dialect {
	d := Dialect()
	d.Shape, d.Idle, d.Render, d.Decode, d.EncodeAnswer = ollama.EmbedShape(), nil, nil, nil, nil
	d.ReadRequest = func(d *scan.Doc, into *inference.Request) error {
		if !e.Single || d.Root().Get("input").Exists() { // the second time, in OpenAI's form
			return embeddings.ReadRequest(d, into)
		}
		body, err := e.Request(d)
		if err != nil {
			return err
		}
		var again scan.Doc
		if err := again.Scan(body, nil); err != nil {
			return err
		}
		return embeddings.ReadRequest(&again, into)
	}
	d.Begin = func(_ context.Context, d *scan.Doc, r *gateway.Request, _ string) (api.Keeper, []byte, error) {
		body, err := e.Request(d)
		asked := e
		asked.Model = r.Model
		return &vectors{asked: asked}, body, err
	}
	return d
}

// vectors writes an answer that is always whole.
type vectors struct {
	ollama.Writer
	asked ollama.Embedding
}

// Pass implements api.Keeper.
func (v *vectors) Pass(c *engine.Chunk) []byte { return v.asked.Answer(c.Raw) }
