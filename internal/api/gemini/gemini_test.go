package gemini

import (
	"encoding/json"
	"strings"
	"testing"

	"headworks/internal/dialect/gemini"
	"headworks/internal/fault"
	"headworks/internal/inference"
)

// TestModelsInPaths: names have slashes, escaped or not, and colons.
func TestModelsInPaths(t *testing.T) {
	for tail, want := range map[string]string{
		"gemini-2.5-pro:generateContent":  "gemini-2.5-pro",
		"up%2Fqwen3:8b:generateContent":   "up/qwen3:8b",
		"up/org/model:countTokens":        "up/org/model",
		"a%20b:generateContent":           "a b",
		":generateContent":                "",
		"a%2:generateContent":             "",
		"gemini%E2%82%AC:generateContent": "gemini€",
	} {
		var r inference.Request
		err := readModel(tail, &r)
		if (err == nil) != (want != "") || r.Model != want {
			t.Errorf("%s: %q, %v", tail, r.Model, err)
		}
		if err != nil && (fault.Of(err).Kind != fault.InvalidRequest || fault.Of(err).Param != "model") {
			t.Errorf("%s: %v", tail, err)
		}
	}
}

// TestArray: whatever comes, and however events are put together, what is written is
// one JSON array, and an error is its last element.
func TestArray(t *testing.T) {
	const event = `data: {"candidates":[{"index":0}]}` + "\n\n"
	failure := fault.New(fault.Interrupted, "cut")
	for name, tt := range map[string]struct {
		write    func(a *array) []byte
		elements int
	}{
		"nothing":    {func(a *array) []byte { return a.End(nil) }, 0},
		"keep-alive": {func(a *array) []byte { return a.End(a.KeepAlive(a.KeepAlive(nil))) }, 0},
		"events": {func(a *array) []byte {
			return a.End(a.KeepAlive(a.Raw(a.KeepAlive(a.Raw(nil, []byte(event+event))), []byte("\n\n"+event))))
		}, 3},
		"deltas": {func(a *array) []byte {
			out := a.Delta(nil, inference.Delta{Kind: inference.Begin})
			out = a.Delta(out, inference.Delta{Kind: inference.TextDelta, Text: "x"})
			return a.End(a.Delta(out, inference.Delta{Kind: inference.End, Finish: inference.Stop}))
		}, 2},
		"an error at once": {func(a *array) []byte { return a.Fail(nil, failure, "id") }, 1},
		"an error":         {func(a *array) []byte { return a.Fail(a.KeepAlive(a.Raw(nil, []byte(event))), failure, "id") }, 2},
	} {
		out := tt.write(newArray("id", "m"))
		var elements []struct{ Error *struct{ Status string } }
		if err := json.Unmarshal(out, &elements); err != nil || len(elements) != tt.elements {
			t.Errorf("%s: %v in %s", name, err, out)
			continue
		}
		if strings.Contains(name, "error") != (tt.elements > 0 && elements[tt.elements-1].Error != nil) {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// TestFail: a stream ends in the error as an event, and once more without.
func TestFail(t *testing.T) {
	w := &gemini.Writer{}
	f := fault.New(fault.Stalled, "quiet")
	event, bare := string(w.Fail(nil, f, "id")), string(w.Bare(nil, f, "id"))
	if event != "data: "+strings.TrimSuffix(bare, "}")+`,"candidates":{}}`+"\n\n" || !strings.HasPrefix(bare, `{"error":{"code":504,`) || strings.Contains(bare, "\n") {
		t.Errorf("%q, %q", event, bare)
	}
}
