package extract

import (
	"testing"

	"headworks/internal/engine"
	"headworks/internal/engine/enginetest"
	"headworks/internal/inference"
)

func TestContract(t *testing.T) {
	var asked string
	enginetest.Contract(t, New(always(&asked)), func(stream bool) *engine.Call {
		return call(
			inference.Request{Stream: stream},
			inference.Conversation{Messages: []inference.Message{said(inference.User, "How do I create a key?")}},
		)
	})
}
