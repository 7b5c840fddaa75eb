package responses

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headworks/internal/inference"
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

// request draws a request with any of the fields that this dialect knows, each in the
// one spelling that Encode has for it: a text alone is a string, every item has its
// type, who instructs between turns is called developer, and nothing is to be stored.
func request(t *rapid.T) object {
	word := rapid.StringMatching(`[a-zA-Z][a-zA-Z0-9_]{0,8}`)
	text := rapid.StringMatching(`[ -~]{1,20}`)
	number := rapid.Float64Range(-2, 2)
	either := rapid.Bool()
	count := rapid.IntRange(1, 100)
	schema := rapid.SampledFrom([]object{{"type": "object"}, {"type": "object", "properties": object{"a": object{"type": "string"}}}})
	free := rapid.SampledFrom([]any{"x", 1.5, true, []any{"a", 1.0}, object{"a": object{"b": nil}}})

	part := func(kinds ...string) *rapid.Generator[object] {
		return rapid.Custom(func(t *rapid.T) object {
			kind := rapid.SampledFrom(kinds).Draw(t, "kind")
			p := object{"type": kind}
			switch kind {
			case "input_text", "output_text":
				p["text"] = text.Draw(t, "text")
			case "refusal":
				p["refusal"] = text.Draw(t, "refusal")
			case "input_image":
				p = rapid.SampledFrom([]object{
					{"image_url": "https://example.com/a.png"}, {"image_url": "data:image/png;base64,AAAA", "detail": "high"}, {"file_id": "file-1"},
				}).Draw(t, "image")
				p = clone(p)
				p["type"] = kind
			case "input_file":
				p = clone(rapid.SampledFrom([]object{
					{"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}, {"file_url": "https://example.com/a.pdf"}, {"file_id": "file-1"},
				}).Draw(t, "file"))
				p["type"] = kind
			default:
				p["x"] = free.Draw(t, "x")
			}
			if kind == "output_text" {
				maybe(t, p, "annotations", rapid.SampledFrom([][]any{{}, {object{"type": "url_citation", "url": "u"}}}))
				maybe(t, p, "logprobs", rapid.Just([]any{}))
			}
			maybe(t, p, "x_part", free)
			return p
		})
	}
	plain := func(list []any) bool {
		if len(list) != 1 {
			return false
		}
		p := list[0].(object)
		return (p["type"] == "input_text" || p["type"] == "output_text") && len(p) == 2
	}
	content := func(list bool, kinds ...string) *rapid.Generator[any] {
		return rapid.Custom(func(t *rapid.T) any {
			var parts []any
			for _, p := range rapid.SliceOfN(part(kinds...), 0, 3).Draw(t, "parts") {
				parts = append(parts, p)
			}
			switch {
			case list && len(parts) == 0:
				return []any{object{"type": kinds[0], "text": text.Draw(t, "text")}}
			case list:
				return parts
			case len(parts) == 0:
				return text.Draw(t, "content")
			case plain(parts):
				return parts[0].(object)["text"]
			}
			return parts
		})
	}
	labels := func(t *rapid.T, o object) object {
		maybe(t, o, "id", word)
		maybe(t, o, "status", rapid.SampledFrom([]string{"completed", "incomplete"}))
		maybe(t, o, "x_item", free)
		return o
	}
	tools := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) object {
		switch rapid.IntRange(0, 3).Draw(t, "tool") {
		case 0:
			return object{"type": "web_search", "filters": free.Draw(t, "filters")}
		case 1:
			o := object{"type": "custom", "name": "custom_" + word.Draw(t, "name")}
			maybe(t, o, "description", text)
			maybe(t, o, "format", rapid.Just(object{"type": "grammar", "syntax": "lark", "definition": "start: /x/"}))
			return o
		}
		o := object{"type": "function", "name": word.Draw(t, "name")}
		maybe(t, o, "description", text)
		maybe(t, o, "parameters", schema)
		maybe(t, o, "strict", either)
		maybe(t, o, "x_tool", free)
		return o
	}), 0, 3).Draw(t, "tools")
	var custom []string
	for _, o := range tools {
		if o["type"] == "custom" {
			custom = append(custom, o["name"].(string))
		}
	}
	n := 0
	call := func(t *rapid.T) (o, result object) {
		n++
		id := "call_" + strings.Repeat("x", n)
		kind, key := "function_call", "arguments"
		name := word.Draw(t, "name")
		if len(custom) > 0 && rapid.Bool().Draw(t, "custom") {
			kind, key, name = "custom_tool_call", "input", rapid.SampledFrom(custom).Draw(t, "which")
		}
		o = labels(t, object{"type": kind, "call_id": id, "name": name, key: text.Draw(t, "arguments")})
		result = labels(t, object{"type": kind + "_output", "call_id": id, "output": content(false, "input_text", "input_image", "input_file").Draw(t, "output")})
		return o, result
	}
	reasoning := rapid.Custom(func(t *rapid.T) object {
		o := labels(t, object{"type": "reasoning", "summary": []any{object{"type": "summary_text", "text": text.Draw(t, "summary")}}})
		maybe(t, o, "content", rapid.Just([]any{object{"type": "reasoning_text", "text": "hm"}}))
		maybe(t, o, "encrypted_content", rapid.SampledFrom([]any{nil, "gAAAA", sealedSignature + "c2ln", sealedThought + "ZGF0YQ"}))
		return o
	})
	var items []any
	for range rapid.IntRange(1, 3).Draw(t, "turns") {
		user := labels(t, object{"type": "message", "role": "user", "content": content(false, "input_text", "input_image", "input_file", "input_audio", "input_future").Draw(t, "user")})
		items = append(items, user)
		if rapid.Bool().Draw(t, "developer") {
			items = append(items, object{"type": "message", "role": "developer", "content": text.Draw(t, "developer")})
		}
		if rapid.Bool().Draw(t, "thinks") {
			items = append(items, reasoning.Draw(t, "reasoning"))
		}
		for range rapid.IntRange(0, 2).Draw(t, "messages") {
			m := object{"type": "message", "role": "assistant", "id": "msg_" + word.Draw(t, "id"), "status": "completed"}
			m["content"] = content(true, "output_text", "refusal").Draw(t, "content")
			maybe(t, m, "phase", rapid.Just("commentary"))
			items = append(items, m)
		}
		var results []any
		for range rapid.IntRange(0, 2).Draw(t, "calls") {
			c, r := call(t)
			items, results = append(items, c), append(results, r)
		}
		if rapid.Bool().Draw(t, "hosted") {
			items = append(items, object{"type": "web_search_call", "id": "ws_1", "status": "completed", "action": free.Draw(t, "action")})
			results = append(results, object{"type": "local_shell_call_output", "id": "sh_1", "output": "x"})
		}
		items = append(items, results...)
	}

	r := object{"model": "m", "input": items, "store": false}
	if len(tools) > 0 {
		r["tools"] = tools
	}
	if rapid.Bool().Draw(t, "instructed") {
		r["instructions"] = text.Draw(t, "instructions")
		if rapid.Bool().Draw(t, "leading developer") {
			r["input"] = append([]any{object{"type": "message", "role": "developer", "content": text.Draw(t, "leading")}}, items...)
		}
	}
	maybe(t, r, "max_output_tokens", count)
	maybe(t, r, "temperature", number)
	maybe(t, r, "top_p", number)
	maybe(t, r, "top_logprobs", count)
	maybe(t, r, "parallel_tool_calls", either)
	maybe(t, r, "user", word)
	choices := []any{
		"auto", "none", "required",
		object{"type": "function", "name": "f"},
		object{"type": "web_search"},
		object{"type": "allowed_tools", "mode": "auto", "tools": []any{object{"type": "function", "name": "f"}}},
	}
	for _, name := range custom {
		choices = append(choices, object{"type": "custom", "name": name})
	}
	maybe(t, r, "tool_choice", rapid.SampledFrom(choices))
	if rapid.Bool().Draw(t, "text?") {
		o := object{}
		maybe(t, o, "verbosity", rapid.SampledFrom([]string{"low", "high"}))
		switch rapid.IntRange(0, 2).Draw(t, "format") {
		case 0:
			o["format"] = object{"type": "json_object"}
		case 1:
			f := object{"type": "json_schema", "schema": schema.Draw(t, "schema")}
			maybe(t, f, "name", word)
			maybe(t, f, "description", text)
			maybe(t, f, "strict", either)
			maybe(t, f, "x_format", free)
			o["format"] = f
		case 2:
			o["format"] = object{"type": "grammar", "definition": "x"}
		}
		r["text"] = o
	}
	if rapid.Bool().Draw(t, "reasoning?") {
		o := object{"effort": rapid.SampledFrom([]string{"none", "low", "xhigh"}).Draw(t, "effort")}
		maybe(t, o, "summary", rapid.SampledFrom([]string{"auto", "detailed"}))
		maybe(t, o, "context", rapid.Just("all_turns"))
		r["reasoning"] = o
	}
	maybe(t, r, "truncation", rapid.Just("auto"))
	maybe(t, r, "service_tier", rapid.Just("flex"))
	maybe(t, r, "include", rapid.SampledFrom([][]string{{encrypted}, {"message.output_text.logprobs", encrypted}}))
	for _, name := range []string{
		"metadata", "max_tool_calls", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options",
		"context_management", "moderation", "client_metadata", "x_vendor",
	} {
		maybe(t, r, name, free)
	}
	return r
}

