// Package knowledge is the surface for OpenAI's files and vector stores, with and
// without /v1: what a key hands over belongs to its project.
//
// Beside its own vector stores a caller sees the operator's collections that he may
// read; those he can search and not change.
package knowledge

import (
	"net/url"
	"strconv"
	"strings"

	"headworks/internal/api"
	"headworks/internal/dialect"
	"headworks/internal/dialect/openai"
	"headworks/internal/fault"
	"headworks/internal/knowledge"
	"headworks/internal/scan"
	"headworks/internal/wire"
)

// surface answers for the collections.
type surface struct {
	k    *knowledge.Knowledge
	most func() int64 // bytes of a body of JSON
}

// Routes returns the surface's paths.
func Routes(k *knowledge.Knowledge, mostBody func() int64) []api.Route {
	s := &surface{k, mostBody}
	d := &api.Dialect{Name: "openai", Status: openai.Status, AppendError: openai.AppendError, AppendModels: openai.AppendModels, AppendModel: openai.AppendModel}
	var routes []api.Route
	for _, prefix := range []string{"/v1", "", "/openai/v1"} {
		routes = append(routes,
			api.Route{Method: "POST", Path: prefix + "/files", Dialect: d, About: uploading, Serve: s.serve(s.upload)},
			api.Route{Method: "GET", Path: prefix + "/files", Dialect: d, About: listingFiles, Serve: s.serve(s.files)},
			api.Route{Method: "GET", Path: prefix + "/files/", Dialect: d, About: oneFile, Serve: s.getFile},
			api.Route{Method: "DELETE", Path: prefix + "/files/", Dialect: d, About: removingFile, Serve: s.serve(s.removeFile)},
			api.Route{Method: "POST", Path: prefix + "/vector_stores", Dialect: d, About: creating, Serve: s.serve(s.create)},
			api.Route{Method: "GET", Path: prefix + "/vector_stores", Dialect: d, About: listing, Serve: s.serve(s.list)},
			api.Route{Method: "GET", Path: prefix + "/vector_stores/", Dialect: d, About: getting, Serve: s.serve(s.get)},
			api.Route{Method: "POST", Path: prefix + "/vector_stores/", Dialect: d, About: posting, Serve: s.serve(s.post)},
			api.Route{Method: "DELETE", Path: prefix + "/vector_stores/", Dialect: d, About: removing, Serve: s.serve(s.remove)},
		)
	}
	return routes
}

// What the description of all routes says of these.
var (
	paging       = [][2]string{{"limit", "how many; 20 unless given, at most 100"}, {"order", "asc or desc, by creation; desc unless given"}, {"after", "those behind this id"}, {"before", "those before this id"}}
	uploading    = []api.About{{Name: "createFile", Title: "Keep a file", Form: []string{"file", "purpose"}, FormNeeds: []string{"file", "purpose"}}}
	listingFiles = []api.About{{Name: "listFiles", Title: "The files of the key's project", Query: append(paging, [2]string{"purpose", "those of this purpose"})}}
	oneFile      = []api.About{
		{Tail: "{file_id}", Name: "retrieveFile", Title: "What is known of a file"},
		{Tail: "{file_id}/content", Name: "downloadFile", Title: "The bytes of a file", Media: []string{"application/octet-stream"}},
	}
	removingFile = []api.About{{Tail: "{file_id}", Name: "deleteFile", Title: "Remove a file, from all vector stores too"}}
	creating     = []api.About{{Name: "createVectorStore", Title: "Make a collection of documents", Example: `{"name":"handbook"}`}}
	listing      = []api.About{{Name: "listVectorStores", Title: "The collections that the key may search", Query: paging}}
	getting      = []api.About{
		{Tail: "{vector_store_id}", Name: "getVectorStore", Title: "A collection"},
		{Tail: "{vector_store_id}/files", Name: "listVectorStoreFiles", Title: "The files of a collection", Query: append(paging, [2]string{"filter", "in_progress, completed, failed or cancelled"})},
		{Tail: "{vector_store_id}/files/{file_id}", Name: "getVectorStoreFile", Title: "A file of a collection"},
		{Tail: "{vector_store_id}/files/{file_id}/content", Name: "retrieveVectorStoreFileContent", Title: "The passages of a file of a collection"},
		{Tail: "{vector_store_id}/file_batches/{batch_id}", Name: "getVectorStoreFileBatch", Title: "How it stands with files that were added together"},
		{Tail: "{vector_store_id}/file_batches/{batch_id}/files", Name: "listFilesInVectorStoreBatch", Title: "Those files", Query: paging},
	}
	posting = []api.About{
		{Tail: "{vector_store_id}", Name: "modifyVectorStore", Title: "Change a collection", Body: true},
		{Tail: "{vector_store_id}/search", Name: "searchVectorStore", Title: "Find passages", Body: true},
		{Tail: "{vector_store_id}/files", Name: "createVectorStoreFile", Title: "Add a file to a collection", Body: true},
		{Tail: "{vector_store_id}/files/{file_id}", Name: "updateVectorStoreFileAttributes", Title: "Change the attributes of a file of a collection", Body: true},
		{Tail: "{vector_store_id}/file_batches", Name: "createVectorStoreFileBatch", Title: "Add several files to a collection", Body: true},
		{Tail: "{vector_store_id}/file_batches/{batch_id}/cancel", Name: "cancelVectorStoreFileBatch", Title: "Give up those files that were not taken in yet"},
	}
	removing = []api.About{
		{Tail: "{vector_store_id}", Name: "deleteVectorStore", Title: "Remove a collection"},
		{Tail: "{vector_store_id}/files/{file_id}", Name: "deleteVectorStoreFile", Title: "Remove a file from a collection"},
	}
)

