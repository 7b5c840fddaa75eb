// Package openai is the surface for OpenAI's clients: chat completions, completions,
// embeddings and models, and beside them rerank as engines of this dialect serve it;
// all with and without /v1, and below /openai.
package openai

import (
	"strings"
	"time"

	"headworks/internal/api"
	"headworks/internal/dialect/openai"
	"headworks/internal/dialect/openai/completions"
	"headworks/internal/dialect/openai/embeddings"
	"headworks/internal/dialect/openai/rerank"
	"headworks/internal/inference"
)

// Routes returns the surface's paths.
func Routes() []api.Route {
	d := dialect()
	d.Shape, d.ReadRequest, d.Decode = openai.Shape(), openai.ReadRequest, openai.Decode
	d.Render = openai.Render
	d.EncodeAnswer, d.AnswerID = openai.EncodeAnswer, "chatcmpl-"
	d.NewWriter = func(id string, created time.Time, req *inference.Request) api.Writer {
		return &openai.Writer{ID: id, Model: req.Model, Created: created.Unix(), Usage: req.WantUsage}
	}
	c := dialect()
	c.Shape, c.ReadRequest, c.Decode = completions.Shape(), completions.ReadRequest, completions.Decode
	c.EncodeAnswer, c.AnswerID = completions.EncodeAnswer, "cmpl-"
	c.NewWriter = func(id string, created time.Time, req *inference.Request) api.Writer {
		return &completions.Writer{Writer: openai.Writer{ID: id, Model: req.Model, Created: created.Unix(), Usage: req.WantUsage}}
	}
	e := dialect()
	e.Shape, e.ReadRequest = embeddings.Shape(), embeddings.ReadRequest
	r := dialect()
	r.Shape, r.ReadRequest = rerank.Shape(), rerank.ReadRequest
	list, one := api.ModelsAbout(d)
	var routes []api.Route
	for _, prefix := range []string{"/v1", "", "/openai/v1", "/openai"} {
		own := strings.HasPrefix(prefix, "/openai")
		routes = append(routes,
			api.Route{Method: "POST", Path: prefix + "/chat/completions", Dialect: d, About: chatting, Serve: api.Chat},
			api.Route{Method: "POST", Path: prefix + "/completions", Dialect: c, About: completing, Serve: api.Chat},
			api.Route{Method: "POST", Path: prefix + "/embeddings", Dialect: e, About: embedding, Serve: api.Chat},
			api.Route{Method: "POST", Path: prefix + "/rerank", Dialect: r, About: ranking, Serve: api.Chat},
			api.Route{Method: "GET", Path: prefix + "/models", Dialect: d, Shared: !own, About: list, Serve: api.Models},
			api.Route{Method: "GET", Path: prefix + "/models/", Dialect: d, Shared: !own, About: one, Serve: api.Model},
		)
	}
	return append(routes, api.Route{Method: "POST", Path: "/v2/rerank", Dialect: r, About: ranking, Serve: api.Chat}) // as Cohere has it
}

// dialect returns what all of them have in common.
func dialect() *api.Dialect {
	return &api.Dialect{
		Name:         "openai",
		Status:       openai.Status,
		AppendError:  openai.AppendError,
		AppendModels: openai.AppendModels,
		AppendModel:  openai.AppendModel,
		Forwarded:    []string{"openai-beta"},
	}
}
