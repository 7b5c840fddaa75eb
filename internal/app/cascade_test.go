package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// speaker is an engine of OpenAI's form and of Anthropic's that says what its model is
// told to, as a stream or whole.
func speaker(t *testing.T, says map[string]string) string {
	t.Helper()
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req struct {
			Model  string
			Stream bool
		}
		b, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(b, &req); err != nil {
			t.Error(err)
		}
		text := says[req.Model]
		half := len(text) / 2
		switch {
		case text == "":
			http.Error(w, "it is broken", http.StatusInternalServerError)
		case strings.HasSuffix(r.URL.Path, "/chat/completions") && req.Stream:
			delta := `{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":%s,"finish_reason":%s}]}`
			stream(w,
				"data: "+fmt.Sprintf(delta, `{"role":"assistant","content":""}`, "null"),
				"data: "+fmt.Sprintf(delta, `{"content":`+quote(text[:half])+`}`, "null"),
				"data: "+fmt.Sprintf(delta, `{"content":`+quote(text[half:])+`}`, "null"),
				"data: "+fmt.Sprintf(delta, `{}`, `"stop"`),
				`data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}}`,
				"data: [DONE]")
		case strings.HasSuffix(r.URL.Path, "/chat/completions"):
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":%s},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}}`, quote(text))
		case strings.HasSuffix(r.URL.Path, "/messages") && req.Stream:
			event := func(kind, rest string) string {
				return "event: " + kind + "\ndata: {\"type\":\"" + kind + "\"" + rest + "}"
			}
			stream(w,
				event("message_start", `,"message":{"id":"c","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":1}}`),
				event("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`),
				event("content_block_delta", `,"index":0,"delta":{"type":"text_delta","text":`+quote(text[:half])+`}`),
				event("content_block_delta", `,"index":0,"delta":{"type":"text_delta","text":`+quote(text[half:])+`}`),
				event("content_block_stop", `,"index":0`),
				event("message_delta", `,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":3}`),
				event("message_stop", ""))
		default:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"id":"c","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":%s}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":3}}`, quote(text))
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestCascade asks a cascade in both dialects, of engines of both, for streams and
// whole answers: what does not pass never reaches the client, and what passes comes
// as it was.
func TestCascade(t *testing.T) {
	at := speaker(t, map[string]string{"wrong": `{"nWRONG": "three"}`, "right": `{"n": 3}`, "better": `{"n": 3, "better": 1}`})
	i := serve(t, fmt.Sprintf(`
drain_delay: 0s
upstreams:
  small-openai: {kind: openai, urls: [%[1]s/v1], key: provider-secret-of-tests}
  small-anthropic: {kind: anthropic, urls: [%[1]s/v1], key: provider-secret-of-tests}
  large: {kind: openai, urls: [%[1]s/v1], key: provider-secret-of-tests}
models:
  wrong-openai: {cascade: {match: '"n"'}, targets: [{upstream: small-openai, model: wrong, price: {input: 1000, output: 1000}}, {upstream: large, model: better, price: {input: 2000, output: 2000}}]}
  wrong-anthropic: {cascade: {match: '"n"'}, targets: [{upstream: small-anthropic, model: wrong, price: {input: 1000, output: 1000}}, {upstream: large, model: better, price: {input: 2000, output: 2000}}]}
  right-openai: {cascade: {match: '"n"'}, targets: [{upstream: small-openai, model: right, price: {input: 1000, output: 1000}}, {upstream: large, model: better, price: {input: 2000, output: 2000}}]}
  right-anthropic: {cascade: {match: '"n"'}, targets: [{upstream: small-anthropic, model: right, price: {input: 1000, output: 1000}}, {upstream: large, model: better, price: {input: 2000, output: 2000}}]}
keys:
  - {name: tests, secret: %[2]s}
`, at, pinned))
	for _, path := range []string{"/v1/chat/completions", "/v1/messages"} {
		for _, model := range []string{"wrong-openai", "wrong-anthropic", "right-openai", "right-anthropic"} {
			for _, streams := range []bool{false, true} {
				name := fmt.Sprintf("%s of %s, stream %v", path, model, streams)
				r := i.send(t, "POST", i.at(path), pinned, fmt.Sprintf(`{"model":%q,"stream":%v,"max_tokens":100,"messages":[{"role":"user","content":"give n"}]}`, model, streams))
				if r.status != 200 {
					t.Fatalf("%s: %d %s", name, r.status, r.body)
				}
				escalates := strings.HasPrefix(model, "wrong")
				if strings.Contains(r.body, "WRONG") || strings.Contains(r.body, "better") != escalates || r.header.Get("X-Headworks-Degraded") != "" {
					t.Errorf("%s: %s\n%v", name, r.body, r.header)
				}
				x := i.explained(t, r)
				if !escalates {
					if len(x.Attempts) != 1 || x.Attempts[0].Doubt != "" || x.Cost != 8000 {
						t.Errorf("%s: cost %d, %+v", name, x.Cost, x.Attempts)
					}
					continue
				}
				if len(x.Attempts) != 2 || x.Attempts[0].Doubt != "it lacks what its model has to say" || *x.Attempts[0].Cost != 8000 || *x.Attempts[1].Cost != 16000 || x.Cost != 24000 {
					t.Errorf("%s: cost %d, %+v", name, x.Cost, x.Attempts)
				}
				if x.RouteReason != "cascade: the answer of the one before it did not pass" || x.FailoverFrom != "" || !streams && r.header.Get("X-Headworks-Cost") != "0.024000" {
					t.Errorf("%s: %s, from %q, cost %s", name, x.RouteReason, x.FailoverFrom, r.header.Get("X-Headworks-Cost"))
				}
			}
		}
	}
	// A schema that the caller asks for, at an engine of the caller's dialect.
	asked := `{"model":"wrong-openai","messages":[{"role":"user","content":"give n"}],"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","required":["n"]}}}}`
	if x := i.explained(t, i.send(t, "POST", i.at("/v1/chat/completions"), pinned, asked)); len(x.Attempts) != 2 || x.Attempts[0].Doubt != "it is not of the schema that was asked for" {
		t.Errorf("%+v", x.Attempts)
	}
	// Asked for by name, nobody looks.
	if r := i.send(t, "POST", i.at("/v1/chat/completions"), pinned, `{"model":"small-openai/wrong","messages":[{"role":"user","content":"give n"}]}`); !strings.Contains(r.body, "WRONG") {
		t.Errorf("%s", r.body)
	}
}

// TestCascadeKeeps: where what is asked next fails, the caller has the answer that did
// not pass, whole, in his dialect, with a word of what it is and with its price alone.
func TestCascadeKeeps(t *testing.T) {
	at := speaker(t, map[string]string{"wrong": `{"nWRONG": "three"}`})
	i := serve(t, fmt.Sprintf(`
drain_delay: 0s
upstreams:
  small-openai: {kind: openai, urls: [%[1]s/v1], key: provider-secret-of-tests}
  small-anthropic: {kind: anthropic, urls: [%[1]s/v1], key: provider-secret-of-tests}
  large: {kind: openai, urls: [%[1]s/v1], key: provider-secret-of-tests}
models:
  of-openai: {cascade: {match: '"n"'}, tries: 1, targets: [{upstream: small-openai, model: wrong, price: {input: 1000, output: 1000}}, {upstream: large, model: broken, price: {input: 2000, output: 2000}}]}
  of-anthropic: {cascade: {match: '"n"'}, tries: 1, targets: [{upstream: small-anthropic, model: wrong, price: {input: 1000, output: 1000}}, {upstream: large, model: broken, price: {input: 2000, output: 2000}}]}
keys:
  - {name: tests, secret: %[2]s}
`, at, pinned))
	asked := 0
	for path, last := range map[string]string{"/v1/chat/completions": "data: [DONE]", "/v1/messages": `{"type":"message_stop"}`} {
		for _, model := range []string{"of-openai", "of-anthropic"} {
			for _, streams := range []bool{false, true} {
				name := fmt.Sprintf("%s of %s, stream %v", path, model, streams)
				r := i.send(t, "POST", i.at(path), pinned, fmt.Sprintf(`{"model":%q,"stream":%v,"max_tokens":100,"messages":[{"role":"user","content":"give n"}]}`, model, streams))
				if r.status != 200 || !strings.Contains(r.body, "WRONG") || !strings.Contains(r.body, "three") || strings.Contains(r.body, `"error"`) || r.header.Get("X-Headworks-Degraded") != "unverified" {
					t.Errorf("%s: %d %s\n%v", name, r.status, r.body, r.header)
				}
				if streams && strings.Count(r.body, last) != 1 || !streams && r.header.Get("X-Headworks-Cost") != "0.008000" {
					t.Errorf("%s: %s\n%v", name, r.body, r.header)
				}
				x := i.explained(t, r)
				if x.Fault != "none" || !strings.HasPrefix(r.header.Get("X-Headworks-Upstream"), "small") || x.Cost != 8000 || x.Attempts[0].Doubt == "" || x.GaveUp == "" {
					t.Errorf("%s: %+v", name, x)
				}
				if len(x.Attempts) == 2 { // later ones do without, once health knows
					asked++
					if x.Attempts[1].Fault != "upstream_5xx" {
						t.Errorf("%s: %+v", name, x.Attempts[1])
					}
				}
			}
		}
	}
	if asked == 0 {
		t.Error("nobody asked the one that fails")
	}
}

// TestCascadeJudge: a model looks at what passed the rest.
func TestCascadeJudge(t *testing.T) {
	at := speaker(t, map[string]string{"wrong": "it is WRONG", "right": "it is right", "odd": "it is odd", "better": "it is better"})
	judge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		verdict := "Yes."
		switch {
		case !strings.Contains(string(b), "what is it"):
			t.Errorf("the judge does not know the question: %s", b)
		case strings.Contains(string(b), "WRONG"):
			verdict = "no"
		case strings.Contains(string(b), "odd"):
			verdict = "perhaps"
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":"c","object":"chat.completion","created":1,"model":"j","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":50,"completion_tokens":1,"total_tokens":51}}`, verdict)
	}))
	t.Cleanup(judge.Close)
	model := "  %s: {cascade: {judge: {upstream: judge, model: j, price: {input: 1000, output: 1000}}}, targets: [{upstream: small, model: %[1]s}, {upstream: large, model: better}]}\n"
	i := serve(t, fmt.Sprintf(`
drain_delay: 0s
upstreams:
  small: {kind: openai, urls: [%[1]s/v1], key: provider-secret-of-tests}
  large: {kind: openai, urls: [%[1]s/v1], key: provider-secret-of-tests}
  judge: {kind: openai, urls: [%[2]s/v1], key: provider-secret-of-tests}
keys:
  - {name: tests, secret: %[3]s}
models:
%[4]s%[5]s%[6]s`, at, judge.URL, pinned, fmt.Sprintf(model, "wrong"), fmt.Sprintf(model, "right"), fmt.Sprintf(model, "odd")))
	for name, want := range map[string]struct{ doubt, degraded, body string }{
		"wrong": {"its judge says no", "", "better"},
		"right": {"", "", "right"},
		"odd":   {"its judge gave no verdict", "unverified", "odd"},
	} {
		for _, streams := range []bool{false, true} {
			r := i.send(t, "POST", i.at("/v1/chat/completions"), pinned, fmt.Sprintf(`{"model":%q,"stream":%v,"messages":[{"role":"user","content":"what is it"}]}`, name, streams))
			x := i.explained(t, r)
			if r.status != 200 || strings.Contains(r.body, "WRONG") || r.header.Get("X-Headworks-Degraded") != want.degraded || x.Attempts[0].Doubt != want.doubt {
				t.Errorf("%s, stream %v: %d %s %v %+v", name, streams, r.status, r.body, r.header, x.Attempts)
			}
			if !streams && !strings.Contains(r.body, want.body) {
				t.Errorf("%s: %s", name, r.body)
			}
		}
	}
}