// ask is a request of a caller.
type ask struct {
	x    *wire.Exchange
	by   knowledge.Who
	path []string // of the tail
	q    url.Values
	body scan.Value // of JSON; none where there is none
}

// serve answers by a function that returns JSON.
func (s *surface) serve(do func(a *ask) ([]byte, error)) func(*api.Front, *wire.Exchange, api.Visit) {
	return func(f *api.Front, x *wire.Exchange, v api.Visit) {
		a, err := s.read(x, v)
		var body []byte
		if err == nil {
			body, err = do(a)
		}
		f.Tell(x, v.Dialect, body, err)
	}
}

// read reads all of a request but a form.
func (s *surface) read(x *wire.Exchange, v api.Visit) (*ask, error) {
	a := &ask{x: x, by: knowledge.By(v.Caller)}
	for part := range strings.SplitSeq(v.Tail, "/") {
		name, err := url.PathUnescape(part)
		if err != nil {
			return nil, noPath()
		}
		a.path = append(a.path, name)
	}
	var err error
	if a.q, err = url.ParseQuery(string(x.Query())); err != nil {
		return nil, fault.New(fault.InvalidRequest, "the query cannot be read: it is key=value pairs with & between them")
	}
	if media, _ := x.Header("content-type"); x.Method() != "POST" || strings.HasPrefix(string(media), "multipart/") {
		return a, nil
	}
	body, err := x.Body(s.most())
	if err != nil || len(body) == 0 {
		return a, err
	}
	var d scan.Doc
	if err := d.Scan(body, nil); err != nil {
		return nil, fault.Wrap(fault.InvalidJSON, "the body is not JSON with a single reading: "+err.Error(), err)
	}
	if a.body = d.Root(); a.body.Kind() != scan.Object {
		return nil, fault.New(fault.InvalidRequest, "the body is not a JSON object")
	}
	return a, v.Meant(body)
}

func noPath() error {
	return fault.New(fault.NotFound, "no such path; see docs/reference/http.md for those that exist")
}

func (a *ask) text(name string) (text string, given bool, err error) {
	v := a.body.Get(name)
	switch {
	case !v.Given():
		return "", false, nil
	case v.Kind() != scan.String:
		return "", true, dialect.Invalid(name, name+" must be a text")
	}
	return v.Text(), true, nil
}

// page is which part of a list is asked for.
type page struct {
	limit         int
	ascending     bool
	after, before string
}

func (a *ask) page() (p page, err error) {
	p.limit, p.after, p.before = 20, a.q.Get("after"), a.q.Get("before")
	if s := a.q.Get("limit"); s != "" {
		if p.limit, err = strconv.Atoi(s); err != nil || p.limit < 1 || p.limit > 10000 {
			return p, dialect.Invalid("limit", "limit must be from 1 to 10000")
		}
	}
	switch a.q.Get("order") {
	case "asc":
		p.ascending = true
	case "", "desc":
	default:
		return p, dialect.Invalid("order", "order must be asc or desc")
	}
	return p, nil
}

// list returns a page of things, of which all are there, the oldest first.
func list[T any](p page, all []T, id func(T) string, write func(dst []byte, t T) []byte) []byte {
	if !p.ascending {
		turned := make([]T, 0, len(all))
		for i := range all {
			turned = append(turned, all[len(all)-1-i])
		}
		all = turned
	}
	find := func(want string) int {
		for i, t := range all {
			if id(t) == want {
				return i
			}
		}
		return -1
	}
	if i := find(p.after); p.after != "" && i >= 0 {
		all = all[i+1:]
	}
	if i := find(p.before); p.before != "" && i >= 0 {
		all = all[max(i-p.limit, 0):i]
	}
	more := len(all) > p.limit
	all = all[:min(len(all), p.limit)]
	b := []byte(`{"object":"list","data":[`)
	for i, t := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = write(b, t)
	}
	b = append(b, ']')
	for _, end := range []struct {
		name string
		at   int
	}{{"first_id", 0}, {"last_id", len(all) - 1}} {
		b = append(b, `,"`+end.name+`":`...)
		if len(all) == 0 {
			b = append(b, "null"...)
		} else {
			b = scan.AppendString(b, id(all[end.at]))
		}
	}
	b = append(b, `,"has_more":`...)
	return append(strconv.AppendBool(b, more), '}')
}

func deleted(id, object string) []byte {
	b := scan.AppendString([]byte(`{"id":`), id)
	return append(b, `,"object":"`+object+`","deleted":true}`...)
}
