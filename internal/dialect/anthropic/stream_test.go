package anthropic

import (
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

func used(output int) inference.Usage {
	return inference.Usage{Input: 114, Output: output, CacheRead: 100, CacheWrite: 10, Known: true}
}

func TestReader(t *testing.T) {
	tests := []struct {
		file string
		want []inference.Event
	}{
		{"text.sse", []inference.Event{
			{Usage: used(1)},
			{},
			{},
			{Content: true, Text: 5},
			{Content: true, Text: 6},
			{},
			{Content: true, Finishes: 1, Finish: inference.Stop, Usage: used(12)},
			{Terminal: true},
		}},
		{"thinking-tools.sse", []inference.Event{
			{},
			{Usage: used(1)},
			{},
			{Content: true, Text: 3},
			{Content: true},
			{},
			{},
			{Content: true, Text: 8},
			{},
			{Content: true},
			{},
			{Content: true, Text: 7}, // with its escapes
			{Content: true, Text: 2},
			{},
			{Content: true, Finishes: 1, Finish: inference.ToolCalls, Usage: used(89)},
			{Terminal: true},
		}},
		{"empty.sse", []inference.Event{
			{Usage: used(1)},
			{Content: true, Finishes: 1, Finish: inference.Stop, Usage: used(1)},
			{Terminal: true},
		}},
	}
	var r Reader
	var d scan.Doc
	files := corpus(t, "streams")
	for _, tt := range tests {
		r.Reset(1)
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
	endings := []struct {
		name string
		tail []event
		want fault.Kind
	}{
		{"clean end", nil, fault.Interrupted},
		{"message_stop alone", []event{{"message_stop", `{"type":"message_stop"}`}}, fault.Incomplete},
		{"malformed", []event{{"content_block_delta", `{"type":"content_block_delta","index":0,"del`}}, fault.Malformed},
		{"OpenAI's terminal", []event{{"", `[DONE]`}}, fault.Malformed},
		{"no name", []event{{"", `{"type":"message_delta","delta":{"stop_reason":"end_turn"}}`}}, fault.Malformed},
		{"overloaded", []event{{"error", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`}}, fault.UpstreamCapacity},
		{"error without its name", []event{{"message", `{"type":"error","error":{"type":"api_error","message":"x"}}`}}, fault.UpstreamError},
		{"OpenAI's error", []event{{"", `{"error":{"message":"x","code":"rate_limit_exceeded","type":"rate_limit_error"}}`}}, fault.UpstreamCapacity},
		{"error without JSON", []event{{"error", `boom`}}, fault.UpstreamError},
		{"another message", []event{{"message_start", `{"type":"message_start","message":{"id":"msg_02"}}`}}, fault.Mismatch},
		{"the same message again", []event{{"message_start", `{"type":"message_start","message":{"id":"msg_01"}}`}}, fault.Malformed},
	}
	var r Reader
	var d scan.Doc
	for file, stream := range corpus(t, "streams") {
		all := events(stream)
		for cut := range all {
			for _, end := range endings {
				r.Reset(1)
				begun, finished, got := false, false, fault.None
				for i, e := range append(all[:cut:cut], end.tail...) {
					begun = begun || i < cut && e.name == "message_start"
					ev, err := read(&r, &d, e)
					finished = finished || ev.Finishes > 0
					if got = kind(err); got != fault.None {
						break
					}
				}
				if got == fault.None {
					got = kind(r.End())
				}
				want := end.want
				switch {
				case finished && (want == fault.Interrupted || want == fault.Incomplete):
					want = fault.None // whole without its terminal
				case !begun && want == fault.Mismatch, !begun && end.name == "the same message again":
					want = fault.Interrupted // the first message
				case !begun && want == fault.Incomplete:
					want = fault.Malformed // before message_start
				}
				if got != want {
					t.Errorf("%s cut after %d events, %s: got %v, want %v", file, cut, end.name, got, want)
				}
			}
		}
	}
}

func TestReaderRefuses(t *testing.T) {
	tests := []struct {
		name string
		e    event
		want fault.Kind
	}{
		{"empty", event{"message_start", ``}, fault.Malformed},
		{"array", event{"message_start", `[]`}, fault.Malformed},
		{"no type", event{"ping", `{}`}, fault.Malformed},
		{"another type", event{"ping", `{"type":"message_stop"}`}, fault.Malformed},
		{"two types", event{"ping", `{"type":"error","type":"ping"}`}, fault.Malformed},
		{"two errors", event{"ping", `{"type":"ping","error":{"type":"api_error"},"error":null}`}, fault.Malformed},
		{"no message", event{"message_start", `{"type":"message_start"}`}, fault.Malformed},
		{"delta first", event{"content_block_delta", `{"type":"content_block_delta","delta":{"type":"text_delta","text":"x"}}`}, fault.Malformed},
		{"invalid UTF-8", event{"ping", "{\"type\":\"ping\",\"x\":\"\xff\"}"}, fault.Malformed},
		{"null error", event{"error", `null`}, fault.UpstreamError},
		{"credential", event{"error", `{"type":"error","error":{"type":"authentication_error"}}`}, fault.UpstreamAuth},
		{"too long", event{"error", `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"}}`}, fault.ContextTooLong},
		{"refused", event{"error", `{"type":"error","error":{"type":"invalid_request_error","message":"x"}}`}, fault.UpstreamRejected},
	}
	var d scan.Doc
	for _, tt := range tests {
		var r Reader
		if _, err := read(&r, &d, tt.e); kind(err) != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	var r Reader
	if _, err := read(&r, &d, event{"ping", `{"type":"ping","error":null}`}); err != nil {
		t.Fatal(err)
	}
	if got := string(scan.Splice(nil, d.Bytes(), r.Edits(nil))); got != `{"type":"ping"}` {
		t.Errorf("a null error stays: %s", got)
	}
}

// After the stop_reason usage may come, and no more content.
func TestContentAfterTheReason(t *testing.T) {
	begin := []event{
		{"message_start", `{"type":"message_start","message":{"id":"1"}}`},
		{"message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}`},
	}
	tests := []struct {
		e    event
		want fault.Kind
	}{
		{event{"content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"b"}}`}, fault.Malformed},
		{event{"content_block_start", `{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"1","name":"f","input":{}}}`}, fault.Malformed},
		{event{"content_block_stop", `{"type":"content_block_stop","index":0}`}, fault.None},
		{event{"message_delta", `{"type":"message_delta","delta":{},"usage":{"output_tokens":2}}`}, fault.None},
		{event{"message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}`}, fault.None},
		{event{"message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_reason":"max_tokens"}}`}, fault.Malformed},
		{event{"ping", `{"type":"ping"}`}, fault.None},
	}
	var d scan.Doc
	for _, tt := range tests {
		var r Reader
		for _, e := range begin {
			if _, err := read(&r, &d, e); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := read(&r, &d, tt.e); kind(err) != tt.want {
			t.Errorf("%s: got %v, want %v", tt.e.data, err, tt.want)
		}
	}
}

// TestUsageIsATotal: numbers are replaced, never added, and what is left out
// stays.
func TestUsageIsATotal(t *testing.T) {
	var r Reader
	var d scan.Doc
	var last inference.Usage
	for _, e := range []event{
		{"message_start", `{"type":"message_start","message":{"id":"m","usage":{"input_tokens":4,"cache_read_input_tokens":null,"cache_creation_input_tokens":2,"output_tokens":1}}}`},
		{"message_delta", `{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":5}}`},
		{"message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":8,"output_tokens":9,"cache_read_input_tokens":3,"output_tokens_details":{"thinking_tokens":7}}}`},
	} {
		ev, err := read(&r, &d, e)
		if err != nil {
			t.Fatal(err)
		}
		last = ev.Usage
	}
	if want := (inference.Usage{Input: 13, Output: 9, CacheRead: 3, CacheWrite: 2, Reasoning: 7, Known: true}); last != want {
		t.Errorf("got %+v, want %+v", last, want)
	}
}

func TestDeltas(t *testing.T) {
	want := []inference.Delta{
		{Kind: inference.Begin, ID: "msg_01", Model: "claude-sonnet-4-5", Usage: used(1)},
		{Kind: inference.ThoughtDelta, Text: "Hm."},
		{Kind: inference.Signed, Text: "EqQB/+="},
		{Kind: inference.TextDelta, Index: 1, Text: "Calling."},
		{Kind: inference.ToolBegin, Index: 2, ID: "toolu_1", Name: "f"},
		{Kind: inference.ToolDelta, Index: 2, Text: `{"a":`},
		{Kind: inference.ToolDelta, Index: 2, Text: `1}`},
		{Kind: inference.End, Finish: inference.ToolCalls, Usage: used(89)},
	}
	all := events(corpus(t, "streams")["thinking-tools.sse"])
	for _, part := range [][]event{all, all[:len(all)-1]} {
		var r Reader
		var d scan.Doc
		var got []inference.Delta
		for _, e := range part {
			if _, err := read(&r, &d, e); err != nil {
				t.Fatal(err)
			}
			got = r.Deltas(got)
		}
		if err := r.End(); err != nil {
			t.Fatal(err)
		}
		got = r.Deltas(r.Deltas(got))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d events: -want +got\n%s", len(part), diff)
		}
	}
}

func TestWriter(t *testing.T) {
	var w Writer
	var out []byte
	for _, d := range []inference.Delta{
		{Kind: inference.Begin, ID: "chatcmpl-1", Model: "m"},
		{Kind: inference.ThoughtDelta, Text: "t"},
		{Kind: inference.Signed, Text: "s"},
		{Kind: inference.TextDelta, Index: 1, Text: "a\n"},
		{Kind: inference.TextDelta, Index: 1, Text: "b"},
		{Kind: inference.ToolBegin, Index: 4, ID: "c:1", Name: "f"},
		{Kind: inference.ToolDelta, Index: 4, Text: `{"a":`},
		{Kind: inference.ToolBegin, Index: 5, ID: "c2", Name: "g"},
		{Kind: inference.ToolDelta, Index: 4, Text: `1}`},
		{Kind: inference.End, Finish: inference.ToolCalls, Usage: inference.Usage{Input: 20, Output: 12, CacheRead: 16, Known: true}},
	} {
		out = w.Delta(out, d)
	}
	out = w.End(w.KeepAlive(out))
	want := []event{
		{"message_start", `{"type":"message_start","message":{"id":"chatcmpl-1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_details":null,"stop_sequence":null,"container":null,"diagnostics":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0,"output_tokens_details":null,"server_tool_use":null,"cache_creation":null,"inference_geo":null,"service_tier":null,"speed":null}}}`},
		{"content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`},
		{"content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"t"}}`},
		{"content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}`},
		{"content_block_stop", `{"type":"content_block_stop","index":0}`},
		{"content_block_start", `{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}`},
		{"content_block_delta", `{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"a\n"}}`},
		{"content_block_delta", `{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"b"}}`},
		{"content_block_stop", `{"type":"content_block_stop","index":1}`},
		{"content_block_start", `{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"c_1","name":"f","input":{}}}`},
		{"content_block_delta", `{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}`},
		{"content_block_stop", `{"type":"content_block_stop","index":2}`},
		{"content_block_start", `{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"c2","name":"g","input":{}}}`},
		{"content_block_delta", `{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"1}"}}`},
		{"content_block_stop", `{"type":"content_block_stop","index":3}`},
		{"message_delta", `{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_details":null,"stop_sequence":null,"container":null},"usage":{"input_tokens":4,"cache_creation_input_tokens":0,"cache_read_input_tokens":16,"output_tokens":12,"output_tokens_details":null,"server_tool_use":null}}`},
		{"ping", `{"type":"ping"}`},
		{"message_stop", `{"type":"message_stop"}`},
	}
	if diff := cmp.Diff(want, events(out), cmp.AllowUnexported(event{})); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	f := &fault.Error{Kind: fault.Stalled, Words: "silence"}
	wantFail := "event: error\ndata: " + `{"type":"error","error":{"type":"timeout_error","message":"silence"},"request_id":"req_1"}` + "\n\n"
	if got := string(w.Fail(nil, f, "req_1")); got != wantFail {
		t.Errorf("got %q, want %q", got, wantFail)
	}
}

const ordinary = `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" canal\n"}}`

// TestReadCostsNothing: an ordinary event allocates nothing.
func TestReadCostsNothing(t *testing.T) {
	var r Reader
	var d scan.Doc
	name, data := []byte("content_block_delta"), []byte(ordinary)
	if _, err := read(&r, &d, events(corpus(t, "streams")["text.sse"])[0]); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := r.Read(name, data, &d); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func BenchmarkRead(b *testing.B) {
	var r Reader
	var d scan.Doc
	if _, err := read(&r, &d, events(corpus(b, "streams")["text.sse"])[0]); err != nil {
		b.Fatal(err)
	}
	name, data := []byte("content_block_delta"), []byte(ordinary)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Read(name, data, &d); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, stream := range corpus(f, "streams") {
		f.Add(stream)
	}
	f.Add([]byte("event: error\ndata: {}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":-1}}\n\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		var r Reader
		var d scan.Doc
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
			if out := scan.Splice(nil, []byte(e.data), r.Edits(nil)); !json.Valid(out) {
				t.Fatalf("%q: the edits make it %q", e.data, out)
			}
			deltas = r.Deltas(deltas)
		}
		whole := r.End() == nil
		if whole != (finishes > 0) {
			t.Fatalf("%d finishes: whole is %v", finishes, whole)
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
		if r.Model == "" || r.N != 1 || r.MaxTokens < 0 || r.Input < 1 {
			t.Fatalf("%s: got %+v", body, r)
		}
		out := scan.Splice(nil, body, Edits(nil, &d, "upstream"))
		var again scan.Doc
		var sent inference.Request
		if err := again.Scan(out, Shape()); err != nil {
			t.Fatalf("%s became %s: %v", body, out, err)
		}
		if err := ReadRequest(&again, &sent); err != nil || sent.Model != "upstream" {
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
