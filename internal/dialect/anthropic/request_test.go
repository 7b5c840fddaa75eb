package anthropic

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// corpus returns the files of testdata/kind by name.
func corpus(t testing.TB, kind string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", kind, "*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no corpus of %s: %v", kind, err)
	}
	files := make(map[string][]byte)
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = b
	}
	return files
}

func scanned(t testing.TB, body string) *scan.Doc {
	t.Helper()
	var d scan.Doc
	if err := d.Scan([]byte(body), Shape()); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return &d
}

// TestEditsKeepTheRest sends every body of the corpus on: only the model's name
// may differ, byte for byte.
func TestEditsKeepTheRest(t *testing.T) {
	for name, body := range corpus(t, "requests") {
		d := scanned(t, string(body))
		var r inference.Request
		if err := ReadRequest(d, &r); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		start, end := d.Root().Get("model").Span()
		if got := strings.Trim(string(body[start:end]), `"`); got != r.Model {
			t.Fatalf("%s: the model stands elsewhere: %s", name, got)
		}
		want := string(body[:start]) + `"up/\"1\""` + string(body[end:])
		if got := string(scan.Splice(nil, body, Edits(nil, d, `up/"1"`))); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		if got := scan.Splice(nil, body, Edits(nil, d, r.Model)); !bytes.Equal(got, body) {
			t.Errorf("%s: the same model changes the body", name)
		}
	}
}

func TestReadRequest(t *testing.T) {
	const user = `{"role":"user","content":"12345678"}`
	tests := []struct {
		name, body string
		want       inference.Request
	}{
		{"least", `{"model":"m","max_tokens":5,"messages":[` + user + `]}`, inference.Request{MaxTokens: 5, Input: 2}},
		{"a cache is warmed", `{"model":"m","max_tokens":0,"messages":[` + user + `]}`, inference.Request{Input: 2}},
		{
			"all", `{"model":"m","max_tokens":5,"stream":true,"system":[{"type":"text","text":"1234"}],"tools":[{"name":"f","input_schema":{}},{"type":"web_search_20250305","name":"w"}],` +
				`"tool_choice":{"type":"auto"},"thinking":{"type":"enabled","budget_tokens":1024},"metadata":{"user_id":"u"},"messages":[` + user + `]}`,
			inference.Request{Apart: inference.HostedUse, MaxTokens: 5, Stream: true, WantUsage: true, Tools: 2, Input: 21, Session: dialect.Session([]byte("u")), User: dialect.Session([]byte("u")), Needs: inference.AbilitiesOf(inference.Tools, inference.Reasoning)},
		},
		{
			"wishes", `{"model":"m","max_tokens":5,"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"none"},"thinking":{"type":"disabled"},` +
				`"output_config":{"effort":"high","format":{"type":"json_schema","schema":{}}},"messages":[` + user + `]}`,
			inference.Request{MaxTokens: 5, Tools: 1, Input: 10, Effort: inference.MuchEffort, Needs: inference.AbilitiesOf(inference.JSONSchema)},
		},
		{
			"blocks", `{"model":"m","max_tokens":5,"metadata":null,"messages":[{"role":"user","content":[` +
				`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + strings.Repeat("A", 40000) + `"}},` +
				`{"type":"document","source":{"type":"text","data":"12345678"}},{"type":"document","source":{"type":"base64","data":"AAAA"}},` +
				`{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"1234"},{"type":"image","source":{}}]}]},` +
				`{"role":"assistant","content":[{"type":"thinking","thinking":"1234","signature":"s"}]}]}`,
			inference.Request{MaxTokens: 5, Input: 5004, Needs: inference.AbilitiesOf(inference.Vision, inference.Documents)},
		},
	}
	for _, tt := range tests {
		got := inference.Request{ID: inference.ID{1}, Model: "old", Session: 9, Tools: 9}
		if err := ReadRequest(scanned(t, tt.body), &got); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		want := tt.want
		want.ID, want.Dialect, want.Model, want.N, want.Bytes = inference.ID{1}, inference.Anthropic, "m", 1, len(tt.body)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, want)
		}
	}
}

