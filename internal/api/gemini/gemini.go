// Package gemini is the surface for the clients of Google's Gemini API:
// generateContent, streamGenerateContent and countTokens of a model, and models,
// below /v1beta and /gemini; what a model is asked is below /v1 too, where the list
// of models is that of all surfaces.
package gemini

import (
	"net/url"
	"strings"
	"time"

	"headworks/internal/api"
	"headworks/internal/dialect/gemini"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/wire"
)

// Routes returns the surface's paths.
func Routes() []api.Route {
	d := dialect()
	asked := methods()
	ask := func(f *api.Front, x *wire.Exchange, v api.Visit) {
		d, e := asked.dialect(v.Tail, x)
		if e != nil {
			f.Refuse(x, v, e)
			return
		}
		v.Dialect = d
		api.Chat(f, x, v)
	}
	list, one := api.ModelsAbout(d)
	asking := about(d, asked.count)
	var routes []api.Route
	for _, prefix := range []string{"/v1beta", "/gemini/v1beta", "/gemini/v1"} {
		routes = append(routes,
			api.Route{Method: "POST", Path: prefix + "/models/", Dialect: d, About: asking, Serve: ask},
			api.Route{Method: "POST", Path: prefix + "/", Dialect: d, About: asking, Serve: ask}, // the AI SDK leaves models out where a name has a slash
			api.Route{Method: "GET", Path: prefix + "/models", Dialect: d, About: list, Serve: api.Models},
			api.Route{Method: "GET", Path: prefix + "/models/", Dialect: d, About: one, Serve: api.Model},
		)
	}
	return append(routes, api.Route{Method: "POST", Path: "/v1/models/", Dialect: d, About: asking, Serve: ask})
}

// about returns what the description of all routes says of a model's methods.
func about(d, count *api.Dialect) []api.About {
	const example = `{"contents":[{"role":"user","parts":[{"text":"Say hello."}]}]}`
	return []api.About{
		{Tail: "{model}:generateContent", Name: "generateContent", Title: "Answer a conversation", Example: example},
		{
			Tail: "{model}:streamGenerateContent", Name: "streamGenerateContent", Title: "Answer a conversation, as it comes",
			Query: [][2]string{{"alt", "sse for events; otherwise one array that grows"}}, Media: api.Streamed(), Example: example,
			Answer: append(append([]byte{'['}, d.EncodeAnswer(api.ExampleAnswer())...), ']'),
		},
		{
			Tail: "{model}:countTokens", Name: "countTokens", Title: "How many tokens a conversation has", Example: example,
			Answer: count.EncodeAnswer(api.ExampleAnswer()),
		},
	}
}

// served are the dialects of the methods that a model has, and of the two forms of
// a stream.
type served struct{ whole, events, array, count *api.Dialect }

func methods() served {
	s := served{whole: dialect(), events: dialect(), array: dialect(), count: dialect()}
	s.array.Stream, s.array.Reframed = "application/json; charset=utf-8", true
	s.array.NewWriter = func(id string, _ time.Time, req *inference.Request) api.Writer {
		return newArray(id, req.Model)
	}
	for _, d := range []*api.Dialect{s.events, s.array} {
		d.ReadPath = func(tail string, _ []byte, into *inference.Request) error {
			into.Stream, into.WantUsage = true, true
			return readModel(tail, into)
		}
	}
	s.count.ReadRequest, s.count.EncodeAnswer, s.count.Render = gemini.ReadCountRequest, gemini.AppendCount, nil
	return s
}

// dialect returns how a method is asked and answered.
func (s *served) dialect(tail string, x *wire.Exchange) (*api.Dialect, *fault.Error) {
	switch _, method := cut(tail); method {
	case "generateContent":
		return s.whole, nil
	case "streamGenerateContent":
		if string(x.Param("alt")) == "sse" {
			return s.events, nil
		}
		return s.array, nil
	case "countTokens":
		return s.count, nil
	case "embedContent", "batchEmbedContents":
		return nil, fault.New(fault.NotFound, "this method is not served; ask for embeddings at /v1/embeddings, in the form of OpenAI's")
	}
	return nil, fault.New(fault.NotFound, "a model is asked at /v1beta/models/MODEL:generateContent, :streamGenerateContent or :countTokens")
}

// cut splits what follows the path into the name of a model, as it was written, and
// a method. A name may have colons of its own.
func cut(tail string) (name, method string) {
	i := strings.LastIndexByte(tail, ':')
	if i < 0 {
		return tail, ""
	}
	return tail[:i], tail[i+1:]
}

// readModel reads the model of a path. Its name may have slashes, escaped or not.
func readModel(tail string, into *inference.Request) error {
	written, _ := cut(tail)
	name, err := url.PathUnescape(written)
	if err != nil || name == "" {
		e := fault.New(fault.InvalidRequest, "the path names no model; write /v1beta/models/MODEL:generateContent, with a model that GET /v1beta/models lists")
		e.Param = "model"
		return e
	}
	if name != into.Model {
		into.Model = name
	}
	return nil
}

// dialect returns what Gemini's clients expect to see.
func dialect() *api.Dialect {
	return &api.Dialect{
		Name:        "gemini",
		Shape:       gemini.Shape(),
		ReadRequest: gemini.ReadRequest,
		Render:      gemini.Render,
		ReadPath: func(tail string, _ []byte, into *inference.Request) error {
			return readModel(tail, into)
		},
		Decode:       gemini.Decode,
		EncodeAnswer: gemini.EncodeAnswer,
		Status:       gemini.Status,
		AppendError:  gemini.AppendError,
		AppendModels: gemini.AppendModels,
		AppendModel:  gemini.AppendModel,
		NewWriter: func(id string, _ time.Time, req *inference.Request) api.Writer {
			return &gemini.Writer{ID: id, Model: req.Model}
		},
		Ground:     gemini.Ground().Lay,
		CiteBefore: gemini.CiteBefore,
		CiteWhole:  gemini.CiteWhole,
		Joined:     true,
		Mark:       "x-goog-api-key",
		KeyInQuery: true,
	}
}
