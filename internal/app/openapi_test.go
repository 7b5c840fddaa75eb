package app

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
)

// operation is one of a description, as far as these tests read it.
type operation struct {
	OperationID string
	Summary     string
	Security    *[]map[string][]string // none: that of the whole document
	Parameters  []struct {
		Name, In string
		Required bool
	}
	RequestBody *struct {
		Content map[string]struct{ Example json.RawMessage }
	}
	Responses map[string]told
}

// told are the media types of an answer, or where they are told.
type told struct {
	Ref     string `json:"$ref"`
	Content map[string]struct{ Schema *jsonschema.Schema }
}

// TestDescription: what /openapi.json says is what there is, no more and no less, and
// its examples can be sent as they are.
func TestDescription(t *testing.T) {
	i := up(t)
	root := strings.TrimSuffix(i.BaseURL(), "/v1")
	r := i.send(t, "GET", root+"/openapi.json", "", "")
	var said struct {
		OpenAPI    string
		Paths      map[string]map[string]operation
		Components struct {
			Responses       map[string]told
			Schemas         map[string]*jsonschema.Schema
			SecuritySchemes map[string]any
		}
	}
	if err := json.Unmarshal([]byte(r.body), &said); err != nil || r.status != 200 || said.OpenAPI != "3.1.0" {
		t.Fatalf("%d, %v, OpenAPI %q", r.status, err, said.OpenAPI)
	}

	want := map[string]bool{"get /openapi.json": true}
	for _, path := range []string{"/livez", "/readyz", "/healthz", "/health", "/health/liveliness", "/health/readiness", "/healthz/cell", "/version"} {
		want["get "+path] = true
	}
	for _, routes := range i.routes() {
		for _, r := range routes {
			if len(r.About) == 0 {
				t.Errorf("%s %s is not described", r.Method, r.Path)
			}
			for _, a := range r.About {
				if (a.Tail == "") != !strings.HasSuffix(r.Path, "/") || a.Title == "" || a.Name == "" {
					t.Errorf("%s %s: %+v", r.Method, r.Path, a)
				}
				want[strings.ToLower(r.Method)+" "+r.Path+a.Tail] = true
			}
		}
	}
	got, names, sent := map[string]bool{}, map[string]bool{}, map[string]bool{}
	alike := map[string]string{}
	for path, methods := range said.Paths {
		if bare := braced.ReplaceAllString(path, "{}"); alike[bare] != "" {
			t.Errorf("%s is %s with other names", path, alike[bare])
		} else {
			alike[bare] = path
		}
		for method, op := range methods {
			at := method + " " + path
			got[at] = true
			if names[op.OperationID] || op.OperationID == "" || op.Summary == "" {
				t.Errorf("%s: its name is %q, its summary %q", at, op.OperationID, op.Summary)
			}
			names[op.OperationID] = true
			var named []string
			for _, p := range op.Parameters {
				if p.In == "path" && p.Required {
					named = append(named, "{"+p.Name+"}")
				}
			}
			if in := braced.FindAllString(path, -1); !slices.Equal(named, in) {
				t.Errorf("%s: the parameters %q, but %q in the path", at, named, in)
			}
			if op.Security != nil {
				for _, way := range *op.Security {
					for scheme := range way {
						if said.Components.SecuritySchemes[scheme] == nil {
							t.Errorf("%s: no security scheme is called %s", at, scheme)
						}
					}
				}
			}
			for status, answer := range op.Responses {
				if name, ok := strings.CutPrefix(answer.Ref, "#/components/responses/"); ok {
					op.Responses[status] = said.Components.Responses[name]
				}
			}
			i.visit(t, root, method, path, op, sent, said.Components.Schemas)
		}
	}
	if !maps.Equal(got, want) {
		for at := range want {
			if !got[at] {
				t.Errorf("not told: %s", at)
			}
		}
		for at := range got {
			if !want[at] {
				t.Errorf("told, and not there: %s", at)
			}
		}
	}
	// What may be sent is what the surface reads: as JSON, as a form, or as both.
	for path, media := range map[string][]string{
		"/v1/chat/completions":     {"application/json"},
		"/v1/images/edits":         {"application/json", "multipart/form-data"},
		"/v1/audio/transcriptions": {"multipart/form-data"},
	} {
		if got := slices.Sorted(maps.Keys(said.Paths[path]["post"].RequestBody.Content)); !slices.Equal(got, media) {
			t.Errorf("%s takes %q, want %q", path, got, media)
		}
	}
	if len(refs(r.body)) == 0 {
		t.Error("nothing is told by a reference")
	}
	for ref := range refs(r.body) {
		if !resolves(t, r.body, ref) {
			t.Errorf("%s is not in the document", ref)
		}
	}
}

