package dialect_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/dialect/anthropic"
	"headworks/internal/dialect/converse"
	"headworks/internal/dialect/gemini"
	"headworks/internal/dialect/ollama"
	"headworks/internal/dialect/openai"
	"headworks/internal/dialect/openai/completions"
	"headworks/internal/dialect/responses"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// reader and writer are what the dialects have.
type reader interface {
	Reset(n int)
	Read(name, data []byte, d *scan.Doc) (inference.Event, error)
	Deltas(dst []inference.Delta) []inference.Delta
	End() error
}

type writer interface {
	Delta(dst []byte, d inference.Delta) []byte
	End(dst []byte) []byte
}

// steps reads a stream to its end.
func steps(t *testing.T, r reader, stream []byte) []inference.Delta {
	t.Helper()
	r.Reset(1)
	var d scan.Doc
	var all []inference.Delta
	for block := range strings.SplitSeq(string(stream), "\n\n") {
		var name, data string
		for line := range strings.SplitSeq(block, "\n") {
			if v, ok := strings.CutPrefix(line, "event: "); ok {
				name = v
			}
			if v, ok := strings.CutPrefix(line, "data: "); ok {
				data = v
			}
		}
		if data == "" {
			continue
		}
		if _, err := r.Read([]byte(name), []byte(data), &d); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		all = r.Deltas(all)
	}
	if err := r.End(); err != nil {
		t.Fatal(err)
	}
	return r.Deltas(all)
}

// said is what a stream says in the end: its blocks, joined.
type said struct {
	Thought, Text, Refusal string
	Tools                  []inference.Part
	Finish                 inference.Finish
	Usage                  inference.Usage
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

func files(t *testing.T, pattern string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: no files, %v", pattern, err)
	}
	all := make(map[string][]byte)
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = b
	}
	return all
}

// tongue is a dialect of chats, in both directions.
type tongue struct {
	folder string
	shape  *scan.Shape
	decode func(*scan.Doc) (*inference.Conversation, []string, error)
	encode func(*inference.Conversation, string, bool) ([]byte, []string)
	read   func(*scan.Doc, *inference.Request) error
	reader func() reader
	writer func() writer
}

var tongues = []tongue{
	{
		"openai", openai.Shape(), openai.Decode, openai.Encode, openai.ReadRequest,
		func() reader { return &openai.Reader{} }, func() writer { return &openai.Writer{Usage: true} },
	},
	{
		"anthropic", anthropic.Shape(), anthropic.Decode, anthropic.Encode, anthropic.ReadRequest,
		func() reader { return &anthropic.Reader{} }, func() writer { return &anthropic.Writer{} },
	},
	{
		"responses", responses.Shape(), responses.Decode, responses.Encode, responses.ReadRequest,
		func() reader { return &responses.Reader{} }, func() writer { return &responses.Writer{} },
	},
	{
		"gemini", gemini.Shape(), gemini.Decode, gemini.Encode, readStream,
		func() reader { return &gemini.Reader{} }, func() writer { return &gemini.Writer{} },
	},
}

// readStream reads a request of Gemini's, where the path asks for a stream.
func readStream(d *scan.Doc, r *inference.Request) error {
	err := gemini.ReadRequest(d, r)
	r.Stream, r.WantUsage = true, true
	return err
}

// cross calls f with every recorded file and each other dialect.
func cross(t *testing.T, pattern string, f func(name string, content []byte, from, to *tongue)) {
	t.Helper()
	for i := range tongues {
		from := &tongues[i]
		for name, content := range files(t, from.folder+"/testdata/"+pattern) {
			for j := range tongues {
				if i != j {
					f(name+" as "+tongues[j].folder, content, from, &tongues[j])
				}
			}
		}
	}
}

// TestStreamsCross sends every recorded stream through each other dialect and
// reads it there: nothing that both can say is lost.
func TestStreamsCross(t *testing.T) {
	cross(t, "streams/*.sse", func(name string, stream []byte, from, to *tongue) {
		if strings.Contains(name, "n2") {
			return // one choice crosses
		}
		before := steps(t, from.reader(), stream)
		var out []byte
		w := to.writer()
		for _, d := range before {
			out = w.Delta(out, d)
		}
		out = w.End(out)
		got, want := join(steps(t, to.reader(), out)), join(before)
		if want.Finish == inference.StopSequence {
			want.Finish = inference.Stop // the same word in the other dialect
		}
		if to.folder == "gemini" {
			want.Usage.CacheWrite = 0 // has no field there
			want.Text, want.Refusal = want.Text+want.Refusal, ""
		}
		if !want.Usage.Known {
			got.Usage = want.Usage // Anthropic's always has numbers
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s\n%s", name, diff, out)
		}
	})
}

