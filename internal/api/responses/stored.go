package responses

import (
	"errors"
	"net/url"
	"strconv"
	"strings"

	"headworks/internal/api"
	"headworks/internal/dialect"
	"headworks/internal/dialect/responses"
	"headworks/internal/fault"
	"headworks/internal/scan"
	"headworks/internal/wire"
)

// trouble says in the caller's words why something that is kept could not be had. A
// field that refers to it is named; without one, the path did.
func (f *surface) trouble(err error, param, code string) *fault.Error {
	var e *fault.Error
	switch {
	case errors.Is(err, ErrNone) && param != "" && !f.keeps():
		e = fault.New(fault.Unsupported, "responses are not kept here; send the whole conversation as input, with store false")
	case errors.Is(err, ErrLong):
		e = fault.New(fault.ContextTooLong, "the conversation has grown over what may be gone on from; begin another with a summary of it")
	case !errors.Is(err, ErrNone):
		return fault.Wrap(fault.Internal, "what is kept cannot be read now; the request id finds the cause in the log", err)
	case param == "":
		return fault.New(fault.NotFound, "no response of this id is kept for this key: it was not to be kept, is deleted, or was not used for too long")
	default:
		e = fault.New(fault.InvalidRequest, "what this refers to is not kept for this key: it was not to be kept, is deleted, or was not used for too long; send it as input")
		e.Code = code
	}
	e.Param = param
	return e
}

// session returns the affinity hint of a conversation without one of its own.
func session(first string) uint64 { return dialect.Session([]byte(first)) }

// get serves a response that is kept, and the items of its input.
func (f *surface) get(front *api.Front, x *wire.Exchange, v api.Visit) {
	id, rest, _ := strings.Cut(v.Tail, "/")
	query, err := url.ParseQuery(string(x.Query()))
	switch {
	case err != nil:
		err = fault.New(fault.InvalidRequest, "the query cannot be read: it is key=value pairs with & between them")
	case rest == "input_items":
		var list []byte
		list, err = f.inputItems(x, v.Caller.KeyID, id, query)
		front.Tell(x, v.Dialect, list, err)
		return
	case rest != "":
		err = fault.New(fault.NotFound, "no such path; see docs/reference/http.md for those that exist")
	}
	var r *Kept
	if err == nil {
		if r, err = f.store.Load(x.Context(), v.Caller.KeyID, id); err != nil {
			err = f.trouble(err, "", "")
		}
	}
	if err != nil {
		front.Tell(x, v.Dialect, nil, err)
		return
	}
	if query.Get("stream") == "true" || asksInBody(x) {
		f.replay(front, x, v, r, query.Get("starting_after"))
		return
	}
	front.Tell(x, v.Dialect, r.Answer, nil)
}

// asksInBody reports whether a GET asks for a stream in a body, as openai-go does in
// the place of the query.
func asksInBody(x *wire.Exchange) bool {
	body, err := x.Body(maxAsk)
	if err != nil || len(body) == 0 {
		return false
	}
	var d scan.Doc
	if d.Scan(body, nil) != nil {
		return false
	}
	stream, _ := d.Root().Get("stream").Bool()
	return stream
}

// maxAsk bounds a body that says no more than that.
const maxAsk = 4 << 10

// replay serves a response that is kept as the events of a stream.
func (f *surface) replay(front *api.Front, x *wire.Exchange, v api.Visit, r *Kept, after string) {
	from := -1
	if after != "" {
		n, err := strconv.Atoi(after)
		if err != nil || n < 0 {
			front.Tell(x, v.Dialect, nil, dialect.Invalid("starting_after", "starting_after must be the number of an event"))
			return
		}
		from = n
	}
	var d scan.Doc
	if err := d.ScanLax(r.Answer); err != nil {
		front.Tell(x, v.Dialect, nil, fault.Of(err))
		return
	}
	front.Stream(x, v.Dialect, responses.Replay(nil, &d, from))
}

// remove serves the removal of a response.
func (f *surface) remove(front *api.Front, x *wire.Exchange, v api.Visit) {
	if err := f.store.Remove(x.Context(), v.Caller.KeyID, v.Tail); err != nil {
		front.Tell(x, v.Dialect, nil, f.trouble(err, "", ""))
		return
	}
	body := scan.AppendString([]byte(`{"id":`), v.Tail)
	front.Tell(x, v.Dialect, append(body, `,"object":"response","deleted":true}`...), nil)
}

// cancel serves the wish to end a response that runs in the background: none does.
func (f *surface) cancel(front *api.Front, x *wire.Exchange, v api.Visit) {
	id, rest, _ := strings.Cut(v.Tail, "/")
	if rest != "cancel" {
		front.Tell(x, v.Dialect, nil, fault.New(fault.NotFound, "no such path; see docs/reference/http.md for those that exist"))
		return
	}
	_, err := f.store.Load(x.Context(), v.Caller.KeyID, id)
	if err == nil {
		err = fault.New(fault.InvalidRequest, "only a response that was created with background true can be cancelled, and none is; end a stream by closing its connection")
	} else {
		err = f.trouble(err, "", "")
	}
	front.Tell(x, v.Dialect, nil, err)
}

// inputItems returns a page of the items that a response was given: what it goes on
// from, then its own input.
func (f *surface) inputItems(x *wire.Exchange, key, id string, query url.Values) ([]byte, error) {
	limit := 20
	if s := query.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 100 {
			return nil, dialect.Invalid("limit", "limit must be from 1 to 100")
		}
		limit = n
	}
	ascending := false
	switch query.Get("order") {
	case "asc":
		ascending = true
	case "", "desc":
	default:
		return nil, dialect.Invalid("order", "order must be asc or desc")
	}
	chain, err := f.store.Chain(x.Context(), key, id)
	if err != nil {
		return nil, f.trouble(err, "", "")
	}
	own := chain[len(chain)-1]
	before := history(chain[:len(chain)-1])
	if len(before) > 0 && len(own.Input) > 0 {
		before = append(before, ',')
	}
	return responses.List(append(before, own.Input...), responses.Page{
		Response: id, Ascending: ascending, After: query.Get("after"), Limit: limit,
	})
}
