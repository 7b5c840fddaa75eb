package engine_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"headworks/internal/dialect/openai"
	"headworks/internal/engine"
	"headworks/internal/engine/vllm"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
	"headworks/internal/tenant"
)

// TestSalt: with salt no two tenants share blocks, one tenant shares them with itself,
// a salt of the caller's own sets apart within his tenant, and nothing else changes.
func TestSalt(t *testing.T) {
	sent := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the test sees what is missing
		sent <- string(body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
	}))
	defer server.Close()
	replicas := []fleet.Replica{{URL: server.URL}}
	send := func(salt bool, who, body string) (fields map[string]any, own any) {
		t.Helper()
		e, err := vllm.New(replicas, nil, salt)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		c := &engine.Call{Request: &inference.Request{}, Replica: &replicas[0], Model: "m", Doc: &scan.Doc{}, Body: []byte(body), Caller: &tenant.Caller{Tenant: who}}
		if err := c.Doc.Scan(c.Body, openai.Shape()); err != nil {
			t.Fatal(err)
		}
		if err := openai.ReadRequest(c.Doc, c.Request); err != nil {
			t.Fatal(err)
		}
		s, err := e.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := json.Unmarshal([]byte(<-sent), &fields); err != nil {
			t.Fatal(err)
		}
		own = fields["cache_salt"]
		delete(fields, "cache_salt")
		return fields, own
	}
	const plain = `{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0}`
	const salted = `{"cache_salt":"mine","model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0}`
	want, none := send(false, "one", plain)
	if none != nil {
		t.Errorf("a salt that nobody asked for: %v", none)
	}
	if _, own := send(false, "one", salted); own != "mine" {
		t.Errorf("the caller's own salt is %v", own)
	}
	seen := map[any]string{}
	for _, tt := range [][2]string{{"one", plain}, {"two", plain}, {"one", salted}, {"two", salted}, {"", plain}} {
		fields, salt := send(true, tt[0], tt[1])
		if !reflect.DeepEqual(fields, want) {
			t.Errorf("%v is sent, want %v", fields, want)
		}
		if text, ok := salt.(string); !ok || len(text) < 20 {
			t.Errorf("the salt is %v", salt)
		}
		if before, ok := seen[salt]; ok {
			t.Errorf("%q and %q share", before, tt)
		}
		seen[salt] = tt[0] + tt[1]
		if _, again := send(true, tt[0], tt[1]); again != salt {
			t.Errorf("%q does not share with itself", tt)
		}
	}
}
