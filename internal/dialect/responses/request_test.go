package responses

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

func scanned(t testing.TB, body string) *scan.Doc {
	t.Helper()
	d := &scan.Doc{}
	if err := d.Scan([]byte(body), Shape()); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return d
}

func requests(t testing.TB) map[string]string {
	t.Helper()
	names, err := filepath.Glob("testdata/requests/*.json")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	all := map[string]string{}
	for _, name := range names {
		all[filepath.Base(name)] = file(t, "requests/"+filepath.Base(name))
	}
	return all
}

func TestReadRequest(t *testing.T) {
	for name, want := range map[string]inference.Request{
		"openai-python.json": {Model: "gpt-5.4", Input: 13, Apart: inference.Kept},
		"image.json":         {Model: "gpt-5.4", Input: 1005, Apart: inference.Kept | inference.Elsewhere, Needs: inference.AbilitiesOf(inference.Vision)},
		"file.json":          {Model: "gpt-5.4", Input: 3005, Apart: inference.Kept | inference.Elsewhere, Needs: inference.AbilitiesOf(inference.Documents)},
		"functions.json":     {Model: "gpt-5.4", Apart: inference.Kept, Tools: 1, Needs: inference.AbilitiesOf(inference.Tools)},
		"codex.json":         {Model: "gpt-5.4", Apart: inference.HostedUse, Tools: 4, Stream: true, WantUsage: true, NoStore: true, Effort: inference.MediumEffort, Needs: inference.AbilitiesOf(inference.Tools, inference.Reasoning)},
		"ai-sdk.json":        {Model: "gpt-5.4", Apart: inference.Kept, Tools: 1, Stream: true, WantUsage: true, Needs: inference.AbilitiesOf(inference.Tools)},
	} {
		body := requests(t)[name]
		got := inference.Request{ID: inference.ID{1}, Model: "old"}
		if err := ReadRequest(scanned(t, body), &got); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if (got.Session != 0) != (name == "codex.json") || got.Input == 0 {
			t.Errorf("%s: session %d, %d tokens", name, got.Session, got.Input)
		}
		want.ID, want.Dialect, want.N, want.Bytes, want.Session = inference.ID{1}, inference.Responses, 1, len(body), got.Session
		if want.Input == 0 {
			want.Input = got.Input
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}

func TestReadRequestRefuses(t *testing.T) {
	for body, param := range map[string]string{
		`[]`:                                 "",
		`{"input":"x"}`:                      "model",
		`{"model":1,"input":"x"}`:            "model",
		`{"model":"m"}`:                      "input",
		`{"model":"m","input":null}`:         "input",
		`{"model":"m","input":{}}`:           "input",
		`{"model":"m","input":["x"]}`:        "input[0]",
		`{"model":"m","input":[{}]}`:         "input[0].type",
		`{"model":"m","input":[{"type":1}]}`: "input[0].type",
		`{"model":"m","input":[{"role":"tool","content":"x"}]}`:                                  "input[0].role",
		`{"model":"m","input":[{"role":"user"}]}`:                                                "input[0].content",
		`{"model":"m","input":[{"role":"user","content":["x"]}]}`:                                "input[0].content",
		`{"model":"m","input":["a",{"role":"user","content":"x"}]}`:                              "input[0]",
		`{"model":"m","input":[{"type":"function_call","call_id":"c","name":"f"}]}`:              "input[0].arguments",
		`{"model":"m","input":[{"type":"function_call_output","call_id":1,"output":"x"}]}`:       "input[0].call_id",
		`{"model":"m","input":[{"type":"function_call_output","call_id":"c","output":{"a":1}}]}`: "input[0].output",
		`{"model":"m","input":[{"type":"item_reference"}]}`:                                      "input[0].id",
		`{"model":"m","input":"x","stream":"yes"}`:                                               "stream",
		`{"model":"m","input":"x","store":1}`:                                                    "store",
		`{"model":"m","input":"x","max_output_tokens":0}`:                                        "max_output_tokens",
		`{"model":"m","input":"x","tools":{}}`:                                                   "tools",
		`{"model":"m","input":"x","tools":[{"type":"function","function":{"name":"f"}}]}`:        "tools[0].name",
		`{"model":"m","input":"x","tool_choice":1}`:                                              "tool_choice",
		`{"model":"m","input":"x","text":"json"}`:                                                "text",
		`{"model":"m","input":"x","reasoning":"high"}`:                                           "reasoning",
		`{"model":"m","input":"x","include":[1]}`:                                                "include",
		`{"model":"m","input":"x","previous_response_id":1}`:                                     "previous_response_id",
		`{"model":"m","input":"x","background":true}`:                                            "background",
		`{"model":"m","input":"x","conversation":"conv_1"}`:                                      "conversation",
	} {
		var r inference.Request
		err := ReadRequest(scanned(t, body), &r)
		if err == nil || fault.Of(err).Param != param || r.Model != "" {
			t.Errorf("%s: %v, param %q", body, err, fault.Of(err).Param)
		}
	}
	for _, body := range []string{
		`{"model":"m","previous_response_id":"resp_1"}`, `{"model":"m","prompt":{"id":"p"}}`, `{"model":"m","input":[],"background":false,"conversation":null}`,
	} {
		var r inference.Request
		if err := ReadRequest(scanned(t, body), &r); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func edited(t testing.TB, body, model string) string {
	t.Helper()
	d := scanned(t, body)
	return string(scan.Splice(nil, d.Bytes(), Edits(nil, d, model)))
}

// TestEdits: nothing is kept at an upstream, reasoning comes along all the same, and
// all else leaves byte for byte.
func TestEdits(t *testing.T) {
	const seal = `{"type":"reasoning","encrypted_content":"headworks:signature:x"}`
	for body, want := range map[string]string{
		`{ "model":"a", "input":"caf\u00e9" ,"store":false }`:                                                                            `{ "model":"gpt-5.4", "input":"caf\u00e9" ,"store":false }`,
		`{"model":"gpt-5.4","input":"x"}`:                                                                                                `{"model":"gpt-5.4","input":"x","store":false,"include":["reasoning.encrypted_content"]}`,
		`{"model":"gpt-5.4","store":true,"input":"x","include":[]}`:                                                                      `{"model":"gpt-5.4","store":false,"input":"x","include":["reasoning.encrypted_content"]}`,
		`{"model":"gpt-5.4","store":null,"input":"x","include":["a"]}`:                                                                   `{"model":"gpt-5.4","store":false,"input":"x","include":["a","reasoning.encrypted_content"]}`,
		`{"include":null,"model":"gpt-5.4","input":"x"}`:                                                                                 `{"include":["reasoning.encrypted_content"],"model":"gpt-5.4","input":"x","store":false}`,
		`{"include":["reasoning.encrypted_content"],"model":"gpt-5.4","input":"x"}`:                                                      `{"include":["reasoning.encrypted_content"],"model":"gpt-5.4","input":"x","store":false}`,
		`{"model":"gpt-5.4","input":[` + seal + `, {"role":"user","content":"x"}],"store":false}`:                                        `{"model":"gpt-5.4","input":[{"role":"user","content":"x"}],"store":false}`,
		`{"model":"gpt-5.4","input":[{"role":"user","content":"x"}, ` + seal + ` ,` + seal + `, {"id":"y"},` + seal + `],"store":false}`: `{"model":"gpt-5.4","input":[{"role":"user","content":"x"}, {"id":"y"}],"store":false}`,
		`{"model":"gpt-5.4","input":[` + seal + `,{"type":"reasoning","id":"rs_1","summary":[]}],"store":false}`:                         `{"model":"gpt-5.4","input":[],"store":false}`,
		`{"model":"gpt-5.4","input":[{"type":"reasoning","summary":[],"encrypted_content":"gAAA"}],"store":false}`:                       `{"model":"gpt-5.4","input":[{"type":"reasoning","summary":[],"encrypted_content":"gAAA"}],"store":false}`,
	} {
		if got := edited(t, body, "gpt-5.4"); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", body, got, want)
		}
	}
	// Models that do not reason refuse to be asked for it.
	for model, asks := range map[string]bool{
		"gpt-4.1": false, "gpt-4o": false, "gpt-5-chat-latest": false, "ft:gpt-4.1:acme": false, "chatgpt-4o-latest": false,
		"gpt-5.4-mini": true, "o3": true, "o4-mini": true, "gpt-6": true, "omni": false, "": false,
	} {
		got := edited(t, `{"model":"m","input":"x"}`, model)
		if strings.Contains(got, encrypted) != asks {
			t.Errorf("%s: %s", model, got)
		}
		if got := edited(t, `{"model":"m","input":"x","reasoning":{"effort":"low"}}`, model); !strings.Contains(got, encrypted) {
			t.Errorf("%s is told how to reason, and is not asked for it: %s", model, got)
		}
	}
	body := requests(t)["codex.json"]
	if got := edited(t, body, "gpt-5.4"); got != body {
		t.Errorf("Codex's own words were changed: %s", got)
	}
}

func TestExpand(t *testing.T) {
	before := []byte(`{"a":1},{"b":2}`)
	referred := map[string][]byte{"msg_1": []byte(`{"kept":1}`)}
	for body, want := range map[string]string{
		`{"previous_response_id":"r","input":"caf\u00e9","z":1}`:                            `{"previous_response_id":null,"input":[{"a":1},{"b":2},{"type":"message","role":"user","content":[{"type":"input_text","text":"caf\u00e9"}]}],"z":1}`,
		`{"input":[],"previous_response_id":"r"}`:                                           `{"input":[{"a":1},{"b":2}],"previous_response_id":null}`,
		`{"input":[ {"c":3} ],"previous_response_id":"r"}`:                                  `{"input":[{"a":1},{"b":2}, {"c":3} ],"previous_response_id":null}`,
		`{"previous_response_id":"r"}`:                                                      `{"previous_response_id":null,"input":[{"a":1},{"b":2}]}`,
		`{"input":[{"id":"msg_1"},{"type":"item_reference","id":"msg_1"},{"role":"user"}]}`: `{"input":[{"a":1},{"b":2},{"kept":1},{"kept":1},{"role":"user"}]}`,
	} {
		d := scanned(t, body)
		if got := string(Expand(d, before, referred)); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", body, got, want)
		}
	}
	d := scanned(t, `{"input":[{"id":"msg_1"},{"role":"user"}]}`)
	if got := string(Expand(d, nil, referred)); got != `{"input":[{"kept":1},{"role":"user"}]}` {
		t.Errorf("got %s", got)
	}
	if got := string(Resolved(d, referred)); got != `{"kept":1},{"role":"user"}` || string(Items(scanned(t, `{"input":[ {"a":1} , 2 ]}`))) != `{"a":1} , 2` {
		t.Errorf("got %s", got)
	}
}

func TestList(t *testing.T) {
	const items = `{"role":"user","content":"a"},{"id":"msg_2","type":"message","role":"assistant","status":"incomplete","content":[{"type":"output_text","text":"b"}]},` +
		`{"type":"function_call_output","call_id":"c","output":"d"}`
	const first = `{"id":"msg_1_in0","type":"message","role":"user","content":[{"type":"input_text","text":"a"}],"status":"completed"}`
	const second = `{"id":"msg_2","type":"message","role":"assistant","status":"incomplete","content":[{"type":"output_text","text":"b"}]}`
	const third = `{"id":"fco_1_in2","type":"function_call_output","call_id":"c","output":"d","status":"completed"}`
	list := func(data, from, to, more string) string {
		return `{"object":"list","data":[` + data + `],"first_id":"` + from + `","last_id":"` + to + `","has_more":` + more + `}`
	}
	for page, want := range map[Page]string{
		{Ascending: true, Limit: 20}:                    list(first+","+second+","+third, "msg_1_in0", "fco_1_in2", "false"),
		{Limit: 2}:                                      list(third+","+second, "fco_1_in2", "msg_2", "true"),
		{Limit: 2, After: "msg_2"}:                      list(first, "msg_1_in0", "msg_1_in0", "false"),
		{Ascending: true, Limit: 1, After: "msg_2"}:     list(third, "fco_1_in2", "fco_1_in2", "false"),
		{Ascending: true, Limit: 1, After: "fco_1_in2"}: list("", "", "", "false"),
	} {
		page.Response = "resp_1"
		if got, err := List([]byte(items), page); err != nil || string(got) != want {
			t.Errorf("%+v: %v\ngot  %s\nwant %s", page, err, got, want)
		}
	}
	if _, err := List([]byte(items), Page{Response: "resp_1", Limit: 1, After: "msg_9"}); err == nil || fault.Of(err).Param != "after" {
		t.Errorf("an item that is not there: %v", err)
	}
	if got, err := List(nil, Page{Limit: 20}); err != nil || string(got) != list("", "", "", "false") {
		t.Errorf("%s, %v", got, err)
	}
}

// TestDataURIs: those that cannot be read are told of by the name of their field.
func TestDataURIs(t *testing.T) {
	for part, param := range map[string]string{
		`{"type":"input_image","image_url":"data:image/png;base64,%zz"}`:       "content.image_url",
		`{"type":"input_file","file_data":"data:application/pdf;base64,a b!"}`: "content.file_data",
	} {
		_, _, err := Decode(scanned(t, `{"model":"m","input":[{"role":"user","content":[`+part+`]}]}`))
		if err == nil || fault.Of(err).Param != param {
			t.Errorf("%s: %v", part, err)
		}
	}
}

// TestForeignRequest: what another dialect asks is asked in this one's words, and what
// it has no word for is named.
func TestForeignRequest(t *testing.T) {
	c := &inference.Conversation{
		From: inference.Anthropic, System: []inference.Part{{Text: "Be brief."}, {Text: "Be kind.", Cache: "default"}},
		Messages: []inference.Message{
			{Parts: []inference.Part{{Text: "look"}, {Kind: inference.Image, Media: "image/png", Data: "AAAA"}}},
			{Role: inference.Assistant, Parts: []inference.Part{
				{Kind: inference.Thinking, Text: "hm", Signature: "c2ln"},
				{Text: "I look."},
				{Kind: inference.ToolUse, ID: "toolu_1", Name: "f", Data: `{"a":1}`},
				{Kind: inference.Foreign, Name: "server_tool_use", Data: "{}"},
			}},
			{Parts: []inference.Part{{Kind: inference.ToolResult, ID: "toolu_1", Failed: true, Parts: []inference.Part{{Text: "no"}}}, {Text: "and?"}}},
		},
		Tools:      []inference.Tool{{Name: "f"}, {Name: "g", Hosted: []byte(`{}`)}},
		ToolChoice: inference.ToolChoice{Mode: "tool", Name: "f"}, MaxTokens: 9, Stop: []string{"x"}, TopK: new(3), Thinking: 1024,
		Effort: "low", Schema: []byte(`{"type":"object"}`),
	}
	got, dropped := Encode(c, "gpt-5.4", true)
	const want = `{"model":"gpt-5.4","instructions":"Be brief.","input":[{"type":"message","role":"developer","content":"Be kind."},` +
		`{"type":"message","role":"user","content":[{"type":"input_text","text":"look"},{"type":"input_image","image_url":"data:image/png;base64,AAAA","detail":"auto"}]},` +
		`{"type":"message","role":"assistant","content":"I look."},` +
		`{"type":"function_call","call_id":"toolu_1","name":"f","arguments":"{\"a\":1}"},` +
		`{"type":"function_call_output","call_id":"toolu_1","output":"no"},{"type":"message","role":"user","content":"and?"}],` +
		`"tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{}},"strict":false}],"tool_choice":{"type":"function","name":"f"},` +
		`"max_output_tokens":9,"reasoning":{"effort":"low"},"text":{"format":{"type":"json_schema","name":"answer","schema":{"type":"object"}}},"stream":true,"store":false}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if diff := cmp.Diff([]string{"cache_control", "content.thinking", "content.is_error", "top_k", "stop", "thinking.budget_tokens"}, dropped); diff != "" {
		t.Errorf("dropped: -want +got\n%s", diff)
	}
	var r inference.Request
	if err := ReadRequest(scanned(t, string(got)), &r); err != nil || r.Tools != 1 || !r.Stream {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestSealedThoughts: what another maker signed goes to the caller and comes back.
func TestSealedThoughts(t *testing.T) {
	body := EncodeAnswer(&inference.Answer{ID: "resp_1", Model: "m", Finish: inference.Stop, Parts: []inference.Part{
		{Kind: inference.Thinking, Text: "hm  \n", Signature: "c2ln+/="}, {Kind: inference.Redacted, Data: "ZGF0YQ=="}, {Text: "Yes."},
	}})
	var d scan.Doc
	if err := d.Scan(body, nil); err != nil {
		t.Fatal(err)
	}
	checkObject(t, parsed(t, body).(object))
	output := d.Root().Get("output").Raw()
	c, dropped, err := Decode(scanned(t, `{"model":"m","input":`+string(output)+`}`))
	if err != nil || len(dropped) > 0 || len(c.Messages) != 1 {
		t.Fatalf("%v, dropped %q, %+v", err, dropped, c)
	}
	p := c.Messages[0].Parts
	if len(p) != 3 || p[0].Text != "hm  \n" || p[0].Signature != "c2ln+/=" || p[1].Kind != inference.Redacted || p[1].Data != "ZGF0YQ==" || p[2].Text != "Yes." {
		t.Errorf("came back as %+v", p)
	}
	// A stream tells, and keeps, what a whole answer does.
	w := &Writer{ID: "resp_1", Model: "m"}
	stream := write(w, []inference.Delta{
		{Kind: inference.Begin},
		{Kind: inference.ThoughtDelta, Text: "hm  \n"},
		{Kind: inference.Signed, Text: "c2ln+/="},
		{Kind: inference.Sealed, Index: 1, Text: "ZGF0YQ=="},
		{Kind: inference.TextDelta, Index: 2, Text: "Yes."},
		{Kind: inference.End, Finish: inference.Stop},
	})
	checkStream(t, stream)
	if diff := cmp.Diff(parsed(t, output), parsed(t, w.Whole()).(object)["output"]); diff != "" {
		t.Errorf("a stream: -whole +stream\n%s\n%s", diff, stream)
	}
}

func FuzzDecode(f *testing.F) {
	for _, body := range requests(f) {
		f.Add([]byte(body))
	}
	f.Add([]byte(`{"model":"m","input":[{"id":"x"},{"type":"custom_tool_call","input":"a"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var d scan.Doc
		var r inference.Request
		if d.Scan(body, Shape()) != nil || ReadRequest(&d, &r) != nil {
			return
		}
		Ask(&d, true)
		if out := scan.Splice(nil, body, Edits(nil, &d, "gpt-5.4")); d.Scan(out, Shape()) != nil || ReadRequest(&d, &r) != nil {
			t.Fatalf("edits made %s", out)
		}
		c, _, err := Decode(&d)
		if err != nil {
			return
		}
		back, _ := Encode(c, "m", true)
		if err := d.Scan(back, nil); err != nil {
			t.Fatalf("%s: %v", back, err)
		}
	})
}
