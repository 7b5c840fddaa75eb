package gemini

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// event is a response with one candidate.
func event(index int, parts, rest string) string {
	n := ""
	if index > 0 {
		n = `,"index":1`
	}
	return `{"candidates":[{"content":{"parts":[` + parts + `],"role":"model"}` + rest + n + `}],"modelVersion":"m","responseId":"r"}`
}

// follow reads events to the end of the bytes.
func follow(n int, events ...string) (r *Reader, deltas []inference.Delta, told inference.Event, err error) {
	r = &Reader{}
	r.Reset(n)
	var d scan.Doc
	for _, e := range events {
		t, err := r.Read(nil, []byte(e), &d)
		if err != nil {
			return r, deltas, told, err
		}
		deltas = r.Deltas(deltas)
		told.Finishes += t.Finishes
		if t.Finish != inference.Unfinished {
			told.Finish = t.Finish
		}
		if t.Usage.Known {
			told.Usage = t.Usage
		}
		told.Text += t.Text
	}
	if err := r.End(); err != nil {
		return r, deltas, told, err
	}
	return r, r.Deltas(deltas), told, nil
}

// TestCandidates: a stream of several candidates is whole once each has finished.
func TestCandidates(t *testing.T) {
	a, b := event(0, `{"text":"a"}`, `,"finishReason":"STOP"`), event(1, `{"text":"b"}`, `,"finishReason":"MAX_TOKENS"`)
	if _, deltas, told, err := follow(2, a, b); err != nil || told.Finishes != 2 || len(deltas) != 3 || deltas[1].Text != "a" || deltas[2].Finish != inference.Stop {
		t.Errorf("%+v, %+v, %v", told, deltas, err)
	}
	if _, _, _, err := follow(2, a, a[:0]+event(0, `{"text":""}`, "")); fault.Of(err).Kind != fault.Interrupted {
		t.Errorf("one of two candidates: %v", err)
	}
	if _, _, _, err := follow(1, b); fault.Of(err).Kind != fault.Mismatch {
		t.Errorf("a candidate too many: %v", err)
	}
}

func TestFinishes(t *testing.T) {
	for word, want := range map[string]inference.Finish{
		"STOP": inference.Stop, "MAX_TOKENS": inference.Length, "SAFETY": inference.ContentFilter, "RECITATION": inference.ContentFilter,
		"PROHIBITED_CONTENT": inference.ContentFilter, "CONTINUATION": inference.Pause, "NEW": inference.Stop,
	} {
		r, _, told, err := follow(1, event(0, `{"text":"x"}`, `,"finishReason":"`+word+`"`))
		if err != nil || told.Finish != want || r.Unfit() != nil {
			t.Errorf("%s: %v, %v, %v", word, told.Finish, err, r.Unfit())
		}
	}
	// What no other dialect can say is an error there, in a stream and whole.
	for _, e := range []string{
		event(0, ``, `,"finishReason":"MALFORMED_FUNCTION_CALL"`), event(0, `{"text":"x"}`, `,"finishReason":"OTHER"`),
		event(0, `{"inlineData":{"mimeType":"image/png","data":"AA"}}`, `,"finishReason":"STOP"`),
	} {
		r, _, _, err := follow(1, e)
		if err != nil || r.Unfit() == nil {
			t.Errorf("%s: %v, %v", e, err, r.Unfit())
		}
		var d scan.Doc
		if err := d.ScanLax([]byte(e)); err != nil {
			t.Fatal(err)
		}
		if a, err := DecodeAnswer(&d); err == nil {
			t.Errorf("%s is %+v", e, a)
		}
		var told inference.Event
		if err := ReadAnswer(&d, &told); err != nil {
			t.Errorf("Gemini's own clients are not shown %s: %v", e, err)
		}
	}
}

