package responses

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

var update = flag.Bool("update", false, "rewrite testdata/golden.sse")

type event struct{ name, data string }

// events splits a stream as it is in testdata.
func events(stream string) []event {
	var all []event
	for block := range strings.SplitSeq(stream, "\n\n") {
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

func file(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// said is what a stream says in the end: its blocks, joined.
type said struct {
	Thought, Text, Refusal, Signature string
	Tools                             []inference.Part
	Finish                            inference.Finish
	Usage                             inference.Usage
}

func join(deltas []inference.Delta) said {
	var s said
	tools := map[int]int{}
	for _, d := range deltas {
		switch d.Kind {
		case inference.ThoughtDelta:
			s.Thought += d.Text
		case inference.TextDelta:
			s.Text += d.Text
		case inference.RefusalDelta:
			s.Refusal += d.Text
		case inference.Signed:
			s.Signature += d.Text
		case inference.ToolBegin:
			tools[d.Index] = len(s.Tools)
			s.Tools = append(s.Tools, inference.Part{ID: d.ID, Name: d.Name})
		case inference.ToolDelta:
			s.Tools[tools[d.Index]].Data += d.Text
		case inference.End:
			s.Finish, s.Usage = d.Finish, d.Usage
		}
	}
	return s
}

// hear reads a stream to its end: what it says as events and as steps.
func hear(stream string) (inference.Event, []inference.Delta, error) {
	var r Reader
	var d scan.Doc
	var all inference.Event
	var deltas []inference.Delta
	r.Reset(1)
	for _, e := range events(stream) {
		told, err := r.Read([]byte(e.name), []byte(e.data), &d)
		if err != nil {
			return all, deltas, err
		}
		all.Content = all.Content || told.Content
		all.Text += told.Text
		all.Finishes += told.Finishes
		all.Terminal = told.Terminal
		if told.Finishes > 0 {
			all.Finish, all.Usage = told.Finish, told.Usage
		}
		deltas = r.Deltas(deltas)
	}
	return all, deltas, r.End()
}

func kind(err error) fault.Kind {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Kind
	}
	return fault.None
}

func TestReader(t *testing.T) {
	short := inference.Usage{Input: 37, Output: 11, Known: true}
	for name, want := range map[string]said{
		"text.sse": {Text: "Hi there! How can I assist you today?", Finish: inference.Stop, Usage: short},
		"tools.sse": {
			Thought: "**Checking** the weather", Finish: inference.ToolCalls,
			Tools: []inference.Part{
				{ID: "call_a", Name: "get_weather", Data: `{"location":"Boston, MA"}`},
				{ID: "call_b", Name: "apply_patch", Data: `{"input":"*** Begin Patch\n+\"hi\"\n"}`},
			},
			Usage: inference.Usage{Input: 291, Output: 60, CacheRead: 128, Reasoning: 24, Known: true},
		},
		"hosted.sse":     {Text: "Sunny, see the page.", Finish: inference.Stop, Usage: short},
		"incomplete.sse": {Text: "Once upon", Finish: inference.Length, Usage: short},
		"lean.sse":       {Text: "All at once.", Finish: inference.ToolCalls, Tools: []inference.Part{{ID: "c1", Name: "f", Data: "{}"}}},
	} {
		all, deltas, err := hear(file(t, "streams/"+name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, join(deltas)); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
		if !all.Content || all.Finishes != 1 || !all.Terminal || all.Finish != want.Finish || all.Usage != want.Usage {
			t.Errorf("%s: told %+v", name, all)
		}
		if deltas[0].Kind != inference.Begin || deltas[len(deltas)-1].Kind != inference.End {
			t.Errorf("%s: from %v to %v", name, deltas[0], deltas[len(deltas)-1])
		}
	}
}

// TestCuts cuts a stream behind each of its events: no part of it is a success.
func TestCuts(t *testing.T) {
	stream := file(t, "streams/tools.sse")
	blocks := strings.SplitAfter(stream, "\n\n")
	for n := range len(blocks) - 2 {
		if _, _, err := hear(strings.Join(blocks[:n], "")); kind(err) != fault.Interrupted {
			t.Errorf("after %d events: %v", n, err)
		}
	}
}

func TestReaderRefuses(t *testing.T) {
	const begun = `{"type":"response.created","response":{"id":"resp_1","status":"in_progress"}}`
	const word = `{"type":"response.output_text.delta","output_index":0,"delta":"hi"}`
	const whole = `{"type":"response.completed","response":{"id":"resp_1","status":"completed","output":[]}}`
	for name, tt := range map[string]struct {
		want   fault.Kind
		events []string
	}{
		"an error":                       {fault.UpstreamError, []string{begun, `{"type":"error","code":"server_error","message":"SECRET","param":null}`, whole}},
		"an error as the service has it": {fault.UpstreamCapacity, []string{begun, `{"type":"error","error":{"type":"rate_limit_error","code":"rate_limit_exceeded","message":"SECRET"}}`}},
		"failed":                         {fault.UpstreamError, []string{begun, word, `{"type":"response.failed","response":{"id":"resp_1","status":"failed","error":{"code":"server_error","message":"SECRET"}}}`}},
		"failed of the prompt":           {fault.UpstreamRejected, []string{begun, `{"type":"response.failed","response":{"id":"resp_1","status":"failed","error":{"code":"invalid_prompt","message":"SECRET"}}}`}},
		"failed of its length":           {fault.ContextTooLong, []string{begun, `{"type":"response.failed","response":{"id":"resp_1","status":"failed","error":{"code":"context_length_exceeded","message":"SECRET"}}}`}},
		"failed without an error":        {fault.UpstreamError, []string{begun, `{"type":"response.failed","response":{"id":"resp_1","status":"failed"}}`}},
		"cancelled":                      {fault.UpstreamError, []string{begun, `{"type":"response.cancelled","response":{"id":"resp_1","status":"cancelled"}}`}},
		"completed, but not":             {fault.Incomplete, []string{begun, word, `{"type":"response.completed","response":{"id":"resp_1","status":"in_progress"}}`}},
		"completed, but failed":          {fault.UpstreamError, []string{begun, word, `{"type":"response.completed","response":{"id":"resp_1","status":"failed"}}`}},
		"completed with an error":        {fault.UpstreamError, []string{begun, `{"type":"response.completed","response":{"id":"resp_1","status":"completed","error":{"code":"server_error"}}}`}},
		"completed without a response":   {fault.Malformed, []string{begun, `{"type":"response.completed"}`}},
		"of OpenAI's chat":               {fault.UpstreamError, []string{begun, `{"error":{"message":"SECRET","type":"server_error"}}`}},
		"[DONE]":                         {fault.Incomplete, []string{begun, word, `[DONE]`}},
		"another answer":                 {fault.Mismatch, []string{begun, strings.Replace(whole, "resp_1", "resp_2", 1)}},
		"content first":                  {fault.Malformed, []string{word}},
		"no JSON":                        {fault.Malformed, []string{begun, `{"type":`}},
		"no object":                      {fault.Malformed, []string{begun, `1`}},
		"no type":                        {fault.Malformed, []string{begun, `{"delta":"x"}`}},
		"two types":                      {fault.Malformed, []string{begun, `{"type":"error","type":"response.output_text.delta","delta":"x"}`}},
		"two statuses":                   {fault.Malformed, []string{begun, `{"type":"response.completed","response":{"status":"failed","status":"completed"}}`}},
		"after the end":                  {fault.Malformed, []string{begun, whole, word}},
	} {
		var stream strings.Builder
		for _, e := range tt.events {
			stream.WriteString("data: " + e + "\n\n")
		}
		_, _, err := hear(stream.String())
		if kind(err) != tt.want || strings.Contains(fault.Of(err).Words, "SECRET") {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	var r Reader
	var d scan.Doc
	if _, err := r.Read([]byte("response.completed"), []byte(word), &d); kind(err) != fault.Malformed {
		t.Errorf("a name that is not the type: %v", err)
	}
	if _, err := r.Read([]byte("error"), []byte("out of memory: SECRET"), &d); kind(err) != fault.UpstreamError {
		t.Errorf("an error that is no JSON: %v", err)
	}
}

// required are the members of each event beside type and sequence_number, from
// OpenAI's OpenAPI description 2.3.0.
var required = map[string]string{
	"response.created": "response", "response.in_progress": "response", "response.completed": "response",
	"response.incomplete": "response", "response.failed": "response", "error": "code message param",
	"response.output_item.added": "output_index item", "response.output_item.done": "output_index item",
	"response.content_part.added":            "item_id output_index content_index part",
	"response.content_part.done":             "item_id output_index content_index part",
	"response.output_text.delta":             "item_id output_index content_index delta logprobs",
	"response.output_text.done":              "item_id output_index content_index text logprobs",
	"response.refusal.delta":                 "item_id output_index content_index delta",
	"response.refusal.done":                  "item_id output_index content_index refusal",
	"response.reasoning_text.delta":          "item_id output_index content_index delta",
	"response.reasoning_text.done":           "item_id output_index content_index text",
	"response.reasoning_summary_part.added":  "item_id output_index summary_index part",
	"response.reasoning_summary_part.done":   "item_id output_index summary_index part",
	"response.reasoning_summary_text.delta":  "item_id output_index summary_index delta",
	"response.reasoning_summary_text.done":   "item_id output_index summary_index text",
	"response.function_call_arguments.delta": "item_id output_index delta",
	"response.function_call_arguments.done":  "item_id name output_index arguments",
	"response.custom_tool_call_input.delta":  "output_index item_id delta",
	"response.custom_tool_call_input.done":   "output_index item_id input",
}

// requiredOf are the members of objects, by their type.
var requiredOf = map[string]string{
	"response": "id object created_at error incomplete_details instructions model tools output parallel_tool_calls metadata tool_choice temperature top_p",
	"message":  "id type role content status", "function_call": "type call_id name arguments", "custom_tool_call": "type call_id name input",
	"reasoning": "type id summary", "output_text": "type text annotations logprobs", "refusal": "type refusal",
	"reasoning_text": "type text", "summary_text": "type text",
	"usage": "input_tokens input_tokens_details output_tokens output_tokens_details total_tokens",
}

type tester interface {
	Helper()
	Errorf(string, ...any)
	Fatalf(string, ...any)
}

func has(t tester, of string, o object, keys string) {
	t.Helper()
	for key := range strings.FieldsSeq(keys) {
		if _, ok := o[key]; !ok {
			t.Errorf("%s lacks %s: %v", of, key, o)
		}
	}
}

// checkObject checks a response object, an item or a part.
func checkObject(t tester, o object) {
	t.Helper()
	name, _ := o["type"].(string)
	if name == "" {
		name = o["object"].(string)
		if u, ok := o["usage"].(object); ok {
			has(t, "usage", u, requiredOf["usage"])
		}
	}
	keys, ok := requiredOf[name]
	if !ok {
		t.Errorf("an object of kind %q", name)
	}
	has(t, name, o, keys)
	for _, list := range []string{"output", "content", "summary"} {
		inner, _ := o[list].([]any)
		for _, i := range inner {
			checkObject(t, i.(object))
		}
	}
}

// checkStream checks what holds of every stream that is written: the grammar's
// bounds, numbers without a gap, required members, and that what the pieces say is
// what the whole says.
func checkStream(t tester, stream string) (last object) {
	t.Helper()
	if stream != "" && !strings.HasSuffix(stream, "\n\n") {
		t.Errorf("the last event has no blank line")
	}
	pieces, wholes := map[string]string{}, map[string]string{}
	done := map[int]any{}
	open := map[string]bool{}
	for n, e := range events(stream) {
		o := parsed(t, []byte(e.data)).(object)
		if e.name != o["type"] || o["sequence_number"] != float64(n) {
			t.Fatalf("event %d is named %s: %s", n, e.name, e.data)
		}
		keys, ok := required[e.name]
		if !ok {
			t.Errorf("an event of kind %s", e.name)
		}
		has(t, e.name, o, keys)
		for _, key := range []string{"response", "item", "part"} {
			if inner, ok := o[key].(object); ok {
				checkObject(t, inner)
			}
		}
		at := fmt.Sprint(o["item_id"], o["output_index"], o["content_index"], o["summary_index"])
		text := strings.TrimSuffix(strings.TrimSuffix(e.name, ".delta"), ".done")
		switch {
		case n == 0 && e.name != "response.created", n == 1 && e.name != "response.in_progress":
			t.Errorf("event %d is %s", n, e.name)
		case e.name == "response.output_item.added":
			open[fmt.Sprint(o["item"].(object)["id"])] = true
			if o["output_index"] != float64(len(open)-1) {
				t.Errorf("item %d has the index %v", len(open)-1, o["output_index"])
			}
		case e.name == "response.output_item.done":
			id := fmt.Sprint(o["item"].(object)["id"])
			if !open[id] {
				t.Errorf("%s ends, and has not begun or ended already", id)
			}
			open[id] = false
			done[int(o["output_index"].(float64))] = o["item"]
		case strings.HasSuffix(e.name, ".delta"):
			if !open[fmt.Sprint(o["item_id"])] {
				t.Errorf("a piece of an item that is not open: %s", e.data)
			}
			pieces[text+at] += o["delta"].(string)
		case strings.HasSuffix(e.name, ".done") && o["part"] == nil:
			for _, key := range []string{"text", "refusal", "arguments", "input"} {
				if s, ok := o[key].(string); ok {
					wholes[text+at] = s
				}
			}
		}
		last = o
	}
	if last["type"] == "response.failed" || last["type"] == "error" {
		return last
	}
	for at, whole := range wholes {
		if pieces[at] != whole {
			t.Errorf("%s: the pieces say %q, the whole %q", at, pieces[at], whole)
		}
	}
	if len(pieces) > len(wholes) {
		t.Errorf("%d texts, %d of them whole", len(pieces), len(wholes))
	}
	response, _ := last["response"].(object)
	var output []any
	for i := range len(done) {
		output = append(output, done[i])
	}
	got, _ := response["output"].([]any)
	if diff := cmp.Diff(output, slices.Clip(got)); diff != "" && len(output)+len(got) > 0 {
		t.Errorf("the items that ended are not those of the answer\n%s", diff)
	}
	return last
}

// steps draws an answer as an upstream of another dialect tells it.
func steps(t *rapid.T) []inference.Delta {
	text := rapid.StringMatching(`[ -~\n"é]{1,12}`)
	all := []inference.Delta{{Kind: inference.Begin, ID: "theirs", Model: "theirs"}}
	type tool struct{ block int }
	var tools []tool
	block := 0
	for range rapid.IntRange(0, 5).Draw(t, "blocks") {
		switch rapid.IntRange(0, 6).Draw(t, "kind") {
		case 6:
			all = append(all, inference.Delta{Kind: inference.Sealed, Index: block, Text: "ZGF0YQ=="})
		case 0, 1:
			for range rapid.IntRange(1, 3).Draw(t, "n") {
				all = append(all, inference.Delta{Kind: inference.TextDelta, Index: block, Text: text.Draw(t, "text")})
			}
		case 2:
			for range rapid.IntRange(0, 3).Draw(t, "n") {
				all = append(all, inference.Delta{Kind: inference.ThoughtDelta, Index: block, Text: text.Draw(t, "thought")})
			}
			if rapid.Bool().Draw(t, "signed") {
				all = append(all, inference.Delta{Kind: inference.Signed, Index: block, Text: "c2ln"})
			}
		case 3:
			all = append(all, inference.Delta{Kind: inference.RefusalDelta, Index: block, Text: text.Draw(t, "refusal")})
		default:
			name := rapid.SampledFrom([]string{"f", "apply_patch"}).Draw(t, "name")
			all = append(all, inference.Delta{Kind: inference.ToolBegin, Index: block, ID: fmt.Sprint("call_", block), Name: name})
			tools = append(tools, tool{block})
			if name == "apply_patch" {
				b, _ := json.Marshal(object{"input": text.Draw(t, "input")})
				all = append(all, inference.Delta{Kind: inference.ToolDelta, Index: block, Text: string(b)})
			}
		}
		// Fragments of parallel calls may come mixed.
		for _, o := range tools {
			if rapid.Bool().Draw(t, "fragment") && strings.Contains(fmt.Sprint(all), fmt.Sprint("call_", o.block, " f ")) {
				all = append(all, inference.Delta{Kind: inference.ToolDelta, Index: o.block, Text: text.Draw(t, "arguments")})
			}
		}
		block++
	}
	finish := rapid.SampledFrom([]inference.Finish{inference.Stop, inference.Length, inference.ContentFilter}).Draw(t, "finish")
	if len(tools) > 0 && finish == inference.Stop {
		finish = inference.ToolCalls
	}
	u := inference.Usage{}
	if rapid.Bool().Draw(t, "counted") {
		u = inference.Usage{Input: 10, Output: 5, CacheRead: 3, CacheWrite: 2, Reasoning: 1, Known: true}
	}
	return append(all, inference.Delta{Kind: inference.End, Finish: finish, Usage: u})
}

func write(w *Writer, deltas []inference.Delta) string {
	var out []byte
	for _, d := range deltas {
		out = w.Delta(out, d)
	}
	return string(w.End(out))
}

// TestAnyAnswer writes any answer and reads it again: it keeps to the grammar, and
// says what it was told.
func TestAnyAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		deltas := steps(t)
		w := &Writer{ID: "resp_1", Model: "m", Created: 7, Asked: Asked{Custom: []string{"apply_patch"}, Summary: rapid.Bool().Draw(t, "summary")}}
		stream := write(w, deltas)
		last := checkStream(t, stream)
		all, back, err := hear(stream)
		if err != nil {
			t.Fatalf("%v\n%s", err, stream)
		}
		want, got := join(deltas), join(back)
		want.Signature = "" // only its maker has a use for it
		for i := range want.Tools {
			if want.Tools[i].Name == "apply_patch" {
				want.Tools[i].Data, got.Tools[i].Data = string(input([]byte(want.Tools[i].Data))), string(input([]byte(got.Tools[i].Data)))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || all.Finish != want.Finish {
			t.Fatalf("-want +got\n%s\n%s", diff, stream)
		}
		// What is kept is what the terminal holds, and reads as an answer.
		if diff := cmp.Diff(last["response"], parsed(t, w.Whole())); diff != "" {
			t.Fatalf("kept is another answer\n%s", diff)
		}
		var d scan.Doc
		var e inference.Event
		if err := d.Scan(w.Whole(), nil); err != nil {
			t.Fatal(err)
		}
		if err := ReadAnswer(&d, &e); err != nil || e.Finish != want.Finish || e.Usage != want.Usage {
			t.Fatalf("%+v, %v", e, err)
		}
		// It can be told once more.
		again := string(Replay(nil, &d, -1))
		checkStream(t, again)
		_, back, err = hear(again)
		if got := join(back); err != nil || got.Text != want.Text || got.Thought != want.Thought || len(got.Tools) != len(want.Tools) || got.Finish != want.Finish {
			t.Fatalf("told once more: %+v, %v\n%s", got, err, again)
		}
		n := rapid.IntRange(0, len(events(again))).Draw(t, "after")
		if rest := events(string(Replay(nil, &d, n-1))); !slices.Equal(rest, events(again)[n:]) {
			t.Fatalf("after %d: %v", n-1, rest)
		}
	})
}

// TestAnyFailure breaks an answer off anywhere: the client is told by the event
// error, then by response.failed, and nothing looks like success.
func TestAnyFailure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		deltas := steps(t)
		deltas = deltas[:rapid.IntRange(0, len(deltas)-1).Draw(t, "cut")]
		f := rapid.SampledFrom([]*fault.Error{
			fault.New(fault.Interrupted, "cut"), fault.New(fault.Stalled, "stalled"),
			{Kind: fault.ContextTooLong, Words: "long", Param: "input"},
			fault.New(fault.UpstreamCapacity, "later"), fault.New(fault.Quota, "spent"), fault.New(fault.Draining, "away"),
		}).Draw(t, "fault")
		w := &Writer{ID: "resp_1", Model: "m", Asked: Ask(&scan.Doc{}, true)}
		var out []byte
		for _, d := range deltas {
			out = w.Delta(out, d)
		}
		out = w.Fail(out, f, "")
		last := checkStream(t, string(out))
		all := events(string(out))
		e := parsed(t, []byte(all[len(all)-2].data)).(object)
		inner := e["error"].(object)
		for _, o := range []object{e, inner} {
			if o["message"] != f.Words || o["code"] != f.HTTPCode(true) || (o["param"] == nil) != (f.Param == "") {
				t.Errorf("the error says %v", o)
			}
		}
		response := last["response"].(object)
		if last["type"] != "response.failed" || response["status"] != "failed" || response["error"].(object)["message"] != f.Words {
			t.Errorf("ends with %v", last)
		}
		if _, _, err := hear(string(out)); kind(err) == fault.None {
			t.Errorf("reads as whole: %s", out)
		}
	})
}

func TestFailedCodes(t *testing.T) {
	for kind, want := range map[fault.Kind]string{
		fault.ContextTooLong: "context_length_exceeded", fault.Quota: "insufficient_quota", fault.UpstreamCapacity: "rate_limit_exceeded",
		fault.RateLimited: "rate_limit_exceeded", fault.UpstreamRejected: "invalid_prompt", fault.Interrupted: "server_error", fault.Draining: "server_error",
	} {
		if got := reason(fault.New(kind, "x")); got != want {
			t.Errorf("%v: %s, want %s", kind, got, want)
		}
	}
}

// TestFollow: a stream that an upstream of this dialect began is ended with its id,
// and with the number that comes next.
func TestFollow(t *testing.T) {
	w := &Writer{ID: "resp_ours", Model: "m"}
	w.Follow("resp_theirs", 41)
	all := events(string(w.Fail(nil, fault.New(fault.Interrupted, "cut"), "")))
	if len(all) != 2 || !strings.Contains(all[0].data, `"sequence_number":42`) || !strings.Contains(all[1].data, `"sequence_number":43`) ||
		!strings.Contains(all[1].data, `"id":"resp_theirs"`) {
		t.Errorf("%v", all)
	}
}

// TestGolden shows one stream as a whole.
func TestGolden(t *testing.T) {
	var d scan.Doc
	if err := d.Scan([]byte(file(t, "requests/codex.json")), Shape()); err != nil {
		t.Fatal(err)
	}
	q := Ask(&d, false)
	q.Members = []byte(`"instructions":null,"tools":[],"parallel_tool_calls":true,"metadata":{},"tool_choice":"auto","temperature":null,"top_p":null`)
	w := &Writer{ID: "resp_req_1", Model: "assistant", Created: 1741290958, Asked: q}
	got := write(w, []inference.Delta{
		{Kind: inference.Begin, ID: "chatcmpl-1", Model: "theirs"},
		{Kind: inference.ThoughtDelta, Index: 0, Text: "Two "},
		{Kind: inference.ThoughtDelta, Index: 0, Text: "steps."},
		{Kind: inference.Signed, Index: 0, Text: "c2lnbmF0dXJl"},
		{Kind: inference.TextDelta, Index: 1, Text: "I run it"},
		{Kind: inference.TextDelta, Index: 1, Text: ", then mend it.\n"},
		{Kind: inference.ToolBegin, Index: 2, ID: "call_1", Name: "exec_command"},
		{Kind: inference.ToolDelta, Index: 2, Text: `{"cmd":`},
		{Kind: inference.ToolBegin, Index: 3, ID: "call_2", Name: "apply_patch"},
		{Kind: inference.ToolDelta, Index: 3, Text: `{"input":"*** Begin`},
		{Kind: inference.ToolDelta, Index: 2, Text: `"ls"}`},
		{Kind: inference.ToolDelta, Index: 3, Text: ` Patch\n"}`},
		{Kind: inference.RefusalDelta, Index: 4, Text: "No more."},
		{Kind: inference.End, Finish: inference.ToolCalls, Usage: inference.Usage{Input: 100, Output: 20, CacheRead: 64, Reasoning: 5, Known: true}},
	})
	checkStream(t, got)
	if *update {
		if err := os.WriteFile("testdata/golden.sse", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(file(t, "golden.sse"), got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func FuzzReader(f *testing.F) {
	names, err := filepath.Glob("testdata/streams/*.sse")
	if err != nil || len(names) == 0 {
		f.Fatal(names, err)
	}
	for _, name := range names {
		f.Add(file(f, strings.TrimPrefix(name, "testdata/")))
	}
	f.Add("event: error\ndata: {\"type\":\"error\"}\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		all, deltas, err := hear(stream)
		if err == nil && (all.Finishes != 1 || len(deltas) == 0 || deltas[len(deltas)-1].Kind != inference.End) {
			t.Errorf("whole without an end: %+v", all)
		}
		if err != nil && kind(err) == fault.None {
			t.Errorf("an error of another kind: %v", err)
		}
		w := &Writer{ID: "resp_1", Model: "m"}
		if err == nil {
			checkStream(t, write(w, deltas))
		}
	})
}
