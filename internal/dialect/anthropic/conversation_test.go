package anthropic

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

func TestDecode(t *testing.T) {
	files := corpus(t, "requests")
	tests := []struct {
		file    string
		want    *inference.Conversation
		dropped []string
	}{
		{"claude-code-turn.json", &inference.Conversation{
			System: []inference.Part{{Text: "You are Claude Code.", Cache: "default"}},
			Messages: []inference.Message{
				{Parts: []inference.Part{{Text: "read main.go"}}},
				{Role: inference.Assistant, Parts: []inference.Part{
					{Kind: inference.Thinking, Text: "I should read it.", Signature: "EqQBCkYIBRgCKkBzaWduYXR1cmUvKz0="},
					{Kind: inference.Redacted, Data: "EmwKAhgBEgy3va3pzix/LafPsn4="},
					{Text: "Reading."},
					{Kind: inference.ToolUse, ID: "toolu_01A", Name: "Read", Data: `{"file_path":"/src/main.go"}`},
					{Kind: inference.ToolUse, ID: "toolu_01B", Name: "Bash", Data: `{"command":"ls -la \"x y\""}`},
				}},
				{Parts: []inference.Part{
					{Kind: inference.ToolResult, ID: "toolu_01A", Parts: []inference.Part{
						{Text: "     1\tpackage main"},
						{Kind: inference.Image, Media: "image/png", Data: "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="},
					}},
					{Kind: inference.ToolResult, ID: "toolu_01B", Failed: true, Cache: "default", Parts: []inference.Part{{Text: "<error>no such file</error>"}}},
				}},
			},
			Tools:     []inference.Tool{{Name: "Read", Schema: []byte(`{"type":"object"}`)}, {Name: "Bash", Schema: []byte(`{"type":"object"}`)}},
			MaxTokens: 32000,
		}, nil},
		{"documents.json", &inference.Conversation{
			Messages: []inference.Message{{Parts: []inference.Part{
				{Kind: inference.Document, Media: "application/pdf", Data: "JVBERi0xLjQK", Name: "Report", Cache: "default"},
				{Kind: inference.Document, Media: "text/plain", Text: "The grass is green.", Name: "Grass"},
				{Kind: inference.Foreign, Name: "source.file", Data: `{"type":"document","source":{"type":"file","file_id":"file_011"}}`},
				{Kind: inference.Document, URL: "https://example.com/a.pdf"},
				{Text: "Summarise."},
			}}},
			MaxTokens: 2048,
		}, []string{"content.citations", "content.context", "content.source.file"}},
		{"tools.json", &inference.Conversation{
			Messages:    []inference.Message{{Parts: []inference.Part{{Text: "Oslo?"}}}},
			Tools:       []inference.Tool{{Name: "get_weather", Description: "Current weather in a city", Schema: []byte(`{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}`)}},
			ToolChoice:  inference.ToolChoice{Mode: "required"},
			Parallel:    new(false),
			MaxTokens:   500,
			Temperature: new(0.5), TopP: new(0.9), TopK: new(40), Stop: []string{"\n\nHuman:", "END"},
		}, nil},
		{"structured-output.json", &inference.Conversation{
			Messages: []inference.Message{{Parts: []inference.Part{{Text: "Extract: Alice"}}}},
			Schema:   []byte(`{"type":"object","properties":{"name":{"type":"string"}},"required":["name"],"additionalProperties":false}`),
			Effort:   "medium", ThinkingMode: "adaptive", SchemaStrict: new(true),
			MaxTokens: 4096,
		}, nil},
		{"beta.json", &inference.Conversation{
			Messages: []inference.Message{{Parts: []inference.Part{{Text: "Go"}}}}, MaxTokens: 1000,
		}, []string{"betas", "mcp_servers", "container", "service_tier", "inference_geo"}},
		{"system-turn.json", &inference.Conversation{
			Messages: []inference.Message{
				{Parts: []inference.Part{{Text: "Hi"}}},
				{Role: inference.Assistant, Parts: []inference.Part{{Text: "Hello."}}},
				{Parts: []inference.Part{{Text: "Go on."}}},
				{Role: inference.System, Parts: []inference.Part{{Text: "The user is in a hurry."}}},
			},
			MaxTokens: 10,
		}, nil},
	}
	for _, tt := range tests {
		got, dropped, err := Decode(scanned(t, string(files[tt.file])))
		if err != nil {
			t.Fatalf("%s: %v", tt.file, err)
		}
		tt.want.From = inference.Anthropic
		if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreTypes([]inference.Private{})); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.file, diff)
		}
		if diff := cmp.Diff(tt.dropped, dropped); diff != "" {
			t.Errorf("%s, dropped: -want +got\n%s", tt.file, diff)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct {
		body string
		want fault.Kind
	}{
		{`{"max_tokens":0}`, fault.Unsupported},
		{`{"max_tokens":1,"temperature":"warm"}`, fault.InvalidRequest},
		{`{"max_tokens":1,"top_k":1.5}`, fault.InvalidRequest},
		{`{"max_tokens":1,"stop_sequences":"x"}`, fault.InvalidRequest},
		{`{"max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","text":1}]}]}`, fault.InvalidRequest},
		{`{"max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","is_error":"no"}]}]}`, fault.InvalidRequest},
	}
	for _, tt := range tests {
		if _, _, err := Decode(scanned(t, tt.body)); kind(err) != tt.want {
			t.Errorf("%s: got %v, want %v", tt.body, err, tt.want)
		}
	}
}