// TestBlocks: thoughts, texts, calls and their signatures are blocks of their own,
// and ids that are missing are made.
func TestBlocks(t *testing.T) {
	call := func(id, city string) string {
		return `{"functionCall":{` + id + `"name":"f","args":{"city":"` + city + `"}}`
	}
	_, deltas, _, err := follow(1,
		event(0, `{"text":"think","thought":true}`, ""), event(0, `{"text":"ing","thought":true}`, ""),
		event(0, `{"text":"Loo"}`, ""), event(0, `{"text":"king."}`, ""), event(0, `{"text":"","thoughtSignature":"dGV4dA=="}`, ""),
		event(0, call("", "Oslo")+`,"thoughtSignature":"c2ln"},`+call(`"id":"x",`, "Rome")+`}`, ""),
		event(0, call("", "Bonn")+`}`, `,"finishReason":"STOP"`),
	)
	if err != nil {
		t.Fatal(err)
	}
	want := []inference.Delta{
		{Kind: inference.Begin, ID: "r", Model: "m"},
		{Kind: inference.ThoughtDelta, Index: 0, Text: "think"},
		{Kind: inference.ThoughtDelta, Index: 0, Text: "ing"},
		{Kind: inference.TextDelta, Index: 1, Text: "Loo"},
		{Kind: inference.TextDelta, Index: 1, Text: "king."},
		{Kind: inference.Signed, Index: 2, Text: "gemini:dGV4dA=="},
		{Kind: inference.Signed, Index: 2, Text: "gemini:c2ln"},
		{Kind: inference.ToolBegin, Index: 3, ID: "call_r_0", Name: "f"},
		{Kind: inference.ToolDelta, Index: 3, Text: `{"city":"Oslo"}`},
		{Kind: inference.ToolBegin, Index: 4, ID: "x", Name: "f"},
		{Kind: inference.ToolDelta, Index: 4, Text: `{"city":"Rome"}`},
		{Kind: inference.ToolBegin, Index: 5, ID: "call_r_2", Name: "f"},
		{Kind: inference.ToolDelta, Index: 5, Text: `{"city":"Bonn"}`},
		{Kind: inference.End, Finish: inference.ToolCalls},
	}
	if diff := cmp.Diff(want, deltas); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestWriter: calls leave whole, however their pieces are mixed, and one that cannot
// be read is told as such.
func TestWriter(t *testing.T) {
	write := func(deltas ...inference.Delta) string {
		w := &Writer{ID: "id", Model: "m"}
		var out []byte
		for _, d := range deltas {
			out = w.Delta(out, d)
		}
		return string(w.End(out))
	}
	const rest = `,"modelVersion":"m","responseId":"id"}` + "\n\n"
	got := write(
		inference.Delta{Kind: inference.Begin}, inference.Delta{Kind: inference.TextDelta, Text: "a"},
		inference.Delta{Kind: inference.ToolBegin, Index: 1, ID: "x", Name: "f"}, inference.Delta{Kind: inference.ToolBegin, Index: 2, ID: "y", Name: "g"},
		inference.Delta{Kind: inference.ToolDelta, Index: 2, Text: `{"b"`}, inference.Delta{Kind: inference.ToolDelta, Index: 1, Text: `{}`},
		inference.Delta{Kind: inference.ToolDelta, Index: 2, Text: `:1}`},
		inference.Delta{Kind: inference.End, Finish: inference.ToolCalls, Usage: inference.Usage{Input: 3, Output: 5, Reasoning: 2, CacheRead: 1, Known: true}},
	)
	want := `data: {"candidates":[{"content":{"parts":[{"text":"a"}],"role":"model"},"index":0}]` + rest +
		`data: {"candidates":[{"content":{"parts":[{"functionCall":{"id":"x","name":"f","args":{}}},{"functionCall":{"id":"y","name":"g","args":{"b":1}}}],"role":"model"},"finishReason":"STOP","index":0}],` +
		`"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":3,"thoughtsTokenCount":2,"cachedContentTokenCount":1,"totalTokenCount":8}` + rest
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, arguments := range []string{`{"a":`, `[]`, `"x"`} {
		got := write(inference.Delta{Kind: inference.ToolBegin, ID: "x", Name: "f"}, inference.Delta{Kind: inference.ToolDelta, Text: arguments},
			inference.Delta{Kind: inference.End, Finish: inference.ToolCalls})
		whole := string(EncodeAnswer(&inference.Answer{Finish: inference.ToolCalls, Parts: []inference.Part{{Kind: inference.ToolUse, Name: "f", Data: arguments}}}))
		for _, s := range []string{got, whole} {
			if !strings.Contains(s, `"finishReason":"MALFORMED_FUNCTION_CALL"`) || strings.Contains(s, "functionCall") {
				t.Errorf("%s is told as %s", arguments, s)
			}
		}
	}
}

// TestSignatures: those of other makers come back as they were, and ours are Gemini's
// own bytes.
func TestSignatures(t *testing.T) {
	a := &inference.Answer{Parts: []inference.Part{
		{Kind: inference.Thinking, Text: "hm", Signature: "of Claude/+=="},
		{Kind: inference.Redacted, Data: "opaque"},
		{Kind: inference.Text, Text: "x"},
		{Kind: inference.Thinking, Signature: dialect.ByGoogle + "c2ln"},
	}, Finish: inference.Stop}
	var said struct {
		Candidates []struct{ Content json.RawMessage }
	}
	if err := json.Unmarshal(EncodeAnswer(a), &said); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(said.Candidates[0].Content), `"thoughtSignature":"c2ln"`) {
		t.Errorf("%s", said.Candidates[0].Content)
	}
	var d scan.Doc
	if err := d.Scan([]byte(`{"contents":[`+string(said.Candidates[0].Content)+`]}`), Shape()); err != nil {
		t.Fatal(err)
	}
	c, _, err := Decode(&d)
	if err != nil {
		t.Fatal(err)
	}
	want := []inference.Part{{Kind: inference.Thinking, Text: "hm", Signature: "of Claude/+=="}, {Kind: inference.Redacted, Data: "opaque"}, {Kind: inference.Text, Text: "x"}}
	if diff := cmp.Diff(want, c.Messages[0].Parts[:3]); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	// A stream carries what a whole answer does.
	w := Writer{Model: "m"}
	var parts []string
	for _, delta := range []inference.Delta{
		{Kind: inference.Begin},
		{Kind: inference.ThoughtDelta, Text: "hm"},
		{Kind: inference.Signed, Text: "of Claude/+=="},
		{Kind: inference.Sealed, Index: 1, Text: "opaque"},
		{Kind: inference.TextDelta, Index: 2, Text: "x"},
	} {
		for event := range strings.SplitSeq(string(w.Delta(nil, delta)), "\n\n") {
			if event != "" {
				var e struct {
					Candidates []struct {
						Content struct{ Parts []json.RawMessage }
					}
				}
				if err := json.Unmarshal([]byte(strings.TrimPrefix(event, "data: ")), &e); err != nil {
					t.Fatal(err)
				}
				parts = append(parts, string(e.Candidates[0].Content.Parts[0]))
			}
		}
	}
	if err := d.Scan([]byte(`{"contents":[{"role":"model","parts":[`+strings.Join(parts, ",")+`]}]}`), Shape()); err != nil {
		t.Fatal(err)
	}
	if c, _, err = Decode(&d); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, c.Messages[0].Parts); diff != "" {
		t.Errorf("a stream: -want +got\n%s", diff)
	}
}

