package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

type event struct{ name, data string }

// events splits a stream as it is in testdata.
func events(stream []byte) []event {
	var all []event
	for block := range strings.SplitSeq(string(stream), "\n\n") {
		var e event
		for line := range strings.Lines(block) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch key {
			case "event":
				e.name = value
			case "data":
				e.data = value
			}
		}
		if e.data != "" {
			all = append(all, e)
		}
	}
	return all
}

func read(r *Reader, d *scan.Doc, e event) (inference.Event, error) {
	return r.Read([]byte(e.name), []byte(e.data), d)
}

func kind(err error) fault.Kind {
	if err == nil {
		return fault.None
	}
	if f, ok := errors.AsType[*fault.Error](err); ok && f != nil {
		return f.Kind
	}
	return fault.Internal
}

func choices(name string) int {
	if strings.Contains(name, "n2") {
		return 2
	}
	return 1
}

var known = inference.Usage{Input: 20, Output: 12, CacheRead: 16, Known: true}

func TestReader(t *testing.T) {
	content := inference.Event{Content: true, Text: 1}
	tests := []struct {
		file string
		want []inference.Event
	}{
		{"vllm.sse", []inference.Event{
			{},
			{Content: true, Text: 5},
			{Content: true, Text: 6},
			{Content: true, Finishes: 1, Finish: inference.Stop},
			{Aside: true, Usage: known},
			{Terminal: true},
		}},
		{"openai-n2.sse", []inference.Event{
			{},
			{},
			content,
			content,
			{Content: true, Finishes: 1, Finish: inference.Stop},
			{Content: true, Finishes: 1, Finish: inference.Length},
			{Aside: true, Usage: known},
			{Terminal: true},
		}},
		{"azure.sse", []inference.Event{
			{},
			{},
			{Content: true, Text: 2},
			{Content: true, Finishes: 1, Finish: inference.Stop},
			{Aside: true, Usage: known},
			{Terminal: true},
		}},
		{"groq-deepseek.sse", []inference.Event{
			{},
			{Content: true, Text: 2},
			{Content: true, Finishes: 1, Finish: inference.Stop, Usage: known},
			{Terminal: true},
		}},
		{"vllm-reasoning-tools.sse", []inference.Event{
			{},
			{Content: true, Text: 5},
			{Content: true, Text: 6},
			{Content: true, Text: 8},
			{Content: true},
			{Content: true, Text: 7}, // with its escapes
			{Content: true, Text: 2},
			{Content: true, Text: 2},
			{Content: true, Finishes: 1, Finish: inference.ToolCalls},
			{Aside: true, Usage: known},
			{Terminal: true},
		}},
	}
	var r Reader
	var d scan.Doc
	files := corpus(t, "streams")
	for _, tt := range tests {
		r.Reset(choices(tt.file))
		var got []inference.Event
		for _, e := range events(files[tt.file]) {
			ev, err := read(&r, &d, e)
			if err != nil {
				t.Fatalf("%s: %v", tt.file, err)
			}
			got = append(got, ev)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.file, diff)
		}
		if err := r.End(); err != nil {
			t.Errorf("%s: %v", tt.file, err)
		}
	}
}

