package ollama

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// steps reads a stream of lines to its end.
func steps(stream string) ([]inference.Delta, inference.Event, error) {
	var r Reader
	r.Reset(1)
	var d scan.Doc
	var all []inference.Delta
	var last inference.Event
	for line := range strings.Lines(stream) {
		e, err := r.Read(nil, []byte(strings.TrimSpace(line)), &d)
		if err != nil {
			return all, last, err
		}
		last = e
		all = r.Deltas(all)
	}
	return all, last, r.End()
}

// write writes steps as a stream.
func write(w *Writer, deltas ...inference.Delta) string {
	w.Model, w.Created = "m", time.Unix(1, 5)
	var b []byte
	for _, d := range deltas {
		b = w.Delta(b, d)
	}
	return string(w.End(b))
}

const lineHead = `{"model":"m","created_at":"1970-01-01T00:00:01.000000005Z",`

func TestWriter(t *testing.T) {
	usage := inference.Usage{Input: 5, Output: 7, Known: true}
	for name, tt := range map[string]struct {
		w      Writer
		deltas []inference.Delta
		want   []string
	}{
		"text and thought": {
			deltas: []inference.Delta{
				{Kind: inference.Begin},
				{Kind: inference.ThoughtDelta, Text: "hm"},
				{Kind: inference.Signed, Text: "s"},
				{Kind: inference.TextDelta, Index: 1, Text: "a\n"},
				{Kind: inference.RefusalDelta, Index: 2, Text: "no"},
				{Kind: inference.End, Finish: inference.Length, Usage: usage},
			},
			want: []string{
				`"message":{"role":"assistant","content":"","thinking":"hm"},"done":false}`,
				`"message":{"role":"assistant","content":"a\n"},"done":false}`,
				`"message":{"role":"assistant","content":"no"},"done":false}`,
				`"message":{"role":"assistant","content":""},"done":true,"done_reason":"length","prompt_eval_count":5,"eval_count":7}`,
			},
		},
		"calls, mixed": {
			deltas: []inference.Delta{
				{Kind: inference.ToolBegin, ID: "1", Name: "f"},
				{Kind: inference.ToolBegin, Index: 1, Name: "g"},
				{Kind: inference.ToolDelta, Text: `{"a":`},
				{Kind: inference.ToolDelta, Text: `1}`},
				{Kind: inference.TextDelta, Index: 2, Text: "b"},
				{Kind: inference.ToolBegin, Index: 3, ID: "3", Name: "h"},
				{Kind: inference.End, Finish: inference.ToolCalls},
			},
			want: []string{
				`"message":{"role":"assistant","content":"","tool_calls":[{"id":"1","function":{"index":0,"name":"f","arguments":{"a":1}}},{"function":{"index":1,"name":"g","arguments":{}}}]},"done":false}`,
				`"message":{"role":"assistant","content":"b"},"done":false}`,
				`"message":{"role":"assistant","content":"","tool_calls":[{"id":"3","function":{"index":2,"name":"h","arguments":{}}}]},"done":false}`,
				`"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}`,
			},
		},
		"generate": {
			w:      Writer{Generate: true},
			deltas: []inference.Delta{{Kind: inference.ThoughtDelta, Text: "hm"}, {Kind: inference.TextDelta, Index: 1, Text: "a"}, {Kind: inference.End, Finish: inference.Stop, Usage: usage}},
			want: []string{
				`"response":"","thinking":"hm","done":false}`, `"response":"a","done":false}`,
				`"response":"","done":true,"done_reason":"stop","prompt_eval_count":5,"eval_count":7}`,
			},
		},
		"the upstream wrote the end": {want: []string{}},
	} {
		var want strings.Builder
		for _, line := range tt.want {
			want.WriteString(lineHead + line + "\n")
		}
		if diff := cmp.Diff(want.String(), write(&tt.w, tt.deltas...)); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}

// TestCallWithoutObject: a call that this dialect has no way to tell is an error, in a
// stream and in a whole answer, and no end that looks like success.
func TestCallWithoutObject(t *testing.T) {
	for _, arguments := range []string{`{"a":`, `[1]`, `"x"`, strings.Repeat("x", maxArguments+1)} {
		got := write(&Writer{},
			inference.Delta{Kind: inference.TextDelta, Text: "a"}, inference.Delta{Kind: inference.ToolBegin, Index: 1, Name: "f"},
			inference.Delta{Kind: inference.ToolDelta, Index: 1, Text: arguments}, inference.Delta{Kind: inference.End, Finish: inference.ToolCalls})
		whole := string(EncodeAnswer(&inference.Answer{Model: "m", Parts: []inference.Part{{Kind: inference.ToolUse, Name: "f", Data: arguments[:min(9, len(arguments))]}}}))
		for _, s := range []string{got[strings.Index(got, "\n")+1:], whole + "\n"} {
			if !strings.HasPrefix(s, `{"error":"`) || strings.Contains(s, "done") || strings.Count(s, "\n") != 1 {
				t.Errorf("%.20s: got %.300s", arguments, s)
			}
		}
	}
}

// TestFail: an error stands in the place of the end, and white space before a line
// changes nothing for whoever reads JSON.
func TestFail(t *testing.T) {
	w := &Writer{Model: "m"}
	b := w.Delta(nil, inference.Delta{Kind: inference.TextDelta, Text: "a"})
	b = w.KeepAlive(w.KeepAlive(b))
	b = w.Delta(b, inference.Delta{Kind: inference.TextDelta, Text: "b"})
	b = w.Fail(w.KeepAlive(b), fault.New(fault.Interrupted, "it was cut"), "req_1")
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if len(lines) != 3 || lines[2] != ` {"error":"it was cut"}` {
		t.Fatalf("got %q", b)
	}
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Errorf("%q is not JSON", line)
		}
	}
	if _, _, err := steps(string(b)); fault.Of(err).Kind != fault.UpstreamError {
		t.Errorf("read back: %v", err)
	}
}