// TestCallsAndResults: results are matched by id, or by name and order, and stand in
// the order of their calls; the first call of a turn has a signature.
func TestCallsAndResults(t *testing.T) {
	const turn = `{"role":"model","parts":[{"functionCall":{"name":"f","args":{"a":1}}},{"functionCall":{"id":"i","name":"f"}},{"functionCall":{"name":"g"}}]}`
	results := `{"parts":[{"functionResponse":{"name":"g","response":{"result":"G"}}},{"functionResponse":{"id":"i","name":"f","response":{"x":1}}},{"functionResponse":{"name":"f","response":{"error":"E"}}}]}`
	var d scan.Doc
	if err := d.Scan([]byte(`{"contents":[`+turn+`,`+results+`,`+turn+`]}`), Shape()); err != nil {
		t.Fatal(err)
	}
	c, _, err := Decode(&d)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range c.Messages {
		for _, p := range m.Parts {
			ids = append(ids, p.ID)
		}
	}
	if diff := cmp.Diff([]string{"gemini_call_0", "i", "gemini_call_1", "gemini_call_1", "i", "gemini_call_0", "gemini_call_2", "i", "gemini_call_3"}, ids); diff != "" {
		t.Errorf("ids: -want +got\n%s", diff)
	}
	if p := c.Messages[1].Parts[2]; !p.Failed || p.Parts[0].Text != "E" {
		t.Errorf("%+v", p)
	}
	talk := &inference.Conversation{From: inference.Anthropic, Messages: []inference.Message{
		{Role: inference.Assistant, Parts: []inference.Part{
			{Kind: inference.ToolUse, ID: "a", Name: "f", Data: `{"x":1}`}, {Kind: inference.ToolUse, ID: "b", Name: "g"},
		}},
		{Parts: []inference.Part{
			{Kind: inference.Text, Text: "go on"},
			{Kind: inference.ToolResult, ID: "b", Failed: true, Parts: []inference.Part{{Kind: inference.Text, Text: "no"}}},
			{Kind: inference.ToolResult, ID: "a", Parts: []inference.Part{{Kind: inference.Text, Text: `{"y":[2]}`}, {Kind: inference.Image, Media: "image/png", Data: "AA"}}},
		}},
	}}
	const want = `{"contents":[{"role":"model","parts":[{"functionCall":{"id":"a","name":"f","args":{"x":1}},"thoughtSignature":"skip_thought_signature_validator"},{"functionCall":{"id":"b","name":"g","args":{}}}]},` +
		`{"role":"user","parts":[{"functionResponse":{"id":"a","name":"f","response":{"output":{"y":[2]}}}},{"inlineData":{"mimeType":"image/png","data":"AA"}},` +
		`{"functionResponse":{"id":"b","name":"g","response":{"error":"no"}}},{"text":"go on"}]}]}`
	if got, dropped := Encode(talk, "gemini-3-pro-preview", false); string(got) != want || len(dropped) > 0 {
		t.Errorf("got  %s\nwant %s\ndropped %q", got, want, dropped)
	}
	without := strings.NewReplacer(`"id":"a",`, "", `"id":"b",`, "", `,"thoughtSignature":"skip_thought_signature_validator"`, "").Replace(want)
	if got, _ := EncodeVertex(talk, "gemini-2.5-pro", false); string(got) != without {
		t.Errorf("got  %s\nwant %s", got, without)
	}
}

