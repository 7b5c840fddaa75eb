package anthropic

import (
	"strings"
	"testing"

	"headworks/internal/inference"
	"headworks/internal/scan"
)

// TestSealed: a thought that only its maker can read is carried through a stream as it
// is, and read again from what was written.
func TestSealed(t *testing.T) {
	const data = "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIwxtE3rAFBa8cr3qpP"
	w := Writer{ID: "msg_1", Model: "m"}
	out := w.Delta(nil, inference.Delta{Kind: inference.Begin})
	for _, d := range []inference.Delta{
		{Kind: inference.Sealed, Text: data}, {Kind: inference.TextDelta, Index: 1, Text: "hi"}, {Kind: inference.End, Finish: inference.Stop},
	} {
		out = w.Delta(out, d)
	}
	if want := `"content_block":{"type":"redacted_thinking","data":"` + data + `"}}`; !strings.Contains(string(out), want) {
		t.Fatalf("%s", out)
	}
	var r Reader
	var d scan.Doc
	r.Reset(1)
	var got []inference.Delta
	for event := range strings.SplitSeq(strings.TrimSpace(string(out)), "\n\n") {
		head, body, _ := strings.Cut(event, "\ndata: ")
		if _, err := r.Read([]byte(strings.TrimPrefix(head, "event: ")), []byte(body), &d); err != nil {
			t.Fatalf("%s: %v", event, err)
		}
		got = r.Deltas(got)
	}
	if len(got) != 3 || got[1] != (inference.Delta{Kind: inference.Sealed, Text: data}) || got[2].Text != "hi" {
		t.Errorf("%+v", got)
	}
}
