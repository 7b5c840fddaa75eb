// Package responses is the surface for OpenAI's Responses API: answers that are kept
// and gone on from, with and without /v1.
//
// What is kept belongs to the caller's key. A conversation goes on over any upstream:
// what went before is put into the request, and no upstream is asked to keep anything.
package responses

import (
	"context"
	"errors"
	"time"

	"headworks/internal/api"
	"headworks/internal/dialect/openai"
	"headworks/internal/dialect/responses"
	"headworks/internal/gateway"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Kept is a response as it is kept.
type Kept struct {
	ID       string
	Previous string // id of the one that it goes on from; empty if it begins a conversation
	Created  time.Time
	Input    []byte   // the items of its own input, with commas between them
	Answer   []byte   // the response object
	Items    []string // ids of the items in Answer
}

// Store keeps responses, each for one key. Its methods are called at once by many
// requests.
type Store interface {
	// Keep returns once the response is there for whoever asks.
	Keep(ctx context.Context, key string, r *Kept) error
	// Load, Item, Chain and Remove return ErrNone for what is not there, or not for
	// this key. Item finds the response whose answer holds an item; Chain returns a
	// response and all that it goes on from, the first one first.
	Load(ctx context.Context, key, id string) (*Kept, error)
	Item(ctx context.Context, key, item string) (*Kept, error)
	Chain(ctx context.Context, key, id string) ([]*Kept, error)
	Remove(ctx context.Context, key, id string) error
}

// The errors of a Store.
var (
	ErrNone = errors.New("responses: not kept")
	ErrLong = errors.New("responses: the conversation is too long") // of Chain
)

// Routes returns the surface's paths. Keeps says whether new responses are kept.
func Routes(s Store, keeps func() bool) []api.Route {
	f := &surface{store: s, keeps: keeps}
	d := &api.Dialect{
		Name:         "responses",
		Shape:        responses.Shape(),
		ReadRequest:  responses.ReadRequest,
		Render:       responses.Render,
		Decode:       responses.Decode,
		EncodeAnswer: responses.EncodeAnswer,
		Status:       responses.Status,
		AppendError:  responses.AppendError,
		AppendModels: openai.AppendModels,
		AppendModel:  openai.AppendModel,
		NewWriter: func(id string, created time.Time, req *inference.Request) api.Writer {
			return &responses.Writer{ID: id, Model: req.Model, Created: created.Unix()}
		},
		Begin:     f.begin,
		Ground:    responses.Ground().Lay,
		Anew:      responses.Anew,
		Search:    responses.Search,
		AnswerID:  "resp_",
		Forwarded: []string{"openai-beta"},
	}
	var routes []api.Route
	for _, prefix := range []string{"/v1", "", "/openai/v1"} {
		routes = append(routes,
			api.Route{Method: "POST", Path: prefix + "/responses", Dialect: d, About: asking, Serve: api.Chat},
			api.Route{Method: "GET", Path: prefix + "/responses/", Dialect: d, About: reading, Serve: f.get},
			api.Route{Method: "DELETE", Path: prefix + "/responses/", Dialect: d, About: removing, Serve: f.remove},
			api.Route{Method: "POST", Path: prefix + "/responses/", Dialect: d, About: cancelling, Serve: f.cancel},
		)
	}
	return routes
}

// What the description of all routes says of these.
var (
	asking = []api.About{{
		Name: "createResponse", Title: "Answer a conversation, and keep the answer", Media: api.Streamed(),
		Example: `{"model":"demo-small","input":"Say hello."}`,
	}}
	reading = []api.About{
		{
			Tail: "{response_id}", Name: "getResponse", Title: "A response that is kept", Media: api.Streamed(),
			Query: [][2]string{{"stream", "true for events"}, {"starting_after", "leaves out the events up to this number"}},
		},
		{
			Tail: "{response_id}/input_items", Name: "listInputItems", Title: "What a response was given",
			Query: [][2]string{{"limit", "how many items; 20 unless given"}, {"order", "asc or desc"}, {"after", "leaves out the items up to this one"}},
		},
	}
	removing   = []api.About{{Tail: "{response_id}", Name: "deleteResponse", Title: "Remove a response"}}
	cancelling = []api.About{{Tail: "{response_id}/cancel", Name: "cancelResponse", Title: "Answers 400: nothing runs in the background", Fails: true}}
)

type surface struct {
	store Store
	keeps func() bool
}

// begin implements api.Dialect.Begin: it loads what the request goes on from, and
// reads what the answer repeats of it and what is kept of it.
func (f *surface) begin(ctx context.Context, d *scan.Doc, r *gateway.Request, answerID string) (api.Keeper, []byte, error) {
	root := d.Root()
	k := &keeper{
		surface: f, ctx: context.WithoutCancel(ctx), stream: r.Stream, created: r.Arrived,
		previous: root.Get("previous_response_id").Text(), stored: f.keeps(),
	}
	if r.Caller != nil {
		k.key = r.Caller.KeyID
	}
	if wish := root.Get("store"); wish.Given() {
		wished, _ := wish.Bool()
		k.stored = k.stored && wished
	}
	k.Writer = responses.Writer{ID: answerID, Model: r.Model, Created: r.Arrived.Unix(), Asked: responses.Ask(d, k.stored)}
	var referred map[string][]byte
	for _, id := range responses.References(d) {
		item, err := f.item(ctx, k.key, id)
		if err != nil {
			return nil, nil, err
		}
		if referred == nil {
			referred = map[string][]byte{}
		}
		referred[id] = item
	}
	if k.stored {
		k.input = responses.Items(d)
		if referred != nil {
			k.input = responses.Resolved(d, referred)
		}
	}
	if k.previous == "" && referred == nil {
		return k, nil, nil
	}
	var before []byte
	if k.previous != "" {
		chain, err := f.store.Chain(ctx, k.key, k.previous)
		if err != nil {
			return nil, nil, f.trouble(err, "previous_response_id", "previous_response_not_found")
		}
		before = history(chain)
		if r.Session == 0 {
			r.Session = session(chain[0].ID)
		}
	}
	return k, responses.Expand(d, before, referred), nil
}
