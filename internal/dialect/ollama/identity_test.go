package ollama

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headworks/internal/inference"
	"headworks/internal/scan"
)

type object = map[string]any

func maybe[T any](t *rapid.T, into object, key string, g *rapid.Generator[T]) {
	if rapid.Bool().Draw(t, "has "+key) {
		into[key] = g.Draw(t, key)
	}
}

// request draws a request to /api/chat with every field that the dialect knows, and
// some that it does not.
func request(t *rapid.T) object {
	word := rapid.StringMatching(`[a-zA-Z][a-zA-Z0-9_]{0,8}`)
	text := rapid.StringMatching(`[ -~]{1,20}`)
	number := rapid.Float64Range(-2, 2)
	count := rapid.IntRange(1, 100)
	free := rapid.SampledFrom([]any{"x", 1.5, true, []any{"a", 1.0}, object{"a": object{"b": nil}}})
	schema := rapid.SampledFrom([]any{object{"type": "object"}, object{"type": "object", "properties": object{"a": object{"type": "string"}}}})
	images := rapid.SliceOfN(rapid.SampledFrom([]string{"iVBORw0KGgoAAAAN", "/9j/4AAQSkZJRgAB", "UklGRiQAAABXQVZFZm10", "AAAA", "?"}), 1, 2)

	call := rapid.Custom(func(t *rapid.T) object {
		f := object{"name": word.Draw(t, "name"), "arguments": rapid.SampledFrom([]object{{}, {"a": 1.0, "b": []any{"c"}}}).Draw(t, "arguments")}
		maybe(t, f, "index", rapid.IntRange(0, 2))
		c := object{"function": f}
		maybe(t, c, "id", word)
		maybe(t, c, "type", rapid.Just("function"))
		return c
	})
	user := rapid.Custom(func(t *rapid.T) object {
		m := object{"role": "user", "content": rapid.OneOf(text, rapid.Just("")).Draw(t, "content")}
		maybe(t, m, "images", images)
		maybe(t, m, "x_message", free)
		return m
	})
	assistant := rapid.Custom(func(t *rapid.T) object {
		m := object{"role": "assistant", "content": rapid.OneOf(text, rapid.Just("")).Draw(t, "content")}
		maybe(t, m, "thinking", text)
		maybe(t, m, "tool_calls", rapid.SliceOfN(call, 1, 2))
		maybe(t, m, "images", images)
		maybe(t, m, "x_message", free)
		return m
	})
	result := rapid.Custom(func(t *rapid.T) object {
		m := object{"role": "tool", "content": text.Draw(t, "content")}
		maybe(t, m, "tool_name", word)
		maybe(t, m, "tool_call_id", word)
		maybe(t, m, "images", images)
		maybe(t, m, "x_message", free)
		return m
	})
	system := rapid.Custom(func(t *rapid.T) object {
		m := object{"role": "system", "content": rapid.OneOf(text, rapid.Just("")).Draw(t, "content")}
		maybe(t, m, "x_message", free)
		return m
	})
	control := rapid.Just(object{"role": "control", "content": "thinking"})
	tool := rapid.Custom(func(t *rapid.T) object {
		if rapid.Bool().Draw(t, "other") {
			return object{"type": "web", "x": free.Draw(t, "x")}
		}
		f := object{"name": word.Draw(t, "name")}
		maybe(t, f, "description", text)
		maybe(t, f, "parameters", schema)
		maybe(t, f, "strict", rapid.Bool())
		maybe(t, f, "x_function", free)
		tool := object{"type": "function", "function": f}
		maybe(t, tool, "items", free)
		return tool
	})

	options := object{}
	for _, name := range []string{"temperature", "top_p", "presence_penalty", "frequency_penalty", "min_p", "typical_p", "repeat_penalty"} {
		maybe(t, options, name, number)
	}
	for _, name := range []string{"num_predict", "top_k", "seed"} {
		maybe(t, options, name, rapid.IntRange(-2, 5))
	}
	for _, name := range []string{"num_ctx", "num_keep", "repeat_last_n", "num_gpu", "x_option"} {
		maybe(t, options, name, count)
	}
	maybe(t, options, "stop", rapid.SliceOfN(text, 1, 3))

	r := object{
		"model": "m", "stream": rapid.Bool().Draw(t, "stream"),
		"messages": rapid.SliceOfN(rapid.OneOf(system, user, assistant, result, control), 1, 8).Draw(t, "messages"),
	}
	if len(options) > 0 {
		r["options"] = options
	}
	maybe(t, r, "tools", rapid.SliceOfN(tool, 1, 3))
	maybe(t, r, "format", rapid.OneOf(rapid.Just[any]("json"), schema))
	maybe(t, r, "think", rapid.SampledFrom([]any{true, false, "low", "medium", "high", "max"}))
	maybe(t, r, "keep_alive", rapid.SampledFrom([]any{"5m", -1.0, 0.0}))
	for _, name := range []string{"truncate", "shift", "_debug_render_only"} {
		maybe(t, r, name, rapid.Bool())
	}
	maybe(t, r, "logprobs", rapid.Just(true))
	maybe(t, r, "top_logprobs", rapid.IntRange(1, 20))
	maybe(t, r, "x_vendor", free)
	return r
}

// TestThereAndBack: a request that goes through the words of inference and comes back
// to this dialect has lost nothing that the dialect knows, and nothing that it does
// not know. The ids that calls get here for other dialects are not in it.
func TestThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		asked := request(t)
		body, err := json.Marshal(asked)
		if err != nil {
			t.Fatal(err)
		}
		var d scan.Doc
		if err := d.Scan(body, Shape()); err != nil {
			t.Fatal(err)
		}
		var r inference.Request
		if err := ReadRequest(&d, &r); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		c, _, err := Decode(&d)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		back, dropped := Encode(c, "m", asked["stream"] == true)
		if diff := cmp.Diff(parsed(t, body), parsed(t, back)); diff != "" || len(dropped) > 0 {
			t.Fatalf("lost %q, -want +got\n%s", dropped, diff)
		}
	})
}

// TestForeignIsNamed: what only this dialect has is named on the way to another one,
// all of it, and what says nothing is not.
func TestForeignIsNamed(t *testing.T) {
	const body = `{"model":"m","messages":[{"role":"user","content":"a","x":1},{"role":"control","content":"thinking"},
		{"role":"assistant","content":"","tool_calls":[{"id":"1","function":{"index":1,"name":"f","arguments":{},"x":1}}]}],
		"tools":[{"type":"function","function":{"name":"f"},"items":[1]},{"type":"web"}],"keep_alive":"5m","truncate":true,"shift":false,
		"options":{"num_ctx":8192,"min_p":0.1,"num_predict":-1,"seed":-1,"temperature":1},"think":true}`
	var d scan.Doc
	if err := d.Scan([]byte(body), Shape()); err != nil {
		t.Fatal(err)
	}
	_, dropped, err := Decode(&d)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"content.message.control", "keep_alive", "messages.tool_calls.function.x", "messages.x", "options.min_p", "options.num_ctx",
		"options.num_predict", "options.seed", "tools.items", "tools.web", "truncate",
	}
	slices.Sort(dropped)
	if diff := cmp.Diff(want, dropped); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func parsed(t *rapid.T, b []byte) any {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return v
}
