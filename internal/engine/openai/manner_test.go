package openai

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"headworks/internal/catalog"
	"headworks/internal/dialect/openai"
	"headworks/internal/engine"
	"headworks/internal/engine/enginetest"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// TestPresets: every provider of the catalog that speaks as OpenAI does passes the
// conformance suite with its own answers and errors.
func TestPresets(t *testing.T) {
	for _, k := range catalog.Kinds() {
		if k.Engine != "openai" || k.Name == k.Engine {
			continue
		}
		t.Run(k.Name, func(t *testing.T) {
			enginetest.Run(t, enginetest.Kind{
				New: func(replicas []fleet.Replica, keys []string) (*engine.HTTP, error) {
					return Preset(k, replicas, keys)
				},
				Dialect: inference.OpenAI, Vendor: k.Name, Path: "/v1/chat/completions", Key: enginetest.Bearer(),
			})
		})
	}
}

func TestRefit(t *testing.T) {
	kind := func(name string) catalog.Manner {
		k, ok := catalog.Find(name)
		if !ok {
			t.Fatalf("no kind %s", name)
		}
		return k.Manner
	}
	for _, tt := range []struct {
		name, kind, body, want string
		dropped                []string
	}{
		{
			"other names", "mistral",
			`{"model":"a","seed":7,"messages":[],"max_completion_tokens":5 }`,
			`{"model":"served","messages":[] ,"random_seed":7,"max_tokens":5}`, nil,
		},
		{
			"both names", "mistral",
			`{"max_tokens":3,"model":"served","messages":[],"max_completion_tokens":5}`,
			`{"max_tokens":3,"model":"served","messages":[]}`, nil,
		},
		{
			"refused", "mistral",
			`{"user":"u","store":false,"model":"a","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"developer","name":"n","content":"x"}],"logprobs":true,"models":["b"],"n":1}`,
			`{"model":"served","stream":true,"messages":[{"role":"system","content":"x"}],"n":1}`,
			[]string{"user", "logprobs", "messages.name"},
		},
		{
			"ids of tool calls", "mistral",
			`{"model":"served","messages":[{"role":"assistant","tool_calls":[{"id":"abcDEF123"},{"id":"toolu_01"}]},{"role":"tool","tool_call_id":"toolu_01","content":""}]}`,
			`{"model":"served","messages":[{"role":"assistant","tool_calls":[{"id":"abcDEF123"},{"id":"ID"}]},{"role":"tool","tool_call_id":"ID","content":""}]}`, nil,
		},
		{
			"a thought that is refused", "groq",
			`{"model":"a","messages":[{"role":"assistant","content":"x","reasoning_content":"t"}],"stream":true,"logit_bias":{"1":2}}`,
			`{"model":"served","messages":[{"role":"assistant","content":"x"}],"stream":true,"stream_options":{"include_usage":true}}`,
			[]string{"logit_bias", "messages.reasoning_content"},
		},
		{
			"a thought that is not", "deepseek",
			`{"model":"a","messages":[{"role":"assistant","content":"x","reasoning_content":"t"}]}`,
			`{"model":"served","messages":[{"role":"assistant","content":"x","reasoning_content":"t"}]}`, nil,
		},
		{
			"usage", "deepseek",
			`{"max_completion_tokens":1,"model":"a","messages":[],"stream":true,"stream_options":{"include_usage":false}}`,
			`{"model":"served","messages":[],"stream":true,"stream_options":{"include_usage":true},"max_tokens":1}`, nil,
		},
	} {
		var d scan.Doc
		if err := d.Scan([]byte(tt.body), openai.Shape()); err != nil {
			t.Fatal(err)
		}
		edits, dropped := refit(kind(tt.kind))(nil, nil, &d, "served")
		got := string(scan.Splice(nil, d.Bytes(), edits))
		if i := strings.Index(got, `"tool_call_id":"`); i > 0 {
			id := got[i+len(`"tool_call_id":"`):][:9]
			got = strings.ReplaceAll(got, id, "ID")
		}
		if got != tt.want || !slices.Equal(dropped, tt.dropped) {
			t.Errorf("%s:\ngot  %s %q\nwant %s %q", tt.name, got, dropped, tt.want, tt.dropped)
		}
	}
}

// TestAnyID: an id becomes one of the right form, different ones stay different, and
// one that is right stays.
func TestAnyID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfNDistinct(rapid.String(), 2, 5, rapid.ID[string]).Draw(t, "ids")
		seen := map[string]bool{}
		for _, id := range ids {
			body := scan.AppendString(nil, id)
			var d scan.Doc
			if err := d.ScanLax(body); err != nil {
				t.Skip("no text")
			}
			out := string(scan.Splice(nil, body, fit(nil, d.Root(), 9)))
			inner := out[1 : len(out)-1]
			if len(inner) != 9 || strings.ContainsFunc(inner, func(r rune) bool { return r > 127 || odd(byte(r)) }) {
				t.Fatalf("%q became %s", id, out)
			}
			if seen[out] {
				t.Fatalf("%q and another became %s", id, out)
			}
			seen[out] = true
		}
	})
}