func TestReadRequestRefuses(t *testing.T) {
	const rest = `"max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`
	tests := []struct{ name, body, param, words string }{
		{"not an object", `1`, "", "must be a JSON object"},
		{"no model", `{` + rest, "model", "is missing"},
		{"empty model", `{"model":"",` + rest, "model", "is missing"},
		{"model of another type", `{"model":["m"],` + rest, "model", "a string"},
		{"no max_tokens", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, "max_tokens", "is missing"},
		{"null max_tokens", `{"model":"m","max_tokens":null,"messages":[{"role":"user","content":"hi"}]}`, "max_tokens", "is missing"},
		{"max_tokens 1.0", `{"model":"m","max_tokens":1.0,"messages":[{"role":"user","content":"hi"}]}`, "max_tokens", "without fraction"},
		{"max_tokens -1", `{"model":"m","max_tokens":-1,"messages":[{"role":"user","content":"hi"}]}`, "max_tokens", "from 0"},
		{"stream", `{"model":"m","stream":"yes",` + rest, "stream", "a boolean"},
		{"system", `{"model":"m","system":{},` + rest, "system", "a string or"},
		{"system's block", `{"model":"m","system":["x"],` + rest, "system", "a string or"},
		{"tools", `{"model":"m","tools":"f",` + rest, "tools", "an array"},
		{"tool", `{"model":"m","tools":["f"],` + rest, "tools[0]", "an object"},
		{"tool without a name", `{"model":"m","tools":[{"input_schema":{}}],` + rest, "tools[0].name", "a string"},
		{"tool_choice", `{"model":"m","tool_choice":"auto",` + rest, "tool_choice", "an object"},
		{"tool_choice.type", `{"model":"m","tool_choice":{},` + rest, "tool_choice.type", "a string"},
		{"thinking", `{"model":"m","thinking":true,` + rest, "thinking", "an object"},
		{"budget", `{"model":"m","thinking":{"type":"enabled","budget_tokens":1e4},` + rest, "thinking.budget_tokens", "without fraction"},
		{"metadata", `{"model":"m","metadata":{"user_id":7},` + rest, "metadata.user_id", "a string"},
		{"no messages", `{"model":"m","max_tokens":5}`, "messages", "an array"},
		{"empty messages", `{"model":"m","max_tokens":5,"messages":[]}`, "messages", "empty"},
		{"message", `{"model":"m","max_tokens":5,"messages":["hi"]}`, "messages[0]", "an object"},
		{"role", `{"model":"m","max_tokens":5,"messages":[{"role":"tool","content":"x"}]}`, "messages[0].role", "one of"},
		{"no content", `{"model":"m","max_tokens":5,"messages":[{"role":"user"}]}`, "messages[0].content", "a string or"},
		{"block without a type", `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"text":"x"}]}]}`, "messages[0].content", "a type"},
		{"result", `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"tool_result","content":7}]}]}`, "messages[0].content", "a type"},
	}
	for _, tt := range tests {
		before := inference.Request{Model: "before"}
		r := before
		f, ok := errors.AsType[*fault.Error](ReadRequest(scanned(t, tt.body), &r))
		if !ok || f.Kind != fault.InvalidRequest || f.Param != tt.param || !strings.Contains(f.Words, tt.words) {
			t.Errorf("%s: got %v, want param %q and words with %q", tt.name, f, tt.param, tt.words)
		}
		if !reflect.DeepEqual(r, before) {
			t.Errorf("%s: a refused request was filled in", tt.name)
		}
	}
}

// TestModelIsReused: a Request that is read again costs nothing.
func TestModelIsReused(t *testing.T) {
	d := scanned(t, string(corpus(t, "requests")["claude-code.json"]))
	var r inference.Request
	if n := testing.AllocsPerRun(100, func() {
		if err := ReadRequest(d, &r); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func BenchmarkReadRequest(b *testing.B) {
	body := corpus(b, "requests")["claude-code.json"]
	var d scan.Doc
	var r inference.Request
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Scan(body, Shape()); err != nil {
			b.Fatal(err)
		}
		if err := ReadRequest(&d, &r); err != nil {
			b.Fatal(err)
		}
	}
}

// TestCountRequest: a request to count needs no max_tokens and is no stream.
func TestCountRequest(t *testing.T) {
	var d scan.Doc
	if err := d.Scan([]byte(`{"model":"m","stream":true,"system":"12345678","messages":[{"role":"user","content":"1234"}]}`), Shape()); err != nil {
		t.Fatal(err)
	}
	var r inference.Request
	if err := ReadCountRequest(&d, &r); err != nil || r.Dialect != inference.AnthropicCount || r.Stream || r.Input != 3 || r.Model != "m" {
		t.Errorf("%+v, %v", r, err)
	}
	if err := ReadRequest(&d, &r); kind(err) != fault.InvalidRequest {
		t.Errorf("a message without max_tokens: %v", err)
	}
}

func TestCountAnswer(t *testing.T) {
	for body, want := range map[string]fault.Kind{
		`{"input_tokens":2095}`: fault.None,
		`{"input_tokens":"x"}`:  fault.Malformed,
		`{}`:                    fault.Malformed,
		`{"type":"error","error":{"type":"overloaded_error","message":"x"}}`: fault.UpstreamCapacity,
	} {
		var d scan.Doc
		if err := d.ScanLax([]byte(body)); err != nil {
			t.Fatal(err)
		}
		var e inference.Event
		switch err := ReadCount(&d, &e); {
		case err == nil && (want != fault.None || !e.Content || e.Finish != inference.Stop):
			t.Errorf("%s: %+v", body, e)
		case err != nil && kind(err) != want:
			t.Errorf("%s: %v", body, err)
		}
	}
	if got := string(EncodeCount(&inference.Answer{Usage: inference.Usage{Input: 7}})); got != `{"input_tokens":7}` {
		t.Error(got)
	}
}

// TestForeignThoughts: what Gemini signed does not reach Claude, and nothing else is
// changed.
func TestForeignThoughts(t *testing.T) {
	const body = `{"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"gemini:c2ln"}, {"type":"tool_use","id":"1","name":"f","input":{ "a":1.0}}]},
		{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"gemini:c2ln"}]},{"role":"user","content":"\"gemini:"},
		{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"c2ln"},{"type":"text","text":"gemini:"}]}],"max_tokens":9,"model":"m"}`
	const want = `{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{ "a":1.0}}]},
		{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"gemini:c2ln"}]},{"role":"user","content":"\"gemini:"},
		{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"c2ln"},{"type":"text","text":"gemini:"}]}],"max_tokens":9,"model":"claude"}`
	var d scan.Doc
	if err := d.Scan([]byte(body), Shape()); err != nil {
		t.Fatal(err)
	}
	if got := string(scan.Splice(nil, []byte(body), Edits(nil, &d, "claude"))); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
