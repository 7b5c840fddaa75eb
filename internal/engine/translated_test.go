package engine_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"headworks/internal/dialect/anthropic"
	"headworks/internal/dialect/openai/completions"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// TestOneAnswerAcrossDialects: a caller who asks for several answers in another
// dialect gets one, whole, and is told: it is not cut for want of the others.
func TestOneAnswerAcrossDialects(t *testing.T) {
	sent := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the test sees what is missing
		sent <- string(body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, `data: {"id":"1","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
	}))
	defer server.Close()
	replica := fleet.Replica{URL: server.URL}
	e, err := engine.NewHTTP([]engine.Protocol{engine.Chat()}, []fleet.Replica{replica}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	c := &engine.Call{Request: &inference.Request{}, Replica: &replica, Model: "m", Doc: &scan.Doc{}}
	c.Body = []byte(`{"model":"m","prompt":"hi","n":3,"stream":true}`)
	if err := c.Doc.Scan(c.Body, completions.Shape()); err != nil {
		t.Fatal(err)
	}
	if err := completions.ReadRequest(c.Doc, c.Request); err != nil {
		t.Fatal(err)
	}
	c.Conversation = func() (*inference.Conversation, []string, error) { return completions.Decode(c.Doc) }
	s, err := e.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Dropped(); len(got) != 1 || got[0] != "n" {
		t.Errorf("dropped %q", got)
	}
	if body := <-sent; strings.Contains(body, `"n"`) {
		t.Errorf("sent %s", body)
	}
	for last := false; !last; {
		chunk, err := s.Next(time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		last = chunk.Last
	}
}

// TestArgumentsThatAreNoObject: in a whole answer Anthropic's clients get the
// arguments of a call as an object. What the model wrote is not made into one.
func TestArgumentsThatAreNoObject(t *testing.T) {
	for _, tt := range []struct {
		arguments, finish string
		told              bool
	}{
		{`{\"a\":1}`, "tool_calls", true},
		{``, "tool_calls", true},
		{`{\"a\":`, "tool_calls", false},
		{`[1]`, "stop", false},
		{`{\"a\":`, "length", true}, // the limit of the length says why
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"`+
				tt.arguments+`"}}]},"finish_reason":"`+tt.finish+`"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
		}))
		replica := fleet.Replica{URL: server.URL}
		e, err := engine.NewHTTP([]engine.Protocol{engine.Chat()}, []fleet.Replica{replica}, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c := &engine.Call{Request: &inference.Request{}, Replica: &replica, Model: "m", Doc: &scan.Doc{}}
		c.Body = []byte(`{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`)
		if err := c.Doc.Scan(c.Body, anthropic.Shape()); err != nil {
			t.Fatal(err)
		}
		if err := anthropic.ReadRequest(c.Doc, c.Request); err != nil {
			t.Fatal(err)
		}
		c.Conversation = func() (*inference.Conversation, []string, error) { return anthropic.Decode(c.Doc) }
		s, err := e.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Next(time.Time{})
		if tt.told != (err == nil) || err != nil && fault.Of(err).Kind != fault.Malformed {
			t.Errorf("%s, %s: %v", tt.arguments, tt.finish, err)
		}
		s.Close()
		e.Close()
		server.Close()
	}
}
