// Package openai is the surface for OpenAI's clients: chat completions, completions,
// embeddings and models, and beside them rerank as engines of this dialect serve it;
// all with and without /v1, and below /openai.
package openai

import (
	"strings"
	"time"

	"headworks/internal/api"
	"headworks/internal/dialect/openai"
	"headworks/internal/dialect/openai/audio"
	"headworks/internal/dialect/openai/completions"
	"headworks/internal/dialect/openai/embeddings"
	"headworks/internal/dialect/openai/images"
	"headworks/internal/dialect/openai/moderations"
	"headworks/internal/dialect/openai/rerank"
	"headworks/internal/inference"
)

// Routes returns the surface's paths.
func Routes() []api.Route {
	d := dialect()
	d.Shape, d.ReadRequest, d.Decode = openai.Shape(), openai.ReadRequest, openai.Decode
	d.Render = openai.Render
	d.EncodeAnswer, d.AnswerID = openai.EncodeAnswer, "chatcmpl-"
	d.Ground, d.Joined, d.CiteBefore, d.CiteWhole = openai.Ground().Lay, true, openai.CiteBefore, openai.CiteWhole
	d.NewWriter = func(id string, created time.Time, req *inference.Request) api.Writer {
		return &openai.Writer{ID: id, Model: req.Model, Created: created.Unix(), Usage: req.WantUsage}
	}
	c := dialect()
	c.Shape, c.ReadRequest, c.Decode = completions.Shape(), completions.ReadRequest, completions.Decode
	c.Render, c.EncodeAnswer, c.AnswerID = completions.Render, completions.EncodeAnswer, "cmpl-"
	c.Ground = completions.Ground().Lay
	c.NewWriter = func(id string, created time.Time, req *inference.Request) api.Writer {
		return &completions.Writer{Writer: openai.Writer{ID: id, Model: req.Model, Created: created.Unix(), Usage: req.WantUsage}}
	}
	e := dialect()
	e.Shape, e.ReadRequest = embeddings.Shape(), embeddings.ReadRequest
	r := dialect()
	r.Shape, r.ReadRequest = rerank.Shape(), rerank.ReadRequest
	list, one := api.ModelsAbout(d)
	m := dialect()
	m.Shape, m.ReadRequest = moderations.Shape(), moderations.ReadRequest
	pictures, edits, variations := drawing(inference.Images), drawing(inference.ImageEdits), drawing(inference.ImageVariations)
	transcriptions, translations := hearing(inference.Transcriptions), hearing(inference.Translations)
	speech := relaying()
	speech.Shape, speech.ReadRequest = audio.Shape(), audio.ReadSpeech
	var routes []api.Route
	for _, prefix := range []string{"/v1", "", "/openai/v1", "/openai"} {
		own := strings.HasPrefix(prefix, "/openai")
		routes = append(routes,
			api.Route{Method: "POST", Path: prefix + "/chat/completions", Dialect: d, About: chatting, Serve: api.Chat},
			api.Route{Method: "POST", Path: prefix + "/completions", Dialect: c, About: completing, Serve: api.Chat},
			api.Route{Method: "POST", Path: prefix + "/embeddings", Dialect: e, About: embedding, Serve: api.Chat},
			api.Route{Method: "POST", Path: prefix + "/rerank", Dialect: r, About: ranking, Serve: api.Chat},
			api.Route{Method: "POST", Path: prefix + "/moderations", Dialect: m, About: moderating, Serve: api.Chat},
			api.Route{Method: "POST", Path: prefix + "/images/generations", Dialect: pictures, About: picturing, Serve: api.Chat},
			api.Route{Method: "POST", Path: prefix + "/images/edits", Dialect: edits, About: editing, Serve: api.Chat},
			api.Route{Method: "POST", Path: prefix + "/images/variations", Dialect: variations, About: varying, Serve: api.Chat},
			api.Route{Method: "POST", Path: prefix + "/audio/speech", Dialect: speech, About: speaking, Serve: api.Chat},
			api.Route{Method: "POST", Path: prefix + "/audio/transcriptions", Dialect: transcriptions, About: transcribing, Serve: api.Chat},
			api.Route{Method: "POST", Path: prefix + "/audio/translations", Dialect: translations, About: translating, Serve: api.Chat},
			api.Route{Method: "GET", Path: prefix + "/models", Dialect: d, Shared: !own, About: list, Serve: api.Models},
			api.Route{Method: "GET", Path: prefix + "/models/", Dialect: d, Shared: !own, About: one, Serve: api.Model},
		)
	}
	return append(routes, api.Route{Method: "POST", Path: "/v2/rerank", Dialect: r, About: ranking, Serve: api.Chat}) // as Cohere has it
}

// drawing returns the dialect of pictures. What they are made from comes as a form, or
// is told in JSON.
func drawing(in inference.Dialect) *api.Dialect {
	d := relaying()
	if in != inference.ImageVariations {
		d.Shape, d.ReadRequest = images.Shape(), images.ReadRequest(in)
	}
	if in != inference.Images {
		d.FormFields, d.ReadForm = images.Fields(), images.ReadForm(in)
	}
	return d
}

// hearing returns the dialect of what is made from sound.
func hearing(in inference.Dialect) *api.Dialect {
	d := relaying()
	d.FormFields, d.ReadForm = audio.Fields(), audio.ReadForm(in)
	return d
}

// relaying returns a dialect whose answers pass as they come.
func relaying() *api.Dialect {
	d := dialect()
	d.NewWriter = func(string, time.Time, *inference.Request) api.Writer { return &openai.Relay{} }
	return d
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
