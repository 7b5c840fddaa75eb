package api_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"headworks/internal/cache"
	"headworks/internal/engine"
	"headworks/internal/engine/anthropic"
	"headworks/internal/engine/gemini"
	"headworks/internal/engine/ollama"
	"headworks/internal/engine/openai"
	"headworks/internal/fleet"
	"headworks/internal/tenant"
)

// What upstreams of each dialect answer, whole and as a stream. The shapes are those of
// the fixtures in testdata of the dialects' packages.
const (
	anthropicWhole  = `{"id":"msg_theirs","type":"message","role":"assistant","model":"theirs","content":[{"type":"thinking","thinking":"Hm.","signature":"EqQBCkgIYw+/="},{"type":"text","text":"A \"word\"."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":7}}`
	anthropicStream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_theirs\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"theirs\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n" +
		"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n" +
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Hm.\"}}\n\n" +
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"EqQBCkgIYw+/=\"}}\n\n" +
		"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n" +
		"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n" +
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"A \\\"word\\\".\"}}\n\n" +
		"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n" +
		"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":7}}\n\n" +
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"

	geminiWhole  = `{"candidates":[{"content":{"parts":[{"text":"A \"word\"."}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":7,"totalTokenCount":16},"modelVersion":"theirs","responseId":"theirs"}`
	geminiStream = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"A \"}],\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":9,\"totalTokenCount\":9},\"modelVersion\":\"theirs\",\"responseId\":\"theirs\"}\r\n\r\n" +
		"data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\\\"word\\\".\"}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":7,\"totalTokenCount\":16},\"modelVersion\":\"theirs\",\"responseId\":\"theirs\"}\r\n\r\n"

	ollamaWhole  = `{"model":"theirs","created_at":"2026-01-01T00:00:00.1Z","message":{"role":"assistant","content":"A \"word\"."},"done_reason":"stop","done":true,"total_duration":1,"prompt_eval_count":9,"eval_count":7}`
	ollamaStream = `{"model":"theirs","created_at":"2026-01-01T00:00:00.1Z","message":{"role":"assistant","content":"A "},"done":false}` + "\n" +
		`{"model":"theirs","created_at":"2026-01-01T00:00:00.2Z","message":{"role":"assistant","content":"\"word\"."},"done":false}` + "\n" +
		`{"model":"theirs","created_at":"2026-01-01T00:00:00.3Z","message":{"role":"assistant","content":""},"done_reason":"stop","done":true,"total_duration":1,"prompt_eval_count":9,"eval_count":7}` + "\n"

	completionWhole  = `{"id":"cmpl-theirs","object":"text_completion","created":1700000000,"model":"theirs","choices":[{"index":0,"text":"A \"word\".","logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}`
	completionStream = "data: {\"id\":\"cmpl-theirs\",\"object\":\"text_completion\",\"created\":1700000000,\"model\":\"theirs\",\"choices\":[{\"index\":0,\"text\":\"A \\\"word\\\".\",\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n" +
		"data: {\"id\":\"cmpl-theirs\",\"object\":\"text_completion\",\"created\":1700000000,\"model\":\"theirs\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":7,\"total_tokens\":16}}\n\ndata: [DONE]\n\n"

	vectors = `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-2e-3]}],"model":"theirs","usage":{"prompt_tokens":2,"total_tokens":2}}`
	ranking = `{"id":"theirs","results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1}],"usage":{"total_tokens":5}}`
)

