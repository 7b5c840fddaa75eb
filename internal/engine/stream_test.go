package engine_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// An answer that cannot be translated is no answer, not even in part.
func TestUndecodableAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}`)
	}))
	defer server.Close()
	p := engine.Chat()
	p.DecodeAnswer = func(*scan.Doc) (*inference.Answer, error) {
		return &inference.Answer{}, fault.New(fault.Malformed, "it has no other form")
	}
	replica := fleet.Replica{ID: 0, URL: server.URL}
	e, err := engine.NewHTTP([]engine.Protocol{p}, []fleet.Replica{replica}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s, err := e.Open(t.Context(), &engine.Call{
		Request: &inference.Request{Dialect: inference.Anthropic}, Replica: &replica, Model: "m",
		Conversation: func() (*inference.Conversation, []string, error) { return &inference.Conversation{}, nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := s.Next(time.Time{})
	if f := fault.Of(err); err == nil || f.Kind != fault.Malformed || !reflect.DeepEqual(c, engine.Chunk{}) {
		t.Errorf("%+v, %v", c, err)
	}
}