func clone(o object) object {
	c := object{}
	maps.Copy(c, o)
	return c
}

// TestThereAndBack: a request that goes through the words of inference and comes back
// to this dialect has lost nothing that the dialect knows, and nothing that it does
// not know.
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

func parsed(t interface{ Fatalf(string, ...any) }, b []byte) any {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return v
}

// TestForeignIsNamed: what only this dialect has is named on the way to another one,
// all of it, but for what Headworks does itself and for mere labels.
func TestForeignIsNamed(t *testing.T) {
	const body = `{"model":"m","instructions":"Be brief.","input":[
		{"type":"message","role":"user","id":"msg_1","status":"completed","content":[{"type":"input_text","text":"a","x_part":1},{"type":"input_image","file_id":"f"}]},
		{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"s"}],"encrypted_content":"gAAAA"},
		{"type":"reasoning","id":"rs_2","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},
		{"type":"message","role":"assistant","id":"msg_2","status":"completed","phase":"commentary","content":[{"type":"output_text","text":"b","annotations":[{"type":"url_citation"}]}]},
		{"type":"web_search_call","id":"ws_1","status":"completed","action":{}},
		{"type":"custom_tool_call","id":"ctc_1","call_id":"c","name":"apply_patch","input":"x"},
		{"type":"custom_tool_call_output","call_id":"c","output":"ok"}],
		"tools":[{"type":"function","name":"f","parameters":null,"strict":null,"defer_loading":true},{"type":"custom","name":"apply_patch","format":{"type":"grammar"}},{"type":"web_search"}],
		"metadata":{"a":"b"},"store":true,"include":["reasoning.encrypted_content"],"prompt_cache_key":"k","truncation":"disabled","service_tier":"auto",
		"reasoning":{"effort":"low","summary":"auto"},"text":{"format":{"type":"text"},"verbosity":"low"},"max_tool_calls":3}`
	var d scan.Doc
	if err := d.Scan([]byte(body), Shape()); err != nil {
		t.Fatal(err)
	}
	c, dropped, err := Decode(&d)
	want := "content.x_part content.input_image.file_id input.reasoning input.phase input.web_search_call " +
		"tools.defer_loading tools.format tools.web_search text.verbosity max_tool_calls"
	got := slices.Sorted(slices.Values(dropped))
	if w := slices.Sorted(slices.Values(strings.Fields(want))); err != nil || !slices.Equal(got, w) {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, w)
	}
	var kinds []inference.PartKind
	for _, m := range c.Messages {
		for _, p := range m.Parts {
			kinds = append(kinds, p.Kind)
		}
	}
	wantKinds := []inference.PartKind{
		inference.Text, inference.Foreign, inference.Foreign, inference.Thinking, inference.Text, inference.Foreign,
		inference.ToolUse, inference.ToolResult,
	}
	if len(c.Messages) != 3 || !slices.Equal(kinds, wantKinds) {
		t.Errorf("%d turns with parts %v", len(c.Messages), kinds)
	}
	if p := c.Messages[1].Parts[4]; p.Data != `{"input":"x"}` || p.Name != "apply_patch" || p.ID != "c" {
		t.Errorf("a custom tool's call became %+v", p)
	}
	if p := c.Messages[1].Parts[1]; p.Text != "hm" || p.Signature != "" {
		t.Errorf("a thought became %+v", p)
	}
}