func TestEncode(t *testing.T) {
	tests := []struct {
		name    string
		c       inference.Conversation
		want    string // between the model and the end
		dropped []string
	}{
		{
			"default length",
			inference.Conversation{Messages: []inference.Message{{Parts: []inference.Part{{Text: "hi"}}}}},
			`"max_tokens":4096,"messages":[{"role":"user","content":"hi"}]`, nil,
		},
		{"an id of another dialect", inference.Conversation{Messages: []inference.Message{
			{Role: inference.Assistant, Parts: []inference.Part{{Kind: inference.ToolUse, ID: "functions.f:0", Name: "f", Data: "{}"}}},
			{Parts: []inference.Part{{Kind: inference.ToolResult, ID: "functions.f:0", Parts: []inference.Part{{Text: "x"}}}}},
		}}, `"max_tokens":4096,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"functions_f_0","name":"f","input":{}}]},` +
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"functions_f_0","content":"x"}]}]`, nil},
		{"arguments that are no object", inference.Conversation{Messages: []inference.Message{
			{Role: inference.Assistant, Parts: []inference.Part{{Kind: inference.ToolUse, ID: "1", Name: "f", Data: `{"a":`}}},
			{Role: inference.Assistant, Parts: []inference.Part{{Kind: inference.ToolUse, ID: "2", Name: "f"}}},
		}}, `"max_tokens":4096,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{}}]},` +
			`{"role":"assistant","content":[{"type":"tool_use","id":"2","name":"f","input":{}}]}]`, []string{"messages.tool_calls.function.arguments"}},
		{
			"what has no place",
			inference.Conversation{
				Messages: []inference.Message{
					{Role: inference.Assistant, Parts: []inference.Part{{Kind: inference.Thinking, Text: "unsigned"}}},
					{Parts: []inference.Part{{Kind: inference.Audio, Data: "AAAA"}, {Text: "x"}}},
				},
				Temperature: new(1.5), Seed: new(int64(1)), JSON: true, Effort: "none", MaxTokens: 9, Parallel: new(false),
			},
			`"max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}],"temperature":1`,
			[]string{"messages.reasoning_content", "content.input_audio", "temperature", "reasoning_effort", "seed", "response_format"},
		},
	}
	for _, tt := range tests {
		tt.c.From = inference.OpenAI
		body, dropped := Encode(&tt.c, "m", true)
		if got, want := string(body), `{"model":"m",`+tt.want+`,"stream":true}`; got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, want)
		}
		if diff := cmp.Diff(tt.dropped, dropped); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.name, diff)
		}
	}
}

