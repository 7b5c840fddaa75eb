// Package openai is the surface for OpenAI's clients: chat completions and the
// list of models, with and without /v1.
package openai

import (
	"time"

	"headworks/internal/api"
	"headworks/internal/dialect/openai"
	"headworks/internal/inference"
)

// Routes returns the surface's paths.
func Routes() []api.Route {
	d := &api.Dialect{
		Name:         "openai",
		Shape:        openai.Shape(),
		ReadRequest:  openai.ReadRequest,
		Decode:       openai.Decode,
		EncodeAnswer: openai.EncodeAnswer,
		Status:       openai.Status,
		AppendError:  openai.AppendError,
		AppendModels: openai.AppendModels,
		NewWriter: func(id string, created time.Time, req *inference.Request) api.Writer {
			return &openai.Writer{ID: id, Model: req.Model, Created: created.Unix(), Usage: req.WantUsage}
		},
		AnswerID:  "chatcmpl-",
		Forwarded: []string{"openai-beta"},
	}
	var routes []api.Route
	for _, prefix := range []string{"/v1", ""} {
		routes = append(routes,
			api.Route{Method: "POST", Path: prefix + "/chat/completions", Dialect: d, Serve: api.Chat},
			api.Route{Method: "GET", Path: prefix + "/models", Dialect: d, Shared: true, Serve: api.Models},
		)
	}
	return routes
}
