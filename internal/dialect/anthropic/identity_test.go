package anthropic

import (
	"encoding/json"
	"slices"
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
// the one spelling that Encode has for it: a text alone is a string, a tool of
// one's own has no type, a schema stands in output_config.
func request(t *rapid.T) object {
	word := rapid.StringMatching(`[a-zA-Z][a-zA-Z0-9_]{0,8}`)
	text := rapid.StringMatching(`[ -~]{1,20}`)
	either := rapid.Bool()
	free := rapid.SampledFrom([]any{"x", 1.5, true, []any{"a", 1.0}, object{"a": object{"b": nil}}})
	cache := rapid.SampledFrom([]object{{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "5m"}, {"type": "ephemeral", "ttl": "1h"}})
	source := rapid.SampledFrom([]object{
		{"type": "base64", "media_type": "image/png", "data": "AAAA"},
		{"type": "url", "url": "https://example.com/a.png"},
		{"type": "file", "file_id": "file_1"},
	})

	var block func(kinds ...string) *rapid.Generator[object]
	content := func(least int, kinds ...string) *rapid.Generator[any] {
		return rapid.Custom(func(t *rapid.T) any {
			blocks := rapid.SliceOfN(block(kinds...), least, 3).Draw(t, "blocks")
			if len(blocks) == 0 || len(blocks) == 1 && blocks[0]["type"] == "text" && len(blocks[0]) == 2 {
				return text.Draw(t, "content")
			}
			list := make([]any, 0, len(blocks))
			for _, b := range blocks {
				list = append(list, b)
			}
			return list
		})
	}
	block = func(kinds ...string) *rapid.Generator[object] {
		return rapid.Custom(func(t *rapid.T) object {
			kind := rapid.SampledFrom(kinds).Draw(t, "kind")
			b := object{"type": kind}
			switch kind {
			case "text":
				b["text"] = text.Draw(t, "text")
				maybe(t, b, "citations", rapid.Just([]any{object{"type": "char_location", "cited_text": "x"}}))
			case "image":
				b["source"] = source.Draw(t, "source")
			case "document":
				b["source"] = rapid.OneOf(source, rapid.SampledFrom([]object{
					{"type": "text", "media_type": "text/plain", "data": "words"}, {"type": "content", "content": "words"},
				})).Draw(t, "source")
				maybe(t, b, "title", word)
				maybe(t, b, "context", word)
				maybe(t, b, "citations", rapid.Just(object{"enabled": true}))
			case "thinking":
				b["thinking"], b["signature"] = text.Draw(t, "thought"), text.Draw(t, "signature")
				return b
			case "redacted_thinking":
				b["data"] = text.Draw(t, "data")
				return b
			case "tool_use":
				b["id"], b["name"], b["input"] = word.Draw(t, "id"), word.Draw(t, "name"), object{"a": free.Draw(t, "input")}
				maybe(t, b, "caller", rapid.Just(object{"type": "direct"}))
			case "tool_result":
				b["tool_use_id"] = word.Draw(t, "id")
				b["content"] = content(0, "text", "image", "document", "search_result").Draw(t, "result")
				maybe(t, b, "is_error", rapid.Just(true))
			default:
				b["x_content"] = free.Draw(t, "other")
			}
			maybe(t, b, "cache_control", cache)
			maybe(t, b, "x_block", free)
			return b
		})
	}
	turn := rapid.Custom(func(t *rapid.T) object {
		kinds := map[string][]string{
			"user":      {"text", "image", "document", "tool_result", "search_result", "container_upload"},
			"assistant": {"text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "web_search_tool_result"},
		}
		role := rapid.SampledFrom([]string{"user", "assistant"}).Draw(t, "role")
		m := object{"role": role, "content": content(0, kinds[role]...).Draw(t, "content")}
		maybe(t, m, "x_message", free)
		return m
	})
	tool := rapid.Custom(func(t *rapid.T) object {
		if rapid.Bool().Draw(t, "hosted") {
			return object{"type": "web_search_20250305", "name": "web_search", "max_uses": 5.0}
		}
		tool := object{"name": word.Draw(t, "name"), "input_schema": object{"type": "object"}}
		maybe(t, tool, "description", text)
		maybe(t, tool, "strict", either)
		maybe(t, tool, "cache_control", cache)
		for _, name := range []string{"defer_loading", "input_examples", "allowed_callers", "eager_input_streaming"} {
			maybe(t, tool, name, free)
		}
		return tool
	})
	choice := rapid.Custom(func(t *rapid.T) object {
		kind := rapid.SampledFrom([]string{"auto", "any", "none", "tool"}).Draw(t, "choice")
		c := object{"type": kind}
		if kind == "tool" {
			c["name"] = word.Draw(t, "chosen")
		}
		if kind != "none" {
			maybe(t, c, "disable_parallel_tool_use", either)
		}
		return c
	})
	thinking := rapid.Custom(func(t *rapid.T) object {
		how := object{"type": rapid.SampledFrom([]string{"enabled", "adaptive", "disabled"}).Draw(t, "thinking")}
		if how["type"] == "enabled" {
			how["budget_tokens"] = rapid.IntRange(1024, 5000).Draw(t, "budget")
		}
		maybe(t, how, "display", rapid.Just("omitted"))
		return how
	})
	output := rapid.Custom(func(t *rapid.T) object {
		o := object{}
		maybe(t, o, "effort", rapid.SampledFrom([]string{"low", "max"}))
		maybe(t, o, "format", rapid.SampledFrom([]object{{"type": "json_schema", "schema": object{"type": "object"}}, {"type": "grammar"}}))
		maybe(t, o, "task_budget", free)
		return o
	}).Filter(func(o object) bool { return len(o) > 0 })

	r := object{"model": "m", "max_tokens": rapid.IntRange(1, 9999).Draw(t, "max_tokens"), "messages": rapid.SliceOfN(turn, 1, 4).Draw(t, "messages")}
	maybe(t, r, "system", content(1, "text"))
	maybe(t, r, "temperature", rapid.Float64Range(0, 1))
	maybe(t, r, "top_p", rapid.Float64Range(0, 1))
	maybe(t, r, "top_k", rapid.IntRange(0, 100))
	maybe(t, r, "stop_sequences", rapid.SliceOfN(text, 1, 3))
	maybe(t, r, "tools", rapid.SliceOfN(tool, 1, 3))
	maybe(t, r, "tool_choice", choice)
	maybe(t, r, "thinking", thinking)
	maybe(t, r, "output_config", output)
	maybe(t, r, "metadata", rapid.SampledFrom([]object{{"user_id": "u"}, {"user_id": "u", "x": 1.0}, {"x": "y"}}))
	for _, name := range []string{"service_tier", "container", "context_management", "mcp_servers", "cache_control", "inference_geo", "speed", "diagnostics", "x_vendor"} {
		maybe(t, r, name, free)
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
	const body = `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[
			{"type":"text","text":"a","citations":[{}]},{"type":"image","source":{"type":"file","file_id":"f"}},{"type":"search_result"},
			{"type":"tool_result","tool_use_id":"1","content":[{"type":"search_result"},{"type":"tool_reference"}]}]}],
		"tools":[{"type":"web_search_20250305","name":"web_search"},{"name":"f","input_schema":{},"defer_loading":true}],
		"metadata":{"x":1},"container":"c","thinking":{"type":"enabled","budget_tokens":1024,"display":"omitted"},"output_config":{"task_budget":{"a":1}}}`
	var d scan.Doc
	if err := d.Scan([]byte(body), Shape()); err != nil {
		t.Fatal(err)
	}
	_, dropped, err := Decode(&d)
	want := []string{
		"container", "content.citations", "content.search_result", "content.source.file", "content.tool_reference", "metadata.x",
		"output_config.task_budget", "thinking.display", "tools.defer_loading", "tools.web_search_20250305",
	}
	slices.Sort(dropped)
	if diff := cmp.Diff(want, dropped); err != nil || diff != "" {
		t.Errorf("%v, -want +got\n%s", err, diff)
	}
}

func parsed(t *rapid.T, b []byte) any {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return v
}
