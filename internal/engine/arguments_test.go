package engine

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"headworks/internal/inference"
)

// TestArguments follows objects that come in pieces: a whole one is one, and no part
// of it is.
func TestArguments(t *testing.T) {
	value := rapid.OneOf(
		rapid.Map(rapid.String(), func(s string) any { return s }),
		rapid.Map(rapid.Int(), func(n int) any { return n }),
		rapid.Just[any]([]any{"]", map[string]any{"}": nil}}),
		rapid.Just[any](map[string]any{`\"{`: `\\`}),
	)
	rapid.Check(t, func(t *rapid.T) {
		text, err := json.Marshal(rapid.MapOf(rapid.String(), value).Draw(t, "object"))
		if err != nil {
			t.Fatal(err)
		}
		cut := rapid.IntRange(1, len(text)).Draw(t, "cut")
		for _, tt := range []struct {
			text   []byte
			broken bool
		}{{text, false}, {text[:cut], cut < len(text)}, {append(text[:len(text):len(text)], text...), true}} {
			var a arguments
			a.follow(&inference.Delta{Kind: inference.ToolBegin, Index: 3})
			for rest := tt.text; len(rest) > 0; {
				n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
				a.follow(&inference.Delta{Kind: inference.ToolDelta, Index: 3, Text: string(rest[:n])})
				rest = rest[n:]
			}
			if broken := a.follow(&inference.Delta{Kind: inference.End, Finish: inference.ToolCalls}); broken != tt.broken {
				t.Fatalf("%s: broken %v", tt.text, broken)
			}
		}
	})
}
