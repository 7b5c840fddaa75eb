package admin

import (
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"headworks/internal/fault"
	"headworks/internal/knowledge"
	"headworks/internal/knowledge/golden"
	"headworks/internal/passage"
)

// Library is the collections of documents, as operators see them: all of them.
type Library struct {
	Knowledge *knowledge.Knowledge
	Golden    *golden.Sets
	Sources   knowledge.Sources
}

// Shelf is a collection and what it holds.
type Shelf struct {
	*knowledge.Collection
	knowledge.Count
}

// Held is a document of a collection.
type Held struct {
	ID         string             `json:"id"`
	Source     string             `json:"source,omitempty"`
	Title      string             `json:"title,omitempty"`
	Version    uint64             `json:"version"`
	Bytes      int64              `json:"bytes"`
	Passages   int                `json:"passages"`
	Attributes passage.Attributes `json:"attributes,omitempty"`
	Readers    []string           `json:"readers"`
	Added      time.Time          `json:"added"`
	Gone       time.Time          `json:"gone,omitzero"` // when another version took its place
}

// Deposit is what is to be added to a collection.
type Deposit struct {
	knowledge.Place
	Readers    []string           `json:"readers,omitempty"`
	Attributes passage.Attributes `json:"attributes,omitempty"`
	Create     *knowledge.New     `json:"create,omitempty"` // the collection, where there is none of that name
}

// Deposited is a line of the answer to a Deposit: how far it is, or how it ended.
type Deposited struct {
	Progress *knowledge.Progress `json:"progress,omitempty"`
	Added    *knowledge.Added    `json:"added,omitempty"`
	Error    *Problem            `json:"error,omitempty"`
}

// Search is what is searched for in a collection.
type Search struct {
	Query   string          `json:"query"`
	K       int             `json:"k,omitempty"`
	Ranker  string          `json:"ranker,omitempty"`
	Rerank  string          `json:"rerank,omitempty"`
	Fold    bool            `json:"fold,omitempty"`
	Filter  json.RawMessage `json:"filter,omitempty"`
	Readers []string        `json:"as,omitempty"` // on behalf of these principals; none: of the operator, who may read all
}

// Allowance says who may read documents.
type Allowance struct {
	Documents []string `json:"documents,omitempty"` // none: all, and what comes without readers of its own
	Readers   []string `json:"readers"`
}

// errTold says that a handler has written its answer.
var errTold = errors.New("told")

// handlers are what the library answers, by pattern.
func (l *Library) handlers() map[string]func(w http.ResponseWriter, r *http.Request) (any, error) {
	by := knowledge.ByOperator()
	return map[string]func(w http.ResponseWriter, r *http.Request) (any, error){
		"GET /api/knowledge": func(_ http.ResponseWriter, r *http.Request) (any, error) {
			shelves := []Shelf{}
			for _, c := range l.Knowledge.List(by) {
				n, err := l.Knowledge.Count(r.Context(), c)
				if err != nil {
					return nil, err
				}
				shelves = append(shelves, Shelf{c, n})
			}
			return map[string][]Shelf{"collections": shelves}, nil
		},
		"POST /api/knowledge": func(_ http.ResponseWriter, r *http.Request) (any, error) {
			var n knowledge.New
			if err := strictly(r, &n); err != nil {
				return nil, fault.Wrap(fault.InvalidRequest, "the body is not a collection: {\"name\": ..., \"readers\": [...], \"embedder\": ...}", err)
			}
			c, err := l.Knowledge.Create(r.Context(), by, n)
			return Shelf{Collection: c}, err
		},
		"GET /api/knowledge/{name}": func(_ http.ResponseWriter, r *http.Request) (any, error) {
			c, err := l.Knowledge.Get(by, r.PathValue("name"))
			if err != nil {
				return nil, err
			}
			n, err := l.Knowledge.Count(r.Context(), c)
			return Shelf{c, n}, err
		},
		"DELETE /api/knowledge/{name}": func(_ http.ResponseWriter, r *http.Request) (any, error) {
			c, err := l.Knowledge.Delete(r.Context(), by, r.PathValue("name"))
			return Shelf{Collection: c}, err
		},
		"GET /api/knowledge/{name}/documents":    l.documents,
		"DELETE /api/knowledge/{name}/documents": l.remove,
		"POST /api/knowledge/{name}/search":      l.search,
		"POST /api/knowledge/{name}/acl":         l.allow,
		evaluatePattern:                          l.evaluate,
		"GET /api/knowledge/{name}/text":         l.text,
		"POST /api/knowledge/{name}/documents":   l.deposit,
		"POST /api/knowledge/{name}/sync":        l.follow,
		"POST /api/knowledge/{name}/embedder":    l.move,
	}
}

