package completions

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/dialect/openai"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

func request(t testing.TB, body string) (*scan.Doc, inference.Request, error) {
	t.Helper()
	var d scan.Doc
	if err := d.Scan([]byte(body), Shape()); err != nil {
		t.Fatal(err)
	}
	var r inference.Request
	err := ReadRequest(&d, &r)
	return &d, r, err
}

func TestReadRequest(t *testing.T) {
	for body, want := range map[string]inference.Request{
		`{"model":"m","prompt":"12345678"}`:                                                    {N: 1, Prompts: 1, Input: 2, Longest: 2},
		`{"model":"m","prompt":["12345678","1234"],"n":3,"max_tokens":9}`:                      {N: 6, Prompts: 2, Input: 3, Longest: 2, MaxTokens: 9},
		`{"model":"m","prompt":[1,2,3]}`:                                                       {N: 1, Prompts: 1, Input: 3, Longest: 3},
		`{"model":"m","prompt":[[1,2,3],[4]],"echo":true,"max_tokens":0}`:                      {N: 2, Prompts: 2, Input: 4, Longest: 3},
		`{"model":"m","prompt":"","stream":true,"stream_options":{"include_usage":true}}`:      {N: 1, Prompts: 1, Input: 1, Longest: 1, Stream: true, WantUsage: true},
		`{"model":"m","prompt":"a","stream_options":{"include_usage":true},"logprobs":0}`:      {N: 1, Prompts: 1, Input: 1, Longest: 1, Detailed: true},
		`{"model":"m","prompt_embeds":"AAAA","stop":["a"],"best_of":2,"suffix":null,"n":null}`: {N: 1, Prompts: 1, Input: 1},
	} {
		_, got, err := request(t, body)
		want.Model, want.Dialect, want.Bytes = "m", inference.Completions, len(body)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", body, err, diff)
		}
	}
	for body, param := range map[string]string{
		`{"prompt":"a"}`:                                                         "model",
		`{"model":"m"}`:                                                          "prompt",
		`{"model":"m","prompt":null}`:                                            "prompt",
		`{"model":"m","prompt":[]}`:                                              "prompt",
		`{"model":"m","prompt":[[]]}`:                                            "prompt",
		`{"model":"m","prompt":["a",1]}`:                                         "prompt",
		`{"model":"m","prompt":[1.5]}`:                                           "prompt",
		`{"model":"m","prompt":[[1],"a"]}`:                                       "prompt",
		`{"model":"m","prompt":[-1]}`:                                            "prompt",
		`{"model":"m","prompt":{"a":1}}`:                                         "prompt",
		`{"model":"m","prompt":"a","n":0}`:                                       "n",
		`{"model":"m","prompt":"a","echo":1}`:                                    "echo",
		`{"model":"m","prompt":"a","suffix":1}`:                                  "suffix",
		`{"model":"m","prompt":"a","logprobs":true}`:                             "logprobs",
		`{"model":"m","prompt":"a","max_tokens":-1}`:                             "max_tokens",
		`{"model":"m","prompt":"a","stop":[1]}`:                                  "stop",
		`{"model":"m","prompt":"a","stream":"yes"}`:                              "stream",
		`{"model":"m","prompt":[` + strings.Repeat(`"",`, 1000) + `""],"n":128}`: "prompt",
	} {
		_, _, err := request(t, body)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.InvalidRequest || f.Param != param {
			t.Errorf("%.60s: got %v, want param %s", body, err, param)
		}
	}
}

