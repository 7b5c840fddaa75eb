package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestDiscover asks a running instance's upstreams for their models: those that tell,
// one that refuses, one that is not there. Nothing is asked before.
func TestDiscover(t *testing.T) {
	asked := make(chan string, 10)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.URL.Path
		if r.Header.Get("Authorization") != "Bearer sk-0123456789abcdef" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"object":"list","data":[{"id":"b"},{"id":"a"}]}`)
	}))
	defer upstream.Close()
	i := serve(t, `
upstreams:
  lab: {kind: vllm, metrics: off, urls: [`+upstream.URL+`], key: sk-0123456789abcdef}
  locked: {kind: vllm, metrics: off, urls: [`+upstream.URL+`], key: sk-wrong-0123456789}
  azure: {kind: azure, urls: [`+upstream.URL+`], key: sk-0123456789abcdef}
  sim: {kind: simulated}
models:
  assistant: {targets: [{upstream: lab, model: a}]}
`)
	if len(asked) != 0 {
		t.Errorf("the start asked %s", <-asked)
	}
	found, err := i.admin.Discover(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 3 {
		t.Fatalf("%+v", found)
	}
	for _, u := range found {
		switch u.Upstream {
		case "lab":
			if !slices.Equal(u.Models, []string{"a", "b"}) || u.Problem != "" {
				t.Errorf("%+v", u)
			}
		case "locked":
			if len(u.Models) > 0 || !strings.Contains(u.Problem, "credential") {
				t.Errorf("%+v", u)
			}
		case "azure":
			if len(u.Models) > 0 || !strings.Contains(u.Problem, "no list") {
				t.Errorf("%+v", u)
			}
		}
	}
	if one, err := i.admin.Discover(t.Context(), "lab"); err != nil || len(one) != 1 || one[0].Kind != "vllm" {
		t.Errorf("%+v, %v", one, err)
	}
	if one, err := i.admin.Discover(t.Context(), "sim"); err != nil || len(one) != 1 || one[0].Problem == "" {
		t.Errorf("%+v, %v", one, err)
	}
	if _, err := i.admin.Discover(t.Context(), "nobody"); err == nil || !strings.Contains(err.Error(), "no upstream") {
		t.Errorf("%v", err)
	}
	for range 3 {
		if got := <-asked; got != "GET /v1/models" {
			t.Errorf("asked %s", got)
		}
	}
}