func TestThinking(t *testing.T) {
	for _, tt := range []struct {
		c           inference.Conversation
		model, want string
	}{
		{inference.Conversation{Effort: "low"}, "gemini-2.5-pro", `{"thinkingBudget":1024}`},
		{inference.Conversation{Effort: "none"}, "models/gemini-2.5-flash", `{"thinkingBudget":0}`},
		{inference.Conversation{Effort: "xhigh"}, "gemini-3-pro-preview", `{"thinkingLevel":"HIGH"}`},
		{inference.Conversation{From: inference.Anthropic, Thinking: 2048}, "gemini-2.5-pro", `{"thinkingBudget":2048,"includeThoughts":true}`},
		{inference.Conversation{From: inference.Anthropic, ThinkingMode: "disabled"}, "gemini-2.5-pro", `{"thinkingBudget":0}`},
		{inference.Conversation{From: inference.Anthropic, ThinkingMode: "disabled"}, "gemini-3.1-pro", `{"thinkingLevel":"MINIMAL"}`},
		{inference.Conversation{From: inference.Anthropic, ThinkingMode: "adaptive"}, "gemini-2.5-pro", `{"thinkingBudget":-1,"includeThoughts":true}`},
	} {
		got, dropped := Encode(&tt.c, tt.model, false)
		if want := `{"contents":[],"generationConfig":{"thinkingConfig":` + tt.want + `}}`; string(got) != want || len(dropped) > 0 {
			t.Errorf("%s\nwant %s, dropped %q", got, want, dropped)
		}
	}
}