// conversations draws what this dialect can carry whole.
func conversations() *rapid.Generator[*inference.Conversation] {
	text := rapid.Custom(func(t *rapid.T) string {
		return strings.ReplaceAll(rapid.StringN(1, 20, -1).Draw(t, "text"), "\x00", "")
	}).Filter(func(s string) bool { return s != "" })
	base64 := rapid.StringMatching(`[A-Za-z0-9+/]{4,12}`)
	name := rapid.StringMatching(`[A-Za-z0-9_-]{1,12}`)
	var part func(depth int, kinds ...inference.PartKind) *rapid.Generator[inference.Part]
	part = func(depth int, kinds ...inference.PartKind) *rapid.Generator[inference.Part] {
		return rapid.Custom(func(t *rapid.T) inference.Part {
			p := inference.Part{Kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
			switch p.Kind {
			case inference.Text:
				p.Text = text.Draw(t, "text")
			case inference.Thinking:
				p.Text, p.Signature = text.Draw(t, "thought"), base64.Draw(t, "signature")
			case inference.Redacted:
				p.Data = base64.Draw(t, "data")
			case inference.Image, inference.Document:
				switch n := rapid.IntRange(0, 2).Draw(t, "source"); {
				case n == 0:
					p.URL = "https://example.com/" + name.Draw(t, "path")
				case n == 1 || p.Kind == inference.Image:
					p.Media, p.Data = "image/png", base64.Draw(t, "data")
				default:
					p.Media, p.Text = "text/plain", text.Draw(t, "text")
				}
				if p.Kind == inference.Document {
					p.Name = name.Draw(t, "title")
				}
			case inference.ToolUse:
				p.ID, p.Name = name.Draw(t, "id"), name.Draw(t, "name")
				p.Data = rapid.SampledFrom([]string{`{}`, `{"a":1.50}`, `{ "q" : "x\"\u00e9" }`}).Draw(t, "input")
			case inference.ToolResult:
				p.ID, p.Failed = name.Draw(t, "id"), rapid.Bool().Draw(t, "failed")
				p.Parts = rapid.SliceOfN(part(depth+1, inference.Text, inference.Image), 0, 2).Draw(t, "parts")
			}
			return p
		})
	}
	return rapid.Custom(func(t *rapid.T) *inference.Conversation {
		c := &inference.Conversation{
			From:        inference.Anthropic,
			System:      rapid.SliceOfN(part(0, inference.Text), 0, 2).Draw(t, "system"),
			Temperature: rapid.Ptr(rapid.Float64Range(0, 1), true).Draw(t, "temperature"),
			TopP:        rapid.Ptr(rapid.Float64Range(0, 1), true).Draw(t, "top_p"),
			TopK:        rapid.Ptr(rapid.IntRange(0, 500), true).Draw(t, "top_k"),
			MaxTokens:   rapid.IntRange(1, 1<<20).Draw(t, "max_tokens"),
			Stop:        rapid.SliceOfN(text, 0, 2).Draw(t, "stop"),
			User:        rapid.OneOf(rapid.Just(""), text).Draw(t, "user"),
			Effort:      rapid.SampledFrom([]string{"", "low", "high", "max"}).Draw(t, "effort"),
			Thinking:    rapid.SampledFrom([]int{0, 1024}).Draw(t, "budget"),
		}
		kinds := map[inference.Role][]inference.PartKind{
			inference.User:      {inference.Text, inference.Image, inference.Document, inference.ToolResult},
			inference.Assistant: {inference.Text, inference.Thinking, inference.Redacted, inference.ToolUse},
			inference.System:    {inference.Text},
		}
		for range rapid.IntRange(1, 4).Draw(t, "turns") {
			role := rapid.SampledFrom([]inference.Role{inference.User, inference.Assistant, inference.System}).Draw(t, "role")
			c.Messages = append(c.Messages, inference.Message{Role: role, Parts: rapid.SliceOfN(part(0, kinds[role]...), 1, 3).Draw(t, "parts")})
		}
		for range rapid.IntRange(0, 2).Draw(t, "tools") {
			c.Tools = append(c.Tools, inference.Tool{
				Name: name.Draw(t, "tool"), Description: text.Draw(t, "description"),
				Schema: []byte(`{"type":"object","properties":{"a":{"const":"\u00e9"}}}`), Strict: rapid.Ptr(rapid.Bool(), true).Draw(t, "strict"),
			})
		}
		c.ToolChoice.Mode = rapid.SampledFrom([]string{"", "auto", "none", "required", "tool"}).Draw(t, "choice")
		switch c.ToolChoice.Mode {
		case "tool":
			c.ToolChoice.Name = name.Draw(t, "chosen")
			fallthrough
		case "auto", "required":
			c.Parallel = rapid.Ptr(rapid.Bool(), true).Draw(t, "parallel")
		}
		if rapid.Bool().Draw(t, "schema") {
			c.Schema, c.SchemaStrict = []byte(`{"type":"object"}`), new(true)
		}
		return c
	})
}

// TestRoundTrip: what inference knows survives this dialect.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := conversations().Draw(t, "conversation")
		stream := rapid.Bool().Draw(t, "stream")
		body, dropped := Encode(want, "some/model", stream)
		if len(dropped) > 0 {
			t.Fatalf("dropped %v", dropped)
		}
		var d scan.Doc
		if err := d.Scan(body, Shape()); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		var r inference.Request
		if err := ReadRequest(&d, &r); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if r.Model != "some/model" || r.Stream != stream || r.Tools != len(want.Tools) || r.MaxTokens != want.MaxTokens {
			t.Fatalf("%s: got %+v", body, r)
		}
		got, dropped, err := Decode(&d)
		if err != nil || len(dropped) > 0 {
			t.Fatalf("%s: %v, dropped %v", body, err, dropped)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s: -want +got\n%s", body, diff)
		}
	})
}
