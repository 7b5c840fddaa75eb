package dialect_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/dialect/anthropic"
	"headworks/internal/dialect/openai"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// reader and writer are what both dialects have.
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

// TestStreamsCross sends every recorded stream through the other dialect and
// reads it there: nothing that both can say is lost.
func TestStreamsCross(t *testing.T) {
	for name, stream := range files(t, "*/testdata/streams/*.sse") {
		if strings.Contains(name, "n2") {
			continue // one choice crosses
		}
		var from, to reader = &openai.Reader{}, &anthropic.Reader{}
		var w writer = &anthropic.Writer{}
		if strings.HasPrefix(name, "anthropic") {
			from, to, w = to, from, &openai.Writer{Usage: true}
		}
		before := steps(t, from, stream)
		var out []byte
		for _, d := range before {
			out = w.Delta(out, d)
		}
		out = w.End(out)
		got, want := join(steps(t, to, out)), join(before)
		if want.Finish == inference.StopSequence {
			want.Finish = inference.Stop // the same word in the other dialect
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s\n%s", name, diff, out)
		}
	}
}

// TestRequestsCross encodes every recorded request in the other dialect, which
// must accept it, and names what was lost.
func TestRequestsCross(t *testing.T) {
	for name, body := range files(t, "*/testdata/requests/*.json") {
		shapes := [2]*scan.Shape{openai.Shape(), anthropic.Shape()}
		decode, encode, read := openai.Decode, anthropic.Encode, anthropic.ReadRequest
		if strings.HasPrefix(name, "anthropic") {
			shapes[0], shapes[1] = shapes[1], shapes[0]
			decode, encode, read = anthropic.Decode, openai.Encode, openai.ReadRequest
		}
		var d scan.Doc
		if err := d.Scan(body, shapes[0]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c, _, err := decode(&d)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		own := 0
		for _, tool := range c.Tools {
			if tool.Hosted == nil {
				own++
			}
		}
		out, _ := encode(c, "m", true)
		if !json.Valid(out) {
			t.Fatalf("%s: not JSON: %s", name, out)
		}
		var r inference.Request
		if err := d.Scan(out, shapes[1]); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		} else if err := read(&d, &r); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		} else if !r.Stream || !r.WantUsage || r.Tools != own {
			t.Errorf("%s: got %+v\n%s", name, r, out)
		}
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
