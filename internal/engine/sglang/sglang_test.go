package sglang

import (
	"testing"

	"headworks/internal/engine"
	"headworks/internal/engine/enginetest"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

func TestConformance(t *testing.T) {
	for dialect, path := range map[inference.Dialect]string{
		inference.OpenAI:      "/v1/chat/completions",
		inference.Completions: "/v1/completions",
		inference.Embeddings:  "/v1/embeddings",
		inference.Rerank:      "/v1/rerank",
	} {
		t.Run(dialect.String(), func(t *testing.T) {
			enginetest.Run(t, enginetest.Kind{New: plain, Dialect: dialect, Path: path, Key: enginetest.Bearer()})
		})
	}
}

// TestRanked: the array that the engine sends is what all others send as an object.
func TestRanked(t *testing.T) {
	const sent = `[{"score":0.99,"document":"caf\u00e9","index":1,"meta_info":{"id":"a","prompt_tokens":7}},
		{"score":-1.5e-3,"document":"b","index":0,"meta_info":{"id":"b","prompt_tokens":5}}]`
	for asked, want := range map[string]string{
		`{"model":"m"}`: `{"model":"m","results":[{"index":1,"relevance_score":0.99},{"index":0,"relevance_score":-1.5e-3}],"usage":{"prompt_tokens":12,"total_tokens":12}}`,
		`{"model":"m","top_n":1,"return_documents":true}`: `{"model":"m","results":[{"index":1,"relevance_score":0.99,"document":{"text":"caf\u00e9"}}],"usage":{"prompt_tokens":12,"total_tokens":12}}`,
	} {
		var doc, answer scan.Doc
		if err := doc.Scan([]byte(asked), nil); err != nil {
			t.Fatal(err)
		}
		if err := answer.ScanLax([]byte(sent)); err != nil {
			t.Fatal(err)
		}
		prompts := 2
		if n, ok := doc.Root().Get("top_n").Int(); ok {
			prompts = int(n)
		}
		c := &engine.Call{Request: &inference.Request{Prompts: prompts}, Model: "m", Doc: &doc}
		if got := string(ranked(c, &answer)); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", asked, got, want)
		}
		if err := answer.ScanLax([]byte(`{"results":[]}`)); err != nil || ranked(c, &answer) != nil {
			t.Error("an answer as others have it is written anew")
		}
	}
}

// plain is an engine whose cache all tenants share.
func plain(replicas []fleet.Replica, keys []string) (*engine.HTTP, error) {
	return New(replicas, keys, false)
}
