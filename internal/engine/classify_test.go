package engine

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
)

// The answer is that of SGLang's docs/supported_models/classify_models, which has it
// from vLLM.
const classAnswer = `{"id":"classify-9bf17f2847b046c7b2d5495f4b4f9682","object":"list","created":1745383213,"model":"jason9693/Qwen2.5-1.5B-apeach","data":[{"index":0,"label":"Default","probs":[0.565970778465271,0.4340292513370514],"num_classes":2}],"usage":{"prompt_tokens":10,"total_tokens":10,"completion_tokens":0,"prompt_tokens_details":null}}`

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		base      string
		versioned bool
		path      string
	}{{"", false, "/classify"}, {"/v1", false, "/classify"}, {"/up/v1", false, "/up/classify"}, {"", true, "/v1/classify"}, {"/v1", true, "/v1/classify"}} {
		var path, body string
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b := make([]byte, r.ContentLength)
			_, _ = r.Body.Read(b)
			path, body = r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"), string(b)
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(classAnswer))
		}))
		e, err := NewHTTP(Compatible(), []fleet.Replica{{ID: 3, URL: s.URL + c.base}}, Options{Keys: Bearer([]string{"k"}), Classes: Classes(c.versioned)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Classify(t.Context(), 3, "m", "hi \"there\"", time.Now().Add(time.Minute))
		if err != nil || got != (Class{Label: "Default", P: 0.565970778465271, Input: 10}) {
			t.Errorf("%+v, %v", got, err)
		}
		if path != "POST "+c.path+" Bearer k" || body != `{"model":"m","input":"hi \"there\""}` {
			t.Errorf("%s %s", path, body)
		}
		e.Close()
		s.Close()
	}
}

func TestClassifyFails(t *testing.T) {
	answer, status := "", 200
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	defer s.Close()
	e, err := NewHTTP(Compatible(), []fleet.Replica{{URL: s.URL}}, Options{Classes: Classes(false)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, c := range []struct {
		answer string
		status int
		kind   fault.Kind
	}{
		{"no", 200, fault.Malformed},
		{`{"data":[]}`, 200, fault.Malformed},
		{`{"data":[{"label":null,"probs":[1]}]}`, 200, fault.Malformed},
		{`{"data":[{"label":"a","probs":[7]}]}`, 200, fault.Malformed},
		{`{"error":{"message":"The model does not support Classification API"}}`, 501, fault.UpstreamError},
		{`{}`, 429, fault.UpstreamCapacity},
	} {
		answer, status = c.answer, c.status
		if _, err := e.Classify(t.Context(), 0, "m", "x", time.Now().Add(time.Minute)); fault.Of(err).Kind != c.kind {
			t.Errorf("%s: %v, want %v", c.answer, err, c.kind)
		}
	}
	if _, err := e.Classify(t.Context(), 9, "m", "x", time.Time{}); fault.Of(err).Kind != fault.Internal {
		t.Errorf("a replica of another: %v", err)
	}
	e.options.Classes = nil
	if _, err := e.Classify(t.Context(), 0, "m", "x", time.Time{}); fault.Of(err).Kind != fault.Unsupported {
		t.Errorf("a kind that does not: %v", err)
	}
}

func FuzzReadClass(f *testing.F) {
	f.Add(classAnswer)
	f.Add(`{"data":[{"label":"a","probs":[]}]}`)
	f.Fuzz(func(t *testing.T, answer string) {
		if c, err := readClass([]byte(answer)); err == nil && (c.Label == "" || c.P <= 0 || c.P > 1 || c.Input < 0) {
			t.Errorf("%+v", c)
		}
	})
}