// TestStreamsComeBack: what a Writer writes a Reader reads.
func TestStreamsComeBack(t *testing.T) {
	sent := []inference.Delta{
		{Kind: inference.Begin, Model: "m"},
		{Kind: inference.ThoughtDelta, Text: "hm"},
		{Kind: inference.TextDelta, Index: 1, Text: "a"},
		{Kind: inference.ToolBegin, Index: 2, ID: "x", Name: "f"},
		{Kind: inference.ToolDelta, Index: 2, Text: `{"a":1}`},
		{Kind: inference.End, Finish: inference.ToolCalls, Usage: inference.Usage{Input: 5, Output: 7, Known: true}},
	}
	got, last, err := steps(write(&Writer{}, sent...))
	if diff := cmp.Diff(sent, got); diff != "" || err != nil || !last.Terminal || !last.Content || last.Finish != inference.ToolCalls {
		t.Errorf("%v, %+v, -want +got\n%s", err, last, diff)
	}
}

func TestStreamsThatAreNone(t *testing.T) {
	word, done := lineHead+`"message":{"content":"a"},"done":false}`, lineHead+`"done":true}`
	for stream, want := range map[string]fault.Kind{
		"":                              fault.Interrupted,
		word:                            fault.Interrupted,
		word + "\n" + done:              fault.None,
		done:                            fault.None,
		done + "\n" + word:              fault.Malformed,
		`[]`:                            fault.Malformed,
		`{`:                             fault.Malformed,
		`{"done":null}`:                 fault.Malformed,
		`{"message":1}`:                 fault.Malformed,
		`{"response":1}`:                fault.Malformed,
		`{"message":{"content":1}}`:     fault.Malformed,
		`{"message":{},"response":"a"}`: fault.Malformed,
		`{"message":{"content":"a","content":"b"}}`:          fault.Malformed,
		`{"done":true,"done":true}`:                          fault.Malformed,
		`{"error":"a"}`:                                      fault.UpstreamError,
		`{"error":true}`:                                     fault.UpstreamError,
		`{"error":"prompt exceeds the context length"}`:      fault.ContextTooLong,
		word + "\n" + strings.Replace(word, `"m"`, `"n"`, 1): fault.Mismatch,
	} {
		_, _, err := steps(stream)
		if got := fault.Of(err); (err == nil) != (want == fault.None) || err != nil && got.Kind != want {
			t.Errorf("%s: %v, want %v", stream, err, want)
		}
	}
}

