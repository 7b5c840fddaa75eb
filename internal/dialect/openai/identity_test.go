package openai

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headworks/internal/scan"
)

// object is a JSON object that is being drawn.
type object = map[string]any

// maybe adds a field to o, or not.
func maybe[T any](t *rapid.T, o object, name string, g *rapid.Generator[T]) {
	if rapid.Bool().Draw(t, name+"?") {
		o[name] = g.Draw(t, name)
	}
}

// request draws a request with any of the fields that this dialect knows, each in
// the one spelling that Encode has for it: a text alone is a string, max_tokens is
// max_completion_tokens, who instructs is called system.
func request(t *rapid.T) object {
	word := rapid.StringMatching(`[a-zA-Z][a-zA-Z0-9_]{0,8}`)
	text := rapid.StringMatching(`[ -~]{1,20}`)
	number := rapid.Float64Range(-2, 2)
	yes := rapid.Just(true)
	either := rapid.Bool()
	count := rapid.IntRange(1, 100)
	schema := rapid.SampledFrom([]object{{"type": "object"}, {"type": "object", "properties": object{"a": object{"type": "string"}}}})
	free := rapid.SampledFrom([]any{"x", 1.5, true, []any{"a", 1.0}, object{"a": object{"b": nil}}})
	cache := rapid.SampledFrom([]object{{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}})

	part := func(roles ...string) *rapid.Generator[object] {
		return rapid.Custom(func(t *rapid.T) object {
			kind := rapid.SampledFrom(roles).Draw(t, "kind")
			p := object{"type": kind}
			switch kind {
			case "text", "refusal":
				p[kind] = text.Draw(t, "text")
			case "image_url":
				i := object{"url": rapid.SampledFrom([]string{"https://example.com/a.png", "data:image/png;base64,AAAA"}).Draw(t, "url")}
				maybe(t, i, "detail", rapid.SampledFrom([]string{"low", "high"}))
				p[kind] = i
			case "input_audio":
				p[kind] = object{"data": "AAAA", "format": "wav"}
			case "file":
				p[kind] = rapid.SampledFrom([]object{
					{"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}, {"file_id": "file-1"},
				}).Draw(t, "file")
			default:
				p[kind] = object{"url": "https://example.com/a.mp4"}
			}
			maybe(t, p, "cache_control", cache)
			maybe(t, p, "x_part", free)
			return p
		})
	}
	content := func(kinds ...string) *rapid.Generator[any] {
		return rapid.Custom(func(t *rapid.T) any {
			parts := rapid.SliceOfN(part(kinds...), 0, 3).Draw(t, "parts")
			if len(parts) == 0 {
				return text.Draw(t, "content")
			}
			if len(parts) == 1 && parts[0]["type"] == "text" && len(parts[0]) == 2 {
				return parts[0]["text"]
			}
			list := make([]any, 0, len(parts))
			for _, p := range parts {
				list = append(list, p)
			}
			return list
		})
	}
	call := rapid.Custom(func(t *rapid.T) object {
		c := object{"id": word.Draw(t, "id"), "type": "function", "function": object{"name": word.Draw(t, "name"), "arguments": text.Draw(t, "arguments")}}
		if rapid.Bool().Draw(t, "custom") {
			c = object{"id": word.Draw(t, "id"), "type": "custom", "custom": object{"name": word.Draw(t, "name"), "input": text.Draw(t, "input")}}
		} else {
			maybe(t, c, "x_call", free)
		}
		return c
	})
	assistant := rapid.Custom(func(t *rapid.T) object {
		m := object{"role": "assistant"}
		maybe(t, m, "reasoning_content", text)
		maybe(t, m, "name", word)
		maybe(t, m, "audio", rapid.Just(object{"id": "audio_1"}))
		calls := rapid.SliceOfN(call, 0, 2).Draw(t, "calls")
		if len(calls) > 0 {
			m["tool_calls"] = calls
		}
		m["content"] = content("text", "refusal").Draw(t, "content")
		return m
	})
	turns := rapid.Custom(func(t *rapid.T) []any {
		var all []any
		if rapid.Bool().Draw(t, "system") {
			m := object{"role": "system", "content": content("text").Draw(t, "content")}
			maybe(t, m, "name", word)
			all = append(all, m)
		}
		for range rapid.IntRange(1, 3).Draw(t, "turns") {
			user := object{"role": "user", "content": content("text", "image_url", "input_audio", "file", "video_url").Draw(t, "content")}
			maybe(t, user, "name", word)
			all = append(all, user, assistant.Draw(t, "assistant"))
			for range rapid.IntRange(0, 2).Draw(t, "results") {
				result := object{"role": "tool", "tool_call_id": word.Draw(t, "id"), "content": content("text").Draw(t, "content")}
				maybe(t, result, "x_result", free)
				all = append(all, result)
			}
		}
		return all
	})
	tool := rapid.Custom(func(t *rapid.T) object {
		if rapid.Bool().Draw(t, "hosted") {
			return object{"type": "custom", "custom": object{"name": word.Draw(t, "name"), "format": object{"type": "text"}}}
		}
		f := object{"name": word.Draw(t, "name")}
		maybe(t, f, "description", text)
		maybe(t, f, "parameters", schema)
		maybe(t, f, "strict", either)
		maybe(t, f, "x_function", free)
		tool := object{"type": "function", "function": f}
		maybe(t, tool, "cache_control", cache)
		maybe(t, tool, "x_tool", free)
		return tool
	})
	format := rapid.Custom(func(t *rapid.T) object {
		switch rapid.IntRange(0, 2).Draw(t, "format") {
		case 0:
			return object{"type": "json_object"}
		case 1:
			return object{"type": "grammar", "grammar": "root ::= [0-9]"}
		}
		s := object{"schema": schema.Draw(t, "schema")}
		maybe(t, s, "name", word)
		maybe(t, s, "description", text)
		maybe(t, s, "strict", either)
		maybe(t, s, "x_format", free)
		return object{"type": "json_schema", "json_schema": s}
	})

	r := object{"model": "m", "messages": turns.Draw(t, "messages")}
	maybe(t, r, "max_completion_tokens", count)
	for _, name := range []string{"temperature", "top_p", "presence_penalty", "frequency_penalty"} {
		maybe(t, r, name, number)
	}
	for _, name := range []string{"n", "top_k", "seed"} {
		maybe(t, r, name, count)
	}
	maybe(t, r, "logprobs", yes)
	if r["logprobs"] != nil {
		maybe(t, r, "top_logprobs", count)
	}
	maybe(t, r, "stop", rapid.SliceOfN(text, 1, 3))
	maybe(t, r, "tools", rapid.SliceOfN(tool, 1, 3))
	maybe(t, r, "tool_choice", rapid.SampledFrom([]any{
		"auto", "none", "required",
		object{"type": "function", "function": object{"name": "f"}},
		object{"type": "allowed_tools", "allowed_tools": object{"mode": "auto", "tools": []any{}}},
	}))
	maybe(t, r, "parallel_tool_calls", either)
	maybe(t, r, "response_format", format)
	maybe(t, r, "reasoning_effort", rapid.SampledFrom([]string{"minimal", "low", "xhigh"}))
	maybe(t, r, "modalities", rapid.Just([]any{"text", "audio"}))
	for _, name := range []string{
		"user", "store", "metadata", "logit_bias", "service_tier", "audio", "prediction", "prompt_cache_key", "safety_identifier",
		"verbosity", "web_search_options", "best_of", "prompt_logprobs", "chat_template", "chat_template_kwargs", "mm_processor_kwargs",
		"cache_salt", "kv_transfer_params", "priority", "functions", "function_call", "x_vendor",
	} {
		if name == "user" {
			maybe(t, r, name, word)
		} else {
			maybe(t, r, name, free)
		}
	}
	return r
}

// TestThereAndBack: a request that goes through the words of inference and comes
// back to this dialect has lost nothing that the dialect knows, and nothing that it
// does not know.
func TestThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body, err := json.Marshal(request(t))
		if err != nil {
			t.Fatal(err)
		}
		var d scan.Doc
		if err := d.Scan(body, Shape()); err != nil {
			t.Fatal(err)
		}
		c, _, err := Decode(&d)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		back, dropped := Encode(c, "m", false)
		if diff := cmp.Diff(parsed(t, body), parsed(t, back)); diff != "" || len(dropped) > 0 {
			t.Fatalf("lost %q, -want +got\n%s", dropped, diff)
		}
	})
}

