package llamacpp

import (
	"testing"

	"headworks/internal/engine"
	"headworks/internal/engine/enginetest"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

func TestConformance(t *testing.T) {
	for dialect, path := range map[inference.Dialect]string{
		inference.OpenAI: "/v1/chat/completions",
		inference.Rerank: "/v1/rerank",
	} {
		t.Run(dialect.String(), func(t *testing.T) {
			enginetest.Run(t, enginetest.Kind{New: New, Dialect: dialect, Path: path, Key: enginetest.Bearer()})
		})
	}
}

// Nothing is sent that the server would answer in a form of its own.
func TestSeveralPrompts(t *testing.T) {
	replica := fleet.Replica{URL: "http://127.0.0.1:1"} // nothing listens there
	e, err := New([]fleet.Replica{replica}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	doc := &scan.Doc{}
	body := []byte(`{"model":"m"}`)
	if err := doc.Scan(body, nil); err != nil {
		t.Fatal(err)
	}
	for prompts, want := range map[int]fault.Kind{1: fault.Connect, 2: fault.Unsupported} {
		_, err := e.Open(t.Context(), &engine.Call{
			Request: &inference.Request{Dialect: inference.Completions, N: prompts, Prompts: prompts}, Replica: &replica, Model: "m", Body: body, Doc: doc,
		})
		if fault.Of(err).Kind != want {
			t.Errorf("%d prompts: %v, want %v", prompts, err, want)
		}
	}
}