func strictly(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	return d.Decode(v)
}

func (l *Library) documents(_ http.ResponseWriter, r *http.Request) (any, error) {
	q := r.URL.Query()
	p := passage.Page{After: q.Get("after"), N: 1000, History: q.Get("history") == "true"}
	if v := q.Get("limit"); v != "" {
		var err error
		if p.N, err = strconv.Atoi(v); err != nil || p.N < 1 || p.N > 10000 {
			return nil, fault.New(fault.InvalidRequest, "limit is a number from 1 to 10000")
		}
	}
	if ids := q["id"]; len(ids) > 0 {
		p.IDs = ids
	}
	found, err := l.Knowledge.Documents(r.Context(), knowledge.ByOperator(), r.PathValue("name"), p)
	if err != nil {
		return nil, err
	}
	held := make([]Held, 0, len(found))
	for _, d := range found {
		held = append(held, Held{d.ID, d.Source, d.Title, d.Version, d.Bytes, d.Passages, d.Attributes, d.Readers, d.Added, d.Gone})
	}
	return map[string][]Held{"documents": held}, nil
}

func (l *Library) remove(_ http.ResponseWriter, r *http.Request) (any, error) {
	ids := r.URL.Query()["id"]
	if len(ids) == 0 {
		return nil, fault.New(fault.InvalidRequest, "say which documents: ?id=...; DELETE /api/knowledge/NAME removes the whole collection")
	}
	n, err := l.Knowledge.Remove(r.Context(), knowledge.ByOperator(), r.PathValue("name"), ids)
	return map[string]int{"removed": n}, err
}

func (l *Library) search(_ http.ResponseWriter, r *http.Request) (any, error) {
	var s Search
	if err := strictly(r, &s); err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "the body is not a search: {\"query\": ..., \"k\": 10, \"ranker\": \"hybrid\"}", err)
	}
	q := knowledge.Query{Text: s.Query, K: s.K, Rerank: s.Rerank, Fold: s.Fold}
	var ok bool
	if q.Ranker, ok = knowledge.ParseRanker(s.Ranker); !ok {
		return nil, fault.New(fault.InvalidRequest, "the ranker is hybrid, bm25 or dense")
	}
	if len(s.Filter) > 0 {
		var err error
		if q.Filter, err = passage.ParseFilter(s.Filter); err != nil {
			return nil, fault.Wrap(fault.InvalidRequest, err.Error(), err)
		}
	}
	who := passage.Operator()
	if len(s.Readers) > 0 {
		who = passage.Readers(append(s.Readers, passage.Everybody)...)
	}
	return l.Knowledge.SearchAs(r.Context(), knowledge.ByOperator(), who, []string{r.PathValue("name")}, q)
}

func (l *Library) allow(_ http.ResponseWriter, r *http.Request) (any, error) {
	var a Allowance
	if err := strictly(r, &a); err != nil || a.Readers == nil {
		return nil, fault.Wrap(fault.InvalidRequest, "the body does not say who may read: {\"documents\": [...], \"readers\": [\"tenant:acme\"]}", err)
	}
	n, err := l.Knowledge.Allow(r.Context(), knowledge.ByOperator(), r.PathValue("name"), a.Documents, a.Readers)
	return map[string]int{"changed": n}, err
}

// deposit adds documents, and tells line by line how far it is.
func (l *Library) deposit(w http.ResponseWriter, r *http.Request) (any, error) {
	var d Deposit
	if err := strictly(r, &d); err != nil || d.From == "" {
		return nil, fault.Wrap(fault.InvalidRequest, "the body does not say what to add: {\"from\": \"/path/or/url\"}", err)
	}
	name, by := r.PathValue("name"), knowledge.ByOperator()
	if err := d.Attributes.Check(); err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, err.Error(), err)
	}
	items, _, end, err := l.Sources.Items(r.Context(), d.Place)
	if err != nil {
		return nil, err
	}
	defer end()
	if _, err := l.Knowledge.Get(by, name); err != nil {
		if d.Create == nil {
			return nil, err
		}
		d.Create.Name = name
		if _, err := l.Knowledge.Create(r.Context(), by, *d.Create); err != nil {
			return nil, err
		}
	}
	added, err := told(w, func(progress func(knowledge.Progress)) (*knowledge.Added, error) {
		return l.Knowledge.Add(r.Context(), by, name, with(items, d.Readers, d.Attributes), knowledge.Adding{Progress: progress})
	})
	return added, err
}