// TestNoCutLooksWhole cuts every stream after every event, in every way.
func TestNoCutLooksWhole(t *testing.T) {
	var r Reader
	var d scan.Doc
	endings := []struct {
		name string
		tail []event
		want fault.Kind
	}{
		{"clean end", nil, fault.Interrupted},
		{"[DONE] alone", []event{{data: "[DONE]"}}, fault.Incomplete},
		{"malformed", []event{{data: `{"id":"chatcmpl-1","choices":[{"index":0,"del`}}, fault.Malformed},
		{"error, then [DONE]", []event{{data: `{"error":{"message":"boom","type":"server_error","code":500}}`}, {data: "[DONE]"}}, fault.UpstreamError},
		{"event error", []event{{"error", `{"message":"slow down","type":"rate_limit_error"}`}}, fault.UpstreamCapacity},
		{"event error without JSON", []event{{"error", `boom`}}, fault.UpstreamError},
		{"foreign id", []event{{data: `{"id":"chatcmpl-2","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}`}}, fault.Mismatch},
		{"foreign model", []event{{data: `{"model":"other","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`}}, fault.Mismatch},
	}
	for file, stream := range corpus(t, "streams") {
		all := events(stream)
		for cut := range all {
			for _, end := range endings {
				r.Reset(choices(file))
				finishes, got := 0, fault.None
				for _, e := range append(all[:cut:cut], end.tail...) {
					ev, err := read(&r, &d, e)
					finishes += ev.Finishes
					if got = kind(err); got != fault.None {
						break
					}
				}
				if got == fault.None {
					got = kind(r.End())
				}
				want := end.want
				if finishes == choices(file) && (want == fault.Interrupted || want == fault.Incomplete) {
					want = fault.None // whole without its terminal
				}
				if strings.HasPrefix(end.name, "foreign") && bytes.Count(stream[:offset(stream, cut)], []byte(`"id":"chatcmpl-1"`)) == 0 {
					continue // nothing to differ from
				}
				if got != want {
					t.Errorf("%s cut after %d events, %s: got %v, want %v", file, cut, end.name, got, want)
				}
			}
		}
	}
}

// offset returns where the stream stands after n events.
func offset(stream []byte, n int) int {
	at := 0
	for range n {
		at += bytes.Index(stream[at:], []byte("\n\n")) + 2
	}
	return at
}

