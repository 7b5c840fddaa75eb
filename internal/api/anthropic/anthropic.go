// Package anthropic is the surface for Anthropic's clients: messages and the count
// of their tokens, with and without /v1, and below /anthropic, where the list of
// models has their form too; the other list has one path for all surfaces.
package anthropic

import (
	"time"

	"headworks/internal/api"
	"headworks/internal/dialect/anthropic"
	"headworks/internal/inference"
)

// What the description of all routes says of these.
var (
	asking = []api.About{{
		Name: "createMessage", Title: "Answer a conversation", Media: api.Streamed(),
		Example: `{"model":"demo-small","max_tokens":64,"messages":[{"role":"user","content":"Say hello."}]}`,
	}}
	counting = []api.About{{
		Name: "countMessageTokens", Title: "How many tokens a conversation has",
		Example: `{"model":"demo-small","messages":[{"role":"user","content":"Say hello."}]}`,
	}}
)

// Routes returns the surface's paths.
func Routes() []api.Route {
	d, count := Dialect(), Dialect()
	count.ReadRequest, count.EncodeAnswer = anthropic.ReadCountRequest, anthropic.EncodeCount
	list, one := api.ModelsAbout(d)
	var routes []api.Route
	for _, prefix := range []string{"/v1", "", "/anthropic/v1", "/anthropic"} {
		routes = append(routes,
			api.Route{Method: "POST", Path: prefix + "/messages", Dialect: d, About: asking, Serve: api.Chat},
			api.Route{Method: "POST", Path: prefix + "/messages/count_tokens", Dialect: count, About: counting, Serve: api.Chat},
		)
	}
	for _, prefix := range []string{"/anthropic/v1", "/anthropic"} {
		routes = append(routes,
			api.Route{Method: "GET", Path: prefix + "/models", Dialect: d, About: list, Serve: api.Models},
			api.Route{Method: "GET", Path: prefix + "/models/", Dialect: d, About: one, Serve: api.Model},
		)
	}
	return routes
}

// Dialect returns what Anthropic's clients expect to see.
func Dialect() *api.Dialect {
	return &api.Dialect{
		Name:         "anthropic",
		Shape:        anthropic.Shape(),
		ReadRequest:  anthropic.ReadRequest,
		Render:       anthropic.Render,
		Ground:       anthropic.Ground().Lay,
		CiteBefore:   anthropic.CiteBefore,
		CiteWhole:    anthropic.CiteWhole,
		Decode:       anthropic.Decode,
		EncodeAnswer: anthropic.EncodeAnswer,
		Status:       anthropic.Status,
		AppendError:  anthropic.AppendError,
		AppendModels: anthropic.AppendModels,
		AppendModel:  anthropic.AppendModel,
		NewWriter: func(id string, _ time.Time, req *inference.Request) api.Writer {
			return &anthropic.Writer{ID: id, Model: req.Model}
		},
		AnswerID:  "msg_",
		RequestID: "request-id",
		Mark:      "anthropic-version",
		Forwarded: []string{"anthropic-version", "anthropic-beta"},
	}
}
