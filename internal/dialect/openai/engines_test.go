package openai

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/inference"
	"headworks/internal/scan"
)

// TestThoughts: however an engine writes a thought, in a stream and whole, it is one
// thought for another dialect, and the bytes of its own are not touched.
func TestThoughts(t *testing.T) {
	for name, tt := range map[string]struct{ message, thought, text string }{
		"DeepSeek, SGLang, llama.cpp": {`{"content":null,"reasoning_content":"hm"}`, "hm", ""},
		"newer vLLM, Groq":            {`{"content":"","reasoning":"hm"}`, "hm", ""},
		"both names":                  {`{"reasoning":"hm","reasoning_content":"hm","content":"a"}`, "hm", "a"},
		"OpenRouter": {
			`{"content":"a","reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm","signature":"c2ln","format":"anthropic-claude-v1","index":0}]}`, "hm", "a",
		},
		"OpenRouter, details alone": {
			`{"content":"","reasoning_details":[{"type":"reasoning.summary","summary":"h"},{"type":"reasoning.encrypted","data":"eA=="},{"type":"reasoning.text","text":"m"}]}`, "hm", "",
		},
		"Mistral":         {`{"content":[{"type":"thinking","thinking":[{"type":"text","text":"h"},{"type":"text","text":"m"}]},{"type":"text","text":"a"}]}`, "hm", "a"},
		"thinking tags":   {`{"content":"<think>hm</think>a"}`, "", "<think>hm</think>a"},
		"nothing of both": {`{"content":"a","reasoning":null,"reasoning_content":""}`, "", "a"},
	} {
		var d scan.Doc
		var r Reader
		data := []byte(`{"id":"1","choices":[{"index":0,"delta":` + tt.message + `,"finish_reason":"stop"}]}`)
		e, err := r.Read(nil, data, &d)
		if err != nil || !e.Content || len(r.Edits(nil)) > 0 {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
		var thought, text string
		for _, x := range r.Deltas(nil) {
			switch x.Kind {
			case inference.ThoughtDelta:
				thought += x.Text
			case inference.TextDelta:
				text += x.Text
			}
		}
		if thought != tt.thought || text != tt.text {
			t.Errorf("%s, a stream: thought %q, text %q", name, thought, text)
		}
		a, err := DecodeAnswer(lax(t, `{"choices":[{"message":`+tt.message+`,"finish_reason":"stop"}]}`))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var want []inference.Part
		if tt.thought != "" {
			want = append(want, inference.Part{Kind: inference.Thinking, Text: tt.thought})
		}
		if tt.text != "" {
			want = append(want, inference.Part{Text: tt.text})
		}
		if diff := cmp.Diff(want, a.Parts); diff != "" {
			t.Errorf("%s, whole (-want +got)\n%s", name, diff)
		}
	}
}

// TestChatInFull: what a request may ask of a chat reaches an upstream of this dialect
// byte for byte, and a way through inference and back loses nothing of it. What can be
// written in two ways (developer, a text as a part) is written here as it comes back.
func TestChatInFull(t *testing.T) {
	const body = `{"model":"m","stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true},
		"messages":[
			{"role":"system","content":"be brief"},
			{"role":"user","name":"ann","content":[
				{"type":"text","text":"what is this?"},
				{"type":"image_url","image_url":{"url":"https://x/y.png","detail":"high"}},
				{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}},
				{"type":"input_audio","input_audio":{"data":"UklGRg==","format":"wav"}},
				{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERg=="}},
				{"type":"file","file":{"file_id":"file-1"}},
				{"type":"video_url","video_url":{"url":"https://x/v.mp4"}}]},
			{"role":"assistant","content":"let me see","reasoning_content":"hm","tool_calls":[
				{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}},
				{"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]},
			{"role":"tool","tool_call_id":"c1","content":"1"},
			{"role":"tool","tool_call_id":"c2","content":"2"},
			{"role":"assistant","content":"","audio":{"id":"audio_1"}},
			{"role":"assistant","content":"b","reasoning_content":"hm","reasoning_details":[{"type":"reasoning.encrypted","data":"eA=="}]},
			{"role":"user","content":"go on"}],
		"tools":[{"type":"function","function":{"name":"f","description":"d","strict":true,"parameters":{"type":"object","properties":{"a":{"type":"integer"}}}}},
			{"type":"function","function":{"name":"g"}},{"type":"custom","custom":{"name":"h"}}],
		"tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false,
		"response_format":{"type":"json_schema","json_schema":{"name":"n","description":"d","strict":true,"schema":{"type":"object"}}},
		"modalities":["text","audio"],"audio":{"voice":"alloy","format":"pcm16"},
		"n":2,"seed":9007199254740993,"stop":["a","b"],"logprobs":true,"top_logprobs":5,"logit_bias":{"50256":-100},
		"max_completion_tokens":9,"temperature":0.5,"top_p":0.25,"top_k":4,"presence_penalty":1,"frequency_penalty":-1,
		"reasoning_effort":"low","reasoning":{"max_tokens":2000},"user":"u","store":false,"metadata":{"a":"b"},"service_tier":"flex",
		"verbosity":"low","prompt_cache_key":"k","safety_identifier":"s","prediction":{"type":"content","content":"x"},
		"chat_template_kwargs":{"enable_thinking":false},"min_p":0.05,"extra":[1e3,-0.0]}`
	var d scan.Doc
	if err := d.Scan([]byte(body), Shape()); err != nil {
		t.Fatal(err)
	}
	var r inference.Request
	if err := ReadRequest(&d, &r); err != nil {
		t.Fatal(err)
	}
	if edits := Edits(nil, &d, "m"); len(edits) > 0 {
		t.Errorf("%d edits of a request that needs none", len(edits))
	}
	if r.N != 2 || r.Tools != 3 || r.MaxTokens != 9 || !r.WantUsage || !r.Stream {
		t.Errorf("read as %+v", r)
	}
	c, _, err := Decode(&d)
	if err != nil {
		t.Fatal(err)
	}
	back, dropped := Encode(c, "m", true)
	if len(dropped) > 0 {
		t.Errorf("the way back loses %q", dropped)
	}
	var got, want map[string]any
	for text, into := range map[string]*map[string]any{string(back): &got, body: &want} {
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		if err := dec.Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	delete(got, "stream_options") // the engine's, which asks for usage itself
	delete(want, "stream_options")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the way back (-want +got)\n%s", diff)
	}
}
