package client

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"headworks/internal/api/admin"
	"headworks/internal/knowledge"
	"headworks/internal/knowledge/golden"
)

// Within returns a client of a handler in this process.
func Within(h http.Handler) *Admin {
	return &Admin{URL: "http://within", http: &http.Client{Transport: within{h}}}
}

// within answers requests by a handler of this process.
type within struct{ h http.Handler }

// RoundTrip implements http.RoundTripper.
func (w within) RoundTrip(r *http.Request) (*http.Response, error) {
	in, out := io.Pipe()
	a := &piped{header: http.Header{}, out: out, begun: make(chan int, 1)}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	go func() {
		w.h.ServeHTTP(a, r)
		a.WriteHeader(http.StatusOK)
		_ = out.Close() // of a pipe, it cannot fail
	}()
	status := <-a.begun
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: in, ContentLength: -1, Request: r,
	}, nil
}

// piped is a http.ResponseWriter into a pipe.
type piped struct {
	header http.Header
	out    *io.PipeWriter
	begun  chan int
	told   bool
}

func (p *piped) Header() http.Header { return p.header }
func (p *piped) Flush()              {}

func (p *piped) WriteHeader(status int) {
	if !p.told {
		p.told = true
		p.begun <- status
	}
}

func (p *piped) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return p.out.Write(b)
}

func shelfPath(name string) string { return "/api/knowledge/" + url.PathEscape(name) }

// Shelves returns all collections.
func (a *Admin) Shelves(ctx context.Context) ([]admin.Shelf, error) {
	all, err := get[map[string][]admin.Shelf](ctx, a, "GET", "/api/knowledge", nil)
	return all["collections"], err
}

// Shelf returns a collection by its name or ID.
func (a *Admin) Shelf(ctx context.Context, name string) (admin.Shelf, error) {
	return get[admin.Shelf](ctx, a, "GET", shelfPath(name), nil)
}

// CreateShelf makes a collection.
func (a *Admin) CreateShelf(ctx context.Context, n knowledge.New) (admin.Shelf, error) {
	return get[admin.Shelf](ctx, a, "POST", "/api/knowledge", n)
}

// DeleteShelf removes a collection with all that is in it.
func (a *Admin) DeleteShelf(ctx context.Context, name string) (admin.Shelf, error) {
	return get[admin.Shelf](ctx, a, "DELETE", shelfPath(name), nil)
}

// Documents lists documents of a collection: those behind an ID, or those of ids.
func (a *Admin) Documents(ctx context.Context, name, after string, ids []string, history bool, limit int) ([]admin.Held, error) {
	q := url.Values{"after": {after}, "id": ids, "limit": {fmt.Sprint(limit)}}
	if history {
		q.Set("history", "true")
	}
	all, err := get[map[string][]admin.Held](ctx, a, "GET", shelfPath(name)+"/documents?"+q.Encode(), nil)
	return all["documents"], err
}

// RemoveDocuments removes documents of a collection, and returns how many there were.
func (a *Admin) RemoveDocuments(ctx context.Context, name string, ids []string) (int, error) {
	n, err := get[map[string]int](ctx, a, "DELETE", shelfPath(name)+"/documents?"+url.Values{"id": ids}.Encode(), nil)
	return n["removed"], err
}

// Allow says who may read documents of a collection.
func (a *Admin) Allow(ctx context.Context, name string, to admin.Allowance) (int, error) {
	n, err := get[map[string]int](ctx, a, "POST", shelfPath(name)+"/acl", to)
	return n["changed"], err
}

// Qualities returns how searches for answers do.
func (a *Admin) Qualities(ctx context.Context) (admin.Qualities, error) {
	return get[admin.Qualities](ctx, a, "GET", "/api/knowledge/quality", nil)
}

// Evaluate measures a collection.
func (a *Admin) Evaluate(ctx context.Context, name string, e admin.Evaluation) (golden.Report, error) {
	return get[golden.Report](ctx, a, "POST", shelfPath(name)+"/eval", e)
}

// Corpus returns all that a collection says, or as much as has so many tokens.
func (a *Admin) Corpus(ctx context.Context, name string, tokens int) (admin.Corpus, error) {
	return get[admin.Corpus](ctx, a, "GET", fmt.Sprintf("%s/text?tokens=%d", shelfPath(name), tokens), nil)
}

// Search searches a collection.
func (a *Admin) Search(ctx context.Context, name string, s admin.Search) (knowledge.Answer, error) {
	return get[knowledge.Answer](ctx, a, "POST", shelfPath(name)+"/search", s)
}

// Deposit adds documents to a collection, and calls progress while it does.
func (a *Admin) Deposit(ctx context.Context, name string, d admin.Deposit, progress func(knowledge.Progress)) (*knowledge.Added, error) {
	return a.told(ctx, shelfPath(name)+"/documents", d, progress)
}

// Follow lets a collection follow a place.
func (a *Admin) Follow(ctx context.Context, name string, f admin.Following) (admin.Shelf, error) {
	return get[admin.Shelf](ctx, a, "POST", shelfPath(name)+"/sync", f)
}

// MoveShelf begins to move a collection to another embedder.
func (a *Admin) MoveShelf(ctx context.Context, name string, to admin.Mover) (admin.Shelf, error) {
	return get[admin.Shelf](ctx, a, "POST", shelfPath(name)+"/embedder", to)
}

// SyncNow takes over what changed at the place that a collection follows.
func (a *Admin) SyncNow(ctx context.Context, name string, progress func(knowledge.Progress)) (*knowledge.Added, error) {
	return a.told(ctx, shelfPath(name)+"/sync", admin.Following{Now: true}, progress)
}

// told sends what takes long, and reads line by line how far it is.
func (a *Admin) told(ctx context.Context, path string, what any, progress func(knowledge.Progress)) (*knowledge.Added, error) {
	body, err := json.Marshal(what)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", a.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.Token)
	patient := *a.http
	patient.Timeout = 0
	resp, err := patient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w at %s: %w", ErrAbsent, a.URL, err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	if resp.StatusCode != http.StatusOK {
		var f admin.Failure
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // what is cut has no form
		if json.Unmarshal(b, &f) != nil || f.Error.Message == "" {
			f.Error.Message = fmt.Sprintf("%s answered %d, which is no answer of Headworks", a.URL, resp.StatusCode)
		}
		return nil, &Error{Status: resp.StatusCode, Problem: f.Error}
	}
	for lines.Scan() {
		var line admin.Deposited
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("reading the answer of %s: %w", a.URL, err)
		}
		switch {
		case line.Error != nil:
			return line.Added, &Error{Status: http.StatusInternalServerError, Problem: *line.Error}
		case line.Added != nil:
			return line.Added, nil
		case line.Progress != nil && progress != nil:
			progress(*line.Progress)
		}
	}
	if err := cmp.Or(ctx.Err(), lines.Err()); err != nil {
		return nil, fmt.Errorf("it is not known how the ingestion ended; adding the same again goes on: %w", err)
	}
	return nil, errors.New("the instance ended before the ingestion did; adding the same again goes on")
}