func TestReaderRefuses(t *testing.T) {
	tests := []struct {
		name, data string
		want       fault.Kind
	}{
		{"empty", ``, fault.Malformed},
		{"array", `[]`, fault.Malformed},
		{"number", `1`, fault.Malformed},
		{"no choices", `{"type":"ping"}`, fault.Malformed},
		{"choices of another type", `{"choices":{}}`, fault.Malformed},
		{"choice of another type", `{"choices":[1]}`, fault.Malformed},
		{"choice not asked for", `{"choices":[{"index":1,"delta":{"content":"x"}}]}`, fault.Mismatch},
		{"negative choice", `{"choices":[{"index":-1,"delta":{}}]}`, fault.Mismatch},
		{"two lists of choices", `{"choices":[],"choices":[],"usage":{"prompt_tokens":1}}`, fault.Malformed},
		{"two usages", `{"choices":[],"usage":{"prompt_tokens":1},"usage":{"prompt_tokens":2}}`, fault.Malformed},
		{"two deltas", `{"choices":[{"delta":{"content":"a"},"delta":{}}]}`, fault.Malformed},
		{"two reasons", `{"choices":[{"delta":{},"finish_reason":null,"finish_reason":"stop"}]}`, fault.Malformed},
		{"two errors", `{"error":null,"error":null,"choices":[]}`, fault.Malformed},
		{"error beside choices", `{"choices":[{"index":0,"delta":{"content":"x"}}],"error":{"message":"x","code":503}}`, fault.UpstreamError},
		{"the second of two errors", `{"error":null,"error":{"code":"rate_limit_exceeded"}}`, fault.UpstreamCapacity},
		{"error as text", `{"error":"overloaded"}`, fault.UpstreamError},
		{"error as a number", `{"error":1}`, fault.UpstreamError},
		{"overloaded", `{"error":{"type":"overloaded_error"}}`, fault.UpstreamCapacity},
		{"credential", `{"error":{"code":"invalid_api_key"}}`, fault.UpstreamAuth},
		{"numeric code", `{"error":{"code":429,"message":"x"}}`, fault.UpstreamCapacity},
		{"too long", `{"error":{"code":400,"message":"This model's maximum context length is 4096 tokens."}}`, fault.ContextTooLong},
		{"refused", `{"error":{"code":400,"type":"BadRequestError","message":"x"}}`, fault.UpstreamRejected},
		{"old vLLM", `{"object":"error","message":"x","type":"InternalServerError","code":500}`, fault.UpstreamError},
		{"invalid UTF-8", "{\"choices\":[],\"x\":\"\xff\"}", fault.Malformed},
	}
	var d scan.Doc
	for _, tt := range tests {
		var r Reader
		_, err := r.Read(nil, []byte(tt.data), &d)
		if got := kind(err); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	var r Reader
	for _, e := range []event{{data: `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`}, {data: "[DONE]"}} {
		if _, err := read(&r, &d, e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := read(&r, &d, event{data: `{"choices":[]}`}); kind(err) != fault.Malformed {
		t.Errorf("after [DONE]: got %v", err)
	}
	var unread Reader
	if got := kind(unread.End()); got != fault.Interrupted {
		t.Errorf("no event at all: got %v", got)
	}
}

// After a choice has finished, usage may come and empty deltas, and no more of its
// content.
func TestContentAfterTheFinish(t *testing.T) {
	const end = `{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}`
	tests := []struct {
		data string
		want fault.Kind
	}{
		{`{"choices":[{"index":0,"delta":{"content":"b"}}]}`, fault.Malformed},
		{`{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}`, fault.Malformed},
		{`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}`, fault.Malformed},
		{`{"choices":[{"index":1,"delta":{"content":"b"}}]}`, fault.None},
		{`{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}]}`, fault.None},
		{`{"choices":[],"usage":{"prompt_tokens":1}}`, fault.None},
	}
	var d scan.Doc
	for _, tt := range tests {
		var r Reader
		r.Reset(2)
		if _, err := read(&r, &d, event{data: end}); err != nil {
			t.Fatal(err)
		}
		if _, err := read(&r, &d, event{data: tt.data}); kind(err) != tt.want {
			t.Errorf("%s: got %v, want %v", tt.data, err, tt.want)
		}
	}
}

// TestNullErrorIsCut: openai-go fails on a top-level "error": null.
func TestNullErrorIsCut(t *testing.T) {
	tests := []struct{ data, want string }{
		{`{"error":null,"choices":[]}`, `{"choices":[]}`},
		{`{"choices":[], "error": false}`, `{"choices":[]}`},
		{`{"id":"1","error":"","choices":[]}`, `{"id":"1","choices":[]}`},
		{`{"choices":[{"index":0,"delta":{"error":null}}]}`, `{"choices":[{"index":0,"delta":{"error":null}}]}`},
	}
	var r Reader
	var d scan.Doc
	for _, tt := range tests {
		r.Reset(1)
		if _, err := r.Read(nil, []byte(tt.data), &d); err != nil {
			t.Fatalf("%s: %v", tt.data, err)
		}
		if got := string(scan.Splice(nil, []byte(tt.data), r.Edits(nil))); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func TestDeltas(t *testing.T) {
	files := corpus(t, "streams")
	tests := []struct {
		file string
		want []inference.Delta
	}{
		{"vllm-reasoning-tools.sse", []inference.Delta{
			{Kind: inference.Begin, ID: "chatcmpl-1", Model: "qwen3-32b"},
			{Kind: inference.ThoughtDelta, Text: "Think"},
			{Kind: inference.ThoughtDelta, Text: " hard."},
			{Kind: inference.TextDelta, Index: 1, Text: "Calling."},
			{Kind: inference.ToolBegin, Index: 2, ID: "call_1", Name: "f"},
			{Kind: inference.ToolDelta, Index: 2, Text: `{"a":`},
			{Kind: inference.ToolDelta, Index: 2, Text: `1}`},
			{Kind: inference.ToolBegin, Index: 3, ID: "call_2", Name: "g"},
			{Kind: inference.ToolDelta, Index: 3, Text: `{}`},
			{Kind: inference.End, Finish: inference.ToolCalls, Usage: known},
		}},
		{"groq-deepseek.sse", []inference.Delta{
			{Kind: inference.Begin, ID: "chatcmpl-1", Model: "qwen3-32b"},
			{Kind: inference.TextDelta, Text: "Hi"},
			{Kind: inference.End, Finish: inference.Stop, Usage: known},
		}},
	}
	for _, tt := range tests {
		for _, done := range []bool{true, false} {
			var r Reader
			var d scan.Doc
			var got []inference.Delta
			all := events(files[tt.file])
			if !done {
				all = all[:len(all)-1]
			}
			for _, e := range all {
				if _, err := read(&r, &d, e); err != nil {
					t.Fatal(err)
				}
				got = r.Deltas(got)
			}
			if err := r.End(); err != nil {
				t.Fatal(err)
			}
			got = r.Deltas(r.Deltas(got))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s, [DONE] %v: -want +got\n%s", tt.file, done, diff)
			}
		}
	}
}

// TestCallsOfOneIndex: a call of another id is another call, whatever its index says;
// arguments may stand there as JSON.
func TestCallsOfOneIndex(t *testing.T) {
	var r Reader
	var d scan.Doc
	var got []inference.Delta
	for _, call := range []string{
		`{"index":0,"id":"c1","function":{"name":"f","arguments":"{\"a\""}}`,
		`{"index":0,"id":"c1","function":{"arguments":":1}"}}`,
		`{"index":0,"id":"c2","function":{"name":"g","arguments":{"b": 2}}}`,
	} {
		if _, err := read(&r, &d, event{data: `{"id":"1","model":"m","choices":[{"index":0,"delta":{"tool_calls":[` + call + `]}}]}`}); err != nil {
			t.Fatal(err)
		}
		got = r.Deltas(got)
	}
	want := []inference.Delta{
		{Kind: inference.Begin, ID: "1", Model: "m"},
		{Kind: inference.ToolBegin, ID: "c1", Name: "f"},
		{Kind: inference.ToolDelta, Text: `{"a"`},
		{Kind: inference.ToolDelta, Text: `:1}`},
		{Kind: inference.ToolBegin, Index: 1, ID: "c2", Name: "g"},
		{Kind: inference.ToolDelta, Index: 1, Text: `{"b": 2}`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestWriter(t *testing.T) {
	w := Writer{Created: 7, Usage: true}
	var out []byte
	for _, d := range []inference.Delta{
		{Kind: inference.Begin, ID: "msg_1", Model: "m"},
		{Kind: inference.ThoughtDelta, Text: "t"},
		{Kind: inference.Signed, Text: "s"},
		{Kind: inference.TextDelta, Index: 1, Text: "a\n\"b\""},
		{Kind: inference.ToolBegin, Index: 2, ID: "c1", Name: "f"},
		{Kind: inference.ToolBegin, Index: 3, ID: "c2", Name: "g"},
		{Kind: inference.ToolDelta, Index: 2, Text: "{}"},
		{Kind: inference.RefusalDelta, Index: 4, Text: "no"},
		{Kind: inference.End, Finish: inference.StopSequence, Usage: known},
	} {
		out = w.Delta(out, d)
	}
	out = w.End(out)
	const head = `data: {"id":"msg_1","object":"chat.completion.chunk","created":7,"model":"m",`
	chunk := func(delta, finish string) string {
		return head + `"choices":[{"index":0,"delta":` + delta + `,"logprobs":null,"finish_reason":` + finish + `}],"usage":null}` + "\n\n"
	}
	want := chunk(`{"role":"assistant","content":""}`, "null") +
		chunk(`{"reasoning_content":"t"}`, "null") +
		chunk(`{"content":"a\n\"b\""}`, "null") +
		chunk(`{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]}`, "null") +
		chunk(`{"tool_calls":[{"index":1,"id":"c2","type":"function","function":{"name":"g","arguments":""}}]}`, "null") +
		chunk(`{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}`, "null") +
		chunk(`{"refusal":"no"}`, "null") +
		chunk(`{}`, `"stop"`) +
		head + `"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":12,"total_tokens":32,"prompt_tokens_details":{"cached_tokens":16},"completion_tokens_details":{"reasoning_tokens":0}}}` + "\n\n" +
		"data: [DONE]\n\n"
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for _, e := range events(out) {
		if e.data != "[DONE]" && !json.Valid([]byte(e.data)) {
			t.Errorf("not JSON: %s", e.data)
		}
	}
}

func TestEndings(t *testing.T) {
	var w Writer
	f := &fault.Error{Kind: fault.Interrupted, Words: `it was "cut"`}
	want := `data: {"error":{"message":"it was \"cut\"","type":"server_error","param":null,"code":"upstream_stream_interrupted"}}` + "\n\n"
	if got := string(w.Fail(nil, f, "req_1")); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := string(w.KeepAlive(nil)); got != ": keep-alive\n" {
		t.Errorf("got %q: openai-go before 3.43 fails on a blank line", got)
	}
}

// TestReadCostsNothing: an ordinary event allocates nothing.
func TestReadCostsNothing(t *testing.T) {
	var r Reader
	var d scan.Doc
	data := []byte(ordinary)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := r.Read(nil, data, &d); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

const ordinary = `{"id":"chatcmpl-9f2c7d1e5b8a4f60","object":"chat.completion.chunk","created":1764057600,"model":"qwen3-32b",` +
	`"system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":{"content":" a\n"},"logprobs":null,"finish_reason":null}]}`

func BenchmarkRead(b *testing.B) {
	var r Reader
	var d scan.Doc
	data := []byte(ordinary)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Read(nil, data, &d); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, stream := range corpus(f, "streams") {
		f.Add(stream, uint8(1))
	}
	f.Add([]byte("event: error\ndata: {}\n\n"), uint8(2))
	f.Add([]byte(`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"function":{"name":"f"}},{"index":-9,"id":7}]},"finish_reason":"x"}],"error":null}`+"\n\n"), uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, n uint8) {
		var r Reader
		var d scan.Doc
		r.Reset(int(n))
		finishes := 0
		var deltas []inference.Delta
		for _, e := range events(stream) {
			ev, err := read(&r, &d, e)
			if err != nil {
				if f, ok := errors.AsType[*fault.Error](err); !ok || f == nil || f.Words == "" {
					t.Fatalf("%q: got %v, want a *fault.Error with words", e.data, err)
				}
				return
			}
			if finishes += ev.Finishes; ev.Finishes > 0 && !ev.Content {
				t.Fatalf("%q: a finish is content", e.data)
			}
			if out := scan.Splice(nil, []byte(e.data), r.Edits(nil)); e.data != "[DONE]" && !json.Valid(bytes.TrimSpace(out)) && !ev.Terminal {
				t.Fatalf("%q: the edits make it %q", e.data, out)
			}
			deltas = r.Deltas(deltas)
		}
		whole := r.End() == nil
		if whole != (finishes == max(1, int(n))) {
			t.Fatalf("%d finishes of %d: whole is %v", finishes, n, whole)
		}
		ends := 0
		for _, x := range r.Deltas(deltas) {
			if x.Kind == inference.End {
				ends++
			}
		}
		if whole && ends != 1 || !whole && ends != 0 {
			t.Fatalf("got %d ends of an answer whose being whole is %v", ends, whole)
		}
	})
}

func FuzzRequest(f *testing.F) {
	for _, body := range corpus(f, "requests") {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var d scan.Doc
		var r inference.Request
		if d.Scan(body, Shape()) != nil || ReadRequest(&d, &r) != nil {
			return
		}
		if r.Model == "" || r.N < 1 || r.N > maxChoices || r.MaxTokens < 0 || r.Input < 1 {
			t.Fatalf("%s: got %+v", body, r)
		}
		out := scan.Splice(nil, body, Edits(nil, &d, "upstream"))
		var again scan.Doc
		if err := again.Scan(out, Shape()); err != nil {
			t.Fatalf("%s became %s: %v", body, out, err)
		}
		var sent inference.Request
		if err := ReadRequest(&again, &sent); err != nil || sent.Model != "upstream" || sent.Stream != r.Stream || sent.WantUsage != r.Stream {
			t.Fatalf("%s became %s: %+v, %v", body, out, sent, err)
		}
		c, _, err := Decode(&d)
		if err != nil {
			return
		}
		encoded, _ := Encode(c, "m", r.Stream)
		if !json.Valid(encoded) {
			t.Fatalf("%s encodes to %s", body, encoded)
		}
	})
}