// TestRequestsCross encodes every recorded request in each other dialect, which
// must accept it, and names what was lost.
func TestRequestsCross(t *testing.T) {
	cross(t, "requests/*.json", func(name string, body []byte, from, to *tongue) {
		var d scan.Doc
		if err := d.Scan(body, from.shape); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c, _, err := from.decode(&d)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		own := 0
		for _, tool := range c.Tools {
			if tool.Hosted == nil {
				own++
			}
		}
		out, _ := to.encode(c, "m", true)
		if !json.Valid(out) {
			t.Fatalf("%s: not JSON: %s", name, out)
		}
		var r inference.Request
		if err := d.Scan(out, to.shape); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		} else if err := to.read(&d, &r); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		} else if !r.Stream || !r.WantUsage || r.Tools != own {
			t.Errorf("%s: got %+v\n%s", name, r, out)
		}
	})
}

// TestCodexCrosses shows one hop as a whole: a turn of Codex for an engine that
// speaks chat completions.
func TestCodexCrosses(t *testing.T) {
	const file = "responses/testdata/requests/codex.json"
	var d scan.Doc
	if err := d.Scan(files(t, file)[file], responses.Shape()); err != nil {
		t.Fatal(err)
	}
	c, lost, err := responses.Decode(&d)
	if err != nil {
		t.Fatal(err)
	}
	out, more := openai.EncodeCompatible(c, "qwen3-32b", true)
	const want = `{"model":"qwen3-32b","messages":[{"role":"system","content":[{"type":"text","text":"You are Codex, based on GPT-5."},{"type":"text","text":"<permissions instructions>read-only</permissions instructions>"}]},` +
		`{"role":"user","content":"<environment_context>\n  <cwd>/repo</cwd>\n</environment_context>"},{"role":"user","content":"fix the test"},` +
		`{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"exec_command","arguments":"{\"cmd\":\"go test ./...\"}"}}]},` +
		`{"role":"tool","tool_call_id":"call_1","content":"Exit code: 1\nOutput:\nFAIL"},` +
		`{"role":"assistant","content":null,"tool_calls":[{"id":"call_2","type":"function","function":{"name":"apply_patch","arguments":"{\"input\":\"*** Begin Patch\\n*** End Patch\"}"}}]},` +
		`{"role":"tool","tool_call_id":"call_2","content":"Success"},{"role":"assistant","content":"Done so far."}],` +
		`"tools":[{"type":"function","function":{"name":"exec_command","description":"Runs a command","parameters":{"type":"object","properties":{"cmd":{"type":"string"}},"required":["cmd"],"additionalProperties":false},"strict":false}},` +
		`{"type":"function","function":{"name":"apply_patch","description":"Use the apply_patch tool to edit files","parameters":{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}}}],` +
		`"tool_choice":"auto","parallel_tool_calls":true,"reasoning_effort":"medium","stream":true,"stream_options":{"include_usage":true}}`
	if string(out) != want {
		t.Errorf("got  %s\nwant %s", out, want)
	}
	if diff := cmp.Diff([]string{"text.verbosity", "input.reasoning", "input.local_shell_call", "input.local_shell_call_output", "tools.local_shell", "tools.format", "tools.web_search"}, append(lost, more...)); diff != "" {
		t.Errorf("dropped: -want +got\n%s", diff)
	}
}

// TestClaudeCodeCrosses shows one hop as a whole: a turn of Claude Code for an
// engine that speaks chat completions.
func TestClaudeCodeCrosses(t *testing.T) {
	body := files(t, "anthropic/testdata/requests/claude-code-turn.json")["anthropic/testdata/requests/claude-code-turn.json"]
	var d scan.Doc
	if err := d.Scan(body, anthropic.Shape()); err != nil {
		t.Fatal(err)
	}
	c, lost, err := anthropic.Decode(&d)
	if err != nil {
		t.Fatal(err)
	}
	out, more := openai.EncodeCompatible(c, "qwen3-32b", true)
	const want = `{"model":"qwen3-32b","messages":[{"role":"system","content":"You are Claude Code."},{"role":"user","content":"read main.go"},` +
		`{"role":"assistant","content":"Reading.","tool_calls":[{"id":"toolu_01A","type":"function","function":{"name":"Read","arguments":"{\"file_path\":\"/src/main.go\"}"}},` +
		`{"id":"toolu_01B","type":"function","function":{"name":"Bash","arguments":"{\"command\":\"ls -la \\\"x y\\\"\"}"}}]},` +
		`{"role":"tool","tool_call_id":"toolu_01A","content":"     1\tpackage main"},{"role":"tool","tool_call_id":"toolu_01B","content":"<error>no such file</error>"},` +
		`{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="}}]}],` +
		`"tools":[{"type":"function","function":{"name":"Read","parameters":{"type":"object"}}},{"type":"function","function":{"name":"Bash","parameters":{"type":"object"}}}],` +
		`"max_tokens":32000,"stream":true,"stream_options":{"include_usage":true}}`
	if string(out) != want {
		t.Errorf("got  %s\nwant %s", out, want)
	}
	if own, _ := openai.Encode(c, "gpt-5", true); !bytes.Contains(own, []byte(`"max_completion_tokens":32000`)) {
		t.Errorf("OpenAI itself is told %s", own)
	}
	if diff := cmp.Diff([]string{"cache_control", "content.thinking", "content.redacted_thinking", "content.is_error"}, append(lost, more...)); diff != "" {
		t.Errorf("dropped: -want +got\n%s", diff)
	}
}