var braced = regexp.MustCompile(`\{[a-z_]+\}`)

// fits holds a whole answer against what the description says of it. Schemas of answers
// refer to those of errors alone.
func (o operation) fits(t *testing.T, schemas map[string]*jsonschema.Schema, at, status string, r reply) {
	t.Helper()
	schema := o.Responses[status].Content["application/json"].Schema
	if schema == nil || !strings.HasPrefix(r.header.Get("Content-Type"), "application/json") {
		return
	}
	of := func(s *jsonschema.Schema) *jsonschema.Schema {
		if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
			return schemas[name].CloneSchemas()
		}
		return s.CloneSchemas()
	}
	schema = of(schema)
	for i, s := range schema.AnyOf {
		schema.AnyOf[i] = of(s)
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	var value any
	if err := json.Unmarshal([]byte(r.body), &value); err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	if err := resolved.Validate(value); err != nil {
		t.Errorf("%s: what is answered is not what is described: %v\n%s", at, err, r.body)
	}
}

// visit asks what a description tells of, with a key and without. An example is sent
// once, though several paths have it.
func (i *instance) visit(t *testing.T, root, method, path string, op operation, sent map[string]bool, schemas map[string]*jsonschema.Schema) {
	t.Helper()
	method = strings.ToUpper(method)
	braces := strings.NewReplacer("{model}", "demo-small", "{response_id}", "resp_none", "{file_id}", "file-none", "{vector_store_id}", "vs_none", "{batch_id}", "vsfb_none")
	url := root + braces.Replace(path)
	open := op.Security != nil && len(*op.Security) == 0
	if r := i.send(t, method, url, "", ""); open != (r.status == http.StatusOK) || !open && r.status != http.StatusUnauthorized {
		t.Errorf("%s %s without a key: %d, %s", method, path, r.status, r.body)
	}
	if open {
		return
	}
	for _, mark := range []string{"", "anthropic-version", "x-goog-api-key"} { // where a path is of several surfaces, they tell the client
		var header []string
		if mark != "" {
			header = []string{mark, "none"}
		}
		op.fits(t, schemas, method+" "+path, "default", i.send(t, method, url, "", "", header...))
	}
	if op.RequestBody != nil {
		for media, content := range op.RequestBody.Content {
			of := op.Summary + string(content.Example)
			if content.Example == nil || sent[of] {
				continue
			}
			sent[of] = true
			r := i.send(t, method, url, i.LocalKey(), string(content.Example), "Content-Type", media)
			served := slices.ContainsFunc(slices.Collect(maps.Keys(op.Responses["200"].Content)), func(m string) bool {
				return strings.HasPrefix(r.header.Get("Content-Type"), m)
			})
			if r.status != http.StatusOK || !served {
				t.Errorf("%s %s: the example is answered with %d %s: %s", method, path, r.status, r.header.Get("Content-Type"), r.body)
			}
			op.fits(t, schemas, method+" "+path, "200", r)
		}
		return
	}
	r := i.send(t, method, url, i.LocalKey(), "")
	switch {
	case strings.Contains(path, "{response_id}"), strings.Contains(path, "{file_id}"), strings.Contains(path, "{vector_store_id}"): // none is kept
		op.fits(t, schemas, method+" "+path, "default", r)
		if _, ends := op.Responses["200"]; ends == strings.HasSuffix(path, "/responses/{response_id}/cancel") {
			t.Errorf("%s %s is told to end well, or not to: %v", method, path, ends)
		}
		if strings.Contains(r.body, "no such path") || r.status == http.StatusMethodNotAllowed {
			t.Errorf("%s %s: %d, %s", method, path, r.status, r.body)
		}
	case r.status != http.StatusOK:
		t.Errorf("%s %s: %d, %s", method, path, r.status, r.body)
	default:
		op.fits(t, schemas, method+" "+path, "200", r)
	}
}

// refs returns what a document refers to.
func refs(document string) map[string]bool {
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`"\$ref":"#/([^"]+)"`).FindAllStringSubmatch(document, -1) {
		found[m[1]] = true
	}
	return found
}

// resolves reports whether what a reference names is there.
func resolves(t *testing.T, document, ref string) bool {
	t.Helper()
	var at any
	if err := json.Unmarshal([]byte(document), &at); err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(ref, "/") {
		o, ok := at.(map[string]any)
		if !ok {
			return false
		}
		if at, ok = o[name]; !ok {
			return false
		}
	}
	return true
}
