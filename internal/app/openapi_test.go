package app

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// operation is one of a description, as far as these tests read it.
type operation struct {
	OperationID string
	Summary     string
	Security    *[]map[string][]string // none: that of the whole document
	RequestBody *struct {
		Content map[string]struct{ Example json.RawMessage }
	}
	Responses map[string]told
}

// told are the media types of an answer, or where they are told.
type told struct {
	Ref     string `json:"$ref"`
	Content map[string]any
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
		Components struct{ Responses map[string]told }
	}
	if err := json.Unmarshal([]byte(r.body), &said); err != nil || r.status != 200 || said.OpenAPI != "3.1.0" {
		t.Fatalf("%d, %v, OpenAPI %q", r.status, err, said.OpenAPI)
	}

	want := map[string]bool{"get /openapi.json": true}
	for _, path := range []string{"/livez", "/readyz", "/healthz", "/health", "/health/liveliness", "/health/readiness", "/version"} {
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
	for path, methods := range said.Paths {
		for method, op := range methods {
			at := method + " " + path
			got[at] = true
			if names[op.OperationID] || op.OperationID == "" || op.Summary == "" {
				t.Errorf("%s: its name is %q, its summary %q", at, op.OperationID, op.Summary)
			}
			names[op.OperationID] = true
			for status, answer := range op.Responses {
				if name, ok := strings.CutPrefix(answer.Ref, "#/components/responses/"); ok {
					op.Responses[status] = said.Components.Responses[name]
				}
			}
			i.visit(t, root, method, path, op, sent)
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
	if len(refs(r.body)) == 0 {
		t.Error("nothing is told by a reference")
	}
	for ref := range refs(r.body) {
		if !resolves(t, r.body, ref) {
			t.Errorf("%s is not in the document", ref)
		}
	}
}

// visit asks what a description tells of, with a key and without. An example is sent
// once, though several paths have it.
func (i *instance) visit(t *testing.T, root, method, path string, op operation, sent map[string]bool) {
	t.Helper()
	method = strings.ToUpper(method)
	braces := strings.NewReplacer("{model}", "demo-small", "{response_id}", "resp_none")
	url := root + braces.Replace(path)
	open := op.Security != nil && len(*op.Security) == 0
	if r := i.send(t, method, url, "", ""); open != (r.status == http.StatusOK) || !open && r.status != http.StatusUnauthorized {
		t.Errorf("%s %s without a key: %d, %s", method, path, r.status, r.body)
	}
	if open {
		return
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
		}
		return
	}
	r := i.send(t, method, url, i.LocalKey(), "")
	switch {
	case strings.Contains(path, "{response_id}"): // none is kept
		if strings.Contains(r.body, "no such path") || r.status == http.StatusMethodNotAllowed {
			t.Errorf("%s %s: %d, %s", method, path, r.status, r.body)
		}
	case r.status != http.StatusOK:
		t.Errorf("%s %s: %d, %s", method, path, r.status, r.body)
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