// TestHears: what a dialect is said to hear is what its writer gives out.
func TestHears(t *testing.T) {
	writers := map[inference.Dialect]func() writer{
		inference.OpenAI:         func() writer { return &openai.Writer{} },
		inference.Completions:    func() writer { return &completions.Writer{} },
		inference.Anthropic:      func() writer { return &anthropic.Writer{} },
		inference.Responses:      func() writer { return &responses.Writer{} },
		inference.Gemini:         func() writer { return &gemini.Writer{} },
		inference.Ollama:         func() writer { return &ollama.Writer{} },
		inference.OllamaGenerate: func() writer { return &ollama.Writer{Generate: true} },
	}
	for _, d := range inference.Dialects() {
		if d.Operation() != inference.Chat || d == inference.Converse {
			continue // no client has a stream of it
		}
		for k := inference.TextDelta; k < inference.End; k++ {
			w := writers[d]()
			w.Delta(nil, inference.Delta{Kind: inference.Begin})
			if k == inference.ToolDelta {
				w.Delta(nil, inference.Delta{Kind: inference.ToolBegin, ID: "c", Name: "f"})
			}
			out := w.Delta(nil, inference.Delta{Kind: k, ID: "c", Name: "f", Text: "{}"})
			if d.Hears(k) != (len(out) > 0) {
				t.Errorf("%v hears a step of kind %d: %v, and its client is told %q", d, k, d.Hears(k), out)
			}
		}
	}
}

// TestSignatureOfCall: OpenAI's clients see the signature of a call where Google's own
// servers of that dialect have it.
func TestSignatureOfCall(t *testing.T) {
	const file = "gemini/testdata/streams/tools.sse"
	w := &openai.Writer{}
	var out []byte
	for _, d := range steps(t, &gemini.Reader{}, files(t, file)[file]) {
		out = w.Delta(out, d)
	}
	const want = `"name":"get_current_temperature","arguments":""},"extra_content":{"google":{"thought_signature":"CiQBcsjafJ1Qv0Zr"}}}]}`
	if !bytes.Contains(out, []byte(want)) || bytes.Count(out, []byte("thought_signature")) != 1 || bytes.Contains(out, []byte("gemini:")) {
		t.Errorf("%s", out)
	}
}

// TestNoEmptyAnswers: an answer of the conversation that another dialect cannot say
// anything of is left out and named, and one that was empty is none to leave out.
func TestNoEmptyAnswers(t *testing.T) {
	turn := func(role inference.Role, parts ...inference.Part) inference.Message {
		return inference.Message{Role: role, Parts: parts}
	}
	text := func(s string) inference.Part { return inference.Part{Kind: inference.Text, Text: s} }
	encoders := map[inference.Dialect]func(*inference.Conversation, string, bool) ([]byte, []string){
		inference.OpenAI: openai.Encode, inference.Anthropic: anthropic.Encode, inference.Gemini: gemini.Encode,
		inference.Responses: responses.Encode, inference.Converse: converse.Encode, inference.Ollama: ollama.Encode,
	}
	for from, parts := range map[inference.Dialect][]inference.Part{
		inference.Anthropic: {{Kind: inference.Redacted, Data: "sealed"}, {Kind: inference.Thinking, Text: "hm", Signature: "its maker's"}},
		inference.OpenAI:    {{Kind: inference.Foreign, Name: "x", Data: `{"type":"x"}`}},
		inference.Responses: {{Kind: inference.Foreign, Name: "x", Data: `{"type":"x"}`}},
	} {
		for to, encode := range encoders {
			if to == from || from == inference.Anthropic && (to == inference.Converse || to == inference.Gemini) {
				continue // these have a place for it
			}
			with := func(answer ...inference.Part) string {
				body, _ := encode(&inference.Conversation{From: from, MaxTokens: 9, Messages: []inference.Message{
					turn(inference.User, text("one")), turn(inference.Assistant, answer...), turn(inference.User, text("two")),
				}}, "m", false)
				return string(body)
			}
			got, said := with(parts...), with(append(slices.Clone(parts), text("said"))...)
			if strings.Contains(got, "assistant") || strings.Contains(got, `"model","parts"`) || strings.Contains(got, `role":"model"`) {
				t.Errorf("%s to %s: a shell: %s", from, to, got)
			}
			if !strings.Contains(said, "said") {
				t.Errorf("%s to %s: what was said beside it is lost: %s", from, to, said)
			}
		}
	}
}