// What an upstream that only chats can do without is named, and the rest of a prompt
// of one text arrives.
func TestDecode(t *testing.T) {
	for _, prompt := range []string{`"say caf\u00e9"`, `["say café"]`} {
		d, _, err := request(t, `{"model":"m","prompt":`+prompt+`,"max_tokens":7,"temperature":0.5,"top_p":0.9,"n":2,"logprobs":0,"best_of":3,
			"stop":"END","presence_penalty":1,"frequency_penalty":2,"seed":4,"user":"u","logit_bias":{"5":1},"min_p":0.1,"echo":false,"suffix":""}`)
		if err != nil {
			t.Fatal(err)
		}
		c, dropped, err := Decode(d)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(dropped)
		if want := []string{"best_of", "logit_bias", "min_p"}; !slices.Equal(dropped, want) {
			t.Errorf("dropped %q, want %q", dropped, want)
		}
		body, more := openai.EncodeCompatible(c, "served", true)
		slices.Sort(more)
		if want := []string{"logprobs", "n"}; !slices.Equal(more, want) {
			t.Errorf("the other dialect drops %q, want %q", more, want)
		}
		var got, want any
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		_ = json.Unmarshal([]byte(`{"model":"served","messages":[{"role":"user","content":"say café"}],"max_tokens":7,"temperature":0.5,"top_p":0.9,
			"stop":["END"],"presence_penalty":1,"frequency_penalty":2,"seed":4,"user":"u","stream":true,"stream_options":{"include_usage":true}}`), &want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("sent (-want +got)\n%s", diff)
		}
	}
	for body, param := range map[string]string{
		`"prompt":["a","b"]`:              "prompt",
		`"prompt":[1,2]`:                  "prompt",
		`"prompt":[[1]]`:                  "prompt",
		`"prompt":"a","suffix":"b"`:       "suffix",
		`"prompt":"a","echo":true`:        "echo",
		`"prompt":"a","max_tokens":0`:     "max_tokens",
		`"prompt_embeds":"AAAA"`:          "prompt_embeds",
		`"prompt":"a","prompt_embeds":""`: "prompt_embeds",
	} {
		d, _, err := request(t, `{"model":"m",`+body+`}`)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = Decode(d)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Unsupported || f.Param != param {
			t.Errorf("%s: got %v, want param %s", body, err, param)
		}
	}
}

func TestReadAnswer(t *testing.T) {
	known := inference.Usage{Input: 5, Output: 7, Known: true}
	const usage = `,"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}`
	for body, want := range map[string]inference.Event{
		`{"object":"text_completion","choices":[{"text":"abc","index":0,"logprobs":null,"finish_reason":"length"}]` + usage: {
			Content: true, Text: 3, Finishes: 1, Finish: inference.Length, Usage: known, Terminal: true,
		},
		`{"choices":[{"text":"a","finish_reason":"stop"},{"text":"","finish_reason":"stop"}]` + usage: {
			Content: true, Text: 1, Finishes: 2, Finish: inference.Stop, Usage: known, Terminal: true,
		},
		`{"choices":[{"text":"a"}],"error":null}`: {Content: true, Text: 1, Finishes: 1, Finish: inference.Stop, Terminal: true},
	} {
		var d scan.Doc
		if err := d.ScanLax([]byte(body)); err != nil {
			t.Fatal(err)
		}
		var got inference.Event
		err := ReadAnswer(&d, &got)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", body, err, diff)
		}
	}
	for body, want := range map[string]fault.Kind{
		`[{"choices":[]}]`: fault.Malformed, // llama.cpp, asked for several prompts
		`{}`:               fault.Malformed,
		`{"choices":[]}`:   fault.Malformed,
		`{"choices":[{"message":{"content":"a"}}]}`:                       fault.Malformed,
		`{"choices":[{"text":null,"finish_reason":"stop"}]}`:              fault.Malformed,
		`{"choices":[{"text":"a","finish_reason":null}]}`:                 fault.Incomplete,
		`{"choices":[{"text":"a"}],"choices":[{"text":"b"}]}`:             fault.Malformed,
		`{"choices":[{"text":"a"}],"error":{"message":"x"}}`:              fault.UpstreamError,
		`{"object":"error","message":"x","code":400,"type":"BadRequest"}`: fault.UpstreamRejected,
	} {
		var d scan.Doc
		if err := d.ScanLax([]byte(body)); err != nil {
			t.Fatal(err)
		}
		var e inference.Event
		if err := ReadAnswer(&d, &e); fault.Of(err).Kind != want || err == nil {
			t.Errorf("%s: got %v, want %v", body, err, want)
		}
	}
}

func chunk(index, text, finish string) string {
	return `{"id":"cmpl-1","object":"text_completion","created":1,"model":"m","choices":[{"index":` + index + `,"text":"` + text + `","logprobs":null,"finish_reason":` + finish + `}]}`
}