// told tells line by line how far something is, and how it ended.
func told(w http.ResponseWriter, do func(progress func(knowledge.Progress)) (*knowledge.Added, error)) (any, error) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	_ = out.SetWriteDeadline(time.Time{}) // it may take long; one that cannot be set is not there
	tell := func(line Deposited) {
		if b, err := json.Marshal(line); err == nil {
			_, _ = w.Write(append(b, '\n')) // fails only if the client is gone
			_ = out.Flush()
		}
	}
	last := time.Time{}
	added, err := do(func(p knowledge.Progress) {
		if time.Since(last) >= 100*time.Millisecond {
			last = time.Now()
			tell(Deposited{Progress: &p})
		}
	})
	if err != nil {
		f := fault.Of(err)
		tell(Deposited{Added: added, Error: &Problem{f.Kind.String(), f.Words}})
		return nil, errors.Join(errTold, err)
	}
	tell(Deposited{Added: added})
	return nil, errTold
}

// Following is what a collection is to follow.
type Following struct {
	knowledge.Place
	Every knowledge.Span `json:"every,omitempty"`
	Off   bool           `json:"off,omitempty"` // it is to follow nothing
	Now   bool           `json:"now,omitempty"` // take over now what changed there
}

// follow lets a collection follow a place, or synchronises it now and tells line by
// line how far that is.
func (l *Library) follow(w http.ResponseWriter, r *http.Request) (any, error) {
	var f Following
	if err := strictly(r, &f); err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "the body does not say what to follow: {\"from\": \"/path/or/url\", \"every\": \"15m\"}, {\"now\": true} or {\"off\": true}", err)
	}
	by, name := knowledge.ByOperator(), r.PathValue("name")
	if f.Now {
		return told(w, func(progress func(knowledge.Progress)) (*knowledge.Added, error) {
			return l.Knowledge.SyncNow(r.Context(), by, name, progress)
		})
	}
	var s *knowledge.Sync
	if !f.Off {
		s = &knowledge.Sync{Place: f.Place, Every: f.Every}
	}
	c, err := l.Knowledge.Follow(r.Context(), by, name, s)
	return Shelf{Collection: c}, err
}

// Mover says to which embedder a collection is to be moved.
type Mover struct {
	Embedder string `json:"embedder,omitempty"` // lexical, none, or upstream/model
	Prefix   string `json:"prefix,omitempty"`
	Asking   string `json:"query_prefix,omitempty"`
	Off      bool   `json:"off,omitempty"` // it is to stay with the one that it has
}

// move begins to move a collection to another embedder.
func (l *Library) move(_ http.ResponseWriter, r *http.Request) (any, error) {
	var m Mover
	if err := strictly(r, &m); err != nil || m.Off == (m.Embedder != "") {
		return nil, fault.Wrap(fault.InvalidRequest, "the body does not name an embedder: {\"embedder\": \"upstream/model\"}, or {\"off\": true}", err)
	}
	c, err := l.Knowledge.MoveTo(r.Context(), knowledge.ByOperator(), r.PathValue("name"), m.Embedder, m.Prefix, m.Asking)
	return Shelf{Collection: c}, err
}

// with gives items readers and attributes.
func with(items iter.Seq2[knowledge.Item, error], readers []string, attributes passage.Attributes) iter.Seq2[knowledge.Item, error] {
	return func(yield func(knowledge.Item, error) bool) {
		for item, err := range items {
			if readers != nil {
				item.Readers = readers
			}
			if attributes != nil {
				item.Attributes = attributes
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

// Handler answers for the library alone, and asks nobody who he is: it is for a
// process that talks to itself.
func (l *Library) Handler(log *slog.Logger) http.Handler {
	s := &Surface{Log: log}
	mux := http.NewServeMux()
	for pattern, h := range l.handlers() {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := h(w, r)
			s.answer(w, r, v, err)
		})
	}
	return mux
}