// TestEverySurface: a request in any dialect is answered by the engine once; what is
// given again is what came, but for the names of the answer, and in the other form says
// the same.
func TestEverySurface(t *testing.T) {
	type form struct{ path, body, gives, media string }
	const events, lines = "text/event-stream", "application/x-ndjson"
	for name, tt := range map[string]struct {
		engine        func(replicas []fleet.Replica) (*engine.HTTP, error)
		whole, stream form
		own           []string // names that belong to an answer alone
		says          []string // in each form
		apart         bool     // the forms do not stand in for each other
	}{
		"anthropic": {
			engine: func(r []fleet.Replica) (*engine.HTTP, error) { return anthropic.New(r, []string{"k"}) },
			whole:  form{"/v1/messages", `{"model":"ours","max_tokens":99,"temperature":0,"messages":[{"role":"user","content":"hi"}]}`, anthropicWhole, ""},
			stream: form{"/v1/messages", `{"model":"ours","max_tokens":99,"temperature":0,"messages":[{"role":"user","content":"hi"}],"stream":true}`, anthropicStream, events},
			own:    []string{"msg_theirs"}, says: []string{`EqQBCkgIYw+/=`, `"Hm."`, `A \"word\".`},
		},
		"gemini": {
			engine: func(r []fleet.Replica) (*engine.HTTP, error) { return gemini.New(r, []string{"k"}) },
			whole:  form{"/v1beta/models/ours:generateContent", `{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"temperature":0}}`, geminiWhole, ""},
			stream: form{"/v1beta/models/ours:streamGenerateContent?alt=sse", `{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"temperature":0}}`, geminiStream, events},
			own:    []string{`"responseId":"theirs"`}, says: []string{`\"word\".`, `"promptTokenCount":9`},
		},
		"ollama": {
			engine: func(r []fleet.Replica) (*engine.HTTP, error) { return ollama.New(r, []string{""}) },
			whole:  form{"/api/chat", `{"model":"ours","stream":false,"options":{"temperature":0},"messages":[{"role":"user","content":"hi"}]}`, ollamaWhole, ""},
			stream: form{"/api/chat", `{"model":"ours","options":{"temperature":0},"messages":[{"role":"user","content":"hi"}]}`, ollamaStream, lines},
			says:   []string{`\"word\".`, `"eval_count":7`},
		},
		"completions": {
			engine: func(r []fleet.Replica) (*engine.HTTP, error) { return openai.New(r, []string{"k"}) },
			whole:  form{"/v1/completions", `{"model":"ours","temperature":0,"prompt":"hi"}`, completionWhole, ""},
			stream: form{"/v1/completions", `{"model":"ours","temperature":0,"prompt":"hi","stream":true}`, completionStream, events},
			own:    []string{"cmpl-theirs", "1700000000"}, says: []string{`A \"word\".`}, apart: true,
		},
		"embeddings": {
			engine: func(r []fleet.Replica) (*engine.HTTP, error) { return openai.New(r, []string{"k"}) },
			whole:  form{"/v1/embeddings", `{"model":"ours","input":"hi"}`, vectors, ""}, says: []string{`[0.1,-2e-3]`},
		},
		"rerank": {
			engine: func(r []fleet.Replica) (*engine.HTTP, error) { return openai.New(r, []string{"k"}) },
			whole:  form{"/v1/rerank", `{"model":"ours","query":"hi","documents":["a","b"]}`, ranking, ""}, says: []string{`"relevance_score":0.9`},
		},
	} {
		for _, streamed := range []bool{false, true} {
			if streamed && tt.stream.path == "" {
				continue
			}
			t.Run(name+map[bool]string{false: "/whole first", true: "/stream first"}[streamed], func(t *testing.T) {
				k := &kept{}
				up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					k.calls.Add(1)
					f := tt.whole
					if b, _ := io.ReadAll(r.Body); strings.Contains(string(b), `"stream":true`) || strings.Contains(r.URL.Path, "stream") || name == "ollama" && !strings.Contains(string(b), `"stream":false`) {
						f = tt.stream
					}
					if f.media == "" {
						f.media = "application/json"
					}
					w.Header().Set("Content-Type", f.media)
					_, _ = io.WriteString(w, f.gives)
				}))
				t.Cleanup(up.Close)
				e, err := tt.engine([]fleet.Replica{{ID: 0, URL: up.URL}})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(e.Close)
				if k.cache, err = cache.New(t.Context(), cache.Options{Memory: 32 << 20, Secret: tenant.NewSecret("a secret of the test")}); err != nil {
					t.Fatal(err)
				}
				k.serve(t, e)
				k.g.World().Fleet.Models[0].Reuse.Exact = fleet.ExactOn
				first, second := tt.whole, tt.stream
				if streamed {
					first, second = second, first
				}
				say := func(f form, want string) string {
					res, got := k.try(t, t.Context(), "acme", f.path, f.body)
					if res == nil || res.StatusCode != 200 || state(res.Header) != want {
						t.Fatalf("want %s, got %v: %s", want, res, got)
					}
					return got
				}
				made := say(first, "miss")
				again := say(first, "hit")
				for _, own := range tt.own {
					if strings.Contains(again, own) {
						t.Errorf("another answer's name: %s", again)
					}
				}
				blank := func(s string) string {
					return strings.NewReplacer("\r\n", "\n").Replace(s)
				}
				if len(tt.own) == 0 && blank(made) != blank(again) {
					t.Errorf("given again:\n%s\nmade:\n%s", again, made)
				}
				texts := []string{again}
				if second.path != "" {
					want, calls := "hit", int64(1)
					if tt.apart {
						want, calls = "miss", 2
					}
					texts = append(texts, say(second, want))
					k.wantCalls(t, calls)
				} else {
					k.wantCalls(t, 1)
				}
				for _, text := range texts {
					for _, want := range tt.says {
						if !strings.Contains(text, want) {
							t.Errorf("no %s in %s", want, text)
						}
					}
				}
			})
		}
	}
}