// TestForeignIsNamed: what only this dialect has is named on the way to another
// one, all of it.
func TestForeignIsNamed(t *testing.T) {
	const body = `{"model":"m","messages":[{"role":"user","name":"bob","content":[{"type":"text","text":"a","x_part":1},{"type":"video_url","video_url":{"url":"u"}}]},
		{"role":"assistant","content":null,"audio":{"id":"a"},"tool_calls":[{"id":"1","type":"custom","custom":{"name":"f","input":"x"}}]}],
		"tools":[{"type":"function","function":{"name":"f","x_function":1},"x_tool":1},{"type":"custom","custom":{"name":"g"}}],
		"logit_bias":{"1":1},"metadata":{"a":"b"},"store":false,"response_format":{"type":"grammar","grammar":"x"}}`
	var d scan.Doc
	if err := d.Scan([]byte(body), Shape()); err != nil {
		t.Fatal(err)
	}
	_, dropped, err := Decode(&d)
	want := "logit_bias metadata response_format messages.name content.x_part content.video_url messages.audio content.tool_calls tools.function.x_function tools.x_tool tools.custom"
	if got := strings.Join(dropped, " "); err != nil || !sameWords(got, want) {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
}

func sameWords(a, b string) bool {
	count := map[string]int{}
	for w := range strings.FieldsSeq(a) {
		count[w]++
	}
	for w := range strings.FieldsSeq(b) {
		count[w]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

func parsed(t *rapid.T, b []byte) any {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return v
}
