package openai

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"headworks/internal/inference"
	"headworks/internal/scan"
)

func decoded(t testing.TB, body []byte) (*inference.Conversation, []string) {
	t.Helper()
	c, dropped, err := Decode(scanned(t, string(body)))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return c, dropped
}

func TestDecode(t *testing.T) {
	files := corpus(t, "requests")
	tests := []struct {
		file    string
		want    *inference.Conversation
		dropped []string
	}{
		{"openai-python.json", &inference.Conversation{
			System:   []inference.Part{{Text: "You are a helpful assistant."}},
			Messages: []inference.Message{{Parts: []inference.Part{{Text: "Say this is a test"}}}},
		}, nil},
		{"langchain-python.json", &inference.Conversation{
			System:      []inference.Part{{Text: "Translate to French."}},
			Messages:    []inference.Message{{Parts: []inference.Part{{Text: "I love programming."}}}},
			Temperature: new(0.7), TopP: new(1.0), Seed: new(int64(7)), N: 1, Presence: new(0.0), Frequency: new(0.0),
		}, nil},
		{"vllm-extra-body.json", &inference.Conversation{
			Messages: []inference.Message{
				{Parts: []inference.Part{{Text: "2+2?"}}},
				{Role: inference.Assistant, Parts: []inference.Part{{Kind: inference.Thinking, Text: "Add them."}, {Text: "4"}}},
				{Parts: []inference.Part{{Text: "And 3+3?"}}},
			},
			MaxTokens: 512, TopK: new(20),
		}, []string{"min_p", "repetition_penalty", "chat_template_kwargs", "guided_json"}},
		{"n-and-logprobs.json", &inference.Conversation{
			Messages: []inference.Message{{Parts: []inference.Part{{Text: "Pick a word"}}}},
			Stop:     []string{"\n", "END"}, N: 3, LogProbs: new(2),
		}, []string{"logit_bias", "messages.name"}},
		{"parallel-tools.json", &inference.Conversation{
			Messages: []inference.Message{
				{Parts: []inference.Part{{Text: "Oslo and Bergen?"}}},
				{Role: inference.Assistant, Parts: []inference.Part{
					{Kind: inference.ToolUse, ID: "call_a1", Name: "get_weather", Data: `{"city": "Oslo"}`},
					{Kind: inference.ToolUse, ID: "call_b2", Name: "get_weather", Data: `{"city": "Bergen"}`},
				}},
				{Parts: []inference.Part{
					{Kind: inference.ToolResult, ID: "call_a1", Parts: []inference.Part{{Text: `{"c": 4}`}}},
					{Kind: inference.ToolResult, ID: "call_b2", Parts: []inference.Part{{Text: "7 degrees, rain"}}},
				}},
				{Parts: []inference.Part{{Text: "Which is warmer?"}}},
			},
			Tools: []inference.Tool{
				{Name: "get_weather", Description: "Current weather in a city", Strict: new(true), Schema: []byte(`{"type":"object","properties":{"city":{"type":"string"},"unit":{"type":"string","enum":["c","f"]}},"required":["city"],"additionalProperties":false}`)},
				{Name: "now", Schema: []byte(`{"type":"object","properties":{}}`)},
			},
			ToolChoice: inference.ToolChoice{Mode: "tool", Name: "get_weather"},
			Parallel:   new(true),
		}, nil},
		{"audio-and-file.json", &inference.Conversation{
			Messages: []inference.Message{{Parts: []inference.Part{
				{Kind: inference.Audio, Media: "audio/wav", Data: "UklGRiQAAABXQVZFZm10IBAAAAABAAEA"},
				{Kind: inference.Document, Media: "application/pdf", Data: "JVBERi0xLjQK", Name: "a.pdf"},
				{Text: "Summarise both."},
			}}},
			User: "u-91",
		}, []string{"metadata"}},
	}
	for _, tt := range tests {
		got, dropped := decoded(t, files[tt.file])
		if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreTypes([]inference.Private{})); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.file, diff)
		}
		if diff := cmp.Diff(tt.dropped, dropped); diff != "" {
			t.Errorf("%s, dropped: -want +got\n%s", tt.file, diff)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, body := range []string{
		`{"temperature":"warm"}`, `{"seed":1.5}`, `{"stop":[1]}`, `{"stop":{}}`, `{"user":1}`, `{"parallel_tool_calls":"yes"}`,
		`{"messages":[{"role":"tool","content":"x"}]}`,
		`{"tools":[{"type":"function","function":{"name":"f","parameters":"x"}}]}`,
		`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":1}}]}]}`,
		`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64"}}]}]}`,
		`{"messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"data:application/pdf;base64,"}}]}]}`,
	} {
		if _, _, err := Decode(scanned(t, body)); err == nil {
			t.Errorf("%s: accepted", body)
		}
	}
}

