package openai

import (
	"bytes"
	"encoding/json"
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

// TestEditsKeepTheRest sends every body of the corpus on: only the model and
// include_usage may differ, in bytes and in meaning.
func TestEditsKeepTheRest(t *testing.T) {
	const upstream = `up/"stream"-1`
	for name, body := range corpus(t, "requests") {
		t.Run(name, func(t *testing.T) {
			d := scanned(t, string(body))
			var r inference.Request
			if err := ReadRequest(d, &r); err != nil {
				t.Fatal(err)
			}
			edits := Edits(nil, d, upstream)
			out := scan.Splice(nil, body, edits)
			rest, at := out, 0
			for _, e := range edits {
				kept := body[at:e.Start]
				if !bytes.HasPrefix(rest, kept) || !bytes.HasPrefix(rest[len(kept):], e.With) {
					t.Fatalf("bytes before %d changed: %s", e.Start, out)
				}
				rest, at = rest[len(kept)+len(e.With):], e.End
			}
			if !bytes.Equal(rest, body[at:]) {
				t.Fatalf("bytes after the last edit changed: %s", out)
			}
			var got, want map[string]any
			if err := json.Unmarshal(body, &want); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("%s: %v", out, err)
			}
			want["model"] = upstream
			delete(want, "models") // they are for us
			if r.Stream {
				options, _ := want["stream_options"].(map[string]any)
				if options == nil {
					options = map[string]any{}
				}
				options["include_usage"] = true
				want["stream_options"] = options
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			again := scanned(t, string(out))
			if more := Edits(nil, again, upstream); len(more) != 0 {
				t.Errorf("a second pass edits again: %v", more)
			}
		})
	}
}

func TestReadRequest(t *testing.T) {
	tests := []struct {
		name, body string
		want       inference.Request
	}{
		{
			"least", `{"model":"m","messages":[{"role":"user","content":"12345678"}]}`,
			inference.Request{Model: "m", N: 1, Input: 2},
		},
		{
			"all", `{"model":"m","stream":true,"stream_options":{"include_usage":true},"n":3,"max_tokens":5,"max_completion_tokens":7,` +
				`"tools":[{"type":"function","function":{"name":"f"}},{"type":"custom","custom":{"name":"c"}}],"user":"u","prompt_cache_key":"k",` +
				`"response_format":{"type":"json_object"},"tool_choice":"none","store":null,"messages":[{"role":"developer","content":[{"type":"text","text":"abcd"}]}]}`,
			inference.Request{Model: "m", Stream: true, WantUsage: true, N: 3, MaxTokens: 7, Tools: 2, Input: 22, Session: dialect.Session([]byte("k")), User: dialect.Session([]byte("u"))},
		},
		{
			"nulls", `{"model":"m","messages":[{"role":"assistant","content":null}],"stream":null,"max_tokens":null,"n":null,"tools":null,"tool_choice":null,"response_format":null,"user":null}`,
			inference.Request{Model: "m", N: 1, Input: 1},
		},
		{
			"usage without a stream", `{"model":"m","messages":[{"role":"user"}],"stream_options":{"include_usage":true}}`,
			inference.Request{Model: "m", N: 1, Input: 1},
		},
		{
			"models to fall back to",
			`{"model":"m","models":["m","a","b/c"],"messages":[{"role":"user","content":"1234"}]}`,
			inference.Request{Model: "m", Models: []string{"m", "a", "b/c"}, N: 1, Input: 1},
		},
		{
			"a picture counts, its base64 does not",
			`{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + strings.Repeat("A", 40000) + `"}}]}]}`,
			inference.Request{Model: "m", N: 1, Input: 1000, Needs: inference.AbilitiesOf(inference.Vision)},
		},
		{
			"wishes",
			`{"model":"m","messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{}},{"type":"file","file":{}}]}],` +
				`"tools":[{"type":"function","function":{"name":"f"}}],"response_format":{"type":"json_schema"},"reasoning_effort":"low"}`,
			inference.Request{
				Model: "m", N: 1, Input: 3511, Tools: 1, Effort: inference.LittleEffort,
				Needs: inference.AbilitiesOf(inference.Tools, inference.Documents, inference.Hearing, inference.JSONSchema, inference.Reasoning),
			},
		},
		{
			"no effort is no thinking", `{"model":"m","messages":[{"role":"user"}],"reasoning_effort":"none"}`,
			inference.Request{Model: "m", N: 1, Input: 1, Effort: inference.LittleEffort},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := scanned(t, tt.body)
			got := inference.Request{ID: inference.ID{1}, Tools: 9, Session: 9}
			if err := ReadRequest(d, &got); err != nil {
				t.Fatal(err)
			}
			tt.want.ID, tt.want.Bytes = inference.ID{1}, len(tt.body)
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestReadRequestRefuses(t *testing.T) {
	const messages = `,"messages":[{"role":"user","content":"hi"}]`
	tests := []struct{ name, body, param, words string }{
		{"not an object", `[]`, "", "must be a JSON object"},
		{"no model", `{"messages":[{"role":"user","content":"hi"}]}`, "model", "is missing"},
		{"empty model", `{"model":""` + messages + `}`, "model", "is missing"},
		{"null model", `{"model":null` + messages + `}`, "model", "is missing"},
		{"model of another type", `{"model":1` + messages + `}`, "model", "a string"},
		{"stream as text", `{"model":"m","stream":"true"` + messages + `}`, "stream", "a boolean"},
		{"stream as a number", `{"model":"m","stream":1` + messages + `}`, "stream", "a boolean"},
		{"max_tokens 1.0", `{"model":"m","max_tokens":1.0` + messages + `}`, "max_tokens", "without fraction"},
		{"max_tokens 1e2", `{"model":"m","max_tokens":1e2` + messages + `}`, "max_tokens", "without fraction"},
		{"max_tokens 0", `{"model":"m","max_tokens":0` + messages + `}`, "max_tokens", "from 1"},
		{"max_tokens -1", `{"model":"m","max_completion_tokens":-1` + messages + `}`, "max_completion_tokens", "from 1"},
		{"max_tokens of 23 digits", `{"model":"m","max_tokens":12345678901234567890123` + messages + `}`, "max_tokens", "64 bits"},
		{"max_tokens too large", `{"model":"m","max_tokens":4294967296` + messages + `}`, "max_tokens", "to 2147483647"},
		{"n 0", `{"model":"m","n":0` + messages + `}`, "n", "from 1 to 128"},
		{"n 129", `{"model":"m","n":129` + messages + `}`, "n", "from 1 to 128"},
		{"tools as an object", `{"model":"m","tools":{}` + messages + `}`, "tools", "an array"},
		{"tool without a name", `{"model":"m","tools":[{"type":"function","function":{}}]` + messages + `}`, "tools[0].function.name", "a string"},
		{"tool without a type", `{"model":"m","tools":[{"type":"function","function":{"name":"f"}},{}]` + messages + `}`, "tools[1].type", "a string"},
		{"tool_choice", `{"model":"m","tool_choice":1` + messages + `}`, "tool_choice", "an object"},
		{"response_format", `{"model":"m","response_format":"json"` + messages + `}`, "response_format", "an object"},
		{"response_format.type", `{"model":"m","response_format":{}` + messages + `}`, "response_format.type", "a string"},
		{"store", `{"model":"m","store":"no"` + messages + `}`, "store", "a boolean"},
		{"stream_options", `{"model":"m","stream_options":true` + messages + `}`, "stream_options", "an object"},
		{"include_usage", `{"model":"m","stream_options":{"include_usage":1}` + messages + `}`, "stream_options.include_usage", "a boolean"},
		{"no messages", `{"model":"m"}`, "messages", "an array"},
		{"empty messages", `{"model":"m","messages":[]}`, "messages", "empty"},
		{"messages as text", `{"model":"m","messages":"hi"}`, "messages", "an array"},
		{"message as text", `{"model":"m","messages":["hi"]}`, "messages[0]", "an object"},
		{"role", `{"model":"m","messages":[{"role":"user"},{"role":"root","content":"x"}]}`, "messages[1].role", "one of"},
		{"content", `{"model":"m","messages":[{"role":"user","content":7}]}`, "messages[0].content", "a string or"},
		{"part", `{"model":"m","messages":[{"role":"user","content":["x"]}]}`, "messages[0].content", "objects"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := inference.Request{Model: "before"}
			r := before
			f, ok := errors.AsType[*fault.Error](ReadRequest(scanned(t, tt.body), &r))
			if !ok || f.Kind != fault.InvalidRequest || f.Param != tt.param || !strings.Contains(f.Words, tt.words) {
				t.Errorf("got %v (param %q), want param %q and words with %q", f, f.Param, tt.param, tt.words)
			}
			if !reflect.DeepEqual(r, before) {
				t.Error("a refused request was filled in")
			}
		})
	}
}

// TestModelIsReused: a Request that is read again costs nothing.
func TestModelIsReused(t *testing.T) {
	d := scanned(t, `{"model":"assistant","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"stream":true,"user":"u"}`)
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
	body := corpus(b, "requests")["opencode.json"]
	var d scan.Doc
	var r inference.Request
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

// TestFallbacksAreForUs: no upstream sees the models that a request may fall back
// to, wherever they stand among the fields that change.
func TestFallbacksAreForUs(t *testing.T) {
	for body, want := range map[string]string{
		`{"models":["a"],"model":"x","messages":[]}`:                        `{"model":"m","messages":[]}`,
		`{"model":"x","messages":[],"models":["a"]}`:                        `{"model":"m","messages":[]}`,
		`{"model":"x","stream":true,"messages":[],"models":["a","b"]}`:      `{"model":"m","stream":true,"messages":[],"stream_options":{"include_usage":true}}`,
		`{"stream_options":{},"models":[],"stream":true,"model":"x","n":1}`: `{"stream_options":{"include_usage":true},"stream":true,"model":"m","n":1}`,
	} {
		edits := Edits(nil, scanned(t, body), "m")
		if got := string(scan.Splice(nil, []byte(body), edits)); got != want {
			t.Errorf("%s\nbecame %s\nwant   %s", body, got, want)
		}
	}
	var r inference.Request
	for _, body := range []string{
		`{"model":"x","messages":[{"role":"user","content":"a"}],"models":"a"}`,
		`{"model":"x","messages":[{"role":"user","content":"a"}],"models":[1]}`,
		`{"model":"x","messages":[{"role":"user","content":"a"}],"models":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16"]}`,
	} {
		if f, ok := errors.AsType[*fault.Error](ReadRequest(scanned(t, body), &r)); !ok || f.Param != "models" {
			t.Errorf("%s: %v", body, f)
		}
	}
}
