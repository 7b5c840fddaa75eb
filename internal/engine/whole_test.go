package engine_test

import (
	"testing"

	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
)

// TestWhole: a request that is to go whole or not at all is not sent where a field
// would be lost, and the field is named. Nothing listens where it would go.
func TestWhole(t *testing.T) {
	replica := fleet.Replica{ID: 0, URL: "http://127.0.0.1:1"}
	e, err := engine.NewHTTP([]engine.Protocol{engine.Chat()}, []fleet.Replica{replica}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	call := &engine.Call{
		Request: &inference.Request{Dialect: inference.Anthropic}, Replica: &replica, Model: "m", Whole: true,
		Conversation: func() (*inference.Conversation, []string, error) {
			return &inference.Conversation{From: inference.Anthropic, TopK: new(3)}, []string{"container"}, nil
		},
	}
	if _, err := e.Open(t.Context(), call); fault.Of(err).Kind != fault.Unsupported || fault.Of(err).Param != "container" {
		t.Errorf("got %v", err)
	}
	call.Whole = false
	if _, err := e.Open(t.Context(), call); fault.Of(err).Kind != fault.Connect {
		t.Errorf("without the wish it is not sent: %v", err)
	}
}