// TestDroppedNamesAreTame: they leave in a header.
func TestDroppedNamesAreTame(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"evil\r\nset-cookie: x":1,"` + strings.Repeat("a", 200) + `":1`)
	for i := range 100 {
		b.WriteString(`,"k` + strings.Repeat("x", i) + `":1`)
	}
	b.WriteString(`,"messages":[{"role":"user","content":[{"type":"a\nb"}]}]}`)
	_, dropped := decoded(t, []byte(b.String()))
	if len(dropped) > 32 {
		t.Errorf("got %d names, want at most 32", len(dropped))
	}
	for _, name := range dropped {
		if strings.ContainsAny(name, "\r\n: ") || len(name) > 80 {
			t.Errorf("got the name %q", name)
		}
	}
}

func TestEncodeDrops(t *testing.T) {
	c := &inference.Conversation{
		From: inference.Anthropic,
		Messages: []inference.Message{
			{Role: inference.Assistant, Parts: []inference.Part{
				{Kind: inference.Thinking, Text: "t", Signature: "s"}, {Kind: inference.Redacted, Data: "d"}, {Text: "x"},
			}},
			{Parts: []inference.Part{
				{Kind: inference.ToolResult, ID: "1", Failed: true, Parts: []inference.Part{{Text: "a"}, {Kind: inference.Image, URL: "https://x/y.png"}}},
				{Kind: inference.Document, URL: "https://x/y.pdf"},
			}},
		},
		TopK: new(1), Thinking: 1024,
	}
	body, dropped := Encode(c, "m", true)
	want := []string{"content.thinking", "content.redacted_thinking", "content.is_error", "content.source.url", "top_k", "thinking.budget_tokens"}
	if diff := cmp.Diff(want, dropped); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	const json = `{"model":"m","messages":[{"role":"assistant","content":"x"},{"role":"tool","tool_call_id":"1","content":"a"},` +
		`{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}],"stream":true,"stream_options":{"include_usage":true}}`
	if string(body) != json {
		t.Errorf("got  %s\nwant %s", body, json)
	}
}

// conversations draws what this dialect can carry whole.
func conversations() *rapid.Generator[*inference.Conversation] {
	text := rapid.Custom(func(t *rapid.T) string {
		return strings.ReplaceAll(rapid.StringN(1, 20, -1).Draw(t, "text"), "\x00", "")
	}).Filter(func(s string) bool { return s != "" })
	base64 := rapid.StringMatching(`[A-Za-z0-9+/]{4,12}`)
	name := rapid.StringMatching(`[a-z_]{1,12}`)
	arguments := rapid.SampledFrom([]string{`{}`, `{"a":1}`, `{"q":"x\"y"}`, `not json`, ``})
	part := func(kinds ...inference.PartKind) *rapid.Generator[inference.Part] {
		return rapid.Custom(func(t *rapid.T) inference.Part {
			p := inference.Part{Kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
			switch p.Kind {
			case inference.Text, inference.Refusal:
				p.Text = text.Draw(t, "text")
			case inference.Image:
				if rapid.Bool().Draw(t, "url") {
					p.URL = "https://example.com/" + name.Draw(t, "path")
				} else {
					p.Media, p.Data = "image/png", base64.Draw(t, "data")
				}
			case inference.Audio:
				p.Media, p.Data = "audio/wav", base64.Draw(t, "data")
			case inference.Document:
				p.Media, p.Data, p.Name = "application/pdf", base64.Draw(t, "data"), name.Draw(t, "name")
			case inference.ToolUse:
				p.ID, p.Name, p.Data = name.Draw(t, "id"), name.Draw(t, "name"), arguments.Draw(t, "arguments")
			case inference.ToolResult:
				p.ID = name.Draw(t, "id")
				for range rapid.IntRange(1, 2).Draw(t, "texts") {
					p.Parts = append(p.Parts, inference.Part{Text: text.Draw(t, "text")})
				}
			}
			return p
		})
	}
	floats := rapid.Ptr(rapid.Float64Range(0, 2), true)
	return rapid.Custom(func(t *rapid.T) *inference.Conversation {
		c := &inference.Conversation{
			System:      rapid.SliceOfN(part(inference.Text), 0, 2).Draw(t, "system"),
			Temperature: floats.Draw(t, "temperature"),
			TopP:        floats.Draw(t, "top_p"),
			MaxTokens:   rapid.IntRange(0, 1<<20).Draw(t, "max_tokens"),
			Stop:        rapid.SliceOfN(text, 0, 2).Draw(t, "stop"),
			Seed:        rapid.Ptr(rapid.Int64(), true).Draw(t, "seed"),
			User:        rapid.OneOf(rapid.Just(""), text).Draw(t, "user"),
			Effort:      rapid.SampledFrom([]string{"", "low", "high", "none"}).Draw(t, "effort"),
			Parallel:    rapid.Ptr(rapid.Bool(), true).Draw(t, "parallel"),
		}
		for range rapid.IntRange(1, 3).Draw(t, "turns") {
			user := inference.Message{Parts: rapid.SliceOfN(part(inference.Text, inference.Image, inference.Audio, inference.Document), 1, 3).Draw(t, "user")}
			if rapid.Bool().Draw(t, "results") {
				user.Parts = rapid.SliceOfN(part(inference.ToolResult), 1, 3).Draw(t, "results")
			}
			answer := inference.Message{Role: inference.Assistant}
			if rapid.Bool().Draw(t, "thought") {
				answer.Parts = append(answer.Parts, inference.Part{Kind: inference.Thinking, Text: text.Draw(t, "thought")})
			}
			answer.Parts = append(answer.Parts, rapid.SliceOfN(part(inference.Text, inference.Refusal), 0, 2).Draw(t, "content")...)
			answer.Parts = append(answer.Parts, rapid.SliceOfN(part(inference.ToolUse), 0, 2).Draw(t, "calls")...)
			c.Messages = append(c.Messages, user)
			if n := len(answer.Parts); n > 0 && answer.Parts[n-1].Kind != inference.Thinking {
				c.Messages = append(c.Messages, answer)
			} else {
				c.Messages = append(c.Messages, inference.Message{Role: inference.System, Parts: []inference.Part{{Text: text.Draw(t, "system")}}})
			}
		}
		for range rapid.IntRange(0, 2).Draw(t, "tools") {
			c.Tools = append(c.Tools, inference.Tool{
				Name: name.Draw(t, "tool"), Description: text.Draw(t, "description"),
				Schema: []byte(`{"type":"object","properties":{"a":{"const":"\u00e9"}}}`), Strict: rapid.Ptr(rapid.Bool(), true).Draw(t, "strict"),
			})
		}
		c.ToolChoice.Mode = rapid.SampledFrom([]string{"", "auto", "none", "required", "tool"}).Draw(t, "choice")
		if c.ToolChoice.Mode == "tool" {
			c.ToolChoice.Name = name.Draw(t, "chosen")
		}
		switch rapid.IntRange(0, 2).Draw(t, "format") {
		case 1:
			c.JSON = true
		case 2:
			c.Schema, c.SchemaName = []byte(`{"type":"object"}`), name.Draw(t, "schema")
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
		if r.Model != "some/model" || r.Stream != stream || r.WantUsage != stream || r.Tools != len(want.Tools) || r.MaxTokens != want.MaxTokens {
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

// A user's name that OpenAI would refuse is left out and named, unless the caller
// said it in this dialect.
func TestEncodeLongUser(t *testing.T) {
	for _, tt := range []struct {
		from    inference.Dialect
		length  int
		dropped []string
	}{
		{inference.Anthropic, longestUser, nil},
		{inference.Anthropic, longestUser + 1, []string{"metadata.user_id"}},
		{inference.Responses, longestUser + 1, []string{"user"}},
		{inference.OpenAI, longestUser + 1, nil},
	} {
		user := strings.Repeat("u", tt.length)
		body, dropped := Encode(&inference.Conversation{From: tt.from, User: user}, "m", false)
		if !slices.Equal(dropped, tt.dropped) || strings.Contains(string(body), user) != (len(tt.dropped) == 0) {
			t.Errorf("from %v with %d bytes: dropped %v, %s", tt.from, tt.length, dropped, body)
		}
	}
}
