package converse

import (
	"testing"

	"headworks/internal/inference"
	"headworks/internal/scan"
)

// TestSealed: a thought that only its maker can read commits the answer and goes on as
// it is.
func TestSealed(t *testing.T) {
	var r Reader
	var d scan.Doc
	e, err := r.Read([]byte("contentBlockDelta"), []byte(`{"contentBlockIndex":0,"delta":{"reasoningContent":{"redactedContent":"ZGF0YQ=="}}}`), &d)
	if err != nil || !e.Content {
		t.Fatalf("%+v, %v", e, err)
	}
	got := r.Deltas(nil)
	if len(got) != 2 || got[1] != (inference.Delta{Kind: inference.Sealed, Text: "ZGF0YQ=="}) {
		t.Errorf("%+v", got)
	}
}