// TestUsage: what was not counted is not known.
func TestUsage(t *testing.T) {
	for line, want := range map[string]inference.Usage{
		`{"done":true,"prompt_eval_count":3,"eval_count":4}`: {Input: 3, Output: 4, Known: true},
		`{"done":true,"prompt_eval_count":3}`:                {Input: 3, Known: true},
		`{"done":true,"eval_count":4}`:                       {},
		`{"done":true,"prompt_eval_count":-1}`:               {Known: true},
	} {
		if _, e, err := steps(line); err != nil || e.Usage != want {
			t.Errorf("%s: %+v, %v", line, e.Usage, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(lineHead + `"message":{"content":"a","tool_calls":[{"function":{"name":"f","arguments":{}}}]}}` + "\n" + `{"done":true,"eval_count":1}`)
	f.Add(`{"response":"a","thinking":"b"}` + "\n" + `{"error":"x"}`)
	f.Fuzz(func(t *testing.T, stream string) {
		deltas, last, err := steps(stream)
		if err != nil {
			if _, ok := errors.AsType[*fault.Error](err); !ok {
				t.Fatalf("%v is no fault", err)
			}
			return
		}
		if !last.Terminal || len(deltas) < 2 || deltas[0].Kind != inference.Begin || deltas[len(deltas)-1].Kind != inference.End {
			t.Fatalf("whole, with %+v", deltas)
		}
		out := write(&Writer{}, deltas...)
		for line := range strings.Lines(out) {
			if !json.Valid([]byte(line)) {
				t.Fatalf("%q is not JSON", line)
			}
		}
	})
}

// FuzzRequest: what is accepted can be told to another dialect and to this one, and
// what is spliced stays JSON.
func FuzzRequest(f *testing.F) {
	f.Add(`{"model":"m","messages":[{"role":"user","content":"a","images":["/9j/"]}],"options":{"stop":["x"]}}`)
	f.Add(`{"models":["a"],"model":"m","prompt":"a","truncate":null,"think":"low","format":{"type":"object"}}`)
	f.Fuzz(func(t *testing.T, body string) {
		for i, shape := range []*scan.Shape{Shape(), GenerateShape()} {
			read, decode := ReadRequest, Decode
			if i == 1 {
				read, decode = ReadGenerateRequest, DecodeGenerate
			}
			var d scan.Doc
			var r inference.Request
			if d.Scan([]byte(body), shape) != nil || read(&d, &r) != nil {
				continue
			}
			if got := scan.Splice(nil, []byte(body), Edits(nil, &d, "served")); !json.Valid(got) {
				t.Fatalf("spliced: %s", got)
			}
			c, _, err := decode(&d)
			if err != nil {
				continue
			}
			for _, from := range []inference.Dialect{inference.Ollama, inference.OpenAI} {
				c.From = from
				if got, _ := Encode(c, "served", true); !json.Valid(got) {
					t.Fatalf("encoded: %s", got)
				}
			}
		}
	})
}

func ExampleWriter() {
	w := &Writer{Model: "m", Created: time.Unix(1, 0)}
	fmt.Printf("%s", w.End(w.Delta(w.Delta(nil, inference.Delta{Kind: inference.TextDelta, Text: "Hi."}), inference.Delta{Kind: inference.End, Finish: inference.Stop})))
	// Output:
	// {"model":"m","created_at":"1970-01-01T00:00:01Z","message":{"role":"assistant","content":"Hi."},"done":false}
	// {"model":"m","created_at":"1970-01-01T00:00:01Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}
}
