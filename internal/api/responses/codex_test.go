package responses

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/engine"
	"headworks/internal/fleet"
)

// codex is a session as Codex sends it: each turn the whole conversation, with what
// the model said before as it came. The shape is that of openai/codex,
// codex-rs/codex-api (common.rs, ResponsesApiRequest; requests/headers.rs) and
// codex-rs/protocol (models.rs, ResponseItem), which serializes without spaces.
const codexHead = `{"model":"ours","instructions":"You are Codex, based on GPT-5.","input":[` +
	`{"type":"message","role":"developer","content":[{"type":"input_text","text":"<permissions instructions>workspace-write</permissions instructions>"}]},` +
	`{"type":"message","role":"user","content":[{"type":"input_text","text":"<environment_context>\n  <cwd>/repo</cwd>\n</environment_context>"}]},` +
	`{"type":"message","role":"user","content":[{"type":"input_text","text":"mend the test"}]}`

const codexTail = `],"tools":[{"type":"function","name":"exec_command","description":"Runs a command in a PTY","strict":false,"parameters":{"type":"object","properties":{"cmd":{"type":"string"}},"required":["cmd"],"additionalProperties":false}},` +
	`{"type":"local_shell"},{"type":"custom","name":"apply_patch","description":"Edits files","format":{"type":"grammar","syntax":"lark","definition":"start: begin_patch hunk+ end_patch"}},{"type":"web_search","external_web_access":true}],` +
	`"tool_choice":"auto","parallel_tool_calls":false,"reasoning":{"effort":"medium","summary":"auto"},"store":false,"stream":true,` +
	`"include":["reasoning.encrypted_content"],"prompt_cache_key":"0199a213-81c0-7800-8aa1-bbab2a035a53","text":{"verbosity":"low"}}`

// What the model answers to the first turn, in OpenAI's words and in an engine's.
const (
	codexReasoning = `{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"**Looking**"}],"encrypted_content":"gAAAAABo-_=="}`
	codexShell     = `{"id":"fc_1","type":"function_call","status":"completed","arguments":"{\"cmd\":\"go test ./...\"}","call_id":"call_1","name":"exec_command"}`
	codexPatch     = `{"id":"ctc_1","type":"custom_tool_call","status":"completed","call_id":"call_2","input":"*** Begin Patch\n+é \"x\"\n*** End Patch","name":"apply_patch"}`
)

func codexNative() string {
	var b strings.Builder
	n := 0
	event := func(kind, rest string) {
		fmt.Fprintf(&b, "event: %s\ndata: {\"type\":%q,\"sequence_number\":%d,%s}\n\n", kind, kind, n, rest)
		n++
	}
	event("response.created", `"response":{"id":"resp_68af","object":"response","status":"in_progress","model":"gpt-5.4","output":[]}`)
	for i, item := range []string{codexReasoning, codexShell, codexPatch} {
		event("response.output_item.added", fmt.Sprintf(`"output_index":%d,"item":%s`, i, item))
		event("response.output_item.done", fmt.Sprintf(`"output_index":%d,"item":%s`, i, item))
	}
	event("response.completed", `"response":{"id":"resp_68af","object":"response","status":"completed","model":"gpt-5.4","output":[`+
		strings.Join([]string{codexReasoning, codexShell, codexPatch}, ",")+`],"usage":{"input_tokens":900,"output_tokens":70}}`)
	return b.String()
}

const codexChat = `data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":null,"reasoning_content":"Looking."},"finish_reason":null}]}

data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"exec_command","arguments":"{\"cmd\":\"go test ./...\"}"}}]},"finish_reason":null}]}

data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"apply_patch","arguments":"{\"input\":\"*** Begin Patch\\n+é \\\"x\\\"\\n*** End Patch\"}"}}]},"finish_reason":null}]}

data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

data: [DONE]

`

// asked is a server that plays one stream, and keeps what it was asked.
type asked struct {
	stream string
	mu     sync.Mutex
	bodies []string
	header http.Header
	path   string
}

func (a *asked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a body that is cut is seen by the test
	a.mu.Lock()
	a.bodies, a.header, a.path = append(a.bodies, string(body)), r.Header, r.URL.Path
	a.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, a.stream)
}