func TestReader(t *testing.T) {
	a, end, done := chunk("0", "a", "null"), chunk("0", "", `"stop"`), "[DONE]"
	usage := `{"id":"cmpl-1","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}`
	for name, tt := range map[string]struct {
		n      int
		events []string
		want   fault.Kind // None: whole
	}{
		"whole":                 {1, []string{a, end, usage, done}, fault.None},
		"finish alone":          {1, []string{a, end}, fault.None},
		"finish with the text":  {1, []string{chunk("0", "a", `"length"`), done}, fault.None},
		"nothing said":          {1, []string{end, done}, fault.None},
		"cut":                   {1, []string{a}, fault.Interrupted},
		"nothing":               {1, nil, fault.Interrupted},
		"no finish":             {1, []string{a, done}, fault.Incomplete},
		"one of two":            {2, []string{a, end, done}, fault.Incomplete},
		"two of two":            {2, []string{chunk("1", "b", `"stop"`), a, end, done}, fault.None},
		"many prompts":          {200, []string{a, chunk("199", "b", `"stop"`), done}, fault.Incomplete},
		"a choice too many":     {2, []string{chunk("2", "b", `"stop"`)}, fault.Mismatch},
		"a negative choice":     {2, []string{chunk("-1", "b", `"stop"`)}, fault.Mismatch},
		"content after finish":  {1, []string{end, a}, fault.Malformed},
		"an error":              {1, []string{a, `{"error":{"message":"x","code":500}}`}, fault.UpstreamError},
		"an error after finish": {1, []string{a, end, `{"error":{"message":"x","code":429}}`}, fault.UpstreamCapacity},
		"an old error":          {1, []string{a, `{"object":"error","message":"x"}`}, fault.UpstreamError},
		"error null":            {1, []string{strings.Replace(a, "{", `{"error":null,`, 1), end}, fault.None},
		"another id":            {1, []string{a, strings.Replace(end, "cmpl-1", "cmpl-2", 1)}, fault.Mismatch},
		"another model":         {1, []string{a, strings.Replace(end, `"m"`, `"o"`, 1)}, fault.Mismatch},
		"not JSON":              {1, []string{a, `{"id":`}, fault.Malformed},
		"not an object":         {1, []string{"1"}, fault.Malformed},
		"no choices":            {1, []string{`{"object":"text_completion"}`}, fault.Malformed},
		"choices that are none": {1, []string{`{"choices":1}`}, fault.Malformed},
		"after the end":         {1, []string{end, done, a}, fault.Malformed},
		"Azure's empty frame":   {1, []string{`{"choices":[],"id":"","model":""}`, a, end}, fault.None},
	} {
		var r Reader
		var d scan.Doc
		r.Reset(tt.n)
		var err error
		for _, e := range tt.events {
			if _, err = r.Read(nil, []byte(e), &d); err != nil {
				break
			}
		}
		if err == nil {
			err = r.End()
		}
		if (err != nil || tt.want != fault.None) && (err == nil || fault.Of(err).Kind != tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}

func TestReaderTells(t *testing.T) {
	var r Reader
	var d scan.Doc
	for _, tt := range []struct {
		data string
		want inference.Event
	}{
		{chunk("0", "", "null"), inference.Event{}},
		{chunk("0", "abc", "null"), inference.Event{Content: true, Text: 3}},
		{chunk("0", "d", `"length"`), inference.Event{Content: true, Text: 1, Finishes: 1, Finish: inference.Length}},
		{`{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}`, inference.Event{Aside: true, Usage: inference.Usage{Input: 5, Output: 7, Known: true}}},
		{"[DONE]", inference.Event{Terminal: true}},
	} {
		got, err := r.Read(nil, []byte(tt.data), &d)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", tt.data, err, diff)
		}
	}
}

func TestEncodeAnswer(t *testing.T) {
	a := &inference.Answer{
		ID: "cmpl-1", Model: "m", Created: 9, Finish: inference.StopSequence, Usage: inference.Usage{Input: 1, Output: 2, Known: true},
		Parts: []inference.Part{{Kind: inference.Thinking, Text: "hm"}, {Kind: inference.Text, Text: `"a"`}, {Kind: inference.Text, Text: "\n"}},
	}
	body := EncodeAnswer(a)
	var d scan.Doc
	if err := d.Scan(body, nil); err != nil {
		t.Fatal(err)
	}
	var e inference.Event
	if err := ReadAnswer(&d, &e); err != nil || e.Finish != inference.Stop || e.Usage != a.Usage {
		t.Errorf("%v: %s reads as %+v", err, body, e)
	}
	if root := d.Root(); !root.Get("object").Is("text_completion") || !strings.Contains(string(body), `"text":"\"a\"\n"`) {
		t.Errorf("got %s", body)
	}
}

// What Writer writes, Reader reads as the same answer.
func TestWriter(t *testing.T) {
	w := &Writer{Writer: openai.Writer{ID: "cmpl-1", Model: "m", Created: 9, Usage: true}}
	usage := inference.Usage{Input: 5, Output: 7, Known: true}
	var out []byte
	for _, x := range []inference.Delta{
		{Kind: inference.Begin},
		{Kind: inference.ThoughtDelta, Text: "hm"},
		{Kind: inference.TextDelta, Text: "a\n"},
		{Kind: inference.RefusalDelta, Text: "b"},
		{Kind: inference.End, Finish: inference.ContentFilter, Usage: usage},
	} {
		out = w.Delta(out, x)
	}
	out = w.End(out)
	var r Reader
	var d scan.Doc
	told := inference.Event{}
	terminal := false
	for e := range strings.SplitSeq(strings.TrimSpace(string(out)), "\n\n") {
		ev, err := r.Read(nil, []byte(strings.TrimPrefix(e, "data: ")), &d)
		if err != nil {
			t.Fatalf("%v in %s", err, e)
		}
		told.Text += ev.Text
		if ev.Finishes > 0 {
			told.Finish = ev.Finish
		}
		if ev.Usage.Known {
			told.Usage = ev.Usage
		}
		terminal = terminal || ev.Terminal
	}
	if want := (inference.Event{Text: 4, Finish: inference.ContentFilter, Usage: usage}); told != want || !terminal { // "a\n" is written in three bytes
		t.Errorf("got %+v, terminal %v, want %+v", told, terminal, want)
	}
	if got := string(w.Fail(nil, fault.New(fault.Interrupted, "cut"), "")); !strings.Contains(got, "upstream_stream_interrupted") || strings.Contains(got, "[DONE]") {
		t.Errorf("got %s", got)
	}
}

func FuzzRequest(f *testing.F) {
	for _, body := range []string{
		`{"models":["x"],"model":"m","prompt":"a"}`, `{"model":"m","prompt":"a","n":2}`, `{"model":"m","prompt":[[1,2],[3]],"stream":true,"stream_options":{"include_usage":false}}`,
		`{"model":"m","prompt":["a"],"logprobs":1,"stop":["x"],"logit_bias":{"1":2}}`, `{"model":"m","prompt_embeds":"AA"}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var d scan.Doc
		var r inference.Request
		if d.Scan(body, Shape()) != nil || ReadRequest(&d, &r) != nil {
			return
		}
		if r.Model == "" || r.N < r.Prompts || r.Prompts < 1 || r.Longest > r.Input || r.Input < 1 {
			t.Fatalf("%s: got %+v", body, r)
		}
		out := scan.Splice(nil, body, openai.Edits(nil, &d, "upstream"))
		var again scan.Doc
		if err := again.Scan(out, Shape()); err != nil {
			t.Fatalf("%s became %s: %v", body, out, err)
		}
		var sent inference.Request
		if err := ReadRequest(&again, &sent); err != nil || sent.Model != "upstream" || sent.Models != nil || sent.N != r.N || sent.WantUsage != r.Stream {
			t.Fatalf("%s became %s: %+v, %v", body, out, sent, err)
		}
		if c, _, err := Decode(&d); err == nil {
			if encoded, _ := openai.Encode(c, "m", r.Stream); !json.Valid(encoded) || len(c.Messages) != 1 {
				t.Fatalf("%s encodes to %s", body, encoded)
			}
		}
	})
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(chunk("0", "a", "null")+"\n"+chunk("0", "", `"stop"`)+"\n[DONE]"), uint8(1))
	f.Add([]byte(chunk("1", "a", `"length"`)+"\n"+`{"choices":[],"usage":{"prompt_tokens":1}}`), uint8(200))
	f.Add([]byte(`{"error":{"code":429}}`), uint8(2))
	f.Fuzz(func(t *testing.T, stream []byte, n uint8) {
		var r Reader
		var d scan.Doc
		r.Reset(int(n))
		finishes := 0
		for line := range strings.SplitSeq(string(stream), "\n") {
			ev, err := r.Read(nil, []byte(line), &d)
			if err != nil {
				if f, ok := errors.AsType[*fault.Error](err); !ok || f == nil || f.Words == "" {
					t.Fatalf("%q: got %v, want a *fault.Error with words", line, err)
				}
				return
			}
			finishes += ev.Finishes
		}
		if whole := r.End() == nil; whole != (finishes == max(1, int(n))) {
			t.Fatalf("%d finishes of %d: whole is %v", finishes, n, whole)
		}
	})
}

// heard keeps what is rendered.
type heard struct{ strings.Builder }

func (h *heard) Write(p []byte)    { h.Builder.Write(p) }
func (h *heard) Weigh([]byte, int) {}

// TestRender: one text is foreseen, several are not.
func TestRender(t *testing.T) {
	for body, want := range map[string]string{
		`{"model":"m","prompt":"hello"}`:   `"hello"`,
		`{"model":"m","prompt":["a","b"]}`: "",
		`{"model":"m","prompt":[1,2]}`:     "",
	} {
		var d scan.Doc
		if err := d.Scan([]byte(body), Shape()); err != nil {
			t.Fatal(err)
		}
		var got heard
		Render(&d, &got)
		if got.String() != want {
			t.Errorf("%s renders %s, want %s", body, got.String(), want)
		}
	}
}