func TestErrors(t *testing.T) {
	f := &fault.Error{Kind: fault.RateLimited, Words: "too many", Param: "contents", After: 1500 * time.Millisecond}
	const want = `{"error":{"code":429,"message":"too many","status":"RESOURCE_EXHAUSTED","details":[` +
		`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"RATE_LIMIT_EXCEEDED","domain":"headworks","metadata":{"requestId":"req_1"}},` +
		`{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"contents","description":"too many"}]},` +
		`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"2s"}]}}`
	if got := string(AppendError(nil, f, "req_1")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, k := range fault.Kinds() {
		if !json.Valid(AppendError(nil, fault.New(k, "words"), "id")) || word(k.Info().Status) == "" {
			t.Errorf("%v", k)
		}
	}
	var d scan.Doc
	for _, tt := range []struct {
		status int
		body   string
		kind   fault.Kind
		after  time.Duration
		param  string
	}{
		{400, `{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}`, fault.UpstreamAuth, 0, ""},
		{400, `[{"error":{"code":400,"message":"x","status":"INVALID_ARGUMENT","details":[{"fieldViolations":[{"field":"generation_config.top_k"}]}]}}]`, fault.UpstreamRejected, 0, "generation_config.top_k"},
		{429, `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.07s"}]}}`, fault.UpstreamCapacity, 34070 * time.Millisecond, ""},
		{403, `{"error":{"code":403,"status":"PERMISSION_DENIED"}}`, fault.UpstreamForbidden, 0, ""},
		{503, `{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}`, fault.UpstreamError, 0, ""},
		{0, `{"error":{"status":"NOT_FOUND"}}`, fault.UpstreamRejected, 0, ""},
		{404, `<html>`, fault.UpstreamRejected, 0, ""},
	} {
		f := ReadError(tt.status, []byte(tt.body), &d)
		if f.Kind != tt.kind || f.After != tt.after || f.Param != tt.param {
			t.Errorf("%s: %v after %v, param %q", tt.body, f, f.After, f.Param)
		}
	}
}

func TestModels(t *testing.T) {
	const want = `{"models":[{"name":"models/a/b","displayName":"a/b","supportedGenerationMethods":["generateContent","streamGenerateContent","countTokens"]}]}`
	if got := string(AppendModels(nil, inference.Model{Name: "a/b"})); got != want {
		t.Error(got)
	}
	const more = `{"name":"models/m","displayName":"m","inputTokenLimit":1048576,"outputTokenLimit":65536,"thinking":true,"supportedGenerationMethods":["generateContent","streamGenerateContent","countTokens"]}`
	if got := string(AppendModel(nil, inference.Model{Name: "m", Window: 1 << 20, Output: 1 << 16, Abilities: inference.AbilitiesOf(inference.Reasoning)})); got != more {
		t.Error(got)
	}
	if got := string(AppendModels(nil)); got != `{"models":[]}` {
		t.Error(got)
	}
}

func FuzzReader(f *testing.F) {
	f.Add("", []byte(event(0, `{"text":"x","thoughtSignature":"c2ln"}`, `,"finishReason":"STOP"`)), 1)
	f.Add("", []byte(`{"promptFeedback":{"blockReason":"SAFETY"}}`), 2)
	f.Add("error", []byte(`[{"error":{"code":500}}]`), 0)
	f.Add("", []byte(event(1, `{"functionCall":{"args":[]}}`, "")), 8)
	f.Fuzz(func(t *testing.T, name string, data []byte, n int) {
		if n < 0 || n > maxCandidates {
			return
		}
		var r Reader
		var d scan.Doc
		w := &Writer{ID: "i", Model: "m"}
		r.Reset(n)
		var out []byte
		for range 2 {
			if _, err := r.Read([]byte(name), data, &d); err != nil {
				if fault.Of(err).Kind == fault.Internal {
					t.Fatal(err)
				}
				return
			}
			for _, delta := range r.Deltas(nil) {
				out = w.Delta(out, delta)
			}
		}
		if r.End() == nil {
			for _, delta := range r.Deltas(nil) {
				out = w.Delta(out, delta)
			}
		}
		for e := range strings.SplitSeq(strings.TrimSuffix(string(out), "\n\n"), "\n\n") {
			if data, ok := strings.CutPrefix(e, "data: "); e != "" && (!ok || !json.Valid([]byte(data))) {
				t.Fatalf("wrote %q", e)
			}
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(event(0, `{"text":"x","thought":true},{"functionCall":{"name":"f"}}`, `,"finishReason":"STOP"`)))
	f.Add([]byte(`{"candidates":[],"promptFeedback":{"blockReason":"OTHER"},"usageMetadata":{"promptTokenCount":-1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var d scan.Doc
		if d.ScanLax(body) != nil {
			return
		}
		if a, err := DecodeAnswer(&d); err == nil && !json.Valid(EncodeAnswer(a)) {
			t.Fatalf("%s became %s", body, EncodeAnswer(a))
		}
		if f := ReadError(400, body, &d); f == nil || f.Words == "" {
			t.Fatal("an error without words")
		}
	})
}