// speaking returns an engine that speaks a protocol to a server.
func speaking(t *testing.T, a *asked, p engine.Protocol) engine.Engine {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	e, err := engine.NewHTTP([]engine.Protocol{p}, []fleet.Replica{{ID: 0, URL: server.URL}}, engine.Options{
		Keys: engine.Bearer([]string{"sk-upstream"}), Forwarded: []string{"openai-beta"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// turn sends a turn as Codex does, and returns the items that it takes from the
// answer: those of response.output_item.done, once response.completed came.
func (r *room) turn(body string) (items []string, stream string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), "POST", r.url+"/v1/responses", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Authorization": "Bearer alice", "Accept": "text/event-stream", "Content-Type": "application/json", "session_id": "0199a213-81c0-7800-8aa1-bbab2a035a53",
		"originator": "codex_cli_rs", "User-Agent": "codex_cli_rs/0.162.1", "OpenAI-Beta": "responses=experimental",
	} {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		r.t.Fatalf("%d %v %s", res.StatusCode, err, got)
	}
	completed := false
	for block := range strings.SplitSeq(string(got), "\n\n") {
		_, data, _ := strings.Cut(block, "data: ")
		switch {
		case strings.HasPrefix(data, `{"type":"response.output_item.done"`):
			_, item, _ := strings.Cut(data, `"item":`)
			items = append(items, strings.TrimSuffix(item, "}"))
		case strings.HasPrefix(data, `{"type":"response.completed"`):
			completed = true
		}
	}
	if !completed {
		r.t.Fatalf("never completed: %s", got)
	}
	return items, string(got)
}

// follow is what Codex sends next: the items without their ids, and what came of the
// calls.
func follow(items []string) string {
	var b strings.Builder
	b.WriteString(codexHead)
	for _, item := range items {
		if _, rest, ok := strings.Cut(item, `{"id":"`); ok {
			_, rest, _ = strings.Cut(rest, `",`)
			item = "{" + rest
		}
		b.WriteString("," + item)
	}
	b.WriteString(`,{"type":"function_call_output","call_id":"call_1","output":"Chunk ID: 1\nOutput:\nFAIL"},{"type":"custom_tool_call_output","call_id":"call_2","output":"Success"}`)
	return b.String() + codexTail
}

// TestCodexNative: over OpenAI each turn of Codex passes byte for byte, both ways, and
// nothing is kept.
func TestCodexNative(t *testing.T) {
	a := &asked{stream: codexNative()}
	r := enter(t, speaking(t, a, engine.Responses()))
	first := codexHead + codexTail
	items, stream := r.turn(first)
	if stream != a.stream {
		t.Errorf("got %s", stream)
	}
	second := follow(items)
	r.turn(second)
	want := []string{strings.Replace(first, `"ours"`, `"theirs"`, 1), strings.Replace(second, `"ours"`, `"theirs"`, 1)}
	if diff := cmp.Diff(want, a.bodies); diff != "" {
		t.Errorf("sent (-want +got)\n%s", diff)
	}
	if !strings.Contains(second, `"encrypted_content":"gAAAAABo-_=="`) {
		t.Errorf("the reasoning does not come along: %s", second)
	}
	if a.path != "/v1/responses" || a.header.Get("Authorization") != "Bearer sk-upstream" || a.header.Get("Openai-Beta") != "responses=experimental" || a.header.Get("Session_id") != "" {
		t.Errorf("asked at %s with %v", a.path, a.header)
	}
	if r.shelf.count() != 0 {
		t.Error("something is kept")
	}
}

// TestCodexTranslated: over an engine that chats the same session calls the same
// tools, and what came of them reaches the engine with the calls.
func TestCodexTranslated(t *testing.T) {
	a := &asked{stream: codexChat}
	r := enter(t, speaking(t, a, engine.Chat()))
	items, stream := r.turn(codexHead + codexTail)
	if len(items) != 3 || !strings.Contains(items[0], `"summary":[{"type":"summary_text","text":"Looking."}]`) ||
		!strings.Contains(items[1], `"name":"exec_command","arguments":"{\"cmd\":\"go test ./...\"}"`) ||
		!strings.Contains(items[2], `"type":"custom_tool_call","call_id":"call_2","name":"apply_patch","input":"*** Begin Patch\n+é \"x\"\n*** End Patch"`) {
		t.Fatalf("got %q of %s", items, stream)
	}
	r.turn(follow(items))
	const want = `{"role":"user","content":"mend the test"},{"role":"assistant","reasoning_content":"Looking.","content":null,"tool_calls":[` +
		`{"id":"call_1","type":"function","function":{"name":"exec_command","arguments":"{\"cmd\":\"go test ./...\"}"}},` +
		`{"id":"call_2","type":"function","function":{"name":"apply_patch","arguments":"{\"input\":\"*** Begin Patch\\n+é \\\"x\\\"\\n*** End Patch\"}"}}]},` +
		`{"role":"tool","tool_call_id":"call_1","content":"Chunk ID: 1\nOutput:\nFAIL"},{"role":"tool","tool_call_id":"call_2","content":"Success"}],"tools":[`
	if !strings.Contains(a.bodies[1], want) || a.path != "/v1/chat/completions" {
		t.Errorf("the engine heard %s\nwant %s", a.bodies[1], want)
	}
}
