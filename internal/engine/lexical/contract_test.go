package lexical

import (
	"testing"

	"headworks/internal/engine"
	"headworks/internal/engine/enginetest"
	"headworks/internal/inference"
)

func TestContract(t *testing.T) {
	for dialect, body := range map[inference.Dialect]string{
		inference.Embeddings: `{"model":"m","input":["How do I create a key?","b"]}`,
		inference.Rerank:     `{"model":"m","query":"a key","documents":["How do I create a key?","b"]}`,
	} {
		enginetest.Contract(t, New(), func(bool) *engine.Call { return call(t, dialect, body) })
	}
}
