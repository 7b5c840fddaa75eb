package tgi

import (
	"strings"
	"testing"

	"headworks/internal/engine/enginetest"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

func TestConformance(t *testing.T) {
	for dialect, path := range map[inference.Dialect]string{
		inference.OpenAI:      "/v1/chat/completions",
		inference.Completions: "/v1/completions",
	} {
		t.Run(dialect.String(), func(t *testing.T) {
			enginetest.Run(t, enginetest.Kind{New: New, Dialect: dialect, Path: path, Key: enginetest.Bearer(), One: true})
		})
	}
}

// TestTopP: one of 1 asks for nothing and is refused, so it is not sent.
func TestTopP(t *testing.T) {
	for body, want := range map[string]string{
		`{"top_p":1,"model":"a"}`:                          `{"top_p":null,"model":"b"}`,
		`{"model":"a","top_p":1.0}`:                        `{"model":"b","top_p":null}`,
		`{"model":"a","top_p":1e0,"models":["c"]}`:         `{"model":"b","top_p":null}`,
		`{"model":"a","models":["c"],"top_p":1}`:           `{"model":"b","top_p":null}`,
		`{"model":"a","top_p":0.9}`:                        `{"model":"b","top_p":0.9}`,
		`{"model":"a","top_p":null}`:                       `{"model":"b","top_p":null}`,
		`{"top_p":1,"stream":true,"stream_options":null}`:  `{"top_p":null,"stream":true,"stream_options":{"include_usage":true}}`,
		`{"stream":true,"top_p":1,"messages":[{"a":"b"}]}`: `{"stream":true,"top_p":null,"messages":[{"a":"b"}],"stream_options":{"include_usage":true}}`,
	} {
		var d scan.Doc
		if err := d.Scan([]byte(body), nil); err != nil {
			t.Fatal(err)
		}
		if !d.Root().Get("model").Exists() {
			d = scan.Doc{}
			body = strings.Replace(body, "{", `{"model":"a",`, 1)
			want = strings.Replace(want, "{", `{"model":"b",`, 1)
			if err := d.Scan([]byte(body), nil); err != nil {
				t.Fatal(err)
			}
		}
		if got := string(scan.Splice(nil, []byte(body), edits(nil, &d, "b"))); got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
	for _, p := range []float64{0.5, 1} {
		c := &inference.Conversation{TopP: &p}
		body, _ := encode(c, "m", false)
		if said := strings.Contains(string(body), "top_p"); said != (p < 1) || c.TopP != &p {
			t.Errorf("top_p %v is sent: %v", p, said)
		}
	}
}

func TestSeveral(t *testing.T) {
	for asked, want := range map[[2]int]bool{{1, 0}: false, {2, 0}: true, {2, 2}: false, {4, 2}: true} {
		if got := several(&inference.Request{N: asked[0], Prompts: asked[1]}) != nil; got != want {
			t.Errorf("%d answers to %d prompts are refused: %v", asked[0], asked[1], got)
		}
	}
}

// TestErrors: as router/src/server.rs and router/src/infer/mod.rs write them.
func TestErrors(t *testing.T) {
	for body, tt := range map[string]struct {
		status int
		want   fault.Kind
	}{
		`{"error":"Request failed during generation: SECRET","error_type":"generation"}`:                                                                                {424, fault.UpstreamError},
		`{"error":"Model is overloaded","error_type":"overloaded"}`:                                                                                                     {429, fault.UpstreamCapacity},
		"{\"error\":\"Input validation error: `inputs` must have less than 4096 tokens. Given: 5000\",\"error_type\":\"validation\"}":                                   {422, fault.ContextTooLong},
		"{\"error\":\"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens and 100\",\"error_type\":\"validation\"}": {422, fault.ContextTooLong},
		"{\"error\":\"Input validation error: `temperature` must be strictly positive\",\"error_type\":\"validation\"}":                                                 {422, fault.UpstreamRejected},
		`{"error":"Incomplete generation","error_type":"incomplete_generation"}`:                                                                                        {500, fault.UpstreamError},
	} {
		f := readError(tt.status, []byte(body), &scan.Doc{})
		if f.Kind != tt.want || strings.Contains(f.Words, "SECRET") {
			t.Errorf("%s: %v, want %v", body, f, tt.want)
		}
	}
}
